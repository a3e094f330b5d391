"""What databases tell of themselves, told of the lake: its chunks and how large they are, its tables, its policies, and what a session was asked.

Chunks and sizes are the log's: a chunk of a table is the files that bear its name, and what landed in it are the vendor's files by their landing
records. Documented tables that market data feeds have the chunks of the tables behind them. DuckDB asks for the rows when a query reads them.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench.config import Settings
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import querylog
from workbench.query.streams import Stream, Streams
from workbench.tables import ROLLUPS, TABLES, Table
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record
from workbench.tables.spec import span_of

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.query.documented import Documented

Row = tuple[Any, ...]

# A session keeps so many different texts; the one that was asked the longest ago gives way.
KEPT = 5000
# So many characters of a text are kept: whoever writes rows out in queries would fill the memory with them.
LONGEST = 10_000
# Documented tables that stand to another as a continuous aggregate does to its hypertable.
AGGREGATES = {"market_data.ohlcv_daily": "market_data.ohlcv"}
# Of each session it shows the first table's rows, and the second's where the first has none.
FINEST = "market_data.ohlcv"
# Columns of time that tell of the row, not of what it is about.
OF_ROWS = ("created_at", "updated_at", "last_updated")

CHUNKS = {
    "schema_name": "string",
    "table_name": "string",
    "base_table": "string",
    "chunk": "string",
    "range_start": "instant",
    "range_end": "instant",
    "sealed": "bool",
    "files": "int64",
    "rows": "int64",
    "bytes": "int64",
    "landed_bytes": "int64",
}
RELATIONS = {
    "schema_name": "string",
    "table_name": "string",
    "documented": "bool",
    "files": "int64",
    "rows": "int64",
    "bytes": "int64",
    "own_bytes": "int64",
    "time_column": "string",
    "time_type": "string",
    "period": "string",
    "aggregate_of": "string",
}
SIZES = {"name": "string", "bytes": "int64"}
POLICIES = {"job_id": "int64", "policy": "string", "table_name": "string", "scheduled": "bool", "config": "string"}
STATEMENTS = {
    "query": "string",
    "calls": "int64",
    "total_ms": "double",
    "min_ms": "double",
    "max_ms": "double",
    "first_asked": "instant",
    "last_asked": "instant",
}


# ---------------------------------------------------------------------- chunks


@dataclass(frozen=True)
class Chunk:
    """A chunk of a table: its name, live files, their rows and bytes, and the bytes that landed in it as the source gave them.

    `sealed` says that it is cold: every file of it holds a ticker range.
    """

    name: str
    files: int
    rows: int
    size: int
    sealed: bool
    landed: int

    def edges(self, table: Table) -> tuple[datetime, datetime]:
        """The instants between which its sessions lie, half open: midnights in the table's zone."""
        first, last = span_of(self.name)
        zone = ZoneInfo(table.zone)
        return datetime.combine(first, time(), zone), datetime.combine(last + timedelta(days=1), time(), zone)


@dataclass(frozen=True)
class Chunks:
    """The chunks of a table's version, by name, and which of them holds each landed session."""

    version: int
    known: Mapping[str, Chunk] = field(default_factory=dict)
    sessions: Mapping[date, str] = field(default_factory=dict)


def chunks(lake: Lake, name: str, shot: Snapshot) -> Chunks:
    """The chunks of one table."""
    import pyarrow.compute as pc

    if shot.stats is None:
        return Chunks(shot.version)
    stats = shot.stats.append_column("hot", pc.is_null(shot.stats["bucket"]))
    found = stats.group_by("chunk").aggregate([("path", "count"), ("rows", "sum"), ("size", "sum"), ("hot", "max")]).sort_by("chunk")
    columns = ("chunk", "path_count", "rows_sum", "size_sum", "hot_max")
    rows = list(zip(*(found[column].to_pylist() for column in columns), strict=True))
    periods, there = TABLES[name].chunks, {row[0] for row in rows}
    at = dict(zip(shot.stats["path"].to_pylist(), shot.stats["chunk"].to_pylist(), strict=True))
    landed, sessions = dict.fromkeys(there, 0), dict[date, str]()
    for landing in lake[name].landings(shot.version).values():
        if not landing.held:
            continue
        # A landed file stands in its own files until its chunk is written cold, by then in the widest one that takes in its session.
        own = (at[path] for path in landing.files if path in at)
        wider = (one for period in reversed(periods) if (one := TABLES[name].chunk_of(landing.session, period)) in there)
        if chunk := next(own, None) or next(wider, None):
            landed[chunk] += landing.size
            sessions[landing.session] = chunk
    made = (Chunk(one, files, count, size, not hot, landed[one]) for one, files, count, size, hot in rows)
    return Chunks(shot.version, {one.name: one for one in made}, sessions)


# ---------------------------------------------------------------------- asked


class Asked:
    """What a session was asked: how often each text, and how long it took to be planned. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, float, float, float, datetime, datetime]] = {}

    def add(self, query: str, seconds: float) -> None:
        """Count a text that was asked once more."""
        now, spent = datetime.now(UTC), seconds * 1000
        query = query if len(query) <= LONGEST else f"{query[:LONGEST]}…"
        with self._lock:
            calls, total, least, most, first, _ = self._known.pop(query, (0, 0.0, spent, spent, now, now))
            # What was asked last stands last.
            self._known[query] = calls + 1, total + spent, min(least, spent), max(most, spent), first, now
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]

    def rows(self) -> list[Row]:
        """A row for each text, as `STATEMENTS` names the columns."""
        with self._lock:
            return [(query, *told) for query, told in self._known.items()]


# ---------------------------------------------------------------------- views


class Monitoring:
    """What one session tells of its lake. `shown` are the versions of the tables that it shows.

    `records` gives the snapshots of the documented tables that people wrote to, by full name.
    """

    def __init__(
        self,
        lake: Lake,
        shown: Mapping[str, Snapshot],
        settings: Settings,
        records: Callable[[], Mapping[str, Snapshot]] = dict,
    ):
        self.asked = Asked()
        self._lake, self._shown, self._settings, self._records = lake, shown, settings, records
        self._lock = threading.Lock()
        self._known: dict[str, Chunks] = {}

    def supply(self, documented: "Documented", streams: Streams) -> None:
        """Have the rows stand where the views look for them."""
        for view, columns, rows in (
            ("workbench.lake_chunks", CHUNKS, self.chunks),
            ("workbench.lake_relations", RELATIONS, self.relations),
            ("workbench.lake_sizes", SIZES, self.sizes),
            ("workbench.lake_policies", POLICIES, self.policies),
            ("workbench.pg_stat_statements", STATEMENTS, self.asked.rows),
            ("workbench.query_log", querylog.COLUMNS, partial(querylog.rows, self._lake.root)),
        ):
            stream = Stream(partial(schema, columns), partial(table, columns, rows))
            documented.supply(view, streams.supplier(view.partition(".")[2], stream))

    def chunks(self) -> list[Row]:
        """A row for each chunk of each table, as `CHUNKS` names the columns."""
        found = []
        fed = [(one.schema, one.name, behind(one)) for one in RECORDS.values() if hypertable(one)]
        for schema_name, table_name, tables in [*(("main", one, [one]) for one in TABLES), *fed]:
            for base, chunk in self._of(f"{schema_name}.{table_name}", [name for name in tables if timed(name)]):
                facts = (chunk.sealed, chunk.files, chunk.rows, chunk.size, chunk.landed or None)
                found.append((schema_name, table_name, base, chunk.name, *chunk.edges(TABLES[base]), *facts))
        return found

    def relations(self) -> list[Row]:
        """A row for each table, base and documented, as `RELATIONS` names the columns. `own_bytes` adds up to the lake's without counting twice."""
        shots = dict(self._shown)
        found: list[Row] = []
        for name, table in TABLES.items():
            shot, when = shots[name], ("timestamp", "TIMESTAMPTZ", table.chunks[0]) if timed(name) else (None, None, None)
            found.append(("main", name, False, count(shot), shot.rows, shot.size, shot.size, *when, None))
        written = self._records()
        for full, record in RECORDS.items():
            own, base = written.get(full, Snapshot(-1)), behind(record)
            held = [chunk for _, chunk in self._of(full, [name for name in base if timed(name)])]
            facts = [shots[name] for name in base if not timed(name)]
            files = count(own) + sum(chunk.files for chunk in held) + sum(map(count, facts))
            rows = own.rows + sum(chunk.rows for chunk in held) + sum(shot.rows for shot in facts)
            size = own.size + sum(chunk.size for chunk in held) + sum(shot.size for shot in facts)
            column = time_of(record) if hypertable(record) else None
            when = (*column, TABLES[base[0]].chunks[0]) if column else (None, None, None)
            found.append((record.schema, record.name, True, files, rows, size, own.size, *when, AGGREGATES.get(full)))
        return found

    def sizes(self) -> list[Row]:
        """The bytes behind each name of a table, as `SIZES` names the columns: with its schema, and without where only one table can be meant.

        A base table's name alone means that table.
        """
        told = [(schema_name, name, size) for schema_name, name, _, _, _, size, *_ in self.relations()]
        bare = Counter(name for _, name, _ in told if name not in TABLES)
        short = [(name, size) for schema_name, name, size in told if schema_name == "main" or bare[name] == 1]
        return [*((f"{schema_name}.{name}", size) for schema_name, name, size in told), *short]

    def policies(self) -> list[Row]:
        """A row for each thing that is done by itself, as `POLICIES` names the columns."""
        maintain = self._settings.maintain
        compact = json.dumps({"compress_after": str(maintain.compact_after)})
        told = [("policy_compression", name, maintain.after_refresh, compact) for name in TABLES if timed(name)]
        for rollup in ROLLUPS:
            offsets = {"start_offset": rollup.start_offset, "end_offset": rollup.end_offset}
            config = json.dumps({name: None if one is None else f"{one.days} days" for name, one in offsets.items()})
            told.append(("policy_refresh_continuous_aggregate", rollup.name, maintain.after_refresh, config))
        for name, policy in self._settings.retention.items():
            config = json.dumps({"drop_after": str(policy.keep), "then": policy.then})
            told.append(("policy_retention", name, maintain.after_refresh, config))
        return [(1000 + n, *one) for n, one in enumerate(told)]

    def _of(self, full: str, tables: Sequence[str]) -> Iterator[tuple[str, Chunk]]:
        """The chunks behind a table, each with the base table that it is of."""
        told = {name: self._chunks(name) for name in tables}
        for name, one in told.items():
            chosen: set[str] | None = None
            if full == FINEST and name != tables[0]:
                finer = told[tables[0]].sessions.keys()
                chosen = {chunk for session, chunk in one.sessions.items() if session not in finer}
            yield from ((name, chunk) for chunk in one.known.values() if chosen is None or chunk.name in chosen)

    def _chunks(self, name: str) -> Chunks:
        shot = self._shown[name]
        with self._lock:
            if name not in self._known or self._known[name].version != shot.version:
                self._known[name] = chunks(self._lake, name, shot)
            return self._known[name]


def timed(name: str) -> bool:
    """Whether a table's rows lie in time: reference tables hold facts by key."""
    return TABLES[name].kind != "reference"


def behind(record: Record) -> list[str]:
    """The base tables that feed a documented table."""
    return [name for name in record.base if name in TABLES]


def hypertable(record: Record) -> bool:
    """Whether a documented table is one that lies in time, with chunks behind it."""
    base = behind(record)
    return bool(base) and timed(base[0]) and record.full not in AGGREGATES and time_of(record) is not None


def time_of(record: Record) -> tuple[str, str] | None:
    """Name and type of the column that tells when; None where there is none."""
    return next(((c.name, c.type) for c in record.columns if c.type in ("TIMESTAMPTZ", "DATE") and c.name not in OF_ROWS), None)


def count(shot: Snapshot) -> int:
    """The files of a snapshot."""
    return len(shot.stats) if shot.stats is not None else 0


def schema(columns: Mapping[str, str]) -> "pa.Schema":
    """Columns as Arrow has them."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(), "date32": pa.date32()}
    kinds |= {"instant": pa.timestamp("us", "UTC")}
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def table(columns: Mapping[str, str], rows: Callable[[], Sequence[Row]]) -> "pa.Table":
    """Rows as Arrow has them."""
    import pyarrow as pa

    told, fields = rows(), schema(columns)
    return pa.table([pa.array([row[n] for row in told], one.type, from_pandas=False) for n, one in enumerate(fields)], schema=fields)
