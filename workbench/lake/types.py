"""Column types in the engines that the lake is written with: declared once in DuckDB's words, said here in Polars', Delta's and Arrow's."""

from typing import TYPE_CHECKING

from workbench.tables import Column

if TYPE_CHECKING:
    import polars as pl
    from deltalake.schema import ArrayType, PrimitiveType

DELTA = {
    "VARCHAR": "string",
    "DOUBLE": "double",
    "BIGINT": "long",
    "INTEGER": "integer",
    "SMALLINT": "short",
    "TINYINT": "byte",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMPTZ": "timestamp",
}

FROM_ARROW = {
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "int16": "SMALLINT",
    "int8": "TINYINT",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}


def delta_type(column: Column) -> "PrimitiveType | ArrayType":
    """A column's type as Delta has it."""
    from deltalake.schema import ArrayType, PrimitiveType

    each = PrimitiveType(DELTA[column.type.removesuffix("[]")])
    return ArrayType(each, contains_null=True) if column.type.endswith("[]") else each


def from_arrow(told: str) -> str:
    """A column's type as we declare it, from what Arrow calls it; what we declare nowhere stays as it is."""
    if told.startswith(("list<", "large_list<")):
        return f"{FROM_ARROW.get(told[told.index(':') + 1 : -1].strip(), told)}[]"
    return FROM_ARROW.get(told, told)


def polars_type(column: Column) -> "pl.DataType":
    """A column's type as Polars has it."""
    import polars as pl

    types = {
        "VARCHAR": pl.String(),
        "DOUBLE": pl.Float64(),
        "BIGINT": pl.Int64(),
        "INTEGER": pl.Int32(),
        "SMALLINT": pl.Int16(),
        "TINYINT": pl.Int8(),
        "BOOLEAN": pl.Boolean(),
        "DATE": pl.Date(),
        "TIMESTAMPTZ": pl.Datetime("us", "UTC"),
        "VARCHAR[]": pl.List(pl.String()),
    }
    return types[column.type]
