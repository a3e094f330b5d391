"""Upkeep: folding, retention, compaction, vacuum and cleaning as a list of tasks, done one after another until the time is up.

Every task leaves the lake whole, so that it can be stopped between any two; a table whose task fails is left alone for the rest of the run.
"""

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from workbench import sessions
from workbench.config import Settings
from workbench.errors import BadRange, Busy, UsageError, WorkbenchError
from workbench.lake import cold, leftovers, retention, rollups, tiering, vacuum
from workbench.lake.disk import disk
from workbench.lake.fold import fold
from workbench.lake.operations import Operations
from workbench.lake.records import record_named
from workbench.lake.remote.where import readable
from workbench.lake.store import Lake, LakeTable, utc_now
from workbench.policies import Maintain
from workbench.tables import TABLES
from workbench.tables.record import Record
from workbench.tables.spec import span_of

LOG = logging.getLogger("workbench.maintain")
DAY_S = 86_400
# Ticker ranges are decided anew from the newest sessions of bars; one session of ticks has enough rows.
NEWEST_SESSIONS = 5


@dataclass(frozen=True)
class Done:
    """What became of a task: folded, compacted, archived, dropped, removed; or refused, overtaken, busy, failed, and why."""

    kind: str
    table: str
    chunk: str
    outcome: str
    rows: int = 0
    files: int = 0
    new_files: int = 0
    size: int = 0
    new_size: int = 0
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Task:
    """Something to do about a table, or about the whole lake if it names none."""

    kind: str
    table: str
    chunk: str
    work: Callable[[], Iterable[Done]]


@dataclass
class Upkeep:
    """What was done. `left` counts the tasks that were not begun when the time was up."""

    done: list[Done] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 done; 1 something failed, or was held by another process; 3 something was refused."""
        outcomes = {one.outcome for one in self.done}
        return 1 if outcomes & {"failed", "busy"} else 3 if "refused" in outcomes else 0


def run(tasks: Iterable[Task], seconds: float | None = None, stopped: Callable[[], bool] = bool) -> Upkeep:
    """Do tasks in their order; none is begun when so many seconds have passed, or when `stopped` says so."""
    began, upkeep = time.monotonic(), Upkeep()
    failed = set()
    for task in tasks:
        if stopped() or (seconds is not None and time.monotonic() - began >= seconds):
            upkeep.left += 1
            continue
        if task.table in failed:
            continue
        try:
            for one in task.work():
                upkeep.done.append(one)
                logged(one)
        except Exception as fault:
            outcome = "busy" if isinstance(fault, Busy) else "failed"
            why = str(fault) if isinstance(fault, WorkbenchError) else f"{type(fault).__name__}: {fault}"
            upkeep.done.append(Done(task.kind, task.table, task.chunk, outcome, reason=why))
            logged(upkeep.done[-1])
            failed.add(task.table)
    upkeep.seconds = time.monotonic() - began
    return upkeep


def maintain(lake: Lake, settings: Settings, seconds: float | None = None, stopped: Callable[[], bool] = bool) -> Upkeep:
    """All upkeep that is due by the settings' policies. Raises `Busy` while another process does the same."""
    with alone(lake.root):
        return run(due(lake, settings, now_and_then=seconds is not None), seconds, stopped)


def after_refresh(lake: Lake, settings: Settings, stopped: Callable[[], bool]) -> str:
    """Upkeep for as long as the settings allow, in a line; empty if nothing was to do. Never fails what came before."""
    if not lake.exists:
        return ""
    try:
        return line(maintain(lake, settings, settings.maintain.seconds, stopped))
    except Exception as fault:
        return f"maintenance was not done: {fault}"


def due(lake: Lake, settings: Settings, *, now_and_then: bool = False) -> Iterator[Task]:
    """The tasks that are due. What frees disk comes first; what leaves is not compacted before.

    `now_and_then` looks for files to remove once a day only: that reads the whole log.
    """
    policy, today = settings.maintain, sessions.today()
    yield from found("fold", "", lambda: folds(lake))
    spill = Path(settings.temp) if settings.temp else None
    vacuumed = lake.root / "locks" / "vacuumed"
    if not now_and_then or not vacuumed.exists() or time.time() - vacuumed.stat().st_mtime >= DAY_S:
        yield Task("clean", "", "", lambda: cleaned(lake, settings.scratch, spill))
        yield Task("vacuum", "", "", lambda: swept(lake, settings, vacuumed))
    # What retention takes out is summed up before.
    yield from found("roll up", "", lambda: summing_up(lake))
    yield from leaving(lake, settings)
    tasks: list[Task] = []
    for table in map(lake.__getitem__, TABLES):
        tasks += found("compact", table.table.name, lambda: coming(table, policy, today))  # noqa: B023
    yield from sorted(tasks, key=oldest)


def coming(table: LakeTable, policy: Maintain, today: date) -> Iterator[Task]:
    """The chunks of a table that are to be compacted by the policy."""
    for unit in tiering.due(table, today, fold_after=policy.fold_after.back(today)):
        if unit.reason == tiering.MISFIT or span_of(unit.chunk)[1] <= policy.compact_after.before(today):
            yield task_of(table, unit)


def found(kind: str, name: str, find: Callable[[], Iterable[Task]]) -> list[Task]:
    """The tasks that a look at a table finds; if it fails, one that says so."""
    try:
        return list(find())
    except Exception as fault:
        return [Task(kind, name, "", partial(fail, fault))]


def fail(fault: Exception) -> list[Done]:
    """Raise what was met before."""
    raise fault


def oldest(task: Task) -> date:
    """Where a task stands in the order of chunks."""
    return span_of(task.chunk)[0] if task.chunk else date.min


# ---------------------------------------------------------------------- tasks


def task_of(table: LakeTable, unit: tiering.Unit) -> Task:
    """The compaction of a chunk as a task."""

    def work() -> Iterator[Done]:
        made = tiering.compact(table, unit)
        yield Done(
            "compact",
            made.table,
            made.chunk,
            made.outcome,
            made.rows,
            made.files,
            made.new_files,
            made.size,
            made.new_size,
            made.seconds,
            made.reason,
        )

    return Task("compact", table.table.name, unit.chunk, work)


def summing_up(lake: Lake) -> Iterator[Task]:
    """The sessions that are not summed up yet, or not as they are now, as tasks, newest first."""

    def task(one: rollups.Work) -> Task:
        def work() -> Iterator[Done]:
            began, count = time.monotonic(), rollups.done(lake, one)
            rows = sum(file.rows for file in lake[one.rollup.name].snapshot().files if file.chunk == one.chunk)
            why = f"{count} sessions" if one.days else "files put together"
            yield Done("roll up", one.rollup.name, one.chunk, "summed up", rows, seconds=time.monotonic() - began, reason=why)

        return Task("roll up", one.rollup.name, one.chunk, work)

    yield from map(task, rollups.due(lake))


def leaving(lake: Lake, settings: Settings) -> Iterator[Task]:
    """What the policies take out, as tasks, oldest first."""

    def task(one: retention.Leaving) -> Task:
        def work() -> Iterator[Done]:
            left = retention.retire(lake, one)
            size = left.archived
            yield Done("retain", one.table, one.chunk, left.outcome, one.rows, len(one.files), 0, one.size, size, left.seconds, left.reason)

        return Task("retain", one.table, one.chunk, work)

    tasks: list[Task] = []
    for name, policy in settings.retention.items():
        tasks += found("retain", name, lambda: map(task, retention.plan(lake, {name: policy})))  # noqa: B023
    yield from sorted(tasks, key=oldest)


def folds(lake: Lake) -> Iterator[Task]:
    """What the journal holds of tables that people write, as tasks: rows are folded into Delta tables."""

    def task(record: Record) -> Task:
        def work() -> Iterator[Done]:
            if made := fold(lake.root, record):
                yield Done("fold", made.table, "", "folded", made.rows, made.removed, made.files, seconds=made.seconds)

        return Task("fold", record.full, "", work)

    journal = Operations(lake.root)
    try:
        yield from [task(record) for name in journal.held() if (record := record_named(lake.root, name))]
    finally:
        journal.close()


def cleaned(lake: Lake, scratch: Path, spill: Path | None) -> list[Done]:
    """Remove what processes that are no more left behind."""
    began = time.monotonic()
    found = leftovers.clean(lake.root, scratch, spill, dry_run=False)
    size = sum(one.size for one in found)
    return [Done("clean", "", "", "removed", files=len(found), size=size, seconds=time.monotonic() - began)] if found else []


def swept(lake: Lake, settings: Settings, note: Path) -> list[Done]:
    """Remove files that were replaced long ago, or never committed; and note when."""
    began, keep = time.monotonic(), settings.maintain.vacuum_keep.back(sessions.today())
    found = vacuum.vacuum(lake, keep, dry_run=False)
    note.touch()
    seconds = time.monotonic() - began
    gone = [(one, len(one.retired) + len(one.orphans)) for one in found]
    return [Done("vacuum", one.table, "", "removed", files=count, size=one.size, seconds=seconds) for one, count in gone if count]


# ---------------------------------------------------------------------- by name


def asked(table: LakeTable, chunk: str | None = None, *, everything: bool = False) -> Iterator[Task]:
    """The chunks of a table to compact: those that are due, all that are not cold yet, or one by name, sealed or not.

    Raises `BadRange` for a chunk that the table cannot have, or that is part of a wider cold one.
    """
    if chunk is None:
        yield from (task_of(table, unit) for unit in tiering.due(table, everything=everything))
        return
    spec = table.table
    if not any(spec.chunk_of(day, period) == chunk for period in spec.chunks for day in first_day(chunk)):
        names = " or ".join(spec.chunk_of(spec.starts, period) for period in spec.chunks)
        raise BadRange(f"{chunk!r} is no chunk of {spec.name}; nothing was done. Name one as {names}.")
    first, last = span_of(chunk)
    files = [file for file in table.snapshot().files if first <= file.first <= last]
    wider = {file.chunk for file in files if file.bucket is not None and span_of(file.chunk)[1] - span_of(file.chunk)[0] > last - first}
    if wider:
        raise BadRange(f"{spec.name} {chunk} is part of the cold chunk {min(wider)}; nothing was done. Name that one.")
    if spec.routed and files:
        yield task_of(table, tiering.Unit(chunk, tuple(files), "asked for"))
    yield from (task_of(table, unit) for unit in tiering.unit(table, chunk, files, sessions.today(), everything=True) if not spec.routed)


def first_day(chunk: str) -> list[date]:
    """The first date of what may be a chunk's name; none if it is not."""
    try:
        return [span_of(chunk)[0]]
    except (ValueError, KeyError):
        return []


def reranged(table: LakeTable) -> Iterator[Task]:
    """Decide a table's ticker ranges anew, from its newest sessions, and write every chunk by them; or go on where a run before was stopped.

    Raises `UsageError` for a table with one range, or without rows.
    """
    spec, shot = table.table, table.snapshot()
    if spec.ranges == 1:
        raise UsageError(f"{spec.name} is not cut by ticker: there are no ranges to decide; nothing was done.")
    if not shot.files:
        raise UsageError(f"{spec.name} holds no rows to decide ranges from; nothing was done. Refresh it first.")
    if not tiering.misfits(shot):
        days = sorted({landing.session for landing in table.landings().values() if landing.held})
        since = days[-1 if spec.routed else -min(NEWEST_SESSIONS, len(days))]
        table.set_bounds(
            cold.bounds_for(table.all_here(file.path for file in shot.files if file.last >= since), (), spec, since), anew=True
        )
    yield from (task_of(table, unit) for unit in tiering.misfits(table.snapshot()))


# ---------------------------------------------------------------------- one at a time


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One maintenance of a lake at a time. Raises `Busy` and says whose it is; the lock of a process that is killed is free."""
    path = root / "locks" / "maintain.lock"
    told = path.with_suffix(".json")
    lock = FileLock(path)
    with disk(root, "nothing was maintained"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as fault:
            raise Busy(
                f"the lake in {readable(root)} is being maintained{holder(told)}; nothing was done. Wait until that has finished."
            ) from fault
    try:
        with disk(root, "nothing was maintained"):
            told.write_text(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": utc_now()}))
        yield
    finally:
        told.unlink(missing_ok=True)
        lock.release()


def holder(told: Path) -> str:
    """Who holds a lock, in words."""
    try:
        held = json.loads(told.read_text())
        return f" by process {held['pid']} on {held['host']} since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return " by another process"


def line(upkeep: Upkeep) -> str:
    """What was done, in a line; empty if nothing was to do."""
    parts = []
    if folded := [one for one in upkeep.done if one.outcome == "folded"]:
        parts.append(f"{sum(one.rows for one in folded):,} written rows of {', '.join(one.table for one in folded)} folded")
    for kind, word in (("roll up", "summed up"), ("retain", "archived or dropped"), ("compact", "compacted")):
        its = [one for one in upkeep.done if one.kind == kind and one.outcome in ("summed up", "archived", "dropped", "compacted")]
        if its:
            names = ", ".join(dict.fromkeys(one.table for one in its))
            parts.append(f"{len(its)} chunk{'s' * (len(its) != 1)} of {names} {word} ({sum(one.rows for one in its):,} rows)")
    if files := sum(one.files for one in upkeep.done if one.outcome == "removed"):
        parts.append(f"{files:,} old files removed")
    parts += [f"{one.table or 'the lake'} {one.chunk} {one.outcome}: {one.reason}" for one in upkeep.done if one.reason and not ok(one)]
    if upkeep.left:
        parts.append(f"{upkeep.left} left for the next run")
    return "maintenance: " + "; ".join(" ".join(part.split()) for part in parts) if parts else ""


def logged(one: Done) -> None:
    """A log line of a task."""
    facts = {"kind": one.kind, "table": one.table, "chunk": one.chunk, "outcome": one.outcome, "rows": one.rows}
    where, why = " ".join(filter(None, (one.table or "the lake", one.chunk))), f": {one.reason}" * bool(one.reason)
    level = logging.INFO if ok(one) else logging.WARNING
    LOG.log(level, "%s: %s %s, %d rows, %d files%s", one.kind, where, one.outcome, one.rows, one.files, why, extra=facts)


def ok(one: Done) -> bool:
    """Whether a task did what it was to do, or left it to another that does."""
    return one.outcome not in ("refused", "failed", "busy")
