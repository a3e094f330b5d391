"""The rows of files in the order of a column: as they stand where that is in order, else sorted by DuckDB, which spills what memory does not hold."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from workbench.errors import LakeError
from workbench.importers.csv_files import Batch
from workbench.importers.file_rows import Part, Source, batches
from workbench.importers.origin import BATCH_ROWS
from workbench.tables import quote

if TYPE_CHECKING:
    import pyarrow as pa

# What sorting may take of memory.
MEMORY = "192MiB"
# Which file a row is of, and which row of it, while rows are sorted.
FILE, ROW = "\x01file", "\x01row"
LINES = "\x01line"


@dataclass(frozen=True)
class Sorted(Part):
    """Rows of several files: each with its own."""

    files: Sequence[int] = ()
    lines: Sequence[bool] = ()
    names: Sequence[str] = ()

    def where(self, row: int) -> str:
        """What a row of it is called."""
        assert self.batch.numbers is not None
        return f"{self.names[self.files[row]]} {'line' if self.lines[row] else 'row'} {self.batch.numbers[row]:,}"


def in_order(sources: Sequence[Source], column: str) -> bool:
    """Whether the rows of some files, one file after the other, stand in the order of a column already. Raises `BrokenText`, and OSError."""
    import pyarrow.compute as pc

    if any(column not in one.own or one.file.format == "csv" for one in sources) or len({one.columns[column] for one in sources}) > 1:
        return False
    last = None
    for source in sources:
        for batch in batches(source, [column]):
            told = batch.columns[column]
            if not batch.count:
                continue
            # What is not known is False to `all`, too.
            if told.null_count or (last is not None and pc.greater(last, told[0]).as_py()):
                return False
            if len(told) > 1 and not pc.all(pc.less_equal(told[:-1], told[1:])).as_py():
                return False
            last = told[-1]
    return True


def sorted_parts(parts: Iterable[Part], sources: Sequence[Source], order: str, columns: Sequence[str], scratch: Path) -> Iterator[Part]:
    """The rows of some parts in the order of a column; what is no row of them comes first. Raises `LakeError` where there is no room to sort them."""
    import duckdb
    import pyarrow as pa

    kinds = {name: unified([kind for one in sources if (kind := one.types.get(name)) is not None]) for name in columns}
    schema = pa.schema(
        [*((name, passed(kind)) for name, kind in kinds.items()), (FILE, pa.int32()), (ROW, pa.int64()), (LINES, pa.bool_())]
    )
    names: dict[str, int] = {}
    rejects: list[Part] = []

    def rows() -> Iterator[pa.RecordBatch]:
        for part in parts:
            batch = part.batch
            if batch.rejects:
                rejects.append(Part(part.shown, Batch({}, 0, batch.rejects)))
            told = [as_kind(batch.columns.get(name), kind, batch.count).cast(passed(kind)) for name, kind in kinds.items()]
            numbers = batch.numbers if batch.numbers is not None else range(batch.first, batch.first + batch.count)
            file = names.setdefault(part.shown, len(names))
            ours = [
                pa.array([file] * batch.count, pa.int32()),
                pa.array(numbers, pa.int64()),
                pa.array([batch.unit == "line"] * batch.count),
            ]
            yield pa.RecordBatch.from_arrays([*told, *ours], schema=schema)

    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="sorting-", dir=scratch))
    try:
        with duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(folder), "preserve_insertion_order": "false"}) as con:
            con.execute("SET TimeZone = 'UTC'; SET threads = 2; SET python_scan_all_frames = false")
            con.register("arrived", pa.RecordBatchReader.from_batches(schema, rows()))
            found = con.sql(f"FROM arrived ORDER BY {ordering(order, kinds[order])}, {quote(FILE)}, {quote(ROW)}")
            with found.to_arrow_reader(BATCH_ROWS) as reader:
                for batch in reader:
                    yield from rejects
                    rejects.clear()
                    arrays = {name: batch.column(name).cast(passed(kind)).cast(kind) for name, kind in kinds.items()}
                    files, numbers, lines = (batch.column(name).to_pylist() for name in (FILE, ROW, LINES))
                    made = Batch(arrays, batch.num_rows, numbers=numbers)
                    yield Sorted("", made, files=files, lines=lines, names=list(names))
        yield from rejects
    except duckdb.OutOfMemoryException as fault:
        raise LakeError(f"the rows cannot be sorted by {order} in {scratch}: {str(fault).splitlines()[0]} Make room there.") from fault
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ordering(column: str, kind: "pa.DataType") -> str:
    """How rows are ordered by a column: text by the times or numbers that it tells, if it does."""
    import pyarrow as pa

    name = quote(column)
    if not pa.types.is_string(kind):
        return name
    return f"try_cast({name} AS TIMESTAMPTZ) NULLS FIRST, try_cast({name} AS DOUBLE), {name}"


def unified(kinds: Sequence["pa.DataType"]) -> "pa.DataType":
    """A type that keeps the values of all these as they are: text, where no other does."""
    import pyarrow as pa

    some = [one for one in dict.fromkeys(kinds) if not pa.types.is_null(one)]
    if len(some) < 2:
        return some[0] if some else pa.string()
    if all(map(pa.types.is_signed_integer, some)):
        return pa.int64()
    if all(map(pa.types.is_floating, some)):
        return pa.float64()
    if all(pa.types.is_timestamp(one) for one in some) and len({one.tz for one in some}) == 1:
        return pa.timestamp("ns" if any(one.unit == "ns" for one in some) else "us", some[0].tz)
    return pa.string()


def passed(kind: "pa.DataType") -> "pa.DataType":
    """The type as which DuckDB keeps values whole: it cuts nanoseconds of times with a zone."""
    import pyarrow as pa

    return pa.int64() if pa.types.is_timestamp(kind) and kind.unit == "ns" else kind


def as_kind(column: "pa.Array | None", kind: "pa.DataType", count: int) -> "pa.Array":
    """A column as another type, which keeps its values; of nothing, where a file lacks it."""
    import json

    import pyarrow as pa

    if column is None:
        return pa.nulls(count, kind)
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # What is nested has no text of Arrow's.
        told = [
            None if one is None else json.dumps(one, default=str) if isinstance(one, (Mapping, list)) else str(one)
            for one in column.to_pylist()
        ]
        return pa.array(told, pa.string())
