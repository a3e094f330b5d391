"""What keeping the lake gives to look at: reports of verify, vacuum and clean."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from workbench.errors import UsageError
from workbench.lake.leftovers import Leftover
from workbench.lake.remote.where import readable, remote_of
from workbench.lake.vacuum import FLOOR, Vacuumed, ages
from workbench.lake.verify import Verified
from workbench.query.report import Report, sized


def verified(root: Path, found: Verified) -> Report:
    """Every finding, faults first."""
    names = ("severity", "table", "kind", "where", "what", "remedy")
    ordered = sorted(found.findings, key=lambda one: one.severity)
    rows = [{name: getattr(one, name) for name in names} for one in ordered]
    faults, notes = len(found.faults), len(found.findings) - len(found.faults)
    verdict = f"{faults} fault{'s' * (faults != 1)}" if faults else "no fault"
    depth = f"{found.rows:,} rows read" if found.deep else "no rows read"
    rate = (
        f"{found.rows / max(found.seconds, 1e-3) / 1e6:,.1f} M rows/s"
        if found.deep
        else f"{found.files / max(found.seconds, 1e-3):,.0f} files/s"
    )
    title = (
        f"{readable(root)}: {verdict}{f', {notes} notes' * (notes > 0)} in {found.tables} tables; {found.commits:,} commits, {found.landings:,} landing "
        f"records, {found.files:,} files ({sized(found.size)}), {depth} in {found.seconds:.1f} s ({rate})"
    )
    facts = {name: getattr(found, name) for name in ("deep", "tables", "commits", "landings", "files", "size")} | {
        "rows_read": found.rows * found.deep
    }
    return Report(title, rows, ("kind",), root=readable(root), faults=faults, seconds=round(found.seconds, 3), **facts)


def vacuumed(root: Path, found: Sequence[Vacuumed], keep: str, age: timedelta, *, dry_run: bool) -> Report:
    """Files and bytes by table. `keep` is the age that was asked for, as it was asked."""
    rows = [
        {
            "table": one.table,
            "replaced": len(one.retired),
            "orphans": len(one.orphans),
            "bytes": one.size,
            "folders": len(one.folders),
            "too_young": one.young,
            "being_read": one.read,
        }
        for one in found
    ]
    files, size = (sum(len(one.retired) + len(one.orphans) for one in found), sum(one.size for one in found))
    did = "would be removed; nothing was" if dry_run else "removed"
    title = f"{readable(root)}: {files:,} files, {sized(size)}, {did} (replaced more than {keep} ago, or never committed)"
    notes = [floor] if (floor := floored(root, age)) else []
    return Report(title, rows, ("folders",), root=readable(root), files=files, bytes=size, dry_run=dry_run, notes=notes)


def floored(root: Path, keep: timedelta) -> str:
    """That a vacuum of a bucket keeps files for longer than it was asked to; empty if it does not."""
    if ages(root, keep, keep)[0] == keep:
        return ""
    return f"files that were put into the bucket or replaced there within {FLOOR} stay, whatever is asked for: another machine may be about to commit or read them"


def cleaned(root: Path, found: Sequence[Leftover], *, dry_run: bool, cache: bool = False) -> Report:
    """What was left behind, and its bytes; with `cache` what this machine holds of a bucket's data goes, too. Raises `UsageError` if it is a lake in a folder."""
    size = sum(one.size for one in found)
    did = "would be removed; nothing was" if dry_run else "removed"
    rows = [{"kind": one.kind, "bytes": one.size, "path": str(one.path)} for one in found]
    held = ""
    if cache:
        if (remote := remote_of(root)) is None:
            raise UsageError(
                f"{root} is a lake in a folder, of which nothing is held anywhere else; nothing was removed. Leave out the cache."
            )
        files, bytes_held = remote.held.let_go(dry_run=dry_run)
        held, size = f" and {files:,} files that this machine holds of it", size + bytes_held
    return Report(
        f"{readable(root)}: {len(found)} leftovers{held}, {sized(size)}, {did}", rows, root=readable(root), bytes=size, dry_run=dry_run
    )
