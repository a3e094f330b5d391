"""Who does the work of a refresh: threads of this process (`Here`), or the workers of an executor somewhere else (`Away`). Only the driver commits."""

import pickle
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, cast
from weakref import WeakSet

from workbench.config import Settings
from workbench.errors import ClusterError, UsageError, WorkbenchError
from workbench.lake.identity import identity
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed
from workbench.lake.quarantine import Refusal
from workbench.lake.store import Lake, LakeTable
from workbench.refresh.batch import Done, Made
from workbench.refresh.moving import AWAY, Flights
from workbench.refresh.plan import Step
from workbench.refresh.working import Came, Order, Told, versions, work
from workbench.tables import TABLES

FETCHERS = 8
# So many orders for each of an executor's threads, that none waits while the driver commits; and so many in all.
AHEAD, MOST = 2, 10_000
# How often a file is given to a worker, before it is left for the next refresh.
TRIES = 4

# An address of a scheduler, an executor, or neither: this process does it all.
Workers = Executor | str | None


class Crew(Protocol):
    """Who makes the files of a run: at most `room` at a time. `told` is what people call them; empty for this process."""

    @property
    def told(self) -> str:
        """Who they are."""
        ...

    @property
    def room(self) -> int:
        """How many steps may be under way now."""
        ...

    def submit(self, step: Step) -> "Future[Any]":
        """Have a step done."""
        ...

    def made(self, step: Step, future: "Future[Any]") -> Made | None:
        """What came of a step; None if it is to be submitted again. Raises what ends the run."""
        ...

    def end(self, running: "Mapping[Future[Any], Step]") -> None:
        """Take no more steps; those that have not begun are given up, and so are those of other machines."""
        ...


@contextmanager
def hands(workers: Workers) -> Iterator[Executor | None]:
    """The executor that somebody named, connected to until the block ends. Raises `ClusterError` if it cannot be, and `MissingExtra` without Dask."""
    if isinstance(workers, str):
        from workbench.cluster import executor

        with executor(workers) as connected:
            yield connected
    elif type(workers).__module__.startswith("distributed."):
        from workbench.cluster.executing import adopted

        yield adopted(cast("Any", workers))
    elif workers is None or isinstance(workers, Executor):
        if forks(workers):
            raise UsageError(
                f"{type(workers).__name__} starts its processes by fork, in which the threads that read Parquet and CSV would wait for ever; nothing was fetched. "
                "Give it mp_context=multiprocessing.get_context('spawn')."
            )
        yield workers
    else:
        raise UsageError(
            f"{workers!r} is no executor; nothing was fetched. Give a concurrent.futures.Executor, or the address of a Dask scheduler, as tcp://10.0.0.5:8786"
        )


def forks(executor: Executor | None) -> bool:
    """Whether an executor's processes are copies of this one: locks that its other threads held are never opened in them."""
    context = getattr(executor, "_mp_context", None) if isinstance(executor, ProcessPoolExecutor) else None
    return context is not None and context.get_start_method() == "fork"


def is_here(executor: Executor | None) -> bool:
    """Whether an executor's workers are of this machine, and share this process's files and keys."""
    return executor is None or isinstance(executor, ThreadPoolExecutor | ProcessPoolExecutor)


def size_of(executor: Executor | None, otherwise: int) -> int:
    """How many calls an executor does at a time, as far as it tells."""
    size = getattr(executor, "_max_workers", None)
    return size if isinstance(size, int) and size > 0 else otherwise


def landed_by(executor: Executor | None, job: Job) -> Landed | Refusal:
    """Land a fetched file, in an executor of this machine if there is one. Raises `ClusterError` if it broke."""
    if executor is None or not is_here(executor):
        return land_or_refuse(job)
    try:
        future = executor.submit(land_or_refuse, job)
    except RuntimeError as fault:
        raise broken(executor, job.file.key, fault) from fault
    try:
        return future.result()
    except BrokenExecutor as fault:
        raise broken(executor, job.file.key, fault) from fault


def broken(executor: Executor, key: str, fault: BaseException) -> ClusterError:
    """The error for an executor that takes no more work: it lost a process, or was shut down."""
    lost = "lost a worker, which ended at once, and " * isinstance(fault, BrokenExecutor)
    memory = "; if it ends so again, give its workers more memory" * bool(lost)
    return ClusterError(
        f"{type(executor).__name__} {lost}takes no more work ({' '.join(str(fault).split())}); {key} and what was to follow were not landed, what landed "
        f"before is kept. Run the refresh again with a new executor{memory}."
    )


def odd(executor: Executor, key: str, what: str) -> ClusterError:
    """The error for an executor that does not do what executors do."""
    return ClusterError(
        f"{type(executor).__name__} {' '.join(what.split()).removesuffix('.')}, where {key} was to be landed; it and what was to follow were not landed, what "
        "landed before is kept. Mend that executor, or run the refresh without it."
    )


def answer(given: Any, key: str) -> Told:
    """What a worker answered for a file. Raises `TypeError` if that is no answer, or one for another file."""
    if not (isinstance(given, tuple) and len(given) == 3 and given[0] in ("done", "unfit", "again")):
        raise TypeError(f"gave {type(given).__name__} for the answer of a worker")
    made = given[2].made if isinstance(given[2], Came) else None
    held = made.landing.key if isinstance(made, Landed) else made.key if isinstance(made, Refusal) else key
    if given[0] == "done" and made is None:
        raise TypeError(f"gave {type(given[2]).__name__} for what came of a file")
    if held != key:
        raise TypeError(f"gave what came of {held}")
    return given


class Here:
    """Threads of this process, each of which fetches a file and lands it, or has an executor of this machine land it."""

    told = ""

    def __init__(self, make: Callable[[Step], Made], room: int = FETCHERS):
        self.room = room
        self._make, self._pool = make, ThreadPoolExecutor(room, thread_name_prefix="refresh")

    def submit(self, step: Step) -> Future[Made]:
        return self._pool.submit(self._make, step)

    def made(self, step: Step, future: Future[Made]) -> Made | None:  # noqa: ARG002
        return future.result()

    def end(self, running: Mapping[Future[Made], Step]) -> None:  # noqa: ARG002
        self._pool.shutdown(wait=True, cancel_futures=True)


class Away:
    """Workers of an executor, wherever they are: each fetches a file itself and writes it into the lake, where the driver finds it.

    A file whose worker was lost, or can do no file, is given to another, `TRIES` times at most. What a lost worker wrote stays uncommitted, for vacuum.
    """

    def __init__(self, executor: Executor, lake: Lake, settings: Settings, run: str, flights: Flights):
        self.executor, self.lake, self.run = executor, lake, run
        self._settings, self._flights = sent(settings), flights
        self._alike, self._name = versions(), identity(lake.root).id
        self._tries: Counter[str] = Counter()
        self._moving: dict[str, ExitStack] = {}
        # Kept for as long as somebody waits for them.
        self._given: WeakSet[Future[Any]] = WeakSet()
        # Of each table of ticks the steps that are to decide its ranges, and those whose ranges are decided by this run.
        self._deciding: set[str] = set()
        self.cut: set[str] = set()
        self.told = str(getattr(executor, "told", type(executor).__name__))

    @property
    def room(self) -> int:
        """Twice as many as the executor has threads now: workers may join, and leave."""
        told = getattr(self.executor, "capacity", None)
        return min(AHEAD * max(told if isinstance(told, int) else size_of(self.executor, FETCHERS), 1), MOST)

    def undecided(self, table: LakeTable) -> bool:
        """Whether the next file of a table is to decide its ticker ranges."""
        name = table.table.name
        return table.table.routed and name not in self.cut and (table.snapshot().bounds is None or by_few(table))

    def submit(self, step: Step) -> Future[Told]:
        assert step.file
        table = self.lake[step.table]
        if not table.exists:
            # Only the driver commits, also what makes a table.
            table.create()
        if self.undecided(table):
            self._deciding.add(step.key)
        order = Order(
            self._settings,
            self._name,
            step.file,
            table.snapshot().bounds,
            step.held,
            mends=step.action == "mend",
            run=self.run,
            decides=step.key in self._deciding,
        )
        moving = self._moving[step.key] = ExitStack()
        moving.enter_context(self._flights.of(step, AWAY))
        try:
            future = self.executor.submit(work, self._alike, pickle.dumps(order))
        except WorkbenchError:
            raise
        except Exception as fault:
            raise broken(self.executor, step.key, fault) from fault
        if not isinstance(future, Future) or future in self._given:
            what = (
                "the future of another file"
                if isinstance(future, Future)
                else f"{type(future).__name__}, which is no concurrent.futures.Future"
            )
            raise odd(self.executor, step.key, f"gave {what}")
        self._given.add(future)
        return future

    def made(self, step: Step, future: Future[Told]) -> Made | None:
        self._moving.pop(step.key, ExitStack()).close()
        self._tries[step.key] += 1
        try:
            told, worker, came = answer(future.result(), step.key)
        except BrokenExecutor as fault:
            raise broken(self.executor, step.key, fault) from fault
        except CancelledError:
            return self._again(step, f"{step.key} was given up by the scheduler, or lost with its worker")
        except WorkbenchError:
            raise
        except TypeError as fault:
            raise odd(self.executor, step.key, str(fault)) from fault
        except Exception as fault:
            why = meaning(self.executor, fault)
            if not why:
                raise odd(self.executor, step.key, f"ended in {type(fault).__name__}: {fault}") from fault
            # A file may only have been beside one that ends its workers: it has one more go.
            self._tries[step.key] += max(TRIES // 2 - 1, 0)
            return self._again(step, f"{step.key} was not landed: {why}")
        if told == "again":
            return self._again(step, f"worker {worker} could not land {step.key}: {came}")
        if told == "unfit":
            if avoid := getattr(self.executor, "avoid", None):
                avoid(worker)
            none_left = getattr(self.executor, "capacity", None) == 0
            return self._again(step, f"worker {worker} cannot land {step.key}: {came}", last=none_left)
        return self._done(step, came)

    def _again(self, step: Step, why: str, *, last: bool = False) -> Done | None:
        """Nothing, for the step to be submitted again; or what became of it, after so many tries or where no other worker is left."""
        if self._tries[step.key] < TRIES and not last:
            return None
        return Done(
            step, "failed", reason=f"{why.removesuffix('.')}; {'no other worker is left' if last else f'it was tried {TRIES} times'}"
        )

    def _done(self, step: Step, came: Came) -> Made | None:
        if isinstance(came.made, str):
            return Done(step, "failed", transferred=came.transferred, seconds=came.seconds, reason=came.made)
        if isinstance(came.made, Refusal):
            self._deciding.discard(step.key)
            return Done(step, "quarantined", transferred=came.transferred, seconds=came.seconds, reason=came.made.reason)
        if step.key in self._deciding and came.made.files:
            self._deciding.discard(step.key)
            table, found = self.lake[step.table], came.made.bounds or ()
            decided = table.set_bounds(found, anew=table.snapshot().bounds is not None)
            self.cut.add(step.table)
            if decided != found:
                # Another process decided otherwise meanwhile.
                table.discard(came.made.files)
                self._tries[step.key] -= 1
                return None
        return step, came.made, came.transferred, came.seconds

    def end(self, running: Mapping[Future[Told], Step]) -> None:
        for future in running:
            future.cancel()
        for moving in self._moving.values():
            moving.close()


def crew_of(
    executor: Executor | None, make: Callable[[Step], Made], lake: Lake, settings: Settings | None, run: str, flights: Flights
) -> Here | Away:
    """Who works for a run: threads that call `make`, unless an executor's workers are elsewhere. Raises `UsageError` if those cannot be told where."""
    if executor is None or is_here(executor):
        return Here(make, max(FETCHERS, size_of(executor, 0)))
    if settings is None:
        raise UsageError(
            "workers elsewhere need the settings that name the lake and the source; nothing was fetched. Give `Refresh` its settings."
        )
    return Away(executor, lake, settings, run, flights)


def deciding(lake: Lake, todo: Sequence[Step], cut: Container[str] = ()) -> list[Step]:
    """The largest file of each table of ticks that has no ticker ranges yet, but for those `cut` just now: it lands first and decides them for all."""
    routed = {step.table for step in todo if TABLES[step.table].routed and step.table not in cut}
    undecided = [name for name in routed if lake[name].snapshot().bounds is None or by_few(lake[name])]
    return [max((step for step in todo if step.table == table), key=lambda step: step.size) for table in sorted(undecided)]


def by_few(table: LakeTable) -> bool:
    """Whether a table's ticker ranges are those of the few tickers that a source of rows was asked for: only such sources have ever filled it."""
    landings = table.landings()
    return bool(landings) and all(":" in key for key in landings)


def meaning(executor: Executor, fault: Exception) -> str:
    """What an executor's own error means for a file; empty if it is none of them."""
    tell = getattr(executor, "meaning", None)
    return str(tell(fault)) if tell else ""


def sent(settings: Settings) -> dict[str, Any]:
    """The settings that a worker must share to find the same lake and the same source. Keys are no part of them."""
    source = settings.chosen_source
    return {
        "data": settings.where,
        "source": f"folder:{settings.folder}" if source.startswith("folder:") else source,
        "polygon_s3_endpoint": settings.polygon_s3_endpoint,
        "polygon_s3_bucket": settings.polygon_s3_bucket,
    }
