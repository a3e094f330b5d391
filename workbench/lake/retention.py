"""Retention: sessions older than a policy keeps them leave their table, whole chunks at a time, for the archive or for good.

A chunk goes when the last date that it can hold is older than the policy's age, so a row stays at most a chunk longer than it must:
a quarter for minutes, a year for days, nothing for ticks. Landing records stay, and say what became of the rows: the next refresh
neither misses them nor fetches them again. `as_of` before the removal reads them until vacuum takes the files.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

from workbench import sessions
from workbench.lake import archive, rollups, tiering
from workbench.lake.disk import disk
from workbench.lake.landings import Landing, Retired, venue_of
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import Lake
from workbench.policies import Retention
from workbench.tables import ARCHIVE, ROLLUPS, Table
from workbench.tables.spec import span_of

THEN = {"archive": "archived", "drop": "dropped"}
NAMED = 5


@dataclass(frozen=True)
class Leaving:
    """A chunk that a policy takes out of its table; `refusal` says why it must not be, if it must not."""

    table: str
    chunk: str
    then: str
    files: tuple[LiveFile, ...]
    landings: tuple[Landing, ...]
    refusal: str = ""

    @property
    def rows(self) -> int:
        """Rows in its files."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)

    @property
    def days(self) -> list[date]:
        """Its sessions, oldest first."""
        return sorted({landing.session for landing in self.landings})


@dataclass(frozen=True)
class Left:
    """What became of a chunk: archived, dropped, refused, or overtaken by another process. `archived` is the size of the archive's files."""

    leaving: Leaving
    outcome: str
    archived: int = 0
    seconds: float = 0.0
    reason: str = ""


# ---------------------------------------------------------------------- which


def plan(lake: Lake, policies: Mapping[str, Retention], today: date | None = None) -> list[Leaving]:
    """What the policies take out of the lake today, oldest chunk first. Touches nothing."""
    today, coarser = today or sessions.today(), Rollups(lake)
    found = []
    for name, policy in policies.items():
        table, cutoff = lake[name], policy.keep.before(today)
        known = [landing for landing in table.landings().values() if landing.held]
        for chunk, files in chunks(table.table, table.snapshot().files):
            first, last = span_of(chunk)
            if last >= cutoff:
                continue
            landings = tuple(landing for landing in known if first <= landing.session <= last)
            one = Leaving(name, chunk, policy.then, tuple(files), landings)
            found.append(replace(one, refusal=refusal(lake, one, policy, coarser)))
    return sorted(found, key=lambda one: (span_of(one.chunk), one.table))


def chunks(table: Table, files: Sequence[LiveFile]) -> Iterator[tuple[str, list[LiveFile]]]:
    """Files by the widest cold chunk that spans them; hot ones that stand alone by their finest."""
    cold = {(span_of(name), name) for name in {file.chunk for file in files if file.bucket is not None}}
    widest = sorted(cold, key=lambda pair: pair[0][0] - pair[0][1])

    @cache
    def name(day: date) -> str:
        return next((name for (first, last), name in widest if first <= day <= last), table.chunk_of(day))

    return tiering.by_chunk(files, lambda file: name(file.first))


class Rollups:
    """What of the coarser bars is in the lake: looked up once for a plan."""

    def __init__(self, lake: Lake):
        self.lake = lake
        self._lost = cache(lambda name: tiering.lost_landings(lake[name]))
        self._archived = cache(lambda: not lake[ARCHIVE.name].lost())
        self.left = cache(self._left)

    def hold(self, table: Table, day: date, venue: str | None) -> bool:
        """Whether a session's rows are summed up in the next coarser bars, or in still coarser ones, in their table or in the archive."""
        while table.rollup:
            rollup = self.lake[table.rollup]
            table = rollup.table
            feed = next(feed for feed in table.feeds if (feed.venue or None) == venue)
            one = rollup.landings().get(table.key_of(feed, day))
            if one and ((one.held and one.key not in self._lost(table.name)) or (one.retired == "archived" and self._archived())):
                return True
        return False

    def _left(self, name: str) -> dict[str, frozenset[date]]:
        """The sessions of a table that are not summed up as they are now, by rollup."""
        found = [one for one in ROLLUPS if one.of.name == name]
        return {one.name: rollups.unsummed(self.lake, one) for one in found}


def refusal(lake: Lake, one: Leaving, policy: Retention, coarser: Rollups) -> str:
    """Why a chunk must not leave its table; empty if it may."""
    table = lake[one.table]
    if gone := table.gone(file.path for file in one.files):
        return f"{len(gone)} of its files are gone from the disk; `workbench refresh {one.table}` fetches them anew"
    accounted = sum(landing.held for landing in one.landings)
    if accounted != one.rows:
        return f"it holds {one.rows:,} rows where {accounted:,} are accounted for; run `workbench verify`"
    for name, left in coarser.left(one.table).items():
        if days := sorted({landing.session for landing in one.landings} & left):
            return f"{name} does not sum up {named(days)} as they are; `workbench maintain` does, and goes on"
    if policy.then == "archive" or policy.rollup == "none":
        return ""
    parts = (tiering.part_of(landing) for landing in one.landings)
    bare = sorted({day for day, venue in parts if not coarser.hold(table.table, day, venue)})
    if not bare:
        return ""
    return (
        f"{table.table.rollup} does not hold {named(bare)}, which nothing else sums up; "
        f"`workbench refresh {table.table.rollup} --start {bare[0]} --end {bare[-1]}` lands them"
    )


def named(days: Sequence[date]) -> str:
    """How many of a chunk's sessions, and some of them by name."""
    return f"{len(days)} of its sessions ({', '.join(map(str, days[:NAMED]))}{f' and {len(days) - NAMED} more' * (len(days) > NAMED)})"


# ---------------------------------------------------------------------- how


def retire(lake: Lake, one: Leaving) -> Left:
    """Take a chunk out of its table, after the archive holds it if that is the policy; refused ones stay.

    Killed between the two, the archive and the table both hold the chunk, each once; the next run finds it archived and takes it out.
    Raises `Busy` if the table is being compacted, `LakeError` if the disk is full, `BrokenPromise` if the archive's copy is not the same.
    """
    if one.refusal:
        return Left(one, "refused", reason=one.refusal)
    began, table = time.monotonic(), lake[one.table]
    retired = [
        Retired(landing.key, landing.version, landing.session, venue_of(landing), landing.held, THEN[one.then]) for landing in one.landings
    ]
    written = 0
    with tiering.alone(table), disk(lake.root, f"{one.table} {one.chunk} was not {THEN[one.then]}"):
        if one.then == "archive":
            written = archive.archive(lake, one.table, one.chunk, one.files, one.landings)
        done = table.retire([file.path for file in one.files], retired)
    reason = "" if done else "the table has moved meanwhile; the next run takes it up"
    return Left(one, THEN[one.then] if done else "overtaken", written, time.monotonic() - began, reason)
