"""One in-memory DuckDB with a view over each table's snapshot; no database file, so nobody locks anybody out.

Views name their files and their columns: a reader never sees a half-written or retired file, and a table with no data is an empty
view of the right types. When a table moves, the next query sees it.
"""

import os
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from workbench.config import Settings
from workbench.errors import QueryError
from workbench.lake.readers import Reader
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.tables import TABLES, Table, quote

# The driver says "busy" by this class since 2.0; older ones end the open stream instead.
BUSY: type[Exception] = getattr(duckdb, "ResourceInUseException", type("NeverRaised", (Exception,), {}))


class Catalog:
    """The session: a cursor for each thread, and views that follow the lake."""

    def __init__(self, settings: Settings, lake: Lake, fixed: Mapping[str, Snapshot] | None = None):
        self.lake = lake
        self._fixed = fixed
        self._con = connect(settings)
        self._declaring = self._con.cursor()
        self._threads = threading.local()
        self._lock = threading.RLock()
        self._pins = 0
        self._shots: dict[str, Snapshot] = {}
        self._reader = Reader(lake.root)
        self.follow()

    def snapshot(self, name: str) -> Snapshot:
        """The version of a table that queries read."""
        return self._fixed[name] if self._fixed is not None else self.lake[name].snapshot()

    def follow(self) -> None:
        """Declare anew the views of tables that moved; one thread at a time, all in one transaction."""
        with self._lock:
            if self._pins and self._shots:
                self._reader.alive()
                return
            moved = self._reader.following(self._moved)
            if not moved:
                return
            statements = [view(TABLES[name], shot, self.lake[name].folder) for name, shot in moved.items()]
            self._declaring.execute(";\n".join(["BEGIN", *statements, "COMMIT"]))
            self._shots |= moved

    def held(self, name: str) -> Snapshot:
        """The version of a table that this session's views show: a pin's, or the newest."""
        with self._lock:
            self.follow()
            return self._shots[name]

    def _moved(self) -> dict[str, Snapshot]:
        shots = {name: self.snapshot(name) for name in TABLES}
        return {name: shot for name, shot in shots.items() if name not in self._shots or shot.version != self._shots[name].version}

    @contextmanager
    def pin(self) -> Iterator[None]:
        """Hold the present snapshot still, for all threads, until the block ends."""
        with self._lock:
            self.follow()
            self._pins += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins -= 1

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of this thread, kept: its `SET`s, temporary tables and registered frames survive from call to call."""
        cursors = self._cursors()
        if not cursors:
            cursors.append(self._con.cursor())
        return cursors[0]

    def _cursors(self) -> list[duckdb.DuckDBPyConnection]:
        if not hasattr(self._threads, "cursors"):
            self._threads.cursors = []
        held: list[duckdb.DuckDBPyConnection] = self._threads.cursors
        return held

    def sql(self, query: str, values: Mapping[str, object]) -> duckdb.DuckDBPyRelation | None:
        """Run a query on this thread's cursor; one that holds an unread stream is set aside for another."""
        self.follow()
        try:
            return self._idle().sql(query, params=dict(values) if values else None)
        except duckdb.Error as fault:
            raise query_error(fault) from fault

    def _idle(self) -> duckdb.DuckDBPyConnection:
        """The first cursor of this thread that holds no unread stream."""
        self.cursor()
        cursors = self._cursors()
        for cursor in cursors:
            try:
                # A relation finds its cursor busy only when it is read, which is too late to take another.
                cursor.execute("SELECT 1").fetchall()
            except BUSY:
                continue
            except duckdb.Error:
                # Not busy: a transaction of the user's own that failed, which is theirs to end.
                pass
            return cursor
        cursors.append(self._con.cursor())
        return cursors[-1]

    def close(self) -> None:
        """Close the session."""
        self._con.close()
        self._reader.close()


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the settings' limits; it spills under the lake and fetches nothing from anywhere."""
    spill = Path(settings.temp) if settings.temp else settings.scratch / "spill"
    con = duckdb.connect(
        config={
            "memory_limit": memory_limit(settings),
            "threads": settings.threads,
            # Processes must not share spill files, whose names are the same in each.
            "temp_directory": str(spill / f"{platform.node()}-{os.getpid()}"),
        }
    )
    for statement in (
        f"SET GLOBAL TimeZone = {literal(settings.timezone)}",
        "SET GLOBAL parquet_metadata_cache = true",
        "SET GLOBAL autoinstall_known_extensions = false",
        # A frame in the caller's function is found by its name, as with duckdb.sql.
        "SET GLOBAL python_scan_all_frames = true",
    ):
        con.execute(statement)
    return con


def memory_limit(settings: Settings) -> str:
    """DuckDB's memory limit; a share of RAM in bytes, which DuckDB 1.5 cannot work out."""
    text = settings.memory_limit.strip()
    if not text.endswith("%"):
        return text
    share = float(text.removesuffix("%")) / 100
    return f"{int(share * os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**20)}MiB"


def view(table: Table, snapshot: Snapshot, folder: Path) -> str:
    """The statements that declare a table's view over a snapshot, for any DuckDB."""
    return (
        f"CREATE OR REPLACE VIEW {quote(table.name)} AS {select(table, snapshot, folder)};\n"
        f"COMMENT ON VIEW {quote(table.name)} IS {literal(table.doc)}"
    )


def select(table: Table, snapshot: Snapshot, folder: Path) -> str:
    """A query over a snapshot's files: one branch for each ticker range, so that DuckDB skips those a query cannot want.

    Ranges are half-open, contiguous and open at both ends, in byte order: every possible ticker has exactly one branch.
    """
    if not snapshot.files:
        return table.empty
    columns = ", ".join(quote(c.name) for c in table.columns)
    by_bucket: dict[str | None, list[str]] = {}
    for file in snapshot.files:
        by_bucket.setdefault(file.bucket, []).append(literal(f"{folder}/{file.path}"))
    branches = [
        f"SELECT {columns} FROM read_parquet([{', '.join(paths)}], hive_partitioning = false){within(snapshot.bounds or (), bucket)}"
        for bucket, paths in sorted(by_bucket.items(), key=lambda pair: pair[0] or "")
    ]
    return "\nUNION ALL ".join(branches)


def within(bounds: Sequence[str], bucket: str | None) -> str:
    """The condition that a ticker range puts on its rows."""
    if bucket is None or not bounds:
        return ""
    n = int(bucket)
    low = [f"ticker >= {literal(bounds[n - 1])}"] if n else []
    high = [f"ticker < {literal(bounds[n])}"] if n < len(bounds) else []
    return f" WHERE {' AND '.join(low + high)}"


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def query_error(fault: duckdb.Error) -> QueryError:
    """DuckDB's refusal as a `QueryError` that whoever catches `duckdb.Error` catches too."""
    kind = type(fault)
    both: type[QueryError] = type(kind.__name__, (QueryError, kind), {"__module__": QueryError.__module__})
    return both(str(fault))
