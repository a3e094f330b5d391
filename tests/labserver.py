"""A real JupyterLab on loopback, driven in Chromium: served with settings of its own, notebooks made of cells, pictures kept."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from s3server import free_ports

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
READY_SECONDS = 60
IDLE_MS = 60_000
# What a reader's screen shows.
SCREEN = {"width": 1280, "height": 800}
BROWSER = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage"
)
SERVER = (
    "--allow-root --no-browser --ip=127.0.0.1 --ServerApp.port_retries=0 --IdentityProvider.token= --ServerApp.password= "
    "--ServerApp.disable_check_xsrf=True --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate "
    "--LabApp.expose_app_in_browser=True"
)

marks = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium"),
]


def notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells."""
    made: list[dict[str, object]] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": text}
        for n, text in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


@contextmanager
def served(work: Path, aside: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """JupyterLab on a folder of notebooks, with its own configuration in another folder; its address."""
    [port] = free_ports(1)
    own = {f"JUPYTER_{name}_DIR": str(aside / name) for name in ("CONFIG", "DATA", "RUNTIME")} | {"IPYTHONDIR": str(aside / "ipython")}
    own["JUPYTERLAB_SETTINGS_DIR"] = str(aside / "settings")
    # A toast that asks about news stands in front of what is looked at.
    asks = aside / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    asks.parent.mkdir(parents=True, exist_ok=True)
    asks.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    words = [sys.executable, "-m", "jupyterlab", *SERVER.split(), f"--port={port}", f"--ServerApp.root_dir={work}"]
    with (aside / "lab.log").open("w") as log:
        server = subprocess.Popen(words, cwd=work, env={**os.environ, **own, **settings}, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/api", server, aside / "lab.log")
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


@contextmanager
def opened(address: str, name: str, *, theme: str = "JupyterLab Light", screen: Mapping[str, int] = SCREEN) -> Iterator["Page"]:
    """A notebook of the served folder, open in the browser with its kernel idle. Fails if the page asked anything of another machine."""
    from playwright.sync_api import sync_playwright

    elsewhere: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=BROWSER.split())
        page = browser.new_page(viewport=screen)  # type: ignore[arg-type]
        page.on("request", lambda request: elsewhere.append(request.url) if not local(request.url) else None)
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=IDLE_MS)
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        # The file browser takes a quarter of the screen.
        page.evaluate("window.jupyterapp.shell.collapseLeft()")
        idle(page)
        yield page
        browser.close()
    assert not elsewhere, f"the notebook must work offline, and asked {elsewhere}"


RUN_ALL = """async () => {
    const widget = window.jupyterapp.shell.currentWidget;
    await widget.context.ready;
    await widget.sessionContext.ready;
    await widget.sessionContext.session.kernel.info;
    await window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""


def run_all_cells(page: "Page") -> None:
    """Run the notebook as its menu does, once the kernel answers: what a busy machine's kernel is sent before, it drops."""
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel", timeout=IDLE_MS)
    page.evaluate(RUN_ALL)


def idle(page: "Page") -> None:
    """Wait until the kernel has nothing to do."""
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=IDLE_MS)


def picture(page: "Page", name: str) -> Path:
    """Keep what the screen shows, for people to look at: in build/pictures, or where WORKBENCH_SCREENSHOTS says."""
    folder = Path(os.environ.get("WORKBENCH_SCREENSHOTS", Path(__file__).parent.parent / "build" / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
    return folder / f"{name}.png"


def local(address: str) -> bool:
    """Whether an address is on this machine, or within the page."""
    return address.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


def restart_kernel(page: "Page") -> None:
    """Restart the notebook's kernel without asking, and wait until it is idle again; cells keep their outputs."""
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }")
    idle(page)


def dressed(page: "Page", theme: str) -> None:
    """Change the theme of an open page, and wait until it is on."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    light = str("Light" in theme).lower()
    page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached", timeout=IDLE_MS)


def pictures(page: "Page", name: str) -> None:
    """Keep what the screen shows in light and in dark, and leave it light."""
    for theme in ("Dark", "Light"):
        dressed(page, f"JupyterLab {theme}")
        # Fonts, plots and tables follow the theme a moment later.
        page.wait_for_timeout(400)
        picture(page, f"{name}_{theme.lower()}")
