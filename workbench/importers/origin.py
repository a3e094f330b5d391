"""What an old database is to an import: tables with columns, and their rows in batches.

An origin only reads, and reads all its tables in one moment where its database can. Values come as the database has them: what they mean here is
decided elsewhere (`taking`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from workbench.tables.record import Field

if TYPE_CHECKING:
    import pyarrow as pa

# So many rows go into the lake at once: few enough for memory, many enough that a commit costs little beside them.
BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Column:
    """A column of an old table; `kind` is the name that the database has for its type.

    `made` is one that the origin makes of others, if a map asks for it.
    """

    name: str
    kind: str
    made: bool = False


@dataclass(frozen=True)
class Held:
    """A table of an old database, by the name that it has there: `ohlcv`, `market_data.ohlcv`, `trading_simulator.points_tally`.

    `rows` is their number as far as that is cheap to know, None where it is not. `fault` says in a sentence why it cannot be read, where it cannot.
    """

    name: str
    columns: tuple[Column, ...]
    rows: int | None = None
    fault: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(one.name for one in self.columns)


@dataclass(frozen=True)
class Asked:
    """What an import wants of a table.

    `columns` are those wanted, in their own names, each with the column of ours that it fills: an origin may have values cast where that loses nothing.
    `since` is a column and a value: only rows that have this value in it or a greater one. `order` is the column in whose order rows must come, if any.
    """

    table: Held
    columns: Mapping[str, Field]
    since: tuple[str, Any] | None = None
    order: str = ""


@dataclass(frozen=True)
class Reject:
    """A row that does not go in: where it stands in its database, why, and what it is as far as that can be told in JSON."""

    where: str
    reason: str
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Arrived:
    """Some rows as an origin reads them: columns by their own names, an Arrow array each, or a list where one has values of several types.

    `rejects` are rows that it could not read at all, which are not among the columns' `count`.
    """

    count: int
    columns: "Mapping[str, pa.ChunkedArray | pa.Array | list[Any]]"
    rejects: Sequence[Reject] = field(default_factory=tuple)


class Origin(ABC):
    """An old database, open for reading. A context manager.

    `label` tells it from others, without user or password: what was read of it is kept under that, and rows say it in `loaded_from`. Opening one raises
    `Unreachable` for a host that does not answer in time, `BadKeys` for a wrong password, `UsageError` for a place that holds no such database, and
    `SourceError` for one that is damaged; messages hold no password. So does reading, of one that goes away meanwhile (`Unreachable`).
    """

    kind: str
    label: str
    # What is to be known of what was read, a sentence each.
    notes: Sequence[str] = ()

    @abstractmethod
    def tables(self) -> list[Held]:
        """The tables that it holds; those that cannot be read with what is wrong with them."""

    @abstractmethod
    def batches(self, asked: Asked) -> Iterator[Arrived]:
        """The rows of a table, at most some `BATCH_ROWS` at a time, so that memory is bounded whatever it holds."""

    @abstractmethod
    def ordered(self, table: Held, column: str) -> bool:
        """Whether rows in the order of a column cost it little, as where an index leads with it: then an import that ends early goes on from there."""

    def where(self, table: Held, number: int) -> str:
        """What to call a row of which only its number is known, from 0, in the order in which rows came."""
        return f"{table.name} row {number}"

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
