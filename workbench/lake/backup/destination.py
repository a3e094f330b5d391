"""Where a backup stands: a folder, or a bucket. Objects appear whole or not at all, and stay."""

import errno
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from workbench.errors import BrokenBackup, LakeError, UsageError
from workbench.lake.disk import full_disk, sync
from workbench.lake.processes import dead

BLOCK = 1 << 20
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}

# Writes what is to stand there into what it is given.
Fill = Callable[[IO[bytes]], object]


class Destination(Protocol):
    """Named objects. Names have forward slashes. All that it does raises `LakeError` or `SourceError` in a sentence."""

    where: str

    def exists(self) -> bool:
        """Whether anything stands there."""

    def names(self, below: str) -> dict[str, int]:
        """The objects below a prefix that ends in a slash, with their sizes."""

    def get(self, name: str) -> bytes | None:
        """A small object; None if there is none of that name."""

    def reading(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """An object to be read from its beginning, as a context. Raises `FileNotFoundError` if there is none."""

    def put(self, name: str, fill: Fill, *, anew: bool = False) -> bool:
        """Keep an object for good once this returns. False, and nothing changed, if there is one of that name, unless `anew`."""

    def remove(self, name: str) -> None:
        """Take an object away, if it is there."""

    def settle(self) -> None:
        """Have the names of new objects outlive a loss of power."""

    def sweep(self) -> None:
        """Remove the drafts of processes that are no more."""


def destination(where: str) -> Destination:
    """The folder or bucket that a text names. Raises `UsageError` for one that names neither."""
    if where.startswith("s3://"):
        from workbench.lake.remote.bucket import Bucket

        return Bucket(where)
    # One slash too few would else be a folder of this machine.
    if "://" in where or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/|s3:", where, re.IGNORECASE):
        raise UsageError(
            f"{where} is no place for a backup; nothing was done. Give a folder, or s3://bucket/prefix; a folder of such a name is written ./{where}."
        )
    if not where.strip() or "\0" in where:
        raise UsageError(
            "no place for the backup was given; nothing was done. Give a folder or s3://bucket/prefix, or set WORKBENCH_BACKUP."
        )
    return Folder(Path(where).expanduser().absolute())


class Folder:
    """A folder of this machine, or one that is mounted on it."""

    def __init__(self, path: Path):
        self.path = path
        self.where = str(path)
        self._touched: set[Path] = set()

    def exists(self) -> bool:
        """Whether anything stands there. Raises `LakeError` if a file has the name."""
        if self.path.is_dir():
            with suppress(FileNotFoundError), self._said("nothing was read"):
                # A draft of a backup that was killed at its start is nothing, nor is what an empty disk has.
                return any(not path.name.startswith(".") and path.name != "lost+found" for path in self.path.iterdir())
        if self.path.exists():
            raise UsageError(f"{self.path} is a file, so no backup can stand there; nothing was done. Give a folder.")
        return False

    def names(self, below: str) -> dict[str, int]:
        """The files below a folder of it, with their sizes."""
        found: dict[str, int] = {}
        with self._said("nothing was read"):
            for folder, _, files in os.walk(self.path / below, onerror=loud):
                for name in files:
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):
                        if not name.startswith("."):
                            found[path.relative_to(self.path).as_posix()] = path.stat().st_size
        return found

    def get(self, name: str) -> bytes | None:
        """A small file; None if there is none of that name."""
        with self._said("nothing was read"):
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be read from its beginning. Raises `FileNotFoundError`."""
        try:
            file = (self.path / name).open("rb")
        except FileNotFoundError:
            raise
        except OSError as fault:
            raise self._unread(name, fault) from fault
        with file:
            yield Told(file, lambda fault: self._unread(name, fault))  # type: ignore[misc]

    def put(self, name: str, fill: Fill, *, anew: bool = False) -> bool:
        """Write a file aside and give it its name when the disk has it."""
        target = self.path / name
        draft = target.with_name(f".{target.name}.{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        with self._said(f"{name} was not kept"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                # What is in a lake is its owner's: a backup of it is no more open.
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                made = replaced(draft, target) if anew else linked(draft, target)
            finally:
                draft.unlink(missing_ok=True)
            self._touched.update((target.parent, target.parent.parent))
        return made

    def remove(self, name: str) -> None:
        """Remove a file, and its folder with the last one."""
        with self._said(f"{name} was not removed"):
            path = self.path / name
            path.unlink(missing_ok=True)
            if "/" in name:
                with suppress(OSError):
                    path.parent.rmdir()

    def settle(self) -> None:
        """Have the disk keep the names of what was put."""
        with self._said("no snapshot was made"):
            while self._touched:
                folder = self._touched.pop()
                if folder.is_dir() and folder.is_relative_to(self.path.parent):
                    sync(folder)

    def sweep(self) -> None:
        """Remove the drafts of this machine's processes that are no more."""
        for draft in self.path.rglob(".*"):
            if dead(draft.name.rpartition(".")[2]):
                draft.unlink(missing_ok=True)

    def _unread(self, name: str, fault: OSError) -> LakeError:
        return BrokenBackup(
            f"{self.path / name} cannot be read ({fault.strerror or fault}); nothing was made of it. See to the disk, or to your rights there, and run "
            "the command again."
        )

    @contextmanager
    def _said(self, undone: str) -> Iterator[None]:
        """Say what the disk's errors mean."""
        try:
            yield
        except OSError as fault:
            if full_disk(fault) or fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise LakeError(
                    f"the disk that holds {self.where} is full: {undone}, and no snapshot was made. What was copied stays, and the next backup goes on "
                    f"from it. Free some space there, or remove old snapshots with `workbench backup prune {self.where} --keep 30d --yes`."
                ) from fault
            if isinstance(fault, FileNotFoundError):
                raise
            raise LakeError(
                f"{fault.filename or self.where} cannot be used ({fault.strerror or fault}): {undone}. Give yourself the right to write there, or "
                "name another place."
            ) from fault


class Told:
    """A file whose errors are put into words: `read` alone."""

    def __init__(self, file: IO[bytes], meant: Callable[[OSError], Exception]):
        self._file, self._meant = file, meant

    def read(self, size: int = -1) -> bytes:
        """The next bytes; empty at the end."""
        try:
            return self._file.read(size)
        except OSError as fault:
            raise self._meant(fault) from fault


def loud(fault: OSError) -> None:
    """Have `os.walk` end with an error, unless there is nothing to walk."""
    if not isinstance(fault, FileNotFoundError):
        raise fault


def replaced(draft: Path, target: Path) -> bool:
    """Give a draft its name, whatever has it."""
    draft.replace(target)
    return True


def linked(draft: Path, target: Path) -> bool:
    """Give a draft its name unless another has it."""
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    except OSError as fault:
        if fault.errno not in NO_LINKS:
            raise
        # Not every disk links. What stands under a name of its content is the same; other names are fresh, or under the lock.
        if target.exists():
            return False
        draft.replace(target)
    return True


def poured(source: IO[bytes], sink: IO[bytes]) -> None:
    """Copy from one to the other."""
    shutil.copyfileobj(source, sink, BLOCK)
