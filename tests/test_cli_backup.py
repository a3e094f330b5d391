"""`workbench backup` at the prompt: what it takes, prints, and ends with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flatfiles import STOCK_DAY, THU, bar, put, text

from workbench.cli import backing, main
from workbench.config import Settings
from workbench.lake.backup import Backups

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without settings, as the working directory, with a lake in data/."""
    for declared in Settings.declared().values():
        for variable in declared.metadata["variables"]:
            monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "workbench.toml").touch()
    monkeypatch.chdir(folder)
    put(tmp_path / "vendor", STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    return folder


@pytest.fixture
def run() -> Run:
    def invoke(*words: str | Path) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="workbench")

    return invoke


@pytest.fixture
def lake(run: Run, tmp_path: Path) -> None:
    assert run("refresh", "stock_day", "--source", f"folder:{tmp_path / 'vendor'}").exit_code == 0


@pytest.mark.usefixtures("lake")
def test_backup_list_verify_prune_drill(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "place"
    first = run("backup", place)
    assert first.exit_code == 0 and "snapshot" in first.stdout and "stock_day" in first.stdout
    second = json.loads(run("backup", "--json", "--keep", "30d", place).stdout)
    assert second["copied_files"] == 1 and second["pruned"] == []
    ids = Backups.open(str(place)).ids()
    assert [row["snapshot"] for row in json.loads(run("backup", "list", place, "--json").stdout)["rows"]] == ids
    assert run("backup", "verify", place).exit_code == 0
    drilled = run("backup", "drill", place)
    assert drilled.exit_code == 0, drilled.output
    told = run("backup", "prune", place, "--keep", "0d")
    assert "would be removed; nothing was" in told.stdout and Backups.open(str(place)).ids() == ids
    assert run("backup", "prune", place, "--keep", "0d", "--yes").exit_code == 0
    assert Backups.open(str(place)).ids() == ids[1:]
    backups = Backups.open(str(place))
    [kept] = [one for one in backups.manifest().files if one.path.endswith("stock_day/_delta_log/00000000000000000001.json")]
    (place / backups.name(kept.sha256)).unlink()
    found = run("backup", "verify", place, "--quick")
    assert found.exit_code == 3 and kept.path in found.stdout and ids[1] in found.stdout
    broken = run("backup", "drill", place)
    assert broken.exit_code in (1, 3) and kept.path in broken.output


@pytest.mark.usefixtures("lake")
def test_the_place_may_be_set_and_may_have_the_name_of_a_command(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = run("backup")
    assert none.exit_code == 2 and "WORKBENCH_BACKUP" in none.stderr
    monkeypatch.setenv("WORKBENCH_BACKUP", "../place")
    assert run("backup").exit_code == 0
    assert run("backup", "list").exit_code == 0
    assert run("backup", "verify", "--quick").exit_code == 0
    assert (project.parent / "place" / "backup.json").exists()
    inside = run("backup", "./list")
    assert (inside.exit_code == 2 and "holds the lake" not in inside.stderr) or inside.exit_code == 0
    assert run("backup", "--data", "data", "list").exit_code == 0


def test_wrong_usage_is_a_sentence(run: Run, tmp_path: Path) -> None:
    nothing = run("backup", tmp_path / "place")
    assert nothing.exit_code == 2 and "no lake" in nothing.stderr.lower()
    assert not (tmp_path / "place").exists()
    nowhere = run("backup", "list", tmp_path / "place")
    assert nowhere.exit_code == 2 and "holds no backup" in nowhere.stderr
    assert run("backup", "--help").exit_code == 0
    assert "--encrypt-to" in run("backup", "make", "--help").stdout
    assert run("backup", tmp_path / "place", "--keep", "soon").exit_code == 2


def test_encrypted_at_the_prompt(run: Run, tmp_path: Path, lake: None) -> None:
    import importlib

    secret = importlib.import_module("pyrage").x25519.Identity.generate()
    (tmp_path / "id.txt").write_text(f"{secret}\n")
    place = tmp_path / "place"
    assert run("backup", place, "--encrypt-to", secret.to_public()).exit_code == 0
    assert "encrypted" in run("backup", "list", place).stdout
    assert run("backup", "verify", place).exit_code == 2
    assert run("backup", "verify", place, "--identity", tmp_path / "id.txt").exit_code == 0
    assert run("backup", "drill", place, "--identity", tmp_path / "id.txt").exit_code == 0


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backing, "TOLD_S", 0.0)
    with backing.Line("files", quiet=False) as line:
        assert line.say
        line.say(3, 10, 2_000_000)
    assert capsys.readouterr().err == "3 of 10 files, 2.0 MB\n"
    assert backing.Line("files", quiet=True).say is None
