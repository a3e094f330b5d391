"""The chart that is moved: candles, volume, shades and marks in a plotly widget, which JupyterLab draws offline.

Its horizontal axis is trading time as `chart_axis` has it, so that candles of all sizes stand where they belong and nights take no room.
"""

from collections.abc import Callable
from typing import Any

from workbench.panels.chart_scene import View
from workbench.panels.chart_svg import DOWN, GAP, UP, VOLUME
from workbench.panels.figures import AXIS, INK, Figure, go, laid_out

HEIGHT = 440
SHADE = "rgba(128,128,128,0.13)"
MARKS = {"S": "#7e57c2", "D": "#607d8b"}
# What plotly makes of a double click shows what was sent before, and no more.
WHEEL = {"scrollZoom": True, "doubleClick": False}
SPIKE = {"showspikes": True, "spikethickness": 1, "spikecolor": INK, "spikemode": "across", "spikedash": "dot"}
CANDLE, BARS = 0, 1
# How much of its place a candle fills.
FILLED = 0.7


class Chart:
    """A figure, and what is told when it is moved (`on_move`, with the two places now in sight) or a candle is clicked (`on_click`, with its number)."""

    def __init__(self, on_move: Callable[[float, float], None], on_click: Callable[[int], None]):
        self.figure = made()
        self._ours = False
        self._move, self._click = on_move, on_click
        self.figure.layout.on_change(self._moved, "xaxis.range")
        for trace in (CANDLE, BARS):
            self.figure.data[trace].on_click(self._clicked)

    def show(self, view: View) -> None:
        """Draw, in one message to the page."""
        self._ours = True
        try:
            with self.figure.batch_update():
                self._fill(view)
        finally:
            self._ours = False

    def _fill(self, view: View) -> None:
        import numpy as np

        candles, layout = view.candles, self.figure.layout
        seen = view.in_sight
        trace, bars, marks = self.figure.data
        middle, width = candles.middle, candles.until - candles.since
        trace.update(x=middle, open=candles.open, high=candles.high, low=candles.low, close=candles.close, hovertext=list(view.told))
        apart = float(np.diff(middle).min()) if len(candles) > 1 else 1.0
        # plotly makes candles as wide as the least room between two, which where trades are rare is many candles'.
        widest = float(np.median(width)) if len(candles) else 1.0
        layout.boxgap = min(max(1 - FILLED * widest / apart, 0.0), 0.995) if apart > 0 else 0.3
        rising = candles.close >= candles.open
        bars.update(x=middle, y=np.nan_to_num(candles.volume), width=width * FILLED, hovertext=list(view.told))
        bars.marker.color = np.where(rising, UP, DOWN).tolist()
        marks.update(
            x=[x for x, _ in view.marks],
            y=[0.04] * len(view.marks),
            text=[one.letter for _, one in view.marks],
            hovertext=[one.told for _, one in view.marks],
        )
        marks.marker.color = [MARKS[one.letter] for _, one in view.marks]
        layout.xaxis.range = (view.x0, view.x1)
        layout.xaxis.tickvals, layout.xaxis.ticktext = [one.x for one in view.ticks], [one.text for one in view.ticks]
        if len(seen):
            layout.yaxis.range = seen.prices()
        most = seen.most_volume() if len(seen) else 0.0
        layout.yaxis2.range = (0, most * 1.05 or 1.0)
        layout.yaxis.domain = (VOLUME + GAP, 1) if most else (0.02, 1)
        layout.yaxis2.visible = bool(most)
        layout.shapes = [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": a,
                "x1": b,
                "y0": 0,
                "y1": 1,
                "fillcolor": SHADE,
                "line": {"width": 0},
                "layer": "below",
            }
            for a, b in view.shades
        ]

    def _moved(self, _: Any, span: Any) -> None:
        if not self._ours and span and None not in span:
            self._move(float(span[0]), float(span[1]))

    def _clicked(self, _: Any, points: Any, __: Any) -> None:
        if points.point_inds:
            self._click(int(points.point_inds[0]))


def made() -> Figure:
    """An empty figure."""
    rising, falling = ({"line": {"color": colour, "width": 1}, "fillcolor": colour} for colour in (UP, DOWN))
    return Figure(
        [
            go.Candlestick(increasing=rising, decreasing=falling, whiskerwidth=0, hoverinfo="text", name="prices"),
            go.Bar(yaxis="y2", opacity=0.5, marker={"line": {"width": 0}}, hoverinfo="text", textposition="none", name="volume"),
            go.Scatter(
                yaxis="y3",
                mode="markers+text",
                marker={"size": 17},
                textfont={"color": "#ffffff", "size": 10},
                hoverinfo="text",
                name="splits and dividends",
            ),
        ],
        laid_out(
            height=HEIGHT,
            margin={"l": 8, "r": 58, "t": 28, "b": 44},
            showlegend=False,
            dragmode="pan",
            xaxis={**AXIS, "rangeslider": {"visible": False}, "anchor": "y2", "tickmode": "array", "tickangle": 0, **SPIKE},
            yaxis={**AXIS, "side": "right", "domain": [VOLUME + GAP, 1], "fixedrange": True},
            yaxis2={**AXIS, "side": "right", "domain": [0, VOLUME], "fixedrange": True, "nticks": 3},
            yaxis3={"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
        ),
        WHEEL,
    )
