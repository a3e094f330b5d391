"""The log of a Delta table, read: its snapshots, and what its commits say of themselves."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import LakeError, WorkbenchError
from workbench.lake.footers import Footer
from workbench.lake.landings import Commit, Landing, Reset, Retired, Rewound, newest
from workbench.lake.remote.ranged import Ranged
from workbench.lake.remote.where import readable as stands
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import Snapshot, read

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from workbench.lake.remote.connection import Stored

T = TypeVar("T")
LOG = logging.getLogger("workbench.lake")

# A bucket is asked of so many data files one by one for each page that a listing of the table has; of more by that listing.
FEW = 4


# How often files are brought again that went before they were read.
AGAIN = 3


class Forks:
    """Whether this process was forked from one that had used Delta's library, which runs in none such: it would end the caller with a panic."""

    used = False
    cut_off = False

    @classmethod
    def happened(cls) -> None:
        """In a child."""
        cls.cut_off = cls.used

    @classmethod
    def expect_none(cls, name: str) -> None:
        """Note that the library is used. Raises `LakeError` where it cannot be."""
        if cls.cut_off:
            raise LakeError(
                f"{name} cannot be read or written: this process was forked from one that had opened tables of the lake, which Delta's library does not "
                'outlive; nothing was done. Start processes with multiprocessing.get_context("spawn") or "forkserver", and open the lake in each.'
            )
        cls.used = True


os.register_at_fork(after_in_child=Forks.happened)


class TableLog:
    """The log of one Delta table of the lake. `name` is the table's, with its schema's where that is not main."""

    def __init__(self, root: Path, name: str):
        self.root, self.name = root, name
        self.folder = root.joinpath("lake", *(name if "." in name else f"main.{name}").split("."))
        self._log = self.folder / "_delta_log"
        self._log_text = str(self._log)
        # Where the table really stands, if `folder` is a mirror of it, and its name there.
        self.remote = remote_of(self.folder)
        self._far: DeltaTable | None = None
        # Data files that a commit names of which nobody knows whether it stands: the bucket did not answer.
        self.doubtful: set[str] = set()
        self._lock = RLock()
        self._snapshot = Snapshot(-1)
        self._commits: list[Commit] = []
        # The newest records of the first so many commits: several ask for the same, and commits do not change.
        self._told: tuple[int, dict[str, Landing]] = (0, {})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} in {self.folder}>"

    @property
    def exists(self) -> bool:
        """Whether anything was ever committed. Raises `LakeError` for a log without its beginning."""
        if self.remote:
            self.remote.mirror.look()
        if self.committed(0):
            return True
        # A look for a folder costs a tenth of one into it, and most tables that nobody filled have none.
        if not os.path.isdir(self._log_text) or not any(self._log.glob("*.json")):  # noqa: PTH112
            return False
        # Asked again: another thread or process may have made the table between the two looks.
        if not self.committed(0):
            raise self._damaged(self.commit_path(0), "it is missing, and later commits are there")
        return True

    def _damaged(self, path: Path, why: object) -> LakeError:
        mend = self._mend(torn=path == self._newest() and not path.name.startswith(f"{0:020}"))
        return LakeError(
            f"{stands(path)} is damaged ({why}): {self.name} cannot be read, and nothing was changed. Bring the file back from a backup; {mend}"
        )

    def _mend(self, *, torn: bool) -> str:
        """What mends a damaged log where there is no backup; `torn` may be a commit that a loss of power did not let end."""
        if torn:
            return "or, since it is the newest commit, which a loss of power may have torn, remove it and refresh: what it told of lands again."
        return f"or remove {stands(self.folder)} and refresh: what the source still has lands again."

    def _newest(self) -> Path:
        return max(self._log.glob("[0-9]*.json"))

    def commit_path(self, version: int) -> Path:
        """Where a version's commit stands."""
        return self._log / f"{version:020}.json"

    def committed(self, version: int) -> bool:
        """Whether a version is there."""
        # Every query asks this of every table: a path that is put together costs ten times the look.
        return os.path.exists(f"{self._log_text}/{version:020}.json")  # noqa: PTH110

    @property
    def moved(self) -> bool:
        """Whether the table has a newer version than the snapshot held: one `stat`, and of a bucket at most a look a second."""
        if self.remote:
            self.remote.mirror.look()
        return self.committed(self._snapshot.version + 1)

    def snapshot(self) -> Snapshot:
        """The newest version; read again only if the table has moved."""
        with self._lock:
            if self.moved:
                self._snapshot = self.listed(self._mending(self._newest_read))
            elif self._snapshot.version < 0:
                _ = self.exists
            return self._snapshot

    def _newest_read(self) -> Snapshot:
        shot = self._read(self._open())
        # An emptied commit reads as one that says nothing. The newest is where a crash of the machine leaves one.
        self._commit(shot.version)
        if shot.stats is None:
            self.landings()
        return shot

    # ------------------------------------------------------------------ a table in a bucket

    def _mending(self, read: Callable[[], T]) -> T:
        """What is read of the log; a mirror in which something cannot be read is mended first."""
        try:
            return read()
        except LakeError:
            if not self.mend():
                raise
            return read()

    def mend(self) -> bool:
        """Have this machine's copy of the log be what stands in the bucket; whether it was not."""
        return self.remote is not None and self.remote.mirror.mend(self._name())

    def follow(self) -> None:
        """Have all that is committed to the table by now be here: for a writer, whom a look of a second ago would have try in vain."""
        if self.remote:
            self.remote.mirror.follow(self._name())

    def _name(self) -> str:
        """The table's folder below the root."""
        return self.folder.relative_to(self.root).as_posix()

    def writable(self, delta: "DeltaTable") -> "DeltaTable | None":
        """The table where commits are made, at the version of `delta`, which is read here; None if it has moved on there."""
        if self.remote is None:
            return delta
        from deltalake import DeltaTable

        with self._lock:
            # Taken, so that nobody else commits with it between the look at its version and the caller's commit.
            far, self._far = self._far, None
        with self.remote.meant(f"nothing was committed to {self.name}"):
            if far is None:
                far = DeltaTable(self.remote.url_of(self.folder), storage_options=self.remote.options())
            else:
                far.update_incremental()
        if far.version() == delta.version():
            return far
        self._far = far
        return None

    def written(self, writing: "DeltaTable") -> None:
        """Keep what a commit was made with, which opens in a bucket only by reading much of the log."""
        if self.remote:
            self._far = writing

    def here(self, path: str) -> Path:
        """A data file of the table, by its path in the log, on this machine: brought from the bucket if it is not. Raises `FileNotFoundError`."""
        place = self.folder / path
        if self.remote is None:
            return place
        known = self._snapshot.by_path.get(path)
        return self.remote.mirror.bring(place, known.size if known else None)

    def all_here(self, paths: Iterable[str]) -> list[Path]:
        """Data files of the table, on this machine."""
        return self.remote.each(self.here, paths) if self.remote else [self.folder / path for path in paths]

    def with_here(self, paths: Iterable[str], read: Callable[[list[Path]], Any]) -> Any:
        """What reading data files of the table gives, on this machine. Where another process makes room, they may go before they are opened: once more then."""
        paths = list(paths)
        for _ in range(AGAIN if self.remote else 0):
            with suppress(FileNotFoundError):
                return read(self.all_here(paths))
        return read(self.all_here(paths))

    def has(self, path: str) -> bool:
        """Whether a data file is there, wherever the table stands."""
        if self.remote:
            return self.remote.size(f"{self._name()}/{path}") is not None
        return (self.folder / path).exists()

    def size(self, path: str) -> int | None:
        """The bytes of a data file, wherever the table stands; None if it is not there."""
        if self.remote:
            return self.remote.size(f"{self._name()}/{path}")
        try:
            return (self.folder / path).stat().st_size
        except FileNotFoundError:
            return None

    def footer(self, path: str, size: int) -> Footer:
        """A data file's footer, where the table stands. Raises `OSError`, `ValueError` or `KeyError` if it cannot be read."""
        return Footer.read(Ranged(self.remote, f"{self._name()}/{path}", size) if self.remote else self.folder / path)

    @contextmanager
    def afresh(self, path: str) -> Iterator[Path]:
        """A data file as it stands there now: of a bucket, whatever this machine had of it. Raises `FileNotFoundError`."""
        place = self.folder / path
        if self.remote is None:
            yield place
            return
        kept = place.exists()
        self.remote.download(self.remote.name(place), place)
        try:
            yield place
        finally:
            # To look at a lake is not to keep it here.
            if not kept:
                place.unlink(missing_ok=True)

    def gone(self, paths: Iterable[str]) -> list[str]:
        """Those of some data files that are not there, wherever the table stands."""
        paths = list(paths)
        if self.remote is None:
            return [path for path in paths if not (self.folder / path).exists()]
        # A listing comes in pages.
        if len(paths) <= FEW * (1 + len(self._snapshot.paths) // 1000):
            there = {path for path, has in zip(paths, self.remote.each(self.has, paths), strict=True) if has}
        else:
            there = {path for path, _ in self.stored()}
        return [path for path in paths if path not in there]

    def stored(self) -> "Iterator[tuple[str, Stored]]":
        """The objects of a table in a bucket by their paths, without its log; nothing of a table in a folder."""
        if self.remote is None:
            return
        below = f"{self._name()}/"
        # The log's names come before those of partitions, and may be many more; files of tables that people write have names of digits, before both.
        log = f"{below}_delta_log"
        for one in self.remote.below(below):
            if one.name.startswith(log):
                break
            yield one.name.removeprefix(below), one
        for one in self.remote.below(below, f"{log}0"):
            yield one.name.removeprefix(below), one

    def drop(self, *paths: str) -> None:
        """Remove data files, those that are there, but not those that a commit may name of which nobody knows whether it stands.

        Files that a bucket does not let go are left to vacuum, as a killed writer's are: what the caller did before stands.
        """
        left = [path for path in paths if path not in self.doubtful]
        if self.remote and left:
            try:
                self.remote.remove_all(f"{self._name()}/{path}" for path in left)
            except WorkbenchError as fault:
                LOG.warning("%s: %d files that no commit names stay until a vacuum: %s", self.name, len(left), fault)
        for path in left:
            (self.folder / path).unlink(missing_ok=True)

    def lost(self) -> set[str]:
        """The snapshot's files that are gone from where the table stands."""
        stats, folder = self.snapshot().stats, self.folder
        paths = stats["path"].to_pylist() if stats is not None else []
        if self.remote:
            return set(self.gone(paths))
        return {path for path in paths if not os.path.exists(f"{folder}/{path}")}  # noqa: PTH110

    def snapshot_at(self, instant: datetime) -> Snapshot:
        """The table as it was committed at an instant; empty if it did not exist then."""
        version = self.version_at(instant)
        return Snapshot(-1) if version < 0 else self.listed(self._read(self._open(version)))

    def listed(self, shot: Any) -> Any:
        """A version that is about to be read: how long its files are is noted, and given back as it came."""
        if self.remote and shot.stats is not None:
            self.remote.listed.note(self._name(), shot.stats)
        return shot

    def _read(self, delta: "DeltaTable") -> Snapshot:
        return read(delta)

    def _open(self, version: int | None = None) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        Forks.expect_none(self.name)
        try:
            return DeltaTable(self.folder, version=version)
        except (DeltaError, OSError) as fault:
            newest = self._newest()
            raise self._damaged(self._log if readable(newest) else newest, str(fault).splitlines()[0]) from fault

    # ------------------------------------------------------------------ records

    def landings(self, version: int | None = None) -> dict[str, Landing]:
        """The newest landing record of every object, by key, as of a version (default: the newest).

        They are rebuilt from the commits; a commit is read once.
        """
        commits, told = self.commits(version), self._told
        if told[0] > len(commits):
            # Of an older version, which nobody asks twice.
            return newest(commits)
        if told[0] < len(commits):
            told = self._told = len(commits), newest(commits, told[1], told[0])
        return dict(told[1])

    def commits(self, version: int | None = None) -> Sequence[Commit]:
        """What every commit says of itself, oldest first, up to a version (default: the newest)."""
        if self.remote:
            self.remote.mirror.look()
        with self._lock:
            while self.committed(len(self._commits)):
                self._commits.append(self._mending(lambda: self._commit(len(self._commits))))
            return self._commits[:] if version is None else self._commits[: version + 1]

    def version_at(self, instant: datetime) -> int:
        """The newest version committed by an instant, by the commits' own timestamps; -1 if there was none."""
        self.landings()
        return max((n for n, commit in enumerate(self._commits) if commit.at <= instant), default=-1)

    def _commit(self, version: int) -> "Commit":
        path = self.commit_path(version)
        try:
            with path.open() as lines:
                info = next(json.loads(line)["commitInfo"] for line in lines if line.startswith('{"commitInfo"'))
            landings = tuple(map(Landing.from_json, json.loads(info.get("landings", "[]"))))
            retired = tuple(map(Retired.from_json, json.loads(info.get("retired", "[]"))))
            reset = Reset.from_json(json.loads(info["reset"])) if "reset" in info else None
            rewound = Rewound.from_json(json.loads(info["rewound"])) if "rewound" in info else None
            return Commit(datetime.fromtimestamp(info["timestamp"] / 1000, UTC), landings, retired, reset, rewound)
        except (StopIteration, ValueError, KeyError, TypeError) as fault:
            raise self._damaged(path, repr(fault)) from fault


def readable(commit: Path) -> bool:
    """Whether a commit's file can be read to its end."""
    try:
        return bool([json.loads(line) for line in commit.read_text().splitlines()])
    except ValueError:
        return False
