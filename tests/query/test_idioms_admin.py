"""Statements that keep a database: each is answered by what holds here, changes of documented rows are refused, a user's own tables are DuckDB's."""

import re

import pytest
from platformsql import Asked

import workbench.bench
from workbench.config import Settings
from workbench.errors import QueryError
from workbench.tables import FED
from workbench.tables.platforms import RECORDS


@pytest.fixture(scope="module")
def tetra() -> Asked:
    return Asked("tetra")


@pytest.fixture(scope="module")
def kraken() -> Asked:
    return Asked("kraken_bot")


ANSWERED = [
    ("SELECT create_hypertable('market_data.ohlcv', 'timestamp', chunk_time_interval => INTERVAL '7 days')", "timescaledb_information.hypertables"),
    ("SELECT create_hypertable('ohlcv', by_range('timestamp'))", "timescaledb_information.hypertables"),
    ("SELECT add_compression_policy('market_data.ohlcv', INTERVAL '30 days')", "compact_after"),
    ("SELECT add_retention_policy('market_data.ohlcv', INTERVAL '2 years')", '[retention.stock_minute] keep = "2 years", then = "archive"'),
    ("SELECT remove_retention_policy('market_data.ohlcv')", "take [retention.…] out of workbench.toml"),
    ("SELECT remove_compression_policy('market_data.ohlcv')", "workbench.toml"),
    ("SELECT add_continuous_aggregate_policy('market_data.ohlcv_daily', start_offset => INTERVAL '3 days')", "SELECT … FROM it"),
    ("CALL refresh_continuous_aggregate('market_data.ohlcv_daily', NULL, NULL)", "SELECT … FROM it"),
    ("SELECT compress_chunk(c) FROM show_chunks('market_data.ohlcv') c WHERE c < NOW() - INTERVAL '7 days'", "bench.compact()"),
    ("SELECT decompress_chunk('x')", "bench.refresh"),
    ("SELECT drop_chunks('market_data.ohlcv', INTERVAL '6 months')", 'keep = "6 months"'),
    ("CREATE INDEX IF NOT EXISTS i ON market_data.ohlcv (symbol, timestamp DESC)", "EXPLAIN SELECT"),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON ohlcv USING btree (symbol)", "EXPLAIN SELECT"),
    ("DROP INDEX i", "EXPLAIN SELECT"),
    ("CREATE TABLE IF NOT EXISTS market_data.ohlcv (id UUID, CHECK (open > 0))", 'bench.append("market_data.ohlcv", rows)'),
    ("CREATE TABLE ohlcv (a INT)", 'bench.append("market_data.ohlcv", rows)'),
    ("CREATE TABLE market_data.ohlcv_archive AS SELECT * FROM market_data.ohlcv WHERE timestamp < NOW() - INTERVAL '2 years'", "bench.retain()"),
    ("CREATE MATERIALIZED VIEW market_data.ohlcv_daily WITH (timescaledb.continuous) AS SELECT 1 WITH NO DATA", "SELECT * FROM market_data.ohlcv_daily"),
    ("CREATE MATERIALIZED VIEW weekly WITH (timescaledb.continuous) AS SELECT 1", "CREATE VIEW weekly AS"),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY market_data.ohlcv_daily", "SELECT … FROM it"),
    ("ALTER TABLE market_data.ohlcv SET (timescaledb.compress, timescaledb.compress_segmentby = 'symbol')", "bench.compact()"),
    ("ALTER TABLE market_data.ohlcv ADD CONSTRAINT c CHECK (high >= low), ADD CONSTRAINT d CHECK (low > 0)", "workbench quality"),
    ("ALTER TABLE market_data.ohlcv OWNER TO tetra_app", "chmod"),
    ("GRANT SELECT ON ALL TABLES IN SCHEMA market_data, economic_data TO tetra_reader", "chmod"),
    ("REVOKE ALL ON market_data.ohlcv FROM PUBLIC", "chmod"),
    ("CREATE ROLE reader NOLOGIN", "chmod"),
    ("ALTER SYSTEM SET wal_level = replica", "workbench config"),
    ("SET enable_seqscan = off", "workbench config"),
    ("SET application_name TO 'tetra'", "workbench config"),
    ("CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql", "bench.append"),
    ("DO $$ BEGIN RAISE NOTICE 'x'; END $$", "bench.append"),
    ("SET work_mem = '64MB'", "workbench config"),
    ("SET search_path TO market_data, public", 'bench.use("market_data")'),
    ("CREATE SCHEMA IF NOT EXISTS market_data", "workbench tables"),
    ("CREATE EXTENSION IF NOT EXISTS timescaledb CASCADE", "workbench tables"),
    ("VACUUM (FULL, ANALYZE) market_data.ohlcv", "bench.vacuum()"),
    ("ANALYZE market_data.ohlcv", "bench.verify(quick=True)"),
    ("REINDEX TABLE market_data.ohlcv", "EXPLAIN SELECT"),
    ("COMMENT ON TABLE market_data.ohlcv IS 'bars'", "duckdb_views()"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "instead"), ANSWERED)
def test_a_statement_of_tetras_is_answered_by_what_does_it_here(tetra: Asked, statement: str, instead: str) -> None:
    relation = tetra.relation(f"-- pasted\n{statement};")
    assert relation.columns == ["statement", "answer", "instead"]
    [(said, answer, how)] = relation.fetchall()
    assert said == statement
    assert instead in how
    assert answer.endswith(".")


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("CREATE TABLE signals (id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL)", 'bench.append("kraken_bot.signals", rows)'),
        ("CREATE INDEX idx ON signals(symbol, timestamp)", "EXPLAIN SELECT"),
        ("PRAGMA foreign_keys = ON", "bench.append"),
        ("PRAGMA journal_mode=WAL", "workbench config"),
        ("PRAGMA integrity_check", "bench.verify()"),
        ("VACUUM", "bench.vacuum()"),
        (".backup backups/x.db", "a copy of the folder"),
        (".quit", "bench.close()"),
        (".nothing", "workbench sql"),
    ],
)
def test_a_statement_of_sqlites_is_answered(kraken: Asked, statement: str, instead: str) -> None:
    [(said, _, how)] = kraken.rows(statement)
    assert (said, instead in how) == (statement, True), how


def test_a_script_has_a_row_for_each_statement_unless_a_query_is_last(tetra: Asked) -> None:
    script = "CREATE USER a WITH PASSWORD 'secret'; GRANT CONNECT ON DATABASE tetra TO a; GRANT USAGE ON SCHEMA news TO a"
    rows = tetra.rows(script)
    assert [row[0] for row in rows] == ["CREATE USER a WITH PASSWORD '…'", *(one.strip() for one in script.split(";")[1:])]
    assert tetra.rows("ALTER SYSTEM SET x = 1; SELECT 5") == [(5,)]
    assert len(tetra.rows("SELECT 5; ALTER SYSTEM SET x = 1; DROP INDEX i")) == 2


WRITES = [
    ("INSERT INTO signals (id) VALUES (1) RETURNING id", r'INSERT on kraken_bot.signals is not run.*bench.append\("kraken_bot.signals", rows\), or bench.upsert'),
    ("INSERT OR REPLACE INTO kraken_bot.signals VALUES (1)", "INSERT on kraken_bot.signals"),
    ("REPLACE INTO signals VALUES (1)", "INSERT on kraken_bot.signals"),
    ("UPDATE signals SET id = 1 WHERE id = 2", r'UPDATE on kraken_bot.signals.*Write bench.upsert\("kraken_bot.signals", rows\)'),
    ("UPDATE signals SET price = 1 FROM trades WHERE trades.id = signals.id", "UPDATE on kraken_bot.signals is not run"),
    ("UPDATE signals SET price = 1, price = 2", "UPDATE on kraken_bot.signals is not run"),
    ("UPDATE signals SET (price, symbol) = (1, 'a')", "UPDATE on kraken_bot.signals is not run"),
    ('DELETE FROM "signals" USING trades', r'DELETE on kraken_bot.signals.*Write bench.delete\("kraken_bot.signals", "condition"\)'),
    ("WITH x AS (SELECT 1) DELETE FROM signals", "DELETE on kraken_bot.signals"),
    ("DROP TABLE IF EXISTS signals", r'DROP on kraken_bot.signals.*bench.reset_tables\("kraken_bot.signals"\)'),
    ("SELECT 1; DELETE FROM stock_day", "DELETE on stock_day.*bench.refresh"),
    ("DROP VIEW main.stock_day", "DROP on stock_day"),
    ("UPDATE market_data.ohlcv SET open = 1", "UPDATE on market_data.ohlcv"),
    ("INSERT INTO market_data.ohlcv_daily VALUES (1)", "Rows come with bench.refresh"),
    ("ALTER TABLE signals ADD COLUMN x INTEGER", "ALTER TABLE kraken_bot.signals ADD COLUMN x INTEGER is not run"),
    ("ALTER TABLE signals RENAME TO other", "CREATE VIEW mine AS SELECT"),
    ("UPDATE OR IGNORE signals SET price = 1", "UPDATE on kraken_bot.signals"),
    ("EXPLAIN QUERY PLAN DELETE FROM signals", "DELETE on kraken_bot.signals"),
    ("DROP SCHEMA kraken_bot CASCADE", "DROP SCHEMA kraken_bot is not run.*nothing was changed.*CREATE SCHEMA mine"),
    ('drop schema if exists mine, "Workbench"', "DROP SCHEMA workbench is not run"),
    ("DROP DATABASE kraken_bot", "DROP DATABASE kraken_bot is not run"),
    ("ALTER SCHEMA market_data RENAME TO other", "ALTER SCHEMA market_data is not run"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "told"), WRITES)
def test_documented_rows_are_not_written_by_sql(kraken: Asked, statement: str, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        kraken.rows(statement)


@pytest.mark.parametrize("statement", ["TRUNCATE market_data.ohlcv", "TRUNCATE TABLE ONLY ohlcv", "COPY market_data.ohlcv FROM '/x.csv' CSV HEADER", "MERGE INTO ohlcv USING x ON true WHEN MATCHED THEN DELETE"])  # fmt: skip
def test_postgresqls_writes_are_refused_too(tetra: Asked, statement: str) -> None:
    with pytest.raises(QueryError, match=r"market_data\.ohlcv is not run.*nothing was changed"):
        tetra.rows(statement)


def test_a_users_own_tables_are_duckdbs(tetra: Asked) -> None:
    tetra.relation("CREATE TABLE mine (a INTEGER); INSERT INTO mine VALUES (1), (2); UPDATE mine SET a = a + 1; CREATE INDEX i ON mine (a)")
    assert tetra.rows("DELETE FROM mine WHERE a = 2; SELECT a FROM mine") == [(3,)]
    tetra.relation("ALTER TABLE mine ADD COLUMN b INTEGER; TRUNCATE mine")
    assert tetra.rows("SELECT count(*) FROM mine") == [(0,)]
    tetra.relation("DROP TABLE mine")
    assert tetra.rows("CREATE SCHEMA mine; CREATE TABLE mine.a (b INTEGER); DROP SCHEMA mine CASCADE; SELECT 1") == [(1,)]
    tetra.relation("CREATE SCHEMA research; CREATE VIEW research.v AS SELECT 7 / 2 AS a")
    assert tetra.rows("SELECT a FROM research.v") == [(3,)]
    assert tetra.rows("SET TIME ZONE 'Asia/Tokyo'; SELECT current_setting('TimeZone')") == [("Asia/Tokyo",)]
    assert tetra.rows("SET TimeZone = 'America/New_York'; SELECT current_setting('TimeZone')") == [("America/New_York",)]


def test_shells_commands_list_tables_and_their_declarations(kraken: Asked, tetra: Asked) -> None:
    assert ("kraken_bot", "signals") in kraken.rows(".tables")
    assert kraken.rows(".tables sig%") == [("kraken_bot", "signals")]
    [(sql,)] = kraken.rows(".schema signals")
    assert "final_signal VARCHAR NOT NULL" in sql
    assert "CHECK (final_signal IN ('BUY', 'SELL', 'HOLD'))" in sql
    assert ("market_data", "ohlcv") in tetra.rows(r"\dt")
    assert ("market_data",) in tetra.rows(r"\dn")
    for command in (r"\du", r"\timing on", r"\copy ohlcv to 'x.csv' csv", r"\i script.sql", r"\?"):
        assert tetra.rows(command)[0][1] == "This is a command of psql's, which is not here."


@pytest.mark.parametrize(
    "line",
    [
        'psql -h localhost -U tetra_user -d tetra -c "SELECT 7 / 2 AS a;"',
        'docker exec tetra-postgres psql -U tetra_user -d tetra -c \\\n  "SELECT 7 / 2;"',
        "psql --command='SELECT 7 / 2'",
        'sqlite3 -header data/trading_bot.db "SELECT 7 / 2"',
    ],
)
def test_a_terminals_line_asks_its_query(tetra: Asked, line: str) -> None:
    assert tetra.rows(line) == [(3,)]


def test_a_terminals_line_without_a_query_is_answered(tetra: Asked, kraken: Asked) -> None:
    for line in ("docker exec -it tetra-postgres psql -U tetra_user -d tetra", "pg_dump -U postgres tetra > x.sql"):
        assert tetra.rows(line)[0][1].startswith("This is a terminal's command")
    assert kraken.rows('sqlite3 data/trading_bot.db ".tables"') == kraken.rows(".tables")


def test_mongodbs_shell_is_answered() -> None:
    asked = Asked("ampyfin")
    [(_, _, instead)] = asked.rows('// cache\ndb.HistoricalDatabase.createIndex({\n  "ticker": 1})')
    assert instead == "SELECT * FROM ampyfin.historical_database WHERE …"
    with pytest.raises(QueryError, match=r"db\.paper\.find.* is not run: .*JavaScript.* Write SELECT \* FROM ampyfin\.paper WHERE"):
        asked.rows('db.paper.find({"symbol": "AAPL"});')
    assert ("ampyfin", "algorithm_holdings") in asked.rows("show collections")


def test_sqlites_table_info_tells_keys(kraken: Asked) -> None:
    rows = kraken.rows("PRAGMA table_info('signals')")
    assert rows[0] == (0, "id", "BIGINT", 1, None, 1)
    assert {row[1] for row in rows} == {column.name for column in RECORDS["kraken_bot.signals"].columns}
    links = kraken.rows("PRAGMA foreign_key_list(trades)")
    assert links == [(0, 0, "kraken_bot.signals", "signal_id", "id")]
    assert kraken.rows("PRAGMA foreign_key_list(signals)") == []


def test_chunks_are_listed_by_their_view(tetra: Asked) -> None:
    tetra.con.execute("""CREATE SCHEMA timescaledb_information; CREATE TABLE timescaledb_information.chunks AS FROM (VALUES
        ('market_data', 'ohlcv', 'market_data', 'c1', TIMESTAMPTZ '2020-01-01', TIMESTAMPTZ '2021-01-01'),
        ('market_data', 'ohlcv', 'market_data', 'c2', now() - INTERVAL 9 DAY, now() - INTERVAL 1 DAY),
        ('historical', 'trade', 'historical', 'c3', now() - INTERVAL 9 DAY, now()))
        t(hypertable_schema, hypertable_name, chunk_schema, chunk_name, range_start, range_end)""")
    assert tetra.rows("SELECT show_chunks('market_data.ohlcv')") == [("market_data.c1",), ("market_data.c2",)]
    assert tetra.rows("SELECT c FROM show_chunks('market_data.ohlcv') AS c") == [("market_data.c1",), ("market_data.c2",)]
    assert tetra.rows("SELECT * FROM show_chunks('ohlcv', older_than => INTERVAL '3 months')") == [("market_data.c1",)]
    assert tetra.rows("SELECT count(*) FROM show_chunks('market_data.ohlcv', newer_than => INTERVAL '1 month')") == [(1,)]


def test_answers_name_only_what_exists(tetra: Asked, kraken: Asked) -> None:
    told = " ".join(str(tetra.rows(statement)) for statement, _ in ANSWERED) + str(kraken.rows("PRAGMA journal_mode=WAL; VACUUM"))
    for verb in set(re.findall(r"bench\.(\w+)\(", told)) - {"append"}:
        assert hasattr(workbench.bench.Workbench, verb), verb
    for variable in set(re.findall(r"WORKBENCH_\w+", told)):
        assert any(variable in f.metadata["variables"] for f in Settings.declared().values()), variable
    for table in set(re.findall(r"\[retention\.(\w+)\]", told)):
        assert table in {one.name for one in FED}
