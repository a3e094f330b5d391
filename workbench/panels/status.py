"""What the lake holds, in a notebook."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from workbench.panels.parts import guarded, line, row, rows, widgets

if TYPE_CHECKING:
    from workbench.bench import Workbench


class StatusPanel:
    """`bench.status()` as a table, and a button that reads it again."""

    def __init__(self, bench: "Workbench"):
        self.bench = bench
        self.button = widgets.Button(description="Reload", icon="refresh", tooltip="Read the lake's status again")
        self.read_at = widgets.HTML()
        self.message = widgets.HTML()
        self.table = rows()
        self.view = widgets.VBox([row(self.button, self.read_at), self.message, self.table])
        reload = guarded(self.tell, self.reload)
        self.button.on_click(reload)
        reload()

    def reload(self) -> None:
        """Read the status and show it."""
        self.table.value = self.bench.status()._repr_html_()
        self.read_at.value = line(f"read at {datetime.now():%H:%M:%S}")
        self.tell("")

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence above the table."""
        self.message.value = line(text, tone)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.view._repr_mimebundle_(**options)
