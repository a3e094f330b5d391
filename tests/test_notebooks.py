"""The committed notebooks: they run on any lake, from any folder, carry no outputs, and say what is true."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench import notebooks, sessions
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BadRange, NoSource, UsageError, WorkbenchError
from workbench.notebooks import Findings
from workbench.sources import sample

FIRST = notebooks.FOLDER / "00_first_query.ipynb"


def lake(root: Path, files: Path) -> Path:
    """The lake of some files, which a notebook may refresh from them again."""
    Workbench(Settings.load(env={}, data=str(root), source=f"folder:{files}")).refresh().run()
    return root


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A lake with day bars only."""
    for day in (THU, FRI, MON):
        put(tmp_path / "files", STOCK_DAY, day, text([bar("ACME", day), bar("BETA", day)]))
    return lake(tmp_path / "lake", tmp_path / "files")


@pytest.fixture
def just_minutes(tmp_path: Path) -> Path:
    """A lake with minute bars only."""
    put(tmp_path / "files", STOCK_MINUTE, THU, text(minutes("ACME", THU, 5)))
    return lake(tmp_path / "lake", tmp_path / "files")


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
    settings = {"WORKBENCH_DATA": str(root), "WORKBENCH_SOURCE": f"folder:{root.parent / 'files'}"}
    return subprocess.run(words, cwd=cwd, env={**os.environ, **kernels, **settings}, capture_output=True, text=True, check=False)


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
    assert shown.count("application/vnd.jupyter.widget-view+json") == 4
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
    # Ticker changes and events are gathered each time, and are the same.
    assert "0 files landed, 0 rows" in second.stdout
    for table in ("tickers", "ticker_changes", "splits", "dividends", "conditions", "exchanges", "calendar_events"):
        assert f"\n{table} " in first.stdout


def test_a_lake_of_samples_takes_no_real_data(tmp_path: Path, days: Path) -> None:
    root = tmp_path / "samples"
    CliRunner().invoke(main, ["refresh", "stock_day", "--source", "sample", "--days", "1", "--data", str(root)])
    result = CliRunner().invoke(main, ["refresh", "--source", f"folder:{tmp_path / 'files'}", "--data", str(root)])

    assert result.exit_code == 2
    assert "made-up prices" in result.stderr
    assert date.today().year - 1 <= Workbench(Settings.load(env={}, data=str(root))).status()[0]["last"].year


def executed(name: str, **parameters: Any) -> dict[str, Any]:
    """What a notebook's cells leave in a namespace when they are run here, with parameters in place of its own."""
    found: dict[str, Any] = {}
    for cell in json.loads((notebooks.FOLDER / name).read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), found)
            if "parameters" in cell["metadata"].get("tags", []):
                assert parameters.keys() <= found.keys()
                found.update(parameters)
    return found


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which no source is configured."""
    for name in [name for name in os.environ if name.startswith(("WORKBENCH_", "POLYGON_", "MASSIVE_"))]:
        monkeypatch.delenv(name)


def test_the_refresh_takes_what_an_operator_would_choose() -> None:
    [cell] = [
        cell
        for cell in json.loads((notebooks.FOLDER / "10_refresh.ipynb").read_text())["cells"]
        if "parameters" in cell["metadata"].get("tags", [])
    ]
    names: dict[str, Any] = {}
    exec("".join(cell["source"]), names)

    assert set(names) - {"__builtins__"} == {"data", "source", "symbols", "datasets", "days", "start", "end", "reset"}


@pytest.mark.usefixtures("unset")
def test_the_refresh_lands_into_a_folder_where_no_lake_is(days: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = executed("10_refresh.ipynb", data=str(tmp_path / "new"), source=f"folder:{days.parent / 'files'}", datasets="stock_day")

    assert told["summary"].title.startswith("refresh from folder: 3 files landed, 6 rows")
    assert capsys.readouterr().out.endswith("Everything that is due is here.\n")


@pytest.mark.usefixtures("unset")
def test_the_refresh_ends_with_findings_when_a_due_session_is_missing(
    days: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Findings, match="Not as it should be: stock_day 2024-03-12 missing: due, but the source does not list it"):
        executed("10_refresh.ipynb", data=str(days), source=f"folder:{tmp_path / 'files'}", start="2024-03-07", end="2024-03-12")

    assert "stock_day 2024-03-12 missing" in capsys.readouterr().out


@pytest.mark.usefixtures("unset")
def test_the_refresh_of_samples_takes_no_real_data_and_finds_its_source_itself(days: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "samples")
    CliRunner().invoke(main, ["refresh", "stock_day", "--source", "sample", "--days", "1", "--data", root])

    with pytest.raises(UsageError, match=r"holds sample data .made-up prices.; real data was not mixed into it"):
        executed("10_refresh.ipynb", data=root, source=f"folder:{tmp_path / 'files'}", start=str(THU), end=str(MON))
    told = executed("10_refresh.ipynb", data=root)

    assert told["source"] == "sample"
    assert Workbench(Settings.load(env={}, data=root)).status()[0]["sessions"] == 5


@pytest.mark.usefixtures("unset")
def test_the_refresh_says_what_it_cannot_do(days: Path) -> None:
    folder = f"folder:{days.parent / 'files'}"

    with pytest.raises(NoSource, match="no source of data is configured"):
        executed("10_refresh.ipynb", data=str(days))
    with pytest.raises(BadRange, match="days and start or end were both given"):
        executed("10_refresh.ipynb", data=str(days), source=folder, days=5, start="2024-03-07")
    with pytest.raises(WorkbenchError, match="did you mean stock_day"):
        executed("10_refresh.ipynb", data=str(days), source=folder, datasets="stock_dya")


@pytest.mark.usefixtures("unset")
def test_the_refresh_empties_first_when_told_to(days: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executed("10_refresh.ipynb", data=str(days), source=f"folder:{days.parent / 'files'}", start=str(FRI), end=str(MON), reset=True)

    assert "emptied first: stock_day (6 rows)" in capsys.readouterr().out
    assert Workbench(Settings.load(env={}, data=str(days))).sql("SELECT min(date), count(*) FROM stock_day").fetchall() == [(FRI, 4)]


def by_hand(marks: Any, weights: Any, cost_bps: float) -> dict[tuple[str, int], float]:
    """What the research's portfolios are worth at each open, by a plain loop over shares and cash."""
    priced = {(row["asset"], row["n"]): row["open"] for row in marks.to_dicts()}
    newest = max(n for _, n in priced)
    decided: dict[str, dict[int, dict[str, float]]] = {}
    for row in weights.to_dicts():
        decided.setdefault(row["portfolio"], {}).setdefault(row["n"], {})[row["asset"]] = row["weight"]
    found = {}
    for portfolio, choices in decided.items():
        cash, shares = 1.0, dict[str, float]()
        for n in range(min(choices) + 1, newest + 1):
            worth = {name: held * priced[name, n] for name, held in shares.items()}
            value = cash + sum(worth.values())
            if n - 1 in choices:
                wanted = choices[n - 1]
                traded = sum(abs(wanted.get(name, 0) - worth.get(name, 0) / value) for name in {*wanted, *worth})
                value *= 1 - traded * cost_bps / 1e4
                shares = {name: part * value / priced[name, n] for name, part in wanted.items()}
                cash = value - sum(part * value for part in wanted.values())
            found[portfolio, n] = value
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("unset")
def test_the_research_does_what_a_loop_in_plain_python_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda *_, **__: None)
    days = sessions.between(STOCK_DAY, date(2026, 2, 2), date(2026, 5, 29))
    for day in days:
        sample.write(tmp_path / "files", STOCK_DAY, day, tickers=["AAPL", "MSFT", "IBM", "SPY", "NVDA", "AMZN", "BAC", "T"])
    root = lake(tmp_path / "lake", tmp_path / "files")
    told = executed("60_research.ipynb", data=str(root), universe_size=5, holdings=2, lookback=10, hold=4, cost_bps=50.0, chances=5)

    numbers = {row["date"]: row["n"] for row in told["known"].to_dicts()}
    ours = by_hand(told["marks"], told["weights"], 50.0)
    theirs = {(row["portfolio"], numbers[row["date"]]): row["value"] for row in told["curve"].to_dicts()}
    assert theirs.keys() == ours.keys()
    assert {portfolio for portfolio, _ in ours} >= {"signal", "whole universe", "bought and held", "SPY", "cheat", "chance 5"}
    assert max(abs(theirs[key] - ours[key]) for key in ours) < 1e-9
    # The first decision is made when the look back is full, and traded on the next day.
    assert min(n for _, n in ours) == 12
    figures = {row["portfolio"]: row["return_percent"] for row in told["results"].to_dicts()}
    assert figures["cheat"] > figures["signal"]


@pytest.mark.slow
def test_the_research_hears_of_a_signal_that_knows_the_future(days: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda *_, **__: None)
    for day in sessions.between(STOCK_DAY, date(2026, 2, 2), date(2026, 5, 29)):
        sample.write(tmp_path / "more", STOCK_DAY, day, tickers=["AAPL", "MSFT", "IBM", "NVDA", "AMZN", "BAC"])
    root = lake(tmp_path / "knows", tmp_path / "more")
    source = (notebooks.FOLDER / "60_research.ipynb").read_text()
    (folder := tmp_path / "spoilt").mkdir()
    (folder / "60_research.ipynb").write_text(source.replace("lag(close, $lookback)", "lead(close, $lookback)"))
    monkeypatch.setattr(notebooks, "FOLDER", folder)

    with pytest.raises(AssertionError, match="the signal knows the future"):
        executed("60_research.ipynb", data=str(root), universe_size=5, lookback=10)
