"""One refresh at a time for each table of a lake; whoever comes second is told who is at it.

The operating system holds the lock and frees it with the process, however that ends. Beside it stands a note that says whose it is; the
note is for people and decides nothing.
"""

import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.errors import Busy
from workbench.lake.disk import disk
from workbench.lake.processes import dead, started, user
from workbench.lake.store import utc_now

# A holder writes its note just after it has the lock: for so long a missing note, or one of a process that is no more, is looked for again.
NOTE_S = 0.2


@dataclass(frozen=True)
class Holder:
    """Whose a lock is. `began` tells the process from another that has its number later; `what` is the command."""

    pid: int
    host: str
    user: str
    what: str
    since: str
    began: str

    @classmethod
    def here(cls, what: str) -> "Holder":
        """The process that asks."""
        return cls(os.getpid(), platform.node(), user(), what, utc_now(), started(os.getpid()))

    @classmethod
    def read(cls, note: Path) -> "Holder | None":
        """Whoever a note names; None if there is no such note."""
        try:
            held = json.loads(note.read_text())
            return cls(**{name: kind(held[name]) for name, kind in cls.__annotations__.items()})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def gone(self) -> bool:
        """Whether it was a process of this machine that is no more."""
        return dead(f"{self.host}-{self.pid}-00000000", self.began)

    def __str__(self) -> str:
        at = datetime.fromisoformat(self.since)
        return f"process {self.pid} ({self.what}, user {self.user} on host {self.host}) since {at:%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def refreshing(root: Path, tables: Iterable[str], what: str) -> Iterator[None]:
    """Hold some tables of a lake for a refresh, until the block ends; `what` is the command, for whoever comes second.

    Other tables may be refreshed beside it. Raises `Busy`, and holds nothing, if another refresh, of this process or another, holds one of
    the tables; and `LakeError` if the root cannot be written.
    """
    me = Holder.here(what)
    with ExitStack() as held:
        # All take them in the same order, and nobody waits.
        for name in sorted(set(tables)):
            path, note = lock_of(root, name), note_of(root, name)
            with disk(root, f"{name} was not refreshed"):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    held.enter_context(FileLock(path, timeout=0))
                except Timeout as fault:
                    raise busy(name, note) from fault
                held.callback(note.unlink, missing_ok=True)
                write(note, me)
        yield


def lock_of(root: Path, table: str) -> Path:
    """The file that is locked while a table is being refreshed."""
    return root / "locks" / f"refresh-{table}.lock"


def note_of(root: Path, table: str) -> Path:
    """The file that says who refreshes a table."""
    return root / "locks" / f"refresh-{table}.json"


def holder(root: Path, table: str) -> Holder | None:
    """Who refreshes a table now, by its note; None if nobody of this machine does."""
    found = Holder.read(note_of(root, table))
    return None if found is None or found.gone else found


def write(note: Path, holder: Holder) -> None:
    """Write a note, whole at once."""
    draft = note.with_name(f".{note.name}.{os.getpid()}.draft")
    try:
        draft.write_text(json.dumps(asdict(holder)))
        draft.replace(note)
    finally:
        draft.unlink(missing_ok=True)


def busy(table: str, note: Path) -> Busy:
    """Why a table cannot be refreshed now."""
    held, until = Holder.read(note), time.monotonic() + NOTE_S
    while (held is None or held.gone) and time.monotonic() < until:
        # The holder writes its note with no signal to whoever waits for it.
        time.sleep(0.01)
        held = Holder.read(note)
    if held is None:
        who, then = "another process", "Wait until it has finished."
    elif held.gone:
        # It was killed, and a process that it had started lives on with the lock.
        who, then = (
            f"what {held} left behind",
            f"That process is no more: end those that it started, or wait until they have ended ({note}).",
        )
    else:
        who, then = str(held), "Wait until it has finished, or stop it there with Ctrl-C: what it has committed is kept."
    return Busy(f"{table} is being refreshed by {who}; nothing was done. {then}")
