"""Which sessions are here, as a calendar: a row for each table, or for a ticker in each, coloured by what became of every session."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.arguments import as_date
from workbench.errors import BadRange, UsageError
from workbench.panels import heatmap
from workbench.panels.figures import figure
from workbench.panels.heatmap import Column, Grid
from workbench.panels.parts import Panel, field, guarded, image, line, row, rows, widgets
from workbench.query.coverage import Line, Map
from workbench.query.gaps_repair import Wanted, repair
from workbench.query.report import Report

if TYPE_CHECKING:
    from workbench.bench import Workbench

ROW_PX, EDGE_PX = 22, 46
ALL, QUARTER, YEAR = "all there is", "last 3 months", "last 12 months"
# What a column is, and what a mouse does: the buttons that Plotly lays over its figures would cover the last sessions of the first table.
HOW = "click a session for its reason, drag to zoom in, double click to zoom out; "
BY = {
    "day": HOW,
    "week": f"a column is a week, coloured by its worst session; {HOW}",
    "month": f"a column is a month, coloured by its worst session; {HOW}",
}
# More gaps of a week or month than these are counted.
MOST_TOLD = 31


class CoveragePanel(Panel):
    """A heatmap of sessions by table, or by ticker. A click on a cell tells why, and fills a `RefreshPanel` with what would mend it.

    `refresh` is the RefreshPanel that is filled; without one, one is shown below when it is first wanted.
    """

    def __init__(
        self,
        bench: "Workbench",
        refresh: Any = None,
        *,
        tables: str | Sequence[str] = (),
        tickers: str | Sequence[str] = (),
        start: date | str | None = None,
        end: date | str | None = None,
    ):
        self.bench, self.refresh_panel = bench, refresh
        self._tables = tables
        self._map: Map | None = None
        self.grid: Grid | None = None
        self.report: Report | None = None
        self._wanted: Wanted | None = None
        self._filling = False

        slim = widgets.Layout(width="220px")
        symbols = tickers if isinstance(tickers, str) else ", ".join(tickers)
        self.tickers = widgets.Text(
            description="tickers", value=symbols, placeholder="all; or AAPL, MSFT", continuous_update=False, layout=slim
        )
        self.span = widgets.Dropdown(description="span", options=[ALL, QUARTER, YEAR], value=ALL, layout=slim)
        self.start = widgets.Text(description="start", value=str(start or ""), placeholder="first", continuous_update=False, layout=slim)
        self.end = widgets.Text(description="end", value=str(end or ""), placeholder="newest due", continuous_update=False, layout=slim)
        (tickers_box, self.say_tickers), (start_box, self.say_start), (end_box, self.say_end) = map(
            field, (self.tickers, self.start, self.end)
        )
        self.reload_button = widgets.Button(description="Reload", icon="refresh", tooltip="Look at the lake again")
        self.message = widgets.HTML()
        self.legend = widgets.HTML()
        self.by = widgets.HTML()
        self.figure = figure(
            dragmode="zoom", yaxis={"autorange": "reversed", "showgrid": False, "fixedrange": True}, xaxis={"showgrid": False}
        )
        self.figure.add_heatmap(z=[], showscale=False, hoverongaps=False, hovertemplate="%{text}<extra></extra>", ygap=2)
        self.heatmap = self.figure.data[0]
        self.figure._config = {**self.figure._config, "displayModeBar": False}
        self.calendar = widgets.VBox([self.figure])
        self.detail = rows()
        self.repair_button = widgets.Button(
            description="Repair", icon="wrench", disabled=True, tooltip="Fill the refresh panel with what mends it"
        )
        self.repair_button.layout.display = "none"
        self.below = widgets.VBox()
        self.view = widgets.VBox(
            [
                row(tickers_box, self.span, start_box, end_box, self.reload_button),
                self.message,
                self.legend,
                self.by,
                self.calendar,
                self.detail,
                self.repair_button,
                self.below,
            ]
        )
        self._reload = guarded(self.tell, self.reload)
        self.reload_button.on_click(self._reload)
        self.repair_button.on_click(guarded(self.tell, self.repair))
        self.span.observe(guarded(self.tell, self._spanned), names="value")
        for entry in (self.tickers, self.start, self.end):
            entry.observe(guarded(self.tell, self._changed), names="value")
        self.heatmap.on_click(lambda _, points, __: guarded(self.tell, lambda: self._clicked(points))())
        self._reload()

    # ------------------------------------------------------------------ look

    def reload(self) -> None:
        """Look at the lake again, and show it. What is wrong with a field is said under it, and what was shown before stays."""
        for say in (self.say_tickers, self.say_start, self.say_end):
            say("")
        dates = self._dates()
        if dates is None:
            return
        began = perf_counter()
        symbols = [one for one in self.tickers.value.replace(",", " ").split() if one]
        try:
            found = self.bench.calendar(self._tables, *dates, tickers=symbols)
        except BadRange as fault:
            (self.say_start if self.start.value else self.say_end if self.end.value else self.tell)(str(fault))
            return
        except UsageError as fault:
            if not symbols:
                raise
            self.say_tickers(str(fault))
            return
        self._map, self.grid = found, heatmap.grid(found)
        self._offer_years(found)
        self._draw(found, self.grid)
        self.by.value = line(f"{BY[self.grid.size] if found.lines else ''}read in {(perf_counter() - began) * 1000:,.0f} ms")
        self._tell_notes(found, symbols)
        self._forget()

    def pick(self, name: str, day: date) -> None:
        """Tell of a cell, by its line's name and a day of its column."""
        assert self.grid
        found = next((one for one in self.grid.lines if one.name == name), None)
        column = next((one for one in self.grid.columns if one.first <= day <= one.last), None)
        if found is None or column is None:
            raise UsageError(f"{name} on {day} is not in the calendar that is shown; nothing was looked up. Choose a wider span.")
        self._tell_of(found, column)

    def repair(self) -> None:
        """Fill the refresh panel with what mends the gap that was picked; nothing is started."""
        if self._wanted is None:
            raise UsageError("no gap that a refresh mends was picked; nothing was filled in. Click a cell first.")
        if self.refresh_panel is None:
            from workbench.panels.refresh import RefreshPanel

            self.refresh_panel = RefreshPanel(self.bench)
            self.below.children = (self.refresh_panel.view,)
        wanted = self._wanted
        self.refresh_panel.fill(
            datasets=[wanted.table],
            symbols=list(wanted.tickers),
            start=wanted.sessions[0],
            end=wanted.sessions[-1],
            source=wanted.sources[0] if wanted.sources else None,
            again=wanted.again,
        )
        self.tell("the refresh panel is filled in: look at its plan, or press Refresh; then Reload here")

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence above the calendar."""
        self.message.value = line(text, tone)

    def close(self) -> None:
        """Leave the screen, with the refresh panel that was made for it."""
        if self.below.children:
            self.refresh_panel.close()
        super().close()

    # ------------------------------------------------------------------ fields

    def _dates(self) -> tuple[date | None, date | None] | None:
        """The dates that the fields say; None if one is none, which is said under it."""
        found: list[date | None] = []
        for entry, say in ((self.start, self.say_start), (self.end, self.say_end)):
            try:
                found.append(as_date(entry.value.strip() or None))
            except UsageError as fault:
                say(str(fault))
                return None
        return found[0], found[1]

    def _changed(self) -> None:
        """A field was changed by hand."""
        if not self._filling:
            self.reload()

    def _spanned(self) -> None:
        """A span was chosen: its dates are filled in."""
        if self._filling:
            return
        today, chosen = sessions.last_due(), str(self.span.value)
        back = {QUARTER: 92, YEAR: 365}.get(chosen)
        dates = ("", "")
        if back:
            dates = (str(today - timedelta(days=back)), "")
        elif chosen != ALL:
            dates = (f"{chosen}-01-01", f"{chosen}-12-31")
        self._filling = True
        try:
            self.start.value, self.end.value = dates
        finally:
            self._filling = False
        self.reload()

    def _offer_years(self, found: Map) -> None:
        """Offer each year of what there is; what was offered before stays, since a narrower span knows of fewer."""
        years = {f"{year}" for year in range(found.first.year, found.last.year + 1)} if found.lines else set()
        known = [one for one in self.span.options if one not in (ALL, QUARTER, YEAR)]
        options = (ALL, QUARTER, YEAR, *sorted(years | set(known), reverse=True))
        if options != tuple(self.span.options):
            self._filling, chosen = True, self.span.value
            try:
                self.span.options = options
                self.span.value = chosen
            finally:
                self._filling = False

    def _tell_notes(self, found: Map, symbols: Sequence[str]) -> None:
        """Say what is not in the calendar: of tickers under their field, else above all."""
        told = " ".join(found.notes)
        if symbols:
            self.say_tickers(told)
        self.tell("" if symbols else told)

    # ------------------------------------------------------------------ draw

    def _draw(self, found: Map, made: Grid) -> None:
        """Show a grid; one without a line is not drawn."""
        self.legend.value = heatmap.legend(found.counts)
        self.calendar.layout.display = "" if made.lines else "none"
        numbers, steps = heatmap.numbered(made.states)
        at, labels = heatmap.ticks(made.columns)
        with self.figure.batch_update():
            self.heatmap.update(
                {
                    "z": numbers,
                    "text": [[made.told(y, x) for x in range(len(made.columns))] for y in range(len(made.lines))],
                    "colorscale": steps,
                    "zmin": -0.5,
                    "zmax": len(steps) / 2 - 0.5,
                    "xgap": 1 if len(made.columns) <= 130 else 0,
                },
                overwrite=True,
            )
            names = [one.name for one in made.lines]
            self.figure.layout.update(
                {
                    "height": EDGE_PX + ROW_PX * max(2, len(names)),
                    "margin": {"l": 12 + 7 * max(map(len, names), default=0), "r": 16, "t": 6, "b": 30},
                    "xaxis": {"tickvals": at, "ticktext": labels, "range": [-0.5, len(made.columns) - 0.5]},
                    "yaxis": {"tickvals": list(range(len(names))), "ticktext": names},
                }
            )

    def static(self) -> str:
        """The legend, the calendar as a drawing, and what was told of a cell last."""
        told = str(self.message.value) + str(self.legend.value)
        if self.grid and self.grid.lines:
            told += image(heatmap.drawing(self.grid), "sessions by table, coloured by what became of them")
        return told + str(self.detail.value)

    # ------------------------------------------------------------------ a cell

    def _clicked(self, points: Any) -> None:
        """A cell was clicked: Plotly tells the numbers of its column and row."""
        if points.xs and self.grid:
            self._tell_of(self.grid.lines[int(points.ys[0])], self.grid.columns[int(points.xs[0])])

    def _tell_of(self, one: Line, column: Column) -> None:
        """Tell why a line's sessions of a column are as they are, and offer to mend them."""
        report = self.bench.gaps(one.table, column.first, column.last, [one.ticker] if one.ticker else None, everything=True)
        self.report = report
        mends = repair(report)
        self._wanted = merged(mends.wanted)
        told = Report(f"{one.name}, {column.told}", shown(report, column), ("since",))
        self.detail.value = told._repr_html_() + line(" ".join(mends.notes))
        self.repair_button.disabled = self._wanted is None
        self.repair_button.layout.display = "none" if self._wanted is None else ""

    def _forget(self) -> None:
        """Tell of no cell: what was told of is not what is shown now."""
        self._wanted, self.report = None, None
        self.detail.value = ""
        self.repair_button.disabled, self.repair_button.layout.display = True, "none"


def shown(report: Report, column: Column) -> list[dict[str, Any]]:
    """The rows of a report for a person: of more than one day those that say something, if there are any."""
    names = [
        name
        for name in ("session", "ticker", "first", "last", "state", "reason", "source", "since", "attempts", "mends")
        if name in report.columns
    ]
    told: list[dict[str, Any]] = [{name: short(name, one[name]) for name in names} for one in report]
    if column.first != column.last:
        told = [one for one in told if one["state"] not in ("landed", "closed")] or [one for one in told if one["state"] != "closed"]
    return told[:MOST_TOLD]


def short(name: str, value: Any) -> Any:
    """A value as a person reads it: an instant by its minute."""
    return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if name == "since" and value else value


def merged(wanted: Sequence[Wanted]) -> Wanted | None:
    """What mends all gaps of a cell, as one refresh: of the sources the first that any of them wants."""
    if not wanted:
        return None
    days = sorted({day for one in wanted for day in one.sessions})
    # No tickers are the whole market, which takes any ticker in.
    whole = any(not one.tickers for one in wanted)
    names = () if whole else tuple(sorted({name for one in wanted for name in one.tickers}))
    sources = () if any(not one.sources for one in wanted) else wanted[0].sources
    return replace(wanted[0], sessions=tuple(days), tickers=names, sources=sources, again=any(one.again for one in wanted))
