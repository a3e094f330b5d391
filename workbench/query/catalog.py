"""One in-memory DuckDB with a view over each table's snapshot; no database file, so nobody locks anybody out.

Views name their files and their columns: a reader never sees a half-written or retired file, and a table with no data is an empty
view of the right types. When a table moves, the next query sees it.
"""

import os
import platform
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from workbench.config import Settings
from workbench.errors import QueryError
from workbench.lake.readers import Reader
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import narrow, synclog, views
from workbench.query.documented import Documented
from workbench.query.views import few, literal, located, view
from workbench.tables import TABLES, quote

# The driver says "busy" by this class since 2.0; older ones end the open stream instead.
BUSY: type[Exception] = getattr(duckdb, "ResourceInUseException", type("NeverRaised", (Exception,), {}))

# The same twice only in a transaction of the user's own.
TRANSACTION = "SELECT txid_current()"
MAKES_FUNCTIONS = re.compile(r"\b(MACRO|FUNCTION)\b", re.IGNORECASE)
PLANS = 256


@dataclass(frozen=True)
class Logged:
    """A snapshot whose statistics stand in a table of DuckDB: range and path, as a literal, of the files that the table numbers."""

    version: int
    files: list[tuple[str | None, str]]


class Catalog:
    """The session: a cursor for each thread, and views that follow the lake."""

    def __init__(self, settings: Settings, lake: Lake, fixed: Mapping[str, Snapshot] | None = None, at: datetime | None = None):
        self.lake = lake
        self._fixed = fixed
        self._con = connect(settings)
        self._declaring = self._con.cursor()
        self._threads = threading.local()
        self._lock = threading.RLock()
        self._pins = 0
        self._reader = Reader(lake.root)
        self._shots: dict[str, Snapshot] = {}
        self._logged: dict[str, Logged] = {}
        self._plans: dict[str, narrow.Plan | None] = {}
        # Whether the user may have made functions that are called as DuckDB's own.
        self._functions = False
        self._declaring.execute(f"CREATE SCHEMA {narrow.SCHEMA}")
        self.documented = Documented(self._con.cursor())
        self.follow()
        self._synced = synclog.SyncLog(lake, self._shots, at)
        self._declaring.from_arrow(self._synced).create_view(synclog.NAME)
        self._declaring.execute(f"COMMENT ON VIEW {synclog.NAME} IS {literal(synclog.DOC)}")

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

    def _moved(self, names: Iterable[str] | None = None) -> dict[str, Snapshot]:
        shots = {name: self.snapshot(name) for name in names or TABLES}
        return {name: shot for name, shot in shots.items() if name not in self._shots or shot.version != self._shots[name].version}

    @contextmanager
    def pin(self) -> Iterator[None]:
        """Hold the present snapshot still, for all threads, until the block ends."""
        with self._lock:
            self.follow()
            if not self._pins:
                self._synced.hold()
            self._pins += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins -= 1
                if not self._pins:
                    self._synced.release()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of this thread, kept: its `SET`s, temporary tables and registered frames survive from call to call."""
        self._functions = True
        self.documented.prepare()
        return self._own()

    def _own(self) -> duckdb.DuckDBPyConnection:
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
        """Run a query on this thread's cursor; one that holds an unread stream is set aside for another.

        Of the lake's tables it reads only the files that its conditions leave, where `narrow` understands them.
        """
        self.follow()
        self.documented.prepare(query)
        cursor, params = self._idle(), dict(values) if values else None
        if narrowed := self._narrowed(cursor, query, values):
            try:
                return cursor.sql(narrowed, params=params)
            except duckdb.Error:
                # The user is told what is wrong with their own text, below.
                pass
        try:
            return cursor.sql(query, params=params)
        except duckdb.Error as fault:
            raise query_error(fault) from fault

    def narrowed(self, query: str, **values: object) -> str | None:
        """The text that `sql` runs in place of a query, with the files that its conditions leave; None if that is the query itself."""
        self.follow()
        self.documented.prepare(query)
        return self._narrowed(self._idle(), query, values)

    def _narrowed(self, cursor: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object]) -> str | None:
        """A query's text with fewer files, if it can be had."""
        self._functions = self._functions or bool(MAKES_FUNCTIONS.search(query))
        if not narrow.NAMED.search(query):
            return None

        def ask(question: str, given: dict[str, object]) -> list[tuple[object, ...]]:
            return cursor.execute(question, given or None).fetchall()

        try:
            # In a transaction of the user's own a mistake of ours would end it, and it has its own snapshot.
            if ask(TRANSACTION, {}) == ask(TRANSACTION, {}):
                return None
            if query not in self._plans:
                if len(self._plans) >= PLANS:
                    self._plans.clear()
                self._plans[query] = narrow.read(query, ask)
            plan = self._plans[query]
            return self._answered(plan, ask, values) if plan and self._trusted(plan, ask) else None
        except (duckdb.Error, LookupError, TypeError, ValueError):
            return None

    def _trusted(self, plan: narrow.Plan, ask: narrow.Ask) -> bool:
        """Whether the functions of a plan are DuckDB's own."""
        if not (self._functions and plan.functions):
            return True
        [(own,)] = ask(
            "SELECT count(*) FROM duckdb_functions() WHERE NOT internal AND lower(function_name) IN $names", {"names": [*plan.functions]}
        )
        return not own

    def _answered(self, plan: narrow.Plan, ask: narrow.Ask, values: Mapping[str, object]) -> str | None:
        """The text of a plan with the files that the log's statistics leave now; None if they leave all of many."""
        shots = {name: self._shots[name] for name in plan.tables}
        if any(shot.stats is None for shot in shots.values()):
            return None
        logged = {name: self._log(name, shot) for name, shot in shots.items()}
        asks = re.sub(r"\b__log_(\w+)\b", lambda hole: narrow.log(hole[1], shots[hole[1]].version), plan.asks)
        [(usual, *answers)] = ask(asks, {name: values[name] for name in plan.values})
        if not usual:
            return None
        fewer = False
        sources = []
        for name, numbers, tickers in zip(plan.tables, answers[::2], answers[1::2], strict=True):
            files = logged[name].files
            # A flat list of few files is planned sooner than the view's branches, even if none can go.
            if len(numbers or ()) == len(files) > views.FLAT:
                sources.append(quote(name))
                continue
            fewer = True
            sources.append(f"({few(TABLES[name], shots[name], files, sorted(numbers or ()), tickers or ())})")
        return re.sub(r"\b__lake(\d+)\b", lambda hole: sources[int(hole[1])], plan.text) if fewer else None

    def _log(self, name: str, shot: Snapshot) -> Logged:
        """Have the statistics of a snapshot stand in a table of DuckDB."""
        with self._lock:
            held = self._logged.get(name)
            if held and held.version == shot.version:
                return held
            made = Logged(shot.version, located(shot, self.lake[name].folder))
            declare_log(self._declaring, narrow.statistics(name, shot.version), shot)
            # A thread that is asking the old one meets an error and runs its query as it is.
            if held:
                self._declaring.execute(f"DROP TABLE {narrow.log(name, held.version)}")
            self._logged[name] = made
            return made

    def _idle(self) -> duckdb.DuckDBPyConnection:
        """The first cursor of this thread that holds no unread stream."""
        self._own()
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
        self._synced.close()
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


def declare_log(con: duckdb.DuckDBPyConnection, statement: str, snapshot: Snapshot) -> None:
    """Run a statement that finds a snapshot's statistics by the name of the frame below."""
    import pyarrow as pa

    assert snapshot.stats is not None
    statistics_of_the_log = snapshot.stats.append_column("n", pa.array(range(len(snapshot.stats))))
    con.execute(statement)
    del statistics_of_the_log


def query_error(fault: duckdb.Error) -> QueryError:
    """DuckDB's refusal as a `QueryError` that whoever catches `duckdb.Error` catches too."""
    kind = type(fault)
    both: type[QueryError] = type(kind.__name__, (QueryError, kind), {"__module__": QueryError.__module__})
    return both(str(fault))
