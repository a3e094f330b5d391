"""US stocks: the consolidated tape of all exchanges (SIP), bars, trades and quotes.

Headers and types are confirmed on real files; sizes and volumes are DOUBLE because they are fractional since 2026-02-23.
"""

from datetime import date

from workbench.tables.common import (
    CORRECTION,
    EXCHANGE,
    NS,
    SEQUENCE_NUMBER,
    TRANSACTIONS,
    WINDOW_START,
    best,
    prices,
    ticker,
    volume,
)
from workbench.tables.spec import Column, Era, Feed, Table

FRACTIONAL = Era(
    date(2026, 2, 23),
    "whole numbers before, up to six decimals since",
    "github.com/massive-com/community, examples/rest/fractional-share-precision",
)
SHARES = Era(
    date(2025, 11, 3),
    "round lots before, shares since; files published again later may hold shares for older dates",
    "SEC Market Data Infrastructure rules; github.com/oscmcompany/fund/pull/1155",
)
SOURCE = "massive.com/docs/flat-files/stocks; the files that several public projects read"

TICKER = ticker("Symbol of that day; case matters: BACpB is not BACPB.")
BAR = (
    TICKER,
    volume("Shares traded in the window.", "shares", eras=(FRACTIONAL,)),
    *prices("eligible price in the window, as traded", "USD"),
    WINDOW_START,
    TRANSACTIONS,
)

CONDITIONS = Column("conditions", "VARCHAR", "Condition ids as the vendor lists them: blank, 12 or 12,37.", required=False)
SIP_TIMESTAMP = Column("sip_timestamp", "BIGINT", "When the SIP published the record.", NS)
PARTICIPANT = Column(
    "participant_timestamp",
    "BIGINT",
    "When the exchange made the record; 0 in the oldest files, hours before the SIP's time for late reports.",
    NS,
    required=False,
)
TAPE = Column("tape", "SMALLINT", "1 = A (NYSE listed), 2 = B (Arca, American and others), 3 = C (Nasdaq listed).", required=False)
TRF_TIMESTAMP = Column("trf_timestamp", "BIGINT", "When the trade reporting facility received the report; 0 if none.", NS, required=False)

STOCK_DAY = Table(
    name="stock_day",
    doc="One bar per stock ticker and session, from all US exchanges, unadjusted. Prices are of the regular session; volume includes extended hours.",
    asset="stocks",
    kind="bars",
    feeds=(Feed("us_stocks_sip/day_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "year"),
    ranges=1,
    calendar="XNYS",
    starts=date(2003, 9, 10),
    source=SOURCE,
)

STOCK_MINUTE = Table(
    name="stock_minute",
    doc="One bar per stock ticker and minute with an eligible trade, 04:00 to 20:00 New York, unadjusted.",
    asset="stocks",
    kind="bars",
    feeds=(Feed("us_stocks_sip/minute_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "quarter"),
    rollup="stock_day",
    calendar="XNYS",
    starts=date(2003, 9, 10),
    source=SOURCE,
)

STOCK_TRADES = Table(
    name="stock_trades",
    doc="Every reported trade, corrections and cancelled trades included.",
    asset="stocks",
    kind="ticks",
    feeds=(Feed("us_stocks_sip/trades_v1"),),
    vendor=(
        TICKER,
        CONDITIONS,
        CORRECTION,
        EXCHANGE,
        Column("id", "VARCHAR", "Trade id, unique per ticker, exchange and reporting facility; text before about 2017.", required=False),
        PARTICIPANT,
        Column("price", "DOUBLE", "Price per share, as traded; 0 occurs.", "USD", low=0),
        SEQUENCE_NUMBER,
        SIP_TIMESTAMP,
        Column("size", "DOUBLE", "Shares; 0 occurs.", "shares", low=0, eras=(FRACTIONAL,)),
        TAPE,
        Column("trf_id", "SMALLINT", "Trade reporting facility: 201 NYSE, 202 Nasdaq Carteret, 203 Nasdaq Chicago.", required=False),
        TRF_TIMESTAMP,
    ),
    key=("ticker", "sip_timestamp", "sequence_number"),
    time="sip_timestamp",
    chunks=("day",),
    rollup="stock_minute",
    calendar="XNYS",
    starts=date(2003, 9, 10),
    source=SOURCE,
)

STOCK_QUOTES = Table(
    name="stock_quotes",
    doc="Every change of the national best bid and offer, from before 04:00 New York on; one or both sides may be empty (0).",
    asset="stocks",
    kind="ticks",
    feeds=(Feed("us_stocks_sip/quotes_v1"),),
    vendor=(
        TICKER,
        *best("ask", "USD", "see size_unit", eras=(SHARES, FRACTIONAL)),
        *best("bid", "USD", "see size_unit", eras=(SHARES, FRACTIONAL)),
        CONDITIONS,
        Column("indicators", "VARCHAR", "Indicator ids as the vendor lists them: blank, 1 or a list.", required=False),
        PARTICIPANT,
        SEQUENCE_NUMBER,
        SIP_TIMESTAMP,
        TAPE,
        TRF_TIMESTAMP,
    ),
    key=("ticker", "sip_timestamp", "sequence_number"),
    time="sip_timestamp",
    chunks=("day",),
    calendar="XNYS",
    starts=date(2003, 9, 10),
    source=SOURCE,
    size_unit=True,
)

TABLES = (STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, STOCK_QUOTES)
