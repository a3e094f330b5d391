"""Reference data, brought up to date: each source that has a dataset is asked, and what it says is merged by key."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta

from workbench.asking import reason
from workbench.batch import Done
from workbench.chain import Chain
from workbench.errors import LakeError, SourceError
from workbench.lake import reference
from workbench.lake.journal import Attempt, Journal
from workbench.lake.store import Lake, utc_now
from workbench.plan import Step

# What is declared late, or corrected, is asked for again for so long.
OVERLAP = timedelta(days=30)
GATHERED = "reference"


def gather(lake: Lake, chain: Chain, step: Step, symbols: Sequence[str], journal: Journal, run: str) -> Iterator[Done]:
    """Ask every source that has a table, and commit what it says as it comes; a source that fails keeps what it gave before.

    What was asked in whole is noted, so that the next run asks only for what may have come since.
    """
    for leg in chain.reference:
        if leg.refuses(step.table):
            continue
        began, started, own, rows = time.monotonic(), utc_now(), replace(step, source=leg.name), 0
        try:
            for gathered in leg.gather(step.table, since=None if symbols else since(journal, step.table, leg.name), symbols=symbols):
                made = reference.update(lake, gathered, leg.name, run=run, began=started)
                taken, began = time.monotonic() - began, time.monotonic()
                rows += made.rows_in
                changed = made.rows_new + made.rows_changed
                why = "; ".join((*(f"{n} {what}" for what, n in made.reasons.items()), *made.notes))
                outcome = "landed" if made.committed else "up to date"
                yield Done(own, outcome, changed, made.quarantined, gathered.transferred, taken, why)  # type: ignore[arg-type]
        except SourceError as fault:
            yield Done(own, "failed", seconds=time.monotonic() - began, reason=reason(fault))
        else:
            asked = ", ".join(symbols[:10]) or None
            with suppress(LakeError):
                journal.record([Attempt(run, GATHERED, step.table, leg.name, "success", symbol=asked, rows=rows, started_at=started)])


def since(journal: Journal, table: str, source: str) -> date | None:
    """The day up to which a source told all it has of a table; None if it was never asked for all."""
    with suppress(LakeError):
        whole = [
            one
            for one in journal.attempts(table)
            if (one.sync_type, one.source, one.status, one.symbol) == (GATHERED, source, "success", None)
        ]
        if whole:
            return datetime.fromisoformat(max(one.started_at for one in whole)).date() - OVERLAP
    return None
