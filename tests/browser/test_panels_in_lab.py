"""Every panel in JupyterLab, in a real browser, over a lake that is filled from a real S3 server: clicked, and pictured in light and dark."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from labserver import idle, marks, notebook, opened, picture, pictures, restart_kernel, run_all_cells, served
from s3server import S3

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.runs import Runs
from workbench.sources import sample
from workbench.tables import find, locate

pytestmark = marks
FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
SHOWN_MS = 60_000
# The newest sessions of day bars are left for the panel to land.
LEFT = 22
OPEN = "import workbench\nfrom workbench.panels import *\nbench = workbench.open()\n"


@dataclass
class Bucket:
    """Flat files in a bucket of the S3 server, the settings that find them, and a lake of all but the newest sessions."""

    settings: dict[str, str]
    days: list[date]
    ticker: str

    @property
    def bench(self) -> Workbench:
        return Workbench(Settings.load(env=self.settings))


def made_up(folder: Path) -> Path:
    """Flat files of an imagined market, where the real ones are not beside the project."""
    days = Workbench(Settings.load(env={}, data=str(folder / "none"))).sql(
        "SELECT date FROM market_sessions WHERE calendar = 'XNYS' AND date BETWEEN '2014-06-02' AND '2014-12-31' ORDER BY date"
    )
    found = [day for (day,) in days.fetchall()]
    for day in found:
        sample.write(folder, find("stock_day"), day)
    for name in ("stock_minute", "stock_trades", "stock_quotes"):
        sample.write(folder, find(name), found[30], tickers=["AAPL"], rows=4_000 if name != "stock_minute" else None)
    return folder


@pytest.fixture(scope="module")
def bucket(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """The bucket, and a lake of all that is in it but the newest day bars."""
    root = tmp_path_factory.mktemp("panels")
    folder = FLATFILES if FLATFILES.is_dir() else made_up(root / "files")
    s3.clear()
    days = []
    for path in folder.rglob("*.csv.gz"):
        key = str(path.relative_to(folder))
        s3.put(key, path.read_bytes())
        if (found := locate(key)) and found[0].name == "stock_day":
            days.append(found[2])
    days.sort()
    settings = {
        "WORKBENCH_DATA": str(root / "lake"),
        "WORKBENCH_SOURCE": "polygon_s3",
        "POLYGON_S3_ENDPOINT": s3.endpoint,
        "POLYGON_S3_BUCKET": s3.bucket,
        "POLYGON_S3_ACCESS_KEY": s3.reader.access,
        "POLYGON_S3_SECRET_KEY": s3.reader.secret,
        "POLYGON_S3_FALLBACK": "false",
    }
    with (made := Bucket(settings, days, "AAPL")).bench as bench:
        bench.refresh(datasets=["stock_day"], start=days[0], end=days[-LEFT - 1]).run()
        bench.refresh(datasets=["stock_minute", "stock_trades", "stock_quotes"], start=days[0], end=days[-1]).run()
        if folder == FLATFILES:
            bench.refresh(source=f"folder:{folder}", datasets=["splits", "dividends", "ticker_changes"]).run()
    yield made
    s3.clear()


@pytest.fixture(scope="module")
def work(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab: its address, and the folder of its notebooks."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "work").mkdir()
    with served(folder / "work", folder, bucket.settings) as address:
        yield address, folder / "work"


def test_refresh_shows_its_plan_and_lands_what_is_left(work: tuple[str, Path], bucket: Bucket) -> None:
    address, folder = work
    notebook(folder / "refresh.ipynb", OPEN + "RefreshPanel(bench)")

    with opened(address, "refresh.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        plan = cells.locator("button", has_text=re.compile("Plan$"))
        plan.wait_for(timeout=SHOWN_MS)
        idle(page)
        cells.locator("select").select_option(["stock_day"])
        for label, day in (("start", bucket.days[-LEFT]), ("end", bucket.days[-1])):
            # A field tells its kernel when it is left.
            entry = cells.get_by_placeholder("2026-01-31").nth(("start", "end").index(label))
            entry.fill(str(day))
            entry.press("Tab")
        plan.click()
        cells.get_by_text(f"plan from polygon_s3: {LEFT} files to land").wait_for(timeout=SHOWN_MS)
        pictures(page, "refresh_plan")

        cells.locator("button", has_text=re.compile("Refresh$")).click()
        cells.get_by_text(f"{LEFT} files landed").first.wait_for(timeout=SHOWN_MS)
        pictures(page, "refresh_done")

    with bucket.bench as bench:
        assert bench.sql("SELECT count(DISTINCT date) FROM stock_day").fetchall() == [(len(bucket.days),)]


def test_a_refresh_that_the_kernel_did_not_live_to_see_is_found_again(work: tuple[str, Path], bucket: Bucket, tmp_path: Path) -> None:
    address, folder = work
    root = tmp_path / "lake"
    tables = ["stock_day", "stock_minute", "stock_trades", "stock_quotes"]
    cell = f"""
from workbench import Workbench
from workbench.config import Settings
from workbench.panels import RefreshPanel

panel = RefreshPanel(Workbench(Settings.load(data={str(root)!r})))
if not list(panel.runs):
    panel.fill({tables}, start={str(bucket.days[0])!r}, end={str(bucket.days[-1])!r})
panel
"""
    notebook(folder / "restart.ipynb", cell.strip())

    with opened(address, "restart.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        refresh = cells.locator("button", has_text=re.compile("Refresh$"))
        refresh.wait_for(timeout=SHOWN_MS)
        idle(page)
        refresh.click()
        files = cells.get_by_text(re.compile(r"\d+ of \d+ files"))
        files.wait_for(timeout=SHOWN_MS)
        run = Runs(root).going_on("refresh")
        assert run, "the run was over before the kernel was restarted"

        restart_kernel(page)
        run_all_cells(page)
        idle(page)
        files.or_(cells.get_by_text("last refresh")).first.wait_for(timeout=SHOWN_MS)
        picture(page, "refresh_followed_after_restart")
        assert Runs(root).get(run.id).state in ("running", "done", "findings")
        cells.get_by_text(re.compile(r"\d+ files landed")).first.wait_for(timeout=2 * SHOWN_MS)
        pictures(page, "refresh_found_again")

    [ended] = Runs(root)
    assert (ended.id, ended.reason) == (run.id, "")
    with Workbench(Settings.load(env=bucket.settings, data=str(root))) as bench, bucket.bench as other:
        held = {row["table"]: row["rows"] for row in bench.status() if row["table"] in tables}
        assert held == {row["table"]: row["rows"] for row in other.status() if row["table"] in tables}


def test_status_says_by_which_sql_a_number_came(work: tuple[str, Path], bucket: Bucket) -> None:
    address, folder = work
    notebook(folder / "status.ipynb", OPEN + "StatusPanel(bench)")

    with opened(address, "status.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        cells.get_by_role("cell", name="stock_quotes").first.wait_for(timeout=SHOWN_MS)
        idle(page)
        pictures(page, "status")
        with bucket.bench as bench:
            [rows] = [row["rows"] for row in bench.status() if row["table"] == "stock_minute"]
        cells.get_by_text(f"{rows:,}", exact=True).first.click()
        cells.locator("textarea").first.wait_for(timeout=SHOWN_MS)
        cells.locator("button", has_text=re.compile("Run$")).click()
        cells.get_by_text(re.compile(rf"^{rows:,} +\(")).wait_for(timeout=SHOWN_MS)
        pictures(page, "status_sql")


def test_a_chart_is_drawn_and_follows_its_buttons(work: tuple[str, Path], bucket: Bucket) -> None:
    address, folder = work
    notebook(folder / "chart.ipynb", OPEN + f"ChartPanel(bench, {bucket.ticker!r}, adjusted='splits')")

    with opened(address, "chart.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        cells.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=SHOWN_MS)
        idle(page)
        page.wait_for_timeout(1_000)
        pictures(page, "chart")
        cells.get_by_text(re.compile(rf"^{bucket.ticker}, \d+\w+ · \d+ candles of stock_day")).wait_for(timeout=SHOWN_MS)
        cells.locator("button", has_text=re.compile("^all$")).click()
        cells.get_by_text(str(bucket.days[0])).first.wait_for(timeout=SHOWN_MS)
        page.wait_for_timeout(1_000)
        pictures(page, "chart_all")


def test_a_gap_in_the_calendar_says_why_and_fills_the_refresh(work: tuple[str, Path], bucket: Bucket) -> None:
    address, folder = work
    [(traded,)] = bucket.bench.sql("SELECT max(date) FROM stock_trades").fetchall()
    first, last = traded.replace(day=1), traded.replace(day=28)
    notebook(folder / "coverage.ipynb", OPEN + f"CoveragePanel(bench, start={str(first)!r}, end={str(last)!r})")

    with opened(address, "coverage.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        plot = cells.locator(".js-plotly-plot .nsewdrag").first
        plot.wait_for(timeout=SHOWN_MS)
        cells.locator(".heatmaplayer image").first.wait_for(timeout=SHOWN_MS)
        idle(page)
        page.wait_for_timeout(1_000)
        pictures(page, "coverage")
        name, within = cells.locator(".ytick text", has_text="stock_trades").bounding_box(), plot.bounding_box()
        assert name
        assert within
        # The last day but a few, of which no trades were landed.
        page.mouse.click(within["x"] + within["width"] * (1 - 4.5 / (last - first).days), name["y"] + name["height"] / 2)
        cells.get_by_text("missing").last.wait_for(timeout=SHOWN_MS)
        repair = cells.locator("button", has_text=re.compile("Repair$"))
        repair.wait_for(timeout=SHOWN_MS)
        pictures(page, "coverage_reason")
        repair.click()
        start = cells.get_by_placeholder("2026-01-31").first
        start.wait_for(timeout=SHOWN_MS)
        assert first <= date.fromisoformat(start.input_value()) <= last
        start.scroll_into_view_if_needed()
        pictures(page, "coverage_repair")


def test_a_table_is_paged_sorted_and_profiled(work: tuple[str, Path], bucket: Bucket) -> None:
    address, folder = work
    notebook(folder / "table.ipynb", OPEN + "TablePanel(bench, 'stock_minute', profiles=True)")

    with opened(address, "table.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        cells.locator("button", has_text="ticker").first.wait_for(timeout=SHOWN_MS)
        idle(page)
        page.wait_for_timeout(1_000)
        pictures(page, "table")
        with bucket.bench as bench:
            [(rows,)] = bench.sql("SELECT count(*) FROM stock_minute").fetchall()
        cells.get_by_text(f"of {rows:,}").first.wait_for(timeout=SHOWN_MS)
        cells.get_by_title("last page").click()
        cells.get_by_text(re.compile(rf"rows [\d,]+–{rows:,} of {rows:,}")).wait_for(timeout=SHOWN_MS)


def test_sql_in_a_cell_is_shown_as_a_table(work: tuple[str, Path], bucket: Bucket) -> None:
    address, folder = work
    asked = "%%sql\nSELECT ticker, date, close, volume, is_test FROM stock_day WHERE ticker = $ticker ORDER BY date LIMIT 5"
    wrong = "%%sql\nSELECT clos FROM stock_day"
    # Cells after one that fails are not run.
    notebook(folder / "magic.ipynb", OPEN + f"ticker = {bucket.ticker!r}\n%load_ext workbench", asked, "bench.sql('FROM stock_day')", wrong)

    with opened(address, "magic.ipynb") as page:
        run_all_cells(page)
        cells = page.locator(".jp-Notebook")
        cells.get_by_text("clos", exact=False).last.wait_for(timeout=SHOWN_MS)
        cells.get_by_text("and more").first.wait_for(timeout=SHOWN_MS)
        idle(page)
        assert cells.get_by_role("cell", name=str(bucket.days[0])).count() >= 1
        pictures(page, "sql")
