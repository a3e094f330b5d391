"""The commands that run notebooks, tell of runs and keep schedules: what they print, and the status they end with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from workbench.cli import main
from workbench.config import Settings
from workbench.runs import Run, Runs
from workbench.schedule import firing
from workbench.schedule.book import Book

Invoke = Callable[..., Result]
WEEKDAYS = "30 11 * * 2-6 America/New_York"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings but the defaults, and a working directory that is its own project."""
    for declared in Settings.declared().values():
        for variable in declared.metadata["variables"]:
            monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "workbench.toml").touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run() -> Invoke:
    """Run a command here, with standard output and standard error apart."""

    def invoke(*words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="workbench")

    return invoke


def notebook(path: Path, *cells: str) -> Path:
    made: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {"tags": ["parameters"]} if n == 0 else {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for n, source in enumerate(cells)
    ]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def refused(result: Result, status: int, *told: str) -> None:
    """Nothing on standard output, a sentence on standard error, and the status."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert "Traceback" not in result.stderr
    for words in told:
        assert words in result.stderr


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "workbench", *words]


# ---------------------------------------------------------------------- run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("n.ipynb", "-p", "dayz", "5"), ("no parameter 'dayz'", "did you mean days", "--parameters")),
        (("n.ipynb", "-p", "days", "five"), ("must be a whole number",)),
        (("n.ipynb", "-p", "api_key", "x"), ("is a secret",)),
        (("m.ipynb",), ("no notebook 'm.ipynb'", "did you mean n.ipynb")),
        (("n.ipynb", "--timeout", "soon"), ("'soon' is not a length of time",)),
        (("n.ipynb", "--retries", "-1"), ("-1 is not in the range",)),
        (("broken.ipynb",), ("is not a notebook",)),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(
    run: Invoke, project: Path, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    notebook(project / "n.ipynb", "days = 5\napi_key = ''")
    (project / "broken.ipynb").write_text("no notebook")
    refused(run("run", *words), 2, *told)
    assert not (project / "data").exists()


def test_what_a_notebook_takes_is_listed(run: Invoke, project: Path) -> None:
    notebook(project / "n.ipynb", "days = 5  # how many sessions\nsymbols = []\nstart = None")
    result = run("run", "n.ipynb", "--parameters", "--json")
    assert [(row["parameter"], row["default"], row["takes"], row["meaning"]) for row in json.loads(result.stdout)["rows"]] == [
        ("days", "5", "whole number", "how many sessions"),
        ("symbols", "[]", "list", ""),
        ("start", "None", "anything", ""),
    ]


def test_without_papermill_it_says_what_to_install(run: Invoke, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook(project / "n.ipynb", "days = 5")
    monkeypatch.setattr("workbench.notebooks.running.find_spec", lambda _: None)
    refused(run("run", "n.ipynb"), 2, "pip install 'workbench[lab]'")


@pytest.mark.slow
def test_a_run_at_a_prompt_says_how_it_goes_and_ends_with_its_status(project: Path) -> None:
    notebook(
        project / "n.ipynb", "days = 5", "print('x')", "from workbench.notebooks import findings; findings(f'{days} sessions are missing')"
    )
    done = subprocess.run(
        command("run", "n.ipynb", "-p", "days", "7", "--data", "lake"), capture_output=True, text=True, timeout=120, check=False
    )
    told = subprocess.run(command("run", "n.ipynb", "--json", "--data", "lake"), capture_output=True, text=True, timeout=120, check=False)
    record, [newer, older] = json.loads(told.stdout), list(Runs(project / "lake"))

    assert (done.returncode, told.returncode) == (3, 3), done.stderr + told.stderr
    assert "cell 4 of 4" in done.stdout and "findings in " in done.stdout
    assert done.stderr == "workbench: cell 4: 7 sessions are missing\n"
    assert (record["id"], record["state"], record["status"]) == (newer.id, "findings", 3)
    assert older.command == ("run", "n.ipynb", "-p", "days", "7")
    assert told.stderr == ""


# ---------------------------------------------------------------------- runs


@pytest.fixture
def history(project: Path) -> list[Run]:
    runs = Runs(project / "data")
    first = runs.end(runs.minded(runs.begin("notebook", ("run", "n.ipynb"))), 0, output="/x/n.ipynb", before={"a": 1}, after={"a": 2})
    time.sleep(0.002)
    second = runs.end(runs.minded(runs.begin("refresh", ("refresh", "--last", "5"), "panel")), 1, reason="first line\nno keys")
    time.sleep(0.002)
    third = runs.minded(runs.begin("refresh", ("refresh",), "schedule:nightly"))
    (runs.place(second.id) / "log.jsonl").write_text("printed\n")
    (runs.place(second.id) / "errors.txt").write_text("complained\n")
    return [third, second, first]


def test_runs_are_listed_the_newest_first(run: Invoke, history: list[Run]) -> None:
    rows = json.loads(run("runs", "--json").stdout)["rows"]
    assert [(row["run"], row["state"], row["by"], row["changed"]) for row in rows] == [
        (history[0].id, "running", "schedule:nightly", None),
        (history[1].id, "failed", "panel", None),
        (history[2].id, "done", "prompt", 1),
    ]
    assert rows[1]["reason"] == "first line\nno keys"
    assert [row["run"] for row in json.loads(run("runs", "--kind", "refresh", "--last", "1", "--json").stdout)["rows"]] == [history[0].id]
    shown = run("runs").stdout
    assert "n.ipynb" in shown and "no keys" in shown and "first line" not in shown


def test_one_run_is_told_whole_with_what_it_printed(run: Invoke, history: list[Run]) -> None:
    one = run("runs", history[2].id)
    log = run("runs", history[1].id, "--log")

    assert "workbench run n.ipynb" in one.stdout and "version before" in one.stdout
    assert (log.stdout, log.stderr) == ("printed\n", "complained\n")
    assert json.loads(run("runs", history[1].id, "--json").stdout)["reason"] == "first line\nno keys"


def test_a_run_is_found_by_the_beginning_of_its_id(run: Invoke, history: list[Run]) -> None:
    refused(run("runs", "2"), 2, "runs begin with '2'")
    refused(run("runs", "x"), 2, "no run 'x'")
    refused(run("runs", "--log"), 2, "go with the ID")
    refused(run("runs", history[1].id, "--stop"), 2, "not going on (failed)")


def test_no_runs_are_no_error(run: Invoke) -> None:
    result = run("runs")
    assert (result.exit_code, result.stdout.startswith("0 runs on record in ")) == (0, True)


# ---------------------------------------------------------------------- schedule


def test_a_schedule_is_added_listed_paused_resumed_and_removed(run: Invoke, project: Path) -> None:
    added = run("schedule", "add", WEEKDAYS, "--", "refresh", "--last", "5")
    paused = run("schedule", "pause", "refresh")
    rows = json.loads(run("schedule", "list", "--json").stdout)["rows"]
    resumed = run("schedule", "resume", "refresh")

    assert added.stdout.startswith("scheduled refresh: 30 11 * * 2-6 America/New_York: workbench refresh --last 5\nnext at ")
    assert "11:30:00 (America/New_York)" in added.stdout
    assert added.stderr == "nobody is told of failures: [notify] in workbench.toml names nobody\n"
    assert "is paused" in paused.stdout and [(row["schedule"], row["next"]) for row in rows] == [("refresh", "paused")]
    assert "11:30:00" in resumed.stdout
    assert Book.read(project / "data")["refresh"].folder == str(project)
    assert run("schedule", "remove", "refresh").stdout.startswith("removed refresh")
    refused(run("schedule", "remove", "refresh"), 2, "no schedule 'refresh'")


def test_times_that_passed_while_one_was_paused_are_not_caught_up(run: Invoke, project: Path) -> None:
    run("schedule", "add", "@daily", "config")
    run("schedule", "pause", "config")
    with Book.changing(project / "data") as book:
        book.change("config", since="2026-01-01T00:00:00+00:00")
    run("schedule", "resume", "config")
    assert run("schedule", "due").output == ""


def test_the_zone_is_the_settings_own_where_none_is_given(run: Invoke, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_TIMEZONE", "Asia/Tokyo")
    run("schedule", "add", "@daily", "--name", "nightly", "--timeout", "2h", "verify", "--quick")
    [one] = Book.read(project / "data")
    assert (one.name, one.when, one.command, one.timeout) == ("nightly", "0 0 * * * Asia/Tokyo", ("verify", "--quick"), 7200)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("* * * *", "refresh"), ("has 4 fields",)),
        (("@daily", "refesh"), ("no command to schedule 'refesh'", "did you mean refresh")),
        (("@daily", "workbench", "refresh"), ("leave the word workbench out",)),
        (("@daily", "schedule", "list"), ("no command to schedule 'schedule'",)),
        (("@daily", "lab"), ("no command to schedule 'lab'",)),
        (("@daily", "--", "refresh", "--lats", "5"), ("No such option '--lats'",)),
        (("@daily", "--", "refresh", "--days", "x"), ("'x' is not a valid integer",)),
        (("@daily", "--", "coverage"), ("Missing argument 'TABLE'",)),
        (("@daily", "--", "refresh", "--data", "/x"), ("names a lake with --data",)),
        (("@daily", "--", "import", "postgresql://me:hunter2@db/x"), ("the command holds a secret",)),
        (("@daily", "--", "sql", "SELECT 'the-key-itself'"), ("the command holds a secret",)),
        (("@daily", "--", "run", "n.ipynb", "-p", "dayz", "5"), ("no parameter 'dayz'",)),
        (("@daily", "--", "run", "m.ipynb"), ("no notebook 'm.ipynb'",)),
        (("@daily",), ("Missing argument",)),
    ],
)
def test_what_could_not_run_is_not_scheduled(
    run: Invoke, project: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "the-key-itself")
    notebook(project / "n.ipynb", "days = 5")
    refused(run("schedule", "add", *words), 2, *told)
    assert not (project / "data").exists()


def test_nothing_due_says_nothing(run: Invoke, project: Path) -> None:
    result = run("schedule", "due")
    assert (result.exit_code, result.output) == (0, "")
    assert not (project / "data" / "schedules.log").exists()


def test_what_is_due_is_run_once_and_its_status_is_the_commands(run: Invoke, project: Path) -> None:
    run("schedule", "add", "@daily", "status")
    with Book.changing(project / "data") as book:
        book.change("status", since="2026-01-01T00:00:00+00:00")
    first, second = run("schedule", "due"), run("schedule", "due")

    assert first.exit_code == 2 and "late, for " in first.stdout and "holds no lake" in first.stderr
    assert (second.exit_code, second.output) == (0, "")
    assert "began run" in (project / "data" / "schedules.log").read_text()
    [row] = json.loads(run("schedule", "list", "--json").stdout)["rows"]
    assert (row["last"], "holds no lake" in row["reason"]) == ("failed", True)


def test_two_looks_at_once_run_it_once(run: Invoke, project: Path) -> None:
    run("schedule", "add", "@daily", "config")
    with Book.changing(project / "data") as book:
        book.change("config", since="2026-01-01T00:00:00+00:00")
    looks = [subprocess.Popen(command("schedule", "due", "--no-wait"), stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = [look.communicate(timeout=60)[0] for look in looks]
    [begun] = Runs(project / "data")

    assert sorted(bool(text) for text in told) == [False, False, False, True]
    until = time.monotonic() + 60
    while Runs(project / "data").get(begun.id).status is None and time.monotonic() < until:
        time.sleep(0.05)
    assert Runs(project / "data").get(begun.id).state == "done"


def test_one_is_run_now_and_its_status_is_the_commands(run: Invoke, project: Path) -> None:
    run("schedule", "add", "@yearly", "config")
    result = run("schedule", "run-now", "config", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["state"] == "done"
    refused(run("schedule", "run-now", "confg"), 2, "did you mean config")


def test_two_of_which_one_found_something_and_one_failed_have_failed(run: Invoke, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = iter((3, 1))
    monkeypatch.setattr(firing, "launch", lambda root, run: Runs(root).end(run, next(statuses)) and None)
    for name in ("one", "two"):
        run("schedule", "add", "@daily", "--name", name, "config")
        with Book.changing(project / "data") as book:
            book.change(name, since="2026-01-01T00:00:00+00:00")
    assert run("schedule", "due").exit_code == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_server_runs_what_is_due_and_ends_clean(run: Invoke, project: Path, how: signal.Signals) -> None:
    run("schedule", "add", "@daily", "config")
    with Book.changing(project / "data") as book:
        book.change("config", since="2026-01-01T00:00:00+00:00")
    with subprocess.Popen(
        command("schedule", "serve"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as server:
        assert server.stdout and server.stderr
        lines = [server.stdout.readline(), server.stdout.readline()]
        second = subprocess.run(command("schedule", "serve"), capture_output=True, text=True, timeout=60, check=False)
        server.send_signal(how)
        rest, errors = server.communicate(timeout=60)

    assert "serving 1 schedules" in lines[0] and "config: began run" in lines[1]
    assert (second.returncode, f"served by process {server.pid}" in second.stderr) == (1, True)
    assert (server.returncode, errors, "stopped" in rest) == (0, "", True)


def test_a_test_of_who_is_told_says_what_came_of_each(run: Invoke, project: Path, tmp_path: Path) -> None:
    refused(run("schedule", "test-notify"), 2, "names nobody")
    (project / "workbench.toml").write_text('[notify]\ncommand = "true"\nemail = ["a@b.c"]\n')
    result = run("schedule", "test-notify")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "command: told; look whether it came",
        "email: failed: no server is named: set WORKBENCH_SMTP_HOST",
    ]


def test_installing_is_asked_for_and_shown(run: Invoke, project: Path) -> None:
    refused(run("schedule", "install"), 2, "give --cron or --systemd")
    shown = run("schedule", "install", "--cron", "--print")
    assert shown.exit_code == 0 and "* * * * * cd " in shown.stdout and "Nothing was written." in shown.stdout
    assert "OnCalendar=minutely" in run("schedule", "install", "--systemd", "--print").stdout
    assert "nothing was installed" in run("schedule", "uninstall").stdout


def test_a_file_in_the_place_of_the_root_is_said_in_words(run: Invoke, project: Path) -> None:
    (project / "file").write_text("")
    refused(run("--data", "file/lake", "schedule", "add", "@daily", "status"), 1, "/project/file is a file: no schedule was changed")


# ---------------------------------------------------------------------- lab


@pytest.mark.slow
def test_lab_hands_its_words_to_jupyterlab(project: Path) -> None:
    done = subprocess.run(command("lab", "--", "--version"), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.strip()[0].isdigit(), done.stderr


def test_lab_of_a_folder_that_is_not_there_is_refused(run: Invoke) -> None:
    refused(run("lab", "nowhere"), 2, "is not a folder")
