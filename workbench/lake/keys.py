"""The keys of tables as the writers of single rows look them up: in the journal's own file, so that they are kept in the very transaction of the row.

An index holds the values of some columns of every row that a reader would see, as texts (`key_text`); rows in which one of them is NULL have none. It is
built when it is first asked for. A fold changes no row, so that it stays; any other commit to the Delta table has it built anew.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.lake import record_files
from workbench.lake.history import lines
from workbench.lake.operations import FOLDS, Write, key_text, newest
from workbench.lake.pending import decoded
from workbench.lake.records import RecordTable
from workbench.tables.record import Record

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# SQLite takes so many values in one statement.
AT_ONCE = 500
# What JSON writes otherwise than as it is; and the first year that has four digits.
ESCAPED = r'["\\\x00-\x1f]'
LEAST_YEAR = 1000


def known(write: Write, record: Record, columns: Sequence[str], keys: Iterable[str]) -> set[str]:
    """Which of some keys are there already, this transaction's own with them."""
    id, asked = index(write, record, columns), list(keys)
    found: set[str] = set()
    for at in range(0, len(asked), AT_ONCE):
        some = asked[at : at + AT_ONCE]
        query = f"SELECT key FROM keys_{id} WHERE key IN ({', '.join('?' * len(some))})"
        found.update(key for (key,) in write.con.execute(query, some))
    return found


def admit(write: Write, record: Record, columns: Sequence[str], keys: Iterable[str]) -> None:
    """Take in the keys of rows that are written, where there is an index of these columns."""
    if id := existing(write, record, columns):
        write.con.executemany(f"INSERT OR IGNORE INTO keys_{id[0]} VALUES (?)", ((key,) for key in keys))


def retire(write: Write, record: Record, columns: Sequence[str], keys: Iterable[str]) -> None:
    """Take out the keys of rows that are no more, where there is an index of these columns."""
    if id := existing(write, record, columns):
        write.con.executemany(f"DELETE FROM keys_{id[0]} WHERE key = ?", ((key,) for key in keys))


def drop(write: Write, record: Record) -> None:
    """Forget the keys of a table: what is written now is not told to them. They are built anew when they are asked for."""
    for (id,) in write.con.execute("SELECT id FROM indexes WHERE name = ?", (record.full,)).fetchall():
        forget(write.con, id)


# ---------------------------------------------------------------------- an index


def existing(write: Write, record: Record, columns: Sequence[str]) -> tuple[int, int] | None:
    """The number of an index, and the version of the table that it was last compared with; None if there is none."""
    query = "SELECT id, version FROM indexes WHERE name = ? AND columns = ?"
    found: tuple[int, int] | None = write.con.execute(query, (record.full, json.dumps(columns))).fetchone()
    return found


def index(write: Write, record: Record, columns: Sequence[str]) -> int:
    """The number of an index of what is there now."""
    write.expect_level(record.full)
    if found := existing(write, record, columns):
        id, version = found
        at = followed(write, record, version)
        if at == version:
            return id
        if at is not None:
            write.con.execute("UPDATE indexes SET version = ? WHERE id = ?", (at, id))
            return id
        forget(write.con, id)
    return build(write, record, columns)


def forget(con: sqlite3.Connection, id: int) -> None:
    """Remove an index."""
    con.execute(f"DROP TABLE IF EXISTS keys_{id}")
    con.execute("DELETE FROM indexes WHERE id = ?", (id,))


def followed(write: Write, record: Record, version: int) -> int | None:
    """The newest version of a table, if all commits since one left its rows as the journal knows them; None otherwise."""
    log = RecordTable.log_of(write.root, record.full)
    if version != -1 and not os.path.exists(f"{log}/{version:020}.json"):  # noqa: PTH110
        return None
    while os.path.exists(path := f"{log}/{version + 1:020}.json"):  # noqa: PTH110
        if not harmless(write, record, path):
            return None
        version += 1
    return version


def harmless(write: Write, record: Record, path: str) -> bool:
    """Whether a commit changed no rows, or folded what this journal has told its indexes."""
    actions = list(lines(Path(path)))
    folds = [one["txn"]["version"] for one in actions if one.get("txn", {}).get("appId") == f"{FOLDS}{write.id}"]
    # A journal that came from a backup has not seen all that it once wrote.
    return any(upto <= newest(write.con, record.full) for upto in folds) or not any("add" in one or "remove" in one for one in actions)


def build(write: Write, record: Record, columns: Sequence[str]) -> int:
    """Make an index of the rows that a reader would see in this transaction."""
    table = RecordTable(write.root, record)
    shot = table.snapshot()
    state = decoded(record, write.pending(record.full, shot.folded(write.id)), write.root)
    wanted = list(dict.fromkeys((*columns, *record.key)))
    parts = [] if state.cleared else [record_files.read(path, wanted) for path in table.all_here(sorted(shot.paths))]
    if state.hidden is not None:
        parts = [without(part, state.hidden, record.key) for part in parts]
    parts += [record_files.read(path, wanted) for path in state.files]
    parts += [state.rows.select(wanted)] if state.rows is not None else []
    con, told = write.con, (record.full, json.dumps(columns), shot.version)
    con.execute("INSERT INTO indexes (name, columns, version) VALUES (?, ?, ?)", told)
    [(id,)] = con.execute("SELECT last_insert_rowid()").fetchall()
    con.execute(f"CREATE TABLE keys_{id} (key TEXT PRIMARY KEY) WITHOUT ROWID")
    # In their order, which is how the table keeps them.
    found = sorted(key for part in parts for key in texts(part.select(list(columns))))
    con.executemany(f"INSERT OR IGNORE INTO keys_{id} VALUES (?)", ((key,) for key in found))
    return int(id)


def without(rows: "pa.Table", hidden: "pa.Table", key: Sequence[str]) -> "pa.Table":
    """Rows whose keys are not hidden."""
    import polars as pl

    told: pa.Table = pl.DataFrame(rows).join(pl.DataFrame(hidden), on=list(key), how="anti").to_arrow()
    return told


def texts(rows: "pa.Table") -> list[str]:
    """The texts of keys, as `key_text` gives them, of the rows that have no NULL."""
    import polars as pl

    frame = pl.DataFrame(rows).drop_nulls()
    shapes = [json_of(frame[name]) for name in frame.columns]
    if any(one is None for one in shapes):
        return [key_text(row) for row in frame.rows()]
    pattern = f"[{','.join(['{}'] * len(shapes))}]"
    return frame.select(pl.format(pattern, *shapes))[:, 0].to_list()


def json_of(column: "pl.Series") -> "pl.Series | None":
    """The JSON of a column's values, a whole column at once; None where each must be written by itself."""
    import polars as pl

    if column.dtype.is_integer():
        return column.cast(pl.String)
    if column.dtype == pl.String:
        return None if column.str.contains(ESCAPED).any() else '"' + column + '"'
    if isinstance(column.dtype, pl.Datetime) and not (column.dt.year() < LEAST_YEAR).any():
        return column.dt.strftime('"%Y-%m-%dT%H:%M:%S%.6f+00:00"')
    return None
