"""What a lake is asked: bars, trades, quotes, what corporate actions did to prices, what is missing, late or wrong."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.arguments import as_date, as_tickers
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.lake.operations import Operations
from workbench.lake.records import record_rows
from workbench.lake.remote.where import remote_of
from workbench.lake.store import Lake
from workbench.query import status as reports
from workbench.query.report import Report, sized
from workbench.tables import TABLES, find
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import polars as pl

    from workbench.query.catalog import Catalog
    from workbench.query.coverage import Map
    from workbench.query.rows import Rows


class Asking:
    """The questions to a workbench that are not SQL."""

    settings: Settings
    lake: Lake
    _as_of: datetime | None
    # The versions that it was opened at; None where it follows the lake.
    _fixed: Any

    # What `Workbench` has, and questions need.
    snapshots: Any

    @property
    @abstractmethod
    def catalog(self) -> "Catalog":
        """The DuckDB session, which `Workbench` makes."""

    def bars(
        self,
        tickers: str | Iterable[str],
        start: date | str | None = None,
        end: date | str | None = None,
        freq: str = "1d",
        adjusted: str = "none",
        as_of: date | str | None = None,
        session: str = "all",
        fill: str | None = None,
        *,
        limit: int | None = None,
        follow: bool = False,
        table: str | None = None,
    ) -> "pl.DataFrame":
        """Bars of a ticker or several, by ticker and time, between two sessions, both included; without them, all there are.

        `freq` is 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo, told by session: no bar holds parts of two. `adjusted` is "none", "splits", or "all" for
        splits and dividends, of which those count whose day is after the bar and on or before the date `as_of` (default: today in New York);
        bars after `as_of` are left out. `session` is all, pre, regular or post. `fill="forward"` puts up to `limit` bars in a row where a session
        that the lake holds has none, at the close before them and without volume. `follow` takes a ticker's earlier symbols with it.
        A ticker's prefix tells its asset class; `table` names another table of bars. Unknown tickers have no rows.
        Raises `UsageError` or `BadRange`.
        """
        from workbench.query import prices

        asked = prices.Asked(
            as_tickers(tickers),
            as_date(start),
            as_date(end),
            freq,
            adjusted,
            self._told(as_of),
            session,
            fill,
            limit,
            bool(follow),
            table,
        )
        return prices.bars(self._rows(), self._ask, asked)

    def actions(self, tickers: str | Iterable[str], as_of: date | str | None = None) -> Report:
        """The splits and dividends of a ticker or several up to a date, what each does to prices before it, and why one does nothing."""
        from workbench.query import actions

        return actions.report(self._ask, as_tickers(tickers), self._told(as_of))

    def _told(self, as_of: date | str | None) -> date:
        """The date up to which corporate actions count: as asked, else that of the instant of which the bench is, else today's in New York."""
        if day := as_date(as_of):
            return day
        return self._as_of.astimezone(ZoneInfo(NEW_YORK)).date() if self._as_of else sessions.today()

    def trades(
        self, tickers: str | Iterable[str], start: date | str, end: date | str | None = None, *, table: str | None = None
    ) -> "pl.DataFrame":
        """Trades of a ticker or several on a session, or on the sessions from `start` to `end`, by ticker and time.

        A ticker's prefix tells its asset class; `table` names another table of ticks. Raises `UsageError` for assets without trades.
        """
        return self._ticks("trades", tickers, start, end, table)

    def quotes(
        self, tickers: str | Iterable[str], start: date | str, end: date | str | None = None, *, table: str | None = None
    ) -> "pl.DataFrame":
        """Quotes, as `trades` gives trades."""
        return self._ticks("quotes", tickers, start, end, table)

    def trades_with_quotes(
        self,
        tickers: str | Iterable[str],
        start: date | str,
        end: date | str | None = None,
        *,
        strict: bool = False,
        max_age: str | timedelta | None = None,
    ) -> "pl.DataFrame":
        """Trades, each with the quote in force: the session's newest at the trade's time, or, if `strict`, before it.

        Locked, crossed and one-sided quotes are flagged, not left out. A quote older than `max_age` (as "5s") is none. Raises `UsageError`
        or `BadRange`.
        """
        from workbench.query import asof

        first, last = as_date(start), as_date(end)
        return asof.trades_with_quotes(self._rows(), tickers, first, last or first, strict=strict, max_age=max_age)

    def bars_from_trades(
        self,
        tickers: str | Iterable[str],
        start: date | str,
        end: date | str | None = None,
        freq: str = "1m",
        session: str = "all",
        *,
        by: str = "sip_timestamp",
    ) -> "pl.DataFrame":
        """Bars made of every trade by the consolidated rules of its conditions, with `vwap`; `by` names the time that tells a trade's minute.

        Raises `UsageError` or `BadRange`.
        """
        from workbench.query import built

        first, last = as_date(start), as_date(end)
        return built.bars_from_trades(self._rows(), self._ask, tickers, first, last or first, freq, session, by=by)

    def quality(
        self,
        table: str,
        start: date | str | None = None,
        end: date | str | None = None,
        tickers: str | Sequence[str] | None = None,
    ) -> Report:
        """What is odd in the rows of a table, session by session, each good, late, degraded or missing; nothing is changed.

        Of bars: the order of prices, no volume, prices that stand still or jump without a split, minutes against the day's bar, bars outside the
        listing. Of trades: the bars that they make against the minute file. `report.facts["findings"]` holds the rows, the worst of each
        kind first. Raises `UnknownName`, `UsageError` or `BadRange`.
        """
        from workbench.query import quality

        names = [tickers] if isinstance(tickers, str) else list(tickers or ())
        return quality.quality(self.lake, self._ask, self.snapshots(), table, as_date(start), as_date(end), names, best=self._best)

    def _ticks(
        self, what: str, tickers: str | Iterable[str], start: date | str, end: date | str | None, table: str | None
    ) -> "pl.DataFrame":
        from workbench.query import ticks

        first, last = as_date(start), as_date(end)
        return ticks.ticks(self._rows(), what, tickers, first, last or first, table)

    def _ask(self, query: str, **values: object) -> Any:
        return self.catalog.ask(query, **values)

    def _rows(self) -> "Rows":
        from workbench.query.rows import Rows

        return Rows(self.lake, self.catalog.held, self.settings.timezone, self.settings.threads)

    def gaps(
        self,
        table: str,
        start: date | str | None = None,
        end: date | str | None = None,
        tickers: str | Sequence[str] | None = None,
        *,
        by: Literal["session", "minute", "market"] = "session",
        everything: bool = False,
    ) -> Report:
        """What of a table is not in the lake as it should be, and why: by session, or by ticker and session where tickers are named.

        `by="minute"` tells of one ticker's session (`start`) which minutes have no bar and whether that is right; `by="market"` which tickers
        traded by their day bars and have no minutes. `everything` adds what is as it should be. `report.facts["problems"]` counts what
        a user would want mended; `repair` makes the refresh that does. Raises `UnknownName`, `UsageError` or `BadRange`.
        """
        from workbench.query import gaps, gaps_market, gaps_minutes, gaps_tickers

        first, last = as_date(start), as_date(end)
        names = [tickers] if isinstance(tickers, str) else list(tickers or ())
        if by == "market":
            return gaps_market.market(self.lake, self.snapshots(), table, first, last, threads=self.settings.threads)
        best = self._best
        if by == "minute":
            if len(names) != 1 or not first:
                raise UsageError("minutes are told of one ticker's session; nothing was done. Give one ticker, and the session as start.")
            return gaps_minutes.minutes(self.lake, self._ask, self.snapshots(), table, names[0], first, best=best)
        if names:
            return gaps_tickers.tickers(self.lake, self._ask, self.snapshots(), table, names, first, last, everything=everything, best=best)
        return gaps.gaps(self.lake, self.snapshots(), table, first, last, everything=everything, best=best)

    @property
    def _best(self) -> str:
        """The source that sessions should come from; what a weaker one gave is a fallback's."""
        return self.settings.best_source

    def tables(self, name: str | None = None, *, documents: bool = False) -> Report:
        """All that a query can name: tables, reference data, documented tables, views and macros; or one of them, by name, or those of a platform.

        Of a table, its columns with type, unit and meaning; of a documented table, its keys and checks, too; of a view or macro, its columns or
        arguments, documentation and examples. `documents` asks instead for every name in the platforms' documents, with what it is here.
        Raises `UnknownName`.
        """
        from workbench.query import listing

        if documents:
            return listing.documents()
        held = self.snapshots() if self.lake.exists else {}
        return listing.of(name, held, self._ask, self.lake.root) if name else listing.listing(held, str(self.lake.root))

    def status(self) -> Report:
        """What the lake holds, a row for each table that holds something; and how many rows people wrote to documented tables.

        Of a lake on s3://, `report.facts["held"]` has the bytes of its data that this machine holds, and the most that it may.
        """
        told = reports.status(self.lake, self.snapshots(), self._best)
        if counts := record_rows(self.lake):
            told.title += f"; {sum(counts.values()):,} rows that people wrote to {', '.join(counts)}"
            told.facts["written"] = counts
            journal = Operations(self.lake.root)
            if held := sum(count for count, _ in journal.held().values()):
                told.title += f", of which the journal holds {held:,} yet ({sized(journal.size)})"
            told.facts["journal"] = {"rows": held, "bytes": journal.size}
            journal.close()
        if remote := remote_of(self.lake.root):
            size, most = remote.held.size(), self.settings.cache_bytes
            told.title += f"; this machine holds {sized(size)}, of {sized(most)} that it may"
            told.facts["held"] = {"bytes": size, "most": most}
        return told

    def health(self) -> Report:
        """How the lake stands, a row for each thing that is looked at: good, to look at, or bad, with a number and a sentence; the worst first.

        Tables that can be read, logs whole, sessions behind, quarantine, disk, journals, the last refresh and run, versions, clock, backups.
        `report.facts` has `status` (healthy, degraded, unhealthy), `database` (the root), `size_bytes`, `timestamp` (UTC), `problems`, and, if
        it is unhealthy, `error`. A lake that cannot be read is told, not raised. The same rows are `workbench.lake_health` in SQL.
        """
        from workbench.query import standing
        from workbench.runs.record import Runs

        return standing.health(self.lake, self._fixed, lambda: Runs(self.lake.root), self.settings)

    def calendar(
        self,
        tables: str | Sequence[str] = (),
        start: date | str | None = None,
        end: date | str | None = None,
        tickers: str | Sequence[str] = (),
    ) -> "Map":
        """The state of every session, day by day, of some tables (default: all of which anything is on record), or of tickers in them.

        States are those of `gaps`, which gives the reasons. Raises `UnknownName`, `UsageError` or `BadRange`.
        """
        from workbench.query import coverage

        names = [tables] if isinstance(tables, str) else list(tables)
        first, last = as_date(start), as_date(end)
        symbols = as_tickers(tickers) if tickers else []
        if symbols:
            chosen = names or coverage.with_tickers(self.snapshots(), symbols)
            return coverage.of_tickers(self.lake, self._ask, self.snapshots(), chosen, symbols, first, last, best=self._best)
        return coverage.of_tables(self.lake, self.snapshots(), names, first, last, best=self._best)

    def coverage(self, table: str, start: date | str | None = None, end: date | str | None = None) -> Report:
        """Every session of a table, landed, missing, refused or not yet due. Raises `UnknownName` or `BadRange`."""
        return reports.coverage(self.lake, self.snapshots()[find(table).name], table, as_date(start), as_date(end), self._best)

    def tickers(self, symbols: Sequence[str], tables: Sequence[str] | None = None) -> Report:
        """What the lake holds of some tickers, a row for each and each table; one without any is named in `notes`, with the nearest.

        Raises `UnknownName` for a table that is not declared.
        """
        wanted = [
            find(name).name
            for name in tables or (name for name, one in TABLES.items() if one.kind != "reference" and one.asset != "derived")
        ]
        return reports.tickers(self._ask, [name for name in wanted if self.snapshots()[name].files], list(dict.fromkeys(symbols)))
