"""A folder laid out like the vendor's bucket: flat files that are already here.

The files stay the user's own: they are read in place, never moved, never deleted.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from uuid import uuid4

from workbench.errors import BrokenDownload, SourceError, UsageError
from workbench.sources import Fetched, FlatFile, Verdict
from workbench.tables import TABLES, Feed, locate

HASHERS = 8
# A file this young may still change without its time stamp changing, so its md5 is not remembered.
SETTLED_S = 2.0
PREFIXES = tuple(feed.prefix for table in TABLES.values() for feed in table.feeds)

Stamp = tuple[int, int]  # size in bytes, time of the last change in ns


@dataclass(eq=False)
class Folder:
    """The vendor's layout on disk: `root` holds `us_stocks_sip/…`, or `flatfiles/` that holds it.

    A file's etag is the md5 of its bytes, as a single-part S3 object's is. `cache` is a file that remembers the md5s between runs.
    Raises `UsageError` if `root` holds no feed.
    """

    root: Path
    cache: Path | None = None
    name: str = field(default="folder", init=False)
    _known: dict[str, tuple[Stamp, str]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.root = rooted(self.root)
        self._known = self._remembered().get(str(self.root), {})

    def list(self, feed: Feed, start: date, end: date) -> Sequence[FlatFile]:
        """The feed's files with sessions from `start` to `end`, both included, oldest first; other files are passed over."""
        keys = sorted(self._keys(feed, start, end))
        before = dict(self._known)
        with ThreadPoolExecutor(HASHERS) as pool:
            try:
                return [file for file in pool.map(self._identify, keys) if file]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                if self._known != before:
                    self._remember()

    def _keys(self, feed: Feed, start: date, end: date) -> Iterator[str]:
        base = self.root / feed.prefix
        years = [path for path in base.glob("[0-9][0-9][0-9][0-9]") if start.year <= int(path.name) <= end.year]
        for path in (path for year in years for path in year.glob("[0-9][0-9]/*.csv.gz")):
            key = path.relative_to(self.root).as_posix()
            place = locate(key)
            if place and start <= place[2] <= end and path.is_file():
                yield key

    def _identify(self, key: str) -> FlatFile | None:
        """The file as it is now, or None if it has gone."""
        path = self.root / key
        try:
            stamp = stamp_of(path)
            if key not in self._known or self._known[key][0] != stamp:
                md5 = md5_of(path)
                if stamp_of(path) != stamp:
                    raise SourceError(f"{path} is being written; nothing of it was landed; refresh again when it is complete")
                self._known.pop(key, None)
                if time.time_ns() - stamp[1] < SETTLED_S * 1e9:
                    return FlatFile(key, md5, stamp[0])
                self._known[key] = (stamp, md5)
            return FlatFile(key, self._known[key][1], stamp[0])
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise SourceError(f"{path} cannot be read ({exc.strerror}); nothing was landed; make it readable and refresh again") from exc

    def fetch(self, file: FlatFile, folder: Path) -> Fetched:  # noqa: ARG002
        """The file where it is, lent. Raises `BrokenDownload` if it is no longer what was listed."""
        path = self.root / file.key
        now = self._identify(file.key)
        if now != file:
            trouble = f"has changed since it was listed ({now.size:,} bytes, md5 {now.etag})" if now else "has gone since it was listed"
            raise BrokenDownload(f"{path} {trouble}; nothing was landed; refresh again: the next run lists it anew")
        return Fetched(path, 0, lent=True)

    def check(self) -> Verdict:
        """Look for the feeds; never raises."""
        try:
            rooted(self.root)
        except UsageError as error:
            return Verdict(self.name, "not a folder", str(error))
        found = [prefix for prefix in PREFIXES if (self.root / prefix).is_dir()]
        return Verdict(self.name, "works", f"{self.root} holds {', '.join(found)}")

    def close(self) -> None:
        """There is nothing to give back."""

    def _remembered(self) -> dict[str, dict[str, tuple[Stamp, str]]]:
        """The cache file: root → key → stamp and md5. One that cannot be read is no cache."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            if self.cache:
                roots = json.loads(self.cache.read_text(encoding="utf-8"))
                return {
                    root: {key: ((int(size), int(changed)), str(md5)) for key, (size, changed, md5) in files.items()}
                    for root, files in roots.items()
                }
        return {}

    def _remember(self) -> None:
        if not self.cache:
            return
        roots = self._remembered()
        roots[str(self.root)] = roots.get(str(self.root), {}) | self._known
        flat = {root: {key: [*stamp, md5] for key, (stamp, md5) in files.items()} for root, files in roots.items()}
        # The cache saves time; a disk that will not hold it must not stop the refresh.
        with suppress(OSError), replacing(self.cache) as draft:
            draft.write_text(json.dumps(flat), encoding="utf-8")


def rooted(root: Path) -> Path:
    """The folder that holds the feeds: `root`, or `flatfiles` in it. Raises `UsageError` if there is none."""
    given = Path(root).expanduser().absolute()
    for folder in (given, given / "flatfiles"):
        if any((folder / prefix).is_dir() for prefix in PREFIXES):
            return folder
    trouble = "does not exist" if not given.exists() else "holds no flat files" if given.is_dir() else "is not a folder"
    raise UsageError(
        f"{given} {trouble}; nothing was listed. Give folder:PATH the folder that holds the vendor's folders"
        f" ({PREFIXES[0]}/2024/01/2024-01-02.csv.gz and so on), or one that holds it as flatfiles/"
    )


def stamp_of(path: Path) -> Stamp:
    """The file's size and the time of its last change: as long as they stay, so does the md5."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def md5_of(path: Path) -> str:
    """The md5 of the file's bytes; threads hash at the same time, since hashlib lets go of the interpreter."""
    with open(path, "rb") as data:
        return hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a draft to write; it takes `path`'s place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
