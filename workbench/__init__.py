"""workbench: market data as a lake of Parquet, asked in SQL.

    sources → lake → query → panels · notebooks · cli · api
              (landed, checked, Delta)  (views)            ↑ refresh drives, status reports

`tables` says what exists, `sources` where bytes come from, `lake` what is kept, `query` what can be asked. Start with
`workbench.open()`.
"""

import logging
from typing import TYPE_CHECKING, Any

from workbench import errors
from workbench.config import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workbench.bench import Workbench
    from workbench.query.report import Report

# Silent, until a program asks for log lines: see `workbench.logs`.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
__all__ = ["Settings", "Workbench", "__version__", "errors", "open", "restore"]


def open(data: "str | Path | Settings | None" = None, as_of: Any = None, **settings: Any) -> "Workbench":
    """Open the lake in a folder (default: the configured root); see `workbench.bench.open`."""
    from workbench.bench import open as open_bench

    return open_bench(data, as_of, **settings)


def restore(
    source: str, data: "str | Path | Settings", snapshot: str | None = None, *, replace: bool = False, identities: "Sequence[str]" = ()
) -> "Report":
    """Restore a backup to a folder that is not there yet, or with `replace` in the place of the lake in it; see `workbench.lake.restoring`."""
    from workbench.query.restored import restored

    if isinstance(data, str) and not data.strip():
        raise errors.UsageError("no folder to restore to was named; nothing was restored. Name one, as lake.")
    settings = data if isinstance(data, Settings) else Settings.load(data=str(data))
    return restored(source, settings.root, snapshot, replace=replace, identities=identities)


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
