"""Documented views and table macros written out in a query's tree, so that what they read is narrowed like any table.

A call becomes a subquery of the macro's body in which the arguments stand in the place of the parameters, as DuckDB itself would put them; a view
becomes a subquery of its query. A body names the lake's tables in full and its own CTEs, so that nothing in the query around it can change what it
means. What is not understood stays as it is.
"""

import re
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any

from workbench.query.documented import View, every
from workbench.query.trees import STEADY, Node, called, constant, nodes, steady, type_of, word
from workbench.tables import TABLES
from workbench.tables.platforms import RECORDS

# All that may be said of a call, or of a view in a FROM, and of the function that is called.
OF_CALL = frozenset(("type", "function", "alias", "column_name_alias"))
OF_TABLE = frozenset(("type", "table_name", "schema_name", "qualified_name", "alias", "column_name_alias"))
OF_FUNCTION = frozenset(("class", "type", "function_name", "schema", "children", "arguments", "order_bys", "qualified_name"))

# Functions that give a value for a row.
ROWWISE = STEADY | {"md5"}
# What changes between a plan and its use.
FLEETING = re.compile(r"now|today|age|.*current.*|.*transaction.*|.*timezone.*|.*timestamp.*", re.IGNORECASE)

Parse = Callable[[str], Node]


class NotUnderstood(Exception):
    """What stands here stays as it is."""


@dataclass
class Inlining:
    """Writes out what is documented in one tree; `used` gathers what was.

    `parse` gives the tree of a text, `value` what a constant query gives; `given` are the queries of views that have another than their file's,
    `gone` the lake's tables of which no row matters.
    """

    parse: Parse
    value: Callable[[Node], object]
    given: Mapping[str, str] = field(default_factory=dict)
    gone: Collection[str] = ()
    used: set[View] = field(default_factory=set)

    def tree(self, tree: Any, hidden: frozenset[str] = frozenset(), inside: tuple[str, ...] = ()) -> Any:
        """A tree with all that can be written out; `hidden` are the names that CTEs take, `inside` is what is being written out."""
        if isinstance(tree, list):
            return [self.tree(part, hidden, inside) for part in tree]
        if not isinstance(tree, dict):
            return tree
        if (table := queried(tree)) and table not in hidden:
            [meant] = [node for node in nodes(self.parse(f"FROM main.{table}")) if node.get("type") == "BASE_TABLE"]
            return {**meant, **({"alias": tree["alias"]} if tree.get("alias") else {})}
        if (written := self._from_text(tree)) is not None:
            return self.tree(written, hidden, inside)
        if view := named(tree, hidden):
            try:
                return self._subquery(view, tree, hidden, inside)
            except NotUnderstood:
                pass
        hidden |= {one["key"].lower() for one in (tree.get("cte_map") or {}).get("map", ())}
        if inside and tree.get("type") == "SET_OPERATION_NODE":
            tree = self._with_rows(tree, hidden)
        return {key: self.tree(part, hidden, inside) for key, part in tree.items()}

    def _with_rows(self, union: Node, hidden: frozenset[str]) -> Node:
        """A documented view's UNION ALL without the sides that have no rows; the first gives its columns."""
        first, *others = sides(union)
        kept = [first, *(side for side in others if not self._barren(side, hidden))]
        if len(kept) == 1 + len(others):
            return union
        if len(kept) > 1 and "children" in union:
            return {**union, "children": kept}
        # DuckDB 1.5 has a left side and a right one, which may be a UNION again.
        return reduce(lambda right, left: {**union, "left": left, "right": right}, reversed(kept))

    def _barren(self, node: Node, hidden: frozenset[str]) -> bool:
        """Whether a SELECT, or a piece of its FROM, has no rows: it reads what people wrote, and they wrote nothing, or a table that is gone."""
        match node.get("type"):
            case "SELECT_NODE":
                # Without groups, an aggregate has a row all the same.
                called_ones = {called(one)[0] for one in nodes(node["select_list"]) if one.get("class") == "FUNCTION"}
                plain = called_ones <= ROWWISE and not node.get("having")
                return plain and self._barren(node.get("from_table", {}), hidden)
            case "SET_OPERATION_NODE":
                return all(self._barren(side, hidden) for side in sides(node))
            case "SUBQUERY":
                return self._barren(node["subquery"]["node"], hidden)
            case "JOIN":
                return node.get("join_type", "INNER") in ("INNER", "LEFT", "SEMI", "ANTI") and self._barren(node["left"], hidden)
            case "BASE_TABLE":
                path = path_of(node.get("qualified_name"), node.get("catalog_name"), node.get("schema_name"), node["table_name"])
                if path in [["main", name] for name in self.gone]:
                    return True
                view = named(node, hidden)
                if view is None:
                    return False
                body = self.given.get(view.full, view.sql)
                return body == records()[view.full] if view.full in records() else self._barren(self.parse(body).get("node", {}), hidden)
        return False

    def _from_text(self, ref: Node) -> Node | None:
        """The subquery that `query` is given as a text, where that is constant and means the same wherever it stands."""
        if ref.get("type") != "TABLE_FUNCTION" or set(plain(ref)) - OF_CALL:
            return None
        name, given = called(ref["function"])
        if name != "query" or len(given) != 1 or not fixed(given[0]):
            return None
        asked = self.parse("SELECT 1")
        asked["node"]["select_list"] = [given[0]]
        text = self.value(asked)
        statement = self.parse(text) if isinstance(text, str) else {}
        if not closed(statement):
            return None
        kept = {key: ref[key] for key in ("alias", "column_name_alias") if ref.get(key)}
        return {"type": "SUBQUERY", "subquery": {"node": statement["node"]}, **kept}

    def _subquery(self, view: View, ref: Node, hidden: frozenset[str], inside: tuple[str, ...]) -> Node:
        """The subquery that a reference to a view or macro stands for."""
        if view.full in inside:
            raise NotUnderstood
        call = view.kind == "table macro"
        if set(plain(ref)) - (OF_CALL if call else OF_TABLE) or (call and set(plain(ref["function"])) - OF_FUNCTION):
            raise NotUnderstood
        given = self._arguments(view, ref["function"]) if call else {}
        statement = self.parse(self.given.get(view.full, view.body))
        if not closed(statement):
            raise NotUnderstood
        body = self.tree(put(statement, given), hidden, (*inside, view.full))
        self.used.add(view)
        alias = ref.get("alias") or ("" if call else ref["table_name"])
        kept = {"column_name_alias": ref["column_name_alias"]} if ref.get("column_name_alias") else {}
        return {"type": "SUBQUERY", **({"alias": alias} if alias else {}), "subquery": {"node": body["node"]}, **kept}

    def _arguments(self, view: View, call: Node) -> dict[str, Node]:
        """The arguments of a call by the names of the parameters, defaults where none is given."""
        [declared] = [node for node in nodes(self.parse(f"FROM declared({view.arguments})")) if node.get("type") == "TABLE_FUNCTION"]
        parameters = listed(declared["function"])
        names = [name or parameter(value) for name, value in parameters]
        made = {name: value for name, value in parameters if name}
        given = set[str]()
        for at, (name, value) in enumerate(listed(call)):
            told = name or (names[at] if at < len(names) else "")
            # What DuckDB would refuse, it shall refuse in the query's own words.
            if told not in names or told in given or not constant(value):
                raise NotUnderstood
            given.add(told)
            made[told] = value
        if set(made) != set(names):
            raise NotUnderstood
        return made


def sides(node: Node) -> list[Node]:
    """The sides of a UNION ALL that stands for them and nothing else; of any other query, itself."""
    plain = node.get("setop_all", True) and not node.get("modifiers") and not (node.get("cte_map") or {}).get("map")
    if node.get("type") != "SET_OPERATION_NODE" or node.get("setop_type") != "UNION" or not plain:
        return [node]
    return [side for each in node.get("children") or (node["left"], node["right"]) for side in sides(each)]


def named(ref: Node, hidden: frozenset[str]) -> View | None:
    """The documented view or table macro that a piece of a FROM names."""
    match ref.get("type"):
        case "TABLE_FUNCTION":
            function = ref["function"]
            path = path_of(function.get("qualified_name"), function.get("catalog"), function.get("schema"), function.get("function_name"))
            kind = "table macro"
        case "BASE_TABLE":
            path = path_of(ref.get("qualified_name"), ref.get("catalog_name"), ref.get("schema_name"), ref["table_name"])
            kind = "view"
            if len(path) == 1 and path[0] in hidden:
                return None
        case _:
            return None
    view = known().get(".".join(path if len(path) > 1 else ["main", *path]))
    return view if view and view.kind == kind else None


def queried(ref: Node) -> str:
    """The lake's table that `query_table` is asked for by its name; empty if it is anything else."""
    if ref.get("type") != "TABLE_FUNCTION" or set(plain(ref)) - {"type", "function", "alias"}:
        return ""
    name, given = called(ref["function"])
    table = word(given[0]) if name == "query_table" and len(given) == 1 and given[0]["class"] == "CONSTANT" else ""
    return table if table in TABLES else ""


def fixed(tree: Node) -> bool:
    """Whether an expression has one value, whenever it is asked; or fails, which is left to DuckDB."""
    parts = list(nodes(tree))
    names = [str(one["function_name"]) for one in parts if one.get("class") == "FUNCTION"]
    names += [type_of(one) for one in parts if one.get("class") == "CAST"]
    if any(one.get("class") in ("PARAMETER", "COLUMN_REF") for one in parts) or any(map(FLEETING.fullmatch, names)):
        return False
    return all(steady(one, alone=False) or one.get("function_name") == "error" for one in parts if "class" in one)


@cache
def records() -> Mapping[str, str]:
    """The views of what people write, by full name, with their query while that is nothing."""
    return {".".join(one.imported): one.empty for one in RECORDS.values() if one.takes_rows}


def known() -> Mapping[str, View]:
    """What is documented, by full name in lower case."""
    return {name.lower(): view for name, view in every().items()}


def path_of(qualified: Node | None, *parts: str | None) -> list[str]:
    """A name with what qualifies it, in lower case."""
    return [part.lower() for part in (qualified or {}).get("path") or parts if part]


def plain(node: Node) -> Node:
    """What a node says, without where it stood and what it does not say."""
    return {key: part for key, part in node.items() if not key.startswith("query_location") and part not in ("", [], False, None)}


def listed(function: Node) -> list[tuple[str, Node]]:
    """The arguments of a call, with their names in lower case; no name where they go by place."""
    if "arguments" in function:
        return [(one.get("name", "").lower(), one["expression"]) for one in function["arguments"]]
    return [(one.get("alias", "").lower(), one) for one in function.get("children", ())]


def parameter(node: Node) -> str:
    """The name of a parameter that has no default."""
    if node.get("class") != "COLUMN_REF" or len(node["column_names"]) != 1:
        raise NotUnderstood
    return str(node["column_names"][0]).lower()


def closed(statement: Node) -> bool:
    """Whether a body means the same wherever it stands: it names tables in full, or is a CTE's of its own."""
    own = {one["key"].lower() for node in nodes(statement) for one in (node.get("cte_map") or {}).get("map", ())}
    return bool(statement) and all(
        node["table_name"].lower() in own
        or len(path_of(node.get("qualified_name"), node.get("catalog_name"), node.get("schema_name"), node["table_name"])) > 1
        for node in nodes(statement)
        if node.get("type") == "BASE_TABLE"
    )


def put(tree: Any, given: Mapping[str, Node]) -> Any:
    """A copy of a body with the arguments in the place of the parameters."""
    if isinstance(tree, list):
        return [put(part, given) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("class") == "LAMBDA" and any(name in given for name in lambdas(tree)):
        raise NotUnderstood
    if tree.get("class") == "COLUMN_REF" and len(tree["column_names"]) == 1 and (one := given.get(tree["column_names"][0].lower())):
        made = deepcopy({key: part for key, part in one.items() if key != "alias"})
        return made | ({"alias": tree["alias"]} if tree.get("alias") else {})
    return {key: put(part, given) for key, part in tree.items()}


def lambdas(node: Node) -> list[str]:
    """The names that a lambda gives its arguments."""
    return [str(name).lower() for one in nodes(node["lhs"]) for name in one.get("column_names", ())]
