"""Backups: what a snapshot holds, what it costs, what it survives, and what is said of one that is not whole."""

import errno
import importlib
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from crash.appending import SIGNALS
from flatfiles import FRI, STOCK_DAY, THU, bar, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenBackup, Busy, LakeError, MissingExtra, NewerLake, NoLake, UnknownName, UsageError
from workbench.lake.backup import Backups, gathering, locking, making
from workbench.lake.backup.backups import fresh, write
from workbench.lake.backup.destination import Folder
from workbench.lake.backup.pruning import prune
from workbench.lake.fold import fold_all, folding
from workbench.lake.restoring.restore import restore
from workbench.lake.vacuum import vacuum
from workbench.query.report import Report

SIGNAL = dict(SIGNALS.example)
NOW = timedelta(0)


def opened(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)))


def publish(bench: Workbench, close: int, day: Any = THU) -> None:
    vendor = bench.lake.root.parent / "vendor"
    put(vendor, STOCK_DAY, day, text([bar("AAA", day, close=close), bar("BBB", day)]))
    bench.refresh(source=f"folder:{vendor}").run()


def landing(home: Path) -> None:
    """Thursday published twice, Friday once; rows that people wrote, folded and not; a run, and refused rows."""
    with closing(opened(home / "lake")) as bench:
        publish(bench, 10)
        publish(bench, 11)
        publish(bench, 12, FRI)
        bench.append(SIGNALS.full, SIGNAL)
        fold_all(bench.lake.root)
        bench.append(SIGNALS.full, SIGNAL)
        for under in ("runs/one/log.jsonl", "quarantine/note.txt", "rejects/r.jsonl", "tmp/x", "locks/y", ".env"):
            path = bench.lake.root / under
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{under}\n")


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Iterator[Workbench]:
    made_once(landing, tmp_path)
    with closing(opened(tmp_path / "lake")) as made:
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def answers(bench: Workbench) -> list[Any]:
    """What a lake says, of all that is in it."""
    names = ("SELECT ticker, date, close FROM stock_day ORDER BY ALL", f"SELECT * FROM {SIGNALS.full} ORDER BY ALL")
    return [bench.sql(query).fetchall() for query in names]


def restored(place: Path | str, to: Path, **given: Any) -> Workbench:
    restore(str(place), to, **given)
    made = opened(to)
    assert made.verify().facts["faults"] == 0, made.verify()
    return made


def files_of(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------- what a snapshot holds


def test_a_restored_snapshot_is_the_lake(bench: Workbench, place: Path, tmp_path: Path) -> None:
    made = bench.backup(place)
    with closing(restored(place, tmp_path / "again")) as again:
        assert answers(again) == answers(bench)
        assert len(answers(again)[1]) == 2
    manifest = Backups.open(str(place)).manifest()
    assert made.facts["snapshot"] == manifest.id
    assert manifest.tables["stock_day"].rows == 4
    assert manifest.tables["stock_day"].version == bench.lake["stock_day"].snapshot().version
    assert manifest.tables[SIGNALS.full].rows == 1, "the other is in the journal"
    paths = {one.path for one in manifest.files}
    assert {"runs/one/log.jsonl", "quarantine/note.txt", "rejects/r.jsonl", "journal/records.db"} <= paths
    assert not [path for path in paths if path.startswith(("tmp/", "locks/", ".")) or "-wal" in path or "backup-index" in path]


def test_the_past_is_in_it_too(bench: Workbench, place: Path, tmp_path: Path) -> None:
    first = bench.lake["stock_day"].commits()[2].at
    bench.backup(place)
    with closing(restored(place, tmp_path / "again")):
        pass
    for root in (bench.lake.root, tmp_path / "again"):
        with closing(Workbench(Settings.load(env={}, data=str(root)), as_of=first)) as then:
            assert then.sql("SELECT close FROM stock_day WHERE ticker = 'AAA'").fetchall()[0][0] in (10, 11)


def test_files_that_were_vacuumed_are_not_asked_for(bench: Workbench, place: Path, tmp_path: Path) -> None:
    vacuum(bench.lake, NOW, dry_run=False, orphans=NOW)
    bench.backup(place)
    with closing(restored(place, tmp_path / "again")) as again:
        assert answers(again) == answers(bench)


def test_what_was_never_committed_is_left_out(bench: Workbench, place: Path) -> None:
    orphan = bench.lake["stock_day"].folder / "chunk=2024-03" / "bucket=00" / "nobody.parquet"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"x")
    bench.backup(place)
    assert not [one for one in Backups.open(str(place)).manifest().files if one.path.endswith("nobody.parquet")]


def test_a_checkpoint_of_a_later_version_is_left_out(bench: Workbench, place: Path, tmp_path: Path) -> None:
    from deltalake import DeltaTable

    folder = bench.lake["stock_day"].folder
    version = bench.lake["stock_day"].snapshot().version
    DeltaTable(folder).create_checkpoint()
    sources: list[gathering.Source] = []
    gathering.of_table(bench.lake.root, folder, version - 1, tmp_path, sources)
    assert not [one.path for one in sources if "checkpoint" in one.path]
    gathering.of_table(bench.lake.root, folder, version, tmp_path, sources)
    assert len([one.path for one in sources if "checkpoint" in one.path]) == 2
    bench.backup(place)
    with closing(restored(place, tmp_path / "again")) as again:
        assert answers(again) == answers(bench)


# ---------------------------------------------------------------------- beside who writes


def test_a_commit_that_comes_while_it_is_copied_is_not_half_in_it(bench: Workbench, place: Path, tmp_path: Path) -> None:
    before, done = answers(bench), list[int]()

    def say(*told: int) -> None:
        if not done:
            done.append(1)
            with closing(opened(bench.lake.root)) as other:
                publish(other, 99)
                other.append(SIGNALS.full, SIGNAL)
                fold_all(bench.lake.root)
                vacuum(other.lake, NOW, dry_run=False)

    bench.backup(place, say=say)
    assert answers(bench) != before
    with closing(restored(place, tmp_path / "again")) as again:
        assert answers(again) == before


def test_vacuum_leaves_what_is_being_copied_and_takes_it_afterwards(bench: Workbench, place: Path) -> None:
    told: list[Any] = []

    def say(*_: int) -> None:
        if not told:
            told.extend(vacuum(bench.lake, NOW, dry_run=False))

    bench.backup(place, say=say)
    [day] = [one for one in told if one.table == "stock_day"]
    assert day.read and not day.retired
    [day] = [one for one in vacuum(bench.lake, NOW, dry_run=False) if one.table == "stock_day"]
    assert day.retired and not day.read


def test_it_waits_for_a_fold_under_way(bench: Workbench, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "FOLDS_S", 0.1)
    with folding(bench.lake.root, SIGNALS.full) as ours:
        assert ours
        with pytest.raises(Busy, match="a fold has not ended"):
            bench.backup(place)
    assert not Backups.open(str(place)).ids()
    bench.backup(place)


def test_a_table_that_is_folded_for_the_first_time_meanwhile_is_looked_at_again(
    bench: Workbench, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, folded = gathering.copied, list[bool]()
    flags = "utilities.feature_flags"
    bench.append(flags, {"name": "x", "enabled": True, "rollout_percent": 5.0, "updated_at": datetime(2024, 3, 7, tzinfo=UTC)})

    def fold_between(path: Path, drafts: Path) -> Path | None:
        folded.append(path.name == "records.db")
        if folded == [True]:
            fold_all(bench.lake.root)
        return copied(path, drafts)

    monkeypatch.setattr(gathering, "copied", fold_between)
    bench.backup(place)
    assert sum(folded) == 2
    assert Backups.open(str(place)).manifest().tables[flags].rows == 1
    with closing(restored(place, tmp_path / "again")) as again:
        assert again.sql(f"SELECT count(*) FROM {flags}").fetchall() == [(1,)]


# ---------------------------------------------------------------------- what it costs


def test_what_has_not_changed_is_neither_copied_nor_read_again(bench: Workbench, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.lake.backup.index.SETTLED_NS", 0)
    bench.backup(place)
    read: list[Path] = []
    digest = making.digest

    def noting(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(making, "digest", noting)
    publish(bench, 13)
    again = bench.backup(place)
    assert again.facts["copied_files"] < 12
    assert read and {path.relative_to(bench.lake.root).parts[:3] for path in read} <= {
        ("lake", "main", name) for name in ("stock_day", "lone_days")
    }
    objects = {path: path.stat().st_mtime_ns for path in place.rglob("objects/*/*")}
    bench.backup(place)
    assert {path: path.stat().st_mtime_ns for path in objects} == objects, "an object is written once"


def test_without_what_was_known_it_is_read_but_not_copied(bench: Workbench, place: Path) -> None:
    bench.backup(place)
    (bench.lake.root / "journal" / "backup-index.json").write_text("{")
    assert bench.backup(place).facts["copied_files"] == 1, "the note of the backup before"


def test_another_file_under_the_same_name_and_of_the_same_size_is_kept(
    bench: Workbench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lake that was restored and went its own way has other commits under the same names.
    monkeypatch.setattr("workbench.lake.backup.index.SETTLED_NS", 0)
    bench.backup(place)
    path = bench.lake["stock_day"].commit_path(2)
    path.write_text(path.read_text().replace('"timestamp":1', '"timestamp":2'))
    bench.backup(place)
    old, new = Backups.open(str(place)).manifests()
    shas = [{one.path: (one.size, one.sha256) for one in made.files} for made in (old, new)]
    under = path.relative_to(bench.lake.root).as_posix()
    assert shas[0][under][0] == shas[1][under][0] and shas[0][under] != shas[1][under]


# ---------------------------------------------------------------------- what is not whole


def object_of(place: Path, ending: str) -> tuple[str, Path]:
    """A file of the newest snapshot, by how its path ends, and its object."""
    backups = Backups.open(str(place))
    [kept] = [one for one in backups.manifest().files if one.path.endswith(ending)]
    return kept.path, place / backups.name(kept.sha256)


def flipped(path: Path) -> None:
    some = bytearray(path.read_bytes())
    some[len(some) // 2] ^= 1
    path.write_bytes(some)


@pytest.mark.parametrize(
    ("spoil", "what", "quick"),
    [(Path.unlink, "missing", True), (flipped, "altered", False), (lambda path: path.write_bytes(b""), "altered", True)],
    ids=["missing", "altered", "emptied"],
)
def test_a_file_that_is_not_whole_is_named(
    bench: Workbench, place: Path, tmp_path: Path, spoil: Callable[[Path], object], what: str, quick: bool
) -> None:
    bench.backup(place)
    bench.backup(place)
    assert bench.verify_backup(place).facts["faults"] == 0
    path, where = object_of(place, "rejects/r.jsonl")
    spoil(where)
    found = bench.verify_backup(place)
    assert [(row["snapshot"], row["file"], row["what"]) for row in found] == [(id, path, what) for id in Backups.open(str(place)).ids()]
    assert bool(bench.verify_backup(place, quick=True).rows) == quick
    with pytest.raises(BrokenBackup, match=f"{path} of snapshot .* {'is missing' if what == 'missing' else 'was altered'}"):
        restore(str(place), tmp_path / "again")
    assert not (tmp_path / "again").exists()
    # The next backup mends what the lake still has, once what is altered is away; what has another size it sees itself.
    where.unlink(missing_ok=True)
    bench.backup(place)
    assert bench.verify_backup(place).facts["faults"] == 0


def test_an_object_of_another_size_is_written_anew(bench: Workbench, place: Path) -> None:
    bench.backup(place)
    _, where = object_of(place, "rejects/r.jsonl")
    where.write_bytes(b"")
    bench.backup(place)
    assert not bench.verify_backup(place).rows


def test_a_manifest_that_was_altered_is_named(bench: Workbench, place: Path) -> None:
    bench.backup(place)
    good = bench.backup(place).facts["snapshot"]
    bad = Backups.open(str(place)).ids()[0]
    path = place / "snapshots" / f"{bad}.json"
    path.write_text(path.read_text().replace('"rows": 4', '"rows": 5'))
    with pytest.raises(BrokenBackup, match=f"{bad}.json was altered"):
        Backups.open(str(place)).manifest(bad)
    [row] = bench.verify_backup(place)
    assert (row["snapshot"], row["what"]) == (bad, "altered")
    assert [(row["snapshot"], row["state"] == "complete") for row in bench.backups(place)] == [(bad, False), (good, True)]
    with pytest.raises(BrokenBackup, match="nothing was removed"):
        bench.prune_backups(place, "0d", dry_run=False)
    assert not bench.verify_backup(place, good).rows


def test_a_backup_of_a_later_library_is_not_read(bench: Workbench, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.lake.backup.manifest.FORMAT", 2)
    bench.backup(place)
    monkeypatch.setattr("workbench.lake.backup.manifest.FORMAT", 1)
    with pytest.raises(NewerLake, match="written by a later workbench"):
        bench.backups(place)


def test_a_snapshot_is_named_by_its_beginning(bench: Workbench, place: Path) -> None:
    id = bench.backup(place).facts["snapshot"]
    assert Backups.open(str(place)).manifest(id[:8]).id == id
    for wrong in ("1999", "../backup"):
        with pytest.raises(UnknownName, match="no snapshot"):
            Backups.open(str(place)).manifest(wrong)


def test_ids_tell_the_order_whatever_the_clock_says() -> None:
    at = datetime(2026, 11, 22, 10, 45, 0, 500_000, tzinfo=UTC)
    assert fresh("", at) == "20261122T104500Z8000"
    assert fresh("20261122T104500Z8000", at) == "20261122T104500Z8001"
    assert fresh("20271231T235959Zffff", at) == "20280101T000000Z0000"


# ---------------------------------------------------------------------- places


def test_places_that_cannot_be_the_lakes_are_refused(bench: Workbench, place: Path, tmp_path: Path) -> None:
    root = bench.lake.root
    (tmp_path / "link").symlink_to(root)
    for inside in (root / "backups", root, tmp_path / "link" / "deep" / "er"):
        with pytest.raises(UsageError, match="lies in the lake"):
            bench.backup(inside)
    with pytest.raises(UsageError, match="holds the lake"):
        bench.backup(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises((UsageError, LakeError), match="file"):
        bench.backup(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").touch()
    with pytest.raises(UsageError, match="holds other things"):
        bench.backup(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["photo.jpg"]
    with pytest.raises(UsageError, match="is no place for a backup"):
        bench.backup("ftp://x/y")
    with pytest.raises(UsageError, match="no place for backups was named"):
        bench.backup()
    for asked in (bench.backups, bench.verify_backup, bench.prune_backups):
        with pytest.raises(UsageError, match="holds no backup"):
            asked(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    bench.backup(place)
    with closing(opened(tmp_path / "lake2")) as stranger:
        with pytest.raises(NoLake):
            stranger.backup(place)
        publish(stranger, 1)
        with pytest.raises(UsageError, match="backups of another lake"):
            stranger.backup(place)
    assert len(Backups.open(str(place)).ids()) == 1


def test_what_a_kill_at_the_start_left_and_an_empty_disk_has_is_no_hindrance(bench: Workbench, place: Path) -> None:
    place.mkdir()
    (place / f".backup.json.{platform.node()}-999999999-00000000").touch()
    (place / "lost+found").mkdir()
    bench.backup(place)
    bench.prune_backups(place, dry_run=False)
    assert sorted(path.name for path in place.iterdir()) == ["backup.json", "lost+found", "objects", "snapshots"]


def test_a_disk_that_fills_up_leaves_no_snapshot_and_the_next_goes_on(
    bench: Workbench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.backup(place)
    publish(bench, 50)
    publish(bench, 51)
    real, left = os.fsync, [4]

    def full(handle: int) -> None:
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        left[0] -= str(place) in name
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", name)
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(LakeError, match=r"the disk that holds .*backups is full.*no snapshot was made.*the next backup goes on"):
            bench.backup(place)
    assert len(Backups.open(str(place)).ids()) == 1
    assert not (place / "lock.json").exists()
    assert not list(place.rglob(".*")), "no draft is left"
    assert bench.verify_backup(place).facts["faults"] == 0
    bench.backup(place)
    assert bench.verify_backup(place).facts["faults"] == 0


def test_a_file_that_cannot_be_read_is_named(bench: Workbench, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = making.digest

    def broken(path: Path) -> str:
        if path.suffix == ".parquet":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return digest(path)

    with monkeypatch.context() as patched:
        patched.setattr(making, "digest", broken)
        with pytest.raises(LakeError, match=r"parquet cannot be read \(Input/output error\): no snapshot was made"):
            bench.backup(place)
    assert not Backups.open(str(place)).ids()
    live = bench.lake["stock_day"].folder / next(iter(bench.lake["stock_day"].snapshot().paths))
    live.rename(live.with_suffix(".away"))
    with pytest.raises(LakeError, match=f"{live.name} is missing, and stock_day lists it"):
        bench.backup(place)
    live.with_suffix(".away").rename(live)
    commit = bench.lake["stock_day"].commit_path(1)
    text = commit.read_text()
    commit.write_text(text[: len(text) // 2])
    with pytest.raises(LakeError, match=r"0001.json is damaged .*no snapshot was made"):
        bench.backup(place)
    commit.write_text(text)
    bench.backup(place)


def test_a_damaged_journal_is_not_kept_as_a_good_one(bench: Workbench, place: Path) -> None:
    bench.close()
    path = bench.lake.root / "journal" / "records.db"
    whole = path.read_bytes()
    path.with_name("records.db-wal").unlink(missing_ok=True)
    path.write_bytes(b"no database at all" * 500)
    with pytest.raises(LakeError, match=r"records.db cannot be copied .*no snapshot was made"):
        bench.backup(place)
    path.write_bytes(whole)
    log = bench.lake.root / "journal" / "journal.db"
    log.with_name("journal.db-wal").unlink(missing_ok=True)
    log.write_bytes(b"no database at all" * 500)
    made = bench.backup(place)
    assert "kept as its bytes are" in made.facts["notes"][0]


# ---------------------------------------------------------------------- one at a time


def lock(place: Path, **other: Any) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    mine = {
        "token": "x",
        "host": platform.node(),
        "pid": os.getpid(),
        "user": "ann",
        "began": "",
        "what": "workbench backup",
        "since": now,
        "said": now,
    }
    (place / "lock.json").write_text(json.dumps(mine | other))


def test_two_do_not_work_on_one_place(bench: Workbench, place: Path) -> None:
    bench.backup(place)
    lock(place)
    works: list[Callable[[], Report]] = [lambda: bench.backup(place), lambda: bench.prune_backups(place, "0d", dry_run=False)]
    for work in works:
        with pytest.raises(Busy, match=rf"held by process {os.getpid()} \(workbench backup, user ann"):
            work()
    lock(place, host="elsewhere")
    with pytest.raises(Busy, match="on host elsewhere"):
        bench.backup(place)
    bench.backups(place)
    bench.verify_backup(place)


def test_a_lock_of_who_is_no_more_counts_for_nothing(bench: Workbench, place: Path) -> None:
    bench.backup(place)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for left in ({"pid": int(gone.stdout)}, {"began": "1"}, {"host": "elsewhere", "said": long_ago}):
        lock(place, **left)
        bench.backup(place)
        assert not (place / "lock.json").exists()
    (place / "lock.json").write_text("{")
    bench.backup(place)


def test_who_has_lost_the_place_makes_nothing(bench: Workbench, place: Path) -> None:
    with pytest.raises(Busy, match="was taken over by process"):
        bench.backup(place, say=lambda *_: lock(place, token="another"))
    assert not Backups.open(str(place)).ids()
    assert json.loads((place / "lock.json").read_text())["token"] == "another", "nobody's lock but our own is removed"


def test_a_lock_is_said_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "SAY_S", 0.01)
    beats = threading.Event()
    with locking.held(Folder(place), "x", "y", beats.set):
        first = locking.read(Folder(place))
        assert beats.wait(10)
        assert first and (again := locking.read(Folder(place))) and again.said >= first.said
    assert locking.read(Folder(place)) is None


# ---------------------------------------------------------------------- prune


def test_old_snapshots_go_and_what_others_hold_stays(bench: Workbench, place: Path, tmp_path: Path) -> None:
    old = bench.backup(place).facts["snapshot"]
    publish(bench, 77)
    new = bench.backup(place).facts["snapshot"]
    stray = place / "objects" / "ab" / ("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of a backup that was killed")
    draft = stray.with_name(f".x.{platform.node()}-999999999-00000000")
    draft.touch()
    before = files_of(place)
    told = bench.prune_backups(place, "0d")
    assert told.facts["removed"] == [old] and told.facts["objects"] > 1 and files_of(place) == before
    assert bench.prune_backups(place, "1d", dry_run=False).facts["removed"] == []
    assert not stray.exists() and not draft.exists()
    assert bench.prune_backups(place, "0d", dry_run=False).facts["kept"] == [new]
    assert Backups.open(str(place)).ids() == [new]
    assert bench.verify_backup(place).facts["faults"] == 0
    assert bench.prune_backups(place, "0d", dry_run=False).facts["kept"] == [new], "the newest is never removed"
    held = {Backups.open(str(place)).name(one.sha256) for one in Backups.open(str(place)).manifest().files}
    assert {name for name in files_of(place) if name.startswith("objects/")} == held
    with closing(restored(place, tmp_path / "again")) as again:
        assert answers(again) == answers(bench)


def test_keep_counts_from_each_snapshots_end(bench: Workbench, place: Path) -> None:
    ids = [bench.backup(place).facts["snapshot"] for _ in range(3)]
    backups, now = Backups.open(str(place)), datetime.now(UTC)
    assert prune(backups, timedelta(days=30), now=now + timedelta(days=29)).snapshots == ()
    assert prune(backups, timedelta(days=30), now=now + timedelta(days=31)).snapshots == tuple(ids[:2])
    with pytest.raises(UsageError, match="nothing was removed"):
        prune(backups, timedelta(days=-1))


def test_backup_with_keep_prunes_and_a_wrong_age_is_said_first(bench: Workbench, place: Path) -> None:
    with pytest.raises(UsageError, match="not a length of time"):
        bench.backup(place, keep="soon")
    assert not place.exists()
    first = bench.backup(place, keep="30d").facts["snapshot"]
    made = bench.backup(place, keep="0d")
    assert made.facts["pruned"] == [first]


# ---------------------------------------------------------------------- encrypted


def secret_key() -> Any:
    return importlib.import_module("pyrage").x25519.Identity.generate()


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, str]:
    """A public key, and the file of its secret one as age-keygen writes it."""
    secret = secret_key()
    path = tmp_path / "identity.txt"
    path.write_text(f"# created: 2026-11-22T10:00:00Z\n# public key: {secret.to_public()}\n{secret}\n")
    return str(secret.to_public()), str(path)


def test_an_encrypted_backup_tells_nothing_without_its_identity(
    bench: Workbench, place: Path, tmp_path: Path, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    public, identity = key
    monkeypatch.setattr("workbench.lake.backup.index.SETTLED_NS", 0)
    bench.backup(place, recipients=[public])
    shas = {one.sha256 for one in Backups.open(str(place), identities=[identity]).manifest().files}
    held = files_of(place)
    for name, some in held.items():
        assert not any(sha in name or sha.encode() in some for sha in shas)
        assert b"stock_day" not in some and b"PAR1" not in some[:4]
    again = bench.backup(place)
    assert again.facts["encrypted"] and again.facts["copied_files"] <= 2, "nothing needs an identity to be known"
    assert [row["state"] for row in bench.backups(place)] == ["encrypted"] * 2
    assert [row["rows"] for row in bench.backups(place, identities=[identity])] == [5, 5]
    assert bench.verify_backup(place, quick=True).facts == bench.verify_backup(place, quick=True).facts | {"faults": 0}
    for asked in (lambda: bench.verify_backup(place), lambda: restore(str(place), tmp_path / "again")):
        with pytest.raises(UsageError, match="is encrypted, and no identity was given"):
            asked()
    other = tmp_path / "other.txt"
    other.write_text(str(secret_key()))
    with pytest.raises(UsageError, match="encrypted to other keys"):
        bench.verify_backup(place, identities=[str(other)])
    assert bench.verify_backup(place, identities=[identity]).facts["faults"] == 0
    with closing(restored(place, tmp_path / "again", identities=[identity])) as lake:
        assert answers(lake) == answers(bench)
    bench.prune_backups(place, "0d", dry_run=False)
    assert bench.verify_backup(place, identities=[identity]).facts["faults"] == 0


def test_an_encrypted_backup_is_read_when_its_note_is_lost(bench: Workbench, place: Path, tmp_path: Path, key: tuple[str, str]) -> None:
    public, identity = key
    bench.backup(place, recipients=[public])
    (place / "backup.json").unlink()
    with closing(restored(place, tmp_path / "again", identities=[identity])) as lake:
        assert answers(lake) == answers(bench)
    assert bench.backup(place).facts["encrypted"]
    assert json.loads((place / "backup.json").read_text())["recipients"] == [public]


def test_keys_that_somebody_put_into_the_place_are_not_encrypted_to(bench: Workbench, place: Path, key: tuple[str, str]) -> None:
    public, _ = key
    bench.backup(place, recipients=[public])
    at = Backups.open(str(place))
    for others in ((str(secret_key().to_public()),), ()):
        changed = replace(at.place, recipients=others)
        write(at.at, changed, anew=True)
        before = files_of(place)
        for recipients in ([], list(others)):
            with pytest.raises(UsageError, match="somebody changed"):
                bench.backup(place, recipients=recipients)
        assert files_of(place) == before
    write(at.at, at.place, anew=True)
    assert bench.backup(place).facts["encrypted"]
    (bench.lake.root / "journal" / "backup-keys.json").write_text("{")
    with pytest.raises(LakeError, match="it is not known to whom"):
        bench.backup(place)


def test_an_encrypted_file_that_is_not_whole_is_named(bench: Workbench, place: Path, key: tuple[str, str]) -> None:
    public, identity = key
    bench.backup(place, recipients=[public])
    backups = Backups.open(str(place), identities=[identity])
    [kept] = [one for one in backups.manifest().files if one.path == "rejects/r.jsonl"]
    where = place / backups.name(kept.sha256)
    flipped(where)
    [row] = bench.verify_backup(place, identities=[identity])
    assert (row["file"], row["what"]) == ("rejects/r.jsonl", "altered")
    where.unlink()
    assert [row["what"] for row in bench.verify_backup(place, quick=True)] == ["missing"]


def test_keys_that_cannot_be_used_are_said_and_not_shown(bench: Workbench, place: Path, tmp_path: Path, key: tuple[str, str]) -> None:
    public, identity = key
    secret = Path(identity).read_text().splitlines()[-1]
    for wrong in ("age1nonsense", identity, str(tmp_path / "nothing")):
        with pytest.raises(UsageError, match="nothing was done") as told:
            bench.backup(place, recipients=[wrong])
        assert secret not in str(told.value)
    assert not (place / "snapshots").exists()
    file = tmp_path / "recipients.txt"
    file.write_text(f"# ours\n{public}\n")
    bench.backup(place, recipients=[str(file)])
    with pytest.raises(UsageError, match="Take another place"):
        bench.backup(place, recipients=[str(secret_key().to_public())])
    bench.backup(place, recipients=[public])
    bad = tmp_path / "bad.txt"
    bad.write_text(secret[:-4])
    with pytest.raises(UsageError, match="no secret key of age") as told:
        bench.backups(place, identities=[str(bad)])
    assert secret[:-4] not in str(told.value) and told.value.__cause__ is None
    plain = tmp_path / "plain"
    bench.backup(plain)
    with pytest.raises(UsageError, match="encrypted to nobody"):
        bench.backup(plain, recipients=[public])


def test_without_the_library_encryption_says_what_to_install(
    bench: Workbench, place: Path, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(MissingExtra, match=r"workbench\[backup\]"):
        bench.backup(place, recipients=[key[0]])
    bench.backup(place)
