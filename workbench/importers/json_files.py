"""JSON files as an origin: a folder of them, or one, as a bot kept its records before it had a database.

A file's name is its table's: `signals.json`, `trades.jsonl`. It holds a list of records, records line by line, or an object: of lists by the names of
tables, or of records by what tells them apart (symbol, url, id), which fills the column for it where records lack it. An object of plain values is
one record, or, in a table of values by name as `bot_status`, a record each.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import SourceError, UsageError
from workbench.importers.json_text import Item, Layout, NoJson, items, layout
from workbench.importers.origin import BATCH_ROWS, Arrived, Asked, Column, Held, Origin, Reject
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Field, Record

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".json", ".jsonl", ".ndjson")
# Characters of a file that make a batch, if its rows are that large.
BATCH_CHARS = 32_000_000
# What a list of records is called in an object that holds nothing else but remarks on it.
LISTS = ("data", "rows", "records", "items", "results", "entries")
REMARKS = ("count", "total", "version", "updated", "updated_at", "last_updated", "generated_at", "exported_at", "timestamp")


@dataclass(frozen=True)
class Row:
    """A record of a file, and its place there; `fault` says why a value is none."""

    where: str
    values: dict[str, Any]
    size: int
    fault: str = ""
    raw: str = ""


@dataclass
class File:
    """A file, how it is laid out, and what was seen in it: the tables of an object's lists, and whether it is one record."""

    path: Path
    how: Layout
    keyed: set[str] = field(default_factory=set)
    single: bool = False
    bare: bool = False


@dataclass
class Seen:
    """What was seen of a table: its files, its columns and the kinds of their values, the number of its rows, and the column for keys of objects."""

    files: list[File] = field(default_factory=list)
    kinds: dict[str, set[str]] = field(default_factory=dict)
    rows: int = 0
    key: str = ""


class JsonFiles(Origin):
    """A folder of JSON files, or one file; gzipped ones, too. All of a file is read once to know its columns, and again for its rows.

    Remarks beside the lists of an object, as a count or the time of a backup, are no rows, and are left out.
    """

    kind = "json"

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser().absolute()
        self.label = f"json:{self.path}"
        if not self.path.exists():
            raise UsageError(f"{self.path} is not there; nothing was imported. Name a JSON file, or the folder that holds some.")
        found = sorted(one for one in self.path.iterdir() if one.is_file() and called(one)[1]) if self.path.is_dir() else [self.path]
        if not found:
            raise UsageError(f"{self.path} holds no {', '.join(SUFFIXES)} file; nothing was imported. Name the folder that does.")
        self._paths = found
        self._seen: dict[str, Seen] | None = None
        self._faults: list[Held] = []
        # Where the rows of the last batches stand, by table and the number of the first. Whoever takes them in may be some behind.
        self._places: list[tuple[str, int, list[str]]] = []

    def __repr__(self) -> str:
        return f"<JsonFiles at {self.path}>"

    def close(self) -> None:
        """Nothing is held open between batches."""

    # ---------------------------------------------------------------------- what there is

    def tables(self) -> list[Held]:
        """The tables, and files that are no JSON with what is wrong with them."""
        held = [
            Held(name, tuple(Column(one, " or ".join(sorted(kinds))) for one, kinds in seen.kinds.items()), seen.rows)
            for name, seen in self._all().items()
        ]
        return sorted([*held, *self._faults], key=lambda one: one.name)

    def _all(self) -> dict[str, Seen]:
        """What all files hold, which is looked at once."""
        if self._seen is None:
            self._seen, self._faults = {}, []
            for path in self._paths:
                name = called(path)[0]
                try:
                    file = File(path, layout(path))
                    look(file, name)
                    self._learn(file, name)
                except NoJson as fault:
                    self._faults.append(Held(name, (), fault=f"{path.name} {fault}; nothing of it was imported."))
                except OSError as fault:
                    self._faults.append(
                        Held(name, (), fault=f"{path.name} cannot be read: {fault.strerror or fault}; nothing of it was imported.")
                    )
        return self._seen

    def _learn(self, file: File, name: str) -> None:
        """What tables a file holds, and their columns."""
        assert self._seen is not None
        here: dict[str, dict[str, set[str]]] = {} if file.how == "object" and file.keyed else {name: {}}
        counts: dict[str, int] = {}
        for table, row in rows(file, name, ""):
            kinds = here.setdefault(table, {})
            counts[table] = counts.get(table, 0) + 1
            for column, value in row.values.items():
                kinds.setdefault(column, set()).add(kind(value))
        for table, kinds in here.items():
            seen = self._seen.setdefault(table, Seen())
            seen.files.append(file)
            seen.rows += counts.get(table, 0)
            keys = kinds.pop("", set())
            for column, told in kinds.items():
                seen.kinds.setdefault(column, set()).update(told)
            if keys and (column := keyed_by(table, seen.kinds)):
                seen.key = seen.key or column
                seen.kinds.setdefault(column, set()).add("text")

    def ordered(self, table: Held, column: str) -> bool:  # noqa: ARG002
        """Never: a file is in whatever order it was written in."""
        return False

    def where(self, table: Held, number: int) -> str:
        """The file and the place in it, of a row of the last batches."""
        for name, first, places in reversed(self._places):
            if name == table.name and first <= number < first + len(places):
                return places[number - first]
        return super().where(table, number)

    # ---------------------------------------------------------------------- rows

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        """The rows. `since` spares nothing, as a file has to be read whole; rows that are to come in an order are held in memory to be sorted."""
        seen = self._all().get(asked.table.name)
        if seen is None:
            raise UsageError(
                f"{asked.table.name} is no table of {self.path}; nothing of it was imported. It holds {', '.join(self._all())}."
            )
        found = self._rows(asked.table.name, seen)
        if asked.order:
            found = iter(sorted(found, key=lambda row: rank(row.values.get(asked.order))))
        given, batch = 0, Batch(asked.columns)
        for row in found:
            batch.add(row)
            if batch.count + len(batch.rejects) == BATCH_ROWS or batch.size > BATCH_CHARS:
                yield self._arrived(asked, batch, given)
                given, batch = given + batch.count, Batch(asked.columns)
        if batch.count or batch.rejects:
            yield self._arrived(asked, batch, given)

    def _rows(self, name: str, seen: Seen) -> Iterator[Row]:
        """A table's rows, of all its files."""
        for file in seen.files:
            try:
                yield from (row for table, row in rows(file, called(file.path)[0], seen.key) if table == name)
            except (OSError, NoJson) as fault:
                raise SourceError(f"{file.path} cannot be read any more: {fault}; the rest of {name} was not imported.") from fault

    def _arrived(self, asked: Asked, batch: "Batch", given: int) -> Arrived:
        """A batch's rows, in columns."""
        self._places = [*self._places[-5:], (asked.table.name, given, batch.places)]
        return Arrived(batch.count, {name: column(values, asked.columns[name]) for name, values in batch.values.items()}, batch.rejects)


class Batch:
    """Rows that go on together: the values of each column, the places of the rows, and those that are none."""

    def __init__(self, columns: Iterable[str]):
        self.values: dict[str, list[Any]] = {name: [] for name in columns}
        self.places: list[str] = []
        self.rejects: list[Reject] = []
        self.size = 0

    @property
    def count(self) -> int:
        """The number of its rows."""
        return len(self.places)

    def add(self, row: Row) -> None:
        """Take a row."""
        self.size += row.size
        if row.fault:
            told = plain(row.values) if row.values else {"text": row.raw} if row.raw else None
            self.rejects.append(Reject(row.where, row.fault, told))
            return
        self.places.append(row.where)
        for name, values in self.values.items():
            values.append(row.values.get(name))


def called(path: Path) -> tuple[str, str]:
    """The name of a file's table, and its suffix; an empty one if it is not of JSON's."""
    name = path.name.removesuffix(".gz")
    suffix = next((one for one in SUFFIXES if name.lower().endswith(one)), "")
    return name[: len(name) - len(suffix)], suffix


def look(file: File, name: str) -> None:
    """See what an object is: lists by the names of tables, one record, or values by name. Raises `NoJson`, `OSError`."""
    if file.how != "object":
        return
    if values_by_name(name):
        file.bare = True
        return
    columns = {flat(column) for record in documented(name) for column in record.names}
    listed: set[str] = set()
    told, objects = False, False
    for item in items(file.path, file.how):
        if item.key is None or item.reason:
            continue
        if item.listed:
            listed |= {item.key} if isinstance(item.value, dict) else set()
            told = told or flat(item.key) in columns or not columns
        elif isinstance(item.value, dict):
            # A backup of several tables may have any of them as an object, too.
            file.keyed |= {item.key} if documented(item.key) and not columns else set()
            objects = objects or flat(item.key) not in columns
        else:
            told = told or flat(item.key) in columns or not columns
    # Lists are of tables, if they are named after some, or else the file after none.
    file.keyed |= {one for one in listed if documented(one)} or (
        {one for one in listed if one.lower() not in LISTS} if not columns else set()
    )
    file.single = told and not objects and not file.keyed and not listed & set(LISTS)


def rows(file: File, name: str, key: str) -> Iterator[tuple[str, Row]]:
    """The records of a file, each with its table. `key` is the column for a record's name in its object; empty for none that has a name yet."""
    read = items(file.path, file.how, whole=file.single or file.bare)
    if file.single:
        yield name, single(file, list(read))
        return
    place = file.path.name
    for item in read:
        where = f"{place} {item.where}"
        if item.reason:
            yield (item.key if item.key in file.keyed and item.key else name), Row(where, {}, item.size, item.reason, item.raw)
        elif item.key in file.keyed and item.key and item.listed:
            yield item.key, record(item, where, None, "")
        elif item.key in file.keyed and item.key:
            inner = item.value.items() if isinstance(item.value, dict) else ()
            for one, value in inner:
                made = Item(f"{item.where}.{one}", value, one, size=item.size // max(len(item.value), 1))
                yield item.key, record(made, f"{where}.{one}", one, key, bare=values_by_name(item.key))
        elif file.keyed or (remark(item) and not file.bare):
            continue
        else:
            wrapped = item.listed and (item.key or "").lower() in (*LISTS, name.lower())
            yield name, record(item, where, None if wrapped else item.key, key, bare=file.bare)


def remark(item: Item) -> bool:
    """Whether a value only says something of what it stands beside."""
    return item.key is not None and item.key.lower() in REMARKS and not item.listed and not isinstance(item.value, dict)


def single(file: File, found: list[Item]) -> Row:
    """The one record that a file is."""
    faults = [f"{item.where}: {item.reason}" for item in found if item.reason]
    values = {item.key: item.value for item in found if item.key is not None and not item.reason}
    return Row(file.path.name, values, sum(item.size for item in found), "; ".join(faults))


def record(item: Item, where: str, name: str | None, key: str, *, bare: bool = False) -> Row:
    """A value as a record, which it may be only as an object. Its `name` goes into the column `key`, unless the record has that itself."""
    value = item.value
    if bare and not (isinstance(value, dict) and any(flat(one) == "value" for one in value)):
        value = {"value": value}
    if not isinstance(value, dict):
        return Row(where, {}, item.size, f"it is no object, but {kind(value)}: {json.dumps(plain(value))[:60]}", item.raw)
    if "" in value:
        return Row(where, value, item.size, "it has a value without a name")
    if name is not None and not (key and any(flat(one) == flat(key) and value[one] is not None for one in value)):
        value = {**value, key: name}
    return Row(where, value, item.size, raw=item.raw)


def documented(name: str) -> list[Record]:
    """The documented tables of that name, with a schema or without."""
    low = name.lower()
    return [one for one in RECORDS.values() if low in (one.name, one.full)]


def values_by_name(name: str) -> bool:
    """Whether a table has any value under a name, so that an object of values is its rows."""
    return any(len(one.key) == 1 and any(c.name == "value" and c.type == "JSON" for c in one.columns) for one in documented(name))


def keyed_by(table: str, kinds: Iterable[str]) -> str:
    """The column of a table's key that records lack, of the documented table that has most of their columns."""
    have = {flat(one) for one in kinds}
    best = max(documented(table), key=lambda one: len(have & set(map(flat, one.names))), default=None)
    return next((one for one in best.key if flat(one) not in have), best.key[0] if best.key else "") if best else "key"


def flat(name: str) -> str:
    """A name without what camelCase and snake_case differ in."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def kind(value: Any) -> str:
    """What JSON calls a value."""
    told = {type(None): "null", bool: "boolean", str: "text", dict: "object", list: "list"}
    return told.get(type(value), "number")


def rank(value: Any) -> tuple[int, Any]:
    """What sorts values of any kind; nothing comes first."""
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int | Decimal) else (2, str(value))


# ---------------------------------------------------------------------- values


def column(values: list[Any], into: Field) -> "pa.Array | list[Any]":
    """A column, as an array where all of it is of one type and stays what it is."""
    import pyarrow as pa

    if into.type == "JSON":
        return [None if one is None else as_json(one) for one in values]
    types = {type(one) for one in values} - {type(None)}
    try:
        if types == {str}:
            return pa.array(values, pa.string())
        if types == {int}:
            return pa.array(values, pa.int64())
        if types == {bool}:
            return pa.array(values, pa.bool_())
        if types <= {int, Decimal} and Decimal in types and into.type == "DOUBLE":
            near = [None if one is None else float(one) for one in values]
            if all(one is None or Decimal(repr(got)) == one for one, got in zip(values, near, strict=True)):
                return pa.array(near, pa.float64())
    except (OverflowError, ValueError):
        # Text with half a character, and numbers that 64 bits do not keep.
        return values
    return values


def as_json(value: Any) -> str:
    """A value as JSON text. A text that is an object or a list in JSON is taken for that: bots write such into their files."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return json.dumps(value, ensure_ascii=False)
        return value
    return dumped(value)


def dumped(value: Any) -> str:
    """JSON of a value whose numbers have all their digits."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {dumped(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumped, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value with numbers as text where JSON's writer has no word for them."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Decimal) else value
