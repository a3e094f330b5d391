"""What a key may see."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What the far end lets a key see. `today` is False for plans that end with yesterday."""

    trades: bool = True
    quotes: bool = True
    today: bool = True
    financials: bool = True


BASIC = Plan(trades=False, quotes=False, today=False, financials=False)
STARTER = Plan(trades=False, quotes=False, financials=False)
DEVELOPER = Plan(quotes=False, financials=False)
ADVANCED = Plan()
