"""What old queries must answer on the lake of `oldlake`, worked out by hand or told by the disk."""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from oldlake import FRIDAY, NEW_YORK, OldLake

from workbench.tables import TABLES
from workbench.tables.platforms import RECORDS

Check = Callable[[OldLake, duckdb.DuckDBPyRelation], None]


def one(_: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """A query that only sees whether anybody answers."""
    assert asked.fetchall() == [(1,)]


def answered(_: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """A statement that keeps a database: what it would do, and what stands here in its place."""
    assert asked.columns == ["statement", "answer", "instead"]
    rows = asked.fetchall()
    assert rows
    for _, answer, instead in rows:
        assert answer.endswith(".")
        assert "Error" not in f"{answer} {instead}"


# ---------------------------------------------------------------------- bars


def totals(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """Bars, first and last day: two of the Friday, four of the session with minutes, two of the newest. Midnights of UTC would say Saturday."""
    assert asked.fetchall() == [(8, FRIDAY, old.newest)]


def latest(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """The last bar of AAPL is the day bar of a session without minutes."""
    [row] = asked.fetchall()
    told = dict(zip(asked.columns, row, strict=True))
    wanted = {"symbol": "AAPL", "open": 40, "high": 44, "low": 39, "close": 41, "volume": 1000, "timeframe": "1d", "source": "folder"}
    assert {name: told[name] for name in wanted} == wanted
    assert told["timestamp"] == datetime(old.newest.year, old.newest.month, old.newest.day, tzinfo=NEW_YORK)


def daily(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """`day, symbol, open, high, low, close, volume` of the last month: volumes once, first and last by time, days of New York."""
    rows = [(day.astimezone(NEW_YORK) if isinstance(day, datetime) else day, *rest) for day, *rest in asked.fetchall()]
    assert all(day.hour == 0 for day, *_ in rows if isinstance(day, datetime))
    days = [(day.date() if isinstance(day, datetime) else day, *rest) for day, *rest in rows]
    assert [day for day, *_ in days] == sorted((day for day, *_ in days), reverse=True)
    assert sorted(days) == sorted(old.days)


def gaps(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """Weekdays without a bar of AAPL; the Friday with its one bar in the evening is none."""
    days = [day for (day,) in asked.fetchall()]
    assert sorted(days) == old.gaps


# ---------------------------------------------------------------------- sizes


def written(size: int) -> str:
    """A size of less than ten megabytes as PostgreSQL writes it."""
    return f"{size} bytes" if size < 10240 else f"{(size + 512) // 1024} kB"


def on_disk(old: OldLake, *tables: str, chunk: str = "") -> int:
    """The bytes of the files that Delta lists of some tables, named as folders; without any, of all."""
    lake = old.bench.lake.root / "lake"
    folders = [lake / table for table in tables] or [log.parent for log in lake.glob("*/*/_delta_log")]
    files = [Path(file) for folder in folders for file in DeltaTable(folder).file_uris()]
    return sum(file.stat().st_size for file in files if f"chunk={chunk}" in str(file) or not chunk)


def megabytes(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """The lake's size in whole megabytes."""
    assert asked.fetchall() == [(on_disk(old) // 2**20,)]


def whole(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """The lake's size as PostgreSQL writes it."""
    assert asked.fetchall() == [(written(on_disk(old)),)]


def sizes(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """Schema, name and size of every table, the largest first."""
    rows = asked.fetchall()
    told = {(schema, name): size for schema, name, size in rows}
    assert len(rows) == len(told) == len(TABLES) + len(RECORDS)
    assert told["main", "stock_minute"] == written(on_disk(old, "main/stock_minute"))
    assert told["kraken_bot", "trades"] == written(on_disk(old, "kraken_bot/trades"))
    assert told["kraken_bot", "holdings"] == "0 bytes"
    inorder = [int(size.split()[0]) * (1024 if size.endswith("kB") else 1) for *_, size in rows]
    assert all(before >= after - 512 for before, after in pairwise(inorder))


def chunks(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """`hypertable_name, chunk_name, size, range_start, range_end` of ohlcv: its minutes, and the month of the session without any; newest first."""
    rows = asked.fetchall()
    minute, day = f"stock_minute_{old.both:%Y-%m}", f"stock_day_{old.newest:%Y-%m}"
    assert sorted(name for _, name, *_ in rows) == sorted([day, minute, "stock_minute_2024-Q1"])
    assert rows[-1][3:] == (datetime(2024, 1, 1, tzinfo=NEW_YORK), datetime(2024, 4, 1, tzinfo=NEW_YORK))
    assert {table for table, *_ in rows} == {"ohlcv"}
    assert {name: size for _, name, size, *_ in rows}[minute] == written(on_disk(old, "main/stock_minute", chunk=f"{old.both:%Y-%m}"))


def compressed(old: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """`hypertable_name, chunk_name, compression_status, original, compressed` of what is cold: the year 2024."""
    told = {(table, chunk): rest for table, chunk, *rest in asked.fetchall()}
    file = next((old.files / "us_stocks_sip/day_aggs_v1/2024").rglob("*.csv.gz"))
    after = written(on_disk(old, "main/stock_day", chunk="2024"))
    assert told["stock_day", "stock_day_2024"] == ["Compressed", written(file.stat().st_size), after]
    assert ("ohlcv", "stock_minute_2024-Q1") in told
    assert not any(chunk.startswith(("stock_day_", "stock_minute_")) and chunk.endswith(f"{old.newest:%Y-%m}") for _, chunk in told)


def slowest(_: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """What the session was asked, the slowest first."""
    rows = [dict(zip(asked.columns, row, strict=True)) for row in asked.fetchall()]
    assert 0 < len(rows) <= 10
    assert [row["total_time"] for row in rows] == sorted((row["total_time"] for row in rows), reverse=True)
    assert all(row["calls"] >= 1 for row in rows)


# ---------------------------------------------------------------------- the bot


def tables(_: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """A list that names the bot's tables."""
    names = {str(value) for row in asked.fetchall() for value in row}
    assert {"signals", "trades", "holdings", "bot_status"} <= names


def columns(_: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """The declaration of the signals."""
    [(told,)] = asked.fetchall()
    assert told.startswith("CREATE TABLE")
    assert all(f"{column.name} {column.type}" in told for column in RECORDS["kraken_bot.signals"].columns)


def production_signals(_: OldLake, asked: duckdb.DuckDBPyRelation) -> None:
    """The signals that are no tests."""
    assert asked.columns == [column.name for column in RECORDS["kraken_bot.signals"].columns]
    assert sorted((row[0], row[2]) for row in asked.fetchall()) == [(1, "BTCUSD"), (2, "ETHUSD")]
