"""US options: the consolidated tape of all option exchanges (OPRA), bars, trades and quotes.

A contract's ticker is `O:`, the underlying, the expiry as YYMMDD, C or P, and the strike in thousandths of a dollar:
O:SPY230327P00390000. Sizes count contracts, usually of 100 shares.
"""

from datetime import date

from workbench.tables.common import (
    CORRECTION,
    EXCHANGE,
    NS,
    SEQUENCE_NUMBER,
    SPEEDUP,
    TRANSACTIONS,
    WINDOW_START,
    best,
    prices,
    ticker,
    volume,
)
from workbench.tables.spec import Column, Era, Feed, Table

SALE_CONDITIONS = Era(
    date(2019, 11, 4),
    "blank before in the files of 2024: the vendor had left out OPRA's older conditions",
    "https://github.com/polygon-io/issues/issues/292",
)

TICKER = ticker("Contract: O:SPY230327P00390000 is the SPY put of 2023-03-27 with strike 390.")
BAR = (
    TICKER,
    volume("Contracts traded in the window.", "contracts"),
    *prices("eligible price per share in the window, as traded", "USD"),
    WINDOW_START,
    TRANSACTIONS,
)
SIP_TIMESTAMP = Column("sip_timestamp", "BIGINT", "When OPRA published the record; older trades to the millisecond.", NS)

OPTION_DAY = Table(
    name="option_day",
    doc="One bar per option contract and session in which it traded.",
    asset="options",
    kind="bars",
    feeds=(Feed("us_options_opra/day_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "year"),
    calendar="XNYS",
    starts=date(2014, 6, 2),
    source=f"massive.com/docs/flat-files/options; {SPEEDUP}",
)

OPTION_MINUTE = Table(
    name="option_minute",
    doc="One bar per option contract and minute with an eligible trade.",
    asset="options",
    kind="bars",
    feeds=(Feed("us_options_opra/minute_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "quarter"),
    rollup="option_day",
    calendar="XNYS",
    starts=date(2014, 6, 2),
    source=f"massive.com/docs/flat-files/options; {SPEEDUP}",
)

# Trades carry neither an id nor a sequence number, and one order filled in parts prints the same row twice: there is no key.
OPTION_TRADES = Table(
    name="option_trades",
    doc="Every reported option trade. Identical rows are separate trades.",
    asset="options",
    kind="ticks",
    feeds=(Feed("us_options_opra/trades_v1"),),
    vendor=(
        TICKER,
        Column("conditions", "VARCHAR", "Condition ids as the vendor lists them.", required=False, eras=(SALE_CONDITIONS,)),
        CORRECTION,
        EXCHANGE,
        Column("participant_timestamp", "BIGINT", "When the exchange made the record; most files lack it.", NS, required=False),
        Column("price", "DOUBLE", "Price per share of the underlying, as traded.", "USD", low=0),
        SIP_TIMESTAMP,
        Column("size", "DOUBLE", "Contracts.", "contracts", low=0),
    ),
    key=(),
    time="sip_timestamp",
    chunks=("day",),
    rollup="option_minute",
    calendar="XNYS",
    starts=date(2014, 6, 2),
    source=f"{SPEEDUP}, and the row in polygon-io/issues 292 (short header); massive.com/docs/flat-files/options (full header)",
    short_headers=(("ticker", "conditions", "correction", "exchange", "price", "sip_timestamp", "size"),),
)

OPTION_QUOTES = Table(
    name="option_quotes",
    doc="Every change of the best bid and offer of an option contract; one or both sides may be empty (0).",
    asset="options",
    kind="ticks",
    feeds=(Feed("us_options_opra/quotes_v1"),),
    vendor=(
        TICKER,
        *best("ask", "USD", "contracts"),
        *best("bid", "USD", "contracts"),
        SEQUENCE_NUMBER,
        SIP_TIMESTAMP,
    ),
    key=("ticker", "sip_timestamp", "sequence_number"),
    time="sip_timestamp",
    chunks=("day",),
    calendar="XNYS",
    starts=date(2022, 3, 7),
    source=f"massive.com/docs/flat-files/options; {SPEEDUP}",
)

TABLES = (OPTION_DAY, OPTION_MINUTE, OPTION_TRADES, OPTION_QUOTES)
