"""`workbench reset` at the prompt: what it shows, when it asks, and how it ends."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flatfiles import STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings

Run = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    vendor = tmp_path / "vendor"
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 10)))
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as bench:
        bench.refresh(source=f"folder:{vendor}").run()
    return tmp_path / "lake"


@pytest.fixture
def run(root: Path) -> Run:
    return lambda *words: CliRunner().invoke(main, ["reset", *words, "--data", str(root)])


def rows(root: Path) -> dict[str, int]:
    with Workbench(Settings.load(env={}, data=str(root))) as bench:
        return {row["table"]: row["rows"] for row in bench.status()}


def at_a_terminal(root: Path, answer: str, *words: str) -> tuple[int, str]:
    """Run the command at a terminal and type an answer; gives the exit status and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "workbench", "reset", *words, "--data", str(root)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        shown = b""
        # A terminal whose other end is gone is an error to read from.
        with suppress(OSError):
            while part := os.read(ours, 10_000):
                shown += part
        os.close(ours)
        return process.wait(), " ".join(shown.decode().split())


def test_with_yes_it_is_done_and_undone(run: Run, root: Path) -> None:
    done = run("stock_day", "--yes")
    assert done.exit_code == 0
    assert "2 rows of 1 table" in done.output
    assert "What stays: data_sync_log, the history of runs, the trading calendar, what people wrote to documented tables, " in done.output
    assert rows(root) == {"stock_minute": 10, "lone_days": 1, "stock_sessions": 1}
    back = run("--undo", "--yes")
    assert back.exit_code == 0
    assert "are back" in back.output
    assert rows(root) == {"stock_day": 2, "stock_minute": 10, "lone_days": 1, "stock_sessions": 1}


def test_a_reset_is_undone_by_its_id(run: Run, root: Path) -> None:
    first = json.loads(run("stock_day", "--yes", "--json").stdout)["reset"]
    run("stock_minute", "--yes")
    assert run("--undo", first, "--yes").exit_code == 0
    assert rows(root) == {"stock_day": 2, "lone_days": 1, "stock_sessions": 1}
    assert run("--undo", first, "--yes").exit_code == 2


def test_where_nobody_can_be_asked_it_shows_and_refuses(run: Run, root: Path) -> None:
    done = run("all")
    assert done.exit_code == 2
    assert "14 rows of 4 tables" in done.output
    assert "nothing was reset. Add --yes" in done.stderr
    assert rows(root) == {"stock_day": 2, "stock_minute": 10, "lone_days": 1, "stock_sessions": 1}


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("y", 0, {}), ("n", 1, {"stock_day": 2, "stock_minute": 10, "lone_days": 1, "stock_sessions": 1})]
)
def test_at_a_terminal_it_asks(root: Path, answer: str, status: int, left: dict[str, int]) -> None:
    code, shown = at_a_terminal(root, answer, "all")
    assert (code, rows(root)) == (status, left)
    assert "14 rows of 4 tables" in shown
    assert shown.index("What stays") < shown.index("Take these rows out? [y/N]")


def test_json_alone_stands_on_standard_output(run: Run, root: Path) -> None:
    done = run("stock_day", "--yes", "--json")
    told = json.loads(done.stdout)
    assert (told["rows_total"], told["dry_run"], [row["table"] for row in told["rows"]]) == (2, False, ["stock_day"])
    assert json.loads(run("--undo", "--yes", "--json").stdout)["reset"] == told["reset"]
    refused = run("stock_day", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "2 rows of 1 table" in refused.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "name what to reset"),
        (("stock_dya", "--yes"), 2, "did you mean stock_day"),
        (("--undo", "--yes"), 2, "not to be found"),
        (("stock_trades", "--yes"), 0, "nothing to reset"),
        (("--undo", "stock_trades", "--yes"), 2, "not to be found"),
    ],
)
def test_what_cannot_be_asked(run: Run, words: tuple[str, ...], status: int, said: str) -> None:
    done = run(*words)
    assert (done.exit_code, said in done.output + done.stderr) == (status, True), done.output


def test_a_root_without_a_lake_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["reset", "all", "--yes", "--data", str(tmp_path / "none")])
    assert done.exit_code == 2
    assert "holds no lake" in done.stderr
