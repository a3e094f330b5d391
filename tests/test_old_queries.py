"""Old queries of the shapes that the old platforms' documents show, written anew: after `bench.use` they answer, and right.

The bot's are as its ORM sends them to SQLite, with their values written in.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import duckdb
import oldanswers as must
import pytest
from documents import plain, statements
from oldanswers import Check
from oldlake import FRIDAY, OldLake, opened

from workbench.bench import Workbench
from workbench.errors import QueryError
from workbench.query.documented import every


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldLake]:
    with opened(tmp_path_factory.mktemp("old")) as made:
        yield made


@pytest.fixture
def old(lake: OldLake) -> Iterator[OldLake]:
    yield lake
    lake.bench.use(None)


# ---------------------------------------------------------------------- bars and the lake

QUERIES: list[tuple[str, Check, str]] = [
    ("tetra", must.one, "select 1;"),
    ("tetra", must.totals, "SELECT count(*) AS n, min(o.timestamp)::date, max(o.timestamp)::date FROM market_data.ohlcv AS o"),
    ("tetra", must.totals, "SELECT COUNT(*), DATE(MIN(timestamp)), CAST(MAX(timestamp) AS DATE) FROM ohlcv"),
    (
        "tetra",
        must.latest,
        "SELECT * FROM ohlcv WHERE symbol = 'AAPL' AND timestamp > now() - interval '40 days' ORDER BY timestamp DESC LIMIT 1",
    ),
    (
        "tetra",
        must.latest,
        "SELECT DISTINCT ON (symbol) * FROM market_data.ohlcv WHERE symbol IN ('AAPL', 'MSFT') ORDER BY symbol, timestamp DESC",
    ),
    (
        "tetra",
        must.daily,
        """
        SELECT time_bucket(INTERVAL '1 day', b.timestamp) AS day, b.symbol, first(b.open, b.timestamp), max(b.high), min(b.low),
               last(b.close, b.timestamp), sum(b.volume)
        FROM market_data.ohlcv b WHERE b.timestamp >= CURRENT_TIMESTAMP - INTERVAL '1 month' GROUP BY 1, 2 ORDER BY 1 DESC
        """,
    ),
    (
        "tetra",
        must.daily,
        "SELECT day::date, symbol, open, high, low, close, volume FROM market_data.ohlcv_daily WHERE day > now() - '30 days'::interval ORDER BY day DESC",
    ),
    (
        "tetra",
        must.gaps,
        """
        SELECT d::date FROM generate_series('2024-01-01'::date, CURRENT_DATE, '1 day'::interval) AS d
        WHERE EXTRACT(ISODOW FROM d) < 6
          AND NOT EXISTS (SELECT 1 FROM market_data.ohlcv b WHERE b.symbol = 'AAPL' AND b.timestamp::date = d::date)
        """,
    ),
    ("tetra", must.megabytes, "SELECT pg_database_size(current_database()) / 1024 / 1024"),
    ("tetra", must.whole, "SELECT pg_size_pretty(pg_database_size('tetra')) AS size"),
    (
        "tetra",
        must.sizes,
        """
        SELECT t.schemaname, t.tablename, pg_size_pretty(pg_total_relation_size(t.schemaname || '.' || t.tablename))
        FROM pg_catalog.pg_tables t ORDER BY pg_total_relation_size(t.schemaname || '.' || t.tablename) DESC
        """,
    ),
    (
        "tetra",
        must.chunks,
        """
        SELECT c.hypertable_name, c.chunk_name, pg_size_pretty(c.total_bytes), c.range_start, c.range_end
        FROM timescaledb_information.hypertables h JOIN timescaledb_information.chunks c USING (hypertable_schema, hypertable_name)
        WHERE h.hypertable_schema = 'market_data' AND h.hypertable_name = 'ohlcv' ORDER BY c.range_start DESC
        """,
    ),
    (
        "tetra",
        must.compressed,
        """
        SELECT hypertable_name, chunk_name, compression_status, pg_size_pretty(before_compression_total_bytes),
               pg_size_pretty(after_compression_total_bytes)
        FROM timescaledb_information.chunks WHERE is_compressed
        """,
    ),
    ("tetra", must.slowest, "SELECT query, calls, total_time, mean_time FROM pg_stat_statements ORDER BY total_time DESC LIMIT 5"),
    ("kraken_bot", must.tables, ".tables"),
    ("kraken_bot", must.tables, "SELECT name FROM sqlite_master WHERE type = 'table'"),
    ("kraken_bot", must.production_signals, "SELECT * FROM signals WHERE test_mode = FALSE"),
    ("kraken_bot", must.production_signals, "SELECT * FROM kraken_bot.signals WHERE NOT test_mode ORDER BY id DESC"),
    ("tetra", must.answered, "SELECT create_hypertable('market_data.ohlcv', 'timestamp')"),
    ("tetra", must.answered, "SELECT add_retention_policy('market_data.ohlcv', INTERVAL '5 years')"),
    ("tetra", must.answered, "SELECT compress_chunk(i) FROM show_chunks('market_data.ohlcv', older_than => INTERVAL '14 days') AS i"),
    ("tetra", must.answered, "CREATE INDEX ON market_data.ohlcv (symbol, timestamp DESC)"),
    ("tetra", must.answered, "GRANT SELECT ON market_data.ohlcv TO somebody"),
    ("ampyfin", must.answered, "CREATE INDEX i ON price_data(ticker)"),
    ("layers", must.answered, "CREATE USER reader WITH PASSWORD 'x'"),
]


@pytest.mark.parametrize(("platform", "check", "query"), QUERIES, ids=lambda told: plain(told)[:60] if isinstance(told, str) else "")
def test_an_old_query_answers_and_right(old: OldLake, platform: str, check: Check, query: str) -> None:
    check(old, old.bench.use(platform).sql(query))


def test_each_layer_asks_for_its_own_tables(old: OldLake) -> None:
    """The same bars under the names of the other platforms; days of theirs are what the day files say, minutes or not."""
    shrek = old.bench.use("shrek").sql("SELECT date, close FROM stock_prices WHERE symbol = 'AAPL' ORDER BY date DESC LIMIT 2").fetchall()
    ampyfin = (
        old.bench.use("ampyfin")
        .sql("SELECT date, volume FROM price_data WHERE ticker = 'IBM' AND date >= '2024-01-05' ORDER BY date")
        .fetchall()
    )

    assert shrek == [(old.newest, 41), (old.both, 2)]
    assert ampyfin == [(FRIDAY, 700), (old.both, 700), (old.newest, 800)]


# ---------------------------------------------------------------------- the bot

SIGNAL = "signals.id AS signals_id, signals.symbol AS signals_symbol, signals.final_signal AS signals_final_signal"
TRADE = "trades.id AS trades_id, trades.signal_id AS trades_signal_id, trades.action AS trades_action"


def asked(old: OldLake, query: str) -> list[tuple[object, ...]]:
    return sorted(old.bench.use("kraken_bot").sql(query).fetchall(), key=str)


def test_production_and_test_rows_are_told_apart(old: OldLake) -> None:
    assert asked(old, f"SELECT {TRADE} \nFROM trades \nWHERE trades.test_mode = 0") == [(1, 1, "BUY"), (2, 1, "SELL")]
    assert asked(old, f"SELECT {TRADE} \nFROM trades \nWHERE trades.test_mode = 1") == [(3, 3, "SELL"), (4, None, "BUY")]
    assert asked(old, f"SELECT {SIGNAL} \nFROM signals \nWHERE signals.test_mode = 0 \n LIMIT 10 OFFSET 0") == [
        (1, "BTCUSD", "BUY"),
        (2, "ETHUSD", "HOLD"),
    ]


def test_a_signals_trades_are_found_by_it(old: OldLake) -> None:
    [(first, *_)] = asked(old, f"SELECT {SIGNAL} \nFROM signals ORDER BY signals.id\n LIMIT 1 OFFSET 0")
    assert asked(old, f"SELECT {TRADE} \nFROM trades \nWHERE {first} = trades.signal_id") == [(1, 1, "BUY"), (2, 1, "SELL")]


def test_signals_are_joined_with_their_trades_and_those_without_any_stay(old: OldLake) -> None:
    query = f"SELECT {SIGNAL}, {TRADE} \nFROM signals LEFT OUTER JOIN trades ON signals.id = trades.signal_id \nWHERE signals.test_mode = 0"
    assert asked(old, query) == [
        (1, "BTCUSD", "BUY", 1, 1, "BUY"),
        (1, "BTCUSD", "BUY", 2, 1, "SELL"),
        (2, "ETHUSD", "HOLD", None, None, None),
    ]


def test_trades_of_the_last_day_come_newest_first(old: OldLake) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    query = "SELECT trades.id AS trades_id \nFROM trades \nWHERE trades.test_mode = 0 AND trades.timestamp >= $since ORDER BY trades.timestamp DESC"
    assert old.bench.use("kraken_bot").sql(query, since=yesterday).fetchall() == [(1,)]
    whole = old.bench.sql(query.replace("trades.test_mode = 0 AND ", ""), since=yesterday).fetchall()
    assert whole == [(1,), (3,), (4,)]


def test_tables_are_counted_as_the_bot_counted_them(old: OldLake) -> None:
    counts = old.bench.table_counts("kraken_bot")
    assert (counts["signals"], counts["prod_trades"], counts["test_trades"]) == (3, 2, 2)
    found = asked(old, "SELECT test_mode, count(*) FROM trades GROUP BY test_mode UNION ALL SELECT NULL, count(*) FROM holdings")
    assert found == sorted([(False, 2), (True, 2), (None, 0)], key=str)


# ---------------------------------------------------------------------- nothing in use


def test_without_a_platform_sql_is_duckdbs_own(old: OldLake) -> None:
    old.bench.use("tetra").sql("SELECT 1").fetchall()
    old.bench.use(None)
    assert old.bench.sql("SELECT first(x), first(x ORDER BY x DESC) FROM (VALUES (1), (2)) AS t(x)").fetchall() == [(1, 2)]
    assert old.bench.sql("SELECT generate_series(1, 3)").fetchall() == [([1, 2, 3],)]
    assert old.bench.sql("SELECT 7 / 2, date '2024-01-05' - 1").fetchall() == [(3.5, date(2024, 1, 4))]
    assert old.bench.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'ohlcv'").fetchall() == [(0,)]
    with pytest.raises(QueryError):
        old.bench.sql("SELECT pg_total_relation_size('market_data.ohlcv')")


def test_a_column_that_bears_a_documented_tables_name_declares_nothing(old: OldLake) -> None:
    with duckdb.connect() as own:
        frame = own.sql("SELECT 1 AS trades, 2 AS orders, 3 AS chunks").to_arrow_table()
    with opened_beside(old) as bench:
        assert bench.sql("SELECT trades, orders, chunks FROM frame").fetchall() == [(1, 2, 3)]
        names = {"trades", "orders", "chunks"} & {view.name for view in every().values()}
        with bench.catalog._con.cursor() as ours:
            found = ours.execute("SELECT count(*) FROM duckdb_views() WHERE view_name IN $names", {"names": sorted(names)}).fetchall()
        assert len(names) == 3
        assert found == [(0,)]
    assert len(frame) == 1


def opened_beside(old: OldLake) -> Workbench:
    return Workbench(old.bench.settings)


# ---------------------------------------------------------------------- how documents are read


def test_statements_are_found_wherever_a_document_has_them() -> None:
    told = """
```sql
-- Two; one with a comment
SELECT 1; -- the first
SELECT 2
FROM t;
-- nothing
```
text ; SELECT 3;
1. A list
   ```sql
   ALTER SYSTEM SET a = 1;
   ```
```bash
docker exec box psql -U me -d it -c \\
  "SELECT count(*)::int FROM x;"
# sqlite3
sqlite3 it.db
.tables
SELECT * FROM y LIMIT 1;
.quit
```
```python
session.execute(text("SELECT 4"))
```
"""
    found = [
        "SELECT 1",
        "SELECT 2 FROM t",
        "ALTER SYSTEM SET a = 1",
        "SELECT count(*)::int FROM x",
        ".tables",
        "SELECT * FROM y LIMIT 1",
        ".quit",
        "SELECT 4",
    ]
    assert [plain(one) for one in statements(told)] == found
