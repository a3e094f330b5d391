"""The types of documented columns, as files keep them: DuckDB's names for them, and Arrow's types, which are Parquet's and Delta's. UUID and JSON stand as text."""

import re
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

BITS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}


def typed(name: str) -> "DuckDBPyType":
    """A type by its name."""
    return duckdb.sqltype(name)


def as_text(name: str) -> bool:
    """Whether values of a type stand in files as text, or hold some that do."""
    return bool(re.search(r"\b(UUID|JSON)\b", name))


def stored(kind: "DuckDBPyType") -> "pa.DataType":
    """A type as Arrow, and so Parquet and Delta, keep it."""
    import pyarrow as pa

    simple = {
        "varchar": pa.string(),
        "uuid": pa.string(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
    }
    if kind.id in simple:
        return simple[kind.id]
    inner: dict[str, Any] = dict(kind.children)
    match kind.id:
        case "decimal":
            return pa.decimal128(inner["precision"], inner["scale"])
        case "list":
            return pa.list_(stored(inner["child"]))
        case "map":
            return pa.map_(stored(inner["key"]), stored(inner["value"]))
        case "struct":
            return pa.struct([(name, stored(one)) for name, one in inner.items()])
    raise TypeError(f"no documented column may be of type {kind}")
