"""Flat files to measure with, made once by the sample generator and kept beside the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from workbench import sessions
from workbench.sources import sample
from workbench.tables import Table, find


@dataclass(frozen=True)
class Size:
    """How much to measure with.

    Landing takes the newest `minute_sessions`; questions are asked of a quarter, a month and some hot sessions, and of the quarter
    `quarters` times, of which five years are made. `growth` and `tick_sessions` are the lengths of lakes that consist of links.
    """

    tickers: int
    minute_sessions: int
    day_sessions: int
    trades: int
    quotes: int
    rounds: int
    quarter_sessions: int
    month_sessions: int
    hot_sessions: int
    quarters: int
    growth: tuple[int, ...]
    tick_sessions: tuple[int, ...]


FULL = Size(
    tickers=11_000,
    minute_sessions=21,
    day_sessions=1_260,
    trades=15_000_000,
    quotes=10_000_000,
    rounds=3,
    quarter_sessions=64,
    month_sessions=22,
    hot_sessions=4,
    quarters=19,
    growth=(250, 1_250, 5_000),
    tick_sessions=(250, 5_040),
)
SHORT = Size(
    tickers=800,
    minute_sessions=3,
    day_sessions=40,
    trades=300_000,
    quotes=200_000,
    rounds=1,
    quarter_sessions=5,
    month_sessions=3,
    hot_sessions=1,
    quarters=3,
    growth=(63, 189),
    tick_sessions=(5, 20),
)

TRADE_DAY = date(2026, 10, 2)


def files(folder: Path, table: Table, days: Sequence[date], tickers: int, rows: int | None = None) -> list[Path]:
    """Flat files of some sessions, made unless they are there."""
    paths = [folder / table.key_of(table.feeds[0], day) for day in days]
    for day, path in zip(days, paths, strict=True):
        if not path.exists():
            sample.write(folder, table, day, tickers=tickers, rows=rows)
    return paths


def minute_days(size: Size) -> list[date]:
    """The newest sessions of September and October 2026, as many as wanted."""
    return sessions.between(find("stock_minute"), date(2026, 9, 1), date(2026, 10, 30))[: size.minute_sessions]


def quarter_days(size: Size) -> list[date]:
    """Sessions of the third quarter of 2026."""
    return sessions.between(find("stock_minute"), date(2026, 7, 1), date(2026, 9, 30))[: size.quarter_sessions]


def month_days(size: Size) -> list[date]:
    """Sessions of October 2026."""
    return sessions.between(find("stock_minute"), date(2026, 10, 1), date(2026, 10, 30))[: size.month_sessions]


def hot_days(size: Size) -> list[date]:
    """Sessions of November 2026."""
    return sessions.between(find("stock_minute"), date(2026, 11, 2), date(2026, 11, 5))[: size.hot_sessions]


def day_days(size: Size) -> list[date]:
    """Five years of sessions, as many as wanted."""
    return sessions.between(find("stock_day"), date(2021, 1, 4), date(2026, 10, 30))[: size.day_sessions]


def make(folder: Path, size: Size) -> Path:
    """All flat files of a size, in a folder of its own."""
    home = folder / f"flat-{size.tickers}-{size.trades}"
    for days in (minute_days(size), quarter_days(size), month_days(size), hot_days(size)):
        files(home, find("stock_minute"), days, size.tickers)
    files(home, find("stock_day"), day_days(size), size.tickers)
    files(home, find("stock_trades"), [TRADE_DAY], size.tickers, size.trades)
    return home
