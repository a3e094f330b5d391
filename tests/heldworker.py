"""Loaded by a Dask worker of a test: the first of them to have written a file into its place there waits, as long as the file `hold` says so."""

import os
import time
from pathlib import Path
from typing import Any

from workbench.lake import landing

MOVE, HOLD = landing.move, Path(os.environ.get("HELD_BY", "/nowhere"))


def move(*args: Any) -> Any:
    placed = MOVE(*args)
    try:
        # Whoever makes the mark is the one who waits.
        with open(HOLD.with_suffix(".held"), "x") as mark:
            mark.write(str(os.getpid()))
    except OSError:
        return placed
    while HOLD.exists():
        time.sleep(0.02)
    return placed


if HOLD.exists():
    vars(landing)["move"] = move
