"""What of reference data was gathered before, as the journal tells it: a loss of the journal costs asking again, and nothing else."""

from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Protocol, runtime_checkable

from workbench.errors import LakeError
from workbench.lake.journal import Attempt, Journal
from workbench.sources.reference import ReferenceSource

# What is declared late, or corrected, is asked for again for so long.
OVERLAP = timedelta(days=30)
GATHERED = "reference"


@runtime_checkable
class Identified(Protocol):
    """A source that can tell whether what it has is what it had."""

    def identity(self, dataset: str) -> str:
        """What identifies all it has of a dataset; empty if that cannot be told."""
        ...


def known(journal: Journal, table: str, leg: ReferenceSource) -> bool:
    """Whether all that a source has of a table was gathered before, and nothing was reset since."""
    if not isinstance(leg, Identified) or not (identity := leg.identity(table)):
        return False
    with suppress(LakeError):
        return any(one.etag == identity and one.source == leg.name for one in gathered_whole(journal, table))
    return False


def since(journal: Journal, table: str, source: str) -> date | None:
    """The day up to which a source told all it has of a table; None if it was never asked for all."""
    with suppress(LakeError):
        whole = [one.started_at for one in gathered_whole(journal, table) if one.source == source]
        if whole:
            return datetime.fromisoformat(max(whole)).date() - OVERLAP
    return None


def gathered_whole(journal: Journal, table: str) -> list[Attempt]:
    """The times that a table was gathered whole since it was reset: what was told before is not here any more."""
    tried = journal.attempts(table)
    emptied = max((one.started_at for one in tried if one.sync_type == "reset"), default="")
    return [one for one in tried if (one.sync_type, one.status, one.symbol) == (GATHERED, "success", None) and one.started_at > emptied]
