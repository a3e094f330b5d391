"""What else the made-up market trades: currencies at all hours of UTC's days, an index without volume, an option."""

from datetime import UTC, date, timedelta
from functools import lru_cache
from math import nan
from random import Random

from farend.shapes import Bar, Row
from farend.times import MINUTE_NS, at_ns, zone_of

LEVELS = {"X:BTCUSD": 65_000.0, "X:ETHUSD": 3_400.0, "C:EURUSD": 1.09, "I:SPX": 5_100.0, "O:ACME240621C00100000": 7.5}
DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(31)]


def open_on(ticker: str, day: date) -> bool:
    """Crypto never rests, the rest does on weekends."""
    return day in DAYS and (ticker.startswith("X:") or (day.weekday() < 5 and day != date(2024, 3, 29)))


@lru_cache(maxsize=256)
def minutes(ticker: str, day: date) -> list[Bar]:
    """A bar every quarter of an hour, in the ticker's day."""
    if ticker not in LEVELS or not open_on(ticker, day):
        return []
    dice, zone = Random(f"{ticker} {day}"), zone_of(ticker)
    whole_day = zone is UTC
    start = at_ns(day, zone=zone) if whole_day else at_ns(day, 9, 30)
    bars = []
    for nth in range(96 if whole_day else 26):
        prices = [round(LEVELS[ticker] * dice.uniform(0.97, 1.03), 5) for _ in range(2)]
        volume = (
            nan
            if ticker.startswith("I:")
            else round(dice.uniform(0.001, 90), 8)
            if ticker.startswith("X:")
            else float(dice.randrange(1, 90))
        )
        trades = None if ticker.startswith("I:") else dice.randrange(1, 99)
        bars.append(Bar(prices[0], max(prices), min(prices), prices[1], volume, trades, start_ns=start + nth * 15 * MINUTE_NS))
    return bars


def day(session: date) -> dict[str, Bar]:
    """The daily bars of everything here."""
    found = {}
    for ticker in LEVELS:
        if bars := minutes(ticker, session):
            volume, counts = sum(bar.volume for bar in bars), [bar.trades or 0 for bar in bars]
            high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
            found[ticker] = Bar(bars[0].open, high, low, bars[-1].close, round(volume, 8), sum(counts) or None)
    return found


def ticks(kind: str, ticker: str, session: date) -> list[Row]:
    """Trades of crypto and the option, quotes of currencies; those of currencies have no SIP."""
    kinds = {"trades": ("X:", "O:"), "quotes": ("C:", "O:")}
    if not ticker.startswith(kinds[kind]):
        return []
    rows: list[Row] = []
    for nth, bar in enumerate(minutes(ticker, session)):
        at = bar.start_ns + 123_456_789
        if kind == "quotes":
            row: Row = {
                "ask_exchange": 48,
                "ask_price": bar.close + 0.0001,
                "bid_exchange": 48,
                "bid_price": bar.close,
                "participant_timestamp": at,
            }
        else:
            row = {"conditions": [2], "exchange": 1, "id": str(nth), "participant_timestamp": at, "price": bar.close, "size": bar.volume}
        if ticker.startswith("O:"):
            row.pop("id", None)
            row |= {"sip_timestamp": at + 1000, "sequence_number": nth} | ({"ask_size": 10, "bid_size": 5} if kind == "quotes" else {})
        rows.append(row)
    return rows
