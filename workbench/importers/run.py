"""An import: the tables of an old database one after the other, batch by batch, each batch compared with what is there and written in one transaction."""

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import LakeError, SourceError, Unreachable, UsageError, WorkbenchError
from workbench.importers import marks
from workbench.importers.matching import Match, timed
from workbench.importers.origin import Arrived, Asked, Origin, Reject
from workbench.importers.pieces import Piece, joined, merged, part, row
from workbench.importers.reading import OVER, Reading
from workbench.importers.rejects import Rejects
from workbench.importers.summary import Step, Summary
from workbench.importers.urls import secrets_of, without
from workbench.lake.remote.where import remote_of

if TYPE_CHECKING:
    from workbench.importers.plan import Plan
    from workbench.lake.imports import Position


@dataclass(frozen=True)
class Order:
    """What an import is asked for: its place as it was given, the tables with what they become, the zone of times that have none, and whether all is read."""

    url: str
    matches: Sequence[Match]
    zone: str = "UTC"
    full: bool = False


class Import:
    """An import that has not run yet: iterate it for its steps, one for each batch, or call `.run()`; `.plan` tells what it will do, and writes nothing.

    What came in stays when it is stopped, or fails, and the same import goes on from there. A context manager; `run` closes it.
    """

    def __init__(self, bench: Any, origin: Origin, reading: Reading, order: Order):
        self.bench, self.origin, self.order = bench, origin, order
        self.matches = list(order.matches)
        self.id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        self.stopped = False
        # Called with a table whose rows are to be read next, and their number if it is known.
        self.begins: Callable[[Match, int | None], None] = lambda _match, _of: None
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.rejects: dict[str, Path] = {}
        # The first reason of each table's rejects, and what ended all.
        self._why: dict[str, str] = {}
        self._fatal = ""
        self._failed: set[str] = set()
        self._reading = reading
        self._began = 0.0
        self._seconds = 0.0

    def __repr__(self) -> str:
        good = [one for one in self.matches if not one.fault]
        what = f"{len(good)} of {len(self.matches)} tables of {self.origin.label} into {self.bench.lake.where}"
        if self._began:
            return f"<Import of {what}: {sum(one.read for one in self.steps):,} rows read>"
        return f"<Import of {what}, which has not run: iterate it for its steps, or call .run(); .plan tells what it will do>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the old database."""
        self._reading.close(self.origin.close)

    def stop(self) -> None:
        """Have it end after the batch that is being written."""
        self.stopped = True

    @cached_property
    def plan(self) -> "Plan":
        """What it will do with each table and column, and which of its first rows would be rejected. Reads a sample, and writes nothing."""
        from workbench.importers.plan import planned

        if self._reading.closed:
            raise UsageError(OVER)
        return planned(self)

    def run(self, say: Callable[[Step], None] = lambda _step: None) -> Summary:
        """Import all, and sum it up; `say` hears of each step. A table that cannot be read is told, and the rest goes on."""
        with self:
            for step in self:
                say(step)
        return self.summary

    @property
    def summary(self) -> Summary:
        """What was done so far."""
        return Summary(
            self.origin.label,
            self.steps,
            self._seconds or (perf_counter() - self._began if self._began else 0.0),
            run=self.id,
            rejects=self.rejects,
            why=self._why,
            notes=list(dict.fromkeys((*self.notes, *self.origin.notes))),
            fatal=bool(self._fatal),
            stopped=self.stopped,
        )

    def __iter__(self) -> Generator[Step, None, None]:
        if self._began:
            raise UsageError("this import has run; nothing more was imported. Ask for another with import_from.")
        if self._reading.closed:
            raise UsageError(OVER)
        self._began = perf_counter()
        if not self.bench.lake.exists and not all(one.fault for one in self.matches):
            self.bench.lake.make()
        try:
            for match in self.matches:
                if self.stopped:
                    return
                for step in self._each(match):
                    self.steps.append(step)
                    yield step
            self._shared()
        finally:
            self._seconds = perf_counter() - self._began

    def _shared(self) -> None:
        """Have what came to a lake in a bucket stand in commits there, for every machine."""
        ledger, names = self.bench.ledger, list(dict.fromkeys(one.ours for one in self.matches if one.ours and not one.fault))
        if remote_of(self.bench.lake.root) and self.bench.lake.exists:
            try:
                last = ledger.operations.pending({}).last
                ledger.lasting([name for name in names if name in ledger.records()], last, last)
            except LakeError as fault:
                self.notes.append(str(fault))

    # ------------------------------------------------------------------ tables

    def kept(self, match: Match) -> "Position | None":
        """How far a table was read before; None if all of it is to be read."""
        from workbench.lake.imports import kept

        if self.order.full or not self.bench.lake.exists:
            return None
        found = kept(self.bench.lake.root, self.origin.label, match.theirs, match.ours)
        return found if found and found.column and found.column == marks.marked(match) else None

    def asked(self, match: Match, since: "Position | None", order: str = "") -> Asked:
        """What is asked of a table."""
        assert match.record
        if since is None:
            return Asked(match.held, self.fields(match), None, order)
        time = timed(match.record[match.columns[since.column]])
        return Asked(match.held, self.fields(match), (since.column, marks.earlier(since.value, time=time)), order)

    def fields(self, match: Match) -> Mapping[str, Any]:
        """The columns that are wanted of a table, with those of ours that they fill."""
        assert match.record
        return {theirs: match.record[ours] for theirs, ours in match.columns.items()}

    def stream(self, asked: Asked) -> Generator[Arrived, None, None]:
        """The batches of a table, read in the origin's thread."""
        return self._reading.stream(lambda: self.origin.batches(asked), lambda: self.stopped)

    def _each(self, match: Match) -> Iterator[Step]:
        """The steps of one table; whatever goes wrong with it is told."""
        if match.fault:
            yield Step(match.theirs, match.ours, "not imported", reason=match.fault, harmless=match.harmless)
            return
        if self._fatal:
            yield Step(match.theirs, match.ours, "not imported", reason=f"{match.theirs} was not read: {self._fatal}")
            return
        assert match.record
        if lacks := [one.table for one in match.record.references if one.table in self._failed]:
            # Rows that refer to what did not come would be rejected, and not be read again.
            yield Step(
                match.theirs, match.ours, "not imported", reason=f"{match.theirs} was not read: its rows refer to {lacks[0]}, which failed"
            )
            return
        began = perf_counter()
        try:
            yield from self._table(match)
        except Exception as fault:
            # Whatever one table fails with, others may be fine; what went wrong is told with it.
            self._failed.add(match.ours)
            reason = self.told(fault)
            if isinstance(fault, Unreachable | LakeError):
                # Another table would fare no better.
                self._fatal = "the database went away" if isinstance(fault, Unreachable) else "the lake takes no rows"
            yield Step(match.theirs, match.ours, "failed", seconds=perf_counter() - began, reason=reason)

    def told(self, fault: BaseException) -> str:
        """An error in a sentence, without the password."""
        text = str(fault) if isinstance(fault, WorkbenchError) else f"unexpected {type(fault).__name__}: {fault}"
        return without(secrets_of(self.order.url), " ".join(text.split()))

    def _table(self, match: Match) -> Iterator[Step]:
        mark = marks.marked(match)
        since = self.kept(match)
        ordered = bool(mark) and bool(self._reading.call(lambda: self.origin.ordered(match.held, mark)))
        seen = marks.Mark(mark)
        count = new = 0
        for step in self._pass(match, since, seen, ordered=ordered):
            count, new = count + step.read, new + step.new
            yield step
        if self.stopped:
            return
        if since and not seen.unfit and not reaches(seen.value, since.value):
            # Rows that were read before are not there any more: it is another table of the same name, or its newest rows are gone.
            self.notes.append(
                f"{match.theirs}: the greatest {mark} there is below {marks.shown(since.value)}, up to which it was read before, so all of it was read."
            )
            since, seen = None, marks.Mark(mark)
            for step in self._pass(match, None, seen, ordered=ordered):
                count, new = count + step.read, new + step.new
                yield step
            if self.stopped:
                return
        self._keep(match, seen, since, 0 if ordered else new)
        if not count:
            yield Step(match.theirs, match.ours, "up to date", reason="" if since is None else f"nothing since {marks.shown(since.value)}")

    def _keep(self, match: Match, seen: marks.Mark, since: "Position | None", new: int) -> None:
        """Note how far a table was read, now that all of it was."""
        from workbench.lake.imports import Position, keep

        if seen.unfit and since is None:
            self.notes.append(f"{match.theirs} is compared whole each time: {seen.column} does not tell what is new, {seen.unfit}.")
        if since:
            column, value = since.column, since.value if seen.unfit or seen.value is None else most(seen.value, since.value)
        elif seen.unfit or seen.value is None:
            # That it was imported is kept, too.
            column, value = "", ""
        else:
            column, value = seen.column, seen.value
        with self.bench.ledger.writing(f"{match.ours}'s position") as within:
            keep(within.write.con, Position(self.origin.label, match.theirs, match.ours, column, value), new)

    # ------------------------------------------------------------------ batches

    def _pass(self, match: Match, since: "Position | None", seen: marks.Mark, *, ordered: bool) -> Iterator[Step]:
        """Read a table once, from a position on if there is one."""
        theirs = {ours: its for its, ours in match.columns.items()}
        order = theirs[match.time] if match.time else seen.column if ordered else ""
        landing = Landing(self, match, since, seen, moves=ordered)
        of = match.held.rows if since is None else None
        self.begins(match, of)
        with (
            closing(self.stream(self.asked(match, since, order))) as batches,
            Rejects(self.bench.lake.root, self.id, match.ours) as rejects,
        ):
            landing.rejects = rejects
            for arrived in batches:
                began = perf_counter()
                if step := landing.land(arrived, began):
                    yield replace(step, of=of)
            if not self.stopped and (step := landing.rest(perf_counter())):
                yield replace(step, of=of)


def reaches(value: marks.Value | None, before: marks.Value) -> bool:
    """Whether a value is not below one from before; not, where the two have no order."""
    return value is not None and marks.comparable(value, before) and value >= before  # type: ignore[operator]


def most(value: marks.Value, before: marks.Value) -> marks.Value:
    """The greater of two values; the newer, where they have no order."""
    return max(value, before) if marks.comparable(value, before) else value


@dataclass
class Landing:
    """Batches of one table on their way into the lake. Of rows that only the whole row tells apart, those of the last instant wait for the next batch."""

    run: Import
    match: Match
    since: "Position | None"
    seen: marks.Mark
    moves: bool
    rejects: Rejects = field(init=False)
    _number: int = 0
    _held: Piece | None = None
    _latest: Any = None

    def land(self, arrived: Arrived, began: float) -> Step | None:
        """Take a batch in; None if all of it waits."""
        from workbench.importers.taking import taken

        match = self.match
        assert match.record
        made = taken(match.record, match.columns, arrived, self.run.order.zone)
        if self.seen.column in arrived.columns:
            self.seen.see(arrived.columns[self.seen.column])
        elif self.seen.column and arrived.count:
            self.seen.unfit = self.seen.unfit or "rows lack it"
        odd = [
            *arrived.rejects,
            *(self._reject(arrived, at, self._number + at, why) for at, why in merged(made.rejects)),
        ]
        piece = Piece(made.rows, [(arrived, self._number, made.at)])
        self._number += arrived.count
        return self._write(self._ready(piece), odd, made.cut, began)

    def rest(self, began: float) -> Step | None:
        """Take in what waited."""
        piece, self._held = self._held, None
        return self._write(piece, [], 0, began) if piece else None

    def _ready(self, piece: Piece) -> Piece:
        """The rows that can be compared now: all; or those before the last instant, of which more may come; or none where nothing tells more apart."""
        time = self.match.time
        if self.match.identity:
            return piece
        import pyarrow.compute as pc

        if self._held:
            piece, self._held = joined(self._held, piece), None
        if not time:
            self._held = piece
            return Piece(piece.rows.slice(0, 0), [])
        values = piece.rows[time]
        last, first = pc.max(values), pc.min(values)
        if not last.is_valid:
            return piece
        if self._latest is not None and first.as_py() < self._latest:
            raise SourceError(
                f"rows of {self.match.theirs} did not come in the order of {time}, by which those that are there already are told; the rest of it was "
                "not imported. Have it hold its times in one form."
            )
        self._latest = last.as_py()
        waits = pc.fill_null(pc.equal(values, last), False).to_numpy(zero_copy_only=False)
        self._held = part(piece, waits)
        return part(piece, ~waits)

    def _write(self, piece: Piece, odd: list[Reject], cut: int, began: float) -> Step | None:
        from workbench.importers.arriving import arrive

        match, run = self.match, self.run
        assert match.record
        new = changed = unchanged = 0
        read = len(piece.rows) + len(odd)
        if len(piece.rows):
            landed = arrive(
                run.bench,
                match.record,
                piece.rows,
                match.identity,
                loaded_from=run.origin.label,
                ordered_by=match.time,
                position=self._position(),
            )
            new, changed, unchanged = landed.new, landed.changed, landed.unchanged
            odd += [self._reject(*piece.origin(at), why) for at, why in merged(landed.rejected)]
        if odd:
            run._why.setdefault(match.ours, f"{odd[0].where}: {odd[0].reason}")
            self.rejects.add(odd)
            run.rejects[match.ours] = self.rejects.path
        step = Step(match.theirs, match.ours, "landed", read, new, changed, unchanged, len(odd), cut, perf_counter() - began)
        return step if read or cut else None

    def _position(self) -> "Position | None":
        """How far the table is read once this batch is in; None where only its end tells."""
        from workbench.lake.imports import Position

        # Rows that wait are read again from there on, which begins before their instant.
        if not self.moves or self.seen.unfit or self.seen.value is None:
            return None
        value = self.seen.value if self.since is None else most(self.seen.value, self.since.value)
        return Position(self.run.origin.label, self.match.theirs, self.match.ours, self.seen.column, value)

    def _reject(self, arrived: Arrived, at: int, number: int, why: str) -> Reject:
        return Reject(self.run.origin.where(self.match.held, number), why, row(arrived, at))
