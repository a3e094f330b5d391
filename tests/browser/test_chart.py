"""The chart in JupyterLab, in a real browser: it fills its cell, a wheel and a hand move it, a click goes into a candle, and it is read on light and on dark."""

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from labserver import idle, marks, notebook, opened, picture, run_all_cells, served

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.sources import sample
from workbench.sources.reference import Gathered
from workbench.tables import find

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = marks
DAYS = sessions.between(find("stock_day"), date(2026, 4, 1), date(2026, 7, 10))
CANDLES = ".js-plotly-plot .boxlayer .trace path.box"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab beside a lake with days, minutes of a week, and trades and quotes of its last session; its address."""
    home = tmp_path_factory.mktemp("chart")
    for name, days in (("stock_day", DAYS), ("stock_minute", DAYS[-10:]), ("stock_trades", DAYS[-1:]), ("stock_quotes", DAYS[-1:])):
        for day in days:
            rows = 60_000 if name in ("stock_trades", "stock_quotes") else None
            sample.write(home / "files", find(name), day, tickers=["AAPL", "NVDA"], rows=rows)
    bench = Workbench(Settings.load(env={}, data=str(home / "lake"), source=f"folder:{home / 'files'}"))
    bench.refresh(start=DAYS[0], end=DAYS[-1]).run()
    split = {"ticker": "NVDA", "execution_date": "2026-06-10", "split_from": 1, "split_to": 4}
    update(bench.lake, Gathered("splits", "k", [split]), "polygon_api")
    bench.close()
    (work := home / "work").mkdir()
    notebook(
        work / "chart.ipynb",
        "import workbench\nbench = workbench.open()\nbench.status().title",
        "panel = workbench.panels.ChartPanel(bench, 'NVDA')\npanel",
    )
    with served(work, home, {"WORKBENCH_DATA": str(home / "lake")}) as address:
        yield address


def shown(page: "Page") -> None:
    """Run the notebook, and wait for the candles."""
    run_all_cells(page)
    page.locator(CANDLES).first.wait_for(timeout=60_000)
    idle(page)
    page.evaluate("document.querySelector('.js-plotly-plot').closest('.jp-Cell').scrollIntoView()")


def told(page: "Page", what: str) -> None:
    """Wait until the panel tells something."""
    from playwright.sync_api import expect

    expect(page.get_by_text(re.compile(what)).first).to_be_visible(timeout=30_000)


def plot(page: "Page") -> dict[str, Any]:
    """Where the candles are drawn."""
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box
    return dict(box)


def button(page: "Page", text: str) -> None:
    page.locator(".jp-Notebook button", has_text=re.compile(f"^{re.escape(text)}$")).click()


def test_it_fills_its_cell_and_is_moved_by_wheel_and_hand_down_to_a_minutes_trades(lab: str) -> None:
    with opened(lab, "chart.ipynb") as page:
        shown(page)
        told(page, "NVDA, 1d · 69 candles of stock_day")
        page.wait_for_timeout(500)
        box = plot(page)
        assert box["width"] > 950, "the chart leaves room in its cell"
        assert page.locator(CANDLES).count() >= 60
        picture(page, "chart")

        # The wheel zooms about the mouse: what is near has shorter candles.
        middle = box["y"] + box["height"] / 2
        button(page, "5 days")
        told(page, "NVDA, 15m")
        picture(page, "chart_5_days")
        page.mouse.move(box["x"] + box["width"] * 0.9, middle)
        for _ in range(60):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(120)
            if page.get_by_text("NVDA, 5m").count():
                break
        told(page, "NVDA, 5m")

        # A hand moves it to earlier sessions.
        before = page.locator("input[type=date]").first.input_value()
        for _ in range(2):
            page.mouse.move(box["x"] + 60, middle)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] - 60, middle, steps=8)
            page.mouse.up()
            page.wait_for_timeout(400)
        told(page, "NVDA, 5m")
        assert page.locator("input[type=date]").first.input_value() < before

        button(page, "all")
        told(page, "NVDA, 1d · 69 candles")
        button(page, "1 day")
        told(page, "NVDA, 5m · 192 candles")
        for _ in range(2):
            button(page, "+")
        told(page, "NVDA, 1m")
        idle(page)
        page.wait_for_timeout(500)
        candle = page.locator(CANDLES).nth(page.locator(CANDLES).count() // 2).bounding_box()
        assert candle
        page.mouse.move(candle["x"] + candle["width"] / 2, candle["y"] + candle["height"] / 2)
        page.wait_for_timeout(300)
        page.mouse.click(candle["x"] + candle["width"] / 2, candle["y"] + candle["height"] / 2)
        told(page, r"NVDA at 2026-07-10 .* trades · .* quotes")
        page.locator(".js-plotly-plot").nth(1).scroll_into_view_if_needed()
        page.locator(".js-plotly-plot").nth(1).locator(".scatterlayer .point").first.wait_for(timeout=30_000)
        page.wait_for_timeout(500)
        picture(page, "chart_moment")


def test_it_is_read_on_dark_and_a_wrong_ticker_is_told_under_its_field(lab: str) -> None:
    with opened(lab, "chart.ipynb", theme="JupyterLab Dark") as page:
        shown(page)
        button(page, "5 days")
        told(page, "NVDA, 15m")
        ticker = page.locator(".jp-Notebook .widget-text input[type=text]").first
        ticker.fill("NVDX")
        ticker.press("Enter")
        told(page, "Did you mean NVDA")
        page.wait_for_timeout(500)
        picture(page, "chart_dark")
        ticker.fill("AAPL")
        button(page, "Show")
        told(page, "AAPL, 15m")
        idle(page)
        page.wait_for_timeout(500)
        picture(page, "chart_dark_other")
