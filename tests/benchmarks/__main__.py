"""Run the benchmarks and print their table: `cd tests && python -m benchmarks [--short] [--only landing|questions|gaps|refresh|prices|platforms|records|rollups|importers|panels|serving|cluster|beyond|far|far-landing] [--write] [--folder FOLDER]`.

Systems take turns, round by round, so that a slow minute of the machine is slow for all of them; a figure is the median over the
rounds, a ratio the median of the rounds' own ratios. Fails only on wrong answers. `--write` puts the table into the README beside it.
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    beyond,
    clusters,
    data,
    far,
    farlanding,
    gaps,
    importers,
    panels,
    platforms,
    prices,
    queries,
    records,
    refreshing,
    rollups,
    serving,
)

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


@dataclass
class Row:
    """One line of the table."""

    work: str
    target: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    planning: list[float] = field(default_factory=list)

    def ratio(self, peer: str) -> str:
        """Ours by the peer's, as the median of the rounds."""
        if peer not in self.seconds:
            return ""
        pairs = zip(self.seconds["workbench"], self.seconds[peer], strict=True)
        return f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}"

    def median(self, system: str) -> str:
        """A system's median in a unit that reads well."""
        if system not in self.seconds:
            return ""
        seconds = statistics.median(self.seconds[system])
        return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.4g} ms"

    def cells(self) -> list[str]:
        peak = f"{self.peak_mb['workbench']:.0f} MB" if "workbench" in self.peak_mb else ""
        systems = ("workbench", "polars", "duckdb")
        return [self.work, *map(self.median, systems), self.ratio("polars"), self.ratio("duckdb"), peak, self.target]


HEAD = ["work", "workbench", "Polars", "DuckDB", "× Polars", "× DuckDB", "our peak memory", "target"]


def landing(work: str, name: str, target: str, days: Sequence[date], systems: Sequence[str], rounds: int, flat: Path, scratch: Path) -> Row:
    """Time one piece of landing work by several systems; each run is a process of its own."""
    row = Row(name, target)
    answers: dict[str, tuple[int, float]] = {}
    for _ in range(rounds):
        for system in systems:
            out = scratch / f"{work}-{system}"
            shutil.rmtree(out, ignore_errors=True)
            command = [sys.executable, "-m", "benchmarks.work", work, system, str(flat), str(out), *map(str, days)]
            done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
            row.seconds.setdefault(system, []).append(done["seconds"])
            row.peak_mb[system] = max(row.peak_mb.get(system, 0), done["peak_mb"])
            answers[system] = (done["rows"], done["sum"])
            if system == "workbench":
                row.planning.append(done["planning"])
    assert len({rows for rows, _ in answers.values()}) == 1, f"{name}: systems disagree on rows: {answers}"
    sums = [total for _, total in answers.values()]
    assert max(sums) - min(sums) <= 1e-9 * max(map(abs, sums)), f"{name}: systems disagree on the sum: {answers}"
    print("  ".join(filter(None, row.cells())), flush=True)
    return row


def median_seconds(action: Callable[[], object], times: int) -> list[float]:
    """How long an action takes, time after time."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return taken


def opening(lake: Path, sessions: int) -> list[Row]:
    """Opening a lake of many files, and what a query costs over DuckDB's own."""
    import duckdb

    import workbench

    workbench.open(lake).sql("SELECT 1")
    opened = Row(f"`workbench.open()` and a first query on {sessions:,} files", "≤ 100 ms")
    opened.seconds["workbench"] = median_seconds(lambda: workbench.open(lake).sql("SELECT 1").fetchall(), 9)
    bench, con = workbench.open(lake), duckdb.connect()
    one = Row('`sql("select 1")`', "≤ 5 ms over DuckDB's own")
    one.seconds["workbench"] = median_seconds(lambda: bench.sql("SELECT 1").fetchall(), 301)
    one.seconds["duckdb"] = median_seconds(lambda: con.sql("SELECT 1").fetchall(), 301)
    for row in (opened, one):
        print("  ".join(filter(None, row.cells())), flush=True)
    return [opened, one]


def imports(rounds: int) -> list[Row]:
    """What `import workbench` and `workbench --help` cost beyond starting Python."""
    bare = [sys.executable, "-c", "pass"]
    rows = []
    for name, target, command in (
        ("`import workbench`, beyond Python itself", "≤ 300 ms", [sys.executable, "-c", "import workbench"]),
        ("`workbench --help`, whole process", "≤ 500 ms", [sys.executable, "-m", "workbench", "--help"]),
    ):
        row = Row(name, target)
        taken = median_seconds(lambda command=command: subprocess.run(command, capture_output=True, check=True), 2 * rounds + 1)  # type: ignore[misc]
        less = statistics.median(median_seconds(lambda: subprocess.run(bare, check=True), 5)) if "import" in name else 0.0
        row.seconds["workbench"] = [max(one - less, 0.0) for one in taken]
        rows.append(row)
        print("  ".join(filter(None, row.cells())), flush=True)
    return rows


def run(size: data.Size, folder: Path) -> list[Row]:
    """All benchmarks of a size."""
    flat = data.make(folder, size)
    minutes, days = data.minute_days(size), data.day_days(size)
    with tempfile.TemporaryDirectory(dir=folder) as held:
        scratch = Path(held)
        by = {"flat": flat, "scratch": scratch}
        systems = ("workbench", "polars", "duckdb")
        minute = landing("minute", "one minute session", "≤ 1.3 × Polars; ≤ 0.7 × DuckDB", minutes[:1], systems, 2 * size.rounds - 1, **by)
        # Short of one, a month lands hot, session by session; whole, it is written by ticker at once, read back and compared.
        some = landing(
            "minute", f"{len(minutes) - 1} minute sessions", "≤ 1.2 × Polars; ≤ 1,000 MB", minutes[:-1], systems, size.rounds, **by
        )
        month = landing("minute", f"a whole month of {len(minutes)} minute sessions, cold", "", minutes, systems, 1, **by)
        years = landing("day", f"{len(days):,} day sessions, cold but for the last", "≤ 1.3 × Polars", days, systems, size.rounds, **by)
        ticks = trades(size, flat, scratch)
        plan = Row(f"planning {len(days):,} day sessions (md5 of every file, calendar)", "", {"workbench": years.planning})
        return [minute, some, month, years, ticks, plan, *opening(scratch / "day-workbench", len(days)), *imports(size.rounds)]


def trades(size: data.Size, flat: Path, scratch: Path) -> Row:
    """A session of trades, into a table whose ticker ranges are decided, as they are from its first session on."""
    name = f"{size.trades:,} trades, routed to 16 ranges and checked"
    return landing(
        "trades", name, "≤ 1.3 × Polars; ≤ 700 MB", [data.TRADE_DAY], ("workbench", "polars", "duckdb"), size.rounds, flat, scratch
    )


def table(rows: Sequence[Row]) -> str:
    """The results in Markdown."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    """What the figures were measured on."""
    import os

    libraries = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "deltalake", "pyarrow"))
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {libraries}, {date.today()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes and one round: are the answers right?")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "workbench-benchmarks", help="where data is kept")
    parser.add_argument(
        "--only",
        choices=(
            "landing",
            "questions",
            "gaps",
            "refresh",
            "prices",
            "platforms",
            "records",
            "rollups",
            "importers",
            "panels",
            "serving",
            "cluster",
            "beyond",
            "far",
            "far-landing",
        ),
        help="a part",
    )
    given = parser.parse_args()
    if given.write and given.only:
        parser.error("a part of the table would stand for the whole; nothing was run. Leave out --write or --only.")
    given.folder.mkdir(parents=True, exist_ok=True)
    size = data.SHORT if given.short else data.FULL
    parts = [machine()]
    if given.only in (None, "landing"):
        parts.append(table(run(size, given.folder)))
    flat, home = (
        data.make(given.folder, size)
        if given.only not in ("records", "importers", "serving", "beyond", "far", "far-landing")
        else given.folder,
        given.folder / "lakes",
    )
    if given.only in (None, "questions"):
        parts.append(queries.table(queries.run(size, flat, home), queries.sizes(size, flat, home)))
    if given.only in (None, "gaps"):
        parts.append(gaps.run(size, flat, home))
    if given.only in (None, "refresh"):
        parts.append(refreshing.run(size, flat, home))
    if given.only in (None, "prices"):
        parts.append(prices.run(size, flat, home))
    if given.only in (None, "platforms"):
        parts.append(platforms.run(size, flat, home))
    if given.only in (None, "records"):
        parts.append(records.run(size, given.folder / "records"))
    if given.only in (None, "importers"):
        parts.append(importers.run(size, given.folder / "importers"))
    if given.only in (None, "rollups"):
        parts.append(rollups.run(size, flat, home))
    if given.only in (None, "panels"):
        parts.append(panels.run(size, flat, home))
    if given.only in (None, "serving"):
        parts.append(serving.run(size, home))
    if given.only in (None, "cluster"):
        parts.append(clusters.run(size, flat, home))
    if given.only in (None, "beyond"):
        parts.append(beyond.run(size, given.folder))
    if given.only in (None, "far"):
        parts.append(far.run(size, given.folder / "far"))
    if given.only in (None, "far-landing"):
        parts.append(farlanding.run(size, given.folder / "far"))
    results = "\n\n".join(parts)
    print(f"\n{results}")
    if given.write:
        text = README.read_text()
        head, _, rest = text.partition(BEGIN)
        README.write_text(f"{head}{BEGIN}\n\n{results}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
