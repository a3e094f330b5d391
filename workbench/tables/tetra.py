"""Tetra: a stack on TimescaleDB.

Its NUMERIC prices are DOUBLE here, for the vendor's are, and its BIGINT volumes too: vendor volumes count fractions of shares. VARCHAR(n) is VARCHAR,
whose length nothing limits.
"""

from dataclasses import replace
from datetime import UTC, datetime

from workbench.tables.record import Check, Field, Platform, Record

DOCUMENT = "003_72962f938d6e4cb9"

ID = Field("id", "UUID", "Number that tells the row apart.", default="gen_random_uuid()")
CREATED_AT = Field("created_at", "TIMESTAMPTZ", "When the row was written.", required=False, default="now()")
UPDATED_AT = Field("updated_at", "TIMESTAMPTZ", "When the row was last changed.", required=False, default="now()")

OHLCV = Record(
    schema="market_data",
    name="ohlcv",
    doc="Bars of stocks as traded: of a session minutes where they have landed, else day bars, so that nothing counts twice.",
    columns=(
        replace(ID, required=False),
        Field("symbol", "VARCHAR", "Ticker, as AAPL.", told="VARCHAR(20)"),
        Field("timestamp", "TIMESTAMPTZ", "Start of the bar; of a day bar, the start of the session's day in New York."),
        Field("open", "DOUBLE", "First price, USD.", told="NUMERIC(20,8)"),
        Field("high", "DOUBLE", "Highest price, USD.", told="NUMERIC(20,8)"),
        Field("low", "DOUBLE", "Lowest price, USD.", told="NUMERIC(20,8)"),
        Field("close", "DOUBLE", "Last price, USD.", told="NUMERIC(20,8)"),
        Field("volume", "DOUBLE", "Shares traded; fractions of shares count.", told="BIGINT"),
        Field("vwap", "DOUBLE", "Volume-weighted average price, USD; the vendor's bars have none.", required=False, told="NUMERIC(20,8)"),
        Field("trades_count", "BIGINT", "Count of trades.", required=False, told="INTEGER"),
        Field("timeframe", "VARCHAR", "1m for a minute, 1d for a session.", told="VARCHAR(10)"),
        Field("source", "VARCHAR", "Where the row came from.", told="VARCHAR(50)"),
        CREATED_AT,
        UPDATED_AT,
    ),
    key=("symbol", "timestamp"),
    # Those without a name in the document have the name that PostgreSQL gives them.
    checks=(
        *(Check(f"ohlcv_{price}_check", f"{price} > 0") for price in ("open", "high", "low", "close")),
        Check("ohlcv_volume_check", "volume >= 0"),
        Check("chk_high_low", "high >= low"),
        Check("chk_high_prices", "high >= open AND high >= close"),
        Check("chk_low_prices", "low <= open AND low <= close"),
    ),
    fed=("stock_minute", "stock_day"),
    example={
        "symbol": "AAPL",
        "timestamp": datetime(2024, 3, 7, 14, 30, tzinfo=UTC),
        "open": 169.15,
        "high": 169.4,
        "low": 169.0,
        "close": 169.3,
        "volume": 1523000.0,
        "vwap": 169.22,
        "trades_count": 11042,
        "timeframe": "1m",
        "source": "polygon_s3",
    },
    document=DOCUMENT,
)

OHLCV_DAILY = Record(
    schema="market_data",
    name="ohlcv_daily",
    doc="Sessions of stocks, from `ohlcv`: pre-market and post-market count, as in the document.",
    columns=(
        Field("symbol", "VARCHAR", "Ticker, as AAPL."),
        Field("day", "TIMESTAMPTZ", "Start of the session's day in New York."),
        Field("open", "DOUBLE", "First price, USD."),
        Field("high", "DOUBLE", "Highest price, USD."),
        Field("low", "DOUBLE", "Lowest price, USD."),
        Field("close", "DOUBLE", "Last price, USD."),
        Field("volume", "DOUBLE", "Shares traded; fractions of shares count."),
        Field("vwap", "DOUBLE", "Mean of the bars' vwap, USD; NULL where no bar has one.", required=False),
    ),
    key=("symbol", "day"),
    fed=("stock_minute", "stock_day"),
    takes_rows=False,
    example={
        "symbol": "AAPL",
        "day": datetime(2024, 3, 7, 5, 0, tzinfo=UTC),
        "open": 169.15,
        "high": 170.73,
        "low": 168.49,
        "close": 169.0,
        "volume": 71765061.0,
    },
    document=DOCUMENT,
)

OHLCV_ARCHIVE = replace(
    OHLCV,
    name="ohlcv_archive",
    doc="Bars that retention took out of `ohlcv` and keeps.",
    fed=("ohlcv_archive",),
    takes_rows=False,
)

ECONOMIC_DATA = Record(
    schema="economic_data",
    name="economic_data",
    doc="Series of economic figures, a row per series and date.",
    columns=(
        replace(ID, required=False),
        Field("symbol", "VARCHAR", "FRED's name of the series, as GDPC1.", told="VARCHAR(50)"),
        Field("date", "TIMESTAMPTZ", "The date that the value is for, at its start in New York."),
        Field("value", "DOUBLE", "The value, in the unit of the series.", told="NUMERIC(20,8)"),
        Field("is_preliminary", "BOOLEAN", "Whether it may yet be revised.", required=False, default="false"),
        Field("revision_date", "TIMESTAMPTZ", "When it was last revised.", required=False),
        Field("source", "VARCHAR", "Where the value came from.", default="'FRED'", told="VARCHAR(50)"),
        CREATED_AT,
        UPDATED_AT,
    ),
    key=("symbol", "date"),
    fed=("economic_series",),
    example={
        "symbol": "GDPC1",
        "date": datetime(2024, 1, 1, 5, 0, tzinfo=UTC),
        "value": 22768.866,
        "is_preliminary": False,
        "source": "FRED",
    },
    document=DOCUMENT,
)

NEWS_ARTICLES = Record(
    schema="news",
    name="news_articles",
    doc="News on companies and markets, a row per article.",
    columns=(
        ID,
        Field("title", "VARCHAR", "Its title.", told="TEXT"),
        Field("description", "VARCHAR", "What it says, in short.", required=False, told="TEXT"),
        Field("content", "VARCHAR", "Its text; the vendor gives none.", required=False, told="TEXT"),
        Field("url", "VARCHAR", "Its address.", told="TEXT"),
        Field("source", "VARCHAR", "Who published it.", required=False, told="VARCHAR(100)"),
        Field("author", "VARCHAR", "Who wrote it.", required=False, told="VARCHAR(200)"),
        Field("published_at", "TIMESTAMPTZ", "When it was published."),
        CREATED_AT,
    ),
    key=("id",),
    unique=(("url",),),
    fed=("news_items",),
    example={
        "title": "Apple opens a shop",
        "description": "The company opened a shop today.",
        "url": "https://example.com/apple-opens-a-shop",
        "source": "Example",
        "author": "A. Writer",
        "published_at": datetime(2024, 3, 7, 13, 0, tzinfo=UTC),
    },
    document=DOCUMENT,
)

EVENT_DATA = Record(
    schema="events",
    name="event_data",
    doc="Events of companies and of the economy: what was due, expected and told.",
    columns=(
        ID,
        Field("event_type", "VARCHAR", "Kind of event, as earnings.", told="VARCHAR(50)"),
        Field("event_datetime", "TIMESTAMPTZ", "When it is, or was."),
        Field("event_name", "VARCHAR", "Its name.", told="VARCHAR(200)"),
        Field("description", "VARCHAR", "What it is about.", required=False, told="TEXT"),
        Field("impact_level", "INTEGER", "How much it may move prices, from 1, little, to 4.", required=False),
        Field("symbol", "VARCHAR", "The ticker that it is about, if one.", required=False, told="VARCHAR(20)"),
        Field("currency", "VARCHAR", "Currency of the figures, as USD.", required=False, told="VARCHAR(10)"),
        Field("country", "VARCHAR", "The country that it is about, as US.", required=False, told="VARCHAR(10)"),
        Field("actual", "DOUBLE", "The figure as told.", required=False, told="NUMERIC(20,8)"),
        Field("forecast", "DOUBLE", "The figure as expected.", required=False, told="NUMERIC(20,8)"),
        Field("previous", "DOUBLE", "The figure of the time before.", required=False, told="NUMERIC(20,8)"),
        Field("source", "VARCHAR", "Where the row came from.", told="VARCHAR(50)"),
        CREATED_AT,
    ),
    key=("id",),
    checks=(Check("event_data_impact_level_check", "impact_level BETWEEN 1 AND 4"),),
    fed=("calendar_events",),
    example={
        "event_type": "economic",
        "event_datetime": datetime(2024, 3, 8, 13, 30, tzinfo=UTC),
        "event_name": "Nonfarm payrolls",
        "impact_level": 4,
        "currency": "USD",
        "country": "US",
        "actual": 275.0,
        "forecast": 200.0,
        "previous": 229.0,
        "source": "import",
    },
    document=DOCUMENT,
)

PLATFORM = Platform(
    name="tetra",
    title="Tetra: a stack on TimescaleDB.",
    document=DOCUMENT,
    schemas=("market_data", "economic_data", "news", "events", "derived", "strategies", "execution"),
    dialect="postgres",
    aliases=(),
    records=(OHLCV, OHLCV_DAILY, OHLCV_ARCHIVE, ECONOMIC_DATA, NEWS_ARTICLES, EVENT_DATA),
)
