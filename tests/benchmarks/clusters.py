"""What a cluster costs against a process pool, on one machine: the same minute sessions landed by two Dask workers and by a pool of two processes.

Both have their imports behind them. They take turns, and each lands into a lake of its own; planning is left out.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from daskcluster import dask
from s3server import S3, seaweed, weed

from benchmarks import data
from workbench import cluster
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.tables import find

WORKERS = 2
SESSIONS = 8
DAYS = 250
Lands = Callable[[Executor], tuple[float, int]]


def folder(flat: Path, table: str, days: Sequence[date]) -> Lands:
    """Land sessions of a folder into a lake beside it."""

    def land(executor: Executor) -> tuple[float, int]:
        with tempfile.TemporaryDirectory(dir=flat.parent) as out:
            return landed(Settings.load(env={}, data=f"{out}/lake", source=f"folder:{flat}"), executor, table, days)

    return land


def bucket(s3: S3, flat: Path, table: str, days: Sequence[date], scratch: Path) -> Lands:
    """Land sessions of a bucket into a lake beside it: workers download, which a pool leaves to this process."""
    for day in days:
        key = find(table).key_of(find(table).feeds[0], day)
        with (flat / key).open("rb") as file:
            s3.admin.upload_fileobj(file, s3.bucket, key)
    keys: dict[str, Any] = {
        "polygon_s3_endpoint": s3.endpoint,
        "polygon_s3_access_key": s3.reader.access,
        "polygon_s3_secret_key": s3.reader.secret,
    }

    def land(executor: Executor) -> tuple[float, int]:
        with tempfile.TemporaryDirectory(dir=scratch) as out:
            return landed(Settings.load(env={}, data=f"{out}/lake", source="polygon_s3", **keys), executor, table, days)

    return land


def landed(settings: Settings, executor: Executor, table: str, days: Sequence[date]) -> tuple[float, int]:
    """How long it takes to land what is planned, and its rows."""
    planned = Workbench(settings).refresh(datasets=[table], start=days[0], end=days[-1], executor=executor, maintain=False)
    began = time.perf_counter()
    done = planned.run().done
    taken = time.perf_counter() - began
    assert [one.outcome for one in done] == ["landed"] * len(days), {(one.outcome, one.reason) for one in done}
    return taken, sum(one.rows for one in done)


@contextmanager
def crews(s3: S3 | None) -> Iterator[dict[str, Executor]]:
    """A pool of processes and a cluster, of as many workers."""
    env = {"POLYGON_S3_ACCESS_KEY": s3.reader.access, "POLYGON_S3_SECRET_KEY": s3.reader.secret} if s3 else {}
    with ExitStack() as stack:
        running = stack.enter_context(dask(WORKERS, env=env))
        pool = stack.enter_context(ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")))
        yield {"Dask": stack.enter_context(cluster.executor(running.address)), "process pool": pool}


def row(work: str, land: Lands, by: dict[str, Executor], rounds: int, target: str) -> list[str]:
    """Time one piece of work by both, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in by}
    rows: set[int] = set()
    for n in range(rounds + 1):
        for name, executor in by.items():
            seconds, count = land(executor)
            rows.add(count)
            # The first round is for imports, and for what the disk keeps in memory.
            if n:
                taken[name].append(seconds)
    assert len(rows) == 1, f"{work}: they disagree on rows: {rows}"
    ratio = statistics.median(pool / theirs for pool, theirs in zip(taken["process pool"], taken["Dask"], strict=True))
    cells = [work, *(f"{statistics.median(taken[name]):.2f} s" for name in ("Dask", "process pool")), f"{ratio:.2f}", target]
    print("  ".join(filter(None, cells)), flush=True)
    return cells


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Measure; gives a table in Markdown."""
    minutes, days = data.minute_days(size)[:-1][:SESSIONS], data.day_days(size)[:-1][-DAYS:]
    rounds = max(size.rounds, 1)
    scratch = home / "clusters"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with ExitStack() as stack:
        s3 = stack.enter_context(seaweed()) if weed() else None
        by = stack.enter_context(crews(s3))
        lines = [
            ["landing", f"{WORKERS} Dask workers", f"pool of {WORKERS} processes", "speed of Dask × pool", "target"],
            ["---"] * 5,
            row(f"{len(minutes)} minute sessions of a folder", folder(flat, "stock_minute", minutes), by, rounds, "≥ 0.9"),
            row(f"{len(days)} day sessions of a folder", folder(flat, "stock_day", days), by, rounds, ""),
        ]
        if s3:
            land = bucket(s3, flat, "stock_minute", minutes, scratch)
            lines.append(row(f"{len(minutes)} minute sessions of a bucket on loopback", land, by, rounds, "≥ 0.9"))
    shutil.rmtree(scratch, ignore_errors=True)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
