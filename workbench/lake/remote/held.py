"""What this machine holds of a bucket's data files: files as a whole, in the mirror, and parts of others, each a file of its own below `parts/`.

    <root>/lake/main/stock_day/…/a.parquet            the whole file
    <root>/parts/lake/main/stock_day/…/a.parquet/1048576-1114112        bytes 1048576 to before 1114112 of it

Data files never change, so that whatever is here is right, whoever brought it. Beyond the limit what was used longest ago goes; logs stay.
"""

import math
import os
import time
import uuid
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

LIMIT = 20 * 10**9
# Emptied down to so much of the limit, so that it is not done again at once.
DOWN_TO = 0.9
# A whole file that was used so lately may be in use: its path was given out, and is yet to be opened. Where such files alone are far over the limit,
# as when all of a lake is read, only the last minute's stay. A part that is gone when it is read is fetched again.
IN_USE_S, PRESSED_S, FAR_OVER = 900.0, 60.0, 1.5
# A file's time is when it was used, to the minute.
TOUCHED_S = 60.0
# The disk is looked over when so much has come since, as a share of the limit.
LOOKED = 0.05
INDEXES = 20_000


class Held:
    """The data that is held of a bucket in `remote.root`, by object names. Safe for threads and processes."""

    def __init__(self, remote: "Remote"):
        self.remote = remote
        self.limit = LIMIT
        self._lock, self._sweeping = Lock(), Lock()
        self._indexes: OrderedDict[str, list[tuple[int, int]]] = OrderedDict()
        self._touched: dict[str, float] = {}
        # Unknown how much is here already: the first thing that comes has it looked over.
        self._came = -1

    # ------------------------------------------------------------------ whole files

    def whole(self, name: str) -> Path | None:
        """An object's file on this machine, if all of it is here."""
        path = self.remote.root / name
        if not os.path.exists(path):  # noqa: PTH110
            return None
        self.used(path)
        return path

    # ------------------------------------------------------------------ parts

    def folder(self, name: str) -> Path:
        """Where the parts of an object stand."""
        return self.remote.root / "parts" / name

    def parts(self, name: str) -> list[tuple[int, int]]:
        """The parts of an object that are here: where each begins and ends."""
        with self._lock:
            if name in self._indexes:
                self._indexes.move_to_end(name)
                return self._indexes[name]
        found = []
        with suppress(OSError):
            for one in os.listdir(self.folder(name)):  # noqa: PTH208
                start, _, stop = one.partition("-")
                if start.isdigit() and stop.isdigit():
                    found.append((int(start), int(stop)))
        with self._lock:
            held = self._indexes.setdefault(name, sorted(found))
            while len(self._indexes) > INDEXES:
                self._indexes.popitem(last=False)
            return held

    def get(self, name: str, start: int, stop: int) -> bytes | None:
        """Bytes of an object, if a part that is here has all of them."""
        parts = self.parts(name)
        with self._lock:
            # The last that begins no later; those before it may reach further.
            near = parts[max(0, bisect_right(parts, (start, 2**63)) - 4) : bisect_right(parts, (start, 2**63))]
        for first, last in reversed(near):
            if first <= start and stop <= last:
                path = self.folder(name) / f"{first}-{last}"
                try:
                    with path.open("rb") as file:
                        file.seek(start - first)
                        some = file.read(stop - start)
                except FileNotFoundError:
                    # Another process has made room.
                    with self._lock, suppress(ValueError):
                        parts.remove((first, last))
                    continue
                if len(some) == stop - start:
                    self.used(path)
                    return some
        return None

    def put(self, name: str, start: int, some: bytes) -> None:
        """Hold a part of an object. A disk that takes no more is no fault of the reader's: it reads on without."""
        if not self.limit:
            return
        folder, stop = self.folder(name), start + len(some)
        draft = folder / f".{uuid.uuid4().hex[:8]}"
        try:
            try:
                draft.write_bytes(some)
            except FileNotFoundError:
                folder.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(some)
            draft.replace(folder / f"{start}-{stop}")
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return
        parts = self.parts(name)
        with self._lock:
            if (start, stop) not in parts:
                parts.insert(bisect_right(parts, (start, stop)), (start, stop))
        self.grew(len(some))

    def forget(self, name: str) -> None:
        """Let the parts of an object go: all of it is here, or it is gone from the bucket."""
        folder = self.folder(name)
        with self._lock:
            self._indexes.pop(name, None)
        with suppress(OSError):
            for one in os.scandir(folder):
                with suppress(OSError):
                    os.unlink(one.path)  # noqa: PTH108
            folder.rmdir()

    # ------------------------------------------------------------------ the limit

    def used(self, path: Path) -> None:
        """Note that a file is used now."""
        now, text = time.time(), str(path)
        if now - self._touched.get(text, 0.0) < TOUCHED_S:
            return
        if len(self._touched) > INDEXES:
            self._touched.clear()
        self._touched[text] = now
        with suppress(OSError):
            os.utime(path)

    def grew(self, size: int) -> None:
        """Note that so many bytes have come; makes room when it is time."""
        with self._lock:
            first = self._came < 0
            self._came = max(self._came, 0) + size
            due = first or self._came > self.limit * LOOKED
        # One thread looks the disk over, and the others go on.
        if due and self._sweeping.acquire(blocking=False):
            try:
                with self._lock:
                    self._came = 0
                self.make_room()
            finally:
                self._sweeping.release()

    def files(self) -> Iterator[tuple[float, int, str]]:
        """Every data file and part that is here: when it was used, its bytes and its path."""
        for top in ("lake", "parts"):
            for folder, folders, names in os.walk(self.remote.root / top):
                folders[:] = [one for one in folders if one != "_delta_log"]
                for one in names:
                    if top == "lake" and not one.endswith(".parquet"):
                        continue
                    path = f"{folder}/{one}"
                    with suppress(OSError):
                        told = os.stat(path)  # noqa: PTH116
                        yield told.st_mtime, told.st_size, path

    def size(self) -> int:
        """The bytes of all that is here."""
        return sum(size for _, size, _ in self.files())

    def make_room(self) -> int:
        """Let go what was used longest ago until the limit is kept, but no whole file that may be in use; gives the bytes that went."""
        found = sorted(self.files())
        there = sum(size for _, size, _ in found)
        gone = 0
        if there > self.limit:
            gone = self._go(found, there - self.limit * DOWN_TO, IN_USE_S)
            if there - gone > self.limit * FAR_OVER:
                gone += self._go([one for one in found if os.path.exists(one[2])], there - gone - self.limit * DOWN_TO, PRESSED_S)  # noqa: PTH110
        return gone

    def let_go(self, *, dry_run: bool = True) -> tuple[int, int]:
        """Let all go, but whole files that were used within the last minute, which may be in use; gives the files and bytes that went, or would in a dry run."""
        since, parts = time.time() - PRESSED_S, f"{self.remote.root}/parts/"
        going = [one for one in self.files() if one[0] <= since or one[2].startswith(parts)]
        if not dry_run:
            self._go(going, math.inf, PRESSED_S)
            with self._lock:
                self._indexes.clear()
        return len(going), sum(size for _, size, _ in going)

    def _go(self, found: Sequence[tuple[float, int, str]], wanted: float, in_use_s: float) -> int:
        since, parts, gone = time.time() - in_use_s, f"{self.remote.root}/parts/", 0
        for used, size, path in found:
            if gone >= wanted:
                break
            if used > since and not path.startswith(parts):
                continue
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
                gone += size
        for folder, _, _ in os.walk(self.remote.root / "parts", topdown=False):
            with suppress(OSError):
                # Those that something is in stay.
                os.rmdir(folder)  # noqa: PTH106
        return gone
