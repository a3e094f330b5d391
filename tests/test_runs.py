"""Runs on record: what is told of them is true, whoever is killed and whatever a disk does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from workbench.config import Settings
from workbench.errors import LakeError, UnknownName, UsageError
from workbench.lake import processes
from workbench.lake.processes import started
from workbench.runs import Run, Runs, record
from workbench.runs.minding import environment, mind, start, start_or_follow, stop
from workbench.runs.record import ERRORS, LOG, RECORD, last_event

SECONDS = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"), fred_api_key="swordfish")


@pytest.fixture
def runs(settings: Settings) -> Runs:
    return Runs(settings.root)


@pytest.fixture
def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has `python -m workbench` be a script, in the processes that are started from here."""

    def be(script: str) -> None:
        package = tmp_path / "fake" / "workbench"
        package.mkdir(parents=True)
        real = Path(record.__file__).parent.parent
        (package / "__init__.py").write_text(f"__path__.append({str(real)!r})")
        (package / "__main__.py").write_text(script)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))

    return be


def until(true: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def ended(runs: Runs, run: Run) -> Run:
    """A run when it has ended."""
    until(lambda: runs.get(run.id).state != "running", "the run did not end")
    return runs.get(run.id)


def minded(run: Run) -> Run:
    """A run as though this process minded it."""
    return replace(run, host=os.uname().nodename, pid=os.getpid(), begun=started(os.getpid()))


def old(runs: Runs, run: Run, **facts: Any) -> Run:
    """A run that began an hour ago."""
    return runs.change(run, started=(datetime.now(UTC) - timedelta(hours=1)).isoformat(), **facts)


# ---------------------------------------------------------------------- the record


def test_a_run_is_on_record_before_anything_starts_and_tells_its_end(runs: Runs) -> None:
    run = runs.begin("refresh", ("refresh", "--last", "5"), "panel", note=1)
    assert (runs.get(run.id), run.state, run.facts) == (run, "running", {"note": 1})
    assert runs.going_on("refresh") == run
    assert runs.going_on("run") is None

    for status, state in ((0, "done"), (1, "failed"), (2, "failed"), (3, "findings"), (130, "stopped")):
        assert runs.end(run, status).state == state
    assert runs.get(run.id).seconds is not None
    assert runs.going_on("refresh") is None


def test_runs_come_newest_first_and_what_is_no_run_is_passed_over(runs: Runs) -> None:
    assert list(runs) == []
    made = [runs.begin("refresh", (str(n),)) for n in range(3)]
    (runs.folder / "00_first_query.ipynb").write_text("a notebook of an older version")
    (runs.folder / "20240101T000000000Z-abcd").mkdir()

    assert [run.command for run in runs] == [run.command for run in sorted(made, key=lambda run: run.id, reverse=True)]
    with pytest.raises(UnknownName, match="no run 'nonsense'"):
        runs.get("nonsense")
    with pytest.raises(UnknownName):
        runs.get(f"../runs/{made[0].id}")


def test_a_run_whose_minder_never_came_was_broken_off(runs: Runs) -> None:
    run = runs.begin("refresh", ())
    assert run.state == "running", "it may be on its way"
    assert old(runs, run).state == "broken off"


def test_a_run_whose_processes_are_no_more_was_broken_off(runs: Runs) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    run = runs.change(minded(runs.begin("refresh", ())), pid=gone.pid)

    assert run.state == "broken off"
    assert runs.get(run.id).state == "broken off"
    assert runs.change(run, child=os.getpid(), child_begun=started(os.getpid())).state == "running", "the work goes on"
    assert runs.change(run, child=os.getpid(), child_begun="another").state == "broken off", "the number is another's now"


def test_a_process_that_waits_to_be_counted_out_is_no_more(runs: Runs) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as zombie:
        until(lambda: processes.ended(zombie.pid), "it did not end")
        assert runs.change(minded(runs.begin("refresh", ())), pid=zombie.pid, begun="").state == "broken off"


def test_a_run_that_was_broken_off_has_the_end_that_its_log_tells(runs: Runs) -> None:
    run = old(runs, runs.begin("refresh", ()))
    log = runs.place(run.id) / LOG
    log.write_text('{"event": "plan"}\n{"event": "summary", "exit_status": 3')
    assert runs.get(run.id).state == "broken off", "a line that is torn tells nothing"

    log.write_text('{"event": "plan"}\n' + json.dumps({"event": "summary", "text": "x" * 200_000, "exit_status": 3}) + "\n")
    told = runs.get(run.id)
    assert (told.state, told.status) == ("findings", 3)
    assert "its log tells how it went" in told.reason
    assert told.ended


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"id": 1}', '{"command": 3}', "\0\0\0"])
def test_a_torn_record_is_a_run_of_which_little_is_known(runs: Runs, text: str) -> None:
    old_id = "20240102T030405678Z-0a1b"
    (runs.folder / old_id).mkdir(parents=True)
    (runs.folder / old_id / RECORD).write_text(text)
    new = runs.begin("refresh", ())

    torn = runs.get(old_id)
    assert [run.id for run in runs] == [new.id, old_id]
    assert (torn.kind, torn.state, torn.started) == ("unknown", "broken off", "2024-01-02T03:04:05+00:00")
    assert "cannot be read" in torn.reason


def test_a_record_of_a_newer_version_is_read(runs: Runs) -> None:
    run = runs.begin("refresh", ("a",))
    path = runs.place(run.id) / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mood": "good"}))

    assert runs.get(run.id) == run


def test_the_newest_runs_are_kept_and_those_that_go_on(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEPT", 3)
    going = runs.change(minded(runs.begin("refresh", ("goes on",))))
    for n in range(6):
        time.sleep(0.002)
        runs.end(runs.begin("refresh", (str(n),)), 0)
    (runs.folder / "notes.txt").write_text("mine")

    assert [run.command[0] for run in runs] == ["5", "4", "3", "goes on"]
    assert going.state == "running"
    assert (runs.folder / "notes.txt").exists()


def test_a_root_that_cannot_be_written_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "runs").write_text("")
    for act in (lambda: Runs(tmp_path / "lake").begin("refresh", ()), lambda: Runs(tmp_path / "lake").alone("refresh").__enter__()):
        with pytest.raises(LakeError, match="is in the way of the records of runs"):
            act()

    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(LakeError, match=r"cannot be written \(Permission denied\): the run was not put on record"):
        Runs(tmp_path / "other").begin("refresh", ())


def test_the_last_event_of_a_log(tmp_path: Path) -> None:
    assert last_event(tmp_path) == {}
    for text, told in (
        ("", {}),
        ("\n", {}),
        ('{"a": 1}\n', {"a": 1}),
        ('{"a": 1}\n[2]\n', {}),
        ('x\n{"a": 2}\n', {"a": 2}),
        ('{"a": 1}', {}),
    ):
        (tmp_path / LOG).write_text(text)
        assert last_event(tmp_path) == told


# ---------------------------------------------------------------------- minding


def test_a_command_runs_beside_and_leaves_its_log_and_its_end(settings: Settings, runs: Runs) -> None:
    run = start(settings, ("config", "--json", "--data", settings.data), kind="config", by="prompt")
    done = ended(runs, run)

    assert (done.state, done.attempts) == ("done", 1)
    assert '"setting": "fred_api_key"' in (runs.place(run.id) / LOG).read_text()
    assert not [path for path in runs.folder.rglob("*") if path.is_file() and "swordfish" in path.read_text()]
    assert environment(settings)["FRED_API_KEY"] == "swordfish"


def test_a_command_that_fails_says_why(settings: Settings, runs: Runs) -> None:
    run = ended(runs, start(settings, ("status", "--data", settings.data), kind="status", by="prompt"))

    assert (run.state, run.status) == ("failed", 2)
    assert "holds no lake" in run.reason
    assert (runs.place(run.id) / ERRORS).read_text().strip() == run.reason


def test_a_minder_that_can_start_nothing_says_why(settings: Settings, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("workbench.runs.minding.subprocess.Popen", fail)
    monkeypatch.setattr("workbench.runs.minding.hear", lambda _: None)
    run = mind(settings.root, runs.begin("refresh", ("refresh",)).id)

    assert (run.state, runs.get(run.id).status) == ("failed", 1)
    assert "no process could be started: [Errno 11]" in run.reason


def test_one_of_a_kind_at_a_time(settings: Settings, runs: Runs, works: Callable[[str], None]) -> None:
    works("import time; time.sleep(600)")
    first, begun = start_or_follow(settings, ("refresh",), kind="refresh", by="panel")
    second, also = start_or_follow(settings, ("refresh",), kind="refresh", by="schedule:night")
    other, too = start_or_follow(settings, ("verify",), kind="verify", by="prompt")

    assert (begun, also, too) == (True, False, True)
    assert second.id == first.id
    for run in (first, other):
        stop(settings.root, run.id)
        assert ended(runs, run).state == "stopped"


def test_stop_at_once_is_heard_by_a_run_that_has_not_begun(settings: Settings, runs: Runs, works: Callable[[str], None]) -> None:
    works("import time; time.sleep(600)")
    run = start(settings, ("refresh",), kind="refresh", by="panel")
    stop(settings.root, run.id)

    assert ended(runs, run).state == "stopped"
    with pytest.raises(UsageError, match=r"is not going on \(stopped\); nothing was stopped"):
        stop(settings.root, run.id)


@pytest.mark.parametrize("when", ["before there is a child", "while Python starts", "before it began"])
def test_a_signal_that_comes_early_stops_the_run(
    settings: Settings, runs: Runs, works: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    works("raise SystemExit(1)" if when == "while Python starts" else "import time; time.sleep(600)")
    popen, minded_by = subprocess.Popen, Runs.minded

    def slowly(*words: Any, **options: Any) -> Any:
        if when != "before it began":
            os.kill(os.getpid(), signal.SIGTERM)
        return popen(*words, **options)

    def late(self: Runs, run: Run) -> Run:
        if when == "before it began":
            os.kill(os.getpid(), signal.SIGTERM)
        return minded_by(self, run)

    monkeypatch.setattr("workbench.runs.minding.subprocess.Popen", slowly)
    monkeypatch.setattr(Runs, "minded", late)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        run = mind(settings.root, runs.begin("refresh", ("refresh",)).id)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])

    assert run.state == "stopped"
    assert (runs.place(run.id) / LOG).exists() == (when != "before it began")


def test_a_run_that_nobody_minds_yet_cannot_be_stopped(settings: Settings, runs: Runs) -> None:
    with pytest.raises(UsageError, match="nobody minds it yet"):
        stop(settings.root, runs.begin("refresh", ()).id, within=0.05)
    away = runs.change(minded(runs.begin("refresh", ())), host="elsewhere", pid=12)
    with pytest.raises(UsageError, match="goes on at elsewhere"):
        stop(settings.root, away.id)


TWO_LINES = """import json, os, signal, sys, time
stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
print(json.dumps({"event": "moves", "files": []}), flush=True)
while not stopped and not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
print(json.dumps({"event": "summary", "title": "all done", "exit_status": 130 if stopped else 3}), flush=True)
sys.exit(130 if stopped else 3)
"""


@pytest.mark.parametrize("how", ["goes on", "is stopped"])
def test_work_outlives_who_minds_it_and_the_record_stays_true(
    settings: Settings, runs: Runs, works: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    works(TWO_LINES)
    monkeypatch.setenv("GO", str(tmp_path / "go"))
    run = start(settings, ("refresh",), kind="refresh", by="panel")
    until(lambda: (runs.place(run.id) / LOG).exists() and runs.get(run.id).child and last_event(runs.place(run.id)), "nothing was begun")
    os.kill(runs.get(run.id).pid, signal.SIGKILL)
    until(lambda: not runs.get(run.id).minded, "it was not killed")

    alone = runs.get(run.id)
    assert (alone.state, alone.worked) == ("running", True)
    assert runs.going_on("refresh") == alone, "nobody begins another beside it"
    if how == "goes on":
        (tmp_path / "go").touch()
        assert ended(runs, run).state == "findings"
    else:
        stop(settings.root, run.id)
        assert ended(runs, run).state == "stopped"


def test_what_ended_has_its_title_on_record_and_no_moves_in_its_log(
    settings: Settings, runs: Runs, works: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works(TWO_LINES)
    monkeypatch.setenv("GO", str(tmp_path))
    run = ended(runs, start(settings, ("refresh",), kind="refresh", by="panel", of="night"))

    assert run.facts == {"of": "night", "title": "all done"}
    assert [json.loads(line)["event"] for line in (runs.place(run.id) / LOG).read_text().splitlines()] == ["summary"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder in which nothing can be made is Linux's")
def test_a_root_that_cannot_be_made_is_an_error_in_words() -> None:
    with pytest.raises(LakeError, match="cannot be made"):
        Runs(Path("/proc/no lake")).begin("refresh", ("refresh",))
