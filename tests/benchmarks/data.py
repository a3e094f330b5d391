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
    """How much to measure with."""

    tickers: int
    minute_sessions: int
    day_sessions: int
    trades: int
    rounds: int


FULL = Size(tickers=11_000, minute_sessions=21, day_sessions=1_260, trades=15_000_000, rounds=3)
SHORT = Size(tickers=800, minute_sessions=3, day_sessions=40, trades=300_000, rounds=1)

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


def day_days(size: Size) -> list[date]:
    """Five years of sessions, as many as wanted."""
    return sessions.between(find("stock_day"), date(2021, 1, 4), date(2026, 10, 30))[: size.day_sessions]


def make(folder: Path, size: Size) -> Path:
    """All flat files of a size, in a folder of its own."""
    home = folder / f"flat-{size.tickers}-{size.trades}"
    files(home, find("stock_minute"), minute_days(size), size.tickers)
    files(home, find("stock_day"), day_days(size), size.tickers)
    files(home, find("stock_trades"), [TRADE_DAY], size.tickers, size.trades)
    return home
