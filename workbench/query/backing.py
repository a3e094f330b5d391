"""What backups give to look at: reports of what was kept, which snapshots there are, what is wrong with them, and what was removed."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.config import Settings
from workbench.errors import BrokenBackup, NewerLake, UsageError
from workbench.lake.store import Lake
from workbench.query.report import Report, sized

if TYPE_CHECKING:
    from workbench.lake.backup.making import Say


def made(
    lake: Lake,
    settings: Settings,
    where: str,
    *,
    keep: timedelta | None,
    recipients: Sequence[str],
    identities: Sequence[str],
    say: "Say | None",
) -> Report:
    """Make a snapshot, remove those that are too old, and say of each table what is kept of it."""
    from workbench.lake.backup.making import make
    from workbench.lake.backup.pruning import prune

    # Spilled rows and half downloads are this machine's own, wherever they stand.
    own = [settings.scratch, *([settings.project / Path(settings.temp).expanduser()] if settings.temp else [])]
    leave = [path for path in own if path != lake.root and path.is_relative_to(lake.root)]
    backups, done = make(lake, where, recipients, identities=identities, leave=leave, say=say)
    manifest = done.manifest
    rows = [
        {"table": name, "version": one.version, "rows": one.rows, **of_table(manifest.files, name)}
        for name, one in sorted(manifest.tables.items())
    ]
    gone = prune(backups, keep, dry_run=False) if keep is not None else None
    pruned = (
        f"; {len(gone.snapshots)} older snapshot{'s' * (len(gone.snapshots) != 1)} and {gone.objects:,} objects ({sized(gone.size)}) removed"
        if gone
        else ""
    )
    title = (
        f"{backups.where}: snapshot {manifest.id}, {len(manifest.files):,} files ({sized(manifest.size)}), of them {done.copied:,} "
        f"({sized(done.copied_bytes)}) copied in {done.seconds:.1f} s ({sized(done.copied_bytes / max(done.seconds, 1e-3))}/s); the others were there{pruned}"
    )
    facts: dict[str, Any] = {
        "root": lake.where,
        "backup": backups.where,
        "snapshot": manifest.id,
        "at": manifest.at,
        "files": len(manifest.files),
        "bytes": manifest.size,
        "copied_files": done.copied,
        "copied_bytes": done.copied_bytes,
        "stored_bytes": done.stored_bytes,
        "encrypted": bool(backups.place.recipients),
        "pruned": list(gone.snapshots) if gone else [],
        "pruned_bytes": gone.size if gone else 0,
        "notes": list(done.notes),
        "seconds": round(done.seconds, 3),
    }
    return Report(title, rows, **facts)


def of_table(files: Sequence[Any], name: str) -> dict[str, int]:
    """How many files a snapshot has of a table, its log's with them, and their bytes."""
    under = f"lake/{(name if '.' in name else f'main.{name}').replace('.', '/', 1)}/"
    sizes = [one.size for one in files if one.path.startswith(under)]
    return {"files": len(sizes), "bytes": sum(sizes)}


def listed(where: str, identities: Sequence[str]) -> Report:
    """Every snapshot of a place, the newest last."""
    from workbench.lake.backup import Backups

    backups = Backups.open(where, identities=identities)
    rows = [row(backups, id) for id in backups.ids()]
    held = sum(backups.objects.values())
    sealed = ", encrypted" if backups.place.recipients else ""
    title = f"{backups.where}: {len(rows)} snapshot{'s' * (len(rows) != 1)} of {backups.place.root}{sealed}; {len(backups.objects):,} objects, {sized(held)}"
    return Report(
        title,
        rows,
        ("host", "library"),
        backup=backups.where,
        lake=backups.place.lake,
        root=backups.place.root,
        objects=len(backups.objects),
        bytes=held,
        encrypted=bool(backups.place.recipients),
    )


def row(backups: Any, id: str) -> dict[str, Any]:
    """A snapshot as a row; what cannot be read of it is empty, and why stands at its end."""
    told = dict.fromkeys(("at", "tables", "rows", "files", "bytes", "host", "library"))
    try:
        outline = backups.outline(id)
        if outline.sealed is not None and not backups.identified:
            return {"snapshot": id, **told, "at": datetime.fromisoformat(outline.finished), "state": "encrypted"}
        made = backups.manifest(id)
    except (BrokenBackup, NewerLake, UsageError) as fault:
        return {"snapshot": id, **told, "state": str(fault)}
    return {
        "snapshot": id,
        "at": datetime.fromisoformat(made.at),
        "tables": len(made.tables),
        "rows": sum(one.rows for one in made.tables.values()),
        "files": len(made.files),
        "bytes": made.size,
        "host": made.host,
        "library": made.library,
        "state": "complete",
    }


def verified(lake: Lake, where: str, snapshot: str | None, *, quick: bool, identities: Sequence[str], say: "Say | None") -> Report:
    """Every fault of a place's snapshots."""
    from workbench.lake.backup import Backups, checking
    from workbench.lake.backup.notes import noted
    from workbench.lake.identity import identity

    began = time.monotonic()
    backups = Backups.open(where, identities=identities)
    found = checking.check(backups, snapshot, quick=quick, say=say)
    seconds = time.monotonic() - began
    rows = [{"snapshot": one.snapshot, "file": one.path, "what": one.what, "bytes": one.size, "where": one.where} for one in found.faults]
    verdict = f"{len(rows)} fault{'s' * (len(rows) != 1)}" if rows else "no fault"
    depth = (
        "sizes compared, nothing read" if quick else f"{sized(found.read_bytes)} read ({sized(found.read_bytes / max(seconds, 1e-3))}/s)"
    )
    outside = f"; {len(found.sealed)} encrypted, looked at from outside only" if found.sealed else ""
    mend = (
        f". What is missing or altered cannot be restored from these snapshots: bring the objects back from a copy; or remove what is altered below {backups.where}, "
        "and the next backup copies again what the lake still has"
    ) * bool(rows)
    title = (
        f"{backups.where}: {verdict} in {len(found.snapshots)} snapshot{'s' * (len(found.snapshots) != 1)}, {found.objects:,} objects, {depth}, "
        f"in {seconds:.1f} s{outside}{mend}"
    )
    if lake.exists and backups.place.of(identity(lake.root).id, lake.where):
        noted(
            lake.root, "verify", backups.where, found.snapshots[-1] if found.snapshots else "", good=not rows, seconds=seconds, said=verdict
        )
    return Report(
        title,
        rows,
        ("where",),
        backup=backups.where,
        faults=len(rows),
        snapshots=len(found.snapshots),
        objects=found.objects,
        read_bytes=found.read_bytes,
        deep=not quick,
        sealed=found.sealed,
        seconds=round(seconds, 3),
    )


def pruned(where: str, keep: timedelta, told: str, *, dry_run: bool) -> Report:
    """The snapshots that were removed, or would be, and those that stay."""
    from workbench.lake.backup import Backups
    from workbench.lake.backup.pruning import prune

    backups = Backups.open(where)
    found = prune(backups, keep, dry_run=dry_run)
    rows = [{"snapshot": id, "is": "kept" if id in found.kept else "too old"} for id in sorted((*found.snapshots, *found.kept))]
    did = "would be removed; nothing was" if dry_run else "removed"
    title = (
        f"{backups.where}: {len(found.snapshots)} snapshots older than {told}, and {found.objects:,} objects ({sized(found.size)}) that no other holds, {did}; "
        f"{len(found.kept)} stay ({sized(found.kept_size)})"
    )
    return Report(
        title,
        rows,
        backup=backups.where,
        removed=list(found.snapshots),
        kept=list(found.kept),
        objects=found.objects,
        bytes=found.size,
        kept_bytes=found.kept_size,
        dry_run=dry_run,
    )
