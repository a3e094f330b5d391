"""One backup or prune at a time at a place: `lock.json` there says whose it is, and is said again while they live.

What removes objects must not meet what is about to name them. A lock of a process of this machine that is no more counts for nothing; another machine's
counts for a quarter of an hour after it was last said.
"""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from workbench.errors import BadKeys, Busy, WorkbenchError
from workbench.lake.backup.destination import Destination
from workbench.lake.processes import dead, started, user
from workbench.lake.store import utc_now

NAME = "lock.json"
SAY_S, COUNTS_S = 60.0, 900.0
# No clock that runs is so far ahead of another: one that was, and was set right, would hold the place until then.
AHEAD_S = 86400.0
# Two that take a dead one's lock at once both write theirs, and then look whose is there.
LOOK_S = 0.3


@dataclass(frozen=True)
class Lock:
    """Who holds a place: a process, by its machine, number and start, what it does, since when, and when it was last said."""

    token: str
    host: str
    pid: int
    user: str
    began: str
    what: str
    since: str
    said: str

    @property
    def gone(self) -> bool:
        """Whether it counts for nothing any more."""
        if self.host == platform.node():
            return dead(f"{self.host}-{self.pid}-00000000", self.began)
        age = (datetime.now(UTC) - datetime.fromisoformat(self.said)).total_seconds()
        return age > COUNTS_S or age < -AHEAD_S

    def __str__(self) -> str:
        at = datetime.fromisoformat(self.since)
        return f"process {self.pid} ({self.what}, user {self.user} on host {self.host}) since {at:%Y-%m-%d %H:%M:%S} UTC"


class Held:
    """A place that is held. `expect` before anything that another holder could spoil."""

    def __init__(self, at: Destination, lock: Lock, beat: Callable[[], None]):
        self._at, self._lock, self._beat = at, lock, beat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="backup-lock", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        while not self._over.wait(SAY_S):
            # One that cannot be said now is said a minute later; `expect` tells whether that was too late.
            with suppress(WorkbenchError, OSError):
                self.expect()
                write(self._at, Lock(**asdict(self._lock) | {"said": utc_now()}), anew=True)
            self._beat()

    def expect(self) -> None:
        """Raise `Busy` if somebody else has taken the place: this machine was asleep, or its clock is wrong."""
        there = read(self._at)
        if there is None or there.token != self._lock.token:
            raise Busy(
                f"{self._at.where} was taken over by {there or 'somebody who has gone'} while this process did not answer: nothing was made or removed there "
                "since. Run the command again."
            )

    def release(self) -> None:
        """Let go of the place."""
        self._over.set()
        self._thread.join()
        with suppress(WorkbenchError):
            there = read(self._at)
            if there and there.token == self._lock.token:
                try:
                    self._at.remove(NAME)
                except BadKeys:
                    # What may not be removed is said to be nobody's.
                    self._at.put(NAME, lambda sink: sink.write(b"{}\n"), anew=True)


@contextmanager
def held(at: Destination, what: str, undone: str, beat: Callable[[], None] = lambda: None) -> Iterator[Held]:
    """Hold a place until the block ends; `beat` is called every minute. Raises `Busy` if another does."""
    now = utc_now()
    mine = Lock(uuid.uuid4().hex, platform.node(), os.getpid(), user(), started(os.getpid()), what, now, now)
    if not write(at, mine, anew=False):
        there = read(at)
        # It is ours already where the answer was lost, and the store was asked again.
        if there is None or there.token != mine.token:
            taken(at, mine, there, undone)
    place = Held(at, mine, beat)
    try:
        yield place
    finally:
        place.release()


def taken(at: Destination, mine: Lock, there: Lock | None, undone: str) -> None:
    """Take a place over from whoever held it. Raises `Busy` if they do yet, or if another takes it, too."""
    if there and not there.gone:
        raise Busy(f"{at.where} is held by {there}; {undone}. Wait until that has finished, or end it there.")
    write(at, mine, anew=True)
    # Nobody tells whether another does the same.
    time.sleep(LOOK_S)
    there = read(at)
    if there is None or there.token != mine.token:
        raise Busy(f"{at.where} was taken by {there or 'another'} just now; {undone}. Wait until that has finished, or end it there.")


def read(at: Destination) -> Lock | None:
    """Whose the place is; None if it is nobody's, or if that cannot be read."""
    with suppress(ValueError, TypeError, KeyError):
        text = at.get(NAME)
        lock = Lock(**json.loads(text)) if text else None
        # Of one that says what is no instant nobody knows how old it is.
        return lock if lock and all(datetime.fromisoformat(one).tzinfo for one in (lock.since, lock.said)) else None
    return None


def write(at: Destination, lock: Lock, *, anew: bool) -> bool:
    """Say whose the place is; False if somebody has said so before, unless `anew`."""
    text = json.dumps(asdict(lock)).encode()

    def fill(sink: object) -> None:
        sink.write(text)  # type: ignore[attr-defined]

    return at.put(NAME, fill, anew=anew)
