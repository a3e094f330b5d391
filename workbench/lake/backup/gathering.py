"""What belongs to a lake at one moment, gathered beside whoever writes: versions, and the files that they take.

A table is its commits up to a version, which never change, and the files that those list. What people wrote stands in two places, the journal and the
tables that it is folded into, so both are looked at while no fold runs; writers go on. No vacuum runs while the versions are registered as read, from the
first to the newest, and afterwards it leaves their files until the backup ends: what older versions need and still have is kept, too, so that the past
can be asked in a restored lake.
"""

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import Busy, LakeError
from workbench.lake.backup.index import NAME as INDEX
from workbench.lake.disk import disk
from workbench.lake.fold import folding
from workbench.lake.history import COMMIT_DIGITS, History, take
from workbench.lake.log import TableLog
from workbench.lake.readers import Reader, exclusive
from workbench.lake.remote.where import readable, remote_of
from workbench.lake.sqlitefile import PATIENCE_S
from workbench.lake.vacuum import standing

# Under the root, what is a process's own, and who does what just now.
PASSING = ("tmp", "locks", "restoring.json")
# Folders of the lake's own that may stand on another disk, behind a link.
LINKED = ("quarantine", "rejects", "runs")
# What a machine keeps of its own for a lake in a bucket, and the name of that.
MACHINES = ("rejects", "runs", "schedules.json", "access.json", "lake.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.\d{10}\.\d{10}|\.[0-9a-f-]{36})?\.(?:parquet|json)")
# A fold takes seconds at most.
FOLDS_S = 600.0
RECORDS = "records.db"


@dataclass(frozen=True)
class Source:
    """A file to keep: its path below the root, and where its bytes are. `still` are bytes that never change; `needed`, one that cannot be left out.

    Of an object of the lake's own bucket `far` is its size; `file` stands for it.
    """

    path: str
    file: Path
    still: bool = False
    needed: bool = False
    far: int = -1


@dataclass(frozen=True)
class Version:
    """A table's version: its rows, and the paths of its files, below the root."""

    version: int
    rows: int
    live: tuple[str, ...]


@dataclass
class Gathered:
    """Everything that belongs to the lake at one moment. `notes` say what is left out, and why."""

    sources: list[Source] = field(default_factory=list)
    tables: dict[str, Version] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def gather(root: Path, drafts: Path, reader: Reader, leave: Sequence[Path] = ()) -> Gathered:
    """What belongs to a lake now; what would change meanwhile is copied to `drafts`. `leave` are folders that are not the lake's own.

    `reader` holds the versions, until it is closed. Raises `LakeError` for a log or journal that is damaged, `Busy` if a fold or vacuum does not end.
    """
    found, remote = Gathered(), remote_of(root)
    if remote:
        remote.mirror.stale()
        remote.mirror.look()
    with still(root):
        journal = copied(root / "journal" / RECORDS, drafts)
        with exclusive(root):
            versions = {folder: version for folder in folders(root) if (version := newest(folder)) >= 0}
            # A registration spans what it was told: all versions up to this one.
            for least in (True, False):
                reader.hold({name_of(folder): 0 if least else version for folder, version in versions.items()})
    if journal:
        found.sources.append(Source(f"journal/{RECORDS}", journal, needed=True))
        found.sources += batches(root, journal)
    for folder, version in versions.items():
        found.tables[name_of(folder)] = of_table(root, folder, version, drafts, found.sources)
    # The declarations of tables after the journal: there is none for which rows can be there before it is.
    beside(root, drafts, found)
    if remote:
        found.sources += [Source(one.name, root / one.name, still=True, far=one.size) for one in remote.below("quarantine/")]
        # What else stands there is this machine's cache.
        leave = [*leave, *(path for path in root.iterdir() if path.name not in MACHINES)]
    others(root, [*leave, root / "lake", root / "journal", *(root / name for name in PASSING)], found)
    return found


@contextmanager
def still(root: Path) -> Iterator[None]:
    """Have no fold run until the block ends: those that people wrote to, and those that they begin to write to meanwhile."""
    until = time.monotonic() + FOLDS_S
    with ExitStack() as held:
        names: set[str] = set()
        while fresh := {name_of(folder) for folder in folders(root) if folder.parent.name != "main"} - names:
            for name in sorted(fresh):
                alone(root, name, held, until)
            names |= fresh
        yield
        if {name_of(folder) for folder in folders(root) if folder.parent.name != "main"} - names:
            raise Begun


class Begun(Exception):
    """A table was folded for the first time while the journal was copied."""


def alone(root: Path, name: str, held: ExitStack, until: float) -> None:
    """Be the one who may fold a table; waits for a fold under way. Raises `Busy`."""
    while True:
        with ExitStack() as this:
            if this.enter_context(folding(root, name)):
                held.enter_context(this.pop_all())
                return
        if time.monotonic() > until:
            raise Busy(
                f"{name}: a fold has not ended for {FOLDS_S:.0f} s; nothing was backed up. Wait for it, or end it, and run the command again."
            )
        # Nobody tells when it ends: the system holds the lock.
        time.sleep(0.02)


def folders(root: Path) -> list[Path]:
    """The folders of all tables that have a log."""
    return sorted(log.parent for log in (root / "lake").glob("*/*/_delta_log"))


def name_of(folder: Path) -> str:
    """A table's name by its folder: with its schema's, where that is not main."""
    return folder.name if folder.parent.name == "main" else f"{folder.parent.name}.{folder.name}"


def newest(folder: Path) -> int:
    """A table's newest version, by the names of its commits; -1 if there is none."""
    names = (path.stem for path in (folder / "_delta_log").iterdir() if path.suffix == ".json")
    return max((int(name) for name in names if name.isdigit() and len(name) == COMMIT_DIGITS), default=-1)


# ---------------------------------------------------------------------- tables


def of_table(root: Path, folder: Path, version: int, drafts: Path, sources: list[Source]) -> Version:
    """A table's version, its log up to it, and the files that are there of this and older versions."""
    told = upto(folder, version)
    under, log = folder.relative_to(root).as_posix(), folder / "_delta_log"
    sources += [Source(f"{under}/_delta_log/{n:020}.json", log / f"{n:020}.json", still=True, needed=True) for n in range(version + 1)]
    for name in sorted(path.name for path in log.iterdir()):
        # One of a later version would show a restored lake what it does not have.
        if (match := CHECKPOINT.fullmatch(name)) and int(match[1]) <= version:
            sources.append(Source(f"{under}/_delta_log/{name}", log / name))
    if (mark := checkpointed(log, version, drafts / f"{name_of(folder)}-last")) is not None:
        sources.append(Source(f"{under}/_delta_log/_last_checkpoint", mark))
    table = TableLog(root, name_of(folder))
    live, sizes = told.live, {one.path: one.size for one in standing(table)[0]}
    there = sizes.keys()
    missing = sorted(live.keys() - there)
    if missing:
        raise LakeError(
            f"{readable(folder / missing[0])} is missing, and {name_of(folder)} lists it ({len(missing)} such files): no snapshot was made. "
            f"Run `workbench verify {name_of(folder)}`, which says what to do."
        )
    sources += [
        Source(f"{under}/{path}", folder / path, still=True, needed=path in live, far=sizes[path] if table.remote else -1)
        for path in sorted(there & told.files.keys())
    ]
    rows = sum(rows_of(life.stats) for life in live.values())
    return Version(version, rows, tuple(f"{under}/{path}" for path in sorted(live)))


def upto(folder: Path, version: int) -> History:
    """What a table's commits say up to a version. Raises `LakeError` for one that is missing or cannot be read."""
    found = History(version)
    for number in range(version + 1):
        path = folder / "_delta_log" / f"{number:020}.json"
        try:
            take(found, number, path)
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as fault:
            raise LakeError(
                f"{readable(path)} is damaged ({fault or type(fault).__name__}): no snapshot was made. Run `workbench verify {name_of(folder)}`, which says "
                "what to do; the snapshots that were made before are as they were."
            ) from fault
    return found


def rows_of(stats: str | None) -> int:
    """The rows of a file, by the log."""
    return int(json.loads(stats or "{}").get("numRecords", 0))


def checkpointed(log: Path, version: int, draft: Path) -> Path | None:
    """A copy of the note of the newest checkpoint; None if there is none, or of a later version."""
    try:
        text = (log / "_last_checkpoint").read_bytes()
        if int(json.loads(text)["version"]) > version:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        # It only spares a look into the folder.
        return None
    draft.write_bytes(text)
    return draft


# ---------------------------------------------------------------------- journal, and the rest


def copied(path: Path, drafts: Path) -> Path | None:
    """A copy of an SQLite file as it stands at one moment, while others write; None if there is none. Raises `LakeError` for a damaged one."""
    if not path.exists():
        return None
    target = drafts / path.name
    # In a folder that cannot be written nobody keeps a write-ahead log beside the file.
    alone = "" if os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", PATIENCE_S, uri=True)) as con,
            closing(sqlite3.connect(target)) as to,
        ):
            con.backup(to)
        shutil.copymode(path, target)
    except sqlite3.Error as fault:
        with disk(path.parent.parent, "no snapshot was made"):
            if "full" in str(fault):
                raise OSError(28, "No space left on device", str(target)) from fault
        raise LakeError(
            f"{path} cannot be copied ({fault}): no snapshot was made. Run `workbench verify`, which says what to do; the snapshots that were made "
            "before are as they were."
        ) from fault
    return target


def batches(root: Path, journal: Path) -> list[Source]:
    """The files of rows that the journal names."""
    with closing(sqlite3.connect(journal)) as con:
        try:
            named = {Path(body).name for (body,) in con.execute("SELECT body FROM operations WHERE kind IN ('puts', 'deletes')")}
        except sqlite3.OperationalError:
            # Made by a process that was killed before it had made the tables.
            named = set()
    return [Source(f"journal/rows/{name}", root / "journal" / "rows" / name, still=True, needed=True) for name in sorted(named)]


def beside(root: Path, drafts: Path, found: Gathered) -> None:
    """The journal's other files: SQLite's own are copied as they stand, the others are read when their turn comes."""
    folder = root / "journal"
    bases = {path.name for path in folder.glob("*.db")} if folder.is_dir() else set()
    for path in files(folder, [folder / "rows"], found):
        name = path.relative_to(folder).as_posix()
        if name in (RECORDS, INDEX) or name.removesuffix("-wal").removesuffix("-shm") in bases - {name}:
            continue
        if name not in bases:
            found.sources.append(Source(f"journal/{name}", path))
            continue
        try:
            copy = copied(path, drafts)
        except LakeError as fault:
            # Nothing that was landed or written depends on it.
            found.notes.append(f"{path} is kept as its bytes are, since SQLite cannot read it ({fault.__cause__}): run `workbench verify`.")
            copy = drafts / f"{name}.bytes"
            shutil.copyfile(path, copy)
        if copy:
            found.sources.append(Source(f"journal/{name}", copy))


def others(root: Path, leave: Sequence[Path], found: Gathered) -> None:
    """What else stands below the root: refused files, runs, schedules, grants."""
    # What begins with a dot is somebody's own: settings with secrets, a repository.
    hidden = [path for path in root.iterdir() if path.name.startswith(".")]
    linked = [root / name for name in LINKED if (root / name).is_symlink()]
    for path in (one for folder in (root, *linked) for one in files(folder, [*leave, *hidden, *(linked if folder == root else ())], found)):
        under = path.relative_to(root).as_posix()
        if not path.name.endswith(".draft"):
            found.sources.append(Source(under, path, still=under.startswith("quarantine/")))


def files(folder: Path, leave: Sequence[Path], found: Gathered) -> Iterator[Path]:
    """The plain files below a folder, without those below some; links are not followed, and it is said which."""
    left = {str(path) for path in leave}
    waiting = [folder]
    while waiting:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.path in left:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
                elif entry.is_symlink():
                    found.notes.append(
                        f"{entry.path} is a link, and what it leads to is not in the snapshot: keep that otherwise, or move it here."
                    )
