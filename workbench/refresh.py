"""Refresh: plan → fetch → land → commit.

The plan is a pure decision over a listing and the landing records, and can be printed or declined. Running it downloads and lands
files side by side; only the driver, here, commits, in batches.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

from workbench import sessions
from workbench.errors import BadKeys, BadRange, LandingError, SourceError, UsageError
from workbench.lake.disk import sweep
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed, Landing
from workbench.lake.quarantine import Refusal, refusals
from workbench.lake.routing import ranges
from workbench.lake.store import Lake
from workbench.query.report import Report, sized
from workbench.sources import FlatFile, Source
from workbench.tables import TABLES, Table, errata, find

DEFAULT_SESSIONS = 30
DEFAULT_TABLES = ("stock_day", "stock_minute")
FETCHERS = 8
LANDERS = 2
BATCH_FILES, BATCH_SECONDS = 64, 0.5

Action = Literal["land", "replace", "mend", "refused", "missing"]


@dataclass(frozen=True)
class Step:
    """One session of one feed: a file to land, one refused before, or a due session that the source does not list."""

    table: str
    session: date
    action: Action
    reason: str
    key: str
    size: int = 0
    file: FlatFile | None = None
    held: Landing | None = field(default=None, repr=False)


class Plan(list[Step]):
    """Steps in the order they will be taken. `notes` are things to know before running it."""

    def __init__(self, steps: Iterable[Step], source: str, notes: Sequence[str] = ()):
        super().__init__(steps)
        self.source, self.notes = source, list(notes)

    @property
    def to_fetch(self) -> list[Step]:
        """The steps that transfer and land a file."""
        return [step for step in self if step.file and step.action in ("land", "replace", "mend")]

    @property
    def report(self) -> Report:
        """The plan as a table."""
        names = ("table", "session", "action", "size", "reason", "key")
        rows = [{name: getattr(step, name) for name in names} for step in self]
        size = sum(step.size for step in self.to_fetch)
        others = len(self) - len(self.to_fetch)
        also = f", {others} missing or refused" * bool(others)
        title = f"plan from {self.source}: {len(self.to_fetch)} files to land, {sized(size)}{also}"
        return Report(title, rows, ("key",), source=self.source, notes=self.notes, files=len(self.to_fetch), bytes=size)

    def __repr__(self) -> str:
        return "\n".join([*self.notes, repr(self.report)])

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


@dataclass(frozen=True)
class Done:
    """What became of a step."""

    step: Step
    outcome: Literal["landed", "replaced", "already landed", "overtaken", "quarantined", "failed", "missing"]
    rows: int = 0
    refused: int = 0
    transferred: int = 0
    seconds: float = 0.0
    reason: str = ""


# ---------------------------------------------------------------------- plan


def decide(
    table: Table,
    listed: Iterable[FlatFile],
    landed: dict[str, Landing],
    refused: Iterable[Refusal],
    expected: Iterable[date],
    *,
    lost: Set[str] = frozenset(),
    again: bool = False,
) -> list[Step]:
    """What to do about one table, oldest session first. Touches nothing.

    `expected` are the sessions whose files must exist, `lost` the Parquet files that the lake lists and its disk lacks.
    """
    turned_away = {(one.key, one.etag): one for one in refused if one.whole}
    files = {file.key: file for file in listed}
    steps = []
    for key, file in files.items():
        held, day = landed.get(key), file.place[2]
        before = turned_away.get((key, file.etag))
        if held and file.etag in (held.etag, *held.aliases):
            if not lost.isdisjoint(held.files):
                steps.append(Step(table.name, day, "mend", "its Parquet file is gone from the disk", key, file.size, file, held))
            continue
        if before and not again:
            steps.append(Step(table.name, day, "refused", f"in quarantine since {before.at[:10]}: {before.reason}", key, file.size))
        elif held:
            steps.append(Step(table.name, day, "replace", f"published again (landed {held.landed_at[:10]})", key, file.size, file, held))
        else:
            steps.append(Step(table.name, day, "land", "not in the lake", key, file.size, file))
    for day in expected:
        for feed in table.feeds:
            key = table.key_of(feed, day)
            if key not in files and key not in landed:
                known = [one.symptom for one in errata.for_file(table.name, day) if one.action == "known missing"]
                steps.append(Step(table.name, day, "missing", "; ".join(["due, but the source does not list it", *known]), key))
    return sorted(steps, key=lambda step: (step.session, step.key))


def plan(
    lake: Lake,
    source: Source,
    datasets: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    days: int | None = None,
    *,
    again: bool = False,
) -> Plan:
    """List the source and decide what to do.

    Without dates a folder is taken whole, and any other source for its newest 30 due sessions. Raises `UnknownName` for a dataset
    that is not declared, `BadRange` for dates that make no range, and `SourceError` if the source cannot be listed.
    """
    notes: list[str] = []
    newest = sessions.today()
    check(datasets, start, end, days)
    if end and end > newest:
        notes.append(f"The range ends in the future ({end}); it was clipped to {newest}.")
        end = newest
    whole = source.name == "folder" and not (start or end or days)
    tables = [find(name) for name in dict.fromkeys(datasets)] if datasets else list(default_tables(source))
    steps: list[Step] = []
    with ThreadPoolExecutor(FETCHERS) as pool:
        for table in tables:
            first, last = (date.min, date.max) if whole else span(table, start, end, days)
            listed = [file for files in pool.map(lambda feed: source.list(feed, first, last), table.feeds) for file in files]  # noqa: B023
            expected = [] if whole else sessions.between(table, first, min(last, sessions.last_due()))
            stands = refusals(lake.root, table.name)
            steps += decide(table, listed, lake[table.name].landings(), stands, expected, lost=lake[table.name].lost(), again=again)
    return Plan(steps, source.name, notes)


def check(datasets: Sequence[str] | None, start: date | None, end: date | None, days: int | None) -> None:
    """Raise `UnknownName` or `BadRange` for what cannot be asked, before any source is."""
    for name in datasets or ():
        find(name)
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    if days is not None and (start or end):
        raise BadRange("days and start or end were both given; nothing was done. Give a count of sessions, or dates.")
    if days is not None and days < 1:
        raise BadRange(f"{days} sessions were asked for; at least one is needed. Nothing was done.")
    if start and start > sessions.today():
        raise BadRange(f"the range starts in the future ({start}); nothing was done. The newest session is at most {sessions.today()}.")


def default_tables(source: Source) -> Iterable[Table]:
    """The tables to refresh when none are named: all that a folder may hold, day and minute bars of stocks else."""
    return TABLES.values() if source.name == "folder" else [TABLES[name] for name in DEFAULT_TABLES]


def span(table: Table, start: date | None, end: date | None, days: int | None) -> tuple[date, date]:
    """The dates to look at: those given, from the table's beginning if no start is, else the newest sessions."""
    if start or end:
        return start or table.starts, end or sessions.today()
    newest = sessions.last_sessions(table, days if days is not None else DEFAULT_SESSIONS)
    # What is already published of sessions that are not due yet is welcome.
    return newest[0], sessions.today()


# ---------------------------------------------------------------------- run


class Refresh:
    """A plan that has not run yet: iterate it to run it step by step, or call `run()`.

    What is committed stays committed, wherever it stops. Running it again takes up what is left.
    """

    def __init__(self, lake: Lake, source: Source, steps: Plan, executor: Executor | None = None, downloads: Path | None = None):
        self.lake, self.source, self.plan, self.executor = lake, source, steps, executor
        self.downloads = downloads or lake.root / "tmp" / "fetch"
        self._landers = threading.BoundedSemaphore(LANDERS)
        self._asked_to_stop = threading.Event()
        self._stopping = threading.Event()
        self.stopped = False
        self._bounds_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Refresh: {self.plan.report.title}; not run yet: iterate it, or call .run()>"

    def run(self, seen: Callable[[Done], None] | None = None) -> "Summary":
        """Run the whole plan and sum it up. `seen` is called with each step as it is done."""
        began = time.monotonic()
        done = []
        # An interruption in `seen` ends the run too, before anyone asks what it landed.
        with closing(self._steps()) as steps:
            for one in steps:
                done.append(one)
                if seen:
                    seen(one)
        return Summary(self.plan, done, time.monotonic() - began)

    def stop(self) -> None:
        """Have the run end soon, from any thread: what is landed is committed, downloads are given up. `stopped` tells if it left work."""
        self._asked_to_stop.set()

    def __iter__(self) -> Iterator[Done]:
        return self._steps()

    def _steps(self) -> Generator[Done, None, None]:
        for step in self.plan:
            if step.action == "refused":
                yield Done(step, "quarantined", reason=step.reason)
            elif step.action == "missing":
                yield Done(step, "missing", reason=step.reason)
        todo = self.plan.to_fetch
        if todo:
            guard(self.lake, self.source.name)
            self.lake.make()
            sweep(self.lake.root)
            yield from self._run(todo)

    def _run(self, todo: list[Step]) -> Iterator[Done]:
        pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="refresh")
        running: dict[Future[Made], Step] = {}
        batch = Batch(self.lake)
        first = deciding(self.lake, todo)
        try:
            for wave in (first, [step for step in todo if step not in first]):
                waiting = iter(wave)
                while not self.stopped:
                    # No more files are fetched ahead than threads can hold: disk and memory stay bounded.
                    for step in waiting:
                        running[pool.submit(self._make, step)] = step
                        if len(running) >= FETCHERS:
                            break
                    if not running:
                        break
                    finished, _ = wait(running, timeout=BATCH_SECONDS, return_when=FIRST_COMPLETED)
                    if self._asked_to_stop.is_set():
                        self.stopped = True
                        break
                    for future in finished:
                        made = future.result()
                        del running[future]
                        if isinstance(made, Done):
                            yield made
                        else:
                            batch.add(*made)
                    if batch.due:
                        yield from batch.commit()
            yield from batch.commit()
        finally:
            self._stopping.set()
            self.source.close()
            pool.shutdown(wait=True, cancel_futures=True)
            # Stopped in the middle (Ctrl-C, an error, a caller who had enough): what is landed is kept.
            for future in running:
                if future.done() and not future.cancelled() and not future.exception() and not isinstance(made := future.result(), Done):
                    batch.add(*made)
            for _ in batch.commit():
                pass

    def _make(self, step: Step) -> "Made":
        """Fetch and land one file; a fault of the file or of its transfer is this step's own."""
        assert step.file
        began = time.monotonic()
        transferred = 0
        try:
            if self._stopping.is_set():
                return Done(step, "failed", reason="stopped before it began")
            fetched = self.source.fetch(step.file, self.downloads)
            transferred = fetched.transferred
            try:
                with self._landers:
                    made = self._land(step, fetched.path)
            finally:
                if not fetched.lent:
                    fetched.path.unlink(missing_ok=True)
        except BadKeys:
            raise
        except KeyboardInterrupt:
            # Polars hears Ctrl-C in whatever thread it works (2.1), also where the main thread has a handler of its own.
            self.stop()
            return Done(step, "failed", reason="stopped before it was landed")
        except SourceError as fault:
            return Done(step, "failed", transferred=transferred, seconds=time.monotonic() - began, reason=str(fault))
        if isinstance(made, Refusal):
            return Done(step, "quarantined", transferred=transferred, seconds=time.monotonic() - began, reason=made.reason)
        return step, made, transferred, time.monotonic() - began

    def _land(self, step: Step, path: Path) -> Landed | Refusal:
        """Land a fetched file. The first file of ticks that lands decides the table's ticker ranges, the same for all its chunks."""
        assert step.file
        table = self.lake[step.table]
        job = Job(path, step.file, self.source.name, self.lake.root, table.snapshot().bounds, step.held, step.action == "mend")
        if not table.table.routed or job.bounds is not None:
            return self._work(job)
        with self._bounds_lock:
            decided = table.snapshot().bounds
            if decided is None:
                try:
                    found = ranges(path, table.table, step.key)
                except LandingError:
                    # Landing finds the same fault and says what is wrong with the file; the next file decides.
                    found = ()
                made = self._work(replace(job, bounds=found))
                if isinstance(made, Refusal):
                    return made
                decided = table.set_bounds(found)
                if decided == found:
                    return made
                # Another process decided otherwise meanwhile.
                table.discard(made.files)
        return self._work(replace(job, bounds=decided))

    def _work(self, job: Job) -> Landed | Refusal:
        return self.executor.submit(land_or_refuse, job).result() if self.executor else land_or_refuse(job)


Made = Done | tuple[Step, Landed, int, float]


class Batch:
    """Landed files that wait to be committed together: one commit costs more the longer the log is."""

    def __init__(self, lake: Lake):
        self.lake = lake
        self._waiting: dict[str, list[tuple[Step, Landed, int, float]]] = {}
        self._since = time.monotonic()

    def add(self, step: Step, landed: Landed, transferred: int, seconds: float) -> None:
        """Take a landed file in."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.setdefault(step.table, []).append((step, landed, transferred, seconds))

    @property
    def due(self) -> bool:
        """Whether it is time to commit."""
        count = sum(map(len, self._waiting.values()))
        return count >= BATCH_FILES or (count > 0 and time.monotonic() - self._since >= BATCH_SECONDS)

    def commit(self) -> Iterator[Done]:
        """Commit everything that waits, a commit for each table."""
        waiting, self._waiting = self._waiting, {}
        for table, made in waiting.items():
            outcomes = self.lake[table].commit([landed for _, landed, _, _ in made])
            for (step, landed, transferred, seconds), outcome in zip(made, outcomes, strict=True):
                rows = landed.landing.rows if outcome in ("landed", "replaced") else 0
                reasons = [f"{n} {why}" for why, n in landed.landing.reasons.items()] + list(landed.landing.notes)
                yield Done(step, outcome, rows, landed.landing.quarantined, transferred, seconds, "; ".join(reasons))


def deciding(lake: Lake, todo: Sequence[Step]) -> list[Step]:
    """The largest file of each table of ticks that has no ticker ranges yet: it lands first and decides them for all."""
    undecided = {step.table for step in todo if TABLES[step.table].routed and lake[step.table].snapshot().bounds is None}
    return [max((step for step in todo if step.table == table), key=lambda step: step.size) for table in sorted(undecided)]


def guard(lake: Lake, source: str) -> None:
    """Raise `UsageError` before made-up rows and real ones meet in one lake."""
    held = {landing.source for name in TABLES for landing in lake[name].landings().values()}
    if held and (source == "sample") != ("sample" in held):
        what, which = ("real data", "sample data") if source == "sample" else ("sample data (made-up prices)", "real data")
        raise UsageError(
            f"the lake in {lake.root} holds {what}; {which} was not mixed into it and nothing was fetched. Set WORKBENCH_DATA to another "
            f"folder, or remove this lake first: rm -r {lake.root / 'lake'} {lake.root / 'quarantine'}"
        )


class Summary(Report):
    """What a refresh did, by table; `done` holds every step. `exit_status` is the command line's."""

    def __init__(self, steps: Plan, done: Sequence[Done], seconds: float):
        self.plan, self.done, self.seconds = steps, list(done), seconds
        rows = []
        for table in dict.fromkeys(one.step.table for one in done):
            its = [one for one in done if one.step.table == table]
            counts = {name: sum(one.outcome == name for one in its) for name in ("landed", "replaced", "quarantined", "failed", "missing")}
            sums = {"rows": sum(one.rows for one in its), "refused_rows": sum(one.refused for one in its)}
            rows.append({"table": table, **counts, **sums})
        self.transferred = sum(one.transferred for one in done)
        landed = sum(one.outcome in ("landed", "replaced") for one in done)
        what = f"{landed} files landed, {sum(one.rows for one in done):,} rows" if done else "nothing to do: the lake is up to date"
        title = f"refresh from {steps.source}: {what}, {sized(self.transferred)} transferred in {seconds:.1f} s"
        super().__init__(
            title,
            rows,
            source=steps.source,
            seconds=round(seconds, 3),
            transferred=self.transferred,
            notes=steps.notes,
            problems=self.problems,
        )

    @property
    def problems(self) -> list[str]:
        """A sentence for every session that is not in the lake as it should be, and every row that was refused."""
        bad = [one for one in self.done if one.outcome in ("quarantined", "failed", "missing")]
        partly = [one for one in self.done if one.outcome in ("landed", "replaced") and one.refused]
        return [
            *(f"{one.step.table} {one.step.session} {one.outcome}: {one.reason}" for one in bad),
            *(f"{one.step.table} {one.step.session}: {one.refused} rows in quarantine: {one.reason}" for one in partly),
        ]

    @property
    def exit_status(self) -> int:
        """0 done; 1 nothing could be had; 3 something due is missing, failed or in quarantine."""
        outcomes = {one.outcome for one in self.done}
        if "failed" in outcomes and not outcomes & {"landed", "replaced", "already landed"}:
            return 1
        return 3 if outcomes & {"failed", "missing", "quarantined"} else 0
