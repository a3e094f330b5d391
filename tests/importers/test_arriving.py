"""Rows of an import beside those that are there: however they are cut into batches and how often they come, the table is the same, and all is accounted for."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from crash.harness import forkserver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError, UsageError
from workbench.importers.arriving import ATTEMPTS, Landed, arrive, grouped
from workbench.importers.identity import identity
from workbench.importers.meeting import Meeting, Met
from workbench.importers.origin import Arrived
from workbench.importers.taking import taken
from workbench.lake import imports
from workbench.lake.imports import Position, kept
from workbench.lake.verify import verify
from workbench.tables.platforms import RECORDS

DECISIONS, PRICES, TRADES, QUOTES = "ampyfin.strategy_decisions", "ampyfin.price_data", "transactional.trades", "historical.trade"
NOON = datetime(2024, 3, 7, 12, 0, tzinfo=UTC)
Row = dict[str, Any]


def opened(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root), memory_limit="256MiB", threads=1))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with closing(opened(tmp_path / "lake")) as made:
        made.lake.make()
        yield made


def land(bench: Workbench, name: str, rows: Sequence[Row], *, position: Position | None = None, ordered_by: str = "") -> Landed:
    """Bring rows in as one batch; what they are all without did not come."""
    record = bench.records()[name]
    columns = list(dict.fromkeys(one for row in rows for one in row))
    arrived = Arrived(len(rows), {one: [row.get(one) for row in rows] for one in columns})
    found = taken(record, {one: one for one in columns}, arrived, "UTC")
    assert found.rejects == ()
    which = identity(record, columns)
    return arrive(bench, record, found.rows, which, loaded_from="old.db", ordered_by=ordered_by, position=position)


def counts(landed: Landed) -> tuple[int, int, int, int]:
    return landed.new, landed.changed, landed.unchanged, len(landed.rejected)


def there(bench: Workbench, name: str, columns: str = "*") -> list[Any]:
    record = bench.records()[name]
    schema, view = record.imported
    order = ", ".join(record.key) or "ALL"
    return bench.sql(f"SELECT {columns} FROM {schema}.{view} ORDER BY {order}").fetchall()


def decision(id: int, ticker: str = "AAPL", signal: str = "Buy", *, day: int = 1, confidence: float | None = 0.5) -> Row:
    return {
        "id": id,
        "ticker": ticker,
        "strategy": "RSI",
        "date": date(2024, 3, day),
        "signal": signal,
        "confidence": confidence,
        "timestamp": NOON,
    }


def price(id: int, close: float = 1.0) -> Row:
    return {
        "id": id,
        "ticker": f"T{id % 7}",
        "date": str(date(2020, 1, 1) + timedelta(id)),
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": close,
        "volume": 100,
    }


# ---------------------------------------------------------------------- what becomes of rows


def test_new_rows_are_appended_others_replaced_where_they_differ(bench: Workbench) -> None:
    assert counts(land(bench, PRICES, [price(n) for n in range(1, 11)])) == (10, 0, 0, 0)
    assert counts(land(bench, PRICES, [price(n) for n in range(1, 11)])) == (0, 0, 10, 0)
    assert counts(land(bench, PRICES, [price(n, 2.0 if n == 9 else 1.0) for n in range(8, 13)])) == (2, 1, 2, 0)
    assert there(bench, PRICES, "id, close") == [(n, 2.0 if n == 9 else 1.0) for n in range(1, 13)]


@pytest.mark.parametrize("before", [30, 1_500])
def test_many_rows_meet_those_in_files_and_in_the_journal(before: int, bench: Workbench) -> None:
    land(bench, PRICES, [price(n) for n in range(1, before + 1)])
    bench.fold()
    land(bench, PRICES, [price(n) for n in range(before + 1, before + 21)])
    rows = [price(n, 3.0 if n % 2 else 1.0) for n in range(1, before + 41)]
    changed = len(range(1, before + 21, 2))
    assert counts(land(bench, PRICES, rows)) == (20, changed, before + 20 - changed, 0)
    assert counts(land(bench, PRICES, rows)) == (0, 0, before + 40, 0)
    assert there(bench, PRICES, "id, close") == [(row["id"], row["close"]) for row in rows]
    bench.fold()
    assert counts(land(bench, PRICES, rows)) == (0, 0, before + 40, 0)
    assert there(bench, PRICES, "id, close") == [(row["id"], row["close"]) for row in rows]


def test_columns_that_did_not_come_keep_what_is_there_and_default_in_new_rows(bench: Workbench) -> None:
    clients = "transactional.clients"
    bench.append(clients, [{"id": 1, "name": "A", "type": "fund", "contact": "desk", "status": "closed", "registered_at": NOON}])
    assert counts(land(bench, clients, [{"id": 1, "name": "B", "type": "fund"}, {"id": 2, "name": "C", "type": "fund"}])) == (1, 1, 0, 0)
    [first, second] = there(bench, clients, "id, name, contact, status, registered_at = '2024-03-07 12:00:00Z'")
    assert first == (1, "B", "desk", "closed", True)
    assert second == (2, "C", None, "active", False)
    assert counts(land(bench, clients, [{"id": 1, "name": "B", "type": "fund"}])) == (0, 0, 1, 0)


def test_nothing_in_a_column_with_a_default_that_every_row_has_says_nothing(bench: Workbench) -> None:
    clients = "transactional.clients"
    rows = [{"id": 1, "name": "A", "type": "fund", "status": None, "contact": "desk"}]
    assert counts(land(bench, clients, rows)) == (1, 0, 0, 0)
    assert counts(land(bench, clients, rows)) == (0, 0, 1, 0)
    assert there(bench, clients, "status") == [("active",)]
    # Where nothing may stand, it is a value like others; what is not said stays as it is there.
    bench.upsert(clients, {"id": 1, "name": "A", "type": "fund", "status": "closed"})
    assert counts(land(bench, clients, [{**rows[0], "contact": None}])) == (0, 1, 0, 0)
    assert there(bench, clients, "status, contact") == [("closed", None)]


def test_rows_without_their_number_are_told_apart_by_what_is_unique_and_keep_it(bench: Workbench) -> None:
    rows = [{name: value for name, value in decision(1, ticker).items() if name != "id"} for ticker in ("AAPL", "MSFT")]
    assert counts(land(bench, DECISIONS, rows)) == (2, 0, 0, 0)
    rows[1]["signal"] = "Sell"
    assert counts(land(bench, DECISIONS, [*rows, {**rows[0], "ticker": "IBM"}])) == (1, 1, 1, 0)
    assert there(bench, DECISIONS, "id, ticker, signal") == [(1, "AAPL", "Buy"), (2, "MSFT", "Sell"), (3, "IBM", "Buy")]


def test_numbers_are_counted_on_above_those_that_came(bench: Workbench) -> None:
    land(bench, DECISIONS, [decision(41)])
    assert bench.add(DECISIONS, {name: value for name, value in decision(0, "MSFT").items() if name != "id"})["id"] == 42


def test_a_row_that_breaks_a_rule_is_rejected_and_the_rest_goes_in(bench: Workbench) -> None:
    land(bench, DECISIONS, [decision(1)])
    rows = [
        decision(2, "MSFT"),
        decision(3, signal="Hodl"),
        decision(4),
        {**decision(5, "IBM"), "ticker": None},
        {**decision(6), "id": None},
    ]
    found = land(bench, DECISIONS, rows)
    assert counts(found) == (1, 0, 0, 4)
    told = dict(found.rejected)
    assert "signal IN ('Buy', 'Sell', 'Hold') is not so" in told[1]
    assert "unique (ticker, strategy, date): a row with AAPL, RSI, 2024-03-01 is there already" in told[2]
    assert told[3] == "ticker is missing, and every row must have it"
    assert told[4] == "id is missing, and every row must have it"
    assert there(bench, DECISIONS, "id") == [(1,), (2,)]


def test_a_row_that_refers_to_nothing_is_rejected(bench: Workbench) -> None:
    land(bench, "transactional.users", [{"id": 1, "username": "ada", "email": "a@example.com"}])
    order = {**RECORDS["transactional.orders"].example, "id": 1}
    found = land(bench, "transactional.orders", [order, {**order, "id": 2, "user_id": 9}])
    assert counts(found) == (1, 0, 0, 1)
    assert found.rejected[0] == (1, "user_id 9 is not in transactional.users (id)")


def test_the_newer_of_two_rows_of_one_key_stands(bench: Workbench) -> None:
    assert counts(land(bench, PRICES, [price(1), price(1, 2.0), price(2), price(2)])) == (2, 1, 1, 0)
    assert there(bench, PRICES, "id, close") == [(1, 2.0), (2, 1.0)]


def test_where_rows_come_from_stands_in_them_and_tests_are_tagged(bench: Workbench) -> None:
    name = "kraken_bot.signals"
    rows = [{**RECORDS[name].example, "id": 1}, {**RECORDS[name].example, "id": 2, "loaded_from": "elsewhere"}]
    rows = [{column: row.get(column) for column in rows[1]} for row in rows]
    assert counts(land(bench, name, rows)) == (2, 0, 0, 0)
    assert counts(land(bench, name, rows)) == (0, 0, 2, 0)
    if "loaded_from" in RECORDS[name].names:
        assert there(bench, name, "loaded_from") == [("old.db",), ("elsewhere",)]


def test_no_rows_move_a_position_only(bench: Workbench) -> None:
    assert counts(land(bench, PRICES, [price(1)], position=Position("s", "t", PRICES, "id", 1))) == (1, 0, 0, 0)
    rows = pa.table({"id": pa.array([], pa.int64())})
    landed = arrive(bench, RECORDS[PRICES], rows, ("id",), loaded_from="x", position=Position("s", "t", PRICES, "id", 5))
    assert counts(landed) == (0, 0, 0, 0)
    found = kept(bench.lake.root, "s", "t", PRICES)
    assert found
    assert (found.value, found.rows) == (5, 1)


def test_rows_and_position_stand_together_or_not_at_all(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LakeError("no room")

    monkeypatch.setattr(imports, "keep", broken)
    for count in (3, 1_500):
        with pytest.raises(LakeError, match="no room"):
            land(bench, PRICES, [price(n) for n in range(1, count)], position=Position("s", "t", PRICES, "id", 1))
        assert there(bench, PRICES) == []
        assert list((bench.lake.root / "journal" / "rows").glob("*")) == []


def test_nothing_is_imported_within_a_transaction_or_into_the_past(bench: Workbench) -> None:
    with bench.transaction() as t:
        t.append(PRICES, [price(1)])
        with pytest.raises(UsageError, match="transaction is open"):
            land(bench, PRICES, [price(2)])
    assert there(bench, PRICES, "id") == [(1,)]


def test_what_others_write_meanwhile_counts(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [price(n) for n in range(1, 1_501)]
    compare, written = Meeting.met, list[int]()

    def met(self: Meeting, *told: Any) -> Met:
        found = compare(self, *told)
        # Another writer comes between the comparison and the transaction, each time.
        if self.record.full == PRICES and len(written) < 5 and not bench.ledger.operations._writer._con.in_transaction:  # type: ignore[union-attr]
            number = len(written) + 1
            written.append(number)
            bench.append(PRICES, [{**price(number), "close": 9.0}])
        return found

    monkeypatch.setattr(Meeting, "met", met)
    assert counts(land(bench, PRICES, rows)) == (1_500 - ATTEMPTS, ATTEMPTS, 0, 0)
    assert written == [1, 2]
    assert there(bench, PRICES, "id, close") == [(row["id"], 1.0) for row in rows]
    # No file is left that nothing names.
    assert set((bench.lake.root / "journal" / "rows").iterdir()) == bench.ledger.operations.files()


# ---------------------------------------------------------------------- tables without a key


def tick(second: int, size: float = 1.0) -> Row:
    return {"time": NOON + timedelta(seconds=second), "sym": "AAPL", "price": 1.5, "size": size}


def test_equal_rows_of_a_table_without_a_key_stay_as_many_as_they_are(bench: Workbench) -> None:
    assert identity(RECORDS[QUOTES], ("time", "sym")) == ()
    rows = [tick(0), tick(0), tick(1), tick(1, 2.0)]
    assert counts(land(bench, QUOTES, rows, ordered_by="time")) == (4, 0, 0, 0)
    assert counts(land(bench, QUOTES, rows, ordered_by="time")) == (0, 0, 4, 0)
    assert counts(land(bench, QUOTES, [*rows[:2], tick(0), *rows[2:], tick(2)], ordered_by="time")) == (2, 0, 4, 0)
    assert Counter(second for (second,) in there(bench, QUOTES, "date_diff('second', TIMESTAMPTZ '2024-03-07 12:00:00Z', time)")) == {
        0: 3,
        1: 2,
        2: 1,
    }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.integers(0, 4), max_size=12).map(sorted), cuts=st.sets(st.integers(0, 12)), again=st.integers(0, 2))
def test_batches_of_a_table_without_a_key_may_be_cut_anywhere(seconds: list[int], cuts: set[int], again: int, bench: Workbench) -> None:
    bench.reset_tables(QUOTES)
    rows = [tick(one) for one in seconds]
    for _ in range(again + 1):
        at = sorted({0, len(rows), *(one for one in cuts if one < len(rows))})
        tables = [pa.Table.from_pylist(rows[first:last]) for first, last in pairwise(at)]
        landed = [land(bench, QUOTES, batch.to_pylist(), ordered_by="time") for batch in grouped(tables, "time")]
        assert sum(sum(counts(one)) for one in landed) == len(rows)
    found = Counter(there(bench, QUOTES, "date_diff('second', TIMESTAMPTZ '2024-03-07 12:00:00Z', time)"))
    assert found == Counter((one,) for one in seconds)


def test_batches_are_cut_where_the_time_changes() -> None:
    def cut(*batches: list[int | None], column: str = "t") -> list[list[int | None]]:
        return [one["t"].to_pylist() for one in grouped([pa.table({"t": pa.array(batch, pa.int64())}) for batch in batches], column)]

    assert cut([1, 1], [1, 2], [2, 3]) == [[1, 1, 1], [2, 2], [3]]
    assert cut([1], [], [1]) == [[1, 1]]
    assert cut([1, 2], [3, 4]) == [[1], [2, 3], [4]]
    assert cut([1, 2], [2, 3], column="") == [[1, 2, 2, 3]]
    assert cut() == []
    assert cut([None, None], [None, 1]) == [[None, None, None], [1]]


# ---------------------------------------------------------------------- any split


class Model:
    """Rows taken one after another, as anyone would."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}

    def take(self, row: Row) -> str:
        wanted = (row["ticker"], row["date"])
        if row["signal"] not in ("Buy", "Sell", "Hold"):
            # A row that is there as it comes is not judged again; none such is.
            return "rejected"
        if any(id != row["id"] and (one["ticker"], one["date"]) == wanted for id, one in self.rows.items()):
            return "rejected"
        before, self.rows[row["id"]] = self.rows.get(row["id"]), row
        return "new" if before is None else "unchanged" if before == row else "changed"


DECISION = st.builds(
    decision,
    st.integers(1, 4),
    st.sampled_from(["AAPL", "MSFT"]),
    st.sampled_from(["Buy", "Sell", "Hodl"]),
    day=st.integers(1, 2),
    confidence=st.sampled_from([None, 0.5]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(DECISION, max_size=9), cuts=st.sets(st.integers(0, 18)), repeats=st.integers(1, 2), folds=st.booleans())
def test_any_cut_into_batches_and_any_repetition_is_as_rows_one_after_another(
    rows: list[Row], cuts: set[int], repeats: int, folds: bool, bench: Workbench
) -> None:
    bench.reset_tables(DECISIONS)
    model, told = Model(), Counter[str]()
    every = rows * repeats
    for first, last in pairwise(sorted({0, len(every), *(one for one in cuts if one < len(every))})):
        some = every[first:last]
        expected = [model.take(row) for row in some]
        landed = land(bench, DECISIONS, some)
        assert sum(counts(landed)) == len(some)
        assert sorted(row for row, _ in landed.rejected) == [n for n, one in enumerate(expected) if one == "rejected"]
        assert landed.new == expected.count("new")
        told.update(expected)
        if folds:
            bench.fold()
    found = there(bench, DECISIONS, "id, ticker, date, signal, confidence")
    assert found == [(id, row["ticker"], row["date"], row["signal"], row["confidence"]) for id, row in sorted(model.rows.items())]


# ---------------------------------------------------------------------- beside others, and killed

BATCH, BATCHES = 1_200, 30


def importing(root: str, told: Any) -> None:
    """Import batches from where the last import came to, until killed."""
    with closing(opened(Path(root))) as bench:
        found = kept(bench.lake.root, "s", "t", PRICES)
        # An overlap, as rows at the border may have been committed late.
        first = max(int(str(found.value)) - 50, 0) if found else 0
        for begin in range(first, BATCH * BATCHES, BATCH):
            rows = [price(n) for n in range(begin + 1, min(begin + BATCH, BATCH * BATCHES) + 1)]
            land(bench, PRICES, rows, position=Position("s", "t", PRICES, "id", rows[-1]["id"]))
            told.send(rows[-1]["id"])
    told.send("done")
    os._exit(0)


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_and_loses_and_doubles_nothing(tmp_path: Path) -> None:
    root, context = tmp_path / "lake", forkserver()
    with closing(opened(root)) as bench:
        bench.lake.make()
    done, kills = False, 0
    while not done:
        ours, theirs = context.Pipe()
        child = context.Process(target=importing, args=(str(root), theirs), daemon=True)
        child.start()
        theirs.close()
        acknowledged = 0
        # Each is killed at another place of its third batch or later; the last may go to its end.
        while True:
            assert ours.poll(120)
            try:
                one = ours.recv()
            except EOFError:
                break
            if one == "done":
                done = True
                break
            acknowledged += 1
            if acknowledged == 3 and kills < 6:
                time.sleep(0.02 * kills)
                assert child.pid
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
                break
        child.join(60)
        with closing(opened(root)) as bench:
            found, rows = kept(root, "s", "t", PRICES), there(bench, PRICES, "id")
            # The position and the rows up to it stand in one transaction.
            assert found
            assert [id for (id,) in rows] == list(range(1, int(str(found.value)) + 1))
            assert found.rows == len(rows)
    assert kills == 6
    with closing(opened(root)) as bench:
        assert len(there(bench, PRICES, "id")) == BATCH * BATCHES
        bench.fold()
        assert [id for (id,) in there(bench, PRICES, "id")] == list(range(1, BATCH * BATCHES + 1))
        assert [one for one in verify(bench.lake).findings if one.kind not in ("orphans", "leftovers")] == []
