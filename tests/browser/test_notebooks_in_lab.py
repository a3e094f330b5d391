"""The committed notebooks in JupyterLab, in a real browser: every cell runs, panels are drawn, and a button refreshes the lake."""

import re
import shutil
from collections.abc import Iterator

import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text
from labserver import idle, marks, opened, picture, run_all_cells, served

from workbench import notebooks
from workbench.bench import Workbench
from workbench.config import Settings

pytestmark = marks
WHOLE = {"width": 1400, "height": 5000}
SHOWN_MS = 60_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A lake of two sessions, and a third in the folder that is not landed yet."""
    root = tmp_path_factory.mktemp("notebooks")
    files = root / "files"
    for n, day in enumerate((THU, FRI)):
        put(files, STOCK_DAY, day, text([bar("ACME", day, close=10 + n / 2), bar("BETA", day)]))
    bench = Workbench(Settings.load(env={}, data=str(root / "lake"), source=f"folder:{files}"))
    bench.refresh().run()
    put(files, STOCK_DAY, MON, text([bar("ACME", MON, close=11), bar("BETA", MON)]))
    return bench


@pytest.fixture(scope="module")
def lab(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on copies of the notebooks; its address."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(notebooks.FOLDER, folder / "work")
    with served(folder / "work", folder, {"WORKBENCH_DATA": bench.settings.data, "WORKBENCH_SOURCE": bench.settings.source}) as address:
        yield address


def test_the_first_notebook_runs_and_a_click_refreshes_the_lake(lab: str, bench: Workbench) -> None:
    with opened(lab, "00_first_query.ipynb", screen=WHOLE) as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        # A button's icon is a character of its accessible name.
        refresh = cells.locator("button", has_text=re.compile("Refresh$"))
        refresh.wait_for(timeout=2 * SHOWN_MS)
        idle(page)
        # The candles, and the line of plotly's own.
        page.locator(".js-plotly-plot .main-svg").nth(1).wait_for(timeout=SHOWN_MS)
        assert not page.locator(
            '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"], .jp-OutputArea-output pre .ansi-red-fg'
        ).count()
        # A row of the table stands below the head of its column.
        head = cells.locator("button", has_text=re.compile("^close"))
        below = head.locator("xpath=..").get_by_text("10.5").first
        below.wait_for(timeout=SHOWN_MS)
        page.wait_for_timeout(1_000)
        picture(page, "first_query")

        refresh.click()
        cells.get_by_text("1 file landed, 2 rows").first.wait_for(timeout=SHOWN_MS)
        cells.locator("button", has_text=re.compile("Reload$")).first.click()
        cells.locator("td, span").get_by_text("6", exact=True).first.wait_for(timeout=SHOWN_MS)
        picture(page, "first_query_refreshed")

    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]


def test_status_and_gaps_stand_beside_their_refresh(lab: str) -> None:
    with opened(lab, "20_status_and_gaps.ipynb", screen=WHOLE) as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        cells.locator("button", has_text=re.compile("Refresh$")).wait_for(timeout=2 * SHOWN_MS)
        # Axes alone are no calendar.
        page.locator(".js-plotly-plot .heatmaplayer image").first.wait_for(timeout=SHOWN_MS)
        cells.get_by_text("data_sync_log").first.wait_for(timeout=SHOWN_MS)
        page.wait_for_timeout(1_000)
        picture(page, "status_and_gaps")
