"""What companies of the imagined market do to their shares: splits, dividends and new symbols, each again and again.

The days follow from the date alone, so that any session can be had without those before it. Between two splits a company's price rises, or falls, by
as much as the split takes back, and before a dividend it rises by what the dividend takes: charts stay in a plausible range, and raw prices
jump on the day itself, in bars, trades and quotes alike. Splits and new symbols come every 300 days, which is fewer than 250 sessions: any window
as long as the demonstration's holds one of each.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from workbench import sessions

# The first session of the market's files.
BEGAN = date(2003, 9, 10)


@dataclass(frozen=True)
class Rhythm:
    """Days that come every so many days: `some` is any one of them. A day that is no session stands for the session after it."""

    some: date
    days: int = 300

    def turn(self, ordinal: int) -> int:
        """How many of the days have come since `some`, up to a date; below 0 before it."""
        return (ordinal - self.some.toordinal()) // self.days

    def phase(self, day: int, ordinal: int) -> float:
        """Where a date lies between the two days of the rhythm around `day`: 0 at the one before, 1 at the one after."""
        return (ordinal - self.some.toordinal()) / self.days - self.turn(day)

    def between(self, first: date, last: date) -> Iterator[date]:
        """The days from `first` to `last`, both included, as they are before weekends and holidays move them."""
        for turn in range(self.turn(first.toordinal() - 1) + 1, self.turn(last.toordinal()) + 1):
            yield self.some + timedelta(days=turn * self.days)


@dataclass(frozen=True)
class Splits:
    """A company's splits: each time `split_from` shares become `split_to`."""

    rhythm: Rhythm
    split_from: int
    split_to: int


@dataclass(frozen=True)
class Dividends:
    """A company's dividends: each time so much of its price, as a share of 1."""

    rhythm: Rhythm
    part: float


SPLITS = {"NVDA": Splits(Rhythm(date(2026, 6, 10)), 1, 4), "F": Splits(Rhythm(date(2026, 3, 10)), 10, 1)}
QUARTERLY = {
    "AAPL": (date(2026, 8, 10), 0.004),
    "BAC": (date(2026, 9, 4), 0.008),
    "IBM": (date(2026, 8, 10), 0.012),
    "MSFT": (date(2026, 8, 20), 0.004),
    "NVDA": (date(2026, 9, 10), 0.005),
    "SPY": (date(2026, 9, 18), 0.004),
    "T": (date(2026, 7, 10), 0.02),
}
DIVIDENDS = {ticker: Dividends(Rhythm(some, 91), part) for ticker, (some, part) in QUARTERLY.items()}
# The company that takes a new symbol each time, as it is called among the market's tickers; its symbols are NOV and two letters.
RENAMED = "NOV*"
NEW_SYMBOL = Rhythm(date(2026, 8, 10))


def company(ticker: str) -> str:
    """Whose symbol it is: the symbol itself, unless the company changes it."""
    return RENAMED if len(ticker) == 5 and ticker[:3] == RENAMED[:3] and ticker.isalpha() and ticker.isupper() else ticker


def symbol(name: str, day: date) -> str:
    """The symbol of a company on a day."""
    if name != RENAMED:
        return name
    turn = NEW_SYMBOL.turn(day.toordinal()) - NEW_SYMBOL.turn(BEGAN.toordinal())
    return RENAMED[:3] + chr(65 + turn // 26 % 26) + chr(65 + turn % 26)


def levels(companies: Sequence[str], day: int, ordinal: int) -> Any:
    """What splits and dividends make of prices on a date, told in the shares of `day`."""
    import numpy as np

    found = 1 / shares(companies, day, ordinal)
    for place, name in enumerate(companies):
        if paid := DIVIDENDS.get(name):
            found[place] *= np.exp(paid.part * paid.rhythm.phase(day, ordinal))
    return found


def shares(companies: Sequence[str], day: int, ordinal: int) -> Any:
    """How many shares of `day` stand for one of a company's usual shares on a date: 1 where a company never splits."""
    import numpy as np

    found = np.ones(len(companies))
    for place, name in enumerate(companies):
        if split := SPLITS.get(name):
            found[place] = (split.split_to / split.split_from) ** (0.5 - split.rhythm.phase(day, ordinal))
    return found


def session_of(day: date) -> date:
    """The first session from a day on."""
    days = sessions.calendar("XNYS").days
    return days[bisect_left(days, day)]
