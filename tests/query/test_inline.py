"""Macros and views written out: the same answers as DuckDB's own calls, from fewer files."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from coldlake import small_lake
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.query import documented
from workbench.query.documented import every

Values = dict[str, Any]

MACROS = {
    # Each has a trap: columns, CTEs and aliases that are called like a parameter or like a table around the call.
    "plain_bars": (
        "(symbol, first_session := NULL, last_session := NULL)",
        "SELECT b.ticker, b.date, symbol AS asked, b.close FROM main.stock_minute b WHERE b.ticker = symbol AND b.date BETWEEN "
        "coalesce(first_session::DATE, DATE '0001-01-01') AND coalesce(last_session::DATE, DATE '9999-12-31')",
    ),
    "sized_bars": (
        "(symbol, bar_size := '1d', first_session := CAST(NULL AS DATE))",
        "WITH stock_minute AS (SELECT ticker, date, close FROM main.plain_bars(symbol, first_session := first_session)), "
        "days AS (SELECT ticker, date, close FROM main.stock_day WHERE ticker = symbol) "
        "SELECT ticker, date, close FROM days WHERE bar_size = '1d' UNION ALL SELECT * FROM stock_minute WHERE bar_size = '1m'",
    ),
    "close": (
        "(day, n := 2)",
        "SELECT ticker, b.date, b.close + n AS close FROM main.stock_day b WHERE b.date = day::DATE AND ticker < 'C'",
    ),
    "in_force": (
        "(symbol, first_session)",
        "SELECT t.ticker, t.date, t.price, m.close, m.timestamp AS since FROM main.stock_trades t ASOF LEFT JOIN "
        "(SELECT * FROM main.stock_minute q WHERE q.ticker = symbol AND q.date = first_session::DATE) m "
        "ON t.ticker = m.ticker AND t.timestamp >= m.timestamp WHERE t.ticker = symbol AND t.date = first_session::DATE ORDER BY ALL",
    ),
    "summed": (
        "(symbol)",
        "SELECT ticker, date_trunc('month', date) AS month, sum(close) AS total, list_transform([1], lambda x: x + 1) AS l "
        "FROM main.plain_bars(symbol) GROUP BY ALL HAVING count(*) > 1",
    ),
    "chosen": ("(symbol, base)", "SELECT q.ticker, q.date FROM query_table(base) AS q WHERE q.ticker = symbol"),
    "quoted": (
        "(symbol)",
        "SELECT t.ticker, t.price, q.bid_price FROM main.stock_trades t ASOF LEFT JOIN main.stock_quotes q "
        "ON t.ticker = q.ticker AND t.date = q.date AND t.timestamp >= q.timestamp WHERE t.ticker = symbol",
    ),
    "told": (
        "(symbol, bar_size := '1d')",
        "SELECT * FROM query(CASE bar_size WHEN '1d' THEN 'FROM main.stock_day' WHEN '1m' THEN 'FROM main.plain_bars(''AAPL'')' "
        "ELSE error('no such bars') END) AS b WHERE b.ticker = symbol",
    ),
    "unclosed": ("(symbol)", "SELECT * FROM stock_minute WHERE ticker = symbol"),
    "shadowed": ("(x)", "SELECT list_transform([7], lambda x: x) AS l FROM main.stock_minute WHERE ticker = x"),
}
VIEWS = {
    "closes": "-- Closes.\nSELECT ticker, date, close FROM main.stock_minute WHERE date > '2024-01-01'",
    "shrek_closes": "-- Closes again.\nSELECT c.ticker AS symbol, c.date FROM main.closes c",
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workbench, duckdb.DuckDBPyConnection]]:
    """A bench with macros of our own, and a plain DuckDB with the same rows and the same macros."""
    root = tmp_path_factory.mktemp("inline")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documented, "VIEWS", root / "views")
        patched.setattr(documented, "MACROS", root / "macros")
        # Beside no documented tables.
        patched.setattr(documented, "RECORDS", {})
        patched.setattr(documented, "OTHER_NAMES", {})
        for folder in ("views/main", "macros"):
            (root / folder).mkdir(parents=True)
        for name, (arguments, body) in MACROS.items():
            (root / "macros" / f"{name}.sql").write_text(f"-- A macro.\nCREATE OR REPLACE MACRO main.{name}{arguments} AS TABLE {body}")
        for name, query in VIEWS.items():
            (root / "views" / "main" / f"{name}.sql").write_text(query)
        kept = (every, documented.names, documented.below, documented.meant, documented.in_order)
        for one in kept:
            one.cache_clear()
        _, truth = small_lake(root / "lake")
        truth.execute("SET default_collation = ''")
        for view in sorted(every().values(), key=lambda view: (view.name not in ("plain_bars", "closes"), view.name)):
            truth.execute(view.statements)
        with Workbench(Settings.load(env={}, data=str(root / "lake"))) as bench:
            yield bench, truth
        truth.close()
    for one in kept:
        one.cache_clear()


@pytest.fixture
def bench(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> Workbench:
    return both[0]


CASES: list[tuple[str, int, Values]] = [
    ("FROM plain_bars('AAPL')", 6, {}),
    ("FROM plain_bars($s, '2024-02-01')", 3, {"s": "AAPL"}),
    ("FROM main.plain_bars($s, $d, last_session := $d)", 1, {"s": "AAPL", "d": date(2024, 3, 8)}),
    ("FROM plain_bars(first_session := '2024-03-11', symbol := upper('aapl'))", 1, {}),
    ("SELECT x.t, asked, c FROM plain_bars('AAPL', '2024-03-01') AS x(t, d, asked, c)", 2, {}),
    ("SELECT close FROM Plain_Bars('AAPL', NULL, '2023-09-30') ORDER BY close LIMIT 1", 1, {}),
    (
        "SELECT b.close, d.close FROM plain_bars('AAPL', '2024-03-01') b JOIN stock_day d USING (ticker, date) WHERE d.ticker = 'AAPL'",
        5,
        {},
    ),
    ("SELECT * FROM plain_bars('AAPL', '2024-03-01') a, plain_bars('MSFT', '2024-03-01') b WHERE a.date = b.date", 4, {}),
    ("WITH days AS (SELECT 1), stock_day AS (SELECT 2) FROM sized_bars('AAPL')", 3, {}),
    ("FROM sized_bars('AAPL', '1m')", 6, {}),
    ("FROM sized_bars('AAPL', bar_size := '1m', first_session := '2024-03-08')", 2, {}),
    ("FROM close('2024-03-08')", 1, {}),
    ("SELECT close.close FROM close($d, n := $n) close", 1, {"d": date(2024, 3, 8), "n": 5}),
    ("FROM in_force('AAPL', '2024-03-08')", 2, {}),
    ("SELECT count(*) FROM in_force($s, $d)", 2, {"s": "AAPL", "d": "2024-03-08"}),
    ("FROM summed('AAPL') ORDER BY ALL", 6, {}),
    ("SELECT (SELECT sum(total) FROM summed('AAPL')) AS a", 6, {}),
    ("EXPLAIN FROM plain_bars('AAPL')", 6, {}),
    ("FROM chosen('AAPL', 'stock_minute') WHERE date >= '2024-03-01'", 2, {}),
    ("SELECT count(*) FROM query_table('stock_day') WHERE date = '2024-03-08'", 1, {}),
    ("SELECT date, close FROM told('AAPL') WHERE date = '2024-03-08'", 1, {}),
    ("SELECT date, close FROM told($s, '1m')", 6, {"s": "AAPL"}),
    # A table without a file, beside others.
    ("FROM quoted('AAPL') WHERE ticker = 'AAPL'", 3, {}),
    # What is asked of the rows of a call is asked of the files.
    ("FROM plain_bars('AAPL') WHERE date = '2024-03-08'", 1, {}),
    ("FROM sized_bars('AAPL', '1m') b WHERE b.date > '2024-03-08' AND close > 0", 1, {}),
    ("SELECT * FROM in_force('AAPL', '2024-03-08') WHERE date > '2024-03-08'", 1, {}),
    ("SELECT * FROM summed('AAPL') WHERE month > '2024-02-01'", 2, {}),
    ("WITH own AS (FROM plain_bars('AAPL')) SELECT max(close) FROM own WHERE date < '2024-01-01'", 2, {}),
    # A column that is called by the words of a query.
    (
        "SELECT (SELECT count(*) FROM stock_day WHERE date = $d), 1 + (SELECT max(close) FROM plain_bars($s, $d)) /* max */",
        3,
        {"s": "AAPL", "d": date(2024, 3, 8)},
    ),
    ("SELECT * FROM (SELECT EXISTS (FROM stock_day WHERE date = '2024-03-08' AND ticker LIKE '%\"%') GROUP BY ALL)", 1, {}),
    ("FROM plain_bars('AAPL', '2024-03-01') WHERE ticker = (SELECT min(ticker) FROM plain_bars('AAPL', '2024-03-11'))", 3, {}),
]


@pytest.mark.parametrize(("query", "files", "values"), CASES, ids=[query for query, _, _ in CASES])
def test_what_a_call_reads(both: tuple[Workbench, duckdb.DuckDBPyConnection], query: str, files: int, values: Values) -> None:
    bench, truth = both
    text = bench.catalog.narrowed(query, **values)
    assert text is not None
    assert text.count(".parquet'") == files
    if "EXPLAIN" not in query:
        same(bench, truth, query, values)


def same(bench: Workbench, truth: duckdb.DuckDBPyConnection, query: str, values: Values) -> None:
    """A query answers like DuckDB's own call of the macro, over the lake's views and over plain tables, with the same columns."""
    found, own = bench.sql(query, **values), bench.con.sql(query, params=values or None)
    assert (found.columns, [*map(str, found.types)]) == (own.columns, [*map(str, own.types)])
    rows = sorted(map(str, found.fetchall()))
    assert rows == sorted(map(str, own.fetchall())) == sorted(map(str, truth.execute(query, values or None).fetchall()))


WHOLE: list[tuple[str, Values]] = [
    ("FROM unclosed('AAPL')", {}),
    ("WITH stock_minute AS (SELECT 'AAPL' AS ticker) FROM unclosed('AAPL')", {}),
    ("SELECT * FROM (SELECT 'AAPL' AS t) y, plain_bars(y.t)", {}),
    ("FROM plain_bars((SELECT 'AAPL'))", {}),
    ("SELECT count(*) FROM query('FROM stock_day') WHERE ticker = 'AAPL'", {}),
    ("WITH stock_minute AS (SELECT 'AAPL' AS ticker, 1 AS date) FROM chosen('AAPL', 'stock_minute')", {}),
]


@pytest.mark.parametrize(("query", "values"), WHOLE, ids=[query for query, _ in WHOLE])
def test_what_is_not_understood_runs_as_it_is(both: tuple[Workbench, duckdb.DuckDBPyConnection], query: str, values: Values) -> None:
    bench, truth = both
    assert bench.catalog.narrowed(query, **values) is None
    same(bench, truth, query, values)


@pytest.mark.parametrize(
    "query",
    ["FROM plain_bars()", "FROM plain_bars('A', nothing := 1)", "FROM plain_bars('A', NULL, first_session := NULL)", "FROM plain_bars"],
)
def test_a_wrong_call_is_refused_in_duckdbs_words(bench: Workbench, query: str) -> None:
    with pytest.raises(duckdb.Error, match="plain_bars"):
        bench.sql(query).fetchall()


def test_a_name_in_a_lambda_is_no_parameter(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> None:
    assert both[0].catalog.narrowed("FROM shadowed('AAPL')") is None
    same(both[0], both[1], "FROM shadowed('AAPL')", {})


def test_views_are_written_out_and_keep_their_names(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> None:
    bench, _ = both
    for query in ("SELECT closes.close FROM closes", "SELECT x FROM main.closes AS c(x)", "SELECT symbol FROM shrek_closes"):
        assert (bench.catalog.narrowed(query) or "").count(".parquet'") == 9
        same(both[0], both[1], query, {})
    # A CTE of that name is meant, not the view.
    assert bench.sql("WITH closes AS (SELECT 1 AS n) FROM closes").fetchall() == [(1,)]


@pytest.mark.parametrize("temporary", ["OR REPLACE MACRO main.", "OR REPLACE TEMP MACRO "])
def test_a_users_own_macro_wins(tmp_path: Path, both: tuple[Workbench, duckdb.DuckDBPyConnection], temporary: str) -> None:
    with Workbench(both[0].settings) as bench:
        query = "SELECT count(*) FROM plain_bars('AAPL')"
        assert bench.catalog.narrowed(query)
        assert bench.sql(query).fetchall() != [(1,)]
        bench.sql(f"CREATE {temporary}plain_bars(symbol) AS TABLE SELECT 'mine' AS ticker")
        assert bench.catalog.narrowed(query) is None
        assert bench.sql(query).fetchall() == [(1,)]
        # Also one that has a comment.
        if "TEMP" not in temporary:
            bench.sql("COMMENT ON MACRO TABLE plain_bars IS 'Mine.'")
            assert bench.sql(query).fetchall() == [(1,)]


def test_a_macro_that_was_dropped_is_gone(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> None:
    with Workbench(both[0].settings) as bench:
        assert bench.catalog.narrowed("FROM plain_bars('AAPL')")
        bench.sql("DROP MACRO TABLE plain_bars")
        with pytest.raises(duckdb.Error, match="plain_bars"):
            bench.sql("FROM plain_bars('AAPL')")


def test_a_transaction_has_the_macros_and_views(both: tuple[Workbench, duckdb.DuckDBPyConnection]) -> None:
    with Workbench(both[0].settings) as bench:
        bench.sql("BEGIN")
        assert bench.sql("FROM plain_bars('AAPL')").fetchall()
        assert bench.sql("FROM closes").fetchall()
        bench.sql("ROLLBACK")


@pytest.mark.parametrize("temporary", ["VIEW main.", "TEMP VIEW ", "TEMP TABLE "])
def test_a_users_own_view_wins(both: tuple[Workbench, duckdb.DuckDBPyConnection], temporary: str) -> None:
    with Workbench(both[0].settings) as bench:
        assert bench.catalog.narrowed("FROM closes")
        replace = "OR REPLACE " * ("main" in temporary)
        bench.sql(f"CREATE {replace}{temporary}closes AS SELECT 'mine' AS ticker")
        assert bench.catalog.narrowed("FROM closes") is None
        assert bench.sql("FROM closes").fetchall() == [("mine",)]


ARGUMENT = st.sampled_from(["'AAPL'", "'ZZZ'", "'nobody'", "$s", "'A' || 'AA'", "NULL"])
DAY = st.sampled_from(["NULL", "'2024-02-05'", "DATE '2024-03-08'", "$d", "$nothing", "'2023-08-03'::DATE + 9", "current_date"])


@st.composite
def calls(draw: st.DrawFn) -> str:
    """A query with a call of a macro in it."""
    match draw(st.integers(0, 5)):
        case 0 | 1:
            given = [draw(ARGUMENT), *(draw(DAY) for _ in range(draw(st.integers(0, 2))))]
            call = f"plain_bars({', '.join(given)})"
        case 2:
            call = f"plain_bars({draw(ARGUMENT)}, last_session := {draw(DAY)})"
        case 3:
            call = f"sized_bars({draw(ARGUMENT)}, {draw(st.sampled_from(['bar_size := ', '']))}'{draw(st.sampled_from(['1d', '1m']))}', first_session := {draw(DAY)})"
        case 4:
            call = f"in_force({draw(ARGUMENT)}, {draw(DAY)})"
        case _:
            call = f"close({draw(DAY)}, n := {draw(st.sampled_from(['1', '$z']))})"
    test = draw(
        st.sampled_from(
            ["TRUE", "ticker >= 'AAPL'", "date > '2024-02-01'", "date = $d", "close > 3", "ticker = $s OR date < $d", "date IS NULL"]
        )
    )
    match draw(st.integers(0, 5)):
        case 0 | 1:
            return f"SELECT * FROM {call} WHERE {test}"
        case 2:
            return f"WITH days AS (SELECT * FROM {call}) SELECT ticker, max(close) FROM days WHERE {test} GROUP BY ticker"
        case 3:
            return (
                f"SELECT c.*, m.close FROM {call} c LEFT JOIN stock_day m USING (ticker, date) WHERE c.{test}"
                if test.startswith(("date", "ticker"))
                else f"FROM {call}"
            )
        case 4:
            return f"SELECT count(*) FROM (SELECT ticker, date, close, rank() OVER (PARTITION BY ticker ORDER BY date) AS r FROM {call}) WHERE {test}"
        case _:
            return f"SELECT * FROM {call} WHERE {test} ORDER BY ALL LIMIT 3"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=calls(), day=st.sampled_from([date(2024, 3, 8), date(2023, 11, 3)]))
def test_a_call_answers_the_same_written_out(both: Any, query: str, day: date) -> None:
    known: Values = {"s": "AAPL", "d": day, "nothing": None, "z": 3}
    values = {name: value for name, value in known.items() if f"${name}" in query}
    event("narrowed" if both[0].catalog.narrowed(query, **values) else "whole")
    same(both[0], both[1], query, values)
