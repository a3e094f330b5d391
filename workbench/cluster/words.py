"""Words that the rules of translation are written in: types, and pieces of Spark's SQL in sqlglot's trees."""

from typing import Any

from sqlglot import exp
from sqlglot.expressions import DataType

from workbench.errors import QueryError

INSTANTS = ("TIMESTAMPTZ", "TIMESTAMPLTZ")
NAIVE = ("TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S")
WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT", "INT128", "UTINYINT", "USMALLINT", "UINT", "UBIGINT")
BROKEN = ("DOUBLE", "FLOAT")
LISTED = ("ARRAY", "LIST")
EPOCH = "TIMESTAMP_NTZ '1970-01-01 00:00:00'"
DAY_US = 86_400_000_000
WIDTHS_US = {"MICROSECOND": 1, "MILLISECOND": 1_000, "SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000, "DAY": DAY_US}
WIDTHS_US |= {"WEEK": 7 * DAY_US}
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "DECADE": 120, "CENTURY": 1200}
# DuckDB counts days and weeks from a Monday, months from a January.
MONDAY_US, MONDAY = 946_857_600_000_000, "DATE '2000-01-03'"
# How many larger units stand before one in a call of `make_dt_interval`.
SPANS = {"to_seconds": 3, "to_minutes": 2, "to_hours": 1, "to_days": 0}


class NotTranslated(QueryError):
    """What stands here has no counterpart in Spark; `str` says what and why."""


def type_of(node: Any) -> str:
    """The name of a node's type; nothing where it is not known."""
    while isinstance(node, exp.Paren | exp.Alias):
        node = node.this
    made = getattr(node, "type", None)
    name = made.this.name if isinstance(made, DataType) and isinstance(made.this, DataType.Type) and made.this.name != "UNKNOWN" else ""
    # Which sqlglot takes the sum of a decimal and a floating number for.
    return "DOUBLE" if name == "DECIMAL" and any(type_of(one) in BROKEN for one in parts_of(node)) else name


def parts_of(node: exp.Expr) -> list[Any]:
    """The values that a value is made of and has its type from; none where it has one of its own."""
    match node:
        case exp.Add() | exp.Sub() | exp.Mul() | exp.Mod():
            return [node.this, node.expression]
        case exp.Coalesce() | exp.Greatest() | exp.Least():
            return [node.this, *node.expressions]
        case exp.Case():
            return [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")]
        case exp.If():
            return [node.args["true"], node.args.get("false")]
        case exp.Neg() | exp.Abs() | exp.Round() | exp.Sum() | exp.Min() | exp.Max() | exp.Window() | exp.Filter():
            return [node.this]
    return []


def typed(node: exp.Expr, name: str) -> exp.Expr:
    """A node that is known to be of a type."""
    node.type = DataType.build(name, dialect="duckdb")
    return node


def call(name: str, *arguments: exp.Expr | str | int) -> exp.Expr:
    """A call of a function of Spark's; texts are Spark's SQL."""
    return exp.Anonymous(this=name, expressions=[one.copy() if isinstance(one, exp.Expr) else raw(str(one)) for one in arguments])


def raw(text: str) -> exp.Expr:
    """A piece of Spark's own SQL, as it stands."""
    return exp.Var(this=text)


def as_type(node: exp.Expr, spark: str) -> exp.Expr:
    """A cast to a type by Spark's name."""
    return exp.Anonymous(this="cast", expressions=[exp.Alias(this=node.copy(), alias=exp.Var(this=spark))])


def text(node: exp.Expr) -> str:
    """What has been made so far, in Spark's SQL."""
    return node.sql("spark", identify=True, normalize_functions=False, comments=False)
