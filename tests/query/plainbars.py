"""Bars as the rules say, in plain Python, bar by bar: what the fast path and SQL are compared with. And a lake with whatever may go wrong."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from flatfiles import STOCK_DAY, STOCK_MINUTE, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings

ZONE = ZoneInfo("America/New_York")
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}
SIZES = (*MINUTES, "1d", "1w", "1mo")
PARTS = ("all", "pre", "regular", "post")

# Clocks change on 2024-03-10; Good Friday is 2024-03-29; sessions end early on 2024-07-03 and 2024-11-29.
DAYS = [
    *sessions.between(STOCK_DAY, date(2024, 3, 5), date(2024, 3, 13)),
    *sessions.between(STOCK_DAY, date(2024, 3, 26), date(2024, 4, 3)),
    *sessions.between(STOCK_DAY, date(2024, 7, 1), date(2024, 7, 9)),
    *sessions.between(STOCK_DAY, date(2024, 11, 26), date(2024, 12, 3)),
]
# Never published.
ABSENT = {date(2024, 3, 8), date(2024, 4, 2), date(2024, 7, 5)}
TICKERS = ("AAA", "BBB", "CCC", "RARE")


@dataclass(frozen=True)
class Bar:
    """A bar; `at` is where it begins, `last` the session of its last row."""

    ticker: str
    day: date
    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    transactions: int
    last: date
    filled: bool = False


def edges(day: date) -> tuple[datetime, datetime, datetime, datetime]:
    """Beginning of pre-market, opening, close and end of post-market; a day that is no session has the usual ones."""
    if hours := sessions.hours(STOCK_MINUTE, day):
        assert hours.pre and hours.post
        return hours.pre[0], *hours.regular, hours.post[1]
    return tuple(datetime.combine(day, at, ZONE).astimezone(UTC) for at in (time(4), time(9, 30), time(16), time(20)))  # type: ignore[return-value]


def spans(day: date, part: str) -> list[tuple[datetime, datetime]]:
    """The parts of a session that make up a part, half open."""
    pre, opens, closes, post = edges(day)
    known = {"pre": (pre, opens), "regular": (opens, closes), "post": (closes, post)}
    return list(known.values()) if part == "all" else [known[part]]


def begin(at: datetime, day: date, size: str) -> datetime:
    """Where the bar begins that an instant lies in."""
    if size in MINUTES:
        pre, opens, closes, _ = edges(day)
        since, step = closes if at >= closes else opens if at >= opens else pre, timedelta(minutes=MINUTES[size])
        while since > at:
            since -= step
        while since + step <= at:
            since += step
        return since
    return midnight(first_of(day, size))


def first_of(day: date, size: str) -> date:
    """The first session of a day's week or month."""
    if size == "1d":
        return day
    start = day - timedelta(days=day.weekday()) if size == "1w" else day.replace(day=1)
    end = start + timedelta(days=6) if size == "1w" else (start + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return next(iter(sessions.between(STOCK_DAY, start, end)), start)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), ZONE).astimezone(UTC)


def resampled(rows: Sequence[Bar], size: str, part: str, *, split: tuple[str, date, float] | None = None) -> list[Bar]:
    """Bars of a part from rows, in order; `split` is one of a ticker, its day, and how many shares one became."""
    kept = [one for one in rows if part == "all" or any(a <= one.at < z for a, z in spans(one.day, part))]
    if size == "1m":
        return kept
    if size in ("1w", "1mo"):
        found = []
        for _, some in groupby(kept, key=lambda one: (one.ticker, begin(one.at, one.day, size))):
            several = list(some)
            found += [in_shares(one, several[-1].day, split) for one in several]
        kept = found
    return [joined(list(some), at, size) for (_, at), some in groupby(kept, key=lambda one: (one.ticker, begin(one.at, one.day, size)))]


def in_shares(bar: Bar, day: date, split: tuple[str, date, float] | None) -> Bar:
    """A bar in the shares of a later day."""
    if not split or split[0] != bar.ticker or not bar.last < split[1] <= day:
        return bar
    n = split[2]
    return replace(bar, open=bar.open / n, high=bar.high / n, low=bar.low / n, close=bar.close / n, volume=bar.volume * n)


def joined(rows: Sequence[Bar], at: datetime, size: str) -> Bar:
    return Bar(
        rows[0].ticker,
        at.astimezone(ZONE).date() if size in ("1w", "1mo") else rows[0].day,
        at,
        rows[0].open,
        max(one.high for one in rows),
        min(one.low for one in rows),
        rows[-1].close,
        sum(one.volume for one in rows),
        sum(one.transactions for one in rows),
        rows[-1].day,
    )


def filled(
    bars: Sequence[Bar], size: str, part: str, limit: int, held: Iterable[date], *, split: tuple[str, date, float] | None = None
) -> list[Bar]:
    """Bars with those that no trade made."""
    held = sorted(held)
    found = []
    for _, own in groupby(bars, key=lambda one: one.ticker):
        there = list(own)
        for n, bar in enumerate(there):
            found.append(bar)
            after = there[n + 1].at if n + 1 < len(there) else None
            put = [slot for slot in slots(bar, size, part, held) if slot[0] > bar.at and (after is None or slot[0] < after)][:limit]
            for at, day, last in put:
                close = in_shares(bar, last, split).close
                found.append(Bar(bar.ticker, day, at, close, close, close, close, 0.0, 0, last, True))
    return found


def slots(bar: Bar, size: str, part: str, held: Sequence[date]) -> list[tuple[datetime, date, date]]:
    """Where bars may follow a bar: when, in which session, and the last session that counts to it."""
    if size in MINUTES:
        if bar.day not in held:
            return []
        step = timedelta(minutes=MINUTES[size])
        return [(a + n * step, bar.day, bar.day) for a, z in spans(bar.day, part) for n in range(-((a - z) // step))]
    return [
        (midnight(first), first, list(days)[-1])
        for first, days in ((first, list(some)) for first, some in groupby(held, key=lambda day: first_of(day, size)))
    ]


def rows_of(frame: pl.DataFrame) -> list[Bar]:
    """A frame's bars."""
    names = ("ticker", "date", "timestamp", "open", "high", "low", "close", "volume", "transactions", "date")
    marks = frame["filled"].to_list() if "filled" in frame.columns else [False] * len(frame)
    rows = frame.select(pl.col(name).alias(f"{n}") for n, name in enumerate(names)).rows()
    return [Bar(*(*row, filled)) for row, filled in zip(rows, marks, strict=True)]


def alike(one: Sequence[Bar], other: Sequence[Bar]) -> bool:
    """Whether bars are the same, but for the rounding of products and sums, and for the last session, which frames do not tell."""
    if len(one) != len(other):
        return False
    return all(
        (a.ticker, a.day, a.at, a.transactions, a.filled) == (b.ticker, b.day, b.at, b.transactions, b.filled)
        and all(abs(x - y) <= 1e-9 * max(abs(x), abs(y)) for x, y in zip(numbers(a), numbers(b), strict=True))
        for a, b in zip(one, other, strict=True)
    )


def numbers(bar: Bar) -> tuple[float, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


# ---------------------------------------------------------------------- make


def made_up(seed: int = 5) -> tuple[list[Bar], list[Bar]]:
    """Minutes and day bars of the sessions that are published: with gaps, at the edges of parts, before 04:00 and after 20:00, without volume."""
    chance = random.Random(seed)
    minutes, days = [], []
    for ticker in TICKERS:
        for day in DAYS:
            if day in ABSENT or (ticker == "RARE" and chance.random() < 0.6):
                continue
            pre, opens, closes, post = edges(day)
            length = int((post - pre).total_seconds()) // 60
            count = 3 if ticker == "RARE" else chance.choice([5, 40, 120])
            at = {pre + timedelta(minutes=chance.randrange(length)) for _ in range(count)}
            # A busy stretch, and the edges.
            start = chance.randrange(length - 30)
            at |= {pre + timedelta(minutes=start + n) for n in range(chance.choice([0, 25]))}
            odd = [pre - timedelta(minutes=chance.randrange(1, 240)), post + timedelta(minutes=chance.randrange(1, 60))]
            edge = [opens, closes, opens - timedelta(minutes=1), closes - timedelta(minutes=1), post - timedelta(minutes=1), pre]
            at |= set(chance.sample([*odd, *edge], 3))
            own = [one_bar(chance, ticker, day, when) for when in sorted(at)]
            minutes += own
            if chance.random() < 0.9:
                days.append(one_bar(chance, ticker, day, midnight(day)))
    return minutes, days


def one_bar(chance: random.Random, ticker: str, day: date, at: datetime) -> Bar:
    low = chance.randrange(400, 500) / 10
    prices = [low + chance.randrange(0, 20) / 10 for _ in range(2)]
    volume = chance.choice([0, 0.0015, 100, 1234.5, 1e6])
    high = max(prices) + chance.randrange(0, 5) / 10
    return Bar(ticker, day, at, prices[0], high, low, prices[1], float(volume), int(volume > 0) * chance.randrange(1, 50), day)


def line(bar: Bar) -> str:
    """A bar as a line of a flat file."""
    stamp = int(bar.at.timestamp()) * 1_000_000_000
    return f"{bar.ticker},{bar.volume!r},{bar.open!r},{bar.close!r},{bar.high!r},{bar.low!r},{stamp},{bar.transactions}"


def publish(folder: Path, minutes: Iterable[Bar], days: Iterable[Bar]) -> None:
    """Write bars as flat files, a file each session."""
    for table, bars in ((STOCK_MINUTE, minutes), (STOCK_DAY, days)):
        for day, some in groupby(sorted(bars, key=lambda bar: (bar.day, bar.ticker, bar.at)), key=lambda bar: bar.day):
            put(folder, table, day, text(map(line, some)))


def landed(home: Path, minutes: Iterable[Bar], days: Iterable[Bar]) -> Workbench:
    """A lake of bars."""
    publish(home / "vendor", minutes, days)
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    bench.refresh(source=f"folder:{home / 'vendor'}", datasets=["stock_day", "stock_minute"], start=DAYS[0], end=DAYS[-1]).run()
    return bench
