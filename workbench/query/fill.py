"""Bars that no trade made: where a session has none, up to a limit in a row, at the close before them.

They stand where the calendar has a bar, in sessions that the lake holds of the table, and depend on nothing that came after them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import adjust, parts, resample
from workbench.query.narrow import SCHEMA
from workbench.query.resample import physical
from workbench.query.streams import with_frames
from workbench.tables import Table

if TYPE_CHECKING:
    import duckdb
    import polars as pl

PRICES = ("open", "high", "low", "close")


def check(fill: str | None, limit: object) -> None:
    """Raises `UsageError` for a way to fill that there is not, and for one without a limit."""
    way = "Write fill='forward', limit=5 for at most five bars in a row"
    if fill not in (None, "forward"):
        raise UsageError(f"there is no fill={fill!r}, only 'forward'; nothing was read. {way}.")
    if fill is None and limit is not None:
        raise UsageError(f"limit={limit!r} without fill says nothing; nothing was read. {way}, or leave limit out.")
    if fill and limit is None:
        raise UsageError(f"fill={fill!r} wants a limit, since a close is no price for ever; nothing was read. {way}.")
    if fill and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UsageError(f"limit={limit!r} is not a number of bars from 1 on; nothing was read. {way}.")


@dataclass(frozen=True)
class Slots:
    """Where the calendar has bars, in order: `at` is when each begins, in the bars' own terms (microseconds of day, or day numbers).

    `days` are their sessions; `lasts` the last session that counts to each, which is another one in a week or a month.
    """

    at: Any
    days: Any
    lasts: Any


def held(lake: Lake, table: str, version: int) -> set[tuple[date, str]]:
    """The sessions that a version of a table holds, each for one ticker, or, with an empty one, for all.

    Flat files land whole; of other sources a session is held for the tickers that they were asked for.
    """
    landings = lake[table].landings(version) if version >= 0 else {}
    return {(one.session, ticker) for one in landings.values() if one.held for ticker in one.asked or ("",)}


class Held:
    """Has the sessions that `held_sessions` shows stand in a table of DuckDB; `shown` are the versions of the tables that a session shows."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot]):
        self.lake, self._shown = lake, shown
        self._made: object = None

    def __call__(self, con: "duckdb.DuckDBPyConnection") -> None:
        """Make the table anew if one of them moved."""
        import polars as pl

        versions = {name: self._shown[name].version for name in ("stock_day", "stock_minute")}
        if versions == self._made:
            return
        told = [(name, day, ticker or None) for name, version in versions.items() for day, ticker in sorted(held(self.lake, name, version))]
        sessions_held = pl.DataFrame(told, {"base_table": pl.String, "date": pl.Date, "ticker": pl.String}, orient="row").to_arrow()
        with_frames(con, f"CREATE OR REPLACE TABLE {SCHEMA}.held_sessions AS FROM sessions_held", sessions_held=sessions_held)
        self._made = versions


def slots(table: Table, size: str, part: str, sessions: Any) -> Slots:
    """The slots of some sessions, given as day numbers in order."""
    import numpy as np
    import polars as pl

    if size in resample.INTRADAY:
        begins, owners, step = [], [], resample.INTRADAY[size]
        for first, last in parts.clock(table).edges(part, sessions):
            counts = -((first - last) // step)
            begins.append(np.repeat(first, counts) + counted(counts) * step)
            owners.append(np.repeat(sessions, counts))
        at, days = np.concatenate(begins), np.concatenate(owners)
        order = np.argsort(at, kind="stable")
        return Slots(at[order], days[order], days[order])
    named = resample.numbered(pl.Series(sessions).cast(pl.Date), size)
    starts = np.unique(named, return_index=True)[1]
    labels = physical(resample.firsts(pl.Series(sessions[starts]).cast(pl.Date), table, size))
    return Slots(labels, labels, sessions[np.append(starts[1:], len(sessions))[: len(starts)] - 1])


def counted(counts: Any) -> Any:
    """0, 1, 2 and so on, anew for each count."""
    import numpy as np

    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def forward(bars: "pl.DataFrame", limit: int, places: Mapping[str, Slots], *, intraday: bool) -> tuple["pl.DataFrame", Any]:
    """Bars of some tickers, with up to `limit` after each where `places` has slots and the ticker no bar; `filled` tells which those are.

    Within a day none leaves its session. Gives also, of each row, which of the given ones it was made of.
    """
    import numpy as np
    import polars as pl

    if bars.is_empty():
        return bars.with_columns(filled=pl.lit(False)), np.empty(0, dtype=np.int64)
    pieces = [
        placed(bars[start:end], limit, places[ticker], start, intraday=intraday) for ticker, start, end in adjust.runs(bars["ticker"])
    ]
    origin, filled, at, days, lasts = map(np.concatenate, zip(*pieces, strict=True))
    rows = bars[origin].with_columns(pl.Series("filled", filled))
    kind = rows.schema["timestamp"]
    put: dict[str, pl.Expr] = {name: pl.col("close") for name in PRICES}
    put |= {name: pl.lit(0, rows.schema[name]) for name in ("volume", "transactions") if name in rows.columns}
    put["date"] = pl.lit(pl.Series(days).cast(pl.Date))
    if intraday:
        put["timestamp"] = pl.lit(pl.Series(at).cast(kind))
    else:
        put["last_date"] = pl.lit(pl.Series(lasts).cast(pl.Date))
    return rows.with_columns(pl.when("filled").then(value).otherwise(name).alias(name) for name, value in put.items()), origin


def placed(bars: "pl.DataFrame", limit: int, places: Slots, begin: int, *, intraday: bool) -> tuple[Any, ...]:
    """For each bar of one ticker, and each that is put after it: the number of that bar, whether it is put, and where it stands."""
    import numpy as np

    days = physical(bars["date"])
    at = physical(bars["timestamp"]) if intraday else days
    first = np.searchsorted(places.at, at, "right")
    until = np.append(np.searchsorted(places.at, at[1:], "left"), len(places.at))
    if intraday:
        first = np.maximum(first, np.searchsorted(places.days, days, "left"))
        until = np.minimum(until, np.searchsorted(places.days, days, "right"))
    counts = np.clip(until - first, 0, limit)
    nth = counted(counts + 1)
    filled = nth > 0
    # Of a bar itself this is not looked at; where there are no slots, no bar is put.
    slot = np.where(filled, np.repeat(first, counts + 1) + nth - 1, 0)
    origin = np.repeat(np.arange(begin, begin + len(bars)), counts + 1)
    return origin, filled, *(one[slot] if len(one) else np.zeros(len(slot), one.dtype) for one in (places.at, places.days, places.lasts))
