"""Views under documented names: what they say of themselves, when they are declared, what supplies them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.query import documented
from workbench.query.documented import Documented, View, every
from workbench.sources.reference import Gathered

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


@pytest.fixture
def views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of views of our own."""
    folder = tmp_path / "views"
    monkeypatch.setattr(documented, "FOLDER", folder)
    for kept in (every, documented.names):
        kept.cache_clear()
    yield folder
    monkeypatch.undo()
    for kept in (every, documented.names):
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
    with duckdb.connect() as con:
        ours = Documented(con.cursor())
        with pytest.raises(duckdb.Error):
            ours.prepare("FROM a.one")
        con.execute("CREATE SCHEMA here; CREATE TABLE here.numbers AS SELECT 7 AS n")
        ours.prepare("FROM a.one")
        assert con.execute("FROM a.one").fetchall() == [(7,)]
