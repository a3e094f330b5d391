"""Landing into a bucket over loopback beside landing into a folder.

Sessions of minutes land in a process of its own, in turns here and there; the bucket is SeaweedFS's, which works on the same cores. Both lakes must hold the
same rows. The target is no less than 0.8 of the rate of a disk.
"""

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from datetime import date
from pathlib import Path
from time import perf_counter, process_time
from unittest import mock

import polars as pl
from s3server import seaweed, weed

from benchmarks import data
from workbench import Workbench, sessions
from workbench.config import Settings
from workbench.tables import find

MINUTE = find("stock_minute")
BARS = 390


def make(folder: Path, count: int, tickers: int) -> None:
    """Flat files of so many sessions and tickers, each with all minutes of a regular session."""
    for day in sessions.between(MINUTE, date(2024, 1, 2), date(2024, 12, 31))[:count]:
        start = MINUTE.session_ns(day)[0] + 34_200_000_000_000
        names = pl.DataFrame({"ticker": [f"T{n:04}" for n in range(tickers)]})
        times = pl.DataFrame({"n": range(BARS)})
        rows = names.join(times, how="cross").with_columns(close=(10 + (pl.col("n") * 7 % 100) / 100))
        rows = rows.select(
            "ticker", volume=100 + pl.col("n"), open="close", close="close", high="close", low="close",
            window_start=start + pl.col("n").cast(pl.Int64) * 60_000_000_000, transactions=pl.col("n") % 50 + 1,
        )  # fmt: skip
        path = folder / MINUTE.key_of(MINUTE.feeds[0], day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(rows.write_csv().encode(), 1, mtime=0))


def land(vendor: str, root: str) -> None:
    """Land all of it into a lake, and print what it took and what is there."""
    with mock.patch("workbench.lake.maintain.after_refresh", lambda *_: ""), Workbench(Settings.load(data=root)) as bench:
        began, cpu = perf_counter(), process_time()
        bench.refresh(source=f"folder:{vendor}").run()
        took, cpu = perf_counter() - began, process_time() - cpu
        rows, total = bench.sql("SELECT count(*), sum(volume) FROM stock_minute").fetchall()[0]
        print(json.dumps({"seconds": took, "cpu": cpu, "rows": rows, "sum": total}))


def run(size: data.Size, folder: Path) -> str:
    """Land all in turns here and there; gives a table in Markdown."""
    if not weed():
        return "far-landing: no S3 server is installed"
    count, tickers = (2, 300) if size.quarters < 10 else (6, 4000)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name, seaweed() as s3:
        at = Path(name)
        make(at / "vendor", count, tickers)
        s3.admin.create_bucket(Bucket="lakes")
        told = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ACCESS_KEY_ID": s3.admin_keys.access, "AWS_SECRET_ACCESS_KEY": s3.admin_keys.secret}
        env = os.environ | told | {"WORKBENCH_CACHE": str(at / "cache")}
        took: dict[str, list[dict[str, float]]] = {"disk": [], "bucket": []}
        answers = set()
        for _ in range(2 * size.rounds + 1):
            for where, root in (("disk", str(at / "local")), ("bucket", f"s3://lakes/{uuid.uuid4().hex[:8]}")):
                shutil.rmtree(at / "local", ignore_errors=True)
                command = [sys.executable, "-c", "import sys; from benchmarks.farlanding import land; land(*sys.argv[1:])"]
                done = subprocess.run([*command, str(at / "vendor"), root], env=env, stdout=subprocess.PIPE, text=True, check=True)
                one = json.loads(done.stdout.splitlines()[-1])
                took[where].append(one)
                answers.add((one["rows"], one["sum"]))
    assert len(answers) == 1, answers
    ratio = statistics.median(here["seconds"] / there["seconds"] for here, there in zip(*took.values(), strict=True))
    middle = {where: {of: statistics.median(one[of] for one in each) for of in ("seconds", "cpu")} for where, each in took.items()}
    rows = next(iter(answers))[0]
    lines = [
        ["landing into", "seconds", "CPU seconds", "rate × disk"],
        ["---"] * 4,
        *(
            [where, f"{told['seconds']:.2f}", f"{told['cpu']:.2f}", "" if where == "disk" else f"{ratio:.2f}"]
            for where, told in middle.items()
        ),
    ]
    return f"{count} sessions of minutes, {rows:,} rows\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
