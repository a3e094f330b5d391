"""What a chart shows of a ticker: from a stretch of trading time to the candles that fit it. No widgets.

A window is two places on the axis of trading time, the ends of what is in sight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING

from workbench.panels.chart_axis import EPOCH, Axis, Tick
from workbench.panels.chart_svg import Candles
from workbench.query import candles, resample
from workbench.query.candles import AUTO, Held, Wanted

if TYPE_CHECKING:
    import polars as pl

    from workbench.bench import Workbench
    from workbench.tables import Table

Window = tuple[float, float]
# The sessions that are shown at first, those up to which shades are drawn, and the least that is zoomed to: half an hour of a stock's session.
FIRST, SHADED, LEAST = 250, 40, 1 / 32
# A place within a session, by so little that no bar lies between.
WITHIN = 1e-6
ALIKE = 3


@dataclass(frozen=True)
class Mark:
    """A split or a dividend: its session, its letter, what is told of it."""

    day: date
    letter: str
    told: str


@dataclass(frozen=True)
class View:
    """What is drawn: candles, of which those between `x0` and `x1` are in sight, with what is told of each; marks stand at places of their own."""

    candles: Candles
    told: Sequence[str]
    x0: float
    x1: float
    ticks: Sequence[Tick]
    shades: Sequence[Window]
    marks: Sequence[tuple[float, Mark]]

    @property
    def in_sight(self) -> Candles:
        """The candles between the two places."""
        return self.candles.between(self.x0, self.x1)


@dataclass(frozen=True)
class Look:
    """A view, the bars that it was made of, and what asks for those in sight; `notes` go with it, `trouble` is why candles are of another size than asked."""

    view: View
    rows: "pl.DataFrame"
    wanted: Wanted
    notes: Sequence[str] = ()
    trouble: str = ""

    @property
    def bars(self) -> "pl.DataFrame":
        """The bars of the sessions in sight: what `wanted.sql` gives."""
        return self.rows.filter(self.rows["date"].is_between(*self.wanted.span))


@dataclass
class Scene:
    """A ticker that some tables hold, and the trading time of its sessions or of a part of them."""

    bench: "Workbench"
    ticker: str
    held: Sequence[Held]
    session: str
    as_of: date | None = None
    marks: Sequence[Mark] = field(default=(), init=False)

    def __post_init__(self) -> None:
        self.axis = Axis(self.held[0].table, self.session, self.bench.settings.timezone)
        # What a lake without them tells is asked in a sixth of a second.
        told = any(self.bench.catalog.held(name).files for name in ("splits", "dividends"))
        if told and self.held[0].table.asset == "stocks":
            self.marks = tuple(marks(self.bench, self.ticker, self.as_of))

    # ------------------------------------------------------------------ where

    @property
    def reach(self) -> Window:
        """Where the ticker's bars begin and end."""
        ends = [self.of(one) for one in self.held]
        return min(since for since, _ in ends), max(until for _, until in ends)

    def of(self, held: Held) -> Window:
        """Where what a table holds begins and ends."""
        return float(self.axis.of_day(held.first)), float(self.axis.of_day(held.last) + 1)

    def placed(self, first: date | None = None, last: date | None = None) -> Window:
        """The window from one session to another, both included; without any, the newest year, and without one, from or to where bars end."""
        since, until = self.reach
        x0 = None if first is None else float(self.axis.of_day(first))
        x1 = until if last is None else float(self.axis.of_sessions((last - EPOCH).days) + 1)
        if x0 is None:
            x0 = since if last is None and until - since <= FIRST else min(max(since, x1 - FIRST), x1 - 1)
        return x0, max(x1, x0 + 1)

    def moved(self, window: Window) -> Window:
        """A window that was moved or zoomed: never so far off that no bar is in it, nor nearer or farther than there is anything to see."""
        since, until = self.reach
        width = min(max(window[1] - window[0], LEAST), (until - since) * 1.1 + 1)
        middle = min(max(sum(window) / 2, since), until)
        return middle - width / 2, middle + width / 2

    def days(self, window: Window) -> tuple[date, date]:
        """The first and the last session of a window."""
        return self.axis.session(window[0] + WITHIN), self.axis.session(window[1] - WITHIN)

    # ------------------------------------------------------------------ look

    def look(self, window: Window, freq: str, adjusted: str) -> Look:
        """The candles that fit a window, and half of it to each side. Reads the lake; raises what `Workbench.bars` does."""
        (x0, x1), (since, until) = window, self.reach
        table, size, notes, trouble = self.choose(window, freq)
        room = (x1 - x0) / 2
        low, high = max(since, x0 - room), min(until, x1 + room)
        if low >= high:
            low, high = (since, since + WITHIN) if x1 <= since else (until - 4 * WITHIN, until)
        first, last = self.days((low, high))
        read = Wanted(self.ticker, table, size, first, last, adjusted if table.asset == "stocks" else "none", self.as_of, self.session)
        rows = read.rows(self.bench.bars)
        made, told = self.made(rows, size, low, high)
        x_marks = [(self.axis.of_day(one.day) + 0.5, one) for one in self.marks if first <= one.day <= last]
        shades = self.axis.shades(x0, x1) if size in resample.INTRADAY and x1 - x0 <= SHADED else []
        view = View(made, told, x0, x1, self.axis.ticks(x0, x1), shades, x_marks)
        # A window may lie beyond all bars.
        left = min(max(x0, low), high - WITHIN * 2)
        first, last = self.days((left, max(min(x1, high), left + WITHIN * 2)))
        return Look(view, rows, replace(read, first=first, last=last), notes, trouble)

    def choose(self, window: Window, freq: str) -> "tuple[Table, str, list[str], str]":
        """The table that is read and the size of candles, what is to be said of them, and why they are of another size than asked."""
        days = next((one for one in self.held if not candles.is_minutes(one.table)), None)
        minutes = next((one for one in self.held if candles.is_minutes(one.table)), None)
        whole = (
            days
            if days and self.session == "all" and (not minutes or self.covers(days, window) >= self.covers(minutes, window))
            else minutes
        )
        covered = self.covers(minutes, window) if minutes else 0.0
        trouble, notes = "", list[str]()
        intraday = covered >= candles.COVERED if freq == AUTO else covered > 0
        if freq in resample.INTRADAY and not intraday:
            trouble = self.no_minutes(minutes, freq)
        elif freq in resample.INTRADAY and minutes and covered < 1 - WITHIN:
            notes.append(f"minutes are there from {minutes.first} to {minutes.last} only")
        had = [size for size in candles.SIZES if (size in candles.WHOLE and whole) or (size in resample.INTRADAY and intraday)]
        asked = AUTO if freq not in had else freq
        count = candles.counts(self.held[0].table, self.session, window[1] - window[0])
        size = candles.fitting(asked, had, count)
        if size != asked != AUTO:
            notes.append(f"candles of {asked} would be about {count[asked]:,.0f}, more than there are pixels: {size} until you zoom in")
        chosen = minutes if size in resample.INTRADAY else whole
        assert chosen
        return chosen.table, size, notes, trouble

    def covers(self, held: Held, window: Window) -> float:
        """How much of what is to be seen in a window a table holds, from 0 to 1."""
        since, until = (f(a, b) for f, a, b in zip((max, min), window, self.reach, strict=True))
        first, last = self.of(held)
        return max(min(until, last) - max(since, first), 0.0) / (until - since) if until > since else float(held.rows > 0)

    def no_minutes(self, minutes: Held | None, freq: str) -> str:
        """Why there are no candles of minutes."""
        if minutes:
            return f"Minutes of {self.ticker} are landed from {minutes.first} to {minutes.last} only: no candles of {freq} are here, longer ones are shown."
        name = self.held[0].table.name
        lands = f"`workbench refresh {name.split('_')[0]}_minute` lands them." if "_" in name else ""
        return f"No minutes of {self.ticker} are landed: no candles of {freq} can be made, longer ones are shown. {lands}"

    def made(self, rows: "pl.DataFrame", size: str, low: float, high: float) -> tuple[Candles, list[str]]:
        """Bars as candles with what is told of each, of those between two places."""
        import polars as pl

        since, until = self.axis.spans(rows, size)
        near = (until > low) & (since < high)
        rows = rows.filter(pl.Series(near, dtype=pl.Boolean))
        columns = (rows[name].cast(pl.Float64).to_numpy() for name in ("open", "high", "low", "close", "volume"))
        when = rows["timestamp"].dt.strftime("%a %Y-%m-%d %H:%M") if size in resample.INTRADAY else rows["date"].dt.strftime("%a %Y-%m-%d")
        before = {"1w": "week from ", "1mo": "month from "}.get(size, "")
        told = [
            f"<b>{before}{at}</b><br>open {number(o)}  high {number(h)}<br>low {number(b)}  close {number(c)}"
            + ("" if volume is None else f"<br>volume {volume:,.0f}")
            for at, (o, h, b, c, volume) in zip(when, rows.select("open", "high", "low", "close", "volume").iter_rows(), strict=True)
        ]
        return Candles(since[near], until[near], *columns), told


def number(value: float) -> str:
    """A price as a person reads it."""
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:,.6g}"


def marks(bench: "Workbench", ticker: str, as_of: date | None) -> list[Mark]:
    """The splits and dividends of a stock."""
    found = []
    for one in bench.actions(ticker, as_of):
        does = f"earlier prices × {one['price_factor']:.6g}" if one["applies"] else f"does nothing: {one['reason']}"
        found.append(
            Mark(one["date"], "S" if one["kind"] == "split" else "D", f"<b>{one['date']} {one['kind']}</b> {one['told']}<br>{does}")
        )
    return found


def absent(bench: "Workbench", ticker: str, tables: "Sequence[Table]") -> str:
    """Why there is nothing to draw of a ticker, and what to do."""
    listed = [one for one in tables if bench.catalog.held(one.name).files]
    if not listed:
        where = " and ".join(one.name for one in tables)
        return f"{where} hold nothing yet. `workbench refresh {tables[0].name}` lands it."
    known = candles.names(bench.catalog, listed)
    near = [one for one in known if one.upper() == ticker.upper()] or get_close_matches(ticker.upper(), known, ALIKE, 0.5)
    advice = f"Did you mean {' or '.join(near)}?" if near else f"`SELECT DISTINCT ticker FROM {listed[0].name}` tells which there are."
    return f"{' and '.join(one.name for one in listed)} hold no bars of {ticker}. {advice}"
