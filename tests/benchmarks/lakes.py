"""Lakes to ask, made by workbench itself, and the same rows as its peers keep them. All are kept for the next run.

Five years of minutes are a quarter nineteen times: in the ticker ranges that are asked, each with dates of its own; elsewhere hard links,
which are listed with other dates and never read. So no answer depends on them, and what listing costs is real.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from benchmarks import data
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import cold, tiering
from workbench.lake.disk import sync
from workbench.lake.footers import Footer
from workbench.lake.landings import NewFile
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import LakeTable
from workbench.tables import Table, find

MINUTE, DAY, TRADES = find("stock_minute"), find("stock_day"), find("stock_trades")
VALUES = ["open", "high", "low", "close", "volume", "transactions"]
# As of this day the quarter is one chunk, and the month after it another.
TODAY = date(2027, 1, 15)
# A shift of whole weeks that is longer than a quarter: the copies must not overlap.
SHIFT = timedelta(days=98)
ASKED = ["AAPL", "AMZN", "IBM"]
HAS_ARCTIC = find_spec("arcticdb") is not None


@dataclass
class Lakes:
    """Everything that is asked, below one folder."""

    size: data.Size
    flat: Path
    home: Path

    def place(self, name: str) -> Path:
        return self.home / f"{name}-{self.size.tickers}-{cold.LAYOUT}"

    @cached_property
    def main(self) -> Workbench:
        """A quarter of minutes, a month, and sessions still hot; all day bars; a session of trades."""
        bench = opened(self.place("main"))
        refresh(bench, self.flat, MINUTE, data.quarter_days(self.size))
        refresh(bench, self.flat, MINUTE, data.month_days(self.size))
        refresh(bench, self.flat, DAY, data.day_days(self.size))
        compact(bench)
        refresh(bench, self.flat, MINUTE, data.hot_days(self.size))
        refresh(bench, self.flat, TRADES, [data.TRADE_DAY])
        return bench

    @cached_property
    def quarter(self) -> list[LiveFile]:
        """The files of the cold quarter."""
        return [file for file in self.main.lake["stock_minute"].snapshot().files if "-Q" in file.chunk]

    @cached_property
    def history(self) -> Workbench:
        """Five years of minutes: nineteen quarters, some true and some links."""
        return kept(self.place("history"), self._make_history)

    def _make_history(self, bench: Workbench) -> None:
        made, source = list[NewFile](), self.main.lake["stock_minute"].folder
        table = bench.lake["stock_minute"]
        for file in self.quarter:
            true = any(file.low <= ticker <= file.high for ticker in ASKED)
            rows = pl.read_parquet(source / file.path, hive_partitioning=False) if true else None
            for n in range(self.size.quarters):
                target, chunk = self._place(table, file, n)
                if rows is None:
                    os.link(source / file.path, target)
                    made.append(listed(table, target, file, chunk, -n * SHIFT))
                else:
                    made.append(written(table, target, moved(rows, -n * SHIFT), file, chunk))
        commit(table, made, self.main.lake["stock_minute"].snapshot().bounds or ())

    def _place(self, table: LakeTable, file: LiveFile, n: int) -> tuple[Path, str]:
        chunk = quarter(n)
        target = table.folder / f"chunk={chunk}" / f"bucket={file.bucket}" / f"{chunk}-{n:08x}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        return target, chunk

    def long(self, table: str, sessions: int) -> Workbench:
        """A lake that lists so many sessions of a table: the newest chunk is true, older ones are links."""
        return kept(self.place(f"{table}-{sessions}"), lambda bench: self._make_long(bench, table, sessions))

    def _make_long(self, bench: Workbench, name: str, sessions: int) -> None:
        source, table = self.main.lake[name], bench.lake[name]
        files = self.quarter if name == "stock_minute" else list(source.snapshot().files)
        step = SHIFT if name == "stock_minute" else timedelta(days=1)
        chunks = max(1, sessions // 63) if name == "stock_minute" else sessions
        made = []
        for n in range(chunks):
            chunk = quarter(n) if name == "stock_minute" else str(data.TRADE_DAY - n * step)
            for file in files:
                target = table.folder / f"chunk={chunk}" / f"bucket={file.bucket}" / f"{chunk}.parquet"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                os.link(source.folder / file.path, target)
                made.append(listed(table, target, file, chunk, -n * step))
        commit(table, made, source.snapshot().bounds or ())

    # ------------------------------------------------------------------ peers

    def per_day(self, table: Table, days: Sequence[date], times: int = 1) -> list[str]:
        """One Parquet file a session, as plain Polars writes it; each `times` times, for there to be as many files as in five years."""
        from workbench.lake.types import polars_type

        folder = self.home / f"per-day-{table.name}-{self.size.tickers}"
        folder.mkdir(exist_ok=True)
        schema = {c.header: polars_type(c) for c in table.vendor}
        paths = []
        for day in days:
            path = folder / f"{day}.parquet"
            if not path.exists():
                rows = pl.scan_csv(self.flat / table.key_of(table.feeds[0], day), schema=schema)
                stamp = pl.from_epoch(table.time, time_unit="ns").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
                rows.with_columns(date=pl.lit(day), timestamp=stamp).sink_parquet(path.with_suffix(".new"), compression="zstd")
                path.with_suffix(".new").rename(path)
            for n in range(times):
                link = folder / f"{day}-{n:02}.parquet"
                if not link.exists():
                    os.link(path, link)
                paths.append(str(link))
        return sorted(paths)

    def hot_month(self) -> tuple[Workbench, list[str]]:
        """The month's sessions but the last, each a hot file, in a lake of its own that may be compacted; made anew each time."""
        folder = self.place("month")
        shutil.rmtree(folder, ignore_errors=True)
        bench = opened(folder)
        # A month that is whole would be written cold at once.
        refresh(bench, self.flat, MINUTE, data.month_days(self.size)[:-1])
        table = bench.lake["stock_minute"]
        return bench, [str(table.folder / file.path) for file in table.snapshot().files]

    def sorted_month(self, paths: Sequence[str]) -> Path:
        """The month as one sorted file, as DuckDB writes it."""
        target = self.home / f"month-sorted-{self.size.tickers}.parquet"
        rows = f"SELECT * FROM read_parquet({list(paths)}, hive_partitioning = false) ORDER BY ticker, window_start"
        con = duckdb.connect()
        con.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        return target

    def arctic(self, symbols: dict[str, Callable[[], pl.DataFrame]]) -> Any:
        """An ArcticDB library on LMDB with a symbol for each of some frames, written once each."""
        import arcticdb

        folder = self.home / f"arctic-{self.size.tickers}"
        library = arcticdb.Arctic(f"lmdb://{folder}?map_size=20GB").get_library("bars", create_if_missing=True)
        there = set(library.list_symbols())
        for name, make in symbols.items():
            if name not in there:
                rows = make().select("timestamp", *VALUES).to_pandas().set_index("timestamp").tz_convert("UTC").tz_localize(None)
                library.write(name, rows)
        return library

    def sqlite(self, rows: pl.DataFrame) -> sqlite3.Connection:
        """Day bars in SQLite, by ticker and date, and indexed by date."""
        path = self.home / f"days-{self.size.tickers}.sqlite"
        con = sqlite3.connect(path)
        if not con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            con.execute(f"CREATE TABLE bars (ticker TEXT, date TEXT, {', '.join(f'{v} REAL' for v in VALUES)}, PRIMARY KEY (ticker, date))")
            marks = ", ".join("?" * (2 + len(VALUES)))
            con.executemany(
                f"INSERT INTO bars VALUES ({marks})", rows.select(pl.col("ticker"), pl.col("date").cast(pl.String), *VALUES).iter_rows()
            )
            con.execute("CREATE INDEX by_date ON bars (date)")
            con.commit()
        return con


def quarter(n: int) -> str:
    """The name of the n-th quarter before the third of 2026."""
    months = 2026 * 12 + 6 - 3 * n
    return f"{months // 12}-Q{months % 12 // 3 + 1}"


def opened(folder: Path) -> Workbench:
    bench = Workbench(Settings.load(env={}, data=str(folder)))
    bench.lake.make()
    return bench


def kept(folder: Path, make: Callable[[Workbench], None]) -> Workbench:
    """A lake that was made before, or is made now."""
    done = folder / "made"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(opened(folder))
        done.touch()
    return opened(folder)


def refresh(bench: Workbench, flat: Path, table: Table, days: Sequence[date]) -> None:
    """Land some sessions, unless they are there."""
    landed = {landing.session for landing in bench.lake[table.name].landings().values()}
    if not landed.issuperset(days):
        done = bench.refresh(f"folder:{flat}", start=days[0], end=days[-1], datasets=[table.name]).run().done
        wrong = [one for one in done if one.outcome not in ("landed", "already landed")]
        assert not wrong, wrong[:3]


def compact(bench: Workbench) -> None:
    for name in ("stock_minute", "stock_day"):
        table = bench.lake[name]
        for unit in tiering.due(table, TODAY):
            assert tiering.compact(table, unit).outcome == "compacted"


def moved(rows: pl.DataFrame, by: timedelta) -> pl.DataFrame:
    """Rows on other dates."""
    ns = int(by.total_seconds()) * 1_000_000_000
    return rows.with_columns(pl.col("window_start") + ns, pl.col("timestamp") + by, pl.col("date") + by)


def written(table: LakeTable, target: Path, rows: pl.DataFrame, like: LiveFile, chunk: str) -> NewFile:
    """Rows as a cold file, as workbench writes it."""
    with cold.writer(target, table.table, chunk, [c.name for c in rows if not c.null_count()]) as add:
        add(rows)
    sync(target)
    footer = Footer.read(target)
    path = str(target.relative_to(table.folder))
    return NewFile(path, target.stat().st_size, footer.rows, chunk, like.bucket, footer.stats(table.table), footer.schema)


def listed(table: LakeTable, target: Path, like: LiveFile, chunk: str, by: timedelta) -> NewFile:
    """A link, listed with other dates."""
    ends = {
        kind: {"ticker": ticker, "date": str(day + by), "timestamp": (time + by).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        for kind, ticker, day, time in (("minValues", like.low, like.first, like.since), ("maxValues", like.high, like.last, like.until))
    }
    stats = {"numRecords": like.rows, **ends, "nullCount": {"ticker": 0, "date": 0, "timestamp": 0}}
    return NewFile(str(target.relative_to(table.folder)), like.size, like.rows, chunk, like.bucket, stats, ())


def commit(table: LakeTable, files: Sequence[NewFile], bounds: Sequence[str]) -> None:
    """List files in the table's log, past the checks of what lands."""
    import json

    from deltalake.transaction import AddAction, RemoveAction

    table.set_bounds(bounds)
    adds: list[AddAction | RemoveAction] = [
        AddAction(f.path, f.size, {"chunk": f.chunk, "bucket": f.bucket}, 0, data_change=True, stats=json.dumps(f.stats)) for f in files
    ]
    table.create().create_write_transaction(adds, "append", table.schema, ["chunk", "bucket"])
