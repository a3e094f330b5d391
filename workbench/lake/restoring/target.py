"""The place where a lake is to be restored: what is there, and what of it a restored one takes the place of."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from workbench.errors import Busy, LakeError, UsageError
from workbench.lake.log import TableLog
from workbench.lake.readers import registered
from workbench.tables import TABLES

# What a lake keeps at its root; anything else there is somebody's, and stays.
OWN = ("lake", "journal", "quarantine", "rejects", "runs", "schedules.json", "lake.json", "access.json")
# Locks are those of living processes, and drafts are nobody's state: neither moves.
STAY = ("locks", "tmp")
# What restores themselves make within a root that is a disk of its own, and what such a disk has.
OURS = (".restoring-", ".before-", "restoring.json", "lost+found")
# Who may is not what is there: an older list of tokens would give back what was revoked since.
PRESENT = ("access.json",)


@dataclass(frozen=True)
class Target:
    """What stands at a root: nothing, a file, a lake (also one of which only parts are left), or something else.

    `tables` are those with commits and `newest` the time of the newest of these; `other` names what is no lake's.
    """

    root: Path
    kind: Literal["nothing", "file", "lake", "other"]
    own: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    tables: int = 0
    newest: datetime | None = None

    def __str__(self) -> str:
        if self.kind != "lake":
            return {"nothing": "nothing is there", "file": "a file", "other": f"a folder with {', '.join(self.other[:3])}"}[self.kind]
        if not self.tables:
            return f"what is left of a lake ({', '.join(self.own)})" if "lake" not in self.own else "a lake without a commit"
        newest = f", the newest commit of {self.newest:%Y-%m-%d %H:%M:%S} UTC" if self.newest else ""
        return f"a lake of {self.tables} table{'s' * (self.tables != 1)}{newest}"


def look(root: Path) -> Target:
    """What stands at a root. Raises `LakeError` for one that cannot be looked into."""
    if not os.path.lexists(root):
        return Target(root, "nothing")
    if not root.is_dir():
        return Target(root, "file")
    try:
        names = sorted(entry.name for entry in root.iterdir())
    except OSError as fault:
        raise LakeError(f"{root} cannot be looked into ({fault.strerror}); nothing was restored. Take another root.") from fault
    own = tuple(name for name in names if name in OWN)
    other = tuple(name for name in names if name not in OWN and name not in STAY and not name.startswith(OURS))
    if own:
        tables, newest = told(root)
        return Target(root, "lake", own, other, tables, newest)
    return Target(root, "other" if other else "nothing", (), other)


def told(root: Path) -> tuple[int, datetime | None]:
    """How many tables have commits, and when the newest was made; a log that cannot be read tells nothing."""
    logs = [TableLog(root, name) for name in TABLES]
    logs += [
        TableLog(root, f"{folder.parent.name}.{folder.name}") for folder in (root / "lake").glob("*/*") if folder.parent.name != "main"
    ]
    held, times = 0, []
    for log in logs:
        try:
            newest = max((int(path.stem) for path in (log.folder / "_delta_log").glob("[0-9]*.json") if path.stem.isdigit()), default=-1)
            if newest >= 0:
                held += 1
                times.append(log._commit(newest).at)
        except (LakeError, OSError):
            continue
    return held, max(times, default=None)


def record_names(root: Path) -> list[str]:
    """The tables of a lake that are not the market's, by full name: by their folders, since what declares them may be damaged."""
    folders = (path for path in sorted((root / "lake").glob("*/*")) if path.is_dir() and path.parent.name != "main")
    return [f"{path.parent.name}.{path.name}" for path in folders]


def expect_free(target: Target, *, replace: bool) -> None:
    """Raise `UsageError` where nothing may be restored: a file, somebody's folder, and a lake that is not to be replaced."""
    root = target.root
    if target.kind == "file":
        raise UsageError(
            f"{root} is a file; nothing was restored. Name a folder that is not there yet, as {root.with_name(root.name + '-restored')}."
        )
    if target.kind == "other":
        raise UsageError(
            f"{root} holds no lake, and is not empty ({', '.join(target.other[:3])}{', …' * (len(target.other) > 3)}); nothing was restored. Name a "
            "folder that is empty or not there yet."
        )
    if target.kind == "lake" and not replace:
        raise UsageError(
            f"{root} holds {target}; nothing was restored. Name a folder that is not there yet; or put the backup in the place of that lake with --replace "
            "(replace=True), which keeps it beside."
        )


def expect_apart(root: Path, place: Path | None) -> None:
    """Raise `UsageError` for a root within the folder of the backups, which holds nothing else."""
    if place is not None and root.is_relative_to(place.resolve()):
        raise UsageError(f"{root} lies in {place}, where the backups stand; nothing was restored. Name a folder apart from it.")


def made_work(root: Path) -> None:
    """Make the folders that a lake has besides what a backup holds. Its name is the backup's: none is given here."""
    for name in ("lake", "tmp", "quarantine", "locks"):
        (root / name).mkdir(parents=True, exist_ok=True)


def places(root: Path, snapshot: str) -> tuple[Path, Path]:
    """Where a restored lake is built, and where what it takes the place of is kept: on the root's own disk, since they are renamed.

    Beside the root; inside it where it is a disk of its own, or where nothing can be written beside it.
    """
    inside = root.is_dir() and (os.path.ismount(root) or not os.access(root.parent, os.W_OK | os.X_OK))
    build = root / f".restoring-{snapshot}" if inside else root.with_name(f"{root.name}.restoring-{snapshot}")
    before = root / f".before-{snapshot}" if inside else root.with_name(f"{root.name}.before-{snapshot}")
    count = 1
    while os.path.lexists(before):
        count += 1
        before = before.with_name(f"{before.name.partition('~')[0]}~{count}")
    return build, before


def sessions(root: Path) -> list[Path]:
    """The registrations of living sessions that read the lake."""
    # Those of the dead are removed on the way; one that cannot be read counts as living.
    with suppress(Busy):
        registered(root)
    return sorted((root / "locks" / "readers").glob("*.json"))


def expect_room(folder: Path, needed: int) -> None:
    """Raise `LakeError` if the disk has not so many bytes left."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise LakeError(
            f"the disk that holds {place} has {free:,} bytes left, and {needed:,} are to be written; nothing was restored. Free some space, or name a "
            "place on another disk."
        )
