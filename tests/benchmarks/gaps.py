"""The gaps of a whole market: five years of minutes, of every ticker, against their day bars.

The lake that is asked lists true sessions with true dates. Its minute files are written with the two columns that the question reads,
ticker and session, encoded as workbench encodes them and in row groups as long: 2.6 thousand million rows with all columns would take
80 GB. Some ticker-sessions are left out, and the answer must be those.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.lakes import DAY, MINUTE, Lakes, commit, kept, listed
from workbench.bench import Workbench
from workbench.lake.landings import NewFile
from workbench.lake.snapshots import LiveFile

# One ticker of so many is left out of the first sessions of a chunk.
EVERY, LEFT_OUT = 97, 5


def lake(lakes: Lakes) -> Workbench:
    """Day bars, linked, and their minutes, as far as they are needed; kept for the next run."""
    return kept(lakes.place("gaps"), lambda bench: make(bench, lakes))


def make(bench: Workbench, lakes: Lakes) -> None:
    """Make the lake from the benchmarks' own."""
    days = lakes.main.lake[DAY.name]
    table = bench.lake[DAY.name]
    linked = []
    for file in days.snapshot().files:
        target = table.folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(days.folder / file.path, target)
        linked.append(listed(table, target, file, file.chunk, date.resolution * 0))
    commit(table, linked, days.snapshot().bounds or ())
    made, minutes = list[NewFile](), bench.lake[MINUTE.name]
    source = lakes.main.lake[MINUTE.name].folder
    for file in lakes.quarter:
        made += repeated(minutes.folder, source / file.path, file, data.day_days(lakes.size))
    commit(minutes, made, lakes.main.lake[MINUTE.name].snapshot().bounds or ())


def repeated(folder: Path, source: Path, file: LiveFile, days: list[date]) -> list[NewFile]:
    """A file of a quarter once for each quarter of some sessions."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(source, read_dictionary=["ticker"], memory_map=False) as whole:
        groups = [whole.read_row_group(n, ["ticker", "date"]) for n in range(whole.num_row_groups)]
    sessions = np.unique(np.concatenate([group["date"].to_numpy() for group in groups]))
    made = []
    for n, first in enumerate(range(0, len(days), len(sessions))):
        block = days[first : first + len(sessions)]
        chunk = f"{2021 + n // 4}-Q{n % 4 + 1}"
        target = folder / f"chunk={chunk}" / f"bucket={file.bucket}" / "minutes.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = 0
        schema = pa.schema([("ticker", pa.dictionary(pa.int32(), pa.string())), ("date", pa.date32())])
        with pq.ParquetWriter(target, schema, compression="lz4", use_dictionary=True) as out:
            for group in groups:
                ticker, day = group["ticker"].combine_chunks(), np.searchsorted(sessions, group["date"].to_numpy())
                gone = np.array([left_out(name) for name in ticker.dictionary.to_pylist()], bool)[ticker.indices.to_numpy()]
                keep = (day < len(block)) & ~(gone & (day < LEFT_OUT))
                new = pa.array(np.array(block, "datetime64[D]")[np.minimum(day, len(block) - 1)][keep])
                out.write_table(pa.table([ticker.filter(pa.array(keep)), new], schema), row_group_size=len(group))
                rows += int(keep.sum())
        ends = {
            kind: {"ticker": name, "date": str(day), "timestamp": f"{day}T12:00:00.000000Z"}
            for kind, name, day in (("minValues", file.low, block[0]), ("maxValues", file.high, block[-1]))
        }
        stats = {"numRecords": rows, **ends, "nullCount": {"ticker": 0, "date": 0, "timestamp": 0}}
        path = str(target.relative_to(folder))
        made.append(NewFile(path, target.stat().st_size, rows, chunk, file.bucket, stats, ()))
    return made


def left_out(ticker: str) -> bool:
    """Whether a ticker lacks some sessions."""
    import zlib

    return zlib.crc32(ticker.encode()) % EVERY == 0


def ask(root: str) -> dict[str, Any]:
    """Ask twice, in this process, and check what comes."""
    import resource

    import polars as pl

    import workbench
    from workbench.query.gaps_market import market
    from workbench.sources.market_actions import RENAMED, company

    bench = workbench.open(root)
    shots = bench.snapshots()
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        found = market(bench.lake, shots, MINUTE.name, threads=bench.settings.threads)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    # The company that takes new symbols has minutes under the quarter's alone, whatever the year: its older ones lack all of theirs.
    told = [row for row in found if company(row["ticker"]) != RENAMED]
    assert told and all(left_out(row["ticker"]) for row in told), found.title
    # All lack the same sessions, and of all that were left out none is missing here.
    assert len({row["missing"] for row in told}) == 1 and not told[0]["missing"] % LEFT_OUT, found.title
    bars = pl.scan_parquet([bench.lake[DAY.name].folder / file.path for file in shots[DAY.name].files], glob=False, hive_partitioning=False)
    names = bars.filter(~pl.col("is_test")).select("ticker").unique().collect()["ticker"]
    assert len(told) == sum(left_out(name) for name in names if company(name) != RENAMED), found.title
    rows = shots[MINUTE.name].rows
    return {"cold": seconds[0], "warm": seconds[1], "peak_mb": peak, "rows": rows, "title": found.title, "tickers": len(found)}


def calendar(home: Path) -> list[float]:
    """Seconds to list the sessions of four tables from 2003 on, in new processes: computed the first time, and then as they were kept."""
    code = (
        "import time; from datetime import date; from workbench import sessions; from workbench.tables import find; began = time.perf_counter(); "
        "[sessions.between(find(f'stock_{what}'), date(2003, 9, 10), date(2026, 10, 30)) for what in ('day', 'minute', 'trades', 'quotes')]; "
        "print(time.perf_counter() - began)"
    )
    shutil.rmtree(home, ignore_errors=True)
    env = {**os.environ, "XDG_CACHE_HOME": str(home)}
    return [
        float(subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True, check=True).stdout) for _ in range(4)
    ]


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Measure, each in a process of its own; gives a table in Markdown."""
    bench = lake(Lakes(size, flat, home))
    code = f"import json; from benchmarks import gaps; print(json.dumps(gaps.ask({str(bench.lake.root)!r})))"
    done = json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    first, *kept_ones = calendar(home / "calendar")
    told = f"{done['rows'] / 1e6:,.0f} M minutes against their day bars: {done['title'].partition(': ')[2]}"
    lines = [
        ["gaps", "first", "again", "our peak memory", "target"],
        ["---"] * 5,
        [told, f"{done['cold']:.2f} s", f"{done['warm']:.2f} s", f"{done['peak_mb']:,.0f} MB", "≤ 20 s and ≤ 2 GB"],
        [
            "the sessions of four tables from 2003 on, in a new process",
            f"{first:.2f} s",
            f"{min(kept_ones) * 1000:.0f} ms",
            "",
            "planning ≤ 1 s",
        ],
    ]
    found = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    print(found, flush=True)
    return found
