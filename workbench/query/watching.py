"""What a session notes of the queries that it runs: how long each took to be planned, and, when its rows were read, how long that took.

A relation reads when it is asked for rows, which may be never, or after other queries. DuckDB 2.0 keeps a profile of what a cursor ran last; it is
taken when the cursor is used again, and at the end. So of two relations that are read between two calls only the last is timed. Older DuckDB tells
its own rendering of the text, by which no query is found: there, what is known is the time until the relation was made.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from workbench.query.monitoring import Asked
from workbench.query.querylog import WRITER, Note, Reading, line

if TYPE_CHECKING:
    import duckdb

# So many relations of a thread may wait to be read at a time.
UNREAD = 8
# What the profile of a query begins with that was read to its end.
ENDED = '"io"'


class Watch:
    """What one session tells the lake's query log, and its own count of texts. Nothing that it does fails a query."""

    def __init__(self, root: Path, slow_ms: float, asked: Asked):
        self._root, self._slow_ms, self._asked = root, slow_ms, asked
        self._threads = threading.local()
        self.platform: str | None = None
        import duckdb

        # What 1.5 says of a query is not its text.
        self._profiles = not duckdb.__version__.startswith(("0.", "1."))

    @property
    def _unread(self) -> deque[Reading]:
        """The newest queries of this thread that may be read yet."""
        held: deque[Reading] | None = getattr(self._threads, "unread", None)
        if held is None:
            held = self._threads.unread = deque(maxlen=UNREAD)
        return held

    def cursor(self, cursor: "duckdb.DuckDBPyConnection") -> "duckdb.DuckDBPyConnection":
        """Have a cursor keep profiles; gives it back."""
        if self._profiles:
            with suppress(Exception):
                cursor.execute("SET enable_profiling = 'no_output'")
        return cursor

    def settle(self, cursor: "duckdb.DuckDBPyConnection") -> bool:
        """Take what DuckDB tells of the last thing that a cursor of this thread ran: called before it runs another.

        Gives whether that has come to its end, so that the cursor holds no unread stream: only then is it told what was read.
        """
        if not self._profiles:
            return False
        try:
            told = cursor.get_profiling_information(format="json")
        except Exception:
            # It is closed, or somebody has turned profiles off.
            return False
        if ENDED not in told[:20]:
            return False
        # A relation that was made since and not read leaves what was told before.
        if told != getattr(self._threads, "told", None):
            self._threads.told = told
            if unread := self._unread:
                WRITER.put(Note(self._root, self._slow_ms, {}, told, tuple(unread)))
        return True

    def ran(self, text: str) -> None:
        """Note the text that DuckDB got."""
        self._threads.text = text

    def asked(self, query: str, seconds: float, *, lazy: bool) -> None:
        """Note a query that was taken; `lazy` says that it is read later."""
        self._asked.add(query, seconds)
        ms = seconds * 1000
        told = line(query, ms, ms, platform=self.platform, lazy=lazy and self._profiles)
        WRITER.put(Note(self._root, self._slow_ms, told))
        if lazy:
            self._unread.append(Reading(told["id"], getattr(self._threads, "text", query), ms))

    def refused(self, query: str, seconds: float, fault: BaseException) -> None:
        """Note a query that failed."""
        ms = seconds * 1000
        WRITER.put(Note(self._root, self._slow_ms, line(query, ms, ms, error=type(fault).__name__, platform=self.platform)))

    @contextmanager
    def timing(self, query: str) -> Iterator[None]:
        """Note a query that is read within the block."""
        began = perf_counter()
        try:
            yield
        except BaseException as fault:
            self.refused(query, perf_counter() - began, fault)
            raise
        self.asked(query, perf_counter() - began, lazy=False)

    def close(self) -> None:
        """Have all of it written."""
        with suppress(Exception):
            WRITER.flush()
