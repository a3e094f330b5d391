"""The refresh panel in JupyterLab: it moves while a cell computes, goes on without its kernel, and is read on light and on dark."""

import gzip
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flatfiles import STOCK_DAY, bar, put, text
from labserver import idle, marks, notebook, opened, picture, run_all_cells, served
from s3server import Fault, StandIn

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.runs import Runs

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = marks
TICKERS = 400
IN_FLIGHT = re.compile(r"stock_day 2024-03-\d\d · \d.*B of .*B")
PANEL = """import time
import workbench
from workbench.bench import Workbench
from workbench.config import Settings
began = time.perf_counter()
from workbench.panels import RefreshPanel
panel = RefreshPanel(Workbench(Settings.load()))
print(f"built in {time.perf_counter() - began:.3f} s")
panel"""
# A cell that computes in Python, as a user's does, and shows each step.
COMPUTE = """steps = 0
pressed = panel.stop_button.disabled is False
end = time.monotonic() + 60
while pressed and time.monotonic() < end and not (panel.result.value and steps > 20):
    sum(n * n for n in range(200_000))
    steps += 1
    print(f"step {steps} at {panel.progress.value.count('files')}", end="\\r")
print(f"\\ncomputed {steps} steps")"""

# The cell that was added, begun and not waited for.
RUN_SECOND = """() => {
    const content = window.jupyterapp.shell.currentWidget.content;
    content.activeCellIndex = 1;
    void window.jupyterapp.commands.execute("notebook:run-cell");
}"""
RESTART = "() => { void window.jupyterapp.shell.currentWidget.sessionContext.restartKernel(); }"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[date]]:
    """Flat files of 504 sessions."""
    folder = tmp_path_factory.mktemp("vendor")
    days = sessions.between(STOCK_DAY, date(2022, 3, 1), date(2024, 3, 28))[-504:]
    for day in days:
        put(folder, STOCK_DAY, day, text([bar(f"T{n:04}", day) for n in range(TICKERS)]))
    return folder, days


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of notebooks, which holds the lakes too."""
    made = tmp_path_factory.mktemp("work")
    (made / "workbench.toml").touch()
    return made


@pytest.fixture(scope="module")
def lab(files: tuple[Path, list[date]], work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(work, tmp_path_factory.mktemp("aside"), {"WORKBENCH_SOURCE": f"folder:{files[0]}"}) as address:
        yield address


def cells(work: Path, name: str, root: str, *others: str, more: str = "") -> Workbench:
    """A notebook with a panel on a root of its own; its bench."""
    notebook(work / f"{name}.ipynb", PANEL.replace("Settings.load()", f"Settings.load(data={root!r}, {more})"), *others)
    return Workbench(Settings.load(env={}, start=work, data=root))


def button(page: "Page", name: str) -> "Locator":
    """A button of the panel; its icon is a character of its name."""
    return page.locator(".jp-Notebook button", has_text=re.compile(f"{name}$")).first


def progress(page: "Page") -> str:
    """What the panel says of how far it is."""
    return page.locator(".jp-Notebook").get_by_text(re.compile(r"\d+ of 504 files")).first.inner_text()


def test_504_sessions_are_refreshed_while_another_cell_computes(lab: str, work: Path, files: tuple[Path, list[date]]) -> None:
    from playwright.sync_api import expect

    bench = cells(work, "busy", "busy_lake", COMPUTE)
    with opened(lab, "busy.ipynb") as page:
        run_all_cells(page)
        button(page, "Refresh").wait_for(timeout=60_000)
        idle(page)
        picture(page, "refresh_light_before")
        button(page, "Refresh").click()
        page.locator(".jp-Notebook").get_by_text(re.compile(r"\d+ of 504 files")).first.wait_for(timeout=60_000)
        page.evaluate(RUN_SECOND)
        told, steps = list[str](), list[str]()
        cell = page.locator(".jp-OutputArea-output", has_text=re.compile(r"step \d+"))
        cell.first.wait_for(timeout=60_000)
        # While the cell computes, the kernel answers no message; what the panel says comes all the same.
        while len(told) < 400 and not page.get_by_text("504 files landed").count():
            told.append(progress(page))
            steps.append(cell.first.inner_text())
            if len(told) == 10:
                picture(page, "refresh_light_going")
            time.sleep(0.05)
        expect(page.get_by_text(re.compile(r"computed \d+ steps"))).to_be_visible(timeout=90_000)
        expect(page.locator(".jp-Notebook").get_by_text(re.compile("504 files landed")).first).to_be_visible()
        idle(page)
        picture(page, "refresh_light_done")

    assert len(set(told)) >= 3, f"the panel moved: {told}"
    assert len(set(steps)) >= 3, f"the cell moved: {steps}"
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(504 * TICKERS,)]


def test_a_restarted_kernel_loses_nothing_and_its_panel_finds_the_run_again(lab: str, work: Path) -> None:
    from playwright.sync_api import expect

    with slow_bucket() as (bucket, days):
        keys = f"source='polygon_s3', polygon_s3_access_key='a', polygon_s3_secret_key='s', polygon_s3_endpoint={bucket.endpoint!r}"
        bench = cells(work, "restart", "restart_lake", more=keys)
        with opened(lab, "restart.ipynb", theme="JupyterLab Dark") as page:
            shown = page.locator(".jp-Notebook")
            run_all_cells(page)
            button(page, "Refresh").wait_for(timeout=60_000)
            idle(page)
            page.locator("select[multiple]").select_option(["stock_day"])
            shown.get_by_placeholder("2026-01-31").first.fill(str(days[0]))
            shown.get_by_placeholder("2026-01-31").last.fill(str(days[-1]))
            button(page, "Refresh").click()
            shown.get_by_text(IN_FLIGHT).first.wait_for(timeout=60_000)
            [run] = Runs(bench.settings.root)
            # Held still, it is in the middle of its work until the new kernel's panel has found it.
            os.kill(run.child, signal.SIGSTOP)
            try:
                picture(page, "refresh_dark_going")
                page.evaluate(RESTART)
                page.wait_for_timeout(500)
                idle(page)
                assert Runs(bench.settings.root).get(run.id).state == "running", "the run goes on without its kernel"
                run_all_cells(page)
                shown.get_by_text("a refresh goes on, started by panel").wait_for(timeout=60_000)
                shown.get_by_text(IN_FLIGHT).first.wait_for(timeout=60_000)
                picture(page, "refresh_dark_followed")
            finally:
                os.kill(run.child, signal.SIGCONT)
            expect(shown.get_by_text(f"{len(days)} files landed").first).to_be_visible(timeout=90_000)
            picture(page, "refresh_dark_done")

            shown.get_by_placeholder("2026-01-31").first.fill("2024-02-31")
            shown.get_by_placeholder("2026-01-31").last.fill("2024-01-31")
            page.locator("select[multiple]").select_option(["stock_day"])
            shown.get_by_text("reset: empty the tables first").click()
            shown.get_by_text("to confirm").first.wait_for(timeout=30_000)
            button(page, "Refresh").click()
            expect(page.get_by_text("'2024-02-31' is not a date").first).to_be_visible(timeout=30_000)
            picture(page, "refresh_dark_faults")

    assert [run.state for run in Runs(bench.settings.root)] == ["done"]
    assert bench.sql("SELECT count(DISTINCT date) FROM stock_day").fetchall() == [(len(days),)]


@contextmanager
def slow_bucket() -> Iterator[tuple[StandIn, list[date]]]:
    """A bucket whose files come in pieces with silences between, so that they are in flight for some seconds."""
    bucket, days = StandIn(), sessions.between(STOCK_DAY, date(2024, 3, 4), date(2024, 3, 11))
    for day in days:
        lines = [bar(f"T{n:05}", day, volume=n * 7919 % 104_729, close=10 + n % 100 / 100, trades=n * 31 % 997) for n in range(20_000)]
        bucket.put(STOCK_DAY.key_of(STOCK_DAY.feeds[0], day), gzip.compress(text(lines), 1))
    bucket.forever.append(Fault("get", sent=100_000, silent_s=0.7))
    try:
        yield bucket, days
    finally:
        bucket.close()
