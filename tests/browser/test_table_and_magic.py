"""A table's panel and `%%sql` in JupyterLab, in a real browser: clicked, typed into, completed, and looked at in both themes."""

from collections.abc import Iterator

import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text
from labserver import idle, marks, notebook, opened, picture, run_all_cells, served

from workbench.bench import Workbench
from workbench.config import Settings

pytestmark = marks
TICKERS = [f"T{n:03d}" for n in range(60)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a lake of three sessions; its address."""
    home = tmp_path_factory.mktemp("lab")
    for n, day in enumerate((THU, FRI, MON)):
        put(home / "files", STOCK_DAY, day, text([bar(one, day, close=10 + n + k / 60) for k, one in enumerate(TICKERS)]))
    with Workbench(Settings.load(env={}, data=str(home / "lake"), source=f"folder:{home / 'files'}")) as bench:
        bench.refresh().run()
    (work := home / "work").mkdir()
    first = "%load_ext workbench\nimport workbench\nfrom workbench.panels import TablePanel\nbench = workbench.open()"
    notebook(work / "table.ipynb", first, 'panel = TablePanel(bench, "stock_day", rows=10, profiles=True)\npanel')
    notebook(
        work / "sql.ipynb",
        f"{first}\nticker = 'T007'",
        "%%sql --as bars\nSELECT ticker, date, close, timestamp, NULL AS nothing, '<b>' || repeat('long ', 40) AS words\nFROM stock_day WHERE ticker = $ticker",
        "%%sql\nSELECT clse\nFROM stock_day",
        'bench.sql("SELECT * FROM stock_day ORDER BY ticker, date")',
        "%%sql\nSELECT s. FROM stock_day AS s",
    )
    with served(work, home, {"WORKBENCH_DATA": str(home / "lake")}) as address:
        yield address


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_table_is_paged_sorted_and_filtered_by_clicks(lab: str, theme: str) -> None:
    from playwright.sync_api import expect

    with opened(lab, "table.ipynb", theme=theme) as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        expect(cells.get_by_text("rows 1–10 of 180")).to_be_visible(timeout=60_000)
        idle(page)
        picture(page, f"table_{theme[-5:].strip().lower()}")
        page.get_by_title("next page").click()
        expect(cells.get_by_text("rows 11–20 of 180")).to_be_visible(timeout=30_000)
        page.get_by_title("sort by close").click()
        page.get_by_role("button", name="close ▲").click()
        expect(page.get_by_role("button", name="close ▼")).to_be_visible(timeout=30_000)
        expect(cells.get_by_text("12.983333333333333", exact=False).first).to_be_visible(timeout=30_000)
        where = cells.get_by_placeholder("a condition, as after WHERE", exact=False)
        where.fill("clse > 12")
        where.press("Enter")
        expect(cells.get_by_text("Candidate bindings", exact=False)).to_be_visible(timeout=30_000)
        picture(page, f"table_refused_{theme[-5:].strip().lower()}")
        where.fill("close > 12")
        where.press("Enter")
        expect(cells.get_by_text("rows 1–10 of 59")).to_be_visible(timeout=30_000)
        expect(cells.get_by_text("Candidate bindings", exact=False)).to_have_count(0)


def test_sql_cells_show_tables_and_sentences_and_complete(lab: str) -> None:
    from playwright.sync_api import expect

    with opened(lab, "sql.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook .jp-Cell")
        expect(cells.nth(2).get_by_text("Candidate bindings", exact=False)).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Traceback")).to_have_count(0)
        # A cell that fails stops those below.
        cells.nth(3).locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        expect(cells.nth(3).get_by_text("12 columns × 180 rows", exact=False)).to_be_visible(timeout=30_000)
        expect(cells.nth(1).get_by_text("6 columns × 3 rows", exact=False)).to_be_visible(timeout=30_000)
        idle(page)
        cells.nth(1).scroll_into_view_if_needed()
        picture(page, "sql_cells")
        cells.nth(4).locator(".cm-content").click()
        page.keyboard.press("Control+End")
        for _ in range(len(" FROM stock_day AS s")):
            page.keyboard.press("ArrowLeft")
        page.keyboard.type("cl")
        page.keyboard.press("Tab")
        # What is typed on has the list opened; the first of it is chosen.
        page.locator(".jp-Completer-item").first.wait_for(timeout=30_000)
        picture(page, "sql_completion")
        page.keyboard.press("Enter")
        expect(cells.nth(4).locator(".cm-line", has_text="SELECT s.close FROM stock_day AS s")).to_be_visible(timeout=30_000)
