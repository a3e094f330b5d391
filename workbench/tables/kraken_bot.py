"""A Kraken bot on SQLite, through SQLAlchemy. Its document names nine tables, and shows a signal."""

from datetime import UTC, datetime
from decimal import Decimal

from workbench.tables.record import Check, Field, Platform, Record, Reference
from workbench.tables.testing_rules import HIGH_PRICE, LARGE_AMOUNT, NO_AMOUNT, TEST_SYMBOL, TEST_TICKER

DOCUMENT = "002_912927e6b40b5674"

# Every table of the bot has these.
PROVENANCE = (
    Field("test_mode", "BOOLEAN", "Whether the row is of a test, not of production.", default="false"),
    Field("test_reason", "VARCHAR", "Why the row counts as a test's.", required=False),
    Field("bot_version", "VARCHAR", "The version of the bot that wrote the row.", required=False),
    Field("created_at", "TIMESTAMPTZ", "When the row was written.", default="now()"),
    Field("loaded_from", "VARCHAR", "The file or database that the row was imported from.", required=False),
)
UPDATED_AT = Field("updated_at", "TIMESTAMPTZ", "When the row was last changed.", default="now()")

SIGNALS = Record(
    schema="kraken_bot",
    name="signals",
    doc="All trading signals, with what each strategy said.",
    columns=(
        Field("id", "BIGINT", "Number of the signal.", serial=True),
        Field("timestamp", "TIMESTAMPTZ", "When the signal was given."),
        Field("symbol", "VARCHAR", "The pair, as BTCUSD."),
        Field("price", "DECIMAL(20,8)", "Price at the signal, in the pair's second currency."),
        Field("final_signal", "VARCHAR", "BUY, SELL or HOLD."),
        Field("final_confidence", "DECIMAL(10,6)", "Confidence in it, from 0 to 1."),
        Field("aggregation_method", "VARCHAR", "How the strategies' signals became one."),
        Field("strategies", "MAP(VARCHAR, STRUCT(signal VARCHAR, confidence DOUBLE))", "What each strategy said, by its name."),
        Field("strategy_version", "VARCHAR", "Hash of the strategies that gave it.", required=False),
        *PROVENANCE,
    ),
    key=("id",),
    checks=(Check("final_signal", "final_signal IN ('BUY', 'SELL', 'HOLD')"),),
    tests=(HIGH_PRICE, TEST_SYMBOL, TEST_TICKER),
    example={
        "timestamp": datetime(2025, 11, 23, 14, 30, tzinfo=UTC),
        "symbol": "BTCUSD",
        "price": Decimal("50000.00"),
        "final_signal": "BUY",
        "final_confidence": Decimal("0.85"),
        "aggregation_method": "weighted_average",
        "strategies": {"sentiment": {"signal": "BUY", "confidence": 0.9}, "technical": {"signal": "BUY", "confidence": 0.8}},
        "test_mode": False,
        "bot_version": "1.0.0",
    },
    document=DOCUMENT,
)

TRADES = Record(
    schema="kraken_bot",
    name="trades",
    doc="Executed trades, and the signal that each came from.",
    columns=(
        Field("id", "BIGINT", "Number of the trade.", serial=True),
        Field("signal_id", "BIGINT", "The signal that it came from.", required=False),
        Field("timestamp", "TIMESTAMPTZ", "When it was executed."),
        Field("symbol", "VARCHAR", "The pair, as BTCUSD."),
        Field("action", "VARCHAR", "BUY or SELL."),
        Field("amount", "DECIMAL(20,8)", "How much of the pair's first currency."),
        Field("price", "DECIMAL(20,8)", "Price, in the pair's second currency."),
        Field("fee", "DECIMAL(20,8)", "What it cost, in the pair's second currency.", required=False),
        Field("status", "VARCHAR", "State of the order, as filled."),
        Field("order_id", "VARCHAR", "The exchange's id of the order.", required=False),
        Field("strategy_version", "VARCHAR", "Hash of the strategies that gave its signal.", required=False),
        *PROVENANCE,
    ),
    key=("id",),
    checks=(Check("action", "action IN ('BUY', 'SELL')"),),
    references=(Reference(("signal_id",), "kraken_bot.signals", ("id",)),),
    tests=(NO_AMOUNT, LARGE_AMOUNT, HIGH_PRICE, TEST_SYMBOL, TEST_TICKER),
    example={
        "timestamp": datetime(2025, 11, 23, 14, 30, 1, tzinfo=UTC),
        "symbol": "BTCUSD",
        "action": "BUY",
        "amount": Decimal("0.05"),
        "price": Decimal("50010.00"),
        "fee": Decimal("6.50"),
        "status": "filled",
        "test_mode": False,
        "bot_version": "1.0.0",
    },
    document=DOCUMENT,
)

HOLDINGS = Record(
    schema="kraken_bot",
    name="holdings",
    doc="What is held of each symbol now.",
    columns=(
        Field("symbol", "VARCHAR", "The asset, as BTC."),
        Field("amount", "DECIMAL(20,8)", "How much of it is held."),
        Field("average_cost", "DECIMAL(20,8)", "What a unit cost on average.", required=False),
        Field("current_price", "DECIMAL(20,8)", "What a unit costs now.", required=False),
        Field("value", "DECIMAL(20,8)", "What is held is worth this.", required=False),
        UPDATED_AT,
        *PROVENANCE,
    ),
    key=("symbol",),
    tests=(TEST_SYMBOL,),
    example={
        "symbol": "BTC",
        "amount": Decimal("0.05"),
        "average_cost": Decimal("50010.00"),
        "current_price": Decimal("51000.00"),
        "value": Decimal("2550.00"),
    },
    document=DOCUMENT,
)

STRATEGY_PERFORMANCE = Record(
    schema="kraken_bot",
    name="strategy_performance",
    doc="How each version of a strategy did, by period.",
    columns=(
        Field("strategy", "VARCHAR", "Name of the strategy."),
        Field("strategy_version", "VARCHAR", "Its version."),
        Field("period_start", "TIMESTAMPTZ", "When the period began."),
        Field("trades", "BIGINT", "Count of trades that closed some of a position."),
        Field("wins", "BIGINT", "Count of trades with a profit."),
        Field("losses", "BIGINT", "Count of trades with a loss."),
        Field("neutral", "BIGINT", "Count of trades that broke even."),
        Field("win_rate", "DOUBLE", "Share of trades with a profit, from 0 to 1."),
        Field("total_pnl", "DECIMAL(20,8)", "Profit less loss of all trades."),
        Field("average_pnl", "DECIMAL(20,8)", "Profit less loss of a trade, on average."),
        Field("max_drawdown", "DOUBLE", "The deepest fall from a high, as a share of it."),
        Field("sharpe", "DOUBLE", "Sharpe ratio.", required=False),
        UPDATED_AT,
        *PROVENANCE,
    ),
    key=("strategy", "strategy_version", "period_start"),
    example={
        "strategy": "technical",
        "strategy_version": "a1b2c3",
        "period_start": datetime(2025, 11, 1, tzinfo=UTC),
        "trades": 12,
        "wins": 7,
        "losses": 4,
        "neutral": 1,
        "win_rate": 0.5833,
        "total_pnl": Decimal("125.50"),
        "average_pnl": Decimal("10.45833333"),
        "max_drawdown": 0.021,
        "sharpe": 1.4,
    },
    fed=("kraken_bot.trades", "kraken_bot.signals"),
    document=DOCUMENT,
)

STRATEGY_DEFINITIONS = Record(
    schema="kraken_bot",
    name="strategy_definitions",
    doc="How each version of a strategy is configured.",
    columns=(
        Field("name", "VARCHAR", "Name of the strategy."),
        Field("version", "VARCHAR", "Its version."),
        Field("type", "VARCHAR", "Kind of the strategy, as technical."),
        Field("parameters", "JSON", "Its parameters.", default="'{}'"),
        Field("enabled", "BOOLEAN", "Whether it is in use.", default="true"),
        Field("description", "VARCHAR", "What it does.", required=False),
        UPDATED_AT,
        *PROVENANCE,
    ),
    key=("name", "version"),
    example={"name": "technical", "version": "a1b2c3", "type": "technical", "parameters": '{"rsi_period":14}', "enabled": True},
    document=DOCUMENT,
)

ERROR_LOGS = Record(
    schema="kraken_bot",
    name="error_logs",
    doc="Errors of the bot.",
    columns=(
        Field("id", "BIGINT", "Number of the error.", serial=True),
        Field("timestamp", "TIMESTAMPTZ", "When it happened."),
        Field("level", "VARCHAR", "How grave it is, as ERROR."),
        Field("component", "VARCHAR", "The part of the bot that it happened in."),
        Field("message", "VARCHAR", "What happened."),
        Field("traceback", "VARCHAR", "Where in the code.", required=False),
        Field("context", "JSON", "What else is known.", required=False),
        *PROVENANCE,
    ),
    key=("id",),
    example={
        "timestamp": datetime(2025, 11, 23, 14, 30, tzinfo=UTC),
        "level": "ERROR",
        "component": "exchange",
        "message": "EAPI:Rate limit exceeded",
        "context": '{"attempt":2}',
    },
    document=DOCUMENT,
)

RSS_FEEDS = Record(
    schema="kraken_bot",
    name="rss_feeds",
    doc="The news feeds that the bot read.",
    columns=(
        Field("url", "VARCHAR", "Address of the feed."),
        Field("name", "VARCHAR", "Its name."),
        Field("category", "VARCHAR", "What it is about.", required=False),
        Field("enabled", "BOOLEAN", "Whether it is in use.", default="true"),
        Field("last_fetched", "TIMESTAMPTZ", "When it was last read.", required=False),
        Field("error_count", "BIGINT", "How often reading it failed.", default="0"),
        *PROVENANCE,
    ),
    key=("url",),
    example={"url": "https://example.com/feed.xml", "name": "Example", "category": "crypto", "enabled": True, "error_count": 0},
    document=DOCUMENT,
)

SEEN_NEWS = Record(
    schema="kraken_bot",
    name="seen_news",
    doc="The news that the bot has seen, so that it takes none twice.",
    columns=(
        Field("news_id", "VARCHAR", "Text that tells the article apart."),
        Field("feed_url", "VARCHAR", "The feed that it came from.", required=False),
        Field("title", "VARCHAR", "Its title."),
        Field("url", "VARCHAR", "Its address.", required=False),
        Field("published_at", "TIMESTAMPTZ", "When it was published.", required=False),
        Field("seen_at", "TIMESTAMPTZ", "When the bot saw it.", default="now()"),
        Field("sentiment", "DOUBLE", "Its mood, from -1 to 1.", required=False),
        *PROVENANCE,
    ),
    key=("news_id",),
    example={
        "news_id": "0f343b0931126a20f133d67c2b018a3b",
        "feed_url": "https://example.com/feed.xml",
        "title": "Bitcoin above 50 000",
        "published_at": datetime(2025, 11, 23, 14, 0, tzinfo=UTC),
        "seen_at": datetime(2025, 11, 23, 14, 5, tzinfo=UTC),
        "sentiment": 0.4,
    },
    document=DOCUMENT,
)

BOT_STATUS = Record(
    schema="kraken_bot",
    name="bot_status",
    doc="What the bot knows of its own state, by key.",
    columns=(
        Field("key", "VARCHAR", "Name of what is known."),
        Field("value", "JSON", "What is known."),
        UPDATED_AT,
        *PROVENANCE,
    ),
    key=("key",),
    example={"key": "running", "value": "true"},
    document=DOCUMENT,
)

PLATFORM = Platform(
    name="kraken_bot",
    title="A Kraken bot on SQLite, through SQLAlchemy.",
    document=DOCUMENT,
    schemas=("kraken_bot",),
    dialect="sqlite",
    aliases=("kraken",),
    records=(SIGNALS, TRADES, HOLDINGS, STRATEGY_PERFORMANCE, STRATEGY_DEFINITIONS, ERROR_LOGS, RSS_FEEDS, SEEN_NEWS, BOT_STATUS),
)
