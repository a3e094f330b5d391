"""The tables that people write, on the disk: appended to by many at once, killed on the way, damaged, and walked over by whatever keeps the lake."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from crash.appending import FLAGS, ROUNDS, SIGNALS, race
from deltalake import DeltaTable, write_deltalake

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BrokenRule, LakeError
from workbench.lake import maintain, records
from workbench.lake.leftovers import clean
from workbench.lake.operations import Operations
from workbench.lake.record_files import statistics
from workbench.lake.records import RecordTable, record_rows, written
from workbench.lake.store import Lake
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.tables.platforms import RECORDS

SIGNAL = dict(SIGNALS.example)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with closing(opened(tmp_path / "lake")) as made:
        made.lake.make()
        yield made


def opened(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)))


def table(bench: Workbench, name: str = SIGNALS.full) -> RecordTable:
    return RecordTable(bench.lake.root, RECORDS[name])


def flag(name: str) -> dict[str, Any]:
    return {"name": name, "enabled": True, "rollout_percent": 5.0, "updated_at": datetime(2024, 3, 7, tzinfo=UTC)}


# ---------------------------------------------------------------------- on the disk


def test_any_reader_of_delta_tables_reads_what_was_written(bench: Workbench) -> None:
    bench.append(SIGNALS.full, SIGNAL)
    bench.append(SIGNALS.full, [SIGNAL | {"symbol": "ETHUSD"}] * 2)
    bench.fold()
    told = DeltaTable(bench.lake.root / "lake" / "kraken_bot" / "signals").to_pyarrow_table().sort_by("id")
    assert told["id"].to_pylist() == [1, 2, 3]
    assert told["symbol"].to_pylist() == ["BTCUSD", "ETHUSD", "ETHUSD"]
    assert told["price"].type == pa.decimal128(20, 8)
    assert told["timestamp"].to_pylist() == [SIGNAL["timestamp"]] * 3
    assert dict(told["strategies"].to_pylist()[0]) == SIGNAL["strategies"]


def test_each_fold_is_one_commit_of_one_file(bench: Workbench) -> None:
    for count in (1, 3):
        assert bench.append(SIGNALS.full, [SIGNAL] * count) == count
        assert bench.append(SIGNALS.full, [SIGNAL]) == 1
        bench.fold()
    shot = table(bench).snapshot()
    # Version 0 made the table.
    assert (shot.version, [file.rows for file in shot.files]) == (2, [2, 4])


def test_a_table_that_nobody_wrote_to_has_no_folder(bench: Workbench) -> None:
    assert bench.append(SIGNALS.full, []) == 0
    with pytest.raises(BrokenRule):
        bench.append(SIGNALS.full, {})
    assert not table(bench).folder.parent.exists()
    assert record_rows(bench.lake) == {}


def test_rows_are_counted_from_the_log_alone(bench: Workbench) -> None:
    bench.append(SIGNALS.full, [SIGNAL] * 2)
    bench.append(FLAGS.full, flag("a"))
    bench.fold()
    for one in written(bench.lake.root):
        for path in one.folder.glob("*.parquet"):
            path.unlink()
    assert record_rows(bench.lake) == {SIGNALS.full: 2, FLAGS.full: 1}


def test_rows_of_the_journal_are_counted_as_a_reader_sees_them(bench: Workbench) -> None:
    bench.append(SIGNALS.full, [SIGNAL] * 5)
    assert record_rows(bench.lake) == {SIGNALS.full: 5}
    assert not list(written(bench.lake.root))
    bench.fold()
    bench.upsert(SIGNALS.full, {**SIGNAL, "id": 2})
    bench.delete(SIGNALS.full, key=3)
    bench.append(FLAGS.full, flag("a"))
    bench.append(SIGNALS.full, [SIGNAL])
    assert record_rows(bench.lake) == {SIGNALS.full: 5, FLAGS.full: 1}
    told = bench.status()
    assert f"6 rows that people wrote to {SIGNALS.full}, {FLAGS.full}, of which the journal holds 4 yet (" in told.title
    assert told.facts["journal"]["rows"] == 4
    bench.fold()
    assert record_rows(bench.lake) == {SIGNALS.full: 5, FLAGS.full: 1}
    assert bench.status().title.endswith(f"6 rows that people wrote to {SIGNALS.full}, {FLAGS.full}")


def test_the_log_keeps_the_range_of_whole_numbers() -> None:
    rows = pa.table({"id": pa.array([3, None, -7], pa.int64()), "n": pa.nulls(3, pa.int32()), "x": [0.5, 1.5, 2.5]})
    told = {"numRecords": 3, "minValues": {"id": -7}, "maxValues": {"id": 3}, "nullCount": {"id": 1, "n": 3}}
    assert statistics(rows) == told


def test_to_see_that_nothing_moved_takes_one_stat(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    held = table(bench)
    assert held.newest().version == -1
    bench.append(SIGNALS.full, SIGNAL)
    bench.fold()
    shot = held.newest()
    assert shot.version == 1
    monkeypatch.setattr(records, "read", None)
    monkeypatch.setattr(RecordTable, "_open", None)
    assert held.newest() is shot


# ---------------------------------------------------------------------- several at once


def test_four_processes_append_at_once_and_numbers_and_keys_stay_unique(bench: Workbench) -> None:
    won = race(bench.lake.root, 4)
    assert len(won) == 4
    # All rows are there, numbered without a gap; and each name was given to one process alone.
    ids = [row[0] for row in bench.sql("SELECT id FROM kraken_bot.signals").fetchall()]
    assert sorted(ids) == list(range(1, 1 + 4 * ROUNDS * 2))
    symbols = bench.sql("SELECT symbol, count(*) FROM kraken_bot.signals GROUP BY 1").fetchall()
    assert dict(symbols) == {f"{who}-{n}": 2 for who in range(4) for n in range(ROUNDS)}
    assert sorted(n for one in won for n in one) == list(range(ROUNDS))
    assert bench.sql("SELECT name FROM utilities.feature_flags ORDER BY 1").fetchall() == [(f"f{n}",) for n in range(ROUNDS)]
    assert verify(bench.lake).findings == []


# ---------------------------------------------------------------------- damaged


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three appends: of two rows, of one, and of one."""
    root = tmp_path_factory.mktemp("made") / "lake"
    with closing(opened(root)) as bench:
        bench.lake.make()
        for count in (2, 1, 1):
            bench.append(SIGNALS.full, [SIGNAL] * count)
            bench.fold()
        assert verify(bench.lake).findings == []
        assert bench.verify([FLAGS.full]).rows == []
    return root


@pytest.fixture
def held(bench: Workbench, made: Path) -> RecordTable:
    """A copy of it."""
    shutil.copytree(made / "lake", bench.lake.root / "lake", dirs_exist_ok=True)
    return table(bench)


def files(held: RecordTable) -> list[Path]:
    return sorted(held.folder.glob("*.parquet"))


def lost(held: RecordTable) -> None:
    files(held)[1].unlink()


def cut(held: RecordTable) -> None:
    files(held)[1].write_bytes(files(held)[1].read_bytes()[:-9])


def torn_page(held: RecordTable) -> None:
    path = files(held)[0]
    told = bytearray(path.read_bytes())
    told[4:600] = bytes(596)
    path.write_bytes(told)


def torn_footer(held: RecordTable) -> None:
    path = files(held)[0]
    told = bytearray(path.read_bytes())
    told[-400:-8] = bytes(392)
    path.write_bytes(told)


def swapped(held: RecordTable) -> None:
    """Another file of as many bytes, and rows, of which the log says other things."""
    two, one, _ = files(held)
    shutil.copy(one, two)
    log = held.commit_path(1)
    log.write_text(log.read_text().replace(f'"size":{json_size(log)}', f'"size":{two.stat().st_size}'))


def json_size(log: Path) -> int:
    return int(next(json.loads(line)["add"]["size"] for line in log.read_text().splitlines() if line.startswith('{"add"')))


def twice(held: RecordTable) -> None:
    write_deltalake(held.folder, pq.read_table(files(held)[0]), mode="append")


def no_commit(held: RecordTable) -> None:
    held.commit_path(2).unlink()


def torn_commit(held: RecordTable) -> None:
    held.commit_path(3).write_text(held.commit_path(3).read_text()[:80])


def no_log(held: RecordTable) -> None:
    shutil.rmtree(held.folder / "_delta_log")


DAMAGE: list[tuple[Callable[[RecordTable], None], str, str, str]] = [
    (lost, "file", "it is gone", ""),
    (cut, "file", "bytes, and the log says", ""),
    (torn_footer, "file", "it cannot be read", ""),
    (torn_page, "file", "it cannot be read", "deep"),
    (swapped, "file", "it has 1 rows, and the log says 2", ""),
    (twice, "keys", "values that stand in several rows: 2", "deep"),
    (no_commit, "log", "it is missing, and later commits are there", ""),
    (torn_commit, "log", "it cannot be read", ""),
    (no_log, "log", "it is gone, and 3 data files are there", ""),
]


@pytest.mark.parametrize(("damage", "kind", "what", "depth"), DAMAGE, ids=lambda one: getattr(one, "__name__", ""))
def test_verify_finds_what_is_damaged(
    bench: Workbench, held: RecordTable, damage: Callable[[RecordTable], None], kind: str, what: str, depth: str
) -> None:
    damage(held)
    found = verify(bench.lake).faults
    assert [(one.table, one.kind) for one in found] == [(SIGNALS.full, kind)]
    assert what in found[0].what
    assert "backup" in found[0].remedy
    # Of one table alone; a quick look finds all but what stands in rows.
    assert [row["what"] for row in bench.verify([SIGNALS.full])] == [found[0].what]
    assert [one.kind for one in verify(bench.lake, deep=False).faults] == ([] if depth else [kind])


def test_a_damaged_log_is_told_to_whoever_asks_for_the_table_and_to_nobody_else(bench: Workbench, held: RecordTable) -> None:
    torn_commit(held)
    with closing(opened(bench.lake.root)) as later:
        with pytest.raises(LakeError, match=r"00000000000000000003.json is damaged .*remove it: the journal still holds what it folded"):
            later.sql("FROM kraken_bot.signals")
        assert later.con.sql("FROM kraken_bot.trades").fetchall() == []
        assert later.append("kraken_bot.rss_feeds", {"url": "https://a.example", "name": "A"}) == 1
        with later.pin():
            assert later.sql("SELECT name FROM kraken_bot.rss_feeds").fetchall() == [("A",)]
        with pytest.raises(LakeError, match=r"nothing was removed of kraken_bot.signals. Run `workbench verify kraken_bot.signals`"):
            vacuum(later.lake, timedelta(0), dry_run=False)


def test_a_file_that_is_gone_is_not_said_to_come_back_with_a_refresh(bench: Workbench, held: RecordTable) -> None:
    bench.sql("FROM kraken_bot.signals").fetchall()
    lost(held)
    made = CliRunner().invoke(main, ["--data", str(bench.lake.root), "sql", "SELECT sum(price) FROM kraken_bot.signals"])
    assert made.exit_code == 1
    assert "`workbench verify` tells what is wrong with it" in made.output
    assert "refresh" not in made.output


def test_vacuum_and_clean_take_what_nobody_committed_and_nothing_else(bench: Workbench, held: RecordTable) -> None:
    before = files(held)
    orphan = held.folder / "000000000009-0badc0de.parquet"
    draft = held.folder / "_delta_log" / "_commit_0badc0de.json.tmp"
    for path in (orphan, draft):
        path.write_bytes(b"PAR1")
    old = time.time() - 3 * 24 * 3600
    os.utime(draft, (old, old))
    assert [(one.kind, one.severity) for one in verify(bench.lake).findings] == [("orphans", "note"), ("leftovers", "note")]
    # What has just been put there may be committed yet.
    assert [one.orphans for one in vacuum(bench.lake, dry_run=False)] == [[]]
    assert orphan.exists()
    assert [one.path for one in clean(bench.lake.root, bench.lake.root / "tmp", dry_run=False)] == [draft]
    [found] = vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    assert ([one.path for one in found.orphans], found.retired, found.table) == ([orphan.name], [], SIGNALS.full)
    assert files(held) == before
    assert verify(bench.lake).findings == []


def test_the_walks_of_a_lake_with_records_alone_end_well(bench: Workbench, held: RecordTable) -> None:
    assert bench.status().to_dicts() == []
    assert bench.status().facts["written"] == {SIGNALS.full: 4}
    assert bench.status().title.endswith("4 rows that people wrote to kraken_bot.signals")
    assert bench.gaps("stock_day", date(2024, 3, 7), date(2024, 3, 7)).rows
    assert bench.vacuum(dry_run=False).facts["files"] == 0
    assert bench.maintain().facts is not None
    assert bench.clean().rows == []
    assert Lake(bench.lake.root).exists
    assert len(files(held)) == 3


# ---------------------------------------------------------------------- replaced, and vacuumed


def replaced(bench: Workbench) -> Path:
    """The file of a table in which a row was replaced."""
    bench.append(SIGNALS.full, [SIGNAL] * 3)
    bench.fold()
    [path] = table(bench).folder.glob("*.parquet")
    return path


def replace_one(bench: Workbench) -> None:
    bench.upsert(SIGNALS.full, {**SIGNAL, "id": 2, "symbol": "ETHUSD"})
    bench.fold()


def test_what_a_fold_replaced_is_vacuumed_once_nobody_reads_it(bench: Workbench) -> None:
    first = replaced(bench)
    with closing(opened(bench.lake.root)) as reader, reader.pin():
        relation = reader.sql("SELECT symbol FROM kraken_bot.signals ORDER BY id")
        replace_one(bench)
        [found] = vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
        assert (found.table, found.read, found.retired) == (SIGNALS.full, 1, [])
        assert relation.fetchall() == [("BTCUSD",)] * 3
        assert reader.sql("SELECT count(*) FROM kraken_bot.signals WHERE symbol = 'BTCUSD'").fetchall() == [(3,)]
    bench.close()
    [found] = vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    assert [one.path for one in found.retired] == [first.name]
    assert not first.exists()
    with closing(opened(bench.lake.root)) as later:
        assert later.sql("SELECT symbol FROM kraken_bot.signals ORDER BY id").fetchall() == [("BTCUSD",), ("ETHUSD",), ("BTCUSD",)]


def test_a_reader_that_showed_a_version_keeps_its_files_for_a_day(bench: Workbench) -> None:
    first = replaced(bench)
    with closing(opened(bench.lake.root)) as reader:
        assert len(reader.sql("FROM kraken_bot.signals").fetchall()) == 3
        replace_one(bench)
        assert len(reader.sql("FROM kraken_bot.signals").fetchall()) == 3
        [found] = vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
        assert found.read == 1
        assert first.exists()


def test_the_past_of_a_table_is_held_or_said_to_be_vacuumed(bench: Workbench) -> None:
    first, at = replaced(bench), datetime.now(UTC)
    replace_one(bench)
    bench.close()
    with closing(Workbench(Settings.load(env={}, data=str(bench.lake.root)), at)) as past:
        assert past.sql("SELECT DISTINCT symbol FROM kraken_bot.signals").fetchall() == [("BTCUSD",)]
        [found] = vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
        assert found.read == 1
    vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    assert not first.exists()
    with (
        closing(Workbench(Settings.load(env={}, data=str(bench.lake.root)), at)) as past,
        pytest.raises(LakeError, match=r"kraken_bot\.signals cannot be opened as of .*removed by vacuum"),
    ):
        past.sql("FROM kraken_bot.signals").fetchall()


def test_rows_beside_the_journal_are_cleaned_away_when_nothing_names_them_for_a_day(bench: Workbench) -> None:
    from workbench.lake.pending import schema

    rows = pa.Table.from_pylist([{**dict.fromkeys(schema(SIGNALS).names), "id": n} for n in range(1, 1501)], schema(SIGNALS))
    with bench.ledger.writing(SIGNALS.full) as within:
        within.put(SIGNALS, rows, replaces=False)
    [named] = (bench.lake.root / "journal" / "rows").iterdir()
    orphan = named.with_name("0badc0de.parquet")
    orphan.write_bytes(b"PAR1")
    assert clean(bench.lake.root, bench.lake.root / "tmp") == []
    for path in (named, orphan):
        os.utime(path, (0, 0))
    assert [one.path for one in clean(bench.lake.root, bench.lake.root / "tmp", dry_run=False)] == [orphan]
    # A fold links its rows into the table; who has read the journal before may still read them here.
    bench.fold()
    assert clean(bench.lake.root, bench.lake.root / "tmp") == []
    os.utime(named, (0, 0))
    assert [one.path for one in clean(bench.lake.root, bench.lake.root / "tmp", dry_run=False)] == [named]
    assert bench.sql("SELECT count(*) FROM kraken_bot.signals").fetchall() == [(1500,)]


def test_maintenance_folds_and_says_so(bench: Workbench) -> None:
    bench.append(SIGNALS.full, [SIGNAL] * 3)
    done = maintain.maintain(bench.lake, bench.settings)
    assert [(one.kind, one.table, one.outcome, one.rows, one.new_files) for one in done.done if one.kind == "fold"] == [
        ("fold", SIGNALS.full, "folded", 3, 1)
    ]
    assert "3 written rows of kraken_bot.signals folded" in maintain.line(done)
    assert maintain.maintain(bench.lake, bench.settings).done == []


# ---------------------------------------------------------------------- the journal, damaged


def torn_row(journal: Operations) -> None:
    with journal.writing() as write:
        write.con.execute("UPDATE operations SET body = '{' WHERE seq = 2")


def lost_file(journal: Operations) -> None:
    with journal.writing() as write:
        write.add(SIGNALS.full, "puts", body="gone.parquet", count=5)


def cut_file(journal: Operations) -> None:
    journal.rows.mkdir()
    (journal.rows / "cut.parquet").write_bytes(b"PAR1 and no more")
    with journal.writing() as write:
        write.add(SIGNALS.full, "puts", body="cut.parquet", count=5)


def other_file(journal: Operations) -> None:
    journal.rows.mkdir()
    pq.write_table(pa.table({"id": pa.array([77], pa.int64())}), journal.rows / "other.parquet")
    with journal.writing() as write:
        write.add(SIGNALS.full, "puts", body="other.parquet", count=5)


def doubled(journal: Operations) -> None:
    with journal.writing() as write:
        write.con.execute(
            "INSERT INTO operations (name, kind, replaces, key, body, count, at) SELECT name, 'put', 0, '[1]', json_set(body, '$.id', 1), 1, at "
            "FROM operations WHERE seq = 2"
        )


def ahead(journal: Operations) -> None:
    with journal.writing() as write:
        write.con.execute("UPDATE folded SET seq = 99")


def strange(journal: Operations) -> None:
    with journal.writing() as write:
        write.add("later.table", "put", key="[1]", body="{}")


def spoilt(journal: Operations) -> None:
    journal.close()
    raw = journal.path.read_bytes()
    journal.path.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))


JOURNAL_DAMAGE: list[tuple[Callable[[Operations], None], str, str, str]] = [
    (torn_row, "operations", "an operation on kraken_bot.signals cannot be read", "deep"),
    (lost_file, "file", "it is gone", ""),
    (cut_file, "file", "it cannot be read", ""),
    (other_file, "file", "it has 1 rows, and the journal says 5", ""),
    (doubled, "keys", "values of id that stand in several rows of kraken_bot.signals: 1", "deep"),
    (ahead, "folded", "the journal folded operations up to 99", ""),
    (strange, "journal", "a table that this version of the library does not know", ""),
    (spoilt, "journal", "damaged", ""),
]


@pytest.mark.parametrize(("damage", "kind", "what", "depth"), JOURNAL_DAMAGE, ids=lambda one: getattr(one, "__name__", ""))
def test_verify_looks_into_the_journal(bench: Workbench, damage: Callable[[Operations], None], kind: str, what: str, depth: str) -> None:
    bench.append(SIGNALS.full, [SIGNAL])
    bench.fold()
    bench.append(SIGNALS.full, [SIGNAL])
    assert verify(bench.lake).findings == []
    bench.close()
    damage(Operations(bench.lake.root))
    found = verify(bench.lake).findings
    assert [(one.table, one.kind) for one in found] == [("journal", kind)]
    assert what in found[0].what
    assert found[0].severity == ("note" if damage is strange else "fault")
    assert [one.kind for one in verify(bench.lake, deep=False).findings] == ([] if depth else [kind])
    # Whoever asks for a table of market data is not told of it.
    assert verify(bench.lake, ["stock_day"]).findings == []
