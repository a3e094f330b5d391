"""Rows of a table as a path and its parameters ask for them, as SQL: columns by name, values as parameters, nothing of either as text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from workbench.errors import UnknownName, UsageError
from workbench.tables import TABLES, quote

if TYPE_CHECKING:
    from workbench.bench import Workbench

# Parameters of the path that are no conditions; a column of such a name goes by name.eq.
OWN = ("columns", "order", "limit", "offset", "format")
OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE"}
OTHERS = ("in", "null")
# Types whose values are told from text here, so that conditions on them reach the files; of others DuckDB does.
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
MOST_CONDITIONS, MOST_VALUES = 50, 1000


@dataclass(frozen=True)
class Shape:
    """A table or view as it is asked for: its columns with DuckDB's types, and its key."""

    schema: str
    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()

    @property
    def full(self) -> str:
        """Its name with its schema's."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """Its name in a query."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    def column(self, name: str) -> str:
        """The name of a column, as it is declared. Raises `UnknownName`."""
        if name in self.columns:
            return name
        raise UnknownName(f"column of {self.full}", name[:200], self.columns)


def shape(bench: "Workbench", schema: str, name: str, may: Collection[str]) -> Shape:
    """The table or view of that name, of those that may be named (in lower case). Raises `UnknownName` with the nearest of these."""
    schema, name = schema.lower(), name.lower()
    if f"{schema}.{name}" not in may:
        raise UnknownName("table or view", f"{schema}.{name}"[:200], may, "GET /tables lists them.")
    if schema == "main" and name in TABLES:
        table = TABLES[name]
        return Shape(schema, name, {one.name: one.type for one in table.columns}, tuple(table.key))
    record = bench.records().get(f"{schema}.{name}")
    told = bench.catalog.ask(f"DESCRIBE {quote(schema)}.{quote(name)}")
    columns = {str(row[0]): str(row[1]) for row in told.fetchall()} if told is not None else {}
    return Shape(schema, name, columns, record.key if record else ())


def query(
    shape: Shape, given: Sequence[tuple[str, str]], columns: str | None, order: str | None, limit: int, offset: int
) -> tuple[str, dict[str, Any]]:
    """The query for some rows, and its values. One row more than `limit` is asked for, which tells whether there are more.

    `given` are conditions as `ticker=AAPL`, `close.gt=100`, `ticker.in=AAPL,MSFT`, `vwap.null=true`. Raises `UnknownName` and `UsageError`.
    """
    chosen = [shape.column(name) for name in words(columns)] or list(shape.columns)
    if len(given) > MOST_CONDITIONS:
        raise UsageError(f"{len(given)} conditions were given, and {MOST_CONDITIONS} are the most; nothing was read. Ask by POST /sql.")
    values: dict[str, Any] = {}
    tests = [condition(shape, key, text, values) for key, text in given]
    by = [sort(shape, word) for word in words(order)]
    if not by and offset:
        # Pages of rows in no order may have a row twice.
        by = [quote(name) for name in shape.key]
    made = f"SELECT {', '.join(map(quote, chosen))} FROM {shape.sql}"
    made += f" WHERE {' AND '.join(tests)}" * bool(tests) + f" ORDER BY {', '.join(by)}" * bool(by)
    return f"{made} LIMIT {limit + 1} OFFSET {offset}", values


def words(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def sort(shape: Shape, word: str) -> str:
    """A column to order by; with - before it, the greatest first."""
    name = shape.column(word.removeprefix("-"))
    return f"{quote(name)} DESC NULLS LAST" if word.startswith("-") else f"{quote(name)} NULLS LAST"


def condition(shape: Shape, key: str, text: str, values: dict[str, Any]) -> str:
    """One condition as SQL; its values come to `values`."""
    name, operator = key, "eq"
    if key not in shape.columns:
        name, _, operator = key.rpartition(".")
        if operator not in (*OPERATORS, *OTHERS):
            shape.column(key)
    column = shape.column(name)
    if operator == "null":
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key} is {text[:80]!r}, but it must be true or false; nothing was read.")
        return f"{quote(column)} IS {'NOT ' * (text.lower() == 'false')}NULL"
    kind = shape.columns[column]
    if operator == "in":
        some = text.split(",")
        if len(some) > MOST_VALUES:
            raise UsageError(f"{key} has {len(some):,} values, and {MOST_VALUES:,} are the most; nothing was read. Ask by POST /sql.")
        return f"{quote(column)} IN ({', '.join(value(key, kind, one, values) for one in some)})"
    if operator == "like" and kind != "VARCHAR":
        raise UsageError(f"{column} is {kind}, and like is for text; nothing was read.")
    return f"{quote(column)} {OPERATORS[operator]} {value(key, kind, text, values)}"


def value(key: str, kind: str, text: str, values: dict[str, Any]) -> str:
    """A value as a parameter of a query. Raises `UsageError` for what is none of its type."""
    name = f"p{len(values)}"
    try:
        if kind in WHOLE:
            values[name] = int(text)
        elif kind == "DOUBLE":
            values[name] = float(text)
        elif kind == "DATE":
            values[name] = date.fromisoformat(text)
        elif kind == "BOOLEAN":
            values[name] = {"true": True, "false": False}[text.lower()]
        else:
            values[name] = text
            return f"${name}" if kind == "VARCHAR" else f"CAST(${name} AS {kind})"
    except (ValueError, KeyError) as fault:
        raise UsageError(f"{key} is {text[:80]!r}, which is no {kind}; nothing was read.") from fault
    return f"${name}"
