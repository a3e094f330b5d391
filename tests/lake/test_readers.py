"""Registrations of open readers: what they hold, for how long, and that none is overlooked."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import Busy
from workbench.lake import processes, readers
from workbench.lake.history import Life
from workbench.lake.readers import Reader, registered
from workbench.lake.snapshots import Snapshot


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "vendor"


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Workbench:
    made_once(landing, tmp_path)
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


def landing(home: Path) -> None:
    put(home / "vendor", STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    Workbench(Settings.load(env={}, data=str(home / "lake"))).refresh(source=f"folder:{home / 'vendor'}").run()


def held(bench: Workbench) -> list[readers.Span]:
    return registered(bench.lake.root).get("stock_day", [])


def files(bench: Workbench) -> list[Path]:
    return sorted((bench.lake.root / "locks" / "readers").glob("*"))


def version(bench: Workbench) -> int:
    return bench.lake["stock_day"].snapshot().version


def test_a_bench_is_registered_from_its_first_query_until_it_closes(bench: Workbench) -> None:
    assert held(bench) == []

    bench.sql("SELECT 1")
    assert held(bench) == [(version(bench), version(bench))]
    assert processes.owner(files(bench)[0].stem) == (platform.node(), os.getpid())

    bench.close()
    assert files(bench) == []


def test_what_its_views_showed_counts_for_a_day(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.sql("SELECT 1")
    first = version(bench)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    bench.refresh(source=f"folder:{vendor}").run()
    bench.sql("SELECT 1")
    assert held(bench) == [(first, version(bench))]

    monkeypatch.setattr(readers, "AFTER_S", 0.0)
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    bench.refresh(source=f"folder:{vendor}").run()
    bench.sql("SELECT 1")
    # The one before it was left just now, and counts from now on.
    assert held(bench) == [(version(bench) - 1, version(bench))]


def test_versions_left_within_a_minute_are_kept_as_one(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for n in range(1000):
        reader.hold({"stock_day": n})

    assert reader.spans == {"stock_day": (0, 999)}
    assert sum(map(len, reader._before.values())) == 1


def test_a_bench_in_the_past_is_registered_before_it_is_asked(bench: Workbench, vendor: Path) -> None:
    then, first = datetime.now(UTC), version(bench)
    time.sleep(0.002)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    bench.refresh(source=f"folder:{vendor}").run()

    with workbench.open(bench.lake.root, as_of=then):
        assert held(bench) == [(first, first)]
    assert files(bench) == []


def test_a_reader_that_is_overtaken_while_it_registers_goes_on_to_the_newer_version(tmp_path: Path) -> None:
    """Vacuum may have listed the registrations before this one: then the reader must see what vacuum saw."""
    seen: list[object] = []
    newest = 7

    def look(names: Iterable[str] | None) -> dict[str, Snapshot]:
        nonlocal newest
        seen.append(registered(tmp_path).get("stock_day"))
        if len(seen) == 2:
            newest = 8
        return {"stock_day": Snapshot(newest)}

    found = Reader(tmp_path).following(look)

    assert found["stock_day"].version == 8
    # It stood registered whenever it looked again.
    assert seen == [None, [(7, 7)], [(7, 8)]]


def test_nothing_is_written_while_nothing_moves(bench: Workbench) -> None:
    bench.sql("SELECT 1")
    before = files(bench)[0].stat()
    for _ in range(10):
        bench.sql("SELECT 1")
    assert files(bench)[0].stat() == before


def ends(how: str) -> str:
    return f"import sys, os, signal, workbench; b = workbench.open(sys.argv[1]); b.sql('SELECT 1'); {how}"


@pytest.mark.parametrize(
    ("how", "left"),
    [("pass", 0), ("del b; import gc; gc.collect(); os._exit(0)", 0), ("os.kill(os.getpid(), signal.SIGKILL)", 1)],
    ids=["an end without close", "a bench that is dropped", "a kill"],
)
def test_a_process_that_ends_leaves_no_registration_and_a_killed_one_is_swept(bench: Workbench, how: str, left: int) -> None:
    subprocess.run([sys.executable, "-c", ends(how), str(bench.lake.root)], check=False)

    assert len(files(bench)) == left
    assert held(bench) == []
    assert files(bench) == []


def write(bench: Workbench, name: str, started: str = "", age_s: float = 0) -> Path:
    path = bench.lake.root / "locks" / "readers" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"started": started, "tables": {"stock_day": [0, 1]}}))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@pytest.mark.parametrize(
    ("name", "started", "age_s", "counts"),
    [
        (lambda: f"{platform.node()}-{os.getpid()}-0123abcd", lambda: processes.started(os.getpid()), 10 * 86400, True),
        (lambda: f"{platform.node()}-{os.getpid()}-0123abcd", lambda: "1", 0, False),
        (lambda: "elsewhere-1-0123abcd", lambda: "1", 3600, True),
        (lambda: "elsewhere-1-0123abcd", lambda: "1", 25 * 3600, False),
        (lambda: f"other-{platform.node()}-4194305-0123abcd", lambda: "1", 3600, True),
    ],
    ids=["of a living process, however old", "of a number used again", "elsewhere", "elsewhere and silent for a day", "a longer name"],
)
def test_whose_registration_counts(
    bench: Workbench, name: Callable[[], str], started: Callable[[], str], age_s: float, counts: bool
) -> None:
    path = write(bench, name(), started(), age_s)

    assert held(bench) == [(0, 1)] * counts
    assert path.exists() == counts


def test_a_living_reader_says_so_once_an_hour_and_registers_anew_if_it_was_swept(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.sql("SELECT 1")
    [path] = files(bench)
    os.utime(path, (0, 0))
    monkeypatch.setattr(readers, "TOUCH_S", 0.0)
    bench.sql("SELECT 1")
    assert path.stat().st_mtime > 0

    shutil.rmtree(path.parent)
    for _ in range(2):
        bench.sql("SELECT 1")
    assert len(held(bench)) == 1


def test_a_registration_that_cannot_be_read_stops_whoever_asks(bench: Workbench) -> None:
    write(bench, "elsewhere-1-0123abcd").write_text('{"started": ')

    with pytest.raises(Busy, match="which files its reader needs is not known"):
        registered(bench.lake.root)


def test_queries_go_on_where_nothing_can_be_registered(bench: Workbench) -> None:
    place = bench.lake.root / "locks" / "readers"
    place.parent.mkdir(exist_ok=True)
    place.write_text("in the way")

    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(2,)]


def test_an_empty_lake_is_not_touched(tmp_path: Path) -> None:
    with Workbench(Settings.load(env={}, data=str(tmp_path / "none"))) as bench:
        bench.sql("SELECT 1")
    assert not (tmp_path / "none").exists()


@settings(max_examples=200, deadline=None)
@given(added=st.integers(0, 9), removed=st.none() | st.integers(1, 10), low=st.integers(0, 10), high=st.integers(0, 10))
def test_a_file_is_within_versions_if_one_of_them_lists_it(added: int, removed: int | None, low: int, high: int) -> None:
    assume(low <= high and (removed is None or removed > added))
    listed = any(added <= version and (removed is None or version < removed) for version in range(low, high + 1))

    assert Life(1, added, removed).within(low, high) == listed
