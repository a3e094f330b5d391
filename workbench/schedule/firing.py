"""What is due is claimed, put on record, and only then begun: two servers, or a server and cron, never begin the same time twice.

A claim is a run on record and the schedule's `claimed` time, both under one lock. Times that were missed are claimed together, once; while a
schedule's last run goes on, its next waits.
"""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import Busy, WorkbenchError
from workbench.runs import Run, Runs
from workbench.schedule.book import Book, Schedule, going

if TYPE_CHECKING:
    from workbench.config import Settings

# A server looks every few seconds and cron every minute: later than that, and a time was missed.
PUNCTUAL_S = 120


@dataclass(frozen=True)
class Begun:
    """A run that was begun for a schedule: how late (seconds), and for how many due times."""

    schedule: Schedule
    run: Run
    late: float
    times: int
    process: "subprocess.Popen[bytes] | None" = None

    def __str__(self) -> str:
        missed = f", for {self.times} times" if self.times > 1 else ""
        late = f" ({told(self.late)} late{missed})" if self.late > PUNCTUAL_S or self.times > 1 else ""
        return f"{self.schedule.name}: began run {self.run.id}{late}: {' '.join(self.run.command)}"


def told(seconds: float) -> str:
    """A length of time as a person says it."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def due(root: Path, now: datetime | None = None) -> list[Begun]:
    """Begin all that is due, each in a process of its own; gives what was begun by this call."""
    # Looked at without the lock first: most of the time nothing is due.
    likely = [one.name for one in Book.read(root) if one.due(now or datetime.now(UTC))]
    return [made for name in likely if (made := fire(root, name, now))]


def fire(root: Path, name: str, now: datetime | None = None) -> Begun | None:
    """Begin a schedule's run if it is due; None if it is not, or its last run still goes on, or somebody else was first."""
    now = now or datetime.now(UTC)
    with Book.changing(root) as book:
        schedule = next((one for one in book if one.name == name), None)
        if schedule is None or going(root, schedule, now):
            return None
        at = schedule.due(now)
        if at is None:
            return None
        late, times = (now - at).total_seconds(), schedule.cron.count(now, schedule.counted)
        run = begin(root, schedule, due=at.isoformat(), late=round(late, 1), times=times)
        schedule = book.change(name, claimed=at.isoformat(), run=run.id)
    return Begun(schedule, run, late, times, launch(root, run))


def now(root: Path, name: str) -> Begun:
    """Begin a schedule's run, due or not; its times count as before. Raises `Busy` if its last run goes on."""
    with Book.changing(root) as book:
        schedule = book[name]
        if running := going(root, schedule, datetime.now(UTC)):
            raise Busy(
                f"{name} is being run since {running.started[:19]} UTC (run {running.id}, process {running.pid}); nothing was begun."
            )
        run = begin(root, schedule, asked=True)
        schedule = book.change(name, run=run.id)
    return Begun(schedule, run, 0.0, 1, launch(root, run))


def begin(root: Path, schedule: Schedule, **facts: object) -> Run:
    """Put a schedule's run on record."""
    kind = "notebook" if schedule.command[0] == "run" else schedule.command[0]
    told = {"schedule": schedule.name, "folder": schedule.folder, "timeout": schedule.timeout, **facts}
    return Runs(root).begin(kind, schedule.command, f"schedule:{schedule.name}", **{name: value for name, value in told.items() if value})


def launch(root: Path, run: Run) -> "subprocess.Popen[bytes]":
    """Start the process that minds a run; it outlives this one. Ends the run's record where none can be started."""
    try:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "workbench.schedule", str(root), run.id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ),
            start_new_session=True,
        )
    except OSError as fault:
        Runs(root).end(run, 1, reason=f"no process could be started ({fault.strerror})")
        raise


def mourn(settings: "Settings") -> list[Run]:
    """Tell of runs that were broken off, by a kill or the machine's end, which nobody was left to tell of; gives them."""
    from workbench.runs.masking import Secrets
    from workbench.schedule.notifying import message_of, notify

    root, found = settings.root, []
    runs = Runs(root)
    for schedule in Book.read(root):
        with suppress(WorkbenchError, OSError):
            run = runs.get(schedule.run) if schedule.run else None
            if run and run.status is None and not going(root, schedule, datetime.now(UTC)):
                with Book.changing(root):
                    run = runs.get(run.id)
                    if run.status is not None:
                        # Another server was first.
                        continue
                    told = "it was broken off: its process was killed, or the machine went down"
                    run = runs.end(run, 1, reason=told, facts=run.facts | {"broken_off": True})
                came = notify(settings, message_of(root, run, schedule.name), Secrets.of(settings, os.environ))
                found.append(runs.change(run, facts=run.facts | {"notified": came}))
    return found
