"""What a refresh costs besides the data: its plan over four datasets of twenty years, and the calls that a plan's limit leaves unused.

The lake lists 20,000 landed sessions, each in a file of its own (links to one); the bucket that is asked for them answers from memory, so that
what is measured is ours.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.lakes import Lakes, kept
from workbench import sessions
from workbench.bench import Workbench
from workbench.lake.landings import Landed, NewFile
from workbench.sources import Fetched, FlatFile, Verdict
from workbench.tables import Feed, find

TABLES = ("stock_day", "stock_minute", "stock_trades", "stock_quotes")
SESSIONS = 5_000
SHORT_SESSIONS = 200
TOGETHER = 64
# The lake is kept for the next run, which must ask for the same sessions: one that has become due since would not be in it.
UNTIL = date(2025, 12, 31)
LIMIT, WINDOW_S, WINDOWS = 50, 2.0, 4


class Bucket:
    """A bucket that lists every session, and holds none."""

    name = "polygon_s3"

    def list(self, feed: Feed, start: date, end: date) -> Sequence[FlatFile]:
        table = next(find(name) for name in TABLES if feed in find(name).feeds)
        return [FlatFile(table.key_of(feed, day), f"etag of {day}", 100) for day in sessions.between(table, start, end)]

    def fetch(self, file: FlatFile, folder: Path) -> Fetched:
        raise NotImplementedError

    def check(self) -> Verdict:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to give back."""


def made(bench: Workbench, count: int) -> None:
    """A lake with so many sessions of each table: one that landed, and links to it."""
    for name in TABLES:
        bench.refresh(source="sample", datasets=[name], start=UNTIL, end=UNTIL, maintain=False).run()
        home = bench.lake[name]
        table, [one], like = home.table, list(home.landings().values()), home.snapshot().files[0]
        batch: list[Landed] = []
        for day in newest(name, count):
            if day == one.session:
                continue
            bucket = "00" if table.routed else None
            path = f"chunk={table.chunk_of(day)}/bucket={bucket or '__HIVE_DEFAULT_PARTITION__'}/{day}.parquet"
            (home.folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(home.folder / like.path, home.folder / path)
            ends = [{"ticker": ticker, "date": str(day), "timestamp": f"{day}T12:00:00.000000Z"} for ticker in ("A", "Z")]
            stats = {"numRecords": 1, "minValues": ends[0], "maxValues": ends[1], "nullCount": {}}
            file = NewFile(path, 100, 1, table.chunk_of(day), bucket, stats, tuple((c.name, c.type) for c in table.columns))
            told = replace(one, key=table.key_of(table.feeds[0], day), etag=f"etag of {day}", session=day, rows=1, rows_in=1, files=(path,))
            batch.append(Landed(told, (file,), 0, home.snapshot().bounds))
            if len(batch) == TOGETHER:
                home.commit(batch)
                batch = []
        home.commit(batch)


def newest(name: str, count: int) -> list[date]:
    """The newest sessions of a table that the lake holds."""
    table = find(name)
    return sessions.between(table, table.starts, UNTIL)[-count:]


def planned(root: str, count: int) -> dict[str, Any]:
    """Plan over everything, in this process, of a lake that holds it all and of one that holds nothing."""
    from workbench.lake.store import Lake
    from workbench.refresh.chain import Chain
    from workbench.refresh.plan import plan

    # The calendar is kept between processes; the first of all computes it.
    start = newest("stock_day", count)[0]
    chain, told = Chain("polygon_s3", Bucket()), {}
    for what, home in (("full", root), ("empty", tempfile.mkdtemp())):
        began = time.perf_counter()
        steps = plan(Lake(Path(home)), chain, TABLES, start, UNTIL)
        told[what] = time.perf_counter() - began
        assert len(steps) == (len(TABLES) if what == "full" else len(TABLES) * count), (what, len(steps))
    return told


def saturation() -> float:
    """The share of a plan's calls that the API leg makes, once it has learnt the limit."""
    from farend import FarEnd

    from workbench.sources import Question
    from workbench.sources.polygon_api import PolygonAPI

    days = sessions.between(find("stock_day"), date(2024, 1, 2), date(2024, 6, 28))
    with FarEnd(real=False, rate=LIMIT, window_s=WINDOW_S) as far_end, tempfile.TemporaryDirectory() as folder:
        api = PolygonAPI(far_end.key, far_end.api_url, window_s=WINDOW_S)
        until = time.monotonic() + WINDOW_S * (WINDOWS + 1)
        while time.monotonic() < until:
            for _ in api.answer(Question("stock_day", tuple(days)), Path(folder)):
                if time.monotonic() > until:
                    break
        api.close()
        good = [one.at for one in far_end.asked("grouped") if one.status == 200]
    first = good[0] + WINDOW_S
    return sum(first <= at < first + WINDOWS * WINDOW_S for at in good) / (LIMIT * WINDOWS)


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Measure, the plan in a process of its own; gives a table in Markdown."""
    count = SESSIONS if size is data.FULL else SHORT_SESSIONS
    bench = kept(Lakes(size, flat, home).place(f"planning-to-{UNTIL}"), lambda bench: made(bench, count))
    code = f"import json; from benchmarks import refreshing; print(json.dumps(refreshing.planned({str(bench.lake.root)!r}, {count})))"
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
        for _ in range(3)
    ]
    full, empty = (min(one[what] for one in runs) for what in ("full", "empty"))
    share = saturation()
    assert share <= 1.05, share
    lines = [
        ["refresh", "measured", "target"],
        ["---"] * 3,
        [f"plan of {count:,} sessions × {len(TABLES)} datasets, all landed", f"{full:.2f} s", "≤ 1 s"],
        [f"the same, none landed ({count * len(TABLES):,} steps)", f"{empty:.2f} s", "≤ 1 s"],
        [f"API leg, {LIMIT} calls in {WINDOW_S:g} s allowed: share of them made", f"{share:.0%}", "saturated"],
    ]
    found = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    print(found, flush=True)
    return found
