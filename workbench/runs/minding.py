"""Commands in processes of their own, minded by one that keeps their record: it outlives the notebook, panel or schedule that started it.

`start` begins a run beside the caller and comes back at once; `mind` runs one to its end in this process. What the command prints is its log.
If who minds a run is killed, the work goes on: the run is running as long as its child is, and its log tells how it ended.
"""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import LakeError, UsageError
from workbench.lake.disk import disk
from workbench.lake.processes import started
from workbench.runs.record import ERRORS, LOG, Run, Runs, last_event

if TYPE_CHECKING:
    from workbench.config import Settings

TAIL = 2_000
# The exit status of what was interrupted.
STOPPED = 130
# Who minds a run takes a moment to come, on a busy machine some.
COMES_SECONDS = 20.0
# What was in flight while a run went on is of no use afterwards.
PASSING = b'{"event": "moves"'


def start(settings: "Settings", command: tuple[str, ...], *, kind: str, by: str, **facts: Any) -> Run:
    """Start `workbench COMMAND` in a process of its own, which neither a kernel's restart nor the end of this process ends.

    Settings travel in the environment, so that no secret stands among the arguments or in the record. Raises `LakeError` where the root cannot be
    written or no process can be started.
    """
    runs = Runs(settings.root)
    run = runs.begin(kind, command, by, **facts)
    try:
        minder = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "workbench.runs", str(settings.root), run.id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=settings.project,
            env=environment(settings),
            start_new_session=True,
        )
    except OSError as fault:
        runs.end(run, 1, reason=f"no process could be started: {fault}")
        raise LakeError(f"no process could be started ({fault}); nothing was done. End other processes, and try again.") from fault
    # Counted out when it ends: until then it would seem to be there.
    threading.Thread(target=minder.wait, name="run", daemon=True).start()
    return run


def start_or_follow(settings: "Settings", command: tuple[str, ...], *, kind: str, by: str, **facts: Any) -> tuple[Run, bool]:
    """Start a run if none of its kind goes on; else that one. Tells whether it was started. Raises what `start` does."""
    runs = Runs(settings.root)
    with runs.alone(kind):
        if going := runs.going_on(kind):
            return going, False
        return start(settings, command, kind=kind, by=by, **facts), True


def mind(root: Path, id: str) -> Run:
    """Run a run's command to its end in a child of this process, and put on record what came of it. SIGINT and SIGTERM are passed on to it."""
    runs = Runs(root)
    early, asked = list[int](), list[int]()
    # Whoever reads who minds the run may ask it to stop at once, before there is a child that it could be passed on to.
    hear(lambda *_: early.append(1))
    run = runs.get(id)
    if run.status is not None:
        # It was taken for dead before it came; the next may be under way.
        return run
    run = runs.minded(run)
    place = runs.place(id)
    if early:
        return runs.end(run, STOPPED, reason="it was stopped before it began")
    words = [sys.executable, "-m", "workbench", *run.command]
    try:
        with disk(root, "the run was not started"), (place / LOG).open("ab") as log, (place / ERRORS).open("ab") as errors:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=errors, start_new_session=True)  # noqa: S603
    except (LakeError, OSError) as fault:
        return runs.end(run, 1, reason=f"no process could be started: {fault}")

    def pass_on(*_: object) -> None:
        asked.append(1)
        child.send_signal(signal.SIGINT)

    hear(pass_on)
    for _ in early:
        pass_on()
    run = runs.change(run, child=child.pid, child_begun=started(child.pid), attempts=run.attempts + 1)
    status = child.wait()
    if asked and status == 1 and not (place / LOG).stat().st_size:
        # Python that is interrupted while it starts says that it cannot start.
        status = STOPPED
    with suppress(OSError):
        shorten(place)
    title = last_event(place).get("title")
    facts = run.facts | {"title": title} if isinstance(title, str) else run.facts
    return runs.end(run, 128 - status if status < 0 else status, reason=complaint(place) if status else "", facts=facts)


def hear(action: Any) -> None:
    """Have SIGINT and SIGTERM do something else than end this process."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, action)


def shorten(place: Path) -> None:
    """Leave what was in flight out of a log that has ended. Whoever reads it meanwhile reads the old file to its end."""
    log = place / LOG
    if log.read_bytes().find(PASSING) < 0:
        return
    draft = place / f"{LOG}.{os.getpid()}"
    with log.open("rb") as lines, draft.open("wb") as kept:
        kept.writelines(line for line in lines if not line.startswith(PASSING))
    draft.replace(log)


def stop(root: Path, id: str, within: float = COMES_SECONDS) -> None:
    """Ask a run to stop as Ctrl-C would: what is landed stays. A second time, to leave at once. Raises `UsageError` if it has ended.

    A run whose minder has not come yet is waited for, for `within` seconds.
    """
    runs, until = Runs(root), time.monotonic() + within
    run = runs.get(id)
    while run.state == "running" and not run.pid and time.monotonic() < until:
        time.sleep(0.02)
        run = runs.get(id)
    if run.state != "running" or not run.pid:
        state = "nobody minds it yet" if run.state == "running" else run.state
        raise UsageError(f"the run {id} is not going on ({state}); nothing was stopped.")
    if run.host != platform.node():
        raise UsageError(
            f"the run {id} goes on at {run.host}; nothing was stopped. Stop it there, with a panel or with kill -INT {run.pid}."
        )
    with suppress(ProcessLookupError):
        os.kill(run.pid if run.minded else run.child, signal.SIGINT)


def complaint(place: Path) -> str:
    """The end of what a run said on standard error."""
    with suppress(OSError):
        return (place / ERRORS).read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()
    return ""


def environment(settings: "Settings") -> dict[str, str]:
    """The environment in which the command line has the same settings; secrets travel here, never among the arguments."""
    values = {declared.metadata["variables"][0]: getattr(settings, name) for name, declared in settings.declared().items()}
    if settings.source.startswith("folder:"):
        values["WORKBENCH_SOURCE"] = f"folder:{settings.folder}"
    return {**os.environ, **{variable: str(value) for variable, value in values.items() if value != ""}}
