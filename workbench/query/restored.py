"""A restore as a report: what would be done, and what was."""

from collections.abc import Sequence
from pathlib import Path

from workbench.lake.remote.where import readable
from workbench.lake.restoring import restore
from workbench.lake.restoring.building import Say
from workbench.lake.restoring.restore import Plan, Restored
from workbench.query.report import Report, sized


def restored(
    source: str, root: Path, snapshot: str | None = None, *, replace: bool = False, identities: Sequence[str] = (), say: Say | None = None
) -> Report:
    """Restore a snapshot (default: the newest) to a root. Raises as `workbench.lake.restoring.restore.restore` does."""
    return told(restore.restore(source, root, snapshot, replace=replace, identities=identities, say=say))


def planned(plan: Plan) -> Report:
    """What a restore would do: a row for each table that comes."""
    manifest = plan.manifest
    size = sum(one.size for one in manifest.files)
    rows = [{"table": name, "version": state.version, "rows": state.rows} for name, state in sorted(manifest.tables.items())]
    title = f"snapshot {manifest.id} of {manifest.root} ({len(manifest.files):,} files, {sized(size)}) comes to {readable(plan.root)}"
    notes = list(plan.notes)
    if plan.target.kind == "lake":
        title += f", in the place of {plan.target}"
        notes.append(f"what is there is kept beside, as a folder with .before-{manifest.id} in its name")
    return Report(
        title, rows, where=plan.where, snapshot=manifest.id, at=manifest.at, root=readable(plan.root), there=str(plan.target), notes=notes
    )


def told(done: Restored) -> Report:
    """What a restore did: a row for each table that came."""
    rows = [{"table": name, "version": state.version, "rows": state.rows} for name, state in sorted(done.tables.items())]
    rate = f" at {sized(done.size / done.seconds)}/s" if done.seconds and done.fetched else ""
    title = f"{readable(done.root)} holds snapshot {done.snapshot}, of {done.at}: {done.files:,} files, {sized(done.size)}, in {done.seconds:.1f} s{rate}"
    notes = [*done.notes]
    if done.found:
        notes.insert(0, f"{done.found:,} files stood there from a run that did not come to its end, and were kept")
    return Report(
        title,
        rows,
        root=readable(done.root),
        where=done.where,
        snapshot=done.snapshot,
        at=done.at,
        files=done.files,
        size_bytes=done.size,
        fetched=done.fetched,
        found=done.found,
        before=str(done.before) if done.before else None,
        seconds=round(done.seconds, 3),
        notes=notes,
    )
