"""Rows in the journal: the JSON that keeps one, and what a run of operations makes of a table.

A row's JSON is an object of all its columns, in the form in which files keep them: a DECIMAL as text, dates and times in ISO form, JSON as a text of its
own, a MAP as an object, whose keys are texts. DuckDB reads it back with the declared types, exactly.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.errors import LakeError
from workbench.lake.operations import Operation
from workbench.lake.stored import stored, typed
from workbench.tables import quote
from workbench.tables.record import Record

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

Shape = Callable[[Any], Any]


@dataclass(frozen=True)
class State:
    """What operations make of a table, laid over its base files.

    `rows` are the rows that they leave, in the order in which they came, but for those of `files`, whose `filed` rows are all left. `hidden` are the
    keys whose rows in base files are gone, None if there are none; `cleared` says that all of these rows are gone.
    """

    rows: "pa.Table | None" = None
    files: tuple[str, ...] = ()
    hidden: "pa.Table | None" = None
    cleared: bool = False
    filed: int = 0


# ---------------------------------------------------------------------- one row


def encode(record: Record, row: Mapping[str, Any]) -> str:
    """A row's JSON, of its values as they are kept; columns that it lacks are NULL."""
    return encoder(record)(row)


def encoder(record: Record) -> Callable[[Mapping[str, Any]], str]:
    """What gives the JSON of a table's rows."""
    held = _ENCODERS.get(id(record))
    if held is None:
        held = _ENCODERS[id(record)] = record, _encoder(record)
    return held[1]


# By identity, which costs nothing to compare; the record stands beside it, so that no other takes its number.
_ENCODERS: dict[int, tuple[Record, Callable[[Mapping[str, Any]], str]]] = {}


def _encoder(record: Record) -> Callable[[Mapping[str, Any]], str]:
    shapes = [(one.name, shape(typed(one.type))) for one in record.columns]
    text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def encoded(row: Mapping[str, Any]) -> str:
        get = row.get
        return text({name: value if (value := get(name)) is None or shaped is None else shaped(value) for name, shaped in shapes})

    return encoded


def shape(kind: "DuckDBPyType") -> Shape | None:
    """What makes of a value of a type what JSON has for it; None where that is the value itself."""
    match kind.id:
        case "decimal":
            return decimal_text
        case "date":
            return date.isoformat
        case "timestamp with time zone":
            return instant_text
        case "uuid":
            return str
        case "list":
            inner = shape(inside(kind)["child"])
            return inner and _every(inner)
        case "struct":
            return _fields({name: shape(one) for name, one in inside(kind).items()})
        case "map":
            of = inside(kind)
            return _pairs(shape(of["key"]) or (None if of["key"].id == "varchar" else json.dumps), shape(of["value"]))
    return None


def decimal_text(value: Decimal) -> str:
    """A decimal's digits, without zeros at its end: 1.50 and 1.5 are one value."""
    told = format(value, "f")
    return (told.rstrip("0").rstrip(".") if "." in told else told) if value else "0"


def instant_text(value: datetime) -> str:
    """A time in UTC, to the microsecond."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _every(inner: Shape) -> Shape:
    return lambda value: [None if one is None else inner(one) for one in value]


def _fields(inner: Mapping[str, Shape | None]) -> Shape | None:
    if not any(inner.values()):
        return None
    return lambda value: {
        name: one if (one := value.get(name)) is None or shaped is None else shaped(one) for name, shaped in inner.items()
    }


def _pairs(key: Shape | None, each: Shape | None) -> Shape:
    def of(pairs: "Mapping[Any, Any] | Iterable[tuple[Any, Any]]") -> Any:
        told = pairs.items() if isinstance(pairs, Mapping) else pairs
        return {key(one) if key else one: value if value is None or each is None else each(value) for one, value in told}

    return of


# ---------------------------------------------------------------------- a table's operations


def decoded(record: Record, operations: Sequence[Operation], root: Path) -> State:
    """What operations make of a table, which come in their order; `root` is the lake's. Raises `LakeError` for what is no row of it."""
    try:
        return state(record, operations, root)
    except (duckdb.Error, ValueError, KeyError, TypeError) as fault:
        raise LakeError(
            f"{root / 'journal' / 'records.db'} holds an operation on {record.full} that cannot be read ({str(fault).splitlines()[0]}); nothing was "
            "done. `workbench verify` says more; bring the journal back from a backup."
        ) from fault


def state(record: Record, operations: Sequence[Operation], root: Path) -> State:
    """What operations make of a table."""
    emptied = max((n for n, one in enumerate(operations) if one.kind == "clear"), default=-1)
    cleared = emptied >= 0
    rest = operations[emptied + 1 :]
    alone = [one for one in rest if one.kind in ("put", "delete")]
    live, hidden = singles(alone)
    with reading() as con:
        parsed(con, record, live)
        if len(alone) < len(rest):
            return with_files(con, record, rest, root, cleared=cleared, live=bool(live))
        rows = ordered(con, record, "SELECT * FROM __puts") if live else None
        return State(rows, (), keys_of(con, record, [] if cleared else hidden), cleared)


def singles(operations: Iterable[Operation]) -> tuple[list[Operation], list[str]]:
    """The puts that remain of single puts and deletes, and the keys whose rows of before are hidden."""
    live: dict[object, Operation] = {}
    hidden: dict[str, None] = {}
    for one in operations:
        if one.key is None:
            live[one.seq] = one
            continue
        # The newest row of a key stands where it came.
        live.pop(one.key, None)
        if one.kind == "put":
            live[one.key] = one
        if one.replaces or one.kind == "delete":
            hidden[one.key] = None
    return list(live.values()), list(hidden)


def parsed(con: duckdb.DuckDBPyConnection, record: Record, puts: Sequence[Operation]) -> None:
    """Have the rows of puts stand, typed, in a table `__puts`, each with its `__seq` and `__n`."""
    import pyarrow as pa

    if not puts:
        return
    query = f"CREATE TEMP TABLE __puts AS SELECT unnest(from_json_strict(body, {form(record)})), __seq, 0::BIGINT AS __n FROM __bodies"
    numbers = pa.array([one.seq for one in puts], pa.int64())
    bodies = [one.body or "" for one in puts]
    con.register("__bodies", pa.table({"body": pa.array(bodies, pa.string()), "__seq": numbers}))
    try:
        con.execute(query)
    except duckdb.InvalidInputException as fault:
        # A row that was written before its table got another column lacks that one.
        lacking = {one.name: None for one in record.columns}
        try:
            bodies = [json.dumps({**lacking, **json.loads(body)}, ensure_ascii=False) for body in bodies]
        except (ValueError, TypeError):
            raise fault from None
        con.register("__bodies", pa.table({"body": pa.array(bodies, pa.string()), "__seq": numbers}))
        con.execute(query)


def ordered(con: duckdb.DuckDBPyConnection, record: Record, query: str) -> "pa.Table | None":
    """The rows of a query in the order in which they were written; None if there are none."""
    rows = con.sql(f"SELECT {', '.join(quote(one.name) for one in record.columns)} FROM ({query}) ORDER BY __seq, __n").to_arrow_table()
    return rows.cast(schema(record)) if len(rows) else None


def keys_of(con: duckdb.DuckDBPyConnection, record: Record, keys: Sequence[str]) -> "pa.Table | None":
    """The columns of a key, out of texts of keys; None of none."""
    import pyarrow as pa

    if not keys:
        return None
    con.register("__keys", pa.table({"key": pa.array(keys, pa.string())}))
    return con.sql(f"SELECT {', '.join(key_columns(record))} FROM __keys").to_arrow_table().cast(key_schema(record))


def with_files(
    con: duckdb.DuckDBPyConnection, record: Record, operations: Sequence[Operation], root: Path, *, cleared: bool, live: bool
) -> State:
    """What operations make of a table where rows, or keys of deleted ones, stand in files."""
    filed = [one for one in operations if one.kind == "puts"]
    if not record.key:
        rows = ordered(con, record, "SELECT * FROM __puts") if live else None
        return State(rows, tuple(path_of(root, one) for one in filed), None, cleared, sum(one.count for one in filed))
    hides(con, record, operations, root)
    names, left, parts = ", ".join(map(quote, record.key)), [], []
    # Where nothing replaces anything, all rows of files are left: they are opened only, so that one that is gone is told here.
    hiding = bool(con.execute("SELECT 1 FROM __hides LIMIT 1").fetchall())
    for one in filed:
        read, later = scan(path_of(root, one)), f"(FROM __hides WHERE __seq > {one.seq})"
        hidden_by = f"SEMI JOIN {later} USING ({names}) LIMIT 1" if hiding else "LIMIT 0"
        if con.execute(f"SELECT 1 FROM {read} {hidden_by}").fetchall():
            parts.append(
                f"SELECT *, {one.seq} AS __seq FROM (SELECT * RENAME (file_row_number AS __n) FROM {read}) ANTI JOIN {later} USING ({names})"
            )
        else:
            left.append(one)
    if live:
        same = " AND ".join(f"__hides.{quote(name)} = __puts.{quote(name)}" for name in record.key)
        parts.append(f"SELECT * FROM __puts WHERE NOT EXISTS (FROM __hides WHERE __hides.__seq > __puts.__seq AND {same})")
    rows = ordered(con, record, " UNION ALL BY NAME ".join(parts)) if parts else None
    hidden = con.sql(f"SELECT {names} FROM __hides").to_arrow_table().cast(key_schema(record))
    return State(
        rows,
        tuple(path_of(root, one) for one in left),
        hidden if len(hidden) and not cleared else None,
        cleared,
        sum(one.count for one in left),
    )


def hides(con: duckdb.DuckDBPyConnection, record: Record, operations: Sequence[Operation], root: Path) -> None:
    """Have a table `__hides` tell when the rows of a key were last hidden: those that were written before are gone."""
    import pyarrow as pa

    alone = [one for one in operations if one.kind == "delete" or (one.kind == "put" and one.replaces)]
    columns = {"key": pa.array([one.key for one in alone], pa.string()), "__seq": pa.array([one.seq for one in alone], pa.int64())}
    con.register("__keys", pa.table(columns))
    names = ", ".join(map(quote, record.key))
    files = [one for one in operations if one.kind == "deletes" or (one.kind == "puts" and one.replaces)]
    parts = [f"SELECT {', '.join(key_columns(record))}, __seq FROM __keys"]
    parts += [f"SELECT {names}, {one.seq} FROM {scan(path_of(root, one))}" for one in files]
    con.execute(f"CREATE TEMP TABLE __hides AS SELECT {names}, max(__seq) AS __seq FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL")


def path_of(root: Path, operation: Operation) -> str:
    """The file that an operation names, wherever the lake stands by now."""
    return str(root / "journal" / "rows" / Path(operation.body or "").name)


def scan(path: str) -> str:
    """The rows of a Parquet file."""
    told = path.replace("'", "''")
    return f"read_parquet(['{told}'], hive_partitioning = false, file_row_number = true)"


# ---------------------------------------------------------------------- types


def schema(record: Record) -> "pa.Schema":
    """A table's columns as files keep them."""
    import pyarrow as pa

    return pa.schema([(one.name, stored(typed(one.type))) for one in record.columns])


def key_schema(record: Record) -> "pa.Schema":
    """The columns of a table's key, as files keep them."""
    import pyarrow as pa

    return pa.schema([(name, stored(typed(record[name].type))) for name in record.key])


def key_columns(record: Record) -> list[str]:
    """The columns of a key out of its text, in a column `key`."""
    return [f"json_extract_string(key, '$[{n}]')::{kept(typed(record[name].type))} AS {quote(name)}" for n, name in enumerate(record.key)]


def form(record: Record) -> str:
    """What DuckDB's `from_json` reads a table's rows by, as a literal."""
    told = json.dumps({one.name: kept(typed(one.type)) for one in record.columns}).replace("'", "''")
    return f"'{told}'"


def kept(kind: "DuckDBPyType") -> str:
    """A type's name in DuckDB, as files keep its values."""
    inner = inside(kind) if kind.id in ("list", "struct", "map") else {}
    match kind.id:
        case "uuid" | "varchar":
            return "VARCHAR"
        case "list":
            return f"{kept(inner['child'])}[]"
        case "struct":
            return f"STRUCT({', '.join(f'{quote(name)} {kept(one)}' for name, one in inner.items())})"
        case "map":
            return f"MAP({kept(inner['key'])}, {kept(inner['value'])})"
    return str(kind)


def inside(kind: "DuckDBPyType") -> "dict[str, DuckDBPyType]":
    """The types that a list, a struct or a map is made of."""
    inner: dict[str, Any] = dict(kind.children)
    return inner


@cache
def _own(_pid: int) -> duckdb.DuckDBPyConnection:
    # A child's own: its parent's has threads that a fork does not take along, and waits for them.
    # An empty folder to spill to is none: it would be one in whatever folder the process was started from.
    con = duckdb.connect(config={"temp_directory": ""})
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    return con


_MAKING = threading.Lock()


def reading() -> duckdb.DuckDBPyConnection:
    """A cursor of the DuckDB that reads the journal's rows."""
    with _MAKING:
        return _own(os.getpid()).cursor()
