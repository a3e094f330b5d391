"""What the views of documented tables read that market data feeds, and the lake's tables do not tell in so many words.

That is when rows were landed, what adjusts their closes, which news is listed twice, and holidays; kept in DuckDB's memory, made anew when tables move or
days pass. What a column is looked up in is one row of lists: a query that does not select the column does not pay for it, and one that does finds each
value by its place, without a join.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.kept import COPIED
from workbench.query.narrow import SCHEMA
from workbench.query.parts import STOCKS
from workbench.query.streams import with_frames
from workbench.tables import FED
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.query.documented import Documented

# The day of the first entry of every list, as `workbench.landed_times` tells it; no table begins before it.
ORIGIN = date(1990, 1, 1)

# As many lists as the view of prices looks a ticker's entries up in; a few of a hundred thousand tickers share one.
PLACES = 16_384


class Supplies:
    """The tables in memory of one session. `shown` are the versions that it shows; `at` is the instant that it was opened as of."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot], at: datetime | None = None):
        self._shown = shown
        self._day = at.astimezone(ZoneInfo(NEW_YORK)).date() if at else None
        self._lock = threading.Lock()
        self._made: dict[str, object] = {}
        self._landed = LandedTimes(lake, shown)

    def supply(self, documented: "Documented") -> None:
        """Have each brought up to date before a query that names its view."""
        documented.supply("workbench.landed_times", self._landed)
        documented.supply("workbench.close_factors", self.close_factors)
        documented.supply("workbench.kept_repeated_news", self.repeated_news)
        documented.supply("workbench.kept_holidays", self.holidays)

    def close_factors(self, con: "DuckDBPyConnection") -> None:
        """What closes are multiplied by; of another day, other splits count."""
        day = self._day or sessions.today()
        versions = tuple(self._shown[name].version for name in COPIED["kept_yahoo"][1:])
        self._keep("close_factors", (day, versions), lambda: con.execute(close_factors()))

    def repeated_news(self, con: "DuckDBPyConnection") -> None:
        """The articles that are listed twice."""
        made = f"CREATE OR REPLACE TABLE {SCHEMA}.repeated_news AS FROM workbench.repeated_news"
        self._keep("repeated_news", self._shown["news_items"].version, lambda: con.execute(made))

    def holidays(self, con: "DuckDBPyConnection") -> None:
        """The holidays of the calendar, which change with the year only."""
        import polars as pl

        last = date(sessions.today().year + 1, 12, 31)

        def make() -> None:
            told = [(STOCKS, one.date, one.name, one.status, one.open, one.close) for one in sessions.holidays(ORIGIN, last, STOCKS)]
            instant = pl.Datetime("us", "UTC")
            names = ("exchange", "date", "name", "status", "open", "close")
            kinds = (pl.String, pl.Date, pl.String, pl.String, instant, instant)
            holidays_of_the_calendar = pl.DataFrame(told, dict(zip(names, kinds, strict=True)), orient="row").to_arrow()
            with_frames(
                con,
                f"CREATE OR REPLACE TABLE {SCHEMA}.holidays AS FROM holidays_of_the_calendar",
                holidays_of_the_calendar=holidays_of_the_calendar,
            )

        self._keep("holidays", last, make)

    def _keep(self, name: str, of: object, make: Callable[[], object]) -> None:
        with self._lock:
            if self._made.get(name) != of:
                make()
                self._made[name] = of


def close_factors() -> str:
    """The statement that makes the table of what closes are multiplied by."""
    return f"""CREATE OR REPLACE TABLE {SCHEMA}.close_factors AS
        WITH entries AS (
            SELECT hash(ticker) % {PLACES} AS place, ticker, since, until, false AS of_yahoo, price_factor AS factor
            FROM workbench.split_spans
            UNION ALL
            SELECT hash(ticker) % {PLACES}, ticker, date, date + 1, true, price_factor
            FROM workbench.kept_yahoo WHERE base_table = 'stock_day'
        ),
        placed AS (
            SELECT place, list(struct_pack(ticker, since, until, of_yahoo, factor)) AS steps FROM entries GROUP BY place
        )
        SELECT list(steps ORDER BY n) AS steps FROM range({PLACES}) AS places(n) LEFT JOIN placed ON place = n"""


class LandedTimes:
    """Has the times of the sessions that the lake holds stand in a table of DuckDB; `shown` are the versions that a session shows."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot]):
        self.lake, self._shown = lake, shown
        self._lock = threading.Lock()
        self._versions: dict[str, int] | None = None
        self._told: dict[str, tuple[int, Any]] = {}

    def __call__(self, con: "DuckDBPyConnection") -> None:
        """Make the table anew if a table of the lake moved; only what moved is worked out."""
        import pyarrow as pa

        with self._lock:
            versions = {table.name: self._shown[table.name].version for table in FED}
            if versions == self._versions:
                return
            lists = pa.list_(pa.timestamp("us", "UTC"))
            kinds = pa.schema([("base_table", pa.string()), ("created", lists), ("updated", lists)])
            for name, version in versions.items():
                if self._told.get(name, (-1,))[0] != version:
                    of_days = [pa.ListArray.from_arrays([0, len(one)], one) for one in landed_times(self.lake, name, version)]
                    self._told[name] = version, pa.Table.from_arrays([pa.array([name]), *of_days], schema=kinds)
            times_of_landings = pa.concat_tables([kinds.empty_table(), *(self._told[name][1] for name, at in versions.items() if at >= 0)])
            statement = f"CREATE OR REPLACE TABLE {SCHEMA}.landed_times AS FROM times_of_landings"
            with_frames(con, statement, times_of_landings=times_of_landings)
            self._versions = versions


def landed_times(lake: Lake, table: str, version: int) -> tuple[Any, Any]:
    """When each session of a version of a table, or of its archive, was landed first, and when last: two arrays by the number of days since `ORIGIN`."""
    import numpy as np
    import pyarrow as pa

    last: dict[date, str] = {}
    for one in lake[table].landings(version).values():
        # Of what lies before the lists no time is told.
        if one.rows and one.retired in ("", "archived") and one.session >= ORIGIN:
            last[one.session] = max(one.landed_at, last.get(one.session, ""))
    first: dict[date, str] = {}
    for commit in lake[table].commits(version):
        for one in commit.landings:
            first[one.session] = min(one.landed_at, first.get(one.session, one.landed_at))
    count = (max(last) - ORIGIN).days + 1 if last else 0
    times = np.full((2, count), np.datetime64("NaT"), "datetime64[us]")
    for day, at in last.items():
        times[:, (day - ORIGIN).days] = [datetime.fromisoformat(told).astimezone(UTC).replace(tzinfo=None) for told in (first[day], at)]
    created, updated = (pa.array(one).cast(pa.timestamp("us", "UTC")) for one in times)
    return created, updated
