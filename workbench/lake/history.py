"""The history of a table's files: which commit added each, which removed it; read from the commits themselves, not from checkpoints."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.errors import LakeError
from workbench.lake.remote.where import readable

COMMIT_DIGITS = 20


@dataclass(frozen=True)
class Life:
    """A data file: the version that added it, and the one that removed it, with when (milliseconds since 1970)."""

    size: int
    added: int
    removed: int | None = None
    removed_ms: int = 0
    stats: str | None = None
    partition: dict[str, str | None] = field(default_factory=dict)

    def within(self, low: int, high: int) -> bool:
        """Whether one of the versions from `low` to `high` lists it."""
        return self.added <= high and (self.removed is None or self.removed > low)


@dataclass
class History:
    """What the commits say, up to `version`. `faults` are the commits that are missing or cannot be read, with why."""

    version: int = -1
    files: dict[str, Life] = field(default_factory=dict)
    infos: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: dict[Path, str] = field(default_factory=dict)

    @property
    def live(self) -> dict[str, Life]:
        """The files that the newest version lists."""
        return {path: life for path, life in self.files.items() if life.removed is None}


def history(folder: Path, upto: int | None = None) -> History:
    """A table's history, as far as its commits can be read; up to a version, if one is given."""
    log = folder / "_delta_log"
    found = History()
    names = {path.name: path for path in log.glob("*.json")}
    # Compacted logs and drafts of commits have longer names.
    versions = sorted(int(path.stem) for path in names.values() if path.stem.isdigit() and len(path.stem) == COMMIT_DIGITS)
    versions = [version for version in versions if upto is None or version <= upto]
    found.version = versions[-1] if versions else -1
    held = set(versions)
    for version in range(found.version + 1):
        path = log / f"{version:020}.json"
        if version not in held:
            found.faults[path] = "it is missing, and later commits are there"
            continue
        try:
            take(found, version, path)
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as fault:
            found.faults[path] = f"it cannot be read: {str(fault) or type(fault).__name__}"
    return found


def take(found: History, version: int, path: Path) -> None:
    """Take in one commit, all of it or nothing."""
    actions = list(lines(path))
    if not any("commitInfo" in action for action in actions):
        raise ValueError("it says nothing of itself")
    adds = [action["add"] for action in actions if "add" in action]
    removes = [action["remove"] for action in actions if "remove" in action]
    [info] = [action["commitInfo"] for action in actions if "commitInfo" in action]
    int(info["timestamp"])
    # A file that comes back, as a reset that is undone brings it, was there before: who reads an early version needs it.
    since = {add["path"]: min(version, found.files[add["path"]].added) if add["path"] in found.files else version for add in adds}
    born = {add["path"]: Life(add["size"], since[add["path"]], None, 0, add.get("stats"), add["partitionValues"]) for add in adds}
    gone = {one["path"]: int(one.get("deletionTimestamp") or info["timestamp"]) for one in removes}
    for name, at in gone.items():
        life = found.files.get(name) or Life(0, 0)
        found.files[name] = replace(life, removed=version, removed_ms=at)
    found.files.update(born)
    found.infos[version] = info


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The actions of a commit."""
    with path.open(encoding="utf-8") as text:
        for line in text:
            if line.strip():
                yield json.loads(line)


def sound(folder: Path, undone: str, upto: int | None = None) -> History:
    """A table's history, up to a version if one is given. Raises `LakeError` if a commit is missing or cannot be read: what it lists would look like nobody's."""
    found = history(folder, upto)
    for path, why in found.faults.items():
        name = folder.name if folder.parent.name == "main" else f"{folder.parent.name}.{folder.name}"
        raise LakeError(f"{readable(path)} is damaged ({why}); {undone}. Run `workbench verify {name}`, which says what to do.")
    return found
