"""Queries as Spark would get them, and what is registered with a session: told without Java."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oldlake import OldLake, opened

from workbench.cluster import to_spark
from workbench.cluster.handing import spark_type
from workbench.cluster.spark import DELTA, Registered, place_of
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
        ("tags[-1]", "try_element_at(tags, nullif(cast(-1 AS INT), 0))"),
        ("tags[volume]", "try_element_at(tags, nullif(cast(volume AS INT), 0))"),
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
            "(CASE WHEN close > 0 AND 2 > 0 THEN ((cast((close + 2) AS DOUBLE)) / (cast(2 AS DOUBLE))) END)",
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
        ("2.5::INT", "CAST(round(2.5) AS INT)"),
        ("(close * 1.5)::INT", "CAST(rint((close * 1.5)) AS INT)"),
        ("ticker::INT", "cast(round(cast(ticker AS DECIMAL(38, 18))) AS INT)"),
        ("log(close)", "log10(close)"),
        ("round(close, 2)", "((round((cast(close AS DOUBLE)) * 1e2D) / 1e2D))"),
        ("volume >> 1", "(((volume) - pmod(volume, 2)) DIV 2)"),
        ("left(ticker, -1)", "if((-1) >= 0, left(ticker, -1), substring(ticker, 1, greatest(length(ticker) + (-1), 0)))"),
        ("substring(ticker, 0, 2)", "substring(ticker, 0, if((0) = 0, greatest((2) - 1, 0), 2))"),
        ("regexp_replace(ticker, '(a)', 'x')", r"regexp_replace(ticker, concat('^([\\s\\S]*?)(?:', '(a)', ')'), '$1x')"),
        ("regexp_replace(ticker, '(a)', '<\\1>', 'g')", "regexp_replace(ticker, '(a)', '<$1>')"),
        ("dayname(date)", "date_format(date, 'EEEE')"),
        ("isodow(date)", "(weekday(date) + 1)"),
        ("strftime(date, 'Q%m %j %%')", "date_format(date, '\\'Q\\'MM DDD %')"),
        ("strptime(ticker, '%d/%m/%Y')", "to_timestamp_ntz(ticker, 'd/M/yyyy')"),
        ("strptime(ticker, '%Y%m%d')", "to_timestamp_ntz(ticker, 'yyyyMMdd')"),
        ("timestamp + INTERVAL 24 HOUR", "timestamp_micros(unix_micros(timestamp) + 86400000000)"),
        ("last(close ORDER BY date)", "max_by(close, struct((date) IS NULL, date))"),
        ("last(close ORDER BY date DESC)", "min_by(close, struct((date) IS NOT NULL, date))"),
        ("quantile_cont(close, 0.5)", "percentile(close, 0.5)"),
        ("percentile_cont(0.25) WITHIN GROUP (ORDER BY close DESC)", "percentile(close, 1 - (0.25))"),
    ],
)
def test_what_spark_means_otherwise_is_written_out(duckdb: str, expected: str) -> None:
    assert spark(duckdb) == expected


def test_division_is_of_floating_numbers_and_by_zero_as_in_duckdb() -> None:
    assert spark("volume / 2") == "((cast(volume AS DOUBLE)) / (cast(2 AS DOUBLE)))"
    assert spark("close / volume").startswith(
        "coalesce(try_divide(cast(close AS DOUBLE), cast(volume AS DOUBLE)), (cast(close AS DOUBLE)) * CASE WHEN"
    )
    # Written out, they are decimals, of whose quotients and means Spark keeps few places.
    assert spark("645.57 / 92.42") == "((cast(645.57 AS DOUBLE)) / (cast(92.42 AS DOUBLE)))"
    assert spark("avg(1.5)") == "AVG(cast(1.5 AS DOUBLE))"


def test_an_asof_join_is_a_window_over_both_sides_in_one_order() -> None:
    told = plainly("SELECT b.close, s.factor FROM bars AS b ASOF LEFT JOIN splits AS s ON s.ticker = b.ticker AND s.day < b.date")
    assert (
        "struct(b.close, b.ticker, b.date) AS b, NULL AS s, b.ticker AS key_0, b.date AS at_, 0 AS side_, true AS asks_ FROM main.bars"
        in told
    )
    assert (
        "struct(s.factor, s.ticker, s.day), s.ticker, s.day, 1, false FROM main.splits AS s WHERE (s.ticker) IS NOT NULL AND (s.day)"
        in told
    )
    assert "last_value(s) IGNORE NULLS OVER (PARTITION BY key_0 ORDER BY at_ ASC NULLS FIRST, side_ ROWS UNBOUNDED PRECEDING) AS s" in told
    assert told.endswith("WHERE asks_) AS asof_0")


@pytest.mark.parametrize(
    ("join", "order", "side"),
    [
        ("LEFT JOIN splits AS s ON s.ticker = b.ticker AND s.day <= b.date", "ASC", 1),
        ("LEFT JOIN splits AS s ON s.ticker = b.ticker AND b.date > s.day", "ASC", 0),
        ("LEFT JOIN splits AS s ON s.ticker = b.ticker AND b.date <= s.day", "DESC", 1),
        ("LEFT JOIN splits AS s ON s.ticker = b.ticker AND s.day > b.date", "DESC", 0),
    ],
)
def test_what_is_at_the_same_time_is_joined_where_the_sign_says_so(join: str, order: str, side: int) -> None:
    told = plainly(f"SELECT b.close, s.factor FROM bars AS b ASOF {join}")
    assert f"ORDER BY at_ {order} NULLS FIRST, side_" in told
    assert f"b.date AS at_, {side} AS side_, true AS asks_" in told and f"s.day, {1 - side}, false" in told


def test_an_asof_join_that_is_no_left_one_leaves_out_what_finds_nothing() -> None:
    told = plainly("SELECT b.close, s.factor FROM bars AS b ASOF JOIN splits AS s ON s.ticker = b.ticker AND s.day < b.date")
    assert told.endswith("WHERE asks_ AND s IS NOT NULL) AS asof_0")


def test_an_asof_join_takes_the_columns_of_its_own_relations() -> None:
    told = plainly(
        "WITH s AS (SELECT b.tags FROM bars AS b), t AS (SELECT tags FROM s) "
        "SELECT b.close, s.factor, (SELECT max(b.volume) FROM bars AS b) AS m FROM bars AS b ASOF JOIN splits AS s ON s.day < b.date"
    )
    assert "struct(b.close, b.date) AS b" in told and "PARTITION BY 1" in told
    # Those that stand in what a rule makes a text of are among them.
    told = plainly("SELECT range(b.volume, s.factor::BIGINT) AS it FROM bars AS b ASOF JOIN splits AS s ON s.day < b.date")
    assert "struct(b.volume, b.date) AS b" in told and "struct(s.day, s.factor)" in told


def test_an_asof_join_within_a_lookup_or_by_more_than_equals_is_the_nearest_row() -> None:
    both = "FROM bars AS b ASOF LEFT JOIN splits AS s ON s.ticker = b.ticker AND s.day < b.date"
    told = plainly(f"SELECT (SELECT max(s.factor) {both} WHERE b.close = o.close) AS it FROM bars AS o")
    assert "LEFT JOIN LATERAL (SELECT s.* FROM main.splits AS s WHERE" in told
    assert "ORDER BY s.day DESC" in told and "LIMIT 1) AS s ON TRUE" in told
    assert "LATERAL" in plainly(f"SELECT b.close, s.factor {both} AND s.factor <> 1")


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


def test_lists_that_become_rows_side_by_side_do_so_together() -> None:
    told = plainly("SELECT unnest(tags) AS a, unnest([volume]) AS b FROM bars")
    assert told == (
        "SELECT rows_0.row_0_0 AS a, rows_0.row_0_1 AS b FROM main.bars AS bars "
        "LATERAL VIEW inline(arrays_zip(coalesce(bars.tags, array()), coalesce(ARRAY(bars.volume), array()))) rows_0 AS row_0_0, row_0_1"
    )
    assert "FROM (SELECT 0 AS nothing) AS nothing_ LATERAL VIEW" in plainly("SELECT DISTINCT unnest([1]) AS a, unnest([2]) AS b")


def test_a_series_that_is_read_from_has_a_column_of_its_name() -> None:
    told = plainly(
        "SELECT d::DATE AS day FROM generate_series(DATE '2024-01-01', DATE '2024-02-01', INTERVAL 1 DAY) AS d WHERE extract(isodow FROM d) < 6"
    )
    assert told.startswith("SELECT CAST(d.d AS DATE) AS day FROM explode(CASE WHEN (cast(CAST('2024-01-01' AS DATE) AS TIMESTAMP_NTZ)) <=")
    assert told.endswith(" AS d(d) WHERE (weekday(d.d) + 1) < 6")
    assert plainly("SELECT range FROM range(3)").endswith("AS range_(range)")


def test_a_relation_that_is_called_like_a_column_has_another_name_within_rules_too() -> None:
    assert plainly("SELECT extract(isodow FROM date.date) AS date FROM bars AS date").endswith(
        "(weekday(date_.date) + 1) AS date FROM main.bars AS date_"
    )


def test_rows_are_looked_for_as_structs() -> None:
    told = plainly("SELECT close FROM bars WHERE (ticker, date) NOT IN (SELECT (ticker, day) FROM splits)")
    assert "NOT named_struct('v0', bars.ticker, 'v1', bars.date) IN (SELECT named_struct('v0', splits.ticker, 'v1', splits.day) AS" in told


def test_a_lookup_that_an_order_is_told_by_is_joined() -> None:
    told = plainly("SELECT b.close FROM bars AS b ORDER BY (SELECT max(s.factor) FROM splits AS s WHERE s.ticker = b.ticker) DESC")
    assert "LEFT JOIN LATERAL (SELECT MAX(s.factor) AS value_0" in told and told.endswith("ORDER BY one_0.value_0 DESC")


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
        ("SELECT unnest(tags), unnest(list(close)) FROM bars GROUP BY tags", "several lists that become rows"),
    ],
)
def test_what_does_not_translate_says_why(query: str, why: str) -> None:
    with pytest.raises(NotTranslated, match=re.escape(why)):
        TRANSLATOR.query(query)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("close // 2", "not whole"),
        ("trunc(close, 1)", "trunc to places"),
        ("round(close, volume)", "no constant"),
        ("string_split(ticker, '')", "into its letters"),
        ("regexp_replace(ticker, 'a', ticker)", "no constant text"),
        ("regexp_matches(ticker, 'a', 'l')", "flags l"),
        ("regexp_replace(ticker, '(a)', '\\10', 'g')", "a digit after it"),
        ("strftime(date, '%U')", "strftime with %U"),
        ("strptime(ticker, '%y')", "strptime with %y"),
        ("date_trunc('decade', date)", "date_trunc to decade"),
        ("date_diff('week', date, date)", "by weeks"),
        ("list_transform(tags, lambda x, i: i)", "its place"),
        ("generate_series(5, 1, -1)", "below zero"),
        ("tags::VARCHAR", "text of a value"),
        ("quantile(close, 0.5)", "quantile_disc"),
        ("skewness(close)", "of a sample"),
        ("arg_max(ticker, close, 2)", "several rows"),
        ("typeof(close)", "typeof"),
        ("sum(close) OVER (ORDER BY date ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW)", "excludes rows"),
        ("ticker IN (SELECT ticker FROM splits)", "NULL and false"),
    ],
)
def test_what_spark_would_answer_otherwise_is_refused(query: str, why: str) -> None:
    with pytest.raises(NotTranslated, match=re.escape(why)):
        TRANSLATOR.query(f"SELECT {query} AS it FROM bars")


def test_a_lookup_in_a_list_of_rows_is_refused_only_where_null_counts() -> None:
    found = "ticker IN (SELECT ticker FROM splits)"
    for condition in (found, f"NOT {found}", f"close > 1 AND ({found} OR close < 3)"):
        assert "IN (SELECT" in plainly(f"SELECT close FROM bars WHERE {condition}")
    with pytest.raises(NotTranslated, match="NULL and false"):
        plainly(f"SELECT close FROM bars WHERE close > 1 OR NOT {found}")


def test_a_limit_counts_what_qualify_leaves() -> None:
    told = plainly(
        "SELECT ticker AS t, close FROM bars QUALIFY row_number() OVER (PARTITION BY ticker ORDER BY date) = 1 ORDER BY volume DESC, t LIMIT 3"
    )
    assert told.startswith("SELECT qualified_.t, qualified_.close FROM (")
    assert told.endswith("AS qualified_ ORDER BY qualified_.order_0 DESC, qualified_.t NULLS LAST LIMIT 3")
    once = plainly("SELECT DISTINCT ON (ticker) ticker, date AS d FROM bars ORDER BY 1, d DESC LIMIT 3")
    assert "PARTITION BY bars.ticker ORDER BY bars.ticker" in once and once.endswith("LIMIT 3")
    assert "qualified_" in once and "bars.date DESC" in once


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


class Refusing(Listening):
    """A session without what reads a bucket: no table can be made."""

    def sql(self, statement: str) -> Rows:
        from pyspark.errors import PySparkException

        made = super().sql(statement)
        if statement.startswith("CREATE TABLE"):
            raise PySparkException("Class org.apache.hadoop.fs.s3a.S3AFileSystem not found")
        return made


def test_what_spark_refuses_leaves_nothing_behind(old: OldLake, tmp_path: Path) -> None:
    session = Refusing()
    with pytest.raises(QueryError, match=r"S3AFileSystem not found.*taken away again; mend that and call to_spark again"):
        registered(old, session, tmp_path)
    made = [one for one in session.told if one.startswith("CREATE DATABASE")]
    assert len([one for one in session.told if one.startswith("DROP DATABASE")]) == len(made) > 1
    assert not list(tmp_path.iterdir())
