"""What the journal keeps of a run: when it began and ended, and every step that committed nothing."""

from dataclasses import dataclass, field

from workbench.errors import LakeError
from workbench.lake.journal import Attempt, Journal
from workbench.refresh.batch import Done
from workbench.refresh.plan import Plan, Step

# Steps that sources of rows were asked for are noted answer by answer.
STATUS = {"failed": "failed", "quarantined": "quarantined", "missing": "no_data", "stands in": "skipped"}
TOGETHER = 64


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
    trouble: str = ""

    def began(self, tables: str) -> None:
        """Note that the run has begun."""
        self._write([Attempt(self.run, "refresh", tables, self.source, "started")])

    def not_listed(self, plan: Plan) -> None:
        """Note the sessions that others are asked for because flat files could not be listed."""
        asked = [step for step in plan.to_ask if plan.down and step.instead_of == self.source]
        self._write([Attempt(self.run, "refresh", one.table, self.source, "failed", session=one.session, reason=plan.down) for one in asked])

    def add(self, done: Done) -> None:
        """Note a step that committed nothing."""
        self.rows += done.rows
        self.bad += done.outcome in ("failed", "quarantined", "missing")
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
                duration_ms=int(done.seconds * 1000),
            )
        )
        if len(self.waiting) >= TOGETHER:
            self.flush()

    def ended(self, tables: str, seconds: float, *, stopped: bool) -> None:
        """Note how the run ended."""
        status, why = ("failed", "stopped; what is committed is kept") if stopped else ("success", None)
        if self.bad and not stopped:
            why = f"{self.bad} steps brought nothing"
        last = Attempt(self.run, "refresh", tables, self.source, status, reason=why, rows=self.rows, duration_ms=int(seconds * 1000))
        self.waiting.append(last)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            self._write(self.waiting)
            self.waiting = []

    def _write(self, attempts: list[Attempt]) -> None:
        try:
            self.journal.record(attempts)
        except LakeError as fault:
            self.trouble = str(fault)
