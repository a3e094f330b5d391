"""Rows in the records' journal and out of it, for tests: written as its callers write them, and read as any reader must see them."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.lake import record_files
from workbench.lake.operations import Operations, Write, key_text
from workbench.lake.pending import decoded, encode, schema
from workbench.lake.records import RecordTable
from workbench.tables.record import Field, Record

Row = Mapping[str, Any]

# Small tables of our own: keyed by text and a time, with a unique number; keyed by a number; and without any key.
TICKS = Record(
    "derived",
    "ticks",
    "Ticks of a test.",
    (
        Field("symbol", "VARCHAR", "Whose."),
        Field("at", "TIMESTAMPTZ", "When."),
        Field("n", "BIGINT", "A number of its own.", required=False),
        Field("price", "DECIMAL(20,8)", "How much."),
        Field("tags", "MAP(VARCHAR, DOUBLE)", "More.", required=False),
    ),
    key=("symbol", "at"),
    unique=(("n",),),
)
NUMBERED = Record("derived", "numbered", "Numbered rows.", (Field("id", "BIGINT", "Which."), Field("x", "VARCHAR", "What.")), key=("id",))
NOTES = Record("derived", "notes", "Rows without a key.", (Field("text", "VARCHAR", "What."),))


def key_of(record: Record, row: Row) -> str | None:
    return key_text([row[name] for name in record.key]) if record.key else None


def put(write: Write, record: Record, row: Row, *, replaces: bool = False) -> None:
    write.add(record.full, "put", key=key_of(record, row), body=encode(record, row), replaces=replaces)


def puts(write: Write, record: Record, rows: Sequence[Row], *, replaces: bool = False) -> Path:
    path = filed(
        write.root, pa.Table.from_pylist([{one.name: row.get(one.name) for one in record.columns} for row in rows], schema(record))
    )
    write.add(record.full, "puts", body=str(path), count=len(rows), replaces=replaces)
    return path


def filed(root: Path, rows: pa.Table) -> Path:
    path = root / "journal" / "rows" / f"{uuid.uuid4().hex}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    record_files.write(rows, path)
    return path


def deletes(write: Write, record: Record, rows: Sequence[Row]) -> None:
    keys = pa.Table.from_pylist([{name: row[name] for name in record.key} for row in rows])
    path = filed(write.root, keys.cast(pa.schema([schema(record).field(name) for name in record.key])))
    write.add(record.full, "deletes", body=str(path), count=len(rows))


def delete(write: Write, record: Record, row: Row) -> None:
    write.add(record.full, "delete", key=key_of(record, row))


def seen(root: Path, record: Record) -> list[Row]:
    """The rows of a table, as whoever reads it now must see them, in the order of their texts."""
    journal, table = Operations(root), RecordTable(root, record)
    shot = table.snapshot()
    held = journal.pending({record.full: shot.folded(journal.id)})
    journal.close()
    assert held.folded.get(record.full, 0) <= shot.folded(held.id)
    state = decoded(record, held.operations.get(record.full, ()), root)
    rows = [] if state.cleared else [row for path in table.paths(shot) for row in record_files.read(path).to_pylist()]
    hidden = {key_of(record, row) for row in state.hidden.to_pylist()} if state.hidden is not None else set()
    rows = [row for row in rows if key_of(record, row) not in hidden or not record.key]
    rows += [row for path in state.files for row in record_files.read(path).to_pylist()]
    rows += state.rows.to_pylist() if state.rows is not None else []
    return sorted(rows, key=repr)
