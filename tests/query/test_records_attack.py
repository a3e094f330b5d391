"""What people write, under what befalls lakes: journals from backups, copies, clocks, forks, damage. No row is lost, none is doubled."""

import errno
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BrokenRule, LakeError
from workbench.lake.log import Forks
from workbench.tables.platforms import RECORDS

SIGNALS, TRADES = "kraken_bot.signals", "kraken_bot.trades"
SIGNAL: dict[str, Any] = dict(RECORDS[SIGNALS].example)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "lake"))) as made:
        made.lake.make()
        yield made


def ids(bench: Workbench, table: str = SIGNALS) -> list[int]:
    return [row[0] for row in bench.sql(f"SELECT id FROM {table} ORDER BY id").fetchall()]


def restored(bench: Workbench, kept: Path) -> Workbench:
    """The lake with the journal of a backup, opened anew."""
    bench.close()
    journal = bench.lake.root / "journal"
    shutil.rmtree(journal)
    shutil.copytree(kept, journal)
    return Workbench(bench.settings)


@pytest.mark.parametrize("how", ["batch", "writer", "after an error"])
def test_numbers_go_on_above_those_that_a_journal_from_a_backup_has_not_seen(bench: Workbench, tmp_path: Path, how: str) -> None:
    row = {name: value for name, value in SIGNAL.items() if name != "id"}
    bench.append(SIGNALS, [row] * 3)
    bench.fold()
    bench.close()
    shutil.copytree(bench.lake.root / "journal", tmp_path / "kept")
    with Workbench(bench.settings) as later:
        later.append(SIGNALS, [row] * 5)
        later.fold()

    with restored(bench, tmp_path / "kept") as again:
        if how == "writer":
            with again.writer(SIGNALS) as writer:
                assert [writer.append(row), writer.append(row)] == [9, 10]
        else:
            if how == "after an error":
                with pytest.raises(BrokenRule), again.transaction() as t:
                    t.append(SIGNALS, row)
                    t.append(SIGNALS, row | {"final_signal": "WAIT"})
            again.append(SIGNALS, [row] * 2)
        assert ids(again) == list(range(1, 11))
        again.fold()
        assert ids(again) == list(range(1, 11))


def test_a_journal_from_a_backup_trusts_no_keys_of_its_own_that_others_have_added_to(bench: Workbench, tmp_path: Path) -> None:
    bench.create_table("derived.mine", {"k": "VARCHAR"}, key="k")
    bench.create_table("derived.other", {"k": "VARCHAR"}, key="k")
    with bench.writer("derived.mine") as writer:
        writer.append({"k": "a"})
    bench.fold()
    bench.close()
    shutil.copytree(bench.lake.root / "journal", tmp_path / "kept")
    with Workbench(bench.settings) as later:
        with later.writer("derived.mine") as writer:
            writer.append({"k": "b"})
        later.fold()

    with restored(bench, tmp_path / "kept") as again:
        # What is written to another table has the same numbers that the lost rows had.
        with again.writer("derived.other") as writer:
            for number in range(9):
                writer.append({"k": str(number)})
        with again.writer("derived.mine") as writer, pytest.raises(BrokenRule):
            writer.append({"k": "b"})
        assert again.sql("SELECT k FROM derived.mine ORDER BY k").fetchall() == [("a",), ("b",)]


def test_a_bench_that_is_open_follows_a_journal_that_came_from_a_backup(bench: Workbench, tmp_path: Path) -> None:
    row = {name: value for name, value in SIGNAL.items() if name != "id"}
    bench.append(SIGNALS, row)
    bench.close()
    shutil.copytree(bench.lake.root / "journal", tmp_path / "kept")
    with Workbench(bench.settings) as reader, Workbench(bench.settings) as writer:
        writer.append(SIGNALS, [row] * 3)
        assert ids(reader) == [1, 2, 3, 4]
        writer.close()
        again = restored(writer, tmp_path / "kept")
        assert ids(reader) == [1]
        again.append(SIGNALS, [{**row, "id": 50}])
        assert ids(reader) == [1, 50]
        again.append(SIGNALS, [{**row, "id": 60 + n} for n in range(5)])
        assert ids(reader) == [1, 50, *range(60, 65)]
        again.close()


def test_a_table_that_has_lost_its_rows_says_so_instead_of_the_rest(bench: Workbench) -> None:
    bench.append(SIGNALS, SIGNAL | {"id": 1})
    bench.append(TRADES, dict(RECORDS[TRADES].example) | {"id": 1, "signal_id": 1})
    bench.fold()
    bench.append(SIGNALS, SIGNAL | {"id": 2})
    shutil.rmtree(bench.lake.root / "lake" / "kraken_bot" / "signals")

    with Workbench(bench.settings) as later:
        for ask in (lambda: ids(later), lambda: later.get(SIGNALS, 2), lambda: later.delete(SIGNALS, key=2)):
            with pytest.raises(LakeError, match=r"kraken_bot\.signals has lost rows .* Bring the table's folder back from a backup"):
                ask()
        assert ids(later, TRADES) == [1]


@pytest.mark.parametrize("how", ["a row", "a file"])
def test_an_operation_that_cannot_be_read_is_told_in_a_sentence_by_whoever_needs_it(bench: Workbench, tmp_path: Path, how: str) -> None:
    bench.append(SIGNALS, SIGNAL | {"id": 1})
    with bench.ledger.operations.writing() as write:
        if how == "a row":
            write.con.execute("UPDATE operations SET body = 'x' || body")
        else:
            write.add(SIGNALS, "puts", body=str(tmp_path / "gone.parquet"), count=5)
    asks: list[Callable[[], object]] = [
        lambda: ids(bench),
        lambda: bench.get(SIGNALS, 1),
        lambda: bench.append(SIGNALS, SIGNAL | {"id": 2}),
        lambda: bench.writer(SIGNALS).append(SIGNAL | {"id": 2}),
        lambda: bench.upsert(SIGNALS, SIGNAL | {"id": 2}),
        lambda: bench.delete(SIGNALS, "true"),
        lambda: bench.append(TRADES, dict(RECORDS[TRADES].example) | {"signal_id": 1}),
        bench.fold,
        bench.status,
    ]
    for ask in asks:
        with pytest.raises(
            LakeError, match=r"holds an operation on kraken_bot\.signals that cannot be read .*Bring|bring the journal back"
        ):
            ask()
    told = CliRunner().invoke(main, ["export", SIGNALS, str(tmp_path / "x.csv")], env={"WORKBENCH_DATA": str(bench.lake.root)})
    assert told.exit_code == 1 and "cannot be read" in told.output, told.output


def test_what_goes_wrong_once_rows_are_written_does_not_say_that_they_are_not(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a library's own")

    with monkeypatch.context() as patched:
        patched.setattr("workbench.query.ledger.fold", fails)
        assert bench.append(SIGNALS, [SIGNAL] * 1000) == 1000
    assert len(ids(bench)) == 1000


def told_in_a_child(work: Callable[[], object]) -> str:
    """What work says or raises in a child of a fork."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        signal.alarm(30)
        try:
            told = repr(work())
        except BaseException as fault:
            told = f"{type(fault).__name__}: {fault}"
        os.write(theirs, told.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        told = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return told


def test_a_child_of_a_fork_writes_until_delta_cannot_and_is_told_why(bench: Workbench) -> None:
    with bench.writer(SIGNALS) as writer:
        assert writer.append(SIGNAL) == 1
        Forks.used = False
        assert told_in_a_child(lambda: writer.append(SIGNAL)) == "2"
        bench.fold()
        assert "LakeError: kraken_bot.signals cannot be read or written: this process was forked" in told_in_a_child(
            lambda: writer.append(SIGNAL)
        )
        assert writer.append(SIGNAL) == 3
    assert ids(bench) == [1, 2, 3]


def test_a_child_does_not_write_in_its_parents_transaction(bench: Workbench) -> None:
    with bench.transaction() as t:
        t.append(SIGNALS, SIGNAL)
        assert "UsageError: this transaction is that of the process that this one was forked from" in told_in_a_child(
            lambda: t.append(SIGNALS, SIGNAL)
        )
    assert ids(bench) == [1]


def test_maintenance_where_nothing_may_be_written_is_told_in_a_sentence(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "maintain.lock")

    monkeypatch.setattr("workbench.lake.maintain.FileLock.acquire", forbidden)
    told = CliRunner().invoke(main, ["maintain"], env={"WORKBENCH_DATA": str(bench.lake.root)})
    assert told.exit_code == 1 and "cannot be written (Read-only file system)" in told.output, told.output


def test_what_a_transaction_reads_nobody_changes_until_its_end(bench: Workbench) -> None:
    params, key = "utilities.model_params", ("bot", "count")
    bench.upsert(params, {"model": "bot", "name": "count", "value": 0})

    def count() -> None:
        for _ in range(10):
            with bench.transaction() as t:
                told = t.get(params, key)
                assert told
                t.upsert(params, {"model": "bot", "name": "count", "value": int(told["value"]) + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = bench.get(params, key)
    assert told and int(told["value"]) == 40


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_transaction_whose_journal_goes_meanwhile_says_that_it_did_not_write(bench: Workbench, tmp_path: Path, how: str) -> None:
    bench.append(SIGNALS, SIGNAL)
    bench.fold()
    shutil.copytree(bench.lake.root / "journal", tmp_path / "kept")
    with (
        pytest.raises(LakeError, match=r"records\.db was removed or replaced while it was written: nothing was written"),
        bench.transaction() as t,
    ):
        t.append(SIGNALS, SIGNAL)
        shutil.rmtree(bench.lake.root / "journal")
        if how == "replaced":
            shutil.copytree(tmp_path / "kept", bench.lake.root / "journal")
    assert ids(bench) == [1]
    bench.append(SIGNALS, SIGNAL)
    assert ids(bench) == [1, 2]


def test_a_row_is_written_where_no_thread_can_be_started_to_fold_it(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, bench.writer(SIGNALS) as writer:
        patched.setattr(threading.Thread, "start", none_left)
        assert writer.append(SIGNAL) == 1
        assert bench.add(SIGNALS, SIGNAL)["id"] == 2
    assert ids(bench) == [1, 2]
    # Once there is room for one, it is started.
    assert bench.add(SIGNALS, SIGNAL)["id"] == 3
    assert "workbench-fold" in {thread.name for thread in threading.enumerate()}
