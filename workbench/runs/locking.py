"""Locks of a lake's root, for what must happen once at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from workbench.errors import LakeError
from workbench.lake.disk import disk


@contextmanager
def locked(root: Path, name: str, undone: str, seconds: float = 0) -> Iterator[None]:
    """Hold a lock of a root until the block ends; the system frees it with the process. Raises filelock's `Timeout` if another holds it for so long.

    Raises `LakeError` if the root cannot be written, saying what was not done for it.
    """
    path = root / "locks" / f"{name}.lock"
    with disk(root, undone):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (NotADirectoryError, FileExistsError) as fault:
            file = next((place for place in path.parents if place.is_file()), path.parent)
            raise LakeError(f"{root} cannot be made, as {file} is a file: {undone}. Take another root with WORKBENCH_DATA.") from fault
        lock = FileLock(path, timeout=seconds)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
