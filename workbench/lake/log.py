"""The log of a Delta table, read: its snapshots, and what its commits say of themselves."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from workbench.errors import LakeError
from workbench.lake.landings import Commit, Landing, Reset, Retired, Rewound, newest
from workbench.lake.snapshots import Snapshot, read

if TYPE_CHECKING:
    from deltalake import DeltaTable


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
            f"{path} is damaged ({why}): {self.name} cannot be read, and nothing was changed. Bring the file back from a backup; {mend}"
        )

    def _mend(self, *, torn: bool) -> str:
        """What mends a damaged log where there is no backup; `torn` may be a commit that a loss of power did not let end."""
        if torn:
            return "or, since it is the newest commit, which a loss of power may have torn, remove it and refresh: what it told of lands again."
        return f"or remove {self.folder} and refresh: what the source still has lands again."

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
        """Whether the table has a newer version than the snapshot held: one `stat`."""
        return self.committed(self._snapshot.version + 1)

    def snapshot(self) -> Snapshot:
        """The newest version; read again only if the table has moved."""
        with self._lock:
            if self.moved:
                shot = self._read(self._open())
                # An emptied commit reads as one that says nothing. The newest is where a crash of the machine leaves one.
                self._commit(shot.version)
                if shot.stats is None:
                    self.landings()
                self._snapshot = shot
            elif self._snapshot.version < 0:
                _ = self.exists
            return self._snapshot

    def lost(self) -> set[str]:
        """The snapshot's files that are gone from the disk."""
        stats, folder = self.snapshot().stats, self.folder
        paths = stats["path"].to_pylist() if stats is not None else []
        return {path for path in paths if not os.path.exists(f"{folder}/{path}")}  # noqa: PTH110

    def snapshot_at(self, instant: datetime) -> Snapshot:
        """The table as it was committed at an instant; empty if it did not exist then."""
        version = self.version_at(instant)
        return Snapshot(-1) if version < 0 else self._read(self._open(version))

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
        if told[0] != len(commits):
            told = self._told = len(commits), newest(commits)
        return dict(told[1])

    def commits(self, version: int | None = None) -> Sequence[Commit]:
        """What every commit says of itself, oldest first, up to a version (default: the newest)."""
        with self._lock:
            while self.committed(len(self._commits)):
                self._commits.append(self._commit(len(self._commits)))
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
