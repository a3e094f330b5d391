"""Every panel over a lake in a bucket: what it shows is what it shows of the same lake on disk, and what it lands stands in the bucket."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.panels import ChartPanel, CoveragePanel, RefreshPanel, StatusPanel, TablePanel
from workbench.sources import sample
from workbench.tables import find

pytestmark = [pytest.mark.s3, pytest.mark.slow]

TICKERS = ["AAPL", "MSFT"]
DAYS = sessions.between(find("stock_day"), date(2026, 6, 1), date(2026, 6, 30))
DONE_SECONDS = 120
# What is of a moment or of a place, and not of the rows: times of day, hours, bytes of a disk, ids, and the widgets' own numbers.
MOMENTS = (
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00| UTC|Z)?",
    r"[\d.,]+ ?(hours?|minutes?|seconds?|s|ms|[kMGT]?B|bytes|days? ago)\b",
    r"[0-9a-f]{32}",
)

PANELS: dict[str, Callable[[Workbench], Any]] = {
    "coverage": lambda bench: CoveragePanel(bench, end=DAYS[-1]),
    "chart of days": lambda bench: ChartPanel(bench, "AAPL", freq="1d"),
    "chart of minutes": lambda bench: ChartPanel(bench, "AAPL", freq="5m"),
    "table": lambda bench: TablePanel(bench, "stock_minute", where="ticker = 'MSFT'", sort="-timestamp", profiles=True),
    "query": lambda bench: TablePanel(bench, "SELECT ticker, max(high) AS high FROM market_data.ohlcv GROUP BY ticker ORDER BY ticker"),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A month of day bars and the last sessions' minutes, of which one session is missing."""
    for name, days in (("stock_day", [*DAYS[:4], *DAYS[5:]]), ("stock_minute", DAYS[-3:])):
        for day in days:
            sample.write(tmp_path / "files", find(name), day, tickers=TICKERS)
    return tmp_path / "files"


@pytest.fixture
def both(far: Path, files: Path, tmp_path: Path) -> tuple[Workbench, Workbench]:
    """The same lake in a bucket and on disk."""
    assert far
    there = Workbench(Settings.load(source=f"folder:{files}"))
    here = Workbench(Settings.load(source=f"folder:{files}", data=str(tmp_path / "near")))
    for bench in (there, here):
        bench.refresh(start=DAYS[0], end=DAYS[-1], datasets=["stock_day", "stock_minute"]).run()
    return there, here


def settled(html: str) -> str:
    """What is shown, without what is of a moment."""
    for pattern in MOMENTS:
        html = re.sub(pattern, "…", html)
    return html


def test_what_a_panel_shows_of_a_bucket_is_what_it_shows_of_a_disk(both: tuple[Workbench, Workbench]) -> None:
    for name, make in PANELS.items():
        there, here = (make(bench) for bench in both)
        shown, expected = settled(there.static()), settled(here.static())
        assert len(expected) > 300, name
        assert shown == expected, name
        there.close()
        here.close()


def test_status_tells_of_the_bucket_and_its_tables(both: tuple[Workbench, Workbench]) -> None:
    there, here = (StatusPanel(bench) for bench in both)
    assert there.bench.lake.where.startswith("s3://")
    assert there.bench.lake.where in there.static()
    numbers = {
        name: one.value for name, one in here.numbers.items() if name.startswith("stock_") and "landed" not in name and "bytes" not in name
    }
    assert len(numbers) > 10
    assert {name: there.numbers[name].value for name in numbers} == numbers
    assert "answers within" in there.static()
    there.close()
    here.close()


def test_a_panel_lands_into_the_bucket(far: Path, files: Path) -> None:
    assert far
    bench = Workbench(Settings.load(source=f"folder:{files}"))
    panel = RefreshPanel(bench)
    panel.plan_button.click()
    assert panel.wait(DONE_SECONDS)
    assert "files to land" in panel.result.value
    assert not bench.lake.exists
    panel.refresh_button.click()
    assert panel.wait(DONE_SECONDS)
    assert f"{len(DAYS) + 2} files landed" in panel.result.value
    assert bench.sql("SELECT count(DISTINCT date) FROM stock_day").fetchall() == [(len(DAYS) - 1,)]
    panel.close()
