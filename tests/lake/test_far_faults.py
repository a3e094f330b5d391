"""A lake in a bucket whose store fails: refuses, stalls, loses answers, fills up, overwrites; and writers that are killed at any of their requests."""

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from crash.harness import forkserver
from farlooks import count, land, remote, sound
from farproxy import FarProxy, Passing, Trouble, farproxy
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text
from s3server import S3

from workbench import Workbench
from workbench.config import Settings
from workbench.errors import BadKeys, LakeError, UsageError, WorkbenchError
from workbench.lake import vacuum
from workbench.lake.history import history
from workbench.lake.remote.connection import Remote
from workbench.tables import TABLES

pytestmark = pytest.mark.s3

COMMIT = r"_delta_log/0*[1-9]\d*\.json$"
DATA = r"chunk=.*\.parquet$"
SLOW_DOWN = {"status": 503, "code": "SlowDown"}


@pytest.fixture
def proxy(s3: S3, far: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarProxy]:
    """What stands between the lake and its bucket."""
    with farproxy(s3.endpoint) as passing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", passing.endpoint)
        yield passing


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store is given up sooner."""
    monkeypatch.setattr(Remote, "connect_s", 1)
    monkeypatch.setattr(Remote, "read_s", 1)
    monkeypatch.setattr(Remote, "attempts", 2)


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    for day in (THU, FRI):
        put(folder, STOCK_DAY, day, text([bar("AAA", day), bar("BBB", day)]))
    return folder


@pytest.fixture
def bench(proxy: FarProxy) -> Iterator[Workbench]:
    with Workbench(Settings.load()) as made:
        yield made
        proxy.clear()


# ---------------------------------------------------------------------- a store that fails


@pytest.mark.parametrize("fault", [{"status": 500}, SLOW_DOWN, {"reset": True}, {"reset": True, "late": True}], ids=str)
def test_what_fails_once_is_asked_again(bench: Workbench, proxy: FarProxy, vendor: Path, fault: Mapping[str, Any]) -> None:
    proxy.troubles += [Trouble(kind, key, times=1, **fault) for kind in ("put", "get", "list", "head") for key in (DATA, COMMIT, "")]

    assert land(bench, vendor).exit_status == 0
    assert {one.met > 0 for one in proxy.troubles if one.kind == "put"} == {True}
    proxy.clear()
    assert (count(bench), sound(bench)) == (4, [])


def test_a_body_that_breaks_off_is_asked_for_again(
    bench: Workbench, proxy: FarProxy, vendor: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    land(bench, vendor)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    proxy.troubles.append(Trouble("get", r"json$|parquet$", times=2, cut=20))
    with Workbench(Settings.load()) as there:
        there.compact(everything=True)
        assert (count(there), sound(there)) == (4, [])
    assert proxy.troubles[0].met >= 2


def test_a_commit_of_which_the_answer_is_lost_counts_once(bench: Workbench, proxy: FarProxy, vendor: Path) -> None:
    proxy.troubles.append(Trouble("put", COMMIT, times=1, reset=True, late=True))

    assert land(bench, vendor).exit_status == 0
    assert proxy.troubles[0].met == 1, "the log is looked at, and the commit found there"
    assert (count(bench), sound(bench)) == (4, [])


@pytest.mark.usefixtures("hasty")
def test_a_commit_that_stands_and_of_which_nobody_hears_keeps_its_files(bench: Workbench, proxy: FarProxy, vendor: Path) -> None:
    """The store takes the commit, and answers nothing from then on."""
    land(bench, vendor)
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    dead = Trouble(key="stock_day", after=10**9, reset=True)

    class Taken(Trouble):
        def meets(self, kind: str, key: str) -> bool:
            met = super().meets(kind, key)
            dead.after = 0 if met else dead.after
            return met

    proxy.troubles += [Taken("put", COMMIT, times=1, reset=True, late=True), dead]
    with pytest.raises(WorkbenchError) as fault:
        land(bench, vendor)
    assert "does not answer" in str(fault.value)
    proxy.clear()
    assert (count(bench), sound(bench)) == (5, [])
    land(bench, vendor)
    assert (count(bench), sound(bench)) == (5, [])


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("kind", "key"), [("put", DATA), ("put", COMMIT), ("list", ""), ("head", "")])
def test_a_store_that_stalls_is_given_up_in_a_sentence_and_nothing_has_changed(
    bench: Workbench, proxy: FarProxy, vendor: Path, kind: str, key: str
) -> None:
    land(bench, vendor)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75)]))
    remote(bench).mirror.stale()
    proxy.troubles.append(Trouble(kind, key, status=500, stall=60))
    began = time.monotonic()
    told = failing(bench, vendor)
    assert time.monotonic() - began < 30
    assert "does not answer" in told
    assert "Run the command again" in told or "run the command again" in told
    proxy.clear()
    assert (count(bench), sound(bench)) == (4, [])
    assert land(bench, vendor).exit_status == 0
    assert (count(bench), sound(bench)) == (3, [])


def failing(bench: Workbench, vendor: Path) -> str:
    """What a refresh says that cannot do its work, be it raised or told of a file."""
    try:
        run = land(bench, vendor)
    except WorkbenchError as fault:
        return str(fault)
    assert run.exit_status != 0
    return " ".join(run.problems)


@pytest.mark.parametrize("code", ["QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"])
@pytest.mark.parametrize("key", [DATA, COMMIT], ids=["data", "commit"])
def test_a_bucket_that_is_full_says_so(bench: Workbench, proxy: FarProxy, vendor: Path, code: str, key: str) -> None:
    land(bench, vendor)
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    proxy.troubles.append(Trouble("put", key, status=400, code=code))
    told = failing(bench, vendor)
    assert re.search(r"s3://lakes/\w+ is full .*Free some room; run the command again", told), told
    proxy.clear()
    assert (count(bench), sound(bench)) == (4, [])
    assert land(bench, vendor).exit_status == 0
    assert count(bench) == 5


# ---------------------------------------------------------------------- keys, buckets, stores that cannot


def test_wrong_keys_are_told_in_a_sentence(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(BadKeys, match=r"s3://lakes/\w+ does not know these keys .*AWS_SECRET_ACCESS_KEY"):
        land(bench, vendor)


def test_no_keys_at_all_are_told_in_a_sentence(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(BadKeys, match=r"no keys for s3://lakes/\w+.*Set AWS_ACCESS_KEY_ID"):
        land(bench, vendor)


def test_a_missing_bucket_is_told_in_a_sentence(proxy: FarProxy, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", "s3://nobody-made-it/x")
    with Workbench(Settings.load()) as bench, pytest.raises(UsageError, match="there is no bucket 'nobody-made-it'"):
        land(bench, vendor)


@pytest.mark.slow
@pytest.mark.usefixtures("far")
def test_who_may_only_read_reads_and_is_told_on_writing(s3: S3, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", f"s3://{s3.bucket}/read-{os.getpid()}")
    with Workbench(Settings.load()) as bench:
        land(bench, vendor)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.reader.access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.reader.secret)
    monkeypatch.setenv("WORKBENCH_CACHE", str(vendor.parent / "reader"))
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    with Workbench(Settings.load()) as bench:
        assert count(bench) == 4
        before = {one.name for one in remote(bench).below("")}
        assert re.search(r"these keys may not do this in s3://.*They need to list, read, put and delete there", failing(bench, vendor))
        with pytest.raises(WorkbenchError, match="these keys may not do this"):
            expect_done(bench.compact(everything=True))
        with pytest.raises(WorkbenchError, match="these keys may not do this"):
            bench.reset("stock_day")
        assert {one.name for one in remote(bench).below("")} == before
        assert (count(bench), sound(bench)) == (4, [])


def expect_done(report: Any) -> None:
    """Raise what a report tells of a task that failed."""
    if told := [row["reason"] for row in report.rows if row.get("outcome") in ("failed", "refused")]:
        raise LakeError(told[0])


def test_a_store_that_overwrites_what_it_is_asked_to_leave_is_refused(
    bench: Workbench, proxy: FarProxy, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Passing._asked

    def ignoring(self: Passing, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        status, headers, body = real(self, sent)
        return (200, [("ETag", '"0"'), ("Content-Length", "0")], b"") if status == 412 else (status, headers, body)

    monkeypatch.setattr(Passing, "_asked", ignoring)
    with pytest.raises(
        LakeError, match=r"overwrites what it was asked to leave .*nothing was written. Take a store with conditional writes"
    ):
        land(bench, vendor)
    assert list(remote(bench).below("")) == []


def test_a_store_that_does_not_know_the_header_is_refused(bench: Workbench, proxy: FarProxy, vendor: Path) -> None:
    proxy.troubles.append(Trouble("put", status=501, code="NotImplemented"))
    with pytest.raises(LakeError, match="does not know conditional writes"):
        land(bench, vendor)


# ---------------------------------------------------------------------- killed


class Killing(Trouble):
    """Ends a process when it asks for the `nth` time to change something, before that is done or, `late`, after."""

    def __init__(self, nth: int, *, late: bool):
        super().__init__(reset=True, late=late)
        self.nth, self.pid = nth, 0

    def meets(self, kind: str, key: str) -> bool:
        if kind not in ("put", "post", "delete"):
            return False
        self.met += 1
        if self.met == self.nth and self.pid:
            if not self.late:
                os.kill(self.pid, signal.SIGKILL)
            return True
        return False


def work(vendor: Path) -> None:
    """Land what is new and what was replaced, write all of it cold, and remove what is replaced by that."""
    vacuum.FLOOR = timedelta(0)
    with Workbench(Settings.load()) as bench:
        land(bench, vendor)
        bench.compact(everything=True)
        bench.vacuum("0 days", dry_run=False)


def working(env: Mapping[str, str], vendor: str) -> None:
    """The child."""
    os.environ.update(env)
    work(Path(vendor))


def killed(proxy: FarProxy, vendor: Path, nth: int, *, late: bool) -> int:
    """Do the work in a process that is killed at its nth change; gives how many it came to."""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WORKBENCH_DATA", "WORKBENCH_CACHE")
    kill = Killing(nth, late=late)
    proxy.troubles.append(kill)
    child = forkserver().Process(target=working, args=({name: os.environ[name] for name in names}, str(vendor)))
    child.start()
    kill.pid = child.pid or 0
    if late:
        # The answer is lost, and then the process.
        while child.is_alive() and kill.met < nth:
            time.sleep(0.002)
        if nth and child.is_alive() and kill.met >= nth:
            os.kill(kill.pid, signal.SIGKILL)
    child.join(120)
    assert child.exitcode is not None
    proxy.clear()
    return kill.met


def whole(bench: Workbench, proxy: FarProxy, vendor: Path, before: int, after: int) -> None:
    """What a killed process left is the lake before or after each commit; the next one ends its work, and leaves nothing behind."""
    assert count(bench) in range(before, after + 1)
    assert sound(bench) == []
    far = remote(bench)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vacuum, "FLOOR", timedelta(0))
        patched.setattr(Remote, "now", lambda _: time.time() + 10)
        patched.setattr(vacuum, "ORPHANS", timedelta(0))
        # In a process of its own: delta-rs sets a table's properties without letting this one's proxy run.
        killed(proxy, vendor, 10**9, late=False)
        assert (count(bench), sound(bench)) == (after, [])
        vacuum.vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    # What this bench has shown stays.
    known = {f"lake/main/{name}/{path}" for name in TABLES for path in history(bench.lake[name].folder).files}
    assert {one.name for one in far.below("lake/main/") if "/chunk=" in one.name} <= known
    assert (count(bench), sound(bench)) == (after, [])


@pytest.fixture
def begun(bench: Workbench, proxy: FarProxy, vendor: Path) -> Workbench:
    """A lake with two sessions, of which one has been published again, and a third that came since."""
    land(bench, vendor)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=9.75), bar("BBB", FRI)]))
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON), bar("BBB", MON)]))
    put(vendor, STOCK_MINUTE, THU, text([*minutes("AAA", THU, 3), *minutes("ZZZ", THU, 3)]))
    return bench


@pytest.mark.parametrize(("nth", "late"), [(2, False), (4, True), (7, False)])
def test_a_writer_killed_at_a_request_leaves_the_lake_before_or_after(
    begun: Workbench, proxy: FarProxy, vendor: Path, nth: int, late: bool
) -> None:
    assert killed(proxy, vendor, nth, late=late) >= nth
    whole(begun, proxy, vendor, 4, 6)


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("nth", [n if n % 6 == 1 else pytest.param(n, marks=pytest.mark.long) for n in range(1, 32)])
def test_a_writer_killed_at_any_request_leaves_the_lake_before_or_after(
    begun: Workbench, proxy: FarProxy, vendor: Path, nth: int, late: bool
) -> None:
    killed(proxy, vendor, nth, late=late)
    whole(begun, proxy, vendor, 4, 6)


@pytest.mark.slow
def test_the_work_that_is_killed_has_no_more_requests_than_are_tried(begun: Workbench, proxy: FarProxy, vendor: Path) -> None:
    assert 10 < killed(proxy, vendor, 10**9, late=False) < 32
    assert (count(begun), sound(begun)) == (6, [])
