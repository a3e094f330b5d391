"""compact, retain and maintain at the prompt: what they print, what they change, and the status they end with."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings

Run = Callable[..., Result]
APRIL = date(2024, 4, 9)
DROP = '[retention.stock_minute]\nkeep = "1 year"\nthen = "drop"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without settings, as the working directory."""
    for declared in Settings.declared().values():
        for variable in declared.metadata["variables"]:
            monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "workbench.toml").touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run() -> Run:
    def invoke(*words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="workbench")

    return invoke


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return files_of(tmp_path)


def files_of(tmp_path: Path) -> Path:
    """Minutes of four sessions in two months, and day bars of those in the first."""
    for n, day in enumerate((THU, FRI, MON, APRIL)):
        put(tmp_path / "files", STOCK_MINUTE, day, text([*minutes("ACME", day, 20 + n), *minutes("BETA", day, 5)]))
    for day in (THU, FRI, MON):
        put(tmp_path / "files", STOCK_DAY, day, text([bar("ACME", day), bar("BETA", day)]))
    return tmp_path / "files"


@pytest.fixture
def landed(tmp_path: Path, made_once: Callable[..., None]) -> None:
    made_once(landing, tmp_path)


def landing(home: Path) -> None:
    words = ["refresh", "--source", f"folder:{files_of(home)}", "--no-maintain", "--data", str(home / "project" / "data")]
    assert CliRunner().invoke(main, words).exit_code == 0


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def count(run: Run, table: str) -> int:
    [row] = json.loads(run("sql", f"SELECT count(*) AS n FROM {table}", "--json").stdout)
    return int(row["n"])


def everything(project: Path) -> dict[str, int]:
    """Every file of the lake with its last change, but for what an open session notes of itself."""
    return {str(path): path.stat().st_mtime_ns for path in (project / "data" / "lake").rglob("*")}


# ---------------------------------------------------------------------- compact


def test_compact_says_files_rows_and_bytes_before_and_after(run: Run, landed: None) -> None:
    result = run("compact", "stock_minute", "--json")

    assert result.exit_code == 0
    rows = told(result)["rows"]
    assert [(row["chunk"], row["outcome"], row["rows"], row["files"], row["new_files"]) for row in rows] == [
        ("2024-Q1", "compacted", 78, 3, 2),
        ("2024-Q2", "compacted", 28, 1, 2),
    ]
    assert all(row["bytes"] > 0 and row["new_bytes"] > 0 for row in rows)
    assert count(run, "stock_minute") == 106
    again = run("compact", "stock_minute")
    assert (again.exit_code, "nothing to do" in again.stdout) == (0, True)


def test_compact_takes_a_chunk_by_name(run: Run, landed: None) -> None:
    result = run("compact", "stock_minute", "--chunk", "2024-04")
    assert result.exit_code == 0
    assert "1 chunks compacted (28 rows, 1 files" in result.stdout and "2024-04" in result.stdout


def test_compact_takes_ranges_anew(run: Run, landed: None) -> None:
    run("compact", "stock_minute")
    lake = Workbench(Settings.load()).lake["stock_minute"]
    lake.set_bounds(("BZ",), anew=True)

    result = run("compact", "--ranges", "stock_minute", "--json")

    assert {row["chunk"] for row in told(result)["rows"]} == {"2024-Q1", "2024-Q2"}
    assert count(run, "stock_minute") == 106


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--chunk", "2024-Q1"], "of one table"),
        (["stock_day", "stock_minute", "--chunk", "2024-Q1"], "of one table"),
        (["stock_minute", "--chunk", "2024-Q9"], "is no chunk of stock_minute"),
        (["--ranges"], "name the tables"),
        (["stock_minute", "--ranges", "--all"], "leave --chunk and --all out"),
        (["stock_day", "--ranges"], "not cut by ticker"),
        (["stock_minut"], "did you mean stock_minute"),
    ],
)
def test_compact_refuses_what_it_cannot_do(run: Run, landed: None, project: Path, words: list[str], why: str) -> None:
    before = everything(project)
    result = run("compact", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr and "Traceback" not in result.stderr
    assert everything(project) == before


@pytest.mark.parametrize("command", ["compact", "retain", "maintain"])
def test_a_root_without_a_lake_is_wrong_usage(run: Run, command: str) -> None:
    result = run(command)
    assert result.exit_code == 2 and "holds no lake" in result.stderr


# ---------------------------------------------------------------------- retain


def test_retain_shows_what_would_leave_and_changes_nothing(run: Run, landed: None, project: Path) -> None:
    (project / "workbench.toml").write_text(DROP.replace("drop", "archive"))
    before = everything(project)

    result = run("retain", "--json")

    rows = told(result)["rows"]
    assert [(row["table"], row["chunk"], row["action"], row["sessions"], row["rows"], row["files"]) for row in rows] == [
        ("stock_minute", "2024-03", "archive", 3, 78, 3),
        ("stock_minute", "2024-04", "archive", 1, 28, 1),
    ]
    assert result.exit_code == 0 and told(result)["dry_run"]
    assert everything(project) == before
    assert "2 chunks, 106 rows" in run("retain").stdout and "would leave; nothing did" in run("retain").stdout


def test_retain_acts_when_told_to(run: Run, landed: None, project: Path) -> None:
    (project / "workbench.toml").write_text(DROP.replace("drop", "archive"))

    result = run("retain", "--yes")

    assert result.exit_code == 0 and "2 chunks archived (106 rows" in result.stdout
    assert (count(run, "stock_minute"), count(run, "ohlcv_archive")) == (0, 106)
    assert run("retain").stdout.count("0 chunks") == 1


def test_retain_refuses_what_nothing_sums_up_and_ends_with_three(run: Run, landed: None, project: Path) -> None:
    (project / "workbench.toml").write_text(DROP)

    for words in (["retain"], ["retain", "--yes"]):
        result = run(*words, "--json")
        assert result.exit_code == 3
        assert "workbench refresh stock_day --start 2024-04-09 --end 2024-04-09" in result.stdout

    assert count(run, "stock_minute") == 28
    assert count(run, "ohlcv_archive") == 0


def test_retain_without_a_policy_keeps_everything_and_says_so(run: Run, landed: None) -> None:
    for words in (["retain"], ["retain", "--yes"]):
        assert run(*words).exit_code == 0
    assert "no [retention]: everything is kept" in run("retain").stdout
    assert count(run, "stock_minute") == 106


@pytest.mark.parametrize("command", ["retain", "maintain", "status"])
def test_a_policy_with_a_typo_stops_every_command_before_it_does_anything(run: Run, landed: None, project: Path, command: str) -> None:
    before = everything(project)
    (project / "workbench.toml").write_text(DROP.replace("minute", "minuet"))

    result = run(command)

    assert result.exit_code == 2 and "did you mean stock_minute" in result.stderr
    assert everything(project) == before


# ---------------------------------------------------------------------- maintain


def test_maintain_names_the_policies_it_follows(run: Run, landed: None, project: Path) -> None:
    (project / "workbench.toml").write_text(DROP.replace("drop", "archive"))

    result = run("maintain")

    assert result.exit_code == 0
    assert "[retention] in workbench.toml: stock_minute: keep 1 year, then archive." in result.stdout
    assert "2 chunks archived" in result.stdout and "1 chunks compacted" in result.stdout


def test_maintain_is_bounded_in_time(run: Run, landed: None) -> None:
    result = run("maintain", "--seconds", "0", "--json")
    assert (result.exit_code, told(result)["rows"]) == (0, []) and told(result)["left"] > 0


@pytest.mark.parametrize("seconds", ["-1", "soon"])
def test_maintain_refuses_a_time_that_is_none(run: Run, landed: None, seconds: str) -> None:
    assert run("maintain", "--seconds", seconds).exit_code == 2


@pytest.mark.usefixtures("upkeep")
def test_a_refresh_says_in_a_line_what_was_maintained(run: Run, files: Path) -> None:
    result = run("refresh", "stock_minute", "--source", f"folder:{files}")
    assert result.exit_code == 0
    [line] = [line for line in result.stdout.splitlines() if line.startswith("maintenance: ")]
    assert line == "maintenance: 2 chunks of stock_minute compacted (106 rows)"


@pytest.mark.usefixtures("upkeep")
def test_a_setting_leaves_the_upkeep_out(run: Run, files: Path, project: Path) -> None:
    (project / "workbench.toml").write_text("[maintain]\nafter_refresh = false\n")
    assert "maintenance" not in run("refresh", "stock_minute", "--source", f"folder:{files}").stdout
