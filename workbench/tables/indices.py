"""Indices: values and bars from the index providers. Nothing is traded, so there is no volume; a value may be negative."""

from datetime import date

from workbench.tables.common import NS, SPEEDUP, WINDOW_START, prices, ticker
from workbench.tables.spec import Column, Feed, Table

SOURCE = f"massive.com/docs/flat-files/indices; {SPEEDUP}"

TICKER = ticker("Index: I:SPX, I:NDX.")
# Spreads, returns and volatility indices go below zero.
BAR = (TICKER, *prices("value in the window", "index points", low=None), WINDOW_START)

INDEX_DAY = Table(
    name="index_day",
    doc="One bar per index and session.",
    asset="indices",
    kind="bars",
    feeds=(Feed("us_indices/day_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "year"),
    ranges=1,
    calendar="XNYS",
    starts=date(2023, 2, 14),
    source=SOURCE,
)

INDEX_MINUTE = Table(
    name="index_minute",
    doc="One bar per index and minute in which a value was published.",
    asset="indices",
    kind="bars",
    feeds=(Feed("us_indices/minute_aggs_v1"),),
    vendor=BAR,
    key=("ticker", "window_start"),
    time="window_start",
    chunks=("month", "quarter"),
    rollup="index_day",
    calendar="XNYS",
    starts=date(2023, 2, 14),
    source=SOURCE,
)

# A provider may publish the same value twice with one stamp: there is no key.
INDEX_VALUES = Table(
    name="index_values",
    doc="Every published value of an index. Identical rows are separate publications.",
    asset="indices",
    kind="ticks",
    feeds=(Feed("us_indices/values_v1"),),
    vendor=(
        TICKER,
        Column("value", "DOUBLE", "Value of the index.", "index points"),
        Column("timestamp_ns", "BIGINT", "When the value was published.", NS, csv="timestamp"),
    ),
    key=(),
    time="timestamp_ns",
    chunks=("day",),
    rollup="index_minute",
    calendar="XNYS",
    starts=date(2023, 2, 14),
    source=SPEEDUP,
)

TABLES = (INDEX_DAY, INDEX_MINUTE, INDEX_VALUES)
