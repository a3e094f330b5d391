"""What the views of adjusted prices read and the lake's tables do not tell in so many words: kept in DuckDB's memory, made anew when tables move."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench.lake.landings import newest
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.narrow import SCHEMA
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from workbench.query.documented import Documented

# What tells of splits, and whose they are.
TELL_OF_SPLITS = ("splits", "tickers", "ticker_changes")
# Tables of bars that Yahoo may fill, and that have splits.
FROM_YAHOO = ("stock_day", "stock_minute")
# Views that copy what another says, which takes long to say, or to plan: of which tables.
COPIED = {
    "kept_splits": ("main.split_factors", *TELL_OF_SPLITS),
    "kept_handovers": ("main.ticker_handovers", "tickers", "ticker_changes"),
    "kept_history": ("main.ticker_history", "ticker_changes"),
    "kept_yahoo": ("workbench.yahoo_factors", *TELL_OF_SPLITS, *FROM_YAHOO),
}


class Kept:
    """The tables in memory of one session. `shown` are the versions that it shows; `at` is the instant that it was opened as of."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot], at: datetime | None = None):
        self.lake, self._shown = lake, shown
        self._day = at.astimezone(ZoneInfo(NEW_YORK)).date() if at else None
        self._made: dict[str, Any] = {}

    def supply(self, documented: "Documented") -> None:
        """Have each brought up to date before a query that names its view."""
        documented.supply("workbench.known_day", self.opened)
        documented.supply("workbench.yahoo_basis", self.yahoo)
        for view, (told, *tables) in COPIED.items():
            documented.supply(f"workbench.{view}", partial(self.copied, told, tables))

    def opened(self, con: "DuckDBPyConnection") -> None:
        """The day of the instant that the lake was opened as of."""
        self._keep(con, "opened", self._day, lambda: f"SELECT {day_of(self._day)} AS opened_as_of")

    def copied(self, view: str, tables: Sequence[str], con: "DuckDBPyConnection") -> None:
        """What a view says of some tables."""
        versions = tuple(self._shown[name].version for name in tables)
        self._keep(con, view.partition(".")[2], versions, lambda: f"SELECT * FROM {view} ORDER BY ticker")

    def yahoo(self, con: "DuckDBPyConnection") -> None:
        """The sessions that Yahoo gave."""
        versions = tuple(self._shown[name].version for name in FROM_YAHOO)

        def query() -> str:
            rows = [
                f"('{name}', {day_of(session)}, {day_of(basis)})"
                for name in FROM_YAHOO
                for session, basis in bases(self.lake, name, self._shown[name].version).items()
            ]
            return f"SELECT * FROM (VALUES {', '.join([*rows, '(NULL, NULL::DATE, NULL::DATE)'])}) AS t(base_table, date, basis) WHERE date IS NOT NULL"

        self._keep(con, "yahoo_basis", versions, query)

    def _keep(self, con: "DuckDBPyConnection", name: str, of: Any, query: Callable[[], str]) -> None:
        if name in self._made and self._made[name] == of:
            return
        con.execute(f"CREATE OR REPLACE TABLE {SCHEMA}.{name} AS {query()}")
        self._made[name] = of


def bases(lake: Lake, table: str, version: int) -> dict[date, date]:
    """For each session of a table's version that Yahoo gave: the day in New York on which it did; also of those that are in the archive since."""
    commits = lake[table].commits(version) if version >= 0 else ()
    # To sort out what still stands takes longer than to see that nothing of it is there.
    if not any(landing.source == "yahoo" for commit in commits for landing in commit.landings):
        return {}
    found: dict[date, date] = {}
    for landing in newest(commits).values():
        if landing.source == "yahoo" and (landing.held or landing.retired == "archived"):
            day = datetime.fromisoformat(landing.landed_at).astimezone(ZoneInfo(NEW_YORK)).date()
            found[landing.session] = max(day, found.get(landing.session, day))
    return found


def day_of(day: date | None) -> str:
    """A date as SQL writes it."""
    return f"DATE '{day}'" if day else "NULL::DATE"
