"""The fold: whatever the journal holds, a table shows the same rows before it, after it, and wherever it was killed."""

import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from journaled import NOTES, NUMBERED, TICKS, Row, delete, deletes, key_of, put, puts, seen

from workbench.errors import Busy, LakeError
from workbench.lake import fold as module
from workbench.lake import folding, hiding
from workbench.lake.fold import fold, fold_all, fold_due
from workbench.lake.folding import Folder
from workbench.lake.history import history
from workbench.lake.operations import Operations
from workbench.lake.record_files import statistics
from workbench.lake.records import RecordTable
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Field, Record

START = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our tables are documented ones."""
    for one in (TICKS, NUMBERED, NOTES):
        monkeypatch.setitem(RECORDS, one.full, one)


def tick(n: int, price: object = "1.5") -> dict[str, Any]:
    at = START + timedelta(microseconds=n * 7)
    return {"symbol": f"S{n % 5}", "at": at, "n": n, "price": Decimal(str(price)).quantize(Decimal("1e-8")), "tags": [("a", float(n))]}


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=repr)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_written_a_fold_changes_no_row(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, journal = random.Random(seed), Operations(tmp_path)
    monkeypatch.setattr(module, "MOST_SMALL", 3)
    monkeypatch.setattr(module, "ASIDE", rng.choice([0, 1 << 20]))
    monkeypatch.setattr(module, "MOST", rng.choice([5, 1000]))
    model: dict[str | None, Row] = {}
    fresh = 0
    for _ in range(32):
        with journal.writing() as write:
            for _ in range(rng.randrange(1, 5)):
                what = rng.random()
                some = rng.sample(list(model.values()), min(len(model), rng.randrange(1, 6)))
                if what < 0.4:
                    for _ in range(rng.randrange(1, 4)):
                        row, fresh = tick(fresh), fresh + 1
                        put(write, TICKS, row)
                        model[key_of(TICKS, row)] = row
                elif what < 0.5:
                    rows = [tick(fresh + k) for k in range(rng.randrange(1, 20))]
                    fresh += len(rows)
                    puts(write, TICKS, rows)
                    model |= {key_of(TICKS, row): row for row in rows}
                elif what < 0.65:
                    for one in some:
                        row = {**one, "price": Decimal(rng.randrange(9)).quantize(Decimal("1e-8"))}
                        put(write, TICKS, row, replaces=True)
                        model[key_of(TICKS, row)] = row
                elif what < 0.75 and some:
                    rows = [{**one, "tags": None} for one in some]
                    puts(write, TICKS, rows, replaces=True)
                    model |= {key_of(TICKS, row): row for row in rows}
                elif what < 0.85:
                    for one in some:
                        delete(write, TICKS, one)
                        del model[key_of(TICKS, one)]
                elif what < 0.97 and some:
                    deletes(write, TICKS, some)
                    for one in some:
                        del model[key_of(TICKS, one)]
                elif what > 0.99:
                    write.add(TICKS.full, "clear")
                    model = {}
        if rng.random() < 0.3:
            fold(tmp_path, TICKS)
        assert seen(tmp_path, TICKS) == in_order(list(model.values()))
    fold(tmp_path, TICKS)
    assert seen(tmp_path, TICKS) == in_order(list(model.values()))
    assert journal.held() == {}
    assert fold(tmp_path, TICKS) is None


# ---------------------------------------------------------------------- what it leaves on the disk


def files_of(root: Path, record: Record) -> list[int]:
    """The rows of each file of a table."""
    shot = RecordTable(root, record).snapshot()
    return sorted(shot.stats["rows"].to_pylist()) if shot.stats else []


def rows_of(count: int, first: int = 0) -> list[Row]:
    return [{"id": n, "x": f"text {n}"} for n in range(first, first + count)]


def test_rows_come_sorted_by_key_in_small_groups(tmp_path: Path) -> None:
    with Operations(tmp_path).writing() as write:
        for row in reversed(rows_of(20_000)):
            put(write, NUMBERED, row)
    made = fold(tmp_path, NUMBERED)
    assert made
    assert (made.operations, made.rows, made.files, made.removed) == (20_000, 20_000, 1, 0)
    table = RecordTable(tmp_path, NUMBERED)
    [path] = table.paths(table.snapshot())
    with pq.ParquetFile(path) as file:
        assert file.read()["id"].to_pylist() == list(range(20_000))
        assert {file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)} == {8192, 20_000 % 8192}
        assert {file.metadata.row_group(0).column(n).compression for n in range(2)} == {"ZSTD"}


def test_the_log_keeps_what_keys_are_found_by(tmp_path: Path) -> None:
    with Operations(tmp_path).writing() as write:
        for n in (3, 1, 2):
            put(write, TICKS, tick(n))
    fold(tmp_path, TICKS)
    actions = RecordTable(tmp_path, TICKS).snapshot().actions
    assert actions is not None
    [told] = actions.to_pylist()
    assert (told["min.symbol"], told["max.symbol"], told["min.n"], told["max.n"]) == ("S1", "S3", 1, 3)
    assert (told["min.at"], told["max.at"]) == (START + timedelta(microseconds=7), START + timedelta(microseconds=21))
    assert RecordTable(tmp_path, TICKS).snapshot().highest == {"n": 3}


def test_long_texts_have_no_bound_that_could_be_wrong() -> None:
    rows = pa.table({"k": ["a", "z" * 33], "s": ["b" * 32, "c"]})
    told = statistics(rows, ("k", "s"))
    assert told["minValues"] == {"k": "a", "s": "b" * 32}
    assert told["maxValues"] == {"s": "c"}


def test_a_large_write_goes_in_as_the_file_it_came_in(tmp_path: Path) -> None:
    with Operations(tmp_path).writing() as write:
        path = puts(write, NUMBERED, rows_of(3000))
    fold(tmp_path, NUMBERED)
    table = RecordTable(tmp_path, NUMBERED)
    [held] = table.paths(table.snapshot())
    assert Path(held).stat().st_ino == path.stat().st_ino
    assert table.snapshot().highest == {"id": 2999}


def test_a_disk_that_links_nothing_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    with Operations(tmp_path).writing() as write:
        path = puts(write, NUMBERED, rows_of(3000))
    fold(tmp_path, NUMBERED)
    path.unlink()
    assert seen(tmp_path, NUMBERED) == in_order(rows_of(3000))


def test_files_are_merged_where_they_are_many_and_small(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    for n in range(40):
        with journal.writing() as write:
            for row in rows_of(10, n * 10):
                put(write, NUMBERED, row)
        fold(tmp_path, NUMBERED)
        assert len(files_of(tmp_path, NUMBERED)) <= module.MOST_SMALL + 1
    assert sum(files_of(tmp_path, NUMBERED)) == 400
    assert seen(tmp_path, NUMBERED) == in_order(rows_of(400))


def test_a_replaced_row_has_only_its_own_file_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASIDE", 0)
    journal = Operations(tmp_path)
    for n in range(3):
        with journal.writing() as write:
            puts(write, NUMBERED, rows_of(100, n * 100))
        fold(tmp_path, NUMBERED)
    before = set(RecordTable(tmp_path, NUMBERED).snapshot().paths)
    read: list[str] = []
    inner = hiding.left

    def left(table: RecordTable, path: str, hidden: pa.Table) -> pa.Table | None:
        read.append(path)
        return inner(table, path, hidden)

    monkeypatch.setattr(module, "left", left)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 150, "x": "new"}, replaces=True)
    made = fold(tmp_path, NUMBERED)
    assert made
    assert (made.removed, made.files) == (1, 2)
    after = set(RecordTable(tmp_path, NUMBERED).snapshot().paths)
    assert len(before & after) == 2
    assert len(read) == 1, "the log tells that the others do not hold it"
    assert {row["x"] for row in seen(tmp_path, NUMBERED) if row["id"] == 150} == {"new"}


def test_rows_without_a_key_are_all_kept(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    for n in range(12):
        with journal.writing() as write:
            put(write, NOTES, {"text": "same"})
            put(write, NOTES, {"text": f"{n}"})
            puts(write, NOTES, [{"text": "same"}] * 3)
        assert len(seen(tmp_path, NOTES)) == 5 * (n + 1)
        fold(tmp_path, NOTES)
        assert len(seen(tmp_path, NOTES)) == 5 * (n + 1)
    assert len(files_of(tmp_path, NOTES)) <= module.MOST_SMALL + 2


def test_what_comes_and_goes_before_a_fold_leaves_a_number_and_no_file(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
        delete(write, NUMBERED, {"id": 1})
    assert fold(tmp_path, NUMBERED)
    shot = RecordTable(tmp_path, NUMBERED).snapshot()
    assert (shot.rows, shot.folded(journal.id), journal.pending({}).folded) == (0, 2, {NUMBERED.full: 2})
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "b"})
    assert seen(tmp_path, NUMBERED) == [{"id": 1, "x": "b"}]
    fold(tmp_path, NUMBERED)
    with journal.writing() as write:
        write.add(NUMBERED.full, "clear")
    fold(tmp_path, NUMBERED)
    assert seen(tmp_path, NUMBERED) == []
    assert files_of(tmp_path, NUMBERED) == []


def test_a_column_that_a_file_lacks_is_null_and_one_that_is_not_declared_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        for row in rows_of(3):
            put(write, NUMBERED, row)
    fold(tmp_path, NUMBERED)
    later = replace(NUMBERED, columns=(NUMBERED["id"], Field("y", "BIGINT", "New.", required=False)))
    monkeypatch.setitem(RECORDS, NUMBERED.full, later)
    with journal.writing() as write:
        put(write, later, {"id": 1, "y": 5}, replaces=True)
    fold(tmp_path, later)
    table = RecordTable(tmp_path, later)
    [path] = table.paths(table.snapshot())
    assert pq.read_table(path).select(["id", "x", "y"]).to_pylist() == [
        {"id": 0, "x": "text 0", "y": None},
        {"id": 1, "x": None, "y": 5},
        {"id": 2, "x": "text 2", "y": None},
    ]


# ---------------------------------------------------------------------- others at once


def test_operations_that_come_during_a_fold_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Operations(tmp_path)
    inner = module.committed

    def slow(*given: Any) -> Any:
        with journal.writing() as write:
            put(write, NUMBERED, {"id": 2, "x": "late"})
        return inner(*given)

    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
    monkeypatch.setattr(module, "committed", slow)
    fold(tmp_path, NUMBERED)
    assert journal.held()[NUMBERED.full][0] == 1
    assert [row["id"] for row in seen(tmp_path, NUMBERED)] == [1, 2]


def test_who_finds_another_at_it_does_nothing(tmp_path: Path) -> None:
    with Operations(tmp_path).writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
    with module.folding(tmp_path, NUMBERED.full) as alone:
        assert alone
        with ThreadPoolExecutor() as pool:
            assert pool.submit(fold, tmp_path, NUMBERED).result(30) is None
    assert fold(tmp_path, NUMBERED)


def test_anothers_commit_has_it_decided_anew_and_leaves_nothing_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, times = Operations(tmp_path), []
    with journal.writing() as write:
        for row in rows_of(3):
            put(write, NUMBERED, row)
    fold(tmp_path, NUMBERED)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "new"}, replaces=True)
    inner, folder = RecordTable.commit, RecordTable(tmp_path, NUMBERED).folder

    def late(self: RecordTable, *given: Any) -> bool:
        times.append(1)
        if len(times) == 1:
            write_deltalake(folder, pa.table({"id": pa.array([9], pa.int64()), "x": ["other's"]}), mode="append")
        return inner(self, *given)

    monkeypatch.setattr(RecordTable, "commit", late)
    fold(tmp_path, NUMBERED)
    assert len(times) == 2
    assert [(row["id"], row["x"]) for row in seen(tmp_path, NUMBERED)] == [(0, "text 0"), (1, "new"), (2, "text 2"), (9, "other's")]
    table = RecordTable(tmp_path, NUMBERED)
    assert {one.name for one in folder.glob("*.parquet")} == table.snapshot().paths | {
        "000000000001" + name[12:] for name in retired(table)
    }


def retired(table: RecordTable) -> list[str]:
    return [path for path, life in history(table.folder).files.items() if life.removed is not None]


def test_whoever_loses_every_attempt_is_told_and_the_journal_keeps_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    monkeypatch.setattr(RecordTable, "commit", lambda *_: False)
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
    with pytest.raises(Busy, match=r"other writers won 3 attempts .*The journal keeps its rows"):
        fold(tmp_path, NUMBERED)
    assert journal.held()[NUMBERED.full][0] == 1
    assert list(RecordTable(tmp_path, NUMBERED).folder.glob("*.parquet")) == []


def test_a_fold_killed_between_its_commit_and_the_journal_is_ended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Operations, "fold", killed)
        fold(tmp_path, NUMBERED)
    assert journal.held()[NUMBERED.full][0] == 1
    assert [row["id"] for row in seen(tmp_path, NUMBERED)] == [1]
    assert fold(tmp_path, NUMBERED) is None
    assert journal.held() == {}
    assert [row["id"] for row in seen(tmp_path, NUMBERED)] == [1]
    assert RecordTable(tmp_path, NUMBERED).snapshot().version == 1


def test_a_table_that_lost_what_was_folded_is_not_folded_over(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
    fold(tmp_path, NUMBERED)
    shutil.rmtree(RecordTable(tmp_path, NUMBERED).folder)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 2, "x": "b"})
    with pytest.raises(
        LakeError, match=r"has lost rows that were folded .*nothing was folded. Bring the table's folder back .*DELETE FROM folded"
    ) as told:
        fold(tmp_path, NUMBERED)
    # What it says lets one go on without those rows.
    con = sqlite3.connect(journal.path, isolation_level=None)
    con.execute(str(told.value).partition('"')[2].partition('"')[0])
    con.close()
    assert fold(tmp_path, NUMBERED)
    assert [row["id"] for row in seen(tmp_path, NUMBERED)] == [2]


def test_the_disk_has_the_journal_before_a_commit_says_what_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    keep, commit = Operations.keep, RecordTable.commit

    def kept(self: Operations) -> None:
        done.append("kept")
        keep(self)

    def committed(self: RecordTable, *given: Any) -> bool:
        done.append("committed")
        return commit(self, *given)

    monkeypatch.setattr(Operations, "keep", kept)
    monkeypatch.setattr(RecordTable, "commit", committed)
    with Operations(tmp_path).writing() as write:
        put(write, NOTES, {"text": "0"})
    fold(tmp_path, NOTES)
    # A loss of power that took operations back would have their numbers given again, and taken for folded.
    assert done == ["kept", "committed"]


def test_a_journal_that_came_from_a_backup_loses_nothing_that_is_written_from_then_on(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NOTES, {"text": "0"})
    journal.close()
    backup = journal.path.read_bytes()
    for n in range(1, 5):
        with journal.writing() as write:
            put(write, NOTES, {"text": f"{n}"})
    fold(tmp_path, NOTES)
    journal.close()
    journal.path.write_bytes(backup)
    with journal.writing() as write:
        put(write, NOTES, {"text": "after"})
    assert [row["text"] for row in seen(tmp_path, NOTES)] == ["0", "1", "2", "3", "4", "after"]
    fold(tmp_path, NOTES)
    assert [row["text"] for row in seen(tmp_path, NOTES)] == ["0", "1", "2", "3", "4", "after"]


# ---------------------------------------------------------------------- when


def test_only_what_is_due_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
        for n in range(3):
            put(write, NOTES, {"text": f"{n}"})
    assert fold_due(tmp_path) == []
    monkeypatch.setattr(module, "DUE_ROWS", 3)
    assert [one.table for one in fold_due(tmp_path)] == [NOTES.full]
    monkeypatch.setattr(module, "DUE_S", 0.0)
    assert [one.table for one in fold_due(tmp_path)] == [NUMBERED.full]
    assert journal.held() == {}


def test_one_table_that_cannot_be_folded_keeps_no_other_from_it(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
        write.add("unheard.of", "put", key="[1]", body="{}")
        put(write, NOTES, {"text": "a"})
    log = RecordTable(tmp_path, NOTES).commit_path(1)
    log.parent.mkdir(parents=True)
    log.write_text("damaged")
    with pytest.raises(LakeError, match=r"derived\.notes cannot be read"):
        fold_all(tmp_path)
    assert journal.held().keys() == {NOTES.full, "unheard.of"}


def until(what: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_thread_folds_by_count_and_by_age_and_ends(tmp_path: Path) -> None:
    journal, folder = Operations(tmp_path), Folder(tmp_path, rows=5, seconds=60)

    def write_one(record: Record, row: Row) -> None:
        with journal.writing() as write:
            put(write, record, row)
        folder.wrote(record.full)

    for n in range(4):
        write_one(NUMBERED, {"id": n, "x": "a"})
    time.sleep(0.1)
    assert journal.held()[NUMBERED.full][0] == 4
    write_one(NUMBERED, {"id": 4, "x": "a"})
    until(lambda: NUMBERED.full not in journal.held())
    folder.seconds = 0.05
    write_one(NOTES, {"text": "old"})
    until(lambda: journal.held() == {})
    folder.close()
    assert not [one for one in threading.enumerate() if one.name == "workbench-fold"]
    assert folder.errors == []
    write_one(NOTES, {"text": "after"})
    assert not [one for one in threading.enumerate() if one.name == "workbench-fold"]


def test_what_a_process_that_is_no_more_left_is_folded_by_the_next_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
    monkeypatch.setattr(module, "DUE_S", 0.0)
    folder = Folder(tmp_path)
    folder.wrote(NOTES.full)
    until(lambda: journal.held() == {})
    folder.close()


def test_what_a_fold_meets_is_remembered_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "REST_S", 0.02)
    journal, folder = Operations(tmp_path), Folder(tmp_path, rows=1)
    met: list[int] = []

    def failing(*given: Any) -> Any:
        met.append(1)
        if len(met) < 3:
            raise LakeError("the disk is full")
        return fold(*given)

    monkeypatch.setattr(folding, "fold", failing)
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
    folder.wrote(NUMBERED.full)
    until(lambda: journal.held() == {})
    folder.close()
    assert [str(one) for one in folder.errors] == ["the disk is full"] * 2


def test_a_child_of_a_fork_has_a_thread_of_its_own_and_loses_nothing_if_its_libraries_cannot_fold(tmp_path: Path) -> None:
    journal, folder = Operations(tmp_path), Folder(tmp_path, rows=1)
    folder.wrote(NOTES.full)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with journal.writing() as write:
                put(write, NOTES, {"text": "a"})
            folder.wrote(NOTES.full)
            # Delta's library refuses to work in a child whose parent has used it.
            until(lambda: journal.held() == {} or bool(folder.errors))
            folder.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    folder.close()
    assert len(seen(tmp_path, NOTES)) == 1
    fold_all(tmp_path)
    assert len(seen(tmp_path, NOTES)) == 1
    assert journal.held() == {}
