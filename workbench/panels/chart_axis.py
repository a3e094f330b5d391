"""Trading time as one number: the whole part counts sessions, the fraction tells how much of the session is over.

So nights, weekends and holidays take no room on a chart, whatever the size of its candles; an early close is as wide as any session.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench.query import parts, resample
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

EPOCH = date(1970, 1, 1)
MINUTE_US = 60_000_000
# What indices and some options trade after the close, which their calendar does not tell of.
AFTER_US = {"options": 15 * MINUTE_US, "indices": 15 * MINUTE_US}
# The most labels that stand side by side, and how much of the width is too near an edge for one.
LABELS, EDGE = 9, 0.025
STEPS = (1, 5, 10, 15, 30, 60, 120, 240)
# Sessions that have room for labels of hours within them.
FEW_SESSIONS = 9


@dataclass(frozen=True)
class Tick:
    """A label, and where it stands."""

    x: float
    text: str


class Axis:
    """The trading time of a table's sessions, or of a part of them."""

    def __init__(self, table: Table, part: str, timezone: str):
        import numpy as np

        self.table, self.part, self.zone = table, part, ZoneInfo(timezone)
        self._clock = parts.clock(table)
        self.days: Any = self._clock.sessions
        first, last = self._clock.span(part, self.days)
        if part == "all":
            last = last + AFTER_US.get(table.asset, 0)
        self._first, self._last = np.asarray(first), np.asarray(last)

    # ------------------------------------------------------------------ there and back

    def of_sessions(self, days: Any) -> Any:
        """Which sessions day numbers are; that of a day that is none is the one before it."""
        import numpy as np

        return np.clip(np.searchsorted(self.days, days, "right") - 1, 0, len(self.days) - 1)

    def of_instants(self, at_us: Any, days: Any) -> Any:
        """Where instants of sessions stand; one outside of its session's hours stands at their edge."""
        import numpy as np

        place = self.of_sessions(days)
        first, last = self._first[place], self._last[place]
        return place + np.clip((at_us - first) / (last - first), 0, 1 - 1e-9)

    def of_day(self, day: date) -> int:
        """The place of a day's session, or of the first after it."""
        import numpy as np

        return int(np.searchsorted(self.days, (day - EPOCH).days))

    def session(self, x: float) -> date:
        """The session that a place lies in."""
        return EPOCH + timedelta(days=int(self.days[self._clip(x)]))

    def instant(self, x: float) -> datetime:
        """The instant at a place, in the chart's zone."""
        n = self._clip(x)
        share = min(max(x - n, 0.0), 1.0)
        us = int(self._first[n] + share * (self._last[n] - self._first[n]))
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(self.zone)

    def _clip(self, x: float) -> int:
        return min(max(int(x // 1), 0), len(self.days) - 1)

    def minutes(self, x: float) -> float:
        """How many minutes the session at a place has."""
        n = self._clip(x)
        return float(self._last[n] - self._first[n]) / MINUTE_US

    # ------------------------------------------------------------------ candles

    def spans(self, rows: "pl.DataFrame", size: str) -> tuple[Any, Any]:
        """Where candles begin and where they end."""
        import numpy as np

        days = resample.physical(rows["date"])
        if size in resample.INTRADAY:
            at = resample.physical(rows["timestamp"].dt.cast_time_unit("us"))
            ends = np.minimum(at + resample.INTRADAY[size], self._edge(at, days))
            return self.of_instants(at, days), self.of_instants(ends, days)
        if size == "1d":
            place = self.of_sessions(days).astype(float)
            return place, place + 1
        import polars as pl

        named = resample.numbered(pl.Series(self.days).cast(pl.Date), size)
        asked = resample.numbered(rows["date"], size)
        return np.searchsorted(named, asked).astype(float), np.searchsorted(named, asked, "right").astype(float)

    def _edge(self, at: Any, days: Any) -> Any:
        """Where the parts end that some instants lie in: no candle holds parts of two."""
        import numpy as np

        clock, place = self._clock, self._clock.place(days)
        if clock.pre is None or clock.post is None:
            return self._last[self.of_sessions(days)]
        opens, closes = clock.opens[place], clock.closes[place]
        return np.where(at < opens, opens, np.where(at < closes, closes, np.maximum(clock.post[place], at + 1)))

    def shades(self, x0: float, x1: float) -> list[tuple[float, float]]:
        """What lies before the opening and after the close, between two places; nothing where sessions have no such parts, or one alone is shown."""
        clock = self._clock
        if self.part != "all" or clock.pre is None:
            return []
        found = []
        for n in range(self._clip(x0), self._clip(x1) + 1):
            at = clock.place(self.days[n])
            length = float(self._last[n] - self._first[n])
            found.append((float(n), n + float(clock.opens[at] - self._first[n]) / length))
            found.append((n + float(clock.closes[at] - self._first[n]) / length, n + 1.0))
        return [(since, until) for since, until in found if until > x0 and since < x1]

    # ------------------------------------------------------------------ labels

    def ticks(self, x0: float, x1: float) -> list[Tick]:
        """Labels between two places, none at their edges: of hours where there is room, else of sessions, months or years."""
        x0, x1 = x0 + EDGE * (x1 - x0), x1 - EDGE * (x1 - x0)
        if x1 - x0 <= FEW_SESSIONS:
            for step in STEPS:
                if (x1 - x0) * self.minutes(x0) / step <= LABELS:
                    return self._hours(x0, x1, step)
        places = range(self._clip(x0) + (x0 > self._clip(x0)), self._clip(x1) + 1)
        days = [self.session(n) for n in places]
        if len(days) <= LABELS:
            return dated(list(places), days, "%a %-d %b")
        for every in ("week", "2 weeks", "month", "quarter", "half", "year", "2 years", "5 years"):
            firsts = [n for n in range(len(days)) if n and period(days[n], every) != period(days[n - 1], every)]
            if len(firsts) <= LABELS + 1:
                break
        form = "%-d %b" if "week" in every else "%Y" if "year" in every else "%b"
        return dated([places[n] for n in firsts], [days[n] for n in firsts], form)

    def _hours(self, x0: float, x1: float, step: int) -> list[Tick]:
        """Labels at each so many minutes of the day, the first of each session with its date."""
        found: list[Tick] = []
        for n in range(self._clip(x0), self._clip(x1) + 1):
            first, last = int(self._first[n]), int(self._last[n])
            opening = self.instant(n)
            since = (opening.hour * 60 + opening.minute) % step
            at, shown = first + (step - since) % step * MINUTE_US, False
            while at < last:
                x = n + (at - first) / (last - first)
                if x0 <= x <= x1:
                    when = self.instant(x + 1e-9)
                    found.append(Tick(x, f"{when:%H:%M}" + ("" if shown else f"<br>{self.session(n):%-d %b %Y}")))
                    shown = True
                at += step * MINUTE_US
        return found


def period(day: date, every: str) -> tuple[int, ...]:
    """Which week, month or year of its kind a day lies in."""
    if "week" in every:
        week = (day - EPOCH).days - day.weekday()
        return (week // 14 if every.startswith("2") else week // 7,)
    if "year" in every:
        return (day.year // int(every.split()[0]) if every[0].isdigit() else day.year,)
    return day.year, (day.month - 1) // {"month": 1, "quarter": 3, "half": 6}[every]


def dated(places: Sequence[int], days: Sequence[date], form: str) -> list[Tick]:
    """Labels of days, each year told once."""
    found, year = list[Tick](), 0
    for x, day in zip(places, days, strict=True):
        told = f"<br>{day.year}" if day.year != year and "%Y" not in form else ""
        found.append(Tick(float(x), day.strftime(form) + told))
        year = day.year
    return found
