"""Pieces of trees that both dialects' translations are made of."""

import re
from collections.abc import Collection

from sqlglot import exp

from workbench.query.idioms.columns import always


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call of a function by DuckDB's name."""
    return exp.Anonymous(this=name, expressions=[one.copy() for one in arguments])


def cast(inner: exp.Expr, kind: str) -> exp.Expr:
    """A cast to a type by DuckDB's name."""
    return exp.cast(inner.copy(), kind, dialect="duckdb")


def text_of(node: object) -> str:
    """A literal text; empty if it is none."""
    return node.name if isinstance(node, exp.Literal | exp.RawString | exp.ByteString) and node.args.get("is_string", True) else ""


def divided(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """A division that is whole for whole numbers."""
    return exp.IntDiv(this=left.copy(), expression=right.copy())


def interval(count: str, unit: str) -> exp.Expr:
    """So many units of time, as `INTERVAL '1' DAY`."""
    return exp.Interval(this=exp.Literal.string(count), unit=exp.Var(this=re.sub(r"s$", "", unit.lower()).upper()))


def ordered(node: exp.Expr, _: Collection[str]) -> exp.Expr:
    """The place of NULL, which each dialect has elsewhere; where there is none, it need not be told, which lets DuckDB read less."""
    told = node.this
    if isinstance(node.parent, exp.OnConflict):
        # A key, not an order.
        return told  # type: ignore[no-any-return]
    if isinstance(told, exp.Column) and told.name.upper() == "ALL" and not told.table and not told.this.quoted:
        # A word of DuckDB's, not a name.
        node.set("this", exp.Var(this="ALL"))
    if always(told):
        node.set("nulls_first", False)
    return node


def several(select: exp.Select) -> bool:
    """Whether an expression of a SELECT may be several columns, which take no name together."""
    return any(isinstance(one, exp.Columns) or one.name.lower() == "columns" for one in select.find_all(exp.Columns, exp.Anonymous))
