"""What a documented table is: its columns, keys and checks, as one of the five platforms documented it. Data, no behaviour beyond what follows from it.

A documented table that market data feeds (`fed`) is a view over base tables, joined with what people import; so is one that is computed from other
documented tables. Any other holds what people write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from workbench.errors import UnknownName
from workbench.tables.spec import quote

Dialect = Literal["postgres", "sqlite"]


@dataclass(frozen=True)
class Field:
    """One column of a documented table. `type` is DuckDB's, nested ones included; `told` is the document's own type where that differs.

    `default` is the SQL expression for rows that lack it; `serial` numbers them from 1 on instead.
    """

    name: str
    type: str
    doc: str
    required: bool = True
    default: str = ""
    serial: bool = False
    told: str = ""


@dataclass(frozen=True)
class Check:
    """A rule that every row must meet: an SQL condition over its columns, which NULL meets."""

    name: str
    rule: str


@dataclass(frozen=True)
class TestRule:
    """When a row counts as a test's, not as production's: an SQL condition over its columns, and what to say of it then."""

    # Not a test, whatever collectors of tests make of the name.
    __test__ = False

    name: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Reference:
    """Columns whose values must stand in a key of another documented table, where they are not NULL."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A documented table. `key` and each of `unique` tell rows apart; the columns of a key are required.

    `fed` names the base tables behind it, the documented ones that it is computed from with their schemas, or "calendar"; empty for a table that only
    people write. `takes_rows` says whether people may write to it, which they may not where all of it is computed. `tests` tell rows of tests, which
    have a `test_mode`. `example` is a row, the document's own where it shows one; `document` says where it is told.
    """

    schema: str
    name: str
    doc: str
    columns: tuple[Field, ...]
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    checks: tuple[Check, ...] = ()
    references: tuple[Reference, ...] = ()
    tests: tuple[TestRule, ...] = ()
    fed: tuple[str, ...] = ()
    takes_rows: bool = True
    example: Mapping[str, Any] = field(default_factory=dict, hash=False)
    document: str = ""

    @property
    def full(self) -> str:
        """Its name with its schema's."""
        return f"{self.schema}.{self.name}"

    @property
    def base(self) -> tuple[str, ...]:
        """What its rows are those of. Of a table that is computed from documented ones, nothing: bars only tell what those are worth."""
        return () if any("." in name for name in self.fed) else self.fed

    @property
    def imported(self) -> tuple[str, str]:
        """Schema and name of the view that shows what people wrote to it: its own, unless market data feeds it."""
        return ("imported", f"{self.schema}_{self.name}") if self.fed else (self.schema, self.name)

    def __getitem__(self, name: str) -> Field:
        """The column of that name; raises `UnknownName` with the nearest names."""
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownName("column", name, (c.name for c in self.columns))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def empty(self) -> str:
        """A query of the right shape and no rows."""
        return f"SELECT {', '.join(f'NULL::{c.type} AS {quote(c.name)}' for c in self.columns)} LIMIT 0"


@dataclass(frozen=True)
class Platform:
    """One of the documented platforms: its schemas, the dialect that its queries are written in, other names that it goes by.

    `databases` has the names of its own databases, where those are not schemas here: of each its tables by their names there, as the document writes
    them, with their names here. Those tables are of the first schema.
    """

    name: str
    title: str
    document: str
    schemas: tuple[str, ...]
    dialect: Dialect
    aliases: tuple[str, ...] = ()
    databases: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    records: tuple[Record, ...] = ()
