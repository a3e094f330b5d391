"""Foreign exchange: quotes of major institutions, and bars made from them. A session is a UTC day.

Nobody reports forex trades, so bars come from the best bid and offer. No real bar file's header was seen: the bars are declared
like those of crypto, and a file with another header goes to quarantine.
"""

from datetime import date

from workbench.tables.common import NS, SPEEDUP, WINDOW_START, best, prices, ticker, volume
from workbench.tables.spec import Column, Feed, Table

TICKER = ticker("Pair: C:EUR-USD is the price of one euro in dollars; the REST API writes C:EURUSD.")
RATE = "units of the second currency"
BAR = (
    TICKER,
    volume("What the vendor counts as volume; presumably quotes, since no trades are reported.", "quotes, presumably"),
    *prices("rate in the window", RATE),
    WINDOW_START,
    Column("transactions", "BIGINT", "Quotes in the window, presumably.", "quotes, presumably", required=False, low=0),
)
UNSEEN = "no real file seen; assumed to be the header of crypto bars"

ASK_EXCHANGE, ASK_PRICE, _ = best("ask", RATE, "")
BID_EXCHANGE, BID_PRICE, _ = best("bid", RATE, "")

FOREX_DAY = Table(
    name="forex_day",
    doc="One bar per currency pair and UTC day.",
    asset="forex",
    kind="bars",
    feeds=(Feed("global_forex/day_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "year"),
    ranges=1,
    calendar="24/5",
    starts=date(2009, 9, 25),
    zone="UTC",
    confirmed=False,
    source=UNSEEN,
)

FOREX_MINUTE = Table(
    name="forex_minute",
    doc="One bar per currency pair and minute with a quote.",
    asset="forex",
    kind="bars",
    feeds=(Feed("global_forex/minute_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "quarter"),
    rollup="forex_day",
    calendar="24/5",
    starts=date(2009, 9, 25),
    zone="UTC",
    confirmed=False,
    source=UNSEEN,
)

# Two institutions may quote the same prices at one instant, and nothing numbers the rows: there is no key.
FOREX_QUOTES = Table(
    name="forex_quotes",
    doc="Every quote of a currency pair. Identical rows are separate quotes.",
    asset="forex",
    kind="ticks",
    feeds=(Feed("global_forex/quotes_v1"),),
    vendor=(
        TICKER,
        ASK_EXCHANGE,
        ASK_PRICE,
        BID_EXCHANGE,
        BID_PRICE,
        Column("participant_timestamp", "BIGINT", "When the institution made the quote.", NS),
    ),
    key=(),
    time="participant_timestamp",
    chunks=("day",),
    calendar="24/5",
    starts=date(2009, 9, 25),
    zone="UTC",
    source=SPEEDUP,
)

TABLES = (FOREX_DAY, FOREX_MINUTE, FOREX_QUOTES)
