"""What the views of rollups read: rows that are summed up where they stand, and the bars of sessions that are not, to be summed up as they are asked for.

Both follow from the versions that a session shows, and are made anew only when a table moves. No row is shown twice: a session is either summed up or left,
and a day bar, or one that people wrote, gives way to a row whose minutes retention took.
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from workbench.lake import rollups
from workbench.lake.rollups import Rolled
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.narrow import SCHEMA
from workbench.query.ohlcv import IMPORTED, those, where
from workbench.tables.rollups import STOCK_SESSIONS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.query.documented import Documented

# The table in DuckDB that tells sessions one by one, and what it says of them.
SESSIONS = "rolled_sessions"
LEFT, HIDDEN, TAKEN, MIXED = "left", "hidden", "taken", "mixed"
BARS, ROWS = STOCK_SESSIONS.of, STOCK_SESSIONS.table
EDGES = "(SELECT date, pre_open, open, close, post_close FROM main.market_sessions WHERE calendar = 'XNYS')"
# What no session is: a condition by which all files are left out.
NONE = " WHERE date < DATE '1900-01-01'"
DAYS = "SELECT {} FROM workbench.days_without_minutes AS d"
WROTE = f"""SELECT i.* FROM {IMPORTED} AS i
ANTI JOIN workbench.imported_twice AS t
    ON t.symbol = i.symbol AND t.date = (i.timestamp AT TIME ZONE 'America/New_York')::DATE AND t.timeframe = i.timeframe"""


class Rollups:
    """Supplies the views of one session; `shown` are the versions of the tables that it shows."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot]):
        self.lake, self._shown = lake, shown
        self._versions: object = None
        self._queries: dict[str, str] = {}

    def supply(self, documented: "Documented") -> None:
        """Have each brought up to date before a query that names it."""
        for name in ("rolled_up", "minutes_left", "days_left", "imported_left", "sessions_left"):
            documented.supply(f"workbench.{name}", lambda con, name=name: self.queries(con)[name])  # type: ignore[misc]

    def queries(self, con: "DuckDBPyConnection") -> Mapping[str, str]:
        """The query of each view; the sessions that they name one by one stand in a table of DuckDB."""
        versions = {table.name: self._shown[table.name].version for table in (BARS, ROWS)}
        if self._versions != versions:
            found = rollups.rolled(self.lake, STOCK_SESSIONS, versions)
            told = [
                (str(day), state)
                for state, days in ((LEFT, found.left), (HIDDEN, found.hidden), (TAKEN, found.taken), (MIXED, stale(found)))
                for day in days
            ]
            rows = "unnest(CAST($days AS DATE[])) AS date, unnest(CAST($states AS VARCHAR[])) AS state"
            listed = {"days": [day for day, _ in told], "states": [state for _, state in told]}
            con.execute(f"CREATE OR REPLACE TABLE {SCHEMA}.{SESSIONS} AS SELECT {rows}", listed)
            self._queries, self._versions = queries(found), versions
        return self._queries


def stale(found: Rolled) -> frozenset[date]:
    """Sessions of which retention took some bars, and others landed since: the rows of tickers that these do not have still stand."""
    return found.hidden & found.mixed


def queries(found: Rolled) -> dict[str, str]:
    """The queries of the views by name."""
    held = sorted(found.held)
    hidden = f" WHERE date NOT IN ({those(HIDDEN, SESSIONS)})" if found.hidden else ""
    # A table without landing records was not filled by landings: nothing of it is summed up.
    left = where(LEFT, found.left, held, SESSIONS) if found.left or not found.told else NONE
    made = {
        "rolled_up": f"SELECT * FROM main.{ROWS.name}{hidden}",
        "minutes_left": f"SELECT * FROM main.{BARS.name}{left}",
        "days_left": DAYS.format("d.*"),
        "imported_left": WROTE,
        "sessions_left": STOCK_SESSIONS.sums("workbench.minutes_left", EDGES),
    }
    if some := stale(found):
        made["rolled_up"] += (
            f" UNION ALL SELECT r.* FROM (SELECT * FROM main.{ROWS.name} WHERE date IN ({those(MIXED, SESSIONS)})) AS r ANTI JOIN (SELECT DISTINCT "
            f"ticker, date FROM main.{BARS.name}{where(MIXED, some, held, SESSIONS)}) AS m ON m.ticker = r.ticker AND m.date = r.date"
        )
    if found.taken:
        rows = f"(SELECT ticker, date FROM workbench.rolled_up{where(TAKEN, found.taken, sorted(found.kept | found.mixed), SESSIONS)})"
        made["days_left"] += f" ANTI JOIN {rows} AS r ON r.ticker = d.ticker AND r.date = d.date"
        made["imported_left"] += (
            f" ANTI JOIN {rows} AS r ON r.ticker = i.symbol AND r.date = (i.timestamp AT TIME ZONE 'America/New_York')::DATE"
        )
    return made
