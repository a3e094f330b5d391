"""What a lake of all sessions costs beyond one machine: what a core lands in a second, and what a log of 10^5 files costs to read and to add to.

Times are seconds of a core, all threads of a process together, so that who else runs on the machine matters little; landing may use one core alone. Logs are made of
one commit's text, as the workbench wrote it, told again of other sessions: what lists is true, and of the data files none is there. Each is looked at
by processes of their own. Answers are checked: files, landing records and versions must be those that were written, with a checkpoint and without.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks import data
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.landings import Landed, Landing, NewFile
from workbench.tables import Table, find

FIRST = date(2003, 9, 10)
RANGES = 16
# Where a checkpoint stands before the newest version: on the average, as one is made every 100.
BEHIND = 50
ROUNDS = 3


@dataclass(frozen=True)
class Shape:
    """A log: so many commits, each of so many flat files, each of so many Parquet files."""

    name: str
    table: str
    commits: int
    sessions: int
    files: int

    def shorter(self) -> "Shape":
        """The same for a check of answers alone."""
        return Shape(self.name, self.table, max(self.commits // 500, 3), min(self.sessions, 4), self.files)

    @property
    def keys(self) -> int:
        return self.commits * self.sessions


SHAPES = (
    Shape("ticks, landed at once: 64 sessions a commit", "stock_trades", 98, 64, RANGES),
    Shape("ticks, landed night by night: a session a commit", "stock_trades", 6_250, 1, RANGES),
    Shape("bars, never compacted: a file a commit", "stock_day", 20_000, 1, 1),
    Shape("the same, five times as long", "stock_day", 100_000, 1, 1),
)


# ---------------------------------------------------------------------- what a core lands


def cores(flat: Path, size: data.Size, scratch: Path) -> Iterator[list[str]]:
    """Landing on one core, of each kind of file: a line each."""
    kinds = (
        ("day", find("stock_day"), data.day_days(size)[:20], None),
        ("minute", find("stock_minute"), data.minute_days(size)[:3], None),
        ("trades", find("stock_trades"), [data.TRADE_DAY], size.trades),
        ("quotes", find("stock_quotes"), [data.TRADE_DAY], size.quotes),
    )
    for work, table, days, rows in kinds:
        data.files(flat, table, days, size.tickers, rows)
        took = [one_core(work, flat, scratch, days) for _ in range(size.rounds)]
        best = min(took, key=lambda told: float(told["cpu"]))
        assert rows is None or best["rows"] == rows, f"{work}: {best['rows']:,} rows landed of {rows:,}"
        assert best["stored"] > 0
        per_s = best["fetched"] / best["cpu"] / 1e6
        yield [
            f"{table.name}, {len(days)} files of {best['fetched'] / len(days) / 1e6:.3g} MB gz, {best['rows']:,} rows",
            f"{per_s:.1f} MB gz/s",
            f"{best['rows'] / best['cpu'] / 1e6:.2f} M rows/s",
            f"{best['stored'] / best['fetched']:.2f}",
            f"{best['peak_mb']:,.0f} MB",
        ]


def one_core(work: str, flat: Path, scratch: Path, days: Sequence[date]) -> dict[str, Any]:
    """Land files in a process that may use one core."""
    out = scratch / f"core-{work}"
    shutil.rmtree(out, ignore_errors=True)
    core = max(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks.work", work, "workbench", str(flat), str(out), *map(str, days)]
    env = os.environ | {"POLARS_MAX_THREADS": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=env, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    shutil.rmtree(out, ignore_errors=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


# ---------------------------------------------------------------------- a log


def opened(root: Path) -> Workbench:
    bench = Workbench(Settings.load(env={}, data=str(root)))
    bench.lake.make()
    return bench


def session(table: Table, nth: int, files: int) -> Landed:
    """What landing one session would commit."""
    day, schema = FIRST + timedelta(days=nth), tuple((c.name, c.type) for c in table.columns)
    made = []
    for n in range(files):
        bucket = f"{n:02}" if files > 1 else None
        low, high = (f"{chr(65 + n)}A", f"{chr(65 + n)}ZZZ") if files > 1 else ("A", "ZZZ")
        ends = ({"ticker": t, "date": str(day), "timestamp": f"{day}T{at}.000000Z"} for t, at in ((low, "08:00:00"), (high, "23:59:59")))
        stats = {"numRecords": 1000, **dict(zip(("minValues", "maxValues"), ends, strict=True))}
        stats["nullCount"] = {"ticker": 0, "date": 0, "timestamp": 0}
        place = f"chunk={day}/bucket={bucket or '__HIVE_DEFAULT_PARTITION__'}/{day}-{nth:08x}.parquet"
        made.append(NewFile(place, 1_000_000, 1000, str(day), bucket, stats, schema))
    landing = Landing(
        key=table.key_of(table.feeds[0], day),
        etag=f"{nth:032x}",
        size=10**9,
        sha256=f"{nth:064x}",
        table=table.name,
        session=day,
        source="polygon_s3",
        version=1,
        rows_in=1000 * files,
        rows=1000 * files,
        quarantined=0,
        reasons={},
        files=tuple(one.path for one in made),
        library="0",
        landed_at="2026-11-22T00:00:00.000+00:00",
        run="20261122-000000-00000000",
        began="2026-11-22T00:00:00.000+00:00",
    )
    return Landed(landing, tuple(made), 0, bounds(table) if table.routed else None)


def bounds(table: Table) -> tuple[str, ...]:
    """Ticker ranges, one a letter."""
    return tuple(chr(66 + n) for n in range(RANGES - 1)) if table.routed else ()


def commit(bench: Workbench, shape: Shape, nth: int, sessions: int) -> None:
    """Commit sessions, from the n-th on, as a driver does."""
    table = bench.lake[shape.table]
    landed = [session(table.table, nth + n, shape.files) for n in range(sessions)]
    for one in landed:
        for file in one.files:
            (table.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
    assert set(table.commit(landed)) == {"landed"}


def grow(root: Path, shape: Shape) -> Path:
    """Make a log of a shape, without checkpoints; gives its folder."""
    shutil.rmtree(root, ignore_errors=True)
    bench = opened(root)
    table = bench.lake[shape.table]
    if table.table.routed:
        table.set_bounds(bounds(table.table))
    table.create()
    first = len(table.commits())
    commit(bench, shape, 0, 1)
    log = table.folder / "_delta_log"
    text = (log / f"{first:020}.json").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    [info] = [line["commitInfo"] for line in told if "commitInfo" in line]
    [record] = json.loads(info.pop("landings"))
    actions = "\n".join(json.dumps(line, separators=(",", ":")) for line in told if "commitInfo" not in line)
    for version in range(first, first + shape.commits):
        days = range((version - first) * shape.sessions, (version - first + 1) * shape.sessions)
        landings = "[" + ", ".join(moved(json.dumps(record), n) for n in days) + "]"
        lines = [moved(actions, n) for n in days]
        (log / f"{version:020}.json").write_text("\n".join([json.dumps({"commitInfo": {**info, "landings": landings}}), *lines, ""]))
    return log


def moved(text: str, nth: int) -> str:
    """What tells of the first session, of another."""
    day = FIRST + timedelta(days=nth)
    text = text.replace(f"{FIRST:%Y/%m/%Y-%m-%d}", f"{day:%Y/%m/%Y-%m-%d}").replace(str(FIRST), str(day))
    return (
        text.replace(f"{0:064x}", f"{nth:064x}").replace(f'"{0:032x}"', f'"{nth:032x}"').replace(f"-{0:08x}.parquet", f"-{nth:08x}.parquet")
    )


def look(root: str, table: str) -> dict[str, Any]:
    """What one process finds in a log, and how long that takes it."""
    import pyarrow as pa
    from deltalake import DeltaTable

    assert pa
    lake = opened(Path(root)).lake
    shown: dict[str, Any] = {}

    def timed(name: str, action: Callable[[], Any]) -> Any:
        began = time.process_time()
        found = action()
        shown[name] = time.process_time() - began
        return found

    # As whoever only reads with delta-rs does, then ours.
    delta = timed("open", lambda: DeltaTable(lake[table].folder))
    shown["version"] = delta.version()
    del delta
    shown["files"] = len(timed("snapshot", lake[table].snapshot).stats)
    shown["keys"] = len(timed("landings", lake[table].landings))
    timed("landings again", lake[table].landings)
    shown["peak_mb"] = peak_mb()
    return shown


def add(root: str, name: str, commits: int) -> dict[str, Any]:
    """What a driver takes for each of some more commits of a session each."""
    shape = next(one for one in (*SHAPES, *(one.shorter() for one in SHAPES)) if one.name == name)
    bench = opened(Path(root))
    table = bench.lake[shape.table]
    begun = len(table.landings())
    taken = []
    for n in range(commits):
        began = time.process_time()
        commit(bench, shape, begun + n, 1)
        taken.append(time.process_time() - began)
    assert len(table.landings()) == begun + commits
    return {"commit": min(taken), "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process has had."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    [peak] = [int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return peak / 1000


def apart(call: str) -> dict[str, Any]:
    """A function's answer, from a process of its own."""
    code = f"import json; from benchmarks import beyond; print(json.dumps(beyond.{call}))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def logs(shapes: Sequence[Shape], scratch: Path) -> Iterator[list[str]]:
    """A line for each log, without a checkpoint and with one."""
    from deltalake import DeltaTable

    for shape in shapes:
        log = grow(scratch / "log", shape)
        root, folder = str(scratch / "log"), log.parent
        newest = max(int(path.stem) for path in log.glob("*.json"))
        text = sum(path.stat().st_size for path in log.glob("*.json"))
        for checkpoint in (False, True):
            size = 0
            if checkpoint:
                DeltaTable(folder, version=max(newest - BEHIND, 0)).create_checkpoint()
                [made] = log.glob("*.checkpoint.parquet")
                size = made.stat().st_size
            seen = [apart(f"look({root!r}, {shape.table!r})") for _ in range(ROUNDS if shape.commits < 10_000 else 1)]
            told = {name: min(one[name] for one in seen) for name in seen[0]}
            right = {"version": newest, "files": shape.keys * shape.files, "keys": shape.keys}
            assert {name: told[name] for name in right} == right, f"{shape.name}: {told} instead of {right}"
            adding = apart(f"add({root!r}, {shape.name!r}, {ROUNDS})") if checkpoint else {}
            yield [
                f"{shape.name}; {shape.keys * shape.files:,} files, {shape.commits:,} commits",
                "with" if checkpoint else "without",
                f"{text / 1e6:,.0f} MB" + f" + {size / 1e6:.1f} MB" * checkpoint,
                *(f"{told[name] * 1000:,.0f} ms" for name in ("open", "snapshot", "landings", "landings again")),
                f"{adding['commit'] * 1000:.0f} ms" if adding else "",
                f"{max(told['peak_mb'], adding.get('peak_mb', 0)):,.0f} MB",
            ]
        shutil.rmtree(scratch / "log")


# ---------------------------------------------------------------------- all

CORES = ["one core lands", "of the csv.gz", "of rows", "Parquet ÷ csv.gz", "most memory"]
LOGS = [
    "a log",
    "checkpoint",
    "text + checkpoint",
    "delta-rs opens",
    "`snapshot()`",
    "`landings()`, first",
    "one commit more",
    "most memory",
]


def run(size: data.Size, folder: Path) -> str:
    """Land and look; gives tables in Markdown."""
    scratch = folder / "beyond"
    scratch.mkdir(parents=True, exist_ok=True)
    flat = folder / f"flat-{size.tickers}-{size.trades}"
    shapes = [one.shorter() for one in SHAPES] if size is data.SHORT else SHAPES
    parts = []
    for head, lines in ((CORES, cores(flat, size, scratch)), (LOGS, logs(shapes, scratch))):
        rows = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
        for cells in lines:
            rows.append(f"| {' | '.join(cells)} |")
            print(rows[-1], flush=True)
        parts.append("\n".join(rows))
    return "\n\n".join(parts)
