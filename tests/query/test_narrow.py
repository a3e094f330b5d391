"""Fewer files to read, never fewer rows: generated queries over a small lake, and what becomes of each kind of condition."""

import os
import re
import threading
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from coldlake import BOUNDS, TICKERS, ZONE, Bit, small_lake, write
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import QueryError
from workbench.query import narrow, newest, views
from workbench.query.views import select
from workbench.tables import TABLES

Values = dict[str, Any]
# DuckDB 2.0 sees through more functions.
NEW = duckdb.__version__ >= "2"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, duckdb.DuckDBPyConnection]]:
    """A bench, and a plain DuckDB with the same rows."""
    root = tmp_path_factory.mktemp("lake")
    _, truth = small_lake(root)
    with Workbench(Settings.load(env={}, data=str(root))) as bench:
        yield bench, truth
    truth.close()


@pytest.fixture
def bench(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> Workbench:
    both[0].con.execute("SET TimeZone = 'America/New_York'")
    return both[0]


def read(bench: Workbench, query: str, **values: object) -> int:
    """How many files a query reads of a lake of which it reads all."""
    return (bench.catalog.narrowed(query, **values) or "").count(".parquet'")


# ---------------------------------------------------------------------- generated queries

TICKER = [*(t for group in TICKERS for t in group), *BOUNDS, "AB", "AMZO", "amzn", "", "ZZZZZ", "\U0010ffff"]
DAY = ["2023-11-03", "2023-12-09", "2023-12-31", "2024-01-01", "2024-01-06", "2024-02-05", "2024-03-08", "2024-03-09", "2024-03-11"]
ZONES = ["America/New_York", "UTC", "Asia/Tokyo", "America/St_Johns"]

compare = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "IS NOT DISTINCT FROM", "IS DISTINCT FROM"])
text = st.sampled_from([f"'{t}'" for t in TICKER] + ["$t", "NULL", "$nothing", "upper('amzn')", "'A' || 'MZN'", "$l[1]"])
day = st.one_of(
    st.sampled_from(DAY).map("DATE '{}'".format),
    st.sampled_from(DAY).map("'{}'".format),
    st.sampled_from(DAY).map("TIMESTAMP '{} 09:30:00'".format),
    st.sampled_from(DAY).map("TIMESTAMPTZ '{} 00:30:00+00'".format),
    st.sampled_from(
        ["$d", "$s", "$at", "NULL::DATE", "current_date - 990", "$d + 1", "DATE '2024-01-01' - INTERVAL 2 MONTH", "$d::TIMESTAMPTZ"]
    ),
)


def conditions(m: str, *, single: bool = True) -> st.SearchStrategy[str]:
    """Conditions on a table of the lake, whose columns are written with the prefix `m`."""
    texts = st.lists(text, min_size=1, max_size=12).map(", ".join)
    ticker, dated, at = f"{m}ticker", f"{m}date", f"{m}timestamp"
    leaf = st.one_of(
        st.builds(f"{ticker} {{}} {{}}".format, compare, text),
        st.builds(f"{{1}} {{0}} {ticker}".format, compare, text),
        st.builds(f"{ticker} {{}} ({{}})".format, st.sampled_from(["IN", "NOT IN"]), texts),
        st.builds(f"{ticker} {{}} {{}} AND {{}}".format, st.sampled_from(["BETWEEN", "NOT BETWEEN"]), text, text),
        st.sampled_from(
            [
                f"{ticker} {op} '{p}'"
                for op in ("LIKE", "NOT LIKE", "ILIKE", "^@", "SIMILAR TO")
                for p in ("AM%", "Z_Z%", "%", "AMZN", "ZZé%", "B\\\\%")
            ]
        ),
        st.builds(f"starts_with({ticker}, {{}})".format, text),
        st.sampled_from(
            [f"{ticker} = ANY($l)", f"{ticker} IN $l", f"{ticker} <> ALL($l)", f"list_contains($l, {ticker})", f"{ticker} > ANY($l)"]
        ),
        st.builds(f"{ticker} IN (SELECT unnest([{{}}]))".format, texts),
        st.sampled_from([f"{ticker} IN (SELECT t FROM (VALUES ('AMZN'), ('ZZZ')) v(t))", f"{ticker} IN (SELECT ticker FROM mine)"]),
        st.builds(
            f"({ticker}, {dated}) IN (({{}}, {{}}), ('ZZZ', DATE '2024-03-08'))".format, text, st.sampled_from(DAY).map("DATE '{}'".format)
        ),
        st.sampled_from(
            [
                f"upper({ticker}) = 'BACPB'",
                f"length({ticker}) > 3",
                f"{ticker} IS NULL",
                f"{ticker} IS NOT NULL",
                f"{ticker}[1] = 'Z'",
                f"{ticker} COLLATE NOCASE = 'amzn'",
                f"{ticker} COLLATE NOCASE > 'b'",
            ]
        ),
        st.builds(f"{{}} IS NULL OR {ticker} = {{}}".format, st.sampled_from(["$t", "$nothing"]), st.sampled_from(["$t", "$nothing"])),
        st.builds(f"{dated} {{}} {{}}".format, compare, day),
        st.builds(f"{{1}} {{0}} {dated}".format, compare, day),
        st.builds(f"{dated} BETWEEN {{}} AND {{}}".format, day, day),
        st.builds(
            f"{dated} IN ({{}}, {{}})".format, st.sampled_from(DAY).map("'{}'".format), st.sampled_from(["$d", "NULL", "DATE '2024-03-08'"])
        ),
        st.builds(f"year({dated}) {{}} {{}}".format, compare, st.sampled_from(["2023", "2024", "2024.5", "NULL"])),
        st.builds(
            f"{{}}({dated}) {{}} {{}}".format,
            st.sampled_from(["month", "quarter", "dayofweek", "week", "yearweek", "isoyear", "last_day", "monthname"]),
            compare,
            st.sampled_from(["1", "3", "2024", "202401"]),
        ),
        st.builds(f"date_trunc('{{}}', {dated}) {{}} {{}}".format, st.sampled_from(["month", "week", "year"]), compare, day),
        st.builds(
            f"extract({{}} FROM {dated}) {{}} {{}}".format,
            st.sampled_from(["year", "month", "dow", "epoch"]),
            compare,
            st.sampled_from(["3", "2024", "1704067200"]),
        ),
        st.builds(
            f"strftime({dated}, '{{}}') {{}} '{{}}'".format,
            st.sampled_from(["%Y-%m", "%m-%Y", "%Y", "%d"]),
            compare,
            st.sampled_from(["2024-03", "03-2024", "2024", "05"]),
        ),
        st.sampled_from(
            [
                f"{dated}::VARCHAR LIKE '2024-0%'",
                f"{dated}::VARCHAR = '2024-03-08'",
                f"coalesce({dated}, DATE '2024-02-05') = DATE '2024-02-05'",
            ]
        ),
        st.builds(
            f"{dated} {{}} {{}} {{}} {{}}".format,
            st.sampled_from("+-"),
            st.sampled_from(["7", "INTERVAL 2 DAY", "INTERVAL 1 MONTH"]),
            compare,
            day,
        ),
        st.builds(f"DATE '2024-03-12' - {dated} {{}} {{}}".format, compare, st.integers(0, 60)),
        st.builds(f"{at} {{}} {{}}".format, compare, day),
        st.builds(f"{at}::DATE {{}} {{}}".format, compare, day),
        st.builds(f"{at} = {{}}".format, st.sampled_from(["$at", "$at + INTERVAL 1 HOUR"])),
        st.builds(
            f"({at} AT TIME ZONE '{{}}'){{}} {{}} {{}}".format, st.sampled_from(ZONES), st.sampled_from(["", "::DATE"]), compare, day
        ),
        st.builds(f"date_trunc('day', {at}) {{}} {{}}".format, compare, day),
        st.sampled_from(
            [
                f"hour({at}) = 4",
                f"{at}::TIME > '10:00:00'",
                f"year({at}) = 2024",
                f"epoch({at}) > 1704067200",
                f"time_bucket(INTERVAL 7 DAY, {at}) = '2024-03-04'",
            ]
        ),
        st.sampled_from(
            [f"{dated} = {at}::DATE", f"{m}close > 10", "random() >= 0", "TRUE", "1 = 0", "NULL", "$t = 'AMZN'", "$d > DATE '2024-01-01'"]
        ),
    )
    by_time = "window_start" if single else ""
    if by_time:
        ns = f"{m}{by_time}"
        leaf |= st.one_of(
            st.builds(
                f"{ns} {{}} {{}}".format, compare, st.sampled_from(["1704207600000000000", "$n", "1.7042e18", "1709888400000000455"])
            ),
            st.builds(
                f"{ns} {{}} {{}} {{}}".format,
                st.sampled_from(["// 1000000000", "/ 1e9", "// -5", "- 10", "* 1", "/ $z"]),
                compare,
                st.sampled_from(["1704207600", "$n", "-340841520000000000"]),
            ),
            st.sampled_from(
                [
                    f"-{ns} < -1704207600000000000",
                    f"to_timestamp({ns} / 1e9)::DATE = DATE '2024-02-05'",
                    f"make_timestamp({ns} // 1000) >= '2024-03-08'",
                    f"10 - {ns} < -1704207600000000000",
                ]
            ),
        )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds("({} AND {})".format, inner, inner),
            st.builds("({} OR {})".format, inner, inner),
            st.builds("(NOT {})".format, inner.map("({})".format)),
        ),
        max_leaves=5,
    )


def summed(*columns: str) -> str:
    """What tells two results apart, whatever their order."""
    return f"count(*), sum(hash({', '.join(columns)})::HUGEINT)"


ONE = summed("m.ticker", "m.window_start")
TWO = summed("m.ticker", "m.window_start", "d.ticker", "d.timestamp")
JOINS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]
MATCHES = [
    "m.ticker = d.ticker",
    "d.date = m.date",
    "m.ticker = d.ticker AND m.date = d.date",
    "m.date <= d.date",
    "d.timestamp = m.timestamp",
]


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A query over the small lake."""

    def where(*prefixes: str) -> str:
        parts = [draw(conditions(p, single=p != "d.")) for p in prefixes if draw(st.integers(0, 3))]
        return f"WHERE {draw(st.sampled_from([' AND ', ' AND ', ' OR '])).join(parts)}" if parts else ""

    other = draw(st.sampled_from(["stock_day", "stock_trades"]))
    match draw(st.integers(0, 20)):
        case 0 | 1 | 2:
            return f"SELECT {summed('ticker', 'window_start')} FROM {draw(st.sampled_from(['stock_minute', 'main.stock_minute', 'STOCK_MINUTE']))} {where('')}"
        case 3:
            return f"SELECT {summed('ticker', 'window_start')} FROM stock_minute {where('stock_minute.')}"
        case 4 | 5:
            extra = draw(st.sampled_from(["", " AND " + draw(conditions("m.")), " AND " + draw(conditions("d.", single=False))]))
            return f"SELECT {TWO} FROM stock_minute m {draw(st.sampled_from(JOINS))} {other} d ON {draw(st.sampled_from(MATCHES))}{extra} {where('m.', 'd.')}"
        case 6:
            using = draw(st.sampled_from(["ticker", "date", "ticker, date", "timestamp"]))
            return f"SELECT {TWO} FROM stock_minute m {draw(st.sampled_from(JOINS))} {other} d USING ({using}) {where('m.', 'd.')}"
        case 7:
            return (
                f"SELECT {TWO} FROM stock_minute m {draw(st.sampled_from(JOINS))} {other} d USING (ticker, date, timestamp) {where('')}".replace(
                    "window_start", "date"
                )
                if draw(st.booleans())
                else (
                    f"SELECT {summed('ticker', 'date')} FROM stock_minute m {draw(st.sampled_from(JOINS))} {other} d USING (ticker, date, timestamp) WHERE {draw(conditions('', single=False)).replace('close', 'high')}"
                )
            )
        case 8:
            kind = draw(st.sampled_from(["SEMI", "ANTI"]))
            extra = draw(st.sampled_from(["", " AND " + draw(conditions("m.")), " AND " + draw(conditions("d.", single=False))]))
            return f"SELECT {ONE} FROM stock_minute m {kind} JOIN {other} d ON {draw(st.sampled_from(MATCHES))}{extra} {where('m.')}"
        case 9:
            kind = draw(st.sampled_from(["ASOF JOIN", "ASOF LEFT JOIN"]))
            on = draw(
                st.sampled_from(
                    [
                        "ON m.ticker = d.ticker AND m.timestamp >= d.timestamp",
                        "USING (ticker, timestamp)",
                        "ON m.ticker = d.ticker AND m.date = d.date AND d.timestamp <= m.timestamp",
                    ]
                )
            )
            return f"SELECT {TWO} FROM stock_minute m {kind} {other} d {on} {where('m.', 'd.')}"
        case 10:
            return f"SELECT {TWO} FROM stock_minute m, {other} d {where('m.', 'd.')} {'AND' if True else ''} {draw(st.sampled_from(MATCHES))}".replace(
                "d  AND", "d WHERE"
            )
        case 11:
            values = draw(
                st.sampled_from(
                    [
                        "(VALUES ('AMZN'), ('ZZé'), (NULL)) v(t)",
                        "unnest($l) v(t)",
                        "(SELECT unnest(['A', 'MSFT']) AS t) v",
                        "(SELECT ticker AS t FROM mine) v",
                        "listed v",
                    ]
                )
            )
            on = draw(st.sampled_from(["m.ticker = t", "v.t = m.ticker", "m.ticker >= t", "ticker = v.t"]))
            order = draw(st.sampled_from([f"stock_minute m {{}} {values}", f"{values} {{}} stock_minute m"])).format(
                draw(st.sampled_from([*JOINS, "SEMI JOIN"]))
            )
            left = "t" if "SEMI" in order and order.startswith(values) else "m.window_start"
            return f"WITH listed(t) AS (VALUES ('MSFT'), ('AMZN')) SELECT {summed(left)} FROM {order} ON {on} {where('m.') if left != 't' else ''}"
        case 12:
            return f"WITH a AS (SELECT * FROM stock_minute {where('')}), stock_day AS (SELECT * FROM a) SELECT {ONE} FROM stock_day m {where('m.')}"
        case 13:
            return f"SELECT {ONE} FROM stock_minute m WHERE {draw(st.sampled_from(['', 'NOT ']))}EXISTS (SELECT 1 FROM {other} d WHERE d.ticker = m.ticker AND {draw(conditions('d.', single=False))}) AND {draw(conditions('m.'))}"
        case 14:
            return f"SELECT {summed('ticker', 'n')} FROM (SELECT ticker, close AS n FROM stock_minute {where('')} UNION ALL SELECT ticker, price FROM stock_trades d {where('d.').replace('close', 'price')})"
        case 15:
            third = draw(st.sampled_from(JOINS))
            return f"SELECT {summed('m.window_start', 'd.timestamp', 't.timestamp')} FROM stock_minute m {draw(st.sampled_from(JOINS))} stock_day d ON {draw(st.sampled_from(MATCHES[:3]))} {third} stock_trades t ON t.ticker = d.ticker AND t.date = d.date {where('m.', 't.').replace('t.window_start', 't.sip_timestamp').replace('t.close', 't.price')}"
        case 16:
            return f"SELECT {summed('m.window_start', 'd.timestamp', 'q.timestamp')} FROM stock_minute m {draw(st.sampled_from(JOINS))} (stock_day d {draw(st.sampled_from(JOINS))} stock_trades q ON q.ticker = d.ticker) ON m.ticker = d.ticker AND m.date = d.date {where('m.', 'd.')}"
        case 17:
            # What a row of a third table matches need not be equal in those that match none.
            kind = draw(st.sampled_from(["LEFT", "RIGHT", "FULL", "ANTI", "SEMI", "INNER"]))
            third = draw(
                st.sampled_from(
                    ["ON m.ticker = t.ticker AND d.ticker = t.ticker", "ON m.date = t.date AND t.date = d.date", "USING (ticker, date)"]
                )
            )
            first = draw(
                st.sampled_from(
                    ["stock_minute m JOIN stock_day d USING (ticker, date)", "stock_minute m JOIN stock_day d ON m.date = d.date"]
                )
            )
            first, third = (first, third) if "USING" in first or "ON" in third else (first, "ON m.ticker = t.ticker")
            return f"SELECT {TWO} FROM {first} {kind} JOIN stock_trades t {third} {where('m.', 'd.')}"
        case 18 | 19:
            table = draw(st.sampled_from(["stock_minute", "(SELECT * FROM stock_minute UNION ALL SELECT * FROM stock_day) AS m"]))
            order = draw(st.sampled_from(["DESC", "ASC", "", "DESC NULLS LAST", "DESC NULLS FIRST", "DESC, ticker"]))
            return f"SELECT timestamp FROM {table} {where('')} ORDER BY timestamp {order} LIMIT {draw(st.sampled_from(['1', '3', '40 OFFSET 3', '0']))}"
        case _:
            return f"SELECT {summed('ticker', 'x')} FROM (SELECT ticker, rank() OVER (PARTITION BY ticker ORDER BY timestamp) AS x FROM stock_minute {where('')}) WHERE x < 4"


# In the place of a table: what conditions pass through, and what they must not.
WRAPS = [
    "(SELECT * FROM {t})",
    "(SELECT * FROM {t} WHERE ticker <> 'AAPL' ORDER BY date)",
    "(SELECT DISTINCT * FROM {t})",
    "(SELECT x.* FROM {t} x JOIN stock_day y USING (ticker, date))",
    "(SELECT x.* FROM {t} x LEFT JOIN stock_trades y ON x.ticker = y.ticker AND x.date = y.date)",
    "(SELECT x.* REPLACE (y.date AS date, y.ticker AS ticker) FROM {t} x LEFT JOIN stock_trades y ON x.ticker = y.ticker AND x.date = y.date)",
    "(SELECT y.* REPLACE (x.date AS date) FROM stock_day x RIGHT JOIN {t} y ON x.ticker = y.ticker AND x.date >= y.date)",
    "(SELECT * FROM {t} UNION ALL SELECT * FROM {t} WHERE ticker = 'AMZN')",
    "(SELECT * FROM {t} UNION SELECT * REPLACE (DATE '2024-03-08' AS date) FROM {t})",
    "(SELECT * REPLACE (timestamp AS date) FROM {t} UNION ALL BY NAME SELECT date, ticker FROM stock_day)",
    "(SELECT * FROM {t} UNION ALL BY NAME SELECT ticker, TIMESTAMP '2024-03-08 12:00:00' AS date, timestamp FROM stock_day)",
    "(SELECT * FROM {t} EXCEPT ALL SELECT * FROM {t} WHERE date = '2024-03-08')",
    "(SELECT * FROM {t} ORDER BY timestamp, ticker LIMIT 30)",
    "(SELECT DISTINCT ON (ticker) * FROM {t} ORDER BY ticker, timestamp)",
    "(SELECT * FROM {t} QUALIFY row_number() OVER (PARTITION BY ticker ORDER BY timestamp) <= 3)",
    "(SELECT * FROM {t} QUALIFY row_number() OVER (PARTITION BY date ORDER BY ticker, timestamp) <= 3)",
    "(SELECT * REPLACE (lag(date) OVER (PARTITION BY ticker ORDER BY timestamp) AS date) FROM {t})",
    "(SELECT * REPLACE (date + 3 AS date) FROM {t})",
    "(SELECT * EXCLUDE (date), timestamp::DATE AS date FROM {t})",
    "(SELECT ALL *, ticker AS other FROM {t} GROUP BY ALL HAVING count(*) = 1)",
    "(WITH stock_day AS (FROM {t}) FROM stock_day)",
    "(WITH one AS (FROM {t}), two AS (SELECT * FROM one WHERE date > '2024-01-03') SELECT * FROM one EXCEPT ALL FROM two)",
]


@st.composite
def wrapped(draw: st.DrawFn) -> str:
    """A query in which subqueries or a CTE stand for some of the tables."""
    query = draw(queries())

    def one(table: re.Match[str]) -> str:
        return f"{draw(st.sampled_from(WRAPS)).format(t=table[1])} {table[2]}" if draw(st.integers(0, 2)) else table[0]

    if query.startswith("SELECT") and draw(st.booleans()):
        body = draw(st.sampled_from(WRAPS)).format(t="stock_minute")
        query = f"WITH wrapped AS {body} {re.sub(r'stock_minute m', 'wrapped m', query)}"
    return re.sub(r"(?<!t )\b(stock_minute|stock_day|stock_trades) ([mdtq])\b", one, query)


def values_in(query: str, values: Values) -> Values:
    """The values that a query takes."""
    return {name: value for name, value in values.items() if re.search(rf"\${name}\b", query)}


VALUES = st.fixed_dictionaries(
    {
        "t": st.sampled_from(TICKER),
        "nothing": st.none(),
        "l": st.lists(st.sampled_from(TICKER) | st.none(), max_size=10),
        "d": st.sampled_from(DAY).map(date.fromisoformat),
        "s": st.sampled_from(DAY),
        "at": st.sampled_from(DAY).map(lambda d: datetime.fromisoformat(d).replace(hour=4, microsecond=455, tzinfo=ZONE)),
        "n": st.sampled_from([0, 1704207600000000000, 1709888400000000455]),
        "z": st.sampled_from([-3, 3]),
    }
)


def answer(con: Any, query: str, values: Values) -> tuple[str, object]:
    """A query's rows, or its refusal."""
    try:
        found = con(query, **values) if callable(con) else con.execute(query, values or None)
        return "rows", found.fetchall()
    except duckdb.Error as fault:
        return "refused", next(base.__name__ for base in type(fault).__mro__ if base.__module__ == "_duckdb")


def same(both: tuple[Workbench, duckdb.DuckDBPyConnection], query: str, values: Values, zone: str) -> None:
    """A narrowed query answers like one over plain tables."""
    bench, truth = both
    values = values_in(query, values)
    for con in (bench.con, truth):
        con.execute(f"SET TimeZone = '{zone}'")
        con.execute("CREATE TEMP TABLE IF NOT EXISTS mine AS SELECT unnest(['AMZN', 'MSFU', 'nobody']) AS ticker")
    expected = answer(truth, query, values)
    fewer = bench.catalog.narrowed(query, **values)
    event(f"{'narrowed' if fewer else 'whole'}, {expected[0]}")
    found = answer(bench.sql, query, values)
    if found[0] == expected[0] == "rows":
        assert found == expected, fewer
    elif found[0] != "rows":
        # DuckDB may meet the fault of a condition in one plan and not in another.
        assert found == answer(bench.con, query, values), fewer


# `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("WORKBENCH_EXAMPLES", "80"))


@pytest.mark.timeout(3600)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=queries(), values=VALUES, zone=st.sampled_from(ZONES))
def test_a_narrowed_query_answers_like_one_over_plain_tables(both: Any, query: str, values: Values, zone: str) -> None:
    same(both, query, values, zone)


@pytest.mark.timeout(3600)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=wrapped(), values=VALUES, zone=st.sampled_from(ZONES))
def test_a_narrowed_query_answers_like_one_over_plain_subqueries(both: Any, query: str, values: Values, zone: str) -> None:
    same(both, query, values, zone)


# ---------------------------------------------------------------------- what is read of 17 files of minutes, 3 of days, 12 of trades

CASES: list[tuple[str, int, Values]] = [
    # Tickers: one range has 4 files (3 without February), and 2 hot files may hold anybody.
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL'", 6, {}),
    ("SELECT * FROM stock_minute AS m WHERE m.ticker = $t", 5, {"t": "MSFT"}),
    ("SELECT * FROM main.stock_minute WHERE ticker IN ('AAPL', 'ZZZ')", 10, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' OR ticker = 'ZZZ'", 10, {}),
    ("SELECT * FROM stock_minute WHERE ticker = ANY($l)", 10, {"l": ["AAPL", "ZZZ", None]}),
    ("SELECT * FROM stock_minute WHERE ticker IN $l", 6, {"l": ["AAPL"]}),
    ("SELECT * FROM stock_minute WHERE ticker IN (SELECT unnest(['AAPL', 'ZZZ']))", 10, {}),
    ("SELECT * FROM stock_minute WHERE ticker LIKE 'AAP%'", 6, {}),
    ("SELECT * FROM stock_minute WHERE starts_with(ticker, 'Z')", 6, {}),
    ("SELECT * FROM stock_minute WHERE ticker BETWEEN 'A' AND 'AMZ'", 10, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AB'", 2, {}),
    # The first rows by time are looked for in the newest file, or the oldest; where it has too few, in all.
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1", 1, {}),
    (
        "SELECT m.timestamp, close AS c FROM stock_minute m WHERE ticker = $t ORDER BY m.timestamp DESC, close LIMIT 1 OFFSET 1",
        1,
        {"t": "AAPL"},
    ),
    ("FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp ASC NULLS LAST LIMIT 2", 1, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 5", 6, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AB' OR ticker = 'AAPL' AND date < '2024-01-01' ORDER BY timestamp DESC LIMIT 1", 4, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC NULLS FIRST LIMIT 1", 6, {}),
    ("SELECT close AS timestamp FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT * REPLACE (close AS timestamp) FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT unnest([1, 2]) FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' AND random() >= 0 ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' AND timestamp < now() ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT DISTINCT timestamp FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT timestamp FROM stock_minute WHERE ticker = 'AAPL' GROUP BY timestamp ORDER BY timestamp DESC LIMIT 1", 6, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY close, timestamp DESC LIMIT 1", 6, {}),
    # Of the right side of an ANTI JOIN, what can match.
    ("SELECT * FROM stock_minute m ANTI JOIN stock_day d ON m.ticker = d.ticker AND d.date = '2024-03-08'", 1, {}),
    ("SELECT * FROM stock_day d ANTI JOIN stock_minute m USING (ticker, date) WHERE d.date = '2024-03-08'", 2, {}),
    # What is made of a column, or is a constant in a side of a UNION, passes through.
    ("SELECT * FROM (SELECT timestamp::DATE AS d, close FROM stock_minute) WHERE d = '2024-03-11'", 1, {}),
    ("SELECT * FROM (SELECT date_trunc('month', date) AS m FROM stock_minute GROUP BY ALL) WHERE m = '2024-02-01'", 3, {}),
    ("SELECT * FROM (SELECT '1m' AS f, date FROM stock_minute UNION ALL SELECT '1d', date FROM stock_day) WHERE f = '1d'", 3, {}),
    (
        "SELECT * FROM (SELECT '1m' AS f, date FROM stock_minute UNION ALL SELECT '1d', date FROM stock_day) WHERE f IN ('1m', 'x') AND date > '2024-03-08'",
        1,
        {},
    ),
    ("SELECT * FROM (SELECT ticker FROM stock_minute UNION ALL SELECT price::VARCHAR FROM stock_trades) WHERE ticker = 'AAPL'", 6, {}),
    ("SELECT * FROM stock_minute WHERE time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York') = '2024-03-11'", 1, {}),
    ("SELECT * FROM stock_minute WHERE ticker > 'ZZé'", 0, {}),
    ("SELECT * FROM stock_minute WHERE NOT (ticker <= 'ZZ' OR close > 3)", 6, {}),
    ("SELECT * FROM stock_minute WHERE (ticker, date) IN (('AAPL', DATE '2024-02-05'), ('MSFT', DATE '2024-02-05'))", 1, {}),
    ("SELECT * FROM stock_minute WHERE $t IS NULL OR ticker = $t", 6, {"t": "AAPL"}),
    # Dates.
    ("SELECT * FROM stock_minute WHERE date = '2024-03-08'", 1, {}),
    ("SELECT * FROM stock_minute WHERE date >= $start AND ticker = 'AAPL'", 3, {"start": date(2024, 2, 1)}),
    ("SELECT * FROM stock_minute WHERE date >= $start::DATE - INTERVAL 1 MONTH", 5, {"start": "2024-03-01"}),
    ("SELECT * FROM stock_minute WHERE date > current_date - 7", 0, {}),
    ("SELECT * FROM stock_minute WHERE year(date) = 2024 AND ticker = 'ZZZ'", 4, {}),
    ("SELECT * FROM stock_minute WHERE extract(year FROM date) = 2023", 8, {}),
    ("SELECT * FROM stock_minute WHERE date_trunc('month', date) = DATE '2024-02-01'", 3, {}),
    ("SELECT * FROM stock_minute WHERE strftime(date, '%Y-%m') = '2024-03'", 2, {}),
    ("SELECT * FROM stock_minute WHERE date::VARCHAR LIKE '2024-03%'", 2, {}),
    ("SELECT * FROM stock_minute WHERE dayname(date) = 'Friday'", 13, {}),
    ("SELECT * FROM stock_minute WHERE timestamp >= '2024-03-11'", 1, {}),
    ("SELECT * FROM stock_minute WHERE timestamp::DATE = DATE '2024-03-08'", 1, {}),
    ("SELECT * FROM stock_minute WHERE window_start >= 1710100000000000000", 1, {}),
    ("SELECT * FROM stock_minute WHERE to_timestamp(window_start / 1000000000) >= '2024-03-11'", 1, {}),
    # Joins.
    ("SELECT * FROM stock_minute JOIN (VALUES ('AAPL'), ('ZZZ')) v(t) ON ticker = t", 10, {}),
    ("SELECT * FROM unnest($l) u(ticker) JOIN stock_minute USING (ticker)", 6, {"l": ["AAPL"]}),
    ("WITH mine(t) AS (VALUES ('AAPL')) SELECT * FROM stock_minute, mine WHERE t = ticker", 6, {}),
    ("SELECT * FROM stock_minute m JOIN stock_day d USING (ticker, date) WHERE m.date = '2024-03-08'", 2, {}),
    (
        "SELECT * FROM stock_day d LEFT JOIN stock_trades t ON t.ticker = d.ticker AND t.date = d.date WHERE d.date > '2024-03-07' AND d.ticker = 'AAPL'",
        3,
        {},
    ),
    (
        "SELECT * FROM stock_trades t ASOF JOIN stock_minute m ON t.ticker = m.ticker AND t.timestamp >= m.timestamp WHERE t.ticker = 'AAPL' AND t.date = '2024-03-08'",
        7,
        {},
    ),
    ("SELECT * FROM stock_minute m SEMI JOIN stock_day d ON m.ticker = d.ticker AND d.date = '2024-03-08' WHERE m.ticker = 'AAPL'", 7, {}),
    # What an ASOF join matches is decided by all rows of its group, and ON of an outer join says nothing of the side that stays.
    ("SELECT * FROM stock_minute m ASOF JOIN stock_trades t USING (ticker, timestamp) WHERE m.timestamp >= '2024-03-11'", 1, {}),
    (
        "SELECT * FROM stock_minute m ASOF JOIN stock_trades t ON m.ticker = t.ticker AND m.timestamp >= t.timestamp "
        "WHERE t.date = '2024-03-08' AND m.ticker = 'AAPL'",
        9,
        {},
    ),
    (
        "SELECT * FROM stock_day d LEFT JOIN stock_trades t ON d.ticker = t.ticker AND d.date = '2024-03-08' AND t.date = '2024-03-08'",
        4,
        {},
    ),
    # Where they stand.
    ("WITH a AS (SELECT * FROM stock_minute WHERE ticker = 'AAPL') SELECT max(close) FROM a", 6, {}),
    ("SELECT * FROM (SELECT * FROM stock_minute WHERE ticker = 'AAPL') WHERE close > 3", 6, {}),
    ("SELECT 1 WHERE EXISTS (SELECT 1 FROM stock_minute WHERE ticker = 'AAPL')", 6, {}),
    ("SELECT close FROM stock_minute WHERE ticker = 'AAPL' UNION ALL SELECT close FROM stock_day WHERE date = '2024-03-08'", 7, {}),
    ("EXPLAIN SELECT * FROM stock_minute WHERE ticker = 'AAPL'", 6, {}),
    # What is asked of a subquery or CTE is asked of the columns that it passes on.
    ("SELECT * FROM (SELECT ticker AS t, date AS d FROM stock_minute) WHERE t = 'AAPL' AND d >= '2024-03-01'", 2, {}),
    ("SELECT count(*) FROM (SELECT timestamp AS date, date AS timestamp FROM stock_minute) s(ticker) WHERE ticker > '2024-03-08'", 2, {}),
    ("SELECT s.b FROM (SELECT ticker, date FROM stock_minute) s(a, b) WHERE s.a = 'AAPL'", 6, {}),
    ("WITH a(t) AS (SELECT * FROM stock_minute) SELECT count(*) FROM a b WHERE b.t = 'AAPL' AND b.date > '2024-03-01'", 2, {}),
    ("WITH a(t) AS (SELECT * FROM stock_minute) SELECT count(*) FROM a b(u) WHERE u = 'AAPL' AND date > '2024-03-01'", 2, {}),
    ("SELECT * FROM (SELECT ticker, date FROM stock_minute UNION ALL SELECT ticker, date FROM stock_day) WHERE date = '2024-03-08'", 2, {}),
    ("SELECT * FROM (SELECT date, NULL AS n FROM stock_day UNION SELECT NULL, close FROM stock_minute) WHERE date = '2024-03-08'", 1, {}),
    ("SELECT * FROM (SELECT ticker, date, count(*) FROM stock_minute GROUP BY ticker, date) WHERE date = '2024-03-08'", 1, {}),
    ("SELECT * FROM (SELECT DISTINCT ticker FROM stock_minute) WHERE ticker = 'AAPL'", 6, {}),
    (
        "SELECT * FROM (SELECT *, rank() OVER (PARTITION BY ticker ORDER BY timestamp) AS r FROM stock_minute) WHERE ticker = 'AAPL' AND r < 3",
        6,
        {},
    ),
    ("SELECT m.* FROM (SELECT * EXCLUDE (date) FROM stock_minute) m JOIN stock_day d USING (ticker) WHERE d.ticker = 'AAPL'", 9, {}),
    ("SELECT * FROM (SELECT d.* FROM stock_day d LEFT JOIN stock_minute m USING (ticker, date)) WHERE ticker = 'AAPL'", 9, {}),
    (
        "SELECT * FROM stock_trades t ASOF JOIN (SELECT * FROM stock_minute WHERE date > '2024-03-01') m "
        "ON t.ticker = m.ticker AND t.timestamp >= m.timestamp WHERE t.ticker = 'AAPL' AND t.date = '2024-03-08'",
        3,
        {},
    ),
    ("SELECT * FROM stock_minute LIMIT 5", 1, {}),
    ("SELECT ticker, close FROM stock_minute LIMIT $n OFFSET 26", 3, {"n": 5}),
    ("DESCRIBE stock_minute", 0, {}),
]


@pytest.mark.parametrize(("query", "files", "values"), CASES, ids=[query for query, _, _ in CASES])
def test_what_a_query_reads(
    both: tuple[Workbench, duckdb.DuckDBPyConnection], bench: Workbench, query: str, files: int, values: Values
) -> None:
    narrowed = bench.catalog.narrowed(query, **values)
    assert narrowed is not None
    assert narrowed.count(".parquet'") == files
    found = bench.sql(query, **values).fetchall()
    if not re.search("EXPLAIN|LIMIT", query):
        both[1].execute("SET TimeZone = 'America/New_York'")
        assert sorted(map(str, found)) == sorted(map(str, both[1].execute(query, values or None).fetchall()))


def test_every_comparison_with_every_value(both: tuple[Workbench, duckdb.DuckDBPyConnection], bench: Workbench) -> None:
    """Least, greatest and everything between, in every order: where a bound is off by one, a row is lost here."""
    both[1].execute("SET TimeZone = 'America/New_York'")
    instants = [
        f"TIMESTAMPTZ '{at}'" for (at,) in both[1].execute("SELECT min(timestamp)::VARCHAR FROM stock_minute GROUP BY date").fetchall()
    ]
    stamps = [str(ns) for (ns,) in both[1].execute("SELECT max(window_start) FROM stock_minute GROUP BY date").fetchall()]
    columns = {"ticker": [f"'{t}'" for t in TICKER], "date": [f"DATE '{d}'" for d in DAY], "timestamp": instants, "window_start": stamps}
    for column, values in columns.items():
        for operator in ("=", "<>", "<", "<=", ">", ">=", "IS NOT DISTINCT FROM"):
            parts = [f"SELECT {n}, count(*) FROM stock_minute WHERE {column} {operator} {value}" for n, value in enumerate(values)]
            parts += [f"SELECT {n}, -count(*) FROM stock_minute WHERE NOT ({column} {operator} {value})" for n, value in enumerate(values)]
            query = " UNION ALL ".join(parts) + " ORDER BY ALL"
            assert bench.catalog.narrowed(query)
            assert bench.sql(query).fetchall() == both[1].execute(query).fetchall(), (column, operator)


WHOLE: list[tuple[str, Values]] = [
    # Fewer rows of the table would change others of the subquery's, or its column is not the table's.
    ("SELECT count(*) FROM (SELECT * FROM stock_minute ORDER BY timestamp, ticker LIMIT 30) WHERE ticker = 'AAPL'", {}),
    ("SELECT count(*) FROM (SELECT DISTINCT ON (ticker) * FROM stock_minute ORDER BY ticker, timestamp) WHERE date < '2024-01-01'", {}),
    (
        "SELECT max(r) FROM (SELECT *, row_number() OVER (PARTITION BY ticker ORDER BY timestamp) AS r FROM stock_minute) WHERE date > '2024-03-01'",
        {},
    ),
    ("SELECT count(*) FROM (SELECT ticker, max(date) AS date FROM stock_minute GROUP BY ticker) WHERE date < '2024-03-01'", {}),
    (
        "SELECT count(*) FROM (SELECT ticker, date FROM stock_minute GROUP BY GROUPING SETS ((ticker), (date))) WHERE date = '2024-03-08'",
        {},
    ),
    ("SELECT count(*) FROM (SELECT * REPLACE (date + 30 AS date) FROM stock_minute) WHERE date > '2024-03-20'", {}),
    ("SELECT count(*) FROM (SELECT date FROM stock_minute UNION ALL SELECT timestamp FROM stock_day) WHERE date < '2024-03-08 12:00'", {}),
    (
        "SELECT count(*) FROM (SELECT date FROM stock_minute UNION ALL SELECT TIMESTAMP '2024-03-08 12:00:00') WHERE date < '2024-03-08 12:00'",
        {},
    ),
    (
        "SELECT count(*) FROM (SELECT d.date FROM stock_minute m LEFT JOIN stock_day d ON m.ticker = d.ticker AND m.date = d.date) "
        "WHERE coalesce(date, DATE '2024-02-05') = DATE '2024-02-05'",
        {},
    ),
    ("SELECT count(*) FROM (FROM stock_minute EXCEPT ALL FROM stock_minute) WHERE date < '2024-03-08'", {}),
    ("WITH a AS (FROM stock_minute) SELECT (SELECT count(*) FROM a WHERE ticker = 'AAPL'), (SELECT count(*) FROM a)", {}),
    (
        "WITH RECURSIVE a AS (SELECT ticker, 1 AS n FROM stock_minute UNION ALL SELECT ticker, n + 1 FROM a WHERE n < 3) FROM a WHERE ticker = 'AAPL'",
        {},
    ),
    ("SELECT count(*) FROM stock_minute", {}),
    ("SELECT * FROM stock_minute WHERE upper(ticker) = 'AAPL'", {}),
    ("SELECT * FROM stock_minute WHERE ticker ILIKE 'aapl'", {}),
    ("SELECT * FROM stock_minute WHERE ticker COLLATE NOCASE = 'aapl'", {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' OR close > 3", {}),
    ("SELECT * FROM stock_minute WHERE ticker = $t", {"t": 5}),
    ("SELECT * FROM stock_minute WHERE ticker = chr(65 + (random() * 3)::INT)", {}),
    ("SELECT * FROM stock_minute USING SAMPLE 3 ROWS", {}),
    ("SELECT * FROM stock_minute TABLESAMPLE 50% WHERE ticker = 'AAPL'", {}),
    ("SELECT * FROM stock_minute m POSITIONAL JOIN stock_day d WHERE m.ticker = 'AAPL' AND d.ticker = 'AAPL'", {}),
    ("SELECT * FROM stock_minute m(a, b) WHERE m.a = 'AAPL'", {}),
    ("SELECT * FROM stock_day d LEFT JOIN stock_minute m ON d.ticker = 'AAPL' AND m.close > 3", {}),
    ("SELECT * FROM stock_minute m FULL JOIN stock_day d ON m.ticker = d.ticker AND m.ticker = 'AAPL'", {}),
    ("SELECT * FROM stock_minute m ANTI JOIN stock_day d ON m.ticker = 'AAPL' AND d.close > 3", {}),
    ("SELECT count(*) FILTER (ticker = 'AAPL') FROM stock_minute", {}),
    ("SELECT ticker, count(*) FROM stock_minute GROUP BY ticker HAVING ticker = 'AAPL'", {}),
    ("SELECT 'AAPL' AS t FROM stock_minute WHERE t = 'AAPL'", {}),
    ("WITH stock_minute AS (SELECT 'AAPL' AS ticker) SELECT * FROM stock_minute WHERE ticker = 'AAPL'", {}),
    ("SELECT * FROM stock_minute WHERE ticker IN (SELECT ticker FROM stock_day)", {}),
    ("SELECT * FROM stock_minute ORDER BY close LIMIT 5", {}),
    ("SELECT DISTINCT ticker FROM stock_minute LIMIT 5", {}),
    ("SELECT sum(close) FROM stock_minute LIMIT 5", {}),
    ("SUMMARIZE stock_minute", {}),
    ("CREATE OR REPLACE TEMP TABLE made AS SELECT * FROM stock_minute WHERE ticker = 'AAPL'", {}),
    ("SELECT 1; SELECT * FROM stock_minute WHERE ticker = 'AAPL'", {}),
    ("SELECT 'stock_minute'", {}),
]


@pytest.mark.parametrize(("query", "values"), WHOLE, ids=[query for query, _ in WHOLE])
def test_what_is_read_whole(bench: Workbench, query: str, values: Values) -> None:
    assert bench.catalog.narrowed(query, **values) is None


# ---------------------------------------------------------------------- the session around it


def test_a_name_that_means_something_else_is_left_alone(bench: Workbench) -> None:
    query = "SELECT count(*) FROM stock_day WHERE ticker = 'AAPL'"
    everything = read(bench, "SELECT * FROM stock_day WHERE date = '2024-03-08'")
    assert everything == 1
    con = bench.con

    con.execute("CREATE TEMP TABLE stock_day AS SELECT 'AAPL' AS ticker, DATE '2024-03-08' AS date")
    assert bench.sql(query + " AND date = '2024-03-08'").fetchall() == [(1,)]
    assert not read(bench, "SELECT * FROM stock_day WHERE date = '2024-03-08'")
    con.execute("DROP TABLE temp.stock_day")

    con.register("stock_day", pl.DataFrame({"ticker": ["AAPL"], "date": [date(2024, 3, 8)]}).to_arrow())
    assert bench.sql(query + " AND date = '2024-03-08'").fetchall() == [(1,)]
    assert not read(bench, "SELECT * FROM stock_day WHERE date = '2024-03-08'")
    con.unregister("stock_day")

    con.execute(
        "CREATE SCHEMA mine; CREATE TABLE mine.stock_day AS SELECT 'x' AS ticker, DATE '2024-03-08' AS date; SET search_path = 'mine'"
    )
    assert bench.sql("SELECT count(*) FROM stock_day WHERE date = '2024-03-08'").fetchall() == [(1,)]
    con.execute("RESET search_path; DROP SCHEMA mine CASCADE")

    assert read(bench, "SELECT * FROM stock_day WHERE date = '2024-03-08'") == 1


def test_a_function_of_the_users_own_is_not_trusted(bench: Workbench) -> None:
    query = "SELECT count(*) FROM stock_minute WHERE year(date) = 1"
    assert bench.sql(query).fetchall() == [(0,)]
    bench.sql("CREATE MACRO year(x) AS 1")
    assert bench.sql(query).fetchall() == bench.sql("SELECT count(*) FROM stock_minute").fetchall()
    bench.sql("DROP MACRO year")
    assert bench.sql(query).fetchall() == [(0,)]


def test_settings_that_change_comparisons_are_heeded(bench: Workbench) -> None:
    query = "SELECT * FROM stock_minute WHERE ticker = 'AAPL'"
    bench.con.execute("SET default_collation = 'nocase'")
    assert not read(bench, query)
    bench.con.execute("RESET default_collation")
    assert read(bench, query) == 6


def test_the_sessions_time_zone_decides_what_a_date_means(bench: Workbench) -> None:
    # 19:00 in New York is the next day in Tokyo.
    query = "SELECT count(*) FROM stock_minute WHERE timestamp::DATE = DATE '2024-03-09'"
    assert bench.sql(query).fetchall() == [(0,)]
    bench.sql("SET TimeZone = 'Asia/Tokyo'")
    assert bench.sql(query).fetchall() == [(sum(map(len, TICKERS)),)]


def test_a_refusal_is_about_the_users_own_text(bench: Workbench) -> None:
    with pytest.raises(QueryError, match="nonsense") as refused:
        bench.sql("SELECT nonsense FROM stock_minute WHERE ticker = 'AAPL'")
    assert "parquet" not in str(refused.value)


def test_a_table_named_in_full_in_a_column_is_still_understood(bench: Workbench) -> None:
    query = "SELECT count(main.stock_day.close) FROM stock_day WHERE main.stock_day.ticker = 'AAPL' AND date = '2024-03-08'"
    assert bench.sql(query).fetchall() == [(1,)]


def test_a_transaction_of_the_users_own_is_left_alone(bench: Workbench) -> None:
    bench.sql("BEGIN")
    assert not read(bench, "SELECT * FROM stock_minute WHERE ticker = 'AAPL'")
    assert bench.sql("SELECT count(*) FROM stock_minute WHERE ticker = 'AB'").fetchall() == [(0,)]
    bench.sql("COMMIT")
    assert read(bench, "SELECT * FROM stock_minute WHERE ticker = 'AAPL'") == 6


def test_columns_and_types_are_those_of_the_query(bench: Workbench) -> None:
    for query in (
        "SELECT * FROM stock_minute WHERE ticker = 'AAPL'",
        "SELECT count(*), sum(Close), Ticker || 'x', avg(m.low) AS \"Odd name\" FROM stock_minute m WHERE ticker = 'AAPL' GROUP BY 3",
        "SELECT * FROM stock_minute WHERE ticker > 'ZZé'",
    ):
        relation = bench.sql(query)
        whole = bench.con.sql(query)
        assert bench.catalog.narrowed(query)
        assert (relation.columns, list(relation.types)) == (whole.columns, list(whole.types))


def test_a_frame_of_the_caller_is_found_in_a_narrowed_query(bench: Workbench) -> None:
    weights = pl.DataFrame({"ticker": ["AAPL", "MSFT"], "weight": [0.5, 1.0]})
    query = "SELECT DISTINCT weight FROM stock_minute JOIN weights USING (ticker) WHERE stock_minute.ticker = 'AAPL'"
    assert bench.catalog.narrowed(query)
    assert bench.sql(query).fetchall() == [(0.5,)]
    assert len(weights) == 2


def test_many_files_of_a_few_tickers_are_read_ticker_by_ticker(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FLAT", 2)
    for query, values in (
        (
            "SELECT ticker, count(*) FROM stock_minute WHERE ticker IN ('AAPL', 'ZZZ', 'AAPL', NULL, 'AB') GROUP BY ticker ORDER BY ticker",
            {},
        ),
        (
            "SELECT ticker, count(*) FROM stock_minute JOIN unnest($l) v(t) ON ticker = t GROUP BY ticker ORDER BY ticker",
            {"l": ["AAPL", "ZZZ", None]},
        ),
        (
            "SELECT ticker, count(*) FROM stock_minute WHERE ticker = ANY($l) AND date > '2020-01-01' GROUP BY ticker ORDER BY ticker",
            {"l": ["AAPL", "ZZZ"]},
        ),
    ):
        assert "WHERE ticker = 'AAPL'" in (bench.catalog.narrowed(query, **values) or "")
        assert bench.sql(query, **values).fetchall() == [("AAPL", 26), ("ZZZ", 26)]
    dates = "SELECT count(*) FROM stock_minute WHERE date > '2024-01-01'"
    assert "WHERE ticker >= 'AM' AND ticker < 'C'" in (bench.catalog.narrowed(dates) or "")
    assert bench.sql(dates).fetchall() == bench.con.execute(dates).fetchall()


def test_tickers_that_look_like_numbers_are_not_compared_as_text(tmp_path: Path) -> None:
    lake, truth = small_lake(tmp_path)
    numbers = [Bit("2023", "00", tickers, [date(2023, 5, 5)], (0,)) for tickers in (["1", "20", "3"], ["05", "5"])]
    write(lake["crypto_day"], numbers, (), truth)
    with Workbench(Settings.load(env={}, data=str(tmp_path))) as bench:
        for query in ("SELECT count(*) FROM crypto_day WHERE ticker = 20", "SELECT count(*) FROM crypto_day WHERE ticker < 4"):
            assert answer(bench.sql, query, {}) == answer(truth, query, {})
        assert read(bench, "SELECT * FROM crypto_day WHERE ticker = '05'") == 1


def test_threads_narrow_while_the_lake_moves(tmp_path: Path) -> None:
    lake, truth = small_lake(tmp_path)
    stop, seen = threading.Event(), set()
    with Workbench(Settings.load(env={}, data=str(tmp_path))) as bench:

        def ask() -> None:
            while not stop.is_set():
                seen.update(bench.sql("SELECT count(*) FROM stock_minute WHERE ticker = 'AAPL' AND date >= '2024-03-08'").fetchall())

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for n in range(12, 20):
            write(lake["stock_minute"], [Bit("2024-03", None, ["AAPL"], [date(2024, 3, n)])], BOUNDS, truth)
        stop.set()
        for thread in threads:
            thread.join()
        assert {count for (count,) in seen} <= set(range(4, 21, 2))
        assert bench.sql("SELECT count(*) FROM stock_minute WHERE ticker = 'AAPL' AND date >= '2024-03-08'").fetchall() == [(20,)]
        assert (
            len(
                bench.con.execute(
                    f"SELECT * FROM duckdb_tables() WHERE schema_name = '{narrow.SCHEMA}' AND table_name LIKE 'stock_minute %'"
                ).fetchall()
            )
            == 1
        )


# ---------------------------------------------------------------------- the static views


def branches(bench: Workbench, query: str, values: Values) -> int:
    """How many branches of the views DuckDB itself leaves of a query."""
    [(_, plan)] = bench.con.execute("EXPLAIN (FORMAT json) " + query, values or None).fetchall()
    return int(plan.count('"name": "READ_PARQUET'))


# Of 9 branches of minutes: hot, 4 ranges of the newest months, 4 of the quarters.
LEFT: list[tuple[str, int, Values]] = [
    ("SELECT * FROM stock_minute", 9, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL'", 3, {}),
    ("SELECT * FROM stock_minute WHERE ticker = $t AND date < '2024-01-01'", 1, {"t": "AAPL"}),
    ("SELECT * FROM stock_minute WHERE ticker >= 'D' AND ticker < 'N' AND date < '2024-01-01'", 1, {}),
    ("SELECT * FROM stock_minute WHERE ticker BETWEEN 'A' AND 'AMZ' AND date < '2024-01-01'", 2, {}),
    ("SELECT * FROM stock_minute WHERE date >= DATE '2024-03-08'", 1, {}),
    ("SELECT * FROM stock_minute WHERE date > current_date - 7", 0, {}),
    ("SELECT * FROM stock_minute WHERE date = $d AND ticker = 'AAPL'", 1, {"d": date(2024, 2, 5)}),
    ("SELECT * FROM (SELECT ticker AS symbol, date AS day FROM stock_minute) WHERE symbol = 'AAPL' AND day < '2024-01-01'", 1, {}),
    (
        "SELECT * FROM (SELECT ticker, close, '1m' AS timeframe FROM stock_minute UNION ALL SELECT ticker, close, '1d' FROM stock_day) "
        "WHERE ticker = 'AAPL' AND timeframe = '1m'",
        3,
        {},
    ),
    (
        "SELECT * FROM (SELECT ticker, lag(close) OVER (PARTITION BY ticker ORDER BY timestamp) FROM stock_minute) WHERE ticker = 'AAPL'",
        3,
        {},
    ),
    ("SELECT * FROM (SELECT ticker, avg(close) FROM stock_minute GROUP BY ticker) WHERE ticker = 'AAPL'", 3, {}),
    ("SELECT * FROM stock_minute WHERE timestamp >= '2024-03-11'", 1, {}),
    ("SELECT * FROM stock_minute WHERE timestamp >= $d AND timestamp < $d + 3 AND ticker = 'AAPL'", 1, {"d": date(2023, 11, 3)}),
    ("SELECT * FROM stock_minute WHERE year(date) = 2023", 4 if NEW else 8, {}),
    # These leave all, but for the one with a single file, which DuckDB knows by its footer; `bench.sql` narrows them, except the last two.
    ("SELECT * FROM stock_minute WHERE ticker IN ('AAPL', 'ZZZ')", 8, {}),
    ("SELECT * FROM stock_minute WHERE ticker = 'AAPL' OR ticker = 'ZZZ'", 8, {}),
    ("SELECT * FROM stock_minute WHERE ticker LIKE 'AAP%'", 8, {}),
    ("SELECT * FROM stock_minute WHERE date >= TIMESTAMPTZ '2024-03-08 00:00:00-05'", 9, {}),
    ("SELECT * FROM stock_minute JOIN (VALUES ('AAPL')) v(t) ON ticker = t", 9, {}),
    ("SELECT * FROM stock_minute WHERE upper(ticker) = 'AAPL'", 8 if NEW else 9, {}),
    ("SELECT * FROM stock_minute WHERE ticker = (SELECT min(ticker) FROM stock_day)", 9, {}),
]


@pytest.mark.parametrize(("query", "left", "values"), LEFT, ids=[query for query, _, _ in LEFT])
def test_what_survives_of_a_view(bench: Workbench, query: str, left: int, values: Values) -> None:
    found = branches(bench, query, values) - ("min(ticker)" in query) * branches(bench, "SELECT min(ticker) FROM stock_day", {})
    assert found == left


def test_every_row_is_in_one_branch(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> None:
    bench, truth = both
    for name in ("stock_minute", "stock_day", "stock_trades"):
        for query in (
            "SELECT ticker, date, count(*) FROM {} GROUP BY ALL ORDER BY ALL",
            "SELECT count(*) FROM {} WHERE ticker BETWEEN 'A' AND 'AMZN'",
        ):
            assert bench.con.execute(query.format(name)).fetchall() == truth.execute(query.format(name)).fetchall()
        for ticker in TICKER:
            query = f"SELECT count(*) FROM {name} WHERE ticker = '{ticker}'"
            assert bench.con.execute(query).fetchall() == bench.sql(query).fetchall() == truth.execute(query).fetchall()


def test_files_cut_by_older_bounds_lose_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, truth = small_lake(tmp_path)
    lake["stock_minute"].set_bounds(("AMA", "ZA"), anew=True)
    with Workbench(Settings.load(env={}, data=str(tmp_path))) as bench:
        for flat in (views.FLAT, 2):
            monkeypatch.setattr(views, "FLAT", flat)
            for query in (
                "SELECT ticker, count(*) FROM stock_minute GROUP BY ticker ORDER BY ticker",
                "SELECT ticker, count(*) FROM stock_minute WHERE ticker >= 'AM' GROUP BY ticker ORDER BY ticker",
                "SELECT ticker, count(*) FROM stock_minute WHERE date > '2023-09-01' GROUP BY ticker ORDER BY ticker",
            ):
                expected = truth.execute(query).fetchall()
                assert bench.con.execute(query).fetchall() == bench.sql(query).fetchall() == expected


def test_a_view_of_many_sessions_of_ticks_has_a_branch_for_each_range(bench: Workbench) -> None:
    text = select(TABLES["stock_trades"], bench.lake["stock_trades"].snapshot(), bench.lake["stock_trades"].folder)
    assert text.count("read_parquet") == 4
    assert "date >=" not in text


def test_narrowing_costs_little(bench: Workbench) -> None:
    from time import process_time

    def cost(query: str) -> float:
        bench.catalog.narrowed(query)
        times = []
        for _ in range(20):
            start = process_time()
            bench.catalog.narrowed(query)
            times.append(process_time() - start)
        return min(times)

    assert cost("SELECT avg(close) FROM stock_minute WHERE ticker = 'AAPL'") < 0.02
    assert cost("SELECT 1") < 0.005


@pytest.mark.parametrize("order", ["default_null_order = 'nulls_first'", "default_order = 'desc'"])
def test_the_first_rows_are_looked_for_everywhere_where_the_order_is_the_users(bench: Workbench, order: str) -> None:
    query = "SELECT * FROM stock_minute WHERE ticker = 'AAPL' ORDER BY timestamp DESC LIMIT 1"
    assert read(bench, query) == 1
    name = order.partition(" ")[0]
    bench.sql(f"SET {order}")
    try:
        assert read(bench, query) == 6
    finally:
        bench.sql(f"RESET {name}")


def test_a_time_that_stands_for_another_is_refused_from_a_users_query(bench: Workbench) -> None:
    query = f"SELECT * FROM stock_minute WHERE ticker = 'AAPL' AND timestamp < '{newest.MARK}' ORDER BY timestamp DESC LIMIT 1"
    assert read(bench, query) == 0


def test_views_of_one_name_in_two_schemas_are_two(bench: Workbench) -> None:
    bench.con.sql("SELECT count(*) FROM kraken_bot.trades, transactional.trades").fetchall()
    query = (
        "SELECT symbol FROM market_data.ohlcv WHERE symbol = 'AAPL' UNION ALL SELECT symbol FROM kraken_bot.trades WHERE symbol = 'AAPL'"
    )
    assert "read_parquet" in (bench.catalog.narrowed(query) or "")
    bench.con.execute("CREATE OR REPLACE VIEW kraken_bot.trades AS SELECT 'AAPL' AS symbol")
    assert bench.catalog.narrowed(query) is None, "it is the user's own now"


UNMATCHED = [
    "SELECT count(*) FROM stock_day b JOIN stock_minute a ON a.date = b.date LEFT JOIN stock_trades r ON a.ticker = r.ticker AND b.ticker = r.ticker WHERE b.ticker = 'AAPL'",
    "SELECT count(*) FROM stock_trades r RIGHT JOIN (stock_day b JOIN stock_minute a ON a.date = b.date) ON a.ticker = r.ticker AND b.ticker = r.ticker WHERE b.ticker = 'AAPL'",
    "SELECT count(*) FROM stock_day b JOIN stock_minute a ON a.date = b.date ANTI JOIN stock_trades r ON a.ticker = r.ticker AND b.ticker = r.ticker WHERE b.ticker = 'AAPL'",
    "SELECT count(*) FROM stock_day b JOIN stock_minute a ON a.date = b.date LEFT JOIN stock_trades r ON a.ticker = b.ticker AND a.date = r.date WHERE b.ticker = 'AAPL'",
]


@pytest.mark.parametrize("query", UNMATCHED)
def test_what_a_third_table_matches_says_nothing_of_rows_that_it_does_not_match(both: Any, query: str) -> None:
    bench, truth = both
    assert bench.catalog.narrowed(query)
    assert bench.sql(query).fetchall() == truth.execute(query).fetchall() != [(0,)]
