"""What of a user's SQL may be run for people who may only read: one query, of tables and functions that they may name.

DuckDB's own parser takes the text apart, and what is not known in its tree is refused: a kind of node that a later DuckDB brings, too. So it
does not matter how a text is written; it matters what DuckDB reads in it.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod
from typing import Any

import duckdb

from workbench.errors import NotAllowed, QueryError
from workbench.query.guarded import growing
from workbench.query.guarded.names import Names, schemas
from workbench.query.trees import Node, word

# A longer text takes longer to take apart than most queries take to run; nobody writes it by hand.
LONGEST = 100_000
TEXTS = 512
UNDONE = "nothing was run"
# What may be read of the session's settings: nothing that says where something stands, or opens something.
SETTINGS = ("timezone", "calendar", "default_order", "default_null_order", "search_path")

QUERIES = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))
RELATIONS = frozenset(
    ("BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF", "EMPTY_FROM", "COLUMN_DATA")
)
EXPRESSIONS = frozenset(
    """COLUMN_REF CONSTANT FUNCTION OPERATOR CASE CAST COMPARISON CONJUNCTION BETWEEN SUBQUERY LAMBDA LAMBDA_REF STAR PARAMETER WINDOW COLLATE
    DEFAULT POSITIONAL_REFERENCE TYPE""".split()  # noqa: SIM905
)
# Where a relation stands in the tree: what is of another kind there is refused, whatever it is.
PLACES = ("from_table", "source")
# DuckDB's own, besides the documented ones.
INNER = frozenset(("memory", "system", "temp", "pg_catalog", "information_schema"))
LISTS_TABLES = frozenset(('"tables"', "tables", "__show_tables_expanded"))


@dataclass(frozen=True)
class Called:
    """A function in a text: its name with what stands before it, whether a table stands there, and the texts among its arguments.

    `texts` pairs each argument's name (empty: by place) with its text; None for what is no literal text. `grows` tells why its value could be
    of any length, empty if it cannot; `times` is how many times as long as what it is given it may be.
    """

    path: tuple[str, ...]
    table: bool
    texts: tuple[tuple[str, str | None], ...] = ()
    grows: str = ""
    times: float = 1.0


@dataclass(frozen=True)
class Read:
    """What a text names: tables with what stands before them, and functions; and whether it lists what there is."""

    tables: tuple[tuple[str, ...], ...]
    functions: tuple[Called, ...]
    lists: bool = False


class Gate:
    """Says whether texts may be run. Safe to use from many threads."""

    def __init__(self) -> None:
        # Only its parser is used: it knows no table, and may open no file.
        self._con = duckdb.connect(config={"threads": 1, "memory_limit": "512MB", "temp_directory": ""})
        self._con.execute("SET GLOBAL enable_external_access = false; SET GLOBAL lock_configuration = true")
        self._lock = threading.Lock()
        self._seen: dict[str, Read] = {}

    def close(self) -> None:
        """Close its parser."""
        self._con.close()

    def check(self, text: str, names: Names) -> None:
        """Raises `NotAllowed` for what may not be run, and `QueryError` for what is no SQL."""
        if len(text) > LONGEST:
            raise NotAllowed(
                f"the query has {len(text):,} characters, and {LONGEST:,} may be run here; {UNDONE}. Pass long lists as values."
            )
        found = self._seen.get(text)
        if found is None:
            found = self._read(text)
            with self._lock:
                if len(self._seen) >= TEXTS:
                    self._seen.clear()
                self._seen[text] = found
        judge(found, names)

    def _read(self, text: str) -> Read:
        try:
            with self._con.cursor() as cursor:
                kinds = [one.type.name for one in cursor.extract_statements(text)]
                if kinds != ["SELECT"]:
                    raise NotAllowed(refusal(kinds))
                [(told,)] = cursor.execute("SELECT json_serialize_sql($text::VARCHAR)", {"text": text}).fetchall()
            tree = json.loads(told)
        except duckdb.ParserException as fault:
            raise QueryError(str(fault)) from fault
        except (duckdb.Error, ValueError, RecursionError, UnicodeError) as fault:
            raise NotAllowed(f"the query could not be taken apart to see what it reads ({first_line(fault)}); {UNDONE}.") from fault
        if tree.get("error") or len(tree.get("statements", ())) != 1:
            raise NotAllowed(f"the query is none that can be looked into ({tree.get('error_message', 'several statements')}); {UNDONE}.")
        tables: list[tuple[str, ...]] = []
        functions: list[Called] = []
        lists = False
        try:
            for one in named(tree["statements"][0], frozenset()):
                if isinstance(one, Called):
                    functions.append(one)
                elif one in {(name,) for name in LISTS_TABLES}:
                    lists = True
                else:
                    tables.append(one)
        except RecursionError as fault:
            raise NotAllowed(f"the query is nested too deeply to see what it reads; {UNDONE}.") from fault
        if (times := prod(one.times for one in functions)) > growing.LONG:
            raise NotAllowed(
                f"the functions of the query could together make a value {times:,.0f} times as long as what they are given, and {growing.LONG:,} times is the "
                f"most; {UNDONE}. Repeat or replace less, or ask for lists as tables: FROM range(…)."
            )
        return Read(tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(functions)), lists)


def refusal(kinds: list[str]) -> str:
    """Why statements of these kinds are not run."""
    if not kinds:
        return f"the query is empty; {UNDONE}."
    if len(kinds) > 1:
        return f"{len(kinds)} statements were given, and one query at a time may be run here; {UNDONE}. Ask them one by one."
    if kinds == ["MULTI"]:
        return f"a PIVOT whose columns are not listed makes a type first, and nothing may be made here; {UNDONE}. List them: ON column IN ('a', 'b')."
    return f"{kinds[0].replace('_', ' ')} is no query, and only queries may be run here; {UNDONE}. Ask with SELECT, FROM, WITH, DESCRIBE or SUMMARIZE."


def first_line(fault: Exception) -> str:
    """What an error says, in short."""
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]


# ---------------------------------------------------------------------- what it names


def named(tree: Any, own: frozenset[str]) -> Iterator[tuple[str, ...] | Called]:
    """The tables and functions that a tree names; `own` are the names, in lower case, that the text itself has given to queries there.

    Raises `NotAllowed` for a node of a kind that is not known.
    """
    if isinstance(tree, list):
        for part in tree:
            yield from named(part, own)
        return
    if not isinstance(tree, dict):
        return
    kind = str(tree.get("type", ""))
    for place in PLACES:
        if isinstance(held := tree.get(place), dict) and "class" not in held and held.get("type") not in RELATIONS:
            raise unknown(held)
    if "class" in tree:
        if tree["class"] not in EXPRESSIONS:
            raise unknown(tree)
        if tree["class"] in ("FUNCTION", "WINDOW"):
            yield call(tree, table=False)
    elif kind.endswith("_NODE"):
        if kind not in QUERIES:
            raise unknown(tree)
        for name, query in common(tree):
            # A query of the text's own sees those before it, and itself where it goes round.
            inside = own | {name} if holder(query).get("type") == "RECURSIVE_CTE_NODE" else own
            yield from named(query, inside)
            own = own | {name}
        if kind == "CTE_NODE":
            # Older trees nest them: the query is named for what stands beside it.
            yield from named(tree.get("query"), own)
            own = own | {str(tree.get("cte_name", "")).lower()}
        tree = {key: part for key, part in tree.items() if key != "cte_map" and not (kind == "CTE_NODE" and key == "query")}
    elif kind == "BASE_TABLE":
        path = path_of(tree, "catalog_name", "schema_name", "table_name")
        if len(path) > 1 or path[0] not in own:
            yield path
    elif kind == "SHOW_REF":
        path = path_of(tree, "catalog_name", "schema_name", "table_name")
        if path != ("",) and not tree.get("query"):
            yield path
    elif kind == "TABLE_FUNCTION":
        function = tree["function"]
        if function.get("class") != "FUNCTION":
            raise unknown(function)
        yield call(function, table=True)
        # Its arguments, which are no call of a value's.
        for key in ("arguments", "children", "filter", "order_bys"):
            yield from named(function.get(key), own)
        tree = {key: part for key, part in tree.items() if key != "function"}
    for part in tree.values():
        if isinstance(part, dict | list):
            yield from named(part, own)


def common(tree: Node) -> Iterator[tuple[str, Node]]:
    """The queries that a text gives names to (WITH), in order."""
    for one in (tree.get("cte_map") or {}).get("map", ()):
        yield str(one["key"]).lower(), one["value"]


def holder(value: Node) -> Node:
    """The query of a name."""
    node: Node = value.get("query_node") or (value.get("query") or {}).get("node") or {}
    return node


def path_of(tree: Node, *keys: str) -> tuple[str, ...]:
    """A name with what stands before it, in lower case; by both ways in which the tree may tell it, which must say the same."""
    told = tuple(str(tree[key]).lower() for key in keys if tree.get(key)) or ("",)
    path = tuple(str(one).lower() for one in (tree.get("qualified_name") or {}).get("path", ()))
    if path and path != told:
        raise NotAllowed(f"{'.'.join(path)} is a name with more parts than a table's has; {UNDONE}.")
    return told


def call(tree: Node, *, table: bool) -> Called:
    """A function of a tree."""
    given = tree.get("arguments")
    if given is not None:
        texts = tuple((str(one.get("name") or one["expression"].get("alias") or "").lower(), text(one["expression"])) for one in given)
    else:
        texts = tuple((str(one.get("alias") or "").lower(), text(one)) for one in tree.get("children", ()))
    path = path_of(tree, "catalog", "schema", "function_name")
    if table:
        return Called(path, table, texts)
    told = [one["expression"] for one in given] if given is not None else tree.get("children", [])
    if len(path) > 1 and growing.of_any_length(path[-1]):
        # What stands before it may be its first argument.
        return Called(path, table, texts, f"write it as {path[-1]}(…)")
    return Called(path, table, texts, *growing.growth(path[-1], told))


def text(node: Node) -> str | None:
    """A literal text; None for anything else. A comparison is how some trees tell an argument by name."""
    return word(node) or None if node.get("class") == "CONSTANT" else None


def unknown(node: Node) -> NotAllowed:
    """What is not known is not run."""
    kind = str(node.get("class") or node.get("type") or "").replace("_", " ")
    return NotAllowed(
        f"the query holds a part that may not be run here ({kind or 'of an unknown kind'}); {UNDONE}. Ask with plain queries."
    )


# ---------------------------------------------------------------------- whether it may


def judge(found: Read, names: Names) -> None:
    """Raises `NotAllowed` for the first thing that may not be named."""
    if found.lists and names.schemas is not None:
        raise NotAllowed(f"what tables there are is not told to whoever may read some schemas ({', '.join(names.schemas)}); {UNDONE}.")
    for path in found.tables:
        if table_of(path) not in names.tables:
            raise no_table(path, names)
    for called in found.functions:
        allowed = names.table_functions if called.table else names.functions
        name = called.path[-1]
        if not before(called) and called.path[:-1] not in ((), ("main",), ("memory", "main"), ("system", "main"), ("pg_catalog",)):
            raise NotAllowed(f"{'.'.join(called.path)}() may not be called here; {UNDONE}. Call functions without a schema.")
        if name == "current_setting":
            if not any(told.lower() in SETTINGS for _, told in called.texts if told) or len(called.texts) != 1:
                raise NotAllowed(f"current_setting() tells {', '.join(SETTINGS)} here, as a plain text; {UNDONE}.")
        elif name not in allowed:
            raise NotAllowed(
                f"{name}() may not be called here; {UNDONE}. It is none of the functions that only work on what they are given."
            )
        elif called.grows:
            raise NotAllowed(f"{name}() could make a value of any length: {called.grows}; {UNDONE}.")
        elif called.table and name in names.told:
            expect_named(called, names)


def before(called: Called) -> bool:
    """Whether what stands before a function's name is a column, as in ticker.lower(): no schema is called so."""
    return not called.table and len(called.path) == 2 and called.path[0] not in (schemas() | INNER)


def expect_named(called: Called, names: Names) -> None:
    """Raises `NotAllowed` unless the table that a macro is told by name is a literal, and one that may be read."""
    argument, place = names.told[called.path[-1]]
    for n, (name, told) in enumerate(called.texts):
        if name == argument or (not name and n == place):
            if told is None:
                raise NotAllowed(f"{argument} of {called.path[-1]}() must be a plain text, as 'stock_minute'; {UNDONE}.")
            path = tuple(told.lower().split("."))
            if table_of(path) not in names.tables or '"' in told:
                raise no_table(path, names)


def table_of(path: tuple[str, ...]) -> str:
    """The full name of the table that a name means; empty if it can be none of the lake's."""
    match path:
        case (name,):
            return f"main.{name}"
        case ("memory", name):
            return f"main.{name}"
        case (schema, name) | ("memory", schema, name):
            return f"{schema}.{name}"
    return ""


def no_table(path: tuple[str, ...], names: Names) -> NotAllowed:
    """The error for a table that may not be read, which may not be there either: whoever may not read it is not told."""
    told = ".".join(path)[:200]
    near = get_close_matches(told if len(path) > 1 else f"main.{told}", names.tables, n=3, cutoff=0.75)
    advice = f"Did you mean {' or '.join(one.removeprefix('main.') for one in near)}?" if near else ""
    where = f" Schemas that may be: {', '.join(names.schemas)}." if names.schemas is not None else ""
    return NotAllowed(f"{told!r} is no table that may be read here; {UNDONE}.{where} {advice}".rstrip())
