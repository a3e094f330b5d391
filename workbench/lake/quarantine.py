"""What was refused, kept apart with its reason: `quarantine/<table>/<session>/`.

A refused file stands there as it came, `<feed>-<etag>.csv.gz`; refused rows stand in `<feed>-<etag>.rows.parquet`, as text, with
the reason of each. A `.json` beside either says what happened. Names follow from the object, so that trying again changes nothing.

Of a lake in a bucket they stand there, under the same names: the file comes first, and then what is said of it. This machine mirrors what is said.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import LandingError
from workbench.lake.disk import place as put
from workbench.lake.remote.where import remote_of
from workbench.tables import locate

UNREADABLE = "unreadable record"


@dataclass(frozen=True)
class Refusal:
    """A file, or rows of it, that did not land. `kind` is the error's class for a file, "rows" for rows."""

    key: str
    etag: str
    size: int
    source: str
    table: str
    session: date
    kind: str
    reason: str
    rows: int
    library: str
    at: str
    path: Path

    @property
    def whole(self) -> bool:
        """Whether the whole file was refused."""
        return self.kind not in ("rows", UNREADABLE)


def place(root: Path, key: str, etag: str) -> Path:
    """Where what is refused of an object stands, without its ending."""
    located = locate(key)
    assert located, key
    table, feed, day = located
    return root / "quarantine" / table.name / day.isoformat() / f"{feed.prefix.replace('/', '.')}-{safe(etag)}"


def safe(etag: str) -> str:
    """An ETag as a file name."""
    return "".join(c if c.isalnum() or c == "-" else "_" for c in etag)[:48]


def refuse_file(root: Path, path: Path, fault: LandingError, **of: Any) -> Refusal:
    """Keep a faulty file: a copy beside its reason. The copy is made first, so that a crash between the two is tried again."""
    stem = place(root, of["key"], of["etag"])
    kept = stem.with_name(f"{stem.name}.csv.gz")
    stem.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_name(f".{os.getpid()}.{kept.name}")
    try:
        shutil.copyfile(path, draft)
        put(draft, kept)
    finally:
        draft.unlink(missing_ok=True)
    return write(stem, Refusal(**of, kind=type(fault).__name__, reason=str(fault), rows=0, path=kept))


def write(stem: Path, refusal: Refusal) -> Refusal:
    """Write what happened beside what was refused."""
    target = stem.with_name(f"{stem.name}.{'file' if refusal.whole else 'rows'}.json")
    draft = target.with_name(f".{os.getpid()}.{target.name}")
    draft.write_text(json.dumps({**asdict(refusal), "session": refusal.session.isoformat(), "path": refusal.path.name}, indent=1))
    put(draft, target)
    return refusal


def remove(root: Path, paths: Iterable[Path]) -> None:
    """Take files out of quarantine, those that are there."""
    paths = list(paths)
    if (remote := remote_of(root)) and paths:
        remote.remove_all(map(remote.name, paths))
    for path in paths:
        path.unlink(missing_ok=True)


def named(root: Path, table: str, name: str) -> list[Path]:
    """What stands in a table's quarantine of refused rows of a name, on any day: the rows, and what is said of them."""
    folder, endings = root / "quarantine" / table, (f"{name}.rows.json", f"{name}.rows.parquet")
    if remote := remote_of(root):
        return [root / one.name for one in remote.below(f"quarantine/{table}/") if one.name.rpartition("/")[2] in endings]
    return [path for ending in endings for path in folder.glob(f"*/{ending}")]


def here(refusal: Refusal) -> Path:
    """What was refused, on this machine: brought from the bucket if it is not. Raises `FileNotFoundError` if it is gone."""
    if remote := remote_of(refusal.path):
        return remote.mirror.bring(refusal.path)
    if not refusal.path.exists():
        raise FileNotFoundError(refusal.path)
    return refusal.path


def has(refusal: Refusal) -> bool:
    """Whether what was refused is there, wherever the lake stands."""
    remote = remote_of(refusal.path)
    return remote.size(remote.name(refusal.path)) is not None if remote else refusal.path.exists()


def refusals(root: Path, table: str | None = None) -> Iterator[Refusal]:
    """Everything that was refused and still stands in quarantine."""
    if remote := remote_of(root):
        remote.mirror.look_small("quarantine/", ".json")
    for path in sorted((root / "quarantine").glob(f"{table or '*'}/*/*.json")):
        if path.name.startswith("."):
            continue
        try:
            record = json.loads(path.read_text())
            refusal = Refusal(**{**record, "session": date.fromisoformat(record["session"]), "path": path.with_name(record["path"])})
        except (ValueError, KeyError, TypeError, OSError) as fault:
            reason = f"{path} cannot be read ({fault}); what it told of is beside it. Remove it when you have looked"
            name, day = path.parts[-3:-1]
            refusal = Refusal("", "", 0, "", name, date.fromisoformat(day), UNREADABLE, reason, 0, "", "", path)
        yield refusal
