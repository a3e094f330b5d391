"""Who reads which version of which table: `locks/readers/<host>-<pid>-<8 hex>.json`, so that vacuum leaves the files that they may read.

A reader may read, of each table, the versions from one to another: the oldest is the one its oldest unfinished query may have been
made on, the newest the one its views show now. A version that its views showed counts for a day longer, because a relation or a
stream that was made then may be read, or go on being read, afterwards. What a reader of older versions needs beyond that day is left
by vacuum's own age (7 days), and `pin` and `as_of` hold their versions for as long as they are open.

Why no reader is overlooked. A reader (1) reads version r of a table, (2) registers r, (3) looks whether the table has moved beyond r,
and begins again if it has. Vacuum (1) reads the log up to version v, (2) lists the registrations, (3) removes files which a commit
up to v retired. If it lists after the reader registered, it leaves the files of r. If it lists before, v was committed before the
reader looked again, so that the reader sees it and goes on to a version r >= v: no file that v or an older commit retired is in r.
A reader of the past cannot go on to a newer version: it registers, and vacuum lists and removes, under one lock.

Readers of a lake in a bucket stand registered there, too, for other machines' vacuums (`remote.registering`).
"""

import json
import os
import platform
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import Busy
from workbench.lake.processes import dead, ours, started
from workbench.lake.remote.registering import elsewhere, exclusive_there, published
from workbench.lake.remote.where import readable

if TYPE_CHECKING:
    from workbench.lake.remote.registering import Published
    from workbench.lake.snapshots import Snapshot

Span = tuple[int, int]

AFTER_S = 24 * 3600.0  # how long a version counts after the views have moved on
APART_S = 60.0  # versions left behind within this time are kept as one
TOUCH_S = 3600.0  # how often a living reader says that it lives
FOREIGN_S = 24 * 3600.0  # how long a reader on another machine counts that has not said so
PATIENCE_S = 600.0


class Reader:
    """One bench's registration, made when it first reads something and removed at `close`, or with the bench, or with its process."""

    def __init__(self, root: Path):
        self.path = root / "locks" / "readers" / f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        self._now: dict[str, int] = {}
        self._before: dict[str, list[tuple[int, float]]] = {}
        self._touched = 0.0
        self._made = False
        # The lake's tables and those that people write are registered by threads of their own.
        self._lock = threading.RLock()
        self._started = started(os.getpid())
        # weakref.finalize also runs when the interpreter ends.
        self._published = published(root, self.path.stem)
        self._gone = weakref.finalize(self, remove, self.path, os.getpid(), self._published)

    def following(self, look: "Callable[[Iterable[str] | None], Mapping[str, Snapshot]]") -> "dict[str, Snapshot]":
        """The moved tables' snapshots that `look` gives, registered, and as new as they were when they stood registered.

        `look` is asked for all tables first, and then for those alone that had moved: the others stand registered already.
        """
        found = dict(look(None))
        while found:
            self.hold({name: shot.version for name, shot in found.items()})
            again = look(found)
            if all(again[name].version == shot.version for name, shot in found.items()):
                return found
            found.update(again)
        self.alive()
        return {}

    def hold(self, versions: Mapping[str, int]) -> None:
        """Register versions as the ones that are read now; those they take the place of count for a day longer."""
        with self._lock:
            now = time.monotonic()
            for name, version in versions.items():
                before = [held for held in self._before.get(name, ()) if now - held[1] < AFTER_S]
                left = self._now.get(name, version)
                if left >= 0 and left != version and not (before and now - before[-1][1] < APART_S):
                    before.append((left, now))
                self._before[name] = before
                self._now[name] = version
            self._write()

    @property
    def spans(self) -> dict[str, Span]:
        """From which to which version the reader may read, by table."""
        held = {name: [version, *(old for old, _ in self._before[name])] for name, version in self._now.items() if version >= 0}
        return {name: (min(versions), max(versions)) for name, versions in held.items()}

    def alive(self) -> None:
        """Say to other machines that this reader lives: once an hour, one system call."""
        if time.monotonic() - self._touched < TOUCH_S or not self.spans:
            return
        with self._lock:
            try:
                os.utime(self.path)
                self._touched = time.monotonic()
            except OSError:
                self._write()

    def publish(self) -> None:
        """Have other machines' vacuums know at once what is registered: for a reader of the past, whose files may go at any moment."""
        if self._published:
            self._published.send()

    def close(self) -> None:
        """Take the registration back."""
        self._gone()

    def _write(self) -> None:
        spans = self.spans
        # A lake with nothing in it is not touched. After `close`, or in a forked child, registering anew would leave a file behind.
        if not spans or not self._gone.alive or self.path.name.split("-")[-2] != str(os.getpid()):
            return
        draft = self.path.with_suffix(".draft")
        self._touched = time.monotonic()
        # Queries go on where nothing can be written: on a disk that is full, in a lake that is somebody else's.
        with suppress(OSError):
            if not self._made:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._made = False
            text = json.dumps({"started": self._started, "tables": spans})
            if self._published:
                self._published.tell(text)
            draft.write_text(text)
            draft.replace(self.path)
            self._made = True


def remove(path: Path, pid: int, published: "Published | None" = None) -> None:
    """Take a registration back; a forked child leaves its parent's alone."""
    if os.getpid() == pid:
        if published:
            published.end()
        with suppress(OSError):
            path.unlink(missing_ok=True)


def registered(root: Path) -> dict[str, list[Span]]:
    """The versions that living readers may read, by table. Registrations of dead processes are removed on the way.

    Raises `Busy` for a registration that cannot be read: whose files it holds is not known then.
    """
    held: dict[str, list[Span]] = {}
    for path in sorted((root / "locks" / "readers").glob("*.json")):
        try:
            record = json.loads(path.read_text())
            age_s = time.time() - path.stat().st_mtime
            spans = {name: (int(low), int(high)) for name, (low, high) in record["tables"].items()}
            begun = str(record["started"])
        except FileNotFoundError:
            continue  # closed meanwhile
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            # A machine that lost its power may leave one without its text.
            if dead(path.stem):
                path.unlink(missing_ok=True)
                continue
            raise Busy(
                f"{path} cannot be read ({fault!r}): which files its reader needs is not known, and nothing was removed. "
                "Remove it when no session of its process is open, and run the command again."
            ) from fault
        if dead(path.stem, begun) or (not ours(path.stem) and age_s > FOREIGN_S):
            path.unlink(missing_ok=True)
            continue
        for name, span in spans.items():
            held.setdefault(name, []).append(span)
    for name, span in elsewhere(root):
        held.setdefault(name, []).append(span)
    return held


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the lock under which vacuum removes and readers of the past register. Raises `Busy` if it is not to be had."""
    from filelock import FileLock, Timeout

    if not (root / "lake").is_dir():
        yield
        return
    lock = FileLock(root / "locks" / "vacuum.lock", timeout=PATIENCE_S)
    try:
        lock.acquire()
    except Timeout as fault:
        raise Busy(
            f"a vacuum of {readable(root)} has not ended for {PATIENCE_S:.0f} s; nothing was done. Wait for it, or end it, and try again."
        ) from fault
    except OSError:
        # A lake that cannot be written cannot be vacuumed from here either; another machine's vacuum goes by its age.
        yield
        return
    try:
        with exclusive_there(root, PATIENCE_S):
            yield
    finally:
        lock.release()
