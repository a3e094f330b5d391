"""What sessions see of rows in the journal: those of now, of every process, of one moment for all tables of a query, held by a pin, and not in the past."""

import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from journaled import delete, deletes, put, puts

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError
from workbench.lake.fold import fold
from workbench.lake.operations import Operations
from workbench.lake.pending import State
from workbench.query import laid
from workbench.query.values import taker, typed
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

SIGNALS, TRADES, HOLDINGS = (RECORDS[f"kraken_bot.{name}"] for name in ("signals", "trades", "holdings"))
NOON = datetime(2024, 3, 7, 17, 0, tzinfo=UTC)
PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with closing(opened(tmp_path / "lake")) as made:
        made.lake.make()
        yield made


@pytest.fixture
def journal(bench: Workbench) -> Iterator[Operations]:
    with closing(Operations(bench.lake.root)) as made:
        yield made


def opened(root: Path, **more: Any) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)), **more)


def row(record: Record, **given: Any) -> dict[str, Any]:
    """A row as it is kept: the table's example, and what is given."""
    told = {"id": 1, "created_at": NOON, "updated_at": NOON, "test_mode": False} | dict(record.example) | given
    return {name: None if told.get(name) is None else take(told[name]) for name, take in takers(record.full).items()}


@cache
def takers(full: str) -> dict[str, Any]:
    return {one.name: taker(typed(one.type)) for one in RECORDS[full].columns}


def write(journal: Operations, record: Record, *rows: Mapping[str, Any], replaces: bool = False) -> None:
    with journal.writing() as under_way:
        for one in rows:
            put(under_way, record, one, replaces=replaces)


def signals(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    one = row(SIGNALS, **more)
    return [one | {"id": n, "price": Decimal(n)} for n in numbers]


def asked(bench: Workbench, query: str) -> Any:
    relation = bench.sql(query)
    assert relation is not None
    return relation.fetchall()


def numbers(bench: Workbench, table: str = SIGNALS.full) -> list[int]:
    return [n for (n,) in asked(bench, f"SELECT id FROM {table} ORDER BY id")]


# ---------------------------------------------------------------------- what is there


def test_the_next_query_sees_a_row_of_the_journal_and_once_it_is_folded_sees_it_once(bench: Workbench, journal: Operations) -> None:
    assert numbers(bench) == []
    for n in range(1, 4):
        write(journal, SIGNALS, *signals(n))
        assert numbers(bench) == list(range(1, n + 1))
    fold(bench.lake.root, SIGNALS)
    assert numbers(bench) == [1, 2, 3]
    write(journal, SIGNALS, *signals(4))
    assert numbers(bench) == [1, 2, 3, 4]
    assert bench.catalog.records.count(SIGNALS.full) == 4


def test_a_row_is_shown_with_the_types_that_are_declared(bench: Workbench, journal: Operations) -> None:
    record = RECORDS["news.news_articles"]
    other = RECORDS["economic_data.economic_data"]
    for one in (record, other):
        write(journal, one, row(one, id="00000000-0000-0000-0000-000000000001"))
    for one in (record, other):
        view = ".".join(one.imported)
        before = asked(bench, f"SELECT * FROM {view}")
        described = [(name, kind) for name, kind, *_ in asked(bench, f"DESCRIBE {view}")]
        assert described == [(c.name, str(typed(c.type))) for c in one.columns]
        fold(bench.lake.root, one)
        assert asked(bench, f"SELECT * FROM {view}") == before and len(before) == 1
        assert [(name, kind) for name, kind, *_ in asked(bench, f"DESCRIBE {view}")] == described


def test_replaced_and_deleted_rows_of_files_are_gone(bench: Workbench, journal: Operations) -> None:
    write(journal, SIGNALS, *signals(1, 2, 3, 4))
    fold(bench.lake.root, SIGNALS)
    assert numbers(bench) == [1, 2, 3, 4]

    write(journal, SIGNALS, *signals(2, symbol="ETHUSD"), replaces=True)
    with journal.writing() as under_way:
        delete(under_way, SIGNALS, signals(3)[0])

    told = [(1, "BTCUSD"), (2, "ETHUSD"), (4, "BTCUSD")]
    assert asked(bench, "SELECT id, symbol FROM kraken_bot.signals ORDER BY id") == told
    assert bench.catalog.records.count(SIGNALS.full) == 3
    # And once more, of what stands in the journal already.
    write(journal, SIGNALS, *signals(2, symbol="SOLUSD"), replaces=True)
    assert ("SOLUSD",) in asked(bench, "SELECT symbol FROM kraken_bot.signals") and numbers(bench) == [1, 2, 4]
    fold(bench.lake.root, SIGNALS)
    assert numbers(bench) == [1, 2, 4]


def test_large_batches_stand_in_files_of_which_later_operations_take_rows(bench: Workbench, journal: Operations) -> None:
    with journal.writing() as under_way:
        puts(under_way, SIGNALS, signals(*range(1, 11)))
    assert numbers(bench) == list(range(1, 11)) and bench.catalog.records.count(SIGNALS.full) == 10
    fold(bench.lake.root, SIGNALS)
    with journal.writing() as under_way:
        puts(under_way, SIGNALS, signals(9, 10, 11, symbol="ETHUSD"), replaces=True)
    assert numbers(bench) == list(range(1, 12))
    assert asked(bench, "SELECT count(*) FROM kraken_bot.signals WHERE symbol = 'ETHUSD'") == [(3,)]
    with journal.writing() as under_way:
        deletes(under_way, SIGNALS, signals(1, 11))
    assert numbers(bench) == list(range(2, 11)) and bench.catalog.records.count(SIGNALS.full) == 9
    with journal.writing() as under_way:
        under_way.add(SIGNALS.full, "clear")
    assert numbers(bench) == [] and bench.catalog.records.count(SIGNALS.full) == 0
    write(journal, SIGNALS, *signals(5))
    assert numbers(bench) == [5]


def test_tables_that_market_data_feeds_show_what_was_just_written_beside_it(bench: Workbench, journal: Operations) -> None:
    record = RECORDS["news.news_articles"]
    url = "SELECT url FROM news.news_articles"
    assert asked(bench, url) == []
    write(journal, record, row(record, id="00000000-0000-0000-0000-000000000001", url="https://example.com/1"))
    assert asked(bench, url) == [("https://example.com/1",)]
    fold(bench.lake.root, record)
    assert asked(bench, url) == [("https://example.com/1",)]


def test_a_production_view_follows(bench: Workbench, journal: Operations) -> None:
    write(journal, TRADES, row(TRADES, id=1, signal_id=None), row(TRADES, id=2, signal_id=None, test_mode=True))
    assert asked(bench, "SELECT id FROM kraken_bot.prod_trades") == [(1,)]


# ---------------------------------------------------------------------- one moment


def order(journal: Operations, n: int) -> None:
    """One transaction over three tables, which replaces a row of the third."""
    with journal.writing() as under_way:
        put(under_way, SIGNALS, signals(n)[0])
        put(under_way, TRADES, row(TRADES, id=n, signal_id=n))
        put(under_way, HOLDINGS, row(HOLDINGS, symbol="BTC", amount=Decimal(n)), replaces=True)


def orders(root: str, enough: Any) -> None:
    """Writes one after another, and folds now one table, now another."""
    with closing(Operations(Path(root))) as journal:
        n = 0
        while not enough.is_set():
            n += 1
            order(journal, n)
            if n % 50 == 0:
                fold(Path(root), (SIGNALS, TRADES, HOLDINGS)[n // 50 % 3], journal)


WHOLE = """SELECT (SELECT count(*) FROM kraken_bot.signals), (SELECT count(*) FROM kraken_bot.trades),
    (SELECT coalesce(max(amount), 0)::BIGINT FROM kraken_bot.holdings), (SELECT count(*) FROM kraken_bot.holdings)"""


@pytest.mark.parametrize("threads", [1, 3])
def test_a_transaction_over_three_tables_is_never_half_seen(bench: Workbench, threads: int) -> None:
    enough = PROCESSES.Event()
    writer = PROCESSES.Process(target=orders, args=(str(bench.lake.root), enough))
    writer.start()
    told: list[tuple[int, ...]] = []
    until = time.monotonic() + 60

    def look() -> None:
        # Folds come every fifty, one table after another.
        while time.monotonic() < until and (len(set(told)) < 20 or max(told)[0] < 200):
            told.extend(asked(bench, WHOLE))

    lookers = [threading.Thread(target=look) for _ in range(threads)]
    for one in lookers:
        one.start()
    for one in lookers:
        one.join()
    enough.set()
    writer.join()
    assert writer.exitcode == 0
    assert len(set(told)) > 10, "the writer wrote while others looked"
    assert not [one for one in told if not one[0] == one[1] == one[2] or one[3] > 1]
    if threads == 1:
        assert told == sorted(told), "nothing that was seen goes away"


def test_a_table_that_is_first_asked_for_is_of_the_same_moment_as_others(bench: Workbench, journal: Operations) -> None:
    order(journal, 1)
    assert numbers(bench) == [1]
    order(journal, 2)
    relation = bench.sql(WHOLE)
    # Made of other views, this one has all three looked at.
    assert asked(bench, "SELECT id FROM kraken_bot.trades ORDER BY id") == [(1,), (2,)]
    assert relation is not None and relation.fetchall() == [(2, 2, 2, 1)]


# ---------------------------------------------------------------------- relations that were made before


def test_a_relation_that_was_not_fetched_reads_what_there_is_then(bench: Workbench, journal: Operations) -> None:
    write(journal, SIGNALS, *signals(1))
    relation = bench.sql("SELECT id FROM kraken_bot.signals ORDER BY id")
    assert relation is not None
    write(journal, SIGNALS, *signals(2))
    numbers(bench)
    assert relation.fetchall() == [(1,), (2,)]
    fold(bench.lake.root, SIGNALS)
    write(journal, SIGNALS, *signals(3))
    numbers(bench)
    assert relation.fetchall() == [(1,), (2,), (3,)]


@pytest.mark.skipif(not hasattr(duckdb, "ResourceInUseException"), reason="DuckDB before 2.0 ends an open stream instead of refusing")
def test_a_stream_under_way_goes_on_with_what_it_began(bench: Workbench, journal: Operations) -> None:
    with journal.writing() as under_way:
        puts(under_way, SIGNALS, signals(*range(1, 5001)))
    write(journal, SIGNALS, *signals(*range(5001, 10_001)))
    relation = bench.sql("SELECT id FROM kraken_bot.signals")
    assert relation is not None
    stream = relation.to_arrow_reader(1000)
    told = stream.read_next_batch()["id"].to_pylist()
    write(journal, SIGNALS, *signals(*range(10_001, 10_100)))
    assert len(numbers(bench)) == 10_099
    fold(bench.lake.root, SIGNALS)
    assert len(numbers(bench)) == 10_099
    for batch in stream:
        told += batch["id"].to_pylist()
    assert sorted(told) == list(range(1, 10_001))


def test_tables_of_the_journals_rows_do_not_pile_up(bench: Workbench, journal: Operations) -> None:
    for n in range(1, laid.KEPT + 6):
        write(journal, SIGNALS, *signals(n))
        assert len(numbers(bench)) == n
        fold(bench.lake.root, SIGNALS)
    [(held,)] = asked(bench, f"SELECT count(*) FROM duckdb_tables() WHERE schema_name = '{laid.SCHEMA}'")
    assert held <= 2 * (laid.KEPT + 1)


# ---------------------------------------------------------------------- a pin, and the past


def test_a_pin_holds_the_journal_too(bench: Workbench, journal: Operations) -> None:
    write(journal, SIGNALS, *signals(1, 2))
    with bench.pin():
        write(journal, SIGNALS, *signals(3))
        assert numbers(bench) == [1, 2]
        fold(bench.lake.root, SIGNALS)
        write(journal, SIGNALS, *signals(4), *signals(1, symbol="ETHUSD"), replaces=True)
        assert numbers(bench) == [1, 2]
        assert asked(bench, "SELECT DISTINCT symbol FROM kraken_bot.signals") == [("BTCUSD",)]
        assert bench.catalog.records.count(SIGNALS.full) == 2
    assert numbers(bench) == [1, 2, 3, 4]


def test_the_past_shows_what_was_folded_by_then(bench: Workbench, journal: Operations) -> None:
    write(journal, SIGNALS, *signals(1))
    fold(bench.lake.root, SIGNALS)
    time.sleep(0.01)
    then = datetime.now(UTC)
    time.sleep(0.01)
    write(journal, SIGNALS, *signals(2))
    with closing(opened(bench.lake.root, as_of=then)) as past:
        assert numbers(past) == [1] and past.catalog.records.count(SIGNALS.full) == 1
    fold(bench.lake.root, SIGNALS)
    with closing(opened(bench.lake.root, as_of=then)) as past:
        assert numbers(past) == [1]


# ---------------------------------------------------------------------- bad input, and what it costs


def test_what_cannot_be_read_is_told_to_who_names_it(bench: Workbench, journal: Operations) -> None:
    write(journal, TRADES, row(TRADES, id=1, signal_id=None))
    with journal.writing() as under_way:
        under_way.add(SIGNALS.full, "put", key="[1]", body='{"id": "seven"}')
    with pytest.raises(LakeError, match=r"holds an operation on kraken_bot\.signals that cannot be read"):
        bench.sql("SELECT * FROM kraken_bot.signals")
    assert numbers(bench, TRADES.full) == [1]
    # What lists all views does not stumble over it.
    assert ("trades",) in asked(bench, "SELECT view_name FROM duckdb_views() WHERE schema_name = 'kraken_bot'")
    with journal.writing() as under_way:
        under_way.add(SIGNALS.full, "clear")
    assert numbers(bench) == []


def test_a_bot_that_appends_has_only_its_new_rows_read(bench: Workbench, journal: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    write(journal, SIGNALS, *signals(*range(1, 1001)))
    numbers(bench)
    read: list[int] = []
    whole = laid.Laid.later

    def later(self: laid.Laid, con: Any, state: State, upto: int) -> laid.Laid:
        read.append(len(state.rows or ()))
        return whole(self, con, state, upto)

    monkeypatch.setattr(laid.Laid, "later", later)

    write(journal, SIGNALS, *signals(*range(1001, 1011)))
    write(journal, SIGNALS, *signals(1005, symbol="ETHUSD"), replaces=True)

    assert len(numbers(bench)) == 1010
    assert sum(read) == 10
    write(journal, SIGNALS, *signals(2000))
    given = bench.catalog.documented.given
    assert len(numbers(bench)) == 1011
    # Plans of other queries stay good.
    write(journal, SIGNALS, *signals(2001))
    assert len(numbers(bench)) == 1012 and bench.catalog.documented.given is given


def test_a_query_that_repeats_looks_at_nothing_anew(bench: Workbench, journal: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    write(journal, SIGNALS, *signals(1))
    numbers(bench)
    monkeypatch.setattr(Operations, "pending", lambda *_: pytest.fail("nothing has changed"))
    assert numbers(bench) == [1]


def test_a_condition_on_the_key_reaches_the_files_beside_rows_of_the_journal(bench: Workbench, journal: Operations) -> None:
    with journal.writing() as under_way:
        puts(under_way, SIGNALS, signals(*range(1, 60_001)))
    fold(bench.lake.root, SIGNALS)
    write(journal, SIGNALS, *signals(70_001), *signals(5, symbol="ETHUSD"), replaces=True)
    assert asked(bench, "SELECT symbol FROM kraken_bot.signals WHERE id = 5") == [("ETHUSD",)]
    assert len(asked(bench, "SELECT symbol FROM kraken_bot.signals WHERE id = 30000")) == 1

    [(_, plan)] = asked(bench, "EXPLAIN ANALYZE SELECT symbol FROM kraken_bot.signals WHERE id = 30000")

    assert "id=30000" in plan.replace(" ", "")
    [(first,)] = asked(bench, "SELECT min(id) FROM kraken_bot.signals WHERE timestamp > TIMESTAMPTZ '2020-01-01'")
    assert first == 1
