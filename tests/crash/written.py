"""What people write, killed: small lakes before, the work that a child does on them, and what must be there afterwards."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from crash.harness import forkserver
from crash.points import Kill, Point, Points
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.fold import fold_all
from workbench.lake.leftovers import clean
from workbench.lake.pending import schema
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.query import getting, ledger, staging, transactions, writers
from workbench.tables.platforms import RECORDS

SIGNALS, TRADES, FLAGS = "kraken_bot.signals", "kraken_bot.trades", "utilities.feature_flags"
SIGNAL = dict(RECORDS[SIGNALS].example)
# Imported before children are forked, which then need not do it each.
NEEDED = (staging, ledger, transactions, writers, getting)

# Of each table its rows: of signals number and symbol, of trades number and the signal's, of flags name and share.
Seen = dict[str, list[tuple[Any, ...]]]


def bench(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root), memory_limit="256MiB", threads=1))


def seen(root: Path) -> Seen:
    """What a reader sees that is opened now."""
    with closing(bench(root)) as made:
        return {
            SIGNALS: made.sql(f"SELECT id, symbol FROM {SIGNALS} ORDER BY ALL").fetchall(),
            TRADES: made.sql(f"SELECT id, signal_id FROM {TRADES} ORDER BY ALL").fetchall(),
            FLAGS: made.sql(f"SELECT name, rollout_percent FROM {FLAGS} ORDER BY ALL").fetchall(),
        }


def signals(first: int, count: int, symbol: str = "BTCUSD") -> list[dict[str, Any]]:
    return [{**SIGNAL, "id": n, "symbol": symbol} for n in range(first, first + count)]


def flag(name: str, share: float) -> dict[str, Any]:
    return {"name": name, "enabled": True, "rollout_percent": share, "updated_at": datetime(2024, 3, 7, tzinfo=UTC)}


# ---------------------------------------------------------------------- before, and what is done


def nothing(root: Path) -> None:
    """A lake that nobody wrote to."""
    with closing(bench(root)) as made:
        made.lake.make()


def folded(root: Path) -> None:
    """Rows in Delta tables."""
    nothing(root)
    with closing(bench(root)) as made:
        made.append(SIGNALS, signals(1, 30))
        made.append(FLAGS, [flag("a", 1.0), flag("b", 2.0)])
        made.append(TRADES, trade(1, 1))
        made.fold()


def pending(root: Path) -> None:
    """More rows in the journal: new ones, some that replace folded ones, deletes, and a file."""
    folded(root)
    with closing(bench(root)) as made:
        made.append(SIGNALS, signals(31, 5, "ETHUSD"))
        made.upsert(SIGNALS, signals(3, 2, "XRPUSD"))
        made.delete(SIGNALS, key=7)
        made.upsert(FLAGS, flag("a", 9.0))
        # A large batch as it is between its transaction and its fold.
        with made.ledger.writing(SIGNALS) as within:
            columns = [{**dict.fromkeys(schema(RECORDS[SIGNALS]).names), "id": n, "symbol": "SOLUSD"} for n in range(1000, 2200)]
            within.put(RECORDS[SIGNALS], pa.Table.from_pylist(columns, schema(RECORDS[SIGNALS])), replaces=False)


def trade(number: int, of: int) -> dict[str, Any]:
    return {**RECORDS[TRADES].example, "id": number, "signal_id": of}


def few(root: Path) -> None:
    with closing(bench(root)) as made:
        made.append(SIGNALS, signals(101, 3))
        made.fold()


def many(root: Path) -> None:
    with closing(bench(root)) as made:
        made.append(SIGNALS, signals(101, 1200))
        made.fold()


def several(root: Path) -> None:
    """A signal, its trade and a flag, in one transaction."""
    with closing(bench(root)) as made:
        with made.transaction() as t:
            t.append(SIGNALS, signals(101, 2))
            t.append(TRADES, trade(101, 101))
            t.upsert(FLAGS, [flag("a", 50.0), flag("c", 3.0)])
        made.fold()


def fold(root: Path) -> None:
    fold_all(root)


@dataclass(frozen=True)
class Scenario:
    """A piece of work to kill; `again` is what a user does after it that did not come to its end."""

    before: Callable[[Path], None]
    work: Callable[[Path], None]
    again: Callable[[Path], None]


SCENARIOS = {
    "the first rows": Scenario(nothing, few, few),
    "rows in a large batch": Scenario(folded, many, many),
    "a transaction over three tables": Scenario(folded, several, several),
    "a fold": Scenario(pending, fold, fold),
}


def child(root: str, work: Callable[[Path], None], kill: Kill | None, told: Any) -> None:
    points = Points(root, kill)
    points.install()
    work(Path(root))
    told.send(points.passed)
    os._exit(0)


def strike(root: Path, work: Callable[[Path], None], kill: Kill | None = None) -> tuple[int, list[Point]]:
    """How a child ended, and the points that it passed if it was not killed."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(str(root), work, kill, theirs), daemon=True)
    process.start()
    theirs.close()
    passed: list[Point] = []
    if ours.poll(60):
        try:
            passed = ours.recv()
        except EOFError:
            passed = []
    process.join(60)
    return process.exitcode or 0, passed


def swept(root: Path) -> list[str]:
    """What verify finds after upkeep has removed what nobody uses."""
    for path in root.rglob("*"):
        os.utime(path, (0, 0))
    with closing(bench(root)) as made:
        clean(root, root / "tmp", dry_run=False)
        vacuum(made.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
        return [str(one) for one in verify(made.lake).findings] + [str(path) for path in (root / "journal" / "rows").glob("*")]


def killed(made: Path, after: Seen, scenario: Scenario, kill: Kill, root: Path) -> Iterator[str]:
    """What is wrong after a kill of a scenario's work."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made, root)
    before = seen(root)
    code, _ = strike(root, scenario.work, kill)
    if code not in (0, -signal.SIGKILL):
        yield f"the child ended with {code}"
    now = seen(root)
    if now not in (before, after):
        yield "a reader sees neither what was there before nor what was written"
    with closing(bench(root)) as held:
        yield from (f"verify: {one}" for one in verify(held.lake).findings if one.kind not in ("orphans", "leftovers"))
    if now != after:
        scenario.again(root)
    fold_all(root)
    if seen(root) != after:
        yield "the next run does not end with the right rows"
    yield from (f"left over: {one}" for one in swept(root))
    if seen(root) != after:
        yield "upkeep removed rows"
