"""A data file in a bucket, read: from this machine where it is here, else by parts that are fetched and held, or brought as a whole where that is less.

A file costs one request for its end, where its footer is, one more if the footer is longer than any that was met in its table, one for each of the
first `MOST` parts of it that are wanted, and then one for all of it: at most `MOST` + 3, whatever is asked of it.
"""

import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any

from workbench.errors import LakeError, SourceError, WorkbenchError

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

# A file that is no longer is brought whole: a request costs more than what it brings.
SMALL = 1 << 20
# So much of a file's end is fetched at first, and held; more once a longer footer was met.
TAIL, ROUND = 128 << 10, 64 << 10
# After so many parts of a file, or so much of it, all of it is brought.
MOST, SHARE = 8, 0.5
# Parts with no more between them are fetched at once.
GAP = 256 << 10
HOT = "bucket=__HIVE_DEFAULT_PARTITION__/"
MAGIC = b"PAR1"


class FarFile:
    """A data file by its object's name. Safe for threads; `size` is told by the log."""

    def __init__(self, remote: "Remote", name: str, size: int):
        self.remote, self.name, self.size = remote, name, size
        self.lock = Lock()
        self._fetched = 0
        # What threads are fetching now: several open a file at once.
        self._flying = Lock()
        self._coming: dict[tuple[int, int], Future[bytes]] = {}
        # Here, and open: it stays readable though another process makes room.
        self._file: int | None = None
        # This machine's disk takes no more, or nothing of it.
        self._barred = False

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    @property
    def wanted_whole(self) -> bool:
        """Whether it is brought at once: it is small, or hot, which means that it is asked for again and again."""
        return not self._barred and (self.size <= SMALL or HOT in self.name)

    def read(self, start: int, stop: int) -> bytes:
        """Its bytes from `start` to before `stop`. Raises what `Ranges.get` does; `LakeError` if it is gone."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        if (some := self._here(start, stop)) is not None:
            return some
        held = self.remote.held
        if (part := held.get(self.name, start, stop)) is not None:
            return part
        if self.wanted_whole or self._much(stop - start):
            self.bring()
            if (some := self._here(start, stop)) is not None:
                return some
        tail = min(self.size, self.remote.tails.get(self.table, TAIL))
        if start >= self.size - tail:
            first, end = self._shared(self.size - tail, self.size)
            self._learn(end)
            return end[start - first : stop - first]
        first, some = self._shared(start, stop)
        return some[start - first : stop - first]

    def end(self) -> None:
        """Have its end be here, or all of it if that is wanted. What goes wrong is said to whoever reads it."""
        with suppress(WorkbenchError):
            self.read(max(0, self.size - len(MAGIC)), self.size)

    @property
    def table(self) -> str:
        """The folder of its table."""
        return "/".join(self.name.split("/", 3)[:3])

    def _here(self, start: int, stop: int) -> bytes | None:
        """Bytes of the file on this machine, if it is here."""
        if self._file is None:
            path = self.remote.held.whole(self.name)
            if path is None:
                return None
            try:
                opened = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            if os.fstat(opened).st_size != self.size:
                # A machine that lost its power may have left a part of it: it is brought again.
                os.close(opened)
                with suppress(OSError):
                    path.unlink()
                return None
            with self.lock:
                if self._file is None:
                    self._file, opened = opened, -1
            if opened >= 0:
                os.close(opened)
        some = os.pread(self._file, stop - start, start)
        if len(some) < stop - start:
            raise LakeError(
                f"{self.remote.root / self.name} is shorter than the log says: nothing of it was read. Remove it, and it is brought again from "
                f"{self.remote.where}."
            )
        return some

    def _much(self, more: int) -> bool:
        """Whether all of it is better brought than more parts, given what is here of it."""
        held = self.remote.held
        if self._barred or self.size > held.limit / 4:
            return False
        parts = held.parts(self.name)
        return self._fetched >= MOST or len(parts) >= MOST + 2 or sum(last - first for first, last in parts) + more > self.size * SHARE

    def whole_for(self, spans: Sequence[tuple[int, int]]) -> bool:
        """Whether all of it is better brought than some parts; if so, whoever reads it waits for that."""
        if self.wanted_whole or self._much(sum(stop - start for start, stop in spans)):
            return True
        if self._barred or self._fetched + len(spans) <= MOST or self.size > self.remote.held.limit / 4:
            return False
        self._fetched = MOST
        return True

    def bring(self) -> None:
        """Have all of it be here, if this machine's disk takes it."""
        with self.lock:
            if self._barred:
                return
            try:
                self.remote.mirror.bring(self.remote.root / self.name, self.size)
            except FileNotFoundError as fault:
                raise self._gone() from fault
            except SourceError as fault:
                if not isinstance(fault.__cause__, OSError):
                    raise
                # As with parts, a disk that takes no more is no fault of the reader's: it reads on by parts.
                self._barred = True
                return
        self.remote.held.forget(self.name)

    def _shared(self, start: int, stop: int) -> tuple[int, bytes]:
        """A part that is fetched, or that another thread is fetching with the part in it: where it begins, and its bytes."""
        mine: Future[bytes] = Future()
        with self._flying:
            found = [(first, coming) for (first, last), coming in self._coming.items() if first <= start and stop <= last]
            if not found:
                self._coming[start, stop] = mine
        if found:
            return found[0][0], found[0][1].result()
        try:
            some = self._get(start, stop)
        except BaseException as fault:
            mine.set_exception(fault)
            raise
        else:
            mine.set_result(some)
        finally:
            with self._flying:
                self._coming.pop((start, stop), None)
        return start, some

    def _get(self, start: int, stop: int) -> bytes:
        try:
            some = self.remote.ranges.get(self.name, start, stop, self.size)
        except FileNotFoundError as fault:
            raise self._gone() from fault
        if start < self.size - ROUND:
            self._fetched += 1
        self.remote.held.put(self.name, start, some)
        return some

    def _gone(self) -> LakeError:
        return LakeError(
            f"{self.remote.where}/{self.name} is gone: a vacuum on another machine has removed it since this session looked; nothing was given. Run "
            "the query again; if it says the same, `workbench verify`."
        )

    def _learn(self, end: bytes) -> None:
        """Have the ends of a table's files be fetched as long as the longest footer that was met."""
        if end[-4:] != MAGIC:
            return
        length = min(int.from_bytes(end[-8:-4], "little") + 8, 16 << 20)
        wanted = -(-length // ROUND) * ROUND
        if wanted > self.remote.tails.get(self.table, TAIL):
            self.remote.tails[self.table] = wanted


class Opened(io.RawIOBase):
    """A far file, open: for what reads files of Python's. Each thread has its own place in it, since DuckDB's share one."""

    def __init__(self, file: FarFile):
        super().__init__()
        self.far = file
        self._at: dict[int, int] = {}
        self._ahead: list[tuple[int, int, Future[bytes]]] = []

    def ahead(self, spans: Iterable[tuple[int, int]]) -> "Opened":
        """Begin to fetch parts that will be read."""
        far, spans = self.far, joined(spans)
        if far.remote.held.whole(far.name) is None:
            if far.whole_for(spans):
                far.remote.pool.submit(far.bring)
            else:
                self._ahead += [(start, stop, far.remote.pool.submit(far.read, start, stop)) for start, stop in spans]
        return self

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        stop = self.far.size if size is None or size < 0 else at + size
        for first, last, coming in self._ahead:
            if first <= at and stop <= last:
                some = coming.result()[at - first : stop - first]
                break
        else:
            some = self.far.read(at, stop)
        self._at[get_ident()] = at + len(some)
        return some

    def readinto(self, buffer: Any) -> int:
        some = self.read(len(buffer))
        buffer[: len(some)] = some
        return len(some)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.far.size}[whence]
        self._at[get_ident()] = start + offset
        return start + offset

    def tell(self) -> int:
        return self._at.get(get_ident(), 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self.far.size


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of bytes, those near each other as one."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if found and start - found[-1][1] <= GAP:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found
