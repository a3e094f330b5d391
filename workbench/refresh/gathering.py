"""Reference data, brought up to date: each source that has a dataset is asked, and what it says is merged by key."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from workbench.errors import LakeError, SourceError, UsageError
from workbench.lake import calendar_events, lone_days, reference, rollups
from workbench.lake.journal import Attempt, Journal
from workbench.lake.reference import Updated
from workbench.lake.store import Lake, utc_now
from workbench.refresh.asking import NAMED, reason
from workbench.refresh.batch import Done
from workbench.refresh.chain import Chain
from workbench.refresh.gathered import GATHERED, Identified, since
from workbench.refresh.plan import Step
from workbench.sessions import today
from workbench.sources.reference import Gathered
from workbench.tables import LONE_DAYS, ROLLUPS

SYMBOL = re.compile(r"[A-Za-z0-9.:]{1,16}: ")
# Asked for symbol by symbol: of the universe, where no symbols are named.
CALENDAR = "calendar_events"
DERIVING = ("splits", "dividends", CALENDAR)
# For so many seconds a refresh sums up what landed, newest first; what is left then is maintenance's.
SUMMING_UP = 30
BY_SYMBOL = ("fundamentals", "ticker_changes")


def gather(
    lake: Lake, chain: Chain, step: Step, symbols: Sequence[str], universe: Sequence[str], journal: Journal, run: str
) -> Iterator[Done]:
    """Ask every source that has a table, and commit what it says as it comes; a source that fails keeps what it gave before.

    What was asked in whole is noted, so that the next run asks only for what may have come since.
    """
    yield from ask(lake, chain, step, symbols, universe, journal, run)
    if step.table == CALENDAR:
        began, made = time.monotonic(), calendar_events.derive(lake)
        own, rows = replace(step, source=calendar_events.NAME), made.rows_new + made.rows_changed
        yield Done(own, "landed" if made.committed else "up to date", rows, seconds=time.monotonic() - began, reason="; ".join(made.notes))


def in_step(lake: Lake, done: Iterable[Done], left: Iterable[str] = ()) -> Iterator[Done]:
    """What follows from what has landed: which of two splits is real, by closes that are new; and events, by splits and dividends.

    `left` are tables in which something may have landed that this was not done for.
    """
    landed = {one.step.table for one in done if one.outcome in ("landed", "replaced") and one.rows} | set(left)
    if not any(lake[name].snapshot().files for name in DERIVING):
        return
    try:
        made = calendar_events.follow(lake, landed)
    except LakeError as fault:
        yield Done(Step(CALENDAR, today(), "gather", "", f"reference:{CALENDAR}"), "failed", reason=reason(fault))
        return
    for one in made:
        if one.committed:
            step = Step(one.table, today(), "gather", f"{one.key} has news", f"reference:{one.table}", source=one.source)
            yield Done(step, "landed", one.rows_new + one.rows_changed, reason="; ".join(one.notes))


def compared(lake: Lake, stopped: Callable[[], bool] = bool) -> Iterator[Done]:
    """Day bars compared with minutes where both have landed, and minutes summed up, for a while; says something only if that fails."""
    try:
        lone_days.compare(lake)
    except LakeError as fault:
        yield Done(Step(LONE_DAYS.name, today(), "gather", "", f"{lone_days.KEY}{today()}"), "failed", reason=reason(fault))
    try:
        rollups.refresh(lake, SUMMING_UP, stopped)
    except LakeError as fault:
        yield Done(Step(ROLLUPS[0].name, today(), "gather", "", f"{rollups.KEY}{today()}"), "failed", reason=reason(fault))


def ask(
    lake: Lake, chain: Chain, step: Step, symbols: Sequence[str], universe: Sequence[str], journal: Journal, run: str
) -> Iterator[Done]:
    """Ask every source of a table."""
    symbols = symbols or (universe if step.table in BY_SYMBOL else ())
    for leg in chain.reference:
        if leg.refuses(step.table):
            continue
        identity = leg.identity(step.table) if isinstance(leg, Identified) else None
        began, started, own, told = time.monotonic(), utc_now(), replace(step, source=leg.name), Told()
        fault = ""
        try:
            for gathered in leg.gather(step.table, since=None if symbols else since(journal, step.table, leg.name), symbols=symbols):
                told.add(gathered, reference.update(lake, gathered, leg.name, run=run, began=started))
        except (SourceError, UsageError) as refused:
            fault = reason(refused)
        else:
            asked = ", ".join(symbols[:10]) or None
            with suppress(LakeError):
                journal.record(
                    [
                        Attempt(
                            run,
                            GATHERED,
                            step.table,
                            leg.name,
                            "success",
                            symbol=asked,
                            rows=told.rows_in,
                            etag=identity,
                            started_at=started,
                        )
                    ]
                )
        outcome = "failed" if fault else "landed" if told.committed else "up to date"
        why = "; ".join(filter(None, [fault, *told.reasons]))
        yield Done(own, outcome, told.rows, told.refused, told.transferred, time.monotonic() - began, why)  # type: ignore[arg-type]


@dataclass
class Told:
    """What one source said of a table, summed up."""

    rows: int = 0
    rows_in: int = 0
    refused: int = 0
    transferred: int = 0
    committed: bool = False
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, gathered: Gathered, made: Updated) -> None:
        """Add what one reply brought."""
        self.rows += made.rows_new + made.rows_changed
        self.rows_in += made.rows_in
        self.refused += made.quarantined
        self.transferred += gathered.transferred
        self.committed |= made.committed
        for text in dict.fromkeys((*(f"{n} {what}" for what, n in made.reasons.items()), *made.notes)):
            # "MSFT: the vendor knows no events of it" is said once of all symbols that it is true of.
            of, _, what = text.partition(": ") if SYMBOL.match(text) else ("", "", text)
            self.notes.setdefault(what, []).append(of)

    @property
    def reasons(self) -> list[str]:
        """What a user should know, each thing once."""
        found = []
        for what, of in self.notes.items():
            names = [name for name in of if name]
            more = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
            found.append(f"{', '.join(names[:NAMED])}{more}: {what}" if names else what)
        return [*found[:NAMED], *([f"and {len(found) - NAMED} more of the kind"] if len(found) > NAMED else [])]
