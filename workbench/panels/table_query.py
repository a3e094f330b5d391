"""What a table's panel asks: a table or a query with conditions, an order and pages, as SQL that runs as it stands."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.errors import QueryError, UsageError
from workbench.tables import TABLES, quote

if TYPE_CHECKING:
    from workbench.bench import Workbench

NAME = re.compile(r'(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))*\Z')
QUIET = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$\$.*?\$\$|--[^\n]*|/\*.*?\*/", re.DOTALL)
VALUE = re.compile(r"(?<![\w$])\$([A-Za-z_]\w*)")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\Z", re.IGNORECASE)
OPERATORS = ("=", "≠", "<", "≤", ">", "≥", "contains", "begins with", "is one of", "is NULL", "is not NULL")
SIGNS = {"≠": "!=", "≤": "<=", "≥": ">="}
BARE = ("is NULL", "is not NULL")
# What of a parsed query leaves rows in the order of what it reads.
UNORDERED = frozenset(("group_expressions", "having", "sample", "qualify"))


@dataclass(frozen=True)
class Filter:
    """A condition that the panel's fields made."""

    column: str
    operator: str
    value: str = ""
    type: str = "VARCHAR"

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value}".rstrip()

    @property
    def sql(self) -> str:
        """The condition, its values as DuckDB's literals of the column's type."""
        name = quote(self.column)
        if self.operator in BARE:
            return f"{name} {self.operator.upper()}"
        if self.operator in ("contains", "begins with"):
            function = "contains" if self.operator == "contains" else "starts_with"
            return f"{function}(lower(CAST({name} AS VARCHAR)), lower({text(self.value)}))"
        if self.operator == "is one of":
            return f"{name} IN ({', '.join(literal(one.strip(), self.type) for one in self.value.split(',') if one.strip()) or 'NULL'})"
        return f"{name} {SIGNS.get(self.operator, self.operator)} {literal(self.value, self.type)}"


def text(value: str) -> str:
    """A text as a literal."""
    return "'" + value.replace("'", "''") + "'"


def literal(value: str, type_: str) -> str:
    """A value as a literal of a type, in the form by which files are left out."""
    value = value.strip()
    if type_ == "VARCHAR":
        return text(value)
    if NUMBER.match(value) and not type_.startswith(("DATE", "TIME", "INTERVAL")):
        return value
    return f"{type_} {text(value)}" if type_ in ("DATE", "TIMESTAMP") else f"CAST({text(value)} AS {type_})"


@dataclass(frozen=True)
class Asked:
    """A table's name or a query's text, and what is made of it. `sorts` are columns, each with whether the greatest are first."""

    what: str
    where: str = ""
    filters: tuple[Filter, ...] = ()
    sorts: tuple[tuple[str, bool], ...] = ()
    columns: tuple[str, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_name(self) -> bool:
        """Whether it is a table's name."""
        return bool(NAME.match(self.what))

    @property
    def table(self) -> str | None:
        """The lake's table of that name."""
        name = self.what.lower().removeprefix("main.").replace('"', "")
        return name if self.is_name and name in TABLES else None

    @property
    def source(self) -> str:
        """What stands after FROM. The line's end closes a comment that the query may end with."""
        return self.what if self.is_name else f"(\n{self.what}\n) AS asked"

    @property
    def conditions(self) -> list[str]:
        """All conditions."""
        written = [f"(\n{self.where}\n)" if "--" in self.where else f"({self.where})"] if self.where else []
        return [*written, *(one.sql for one in self.filters)]

    def unordered(self, *more: str) -> str:
        """The query without an order, of its columns, under these conditions and others."""
        conditions = [*self.conditions, *more]
        shown = ", ".join(map(quote, self.columns)) or "*"
        if shown == "*" and not conditions and not self.is_name:
            return self.what
        return f"SELECT {shown}\nFROM {self.source}" + ("\nWHERE " + "\n  AND ".join(conditions) if conditions else "")

    def ordered(self, ties: Iterable[str] = (), *more: str) -> str:
        """The query in its order: as chosen, then by `ties`, so that pages neither repeat nor leave out a row."""
        chosen = {name for name, _ in self.sorts}
        parts = [f"{quote(name)} {'DESC' if down else 'ASC'} NULLS LAST" for name, down in self.sorts]
        parts += [quote(one) for one in ties if one not in chosen]
        text = self.unordered(*more)
        if not parts:
            return text
        # A query may end with an order of its own.
        whole = f"SELECT *\nFROM {self.source}" if text == self.what else text
        return f"{whole}\nORDER BY {', '.join(parts)}"

    def given(self, sql: str) -> dict[str, object]:
        """The values that a text names. Raises `UsageError` for one that was not given."""
        names = dict.fromkeys(VALUE.findall(QUIET.sub(" ", sql)))
        if missing := [name for name in names if name not in self.values]:
            raise UsageError(
                f"the query takes ${missing[0]}, which was not given; nothing was asked. Give it: TablePanel(bench, …, {missing[0]}=…)."
            )
        return {name: self.values[name] for name in names}


def clean(what: str, platform: str | None) -> str:
    """A table's name or a query, as it can stand within another. Raises `UsageError` for what shows no rows, or is several queries."""
    import duckdb

    what = what.strip().rstrip("; \n\t")
    if not what:
        raise UsageError("there is nothing to show; write a table's name or a query.")
    # A platform's own SQL is read where it is run.
    if NAME.match(what) or platform:
        return what
    try:
        found = duckdb.extract_statements(what)
    except duckdb.Error:
        # DuckDB says what is wrong when it is asked.
        return what
    if len(found) != 1:
        raise UsageError(f"one query can be shown, and these are {len(found)} statements; nothing was run. Leave one.")
    kind = str(found[0].type).rpartition(".")[2]
    if kind not in ("SELECT", "MULTI"):
        raise UsageError(f"a query can be shown, and this is {kind}; it was not run. Run it with bench.sql or %%sql.")
    return what


def one_condition(where: str, platform: str | None) -> str:
    """A condition as it was written. Raises `QueryError` if it would end the query that it stands in."""
    import duckdb

    where = where.strip().rstrip("; \n\t")
    if not where or platform:
        return where
    try:
        found = duckdb.extract_statements(f"SELECT 1 WHERE (\n{where}\n)")
    except duckdb.Error as fault:
        said = str(fault).split("\n", maxsplit=1)[0]
        raise QueryError(f"this is no condition ({said}); the filter was not changed. Write it as after WHERE: close > 100.") from fault
    if len(found) != 1:
        raise QueryError("this is more than a condition; the filter was not changed. Write it as after WHERE: close > 100.")
    return where


def keeps_order(bench: "Workbench", asked: Asked) -> bool:
    """Whether the rows come in the same order each time: of one table of the lake, or in an order of the query's own."""
    if asked.table:
        return True
    if asked.is_name:
        return False
    import json

    with suppress(Exception):
        [(tree,)] = bench.catalog._idle().execute("SELECT json_serialize_sql($query)", {"query": asked.what}).fetchall()
        [statement] = json.loads(tree)["statements"]
        node = statement["node"]
        if any(one["type"] == "ORDER_MODIFIER" for one in node.get("modifiers", ())):
            return True
        source = node.get("from_table", {})
        listed = json.dumps(node.get("select_list", []))
        return (
            source.get("type") == "BASE_TABLE"
            and str(source.get("table_name", "")).lower() in TABLES
            and not any(node.get(one) for one in UNORDERED)
            and not any(one["type"] == "DISTINCT_MODIFIER" for one in node.get("modifiers", ()))
            and '"class":"FUNCTION"' not in listed.replace(" ", "")
            and '"class":"WINDOW"' not in listed.replace(" ", "")
        )
    return False


def sorted_by(sort: str | Sequence[str]) -> tuple[tuple[str, bool], ...]:
    """An order as a caller writes it: "close", "-close" for the greatest first, or several."""
    names = [sort] if isinstance(sort, str) else list(sort)
    return tuple((name.removeprefix("-"), name.startswith("-")) for name in names if name)


def turned(asked: Asked, column: str) -> Asked:
    """The order after a click on a column: least first, then greatest first, then none."""
    now = dict(asked.sorts).get(column)
    after: tuple[tuple[str, bool], ...] = ((column, False),) if now is None else ((column, True),) if not now else ()
    return replace(asked, sorts=after)


def found_types(relation: Any) -> dict[str, str]:
    """The columns of a relation with their types."""
    return {name: str(type_) for name, type_ in zip(relation.columns, relation.types, strict=True)}
