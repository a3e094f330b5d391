"""A SQLite file, opened for reading and nothing else, whatever state a program left it in; and what is wrong with one, in words.

ADBC's driver has a SQLite of its own. POSIX locks belong to a process: while this one reads a file, nothing else in it may open and close that file,
so the file's head is read before, and all that is asked goes through the one connection.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as quoted

from workbench.errors import MissingExtra, SourceError, Unreachable, UsageError, WorkbenchError

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

MAGIC = b"SQLite format 3\0"
# What says that a file cannot be read where it is: a program died amid a change, or its folder takes no log.
STUCK = ("attempt to write a readonly database", "unable to open database file")
DAMAGE = ("malformed", "not a database", "disk I/O error", "database corruption")
HELD = ("database is locked", "database table is locked", "database schema is locked")
# What a program leaves beside a file while it changes it.
BESIDE = ("-journal", "-wal")


def checked(path: Path) -> None:
    """Raise `UsageError` if there is no SQLite database at that place, `SourceError` if it may not be read."""
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder, and a SQLite database is a file; nothing was imported. Name the file in it, as {path / 'trading_bot.db'}."
        )
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; nothing was imported. Name the database's file.") from None
    except OSError as fault:
        raise SourceError(f"{path} cannot be read: {fault.strerror or fault}; nothing was imported. See that you may read it.") from fault
    if not head:
        raise UsageError(f"{path} is empty: no program has made a table in it yet; nothing was imported. Name another file.")
    if head != MAGIC:
        raise UsageError(
            f"{path} is no SQLite database, or its head is damaged, or it is encrypted: it begins with {head!r};"
            " nothing was imported. Name another file, or take the last backup of this one."
        )


class Opened:
    """A connection to a file, read-only and in one read transaction: whatever others write meanwhile, all its tables are of one moment.

    A file that cannot be read in its place is copied to a temporary folder with what was left beside it, and made whole there.
    """

    def __init__(self, path: Path, timeout_s: float):
        checked(path)
        self.path, self.timeout_s = path, timeout_s
        self._aside: TemporaryDirectory[str] | None = None
        self._con: Connection | None = None
        try:
            try:
                self._open(path, "ro")
            except SourceError as fault:
                if not any(one in str(fault.__cause__) for one in STUCK):
                    raise
                self._open(self._copied(), "rw")
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, mode: str) -> None:
        """Connect and take the moment."""
        try:
            import adbc_driver_sqlite.dbapi as driver
        except ImportError as fault:
            raise MissingExtra(
                "SQLite is read by adbc-driver-sqlite, which is not installed; nothing was read. pip install 'workbench[import]'"
            ) from fault
        self._disconnect()
        with told(self.path, self.timeout_s):
            self._con = driver.connect(f"file:{quoted(os.fsencode(path))}?mode={mode}")
        for setting in (
            f"busy_timeout = {int(self.timeout_s * 1000)}",
            "query_only = ON",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "cache_size = -65536",
        ):
            self.rows(f"PRAGMA {setting}")
        # A transaction sees what was there at its first look.
        self.rows("SELECT count(*) FROM sqlite_schema")

    def _copied(self) -> Path:
        """A copy of the file and of what lies beside it; raises `SourceError` if somebody writes to it all the while."""
        self._disconnect()
        self._aside = TemporaryDirectory(prefix="workbench-sqlite-")
        target = Path(self._aside.name) / self.path.name
        files = [Path(f"{self.path}{end}") for end in ("", *BESIDE)]
        try:
            before = [_state(one) for one in files]
            for one in files:
                if one.exists():
                    shutil.copyfile(one, target.with_name(one.name))
            after = [_state(one) for one in files]
        except OSError as fault:
            raise SourceError(
                f"{self.path} was left amid a change, and making it whole needs a copy, which failed: {fault.strerror or fault};"
                " nothing was imported. Open it once with its own program, then import again."
            ) from fault
        if before != after:
            raise SourceError(
                f"{self.path} cannot be read while it is written in its folder; nothing was imported. Stop its program, or import a copy of it."
            )
        return target

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a small query gives."""
        with told(self.path, self.timeout_s), self.connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    @contextmanager
    def read(self, query: str, batch_rows: int) -> Iterator[Any]:
        """A query's rows as Arrow batches of so many rows, each read when it is asked for."""
        with self.connection.cursor(adbc_stmt_kwargs={"adbc.sqlite.query.batch_rows": str(batch_rows)}) as cursor:
            cursor.execute(query)
            with cursor.fetch_record_batch() as reader:
                yield reader

    @property
    def connection(self) -> "Connection":
        """The connection; raises `UsageError` once it was let go of."""
        if self._con is None:
            raise UsageError(f"{self.path} was closed; nothing was read. Open it again.")
        return self._con

    def _disconnect(self) -> None:
        if self._con is not None:
            self._con.close()
        self._con = None

    def close(self) -> None:
        """Let go of the file, and of its copy."""
        self._disconnect()
        if self._aside is not None:
            self._aside.cleanup()
        self._aside = None


def _state(path: Path) -> tuple[int, int] | None:
    """What tells whether a file was written to; None if it is not there."""
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None


@contextmanager
def told(path: Path, timeout_s: float, what: str = "") -> Iterator[None]:
    """Raise what SQLite and its driver raise as ours. `what` is the table that is read, if one is."""
    # The driver's errors are of its own kinds, and within a batch Arrow's.
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as fault:
        if not is_drivers(fault):
            raise
        raise worded(path, timeout_s, what, fault) from fault


def is_drivers(fault: Exception) -> bool:
    """Whether an error comes from SQLite, its driver or Arrow."""
    return isinstance(fault, OSError | ValueError | UnicodeError) or type(fault).__module__.startswith(("adbc_driver_manager", "pyarrow"))


def worded(path: Path, timeout_s: float, what: str, fault: BaseException) -> WorkbenchError:
    """What an error of the driver's means here."""
    text = " ".join(str(fault).split())
    which = f"{what} of {path}" if what else str(path)
    undone = "nothing more of it was imported" if what else "nothing was imported"
    if any(one in text for one in HELD):
        return Unreachable(
            f"{which} is locked by another program, and was still after {timeout_s:g} s; {undone}. Close that program, or wait until it is done."
        )
    if any(one in text for one in DAMAGE):
        return SourceError(
            f"{which} is damaged ({text}); {undone}. `sqlite3 {path.name} .recover` may save what is left of it into a new file: import that, or a backup."
        )
    return SourceError(f"{which} cannot be read ({text}); {undone}.")
