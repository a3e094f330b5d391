"""Crypto: trades of several exchanges, and bars made from them. A session is a UTC day, every day of the year.

One downloader also lists `global_crypto/quotes_v1`; neither the vendor's documentation nor any other reader does, so it is not
declared.
"""

from datetime import date

from workbench.tables.common import NS, SPEEDUP, TRANSACTIONS, WINDOW_START, prices, ticker, volume
from workbench.tables.spec import Column, Era, Feed, Table

RETIRED = Era(
    date(2017, 1, 1),
    "until 2021-06-02, id 10 is a crypto exchange that the vendor no longer lists, and not NYSE",
    "https://github.com/polygon-io/issues/issues/294",
)

TICKER = ticker("Pair: X:BTC-USD is the price of one bitcoin in dollars; the REST API writes X:BTCUSD.")
PRICE = "units of the second currency"
BAR = (
    TICKER,
    volume("Coins traded in the window, with fractions.", "units of the first currency"),
    *prices("price in the window", PRICE),
    WINDOW_START,
    TRANSACTIONS,
)

CRYPTO_DAY = Table(
    name="crypto_day",
    doc="One bar per crypto pair and UTC day.",
    asset="crypto",
    kind="bars",
    feeds=(Feed("global_crypto/day_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "year"),
    ranges=1,
    calendar="24/7",
    starts=date(2013, 11, 1),
    zone="UTC",
    source=SPEEDUP,
)

CRYPTO_MINUTE = Table(
    name="crypto_minute",
    doc="One bar per crypto pair and minute with a trade.",
    asset="crypto",
    kind="bars",
    feeds=(Feed("global_crypto/minute_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "quarter"),
    rollup="crypto_day",
    calendar="24/7",
    starts=date(2013, 11, 1),
    zone="UTC",
    source=SPEEDUP,
)

# Exchanges number their trades in their own ways and no source says which columns are unique together: there is no key.
CRYPTO_TRADES = Table(
    name="crypto_trades",
    doc="Every trade of a crypto pair. Identical rows are kept: no source says which columns are unique.",
    asset="crypto",
    kind="ticks",
    feeds=(Feed("global_crypto/trades_v1"),),
    vendor=(
        TICKER,
        Column("conditions", "VARCHAR", "Condition ids as the vendor lists them: 1 sell side, 2 buy side.", required=False),
        Column("exchange", "SMALLINT", "The vendor's id of the exchange.", required=False, eras=(RETIRED,)),
        Column("id", "VARCHAR", "The exchange's trade id.", required=False),
        Column("participant_timestamp", "BIGINT", "When the exchange made the trade.", NS),
        Column("price", "DOUBLE", "Price.", PRICE, low=0),
        Column("size", "DOUBLE", "Coins, with fractions.", "units of the first currency", low=0),
    ),
    key=(),
    time="participant_timestamp",
    chunks=("day",),
    rollup="crypto_minute",
    calendar="24/7",
    starts=date(2013, 11, 1),
    zone="UTC",
    source=f"{SPEEDUP}; the row in polygon-io/issues 294",
)

TABLES = (CRYPTO_DAY, CRYPTO_MINUTE, CRYPTO_TRADES)
