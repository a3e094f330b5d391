"""Old snapshots removed, and then the objects that no snapshot names any more."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workbench.errors import BrokenBackup, UsageError
from workbench.lake.backup.backups import Backups, Outline
from workbench.lake.backup.locking import held

LOG = logging.getLogger("workbench.backup")


@dataclass(frozen=True)
class Pruned:
    """What was removed of a place, or would be: snapshots by their ids, objects and their bytes; and what stays."""

    snapshots: tuple[str, ...]
    kept: tuple[str, ...]
    objects: int
    size: int
    kept_size: int


def prune(backups: Backups, keep: timedelta, *, dry_run: bool = True, now: datetime | None = None) -> Pruned:
    """Remove the snapshots that are older than `keep`, never the newest, and all objects that no other names, those of killed backups with them.

    Killed in the middle it leaves every snapshot that is still there whole, and the next prune goes on. Raises `Busy` while a backup is made there, and
    `BrokenBackup` for a snapshot that cannot be read: which objects it names is not known then, and nothing is removed.
    """
    if keep < timedelta(0):
        raise UsageError(f"snapshots cannot be kept for {keep}; nothing was removed. Give an age of zero or more.")
    if dry_run:
        return looked(backups, keep, now)[0]
    with held(backups.at, "workbench backup prune", "nothing was removed") as place:
        found, objects = looked(backups, keep, now)
        place.expect()
        for id in found.snapshots:
            backups.at.remove(f"snapshots/{id}.json")
        # A snapshot must not come back after a loss of power when its objects do not.
        backups.at.settle()
        for number, name in enumerate(objects):
            if number % 1000 == 0:
                place.expect()
            backups.at.remove(name)
        backups.at.sweep()
        backups.forget()
    LOG.info("%s: %d snapshots and %d objects removed", backups.where, len(found.snapshots), found.objects)
    return found


def looked(backups: Backups, keep: timedelta, now: datetime | None) -> tuple[Pruned, list[str]]:
    """What can go, and the objects that go with it."""
    backups.forget()
    outlines = [known(backups, id) for id in backups.ids()]
    before = (now or datetime.now(UTC)) - keep
    old = {one.id for one in outlines[:-1] if datetime.fromisoformat(one.finished) < before}
    named = {name for one in outlines if one.id not in old for name in one.objects}
    gone = {name: size for name, size in backups.objects.items() if name not in named}
    kept = sum(size for name, size in backups.objects.items() if name in named)
    return Pruned(tuple(sorted(old)), tuple(one.id for one in outlines if one.id not in old), len(gone), sum(gone.values()), kept), sorted(
        gone
    )


def known(backups: Backups, id: str) -> Outline:
    """What a snapshot names. Raises `BrokenBackup` with what to do before anything can be removed."""
    try:
        return backups.outline(id)
    except BrokenBackup as fault:
        raise BrokenBackup(
            f"{backups.file_of(id)} cannot be read, so which objects it names is not known; nothing was removed. Bring it back from a copy of the backup, or "
            f"remove it yourself, and run the command again. ({fault})"
        ) from fault
