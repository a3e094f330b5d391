"""Paper trading: what a fill does to a portfolio, how much of an order is filled, and what a sale scores. Arithmetic only; reads and writes nothing."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["buy", "sell"]

# A position is bought up to this share of its strategy's portfolio.
SHARE = 0.1
# What a sale scores by its profit or loss, as a share of what was paid: up to each bound, and beyond the last.
GAINS = ((0.05, 1.0), (0.10, 1.5), (math.inf, 2.0))
LOSSES = ((0.025, -1.0), (0.05, -1.5), (math.inf, -2.0))
# By so much the weight of scores grows with each session.
TIME_STEP = 0.01


@dataclass
class Position:
    """Shares that a strategy holds, and what one cost on average; None where that is not known."""

    quantity: float
    cost: float | None

    def buy(self, quantity: float, price: float) -> None:
        """Take more shares in."""
        if self.cost is not None:
            self.cost = (self.cost * self.quantity + price * quantity) / (self.quantity + quantity)
        self.quantity += quantity

    def split(self, price: float, volume: float) -> None:
        """Become more shares of less each."""
        self.quantity *= volume
        self.cost = None if self.cost is None else self.cost * price


@dataclass
class Account:
    """The portfolio of a strategy, its counts of sales, and its points; `ids` are those of its documents."""

    strategy: str
    cash: float
    total: int = 0
    successful: int = 0
    neutral: int = 0
    failed: int = 0
    points: float = 0.0
    value: float = 0.0
    positions: dict[str, Position] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)

    def buy(self, ticker: str, quantity: float, price: float) -> None:
        """Pay for shares."""
        self.cash -= quantity * price
        if ticker in self.positions:
            self.positions[ticker].buy(quantity, price)
        else:
            self.positions[ticker] = Position(quantity, price)

    def sell(self, ticker: str, price: float, weight: float) -> float:
        """Sell all shares of a ticker, count the sale and score it by the weight of now; gives their number."""
        held = self.positions.pop(ticker)
        self.cash += held.quantity * price
        self.total += 1
        gained = 0.0 if held.cost is None else price / held.cost - 1
        if gained > 0:
            self.successful += 1
        elif gained < 0:
            self.failed += 1
        else:
            self.neutral += 1
        self.points += weight * score(gained)
        return held.quantity

    def valued(self, prices: Mapping[str, float]) -> float:
        """Cash and shares at some prices."""
        return self.cash + sum(held.quantity * prices.get(ticker, 0.0) for ticker, held in sorted(self.positions.items()))


@dataclass(frozen=True)
class Limit:
    """The most shares that may be held of an asset, and the most that they may be worth; over all strategies."""

    quantity: float = math.inf
    value: float = math.inf

    def room(self, held: float, price: float) -> float:
        """How many shares more may be held."""
        return min(self.quantity, self.value / price) - held


def wanted(account: Account, ticker: str, price: float) -> float:
    """How many whole shares a strategy that buys would have, to hold its share of the portfolio's last value in them."""
    held = account.positions[ticker].quantity if ticker in account.positions else 0.0
    return max(0.0, math.floor(SHARE * account.value / price - held))


def affordable(account: Account, price: float) -> float:
    """How many whole shares its cash pays for."""
    count = max(0, math.floor(account.cash / price))
    # A quotient that was rounded up would overdraw.
    return float(count - (count * price > account.cash))


def score(gained: float) -> float:
    """The points of a sale before they are weighed, by what was gained as a share of what was paid; a loss is below zero."""
    if gained == 0:
        return 0.0
    return next(points for bound, points in (GAINS if gained > 0 else LOSSES) if abs(gained) < bound)


def ranked(accounts: Iterable[Account]) -> list[Account]:
    """Strategies, the best first: by points, then by the value of the portfolio, then by name."""
    return sorted(accounts, key=lambda one: (-one.points, -one.value, one.strategy))
