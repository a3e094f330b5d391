"""A documented table handed to a PostgreSQL database: the table as it is documented, its rows by COPY, all in one transaction.

Values that PostgreSQL has no column for, maps, structs and lists, stand as `json` there, and so does JSON: `jsonb` would sort keys and drop blanks, so
that no import compared equal. Foreign keys are left out, for the tables that they lead to may not be there.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import MissingExtra, SourceError, UsageError
from workbench.importers.postgres_urls import Address, plain
from workbench.importers.postgres_values import uuids
from workbench.tables.record import Field, Record
from workbench.tables.spec import quote

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

IfExists = Literal["fail", "replace", "append"]
TIMEOUT_S = 10.0
# So many rows are written out at once.
ROWS = 50_000
TYPES = {
    "VARCHAR": "text",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "TINYINT": "smallint",
    "UTINYINT": "smallint",
    "SMALLINT": "smallint",
    "USMALLINT": "integer",
    "INTEGER": "integer",
    "UINTEGER": "bigint",
    "BIGINT": "bigint",
    "UBIGINT": "numeric(20,0)",
    "HUGEINT": "numeric(39,0)",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "UUID": "uuid",
    "JSON": "json",
    "BLOB": "bytea",
}


def to_postgres(
    url: str, record: Record, reader: "pa.RecordBatchReader", if_exists: IfExists = "fail", *, timeout: float = TIMEOUT_S
) -> int:
    """Write rows to the table of a record's name, which is made if it is not there; gives their number. Without success nothing is changed there.

    A table that is there is an error, replaced, or added to. Raises `UsageError` for that and for a URL that cannot be read, `Unreachable`, `BadKeys`
    as imports do, `SourceError` where the database refuses the table or a row, and `MissingExtra` without psycopg.
    """
    if if_exists not in ("fail", "replace", "append"):
        raise UsageError(f"if_exists is {if_exists!r}; nothing was written. It is fail, replace or append.")
    try:
        import psycopg
    except ImportError as fault:
        raise MissingExtra(
            "psycopg is not installed, which PostgreSQL needs; nothing was written. Install it with `pip install 'workbench[import]'`."
        ) from fault
    address = Address(url, timeout)
    trouble: Exception | None = None
    try:
        con = psycopg.connect(address.conninfo)
    except psycopg.Error as fault:
        trouble = address.unreached(fault)
    if trouble:
        # Outside of the handler, so that the driver's error is not told as its cause.
        raise trouble
    try:
        # One transaction: it is committed at the end, and rolled back by whatever comes before.
        with con, con.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            prepared(cursor, address, record, reader.schema.names, if_exists)
            return copied(cursor, record, reader)
    except psycopg.Error as fault:
        trouble = refused(address, record, fault)
    finally:
        con.close()
    raise trouble


def refused(address: Address, record: Record, fault: "psycopg.Error") -> SourceError | UsageError:
    """What a database's refusal means."""
    state = fault.sqlstate or ""
    if not state:
        return address.failed(fault, f"{record.full} was not written", "Nothing was changed there; run it again.")
    told = fault.diag
    where = "; ".join(part.rstrip(".") for part in (told.message_detail, told.context and told.context.split("\n")[0]) if part)
    reason = address.hidden(" ".join(filter(None, (told.message_primary or plain(fault), where and f"({where})"))))
    what = f"{address.label} refuses {record.full}: {reason}. Nothing was written."
    if state.startswith("23"):
        return UsageError(f"{what} With if_exists replace the table there gives way to this one.")
    return SourceError(what)


# ---------------------------------------------------------------------- the table


def prepared(cursor: "psycopg.Cursor[Any]", address: Address, record: Record, names: list[str], if_exists: IfExists) -> None:
    """Have a table there that takes rows of these columns."""
    full = f"{quote(record.schema)}.{quote(record.name)}"
    cursor.execute(
        "SELECT c.relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        [record.schema, record.name],
    )
    there = cursor.fetchone()
    if there and there[0] not in "rpf":
        raise UsageError(f"{record.full} in {address.label} is no table; nothing was written. Rename it there.")
    if there and if_exists == "fail":
        raise UsageError(
            f"{address.label} has a table {record.full} already; nothing was written. Say --if-exists replace, or append to add to it."
        )
    if there and if_exists == "append":
        cursor.execute(
            "SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", [full]
        )
        theirs = {row[0] for row in cursor.fetchall()}
        if lacking := [name for name in names if name not in theirs]:
            raise UsageError(
                f"{record.full} in {address.label} has no column {', '.join(lacking)}; nothing was written. Add it there, or replace the table."
            )
        return
    if there:
        cursor.execute(f"DROP TABLE {full}".encode())
    cursor.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", [record.schema])
    if not cursor.fetchone():
        # Asked first: CREATE SCHEMA IF NOT EXISTS wants the right to make one, also where it is there.
        cursor.execute(f"CREATE SCHEMA {quote(record.schema)}".encode())
    cursor.execute(table(record, names).encode())


def table(record: Record, names: list[str]) -> str:
    """The statement that makes a record's table, with those of its columns."""
    parts = [column(record[name]) for name in names]
    if record.key and set(record.key) <= set(names):
        parts.append(f"PRIMARY KEY ({', '.join(map(quote, record.key))})")
    parts += [f"UNIQUE ({', '.join(map(quote, one))})" for one in record.unique if set(one) <= set(names)]
    parts += [f"CONSTRAINT {quote(check.name)} CHECK ({rule})" for check in record.checks if (rule := translated(check.rule, names))]
    return f"CREATE TABLE {quote(record.schema)}.{quote(record.name)} (\n    " + ",\n    ".join(parts) + "\n)"


def column(field: Field) -> str:
    """A column's part of the statement."""
    default = translated(field.default, []) if field.default else ""
    words = [quote(field.name), type_of(field.type)]
    words += ["GENERATED BY DEFAULT AS IDENTITY"] * field.serial
    words += [f"DEFAULT {default}"] * bool(default and not field.serial)
    words += ["NOT NULL"] * field.required
    return " ".join(words)


def type_of(name: str) -> str:
    """PostgreSQL's type for one of DuckDB's; text for what it has none for."""
    upper = name.upper()
    if upper in TYPES:
        return TYPES[upper]
    if upper.endswith("]") or upper.startswith(("MAP(", "STRUCT(", "LIST(")):
        return "json"
    return upper.lower().replace("decimal", "numeric") if re.fullmatch(r"DECIMAL\(\d+, ?\d+\)", upper) else "text"


def translated(rule: str, names: list[str]) -> str:
    """A condition or value of DuckDB's SQL in PostgreSQL's; empty if it is about columns that are not there, or cannot be said."""
    import sqlglot
    from sqlglot import exp

    try:
        said = sqlglot.parse_one(rule, read="duckdb")
    except sqlglot.ParseError:
        return ""
    if any(one.name not in names for one in said.find_all(exp.Column)):
        return ""
    return said.sql("postgres", identify=True)


# ---------------------------------------------------------------------- rows


def copied(cursor: "psycopg.Cursor[Any]", record: Record, reader: "pa.RecordBatchReader") -> int:
    """Write the rows; gives their number."""
    full = f"{quote(record.schema)}.{quote(record.name)}"
    names = reader.schema.names
    with cursor.copy(f"COPY {full} ({', '.join(map(quote, names))}) FROM STDIN (FORMAT csv)".encode()) as out:
        for piece in written(reader):
            out.write(piece)
    count = cursor.rowcount
    for name in names:
        if record[name].serial:
            # Rows that come after these are numbered on from them.
            cursor.execute("SELECT pg_catalog.pg_get_serial_sequence(%s, %s)", [full, name])
            if (row := cursor.fetchone()) and row[0]:
                cursor.execute(
                    f"SELECT pg_catalog.setval(%s, m) FROM (SELECT max({quote(name)}) AS m FROM {full}) AS it WHERE m IS NOT NULL".encode(),
                    [row[0]],
                )
    return count


def written(reader: "pa.RecordBatchReader") -> "Iterator[pa.Buffer]":
    """The rows as CSV, in which NULL is nothing, and text is quoted, an empty one, too."""
    import duckdb
    import pyarrow as pa
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    with duckdb.connect() as con:
        for batch in reader:
            for start in range(0, batch.num_rows, ROWS):
                rows = pa.Table.from_batches([batch.slice(start, ROWS)])
                out = pa.BufferOutputStream()
                csv.write_csv(pa.table([plainly(con, one) for one in rows.columns], rows.column_names), out, options)
                yield out.getvalue()


def plainly(con: "Any", values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """A column as CSV can say it."""
    import pyarrow as pa

    kind = values.type
    if getattr(kind, "extension_name", "") == "arrow.uuid":
        return pa.chunked_array([uuids(chunk, "", None, 0)[0] for chunk in values.chunks], pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        values = pa.chunked_array([chunk.storage for chunk in values.chunks], kind.storage_type)
        kind = values.type
    if pa.types.is_timestamp(kind):
        # PostgreSQL's times go down to microseconds, and so do the lake's.
        return values.cast(pa.timestamp("us", "UTC" if kind.tz else None), safe=False)
    if pa.types.is_nested(kind):
        return told(con, values, "to_json(v)::VARCHAR")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return told(con, values, "'\\x' || hex(v)")
    if pa.types.is_string_view(kind) or pa.types.is_dictionary(kind):
        return values.cast(pa.string())
    simple = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_date,
        pa.types.is_time,
    )
    return values if any(is_one(kind) for is_one in simple) else told(con, values, "v::VARCHAR")


def told(con: Any, values: "pa.ChunkedArray", expression: str) -> "pa.ChunkedArray":
    """A column as DuckDB writes it in text."""
    import pyarrow as pa

    rows = pa.table({"v": values})
    con.register("rows_to_write", rows)
    try:
        return con.sql(f"SELECT {expression} AS v FROM rows_to_write").to_arrow_table().column("v").cast(pa.string())
    finally:
        con.unregister("rows_to_write")
