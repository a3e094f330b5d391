"""What has landed and waits to be committed: one commit costs more the longer the log is, and whole chunks are written cold at once."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

from workbench import sessions
from workbench.errors import LakeError
from workbench.lake import supersede, tiering
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed, Landing, venue_of
from workbench.lake.store import Lake, LakeTable, Outcome
from workbench.lake.together import land as land_together
from workbench.refresh.plan import Step
from workbench.tables.spec import span_of

BATCH_FILES, BATCH_SECONDS = 64, 0.5
# What a chunk may have to fetch and still land whole: until its last file is there, a crash of the machine loses the work on all of them.
WHOLE_BYTES = 1_000_000_000
# Files smaller than this on average cost more in calls than in work.
SMALL_BYTES = 2_000_000


@dataclass(frozen=True)
class Done:
    """What became of a step."""

    step: Step
    outcome: Literal["landed", "replaced", "already landed", "overtaken", "quarantined", "failed", "missing", "stands in", "up to date"]
    rows: int = 0
    refused: int = 0
    transferred: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def fell_back(self) -> bool:
        """Whether the session's rows are only those of a source behind the one that was to give them."""
        return self.outcome == "stands in" or (bool(self.step.instead_of) and self.outcome in ("landed", "replaced", "already landed"))


Ready = tuple[Step, Landed, int, float]
Waits = tuple[Step, Landed | Job, int, float]
Made = Done | Waits


@dataclass
class Group:
    """Files of a chunk that are committed together, cold. `coming` are the keys that have not landed yet.

    Small files of a chunk are only fetched, and land `together` when the last is there. A chunk that lands whole (`new`) falls back to hot files if one of its sessions fails; otherwise the chunk is cold already, and what has
    landed again takes the place of what it held.
    """

    table: str
    chunk: str
    new: bool
    together: bool = False
    coming: set[str] = field(default_factory=set)
    landed: list[Waits] = field(default_factory=list)


class Batch:
    """Landed files that wait to be committed together: those of a chunk that is written cold for each other, all others for half a second."""

    def __init__(self, lake: Lake, todo: Sequence[Step] = (), *, together: bool = True, whole: bool = True):
        # `together`: small files land in one go, in this process. `whole`: chunks that are complete are written cold by it.
        self.lake, self._together = lake, together
        self._waiting: dict[str, list[Waits]] = {}
        self._since = time.monotonic()
        self._groups: dict[str, Group] = {}
        for table in dict.fromkeys(step.table for step in todo):
            self._groups |= groups(lake[table], [step for step in todo if step.table == table], whole=whole)

    def together(self, step: Step) -> bool:
        """Whether a step's file lands together with others, later."""
        group = self._groups.get(step.key)
        return self._together and group is not None and group.together

    def add(self, step: Step, landed: Landed | Job, transferred: int, seconds: float) -> bool:
        """Take a landed file in; tells whether it waits for the rest of its chunk."""
        made = step, landed, transferred, seconds
        if group := self._groups.get(step.key):
            group.coming.discard(step.key)
            group.landed.append(made)
            return True
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.setdefault(step.table, []).append(made)
        return False

    def miss(self, done: Done) -> None:
        """Take note of a file that will not land: refused ones explain a session, failed ones leave their chunk open."""
        if group := self._groups.pop(done.step.key, None):
            group.coming.discard(done.step.key)
            if group.new and done.outcome == "failed":
                self._release(group)

    def _release(self, group: Group) -> None:
        """Let a group's files be committed hot."""
        self._groups = {key: other for key, other in self._groups.items() if other is not group}
        for made in group.landed:
            self.add(*made)

    @property
    def due(self) -> bool:
        """Whether it is time to commit."""
        count = sum(map(len, self._waiting.values()))
        late = count >= BATCH_FILES or (count > 0 and time.monotonic() - self._since >= BATCH_SECONDS)
        return late or any(not group.coming for group in self._groups.values())

    def commit(self) -> Iterator[Done]:
        """Commit everything that waits, a commit for each table, and each chunk that is complete."""
        waiting, self._waiting = self._waiting, {}
        for table, some in waiting.items():
            refused, made = settled(some)
            yield from refused
            for apart in rounds(made):
                yield from done(apart, self._commit(self.lake[table], [landed for _, landed, _, _ in apart]))
        for group in {id(group): group for group in self._groups.values() if not group.coming}.values():
            yield from self._commit_cold(group)

    def _commit(self, table: LakeTable, landed: Sequence[Landed]) -> list[Outcome]:
        """Commit landed files of different sessions; those that displace rows of cold files, chunk by chunk."""
        landed = supersede.settle(self.lake, table, landed)
        known = table.landings()

        def chunk_of(one: Landed) -> str | None:
            leaving = [known[gone.key] for gone in one.displaced]
            if ":" in one.landing.key and one.landing.key in known:
                leaving.append(known[one.landing.key])
            return next((chunk for gone in leaving if (chunk := tiering.cold_chunk(table, gone))), None)

        chunks = [chunk_of(one) for one in landed]
        outcomes: dict[int, Outcome] = {}
        for chunk in dict.fromkeys(chunks):
            its = [n for n, other in enumerate(chunks) if other == chunk]
            some = [landed[n] for n in its]
            outcomes |= dict(zip(its, tiering.commit_cold(table, chunk, some) if chunk else table.commit(some), strict=True))
        return [outcomes[n] for n in range(len(landed))]

    def _commit_cold(self, group: Group) -> Iterator[Done]:
        self._groups = {key: other for key, other in self._groups.items() if other is not group}
        table = self.lake[group.table]
        # In order of sessions, rows need no sorting by time.
        group.landed.sort(key=lambda made: made[0].session)
        jobs = [job for _, job, _, _ in group.landed if isinstance(job, Job)]
        whole = land_together(jobs) if jobs and len(jobs) == len(group.landed) else None
        made: list[Ready]
        if whole:
            made = [(step, one, fetched, taken) for (step, _, fetched, taken), one in zip(group.landed, whole[0], strict=True)]
            frames = [whole[1]]
        else:
            refused, made = settled(group.landed)
            frames = []
            yield from refused
        landed = [landed for _, landed, _, _ in made]
        if not landed:
            return
        try:
            landed = landed if frames else supersede.settle(self.lake, table, landed)
            outcomes = tiering.commit_cold(table, group.chunk, landed, frames)
        except LakeError as fault:
            if group.new:
                self._release(group if whole else replace(group, landed=list(made)))
                raise
            for one in landed:
                table.discard([file for each in (one, *one.kept) for file in each.files])
            yield from (Done(step, "failed", transferred=fetched, seconds=taken, reason=str(fault)) for step, _, fetched, taken in made)
        else:
            for job in jobs:
                job.drop()
            yield from done(made, outcomes)

    def finish(self) -> Iterator[Done]:
        """Commit everything that landed; chunks that are not complete stay hot, or as they were."""
        for group in {id(group): group for group in self._groups.values()}.values():
            if group.coming and group.new:
                self._release(group)
            group.coming.clear()
        yield from self.commit()


def settled(waiting: Sequence[Waits]) -> tuple[list[Done], list[Ready]]:
    """Files that have landed, and those that were refused; what was only fetched lands now, one by one."""
    refused, ready = list[Done](), list[Ready]()
    for step, made, transferred, seconds in waiting:
        landed = land_or_refuse(made) if isinstance(made, Job) else made
        if isinstance(made, Job):
            made.drop()
        if isinstance(landed, Landed):
            ready.append((step, landed, transferred, seconds))
        else:
            refused.append(Done(step, "quarantined", transferred=transferred, seconds=seconds, reason=landed.reason))
    return refused, ready


def rounds(made: Sequence[Ready]) -> Iterator[list[Ready]]:
    """Landed files in the order in which they came, at most one of a session and venue at a time."""
    left = list(made)
    while left:
        seen: set[tuple[date, str]] = set()
        now, later = list[Ready](), list[Ready]()
        for one in left:
            part = one[1].landing.session, venue_of(one[1].landing)
            (later if part in seen else now).append(one)
            seen.add(part)
        yield now
        left = later


def done(made: Sequence[Ready], outcomes: Sequence[Outcome]) -> Iterator[Done]:
    """What became of committed files."""
    for (step, landed, transferred, seconds), outcome in zip(made, outcomes, strict=True):
        rows = landed.landing.rows if outcome in ("landed", "replaced") else 0
        reasons = [f"{n} {why}" for why, n in landed.landing.reasons.items()] + list(landed.landing.notes)
        yield Done(step, outcome, rows, landed.landing.quarantined, transferred, seconds, "; ".join(reasons))


def groups(table: LakeTable, todo: Sequence[Step], today: date | None = None, *, whole: bool = True) -> dict[str, Group]:
    """The chunks of a table that are to be committed cold, by the keys of the files that go into them; without `whole`, only those that are cold already."""
    found: dict[str, Group] = {}
    answered: dict[date, list[Landing]] = {}
    for landing in table.landings().values():
        # Rows of other sources stand under keys of their own.
        if ":" in landing.key and landing.held:
            answered.setdefault(landing.session, []).append(landing)
    for step in todo:
        held = [*([step.held] if step.held and step.held.held else []), *answered.get(step.session, [])]
        if chunk := next((chunk for one in held if (chunk := tiering.cold_chunk(table, one))), None):
            group = next((group for group in found.values() if group.chunk == chunk), None) or Group(table.table.name, chunk, new=False)
            group.coming.add(step.key)
            found[step.key] = group
    spec, today = table.table, today or sessions.today()
    if spec.routed or not whole:
        return found
    for period in reversed(spec.chunks):
        rest = [step for step in todo if step.key not in found and not (step.held and step.held.held)]
        for chunk in dict.fromkeys(spec.chunk_of(step.session, period) for step in rest):
            its = {step.key: step for step in rest if spec.chunk_of(step.session, period) == chunk}
            if any(step.session in answered for step in its.values()):
                continue
            old = period == spec.chunks[0] or span_of(chunk)[1] + tiering.FOLD_AFTER <= today
            small = sum(step.size for step in its.values()) <= WHOLE_BYTES
            each = sum(step.size for step in its.values()) <= SMALL_BYTES * len(its)
            if old and small and tiering.sealed(table, chunk, today, {key: step.session for key, step in its.items()}, patience=False):
                found |= dict.fromkeys(its, Group(spec.name, chunk, new=True, together=each and spec.ranges == 1, coming=set(its)))
    return found
