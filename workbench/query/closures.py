"""SQL conditions over one row as Python functions, of those whose every part has one meaning in both: they answer in a microsecond.

A function takes a row's values as they are kept, by name, and gives what SQL does: True, False, or None for NULL. Decimals are compared as such, texts by
their bytes, which is the order of their characters; what mixes types in ways of DuckDB's own has no function, and is asked of DuckDB.
"""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb

from workbench.query.trees import STEADY, Node, called, nodes
from workbench.query.values import typed
from workbench.tables.record import Record

Row = Mapping[str, Any]
Asked = Callable[[Row], Any]
Comparing = Callable[[Any, Any], bool]

COMPARISONS: dict[str, Comparing] = {
    "COMPARE_EQUAL": operator.eq,
    "COMPARE_NOTEQUAL": operator.ne,
    "COMPARE_LESSTHAN": operator.lt,
    "COMPARE_GREATERTHAN": operator.gt,
    "COMPARE_LESSTHANOREQUALTO": operator.le,
    "COMPARE_GREATERTHANOREQUALTO": operator.ge,
}
# What gives another answer each time.
NOT_STEADY = frozenset(
    name for name in STEADY if name.startswith(("now", "today", "current", "get_current", "transaction", "age", "local"))
)
# Digits before the point, of whole numbers; more digits in all DuckDB does not compare exactly.
DIGITS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
MOST_DIGITS = 38
# Up to here every whole number is a DOUBLE.
EXACT = 2**53


class Unknown(Exception):
    """Part of a condition has no function."""


@dataclass(frozen=True)
class Part:
    """Part of a condition: what kind of value it gives, and by what; `whole` and `scale` are a number's digits; `fixed` is what it gives for every row."""

    kind: str
    asked: Asked
    whole: int = 0
    scale: int = 0
    fixed: Any = None
    constant: bool = False


def condition(con: duckdb.DuckDBPyConnection, record: Record, rule: str) -> Asked | None:
    """The function of a condition over a table's columns; None if it has none."""
    tree = parsed(con, rule)
    if tree is None:
        return None
    try:
        made = part(con, record, tree)
    except Unknown:
        return None
    return made.asked if made.kind == "boolean" else None


def parsed(con: duckdb.DuckDBPyConnection, expression: str) -> Node | None:
    """The tree of an expression; None for what is none, or several."""
    [(text,)] = con.execute("SELECT json_serialize_sql($query)", {"query": f"SELECT {expression}"}).fetchall()
    tree = json.loads(text)
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node["type"] != "SELECT_NODE" or len(node["select_list"]) != 1 or node.get("where_clause") or node["from_table"]["type"] != "EMPTY":
        return None
    told: Node = node["select_list"][0]
    return told


def steady(tree: Node) -> bool:
    """Whether an expression has the same value for all rows, at any time."""
    for node in nodes(tree):
        match node.get("class"):
            case "FUNCTION":
                name, _ = called(node)
                if name not in STEADY or name in NOT_STEADY:
                    return False
            case None | "CONSTANT" | "CAST" | "OPERATOR" | "TYPE":
                continue
            case _:
                return False
    return True


def part(con: duckdb.DuckDBPyConnection, record: Record, tree: Node) -> Part:
    """A part of a condition. Raises `Unknown` for one without a function."""
    kind = tree["type"]
    if steady(tree):
        return constant(con, tree)
    if kind == "COLUMN_REF":
        return column(record, tree)
    if kind in COMPARISONS:
        return compared(con, part(con, record, tree["left"]), part(con, record, tree["right"]), COMPARISONS[kind])
    if kind == "COMPARE_BETWEEN":
        value = part(con, record, tree["input"])
        low = compared(con, value, part(con, record, tree["lower"]), operator.ge)
        return both(low, compared(con, value, part(con, record, tree["upper"]), operator.le))
    if kind == "FUNCTION":
        return like(record, con, tree)
    its = [part(con, record, one) for one in tree.get("children", ())]
    if kind == "COMPARE_IN":
        return among(con, its)
    if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
        [one] = its
        null = kind == "OPERATOR_IS_NULL"
        return Part("boolean", lambda row: (one.asked(row) is None) is null)
    if any(one.kind != "boolean" for one in its):
        raise Unknown
    if kind in ("CONJUNCTION_AND", "CONJUNCTION_OR"):
        made = its[0]
        for other in its[1:]:
            made = both(made, other) if kind == "CONJUNCTION_AND" else either(made, other)
        return made
    if kind == "OPERATOR_NOT":
        return negated(its[0])
    raise Unknown


def column(record: Record, tree: Node) -> Part:
    """A column's value."""
    named = [name for name in record.names if name.lower() == tree["column_names"][-1].lower()]
    if len(tree["column_names"]) != 1 or len(named) != 1:
        raise Unknown
    kind = typed(record[named[0]].type)
    get = operator.itemgetter(named[0])
    if kind.id == "decimal":
        inner: dict[str, Any] = dict(kind.children)
        return Part("exact", get, inner["precision"] - inner["scale"], inner["scale"])
    if kind.id in DIGITS:
        return Part("exact", get, DIGITS[kind.id])
    simple = {"varchar": "text", "boolean": "boolean", "double": "double", "date": "date", "timestamp with time zone": "instant"}
    # JSON calls itself VARCHAR, too, and UUIDs are compared as numbers.
    if kind.id not in simple or str(kind) == "JSON":
        raise Unknown
    return Part(simple[kind.id], get)


def constant(con: duckdb.DuckDBPyConnection, tree: Node) -> Part:
    """A value that is the same for every row, asked of DuckDB once."""
    [(whole,)] = con.execute("SELECT json_serialize_sql('SELECT 1')").fetchall()
    told = json.loads(whole)
    told["statements"][0]["node"]["select_list"] = [tree]
    [(text,)] = con.execute("SELECT json_deserialize_sql($tree::JSON)", {"tree": json.dumps(told)}).fetchall()
    try:
        [(value, kind)] = con.execute(f"SELECT v, typeof(v) FROM ({text}) t(v)").fetchall()
    except duckdb.Error:
        raise Unknown from None
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
    names = {"VARCHAR": "text", "BOOLEAN": "boolean", "DOUBLE": "double", "DATE": "date", "TIMESTAMP WITH TIME ZONE": "instant"}
    if value is None or not (kind in names or isinstance(value, int | Decimal)):
        raise Unknown
    scale = -int(value.as_tuple().exponent) if isinstance(value, Decimal) else 0
    digits = len(str(abs(int(value)))) if isinstance(value, int | Decimal) else 0
    return Part(names.get(kind, "exact"), lambda _row: value, digits, scale, value, constant=True)


def compared(con: duckdb.DuckDBPyConnection, left: Part, right: Part, by: Comparing) -> Part:
    """A comparison, None where a side is. Raises `Unknown` where DuckDB would compare after a cast that Python has not."""
    left, right = alike(con, left, right), alike(con, right, left)
    if left.kind != right.kind or (left.kind == "exact" and max(left.whole, right.whole) + max(left.scale, right.scale) > MOST_DIGITS):
        raise Unknown
    one, other = left.asked, right.asked
    if right.constant:
        fixed = right.fixed
        return Part("boolean", lambda row: None if (a := one(row)) is None else by(a, fixed))
    return Part("boolean", lambda row: None if (a := one(row)) is None or (b := other(row)) is None else by(a, b))


def alike(con: duckdb.DuckDBPyConnection, one: Part, other: Part) -> Part:
    """A constant number beside a DOUBLE, as one."""
    if other.kind != "double" or one.kind != "exact" or not one.constant or abs(one.fixed) > EXACT:
        return one
    [(value,)] = con.execute(f"SELECT ({one.fixed})::DOUBLE").fetchall()
    return Part("double", lambda _row: value, fixed=value, constant=True)


def among(con: duckdb.DuckDBPyConnection, its: Sequence[Part]) -> Part:
    """Whether a value is one of some constants."""
    first, *others = its
    if not all(one.constant for one in others) or first.kind not in ("text", "exact"):
        raise Unknown
    for one in others:
        compared(con, first, one, operator.eq)
    held, asked = frozenset(one.fixed for one in others), first.asked
    return Part("boolean", lambda row: None if (value := asked(row)) is None else value in held)


def like(record: Record, con: duckdb.DuckDBPyConnection, tree: Node) -> Part:
    """Whether a text begins with another."""
    name, given = called(tree)
    if name not in ("~~", "prefix", "starts_with", "^@") or len(given) != 2:
        raise Unknown
    value, pattern = (part(con, record, one) for one in given)
    if (value.kind, pattern.kind, pattern.constant) != ("text", "text", True):
        raise Unknown
    start = pattern.fixed
    if name == "~~":
        start, ends = start[:-1], start[-1:] == "%"
        if not ends or any(one in start for one in "%_\\"):
            raise Unknown
    asked = value.asked
    return Part("boolean", lambda row: None if (told := asked(row)) is None else told.startswith(start))


def both(left: Part, right: Part) -> Part:
    """SQL's AND."""
    one, other = left.asked, right.asked

    def asked(row: Row) -> Any:
        a = one(row)
        if a is False:
            return False
        b = other(row)
        return False if b is False else None if a is None else b

    return Part("boolean", asked)


def either(left: Part, right: Part) -> Part:
    """SQL's OR."""
    one, other = left.asked, right.asked

    def asked(row: Row) -> Any:
        a = one(row)
        if a is True:
            return True
        b = other(row)
        return True if b is True else None if a is None else b

    return Part("boolean", asked)


def negated(inner: Part) -> Part:
    """SQL's NOT."""
    asked = inner.asked
    return Part("boolean", lambda row: None if (value := asked(row)) is None else not value)
