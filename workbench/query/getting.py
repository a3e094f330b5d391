"""One row of a documented table by its key: out of the journal's rows, or of the one group of a file's rows that may hold it.

Files are asked by what their footers say of each group's keys. Those that were open, and the groups that were read last, are kept: no file ever changes.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from workbench.errors import LakeError, UsageError
from workbench.lake.pending import inside
from workbench.lake.remote.where import here, readable
from workbench.lake.stored import typed
from workbench.tables import quote
from workbench.tables.record import Record

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from duckdb.sqltypes import DuckDBPyType

    from workbench.query.catalog import Catalog
    from workbench.query.laid import Laid

# So many files are kept open, and so many groups of rows of them.
FILES, GROUPS = 64, 4

Key = tuple[Any, ...]
Shape = Callable[[Any], Any]


# ---------------------------------------------------------------------- a session's


class Getting:
    """What one session keeps to get rows."""

    def __init__(self, catalog: "Catalog"):
        self._catalog = catalog
        self._lock = threading.Lock()
        self._files: OrderedDict[str, File] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._shapes: dict[str, Shape] = {}

    def row(self, record: Record, told: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row that people wrote with a key, whose values are given as they are kept, with the values that `sql` gives; None if there is none.

        Of a table that nobody writes to, the view's. Raises `UsageError` for a table without key.
        """
        if not record.key:
            raise UsageError(f"{record.full} has no key to get a row by; ask for its rows with sql.")
        key = tuple(told[name] for name in record.key)
        if not record.takes_rows:
            return self._computed(record, key)
        laid = self._catalog.records.shown(record.full)
        if laid.rows and (found := self._asked(record, laid.table, key)):
            return found
        if found := self._of_files(record, laid.files, key):
            return found
        if laid.cleared or not laid.paths or (laid.hidden and self._is_hidden(record, laid, key)):
            return None
        return self._of_files(record, laid.paths, key)

    def _computed(self, record: Record, key: Key) -> dict[str, Any] | None:
        """The row of a view that is computed."""
        named = {f"k{n}": value for n, value in enumerate(key)}
        same = " AND ".join(f"{quote(name)} = $k{n}::{record[name].type}" for n, name in enumerate(record.key))
        found = self._catalog.ask(f"SELECT * FROM {quote(record.schema)}.{quote(record.name)} WHERE {same}", **named)
        rows = found.fetchall() if found is not None else []
        return dict(zip((one.name for one in record.columns), rows[0], strict=True)) if rows else None

    def _asked(self, record: Record, relation: str, key: Key) -> dict[str, Any] | None:
        """The row of a relation of DuckDB's."""
        columns = ", ".join(f"{quote(one.name)}::{one.type}" for one in record.columns)
        found = self._ask(f"SELECT {columns} FROM {relation} WHERE {condition(record)}", key)
        return dict(zip((one.name for one in record.columns), found[0], strict=True)) if found else None

    def _is_hidden(self, record: Record, laid: "Laid", key: Key) -> bool:
        return bool(self._ask(f"SELECT 1 FROM {laid.keys} WHERE {condition(record)}", key))

    def _ask(self, query: str, key: Key) -> list[tuple[Any, ...]]:
        with closing(self._catalog.documented.con.cursor()) as cursor:
            return cursor.execute(query, list(key)).fetchall()

    def _of_files(self, record: Record, paths: Sequence[str], key: Key) -> dict[str, Any] | None:
        """The row that one of some files has; later files come last."""
        with self._lock:
            for path in reversed(paths):
                file = self._file(path, record)
                for group in file.candidates(key):
                    rows = self._group(file, group)
                    if (n := place(rows, record.key, key)) >= 0:
                        return self._shaped(record, rows.slice(n, 1))
        return None

    def _file(self, path: str, record: Record) -> "File":
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = File(here(self._catalog.lake.root, path), record)
            while len(self._files) > FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return file

    def _group(self, file: "File", group: int) -> "pa.Table":
        at = file.path, group
        rows = self._groups.get(at)
        if rows is None:
            rows = self._groups[at] = file.read(group)
            while len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(at)
        return rows

    def _shaped(self, record: Record, rows: "pa.Table") -> dict[str, Any]:
        """A row of a file as DuckDB gives it: times in the session's zone, a MAP as a dict."""
        zone = self._catalog.zone
        [row] = rows.to_pylist()
        made = {}
        for one in record.columns:
            value = row.get(one.name)
            shaped = None if value is None else self._shape(one.type, zone)
            made[one.name] = shaped(value) if shaped else value
        return made

    def _shape(self, kind: str, zone: str) -> Shape | None:
        at = f"{kind} {zone}"
        if at not in self._shapes:
            self._shapes[at] = shape(typed(kind), zone) or (lambda value: value)
        return self._shapes[at]


def condition(record: Record) -> str:
    """Which row is the one of a key, whose values are parameters."""
    return " AND ".join(f"{quote(name)} = ?::{record[name].type}" for name in record.key)


# ---------------------------------------------------------------------- files


@dataclass
class File:
    """A file of a table's rows, open."""

    path: str
    record: Record

    @cached_property
    def _open(self) -> "pq.ParquetFile":
        import pyarrow.parquet as pq

        try:
            meta = pq.read_metadata(self.path)
            columns = [meta.schema.column(n) for n in range(meta.num_columns)]
            # Texts that repeat are read as numbers of them, which takes half the time.
            texts = [one.path for one in columns if one.physical_type == "BYTE_ARRAY"]
            return pq.ParquetFile(self.path, metadata=meta, memory_map=True, pre_buffer=False, read_dictionary=texts)
        except OSError as fault:
            raise LakeError(
                f"{readable(self.path)} cannot be read ({fault}), and nothing was changed. `workbench verify` says what mends it."
            ) from fault

    @cached_property
    def _spans(self) -> list[list[tuple[Any, Any] | None]]:
        """Of each group the least and greatest of each column of the key; None where that is not known."""
        meta = self._open.metadata
        at = {meta.schema.column(n).path: n for n in range(meta.num_columns)}
        groups = [meta.row_group(n) for n in range(meta.num_row_groups)]
        return [[span(group, at.get(name)) for name in self.record.key] for group in groups]

    def candidates(self, key: Key) -> Iterator[int]:
        """The groups that may hold a key."""
        for group, spans in enumerate(self._spans):
            if all(one is None or one[0] <= value <= one[1] for one, value in zip(spans, key, strict=True)):
                yield group

    def read(self, group: int) -> "pa.Table":
        """The rows of a group."""
        return self._open.read_row_group(group)


def span(group: "pq.RowGroupMetaData", column: int | None) -> tuple[Any, Any] | None:
    """The least and greatest value of a column in a group, if the file's footer tells."""
    told = group.column(column).statistics if column is not None else None
    if told is None or not told.has_min_max:
        return None
    return told.min, told.max


def place(rows: "pa.Table", names: Sequence[str], key: Key) -> int:
    """Where the row of a key stands; -1 if it does not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = None
    for name, value in zip(names, key, strict=True):
        column = rows[name]
        same = pc.equal(column, pa.scalar(value, column.type.value_type if pa.types.is_dictionary(column.type) else column.type))
        found = same if found is None else pc.and_(found, same)
    return int(pc.index(found, True).as_py())


def shape(kind: "DuckDBPyType", zone: str) -> Shape | None:
    """What makes a value of DuckDB's of one of Arrow's; None where they are the same."""
    match kind.id:
        case "uuid":
            return UUID
        case "timestamp with time zone":
            return in_zone(zone)
        case "list":
            each = shape(inside(kind)["child"], zone)
            return each and (lambda value: [None if one is None else each(one) for one in value])
        case "struct":
            fields = {name: told for name, one in inside(kind).items() if (told := shape(one, zone))}
            return lambda value: {name: fields[name](one) if name in fields and one is not None else one for name, one in value.items()}
        case "map":
            of = inside(kind)
            key, value_of = shape(of["key"], zone) or same, shape(of["value"], zone) or same
            return lambda value: {key(one): None if held is None else value_of(held) for one, held in value}
    return None


def same(value: Any) -> Any:
    """The value itself."""
    return value


def in_zone(zone: str) -> Shape:
    """What moves a time into a zone, as DuckDB does."""
    import pytz  # type: ignore[import-untyped]

    there = pytz.timezone(zone)

    def moved(value: Any) -> Any:
        # The ends of the calendar have no time in other zones.
        with suppress(OverflowError):
            return value.astimezone(there)
        return value

    return moved
