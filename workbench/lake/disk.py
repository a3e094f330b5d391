"""The disk under the lake: folders for drafts, what a crash left of them, and what a full disk means."""

import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import LakeError
from workbench.lake.processes import dead


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder of one's own for drafts, gone afterwards; its name tells whose, for whoever finds it after a crash."""
    folder = root / "tmp" / f"land-{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove the drafts of this machine's processes that are no more."""
    for folder in (root / "tmp").glob("land-*"):
        if dead(folder.name.removeprefix("land-")):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk(root: Path, undone: str) -> Iterator[None]:
    """Say what a full or forbidden disk means, and what was not done for it ("X was not landed")."""
    try:
        yield
    except Exception as fault:
        if full_disk(fault):
            raise LakeError(
                f"the disk that holds {root} is full: {undone} and the lake is unchanged. Free some space and run the command again."
            ) from fault
        if isinstance(fault, PermissionError):
            raise LakeError(
                f"{fault.filename} cannot be written ({fault.strerror}): {undone} and the lake is unchanged. "
                "Give yourself the right to write there, or take another root with WORKBENCH_DATA."
            ) from fault
        raise


def full_disk(fault: Exception) -> bool:
    """Whether an error, ours or an engine's, means that the disk is full."""
    return "No space left on device" in str(fault) or "os error 28" in str(fault) or "Disk quota exceeded" in str(fault)


def sync(path: Path) -> None:
    """Have the operating system write a file, or a folder's entries, to the disk before a commit points at it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
