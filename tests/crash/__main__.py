"""Kill the lake's work many times and say what came of it: `cd tests && python -m crash [--kills 500] [--race 60] [--seed 1] [--write]`.

Exits with 1 if anything was wrong. `--write` puts the result into the benchmarks' README.
"""

import argparse
import platform
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from datetime import date
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from crash import harness
from crash.points import Kill
from crash.race import READERS, WRITERS, race
from crash.sources import SCENARIOS

README = Path(__file__).parents[1] / "benchmarks" / "README.md"
BEGIN, END = "<!-- crash -->", "<!-- end of crash -->"
KINDS = ("at a point", "inside a write", "at random")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crash")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--race", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="a scenario's name")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    names = [given.only] if given.only else list(SCENARIOS)
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    points: dict[str, Counter[str]] = defaultdict(Counter)
    passed: dict[str, int] = {}
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="workbench-crash-") as folder:
        for n, name in enumerate(names):
            prepared = harness.prepare(name, Path(folder))
            passed[name] = len(prepared.points)
            share = given.kills // len(names) + (n < given.kills % len(names))
            for kill in islice(prepared.kills(random.Random(f"{name} {given.seed}")), share):
                wrong, killed = harness.strike(prepared, kill, Path(folder))
                tally[name][how(kill)] += 1
                tally[name]["survived"] += not killed
                points[kill.kind]["kills"] += 1
                tally[name]["faults"] += bool(wrong)
                faults += [f"{name}, {kill}: {fault}" for fault in wrong]
            print(f"{name}: {dict(tally[name])}", flush=True)
        done: Counter[str] = Counter()
        if given.race:
            done, wrong = race(Path(folder) / "race", given.race, given.seed)
            faults += wrong
            print(f"{WRITERS} writers and {READERS} readers: {dict(done)}", flush=True)
    print(*faults, sep="\n")
    if given.write:
        seconds = time.monotonic() - began
        write(README, section(tally, points, passed, done, given, seconds, faults))
    return 1 if faults else 0


def how(kill: Kill) -> str:
    """The kind of a kill, for the columns."""
    return KINDS[2] if kill.at >= 0 else KINDS[1] if kill.inside else KINDS[0]


def section(
    tally: dict[str, Counter[str]],
    points: dict[str, Counter[str]],
    passed: dict[str, int],
    done: Counter[str],
    given: argparse.Namespace,
    seconds: float,
    faults: list[str],
) -> str:
    """The result as the README shows it."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "deltalake", "pyarrow"))
    head = ["work", "points", *KINDS, "ended before", "faults"]
    rows = [
        [name, str(passed[name]), *(str(counts[kind]) for kind in KINDS), str(counts["survived"]), str(counts["faults"])]
        for name, counts in tally.items()
    ]
    total: Counter[str] = sum(tally.values(), Counter())
    rows.append(["together", "", *(str(total[kind]) for kind in KINDS), str(total["survived"]), str(total["faults"])])
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
    kinds = ", ".join(f"{counts['kills']} {kind}" for kind, counts in sorted(points.items(), key=lambda pair: -pair[1]["kills"]))
    raced = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
    return f"""{BEGIN}

{platform.system()}, Python {platform.python_version()}, {versions}, {date.today()}: {given.kills} kills, seed {given.seed}, {seconds:.0f} s, {len(faults)} faults.

{table}

By kind: {kinds}.

{WRITERS} processes that landed, published again and compacted for {given.race:.0f} s beside {READERS} that read: {raced}.

{END}"""


def write(readme: Path, text: str) -> None:
    """Put the result between its markers."""
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + text + after)


if __name__ == "__main__":
    sys.exit(main())
