"""INSERT, UPDATE and DELETE as platforms write them: done by append, upsert and delete, with all that these check."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, QueryError, UnknownName, UsageError

AT = datetime(2025, 11, 23, 14, 30, tzinfo=UTC)


def signal(n: int, **more: Any) -> dict[str, Any]:
    row = {"timestamp": AT, "symbol": f"S{n}", "price": n, "final_signal": "BUY", "final_confidence": "0.5", "aggregation_method": "mean"}
    return {**row, "strategies": {"a": {"signal": "BUY", "confidence": 0.5}}, **more}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A lake with four signals and a trade of the first, as the bot's programs see it."""
    with Workbench(Settings.load(env={}, data=str(tmp_path))) as made:
        made.lake.make()
        made.append("kraken_bot.signals", [signal(n) for n in (1, 2, 3, 4)])
        trade = {"signal_id": 1, "timestamp": AT, "symbol": "S1", "action": "BUY", "amount": 1, "price": 5, "status": "filled"}
        made.append("kraken_bot.trades", [trade])
        yield made.use("kraken_bot")


def rows(bench: Workbench, query: str, **values: Any) -> list[tuple[Any, ...]]:
    found = bench.sql(query, **values)
    return found.fetchall() if found is not None else []


def test_insert_numbers_checks_and_tags(bench: Workbench) -> None:
    text = """
        INSERT INTO trades (signal_id, "timestamp", symbol, action, amount, price, status, test_mode)
        VALUES (2, now(), 'it''s (', 'BUY', 0.5, $price, 'VALUES', 1), -- of a test
               (NULL, '2025-11-23T14:30:00Z', 'B', 'SELL', 1 + 1, 7.25, 'filled', 0)"""
    assert rows(bench, text, price=5) == [(2,)]
    told = rows(bench, "SELECT id, signal_id, symbol, amount, price, status, test_mode FROM trades WHERE id > 1 ORDER BY id")
    assert told == [
        (2, 2, "it's (", Decimal("0.5"), Decimal(5), "VALUES", True),
        (3, None, "B", Decimal(2), Decimal("7.25"), "filled", False),
    ]
    bench.sql("INSERT INTO trades (timestamp, symbol, action, amount, price, status) VALUES (now(), 'C', 'BUY', 0, 1, 'filled')")
    assert rows(bench, "SELECT test_mode, test_reason IS NULL FROM trades WHERE symbol = 'C'") == [(True, False)]
    # Read without being asked for, it was written once.
    assert rows(bench, "SELECT count(*) FROM trades") == [(4,)]


def test_insert_of_a_query_and_without_columns(bench: Workbench) -> None:
    copied = "INSERT INTO seen_news (news_id, title, seen_at) SELECT 'n' || id, symbol, timestamp FROM signals WHERE price > 2"
    assert rows(bench, copied) == [(2,)]
    assert rows(bench, "SELECT news_id, title FROM seen_news ORDER BY 1") == [("n3", "S3"), ("n4", "S4")]
    names = [one[0] for one in rows(bench, "DESCRIBE bot_status")]
    given = {"key": "'k'", "value": "'{\"a\": 1}'", "updated_at": "now()", "test_mode": "0", "created_at": "now()"}
    assert rows(bench, f"INSERT INTO bot_status VALUES ({', '.join(given.get(name, 'NULL') for name in names)})") == [(1,)]
    assert rows(bench, "SELECT json_extract(value, '$.a'), test_mode FROM bot_status") == [("1", False)]


def test_update_changes_the_rows_that_it_means(bench: Workbench) -> None:
    assert rows(
        bench, "UPDATE signals SET price = price * 10, symbol = 'X' || symbol WHERE price > $least AND symbol <> 'WHERE'", least=2
    ) == [(2,)]
    assert rows(bench, "SELECT id, symbol, price FROM signals ORDER BY id") == [
        (1, "S1", Decimal(1)),
        (2, "S2", Decimal(2)),
        (3, "XS3", Decimal(30)),
        (4, "XS4", Decimal(40)),
    ]
    assert rows(bench, "UPDATE signals AS s SET price = (SELECT max(price) FROM trades) WHERE s.id IN (SELECT signal_id FROM trades)") == [
        (1,)
    ]
    assert rows(bench, "SELECT price FROM signals WHERE id = 1") == [(Decimal(5),)]
    assert rows(bench, "UPDATE signals SET price = 1 WHERE id = 99") == [(0,)]
    assert rows(bench, "UPDATE signals SET test_mode = 1") == [(4,)]
    assert rows(bench, "SELECT count(*) FROM test_signals") == [(4,)]


def test_delete_takes_out_the_rows_that_it_means(bench: Workbench) -> None:
    assert rows(bench, "DELETE FROM signals WHERE signals.price >= 3") == [(2,)]
    assert rows(bench, "SELECT id FROM signals ORDER BY id") == [(1,), (2,)]
    with pytest.raises(BrokenRule, match=r"kraken_bot\.trades"):
        bench.sql("DELETE FROM signals")
    assert rows(bench, "DELETE FROM trades; DELETE FROM signals; SELECT count(*) FROM signals") == [(0,)]
    assert rows(bench, "DELETE FROM signals") == [(0,)]


def test_keys_of_several_columns_and_of_any_type(bench: Workbench) -> None:
    bench.use("layers")
    values = "('m', 'a', '1'), ('m', 'b', '2'), ('n', 'a', '3')"
    assert rows(bench, f"INSERT INTO model_params (model, name, value) VALUES {values}") == [(3,)]
    assert rows(bench, "UPDATE model_params SET value = '9', version = version + 1 WHERE name = 'a' AND model = 'n'") == [(1,)]
    assert rows(bench, "DELETE FROM utilities.model_params WHERE model = 'm' AND name IN ('a')") == [(1,)]
    told = rows(bench, "SELECT model, name, CAST(value AS VARCHAR), version FROM model_params ORDER BY ALL")
    assert told == [("m", "b", "2", 1), ("n", "a", "9", 2)]


def test_a_row_of_ones_own_stands_beside_market_data(bench: Workbench) -> None:
    columns = "symbol, timestamp, open, high, low, close, volume"
    values = "('MINE', TIMESTAMPTZ '2024-01-05 10:00:00-05', 1, 2, 0.5, 1.5, 100)"
    assert rows(
        bench.use("tetra"), f"INSERT INTO market_data.ohlcv ({columns}, timeframe, source) VALUES {values[:-1]}, '1m', 'mine')"
    ) == [(1,)]
    assert rows(bench, "SELECT close FROM market_data.ohlcv WHERE symbol = 'MINE'") == [(1.5,)]
    for text in ("UPDATE market_data.ohlcv SET open = 1", "DELETE FROM market_data.ohlcv"):
        with pytest.raises(QueryError, match="what market data feeds is not changed by SQL"):
            bench.sql(text)


@pytest.mark.parametrize(
    ("platform", "text", "told"),
    [
        ("kraken_bot", "DELETE FROM prod_trades", "it is a view, which shows what stands in other tables"),
        ("tetra", "INSERT INTO market_data.ohlcv_daily (symbol) VALUES ('A')", "Rows come with bench.refresh"),
        ("tetra", "DELETE FROM stock_sessions", "the lake's tables are not written by SQL"),
        ("layers", "UPDATE analytics.daily_pnl SET fees = 1", r"follows from transactional.trades, stock_day; .* bench.upsert\("),
        ("kraken_bot", "DELETE FROM strategy_performance", r"follows from kraken_bot.trades, kraken_bot.signals; .* bench.delete\("),
    ],
)
def test_what_is_shown_or_computed_says_where_its_rows_come_from(bench: Workbench, platform: str, text: str, told: str) -> None:
    bench.use(platform)
    with pytest.raises(QueryError, match=told):
        bench.sql(text)


@pytest.mark.parametrize(
    ("text", "fault", "told"),
    [
        ("INSERT INTO rss_feeds (name) VALUES ('a')", BrokenRule, "url"),
        ("INSERT INTO signals (symbol, final_signal) VALUES ('A', 'MAYBE')", BrokenRule, "final_signal"),
        ("INSERT INTO trades (timestamp, symbol, action, amount, price, status, signal_id) VALUES (now(), 'C', 'BUY', 1, 1, 'new', 77)", BrokenRule, "77"),
        ("INSERT INTO rss_feeds (urll, name) VALUES ('a', 'b')", UnknownName, "url"),
        ("INSERT INTO rss_feeds (url, name) VALUES ('a')", QueryError, "1 values were given for 2 columns"),
        ("UPDATE signals SET prise = 1", UnknownName, "price"),
        ("UPDATE signals SET price = nothing", QueryError, "nothing"),
        ("UPDATE signals SET final_signal = 'MAYBE' WHERE id = 1", BrokenRule, "final_signal"),
        ("DELETE FROM signals WHERE nothing = 1", QueryError, "nothing"),
        ("BEGIN; DELETE FROM trades; ROLLBACK", QueryError, "within a transaction of DuckDB's.*bench.transaction"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_and_nothing_is(bench: Workbench, text: str, fault: type[Exception], told: str) -> None:
    before = rows(bench, "SELECT * FROM signals ORDER BY id"), rows(bench, "SELECT * FROM trades ORDER BY id")
    with pytest.raises(fault, match=f"(?s){told}"):
        bench.sql(text)
    if text.startswith("BEGIN"):
        bench.sql("ROLLBACK")
    assert (rows(bench, "SELECT * FROM signals ORDER BY id"), rows(bench, "SELECT * FROM trades ORDER BY id")) == before


def test_nothing_is_written_while_a_snapshot_is_held_or_in_another_transaction(bench: Workbench) -> None:
    with bench.pin(), pytest.raises(QueryError, match="while a snapshot is held still"):
        bench.sql("DELETE FROM trades")
    with bench.transaction(), pytest.raises(UsageError, match="transaction"):
        bench.sql("DELETE FROM trades")
    assert rows(bench, "SELECT count(*) FROM trades") == [(1,)]


def test_ones_own_tables_and_duckdbs_sql_are_left_alone(bench: Workbench) -> None:
    bench.sql("CREATE TEMP TABLE trades AS SELECT 1 AS x")
    bench.sql("INSERT INTO trades VALUES (2); UPDATE trades SET x = x + 1; DELETE FROM trades WHERE x = 2")
    assert rows(bench, "SELECT x FROM trades") == [(3,)]
    bench.sql("DROP TABLE trades")
    assert rows(bench, "SELECT count(*) FROM trades") == [(1,)]
    bench.use(None)
    for text in (
        "DELETE FROM kraken_bot.trades",
        "UPDATE kraken_bot.trades SET price = 1",
        "INSERT INTO kraken_bot.rss_feeds (url) VALUES ('a')",
    ):
        with pytest.raises(QueryError, match=r"(?s)written by bench\.append, bench\.upsert and bench\.delete"):
            bench.sql(text)
