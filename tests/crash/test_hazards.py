"""Single hazards that chance would seldom meet: each is staged, and the lake must come out whole."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import STOCK_DAY, STOCK_MINUTE

from crash import judge, scenarios
from crash.harness import told
from workbench.errors import Busy, LakeError
from workbench.lake import cold, disk, tiering
from workbench.lake.store import Lake, LakeTable
from workbench.lake.vacuum import vacuum
from workbench.sources import FlatFile
from workbench.sources.folder import Folder


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path, vendor: Path, made_once: Callable[..., None]) -> Path:
    """A lake with hot sessions of two months."""
    made_once(landing, tmp_path)
    return tmp_path / "lake"


def landing(home: Path) -> None:
    (home / "vendor").mkdir()
    scenarios.hot(home / "lake", home / "vendor")


@pytest.fixture
def minutes(root: Path) -> LakeTable:
    return Lake(root)["stock_minute"]


class Died(BaseException):
    """What stands in for a kill."""


def test_a_plan_made_before_another_process_compacted_and_died_deletes_nothing(
    root: Path, minutes: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = told(root)
    [old, *_] = tiering.due(minutes, scenarios.SEALED)

    def dying(*args: Any, **kwargs: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", dying)
        with pytest.raises(Died):
            tiering.compact(Lake(root)["stock_minute"], old)
    assert judge.drafts(root), "the notes of what was committed are still there"

    assert tiering.compact(minutes, old).outcome == "overtaken"
    assert minutes.rewrite(rewrite_of(minutes, old)) is False

    assert told(root) == before
    assert judge.wrong(root) == []


def rewrite_of(table: LakeTable, unit: tiering.Unit) -> Any:
    """What a run that was killed just after its commit would commit again."""
    from workbench.lake.landings import NewFile, Rewrite

    shot = table.snapshot()
    files = [file for file in shot.files if file.chunk == unit.chunk]
    added = tuple(NewFile(f.path, f.size, f.rows, f.chunk, f.bucket, {"numRecords": f.rows}, ()) for f in files)
    return Rewrite(unit.chunk, tuple(file.path for file in unit.files), added, shot.bounds or (), 0)


@pytest.mark.parametrize("damage", ["a cut draft", "an emptied note", "a cut file that was moved already"])
def test_a_draft_that_did_not_reach_the_disk_in_full_is_made_again(
    root: Path, minutes: LakeTable, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    before = told(root)
    [unit, *_] = tiering.due(minutes, scenarios.SEALED)

    replace = Path.replace

    def dying(*args: Any) -> Any:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "rewrite", dying)
        if damage != "a cut file that was moved already":
            patch.setattr(Path, "replace", lambda path, to: dying() if path.suffix == ".parquet" else replace(path, to))
        with pytest.raises(Died):
            tiering.compact(minutes, unit)
    [at] = (root / "tmp").glob("cold-*")
    note = min(at.glob("*.json"))
    damaged = {
        "a cut draft": note.with_suffix(".parquet"),
        "an emptied note": note,
        "a cut file that was moved already": minutes.folder / json.loads(note.read_text())["file"]["path"],
    }[damage]
    os.truncate(damaged, 0 if damaged == note else damaged.stat().st_size - 1)

    assert tiering.compact(minutes, unit).outcome == "compacted"

    assert told(root) == before
    assert judge.wrong(root) == []
    assert judge.drafts(root) == []


def test_a_commit_that_stands_is_no_failure_when_its_checkpoint_cannot_be_written(root: Path, minutes: LakeTable, vendor: Path) -> None:
    from deltalake import DeltaTable

    version = minutes.snapshot().version
    DeltaTable(minutes.folder).alter.set_table_properties({"delta.checkpointInterval": "1"})
    # Delta cannot put its checkpoint where a folder stands.
    (minutes.folder / "_delta_log" / f"{version + 2:020}.checkpoint.parquet" / "taken").mkdir(parents=True)
    scenarios.publish(vendor, STOCK_MINUTE, scenarios.MARCH[0])

    scenarios.refresh(root, vendor)

    assert minutes.snapshot().version == version + 2
    assert ("stock_minute", scenarios.MARCH[0]) in told(root)
    assert judge.wrong(root) == []


def test_a_commit_is_on_the_disk_after_its_files_and_their_folders(tmp_path: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake import DeltaTable

    root, done = tmp_path / "lake", list[str]()
    scenarios.publish(vendor, STOCK_DAY, scenarios.JANUARY[0])
    fsync, write = os.fsync, DeltaTable.create_write_transaction

    def synced(handle: int) -> None:
        done.append(os.path.relpath(Path(f"/proc/self/fd/{handle}").readlink(), root))
        fsync(handle)

    def wrote(*args: Any, **kwargs: Any) -> None:
        done.append("commit")
        write(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", wrote)
    scenarios.refresh(root, vendor)

    home = "lake/main/stock_day"
    [file] = Lake(root)["stock_day"].snapshot().files
    at = done.index("commit")
    assert f"{home}/_delta_log/{0:020}.json" in done[:at], "the table's own commit"
    assert any(path.startswith("tmp/land-") for path in done[:at]), "the rows, before they take their place"
    assert {f"{home}/{Path(file.path).parent}", f"{home}/chunk=2024-01", home} <= set(done[:at]), "and the names of all that leads to them"
    assert done[at + 1 :] == [f"{home}/_delta_log/{1:020}.json", f"{home}/_delta_log"]


def test_a_cold_file_is_on_the_disk_before_it_is_noted(root: Path, minutes: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    [unit, *_] = tiering.due(minutes, scenarios.SEALED)
    done, sync, replace = list[str](), disk.sync, Path.replace

    def told_sync(path: Path) -> None:
        done.append(path.name)
        sync(path)

    def told_replace(path: Path, to: Path) -> Path:
        done.append(path.name)
        return replace(path, to)

    monkeypatch.setattr(cold, "sync", told_sync)
    monkeypatch.setattr(Path, "replace", told_replace)

    tiering.compact(minutes, unit)

    for n in range(3):
        assert done.index(f"{n:02}.parquet") < done.index(f"{n:02}.new")


def test_a_cold_session_is_not_lost_to_a_compaction_that_began_before(
    root: Path, minutes: LakeTable, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session is published again, in cold, between the reading and the commit of a compaction of the same chunk."""
    scenarios.compact(root, scenarios.SEALED)
    scenarios.days_and_minutes(vendor)
    scenarios.refresh(root, vendor)
    [unit] = tiering.due(minutes, scenarios.FOLDED)
    rewrite = LakeTable.rewrite
    meanwhile = []

    def late(table: LakeTable, made: Any) -> bool:
        scenarios.again(vendor)
        scenarios.refresh(root, vendor)
        meanwhile.append(told(root))
        return rewrite(table, made)

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "rewrite", late)
        assert tiering.compact(minutes, unit).outcome == "overtaken"
    assert told(root) == meanwhile[0]
    scenarios.compact(root, scenarios.FOLDED)
    assert told(root) == meanwhile[0]
    assert judge.wrong(root) == []


@pytest.mark.parametrize("left", [0, 200])
def test_a_commit_torn_by_a_loss_of_power_is_named_and_can_be_taken_away(root: Path, minutes: LakeTable, vendor: Path, left: int) -> None:
    before = told(root)
    newest = max((minutes.folder / "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:left])

    with pytest.raises(LakeError, match=rf"{newest.name} is damaged.*nothing was changed.*remove it and refresh"):
        Lake(root)["stock_minute"].snapshot()
    with pytest.raises(LakeError, match="damaged"):
        scenarios.refresh(root, vendor)
    newest.unlink()
    scenarios.refresh(root, vendor)

    assert told(root) == before
    assert judge.wrong(root) == []


def test_clocks_that_go_back_lose_nothing(root: Path, minutes: LakeTable, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios.again(vendor)
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: now() - 86_400 * 400)
        scenarios.refresh(root, vendor)
        scenarios.compact(root, scenarios.SEALED)
    scenarios.publish(vendor, STOCK_MINUTE, scenarios.JANUARY[2], edition=2)
    scenarios.refresh(root, vendor)

    assert judge.wrong(root) == []
    assert [version for version, *_ in judge.records(root).values()].count(2) == 2


@pytest.mark.parametrize("beside", [[], [scenarios.JANUARY[0]]])
def test_the_same_bytes_under_another_etag_stay_in_their_cold_chunk(
    root: Path, minutes: LakeTable, vendor: Path, monkeypatch: pytest.MonkeyPatch, beside: list[date]
) -> None:
    scenarios.compact(root, scenarios.SEALED)
    before = told(root)
    for day in beside:
        scenarios.publish(vendor, STOCK_MINUTE, day, edition=1)
    identify = Folder._identify

    def renamed(source: Folder, key: str) -> FlatFile | None:
        file = identify(source, key)
        same = file and "minute" in key and str(scenarios.JANUARY[1]) in key
        return replace(file, etag=f"{file.etag}-2") if file and same else file

    monkeypatch.setattr(Folder, "_identify", renamed)
    scenarios.refresh(root, vendor)

    after = told(root)
    assert {day for (name, day), rows in after.items() if before[name, day] != rows} == set(beside)
    assert judge.wrong(root) == []
    assert scenarios.bench(root).plan(source=f"folder:{vendor}", datasets=["stock_minute"]) == []


def test_a_registration_that_a_loss_of_power_emptied_does_not_stop_vacuum(root: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, alive = (root / "locks" / "readers" / f"{platform.node()}-{pid}-0badcafe.json" for pid in (gone.pid, os.getpid()))
    dead.parent.mkdir(parents=True, exist_ok=True)
    dead.write_text("")
    scenarios.compact(root, scenarios.SEALED)

    assert vacuum(Lake(root), timedelta(0), dry_run=False)
    assert not dead.exists()
    alive.write_text("")
    with pytest.raises(Busy, match="cannot be read"):
        vacuum(Lake(root), timedelta(0), dry_run=False)


@pytest.mark.usefixtures("unlocked")
def test_a_session_that_another_process_lands_while_a_cold_chunk_is_read_is_overtaken_and_no_fault(
    root: Path, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios.compact(root, scenarios.SEALED)
    scenarios.again(vendor)
    commit_cold, lost = tiering.commit_cold, LakeTable.lost

    def meanwhile(table: LakeTable) -> set[str]:
        monkeypatch.undo()
        scenarios.publish(vendor, STOCK_MINUTE, scenarios.JANUARY[1], edition=3)
        scenarios.refresh(root, vendor)
        return lost(table)

    def armed(*args: Any) -> Any:
        monkeypatch.setattr(LakeTable, "lost", meanwhile)
        return commit_cold(*args)

    monkeypatch.setattr(tiering, "commit_cold", armed)
    summary = scenarios.bench(root).refresh(source=f"folder:{vendor}", datasets=["stock_minute"], maintain=False).run()

    assert [(one.outcome, one.reason) for one in summary.done] == [("overtaken", "")]
    assert judge.wrong(root) == []
    assert len(told(root)["stock_minute", scenarios.JANUARY[1]]) == len(scenarios.lines(STOCK_MINUTE, scenarios.JANUARY[1], 3))


def test_a_session_whose_chunk_was_folded_since_the_plan_is_overtaken_and_no_fault(
    root: Path, minutes: LakeTable, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios.compact(root, scenarios.SEALED)
    scenarios.again(vendor)
    commit_cold = tiering.commit_cold

    def late(*args: Any) -> Any:
        monkeypatch.undo()
        scenarios.compact(root, scenarios.FOLDED)
        return commit_cold(*args)

    monkeypatch.setattr(tiering, "commit_cold", late)
    summary = scenarios.bench(root).refresh(source=f"folder:{vendor}", datasets=["stock_minute"], maintain=False).run()

    assert [(one.outcome, one.reason) for one in summary.done] == [("overtaken", "")]
    assert {file.chunk for file in minutes.snapshot().files} == {"2024-Q1"}
    scenarios.refresh(root, vendor)
    assert {file.chunk for file in minutes.snapshot().files} == {"2024-Q1"}
    assert judge.wrong(root) == []
