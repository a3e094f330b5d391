"""What a reset, and the undoing of one, give to look at."""

from collections.abc import Sequence
from pathlib import Path

from workbench.lake.remote.where import readable
from workbench.lake.reset import STAYS, Done, Going
from workbench.query.report import Report, sized


def planned(root: Path, tables: Sequence[Going], *, undo: bool = False) -> Report:
    """What would be taken out, or brought back, and why what cannot be."""
    bad = sum(bool(one.why) for one in tables)
    did = "would come back" if undo else "would be taken out"
    refused = f"; {bad} of them cannot" * bool(bad)
    return report(root, tables, f"{did}{refused}; nothing was", "", [], undo=undo, dry_run=True)


def told(root: Path, done: Done, *, undo: bool = False) -> Report:
    """What was taken out, or brought back."""
    did = "are back" if undo else "were taken out; `workbench reset --undo` brings them back until vacuum removes the files"
    return report(root, done.tables, did, done.id, done.notes, undo=undo, dry_run=False)


def report(root: Path, tables: Sequence[Going], did: str, id: str, notes: Sequence[str], *, undo: bool, dry_run: bool) -> Report:
    """A row for each table: rows, sessions, files and bytes."""
    rows = [
        {
            "table": one.table,
            "rows": one.rows,
            "sessions": one.sessions,
            "first": one.first,
            "last": one.last,
            "files": one.files,
            "bytes": one.size,
            "reason": one.why,
        }
        for one in tables
    ]
    count, size = sum(one.rows for one in tables), sum(one.size for one in tables)
    what = f"{count:,} rows of {len(tables)} table{'s' * (len(tables) != 1)}, {sized(size)}, {did}"
    title = f"{readable(root)}: {what if tables else 'nothing to reset: these tables are empty'}"
    # What stays is told before it is done; to bring rows back takes nothing away.
    stays = [] if undo else [f"What stays: {STAYS}."]
    facts = {"reset": id, "dry_run": dry_run, "rows_total": count, "bytes": size, "notes": [*notes, *stays]}
    return Report(title, rows, ("files", "first", "last"), root=readable(root), **facts)
