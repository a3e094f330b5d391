"""Children that append rows to the tables that people write: several at once, or one that is killed on the way."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any

from crash.harness import forkserver
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule
from workbench.query import staging
from workbench.tables.platforms import RECORDS

SIGNALS = RECORDS["kraken_bot.signals"]
FLAGS = RECORDS["utilities.feature_flags"]
ROUNDS = 6
# Imported before children are forked, which then need not do it each.
NEEDED = (staging,)


def contend(root: str, who: int, told: Any) -> None:
    """Append numbered rows, and rows under names that others want, too; tell which names were ours."""
    won = []
    with closing(Workbench(Settings.load(env={}, data=root))) as bench:
        for n in range(ROUNDS):
            bench.append(SIGNALS.full, [{**SIGNALS.example, "symbol": f"{who}-{n}"}] * 2)
            try:
                bench.append(FLAGS.full, {"name": f"f{n}"})
                won.append(n)
            except BrokenRule as fault:
                assert f"a row with f{n} is there already" in str(fault)
    told.send(won)
    os._exit(0)


def race(root: Path, count: int) -> list[list[int]]:
    """What so many children tell that append at once."""
    context = forkserver()
    pipes, children = [], []
    for who in range(count):
        ours, theirs = context.Pipe()
        children.append(context.Process(target=contend, args=(str(root), who, theirs), daemon=True))
        children[-1].start()
        theirs.close()
        pipes.append(ours)
    told = [pipe.recv() for pipe in pipes if pipe.poll(120)]
    for child in children:
        child.join(60)
    return told
