"""The panels, by their buttons and without a browser."""

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.panels import RefreshPanel, StatusPanel

DONE_SECONDS = 60


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of three sessions."""
    for day in (THU, FRI, MON):
        put(tmp_path / "files", STOCK_DAY, day, text([bar("ACME", day), bar("BETA", day)]))
    return tmp_path / "files"


@pytest.fixture
def bench(files: Path, tmp_path: Path) -> Workbench:
    """A workbench on a root where nothing is yet, with a secret among its settings."""
    return Workbench(Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"), source=f"folder:{files}", fred_api_key="swordfish"))


def pressed(panel: RefreshPanel, button: Any) -> RefreshPanel:
    """Press a button, and wait for what it starts."""
    button.click()
    assert panel.wait(DONE_SECONDS), "the run did not end"
    return panel


def test_the_plan_is_shown_and_nothing_is_touched(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    pressed(panel, panel.plan_button)

    assert "3 files to land" in panel.result.value
    assert "2024-03-08" in panel.result.value
    assert not bench.lake.exists


def test_a_refresh_lands_and_shows_progress_log_and_summary(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    pressed(panel, panel.refresh_button)

    assert "3 files landed, 6 rows" in panel.result.value
    assert "stock_day 2024-03-11 landed: 2 rows" in panel.log.value
    assert "3 of 3 files · 6 rows" in panel.progress.value
    assert (panel.bar.value, panel.bar.bar_style) == (panel.bar.max, "success")
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]


def test_the_fields_become_the_command_that_is_shown(bench: Workbench, files: Path) -> None:
    panel = RefreshPanel(bench)
    panel.datasets.value = ("stock_day",)
    panel.symbols.value, panel.start.value, panel.end.value = "ACME, BETA", THU, FRI
    pressed(panel, panel.refresh_button)

    fields = f"stock_day --source folder:{files} --symbols 'ACME, BETA' --start 2024-03-07 --end 2024-03-08"
    assert panel.command_line.value == f"<code>workbench refresh {fields} --data {bench.settings.root} --jsonl</code>".replace(
        "'", "&#x27;"
    )
    assert "2 files landed" in panel.result.value
    assert "Flat files land whole" in panel.message.value


def test_secrets_travel_in_the_environment_only(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    real = subprocess.Popen

    def watched(words: list[str], **options: Any) -> Any:
        started.append((words, options["env"]))
        return real(words, **options)

    monkeypatch.setattr("workbench.panels.refresh.subprocess.Popen", watched)
    panel = RefreshPanel(bench)
    pressed(panel, panel.plan_button)

    [(words, environment)] = started
    assert environment["FRED_API_KEY"] == "swordfish"
    assert "swordfish" not in " ".join(words)
    assert "swordfish" not in str(panel.view.get_state()) + panel.command_line.value


def test_problems_are_shown_each_in_a_sentence(bench: Workbench, files: Path) -> None:
    put(files, STOCK_DAY, FRI, b"not gzip", raw=True)
    panel = RefreshPanel(bench)
    pressed(panel, panel.refresh_button)

    assert "stock_day 2024-03-08 quarantined" in panel.message.value
    assert panel.bar.bar_style == "warning"


def test_what_the_command_line_refuses_is_shown_and_the_buttons_work_again(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    panel.start.value, panel.end.value = FRI, THU
    pressed(panel, panel.refresh_button)
    assert "Turn the two dates round" in panel.message.value
    assert (panel.refresh_button.disabled, panel.stop_button.disabled) == (False, True)

    panel.end.value = MON
    pressed(panel, panel.refresh_button)
    assert "2 files landed" in panel.result.value


def test_an_error_in_a_callback_is_seen(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("workbench.panels.refresh.subprocess.Popen", fail)
    panel = RefreshPanel(bench)
    panel.refresh_button.click()

    assert "no more processes" in panel.message.value
    assert "please report" in panel.message.value


def test_stop_keeps_what_is_landed_and_refresh_lands_the_rest(bench: Workbench, files: Path) -> None:
    days = sessions.between(STOCK_DAY, date(2022, 6, 1), date(2024, 3, 29))
    for day in days:
        put(files, STOCK_DAY, day, text([bar("ACME", day)]))
    panel = RefreshPanel(bench)
    panel.refresh_button.click()
    while not bench.lake["stock_day"].exists:
        assert not panel.wait(0.01)
    assert panel.refresh_button.disabled
    pressed(panel, panel.stop_button)

    kept = len(bench.lake["stock_day"].landings())
    assert f"stopped: {kept} of {len(days)} files are in the lake" in panel.message.value
    assert 0 < kept < len(days)
    pressed(panel, panel.refresh_button)
    assert f"{len(days) - kept} files landed" in panel.result.value


def test_a_run_that_dies_says_what_it_said(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = """import sys; print('{"event": "plan", "title": "t", "files": 2, "bytes": 9, "notes": []}')
print('{"event": "step", "table": "stock_day", "key": "k", "session": "2024-03-07", "outcome": "landed", "rows": 1, "size": 3, "seconds": 0.1, "reason": ""}')
sys.exit('workbench: the disk is full')"""
    real = subprocess.Popen
    monkeypatch.setattr(
        "workbench.panels.refresh.subprocess.Popen", lambda words, **options: real([sys.executable, "-c", dying], **options)
    )
    panel = RefreshPanel(bench)
    pressed(panel, panel.refresh_button)

    assert ">the disk is full<" in panel.message.value
    assert panel.bar.bar_style == "danger"


def test_a_second_run_waits_for_the_first(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    panel.refresh_button.click()
    panel.refresh()
    assert "stop it first" in panel.message.value
    assert panel.wait(DONE_SECONDS)


def test_status_is_shown_and_read_again(bench: Workbench, files: Path) -> None:
    bench.refresh().run()
    panel = StatusPanel(bench)
    assert '<td style="text-align:right">6</td>' in panel.table.value

    put(files, STOCK_DAY, date(2024, 3, 12), text([bar("ACME", date(2024, 3, 12))]))
    bench.refresh().run()
    panel.button.click()
    assert '<td style="text-align:right">7</td>' in panel.table.value


def test_a_status_that_cannot_be_read_is_told(bench: Workbench) -> None:
    bench.refresh().run()
    panel = StatusPanel(bench)
    log = bench.lake["stock_day"].folder / "_delta_log"
    (log / f"{len(list(log.glob('*.json'))):020}.json").write_text("{broken")
    panel.button.click()

    assert "stock_day" in panel.message.value


def test_a_notebook_shows_panels_as_widgets(bench: Workbench) -> None:
    for panel in (RefreshPanel(bench), StatusPanel(bench)):
        assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()


def test_without_ipywidgets_the_extra_is_named_and_the_rest_works() -> None:
    script = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "import workbench; workbench.panels\n"
        "try:\n from workbench.panels import StatusPanel\n"
        "except workbench.errors.WorkbenchError as fault: print(fault)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

    assert "pip install 'workbench[lab]'" in told.stdout
