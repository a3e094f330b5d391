"""A small lake whose every bar is known, for old queries to be asked of: stocks by minute and by day, and what the bot's users wrote.

A Friday in January whose only minute is after the close, when it is Saturday in UTC; two sessions of the last month, one of which has no minutes.
`AAPL` has minutes where there are any, `IBM` has day bars only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from flatfiles import BAR, MINUTE_NS, STOCK_DAY, STOCK_MINUTE, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings

FRIDAY = date(2024, 1, 5)
NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Bar:
    """A bar: the minute after midnight that it begins at (none: the session's), and its values."""

    ticker: str
    minute: int | None
    open: float
    high: float
    low: float
    close: float
    volume: float

    def line(self, day: date) -> str:
        """As the vendor writes it."""
        stamp = STOCK_DAY.session_ns(day)[0] + (self.minute or 0) * MINUTE_NS
        return f"{self.ticker},{self.volume},{self.open},{self.close},{self.high},{self.low},{stamp},7"

    def at(self, day: date) -> datetime:
        """The instant that it begins at."""
        return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK) + timedelta(minutes=self.minute or 0)


EVENING = Bar("AAPL", 19 * 60 + 59, 180, 182, 179, 181, 10)
# Out of order, as files may be: neither the first nor the last row is the first or last bar.
MINUTES = [
    Bar("AAPL", 9 * 60 + 30, 20, 22, 19, 21, 300.5),
    Bar("AAPL", 19 * 60 + 59, 30, 33, 29, 31, 50),
    Bar("AAPL", 4 * 60, 10, 11, 9.5, 10.5, 100),
]
# The day file's own view of a session with minutes, which must not be counted beside them.
BESIDE = Bar("AAPL", None, 1, 100, 0.5, 2, 9999)
LONE = Bar("IBM", None, 50, 55, 49, 52, 700)
DAYS = [Bar("AAPL", None, 40, 44, 39, 41, 1000), Bar("IBM", None, 60, 66, 59, 61, 800)]


@dataclass(frozen=True)
class OldLake:
    """The lake, and its two sessions of the last month: one with minutes, and the newest, with day bars only."""

    bench: Workbench
    files: Path
    both: date
    newest: date

    @property
    def days(self) -> list[tuple[date, str, float, float, float, float, float]]:
        """The sessions of the last month as `day, symbol, open, high, low, close, volume`, the newest first, worked out by hand."""
        return [
            (self.newest, "AAPL", 40, 44, 39, 41, 1000),
            (self.newest, "IBM", 60, 66, 59, 61, 800),
            (self.both, "AAPL", 10, 33, 9.5, 31, 450.5),
            (self.both, "IBM", 50, 55, 49, 52, 700),
        ]

    @property
    def gaps(self) -> list[date]:
        """The weekdays since the beginning of 2024 on which AAPL has no bar."""
        first, today = date(2024, 1, 1), datetime.now(NEW_YORK).date()
        every = (first + timedelta(days=n) for n in range((today - first).days + 1))
        return [day for day in every if day.weekday() < 5 and day not in (FRIDAY, self.both, self.newest)]


@contextmanager
def opened(folder: Path) -> Iterator[OldLake]:
    """Land it in a folder, and write to the bot's tables."""
    both, newest = sessions.last_sessions(STOCK_DAY, 2)
    landed = {
        FRIDAY: ([EVENING], [BESIDE, LONE]),
        both: (MINUTES, [BESIDE, LONE]),
        newest: ([], DAYS),
    }
    for day, (minutes, days) in landed.items():
        put(folder / "files", STOCK_DAY, day, text([one.line(day) for one in days], BAR))
        if minutes:
            put(folder / "files", STOCK_MINUTE, day, text([one.line(day) for one in minutes], BAR))
    with Workbench(Settings(data=str(folder / "data"), source=f"folder:{folder / 'files'}")) as bench:
        bench.refresh().run()
        bench.compact(["stock_day", "stock_minute"])
        bench.append("kraken_bot.signals", signals())
        bench.append("kraken_bot.trades", trades())
        # As it happens by itself by and by: files have sizes.
        bench.fold()
        yield OldLake(bench, folder / "files", both, newest)


def signals() -> list[dict[str, object]]:
    """Three signals: one that was traded twice, one that was not, one of a test."""
    told = [("BTCUSD", "BUY", False), ("ETHUSD", "HOLD", False), ("TESTUSD", "SELL", True)]
    return [
        {
            "id": n + 1,
            "timestamp": datetime(2025, 11, 23, 14, n, tzinfo=NEW_YORK),
            "symbol": symbol,
            "price": 50_000,
            "final_signal": signal,
            "final_confidence": 0.85,
            "aggregation_method": "weighted_average",
            "strategies": {"sentiment": {"signal": signal, "confidence": 0.9}},
            "test_mode": test,
        }
        for n, (symbol, signal, test) in enumerate(told)
    ]


def trades() -> list[dict[str, object]]:
    """Four trades: two of the first signal, an hour and two days ago; one of the test's; one of none, a test by its amount."""
    now = datetime.now(NEW_YORK)
    told = [
        (1, now - timedelta(hours=1), "BTCUSD", "BUY", False),
        (1, now - timedelta(days=2), "BTCUSD", "SELL", False),
        (3, now - timedelta(hours=2), "TESTUSD", "SELL", True),
        (None, now - timedelta(hours=3), "BTCUSD", "BUY", True),
    ]
    return [
        {
            "id": n + 1,
            "signal_id": signal,
            "timestamp": at,
            "symbol": symbol,
            "action": action,
            "amount": 0 if test else 0.05,
            "price": 50_010,
            "status": "filled",
            "test_mode": test,
        }
        for n, (signal, at, symbol, action, test) in enumerate(told)
    ]
