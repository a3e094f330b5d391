"""The rows of Parquet, Arrow and CSV files, batch by batch: from a value on, in the order of a column, and several small files' together."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workbench.errors import BrokenText
from workbench.importers.csv_files import Batch, Text
from workbench.importers.file_names import File
from workbench.importers.origin import BATCH_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

# How far two spellings of an instant may differ, for their zones.
ZONES = timedelta(days=1)
ISO_DAY = r"^\d{4}-\d\d-\d\d([T ]|$)"


@dataclass(frozen=True)
class Source:
    """A file that can be read: its columns with their types, those of its folders among them, and how many rows, where it tells."""

    file: File
    shown: str
    types: "Mapping[str, pa.DataType]"
    own: frozenset[str]
    rows: int | None

    @property
    def columns(self) -> Mapping[str, str]:
        """The names of its columns with those of their types."""
        return {name: "text" if self.file.format == "csv" or name not in self.own else str(kind) for name, kind in self.types.items()}


@dataclass(frozen=True)
class Part:
    """Rows of one file."""

    shown: str
    batch: Batch

    def where(self, row: int) -> str:
        """What a row of it is called."""
        return f"{self.shown} {self.batch.number(row)}"


@dataclass
class Opened:
    """A Parquet or Arrow file: its schema, how many rows it tells, and its batches."""

    schema: "pa.Schema"
    rows: int | None
    batches: Callable[[Sequence[str]], Iterator["pa.RecordBatch"]]
    held: Any = field(default=None, repr=False)


@contextmanager
def reading(file: File) -> Iterator[Opened]:
    """A Parquet or Arrow file, open. Raises `BrokenText` where it, or what is asked of it, is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = {"parquet": "Parquet", "arrow": "Arrow"}[file.format]
    try:
        if file.format == "parquet":
            with pq.ParquetFile(file.path) as held:
                yield Opened(
                    held.schema_arrow, held.metadata.num_rows, lambda names: held.iter_batches(BATCH_ROWS, columns=list(names)), held
                )
            return
        with pa.memory_map(str(file.path)) as raw:
            try:
                ipc = pa.ipc.open_file(raw)
                batches = (ipc.get_batch(at) for at in range(ipc.num_record_batches))
            except pa.ArrowInvalid:
                # Feather and Arrow's files begin alike; its streams do not, and have no end that tells of them.
                raw.seek(0)
                ipc = batches = pa.ipc.open_stream(raw)
            yield Opened(
                ipc.schema, None, lambda names: (pa.RecordBatch.from_pydict({name: one.column(name) for name in names}) for one in batches)
            )
    except pa.ArrowException as fault:
        raise BrokenText(f"is damaged, or no {kind} file: {str(fault).splitlines()[0]}") from fault
    except OSError as fault:
        if fault.errno:
            raise
        raise BrokenText(f"is damaged: {str(fault).splitlines()[0]}") from fault


def source(file: File, shown: str) -> Source:
    """What a file holds, without its rows. Raises `BrokenText`, and OSError."""
    import pyarrow as pa

    rows = None
    if file.format == "csv":
        own = dict.fromkeys(Text(file.path, shown).names, pa.string())
    else:
        with reading(file) as held:
            own, rows = {one.name: plain_type(one.type) for one in held.schema}, held.rows
            if len(own) < len(held.schema):
                raise BrokenText("has two columns of one name, and which of them is meant cannot be told: rename one")
    return Source(file, shown, {**dict.fromkeys((name for name, _ in file.folders), pa.string()), **own}, frozenset(own), rows)


def batches(source: Source, names: Sequence[str], after: tuple[str, Any] | None = None) -> Iterator[Batch]:
    """The rows of a file, of some columns of its own and its folders'; raises `BrokenText` where it breaks off, and OSError."""
    import pyarrow as pa

    own = [name for name in names if name in source.own] or sorted(source.own)[:1]
    folders = [(name, value) for name, value in source.file.folders if name in names and name not in source.own]

    def whole(batch: Batch) -> Batch:
        told = {name: plain(column) for name, column in batch.columns.items() if name in names}
        told |= {name: pa.array([value], pa.string()).take(pa.array([0] * batch.count, pa.int32())) for name, value in folders}
        return replace(batch, columns={name: told[name] for name in names if name in told})

    if source.file.format == "csv":
        yield from map(whole, Text(source.file.path, source.shown).batches(own))
        return
    first = 1
    with reading(source.file) as held:
        groups = kept_groups(held.held, *after) if after and held.held is not None else None
        if groups is None:
            for batch in held.batches(own):
                for at in range(0, batch.num_rows, BATCH_ROWS):
                    part = batch.slice(at, BATCH_ROWS)
                    yield whole(Batch(dict(zip(own, part.columns, strict=True)), part.num_rows, first=first + at))
                first += batch.num_rows
            return
        for group in range(held.held.num_row_groups):
            begin, first = first, first + held.held.metadata.row_group(group).num_rows
            for batch in held.held.iter_batches(BATCH_ROWS, columns=own, row_groups=[group]) if group in groups else ():
                yield whole(Batch(dict(zip(own, batch.columns, strict=True)), batch.num_rows, first=begin))
                begin += batch.num_rows


def plain_type(kind: "pa.DataType") -> "pa.DataType":
    """The type of a column as `plain` gives it."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if kind.extension_name == "arrow.uuid" else plain_type(kind.storage_type)
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def plain(column: "pa.Array") -> "pa.Array":
    """A column without what only saves room, and a UUID as text."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return plain(column.dictionary_decode())
    if isinstance(column.type, pa.BaseExtensionType):
        if column.type.extension_name == "arrow.uuid":
            return pa.array([None if one is None else str(one) for one in column.to_pylist()], pa.string())
        return plain(column.storage)
    return column.cast(plain_type(column.type))


# ---------------------------------------------------------------------- from a value on


def at_least(column: "pa.Array", value: Any) -> "pa.Array | None":
    """Which rows have this value or a greater one, or one that cannot be compared with it; None if none can.

    Times without a zone, and days, may be those of another zone: a day more is kept.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            told = column.cast(pa.int64()) if text else column
            found = pc.greater_equal(told, pa.scalar(value)) if pa.types.is_integer(told.type) else None
        elif isinstance(value, date):
            moment = instant(value)
            if text:
                whole = pc.all(pc.match_substring_regex(column.drop_null(), ISO_DAY)).as_py()
                found = (
                    pc.greater_equal(pc.utf8_slice_codeunits(column, 0, 10), (moment - ZONES).date().isoformat())
                    if whole is not False
                    else None
                )
            elif pa.types.is_date(kind):
                found = pc.greater_equal(column.cast(pa.date32()), (moment - ZONES).date())
            elif pa.types.is_timestamp(kind):
                bound = moment if kind.tz else moment - ZONES
                found = pc.greater_equal(column.cast(pa.timestamp("us"), safe=False), pa.scalar(bound, pa.timestamp("us")))
            else:
                found = None
        else:
            found = pc.greater_equal(column, value) if text and isinstance(value, str) else None
    except (pa.ArrowException, TypeError, ValueError):
        return None
    return None if found is None else pc.fill_null(found, True)


def instant(value: date) -> datetime:
    """A value as a time in UTC without a zone; a day's is its midnight."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def since(batch: Batch, column: str, value: Any) -> Batch:
    """The rows of a batch that have this value in a column, or a greater one."""
    import pyarrow as pa

    if column not in batch.columns or (mask := at_least(batch.columns[column], value)) is None or mask.false_count == 0:
        return batch
    at = pa.array([row for row, kept in enumerate(mask.to_pylist()) if kept], pa.int64())
    numbers = [batch.numbers[row] if batch.numbers is not None else batch.first + row for row in at.to_pylist()]
    return replace(batch, columns={name: one.take(at) for name, one in batch.columns.items()}, count=len(at), numbers=numbers)


def may_hold(source: Source, column: str, value: Any) -> bool:
    """Whether a file may have such rows, as far as its folders tell."""
    import pyarrow as pa

    told = dict(source.file.folders).get(column)
    mask = at_least(pa.array([told], pa.string()), value) if told is not None and column not in source.own else None
    return mask is None or bool(mask[0].as_py())


def kept_groups(held: Any, column: str, value: Any) -> set[int] | None:
    """The row groups of a Parquet file that may have such rows, as its footer tells; None if it does not."""
    import pyarrow as pa

    names = [held.metadata.schema.column(at).path for at in range(held.metadata.num_columns)]
    if column not in names:
        return None
    found = set()
    for group in range(held.num_row_groups):
        stats = held.metadata.row_group(group).column(names.index(column)).statistics
        try:
            most = pa.array([stats.max]) if stats is not None and stats.has_min_max and not stats.null_count else None
        except (pa.ArrowException, TypeError):
            most = None
        mask = at_least(most, value) if most is not None else None
        if mask is None or mask[0].as_py():
            found.add(group)
    return found


# ---------------------------------------------------------------------- together


def together(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts of the same columns and types as one batch, up to `BATCH_ROWS`."""
    held: list[Part] = []
    count = 0
    for part in parts:
        if held and (count + part.batch.count > BATCH_ROWS or not alike(held, part)):
            yield held
            held, count = [], 0
        if part.batch.count or part.batch.rejects:
            held.append(part)
            count += part.batch.count
    if held:
        yield held


def alike(held: Sequence[Part], part: Part) -> bool:
    """Whether a part's columns are those of others, of the same types or of none."""
    import pyarrow as pa

    new = part.batch.columns
    return all(
        one.batch.columns.keys() == new.keys()
        and all(
            column.type == new[name].type or pa.types.is_null(column.type) or pa.types.is_null(new[name].type)
            for name, column in one.batch.columns.items()
        )
        for one in held
    )


def columns_of(parts: Sequence[Mapping[str, "pa.Array"]]) -> dict[str, "pa.ChunkedArray"]:
    """The columns of several parts, one after the other."""
    import pyarrow as pa

    found = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        kind = next((one.type for one in arrays if not pa.types.is_null(one.type)), pa.null())
        found[name] = pa.chunked_array([one.cast(kind) for one in arrays], kind)
    return found
