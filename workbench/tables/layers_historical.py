"""The layer's `historical`: ticks and order books."""

from datetime import UTC, datetime

from workbench.tables.record import Field, Record

DOCUMENT = "004_26ba1580175c944d"
AT = datetime(2025, 11, 24, 14, 30, tzinfo=UTC)

TIME = Field("time", "TIMESTAMPTZ", "When it was told.")
SYM = Field("sym", "VARCHAR", "Ticker, as AAPL.")
VENUE = Field("exchange", "VARCHAR", "Where it was told, as XNAS.")

TRADE = Record(
    schema="historical",
    name="trade",
    doc="Trades of stocks, tick by tick.",
    columns=(
        TIME,
        SYM,
        Field("price", "DOUBLE", "Price, USD."),
        Field("size", "DOUBLE", "Shares traded; fractions of shares count."),
        Field("side", "VARCHAR", "Who was the taker, buy or sell; the vendor does not tell.", required=False),
        Field(
            "exchange",
            "VARCHAR",
            "The vendor's number of the exchange, which `exchanges` names; of imported rows whatever they say.",
            required=False,
        ),
        Field("conditions", "VARCHAR", "The vendor's numbers of conditions; `trade_conditions` names them.", required=False),
        Field("sequence", "BIGINT", "Number that puts ticks of one instant in order.", required=False),
        Field("trade_id", "VARCHAR", "The exchange's id of the trade.", required=False),
    ),
    fed=("stock_trades",),
    example={"time": AT, "sym": "AAPL", "price": 150.0, "size": 100.0, "side": "buy", "exchange": "11", "sequence": 1, "trade_id": "1"},
    document=DOCUMENT,
)

QUOTE = Record(
    schema="historical",
    name="quote",
    doc="Best bids and asks of stocks, tick by tick.",
    columns=(
        TIME,
        SYM,
        Field("bid", "DOUBLE", "Highest bid, USD."),
        Field("ask", "DOUBLE", "Lowest ask, USD."),
        Field("bsize", "DOUBLE", "Shares bid for at that price."),
        Field("asize", "DOUBLE", "Shares asked at that price."),
        Field("bid_exchange", "VARCHAR", "The exchange of the bid, as in `trade`.", required=False),
        Field("ask_exchange", "VARCHAR", "The exchange of the ask, as in `trade`.", required=False),
        Field("conditions", "VARCHAR", "The vendor's numbers of conditions.", required=False),
        Field("sequence", "BIGINT", "Number that puts ticks of one instant in order.", required=False),
    ),
    fed=("stock_quotes",),
    example={"time": AT, "sym": "AAPL", "bid": 149.99, "ask": 150.01, "bsize": 200.0, "asize": 300.0, "sequence": 1},
    document=DOCUMENT,
)

SIDE_OF_BOOK = "STRUCT(price DOUBLE, size DOUBLE)[]"

ORDERBOOK_SNAPSHOT = Record(
    schema="historical",
    name="orderbook_snapshot",
    doc="Order books as they stood at an instant.",
    columns=(
        TIME,
        SYM,
        VENUE,
        Field("depth", "INTEGER", "How many levels of each side are told."),
        Field("bids", SIDE_OF_BOOK, "Bids, the highest first."),
        Field("asks", SIDE_OF_BOOK, "Asks, the lowest first."),
        Field("sequence", "BIGINT", "Number that puts books of one instant in order.", required=False),
    ),
    key=("time", "sym", "exchange"),
    example={
        "time": AT,
        "sym": "AAPL",
        "exchange": "XNAS",
        "depth": 2,
        "bids": [{"price": 149.99, "size": 200.0}, {"price": 149.98, "size": 500.0}],
        "asks": [{"price": 150.01, "size": 300.0}, {"price": 150.02, "size": 100.0}],
        "sequence": 1,
    },
    document=DOCUMENT,
)

MARKET_DEPTH = Record(
    schema="historical",
    name="market_depth",
    doc="Levels of order books, a row each.",
    columns=(
        TIME,
        SYM,
        VENUE,
        Field("side", "VARCHAR", "The side of the book, as bid or ask."),
        Field("level", "INTEGER", "Number of the level; 1 is the best price."),
        Field("price", "DOUBLE", "Price of the level."),
        Field("size", "DOUBLE", "How much stands there."),
        Field("orders", "INTEGER", "How many orders stand there.", required=False),
    ),
    key=("time", "sym", "exchange", "side", "level"),
    example={"time": AT, "sym": "AAPL", "exchange": "XNAS", "side": "bid", "level": 1, "price": 149.99, "size": 200.0, "orders": 3},
    document=DOCUMENT,
)

RECORDS = (TRADE, QUOTE, ORDERBOOK_SNAPSHOT, MARKET_DEPTH)
