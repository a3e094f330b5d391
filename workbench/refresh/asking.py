"""Asking sources of rows: questions side by side, answers landed as they come, and what one leg lacks handed to the next.

Each failure, each fallback and each ticker without rows is an attempt in the journal; what lands says in its own record whose place it took.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from queue import Empty, Queue
from threading import Event
from typing import TYPE_CHECKING

from workbench.errors import SourceError
from workbench.lake.journal import Attempt
from workbench.lake.landing import Job
from workbench.lake.landings import Landed
from workbench.lake.quarantine import Refusal
from workbench.lake.store import Lake, utc_now
from workbench.refresh import legs
from workbench.refresh.batch import Batch, Done
from workbench.refresh.chain import Chain
from workbench.refresh.log import Log
from workbench.refresh.moving import Flights
from workbench.sources import Answer, Question, RowSource
from workbench.tables import find

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.refresh.plan import Step

ASKERS = 8
NAMED = 5
POLL_S = 0.05
NO_ROWS = "no rows"
STOPPED = "Stopped: "
REFUSED = "quarantined: "

Place = tuple[str, date]


@dataclass
class Lack:
    """What a leg could not give of a session: tickers, each with the reason; or all of it, where the whole market was asked for."""

    step: "Step"
    tickers: dict[str, str] = field(default_factory=dict)
    whole: str = ""

    @property
    def refused(self) -> bool:
        """Whether it lacks only what came and was refused, which has been told of."""
        whys = [*self.tickers.values(), *filter(None, [self.whole])]
        return bool(whys) and all(why.startswith(REFUSED) for why in whys)

    @property
    def reason(self) -> str:
        """Why, in a line."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for ticker, why in self.tickers.items():
            by_reason[why].append(ticker)
        parts = [
            f"{', '.join(some[:NAMED])}{f' and {len(some) - NAMED} more' * (len(some) > NAMED)}: {why}" for why, some in by_reason.items()
        ]
        return "; ".join(filter(None, [self.whole, *parts]))


@dataclass
class Asking:
    """One run's questions. `land` lands a job; `stopped` is set when the run is to end; `lost` is what no leg had, at the end."""

    lake: Lake
    chain: Chain
    downloads: "Path"
    run: str
    symbols: Sequence[str]
    universe: Sequence[str]
    land: "Callable[[Step, Job], Landed | Refusal]"
    stopped: Event
    log: Log
    flights: Flights = field(default_factory=Flights)
    silent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    heard: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __call__(self, steps: "Sequence[Step]") -> Iterator[Done]:
        """Ask the first leg of each step, and the legs behind it for what it lacks; gives what became of each answer."""
        todo: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            todo[step.source].append(step)
        # A session that the lake holds is not missing because some ticker has no row in it.
        tables = {step.table for step in steps}
        here: set[Place] = {(name, one.session) for name in tables for one in self.lake[name].landings().values() if one.held}
        # A source that could answer and had no row is believed, whatever one behind it could not be asked.
        nothing: set[tuple[Place, str]] = set()
        why: dict[Place, list[str]] = defaultdict(list)
        for n, leg in enumerate(self.chain.rows):
            lacks: dict[Place, Lack] = {}
            for done in self._leg(leg, todo.pop(leg.name, []), lacks):
                if done.outcome in ("landed", "replaced", "already landed"):
                    here.add((done.step.table, done.step.session))
                yield done
            for place, lack in lacks.items():
                if self.stopped.is_set() and STOPPED in (
                    lack.whole[: len(STOPPED)],
                    *(told[: len(STOPPED)] for told in lack.tickers.values()),
                ):
                    # Left for the next run.
                    continue
                why[place].append(f"{leg.name}: {lack.reason}")
                nothing |= {(place, ticker) for ticker, told in lack.tickers.items() if told == NO_ROWS}
                lack.tickers = {ticker: NO_ROWS if (place, ticker) in nothing else told for ticker, told in lack.tickers.items()}
                behind = None if self.stopped.is_set() else self._behind(n, lack)
                if behind:
                    todo[behind.source].append(behind)
                elif place not in here and not lack.refused:
                    refused = lack.whole not in ("", NO_ROWS) or any(told != NO_ROWS for told in lack.tickers.values())
                    yield Done(lack.step, "failed" if refused else "missing", reason="; ".join(why[place]))
                elif any(told != NO_ROWS for told in lack.tickers.values()) and not lack.refused:
                    yield Done(lack.step, "failed", reason="; ".join(why[place]))

    def _behind(self, n: int, lack: Lack) -> "Step | None":
        """The question to the next leg that serves what a leg lacked."""
        table, step = find(lack.step.table), lack.step
        for leg in self.chain.rows[n + 1 :]:
            tickers = legs.wanted(leg, table, tuple(lack.tickers) or self.symbols, self.universe)
            if tickers is not None:
                before = self.chain.rows[n].name
                return legs.asked(leg, table, replace(step, reason=f"{step.reason}; {before}: {lack.reason}"), tickers, before)
        return None

    def _leg(self, leg: RowSource, steps: "Sequence[Step]", lacks: dict[Place, Lack]) -> Iterator[Done]:
        by_place = {(step.table, step.session): step for step in steps}
        grouped: dict[tuple[str, tuple[str, ...]], list[date]] = defaultdict(list)
        for step in steps:
            grouped[step.table, step.tickers].append(step.session)
        questions = [one for (table, tickers), days in grouped.items() for one in leg.questions(table, sorted(days), tickers)]
        batch = Batch(self.lake)
        attempts: list[Attempt] = []
        try:
            for question, answer in self._answers(leg, questions, by_place):
                step = by_place[answer.table, answer.session]
                lack = lacks.setdefault((answer.table, answer.session), Lack(step))
                attempts += self._note(leg, step, question, answer, lack)
                if answer.file and answer.path:
                    for refused in self._take(leg, step, answer, lack, batch):
                        attempts.append(self._refused(leg, refused))
                        yield refused
                if not (lack.tickers or lack.whole):
                    del lacks[answer.table, answer.session]
                if batch.due:
                    yield from batch.commit()
                    attempts = self._record(attempts)
        finally:
            # Stopped, too: what has been answered is kept.
            yield from batch.finish()
            self._record(attempts)

    def _answers(self, leg: RowSource, questions: Sequence[Question], steps: "Mapping[Place, Step]") -> Iterator[tuple[Question, Answer]]:
        """Every answer as it comes. A leg that cannot be asked at all answers each session with the reason."""
        # Few answers wait: disk and memory stay bounded.
        told: Queue[tuple[Question, Answer]] = Queue(2 * ASKERS)
        given_up = Event()

        def ask(question: Question) -> None:
            left = set(question.sessions)
            try:
                with self.flights.of(steps[question.table, question.sessions[0]], f"asking {leg.name}"):
                    for answer in leg.answer(question, self.downloads):
                        left.discard(answer.session)
                        told.put((question, answer))
                        if given_up.is_set():
                            return
            except SourceError as fault:
                for day in sorted(left):
                    told.put((question, Answer(question.table, day, question.tickers, fault=reason(fault))))

        pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="ask")
        asked = [pool.submit(ask, question) for question in questions]
        try:
            while not (all(one.done() for one in asked) and told.empty()):
                if self.stopped.is_set() and not given_up.is_set():
                    # What is under way ends with what it has, which is taken in.
                    give_up(leg, asked, given_up)
                with suppress(Empty):
                    yield told.get(timeout=POLL_S)
        finally:
            if not all(one.done() for one in asked):
                give_up(leg, asked, given_up)
            while not all(one.done() for one in asked):
                with suppress(Empty):
                    told.get(timeout=POLL_S)
            pool.shutdown()
        for one in asked:
            if not one.cancelled():
                one.result()

    def _take(self, leg: RowSource, step: "Step", answer: Answer, lack: Lack, batch: Batch) -> Iterator[Done]:
        """Land an answer's rows."""
        assert answer.file and answer.path
        began = time.monotonic()
        home = self.lake[step.table]
        held = home.landings().get(answer.file.key)
        own = replace(step, key=answer.file.key, file=answer.file, size=answer.file.size, held=held)
        job = Job(
            answer.path,
            answer.file,
            leg.name,
            self.lake.root,
            home.snapshot().bounds,
            held,
            mends=held is not None and held.retired == "reset",
            lent=False,
            run=self.run,
            began=utc_now(),
            fallback_from=step.instead_of,
            asked=tuple(ticker for ticker in answer.asked if ticker not in answer.failed),
            notes=answer.notes,
        )
        made = self.land(own, job)
        job.drop()
        taken = answer.seconds + time.monotonic() - began
        if isinstance(made, Refusal):
            # What cannot be trusted is as good as no answer.
            lack.tickers |= dict.fromkeys(answer.asked, f"{REFUSED}{made.reason}")
            lack.whole = lack.whole or f"{REFUSED}{made.reason}" * (not answer.asked)
            yield Done(own, "quarantined", transferred=answer.transferred, seconds=taken, reason=made.reason)
        else:
            batch.add(own, made, answer.transferred, taken)

    def _refused(self, leg: RowSource, done: Done) -> Attempt:
        """The attempt that an answer in quarantine was."""
        step = done.step
        return Attempt(
            self.run,
            "refresh",
            step.table,
            leg.name,
            "quarantined",
            symbol=step.tickers[0] if len(step.tickers) == 1 else None,
            session=step.session,
            fallback_from=step.instead_of or None,
            reason=done.reason,
            bytes=done.transferred,
            object_key=step.key,
            etag=step.file.etag if step.file else None,
            duration_ms=int(done.seconds * 1000),
        )

    def _note(self, leg: RowSource, step: "Step", question: Question, answer: Answer, lack: Lack) -> list[Attempt]:
        """The attempts that an answer tells of, besides what lands; adds what it lacks."""
        common = {
            "run_id": self.run,
            "sync_type": "refresh",
            "dataset": step.table,
            "source": leg.name,
            "session": step.session,
            "fallback_from": step.instead_of or None,
            "duration_ms": int(answer.seconds * 1000),
        }
        if answer.fault:
            lack.tickers |= dict.fromkeys(question.tickers, answer.fault)
            lack.whole = answer.fault if not question.tickers else lack.whole
            symbol = question.tickers[0] if len(question.tickers) == 1 else None
            status = "skipped" if answer.fault.startswith(STOPPED) else "failed"
            return [Attempt(**common, status=status, symbol=symbol, reason=answer.fault)]  # type: ignore[arg-type]
        self.silent[step.table] |= set(answer.silent)
        self.heard[step.table] |= set(answer.asked) - set(answer.silent) - answer.failed.keys() if answer.file else set()
        lack.tickers |= dict.fromkeys(answer.silent, NO_ROWS) | dict(answer.failed)
        found = [Attempt(**common, status="no_data", symbol=ticker, reason=NO_ROWS) for ticker in answer.silent]  # type: ignore[arg-type]
        found += [Attempt(**common, status="failed", symbol=ticker, reason=told) for ticker, told in answer.failed.items()]  # type: ignore[arg-type]
        if not answer.file and not question.tickers:
            lack.whole = NO_ROWS
            found.append(Attempt(**common, status="no_data", reason=NO_ROWS))  # type: ignore[arg-type]
        return found

    def _record(self, attempts: list[Attempt]) -> list[Attempt]:
        """Have the journal keep attempts; gives the list for the next ones."""
        self.log.note(attempts)
        return []

    @property
    def unheard(self) -> dict[str, list[str]]:
        """The tickers of each table of which no session of any source had a row."""
        return {table: sorted(left) for table, some in self.silent.items() if (left := some - self.heard[table])}


def give_up(leg: RowSource, asked: Iterable[Future[None]], told: Event) -> None:
    """Have questions end soon: those that wait are dropped, those under way end with what they have."""
    told.set()
    for one in asked:
        one.cancel()
    leg.stop()


def reason(fault: Exception) -> str:
    """An error as the journal keeps it: its class, and what it says."""
    return f"{type(fault).__name__}: {fault}"
