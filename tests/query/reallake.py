"""Lakes of real sessions; the files stand beside the project, and are not part of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from workbench.bench import Workbench
from workbench.config import Settings

FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
real = pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")

TICKS = ("stock_trades", "stock_quotes", "stock_minute")


def landed(
    folder: Path, tables: Sequence[str] = TICKS, start: str = "2013-10-07", end: str = "2013-10-08", reference: Sequence[str] = ()
) -> Workbench:
    """A lake of some tables between two sessions, and of reference data; unless told otherwise, of the two sessions that have every trade and quote."""
    bench = Workbench(Settings.load(env={}, data=str(folder / "lake")))
    source = f"folder:{FLATFILES}"
    bench.refresh(source=source, datasets=list(tables), start=start, end=end, maintain=False).run()
    if reference:
        bench.refresh(source=source, datasets=list(reference), maintain=False).run()
    return bench
