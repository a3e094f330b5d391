"""The status panel, clicked without a browser: its numbers and the SQL behind each, the checks, and looking again by itself."""

import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from flatfiles import FRI, MON, STOCK_DAY, bar, put, text
from held import GOOD, lake

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.journal import Attempt, Journal
from workbench.panels import StatusPanel
from workbench.panels import status as module
from workbench.query.report import Report
from workbench.runs import Runs

# What moves between two looks: hours since the last refresh, and the disk's room.
MOVES = {"health.disk": 1e9, "health.last refresh": 0.1}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake that no test changes."""
    with lake(tmp_path_factory.mktemp("status")) as bench:
        yield bench


@pytest.fixture
def bench(made_once: Callable[[Callable[[Path], object], Path], None], tmp_path: Path) -> Iterator[Workbench]:
    """A lake of one's own."""
    made_once(lake, tmp_path / "own")
    with Workbench(made_settings(tmp_path / "own")) as bench:
        yield bench


def made_settings(folder: Path) -> Settings:
    return Settings.load(env={}, data=str(folder / "lake"), source=f"folder:{folder / 'files'}")


def tickers_of(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == name]


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)


def checks(report: Report) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in report}


# ---------------------------------------------------------------------- numbers


def test_each_number_is_what_its_sql_gives(made: Workbench) -> None:
    panel = StatusPanel(made)
    assert {"stock_day.rows", "stock_day.refused_rows", "stock_day.behind", "lake.bytes", "health.quarantine"} <= panel.numbers.keys()
    for name, number in panel.numbers.items():
        [(found,)] = made.sql(number.sql).fetchall()
        if name in MOVES:
            assert abs(found - number.value) < MOVES[name], name
        else:
            assert found == number.value, f"{name}: {number.sql}"


def test_numbers_are_those_of_the_lake(made: Workbench) -> None:
    numbers = {name: one.value for name, one in StatusPanel(made).numbers.items()}
    assert (numbers["stock_day.rows"], numbers["stock_day.sessions"], numbers["stock_day.first"], numbers["stock_day.last"]) == (
        6,
        4,
        GOOD,
        FRI,
    )
    assert (numbers["stock_day.refused_files"], numbers["stock_day.refused_rows"], numbers["stock_day.fallback_only"]) == (1, 1, 1)
    assert numbers["stock_minute.last"] == MON
    assert numbers["lake.rows"] == 14


def test_a_click_shows_the_sql_and_run_what_it_gives(made: Workbench) -> None:
    panel = StatusPanel(made)
    assert panel.origin.layout.display == "none"
    assert 'data-cell="stock_day.rows"' in panel.table.html

    panel.table.pick("stock_day.rows")
    assert panel.sql.value == "SELECT count(*) FROM stock_day"
    assert "rows: 6" in panel.about.value
    assert panel.origin.layout.display == ""
    panel.run_button.click()
    assert ">6 " in panel.result.value

    panel.health.pick("health.quarantine")
    panel.run_button.click()
    assert ">2 " in panel.result.value


def test_sql_can_be_changed_and_an_error_is_said_beside_it(made: Workbench) -> None:
    panel = StatusPanel(made)
    panel.table.pick("stock_day.rows")
    panel.sql.value = "SELECT ticker, count(*) FROM stock_day GROUP BY ticker"
    panel.run_button.click()
    assert "more than one row" in panel.result.value

    panel.sql.value = "SELECT count(*) FROM stock_dya"
    panel.run_button.click()
    assert "stock_dya" in panel.result.value
    assert "please report" not in panel.result.value


def test_a_cell_that_is_gone_is_said_to_be(made: Workbench) -> None:
    panel = StatusPanel(made)
    panel.table.pick("stock_quotes.rows")
    assert "no number that is shown now" in panel.message.value


# ---------------------------------------------------------------------- checks


def test_what_wants_a_look_comes_first_and_says_why(made: Workbench) -> None:
    health = made.health()
    assert [one["state"] for one in health][:2] == ["look", "look"]
    found = checks(health)
    assert "1 file and 1 row were refused, of stock_day" in str(found["quarantine"]["told"])
    assert "stock_day" in str(found["freshness"]["told"])
    assert health.facts["problems"] == 2
    assert health.title.startswith("2 of 15 checks want a look")
    assert found["tables"]["state"] == "good"


def test_a_disk_without_room_is_told(made: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((10**8, "bad"), (10**9, "look"), (10**11, "good")):
        monkeypatch.setattr("workbench.query.standing.shutil.disk_usage", lambda _, free=free: Usage(10**12, 0, free))
        assert checks(made.health())["disk"]["state"] == state, free


def test_a_lake_that_cannot_be_written_is_told(made: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.query.standing.os.access", lambda *_: False)
    assert "nothing lands" in str(checks(made.health())["writing"]["told"])


def test_refreshes_that_failed_or_were_killed_are_told(bench: Workbench) -> None:
    journal, now = Journal(bench.lake.root), (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    journal.record([Attempt("dead", "refresh", "stock_day", "folder", "started", started_at=now)])
    assert "stock_day has not come to its end" in str(checks(bench.health())["broken off"]["told"])

    journal.record(
        [Attempt("down", "refresh", "stock_day", "polygon_s3", "failed", reason="the bucket is down", started_at=now, finished_at=now)]
    )
    last = checks(bench.health())["last refresh"]
    assert last["state"] == "bad"
    assert "it failed: the bucket is down." in str(last["told"])


def test_the_last_run_on_record_is_told(bench: Workbench) -> None:
    runs = Runs(bench.lake.root)
    runs.end(runs.begin("refresh", ("refresh",), by="schedule:night"), 1, reason="no keys")
    last = checks(bench.health())["last run"]
    assert last["state"] == "bad"
    assert "refresh by schedule:night" in str(last["told"])
    assert str(last["told"]).endswith("failed: no keys")
    assert bench.sql("SELECT kind, state, reason FROM workbench.lake_runs").fetchall() == [("refresh", "failed", "no keys")]


def test_a_damaged_table_is_told_and_the_rest_still_is(bench: Workbench) -> None:
    panel = StatusPanel(bench)
    log = bench.lake["stock_day"].folder / "_delta_log"
    (log / f"{len(list(log.glob('*.json'))):020}.json").write_text("{broken")
    panel.button.click()

    assert "stock_day" in panel.message.value
    assert "as they were before" in panel.message.value
    assert "stock_minute" in panel.health.html
    found = checks(bench.health())
    assert (found["tables"]["state"], found["tables"]["value"]) == ("bad", 1)


def test_a_file_that_is_gone_from_the_disk_is_told(bench: Workbench) -> None:
    gone = [path for path in bench.lake["stock_day"].folder.rglob("*.parquet") if "_delta_log" not in path.parts]
    for path in gone:
        path.unlink()

    found = checks(bench.health())["tables"]
    assert found["state"] == "bad" and "stock_day" in str(found["told"]) and "gone from the disk" in str(found["told"])


def test_an_empty_lake_says_so(tmp_path: Path) -> None:
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    bench.lake.make()
    panel = StatusPanel(bench)
    assert "no rows yet" in panel.title.html
    assert panel.table.html == ""
    assert "Nothing was refreshed yet" in panel.health.html


# ---------------------------------------------------------------------- by itself


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
def test_it_looks_again_by_itself_until_it_is_told_not_to(bench: Workbench) -> None:
    day = date(2024, 3, 12)
    panel = StatusPanel(bench, every=0.02)
    try:
        put(Path(bench.settings.folder), STOCK_DAY, day, text([bar("ACME", day)]))
        bench.refresh(datasets=["stock_day"], start=day, end=day).run()
        until(lambda: panel.numbers["stock_day.rows"].value == 7)

        panel.auto.value = False
        until(lambda: not tickers_of("status panel"))
        panel.auto.value = True
        assert tickers_of("status panel")
    finally:
        panel.close()
    assert not tickers_of("status panel")


@pytest.mark.usefixtures("quick")
def test_a_panel_that_nobody_sees_any_more_looks_no_more(bench: Workbench) -> None:
    panel = StatusPanel(bench, every=0.02)
    try:
        panel.view._view_count = 2
        assert tickers_of("status panel")
        panel.view._view_count = 0
        until(lambda: not tickers_of("status panel"))
        panel.view._view_count = 1
        assert tickers_of("status panel")
    finally:
        panel.close()


# ---------------------------------------------------------------------- without a kernel


def test_without_a_kernel_the_table_is_seen(made: Workbench) -> None:
    shown = StatusPanel(made)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    html = shown["text/html"]
    assert '<td class="text">stock_day</td>' in html
    assert "<button" not in html
    assert "<script" not in html
    assert 'title="SELECT count(*) FROM stock_day"' in html
    assert "stock_day  6  4  2024-03-04  2024-03-08" in shown["text/plain"]


def test_what_is_shown_is_text_whatever_it_says(bench: Workbench) -> None:
    runs = Runs(bench.lake.root)
    runs.end(runs.begin("refresh", ("refresh",)), 1, reason="<script>alert(1)</script>")
    panel = StatusPanel(bench)
    assert "<script" not in panel.health.html
    assert "&lt;script" in panel.health.html
