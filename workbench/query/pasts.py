"""What looks into the past of a lake, takes it back, or moves it forward, as reports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from workbench.config import Settings
from workbench.errors import UsageError
from workbench.lake import changes, formats, rewinding
from workbench.lake.identity import FORMAT
from workbench.lake.locks import refreshing
from workbench.lake.operations import Operations
from workbench.lake.records import RecordTable
from workbench.lake.store import Lake, LakeTable
from workbench.query.report import Report, sized
from workbench.tables import TABLES

NAMED = 6


# ---------------------------------------------------------------------- back


def rewound(lake: Lake, tables: str | Sequence[str] | None, as_of: datetime | None, version: int | None, *, dry_run: bool) -> Report:
    """What going back does, or did: a row for each table."""
    if (as_of is None) == (version is None):
        raise UsageError("give either an instant or a version to go back to; nothing was changed.")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise UsageError(f"{version!r} is not the number of a version; nothing was changed. Give one that `history` tells, as 3.")
    goal = version if as_of is None else as_of
    assert goal is not None
    names = [tables] if isinstance(tables, str) else list(tables or ())
    what = f"version {goal}" if isinstance(goal, int) else f"{goal:%Y-%m-%d %H:%M:%S} UTC"
    if dry_run:
        return turned(lake, rewinding.plan(lake, names, goal), what, "", [], dry_run=True)
    # Looked at before, so that what cannot be is told before anybody is kept waiting.
    held = [table.name for table in rewinding.chosen(lake, names) if isinstance(table, LakeTable)]
    with refreshing(lake.root, held, "workbench restore"):
        done = rewinding.rewind(lake, names, goal)
    return turned(lake, done.tables, what, done.id, done.notes, dry_run=False)


def turned(lake: Lake, turns: Sequence[rewinding.Turn], what: str, id: str, notes: Sequence[str], *, dry_run: bool) -> Report:
    """A row for each table that goes back, or went."""
    rows = [
        {
            "table": one.table,
            "version": one.now,
            "to": one.to,
            "at": one.at.isoformat(timespec="milliseconds") if one.at else None,
            "rows": one.rows,
            "rows_then": one.rows_then,
            "sessions_gone": len(one.gone),
            "sessions_back": len(one.back),
            "first": min(one.gone | one.back, default=None),
            "last": max(one.gone | one.back, default=None),
            "files_out": one.files_out,
            "files_in": one.files_in,
            "reason": one.why,
        }
        for one in turns
    ]
    bad = sum(bool(one.why) for one in turns)
    did = f"would go back to {what}{f'; {bad} of them cannot' * bool(bad)}; nothing was changed" if dry_run else f"went back to {what}"
    title = (
        f"{lake.where}: {len(rows)} table{'s' * (len(rows) != 1)} {did}"
        if rows
        else f"{lake.where}: nothing to do: all stands as it did at {what}"
    )
    stays = f"What stays: {rewinding.STAYS}. A refresh lands again what its sources have and these versions lack: mend the source first."
    return Report(
        title,
        rows,
        ("files_in", "files_out", "first", "last", "at"),
        root=lake.where,
        rewind=id,
        dry_run=dry_run,
        notes=[*notes, *[stays] * bool(rows), *unfolded(lake, turns)],
    )


def unfolded(lake: Lake, turns: Sequence[rewinding.Turn]) -> list[str]:
    """What is to be known of tables that people write: rows of the journal are in no version yet, however long ago they were written."""
    people = [one.table for one in turns if one.table not in TABLES]
    if not people:
        return []
    journal = Operations(lake.root)
    try:
        held = journal.held()
    finally:
        journal.close()
    waiting = ", ".join(f"{held[name][0]:,} of {name}" for name in people if name in held)
    return [
        f"Of {', '.join(people[:NAMED])}{', …' * (len(people) > NAMED)} what was folded by then stands: rows that were written before it, and folded later "
        f"or not yet, leave with the rest{f' ({waiting} are not folded yet)' * bool(waiting)}."
    ]


# ---------------------------------------------------------------------- what happened


def one_table(lake: Lake, name: str) -> LakeTable | RecordTable:
    """A table of its own commits. Raises `UnknownName`, and `UsageError` for one that holds nothing."""
    [table] = rewinding.chosen(lake, [name])
    return table


def history(lake: Lake, name: str, limit: int | None) -> Report:
    """A row for each commit, newest first."""
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise UsageError(f"{limit} commits were asked for; at least one is needed. Nothing was done.")
    table = one_table(lake, name)
    every = changes.entries(table)
    rows = [
        {
            "version": one.version,
            "at": one.at.isoformat(timespec="milliseconds"),
            "who": f"{one.by['user']}@{one.by['host']}" if one.by.get("user") else "",
            "what": one.what,
            "source": ", ".join(one.sources),
            "sessions": one.sessions,
            "first": one.first,
            "last": one.last,
            "rows_added": one.rows[0],
            "rows_removed": one.rows[1],
            "files_added": one.files[0],
            "files_removed": one.files[1],
            "command": one.by.get("what", ""),
            "run": one.by.get("run", ""),
            "pid": one.by.get("pid"),
            "library": one.by.get("library", ""),
        }
        for one in every[:limit]
    ]
    shown = f", the newest {len(rows):,} of them" * (len(rows) < len(every))
    report = Report(
        f"{table.name} in {lake.where}: {len(every):,} commits{shown}",
        rows,
        ("pid", "library", "run", "files_removed", "files_added", "last", "first", "command", "source"),
        root=lake.where,
        table=table.name,
        commits=len(every),
    )
    report.most = max(len(rows), 1) if limit else report.most
    return report


def diff(lake: Lake, settings: Settings, name: str, old: int | datetime, new: int | datetime | None, limit: int | None) -> Report:
    """What differs between two versions."""
    from workbench.query.catalog import connect

    if limit is not None and limit < 0:
        raise UsageError(f"{limit} rows were asked for; nothing was compared. Give a number from 0 on.")
    table = one_table(lake, name)
    low, high = (changes.version_of(table, one) for one in (old, new))
    con = connect(settings)
    try:
        found = changes.compare(table, low, high, con, limit)
    finally:
        con.close()
    total = found.added + found.removed + found.changed
    counted = f"{found.added:,} rows added, {found.removed:,} removed, {found.changed:,} changed"
    where = ", ".join(f"{column} {count:,}" for column, count in found.columns.most_common(NAMED))
    if found.proven:
        how = "no file was read: each commit in between says that it changed no row" if low != high else "one version"
    else:
        how = f"{found.read} files read, {sized(found.size)}"
    what = counted if total else "no row differs"
    title = f"{table.name}, version {low} to {high}: {what}{f' (in {where})' * bool(where)}; {how}"
    facts: dict[str, Any] = {
        "table": table.name,
        "old": low,
        "new": high,
        "key": list(found.key),
        "added": found.added,
        "removed": found.removed,
    }
    facts |= {
        "changed": found.changed,
        "columns": dict(found.columns),
        "files_read": found.read,
        "bytes_read": found.size,
        "proven": found.proven,
    }
    return Report(title, found.sample, (), root=lake.where, **facts)


# ---------------------------------------------------------------------- forward


def migrated(lake: Lake, *, dry_run: bool) -> Report:
    """What is to be done to an older lake, or was: a row for each step."""
    steps = formats.plan(lake) if dry_run else formats.migrate(lake)
    rows = [{"what": one.what, "table": one.table, "detail": one.detail} for one in steps]
    did = "would be done; nothing was" if dry_run else "done"
    many = (
        f"{len(rows)} step{'s' * (len(rows) != 1)} {did}"
        if rows
        else f"nothing to do: the lake is of format {FORMAT}, and has every declared column"
    )
    return Report(f"{lake.where}: {many}", rows, root=lake.where, dry_run=dry_run, format=formats.held(lake))
