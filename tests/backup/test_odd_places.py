"""Backups and restores where names, notes and arguments are not what they should be."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backed import SIGNALS, backed, landed, opened, seen
from click.testing import CliRunner

import workbench
from workbench.arguments import as_age
from workbench.cli import main
from workbench.errors import BadRange, BrokenBackup, LakeError, UnknownName, UsageError
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.destination import destination
from workbench.lake.backup.manifest import written
from workbench.lake.identity import NAME, identity
from workbench.lake.restoring import restore as restoring
from workbench.lake.restoring.restore import restore


@pytest.fixture
def home(tmp_path: Path, made_once: Callable[..., None]) -> Path:
    made_once(landed, tmp_path)
    return tmp_path


@pytest.fixture
def place(home: Path) -> Path:
    backed(home / "lake", home / "backups")
    return home / "backups"


def again(home: Path) -> dict[str, Any]:
    with closing(opened(home / "lake")) as bench:
        return bench.backup(home / "backups").facts


# ---------------------------------------------------------------------- odd files


def test_a_file_whose_name_is_no_text_is_kept_and_comes_back(home: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (home / "lake" / "runs").mkdir()
    try:
        (home / "lake" / "runs" / name).write_text("x")
    except OSError:
        pytest.skip("this disk takes no such name")
    backed(home / "lake", home / "backups")
    restore(str(home / "backups"), home / "new")
    assert (home / "new" / "runs" / name).read_text() == "x"
    with closing(opened(home / "lake")) as bench:
        assert not bench.verify_backup(home / "backups").facts["faults"]


def test_what_else_stands_beside_the_snapshots_is_no_snapshot(home: Path, place: Path) -> None:
    [one] = (place / "snapshots").iterdir()
    for name in ("zzz.json", "old.json", f"{one.stem}-copy.json", "notes.txt"):
        shutil.copy(one, place / "snapshots" / name)
    (place / "snapshots" / "zzz.json").write_text("")
    again(home)
    with closing(opened(home / "lake")) as bench:
        assert len(bench.backups(place).rows) == 2
        assert not bench.verify_backup(place).facts["faults"]
        bench.prune_backups(place, "0d", dry_run=False)


def test_a_folder_of_the_lake_on_another_disk_is_kept_and_other_links_are_told(home: Path) -> None:
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "bad.csv").write_text("refused")
    (home / "lake" / "quarantine").rmdir()
    (home / "lake" / "quarantine").symlink_to(home / "elsewhere")
    (home / "lake" / "mine").symlink_to(home / "vendor")
    notes = again(home)["notes"]
    assert [str(home / "lake" / "mine") in note for note in notes] == [True]
    restore(str(home / "backups"), home / "new")
    assert (home / "new" / "quarantine" / "bad.csv").read_text() == "refused"
    assert not (home / "new" / "mine").exists()


# ---------------------------------------------------------------------- the place's own notes


def test_a_plain_backup_that_has_lost_its_note_restores_and_goes_on(home: Path, place: Path) -> None:
    (place / "backup.json").unlink()
    restore(str(place), home / "new")
    assert seen(home / "new") == seen(home / "lake")
    assert not (place / "backup.json").exists()
    again(home)
    assert Backups.open(str(place)).place.lake == identity(home / "lake").id
    with closing(opened(home / "lake")) as bench:
        assert bench.drill(place).facts["good"]


def test_anothers_backup_that_has_lost_its_note_is_not_written_to(home: Path, place: Path) -> None:
    (place / "backup.json").unlink()
    (home / "lake" / NAME).write_text(json.dumps({"id": "f" * 32, "format": 2}))
    with pytest.raises(UsageError, match="another lake"):
        again(home)


def test_a_place_without_a_snapshot_is_not_called_whole(home: Path, place: Path) -> None:
    shutil.rmtree(place / "snapshots")
    ended = CliRunner().invoke(main, ["backup", "verify", str(place), "--data", str(home / "lake")])
    assert ended.exit_code == 2
    assert "holds no complete snapshot" in ended.stderr


def test_a_beginning_that_several_snapshots_have_is_told_as_that(home: Path, place: Path) -> None:
    again(home)
    with pytest.raises(UsageError, match=r"2 snapshots in .* begin with '20'"):
        Backups.open(str(place)).outline("20")
    with pytest.raises(UnknownName):
        Backups.open(str(place)).outline("")


# ---------------------------------------------------------------------- manifests that were made up


def altered(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a manifest, with a checksum that fits."""
    [path] = (place / "snapshots").iterdir()
    told = json.loads(path.read_text())
    del told["checksum"], told["backup"]
    change(told)
    path.write_text(written(told))


@pytest.mark.parametrize("path", ["restoring.json", "locks/restore.lock", "tmp/x", "lake.json/x"])
def test_a_manifest_that_names_what_no_lake_keeps_is_refused(home: Path, place: Path, path: str) -> None:
    altered(place, lambda told: told["files"].append([path, *told["files"][0][1:]]))
    with pytest.raises(BrokenBackup, match="as a file of a lake"):
        restore(str(place), home / "new")
    assert sorted(one.name for one in home.iterdir()) == ["backups", "lake", "vendor"]


@pytest.mark.parametrize("odd", [{"at": "y"}, {"finished": "2026-01-01"}, {"finished": 7}, {"format": "x"}])
def test_a_manifest_that_says_what_is_no_instant_or_number_is_told(home: Path, place: Path, odd: dict[str, Any]) -> None:
    altered(place, lambda told: told.update(odd))
    with closing(opened(home / "lake")) as bench:
        assert "altered" in bench.backups(place).rows[0]["state"]
        assert bench.verify_backup(place).facts["faults"] == 1
        with pytest.raises(BrokenBackup, match="altered"):
            bench.drill(place)


def test_a_manifest_without_end_is_told(home: Path, place: Path) -> None:
    [path] = (place / "snapshots").iterdir()
    path.write_text("[" * 100_000)
    with pytest.raises(BrokenBackup, match="altered"):
        restore(str(place), home / "new")


@pytest.mark.parametrize("text", ['{"format": 1e400, "id": "x"}', "[" * 100_000])
def test_a_lakes_name_that_is_none_is_told(home: Path, text: str) -> None:
    (home / "lake" / NAME).write_text(text)
    with pytest.raises(LakeError, match="cannot be read"):
        identity(home / "lake")


# ---------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "where", ["s3:/bucket/prefix", "S3://bucket/prefix", "s3:bucket", "gs:/bucket", "s3://", "s3:///x", "s3://no good/x"]
)
def test_a_bucket_that_is_mistyped_is_no_folder(where: str) -> None:
    with pytest.raises(UsageError, match="nothing was done"):
        destination(where)


def test_a_full_disk_on_the_way_to_a_bucket_is_not_laid_to_the_file() -> None:
    def fill(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LakeError, match="TMPDIR"):
        destination("s3://bucket/prefix").put("objects/aa/aa", fill)


@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_root_is_not_this_folder(home: Path, place: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    ended = CliRunner().invoke(main, ["restore", str(place), given, "--replace", "--yes"])
    assert ended.exit_code == 2
    assert "ROOT is empty" in ended.stderr
    with pytest.raises(UsageError, match="no folder"):
        workbench.restore(str(place), given, replace=True)
    assert sorted(one.name for one in home.iterdir()) == ["backups", "lake", "vendor"]


@pytest.mark.parametrize("name", ["x" * 250, "vendor.txt/new"])
def test_a_root_that_cannot_be_made_is_told(home: Path, place: Path, name: str) -> None:
    (home / "vendor.txt").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        restore(str(place), home / name)


def test_a_disk_without_room_is_left_as_it_was(home: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise LakeError("no room")

    monkeypatch.setattr(restoring, "expect_room", full)
    with pytest.raises(LakeError, match="no room"):
        restore(str(place), home / "new")
    assert sorted(one.name for one in home.iterdir()) == ["backups", "lake", "vendor"]


@pytest.mark.parametrize("age", ["999999999d", "99999999999999d", "400000d"])
def test_an_age_before_all_dates_is_wrong_usage(age: str) -> None:
    with pytest.raises(UsageError, match="longer than"):
        as_age(age)


def test_versions_and_limits_that_are_no_numbers_are_wrong_usage(home: Path) -> None:
    with closing(opened(home / "lake")) as bench:
        odd: Any
        for odd in ("1", 1.5, True):
            with pytest.raises(UsageError, match="not the number of a version"):
                bench.rewind("stock_day", version=odd)
        with pytest.raises(BadRange, match="neither"):
            bench.diff("stock_day", True)
        odd = "x"
        with pytest.raises(UsageError, match="at least one"):
            bench.history("stock_day", odd)


def test_going_back_says_that_rows_which_were_folded_later_leave(home: Path) -> None:
    with closing(opened(home / "lake")) as bench:
        [_, note] = bench.rewind(SIGNALS, version=0, dry_run=True).facts["notes"]
        assert note.endswith(f"(5 of {SIGNALS} are not folded yet).")
        assert len(bench.rewind("stock_day", version=0, dry_run=True).facts["notes"]) == 1


def test_a_commit_that_is_missing_in_the_middle_ends_no_history(home: Path) -> None:
    with closing(opened(home / "lake")) as bench:
        bench.reset("stock_day")
        path = bench.lake["stock_day"].commit_path(1)
        path.unlink()
    with closing(opened(home / "lake")) as bench:
        with pytest.raises(LakeError, match=f"{path.name}.*missing, and later commits"):
            bench.history("stock_day")
        with pytest.raises(LakeError, match=f"{path.name}.*missing, and later commits"):
            bench.diff("stock_day", 0)


@pytest.mark.parametrize("said", ["2999-01-01T00:00:00+00:00", "2026-01-01", "zzz", "2026-01-01T00:00:00+00:00"])
def test_a_lock_of_another_machine_whose_instant_cannot_be_does_not_hold_for_ever(home: Path, place: Path, said: str) -> None:
    told = {"host": "other", "pid": 1, "user": "u", "began": "", "what": "workbench backup", "token": "x", "since": said, "said": said}
    (place / "lock.json").write_text(json.dumps(told))
    assert again(home)["snapshot"]
    assert not (place / "lock.json").exists()


def test_tables_of_one_row_differ_by_their_hash(home: Path, place: Path) -> None:
    with closing(opened(home / "lake")) as bench:
        hashes = [row["hash"] for row in bench.drill(place)]
    assert "0" * 16 not in hashes
    assert len(set(hashes)) == len(hashes)
