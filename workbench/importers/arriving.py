"""Rows of an import beside those that are there: new ones are appended, others replaced where they differ, and the position moves in the same transaction.

What a row breaks keeps it out, and only it: rows are judged as if they came one after another, so that it makes no difference how they are cut into batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.importers.meeting import Meeting, Met
from workbench.lake import imports
from workbench.lake.disk import disk
from workbench.lake.imports import Position
from workbench.query.ledger import LARGE, Within, written_out
from workbench.query.provenance import DEFINITIONS, VERSION
from workbench.tables.record import Field, Record

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.query.ledger import Ledger

# So many batches are folded together.
FILES = 10
# How often rows are compared anew that others were quicker than, before all is done in a transaction.
ATTEMPTS = 2


class Bench(Protocol):
    """What an import needs of a bench."""

    @property
    def ledger(self) -> "Ledger":
        """What rows are written by."""

    def _expect_writable(self, what: str) -> None: ...


@dataclass(frozen=True)
class Landed:
    """What became of rows: each is new, changed, unchanged or rejected; `rejected` are the numbers of these, each with what is wrong with it."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: Sequence[tuple[int, str]] = field(default_factory=tuple)


def arrive(
    bench: Bench,
    record: Record,
    rows: "pa.Table",
    identity: tuple[str, ...],
    *,
    loaded_from: str,
    ordered_by: str = "",
    position: Position | None = None,
) -> Landed:
    """Bring rows into a table, as `taken` gives them, and move a position; all of it in one transaction.

    `identity` tells rows apart (`identity.identity`); the newer of two of the same stands. Without one, rows are compared whole, those of equal values
    by their number: then all rows of one value of `ordered_by` come in one batch (`grouped`), or without it all rows of the table.
    `loaded_from` stands in the column of that name where rows have none. Raises `LakeError` and `Busy` as the verbs do; nothing is written then.
    """
    bench._expect_writable(record.full)
    ledger = bench.ledger
    filling = ledger.filling(record, loaded_from=loaded_from)
    meeting = Meeting(record, rows, identity, filling, ordered_by)
    attempts = ATTEMPTS if len(rows) >= LARGE else 0
    for _ in range(attempts):
        if landed := ahead(ledger, meeting, position):
            return landed
    with ledger.writing(record.full) as within:
        met = meeting.met(within.there, ledger.records(), within.numbering(record))
        landed = written(within, record, met, position)
    settle(ledger, record, within)
    return landed


def ahead(ledger: "Ledger", meeting: Meeting, position: Position | None) -> Landed | None:
    """Bring rows in that are compared, and written to files, before the transaction, which holds out all other writers; None if one was quicker."""
    record, records = meeting.record, ledger.records()
    names = [record.full, *(one.table for one in record.references)]
    if VERSION in record.names and (definitions := f"{record.schema}.{DEFINITIONS}") in records:
        names.append(definitions)
    with ledger.writing(record.full) as within:
        looks = {name: within.there(name) for name in names}
        before = stamp(within, names)
    files: list[Path] = []
    try:
        met = meeting.met(looks.__getitem__, records, partial(numbers, ledger, record))
        made: list[Path | None] = [None, None]
        with disk(ledger.root, f"nothing was written to {record.full}"):
            for n, some in enumerate((met.changed, met.new)):
                if len(some) >= LARGE:
                    files.append(written_out(ledger.operations.rows, some))
                    made[n] = files[-1]
        with ledger.writing(record.full) as within:
            if stamp(within, names) != before:
                return None
            # From here on they go, or stay, with the transaction.
            while files:
                within.keeps(files.pop())
            landed = written(within, record, met, position, *made)
    finally:
        for path in files:
            path.unlink(missing_ok=True)
    settle(ledger, record, within)
    return landed


def stamp(within: Within, names: Iterable[str]) -> tuple[object, ...]:
    """What changes with every write to some tables."""
    return within.write.id, *(within.newest(name) for name in names)


def numbers(ledger: "Ledger", record: Record, column: Field, count: int, least: int) -> int:
    """Fresh numbers, in a transaction of their own."""
    with ledger.writing(record.full) as within:
        return within.number(record, column, count, least)


def written(
    within: Within, record: Record, met: Met, position: Position | None, changed: "Path | None" = None, new: "Path | None" = None
) -> Landed:
    """Write down what is to be written, and the position; files have the rows already where they are many."""
    within.put(record, met.changed, replaces=True, file=changed)
    within.put(record, met.new, replaces=False, file=new)
    if position:
        imports.keep(within.write.con, position, len(met.new))
    return Landed(*met.counts, met.rejected)


def settle(ledger: "Ledger", record: Record, within: Within) -> None:
    """Fold what an import wrote once the journal holds some files of it: of each fold a file is made that is merged no more."""
    import pyarrow as pa

    if not within.written:
        return
    held = ledger.operations.pending({record.full: 0}).operations.get(record.full, ())
    if sum(one.kind == "puts" for one in held) >= FILES:
        # What the batches took is given back before a fold takes memory for ten of them.
        pa.default_memory_pool().release_unused()
        ledger.settle(within)
    else:
        ledger.folder.wrote(record.full, 1 if record.full in within.filed else within.written[record.full])


def grouped(batches: "Iterable[pa.Table]", column: str) -> "Iterator[pa.Table]":
    """Tables that come in the order of a column, cut anew where its value changes; all in one without a column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held: list[pa.Table] = []
    for rows in batches:
        if not len(rows):
            continue
        if column:
            last = rows[column][-1]
            same = pc.fill_null(pc.equal(rows[column], last), False) if last.is_valid else pc.is_null(rows[column])
            before = len(rows) - pc.sum(same).as_py()
            if before and held:
                first: Any = rows.slice(0, before)
                yield pa.concat_tables([*held, first])
                held, rows = [], rows.slice(before)
            elif before:
                yield rows.slice(0, before)
                rows = rows.slice(before)
        held.append(rows)
    if held:
        yield pa.concat_tables(held)
