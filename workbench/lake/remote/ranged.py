"""An object read where it is asked for, for whoever needs a footer and not the whole."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from workbench.lake.remote.bucket import Bucket

# Most footers are shorter: they come with one request.
TAIL = 64 << 10


class Ranged(io.RawIOBase):
    """An object of so many bytes as a file, read by ranges. Not safe for threads. Raises `FileNotFoundError` if it is gone."""

    def __init__(self, bucket: "Bucket", name: str, size: int):
        self._bucket, self._name, self._size, self._at = bucket, name, size, 0
        self._held, self._from = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: "WriteableBuffer") -> int:
        view = memoryview(into).cast("B")
        end = min(self._at + len(view), self._size)
        if end <= self._at:
            return 0
        if not self._from <= self._at <= end <= self._from + len(self._held):
            # What is read near the end is followed by more of it.
            self._from = min(self._at, max(0, self._size - TAIL)) if end > self._size - TAIL else self._at
            self._held = self._bucket.part(self._name, self._from, self._size if end > self._size - TAIL else end)
        some = self._held[self._at - self._from : end - self._from]
        view[: len(some)] = some
        self._at += len(some)
        return len(some)
