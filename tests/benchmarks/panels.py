"""What panels look at: a lake of five years by its records alone, forty tables of it, as nightly refreshes or as backfills leave their logs.

The Parquet files are links to one: neither status nor gaps read rows.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb

import workbench
from benchmarks import charts, data, following
from benchmarks.lakes import Lakes
from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.landings import Landing
from workbench.lake.store import LakeTable
from workbench.tables import FED, Table

FIRST = date(2021, 1, 4)
RANGES = 100


def lake(folder: Path, *, nightly: bool = False, last: date | None = None, tables: Sequence[Table] = FED) -> Workbench:
    """Five years of every table that flat files fill: a commit for each session if `nightly`, else for each month but the newest quarter."""
    bench = Workbench(Settings.load(env={}, data=str(folder)))
    bench.lake.make()
    for table in tables:
        make(bench.lake[table.name], sessions.between(table, FIRST, last or sessions.last_due()), nightly=nightly)
    return bench


def make(table: LakeTable, days: Sequence[date], *, nightly: bool) -> None:
    """The log of a table: commits of landing records, and the cold files that hold their rows."""
    declared = table.table
    table.create()
    source = table.folder / "rows.parquet"
    duckdb.sql(f"COPY ({declared.empty}) TO '{source}' (FORMAT parquet)")
    groups: list[list[date]] = []
    for day in days:
        own = nightly or (days[-1] - day).days < 92
        if own or not groups or groups[-1][0].strftime("%Y-%m") != day.strftime("%Y-%m") or (days[-1] - groups[-1][0]).days < 92:
            groups.append([])
        groups[-1].append(day)
    buckets = RANGES if declared.name.endswith("minute") else 4
    placed = set[str]()
    for version, group in enumerate(groups, 1):
        chunk, files = declared.chunk_of(group[0], declared.chunks[-1]), list[dict[str, Any]]()
        if chunk not in placed:
            placed.add(chunk)
            files = [added(table, source, chunk, f"{n:03}", group[0]) for n in range(buckets)]
        records = [landing(declared, day).to_json() for day in group]
        info = {"timestamp": int(time.time() * 1000), "operation": "WRITE", "landings": json.dumps(records)}
        lines = [json.dumps({"commitInfo": info}), *(json.dumps({"add": one}) for one in files)]
        table.commit_path(version).write_text("\n".join(lines) + "\n")
    from deltalake import DeltaTable

    DeltaTable(table.folder).create_checkpoint()


def added(table: LakeTable, source: Path, chunk: str, bucket: str, day: date) -> dict[str, Any]:
    """A cold file of a chunk, in the log."""
    path = f"chunk={chunk}/bucket={bucket}/{chunk}.parquet"
    target = table.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)
    ends = {kind: {"ticker": "A", "date": f"{day}", "timestamp": f"{day}T15:00:00.000000Z"} for kind in ("minValues", "maxValues")}
    stats = {"numRecords": 10_000, **ends, "nullCount": {"ticker": 0, "date": 0, "timestamp": 0}}
    partition = {"chunk": chunk, "bucket": bucket}
    return {
        "path": path,
        "size": source.stat().st_size,
        "partitionValues": partition,
        "modificationTime": 0,
        "dataChange": True,
        "stats": json.dumps(stats),
    }


def landing(table: Table, day: date) -> Landing:
    """The record of a session's file."""
    at = datetime(day.year, day.month, day.day, 16, tzinfo=UTC) + timedelta(days=1)
    key, told = table.key_of(table.feeds[0], day), at.isoformat(timespec="milliseconds")
    return Landing(
        key, "e" * 32, 10**7, "s" * 64, table.name, day, "polygon_s3", 1, 10_000, 10_000, 0, {}, (), "0.1", told, run="r", began=told
    )


def timed(action: Callable[[], object], times: int = 1) -> float:
    """Milliseconds that an action takes, the median of some times."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def standing(root: str) -> dict[str, float]:
    """Milliseconds of what panels show of a lake: the first look of a process, and later ones."""
    from workbench.panels import CoveragePanel, StatusPanel

    bench = workbench.open(root)
    found = {"status, first": timed(bench.status), "status": timed(bench.status, 5), "calendar": timed(bench.calendar, 5)}
    status = StatusPanel(bench)
    found["StatusPanel, looking again"] = timed(status.reload, 5)
    made: list[CoveragePanel] = []
    found["CoveragePanel, first"] = timed(lambda: made.append(CoveragePanel(bench)))
    found["CoveragePanel, looking again"] = timed(made[0].reload, 5)
    assert sum(map(len, [bench.status()])) and all(row["rows"] for row in bench.status())
    return found


def visible(root: str, panel: str) -> dict[str, float]:
    """Milliseconds from a cell that shows a panel, in a kernel that has opened the lake, to what it shows: import, first data, widgets, HTML."""
    bench = workbench.open(root)
    bench.sql("SELECT 1").fetchall()

    def show() -> None:
        from workbench import panels

        given = {"ChartPanel": ["AAPL"], "TablePanel": ["stock_day"]}.get(panel, [])
        getattr(panels, panel)(bench, *given)._repr_mimebundle_()

    return {panel: timed(show)}


def paging(root: str) -> dict[str, float]:
    """Milliseconds in the kernel for a page of one ticker's five years of minutes, and for its rows in another order."""
    from workbench.panels import TablePanel

    panel = TablePanel(workbench.open(root), "stock_minute")
    panel.where.value = "ticker = 'AAPL'"
    found = {"TablePanel, next page of a ticker's minutes": statistics.median(timed(panel.next_button.click) for _ in range(5))}
    return found | {"TablePanel, a ticker's minutes by close": timed(lambda: panel.sort("-close"))}


def process(call: str) -> dict[str, float]:
    """What a measurement gives in a process of its own."""
    code = f"import json; from benchmarks import panels; print(json.dumps(panels.{call}))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    return cast("dict[str, float]", json.loads(done.splitlines()[-1]))


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Measure, each in a process of its own; gives a table in Markdown."""
    lakes = Lakes(size, flat, home)
    short = size.tickers < 2_000
    lines = [["panels", "ms", "target"], ["---"] * 3]
    for how in ("backfilled", "nightly"):
        root = home / f"standing-{how}-{size.tickers}"
        if not (root / "made").exists():
            lake(root, nightly=how == "nightly", tables=FED[:2] if short else FED)
            (root / "made").touch()
        targets = {"status": "≤ 300 ms", "StatusPanel, looking again": "≤ 300 ms", "CoveragePanel, looking again": "≤ 500 ms"}
        for name, ms in process(f"standing({str(root)!r})").items():
            lines.append([f"{name}: {2 if short else len(FED)} tables, five years, {how}", f"{ms:,.0f}", targets.get(name, "")])
    main = lakes.main.lake.root
    for panel in ("RefreshPanel", "StatusPanel", "CoveragePanel", "ChartPanel", "TablePanel"):
        [(_, ms)] = process(f"visible({str(main)!r}, {panel!r})").items()
        lines.append([f"{panel}, from its cell to what it shows, in a new kernel", f"{ms:,.0f}", "≤ 1 s"])
    for name, ms in process(f"paging({str(lakes.history.lake.root)!r})").items():
        lines.append([name, f"{ms:,.0f}", ""])
    scratch = home / f"following-{size.tickers}"
    shutil.rmtree(scratch, ignore_errors=True)
    ways = following.added(scratch, *((1, 20, 20) if short else ()))
    shutil.rmtree(scratch)
    for name, (wall, used) in ways.items():
        lines.append(
            [
                f"a refresh of {20 if short else following.SESSIONS} files, {name}: CPU {used:.2f} s",
                f"{wall * 1000:,.0f}",
                "≤ 1.05 × alone" * (name == "followed"),
            ]
        )
    told = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    print(told, flush=True)
    return f"{told}\n\n{charts.run(lakes)}"
