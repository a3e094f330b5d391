"""Completion in `%%sql`: tables, columns, macros, functions, values and options, told by where in the SQL the cursor stands."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.bench import Workbench
from workbench.errors import WorkbenchError
from workbench.lake.declared import records
from workbench.magic.options import OPTIONS
from workbench.query.documented import every
from workbench.query.listing import known, listed
from workbench.tables import TABLES, quote
from workbench.tables.platforms import OTHER_NAMES, PLATFORMS, SCHEMAS

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext

    from workbench.magic.cells import SqlMagics

CELL = re.compile(r"\s*%%sql\b(.*)", re.DOTALL)
LINE = re.compile(r"(?:[\w\s.,]+=)?\s*%sql\b(.*)", re.DOTALL)
WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT",
    "RIGHT",
    "FULL",
    "INNER",
    "CROSS",
    "ASOF",
    "ON",
    "USING",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "NULL",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "EXISTS",
    "DISTINCT",
    "WITH",
    "UNION",
    "ALL",
    "INTERSECT",
    "EXCEPT",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "INTERVAL",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "ASC",
    "DESC",
    "NULLS",
    "FIRST",
    "LAST",
    "OVER",
    "PARTITION",
    "ROWS",
    "RANGE",
    "PRECEDING",
    "FOLLOWING",
    "CURRENT",
    "UNBOUNDED",
    "QUALIFY",
    "WINDOW",
    "FILTER",
    "EXCLUDE",
    "REPLACE",
    "COLUMNS",
    "PIVOT",
    "UNPIVOT",
    "DESCRIBE",
    "SUMMARIZE",
    "SHOW",
    "EXPLAIN",
    "ANALYZE",
    "VALUES",
    "CREATE",
    "TEMP",
    "TABLE",
    "VIEW",
    "MACRO",
    "DROP",
    "INSERT",
    "INTO",
    "UPDATE",
    "SET",
    "DELETE",
]
# After these stands a table.
TABLE_NEXT = re.compile(r"\b(?:from|join|describe|summarize|into|update|pivot|unpivot|table)\s+$", re.IGNORECASE)
LISTED_ON = re.compile(r"\bfrom\s+[^()]*,\s*$", re.IGNORECASE)
CLAUSE = re.compile(r"\b(?:where|group|order|having|select|on|using|limit|qualify|window|set)\b", re.IGNORECASE)
# A table in the query, and the name that it goes by there.
NAME = r'(?:"[^"]+"|\w+)'
READ = re.compile(
    rf"\b(?:from|join|update|into|describe|summarize)\s+|,\s*(?={NAME}(?:\.{NAME})*(?:\s+(?:as\s+)?{NAME})?\s*(?:,|\bjoin\b|\bwhere\b|$))",
    re.IGNORECASE,
)
TABLE = re.compile(rf"({NAME}(?:\s*\.\s*{NAME})*)(\s*\([^()]*\))?(?:\s+as\s+({NAME})|\s+({NAME}))?", re.IGNORECASE)
WITH = re.compile(rf"(?:\bwith\s+(?:recursive\s+)?|,\s*)({NAME})\s*(?:\([^()]*\)\s*)?as\s*(?:materialized\s*)?\(", re.IGNORECASE)
# An identifier with what stands before its dots, up to the cursor.
TYPED = re.compile(rf"((?:{NAME}\s*\.\s*)*)(\"?\w*)$")
QUIET = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
# Texts and comments that are at their end.
ENDED = re.compile(r"'(?:[^']|'')*'|--[^\n]*\n|/\*.*?\*/", re.DOTALL)
RESERVED = {word.lower() for word in WORDS}
# What a reader of SQL takes for a name without quotes.
PLAIN = re.compile(r"[a-z_]\w*", re.IGNORECASE)

Found = Iterator[tuple[str, str]]


def matcher(magics: "SqlMagics") -> Callable[["CompletionContext"], Any]:
    """What IPython asks for completions: of `%%sql` and `%sql` only, and then instead of Python's own."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    names = Names()

    @context_matcher(identifier="workbench.sql", priority=200)  # type: ignore[untyped-decorator]
    def sql(context: "CompletionContext") -> Any:
        fragment, found = "", list[tuple[str, str]]()
        if asked := texts(context.full_text, context.cursor_line, context.cursor_position):
            before, after = asked
            try:
                fragment, found = completed(before, after, names, magics, magics.space)
            except (WorkbenchError, duckdb.Error):
                # Without a lake there is nothing to name; the cell will say so.
                found = []
        made = [SimpleCompletion(text=text, type=kind) for text, kind in found]
        return {"completions": made, "matched_fragment": fragment, "suppress": bool(asked), "ordered": True}

    return sql  # type: ignore[no-any-return]


def texts(cell: str, line: int, column: int) -> tuple[str, str] | None:
    """What stands after the magic before the cursor, and after the cursor; None where there is no magic of ours."""
    lines = cell.split("\n")
    if line >= len(lines):
        return None
    if CELL.match(cell):
        before, after = "\n".join([*lines[:line], lines[line][:column]]), "\n".join([lines[line][column:], *lines[line + 1 :]])
        return (found[1], after) if (found := CELL.match(before)) else None
    found = LINE.match(lines[line][:column])
    return (found[1], lines[line][column:]) if found else None


def completed(before: str, after: str, names: "Names", magics: "SqlMagics", space: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """What is typed of a name, and what it may become, each with its kind."""
    if found := option(before, space):
        return found
    sql = re.sub(r"^\s*(?:--[a-z]\S*(?:[= ]+[^\s-]\S*)?[^\S\n]*)*", "", before, count=1) if before.lstrip().startswith("--") else before
    if "'" in (left := ENDED.sub("", sql)) or "--" in left or "/*" in left:
        return "", []
    if variable := re.search(r"\$(\w*)$", sql):
        kept = sorted(name for name in space if not name.startswith("_") and isinstance(space[name], VALUES))
        return variable[0], [(f"${name}", "variable") for name in starting(kept, variable[1])]
    asked = re.search(r"--platform[= ]+(\S+)", before)
    named = re.search(r"--bench[= ]+(\S+)", before)
    bench = magics.bench(named[1] if named else "", space)
    platform = asked[1].lower() if asked else bench.platform
    typed = TYPED.search(sql)
    assert typed
    lead, word = sql[: typed.start()], typed[2]
    whole = QUIET.sub(" ", f"{sql}{after}")
    if typed[1]:
        qualifier = typed[1].replace('"', "").replace(" ", "").rstrip(".").lower()
        return word, [*distinct(dotted(qualifier, whole, word, names, bench, platform))]
    if TABLE_NEXT.search(lead) or (LISTED_ON.search(lead) and not CLAUSE.search(lead[lead.lower().rfind("from") + 4 :])):
        return word, [*distinct(tables(whole, word, names, bench, platform, space))]
    return word, [*distinct(elsewhere(whole, word, names, bench, platform))]


VALUES = (str, int, float, bool, list, tuple, dict)


def option(before: str, space: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]] | None:
    """Completions of options and their values; None where the cursor stands in SQL."""
    from workbench.magic.cells import benches

    if "\n" in before or not (found := re.match(r"((?:\s*--\w+(?:[= ]+[^\s-]\S*)?)*)\s*(?:--(platform|bench)[= ]+(\S*)|(--\w*))$", before)):
        return None
    if found[2]:
        known = sorted(PLATFORMS if found[2] == "platform" else benches(space))
        return found[3], [(name, found[2]) for name in starting(known, found[3])]
    return found[4], [(f"--{name}", "option") for name in starting(OPTIONS, found[4][2:])]


def starting(names: Iterable[str], word: str) -> Iterator[str]:
    """The names that begin with what is typed, whatever its case."""
    begun = word.lstrip('"').lower()
    return (name for name in names if name.lower().startswith(begun))


def distinct(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each name once, as its first kind."""
    seen = set[str]()
    for name, kind in found:
        if name not in seen:
            seen.add(name)
            yield name, kind


def dotted(qualifier: str, sql: str, word: str, names: "Names", bench: Workbench, platform: str | None) -> Found:
    """What may stand after a dot: the columns of a table in the query, or the tables of a schema."""
    for alias, table in read(sql):
        if qualifier in (alias, table) and (columns := names.columns(table, bench, platform)):
            yield from ((column, "column") for column in starting(columns, word))
            return
    begun = f"{qualifier}."
    inside = [full[len(begun) :] for full in names.tables(bench) if full.lower().startswith(begun)]
    yield from ((name, "table") for name in starting(inside, word))
    if not inside:
        yield from ((column, "column") for column in starting(names.columns(qualifier, bench, platform), word))


def tables(sql: str, word: str, names: "Names", bench: Workbench, platform: str | None, space: Mapping[str, Any]) -> Found:
    """What may stand where a table does: first what the query and the session made, then the platform's, the lake's, and schemas."""
    yield from ((name, "table") for name in starting(ctes(sql), word))
    yield from ((name, "table") for name in starting(names.own(bench), word))
    if platform:
        schemas = SCHEMAS[platform].schemas if platform in SCHEMAS else PLATFORMS[platform].schemas if platform in PLATFORMS else ()
        bare = sorted(full.partition(".")[2] for full in names.tables(bench) if full.partition(".")[0] in schemas)
        yield from ((name, "table") for name in starting(bare, word))
    full = names.tables(bench)
    yield from ((name, "table") for name in starting((one for one in full if "." not in one), word))
    yield from ((f"{name}(", "macro") for name in starting(names.macros("table macro"), word))
    yield from ((name, "schema") for name in starting(sorted({one.partition(".")[0] for one in full if "." in one}), word))
    frames = (name for name, one in space.items() if not name.startswith("_") and type(one).__name__ in ("DataFrame", "LazyFrame", "Table"))
    yield from ((name, "frame") for name in starting(frames, word))
    if word:
        yield from ((name, "table") for name in starting((one for one in full if "." in one), word))


def elsewhere(sql: str, word: str, names: "Names", bench: Workbench, platform: str | None) -> Found:
    """What may stand in an expression: columns of the tables in the query, their names, macros, functions, words."""
    there = list(read(sql))
    for _, table in there:
        yield from ((column, "column") for column in starting(names.columns(table, bench, platform), word))
    yield from ((alias, "table") for alias in starting((alias for alias, _ in there), word))
    if not word:
        return
    yield from ((cased(one, word), "keyword") for one in starting(WORDS, word))
    yield from ((f"{name}(", "macro") for name in starting(names.macros("macro"), word))
    yield from ((f"{name}(", "function") for name in starting(names.functions(), word))
    if not there:
        yield from ((name, "table") for name in starting((one for one in names.tables(bench) if "." not in one), word))


def cased(keyword: str, word: str) -> str:
    """A keyword as its writer writes them."""
    return keyword.lower() if word == word.lower() else keyword


def read(sql: str) -> Iterator[tuple[str, str]]:
    """The tables that a query reads: the name that each goes by, and its own, in lower case."""
    for begin in READ.finditer(sql):
        if not (found := TABLE.match(sql, begin.end())):
            continue
        table = re.sub(r'["\s]', "", found[1]).lower()
        alias = (found[3] or found[4] or "").strip('"').lower()
        if table in RESERVED:
            continue
        if alias in RESERVED or not alias:
            alias = table.rpartition(".")[2]
        yield alias, f"{table}()" if found[2] else table


def ctes(sql: str) -> list[str]:
    """The names that a query gives to queries within it."""
    return [found[1].strip('"') for found in WITH.finditer(sql)] if re.search(r"\bwith\b", sql, re.IGNORECASE) else []


HELPER = "__workbench_names"
MADE = """SELECT table_name FROM duckdb_tables() WHERE temporary
    UNION SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal ORDER BY 1"""


class Names:
    """What a workbench's queries can name."""

    def __init__(self) -> None:
        self._functions: list[str] = []

    def tables(self, bench: Workbench) -> list[str]:
        """The lake's tables, the documented ones and views, by full name."""
        views = [name for name, view in known().items() if view.kind == "view" and listed(view)]
        return [*TABLES, *sorted({*records(bench.lake.root), *views, *OTHER_NAMES})]

    def macros(self, kind: str) -> list[str]:
        """The documented macros of a kind."""
        return sorted(view.name for view in every().values() if view.kind == kind)

    def own(self, bench: Workbench) -> list[str]:
        """The tables and views that the notebook made in its session; none before there is one."""
        if bench._catalog is None or (session := bench.catalog.sql("SELECT 1", {})) is None:
            return []
        # Asked of the session's cursor itself: the catalog would first declare every documented view, which takes a second.
        found: list[tuple[Any, ...]] = session.query(HELPER, MADE).fetchall()  # type: ignore[union-attr]
        return [name for (name,) in found if name != HELPER]

    def functions(self) -> list[str]:
        """DuckDB's functions."""
        if not self._functions:
            with duckdb.connect() as con:
                found = con.sql("SELECT DISTINCT function_name FROM duckdb_functions() ORDER BY 1").fetchall()
            self._functions = [name for (name,) in found if PLAIN.fullmatch(name) and not name.startswith("_")]
        return self._functions

    def columns(self, table: str, bench: Workbench, platform: str | None) -> list[str]:
        """The columns of a table, view or macro that gives rows; none of what is not there."""
        if table in TABLES:
            return [quoted(one.name) for one in TABLES[table].columns]
        there = records(bench.lake.root)
        if table not in there and platform:
            schemas = SCHEMAS[platform].schemas if platform in SCHEMAS else PLATFORMS[platform].schemas if platform in PLATFORMS else ()
            table = next((full for schema in schemas if (full := f"{schema}.{table}") in there), table)
        if table in there:
            return [quoted(one.name) for one in there[table].columns]
        return self._asked(table, bench)

    def _asked(self, table: str, bench: Workbench) -> list[str]:
        source = ".".join(map(quote, table.split(".")))
        if table.endswith("()"):
            from workbench.query.listing import arguments

            macro = next((view for view in every().values() if view.name == table[:-2] and view.kind == "table macro"), None)
            if macro is None:
                return []
            source = f"{macro.name}({', '.join('NULL' for _, default in arguments(macro) if not default)})"
        try:
            found = bench.catalog.sql(f"SELECT * FROM {source} LIMIT 0", {})
        except (WorkbenchError, duckdb.Error):
            return []
        return [quoted(name) for name in found.columns] if found is not None else []


def quoted(name: str) -> str:
    """A column as it is written in SQL."""
    return (
        name
        if PLAIN.fullmatch(name) and name.lower() not in RESERVED - {"date", "timestamp", "first", "last", "current", "range", "rows"}
        else quote(name)
    )
