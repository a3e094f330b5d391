"""A snapshot: the files of one version of a table, with what the log knows of each."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from workbench.lake.landings import NewFile

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

BOUNDS = "workbench.bounds"
# The columns that a table got after it had rows: a file may lack them.
WIDENED = "workbench.widened"


@dataclass(frozen=True)
class LiveFile:
    """A Parquet file of a snapshot, with the log's statistics of it.

    `bucket` is its ticker range; None for a hot file, which holds a session. `first` and `last` are sessions, `low` and `high` tickers,
    `since` and `until` instants; all are the least and greatest of the file's rows.
    """

    path: str
    size: int
    rows: int
    chunk: str
    bucket: str | None
    first: date
    last: date
    low: str
    high: str
    since: datetime
    until: datetime


# Where Delta's flattened actions keep the fields of a `LiveFile`, in their order.
STATISTICS = {
    "path": "path",
    "size": "size_bytes",
    "rows": "num_records",
    "chunk": "partition.chunk",
    "bucket": "partition.bucket",
    "first": "min.date",
    "last": "max.date",
    "low": "min.ticker",
    "high": "max.ticker",
    "since": "min.timestamp",
    "until": "max.timestamp",
}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One version of a table: the files a reader may read.

    `stats` has the fields of `LiveFile` as columns, by path; None while the table has no files. `bounds` are its ticker ranges; None
    while they are not decided. `widened` are the columns that some of its files may lack.
    """

    version: int
    stats: "pa.Table | None" = None
    bounds: tuple[str, ...] | None = None
    widened: tuple[str, ...] = ()

    @cached_property
    def files(self) -> tuple[LiveFile, ...]:
        """The files, by path."""
        if self.stats is None:
            return ()
        return tuple(LiveFile(*row) for row in zip(*(column.to_pylist() for column in self.stats.columns), strict=True))

    @cached_property
    def by_path(self) -> dict[str, LiveFile]:
        """The files, by path."""
        return {file.path: file for file in self.files}

    @cached_property
    def paths(self) -> frozenset[str]:
        """The files' paths."""
        return frozenset(self.stats["path"].to_pylist()) if self.stats else frozenset()

    @cached_property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(self.stats["rows"].to_pylist()) if self.stats else 0

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.stats["size"].to_pylist()) if self.stats else 0


def as_live(file: NewFile) -> LiveFile:
    """A new file as the log will list it."""
    low, high = file.stats["minValues"], file.stats["maxValues"]
    days = date.fromisoformat(low["date"]), date.fromisoformat(high["date"])
    times = datetime.fromisoformat(low["timestamp"]), datetime.fromisoformat(high["timestamp"])
    return LiveFile(file.path, file.size, file.rows, file.chunk, file.bucket, *days, low["ticker"], high["ticker"], *times)


def read(delta: "DeltaTable") -> Snapshot:
    """The snapshot that an open Delta table stands at."""
    import pyarrow as pa

    # get_add_actions gives an arro3 table; pyarrow's is the faster way into Python. `pa.table` would import pandas first, to ask whether it is a frame.
    with pa.RecordBatchReader.from_stream(delta.get_add_actions(flatten=True)) as stream:
        actions = stream.read_all()
    if not len(actions):
        return Snapshot(delta.version(), None, bounds_of(delta), widened_of(delta))
    columns = [actions[kept] if kept in actions.column_names else pa.nulls(len(actions)) for kept in STATISTICS.values()]
    return Snapshot(delta.version(), pa.Table.from_arrays(columns, list(STATISTICS)).sort_by("path"), bounds_of(delta), widened_of(delta))


def bounds_of(delta: "DeltaTable") -> tuple[str, ...] | None:
    """A table's ticker ranges as its metadata keeps them; None while they are not decided."""
    kept = delta.metadata().configuration.get(BOUNDS)
    return None if kept is None else tuple(json.loads(kept))


def widened_of(delta: "DeltaTable") -> tuple[str, ...]:
    """The columns that a table got after it had rows, as its metadata keeps them."""
    return tuple(json.loads(delta.metadata().configuration.get(WIDENED, "[]")))
