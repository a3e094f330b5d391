"""Fewer files to read, never fewer rows: generated queries over a small lake, and what becomes of each kind of condition."""

import threading
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from coldlake import BOUNDS, TICKERS, ZONE, small_lake
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import QueryError
from workbench.query import catalog, narrow
from workbench.query.catalog import select
from workbench.tables import TABLES

ALL = 20  # files of stock_minute
Values = dict[str, Any]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, duckdb.DuckDBPyConnection]]:
    """A bench, and a plain DuckDB with the same rows."""
    root = tmp_path_factory.mktemp("lake")
    _, truth = small_lake(root)
    with Workbench(Settings.load(env={}, data=str(root))) as bench:
        yield bench, truth
    truth.close()


@pytest.fixture
def bench(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> Iterator[Workbench]:
    yield both[0]
    both[0].con.execute("RESET TimeZone")


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
    match draw(st.integers(0, 17)):
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
        case _:
            return f"SELECT {summed('ticker', 'x')} FROM (SELECT ticker, rank() OVER (PARTITION BY ticker ORDER BY timestamp) AS x FROM stock_minute {where('')}) WHERE x < 4"


def values_in(query: str, values: Values) -> Values:
    """The values that a query takes."""
    import re

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
        return "refused", [base.__name__ for base in type(fault).__mro__ if base.__module__ == "_duckdb"][0]


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
    if expected[0] == "rows":
        assert answer(bench.sql, query, values) == expected, fewer


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=queries(), values=VALUES, zone=st.sampled_from(ZONES))
def test_a_narrowed_query_answers_like_one_over_plain_tables(both: Any, query: str, values: Values, zone: str) -> None:
    same(both, query, values, zone)


@pytest.mark.slow
@settings(max_examples=6000, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=queries(), values=VALUES, zone=st.sampled_from(ZONES))
def test_many_narrowed_queries_answer_like_those_over_plain_tables(both: Any, query: str, values: Values, zone: str) -> None:
    same(both, query, values, zone)
