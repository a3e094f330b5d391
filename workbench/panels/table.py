"""Any table or query, in a notebook: paged, sorted and filtered in SQL, with profiles of its columns.

Of the kept widgets, itables and ipydatagrid want the whole frame in the browser, and quak pages in SQL, but writes it without quotes from a script
of its own that tells no error in the page and leaves nothing in a saved notebook. So this is made of ipywidgets: each page is one query of `bench.sql`,
which leaves out files, and only its rows travel.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.errors import QueryError, UnknownName, UsageError, WorkbenchError
from workbench.panels.parts import escape, guarded
from workbench.panels.table_fields import COLUMNS, Fields, show
from workbench.panels.table_profile import COUNTED, Profile, limits, profiled
from workbench.panels.table_query import (
    BARE,
    OPERATORS,
    Asked,
    Filter,
    clean,
    found_types,
    keeps_order,
    literal,
    one_condition,
    sorted_by,
    turned,
)
from workbench.query.rendering import DIM, Shown, first, plain_fault
from workbench.tables import TABLES, quote
from workbench.tables.platforms import RECORDS

if TYPE_CHECKING:
    import polars as pl

    from workbench.bench import Workbench

TEXT = 60
# How long the kernel may be kept for a number that is not asked for.
BOXED_SECONDS = 0.7
# From as many rows on, a page in an order is found by the value at its end first: that reads one column, not all.
LARGE = 5_000_000
# What `data` gives without being told how many.
WHOLE = 20_000_000

# A function among the notebook's own names: DuckDB finds the notebook's frames, which it looks for among the names of whoever calls.
_AMONG = (lambda call: call()).__code__


class TablePanel(Fields):
    """A table or a query, page by page. `$name` in it takes the value passed as `name`.

    `where` is a condition as after WHERE; `sort` a column, or several, with a minus before one whose greatest values are first.
    """

    def __init__(
        self,
        bench: "Workbench",
        what: str,
        /,
        *,
        where: str = "",
        sort: str | Sequence[str] = (),
        columns: Sequence[str] = (),
        rows: int = 25,
        profiles: bool = False,
        **values: object,
    ):
        self.bench = bench
        super().__init__(what, where, rows, profiles)
        self.asked = Asked("", sorts=sorted_by(sort), columns=tuple(columns), values=values)
        self.types: dict[str, str] = {}
        self._counted: tuple[str, int | None] = ("", None)
        self._stable = True
        self._quiet = False
        self._wire()
        guarded(self.tell, self.load)()

    def _wire(self) -> None:
        """Join widgets to what they do."""
        clicks: tuple[tuple[Any, Callable[[], None]], ...] = (
            (self.add_button, self.add),
            (self.first_button, lambda: self.go(0)),
            (self.back_button, lambda: self.go(self.page - 1)),
            (self.next_button, lambda: self.go(self.page + 1)),
            (self.last_button, self.last),
            (self.count_button, self.count_all),
            (self.whole_button, lambda: self._profile(whole=True)),
        )
        for button, action in clicks:
            button.on_click(guarded(self.tell, action))
        changes: tuple[tuple[Any, Callable[[], None]], ...] = (
            (self.what, self.load),
            (self.where, self.filter),
            (self.size, lambda: self.go(0)),
            (self.profile_button, self._profile),
            (self.columns_button, lambda: show(self.choice, self.columns_button.value)),
            (self.sql_button, self._show_sql),
            (self.choice, self._choose),
        )
        for entry, action in changes:
            entry.observe(guarded(self.tell, lambda action=action: None if self._quiet else action()), "value")  # type: ignore[misc]

    # ------------------------------------------------------------------ ask

    @property
    def sql(self) -> str:
        """The query that gives all rows, as they are filtered and sorted; it runs as it stands, in `bench.sql`."""
        return self.asked.ordered(self._ties())

    def data(self, limit: int | None = None) -> "pl.DataFrame":
        """All rows as a polars frame, or the first so many. Raises `UsageError` for very many if none is told."""
        if limit is None and (self.count or 0) > WHOLE:
            raise UsageError(f"these are {self.count:,} rows; no frame was made. Filter them, or say how many you want: data(limit=…).")
        found = self._relation(self.sql)
        frame: pl.DataFrame = found.pl() if limit is None else found.limit(limit).pl()
        return frame

    def load(self) -> None:
        """Take what the first field says, from its first page on. What was shown of something else goes."""
        self._say_what("")
        # A condition that what is asked now does not take must not stay behind.
        asked = replace(self.asked, filters=(), where="")
        try:
            asked = replace(asked, what=clean(self.what.value, self.bench.platform))
            with self._asking("opening"):
                types = found_types(self._relation(f"SELECT * FROM {asked.source} LIMIT 0" if asked.is_name else asked.what, asked))
                stable = keeps_order(self.bench, asked)
        except (WorkbenchError, duckdb.Error) as fault:
            if asked.is_name and isinstance(fault.__cause__, duckdb.CatalogException):
                fault = UnknownName("table", asked.what, [*TABLES, *RECORDS], hint="Or write a query.")
            self._not_loaded(fault)
            return
        for name in (*asked.columns, *(name for name, _ in asked.sorts)):
            if name not in types and self.asked.what == "":
                self._say_what(f"there is no column {name}; it was left out. There are {', '.join(types)}.")
        asked = replace(
            asked,
            columns=tuple(name for name in asked.columns if name in types),
            sorts=tuple(pair for pair in asked.sorts if pair[0] in types),
        )
        before = self.asked, self.types, self._stable, self.page, self.shown
        self.asked, self.types, self._stable, self.page, self.shown = asked, types, stable, 0, None
        self._set_fields()
        try:
            self._filtered()
        except WorkbenchError as fault:
            self.asked, self.types, self._stable, self.page, self.shown = before
            self._set_fields()
            self._not_loaded(fault)
            return
        self._profile()

    def _not_loaded(self, fault: Exception) -> None:
        self._say_what(said(fault) + "\nWhat is shown below is what was shown before." * bool(self.shown))

    def filter(self) -> None:
        """Take what the condition's field says."""
        self._filtered()
        self._profile()

    def _filtered(self) -> None:
        self._say_where("")
        before = self.asked
        try:
            self.asked = replace(before, where=one_condition(self.where.value, self.bench.platform))
            self._page(0)
        except (WorkbenchError, duckdb.Error) as fault:
            self.asked = before
            if not self.where.value.strip():
                raise
            self._say_where(f"{said(fault)}\nThe rows below are not filtered by it.")
            if self.shown is None:
                self._page(0)

    def add(self) -> None:
        """Add the condition of the filter's fields."""
        self._say_value("")
        name, operator, value = self.column.value, self.operator.value, self.value.value
        if name is None:
            return
        if operator not in BARE and not value.strip():
            self._say_value(f"{operator} needs a value; nothing was filtered.")
            return
        made = Filter(name, operator, value, self.types[name])
        before = self.asked
        try:
            for one in value.split(",") if operator == "is one of" else [value] if operator in OPERATORS[:6] else []:
                self._checked(one, self.types[name])
            self.asked = replace(before, filters=(*before.filters, made))
            self._page(0)
        except (WorkbenchError, duckdb.Error) as fault:
            self.asked = before
            self._say_value(f"{said(fault)}\nNothing was filtered by it.")
            return
        self.value.value = ""
        self._show_chips()
        self._profile()

    def _checked(self, value: str, type_: str) -> None:
        """See that a value is one of a type. Raises `UsageError`."""
        try:
            self._relation(f"SELECT {literal(value, type_)}", replace(self.asked, values={})).fetchall()
        except (WorkbenchError, duckdb.Error) as fault:
            raise UsageError(f"{value.strip()!r} is no {type_}.") from fault

    def remove(self, one: Filter) -> None:
        """Take a condition away."""
        self.asked = replace(self.asked, filters=tuple(each for each in self.asked.filters if each is not one))
        self._show_chips()
        self._page(0)
        self._profile()

    def turn(self, column: str) -> None:
        """Sort by a column: the least first, then the greatest first, then not."""
        self.asked = turned(self.asked, column)
        self._page(0)

    def sort(self, *names: str) -> None:
        """Sort by columns, with a minus before one whose greatest values are first. Raises `UsageError` for one that is not there."""
        sorts = sorted_by(names)
        if gone := [name for name, _ in sorts if name not in self.types]:
            raise UsageError(f"there is no column {gone[0]}; the order was not changed. There are {', '.join(self.types)}.")
        self.asked = replace(self.asked, sorts=sorts)
        self._page(0)

    def go(self, page: int) -> None:
        """Show a page; the first is 0."""
        self._page(max(page, 0))

    def last(self) -> None:
        """Show the last page."""
        if self.count is None:
            self.count_all()
        self._page(max(((self.count or 1) - 1) // self.size.value, 0))

    def count_all(self) -> None:
        """Count the rows."""
        with self._asking("counting"):
            self._counted = (
                self._key(),
                self._relation(f"SELECT count(*) FROM (\n{self.asked.unordered()}\n) AS counted").fetchall()[0][0],
            )
        self.count = self._counted[1]
        self._show_position()

    # ------------------------------------------------------------------ do

    def _page(self, page: int) -> None:
        size = self.size.value
        with self._asking("sorting" if self.asked.sorts else "reading"):
            shown = self._read(page, size)
            if not shown.rows and page:
                # Rows were fewer than the last page needs: a lake may have been reset meanwhile.
                page, shown = 0, self._read(0, size)
        self.shown, self.page = shown, page
        self.count = self._know(shown)
        profiles = self._profiles[1] if self._profiles and self._profiles[0] == self._key() and self.profile_button.value else None
        self.grid.show(shown, self.asked.sorts, profiles)
        self._show_position()
        self._show_sql()

    def _read(self, page: int, size: int) -> Shown:
        offset, text = page * size, self.sql
        if self.asked.sorts and self.asked.table and (edge := self._edge(offset + size)):
            text = self.asked.ordered(self._ties(), edge)
        return first(self._narrow(self._relation(text)), size, text=TEXT, offset=offset)

    def _narrow(self, relation: Any) -> Any:
        """A relation without the columns for which there is no room."""
        if len(relation.columns) <= COLUMNS:
            return relation
        return relation.project(", ".join(quote(name) for name in relation.columns[:COLUMNS]))

    def _edge(self, end: int) -> str:
        """A condition that all rows up to the end of the page meet, and few others; nothing where it costs more than it spares."""
        if self._rows() is not None and (self._rows() or 0) < LARGE:
            return ""
        name, down = self.asked.sorts[0]
        column = quote(name)
        text = f"SELECT CAST({column} AS VARCHAR) FROM (SELECT {column} FROM {self.asked.source}"
        text += f" WHERE {' AND '.join(self.asked.conditions)}" if self.asked.conditions else ""
        found = self._relation(f"{text} ORDER BY {column} {'DESC' if down else 'ASC'} NULLS LAST LIMIT 1 OFFSET {end})").fetchall()
        if not found or found[0][0] is None:
            return ""
        return f"{column} {'>=' if down else '<='} CAST({literal(found[0][0], 'VARCHAR')} AS {self.types[name]})"

    def _ties(self) -> list[str]:
        """The columns that tell rows apart which the order does not; none where rows come in the same order by themselves."""
        names = list(self.asked.columns or self.types)
        if self.asked.table and self.asked.sorts:
            return [name for name in TABLES[self.asked.table].key if name in self.types]
        return names if self.asked.sorts or not self._stable else []

    def _key(self) -> str:
        return self.asked.unordered()

    def _rows(self) -> int | None:
        """How many rows there are, if that is known without asking."""
        if self.asked.table and not self.asked.conditions:
            return self.bench.snapshots()[self.asked.table].rows
        return self._counted[1] if self._counted[0] == self._key() else None

    def _know(self, shown: Shown) -> int | None:
        """How many rows there are, if it is told quickly."""
        if shown.count is not None:
            self._counted = (self._key(), shown.count)
        if (rows := self._rows()) is not None or self._counted[0] == self._key():
            return rows
        counted = self._within(lambda: self._relation(f"SELECT count(*) FROM (\n{self.asked.unordered()}\n) AS counted").fetchall()[0][0])
        self._counted = (self._key(), counted)
        return counted

    def _profile(self, whole: bool = False) -> None:
        """Show what the columns hold, or no more."""
        if not self.types or self.shown is None:
            return
        if not self.profile_button.value:
            self.whole_button.layout.display = "none"
            self.grid.show(self.shown, self.asked.sorts, None)
            return
        if whole or not self._profiles or self._profiles[0] != self._key():
            query, words = (self.asked.unordered(), "all rows") if whole else limits(self.asked, self.count, self.bench)
            types = {name: self.types[name] for name in self.shown.columns if name in self.types}
            with self._asking("profiling"):
                try:
                    self._profiles = (self._key(), self._profiled(query, types), words)
                except duckdb.Error as fault:
                    raise QueryError(f"the columns could not be profiled: {fault}") from fault
        show(self.whole_button, self._profiles[2] != "all rows")
        self.grid.show(self.shown, self.asked.sorts, self._profiles[1])
        self.state.value += f'<span style="{DIM}"> · profiles of {escape(self._profiles[2])}</span>'

    def _profiled(self, query: str, types: Mapping[str, str]) -> dict[str, Profile]:
        exact = self.count is not None and self.count <= COUNTED
        return profiled(lambda text: self._relation(text).fetchall(), query, types, exact=exact)

    def _relation(self, text: str, asked: Asked | None = None) -> Any:
        """Run a query among the notebook's names. Raises `WorkbenchError`."""
        if not (asked := asked or self.asked).what:
            raise UsageError("nothing is shown yet; name a table, or write a query, in the first field.")
        given = asked.given(text)
        space = vars(sys.modules["__main__"])
        try:
            found = FunctionType(_AMONG, space)(lambda: self.bench.sql(text, **given))
        except QueryError as fault:
            raise plain_fault(fault, space) from fault
        if found is None:
            raise QueryError("the query gives no rows; there is nothing to show.")
        return found

    def _within(self, ask: Callable[[], int], seconds: float = BOXED_SECONDS) -> int | None:
        """What a query tells within a time; None if that is not enough."""
        # The cursor on which this thread's next query runs.
        timer = threading.Timer(seconds, self.bench.catalog._idle().interrupt)
        timer.daemon = True
        timer.start()
        try:
            return ask()
        except duckdb.Error:
            return None
        finally:
            timer.cancel()

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Say that something is asked for, which keeps the kernel until it is answered; then how long it took."""
        began = perf_counter()
        self.state.value = f'<span style="{DIM}">{what} … (the kernel can be interrupted)</span>'
        self.message.value = ""
        done = ""
        try:
            yield
            done = f"{perf_counter() - began:.2f} s"
        except (KeyboardInterrupt, duckdb.InterruptException):
            raise QueryError("it was stopped; what was shown before stands.") from None
        except duckdb.Error as fault:
            # What a query's own rows are at fault for.
            raise QueryError(said(fault)) from fault
        finally:
            self.state.value = f'<span style="{DIM}">{done}</span>'

    # ------------------------------------------------------------------ show

    def _choose(self) -> None:
        self.asked = replace(self.asked, columns=tuple(self.choice.value))
        self._page(self.page)
        self._profile()


def said(fault: Exception) -> str:
    """What an error says."""
    return str(fault).strip()
