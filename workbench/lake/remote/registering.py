"""Who reads a lake in a bucket, said there for the vacuums of other machines: `readers/<host>-<pid>-<8 hex>.json`, as in `locks/readers`.

A reader is said to read some minutes after it began, and what it reads is said again some minutes after that has changed, so that whoever looks something up
asks nothing of the bucket. A vacuum leaves what was replaced within an hour alone, which is longer; a reader of the past is said at once, under the
bucket's own lock. Each is said anew every hour, and counts for a day after it was last said, since nobody knows of a process on another machine that has ended.
"""

import json
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread, Timer
from typing import TYPE_CHECKING

from workbench.errors import BadKeys, Busy, WorkbenchError
from workbench.lake.remote.bucket import Bucket
from workbench.lake.remote.where import remote_of

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

BELOW = "readers/"
SAY_S, AGAIN_S, COUNTS_S = 300.0, 3600.0, 24 * 3600.0
# To end a session nobody waits for longer.
END_S = 3.0


class Published:
    """One reader's registration in the bucket. Safe for threads."""

    def __init__(self, remote: "Remote", name: str):
        self._remote, self.name = remote, f"{BELOW}{name}.json"
        self._text, self._said, self._at = "", "", 0.0
        self._lock = Lock()
        self._timer: Timer | None = None
        self._over = False

    def tell(self, text: str) -> None:
        """What is to be said, within some minutes."""
        self._text = text
        self._later()

    def send(self) -> None:
        """Say it now. Raises as the bucket does, but where these keys may not write: this reader is then held by vacuum's own age alone."""
        with self._lock:
            if self._over or not self._text:
                return
            text = self._text
            with suppress(BadKeys):
                self._remote.put_over(self.name, text.encode())
            self._said, self._at = text, time.monotonic()

    def end(self) -> None:
        """Take it back; not for long, where the bucket does not answer."""
        self._over = True
        if self._timer:
            self._timer.cancel()
        if self._at:
            ending = Thread(target=self._remove, daemon=True)
            ending.start()
            ending.join(END_S)

    def _remove(self) -> None:
        with self._lock, suppress(WorkbenchError, OSError):
            self._remote.remove(self.name)

    def _later(self) -> None:
        if self._over or (self._timer and self._timer.is_alive()):
            return
        # A bench that is forgotten is to be collected, and its registration taken back.
        self._timer = Timer(SAY_S, say, [weakref.ref(self)])
        self._timer.daemon = True
        self._timer.start()

    def again(self) -> None:
        """Say it if it has changed, or was said long ago; and look again in some minutes."""
        if self._text != self._said or time.monotonic() - self._at > AGAIN_S:
            with suppress(WorkbenchError, OSError):
                self.send()
        self._timer = None
        self._later()


def say(one: "weakref.ref[Published]") -> None:
    """Say what a reader reads, if it is still there."""
    if published := one():
        published.again()


def published(root: Path, name: str) -> Published | None:
    """A reader's registration in the bucket, if the lake stands in one."""
    remote = remote_of(root)
    return Published(remote, name) if remote else None


def elsewhere(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """The versions that readers registered in the bucket may read, each with its table; registrations that count no more are removed on the way.

    Raises `Busy` for one that cannot be read: whose files it holds is not known then.
    """
    remote = remote_of(root)
    if remote is None:
        return
    now = remote.now()
    for one in list(remote.below(BELOW)):
        if now - one.at > COUNTS_S:
            remote.remove(one.name)
            continue
        text = remote.get(one.name)
        if text is None:
            continue  # closed meanwhile
        try:
            yield from [(name, (int(low), int(high))) for name, (low, high) in json.loads(text)["tables"].items()]
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise Busy(
                f"{remote.where}/{one.name} cannot be read ({fault!r}): which files its reader needs is not known, and nothing was removed. "
                "Remove it when no session of its process is open, and run the command again."
            ) from fault


# ---------------------------------------------------------------------- one at a time


class Locks(Bucket):
    """Where the locks of a lake stand. Somebody waits for it, as for the lake's own answers."""

    left, retry = "nothing was done", "run the command again"
    connect_s, read_s, attempts = 5, 20, 4


@lru_cache(maxsize=8)
def locks(where: str, endpoint: str) -> Bucket:
    """Where the lock of a bucket stands: one connection for each, as making one takes longer than what it is asked."""
    return Locks(f"{where}/locks", endpoint)


@contextmanager
def exclusive_there(root: Path, patience_s: float) -> Iterator[None]:
    """Hold the lock of a lake's bucket, under which vacuum removes and readers of the past register, on whatever machine. Raises `Busy` if it is not to be had.

    Of a lake in a folder there is none. Whoever may not write there cannot vacuum: they go on without.
    """
    remote = remote_of(root)
    if remote is None:
        yield
        return
    from workbench.lake.backup.locking import held

    until = time.monotonic() + patience_s
    with ExitStack() as alone:
        while True:
            try:
                alone.enter_context(held(locks(remote.where, remote.endpoint), "vacuum, or a look into the past", "nothing was done"))
            except Busy:
                if time.monotonic() > until:
                    raise
                # Nobody tells when the lock is free: it is an object in the bucket.
                time.sleep(0.2)
            except BadKeys:
                break
            else:
                break
        yield
