"""Rollups: bars that are summed up from finer ones as they land, declared once, as continuous aggregates are.

A `Rollup` says what is summed up, by what, and how each column is made: as SQL aggregates over the finer bars. The lake's table, its columns, the
query that fills it and the views that read it follow from that. A session's row holds the whole session and each of its parts side by side.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from workbench import errors
from workbench.tables.common import NS
from workbench.tables.spec import NEW_YORK, Column, Table, Type, quote
from workbench.tables.stocks import STOCK_MINUTE

# The hours of a day that is no session by the calendar, but has bars: those of a usual one.
USUAL = {"pre_open": "04:00", "open": "09:30", "close": "16:00", "post_close": "20:00"}
PARTS = ("pre", "regular", "post")
WHOLE = "all"


@dataclass(frozen=True)
class Aggregate:
    """A column of a rollup: its SQL over the bars of a session, and over rollups (`again`), of which a longer bar is made."""

    name: str
    type: Type
    sql: str
    again: str
    doc: str
    unit: str = ""


@dataclass(frozen=True)
class Rollup:
    """Bars of sessions made from a table of finer ones: `variants` are the parts of a session that they are made of, "all" the whole of it.

    Sessions from `start_offset` ago up to `end_offset` before the newest whose file is due are summed up as they land; without a start, all. What is
    not summed up, or has changed since, is computed when it is asked for.
    """

    name: str
    doc: str
    of: Table
    variants: tuple[str, ...]
    columns: tuple[Aggregate, ...]
    start_offset: timedelta | None = None
    end_offset: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.variants[0] != WHOLE or not {*self.variants[1:]} <= {*PARTS}:
            raise errors.UsageError(f"{self.name}: the variants of a rollup are {WHOLE!r} and any of {', '.join(PARTS)}, in that order.")

    @cached_property
    def table(self) -> Table:
        """The lake's table that holds it."""
        ticker = self.of.columns[0]
        made = [
            Column(
                self.column(variant, one),
                one.type,
                f"{one.doc}{' ' + WHERE[variant] if variant != WHOLE else ''}",
                one.unit,
                required=False,
                low=0,
            )
            for variant in self.variants
            for one in self.columns
        ]
        return Table(
            name=self.name,
            doc=self.doc,
            asset="derived",
            kind="bars",
            feeds=(),
            vendor=(ticker, *made, Column("window_start", "BIGINT", "Start of the session's day.", NS)),
            key=("ticker", "window_start"),
            time="window_start",
            chunks=("month", "quarter", "year"),
            ranges=1,
            calendar=self.of.calendar,
            starts=self.of.starts,
            zone=self.of.zone,
            source=f"bars of {self.of.name}, summed up at the end of each refresh",
        )

    @staticmethod
    def column(variant: str, one: Aggregate) -> str:
        """What a column is called: of the whole session as it is, of a part with the part's name before it."""
        return one.name if variant == WHOLE else f"{variant}_{one.name}"

    def inside(self, day: date, due: date) -> bool:
        """Whether a session is to be summed up, where `due` is the newest date whose file is."""
        return day <= due - self.end_offset and (self.start_offset is None or day >= due - self.start_offset)

    def query(self, bars: str, edges: str) -> str:
        """The query that sums up some bars, a row for each ticker and session, as the table holds them; `edges` is as in `sums`."""
        made = [f"any_value({quote(one.name)}) FILTER (session = '{WHOLE}') AS {quote(one.name)}" for one in self.columns]
        made += [
            f"any_value({quote(one.name)}) FILTER (session = '{variant}') AS {quote(self.column(variant, one))}"
            for variant in self.variants[1:]
            for one in self.columns
        ]
        midnight = f"(date::TIMESTAMP AT TIME ZONE '{self.of.zone}')"
        whole = ", ".join(f"any_value({name}) FILTER (session = '{WHOLE}') AS {name}" for name in ("source", "is_test"))
        return (
            f"SELECT ticker, {', '.join(made)}, epoch_us({midnight}) * 1000 AS window_start, date, {midnight} AS timestamp, {whole} "
            f"FROM ({self.sums(bars, edges)}) AS sums GROUP BY ticker, date"
        )

    def sums(self, bars: str, edges: str) -> str:
        """The query that sums up some bars, a row for each ticker, session and variant.

        `edges` has the instants at which the parts of sessions begin, by `date`, as `market_sessions` has them.
        """
        made = ", ".join(f"{one.sql} AS {quote(one.name)}" for one in self.columns)
        made += ", arg_max(source, timestamp) AS source, bool_or(is_test) AS is_test"
        if len(self.variants) == 1:
            return f"SELECT ticker, date, '{WHOLE}' AS session, {made} FROM {bars} AS bars GROUP BY ticker, date"
        cases = " ".join(f"WHEN b.timestamp < {edge(name)} THEN {what}" for name, what in CASES)
        parted = f"SELECT b.*, CASE {cases} END AS part FROM {bars} AS b LEFT JOIN {edges} AS e ON e.date = b.date"
        return (
            f"SELECT ticker, date, CASE WHEN grouping(part) = 1 THEN '{WHOLE}' ELSE part END AS session, {made} FROM ({parted}) AS bars "
            "GROUP BY GROUPING SETS ((ticker, date), (ticker, date, part)) HAVING grouping(part) = 1 OR part IS NOT NULL"
        )

    @cached_property
    def mark(self) -> str:
        """What tells rows made by this declaration from those of another."""
        return hashlib.sha256(self.query("bars", "edges").encode()).hexdigest()[:16]


def edge(name: str) -> str:
    """When a part of a bar's session begins or ends; that of a usual day where the calendar knows none."""
    return f"coalesce(e.{name}, (b.date + TIME '{USUAL[name]}') AT TIME ZONE '{NEW_YORK}')"


CASES = (("pre_open", "NULL"), ("open", "'pre'"), ("close", "'regular'"), ("post_close", "'post'"))
WHERE = {"pre": "In the pre-market.", "regular": "In regular hours.", "post": "In the post-market."}

BARS = (
    Aggregate("open", "DOUBLE", "arg_min(open, timestamp)", "arg_min(open, date)", "First price.", "USD"),
    Aggregate("high", "DOUBLE", "max(high)", "max(high)", "Highest price.", "USD"),
    Aggregate("low", "DOUBLE", "min(low)", "min(low)", "Lowest price.", "USD"),
    Aggregate("close", "DOUBLE", "arg_max(close, timestamp)", "arg_max(close, date)", "Last price.", "USD"),
    Aggregate("volume", "DOUBLE", "sum(volume)", "sum(volume)", "Shares traded.", "shares"),
    Aggregate("transactions", "BIGINT", "sum(transactions)::BIGINT", "sum(transactions)::BIGINT", "Trades.", "trades"),
    Aggregate(
        "vwap",
        "DOUBLE",
        "sum(close * volume) / nullif(sum(volume), 0)",
        "sum(vwap * volume) / nullif(sum(volume) FILTER (vwap IS NOT NULL), 0)",
        "Closes of the minutes, weighted by their volume, since the vendor's minutes have no vwap; NULL without volume.",
        "USD",
    ),
    Aggregate("bars", "BIGINT", "count(*)", "sum(bars)::BIGINT", "Minutes with a bar.", "bars"),
)

STOCK_SESSIONS = Rollup(
    name="stock_sessions",
    doc="One bar per stock ticker and session, summed up from stock_minute: the whole session, pre-market, regular hours and post-market. "
    "Opening and closing prices are first and last by time; `source` is the last minute's.",
    of=STOCK_MINUTE,
    variants=(WHOLE, *PARTS),
    columns=BARS,
)

ROLLUPS = (STOCK_SESSIONS,)
