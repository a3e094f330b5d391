"""Fault points: the places of a running scenario at which its process may be killed, found without touching the code under test.

Python's audit events tell of every file opened for writing, rename, removal and folder; wrappers around the engines' own writes and
around the Delta commit tell of what happens outside Python's sight.
"""

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

AUDITED = {
    "os.rename": "rename",
    "os.remove": "remove",
    "os.mkdir": "make folder",
    "os.rmdir": "remove folder",
    "shutil.rmtree": "remove folder",
    "os.link": "link",
    "os.truncate": "truncate",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Kill:
    """When to kill: on reaching the n-th point, `inside` seconds after it if it is the start of an engine's write; or `at` seconds from the go."""

    point: int = -1
    inside: float = 0.0
    at: float = -1.0
    kind: str = "random instant"


@dataclass(frozen=True)
class Point:
    """A place that a run passed; `seconds` is how long the engine's call took that begins there."""

    kind: str
    seconds: float = 0.0


class Points:
    """Counts the points as they are passed, and kills its own process at the one that is wanted."""

    def __init__(self, root: str, kill: Kill | None = None):
        self.root, self.kill = root, kill
        self.passed: list[Point] = []
        self._lock = threading.Lock()

    def reach(self, kind: str) -> int:
        """Pass a point; it may be the last thing that the process does."""
        with self._lock:
            self.passed.append(Point(kind))
            n = len(self.passed) - 1
        if self.kill and self.kill.point == n:
            if self.kill.inside:
                threading.Thread(target=self._later, daemon=True).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return n

    def _later(self) -> None:
        assert self.kill
        time.sleep(self.kill.inside)
        os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook."""
        if event == "open":
            path, _, flags = args
            if isinstance(path, (str, bytes)) and flags & WRITING and os.fsdecode(path).startswith(self.root):
                self.reach("open to write")
        elif event in AUDITED and os.fsdecode(args[0]).startswith(self.root):
            self.reach(AUDITED[event])

    def around(self, owner: Any, name: str, kind: str) -> None:
        """Have a call pass one point before and one after it."""
        inner: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(inner)
        def outer(*args: Any, **kwargs: Any) -> Any:
            n = self.reach(f"before {kind}")
            began = time.monotonic()
            result = inner(*args, **kwargs)
            self.passed[n] = Point(f"before {kind}", time.monotonic() - began)
            self.reach(f"after {kind}")
            return result

        setattr(owner, name, staticmethod(outer) if isinstance(owner.__dict__[name], (staticmethod, classmethod)) else outer)

    def install(self) -> None:
        """Watch this process from now on."""
        import polars as pl
        import pyarrow.parquet as pq
        from deltalake import DeltaTable
        from deltalake.table import TableAlterer

        from workbench.lake import journal, operations

        self.around(DeltaTable, "create_write_transaction", "commit")
        self.around(DeltaTable, "create", "making the table")
        self.around(TableAlterer, "set_table_properties", "deciding ranges")
        self.around(pl.LazyFrame, "sink_parquet", "parquet write")
        self.around(pl.DataFrame, "write_parquet", "parquet write")
        self.around(pq.ParquetWriter, "write_table", "parquet write")
        self.around(pq.ParquetWriter, "close", "parquet write")
        self.around(os, "fsync", "fsync")
        # SQLite opens and writes its files out of Python's sight.
        self.around(journal, "prepare", "making the journal")
        self.around(journal, "insert", "journal write")
        self.around(operations.File, "_prepare", "making the journal")
        self.around(operations.Write, "add", "journal write")
        self.around(operations.Operations, "fold", "taking out of the journal")
        sys.addaudithook(self.audit)
