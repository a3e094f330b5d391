"""Writing to a lake in a bucket when what comes after a commit fails, answers get lost, or these keys may not do everything."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from farlooks import count, land, remote, sound
from farproxy import FarProxy, Trouble, farproxy
from flatfiles import FRI, STOCK_DAY, THU, bar, put, text
from s3server import S3

import workbench
from workbench import Workbench
from workbench.config import Settings
from workbench.errors import BadKeys, Busy, LakeError, Unreachable, UsageError, WorkbenchError
from workbench.lake import delta, vacuum
from workbench.lake.maintain import alone
from workbench.lake.remote.connection import Remote
from workbench.lake.remote.mirror import Mirror
from workbench.lake.store import LakeTable
from workbench.lake.verify import verify

pytestmark = pytest.mark.s3

OWN = "derived.factor"


@pytest.fixture
def proxy(s3: S3, far: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarProxy]:
    """What stands between the lake and its bucket."""
    with farproxy(s3.endpoint) as passing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", passing.endpoint)
        yield passing


@pytest.fixture
def bench(far: Path) -> Iterator[Workbench]:
    with Workbench(Settings.load()) as made:
        yield made


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    for day in (THU, FRI):
        put(folder, STOCK_DAY, day, text([bar("AAA", day), bar("BBB", day)]))
    return folder


def made(bench: Workbench) -> None:
    """A table of one's own, in a lake."""
    bench.lake.make()
    bench.create_table(OWN, {"name": "VARCHAR", "value": "DOUBLE"}, key="name")


# ---------------------------------------------------------------------- after a commit


FAULTS = [OSError(errno.ENOSPC, "No space left on device"), Unreachable("it does not answer")]


def after_commits(monkeypatch: pytest.MonkeyPatch, fault: Exception, versions: int = 1) -> None:
    """What is committed from now on cannot be brought here, `versions` times; the bucket has it."""
    bring, left, committing, write = Mirror._bring, [versions], [False], delta.properties

    def properties(*told: Any) -> Any:
        committing[0] = True
        return write(*told)

    monkeypatch.setattr(delta, "properties", properties)

    def failing(self: Mirror, table: str, log: Path, version: int) -> int:
        if left[0] and version and committing[0]:
            left[0] -= 1
            raise fault
        return bring(self, table, log, version)

    monkeypatch.setattr(Mirror, "_bring", failing)


@pytest.mark.parametrize("fault", FAULTS, ids=["full disk", "silence"])
def test_a_commit_that_cannot_be_brought_here_keeps_its_files(
    bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    land(bench, vendor)
    bench.lake["stock_day"].set_bounds(("B",))
    after_commits(monkeypatch, fault)
    outcomes = {row["outcome"] for row in bench.compact(everything=True).rows}
    assert (count(bench), sound(bench), outcomes) == (4, [], {"compacted"})
    # A session published again stands in a cold chunk.
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    after_commits(monkeypatch, fault)
    run = land(bench, vendor)
    assert (count(bench), sound(bench), run.exit_status) == (3, [], 0)


@pytest.mark.parametrize("fault", FAULTS, ids=["full disk", "silence"])
def test_a_fold_that_cannot_be_brought_here_keeps_its_files(bench: Workbench, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    made(bench)
    bench.append(OWN, [{"name": "a", "value": 1.0}], durable=True)
    after_commits(monkeypatch, fault)
    bench.append(OWN, [{"name": "b", "value": 1.0}], durable=True)
    assert count(bench, OWN) == 2
    bench.append(OWN, [{"name": "c", "value": 1.0}], durable=True)
    assert (count(bench, OWN), sound(bench)) == (3, [])


# ---------------------------------------------------------------------- answers that get lost, and what these keys may not do


@pytest.fixture
def passing(proxy: FarProxy) -> Iterator[Workbench]:
    """A bench that reaches the bucket through the proxy."""
    with Workbench(Settings.load()) as made:
        yield made
        proxy.clear()


def test_a_lock_of_which_the_answer_is_lost_is_ours(passing: Workbench, proxy: FarProxy, vendor: Path) -> None:
    land(passing, vendor)
    proxy.troubles.append(Trouble(kind="put", key=r"locks/lock\.json$", times=1, reset=True, late=True))
    vacuum.vacuum(passing.lake, dry_run=False)
    assert proxy.troubles[0].met
    assert list(remote(passing).below("locks/")) == []


def test_a_conflict_is_tried_again(passing: Workbench, proxy: FarProxy) -> None:
    proxy.troubles.append(Trouble(kind="put", times=1, status=409, code="ConditionalRequestConflict"))
    assert remote(passing).put_once("tmp/x", b"x")
    assert remote(passing).get("tmp/x") == b"x"


def test_where_nothing_may_be_removed_all_else_is_done(
    passing: Workbench, proxy: FarProxy, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.troubles += [Trouble(kind=kind, status=403, code="AccessDenied") for kind in ("delete", "post")]
    assert land(passing, vendor).exit_status == 0
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    assert land(passing, vendor).exit_status == 0
    assert (count(passing), sound(passing)) == (3, [])
    instant = datetime.now(UTC)
    # A look into the past holds the bucket's lock for a moment, twice.
    for _ in range(2):
        with workbench.open(as_of=instant) as past:
            assert count(past) == 3
    real = Remote.now
    monkeypatch.setattr(Remote, "now", lambda self: real(self) + 7200)
    with pytest.raises(BadKeys, match=r"may not do this.*not all of what was to go was removed.*list, read, put and delete"):
        passing.vacuum("0 days", dry_run=False)
    assert (count(passing), sound(passing)) == (3, [])
    # What a writer gives up it leaves behind.
    passing.lake["stock_day"].drop("chunk=2024/bucket=00/nobody.parquet")


def test_objects_that_a_policy_keeps_are_told_with_what_to_do(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    far = remote(bench)
    kept = {"Errors": [{"Key": "x/a", "Code": "AccessDenied", "Message": "a policy"}]}
    monkeypatch.setattr(far.client, "delete_objects", lambda **_: kept)
    with pytest.raises(BadKeys, match=r"AccessDenied: a policy.*x/a was not removed.*list, read, put and delete"):
        far.remove_all(["a"])


# ---------------------------------------------------------------------- this machine's folder


def test_what_this_machine_wrote_counts_to_the_limit(bench: Workbench, vendor: Path) -> None:
    came: list[int] = []
    remote(bench).held.grew = came.append  # type: ignore[assignment, method-assign]
    land(bench, vendor)
    assert sum(came) == sum(path.stat().st_size for path in bench.lake.root.glob("lake/main/*/chunk*/**/*.parquet"))


@pytest.mark.parametrize("left", [b"", b"{", b"[]"], ids=str)
def test_small_files_that_a_loss_of_power_spoiled_here_are_brought_again(bench: Workbench, vendor: Path, left: bytes) -> None:
    land(bench, vendor)
    made(bench)
    root = bench.lake.root
    for name in ("lake.json", f"journal/tables/{OWN}.json"):
        (root / name).write_bytes(left)
    told = "import workbench; bench = workbench.open(); print(bench.sql('FROM stock_day').count('*').fetchall(), bench.sql('FROM derived.factor').fetchall())"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[(4,)] []\n", "")


def test_a_lake_json_that_cannot_be_read_in_the_bucket_is_told_by_its_url(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    remote(bench).put_over("lake.json", b"{")
    with pytest.raises(LakeError, match=r"s3://lakes/\w+/lake.json cannot be read.*nothing was opened"):
        remote(bench).mirror.expect_same("lake.json")


def test_faults_name_the_bucket_and_not_this_machines_folder(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    far = remote(bench)
    commit = "lake/main/stock_day/_delta_log/00000000000000000001.json"
    far.put_over(commit, b"{")
    (bench.lake.root / commit).write_bytes(b"{")
    told = []
    for what in (lambda: LakeTable(bench.lake.root, STOCK_DAY).snapshot(), lambda: vacuum.vacuum(bench.lake, dry_run=False)):
        with pytest.raises(LakeError) as fault:
            what()
        told.append(str(fault.value))
    with alone(bench.lake.root), pytest.raises(Busy) as busy:
        bench.maintain()
    told.append(str(busy.value))
    assert all(far.where in one and str(bench.lake.root) not in one for one in told), told


def test_a_verify_names_the_bucket_and_not_this_machines_folder(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    far = remote(bench)
    for at in ("lake/main/stock_day/_delta_log/00000000000000000001.json",):
        far.put_over(at, b"{")
        (bench.lake.root / at).write_bytes(b"{")
    far.mirror.stale()
    told = [f"{one.where} {one.what} {one.remedy}" for one in verify(bench.lake).faults]
    assert told
    assert all(far.where in one and str(bench.lake.root) not in one for one in told), told


def test_a_machine_that_holds_no_file_tells_versions_apart(
    bench: Workbench, vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(bench, vendor)
    made(bench)
    bench.append(OWN, [{"name": "a", "value": 1.0}], durable=True)
    bench.upsert(OWN, [{"name": "a", "value": 2.0}], durable=True)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "other"))
    with workbench.open() as other:
        assert len(other.diff("stock_day", 0, 1).rows) == 4
        assert [row["change"] for row in other.diff(OWN, 1, 2).rows] == ["changed"]


def test_a_lake_is_not_restored_into_the_place_of_the_backups(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    where = f"{remote(bench).where}-kept"
    bench.backup(where)
    for root in (where, f"{where}/lake"):
        with pytest.raises(UsageError, match="where the backups stand; nothing was restored"):
            workbench.restore(where, root)


def test_the_limit_of_what_this_machine_holds_counts_before_anything_is_read(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE_SIZE", "3MB")
    with Workbench(Settings.load()) as bench:
        assert remote(bench).held.limit == 3_000_000


def test_a_small_object_whose_body_breaks_off_is_asked_for_again(passing: Workbench, proxy: FarProxy, vendor: Path) -> None:
    land(passing, vendor)
    proxy.troubles.append(Trouble(kind="get", key=r"lake\.json$", times=2, cut=10))
    remote(passing).mirror.expect_same("lake.json")
    assert proxy.troubles[0].met == 3


def test_a_session_that_could_not_follow_follows_later(bench: Workbench, s3: S3, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land(bench, vendor)
    bench.lake["stock_day"].set_bounds(("B",))
    with farproxy(s3.endpoint) as proxy, monkeypatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with Workbench(Settings.load()) as passing:
            assert count(passing) == 4
            bench.compact(everything=True)
            proxy.troubles.append(Trouble(kind="get", key=r"\.parquet$", status=403, code="AccessDenied"))
            with pytest.raises(WorkbenchError) as fault:
                count(passing)
            assert "Traceback" not in str(fault.value)
            proxy.clear()
            assert count(passing) == 4


def test_what_other_tools_put_beside_a_lake_is_passed_over(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    there = remote(bench)
    strange = ("tables/", "lake/", "lake/main/stock_day/", "tables/read.me", "tables/x.json", "quarantine/", "a.csv", "lake/main/notes.txt")
    for name in strange:
        there.put_over(name, b"strange")
    made(bench)
    bench.append(OWN, [{"name": "a", "value": 1.0}], durable=True)
    assert (count(bench), count(bench, OWN), sound(bench)) == (4, 1, [])
    bench.vacuum(dry_run=False)
    assert there.get("lake/main/notes.txt") == b"strange"


def test_names_that_lead_out_of_this_machines_folder_are_passed_over(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    far = remote(bench)
    prefix, at = far._prefix, datetime.now(UTC)
    keys = [f"{prefix}{name}" for name in ("quarantine/../../../escaped.json", "quarantine/..", "quarantine/a/b..c.json")]

    class Pages:
        def paginate(self, **_: object) -> list[Any]:
            return [
                {
                    "Contents": [{"Key": key, "Size": 1, "LastModified": at} for key in keys],
                    "CommonPrefixes": [{"Prefix": f"{prefix}lake/../"}],
                }
            ]

    monkeypatch.setattr(far.client, "get_paginator", lambda _: Pages())
    assert [one.name for one in far.below("quarantine/")] == ["quarantine/a/b..c.json"]
    assert far.folders("lake/") == []
