"""Notebooks run with parameters, by papermill, and put on record.

`running.run_notebook` is what `workbench run` does: in a process of its own, with a time limit, retries and one run at a time. `run` is its
least part, in this process. A notebook ends a run early with `sys.exit(0)`, with exit status 3 by `findings("2 sessions are missing")`, and with 1
by raising anything else.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

# A checkout's own notebooks; an installed package has none.
FOLDER = Path(__file__).parents[2] / "notebooks"


class Findings(WorkbenchError):
    """A notebook did its work and found something that a person must see: its run ends with exit status 3."""

    def _render_traceback_(self) -> list[str]:
        # Where it was raised says nothing to whoever reads the notebook.
        return [f"Findings: {self}"]


def findings(what: object) -> None:
    """End the notebook's run here with exit status 3, saying what was found; does nothing for "", None or nothing found."""
    if what:
        raise Findings(str(what))


def run(notebook: Path, folder: Path, **parameters: Any) -> Path:
    """Run a copy of a notebook, with parameters, and keep it with its results in a folder; gives its path.

    Raises `WorkbenchError` for the first cell that fails: the copy then holds the traceback.
    """
    import os

    from workbench.config import Settings
    from workbench.notebooks.executing import Request, execute
    from workbench.runs.masking import Secrets

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{notebook.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.ipynb"
    secrets = Secrets.of(Settings.load(), os.environ)
    ended = execute(Request(notebook, target, parameters, secrets=secrets, folder=Path.cwd()))
    if ended.status not in (0, 3):
        raise WorkbenchError(f"{notebook.name} failed in cell {ended.cell} ({ended.reason}); nothing after it ran. See {target}.")
    return target
