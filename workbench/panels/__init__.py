"""What is seen: widgets that show and start, and decide nothing.

A panel holds widgets and is none; a notebook shows it when a cell ends with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.panels.chart import ChartPanel
    from workbench.panels.coverage import CoveragePanel
    from workbench.panels.refresh import RefreshPanel
    from workbench.panels.status import StatusPanel
    from workbench.panels.table import TablePanel

__all__ = ["ChartPanel", "CoveragePanel", "RefreshPanel", "StatusPanel", "TablePanel"]

_PLACES = {
    "ChartPanel": "workbench.panels.chart",
    "CoveragePanel": "workbench.panels.coverage",
    "RefreshPanel": "workbench.panels.refresh",
    "StatusPanel": "workbench.panels.status",
    "TablePanel": "workbench.panels.table",
}


def __getattr__(name: str) -> Any:
    # Widgets are imported by whoever shows a panel, not by whoever opens a workbench.
    if name not in _PLACES:
        raise AttributeError(f"module 'workbench.panels' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
