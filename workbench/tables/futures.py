"""US futures: CBOT, CME, NYMEX and COMEX, four feeds into each table; `venue` says which.

A session is named by the date on which it ends, `session_end_date`, and begins on an evening before: stamps may lie up to four
days before it (a long weekend) and one day after. A ticker has one digit for the year (ESZ5), spreads and butterflies are listed
too (ESZ5-ESH6). Prices have no lower bound: crude oil settled at -37.63 on 2020-04-20, and spreads are often negative.

Keys leave `venue` out because they are checked within a file, and a file has one venue.
"""

from datetime import date

from workbench.tables.common import CORRECTION, EXCHANGE, NS, SPEEDUP, TRANSACTIONS, WINDOW_START, prices, ticker, volume
from workbench.tables.spec import Column, Feed, Table

CHICAGO = "America/Chicago"
VENUES = ("CBOT", "CME", "NYMEX", "COMEX")
PRICE = "the contract's price unit"


def feeds(dataset: str) -> tuple[Feed, ...]:
    """The same dataset of all venues."""
    return tuple(Feed(f"us_futures_{venue.lower()}/{dataset}", venue) for venue in VENUES)


TICKER = ticker("Contract or combination: ESZ5, ESZ5-ESH6.")
SESSION_END_DATE = Column("session_end_date", "DATE", "Trading date: the date on which the session ends.")
OPEN, CLOSE, HIGH, LOW = prices("price in the window", PRICE, low=None)
VOLUME = volume("Contracts traded in the window.", "contracts")
DOLLAR_VOLUME = Column(
    "dollar_volume", "DOUBLE", "Price times contracts, summed; negative where prices are.", "price unit x contracts", required=False
)
BAR = (TICKER, EXCHANGE, SESSION_END_DATE, WINDOW_START, OPEN, HIGH, LOW, CLOSE, VOLUME, DOLLAR_VOLUME, TRANSACTIONS)
SETTLEMENT_PRICE = Column(
    "settlement_price", "DOUBLE", "The exchange's official settlement; absent from older files.", PRICE, required=False
)
BAR_HEADER = tuple(column.header for column in BAR)

TIMESTAMP_NS = Column("timestamp_ns", "BIGINT", "When the exchange made the record.", NS, csv="timestamp")
SEQUENCE_NUMBER = Column("sequence_number", "BIGINT", "Order of the exchange's message within the ticker and session.")
REPORT_SEQUENCE = Column("report_sequence", "BIGINT", "Order of the record within the instrument's reports.")

FUTURES_SESSION = Table(
    name="futures_session",
    doc="One bar per futures contract and session, from all trades.",
    asset="futures",
    kind="bars",
    feeds=feeds("session_aggs_v1"),
    vendor=(*BAR, SETTLEMENT_PRICE),
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "year"),
    ranges=1,
    calendar="CMES",
    starts=date(2017, 4, 3),
    zone=CHICAGO,
    stray=(4, 1),
    same_day="session_end_date",
    source=f"{SPEEDUP} (with exchange); massive.com/docs/flat-files/futures of 2026 (with settlement_price, without exchange)",
    short_headers=(
        BAR_HEADER,
        (
            "ticker",
            "session_end_date",
            "window_start",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "dollar_volume",
            "transactions",
            "settlement_price",
        ),
    ),
)

FUTURES_MINUTE = Table(
    name="futures_minute",
    doc="One bar per futures contract and minute with a trade.",
    asset="futures",
    kind="bars",
    feeds=feeds("minute_aggs_v1"),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "quarter"),
    rollup="futures_session",
    calendar="CMES",
    starts=date(2017, 4, 3),
    zone=CHICAGO,
    stray=(4, 1),
    same_day="session_end_date",
    source="massive.com/docs/flat-files/futures/minute-aggregates; the CME files that a public project reads",
    # An older copy of the vendor's documentation lists the columns without dollar_volume.
    short_headers=(tuple(name for name in BAR_HEADER if name != "dollar_volume"),),
)

FUTURES_TRADES = Table(
    name="futures_trades",
    doc="Every futures trade.",
    asset="futures",
    kind="ticks",
    feeds=feeds("trades_v1"),
    vendor=(
        TICKER,
        TIMESTAMP_NS,
        SEQUENCE_NUMBER,
        REPORT_SEQUENCE,
        Column("price", "DOUBLE", "Price.", PRICE),
        Column("size", "DOUBLE", "Contracts.", "contracts", low=0),
        CORRECTION,
        EXCHANGE,
        SESSION_END_DATE,
    ),
    key=("ticker", "timestamp_ns", "sequence_number", "report_sequence"),
    time="timestamp_ns",
    chunks=("day",),
    rollup="futures_minute",
    calendar="CMES",
    starts=date(2017, 4, 3),
    zone=CHICAGO,
    stray=(4, 1),
    same_day="session_end_date",
    source=SPEEDUP,
)


def side(name: str, word: str) -> tuple[Column, Column, Column]:
    """Time, price and size of one side of a quote; blank where nobody bids or offers, since 0 is a price."""
    return (
        Column(f"{name}_timestamp", "BIGINT", f"When the best {word} was made.", NS, required=False),
        Column(f"{name}_price", "DOUBLE", f"Best {word}; blank if there is none.", PRICE, required=False),
        Column(f"{name}_size", "DOUBLE", f"Size of the best {word}; blank if there is none.", "contracts", required=False, low=0),
    )


FUTURES_QUOTES = Table(
    name="futures_quotes",
    doc="Every change of the best bid and offer of a futures contract; one or both sides may be blank.",
    asset="futures",
    kind="ticks",
    feeds=feeds("quotes_v1"),
    vendor=(
        TICKER,
        TIMESTAMP_NS,
        SEQUENCE_NUMBER,
        REPORT_SEQUENCE,
        *side("ask", "offer"),
        *side("bid", "bid"),
        EXCHANGE,
        SESSION_END_DATE,
    ),
    key=("ticker", "timestamp_ns", "sequence_number", "report_sequence"),
    time="timestamp_ns",
    chunks=("day",),
    calendar="CMES",
    starts=date(2017, 4, 3),
    zone=CHICAGO,
    stray=(4, 1),
    same_day="session_end_date",
    source=SPEEDUP,
)

TABLES = (FUTURES_SESSION, FUTURES_MINUTE, FUTURES_TRADES, FUTURES_QUOTES)
