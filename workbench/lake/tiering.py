"""Temperatures: sealed chunks become cold files, one for each ticker range.

A session lands hot, in one file. When its chunk is sealed (over, and every session of it landed or explained), the chunk is rewritten by
ticker range, first by the finer period, later by the coarser one. Late sessions and sessions published again are merged the same way:
every rewrite puts new files in the place of old ones in one commit, and says how many rows it read, wrote and left out.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from workbench import sessions
from workbench.errors import BrokenPromise, Busy, LakeError
from workbench.lake import cold
from workbench.lake.disk import disk, full_disk, place, scratch
from workbench.lake.landings import Landed, Landing, NewFile, Rewrite, beside, venue_of
from workbench.lake.quarantine import refusals
from workbench.lake.snapshots import LiveFile, Snapshot, as_live
from workbench.lake.store import LakeTable, Outcome
from workbench.tables import errata
from workbench.tables.spec import period_of, span_of

if TYPE_CHECKING:
    import polars as pl

# A chunk is sealed when its newest session is this many sessions old; a session that never comes keeps it open for no longer than PATIENCE.
SETTLED = 3
PATIENCE = timedelta(days=45)
# Finer chunks answer cross-sections of recent sessions faster: they are folded into coarser ones when they are this old.
FOLD_AFTER = timedelta(days=92)
MISFIT = "other ranges"
# Ranges are decided from at most this many files, spread over those at hand.
SAMPLED_FILES = 5

NOTHING: Mapping[str, date] = MappingProxyType({})


@dataclass(frozen=True)
class Unit:
    """A chunk to write cold, from the live files that hold it now."""

    chunk: str
    files: tuple[LiveFile, ...]
    reason: str

    @property
    def rows(self) -> int:
        """Rows in its files."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Compaction:
    """What became of a unit. `files`, `size` are those before, `new_files` and `new_size` those after."""

    table: str
    chunk: str
    outcome: str
    rows: int
    files: int
    new_files: int
    size: int
    new_size: int
    seconds: float
    reason: str = ""


# ---------------------------------------------------------------------- which


def due(table: LakeTable, today: date | None = None, *, everything: bool = False, fold_after: timedelta = FOLD_AFTER) -> list[Unit]:
    """The chunks to write cold now, oldest first. `everything` takes chunks that are not sealed, too."""
    shot = table.snapshot()
    spec, today = table.table, today or sessions.today()
    if not spec.feeds:
        # The archive is written once, as it stays.
        return []
    if spec.routed:
        return misfits(shot)
    units = []
    for whole, files in by_chunk(shot.files, lambda file: spec.chunk_of(file.first, spec.chunks[-1])):
        over = span_of(whole)[1]
        if any(file.chunk == whole and file.bucket for file in files) or everything or over + fold_after <= today:
            units += unit(table, whole, files, today, everything=everything)
        else:
            for chunk, its in by_chunk(files, lambda file: spec.chunk_of(file.first)):
                units += unit(table, chunk, its, today, everything=everything)
    return [*units, *(one for one in misfits(shot) if one.chunk not in {unit.chunk for unit in units})]


def unit(table: LakeTable, chunk: str, files: Sequence[LiveFile], today: date, *, everything: bool) -> list[Unit]:
    """The chunk as a unit, if it has something to do and is sealed."""
    hot = [file for file in files if file.bucket is None]
    finer = {file.chunk for file in files if file.bucket is not None} - {chunk}
    if not hot and not finer:
        return []
    if not everything and not sealed(table, chunk, today):
        return []
    late = any(file.bucket is not None and file.chunk == chunk for file in files)
    reason = "late sessions" if late else f"sealed {period_of(chunk)}"
    return [Unit(chunk, tuple(files), reason)]


def misfits(shot: Snapshot) -> list[Unit]:
    """Chunks with files that reach out of their ticker range: those written before the ranges were decided anew."""
    if shot.bounds is None:
        return []
    bounds = shot.bounds
    out = {file.chunk for file in shot.files if file.bucket is not None and not inside(file, bounds)}
    return [Unit(chunk, tuple(f for f in shot.files if f.chunk == chunk and f.bucket is not None), MISFIT) for chunk in sorted(out)]


def inside(file: LiveFile, bounds: Sequence[str]) -> bool:
    """Whether all tickers of a file are of its range."""
    n = int(file.bucket or 0)
    if n > len(bounds):
        return False
    low, high = cold.edges(bounds, n)
    return (low is None or file.low >= low) and (high is None or file.high < high)


def by_chunk(files: Iterable[LiveFile], name: Callable[[LiveFile], str]) -> Iterator[tuple[str, list[LiveFile]]]:
    """Files by the chunk that a function names, oldest first."""
    groups: dict[str, list[LiveFile]] = {}
    for file in sorted(files, key=lambda file: (file.first, file.path)):
        groups.setdefault(name(file), []).append(file)
    return iter(sorted(groups.items()))


def sealed(table: LakeTable, chunk: str, today: date, coming: Mapping[str, date] = NOTHING, *, patience: bool = True) -> bool:
    """Whether a chunk is over, its newest session settled, and each session of it landed, coming (by key) or explained.

    Sessions before the table's first are not missed; with patience, one that never comes holds a chunk open for no longer than `PATIENCE`.
    """
    spec = table.table
    landed = {key: landing for key, landing in table.landings().items() if landing.retired != "reset"}
    first, last = span_of(chunk)
    # The newest SETTLED sessions whose files are due may still be replaced.
    if last >= sessions.between(spec, today - timedelta(days=30), today)[-SETTLED]:
        return False
    if patience and last + PATIENCE <= today:
        return True
    # What only a fallback gave may still come from the bucket.
    here = landed.keys() | coming.keys() | {one.key for one in refusals(table.root, spec.name) if one.whole}
    oldest = min([*coming.values(), *(landing.session for landing in landed.values())], default=first)
    feeds = [feed for feed in spec.feeds if any(key.startswith(f"{feed.prefix}/") for key in here)]
    return all(
        spec.key_of(feed, day) in here or any(one.action == "known missing" for one in errata.for_file(spec.name, day))
        for day in sessions.between(spec, max(first, oldest), last)
        for feed in feeds
    )


# ---------------------------------------------------------------------- how


def compact(table: LakeTable, one: Unit) -> Compaction:
    """Write a chunk cold, in the place of its files. Raises `Busy` if another process compacts the table, `LakeError` if the disk is full."""
    began = time.monotonic()
    undone = f"{table.table.name} {one.chunk} was not compacted"
    with disk(table.root, undone), alone(table):
        live = table.snapshot().by_path
        # A plan may be older than what another process has compacted since.
        if not all(file.path in live for file in one.files):
            return Compaction(table.table.name, one.chunk, "overtaken", 0, len(one.files), 0, one.size, 0, 0.0, one.reason)
        try:
            with rewritten(table, one.chunk, one.files) as made:
                done = table.rewrite(made)
        except Exception:
            # Of whatever kind: engines tell of a file that is gone each in their own way. What is a fault of ours is raised as it came.
            live = table.snapshot().by_path
            if all(file.path in live for file in one.files):
                raise
            # Replaced, and vacuumed, while they were read.
            return Compaction(table.table.name, one.chunk, "overtaken", 0, len(one.files), 0, one.size, 0, 0.0, one.reason)
    size = sum(file.size for file in made.added)
    taken = time.monotonic() - began
    outcome = "compacted" if done else "overtaken"
    return Compaction(table.table.name, one.chunk, outcome, made.rows, len(one.files), len(made.added), one.size, size, taken, one.reason)


def commit_cold(table: LakeTable, chunk: str, landed: Sequence[Landed], frames: "Sequence[pl.DataFrame]" = ()) -> list[Outcome]:
    """Commit landed sessions of a chunk in cold files, together with the rows that the chunk holds of other sessions.

    So a whole chunk is written cold at once, a session published again inside a cold chunk is replaced, and a chunk whose files are gone from
    the disk is mended; each in one commit. Rows of sessions that were landed together come as `frames`. Raises `LakeError` if a lost file holds sessions that have not landed again.
    """
    # The records of the version that the files are of: what others commit meanwhile makes this overtaken, not wrong.
    shot = table.snapshot()
    spec, known, lost = table.table, table.landings(shot.version), table.lost()
    first, last = span_of(chunk)
    # The same bytes under another ETag: the rows stay where they are.
    moving = [one for one in landed if not alias(one, known.get(one.landing.key))]
    if not moving:
        return table.commit(landed)
    names = {one.landing.key for one in moving}
    # Folded into a wider chunk since the plan was made, or settled beside other rows than are there now: the next refresh finds them there.
    leaving = [held for one in moving if (held := known.get(one.landing.key))] + [
        known[one.key] for each in moving for one in each.displaced
    ]
    folded = any(not spans(chunk, cold_chunk(table, held) or chunk) for held in leaving)
    if folded or any(one.beside != {(o.key, o.version) for o in beside(one.landing, known.values())} for one in moving):
        table.discard([file for one in landed for each in (one, *one.kept) for file in each.files])
        return ["overtaken"] * len(landed)
    files = [file for file in shot.files if spans(chunk, file.chunk)]
    gone = {(*part_of(held), held.source) for held in leaving}
    kept = [file for file in files if file.path not in lost]
    if len(kept) < len(files):
        out = {held.key for held in leaving}
        missed = sorted(
            str(one.session) for one in known.values() if first <= one.session <= last and one.key not in names | out and one.held
        )
        if missed:
            raise LakeError(
                f"{spec.name} {chunk} lost files from the disk, and {len(missed)} of its sessions did not land again (the first is {missed[0]}); "
                "nothing was changed. Bring the files back from a backup, or refresh when the source has these sessions."
            )
    fresh = [file for one in landed for each in (one, *one.kept) for file in each.files]
    read = False
    try:
        with disk(table.root, f"{spec.name} {chunk} was not landed"), rewritten(table, chunk, kept, gone, fresh, frames) as made:
            read = True
            before = sum(file.rows for file in kept) + sum(each.landing.rows for one in moving for each in (one, *one.kept))
            left = before - sum(held.held for held in leaving)
            if len(kept) == len(files) and made.rows != left:
                raise BrokenPromise(  # noqa: TRY301
                    f"{spec.name} {chunk} would hold {made.rows:,} rows where {left:,} are accounted for; it was not committed and the lake is "
                    "unchanged. Run `workbench verify`."
                )
            return table.commit(landed, replace(made, removed=tuple(file.path for file in files)))
    except Exception:
        # As in `compact`. Once all is read, what goes wrong is the commit, which may stand.
        if read or all(file.path in table.snapshot().by_path for file in kept):
            raise
        table.discard(fresh)
        return ["overtaken"] * len(landed)


@contextmanager
def rewritten(
    table: LakeTable,
    chunk: str,
    files: Sequence[LiveFile],
    gone: Collection[cold.Given] = (),
    fresh: Sequence[NewFile] = (),
    frames: "Sequence[pl.DataFrame]" = (),
) -> Iterator[Rewrite]:
    """A chunk's rows in new cold files, in their places but not committed: live files' rows, less sessions that are gone, and fresh files'.

    A compaction's drafts stand in a folder named by what goes in, until the block ends: killed anywhere, a later run takes up the ranges
    that are done. A full disk keeps none. Fresh files have other names the next time, so that there is nothing to take up.
    """
    spec = table.table
    bounds = decided(table, [*(file.path for file in files), *(file.path for file in fresh)], frames)
    inputs = [*files, *map(as_live, fresh)]
    told = [spec.name, chunk, bounds, sorted(file.path for file in inputs), sorted(map(str, gone)), cold.LAYOUT]
    name = f"cold-{spec.name}-{chunk}-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}"
    with scratch(table.root) if fresh or frames else kept_drafts(table.root / "tmp" / name) as at:

        def make(n: int) -> cold.Written:
            low, high = cold.edges(bounds, n)
            old, young = (table.all_here(f.path for f in some if cold.touches(f, low, high)) for some in (inputs[:few], inputs[few:]))
            return cold.make(old, spec, chunk, bounds, n, gone, young, frames, rows // (len(bounds) + 1), at, table.folder)

        few, rows = len(files), sum(file.rows for file in inputs) + sum(map(len, frames))
        # Two ranges at once: the writer uses one core.
        pool = ThreadPoolExecutor(2, thread_name_prefix="cold")
        try:
            written = list(pool.map(make, range(len(bounds) + 1)))
        finally:
            pool.shutdown(cancel_futures=True)
        read = sum(one.read for one in written)
        added = tuple(one.file for one in written if one.file)
        if read != rows or (not gone and sum(file.rows for file in added) != rows):
            raise BrokenPromise(
                f"{spec.name} {chunk}: {read:,} rows were read from files that hold {rows:,}; nothing was committed and the lake is unchanged. "
                "Run `workbench verify`."
            )
        try:
            for file in added:
                target = table.folder / file.path
                draft = at / f"{file.bucket}.parquet"
                # A run that was killed between moving and committing has moved it already.
                if draft.exists():
                    place(draft, target)
                elif table.remote:
                    # Anew, for a vacuum of another machine goes by the object's age.
                    table.remote.upload(target, table.remote.name(target))
            yield Rewrite(chunk, tuple(file.path for file in files), added, bounds, sum(one.content for one in written) % 2**64)
        except Exception as fault:
            if fresh or frames or full_disk(fault):
                table.discard(added)
            raise


@contextmanager
def kept_drafts(at: Path) -> Iterator[Path]:
    """A folder for drafts, gone if the block ends well, the disk is full or a draft broke its promise; else it stays for a later run."""
    at.mkdir(parents=True, exist_ok=True)
    try:
        yield at
    except Exception as fault:
        if full_disk(fault) or isinstance(fault, BrokenPromise):
            shutil.rmtree(at, ignore_errors=True)
        raise
    shutil.rmtree(at, ignore_errors=True)


def decided(table: LakeTable, paths: Sequence[str], frames: "Sequence[pl.DataFrame]") -> tuple[str, ...]:
    """The table's ticker ranges; the first chunk that is written cold decides them, from some of its files."""
    bounds = table.snapshot().bounds
    if bounds is not None:
        return bounds
    some = table.all_here(paths[:: -(-len(paths) // SAMPLED_FILES) or 1])
    return table.set_bounds(cold.bounds_for(some, frames, table.table))


def spans(chunk: str, other: str) -> bool:
    """Whether a chunk is another one, or holds all of it."""
    (first, last), (start, end) = span_of(chunk), span_of(other)
    return first <= start and end <= last


def alias(one: Landed, held: Landing | None) -> bool:
    """Whether what landed are the bytes that the lake holds."""
    return held is not None and one.seen == held.version and one.landing.sha256 == held.sha256 and not one.mends


def part_of(landing: Landing) -> cold.Part:
    """The session, and venue, that a landing's rows are of."""
    return landing.session, venue_of(landing) or None


def cold_chunk(table: LakeTable, landing: Landing, shot: Snapshot | None = None) -> str | None:
    """The cold chunk that holds a landing's rows, in a version of the table (default: the newest); None while they stand in files of their own."""
    live = (shot or table.snapshot()).by_path
    if not landing.held or (landing.files and all(path in live for path in landing.files)):
        return None
    names = {table.table.chunk_of(landing.session, period) for period in table.table.chunks}
    return next((file.chunk for file in live.values() if file.bucket is not None and file.chunk in names), None)


def lost_landings(table: LakeTable) -> set[str]:
    """The keys of landed objects of which rows stood in files that are gone from the disk."""
    lost = table.lost()
    if not lost:
        return set()
    live = table.snapshot().by_path
    # What was replaced, and vacuumed, since the look is not lost.
    lost &= live.keys()
    chunks = {live[path].chunk for path in lost if live[path].bucket is not None}
    return {
        key
        for key, landing in table.landings().items()
        if not lost.isdisjoint(landing.files) or (landing.held and cold_chunk(table, landing) in chunks)
    }


@contextmanager
def alone(table: LakeTable) -> Iterator[None]:
    """One compaction of a table at a time. Raises `Busy`; the operating system frees the lock of a process that is killed."""
    path = table.root / "locks" / f"compact-{table.table.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as fault:
        raise Busy(f"{table.table.name} is being compacted by another process; nothing was done. Wait until it has finished.") from fault
