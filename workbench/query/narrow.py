"""A query with fewer files to read: the lake's tables in it are replaced by those files that its conditions leave.

`read` takes a query apart, by DuckDB's own parser, into a `Plan`: a question to the log's statistics, and the query's text with
a hole for each table that a condition narrows. The plan depends on nothing but the text. `scopes` gathers what a row of a table must meet
to matter, `predicates` turns that into what a file must meet. Whatever they do not understand leaves a table all its files.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from workbench.query import newest
from workbench.query.documented import View, names
from workbench.query.inline import Inlining
from workbench.query.predicates import FEW
from workbench.query.scopes import Reading
from workbench.query.sights import Leaf
from workbench.query.trees import BARE, STEADY, Holes, Node, called, nodes
from workbench.query.views import literal
from workbench.tables import TABLES, quote

SCHEMA = "workbench_log"
# Tables of reference data have few files and no statistics of them.
NAMED = re.compile(rf"\b({'|'.join(name for name, table in TABLES.items() if table.kind != 'reference')})\b", re.IGNORECASE)
EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s+(?=SELECT|FROM|WITH|\()", re.IGNORECASE)
# What the parser makes of brackets, ANY and INTERVAL; nobody calls a function of their own so.
PARSED = {"list_value", "row", "unnest", "trunc", *(name for name in STEADY if name.startswith("to_"))}
AS_JSON = "json_serialize_sql({}, skip_null := true, skip_default := true)"

# In which a name in a query may mean something else than the lake's table, or a comparison something else than bytes.
USUAL = """current_setting('search_path') = '' AND current_setting('default_collation') = ''
    AND NOT current_setting('integer_division')::BOOLEAN AND current_setting('preserve_identifier_case')::VARCHAR IN ('preserve_case', 'true')
    AND (SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'main' AND lower(table_name) IN ({names})) = 0
    AND (SELECT count(*) FILTER (comment IS NOT NULL) = {count} AND count(*) = {count} AND NOT coalesce(bool_or(temporary), false)
         FROM duckdb_views() WHERE lower(schema_name || '.' || view_name) IN ({views}))"""

# Whether rows whose order is not told are in the usual one.
ORDERED = "upper(current_setting('default_null_order')) = 'NULLS_LAST' AND upper(current_setting('default_order')) IN ('ASC', 'ASCENDING')"

Ask = Callable[[str, dict[str, object]], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Plan:
    """How a query's text is narrowed.

    `asks` is a query over the statistics, in tables that it calls `__log_` and their name: whether the session is as usual, then for
    each hole the numbers of its files, and pairs of a ticker and such a number if its rows' tickers are among a few; last, whether rows are ordered as usual. `text` is the
    query with a name `__lake0`, … for each hole; `tables` names their tables. `values` are the parameters that `asks` takes, `functions`
    the functions that it trusts to be DuckDB's own, `macros` the documented ones that it trusts to be ours. `first` is there if it asks
    for the first rows by time.
    """

    asks: str
    text: str
    tables: tuple[str, ...]
    values: frozenset[str]
    functions: frozenset[str]
    macros: frozenset[str]
    first: "First | None" = None


@dataclass(frozen=True)
class First:
    """How the first rows by time are found, as `newest` has it: two texts with the plan's holes, and the parameters that `probe` takes."""

    count: int
    greatest: bool
    probe: str
    bounded: str
    values: frozenset[str]


def concerns(query: str) -> bool:
    """Whether a text may name what can be narrowed."""
    return bool(NAMED.search(query) or names().search(query))


def read(query: str, ask: Ask, given: Mapping[str, str], gone: Collection[str] = ()) -> Plan | None:
    """The plan of a query's text; None if no condition in it narrows anything. `ask` puts a question to DuckDB.

    `given` are the queries, by full name, of documented views that have another now than their file's. What such a view reads of tables that are
    `gone`, of which no row matters to the query, is left out, where that leaves the view its columns.
    """
    if re.search("__(hole|lake|log|value|listed|time|top)|2345-06-07 08:09:10.111213", query):
        return None
    before = EXPLAIN.match(query)
    prefix = query[: before.end()] if before else ""
    statements = serialized(query[len(prefix) :], ask)["statements"]
    if len(statements) != 1:
        return None
    [tree] = statements
    if any(node.get("sample") for node in nodes(tree)):
        return None
    entitle(tree, ask)
    inlining = Inlining(lambda text: next(iter(serialized(text, ask)["statements"]), {}), lambda one: valued(one, ask), given, gone)
    whole = inlining.tree(tree)
    if whole != tree and parameters(whole) == parameters(tree) and (plan := both(whole, prefix, inlining.used, ask)):
        return plan
    return both(tree, prefix, (), ask)


def both(tree: Node, prefix: str, inlined: Collection[View], ask: Ask) -> Plan | None:
    """The plan of a statement's tree, with that for the first rows by time if it asks for these."""
    top = newest.top(tree, lambda text: next(iter(serialized(text, ask)["statements"]))) if not prefix else None
    plan = planned(tree, prefix, inlined, ask)
    if plan is None or top is None:
        return plan
    (probe, its), (bounded, same) = (opened(one, ask)[:2] for one in (top.probe, top.bounded))
    # Their tables stand in the same order, and what is left of them for the query is what is left to look at.
    if (
        not probe
        or not bounded
        or not plan.tables == tuple(leaf.table.name for leaf, *_ in its) == tuple(leaf.table.name for leaf, *_ in same)
    ):
        return plan
    return replace(plan, first=First(top.count, top.greatest, probe, bounded, parameters(top.probe)))


def entitle(tree: Node, ask: Ask) -> None:
    """Name the columns that are called by the words of a query in them: those words change where its tables are replaced."""
    for node in list(nodes(tree)):
        for one in node.get("select_list", ()):
            parts = list(nodes(one))
            if not one.get("alias") and any(part.get("class") == "SUBQUERY" for part in parts) and not several(parts):
                [asked] = serialized("SELECT 1", ask)["statements"]
                asked["node"]["select_list"] = [one]
                one["alias"] = written(asked, ask).removeprefix("SELECT ")


def several(parts: Sequence[Node]) -> bool:
    """Whether an expression may give several columns, which take no name together."""
    return parts[0].get("class") == "STAR" or any(
        "unnest" in (part.get("function_name"), called(part)[0]) for part in parts if part.get("class") == "FUNCTION"
    )


def valued(statement: Node, ask: Ask) -> object:
    """The one value of a query over nothing; None if it fails."""
    try:
        [(value,)] = ask(written(statement, ask), {})
    except duckdb.Error:
        return None
    return value


def opened(tree: Node, ask: Ask) -> tuple[str, list[tuple[Leaf, str, str]], Holes]:
    """The text of a statement's tree with a hole for each table that a condition narrows, these, and what their conditions name; no text if none is."""
    reading = Reading()
    reading.visit(tree, {})
    if not reading.found:
        return "", [], reading.holes
    for n, (leaf, *_) in enumerate(reading.found):
        stand_in(leaf.node, f"__lake{n}", leaf.node.get("alias") or leaf.node["table_name"])
    text = written(tree, ask)
    # DuckDB's own words for a tree must give that tree back.
    [again] = serialized(text, ask)["statements"] or [{}]
    return text if alike(again) == alike(tree) else "", reading.found, reading.holes


def planned(tree: Node, prefix: str, inlined: Collection[View], ask: Ask) -> Plan | None:
    """The plan of a statement's tree, in which some views and macros are written out; None if nothing narrows it."""
    text, found, holes = opened(tree, ask)
    if not text:
        return None
    tables = tuple(leaf.table.name for leaf, *_ in found)
    views = [view.full for view in inlined if view.kind == "view"]
    asks = holes.fill(serialized(question(found, views), ask)["statements"][0])
    told = [node for hole in holes.nodes for node in nodes(hole)]
    functions = {node["function_name"].lower() for node in told if node.get("class") == "FUNCTION" and not node.get("is_operator")} - PARSED
    bare = {node["column_names"][0].lower() for node in told if node.get("class") == "COLUMN_REF"} & BARE
    macros = frozenset(view.name.lower() for view in inlined if view.kind != "view")
    return Plan(written(asks, ask), prefix + text, tables, parameters(told), frozenset(functions | bare), macros)


def parameters(tree: Any) -> frozenset[str]:
    """The names of the values that a tree takes."""
    return frozenset(str(node["identifier"]) for node in nodes(tree) if node.get("class") == "PARAMETER")


def question(found: Sequence[tuple[Leaf, str, str]], views: Iterable[str]) -> str:
    """The query over the statistics: whether the session is as usual, each table's files by range and by ticker, and whether rows are ordered as usual; `views` are trusted, too, by their full names."""
    tables = sorted({leaf.table.name for leaf, *_ in found})
    usual = sorted({f"main.{name}" for name in tables} | {name.lower() for name in views})
    # Without its schema, a view of the main one is meant only if no table takes its name.
    taken = [name.removeprefix("main.") for name in usual if name.startswith("main.")]
    asked = [USUAL.format(names=", ".join(map(literal, taken)), views=", ".join(map(literal, usual)), count=len(usual))]
    for leaf, test, among in found:
        log = f"__log_{leaf.table.name}"
        asked.append(f"(SELECT list(n) FROM {log} WHERE ({test}) IS NOT FALSE)")
        # Values of another type than text are compared otherwise: then the error has the query run as it is.
        asked.append(
            f"(SELECT list(row(ticker, n)) FROM {log}, (SELECT DISTINCT "
            f"CASE WHEN typeof(__value) = 'VARCHAR' THEN __value::VARCHAR ELSE error('another type') END AS ticker FROM {among} "
            f"WHERE __value IS NOT NULL AND (SELECT count(DISTINCT __value) FROM {among}) <= {FEW}) "
            f"WHERE (low <= ticker AND high >= ticker AND ({test})) IS NOT FALSE)"
            if among
            else "NULL"
        )
    return f"SELECT {', '.join([*asked, ORDERED])}"


def stand_in(ref: Node, name: str, alias: str) -> None:
    """Make a reference to a table one to a hole."""
    for key in ("schema_name", "catalog_name"):
        ref.pop(key, None)
    ref |= {"table_name": name, "alias": alias}
    if "qualified_name" in ref:
        ref["qualified_name"] = {"path": [name]}


def serialized(query: str, ask: Ask) -> Node:
    """The parse tree of a text."""
    [(tree,)] = ask(f"SELECT {AS_JSON.format('$query')}", {"query": query})
    made: Node = json.loads(tree)
    return made if not made["error"] else {"statements": []}


def written(statement: Node, ask: Ask) -> str:
    """The text of a parse tree."""
    tree = json.dumps({"error": False, "statements": [statement]})
    [(text,)] = ask("SELECT json_deserialize_sql($tree)", {"tree": tree})
    return str(text)


def alike(tree: Any) -> Any:
    """A tree without what says where in the text it was; VALUES, which DuckDB wraps anew each time, without the wrapping."""
    if isinstance(tree, list):
        return [alike(part) for part in tree]
    if isinstance(tree, dict):
        if tree.get("type") == "SUBQUERY" and tree.get("alias") == "valueslist":
            return alike(tree["subquery"]["node"]["from_table"])
        return {
            # Values go by name; their numbers are the order in which a text first names them.
            key: sorted(one["key"] for one in part) if key == "named_param_map" else alike(part)
            for key, part in tree.items()
            if not key.startswith("query_location")
        }
    return tree


def log(table: str, version: int) -> str:
    """The name of the table that holds a version's statistics."""
    return f"{SCHEMA}.{quote(f'{table} {version}')}"


def statistics(table: str, version: int) -> str:
    """The statement that makes a table of a snapshot's statistics, which stand, numbered, in a frame `statistics_of_the_log`."""
    return f"""CREATE TABLE {log(table, version)} AS
        SELECT *, since - INTERVAL 3 HOUR AS early, until + INTERVAL 3 HOUR AS late,
            epoch_us(since) * 1000 AS since_ns, epoch_us(until) * 1000 + 999 AS until_ns,
            epoch_us(early) * 1000 AS early_ns, epoch_us(late) * 1000 AS late_ns
        FROM (SELECT n, coalesce(sum(rows) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before,
            low::VARCHAR AS low, high::VARCHAR AS high, first::DATE AS first, last::DATE AS last,
            since::TIMESTAMPTZ AS since, until::TIMESTAMPTZ AS until FROM statistics_of_the_log)"""
