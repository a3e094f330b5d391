"""The widgets of a table's panel, and what stands in them."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from workbench.panels.parts import Panel, escape, field, guarded, line, row, widgets
from workbench.panels.table_grid import Grid
from workbench.panels.table_profile import Profile
from workbench.panels.table_query import OPERATORS, Asked, Filter
from workbench.query.rendering import Shown, html

PAGES, MOST = (10, 25, 50, 100), 500
COLUMNS = 30


class Fields(Panel):
    """Fields to say what is shown, buttons to turn pages, and the page. It asks nothing."""

    def __init__(self, what: str, where: str, rows: int, profiles: bool):
        self.asked = Asked(what)
        self.types: dict[str, str] = {}
        self.shown: Shown | None = None
        self.page = 0
        self.count: int | None = None
        # Of which query, of each column, and of which rows.
        self._profiles: tuple[str, dict[str, Profile], str] | None = None
        wide, labelled = widgets.Layout(width="98%"), {"description_width": "60px"}
        lines = min(max(what.count("\n") + 1, 1), 8)
        self.what = widgets.Textarea(what, description="table", rows=lines, continuous_update=False, layout=wide, style=labelled)
        self.what.placeholder = "a table's name, or a query"
        self.where = widgets.Text(where, description="where", continuous_update=False, layout=wide, style=labelled)
        self.where.placeholder = "a condition, as after WHERE: close > 100 AND ticker LIKE 'A%'"
        self.column = widgets.Dropdown(description="filter", layout=widgets.Layout(width="230px"), style=labelled)
        self.operator = widgets.Dropdown(options=OPERATORS, layout=widgets.Layout(width="110px"))
        self.value = widgets.Text(placeholder="value", layout=widgets.Layout(width="180px"))
        self.add_button = widgets.Button(description="Add", icon="plus", layout=widgets.Layout(width="auto"))
        self.chips = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
        self.first_button, self.back_button, self.next_button, self.last_button = (
            widgets.Button(icon=icon, tooltip=tip, layout=widgets.Layout(width="40px"))
            for icon, tip in (
                ("step-backward", "first page"),
                ("chevron-left", "page before"),
                ("chevron-right", "next page"),
                ("step-forward", "last page"),
            )
        )
        sizes = sorted({*PAGES, max(1, min(rows, MOST))})
        self.size = widgets.Dropdown(
            options=sizes, value=max(1, min(rows, MOST)), description="per page", style={"description_width": "auto"}
        )
        self.size.layout.width = "130px"
        self.position = widgets.HTML(layout=widgets.Layout(margin="0 8px"))
        self.count_button = widgets.Button(
            description="Count", tooltip="Count all rows, however long it takes", layout=widgets.Layout(width="auto")
        )
        self.profile_button, self.columns_button, self.sql_button = (
            widgets.ToggleButton(on, description=name, icon=icon, tooltip=tip, layout=widgets.Layout(width="auto"))
            for name, icon, tip, on in (
                ("Profiles", "bar-chart", "What the columns hold", profiles),
                ("Columns", "columns", "Choose columns", False),
                ("SQL", "code", "The query that gives these rows", False),
            )
        )
        self.whole_button = widgets.Button(
            description="Profile all rows", tooltip="However long it takes", layout=widgets.Layout(width="auto", display="none")
        )
        self.choice = widgets.SelectMultiple(rows=8, layout=widgets.Layout(display="none", width="300px"))
        self.text, self.state, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.text.layout.display = "none"
        self.grid = Grid(lambda name: guarded(self.tell, lambda: self.turn(name))())
        what_field, self._say_what = field(self.what)
        where_field, self._say_where = field(self.where)
        filter_field, self._say_value = field(row(self.column, self.operator, self.value, self.add_button, self.chips))
        paging = row(self.first_button, self.back_button, self.next_button, self.last_button, self.position, self.count_button, self.size)
        switches = row(self.profile_button, self.whole_button, self.columns_button, self.sql_button, self.state)
        self.view = widgets.VBox(
            [what_field, where_field, filter_field, row(paging, switches), self.choice, self.text, self.message, self.grid.view],
            layout=widgets.Layout(width="100%"),
        )

    @property
    @abstractmethod
    def sql(self) -> str:
        """The query that gives all rows."""

    @abstractmethod
    def turn(self, column: str) -> None:
        """Sort by a column."""

    @abstractmethod
    def remove(self, one: Filter) -> None:
        """Take a condition away."""

    def _set_fields(self) -> None:
        self._quiet = True
        try:
            self.column.options, self.choice.options = list(self.types), list(self.types)
            self.column.index = 0 if self.types else None
            self.choice.value = self.asked.columns
            self._say_value("")
            self._show_chips()
        finally:
            self._quiet = False

    def _show_chips(self) -> None:
        chips = []
        for one in self.asked.filters:
            chip = widgets.Button(description=str(one), icon="times", tooltip="Take this filter away", layout=widgets.Layout(width="auto"))
            chip.on_click(guarded(self.tell, lambda one=one: self.remove(one)))  # type: ignore[misc]
            chips.append(chip)
        self.chips.children = chips

    def _show_sql(self) -> None:
        show(self.text, self.sql_button.value)
        self.text.value = f'<pre style="margin:4px 8px;white-space:pre-wrap">{escape(self.sql)}</pre>'

    def _show_position(self) -> None:
        self.position.value = escape(self.place)
        self.first_button.disabled = self.back_button.disabled = self.page == 0
        end = self.count is not None and (self.page + 1) * self.size.value >= self.count
        self.next_button.disabled = self.last_button.disabled = end
        show(self.count_button, self.count is None)

    @property
    def place(self) -> str:
        """Which rows are shown, of how many, in words."""
        if self.shown is None or not self.shown.rows:
            return "no rows"
        since = self.page * self.size.value
        more = f", {COLUMNS} of {len(self.types)} columns" if len(self.asked.columns or self.types) > COLUMNS else ""
        return f"rows {since + 1:,}–{since + len(self.shown.rows):,} of {'unknown' if self.count is None else f'{self.count:,}'}{more}"

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence."""
        self.message.value = line(text, tone)

    def static(self) -> str:
        """The page as a table, with the query that gives it."""
        told = "".join(one for one in (self.message.value, *self._complaints()) if one)
        if self.shown is None:
            return told or line("no rows")
        head = f'<p style="margin:4px 0"><b>{escape(self.place)}</b></p><pre style="margin:4px 0">{escape(self.sql)}</pre>'
        profile = ""
        if self.profile_button.value and self._profiles:
            cells = "".join(
                f'<td style="text-align:left;vertical-align:top"><b>{escape(name)}</b>{one.html()}</td>'
                for name, one in self._profiles[1].items()
            )
            profile = f'<p style="margin:4px 0">profiles of {escape(self._profiles[2])}</p><table><tr>{cells}</tr></table>'
        return told + head + profile + html(replace(self.shown, count=self.count))

    def _complaints(self) -> Iterator[str]:
        for box in self.view.children[:3]:
            yield box.children[1].value


def show(widget: Any, shown: bool) -> None:
    """Show a widget or hide it."""
    widget.layout.display = "" if shown else "none"
