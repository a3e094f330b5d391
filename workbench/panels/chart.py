"""Prices to look at, in a notebook: candles of any size that are moved and zoomed with the mouse, and the trades and quotes of a moment.

What is sent is as many candles as there are pixels, and half a screen to each side. Who comes nearer gets shorter ones.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench.arguments import as_date
from workbench.errors import BadRange, UsageError
from workbench.panels import chart_scene
from workbench.panels.chart_figure import Chart
from workbench.panels.chart_moment import MomentView
from workbench.panels.chart_scene import Look, Scene, Window
from workbench.panels.chart_svg import Drawing, drawn
from workbench.panels.parts import Panel, escape, field, guarded, image, line, row, widgets
from workbench.query import adjust, candles, parts
from workbench.query.candles import AUTO

if TYPE_CHECKING:
    import polars as pl

    from workbench.bench import Workbench

BY_TICKER = "by ticker"
# How long a hand must rest before what it moved to is read.
RESTS_S = 0.08
# Sessions in sight by a button; none is all there are.
SPANS = {"1 day": 1, "5 days": 5, "1 month": 21, "6 months": 126, "1 year": 252, "5 years": 1260, "all": None}
# Names that are offered while a ticker is typed.
OFFERED = 20


class ChartPanel(Panel):
    """Candles of a ticker with volume, splits and dividends. Drag to move, turn the wheel to zoom, click a candle to go into it.

    `freq` is auto (as short as the width has room for), 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo; `adjusted`, `as_of` and `session` are those of
    `Workbench.bars`; `start` and `end` are inclusive sessions, without them the newest year is shown; `table` names a table of bars if it is not to be
    told by the ticker's prefix.
    """

    def __init__(
        self,
        bench: "Workbench",
        ticker: str = "",
        freq: str = AUTO,
        adjusted: str = "splits",
        start: date | str | None = None,
        end: date | str | None = None,
        *,
        session: str = "all",
        as_of: date | str | None = None,
        table: str | None = None,
    ):
        self.bench = bench
        self.took_ms = 0.0
        self._scene: Scene | None = None
        self._look: Look | None = None
        self._window: Window = (0.0, 1.0)
        self._as_of: date | None = None
        self._names: dict[tuple[str, ...], list[str]] = {}
        self._quiet = 0
        self._waiting: asyncio.TimerHandle | None = None
        self._refused: list[tuple[Callable[[str], None], str]] = []
        self._make_fields(ticker, freq, adjusted, session, table or BY_TICKER)
        self.chart = Chart(self._moved, self._clicked)
        self.figure = self.chart.figure
        self.moment = MomentView(bench)
        self._lay_out()
        guarded(self.tell, lambda: self._begin(start, end, as_of))()

    # ------------------------------------------------------------------ fields

    def _make_fields(self, ticker: str, freq: str, adjusted: str, session: str, table: str) -> None:
        own = {"description_width": "initial"}

        def choice(name: str, options: Sequence[str], value: str, width: str) -> tuple[Any, Any, Callable[[str], None]]:
            entry = widgets.Dropdown(
                description=name,
                options=options,
                value=value if value in options else options[0],
                style=own,
                layout=widgets.Layout(width=width),
            )
            box, say = narrow(entry)
            if value not in options:
                self._refused.append((say, f"{name} cannot be {value!r}; {entry.value} is taken. Choose one of {', '.join(options)}."))
            return entry, box, say

        self.ticker = widgets.Combobox(
            description="ticker", value=ticker, placeholder="AAPL", style=own, layout=widgets.Layout(width="170px")
        )
        ticker_box, self.ticker_says = narrow(self.ticker)
        self.show_button = widgets.Button(description="Show", button_style="primary", layout=widgets.Layout(width="64px"))
        landed = [one.name for one in candles.BARS if self.bench.catalog.held(one.name).files]
        self.table, table_box, self.table_says = choice("table", [BY_TICKER, *landed], table, "180px")
        self.freq, freq_box, self.freq_says = choice("candles", [AUTO, *candles.SIZES], freq, "140px")
        self.adjusted, adjusted_box, self.adjusted_says = choice("adjusted", adjust.ADJUSTED, adjusted, "150px")
        self.session, session_box, self.session_says = choice("session", parts.PARTS, session, "150px")
        self.start = widgets.DatePicker(description="from", style=own, layout=widgets.Layout(width="160px"))
        self.end = widgets.DatePicker(description="to", style=own, layout=widgets.Layout(width="146px"))
        dates_box, self.dates_say = narrow(row(self.start, self.end))
        self.spans = {name: self._button(name, partial(self._span, of)) for name, of in SPANS.items()}
        self.back = self._button("◀", lambda: self._go_by(-0.5, 1), "earlier")
        self.forward = self._button("▶", lambda: self._go_by(0.5, 1), "later")
        self.nearer = self._button("+", lambda: self._go_by(0, 0.5), "nearer")
        self.farther = self._button("–", lambda: self._go_by(0, 2), "farther")
        self._upper = row(ticker_box, self.show_button, table_box, freq_box, adjusted_box, session_box)
        self._lower = row(dates_box, *self.spans.values(), self.back, self.forward, self.nearer, self.farther)
        self.message, self.told, self.sql_text = widgets.HTML(), widgets.HTML(), widgets.HTML()

    def _button(self, text: str, action: Callable[[], None], tip: str = "") -> Any:
        button = widgets.Button(description=text, tooltip=tip or text, layout=widgets.Layout(width="auto"))
        button.on_click(guarded(self.tell, action))
        return button

    def _lay_out(self) -> None:
        self.sql_box = widgets.Accordion([self.sql_text], titles=("SQL",), selected_index=None)
        self.view = widgets.VBox([self._upper, self._lower, self.message, self.told, self.figure, self.moment.view, self.sql_box])
        self.show_button.on_click(guarded(self.tell, self.show))
        self.ticker.on_msg(self._entered)
        self.ticker.observe(self._by_person(self._typed), "value")
        for chosen in (self.table, self.adjusted, self.session):
            chosen.observe(self._by_person(lambda _: self.show() if self._scene else None), "value")
        self.freq.observe(self._by_person(lambda _: self._draw()), "value")
        for picked in (self.start, self.end):
            picked.observe(self._by_person(lambda _: self._dated()), "value")

    def _by_person(self, action: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback for when a field is changed by somebody else than the panel."""

        def callback(change: Any) -> None:
            if not self._quiet:
                guarded(self.tell, lambda: action(change))()

        return callback

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence."""
        self.message.value = line(text, tone)

    def _entered(self, _: Any, told: Any, __: Any) -> None:
        # What a page sends when Enter is pressed in the field.
        if told.get("event") == "submit":
            guarded(self.tell, self.show)()

    def _typed(self, change: Any) -> None:
        """Offer names that begin as what is typed; one that was picked from them is shown at once."""
        typed, before = str(change["new"]).strip(), str(change["old"]).strip()
        tables = self._tables(typed)
        key = tuple(one.name for one in tables)
        if key not in self._names:
            self._names[key] = candles.names(self.bench.catalog, tables)
        known = self._names[key]
        begun = [one for one in known if one.upper().startswith(typed.upper())] if typed else []
        self.ticker.options = tuple(begun[:OFFERED])
        by_letter = typed[:-1] == before or before[:-1] == typed
        if typed in begun and len(typed) > 1 and not by_letter:
            self.show()

    def _tables(self, ticker: str) -> Any:
        return candles.of_ticker(ticker) if self.table.value == BY_TICKER else candles.of_table(self.table.value)

    # ------------------------------------------------------------------ what

    def _begin(self, start: date | str | None, end: date | str | None, as_of: date | str | None) -> None:
        first, last, fault = None, None, ""
        try:
            self._as_of = as_date(as_of)
            first, last = ordered(as_date(start), as_date(end))
        except BadRange as bad:
            fault = str(bad)
        if self.ticker.value.strip():
            self.show(first, last)
        else:
            self.tell("Name a ticker, and press Show.")
        if fault:
            self.dates_say(f"{fault} The newest bars are shown.")
        for say, why in self._refused:
            say(why)

    def show(self, first: date | None = None, last: date | None = None) -> None:
        """Look the ticker up and draw it: from one session to another, else where the chart stands, or its newest year."""
        for say in (self.ticker_says, self.table_says, self.session_says, self.dates_say):
            say("")
        self.tell("")
        still = f"The chart still shows {self._scene.ticker}." if self._scene else "Nothing is drawn."
        if not (ticker := self.ticker.value.strip()):
            self.ticker_says(f"No ticker is named. {still} Write one, as AAPL, X:BTCUSD or I:SPX.")
            return
        tables = self._tables(ticker)
        if self.table.value != BY_TICKER:
            ticker = candles.prefixed(ticker, tables[0])
        if not (held := candles.held(self.bench.catalog, ticker, tables)):
            self.ticker_says(f"{chart_scene.absent(self.bench, ticker, tables)} {still}")
            return
        try:
            parts.check(self.session.value, held[0].table)
        except UsageError as fault:
            self.session_says(f"{fault} {still}")
            return
        if self.session.value != "all" and not any(candles.is_minutes(one.table) for one in held):
            self.session_says(f"A part of the session is made of minutes, and none of {ticker} are landed. {still}")
            return
        before = self._scene.days(self._window) if self._scene else None
        self._scene = scene = Scene(self.bench, ticker, held, self.session.value, self._as_of)
        self._window = scene.placed(first, last)
        if before and not (first or last) and before[0] <= max(one.last for one in held) and before[1] >= min(one.first for one in held):
            self._window = scene.placed(*before)
        self._draw()

    # ------------------------------------------------------------------ where

    def _go(self, window: Window) -> None:
        if self._scene:
            self._window = self._scene.moved(window)
            self.dates_say("")
            self._draw()

    def _go_by(self, share: float, zoom: float) -> None:
        """Move by a share of what is in sight, and make that wider by a factor."""
        (x0, x1), width = self._window, self._window[1] - self._window[0]
        middle = (x0 + x1) / 2 + share * width
        self._go((middle - width * zoom / 2, middle + width * zoom / 2))

    def _span(self, sessions: int | None) -> None:
        """Show so many sessions up to the newest in sight, or all there are."""
        if self._scene:
            since, until = self._scene.reach
            end = min(max(-(-self._window[1] // 1), since + 1), until)
            self._go((since, until) if sessions is None else (end - sessions, end))

    def _dated(self) -> None:
        """Show from one session to another, as they are picked."""
        try:
            first, last = ordered(self.start.value, self.end.value)
        except BadRange as fault:
            self.dates_say(f"{fault} The chart is as it was.")
            return
        if self._scene:
            self.dates_say("")
            self._window = self._scene.placed(first, last)
            self._draw()

    def _moved(self, x0: float, x1: float) -> None:
        """Go to where a hand moved the chart, once it rests."""
        go = guarded(self.tell, lambda: self._go((x0, x1)))
        if self._waiting:
            self._waiting.cancel()
        try:
            self._waiting = asyncio.get_running_loop().call_later(RESTS_S, go)
        except RuntimeError:
            go()

    def _clicked(self, nth: int) -> None:
        guarded(self.tell, lambda: self._into(nth))()

    def _into(self, nth: int) -> None:
        """Go into a candle; of a minute, show its trades and quotes."""
        if not self._look or not self._scene or nth >= len(self._look.view.candles):
            return
        since, until = (float(edge[nth]) for edge in (self._look.view.candles.since, self._look.view.candles.until))
        wanted = self._look.wanted
        if wanted.size == candles.SIZES[0]:
            self.moment.show(wanted.ticker, wanted.table, self._scene.axis.session(since), self._scene.axis.instant(since))
            return
        if wanted.size == "1d" and not any(candles.is_minutes(one.table) for one in self._scene.held):
            self.freq_says(f"No minutes of {wanted.ticker} are landed: there is nothing shorter than its sessions to go into.")
            return
        with self._quietly():
            self.freq.value = AUTO
        self._go((since, until))

    # ------------------------------------------------------------------ draw

    def _draw(self) -> None:
        """Read the candles that fit, and show them."""
        if not (scene := self._scene):
            return
        began = perf_counter()
        self.tell("")
        self._look = look = scene.look(self._window, self.freq.value, self.adjusted.value)
        self.chart.show(look.view)
        first, last = scene.days(self._window)
        with self._quietly():
            self.start.value, self.end.value = first, last
        self.freq_says(look.trouble)
        if not len(look.view.in_sight):
            had = scene.days(scene.reach)
            before = f" As of {self._as_of} there were none yet." * bool(self._as_of and self._as_of < had[0])
            self.dates_say(
                f"The lake has no bars of {scene.ticker} from {first} to {last}, so that the chart is empty there; it has some from {had[0]} to "
                f"{had[1]}.{before} Press all, or pick other dates."
            )
        self.took_ms = (perf_counter() - began) * 1000
        self.told.value = line(" · ".join([self.title, *look.notes, f"{self.took_ms:.0f} ms"]))
        self.sql_text.value = f'<pre style="white-space:pre-wrap;margin:0;line-height:1.4">{escape(self.sql)}</pre>'

    @property
    def title(self) -> str:
        """What is in sight, in a line."""
        if not self._look or not self._scene:
            return "no chart yet"
        wanted, count = self._look.wanted, len(self._look.view.in_sight)
        days = self._scene.days(self._window)
        how = {"none": "as traded", "splits": "adjusted for splits", "all": "adjusted for splits and dividends"}[wanted.adjusted]
        told = [f"{wanted.ticker}, {wanted.size}", f"{count:,} candles of {wanted.table.name}", f"{days[0]} to {days[1]}"]
        told += [how] * (wanted.table.asset == "stocks") + [f"{wanted.session} session"] * (wanted.session != "all")
        return " · ".join([*told, f"as of {self._as_of}"] if self._as_of else told)

    @property
    def sql(self) -> str:
        """A query that gives the candles of the sessions in sight, and runs in `bench.sql` as it stands."""
        return self._look.wanted.sql if self._look else ""

    def data(self) -> "pl.DataFrame":
        """The candles of the sessions in sight. Raises `UsageError` while nothing is drawn."""
        if not self._look:
            raise UsageError("no chart is drawn yet, so there are no candles; nothing was given. Name a ticker first.")
        return self._look.bars

    def static(self) -> str:
        """The chart as an image, with what it shows."""
        said = "".join(one.value for one in (self.message, *said_of(self._upper), *said_of(self._lower)))
        if not self._look or not len(self._look.view.in_sight):
            return said or line(self.title)
        view = self._look.view
        marks = [(x, one.letter) for x, one in view.marks]
        svg = drawn(Drawing(view.in_sight, view.x0, view.x1, view.ticks, view.shades, marks))
        return f"{line(self.title)}{said}{image(svg, self.title)}{self.moment.static()}"

    def close(self) -> None:
        """Take the widgets off the screen."""
        if self._waiting:
            self._waiting.cancel()
        super().close()
        self.figure.close()


def narrow(entry: Any) -> tuple[Any, Callable[[str], None]]:
    """A field that what is said under it makes no wider than there is room for others beside it."""
    box, say = field(entry)
    box.layout.max_width, box.children[1].layout.margin = "360px", "0 0 4px 0"
    return box, say


def ordered(first: date | None, last: date | None) -> tuple[date | None, date | None]:
    """Two dates. Raises `BadRange` if they stand the other way round."""
    if first and last and first > last:
        raise BadRange(f"{first} is after {last}. Turn the two dates round.")
    return first, last


def said_of(fields: Any) -> Iterator[Any]:
    """What stands under fields that are wrong."""
    for box in fields.children:
        if isinstance(box, widgets.VBox):
            yield box.children[1]
