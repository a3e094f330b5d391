"""A drill: what restores is told to be the same, and whatever differs is named, against the lake as it was or against the manifest."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backed import SIGNALS, backed, landed, object_of, opened, signals
from click.testing import CliRunner

from workbench.bench import Workbench
from workbench.cli import main
from workbench.errors import BrokenBackup, LakeError
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.manifest import Manifest
from workbench.lake.backup.notes import last
from workbench.lake.leftovers import abandoned
from workbench.lake.restoring import building
from workbench.lake.restoring.restore import restore
from workbench.lake.vacuum import vacuum
from workbench.query import drilling
from workbench.query.drilling import counted, session
from workbench.query.report import Report


def made(home: Path) -> None:
    landed(home)
    backed(home / "lake", home / "backups")


@pytest.fixture
def home(tmp_path: Path, made_once: Callable[..., None]) -> Path:
    made_once(made, tmp_path)
    return tmp_path


@pytest.fixture
def bench(home: Path) -> Workbench:
    return opened(home / "lake")


def drilled(bench: Workbench, home: Path, **more: Any) -> Report:
    return bench.drill(home / "backups", **more)


def verdicts(report: Report) -> dict[str, tuple[str, str]]:
    return {row["table"]: (row["against"], row["verdict"]) for row in report}


def left(home: Path) -> list[str]:
    return [path.name for path in (home / "lake" / "tmp").glob("drill-*")]


# ---------------------------------------------------------------------- the same


def test_every_table_is_the_same_as_in_the_lake(bench: Workbench, home: Path) -> None:
    told = drilled(bench, home)
    assert told.facts["good"]
    assert set(verdicts(told).values()) == {("the lake", "same")}
    # Those that people wrote are counted with what the journal lays over them.
    assert {row["table"]: row["rows"] for row in told}.items() >= {"stock_day": 203, "stock_minute": 10, SIGNALS: 35}.items()
    assert told.facts["seconds"] > 0 and told.facts["bytes_per_s"] > 0
    assert left(home) == []
    note = last(home / "lake", "drill", good=True)
    assert note is not None and (note.snapshot, note.good) == (told.facts["snapshot"], True)


def test_the_lake_may_have_gone_on(bench: Workbench, home: Path) -> None:
    bench.reset("stock_day")
    bench.append(SIGNALS, signals(36, 1))
    told = drilled(bench, home)
    assert told.facts["good"]
    assert verdicts(told)["stock_day"] == ("the lake", "same")
    assert verdicts(told)[SIGNALS] == ("the manifest: rows were written or folded since", "same")


def test_what_vacuum_took_since_is_held_against_the_manifest(bench: Workbench, home: Path) -> None:
    bench.reset("stock_day")
    vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    told = drilled(bench, home)
    assert told.facts["good"]
    against, verdict = verdicts(told)["stock_day"]
    assert against.startswith("the manifest: stock_day cannot be opened as of") and verdict == "same"
    assert verdicts(told)["stock_minute"] == ("the lake", "same")


def test_a_lake_that_was_lost_is_drilled_against_the_manifest(bench: Workbench, home: Path) -> None:
    shutil.rmtree(home / "lake")
    told = drilled(bench, home)
    assert told.facts["good"]
    assert set(verdicts(told).values()) == {("the manifest: the lake is another by now", "same")}
    # It makes no lake where there is none.
    assert not (home / "lake").exists()


def test_the_folder_stays_if_it_is_asked_for(bench: Workbench, home: Path) -> None:
    told = drilled(bench, home, keep=True)
    with opened(Path(told.facts["root"])) as restored:
        assert len(restored.sql("FROM stock_day").fetchall()) == 203
    assert told.facts["root"] in told.facts["notes"][0]


# ---------------------------------------------------------------------- not the same


def test_a_row_that_differs_is_found_though_the_backup_agrees_with_itself(
    bench: Workbench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drilling.counted

    def altered(catalog: Any, name: str) -> drilling.Rows:
        rows = real(catalog, name)
        return rows._replace(xor=rows.xor ^ 1) if name == "stock_day" and catalog.lake.root != home / "lake" else rows

    monkeypatch.setattr(drilling, "counted", altered)
    told = drilled(bench, home)
    assert not told.facts["good"]
    assert told.facts["differing"] == ["stock_day"]
    assert verdicts(told)["stock_day"] == ("the lake", "as many rows as in the lake at that version, and others")
    note = last(home / "lake", "drill")
    assert note is not None and not note.good and "1 of " in note.said


def test_files_other_than_the_manifests_are_found(bench: Workbench, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backups = Backups.open(str(home / "backups"))
    manifest = backups.manifest()
    odd = {name: replace(one, content="0" * 64) if name == "stock_day" else one for name, one in manifest.tables.items()}
    backups.keep(replace(manifest, id="20990101T000000Z0000", tables=odd))
    told = drilled(bench, home)
    assert told.facts["differing"] == ["stock_day"]
    assert "not those of the manifest" in verdicts(told)["stock_day"][1]


def test_what_verify_finds_in_it_is_told(bench: Workbench, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = building.expect_same

    def spoil(folder: Path, manifest: Manifest) -> None:
        real(folder, manifest)
        file = next((folder / "lake" / "main" / "stock_minute").rglob("*.parquet"))
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)

    monkeypatch.setattr(drilling, "expect_same", spoil)
    monkeypatch.setattr(drilling, "compared", lambda *_: None)
    told = drilled(bench, home)
    assert not told.facts["good"]
    assert any("stock_minute" in fault for fault in told.facts["faults"])


def test_an_altered_object_is_named_and_the_drill_is_noted_as_failed(bench: Workbench, home: Path) -> None:
    manifest = Backups.open(str(home / "backups")).manifest()
    kept = next(one for one in manifest.files if one.path.endswith(".parquet"))
    object_of(home / "backups", kept).unlink()
    with pytest.raises(BrokenBackup, match="is missing from the backup"):
        drilled(bench, home)
    assert left(home) == []
    note = last(home / "lake", "drill")
    assert note is not None and not note.good and kept.path in note.said
    assert last(home / "lake", "drill", good=True) is None


def test_room_is_looked_for_first(bench: Workbench, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr("workbench.lake.restoring.target.shutil.disk_usage", lambda _: Usage())
    with pytest.raises(LakeError, match="has 10 bytes left"):
        drilled(bench, home)


def test_what_a_killed_drill_left_is_cleaned(home: Path) -> None:
    import platform

    folder = home / "lake" / "tmp" / f"drill-{platform.node()}-4194304-0a1b2c3d"
    (folder / "lake").mkdir(parents=True)
    assert ("a drill", folder) in list(abandoned(home / "lake", home / "lake" / "tmp", home / "spill"))


# ---------------------------------------------------------------------- the hash


@pytest.mark.parametrize(
    "change",
    ["close = nextafter(close, 'inf'::DOUBLE)", "volume = NULL", "ticker = ticker || ' '", "is_test = NOT is_test"],
)
def test_any_value_that_changes_changes_the_hash_and_the_order_does_not(bench: Workbench, home: Path, change: str) -> None:
    with session(bench.lake, bench.settings) as catalog:
        before = counted(catalog, "stock_day")
        con = catalog.cursor()
        con.execute("CREATE TABLE shuffled AS SELECT * FROM stock_day ORDER BY hash(ticker)")
        assert counted(catalog, "shuffled") == before
        con.execute(f"UPDATE shuffled SET {change} WHERE ticker = 'T007'")
        assert counted(catalog, "shuffled") != before
        con.execute("DELETE FROM shuffled WHERE ticker = 'T008'")
        assert counted(catalog, "shuffled").number == before.number - 1


def test_two_equal_rows_do_not_cancel_out(bench: Workbench) -> None:
    with session(bench.lake, bench.settings) as catalog:
        con = catalog.cursor()
        con.execute("CREATE TABLE twice AS SELECT 1 AS a FROM range(2)")
        con.execute("CREATE TABLE other AS SELECT 2 AS a FROM range(2)")
        assert counted(catalog, "twice") != counted(catalog, "other")


# ---------------------------------------------------------------------- at the prompt


def test_the_command_tells_and_ends_with_its_status(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["backup", "drill", str(home / "backups"), "--data", str(home / "lake"), "--json"]
    told = CliRunner().invoke(main, words, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["good"]
    monkeypatch.setattr(drilling.Drilled, "good", False)
    assert CliRunner().invoke(main, words, catch_exceptions=False).exit_code == 3


def test_a_drill_leaves_the_lake_as_it_was(bench: Workbench, home: Path) -> None:
    def content() -> dict[str, bytes]:
        held = {path.relative_to(home).as_posix(): path for path in (home / "lake").rglob("*") if path.is_file()}
        passing = ("lake/locks/", "lake/tmp/", "lake/journal/backups.json", "lake/journal/records.db-", "lake/journal/journal.db-")
        return {name: path.read_bytes() for name, path in held.items() if not name.startswith(passing)}

    with closing(bench):
        before = content()
        drilled(bench, home)
    assert content() == before


def test_a_lake_that_went_back_and_on_otherwise_is_not_taken_for_the_one_of_then(bench: Workbench, home: Path) -> None:
    first = Backups.open(str(home / "backups")).manifest().id
    with bench:
        bench.reset("stock_day")
        bench.reset("stock_minute")
    backed(home / "lake", home / "backups")
    restore(str(home / "backups"), home / "lake", first, replace=True)
    with opened(home / "lake") as again:
        again.reset("stock_day")
        told = drilled(again, home)
    assert told.facts["good"]
    assert verdicts(told)["stock_day"] == ("the manifest: the lake has another version under its number", "same")
    assert verdicts(told)["stock_minute"] == ("the manifest: the lake has not that version", "same")
