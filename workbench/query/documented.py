"""What can be named in SQL besides the lake's tables: views under the names that documents give, and macros, each a file of its own.

`views/<schema>/<name>.sql` holds the query of a view; `macros/<name>.sql` the statement that makes a macro of the schema main, which stands
where a table does (`AS TABLE`) or where a value does. The comment that opens a file documents what it makes; what follows `Example:` in it is a query
that runs on any lake. Each is declared when a query first names it, or lists what there is, so that an open costs nothing for the many that
nobody asks for. One may name others, and the lake's tables, as `main.<name>`. What a view reads and the lake's log does not tell is
brought up to date by a supplier, each time before a query that names the view, or what stands on it; a supplier may also give the view's query anew.
What a supplier asks other views for, the comment says in a line of its own, `Made of: <views>`.
Tables that people write to have views, too: of no rows until a supplier says otherwise. So have tables under the names of their platform's own
databases, where no schema has that name.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Literal

import duckdb

from workbench.errors import LakeError
from workbench.query.views import literal
from workbench.tables import quote
from workbench.tables.platforms import OTHER_NAMES, RECORDS, SCHEMAS
from workbench.tables.record import Record

VIEWS, MACROS = (Path(__file__).with_name(name) for name in ("views", "macros"))
# Statements that may list every view, whatever they name, and those that begin a transaction, which sees none that is declared later.
LISTS = re.compile(
    r"\b(begin|start\s+transaction|show|describe|use|search_path|information_schema|duckdb_\w+|(?<!workbench\.)pg_\w+|sqlite_master|export)\b",
    re.IGNORECASE,
)
# A comment, or a text that may hold what looks like one; and the line of a comment that says what a supplier makes a view's relations of.
COMMENTED = re.compile(r"('[^']*')|--[^\n]*")
MADE_OF = re.compile(r"^-- Made of: (.*)$", re.MULTILINE)
# What a text only says, unless it is a query itself.
SAID = re.compile(r"'[^']*'")
CALL = re.compile(r"CREATE\s+OR\s+REPLACE\s+MACRO\s+(?:main\.)?(\w+)\s*\((.*?)\)\s*AS\s+(TABLE\b)?", re.IGNORECASE | re.DOTALL)
BARE = sorted(SCHEMAS.keys() - {record.schema for record in RECORDS.values()})

# Gives the query of a view whose query changes with the lake, and None for one whose query stands in its file.
Supplier = Callable[[duckdb.DuckDBPyConnection], str | None]
Kind = Literal["view", "table macro", "macro"]


@dataclass(frozen=True)
class View:
    """A documented view or macro: its schema and name, what it is for, queries that show it, and its SQL; `arguments` are a macro's, as written."""

    schema: str
    name: str
    kind: Kind
    doc: str
    examples: tuple[str, ...]
    sql: str
    arguments: str = ""

    @classmethod
    def read(cls, path: Path) -> "View":
        """Read one from its file; the comment that opens the file is its documentation."""
        text = path.read_text(encoding="utf-8")
        lead = takewhile(lambda line: line.startswith("--"), text.splitlines())
        doc, *examples = re.split(r"^Example:\s*", "\n".join(line.removeprefix("--").strip() for line in lead), flags=re.MULTILINE)
        told = (doc.strip(), tuple(" ".join(one.split()) for one in examples), text.strip().rstrip(";"))
        if path.parent.name != MACROS.name:
            return cls(path.parent.name, path.stem, "view", *told)
        call = CALL.search(text)
        assert call
        return cls("main", path.stem, "table macro" if call[3] else "macro", *told, " ".join(call[2].split()))

    @property
    def full(self) -> str:
        """Its name with its schema's."""
        return f"{self.schema}.{self.name}"

    @property
    def call(self) -> str:
        """How it is written in a query."""
        name = self.name if self.schema == "main" else self.full
        return name if self.kind == "view" else f"{name}({self.arguments})"

    @property
    def body(self) -> str:
        """The query that a view or a table macro stands for."""
        call = CALL.search(self.sql)
        return self.sql[call.end() :] if call else self.sql

    @property
    def statements(self) -> str:
        """What declares it, where its schema is there."""
        name = f"{quote(self.schema)}.{quote(self.name)}"
        if self.kind != "view":
            return f"{self.sql};\nCOMMENT ON {'MACRO TABLE' if self.kind == 'table macro' else 'MACRO'} {name} IS {literal(self.doc)}"
        return f"CREATE OR REPLACE VIEW {name} AS\n{self.sql}\n;\nCOMMENT ON VIEW {name} IS {literal(self.doc)}"


@cache
def every() -> dict[str, View]:
    """The documented views and macros, by full name."""
    return {view.full: view for view in [*map(View.read, sorted([*VIEWS.glob("*/*.sql"), *MACROS.glob("*.sql")])), *declared()]}


def declared() -> Iterator[View]:
    """The views that follow from the declarations: of tables that people write to, and of tables under the names of their platform's databases."""
    for one in RECORDS.values():
        if one.takes_rows:
            name = ".".join(one.imported)
            rest = "what market data feeds into it" if one.base else "what is computed"
            doc = f"What people wrote to `{one.full}`, without {rest}." if one.fed else one.doc
            yield View(*one.imported, "view", doc, (f"SELECT * FROM {name} LIMIT 5",), one.empty)
    for name, full in OTHER_NAMES.items():
        doc = f"The table `{full}`, under the name that its platform's own database gave it."
        database, _, theirs = name.partition(".")
        yield View(database, theirs, "view", doc, (f"SELECT * FROM {name} LIMIT 5",), f"SELECT * FROM {full}")
    if bars := RECORDS.get("market_data.ohlcv"):
        yield checks_broken(bars)


def checks_broken(record: Record) -> View:
    """The macro that tells which of the checks that bars are documented with some values break: the checks are declared once, with the record."""
    tests = ", ".join(f"CASE WHEN NOT ({one.rule}) THEN {literal(one.name)} END" for one in record.checks)
    arguments = "open, high, low, close, volume"
    return View(
        "main",
        "checks_broken",
        "macro",
        f"The names of the checks of {record.full} that a bar breaks; none that a NULL concerns.",
        ("SELECT ticker, date, checks_broken(open, high, low, close, volume) AS broken FROM stock_day WHERE len(broken) > 0",),
        f"CREATE OR REPLACE MACRO main.checks_broken({arguments}) AS list_filter([{tests}], lambda one: one IS NOT NULL)",
        arguments,
    )


@cache
def names() -> re.Pattern[str]:
    """Finds the names of documented views and macros: those in main with or without their schema's, all others with it.

    Many are everyday words, which columns of other tables bear, too.
    """
    bare = [re.escape(view.name) for view in every().values() if view.schema == "main"]
    schemas = {re.escape(view.schema) for view in every().values()} - {"main"}
    some, of = ("|".join(sorted(told, key=len, reverse=True)) or "(?!)" for told in (bare, schemas))
    return re.compile(rf'\b(?:(?:{of})"?\s*\.\s*"?\w+|(?:{some}))\b', re.IGNORECASE)


@cache
def meant() -> dict[str, tuple[View, ...]]:
    """What a name in lower case means, with its schema's or alone, and what that stands on: each after those that it names."""
    found: dict[str, dict[View, None]] = {}
    for view in every().values():
        for name in (view.full.lower(), view.name.lower()):
            found.setdefault(name, {}).update(dict.fromkeys(standing(view)))
    return {name: tuple(views) for name, views in found.items()}


@cache
def in_order() -> tuple[View, ...]:
    """All of them, each after those that it names."""
    return tuple(dict.fromkeys(one for view in every().values() for one in standing(view)))


def standing(view: View, inside: tuple[View, ...] = ()) -> Iterator[View]:
    """A view after those that it names, and those that they name."""
    for other in below()[view.full]:
        if other not in inside:
            yield from standing(other, (*inside, view))
    yield view


@cache
def below() -> dict[str, tuple[View, ...]]:
    """What each of them names outside of its comments, or is made of, by its full name."""

    def named(view: View) -> tuple[View, ...]:
        code = COMMENTED.sub(lambda found: found[1] or "", view.sql)
        told = {match.lower() for match in re.findall(r"\b\w+\.\w+\b", f"{code} {MADE_OF.findall(view.sql)}")}
        return tuple(other for other in every().values() if other is not view and other.full.lower() in told)

    return {view.full: named(view) for view in every().values()}


class Documented:
    """The documented views and macros of one session. `con` declares them; it must not be a user's cursor."""

    def __init__(self, con: duckdb.DuckDBPyConnection):
        self.con = con
        # Schemas that only users fill.
        con.execute("".join(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)};" for schema in BARE))
        # Whoever declares, and changes what is declared.
        self.alone = threading.RLock()
        self._declared: set[str] = set()
        self._suppliers: dict[str, Supplier] = {}
        # Whether the user may have chosen a schema whose views are named without it.
        self._chosen = False
        # The queries that suppliers gave, by full name; plans made with others are void.
        self.given: dict[str, str] = {}
        # Has what several views show be of one moment, before these are supplied; takes their full names.
        self.moment: Callable[[Iterable[str]], None] = lambda _: None
        # What tells rows that people wrote from what a view of theirs, by its full name, showed before: its query may stay as it is.
        self.mark: Callable[[str], object] = lambda _: None
        # The views of the tables that people declared on the lake, by full name.
        self.own: Callable[[], Mapping[str, View]] = dict

    def supply(self, view: str, supplier: Supplier) -> None:
        """Have a view's own relations brought up to date before each query that names it; `view` is its full name."""
        self._suppliers[view] = supplier

    def prepare(self, query: str | None = None) -> None:
        """Declare and supply what a query names; without one, or for a query that lists views, all there is."""
        everything = query is None or bool(LISTS.search(query) and LISTS.search(query if "query" in query else SAID.sub("''", query)))
        self._chosen = self._chosen or everything
        views = [*(in_order() if everything else self._named(query or "")), *self._own("" if everything else query)]
        if not views:
            return
        with self.alone:
            self.moment([view.full for view in views])
            waiting: list[View] = []
            for view in views:
                if supplier := self._suppliers.get(view.full):
                    # It may ask what the view stands on.
                    if waiting and below().get(view.full):
                        self._declare(waiting, everything)
                        waiting = []
                    try:
                        self._supply(view, supplier)
                    except (duckdb.Error, LakeError):
                        # Whoever names it is told; the others are there for whoever does not.
                        if not everything:
                            raise
                        continue
                if view.full not in self._declared:
                    waiting.append(view)
            self._declare(waiting, everything)

    def _named(self, query: str) -> Iterable[View]:
        """What a query names, each after what it stands on."""
        told = {"".join(re.findall(r"[\w.]", match)).lower() for match in names().findall(query)}
        if self._chosen:
            told |= {word.lower() for word in re.findall(r"\w+", query)}
        return dict.fromkeys(view for name in told for view in meant().get(name, ()))

    def _own(self, query: str | None) -> Iterator[View]:
        """What a query names of the tables that people declared; all of them for an empty one."""
        if own := self.own():
            words = set(re.findall(r"\w+", query.lower() if query else ""))
            yield from (view for view in own.values() if not query or (view.name in words and (self._chosen or view.schema in words)))

    def _view(self, full: str) -> View:
        """The view of a name."""
        return every().get(full) or self.own()[full]

    def current(self, view: View) -> View:
        """A view with the query that it has now."""
        return replace(view, sql=self.given[view.full]) if view.full in self.given else view

    def change(self, work: Callable[[duckdb.DuckDBPyConnection], Mapping[str, str]]) -> None:
        """Change what views stand on, and the queries that this gives anew for some, in one transaction; only `moment` may."""
        self.con.execute("BEGIN")
        try:
            told = {full: query for full, query in work(self.con).items() if query != self.given.get(full, self._view(full).sql)}
            for full in told.keys() & self._declared:
                self.con.execute(replace(self._view(full), sql=told[full]).statements)
            self.con.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):
                self.con.execute("ROLLBACK")
            raise
        if told:
            self.given = {**self.given, **told}

    def _supply(self, view: View, supplier: Supplier) -> None:
        """Have a view's relations brought up to date; a query that its supplier gives anew has it declared anew."""
        told = supplier(self.con)
        if told is not None and told != self.given.get(view.full, view.sql):
            self.given = {**self.given, view.full: told}
            self._declared.discard(view.full)

    def _declare(self, views: Sequence[View], everything: bool) -> None:
        """Declare views, all in one transaction; if one of them cannot be, each in its own, since it must not hide the others."""
        if not views:
            return
        try:
            self._in_one(views)
        except duckdb.Error:
            if len(views) == 1 and not everything:
                raise
            for view in views if len(views) > 1 else ():
                self._declare([view], everything)

    def _in_one(self, views: Sequence[View]) -> None:
        """Declare views in one transaction."""
        schemas = {view.schema for view in views} - {"main"} - {full.partition(".")[0] for full in self._declared}
        self.con.execute("BEGIN")
        try:
            for schema in schemas:
                self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
            # One text for all would have DuckDB 1.5 take the windows of one query for those of another.
            for view in views:
                self.con.execute(self.current(view).statements)
            self.con.execute("COMMIT")
        except duckdb.Error:
            with suppress(duckdb.Error):
                self.con.execute("ROLLBACK")
            raise
        self._declared.update(view.full for view in views)
