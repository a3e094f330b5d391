"""Rollups kept up to date: sessions of which bars landed, changed or left since they were summed up are summed up anew.

A landing record for each session says by its ETag what it was made of: the landing records of its bars, the declaration and the calendar. Where any of
these is another now, the session is due, and nobody shows its rows: a run that is killed, or a lake that was never summed up, costs time, never a row.
Bars that retention took away leave their session's row as it is, which is what a rollup is for; bars that were reset, or gave way, take it along.

A year that is over has one file, the present one a file for each month. Sessions that are summed up for the first time go by quarters, so that whatever
stops a run costs a quarter at most, and no more than that is in memory.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.errors import Busy
from workbench.lake import cold, derived, tiering
from workbench.lake.disk import disk
from workbench.lake.landings import Landed, Landing
from workbench.lake.lone_days import NOTHING, digest
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import Lake
from workbench.lake.types import polars_type
from workbench.tables import ROLLUPS
from workbench.tables.rollups import Rollup
from workbench.tables.spec import quote

if TYPE_CHECKING:
    import duckdb
    import polars as pl

KEY = "rolled:"
# What became of bars that retention took: the row that sums them up stays.
TAKEN = ("archived", "dropped")
ATTEMPTS = 3
# DuckDB's share of memory while it sums up; it spills what is more.
MEMORY = "768MB"
# A row of a rollup is as wide as so many of the bars that cold files are cut into pieces by.
WIDE = 3


@dataclass(frozen=True)
class Rolled:
    """Which sessions of a rollup are shown in which way, as two versions of tables tell.

    `kept` have their rows in it, `left` are computed when they are asked for. `hidden` are those of which it holds rows that say nothing now. `held` are
    the sessions that the table of bars holds, `mixed` those of them of which retention took other bars, that rows were made of; `taken` are all that
    have rows of which retention took the bars. `told` is what each was, or is to be, made of, and `bars` the same without how it is summed up.
    """

    kept: frozenset[date]
    taken: frozenset[date]
    left: frozenset[date]
    hidden: frozenset[date]
    held: frozenset[date]
    mixed: frozenset[date]
    told: Mapping[date, str]
    bars: Mapping[date, str]
    known: Mapping[str, Landing]

    @property
    def gone(self) -> frozenset[date]:
        """Sessions whose rows are to be taken out: no bars of theirs are there, and retention did not take them."""
        return self.hidden - self.held


def rolled(lake: Lake, rollup: Rollup, shown: Mapping[str, int]) -> Rolled:
    """What versions of the tables, by name, tell."""
    found: dict[date, list[str]] = {}
    held, taken = set[date](), set[date]()
    for one in lake[rollup.of.name].landings(shown[rollup.of.name]).values() if shown[rollup.of.name] >= 0 else ():
        if one.held or (one.rows and one.retired in TAKEN):
            found.setdefault(one.session, []).append(f"{one.key} {one.sha256} {one.rows}")
            (held if one.held else taken).add(one.session)
    bars = {day: digest(parts) for day, parts in found.items()}
    told = {day: digest([*parts, rollup.mark, hours(rollup, day)]) for day, parts in found.items()}
    known = lake[rollup.name].landings(shown[rollup.name]) if shown[rollup.name] >= 0 else {}
    live = [one for one in known.values() if not one.retired]
    # Bars that retention took cannot be summed up another way: their row stays as it was made.
    kept = frozenset(
        one.session
        for one in live
        if told.get(one.session) == one.etag or (one.session not in held and bars.get(one.session) == one.sha256)
    )
    hidden = frozenset(one.session for one in live if one.held) - kept
    mixed = frozenset(one.session for one in live if one.held and one.session in held & taken)
    return Rolled(kept, kept - held | mixed, frozenset(held - kept), hidden, frozenset(held), mixed, told, bars, known)


def hours(rollup: Rollup, day: date) -> str:
    """When the parts of a session begin and end; nothing where only whole sessions are summed up."""
    return repr(sessions.hours(rollup.of, day)) if len(rollup.variants) > 1 else ""


# ---------------------------------------------------------------------- what is due


@dataclass(frozen=True)
class Work:
    """A file of a rollup that is to be written: its chunk, and the sessions to sum up for it; none where files are only put together."""

    rollup: Rollup
    chunk: str
    days: tuple[date, ...]


def due(lake: Lake) -> list[Work]:
    """What is to be done, newest chunk first. Touches nothing."""
    return [one for rollup in ROLLUPS if lake[rollup.of.name].exists or lake[rollup.name].exists for one in Rolling(lake, rollup).due()]


def waiting(lake: Lake, rollup: Rollup) -> bool:
    """Whether sessions of a rollup are to be summed up, or taken out."""
    return bool(unsummed(lake, rollup))


def unsummed(lake: Lake, rollup: Rollup) -> frozenset[date]:
    """The sessions of a rollup that are to be summed up, or taken out."""
    if not lake[rollup.of.name].exists and not lake[rollup.name].exists:
        return frozenset()
    found, newest = rolled(lake, rollup, {one: lake[one].snapshot().version for one in (rollup.name, rollup.of.name)}), sessions.last_due()
    return frozenset(day for day in found.left | found.gone if rollup.inside(day, newest))


def refresh(lake: Lake, seconds: float | None = None, stopped: Callable[[], bool] = bool) -> int:
    """Bring all rollups up to date, newest sessions first; gives how many sessions were committed.

    After so many seconds no further file is begun. What changes meanwhile is left to the next run, as are sessions whose files are gone from the disk,
    and a rollup that another process is at. Raises `LakeError` if the disk is full.
    """
    began, count = time.monotonic(), 0
    for _ in range(ATTEMPTS):
        work, before = due(lake), count
        for one in work:
            if stopped() or (seconds is not None and time.monotonic() - began >= seconds):
                return count
            try:
                count += done(lake, one)
            except Busy:
                continue
        if not work or (count == before and all(one.days for one in work)):
            break
    return count


def done(lake: Lake, work: Work) -> int:
    """Do one piece of it; gives how many sessions were committed. Raises `Busy` if another process is at the same rollup."""
    with tiering.alone(lake[work.rollup.name]), disk(lake.root, f"{work.rollup.name} {work.chunk} was not brought up to date"):
        # Another process may have done it while this one waited for its turn.
        rolling = Rolling(lake, work.rollup)
        still = {(one.chunk, one.days) for one in rolling.due()}
        with derived.leaving([(lake[name], shot) for name, shot in rolling.shots.items()]):
            return rolling.run(work) if (work.chunk, work.days) in still else 0
        return 0


class Rolling:
    """One look at a rollup and what it is of, and what is to be done about it."""

    def __init__(self, lake: Lake, rollup: Rollup):
        self.lake, self.rollup, self.table, self.bars = lake, rollup, lake[rollup.name], lake[rollup.of.name]
        self.shots = {one.table.name: one.snapshot() for one in (self.table, self.bars)}
        self.found = rolled(lake, rollup, {name: shot.version for name, shot in self.shots.items()})

    def due(self) -> Iterator[Work]:
        """What is to be done, newest first: sessions that are inside the rollup's offsets, by chunk, then years that are over and still in pieces."""
        newest, lost = sessions.last_due(), self.bars.lost()
        without = [file for file in self.shots[self.rollup.of.name].files if file.path in lost]
        files = self.shots[self.rollup.name].files
        whole = {file.chunk for file in files}
        found: dict[str, list[date]] = {}
        for day in sorted(self.found.left | self.found.gone):
            if self.rollup.inside(day, newest) and not any(file.first <= day <= file.last for file in without):
                found.setdefault(self.chunk_of(day, whole), []).append(day)
        for chunk, days in sorted(found.items(), reverse=True):
            yield Work(self.rollup, chunk, tuple(days))
        waits = {chunk[:4] for chunk in found}
        for year, some in tiering.by_chunk(files, lambda file: file.chunk[:4]):
            if len(some) > 1 and year not in waits and int(year) < sessions.today().year:
                yield Work(self.rollup, year, ())

    def chunk_of(self, day: date, whole: Collection[str]) -> str:
        """The chunk whose file a session goes into: its month's in the present year; its quarter's in one that is over, or its year's if that is there."""
        spec = self.table.table
        if day.year >= sessions.today().year:
            return spec.chunk_of(day, "month")
        return spec.chunk_of(day, "year" if spec.chunk_of(day, "year") in whole else "quarter")

    def run(self, work: Work) -> int:
        """Write one file; gives how many sessions were committed."""
        self.table.set_bounds(())
        return derived.rewrite(self.table, work.chunk, work.days, self.found.kept, self.rows, self.record, WIDE)

    def record(self, day: date, rows: int, mends: bool) -> Landed:
        """The landing record of a session's rows."""
        key = f"{KEY}{day}"
        told, bars = (self.found.told[day], self.found.bars[day]) if day in self.found.held else (NOTHING, NOTHING)
        seen = self.found.known[key].version if key in self.found.known else 0
        return derived.record_of(self.table, key, told, day, rows, seen, mends=mends, of=bars)

    # ------------------------------------------------------------------ sum up

    def rows(self, days: Sequence[date], at: Path) -> tuple[list[Path], dict[date, int]]:
        """Drafts that hold the rows of some sessions, and how many each has."""
        there = [day for day in days if day in self.found.held]
        counts: dict[date, int] = {}
        drafts = list[Path]()
        with closing(engine(at)) as con:
            hours_of(con, self.rollup, there)
            for some, low, high in self.pieces(there):
                made = self.summed(con, some, low, high)
                made = self.with_taken(made, some, low, high)
                for day, count in made.group_by("date").len().iter_rows():
                    counts[day] = counts.get(day, 0) + count
                if len(made):
                    drafts.append(at / f"rolled-{len(drafts)}.parquet")
                    made.write_parquet(drafts[-1], compression="lz4")
        return drafts, counts

    def pieces(self, days: Sequence[date]) -> Iterator[tuple[list[date], str | None, str | None]]:
        """What is summed up at once: a session whose files are hot, or a ticker range of some that lie in cold ones."""
        frozen = [day for day in days if any(file.bucket is not None for file in self.holding([day]))]
        yield from (([day], None, None) for day in days if day not in set(frozen))
        for _, some in grouped(frozen, lambda day: self.rollup.of.chunk_of(day, self.rollup.of.chunks[-1])):
            bounds = self.shots[self.rollup.of.name].bounds or ()
            yield from ((some, *cold.edges(bounds, n)) for n in range(len(bounds) + 1))

    def holding(self, days: Sequence[date]) -> list[LiveFile]:
        """The files of bars that may hold rows of some sessions."""
        return [file for file in self.shots[self.rollup.of.name].files if any(file.first <= day <= file.last for day in days)]

    def summed(self, con: "duckdb.DuckDBPyConnection", days: Sequence[date], low: str | None, high: str | None) -> "pl.DataFrame":
        """The rows of some sessions, and of a ticker range, from bars."""
        import polars as pl

        schema = {column.name: polars_type(column) for column in self.table.table.columns}
        paths = [str(path) for path in self.bars.all_here(file.path for file in self.holding(days) if cold.touches(file, low, high))]
        if not paths:
            return pl.DataFrame(schema=schema)
        tests, values = ["date IN (SELECT unnest(CAST($days AS DATE[])))", "date BETWEEN $first AND $last"], dict[str, Any]()
        values |= {"days": list(days), "first": days[0], "last": days[-1], "paths": paths}
        for sign, bound, name in ((">=", low, "low"), ("<", high, "high")):
            if bound is not None:
                tests.append(f"ticker {sign} ${name}")
                values[name] = bound
        columns = ", ".join(quote(column.name) for column in self.rollup.of.columns)
        bars = f"(SELECT {columns} FROM {self.source()} WHERE {' AND '.join(tests)})"
        made = pl.DataFrame(con.sql(self.rollup.query(bars, "edges"), params=values).to_arrow_table())
        return made.with_columns(pl.col("timestamp").dt.convert_time_zone("UTC")).select(list(schema)).cast(schema)  # type: ignore[arg-type]

    def source(self) -> str:
        """The rows of `$paths`; NULL in columns that a file may be older than."""
        widened = self.shots[self.bars.table.name].widened
        if not widened:
            return "read_parquet($paths, hive_partitioning = false)"
        empty = ", ".join(f"NULL::{self.bars.table[name].type} AS {quote(name)}" for name in widened)
        return f"(FROM read_parquet($paths, hive_partitioning = false, union_by_name = true) UNION ALL BY NAME SELECT {empty} WHERE false)"

    def with_taken(self, made: "pl.DataFrame", days: Sequence[date], low: str | None, high: str | None) -> "pl.DataFrame":
        """Rows with those that the rollup holds of the same sessions and other tickers, where retention took the bars that these were made of."""
        import polars as pl

        mixed = self.found.mixed & {*days}
        paths = self.table.all_here(
            file.path for file in self.shots[self.rollup.name].files if any(file.first <= day <= file.last for day in mixed)
        )
        if not paths:
            return made
        rows = cold.within(cold.scan(paths, (), self.table.table), low, high).filter(pl.col("date").is_in(sorted(mixed))).collect()
        return pl.concat([made, rows.join(made, on=["ticker", "date"], how="anti")])


def engine(at: Path) -> "duckdb.DuckDBPyConnection":
    """A DuckDB of its own, which spills into a folder."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(at / "spill"), "preserve_insertion_order": False})
    con.execute("SET TimeZone = 'UTC'")
    return con


def hours_of(con: "duckdb.DuckDBPyConnection", rollup: Rollup, days: Sequence[date]) -> None:
    """Have the instants at which the parts of some sessions begin and end stand in the table `edges`."""
    con.execute("CREATE TABLE edges (date DATE, pre_open TIMESTAMPTZ, open TIMESTAMPTZ, close TIMESTAMPTZ, post_close TIMESTAMPTZ)")
    known = [one for day in days if (one := sessions.hours(rollup.of, day)) and one.pre and one.post]
    if known:
        rows = [(one.session, one.pre[0], one.regular[0], one.regular[1], one.post[1]) for one in known if one.pre and one.post]
        con.executemany("INSERT INTO edges VALUES (?, ?, ?, ?, ?)", rows)


def grouped(days: Sequence[date], name: Callable[[date], str]) -> list[tuple[str, list[date]]]:
    """Sessions by what a function calls them."""
    found: dict[str, list[date]] = {}
    for day in days:
        found.setdefault(name(day), []).append(day)
    return list(found.items())
