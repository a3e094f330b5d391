"""Bytes on their way to a backup, or back: counted and hashed as they pass."""

import hashlib
from typing import IO

from workbench.errors import LakeError


class Counting:
    """A sink that counts and hashes what passes."""

    def __init__(self, sink: IO[bytes] | None):
        self._sink, self._digest, self.size = sink, hashlib.sha256(), 0

    def write(self, some: bytes) -> int:
        """Pass bytes on."""
        self._digest.update(some)
        self.size += len(some)
        if self._sink:
            self._sink.write(some)
        return len(some)

    def flush(self) -> None:
        """Nothing is held back."""

    @property
    def sha256(self) -> str:
        """Of all that has passed."""
        return self._digest.hexdigest()


class Hashing:
    """A source that counts and hashes what is read."""

    def __init__(self, source: IO[bytes]):
        self._source, self._digest, self.size = source, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        try:
            some = self._source.read(size)
        except OSError as fault:
            # Put into words here: whoever writes would take it for an error of the place.
            raise LakeError(
                f"{getattr(self._source, 'name', 'a file')} cannot be read ({fault.strerror or fault}): no snapshot was made. See to the disk, and run the "
                "command again."
            ) from fault
        self._digest.update(some)
        self.size += len(some)
        return some

    @property
    def sha256(self) -> str:
        """Of all that was read."""
        return self._digest.hexdigest()
