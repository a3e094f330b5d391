"""What happened to a table, and how two of its versions differ: read from the commits, and from those files alone that one version has and the other has not."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import BadRange, LakeError, UsageError
from workbench.lake.history import Life, sound
from workbench.lake.pending import kept
from workbench.lake.readers import Reader, exclusive
from workbench.lake.records import RecordTable
from workbench.lake.remote.where import readable
from workbench.lake.store import LakeTable
from workbench.lake.stored import typed
from workbench.tables import quote

if TYPE_CHECKING:
    import duckdb

# In a commit's line, as the log writes it: statistics are JSON within JSON.
ROWS = re.compile(r'\\"numRecords\\":\s*(\d+)')
PATH = re.compile(r'"path":"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Entry:
    """What one commit did. `by` says who made it, as `who.by` wrote it; empty in commits of before. `rows` and `files` are those added and removed."""

    version: int
    at: datetime
    what: str
    by: Mapping[str, Any]
    sources: tuple[str, ...]
    sessions: int
    first: date | None
    last: date | None
    rows: tuple[int, int]
    files: tuple[int, int]


def entries(table: LakeTable | RecordTable) -> list[Entry]:
    """What every commit of a table did, newest first. Raises `LakeError` if one is missing or cannot be read."""
    found: list[Entry] = []
    counts: dict[str, int] = {}
    while table.committed(len(found)):
        found.append(entry(table, len(found), counts))
    expect_whole(table, len(found))
    return found[::-1]


def expect_whole(table: LakeTable | RecordTable, held: int) -> None:
    """Raise `LakeError` where commits follow upon one that is missing: a history up to it would look like all of it."""
    # One that came meanwhile is none that follows.
    if held <= int(table._newest().stem) and not table.committed(held):
        raise table._damaged(table.commit_path(held), "it is missing, and later commits are there")


def entry(table: LakeTable | RecordTable, version: int, counts: dict[str, int]) -> Entry:
    """What one commit did; `counts` has the rows of the files that commits before it added, and gets those of its own."""
    path = table.commit_path(version)
    info: dict[str, Any] = {}
    added = removed = rows_in = rows_out = 0
    columns = False
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            # To parse every line, statistics and all, would take ten times as long.
            if line.startswith('{"add"'):
                name, told = PATH.search(line), ROWS.search(line)
                rows = int(told[1]) if told else 0
                counts[name[1] if name else ""] = rows
                added, rows_in = added + 1, rows_in + rows
            elif line.startswith('{"remove"'):
                name = PATH.search(line)
                removed, rows_out = removed + 1, rows_out + counts.get(name[1] if name else "", 0)
            elif line.startswith('{"commitInfo"'):
                info = json.loads(line)["commitInfo"]
            elif line.startswith('{"metaData"'):
                columns = True
        at = datetime.fromtimestamp(info["timestamp"] / 1000, UTC)
        landed, by = json.loads(info.get("landings", "[]")), json.loads(info.get("by", "{}"))
        retired = json.loads(info.get("retired", "[]"))
        days = {date.fromisoformat(one["session"]) for one in (*landed, *retired)}
        sources = tuple(sorted({str(one["source"]) for one in landed}))
        run = next((one["run"] for one in landed if one.get("run")), "")
        by |= {"run": by.get("run") or run} if by.get("run") or run else {}
        what = doing(info, landed, retired, version, columns=columns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise table._damaged(path, repr(fault)) from fault
    return Entry(
        version, at, what, by, sources, len(days), min(days, default=None), max(days, default=None), (rows_in, rows_out), (added, removed)
    )


def doing(
    info: Mapping[str, Any], landed: Sequence[Mapping[str, Any]], retired: Sequence[Mapping[str, Any]], version: int, *, columns: bool
) -> str:
    """What a commit was for, in a word or two."""
    if "rewound" in info:
        return f"rewound to {json.loads(info['rewound'])['to']}"
    if "reset" in info:
        return "reset" if json.loads(info["reset"])["restores"] < 0 else "reset undone"
    if "fold" in info:
        return "folded"
    if landed:
        return "replaced" if any(one.get("version", 1) > 1 for one in landed) else "landed"
    if retired:
        return ", ".join(sorted({str(one["then"]) for one in retired}))
    if "rewrite" in info:
        origin = json.loads(info["rewrite"]).get("origin")
        return f"archived from {origin}" if origin else "compacted"
    if version == 0:
        return "made"
    return (
        "columns added" if "COLUMN" in str(info.get("operation", "")) else "settings" if columns else str(info.get("operation", "")).lower()
    )


# ---------------------------------------------------------------------- two versions


@dataclass
class Differences:
    """How two versions differ: rows by key, or by all of their values where a table has none. `sample` holds the first of them.

    `read` are the files that were read for it, and `size` their bytes; `proven` says that the commits in between tell that no row differs.
    """

    table: str
    old: int
    new: int
    key: tuple[str, ...]
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    read: int = 0
    size: int = 0
    proven: bool = False
    sample: list[dict[str, Any]] = field(default_factory=list)


def version_of(table: LakeTable | RecordTable, told: int | datetime | None) -> int:
    """The version of a number, or as of an instant; None: the newest. Raises `UsageError` for a number that is not, `BadRange` before the first commit."""
    newest = len(table.commits()) - 1
    expect_whole(table, newest + 1)
    if newest < 0:
        raise UsageError(f"{table.name} holds nothing in {readable(table.root)}, so that it has no versions; nothing was compared.")
    if isinstance(told, datetime):
        found = table.version_at(told)
        if found < 0:
            raise BadRange(
                f"{table.name} had no commit by {told}; nothing was compared. Give a later instant: the first was at {table.commits()[0].at}."
            )
        return found
    version = newest if told is None else told
    if not 0 <= version <= newest:
        raise UsageError(
            f"{table.name} has the versions 0 to {newest}, and no {version}; nothing was compared. `workbench history {table.name}` tells them."
        )
    return version


def compare(table: LakeTable | RecordTable, old: int, new: int, con: "duckdb.DuckDBPyConnection", limit: int | None = 100) -> Differences:
    """How two versions differ. What the journal holds, and no fold has taken in, is in neither.

    Files that both list are not read; nor is any where all commits in between put files in the place of others row for row, which each proved when it
    was made. `limit` bounds the sample (None: all of it). Raises `LakeError` if vacuum has removed a file that is to be read.
    """
    names = [column.name for column in columns_of(table)]
    key = tuple(table.table.key if isinstance(table, LakeTable) else table.record.key)
    found = Differences(table.name, old, new, key)
    found.proven = old == new or unchanged(table, *sorted((old, new)))
    if found.proven:
        return found
    with held(table, old, new) as (before, after):
        gone, come = ({path: life for path, life in one.items() if path not in other} for one, other in ((before, after), (after, before)))
        expect_there(table, old, gone)
        expect_there(table, new, come)
        found.read, found.size = len(gone) + len(come), sum(life.size for life in (*gone.values(), *come.values()))
        for old_files, new_files in apart(gone, come):
            left = None if limit is None else max(limit - len(found.sample), 0)
            declare(con, table, old_files, new_files)
            if key:
                by_key(con, found, key, [name for name in names if name not in key], left)
            else:
                by_content(con, found, names, left)
    return found


def columns_of(table: LakeTable | RecordTable) -> Sequence[Any]:
    """The columns that a table declares."""
    return table.table.columns if isinstance(table, LakeTable) else table.record.columns


def unchanged(table: LakeTable | RecordTable, low: int, high: int) -> bool:
    """Whether each commit after a version, up to another, says of itself that it changed no row: a compaction, or settings."""
    for version in range(low + 1, high + 1):
        text = table.commit_path(version).read_text(encoding="utf-8")
        files = [line for line in text.splitlines() if line.startswith(('{"add"', '{"remove"'))]
        if any('"dataChange":false' not in line for line in files):
            return False
    return True


@contextmanager
def held(table: LakeTable | RecordTable, old: int, new: int) -> Iterator[tuple[dict[str, Life], dict[str, Life]]]:
    """The files of two versions, which no vacuum removes until the block ends."""
    undone = "nothing was compared"
    reader = Reader(table.root)
    try:
        with exclusive(table.root):
            # What a reader has before is held with what it has now, and all that lies between.
            reader.hold({table.name: old})
            reader.hold({table.name: new})
            reader.publish()
        yield sound(table.folder, undone, old).live, sound(table.folder, undone, new).live
    finally:
        reader.close()


def expect_there(table: LakeTable | RecordTable, version: int, files: Mapping[str, Life]) -> None:
    """Raise `LakeError` if files of a version are gone from the disk."""
    if gone := table.gone(files):
        raise LakeError(
            f"{table.name} as of version {version} cannot be read: {len(gone)} of the {len(files)} files that differ were removed by vacuum ({gone[0]}); "
            "nothing was compared. Compare younger versions, or bring the files back from a backup."
        )


def apart(gone: Mapping[str, Life], come: Mapping[str, Life]) -> list[tuple[list[str], list[str]]]:
    """Files in groups that share no session, so that a group is compared by itself, in bounded memory; all in one where the log tells no sessions."""
    spans = []
    for side, files in enumerate((gone, come)):
        for path, life in files.items():
            stats = json.loads(life.stats or "{}")
            low, high = (stats.get(which, {}).get("date") for which in ("minValues", "maxValues"))
            spans.append((low or "", high or "9999", side, path))
    groups: list[tuple[list[str], list[str]]] = []
    until = ""
    for low, high, side, path in sorted(spans):
        if not groups or low > until:
            groups.append(([], []))
            until = high
        groups[-1][side].append(path)
        until = max(until, high)
    return groups


def declare(con: "duckdb.DuckDBPyConnection", table: LakeTable | RecordTable, old: Sequence[str], new: Sequence[str]) -> None:
    """Have the rows of files stand as the views `__old` and `__new`, every declared column in each; NULL where a file is older than the column."""
    market = isinstance(table, LakeTable)
    empty = ", ".join(f"NULL::{one.type if market else kept(typed(one.type))} AS {quote(one.name)}" for one in columns_of(table))
    for name, paths in (("__old", old), ("__new", new)):
        files = ", ".join(map(literal, table.all_here(paths)))
        rows = f"UNION ALL BY NAME FROM read_parquet([{files}], hive_partitioning = false, union_by_name = true)" if paths else ""
        con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM (SELECT {empty} WHERE false {rows})")


def by_key(con: "duckdb.DuckDBPyConnection", found: Differences, key: Sequence[str], rest: Sequence[str], limit: int | None) -> None:
    """Count, and sample, rows by their key."""
    same = " AND ".join(f"o.{quote(name)} IS NOT DISTINCT FROM n.{quote(name)}" for name in key)
    first = [f"o.{quote(name)} IS DISTINCT FROM n.{quote(name)}" for name in rest]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE __pairs AS SELECT o, n FROM (SELECT *, true AS __there FROM __old) o "
        f"FULL JOIN (SELECT *, true AS __there FROM __new) n ON {same} WHERE o.__there IS NULL OR n.__there IS NULL{''.join(f' OR {one}' for one in first)}"
    )
    differ = [f"o.{quote(name)} IS DISTINCT FROM n.{quote(name)}" for name in rest]
    both = "o.__there AND n.__there"
    sums = ", ".join(f"count(*) FILTER ({both} AND {one})" for one in differ)
    [told] = con.execute(
        f"SELECT count(*) FILTER (o.__there IS NULL), count(*) FILTER (n.__there IS NULL), count(*) FILTER ({both}){', ' * bool(sums)}{sums} FROM __pairs"
    ).fetchall()
    found.added, found.removed, found.changed = found.added + told[0], found.removed + told[1], found.changed + told[2]
    found.columns.update({name: count for name, count in zip(rest, told[3:], strict=True) if count})
    order = ", ".join(f"coalesce(o.{quote(name)}, n.{quote(name)})" for name in key)
    for old, new in con.execute(f"SELECT o, n FROM __pairs ORDER BY {order}{'' if limit is None else f' LIMIT {limit}'}").fetchall():
        # Of a side that has no row DuckDB gives a row of NULLs, or none.
        there = [one if one and one.pop("__there") else None for one in (old, new)]
        found.sample.append(difference(there[0], there[1], key, rest))
    con.execute("DROP TABLE __pairs")


def difference(old: dict[str, Any] | None, new: dict[str, Any] | None, key: Sequence[str], rest: Sequence[str]) -> dict[str, Any]:
    """One row of the sample: what became of it, its key, and what it held before and holds after; of a changed one, what differs."""
    what = "added" if old is None else "removed" if new is None else "changed"
    odd = [name for name in rest if what != "changed" or (old or {})[name] != (new or {})[name]]
    before, after = ({name: one[name] for name in odd} if one is not None else None for one in (old, new))
    return {
        "change": what,
        **{name: (old or new or {})[name] for name in key},
        "columns": ", ".join(odd) * (what == "changed"),
        "old": before,
        "new": after,
    }


def by_content(con: "duckdb.DuckDBPyConnection", found: Differences, names: Sequence[str], limit: int | None) -> None:
    """Count, and sample, rows by all of their values: the same row twice is two rows."""
    told = ", ".join(map(quote, names))
    for what, here, there in (("removed", "__old", "__new"), ("added", "__new", "__old")):
        con.execute(f"CREATE OR REPLACE TEMP TABLE __left AS SELECT {told} FROM {here} EXCEPT ALL SELECT {told} FROM {there}")
        [(count,)] = con.execute("SELECT count(*) FROM __left").fetchall()
        setattr(found, what, getattr(found, what) + count)
        rows = con.execute(f"FROM __left ORDER BY ALL{'' if limit is None else f' LIMIT {limit}'}").fetchall()
        limit = None if limit is None else limit - len(rows)
        for row in rows:
            one = dict(zip(names, row, strict=True))
            found.sample.append(difference(one, None, (), names) if what == "removed" else difference(None, one, (), names))
        con.execute("DROP TABLE __left")


def literal(path: Path) -> str:
    """A path as SQL writes it."""
    return "'" + str(path).replace("'", "''") + "'"
