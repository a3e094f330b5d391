"""What a Parquet file's footer says: schema, rows, and the least and greatest values that the Delta log keeps.

Every check that a footer can answer costs nothing, because the statistics were computed while the file was written.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.lake.types import from_arrow
from workbench.tables import Table

if TYPE_CHECKING:
    from io import RawIOBase

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Span:
    """A column's least and greatest value and its nulls over a file; `known` is False if a row group does not say."""

    low: Any = None
    high: Any = None
    nulls: int = 0
    known: bool = True


@dataclass(frozen=True)
class Footer:
    """One file's footer, over all its row groups. `filled` are the columns that are known to hold no NULL."""

    rows: int
    schema: tuple[tuple[str, str], ...]
    spans: dict[str, Span]
    filled: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: "Path | RawIOBase") -> "Footer":
        """Read a footer; only its last kilobytes are read, of a file on the disk or of what is read like one."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            meta, schema = file.metadata, file.schema_arrow
        types = tuple((f.name, from_arrow(str(f.type))) for f in schema)
        spans = {name: Span() for name in schema.names}
        for group in map(meta.row_group, range(meta.num_row_groups)):
            for i, span in enumerate(spans.values()):
                merge(span, group.column(i))
        declared = {f.name for f in schema if not f.nullable}
        filled = frozenset(name for name, span in spans.items() if name in declared or (span.known and not span.nulls))
        return cls(meta.num_rows, types, spans, filled)

    def stats(self, table: Table) -> dict[str, Any]:
        """Statistics as the Delta log keeps them, of the columns that queries prune by; reference data is not pruned."""
        if table.kind == "reference":
            return {"numRecords": self.rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
        names = dict.fromkeys(("ticker", "date", "timestamp", table.time))
        known = {name: span for name in names if (span := self.spans[name]).known and span.low is not None}
        return {
            "numRecords": self.rows,
            "minValues": {name: plain(span.low) for name, span in known.items()},
            "maxValues": {name: plain(span.high) for name, span in known.items()},
            "nullCount": {name: self.spans[name].nulls for name in names},
        }


def merge(span: Span, column: Any) -> None:
    """Widen a span by one row group's column."""
    stats = column.statistics
    if stats is None or not stats.has_null_count:
        span.known = False
        return
    span.nulls += stats.null_count
    if stats.has_min_max:
        # Raw values: for times and dates pyarrow's own would import pandas.
        low, high = (as_python(raw, str(stats.logical_type)) for raw in (stats.min_raw, stats.max_raw))
        span.low = low if span.low is None else min(span.low, low)
        span.high = high if span.high is None else max(span.high, high)
    elif stats.null_count < column.num_values:
        span.known = False


def as_python(raw: Any, logical: str) -> Any:
    """A statistic's raw value as Python has it; timestamps are microseconds."""
    if logical.startswith("Timestamp"):
        return EPOCH + timedelta(microseconds=raw)
    if logical == "Date":
        return EPOCH.date() + timedelta(days=raw)
    return raw.decode() if isinstance(raw, bytes) else raw


def plain(value: Any) -> Any:
    """A statistic as JSON writes it. Timestamps are exact: stored and declared in microseconds."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value
