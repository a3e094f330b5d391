"""A table whose cells are clicked: the one thing that ipywidgets has not, and for which kept tables of thousands of rows are too much."""

from collections.abc import Callable
from typing import Any

from workbench.errors import MissingExtra
from workbench.panels.parts import escape
from workbench.query.report import shown

try:
    import anywidget
    import traitlets
except ImportError as fault:
    raise MissingExtra("this panel needs anywidget, which is not installed; nothing is shown. pip install 'workbench[lab]'") from fault

CLICKS = """
function render({ model, el }) {
  const draw = () => {
    // A table that is drawn anew must not take the place of who reads it by keyboard.
    const held = el.contains(document.activeElement) ? document.activeElement.dataset.cell : null;
    el.innerHTML = model.get("html");
    if (held) el.querySelector(`[data-cell="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  };
  el.classList.add("workbench-cells");
  el.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    if (!cell) return;
    model.set("picked", cell.dataset.cell);
    model.set("clicks", model.get("clicks") + 1);
    model.save_changes();
  });
  model.on("change:html", draw);
  draw();
}
export default { render };
"""

LOOK = """
.workbench-cells { overflow-x: auto; color: var(--jp-ui-font-color1, inherit); font-family: var(--jp-ui-font-family, sans-serif); font-size: 12px; }
.workbench-cells table { border-collapse: collapse; margin: 0; }
.workbench-cells th, .workbench-cells td { padding: 3px 8px; white-space: nowrap; text-align: right; border-bottom: 1px solid var(--jp-border-color2, #ddd); }
.workbench-cells th { color: var(--jp-ui-font-color2, #666); font-weight: 600; }
.workbench-cells .text { text-align: left; }
.workbench-cells .told { text-align: left; white-space: normal; }
.workbench-cells button { all: unset; cursor: pointer; border-radius: 2px; }
.workbench-cells button:hover { text-decoration: underline; color: var(--jp-brand-color1, #1976d2); }
.workbench-cells button:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); }
.workbench-cells tr:hover { background: var(--jp-layout-color2, #f5f5f5); }
"""


class Cells(anywidget.AnyWidget):
    """HTML in which a click on anything with `data-cell` sets `picked` to what that says, and counts in `clicks`."""

    _esm = CLICKS
    _css = LOOK
    html = traitlets.Unicode("").tag(sync=True)
    picked = traitlets.Unicode("").tag(sync=True)
    clicks = traitlets.Int(0).tag(sync=True)

    def on_pick(self, action: Callable[[str], None]) -> None:
        """Call something with the cell that is clicked, also when it is the same one again."""
        self.observe(lambda _: action(self.picked), names="clicks")

    def pick(self, name: str) -> None:
        """Click a cell, as its reader does."""
        self.picked = name
        self.clicks += 1


def clickable(name: str, value: Any, text: str = "") -> str:
    """A value that can be clicked, as HTML."""
    return f'<button type="button" data-cell="{escape(name)}" title="Show the SQL">{escape(text or shown(value))}</button>'
