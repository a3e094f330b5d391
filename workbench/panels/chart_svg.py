"""A chart as a drawing: what a saved notebook shows where no kernel runs. Greys and colours that are read on light and on dark."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.panels.chart_axis import Tick
from workbench.panels.parts import escape

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 8, 64, 12, 40
# The share of the height that volume takes, and the room above it.
VOLUME, GAP = 0.2, 0.05
CANDLES = 400
UP, DOWN, INK, GRID, SHADE = "#26a69a", "#ef5350", "#808080", "rgba(128,128,128,.25)", "rgba(128,128,128,.1)"


@dataclass(frozen=True)
class Candles:
    """Candles in order of place: each from `since` to `until`, all arrays of one length; `volume` holds NaN where there is none."""

    since: Any
    until: Any
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any

    def __len__(self) -> int:
        return len(self.since)

    @property
    def middle(self) -> Any:
        """Where each stands."""
        return (self.since + self.until) / 2

    def between(self, x0: float, x1: float) -> "Candles":
        """Those of which something lies between two places."""
        return self.at((self.until > x0) & (self.since < x1))

    def at(self, which: Any) -> "Candles":
        """Some of them."""
        return Candles(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def thinned(self, most: int) -> "Candles":
        """At most so many: several that stand together as one."""
        import numpy as np

        if len(self) <= most:
            return self
        starts = np.arange(0, len(self), -(-len(self) // most))
        lasts = np.append(starts[1:], len(self)) - 1
        return Candles(
            self.since[starts],
            self.until[lasts],
            self.open[starts],
            np.maximum.reduceat(self.high, starts),
            np.minimum.reduceat(self.low, starts),
            self.close[lasts],
            np.add.reduceat(self.volume, starts),
        )

    def prices(self) -> tuple[float, float]:
        """The lowest and the highest price, with some room."""
        low, high = float(self.low.min()), float(self.high.max())
        room = (high - low) * 0.04 or abs(high) * 0.01 or 1.0
        return low - room, high + room

    def most_volume(self) -> float:
        """The greatest volume; 0 where none is told."""
        import numpy as np

        told = self.volume[~np.isnan(self.volume)]
        return float(told.max()) if len(told) else 0.0


@dataclass(frozen=True)
class Drawing:
    """What is drawn: candles between two places, with labels, shades and marks."""

    candles: Candles
    x0: float
    x1: float
    ticks: Sequence[Tick] = ()
    shades: Sequence[tuple[float, float]] = ()
    # Where a mark stands, and its letter.
    marks: Sequence[tuple[float, str]] = field(default=())


def drawn(drawing: Drawing) -> str:
    """A drawing as SVG."""
    candles = drawing.candles.thinned(CANDLES)
    inner, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    most = candles.most_volume()
    base = height * (1 - VOLUME - GAP) if most else height
    low, high = candles.prices()
    across = inner / ((drawing.x1 - drawing.x0) or 1)

    def x(at: float) -> float:
        return round(LEFT + (min(max(at, drawing.x0), drawing.x1) - drawing.x0) * across, 1)

    def y(price: float) -> float:
        return round(TOP + (high - price) / (high - low) * base, 1)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">'
    ]
    out += [
        f'<rect x="{x(a)}" y="{TOP}" width="{round(x(b) - x(a), 1)}" height="{height}" fill="{SHADE}"/>'
        for a, b in drawing.shades
        if b > drawing.x0 and a < drawing.x1
    ]
    for price in steps(low, high):
        out.append(f'<path d="M{LEFT} {y(price)}H{LEFT + inner}" stroke="{GRID}"/>')
        out.append(f'<text x="{LEFT + inner + 6}" y="{y(price) + 4}">{price:,.6g}</text>')
    for tick in drawing.ticks:
        out.append(f'<path d="M{x(tick.x)} {TOP}V{TOP + height}" stroke="{GRID}"/>')
        for n, text in enumerate(tick.text.split("<br>")):
            out.append(f'<text x="{x(tick.x)}" y="{TOP + height + 15 + 14 * n}" text-anchor="middle">{escape(text)}</text>')
    for colour, which in ((UP, candles.close >= candles.open), (DOWN, candles.close < candles.open)):
        out += bodies(candles.at(which), colour, x, y)
        if most:
            out += volumes(candles.at(which), colour, x, TOP + height, height * VOLUME / most)
    for at, letter in drawing.marks:
        if drawing.x0 <= at <= drawing.x1:
            out.append(f'<circle cx="{x(at)}" cy="{TOP + base - 8}" r="7" fill="#7e57c2"/>')
            out.append(f'<text x="{x(at)}" y="{TOP + base - 4}" text-anchor="middle" font-size="10" fill="#fff">{escape(letter)}</text>')
    return "".join([*out, "</svg>"])


def bodies(candles: Candles, colour: str, x: Any, y: Any) -> list[str]:
    """Wicks and bodies of one colour, each as one path."""
    wicks, boxes = [], []
    for since, until, opened, high, low, close in zip(
        candles.since, candles.until, candles.open, candles.high, candles.low, candles.close, strict=True
    ):
        left, right = x(since), x(until)
        room = (right - left) * 0.15
        wicks.append(f"M{round((left + right) / 2, 1)} {y(high)}V{y(low)}")
        top, bottom = y(max(opened, close)), y(min(opened, close))
        boxes.append(
            f"M{round(left + room, 1)} {top}h{max(round(right - left - 2 * room, 1), 0.8)}V{max(bottom, top + 0.8)}H{round(left + room, 1)}z"
        )
    return [f'<path d="{"".join(wicks)}" stroke="{colour}" fill="none"/><path d="{"".join(boxes)}" fill="{colour}"/>'] if wicks else []


def volumes(candles: Candles, colour: str, x: Any, floor: float, scale: float) -> list[str]:
    """Bars of volume of one colour, as one path."""
    boxes = []
    for since, until, volume in zip(candles.since, candles.until, candles.volume, strict=True):
        if volume > 0:
            left, right = x(since), x(until)
            room = (right - left) * 0.15
            boxes.append(
                f"M{round(left + room, 1)} {floor}h{max(round(right - left - 2 * room, 1), 0.8)}v{-round(volume * scale, 1)}H{round(left + room, 1)}z"
            )
    return [f'<path d="{"".join(boxes)}" fill="{colour}" fill-opacity=".5"/>'] if boxes else []


def steps(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers between two, about so many."""
    from math import ceil, floor, log10

    rough = (high - low) / about
    unit = 10 ** floor(log10(rough))
    size = next(unit * n for n in (1, 2, 2.5, 5, 10) if unit * n >= rough)
    return [round(n * size, 10) for n in range(ceil(low / size), floor(high / size) + 1)]
