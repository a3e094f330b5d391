"""One query while it runs: how long it may, what stops it, and how what DuckDB says of it is told."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import ref

import duckdb

from workbench.errors import QueryError, TookTooLong
from workbench.query.buckets import query_error
from workbench.query.guarded.watch import Watch
from workbench.query.querylog import record

# A query that was stopped is told so again after this time, and then more and more seldom.
FIRST_AGAIN_S, LAST_AGAIN_S = 0.05, 1.0


@dataclass(frozen=True)
class Limit:
    """How long a query may take in seconds (None: as it likes), and when it was asked, by the clock that only goes on."""

    seconds: float | None
    began: float

    @property
    def left(self) -> float | None:
        """What is left of it."""
        return None if self.seconds is None else max(0.001, self.seconds - (time.monotonic() - self.began))


class Noting:
    """A query's line in the query log, put there once, when it has ended or is let go: with its rows, and the time until then."""

    def __init__(self, root: Path, query: str, slow_ms: float, platform: str | None, who: str | None):
        self.began = time.monotonic()
        self._root, self._query, self._slow_ms, self._platform, self._who = root, query, slow_ms, platform, who
        self._ended = False

    def ended(self, rows: int, fault: BaseException | None = None) -> None:
        """Note it; what cannot be noted is not: no query fails with it."""
        if self._ended:
            return
        self._ended = True
        with suppress(Exception):
            ms = (time.monotonic() - self.began) * 1000
            error = type(fault).__name__ if fault is not None else ""
            record(self._root, self._query, ms, rows=rows, error=error, platform=self._platform, user_name=self._who, slow_ms=self._slow_ms)


class Run:
    """One query while it runs: its cursor, and the time that it has."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, watch: Watch, limit: Limit):
        self.cursor, self._watch, self._limit = cursor, watch, limit
        self._lock = threading.Lock()
        self._closed = self._stopped = self._late = False
        self._again = FIRST_AGAIN_S
        self._number = watch.after(left, self._overdue) if (left := limit.left) is not None else None

    def _overdue(self) -> None:
        self._late = True
        self._interrupt()

    def stop(self) -> None:
        """Stop it, for whoever does not want it any more."""
        self._stopped = True
        self._interrupt()

    def _interrupt(self) -> None:
        # Not one that is being closed: the cursor is gone then.
        with self._lock:
            if self._closed:
                return
            self.cursor.interrupt()
            # DuckDB forgets what came between two of its steps, as reading a text and running it: it is told until it has ended.
            self._watch.after(self._again, partial(interrupt_again, ref(self)))
            self._again = min(2 * self._again, LAST_AGAIN_S)

    def telling(self) -> "Telling":
        """Has what DuckDB says told as this library does."""
        return Telling(self)

    def expect_time(self) -> None:
        """Raises what it was stopped for: between two steps of DuckDB's nothing else would."""
        if self._late:
            raise TookTooLong(
                f"the query was stopped when it had gone on for {self._limit.seconds:g} s, which is the limit here; no more rows are told, and nothing "
                "was changed. Ask for less: fewer sessions, or tickers."
            )
        if self._stopped:
            raise QueryError("the query was stopped by whoever asked; no more rows are told, and nothing was changed.")

    def close(self) -> None:
        """Give the cursor back."""
        if self._number is not None:
            self._watch.off(self._number)
        with self._lock:
            if not self._closed:
                self._closed = True
                with suppress(duckdb.Error):
                    self.cursor.close()


def interrupt_again(run: "ref[Run]") -> None:
    """Stop a query that was stopped, if it goes on; one that nobody holds any more has ended."""
    if (found := run()) is not None:
        found._interrupt()


class Telling:
    """A block whose DuckDB errors are told as this library's, and end the query."""

    def __init__(self, run: Run):
        self._run = run

    def __enter__(self) -> None:
        self._run.expect_time()

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if fault is None:
            return
        try:
            self._run.expect_time()
        except QueryError as why:
            raise why from fault
        finally:
            self._run.close()
        raise_told(fault)


def raise_told(fault: BaseException) -> None:
    """Raise what DuckDB says as this library's error; anything else goes on as it is."""
    if isinstance(fault, duckdb.OutOfMemoryException):
        raise TookTooLong(
            f"the query needs more memory than it may have here ({str(fault).splitlines()[0][:200]}); it was stopped, and nothing was changed. "
            "Ask for less: fewer sessions, tickers or columns."
        ) from fault
    if isinstance(fault, duckdb.Error):
        raise query_error(fault) from fault
    if isinstance(fault, OSError):
        # Arrow tells DuckDB's errors so, between two batches.
        if "Out of Memory" in str(fault):
            raise TookTooLong(
                "the query needs more memory than it may have here; it was stopped, and nothing was changed. Ask for less."
            ) from fault
        raise QueryError(str(fault)) from fault
