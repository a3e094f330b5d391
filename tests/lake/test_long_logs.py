"""Logs of very many commits: what is told of them is told once, and a new mirror of one is brought without its past checkpoints."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import landings, log
from workbench.lake.landings import Commit, Landing, newest
from workbench.lake.store import Lake

DAYS = (THU, FRI, MON)


def vendor(folder: Path, *, close: object = 10.5) -> Path:
    for day in DAYS:
        put(folder, STOCK_DAY, day, text([bar("AAA", day, close=close), bar("BBB", day)]))
    return folder


def refresh(bench: Workbench, folder: Path) -> None:
    for day in DAYS:
        bench.refresh(source=f"folder:{folder}", datasets=[STOCK_DAY.name], start=day, end=day).run()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """Day bars that landed, were reset, came back, landed anew as another version, and went back to the first of it."""
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as made:
        refresh(made, vendor(tmp_path / "vendor"))
        made.reset(STOCK_DAY.name)
        made.undo_reset()
        refresh(made, vendor(tmp_path / "vendor", close=11))
        made.rewind(STOCK_DAY.name, version=3)
        yield made


def test_records_told_commit_by_commit_are_those_that_are_told_at_once(bench: Workbench) -> None:
    commits = bench.lake[STOCK_DAY.name].commits()
    assert any(one.reset and one.reset.restores >= 0 for one in commits)
    assert any(one.rewound and one.rewound.landings for one in commits)
    for since in range(len(commits) + 1):
        known = newest(commits[:since])
        before = dict(known)
        assert newest(commits, known, since) == newest(commits)
        assert known == before


def test_a_commit_more_is_all_that_is_told_anew(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def told(commits: list[Commit], known: dict[str, Landing] | None = None, since: int = 0) -> dict[str, Landing]:
        asked.append(len(commits) - since)
        return landings.newest(commits, known, since)

    monkeypatch.setattr(log, "newest", told)
    table = Lake(bench.lake.root)[STOCK_DAY.name]
    held = table.landings()
    put(tmp_path / "vendor", STOCK_DAY, day := MON + timedelta(days=1), text([bar("AAA", day)]))
    bench.refresh(source=f"folder:{tmp_path / 'vendor'}", datasets=[STOCK_DAY.name], start=day, end=day).run()
    asked.clear()
    now = table.landings()
    assert asked == [1]
    assert len(now) == len(held) + 1
    # An older version is told of itself, and what is known of the newest stays.
    assert {one.session for one in table.landings(1).values()} == {THU}
    assert table.landings() == now
    assert asked == [1, 2]


def test_what_is_told_is_the_callers_own(bench: Workbench) -> None:
    table = bench.lake[STOCK_DAY.name]
    table.landings().clear()
    first = next(iter(table.landings()))
    table.landings()[first] = replace(table.landings()[first], rows=-1)
    assert table.landings()[first].rows > 0


def test_a_new_mirror_brings_the_newest_checkpoint_alone(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workbench(Settings.load()) as bench:
        refresh(bench, vendor(tmp_path / "vendor"))
        table = bench.lake[STOCK_DAY.name]
        assert table.remote
        for version in (1, 2):
            DeltaTable(table.remote.url_of(table.folder), version=version, storage_options=table.remote.options()).create_checkpoint()
        there = {one.name.rpartition("/")[2] for one in table.remote.below("lake/main/stock_day/_delta_log/")}
        assert sum(name.endswith(".checkpoint.parquet") for name in there) == 2
        expected = table.snapshot().files
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "other"))
    with Workbench(Settings.load()) as bench:
        table = bench.lake[STOCK_DAY.name]
        assert table.snapshot().files == expected
        log = table.folder / "_delta_log"
        assert [path.name for path in log.glob("*.checkpoint.parquet")] == [f"{2:020}.checkpoint.parquet"]
        assert json.loads((log / "_last_checkpoint").read_text())["version"] == 2
        # All commits are here, and older versions are read from them.
        assert table.snapshot_at(table.commits()[1].at).rows == 2
        assert len(table.landings()) == len(DAYS)
