"""Health: what is looked at, each thing broken once; the documented statuses and keys; the command."""

import json
import os
import shutil
import sqlite3
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flatfiles import FRI, MON, STOCK_DAY, bar, put, text
from packaging.requirements import Requirement

import workbench
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.lake.backup import notes
from workbench.query import soundness, standing
from workbench.query.report import Report


def land(folder: Path) -> None:
    """A lake of two sessions of day bars."""
    for day in (FRI, MON):
        put(folder / "files", STOCK_DAY, day, text([bar("ACME", day)]))
    with Workbench(settings(folder)) as bench:
        bench.refresh(datasets=["stock_day"], start=FRI, end=MON).run()


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(data=str(folder / "lake"), source=f"folder:{folder / 'files'}", **more)


@pytest.fixture
def bench(
    made_once: Callable[[Callable[[Path], object], Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    made_once(land, tmp_path / "own")
    # Sessions that were due since 2024 are not what is looked at here.
    monkeypatch.setattr("workbench.query.standing.sessions.last_due", lambda: MON)
    with Workbench(settings(tmp_path / "own")) as made:
        yield made


def check(report: Report, name: str) -> dict[str, Any]:
    [one] = [one for one in report if one["name"] == name]
    return one


def told(bench: Workbench, name: str) -> tuple[str, str]:
    one = check(bench.health(), name)
    return one["state"], one["told"]


def log(bench: Workbench) -> Path:
    return bench.lake["stock_day"].folder / "_delta_log"


# ---------------------------------------------------------------------- statuses


def test_a_sound_lake_is_healthy_with_the_documented_keys(bench: Workbench) -> None:
    bench.upsert("utilities.feature_flags", [{"name": "new", "enabled": True, "rollout_percent": 1}])
    facts = bench.health().facts
    assert (facts["status"], facts["database"], facts["problems"]) == ("healthy", str(bench.lake.root), 0)
    assert "error" not in facts
    journal = sum(path.stat().st_size for path in (bench.lake.root / "journal").rglob("*") if path.is_file())
    assert facts["size_bytes"] == bench.snapshots()["stock_day"].size + journal
    assert abs(datetime.fromisoformat(facts["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert json.loads(bench.health().to_json())["status"] == "healthy"


def test_what_wants_a_look_degrades_and_what_is_bad_is_an_error(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.query.standing.os.access", lambda *_: False)
    assert bench.health().facts["status"] == "degraded"
    (log(bench) / "_last_checkpoint").write_text("{")
    facts = bench.health().facts
    assert facts["status"] == "unhealthy"
    assert facts["error"].startswith("stock_day: its checkpoint cannot be read")


def test_a_lake_that_is_not_there_is_unhealthy_and_not_made(tmp_path: Path) -> None:
    with Workbench(Settings(data=str(tmp_path / "none"))) as bench:
        facts = bench.health().facts
    assert (facts["status"], facts["size_bytes"]) == ("unhealthy", 0)
    assert "holds no lake" in facts["error"]
    assert not (tmp_path / "none").exists()


def test_a_lake_of_a_later_library_is_unhealthy(bench: Workbench) -> None:
    path = bench.lake.root / "lake.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99, "made_by": "9.0"}))
    facts = bench.health().facts
    assert facts["status"] == "unhealthy"
    assert "format 99" in facts["error"]


def test_a_look_that_fails_is_told_and_the_others_still_are(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise PermissionError(13, "Permission denied", "secret place")

    monkeypatch.setattr(standing, "refused", lambda *_: broken(None))
    report = bench.health()
    assert check(report, "quarantine")["state"] == "bad"
    assert "Permission denied" in check(report, "quarantine")["told"]
    assert check(report, "disk")["state"] == "good"


def test_the_same_is_told_in_sql(bench: Workbench) -> None:
    names = {one["name"] for one in bench.health()}
    assert names >= {"lake", "tables", "log", "freshness", "quarantine", "disk", "journal", "versions", "clock", "backup", "drill"}
    assert {name for (name,) in bench.sql("SELECT name FROM workbench.lake_health").fetchall()} == names


# ---------------------------------------------------------------------- each look


def test_a_hole_in_a_log_is_told(bench: Workbench) -> None:
    newest = max(log(bench).glob("[0-9]*.json"))
    shutil.copy(newest, log(bench) / f"{int(newest.stem) + 2:020}.json")
    state, why = told(bench, "log")
    assert (state, f"stock_day: commit {int(newest.stem) + 1} is missing" in why) == ("bad", True)


def test_a_log_without_its_beginning_is_told(bench: Workbench) -> None:
    (log(bench) / f"{0:020}.json").unlink()
    state, why = told(bench, "log")
    assert (state, "commit 0 is missing" in why) == ("bad", True)


@pytest.mark.parametrize("torn", ["", '{"add": {}}', '{"add"', "\x00\x00"])
def test_a_torn_commit_is_told(bench: Workbench, torn: str) -> None:
    max(log(bench).glob("[0-9]*.json")).write_text(torn)
    assert told(bench, "log")[0] == "bad"
    assert bench.health().facts["status"] == "unhealthy"


@pytest.mark.parametrize("what", ["gone", "short", "other"])
def test_a_checkpoint_that_is_no_file_is_told(bench: Workbench, what: str) -> None:
    (log(bench) / "_last_checkpoint").write_text('{"version": 1, "size": 3}')
    if what != "gone":
        (log(bench) / f"{1:020}.checkpoint.parquet").write_bytes(b"P" if what == "short" else b"PAR1 and not the end")
    assert told(bench, "log")[0] == "bad"
    (log(bench) / f"{1:020}.checkpoint.parquet").write_bytes(b"PAR1....PAR1")
    assert soundness.lame(log(bench)) == ""


@pytest.mark.parametrize("where", ["everywhere", "in a row"])
def test_a_damaged_journal_is_told(bench: Workbench, where: str) -> None:
    bench.upsert("utilities.feature_flags", [{"name": f"n{n}", "enabled": True, "rollout_percent": 1} for n in range(400)])
    path = bench.lake.root / "journal" / "records.db"
    bench.close()
    with sqlite3.connect(path) as con:
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    con.close()
    with path.open("r+b") as file:
        # What counts the rows does not read the last page.
        file.seek(8192 if where == "everywhere" else path.stat().st_size - 4096)
        file.write(os.urandom(4096 * 3 if where == "everywhere" else 4096))
    with Workbench(bench.settings) as again:
        state, why = told(again, "journal")
    assert state == "bad", why
    assert "records.db" in why


def test_damage_that_only_sqlite_sees_is_told(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.query.standing.Operations.damage", lambda *_, deep: "row 3 is missing from an index")
    state, why = told(bench, "journal")
    assert (state, "row 3 is missing from an index" in why) == ("bad", True)


def test_what_is_of_the_future_is_told(bench: Workbench) -> None:
    newest, ahead = max(log(bench).glob("[0-9]*.json")), time.time() + 7200
    os.utime(newest, (ahead, ahead))
    state, why = told(bench, "clock")
    assert (state, "stock_day" in why) == ("look", True)
    assert 7000 < check(bench.health(), "clock")["value"] < 7300


def test_without_time_zones_that_is_told(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> None:
        raise KeyError("No time zone found")

    monkeypatch.setattr(soundness, "ZoneInfo", none)
    state, why = told(bench, "clock")
    assert (state, "tzdata" in why) == ("bad", True)


def test_versions_that_do_not_fit_are_told(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(bench, "versions")[0] == "good"
    real = metadata.version
    for name, version in (("duckdb", "1.5.4"), ("duckdb", "1.5.6"), ("deltalake", "0.25.1"), ("pyarrow", "9")):
        monkeypatch.setattr(metadata, "version", lambda asked, name=name, version=version: version if asked == name else real(asked))
        state, why = told(bench, "versions")
        assert (state, f"{name} {version}" in why) == ("bad", True)


def test_the_versions_are_those_that_the_package_asks_for() -> None:
    project = tomllib.loads((Path(workbench.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for asked in map(Requirement, project["dependencies"]):
        if asked.name in soundness.NEEDS:
            bounds = {one.operator: one.version for one in asked.specifier}
            assert soundness.number(bounds[">="]) == soundness.NEEDS[asked.name]
            assert soundness.UNFIT.get(asked.name, ()) == tuple(filter(None, [bounds.get("!=")]))
    assert soundness.number("2.0.0.dev12+x") == (2, 0, 0)
    assert soundness.number("26rc1.2") == (26,)


def test_backups_and_drills_are_told_by_age_and_by_how_they_ended(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(bench, "backup") == ("good", "There was no backup of this lake yet: `workbench backup DEST` makes one.")
    assert [one.state for one in soundness.backed_up(bench.lake, SetUp())] == ["look", "good"]  # type: ignore[arg-type]

    notes.noted(bench.lake.root, "backup", "/elsewhere", "one")
    notes.noted(bench.lake.root, "drill", "/elsewhere", "one")
    assert (told(bench, "backup")[0], told(bench, "drill")[0]) == ("good", "good")

    now = time.time()
    monkeypatch.setattr("workbench.query.soundness.time.time", lambda: now + 49 * 3600)
    assert (told(bench, "backup")[0], told(bench, "drill")[0]) == ("look", "good")
    monkeypatch.setattr("workbench.query.soundness.time.time", lambda: now + 93 * 86_400)
    assert told(bench, "drill")[0] == "look"

    monkeypatch.setattr("workbench.query.soundness.time.time", lambda: now)
    notes.noted(bench.lake.root, "backup", "/elsewhere", good=False, said="the disk is full")
    state, why = told(bench, "backup")
    assert (state, "the disk is full" in why, "/elsewhere" in why) == ("bad", True, True)


class SetUp:
    """Settings with a place for backups."""

    backup = "/elsewhere"


# ---------------------------------------------------------------------- the command


def test_the_command_tells_and_its_status_says_so(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(bench.lake.root)
    good = CliRunner().invoke(main, ["health", "--json", "--data", root])
    assert (good.exit_code, json.loads(good.stdout)["status"]) == (0, "healthy")

    max(log(bench).glob("[0-9]*.json")).write_text("{")
    bad = CliRunner().invoke(main, ["health", "--data", root])
    assert bad.exit_code == 3
    assert bad.stdout.startswith("unhealthy: ")
    assert "Traceback" not in bad.output

    none = CliRunner().invoke(main, ["health", "--json", "--data", f"{root}-none"])
    assert (none.exit_code, json.loads(none.stdout)["status"]) == (3, "unhealthy")


# ---------------------------------------------------------------------- sizes


def test_sizes_and_chunks_tell_before_and_after(bench: Workbench, tmp_path: Path) -> None:
    came = sum(path.stat().st_size for path in (tmp_path / "own" / "files").rglob("*.csv.gz"))
    size, stats = bench.snapshots()["stock_day"].size, bench.snapshots()["stock_day"].stats
    assert stats is not None
    query = "SELECT rows, chunks, bytes, own_bytes, bytes_before, bytes_after, ratio FROM workbench.table_sizes WHERE "
    assert bench.sql(f"{query} schema_name = 'main' AND table_name = 'stock_day'").fetchall() == [
        (2, len(stats["chunk"].unique()), size, size, came, size, round(came / size, 2))
    ]
    assert bench.sql(f"{query} table_name = 'trades' AND schema_name = 'kraken_bot'").fetchall() == [(0, 0, 0, 0, None, None, None)]
    chunks = bench.sql(
        "SELECT sum(rows), sum(bytes_before), sum(bytes_after), min(range_start) < max(range_end) FROM workbench.chunks WHERE schema_name = 'main'"
    )
    assert chunks.fetchall() == [(2, came, size, True)]
