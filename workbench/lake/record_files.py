"""Files of rows that people wrote: sorted by key and cut into small groups, so that a look for one row reads little; and what the log keeps of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.lake.disk import sync
from workbench.tables.record import Record

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 8_192
# The log keeps the range of texts as long as this: of longer ones it would be the range of their beginnings.
LONGEST = 32


def write(rows: "pa.Table", path: Path) -> None:
    """Write rows as they come, for good. The folder's entry is the caller's to keep."""
    import pyarrow.parquet as pq

    pq.write_table(rows, path, compression="zstd", row_group_size=GROUP_ROWS, use_dictionary=repeating(rows))
    sync(path)


def repeating(rows: "pa.Table") -> list[str]:
    """The columns of texts that say the same again and again: a dictionary of anything else takes as long again to write, and more room."""
    import pyarrow as pa
    import pyarrow.compute as pc

    some = rows.slice(0, GROUP_ROWS)
    return [one.name for one in rows.schema if pa.types.is_string(one.type) and 2 * pc.count_distinct(some[one.name]).as_py() <= len(some)]


def in_order(record: Record, rows: "pa.Table") -> "pa.Table":
    """Rows sorted by their table's key; those of a table without one as they come."""
    if not record.key or ascending(rows, record.key):
        return rows
    return rows.combine_chunks().sort_by([(name, "ascending") for name in record.key])


def ascending(rows: "pa.Table", columns: Sequence[str]) -> bool:
    """Whether rows come in the order of some columns already, as what was imported mostly does."""
    import pyarrow.compute as pc

    if len(rows) < 2:
        return True
    found = None
    for name in reversed(columns):
        one, then = rows[name].slice(0, len(rows) - 1), rows[name].slice(1)
        less = pc.less(one, then)
        found = pc.less_equal(one, then) if found is None else pc.or_(less, pc.and_(pc.equal(one, then), found))
    return pc.all(found, skip_nulls=False).as_py() is True


def together(record: Record, parts: "Iterable[pa.Table]") -> "pa.Table":
    """Rows of several origins as one table; columns that some of them lack are NULL there."""
    import pyarrow as pa

    told = [part for part in parts if len(part)]
    if record.key and told:
        keys = [part.select(list(record.key)).slice(0, 1).to_pylist()[0] for part in told]
        told = [told[n] for n in sorted(range(len(told)), key=lambda n: tuple(keys[n].values()))]
    return in_order(record, pa.concat_tables(told, promote_options="default"))


def read(path: str | Path, columns: Iterable[str] | None = None) -> "pa.Table":
    """The rows of a file, or some of their columns."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(None if columns is None else [name for name in columns if name in file.schema_arrow.names])


def count(path: str | Path) -> int:
    """The number of a file's rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def ranged(record: Record) -> tuple[str, ...]:
    """The columns of which the log keeps the range besides those of whole numbers: by them rows are looked for."""
    return tuple(dict.fromkeys(name for columns in (record.key, *record.unique) for name in columns))


def statistics(rows: "pa.Table", columns: Iterable[str] = ()) -> dict[str, object]:
    """What the log keeps of a file's rows: their number, and the range of columns of whole numbers, from which rows are numbered on, and of `columns`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    chosen = set(columns)
    kinds = {one.name: one.type for one in rows.schema if pa.types.is_integer(one.type) or (one.name in chosen and can_range(one.type))}
    spans = {name: pc.min_max(rows[name]).as_py() for name in kinds}
    return {
        "numRecords": len(rows),
        "minValues": {name: told(span["min"]) for name, span in spans.items() if kept(span["min"])},
        "maxValues": {name: told(span["max"]) for name, span in spans.items() if kept(span["max"])},
        "nullCount": {name: rows[name].null_count for name in spans},
    }


def of_file(record: Record, path: Path) -> dict[str, object]:
    """What the log keeps of the rows of a file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        import pyarrow as pa

        whole = [one.name for one in file.schema_arrow if pa.types.is_integer(one.type)]
        chosen = list(dict.fromkeys((*whole, *(name for name in ranged(record) if name in file.schema_arrow.names))))
        return statistics(file.read(chosen), ranged(record)) | {"numRecords": file.metadata.num_rows}


def can_range(kind: "pa.DataType") -> bool:
    """Whether a type's range is kept as it is."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def kept(value: Any) -> bool:
    """Whether the log can keep a bound as it is."""
    return value is not None and not (isinstance(value, str) and len(value) > LONGEST)


def told(value: Any) -> object:
    """A bound as the log writes it; an instant to the microsecond."""
    if isinstance(value, int | str):
        return value
    text = str(value.isoformat())
    return text.replace("+00:00", "Z")
