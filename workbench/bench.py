"""The workbench: settings, lake and one DuckDB session, handed to everything else."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from workbench.arguments import as_date, as_instant, expanded
from workbench.config import Settings
from workbench.errors import BadRange, NoLake, NoSource, UsageError
from workbench.keeping import Keeping
from workbench.lake.readers import Reader, exclusive
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.lake.vacuum import expect_whole
from workbench.query import status as reports
from workbench.query.report import Report
from workbench.tables import TABLES, find

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import duckdb
    import polars as pl

    from workbench.query.catalog import Catalog
    from workbench.query.rows import Rows
    from workbench.refresh.chain import Chain
    from workbench.refresh.plan import Plan
    from workbench.refresh.run import Refresh


class Workbench(Keeping):
    """A lake, and a DuckDB session in which its tables are views. Safe to use from many threads; a context manager.

    It holds no lock and no database file: refreshes, other notebooks and the command line go on beside it.
    """

    def __init__(self, settings: Settings, as_of: datetime | None = None):
        self.settings = settings
        self.lake = Lake(settings.root)
        self._reader = Reader(self.lake.root)
        self._fixed = past(self.lake, as_of, self._reader) if as_of else None
        self._as_of = as_of
        self._catalog: Catalog | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Workbench on {self.lake.root}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the DuckDB session."""
        if self._catalog:
            self._catalog.close()
            self._catalog = None
        self._reader.close()

    @property
    def catalog(self) -> "Catalog":
        """The DuckDB session, made when it is first needed."""
        with self._lock:
            if self._catalog is None:
                from workbench.query.catalog import Catalog

                self._catalog = Catalog(self.settings, self.lake, self._fixed, self._as_of)
            return self._catalog

    # ------------------------------------------------------------------ ask

    def sql(self, query: str, /, **values: object) -> "duckdb.DuckDBPyRelation":
        """Run SQL over the lake's tables; `$name` in it takes the value passed as `name`.

        Gives a DuckDB relation (`.df()`, `.pl()`, `.to_arrow_table()`, `.fetchall()`), or None where DuckDB does. Sees what was committed
        before the call, and of that only the files that conditions on ticker, date and time leave. A relation reads when it is asked for
        rows: set what conditions depend on (`SET TimeZone`) before the call, not between. Raises `QueryError`, which is also DuckDB's own.
        """
        return self.catalog.sql(query, values)  # type: ignore[return-value]

    @property
    def con(self) -> "duckdb.DuckDBPyConnection":
        """DuckDB's cursor of this thread, for whatever `sql` does not do."""
        self.catalog.follow()
        return self.catalog.cursor()

    @contextmanager
    def pin(self) -> Iterator[Self]:
        """Hold one snapshot still until the block ends: every query in it reads the same versions."""
        with self.catalog.pin():
            yield self

    def snapshots(self) -> Mapping[str, Snapshot]:
        """The version of every table that queries read now."""
        return self._fixed or {name: self.lake[name].snapshot() for name in TABLES}

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
        table: str | None = None,
    ) -> "pl.DataFrame":
        """Bars of a ticker or several, by ticker and time, between two sessions, both included; without them, all there are.

        `freq` is "1d" or "1m"; bars after the date `as_of` are left out. A ticker's prefix tells its asset class; `table` names another table
        of bars, whatever `freq` says. Unknown tickers have no rows. Raises `UsageError` for what is not on disk.
        """
        from workbench.query import prices

        first, last = as_date(start), min(filter(None, (as_date(end), as_date(as_of))), default=None)
        shown = {"adjusted": adjusted, "session": session, "fill": fill}
        return prices.bars(self._rows(), tickers, first, last, freq, table, shown)

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

    def _ticks(
        self, what: str, tickers: str | Iterable[str], start: date | str, end: date | str | None, table: str | None
    ) -> "pl.DataFrame":
        from workbench.query import ticks

        first, last = as_date(start), as_date(end)
        return ticks.ticks(self._rows(), what, tickers, first, last or first, table)

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
            return gaps_minutes.minutes(self.lake, self.sql, self.snapshots(), table, names[0], first, best=best)
        if names:
            return gaps_tickers.tickers(self.lake, self.sql, self.snapshots(), table, names, first, last, everything=everything, best=best)
        return gaps.gaps(self.lake, self.snapshots(), table, first, last, everything=everything, best=best)

    def repair(self, report: Report, source: str | None = None) -> "Refresh":
        """The refresh that mends what a report of gaps tells, planned and not run yet. What no refresh mends is in its plan's `notes`."""
        from workbench.refresh.repair import repaired

        return repaired(self, report, source)

    @property
    def _best(self) -> str:
        """The source that sessions should come from; what a weaker one gave is a fallback's."""
        with suppress(NoSource):
            best = self.settings.chosen_source.partition(":")[0]
            if best in ("polygon_api", "yahoo"):
                return best
        return "polygon_s3"

    def status(self) -> Report:
        """What the lake holds, a row for each table that holds something."""
        return reports.status(self.lake, self.snapshots(), self._best)

    def coverage(self, table: str, start: date | str | None = None, end: date | str | None = None) -> Report:
        """Every session of a table, landed, missing, refused or not yet due. Raises `UnknownName` or `BadRange`."""
        return reports.coverage(self.lake, self.snapshots()[find(table).name], table, as_date(start), as_date(end), self._best)

    def tickers(self, symbols: Sequence[str], tables: Sequence[str] | None = None) -> Report:
        """What the lake holds of some tickers, a row for each and each table; one without any is named in `notes`, with the nearest.

        Raises `UnknownName` for a table that is not declared.
        """
        wanted = [find(name).name for name in tables or (name for name, one in TABLES.items() if one.kind != "reference")]
        return reports.tickers(self.sql, [name for name in wanted if self.snapshots()[name].files], list(dict.fromkeys(symbols)))

    # ------------------------------------------------------------------ fill

    def plan(
        self,
        source: str | None = None,
        datasets: Sequence[str] | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        days: int | None = None,
        *,
        last: int | None = None,
        symbols: Sequence[str] | None = None,
        universe: str | None = None,
        again: bool = False,
    ) -> "Plan":
        """What `refresh` would do. Lists the sources, fetches and changes nothing."""
        from workbench.refresh import plan
        from workbench.refresh.chain import opened

        plan.check(expanded(datasets), as_date(start), as_date(end), days, last)
        with opened(self.settings.with_source(source)) as chain:
            return self._plan(chain, datasets, start, end, days, last=last, symbols=symbols, universe=universe, again=again)[0]

    def _plan(
        self,
        chain: "Chain",
        datasets: Sequence[str] | None,
        start: date | str | None,
        end: date | str | None,
        days: int | None,
        *,
        symbols: Sequence[str] | None,
        universe: str | None,
        **chosen: Any,
    ) -> "tuple[Plan, tuple[str, ...], tuple[str, ...]]":
        from workbench.refresh import plan
        from workbench.refresh.universe import checked, resolve

        some = checked(symbols or ())
        every = resolve(self, universe or self.settings.universe) if chain.rows or chain.reference or universe else ()
        if universe and not some:
            some = every
        made = plan.plan(self.lake, chain, expanded(datasets), as_date(start), as_date(end), days, symbols=some, universe=every, **chosen)
        return made, some, every

    def refresh(
        self,
        source: str | None = None,
        symbols: Sequence[str] | None = None,
        days: int | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        datasets: Sequence[str] | None = None,
        reset: bool = False,
        *,
        last: int | None = None,
        universe: str | None = None,
        again: bool = False,
        maintain: bool | None = None,
        executor: "Executor | None" = None,
    ) -> "Refresh":
        """A refresh, planned and not run yet: iterate it for its steps, or call `.run()`.

        `days` counts sessions; `start` and `end` are inclusive sessions; without any, the newest 30, and a folder whole. The newest `last` are
        looked at again besides. Flat files land whole: `symbols` (or a `universe`: a file, "top:500" or a list) is for sources that serve
        symbol by symbol. `again` tries files that were refused before once more. `reset` empties the tables first.
        `.run()` ends with some upkeep of the lake, for as long as `[maintain]` in workbench.toml says; `maintain` overrules whether.
        """
        from workbench.lake.maintain import after_refresh
        from workbench.refresh import plan
        from workbench.refresh.chain import chain_of
        from workbench.refresh.run import Refresh

        plan.check(expanded(datasets), as_date(start), as_date(end), days, last)
        chain = chain_of(self.settings.with_source(source))
        try:
            steps, some, every = self._plan(
                chain, datasets, start, end, days, last=last, symbols=symbols, universe=universe, again=again, reset=reset
            )
        except BaseException:
            chain.close()
            raise
        run = Refresh(self.lake, chain, steps, executor, self.settings.scratch / "fetch", some, every)
        if reset:
            run.empties = tuple(dict.fromkeys(step.table for step in steps))
            for name in run.empties:
                held = {one.session for one in self.lake[name].landings().values() if one.held}
                left = held - {step.session for step in steps if step.table == name and step.action not in ("missing", "refused")}
                if left and find(name).feeds:
                    steps.notes.append(
                        f"{name} is emptied whole: {len(left):,} of its {len(held):,} sessions are not fetched again by this."
                    )
        if self.settings.maintain.after_refresh if maintain is None else maintain:
            run.upkeep = partial(after_refresh, self.lake, self.settings)
        return run


def open(data: str | Path | Settings | None = None, as_of: str | datetime | None = None, **settings: Any) -> Workbench:
    """Open the lake in a folder (default: the configured root).

    A relative folder is told from the project's folder (the nearest upward with a `workbench.toml` or `pyproject.toml`), not from a
    notebook's. `as_of` opens the lake as it was committed at an instant. Raises `NoLake` if there is none.
    """
    if data is not None and not isinstance(data, Settings):
        settings["data"] = str(data)
    chosen = data if isinstance(data, Settings) else Settings.load(**settings)
    bench = Workbench(chosen, as_instant(as_of))
    if not bench.lake.exists:
        raise NoLake(
            f"{bench.lake.root} holds no lake ({chosen.origins.get('data', 'argument')}); nothing was opened. Make one with "
            "`workbench demo`, or `workbench refresh` with flat-file keys or --source folder:PATH; or name another root in WORKBENCH_DATA."
        )
    return bench


def past(lake: Lake, instant: datetime, reader: Reader) -> dict[str, Snapshot]:
    """Every table as it was committed at an instant, registered. Raises `BadRange` before the first commit, `LakeError` if it was vacuumed."""
    with exclusive(lake.root):
        shots = {name: lake[name].snapshot_at(instant) for name in TABLES}
        reader.hold({name: shot.version for name, shot in shots.items()})
        for name, shot in shots.items():
            expect_whole(lake[name], shot, instant)
    if all(shot.version < 0 for shot in shots.values()):
        raise BadRange(f"the lake in {lake.root} had no commit by {instant}; nothing was opened. Give a later instant.")
    return shots
