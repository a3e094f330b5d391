"""A documented table into a SQLite file, as the program had it that the table was documented for: `workbench export TABLE --to sqlite:trading_bot.db`.

Values are as SQLAlchemy and Python's `sqlite3` write them: times as text in UTC without a zone, dates as text, truth as 0 and 1, whatever has parts as
JSON text. Fractions are REAL. A DECIMAL is so only if that gives it back digit by digit; one with more digits goes in as the bytes of its digits, which
no column of numbers rounds, and an import takes for the number.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import BrokenRule, Busy, LakeError, UsageError, WorkbenchError
from workbench.tables import quote
from workbench.tables.record import Field, Record

if TYPE_CHECKING:
    import pyarrow as pa

IfExists = Literal["fail", "replace", "append"]
TIMEOUT_S = 30.0
WHOLE = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT")
# What columns are called in SQLAlchemy's tables, where the document does not say.
NAMES = {"BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIMESTAMPTZ": "DATETIME", "DOUBLE": "FLOAT", "JSON": "JSON", "UUID": "CHAR(36)"}
# What MongoDB calls types says nothing in SQLite.
FOREIGN = ("ObjectId", "ISODate", "object")
DEFAULTS = {
    "now()": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')",
    "true": "1",
    "false": "0",
    "left(md5(uuid()::VARCHAR), 24)": "(lower(hex(randomblob(12))))",
}


def to_sqlite(
    path: str | Path, record: Record, reader: "pa.RecordBatchReader", if_exists: IfExists = "fail", timeout_s: float = TIMEOUT_S
) -> int:
    """Write rows to the table of a record's name in a file, which is made if it is not there; gives their number.

    The table is made with the document's columns, key, rules and references to tables that are in the file. All is one transaction: other programs
    see all of it or nothing, and an error leaves the file as it was. Raises `UsageError` if the table is there and `if_exists` says "fail", `BrokenRule`
    for rows that the table does not take, `Busy` if another program has the file locked for `timeout_s` seconds, and `LakeError` if it cannot be written.
    """
    if if_exists not in ("fail", "replace", "append"):
        raise UsageError(f"if_exists is {if_exists!r}; nothing was written. Say fail, replace or append.")
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        raise UsageError(f"{place} is a folder; nothing was written. Name a file in it, as {place / 'trading_bot.db'}.")
    if not place.parent.is_dir():
        raise UsageError(f"{place.parent} is not there; nothing was written. Make the folder, or name another.")
    made = not place.exists()
    try:
        with told(place, record, timeout_s), closing(sqlite3.connect(place, timeout=timeout_s, isolation_level=None)) as con:
            con.execute("BEGIN IMMEDIATE")
            try:
                count = write(con, place, record, reader, if_exists)
                con.execute("COMMIT")
            except BaseException:
                if con.in_transaction:
                    con.execute("ROLLBACK")
                raise
    except BaseException:
        # A file that was made for this and holds nothing; another program may have found it meanwhile.
        if made and place.exists() and not place.stat().st_size:
            place.unlink()
        raise
    return count


def write(con: sqlite3.Connection, place: Path, record: Record, reader: "pa.RecordBatchReader", if_exists: IfExists) -> int:
    """Make the table as asked and put the rows in, within a transaction."""
    there = {
        name.lower(): (name, kind) for name, kind in con.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')")
    }
    name, kind = there.get(record.name.lower(), ("", ""))
    if kind == "view":
        raise UsageError(f"{place} has a view {name!r} already; nothing was written. Drop it there, or name another file.")
    if name and if_exists == "fail":
        raise UsageError(
            f"{place} has a table {name!r} already; nothing was written. Add to it with --if-exists append, replace it, or name another file."
        )
    columns = [record[one] for one in reader.schema.names]
    if name and if_exists == "append":
        has = {str(row[1]).lower() for row in con.execute(f"PRAGMA table_info({quote(name)})")}
        if lacking := [one.name for one in columns if one.name.lower() not in has]:
            raise UsageError(
                f"{name} in {place} has no column {', '.join(lacking)}; nothing was written. Replace the table, or name another file."
            )
    else:
        if name:
            con.execute(f"DROP TABLE {quote(name)}")
        for statement in statements(record, set(there)):
            con.execute(statement)
    into = f"INSERT INTO {quote(record.name)} ({', '.join(quote(one.name) for one in columns)}) VALUES ({', '.join('?' * len(columns))})"
    count = 0
    for batch in reader:
        rows = zip(*(kept(one, values) for one, values in zip(columns, batch.columns, strict=True)), strict=True)
        con.executemany(into, rows)
        count += batch.num_rows
    return count


def statements(record: Record, there: "set[str] | frozenset[str]" = frozenset()) -> list[str]:
    """What makes the table and its indexes in SQLite. References are declared to tables that are `there`."""
    alone = record.key[0] if len(record.key) == 1 and record[record.key[0]].type in WHOLE else ""
    lines = [column(one, numbered=one.name == alone) for one in record.columns]
    if record.key and not alone:
        lines.append(f"PRIMARY KEY ({names(record.key)})")
    lines += [f"UNIQUE ({names(one)})" for one in record.unique]
    lines += [f"CONSTRAINT {quote(one.name)} CHECK ({one.rule})" for one in record.checks]
    for one in record.references:
        other = one.table.partition(".")[2]
        if one.table.partition(".")[0] == record.schema and (other in there or other == record.name):
            lines.append(f"FOREIGN KEY ({names(one.columns)}) REFERENCES {quote(other)} ({names(one.to)})")
    table = f"CREATE TABLE {quote(record.name)} (\n    " + ",\n    ".join(lines) + "\n)"
    led = {ours[0] for ours in (record.key, *record.unique) if ours}
    by = [
        one.name
        for one in record.columns
        if one.name in ("symbol", "ticker") or (one.required and one.type in ("TIMESTAMPTZ", "DATE") and not one.default)
    ]
    return [
        table,
        *(f"CREATE INDEX {quote(f'ix_{record.name}_{one}')} ON {quote(record.name)} ({quote(one)})" for one in by if one not in led),
    ]


def names(columns: tuple[str, ...]) -> str:
    """Names of columns in SQL."""
    return ", ".join(map(quote, columns))


def column(one: Field, *, numbered: bool) -> str:
    """A column's declaration. One that alone numbers the rows is the table's own key, which SQLite counts on."""
    if numbered:
        return f"{quote(one.name)} INTEGER PRIMARY KEY" + " AUTOINCREMENT" * one.serial
    default = DEFAULTS.get(one.default, one.default if plain(one.default) else "")
    return f"{quote(one.name)} {declared(one)}" + " NOT NULL" * one.required + f" DEFAULT {default}" * bool(default)


def plain(default: str) -> bool:
    """Whether a default is a text or a number, which any SQL has."""
    return default.startswith("'") or default.replace(".", "", 1).isdigit()


def declared(one: Field) -> str:
    """A column's type in SQLite: the document's own, or SQLAlchemy's."""
    if one.told and one.told not in FOREIGN:
        return one.told
    if one.type in WHOLE:
        return "INTEGER"
    if one.type.startswith("DECIMAL"):
        return one.type.replace("DECIMAL", "NUMERIC")
    return NAMES.get(one.type, "VARCHAR" if one.type == "VARCHAR" else "JSON")


# ---------------------------------------------------------------------- values


def kept(one: Field, values: "pa.Array") -> list[Any]:
    """A column's values, as SQLite is to have them."""
    import pyarrow as pa
    from pyarrow import compute as pc

    if one.type == "TIMESTAMPTZ":
        # Arrow writes times without a zone as the old programs did.
        told = values.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us")).cast(pa.string())
        return list(told.to_pylist())
    if one.type == "DATE":
        return list(values.cast(pa.date32()).cast(pa.string()).to_pylist())
    if one.type == "BOOLEAN":
        return list(values.cast(pa.int8()).to_pylist())
    if one.type == "DOUBLE" and pc.any(pc.is_nan(values)).as_py():
        # SQLite would make NULL of it.
        raise BrokenRule(f"{one.name} is NaN in a row, which SQLite cannot keep; nothing was written. Leave the row out, or make it NULL.")
    raw: list[Any] = values.to_pylist()
    way = told_by(one.type)
    return raw if way is None else [None if value is None else way(value) for value in raw]


def told_by(kind: str) -> Callable[[Any], Any] | None:
    """What makes a value for SQLite of one of a type; None if it is one already."""
    if kind in (*WHOLE, "DOUBLE", "VARCHAR", "JSON"):
        return None
    if kind.startswith("DECIMAL"):
        return number
    if kind == "UUID":
        return str
    return pairs if kind.startswith("MAP") else parts


def number(value: Decimal) -> float | bytes:
    """A decimal as the nearest double if that has its digits, else the bytes of its digits: SQLite would round text in a column of numbers."""
    near = float(value)
    return near if Decimal(repr(near)) == value else format(value, "f").encode()


def parts(value: Any) -> str:
    """A value of several parts as JSON text."""
    try:
        return json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False)
    except ValueError as fault:
        raise BrokenRule(
            f"a number is NaN or infinite, of which JSON has none ({fault}); nothing was written. Leave the row out."
        ) from None


def pairs(value: Any) -> str:
    """A MAP, which comes as pairs, as a JSON object."""
    return parts(dict(value))


def jsonable(value: Any) -> Any:
    """Lists, objects, and plain values; a MAP in them comes as pairs."""
    if isinstance(value, dict):
        return {str(name): jsonable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(one, tuple) for one in value):
            return {str(name): jsonable(one) for name, one in value}
        return [jsonable(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return str(value) if isinstance(value, date | Decimal) else value


# ---------------------------------------------------------------------- faults


@contextmanager
def told(place: Path, record: Record, timeout_s: float) -> Iterator[None]:
    """Raise what SQLite raises as ours."""
    try:
        yield
    except WorkbenchError:
        raise
    except (sqlite3.Error, OSError) as fault:
        raise worded(place, record, timeout_s, fault) from fault


def worded(place: Path, record: Record, timeout_s: float, fault: Exception) -> WorkbenchError:
    """What an error of SQLite's means here."""
    undone = "nothing was written"
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    if isinstance(fault, sqlite3.IntegrityError):
        return BrokenRule(
            f"{record.name} in {place} does not take these rows ({fault}); {undone}. What is there has them already, or asks more of them."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(
            f"{place} is locked by another program, and was still after {timeout_s:g} s; {undone}. Close that program, or wait until it is done."
        )
    if code == sqlite3.SQLITE_NOTADB:
        return UsageError(f"{place} is no SQLite database, or its head is damaged; {undone}. Name another file.")
    if code == sqlite3.SQLITE_CORRUPT:
        return LakeError(f"{place} is damaged ({fault}); {undone}. Name another file.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LakeError(f"{place} may not be written ({fault}); {undone}. See that you may write it and its folder, or name another file.")
    return LakeError(f"{place} could not be written ({fault}); {undone}.")
