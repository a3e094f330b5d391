"""A DuckDB session over the lake for people who may only read, and the rows that it gives, little by little.

Two things keep them to that, and each would do by itself for most of what could be tried. DuckDB is locked: it opens no file outside of the
lake's data, loads nothing, and takes no setting any more. And `gate` lets through one query at a time, of tables and functions that may be
named. The session is its own: nothing that a user's session holds, as frames, variables or temporary tables, is in it.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

import duckdb

from workbench.config import Settings
from workbench.errors import NotAllowed, QueryError, TookTooLong
from workbench.lake.declared import records
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.buckets import query_error
from workbench.query.catalog import Catalog
from workbench.query.guarded import names
from workbench.query.guarded.gate import Gate
from workbench.query.guarded.running import Limit, Noting, Run
from workbench.query.guarded.watch import Watch
from workbench.tables import quote
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.query.idioms.using import Using

# Rows of a batch: enough that few calls move many, and so few that a wide row does not fill the memory.
BATCH = 16_384
PLATFORMS = 16
# Types that come out of Arrow as others.
UNKNOWN_TO_ARROW = frozenset(("HUGEINT", "UHUGEINT", "UUID", "TIME WITH TIME ZONE"))


class Opened(Protocol):
    """What of a bench is asked for."""

    settings: Settings
    lake: Lake
    _fixed: Mapping[str, Snapshot] | None
    _as_of: datetime | None


class Answer:
    """What a query gives: its columns at once, its rows when they are asked for, a batch at a time. A context manager.

    `truncated` tells, when the last batch is out, whether there were more rows than were wanted. It is one thread's; `interrupt` is anybody's.
    """

    def __init__(self, rows: "pa.RecordBatchReader", types: tuple[str, ...], most: int | None, run: "Run", noting: "Noting | None" = None):
        self.schema: pa.Schema = rows.schema
        # DuckDB's, some of which Arrow has no word for.
        self.types = types
        self.truncated = False
        self._rows, self._left, self._run, self._noting = rows, most, run, noting
        self._told = 0

    def __iter__(self) -> "Iterator[pa.RecordBatch]":
        try:
            while True:
                with self._run.telling():
                    batch = next(self._rows, None)
                if batch is None:
                    return
                if self._left is not None and batch.num_rows > self._left:
                    self.truncated = True
                    batch = batch.slice(0, self._left)
                    self._left = 0
                elif self._left is not None:
                    self._left -= batch.num_rows
                self._told += batch.num_rows
                if batch.num_rows:
                    yield batch
                if self.truncated:
                    return
        except QueryError as fault:
            if self._noting:
                self._noting.ended(self._told, fault)
            raise
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def interrupt(self) -> None:
        """Stop it, from any thread: whoever reads it gets `QueryError`. One that has ended stays as it is."""
        self._run.stop()

    def close(self) -> None:
        """Let go of what it holds. Twice does no harm."""
        self._run.close()
        if self._noting:
            self._noting.ended(self._told)


class Again:
    """A query's rows as Arrow's stream, run anew for whoever reads them."""

    def __init__(self, schema: "pa.Schema", types: tuple[str, ...], ask: Callable[[], Answer]):
        self.schema, self.types, self._ask = schema, types, ask

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested: object = None) -> object:
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self.schema, iter(self._ask())).__arrow_c_stream__(requested)

    def relation(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """The rows in another DuckDB, with the types that they had."""
        rows = con.from_arrow(self)
        odd = [kind in UNKNOWN_TO_ARROW for kind in self.types]
        if not any(odd):
            return rows
        told = (
            f"{quote(name)}::{kind} AS {quote(name)}" if other else quote(name)
            for name, kind, other in zip(rows.columns, self.types, odd, strict=True)
        )
        return rows.project(", ".join(told))


class Guarded:
    """A locked session of one bench's lake: `stream` runs queries that only read. Safe to use from many threads; a context manager.

    `schemas` are those whose tables may be named (None: all of them), `memory_limit` DuckDB's for this session (default: the bench's).
    Raises `UnknownName` for a schema.
    """

    def __init__(self, bench: Opened, schemas: Collection[str] | None = None, *, memory_limit: str | None = None):
        self.schemas = names.chosen(schemas)
        settings = replace(bench.settings, memory_limit=memory_limit) if memory_limit else bench.settings
        self._settings = settings._checked()
        self._bench = bench
        self._gate, self._watch = Gate(), Watch()
        self._lock = threading.Lock()
        self._catalogs: dict[str, Catalog] = {}
        self._platforms: dict[str, Using] = {}
        self._known: tuple[object, names.Names] | None = None
        self._closed = False

    def __repr__(self) -> str:
        told = "all schemas" if self.schemas is None else ", ".join(self.schemas)
        return f"<Guarded of {self._bench.lake.where}: {told}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def stream(
        self,
        query: str,
        values: Mapping[str, object] | None = None,
        *,
        platform: str | None = None,
        max_rows: int | None = None,
        seconds: float | None = None,
        stoppable: Callable[[Callable[[], None]], None] | None = None,
        who: str | None = None,
    ) -> Answer:
        """Run one query; `$name` in it takes the value of that name. Its rows come as they are read.

        `platform` is the documented platform whose SQL it is; `max_rows` how many rows are wanted; `seconds` how long it may take, from now until
        its last row is fetched; `stoppable` is given what stops it, from any thread, before it runs: there is no answer yet while DuckDB sorts or
        counts; `who` asks, for the query log (default: the user of the process). Raises `NotAllowed` for what may not be run, `QueryError` for what DuckDB refuses, and `TookTooLong`, which the
        answer raises, too, while its rows are read.
        """
        if self._closed:
            raise QueryError("the session was closed; nothing was run.")
        noting = Noting(self._bench.lake.root, query, self._settings.slow_ms, platform, who)
        try:
            return self._stream(query, values or {}, platform, max_rows, Limit(seconds, noting.began), stoppable, noting)
        except BaseException as fault:
            noting.ended(0, fault)
            raise

    def _stream(
        self,
        query: str,
        values: Mapping[str, object],
        platform: str | None,
        most: int | None,
        limit: Limit,
        stoppable: Callable[[Callable[[], None]], None] | None,
        noting: "Noting | None",
    ) -> Answer:
        catalog = self._catalog(NEW_YORK if platform else self._settings.timezone)

        def run(text: str, given: Mapping[str, object]) -> Answer:
            self._gate.check(text, self.names)
            return self._run(catalog, text, given, most, limit, stoppable, noting)

        return run(query, values) if platform is None else self._of(platform, query, values, run)

    def again(self, query: str, values: Mapping[str, object] | None = None, *, platform: str | None = None) -> "Again":
        """The same, to be read as often as somebody likes: each time it is run anew. Raises as `stream` does."""
        # Only its columns are looked at: the query log has it when it is read.
        with self._stream(query, values or {}, platform, None, Limit(None, 0.0), None, None) as answer:
            return Again(answer.schema, answer.types, lambda: self.stream(query, values, platform=platform))

    @contextmanager
    def pin(self) -> Iterator[None]:
        """Hold one snapshot still until the block ends, for all threads."""
        with ExitStack() as held:
            for zone in {self._settings.timezone, NEW_YORK}:
                held.enter_context(self._catalog(zone).pin())
            yield

    @property
    def names(self) -> names.Names:
        """What may be named now: tables that people declare on the lake come to it."""
        own = records(self._bench.lake.root)
        known = self._known
        if known is None or known[0] is not own:
            # `records` gives the same mapping while nobody has declared any, and others only where somebody has.
            told = frozenset(own)
            if known is None or known[0] != told:
                known = (told, names.names(self.schemas, own.values()))
                self._known = known
        return known[1]

    def _of(self, platform: str, query: str, values: Mapping[str, object], run: Callable[[str, Mapping[str, object]], Answer]) -> Answer:
        """Run a text of a platform's: each reading of it goes through the gate."""
        using = self._platforms.get(platform)
        if using is None:
            from workbench.query.idioms.using import Using

            using = Using(platform)
            if len(self._platforms) < PLATFORMS:
                self._platforms[platform] = using
        read = using.run(query, values)
        if not read.alone:
            raise NotAllowed(
                "several statements were given, and one query at a time may be run here; nothing was run. Ask them one by one."
            )
        answer: Answer | None = None
        while read.goes_on():
            if read.change:
                raise NotAllowed(
                    f"{read.change.verb} writes to {read.change.record.full}, and only queries may be run here; nothing was run, and nothing written."
                )
            try:
                answer = run(read.sql, read.values)
                read.ran(answer)
            except TookTooLong:
                raise
            except QueryError as fault:
                read.refused(fault)
        if answer is None:
            raise NotAllowed("the query is empty; nothing was run.")
        return answer

    def _run(
        self,
        catalog: Catalog,
        text: str,
        values: Mapping[str, object],
        most: int | None,
        limit: Limit,
        stoppable: Callable[[Callable[[], None]], None] | None,
        noting: "Noting | None",
    ) -> Answer:
        try:
            narrowed = catalog.narrowed(text, **values)
        except duckdb.Error as fault:
            raise query_error(fault) from fault
        run = Run(catalog.fresh(), self._watch, limit)
        if stoppable is not None:
            stoppable(run.stop)
        params = dict(values) if values else None
        if narrowed:
            # What is wrong is told of the query's own text.
            with suppress(duckdb.Error):
                return self._answer(run, narrowed, params, most, noting)
        with run.telling():
            return self._answer(run, text, params, most, noting)

    def _answer(self, run: Run, text: str, params: dict[str, Any] | None, most: int | None, noting: "Noting | None") -> Answer:
        _read = run.cursor.sql(text, params=params)
        if _read is None:
            raise NotAllowed("the statement gives no rows, and only queries may be run here; nothing was run.")
        types = tuple(map(str, _read.types))
        return Answer(_read.to_arrow_reader(BATCH if most is None else max(1, min(BATCH, most + 1))), types, most, run, noting)

    def _catalog(self, zone: str) -> Catalog:
        """The session that shows times of a zone, made when it is first needed."""
        with self._lock:
            if zone not in self._catalogs:
                from workbench.runs.record import Runs

                bench = self._bench
                made = Catalog(replace(self._settings, timezone=zone), bench.lake, bench._fixed, bench._as_of, locked=True)
                made.standing.ran = partial(Runs, bench.lake.root)
                self._catalogs[zone] = made
            return self._catalogs[zone]

    def close(self) -> None:
        """Close the session; what still runs on it is ended."""
        self._closed = True
        self._watch.close()
        with self._lock:
            for catalog in self._catalogs.values():
                catalog.close()
            self._catalogs = {}
        self._gate.close()
