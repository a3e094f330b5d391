"""Every SQL statement of the old platforms' documents, pasted as it stands there after `bench.use`: it answers, and right.

What each must answer is decided below; a statement that nobody decided fails.
"""

from collections.abc import Iterator

import oldanswers as must
import pytest
from documents import DOCUMENTS, plain, statements, there
from oldanswers import Check
from oldlake import OldLake, opened

from workbench.tables.platforms import PLATFORMS

# How a statement begins, on one line and without comments, and what it must answer. The longest beginning counts.
EXPECTED: dict[str, Check] = {
    "SELECT 1": must.one,
    "SELECT COUNT(*) as records, MIN(timestamp)::date as from, MAX(timestamp)::date as to FROM market_data.ohlcv": must.totals,
    "SELECT * FROM market_data.ohlcv WHERE symbol = 'AAPL' ORDER BY timestamp DESC LIMIT 1": must.latest,
    "SELECT time_bucket('1 day', timestamp) AS day, symbol,": must.daily,
    "WITH date_series AS": must.gaps,
    "SELECT pg_database_size('tetra') / 1024 / 1024 AS size_mb": must.megabytes,
    "SELECT pg_size_pretty(pg_database_size('tetra'))": must.whole,
    "SELECT schemaname, tablename, pg_size_pretty(": must.sizes,
    "SELECT hypertable_name, chunk_name, pg_size_pretty(total_bytes) AS size,": must.chunks,
    "SELECT hypertable_name, chunk_name, compression_status,": must.compressed,
    "SELECT * FROM pg_stat_statements": must.slowest,
    "SELECT * FROM signals WHERE test_mode = 0 LIMIT 10": must.production_signals,
    ".tables": must.tables,
    ".schema signals": must.columns,
    ".quit": must.answered,
    **dict.fromkeys(
        (
            "SELECT create_hypertable('market_data.ohlcv', 'timestamp',",
            "SELECT add_compression_policy('market_data.ohlcv',",
            "SELECT add_continuous_aggregate_policy('market_data.ohlcv_daily',",
            "SELECT add_retention_policy('market_data.ohlcv',",
            "SELECT compress_chunk(c) FROM show_chunks('market_data.ohlcv') c",
            "CREATE TABLE price_data (",
            "CREATE TABLE strategy_decisions (",
            "CREATE TABLE market_data.ohlcv (",
            "CREATE TABLE economic_data.economic_data (",
            "CREATE TABLE news.news_articles (",
            "CREATE TABLE events.event_data (",
            "CREATE TABLE market_data.ohlcv_archive AS",
            "CREATE MATERIALIZED VIEW market_data.ohlcv_daily WITH (timescaledb.continuous) AS",
            "CREATE SCHEMA IF NOT EXISTS ",
            "CREATE INDEX idx_",
            "CREATE USER tetra_",
            "GRANT ",
            "ALTER TABLE market_data.ohlcv ADD CONSTRAINT chk_high_low",
            "ALTER TABLE market_data.ohlcv SET ( timescaledb.compress",
            "ALTER SYSTEM SET ",
        ),
        must.answered,
    ),
}
ASKED = [
    (path.stem, text) for path in sorted(DOCUMENTS.glob("*.txt")) for text in dict.fromkeys(statements(path.read_text(encoding="utf-8")))
]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldLake]:
    with opened(tmp_path_factory.mktemp("documents")) as made:
        yield made


@there
@pytest.mark.parametrize(("document", "statement"), ASKED or [("", "")], ids=lambda told: plain(told)[:60])
def test_a_documented_statement_answers_and_right(old: OldLake, document: str, statement: str) -> None:
    decided = max((start for start in EXPECTED if plain(statement).startswith(start)), key=len, default=None)
    assert decided, f"{document} holds a statement of which nobody decided what it must answer: {statement}"
    [platform] = [one.name for one in PLATFORMS.values() if one.document == document]
    EXPECTED[decided](old, old.bench.use(platform).sql(statement))


@there
def test_every_statement_that_was_decided_stands_in_a_document() -> None:
    found = [plain(text) for _, text in ASKED]
    assert [start for start in EXPECTED if not any(text.startswith(start) for text in found)] == []
    assert {document for document, _ in ASKED} <= {platform.document for platform in PLATFORMS.values()}
    assert len(found) > 50
