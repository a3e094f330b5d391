"""Notebooks run with bad luck: odd values and names, a reader that goes away, an interruption before the first cell, a run within a run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_notebook_runs import lake as lake
from test_notebook_runs import made, notebook, takes

from workbench.config import Settings
from workbench.errors import BadSetting, UnknownName
from workbench.notebooks.parameters import assigned, checked
from workbench.notebooks.running import Cell, Listener, found, run_notebook
from workbench.runs import Run, Runs
from workbench.runs.masking import MASK, Secrets
from workbench.runs.supervised import LONGEST_LINE, Supervised


@pytest.mark.parametrize("typed", ["[b'x']", "[1j]", "[...]", "[NaN]", "1e999", "1" * 5000, "{1: 2}", "[{1}]"])
def test_a_value_that_no_record_can_keep_is_refused(typed: str) -> None:
    with pytest.raises(BadSetting, match=r"the parameter x is .*nothing was run"):
        takes("x = None", ("x", typed))


@pytest.mark.parametrize("typed", ["{[1]: 2}", "{{1}}", "(" * 5000])
def test_what_is_no_value_is_text(typed: str) -> None:
    assert takes("x = None", ("x", typed)) == {"x": typed}
    with pytest.raises(BadSetting, match="must be a whole number"):
        takes("x = 1", ("x", typed))


def test_a_value_of_python_that_no_record_can_keep_is_refused(tmp_path: Path) -> None:
    path = notebook(tmp_path / "n.ipynb")
    with pytest.raises(BadSetting, match=r"the parameter days is .*nothing was run"):
        checked(made(path), path, [("days", {1, 2})], Secrets(()), typed=False)  # type: ignore[list-item]


def test_a_default_that_is_no_value_is_unknown() -> None:
    assert assigned("x = {[]: 1}")["x"].kind == ""


def test_tags_that_are_null_are_none(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "metadata": {"tags": None}, "source": "1"}
    assert checked({"cells": [cell]}, tmp_path, [], Secrets(())) == {}


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x.ipynb", "a" * 300, ""])
def test_a_name_that_no_file_can_have_is_unknown(name: str) -> None:
    with pytest.raises(UnknownName, match="nothing was done"):
        found(name)


class Gone(Listener):
    """What it shows is read by nobody."""

    def began(self, run: Run) -> None:
        raise BrokenPipeError

    def cell(self, at: Cell) -> None:
        raise BrokenPipeError


@pytest.mark.slow
def test_a_notebook_called_as_the_record_that_says_no_language_and_whose_reader_left_is_done(lake: Settings, tmp_path: Path) -> None:
    path = notebook(tmp_path / "run.json", "print(days)")
    path.write_text(json.dumps({**made(path), "metadata": {"kernelspec": None}}))

    ended = run_notebook(lake, path, {"days": 3}, listener=Gone())

    assert (ended.state, ended.reason) == ("done", "")
    assert Path(ended.output).name == "run.ipynb" and "3\n" in Path(ended.output).read_text().replace("\\n", "\n")
    assert Runs(lake.root).get(ended.id).state == "done"


@pytest.mark.slow
def test_an_interruption_before_the_first_cell_runs_none(lake: Settings, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = notebook(tmp_path / "n.ipynb", *[f"import time; time.sleep(0.3); open({str(ran)!r}, 'a').write('x')"] * 8, parameters=None)
    env: dict[str, Any] = {**os.environ, "WORKBENCH_DATA": str(lake.root)}
    words = [sys.executable, "-m", "workbench", "run", str(path)]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as prompt:
        assert prompt.stdout and prompt.stdout.readline().startswith("run ")
        # The process that starts the kernel is there, the kernel is not.
        time.sleep(0.4)
        prompt.send_signal(signal.SIGINT)
        assert "stopped in" in prompt.communicate(timeout=60)[0]

    assert prompt.returncode == 130
    assert not ran.exists()


@pytest.mark.slow
def test_a_run_within_a_scheduled_run_is_its_own(lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = notebook(tmp_path / "n.ipynb", "import os; assert 'WORKBENCH_RUN' not in os.environ", parameters=None)
    runs = Runs(lake.root)
    outer = runs.minded(runs.begin("notebook", ("run", str(path)), "schedule:night"))
    monkeypatch.setenv("WORKBENCH_RUN", outer.id)

    assert (ended := run_notebook(lake, path)).state == "done", ended.reason


def test_a_secret_where_a_line_is_cut_is_masked(tmp_path: Path) -> None:
    code = f"import sys; sys.stdout.write('y' * {LONGEST_LINE - 5} + 'sup3rs3cret\\n' + 'last')"
    child = Supervised([sys.executable, "-c", code], tmp_path / "out", tmp_path / "errors", Secrets(["sup3rs3cret"]))
    assert child.wait(30) == 0
    assert (tmp_path / "out").read_text() == "y" * (LONGEST_LINE - 5) + MASK + "\nlast"


def test_a_hint_begins_a_sentence() -> None:
    assert str(UnknownName("schedule", "zz", ["k"], "`list` lists them.")).endswith("known are k. `list` lists them.")
