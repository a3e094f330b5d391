"""The parts of sessions, pre-market, regular and post-market, as arrays by day: what `sessions.hours` tells of one, for many at once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.errors import UsageError
from workbench.query.narrow import SCHEMA
from workbench.query.streams import with_frames
from workbench.tables import Table
from workbench.tables.futures import CHICAGO
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

PARTS = ("all", "pre", "regular", "post")
# The calendar of stocks, options and indices, of which only stocks have more than a regular part.
STOCKS = "XNYS"
# The zone in which the sessions of each calendar are told.
ZONES = {STOCKS: NEW_YORK, "CMES": CHICAGO, "24/5": "UTC", "24/7": "UTC"}


@dataclass(frozen=True)
class Clock:
    """When the sessions of a table trade: microseconds since 1970 UTC of every day from `first`, a day number, to the calendar's end.

    A day that is no session has the hours that a usual one would have: rows may stand there all the same. `pre` and `post` are the beginning of
    the pre-market and the end of the post-market, where there are any. `sessions` are the numbers of the days that are sessions.
    """

    first: int
    sessions: Any
    opens: Any
    closes: Any
    pre: Any = None
    post: Any = None

    def place(self, days: Any) -> Any:
        """Where day numbers stand in the arrays; one outside has the hours of the nearest day inside."""
        import numpy as np

        return np.clip(days - self.first, 0, len(self.opens) - 1)

    @cached_property
    def grid_us(self) -> int:
        """The longest stretch that every edge of a part is a multiple of, counted from 1970 UTC: half an hour for stocks."""
        import numpy as np

        edges = [edge for edge in (self.pre, self.opens, self.closes, self.post) if edge is not None]
        return int(np.gcd.reduce(np.concatenate(edges)))

    def span(self, part: str, days: Any) -> tuple[Any, Any]:
        """When a part of some days begins and ends, half open; all of a stock's session is what lies between pre-market and post-market."""
        at = self.place(days)
        first = self.opens if self.pre is None or part == "regular" else self.closes if part == "post" else self.pre
        last = self.closes if self.post is None or part == "regular" else self.opens if part == "pre" else self.post
        return first[at], last[at]

    def edges(self, part: str, days: Any) -> list[tuple[Any, Any]]:
        """The parts that make up a part, each with its beginnings and ends: three of a stock's whole session."""
        whole = part == "all" and self.pre is not None
        return [self.span(one, days) for one in (PARTS[1:] if whole else (part,))]


def clock(table: Table) -> Clock:
    """When the sessions of a table trade."""
    return made(table.calendar, table.zone, table.asset == "stocks", sessions.today().year + 1)


@cache
def made(name: str, zone: str, stocks: bool, last_year: int) -> Clock:
    """A clock, up to the end of a year."""
    import numpy as np
    import polars as pl

    known = sessions.loaded(name, last_year)
    days = pl.Series("date", known.days, pl.Date)
    numbers = days.to_physical().to_numpy()
    first, last = int(numbers[0]), int(numbers[-1])
    every = pl.Series("date", np.arange(first, last + 1, dtype=np.int32)).cast(pl.Date)
    midnights = wall(every, zone, time(0))
    at = numbers - first
    opens, closes = (np.array(seconds, dtype=np.int64) * 1_000_000 for seconds in (known.opens, known.closes))
    usual = [int(np.median(edge - midnights[at])) for edge in (opens, closes)]
    opening, closing = (midnights + offset for offset in usual)
    opening[at], closing[at] = opens, closes
    if not stocks:
        return Clock(first, numbers, opening, closing)
    early = every.is_in(pl.Series(list(known.early), dtype=pl.Date).implode()).to_numpy()
    post = np.where(early, wall(every, zone, sessions.EARLY_POST), wall(every, zone, sessions.POST))
    return Clock(first, numbers, opening, closing, wall(every, zone, sessions.PRE), post)


def wall(days: "pl.Series", zone: str, at: Any) -> Any:
    """When a wall clock shows a time on some days, in microseconds since 1970 UTC."""
    return days.dt.combine(at).dt.replace_time_zone(zone, ambiguous="earliest").to_physical().to_numpy()


def check(part: str, table: Table) -> None:
    """Raises `UsageError` for a part that there is not, or that the sessions of a table do not have."""
    if part not in PARTS:
        raise UsageError(f"a session has no part {part!r}; nothing was read. Give session= one of {', '.join(PARTS)}.")
    if part in ("pre", "post") and table.asset != "stocks":
        raise UsageError(
            f"{table.name} has no {part}-market, which only stocks have; nothing was read. Leave session= out, or give session='regular'."
        )


def of(rows: "pl.DataFrame", part: str, table: Table) -> "pl.DataFrame":
    """The rows whose `timestamp` lies in a part of their session, from its beginning up to, not including, its end."""
    import polars as pl

    if part == "all" or rows.is_empty():
        return rows
    first, last = clock(table).span(part, rows["date"].to_physical().to_numpy())
    at = rows["timestamp"].to_physical().to_numpy()
    return rows.filter(pl.Series((at >= first) & (at < last)))


def supply() -> Callable[["duckdb.DuckDBPyConnection"], None]:
    """Has the sessions that `market_sessions` shows stand in a table of a DuckDB; they change with the year only."""
    made_for = 0

    def supplied(con: "duckdb.DuckDBPyConnection") -> None:
        nonlocal made_for
        last_year = sessions.today().year + 1
        if made_for == last_year:
            return
        sessions_of_calendars = of_calendars(last_year)
        statement = f"CREATE OR REPLACE TABLE {SCHEMA}.sessions AS FROM sessions_of_calendars"
        with_frames(con, statement, sessions_of_calendars=sessions_of_calendars)
        made_for = last_year

    return supplied


@cache
def of_calendars(last_year: int) -> "pa.Table":
    """The sessions of every calendar up to the end of a year, and when their parts begin and end."""
    import polars as pl

    found = []
    for name, zone in ZONES.items():
        known, when = sessions.loaded(name, last_year), made(name, zone, name == STOCKS, last_year)
        at = when.place(when.sessions)
        edges = {"pre_open": when.pre, "open": when.opens, "close": when.closes, "post_close": when.post}
        instants = [
            pl.Series(one, edge[at] if edge is not None else [None] * len(at), pl.Int64).cast(pl.Datetime("us", "UTC"))
            for one, edge in edges.items()
        ]
        early = pl.Series("early_close", [known.early.get(day) for day in known.days], pl.String)
        found.append(pl.DataFrame([pl.Series("calendar", [name] * len(at)), pl.Series("date", known.days), *instants, early]))
    return pl.concat(found).to_arrow()
