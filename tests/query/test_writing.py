"""Rows that are written, replaced and deleted: what goes together, what keeps it out, and what is left afterwards."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench import bench as benches
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, LakeError, NoLake, QueryError, UnknownName, UsageError
from workbench.tables.platforms import RECORDS

SIGNALS, TRADES, FEEDS, HOLDINGS = "kraken_bot.signals", "kraken_bot.trades", "kraken_bot.rss_feeds", "kraken_bot.holdings"
SIGNAL: dict[str, Any] = dict(RECORDS[SIGNALS].example)
TRADE: dict[str, Any] = dict(RECORDS[TRADES].example)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "lake"))) as made:
        made.lake.make()
        yield made


def feeds(bench: Workbench) -> list[tuple[Any, ...]]:
    return bench.sql(f"SELECT url, name, error_count FROM {FEEDS} ORDER BY url").fetchall()


def ids(bench: Workbench, table: str = SIGNALS) -> list[int]:
    return [row[0] for row in bench.sql(f"SELECT id FROM {table} ORDER BY id").fetchall()]


# ---------------------------------------------------------------------- append, add, get


@pytest.mark.parametrize("count", [3, 1500])
def test_rows_are_there_before_and_after_they_are_folded(bench: Workbench, count: int) -> None:
    assert bench.append(SIGNALS, [SIGNAL] * count) == count
    assert bench.append(SIGNALS, SIGNAL) == 1
    assert ids(bench) == list(range(1, count + 2))
    bench.fold()
    assert ids(bench) == list(range(1, count + 2))
    assert not bench.ledger.operations.held()


def test_a_large_batch_is_folded_at_once(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL] * 999)
    assert bench.ledger.operations.held()[SIGNALS][0] == 999
    bench.append(SIGNALS, [SIGNAL] * 1000)
    assert not bench.ledger.operations.held()
    assert len(list((bench.lake.root / "lake" / "kraken_bot" / "signals").glob("*.parquet"))) == 2


def test_a_large_batch_that_is_refused_leaves_no_file(bench: Workbench) -> None:
    bench.append(FEEDS, {"url": "u7", "name": "A"})
    with pytest.raises(BrokenRule, match=r"row 7: key \(url\): a row with u7 is there already"):
        bench.append(FEEDS, [{"url": f"u{n}", "name": "A"} for n in range(1200)])
    assert not list((bench.lake.root / "journal" / "rows").glob("*"))
    assert len(feeds(bench)) == 1


def test_numbers_that_another_says_meanwhile_are_his(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.query import ledger, transactions

    whole = ledger.written_out

    def meanwhile(*given: Any) -> Any:
        with Workbench(bench.settings) as other:
            other.append(SIGNALS, SIGNAL | {"id": 7})
        return whole(*given)

    monkeypatch.setattr(transactions, "written_out", meanwhile)
    with pytest.raises(BrokenRule, match=r"row 6: key \(id\): a row with 7 is there already"):
        bench.append(SIGNALS, [SIGNAL] * 1200)
    assert ids(bench) == [7]
    monkeypatch.setattr(transactions, "written_out", whole)
    assert bench.append(SIGNALS, [SIGNAL] * 1200) == 1200


def test_a_row_that_is_added_comes_back_as_it_is_kept(bench: Workbench) -> None:
    made = bench.add(SIGNALS, SIGNAL)
    assert (made["id"], made["price"], made["loaded_from"]) == (1, Decimal("50000.00000000"), None)
    assert made["strategies"] == SIGNAL["strategies"]
    assert datetime.now(UTC) - made["created_at"] < timedelta(minutes=1)
    assert made == bench.get(SIGNALS, 1)
    assert bench.get(SIGNALS, 2) is None
    event = bench.add("events.event_data", RECORDS["events.event_data"].example)
    assert event == bench.get("events.event_data", event["id"]), "what feeds it beside people is not looked at"


def test_numbers_go_on_after_all_that_were_ever_given(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL | {"id": 7}, SIGNAL])
    assert bench.delete(SIGNALS, key=8) == 1
    assert bench.add(SIGNALS, SIGNAL)["id"] == 9
    bench.fold()
    bench.reset_tables()
    assert bench.add(SIGNALS, SIGNAL)["id"] == 10


def test_numbers_go_on_after_those_of_a_table_whose_journal_is_lost(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL | {"id": 41}])
    bench.fold()
    bench.close()
    for path in (bench.lake.root / "journal").glob("records.db*"):
        path.unlink()
    with Workbench(bench.settings) as other:
        assert other.add(SIGNALS, SIGNAL)["id"] == 42
        with other.writer(SIGNALS) as writer:
            assert writer.append(SIGNAL) == 43
        assert ids(other) == [41, 42, 43]


# ---------------------------------------------------------------------- references


def test_rows_refer_to_what_is_there_and_all_that_do_not_are_told(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL] * 2)
    rows = [TRADE | {"signal_id": 1}, TRADE | {"signal_id": 99}, TRADE | {"signal_id": None}, TRADE | {"signal_id": 3, "action": "HOLD"}]
    with pytest.raises(BrokenRule) as told:
        bench.append(TRADES, rows)
    assert str(told.value).splitlines()[1:] == [
        "  row 1: signal_id 99 is not in kraken_bot.signals (id)",
        "  row 3: action IN ('BUY', 'SELL') is not so (action): action = HOLD",
        "  row 3: signal_id 3 is not in kraken_bot.signals (id)",
    ]
    assert ids(bench, TRADES) == []
    assert bench.append(TRADES, [rows[0], rows[2]]) == 2
    bench.fold()
    assert bench.append(TRADES, rows[0]) == 1


def test_what_rows_refer_to_is_not_deleted(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL] * 3)
    bench.append(TRADES, [TRADE | {"signal_id": 2}] * 2)
    for attempt in (lambda: bench.delete(SIGNALS, "id > 0"), lambda: bench.delete(SIGNALS, key=2), lambda: bench.reset_tables(SIGNALS)):
        with pytest.raises(BrokenRule) as told:
            attempt()
        assert str(told.value).splitlines() == [
            "other rows refer to what is to go from kraken_bot.signals; nothing was deleted. Delete these first:",
            "  kraken_bot.trades (id) 1 refers to it by signal_id 2",
            "  kraken_bot.trades (id) 2 refers to it by signal_id 2",
        ]
    assert ids(bench) == [1, 2, 3]
    assert bench.delete(SIGNALS, "id <> 2") == 2
    assert bench.delete(TRADES, "true") == 2
    assert bench.delete(SIGNALS, key=2) == 1


# ---------------------------------------------------------------------- upsert


@pytest.mark.parametrize("folded", [False, True])
def test_a_row_takes_the_place_of_that_of_its_key_and_keeps_what_it_leaves_out(bench: Workbench, folded: bool) -> None:
    bench.append(FEEDS, [{"url": "a", "name": "A", "error_count": 3, "category": "news"}, {"url": "b", "name": "B"}])
    if folded:
        bench.fold()
    assert bench.upsert(FEEDS, [{"url": "a", "name": "Z"}, {"url": "c", "name": "C"}, {"url": "b", "error_count": 9}]) == 3
    assert feeds(bench) == [("a", "Z", 3), ("b", "B", 9), ("c", "C", 0)]
    assert bench.upsert(FEEDS, {"url": "a", "category": None}) == 1
    row = bench.get(FEEDS, "a")
    assert row and (row["category"], row["name"]) == (None, "Z"), "None that is said is not left out"
    bench.fold()
    assert feeds(bench) == [("a", "Z", 3), ("b", "B", 9), ("c", "C", 0)]


def test_a_row_that_is_replaced_says_when(bench: Workbench) -> None:
    first = bench.add(HOLDINGS, RECORDS[HOLDINGS].example)
    bench.upsert(HOLDINGS, {"symbol": "BTC", "amount": 1})
    second = bench.get(HOLDINGS, "BTC")
    assert second and second["updated_at"] > first["updated_at"]
    assert {**second, "updated_at": 0, "amount": 0} == {**first, "updated_at": 0, "amount": 0}
    told = datetime(2024, 3, 7, tzinfo=UTC)
    bench.upsert(HOLDINGS, {"symbol": "BTC", "updated_at": told})
    third = bench.get(HOLDINGS, "BTC")
    assert third and third["updated_at"] == told


def test_values_of_all_types_are_kept_by_an_upsert(bench: Workbench) -> None:
    made = bench.add(SIGNALS, SIGNAL)
    bench.upsert(SIGNALS, {"id": 1, "symbol": "ETHUSD"})
    assert bench.get(SIGNALS, 1) == {**made, "symbol": "ETHUSD"}
    bench.fold()
    bench.upsert(SIGNALS, {"id": 1, "symbol": "XRPUSD"})
    assert bench.get(SIGNALS, 1) == {**made, "symbol": "XRPUSD"}


def test_rules_hold_for_rows_that_replace_others(bench: Workbench) -> None:
    users = "transactional.users"
    user = {name: value for name, value in RECORDS[users].example.items() if name != "id"}
    bench.append(users, [user | {"username": name, "email": f"{name}@x"} for name in "ab"])
    bench.upsert(users, {"id": 1, "username": "a", "email": "c@x"})
    with pytest.raises(BrokenRule, match=r"row 0: unique \(username\): a row with b is there already"):
        bench.upsert(users, {"id": 1, "username": "b"})
    with pytest.raises(BrokenRule, match=r"row 1: key \(url\): row 0 of the batch has a, too"):
        bench.upsert(FEEDS, [{"url": "a", "name": "A"}, {"url": "a", "name": "B"}])
    with pytest.raises(BrokenRule, match="row 0: name is missing"):
        bench.upsert(FEEDS, {"url": "new"})
    bench.append(TRADES, TRADE)
    with pytest.raises(BrokenRule) as told:
        bench.upsert(TRADES, [{"id": 1, "signal_id": 5, "action": "NONE"}])
    assert [line.strip() for line in str(told.value).splitlines()[1:]] == [
        "row 0: action IN ('BUY', 'SELL') is not so (action): action = NONE",
        "row 0: signal_id 5 is not in kraken_bot.signals (id)",
    ]


def test_two_rows_may_change_what_must_be_unique_between_them(bench: Workbench) -> None:
    table = "ampyfin.rank_to_coefficient"
    one, two = ({**RECORDS[table].example, "_id": name * 24, "rank": rank} for name, rank in (("a", 1), ("b", 2)))
    bench.append(table, [one, two])
    assert bench.upsert(table, [one | {"rank": 2}, two | {"rank": 1}]) == 2
    assert bench.sql(f"SELECT rank FROM {table} ORDER BY _id").fetchall() == [(2,), (1,)]


def test_many_rows_are_replaced_at_once(bench: Workbench) -> None:
    bench.append(FEEDS, pl.DataFrame({"url": [f"u{n}" for n in range(3000)], "name": "A", "error_count": range(3000)}))
    changed = pl.DataFrame({"url": [f"u{n}" for n in range(2000, 4000)], "name": "B"})
    assert bench.upsert(FEEDS, changed) == 2000
    told = "SELECT name, count(*), sum(error_count) FROM kraken_bot.rss_feeds GROUP BY name ORDER BY name"
    answer = [("A", 2000, sum(range(2000))), ("B", 2000, sum(range(2000, 3000)))]
    assert bench.sql(told).fetchall() == answer
    bench.fold()
    assert bench.sql(told).fetchall() == answer


def test_numbered_rows_without_a_number_are_new(bench: Workbench) -> None:
    bench.append(SIGNALS, SIGNAL)
    assert bench.upsert(SIGNALS, [SIGNAL, {"id": 1, "symbol": "X"}]) == 2
    assert bench.sql(f"SELECT id, symbol FROM {SIGNALS} ORDER BY id").fetchall() == [(1, "X"), (2, "BTCUSD")]


def test_a_table_without_a_key_has_no_rows_to_replace(bench: Workbench) -> None:
    with pytest.raises(UsageError, match=r"historical\.trade has no key to find rows by; nothing was written\. Use append"):
        bench.upsert("historical.trade", RECORDS["historical.trade"].example)


# ---------------------------------------------------------------------- delete, reset


def test_rows_are_deleted_by_a_condition_or_their_key(bench: Workbench) -> None:
    bench.append(FEEDS, [{"url": f"u{n}", "name": "A", "error_count": n} for n in range(6)])
    assert bench.delete(FEEDS, "error_count > $most AND name = $name", most=3, name="A") == 2
    assert bench.delete(FEEDS, "error_count > 100") == 0
    assert bench.delete(FEEDS, key="u0") == 1
    assert bench.delete(FEEDS, key="u0") == 0
    assert [row[0] for row in feeds(bench)] == ["u1", "u2", "u3"]
    bench.fold()
    assert bench.delete(FEEDS, "url = 'u1' -- no more") == 1
    assert [row[0] for row in feeds(bench)] == ["u2", "u3"]
    bench.append(FEEDS, {"url": "u1", "name": "again"})
    assert len(feeds(bench)) == 3


def test_a_key_of_several_columns_is_a_tuple_or_a_dict(bench: Workbench) -> None:
    table = "utilities.model_params"
    bench.append(table, [{**RECORDS[table].example, "model": "m", "name": name} for name in "abc"])
    assert bench.delete(table, key=("m", "a")) == 1
    assert bench.delete(table, key={"name": "b", "model": "m"}) == 1
    assert bench.get(table, ("m", "c"))
    assert bench.get(table, ("m", "a")) is None
    for odd in ("m", ("m",), {"model": "m"}, ("m", "a", "b"), ("m", 5)):
        with pytest.raises(UsageError, match=r"is no key of utilities\.model_params"):
            bench.delete(table, key=odd)


def test_many_rows_are_deleted_at_once(bench: Workbench) -> None:
    bench.append(FEEDS, pl.DataFrame({"url": [f"u{n}" for n in range(5000)], "name": "A"}))
    assert bench.delete(FEEDS, "url <> 'u7'") == 4999
    assert feeds(bench) == [("u7", "A", 0)]
    bench.fold()
    assert feeds(bench) == [("u7", "A", 0)]


@pytest.mark.parametrize("where", ["urll = 'a'", "url =", "url = $missing", "true) FROM x; DROP TABLE x; SELECT (true", "", "url"])
def test_a_condition_that_is_none_deletes_nothing(bench: Workbench, where: str) -> None:
    bench.append(FEEDS, {"url": "a", "name": "A"})
    with pytest.raises(QueryError, match="nothing was deleted"):
        bench.delete(FEEDS, where)
    assert len(feeds(bench)) == 1


def test_what_to_delete_must_be_said(bench: Workbench) -> None:
    several: list[dict[str, Any]] = [{}, {"key": 1, "where": 1}, {"name": "A"}]
    for odd in several:
        where = ("true",) if odd.pop("where", None) else ()
        with pytest.raises(UsageError, match=r"say which rows of kraken_bot\.signals by a condition or by their key; nothing was deleted"):
            bench.delete(SIGNALS, *where, **odd)


def test_rows_of_a_table_without_a_key_are_deleted_by_a_condition(bench: Workbench) -> None:
    table = "historical.trade"
    row = RECORDS[table].example
    bench.append(table, [{**row, "price": n} for n in range(1, 6)])
    bench.fold()
    bench.append(table, [{**row, "price": 6}] * 2)
    assert bench.delete(table, "price > 3 AND price <> 5") == 3
    prices = "SELECT price FROM imported.historical_trade ORDER BY 1"
    assert [float(price) for (price,) in bench.sql(prices).fetchall()] == [1, 2, 3, 5]
    assert bench.delete(table, "price > 100") == 0
    bench.fold()
    assert len(bench.sql(prices).fetchall()) == 4
    with pytest.raises(UsageError, match="has no key; nothing was deleted"):
        bench.delete(table, key=1)


def test_tables_are_emptied_together(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL] * 2)
    bench.append(TRADES, TRADE | {"signal_id": 1})
    bench.append("utilities.feature_flags", {"name": "a"})
    bench.append("events.event_data", RECORDS["events.event_data"].example)
    bench.fold()
    bench.append(FEEDS, {"url": "a", "name": "A"})
    plan = bench.reset_tables("kraken", dry_run=True)
    assert [(row["table"], row["rows"]) for row in plan] == [(SIGNALS, 2), (TRADES, 1), (FEEDS, 1)]
    assert "would be taken out; nothing was" in plan.title
    assert bench.table_counts("kraken_bot")["signals"] == 2
    done = bench.reset_tables("kraken_bot")
    assert (done.facts["rows_total"], done.facts["dry_run"]) == (4, False)
    assert sum(bench.table_counts("kraken_bot").values()) == 0
    assert bench.table_counts()["utilities.feature_flags"] == 1
    assert [row["table"] for row in bench.reset_tables()] == ["events.event_data", "utilities.feature_flags"]
    assert bench.sql("FROM imported.events_event_data").fetchall() == []
    assert len(bench.reset_tables()) == 0
    bench.fold()
    assert sum(bench.table_counts("kraken_bot").values()) == 0
    with pytest.raises(UnknownName, match="did you mean"):
        bench.reset_tables("kraken_bt")


# ---------------------------------------------------------------------- bad input


def test_what_cannot_be_written_to_is_told_by_every_verb(bench: Workbench, tmp_path: Path) -> None:
    bench.append(SIGNALS, SIGNAL)
    bench.fold()
    with benches.open(bench.settings, as_of=datetime.now(UTC)) as past, Workbench(Settings(data=str(tmp_path / "none"))) as none:
        for verb in ("append", "upsert", "add", "delete", "writer"):
            rest: list[Any] = [] if verb == "writer" else ["true"] if verb == "delete" else [SIGNAL]
            with pytest.raises(UnknownName, match=r"kraken_bot\.signals"):
                getattr(bench, verb)("kraken_bot.signal", *rest)
            with pytest.raises(UsageError, match=r"ampyfin\.market_status is computed from the calendar; nothing was written"):
                getattr(bench, verb)("ampyfin.market_status", *rest)
            with pytest.raises(UsageError, match="which cannot change"):
                getattr(past, verb)(SIGNALS, *rest)
            with pytest.raises(NoLake, match="nothing was written"):
                getattr(none, verb)(SIGNALS, *rest)
        with pytest.raises(UsageError, match="which cannot change"):
            past.reset_tables()
        with pytest.raises(NoLake):
            none.reset_tables("kraken_bot")
    assert not (tmp_path / "none").exists()


def test_values_are_taken_without_loss_or_refused(bench: Workbench) -> None:
    assert bench.add(SIGNALS, SIGNAL | {"price": "1.5"})["price"] == Decimal("1.5")
    rows = [
        SIGNAL | {"price": "abc"},
        SIGNAL | {"price": float("nan")},
        SIGNAL | {"final_confidence": float("inf")},
        SIGNAL | {"timestamp": datetime(2024, 3, 7, 9, 30)},
    ]
    for verb in (bench.append, bench.upsert):
        with pytest.raises(BrokenRule) as told:
            verb(SIGNALS, rows)
        lines = [line.strip().split(":", 2)[:2] for line in str(told.value).splitlines()[1:]]
        assert lines == [["row 0", " price"], ["row 1", " price"], ["row 2", " final_confidence"], ["row 3", " timestamp"]]
    with pytest.raises(UnknownName, match="did you mean symbol"):
        bench.upsert(SIGNALS, {"id": 1, "simbol": "X"})
    assert ids(bench) == [1]


def test_no_rows_and_a_generator_that_fails_write_nothing(bench: Workbench) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"url": "a", "name": "A"}
        raise RuntimeError("the feed broke")

    assert bench.upsert(FEEDS, []) == 0
    for verb in (bench.append, bench.upsert):
        with pytest.raises(RuntimeError, match="the feed broke"):
            verb(FEEDS, rows())
    assert feeds(bench) == []


def test_a_fold_that_fails_fails_no_append(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise LakeError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("workbench.query.ledger.fold", full)
        assert bench.append(SIGNALS, [SIGNAL] * 1000) == 1000
    assert len(ids(bench)) == 1000
    bench.fold()
    assert len(ids(bench)) == 1000


# ---------------------------------------------------------------------- tables of one's own

FACTOR = {"symbol": "VARCHAR", "date": "DATE", "value": "DOUBLE", "tags": "VARCHAR[]"}


def test_a_table_of_ones_own_is_there_for_every_bench(bench: Workbench) -> None:
    with Workbench(bench.settings) as other:
        assert other.sql("SELECT 1").fetchall() == [(1,)]
        bench.create_table("derived.my_factor", FACTOR, key=("symbol", "date"), doc="What I think.")
        bench.create_table("derived.my_factor", FACTOR, key=("symbol", "date"))
        assert bench.append("derived.my_factor", {"symbol": "A", "date": date(2024, 3, 7), "value": 1, "tags": ["x"]}) == 1
        for one in (bench, other):
            assert one.sql("FROM derived.my_factor").fetchall() == [("A", date(2024, 3, 7), 1.0, ["x"])]
        other.upsert("derived.my_factor", {"symbol": "A", "date": "2024-03-07", "value": 2})
        with other.writer("derived.my_factor") as writer:
            assert writer.append({"symbol": "B", "date": date(2024, 3, 7)}) == ("B", date(2024, 3, 7))
        other.fold()
    with Workbench(bench.settings) as late:
        assert late.sql("SELECT symbol, value, tags FROM derived.my_factor ORDER BY ALL").fetchall() == [
            ("A", 2.0, ["x"]),
            ("B", None, None),
        ]
        assert late.table_counts()["derived.my_factor"] == 2
        assert late.table_counts("tetra")["my_factor"] == 2
        assert [row["kind"] for row in late.tables() if row["name"] == "derived.my_factor"]
        assert [row["column"] for row in late.tables("derived.my_factor")] == list(FACTOR)
        assert late.get("derived.my_factor", ("A", "2024-03-07"))
        assert [row for row in late.verify() if row["severity"] == "fault"] == []
        late.reset_tables("derived")
        assert late.sql("FROM derived.my_factor").fetchall() == []


def test_a_table_of_ones_own_breaks_the_rules_that_any_does(bench: Workbench) -> None:
    bench.create_table("strategies.runs", {"id": "BIGINT", "note": "VARCHAR"}, key="id")
    bench.append("strategies.runs", {"id": 1})
    with pytest.raises(BrokenRule, match=r"row 0: key \(id\): a row with 1 is there already"):
        bench.append("strategies.runs", [{"id": 1}])
    with pytest.raises(BrokenRule, match="row 0: id is missing"):
        bench.append("strategies.runs", [{"note": "a"}])


def test_a_declaration_that_cannot_be_is_told(bench: Workbench, tmp_path: Path) -> None:
    def refused(told: str, name: str, columns: Any = FACTOR, key: Any = None) -> None:
        with pytest.raises(UsageError, match=told):
            bench.create_table(name, columns, key=key)

    for name in ("my_factor", "market_data.mine", "kraken_bot.mine", "derived.My", "derived.a b", "derived.", "derived.a.b", "derived.1a"):
        refused("is no name for a table; nothing was declared", name)
    refused("has no columns", "derived.a", {})
    refused("'a b' is no name for a column", "derived.a", {"a b": "VARCHAR"})
    refused("value of derived.a is to be of type 'NUMBER9', which is not kept", "derived.a", {"value": "NUMBER9"})
    refused("which is not kept", "derived.a", {"value": "BLOB"})
    refused("in the key of derived.a is no column", "derived.a", {"value": "BIGINT"}, "values")
    refused("cannot be in the key", "derived.a", {"value": "DOUBLE"}, "value")
    bench.create_table("derived.a", {"value": "BIGINT"}, key="value")
    refused(
        r"derived\.a is declared already, with value BIGINT and the key \(value\); nothing was changed", "derived.a", {"value": "BIGINT"}
    )
    refused("declared already", "derived.a", {"value": "INTEGER"}, "value")
    with Workbench(Settings(data=str(tmp_path / "none"))) as none, pytest.raises(NoLake):
        none.create_table("derived.a", FACTOR)


def test_a_declaration_that_is_damaged_is_told(bench: Workbench) -> None:
    bench.create_table("derived.a", FACTOR)
    path = bench.lake.root / "journal" / "tables" / "derived.a.json"
    path.write_text("{")
    path.rename(path.with_name("derived.b.json"))
    with pytest.raises(LakeError, match=r"derived\.b\.json is no declaration of a table"):
        bench.append("derived.a", {})
    assert bench.sql(f"SELECT count(*) FROM {SIGNALS}").fetchall() == [(0,)], "other tables can be read"
