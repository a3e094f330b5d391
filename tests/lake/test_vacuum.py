"""Vacuum: what it removes, what it never touches, and what the past says afterwards."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from flatfiles import FRI, STOCK_DAY, THU, bar, put, text

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError, UsageError
from workbench.lake import leftovers
from workbench.lake.disk import place
from workbench.lake.history import sound
from workbench.lake.leftovers import clean
from workbench.lake.readers import exclusive
from workbench.lake.vacuum import Vacuumed, useless, vacuum

NOW = timedelta(0)


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "vendor"


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Workbench:
    """A lake in which Thursday was published three times, and Friday once."""
    made_once(landing, tmp_path)
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


def landing(home: Path) -> None:
    bench, vendor = Workbench(Settings.load(env={}, data=str(home / "lake"))), home / "vendor"
    for close in (10, 11, 12):
        publish(bench, vendor, close)
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    bench.refresh(source=f"folder:{vendor}").run()


def publish(bench: Workbench, vendor: Path, close: int) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA", close=close), bar("BBB")]))
    bench.refresh(source=f"folder:{vendor}").run()
    time.sleep(0.002)


def folder(bench: Workbench) -> Path:
    return bench.lake["stock_day"].folder


def on_disk(bench: Workbench) -> set[str]:
    return {str(path.relative_to(folder(bench))) for path in folder(bench).rglob("*.parquet") if "_delta_log" not in path.parts}


def live(bench: Workbench) -> set[str]:
    return set(bench.lake["stock_day"].snapshot().by_path)


def removed(bench: Workbench, keep: timedelta = NOW, orphans: timedelta = NOW) -> Vacuumed:
    [one] = [one for one in vacuum(bench.lake, keep, dry_run=False, orphans=orphans) if one.table == "stock_day"]
    return one


def closes(bench: Workbench) -> list[tuple[object, ...]]:
    return bench.sql("SELECT close FROM stock_day WHERE ticker = 'AAA' AND date = '2024-03-07'").fetchall()


@pytest.mark.core
def test_replaced_files_go_when_they_are_old_enough_and_live_ones_stay(bench: Workbench) -> None:
    assert len(on_disk(bench)) == 4

    young = removed(bench, timedelta(days=7))
    assert (young.retired, young.young, len(on_disk(bench))) == ([], 2, 4)

    gone = removed(bench)
    assert len(gone.retired) == 2
    assert gone.size == sum(one.size for one in gone.retired) > 0
    assert on_disk(bench) == live(bench)
    assert closes(bench) == [(12.0,)]


def test_a_dry_run_says_the_same_and_touches_nothing(bench: Workbench) -> None:
    before = sorted(bench.lake.root.rglob("*"))
    [said] = vacuum(bench.lake, NOW, orphans=NOW)

    assert sorted(bench.lake.root.rglob("*")) == before
    assert said == removed(bench)


def test_a_second_vacuum_has_nothing_to_do(bench: Workbench) -> None:
    removed(bench)

    assert vacuum(bench.lake, NOW, dry_run=False, orphans=NOW) == []


def test_the_log_stays_whole(bench: Workbench) -> None:
    log = sorted((folder(bench) / "_delta_log").iterdir())
    (folder(bench) / "_delta_log" / "_commit_1.json.tmp").touch()
    removed(bench)

    assert sorted(path for path in (folder(bench) / "_delta_log").iterdir() if path.suffix != ".tmp") == log
    assert (folder(bench) / "_delta_log" / "_commit_1.json.tmp").exists()


@pytest.mark.on_disk
def test_files_that_no_commit_knows_go_when_a_day_old(bench: Workbench) -> None:
    orphan = folder(bench) / "chunk=2024-03" / "bucket=07" / "2024-03-01-0123abcd.parquet"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x" * 10)
    # Bytes may be old, and have been moved to their place just now.
    os.utime(orphan, (0, 0))

    assert removed(bench, orphans=timedelta(days=1)).orphans == []
    assert orphan.exists()
    assert [(one.path, one.size) for one in removed(bench).orphans] == [(str(orphan.relative_to(folder(bench))), 10)]
    assert not orphan.parent.exists()


@pytest.mark.on_disk
def test_what_a_compaction_will_take_up_again_is_left(bench: Workbench) -> None:
    path = "chunk=2024-03/bucket=00/2024-03-0123abcd.parquet"
    (folder(bench) / path).parent.mkdir(parents=True)
    (folder(bench) / path).write_bytes(b"x")
    notes = bench.lake.root / "tmp" / "cold-stock_day-2024-03-0123456789abcdef"
    notes.mkdir(parents=True)
    (notes / "00.json").write_text(json.dumps({"file": {"path": path}}))

    assert removed(bench).orphans == []
    assert (folder(bench) / path).exists()


def test_a_file_that_is_committed_while_vacuum_looks_is_no_orphan(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is listed before the log is read: the other way round it would be on the disk and in no commit."""

    def late(place: Path, undone: str) -> object:
        publish(bench, vendor, 13)
        return sound(place, undone)

    monkeypatch.setattr("workbench.lake.vacuum.sound", late)
    found = useless(bench.lake["stock_day"], timedelta(days=7), NOW)

    assert found
    assert found.orphans == []


# ---------------------------------------------------------------------- readers


def test_an_open_bench_keeps_what_it_may_read(bench: Workbench, vendor: Path) -> None:
    other = workbench.open(bench.lake.root)
    with other.pin():
        assert closes(other) == [(12.0,)]
        publish(bench, vendor, 13)

        kept = removed(bench)
        assert (len(kept.retired), kept.read) == (2, 1)
        assert closes(other) == [(12.0,)]
    other.close()

    assert len(removed(bench).retired) == 1
    assert on_disk(bench) == live(bench)


@pytest.mark.skipif(not hasattr(duckdb, "ResourceInUseException"), reason="DuckDB before 2.0 ends an open stream instead of refusing")
def test_a_stream_that_was_begun_before_reads_on(bench: Workbench, vendor: Path) -> None:
    stream = bench.sql("SELECT * FROM stock_day").to_arrow_reader(1)
    publish(bench, vendor, 13)
    assert closes(bench) == [(13.0,)]

    removed(bench)

    assert sum(batch.num_rows for batch in stream) == 3


@pytest.mark.core
def test_a_bench_in_the_past_keeps_its_files_and_only_those(bench: Workbench, vendor: Path) -> None:
    with workbench.open(bench.lake.root, as_of=datetime.now(UTC)) as then:
        for close in (13, 14):
            publish(bench, vendor, close)
        kept = removed(bench)
        assert (len(kept.retired), kept.read) == (3, 1)
        assert closes(then) == [(12.0,)]
    assert closes(bench) == [(14.0,)]


# ---------------------------------------------------------------------- the past


def test_an_instant_of_which_files_were_vacuumed_says_so(bench: Workbench, vendor: Path) -> None:
    then = datetime.now(UTC)
    time.sleep(0.002)
    publish(bench, vendor, 13)
    removed(bench)

    with pytest.raises(LakeError, match=r"stock_day cannot be opened as of .* 1 of that instant's 2 files .* removed by vacuum") as fault:
        workbench.open(bench.lake.root, as_of=then)
    instant = str(fault.value).split("an instant from ")[1].split(" on,")[0]
    with workbench.open(bench.lake.root, as_of=instant) as first:
        assert closes(first) == [(13.0,)]


def test_a_bench_in_the_past_waits_for_a_vacuum_to_end(bench: Workbench) -> None:
    code = "import sys, workbench; workbench.open(sys.argv[1], as_of=sys.argv[2]); print('open')"
    with exclusive(bench.lake.root):
        words = [sys.executable, "-c", code, str(bench.lake.root), datetime.now(UTC).isoformat()]
        other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(2)
    assert other.communicate(timeout=120)[0] == "open\n"


# ---------------------------------------------------------------------- refusals


@pytest.mark.on_disk
def test_nothing_goes_from_a_table_of_which_a_commit_is_lost(bench: Workbench) -> None:
    """What the lost commit added would look like nobody's."""
    before = on_disk(bench)
    (folder(bench) / "_delta_log" / f"{2:020}.json").unlink()

    with pytest.raises(LakeError, match=r"it is missing.*nothing was removed of stock_day"):
        vacuum(bench.lake, NOW, dry_run=False, orphans=NOW)
    assert on_disk(bench) == before


def test_a_negative_age_is_refused(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="nothing was removed"):
        vacuum(bench.lake, timedelta(days=-1))


@pytest.mark.on_disk
def test_killed_anywhere_it_leaves_the_lake_whole_and_the_next_goes_on(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink
    count = 0

    def killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal count
        if path.suffix == ".parquet":
            count += 1
            if count == 2:
                raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        removed(bench)
    assert len(on_disk(bench)) == 3
    assert closes(bench) == [(12.0,)]

    assert len(removed(bench).retired) == 1
    assert on_disk(bench) == live(bench)


# ---------------------------------------------------------------------- clean

DEAD = 4_194_305  # beyond Linux's greatest process number
OLD = {"day": leftovers.DAY_S + 60, "week": leftovers.RESUMABLE_S + 60, "now": 0.0}


@pytest.mark.on_disk
@pytest.mark.parametrize(
    ("path", "age", "goes"),
    [
        (f"tmp/land-{platform.node()}-{DEAD}-0123abcd/all.parquet", "now", "drafts of a landing"),
        (f"tmp/land-{platform.node()}-{os.getpid()}-0123abcd/all.parquet", "week", None),
        (f"tmp/land-other-{platform.node()}-{DEAD}-0123abcd/all.parquet", "week", "drafts of a landing"),
        (f"tmp/land-other-{platform.node()}-{DEAD}-0123abcd/all.parquet", "day", None),
        ("tmp/cold-stock_day-2024-0123456789abcdef/00.parquet", "week", "drafts of a compaction"),
        ("tmp/cold-stock_day-2024-0123456789abcdef/00.parquet", "day", None),
        ("tmp/fetch/0123abcd4567-2024-01-02.csv.gz.part", "day", None),
        ("tmp/fetch/0123abcd4567-2024-01-02.csv.gz.part", "week", "downloads"),
        ("tmp/fetch/0123abcd4567-2024-01-02.csv.gz.89abcdef.part", "day", "downloads"),
        ("tmp/fetch/0123abcd4567-2024-01-02.csv.gz.lock", "day", "downloads"),
        ("tmp/fetch/0123abcd4567-2024-01-02.csv.gz.lock", "now", None),
        ("tmp/fetch/0123abcd4567-2024-01-02.csv.gz", "day", None),
        (f"tmp/spill/{platform.node()}-{DEAD}/duckdb_temp_storage_DEFAULT-0.tmp", "now", "spill"),
        (f"tmp/spill/{platform.node()}-{os.getpid()}/duckdb_temp_storage_DEFAULT-0.tmp", "week", None),
        (f"tmp/spill/elsewhere-{DEAD}/duckdb_temp_storage_DEFAULT-0.tmp", "now", None),
        (f"tmp/spill/{DEAD}/duckdb_temp_storage_DEFAULT-0.tmp", "day", "spill"),
        ("tmp/tmpab12cd34/rows", "day", "results"),
        ("tmp/folder-identities.json", "week", None),
        (f"locks/readers/{platform.node()}-{DEAD}-0123abcd.json", "now", "registrations"),
        ("lake/main/stock_day/_delta_log/_commit_1.json.tmp", "day", "drafts of a commit"),
        ("lake/main/stock_day/_delta_log/00000000000000000000.json", "week", None),
        ("quarantine/stock_day/2024-03-07/.123.a.csv.gz", "day", "refused, without a record"),
        ("quarantine/stock_day/2024-03-07/us-e1.rows.parquet", "day", "refused, without a record"),
        ("quarantine/stock_day/2024-03-07/us-e1.rows.parquet", "now", None),
    ],
    # The same names in every process that runs tests.
    ids=lambda value: str(value).replace(str(os.getpid()), "own"),
)
def test_what_clean_removes_and_what_it_leaves(tmp_path: Path, path: str, age: str, goes: str | None) -> None:
    left = tmp_path / path
    left.parent.mkdir(parents=True)
    left.write_bytes(b"123")
    for one in (left, left.parent):
        os.utime(one, (time.time() - OLD[age],) * 2)

    said = clean(tmp_path, tmp_path / "tmp")
    assert left.exists()
    assert [(one.kind, one.size) for one in said] == ([(goes, 3)] if goes else [])

    assert clean(tmp_path, tmp_path / "tmp", dry_run=False) == said
    assert left.exists() == (goes is None)
    assert clean(tmp_path, tmp_path / "tmp") == []


@pytest.mark.parametrize("record", ["rows", "file"])
def test_refused_rows_with_their_record_stay(tmp_path: Path, record: str) -> None:
    rows = tmp_path / "quarantine/stock_day/2024-03-07/us-e1.rows.parquet"
    rows.parent.mkdir(parents=True)
    for path in (rows, rows.with_name(f"us-e1.{record}.json")):
        path.touch()
        os.utime(path, (0, 0))

    assert clean(tmp_path, tmp_path / "tmp") == []


def test_spill_of_this_process_is_named_as_clean_reads_it(bench: Workbench) -> None:
    [(place,)] = bench.sql("SELECT current_setting('temp_directory')").fetchall()

    assert Path(place).name == f"{platform.node()}-{os.getpid()}"


@pytest.mark.on_disk
def test_a_file_is_moved_into_a_folder_that_vacuum_just_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, target = tmp_path / "draft", tmp_path / "chunk=2024-03" / "bucket=00" / "a.parquet"
    draft.write_bytes(b"x")
    replace, removals = Path.replace, [1, 2]

    def raced(path: Path, to: Path) -> Path:
        if removals and removals.pop():
            target.parent.rmdir()
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", raced)
    place(draft, target)

    assert target.read_bytes() == b"x"
    with pytest.raises(FileNotFoundError):
        place(draft, target)


READER = """
import sys, time, workbench
bench = workbench.open(sys.argv[1])
for _ in range(15):
    relation = bench.sql("SELECT count(*), count(DISTINCT close) FROM stock_day WHERE date = '2024-03-07'")
    time.sleep(0.05)
    [(rows, closes)] = relation.fetchall()
    assert rows == 2, (rows, closes)
"""


@pytest.mark.on_disk
def test_readers_never_miss_a_file_while_others_replace_and_vacuum(bench: Workbench, vendor: Path) -> None:
    words = [sys.executable, "-c", READER, str(bench.lake.root)]
    readers = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    gone = close = 0
    while any(reader.poll() is None for reader in readers):
        close += 1
        publish(bench, vendor, 20 + close)
        gone += sum(len(one.retired) for one in vacuum(bench.lake, NOW, dry_run=False))

    for reader in readers:
        complained = reader.communicate()[1]
        assert (reader.returncode, complained) == (0, "")
    assert gone > 3
