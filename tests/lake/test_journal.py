"""The journal: what it keeps, whoever writes and however they end."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from workbench import __version__
from workbench.errors import Busy, LakeError
from workbench.lake import sqlitefile as module
from workbench.lake.journal import Attempt, Journal

FAILED = Attempt(
    "run-1", "refresh", "stock_day", "polygon_s3", "failed", session=date(2024, 3, 7), reason="NotEntitled: the plan does not cover it"
)

# Records one attempt after another, and says which are durable.
WRITER = """
import sys
from pathlib import Path
from workbench.lake.journal import Attempt, Journal
journal = Journal(Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    journal.record([Attempt("r", "refresh", "stock_day", sys.argv[2], "failed", symbol=str(n))] * 2)
    print(n, flush=True)
"""


def writer(root: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), name, str(count)], stdout=subprocess.PIPE, text=True)


def test_what_is_recorded_is_read_back_whole(tmp_path: Path) -> None:
    told = replace(
        FAILED,
        symbol="AAA",
        fallback_from="polygon_api",
        rows=3,
        quarantined=2,
        bytes=10_000_000_000,
        object_key="a/b.csv.gz",
        etag="x",
        started_at="2026-01-05T06:00:00.000+00:00",
        finished_at="2026-01-05T06:00:01.500+00:00",
        duration_ms=1500,
        library_version="0.0.1",
        id="mine",
    )
    Journal(tmp_path).record([told])
    assert Journal(tmp_path).attempts() == [told]


def test_what_is_left_out_is_filled_in(tmp_path: Path) -> None:
    journal, before = Journal(tmp_path), datetime.now(UTC) - timedelta(milliseconds=1)
    journal.record([FAILED, FAILED, replace(FAILED, status="started")])

    one, two, start = journal.attempts()
    assert one.id != two.id
    assert before <= datetime.fromisoformat(one.started_at) == datetime.fromisoformat(one.finished_at) <= datetime.now(UTC)
    assert one.library_version == __version__
    assert start.finished_at == ""


def test_one_dataset_and_since_an_instant(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([replace(FAILED, finished_at=f"2026-01-0{n}T06:00:00+00:00", symbol=str(n)) for n in (1, 2, 3)])
    journal.record([replace(FAILED, dataset="stock_minute")])

    assert [one.symbol for one in journal.attempts("stock_day")] == ["1", "2", "3"]
    # In whatever zone it is given.
    assert [one.symbol for one in journal.attempts("stock_day", since="2026-01-02T05:00:00-05:00")] == ["3"]


def test_reading_makes_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.attempts() == []
    assert journal.stamp() == journal.stamp()
    journal.record([])
    assert list(tmp_path.iterdir()) == []


def test_the_same_id_twice_is_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([replace(FAILED, id="a"), replace(FAILED, id="b")])
    journal.record([replace(FAILED, id="b"), replace(FAILED, id="c")])
    assert [one.id for one in journal.attempts()] == ["a", "b", "c"]


def test_a_text_that_is_none_is_kept_as_it_can_be(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([replace(FAILED, reason="LakeError: \udcff.csv; 'x'); DROP TABLE attempts; --\n\0é")])
    [one] = journal.attempts()
    assert one.reason == "LakeError: \\udcff.csv; 'x'); DROP TABLE attempts; --\n\0é"


# ---------------------------------------------------------------------- the stamp


def test_the_stamp_moves_when_anybody_records(tmp_path: Path) -> None:
    mine, other = Journal(tmp_path), Journal(tmp_path)
    seen = [mine.stamp()]
    for journal in (other, mine, other):
        journal.record([FAILED])
        seen.append(mine.stamp())
        assert mine.stamp() == seen[-1]
    assert len(set(seen)) == 4


def test_the_stamp_is_cheap(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([FAILED] * 1000)

    def taken() -> float:
        began = time.process_time()
        for _ in range(100):
            journal.stamp()
        return (time.process_time() - began) / 100

    assert min(taken() for _ in range(5)) < 0.005


# ---------------------------------------------------------------------- many, and the killed


def test_threads_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: journal.record([replace(FAILED, symbol=str(n))]), range(200)))
    assert {one.symbol for one in journal.attempts()} == set(map(str, range(200)))


def test_four_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    writers = [writer(tmp_path, f"w{n}", 100) for n in range(4)]
    for one in writers:
        one.communicate(timeout=240)
    assert [one.returncode for one in writers] == [0, 0, 0, 0]
    told = sorted((one.source, int(one.symbol or -1)) for one in Journal(tmp_path).attempts())
    assert told == sorted((f"w{n}", k) for n in range(4) for k in range(100) for _ in range(2))


@pytest.mark.parametrize("lines", [1, 7, 40])
def test_what_was_recorded_before_a_kill_stays_and_the_last_is_whole(tmp_path: Path, lines: int) -> None:
    with writer(tmp_path, "w", 1_000_000) as process:
        assert process.stdout
        durable = [int(process.stdout.readline()) for _ in range(lines)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait()
    journal = Journal(tmp_path)
    kept = [int(one.symbol or -1) for one in journal.attempts()]
    assert len(kept) % 2 == 0, "half of a record is there"
    assert kept == [n for n in range(len(kept) // 2) for _ in range(2)]
    assert kept[-1] >= durable
    journal.record([FAILED])
    assert journal.notes == []


def test_a_process_killed_while_it_makes_the_file_holds_nobody_up(tmp_path: Path) -> None:
    path = Journal(tmp_path).path
    path.parent.mkdir(parents=True)
    path.touch()
    journal = Journal(tmp_path)
    assert journal.attempts() == []
    journal.record([FAILED])
    assert len(journal.attempts()) == 1


def test_a_child_of_a_fork_writes_on_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([FAILED])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            journal.record([replace(FAILED, symbol="child")])
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    journal.record([replace(FAILED, symbol="parent")])
    assert [one.symbol for one in journal.attempts()] == [None, "child", "parent"]


# ---------------------------------------------------------------------- damage


def spoil(path: Path, how: str) -> None:
    if how == "garbage":
        path.write_bytes(b"no database " * 1000)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        raw = bytearray(path.read_bytes())
        raw[4096:] = b"\xff" * (len(raw) - 4096)
        path.write_bytes(raw)


@pytest.mark.parametrize("how", ["garbage", "cut", "pages"])
@pytest.mark.parametrize("reading", [False, True])
def test_a_damaged_journal_is_set_aside_and_says_so(tmp_path: Path, how: str, reading: bool) -> None:
    first = Journal(tmp_path)
    first.record([FAILED] * 500)
    first.close()
    spoil(first.path, how)

    journal = Journal(tmp_path)
    if reading:
        journal.attempts()
    journal.record([replace(FAILED, symbol="after")])

    told, after = journal.attempts()[-2:]
    assert after.symbol == "after"
    assert told.status == "failed"
    assert "is damaged" in str(told.reason)
    assert "a new journal was begun" in str(told.reason)
    assert [note for note in journal.notes if "is damaged" in note] == journal.notes != []
    [kept] = [path for path in first.path.parent.iterdir() if ".damaged-" in path.name and path.suffix == ".txt"]
    assert "no landed row was lost" in kept.read_text()
    assert kept.with_suffix("").exists()


def test_others_that_have_a_damaged_journal_open_go_on_in_the_new_one(tmp_path: Path) -> None:
    one, other = Journal(tmp_path), Journal(tmp_path)
    one.record([FAILED])
    other.record([FAILED])
    one.path.rename(one.path.with_name("elsewhere"))
    for ending in ("-wal", "-shm"):
        one.path.with_name(one.path.name + ending).unlink(missing_ok=True)
    one.record([replace(FAILED, symbol="one")])
    before = other.stamp()
    other.record([replace(FAILED, symbol="other")])
    assert other.stamp() != before
    assert [attempt.symbol for attempt in one.attempts()] == ["one", "other"]


# ---------------------------------------------------------------------- the disk


def test_a_full_disk_is_named_and_nothing_is_half_recorded(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([FAILED])
    con = journal._con
    assert con is not None
    [(pages,)] = con.execute("PRAGMA page_count").fetchall()
    # SQLite says the same of a file that may not grow as of a disk that is full.
    con.execute(f"PRAGMA max_page_count = {pages + 1}").fetchall()
    with pytest.raises(LakeError, match=r"is full: 1000 attempts of stock_day were not recorded. Free some space"):
        journal.record([FAILED] * 1000)
    assert len(journal.attempts()) == 1
    con.execute("PRAGMA max_page_count = 1000000").fetchall()
    journal.record([FAILED])
    assert len(journal.attempts()) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_journal_that_cannot_be_written_is_named_and_can_be_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([FAILED])
    journal.close()
    folder = journal.path.parent
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    journal.path.chmod(stat.S_IRUSR)
    try:
        assert len(journal.attempts()) == 1
        with pytest.raises(LakeError, match=r"cannot be opened or written .*1 attempt of stock_day was not recorded"):
            journal.record([FAILED])
    finally:
        folder.chmod(stat.S_IRWXU)


def test_who_does_not_let_go_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    journal = Journal(tmp_path)
    journal.record([FAILED])
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Busy, match="was held by another process"):
            Journal(tmp_path).record([FAILED])
        # Reading waits for no writer.
        assert len(journal.attempts()) == 1
    finally:
        other.execute("ROLLBACK")
        other.close()
    journal.record([FAILED])


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([FAILED])
    other = sqlite3.connect(journal.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    journal.record([FAILED])
    assert len(journal.attempts()) == 2
    other.close()


def test_a_record_that_fails_in_the_middle_leaves_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(LakeError, match="2 attempts of stock_day were not recorded"):
        journal.record([FAILED, replace(FAILED, rows=object())])  # type: ignore[arg-type]
    Journal(tmp_path).record([replace(FAILED, symbol="after")])
    assert [one.symbol for one in journal.attempts()] == ["after"]


# ---------------------------------------------------------------------- other versions


def test_a_column_of_a_later_version_is_left_alone_and_an_absent_one_is_added(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.record([FAILED])
    journal.close()
    con = sqlite3.connect(journal.path, isolation_level=None)
    con.execute("ALTER TABLE attempts ADD COLUMN later TEXT")
    con.execute("CREATE TABLE operations (seq INTEGER PRIMARY KEY, op TEXT)")
    con.execute("PRAGMA user_version = 9")
    con.close()
    journal.record([FAILED])
    assert len(journal.attempts()) == 2
    journal.close()
    con = sqlite3.connect(journal.path, isolation_level=None)
    con.execute("ALTER TABLE attempts DROP COLUMN duration_ms")
    con.execute("PRAGMA user_version = 0")
    con.close()
    journal.record([replace(FAILED, duration_ms=5)])
    assert [one.duration_ms for one in journal.attempts()] == [0, 0, 5]


def test_refreshes_that_did_not_come_to_their_end_are_known_until_one_does(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    def told(run: str, status: str, tables: str) -> None:
        journal.record([Attempt(run, "refresh", tables, "folder", status), replace(FAILED, run_id=run)])

    assert journal.broken_off() == []
    told("killed", "started", "stock_day, splits")
    assert journal.broken_off() == ["stock_day", "splits"]
    told("stopped", "started", "dividends")
    told("stopped", "failed", "dividends")
    assert sorted(journal.broken_off()) == ["dividends", "splits", "stock_day"]
    told("whole", "started", "stock_minute")
    told("meanwhile", "started", "tickers")
    told("whole", "success", "stock_minute")
    assert journal.broken_off() == ["tickers"], "the one that came to its end saw to all before it"
