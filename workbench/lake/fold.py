"""The fold: what the journal holds of a table becomes rows of its Delta table, in one commit that says how far it came.

Killed anywhere, it leaves the journal as it was, or a commit whose number tells readers, and the next fold, which operations are in it already.
Files that it wrote and did not commit are orphans.
"""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from workbench.errors import Busy, LakeError
from workbench.lake import apart, record_files
from workbench.lake.delta import ATTEMPTS, pause
from workbench.lake.disk import disk, place, scratch, sync
from workbench.lake.hiding import candidates, left
from workbench.lake.operations import Operation, Operations
from workbench.lake.pending import State, decoded, schema
from workbench.lake.record_files import of_file, ranged, statistics, together
from workbench.lake.records import Added, Kept, RecordTable, lost, record_named
from workbench.tables.record import Record

if TYPE_CHECKING:
    import pyarrow as pa

# A table is folded when the journal holds so many rows of it, or one for so long.
DUE_ROWS, DUE_S = 10_000, 60.0
# More than so many files smaller than that are merged, as many as together are not larger than this.
MOST_SMALL, SMALL, MERGED = 8, 32 << 20, 64 << 20
# Nor have they more rows than that: a few bytes of a file may be a row, which takes a hundred in memory. Half as many are no small file.
MERGED_ROWS = 500_000
# Files in which rows are replaced go together with the new rows if they are no larger than this; a larger one is written anew by itself.
ASIDE = 8 << 20
# A fold takes in so many operations at once.
MOST = 200_000


@dataclass(frozen=True)
class Folded:
    """What a fold did: how many operations it took in, of how many rows and keys, and how many files it added and took out."""

    table: str
    operations: int = 0
    rows: int = 0
    files: int = 0
    removed: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Folded") -> "Folded":
        told = zip(astuple(self)[1:], astuple(other)[1:], strict=True)
        return Folded(self.table, *(one + more for one, more in told))


def fold(root: Path, record: Record, journal: Operations | None = None) -> Folded | None:
    """Fold what the journal holds of a table into its Delta table; None if there is nothing, or if another is at it.

    Raises `LakeError` for a full or forbidden disk and for a table that has lost what was folded, and `Busy` if others won every attempt to commit; the
    journal keeps everything then.
    """
    ours = journal or Operations(root)
    try:
        if record.full not in ours.held():
            return None
        with folding(root, record.full) as alone:
            return folded(ours, RecordTable(root, record)) if alone else None
    finally:
        if journal is None:
            ours.close()


def fold_due(root: Path, journal: Operations | None = None) -> list[Folded]:
    """Fold every table of which the journal holds many rows, or one for long."""
    return fold_all(root, journal, due=True)


def fold_all(root: Path, journal: Operations | None = None, *, due: bool = False) -> list[Folded]:
    """Fold every table of which the journal holds anything. Raises as `fold` does, once the other tables are folded."""
    ours, done, fault = journal or Operations(root), [], None
    try:
        since = (time.time() - DUE_S) * 1_000_000
        for name, (count, at) in ours.held().items():
            record = record_named(root, name)
            if record is None or (due and count < DUE_ROWS and at > since):
                continue
            try:
                done.append(fold(root, record, ours))
            except Exception as one:
                fault = fault or one
    finally:
        if journal is None:
            ours.close()
    if fault:
        raise fault
    return [one for one in done if one]


@contextmanager
def folding(root: Path, name: str) -> Iterator[bool]:
    """Be the one who folds a table until the block ends; False if somebody else is."""
    path = root / "locks" / f"fold-{name}.lock"
    with disk(root, f"{name} was not folded"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
    try:
        yield True
    finally:
        lock.release()


def folded(journal: Operations, table: RecordTable) -> Folded | None:
    """Fold a table, anew for each commit of another's in between."""
    name, total, before = table.name, Folded(table.name), 0
    for attempt in range(ATTEMPTS):
        shot, id = table.snapshot(), journal.id
        if before > shot.folded(id):
            raise LakeError(lost(journal.path, name, "nothing was folded"))
        held = journal.pending({name: shot.folded(id)})
        if held.id != id:
            before = 0
            continue
        if held.folded.get(name, 0) > shot.folded(id):
            # The look at the table may be older than that at the journal, where locks hold nobody off: the next look at it cannot be.
            before = held.folded[name]
            continue
        operations = held.operations.get(name, ())[:MOST]
        if operations:
            # A loss of power after the commit must not take these back: their numbers would be given to others, which would count as folded.
            journal.keep()
            done = committed(table, shot, operations, journal)
            if done is None:
                pause(attempt)
                continue
            total += done
        # Another fold may have been killed after its commit, and have left its operations.
        journal.fold(name, operations[-1].seq if operations else shot.folded(id))
        if len(held.operations.get(name, ())) <= MOST:
            return total if total.operations else None
    raise Busy(f"{name}: other writers won {ATTEMPTS} attempts to commit. The journal keeps its rows; they are folded later.")


# ---------------------------------------------------------------------- one commit


@dataclass
class Layout:
    """What becomes of a table's files: those that go, those that rows of the journal already stand in, and rows that are written."""

    removed: list[str] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    written: "list[pa.Table]" = field(default_factory=list)


def committed(table: RecordTable, shot: Kept, operations: Sequence[Operation], ours: Operations) -> Folded | None:
    """Commit what operations make of a table after a version; None, and nothing left of it, if another writer was first."""
    began, name, journal = time.monotonic(), table.name, ours.id
    state = decoded(table.record, operations, table.root)
    with disk(table.root, f"{name} was not folded"), scratch(table.root) as drafts:
        if shot.version < 0:
            table.make(schema(table.record))
            shot = table.snapshot()
            if shot.version != 0:
                return None
        if table.remote:
            # Other machines have journals of their own, over which nothing here was decided.
            state, odd = apart.parted(table, shot, state, operations, journal)
            apart.keep(ours, name, shot.folded(journal), odd)
        layout = laid(table, shot, state)
        added: list[Added] = []
        done = False
        try:
            added.extend(put(table, shot, drafts, rows) for rows in layout.written)
            added.extend(linked(table, shot, drafts, path) for path in layout.linked)
            if added and not table.remote:
                sync(table.folder)
            done = table.commit(shot, added, layout.removed, journal, operations[-1].seq)
        finally:
            # A commit that stands keeps its files, even where the disk did not say that it has it.
            if not done and not table.told(shot.version + 1, journal, operations[-1].seq):
                for one in added:
                    table.drop(one.path)
        if not done:
            return None
    for body in (operation.body for operation in operations if operation.kind in ("puts", "deletes")):
        # Who has read the journal before may still read these; they are removed when they have not been touched for long.
        with suppress(OSError):
            os.utime(body or "")
    rows = sum(one.count for one in operations)
    return Folded(name, len(operations), rows, len(added), len(layout.removed), time.monotonic() - began)


def laid(table: RecordTable, shot: Kept, state: State) -> Layout:
    """What becomes of a version's files when a state is laid over them."""
    sizes = dict(zip(*(shot.stats[name].to_pylist() for name in ("path", "size")), strict=True)) if shot.stats else {}
    found, parts = Layout(), []
    if state.cleared:
        found.removed, sizes = list(sizes), {}
    elif state.hidden is not None:
        for path in candidates(table, shot, state.hidden):
            rows = left(table, path, state.hidden)
            if rows is None:
                continue
            found.removed.append(path)
            if sizes.pop(path) <= ASIDE:
                parts.append(rows)
            elif len(rows):
                found.written.append(rows)
    found.linked = [Path(name) for name in state.files]
    counts = dict(zip(*(shot.stats[name].to_pylist() for name in ("path", "rows")), strict=True)) if shot.stats else {}
    held = {table.folder / path: (size, counts[path]) for path, size in sizes.items()}
    held |= {file: (file.stat().st_size, record_files.count(file)) for file in found.linked}
    for file in merging({file: one for file, one in held.items() if one[0] < SMALL and one[1] < MERGED_ROWS // 2}):
        if file in found.linked:
            parts.append(record_files.read(file))
            found.linked.remove(file)
        else:
            path = file.relative_to(table.folder).as_posix()
            parts.append(record_files.read(table.here(path)))
            found.removed.append(path)
    if state.rows is not None:
        parts.append(state.rows)
    if rows_of := [part for part in parts if len(part)]:
        found.written.append(together(table.record, rows_of))
    return found


def merging(small: dict[Path, tuple[int, int]]) -> list[Path]:
    """The small files to merge where there are many: the smallest of them, in the order of their names, so that no row is written again often.

    Of each its size and number of rows are told.
    """
    if len(small) <= MOST_SMALL:
        return []
    chosen, total, rows = [], 0, 0
    for path, (size, count) in sorted(small.items(), key=lambda pair: pair[1])[: len(small) - MOST_SMALL // 2]:
        total, rows = total + size, rows + count
        if total <= MERGED and rows <= MERGED_ROWS:
            chosen.append(path)
    return sorted(chosen, key=lambda path: path.name) if len(chosen) > 1 else []


def put(table: RecordTable, shot: Kept, drafts: Path, rows: "pa.Table") -> Added:
    """Write rows into a file in its place."""
    path = table.name_for(shot.version + 1)
    record_files.write(rows, drafts / path)
    size = (drafts / path).stat().st_size
    place(drafts / path, table.folder / path)
    return Added(path, size, statistics(rows, ranged(table.record)))


def linked(table: RecordTable, shot: Kept, drafts: Path, source: Path) -> Added:
    """Give a file of the journal a place in the table, too: readers of the journal may still read it in its own."""
    path = table.name_for(shot.version + 1)
    linked = False
    if not table.remote:
        # Not every disk links.
        with suppress(OSError):
            os.link(source, table.folder / path)
            linked = True
    if not linked:
        shutil.copyfile(source, drafts / path)
        sync(drafts / path)
        place(drafts / path, table.folder / path)
    return Added(path, source.stat().st_size, of_file(table.record, source))
