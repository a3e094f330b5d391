"""Writers and folds are killed at fault points and at random instants: what was acknowledged is there once, the rest whole or not at all."""

import os
import random
import shutil
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crash.harness import forkserver
from crash.points import Kill
from crash.written import SCENARIOS, SIGNAL, SIGNALS, bench, killed, seen, strike, swept
from workbench.errors import WorkbenchError
from workbench.lake import fold as module
from workbench.lake.fold import fold_all
from workbench.lake.verify import verify

KILLS, RACED_S = 10, 6.0


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_killed_readers_see_all_of_it_or_nothing_and_the_next_run_ends_it(name: str, tmp_path: Path) -> None:
    scenario, made, whole = SCENARIOS[name], tmp_path / "made", tmp_path / "whole"
    scenario.before(made)
    shutil.copytree(made, whole)
    code, points = strike(whole, scenario.work)
    assert code == 0
    assert len(points) > 15, points
    after = seen(whole)
    rng = random.Random(name)
    at = sorted(rng.sample(range(len(points)), min(KILLS - 2, len(points))))
    # Also within the engines' writes, which pass no point.
    kills = [*(Kill(point=n) for n in at), *(Kill(point=n, inside=0.0005) for n in rng.sample(range(len(points)), 2))]
    wrong = {kill: faults for kill in kills if (faults := list(killed(made, after, scenario, kill, tmp_path / "killed")))}
    assert wrong == {}


def write(root: str, who: str, told: Any) -> None:
    """Write single rows until killed, and tell the number of each that is acknowledged."""
    made = bench(Path(root))
    with made.writer(SIGNALS) as writer:
        while True:
            told.send(writer.append({**SIGNAL, "symbol": who}))


def folding(root: str, until: float) -> None:
    """Fold again and again, as other processes do beside a writer."""
    while time.time() < until:
        fold_all(Path(root))
    os._exit(0)


@pytest.mark.slow
def test_writers_that_are_killed_lose_no_acknowledged_row_while_others_fold(tmp_path: Path) -> None:
    root, rng, context = tmp_path / "lake", random.Random(7), forkserver()
    with closing(bench(root)) as made:
        made.lake.make()
    acknowledged: dict[str, set[Any]] = {}
    until = time.time() + RACED_S
    folders = [context.Process(target=folding, args=(str(root), until), daemon=True) for _ in range(2)]
    for one in folders:
        one.start()
    for n in range(4):
        ours, theirs = context.Pipe()
        writer = context.Process(target=write, args=(str(root), f"w{n}", theirs), daemon=True)
        writer.start()
        theirs.close()
        told: list[Any] = []
        assert ours.poll(60)
        stop = time.monotonic() + rng.uniform(0.05, 0.5)
        while time.monotonic() < stop:
            if ours.poll(0.01):
                told.append(ours.recv())
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(60)
        while ours.poll():
            try:
                told.append(ours.recv())
            except (EOFError, OSError):
                break
        acknowledged[f"w{n}"] = {one["id"] if isinstance(one, dict) else one for one in told}
        assert told
    for one in folders:
        one.join(60)
        assert one.exitcode == 0
    rows = seen(root)[SIGNALS]
    numbers = [number for number, _ in rows]
    assert len(numbers) == len(set(numbers))
    for who, ids in acknowledged.items():
        there = {number for number, symbol in rows if symbol == who}
        assert ids <= there
        # One row may have been written and not told of.
        assert len(there) <= len(ids) + 1
    fold_all(root)
    assert seen(root)[SIGNALS] == rows
    assert swept(root) == []
    assert seen(root)[SIGNALS] == rows


def racing(root: str, until: float, seed: int, told: Any) -> None:
    """Fold without the lock that keeps others off, as on a disk that has none, and write between."""
    from contextlib import contextmanager

    @contextmanager
    def nobody(*_: object) -> Any:
        yield True

    module.folding = nobody  # type: ignore[assignment]
    rng, count = random.Random(seed), 0
    with closing(bench(Path(root))) as made:
        while time.time() < until:
            count += made.append(SIGNALS, [{**SIGNAL, "symbol": f"r{seed}"}] * rng.randrange(1, 4))
            if rng.random() < 0.3:
                made.upsert(SIGNALS, {**SIGNAL, "id": 1, "symbol": "first"})
            try:
                fold_all(Path(root))
            except WorkbenchError as fault:
                told.send(str(fault))
    told.send(count)
    os._exit(0)


@pytest.mark.slow
def test_folds_at_once_without_a_lock_take_each_operation_in_once(tmp_path: Path) -> None:
    root, context = tmp_path / "lake", forkserver()
    with closing(bench(root)) as made:
        made.lake.make()
        made.append(SIGNALS, [{**SIGNAL, "id": 1, "symbol": "first"}])
    until, pipes = time.time() + RACED_S, []
    for seed in range(3):
        ours, theirs = context.Pipe()
        context.Process(target=racing, args=(str(root), until, seed, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    counts: list[int] = []
    faults: list[str] = []
    for pipe in pipes:
        while not counts or len(counts) <= pipes.index(pipe):
            assert pipe.poll(60)
            one = pipe.recv()
            if isinstance(one, int):
                counts.append(one)
            else:
                faults.append(one)
    assert all("other writers won" in fault for fault in faults), faults
    rows = seen(root)[SIGNALS]
    assert len(rows) == sum(counts) + 1
    assert len({number for number, _ in rows}) == len(rows)
    assert min(counts) > 0
    fold_all(root)
    assert seen(root)[SIGNALS] == rows
    with closing(bench(root)) as made:
        assert [one for one in verify(made.lake).findings if one.kind not in ("orphans", "leftovers")] == []
