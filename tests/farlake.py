"""A lake with many cold files and some hot ones, written by hand, that tests put into a bucket as it is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from workbench.lake.footers import Footer
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.where import remote_of
from workbench.lake.store import PARTITIONS, Lake
from workbench.lake.types import polars_type
from workbench.tables import find

TABLE = find("stock_minute")
# Files of some three megabytes: shorter ones DuckDB reads at once, whatever it needs of them.
QUARTERS, BOUNDS, TICKERS, ROWS = 3, ("B", "C"), 72, 1_500
HOT_DAYS = (date(2025, 4, 1), date(2025, 4, 2))
FILES = QUARTERS * (len(BOUNDS) + 1)


def ticker(bucket: int, n: int) -> str:
    """The n-th ticker of a range."""
    return f"{'ABCD'[bucket]}{n:02}"


def rows(tickers: list[str], first: date, count: int, seed: int) -> pl.DataFrame:
    """Minutes of some tickers from a day on, six hours of each day; whole numbers, whose sums are the same in any order."""
    random = np.random.default_rng(seed)
    begin = np.datetime64(f"{first}T15:00", "us")
    stamps = begin + np.array([n // 360 * 1440 + n % 360 for n in range(count)]).astype("timedelta64[m]")
    size, times = count * len(tickers), len(tickers)
    price = random.integers(1_000, 1_000_000, size).astype(float)
    made: dict[str, Any] = {
        "ticker": np.repeat(tickers, count),
        "window_start": np.tile(stamps.astype(np.int64) * 1000, times),
        "date": np.tile(stamps.astype("datetime64[D]"), times),
        "open": price,
        "close": price + random.integers(0, 1000, size),
        "high": price + 1000,
        "low": price - 1000,
        "volume": random.integers(1, 10**9, size).astype(float),
        "transactions": random.integers(1, 10**6, size),
    }
    whole = pl.DataFrame(made).with_columns(
        timestamp=pl.Series(np.tile(stamps, times)).dt.replace_time_zone("UTC"), source=pl.lit("polygon_s3"), is_test=pl.lit(False)
    )
    return whole.select(
        (pl.col(c.name) if c.name in whole.columns else pl.lit(None)).cast(polars_type(c)).alias(c.name) for c in TABLE.columns
    )


def fill(root: Path) -> None:
    """Make the lake in a folder."""
    from deltalake import CommitProperties
    from deltalake.transaction import AddAction

    lake = Lake(root)
    lake.make()
    log = lake[TABLE.name]
    log.set_bounds(BOUNDS)
    adds: list[Any] = []

    def add(chunk: str, bucket: str | None, some: pl.DataFrame, group: int) -> None:
        path = f"chunk={chunk}/bucket={bucket or '__HIVE_DEFAULT_PARTITION__'}/{chunk}-{len(adds):08x}.parquet"
        target = log.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(some.to_arrow(), target, row_group_size=group, compression="zstd", use_dictionary=["ticker", "source", "date"])
        stats = json.dumps(Footer.read(target).stats(TABLE))
        adds.append(AddAction(path, target.stat().st_size, {"chunk": chunk, "bucket": bucket}, 0, data_change=True, stats=stats))

    for quarter in range(QUARTERS):
        for bucket in range(len(BOUNDS) + 1):
            names = [ticker(bucket, n) for n in range(TICKERS)]
            some = rows(names, date(2024, 1 + 3 * quarter, 2), ROWS, 100 * quarter + bucket)
            add(f"2024-Q{quarter + 1}", f"{bucket:02}", some, ROWS)
    for day in HOT_DAYS:
        names = [ticker(bucket, n) for bucket in range(len(BOUNDS) + 1) for n in range(TICKERS)]
        add("2025-Q2", None, rows(names, day, 60, day.day), 500)
    log.create().create_write_transaction(
        adds, "append", log.schema, list(PARTITIONS), commit_properties=CommitProperties(custom_metadata={"landings": "[]"})
    )


def up(near: Path, far: Path) -> int:
    """Put a lake of a folder into the bucket that a machine's root stands for; gives the bytes."""
    remote = remote_of(far)
    assert remote
    Lake(far).make()
    files = [path for path in sorted((near / "lake").rglob("*")) if path.is_file()]
    # A commit is there when what it names is.
    files.sort(key=lambda path: "_delta_log" in path.parts)
    for path in files:
        remote.upload(path, path.relative_to(near).as_posix())
    remote.mirror.stale()
    return sum(path.stat().st_size for path in files)


@contextmanager
def little(most: int = 8) -> Iterator[None]:
    """What is long and small for files of some hundred kilobytes, so that they are read as long ones are."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("SMALL", 4 << 10), ("TAIL", 16 << 10), ("ROUND", 4 << 10), ("GAP", 1 << 10), ("MOST", most)):
            patched.setattr(f"workbench.lake.remote.farfile.{name}", value)
        yield


def quick(remote: Remote) -> None:
    """Have a bucket be given up soon."""
    vars(remote).update(connect_s=2, read_s=1, attempts=2)
    vars(remote).pop("client", None)
