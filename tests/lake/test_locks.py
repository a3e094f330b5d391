"""One refresh at a time for each table, and who is told what."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workbench.errors import Busy, LakeError
from workbench.lake.leftovers import clean
from workbench.lake.locks import holder, lock_of, note_of, refreshing

HOLD = """
import sys
from pathlib import Path
from workbench.lake.locks import refreshing
with refreshing(Path(sys.argv[1]), sys.argv[2].split(","), "workbench refresh"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other(root: Path, *tables: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that refreshes some tables."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), ",".join(tables)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_second_refresh_of_a_table_is_told_who_is_at_it(tmp_path: Path) -> None:
    with other(tmp_path, "stock_day") as process:
        with pytest.raises(Busy) as told, refreshing(tmp_path, ["stock_minute", "stock_day"], "a notebook"):
            pass
        assert f"stock_day is being refreshed by process {process.pid} (workbench refresh, user " in str(told.value)
        assert f" on host {platform.node()}) since 20" in str(told.value)
        assert "nothing was done. Wait" in str(told.value)
        held = holder(tmp_path, "stock_day")
        assert held is not None
        assert held.pid == process.pid


def test_who_is_refused_holds_nothing(tmp_path: Path) -> None:
    with other(tmp_path, "stock_minute"):
        # stock_day comes first, and is free.
        with pytest.raises(Busy), refreshing(tmp_path, ["stock_minute", "stock_day"], "a notebook"):
            pass
        with refreshing(tmp_path, ["stock_day"], "a notebook"):
            pass
    assert not note_of(tmp_path, "stock_day").exists()


def test_of_several_that_are_held_the_first_is_named(tmp_path: Path) -> None:
    with other(tmp_path, "b", "a", "c"), pytest.raises(Busy, match=r"^a is being"), refreshing(tmp_path, ["c", "b", "a"], "x"):
        pass


def test_other_tables_and_other_lakes_are_free(tmp_path: Path) -> None:
    with (
        refreshing(tmp_path / "a", ["stock_day"], "one"),
        refreshing(tmp_path / "a", ["stock_minute"], "two"),
        refreshing(tmp_path / "b", ["stock_day"], "three"),
    ):
        assert note_of(tmp_path / "a", "stock_day").exists()


def test_two_threads_of_a_process_exclude_each_other(tmp_path: Path) -> None:
    refused = []

    def run() -> None:
        try:
            with refreshing(tmp_path, ["stock_day"], "a second thread"):
                pass
        except Busy as fault:
            refused.append(str(fault))

    with refreshing(tmp_path, ["stock_day"], "a first thread"):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert "a first thread" in refused[0]


def test_a_killed_refresh_holds_nobody_up(tmp_path: Path) -> None:
    with other(tmp_path, "stock_day") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Its note stays, and nobody believes it.
        assert note_of(tmp_path, "stock_day").exists()
        assert holder(tmp_path, "stock_day") is None
        with refreshing(tmp_path, ["stock_day"], "the next"):
            held = holder(tmp_path, "stock_day")
            assert held is not None
            assert held.pid == os.getpid()
    assert not note_of(tmp_path, "stock_day").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "host": 1}'])
def test_an_unreadable_note_is_no_obstacle(tmp_path: Path, text: str) -> None:
    with refreshing(tmp_path, ["stock_day"], "one"):
        note_of(tmp_path, "stock_day").write_text(text)
        with pytest.raises(Busy, match="by another process; nothing was done"), refreshing(tmp_path, ["stock_day"], "two"):
            pass
    with refreshing(tmp_path, ["stock_day"], "three"):
        pass


def test_the_note_of_a_process_that_is_no_more_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    with refreshing(tmp_path, ["stock_day"], "one"):
        note = note_of(tmp_path, "stock_day")
        # The number is alive, but it is another process than the one that wrote the note.
        note.write_text(json.dumps(json.loads(note.read_text()) | {"began": "1"}))
        with pytest.raises(Busy, match="left behind; nothing was done"), refreshing(tmp_path, ["stock_day"], "two"):
            pass


def test_a_failure_in_the_block_frees_the_tables(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), refreshing(tmp_path, ["stock_day"], "one"):
        _ = 1 / 0
    with refreshing(tmp_path, ["stock_day"], "two"):
        pass


def test_cleaning_leaves_the_locks_of_the_living(tmp_path: Path) -> None:
    with refreshing(tmp_path, ["stock_day"], "one"):
        for path in (lock_of(tmp_path, "stock_day"), note_of(tmp_path, "stock_day")):
            os.utime(path, (0, 0))
        clean(tmp_path, tmp_path, dry_run=False)
        assert holder(tmp_path, "stock_day") is not None
        with pytest.raises(Busy), refreshing(tmp_path, ["stock_day"], "two"):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LakeError, match=r"cannot be written .*stock_day was not refreshed"), refreshing(tmp_path, ["stock_day"], "one"):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_two_that_want_the_same_tables_in_another_order_do_not_wait_for_each_other(tmp_path: Path) -> None:
    won = []

    def run(tables: list[str]) -> None:
        for _ in range(50):
            try:
                with refreshing(tmp_path, tables, "x"):
                    won.append(tables)
            except Busy:
                pass

    threads = [threading.Thread(target=run, args=(tables,)) for tables in (["a", "b"], ["b", "a"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert won
