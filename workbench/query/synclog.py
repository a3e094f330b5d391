"""`data_sync_log`: what every refresh did and tried, a row for each; what landed is told by the commits, all else by the journal.

DuckDB asks for the rows when a query reads them, so that nobody pays for what nobody asks; they are made anew when a table or the journal
moved. This module must not import DuckDB: a session that is never closed keeps a `SyncLog` until the interpreter has ended.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workbench import __version__
from workbench.errors import LakeError
from workbench.lake.journal import NAMES, Journal, Stamp
from workbench.lake.landings import Landing, newest
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake, LakeTable, utc_now
from workbench.tables import LONE_DAYS, ROLLUPS

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "data_sync_log"
DOC = (
    "What every refresh did and tried: a row for each version of an object that landed, and for each attempt that landed nothing. "
    "What has been replaced since is superseded, and the reason says by what. A start without an end was killed, or still goes on."
)
# Tables that the lake makes of its own rows.
OWN = {LONE_DAYS.name, *(one.name for one in ROLLUPS)}
# The columns as documented, in their order.
COLUMNS = {
    "id": "string",
    "run_id": "string",
    "sync_type": "string",
    "dataset": "string",
    "symbol": "string",
    "session": "date32",
    "source": "string",
    "fallback_from": "string",
    "status": "string",
    "reason": "string",
    "rows": "int64",
    "quarantined": "int64",
    "bytes": "int64",
    "object_key": "string",
    "etag": "string",
    "started_at": "instant",
    "finished_at": "instant",
    "duration_ms": "int64",
    "library_version": "string",
}
# What became of landed rows since, where nothing took the place of the object itself.
SINCE = {"archived": "archived since", "dropped": "dropped by retention since", "superseded": "a better source took their place"}

Row = tuple[Any, ...]


class SyncLog:
    """The rows of `data_sync_log` for one session; DuckDB reads it as an Arrow stream.

    `shown` are the versions of the tables that the session shows; `at` is the instant that it was opened as of.
    """

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot], at: datetime | None = None):
        self.lake, self.journal = lake, Journal(lake.root)
        self._shown, self._at = shown, at
        self._lock = threading.Lock()
        self._until: int | None = None
        self._landed: dict[str, tuple[int, pa.Table]] = {}
        self._tried: tuple[Stamp, pa.Table] | None = None
        self._made: tuple[object, pa.Table] | None = None

    def hold(self) -> None:
        """Show no attempt that is recorded from now on, until `release`."""
        try:
            self._until = self.journal.stamp().newest
        except LakeError:
            # What cannot be read is told of when the rows are asked for.
            self._until = None

    def release(self) -> None:
        """Show every attempt again."""
        self._until = None

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    def __arrow_c_schema__(self) -> object:
        return schema().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested: object = None) -> object:
        return self.table().__arrow_c_stream__(requested)

    def table(self) -> "pa.Table":
        """The rows as Arrow, in the order in which they began."""
        import pyarrow as pa

        with self._lock:
            # DuckDB asks while the session may be declaring views: its lock is not ours to take.
            # What the lake makes of its own rows was synchronized with nobody.
            shown = {name: shot for name, shot in dict(self._shown).items() if name not in OWN}
            versions = {name: shot.version for name, shot in shown.items() if shot.version >= 0}
            try:
                tried, stamp = self._attempts(), self._tried and self._tried[0]
            except LakeError as fault:
                # What landed is told all the same.
                self._tried, tried, stamp = None, arrow([unread(fault)]), None
            mark = versions, stamp, self._until
            if stamp is None or self._made is None or self._made[0] != mark:
                for name, version in versions.items():
                    if self._landed.get(name, (-1,))[0] != version:
                        self._landed[name] = version, arrow(landed(self.lake[name], version))
                rows = pa.concat_tables([*(self._landed[name][1] for name in versions), tried])
                self._made = mark, rows.sort_by([("started_at", "ascending"), ("id", "ascending")])
            return self._made[1]

    def _attempts(self) -> "pa.Table":
        """What the journal tells; only what is new in it is read."""
        import pyarrow as pa
        import pyarrow.compute as pc

        stamp = self.journal.stamp()
        if self._tried is None or self._tried[0].file != stamp.file:
            self._tried = Stamp(stamp.file, 0), numbered(())
        if self._tried[0] != stamp:
            fresh = numbered(self.journal.rows(self._tried[0].newest))
            whole = pa.concat_tables([self._tried[1], fresh])
            self._tried = Stamp(stamp.file, whole["seq"][-1].as_py() if len(whole) else 0), whole
        rows = self._tried[1]
        if self._until is not None:
            rows = rows.filter(pc.field("seq") <= self._until)
        if self._at:
            rows = rows.filter(
                pc.coalesce(pc.field("finished_at"), pc.field("started_at")) <= pa.scalar(self._at, schema().field("started_at").type)
            )
        return rows.drop_columns(["seq"])


# ---------------------------------------------------------------------- rows


def landed(table: LakeTable, version: int) -> Iterator[Row]:
    """A row for every landing record that the commits up to a version carry."""
    commits = table.commits(version)
    last = newest(commits)
    for commit in commits:
        for landing in commit.landings:
            yield of_landing(landing, last[landing.key])


def of_landing(landing: Landing, last: Landing) -> Row:
    """A landing record as a row; `last` is the newest of the same object."""
    status, since = "success", ""
    # An undone reset brings a record back under a newer version's number.
    if (last.landed_at, last.etag) != (landing.landed_at, landing.etag):
        status, since = "superseded", f"version {last.version}, landed at {last.landed_at}, took its place"
    elif last.retired:
        status = "superseded" if last.retired == "superseded" else status
        since = SINCE.get(last.retired, f"{last.retired} since")
    elif not landing.rows and landing.quarantined:
        status = "quarantined"
    elif not landing.rows and landing.superseded:
        status, since = "superseded", "a better source had all of its rows"
    reasons = [since, *(f"{n} {why}" for why, n in landing.reasons.items()), *landing.notes]
    began = landing.began or landing.landed_at
    return (
        hashlib.md5(f"{landing.table}\n{landing.key}\n{landing.version}".encode(), usedforsecurity=False).hexdigest(),
        landing.run,
        "refresh",
        landing.table,
        landing.asked[0] if len(landing.asked) == 1 else None,
        landing.session.isoformat(),
        landing.source,
        landing.fallback_from or None,
        status,
        "; ".join(filter(None, reasons)) or None,
        landing.rows,
        landing.quarantined,
        landing.size,
        landing.key,
        landing.etag,
        began,
        landing.landed_at,
        round((datetime.fromisoformat(landing.landed_at) - datetime.fromisoformat(began)).total_seconds() * 1000),
        landing.library,
    )


def unread(fault: LakeError) -> Row:
    """A row that says why the journal's are not here."""
    now = utc_now()
    told = {"id": "journal", "run_id": "", "sync_type": "journal", "dataset": NAME, "source": "lake", "status": "failed"}
    told |= {"reason": f"LakeError: {fault}", "started_at": now, "finished_at": now, "library_version": __version__}
    return tuple(told.get(name, 0 if kind == "int64" else None) for name, kind in COLUMNS.items())


def numbered(rows: Iterable[Row]) -> "pa.Table":
    """Attempts as the journal gives them, with their numbers as the last column."""
    at = [NAMES.index(name) + 1 for name in COLUMNS]
    end = NAMES.index("finished_at") + 1
    # What has not ended has an empty text for its end.
    return arrow((tuple(row[n] or None if n == end else row[n] for n in at) + row[:1] for row in rows), COLUMNS | {"seq": "int64"})


# ---------------------------------------------------------------------- Arrow


def schema(columns: Mapping[str, str] = COLUMNS) -> "pa.Schema":
    """The columns as Arrow has them."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64(), "date32": pa.date32(), "instant": pa.timestamp("us", "UTC")}
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def arrow(rows: Iterable[Row], columns: Mapping[str, str] = COLUMNS) -> "pa.Table":
    """Rows as Arrow; dates and instants are texts.

    They go by way of JSON: pyarrow asks pandas about every list that it is given, and to import that takes longer than all else here.
    """
    import pyarrow as pa
    from pyarrow import json as reader

    lines = "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows).encode()
    if not lines:
        return schema(columns).empty_table()
    texts = pa.schema([(name, pa.int64() if kind == "int64" else pa.string()) for name, kind in columns.items()])
    read = reader.ReadOptions(block_size=len(lines) + 1)
    made = reader.read_json(pa.BufferReader(lines), read, reader.ParseOptions(texts, unexpected_field_behavior="error"))
    return made.cast(schema(columns))
