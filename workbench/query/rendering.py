"""What a query gives, as a notebook shows it: a table of few rows with the columns' types, made of one run.

Values are written by DuckDB: no time loses its nanoseconds or its zone, no number its digits, and no long text is fetched whole.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from workbench.errors import QueryError, UnknownName
from workbench.tables import TABLES
from workbench.tables.platforms import RECORDS

if TYPE_CHECKING:
    import duckdb

ROWS, COLUMNS, TEXT = 20, 100, 120
TYPE = 32
# What DuckDB says of a name that no table has, and something in Python has that is no frame.
NO_FRAME = re.compile(r'Python Object "([^"]+)" of type "([^"]+)" found on line')
# As many as DuckDB reads to show a relation as text.
COUNTED = 10_000
DIM = "color:var(--jp-ui-font-color2,#777)"
NULL = f'<span style="{DIM};font-style:italic">NULL</span>'
NUMBERS = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT DOUBLE DECIMAL BIGNUM VARINT".split()  # noqa: SIM905
)
# Where versions of DuckDB keep the class.
RELATIONS = ("duckdb._relation", "_duckdb", "duckdb", "duckdb.duckdb", "_duckdb._relation")


@dataclass(frozen=True)
class Shown:
    """The first rows of a result as text, None for NULL. `count` is how many there are; None where there are more than were read."""

    columns: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    count: int | None
    wide: int = 0

    @property
    def size(self) -> str:
        """How large the whole is, in words."""
        columns = len(self.columns) + self.wide
        return f"{columns:,} column{'s' * (columns != 1)} × {rows_in_words(self.count)}"


def rows_in_words(count: int | None) -> str:
    """A number of rows; None for more than were counted."""
    return "unknown rows" if count is None else "1 row" if count == 1 else f"{count:,} rows"


def first(relation: "duckdb.DuckDBPyRelation", limit: int = ROWS, *, text: int = TEXT, offset: int = 0) -> Shown:
    """The first rows of a relation, whose query runs once, and no further than they are found. Raises what DuckDB raises."""
    columns, types = relation.columns[:COLUMNS], [str(one) for one in relation.types[:COLUMNS]]
    # By place: names may be there twice. What is cut is cut before it is fetched.
    words = ", ".join(
        f"CASE WHEN length(CAST(#{n} AS VARCHAR)) > {text} THEN left(CAST(#{n} AS VARCHAR), {text - 1}) || '…' ELSE CAST(#{n} AS VARCHAR) END"
        for n in range(1, len(columns) + 1)
    )
    rows = relation.limit(limit + 1, offset).project(words).fetchall()
    return Shown(columns, types, rows[:limit], None if len(rows) > limit else offset + len(rows), len(relation.columns) - len(columns))


def once(relation: "duckdb.DuckDBPyRelation", limit: int = ROWS) -> tuple[Shown, str]:
    """The first rows of a relation, and its own text, of one run; the text is DuckDB's. Raises what DuckDB raises."""
    if not hasattr(relation, "materialize"):
        return first(relation, limit), str(relation)
    held = relation.limit(max(COUNTED, limit) + 1).materialize()
    shown, count = first(held, limit), len(held)
    # What is held has other names where two columns had the same.
    return Shown(relation.columns[:COLUMNS], shown.types, shown.rows, count if count <= max(COUNTED, limit) else None, shown.wide), str(
        held
    )


def html(shown: Shown) -> str:
    """A result as a table of HTML, with types under the names."""
    head = "".join(
        f'<th style="text-align:{side(type_)};vertical-align:top">{escape(name)}<br>'
        f'<span title="{escape(type_)}" style="font-weight:normal;font-size:smaller;{DIM}">{escape(cut(type_, TYPE))}</span></th>'
        for name, type_ in zip(shown.columns, shown.types, strict=True)
    )
    body = "".join("<tr>" + "".join(map(cell, row, shown.types)) + "</tr>" for row in shown.rows)
    table = f'<table style="margin:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto">{table}</div><p style="margin:4px 0;{DIM}">{escape(foot(shown))}</p>'


def foot(shown: Shown) -> str:
    """What stands below a table: whether it is all, and how large that is."""
    more = shown.count is None or shown.count > len(shown.rows) or shown.wide
    return f"… and more ({shown.size})" if more else shown.size


def cell(value: str | None, type_: str) -> str:
    """A value as a table cell; numbers stand on the right."""
    wrap = ";white-space:nowrap" if type_.startswith(("DATE", "TIME", "INTERVAL")) else ""
    return f'<td style="text-align:{side(type_)}{wrap}">{NULL if value is None else escape(value)}</td>'


def side(type_: str) -> str:
    """The side on which values of a type stand."""
    return "right" if numeric(type_) else "left"


def numeric(type_: str) -> bool:
    """Whether values of a type are numbers."""
    return type_.partition("(")[0] in NUMBERS and not type_.endswith("]")


def cut(text: str, length: int) -> str:
    """A text of no more than a length."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plain_fault(fault: Exception, space: Mapping[str, Any]) -> Exception:
    """An error as a notebook tells it: DuckDB looks for frames among the names of all functions that are running, which are not the user's.

    `space` are the variables that are.
    """
    if not (found := NO_FRAME.search(str(fault))):
        return fault
    name, kind = found.groups()
    if name in space:
        return QueryError(f"there is no table {name}, and the notebook's variable {name} is of type {kind}, not a frame; nothing was run.")
    return UnknownName("table", name, [*TABLES, *RECORDS])


def bundle(relation: "duckdb.DuckDBPyRelation") -> dict[str, str]:
    """A relation as HTML and as text, for IPython. A query that fails when it is read is told of, as IPython would."""
    import duckdb

    try:
        shown, text = once(relation)
    except duckdb.Error as fault:
        return {"text/html": f'<pre style="color:var(--jp-error-color1,#b42318)">{escape(str(fault))}</pre>', "text/plain": str(fault)}
    return {"text/html": html(shown), "text/plain": text}


def install() -> None:
    """Have the notebook that this runs in, if it does, show relations as tables. Costs nothing elsewhere."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython and hasattr(ipython, "get_ipython") else None
    # At a terminal DuckDB's own text is all there is to show.
    if shell is None or "text/html" not in shell.display_formatter.active_types:
        return
    for module in RELATIONS:
        shell.display_formatter.mimebundle_formatter.for_type_by_name(module, "DuckDBPyRelation", lambda one, **_: bundle(one))
