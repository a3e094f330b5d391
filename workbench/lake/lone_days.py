"""Lone day bars: those of tickers of which a session's minutes have none, kept in a small table of their own, `lone_days`.

Whoever shows minutes where they are in, and day bars elsewhere, would have to compare the two in each query; they are compared here, once, when both
have landed. A landing record for each session says by its ETag what was compared: where either of the two lands again, or is gone, the session is due
again. Nobody shows rows of a session that is due: a run that is killed, or a lake that was never compared, costs time, never a row.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import sessions
from workbench.lake import cold, derived
from workbench.lake.landings import Landed, Landing
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import Lake
from workbench.lake.types import polars_type
from workbench.tables import LONE_DAYS

if TYPE_CHECKING:
    import polars as pl

DAYS, MINUTES = "stock_day", "stock_minute"
NAMES = (DAYS, MINUTES, LONE_DAYS.name)
KEY = "lone:"
# What the record of a session says that has no such bars any more, since one of the two tables does not hold it.
NOTHING = "nothing to compare"
ATTEMPTS = 3


@dataclass(frozen=True)
class Compared:
    """Which sessions of stock_day are shown in which way, as three versions of tables tell.

    `without` have no minutes; `kept` are compared, and their lone bars stand in `lone_days`; `due` are not compared yet; `stale` are those of
    which `lone_days` holds bars that say nothing now. `told` is what the two tables hold of a session, by session, where both do.
    """

    without: frozenset[date]
    kept: frozenset[date]
    due: frozenset[date]
    stale: frozenset[date]
    told: Mapping[date, str]
    known: Mapping[str, Landing]


def compared(lake: Lake, shown: Mapping[str, int]) -> Compared:
    """What versions of the tables tell."""
    by_day: dict[str, dict[date, list[str]]] = {name: {} for name in (DAYS, MINUTES)}
    for name, found in by_day.items():
        for one in lake[name].landings(shown[name]).values() if shown[name] >= 0 else ():
            if one.held:
                found.setdefault(one.session, []).append(f"{one.key} {one.sha256} {one.rows}")
    days, minutes = by_day[DAYS], by_day[MINUTES]
    told = {day: digest([*days[day], *minutes[day]]) for day in days.keys() & minutes.keys()}
    known = lake[LONE_DAYS.name].landings(shown[LONE_DAYS.name]) if shown[LONE_DAYS.name] >= 0 else {}
    live = [one for one in known.values() if not one.retired]
    kept = frozenset(one.session for one in live if told.get(one.session) == one.etag)
    stale = frozenset(one.session for one in live if one.held) - kept
    return Compared(frozenset(days.keys() - minutes.keys()), kept, frozenset(told.keys() - kept), stale, told, known)


def digest(told: Sequence[str]) -> str:
    """What tells the rows of some landings from others; another ETag of the same bytes changes nothing."""
    return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()


def waiting(lake: Lake) -> bool:
    """Whether anything is to be compared."""
    if not lake[DAYS].exists or not lake[MINUTES].exists:
        return False
    found = compared(lake, {name: lake[name].snapshot().version for name in NAMES})
    return bool(found.due or found.stale)


def compare(lake: Lake) -> int:
    """Bring `lone_days` up to date: every session that is due, a commit for each chunk. Gives how many sessions were compared.

    What changes meanwhile is left to the next run, as are sessions whose files are gone from the disk. Raises `LakeError` if the disk is full.
    """
    count = 0
    for _ in range(ATTEMPTS if lake[DAYS].exists and lake[MINUTES].exists else 0):
        look = Comparison(lake)
        if not (look.found.due or look.found.stale):
            break
        count += look.run()
    return count


class Comparison:
    """One look at the three tables, and what is to be done about it."""

    def __init__(self, lake: Lake):
        self.lake, self.table = lake, lake[LONE_DAYS.name]
        self.shots = {name: lake[name].snapshot() for name in NAMES}
        self.found = compared(lake, {name: shot.version for name, shot in self.shots.items()})
        self.lost: dict[str, set[str]] = {}

    def run(self) -> int:
        """Compare what is due; gives how many sessions were committed."""
        self.table.set_bounds(())
        self.lost = {name: self.lake[name].lost() for name in NAMES}
        left: dict[str, list[date]] = {}
        for day in sorted(self.found.due | self.found.stale):
            if not any(file.path in self.lost[name] for name in (DAYS, MINUTES) for file in self.holding(name, [day])):
                left.setdefault(chunk_of(day), []).append(day)
        return sum(self.rewrite(chunk, days) for chunk, days in left.items())

    def rewrite(self, chunk: str, days: Sequence[date]) -> int:
        """Put a file with some sessions anew in the place of a chunk's; gives how many of them were committed."""
        with derived.leaving([(self.lake[name], shot) for name, shot in self.shots.items()]):
            return derived.rewrite(self.table, chunk, days, self.found.kept, self.drafts, self.record)
        return 0

    def drafts(self, days: Sequence[date], at: Path) -> tuple[list[Path], dict[date, int]]:
        """A draft of the lone bars of some sessions, if there are any, and how many each has."""
        rows = self.lone([day for day in days if day in self.found.told])
        if rows.is_empty():
            return [], {}
        rows.write_parquet(at / "lone.parquet")
        return [at / "lone.parquet"], dict(rows.group_by("date").len().iter_rows())

    def lone(self, days: Sequence[date]) -> "pl.DataFrame":
        """The day bars of some sessions whose tickers have no minute there."""
        import polars as pl

        paths = {name: self.lake[name].all_here(file.path for file in self.holding(name, days)) for name in (DAYS, MINUTES)}
        wanted = pl.col("date").is_in(pl.Series(days, dtype=pl.Date).implode())
        # A file at a time: a year of minutes at once would take gigabytes.
        pairs = [
            cold.scan([path], (), self.lake[MINUTES].table).filter(wanted).select("ticker", "date").unique().collect(engine="streaming")
            for path in paths[MINUTES]
        ]
        nothing = pl.DataFrame(schema={column.name: polars_type(column) for column in LONE_DAYS.columns})
        bars = cold.scan(paths[DAYS], [nothing], LONE_DAYS).filter(wanted)
        traded = pl.concat([nothing.select("ticker", "date"), *pairs])
        return bars.join(traded.lazy(), on=["ticker", "date"], how="anti").collect(engine="streaming")

    def holding(self, name: str, days: Sequence[date]) -> list[LiveFile]:
        """A table's files that may hold rows of some sessions."""
        return [file for file in self.shots[name].files if any(file.first <= day <= file.last for day in days)]

    def record(self, day: date, rows: int, mends: bool) -> Landed:
        """The landing record of a session's lone bars."""
        key = f"{KEY}{day}"
        seen = self.found.known[key].version if key in self.found.known else 0
        return derived.record_of(self.table, key, self.found.told.get(day, NOTHING), day, rows, seen, mends=mends)


def chunk_of(day: date) -> str:
    """The chunk whose file a session goes into: its year's when that is over, for few files to be read, and its month's until then."""
    return LONE_DAYS.chunk_of(day, "year" if day.year < sessions.today().year else "month")
