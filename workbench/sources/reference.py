"""Where reference data comes from: listings, actions, series and news, told as rows of the declared tables.

A `ReferenceSource` knows a vendor's replies and nothing of the lake. It turns them into rows that carry the names of the table's columns;
whether the values are what the table promises is the lake's to check, so that a row that breaks a promise is kept beside its reason and not
dropped here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from workbench.sources import Verdict

Row = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A record of which no row could be made at all, and why; the record is as the source gave it."""

    record: object
    reason: str


@dataclass(frozen=True)
class Gathered:
    """Rows of one dataset, as one source told them.

    `dataset` names the table. `key` says what was asked, for the log: "api:stocks/v1/splits", "folder:reference/splits.json". Rows are dicts
    by column name; a column may be absent. Dates are `date` or ISO text, instants `datetime` with a zone or ISO text, flags bool, texts str, numbers int or
    float, lists of texts lists. `source`, `seen_at`, `first_seen` and `last_seen` need not be set: the lake sets them when it takes the rows in.
    `whole` says that the listing is complete: what is not in it has disappeared. `refused` are records without a row, `notes` what a user
    should know besides. `transferred` counts bytes over the network, where they are known.
    """

    dataset: str
    key: str
    rows: list[Row]
    transferred: int = 0
    whole: bool = False
    notes: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = field(default=())


class ReferenceSource(Protocol):
    """Somewhere reference data comes from. `name` is what rows carry in their `source` column."""

    name: str

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        ...

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:
        """Ask for a dataset, and give what can be committed as soon as it is complete.

        `since` is the day up to which the lake has everything already (None: ask for all there is); `symbols` limits what is asked to these, where the
        dataset is asked by symbol. Raises `SourceError`: what was given before stays valid.
        """
        ...

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread."""
        ...

    def check(self) -> Verdict:
        """Try the source with its cheapest call."""
        ...

    def close(self) -> None:
        """Give back connections and temporary files."""
        ...
