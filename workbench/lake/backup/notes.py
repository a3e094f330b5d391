"""What was last done to keep a lake safe: the newest backup, drill and restore, and the newest that was good, in `journal/backups.json`.

The note is for whoever looks after the lake (`health`, metrics); no backup depends on it.
"""

import json
import os
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from workbench.lake.disk import disk, sync
from workbench.lake.store import utc_now

KINDS = ("backup", "drill", "restore", "verify")
NAME = "backups.json"
# For so long another process that writes its own note is waited for.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Note:
    """One thing that was done: `kind` is one of `KINDS`, `at` its end (UTC), `where` the backups' place, `size` bytes, `said` what came of it in a sentence."""

    kind: str
    at: datetime
    where: str
    snapshot: str = ""
    good: bool = True
    seconds: float = 0.0
    size: int = 0
    said: str = ""


def noted(
    root: Path, kind: str, where: str, snapshot: str = "", *, good: bool = True, seconds: float = 0.0, size: int = 0, said: str = ""
) -> Note:
    """Write down that something was done just now. Raises `LakeError` for a disk that is full or cannot be written."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not one of {KINDS}")
    made = Note(kind, datetime.fromisoformat(utc_now()), where, snapshot, good, seconds, size, said)
    with disk(root, f"it was not noted that there was a {kind}"):
        for folder in ("journal", "locks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        with FileLock(root / "locks" / "backups.lock", timeout=PATIENCE_S):
            held = kept(root)
            told = asdict(made) | {"at": made.at.isoformat(timespec="milliseconds")}
            before = held.get(kind, {})
            held[kind] = {"last": told, "good": told if good else before.get("good")}
            put(root / "journal" / NAME, held)
    return made


def last(root: Path, kind: str, *, good: bool = False) -> Note | None:
    """The newest of a kind, or the newest `good` one; None if there was none, or if the note cannot be read."""
    told: Any = kept(root).get(kind, {}).get("good" if good else "last")
    with suppress(TypeError, ValueError, KeyError):
        known = {field.name: told[field.name] for field in fields(Note) if field.name in told}
        at = datetime.fromisoformat(known["at"])
        return Note(**known | {"at": at if at.tzinfo else at.replace(tzinfo=UTC)})
    return None


def kept(root: Path) -> dict[str, dict[str, Any]]:
    """What the file says; nothing where it is not there or is damaged: it is written anew then."""
    try:
        told = json.loads((root / "journal" / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {kind: one for kind, one in told.items() if isinstance(one, dict)} if isinstance(told, dict) else {}


def put(path: Path, held: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.draft")
    try:
        draft.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)
