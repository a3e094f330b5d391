"""Daily flows: from prices to decisions, fills, portfolios and ranks, as a platform's document tells them.

`ampyfin` is the one there is. `momentum` is a function that decides, to begin with.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# What decides gets a strategy's name, a ticker, and its day bars up to the session that is decided; it gives a signal, or a signal and a confidence.
Decision = str | tuple[str, float | None] | None
Decide = Callable[[str, str, "pl.DataFrame"], Decision]

# How many sessions back a strategy looks, by name.
LOOKBACKS = {
    "RSI_indicator": 14,
    "MACD_indicator": 26,
    "BBANDS_indicator": 20,
    "SMA_indicator": 20,
    "EMA_indicator": 12,
    "MOM_indicator": 10,
}
LOOKBACK = 20
# By so much a close must differ from that of then.
STEP = 0.02


def momentum(strategy: str, ticker: str, history: "pl.DataFrame") -> Decision:  # noqa: ARG001
    """Buy what rose, sell what fell: a sample, which tells strategies apart only by how far back each looks.

    A change of a tenth or more counts as sure. Without enough history there is no decision.
    """
    closes = history["close"]
    back = LOOKBACKS.get(strategy, LOOKBACK)
    if len(closes) <= back:
        return None
    change = closes[-1] / closes[-1 - back] - 1
    return "Buy" if change > STEP else "Sell" if change < -STEP else "Hold", min(1.0, abs(change) * 10)
