"""The first notebook in JupyterLab, in a real browser: its cells run, and a button refreshes the lake."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text

from workbench import notebooks
from workbench.bench import Workbench
from workbench.config import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
READY_SECONDS = 60
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A lake of two sessions, and a third in the folder that is not landed yet."""
    files = tmp_path / "files"
    for n, day in enumerate((THU, FRI)):
        put(files, STOCK_DAY, day, text([bar("ACME", day, close=10 + n / 2), bar("BETA", day)]))
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source=f"folder:{files}"))
    bench.refresh().run()
    put(files, STOCK_DAY, MON, text([bar("ACME", MON, close=11), bar("BETA", MON)]))
    return bench


@pytest.fixture
def lab(bench: Workbench, tmp_path: Path) -> Iterator[str]:
    """JupyterLab on a copy of the first notebook; its address."""
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(notebooks.FOLDER / "00_first_query.ipynb", work)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")} | {
        "IPYTHONDIR": str(tmp_path / "ipython")
    }
    settings = {"WORKBENCH_DATA": bench.settings.data, "WORKBENCH_SOURCE": bench.settings.source}
    words = [
        *(
            sys.executable,
            "-m",
            "jupyterlab",
            "--allow-root",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
        ),
        *("--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={work}"),
        *(
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.expose_app_in_browser=True",
        ),
    ]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(words, cwd=work, env={**os.environ, **own, **settings}, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/api", server, tmp_path / "lab.log")
            yield address
        finally:
            # Kernels end with their server.
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def test_the_first_notebook_runs_and_a_click_refreshes_the_lake(lab: str, bench: Workbench, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    pictures = Path(os.environ.get("WORKBENCH_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    elsewhere: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1400, "height": 3000})
        page.on("request", lambda request: elsewhere.append(request.url) if not local(request.url) else None)
        page.goto(f"{lab}/lab/tree/00_first_query.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        idle.wait_for(timeout=60_000)
        run_all_cells(page)

        cells = page.locator(".jp-Notebook")
        # A button's icon is a character of its accessible name.
        refresh = cells.locator("button", has_text=re.compile("Refresh$"))
        refresh.wait_for(timeout=60_000)
        idle.wait_for(timeout=60_000)
        page.locator(".js-plotly-plot").wait_for(timeout=30_000)
        expect(cells.get_by_text("4 rows in 1 tables")).to_have_count(2)
        page.screenshot(path=pictures / "first_query.png")

        refresh.click()
        expect(cells.get_by_text("1 file landed, 2 rows")).to_be_visible(timeout=60_000)
        cells.locator("button", has_text="Reload").click()
        expect(cells.get_by_text("6 rows in 1 tables")).to_be_visible(timeout=30_000)
        page.screenshot(path=pictures / "first_query_refreshed.png")

    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]
    assert not elsewhere, "the notebook must work offline"


RUN_ALL = """async () => {
    const widget = window.jupyterapp.shell.currentWidget;
    await widget.context.ready;
    await widget.sessionContext.ready;
    await widget.sessionContext.session.kernel.info;
    await window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""


def run_all_cells(page: "Page") -> None:
    """Run the notebook as its menu does, once the kernel answers: what a busy machine's kernel is sent before, it drops."""
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel", timeout=60_000)
    page.evaluate(RUN_ALL)


def local(address: str) -> bool:
    """Whether an address is on this machine, or within the page."""
    return address.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))
