"""SQL of people who may only read: what they try to get out by, and what they must go on being able to ask."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import oldanswers as must
import pyarrow as pa
import pytest
from oldlake import OldLake, opened
from test_old_queries import QUERIES

import workbench
from workbench.errors import NotAllowed, QueryError, TookTooLong, UnknownName
from workbench.query.documented import every
from workbench.query.guarded import Guarded, names
from workbench.reading import ANYBODYS, MARKETS, WHOLE, Reading
from workbench.tables import TABLES

CANARY = "not-for-readers"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldLake]:
    folder = tmp_path_factory.mktemp("read")
    (folder / "secret.csv").write_text(f"a\n{CANARY}\n")
    with opened(folder) as made:
        yield made


@pytest.fixture(scope="module")
def owners(lake: OldLake) -> Iterator[Guarded]:
    with Guarded(lake.bench) as guarded:
        yield guarded


@pytest.fixture(scope="module")
def bots(lake: OldLake) -> Iterator[Guarded]:
    """Of somebody who may read one schema."""
    with Guarded(lake.bench, ["Kraken_Bot"]) as guarded:
        yield guarded


def rows(guarded: Guarded, query: str, values: dict[str, object] | None = None, **asked: object) -> list[tuple[object, ...]]:
    with guarded.stream(query, values, **asked) as answer:  # type: ignore[arg-type]
        table = pa.Table.from_batches(list(answer), answer.schema)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def left(root: Path) -> dict[str, tuple[int, int]]:
    """Everything that stands under a root, but for the folders for work, and the log of what was asked."""
    found = (path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in ("tmp", "locks", "logs"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


# ---------------------------------------------------------------------- the ways out

# ROOT is the lake's, OUT a folder outside of it. Each with whether a locked DuckDB alone stops it, too.
ESCAPES: dict[str, tuple[str, bool]] = {
    "read a csv outside": ("FROM read_csv('OUT/secret.csv')", True),
    "read a csv by its name": ("FROM 'OUT/secret.csv'", True),
    "read a csv by a quoted name": ('FROM "OUT/secret.csv"', True),
    "read a text": ("SELECT content FROM read_text('OUT/secret.csv')", True),
    "read a blob": ("SELECT content FROM read_blob('OUT/secret.csv')", True),
    "read json": ("FROM read_json('/etc/passwd')", True),
    "read by way of ..": ("FROM read_text('ROOT/lake/../../secret.csv')", True),
    "sniff a csv": ("FROM sniff_csv('/etc/passwd')", True),
    "glob outside": ("FROM glob('OUT/*')", True),
    "glob the lake": ("FROM glob('ROOT/lake/**')", False),
    "read the lake's own files": ("FROM read_blob('ROOT/lake/**/*.parquet')", False),
    "read the lake's log": ("FROM read_text('ROOT/lake/**/_delta_log/*.json')", False),
    "read the tokens": ("FROM read_text('ROOT/access.json')", True),
    "metadata of Parquet": ("FROM parquet_metadata('ROOT/lake/**/*.parquet')", False),
    "a schema of Parquet": ("FROM parquet_schema('ROOT/lake/**/*.parquet')", False),
    "copy out": ("COPY stock_day TO 'OUT/x.csv'", True),
    "copy into the lake": ("COPY stock_day TO 'ROOT/lake/x.parquet'", False),
    "copy in": ("COPY t FROM 'OUT/secret.csv'", True),
    "copy after a query": ("SELECT 1; COPY stock_day TO 'ROOT/lake/x.parquet'", False),
    "copy after a comment": ("/* SELECT */ COPY stock_day TO 'ROOT/lake/x.parquet'", False),
    "copy in an explain": ("EXPLAIN ANALYZE COPY stock_day TO 'ROOT/lake/x.parquet'", False),
    "copy, prepared": ("PREPARE p AS COPY stock_day TO 'ROOT/lake/x.parquet'", False),
    "export": ("EXPORT DATABASE 'ROOT/lake/e'", False),
    "import": ("IMPORT DATABASE 'OUT'", True),
    "attach a file": ("ATTACH 'OUT/new.db' AS n", True),
    "attach a file in the lake": ("ATTACH 'ROOT/lake/new.db' AS n", False),
    "attach memory": ("ATTACH ':memory:' AS n", False),
    "attach the journal": ("ATTACH 'ROOT/journal/records.db' AS j (TYPE sqlite)", True),
    "install": ("INSTALL httpfs", True),
    "load": ("LOAD httpfs", True),
    "fetch over http": ("FROM read_csv('http://127.0.0.1:9/x.csv')", True),
    "fetch from s3": ("FROM read_parquet('s3://bucket/x.parquet')", True),
    "unlock": ("SET enable_external_access = true", True),
    "unlock by reset": ("RESET lock_configuration", True),
    "take another folder": ("SET allowed_directories = ['/']", True),
    "spill elsewhere": ("SET temp_directory = 'OUT'", True),
    "profile into a file": ("PRAGMA profiling_output = 'OUT/profile.json'", True),
    "log queries into a file": ("SET log_query_path = 'OUT/log'", True),
    "log into a folder": ("CALL enable_logging(storage = 'file', storage_path = 'ROOT/lake')", False),
    "write the log": ("SELECT write_log('x')", False),
    "a secret": ("CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')", True),
    "all secrets": ("FROM duckdb_secrets()", True),
    "which secret": ("FROM which_secret('s3://x', 's3')", True),
    "all settings": ("FROM duckdb_settings()", False),
    "one setting": ("SELECT current_setting('temp_directory')", False),
    "one setting by parts": ("SELECT current_setting('temp_' || 'directory')", False),
    "the environment": ("SELECT getenv('HOME')", True),
    "the text of views": ("SELECT sql FROM duckdb_views()", False),
    "the text of views, as SQLite": ("SELECT sql FROM sqlite_master", False),
    "the text of views, as PostgreSQL": ("SELECT definition FROM pg_catalog.pg_views", False),
    "the text of views, by the standard": ("SELECT view_definition FROM information_schema.views", False),
    "the databases": ("PRAGMA database_list", False),
    "the databases, shown": ("FROM (SHOW DATABASES)", False),
    "the queries of others": ("FROM duckdb_prepared_statements()", False),
    "a text that is run": ("FROM query('FROM glob(''ROOT/lake/*'')')", False),
    "a tree that is run": ("FROM json_execute_serialized_sql(json_serialize_sql('FROM glob(''ROOT/lake/*'')'))", False),
    "a plan that tells files": ("SELECT json_serialize_plan('FROM stock_day')", False),
    "a table by its name in a text": ("FROM query_table('duckdb_settings')", False),
    "files in an explain": ("EXPLAIN FROM stock_day", False),
    "a view of another kind": ("CREATE OR REPLACE VIEW stock_day AS SELECT 1", False),
    "no view any more": ("DROP VIEW stock_day", False),
    "no macro any more": ("DROP MACRO main.mid", False),
    "a table": ("CREATE TABLE t AS SELECT 1", False),
    "a temporary table": ("CREATE TEMP TABLE t AS SELECT 1", False),
    "a macro": ("CREATE MACRO f() AS 1", False),
    "a type": ("CREATE TYPE mood AS ENUM ('a')", False),
    "a sequence": ("CREATE SEQUENCE s", False),
    "rows in the log of the lake": ("DELETE FROM workbench_log.holidays", False),
    "the log of the lake": ("FROM workbench_log.stock_day", True),
    "a change in a WITH": ("WITH t AS (INSERT INTO workbench_log.holidays BY NAME (SELECT 1) RETURNING 1) FROM t", True),
    "another schema in sight": ("USE workbench_log", False),
    "a transaction": ("BEGIN", False),
    "a checkpoint": ("FORCE CHECKPOINT", False),
    "a checkpoint, called": ("FROM force_checkpoint()", False),
    "a variable": ("SET VARIABLE a = 1", False),
    "memory of the process": ("FROM arrow_scan(1::UBIGINT::POINTER, 2::POINTER, 3::POINTER)", False),
    "Python's memory": ("FROM pandas_scan(140000000000)", False),
    "frames of the caller": ("FROM frame_of_the_caller", True),
    "a sleep": ("SELECT sleep_ms(100000)", False),
    "a function of another schema": ("SELECT system.information_schema.abs(1)", True),
    "a catalog of another name": ("FROM system.main.duckdb_settings", False),
    "a value of any length": ("SELECT length(repeat('x', 2000000000))", False),
    "a list of any length": ("SELECT len(range(300000000))", False),
    "the queries of others, with their text": ("FROM duckdb_logs", False),
    "nothing": ("", False),
    "only a comment": ("-- SELECT 1", False),
    "a name with a zero byte": ('SELECT * FROM "stock_day\0"', False),
}


@pytest.mark.parametrize("way", ESCAPES)
def test_no_sql_gets_out(lake: OldLake, owners: Guarded, way: str) -> None:
    root = lake.bench.lake.root
    query = ESCAPES[way][0].replace("ROOT", str(root)).replace("OUT", str(root.parent))
    frame_of_the_caller = pa.table({"a": [CANARY]})
    before, outside = left(root), {path.name for path in root.parent.iterdir()}
    with pytest.raises((NotAllowed, QueryError)) as refused:
        rows(owners, query, seconds=5)
    assert isinstance(refused.value, NotAllowed) or "Error" in str(refused.value), way
    assert CANARY not in str(refused.value)
    assert left(root) == before
    assert {path.name for path in root.parent.iterdir()} == outside
    assert rows(owners, "SELECT count(*) FROM stock_day") == [(6,)], "the session goes on as it was"
    del frame_of_the_caller


@pytest.mark.parametrize("way", [way for way, (_, locked) in ESCAPES.items() if locked])
def test_what_a_locked_duckdb_stops_without_the_gate(lake: OldLake, owners: Guarded, way: str) -> None:
    root = lake.bench.lake.root
    query = ESCAPES[way][0].replace("ROOT", str(root)).replace("OUT", str(root.parent))
    assert rows(owners, "SELECT 1") == [(1,)]
    with owners._catalogs["America/New_York"].fresh() as cursor, pytest.raises((duckdb.Error, RuntimeError)):
        cursor.execute(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "FROM stock_day",
        "FROM main.stock_day",
        "FROM memory.main.stock_day",
        'FROM "MAIN"."Stock_Day"',
        "SELECT (SELECT max(close) FROM stock_day) FROM kraken_bot.signals",
        "FROM kraken_bot.signals WHERE EXISTS (FROM stock_day)",
        "WITH s AS (FROM kraken_bot.signals) SELECT * FROM s, stock_day",
        "WITH stock_day AS (FROM stock_day) FROM stock_day",
        "WITH a AS (WITH stock_day AS (SELECT 1) FROM stock_day) SELECT * FROM a, stock_day",
        "FROM (WITH stock_day AS (SELECT 1) FROM stock_day), stock_day",
        "WITH b AS (FROM stock_day), stock_day AS (SELECT 1) FROM b",
        "FROM kraken_bot.signals UNION ALL BY NAME FROM transactional.trades",
        "FROM kraken_bot.signals s, LATERAL (FROM transactional.trades WHERE id = s.id)",
        "DESCRIBE stock_day",
        "SUMMARIZE stock_day",
        "FROM (DESCRIBE stock_day)",
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "FROM information_schema.tables",
        "FROM workbench.lake_health",
        "FROM workbench.kept_splits",
        "FROM pg_stat_statements",
        "FROM imported.shrek_stock_prices",
        "FROM trades.paper",
        "FROM adjusted_bars('AAPL')",
        "FROM quality_of_days('2024-01-01', bars := 'stock_day')",
        "FROM query_table('main.stock_day')",
        "FROM query_table(['main.stock_day'])",
        "FROM histogram('main.stock_day', close)",
        "FROM stock_day PIVOT (sum(close) FOR ticker IN ('AAPL'))",
        "PIVOT stock_day ON ticker USING sum(close)",
        "UNPIVOT stock_day ON open, close",
        "SELECT market_is_open(now())",
        "SELECT lake_relation_size('main.stock_day')",
        "FROM kraken_bot.signals POSITIONAL JOIN stock_day",
        "TABLE stock_day",
        "SELECT * FROM kraken_bot.signals ORDER BY (SELECT max(close) FROM stock_day)",
        "SELECT list_transform([1], lambda x: (SELECT max(close) FROM stock_day))",
        "SELECT count(*) FILTER (WHERE EXISTS (FROM stock_day)) FROM kraken_bot.signals",
        "SELECT sum(1) OVER (ORDER BY (SELECT max(close) FROM stock_day)) FROM kraken_bot.signals",
        "FROM kraken_bot.signals LIMIT (SELECT count(*) FROM stock_day)",
        "VALUES ((SELECT max(close) FROM stock_day))",
        "FROM range((SELECT count(*) FROM stock_day))",
    ],
)
def test_a_reader_of_one_schema_reads_no_other(bots: Guarded, query: str) -> None:
    with pytest.raises(NotAllowed):
        rows(bots, query)


def test_a_reader_of_one_schema_reads_that(bots: Guarded, lake: OldLake) -> None:
    assert rows(bots, "SELECT count(*) FROM kraken_bot.signals") == [(3,)]
    assert rows(bots, 'WITH s AS (FROM memory.KRAKEN_BOT."Signals") SELECT count(*) FROM s') == [(3,)]
    assert rows(bots, "SELECT count(*) FROM signals", platform="kraken_bot") == [(3,)]
    assert rows(bots, "SELECT mid(1, 3)") == [(2,)], "a macro that reads nothing"
    assert len(rows(bots, "DESCRIBE kraken_bot.trades")) > 5
    with pytest.raises(UnknownName):
        Guarded(lake.bench, ["krakenbot"])
    with Guarded(lake.bench, ["ampyfin"]) as others:
        assert rows(others, "SELECT count(*) FROM trading_simulator.points_tally") == [(0,)], "its table under its database's name"


def test_nothing_that_a_reader_gets_names_a_folder(lake: OldLake) -> None:
    root = str(lake.bench.lake.root)
    given = sorted(names.schemas())
    with Guarded(lake.bench, given) as guarded:
        for full in sorted(guarded.names.tables):
            assert root not in str(rows(guarded, f"SELECT * FROM {full} LIMIT 200")), full


# ---------------------------------------------------------------------- what goes on working


@pytest.mark.parametrize(("platform", "check", "query"), QUERIES, ids=range(len(QUERIES)))
def test_old_queries_answer_for_who_may_read_all(lake: OldLake, platform: str, check: must.Check, query: str) -> None:
    if check is must.slowest:
        pytest.skip("tells what this session was asked: it was asked nothing yet")
    with Reading(lake.bench.settings) as bench:
        check(lake, bench.use(platform).sql(query))


def test_every_example_of_every_view_and_table_answers(owners: Guarded) -> None:
    for view in every().values():
        for query in view.examples:
            rows(owners, query)
    for table in TABLES:
        rows(owners, f"FROM {table} LIMIT 1")


@pytest.mark.parametrize(
    "query",
    [
        "SUMMARIZE stock_day",
        "SHOW TABLES",
        "SELECT COLUMNS(*) FROM stock_day",
        "SELECT * EXCLUDE (ticker) REPLACE (close * 2 AS close) FROM stock_day",
        "UNPIVOT stock_day ON open, close",
        "FROM stock_day PIVOT (sum(close) FOR ticker IN ('AAPL', 'IBM'))",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) FROM r",
        "FROM stock_day AS a, LATERAL (SELECT a.close * 2)",
        "SELECT [x + 1 FOR x IN [1, 2]], list_transform([1], lambda x: x + 1), {'a': 1}.a, 1::VARCHAR, ('2024-01-01'::DATE)",
        "SELECT ticker, row_number() OVER w FROM stock_day WINDOW w AS (PARTITION BY ticker) QUALIFY row_number() OVER w = 1",
        "FROM stock_day USING SAMPLE 2",
        "FROM stock_day ASOF JOIN stock_minute USING (ticker, timestamp)",
        "SELECT DISTINCT ON (ticker) * FROM stock_day ORDER BY ticker, date",
        "SELECT unnest([1, 2]), unnest({'a': 1}), generate_series(1, 3)",
        "SELECT count(DISTINCT ticker), grouping(ticker) FROM stock_day GROUP BY ROLLUP (ticker, date)",
        "SELECT extract(year FROM date), date_trunc('month', timestamp), time_bucket(INTERVAL '1 day', timestamp) FROM stock_day",
        "SELECT trim(BOTH 'a' FROM 'aba'), substring('abc' FROM 1 FOR 2), 'a' COLLATE NOCASE, 'a' SIMILAR TO 'a.*', 5 BETWEEN 1 AND 9",
        "SELECT CASE WHEN close > 1 THEN 'a' END, coalesce(close, 1), nullif(close, 1), ifnull(close, 1) FROM stock_day",
        "SELECT '{\"a\": 1}'::JSON->'a', '{\"a\": 1}'::JSON->>'$.a', current_date, current_setting('TimeZone'), user",
        "FROM stock_day SELECT ticker, first(close ORDER BY timestamp), arg_max(close, date), quantile_cont(close, 0.5), string_agg(ticker) GROUP BY ALL",
        "SELECT repeat('x', 10), lpad('1', 5, '0'), printf('%5.2f', 1.5), format('{:>10}', 'a'), len(range(100))",
        "SELECT count(*) FROM range(20000000)",
    ],
)
def test_plain_analysis_goes_on(owners: Guarded, query: str) -> None:
    rows(owners, query)


def test_somebody_has_looked_at_every_function_of_this_duckdb() -> None:
    found = duckdb.execute(
        "SELECT DISTINCT lower(function_name), function_type LIKE 'table%' FROM duckdb_functions() WHERE function_type <> 'pragma'"
    )
    known = {kind: names.listed(f"{kind}") | names.listed(f"refused {kind}") for kind in ("functions", "tables")}
    # Collations are named after languages, as functions; nobody calls them so.
    new = [
        name
        for name, table in found.fetchall()
        if name not in known["tables" if table else "functions"] and "collate_" not in name and not name.startswith("is ")
    ]
    assert not new, "read what they do, and put each into one of the lists of workbench/query/guarded/functions.txt"
    assert not names.listed("functions") & names.listed("refused functions")
    assert not names.listed("tables") & names.listed("refused tables")


# ---------------------------------------------------------------------- limits


def test_rows_come_in_batches_up_to_a_limit_and_tell_whether_there_were_more(owners: Guarded) -> None:
    for wanted, truncated in ((2, True), (6, False), (7, False), (0, True)):
        with owners.stream("FROM stock_day", max_rows=wanted) as answer:
            assert sum(batch.num_rows for batch in answer) == min(wanted, 6)
            assert answer.truncated is truncated
    with owners.stream("FROM range(100000)") as answer:
        assert len(list(answer)) > 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(100000000000)",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "SELECT count(*) FROM range(1000000000000) ORDER BY random()",
        "FROM range(10000000000)",
    ],
)
def test_sql_that_never_ends_is_stopped_and_the_session_goes_on(owners: Guarded, query: str) -> None:
    began = time.monotonic()
    with pytest.raises(TookTooLong, match=r"gone on for 0\.3 s"):
        rows(owners, query, seconds=0.3)
    assert time.monotonic() - began < 3
    assert rows(owners, "SELECT 1") == [(1,)]


def test_more_memory_than_there_may_be(lake: OldLake) -> None:
    with Guarded(lake.bench, memory_limit="100MB") as guarded:
        with pytest.raises(TookTooLong, match="more memory"):
            rows(guarded, "SELECT array_agg(range) FROM range(1000000000)", seconds=20)
        assert rows(guarded, "SELECT 1") == [(1,)]


def test_another_thread_stops_a_query(owners: Guarded) -> None:
    answer = owners.stream("FROM range(100000000000)")
    threading.Timer(0.2, answer.interrupt).start()
    with pytest.raises(QueryError, match="stopped by whoever asked"):
        for _ in answer:
            pass
    answer.interrupt()
    answer.close()


def test_texts_that_are_no_query_are_told_so(owners: Guarded) -> None:
    for query, told in (
        ("SELECT FROM WHERE", "Parser Error"),
        ("SELECT nothing FROM stock_day", "nothing"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT " + "1+" * 60_000 + "1", "characters"),
        ("SELECT * FROM stok_day", "stock_day"),
    ):
        with pytest.raises((NotAllowed, QueryError), match=told):
            rows(owners, query)
    # Nested deeper than some parsers go: rows or a sentence, and the session goes on.
    with suppress(NotAllowed, QueryError):
        rows(owners, "SELECT " + "(" * 5_000 + "1" + ")" * 5_000)
    assert rows(owners, "SELECT $a + 1", {"a": 1}) == [(2,)]


def test_many_threads_ask_one_session(owners: Guarded) -> None:
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(5):
                assert rows(owners, "SELECT count(*) FROM stock_day WHERE ticker = $t", {"t": "IBM"}) == [(3,)]
                assert rows(owners, "SELECT count(*) FROM signals", platform="kraken_bot") == [(3,)]
        except BaseException as fault:  # told below
            failed.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed


# ---------------------------------------------------------------------- benches that only read


def test_a_bench_that_reads_only_refuses_every_verb_that_writes(lake: OldLake) -> None:
    before = left(lake.bench.lake.root)
    with workbench.open(lake.bench.settings, read_only=True) as bench:
        verbs = {
            name for name in dir(bench) if not name.startswith("_") and name not in ("con", "ledger") and callable(getattr(bench, name))
        }
        for verb in verbs - ANYBODYS - MARKETS - WHOLE:
            with pytest.raises(NotAllowed, match=f"^{verb} is not for a bench that only reads"):
                getattr(bench, verb)()
        for name in ("con", "ledger"):
            with pytest.raises(NotAllowed):
                getattr(bench, name)
        with pytest.raises(NotAllowed):
            bench.sql("COPY stock_day TO 'x.csv'")
        found = bench.sql("SELECT count(*) AS n, sum(transactions) AS s, uuid() AS u FROM stock_day WHERE ticker = $t", t="IBM")
        assert [str(kind) for kind in found.types] == ["BIGINT", "HUGEINT", "UUID"]
        assert found.fetchall()[0][:2] == found.fetchall()[0][:2] == (3, 21)
        for way in ("ATTACH 'x.db'", "COPY (FROM v) TO 'x.csv'", "FROM read_text('/etc/passwd')"):
            with pytest.raises(duckdb.Error):
                found.query("v", way)
        assert bench.status().rows and bench.tables().rows and len(bench.bars("AAPL"))
        assert bench.get("kraken_bot.signals", 1)
        with bench.pin():
            assert bench.sql("SELECT count(*) FROM kraken_bot.signals").fetchall() == [(3,)]
    assert left(lake.bench.lake.root) == before


def test_a_bench_that_reads_some_schemas(lake: OldLake) -> None:
    with lake.bench.reading(["kraken_bot"]) as bench:
        assert bench.sql("SELECT count(*) FROM kraken_bot.signals").fetchall() == [(3,)]
        refusals: list[Callable[[], object]] = [
            lambda: bench.sql("FROM stock_day"),
            lambda: bench.bars("AAPL"),
            bench.status,
            lambda: bench.get("transactional.trades", 1),
            bench.reading,
            lambda: bench.reading(["main"]),
            lambda: bench.append("kraken_bot.signals", []),
        ]
        for refusal in refusals:
            with pytest.raises(NotAllowed):
                refusal()
    with lake.bench.reading(["main"]) as bench:
        assert len(bench.bars("AAPL"))
        with pytest.raises(NotAllowed):
            bench.history("stock_day")
