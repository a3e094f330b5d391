"""The newest rows first: a query for the rows with the greatest times needs only files from such a time on.

`SELECT … ORDER BY timestamp DESC LIMIT n` has the rows that it would have with `AND timestamp >= t`, whichever t has n rows that are not older. So the
newest file is looked at for them first, from where it begins. With `ASC` it is the oldest.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workbench.query.inline import FLEETING
from workbench.query.scopes import PASSING, Reading, conjuncts
from workbench.query.trees import STEADY, Node, called, nodes
from workbench.tables import TABLES

# Stands for t in a text.
MARK = "2345-06-07 08:09:10.111213+00"
# More rows than these are no fewer to read from the newest file.
MOST = 10_000
# Functions that documented views call besides, and that give the same each time.
PURE = STEADY | {"md5"}
KEPT = "workbench_log"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Parse = Callable[[str], Node]


@dataclass(frozen=True)
class Top:
    """A query for the rows with the greatest times, or the least: how many, and the two statements in which `MARK` stands for t.

    `probe` counts rows beyond t, up to as many as are wanted; `bounded` is the query.
    """

    count: int
    greatest: bool
    probe: Node
    bounded: Node


def top(statement: Node, parse: Parse) -> Top | None:
    """What a statement's tree asks for, if it is the first rows by time, and asking twice would give the same; `parse` gives the tree of a text."""
    node = statement["node"]
    if node["type"] != "SELECT_NODE" or set(node) - PASSING or node.get("having") or node.get("qualify") or not pure(statement):
        return None
    modifiers = node.get("modifiers", [])
    if [one["type"] for one in modifiers] != ["ORDER_MODIFIER", "LIMIT_MODIFIER"]:
        return None
    order, limit = modifiers
    first = order["orders"][0]
    count = sum(number(limit[key]) for key in ("limit", "offset") if key in limit)
    ref = first["expression"]
    greatest = first["type"] == "DESCENDING"
    if "limit" not in limit or not 0 < count <= MOST or not (greatest or first["type"] == "ASCENDING" or first["type"] == "ORDER_DEFAULT"):
        return None
    if first.get("null_order", "ORDER_DEFAULT") not in ("ORDER_DEFAULT", "NULLS LAST", "NULLS_LAST") or not by_time(node, ref):
        return None
    bounded = deepcopy(statement)
    inner = bounded["node"]
    test = parse(f"SELECT 1 FROM t WHERE t {'>=' if greatest else '<='} CAST('{MARK}' AS TIMESTAMPTZ)")["node"]["where_clause"]
    tests = [*(conjuncts(inner["where_clause"]) if "where_clause" in inner else []), {**test, "left": deepcopy(ref)}]
    inner["where_clause"] = tests[0] if len(tests) == 1 else {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": tests}
    probe = parse(f"SELECT count(*) FROM (SELECT 1 LIMIT {count}) AS __top")
    asked = probe["node"]["from_table"]["subquery"]
    # Any so many rows will do: which they are is for the query to say.
    asked["node"] = {**deepcopy(inner), "select_list": [deepcopy(ref)], "modifiers": asked["node"]["modifiers"]}
    if "named_param_map" in statement:
        probe["named_param_map"] = statement["named_param_map"]
    return Top(count, greatest, probe, bounded)


def by_time(node: Node, ref: Node) -> bool:
    """Whether rows are ordered by the lake's own `timestamp`, which no name in the SELECT takes."""
    if ref["class"] != "COLUMN_REF":
        return False
    name = ref["column_names"][-1].lower()
    for one in node["select_list"]:
        if one.get("alias", "").lower() == name and one.get("column_names") != ref["column_names"]:
            return False
        if one["class"] == "STAR" and (one.get("replace_list") or one.get("rename_list") or one.get("columns") or one.get("expr")):
            return False
    copied = deepcopy(node)
    reading = Reading()
    part = reading.select(copied, {})
    return any(part.sight.means(leaf, ref["column_names"]) == "timestamp" for leaf in part.leaves)


def pure(statement: Node) -> bool:
    """Whether a statement, asked twice, reads the same and gives the same."""
    own = {one["key"].lower() for node in nodes(statement) for one in (node.get("cte_map") or {}).get("map", ())}
    for node in nodes(statement):
        if node.get("class") == "FUNCTION":
            name, _ = called(node)
            if name not in PURE or FLEETING.fullmatch(name) or name in ("unnest", "error"):
                return False
        elif (
            node.get("class") in ("WINDOW", "LAMBDA")
            or node.get("type") == "SHOW_REF"
            or (node.get("type") == "TABLE_FUNCTION" and node["function"].get("function_name") != "read_parquet")
        ):
            return False
        elif node.get("type") == "BASE_TABLE":
            path = node.get("qualified_name", {}).get("path") or [part for part in (node.get("schema_name"), node["table_name"]) if part]
            schema, name = "".join(path[:-1]).lower(), path[-1].lower()
            if not (schema == KEPT or (schema in ("", "main") and name in TABLES) or (not schema and name in own)):
                return False
    return True


def number(node: Node) -> int:
    """A whole number as it is written; more than any if it is none."""
    told = node.get("literal", {}).get("text") if "literal" in node else node.get("value", {}).get("value")
    return int(str(told)) if node.get("type") == "VALUE_CONSTANT" and str(told).isdecimal() else MOST + 1


def marked(text: str, microseconds: int) -> str:
    """A text with a time in the place of the mark."""
    at = EPOCH + timedelta(microseconds=microseconds)
    return text.replace(MARK, f"{at:%Y-%m-%d %H:%M:%S.%f}+00")
