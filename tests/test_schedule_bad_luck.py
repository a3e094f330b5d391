"""Schedules and runs with bad luck: files that somebody else wrote, notifiers that never end, minders that come too late."""

import json
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from workbench.cli.running import conclude
from workbench.errors import LakeError, UsageError
from workbench.runs import Run, Runs, minding
from workbench.schedule import minding as scheduled
from workbench.schedule import notifying
from workbench.schedule.book import FILE, Book
from workbench.schedule.cron import Cron

GOOD: dict[str, Any] = {"name": "a", "when": "0 0 * * * UTC", "command": ["status"], "folder": "/", "since": "2026-01-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"when": 5},
        {"when": "0 0 * *"},
        {"since": ""},
        {"since": "2026-01-01T00:00"},
        {"command": "status"},
        {"command": []},
        {"name": None},
        {"command": [1]},
        {"timeout": "long"},
        {"claimed": 1},
    ],
)
def test_schedules_that_somebody_else_wrote_are_refused_in_words(tmp_path: Path, wrong: dict[str, Any]) -> None:
    (tmp_path / FILE).write_text(json.dumps({"schedules": [GOOD | wrong]}))
    with pytest.raises(LakeError, match=r"is not what the workbench writes .*nothing was done"):
        Book.read(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"schedules": [GOOD]}))
    assert Book.read(tmp_path)["a"].command == ("status",)


@pytest.mark.parametrize("written", ["1" * 5000 + " * * * *", "*/" + "1" * 5000 + " * * * *"])
def test_a_number_that_is_endless_is_refused_in_words(written: str) -> None:
    with pytest.raises(UsageError, match="the minute is"):
        Cron.parse(written)


def test_every_hour_is_every_hour_however_it_is_written() -> None:
    # 01:00 comes twice.
    before = datetime(2026, 11, 1, 5, 0, tzinfo=UTC)
    for hours in ("*", "*/1", "0-23"):
        assert Cron.parse(f"0 {hours} * * * America/New_York").after(before) == datetime(2026, 11, 1, 6, 0, tzinfo=UTC), hours


@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": "x"},
        {"started": "2026-01-01T00:00"},
        {"ended": "then", "status": 1},
        {"facts": []},
        {"before": None},
        {"status": "0"},
        {"command": [1]},
        {"after": {"a": "x"}},
        {"ended": "2026-01-01T00:00", "status": 0},
        {"reason": None},
    ],
)
def test_a_record_that_somebody_else_wrote_is_told_as_such(tmp_path: Path, wrong: dict[str, Any]) -> None:
    runs = Runs(tmp_path)
    run = runs.begin("refresh", ("refresh",))
    (runs.place(run.id) / "run.json").write_text(json.dumps(asdict(run) | wrong))

    (read,) = runs
    assert read.state == "broken off" or datetime.now(UTC).isoformat()[:16] == read.started[:16]
    assert "cannot be read" in read.reason and read.seconds is None


def test_a_record_of_a_list_is_told_as_such(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    run = runs.begin("refresh", ("refresh",))
    (runs.place(run.id) / "run.json").write_text("[]")
    assert "cannot be read" in runs.get(run.id).reason


@pytest.mark.parametrize("mind", [minding.mind, scheduled.mind])
def test_a_minder_that_comes_after_its_run_was_ended_does_nothing(tmp_path: Path, mind: Any) -> None:
    runs = Runs(tmp_path)
    ended = runs.end(runs.begin("status", ("no-such-command",), "schedule:a", schedule="a"), 1, reason="it was broken off")
    assert mind(tmp_path, ended.id) == ended == runs.get(ended.id)


def test_a_notifier_that_never_ends_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "SECONDS", -4.9)
    over = threading.Event()

    def hang() -> None:
        over.wait(30)

    try:
        assert notifying.tried(hang).startswith("failed: no end of it")
    finally:
        over.set()


def test_a_run_that_was_broken_off_is_told_without_what_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(Run("r", "refresh", ("refresh",), "prompt", "2026-01-01T00:00:00+00:00", before={"a": 1}))
    assert capsys.readouterr().out == "broken off\n"


def test_a_failure_on_a_full_disk_is_told_though_its_end_cannot_be_put_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workbench.toml").write_text('[notify]\ncommand = "true"\n')
    runs, told = Runs(tmp_path / "lake"), list[dict[str, Any]]()
    run = runs.begin("status", ("status",), "schedule:a", schedule="a", folder=str(tmp_path))

    def full(runs: Runs, run: Run, secrets: object) -> tuple[int, str]:
        monkeypatch.setattr(Runs, "change", refuse)
        return 1, "the disk is full"

    def refuse(*_: object, **__: object) -> Run:
        raise LakeError("the run was not put on record")

    monkeypatch.setattr(scheduled, "work", full)

    def hear(_settings: object, message: dict[str, Any], _secrets: object) -> dict[str, str]:
        told.append(message)
        return {}

    monkeypatch.setattr(scheduled, "notify", hear)
    monkeypatch.chdir(tmp_path)
    assert scheduled.mind(tmp_path / "lake", run.id).state == "failed"
    assert [one["reason"] for one in told] == ["the disk is full"]
