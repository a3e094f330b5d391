"""The documents' calls that write, each with its equal here in one line. Data: the page of names shows them, and tests run them."""

from typing import NamedTuple


class Call(NamedTuple):
    """A call as the document of a platform writes it, and what does the same here."""

    platform: str
    written: str
    here: str


CALLS = (
    Call("shrek", "db.reset_tables()", 'bench.reset("shrek")'),
    Call("ampyfin", "initialize_rank()", 'bench.init("ampyfin", ["RSI_indicator"])'),
    Call("ampyfin", "initialize_time_delta()", 'bench.init("ampyfin")'),
    Call("ampyfin", "initialize_market_setup()", 'bench.sql("SELECT market_status FROM ampyfin.market_status")'),
    Call("ampyfin", "initialize_indicator_setup()", 'bench.init("ampyfin")'),
    Call(
        "ampyfin",
        "reset_trading_collections()",
        'bench.reset_tables(["ampyfin.paper", "ampyfin.assets_quantities", "ampyfin.assets_limit"])',
    ),
    Call("kraken_bot", "init_db()", 'bench.init("kraken_bot")'),
    Call(
        "kraken_bot",
        "db.add(signal)",
        'bench.add("kraken_bot.signals", {"timestamp": datetime.now(UTC), "symbol": "BTCUSD", "price": Decimal("50000.00"), "final_signal": "BUY", '
        '"final_confidence": Decimal("0.85"), "aggregation_method": "weighted_average", "strategies": {"sentiment": {"signal": "BUY", "confidence": 0.9}}, '
        '"test_mode": False}, bot_version="1.0.0")',
    ),
    Call("kraken_bot", "trades = signal.trades", 'bench.sql("SELECT * FROM kraken_bot.trades WHERE signal_id = $id", id=1)'),
    Call("kraken_bot", "health_check()", "bench.health().facts"),
    Call("kraken_bot", "get_table_counts()", 'bench.table_counts("kraken_bot")'),
    Call("kraken_bot", "drop_all_tables()", 'bench.reset_tables("kraken_bot")'),
    Call(
        "layers",
        'trans_db.place_order(user_id=1, symbol="AAPL", side="buy", quantity=100, price=150.0)',
        'bench.add("transactional.orders", {"user_id": 1, "symbol": "AAPL", "side": "buy", "order_type": "limit", "quantity": 100, "price": 150.0})',
    ),
    Call(
        "layers",
        "kdb.insert_trade(trade_data)",
        'bench.append("historical.trade", [{"time": datetime.now(UTC), "sym": "AAPL", "price": 150.0, "size": 100}])',
    ),
    Call(
        "layers",
        "analytics.insert_daily_pnl(user_id=1, date='2025-11-23', realized_pnl=100, unrealized_pnl=50, total_pnl=150)",
        'bench.add("analytics.daily_pnl", {"user_id": 1, "date": "2025-11-23", "realized_pnl": 100, "unrealized_pnl": 50, "total_pnl": 150})',
    ),
    Call(
        "layers",
        "utils.set_param('strategy', 'max_position_size', 1000)",
        'bench.upsert("utilities.model_params", {"model": "strategy", "name": "max_position_size", "value": 1000, "type": "int"})',
    ),
)  # fmt: skip
