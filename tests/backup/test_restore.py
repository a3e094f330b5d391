"""Restore: to a new root, in the place of a lake, from a damaged backup, onto what must not be written over; killed anywhere."""

import json
import os
import platform
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from backed import SIGNALS, backed, landed, object_of, opened, seen, signals
from click.testing import CliRunner, Result

import workbench
from workbench.cli import main
from workbench.errors import BrokenBackup, Busy, LakeError, NewerLake, UnknownName, UsageError
from workbench.lake import locks
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.manifest import Kept, Manifest
from workbench.lake.backup.notes import last
from workbench.lake.restoring import building, swapping
from workbench.lake.restoring.restore import plan, restore
from workbench.lake.restoring.source import located
from workbench.lake.restoring.swapping import NAME, Swap, taken_up
from workbench.lake.restoring.target import look
from workbench.lake.verify import verify


def made(home: Path) -> None:
    landed(home)
    backed(home / "lake", home / "backups")


@pytest.fixture
def home(tmp_path: Path, made_once: Callable[..., None]) -> Path:
    """A folder with a lake and a backup of it; `new` is a root that is not there."""
    made_once(made, tmp_path)
    return tmp_path


@pytest.fixture
def where(home: Path) -> str:
    return str(home / "backups")


def newest(where: str) -> Manifest:
    return Backups.open(where).manifest()


def beside(root: Path) -> list[str]:
    """What stands beside a root because of a restore into it."""
    return sorted(path.name for path in root.parent.glob(f"{root.name}.*"))


# ---------------------------------------------------------------------- to a new root


def test_a_restored_lake_shows_the_same_rows_and_is_whole(home: Path, where: str) -> None:
    done = restore(where, home / "new")

    assert seen(home / "new") == seen(home / "lake")
    assert verify(opened(home / "new").lake).faults == []
    assert (done.fetched, done.found, done.before, beside(home / "new")) == (done.files, 0, None, [])
    assert {name: done.tables[name].rows for name in ("stock_day", "stock_minute", SIGNALS)} == {
        "stock_day": 203,
        "stock_minute": 10,
        SIGNALS: 30,
    }
    note = last(home / "new", "restore")
    assert note is not None and (note.snapshot, note.where, note.size) == (done.snapshot, where, done.size)


def test_a_restored_lake_goes_on_as_the_one_that_was_backed_up(home: Path, where: str) -> None:
    restore(where, home / "new")
    with opened(home / "new") as bench:
        assert bench.refresh(source=f"folder:{home / 'vendor'}").run().rows == []
        bench.append(SIGNALS, signals(36, 1))
        bench.fold()
        assert bench.sql(f"SELECT count(*), count(DISTINCT id) FROM {SIGNALS}").fetchall() == [(36, 36)]
    assert verify(opened(home / "new").lake).faults == []


def test_it_goes_into_an_empty_folder(home: Path, where: str) -> None:
    (home / "new").mkdir()
    restore(where, home / "new")
    assert seen(home / "new") == seen(home / "lake")


def test_a_root_that_is_a_disk_of_its_own_is_filled_from_within(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "new").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == home / "new")
    restore(where, home / "new")
    assert seen(home / "new") == seen(home / "lake")
    assert not [path.name for path in (home / "new").iterdir() if path.name.startswith((".restoring", ".before", "restoring"))]
    assert beside(home / "new") == []


def test_modes_come_with_the_files_and_nobody_else_gets_in(home: Path, where: str) -> None:
    restore(where, home / "new")
    assert {one.path: one.mode for one in newest(where).files} == {
        one.path: (home / "new" / one.path).stat().st_mode & 0o777 for one in newest(where).files
    }
    assert (home / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("form", ["{where}#{id}", "{where}/snapshots/{id}.json", "{where}"])
def test_a_source_may_name_its_snapshot(home: Path, where: str, form: str) -> None:
    first = newest(where)
    with opened(home / "lake") as bench:
        bench.append(SIGNALS, signals(36, 1))
    second = backed(home / "lake", home / "backups")
    assert second.id != first.id
    source = form.format(where=where, id=first.id)
    done = restore(source, home / "new", None if "#" in form or "snapshots" in form else first.id)
    assert done.snapshot == first.id
    assert len(seen(home / "new")[SIGNALS]) == 35


def test_a_source_and_an_option_that_name_two_snapshots_are_refused() -> None:
    assert located("s3://bucket/some/where#20261122T104500Z0a1b") == ("s3://bucket/some/where", "20261122T104500Z0a1b")
    with pytest.raises(UsageError, match=r"nothing was restored\. Give one of them"):
        located("/backups#20261122T104500Z0a1b", "20261122T104500Zffff")


def test_python_restores_by_one_call(home: Path, where: str) -> None:
    report = workbench.restore(where, home / "new")
    assert report.facts["root"] == str(home / "new")
    assert {row["table"] for row in report} >= {"stock_day", "stock_minute", SIGNALS}


# ---------------------------------------------------------------------- a bad backup, a bad place


def damaged(where: str, how: Callable[[Path], object], name: str = ".parquet") -> Kept:
    kept = next(one for one in newest(where).files if one.path.endswith(name) and one.size)
    how(object_of(Path(where), kept))
    return kept


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", [".parquet", "00000.json", "records.db"])
@pytest.mark.parametrize("how", [Path.unlink, flipped, cut])
def test_a_missing_or_altered_object_is_named_and_nothing_appears(home: Path, where: str, how: Callable[[Path], object], name: str) -> None:
    kept = damaged(where, how, name)
    with pytest.raises(BrokenBackup) as told:
        restore(where, home / "new")
    assert kept.path in str(told.value)
    assert newest(where).id in str(told.value)
    assert "is as it was" in str(told.value)
    assert not (home / "new").exists()


def test_an_object_that_was_brought_back_lets_the_restore_go_on_with_what_is_whole(home: Path, where: str) -> None:
    kept = newest(where).files[-1]
    shutil.move(object_of(Path(where), kept), home / "away")
    with pytest.raises(BrokenBackup):
        restore(where, home / "new")
    shutil.move(home / "away", object_of(Path(where), kept))
    done = restore(where, home / "new")
    assert done.found > 0
    assert done.fetched + done.found == done.files
    assert (seen(home / "new"), beside(home / "new")) == (seen(home / "lake"), [])


def test_a_file_that_was_altered_where_a_killed_restore_left_it_is_fetched_again(home: Path, where: str) -> None:
    manifest = newest(where)
    build = home / f"new.restoring-{manifest.id}"
    for one in manifest.files:
        (build / one.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(object_of(Path(where), one), build / one.path)
    altered = next(one for one in manifest.files if one.path.endswith(".parquet"))
    flipped(build / altered.path)
    (build / "lake" / "stray.parquet").write_text("of nobody")
    done = restore(where, home / "new")
    assert (done.fetched, done.found) == (1, done.files - 1)
    assert seen(home / "new") == seen(home / "lake")
    assert not (home / "new" / "lake" / "stray.parquet").exists()


def test_a_log_that_does_not_stand_at_the_manifests_version_is_refused(home: Path, where: str) -> None:
    backups, manifest = Backups.open(where), newest(where)
    without = tuple(one for one in manifest.files if not one.path.endswith("stock_day/_delta_log/00000000000000000001.json"))
    assert len(without) == len(manifest.files) - 1
    backups.keep(replace(manifest, id="20990101T000000Z0000", files=without))
    with pytest.raises((BrokenBackup, LakeError), match="stock_day"):
        restore(where, home / "new")
    assert not (home / "new").exists()


def test_a_manifest_that_leads_out_of_the_root_is_refused(home: Path, where: str) -> None:
    backups, manifest = Backups.open(where), newest(where)
    for number, path in enumerate(("../out", "/tmp/out", "lake/../../out", "", "lake//x", "./lake", manifest.files[0].path)):
        odd = replace(manifest, id=f"20990101T000000Z{number:04}", files=(*manifest.files, replace(manifest.files[0], path=path)))
        backups.keep(odd)
        with pytest.raises(BrokenBackup, match="would not stand below"):
            restore(where, home / "new", odd.id)
    assert not (home / "out").exists()
    assert beside(home / "new") == []


def test_a_lake_of_a_later_format_is_refused(home: Path, where: str) -> None:
    Backups.open(where).keep(replace(newest(where), id="20990101T000000Z0000", format=99, library="9.9"))
    with pytest.raises(NewerLake, match=r"format 99, made by workbench 9\.9"):
        restore(where, home / "new")
    assert not (home / "new").exists()


def test_a_snapshot_that_is_not_there_is_told_with_those_that_are(home: Path, where: str) -> None:
    with pytest.raises(UnknownName, match=newest(where).id):
        restore(where, home / "new", "20200101T000000Z0000")


def test_a_folder_without_a_backup_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="holds no backup"):
        restore(str(home / "vendor"), home / "new")


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (lambda root: root.write_text("x"), "is a file; nothing was restored"),
        (
            lambda root: (root.mkdir(), (root / "thesis.tex").write_text("x")),
            "holds no lake, and is not empty .thesis.tex.; nothing was restored",
        ),
        (
            lambda root: shutil.copytree(root.with_name("lake"), root),
            "a lake of 5 tables, the newest commit of .*; nothing was restored.*--replace",
        ),
    ],
    ids=["a file", "somebody's folder", "a lake"],
)
def test_what_is_there_is_never_written_over(home: Path, where: str, put: Callable[[Path], object], said: str) -> None:
    put(home / "new")
    before = {path: path.read_bytes() for path in (home / "new").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=said):
        restore(where, home / "new")
    assert {path: path.read_bytes() for path in (home / "new").rglob("*") if path.is_file()} == before
    assert beside(home / "new") == []


def test_a_disk_without_room_is_told_before_anything_is_fetched(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.lake.restoring.target.shutil.disk_usage", lambda _: Usage())
    with pytest.raises(LakeError, match=r"has 10 bytes left, and [\d,]+ are to be written; nothing was restored"):
        restore(where, home / "new")
    assert not (home / "new").exists()


class Usage:
    free = 10


def test_a_disk_that_fills_up_leaves_no_lake_and_the_next_restore_goes_on(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Backups.fetch, []

    def full(self: Backups, kept: Kept, target: Path, **told: Any) -> None:
        calls.append(kept)
        if len(calls) > 5:
            raise OSError(28, "No space left on device", str(target))
        real(self, kept, target, **told)

    monkeypatch.setattr(Backups, "fetch", full)
    with pytest.raises(LakeError, match=r"is full: snapshot .* was not restored"):
        restore(where, home / "new")
    assert not (home / "new").exists()
    monkeypatch.undo()
    assert restore(where, home / "new").found >= 1
    assert seen(home / "new") == seen(home / "lake")


def test_a_root_that_came_into_being_meanwhile_stays(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = building.expect_same

    def late(folder: Path, manifest: Manifest) -> None:
        real(folder, manifest)
        (home / "new").mkdir()
        (home / "new" / "mine").write_text("x")

    monkeypatch.setattr("workbench.lake.restoring.restore.expect_same", late)
    with pytest.raises((LakeError, UsageError), match="came into being"):
        restore(where, home / "new")
    assert [path.name for path in (home / "new").iterdir()] == ["mine"]


def test_a_root_within_the_backups_is_refused(home: Path, where: str) -> None:
    with pytest.raises(UsageError, match="where the backups stand"):
        restore(where, home / "backups" / "new")


def test_two_restores_to_one_root_do_not_meet(home: Path, where: str) -> None:
    build = home / f"new.restoring-{newest(where).id}"
    with building.building(build), pytest.raises(Busy, match="is being filled by process"):
        restore(where, home / "new")
    restore(where, home / "new")


# ---------------------------------------------------------------------- in the place of a lake


def spoilt(home: Path) -> dict[str, Any]:
    """Have the lake go on after its backup; gives what it shows then."""
    with opened(home / "lake") as bench:
        bench.append(SIGNALS, signals(36, 4))
        bench.fold()
        bench.reset("stock_day")
    (home / "lake" / "notes.md").write_text("mine")
    return seen(home / "lake")


def test_a_lake_is_replaced_and_kept_beside(home: Path, where: str) -> None:
    before, spoiled = seen(home / "lake"), spoilt(home)
    assert spoiled != before
    done = restore(where, home / "lake", replace=True)

    assert seen(home / "lake") == before
    assert verify(opened(home / "lake").lake).faults == []
    assert done.before is not None and seen(done.before) == spoiled
    assert (home / "lake" / "notes.md").read_text() == "mine"
    assert beside(home / "lake") == [done.before.name]
    assert any("remove it when it is not needed" in line for line in done.notes)


def test_a_backup_of_another_lake_is_told_before_and_after(home: Path, where: str) -> None:
    told = json.loads((home / "lake" / "lake.json").read_text())
    (home / "lake" / "lake.json").write_text(json.dumps(told | {"id": "f" * 32}))
    said = f"the lake in {home / 'lake'} is not the one that was backed up"
    assert plan(where, home / "lake", replace=True).notes[0].startswith(said)
    assert restore(where, home / "lake", replace=True).notes[0].startswith(said)
    assert json.loads((home / "lake" / "lake.json").read_text()) == told


def test_a_lake_without_a_name_gets_none_by_being_restored(home: Path) -> None:
    (home / "lake" / "lake.json").unlink()
    where = str(home / "unnamed")
    backed(home / "lake", home / "unnamed")
    restore(where, home / "new")
    assert seen(home / "new") == seen(home / "lake")
    assert not (home / "new" / "lake.json").exists()
    restore(where, home / "lake", replace=True)
    assert not (home / "lake" / "lake.json").exists()
    with opened(home / "lake") as bench:
        assert set(bench.drill(where)[0].values()) >= {"the lake", "same"}


def test_a_session_that_has_ended_keeps_nobody_from_it(home: Path, where: str) -> None:
    readers = home / "lake" / "locks" / "readers"
    readers.mkdir(exist_ok=True)
    left = readers / f"{platform.node()}-4194304-0a1b2c3d.json"
    left.write_text(json.dumps({"started": "1", "tables": {"stock_day": [0, 1]}}))
    abroad = readers / "elsewhere-7-0a1b2c3d.json"
    abroad.write_text(left.read_text())
    with pytest.raises(Busy, match="process 7 on elsewhere"):
        restore(where, home / "lake", replace=True)
    os.utime(abroad, (0, 0))
    restore(where, home / "lake", replace=True)
    assert not left.exists()


def test_a_lake_that_lost_its_tables_is_replaced_too(home: Path, where: str) -> None:
    before = seen(home / "lake")
    shutil.rmtree(home / "lake" / "lake")
    with pytest.raises(UsageError, match="what is left of a lake"):
        restore(where, home / "lake")
    restore(where, home / "lake", replace=True)
    assert seen(home / "lake") == before


def test_a_lake_whose_tables_cannot_be_read_is_replaced_too(home: Path, where: str) -> None:
    before = seen(home / "lake")
    (home / "lake" / "journal" / "tables").mkdir(exist_ok=True)
    (home / "lake" / "journal" / "tables" / "mine.json").write_text("{")
    (home / "lake" / "journal" / "records.db").write_bytes(b"no database" * 1000)
    for commit in (home / "lake" / "lake" / "main" / "stock_day" / "_delta_log").glob("*.json"):
        commit.write_text("{")
    restore(where, home / "lake", replace=True)
    assert seen(home / "lake") == before


def test_a_second_replacement_keeps_both(home: Path, where: str) -> None:
    first = restore(where, home / "lake", replace=True)
    second = restore(where, home / "lake", replace=True)
    assert first.before is not None and second.before is not None
    assert beside(home / "lake") == sorted([first.before.name, second.before.name])


def test_tokens_that_were_revoked_since_stay_revoked(home: Path, where: str) -> None:
    (home / "lake" / "access.json").write_text("then")
    backed(home / "lake", home / "backups")
    (home / "lake" / "access.json").write_text("now")
    done = restore(where, home / "lake", replace=True)
    assert (home / "lake" / "access.json").read_text() == "now"
    assert any("stay revoked" in line for line in done.notes)
    fresh = restore(where, home / "new")
    assert (home / "new" / "access.json").read_text() == "then"
    assert any("may be used again" in line for line in fresh.notes)


def test_a_refresh_that_runs_is_named_and_the_lake_stays(home: Path, where: str) -> None:
    before = seen(home / "lake")
    with locks.refreshing(home / "lake", ["stock_day"], "workbench refresh"), pytest.raises(Busy, match="stock_day is being refreshed by"):
        restore(where, home / "lake", replace=True)
    assert (seen(home / "lake"), beside(home / "lake")) == (before, [])


def test_an_open_session_is_named_and_the_lake_stays(home: Path, where: str) -> None:
    with opened(home / "lake") as bench:
        bench.sql("FROM stock_day").fetchall()
        with pytest.raises(Busy, match=f"session.* open .*process {os.getpid()} on"):
            restore(where, home / "lake", replace=True)
    restore(where, home / "lake", replace=True)


def test_somebody_who_writes_rows_is_waited_for_and_then_told_of(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "WRITERS_S", 0.1)
    before = seen(home / "lake")
    with closing(sqlite3.connect(home / "lake" / "journal" / "records.db", isolation_level=None)) as con:
        con.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="is being written by another process; the lake is as it was"):
            restore(where, home / "lake", replace=True)
        con.execute("ROLLBACK")
    assert seen(home / "lake") == before
    assert restore(where, home / "lake", replace=True).fetched == 0


def test_a_writer_that_has_the_old_journal_open_writes_to_the_new_one(home: Path, where: str) -> None:
    with opened(home / "lake") as bench:
        # It writes, and has read nothing: no session stands registered.
        bench.append(SIGNALS, signals(50, 1))
        restore(where, home / "lake", replace=True)
        bench.append(SIGNALS, signals(60, 1))
    assert opened(home / "lake").sql(f"SELECT id FROM {SIGNALS} WHERE id >= 50").fetchall() == [(60,)]


# ---------------------------------------------------------------------- between two renames


def test_a_restore_that_is_at_it_keeps_everybody_out(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "PATIENCE_S", 0.05)
    (home / "lake" / NAME).write_text("{}")
    with swapping.alone(home / "lake", "workbench restore"), pytest.raises(Busy, match="is being restored by process"):
        opened(home / "lake")


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"snapshot": "x", "where": "", "build": "b", "before": "c", "comes": ["../x"], "goes": []}']
)
def test_a_note_that_cannot_be_read_is_told_and_nothing_is_renamed(home: Path, text: str) -> None:
    (home / "lake" / NAME).write_text(text)
    with pytest.raises(LakeError, match=r"cannot be read .*nothing was opened"):
        taken_up(home / "lake")
    assert (home / "lake" / "lake").is_dir()


@pytest.mark.parametrize("done", range(8))
def test_the_next_open_ends_what_was_begun(home: Path, where: str, done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, spoiled = seen(home / "lake"), spoilt(home)
    real, count = Path.rename, [0]

    def rename(self: Path, to: Path) -> Path:
        if count[0] == done:
            raise KeyboardInterrupt
        count[0] += 1
        return real(self, to)

    monkeypatch.setattr(Path, "rename", rename)
    try:
        restore(where, home / "lake", replace=True)
    except KeyboardInterrupt:
        monkeypatch.undo()
        assert (home / "lake" / NAME).exists()
    monkeypatch.undo()
    opened(home / "lake").close()
    assert not (home / "lake" / NAME).exists()
    assert seen(home / "lake") == before
    kept = list(home.glob("lake.before-*"))
    assert len(kept) == 1 and seen(kept[0]) == spoiled
    assert beside(home / "lake") == [kept[0].name]


def test_the_same_command_after_a_kill_between_renames_fetches_nothing_again(
    home: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(home / "lake")
    monkeypatch.setattr(Swap, "done", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        restore(where, home / "lake", replace=True)
    monkeypatch.undo()
    done = restore(where, home / "lake", replace=True)
    assert done.fetched == 0
    assert seen(home / "lake") == before
    assert len(list(home.glob("lake.before-*"))) == 1


def test_what_stands_at_a_root_is_told_in_words(tmp_path: Path) -> None:
    assert str(look(tmp_path / "x")) == "nothing is there"
    (tmp_path / "x" / "lake").mkdir(parents=True)
    assert str(look(tmp_path / "x")) == "a lake without a commit"


# ---------------------------------------------------------------------- at the prompt


def run(*words: str, **more: Any) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False, **more)


def test_the_command_restores_and_says_what(home: Path, where: str) -> None:
    told = run("restore", where, str(home / "new"), "--json")
    assert told.exit_code == 0, told.output
    facts = json.loads(told.stdout)
    assert facts["snapshot"] == newest(where).id
    assert facts["root"] == str(home / "new")
    assert seen(home / "new") == seen(home / "lake")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("{where}",), 2, "name the backup and the folder"),
        ((), 2, "name the backup and the folder"),
        (("{where}", "{home}/lake"), 2, "--replace"),
        (("{where}", "{home}/lake", "--replace"), 2, "nobody can be asked, and nothing was restored. Add --yes"),
        (("{where}", "{home}/new", "--snapshot", "nope"), 2, "there is no snapshot"),
        (("{where}", "s3://no bucket/x"), 2, "must be like s3://bucket/prefix"),
        (("--as-of", "2026-01-01", "--replace"), 2, "are for a backup"),
    ],
)
def test_wrong_usage_says_what_to_do(
    home: Path, where: str, words: tuple[str, ...], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKBENCH_BACKUP", raising=False)
    before = seen(home / "lake")
    told = run("restore", *(word.format(where=where, home=home) for word in words))
    assert (told.exit_code, said in " ".join(told.stderr.split())) == (status, True), told.stderr
    assert seen(home / "lake") == before


def test_a_replacement_is_shown_and_asked_for(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = spoilt(home)
    monkeypatch.setattr("workbench.cli.restoring.sys", Terminal())
    told = run("restore", where, str(home / "lake"), "--replace", input="n\n")
    assert told.exit_code == 1
    assert "in the place of a lake of 5 tables" in " ".join(told.stdout.split())
    assert seen(home / "lake") == spoiled
    told = run("restore", where, str(home / "lake"), "--replace", input="y\n")
    assert told.exit_code == 0, told.output
    assert seen(home / "lake") != spoiled
    assert "is kept in" in told.stdout


class Terminal:
    """Standard streams that somebody sits at."""

    class stdin:  # noqa: N801
        isatty = staticmethod(lambda: True)

    class stderr:  # noqa: N801
        isatty = staticmethod(lambda: False)


def test_a_plan_changes_nothing(home: Path, where: str) -> None:
    made = plan(where, home / "lake", replace=True)
    assert made.target.kind == "lake"
    assert beside(home / "lake") == []


# ---------------------------------------------------------------------- tables as they were


def test_tables_go_back_to_an_instant_once_it_is_agreed(home: Path) -> None:
    then, before = datetime.now(UTC).isoformat(), seen(home / "lake")
    with opened(home / "lake") as bench:
        bench.reset("stock_day")
    spoiled = seen(home / "lake")
    words = ("restore", "--as-of", then, "stock_day", "--data", str(home / "lake"))

    told = run(*words)
    assert (told.exit_code, seen(home / "lake")) == (2, spoiled)
    assert "stock_day" in told.stdout and "nothing was taken back. Add --yes" in told.stderr
    told = run(*words, "--yes", "--json")
    assert told.exit_code == 0, told.output
    assert [row["table"] for row in json.loads(told.stdout)["rows"]] == ["stock_day"]
    assert seen(home / "lake") == before
    # Asked again, there is nothing to do and nothing to ask.
    assert run(*words).exit_code == 0


def test_a_table_goes_back_to_a_version(home: Path) -> None:
    before = seen(home / "lake")
    with opened(home / "lake") as bench:
        version = bench.lake["stock_day"].snapshot().version
        bench.reset("stock_day")
    told = run("restore", "--version", str(version), "stock_day", "--data", str(home / "lake"), "--yes")
    assert told.exit_code == 0, told.output
    assert seen(home / "lake") == before


def test_an_instant_before_the_first_commit_is_refused(home: Path) -> None:
    told = run("restore", "--as-of", "2001-01-01T00:00Z", "--data", str(home / "lake"), "--yes")
    assert told.exit_code == 2
    assert "2001-01-01" in told.stderr
