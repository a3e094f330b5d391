"""Upgrades: what a lake of an earlier version of the library lacks, and how it gets it. No row is written anew.

An older lake is read as it is, and a write brings just as much of it forward as the write needs: the lake its name, the table its new columns. `migrate` does
all of it at once. Every step is a commit or a file of its own, and is looked for anew each time: killed in between, the next call goes on.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import Busy
from workbench.lake.delta import ATTEMPTS, CONFIGURATION, FIRST, WIDE, pause, properties, settle
from workbench.lake.disk import disk
from workbench.lake.identity import FORMAT, claim, expect_known
from workbench.lake.journal import Journal
from workbench.lake.log import TableLog
from workbench.lake.operations import File
from workbench.lake.pending import schema
from workbench.lake.records import written
from workbench.lake.snapshots import WIDENED, widened_of
from workbench.lake.sqlitefile import SqliteFile, version_of
from workbench.lake.store import Lake
from workbench.tables import TABLES

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema


@dataclass(frozen=True)
class Step:
    """One thing that a lake lacks, and what brings it; `table` is empty where it is the lake's."""

    what: str
    table: str
    detail: str
    do: Callable[[], None]


def held(lake: Lake) -> int:
    """The format of a lake. Raises `NewerLake` for a later one than this library knows."""
    return expect_known(lake.root).format


def plan(lake: Lake) -> list[Step]:
    """What a lake lacks. Touches nothing. Raises `NewerLake`, and `LakeError` for a damaged log."""
    return list(steps(lake))


def migrate(lake: Lake) -> list[Step]:
    """Bring a lake forward; gives what was done. Raises as `plan` does, `Busy` if others won every attempt to commit, `LakeError` for a full disk."""
    done = []
    for step in plan(lake):
        step.do()
        done.append(step)
    return done


def steps(lake: Lake) -> Iterator[Step]:
    """What is to be done, in its order."""
    before = expect_known(lake.root, "nothing was changed").format
    if before < FORMAT:
        yield Step("format", "", f"lake.json: format {before} becomes {FORMAT}", lambda: _ignored(claim(lake.root)))
    for log, declared in tables(lake):
        delta = log._open()
        if names := missing(delta, declared):
            yield Step("columns", log.name, f"added, NULL in the rows of before: {', '.join(names)}", _widening(log, declared))
        lacking = {name: value for name, value in wanted(declared).items() if name not in delta.metadata().configuration}
        if lacking:
            yield Step("settings", log.name, ", ".join(f"{name} = {value}" for name, value in lacking.items()), _setting(log, lacking))
    for file in (Journal(lake.root), File(lake.root, "records")):
        try:
            had = told(file)
        finally:
            file.close()
        if had is not None and had < file.SCHEMA:
            yield Step("journal", "", f"{file.path.name}: tables of version {had} become those of {file.SCHEMA}", _opening(file))


def tables(lake: Lake) -> "Iterator[tuple[TableLog, Schema]]":
    """The tables that are there, each with the schema that it declares now."""
    from deltalake import Schema

    for name in TABLES:
        if lake[name].exists:
            yield lake[name], lake[name].schema
    for table in written(lake.root):
        if table.exists:
            yield table, Schema.from_arrow(schema(table.record))


def wanted(declared: "Schema") -> dict[str, str]:
    """The settings that a table of some columns has."""
    return CONFIGURATION | (WIDE if len(declared.fields) > FIRST else {})


# ---------------------------------------------------------------------- columns


def missing(delta: "DeltaTable", declared: "Schema") -> list[str]:
    """The columns that are declared and that a table of the lake has not."""
    there = {field.name for field in delta.schema().fields}
    return [field.name for field in declared.fields if field.name not in there]


def widen(log: TableLog, declared: "Schema") -> bool:
    """Give a table the columns that it lacks; False if it lacks none. Raises `Busy` if others won every attempt to commit.

    Before them the table is told which they are: readers have NULL where a file is older than its column, and look for that only in tables that say so.
    """
    from deltalake.exceptions import CommitFailedError

    for attempt in range(ATTEMPTS):
        log.follow()
        delta = log._open()
        names = missing(delta, declared)
        if not names:
            return attempt > 0
        writing = log.writable(delta)
        if writing is None:
            continue
        claim(log.root, f"{log.name} got no column")
        try:
            with disk(log.root, f"{log.name} got no column"):
                marks = list(dict.fromkeys((*widened_of(delta), *names)))
                if len(marks) > len(widened_of(delta)):
                    writing.alter.set_table_properties(
                        {WIDENED: json.dumps(marks)}, raise_if_not_exists=False, commit_properties=properties({})
                    )
                    settle(log, writing.version())
                writing.alter.add_columns([one for one in declared.fields if one.name in names], commit_properties=properties({}))
        except CommitFailedError:
            pause(attempt)
        else:
            settle(log, writing.version())
            return True
    raise Busy(f"{log.name}: other writers won {ATTEMPTS} attempts to commit. It got no column; run the command again.")


def _widening(log: TableLog, declared: "Schema") -> Callable[[], None]:
    return lambda: _ignored(widen(log, declared))


def _setting(log: TableLog, lacking: dict[str, str]) -> Callable[[], None]:
    def do() -> None:
        from deltalake.exceptions import CommitFailedError

        for attempt in range(ATTEMPTS):
            log.follow()
            delta = log._open()
            left = {name: value for name, value in lacking.items() if name not in delta.metadata().configuration}
            if not left:
                return
            writing = log.writable(delta)
            if writing is None:
                continue
            try:
                with disk(log.root, f"the settings of {log.name} were not made"):
                    writing.alter.set_table_properties(left, raise_if_not_exists=False, commit_properties=properties({}))
            except CommitFailedError:
                pause(attempt)
            else:
                settle(log, writing.version())
                return
        raise Busy(f"{log.name}: other writers won {ATTEMPTS} attempts to commit. Its settings were not made; run the command again.")

    return do


# ---------------------------------------------------------------------- journals


def told(file: SqliteFile) -> int | None:
    """The version of a journal's tables; None if there is no journal."""
    import sqlite3

    if not file.path.exists():
        return None
    con = sqlite3.connect(f"{file.path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return version_of(con)
    except sqlite3.Error:
        # Damaged, or of a folder that cannot be written: whoever uses it says so.
        return None
    finally:
        con.close()


def _opening(file: SqliteFile) -> Callable[[], None]:
    def do() -> None:
        # Whoever opens a journal for writing makes what it lacks.
        try:
            file._asked(version_of, f"{file.path} was not brought forward", make=True)
        finally:
            file.close()

    return do


def _ignored(_: object) -> None:
    """Nothing: for calls whose answer nobody needs."""
