"""How far imports of old databases have come: kept in the journal's own file, so that a position moves in the very transaction of the rows up to it."""

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from workbench.lake.operations import File

Value = int | date | datetime | str

COLUMNS = "source, theirs, ours, of, value, rows, at"
KEEP = (
    f"INSERT INTO imports ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, theirs, ours) DO UPDATE SET "
    "of = excluded.of, value = excluded.value, rows = imports.rows + excluded.rows, at = excluded.at"
)


@dataclass(frozen=True)
class Position:
    """How far a table of a source has come in: the greatest value of one of its columns, under which all rows are in.

    `source` is the source's label, which holds no password; `theirs` and `ours` are the table's names there and here, `column` is theirs.
    """

    source: str
    theirs: str
    ours: str
    column: str
    value: Value


@dataclass(frozen=True)
class Kept(Position):
    """A position as it stands: `rows` were brought in by all imports so far, the newest at an instant."""

    rows: int = 0
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)


def keep(con: sqlite3.Connection, position: Position, rows: int = 0) -> None:
    """Move a position to a value, within a transaction of the journal's (`Within.write.con`), which brought so many rows in."""
    told = (position.source, position.theirs, position.ours, position.column, text_of(position.value))
    con.execute(KEEP, (*told, rows, time.time_ns() // 1000))


def forget(con: sqlite3.Connection, ours: str) -> None:
    """Have the next import of one of our tables bring all of it, since it was emptied."""
    con.execute("DELETE FROM imports WHERE ours = ?", (ours,))


def positions(root: Path) -> list[Kept]:
    """How far every table came, as of now, by source, table there and table here. Raises `LakeError` as the journal does."""
    return read(root, "ORDER BY source, theirs, ours")


def kept(root: Path, source: str, theirs: str, ours: str) -> Kept | None:
    """How far a table of a source came in one of ours; None if it never did, or if ours was emptied since."""
    found = read(root, "WHERE source = ? AND theirs = ? AND ours = ?", (source, theirs, ours))
    return found[0] if found else None


def read(root: Path, which: str, values: Sequence[str] = ()) -> list[Kept]:
    """Some positions."""
    file = File(root, "records")
    try:
        found = file._asked(lambda con: con.execute(f"SELECT {COLUMNS} FROM imports {which}", values).fetchall(), "nothing was read")
    finally:
        file.close()
    return [
        Kept(source, theirs, ours, column, value_of(value), rows, datetime.fromtimestamp(at / 1_000_000, UTC))
        for source, theirs, ours, column, value, rows, at in found or ()
    ]


# ---------------------------------------------------------------------- values


def text_of(value: Value) -> str:
    """A value as JSON with its type."""
    match value:
        case datetime():
            # A time without a zone stays one: its source has none either.
            return json.dumps({"time": value.isoformat()})
        case date():
            return json.dumps({"date": value.isoformat()})
        case int() | str():
            return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"no position is a {type(value).__name__}")


def value_of(text: str) -> Value:
    """A value of its JSON."""
    told = json.loads(text)
    if isinstance(told, dict):
        [(kind, value)] = told.items()
        return datetime.fromisoformat(value) if kind == "time" else date.fromisoformat(value)
    found: int | str = told
    return found
