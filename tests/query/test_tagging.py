"""What a write fills in: tests' tags by rules that are data, versions of bots and strategies, where rows come from."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadSetting, UnknownName
from workbench.tables.platforms import RECORDS
from workbench.tables.test_tickers import TEST_TICKERS

SIGNALS, TRADES, DEFINITIONS = "kraken_bot.signals", "kraken_bot.trades", "kraken_bot.strategy_definitions"
SIGNAL: dict[str, Any] = {name: value for name, value in RECORDS[SIGNALS].example.items() if name not in ("test_mode", "bot_version")}
TRADE: dict[str, Any] = {name: value for name, value in RECORDS[TRADES].example.items() if name not in ("test_mode", "bot_version")}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "lake"))) as made:
        made.lake.make()
        yield made


def tag(bench: Workbench, table: str, row: dict[str, Any]) -> tuple[bool, str | None]:
    """How a row is tagged, which every way of writing agrees on."""
    key = RECORDS[table].key[0]
    seen = set()
    with bench.writer(table) as writer:
        for number in (bench.add(table, row)[key], writer.append(row)):
            kept = bench.get(table, number)
            assert kept
            seen.add((kept["test_mode"], kept["test_reason"]))
    if "strategies" in row:
        bench.append(table, [row])
    else:
        bench.append(table, pl.DataFrame([row]))
    [last] = bench.sql(f"SELECT test_mode, test_reason FROM {table} ORDER BY {key} DESC LIMIT 1").fetchall()
    [told] = {*seen, last}
    return told


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, None),
        ({"amount": 0}, "amount is 0"),
        ({"amount": Decimal("1000.00000001")}, "amount above 1000"),
        ({"amount": 1000}, None),
        ({"price": 200_000}, None),
        ({"price": Decimal("200000.01")}, "price above 200000"),
        ({"symbol": "TESTUSD"}, "symbol begins with TEST"),
        ({"symbol": "ATEST"}, "symbol that exchanges keep for tests"),
        ({"symbol": "ZVZZT"}, "symbol that exchanges keep for tests"),
        ({"symbol": "testusd"}, None),
        ({"symbol": "TEST", "amount": 0}, "amount is 0; symbol begins with TEST"),
        ({"symbol": "TEST", "test_mode": None}, "symbol begins with TEST"),
    ],
)
def test_a_trade_of_a_test_is_tagged_and_says_why(bench: Workbench, values: dict[str, Any], reason: str | None) -> None:
    assert tag(bench, TRADES, TRADE | values) == (reason is not None, reason)


def test_a_symbol_that_was_a_companys_once_is_a_test_in_its_days_only(bench: Workbench) -> None:
    dated = {one.ticker: one for one in TEST_TICKERS if one.since or one.until}
    assert dated["CBOT"].since == date(2007, 7, 13)
    assert dated["IBOT"].until == date(2023, 4, 4)
    for symbol, at, test in (
        ("CBOT", "2007-07-12T23:59:59-04:00", False),
        ("CBOT", "2007-07-13T00:00:00-04:00", True),
        ("IBOT", "2023-04-04T23:59:59-04:00", True),
        ("IBOT", "2023-04-05T00:00:00-04:00", False),
    ):
        assert tag(bench, SIGNALS, SIGNAL | {"symbol": symbol, "timestamp": at})[0] is test


def test_signals_and_holdings_have_rules_of_their_own(bench: Workbench) -> None:
    assert tag(bench, SIGNALS, SIGNAL | {"price": 200_001}) == (True, "price above 200000")
    assert bench.add("kraken_bot.holdings", {"symbol": "DOGE", "amount": 5_000_000})["test_mode"] is False
    assert bench.add("kraken_bot.holdings", {"symbol": "TEST", "amount": 0})["test_reason"] == "symbol begins with TEST"


def test_what_the_writer_says_stays(bench: Workbench) -> None:
    assert tag(bench, TRADES, TRADE | {"amount": 0, "test_mode": False}) == (False, None)
    assert tag(bench, TRADES, TRADE | {"test_mode": True}) == (True, None)
    assert tag(bench, TRADES, TRADE | {"amount": 0, "test_reason": "mine"}) == (True, "mine")


def test_a_row_that_is_replaced_is_judged_anew_and_keeps_its_tag(bench: Workbench) -> None:
    bench.append(TRADES, [TRADE, TRADE | {"amount": 0}, TRADE | {"test_mode": True}])
    bench.upsert(TRADES, [{"id": 1, "amount": 0}, {"id": 2, "amount": 1}, {"id": 3, "amount": 2}])
    told = bench.sql(f"SELECT test_mode, test_reason FROM {TRADES} ORDER BY id").fetchall()
    assert told == [(True, "amount is 0"), (True, "amount is 0"), (True, None)]


def test_production_is_what_is_no_test(bench: Workbench) -> None:
    bench.append(TRADES, [TRADE, TRADE | {"amount": 0}, TRADE | {"amount": 0, "test_mode": False}])
    assert [id for (id,) in bench.sql("SELECT id FROM kraken_bot.prod_trades ORDER BY id").fetchall()] == [1, 3]
    assert [id for (id,) in bench.sql("SELECT id FROM kraken_bot.test_trades").fetchall()] == [2]


def test_the_rules_tag_kraken_tables_only(bench: Workbench) -> None:
    for table, record in RECORDS.items():
        assert not record.tests or table.startswith("kraken_bot."), table
    order = RECORDS["ampyfin.paper"].example
    assert "test_mode" not in bench.add("ampyfin.paper", order)


# ---------------------------------------------------------------------- rules as data


def with_rules(tmp_path: Path, text: str) -> Workbench:
    (tmp_path / "workbench.toml").write_text(text)
    bench = Workbench(Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake")))
    bench.lake.make()
    return bench


def test_rules_are_changed_in_workbench_toml(tmp_path: Path) -> None:
    text = """
    [test_rules."kraken_bot.trades"]
    amount_above = { rule = "amount > 5", reason = "a large one" }
    price_above = false
    amount_zero = "amount <= 0.001"
    night = { rule = "hour(timestamp) < 6", reason = "at night" }
    """
    with with_rules(tmp_path, text) as bench:
        shown = {row["setting"]: row["value"] for row in bench.settings.shown() if row["setting"].startswith("test_rules")}
        assert shown["test_rules.kraken_bot.trades.amount_above"] == "amount > 5"
        assert shown["test_rules.kraken_bot.trades.price_above"] == "none"
        assert tag(bench, TRADES, TRADE | {"amount": 6}) == (True, "a large one")
        assert tag(bench, TRADES, TRADE | {"price": 300_000}) == (False, None)
        assert tag(bench, TRADES, TRADE | {"amount": "0.001"}) == (True, "amount <= 0.001")
        assert tag(bench, TRADES, TRADE | {"timestamp": "2024-03-07T03:00:00-05:00"}) == (True, "at night")
        assert tag(bench, SIGNALS, SIGNAL | {"price": 300_000}) == (True, "price above 200000")


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ('[test_rules."kraken_bot.trade"]\na = "true"', UnknownName, "did you mean kraken_bot.trades"),
        ('[test_rules."ampyfin.paper"]\na = "true"', UnknownName, "table with a test_mode"),
        ('[test_rules]\n"kraken_bot.trades" = 5', BadSetting, "must be a section of rules"),
        ('[test_rules."kraken_bot.trades"]\namount_above = 5', BadSetting, "amount_above in .* is 5"),
        ('[test_rules."kraken_bot.trades"]\nmine = { reason = "x" }', BadSetting, "mine in .* lacks its rule"),
        ('[test_rules."kraken_bot.trades"]\nmine = { rul = "x" }', BadSetting, "mine in "),
        ("test_rules = 5", BadSetting, "must be a section"),
    ],
)
def test_rules_that_cannot_be_read_are_told(tmp_path: Path, text: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        with_rules(tmp_path, text)


def test_a_rule_that_is_no_condition_writes_nothing(tmp_path: Path) -> None:
    with with_rules(tmp_path, '[test_rules."kraken_bot.trades"]\nmine = "amunt > 5"') as bench:
        for write in (lambda: bench.append(TRADES, TRADE), lambda: bench.writer(TRADES).append(TRADE)):
            with pytest.raises(BadSetting, match="the test rule mine is 'amunt > 5', which is no condition over the table's columns"):
                write()
        assert bench.sql(f"FROM {TRADES}").fetchall() == []


# ---------------------------------------------------------------------- provenance


def test_the_bots_version_comes_from_the_row_the_argument_or_the_settings(tmp_path: Path) -> None:
    settings = Settings.load(env={"WORKBENCH_BOT_VERSION": "9.0"}, start=tmp_path, data=str(tmp_path / "lake"))
    with Workbench(settings) as bench:
        bench.lake.make()
        bench.append(SIGNALS, [SIGNAL, SIGNAL | {"bot_version": "1.0"}, SIGNAL | {"bot_version": None}])
        bench.append(SIGNALS, SIGNAL, bot_version="2.0")
        bench.add(SIGNALS, SIGNAL, bot_version="3.0", loaded_from="old.db")
        bench.upsert(SIGNALS, {"id": 1, "symbol": "X"}, bot_version="4.0")
        with bench.writer(SIGNALS) as plain, bench.writer(SIGNALS, bot_version="5.0", loaded_from="feed") as own:
            plain.append(SIGNAL)
            own.append(SIGNAL | {"bot_version": None})
            own.append(SIGNAL | {"bot_version": "6.0", "loaded_from": "mine"})
        told = bench.sql(f"SELECT bot_version, loaded_from FROM {SIGNALS} ORDER BY id").fetchall()
        assert told == [
            ("4.0", None),
            ("1.0", None),
            ("9.0", None),
            ("2.0", None),
            ("3.0", "old.db"),
            ("9.0", None),
            ("5.0", "feed"),
            ("6.0", "mine"),
        ]
        frame = pl.DataFrame({"url": ["a", "b"], "name": "A", "bot_version": ["7.0", None]})
        bench.append("kraken_bot.rss_feeds", frame)
        assert bench.sql("SELECT bot_version FROM kraken_bot.rss_feeds ORDER BY url").fetchall() == [("7.0",), ("9.0",)]
        flag = bench.add("utilities.feature_flags", {"name": "a"})
        assert "bot_version" not in flag


def version(told: object) -> str:
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_signal_has_the_hash_of_its_strategies_and_a_trade_has_its_signals(bench: Workbench) -> None:
    bare = version({"sentiment": {}, "technical": {}})
    with bench.writer(SIGNALS) as signals, bench.writer(TRADES) as trades:
        assert bench.add(SIGNALS, SIGNAL)["strategy_version"] == bare
        first = signals.append(SIGNAL)
        definition = {**RECORDS[DEFINITIONS].example, "name": "technical", "parameters": {"rsi_period": 14}}
        bench.append(DEFINITIONS, [definition | {"version": "v1"}])
        after = version({"sentiment": {}, "technical": {"version": "v1", "parameters": {"rsi_period": 14}}})
        assert bench.add(SIGNALS, SIGNAL)["strategy_version"] == after
        second = signals.append(SIGNAL)
        bench.upsert(DEFINITIONS, definition | {"version": "v1", "enabled": False})
        assert bench.add(SIGNALS, SIGNAL)["strategy_version"] == bare
        third = signals.append(SIGNAL)
        own = signals.append(SIGNAL | {"strategy_version": "mine"})
        by = [trades.append(TRADE | {"signal_id": number}) for number in (first, second, third, own)]
        by += [bench.add(TRADES, TRADE | {"signal_id": number})["id"] for number in (first, second, third, own)]
        by += [trades.append(TRADE), trades.append(TRADE | {"signal_id": own, "strategy_version": "other"})]
    told = dict(bench.sql(f"SELECT id, strategy_version FROM {TRADES}").fetchall())
    assert [told[number] for number in by] == [bare, after, bare, "mine"] * 2 + [None, "other"]
    kept = dict(bench.sql(f"SELECT id, strategy_version FROM {SIGNALS}").fetchall())
    assert [kept[number] for number in (first, second, third, own)] == [bare, after, bare, "mine"]


def test_of_several_definitions_the_newest_in_use_counts(bench: Workbench) -> None:
    one = {**RECORDS[DEFINITIONS].example, "name": "technical", "parameters": None}
    day = datetime(2024, 3, 7, tzinfo=UTC)
    bench.append(DEFINITIONS, [one | {"version": "b", "updated_at": day}, one | {"version": "a", "updated_at": day.replace(day=8)}])
    bench.append(DEFINITIONS, one | {"version": "c", "updated_at": day.replace(day=9), "enabled": False})
    row = SIGNAL | {"strategies": {"technical": {"signal": "BUY", "confidence": 1}}}
    told = {"technical": {"version": "a", "parameters": json.loads(RECORDS[DEFINITIONS]["parameters"].default.strip("'"))}}
    assert bench.add(SIGNALS, row)["strategy_version"] == version(told)
    assert bench.add(SIGNALS, SIGNAL | {"strategies": {}})["strategy_version"] is None


def test_many_signals_have_their_hashes(bench: Workbench) -> None:
    names = ["a", "b"]
    bench.append(SIGNALS, [SIGNAL | {"strategies": {names[n % 2]: {"signal": "BUY", "confidence": 1}}} for n in range(1200)])
    found = bench.sql(f"SELECT strategy_version, count(*) FROM {SIGNALS} GROUP BY ALL").fetchall()
    assert dict(found) == {version({name: {}}): 600 for name in names}
