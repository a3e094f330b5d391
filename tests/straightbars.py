"""Bars of sessions, weeks and months as they are summed up straight from what `market_data.ohlcv` shows, and from minutes: what rollups are compared with."""

from typing import Any

import pytest

from workbench.bench import Workbench

DAILY = """SELECT symbol, time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York') AS day, arg_min(open, timestamp) AS open, max(high) AS high,
    min(low) AS low, arg_max(close, timestamp) AS close, sum(volume) AS volume, avg(vwap) AS vwap FROM market_data.ohlcv GROUP BY ALL"""
SUMS = """arg_min(open, timestamp) AS open, max(high) AS high, min(low) AS low, arg_max(close, timestamp) AS close, sum(volume) AS volume,
    sum(close * volume) / nullif(sum(volume), 0) AS vwap, sum(transactions)::BIGINT AS transactions, count(*) AS bars"""
MINUTES = f"""SELECT ticker AS symbol, date::TIMESTAMP AT TIME ZONE 'America/New_York' AS day, 'all' AS session, {SUMS} FROM stock_minute GROUP BY ALL
    UNION ALL SELECT ticker, date::TIMESTAMP AT TIME ZONE 'America/New_York', session_part(timestamp, date) AS part, {SUMS} FROM stock_minute
    WHERE session_part(timestamp, date) IS NOT NULL GROUP BY ALL"""


def longer(size: str, name: str) -> str:
    """Weeks or months from sessions that are summed up straight."""
    return f"""SELECT symbol, bar_start(day, (day AT TIME ZONE 'America/New_York')::DATE, '{size}') AS {name}, arg_min(open, day) AS open,
        max(high) AS high, min(low) AS low, arg_max(close, day) AS close, sum(volume) AS volume, count(*) AS sessions
        FROM ({DAILY}) GROUP BY ALL"""


def rows(bench: Workbench, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query in the order of their keys, numbers with a tolerance: sums of fractions differ by the order in which they are made."""
    found = bench.sql(f"SELECT * FROM ({query}) ORDER BY ALL").fetchall()
    return [tuple(pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for value in row) for row in found]


def same(bench: Workbench) -> None:
    """The views of rollups show what is summed up straight."""
    alike(bench, "FROM market_data.ohlcv_daily", DAILY)
    alike(bench, "FROM market_data.ohlcv_sessions", MINUTES)
    for view, size, name in (("weekly", "1w", "week"), ("monthly", "1mo", "month")):
        alike(bench, f"SELECT * EXCLUDE (vwap) FROM market_data.ohlcv_{view}", longer(size, name))


def alike(bench: Workbench, query: str, other: str) -> None:
    """Two queries have the same rows, but for the rounding of sums."""
    assert bench.sql(f"SELECT * FROM ({query}) ORDER BY ALL").fetchall() == rows(bench, other)
