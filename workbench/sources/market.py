"""An imagined market, the same on every computer: who trades, when, and at what price. The `sample` source writes it down.

Every number is a hash of the seed, the ticker, the date and a position, so that any session can be had without those before it,
and a ticker is the same whoever is beside it. A day's bar comes first; its minutes, trades and quotes are drawn inside it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache, cached_property
from hashlib import blake2b
from itertools import islice
from typing import Any
from warnings import catch_warnings, simplefilter
from zoneinfo import ZoneInfo

from workbench.sources.market_actions import RENAMED, company, levels, shares, symbol
from workbench.tables import Feed, Table

# Counts the times that the same arguments began to give other bytes; files that are kept are kept by it.
EDITION = 2
SECOND = 1_000_000_000
MINUTE = 60 * SECOND

# Big names first, then tickers that text handling breaks: null, boolean and number words, suffixes, pairs that differ by case only,
# neighbours whose order is not byte order, and test tickers.
STOCKS = """
    AAPL MSFT IBM SPY BRK.B NVDA AMZN QQQ BAC T F E ON A NA NULL TRUE NAN INF CpS CPS BACpB BACPB BApA NE.WS.A BCATrw NMCOr
    AIpC AIGpA AIG.WS CAIpA AGM.A AGMpC FTVpA FTVw NOV* ZVZZT ZTEST ATEST NTEST.H
"""
LIQUID = {"AAPL": 230, "MSFT": 430, "IBM": 240, "SPY": 570, "BRK.B": 460, "NVDA": 140, "AMZN": 190, "QQQ": 480, "BAC": 42, "T": 22, "F": 11}
LIQUID[RENAMED] = 64
BASES = {"BCATrw": 0.4, "NMCOr": 0.6, "I:SPX": 5800, "I:NDX": 20000, "I:VIX": 18, "X:BTC-USD": 64000, "X:ETH-USD": 2600, "C:USD-JPY": 150}
INDICES = "I:SPX I:NDX I:DJI I:RUT I:VIX I:COMP I:OEX I:XAU I:SOX I:MID"
COINS = "X:BTC-USD X:ETH-USD X:SOL-USD X:DOGE-USD X:ADA-USD X:LTC-USD X:XRP-USD X:LINK-USD X:DOT-USD X:1INCH-USD"
CURRENCIES = "EUR GBP USD JPY CHF AUD CAD NZD SEK NOK DKK PLN HUF CZK MXN ZAR SGD HKD TRY CNH"
FUTURES = {"CME": "ES NQ RTY 6E LE", "CBOT": "ZN ZB ZC ZS YM", "NYMEX": "CL NG HO RB PL", "COMEX": "GC SI HG MGC SIL"}
SUFFIXES = {"p": "PR", "r": "RT", "w": "WI", ".": ""}
DIGITS = {"forex": 5, "crypto": 4}


def cms(ticker: str) -> str:
    """The key of the vendor's ticker order: the tape's symbol, root first, then a blank and the suffix."""
    match = re.fullmatch(r"([A-Z]+)(.*)", ticker)
    if not match or not match[2]:
        return ticker
    return match[1] + " " + re.sub(r"[prw.]", lambda letter: SUFFIXES[letter[0]], match[2])


def names(table: Table, feed: Feed, count: int, day: date) -> list[str]:
    """The tickers that `count` gives, in the order of the vendor's files."""
    if table.asset == "stocks":
        return [symbol(name, day) for name in _stocks(count)]
    if table.asset == "options":
        roots = list(dict.fromkeys(t for t in _stocks(10 + count // 20) if t.isupper() and t.isalpha()))
        expiry = f"{(day.year + day.month // 12) % 100:02}{day.month % 12 + 1:02}19"
        series = (f"O:{root}{expiry}{side}{strike:05}000" for strike in range(20, 4000, 5) for root in roots for side in "CP")
        return sorted(islice(series, count))
    if table.asset == "futures":
        roots = FUTURES.get(feed.venue.upper(), "ES NQ").split()
        months = (f"{code}{(day.year + years) % 10}" for years in range(1, 10) for code in "HMUZ")
        return sorted(islice((root + month for month in months for root in roots), count))
    if table.asset == "forex":
        currencies = CURRENCIES.split()
        return sorted(islice((f"C:{one}-{two}" for one in currencies for two in currencies if one != two), count))
    roots = [name for name in _stocks(2 * count + 100) if name.isalpha() and name.isupper() and len(name) > 2]
    known = (
        INDICES.split() + [f"I:{root}" for root in roots]
        if table.asset == "indices"
        else COINS.split() + [f"X:{root}-USD" for root in roots]
    )
    return sorted(list(dict.fromkeys(known))[:count])


@cache
def _stocks(count: int) -> tuple[str, ...]:
    found = dict.fromkeys(STOCKS.split()[:count])
    step = 0
    while len(found) < count:
        step += 1
        number = step * 104_729 % 26**4
        root = "".join(chr(65 + number // 26**place % 26) for place in (3, 2, 1, 0))
        suffix = ("pA", ".WS", ".U", "pB", ".A", "p", "r", "w")[step // 16 % 8] if step % 16 == 0 else ""
        found[root[:3] + suffix if suffix else root] = None
    return tuple(sorted(found, key=cms))


def mixed(*parts: Any) -> Any:
    """A hash of whole numbers, element by element; give scalars first and the largest array last."""
    import numpy as np

    state = np.full(1, 0x9E3779B97F4A7C15, np.uint64)
    for part in parts:
        state = (state ^ np.atleast_1d(part).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(29)
        state *= np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(32)
    return state


def unit(bits: Any) -> Any:
    """A hash as a number from 0 to 1."""
    import numpy as np

    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def bell(bits: Any) -> Any:
    """A hash as a number of mean 0 and deviation 1, near enough to normal: the sum of its four quarters."""
    import numpy as np

    low, quarter = np.uint64(0xFFFF), [np.uint64(16 * i) for i in range(4)]
    total = sum(((bits >> q) & low).astype(np.int32) for q in quarter)
    return (total - 131_070) / 37_837.2


@cache
def calendar(name: str) -> Any:
    """An exchange calendar that reaches back to the first flat file."""
    import exchange_calendars

    with catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 deprecates; its users cannot do anything about it.
        simplefilter("ignore")
        return exchange_calendars.get_calendar(name, start="2003-01-01")


@dataclass(frozen=True)
class Hours:
    """The nanoseconds between which a session trades, and its regular part."""

    first: int
    open: int
    close: int
    last: int


def hours(table: Table, day: date) -> Hours:
    """When a table's market trades on a date; an early close is the calendar's. Stocks began at 08:00 in the oldest files."""
    first, last = table.session_ns(day)
    if table.calendar.startswith("24/"):
        return Hours(first, first, last, last)
    exchange = calendar(table.calendar)
    if exchange.is_session(str(day)):
        open, close = (int(f(str(day)).timestamp()) * SECOND for f in (exchange.session_open, exchange.session_close))
    else:
        open, close = _wall(day, time(9, 30)), _wall(day, time(16))
    if table.asset != "stocks":
        return Hours(max(open, first), max(open, first), min(close, last), min(close, last))
    early = close < _wall(day, time(15, 30))
    return Hours(_wall(day, time(8 if day.year < 2008 else 4)), open, close, _wall(day, time(17 if early else 20)))


def _wall(day: date, clock: time) -> int:
    return int(datetime.combine(day, clock, ZoneInfo("America/New_York")).timestamp()) * SECOND


def shared_out(total: int, weights: Any, limits: Any) -> Any:
    """Whole numbers near the proportions of `weights` that add up to `total`, none above its limit, none 0 if it can be helped."""
    import numpy as np

    if total > limits.sum():
        raise ValueError(f"{total:,} rows do not fit these tickers and this session, which hold {limits.sum():,}; nothing was written")
    floor = 1 if total >= len(weights) else 0
    low, high = 0.0, float(total) / weights.min() + 1
    for _ in range(80):
        middle = (low + high) / 2
        fits = np.minimum(limits, np.maximum(floor, np.floor(weights * middle))).sum() <= total
        low, high = (middle, high) if fits else (low, middle)
    counts = np.minimum(limits, np.maximum(floor, np.floor(weights * low))).astype(np.int64)
    order = np.argsort(-weights, kind="stable")
    while rest := total - int(counts.sum()):
        counts[order[counts[order] < limits[order]][:rest]] += 1
    return counts


@dataclass(frozen=True)
class Market:
    """Some tickers on one session. All arrays run along `tickers`."""

    tickers: tuple[str, ...]
    day: date
    hours: Hours
    seed: int = 0
    digits: int = 2

    @classmethod
    def of(cls, table: Table, tickers: Sequence[str], day: date, seed: int) -> "Market":
        """The market that a table's files tell of; stocks come in the vendor's order, others in byte order."""
        order = cms if table.asset == "stocks" else None
        return cls(tuple(sorted(tickers, key=order)), day, hours(table, day), seed, DIGITS.get(table.asset, 2))

    def __getitem__(self, positions: Iterable[int]) -> "Market":
        """The same session of the tickers at these positions."""
        return Market(tuple(self.tickers[i] for i in positions), self.day, self.hours, self.seed, self.digits)

    @property
    def minutes(self) -> int:
        """How many minutes the session trades, extended hours included."""
        return (self.hours.last - self.hours.first) // MINUTE

    @property
    def regular(self) -> tuple[int, int]:
        """The positions of the first regular minute and of the minute after the last."""
        return (self.hours.open - self.hours.first) // MINUTE, (self.hours.close - self.hours.first) // MINUTE

    @cached_property
    def companies(self) -> tuple[str, ...]:
        """Whose tickers they are: what a company is does not change with its symbol."""
        return tuple(map(company, self.tickers))

    @cached_property
    def ids(self) -> Any:
        """A hash of every company and the seed."""
        import numpy as np

        digests = (blake2b(f"{self.seed} {name}".encode(), digest_size=8).digest() for name in self.companies)
        return np.frombuffer(b"".join(digests), np.uint64)

    @cached_property
    def rank(self) -> Any:
        """Where a ticker stands by liquidity: near 0 trades most, near 1 least."""
        import numpy as np

        return np.where([name in LIQUID for name in self.companies], 0.0005, 0.001 + 0.999 * unit(mixed(1, self.ids)))

    @cached_property
    def volatility(self) -> Any:
        """The deviation of a day's log return."""
        return 0.006 + 0.02 * unit(mixed(2, self.ids)) * (0.3 + self.rank)

    def noise(self, purpose: int) -> Any:
        """A fresh hash for every ticker and this session."""
        return mixed(purpose, self.day.toordinal(), self.ids)

    def settled(self, ordinal: int) -> Any:
        """The close of any date, splits and dividends left out: a random walk built from midpoints (Lévy), so that a date costs 13 draws, not its whole past.

        It comes back to its base price every 4096 days, which keeps charts in a plausible range.
        """
        import numpy as np

        walk = np.zeros(len(self.tickers))
        for power in range(1, 14):
            length = 2**power
            tent = 1 - abs(2 * (ordinal % length) / length - 1)
            if tent and length <= 4096:
                walk += np.sqrt(length) / 2 * tent * bell(mixed(3, power, ordinal // length, self.ids))
        bases = np.exp(2 + 3.5 * unit(mixed(4, self.ids)))
        known = [LIQUID.get(name) or BASES.get(name) or 0 for name in self.companies]
        return np.where(known, known, 1 + bases % 2 if self.digits == 5 else bases) * np.exp(self.volatility * walk)

    def rounded(self, price: Any) -> Any:
        """Prices on the tick: cents from one dollar up, hundredths of a cent below; rates and coins have more digits."""
        import numpy as np

        fine = max(4, self.digits)
        return np.where(price < 1, np.maximum(np.round(price, fine), 10.0**-fine), np.round(price, self.digits))

    def tick(self, price: Any) -> Any:
        """The least step of a price."""
        import numpy as np

        return np.where(price < 1, 10.0 ** -max(4, self.digits), 10.0**-self.digits)

    def close(self, ordinal: int) -> Any:
        """The close of any date, told in the shares of this session, and with its dividend already paid."""
        return self.rounded(self.settled(ordinal) * levels(self.companies, self.day.toordinal(), ordinal))

    @cached_property
    def before(self) -> Any:
        """The close of the date before."""
        return self.close(self.day.toordinal() - 1)

    @cached_property
    def prices(self) -> tuple[Any, Any, Any, Any]:
        """Open, high, low and close of the regular session."""
        import numpy as np

        close = self.close(self.day.toordinal())
        open = self.rounded(self.before * np.exp(0.25 * self.volatility * bell(self.noise(5))))
        above, below = (np.exp(0.4 * self.volatility * np.abs(bell(self.noise(i)))) for i in (6, 7))
        high = np.maximum(np.maximum(open, close), self.rounded(np.maximum(open, close) * above))
        low = np.minimum(np.minimum(open, close), self.rounded(np.minimum(open, close) / below))
        return open, high, low, close

    @cached_property
    def volume(self) -> Any:
        """Units traded, extended hours included."""
        import numpy as np

        today = self.day.toordinal()
        full = 3000 * self.rank**-1.25 * np.exp(0.4 * bell(self.noise(8))) * shares(self.companies, today, today)
        return np.floor(full * min(1, self.minutes / 960)).astype(np.int64) + 1

    @cached_property
    def active(self) -> Any:
        """How many minutes have a bar."""
        import numpy as np

        return np.clip((self.minutes * (1 - self.rank) ** 4).astype(np.int64), 1, self.most)

    @cached_property
    def most(self) -> Any:
        """How many minutes could have a bar, so that their volume stays below the day's."""
        import numpy as np

        return np.clip(self.volume * 2 // 5, 1, self.minutes)

    @cached_property
    def tempo(self) -> Any:
        """How busy each minute is: the open and close of the regular session most, extended hours least."""
        import numpy as np

        tempo = np.full(self.minutes, 0.08)
        begin, end = self.regular
        tempo[begin:end] = 0.7 + 1.5 * np.linspace(-1, 1, end - begin) ** 2
        return tempo

    @cached_property
    def path(self) -> Any:
        """The middle price at the start of every minute, and at the end of the last: a row per ticker.

        It leads from the last close to the open, through the regular session to the close, and stays around it.
        """
        import numpy as np

        minute = np.arange(self.minutes + 1)
        steps = bell(mixed(9, self.day.toordinal(), self.ids[:, None], minute[None, :])) * (self.volatility[:, None] / 20)
        open, high, low, close = self.prices
        begin, end = self.regular
        path = np.empty(steps.shape)
        for start, stop, left, right in ((0, begin, self.before, open), (begin, end, open, close), (end, self.minutes, close, close)):
            walk = np.cumsum(steps[:, start : stop + 1], axis=1)
            ramp = np.linspace(0, 1, stop + 1 - start)
            walk += (np.log(left) - walk[:, 0])[:, None] + ramp * (np.log(right / left) - walk[:, -1] + walk[:, 0])[:, None]
            path[:, start : stop + 1] = np.exp(walk)
        path[:, begin : end + 1] = np.clip(path[:, begin : end + 1], low[:, None], high[:, None])
        return path
