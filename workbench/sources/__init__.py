"""Where bytes come from: flat files, listed and fetched.

A source lists the flat files of one feed and hands over the bytes of one of them. It knows nothing of the lake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from workbench.tables import Feed, Table, locate


@dataclass(frozen=True)
class FlatFile:
    """One flat file as its source lists it. `etag` identifies the bytes: their md5, or `<md5>-<parts>` for a multipart object."""

    key: str
    etag: str
    size: int

    @property
    def place(self) -> tuple[Table, Feed, date]:
        """The table, feed and session that it fills."""
        place = locate(self.key)
        assert place, f"{self.key} is not a flat file's key"
        return place


@dataclass(frozen=True)
class Fetched:
    """A flat file's bytes on the local disk, verified against the listing.

    `transferred` counts the bytes that came over the network; `lent` is True if the file is the user's own and must stay.
    """

    path: Path
    transferred: int
    lent: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a source's cheapest call says of its configuration."""

    source: str
    state: str
    detail: str


class Source(Protocol):
    """Somewhere flat files come from. `name` is what rows carry in their `source` column."""

    name: str

    def list(self, feed: Feed, start: date, end: date) -> Sequence[FlatFile]:
        """The feed's files with sessions from `start` to `end`, both included, oldest first. Raises `SourceError`."""
        ...

    def fetch(self, file: FlatFile, folder: Path) -> Fetched:
        """The file's bytes, whole and verified, under `folder` or where they already are. Raises `SourceError`."""
        ...

    def check(self) -> Verdict:
        """Try the source with its cheapest call: works, wrong key, not entitled or unreachable."""
        ...

    def close(self) -> None:
        """Give back connections and temporary files."""
        ...
