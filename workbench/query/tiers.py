"""What compaction, retention and maintenance give to look at."""

from collections.abc import Sequence
from pathlib import Path

from workbench.lake.maintain import Done, Upkeep
from workbench.lake.remote.where import readable
from workbench.lake.retention import Leaving
from workbench.query.report import Report, sized


def upkept(root: Path, upkeep: Upkeep, notes: Sequence[str] = ()) -> Report:
    """A row for each thing that was done: files, rows and bytes before and after."""
    rows = [
        {
            "task": one.kind,
            "table": one.table,
            "chunk": one.chunk,
            "outcome": one.outcome,
            "rows": one.rows,
            "files": one.files,
            "new_files": one.new_files,
            "bytes": one.size,
            "new_bytes": one.new_size,
            "seconds": round(one.seconds, 3),
            "reason": one.reason,
        }
        for one in upkeep.done
    ]
    told = [sentence(upkeep.done, outcome) for outcome in ("summed up", "compacted", "archived", "dropped", "removed")]
    bad = sum(one.outcome in ("refused", "busy", "failed", "overtaken") for one in upkeep.done)
    told += [f"{bad} not done"] * bool(bad) + [f"{upkeep.left} left for the next run"] * bool(upkeep.left)
    title = f"{readable(root)}: {'; '.join(filter(None, told)) or 'nothing to do'}, in {upkeep.seconds:.1f} s"
    facts = {"left": upkeep.left, "seconds": round(upkeep.seconds, 3), "exit_status": upkeep.exit_status, "notes": list(notes)}
    return Report(title, rows, ("seconds", "new_files"), root=readable(root), **facts)


def sentence(done: Sequence[Done], outcome: str) -> str:
    """What ended in one way: chunks, rows, files and bytes before and after."""
    its = [one for one in done if one.outcome == outcome]
    if not its:
        return ""
    files, size = sum(one.files for one in its), sum(one.size for one in its)
    if outcome == "removed":
        return f"{files:,} old files removed ({sized(size)})"
    if outcome == "summed up":
        return f"{len(its)} chunks summed up ({sum(one.rows for one in its):,} rows)"
    rows, new_files, new_size = (sum(getattr(one, name) for one in its) for name in ("rows", "new_files", "new_size"))
    after = f" → {new_files:,} files, {sized(new_size)}" if outcome == "compacted" else f" → {sized(new_size)}" * bool(new_size)
    return f"{len(its)} chunks {outcome} ({rows:,} rows, {files:,} files, {sized(size)}{after})"


def leaving(root: Path, plan: Sequence[Leaving], *, policies: int) -> Report:
    """What retention would take out, and what it refuses to."""
    rows = [
        {
            "table": one.table,
            "chunk": one.chunk,
            "action": "refused" if one.refusal else one.then,
            "first": min(one.days, default=None),
            "last": max(one.days, default=None),
            "sessions": len(one.days),
            "rows": one.rows,
            "files": len(one.files),
            "bytes": one.size,
            "reason": one.refusal,
        }
        for one in plan
    ]
    going = [one for one in plan if not one.refusal]
    what = (
        f"{len(going)} chunks, {sum(one.rows for one in going):,} rows, {sized(sum(one.size for one in going))}, would leave; nothing did"
    )
    refused = f", {len(plan) - len(going)} refused" * (len(going) < len(plan))
    title = f"{readable(root)}: {what}{refused}" if policies else f"{readable(root)}: workbench.toml has no [retention]: everything is kept"
    status = 3 if refused else 0
    return Report(title, rows, ("files", "first", "last"), root=readable(root), dry_run=True, exit_status=status, notes=[])
