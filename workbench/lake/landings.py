"""The landing record, and what waits to be committed with it.

The commit is the record: what stands here travels in the Delta commit of the rows that it describes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any

from workbench.tables import locate


@dataclass(frozen=True)
class NewFile:
    """A Parquet file that stands in its place under the table's folder but is not committed yet.

    `schema` is the file's own, as (column, type) pairs, for the commit to compare with the declaration.
    """

    path: str
    size: int
    rows: int
    chunk: str
    bucket: str | None
    stats: dict[str, Any]
    schema: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Landing:
    """The landing record: what became of one flat file.

    `rows_in = rows + quarantined + superseded`, always. `version` counts the versions of the object that were landed, from 1. `retired`
    says what became of the rows since: "archived" or "dropped" by retention, "superseded" by a better source, "reset"; empty while the
    table holds them. `run` is the refresh that landed it, begun on this file at `began`; `fallback_from` the source that failed before,
    `asked` the tickers that a source of rows was asked for (none: the whole market), `superseded` the rows that a better source had already.
    """

    key: str
    etag: str
    size: int
    sha256: str
    table: str
    session: date
    source: str
    version: int
    rows_in: int
    rows: int
    quarantined: int
    reasons: dict[str, int]
    files: tuple[str, ...]
    library: str
    landed_at: str
    notes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    retired: str = ""
    run: str = ""
    began: str = ""
    fallback_from: str = ""
    asked: tuple[str, ...] = ()
    superseded: int = 0

    @property
    def held(self) -> int:
        """The rows of it that its table holds now."""
        return 0 if self.retired else self.rows

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in the commit."""
        return {**asdict(self), "session": self.session.isoformat()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Landing":
        """The record as a commit holds it; fields of later versions of the library are ignored."""
        fields = cls.__dataclass_fields__
        known: dict[str, Any] = record if record.keys() == fields.keys() else {name: record[name] for name in fields if name in record}
        for name in ("files", "notes", "aliases", "asked"):
            known[name] = tuple(known.get(name, ()))
        known["session"] = date.fromisoformat(known["session"])
        if len(known) < len(fields):
            return cls(**known)
        # Of years of sessions there are tens of thousands: a frozen class sets each field by a call of its own.
        made = object.__new__(cls)
        made.__dict__.update(known)
        return made


@dataclass(frozen=True)
class Landed:
    """A flat file that became Parquet files, not committed yet.

    `seen` is the object's version that the plan saw, `bounds` the ticker ranges that its rows were routed to. `mends` says that
    files which the lake lists for the same bytes are gone from the disk. `beside` are key and version of what other sources landed of the
    session, as far as it is accounted for: of that, `displaced` is taken out in the same commit, and `kept` holds what of it stays.
    """

    landing: Landing
    files: tuple[NewFile, ...]
    seen: int
    bounds: tuple[str, ...] | None = None
    mends: bool = False
    beside: frozenset[tuple[str, int]] = frozenset()
    displaced: tuple["Retired", ...] = ()
    kept: tuple["Landed", ...] = ()


def hasher() -> str:
    """What hashes rows. Another version of it may hash the same rows to another number."""
    import polars as pl

    return f"polars {pl.__version__}"


@dataclass(frozen=True)
class Rewrite:
    """Files that take the place of others, row for row: what compaction commits, and a session published again inside a cold chunk.

    `content` is a hash of the rows that does not depend on their order (`lake.cold.content`). `origin` is the table that rows came from
    if they are new to this one, as in the archive.
    """

    chunk: str
    removed: tuple[str, ...]
    added: tuple[NewFile, ...]
    bounds: tuple[str, ...]
    content: int
    origin: str = ""

    @property
    def rows(self) -> int:
        """Rows in the new files."""
        return sum(file.rows for file in self.added)

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in the commit."""
        return {
            "chunk": self.chunk,
            "removed": len(self.removed),
            "added": [file.path for file in self.added],
            "rows": self.rows,
            "content": str(self.content),
            **({"origin": self.origin} if self.origin else {}),
            "hashed_by": hasher(),
        }


@dataclass(frozen=True)
class Retired:
    """A landed object whose rows left the table, at the version that was landed then; `then` says how, as in `Landing.retired`."""

    key: str
    version: int
    session: date
    venue: str
    rows: int
    then: str

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Retired":
        """The record as a commit holds it."""
        return cls(**record | {"session": date.fromisoformat(record["session"])})

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in the commit."""
        return {**asdict(self), "session": self.session.isoformat()}


@dataclass(frozen=True)
class Reset:
    """That a commit emptied its table, or brought back what another had taken out of it.

    `id` is the same in all `tables` that were to be emptied together. `restores` is the version whose rows and landing records stand again;
    -1 in a commit that emptied.
    """

    id: str
    tables: tuple[str, ...]
    restores: int = -1

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Reset":
        """The record as a commit holds it."""
        return cls(**record | {"tables": tuple(record["tables"])})

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in the commit."""
        return asdict(self)


@dataclass(frozen=True)
class Rewound:
    """That a commit took its table back to the files and landing records of an earlier version, `to`; -1: to when it held nothing.

    `id` is the same in all `tables` that went back together, and `as_of` the instant that was asked for (ISO; empty if a version was). `landings` are
    the records that stand again, under new numbers of their objects: what was planned before is overtaken.
    """

    id: str
    tables: tuple[str, ...]
    to: int
    as_of: str = ""
    landings: tuple[Landing, ...] = ()

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Rewound":
        """The record as a commit holds it."""
        landings = tuple(map(Landing.from_json, record.get("landings", ())))
        return cls(record["id"], tuple(record["tables"]), int(record["to"]), record.get("as_of", ""), landings)

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in the commit."""
        told = {"id": self.id, "tables": list(self.tables), "to": self.to, "as_of": self.as_of}
        return told | ({"landings": [one.to_json() for one in self.landings]} if self.landings else {})


@dataclass(frozen=True)
class Edit:
    """What leaves a table, or comes back to it, in one commit: files, and the landed objects that are retired with them."""

    added: tuple[NewFile, ...] = ()
    removed: frozenset[str] = frozenset()
    retired: tuple[Retired, ...] = ()
    reset: Reset | None = None
    rewound: Rewound | None = None


@dataclass(frozen=True)
class Commit:
    """What a commit says of itself: when it was made, the landing records it carries, what it retired, and of what reset or way back it is."""

    at: datetime
    landings: tuple[Landing, ...]
    retired: tuple[Retired, ...] = ()
    reset: Reset | None = None
    rewound: Rewound | None = None


def newest(commits: Sequence[Commit], known: Mapping[str, Landing] | None = None, since: int = 0) -> dict[str, Landing]:
    """The newest landing record of every object, by key; what was retired since says so and has no files.

    `known` are those of the first `since` commits, where they are known: of a long log, all of it is not told anew for one more commit.
    """
    found = dict(known or {})
    for commit in commits[since:]:
        found.update((landing.key, landing) for landing in commit.landings)
        found |= withdrawn(found, commit.retired)
        if commit.reset and commit.reset.restores >= 0:
            # What is restored was committed before.
            found |= restored(newest(commits[: commit.reset.restores + 1]), found)
        found.update((landing.key, landing) for landing in (commit.rewound.landings if commit.rewound else ()))
    return found


def restored(before: Mapping[str, Landing], known: Mapping[str, Landing]) -> dict[str, Landing]:
    """The landing records of an earlier version that stand again when a reset is undone; what has landed since stays as it is.

    An object that landed since, and was reset again, goes on counting its versions from there.
    """
    return {key: replace(one, version=known[key].version) for key, one in before.items() if known[key].retired == "reset"}


def withdrawn(known: Mapping[str, Landing], retired: Iterable[Retired]) -> dict[str, Landing]:
    """The landing records that a commit retired, as they are since; a version that landed meanwhile stays."""
    held = [(known[one.key], one.then) for one in retired if one.key in known and known[one.key].version == one.version]
    return {landing.key: replace(landing, files=(), retired=then) for landing, then in held}


def beside(one: Landing, known: Iterable[Landing]) -> list[Landing]:
    """What of a landing's session and venue stands in the table under other keys; nothing for tables that no flat file fills."""
    if not locate(one.key):
        return []
    return [
        other
        for other in known
        if other.session == one.session and other.key != one.key and other.held and venue_of(other) == venue_of(one)
    ]


def venue_of(landing: Landing) -> str:
    """The venue whose rows a landing holds; empty for tables without one."""
    place = locate(landing.key)
    return place[1].venue if place else ""
