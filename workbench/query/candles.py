"""Candles for so many pixels: which bars fit a stretch of trading time, what they are made of, and the SQL that gives the same.

The rows come from `Workbench.bars`, which joins minutes as they are read; the SQL is what a person can run and change.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from workbench.query import parts, resample
from workbench.query.rows import asset_of
from workbench.query.views import literal
from workbench.tables import FED, Table, find

if TYPE_CHECKING:
    import polars as pl

    from workbench.query.catalog import Catalog

AUTO = "auto"
SIZES = resample.SIZES
WHOLE = tuple(size for size in SIZES if size not in resample.INTRADAY)
# Candles that are wide enough to be told apart, and the most that a chart has pixels for.
COMFORTABLE, MOST = 400, 1000
# How much of what is looked at must have minutes for candles of minutes to be chosen unasked.
COVERED = 0.8

BARS = tuple(table for table in FED if table.kind == "bars")
PREFIXES = {"option": "O:", "index": "I:", "forex": "C:", "crypto": "X:"}
COLUMNS = "ticker, date, timestamp, open, high, low, close, volume, transactions"


@dataclass(frozen=True)
class Held:
    """What a table holds of a ticker: its first and last session, and how many bars."""

    table: Table
    first: date
    last: date
    rows: int


@dataclass(frozen=True)
class Wanted:
    """Candles of a ticker from one table, between two sessions, both included. Weeks and months are wanted whole, so that none changes while a chart is moved."""

    ticker: str
    table: Table
    size: str
    first: date
    last: date
    adjusted: str = "none"
    as_of: date | None = None
    session: str = "all"

    @property
    def span(self) -> tuple[date, date]:
        """The sessions that are read: those of whole weeks or months."""
        first, last = self.first, self.last
        if self.size == "1w":
            first, last = first - timedelta(days=first.weekday()), last + timedelta(days=6 - last.weekday())
        elif self.size == "1mo":
            first, last = first.replace(day=1), (last.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return first, last

    def rows(self, bars: Callable[..., "pl.DataFrame"]) -> "pl.DataFrame":
        """The candles, by `Workbench.bars`."""
        first, last = self.span
        return bars(self.ticker, first, last, self.size, self.adjusted, self.as_of, self.session, table=self.table.name)

    @property
    def sql(self) -> str:
        """A query that gives the same candles, and runs as it stands."""
        if self.table.asset != "stocks":
            return of_others(self)
        # What the macro reads by itself: day bars for whole sessions, else minutes.
        usual = self.table.name == ("stock_day" if self.size in WHOLE and self.session == "all" else "stock_minute")
        return of_stocks(self) if usual else of_minutes(self)


# ---------------------------------------------------------------------- choose


def of_table(name: str) -> tuple[Table, ...]:
    """The tables of bars that may be read where one is named: it alone."""
    return (find(name),)


def of_ticker(ticker: str) -> tuple[Table, ...]:
    """The tables of bars of a ticker's asset class, by its prefix: of sessions, and of minutes."""
    return tuple(table for table in BARS if table.name.startswith(f"{asset_of(ticker)}_"))


def is_minutes(table: Table) -> bool:
    """Whether a table's bars are of minutes, not of sessions."""
    return table.name.endswith("_minute")


def prefixed(ticker: str, table: Table) -> str:
    """A ticker with the prefix that its table's tickers have."""
    prefix = PREFIXES.get(table.name.split("_")[0], "")
    return ticker if ticker.startswith(prefix) else prefix + ticker


def held(catalog: "Catalog", ticker: str, tables: Sequence[Table]) -> list[Held]:
    """What tables hold of a ticker; those that hold nothing are left out."""
    found = []
    for table in tables:
        if catalog.held(table.name).files:
            query = f"SELECT min(date), max(date), count(*) FROM main.{table.name} WHERE ticker = {literal(ticker)}"
            [(first, last, rows)] = catalog.ask(query).fetchall()  # type: ignore[union-attr]
            found += [Held(table, first, last, rows)] * bool(rows)
    return found


def newest(catalog: "Catalog", table: Table) -> date | None:
    """The newest session that a table lists."""
    import pyarrow.compute as pc

    shot = catalog.held(table.name)
    return pc.max(shot.stats["last"]).as_py() if shot.stats and shot.files else None


def names(catalog: "Catalog", tables: Sequence[Table]) -> list[str]:
    """Tickers to choose from: those of the newest session of each table, which costs little to look up, and those that reference data lists."""
    found: set[str] = set()
    for table in tables:
        if day := newest(catalog, table):
            query = f"SELECT DISTINCT ticker FROM main.{table.name} WHERE date = DATE '{day}' AND NOT coalesce(is_test, false)"
            found.update(ticker for (ticker,) in catalog.ask(query).fetchall())  # type: ignore[union-attr]
    assets = {table.name.split("_")[0] for table in tables}
    if catalog.held("tickers").files:
        listed = catalog.ask("SELECT DISTINCT ticker FROM main.tickers")
        found.update(ticker for (ticker,) in listed.fetchall() if ticker and asset_of(ticker) in assets)  # type: ignore[union-attr]
    return sorted(found)


def sizes(table: Table, session: str) -> tuple[str, ...]:
    """The sizes that bars of a table can be made into."""
    if is_minutes(table):
        return SIZES
    return WHOLE if session == "all" else ()


def counts(table: Table, session: str, sessions: float) -> Mapping[str, float]:
    """About how many candles of each size so many sessions have."""
    import numpy as np

    when = parts.clock(table)
    first, last = when.span(session, when.sessions[-250:])
    length = float(np.median(last - first))
    a_week = len(when.sessions) / (when.sessions[-1] - when.sessions[0] + 1) * 7
    within = {size: sessions * max(1.0, length / us) for size, us in resample.INTRADAY.items()}
    return within | {"1d": sessions, "1w": sessions / a_week, "1mo": sessions / (a_week * 365.25 / 84)}


def fitting(asked: str, had: Sequence[str], count: Mapping[str, float]) -> str:
    """The size that is drawn: as asked, or, where that is more candles than pixels, the next longer that fits; `auto` is the shortest that is comfortable."""
    if asked == AUTO:
        return next((size for size in had if count[size] <= COMFORTABLE), had[-1])
    longer = [size for size in had if SIZES.index(size) >= SIZES.index(asked)] or [had[-1]]
    return next((size for size in longer if count[size] <= MOST), longer[-1])


# ---------------------------------------------------------------------- in SQL


def of_stocks(wanted: Wanted) -> str:
    """Candles of stocks by the macro that makes bars of any size."""
    first, last = wanted.span
    return f"""SELECT {COLUMNS}
FROM resampled_bars({literal(wanted.ticker)}, '{wanted.size}', '{first}', '{last}', part := '{wanted.session}', {adjusting(wanted)})
ORDER BY timestamp"""


def adjusting(wanted: Wanted, how: str = "") -> str:
    """The arguments of a macro that tell how prices are adjusted."""
    return f"adjust := '{how or wanted.adjusted}'" + (f", as_of_date := DATE '{wanted.as_of}'" if wanted.as_of else "")


def summed(by: str, there: Collection[str] = ("volume",)) -> str:
    """What a longer bar takes from its rows, in order of a column; an index has no volume."""
    volume = "sum(b.volume) AS volume, sum(b.transactions)::BIGINT" if "volume" in there else "NULL::DOUBLE AS volume, NULL::BIGINT"
    prices = f"arg_min(b.open, b.{by}) AS open, max(b.high) AS high, min(b.low) AS low, arg_max(b.close, b.{by}) AS close"
    return f"{prices},\n    {volume} AS transactions"


def of_minutes(wanted: Wanted) -> str:
    """Candles of whole sessions of stocks where only minutes are there."""
    first, last = wanted.span
    raw = wanted.adjusted == "none"
    # Weeks and months are told in the shares of their last session: a split between would mix two kinds of share.
    how = "splits" if raw and wanted.size != "1d" else wanted.adjusted
    minutes = f"adjusted_bars({literal(wanted.ticker)}, '{first}', '{last}', bar_size := '1m', {adjusting(wanted, how)})"
    begins = f"bar_start(NULL::TIMESTAMPTZ, b.date, '{wanted.size}')"
    days = f"SELECT b.ticker, b.date, {begins} AS begins, {summed('timestamp')}\nFROM {minutes} AS b\nGROUP BY b.ticker, b.date"
    if wanted.size == "1d":
        return f"WITH days AS (\n{days}\n)\nSELECT {COLUMNS.replace('timestamp', 'begins AS timestamp')}\nFROM days\nORDER BY timestamp"
    bars = f"SELECT b.ticker, b.begins, max(b.date) AS last, {summed('date')}\nFROM days AS b\nGROUP BY b.ticker, b.begins"
    as_of = f", as_of_date := DATE '{wanted.as_of}'" if wanted.as_of else ""
    price, volume, steps = "", "", ""
    if raw:
        price, volume = " / coalesce(f.price_factor, 1)", " / coalesce(f.volume_factor, 1)"
        steps = f"\nLEFT JOIN split_steps({literal(wanted.ticker)}{as_of}) AS f ON b.last >= f.since AND b.last < f.until"
    prices = ", ".join(f"b.{name}{price} AS {name}" for name in ("open", "high", "low", "close"))
    return f"""WITH days AS (
{days}
), bars AS (
{bars}
)
SELECT b.ticker, (b.begins AT TIME ZONE 'America/New_York')::DATE AS date, b.begins AS timestamp,
    {prices}, b.volume{volume} AS volume, b.transactions
FROM bars AS b{steps}
ORDER BY timestamp"""


def of_others(wanted: Wanted) -> str:
    """Candles of what no corporate action concerns: options, indices, currencies, crypto, futures."""
    first, last = wanted.span
    table, calendar = wanted.table, f"calendar = '{wanted.table.calendar}'"
    where = f"b.ticker = {literal(wanted.ticker)} AND b.date BETWEEN '{first}' AND '{last}'"
    if is_minutes(table) and wanted.session == "regular":
        where += " AND b.timestamp >= s.open AND b.timestamp < s.close"
    if wanted.size in WHOLE:
        period = {"1d": "", "1w": "week", "1mo": "month"}[wanted.size]
        of_period = f"(SELECT min(c.date) FROM market_sessions AS c WHERE c.{calendar} AND date_trunc('{period}', c.date) = date_trunc('{period}', b.date))"
        session = f"coalesce({of_period}, date_trunc('{period}', b.date))::DATE" if period else "b.date"
        begins = "NULL"
    else:
        minutes = resample.INTRADAY[wanted.size] // resample.MINUTE_US
        session = "b.date"
        since = "CASE WHEN b.timestamp >= s.close THEN s.close ELSE coalesce(s.open, date_trunc('day', b.timestamp)) END"
        begins = f"time_bucket(INTERVAL {minutes} MINUTE, b.timestamp, {since})"
    at = "b.begins"
    if wanted.size in WHOLE:
        opened = f"(SELECT c.open FROM market_sessions AS c WHERE c.{calendar} AND c.date = b.session)"
        at = opened if table.asset == "futures" else f"b.session::TIMESTAMP AT TIME ZONE '{table.zone}'"
    return f"""WITH rows AS (
SELECT b.*, {session} AS session, {begins} AS begins
FROM {table.name} AS b
LEFT JOIN market_sessions AS s ON s.{calendar} AND s.date = b.date
WHERE {where}
), bars AS (
SELECT b.ticker, b.session, b.begins, {summed("timestamp", {column.name for column in table.columns})}
FROM rows AS b
GROUP BY b.ticker, b.session, b.begins
)
SELECT b.ticker, b.session AS date, {at} AS timestamp, b.open, b.high, b.low, b.close, b.volume, b.transactions
FROM bars AS b
ORDER BY timestamp"""
