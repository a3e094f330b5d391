"""A lake with something of everything that panels tell of: landed, refused, late, from a fallback, in part."""

import hashlib
from datetime import date
from pathlib import Path

from flatfiles import BAR, FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed
from workbench.refresh.batch import Batch
from workbench.refresh.plan import Step
from workbench.sources import FlatFile
from workbench.tables.answers import key_of

WED = date(2024, 3, 6)
GOOD, TUE = date(2024, 3, 4), date(2024, 3, 5)


def lake(folder: Path) -> Workbench:
    """Day bars of a Monday, the API's of its Tuesday, a refused file of Wednesday, a refused row of Thursday, Friday; minutes of Thursday and a Monday later."""
    files = folder / "files"
    for day in (GOOD, THU, FRI):
        put(files, STOCK_DAY, day, text([bar("ACME", day), bar("BETA", day)]))
    put(files, STOCK_DAY, WED, b"not gzip", raw=True)
    put(files, STOCK_DAY, THU, text([bar("ACME", THU), bar("BETA", THU, volume="much")]))
    for day in (THU, MON):
        put(files, STOCK_MINUTE, day, text(minutes("ACME", day, 3)))
    bench = Workbench(Settings.load(env={}, data=str(folder / "lake"), source=f"folder:{files}"))
    bench.refresh(start=GOOD, end=MON).run()
    answered(bench, folder, TUE)
    return bench


def answered(bench: Workbench, folder: Path, day: date) -> None:
    """Land what Polygon.s API said of a session's day bars."""
    key = key_of("api", STOCK_DAY.name, day, ())
    path = put(folder / "api", STOCK_DAY, day, text([bar("ACME", day)], BAR))
    file = FlatFile(key, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    landed = land_or_refuse(Job(path, file, "polygon_api", bench.lake.root, None))
    assert isinstance(landed, Landed), landed
    batch = Batch(bench.lake)
    batch.add(Step(STOCK_DAY.name, day, "ask", "", key, file=file, source="polygon_api"), landed, 0, 0.0)
    assert [done.outcome for done in batch.finish()] == ["landed"]
