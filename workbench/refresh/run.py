"""Refresh: plan → fetch → land → commit → log.

Running a plan downloads and lands files side by side; only the driver, here, commits, in batches. What flat files do not give is asked of the
sources behind them (`workbench.refresh.asking`); what became of each step that committed nothing is kept in the journal.
"""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.config import Settings
from workbench.errors import BadKeys, ClusterError, LakeError, LandingError, SourceError, WorkbenchError
from workbench.lake import reset
from workbench.lake.disk import sweep
from workbench.lake.journal import Journal
from workbench.lake.landing import Job
from workbench.lake.landings import Landed
from workbench.lake.locks import holder, refreshing
from workbench.lake.quarantine import Refusal
from workbench.lake.routing import ranges
from workbench.lake.store import Lake, LakeTable, utc_now
from workbench.refresh import legs
from workbench.refresh.asking import Asking, reason
from workbench.refresh.batch import BATCH_SECONDS, Batch, Done, Made
from workbench.refresh.before import guard, waiting
from workbench.refresh.chain import Chain
from workbench.refresh.crews import Away, Crew, Here, Workers, by_few, crew_of, deciding, hands, is_here, landed_by, size_of
from workbench.refresh.gathering import DERIVING, compared, gather, in_step
from workbench.refresh.log import LEFT, Log, outcome
from workbench.refresh.moving import FETCHING, GATHERING, LANDING, WAITING, Flight, Flights
from workbench.refresh.plan import Plan, Step
from workbench.refresh.summary import Summary
from workbench.tables import TABLES

# Landings at once in this process.
LANDERS = 2


class Refresh:
    """A plan that has not run yet: iterate it to run it step by step, or call `run()`.

    What is committed stays committed, wherever it stops. Running it again takes up what is left.
    """

    def __init__(
        self,
        lake: Lake,
        chain: Chain,
        steps: Plan,
        executor: Workers = None,
        downloads: Path | None = None,
        symbols: Sequence[str] = (),
        universe: Sequence[str] = (),
        settings: Settings | None = None,
    ):
        self.lake, self.chain, self.plan, self.workers = lake, chain, steps, executor
        # Workers elsewhere are told of these where the lake and the source are.
        self.settings = settings
        self.executor: Executor | None = None
        self._helped = ""
        self.symbols, self.universe = symbols, universe
        self.id = uuid.uuid4().hex
        self.journal = Journal(lake.root)
        self.downloads = downloads or lake.root / "tmp" / "fetch"
        self.flights = Flights(chain.files, self.downloads)
        self._landers = threading.BoundedSemaphore(size_of(None if isinstance(executor, str) else executor, LANDERS))
        self._asked_to_stop = threading.Event()
        self._stopping = threading.Event()
        self.stopped = False
        # Called with each step that has landed and waits for the rest of its chunk: it is not committed, and not done, yet.
        self.waits: Callable[[Step], None] = lambda step: None  # noqa: ARG005
        # Called at the end of a run that was not stopped, with what asks whether to stop; gives a line about it.
        self.upkeep: Callable[[Callable[[], bool]], str] | None = None
        self._bounds_lock = threading.Lock()
        # Tables that the run empties before it fills them, and the rows that each had.
        self.empties: tuple[str, ...] = ()
        self._emptied: dict[str, int] = {}
        self._reset = ""
        # Tables of ticks whose ticker ranges this run has decided.
        self._cut: set[str] = set()
        self._refused_keys = ""
        self._log = Log(self.journal, self.id, chain.name)
        self._lacking: list[Step] = []
        self._unheard: dict[str, list[str]] = {}

    def __repr__(self) -> str:
        return f"<Refresh: {self.plan.report.title}; not run yet: iterate it, or call .run()>"

    def _repr_html_(self) -> str:
        return f"<p>A refresh that has not run yet: iterate it, or call .run().</p>{self.plan._repr_html_()}"

    def run(self, seen: Callable[[Done], None] | None = None) -> "Summary":
        """Run the whole plan, do some upkeep of the lake, and sum it up. `seen` is called with each step as it is done."""
        began = time.monotonic()
        done = []
        # An interruption in `seen` ends the run too, before anyone asks what it landed.
        try:
            with closing(self._steps()) as steps:
                for one in steps:
                    done.append(one)
                    if seen:
                        seen(one)
        except WorkbenchError as fault:
            if gone := self.gone:
                raise type(fault)(f"{fault} {' '.join(gone)}") from fault
            raise
        summary = Summary(self.plan, done, time.monotonic() - began, self._unheard, [*self.gone, *filter(None, [self._log.trouble])])
        if self._helped:
            summary.facts["workers"] = self._helped
        if self.upkeep and not self.stopped:
            summary.facts["maintenance"] = self.upkeep(self._asked_to_stop.is_set)
        return summary

    @property
    def gone(self) -> list[str]:
        """A sentence for each table that the run emptied and did not fill with as many rows as it had."""
        now = {name: self.lake[name].snapshot().rows for name in self._emptied}
        back = {name: f"`workbench reset {name}` and then " * bool(now[name]) for name in now}
        return [
            f"{name} was reset: it had {rows:,} rows and has {now[name]:,} now. {back[name]}`workbench reset --undo {self._reset} {name}` "
            "brings back what it had, until vacuum."
            for name, rows in self._emptied.items()
            if now[name] < rows
        ]

    def stop(self) -> None:
        """Have the run end soon, from any thread: what is landed is committed, downloads are given up. `stopped` tells if it left work."""
        self._asked_to_stop.set()
        self.chain.stop()

    def __iter__(self) -> Iterator[Done]:
        return self._steps()

    def _steps(self) -> Generator[Done, None, None]:
        plan, began = self.plan, time.monotonic()
        work = [*plan.to_fetch, *plan.to_ask, *plan.to_gather]
        left = self._left() or waiting(self.lake)
        if not work and not left:
            with suppress(LakeError):
                # A lake that is not there yet is not made to say that there is nothing for it.
                if self.lake.exists:
                    settled = Log(self.journal, self.id, self.chain.name)
                    for step in plan.settled:
                        settled.add(outcome(step))
                    settled.flush()
            yield from map(outcome, plan.settled)
            return
        guard(self.lake, self.chain.name)
        self.lake.make()
        busy = list(dict.fromkeys(step.table for step in work)) or left
        # Whoever has no cluster to land with hears so before a table is emptied.
        asked = not isinstance(self.workers, str) or plan.to_fetch
        with hands(self.workers if asked else None) as self.executor, refreshing(self.lake.root, busy, "a refresh"):
            sweep(self.lake.root)
            if self.empties:
                rows = {name: self.lake[name].snapshot().rows for name in self.empties}
                self._reset = reset.reset(self.lake, self.empties).id
                self._emptied = {name: count for name, count in rows.items() if count}
            tables = ", ".join(busy)
            self._log = log = Log(self.journal, self.id, self.chain.name)
            log.began(tables)
            log.not_listed(plan)
            why = ""
            try:
                landed = []
                for done in self._all():
                    log.add(done)
                    landed.append(done)
                    yield done
                if not self.stopped:
                    yield from in_step(self.lake, landed, left)
                    yield from compared(self.lake, self._asked_to_stop.is_set)
            except Exception as fault:
                why = reason(fault)
                raise
            except BaseException:
                # Ctrl-C, or a caller who had enough.
                why = LEFT
                raise
            finally:
                log.ended(tables, time.monotonic() - began, why=why or LEFT * self.stopped)
                self.journal.close()

    def _left(self) -> list[str]:
        """The tables that others derive from and that a run may have changed which was killed, or stopped, before it saw to those."""
        if not any(self.lake[name].snapshot().files for name in DERIVING):
            return []
        with suppress(LakeError):
            return [name for name in self.journal.broken_off() if name in {"stock_day", *DERIVING} and not holder(self.lake.root, name)]
        return []

    def _all(self) -> Iterator[Done]:
        yield from map(outcome, self.plan.settled)
        if self.plan.to_fetch:
            yield from self._run(self.plan.to_fetch)
        if (asked := [*self.plan.to_ask, *self._lacking]) and not self.stopped:
            asking = Asking(
                self.lake,
                self.chain,
                self.downloads,
                self.id,
                self.symbols,
                self.universe,
                self._landed,
                self._asked_to_stop,
                self._log,
                self.flights,
            )
            yield from asking(asked)
            self._unheard = asking.unheard
            self.stopped = self._asked_to_stop.is_set()
        for step in self.plan.to_gather:
            if self._asked_to_stop.is_set():
                self.stopped = True
                return
            with self.flights.of(step, GATHERING):
                yield from gather(self.lake, self.chain, step, self.symbols, self.universe, self.journal, self.id)

    def _landed(self, step: Step, job: Job) -> Landed | Refusal:
        with self._landers:
            return self._land(step, job)

    def _run(self, todo: list[Step]) -> Iterator[Done]:
        crew = crew_of(self.executor, self._make, self.lake, self.settings, self.id, self.flights)
        self._helped = crew.told
        running: dict[Future[Any], Step] = {}
        # What other machines have landed is not read through this one to be written cold: compaction sees to that.
        self._batch = batch = Batch(self.lake, todo, together=self.executor is None, whole=is_here(self.executor))
        try:
            for wave in self._waves(todo, crew):
                waiting = deque(wave)
                while not self.stopped:
                    # No more files are fetched ahead than threads can hold: disk and memory stay bounded.
                    room = crew.room
                    while waiting and len(running) < room:
                        step = waiting.popleft()
                        running[crew.submit(step)] = step
                    if not running:
                        break
                    finished, _ = wait(running, timeout=BATCH_SECONDS, return_when=FIRST_COMPLETED)
                    if self._asked_to_stop.is_set():
                        self.stopped = True
                        break
                    for future in finished:
                        step = running.pop(future)
                        made = crew.made(step, future)
                        if made is None:
                            waiting.append(step)
                        elif isinstance(made, Done):
                            batch.miss(made)
                            self._fall_back(made)
                            yield made
                        elif batch.add(*made):
                            self.waits(made[0])
                    if batch.due:
                        yield from batch.commit()
            yield from batch.finish()
        finally:
            self._stopping.set()
            if self.chain.files and (self._asked_to_stop.is_set() or running):
                self.chain.files.close()
            crew.end(running)
            # Stopped in the middle (Ctrl-C, an error, a caller who had enough): what is landed is kept.
            for future, step in running.items():
                if future.done() and not future.cancelled() and not future.exception():
                    made = None
                    with suppress(ClusterError):
                        made = crew.made(step, future)
                    if made and not isinstance(made, Done):
                        batch.add(*made)
            for _ in batch.finish():
                pass

    def _waves(self, todo: list[Step], crew: Crew) -> Iterator[list[Step]]:
        """The steps in the order in which they may be done: of a table of ticks without ticker ranges one file lands first, and decides them."""
        left = list(todo)
        while first := deciding(self.lake, left, crew.cut if isinstance(crew, Away) else ()):
            left = [step for step in left if step not in first]
            yield first
            if isinstance(crew, Here):
                # If that file is refused, those that are fetched with others wait for each other.
                break
        yield left

    def _fall_back(self, done: Done) -> None:
        """Have the sources behind flat files asked for a session whose file could not be had or trusted."""
        step = done.step
        if done.outcome in ("failed", "quarantined") and self.chain.rows and not step.held and not self._stopping.is_set():
            table = TABLES[step.table]
            step = replace(step, reason=f"its flat file {'failed' if done.outcome == 'failed' else 'stands in quarantine'}")
            here = [one for one in self.lake[step.table].landings().values() if one.session == step.session and one.held]
            self._lacking += [
                one for one in legs.ask(table, step, here, self.chain, self.symbols, self.universe, anew=False) if one.action == "ask"
            ]

    def _make(self, step: Step) -> "Made":
        with self.flights.of(step, FETCHING) as flight:
            return self._made(step, flight)

    def _made(self, step: Step, flight: Flight) -> "Made":
        """Fetch and land one file, or only fetch it if its chunk lands together; a fault of the file or its transfer is this step's own."""
        assert step.file
        began = time.monotonic()
        transferred = 0
        try:
            if self._stopping.is_set():
                return Done(step, "failed", reason="stopped before it began")
            if self._refused_keys:
                return Done(step, "failed", reason=self._refused_keys)
            assert self.chain.files
            fetched = self.chain.files.fetch(step.file, self.downloads)
            transferred, flight.doing = fetched.transferred, WAITING
            bounds = self.lake[step.table].snapshot().bounds
            job = Job(
                fetched.path,
                step.file,
                self.chain.files.name,
                self.lake.root,
                bounds,
                step.held,
                mends=step.action == "mend",
                lent=fetched.lent,
                run=self.id,
                began=utc_now(),
            )
            if self._batch.together(step):
                return step, job, transferred, time.monotonic() - began
            try:
                with self._landers:
                    flight.doing = LANDING
                    made = self._land(step, job)
            finally:
                job.drop()
        except BadKeys as fault:
            # No file can be had with these keys; what stands behind them can.
            if not self.chain.rows:
                raise
            self._refused_keys = reason(fault)
            return Done(step, "failed", seconds=time.monotonic() - began, reason=self._refused_keys)
        except KeyboardInterrupt:
            # Polars hears Ctrl-C in whatever thread it works (2.1), also where the main thread has a handler of its own.
            self.stop()
            return Done(step, "failed", reason="stopped before it was landed")
        except SourceError as fault:
            return Done(step, "failed", transferred=transferred, seconds=time.monotonic() - began, reason=reason(fault))
        if isinstance(made, Refusal):
            return Done(step, "quarantined", transferred=transferred, seconds=time.monotonic() - began, reason=made.reason)
        return step, made, transferred, time.monotonic() - began

    def _land(self, step: Step, job: Job) -> Landed | Refusal:
        """Land a fetched file. The first file of ticks that lands decides the table's ticker ranges, the same for all its chunks."""
        table = self.lake[step.table]
        if not table.table.routed or (job.bounds is not None and not (self._by_few(table) and ":" not in step.key)):
            return self._work(job)
        with self._bounds_lock:
            held = decided = table.snapshot().bounds
            if held is None or self._by_few(table):
                try:
                    found = ranges(job.path, table.table, step.key)
                except LandingError:
                    # Landing finds the same fault and says what is wrong with the file; the next file decides.
                    found = ()
                made = self._work(replace(job, bounds=found))
                if isinstance(made, Refusal):
                    return made
                decided = table.set_bounds(found, anew=held is not None)
                self._cut.add(step.table)
                if decided == found:
                    return made
                # Another process decided otherwise meanwhile.
                table.discard(made.files)
        return self._work(replace(job, bounds=decided))

    def _by_few(self, table: LakeTable) -> bool:
        """Whether a table's ticker ranges are those of the few tickers that a source of rows was asked for: no market is cut well by them."""
        return table.table.name not in self._cut and by_few(table)

    def _work(self, job: Job) -> Landed | Refusal:
        return landed_by(self.executor, job)
