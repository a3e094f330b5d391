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
        if (path.name.startswith(".") or unexplained(path)) and idle_s(path) > DAY_S:
            yield "refused, without a record", path


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
    for ending in (".rows.parquet", ".csv.gz"):
        if path.name.endswith(ending):
            stem = path.name.removesuffix(ending)
            return not any(path.with_name(f"{stem}.{kind}.json").exists() for kind in ("rows", "file"))
    return False


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
    """Bytes of a file, or of the files in a folder."""
    return sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file())
