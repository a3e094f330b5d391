"""A snapshot made: what belongs to the lake is gathered, what the place lacks of it is copied there, and then the manifest is written.

Killed anywhere it leaves objects that no snapshot names: the next backup finds them there, and `prune` removes those that nobody takes up.
"""

import hashlib
import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_IMODE
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, cast

from workbench import __version__
from workbench.errors import LakeError, NoLake, UsageError
from workbench.lake.backup import gathering, keys
from workbench.lake.backup.backups import Backups, fresh, place_of
from workbench.lake.backup.destination import BLOCK, poured
from workbench.lake.backup.gathering import Gathered, Source
from workbench.lake.backup.index import Index, mark, of_object
from workbench.lake.backup.locking import held
from workbench.lake.backup.manifest import Kept, Manifest, TableState, content
from workbench.lake.backup.notes import noted
from workbench.lake.disk import disk, scratch, sweep
from workbench.lake.identity import expect_known
from workbench.lake.modes import FILE
from workbench.lake.processes import user
from workbench.lake.readers import Reader
from workbench.lake.remote.where import readable, remote_of
from workbench.lake.store import Lake, utc_now

THREADS = 8
LOG = logging.getLogger("workbench.backup")
IN_MEMORY = 8 << 20

# Files done, files in all, bytes copied.
Say = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Made:
    """A snapshot that was made: how many files and bytes were copied for it, which the place did not have yet; `notes` say what is not in it."""

    manifest: Manifest
    copied: int
    copied_bytes: int
    stored_bytes: int
    seconds: float
    notes: tuple[str, ...] = ()


def make(
    lake: Lake,
    where: str,
    recipients: Sequence[str] = (),
    *,
    leave: Sequence[Path] = (),
    say: Say | None = None,
    identities: Sequence[str] = (),
) -> tuple[Backups, Made]:
    """Make a snapshot of a lake at a place, beside whoever writes. `leave` are folders under the root that are not the lake's own.

    Raises `UsageError` for a place that cannot be this lake's, `Busy` if another backup or prune is at it, and `LakeError` for a full disk, a damaged lake or
    a file that cannot be read: there is no new snapshot then, and those that were there are as they were.
    """
    began, root = time.monotonic(), lake.root
    if not lake.exists:
        raise NoLake(
            f"{readable(root)} holds no lake, so there is nothing to back up. Name another root with --data, or fill this one with `workbench refresh`."
        )
    known = expect_known(root, "nothing was backed up")
    expect_apart(root, where)
    backups = Backups.open(where, make=True, lake=known.id, root=readable(root), recipients=recipients, identities=identities)
    keys.expect_same(root, backups.where, backups.place.recipients)
    reader, index = Reader(root), Index(root)
    try:
        with held(backups.at, "workbench backup", "nothing was backed up", reader.alive) as place, ExitStack() as files:
            sweep(root)
            drafts = files.enter_context(scratch(root))
            with disk(root, "no snapshot was made"):
                at, gathered = utc_now(), gathered_at(root, drafts, reader, leave)
            copying = Copying(backups, index, drafts, len(gathered.sources), say)
            kept = copying.all(gathered.sources)
            by_path = {one.path: one for one in kept}
            tables = {
                name: TableState(one.version, one.rows, content(by_path[path] for path in one.live))
                for name, one in gathered.tables.items()
            }
            manifest = Manifest(
                fresh(max(backups.ids(), default="")),
                known.id,
                readable(root),
                at,
                utc_now(),
                __version__,
                platform.node(),
                user(),
                known.format,
                tables,
                tuple(kept),
            )
            place.expect()
            keys.note(root, backups.where, backups.place.recipients)
            backups.keep(manifest)
    finally:
        reader.close()
    index.save(by_path)
    LOG.info("snapshot %s of %s at %s: %d files, %d bytes copied", manifest.id, readable(root), backups.where, len(kept), copying.bytes)
    seconds = time.monotonic() - began
    noted(
        root,
        "backup",
        backups.where,
        manifest.id,
        seconds=seconds,
        size=manifest.size,
        said=f"{len(kept)} files, {copying.files} of them new",
    )
    return backups, Made(manifest, copying.files, copying.bytes, copying.stored, seconds, tuple(gathered.notes))


def gathered_at(root: Path, drafts: Path, reader: Reader, leave: Sequence[Path]) -> Gathered:
    """What belongs to the lake; looked at anew where a table was folded for the first time meanwhile."""
    while True:
        try:
            return gathering.gather(root, drafts, reader, leave)
        except gathering.Begun:
            for draft in drafts.iterdir():
                draft.unlink()


def expect_apart(root: Path, where: str) -> None:
    """Raise `UsageError` if a folder for backups lies in the lake, or the lake in it: each backup would hold the ones before, or go with the lake."""
    if (remote := remote_of(root)) and where.startswith("s3://"):
        there, here = f"{where.rstrip('/')}/", f"{remote.where}/"
        if there.startswith(here) or here.startswith(there):
            inside = "lies in" if there.startswith(here) else "holds"
            raise UsageError(
                f"{where} {inside} the lake {remote.where}, so no backup of it can stand there; nothing was written. Name another prefix, best in another "
                "bucket."
            )
    place = place_of(where)
    if place is None:
        return
    at, ours = place.resolve(), root.resolve()
    if at.is_relative_to(ours) or ours.is_relative_to(at):
        inside = f"lies in the lake {root}" if at.is_relative_to(ours) else f"holds the lake {root}"
        raise UsageError(
            f"{place} {inside}, so no backup of it can stand there; nothing was written. Name a folder apart from it, best on another disk."
        )


class Copying:
    """Files on their way to a place."""

    def __init__(self, backups: Backups, index: Index, drafts: Path, total: int, say: Say | None):
        self.backups, self.index, self.drafts, self.total, self.say = backups, index, drafts, total, say
        self.done = self.files = self.bytes = self.stored = 0
        self._lock = Lock()

    def all(self, sources: Sequence[Source]) -> list[Kept]:
        """Have the place hold all of them; those that have gone meanwhile, and may, are left out. The first error ends it."""
        self.backups.objects  # noqa: B018  listed once, before the threads ask
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="backup")
        try:
            tasks = [pool.submit(self._one, source) for source in sources]
            wait(tasks, return_when=FIRST_EXCEPTION)
            for task in tasks:
                if task.done() and (fault := task.exception()):
                    raise fault
            return [kept for task in tasks if (kept := task.result())]
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, source: Source) -> Kept | None:
        try:
            kept = self._held(source)
        except FileNotFoundError as fault:
            if source.needed:
                raise LakeError(
                    f"{source.file} has gone while it was backed up: no snapshot was made. Run the command again; if it stays away, `workbench verify` says what to do."
                ) from fault
            kept = None
        except ValueError as fault:
            raise LakeError(f"{source.file}: {fault}, and it never should: no snapshot was made. Run `workbench verify`.") from fault
        except OSError as fault:
            raise LakeError(
                f"{source.file} cannot be read ({fault.strerror or fault}): no snapshot was made, and those that were made before are as they were. See to the "
                "disk, or to your rights there, and run the command again."
            ) from fault
        with self._lock:
            self.done += 1
            if self.say:
                self.say(self.done, self.total, self.bytes)
        return kept

    def _held(self, source: Source) -> Kept:
        """A file that the place holds, if it did not before."""
        if source.far >= 0:
            return self._from_far(source)
        stat = source.file.stat()
        mode = S_IMODE(stat.st_mode)
        sha = self.index.sha256(source.path, mark(stat))
        if sha and self.backups.has(sha, stat.st_size):
            return Kept(source.path, stat.st_size, sha, mode)
        if not source.still:
            return self._spooled(source, stat, mode)
        sha = digest(source.file)
        if not self.backups.has(sha, stat.st_size):
            self._stored(sha, stat.st_size, partial(opened, source.file))
        self.index.take(source.path, mark(stat), sha)
        return Kept(source.path, stat.st_size, sha, mode)

    def _from_far(self, source: Source) -> Kept:
        """An object of the lake's own bucket, by way of a draft on this machine: what it had of it may be its cache's."""
        known = of_object(source.far)
        sha = self.index.sha256(source.path, known)
        if not (sha and self.backups.has(sha, source.far)):
            remote = remote_of(source.file)
            assert remote
            draft = self.drafts / uuid.uuid4().hex
            try:
                with disk(remote.root, "no snapshot was made"):
                    remote.download(source.path, draft)
                sha = digest(draft)
                if draft.stat().st_size != source.far:
                    raise ValueError(f"it has {draft.stat().st_size:,} bytes, and was listed with {source.far:,}")
                if not self.backups.has(sha, source.far):
                    self._stored(sha, source.far, partial(opened, draft))
            finally:
                draft.unlink(missing_ok=True)
            self.index.take(source.path, known, sha)
        return Kept(source.path, source.far, sha, FILE)

    def _spooled(self, source: Source, stat: os.stat_result, mode: int) -> Kept:
        """A file that others may write to: what is hashed must be what is kept, so it is read once."""
        with SpooledTemporaryFile(IN_MEMORY) as spool:
            copy = cast("IO[bytes]", spool)
            with source.file.open("rb") as file:
                poured(file, copy)
            size = copy.tell()
            copy.seek(0)
            told = hashlib.sha256()
            while some := copy.read(BLOCK):
                told.update(some)
            sha = told.hexdigest()

            def again() -> IO[bytes]:
                copy.seek(0)
                return cast("IO[bytes]", Borrowed(copy))

            if not self.backups.has(sha, size):
                self._stored(sha, size, again)
        if size == stat.st_size:
            self.index.take(source.path, mark(stat), sha)
        return Kept(source.path, size, sha, mode)

    def _stored(self, sha: str, size: int, source: Callable[[], IO[bytes]]) -> None:
        wrote = self.backups.store(sha, source)
        with self._lock:
            self.files, self.bytes, self.stored = self.files + 1, self.bytes + size, self.stored + wrote


class Borrowed:
    """An open file that stays open."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def __enter__(self) -> "Borrowed":
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave it open."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(size)


def opened(path: Path) -> IO[bytes]:
    """A file, to be read."""
    return path.open("rb")


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
