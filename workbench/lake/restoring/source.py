"""Which snapshot is meant, and whether it may be restored by this library at all."""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from workbench.errors import BrokenBackup, NewerLake, UsageError
from workbench.lake.backup.backups import ID
from workbench.lake.backup.manifest import Manifest
from workbench.lake.identity import FORMAT
from workbench.lake.restoring.swapping import NAME

# No snapshot has them: who works there now, and a restore under way, which the next open would end.
NEVER = ("locks", "tmp", NAME)
# DEST, DEST/snapshots/<id>.json, DEST#<id>
NAMED = re.compile(rf"(?P<where>.+?)(?:/snapshots/(?P<file>{ID})\.json|#(?P<id>{ID}))/?")


def located(source: str, snapshot: str | None = None) -> tuple[str, str | None]:
    """The place of the backups and the id of a snapshot; None for the newest that is complete.

    Raises `UsageError` for a source that names one snapshot where another is asked for.
    """
    told = NAMED.fullmatch(source)
    if not told:
        return source, snapshot
    named = told["file"] or told["id"]
    if snapshot and snapshot != named:
        raise UsageError(f"{source} names snapshot {named}, and --snapshot {snapshot}; nothing was restored. Give one of them.")
    return told["where"], named


def expect_sound(manifest: Manifest) -> None:
    """Raise `NewerLake` for a lake of a later format, and `BrokenBackup` for files that would not stand below the root."""
    if manifest.format > FORMAT:
        raise NewerLake(
            f"snapshot {manifest.id} is of a lake of format {manifest.format}, made by workbench {manifest.library}; this one reads up to {FORMAT}. "
            "Nothing was restored; install that version, or a later one, and run the command again."
        )
    odd = next(outside(one.path for one in manifest.files), None)
    if odd is not None:
        raise BrokenBackup(
            f"snapshot {manifest.id} names {odd!r}, which would not stand below the lake's root as a file of a lake; nothing was restored. The snapshot was altered: take "
            "another (`workbench backup list`)."
        )


def outside(paths: Iterable[str]) -> Iterator[str]:
    """Paths that lead out of a root, or that name it, that stand twice, or below another file, and those of processes at work."""
    named = list(paths)
    every, seen = set(named), set[str]()
    for text in named:
        path = PurePosixPath(text)
        leads = not path.parts or path.is_absolute() or ".." in path.parts or "\0" in text or path.as_posix() != text
        if leads or text in seen or path.parts[0] in NEVER or any(above.as_posix() in every for above in path.parents):
            yield text
        seen.add(text)
