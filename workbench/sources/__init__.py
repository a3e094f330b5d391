"""Where bytes come from: flat files that are listed and fetched, and rows that are asked for.

A `Source` lists the flat files of one feed and hands over the bytes of one of them. A `RowSource` (REST API, Yahoo) answers questions
about sessions and tickers; each session's answer is written as a flat file, so that it lands as one, with the same checks. Neither knows
anything of the lake.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Question:
    """Sessions of a table, oldest first, that a source of rows is asked for, and tickers; none ask for the whole market."""

    table: str
    sessions: tuple[date, ...]
    tickers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a source of rows says of one session.

    `file` and `path` are its rows as a flat file: the table's full header, tickers in byte order, times in order; None if there are no rows.
    The file's key is `tables.answers.key_of`, its etag the sha256 of its bytes. `silent` are the tickers that were asked for and have no
    rows, `failed` those that could not be asked, with the reason; `fault` is why the whole session could not be.
    """

    table: str
    session: date
    asked: tuple[str, ...] = ()
    file: FlatFile | None = None
    path: Path | None = None
    rows: int = 0
    silent: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    transferred: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


class RowSource(Protocol):
    """Somewhere rows come from, by session and ticker. `name` is what rows carry in their `source` column."""

    name: str

    def refuses(self, table: str, *, whole: bool) -> str:
        """Why it cannot serve a table (for the whole market, or ticker by ticker); empty if it can."""
        ...

    def questions(self, table: str, sessions: Sequence[date], tickers: Sequence[str]) -> Sequence[Question]:
        """What to ask for these sessions and tickers, in calls that waste none: what one question brings is committed together."""
        ...

    def answer(self, question: Question, folder: Path) -> Iterator[Answer]:
        """Ask, and give each session's answer as it is complete, its file under `folder`.

        Raises `BadKeys` where no call can succeed; every other fault is told in the answers it concerns.
        """
        ...

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread: answers under way end with what they have."""
        ...

    def check(self) -> Verdict:
        """Try the source with its cheapest call."""
        ...

    def close(self) -> None:
        """Give back connections and temporary files."""
        ...
