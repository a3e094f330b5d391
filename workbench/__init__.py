"""workbench: market data as a lake of Parquet, asked in SQL.

    sources → lake → query → panels · notebooks · cli
              (landed, checked, Delta)  (views)      ↑ refresh drives, status reports

`tables` says what exists, `sources` where bytes come from, `lake` what is kept, `query` what can be asked. Start with
`workbench.open()`.
"""

from typing import TYPE_CHECKING, Any

from workbench import errors
from workbench.config import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.bench import Workbench

__version__ = "0.1.0"
__all__ = ["Settings", "Workbench", "__version__", "errors", "open"]


def open(data: "str | Path | Settings | None" = None, as_of: Any = None, **settings: Any) -> "Workbench":
    """Open the lake in a folder (default: the configured root); see `workbench.bench.open`."""
    from workbench.bench import open as open_bench

    return open_bench(data, as_of, **settings)


def __getattr__(name: str) -> Any:
    # DuckDB is imported by whoever opens a workbench, not by whoever reads the version.
    if name == "Workbench":
        from workbench.bench import Workbench

        return Workbench
    if name == "panels":
        import importlib

        return importlib.import_module("workbench.panels")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """Give a notebook `%%sql`: for `%load_ext workbench`."""
    from workbench.magic import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take it away: for `%unload_ext workbench`."""
    from workbench.magic import unload

    unload(shell)
