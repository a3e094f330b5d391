"""What is known of the lake's files from backups before: `journal/backup-index.json`, so that what has not changed is not read again.

A file counts as unchanged where its size, number, and instants of change of bytes and of anything else are those that were noted, as git and others have it.
It only spares reading: without it all is read, and nothing is copied twice.
"""

import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from workbench.errors import LakeError
from workbench.lake.disk import disk

NAME = "backup-index.json"
# A file that was changed so shortly before it was read may be changed again without its instants telling.
SETTLED_NS = 2_000_000_000

Mark = tuple[int, int, int, int]


def mark(stat: os.stat_result) -> Mark:
    """What tells a file from what it was."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def of_object(size: int) -> Mark:
    """What tells an object of the lake's bucket, whose name is given once."""
    return size, 0, 0, 0


class Index:
    """The sha256 of files by their paths below the root, as long as they are what they were. Safe for threads."""

    def __init__(self, root: Path):
        self._path = root / "journal" / NAME
        self._root = root
        self._held: dict[str, tuple[Mark, str]] = {}
        # Damaged or another version's: everything is read again.
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            told = json.loads(self._path.read_text(encoding="utf-8"))
            self._held = {path: ((int(a), int(b), int(c), int(d)), str(sha)) for path, (a, b, c, d, sha) in told["files"].items()}

    def sha256(self, path: str, known: Mark) -> str:
        """The sha256 of a file that is as it was; empty if it is not known."""
        held = self._held.get(path)
        return held[1] if held and held[0] == known else ""

    def take(self, path: str, known: Mark, sha256: str) -> None:
        """Note the sha256 of a file that was read, by what was known of it before."""
        if time.time_ns() - max(known[1:3]) > SETTLED_NS:
            self._held[path] = known, sha256

    def save(self, kept: Mapping[str, object]) -> None:
        """Write down what is known of files that a snapshot holds. A disk on which that cannot be done only costs the next backup its time."""
        told = {path: [*held[0], held[1]] for path, held in self._held.items() if path in kept}
        draft = self._path.with_name(f".{NAME}.{os.getpid()}.{uuid.uuid4().hex[:8]}.draft")
        try:
            with suppress(LakeError, OSError), disk(self._root, "it was not noted what the files are"):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                draft.write_text(json.dumps({"files": told}), encoding="utf-8")
                draft.replace(self._path)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
