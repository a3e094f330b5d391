"""Parameterised runs of notebooks, with papermill."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import MissingExtra, WorkbenchError

# A checkout's own notebooks; an installed package has none.
FOLDER = Path(__file__).parent.parent / "notebooks"


def run(notebook: Path, folder: Path, **parameters: Any) -> Path:
    """Run a copy of a notebook, with parameters, and keep it with its results in a folder; gives its path.

    Raises `WorkbenchError` for the first cell that fails: the copy then holds the traceback.
    """
    try:
        import papermill
    except ImportError as fault:
        raise MissingExtra("papermill is not installed, so the notebook was not run; pip install 'workbench[lab]'") from fault

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{notebook.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.ipynb"
    try:
        papermill.execute_notebook(
            str(notebook),
            str(target),
            parameters,
            kernel_name="python3",
            progress_bar=False,
            # The kernel warns of its own transport, which does not leave this machine.
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
    except papermill.PapermillExecutionError as fault:
        what = f"{fault.ename}: {fault.evalue}"
        raise WorkbenchError(f"{notebook.name} failed in cell {fault.cell_index} ({what}); nothing after it ran. See {target}.") from fault
    return target
