"""A query with fewer files to read: the lake's tables in it are replaced by those files that its conditions leave.

`read` takes a query apart, by DuckDB's own parser, into a `Plan`: a question to the log's statistics, and the query's text with
a hole for each table that a condition narrows. The plan depends on nothing but the text. `scopes` gathers what a row of a table must meet
to matter, `predicates` turns that into what a file must meet. Whatever they do not understand leaves a table all its files.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.query.predicates import FEW
from workbench.query.scopes import Leaf, Reading
from workbench.query.trees import BARE, STEADY, Node, nodes
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
    AND (SELECT count(*) = {count} AND count(comment) = {count} AND NOT bool_or(temporary)
         FROM duckdb_views() WHERE lower(view_name) IN ({names}))"""

Ask = Callable[[str, dict[str, object]], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Plan:
    """How a query's text is narrowed.

    `asks` is a query over the statistics, in tables that it calls `__log_` and their name: whether the session is as usual, then for
    each hole the numbers of its files, and pairs of a ticker and such a number if its rows' tickers are among a few. `text` is the
    query with a name `__lake0`, … for each hole; `tables` names their tables. `values` are the parameters that `asks` takes, `functions`
    the functions that it trusts to be DuckDB's own.
    """

    asks: str
    text: str
    tables: tuple[str, ...]
    values: frozenset[str]
    functions: frozenset[str]


def read(query: str, ask: Ask) -> Plan | None:
    """The plan of a query's text; None if no condition in it narrows anything. `ask` puts a question to DuckDB."""
    if re.search("__(hole|lake|log|value|listed)", query):
        return None
    before = EXPLAIN.match(query)
    prefix = query[: before.end()] if before else ""
    statements = serialized(query[len(prefix) :], ask)["statements"]
    if len(statements) != 1:
        return None
    [tree] = statements
    if any(node.get("sample") for node in nodes(tree)):
        return None
    reading = Reading()
    reading.visit(tree, {})
    if not reading.found:
        return None
    for n, (leaf, *_) in enumerate(reading.found):
        stand_in(leaf.node, f"__lake{n}", leaf.node.get("alias") or leaf.node["table_name"])
    text = written(tree, ask)
    # DuckDB's own words for a tree must give that tree back.
    [again] = serialized(text, ask)["statements"]
    if alike(again) != alike(tree):
        return None
    tables = tuple(leaf.table.name for leaf, *_ in reading.found)
    asks = reading.holes.fill(serialized(question(reading.found), ask)["statements"][0])
    told = [node for hole in reading.holes.nodes for node in nodes(hole)]
    values = frozenset(str(node["identifier"]) for node in told if node.get("class") == "PARAMETER")
    functions = {node["function_name"].lower() for node in told if node.get("class") == "FUNCTION" and not node.get("is_operator")} - PARSED
    bare = {node["column_names"][0].lower() for node in told if node.get("class") == "COLUMN_REF"} & BARE
    return Plan(written(asks, ask), prefix + text, tables, values, frozenset(functions | bare))


def question(found: Sequence[tuple[Leaf, str, str]]) -> str:
    """The query over the statistics: whether the session is as usual, and each table's files by range and by ticker."""
    names = sorted({leaf.table.name for leaf, *_ in found})
    asked = [USUAL.format(names=", ".join(f"'{name}'" for name in names), count=len(names))]
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
    return f"SELECT {', '.join(asked)}"


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
        return {key: alike(part) for key, part in tree.items() if not key.startswith("query_location")}
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
