"""The process that minds a scheduled run: it begins the command, keeps what it prints, ends it in time, puts on record what came of it, and tells."""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from workbench.config import Settings
from workbench.errors import WorkbenchError
from workbench.lake.processes import started
from workbench.notebooks.stamping import versions
from workbench.runs import Run, Runs
from workbench.runs.locking import locked
from workbench.runs.masking import Secrets
from workbench.runs.minding import complaint
from workbench.runs.record import ERRORS, LOG
from workbench.runs.supervised import Supervised
from workbench.schedule.notifying import message_of, notify, wanted

STOPPED, FAILED = 130, 1
LOOK_S = 0.2
# The run before has written its end, and lets its lock go.
LOCK_S = 10


def mind(root: Path, id: str) -> Run:
    """Run a scheduled run's command to its end, and tell of it if it failed."""
    runs = Runs(root)
    run = runs.get(id)
    if run.status is not None:
        # It was taken for dead before it came; the next may be under way.
        return run
    run = runs.minded(run)
    name, folder = str(run.facts.get("schedule", "")), Path(str(run.facts.get("folder") or root))
    settings: Settings | None = None
    secrets = Secrets.of(Settings(), os.environ)
    try:
        os.chdir(folder)
        settings = Settings.load(data=str(root))
        secrets = Secrets.of(settings, os.environ)
        with locked(root, f"schedule-{name}", "nothing was run", LOCK_S):
            status, reason = work(runs, run, secrets)
    except Timeout:
        status, reason = FAILED, f"{name} is being run by another process; nothing was run"
    except (WorkbenchError, OSError) as fault:
        status, reason = FAILED, f"it could not be begun: {fault}"
    # What ran may have added to the record.
    run = runs.get(id)
    ended = datetime.now(UTC).isoformat()
    run = kept(
        runs, replace(run, status=status, ended=ended, reason=secrets.mask(reason) if status else "", after=run.after or versions(root))
    )
    if settings and wanted(settings, run):
        run = kept(runs, replace(run, facts=run.facts | {"notified": {}}))
        came = notify(settings, message_of(root, run, name), secrets)
        run = kept(runs, replace(run, facts=run.facts | {"notified": came}))
    return run


def kept(runs: Runs, run: Run) -> Run:
    """A run, put on record if that can be: where the disk is full, somebody must hear of it all the more."""
    with suppress(WorkbenchError, OSError):
        runs.change(run)
    return run


def work(runs: Runs, run: Run, secrets: Secrets) -> tuple[int, str]:
    """Run the command; its exit status, and why if it is not 0."""
    place = runs.place(run.id)
    run = runs.change(run, before=versions(runs.root), attempts=1)
    env = {**os.environ, "WORKBENCH_DATA": str(runs.root)}
    if run.command[0] == "run":
        env["WORKBENCH_RUN"] = run.id
    child = Supervised([sys.executable, "-m", "workbench", *run.command], place / LOG, place / ERRORS, secrets, env=env)
    stops: list[int] = []

    def heard(*_: object) -> None:
        stops.append(1)
        child.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, heard)
    timeout = float(run.facts.get("timeout", 0))
    until = time.monotonic() + timeout if timeout else None
    try:
        runs.change(runs.get(run.id), child=child.pid, child_begun=started(child.pid))
        while (status := child.wait(LOOK_S)) is None:
            if until and time.monotonic() > until:
                child.end()
                return FAILED, f"it took longer than {timeout:g} s and was ended"
    finally:
        if child.process.poll() is None:
            child.end(0)
    if stops and status not in (0, 3):
        return STOPPED, "it was stopped"
    told = runs.get(run.id).reason if run.command[0] == "run" else ""
    return status, told or why(complaint(place)) or f"it ended with status {status}"


def why(complained: str) -> str:
    """What of a complaint says why: the sentence that the workbench ends with, else the end of it."""
    lines = [line for line in complained.splitlines() if line.startswith("workbench: ")]
    return lines[-1].removeprefix("workbench: ") if lines else complained


def main() -> None:
    """`python -m workbench.schedule ROOT ID`."""
    with suppress(KeyboardInterrupt):
        mind(Path(sys.argv[1]), sys.argv[2])
