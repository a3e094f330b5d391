"""Children that back a lake up and are killed on the way, and children that write to one while it is backed up."""

import os
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

from crash.appending import SIGNALS
from crash.harness import PATIENCE_S, Ended, forkserver
from crash.points import Kill, Points
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.fold import fold_all


def opened(root: Path | str) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)))


def backed(root: str, place: str, kill: Kill | None, told: Any) -> None:
    """Make a snapshot and remove all older ones; be killed on the way, or tell what points were passed."""
    points = Points(str(Path(root).parent), kill)
    points.install()
    try:
        with closing(opened(root)) as bench:
            bench.backup(place, keep="0d")
    except BaseException:
        told.send((traceback.format_exc(), []))
        os._exit(1)
    told.send(("", points.passed))
    os._exit(0)


def back_up(root: Path, place: Path, kill: Kill | None = None) -> Ended:
    """Back up in a child."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=backed, args=(str(root), str(place), kill, theirs), daemon=True)
    process.start()
    theirs.close()
    process.join(PATIENCE_S)
    try:
        return Ended(process.exitcode == -9, *ours.recv())
    except EOFError:
        return Ended(process.exitcode == -9, f"the child ended with {process.exitcode}")


def numbering(root: str, stop: Any) -> None:
    """Append rows with numbers, one after another and some at once, and fold them, until told to stop."""
    number = 0
    with closing(opened(root)) as bench:
        while not stop.is_set():
            number += 1
            bench.append(SIGNALS.full, {**SIGNALS.example, "symbol": f"{number:06}"})
            if number % 7 == 0:
                fold_all(Path(root))
    os._exit(0)
