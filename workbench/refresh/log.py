"""What the journal keeps of a run: when it began and ended, and every step that committed nothing."""

import logging
from dataclasses import dataclass, field

from workbench.errors import LakeError
from workbench.lake.journal import NOTHING, Attempt, Journal
from workbench.lake.store import utc_now
from workbench.refresh.batch import Done
from workbench.refresh.plan import Plan, Step

# Steps that sources of rows were asked for are noted answer by answer.
STATUS = {"failed": "failed", "quarantined": "quarantined", "missing": "no_data", "stands in": "skipped"}
TOGETHER = 64
LOG = logging.getLogger("workbench.refresh")
LEFT = "stopped; what is committed is kept"


def outcome(step: Step) -> Done:
    """What becomes of a step that takes no work."""
    told = {"refused": "quarantined", "missing": "missing", "failed": "failed", "stands in": "stands in"}
    return Done(step, told[step.action], reason=step.reason)  # type: ignore[arg-type]


@dataclass
class Log:
    """The journal of one run. A disk that does not hold it does not stop the run, whose commits hold their own records."""

    journal: Journal
    run: str
    source: str
    waiting: list[Attempt] = field(default_factory=list)
    rows: int = 0
    bad: int = 0
    good: int = 0
    trouble: str = ""
    since: str = ""

    def began(self, tables: str) -> None:
        """Note that the run has begun."""
        self.since = utc_now()
        LOG.info("refresh of %s from %s begins", tables, self.source, extra={"run": self.run, "source": self.source})
        self.note([Attempt(self.run, "refresh", tables, self.source, "started", started_at=self.since)])

    def not_listed(self, plan: Plan) -> None:
        """Note the sessions that others are asked for because flat files could not be listed."""
        asked = [step for step in plan.to_ask if plan.down and step.instead_of == self.source]
        self.note([Attempt(self.run, "refresh", one.table, self.source, "failed", session=one.session, reason=plan.down) for one in asked])

    def add(self, done: Done) -> None:
        """Note a step that committed nothing, and log any."""
        told(done, self.run, self.source)
        self.rows += done.rows
        self.bad += done.outcome in ("failed", "quarantined", "missing")
        self.good += done.outcome in ("landed", "replaced", "already landed", "up to date")
        if done.outcome not in STATUS or done.step.action == "ask":
            return
        step = done.step
        self.waiting.append(
            Attempt(
                self.run,
                "refresh",
                step.table,
                step.source or self.source,
                STATUS[done.outcome],
                session=step.session,
                reason=done.reason,
                bytes=done.transferred,
                object_key=step.key,
                etag=step.file.etag if step.file else None,
                finished_at=utc_now(),
                duration_ms=int(done.seconds * 1000),
            )
        )
        if len(self.waiting) >= TOGETHER:
            self.flush()

    def ended(self, tables: str, seconds: float, *, why: str) -> None:
        """Note how the run ended, and `why` it did not come to its end."""
        status = "failed" if why or (self.bad and not self.good) else "success"
        if self.bad and not why:
            why = f"{self.bad} step{'s' * (self.bad != 1)} {NOTHING}"
        last = Attempt(
            self.run,
            "refresh",
            tables,
            self.source,
            status,
            reason=why or None,
            rows=self.rows,
            duration_ms=int(seconds * 1000),
            started_at=self.since,
        )
        level = logging.WARNING if status == "failed" else logging.INFO
        LOG.log(
            level,
            "refresh of %s from %s ended (%s): %d rows in %.1f s%s",
            tables,
            self.source,
            status,
            self.rows,
            seconds,
            f"; {why}" * bool(why),
            extra={"run": self.run, "rows": self.rows, "seconds": round(seconds, 3), "outcome": status},
        )
        self.waiting.append(last)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            self.note(self.waiting)
            self.waiting = []

    def note(self, attempts: list[Attempt]) -> None:
        """Have the journal keep attempts, now; if it cannot, `trouble` says why."""
        try:
            self.journal.record(attempts)
        except LakeError as fault:
            self.trouble = str(fault)


def told(done: Done, run: str, source: str) -> None:
    """A log line of a step: what landed, what was refused or failed, and what came from a fallback."""
    step, given = done.step, done.step.source or source
    facts = {"run": run, "table": step.table, "session": str(step.session), "source": given, "outcome": done.outcome, "rows": done.rows}
    what: str = "refused" if done.outcome == "quarantined" else done.outcome
    level = logging.WARNING if done.outcome in ("quarantined", "failed") else logging.INFO
    why = f": {done.reason}" * bool(done.reason)
    if done.outcome in ("landed", "replaced"):
        why = f": {done.rows:,} rows, {done.refused:,} refused, {done.seconds:.2f} s" + why
    if done.fell_back:
        level, what = logging.WARNING, f"{what}, by a fallback"
    LOG.log(level, "%s %s from %s %s%s", step.table, step.session, given, what, why, extra=facts)
