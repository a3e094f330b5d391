"""Disks that are full, that nobody may write to, and paths with odd names: a clear error, the lake as it was, and the same command later."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from flatfiles import STOCK_MINUTE

from crash import judge, scenarios, written
from crash.harness import forkserver, told
from crash.scenarios import FOLDED, SCENARIOS
from workbench.errors import LakeError
from workbench.lake import tiering
from workbench.lake.fold import fold_all
from workbench.lake.store import Lake

pytestmark = pytest.mark.slow

FULL = {
    "landing": SCENARIOS["land sessions"],
    "landing of ticks": SCENARIOS["publish ticks again"],
    "publishing again in a cold chunk": SCENARIOS["publish two cold sessions again"],
    "compaction": SCENARIOS["compact for the first time"],
    "merging": SCENARIOS["fold months into a quarter"],
}


def mounted(at: Path, options: str) -> bool:
    """Whether a small disk could be mounted."""
    at.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    at = tmp_path / "small"
    if not mounted(at, "size=6m"):
        pytest.skip("this machine does not let a test mount a small disk")
    yield at
    subprocess.run(["umount", "--lazy", str(at)], check=True)


def fill(disk: Path, left: int) -> Path:
    """Fill a disk up to some bytes."""
    filler = disk / "filler"
    handle = os.open(filler, os.O_CREAT | os.O_WRONLY)
    with suppress(OSError):
        while True:
            os.write(handle, bytes(4096))
    os.ftruncate(handle, max(os.fstat(handle).st_size - left, 0))
    os.close(handle)
    return filler


@pytest.mark.parametrize("left", [0, 8192, 24576, 65536])
@pytest.mark.parametrize("what", FULL)
def test_a_full_disk_is_named_and_changes_nothing(small: Path, tmp_path: Path, what: str, left: int) -> None:
    scenario, root, vendor = FULL[what], small / "lake", tmp_path / "vendor"
    vendor.mkdir()
    scenario.before(root, vendor)
    scenario.publish(vendor)
    before = told(root)
    filler = fill(small, left)

    fault = fault_of(lambda: scenario.work(root, vendor))

    during = told(root)
    if fault:
        # A session published again says so of itself, and the refresh goes on.
        assert isinstance(fault, LakeError) or "failed: the disk" in str(fault), repr(fault)
        assert "is full" in str(fault), str(fault)
        assert "Free some space" in str(fault), str(fault)
        assert all(during[session] == rows for session, rows in before.items() if scenario.whole)
    else:
        assert left, "there was no room at all"
    assert judge.wrong(root, full=True) == []
    assert judge.drafts(root) == [], "drafts keep nothing of a disk that is full"
    filler.unlink()
    scenario.work(root, vendor)
    assert judge.wrong(root) == []
    assert len(told(root)) >= len(before)
    assert judge.by_delta(root) == told(root)


def fault_of(work: Callable[[], None]) -> Exception | None:
    """What a piece of work raises."""
    try:
        work()
    except Exception as fault:
        return fault
    return None


@pytest.mark.parametrize("what", FULL)
def test_a_disk_that_cannot_be_written_is_named_and_read(small: Path, tmp_path: Path, what: str) -> None:
    scenario, root, vendor = FULL[what], small / "lake", tmp_path / "vendor"
    vendor.mkdir()
    scenario.before(root, vendor)
    scenario.publish(vendor)
    before = told(root)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)

    with pytest.raises(LakeError, match=r"cannot be written \(.*ead-only file system\).*the lake is unchanged.*WORKBENCH_DATA"):
        scenario.work(root, vendor)

    assert told(root) == before
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    scenario.work(root, vendor)
    assert judge.wrong(root) == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest keeps its own to its user."""
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def forbidden(root: str, vendor: str, what: str, told: "object") -> None:
    """A child without rights does the work of a scenario, and tells what it came to."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    fault = fault_of(lambda: FULL[what].work(Path(root), Path(vendor)))
    told.send((type(fault).__name__, str(fault), len(judge.by_delta(Path(root)))))  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", FULL)
def test_a_lake_of_somebody_else_is_read_and_named(open_folder: Path, what: str) -> None:
    scenario, root, vendor = FULL[what], open_folder / "lake", open_folder / "vendor"
    vendor.mkdir()
    scenario.before(root, vendor)
    scenario.publish(vendor)
    before = told(root)
    everything = [root, *root.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)

    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=forbidden, args=(str(root), str(vendor), what, theirs), daemon=True)
    process.start()
    kind, message, count = ours.recv() if ours.poll(60) else ("nothing", "", 0)
    process.join(10)

    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert kind == "LakeError", message
    assert "cannot be written (permission denied)" in message.lower()
    assert count == len(before)
    assert told(root) == before
    assert judge.wrong(root) == []


@pytest.mark.parametrize("name", ["with spaces", "Börse 株価", 'it\'s "quoted" & more'])
def test_a_path_may_have_any_name(tmp_path: Path, name: str) -> None:
    root, vendor = tmp_path / name / "lake", tmp_path / f"{name} vendor"
    vendor.mkdir()

    scenarios.cold(root, vendor)
    scenarios.two_again(vendor)
    scenarios.refresh(root, vendor)
    scenarios.ticks(vendor)
    scenarios.refresh(root, vendor)
    [*_] = (tiering.compact(Lake(root)[STOCK_MINUTE.name], unit) for unit in tiering.due(Lake(root)[STOCK_MINUTE.name], FOLDED))

    state = told(root)
    assert {len(rows) for (table, _), rows in state.items() if table == "stock_day"} == {len(scenarios.TICKERS)}
    assert len(state) == 2 * len((*scenarios.JANUARY, *scenarios.FEBRUARY)) + 2
    assert judge.wrong(root) == []


WRITING = {"rows": written.few, "a large batch": written.many, "a transaction": written.several, "a fold": written.fold}


@pytest.mark.parametrize("left", [0, 8192, 65536])
@pytest.mark.parametrize("what", WRITING)
def test_a_full_disk_takes_none_of_what_people_write_or_all_of_it(small: Path, what: str, left: int) -> None:
    root = small / "lake"
    (written.pending if what == "a fold" else written.folded)(root)
    before = written.seen(root)
    filler = fill(small, left)

    fault = fault_of(lambda: WRITING[what](root))

    filler.unlink()
    during = written.seen(root)
    if fault:
        assert isinstance(fault, LakeError), repr(fault)
        assert "is full" in str(fault), str(fault)
        assert "Free some space" in str(fault), str(fault)
    else:
        assert left, "there was no room at all"
    if during == before:
        WRITING[what](root)
    fold_all(root)
    after = written.seen(root)
    # What was written before the disk was full, and could not be folded, is there; else it was written now.
    assert during in (before, after)
    assert (after != before) == (what != "a fold")
    assert written.swept(root) == []
    assert written.seen(root) == after
