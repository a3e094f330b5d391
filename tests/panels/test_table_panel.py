"""The panel of a table or query, by its widgets and without a browser."""

import threading
from collections.abc import Iterator
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.panels import TablePanel
from workbench.panels import table as module
from workbench.panels.table_profile import BINS, bars, limits
from workbench.panels.table_query import Asked, Filter, clean, keeps_order
from workbench.query.rendering import Shown, first

TICKERS = [f"T{n:02d}" for n in range(40)]
DAYS = (THU, FRI, MON)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake of three sessions of forty tickers, whose closes are all different."""
    home = tmp_path_factory.mktemp("table")
    for n, day in enumerate(DAYS):
        lines = [bar(one, day, close=round(9.6 + n / 10 + k / 1000, 3)) for k, one in enumerate(TICKERS)]
        put(home / "files", STOCK_DAY, day, text(lines))
    with Workbench(Settings.load(env={}, data=str(home / "lake"), source=f"folder:{home / 'files'}")) as made:
        made.refresh().run()
        yield made


def column(panel: TablePanel, name: str) -> list[str | None]:
    """The values of a column on the page."""
    assert panel.shown
    at = list(panel.shown.columns).index(name)
    return [row[at] for row in panel.shown.rows]


def complaint(panel: TablePanel, which: int) -> str:
    """What is said under a field: 0 under the table's, 1 under the condition's, 2 under the filter's."""
    return unescape(panel.view.children[which].children[1].value)


# ---------------------------------------------------------------------- pages


def test_pages_hold_every_row_once(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", rows=25)
    seen = []
    while True:
        seen += list(zip(column(panel, "ticker"), column(panel, "date"), strict=True))
        if panel.next_button.disabled:
            break
        panel.next_button.click()

    assert sorted(seen) == sorted((one, str(day)) for one in TICKERS for day in DAYS)
    assert panel.place == "rows 101–120 of 120"
    panel.back_button.click()
    assert panel.place == "rows 76–100 of 120"
    panel.first_button.click()
    assert (panel.place, panel.back_button.disabled) == ("rows 1–25 of 120", True)
    panel.last_button.click()
    assert panel.place == "rows 101–120 of 120"
    panel.size.value = 100
    assert panel.place == "rows 1–100 of 120"


def test_pages_of_a_query_without_an_order_hold_every_row_once(bench: Workbench) -> None:
    # Threads leave groups in any order, which may be another one for the next page.
    panel = TablePanel(bench, "SELECT ticker, count(*) AS n FROM stock_day GROUP BY ticker", rows=10)
    seen: list[str | None] = []
    for _ in range(4):
        seen += column(panel, "ticker")
        panel.next_button.click()

    assert sorted(map(str, seen)) == TICKERS
    assert 'ORDER BY "ticker"' in panel.sql


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("stock_day", True),
        ("SELECT ticker, close FROM stock_day WHERE close > 1", True),
        ("SELECT * FROM stock_day ORDER BY close", True),
        ("SELECT DISTINCT ticker FROM stock_day", False),
        ("SELECT ticker, max(close) FROM stock_day GROUP BY ALL", False),
        ("FROM stock_day JOIN tickers USING (ticker)", False),
        ("FROM stock_day UNION ALL FROM stock_day", False),
        ("shrek.stock_prices", False),
    ],
)
def test_it_is_known_which_queries_keep_an_order(bench: Workbench, query: str, kept: bool) -> None:
    assert keeps_order(bench, Asked(query)) is kept


def test_a_head_sorts_up_then_down_then_not(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", rows=10)
    natural = column(panel, "close")
    panel.grid.head("close").click()
    assert column(panel, "close")[:2] == ["9.6", "9.601"]
    assert panel.grid.head("close").description == "close ▲"
    panel.grid.head("close").click()
    assert column(panel, "close")[:2] == ["9.839", "9.838"]
    assert panel.grid.head("close").description == "close ▼"
    panel.grid.head("close").click()
    assert (column(panel, "close"), panel.grid.head("close").description) == (natural, "close")


def test_several_columns_sort_together_and_ties_are_told_apart(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", sort=["-date", "ticker"], rows=50)
    assert column(panel, "ticker")[:2] == ["T00", "T01"]
    assert column(panel, "date")[39:41] == [str(MON), str(FRI)]
    panel.sort("high")
    assert panel.sql.endswith('ORDER BY "high" ASC NULLS LAST, "ticker", "window_start"')
    with pytest.raises(UsageError, match="there is no column hgh; the order was not changed"):
        panel.sort("hgh")


def test_an_order_of_very_many_rows_reads_one_column_first(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TablePanel(bench, "stock_day", sort="-close", rows=10)
    pages = [column(whole, "close")]
    whole.next_button.click()
    pages.append(column(whole, "close"))
    asked: list[str] = []
    real = TablePanel._relation

    def watched(self: TablePanel, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return real(self, sql, *rest)

    monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr(TablePanel, "_relation", watched)
    panel = TablePanel(bench, "stock_day", sort="-close", rows=10)
    assert any('AND "close" >= CAST' in one or 'WHERE "close" >= CAST' in one for one in asked)
    assert column(panel, "close") == pages[0]
    panel.next_button.click()
    assert column(panel, "close") == pages[1]
    panel.last_button.click()
    assert panel.place == "rows 111–120 of 120"
    panel.turn("date")
    assert column(panel, "date") == [str(THU)] * 10
    assert "CAST" not in panel.sql


# ---------------------------------------------------------------------- filters


def test_a_condition_filters_and_files_are_left_out(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", where="ticker = 'T07' -- one")
    assert (panel.place, panel.count) == ("rows 1–3 of 3", 3)
    assert bench.catalog.narrowed(panel.sql) is not None
    panel.where.value = "close > 9.83"
    assert panel.count == 9
    panel.where.value = ""
    assert panel.count == 120


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("clse > 1", 'Referenced column "clse" not found'),
        ("close >", "this is no condition"),
        ("true); DROP VIEW stock_day; SELECT (1", "this is more than a condition"),
        ("ticker", "Could not convert string"),
    ],
)
def test_a_condition_that_cannot_be_is_told_under_its_field(bench: Workbench, condition: str, sentence: str) -> None:
    panel = TablePanel(bench, "stock_day", where="close > 9.83")
    panel.where.value = condition
    assert sentence in complaint(panel, 1)
    assert (panel.count, panel.message.value, panel.sql) == (9, "", "SELECT *\nFROM stock_day\nWHERE (close > 9.83)")
    panel.where.value = "close > 9.8"
    assert (complaint(panel, 1), panel.count) == ("", 39)


@pytest.mark.parametrize(
    ("column", "operator", "value", "count"),
    [
        ("ticker", "=", "T07", 3),
        ("ticker", "≠", "T07", 117),
        ("ticker", "contains", "t0", 30),
        ("ticker", "begins with", "T3", 30),
        ("ticker", "is one of", "T01, T02,T99", 6),
        ("ticker", "=", "T'07", 0),
        ("close", ">", "9.83", 9),
        ("close", "≤", "9.6", 1),
        ("date", "≥", "2024-03-08", 80),
        ("timestamp", "<", "2024-03-08 00:00:00", 40),
        ("is_test", "=", "true", 0),
        ("source", "is NULL", "", 0),
        ("source", "is not NULL", "", 120),
    ],
)
def test_fields_make_filters(bench: Workbench, column: str, operator: str, value: str, count: int) -> None:
    panel = TablePanel(bench, "stock_day")
    panel.column.value, panel.operator.value, panel.value.value = column, operator, value
    panel.add_button.click()
    assert (complaint(panel, 2), panel.count) == ("", count)
    [chip] = panel.chips.children
    chip.click()
    assert (panel.chips.children, panel.count) == ((), 120)


@pytest.mark.parametrize(
    ("column", "operator", "value", "sentence"),
    [
        ("close", ">", "dear", "'dear' is no DOUBLE.\nNothing was filtered by it."),
        ("date", "=", "2024-02-30", "'2024-02-30' is no DATE."),
        ("close", "is one of", "1, two", "'two' is no DOUBLE."),
        ("close", "=", " ", "= needs a value; nothing was filtered."),
    ],
)
def test_a_value_that_cannot_be_is_told_under_its_field(bench: Workbench, column: str, operator: str, value: str, sentence: str) -> None:
    panel = TablePanel(bench, "stock_day")
    panel.column.value, panel.operator.value, panel.value.value = column, operator, value
    panel.add_button.click()
    assert sentence in complaint(panel, 2)
    assert (panel.count, panel.chips.children) == (120, ())


# ---------------------------------------------------------------------- what


def test_a_query_takes_values_and_frames_of_the_notebook(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    import __main__

    monkeypatch.setattr(__main__, "held_by_the_notebook", pl.DataFrame({"ticker": ["T01", "T02"]}), raising=False)
    panel = TablePanel(bench, "SELECT close FROM stock_day JOIN held_by_the_notebook USING (ticker) WHERE date = $day -- all", day=FRI)
    assert panel.count == 2
    # A callback runs on a thread's stack without the notebook's cell.
    thread = threading.Thread(target=panel.grid.head("close").click)
    thread.start()
    thread.join(30)
    assert (panel.message.value, panel.place, panel.grid.head("close").description) == ("", "rows 1–2 of 2", "close ▲")


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("stock_dya", "there is no table 'stock_dya'; nothing was done; did you mean stock_day"),
        ("SELECT clse FROM stock_day", 'Referenced column "clse" not found'),
        ("SELECT 1; SELECT 2", "one query can be shown, and these are 2 statements; nothing was run. Leave one."),
        ("DROP VIEW stock_day", "a query can be shown, and this is DROP; it was not run."),
        ("  ", "there is nothing to show; write a table's name or a query."),
        ("SELECT $nothing", "the query takes $nothing, which was not given; nothing was asked."),
        ("FROM self", "there is no table 'self'"),
    ],
)
def test_what_cannot_be_shown_is_told_under_its_field(bench: Workbench, what: str, sentence: str) -> None:
    panel = TablePanel(bench, what)
    assert sentence in complaint(panel, 0)
    assert sentence in unescape(panel.static())
    shown = TablePanel(bench, "stock_day")
    shown.what.value = what
    assert sentence in complaint(shown, 0) and "what was shown before" in complaint(shown, 0)
    assert shown.count == 120 and bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(120,)]
    shown.what.value = "SELECT ticker FROM stock_day;"
    assert (complaint(shown, 0), shown.count) == ("", 120)


def test_a_query_that_fails_when_it_is_read_is_told_of(bench: Workbench) -> None:
    failing = "SELECT CASE WHEN ticker = 'T07' THEN error('the cause') ELSE close END AS c FROM stock_day"
    panel = TablePanel(bench, failing)
    assert "the cause" in complaint(panel, 0) and "fault of the workbench" not in panel.static()
    panel.count_button.click()
    assert "nothing is shown yet" in panel.message.value
    shown = TablePanel(bench, "stock_day")
    shown.what.value = failing
    assert "the cause" in complaint(shown, 0) and "what was shown before" in complaint(shown, 0)
    shown.next_button.click()
    assert (shown.page, shown.count, "FROM stock_day" in shown.sql) == (1, 120, True) and "ticker" in shown.types


def test_a_page_that_cannot_be_read_is_told_of_and_the_one_before_stands(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = TablePanel(bench, "stock_day")
    before = column(panel, "ticker")

    def fails(page: int, size: int) -> Shown:
        raise duckdb.InvalidInputException("the cause")

    monkeypatch.setattr(panel, "_read", fails)
    panel.next_button.click()
    assert "the cause" in panel.message.value and "fault of the workbench" not in panel.message.value
    assert (panel.page, column(panel, "ticker")) == (0, before)


def test_a_condition_that_another_table_does_not_take_is_left_out(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", where="close > 9.8")
    panel.what.value = "SELECT ticker FROM stock_day"
    assert "close" in complaint(panel, 1) and "not filtered by it" in complaint(panel, 1)
    assert panel.shown and (list(panel.shown.columns), panel.count) == (["ticker"], 120)
    panel.next_button.click()
    assert (panel.page, panel.message.value) == (1, "")


def test_its_sql_and_data_are_what_it_shows(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", where="close > 9.8", sort="-close", columns=["ticker", "close"])
    assert bench.sql(panel.sql).fetchall() == panel.data().rows()
    assert (panel.data().height, panel.data(5).height, panel.data().columns) == (39, 5, ["ticker", "close"])
    assert panel.sql == (
        'SELECT "ticker", "close"\nFROM stock_day\nWHERE (close > 9.8)\nORDER BY "close" DESC NULLS LAST, "ticker", "window_start"'
    )
    panel.sql_button.value = True
    assert panel.text.layout.display == "" and "ORDER BY" in panel.text.value


def test_very_many_rows_are_no_frame_unless_told_how_many(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", 100)
    panel = TablePanel(bench, "stock_day")
    with pytest.raises(UsageError, match="these are 120 rows; no frame was made"):
        panel.data()
    assert panel.data(7).height == 7


def test_a_count_that_takes_long_is_not_waited_for(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day")
    assert panel._within(lambda: bench.sql("SELECT count(DISTINCT hash(i)) FROM range(400_000_000) AS t(i)").fetchall()[0][0], 0.05) is None
    assert bench.sql("SELECT 1").fetchall() == [(1,)]
    panel.close()


def test_an_unknown_count_is_said_and_asked_for(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TablePanel, "_within", lambda *_: None)
    panel = TablePanel(bench, "stock_day", where="close > 9.65")
    assert (panel.place, panel.count_button.layout.display) == ("rows 1–25 of unknown", "")
    panel.count_button.click()
    assert (panel.place, panel.count_button.layout.display) == ("rows 1–25 of 80", "none")


def test_columns_are_chosen_and_many_are_bounded(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day")
    panel.choice.value = ("ticker", "close")
    assert panel.shown and list(panel.shown.columns) == ["ticker", "close"]
    wide = TablePanel(bench, f"SELECT {', '.join(f'{n} AS c{n}' for n in range(70))}")
    assert wide.shown and len(wide.shown.columns) == 30
    assert wide.place == "rows 1–1 of 1, 30 of 70 columns"


def test_odd_names_and_values_are_shown_as_they_are(bench: Workbench) -> None:
    panel = TablePanel(
        bench,
        """SELECT 1 AS "select", '<b>&' AS "a ""b\""", NULL AS "ü", 'two' || chr(10) || 'lines' AS l, [1] AS l2, 'x' AS "dup", 'y' AS "dup" """,
    )
    assert panel.message.value == "" and complaint(panel, 0) == ""
    cells = "".join(one.cells.value for one in panel.grid._columns)
    assert "&lt;b&gt;&amp;" in cells and "<b>" not in cells and "NULL</span>" in cells and "two lines" in cells
    panel.grid.head('a "b"').click()
    assert panel.message.value == ""


def test_while_a_platform_is_in_use_its_sql_is_shown(bench: Workbench) -> None:
    bench.use("tetra")
    try:
        panel = TablePanel(
            bench, "SELECT symbol, close FROM ohlcv WHERE DATE(timestamp) = '2024-03-08'", where="close > 9.7", sort="symbol"
        )
        assert complaint(panel, 0) == "" and panel.count == 39
    finally:
        bench.use(None)


# ---------------------------------------------------------------------- profiles


def test_profiles_tell_nulls_values_and_spread(bench: Workbench) -> None:
    query = """SELECT i AS n, CASE WHEN i % 4 = 0 THEN NULL ELSE i % 3 END AS part, 'x' || i % 2 AS word, DATE '2024-01-01' + i::INTEGER AS day,
        [i] AS listed, 5 AS one, CASE WHEN i = 0 THEN 'nan'::DOUBLE WHEN i = 1 THEN 'inf'::DOUBLE ELSE i END AS odd FROM range(100) AS t(i) ORDER BY i"""
    panel = TablePanel(bench, query, profiles=True)
    assert panel._profiles and panel.message.value == ""
    of = panel._profiles[1]

    assert (of["n"].distinct, of["n"].least, of["n"].greatest, of["n"].bins) == (100, "0", "99", (5,) * BINS)
    assert (of["part"].nulls, of["part"].distinct) == (25, 3)
    assert of["word"].common == (("x0", 50), ("x1", 50))
    assert (of["day"].greatest, sum(of["day"].bins)) == ("2024-04-09", 100)
    assert (of["listed"].distinct, of["one"].bins) == (None, ())
    assert sum(of["odd"].bins) == 98
    assert "25% NULL" in of["part"].html() and "100 values · no NULL" in of["n"].html()
    assert 'src="data:image/svg+xml;base64,' in panel.grid._columns[0].profile.value
    panel.profile_button.value = False
    assert panel.grid._columns[0].profile.layout.display == "none"


def test_profiles_are_of_what_is_filtered(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", profiles=True)
    panel.where.value = "ticker = 'T07'"
    assert panel._profiles and panel._profiles[1]["ticker"].distinct == 1
    assert "profiles of all rows" in panel.state.value


def test_of_very_many_rows_a_share_is_profiled_and_said(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.panels.table_profile.WHOLE", 10)
    monkeypatch.setattr("workbench.panels.table_profile.SAMPLED", 80)
    panel = TablePanel(bench, "stock_day", profiles=True)
    assert panel._profiles and panel._profiles[1]["ticker"].rows == 80
    assert "profiles of a sample: a session in each of 2 files" in panel.state.value
    assert panel.whole_button.layout.display == ""
    panel.whole_button.click()
    assert panel._profiles[1]["ticker"].rows == 120 and "profiles of all rows" in panel.state.value
    query, words = limits(Asked("SELECT * FROM stock_day"), None, bench)
    assert words == "the first 200,000 rows" and query.endswith("LIMIT 200000")


def test_no_rows_have_profiles_too(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", where="ticker = 'NONE'", profiles=True)
    assert (panel.place, panel.message.value) == ("no rows", "")
    assert bars([0, 0, 3]).startswith("<img")


# ---------------------------------------------------------------------- saved


def test_what_is_saved_is_the_page_without_scripts(bench: Workbench) -> None:
    panel = TablePanel(bench, "stock_day", sort="-close", rows=10, profiles=True)
    told = panel._repr_mimebundle_()

    assert {"text/html", "text/plain", "application/vnd.jupyter.widget-view+json"} <= told.keys()
    html = told["text/html"]
    assert "9.839" in html and "… and more (12 columns × 120 rows)" in html and "histogram" in html
    assert "<script" not in html and len(html) < 200_000
    assert "rows 1–10 of 120" in told["text/plain"]


def test_a_filter_is_sql_with_literals_of_its_type() -> None:
    assert Filter("close", ">", "5", "DOUBLE").sql == '"close" > 5'
    assert Filter("date", "=", "2024-03-08", "DATE").sql == "\"date\" = DATE '2024-03-08'"
    assert Filter("x", "=", "1", "DATE").sql == "\"x\" = DATE '1'"
    assert Filter("a", "≠", "it's", "VARCHAR").sql == "\"a\" != 'it''s'"
    assert clean("FROM stock_day ; \n", None) == "FROM stock_day"


def test_rows_beyond_the_first_are_counted_from_there(bench: Workbench) -> None:
    shown = first(bench.sql("SELECT i FROM range(10) AS t(i) ORDER BY i"), 4, offset=8)
    assert (shown.rows, shown.count) == ([("8",), ("9",)], 10)


def test_a_lake_that_moves_is_seen_on_the_next_page(tmp_path: Path) -> None:
    put(tmp_path / "files", STOCK_DAY, THU, text([bar("ACME", THU)]))
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source=f"folder:{tmp_path / 'files'}")) as bench:
        bench.refresh().run()
        panel = TablePanel(bench, "stock_day")
        assert panel.count == 1
        put(tmp_path / "files", STOCK_DAY, date(2024, 3, 8), text([bar("ACME", date(2024, 3, 8))]))
        bench.refresh().run()
        panel.first_button.click()
        assert panel.count == 2
