"""`workbench quality`: what it prints, and the status it ends with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flatfiles import FRI, STOCK_DAY, THU, put, text

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a lake of two sessions, in which ODD doubles and more, and ZERO has no volume."""
    for declared in Settings.declared().values():
        for variable in declared.metadata["variables"]:
            monkeypatch.delenv(variable, raising=False)
    (tmp_path / "workbench.toml").touch()
    monkeypatch.chdir(tmp_path)
    for day, price in ((THU, 10), (FRI, 30)):
        stamp = STOCK_DAY.session_ns(day)[0]
        rows = [("ODD", 100, price), ("ZERO", 0, 10), ("FINE", 100, 10)]
        put(tmp_path / "files", STOCK_DAY, day, text([f"{t},{volume},{p},{p},{p},{p},{stamp},5" for t, volume, p in rows]))
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as bench:
        bench.refresh(source=f"folder:{tmp_path / 'files'}", maintain=False).run()

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["quality", *words, "--data", str(tmp_path / "lake")], prog_name="workbench", terminal_width=200)

    return invoke


def test_what_is_odd_is_shown_and_told_by_the_status(run: Run) -> None:
    shown = run("stock_day")

    assert shown.exit_code == 3, shown.output
    assert "stock_day, 2 sessions from 2024-03-07 to 2024-03-08: 2 degraded; 3 findings (1 move, 2 volume)" in shown.stdout
    assert "closes at 30, 3 times the close 10 of 2024-03-07" in " ".join(shown.stdout.split())
    assert "not in the lake: see its gaps" in shown.stdout


def test_nothing_odd_ends_with_0(run: Run) -> None:
    shown = run("stock_day", "--symbols", "FINE")

    assert (shown.exit_code, "nothing odd" in shown.stdout) == (0, True), shown.output
    assert run("stock_day", "--symbols", "ODD", "--end", str(THU)).exit_code == 0


def test_json_is_all_that_is_printed(run: Run) -> None:
    shown = run("stock_day", "--json", "--findings", "2", "--start", str(THU))

    told = json.loads(shown.stdout)
    assert (shown.exit_code, shown.stderr) == (3, "")
    assert [one["check"] for one in told["findings"]] == ["move", "volume"]
    assert [(one["check"], one["findings"]) for one in told["counts"]] == [("move", 1), ("volume", 2)]
    assert [(row["session"], row["rows"], row["volume"]) for row in told["rows"]] == [("2024-03-07", 3, 1), ("2024-03-08", 3, 1)]


def test_so_many_findings_are_listed(run: Run) -> None:
    assert "1 of 3 findings" in run("stock_day", "--findings", "1").stdout
    assert "of 3 findings" not in run("stock_day", "--findings", "0").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["splits"], "holds neither bars"),
        (["stock_day", "--start", "2024-03-08", "--end", "2024-03-07"], "before it starts"),
        (["stock_dya"], "stock_day"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(run: Run, words: list[str], says: str) -> None:
    shown = run(*words)

    assert says in shown.stderr
    assert shown.stderr.startswith("workbench: ")
    assert shown.exit_code == 2
