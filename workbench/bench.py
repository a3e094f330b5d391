"""The workbench: settings, lake and one DuckDB session, handed to everything else."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self
from weakref import proxy

from workbench.arguments import as_date, as_instant, expanded
from workbench.asking import Asking
from workbench.config import Settings
from workbench.errors import BadRange, NoLake
from workbench.importing import Importing
from workbench.keeping import Keeping
from workbench.lake.identity import expect_known
from workbench.lake.readers import Reader, exclusive
from workbench.lake.records import written
from workbench.lake.remote.where import remote_of
from workbench.lake.restoring.swapping import taken_up
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.lake.vacuum import expect_whole
from workbench.operating import Operating
from workbench.query.report import Report
from workbench.starting import Starting
from workbench.tables import TABLES, find
from workbench.writing import Writing

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import duckdb

    from workbench.query.catalog import Catalog
    from workbench.query.idioms.using import Using
    from workbench.refresh.chain import Chain
    from workbench.refresh.plan import Plan
    from workbench.refresh.run import Refresh


class Workbench(Asking, Keeping, Operating, Writing, Starting, Importing):
    """A lake, and a DuckDB session in which its tables are views. Safe to use from many threads; a context manager.

    It holds no lock and no database file: refreshes, other notebooks and the command line go on beside it.
    """

    def __init__(self, settings: Settings, as_of: datetime | None = None):
        self.settings = settings
        # A restore may have been killed between two renames.
        taken_up(settings.root)
        self.lake = Lake(settings.root, private=settings.file_modes == "private")
        if remote := remote_of(settings.root):
            # What writes and never opens a session fills this machine's folder, too.
            remote.held.limit = settings.cache_bytes
        self._reader = Reader(self.lake.root)
        self._fixed = past(self.lake, as_of, self._reader) if as_of else None
        self._as_of = as_of
        self._catalog: Catalog | None = None
        self._using: Using | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Workbench on {self.lake.where}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the DuckDB session."""
        if self._catalog:
            self._catalog.close()
            self._catalog = None
        if self._ledger:
            self._ledger.close()
        self._reader.close()

    @property
    def catalog(self) -> "Catalog":
        """The DuckDB session, made when it is first needed."""
        with self._lock:
            if self._catalog is None:
                from workbench.query.catalog import Catalog
                from workbench.runs.record import Runs

                self._catalog = Catalog(self.settings, self.lake, self._fixed, self._as_of)
                self._catalog.writer = proxy(self)
                self._catalog.standing.ran = partial(Runs, self.lake.root)
                if self._using:
                    self._catalog.use(self._using)
            return self._catalog

    # ------------------------------------------------------------------ ask

    def sql(self, query: str, /, **values: object) -> "duckdb.DuckDBPyRelation":
        """Run SQL over the lake's tables; `$name` in it takes the value passed as `name`.

        Gives a DuckDB relation (`.df()`, `.pl()`, `.to_arrow_table()`, `.fetchall()`), or None where DuckDB does. Sees what was committed
        before the call, and of that only the files that conditions on ticker, date and time leave. A relation reads when it is asked for
        rows: set what conditions depend on (`SET TimeZone`) before the call, not between. Raises `QueryError`, which is also DuckDB's own.
        After `use` the query is a platform's own SQL.
        """
        catalog, began = self.catalog, perf_counter()
        try:
            found = catalog.sql(query, values)
        except Exception as fault:
            catalog.watch.refused(query, perf_counter() - began, fault)
            raise
        catalog.watch.asked(query, perf_counter() - began, lazy=found is not None)
        return found  # type: ignore[return-value]

    def use(self, platform: str | None) -> Self:
        """Have `sql` take the queries of a documented platform as they were written for it, until `use(None)`; gives the bench back.

        `platform` is its name, another that it goes by, or one of its schemas, whose tables then go first. Its bare names are its tables, then the
        lake's; its dialect is translated; statements that keep a database are answered by what holds here; days are New York's sessions, whatever
        WORKBENCH_TIMEZONE says. Temporary tables, CTEs and frames keep their names. Holds for all threads. Raises `UnknownName`.
        """
        using = None
        if platform is not None:
            from workbench.query.idioms.using import Using

            using = Using(platform)
        with self._lock:
            self._using = using
            if self._catalog:
                self._catalog.use(using)
        return self

    @property
    def platform(self) -> str | None:
        """The platform in use."""
        return self._using.platform.name if self._using else None

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

    # ------------------------------------------------------------------ fill

    def repair(self, report: Report, source: str | None = None) -> "Refresh":
        """The refresh that mends what a report of gaps tells, planned and not run yet. What no refresh mends is in its plan's `notes`."""
        from workbench.refresh.repair import repaired

        return repaired(self, report, source)

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
        executor: "Executor | str | None" = None,
    ) -> "Refresh":
        """A refresh, planned and not run yet: iterate it for its steps, or call `.run()`.

        `days` counts sessions; `start` and `end` are inclusive sessions; without any, the newest 30, and a folder whole. The newest `last` are
        looked at again besides. Flat files land whole: `symbols` (or a `universe`: a file, "top:500" or a list) is for sources that serve
        symbol by symbol. `again` tries files that were refused before once more. `reset` empties the tables first.
        `executor` lands the flat files: any `concurrent.futures.Executor`, or a Dask scheduler's address (default: `WORKBENCH_CLUSTER`). Workers that
        are not this machine's own fetch them, too, with the keys of their own settings; the lake's root and a source's folder must be theirs as well.
        `.run()` ends with some upkeep of the lake, for as long as `[maintain]` in workbench.toml says; `maintain` overrules whether.
        """
        from workbench.lake.maintain import after_refresh
        from workbench.refresh import plan
        from workbench.refresh.chain import chain_of
        from workbench.refresh.run import Refresh

        plan.check(expanded(datasets), as_date(start), as_date(end), days, last)
        settings = self.settings.with_source(source)
        chain = chain_of(settings)
        try:
            steps, some, every = self._plan(
                chain, datasets, start, end, days, last=last, symbols=symbols, universe=universe, again=again, reset=reset
            )
        except BaseException:
            chain.close()
            raise
        workers = executor or self.settings.cluster or None
        run = Refresh(self.lake, chain, steps, workers, self.settings.scratch / "fetch", some, every, settings)
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


def open(
    data: str | Path | Settings | None = None,
    as_of: str | datetime | None = None,
    *,
    platform: str | None = None,
    read_only: bool = False,
    **settings: Any,
) -> Workbench:
    """Open the lake in a folder (default: the configured root).

    A relative folder is told from the project's folder (the nearest upward with a `workbench.toml` or `pyproject.toml`), not from a
    notebook's. `as_of` opens the lake as it was committed at an instant; `platform` is one to `use`; `read_only` gives what `Workbench.reading`
    does. Raises `NoLake` if there is none, and `NewerLake` for one that a later version of the library made.
    """
    if data is not None and not isinstance(data, Settings):
        settings["data"] = str(data)
    chosen = data if isinstance(data, Settings) else Settings.load(**settings)
    expect_known(chosen.root)
    if read_only:
        from workbench.reading import Reading

        bench: Workbench = Reading(chosen, as_instant(as_of))
    else:
        bench = Workbench(chosen, as_instant(as_of))
    if not bench.lake.exists:
        raise NoLake(
            f"{bench.lake.where} holds no lake ({chosen.origins.get('data', 'argument')}); nothing was opened. Make one with "
            "`workbench demo`, or `workbench refresh` with flat-file keys or --source folder:PATH, or of an old database with `workbench import`; "
            "or name another root in WORKBENCH_DATA."
        )
    if not read_only and not as_of:
        bench.take_up()
    if "IPython" in sys.modules:
        from workbench.query import rendering

        rendering.install()
    return bench.use(platform) if platform else bench


def past(lake: Lake, instant: datetime, reader: Reader) -> dict[str, Snapshot]:
    """Every table as it was committed at an instant, registered. Raises `BadRange` before the first commit, `LakeError` if it was vacuumed."""
    with exclusive(lake.root):
        shots = {name: lake[name].snapshot_at(instant) for name in TABLES}
        reader.hold({name: shot.version for name, shot in shots.items()})
        reader.publish()
        for name, shot in shots.items():
            expect_whole(lake[name], shot, instant)
    if all(shot.version < 0 for shot in shots.values()) and all(table.version_at(instant) < 0 for table in written(lake.root)):
        raise BadRange(f"the lake in {lake.where} had no commit by {instant}; nothing was opened. Give a later instant.")
    return shots
