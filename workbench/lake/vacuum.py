"""What a table no longer needs: files that were replaced, and files that were never committed.

Files are unlinked here and not by Delta's own vacuum, which knows neither readers nor writers of ours, counts in hours, and adds two
commits to a table, so that every open session declares its views anew. The order of looking is what keeps others' files safe: first the
disk, then the notes of compactions under way, then the log, then the readers (`readers` says why no reader is overlooked). A file that was
on the disk before the log was read and that the log does not know was not committed then; that it is not about to be is known from its
age, or from the notes of a compaction that will take it up again.

Of a lake in a bucket the bucket is listed, and ages are told by its clock. Other machines' readers stand registered there after some minutes, and what
other machines have put there may not be committed yet: whatever ages are asked for, nothing goes that was put there or replaced within `FLOOR`.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench.errors import LakeError, UsageError
from workbench.lake.history import History, sound
from workbench.lake.log import TableLog
from workbench.lake.readers import Reader, exclusive, registered
from workbench.lake.records import written
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.tables import TABLES

KEEP = timedelta(days=7)
# A landing commits within a second of putting its files in their places; compaction notes what it has put there.
ORPHANS = timedelta(days=1)
# An upload in parts that takes longer has been given up.
UPLOADS = timedelta(days=1)
# In a bucket, no age is less: longer than a machine takes to commit what it has put there, and to register its readers.
FLOOR = timedelta(hours=1)


@dataclass(frozen=True)
class Found:
    """A file or folder under a table's folder. `at` is the last change of its bytes, its name or its place, in seconds since 1970."""

    path: str
    size: int
    at: float


@dataclass
class Vacuumed:
    """What was removed of one table, or would be, and how much stays because it is too young or because somebody reads it."""

    table: str
    retired: list[Found] = field(default_factory=list)
    orphans: list[Found] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    young: int = 0
    read: int = 0

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(one.size for one in (*self.retired, *self.orphans))


def vacuum(lake: Lake, keep: timedelta = KEEP, *, dry_run: bool = True, orphans: timedelta = ORPHANS) -> list[Vacuumed]:
    """Remove the files that no version younger than `keep` and no open reader lists, and orphans older than `orphans`.

    `as_of` reaches back for `keep` afterwards. The log stays whole. A dry run removes nothing and says what would be. Killed in the
    middle, it leaves a lake that is whole, and the next one goes on. Raises `LakeError` before anything is removed from a table of which
    the log is damaged, and `Busy` for a registration that cannot be read.
    """
    if keep < timedelta(0) or orphans < timedelta(0):
        raise UsageError(f"files cannot be kept for {min(keep, orphans)}; nothing was removed. Give an age of zero or more.")
    tables: list[TableLog] = [*(lake[name] for name in TABLES), *written(lake.root)]
    if dry_run:
        return [found for table in tables if (found := useless(table, keep, orphans))]
    done = []
    with exclusive(lake.root):
        for table in tables:
            if found := useless(table, keep, orphans):
                remove(table, found)
                done.append(found)
            if table.remote:
                unmirror(table)
        if remote := remote_of(lake.root):
            remote.sweep(UPLOADS)
    return done


def ages(root: Path, keep: timedelta, orphans: timedelta) -> tuple[timedelta, timedelta]:
    """The ages that a vacuum goes by: those that were asked for, and in a bucket no less than `FLOOR`."""
    return (max(keep, FLOOR), max(orphans, FLOOR)) if remote_of(root) else (keep, orphans)


def useless(table: TableLog, keep: timedelta, orphans: timedelta) -> Vacuumed | None:
    """What can be removed of a table; None if there is nothing to say of it."""
    table.follow()
    if not (table.folder / "_delta_log").is_dir():
        return None
    keep, orphans = ages(table.root, keep, orphans)
    now = table.remote.now() if table.remote else time.time()
    found = Vacuumed(table.name)
    on_disk, folders = standing(table)
    noted = taken_up(table)
    # What was committed while the files were listed.
    table.follow()
    told = sound(table.folder, f"nothing was removed of {found.table}")
    spans = registered(table.root).get(found.table, [])
    for one in on_disk:
        life = told.files.get(one.path)
        if life is None:
            old = now - one.at >= orphans.total_seconds() and one.path not in noted
            found.young += not old
            found.orphans += [one] * old
        elif life.removed is not None:
            if now * 1000 - life.removed_ms < keep.total_seconds() * 1000:
                found.young += 1
            elif any(life.within(*span) for span in spans):
                found.read += 1
            else:
                found.retired.append(one)
    leaving = {one.path for one in (*found.retired, *found.orphans)}
    staying = {parent for one in on_disk if one.path not in leaving for parent in parents(one.path)}
    # A landing makes its folder just before it moves a file there: young folders may be somebody's.
    found.folders = [one.path for one in folders if one.path not in staying and now - one.at >= orphans.total_seconds()]
    return found if found.retired or found.orphans or found.folders or found.young or found.read else None


def remove(table: TableLog, found: Vacuumed) -> None:
    """Remove what was found. Orphans go first: of them nobody knows."""
    folder = table.folder
    if table.remote:
        for some in (found.orphans, found.retired):
            table.remote.remove_all(table.remote.name(folder / one.path) for one in some)
        return
    for one in (*found.orphans, *found.retired):
        (folder / one.path).unlink(missing_ok=True)
    # Deepest first; one that somebody has put a file in meanwhile stays.
    for path in sorted(found.folders, key=len, reverse=True):
        with suppress(OSError):
            (folder / path).rmdir()


def unmirror(table: TableLog) -> None:
    """Remove this machine's copies of what the bucket does not hold."""
    # The copies first: a file stands in the bucket before it stands here.
    here, folders = listing(table.folder)
    if not here:
        return
    there = {path for path, _ in table.stored()}
    for one in here:
        if one.path not in there:
            (table.folder / one.path).unlink(missing_ok=True)
    for one in sorted(folders, key=lambda one: len(one.path), reverse=True):
        with suppress(OSError):
            (table.folder / one.path).rmdir()


def standing(table: TableLog) -> tuple[list[Found], list[Found]]:
    """The files and the folders of a table, without its log, where it stands; a bucket has no folders."""
    if table.remote:
        return [Found(path, one.size, one.at) for path, one in table.stored()], []
    return listing(table.folder)


def listing(folder: Path) -> tuple[list[Found], list[Found]]:
    """The files and the folders below a table's folder on this machine, without its log."""
    files: list[Found] = []
    folders: list[Found] = []
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(folder / below))
        except FileNotFoundError:
            continue
        for entry in entries:
            if not below and entry.name == "_delta_log":
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                # A file that is moved into its place keeps the time of its bytes, and changes the other.
                one = Found(f"{below}{entry.name}", stat.st_size, max(stat.st_mtime, stat.st_ctime))
                if entry.is_dir(follow_symlinks=False):
                    folders.append(one)
                    waiting.append(f"{one.path}/")
                else:
                    files.append(one)
    return files, folders


def parents(path: str) -> Iterator[str]:
    """The folders above a file, below its table's."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def taken_up(table: TableLog) -> set[str]:
    """The uncommitted files that a compaction, under way or killed, will take as they are. It removes its notes after the commit."""
    noted = set()
    for note in (table.root / "tmp").glob(f"cold-{table.name}-*/*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted.add(json.loads(note.read_text())["file"]["path"])
    return noted


# ---------------------------------------------------------------------- the past


def held_at(table: TableLog, instant: datetime, reader: Reader) -> Snapshot:
    """A table as it was committed at an instant, registered. Raises `LakeError` if it was vacuumed."""
    with exclusive(table.root):
        shot = table.snapshot_at(instant)
        if shot.version >= 0:
            reader.hold({table.name: shot.version})
            reader.publish()
        expect_whole(table, shot, instant)
    return shot


def expect_whole(table: TableLog, shot: Snapshot, instant: datetime) -> None:
    """Raise `LakeError` if files of a past snapshot were vacuumed. Files that the newest version lists too are not looked for."""
    newest = table.snapshot()
    if shot.version in (-1, newest.version):
        return
    there = shot.paths
    gone = len(table.gone(there - newest.paths))
    if not gone:
        return
    since = first_whole(table, sound(table.folder, "nothing was opened"))
    raise LakeError(
        f"{table.name} cannot be opened as of {instant}: {gone} of that instant's {len(there)} files were replaced later and "
        f"removed by vacuum; nothing was opened. Give an instant from {since} on, or bring the files back from a backup."
    )


def first_whole(table: TableLog, told: History) -> datetime:
    """The first instant as of which all files are still there: the last removal of a file that is gone from where the table stands."""
    removed = {path: life for path, life in told.files.items() if life.removed is not None}
    version = max(removed[path].removed or 0 for path in table.gone(removed))
    return datetime.fromtimestamp(told.infos[version]["timestamp"] / 1000, UTC)
