"""Backups of a lake in a bucket, restores into one, and the way of a lake from a laptop into a bucket."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.config import Settings
from workbench.errors import BrokenBackup, Busy, LakeError, NoLake, UsageError
from workbench.lake.operations import Operations
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.where import remote_of
from workbench.lake.restoring.restore import restore
from workbench.lake.store import Lake

pytestmark = pytest.mark.s3
OWN = "derived.factor"


def landed(root: Path) -> None:
    with workbench.Workbench(Settings.load(data=str(root), source="sample")) as bench:
        written(bench)


def written(bench: workbench.Workbench) -> None:
    """Two sessions, rows that were folded, and rows that stand in the journal."""
    bench.refresh(days=2, datasets=["stock_day"], maintain=False).run()
    bench.create_table(OWN, {"name": "VARCHAR", "value": "DOUBLE"}, key="name")
    bench.append(OWN, [{"name": name, "value": 1.0} for name in "ab"], durable=True)
    bench.upsert(OWN, [{"name": "b", "value": 2.0}, {"name": "c", "value": 3.0}])


@pytest.fixture
def there(far: Path, made_once: Callable[..., None], tmp_path: Path) -> workbench.Workbench:
    """A lake in the bucket, as `landed` makes one."""
    with workbench.Workbench(Settings.load(source="sample")) as bench:
        written(bench)
    return workbench.open()


@pytest.fixture
def kept(made_once: Callable[..., None], tmp_path: Path) -> str:
    """The place of a backup of a lake in a folder."""

    def make(folder: Path) -> None:
        landed(folder / "lake")
        workbench.open(folder / "lake").backup(folder / "kept")

    made_once(make, tmp_path / "made")
    return str(tmp_path / "made" / "kept")


def held(bench: workbench.Workbench) -> list[Any]:
    days = bench.sql("SELECT count(*), sum(close), count(DISTINCT date) FROM stock_day").fetchall()
    return [days, bench.sql(f"SELECT name, value FROM {OWN} ORDER BY ALL").fetchall()]


def fresh(name: str) -> Path:
    """This machine's root of a prefix beside the lake's."""
    return Settings.load(data=f"{Settings.load().url}-{name}").root


def another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path) -> workbench.Workbench:
    """The lake of a root, as another machine opens it."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    remote = remote_of(root)
    assert remote
    return workbench.open(remote.where)


def test_a_lake_in_a_bucket_is_backed_up_and_restored_to_a_folder_and_to_a_new_prefix(
    there: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kept"
    before = held(there)
    made = there.backup(place)
    assert made.facts["root"] == Settings.load().url
    assert made.facts["copied_files"] > 4
    again = there.backup(place)
    # What has changed of itself is the note of the backup before.
    assert again.facts["copied_files"] <= 2
    assert there.verify_backup(place).facts["faults"] == 0
    drilled = there.drill(place)
    assert drilled.facts["good"], drilled.rows
    assert {row["against"] for row in drilled.rows} == {"the lake"}
    done = restore(str(place), tmp_path / "restored")
    assert held(workbench.open(done.root)) == before
    assert workbench.open(done.root).verify().facts["faults"] == 0
    root = fresh("new")
    done = restore(str(place), root)
    assert (done.files, done.found) == (again.facts["files"], 0)
    with workbench.open(remote_of(root).where) as new:  # type: ignore[union-attr]
        assert held(new) == before
        # The rows of the journal that was backed up are folded, and the journal is another than the one that goes on.
        assert Operations(root).held() == {}
        assert Operations(root).id != Operations(there.lake.root).id
    with another(monkeypatch, tmp_path, root) as seen:
        assert held(seen) == before
        assert seen.verify().facts["faults"] == 0


def test_a_lake_moves_from_a_folder_to_a_bucket_by_a_backup(far: Path, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with workbench.open(Path(kept).parent / "lake") as old:
        before = held(old)
    done = restore(kept, far)
    assert done.root == far
    assert far.stat().st_mode & 0o777 == 0o700
    with workbench.open() as bench:
        assert held(bench) == before
        bench.append(OWN, [{"name": "z", "value": 9.0}], durable=True)
    assert Lake(far).exists
    with another(monkeypatch, tmp_path, far) as seen:
        assert held(seen)[1] == [*before[1], ("z", 9.0)]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 2, 4, "journal")), "lake.json", "note"])
def test_a_restore_that_is_killed_leaves_no_lake_and_goes_on(
    far: Path, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int | str
) -> None:
    count = 0
    upload = Remote.upload

    def killed(*_: object, **__: object) -> None:
        raise Killed

    def some(self: Remote, path: Path, name: str) -> None:
        nonlocal count
        count += 1
        if isinstance(at, int) and count > at:
            raise Killed
        upload(self, path, name)

    with monkeypatch.context() as patched:
        patched.setattr(Remote, "upload", some)
        if at == "journal":
            patched.setattr("workbench.lake.restoring.far.placed", killed)
        if at == "lake.json":
            patched.setattr("workbench.lake.restoring.far.opened", killed)
        if at == "note":
            patched.setattr(Remote, "remove", killed)
        with pytest.raises(Killed):
            restore(kept, far)
    with monkeypatch.context() as patched:
        if at == "note":
            with another(patched, tmp_path, far) as seen:
                assert held(seen)[1] == [("a", 1.0), ("b", 1.0)]
        else:
            with pytest.raises(LakeError, match="has not come to its end"):
                another(patched, tmp_path, far)
            with pytest.raises((LakeError, NoLake), match=r"has not come to its end|holds no lake"):
                workbench.Workbench(Settings.load()).create_table(OWN, {"name": "VARCHAR"}, key="name")
            assert all(Lake(far)[name].snapshot().version < 0 for name in ("stock_day",))
    with pytest.raises(UsageError, match=r"has not come to its end|holds a lake"):
        other_snapshot(kept, far)
    done = restore(kept, far)
    if at == "lake.json":
        assert done.found > 0
    with workbench.open() as bench:
        assert len(held(bench)[1]) == 3
        assert bench.verify().facts["faults"] == 0
    remote = remote_of(far)
    assert remote
    assert remote.get("restoring.json") is None


def other_snapshot(kept: str, root: Path) -> None:
    """Restores a snapshot that is not the one whose restore was killed."""
    with workbench.open(Path(kept).parent / "lake") as bench:
        bench.backup(kept)
    ids = sorted(path.stem for path in Path(kept, "snapshots").glob("*.json"))
    try:
        restore(f"{kept}#{ids[-1]}", root)
    finally:
        Path(kept, "snapshots", f"{ids[-1]}.json").unlink()


@pytest.mark.slow
def test_a_restore_that_another_machine_takes_over_ends_here(far: Path, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, upload, began = Settings.load().root, Remote.upload, list[int]()

    def some(self: Remote, path: Path, name: str) -> None:
        upload(self, path, name)
        if not began:
            began.append(1)
            with monkeypatch.context() as patched:
                patched.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
                restore(kept, Settings.load().root)

    monkeypatch.setattr(Remote, "upload", some)
    with pytest.raises(Busy, match="was taken over by"):
        restore(kept, here)
    assert not (here / "journal").exists()
    with workbench.open() as bench:
        assert len(held(bench)[1]) == 3


def test_a_backup_that_lacks_a_file_becomes_no_lake(far: Path, kept: str) -> None:
    gone = max(Path(kept, "objects").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    held_back = gone.rename(gone.with_name("away"))
    with pytest.raises(BrokenBackup, match="missing from the backup"):
        restore(kept, far)
    with pytest.raises(LakeError, match="has not come to its end"):
        workbench.open()
    held_back.rename(gone)
    restore(kept, far)
    with workbench.open() as bench:
        assert len(held(bench)[1]) == 3


def test_where_something_stands_nothing_is_restored(there: workbench.Workbench, kept: str, tmp_path: Path) -> None:
    before = held(there)
    with pytest.raises(UsageError, match="holds a lake; nothing was restored"):
        restore(kept, there.lake.root)
    with pytest.raises(UsageError, match=r"no lake can take the place of another at once.*new prefix"):
        restore(kept, there.lake.root, replace=True)
    remote = remote_of(fresh("full"))
    assert remote
    remote.put_over("mine.txt", b"mine")
    with pytest.raises(UsageError, match=r"holds other things \(mine.txt\)"):
        restore(kept, remote.root)
    assert [one.name for one in remote.below("")] == ["mine.txt"]
    root = fresh("used")
    (root / "journal").mkdir(parents=True)
    with pytest.raises(UsageError, match="this machine's folder"):
        restore(kept, root)
    assert held(there) == before


@pytest.mark.slow
def test_a_backup_stands_apart_from_the_lake_in_its_bucket(there: workbench.Workbench) -> None:
    where = Settings.load().url
    for place in (f"{where}/backup", where, where.rpartition("/")[0]):
        with pytest.raises(UsageError, match="no backup of it can stand there"):
            there.backup(place)
    made = there.backup(f"{where}-kept")
    assert made.facts["backup"] == f"{where}-kept"
    done = restore(f"{where}-kept", fresh("again"))
    assert json.loads((done.root / "lake.json").read_text())["id"]


def test_a_prefix_without_a_lake_says_so(far: Path) -> None:
    with pytest.raises(NoLake, match=r"s3://lakes/[0-9a-f]+ holds no lake"):
        workbench.open()


def test_tables_that_people_write_go_back(there: workbench.Workbench) -> None:
    there.fold()
    there.append(OWN, [{"name": "late", "value": 1.0}], durable=True)
    there.delete(OWN, key="a", durable=True)
    versions = [row["version"] for row in there.history(OWN)]
    assert there.diff(OWN, versions[2]).facts["added"] == 1
    there.rewind(OWN, version=versions[2])
    assert held(there)[1] == [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    assert there.verify().facts["faults"] == 0
