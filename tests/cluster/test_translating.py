"""Queries as Spark would get them, and what is registered with a session: told without Java."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oldlake import OldLake, opened

from workbench.cluster import to_spark
from workbench.cluster.spark import DELTA, Registered, place_of, spark_type
from workbench.cluster.translating import Translator
from workbench.cluster.words import NotTranslated
from workbench.errors import QueryError, UsageError
from workbench.query.documented import in_order

BARS = {
    "ticker": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "close": "DOUBLE",
    "volume": "BIGINT",
    "tags": "VARCHAR[]",
}
COLUMNS = {
    "main": {"bars": BARS, "splits": {"ticker": "VARCHAR", "day": "DATE", "factor": "DOUBLE"}, "market_sessions": {"calendar": "VARCHAR"}}
}
TRANSLATOR = Translator(COLUMNS)


def spark(expression: str) -> str:
    """An expression of the bars' columns, without the quotes."""
    told = TRANSLATOR.query(f"SELECT {expression} AS it FROM bars").replace("`", "").replace("bars.", "")
    return told.removeprefix("SELECT ").removesuffix(" AS it FROM main.bars AS bars")


@pytest.mark.parametrize(
    ("duckdb", "expected"),
    [
        ("date - DATE '2024-01-05'", "datediff(date, CAST('2024-01-05' AS DATE))"),
        ("date + 1", "date_add(date, 1)"),
        ("date - volume", "date_sub(date, cast(volume AS INT))"),
        ("tags[1]", "get(tags, cast(1 AS INT) - 1)"),
        ("epoch_us(timestamp)", "unix_micros(timestamp)"),
        ("md5(ticker)::UUID", "regexp_replace(lower(MD5(ticker)), '^(.{8})-?(.{4})-?(.{4})-?(.{4})-?(.{12})$', '$1-$2-$3-$4-$5')"),
        ("date_trunc('month', date)", "trunc(date, 'MONTH')"),
        ("date_trunc(lower(ticker), date)", "cast(date_trunc(LOWER(ticker), cast(date AS TIMESTAMP_NTZ)) AS DATE)"),
        (
            "(date + TIME '09:30') AT TIME ZONE 'UTC'",
            "cast(concat(cast((cast(concat(cast(date AS STRING), ' ', '09:30') AS TIMESTAMP_NTZ)) AS STRING), ' ', 'UTC') AS TIMESTAMP)",
        ),
        ("arg_min(close, timestamp)", "min_by(close, if(close IS NULL, NULL, timestamp))"),
        ("extract(dow FROM date)", "(dayofweek(`date`) - 1)".replace("`", "")),
        ("list_position(tags, 'x')", "nullif(array_position(tags, 'x'), 0)"),
        ("product(close)", "aggregate(collect_list(close), CAST(NULL AS DOUBLE), (one, other) -> coalesce(one, 1D) * other)"),
        (
            "main.mid(close, 2)",
            "(CASE WHEN close > 0 AND 2 > 0 THEN (((close + 2)) / (2)) END)".replace(
                "(((close + 2)) / (2))", "(((close + 2)) / (cast(2 AS DOUBLE)))"
            ),
        ),
        ("avg(volume ORDER BY date)", "AVG(cast(volume AS DOUBLE))"),
        ("close::BIGINT", "CAST(rint(close) AS BIGINT)"),
        ("regexp_full_match(ticker, '[A-Z]+')", "(ticker RLIKE concat('^(?:', '[A-Z]+', ')$'))"),
        ("len(tags)", "array_size(tags)"),
        ("len(ticker)", "LENGTH(ticker)"),
        ("(close > 1) = 0", "cast((close > 1) AS INT) = 0"),
        (
            "epoch_us(INTERVAL '5 seconds')",
            "timestampdiff(MICROSECOND, TIMESTAMP_NTZ '1970-01-01 00:00:00', TIMESTAMP_NTZ '1970-01-01 00:00:00' + INTERVAL '5' SECONDS)",
        ),
        (
            "format('{} at {:,.1f}', ticker, close)",
            "concat('', CAST(ticker AS STRING), ' at ', CASE WHEN CAST(close AS DOUBLE) IS NOT NULL THEN format_string('%,.1f', CAST(close AS DOUBLE)) END, '')",
        ),
    ],
)
def test_what_spark_means_otherwise_is_written_out(duckdb: str, expected: str) -> None:
    assert spark(duckdb) == expected


def test_division_is_of_floating_numbers_and_by_zero_as_in_duckdb() -> None:
    assert spark("volume / 2") == "((cast(volume AS DOUBLE)) / (cast(2 AS DOUBLE)))"
    assert spark("close / volume").startswith("coalesce(try_divide(close, cast(volume AS DOUBLE)), (close) * CASE WHEN")


def test_an_asof_join_becomes_the_nearest_row() -> None:
    told = TRANSLATOR.query(
        "SELECT b.close, s.factor FROM bars AS b ASOF LEFT JOIN splits AS s ON s.ticker = b.ticker AND s.day < b.date"
    ).replace("`", "")
    assert "LEFT JOIN LATERAL (SELECT s.* FROM main.splits AS s WHERE" in told
    assert "ORDER BY s.day DESC" in told and told.rstrip().endswith("LIMIT 1) AS s ON TRUE")


def plainly(query: str) -> str:
    """A query without the quotes."""
    return TRANSLATOR.query(query).replace("`", "")


def test_each_with_has_names_of_its_own() -> None:
    told = plainly(
        "WITH a AS MATERIALIZED (SELECT 1 AS x), b AS (WITH a AS (SELECT 2 AS x) SELECT a.x FROM a) SELECT a.x, b.x AS y FROM a, b"
    )
    names = re.findall(r"(\w+) AS \(", told)
    assert len(names) == len(set(names)) == 3
    assert "MATERIALIZED" not in told
    assert re.search(r"SELECT a\.x AS x, b\.x AS y FROM a_\d AS a(?:, | CROSS JOIN )b_\d AS b$", told)


def test_a_name_that_its_own_with_hides_is_still_the_tables() -> None:
    assert "FROM main.bars AS bars" in plainly("WITH bars AS (SELECT close FROM main.bars) SELECT close FROM bars")


def test_a_lookup_for_a_list_is_joined_laterally_and_to_a_row_where_there_is_none() -> None:
    told = plainly(
        "SELECT list_transform([(SELECT max(s.factor) FROM splits AS s WHERE s.ticker = b.ticker)], lambda one: one + 1)[1] AS it FROM bars AS b"
    )
    assert "LEFT JOIN LATERAL (SELECT MAX(s.factor) AS value_0 FROM main.splits AS s WHERE s.ticker = b.ticker) AS one_0 ON TRUE" in told
    alone = plainly("SELECT list_transform([(SELECT max(factor) FROM splits)], lambda one: one + 1)[1] AS it")
    assert "FROM (SELECT 0 AS nothing) AS nothing_ LEFT JOIN LATERAL (" in alone


def test_what_is_gathered_stands_within_what_names_the_query_around() -> None:
    told = plainly("SELECT (SELECT coalesce(max(s.factor), b.close) FROM splits AS s WHERE s.ticker = b.ticker) AS it FROM bars AS b")
    assert "(SELECT COALESCE(value_0_.part_0, b.close) AS value_0 FROM (SELECT MAX(s.factor) AS part_0 FROM main.splits AS s WHERE" in told


def test_a_lookup_that_is_grouped_by_is_joined_once() -> None:
    value = "list_transform([(SELECT max(s.factor) FROM splits AS s WHERE s.ticker = b.ticker)], lambda one: one + 1)[1]"
    told = plainly(f"SELECT {value} AS it, count(*) AS n FROM bars AS b GROUP BY {value}")
    assert told.count("LATERAL") == 1 and told.endswith("GROUP BY 1")


def test_a_union_by_name_is_one_by_position() -> None:
    told = plainly("SELECT ticker, close FROM bars UNION ALL BY NAME SELECT factor AS close, day FROM splits")
    assert "BY NAME" not in told
    assert "NULL AS day FROM main.bars AS bars UNION ALL SELECT NULL AS c0, splits.factor AS c1, splits.day AS c2" in told


def test_nulls_go_where_duckdb_puts_them() -> None:
    assert TRANSLATOR.query("SELECT close FROM bars ORDER BY close").endswith("NULLS LAST")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT hash(ticker) FROM bars", "hash"),
        ("INSERT INTO bars VALUES (1)", "a statement to DuckDB"),
        ("DESCRIBE bars", "a statement to DuckDB"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT time_bucket(INTERVAL 1 DAY, timestamp, INTERVAL 1 HOUR) FROM bars", "by an offset"),
        ("SELECT tags[1:2] FROM bars", "a slice"),
        ("SELECT * FROM main.adjusted_bars(ticker)", "no constant"),
        ("SELECT FROM WHERE", "not read"),
        ("SELECT epoch_us(INTERVAL '1 month')", "30 days each"),
        ("SELECT format('{:x}', volume) FROM bars", "format with {:x}"),
        ("SELECT * FROM trades_with_quotes('IBM', '2024-01-05')", "no ASOF JOIN"),
    ],
)
def test_what_does_not_translate_says_why(query: str, why: str) -> None:
    with pytest.raises(NotTranslated, match=re.escape(why)):
        TRANSLATOR.query(query)


def test_types_are_sparks() -> None:
    assert spark_type('STRUCT("a b" DOUBLE, c VARCHAR[])[]') == "ARRAY<STRUCT<`a b`: DOUBLE, `c`: ARRAY<STRING>>>"
    assert (
        spark_type("MAP(VARCHAR, STRUCT(signal VARCHAR, confidence DECIMAL(20,8)))")
        == "MAP<STRING, STRUCT<`signal`: STRING, `confidence`: DECIMAL(20,8)>>"
    )


# ---------------------------------------------------------------------- a session that only listens


class Rows(list[tuple[str, ...]]):
    """What a statement gave."""

    def collect(self) -> list[tuple[str, ...]]:
        return self


class Listening:
    """A session that notes what it is told; `databases` are there already, `delta` whether it reads Delta tables."""

    version = "4.1"

    def __init__(self, databases: tuple[str, ...] = (), *, delta: bool = False):
        self.told: list[str] = []
        self.databases = databases
        self.settings = {**DELTA} if delta else {}
        self.conf = self
        self._jvm: Any = self
        self.java = self.lang = self.Class = self

    def forName(self, name: str) -> str:  # noqa: N802
        return name

    def set(self, name: str, value: str) -> None:
        self.settings[name] = value

    def get(self, name: str, otherwise: str) -> str:
        return self.settings.get(name, otherwise)

    def sql(self, statement: str) -> Rows:
        self.told.append(statement)
        if statement == "SHOW DATABASES":
            return Rows((name,) for name in self.databases)
        return Rows()


pyspark = pytest.importorskip("pyspark", reason="the `spark` extra is not installed")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldLake]:
    with opened(tmp_path_factory.mktemp("spark")) as made:
        yield made


def registered(old: OldLake, session: Listening, scratch: Path | None = None) -> Registered:
    return to_spark(session, old.bench, scratch)  # type: ignore[arg-type]


def test_every_view_is_registered_and_base_tables_by_the_files_of_a_version(old: OldLake, tmp_path: Path) -> None:
    session = Listening()
    report = registered(old, session, tmp_path / "scratch")
    names = {row["name"] for row in report.rows}
    assert {one.full for one in in_order()} | {"main.stock_day", "main.option_day"} <= names
    assert report.left_out == {}
    [view] = [one for one in session.told if one.startswith("CREATE VIEW main.`stock_day` ")]
    held = old.bench.lake["stock_day"].snapshot()
    assert set(re.findall(r"'([^']+\.parquet)'", view)) == {Path(path).name for path in held.paths}
    assert {row["version"] for row in report.rows if row["name"] == "main.stock_day"} == {held.version}
    assert any("WHERE false" in one for one in session.told if one.startswith("CREATE VIEW main.`option_day` "))
    assert session.settings["spark.sql.session.timeZone"] == old.bench.catalog.zone
    assert session.told[-1] == "USE main"
    assert list((tmp_path / "scratch").iterdir())
    assert "left out" not in repr(report).splitlines()[0]

    report.close()

    assert "DROP DATABASE IF EXISTS `market_data` CASCADE" in session.told
    assert not list((tmp_path / "scratch").iterdir())


def test_rows_of_the_journal_are_handed_over_as_they_are(old: OldLake, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    old.bench.append("ampyfin.rank_to_coefficient", [{"rank": 1, "coefficient": 1.5}])
    registered(old, Listening(), tmp_path)
    [held] = tmp_path.glob("*/ampyfin.rank_to_coefficient/*.parquet")
    assert pq.read_table(held).column("coefficient").to_pylist() == [1.5]
    [signals] = tmp_path.glob("*/kraken_bot.signals/*.parquet")
    assert len(pq.read_table(signals)) == 3


def test_a_session_that_reads_delta_reads_the_version_by_it(old: OldLake, tmp_path: Path) -> None:
    session = Listening(delta=True)
    registered(old, session, tmp_path)
    table = old.bench.lake["stock_day"]
    [view] = [one for one in session.told if one.startswith("CREATE VIEW main.`stock_day` ")]
    assert view.endswith(f"FROM delta.`{table.folder}@v{table.snapshot().version}`")


def test_a_lake_in_a_bucket_is_read_there() -> None:
    assert place_of(Path("/cache/s3:http:127.0.0.1:9000/bucket:prefix/lake/main/stock_day")) == "s3a://bucket/prefix/lake/main/stock_day"
    assert place_of(Path("/data/lake/main/stock_day")) == "/data/lake/main/stock_day"


def test_somebody_elses_database_is_left_alone(old: OldLake) -> None:
    session = Listening(("default", "market_data"))
    with pytest.raises(UsageError, match="database market_data that is not this library's; nothing was registered"):
        registered(old, session)
    assert not any(one.startswith(("CREATE", "DROP")) for one in session.told)


def test_a_platforms_query_is_translated_from_its_own_sql(old: OldLake, tmp_path: Path) -> None:
    report = registered(old, Listening(), tmp_path)
    old.bench.use("tetra")
    try:
        told = report.translated("SELECT time_bucket('1 day', timestamp) AS day, last(close, timestamp) FROM ohlcv GROUP BY 1")
    finally:
        old.bench.use(None)
    assert "`market_data`.`ohlcv`" in told and "America/New_York" in told and "max_by" in told
    with pytest.raises(QueryError):
        report.translated("SUMMARIZE stock_day")
