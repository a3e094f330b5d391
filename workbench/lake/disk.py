"""The disk under the lake: folders for drafts, what a crash left of them, and what a full disk means."""

import errno
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import LakeError
from workbench.lake.processes import dead
from workbench.lake.remote.where import remote_of

# The folders of drafts that this process works in.
ACTIVE: set[str] = set()

FORBIDDEN = ("Permission denied", "os error 13", "Read-only file system", "os error 30")


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder of one's own for drafts, gone afterwards; its name tells whose, for whoever finds it after a crash."""
    folder = root / "tmp" / f"land-{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    ACTIVE.add(folder.name)
    try:
        folder.mkdir(parents=True)
        yield folder
    except BaseException:
        # Polars (2.1) reports a write that failed while its other threads still make files, and the folder for them.
        # They cannot be waited for by name: the folder has to stay away for a while.
        calm = 0
        for _ in range(40):
            shutil.rmtree(folder, ignore_errors=True)
            # A fifth of a second without a new piece is what is taken for the end of them.
            time.sleep(0.05)
            calm = 0 if folder.exists() else calm + 1
            if calm == 4:
                break
        raise
    finally:
        ACTIVE.discard(folder.name)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove the drafts of this machine's processes that are no more, and what engines made of our own too late."""
    ours = f"{platform.node()}-{os.getpid()}-"
    for folder in (root / "tmp").glob("land-*"):
        whose = folder.name.removeprefix("land-")
        if dead(whose) or (whose.startswith(ours) and folder.name not in ACTIVE):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk(root: Path, undone: str) -> Iterator[None]:
    """Say what a full or forbidden disk means, and what was not done for it ("X was not landed")."""
    try:
        yield
    except LakeError:
        raise
    except Exception as fault:
        if full_disk(fault):
            raise LakeError(
                f"the disk that holds {root} is full: {undone} and the lake is unchanged. Free some space and run the command again."
            ) from fault
        if why := forbidden(fault):
            raise LakeError(
                f"{getattr(fault, 'filename', None) or root} cannot be written ({why}): {undone} and the lake is unchanged. "
                "Give yourself the right to write there, or take another root with WORKBENCH_DATA."
            ) from fault
        raise


def forbidden(fault: Exception) -> str:
    """Why the system, ours or an engine's error says, lets nobody write; empty if it does not."""
    if isinstance(fault, PermissionError) or (isinstance(fault, OSError) and fault.errno == errno.EROFS):
        return fault.strerror or "permission denied"
    return next((sign.lower() for sign in FORBIDDEN if sign in str(fault)), "")


def full_disk(fault: Exception) -> bool:
    """Whether an error, an engine's or ours of it, means that the disk is full."""
    told = f"{fault} {fault.__cause__}"
    return any(sign in told for sign in ("No space left on device", "os error 28", "Disk quota exceeded", "File too large"))


def sync(path: Path) -> None:
    """Have the operating system write a file, or a folder's entries, to the disk before a commit points at it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place(draft: Path, target: Path) -> None:
    """Move a finished draft into its place, and have it in the bucket first where the lake stands in one.

    A vacuum may remove the empty folder just before: it is made again then.
    """
    size = draft.stat().st_size
    if remote := remote_of(target):
        remote.upload(draft, remote.name(target))
    for again in (True, True, False):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.replace(target)
        except FileNotFoundError:
            if not again or not draft.exists():
                raise
        else:
            if remote:
                # What this machine wrote counts as what it fetched does.
                remote.held.grew(size)
            return
