"""Which table a bare name means while a platform is in use, and what an error says of a name that nothing has."""

from dataclasses import replace

import duckdb
import pytest
from platformsql import Asked

from workbench.errors import QueryError, UnknownName
from workbench.query.idioms.hints import hint
from workbench.query.idioms.names import Names
from workbench.query.idioms.using import Using
from workbench.tables.platforms import platform, record


def made(*names: str) -> list[str]:
    """Statements that make tables with one column that tells their names."""
    schemas = {name.partition(".")[0] for name in names if "." in name}
    return [f"CREATE SCHEMA IF NOT EXISTS {one}" for one in sorted(schemas)] + [
        f"CREATE TABLE {one} AS SELECT '{one}' AS told" for one in names
    ]


@pytest.fixture(scope="module")
def layers() -> Asked:
    return Asked("layers", *made("transactional.trades", "kraken_bot.trades", "historical.trade", "stock_day", "utilities.holidays"))


@pytest.fixture(scope="module")
def ampyfin() -> Asked:
    return Asked(
        "ampyfin",
        *made("ampyfin.algorithm_holdings", "ampyfin.market_status", "ampyfin.historical_database", "ampyfin.paper", "market_data.ohlcv"),
    )


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("trades", "transactional.trades"),
        ("TRADES", "transactional.trades"),
        ('"trades"', "transactional.trades"),
        ("public.trades", "transactional.trades"),
        ("layers.trades", "transactional.trades"),
        ("database_layer.transactional.trades", "transactional.trades"),
        ("kraken_bot.trades", "kraken_bot.trades"),
        ("trade", "historical.trade"),
        ("stock_day", "stock_day"),
        ("main.stock_day", "stock_day"),
    ],
)
def test_a_platforms_tables_go_first_and_other_schemas_stay(layers: Asked, name: str, table: str) -> None:
    assert layers.rows(f"SELECT told FROM {name}") == [(table,)]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("trading_simulator.algorithm_holdings", "ampyfin.algorithm_holdings"),
        ("market_data.market_status", "ampyfin.market_status"),
        ("market_data.ohlcv", "market_data.ohlcv"),
        ("HistoricalDatabase.HistoricalDatabase", "ampyfin.historical_database"),
        ("historicaldatabase.HISTORICALDATABASE", "ampyfin.historical_database"),
        ("HistoricalDatabase", "ampyfin.historical_database"),
        ("trades.paper", "ampyfin.paper"),
        ("main.paper", "ampyfin.paper"),
    ],
)
def test_mongodbs_databases_are_names_too(ampyfin: Asked, name: str, table: str) -> None:
    assert ampyfin.rows(f"SELECT told FROM {name}") == [(table,)]


def test_columns_may_be_written_with_the_old_names_of_their_tables(ampyfin: Asked, layers: Asked) -> None:
    assert ampyfin.rows("SELECT HistoricalDatabase.told FROM HistoricalDatabase.HistoricalDatabase") == [("ampyfin.historical_database",)]
    assert layers.rows("SELECT trades.told, public.trades.told FROM trades") == [("transactional.trades",) * 2]
    assert layers.rows("SELECT t.told FROM trades t JOIN historical.trade USING (told)") == []


def test_ctes_hide_the_platforms_tables_where_they_are_in_sight(layers: Asked) -> None:
    assert layers.rows("WITH trades AS (SELECT 'mine' AS told) SELECT told FROM trades") == [("mine",)]
    assert layers.rows("WITH trades AS (SELECT told || '!' AS told FROM trades) SELECT told FROM trades") == [("transactional.trades!",)]
    assert layers.rows("WITH a AS (SELECT told FROM trades), trades AS (SELECT 'mine' AS told) SELECT a.told, b.told FROM a, trades b") == [
        ("transactional.trades", "mine")
    ]
    assert layers.rows("SELECT (WITH trades AS (SELECT 1 AS told) SELECT told FROM trades), told FROM trades") == [
        (1, "transactional.trades")
    ]
    assert layers.rows(
        "WITH RECURSIVE trades(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM trades WHERE n < 3) SELECT max(n) FROM trades"
    ) == [(3,)]
    assert layers.rows("SELECT told FROM (SELECT told FROM trades) AS trades") == [("transactional.trades",)]


def test_what_a_user_makes_hides_the_platforms_table_until_it_is_dropped() -> None:
    layers = Asked("layers", *made("transactional.trades"))
    layers.relation("CREATE TEMP TABLE trades AS SELECT told || '!' AS told FROM trades")
    assert layers.rows("SELECT told FROM trades") == [("transactional.trades!",)]
    layers.relation("INSERT INTO trades VALUES ('x'); UPDATE trades SET told = 'y' WHERE told = 'x'")
    assert layers.rows("SELECT count(*) FROM trades WHERE told = 'y'") == [(1,)]
    layers.relation("DROP TABLE trades")
    assert layers.rows("SELECT told FROM trades") == [("transactional.trades",)]
    layers.relation('CREATE SCHEMA trades; CREATE TABLE trades.x AS SELECT 1; CREATE TABLE "trades".y AS SELECT 1')
    assert not layers.using.own, "a schema is no table"
    layers.relation("CREATE TEMP VIEW mine AS SELECT told FROM trades")
    assert layers.rows("SELECT told FROM mine") == [("transactional.trades",)]
    layers.relation("CREATE MACRO twice(x) AS 2 * x; SET VARIABLE n = 4; BEGIN; CREATE TABLE own (a INTEGER); COMMIT")
    assert layers.rows("SELECT twice(getvariable('n')), count(*) FROM own") == [(8, 0)]


@pytest.mark.parametrize(
    "gone",
    [
        "BEGIN; CREATE TEMP TABLE trades (a INTEGER); ROLLBACK",
        "CREATE TEMP TABLE trades (a INTEGER); ALTER TABLE trades RENAME TO others",
    ],
)
def test_what_is_gone_hides_nothing(gone: str) -> None:
    layers = Asked("layers", *made("transactional.trades"))
    layers.relation(gone)
    assert layers.rows("SELECT told FROM trades") == [("transactional.trades",)]
    assert layers.rows("SELECT count(*) FROM trades; SELECT told FROM trades") == [("transactional.trades",)]


def test_statements_of_one_text_see_what_those_before_them_made() -> None:
    layers = Asked("layers", *made("transactional.trades"))
    script = "CREATE TEMP TABLE trades AS SELECT 'mine' AS told; SELECT told FROM trades"
    assert layers.rows(script) == [("mine",)]
    assert layers.rows("DROP TABLE trades; SELECT told FROM trades") == [("transactional.trades",)]


def test_a_schema_that_is_named_goes_first_and_two_of_one_name_are_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    two = replace(record("transactional.trades"), schema="historical")
    both = replace(platform("layers"), records=(*platform("layers").records, two))

    assert Names(both, "historical").bare("trades") == ("historical", "trades")
    assert Names(both, "transactional").bare("trades") == ("transactional", "trades")
    with pytest.raises(QueryError, match=r'trades is transactional.trades or historical.trades on layers; nothing was run.*bench.use\("'):
        Names(both).bare("trades")


def test_a_schema_or_another_name_stands_for_its_platform() -> None:
    assert Using("transactional").platform.name == "layers"
    assert Using("Market_Data").names.first == "market_data"
    assert Using("kdb").names.first is None
    for unknown in ("tetraa", 5, ["tetra"]):
        with pytest.raises(UnknownName, match="there is no platform"):
            Using(unknown)  # type: ignore[arg-type]


def test_catalogues_of_the_old_databases(layers: Asked) -> None:
    kraken = Asked("kraken_bot")
    assert ("signals",) in kraken.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    assert kraken.rows("SELECT m.sql FROM sqlite_master m WHERE m.name = 'signals'")[0][0].startswith(
        "CREATE TABLE kraken_bot.signals (\n    id BIGINT NOT NULL"
    )
    assert "workbench.pg_tables" in layers.sql("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'transactional'")
    assert "workbench.pg_stat_statements" in layers.sql("SELECT * FROM pg_stat_statements")
    for old, new in {
        "pg_size_pretty(pg_total_relation_size('utilities.' || 'holidays'))": "LAKE_SIZE_PRETTY(LAKE_RELATION_SIZE(",
        "pg_size_pretty(pg_database_size('tetra'))": "LAKE_SIZE_PRETTY(LAKE_DATABASE_SIZE())",
        "pg_database_size('tetra') / 1024 / 1024": "LAKE_DATABASE_SIZE() // 1024 // 1024",
        "hypertable_size('market_data.ohlcv')": "LAKE_RELATION_SIZE('market_data.ohlcv')",
    }.items():
        assert new in layers.sql(f"SELECT {old}").upper().replace("'MARKET_DATA.OHLCV'", "'market_data.ohlcv'")
    assert "workbench" not in Asked("kraken_bot").sql("SELECT * FROM pg_tables"), "SQLite has no such table"


def test_an_unknown_name_is_told_with_the_nearest(layers: Asked) -> None:
    with pytest.raises(QueryError, match=r"Documented tables of a like name: utilities.holidays") as refused:
        layers.rows("SELECT * FROM holiday")
    assert isinstance(refused.value, duckdb.CatalogException)
    with pytest.raises(QueryError, match=r"signals is kraken_bot\.signals: write the schema"):
        layers.rows("SELECT * FROM signals")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT * FROM trades", r'trades is kraken_bot.trades or transactional.trades: write the schema, or bench.use\("kraken_bot"\)'),
        ("SELECT * FROM market_data.ohlcvs", "market_data.ohlcv"),
        ("SELECT first(x, y) FROM (VALUES (1, 2)) t(x, y)", r'bench.use\("tetra"\) translates it, or write arg_min\(value, time\)'),
        ("SELECT last(x, y) FROM (VALUES (1, 2)) t(x, y)", r"arg_max\(value, time\)"),
        ("SELECT create_hypertable('x', 'y')", r'create_hypertable is PostgreSQL\'s or TimescaleDB\'s: bench.use\("tetra"\)'),
        ("SELECT to_char(now(), 'YYYY')", r'bench.use\("tetra"\)'),
        ("SELECT 'x'::regclass", r'regclass is PostgreSQL\'s'),
        ("SELECT julianday('now')", r'julianday is SQLite\'s: bench.use\("shrek"\)'),
        ("SELECT candlestick_agg(1, 2, 3)", "candlestick_agg is not translated: write first"),
    ],
)  # fmt: skip
def test_without_a_platform_an_error_says_where_the_name_is(query: str, told: str) -> None:
    import re

    with pytest.raises(duckdb.Error) as refused:
        duckdb.connect().execute(query)
    assert re.search(told, hint(str(refused.value)))


def test_an_error_that_has_nothing_to_do_with_it_has_no_hint() -> None:
    for query in ("SELECT * FROM no_such_thing_at_all", "SELECT 1 +", "SELECT no_such_function(1)", "SELECT first(1, 2, 3, 4) OVER ()"):
        with pytest.raises(duckdb.Error) as refused:
            duckdb.connect().execute(query)
        assert not hint(str(refused.value)) or "first" in query
