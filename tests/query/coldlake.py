"""A small lake of hot files, newest chunks and older ones, written by hand, and the same rows as plain tables."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from workbench.lake.footers import Footer
from workbench.lake.store import PARTITIONS, Lake, LakeTable
from workbench.tables import TABLES, Table, quote

ZONE = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Bit:
    """A file to write: the rows of some tickers on some days."""

    chunk: str
    bucket: str | None
    tickers: Sequence[str]
    days: Sequence[date]
    hours: Sequence[int] = (4, 19)


def write(table: LakeTable, bits: Iterable[Bit], bounds: Sequence[str], truth: duckdb.DuckDBPyConnection) -> None:
    """Commit files as compaction and landing leave them, and put their rows in a plain table of the same name."""
    from deltalake import CommitProperties
    from deltalake.transaction import AddAction

    declared = table.table
    truth.execute(f"CREATE TABLE IF NOT EXISTS {quote(declared.name)} AS {declared.empty}")
    table.create()
    table.set_bounds(bounds)
    adds: list[Any] = []
    for n, bit in enumerate(bits, len(table.snapshot().files)):
        path = f"chunk={bit.chunk}/bucket={bit.bucket or '__HIVE_DEFAULT_PARTITION__'}/{bit.chunk}-{n:08x}.parquet"
        target = table.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        truth.execute("CREATE OR REPLACE TEMP TABLE bit AS " + rows(declared, bit))
        truth.execute(f"INSERT INTO {quote(declared.name)} FROM bit")
        truth.execute(f"COPY bit TO '{target}' (FORMAT parquet)")
        stats = Footer.read(target).stats(declared)
        partition = {"chunk": bit.chunk, "bucket": bit.bucket}
        adds.append(AddAction(path, target.stat().st_size, partition, int(time.time() * 1000), data_change=True, stats=json.dumps(stats)))
    table.create().create_write_transaction(
        adds, "append", table.schema, list(PARTITIONS), commit_properties=CommitProperties(custom_metadata={"landings": "[]"})
    )


def rows(table: Table, bit: Bit) -> str:
    """The rows of a file as a query: one for each ticker, day and hour."""
    made = []
    for ticker in sorted(bit.tickers):
        for day in sorted(bit.days):
            for hour in bit.hours:
                at = int(datetime(day.year, day.month, day.day, hour, tzinfo=ZONE).timestamp())
                at_us = at * 1_000_000 + sum(map(ord, ticker))
                special = {"ticker": f"'{ticker}'", "date": f"DATE '{day}'", "timestamp": f"make_timestamptz({at_us})"}
                special[table.time] = str(at_us * 1000 + 7)
                values = {c.name: special.get(c.name, plain(c.type, at_us)) for c in table.columns}
                made.append("SELECT " + ", ".join(f"{values[c.name]}::{c.type} AS {quote(c.name)}" for c in table.columns))
    return " UNION ALL ".join(made)


def plain(kind: str, seed: int) -> str:
    """Some value of a type."""
    return {"VARCHAR": "'x'", "BOOLEAN": "false"}.get(kind, str(seed % 23))


def days(first: date, count: int, step: int = 1) -> list[date]:
    """Some days from one on."""
    return [first + timedelta(days=n * step) for n in range(count)]


# AMZN lies after 'AMZ', which is no ticker; BACpB has small letters; the last range is open.
TICKERS = [["A", "AA", "AAPL"], ["AMZ", "AMZN", "BACpB"], ["MSFT", "MSFU"], ["ZZZ", "ZZZZ", "ZZé"]]
BOUNDS = ("AM", "C", "XY")


def small_lake(root: Path) -> tuple[Lake, duckdb.DuckDBPyConnection]:
    """A lake of minutes (hot, two month chunks, two quarters), days (hot, a month, a year) and trades, and its rows in plain tables."""
    lake, truth = Lake(root), duckdb.connect()
    truth.execute("SET TimeZone = 'America/New_York'")
    lake.make()
    everybody = [ticker for group in TICKERS for ticker in group]
    ranged = [(f"{n:02}", group) for n, group in enumerate(TICKERS)]
    minutes = [Bit("2023-Q3", bucket, group, days(date(2023, 8, 3), 2, 9)) for bucket, group in ranged]
    minutes += [Bit("2023-Q4", bucket, group, days(date(2023, 11, 3), 5, 9)) for bucket, group in ranged]
    minutes += [Bit("2024-01", bucket, group, days(date(2024, 1, 2), 3, 4)) for bucket, group in ranged]
    # A month in which a range had no rows, and one of a single session.
    minutes += [Bit("2024-02", bucket, group, [date(2024, 2, 5)]) for bucket, group in ranged if bucket != "02"]
    minutes += [Bit("2024-03", None, everybody, [day]) for day in (date(2024, 3, 8), date(2024, 3, 11))]
    write(lake["stock_minute"], minutes, BOUNDS, truth)
    sessions = [
        Bit("2023", "00", everybody, days(date(2023, 11, 3), 5, 9), (0,)),
        Bit("2024-01", "00", everybody, days(date(2024, 1, 2), 3, 4), (0,)),
    ]
    write(lake["stock_day"], [*sessions, Bit("2024-03", None, everybody, [date(2024, 3, 8)], (0,))], (), truth)
    trades = [Bit(str(day), bucket, group, [day], (9, 12)) for day in days(date(2024, 3, 7), 3) for bucket, group in ranged]
    write(lake["stock_trades"], trades, BOUNDS, truth)
    for name in TABLES:
        truth.execute(f"CREATE TABLE IF NOT EXISTS {quote(name)} AS {TABLES[name].empty}")
    return lake, truth
