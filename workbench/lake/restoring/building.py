"""A snapshot's files, written into a folder of their own: each checked by its sha256 while it comes, and there for good before the next step.

The folder is no lake until it has the name of one. Killed, it is gone on with: what stands in its place with the right bytes stays.
"""

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Set
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from workbench.errors import BrokenBackup, Busy, UsageError
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.manifest import Kept, Manifest
from workbench.lake.disk import disk, place, scratch, sync
from workbench.lake.locks import Holder, write
from workbench.lake.restoring.target import made_work
from workbench.lake.store import Lake

WORKERS = 4
PIECE = 1 << 20
# Of names that no folder can have: too long, below a file, in a circle of links.
NO_FOLDER = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.ELOOP}

# Files done, files in all, bytes done.
Say = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Filled:
    """What filling a folder took: files and bytes that were fetched, and files that stood there already from a run before."""

    fetched: int
    size: int
    found: int


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Have a folder for oneself, made if it is not there. Raises `Busy` if another process fills it."""
    path, note = folder / "locks" / "restore.lock", folder / "locks" / "restore.json"
    with disk(folder, "nothing was restored"):
        # Others have no business here before it is whole.
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            if fault.errno not in NO_FOLDER:
                raise
            raise UsageError(f"{folder} cannot be made ({fault.strerror}); nothing was restored. Name another folder.") from fault
        path.parent.mkdir(exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout as fault:
            who = Holder.read(note) or "another process"
            raise Busy(f"{folder} is being filled by {who}; nothing was restored. Wait until it has finished.") from fault
    try:
        write(note, Holder.here("workbench restore"))
        yield
    finally:
        # By the time of a rename they have moved with the folder; what they are told of is over.
        for gone in (note, path):
            gone.unlink(missing_ok=True)
        lock.release()
        # Where nothing came, nothing stays.
        with suppress(OSError):
            path.parent.rmdir()
            folder.rmdir()


def filled(folder: Path, backups: Backups, manifest: Manifest, say: Say | None = None) -> Filled:
    """Have a folder hold a snapshot's files and nothing else.

    Raises `BrokenBackup` for an object that is missing or altered, and `LakeError` for a full disk; what is whole by then stays, for the next run.
    """
    lock = threading.Lock()
    state = {"bytes": 0, "files": 0, "found": 0, "fetched": 0}
    stop = threading.Event()

    def one(kept: Kept, drafts: Path, number: int) -> None:
        if stop.is_set():
            return
        target = folder.joinpath(*PurePosixPath(kept.path).parts)
        found = same(target, kept)
        if not found:
            draft = drafts / str(number)
            backups.fetch(kept, draft, snapshot=manifest.id)
            place(draft, target)
        with lock:
            state["bytes"] += kept.size
            state["files"] += 1
            state["found" if found else "fetched"] += 1 if found else kept.size
            if say:
                say(state["files"], len(manifest.files), state["bytes"])

    with disk(folder, f"snapshot {manifest.id} was not restored"), scratch(folder) as drafts:
        cleared(folder, {one.path for one in manifest.files}, drafts)
        with ThreadPoolExecutor(min(WORKERS, max(len(manifest.files), 1))) as pool:
            work = [pool.submit(one, kept, drafts, number) for number, kept in enumerate(manifest.files)]
            try:
                for done in wait(work, return_when=FIRST_EXCEPTION).done:
                    done.result()
            finally:
                stop.set()
    with disk(folder, f"snapshot {manifest.id} was not restored"):
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        made_work(folder)
        for each in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            sync(each)
    return Filled(state["files"] - state["found"], state["fetched"], state["found"])


def same(path: Path, kept: Kept) -> bool:
    """Whether a file stands there with the bytes that it should have."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != kept.size or digest(path) != kept.sha256:
        return False
    path.chmod(kept.mode & 0o777)
    return True


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    told = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            told.update(piece)
    return told.hexdigest()


def cleared(folder: Path, wanted: set[str], drafts: Path) -> None:
    """Remove what is not of the snapshot: drafts of a run that was killed, and whatever else came into the folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if name == "locks" or name.startswith("locks/") or path == drafts or path in drafts.parents:
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in wanted:
            path.unlink(missing_ok=True)


def expect_same(folder: Path, manifest: Manifest, elsewhere: Set[str] = frozenset()) -> None:
    """Raise `BrokenBackup` if the tables in a folder do not stand at the versions that the manifest says, with the rows that it says.

    `elsewhere` are files that are to stand in another place, by their paths below the root.
    """
    from workbench.lake.records import RecordTable, record_named
    from workbench.tables import TABLES

    lake = Lake(folder)
    for name, state in manifest.tables.items():
        record = record_named(folder, name)
        if record is None and name not in TABLES:
            # Of a library with more tables: its files are those of the manifest, and nobody here reads them.
            continue
        table = RecordTable(folder, record) if record else lake[name]
        shot, below = table.snapshot(), table.folder.relative_to(folder).as_posix()
        lost = (path for path in table.lost() if f"{below}/{path}" not in elsewhere)
        if shot.version != state.version or shot.rows != state.rows or (gone := next(lost, "")):
            stands = (
                f"{gone} is not there"
                if shot.version == state.version and shot.rows == state.rows
                else f"{shot.version} with {shot.rows:,} rows"
            )
            raise BrokenBackup(
                f"{name} in snapshot {manifest.id} should stand at version {state.version} with {state.rows:,} rows, and what was restored stands at "
                f"{stands}; nothing was put in its place. Take another snapshot (`workbench backup list`)."
            )


def parent_synced(path: Path) -> None:
    """Have the disk keep a name that was just given or taken."""
    if os.access(path.parent, os.R_OK):
        sync(path.parent)
