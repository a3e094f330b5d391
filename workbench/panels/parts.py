"""What panels share: the widgets' library, callbacks whose errors are seen, and text as HTML."""

from collections.abc import Callable
from html import escape
from typing import Any

from workbench.errors import MissingExtra, WorkbenchError

try:
    import ipywidgets as widgets
except ImportError as fault:
    raise MissingExtra("panels need ipywidgets, which is not installed; nothing is shown. pip install 'workbench[lab]'") from fault

__all__ = ["escape", "guarded", "line", "page", "row", "rows", "widgets"]

Handler = Callable[[], None]
COLOURS = {"": "inherit", "good": "#1a7f37", "bad": "#b42318"}


def guarded(tell: Callable[[str, str], None], action: Handler) -> Callable[..., None]:
    """A callback that tells its errors: JupyterLab shows no error of a callback in the notebook."""

    def callback(*_: Any) -> None:
        try:
            action()
        except WorkbenchError as fault:
            tell(str(fault), "bad")
        except Exception as fault:
            tell(f"unexpected {type(fault).__name__}: {fault}. This is a fault of the workbench: please report it.", "bad")

    return callback


def line(text: str, tone: str = "") -> str:
    """A sentence as HTML: plain, good or bad."""
    return f'<div style="line-height:1.4;white-space:pre-wrap;color:{COLOURS[tone]}">{escape(text)}</div>' if text else ""


def page(lines: list[str]) -> str:
    """Lines as HTML, in a box that scrolls and stands at its end."""
    text = "\n".join(map(escape, lines))
    # Reversed twice, so that the browser keeps the newest line in sight.
    return (
        '<div style="max-height:12em;overflow:auto;display:flex;flex-direction:column-reverse">'
        f'<pre style="margin:0;font-size:12px;line-height:1.4">{text}</pre></div>'
        if lines
        else ""
    )


def rows() -> Any:
    """A widget for a report's HTML, with the notebook's own look of tables."""
    shown = widgets.HTML()
    shown.add_class("jp-RenderedHTMLCommon")
    return shown


def row(*parts: Any) -> Any:
    """Widgets side by side, on one line."""
    return widgets.HBox(parts, layout=widgets.Layout(align_items="center", flex_flow="row wrap"))
