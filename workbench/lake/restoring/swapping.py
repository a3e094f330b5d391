"""A restored lake takes the place of one that is there, by renames, after a note at the root that says which: whoever finds the note later ends it.

What was there is kept whole beside it. Each rename can be asked for again, so that a kill between two of them costs nothing: `taken_up` does those that
are left, in the next `workbench.open` or restore.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench.errors import Busy, LakeError
from workbench.lake.disk import disk, sync
from workbench.lake.locks import Holder, write

NAME = "restoring.json"
# A restore that is between two renames is done in milliseconds.
PATIENCE_S = 10.0
# For so long a writer of rows is waited for before the journal is taken from under it.
WRITERS_S = 5.0


@dataclass(frozen=True)
class Swap:
    """What is to be renamed under a root: the names that come from `build`, those that go to `before`; both folders are told from the root."""

    root: Path
    snapshot: str
    where: str
    build: Path
    before: Path
    comes: tuple[str, ...]
    goes: tuple[str, ...]

    def write(self) -> None:
        """Note at the root what is to be done, for good."""
        told = {
            "snapshot": self.snapshot,
            "where": self.where,
            "build": os.path.relpath(self.build, self.root),
            "before": os.path.relpath(self.before, self.root),
            "comes": self.comes,
            "goes": self.goes,
        }
        draft = self.root / f".{NAME}.draft"
        draft.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        sync(draft)
        draft.replace(self.root / NAME)
        sync(self.root)

    @classmethod
    def read(cls, root: Path) -> "Swap | None":
        """What was noted at a root; None if nothing was. Raises `LakeError` for a note that cannot be read."""
        path = root / NAME
        try:
            told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            build, before = (Path(os.path.normpath(root / told[name])) for name in ("build", "before"))
            names = tuple(map(str, told["comes"])), tuple(map(str, told["goes"]))
            # Nothing but what stands at the root.
            names = tuple(map(bare, names[0])), tuple(map(bare, names[1]))
            return cls(root, str(told["snapshot"]), str(told["where"]), build, before, *names)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise LakeError(
                f"{path} cannot be read ({fault}): a restore was killed while it put a lake in the place of another, and what is left to do is not known; "
                "nothing was opened. What was there stands in a folder with .before- in its name, what comes in one with .restoring-: move what is missing "
                "here from either, and remove the note."
            ) from fault

    def done(self) -> None:
        """Do the renames that are not done yet, and remove the note."""
        self.before.mkdir(mode=0o700, exist_ok=True)
        for name in dict.fromkeys((*self.goes, *self.comes)):
            here, new = self.root / name, self.build / name
            if os.path.lexists(here) and (os.path.lexists(new) or name not in self.comes):
                here.rename(aside(self.before / name))
            if os.path.lexists(new):
                new.rename(here)
        for folder in (self.before, self.build, self.root, self.root.parent):
            with suppress(FileNotFoundError, PermissionError):
                sync(folder)
        (self.root / NAME).unlink(missing_ok=True)
        sync(self.root)
        with suppress(OSError):
            self.before.rmdir()  # where nothing was there


def bare(name: str) -> str:
    """A name that stands in a folder itself. Raises `ValueError` for a path."""
    if name != Path(name).name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} does not stand at the root")
    return name


def aside(path: Path) -> Path:
    """A name that is free: a process that had the old lake open may have made some of it anew between two renames."""
    count, free = 1, path
    while os.path.lexists(free):
        count += 1
        free = path.with_name(f"{path.name}~{count}")
    return free


def taken_up(root: Path) -> Swap | None:
    """End a replacement that was killed between two renames; one `stat` where there was none. What it did, or None.

    Raises `Busy` while the restore is at it, and `LakeError` if the renames cannot be done.
    """
    if not os.path.exists(os.path.join(root, NAME)):  # noqa: PTH110, PTH118  every open asks this
        return None
    with alone(root, "workbench restore, which had been killed", PATIENCE_S):
        swap = Swap.read(root)
        if swap:
            with disk(root, "a restore that had been killed was not ended"):
                swap.done()
                tidied(swap.build)
        return swap


def tidied(build: Path) -> None:
    """Remove what is left of the folder that a lake was built in: locks and folders for work."""
    shutil.rmtree(build, ignore_errors=True)


@contextmanager
def alone(root: Path, what: str, seconds: float = 0) -> Iterator[None]:
    """One restore into a root at a time. Raises `Busy`, and says who is at it."""
    path, note = root / "locks" / "restore.lock", root / "locks" / "restore.json"
    with disk(root, "nothing was restored"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=seconds)
        try:
            lock.acquire()
        except Timeout as fault:
            who = Holder.read(note) or "another process"
            raise Busy(f"the lake in {root} is being restored by {who}; nothing was done. Wait until it has finished.") from fault
    try:
        with disk(root, "nothing was restored"):
            write(note, Holder.here(what))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextmanager
def quiet(root: Path, names: Sequence[str] = ("records", "journal")) -> Iterator[None]:
    """Have nobody write to the lake's SQLite files until the block ends. Raises `Busy` if somebody does not let go of one.

    A writer that waits meanwhile finds that its file was replaced, and says so instead of writing.
    """
    with ExitStack() as held:
        for name in names:
            path = root / "journal" / f"{name}.db"
            if not path.exists():
                continue
            try:
                con = held.enter_context(closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", WRITERS_S, 0, None, uri=True)))
                con.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as fault:
                if "locked" in str(fault) or "busy" in str(fault):
                    raise Busy(
                        f"{path} is being written by another process; the lake is as it was. Wait until that has finished, and run the command again: "
                        "what was fetched is kept."
                    ) from fault
            except sqlite3.DatabaseError:
                # It is damaged, which may be why the lake is restored.
                continue
        yield


def swapped(swap: Swap) -> None:
    """Put the restored lake in its place: the note first, then the renames. Raises `Busy` if somebody writes rows, and nothing is done then."""
    with disk(swap.root, "the restored lake was not put in its place"), quiet(swap.root):
        swap.write()
        swap.done()
