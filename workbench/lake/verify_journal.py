"""The records' journal against itself and against the tables that it is folded into: what was acknowledged and not folded stands nowhere else."""

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from workbench.errors import LakeError, WorkbenchError
from workbench.lake import apart
from workbench.lake.files import Finding
from workbench.lake.operations import Operation, Operations, Pending
from workbench.lake.pending import State, decoded
from workbench.lake.record_files import read
from workbench.lake.records import Kept, RecordTable, record_named
from workbench.tables.record import Record

NAME = "journal"
REMEDY = "bring it back from a backup: what people wrote and was not folded yet stands nowhere else"


def findings(root: Path, names: Collection[str] | None = None, *, deep: bool) -> Iterator[Finding]:
    """What is wrong with the journal, and with what it holds of some tables (default: all); `deep` reads every row in it."""
    journal = Operations(root)
    try:
        yield from of(journal, names, deep=deep)
    except (WorkbenchError, sqlite3.Error) as fault:
        yield Finding(NAME, "journal", "fault", str(journal.path), str(fault), REMEDY)
    finally:
        journal.close()


def of(journal: Operations, chosen: Collection[str] | None, *, deep: bool) -> Iterator[Finding]:
    """What is wrong with an open journal."""
    if not journal.path.exists():
        return
    if damage := journal.damage(deep=deep):
        yield Finding(NAME, "journal", "fault", str(journal.path), f"it is damaged: {damage}", REMEDY)
        return
    if odd := apart.kept(journal):
        mend = "look at them with `workbench fold --apart`, and write again what is to stand"
        yield Finding(NAME, "apart", "note", odd[0].name, apart.said(odd), mend)
    names = journal.held().keys() | journal.pending({}).folded.keys()
    for name in sorted(names if chosen is None else names & set(chosen)):
        record = record_named(journal.root, name)
        if record is None:
            what = f"it holds rows of {name}, a table that this version of the library does not know"
            yield Finding(NAME, "journal", "note", name, what, "open the lake with the version that wrote them")
            continue
        yield from of_table(journal, record, deep=deep)


def of_table(journal: Operations, record: Record, *, deep: bool) -> Iterator[Finding]:
    """What is wrong with what the journal holds of a table."""
    name, table = record.full, RecordTable(journal.root, record)
    try:
        held, shot = moment(journal, table)
    except WorkbenchError:
        # The table's own log is damaged, which is a finding of the table's.
        return
    folded = shot.folded(held.id)
    if held.folded.get(name, 0) > folded:
        what = f"the journal folded operations up to {held.folded[name]:,} into {name}, and its newest version holds those up to {folded:,}"
        yield Finding(NAME, "folded", "fault", name, what, f"bring the folder of {name} back from a backup")
    operations = held.operations.get(name, ())
    odd = [finding for one in operations if (finding := odd_file(journal, one))]
    yield from odd
    if odd or not deep:
        return
    try:
        state = decoded(record, operations, journal.root)
    except LakeError as fault:
        what = f"an operation on {name} cannot be read: {str(fault.__cause__).splitlines()[0]}"
        yield Finding(NAME, "operations", "fault", name, what, REMEDY)
        return
    if operations:
        yield from twice(table, shot, state)


def twice(table: RecordTable, shot: Kept, state: State) -> Iterator[Finding]:
    """Keys, and values that should be unique, that stand in several of the rows that a reader sees with the journal laid over the table."""
    import polars as pl

    for columns in filter(None, (table.record.key, *table.record.unique)):
        wanted = list(dict.fromkeys((*columns, *table.record.key)))
        there = sorted(shot.paths - table.lost())
        parts = [] if state.cleared else [pl.DataFrame(read(path, wanted)) for path in table.all_here(there)]
        if state.hidden is not None:
            hidden = pl.DataFrame(state.hidden)
            parts = [part.join(hidden, on=hidden.columns, how="anti") for part in parts]
        parts += [pl.DataFrame(read(path, wanted)) for path in state.files]
        parts += [pl.DataFrame(state.rows.select(wanted))] if state.rows is not None else []
        rows = pl.concat(parts).select(columns).drop_nulls() if parts else pl.DataFrame()
        if several := rows.group_by(columns).len().filter(pl.col("len") > 1).height if len(rows) else 0:
            what = f"values of {', '.join(columns)} that stand in several rows of {table.name}: {several:,}"
            yield Finding(NAME, "keys", "fault", table.name, what, "delete the rows that are too many, or upsert one in their place")


def moment(journal: Operations, table: RecordTable) -> tuple[Pending, Kept]:
    """What the journal holds of a table, and the version that it is laid over: of one moment, where others fold meanwhile."""
    for _ in range(3):
        id = journal.id
        shot = table.snapshot()
        held = journal.pending({table.name: shot.folded(id)})
        if held.folded.get(table.name, 0) <= shot.folded(id):
            break
    return held, shot


def odd_file(journal: Operations, one: Operation) -> Finding | None:
    """What is wrong with the file that an operation names, if it names one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if one.kind not in ("puts", "deletes"):
        return None
    what = ""
    try:
        rows = pq.read_metadata(one.body).num_rows
        what = f"it has {rows:,} rows, and the journal says {one.count:,}" if rows != one.count else ""
    except FileNotFoundError:
        # Another's fold may have taken the operation in, and long enough ago for its file to be gone.
        what = "it is gone" if Path(one.body or "") in journal.files() else ""
    except (pa.ArrowException, OSError) as fault:
        what = f"it cannot be read: {str(fault).splitlines()[0]}"
    return Finding(NAME, "file", "fault", str(one.body), what, REMEDY) if what else None
