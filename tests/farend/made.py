"""A made-up market, the same on every machine: few tickers with the oddities that real ones have.

Sessions: the first half of 2024, and March 2026, when sizes had become fractional. `SPLT` splits 4 for 1 on 2024-03-11, `RVRS` 1 for 10 on
2024-05-06, `TWIN` 10 for 1 on 2024-04-15 with a false twin a week before; `GONE` is delisted after 2024-03-15; `OLDCO` becomes `NEWCO` on
2024-04-01; `REUSE` is one company until 2024-01-31 and another from 2024-05-01; `GAPS` does not trade every day.
"""

from datetime import date, timedelta
from functools import cache
from math import exp
from random import Random

from farend.shapes import Bar, Row
from farend.times import MINUTE_NS, SECOND_NS, at_ns

HOLIDAYS = {date(2024, month, day) for month, day in ((1, 1), (1, 15), (2, 19), (3, 29), (5, 27), (6, 19))}
SPANS = ((date(2024, 1, 2), date(2024, 6, 28)), (date(2026, 3, 2), date(2026, 3, 31)))
SPLIT_ON, REVERSE_ON, TWIN_ON = date(2024, 3, 11), date(2024, 5, 6), date(2024, 4, 15)
RENAMED_ON, DELISTED_AFTER = date(2024, 4, 1), date(2024, 3, 15)
REUSED = (date(2024, 1, 31), date(2024, 5, 1))
FRACTIONS_FROM = date(2026, 2, 23)

# Ticker: first close, mean daily volume.
LEVELS = {
    "ACME": (100.0, 2_000_000),
    "BACPB": (12.0, 5_000),
    "BACpB": (24.5, 40_000),
    "BRK.B": (360.0, 3_000_000),
    "DIVI": (55.0, 800_000),
    "E": (31.0, 300_000),
    "GAPS": (7.0, 900),
    "GONE": (3.0, 60_000),
    "NA": (9.0, 70_000),
    "NAN": (15.0, 7_000),
    "NEWCO": (42.0, 900_000),
    "NULL": (2.0, 11_000),
    "OLDCO": (42.0, 900_000),
    "ON": (80.0, 4_000_000),
    "OTCX": (0.05, 1_000_000),
    "REUSE": (18.0, 20_000),
    "RVRS": (1.2, 9_000_000),
    "SPAC.U": (10.1, 3_000),
    "SPAC.WS": (0.4, 25_000),
    "SPLT": (800.0, 1_500_000),
    "TRUE": (5.5, 130_000),
    "TWIN": (500.0, 600_000),
    "ZVZZT": (10.0, 100),
}
TICKERS = tuple(LEVELS)
# New shares for an old one, from a session on.
FACTORS = {"SPLT": (SPLIT_ON, 4.0), "RVRS": (REVERSE_ON, 0.1), "TWIN": (TWIN_ON, 10.0)}


def sessions() -> list[date]:
    every = (first + timedelta(days=n) for first, last in SPANS for n in range((last - first).days + 1))
    return [day for day in every if day.weekday() < 5 and day not in HOLIDAYS]


SESSIONS = sessions()


def trades_on(ticker: str, day: date) -> bool:
    if ticker == "GONE":
        return day <= DELISTED_AFTER
    if ticker == "OLDCO":
        return day < RENAMED_ON
    if ticker == "NEWCO":
        return day >= RENAMED_ON
    if ticker == "REUSE":
        return day <= REUSED[0] or day >= REUSED[1]
    return ticker != "GAPS" or day.toordinal() % 3 != 0


@cache
def history(ticker: str) -> dict[date, Bar]:
    """All daily bars of a ticker: a walk, rescaled on the day of a split."""
    # A renamed company is the same one.
    seed = "OLDCO" if ticker == "NEWCO" else ticker
    walk, level = Random(seed), 0.0
    price, volume = LEVELS[ticker]
    split_on, factor = FACTORS.get(ticker, (date.max, 1.0))
    digits = 4 if price < 1 else 2
    found = {}
    for day in SESSIONS:
        steps = [walk.gauss(0, 0.012) for _ in range(4)]
        shares = factor if day >= split_on else 1.0
        opened, close = (price * exp(level + step) / shares for step in steps[:2])
        level += steps[1]
        high, low = max(opened, close) * (1 + abs(steps[2])), min(opened, close) * (1 - abs(steps[3]))
        total = volume * shares * walk.uniform(0.5, 2)
        total = round(total, 6) if day >= FRACTIONS_FROM else float(int(total))
        opened, high, low, close = (round(value, digits) for value in (opened, high, low, close))
        vwap = round((high + low + close) / 3, 4)
        bar = Bar(opened, high, low, close, total, max(1, int(total / 120)), vwap, ticker == "OTCX", at_ns(day))
        if trades_on(ticker, day):
            found[day] = bar
    return found


def day(day: date) -> dict[str, Bar]:
    """The market's bars of a session."""
    return {ticker: bar for ticker in TICKERS if (bar := history(ticker).get(day))}


def minutes(ticker: str, day: date) -> list[Bar]:
    """A ticker's minute bars: two before the bell, the regular session's in order, one after it."""
    whole = history(ticker).get(day) if ticker in LEVELS else None
    if not whole:
        return []
    dice = Random(f"{ticker} {day}")
    starts = [at_ns(day, 4), at_ns(day, 8, 15)]
    starts += [at_ns(day, 9, 30) + n * MINUTE_NS for n in range(390) if n in (0, 389) or dice.random() > 0.02]
    starts.append(at_ns(day, 16, 5))
    digits = 4 if whole.close < 1 else 2
    bars = []
    for place, start in enumerate(starts):
        prices = [round(dice.uniform(whole.low, whole.high), digits) for _ in range(4)]
        opened = whole.open if place == 2 else prices[0]
        close = whole.close if place == len(starts) - 2 else prices[1]
        volume = round(whole.volume / len(starts), 6) if day >= FRACTIONS_FROM else float(int(whole.volume / len(starts)) or 1)
        high, low = max(opened, close, *prices), min(opened, close, *prices)
        bars.append(Bar(opened, high, low, close, volume, 1 + place % 7, round((high + low) / 2, 4), whole.otc, start))
    return bars


def ticks(kind: str, ticker: str, day: date) -> list[Row]:
    """A ticker's trades or quotes: some of a session's, with every digit of their nanoseconds."""
    whole = history(ticker).get(day) if ticker in LEVELS else None
    if not whole:
        return []
    return trades(whole, ticker, day) if kind == "trades" else quotes(whole, ticker, day)


def trades(whole: Bar, ticker: str, day: date, count: int = 120) -> list[Row]:
    dice = Random(f"trades {ticker} {day}")
    stamps = sorted(dice.randrange(at_ns(day, 4), at_ns(day, 20)) for _ in range(count))
    rows = []
    for nth, stamp in enumerate(stamps):
        off_exchange = nth % 4 == 0
        size = round(dice.uniform(0.01, 300), 6) if day >= FRACTIONS_FROM else dice.randrange(1, 300)
        row: Row = {
            "exchange": 4 if off_exchange else dice.choice((8, 10, 11, 12, 19)),
            "id": str(nth + 1),
            "participant_timestamp": stamp - dice.randrange(-23_000_000, 900_000_000),
            "price": round(dice.uniform(whole.low, whole.high), 4),
            "sequence_number": 1000 + nth * 7,
            "sip_timestamp": stamp,
            "size": size,
            "tape": 3 if ticker == "ACME" else 1,
        }
        if nth % 3:
            row["conditions"] = [12, 37] if nth % 3 == 1 else [14, 12, 37, 41]
        if off_exchange:
            row |= {"trf_id": 201 + nth % 2, "trf_timestamp": stamp - 400_000}
        if nth == count // 2:
            row["correction"] = 1
        rows.append(row)
    return rows


def quotes(whole: Bar, ticker: str, day: date, count: int = 120) -> list[Row]:
    """Quotes from before 04:00 on; the first has neither side, some are crossed or one-sided."""
    dice = Random(f"quotes {ticker} {day}")
    stamps = [at_ns(day, 3, 59) + 39_044_279, *sorted(dice.randrange(at_ns(day, 4), at_ns(day, 20)) for _ in range(count - 1))]
    rows = []
    for nth, stamp in enumerate(stamps):
        middle = dice.uniform(whole.low, whole.high)
        row: Row = {
            "ask_exchange": dice.choice((8, 11, 12)),
            "ask_price": 0 if nth == 0 else round(middle + (0.01 if nth % 10 else -0.02), 2),
            "ask_size": 0 if nth == 0 else 100 * dice.randrange(1, 9),
            "bid_exchange": dice.choice((8, 11, 12)),
            "bid_price": 0 if nth % 15 == 0 else round(middle - 0.01, 2),
            "bid_size": 0 if nth % 15 == 0 else 100 * dice.randrange(1, 9),
            "conditions": [1, 81] if nth % 2 else [1],
            "participant_timestamp": stamp - dice.randrange(SECOND_NS),
            "sequence_number": 100 + nth,
            "sip_timestamp": stamp,
            "tape": 1,
        }
        if nth % 20 == 0:
            row["indicators"] = [604]
        rows.append(row)
    return rows
