"""The records' journal: what was acknowledged is there once, whoever writes, however they end, and whatever happens to its file."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import pytest

from workbench.errors import Busy, LakeError, UsageError
from workbench.lake import sqlitefile
from workbench.lake.operations import Operations, key_text

NAME = "kraken_bot.signals"

# Writes one row after another, and says which were acknowledged.
WRITER = """
import sys
from pathlib import Path
from workbench.lake.operations import Operations
journal = Operations(Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    with journal.writing() as write:
        number = write.number("kraken_bot.signals", "id", 1)
        write.add("kraken_bot.signals", "put", key=f"[{number}]", body=sys.argv[2])
        write.add("kraken_bot.trades", "put", key=f"[{number}]", body=sys.argv[2])
    print(number, flush=True)
"""


def writer(root: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), name, str(count)], stdout=subprocess.PIPE, text=True)


def put(journal: Operations, *keys: str) -> None:
    with journal.writing() as write:
        for key in keys:
            write.add(NAME, "put", key=key, body="{}")


def held(journal: Operations) -> list[str | None]:
    return [one.key for one in journal.pending({NAME: 0}).operations.get(NAME, ())]


def test_what_was_written_is_read_back_in_its_order(tmp_path: Path) -> None:
    journal, before = Operations(tmp_path), time.time_ns() // 1000
    with journal.writing() as write:
        write.add(NAME, "put", key="[1]", body='{"id":1}')
        write.add(NAME, "puts", body=str(tmp_path / "elsewhere" / "a.parquet"), count=5000, replaces=True)
        write.add("kraken_bot.trades", "delete", key="[7]")
        assert [one.seq for one in write.pending(NAME, 1)] == [2]
        assert write.last == 3
    told = journal.pending({NAME: 0, "kraken_bot.trades": 0, "kraken_bot.bots": 0})
    assert told.last == 3
    assert told.id == journal.id != ""
    assert list(told.operations) == [NAME, "kraken_bot.trades"]
    one, two = told.operations[NAME]
    assert one[:7] == (1, NAME, "put", False, "[1]", '{"id":1}', 1)
    assert two[:7] == (2, NAME, "puts", True, None, str(tmp_path / "journal" / "rows" / "a.parquet"), 5000)
    assert before <= one.at <= two.at <= time.time_ns() // 1000
    assert journal.pending({NAME: 2}).operations == {}
    assert journal.files() == {tmp_path / "journal" / "rows" / "a.parquet"}
    assert {name: count for name, (count, _) in journal.held().items()} == {NAME: 5001, "kraken_bot.trades": 1}


def test_reading_makes_no_file(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    assert (journal.id, journal.change, journal.held(), journal.files(), journal.size) == ("", -1, {}, set(), 0)
    assert journal.pending({NAME: 0}).operations == {}
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_raises_leaves_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    put(journal, "[0]")
    with pytest.raises(ZeroDivisionError), journal.writing() as write:
        write.add(NAME, "put", key="[1]", body="{}")
        assert write.number(NAME, "id", 5) == 1
        _ = 1 / 0
    with Operations(tmp_path).writing() as write:
        assert write.number(NAME, "id", 1) == 1
    assert held(journal) == ["[0]"]


def test_readers_of_the_same_process_see_what_was_committed_and_wait_for_no_writer(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    put(journal, "[0]")
    with journal.writing() as write:
        write.add(NAME, "put", key="[1]", body="{}")
        assert held(journal) == ["[0]"]
        with ThreadPoolExecutor() as pool:
            assert pool.submit(held, journal).result(10) == ["[0]"]
        with pytest.raises(UsageError, match="being written by this thread already; nothing was written"), journal.writing():
            pass
    assert held(journal) == ["[0]", "[1]"]


def test_numbers_go_on_above_all_that_were_given_and_all_that_are_there(tmp_path: Path) -> None:
    with Operations(tmp_path).writing() as write:
        assert write.number(NAME, "id", 3) == 1
        assert write.number(NAME, "id", 1) == 4
        assert write.number(NAME, "id", 0, least=99) == 100
        assert write.number(NAME, "id", 1) == 100
        assert write.number(NAME, "other", 1, least=7) == 8


def test_the_change_moves_with_every_write_of_anybody_and_only_then(tmp_path: Path) -> None:
    mine, other = Operations(tmp_path), Operations(tmp_path)
    seen = [mine.change]
    for journal in (other, mine, other):
        put(journal, "[1]")
        seen.append(mine.change)
        assert mine.change == seen[-1]
    assert len(set(seen)) == 4


def test_a_fold_takes_out_one_tables_operations_and_the_numbers_go_on(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        for name in (NAME, "kraken_bot.trades", NAME):
            write.add(name, "put", key="[1]", body="{}")
    journal.fold(NAME, 1)
    told = journal.pending({NAME: 0, "kraken_bot.trades": 0})
    assert [one.seq for one in told.operations[NAME]] == [3]
    assert [one.seq for one in told.operations["kraken_bot.trades"]] == [2]
    assert told.folded == {NAME: 1}
    journal.fold(NAME, 3)
    journal.fold(NAME, 2)
    assert journal.pending({}).folded == {NAME: 3}
    put(journal, "[9]")
    assert [one.seq for one in journal.pending({NAME: 0}).operations[NAME]] == [4]


def test_what_a_fold_empties_is_given_back_to_the_disk(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        for n in range(11_000):
            write.add(NAME, "put", key=f"[{n}]", body="x" * 600)
    assert journal.size > 6_000_000
    journal.fold(NAME, 11_000)
    assert journal.size < 200_000


def test_keys_that_are_equal_have_equal_texts() -> None:
    there = timezone(timedelta(hours=-5))
    assert key_text(["a", 1]) == '["a",1]'
    assert key_text([Decimal("1.50")]) == key_text([Decimal("1.5")]) == '["1.5"]'
    assert key_text([datetime(2024, 3, 7, 9, 30, tzinfo=there)]) == key_text([datetime(2024, 3, 7, 14, 30, tzinfo=UTC)])
    assert key_text([date(2024, 3, 7), "é", None]) == '["2024-03-07","é",null]'
    assert key_text([True]) == "[true]"
    assert key_text([1]) != key_text(["1"])


# ---------------------------------------------------------------------- many, and the killed


def test_four_processes_make_the_file_at_once_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    writers = [writer(tmp_path, f"w{n}", 200) for n in range(4)]
    told = [one.communicate(timeout=240)[0].split() for one in writers]
    assert [one.returncode for one in writers] == [0, 0, 0, 0]
    assert sorted(int(n) for each in told for n in each) == list(range(1, 801))
    journal = Operations(tmp_path)
    for name in (NAME, "kraken_bot.trades"):
        rows = journal.pending({name: 0}).operations[name]
        assert [one.key for one in rows] == [f"[{n}]" for n in range(1, 801)]
    whose = {f"[{n}]": f"w{who}" for who, each in enumerate(told) for n in each}
    assert {one.key: one.body for one in rows} == whose


@pytest.mark.parametrize("lines", [1, 7, 40])
def test_what_was_acknowledged_before_a_kill_stays_and_the_last_is_whole(tmp_path: Path, lines: int) -> None:
    with writer(tmp_path, "w", 1_000_000) as process:
        assert process.stdout
        durable = [int(process.stdout.readline()) for _ in range(lines)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait()
    told = Operations(tmp_path).pending({NAME: 0, "kraken_bot.trades": 0}).operations
    one, other = ([row.key for row in told[name]] for name in (NAME, "kraken_bot.trades"))
    assert one == other == [f"[{n}]" for n in range(1, len(one) + 1)]
    assert len(one) >= durable


def test_threads_share_a_journal(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(journal, f"[{n}]"), range(200)))
    assert set(held(journal)) == {f"[{n}]" for n in range(200)}
    assert len(held(journal)) == 200


def test_a_child_of_a_fork_goes_on_by_itself_while_a_thread_of_its_parents_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlitefile, "PATIENCE_S", 0.2)
    journal = Operations(tmp_path)
    put(journal, "[0]")
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with journal.writing() as write:
            write.add(NAME, "put", key="[1]", body="{}")
            inside.set()
            assert done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(120)
            assert held(journal) == ["[0]"]
            # It waits for its parent's transaction as another process does, and not for a thread that it has not.
            with pytest.raises(Busy):
                put(journal, "[9]")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    done.set()
    thread.join()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            put(journal, "[2]")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    put(journal, "[3]")
    assert held(journal) == ["[0]", "[1]", "[2]", "[3]"]


def test_a_child_does_not_end_its_parents_transaction(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    put(journal, "[0]")
    parent = os.getpid()
    try:
        with journal.writing() as write:
            write.add(NAME, "put", key="[1]", body="{}")
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
    except UsageError as fault:
        os._exit(0 if os.getpid() != parent and "forked" in str(fault) else 1)
    assert held(journal) == ["[0]", "[1]"]


def test_a_process_killed_while_it_makes_the_file_holds_nobody_up(tmp_path: Path) -> None:
    path = Operations(tmp_path).path
    path.parent.mkdir(parents=True)
    path.touch()
    journal = Operations(tmp_path)
    assert held(journal) == []
    put(journal, "[1]")
    assert held(Operations(tmp_path)) == ["[1]"]


# ---------------------------------------------------------------------- the file, and what becomes of it


@pytest.mark.parametrize("how", ["garbage", "cut", "pages"])
def test_a_damaged_journal_is_never_set_aside_and_the_error_says_what_to_do(tmp_path: Path, how: str) -> None:
    first = Operations(tmp_path)
    with first.writing() as write:
        for n in range(3000):
            write.add(NAME, "put", key=f"[{n}]", body="{}")
    first.close()
    raw = first.path.read_bytes()
    raw = {"garbage": b"no database " * 1000, "cut": raw[:9000], "pages": raw[:4096] + b"\xff" * (len(raw) - 4096)}[how]
    first.path.write_bytes(raw)
    for attempt in (lambda: put(first, "[1]"), lambda: held(Operations(tmp_path))):
        with pytest.raises(
            LakeError, match=r"records.db is damaged .*nothing was .*backup; .*\.recover.*; or move records.db\* away, which loses"
        ):
            attempt()
    assert [path.name for path in first.path.parent.iterdir() if "damaged" in path.name] == []
    assert first.path.read_bytes()[:4096] == raw[:4096]
    assert first.path.stat().st_size == len(raw)


def test_others_follow_a_file_that_was_moved_away_and_leave_its_successor_whole(tmp_path: Path) -> None:
    one, other = Operations(tmp_path), Operations(tmp_path)
    put(one, "[1]")
    assert held(other) == ["[1]"]
    put(other, "[2]")
    first, before = one.id, one.change
    for ending in ("", "-wal", "-shm"):
        path = one.path.with_name(f"records.db{ending}")
        path.rename(tmp_path / path.name)
    assert held(one) == []
    put(one, "[3]")
    put(other, "[4]")
    other.close()
    assert held(one) == ["[3]", "[4]"]
    assert one.id != first
    assert one.change != before
    assert held(Operations(tmp_path)) == ["[3]", "[4]"]


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    put(journal, "[0]")
    con = journal._writer._con
    assert con is not None
    [(pages,)] = con.execute("PRAGMA page_count").fetchall()
    # SQLite says the same of a file that may not grow as of a disk that is full.
    con.execute(f"PRAGMA max_page_count = {pages + 1}").fetchall()
    with pytest.raises(LakeError, match=r"is full: nothing was written. Free some space"):
        put(journal, *(f"[{n}]" for n in range(5000)))
    assert held(journal) == ["[0]"]
    con.execute("PRAGMA max_page_count = 1000000").fetchall()
    put(journal, "[1]")
    assert held(journal) == ["[0]", "[1]"]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR])
def test_a_disk_without_room_for_what_processes_share_is_full_too(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Operations(tmp_path)
    put(journal, "[0]")
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = code
    assert "is full" not in str(journal._writer._meant(fault, "nothing was written"))
    monkeypatch.setattr(sqlitefile, "LEAST_FREE", 1 << 62)
    assert "is full: nothing was written" in str(journal._writer._meant(fault, "nothing was written"))


def as_nobody(work: str, root: Path) -> str:
    """What a process without rights tells."""
    code = f"""
import os, sys
from pathlib import Path
from workbench.lake.operations import Operations
import workbench.lake.log, deltalake
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
journal = Operations(Path({str(root)!r}))
try:
    {work}
except Exception as fault:
    print(type(fault).__name__, fault)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_what_may_not_be_written_is_named_and_can_be_read(tmp_path: Path) -> None:
    # pytest keeps its folders to its user.
    for folder in (tmp_path, *takewhile(lambda one: one.stat().st_mode & 0o005 != 0o005, tmp_path.parents)):
        folder.chmod(0o755)
    root = tmp_path / "lake"
    journal = Operations(root)
    put(journal, "[1]")
    journal.close()
    folder = journal.path.parent
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    journal.path.chmod(0o444)
    try:
        reading = f"print([one.key for one in journal.pending({{{NAME!r}: 0}}).operations[{NAME!r}]], journal.change)"
        assert as_nobody(reading, root).startswith("['[1]']")
        writing = f"with journal.writing() as write: write.add({NAME!r}, 'put', key='[2]', body='')"
        assert "LakeError" in (told := as_nobody(writing, root))
        assert "cannot be opened or written" in told
        assert "nothing was written. Give yourself the right" in told
    finally:
        folder.chmod(0o755)
        journal.path.chmod(0o644)
    assert held(journal) == ["[1]"]


def test_who_does_not_let_go_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlitefile, "PATIENCE_S", 0.2)
    journal = Operations(tmp_path)
    put(journal, "[0]")
    with Operations(tmp_path).writing() as write:
        write.add(NAME, "put", key="[1]", body="{}")
        with pytest.raises(Busy, match=r"was held by another process for 0 s: nothing was written. Run the command again"):
            put(Operations(tmp_path), "[2]")
        # Reading waits for no writer.
        assert held(Operations(tmp_path)) == ["[0]"]
    assert held(journal) == ["[0]", "[1]"]


def test_what_outlives_a_loss_of_power_is_a_setting(tmp_path: Path) -> None:
    for how, number in (("NORMAL", 1), ("FULL", 2)):
        journal = Operations(tmp_path, synchronous=how)
        put(journal, "[0]")
        con = journal._writer._con
        assert con
        assert con.execute("PRAGMA synchronous").fetchall() == [(number,)]
        journal.close()


def test_a_fold_keeps_what_it_is_about_to_commit_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, synced = Operations(tmp_path), list[Path]()
    put(journal, "[0]")
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    journal.keep()
    assert synced == [Path(f"{journal.path}-wal")]


def test_a_row_costs_less_than_a_thousandth_of_a_second(tmp_path: Path) -> None:
    journal, count = Operations(tmp_path), 300
    put(journal, "[0]")

    def taken() -> float:
        began = time.process_time()
        for n in range(count):
            put(journal, f"[{n}]")
        return (time.process_time() - began) / count

    # Measured: 40 µs; a machine that does other things is given time.
    assert min(taken() for _ in range(5)) < 0.001
