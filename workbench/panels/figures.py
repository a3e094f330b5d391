"""Plotly's figures as panels use them: opened fast, as wide as their cell, right on light and on dark, and true when a page is opened anew."""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import MissingExtra

GRAMMAR = "rfc3987_syntax"


def late_grammar() -> None:
    """Have the grammar of internationalized addresses be built when one is checked, not when it is imported.

    Plotly imports nbformat, that jsonschema, and that this grammar, which takes 1.6 seconds to build: longer than all else of a chart together.
    """
    if GRAMMAR in sys.modules or not find_spec(GRAMMAR):
        return
    late = ModuleType(GRAMMAR)

    def is_valid_syntax(*given: Any) -> Any:
        if sys.modules.get(GRAMMAR) is late:
            del sys.modules[GRAMMAR]
        return import_module(GRAMMAR).is_valid_syntax(*given)

    late.is_valid_syntax = is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[GRAMMAR] = late


late_grammar()
try:
    import plotly
    import plotly.graph_objects as go
    import traitlets
    from plotly.graph_objects import FigureWidget
    from plotly.serializers import custom_serializers
except ImportError as fault:
    raise MissingExtra("charts need plotly and anywidget; nothing is shown. pip install 'workbench[lab]'") from fault

__all__ = ["AXIS", "CONFIG", "HOVER", "INK", "Figure", "figure", "go", "laid_out", "late_grammar"]

# Read on white and on black alike.
INK, GRID = "#888888", "rgba(128,128,128,0.22)"
CLEAR = "rgba(0,0,0,0)"
AXIS: dict[str, Any] = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "zerolinecolor": GRID, "tickfont": {"color": INK}}
HOVER: dict[str, Any] = {"bgcolor": "#424242", "bordercolor": "#424242", "font": {"color": "#ffffff", "size": 12}}
# No button that opens another site.
CONFIG: dict[str, Any] = {"responsive": True, "displaylogo": False, "modeBarButtons": [["pan2d", "zoom2d", "toImage"]]}


@cache
def bundle() -> str:
    """Plotly's own widget, as a page runs it."""
    return (Path(plotly.__file__).parent / "package_data" / "widgetbundle.js").read_text()


class Figure(FigureWidget):  # type: ignore[misc]
    """Plotly's widget, mended in four places.

    A page loads Plotly once, not for each figure, and however long it takes (`figure.js`). A figure is told to fit when it is seen: it may be drawn before it
    stands in its cell. A page that is opened anew is told what is shown now, not what was shown first. And a busy page, which has yet to read Plotly, hears of
    no change before it: until a figure is drawn, each change goes with all that is shown.
    """

    _esm = Path(__file__).with_name("figure.js")
    _bundle = traitlets.Unicode("").tag(sync=True)
    _version = traitlets.Unicode(plotly.__version__).tag(sync=True)
    # Whether a figure of this kernel has taken Plotly to its page.
    _taken = False
    _opening = False
    # Whether every page that shows it has drawn it.
    _stands = False

    def __init__(self, data: Any = None, layout: Any = None, config: Any = None):
        super().__init__(data=data, layout=layout)
        self._config: dict[str, Any] = {**getattr(self, "_config", {}), **CONFIG, **(config or {})}
        self._unfit = False
        self.observe(self._displayed, "_view_count")
        self.observe(self._drawn, "_js2py_traceDeltas")
        self.on_msg(self._asked)

    def open(self) -> None:
        """Tell the page that the figure is there."""
        self._opening = True
        try:
            super().open()
        finally:
            self._opening, Figure._taken = False, True

    def _asked(self, _: Any, content: Any, __: Any) -> None:
        if content.get("wants") == "plotly":
            self.send({"is": "plotly"}, [bundle().encode()])

    def _displayed(self, change: Any) -> None:
        # It may be drawn already, or not yet: then it does not hear.
        if (change["new"] or 0) > (change["old"] or 0):
            self._unfit, self._stands = True, False
            self._send_relayout_msg({"autosize": True})

    def _drawn(self, change: Any) -> None:
        self._stands = self._stands or bool(change["new"])
        if change["new"] and self._unfit:
            self._unfit = False
            self._send_relayout_msg({"autosize": True})

    def _send_addTraces_msg(self, *given: Any, **named: Any) -> None:  # noqa: N802
        super()._send_addTraces_msg(*given, **named)
        self._send_all()

    def _send_update_msg(self, *given: Any, **named: Any) -> None:
        super()._send_update_msg(*given, **named)
        self._send_all()

    def _send_restyle_msg(self, *given: Any, **named: Any) -> None:
        super()._send_restyle_msg(*given, **named)
        self._send_all()

    def _send_relayout_msg(self, *given: Any, **named: Any) -> None:
        super()._send_relayout_msg(*given, **named)
        self._send_all()

    def _send_all(self) -> None:
        if not self._stands:
            self.send_state(("_widget_data", "_widget_layout"))

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """The widget's state as it is now, with Plotly for a page that has never seen a figure of this kernel."""
        state = super().get_state(key=key, drop_defaults=drop_defaults)
        if "_bundle" in state and not (self._opening and Figure._taken):
            state["_bundle"] = bundle()
        if getattr(self, "_layout_obj", None) is not None:
            for name, value in (("_widget_data", self._data), ("_widget_layout", self._layout_obj._props)):
                if name in state:
                    state[name] = custom_serializers["to_json"](value, self)
        return state


def figure(**layout: Any) -> Figure:
    """An empty figure without a background of its own."""
    plain = laid_out(margin={"l": 8, "r": 8, "t": 8, "b": 8}, xaxis=AXIS, yaxis=AXIS)
    for name, value in layout.items():
        plain[name] = {**plain[name], **value} if isinstance(value, dict) and name in plain else value
    return Figure(layout=plain)


def laid_out(**more: Any) -> dict[str, Any]:
    """A layout without a background; `more` goes over it. Plotly's own template takes half a second to be checked, for colours that are set here."""
    return {
        "template": "none",
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"color": INK, "size": 12},
        "hovermode": "closest",
        "hoverlabel": HOVER,
        "modebar": {"bgcolor": CLEAR, "color": INK, "activecolor": "#4a90d9"},
        **more,
    }
