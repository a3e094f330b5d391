"""Views under the names that the platforms' documents give: `views/<schema>/<name>.sql`, one a file; its opening comment documents it.

A view is declared when a query first names it, or lists what there is, so that an open costs nothing for the many that nobody asks for. A view may name
others, and the lake's tables as `main.<table>`. What a view reads and the lake's log does not tell is brought up to date by a supplier,
each time before a query that names the view.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

import duckdb

from workbench.query.views import literal
from workbench.tables import quote

FOLDER = Path(__file__).with_name("views")
# Statements that may list every view, whatever they name.
LISTS = re.compile(r"\b(show|describe|use|information_schema|duckdb_\w+|pg_\w+|sqlite_master|export)\b", re.IGNORECASE)

Supplier = Callable[[duckdb.DuckDBPyConnection], None]


@dataclass(frozen=True)
class View:
    """A documented view: its schema and name, what it is for, and its query."""

    schema: str
    name: str
    doc: str
    sql: str

    @classmethod
    def read(cls, path: Path) -> "View":
        """Read a view; the comment that opens the file is its documentation."""
        text = path.read_text(encoding="utf-8")
        lead = takewhile(lambda line: line.startswith("--"), text.splitlines())
        doc = "\n".join(line.removeprefix("--").strip() for line in lead).strip()
        return cls(path.parent.name, path.stem, doc, text.strip().rstrip(";"))

    @property
    def full(self) -> str:
        """Its name with its schema's."""
        return f"{self.schema}.{self.name}"

    @property
    def statements(self) -> str:
        """What declares it."""
        name = f"{quote(self.schema)}.{quote(self.name)}"
        return (
            f"CREATE SCHEMA IF NOT EXISTS {quote(self.schema)};\n"
            f"CREATE OR REPLACE VIEW {name} AS\n{self.sql}\n;\nCOMMENT ON VIEW {name} IS {literal(self.doc)}"
        )


@cache
def every() -> dict[str, View]:
    """The documented views, by full name."""
    return {view.full: view for view in map(View.read, sorted(FOLDER.glob("*/*.sql")))}


@cache
def names() -> re.Pattern[str]:
    """Finds the names of documented views, with or without their schemas', and of their schemas."""
    known = {name for view in every().values() for name in (view.name, view.schema)}
    return re.compile(rf"\b({'|'.join(sorted(map(re.escape, known), key=len, reverse=True)) or '(?!)'})\b", re.IGNORECASE)


class Documented:
    """The documented views of one session. `con` declares them; it must not be a user's cursor."""

    def __init__(self, con: duckdb.DuckDBPyConnection):
        self._con = con
        self._lock = threading.RLock()
        self._declared: set[str] = set()
        self._suppliers: dict[str, Supplier] = {}

    def supply(self, view: str, supplier: Supplier) -> None:
        """Have a view's own relations brought up to date before each query that names it; `view` is its full name."""
        self._suppliers[view] = supplier

    def prepare(self, query: str | None = None) -> None:
        """Declare and supply the views that a query names; without one, or for a query that lists views, all of them."""
        everything = query is None or LISTS.search(query)
        named = set() if everything else {match.lower() for match in names().findall(query or "")}
        if not everything and not named:
            return
        with self._lock:
            for view in every().values():
                if everything or view.name.lower() in named or view.schema.lower() in named:
                    self._ready(view)

    def _ready(self, view: View) -> None:
        """Declare a view, after those that it names."""
        if supplier := self._suppliers.get(view.full):
            supplier(self._con)
        if view.full in self._declared:
            return
        self._declared.add(view.full)
        for other in every().values():
            if re.search(rf"\b{re.escape(other.schema)}\.{re.escape(other.name)}\b", view.sql) and other is not view:
                self._ready(other)
        try:
            self._con.execute(f"BEGIN;\n{view.statements};\nCOMMIT")
        except duckdb.Error:
            self._declared.discard(view.full)
            self._con.execute("ROLLBACK")
            raise
