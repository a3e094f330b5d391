"""One in-memory DuckDB with a view over each table's snapshot; no database file, so nobody locks anybody out.

Views name their files and their columns: a reader never sees a half-written or retired file, and a table with no data is an empty
view of the right types. When a table moves, the next query sees it.
"""

import os
import platform
import re
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.config import Settings
from workbench.errors import QueryError
from workbench.lake.readers import Reader
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import fed, fill, fills, monitoring, narrow, parts, quality_sessions, standing, streams, synclog
from workbench.query.buckets import attach, declare, kept_secret, query_error
from workbench.query.documented import Documented
from workbench.query.getting import Getting
from workbench.query.idioms.hints import hint
from workbench.query.kept import Kept
from workbench.query.narrowing import Narrowing
from workbench.query.ohlcv import Bars
from workbench.query.records import Records
from workbench.query.rollups import Rollups
from workbench.query.views import literal, view
from workbench.query.watching import Watch
from workbench.tables import TABLES
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    from workbench.query.idioms.using import Run, Using

# The driver says "busy" by this class since 2.0; older ones end the open stream instead.
BUSY: type[Exception] = getattr(duckdb, "ResourceInUseException", type("NeverRaised", (Exception,), {}))

# Where the rows of a lake stand: in Delta tables, and those written lately beside the journal.
DATA = ("lake", "journal/rows")

QUERY = re.compile(r"[\s(]*(SELECT|WITH|FROM|VALUES|PIVOT)\b", re.IGNORECASE)


class Catalog:
    """The session: a cursor for each thread, and views that follow the lake."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        fixed: Mapping[str, Snapshot] | None = None,
        at: datetime | None = None,
        *,
        locked: bool = False,
    ):
        self.lake = lake
        self._fixed = fixed
        self._con = connect(settings, beside=locked)
        self._declaring = self._con.cursor()
        self._threads = threading.local()
        self._lock = threading.RLock()
        self._pins = 0
        self._reader = Reader(lake.root)
        self._shots: dict[str, Snapshot] = {}
        # The platform whose SQL users write now.
        self.using: Using | None = None
        # The bench, whose verbs write what a platform's INSERT, UPDATE and DELETE say.
        self.writer: Any = None
        self._zone = settings.timezone
        self._declaring.execute(f"CREATE SCHEMA {narrow.SCHEMA}")
        self.documented = Documented(self._con.cursor())
        self._narrowing = Narrowing(lake, self._shots, self._declaring, self._lock, self.documented)
        self.follow()
        self._synced = synclog.SyncLog(lake, self._shots, at)
        self._declaring.from_arrow(self._synced).create_view(synclog.NAME)
        self._declaring.execute(f"COMMENT ON VIEW {synclog.NAME} IS {literal(synclog.DOC)}")
        Kept(lake, self._shots, at).supply(self.documented)
        Bars(lake, self._shots).supply(self.documented)
        Rollups(lake, self._shots).supply(self.documented)
        self.documented.supply("main.market_sessions", parts.supply())
        fed.Supplies(lake, self._shots, at).supply(self.documented)
        fills.Fills(self._shots, at).supply(self.documented)
        self.documented.supply("workbench.held_sessions", fill.Held(lake, self._shots))
        self.records = Records(lake.root, self._reader, at)
        self.records.supply(self.documented)
        conditions = quality_sessions.Sessions(lake, self._shots, self._synced.journal, settings.best_source)
        told, stream = streams.Streams(), streams.Stream(quality_sessions.schema, conditions.table)
        self.documented.supply("main.session_condition", told.supplier("session_conditions", stream))
        self.monitoring = monitoring.Monitoring(lake, self._shots, settings, self.records.shots)
        self.monitoring.supply(self.documented, told)
        self.watch = Watch(lake.root, settings.slow_ms, self.monitoring.asked)
        self.standing = standing.Standing(lake, self._shots, settings)
        self.standing.supply(self.documented, told)
        if locked:
            lock(self._con, lake.root)

    @cached_property
    def getting(self) -> Getting:
        """What this session keeps to get single rows by their keys."""
        return Getting(self)

    @property
    def zone(self) -> str:
        """The zone of the times that it shows, where a user's own SET does not say another."""
        return NEW_YORK if self.using else self._zone

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
            declare(self._declaring, statements)
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
                self.records.hold()
            self._pins += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins -= 1
                if not self._pins:
                    self._synced.release()
                    self.records.release()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of this thread, kept: its `SET`s, temporary tables and registered frames survive from call to call."""
        self._narrowing.functions = True
        self.documented.prepare()
        return self._own()

    def _own(self, whose: str = "users") -> duckdb.DuckDBPyConnection:
        cursors = self._cursors(whose)
        if not cursors:
            cursors.append(self._made(whose))
        return cursors[0]

    def _made(self, whose: str) -> duckdb.DuckDBPyConnection:
        """A new cursor; what users run is timed."""
        cursor = self._con.cursor()
        return self.watch.cursor(cursor) if whose == "users" else cursor

    def _cursors(self, whose: str = "users") -> list[duckdb.DuckDBPyConnection]:
        """The cursors of this thread: the user's, or those that the workbench asks its own questions on."""
        held: list[duckdb.DuckDBPyConnection] = vars(self._threads).setdefault(whose, [])
        return held

    def sql(self, query: str, values: Mapping[str, object], whose: str = "users") -> duckdb.DuckDBPyRelation | None:
        """Run a query on this thread's cursor; one that holds an unread stream is set aside for another.

        Of the lake's tables it reads only the files that its conditions leave, where `narrow` understands them. While a platform is in use, a
        user's query is that platform's.
        """
        if self.using is None or whose != "users":
            return self._run(query, values, whose)
        # DuckDB looks for frames of the caller's among the names here, too: hence few, and odd ones.
        _read = self.using.run(query, values)
        while _read.goes_on():
            try:
                _read.ran(self._run(self._changed(_read), {}, whose) if _read.change else self._run(_read.sql, _read.values, whose))
            except QueryError as fault:
                _read.refused(fault)
        return _read.result  # type: ignore[no-any-return]

    def _changed(self, read: "Run") -> str:
        """Write what a statement says, and give the query that tells the number of rows. Raises what the bench's verbs raise."""
        assert read.change
        try:
            self._idle().begin().rollback()
        except duckdb.TransactionException as fault:
            raise QueryError(
                f"{read.change.verb} on {read.change.record.full} is not run within a transaction of DuckDB's, which could not take it back; nothing was "
                "written. End that, or write in `with bench.transaction() as t:`."
            ) from fault
        if self._pins or self._fixed is not None:
            raise QueryError(
                f"{read.change.verb} on {read.change.record.full} is not run while a snapshot is held still; nothing was written. Write outside of it."
            )

        def ask(query: str) -> list[tuple[Any, ...]]:
            found = self.sql(query, {name: read.given[name] for name in re.findall(r"\$(\w+)", query) if name in read.given})
            return found.fetchall() if found is not None else []

        return f'SELECT {read.change.run(self.writer, ask)}::BIGINT AS "Count"'

    def written(self, script: str) -> str | None:
        """Write what a statement of the platform's in use says, and give the query that tells the number of rows; None, and nothing is done, of any other."""
        if self.using is None:
            return None
        read, told = self.using.run(script, {}), None
        while read.alone and read.goes_on() and read.change:
            try:
                told = self._changed(read)
                read.ran(None)
            except QueryError as fault:
                read.refused(fault)
        return told

    def use(self, using: "Using | None") -> None:
        """Have users write the SQL of a platform, whose days are New York's, or DuckDB's own again."""
        self.using = using
        self.watch.platform = using.platform.name if using else None
        self._declaring.execute(f"SET GLOBAL TimeZone = {literal(NEW_YORK if using else self._zone)}")

    def translated(self, script: str) -> str:
        """The text of a script as DuckDB gets it: of the platform's in use, what DuckDB takes, if it is one query; the script itself without one."""
        if self.using is None:
            return script
        _read = self.using.run(script, {})
        while _read.alone and _read.goes_on() and QUERY.match(_read.sql):
            self.documented.prepare(_read.sql)
            try:
                # Binds, and runs nothing.
                self._idle().execute(f"EXPLAIN {_read.sql}")
                _read.ran(None)
            except duckdb.Error as fault:
                _read.refused(query_error(fault))
        return _read.script

    def _run(self, query: str, values: Mapping[str, object], whose: str) -> duckdb.DuckDBPyRelation | None:
        """Run a text of DuckDB's."""
        self.follow()
        self.documented.prepare(query)
        cursor, params = self._idle(whose), dict(values) if values else None
        if narrowed := self._narrowing.narrowed(cursor, query, values):
            try:
                self.watch.ran(narrowed)
                return cursor.sql(narrowed, params=params)
            except duckdb.Error:
                # The user is told what is wrong with their own text, below.
                pass
        try:
            self.watch.ran(query)
            return cursor.sql(query, params=params)
        except duckdb.Error as fault:
            raise query_error(fault, "" if self.using else hint(str(fault))) from fault

    def fresh(self) -> duckdb.DuckDBPyConnection:
        """A cursor that nobody has, to be closed by whoever asks for it."""
        return self._con.cursor()

    def narrowed(self, query: str, **values: object) -> str | None:
        """The text that `sql` runs in place of a query, with the files that its conditions leave; None if that is the query itself."""
        self.follow()
        self.documented.prepare(query)
        return self._narrowing.narrowed(self._idle(), query, values)

    def ask(self, query: str, **values: object) -> duckdb.DuckDBPyRelation | None:
        """Run a query of the workbench's own, which no transaction, `USE` or temporary table of the user's concerns."""
        return self.sql(query, values, "ours")

    def executed(self, query: str, values: Mapping[str, object]) -> duckdb.DuckDBPyConnection:
        """A cursor of its own that has run a query, for whoever fetches its rows little by little; no platform's SQL. Raises `QueryError`."""
        narrowed = self.narrowed(query, **values)
        cursor, params = self._con.cursor(), dict(values) if values else None
        for text in (narrowed, query):
            try:
                if text:
                    return cursor.execute(text, params)
            except duckdb.Error as fault:
                # What is wrong is told of the query's own text.
                if text == query:
                    raise query_error(fault) from fault
        raise AssertionError(query)

    def _idle(self, whose: str = "users") -> duckdb.DuckDBPyConnection:
        """The first cursor of this thread that holds no unread stream."""
        self._own(whose)
        cursors = self._cursors(whose)
        for cursor in cursors:
            if whose == "users" and self.watch.settle(cursor):
                return cursor
            try:
                # A relation finds its cursor busy only when it is read, which is too late to take another.
                cursor.execute("SELECT 1").fetchall()
            except BUSY:
                continue
            except duckdb.Error:
                # Not busy: a transaction of the user's own that failed, which is theirs to end.
                pass
            return cursor
        cursors.append(self._made(whose))
        return cursors[-1]

    def close(self) -> None:
        """Close the session."""
        for cursor in self._cursors():
            self.watch.settle(cursor)
        self.watch.close()
        self._con.close()
        self._synced.close()
        self.records.close()
        self._reader.close()


def connect(settings: Settings, *, beside: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the settings' limits; it spills under the lake and fetches nothing from anywhere.

    `beside`: the process has another one, which spills into the folder of the process.
    """
    spill = Path(settings.temp) if settings.temp else settings.scratch / "spill"
    own = f"{uuid.uuid4().hex[:8]}~" if beside else ""
    if beside:
        # Locked, DuckDB makes its own folder and none above it. Where none can be made, it says so when it must spill.
        with suppress(OSError):
            spill.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect(
        config={
            "memory_limit": memory_limit(settings),
            "threads": settings.threads,
            # Two must not share spill files, whose names are the same in each.
            "temp_directory": str(spill / f"{own}{platform.node()}-{os.getpid()}"),
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
    if remote := remote_of(settings.root):
        attach(con, remote, settings)
    return con


def lock(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Have a DuckDB open nothing but a lake's data, load nothing, find no frame of whoever calls, and take no setting any more.

    The folders it may read it may also write to: what SQL may say is for `guarded.gate`.
    """
    remote = remote_of(root)
    # A lake in a bucket is read there; what other places of S3 are reached with, and what keys the environment has, is nobody's to see.
    told = [f"{root / place}/" for place in DATA] + ([f"{remote.where}/lake/"] if remote else [])
    places = ", ".join(map(literal, told))
    for statement in (
        *(kept_secret(con) if remote else ()),
        f"SET GLOBAL allowed_directories = [{places}]",
        "SET GLOBAL enable_external_access = false",
        "SET GLOBAL autoload_known_extensions = false",
        "SET GLOBAL allow_community_extensions = false",
        "SET GLOBAL python_enable_replacements = false",
        "SET GLOBAL python_scan_all_frames = false",
        "SET GLOBAL lock_configuration = true",
    ):
        con.execute(statement)


def memory_limit(settings: Settings) -> str:
    """DuckDB's memory limit; a share of RAM in bytes, which DuckDB 1.5 cannot work out."""
    text = settings.memory_limit.strip()
    if not text.endswith("%"):
        return text
    share = float(text.removesuffix("%")) / 100
    return f"{int(share * os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**20)}MiB"
