"""What `market_data.ohlcv` reads besides the lake's tables: which day bars it shows, as constant conditions, and which imported bars it does not.

Both follow from the versions that a session shows, and are made anew only when a table moves.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

from workbench.lake import lone_days
from workbench.lake.lone_days import DAYS, MINUTES, NAMES, Compared
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.narrow import SCHEMA
from workbench.query.views import literal
from workbench.tables import LONE_DAYS
from workbench.tables.platforms import record
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.query.documented import Documented

# Bars that people wrote, as a view shows them; which session one is of; and so many symbols of theirs at most are named in a query.
IMPORTED = ".".join(record("market_data.ohlcv").imported)
EMPTY = record("market_data.ohlcv").empty
SESSION = f"(timestamp AT TIME ZONE '{NEW_YORK}')::DATE"
SYMBOLS = 1_000
# Of which of those a finer timeframe was imported too.
COARSER = f"""SELECT * FROM imported_sessions WHERE (symbol, date, timeframe) NOT IN (SELECT (symbol, date, timeframe) FROM {SCHEMA}.imported_twice)
    QUALIFY rank() OVER (PARTITION BY symbol, date ORDER BY bar_seconds(timeframe) NULLS LAST, timeframe) > 1"""
# So many ranges of sessions at most stand in a query.
RANGES = 4
# The table in DuckDB that tells sessions one by one, and what it says of them.
SESSIONS = "bar_sessions"
WITHOUT, DUE, STALE = "without minutes", "due", "stale"


class Bars:
    """Supplies the views of one session; `shown` are the versions of the tables that it shows."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot]):
        self.lake, self._shown = lake, shown
        self._query: tuple[object, str] = (None, "")
        self._twice: object = None

    def supply(self, documented: "Documented") -> None:
        """Have each brought up to date before a query that names them."""
        self._documented = documented
        documented.supply("workbench.days_without_minutes", self.days)
        documented.supply("workbench.imported_twice", self.twice)

    def days(self, con: "DuckDBPyConnection") -> str:
        """The query for the day bars that are shown beside minutes; what it reads besides stands in a table of DuckDB."""
        versions = {name: self._shown[name].version for name in NAMES}
        if self._query[0] != versions:
            found = lone_days.compared(self.lake, versions)
            states = {WITHOUT: found.without, DUE: found.due, STALE: found.stale}
            rows = "unnest(CAST($days AS DATE[])) AS date, unnest(CAST($states AS VARCHAR[])) AS state"
            told = [(str(day), state) for state, days in states.items() for day in days]
            listed = {"days": [day for day, _ in told], "states": [state for _, state in told]}
            con.execute(f"CREATE OR REPLACE TABLE {SCHEMA}.{SESSIONS} AS SELECT {rows}", listed)
            self._query = versions, beside_minutes(found)
        return self._query[1]

    def twice(self, con: "DuckDBPyConnection") -> str:
        """The query for the imported bars of which the lake, or a finer timeframe of the imported, has bars; they stand in a table of DuckDB.

        Nearly all are told by day bars, which are few; minutes are looked through for symbols of which those have none.
        """
        versions = {name: self._shown[name].version for name in (DAYS, MINUTES)}
        imported = self._documented.given.get(IMPORTED, EMPTY)
        if self._twice != (mark := (imported, self._documented.mark(IMPORTED), versions)):
            con.execute(f"CREATE OR REPLACE TABLE {SCHEMA}.imported_twice (symbol VARCHAR, date DATE, timeframe VARCHAR)")
            if imported != EMPTY:
                con.execute(
                    f"CREATE OR REPLACE TEMP TABLE imported_sessions AS SELECT DISTINCT symbol, {SESSION} AS date, timeframe FROM ({imported});"
                    f"INSERT INTO {SCHEMA}.imported_twice {told_by(DAYS)};"
                    f"DELETE FROM imported_sessions WHERE (symbol, date) IN (SELECT (symbol, date) FROM {SCHEMA}.imported_twice)"
                )
                left = con.execute("SELECT symbol FROM imported_sessions GROUP BY symbol ORDER BY symbol").fetchall()
                some = f" WHERE ticker IN ({', '.join(literal(symbol) for (symbol,) in left)})" if len(left) <= SYMBOLS else ""
                if left:
                    con.execute(f"INSERT INTO {SCHEMA}.imported_twice {told_by(MINUTES, some)}")
                con.execute(f"INSERT INTO {SCHEMA}.imported_twice {COARSER}; DROP TABLE imported_sessions")
            self._twice = mark
        return f"SELECT symbol, date, timeframe FROM {SCHEMA}.imported_twice"


def told_by(table: str, some: str = "") -> str:
    """The query for those of the imported sessions of which a table has bars."""
    first, last = (f"(SELECT {which}(date) FROM imported_sessions)" for which in ("min", "max"))
    near = f"SELECT ticker, date FROM (FROM main.{table}{some}) WHERE date BETWEEN {first} AND {last}"
    return f"SELECT symbol, date, timeframe FROM imported_sessions AS i SEMI JOIN ({near}) AS b ON b.ticker = i.symbol AND b.date = i.date"


def beside_minutes(found: Compared) -> str:
    """The query for the day bars whose tickers have no minute in their session."""
    sessions = sorted(found.without | found.told.keys())
    parts = []
    if found.without:
        parts.append(f"SELECT * FROM main.{DAYS}{where(WITHOUT, found.without, sessions)}")
    if found.kept:
        hidden = f" WHERE date NOT IN ({those(STALE)})" if found.stale else ""
        parts.append(f"SELECT * FROM main.{LONE_DAYS.name}{hidden}")
    if found.due:
        tests = where(DUE, found.due, sessions)
        parts.append(
            f"SELECT d.* FROM (SELECT * FROM main.{DAYS}{tests}) AS d ANTI JOIN (SELECT DISTINCT ticker, date FROM main.{MINUTES}{tests}) AS m "
            "ON m.ticker = d.ticker AND m.date = d.date"
        )
    return "\nUNION ALL ".join(parts) or f"SELECT * FROM main.{DAYS}"


def where(state: str, days: Collection[date], sessions: list[date], told: str = SESSIONS) -> str:
    """The condition for some of a table's sessions; none for all of them.

    Ranges are what files can be left out by; of many ranges the nearest are taken together, and the table in DuckDB says which sessions are meant.
    """
    if len(days) == len(sessions):
        return ""
    spans = list(runs(days, sessions))
    wide = joined(spans)
    ranges = " OR ".join(f"date BETWEEN DATE '{first}' AND DATE '{last}'" for first, last in wide)
    return f" WHERE {ranges}" if wide == spans else f" WHERE ({ranges}) AND date IN ({those(state, told)})"


def those(state: str, told: str = SESSIONS) -> str:
    """The sessions in a state, as a table in DuckDB tells them."""
    return f"SELECT date FROM {SCHEMA}.{told} WHERE state = '{state}'"


def joined(spans: list[tuple[date, date]]) -> list[tuple[date, date]]:
    """Ranges of sessions, of which those with the least between them are taken together until they are few."""
    gaps = sorted(range(1, len(spans)), key=lambda n: spans[n][0] - spans[n - 1][1], reverse=True)
    starts = [0, *sorted(gaps[: RANGES - 1])]
    return [(spans[a][0], spans[b - 1][1]) for a, b in zip(starts, [*starts[1:], len(spans)], strict=True)] if spans else []


def runs(days: Collection[date], sessions: list[date]) -> Iterator[tuple[date, date]]:
    """The first and the last session of each run of neighbours among all."""
    first: date | None = None
    last: date | None = None
    for day in sessions:
        if day in days:
            first, last = first or day, day
        elif first and last:
            yield first, last
            first = None
    if first and last:
        yield first, last
