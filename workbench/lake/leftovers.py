"""What processes that are no more left in the folders for work: drafts, partial downloads, spill files, refused rows without a record.

Whoever still lives keeps what is theirs: drafts and spill folders carry machine and process in their names, and what carries none is
left until nobody has touched it for longer than any of our processes would.
"""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.lake.operations import Operations
from workbench.lake.processes import dead, ours
from workbench.lake.remote.where import remote_of

UNTOLD = "refused, without a record"
DAY_S = 24 * 3600.0
# A download goes on where it stopped, so that what came before is worth keeping for a while; so are the ranges of a chunk that was not finished.
RESUMABLE_S = 7 * DAY_S


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nobody will come back to. `kind` says what it was."""

    kind: str
    path: Path
    size: int


def clean(root: Path, scratch: Path, spill: Path | None = None, *, dry_run: bool = True) -> list[Leftover]:
    """Remove what nobody will come back to under a lake's root and this machine's own folder, and say what it was.

    `spill` is the folder where DuckDB spills. A dry run removes nothing.
    """
    found = [Leftover(kind, path, size_of(path)) for kind, path in sorted(set(abandoned(root, scratch, spill or scratch / "spill")))]
    if not dry_run:
        discard(found)
    return found


def discard(found: Sequence[Leftover]) -> None:
    """Remove leftovers."""
    for one in found:
        if one.kind == UNTOLD and (remote := remote_of(one.path)):
            remote.remove(remote.name(one.path))
        if one.path.is_dir():
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            one.path.unlink(missing_ok=True)


def abandoned(root: Path, scratch: Path, spill: Path) -> Iterator[tuple[str, Path]]:
    """What can go, each with its kind."""
    for path in (root / "tmp").glob("land-*"):
        made_by = path.name.removeprefix("land-")
        if dead(made_by) or (not ours(made_by) and idle_s(path) > RESUMABLE_S):
            yield "drafts of a landing", path
    for path in (root / "tmp").glob("cold-*"):
        if idle_s(path) > RESUMABLE_S:
            yield "drafts of a compaction", path
    for path in (scratch / "fetch").glob("*"):
        # A private part is resumed by nobody; a lock that is held was taken by a download that began just now.
        private = re.search(r"\.[0-9a-f]{8}\.part$", path.name) or path.suffix == ".lock"
        if idle_s(path) > (DAY_S if private else RESUMABLE_S):
            yield "downloads", path
    for path in (root / "tmp" / "coming").glob("*"):
        # On its way from a bucket: by a process that was killed, it is nobody's.
        if idle_s(path) > DAY_S:
            yield "downloads", path
    for path in spill.glob("*"):
        # Folders of older versions carry no machine in their names.
        if dead(f"{path.name.rpartition('~')[2]}-00000000") or (path.name.isdigit() and idle_s(path) > DAY_S):
            yield "spill", path
    for path in scratch.glob("tmp????????"):
        if path.is_dir() and idle_s(path) > DAY_S:
            yield "results", path
    for path in scratch.glob("drill-*"):
        if dead(path.name.removeprefix("drill-")):
            yield "a drill", path
    for path in (root / "locks" / "readers").glob("*"):
        if (path.suffix == ".json" and dead(path.stem)) or (path.suffix == ".draft" and idle_s(path) > DAY_S):
            yield "registrations", path
    for path in (root / "lake").glob("*/*/_delta_log/*"):
        # Delta writes a commit beside its place and moves it there.
        if (path.suffix == ".tmp" or "#" in path.name) and idle_s(path) > DAY_S:
            yield "drafts of a commit", path
    yield from (("rows of a write that was not finished, or that is folded", path) for path in unnamed(root))
    for path in (root / "quarantine").glob("*/*/*"):
        if (path.name.startswith(".") or (remote_of(root) is None and unexplained(path))) and idle_s(path) > DAY_S:
            yield UNTOLD, path
    if remote := remote_of(root):
        now, there = remote.now(), {one.name: one for one in remote.below("quarantine/")}
        for name, one in there.items():
            stem, told = explained(name)
            if stem and now - one.at > DAY_S and told.isdisjoint(there):
                yield UNTOLD, root / name


def unnamed(root: Path) -> Iterator[Path]:
    """The files of rows that the journal does not name, and that nobody has touched for a day; a fold touches them when it takes them out of it."""
    # The disk first: a file that is written down meanwhile is then named.
    old = [path for path in (root / "journal" / "rows").glob("*") if idle_s(path) > DAY_S]
    if old:
        journal = Operations(root)
        try:
            named = journal.files()
        except WorkbenchError:
            # What it names is not known then.
            return
        finally:
            journal.close()
        yield from (path for path in old if path not in named)


def unexplained(path: Path) -> bool:
    """Whether refused rows, or a refused file, have no record beside them: the process ended between writing the one and the other."""
    stem, told = explained(path.name)
    return bool(stem) and not any(path.with_name(name).exists() for name in told)


def explained(name: str) -> tuple[str, set[str]]:
    """Of what is refused, the name without its ending, and the names that a record of it may have; nothing of another file."""
    for ending in (".rows.parquet", ".csv.gz"):
        if name.endswith(ending):
            stem = name.removesuffix(ending)
            return stem, {f"{stem}.{kind}.json" for kind in ("rows", "file")}
    return "", set()


def idle_s(path: Path) -> float:
    """For how many seconds nobody has touched a file, or a folder and what is in it."""
    newest = 0.0
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        try:
            newest = max(newest, one.stat().st_mtime)
        except FileNotFoundError:
            # Somebody is at it.
            return 0.0
    return time.time() - newest


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; of an object that is not on this machine, those it has in the bucket."""
    if not path.exists() and (remote := remote_of(path)):
        return remote.size(remote.name(path)) or 0
    return sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file())
