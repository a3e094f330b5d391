"""Rows of this machine whose keys, or unique values, another has committed first: decided over what each machine saw, both were fresh, and only one can stand.

What is committed stands. A row that says the same is left out; one that says otherwise is set apart in the journal, where `health`, `verify` and
`workbench fold` tell of it, and whoever waits for the commit (`durable=True`) is told at once.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from workbench.lake import record_files
from workbench.lake.hiding import candidates
from workbench.lake.history import lines
from workbench.lake.operations import FOLDS, Operation, Operations, key_text
from workbench.lake.pending import State, encode

if TYPE_CHECKING:
    import sqlite3

    import polars as pl
    import pyarrow as pa

    from workbench.lake.records import Kept, RecordTable

LOG = logging.getLogger("workbench.lake")
# A commit of our own so much older than a write was seen by whoever wrote.
SEEN_S = 120.0
# So many commits are looked through for one.
LOOKED = 600
STAMP = 12


class Apart(NamedTuple):
    """A row that was set apart: the table, the number of its operation, its key and row as JSON, and when, in microseconds since 1970."""

    name: str
    seq: int
    key: str
    body: str
    at: int

    def __str__(self) -> str:
        return f"{self.name} {self.key}: {self.body}"


def parted(table: "RecordTable", shot: "Kept", state: State, operations: Sequence[Operation], journal: str) -> tuple[State, list[Apart]]:
    """What operations make of a table without the rows whose keys others have written meanwhile; and those of them that say otherwise."""
    import polars as pl

    key = list(table.record.key)
    if not key or state.cleared or shot.stats is None or (state.rows is None and not state.files):
        return state, []
    files = {path: pl.DataFrame(record_files.read(path)) for path in state.files} if state.files else {}
    parts = [*files.values(), *([pl.DataFrame(state.rows)] if state.rows is not None else [])]
    mine = pl.concat([part.select(key) for part in parts])
    if state.hidden is not None:
        mine = mine.join(pl.DataFrame(state.hidden), on=key, how="anti")
    if not len(mine):
        return state, []
    since = seen(table, shot, operations[0], journal)
    taken = there(table, shot, mine, since)
    others = alike(
        table, shot, pl.concat([part.select(*key, *uniques(table)) for part in parts]).join(mine, on=key, how="semi"), state, since
    )
    if taken is None and others is None:
        return state, []
    keys = pl.concat([one.select(key) for one in (taken, others) if one is not None]).unique()
    numbers = {one.key: one.seq for one in operations if one.kind == "put"}
    by_file = {one.body: one.seq for one in operations if one.kind == "puts"}
    out = numbered_rows(
        table, {**{by_file[path]: part for path, part in files.items()}, 0: parts[-1] if state.rows is not None else None}, keys
    )
    held = {key_of(table, row): encode(table.record, row) for row in taken.iter_rows(named=True)} if taken is not None else {}
    now = int(time.time() * 1_000_000)
    odd = [Apart(table.name, seq or numbers.get(text, 0), text, body, now) for seq, text, body in out if held.get(text) != body]
    left = [part.join(keys, on=key, how="anti") for part in parts]
    rows = record_files.together(table.record, (part.to_arrow().cast(schema_of(table)) for part in left)) if any(map(len, left)) else None
    return replace(state, rows=rows, files=(), filed=0), odd


def there(table: "RecordTable", shot: "Kept", mine: "pl.DataFrame", since: int) -> "pl.DataFrame | None":
    """The rows of files that came after a version whose keys are among some; None if there are none."""
    import polars as pl

    key = list(table.record.key)
    found = []
    for path in candidates(table, shot, mine.to_arrow()):
        if not came(path, since):
            continue
        place = table.here(path)
        if len(pl.DataFrame(record_files.read(place, key)).join(mine, on=key, how="semi")):
            found.append(pl.DataFrame(record_files.read(place)).join(mine, on=key, how="semi"))
    return pl.concat(found, how="diagonal") if found else None


def uniques(table: "RecordTable") -> list[str]:
    """The columns beside the key by which no two rows may be alike."""
    return list(dict.fromkeys(name for columns in table.record.unique for name in columns if name not in table.record.key))


def alike(table: "RecordTable", shot: "Kept", mine: "pl.DataFrame", state: State, since: int) -> "pl.DataFrame | None":
    """Those of some rows that have a unique value of a row under another key, in files that came after a version; None if there are none."""
    import polars as pl

    key, names, found = list(table.record.key), uniques(table), []
    if not names or shot.actions is None:
        return None
    for path in shot.actions["path"].to_pylist():
        if came(path, since):
            theirs = pl.DataFrame(record_files.read(table.here(path), [*key, *names]))
            if state.hidden is not None:
                theirs = theirs.join(pl.DataFrame(state.hidden), on=key, how="anti")
            # A row under the same key is no other: whether it is taken is told by `there`.
            theirs = theirs.join(mine, on=key, how="anti")
            found += [mine.join(theirs, on=list(columns), how="semi") for columns in table.record.unique]
    return pl.concat(found).unique(key) if any(map(len, found)) else None


def came(path: str, since: int) -> bool:
    """Whether a file was committed after a version, as far as its name tells."""
    return not path[:STAMP].isdigit() or int(path[:STAMP]) > since


def seen(table: "RecordTable", shot: "Kept", first: Operation, journal: str) -> int:
    """A version that whoever wrote an operation had before them: a commit of the same journal's that is well older; -1 if none is found."""
    for version in range(shot.version, max(shot.version - LOOKED, -1), -1):
        path = table.commit_path(version)
        if not path.exists():
            break
        told = list(lines(path))
        ours = any(one.get("txn", {}).get("appId") == f"{FOLDS}{journal}" for one in told)
        at = next((one["commitInfo"]["timestamp"] for one in told if "commitInfo" in one), 0)
        if ours and at * 1000 < first.at - SEEN_S * 1_000_000:
            return version
    return -1


def numbered_rows(table: "RecordTable", parts: "dict[int, pl.DataFrame | None]", keys: "pl.DataFrame") -> list[tuple[int, str, str]]:
    """Of the rows with some keys: the number of their operation (0: told by the key), and key and row as JSON."""
    key = list(table.record.key)
    return [
        (seq, key_of(table, row), encode(table.record, row))
        for seq, part in parts.items()
        if part is not None
        for row in part.join(keys, on=key, how="semi").iter_rows(named=True)
    ]


def key_of(table: "RecordTable", row: "dict[str, object]") -> str:
    """The text of a row's key."""
    return key_text([row[name] for name in table.record.key])


def schema_of(table: "RecordTable") -> "pa.Schema":
    """The table's columns as files keep them."""
    from workbench.lake.pending import schema

    return schema(table.record)


# ---------------------------------------------------------------------- kept in the journal


def keep(journal: Operations, name: str, folded: int, odd: Sequence[Apart]) -> None:
    """Write rows down before the commit that leaves them out; those of an attempt that was not committed are forgotten."""
    stale = journal._asked(lambda con: con.execute("SELECT 1 FROM apart WHERE name = ? AND seq > ? LIMIT 1", (name, folded)).fetchall())
    if not odd and not stale:
        return
    with journal.writing() as write:
        write.con.execute("DELETE FROM apart WHERE name = ? AND seq > ?", (name, folded))
        write.con.executemany("INSERT INTO apart VALUES (?, ?, ?, ?, ?)", odd)
    for one in odd:
        LOG.warning(
            "%s: a row with the key %s was set apart: another machine had written that key, or a unique value of the row, first",
            name,
            one.key,
        )


def kept(journal: Operations, name: str | None = None, after: int = 0, upto: int | None = None) -> list[Apart]:
    """The rows that were set apart, those of attempts under way left out: of a table, and of some operations, if they are given."""

    def asked(con: "sqlite3.Connection") -> list[Apart]:
        folded = dict(con.execute("SELECT name, seq FROM folded").fetchall())
        found = [Apart(*row) for row in con.execute("SELECT * FROM apart ORDER BY name, seq, key")]
        return [one for one in found if one.seq <= folded.get(one.name, 0)]

    found = journal._asked(asked) or []
    return [one for one in found if (name is None or one.name == name) and after < one.seq <= (one.seq if upto is None else upto)]


def forget(journal: Operations, some: Sequence[Apart]) -> None:
    """Let go of rows that were set apart, once somebody has been told."""
    if some:
        with journal.writing() as write:
            write.con.executemany(
                "DELETE FROM apart WHERE name = ? AND seq = ? AND key = ?", ((one.name, one.seq, one.key) for one in some)
            )


def said(some: Sequence[Apart]) -> str:
    """What to say of rows that were set apart."""
    names = ", ".join(sorted({one.name for one in some}))
    first = some[0]
    when = datetime.fromtimestamp(first.at / 1_000_000, UTC)
    return (
        f"{len(some):,} row{'s' * (len(some) > 1)} of {names} {'were' if len(some) > 1 else 'was'} set apart, since another machine had written "
        f"{'their keys, or unique values of theirs,' if len(some) > 1 else 'its key, or a unique value of its,'} first: {first.name} {first.key} at {when:%Y-%m-%d %H:%M:%S} UTC"
    )
