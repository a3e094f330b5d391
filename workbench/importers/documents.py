"""MongoDB's documents as columns: Arrow arrays where a field has one type, lists where it has several.

A document is taken whole or not at all: one that holds what no column can (a regular expression, binary data, a date after the year 9999, text that is
not UTF-8) is rejected, if that stands in a field that is wanted.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from workbench.importers.origin import Reject
from workbench.tables.record import Field

if TYPE_CHECKING:
    import pyarrow as pa
    from bson.codec_options import CodecOptions

Document = dict[str, Any]
PLAIN = frozenset((str, float, int, bool, type(None)))
# What MongoDB calls its types, by the class that the driver decodes each to.
KINDS = {
    "str": "string",
    "float": "double",
    "int": "int",
    "Int64": "long",
    "bool": "bool",
    "datetime": "date",
    "DatetimeMS": "date",
    "ObjectId": "objectId",
    "Decimal128": "decimal",
    "dict": "object",
    "list": "array",
    "NoneType": "null",
    "bytes": "binData",
    "Binary": "binData",
    "UUID": "binData",
    "Regex": "regex",
    "Code": "javascript",
    "Timestamp": "timestamp",
    "MinKey": "minKey",
    "MaxKey": "maxKey",
    "DBRef": "dbPointer",
}
# The types that compare with a type: a range asks for values of these only.
NUMBERS = ("double", "int", "long", "decimal")
ALIKE = dict.fromkeys(NUMBERS, NUMBERS)


class Untakeable(Exception):
    """A value that no column holds; says what it is."""


def kind(value: object) -> str:
    """What MongoDB calls the type of a value."""
    name = type(value).__name__
    return KINDS.get(name, name)


def shares(kinds: Mapping[str, int]) -> str:
    """Types with their shares, the most frequent first: `double (99 %), string (1 %)`; one type alone without."""
    if len(kinds) <= 1:
        return next(iter(kinds), "null")
    total = sum(kinds.values())

    def share(count: int) -> str:
        whole = round(100 * count / total)
        return "< 1 %" if whole < 1 else "> 99 %" if whole > 99 else f"{whole} %"

    ranked = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{name} ({share(count)})" for name, count in ranked)


def found(documents: Iterable[Document]) -> dict[str, str]:
    """The fields of some documents, as they first appear, each with its types; `_id` first."""
    kinds: dict[str, Counter[str]] = {}
    for document in documents:
        for name, value in document.items():
            kinds.setdefault(name, Counter())[kind(value)] += 1
    if "_id" in kinds:
        kinds = {"_id": kinds.pop("_id"), **kinds}
    # A NULL tells no type beside others.
    return {name: shares({k: n for k, n in counts.items() if k != "null" or len(counts) == 1}) for name, counts in kinds.items()}


class Broken:
    """How many texts that are not UTF-8 were decoded so far: the driver says nothing of it otherwise, or gives up all that came with one."""

    NAME = "workbench.broken"

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, fault: UnicodeError) -> tuple[str | bytes, int]:
        self.count += 1
        return codecs.lookup_error("surrogateescape")(fault)


BROKEN = Broken()
codecs.register_error(Broken.NAME, BROKEN)


def options() -> "CodecOptions[Document]":
    """How documents are decoded: times naive, in UTC, as that is the fastest, and nothing that is odd in one ends the reading of others."""
    from bson.binary import UuidRepresentation
    from bson.codec_options import CodecOptions, DatetimeConversion

    return CodecOptions(
        uuid_representation=UuidRepresentation.STANDARD,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        unicode_decode_error_handler=Broken.NAME,
    )


def legible(value: Any) -> Any:
    """A value with all its text in characters that there are: bytes that are none are spelt out."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {legible(name): legible(one) for name, one in value.items()}
    return list(map(legible, value)) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """A value with all that it holds in Python's own types; raises `Untakeable` for what has none."""
    cls = type(value)
    if cls in PLAIN:
        return value
    if cls is datetime:
        return value.replace(tzinfo=UTC)
    if isinstance(value, dict):
        if cls is dict and PLAIN.issuperset(map(type, value.values())):
            return value
        return {name: one if type(one) in PLAIN else plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return value if PLAIN.issuperset(map(type, value)) else [plain(one) for one in value]
    match cls.__name__:
        case "Int64":
            return int(value)
        case "ObjectId" | "UUID":
            return str(value)
        case "Decimal128":
            return value.to_decimal()
        case "DatetimeMS":
            raise Untakeable(f"is a date outside the years 1 to 9999 ({int(value)} ms since 1970)")
    raise Untakeable(f"is of MongoDB's type {kind(value)}, which no column holds")


def size_of(value: Any) -> int:
    """About how many bytes a value takes as the server sends it."""
    if isinstance(value, dict):
        return 8 + sum(len(name) + 2 + size_of(one) for name, one in value.items())
    if isinstance(value, list):
        return 8 + sum(map(size_of, value))
    return 8 + (len(value) if isinstance(value, str | bytes) else 0)


def name_of(value: Any) -> str:
    """An `_id` as text: the digits of an ObjectId, else what it is."""
    if isinstance(value, str):
        return value
    if type(value).__name__ in ("ObjectId", "UUID", "Int64", "int", "Decimal128"):
        return str(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat()
    from bson import json_util

    return json_util.dumps(value, sort_keys=True)


def shown(document: Document) -> dict[str, Any]:
    """A document in JSON, for a file of rejects, as MongoDB's own tools write it."""
    import json

    from bson import json_util

    told: dict[str, Any] = legible(json.loads(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS)))
    return told


@dataclass
class Gathered:
    """Columns as they grow, chunk by chunk."""

    count: int = 0
    bytes: int = 0
    # As text in arrays: so many objects of Python's would be walked through again and again by its collector.
    ids: list[Any] = field(default_factory=list)
    chunks: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, columns: Mapping[str, Any], documents: Sequence[Document]) -> None:
        """Put a chunk behind the others. A column that is new was missing before, and one that is not in it is missing in it."""
        import pyarrow as pa

        for name, values in columns.items():
            if name not in self.chunks:
                self.chunks[name] = [pa.nulls(self.count)] if self.count else []
            self.chunks[name].append(values)
        for name in self.chunks.keys() - columns.keys():
            self.chunks[name].append(pa.nulls(len(documents)))
        self.count += len(documents)
        if documents:
            self.ids.append(columns["_id"] if "_id" in columns else column("_id", [one.get("_id") for one in documents], "VARCHAR"))

    def columns(self) -> dict[str, Any]:
        """Each column whole: an Arrow array if all its chunks have one type, else a list."""
        return {name: joined(chunks) for name, chunks in self.chunks.items()}


def joined(chunks: list[Any]) -> "pa.Array | list[Any]":
    """Chunks as one column."""
    import pyarrow as pa

    types = {None if isinstance(one, list) else one.type for one in chunks} - {pa.null()}
    if len(types) <= 1 and None not in types:
        whole = next(iter(types), pa.null())
        return pa.concat_arrays([one.cast(whole) if one.type != whole else one for one in chunks]) if chunks else pa.nulls(0)
    values: list[Any] = []
    for one in chunks:
        values.extend(one if isinstance(one, list) else one.to_pylist())
    return values


class Reading:
    """Documents of one collection to columns of those that are wanted, and of those that nobody knew of."""

    def __init__(self, table: str, known: Iterable[str], wanted: Mapping[str, Field]):
        self.table, self.wanted = table, wanted
        self.known = frozenset(known)
        self.rejects: list[Reject] = []
        # Fields that came though nobody knew of them, with the number of documents that have them.
        self.late: Counter[str] = Counter()
        self._broken = BROKEN.count

    def _reject(self, document: Document, reason: str) -> None:
        self.rejects.append(Reject(f"{self.table} _id {legible(name_of(document.get('_id')))}", reason, shown(document)))

    def _untakeable(self, document: Document) -> str:
        """Why a document cannot be taken, if it cannot, for what is wanted of it."""
        for name, ours in self.wanted.items():
            value = document.get(name)
            if self._broken != BROKEN.count and legible(value) != value:
                return f"{name} holds text that is not UTF-8"
            if type(value) in PLAIN or name == "_id" or (isinstance(value, bytes) and ours.type == "BLOB"):
                continue
            try:
                plain(value)
            except Untakeable as reason:
                return f"{name} {reason}"
        return ""

    def columns(self, documents: list[Document]) -> tuple[dict[str, Any], list[Document]]:
        """The columns of some documents, and the documents that are in them: without those that cannot be taken."""
        columns: dict[str, Any] = {}
        try:
            if self._broken != BROKEN.count:
                raise Untakeable  # noqa: TRY301
            columns = self._columns(documents)
        except Untakeable:
            kept = []
            for document in documents:
                if reason := self._untakeable(document):
                    self._reject(document, reason)
                else:
                    kept.append(document)
            documents = kept
            columns = self._columns(documents)
        return columns, documents

    def _columns(self, documents: list[Document]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        whole = True
        for name, ours in self.wanted.items():
            try:
                values = list(map(itemgetter(name), documents))
            except KeyError:
                whole = False
                values = [document.get(name) for document in documents]
            columns[name] = column(name, values, ours.type)
        # Documents that have all that is wanted, and no more fields than that, have none that nobody knew of.
        if whole and set(map(len, documents)) <= {len(columns.keys() | {"_id"})}:
            return columns
        for name in sorted(set[str]().union(*documents) - self.known - columns.keys()):
            columns[name] = late([document.get(name) for document in documents])
            self.late[name] += sum(name in document for document in documents)
        return columns


def late(values: list[Any]) -> "pa.Array | list[Any]":
    """The values of a field that nobody asked for by name, so that none is a reason to reject a document."""
    try:
        return column("", values, "")
    except Untakeable:
        return list(map(plain_or_not, values))


def plain_or_not(value: Any) -> Any:
    """A value as `plain` has it, or as the driver has it, which whoever takes it refuses then."""
    try:
        return plain(value)
    except Untakeable:
        return value


def column(name: str, values: list[Any], ours: str) -> "pa.Array | list[Any]":
    """The values of one field, as an Arrow array if they are of one type, else as they are, one by one; `ours` is the type that they go into.

    Raises `Untakeable` if no column holds one of them.
    """
    import pyarrow as pa

    kinds = {cls.__name__ for cls in set(map(type, values))} - {"NoneType"}
    if kinds == {"ObjectId"}:
        return pa.array([None if one is None else one.binary.hex() for one in values], pa.string())
    if name == "_id":
        return pa.array(values if kinds == {"str"} else list(map(name_of, values)), pa.string())
    if not kinds:
        return pa.nulls(len(values))
    try:
        if kinds == {"str"}:
            return pa.array(values, pa.string())
        if kinds == {"float"}:
            return pa.array(values, pa.float64())
        if kinds <= {"int", "Int64"}:
            return pa.array(values, pa.int64())
        # Numbers are written with a point or without, as they come; a double has them all, or Arrow refuses.
        if ours == "DOUBLE" and kinds <= {"int", "Int64", "float"}:
            return pa.array(values, pa.float64())
        if kinds == {"datetime"}:
            return pa.array(values, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
        if kinds == {"bool"}:
            return pa.array(values, pa.bool_())
        if kinds == {"bytes"} and ours == "BLOB":
            return pa.array(values, pa.binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        pass
    if ours == "BLOB":
        return [value if isinstance(value, bytes) else plain(value) for value in values]
    return list(map(plain, values))
