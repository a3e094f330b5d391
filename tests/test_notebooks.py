"""The committed notebooks: they run on any lake, from any folder, and carry no outputs."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench import notebooks
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import WorkbenchError

FIRST = notebooks.FOLDER / "00_first_query.ipynb"


def lake(root: Path, files: Path) -> Path:
    Workbench(Settings.load(env={}, data=str(root), source=f"folder:{files}")).refresh().run()
    return root


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A lake with day bars only."""
    for day in (THU, FRI, MON):
        put(tmp_path / "days", STOCK_DAY, day, text([bar("ACME", day), bar("BETA", day)]))
    return lake(tmp_path / "lake", tmp_path / "days")


@pytest.fixture
def just_minutes(tmp_path: Path) -> Path:
    """A lake with minute bars only."""
    put(tmp_path / "minutes", STOCK_MINUTE, THU, text(minutes("ACME", THU, 5)))
    return lake(tmp_path / "lake", tmp_path / "minutes")


def nbval(notebook: Path, root: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook's cells as tests, in a process and a kernel of their own."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        os.devnull,
        str(notebook),
    ]
    kernels = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "IPYTHONDIR": str(cwd / "ipython")}
    return subprocess.run(
        words, cwd=cwd, env={**os.environ, **kernels, "WORKBENCH_DATA": str(root)}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted(notebooks.FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
@pytest.mark.parametrize("held", ["days", "just_minutes"])
def test_a_notebook_runs_from_any_folder_on_what_the_lake_holds(
    notebook: Path, held: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = nbval(notebook, request.getfixturevalue(held), tmp_path / "elsewhere")

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.slow
def test_nbval_sees_a_cell_that_fails(days: Path, tmp_path: Path) -> None:
    broken = json.loads(FIRST.read_text())
    broken["cells"][-1]["source"] = "1 / 0"
    (tmp_path / "broken.ipynb").write_text(json.dumps(broken))
    done = nbval(tmp_path / "broken.ipynb", days, tmp_path)

    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout


@pytest.mark.slow
def test_a_run_keeps_a_copy_with_its_results(days: Path, tmp_path: Path) -> None:
    made = notebooks.run(FIRST, tmp_path / "runs", data=str(days))

    cells = json.loads(made.read_text())["cells"]
    shown = [kind for cell in cells for output in cell.get("outputs", []) for kind in output.get("data", {})]
    assert made.parent == tmp_path / "runs"
    assert [cell["metadata"].get("tags") for cell in cells if f"data = {str(days)!r}".replace("'", '"') in "".join(cell["source"])] == [
        ["injected-parameters"]
    ]
    assert shown.count("application/vnd.jupyter.widget-view+json") == 2
    assert "application/vnd.plotly.v1+json" in shown
    assert "outputs" not in FIRST.read_text().replace('"outputs": []', "")


@pytest.mark.slow
def test_a_run_that_fails_says_where_and_keeps_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"00_first_query.ipynb failed in cell \d+ \(NoLake: .* holds no lake") as failed:
        notebooks.run(FIRST, tmp_path / "runs", data=str(tmp_path / "nothing"))

    [kept] = (tmp_path / "runs").iterdir()
    assert str(kept) in str(failed.value)
    assert "NoLake" in kept.read_text()


def test_notebooks_are_committed_without_outputs() -> None:
    for path in notebooks.FOLDER.glob("*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells), path
        assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1, path


@pytest.mark.slow
def test_the_demo_lands_samples_answers_and_runs_the_notebook_once_more_without_fetching(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    first = CliRunner().invoke(main, ["demo", "--data", str(root)])
    second = CliRunner().invoke(main, ["demo", "--data", str(root), "--no-notebook"])

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "stock_quotes" in first.stdout
    assert "billion_usd" in first.stdout
    [made] = (root / "runs").iterdir()
    assert f"jupyter lab {made}" in first.stdout
    assert second.stdout.count("nothing to do") == 4


def test_a_lake_of_samples_takes_no_real_data(tmp_path: Path, days: Path) -> None:
    root = tmp_path / "samples"
    CliRunner().invoke(main, ["refresh", "stock_day", "--source", "sample", "--days", "1", "--data", str(root)])
    result = CliRunner().invoke(main, ["refresh", "--source", f"folder:{tmp_path / 'days'}", "--data", str(root)])

    assert result.exit_code == 2
    assert "made-up prices" in result.stderr
    assert date.today().year - 1 <= Workbench(Settings.load(env={}, data=str(root))).status()[0]["last"].year
