"""A notebook, executed in this process's own kernel by papermill, and written as it goes: without secrets, and without the state of widgets.

`python -m workbench.notebooks` is the process that does it; it reads what to do from standard input, tells how it goes on a pipe, and ends with
whoever started it.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import MissingExtra, UsageError
from workbench.runs.masking import Secrets

# A cell that runs long is saved so often.
AUTOSAVE_S = 2
FINDINGS = "Findings"
Tell = Callable[..., None]


@dataclass(frozen=True)
class Ended:
    """How a notebook ended: the exit status, why if it is not 0, and the cell (counted from 1) where it was."""

    status: int = 0
    reason: str = ""
    cell: int = 0


@dataclass
class Request:
    """What to execute: a notebook, where to write it, with which parameters and under which metadata."""

    notebook: Path
    output: Path
    parameters: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=lambda: Secrets(()))
    folder: Path | None = None
    # Asked before each cell: an interruption that comes before or between cells finds nothing to interrupt.
    stopped: Callable[[], bool] = lambda: False


class StoppedError(Exception):
    """No further cell was begun, as the run was asked to stop."""


def loaded(path: Path) -> Any:
    """A notebook as it is written. Raises `UsageError` for what is none."""
    nbformat: Any
    try:
        import nbformat
    except ImportError as fault:
        raise missing() from fault
    try:
        # Older forms are read as the newest.
        return nbformat.read(path, as_version=4)
    except OSError as fault:
        raise UsageError(f"{path} cannot be read ({fault.strerror}); nothing was run.") from fault
    except Exception as fault:
        raise UsageError(f"{path} is not a notebook ({str(fault).splitlines()[0][:200]}); nothing was run.") from fault


def missing() -> MissingExtra:
    """The error where papermill is not installed."""
    return MissingExtra("papermill is not installed, so the notebook was not run; pip install 'workbench[lab]'")


def clean(notebook: Any, secrets: Secrets) -> Any:
    """A notebook as it may be written: what a cell printed in one piece, no secrets, no widgets' state."""
    nbformat: Any
    import nbformat

    plain: dict[str, Any] = json.loads(nbformat.writes(notebook))
    plain["metadata"].pop("widgets", None)
    for cell in plain["cells"]:
        for name in ("source",):
            cell[name] = "".join(cell[name])
        joined: list[dict[str, Any]] = []
        for output in cell.get("outputs", []):
            if output["output_type"] != "stream":
                output["data"] = {kind: whole(value) for kind, value in output.get("data", {}).items()} if "data" in output else None
                joined.append({name: value for name, value in output.items() if value is not None})
                continue
            output["text"] = "".join(output["text"])
            if joined and joined[-1]["output_type"] == "stream" and joined[-1]["name"] == output["name"]:
                # A secret may have been printed in two pieces.
                joined[-1]["text"] += output["text"]
            else:
                joined.append(output)
        if "outputs" in cell:
            cell["outputs"] = joined
    return secrets.masked(plain)


def whole(value: Any) -> Any:
    """A text that was split into lines, in one piece."""
    return "".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value


def write(notebook: Any, target: Path, secrets: Secrets) -> None:
    """Write a notebook whole at once."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(json.dumps(clean(notebook, secrets), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(target)


def execute(request: Request, tell: Tell = lambda *_, **__: None) -> Ended:
    """Execute a notebook and write it as it goes. `tell` hears of the kernel and of each cell. Raises `MissingExtra` and `UsageError`."""
    notebook = loaded(request.notebook)
    try:
        import papermill
        from papermill.clientwrap import PapermillNotebookClient
        from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
    except ImportError as fault:
        raise missing() from fault

    class Manager(NotebookExecutionManager):  # type: ignore[misc]
        """Writes for itself, as papermill would write secrets."""

        def save(self, **kwargs: Any) -> None:
            self.nb: Any = kwargs.get("nb") or self.nb
            self.last_save_time = self.now()
            write(self.nb, request.output, request.secrets)

        def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
            if request.stopped():
                raise StoppedError("stopped")
            super().cell_start(cell, cell_index, **kwargs)
            tell("cell", cell=(cell_index or 0) + 1, of=len(self.nb.cells), code=cell.cell_type == "code")

    class Client(PapermillNotebookClient):  # type: ignore[misc]
        """Tells which process the kernel is."""

        def start_new_kernel(self, **kwargs: Any) -> None:
            super().start_new_kernel(**kwargs)
            tell("kernel", pid=self.km.provisioner.pid, group=self.km.provisioner.pgid)

    class Engine(NBClientEngine):  # type: ignore[misc]
        """papermill's own, with our manager."""

        held: Any = None

        @classmethod
        def execute_notebook(cls, nb: Any, kernel_name: str, **kwargs: Any) -> Any:
            manager = cls.held = Manager(nb, progress_bar=False, autosave_cell_every=AUTOSAVE_S)
            manager.notebook_start()
            try:
                Client(
                    manager,
                    timeout=None,
                    startup_timeout=kwargs["start_timeout"],
                    kernel_name=kernel_name,
                    store_widget_state=False,
                    # The kernel warns of its own transport, which does not leave this machine.
                    extra_arguments=["--IPKernelApp.log_level=40"],
                ).execute()
            finally:
                manager.notebook_complete()
            return manager.nb

    papermill_engines.register("workbench", Engine)
    notebook.metadata["workbench"] = request.metadata
    kept = notebook.metadata
    # Some editors leave one of the two out, or both, and what was never opened says nothing.
    told = (kept.get("kernelspec") or {}).get("language") or (kept.get("language_info") or {}).get("name")
    python = "python" in (told or "python")
    try:
        papermill.execute_notebook(
            notebook,
            None,
            request.parameters,
            engine_name="workbench",
            kernel_name="python3" if python else None,
            language="python" if python else None,
            progress_bar=False,
            cwd=str(request.folder or request.notebook.parent),
        )
    except papermill.PapermillExecutionError as fault:
        # papermill has marked the cell by now.
        write(Engine.held.nb, request.output, request.secrets)
        return Ended(status_of(fault), request.secrets.mask(reason_of(fault)), int(fault.cell_index) + 1)
    except StoppedError:
        return Ended(130, "stopped")
    except Exception as fault:
        if type(fault).__name__ == "DeadKernelError":
            return Ended(1, "the kernel was killed or died: perhaps the machine had no memory left for it")
        return Ended(1, request.secrets.mask(" ".join(f"{type(fault).__name__}: {fault}".split())))
    return Ended()


def status_of(fault: Any) -> int:
    """The exit status of a cell that raised: 3 for findings, 130 for an interruption, sys.exit's own, else 1."""
    if fault.ename == "SystemExit":
        return int(fault.evalue) if str(fault.evalue).isdigit() and int(fault.evalue) < 256 else 1
    return {FINDINGS: 3, "KeyboardInterrupt": 130}.get(fault.ename, 1)


def reason_of(fault: Any) -> str:
    """What a cell raised, in a line."""
    told = " ".join(str(fault.evalue).split())
    if fault.ename in (FINDINGS, "SystemExit"):
        return told if fault.ename == FINDINGS else f"sys.exit({told})"
    return f"{fault.ename}: {told}".rstrip(": ")


def main() -> None:
    """Execute what standard input asks for, and end when it is closed."""
    asked = json.loads(sys.stdin.buffer.readline())
    pipe = os.fdopen(asked["pipe"], "w", buffering=1)
    groups, stops = list[int](), list[int]()

    def tell(event: str, **facts: Any) -> None:
        if event == "kernel":
            groups.append(facts["group"])
        pipe.write(json.dumps({"event": event, **facts}) + "\n")

    def end(*_: object) -> None:
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os._exit(1)

    def follow() -> None:
        sys.stdin.buffer.read()
        end()

    # Whoever minds the run passes an interruption to the kernel, too; here it ends what comes after the cell. Ignored, it would be so for its children.
    signal.signal(signal.SIGINT, lambda *_: stops.append(1))
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=follow, daemon=True).start()
    request = Request(
        Path(asked["notebook"]),
        Path(asked["output"]),
        asked["parameters"],
        asked["metadata"],
        Secrets(asked["secrets"]),
        Path(asked["folder"]),
        lambda: bool(stops),
    )
    try:
        ended = execute(request, tell)
    except Exception as fault:
        ended = Ended(1, request.secrets.mask(" ".join(f"{type(fault).__name__}: {fault}".split())))
    tell("ended", status=ended.status, reason=ended.reason, cell=ended.cell)
    sys.stdout.flush()
    # Threads of the kernel's client may still wait for it.
    os._exit(0)
