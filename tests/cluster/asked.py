"""The queries that Spark answers as DuckDB does: those that the documents show, the examples of views, and the questions of the benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass

from documents import DOCUMENTS, plain, statements
from test_old_queries import QUERIES

from workbench.query.documented import every
from workbench.tables.platforms import PLATFORMS

COLUMNS = "symbol, timestamp, open, high, low, close, volume, trades_count, timeframe"
BARS = "ticker, date, timestamp, open, high, low, close, volume"
# What `tests/benchmarks` asks in SQL, of this lake's tickers and days; {day} is its newest session of minutes.
BENCHMARKS = (
    f"SELECT {BARS} FROM stock_minute WHERE ticker = 'AAPL'",
    "SELECT avg(close) FROM stock_minute WHERE ticker = 'AAPL'",
    "SELECT ticker, avg(close) AS a FROM stock_minute WHERE ticker IN ('AAPL', 'MSFT', 'SPY') GROUP BY ticker",
    "SELECT ticker, avg(close) AS a FROM stock_minute JOIN (VALUES ('AAPL'), ('MSFT')) AS wanted(ticker) USING (ticker) GROUP BY ticker",
    "SELECT ticker, count(*) AS n FROM stock_minute WHERE date > '2024-01-01' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 800",
    f"SELECT {BARS} FROM stock_day WHERE ticker = 'AAPL'",
    f"SELECT {BARS} FROM stock_day WHERE date = '{{day}}'",
    f"SELECT {BARS} FROM stock_minute WHERE date = '{{day}}'",
    "SELECT ticker, date, arg_min(open, timestamp) AS o, max(high) AS h, min(low) AS l, arg_max(close, timestamp) AS c, sum(volume) AS v "
    "FROM stock_minute WHERE date <= '{day}' GROUP BY ALL",
    "SELECT * FROM stock_minute LIMIT 5",
    "DESCRIBE stock_minute",
    "SELECT avg(close), count(*) FROM stock_minute WHERE ticker = 'AAPL' AND date >= '{day}'",
    f"SELECT {COLUMNS} FROM market_data.ohlcv WHERE symbol = 'AAPL' ORDER BY timestamp DESC LIMIT 1",
    "SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1",
    f"SELECT {COLUMNS} FROM market_data.ohlcv WHERE symbol = 'AAPL' ORDER BY timestamp DESC LIMIT 500",
    "SELECT * FROM market_data.ohlcv WHERE symbol = 'AAPL' AND timestamp >= '{day}' AND timestamp < '{day}'::DATE + 1",
    f"SELECT {COLUMNS} FROM market_data.ohlcv WHERE symbol = 'AAPL' AND timestamp::date = '{{day}}'",
    "SELECT * FROM market_data.ohlcv_daily WHERE symbol = 'AAPL' AND day BETWEEN '{day}'::DATE - 30 AND '{day}' ORDER BY day",
    "SELECT sum(volume) AS v FROM market_data.ohlcv WHERE symbol = 'AAPL'",
    f"SELECT {BARS} FROM adjusted_bars('AAPL', bar_size := '1d', adjust := 'splits')",
    f"SELECT {BARS} FROM resampled_bars('AAPL', '5m', adjust := 'none')",
    "SELECT ticker, date, time_bucket(INTERVAL 5 MINUTE, timestamp) AS start, arg_min(open, timestamp) AS open, max(high) AS high, min(low) AS low, "
    "arg_max(close, timestamp) AS close, sum(volume) AS volume, sum(transactions)::BIGINT AS transactions FROM stock_minute "
    "WHERE ticker = 'AAPL' GROUP BY ALL",
    "SELECT t.*, bid_price, ask_price FROM stock_trades AS t ASOF LEFT JOIN stock_quotes AS q "
    "ON t.ticker = q.ticker AND t.sip_timestamp >= q.sip_timestamp WHERE t.ticker = 'IBM' AND t.sequence_number < 1000",
    "SELECT ticker, date, sip_timestamp, price, bid, ask FROM trades_with_quotes('IBM', '{day}')",
    "SELECT open, high, low, close, volume, transactions, vwap FROM bars_from_trades('IBM', '{day}')",
    "SELECT execution_date, split_from / split_to FROM splits WHERE duplicate_of IS NULL ORDER BY 1, 2",
    "SELECT count(*) FROM (SELECT ticker, date FROM stock_minute GROUP BY ALL HAVING sum(volume) > 1000)",
)


@dataclass(frozen=True)
class Asked:
    """A query, and the platform whose SQL it is."""

    text: str
    platform: str | None = None

    @property
    def name(self) -> str:
        """How it is listed."""
        return f"{self.platform or 'duckdb'}: {plain(self.text)[:110]}"


def queries(day: str) -> Iterator[Asked]:
    """Each of them once."""
    yield from dict.fromkeys(
        [
            *(Asked(text.replace("{day}", day)) for text in BENCHMARKS),
            *(Asked(text, platform) for platform, _, text in QUERIES),
            *(Asked(text, platform) for platform, text in documented()),
            *(
                Asked(text)
                for view in every().values()
                for text in view.examples
                if not text.startswith(f"SELECT * FROM {view.full} LIMIT")
            ),
        ]
    )


def documented() -> Iterator[tuple[str, str]]:
    """The statements of the old platforms' documents, where they are there."""
    for one in PLATFORMS.values():
        path = DOCUMENTS / f"{one.document}.txt"
        if one.document and path.exists():
            yield from ((one.name, text) for text in statements(path.read_text(encoding="utf-8")))
