"""Old queries of PostgreSQL, TimescaleDB and SQLite: each answer is the old database's, worked out by hand."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from platformsql import Asked

from workbench.errors import QueryError

ZONE = ZoneInfo("America/New_York")
# Three minutes of a Friday in January, the last after the close: in UTC it is Saturday; and one in July, when New York is an hour nearer to UTC.
OHLCV = """CREATE SCHEMA market_data; CREATE TABLE market_data.ohlcv AS FROM (VALUES
    ('AAPL', TIMESTAMPTZ '2024-01-05 09:30:00-05:00', 10.0, 12.0, 100.0, 3),
    ('AAPL', TIMESTAMPTZ '2024-01-05 09:31:00-05:00', 11.0, 13.0, 200.0, NULL),
    ('AAPL', TIMESTAMPTZ '2024-01-05 19:59:00-05:00', NULL, 14.0, 300.0, 5),
    ('AAPL', TIMESTAMPTZ '2024-07-05 20:30:00-04:00', 20.0, 21.0, 400.0, 7)) t(symbol, timestamp, open, close, volume, trades_count)"""
SIGNALS = """CREATE SCHEMA kraken_bot; CREATE TABLE kraken_bot.signals AS FROM (VALUES
    (1, TIMESTAMPTZ '2024-01-05 10:00:00-05:00', 'BTCUSD', true), (2, TIMESTAMPTZ '2024-01-05 22:00:00-05:00', 'ethusd', false),
    (3, TIMESTAMPTZ '2024-01-08 10:00:00-05:00', NULL, false)) t(id, timestamp, symbol, test_mode);
    CREATE SCHEMA imported"""


@pytest.fixture(scope="module")
def tetra() -> Asked:
    return Asked("tetra", OHLCV)


@pytest.fixture(scope="module")
def kraken() -> Asked:
    return Asked("kraken_bot", SIGNALS)


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZONE)  # type: ignore[misc,arg-type]


def test_bars_of_a_day_are_those_of_new_yorks_session(tetra: Asked) -> None:
    rows = tetra.rows(
        "SELECT time_bucket('1 day', timestamp) AS day, symbol, first(open, timestamp) AS open, last(close, timestamp) AS close, "
        "sum(volume) AS volume FROM market_data.ohlcv GROUP BY day, symbol ORDER BY day DESC"
    )
    assert rows == [
        (local(2024, 7, 5), "AAPL", 20.0, 21.0, 400.0),
        (local(2024, 1, 5), "AAPL", 10.0, 14.0, 600.0),
    ]


def test_first_takes_the_row_of_the_least_time_even_if_it_is_null_there(tetra: Asked) -> None:
    assert tetra.rows(
        "SELECT last(open, timestamp), last(open, timestamp) FILTER (WHERE open IS NOT NULL) FROM ohlcv WHERE volume < 400"
    ) == [(None, 11.0)]
    assert tetra.one("first(x, t) FROM (VALUES (1, NULL), (NULL, 5), (3, 7)) v(x, t)") is None


def test_first_with_one_argument_is_duckdbs(tetra: Asked) -> None:
    assert tetra.one("first(x) FROM (VALUES (4), (9)) t(x)") == 4
    assert tetra.one("first(x ORDER BY x DESC) FROM (VALUES (4), (9)) t(x)") == 9


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("time_bucket('1 day', TIMESTAMPTZ '2024-01-05 20:30:00-05:00')", local(2024, 1, 5)),
        ("time_bucket(INTERVAL '1 week', TIMESTAMPTZ '2024-07-07 23:00:00-04:00')", local(2024, 7, 1)),
        ("time_bucket('15 minutes', TIMESTAMPTZ '2024-01-05 09:44:59-05:00')", local(2024, 1, 5, 9, 30)),
        ("time_bucket('1 month', TIMESTAMPTZ '2024-01-31 23:30:00-05:00')", local(2024, 1, 1)),
        ("time_bucket('1 day', TIMESTAMPTZ '2024-01-05 20:30:00-05:00', 'UTC')", local(2024, 1, 5, 19)),
        ("time_bucket('1 day', TIMESTAMPTZ '2024-01-05 20:30:00-05:00', timezone => 'UTC')", local(2024, 1, 5, 19)),
        ("time_bucket('1 day', TIMESTAMPTZ '2024-01-05 09:00:00+00:00', INTERVAL '6 hours')", local(2024, 1, 5, 1)),
        (
            "time_bucket('2 days', TIMESTAMPTZ '2024-01-05 09:00:00+00:00', origin => TIMESTAMPTZ '2024-01-02 00:00:00+00:00')",
            local(2024, 1, 3, 19),
        ),
        # Hours are the clock's in summer and winter, and on the days between, which have 23 and 25.
        ("time_bucket('4 hours', TIMESTAMPTZ '2024-07-05 09:44:00-04:00')", local(2024, 7, 5, 8)),
        ("time_bucket('4 hours', TIMESTAMPTZ '2024-01-05 09:44:00-05:00')", local(2024, 1, 5, 8)),
        ("time_bucket(INTERVAL '24 hours', TIMESTAMPTZ '2024-07-05 00:00:00-04:00')", local(2024, 7, 5)),
        ("time_bucket('90 minutes', TIMESTAMPTZ '2024-07-05 10:20:00-04:00')", local(2024, 7, 5, 9)),
        ("time_bucket('2 hours', t) FROM (VALUES (TIMESTAMPTZ '2024-03-10 09:30:00-04:00')) v(t)", local(2024, 3, 10, 8)),
        ("time_bucket('6 hours', t) FROM (VALUES (TIMESTAMP '2024-07-05 09:30:00')) v(t)", datetime(2024, 7, 5, 6)),
        ("time_bucket(w, t) FROM (VALUES (INTERVAL '1 day', TIMESTAMPTZ '2024-07-05 23:00:00-04:00')) v(w, t)", local(2024, 7, 5)),
        ("time_bucket('1 day', DATE '2024-01-05')", date(2024, 1, 5)),
        ("time_bucket('1 day', TIMESTAMP '2024-01-05 20:30:00')", datetime(2024, 1, 5)),
        ("time_bucket('1 day', max(d)) FROM (VALUES (DATE '2024-01-05')) t(d)", date(2024, 1, 5)),
    ],
)
def test_time_buckets(tetra: Asked, bucket: str, expected: object) -> None:
    assert tetra.one(bucket) == expected


def test_what_one_refusal_taught_changes_no_other_answer(tetra: Asked) -> None:
    late = "(VALUES (TIMESTAMPTZ '2024-07-05 22:00:00-04:00', TIMESTAMP '2024-07-05 22:00:00')) v(t, n)"
    assert tetra.rows(f"SELECT time_bucket('1 day', t), time_bucket('1 day', n), time_bucket('4 hours', t) FROM {late}") == [
        (local(2024, 7, 5), datetime(2024, 7, 5), local(2024, 7, 5, 20))
    ]
    assert tetra.rows(f"SELECT (max(t) - min(t)) / 2, count(*) / 2, 7 / 2 FROM {late}") == [(timedelta(0), 0, 3)]


def test_days_are_new_yorks(tetra: Asked) -> None:
    assert tetra.rows("SELECT DISTINCT DATE(timestamp), timestamp::date, EXTRACT(DOW FROM timestamp) FROM ohlcv ORDER BY 1") == [
        (date(2024, 1, 5), date(2024, 1, 5), 5),
        (date(2024, 7, 5), date(2024, 7, 5), 5),
    ]


def test_days_without_data(tetra: Asked) -> None:
    gaps = """WITH date_series AS (SELECT generate_series(DATE '2024-01-04', DATE '2024-01-09', INTERVAL '1 day')::date AS trading_date),
        held AS (SELECT DISTINCT DATE(timestamp) AS data_date FROM market_data.ohlcv WHERE symbol = 'AAPL')
        SELECT trading_date FROM date_series LEFT JOIN held ON trading_date = data_date
        WHERE data_date IS NULL AND EXTRACT(DOW FROM trading_date) NOT IN (0, 6) ORDER BY trading_date"""
    assert tetra.rows(gaps) == [(date(2024, 1, 4),), (date(2024, 1, 8),), (date(2024, 1, 9),)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 / 2", 2),
        ("-5 / 2", -2),
        ("7 / 2 * 2", 6),
        ("5 / 2.0", 2.5),
        ("5::float / 2", 2.5),
        ("count(*) / 3 FROM ohlcv", 1),
        ("sum(volume) / count(*) FROM ohlcv", 250.0),
        ("extract(hour FROM TIMESTAMP '2024-01-05 09:00:00') / 4", 2.25),
        ("avg(trades_count) / 2 FROM ohlcv", 2.5),
        ("(INTERVAL '1 day' / 2)::varchar", "12:00:00"),
        ("((now() - now()) / 2)::varchar", "00:00:00"),
        ("div(7, 2)", 3),
        ("1.23456789::numeric", 1.23456789),
        ("2.345678::numeric(10, 2)", 2.35),
        ("0.1::float", 0.1),
        ("'market_data.ohlcv'::regclass", "market_data.ohlcv"),
        ("'a_b' LIKE 'a\\_b'", True),
        ("'axb' LIKE 'a\\_b'", False),
        ("'abc' ILIKE 'A%'", True),
        ("'abc' LIKE 'A%'", False),
        ("'abc' ~ 'b'", True),
        ("'abc' ~* 'B'", True),
        ("'abc' !~ '^b'", True),
        ("'abc' SIMILAR TO 'a%'", True),
        ("'a.c' SIMILAR TO '(a|b).c'", True),
        ("'abc' SIMILAR TO 'a.c'", False),
        ("3 = ANY('{1,2,3}')", True),
        ("'x' = ANY(ARRAY['a', 'b'])", False),
        ("2 <> ALL('{1,3}')", True),
        ("'{\"a\": {\"b\": [7, 8]}}'::jsonb #>> '{a,b,1}'", "8"),
        ("'{\"a\": {\"b\": \"x\"}}'::json -> 'a' ->> 'b'", "x"),
        ("'{\"a\": 1}'::jsonb @> '{\"a\": 1}'", True),
        ("MAP {'a': {'signal': 'BUY'}} -> 'a' ->> 'signal'", "BUY"),
        ("to_char(TIMESTAMP '2024-01-05 16:07:09', 'YYYY-MM-DD HH24:MI:SS')", "2024-01-05 16:07:09"),
        ("to_char(TIMESTAMP '2024-01-05 16:07:09', 'Dy DD Mon, HH12:MI AM')", "Fri 05 Jan, 04:07 PM"),
        ("to_char(TIMESTAMP '2024-01-05 16:07:09', 'FMDay \"at\" FMHH24')", "Friday at 16"),
        ("to_date('05/01/2024', 'DD/MM/YYYY')", date(2024, 1, 5)),
        ("to_timestamp(0)", datetime(1969, 12, 31, 19, tzinfo=ZONE)),
        ("date_part('dow', DATE '2024-01-07')", 0),
        ("extract(epoch FROM INTERVAL '1 day 2 hours')", 93600.0),
        ("DATE '2024-01-05' + 3", date(2024, 1, 8)),
        ("DATE '2024-01-08' - DATE '2024-01-05'", 3),
        ("count(*) FILTER (WHERE symbol = 'AAPL') FROM ohlcv", 4),
        ("string_agg(x, ',' ORDER BY x DESC) FROM (VALUES ('a'), ('b')) t(x)", "b,a"),
        ("percentile_cont(0.5) WITHIN GROUP (ORDER BY volume) FROM ohlcv", 250.0),
        ("mode() WITHIN GROUP (ORDER BY x) FROM (VALUES (1), (2), (2)) t(x)", 2),
        ("'a' || 1", "a1"),
        ("$$it's$$", "it's"),
        ("E'a\\tb'", "a\tb"),
        ("x'41'::varchar", "A"),
    ],
)  # fmt: skip
def test_postgresqls_spellings(tetra: Asked, text: str, expected: object) -> None:
    answer = tetra.one(text)
    assert float(answer) == expected if isinstance(expected, float) else answer == expected


def test_null_is_the_greatest_value_in_postgresql_and_the_least_in_sqlite(tetra: Asked, kraken: Asked) -> None:
    values = "FROM (VALUES (2), (NULL), (1)) t(x) ORDER BY x"
    assert tetra.rows(f"SELECT x {values}") == [(1,), (2,), (None,)]
    assert tetra.rows(f"SELECT x {values} DESC") == [(None,), (2,), (1,)]
    assert kraken.rows(f"SELECT x {values}") == [(None,), (1,), (2,)]
    assert kraken.rows(f"SELECT x {values} DESC") == [(2,), (1,), (None,)]
    assert tetra.rows("SELECT x, row_number() OVER (ORDER BY x DESC) FROM (VALUES (2), (NULL)) t(x) ORDER BY 2") == [(None, 1), (2, 2)]


def test_where_there_is_no_null_its_place_is_not_told(tetra: Asked) -> None:
    latest = tetra.sql("SELECT * FROM market_data.ohlcv WHERE symbol = 'AAPL' ORDER BY timestamp DESC LIMIT 1")
    assert "NULLS" not in latest, "DuckDB reads all files for one that puts NULL first"
    assert "NULLS FIRST" in tetra.sql("SELECT * FROM market_data.ohlcv ORDER BY vwap DESC LIMIT 1"), "vwap may be NULL"
    assert "NULLS FIRST" in tetra.sql(
        "SELECT o.timestamp FROM news.news_articles n LEFT JOIN market_data.ohlcv o ON true ORDER BY o.timestamp DESC"
    )


def test_the_newest_of_each_symbol(tetra: Asked) -> None:
    newest = "SELECT DISTINCT ON (symbol) symbol, close FROM ohlcv ORDER BY symbol, timestamp DESC"
    assert tetra.rows(newest) == [("AAPL", 21.0)]


def test_a_series_in_a_select_and_in_a_from(tetra: Asked) -> None:
    assert tetra.rows("SELECT generate_series(1, 3)") == [(1,), (2,), (3,)]
    assert tetra.rows("SELECT n FROM generate_series(1, 2) n") == [(1,), (2,)]
    assert tetra.rows("SELECT n FROM generate_series(1, 2) AS s(n)") == [(1,), (2,)]
    assert tetra.rows("SELECT generate_series FROM generate_series(1, 2)") == [(1,), (2,)]


def test_columns_are_called_as_postgresql_calls_them(tetra: Asked) -> None:
    assert tetra.relation("SELECT count(*), max(close), timestamp::date, first(open, timestamp) FROM ohlcv GROUP BY 3").columns == [
        "count", "max", "timestamp", "first",
    ]  # fmt: skip
    assert tetra.relation("SELECT EXISTS (SELECT 1), CASE WHEN true THEN 1 END, coalesce(1, 2), round(1.5), 1 AS x").columns == [
        "exists", "case", "coalesce", "round", "x",
    ]  # fmt: skip
    assert tetra.rows("SELECT count + 1 FROM (SELECT count(*) FROM ohlcv) t") == [(5,)]
    assert len(tetra.relation("SELECT max(open), max(close) FROM ohlcv").columns) == 2


def test_offsets_limits_comments_and_several_statements(tetra: Asked) -> None:
    assert tetra.rows("SELECT n FROM generate_series(1, 9) n ORDER BY n LIMIT 2 OFFSET 3") == [(4,), (5,)]
    assert tetra.rows("SELECT n FROM generate_series(1, 9) n ORDER BY n FETCH FIRST 1 ROWS ONLY -- ; not the end") == [(1,)]
    assert tetra.rows("-- one\nSELECT 1; /* two; */ SELECT ';' AS a;\n") == [(";",)]
    assert tetra.rows("SELECT 1 WHERE 'a' = '--'") == []


def test_values_are_taken_by_name_in_every_old_spelling(tetra: Asked, kraken: Asked) -> None:
    assert tetra.one("count(*) FROM ohlcv WHERE symbol = $s AND close > $c", s="AAPL", c=13) == 2
    assert tetra.one("count(*) FROM ohlcv WHERE symbol = :s", s="' OR 1=1 --") == 0
    assert tetra.one("count(*) FROM ohlcv WHERE symbol = %(s)s", s="AAPL") == 4
    assert kraken.one("count(*) FROM signals WHERE id = :id", id=2) == 1
    assert tetra.rows("CREATE OR REPLACE TEMP TABLE x AS SELECT 1 AS a; SELECT $b + a FROM x", b=2) == [(3,)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 / 2", 2),
        ("-5 / 2", -2),
        ("5 / 2.0", 2.5),
        ("1 / 0", None),
        ("1 / x FROM (VALUES (0)) t(x)", None),
        ("CAST(2.7 AS INTEGER)", 2),
        ("CAST(-2.7 AS INTEGER)", -2),
        ("CAST(9007199254740993 AS INTEGER)", 9007199254740993),
        ("CAST('12' AS INTEGER)", 12),
        ("CAST('12 pieces' AS INTEGER)", 12),
        ("CAST('none' AS INTEGER)", 0),
        ("CAST(x AS INTEGER) FROM (VALUES ('2.7')) t(x)", 2),
        ("'ABC' LIKE 'abc'", True),
        ("'ÄB' LIKE 'äb'", False),
        ("'Äb' LIKE 'ÄB'", True),
        ("'abc' NOT LIKE 'A%'", False),
        ("'abc' GLOB 'A*'", False),
        ("'x[1]' LIKE 'X[1%'", True),
        ("1 IS 1", True),
        ("NULL IS NOT 1", True),
        ("max(3, 9)", 9),
        ("max(3, NULL)", None),
        ("ifnull(NULL, 7)", 7),
        ("iif(1 > 2, 'a', 'b')", "b"),
        ("total(x) FROM (VALUES (1)) t(x) WHERE x > 1", 0.0),
        ("group_concat(x) FROM (SELECT 'a' AS x UNION ALL SELECT 'b')", "a,b"),
        ("instr('abc', 'c')", 3),
        ("substr('abc', -2)", "bc"),
        ("julianday('2000-01-01 12:00:00+00')", 2451545.0),
        ("strftime('%Y-%m', '2024-03-05')", "2024-03"),
        ("strftime('%H:%M', timestamp) FROM signals WHERE id = 2", "22:00"),
        ("strftime('%s', '1970-01-02 00:00:00+00')", "86400"),
        ("unixepoch('1970-01-01 00:01:00+00')", 60),
        ("date('2024-01-31', '+1 day', 'start of month')", date(2024, 2, 1)),
        ("date('2024-01-03', 'weekday 5')", date(2024, 1, 5)),
        ("date('2024-01-05', 'weekday 5')", date(2024, 1, 5)),
        ("date(timestamp) FROM signals WHERE id = 2", date(2024, 1, 5)),
        ("date(86400, 'unixepoch', 'utc')", date(1970, 1, 1)),
        ("datetime('2024-01-05 10:00:00', '-90 minutes')", datetime(2024, 1, 5, 8, 30, tzinfo=ZONE)),
        ("datetime('now') > datetime('now', '-1 day')", True),
        ("time('2024-01-05 10:20:30', '+1 hour')", "11:20:30"),
        ("count(*) FROM signals WHERE test_mode = 0", 2),
        ("sum(test_mode) FROM signals", 1),
        ("count(*) FROM signals WHERE timestamp LIKE '2024-01-05%'", 2),
        ("substr(timestamp, 1, 10) FROM signals WHERE id = 3", "2024-01-08"),
        ('count(*) FROM signals WHERE symbol = "BTCUSD"', 1),
        ('count("symbol") FROM signals', 2),
        ("[symbol] FROM signals WHERE `id` = 1", "BTCUSD"),
        ("json_extract('{\"a\": {\"b\": \"x\"}}', '$.a.b')", "x"),
        ("typeof(random()) || (random() <> random())", "BIGINTtrue"),
    ],
)  # fmt: skip
def test_sqlites_spellings(kraken: Asked, text: str, expected: object) -> None:
    assert kraken.one(text) == expected


def test_a_constants_own_name_is_no_column(kraken: Asked) -> None:
    [(day, time)] = kraken.rows("SELECT current_date, current_timestamp > datetime('now', '-1 day')")
    assert isinstance(day, date) and time is True
    assert kraken.rows("SELECT 5 % 0, 5 % 3, x % y FROM (SELECT 7 AS x, 0 AS y)") == [(None, 2, None)]


def test_a_refusal_of_the_reading_that_was_understood_is_told(kraken: Asked) -> None:
    with pytest.raises(QueryError) as told:
        kraken.rows("INSERT INTO mine (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = excluded.id")
    assert "mine does not exist" in str(told.value) and "The caret" not in str(told.value)
    kraken.relation("CREATE TEMP TABLE upserted (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO upserted VALUES (1, 1)")
    kraken.relation("INSERT INTO upserted (id, n) VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET n = excluded.n / 2")
    assert kraken.rows("SELECT n FROM upserted") == [(3,)], "whole numbers divide there to whole ones, too"


def test_sqlite_counts_offsets_first_and_names_columns_by_their_words(kraken: Asked) -> None:
    assert kraken.rows("SELECT id FROM signals ORDER BY id LIMIT 1, 2") == [(2,), (3,)]
    assert kraken.relation("SELECT count(*), max(id) AS newest, symbol FROM signals GROUP BY symbol").columns == [
        "count(*)",
        "newest",
        "symbol",
    ]
    assert kraken.relation("SELECT 5/2, (SELECT 1 FROM signals LIMIT 1), 'a, b'").columns == [
        "5/2",
        "(SELECT 1 FROM signals LIMIT 1)",
        "'a, b'",
    ]


DUCKDBS: list[tuple[str, Any]] = [
    ("FROM (VALUES (1), (2)) t(x) SELECT sum(x)", [(3,)]),
    ("SELECT * EXCLUDE (y) FROM (VALUES (1, 2)) t(x, y)", [(1,)]),
    ("SELECT * REPLACE (x + 1 AS x) FROM (VALUES (1, 2)) t(x, y)", [(2, 2)]),
    ("SELECT x FROM (VALUES (1), (2)) t(x) QUALIFY row_number() OVER (ORDER BY x) = 2", [(2,)]),
    ("SELECT [x * 2 for x in [1, 2, 3] if x > 1]", [([4, 6],)]),
    ("SELECT list_transform([1, 2], lambda x: x + 1)", [([2, 3],)]),
    ("SELECT [7, 8, 9][2]", [(8,)]),
    ("SELECT {'a': 1}.a, MAP {'k': 5}['k']", [(1, 5)]),
    ("PIVOT (VALUES ('a', 1), ('b', 2)) t(k, v) ON k USING sum(v)", [(1, 2)]),
    ("SELECT MAP {1: 2}[1], 1_000, 0x1F", [(2, 1000, 31)]),
    ("SELECT a FROM (SELECT 1 AS a) x POSITIONAL JOIN (SELECT 2 AS b) y", [(1,)]),
    ("SELECT date_diff('day', DATE '2024-01-01', DATE '2024-01-05'), regexp_extract('ab', 'a(.)', 1)", [(4, "b")]),
    ("SELECT last_value(x IGNORE NULLS) OVER (ORDER BY y) FROM (VALUES (1, 1), (NULL, 2)) t(x, y)", [(1,), (1,)]),
    ("SELECT min(COLUMNS('x.*')) FROM (VALUES (3, 4)) t(x1, x2)", [(3, 4)]),
    ("SELECT last_value(x) IGNORE NULLS OVER (ORDER BY y) FROM (VALUES (1, 1), (NULL, 2)) t(x, y)", [(1,), (1,)]),
    ("SELECT COLUMNS('x.*') FROM (VALUES (1, 2)) t(x1, y)", [(1,)]),
    ("SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a ORDER BY ALL", [(1,), (2,)]),
    ("SELECT unnest(range(2))", [(0,), (1,)]),
    ("SELECT list(x ORDER BY x DESC)[1], list(x)[2] FROM (VALUES (8), (9)) t(x)", [(9, 9)]),
    ("FROM (VALUES (NULL), (3)) t(x) SELECT any_value(x), instr('abcabc', 'c'), string_agg(x, '-' ORDER BY x)", [(3, 3, "3")]),
    ("FROM (SELECT {'a': [1, 2]} AS s) SELECT s.a[2], list_position(s.a, 2), array_position(s.a, 2)", [(2, 2, 2)]),
    (
        "FROM (VALUES (DATE '2024-05-17', 'month')) t(d, part) SELECT date_trunc(part, d), date_add(d, INTERVAL 1 DAY)",
        [(datetime(2024, 5, 1), datetime(2024, 5, 18))],
    ),
    ("SUMMARIZE SELECT 1 AS a", None),
    ("DESCRIBE SELECT 1 AS a", None),
    ("SHOW TABLES", None),
    ("SHOW ALL", None),
]


@pytest.mark.parametrize("platform", ["tetra", "kraken_bot"])
@pytest.mark.parametrize(("text", "expected"), DUCKDBS)
def test_what_only_duckdb_has_goes_on(tetra: Asked, kraken: Asked, platform: str, text: str, expected: Any) -> None:
    asked = {"tetra": tetra, "kraken_bot": kraken}[platform]
    rows = asked.rows(text)
    assert rows == expected if expected is not None else rows is not None


def test_the_greatest_few_are_duckdbs_own(tetra: Asked) -> None:
    # Of SQLite max of two is the greater.
    assert tetra.rows("SELECT max(x, 2), arg_max(x, y) FROM (VALUES (1, 9), (2, 8), (3, 7)) t(x, y)") == [([3, 2], 1)]


def test_the_platforms_names_are_known_in_duckdbs_own_syntax(tetra: Asked) -> None:
    assert tetra.rows("FROM ohlcv SELECT count(*), first(open, timestamp)") == [(4, 10.0)]
    assert tetra.rows("SUMMARIZE ohlcv")[0][0] == "symbol"
    assert tetra.rows("DESCRIBE ohlcv")[0][0] == "symbol"
    assert tetra.rows("SELECT sum([v for v in [volume] if v > 100][1]) FROM ohlcv") == [(900.0,)]


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("SELECT to_char(3, '999.9')", "to_char"),
        ("SELECT to_char(now(), 'J')", "'J'"),
        ("SELECT time_bucket(10, 25)", r"time_bucket over whole numbers.*\(x // width\) \* width"),
        ("SELECT time_bucket_gapfill('1 day', timestamp, now(), now()) FROM ohlcv GROUP BY 1", "generate_series"),
        ("SELECT json_build_object('a', 1)", "json_object"),
        ("SELECT locf(avg(close)) FROM ohlcv", "last_value"),
        ("SELECT candlestick_agg(timestamp, close, volume) FROM ohlcv", r"first\(price, time\)"),
        ("SELECT histogram(close, 0, 10, 5) FROM ohlcv", "histogram is not translated"),
        ("SELECT make_interval(days => 3)", "make_interval does not exist"),
        (f"SELECT {'(' * 400}x{')' * 400}", 'column "x"'),
        ("SELECT * FROM ohlcv WHERE symbol = 'AAPL", "PostgreSQL and TimescaleDB"),
        ("SELECT FROM WHERE", "PostgreSQL and TimescaleDB"),
        ("SELECT x FROM ohlcv WHERE (", "The caret marks the clause"),
    ],
)
@pytest.mark.usefixtures("deep")
def test_what_cannot_be_translated_is_named_with_the_nearest_form(tetra: Asked, text: str, clause: str) -> None:
    with pytest.raises(QueryError, match=clause):
        tetra.rows(text)


def test_an_unknown_modifier_of_sqlites_is_named(kraken: Asked) -> None:
    with pytest.raises(QueryError, match="'next year' is no modifier"):
        kraken.rows("SELECT date('now', 'next year')")


def test_a_refusal_is_told_of_the_first_reading_only(tetra: Asked) -> None:
    ohlcv = tetra.con.sql("SELECT 1 AS no_such_column")
    with pytest.raises(QueryError, match="no_such_column"):
        tetra.rows("SELECT no_such_column FROM ohlcv")
    assert ohlcv.columns == ["no_such_column"], "a frame of that name is not read instead"


NEAREST = [
    ("tetra", "histogram(x, range(0, 10, 5)) FROM (VALUES (1), (7)) t(x)", {0: 0, 5: 1, 2147483647: 1}),
    ("tetra", "format('{:,.2f}', 1234.5)", "1,234.50"),
    ("tetra", "(25 // 10) * 10", 20),
    ("tetra", "round_even(2.5, 0)", 2.0),
    ("tetra", "list(v) FROM (SELECT unnest(json_extract('[1, 2]', '$[*]')) AS v)", ["1", "2"]),
    ("tetra", "json_extract('{\"a\": 1}', '$.a')", "1"),
    ("tetra", "approx_quantile(x, 0.5) FROM (VALUES (3)) t(x)", 3),
    ("kraken_bot", "coalesce(TRY_CAST(x AS INTEGER), 0) FROM (VALUES ('none')) t(x)", 0),
    ("kraken_bot", "CAST(json_extract('{\"n\": 1.25}', '$.n') AS DOUBLE) > 1.2", True),
    ("kraken_bot", "strftime(TIMESTAMPTZ '2024-01-05 20:00:00-05:00' AT TIME ZONE 'UTC', '%Y-%m-%d')", "2024-01-06"),
]


@pytest.mark.parametrize(("platform", "text", "expected"), NEAREST)
def test_the_nearest_forms_run(tetra: Asked, kraken: Asked, platform: str, text: str, expected: object) -> None:
    assert {"tetra": tetra, "kraken_bot": kraken}[platform].one(text) == expected
