"""What panels share: the widgets' library, what a panel is, callbacks whose errors are seen, threads that end, and text as HTML."""

import base64
import re
import threading
from collections.abc import Callable
from html import escape, unescape
from typing import Any

from workbench.errors import MissingExtra, WorkbenchError

try:
    import ipywidgets as widgets
except ImportError as fault:
    raise MissingExtra("panels need ipywidgets, which is not installed; nothing is shown. pip install 'workbench[lab]'") from fault

__all__ = ["Panel", "Ticker", "bounded", "escape", "field", "guarded", "image", "line", "page", "plain_text", "row", "rows", "widgets"]

Handler = Callable[[], None]
# JupyterLab's own colours, so that words are read on light and on dark; the others where no JupyterLab is.
COLOURS = {"": "inherit", "good": "var(--jp-success-color1, #1a7f37)", "bad": "var(--jp-error-color1, #b42318)"}
# What a panel leaves in a saved notebook, at most.
STATIC_BYTES = 200_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Panel:
    """What a notebook shows when a cell ends with it: the widgets in `view`, and beside them what they show as HTML.

    Where no kernel runs (nbconvert, a run's output, GitHub) the widgets are dead, and the HTML is what is seen.
    """

    view: Any

    def static(self) -> str:
        """What the panel shows now, as HTML without scripts."""
        return ""

    def close(self) -> None:
        """Stop what goes on for the panel, and take its widgets off the screen."""
        self.view.close()

    def _repr_html_(self) -> str:
        try:
            told = self.static()
        # A display never fails for the picture beside it.
        except Exception as fault:
            told = line(f"{type(self).__name__} could not be drawn without widgets: {fault}", "bad")
        return bounded(told)

    def _repr_mimebundle_(self, **_: Any) -> Any:
        html = self._repr_html_()
        shown = {WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}}
        return {"text/plain": plain_text(html) or repr(self), "text/html": html, **shown}


class Ticker:
    """A thread that does something every so many seconds until it is stopped; it holds nothing that its panel would be kept alive by."""

    def __init__(self, action: Callable[[], bool | None], seconds: Callable[[], float], name: str):
        """`action` tells with False that there is no more to do."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(action, seconds), name=name, daemon=True)
        self._thread.start()

    def _run(self, action: Callable[[], bool | None], seconds: Callable[[], float]) -> None:
        while not self._done.wait(seconds()):
            if action() is False:
                return

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive() and not self._done.is_set()

    def stop(self, timeout_s: float = 5) -> None:
        """Have it end, and wait until it has; it may be called from within."""
        self._done.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)


def guarded(tell: Callable[[str, str], None], action: Handler) -> Callable[..., None]:
    """A callback that tells its errors: JupyterLab shows no error of a callback in the notebook."""

    def callback(*_: Any) -> None:
        try:
            action()
        except WorkbenchError as fault:
            tell(str(fault), "bad")
        except Exception as fault:
            # Some libraries' errors are manuals.
            said = str(fault).strip().partition("\n")[0][:500]
            tell(f"unexpected {type(fault).__name__}: {said}. This is a fault of the workbench: please report it.", "bad")

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


def image(svg: str, alt: str) -> str:
    """A drawing as HTML that nbconvert, GitHub and e-mail show: they take no SVG but within an image."""
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


def bounded(html: str, most: int = STATIC_BYTES) -> str:
    """HTML that no saved notebook grows too large by: what is too long is told of instead of cut within a tag."""
    size = len(html.encode())
    if size <= most:
        return html
    return line(f"What this panel shows is too large to be kept here ({size / 1000:,.0f} kB); run the cell to see it.")


def plain_text(html: str) -> str:
    """HTML as lines of words."""
    broken = re.sub(r"</(?:tr|p|div|li|h\d|pre|table)>|<br\s*/?>", "\n", html)
    spaced = re.sub(r"</t[dh]>", "  ", broken)
    lines = (one.rstrip() for one in unescape(re.sub(r"<[^>]+>", "", spaced)).splitlines())
    return "\n".join(one for one in lines if one)


def rows() -> Any:
    """A widget for a report's HTML, with the notebook's own look of tables."""
    shown = widgets.HTML()
    shown.add_class("jp-RenderedHTMLCommon")
    return shown


def row(*parts: Any) -> Any:
    """Widgets side by side, on one line."""
    return widgets.HBox(parts, layout=widgets.Layout(align_items="center", flex_flow="row wrap"))


def field(entry: Any) -> tuple[Any, Callable[[str], None]]:
    """A field with room under it for what is wrong with its value, and what to say that by; an empty sentence takes it away."""
    said = widgets.HTML(layout=widgets.Layout(display="none", margin="0 0 4px 92px"))

    def say(text: str) -> None:
        said.value = line(text, "bad")
        said.layout.display = "" if text else "none"

    return widgets.VBox([entry, said]), say
