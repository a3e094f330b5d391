"""Unfinished downloads on the disk: who writes one, what is here of it already, and what a full disk means."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from workbench.errors import LakeError
from workbench.sources import FlatFile

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


def intact(path: Path, file: FlatFile) -> bool:
    """Whether `path` holds the file: its length, and its md5 where the ETag is one (a finished file was verified before)."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if "-" in file.etag:
        return True
    with open(path, "rb") as data:
        return hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == file.etag


def resume(part: Path, file: FlatFile, digest: Callable[[bytes], None]) -> int:
    """How many bytes of the file are here already, after feeding them to `digest`."""
    if not part.exists():
        return 0
    if part.stat().st_size > file.size:
        part.unlink()
        return 0
    held = 0
    with open(part, "rb") as data:
        while chunk := data.read(1024 * 1024):
            digest(chunk)
            held += len(chunk)
    return held


def expect_room(folder: Path, size_bytes: int) -> None:
    """Fail now rather than after gigabytes."""
    if shutil.disk_usage(folder).free < size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def claimed(whole: Path) -> Iterator[Path]:
    """Lend the part to write `whole` to; a private one, which nobody resumes, if somebody else is at it."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{whole}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        part = whole.with_name(f"{whole.name}.{uuid4().hex[:8]}.part")
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)
        return
    try:
        yield whole.with_name(f"{whole.name}.part")
    finally:
        # Unlinked while held: who waits for this inode sees that it has no name any more, and opens a new one.
        with suppress(OSError):
            os.unlink(lock.lock_file)  # noqa: PTH108
        lock.release()


@contextmanager
def storing(file: FlatFile, folder: Path) -> Iterator[None]:
    """Turn the disk's refusals into `LakeError`."""
    try:
        yield
    except OSError as exc:
        if exc.errno in FULL_DISK:
            free = shutil.disk_usage(folder).free
            raise LakeError(
                f"{file.key} does not fit under {folder.absolute()}: it needs {file.size:,} bytes and {free:,} are free;"
                " nothing was landed and its part was removed; free some space, or move WORKBENCH_TEMP to a larger disk, and refresh again"
            ) from exc
        raise LakeError(
            f"{file.key} cannot be written under {folder.absolute()} ({exc.strerror}); nothing was landed; make the folder writable and refresh again"
        ) from exc
