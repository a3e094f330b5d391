"""SQLite files under a lake, as many processes and threads use them: made once, followed when they are replaced, their errors put into words."""

import ctypes
import errno
import os
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TypeVar
from weakref import WeakSet

from filelock import FileLock

from workbench.errors import Busy, LakeError
from workbench.lake.disk import sync

# For so long a writer waits for the others: a commit takes well below a millisecond.
PATIENCE_S = 30.0

DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
FULL = {sqlite3.SQLITE_FULL}
FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

NO_SPACE, READ_ONLY = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}, {errno.EROFS, errno.EACCES, errno.EPERM}
# With less than this left, SQLite cannot even make what it shares between processes, and calls it an error of the disk.
LEAST_FREE = 131_072

# More pages than this that are empty are given back to the disk.
SPARE_PAGES = 512

T = TypeVar("T")
# Which file it is: device, number, and when it was changed where it stands still.
Opened = tuple[int, int, int]


class SqliteFile(ABC):
    """One file, at `journal/<name>.db` under a lake's root; the first write makes it. Safe for threads and forks."""

    # The version of the tables that `_prepare` makes. Later ones may add columns and tables; an older library leaves those alone.
    SCHEMA = 1

    def __init__(self, root: Path, name: str, *, synchronous: str = "NORMAL"):
        self.root = root
        self.path = root / "journal" / f"{name}.db"
        # How often it was opened: what was read of another connection's file may be another's.
        self.opened = 0
        self._name = name
        self._synchronous = synchronous
        self._lock = RLock()
        self._con: sqlite3.Connection | None = None
        self._opened: Opened | None = None
        self._still = False
        FILES.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.path}>"

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            # SQLite itself leaves the write-ahead log alone if another file has the name by now.
            if self._con is not None:
                self._con.close()
            self._con = None

    @abstractmethod
    def _prepare(self, con: sqlite3.Connection) -> None:
        """Make the tables, or what they lack of this version's."""

    def _asked(self, question: Callable[[sqlite3.Connection], T], undone: str, *, make: bool = False) -> T | None:
        """What the open file answers; None if there is none."""
        with self._lock:
            try:
                con = self._open(make=make)
                return None if con is None else question(con)
            except (sqlite3.Error, OSError) as fault:
                if not make and "no such table" in str(fault):
                    # Made by a process that was killed before it was done, in a folder that cannot be written here.
                    return None
                raise self._meant(fault, undone) from fault

    def _open(self, *, make: bool) -> sqlite3.Connection | None:
        """The connection to the file that has the name now: it may have been replaced, or taken away."""
        if self._con is not None and not (make and self._still):
            with suppress(FileNotFoundError):
                if self._there() == self._opened:
                    return self._con
        self.close()
        if not self.path.exists():
            if not make:
                return None
            folder = self.path.parent
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                sync(folder.parent)
        self._connect()
        return self._con

    def _there(self) -> Opened:
        stat = os.stat(self.path)  # noqa: PTH116
        # What cannot be written is read without locks, and anew if it has changed.
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns if self._still else 0

    def _expect_there(self, undone: str) -> None:
        """Raise `LakeError` if the open file has not its name any more: what is written to it nobody would find."""
        with suppress(FileNotFoundError):
            if self._there() == self._opened:
                return
        raise LakeError(f"{self.path} was removed or replaced while it was written: {undone}. Run the command again.")

    @property
    def _writable(self) -> bool:
        return os.access(self.path.parent, os.W_OK) and (not self.path.exists() or os.access(self.path, os.W_OK))

    def _connect(self) -> None:
        self._still = not self._writable
        # In a folder that cannot be written nobody keeps a write-ahead log beside the file: it stands still, and needs no locks.
        still = "ro" if self.path.with_name(f"{self.path.name}-wal").exists() else "ro&immutable=1"
        mode = still if self._still else "rwc"
        con = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", PATIENCE_S, 0, None, check_same_thread=False, uri=True)
        try:
            con.execute(f"PRAGMA synchronous = {self._synchronous}")
            if not self._still and version_of(con) < self.SCHEMA:
                # One process at a time: to change to write-ahead logging SQLite must be alone, and waits for nobody.
                with self._alone():
                    self._prepare(con)
                sync(self.path.parent)
            opened = self._there()
        except BaseException:
            con.close()
            raise
        self._con, self._opened = con, opened
        self.opened += 1

    def _alone(self) -> FileLock:
        path = self.root / "locks" / f"{self._name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, timeout=PATIENCE_S)

    def _meant(self, fault: Exception, undone: str) -> Exception:
        """What an error of SQLite's, or of the disk's, means."""
        code, number = code_of(fault), fault.errno if isinstance(fault, OSError) else 0
        if code in FULL or number in NO_SPACE or (code in {sqlite3.SQLITE_IOERR, *FORBIDDEN} and self._no_room()):
            return LakeError(f"the disk that holds {self.path} is full: {undone}. Free some space and run the command again.")
        if code in FORBIDDEN or number in READ_ONLY:
            return LakeError(
                f"{self.path} cannot be opened or written ({fault}): {undone}. Give yourself the right to write there, or take another root "
                "with WORKBENCH_DATA."
            )
        if code in HELD or isinstance(fault, TimeoutError):
            return Busy(f"{self.path} was held by another process for {PATIENCE_S:.0f} s: {undone}. Run the command again.")
        if code in DAMAGED:
            return LakeError(f"{self.path} is damaged ({fault}): {undone}. {self._remedy()}")
        return LakeError(f"{self.path} could not be used ({type(fault).__name__}: {fault}): {undone}. Run the command again.")

    def _remedy(self) -> str:
        """What to do about a file that is damaged."""
        return "Bring it back from a backup."

    def _no_room(self) -> bool:
        with suppress(OSError):
            return shutil.disk_usage(self.path.parent).free < LEAST_FREE
        return False

    def _forked(self) -> None:
        """In a child: another thread of the parent's may have held the lock, and the connection is the parent's."""
        self._lock = RLock()
        con, self._con = self._con, None
        if con is not None:
            abandon(con)


FILES: "WeakSet[SqliteFile]" = WeakSet()


def forked() -> None:
    """Have a child open its files itself."""
    for file in list(FILES):
        file._forked()


os.register_at_fork(after_in_child=forked)


def abandon(con: sqlite3.Connection) -> None:
    """Leave a parent's connection open for good: to close it would drop locks that are the parent's."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(con))


def code_of(fault: Exception) -> int:
    """SQLite's own number of an error, 0 if it has none."""
    return int(getattr(fault, "sqlite_errorcode", 0)) & 0xFF


def version_of(con: sqlite3.Connection) -> int:
    """The version of the tables in a file; 0 in a new one."""
    [(version,)] = con.execute("PRAGMA user_version").fetchall()
    return int(version)


@contextmanager
def whole(con: sqlite3.Connection) -> Iterator[None]:
    """A transaction that writes, from its start: all of it stands, or nothing."""
    con.execute("BEGIN IMMEDIATE")
    try:
        yield
        con.execute("COMMIT")
    except BaseException:
        # A full disk ends the transaction by itself.
        with suppress(sqlite3.Error):
            con.execute("ROLLBACK")
        raise


def shrunk(con: sqlite3.Connection) -> None:
    """Give back the pages that were emptied, if they are many and nobody is in the way."""
    [(spare,)] = con.execute("PRAGMA freelist_count").fetchall()
    if spare < SPARE_PAGES:
        return
    [(patience,)] = con.execute("PRAGMA busy_timeout").fetchall()
    con.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        with suppress(sqlite3.OperationalError):
            # It gives back a page a step, and `execute` takes one step only.
            con.executescript("PRAGMA incremental_vacuum")
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        con.execute(f"PRAGMA busy_timeout = {patience}").fetchall()
