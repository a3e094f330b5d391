"""Day bars of tickers that traded in no minute of a session of which minutes landed: what `market_data.ohlcv` shows beside those minutes.

They stand in `stock_day`, too, of which this is a copy that is small: without it, every query would have to look for them.
"""

from workbench.tables.spec import Table
from workbench.tables.stocks import STOCK_DAY

LONE_DAYS = Table(
    name="lone_days",
    doc="Day bars of stocks, of sessions and tickers of which stock_minute holds the session and no bar of the ticker; also in stock_day.",
    asset="derived",
    kind="bars",
    feeds=(),
    vendor=STOCK_DAY.vendor,
    key=STOCK_DAY.key,
    time=STOCK_DAY.time,
    chunks=("month", "year"),
    ranges=1,
    calendar=STOCK_DAY.calendar,
    starts=STOCK_DAY.starts,
    source="rows of stock_day, compared with stock_minute at the end of each refresh",
)
