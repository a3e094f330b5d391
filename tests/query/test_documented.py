"""Views under documented names: what they say of themselves, when they are declared, what supplies them."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from flatfiles import TRADE, bar, minutes, put, text, trade

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.query import documented
from workbench.query.documented import Documented, View, every
from workbench.sources.reference import Gathered
from workbench.tables import find
from workbench.tables.platforms import record

# As the platform's document, or the list of columns where it gives none, has them.
STOCK_FUNDAMENTALS = [
    "symbol",
    "as_of",
    "period",
    "fiscal_year",
    "fiscal_period",
    "market_cap",
    "pe_ratio",
    "eps",
    "dividend_yield",
    "beta",
    "shares_outstanding",
    "revenue",
    "net_income",
    "total_assets",
    "total_liabilities",
    "operating_cash_flow",
    "sector",
    "industry",
    "currency",
    "filed_at",
    "source",
    "updated_at",
]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "data"))) as made:
        made.lake.make()
        yield made


@pytest.mark.parametrize("view", every().values(), ids=lambda view: view.full)
def test_every_view_says_what_it_is_for(view: View) -> None:
    assert view.doc, f"{view.full}.sql must open with a -- comment"
    assert not view.sql.endswith(";")


@pytest.mark.parametrize("view", every().values(), ids=lambda view: view.full)
def test_every_macro_has_an_example_and_each_names_what_it_shows(view: View) -> None:
    assert view.examples or view.kind == "view", f"{view.full}.sql has no `-- Example: ` in its comment"
    for example in view.examples:
        assert re.search(rf"\b{view.name}\b", example), example
        assert "$" not in example, "an example is typed as it stands"
        assert len(example) <= 200, "an example is short enough to be typed"


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Workbench]]:
    """An empty lake; and one with bars, trades, quotes, a split and a dividend of the tickers that examples name."""
    folder = tmp_path_factory.mktemp("documented")
    made = {name: Workbench(Settings(data=str(folder / name))) for name in ("empty", "small")}
    for bench in made.values():
        bench.lake.make()
    tickers, files = ("AAPL", "IBM", "GOOGL"), folder / "files"
    for day in (date(2013, 10, 7), date(2014, 6, 6), date(2014, 6, 9), date(2024, 3, 7)):
        put(files, find("stock_day"), day, text([bar(ticker, day) for ticker in tickers]))
        put(files, find("stock_minute"), day, text([line for ticker in tickers for line in minutes(ticker, day, 5)]))
    trades = [trade(ticker, date(2013, 10, 7), n) for ticker in tickers for n in range(3)]
    put(files, find("stock_trades"), date(2013, 10, 7), text(trades, TRADE))
    datasets = ["stock_day", "stock_minute", "stock_trades"]
    made["small"].refresh(f"folder:{files}", start=date(2013, 10, 7), end=date(2024, 3, 7), datasets=datasets).run()
    split = {"ticker": "AAPL", "execution_date": "2014-06-09", "split_from": 1.0, "split_to": 7.0}
    paid = {"ticker": "AAPL", "ex_dividend_date": "2014-06-09", "cash_amount": 0.47, "currency": "USD"}
    for table, row in (("splits", split), ("dividends", paid)):
        update(made["small"].lake, Gathered(table, "k", [row]), "polygon_api")
    yield made
    for bench in made.values():
        bench.close()


def test_the_small_lake_holds_what_examples_ask_for(lakes: dict[str, Workbench]) -> None:
    held = {name: lakes["small"].snapshots()[name].rows for name in ("stock_day", "stock_minute", "stock_trades", "splits", "dividends")}
    assert held == {"stock_day": 12, "stock_minute": 60, "stock_trades": 9, "splits": 1, "dividends": 1}


@pytest.mark.parametrize("lake", ["empty", "small"])
@pytest.mark.parametrize("view", every().values(), ids=lambda view: view.full)
def test_every_example_runs_and_answers_the_same_written_out(lakes: dict[str, Workbench], lake: str, view: View) -> None:
    bench = lakes[lake]
    for example in view.examples:
        found, own = bench.sql(example), bench.con.sql(example)
        assert (found.columns, [*map(str, found.types)]) == (own.columns, [*map(str, own.types)])
        assert sorted(map(str, found.fetchall())) == sorted(map(str, own.fetchall())), example


@pytest.mark.parametrize("view", every().values(), ids=lambda view: view.full)
def test_what_a_view_or_macro_is_can_be_asked_of_duckdb(lakes: dict[str, Workbench], view: View) -> None:
    catalog = f"SELECT comment FROM duckdb_{'views' if view.kind == 'view' else 'functions'}()"
    name = "view_name" if view.kind == "view" else "function_name"
    [(comment,)] = lakes["empty"].sql(f"{catalog} WHERE schema_name = '{view.schema}' AND {name} = '{view.name}'").fetchall()
    assert comment == view.doc
    query = f"FROM {view.full}" if view.kind == "view" else view.examples[0]
    assert lakes["empty"].sql(f"DESCRIBE {query}").fetchall()


def test_a_views_comment_is_its_documentation(bench: Workbench) -> None:
    [(comment,)] = bench.sql("SELECT comment FROM duckdb_views() WHERE view_name = 'stock_fundamentals'").fetchall()
    assert comment == every()["shrek.stock_fundamentals"].doc


def test_a_view_is_declared_when_it_is_first_named(bench: Workbench) -> None:
    assert declared(bench) == 0
    assert bench.sql("FROM shrek.stock_fundamentals").fetchall() == []
    assert declared(bench) == 1


def declared(bench: Workbench) -> int:
    with bench.catalog._con.cursor() as own:
        [(count,)] = own.execute("SELECT count(*) FROM duckdb_views() WHERE view_name = 'stock_fundamentals'").fetchall()
    return int(count)


@pytest.mark.parametrize("query", ["USE shrek", "SHOW ALL TABLES", "SELECT * FROM information_schema.tables"])
def test_whoever_lists_what_there_is_sees_them_all(bench: Workbench, query: str) -> None:
    bench.sql(query)
    assert declared(bench) == 1


@pytest.mark.parametrize("query", ["SELECT 'pg_catalog' AS told", "FROM workbench.pg_tables", "SELECT 1 AS stock_fundamentals"])
def test_whoever_only_says_a_word_declares_nothing(bench: Workbench, query: str) -> None:
    bench.sql(query)
    assert declared(bench) == 0


def test_a_schema_that_was_chosen_has_its_views_followed_without_its_name(bench: Workbench) -> None:
    bench.sql("USE kraken_bot")
    assert bench.sql("SELECT url FROM rss_feeds").fetchall() == []
    bench.append("kraken_bot.rss_feeds", [dict(record("kraken_bot.rss_feeds").example)])
    assert bench.sql("SELECT count(*) FROM rss_feeds").fetchall() == [(1,)]


def test_a_cursor_of_duckdbs_own_sees_them_all(bench: Workbench) -> None:
    assert bench.con.execute("FROM shrek.stock_fundamentals").fetchall() == []


def test_stock_fundamentals_has_the_columns_that_are_documented(bench: Workbench) -> None:
    assert bench.sql("FROM shrek.stock_fundamentals").columns == STOCK_FUNDAMENTALS


def test_of_several_sources_the_best_one_tells_a_period(bench: Workbench) -> None:
    report = {"ticker": "ACME", "as_of": "2024-03-31", "period": "quarterly"}
    for source, revenue in (("yahoo", 2.0), ("polygon_api", 1.0)):
        update(bench.lake, Gathered("fundamentals", "k", [report | {"revenue": revenue}]), source)
    update(bench.lake, Gathered("fundamentals", "k", [report | {"period": "snapshot", "beta": 1.5}]), "yahoo")

    rows = bench.sql("SELECT symbol, period, revenue, beta, source FROM shrek.stock_fundamentals ORDER BY period").fetchall()

    assert rows == [("ACME", "quarterly", 1.0, None, "polygon_api"), ("ACME", "snapshot", None, 1.5, "yahoo")]
    assert bench.sql("SELECT count(*) FROM fundamentals").fetchall() == [(3,)]


def test_a_view_shows_what_was_committed_since(bench: Workbench) -> None:
    assert bench.sql("FROM shrek.stock_fundamentals").fetchall() == []
    update(bench.lake, Gathered("fundamentals", "k", [{"ticker": "A", "as_of": "2024-03-31", "period": "ttm"}]), "yahoo")
    assert bench.sql("SELECT symbol FROM shrek.stock_fundamentals").fetchall() == [("A",)]


def test_the_past_shows_the_views_of_the_past(bench: Workbench) -> None:
    update(bench.lake, Gathered("fundamentals", "k", [{"ticker": "A", "as_of": "2024-03-31", "period": "ttm"}]), "yahoo")
    instant = datetime.now(UTC)
    update(bench.lake, Gathered("fundamentals", "k", [{"ticker": "B", "as_of": "2024-03-31", "period": "ttm"}]), "yahoo")
    with Workbench(bench.settings, instant) as past:
        assert past.sql("SELECT symbol FROM shrek.stock_fundamentals").fetchall() == [("A",)]


KEPT = (every, documented.names, documented.below, documented.meant, documented.in_order)


@pytest.fixture
def views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of views of our own, and no others."""
    folder = tmp_path / "views"
    monkeypatch.setattr(documented, "RECORDS", {})
    monkeypatch.setattr(documented, "VIEWS", folder)
    monkeypatch.setattr(documented, "MACROS", tmp_path / "macros")
    for kept in KEPT:
        kept.cache_clear()
    yield folder
    monkeypatch.undo()
    for kept in KEPT:
        kept.cache_clear()


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name.replace('.', '/')}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_view_may_name_others_and_is_supplied_before_each_query_that_names_it(views: Path) -> None:
    write(views, "b.lower", "-- The numbers.\nSELECT n FROM here.numbers;\n")
    write(views, "a.upper", "-- Twice\n-- the numbers.\nSELECT 2 * n AS n FROM b.lower")
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA here; CREATE TABLE here.numbers (n INTEGER)")
        ours = Documented(con.cursor())

        def one_more(own: duckdb.DuckDBPyConnection) -> None:
            own.execute("INSERT INTO here.numbers SELECT count(*) FROM here.numbers")

        ours.supply("b.lower", one_more)
        ours.prepare("SELECT 1")
        ours.prepare("FROM a.upper")
        assert con.execute("FROM a.upper").fetchall() == [(0,)]
        ours.prepare('SELECT sum(n) FROM B."LOWER"')
        assert con.execute("FROM b.lower ORDER BY n").fetchall() == [(0,), (1,)]
        [(doc,)] = con.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'upper'").fetchall()
        assert doc == "Twice\nthe numbers."


def test_a_view_that_cannot_be_declared_is_tried_again(views: Path) -> None:
    write(views, "a.one", "-- One.\nSELECT n FROM here.numbers")
    write(views, "a.two", "-- Two.\nSELECT 2 AS n")
    with duckdb.connect() as con:
        ours = Documented(con.cursor())
        with pytest.raises(duckdb.Error):
            ours.prepare("FROM a.one")
        # It does not hide the others from whoever lists what there is, nor keep them from a cursor.
        for query in ("SHOW TABLES", None):
            ours.prepare(query)
        assert con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == [("two",)]
        con.execute("CREATE SCHEMA here; CREATE TABLE here.numbers AS SELECT 7 AS n")
        ours.prepare("FROM a.one")
        assert con.execute("FROM a.one").fetchall() == [(7,)]
