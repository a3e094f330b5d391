"""Prices as a flow sees them: on each session what is known by its end, and nothing later."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.query.views import literal

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("date", "open", "high", "low", "close", "volume")


class Split(NamedTuple):
    """A split: bars from `since` on and before `day` are multiplied, prices by one factor, volumes and holdings by the other."""

    day: date
    since: date
    price: float
    volume: float


class Prices:
    """Day bars of some tickers from `ampyfin.price_data`, as traded, and their splits.

    Prices change hands as traded; what decides sees them adjusted for the splits that took effect by then.
    """

    def __init__(self, ask: Callable[..., Any], tickers: Iterable[str], end: date | None):
        some = ", ".join(map(literal, dict.fromkeys(tickers))) or "NULL"
        until = f" AND date <= DATE '{end}'" if end else ""
        frame = ask(
            f"SELECT ticker, {', '.join(COLUMNS)} FROM ampyfin.price_data WHERE ticker IN ({some}){until} ORDER BY ticker, date"
        ).pl()
        self._frames: dict[str, pl.DataFrame] = {
            str(name): part.select(COLUMNS) for (name,), part in frame.group_by("ticker", maintain_order=True)
        }
        self._days: dict[str, list[date]] = {ticker: part["date"].to_list() for ticker, part in self._frames.items()}
        self._paid = {ticker: {name: part[name].to_list() for name in ("open", "close")} for ticker, part in self._frames.items()}
        self._places = {ticker: {day: n for n, day in enumerate(days)} for ticker, days in self._days.items()}
        found = ask(
            "SELECT ticker, date, since, price_factor, volume_factor FROM main.split_factors "
            f"WHERE applies AND ticker IN ({some}) ORDER BY ticker, date"
        ).fetchall()
        self._splits: dict[str, list[Split]] = {}
        for ticker, *split in found:
            self._splits.setdefault(ticker, []).append(Split(*split))
        self._adjusted: dict[str, tuple[int, pl.DataFrame]] = {}

    @property
    def tickers(self) -> list[str]:
        """The tickers that have prices, in order."""
        return sorted(self._frames)

    @property
    def days(self) -> list[date]:
        """The days on which any of them has a bar, in order."""
        return sorted({day for days in self._days.values() for day in days})

    def has(self, ticker: str, day: date) -> bool:
        """Whether a ticker traded on a day."""
        return day in self._places.get(ticker, ())

    def open(self, ticker: str, day: date) -> float | None:
        """The price at which a ticker opened on a day, as traded; None if it did not, or at none that can be paid."""
        return self._price(ticker, day, "open")

    def close(self, ticker: str, day: date) -> float | None:
        """The price at which a ticker closed on a day, or last did before it, as traded."""
        at = bisect_right(self._days.get(ticker, []), day) - 1
        return self._price(ticker, self._days[ticker][at], "close") if at >= 0 else None

    def last(self, ticker: str, day: date) -> date | None:
        """The newest day up to one on which a ticker traded."""
        at = bisect_right(self._days.get(ticker, []), day) - 1
        return self._days[ticker][at] if at >= 0 else None

    def splits(self, ticker: str, after: date, until: date) -> Sequence[Split]:
        """The splits that took effect after a day and by another."""
        return [one for one in self._splits.get(ticker, ()) if after < one.day <= until]

    def history(self, ticker: str, day: date) -> "pl.DataFrame":
        """The bars of a ticker up to a day, adjusted for the splits that took effect by then."""
        known = [one for one in self._splits.get(ticker, ()) if one.day <= day]
        if ticker not in self._adjusted or self._adjusted[ticker][0] != len(known):
            self._adjusted[ticker] = len(known), adjusted(self._frames[ticker], known)
        return self._adjusted[ticker][1].head(self._places[ticker][day] + 1)

    def _price(self, ticker: str, day: date, column: str) -> float | None:
        at = self._places.get(ticker, {}).get(day)
        value = None if at is None else self._paid[ticker][column][at]
        return float(value) if value is not None and math.isfinite(value) and value > 0 else None


def adjusted(frame: "pl.DataFrame", splits: Sequence[Split]) -> "pl.DataFrame":
    """Bars with each split in those before it."""
    import polars as pl

    for one in splits:
        before = pl.col("date").is_between(one.since, one.day, closed="left")
        frame = frame.with_columns(
            *(
                pl.when(before).then(pl.col(name) * one.price).otherwise(pl.col(name)).alias(name)
                for name in ("open", "high", "low", "close")
            ),
            pl.when(before).then(pl.col("volume") * one.volume).otherwise(pl.col("volume")).alias("volume"),
        )
    return frame
