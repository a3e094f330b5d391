"""The chart panel on five years of minutes: how soon it is there, and what a move or a zoom costs in the kernel, all that is sent included."""

import json
import statistics
import subprocess
import sys
from time import perf_counter
from typing import Any

from benchmarks.lakes import Lakes

ROUNDS = 5
WIDTHS = {"5 years": 1260.0, "1 year": 252.0, "1 month": 21.0, "5 days": 5.0, "1 day": 1.0, "an hour": 1 / 16}


def measured(root: str) -> dict[str, Any]:
    """Seconds until the first panel of a process is there, with its first candles, and milliseconds of each move and zoom, the median of some."""
    import workbench

    bench = workbench.open(root)
    # What every notebook has asked before it shows a chart: DuckDB's session stands.
    bench.sql("SELECT 1").fetchall()
    began = perf_counter()
    from workbench.panels import ChartPanel

    panel = ChartPanel(bench, "AAPL", table="stock_minute")
    found: dict[str, Any] = {"visible": perf_counter() - began, "moves": {}}
    end = panel._window[1]
    for name, width in WIDTHS.items():
        took = []
        for n in range(ROUNDS + 1):
            at = end - width * (1 + n / 3)
            panel.figure._js2py_relayout = {"relayout_data": {"xaxis.range[0]": at, "xaxis.range[1]": at + width}, "source_view_id": "v"}
            took.append(panel.took_ms)
        # The first of each has files to open that the others find open.
        found["moves"][name] = (took[0], statistics.median(took[1:]), max(took[1:]), len(panel.figure.data[0].x))
    return found


def run(lakes: Lakes) -> str:
    """A table in Markdown."""
    root = str(lakes.history.lake.root)
    code = f"import json; from benchmarks import charts; print(json.dumps(charts.measured({root!r})))"
    told = json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    lines = ["| chart of one ticker's five years of minutes | first | median | most | target |", "| --- | --- | --- | --- | --- |"]
    lines.append(f"| panel with its first candles | {told['visible'] * 1000:.0f} ms | | | ≤ 1 s |")
    for name, (first, median, most, sent) in told["moves"].items():
        lines.append(f"| {name} in sight, {sent} candles sent | {first:.0f} ms | {median:.0f} ms | {most:.0f} ms | ≤ 200 ms |")
    table = "\n".join(lines)
    print(table, flush=True)
    return table
