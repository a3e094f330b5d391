"""What a panel adds to a refresh: the same files landed by the command line alone, and by a panel that follows its run.

Both begin processes and import the same; what is compared is the CPU and the wall time of the command itself, from its start to its end.
"""

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from flatfiles import STOCK_DAY, bar, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings

SESSIONS, TICKERS, TIMES = 504, 2_000, 3


def vendor(folder: Path, count: int = SESSIONS, tickers: int = TICKERS) -> Path:
    """Flat files of some sessions of day bars."""
    for day in sessions.between(STOCK_DAY, date(2015, 1, 1), date(2024, 3, 28))[-count:]:
        put(folder, STOCK_DAY, day, text([bar(f"T{n:05}", day, volume=n * 7919 % 104_729) for n in range(tickers)]))
    return folder


def alone(root: Path, files: Path) -> None:
    """The command line, its lines in a file."""
    words = [sys.executable, "-m", "workbench", "refresh", "--source", f"folder:{files}", "--data", str(root)]
    with (root.parent / "alone.txt").open("w") as out:
        subprocess.run(words, stdout=out, check=True)


def followed(root: Path, files: Path) -> None:
    """A panel's button, pressed and waited for."""
    from workbench.panels import RefreshPanel

    panel = RefreshPanel(Workbench(Settings.load(env={}, start=root.parent, data=str(root), source=f"folder:{files}")))
    panel.refresh()
    assert panel.wait(600)
    assert "files landed" in panel.result.value, panel.message.value


def added(folder: Path, times: int = TIMES, count: int = SESSIONS, tickers: int = TICKERS) -> dict[str, tuple[float, float]]:
    """Seconds of wall time and of CPU, processes and all, that each way takes; the least of some times, taken in turn."""
    files = vendor(folder / "files", count, tickers)
    ways: dict[str, Callable[[Path, Path], None]] = {"alone": alone, "followed": followed}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            root = folder / "lake" / "root"
            root.parent.mkdir(parents=True)
            (root.parent / "workbench.toml").touch()
            before, began = cpu(), time.perf_counter()
            way(root, files)
            wall = time.perf_counter() - began
            # Who minded the run is counted out by a thread of its own.
            time.sleep(0.5)
            taken[name].append((wall, cpu() - before))
            shutil.rmtree(root.parent)
    return {name: (min(wall for wall, _ in some), min(used for _, used in some)) for name, some in taken.items()}


def cpu() -> float:
    """Seconds of CPU that this process and those that it started and that have ended took."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)
