"""AmpyFin: a bot on MongoDB and SQLite. Collections are tables here, nested objects MAP and STRUCT columns."""

from datetime import UTC, date, datetime

from workbench.tables.record import Check, Field, Platform, Record

DOCUMENT = "001_953db00b4605998b"

# MongoDB gives a document that lacks one an id of 24 hexadecimal digits; so does this.
ID = Field("_id", "VARCHAR", "Text that tells the document apart.", default="left(md5(uuid()::VARCHAR), 24)", told="ObjectId")
SERIES = "STRUCT(dates DATE[], open DOUBLE[], high DOUBLE[], low DOUBLE[], close DOUBLE[], volume DOUBLE[])"

ALGORITHM_HOLDINGS = Record(
    schema="ampyfin",
    name="algorithm_holdings",
    doc="Portfolio and counts of trades of each strategy.",
    columns=(
        ID,
        Field("strategy", "VARCHAR", "Name of the strategy."),
        Field("holdings", "MAP(VARCHAR, DOUBLE)", "What it holds: quantity by symbol.", told="object"),
        Field("amount_cash", "DOUBLE", "Cash that it has left, USD."),
        Field("initialized_date", "TIMESTAMPTZ", "When the strategy was initialized.", told="ISODate"),
        Field("total_trades", "BIGINT", "Count of all trades."),
        Field("successful_trades", "BIGINT", "Count of trades with a profit."),
        Field("neutral_trades", "BIGINT", "Count of trades that broke even."),
        Field("failed_trades", "BIGINT", "Count of trades with a loss."),
        Field("last_updated", "TIMESTAMPTZ", "When the document was last updated.", default="now()", told="ISODate"),
        Field("portfolio_value", "DOUBLE", "Value of the whole portfolio, USD."),
    ),
    key=("_id",),
    unique=(("strategy",),),
    example={
        "strategy": "RSI_indicator",
        "holdings": {"AAPL": 100.0, "MSFT": 50.0},
        "amount_cash": 50000.0,
        "initialized_date": datetime(2024, 1, 2, 14, 30, tzinfo=UTC),
        "total_trades": 150,
        "successful_trades": 95,
        "neutral_trades": 10,
        "failed_trades": 45,
        "last_updated": datetime(2024, 3, 7, 21, 0, tzinfo=UTC),
        "portfolio_value": 75000.0,
    },
    document=DOCUMENT,
)

POINTS_TALLY = Record(
    schema="ampyfin",
    name="points_tally",
    doc="Score of each strategy.",
    columns=(
        ID,
        Field("strategy", "VARCHAR", "Name of the strategy."),
        Field("total_points", "DOUBLE", "Its score, summed up since tracking started."),
        Field("initialized_date", "TIMESTAMPTZ", "When tracking started.", told="ISODate"),
        Field("last_updated", "TIMESTAMPTZ", "When the document was last updated.", default="now()", told="ISODate"),
    ),
    key=("_id",),
    unique=(("strategy",),),
    example={
        "strategy": "RSI_indicator",
        "total_points": 1250.5,
        "initialized_date": datetime(2024, 1, 2, 14, 30, tzinfo=UTC),
        "last_updated": datetime(2024, 3, 7, 21, 0, tzinfo=UTC),
    },
    document=DOCUMENT,
)

RANK_TO_COEFFICIENT = Record(
    schema="ampyfin",
    name="rank_to_coefficient",
    doc="Weight of each rank that a strategy may have.",
    columns=(
        ID,
        Field("rank", "BIGINT", "Rank of a strategy, 1 is the best."),
        Field("coefficient", "DOUBLE", "Weight of that rank."),
    ),
    key=("_id",),
    unique=(("rank",),),
    example={"rank": 1, "coefficient": 0.85},
    document=DOCUMENT,
)

TIME_DELTA = Record(
    schema="ampyfin",
    name="time_delta",
    doc="How much newer scores weigh than older ones, by name.",
    columns=(
        Field("name", "VARCHAR", "Name of the setting."),
        Field("value", "DOUBLE", "Its value."),
        Field("updated_at", "TIMESTAMPTZ", "When it was last set.", default="now()"),
    ),
    key=("name",),
    example={"name": "time_delta", "value": 0.01},
    document=DOCUMENT,
)

MARKET_STATUS = Record(
    schema="ampyfin",
    name="market_status",
    doc="Whether the market is open now, by its calendar.",
    columns=(
        Field("_id", "VARCHAR", "market_status_config."),
        Field("market_status", "VARCHAR", "open or closed."),
    ),
    key=("_id",),
    checks=(Check("market_status", "market_status IN ('open', 'closed')"),),
    fed=("calendar",),
    takes_rows=False,
    example={"_id": "market_status_config", "market_status": "open"},
    document=DOCUMENT,
)

INDICATORS = Record(
    schema="ampyfin",
    name="indicators",
    doc="The period of data that suits each indicator.",
    columns=(
        ID,
        Field("indicator", "VARCHAR", "Name of the indicator."),
        Field("ideal_period", "VARCHAR", "The period of data that it needs, as 1mo."),
    ),
    key=("_id",),
    unique=(("indicator",),),
    example={"indicator": "RSI_indicator", "ideal_period": "1mo"},
    document=DOCUMENT,
)

HISTORICAL_DATABASE = Record(
    schema="ampyfin",
    name="historical_database",
    doc="Day bars of each ticker as arrays, one document per ticker.",
    columns=(
        ID,
        Field("ticker", "VARCHAR", "Ticker, as AAPL."),
        Field("data", SERIES, "Sessions, prices in USD as traded, and volumes; the lists go together.", told="object"),
        Field("last_updated", "TIMESTAMPTZ", "When the document was last updated.", default="now()", told="ISODate"),
    ),
    key=("_id",),
    unique=(("ticker",),),
    fed=("stock_day",),
    example={
        "ticker": "AAPL",
        "data": {
            "dates": [date(2024, 1, 1), date(2024, 1, 2)],
            "open": [150.0, 151.0],
            "high": [152.0, 153.0],
            "low": [149.0, 150.0],
            "close": [151.0, 152.0],
            "volume": [1000000.0, 1100000.0],
        },
        "last_updated": datetime(2024, 1, 3, 2, 0, tzinfo=UTC),
    },
    document=DOCUMENT,
)

PAPER = Record(
    schema="ampyfin",
    name="paper",
    doc="Orders and fills of paper trading.",
    columns=(
        ID,
        Field("symbol", "VARCHAR", "Ticker, as AAPL."),
        Field("side", "VARCHAR", "buy or sell."),
        Field("quantity", "DOUBLE", "Number of shares."),
        Field("price", "DOUBLE", "Price of the execution, USD."),
        Field("timestamp", "TIMESTAMPTZ", "When it was ordered.", told="ISODate"),
        Field("status", "VARCHAR", "State of the order, as filled."),
    ),
    key=("_id",),
    checks=(Check("side", "side IN ('buy', 'sell')"),),
    example={
        "symbol": "AAPL",
        "side": "buy",
        "quantity": 100.0,
        "price": 150.50,
        "timestamp": datetime(2024, 3, 7, 14, 30, tzinfo=UTC),
        "status": "filled",
    },
    document=DOCUMENT,
)

ASSETS_QUANTITIES = Record(
    schema="ampyfin",
    name="assets_quantities",
    doc="What is held of each asset.",
    columns=(
        ID,
        Field("symbol", "VARCHAR", "Ticker, as AAPL."),
        Field("quantity", "DOUBLE", "Number of shares held."),
    ),
    key=("_id",),
    unique=(("symbol",),),
    example={"symbol": "AAPL", "quantity": 100.0},
    document=DOCUMENT,
)

ASSETS_LIMIT = Record(
    schema="ampyfin",
    name="assets_limit",
    doc="How much may be held of each asset.",
    columns=(
        ID,
        Field("symbol", "VARCHAR", "Ticker, as AAPL."),
        Field("max_quantity", "DOUBLE", "The most shares allowed."),
        Field("max_value", "DOUBLE", "The most that they may be worth, USD."),
    ),
    key=("_id",),
    unique=(("symbol",),),
    example={"symbol": "AAPL", "max_quantity": 1000.0, "max_value": 150000.0},
    document=DOCUMENT,
)

PORTFOLIO_VALUES = Record(
    schema="ampyfin",
    name="portfolio_values",
    doc="Value of the portfolio over time.",
    columns=(
        ID,
        Field("name", "VARCHAR", "Name of the series, as portfolio_percentage."),
        Field("portfolio_value", "DOUBLE", "Value of the portfolio then, USD."),
        Field("timestamp", "TIMESTAMPTZ", "The instant of the value.", told="ISODate"),
    ),
    key=("_id",),
    example={
        "name": "portfolio_percentage",
        "portfolio_value": 100000.0,
        "timestamp": datetime(2024, 3, 7, 21, 0, tzinfo=UTC),
    },
    document=DOCUMENT,
)

PRICE_DATA = Record(
    schema="ampyfin",
    name="price_data",
    doc="Prices of stocks, a row per ticker and session, as traded.",
    columns=(
        Field("id", "BIGINT", "Number of the row.", serial=True, told="INTEGER"),
        Field("ticker", "VARCHAR", "Ticker, as AAPL.", told="TEXT"),
        Field("date", "DATE", "Session in New York.", told="TEXT"),
        Field("open", "DOUBLE", "First price, USD.", told="REAL"),
        Field("high", "DOUBLE", "Highest price, USD.", told="REAL"),
        Field("low", "DOUBLE", "Lowest price, USD.", told="REAL"),
        Field("close", "DOUBLE", "Last price, USD.", told="REAL"),
        Field("volume", "DOUBLE", "Shares traded; fractions of shares count.", told="INTEGER"),
    ),
    key=("id",),
    unique=(("ticker", "date"),),
    fed=("stock_day",),
    example={
        "ticker": "AAPL",
        "date": date(2024, 3, 7),
        "open": 169.15,
        "high": 170.73,
        "low": 168.49,
        "close": 169.0,
        "volume": 71765061.0,
    },
    document=DOCUMENT,
)

STRATEGY_DECISIONS = Record(
    schema="ampyfin",
    name="strategy_decisions",
    doc="What each strategy decided, a row per ticker, strategy and session.",
    columns=(
        Field("id", "BIGINT", "Number of the row.", serial=True, told="INTEGER"),
        Field("ticker", "VARCHAR", "Ticker, as AAPL.", told="TEXT"),
        Field("strategy", "VARCHAR", "Name of the strategy.", told="TEXT"),
        Field("date", "DATE", "Session that the decision is for.", told="TEXT"),
        Field("signal", "VARCHAR", "Buy, Sell or Hold.", told="TEXT"),
        Field("confidence", "DOUBLE", "Score of the confidence in it.", required=False, told="REAL"),
        Field("timestamp", "TIMESTAMPTZ", "When it was decided.", told="TEXT"),
    ),
    key=("id",),
    unique=(("ticker", "strategy", "date"),),
    checks=(Check("signal", "signal IN ('Buy', 'Sell', 'Hold')"),),
    example={
        "ticker": "AAPL",
        "strategy": "RSI_indicator",
        "date": date(2024, 3, 7),
        "signal": "Buy",
        "confidence": 0.8,
        "timestamp": datetime(2024, 3, 7, 21, 0, tzinfo=UTC),
    },
    document=DOCUMENT,
)

PLATFORM = Platform(
    name="ampyfin",
    title="AmpyFin: a bot on MongoDB and SQLite.",
    document=DOCUMENT,
    schemas=("ampyfin",),
    dialect="sqlite",
    aliases=(),
    databases={
        "trading_simulator": {name: name for name in ("algorithm_holdings", "points_tally", "rank_to_coefficient", "time_delta")},
        "market_data": {"market_status": "market_status"},
        "IndicatorsDatabase": {"Indicators": "indicators"},
        "HistoricalDatabase": {"HistoricalDatabase": "historical_database"},
        "trades": {name: name for name in ("paper", "assets_quantities", "assets_limit", "portfolio_values")},
    },
    records=(
        ALGORITHM_HOLDINGS,
        POINTS_TALLY,
        RANK_TO_COEFFICIENT,
        TIME_DELTA,
        MARKET_STATUS,
        INDICATORS,
        HISTORICAL_DATABASE,
        PAPER,
        ASSETS_QUANTITIES,
        ASSETS_LIMIT,
        PORTFOLIO_VALUES,
        PRICE_DATA,
        STRATEGY_DECISIONS,
    ),
)
