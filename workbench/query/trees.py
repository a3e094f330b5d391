"""DuckDB's parse tree, as `json_serialize_sql` gives it in 1.5 and in 2.0: what its nodes say, and whether they say it of every row."""

from collections.abc import Iterator, Sequence
from typing import Any

Node = dict[str, Any]

# Relations that may hold anything.
OTHER = ("BASE_TABLE", "JOIN", "PIVOT", "SHOW_REF", "DELIM_GET", "COLUMN_DATA")

# Functions that give the same for the same arguments within a query, and depend on nothing that changes before a relation is read.
STEADY = frozenset(
    """+ - * / // % ** ^ || & | << >> ~ @ abs ceil ceiling floor round trunc sign mod greatest least
    list_value list_concat list_append range generate_series unnest array_value row struct_pack list_distinct list_sort flatten
    concat concat_ws upper ucase lower lcase trim ltrim rtrim replace left right substr substring length len strlen split string_split
    str_split string_to_array split_part lpad rpad repeat reverse ascii chr format printf
    ~~ !~~ ~~* !~~* like_escape not_like_escape regexp_matches regexp_extract regexp_replace regexp_full_match starts_with ^@ prefix
    suffix ends_with contains list_contains list_has array_contains array_has if ifnull nullif coalesce
    now today current_date current_timestamp get_current_timestamp transaction_timestamp current_localtimestamp
    year month day quarter week weekofyear isoyear yearweek isodow dayofweek weekday dayofmonth dayofyear hour minute second decade
    century millennium era epoch epoch_ms epoch_us epoch_ns julian last_day monthname dayname date_part datepart date_trunc datetrunc
    date_add date_sub date_diff datediff datesub age make_date make_time make_timestamp make_timestamptz make_timestamp_ns to_timestamp
    strftime strptime try_strptime timezone time_bucket isfinite isinf
    to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds to_quarters to_decades
    to_centuries to_millennia""".split()  # noqa: SIM905
)
# Names that DuckDB reads as functions where no column is called so.
BARE = frozenset(("current_date", "current_timestamp", "localtimestamp"))


class Holes:
    """Nodes that stand in for names in a text: the text is parsed without them, then they take their places."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def name(self, node: Node) -> str:
        """The name that stands for a node."""
        self.nodes.append(node)
        return f"__hole{len(self.nodes) - 1}"

    def fill(self, tree: Any) -> Any:
        """A tree in which the nodes have taken their places."""
        if isinstance(tree, list):
            return [self.fill(part) for part in tree]
        if not isinstance(tree, dict):
            return tree
        name = tree.get("table_name", "") if tree.get("type") == "BASE_TABLE" else "".join(tree.get("column_names", ()))
        if name.startswith("__hole"):
            node = self.fill(self.nodes[int(name.removeprefix("__hole"))])
            kept = {key: tree[key] for key in ("alias", "column_name_alias") if tree.get(key) and tree["type"] == "BASE_TABLE"}
            return {**node, **kept}
        return {key: self.fill(part) for key, part in tree.items()}


def column(name: str) -> Node:
    """A reference to a column, as the parse tree has it."""
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [name]}


def constant(tree: Node, *, asks: bool = False, alone: bool = False) -> bool:
    """Whether a tree is the same for every row; `asks`: a relation, over nothing but values that it names itself."""
    own = {name.lower() for node in nodes(tree) for name in node.get("column_name_alias", ())} if asks else set()
    for node in nodes(tree):
        if node.get("class") == "COLUMN_REF":
            if not (node["column_names"][-1].lower() in own and len(node["column_names"]) == 1) and not (alone and bare(node)):
                return False
        elif node.get("class") == "STAR" and asks:
            continue
        elif "class" in node:
            if not steady(node, alone):
                return False
        elif node.get("type") in OTHER or (str(node.get("type")).endswith("_NODE") and not (asks and node["type"] == "SELECT_NODE")):
            return False
    return True


def steady(node: Node, alone: bool) -> bool:
    """Whether an expression node, apart from its children, gives the same for the same."""
    match node["class"]:
        case "COLUMN_REF":
            return alone and bare(node)
        case "FUNCTION":
            name, _ = called(node)
            return name in STEADY
        case kind:
            return kind in ("CONSTANT", "PARAMETER", "CAST", "OPERATOR", "CONJUNCTION", "COMPARISON", "BETWEEN", "CASE", "TYPE")


def bare(node: Node) -> bool:
    """Whether a reference is a function that is written without brackets."""
    return len(node["column_names"]) == 1 and node["column_names"][0].lower() in BARE


def nodes(tree: Any) -> Iterator[Node]:
    """All nodes of a tree."""
    if isinstance(tree, list):
        for part in tree:
            yield from nodes(part)
    elif isinstance(tree, dict):
        yield tree
        for part in tree.values():
            yield from nodes(part)


def called(node: Node) -> tuple[str, list[Node]]:
    """A function's name and arguments; no name if anything else is said of the call."""
    path = node.get("qualified_name", {}).get("path", [])
    odd = [key for key in ("filter", "distinct", "export_state", "catalog") if node.get(key)]
    if odd or len(path) > 1 or node.get("schema", "") not in ("", "main") or node.get("order_bys", {}).get("orders"):
        return "", []
    given = node.get("arguments")
    if given is None:
        return node["function_name"].lower(), node.get("children", [])
    return node["function_name"].lower(), [one["expression"] for one in given]


def with_given(node: Node, given: Sequence[Node]) -> Node:
    """A call with other arguments."""
    if "arguments" in node:
        return {**node, "arguments": [{**old, "expression": new} for old, new in zip(node["arguments"], given, strict=True)]}
    return {**node, "children": list(given)}


def type_of(cast: Node) -> str:
    """The type that a cast gives."""
    name = cast.get("cast_type", {}).get("id") or cast.get("type_expr", {}).get("type_name") or ""
    return str(name).lower()


def word(node: Node) -> str:
    """A literal text; empty if it is none."""
    kept = node.get("literal", {}).get("text") if "literal" in node else node.get("value", {}).get("value")
    return kept if node["type"] == "VALUE_CONSTANT" and isinstance(kept, str) else ""


def known(node: Node) -> bool:
    """Whether a constant is a literal other than NULL."""
    kept: Node = node.get("literal") or node.get("value") or {}
    return node.get("type") == "VALUE_CONSTANT" and kept.get("kind") != "NULL_LITERAL" and not kept.get("is_null")
