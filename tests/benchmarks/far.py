"""A lake in a bucket against the same lake on disk: a real S3 server on loopback, the same rows, in turns.

The lake is made up: quarters of minutes in sixteen ticker ranges, of which one has rows to ask for, and years of day bars. What is asked of the bucket is asked in
four states of this machine: it holds nothing; it holds the footers, since another ticker was asked for; it holds what a session before has fetched; and
the session has been asked the same before. The same states are had on disk, where they differ in what the session keeps in memory.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from s3server import seaweed, weed

from benchmarks import data
from benchmarks.lakes import DAY, MINUTE, SHIFT, commit, kept, quarter, written
from benchmarks.queries import alike, digest
from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.landings import NewFile
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import LiveFile
from workbench.query import rows as reading
from workbench.tables import Table

# Tickers of the range that is asked, the one that is asked for, and another whose rows are in the same files.
TICKER, OTHER = "AAPL", "ABBV"
RANGES, OPEN, MINUTES = 16, 4 * 60, 958
STATES = ("nothing held", "footers held", "a session before", "asked before")
Ask = Callable[[Workbench], Any]

QUESTIONS: dict[str, Ask] = {
    "`bars` of one ticker, minutes": lambda bench: bench.bars(TICKER, freq="1m"),
    "same in SQL, to Arrow": lambda bench: table(bench, f"SELECT * FROM stock_minute WHERE ticker = '{TICKER}'"),
    "`avg(close)` of one ticker's minutes": lambda bench: table(bench, f"SELECT avg(close) FROM stock_minute WHERE ticker = '{TICKER}'"),
    "one old session of minutes, all tickers": lambda bench: table(
        bench, "SELECT sum(volume) FROM stock_minute WHERE date = DATE '2026-03-17'"
    ),
    "`bars` of one ticker, days": lambda bench: bench.bars(TICKER, freq="1d"),
}


def table(bench: Workbench, query: str) -> Any:
    """An answer in SQL as Arrow."""
    found = bench.sql(query)
    assert found is not None
    return found.to_arrow_table()


@dataclass
class Taken:
    """What a question took in a state: milliseconds on disk and from the bucket, round by round, and requests and bytes of the last round."""

    disk: list[float] = field(default_factory=list)
    far: list[float] = field(default_factory=list)
    requests: int = 0
    bytes: int = 0

    def cell(self) -> str:
        ratio = statistics.median(far / disk for far, disk in zip(self.far, self.disk, strict=True))
        asked = f", {self.requests} requests, {self.bytes / 1e6:.3g} MB" if self.requests else ""
        return f"{statistics.median(self.far):.3g} / {statistics.median(self.disk):.3g} ms (× {ratio:.2f}{asked})"


def minutes_of(tickers: Sequence[str], days: Sequence[date]) -> pl.DataFrame:
    """Minutes of some tickers, as sample files have them but made at once."""
    random = np.random.default_rng(11)
    count = len(days) * MINUTES
    opens = np.repeat([np.datetime64(f"{day}T{OPEN // 60 + 4:02}:00", "us") for day in days], MINUTES)
    stamps = opens + np.tile(np.arange(MINUTES), len(days)).astype("timedelta64[m]")
    frames = []
    for ticker in tickers:
        close = np.round(100 * np.exp(np.cumsum(random.normal(0, 4e-4, count))), 2)
        start = np.round(close + random.normal(0, 0.03, count), 2)
        made: dict[str, Any] = {
            "ticker": [ticker] * count,
            "open": start,
            "close": close,
            "high": np.maximum(start, close) + 0.01,
            "low": np.minimum(start, close) - 0.01,
            "volume": random.integers(100, 60_000, count).astype(float),
            "transactions": random.integers(1, 900, count),
            "window_start": stamps.astype(np.int64) * 1000,
            "date": np.repeat(np.array(days, "datetime64[D]"), MINUTES),
            "source": ["polygon_s3"] * count,
            "is_test": [False] * count,
        }
        frames.append(pl.DataFrame(made).with_columns(timestamp=pl.Series(stamps).dt.replace_time_zone("UTC")))
    return pl.concat(frames)


def shaped(rows: pl.DataFrame, declared: Table) -> pl.DataFrame:
    """Rows with the columns of a table, in its order; those that they lack are NULL."""
    from workbench.lake.types import polars_type

    columns = [(pl.col(c.name) if c.name in rows.columns else pl.lit(None)).cast(polars_type(c)).alias(c.name) for c in declared.columns]
    return rows.select(columns)


def make(bench: Workbench, size: data.Size) -> None:
    """Fill a lake: one file a range and quarter, of which the first range's have many rows; day bars, one file a year."""
    log, days = bench.lake[MINUTE.name], sessions.between(MINUTE, date(2026, 7, 1), date(2026, 9, 30))[: size.quarter_sessions]
    names = [TICKER, OTHER, *(f"AC{n:02}" for n in range(12 if size is data.FULL else 4))]
    bounds = [chr(ord("B") + n) for n in range(RANGES - 1)]
    whole = shaped(minutes_of(names, days), MINUTE)
    few = {name: shaped(minutes_of([name], days[:2]), MINUTE) for name in (f"{bound}X" for bound in bounds)}
    made = list[NewFile]()
    for n in range(size.quarters):
        for number, rows in enumerate([whole, *few.values()]):
            target = log.folder / f"chunk={quarter(n)}" / f"bucket={number:02}" / f"{quarter(n)}-{n:08x}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            shift = -n * SHIFT
            ns = int(shift.total_seconds()) * 10**9
            shifted = rows.with_columns(pl.col("window_start") + ns, pl.col("timestamp") + shift, pl.col("date") + shift)
            made.append(written(log, target, shifted, like(f"{number:02}"), quarter(n)))
    commit(log, made, bounds)
    own, made = bench.lake[DAY.name], []
    for year in range(2022, 2027):
        sums = whole.filter(pl.col("date") == days[0]).group_by("ticker").agg(pl.all().first()).sort("ticker")
        each = sessions.between(DAY, date(year, 1, 1), date(year, 12, 31))[: size.day_sessions]
        at = [(date(day.year, day.month, day.day) - days[0]) / timedelta(days=1) for day in each]
        rows = pl.concat([sums.with_columns(pl.col("date") + timedelta(days=by), pl.col("timestamp") + timedelta(days=by)) for by in at])
        rows = shaped(rows.with_columns(window_start=pl.col("timestamp").cast(pl.Int64) * 1000).sort("ticker", "timestamp"), DAY)
        target = own.folder / f"chunk={year}" / "bucket=00" / f"{year}-00000000.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        made.append(written(own, target, rows, like("00"), str(year)))
    commit(own, made, ())


def like(bucket: str) -> LiveFile:
    """A file of a range, for those that are written like it."""
    none: Any = None
    return LiveFile("", 0, 0, "", bucket, *(none,) * 6)


def up(near: Workbench, far: Workbench) -> int:
    """Put a lake's files into a bucket as they are; gives their bytes."""
    remote = remote_of(far.lake.root)
    assert remote
    far.lake.make()
    files = [path for path in sorted((near.lake.root / "lake").rglob("*")) if path.is_file()]
    # A commit is there when what it names is.
    files.sort(key=lambda path: "_delta_log" in path.parts)
    for path in files:
        remote.upload(path, path.relative_to(near.lake.root).as_posix())
    remote.mirror.stale()
    return sum(path.stat().st_size for path in files)


@contextmanager
def bucket(folder: Path) -> Iterator[dict[str, Any]]:
    """A server with an empty bucket, and the settings of a lake in it."""
    held = {name: os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    with seaweed() as s3, tempfile.TemporaryDirectory(dir=folder) as cache:
        s3.admin.create_bucket(Bucket="bench")
        os.environ |= {
            "AWS_ENDPOINT_URL": s3.endpoint,
            "AWS_ACCESS_KEY_ID": s3.admin_keys.access,
            "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret,
        }
        try:
            yield {"data": "s3://bench/lake", "cache": cache}
        finally:
            for name, value in held.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def forget(remote: Remote) -> None:
    """Have this machine hold no data of a bucket."""
    shutil.rmtree(remote.root / "parts", ignore_errors=True)
    for path in (remote.root / "lake").rglob("*.parquet"):
        if "_delta_log" not in path.parts:
            path.unlink()
    for name in ("held", "ranges"):
        vars(remote).pop(name, None)


def asked(make: Callable[[], Workbench], ask: Ask, state: str, other: Ask) -> tuple[float, Any, Remote | None]:
    """What a question takes in a state, in milliseconds, and its answer."""
    bench = make()
    remote = remote_of(bench.lake.root)
    if remote and state in STATES[:2]:
        forget(remote)
    reading.FOOTERS_READ = reading.Footers()
    # Logs are read, and the first question that a session is asked finds out what there is.
    table(bench, "SELECT count(*) FROM stock_minute WHERE ticker = '~'")
    if state == STATES[1]:
        other(bench)
        bench.close()
        reading.FOOTERS_READ = reading.Footers()
        bench = make()
        table(bench, "SELECT count(*) FROM stock_minute WHERE ticker = '~'")
    if state == STATES[3]:
        ask(bench)
    if remote:
        remote.ranges.requests = remote.ranges.bytes = 0
    began = time.perf_counter()
    answer = ask(bench)
    taken = (time.perf_counter() - began) * 1000
    bench.close()
    return taken, answer, remote


def run(size: data.Size, folder: Path) -> str:
    """Ask all; gives a table in Markdown."""
    if not weed():
        return "far: no S3 server is installed"
    folder.mkdir(parents=True, exist_ok=True)
    near = kept(folder / f"far-{size.quarters}-{size.quarter_sessions}", lambda bench: make(bench, size))
    with bucket(folder) as given:

        def there() -> Workbench:
            return Workbench(Settings.load(env={}, **given))

        def here() -> Workbench:
            return Workbench(Settings.load(env={}, data=str(near.lake.root)))

        began = time.perf_counter()
        moved = up(near, there())
        print(f"{moved / 1e6:,.0f} MB put into the bucket in {time.perf_counter() - began:.1f} s", flush=True)
        lines = [["far, S3 / disk", *STATES], ["---"] * (len(STATES) + 1)]
        for name, ask in QUESTIONS.items():
            taken = {state: Taken() for state in STATES}
            for _ in range(2 * size.rounds + 1):
                for state, told in taken.items():
                    mine, first, _ = asked(here, ask, state, other)
                    theirs, second, remote = asked(there, ask, state, other)
                    assert alike(digest(first), digest(second)), f"{name}, {state}: {digest(first)}, and {digest(second)} from the bucket"
                    assert digest(first)[0], f"{name}: no rows"
                    told.disk.append(mine)
                    told.far.append(theirs)
                    told.requests, told.bytes = (remote.ranges.requests, remote.ranges.bytes) if remote else (0, 0)
            lines.append([name, *(told.cell() for told in taken.values())])
            print(" | ".join(lines[-1]), flush=True)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def other(bench: Workbench) -> None:
    """Have the footers be fetched of the files that will be asked."""
    bench.bars(OTHER, freq="1m")
    bench.bars(OTHER, freq="1d")
    table(bench, f"SELECT max(open) FROM stock_minute WHERE ticker = '{OTHER}'")
