"""The trades and quotes of a minute: points within the band of bid and ask, and a table, each trade with the quote in force."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workbench.panels.chart_svg import DOWN, UP
from workbench.panels.parts import escape, guarded, line, rows, widgets
from workbench.query import asof
from workbench.query.views import literal
from workbench.tables import TABLES, Table

if TYPE_CHECKING:
    import polars as pl

    from workbench.bench import Workbench

MINUTE = timedelta(minutes=1)
# The most trades that are drawn and told, and changes of the quote that are drawn.
POINTS, LISTED, STEPS = 2000, 25, 1500
HEIGHT = 260
TIMES = ("sip_timestamp", "timestamp_ns", "participant_timestamp")
SHOWN = ("timestamp", "price", "size", "exchange", "conditions", "bid", "ask", "quote_state")


@dataclass(frozen=True)
class Moment:
    """The trades of a stretch of time, in order, each with the quote in force, where there are quotes; and the quotes, from the one in force at its beginning on."""

    ticker: str
    since: datetime
    trades: "pl.DataFrame"
    quotes: "pl.DataFrame | None"
    sql: str
    notes: list[str] = field(default_factory=list)


def kept(table: Table, what: str) -> Table | None:
    """The table of trades (an index's values) or quotes that goes with a table of bars."""
    asset = table.name.split("_")[0]
    return TABLES.get(f"{asset}_values" if asset == "index" and what == "trades" else f"{asset}_{what}")


def read(bench: "Workbench", ticker: str, table: Table, day: date, since: datetime, until: datetime) -> Moment:
    """What was traded and quoted from an instant up to, not including, another of the same session."""
    notes = list[str]()
    trades, quotes = kept(table, "trades"), kept(table, "quotes")
    sql = query(trades, ticker, day, since, until) if trades else ""
    traded = frame(bench, sql) if trades else None
    if trades and (traded is None or not len(traded)) and not holds(bench, trades, ticker, day):
        notes.append(
            f"{trades.name} holds nothing of {ticker} on {day}: `workbench refresh {trades.name} --start {day} --end {day}` lands it."
        )
    elif not trades:
        notes.append(f"No trades of {table.asset} are published: there is no table {table.name.split('_')[0]}_trades.")
    if traded is not None and "value" in traded.columns:
        traded = traded.rename({"value": "price"})
    quoted = None
    if quotes:
        quoted = frame(bench, query(quotes, ticker, day, since, until, in_force=True))
        if not len(quoted):
            if not holds(bench, quotes, ticker, day):
                notes.append(f"{quotes.name} holds nothing of {ticker} on {day}.")
            quoted = None
    if traded is not None and quoted is not None and {"sip_timestamp"} <= {*traded.columns} & {*quoted.columns} and len(traded):
        traded = asof.joined(traded, quoted)
    import polars as pl

    return Moment(ticker, since, pl.DataFrame() if traded is None else traded, quoted, sql, notes)


def query(table: Table, ticker: str, day: date, since: datetime, until: datetime, *, in_force: bool = False) -> str:
    """Ticks of a stretch of time in order, or with the last before it; runs as it stands."""
    there = [column.name for column in table.columns]
    order = [name for name in (*TIMES, "sequence_number") if name in there][:2]
    order = [order[0], "sequence_number"] if "sequence_number" in there and order else order[:1]
    own = f"ticker = {literal(ticker)} AND date = DATE '{day}'"
    span = f"timestamp >= TIMESTAMPTZ '{since.isoformat(sep=' ')}' AND timestamp < TIMESTAMPTZ '{until.isoformat(sep=' ')}'"
    text = f"SELECT * FROM {table.name} WHERE {own} AND {span}"
    if in_force:
        last = f"SELECT * FROM {table.name} WHERE {own} AND timestamp < TIMESTAMPTZ '{since.isoformat(sep=' ')}'"
        text = f"(FROM ({last}) ORDER BY {', '.join(f'{name} DESC' for name in order)} LIMIT 1)\nUNION ALL\n{text}"
    return f"{text}\nORDER BY {', '.join(order)}"


def frame(bench: "Workbench", text: str) -> "pl.DataFrame":
    """The rows of a query."""
    found: pl.DataFrame = bench.catalog.ask(text).pl()  # type: ignore[union-attr]
    return found


def holds(bench: "Workbench", table: Table, ticker: str, day: date) -> bool:
    """Whether a table has ticks of a ticker's session."""
    text = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} WHERE ticker = {literal(ticker)} AND date = DATE '{day}' LIMIT 1)"
    return bool(bench.catalog.ask(text).fetchall()[0][0])  # type: ignore[union-attr]


class MomentView:
    """What is seen of a moment; nothing, until there is one."""

    def __init__(self, bench: "Workbench"):
        self.bench = bench
        self.moment: Moment | None = None
        self.title, self.table = widgets.HTML(), rows()
        self.hide_button = widgets.Button(description="Hide", layout=widgets.Layout(width="auto"))
        self.hide_button.on_click(guarded(self.tell, self.hide))
        self.figure: Any = None
        self.view = widgets.VBox([], layout=widgets.Layout(display="none"))

    def show(self, ticker: str, table: Table, day: date, since: datetime) -> None:
        """Show a minute."""
        self.moment = made = read(self.bench, ticker, table, day, since, since + MINUTE)
        self.title.value = line(self.told(made))
        self.table.value = listed(made)
        if len(made.trades) or made.quotes is not None:
            self.figure = self.figure or figure()
            fill(self.figure, made)
        head = widgets.HBox([self.title, self.hide_button], layout=widgets.Layout(justify_content="space-between"))
        drawn = [self.figure] if len(made.trades) or made.quotes is not None else []
        self.view.children = [head, *drawn, self.table]
        self.view.layout.display = ""

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence."""
        self.title.value = line(text, tone)

    def hide(self) -> None:
        """Take it away."""
        self.view.layout.display, self.moment = "none", None

    def told(self, moment: Moment) -> str:
        """What is shown, in a line."""
        counts = [f"{len(moment.trades):,} trades"] * bool(len(moment.trades))
        counts += [f"{len(moment.quotes):,} quotes"] if moment.quotes is not None else []
        if len(moment.trades) > POINTS:
            counts.append(f"the {POINTS:,} largest are drawn")
        return " · ".join([f"{moment.ticker} at {moment.since:%Y-%m-%d %H:%M}", *counts, *moment.notes])

    def static(self) -> str:
        """The table, as HTML."""
        return f"{self.title.value}{self.table.value}" if self.moment else ""


def listed(moment: Moment) -> str:
    """The first trades as a table."""
    trades = moment.trades
    if not len(trades):
        return ""
    names = [name for name in SHOWN if name in trades.columns]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(cell(one[name]) for name in names)}</tr>" for one in trades.head(LISTED).iter_rows(named=True))
    more = f"<p>… and {len(trades) - LISTED:,} more: the panel's <code>moment.moment.trades</code> has them all</p>" * (
        len(trades) > LISTED
    )
    return f'<table style="margin:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'


def cell(value: Any) -> str:
    """A value as a cell; numbers stand on the right."""
    told = f"{value:%H:%M:%S.%f}" if isinstance(value, datetime) else "" if value is None else str(value)
    align = "right" if isinstance(value, int | float) else "left"
    return f'<td style="text-align:{align};white-space:nowrap">{escape(told)}</td>'


def figure() -> Any:
    """An empty figure of a moment."""
    from workbench.panels.figures import AXIS, Figure, go, laid_out

    def edge(name: str, colour: str, **more: Any) -> Any:
        return go.Scatter(mode="lines", line={"width": 1, "shape": "hv", "color": colour}, hoverinfo="skip", name=name, **more)

    return Figure(
        [
            edge("bid", UP),
            edge("ask", DOWN, fill="tonexty", fillcolor="rgba(128,128,128,0.15)"),
            go.Scatter(mode="markers", marker={"color": "#4a90d9", "opacity": 0.75, "line": {"width": 0}}, hoverinfo="text", name="trades"),
        ],
        laid_out(
            height=HEIGHT,
            margin={"l": 8, "r": 58, "t": 8, "b": 40},
            legend={"orientation": "h", "y": 1.12},
            dragmode="zoom",
            xaxis={**AXIS, "type": "date", "tickformat": "%H:%M:%S"},
            yaxis={**AXIS, "side": "right"},
        ),
        {"doubleClick": "reset"},
    )


def fill(drawn: Any, moment: Moment) -> None:
    """Draw a moment: the changes of the quote as a band, trades as points as large as they are."""
    import numpy as np
    import polars as pl

    end = moment.since + MINUTE
    bid, ask, points = drawn.data
    with drawn.batch_update():
        quotes = moment.quotes
        if quotes is None:
            bid.update(x=[], y=[])
            ask.update(x=[], y=[])
        else:
            sides = quotes.select(
                pl.max_horizontal("timestamp", pl.lit(moment.since)).alias("at"),
                *(pl.when(pl.col(f"{side}_price") > 0).then(f"{side}_price").alias(side) for side in ("bid", "ask")),
            ).filter((pl.col("bid") != pl.col("bid").shift()).fill_null(True) | (pl.col("ask") != pl.col("ask").shift()).fill_null(True))
            # Of more changes than pixels, the last of each stretch.
            sides = sides.filter(pl.int_range(len(sides)) % max(1, len(sides) // STEPS) == 0)
            at = [*wall(sides["at"]), end.replace(tzinfo=None).isoformat()] if len(sides) else []
            for trace, side in ((bid, "bid"), (ask, "ask")):
                trace.update(x=at, y=[*sides[side].to_list(), sides[side][-1]] if len(sides) else [])
        trades = moment.trades
        if len(trades):
            sized = "size" in trades.columns
            some = trades.top_k(POINTS, by="size").sort("timestamp") if sized and len(trades) > POINTS else trades.head(POINTS)
            sizes = some["size"].cast(pl.Float64).to_numpy() if sized else np.ones(len(some))
            points.marker.size = (4 + 10 * np.sqrt(sizes / max(float(sizes.max()), 1e-9))).tolist()
            told = [
                f"{at:%H:%M:%S.%f}  {price:,.6g}" + f" × {size:,.6g}" * sized
                for at, price, size in zip(some["timestamp"], some["price"], sizes, strict=True)
            ]
            points.update(x=wall(some["timestamp"]), y=some["price"].to_list(), hovertext=told)
        else:
            points.update(x=[], y=[], hovertext=[])
        drawn.layout.xaxis.range = [moment.since.replace(tzinfo=None).isoformat(), end.replace(tzinfo=None).isoformat()]


def wall(times: "pl.Series") -> list[str]:
    """Instants as the clock on the wall shows them: plotly knows no zones."""
    return times.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_list()
