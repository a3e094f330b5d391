"""Status and coverage in a real JupyterLab: a number's SQL one click away, a cell of the calendar that tells why and is mended, on light and on dark."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from labserver import idle, marks, notebook, opened, picture, run_all_cells, served

sys.path.insert(0, str(Path(__file__).parent.parent / "panels"))
from held import lake

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = marks
OPEN = "import workbench\nbench = workbench.open()"
STATUS = "from workbench.panels import StatusPanel\nStatusPanel(bench, every=1)"
COVERAGE = "from workbench.panels import CoveragePanel\npanel = CoveragePanel(bench, end='2024-03-29')\npanel"
LOOKS = "import threading\nprint([t.name for t in threading.enumerate() if t.name == 'status panel'])"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab beside a small lake; its address."""
    work, aside = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("aside")
    bench = lake(aside)
    notebook(work / "status.ipynb", OPEN, STATUS, LOOKS)
    notebook(work / "coverage.ipynb", OPEN, COVERAGE)
    with served(work, aside, {"WORKBENCH_DATA": bench.settings.data, "WORKBENCH_SOURCE": bench.settings.source}) as address:
        yield address


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_number_of_the_status_shows_its_sql(lab: str, theme: str) -> None:
    from playwright.sync_api import expect

    with opened(lab, "status.ipynb", theme=theme) as page:
        run_all_cells(page)
        number = page.locator('[data-cell="stock_day.rows"]')
        number.wait_for(timeout=60_000)
        idle(page)
        expect(page.get_by_text("['status panel']")).to_be_visible()
        picture(page, f"status_{theme.split()[-1].lower()}")

        number.click()
        sql = page.locator(".jp-Notebook textarea")
        expect(sql).to_have_value("SELECT count(*) FROM stock_day")
        page.locator("button", has_text="Run").last.click()
        expect(page.get_by_text("6   (", exact=False)).to_be_visible(timeout=30_000)
        picture(page, f"status_sql_{theme.split()[-1].lower()}")
        stops_when_nobody_looks(page)


def stops_when_nobody_looks(page: "Page") -> None:
    """Clear what the cells show: the panel's thread ends."""
    from playwright.sync_api import expect

    page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    expect(page.locator('[data-cell="stock_day.rows"]')).to_have_count(0)
    page.wait_for_timeout(2_500)
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    expect(page.locator(".jp-OutputArea-output", has_text="[]")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_cell_of_the_calendar_tells_why_and_is_mended(lab: str, theme: str) -> None:
    from playwright.sync_api import expect

    with opened(lab, "coverage.ipynb", theme=theme) as page:
        run_all_cells(page)
        plot = page.locator(".js-plotly-plot .nsewdrag").first
        plot.wait_for(timeout=60_000)
        idle(page)
        expect(page.get_by_text("quarantined 1")).to_be_visible()
        picture(page, f"coverage_{theme.split()[-1].lower()}")

        # The third of twenty sessions, of the first of two tables.
        box = plot.bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] * 2.5 / 20, box["y"] + box["height"] / 4)
        expect(page.get_by_text("stock_day, Wed 2024-03-06")).to_be_visible(timeout=30_000)
        picture(page, f"coverage_cell_{theme.split()[-1].lower()}")
        page.locator("button", has_text="Repair").click()
        expect(page.get_by_text("the refresh panel is filled in")).to_be_visible(timeout=30_000)
        picture(page, f"coverage_repair_{theme.split()[-1].lower()}")
