"""A server in the foreground that begins what is due, on time. APScheduler waits; what is due is decided, and claimed, by `firing`."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from workbench.errors import Busy, MissingExtra, WorkbenchError
from workbench.lake.locks import Holder, write
from workbench.runs.locking import locked
from workbench.schedule.book import FILE, Book
from workbench.schedule.cron import Cron
from workbench.schedule.firing import due, mourn

if TYPE_CHECKING:
    from workbench.config import Settings

# How often it looks for changed schedules, and for what waited for a run to end.
LOOK_S = 2

Say = Callable[[str], None]


def trigger(cron: Cron) -> Any:
    """A time as APScheduler takes it: its own reading of cron's fields has another Sunday, and takes both days where either will do."""
    from apscheduler.triggers.base import BaseTrigger

    class Due(BaseTrigger):  # type: ignore[misc]
        def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
            return cron.after(max(previous_fire_time, now) if previous_fire_time else now)

    return Due()


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Be the only server of a lake. Raises `Busy`, naming the other."""
    note = root / "locks" / "schedule-serve.json"
    with ExitStack() as held:
        try:
            held.enter_context(locked(root, "schedule-serve", "nothing was served"))
        except Timeout as fault:
            raise Busy(f"the schedules of {root} are served by {Holder.read(note) or 'another process'}; nothing was done.") from fault
        held.callback(note.unlink, missing_ok=True)
        write(note, Holder.here("schedule serve"))
        yield


def serve(settings: "Settings", say: Say, ended: threading.Event | None = None) -> None:
    """Begin what is due, on time, until SIGTERM or SIGINT (or the event); what was begun goes on by itself. Raises `Busy` and `MissingExtra`."""
    try:
        from apscheduler.schedulers.background import BackgroundScheduler
    except ImportError as fault:
        raise MissingExtra("APScheduler is not installed, so nothing was served; pip install 'workbench[lab]'") from fault
    root, over = settings.root, ended or threading.Event()
    with alone(root):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: over.set())
        server = Server(settings, say, BackgroundScheduler(timezone="UTC", daemon=True))
        server.start()
        try:
            over.wait()
        finally:
            server.scheduler.shutdown(wait=True)
            say("stopped; runs that were begun go on by themselves" if server.begun else "stopped")


class Server:
    """The jobs of the server: one for each schedule, and one that looks for what changed."""

    def __init__(self, settings: "Settings", say: Say, scheduler: Any):
        self.settings, self.say, self.scheduler = settings, say, scheduler
        self.root = settings.root
        self.begun = 0
        self.complained = ""
        self.held: list[Any] | None = None
        self.processes: list[Any] = []
        self._one = threading.Lock()

    def start(self) -> None:
        """Begin to wait."""
        self.look()
        self.scheduler.add_job(self.look, "interval", seconds=LOOK_S, id="look", coalesce=True, max_instances=1, misfire_grace_time=None)
        self.scheduler.start()

    def look(self) -> None:
        """Take in changed schedules, and begin what is due."""
        with self._one:
            # A minder that has ended is our child until it is asked.
            self.processes = [one for one in self.processes if one.poll() is None]
            try:
                self._follow()
                for run in mourn(self.settings):
                    self.say(f"{run.by.partition(':')[2]}: run {run.id} was broken off")
                for begun in due(self.root):
                    self.begun += 1
                    self.processes.append(begun.process)
                    self.say(str(begun))
                self.complained = ""
            except (WorkbenchError, OSError) as fault:
                # A server outlives a disk that is full for an hour; it says so once.
                if str(fault) != self.complained:
                    self.say(f"cannot begin what is due: {fault}")
                self.complained = str(fault)

    def _follow(self) -> None:
        kept = [(one.name, one.when, one.paused) for one in Book.read(self.root)]
        if kept == self.held:
            return
        for job in self.scheduler.get_jobs():
            if job.id != "look":
                job.remove()
        for name, when, paused in kept:
            if not paused:
                cron = Cron.parse(when)
                self.scheduler.add_job(self.look, trigger(cron), id=f"at {name}", coalesce=True, max_instances=1, misfire_grace_time=None)
        self.held = kept
        self.say(f"serving {len(kept)} schedules of {self.root / FILE}{self._next()}")

    def _next(self) -> str:
        now = datetime.now(UTC)
        waiting = [(at, one.name) for one in Book.read(self.root) if not one.paused and (at := one.cron.after(now))]
        if not waiting:
            return ""
        at, name = min(waiting)
        return f"; next is {name} at {at:%Y-%m-%d %H:%M} UTC"
