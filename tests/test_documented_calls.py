"""The documents' calls that write: each in one line here, and what stands in the tables then."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from documents import DOCUMENTS, there

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, QueryError
from workbench.tables.calls import CALLS
from workbench.tables.documents import render
from workbench.tables.platforms import PLATFORMS

LINES = {call.written: call.here for call in CALLS}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings.load(env={}, data=str(tmp_path))) as made:
        made.lake.make()
        made.append("transactional.users", [{"username": "ada", "email": "ada@example.com"}])
        yield made


def call(bench: Workbench, written: str) -> Any:
    """Run the line that stands for a call."""
    [line] = [here for told, here in LINES.items() if told.startswith(written)]
    assert "\n" not in line
    return eval(line, {"bench": bench, "datetime": datetime, "UTC": UTC, "Decimal": Decimal})


def rows(bench: Workbench, query: str) -> list[tuple[Any, ...]]:
    return bench.sql(query).fetchall()


@pytest.mark.parametrize("one", CALLS, ids=lambda one: one.written)
def test_every_line_runs(bench: Workbench, one: Any) -> None:
    assert call(bench, one.written) is not None


@there
@pytest.mark.parametrize("one", CALLS, ids=lambda one: one.written)
def test_every_call_stands_in_its_document(one: Any) -> None:
    text = (DOCUMENTS / f"{PLATFORMS[one.platform].document}.txt").read_text(encoding="utf-8")
    assert one.written.removesuffix("()") in text


def test_the_page_of_names_shows_them() -> None:
    page = render()
    assert all(f"`{one.written}`" in page and f"`{one.here}`" in page for one in CALLS)


def test_place_order(bench: Workbench) -> None:
    first, second = call(bench, "trans_db.place_order"), call(bench, "trans_db.place_order")
    assert (first["id"], second["id"]) == (1, 2)
    told = "user_id, symbol, side, order_type, quantity, price, status, filled_quantity, time_in_force"
    assert rows(bench, f"SELECT {told} FROM transactional.orders WHERE id = 2") == [
        (1, "AAPL", "buy", "limit", Decimal(100), Decimal(150), "new", Decimal(0), "day")
    ]
    with pytest.raises(BrokenRule, match=r"transactional\.users"):
        bench.add("transactional.orders", {**first, "id": None, "user_id": 7})


def test_insert_trade(bench: Workbench) -> None:
    assert call(bench, "kdb.insert_trade") == 1
    assert rows(bench, "SELECT sym, price, size FROM historical.trade") == [("AAPL", 150.0, 100.0)]


def test_insert_daily_pnl(bench: Workbench) -> None:
    call(bench, "analytics.insert_daily_pnl")
    told = "user_id, date, portfolio_id, realized_pnl, unrealized_pnl, total_pnl"
    assert rows(bench, f"SELECT {told} FROM analytics.daily_pnl") == [(1, date(2025, 11, 23), 0, 100, 50, 150)]


def test_set_param(bench: Workbench) -> None:
    bench.upsert("utilities.model_params", {"model": "strategy", "name": "max_position_size", "value": 5, "type": "int", "version": 3})
    call(bench, "utils.set_param")
    call(bench, "utils.set_param")
    assert rows(bench, "SELECT model, name, value, type, version FROM utilities.model_params") == [
        ("strategy", "max_position_size", "1000", "int", 3)
    ]


def test_add_and_commit(bench: Workbench) -> None:
    added = call(bench, "db.add(signal)")
    assert (added["id"], added["bot_version"], added["test_mode"], len(added["strategy_version"])) == (1, "1.0.0", False, 16)
    # What a session adds and commits at once, with what refers to it.
    with bench.transaction() as t:
        signal = t.add("kraken_bot.signals", {**added, "id": None, "symbol": "ETHUSD"})
        trade = {
            "signal_id": signal["id"],
            "timestamp": added["timestamp"],
            "symbol": "ETHUSD",
            "action": "BUY",
            "amount": 1,
            "price": 2,
            "status": "new",
        }
        t.add("kraken_bot.trades", trade)
    with pytest.raises(ZeroDivisionError), bench.transaction() as t:
        t.add("kraken_bot.trades", trade)
        1 / 0  # noqa: B018
    assert rows(
        bench, "SELECT s.symbol, t.action FROM kraken_bot.signals s LEFT JOIN kraken_bot.trades t ON t.signal_id = s.id ORDER BY s.id"
    ) == [
        ("BTCUSD", None),
        ("ETHUSD", "BUY"),
    ]
    assert [
        row[1:3]
        for row in bench.sql("SELECT * FROM kraken_bot.trades WHERE signal_id = $id", id=2).project("id, signal_id, symbol").fetchall()
    ] == [(2, "ETHUSD")]


def test_initialisations(bench: Workbench) -> None:
    call(bench, "initialize_rank")
    assert rows(bench, "SELECT strategy, amount_cash FROM ampyfin.algorithm_holdings") == [("RSI_indicator", 50_000.0)]
    call(bench, "initialize_time_delta")
    call(bench, "initialize_indicator_setup")
    assert rows(bench, "SELECT value FROM ampyfin.time_delta") == [(0.01,)]
    assert ("RSI_indicator", "1mo") in rows(bench, "SELECT indicator, ideal_period FROM ampyfin.indicators")
    assert call(bench, "initialize_market_setup").fetchall()[0][0] in ("open", "closed")


def test_reset_trading_collections(bench: Workbench) -> None:
    bench.append(
        "ampyfin.paper", [{"symbol": "A", "side": "buy", "quantity": 1, "price": 1, "timestamp": datetime.now(UTC), "status": "filled"}]
    )
    bench.append("ampyfin.assets_quantities", [{"symbol": "A", "quantity": 1}])
    bench.append("ampyfin.assets_limit", [{"symbol": "A", "max_quantity": 1, "max_value": 1}])
    bench.append("ampyfin.time_delta", [{"name": "time_delta", "value": 1}])
    call(bench, "reset_trading_collections")
    counts = {name: bench.table_counts("ampyfin")[name] for name in ("paper", "assets_quantities", "assets_limit", "time_delta")}
    assert counts == {"paper": 0, "assets_quantities": 0, "assets_limit": 0, "time_delta": 1}


def test_drop_all_tables_and_init_db(bench: Workbench) -> None:
    call(bench, "db.add(signal)")
    bench.add("kraken_bot.rss_feeds", {"url": "https://example.com/rss", "name": "news"})
    assert call(bench, "get_table_counts")["signals"] == 1
    call(bench, "drop_all_tables")
    call(bench, "init_db")
    assert set(call(bench, "get_table_counts").values()) == {0}
    assert rows(bench, "SELECT username FROM transactional.users") == [("ada",)]
    with pytest.raises(QueryError, match=r'bench\.reset_tables\("kraken_bot\.signals"\)'):
        bench.use("kraken_bot").sql("DROP TABLE signals")
