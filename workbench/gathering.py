"""Reference data, brought up to date: each source that has a dataset is asked, and what it says is merged by key."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.asking import reason
from workbench.batch import Done
from workbench.chain import Chain
from workbench.errors import SourceError
from workbench.lake import reference
from workbench.lake.store import Lake
from workbench.plan import Step


def gather(lake: Lake, chain: Chain, step: Step, symbols: Sequence[str]) -> Iterator[Done]:
    """Ask every source that has a table, and commit what it says as it comes; a source that fails keeps what it gave before."""
    for leg in chain.reference:
        if leg.refuses(step.table):
            continue
        began, own = time.monotonic(), replace(step, source=leg.name)
        try:
            for gathered in leg.gather(step.table, since=reference.since(lake, step.table, leg.name), symbols=symbols):
                made = reference.update(lake, gathered, leg.name)
                taken, began = time.monotonic() - began, time.monotonic()
                why = "; ".join((*gathered.notes, *made.notes))
                outcome = "landed" if made.changed else "up to date"
                yield Done(own, outcome, made.changed, made.refused, gathered.transferred, taken, why)  # type: ignore[arg-type]
        except SourceError as fault:
            yield Done(own, "failed", seconds=time.monotonic() - began, reason=reason(fault))
