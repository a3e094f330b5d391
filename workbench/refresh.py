"""Refresh: plan → fetch → land → commit.

Running a plan downloads and lands files side by side; only the driver, here, commits, in batches.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from workbench.batch import BATCH_SECONDS, Batch, Done, Made
from workbench.errors import BadKeys, LandingError, SourceError, UsageError
from workbench.lake.disk import sweep
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed
from workbench.lake.quarantine import Refusal
from workbench.lake.routing import ranges
from workbench.lake.store import Lake
from workbench.plan import Plan, Step
from workbench.query.report import Report, sized
from workbench.sources import Source
from workbench.tables import TABLES

FETCHERS = 8
LANDERS = 2


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
        # Called with each step that has landed and waits for the rest of its chunk: it is not committed, and not done, yet.
        self.waits: Callable[[Step], None] = lambda step: None  # noqa: ARG005
        # Called at the end of a run that was not stopped, with what asks whether to stop; gives a line about it.
        self.upkeep: Callable[[Callable[[], bool]], str] | None = None
        self._bounds_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Refresh: {self.plan.report.title}; not run yet: iterate it, or call .run()>"

    def run(self, seen: Callable[[Done], None] | None = None) -> "Summary":
        """Run the whole plan, do some upkeep of the lake, and sum it up. `seen` is called with each step as it is done."""
        began = time.monotonic()
        done = []
        # An interruption in `seen` ends the run too, before anyone asks what it landed.
        with closing(self._steps()) as steps:
            for one in steps:
                done.append(one)
                if seen:
                    seen(one)
        summary = Summary(self.plan, done, time.monotonic() - began)
        if self.upkeep and not self.stopped:
            summary.facts["maintenance"] = self.upkeep(self._asked_to_stop.is_set)
        return summary

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
        self._batch = batch = Batch(self.lake, todo, together=self.executor is None)
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
                            batch.miss(made)
                            yield made
                        elif batch.add(*made):
                            self.waits(made[0])
                    if batch.due:
                        yield from batch.commit()
            yield from batch.finish()
        finally:
            self._stopping.set()
            self.source.close()
            pool.shutdown(wait=True, cancel_futures=True)
            # Stopped in the middle (Ctrl-C, an error, a caller who had enough): what is landed is kept.
            for future in running:
                if future.done() and not future.cancelled() and not future.exception() and not isinstance(made := future.result(), Done):
                    batch.add(*made)
            for _ in batch.finish():
                pass

    def _make(self, step: Step) -> "Made":
        """Fetch and land one file, or only fetch it if its chunk lands together; a fault of the file or its transfer is this step's own."""
        assert step.file
        began = time.monotonic()
        transferred = 0
        try:
            if self._stopping.is_set():
                return Done(step, "failed", reason="stopped before it began")
            fetched = self.source.fetch(step.file, self.downloads)
            transferred = fetched.transferred
            bounds = self.lake[step.table].snapshot().bounds
            job = Job(fetched.path, step.file, self.source.name, self.lake.root, bounds, step.held, step.action == "mend", fetched.lent)
            if self._batch.together(step):
                return step, job, transferred, time.monotonic() - began
            try:
                with self._landers:
                    made = self._land(step, job)
            finally:
                job.drop()
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

    def _land(self, step: Step, job: Job) -> Landed | Refusal:
        """Land a fetched file. The first file of ticks that lands decides the table's ticker ranges, the same for all its chunks."""
        table = self.lake[step.table]
        if not table.table.routed or job.bounds is not None:
            return self._work(job)
        with self._bounds_lock:
            decided = table.snapshot().bounds
            if decided is None:
                try:
                    found = ranges(job.path, table.table, step.key)
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
        what = (
            f"{landed} file{'s' * (landed != 1)} landed, {sum(one.rows for one in done):,} rows"
            if done
            else "nothing to do: the lake is up to date"
        )
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
