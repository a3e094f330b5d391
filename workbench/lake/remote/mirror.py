"""What this machine keeps of a lake in a bucket: every table's log, whole, and the data files that were asked for.

A look asks, at most once a second, each table of the bucket for the commit after the newest one here, and brings what has come. Commits are brought
in their order, so that a log here has no gap at any moment, and are never changed, so that several processes may bring the same at once.
"""

import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from workbench.errors import LakeError
from workbench.lake.disk import disk

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote, Stored

EVERY_S = 1.0
DIGITS = 20
MARK = "_last_checkpoint"
# What a restore says of itself in the prefix that it fills, until there is a lake.
RESTORING = "restoring.json"
# Where declarations of tables stand in the bucket, and here.
DECLARED = ("tables/", "journal/tables")
# What else has a name there is not the lake's.
DECLARATION = re.compile(r"tables/[a-z_][a-z0-9_]*\.[a-z][a-z0-9_]{0,62}\.json")


class Mirror:
    """The mirror of a bucket's logs in `remote.root`. Safe for threads and processes."""

    def __init__(self, remote: "Remote"):
        self.remote = remote
        self._lock = RLock()
        self._looked = 0.0
        self._small: dict[str, float] = {}
        # The next version of each table that is not here yet, by the table's folder below the root.
        self._next: dict[str, int] = {}
        # What the last look found, by folders below the root.
        self._schemas: list[str] = []
        self._tables: list[str] = []

    def look(self) -> None:
        """Bring what was committed by others, unless a look was made within a second."""
        if time.monotonic() - self._looked < EVERY_S:
            return
        with self._lock:
            if time.monotonic() - self._looked < EVERY_S:
                return
            remote = self.remote
            if not (remote.root / "lake.json").exists() and remote.size(RESTORING) is not None:
                # Nothing of it is any table's yet.
                self._looked = time.monotonic()
                return
            # All that is known at once, in the time of one request; then what is new.
            tables = set(self._tables)
            found = self._all([DECLARED[0], "lake/", *(f"{one}/" for one in self._schemas), *tables])
            self._schemas = [f"lake/{name}" for name in found["lake/"]]
            if new := [f"{one}/" for one in self._schemas if f"{one}/" not in found]:
                found |= self._all(new)
            self._tables = [f"{one}/{name}" for one in self._schemas for name in found[f"{one}/"]]
            self._all([one for one in self._tables if one not in tables])
            # From the end on: a look over many tables takes a while.
            self._looked = time.monotonic()

    def _all(self, names: list[str]) -> dict[str, list[str]]:
        """List folders, whose names end in a slash, follow tables, and bring declarations, side by side; gives what is in the folders."""

        def one(name: str) -> list[str]:
            if name == DECLARED[0]:
                self.declarations()
            elif name.endswith("/"):
                return self.remote.folders(name)
            else:
                self.follow(name)
            return []

        return dict(zip(names, self.remote.each(one, names), strict=True))

    def stale(self) -> None:
        """Have the next look be made at once."""
        self._looked = 0.0

    def declarations(self) -> None:
        """Bring the declarations of tables that people made, which never change."""
        place = self.remote.root / DECLARED[1]
        found = [one for one in self.remote.below(DECLARED[0]) if DECLARATION.fullmatch(one.name)]
        names = [one.name for one in found if not (place / one.name.removeprefix(DECLARED[0])).exists()]
        self.remote.each(lambda name: self.remote.download(name, place / name.removeprefix(DECLARED[0])), names)

    def follow(self, table: str) -> int:
        """Bring the commits of a table, by its folder below the root, that are not here; gives the newest version, -1 if there is none."""
        log = self.remote.root / table / "_delta_log"
        version = self._next.get(table)
        if version is None or not self._here(log, version - 1):
            version = self._first_lacking(log)
        if self._here(log, version) or self.remote.size(f"{table}/_delta_log/{version:020}.json") is not None:
            version = self._bring(table, log, version)
        self._next[table] = version
        return version - 1

    def _bring(self, table: str, log: Path, version: int) -> int:
        """Bring what a table's log has from a version on; gives the first version that is not there."""
        remote = self.remote
        prefix = f"{table}/_delta_log/"
        # A checkpoint is named before the commit it is of; Delta's mark of the newest one stands after all of them.
        there = {one.name.removeprefix(prefix): one for one in remote.below(prefix, f"{prefix}{max(version - 1, 0):020}")}
        lacking: list[int] = []
        while f"{version + len(lacking):020}.json" in there or self._here(log, version + len(lacking)):
            lacking.append(version + len(lacking))
        coming = log.parents[3] / "tmp" / "coming" / f"log-{table.replace('/', '.')}"
        wanted = [n for n in lacking if not self._here(log, n)]
        remote.each(lambda n: remote.download(f"{prefix}{n:020}.json", coming / f"{n:020}.json"), wanted)
        log.mkdir(parents=True, exist_ok=True)
        for n in wanted:
            try:
                (coming / f"{n:020}.json").replace(log / f"{n:020}.json")
            except FileNotFoundError:
                # Another process has brought it.
                if not self._here(log, n):
                    raise
        # A long log has hundreds of checkpoints, each as large as all that is listed: older versions are read from commits.
        checkpoint = max((name for name in there if name.endswith(".checkpoint.parquet")), default="")
        if checkpoint and not (log / checkpoint).exists():
            remote.download(prefix + checkpoint, log / checkpoint)
            if MARK in there:
                remote.download(prefix + MARK, log / MARK)
        return version + len(lacking)

    def mend(self, table: str) -> bool:
        """Bring the commits of a table anew that are other here than there, and those that are gone here; whether there were any."""
        prefix, log = f"{table}/_delta_log/", self.remote.root / table / "_delta_log"
        there = {one.name: one.size for one in self.remote.below(prefix) if one.name.endswith((".json", ".parquet"))}
        here = {self.remote.name(path): path.stat().st_size for path in log.glob("*") if path.suffix in (".json", ".parquet")}
        odd = [name for name, size in there.items() if here.get(name) != size]
        self.remote.each(lambda name: self.remote.download(name, self.remote.root / name), odd)
        # A checkpoint of another lake, or of a later version than the bucket has, would be believed.
        for name in here.keys() - there.keys():
            (self.remote.root / name).unlink(missing_ok=True)
        self._next.pop(table, None)
        return bool(odd or here.keys() - there.keys())

    @staticmethod
    def _here(log: Path, version: int) -> bool:
        try:
            return version < 0 or (log / f"{version:020}.json").stat().st_size > 0
        except FileNotFoundError:
            return False

    @staticmethod
    def _first_lacking(log: Path) -> int:
        """The first version of a log that is not on this machine."""
        names = [path for path in log.glob("*.json") if path.stem.isdigit() and len(path.stem) == DIGITS]
        # A machine that lost its power may leave one without its text.
        there = {int(path.stem) for path in names if path.stat().st_size}
        return next(n for n in range(len(there) + 1) if n not in there)

    def look_small(self, below: str, ending: str) -> None:
        """Have the small objects below a prefix be here as they are there, unless a look was made within a second; those that are gone there go here."""
        with self._lock:
            if time.monotonic() - self._small.get(below, -EVERY_S) < EVERY_S:
                return
            remote = self.remote
            # The disk first: what this machine puts there stands there before it stands here.
            here = {remote.name(path): path for path in (remote.root / below).rglob(f"*{ending}") if not path.name.startswith(".")}
            there = {one.name: one for one in remote.below(below) if one.name.endswith(ending)}
            for name in here.keys() - there.keys():
                here[name].unlink(missing_ok=True)
            remote.each(self._bring_small, there.values())
            self._small[below] = time.monotonic()

    def _bring_small(self, one: "Stored") -> None:
        path = self.remote.root / one.name
        with suppress(FileNotFoundError):
            stat = path.stat()
            if stat.st_size == one.size and abs(stat.st_mtime - one.at) < 0.001:
                return
        # Gone meanwhile, perhaps.
        with suppress(FileNotFoundError):
            self.remote.download(one.name, path)
            os.utime(path, (one.at, one.at))

    # ------------------------------------------------------------------ data files

    def bring(self, path: Path, size: int | None = None) -> Path:
        """A data file, on this machine; brought if it is not, or has not its size, if that is told. Raises `FileNotFoundError` if the bucket has none."""
        try:
            has = path.stat().st_size
            there = size in (None, has)
        except FileNotFoundError:
            there = False
        if there:
            self.remote.held.used(path)
        else:
            self.remote.download(self.remote.name(path), path)
            self.remote.held.grew(path.stat().st_size)
        return path

    def expect_same(self, name: str) -> None:
        """Bring a small object that tells what lake this is. Raises `LakeError` if what is here tells of another."""
        here, there = self.remote.root / name, self.remote.get(name)
        with disk(self.remote.root, "nothing was opened"):
            self.remote.home()
        if there is None:
            if here.exists():
                raise LakeError(
                    f"{self.remote.where} holds no {name}, and {self.remote.root} mirrors a lake that was there: nothing was read or written. If the lake is "
                    f"gone for good, remove {self.remote.root}; rows in its journal that were not folded are gone with it."
                )
            if self.remote.size(RESTORING) is not None:
                raise LakeError(
                    f"a restore to {self.remote.where} has not come to its end: there is no lake yet, and nothing was read or written. Wait for it; if it was "
                    "killed, run the same `workbench restore` again, which goes on."
                )
            return
        told = id_in(there)
        if not told:
            raise LakeError(
                f"{self.remote.where}/{name} cannot be read: which lake this is, and of what format, is not known; nothing was opened or written. Bring it "
                "back from a backup; or, if no later version of the workbench ever wrote to this lake, remove it: the lake then gets a new id."
            )
        # A loss of power may have left what is here without its text.
        held = here.read_bytes() if here.exists() else b""
        if held == there:
            return
        if id_in(held) not in ("", told):
            raise LakeError(
                f"{self.remote.where} holds another lake than the one that {self.remote.root} mirrors: nothing was read or written. Remove {self.remote.root} to "
                "begin anew; rows in its journal that were not folded are of the other lake, and gone with it."
            )
        draft = here.with_name(f".{name}.{time.monotonic_ns()}")
        with disk(self.remote.root, "nothing was opened"):
            try:
                here.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(there)
                draft.replace(here)
            finally:
                draft.unlink(missing_ok=True)


def id_in(some: bytes) -> str:
    """The id of the lake that `lake.json` names; empty if it names none."""
    try:
        return str(json.loads(some)["id"])
    except (ValueError, KeyError, TypeError):
        return ""
