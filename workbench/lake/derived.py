"""Tables that the lake makes of others, session by session: a file for each chunk, in which sessions that were made anew take the place of what was there."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from workbench import __version__
from workbench.errors import WorkbenchError
from workbench.lake import cold
from workbench.lake.disk import disk, place, scratch
from workbench.lake.landings import Landed, Landing, Rewrite
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import LakeTable, utc_now
from workbench.lake.tiering import spans
from workbench.tables.spec import span_of

# Writes the rows of some sessions into a folder: gives the drafts, and how many rows each session has.
Make = Callable[[Sequence[date], Path], tuple[Sequence[Path], dict[date, int]]]
# The landing record of a session, given its rows, and whether files that held them are gone from the disk.
Record = Callable[[date, int, bool], Landed]


@contextmanager
def leaving(looked: Iterable[tuple[LakeTable, Snapshot]]) -> Iterator[None]:
    """Leave to the next run what others replaced, and vacuumed, while it was read; `looked` is what is read, at which version."""
    try:
        yield
    except WorkbenchError:
        raise
    except Exception:
        # Of whatever kind: engines tell of a file that is gone each in their own way. What is a fault of ours is raised as it came.
        if all(shot.paths <= table.snapshot().paths for table, shot in looked):
            raise


def rewrite(table: LakeTable, chunk: str, days: Collection[date], good: Collection[date], make: Make, record: Record, wide: int = 1) -> int:
    """Put one file in the place of a chunk's, with some sessions made anew; gives how many of them were committed.

    Without sessions, the chunk's files become one. `good` are the sessions that stand in the table as they should: where a file is gone from the disk, those
    that it held are made anew, too. `wide` says how many times as wide as a bar a row is. What others commit meanwhile has nothing done.
    """
    lost, spec = table.lost(), table.table
    shot = table.snapshot()
    before = [file for file in shot.files if spans(chunk, file.chunk) or spans(file.chunk, chunk)]
    chunk = max([chunk, *(file.chunk for file in before)], key=lambda one: span_of(one)[1] - span_of(one)[0])
    before = [file for file in shot.files if spans(chunk, file.chunk)]
    kept = [file for file in before if file.path not in lost]
    missed = [file for file in before if file.path in lost]
    asked = {*days, *(day for day in good if any(file.first <= day <= file.last for file in missed))}
    with disk(table.root, f"{spec.name} {chunk} was not brought up to date"), scratch(table.root) as at:
        drafts, counts = make(sorted(asked), at)
        landed = [record(day, counts.get(day, 0), bool(missed)) for day in sorted(asked)]
        known = table.landings(shot.version)
        # Sessions that the table has no rows of have none to leave out.
        gone: list[cold.Part] = [(one.landing.session, None) for one in landed if kept and one.landing.key in known]
        rows = wide * (sum(file.rows for file in kept) + sum(counts.values()))
        made = cold.make(table.all_here(file.path for file in kept), spec, chunk, (), 0, gone, drafts, (), rows, at, table.folder)
        if made.file:
            place(at / "00.parquet", table.folder / made.file.path)
        files = (made.file,) if made.file else ()
        whole = Rewrite(chunk, tuple(file.path for file in before), files, (), made.content)
        if not landed:
            table.rewrite(whole)
            return 0
        outcomes = table.commit(landed, whole)
    return sum(outcome in ("landed", "replaced") for outcome in outcomes)


def record_of(table: LakeTable, key: str, told: str, day: date, rows: int, seen: int, *, mends: bool, of: str = "") -> Landed:
    """The landing record of a session's rows, of which `told` tells what they were made of, and `of` the same without how; `seen` is its version until now."""
    landing = Landing(
        key=key,
        etag=told,
        size=0,
        sha256=of or told,
        table=table.table.name,
        session=day,
        source="workbench",
        version=seen + 1,
        rows_in=rows,
        rows=rows,
        quarantined=0,
        reasons={},
        files=(),
        library=__version__,
        landed_at=utc_now(),
    )
    return Landed(landing, (), seen, mends=mends)
