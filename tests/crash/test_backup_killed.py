"""Backups that are killed, and backups of a lake that is written all the while: what a place holds is whole, always."""

import random
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from flatfiles import FRI, STOCK_DAY, THU, bar, put, text

from crash.appending import SIGNALS
from crash.backing import back_up, numbering, opened
from crash.harness import forkserver
from crash.points import Kill
from workbench.bench import Workbench
from workbench.lake.backup import Backups
from workbench.lake.restoring.restore import restore
from workbench.lake.vacuum import vacuum

QUERIES = ("SELECT ticker, date, close FROM stock_day ORDER BY ALL", f"SELECT symbol FROM {SIGNALS.full} ORDER BY ALL")


def publish(bench: Workbench, close: int) -> None:
    vendor = bench.lake.root.parent / "vendor"
    put(vendor, STOCK_DAY, THU, text([bar("AAA", THU, close=close), bar("BBB", THU, close=close)]))
    bench.refresh(source=f"folder:{vendor}").run()


def landing(home: Path) -> None:
    """A lake of which a snapshot was made before its last changes."""
    with closing(opened(home / "lake")) as bench:
        publish(bench, 10)
        bench.append(SIGNALS.full, dict(SIGNALS.example))
        bench.backup(home / "place")
        publish(bench, 11)
        put(home / "vendor", STOCK_DAY, FRI, text([bar("AAA", FRI)]))
        bench.refresh(source=f"folder:{home / 'vendor'}").run()
        bench.append(SIGNALS.full, dict(SIGNALS.example))


def killed_at(home: Path, kill: Kill) -> str:
    """Kill a backup, and look at what it left and at what the next makes of that."""
    root, place = home / "lake", home / "place"
    with closing(opened(root)) as bench:
        before = Backups.open(str(place)).ids()
        ended = back_up(root, place, kill)
        assert ended.killed, ended
        left = bench.verify_backup(place)
        assert left.facts["faults"] == 0 and left.facts["snapshots"] >= 1, left
        assert Backups.open(str(place)).ids()[-1] >= before[-1], "the newest is never lost"
        made = bench.backup(place, keep="0d")
        assert Backups.open(str(place)).ids() == [made.facts["snapshot"]]
        assert bench.verify_backup(place).facts["faults"] == 0
        backups = Backups.open(str(place))
        named = {backups.name(one.sha256) for one in backups.manifest().files}
        assert named == backups.objects.keys(), "what nobody names is gone"
        assert not list(place.rglob(".*")) and not (place / "lock.json").exists()
        restore(str(place), home / "again")
        with closing(opened(home / "again")) as again:
            for query in QUERIES:
                assert again.sql(query).fetchall() == bench.sql(query).fetchall()
    return kill.kind


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_the_snapshots_are_whole_and_so_is_the_next(tmp_path: Path, made_once: Callable[..., None], part: int) -> None:
    count = (3, 40)[part]
    made_once(landing, tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "whole")
    whole = back_up(tmp_path / "whole" / "lake", tmp_path / "whole" / "place")
    assert not whole.fault and len(whole.points) > 50, whole
    kinds = [point.kind for point in whole.points]
    rng = random.Random(part)
    # The ends are where locks and snapshots are written: some of both, the rest by chance.
    chosen = {rng.randrange(len(kinds)) for _ in range(count * 2 // 3)} | {
        len(kinds) - 1 - rng.randrange(len(kinds) // 3) for _ in range(count // 3)
    }
    for number in sorted(chosen):
        home = tmp_path / f"at-{number}"
        shutil.copytree(tmp_path / "base", home)
        killed_at(home, Kill(point=number, kind=kinds[number]))
        shutil.rmtree(home)


def moved(bench: Workbench) -> tuple[float, float]:
    """How far the two writers have come."""
    [(rows,)], [(close,)] = (
        bench.sql(f"SELECT count(*) FROM ({QUERIES[1]})").fetchall(),
        bench.sql("SELECT max(close) FROM stock_day").fetchall(),
    )
    return rows, close


def wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline, "the writers do not go on"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_lake_that_is_written_all_the_while_is_whole_in_every_snapshot(tmp_path: Path) -> None:
    root, place = tmp_path / "lake", tmp_path / "place"
    with closing(opened(root)) as bench:
        publish(bench, 1)
        context, over = forkserver(), threading.Event()
        stop = context.Event()
        child = context.Process(target=numbering, args=(str(root), stop), daemon=True)
        child.start()

        def landing_on() -> None:
            with closing(opened(root)) as other:
                close = 1
                while not over.wait(0.01):
                    close += 1
                    publish(other, close)
                    vacuum(other.lake, timedelta(0), dry_run=False)

        thread = threading.Thread(target=landing_on)
        thread.start()
        try:
            for _ in range(8):
                before = moved(bench)
                wait_for(lambda: all(now > then for now, then in zip(moved(bench), before, strict=True)))  # noqa: B023
                bench.backup(place)
        finally:
            over.set()
            stop.set()
            thread.join()
            child.join(60)
    rows, seen = [], []
    for id in Backups.open(str(place)).ids():
        restore(str(place), tmp_path / id, id)
        with closing(opened(tmp_path / id)) as again:
            assert again.verify().facts["faults"] == 0
            numbers = [int(symbol) for (symbol,) in again.sql(QUERIES[1]).fetchall()]
            assert numbers == list(range(1, len(numbers) + 1)), "none twice, none missing: a write is in it with all before it"
            rows.append(len(numbers))
            [(low, high)] = again.sql("SELECT min(close), max(close) FROM stock_day").fetchall()
            assert low == high, "both rows of one commit"
            seen.append(high)
    assert rows == sorted(rows) and rows[-1] > rows[0]
    assert seen == sorted(seen) and seen[-1] > seen[0]
