"""The refresh panel, by its fields and buttons and without a browser."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from flatfiles import FRI, MON, STOCK_DAY, THU, bar, put, text
from s3server import Fault, StandIn

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.panels import RefreshPanel
from workbench.panels.refresh_run import Told, alike, clock, read, take
from workbench.runs import Runs
from workbench.runs.record import LOG

DONE_SECONDS = 120


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


@pytest.fixture
def many(files: Path) -> list[date]:
    """Two years of sessions in the folder: a refresh of them takes long enough to be stopped."""
    days = sessions.between(STOCK_DAY, date(2022, 6, 1), date(2024, 3, 29))
    for day in days:
        put(files, STOCK_DAY, day, text([bar("ACME", day)]))
    return days


def pressed(panel: RefreshPanel, button: Any) -> RefreshPanel:
    """Press a button, and wait for what it starts."""
    button.click()
    assert panel.wait(DONE_SECONDS), "the run did not end"
    return panel


def until(true: Callable[[], Any], what: str, seconds: float = DONE_SECONDS) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def landing(bench: Workbench) -> bool:
    """Whether a refresh has committed something, and so is in the middle of its work."""
    return (bench.lake["stock_day"].folder / "_delta_log" / f"{1:020}.json").exists()


# ---------------------------------------------------------------------- plan, refresh, watch


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
    assert (panel.bar.value, panel.bar.bar_style) == (1, "success")
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]
    [run] = Runs(bench.settings.root)
    assert (run.kind, run.by, run.state, run.facts["title"][:12]) == ("refresh", "panel", "done", "refresh from")
    assert "3 files landed" in panel.static()
    log = panel.runs.place(run.id) / LOG
    assert b'"moves"' not in log.read_bytes(), "what was in flight is of no use afterwards"
    assert read(log.parent).last["event"] == "summary"

    # One that is opened later tells of it in a line, and shows it whole on demand.
    later = RefreshPanel(bench)
    assert "done: refresh from folder: 3 files landed" in later.last_run.value
    assert later.result.value == ""
    later.show_button.click()
    assert "3 files landed, 6 rows" in later.result.value
    assert "stock_day 2024-03-11 landed: 2 rows" in later.log.value
    later.status_button.click()
    assert "6 rows in 1 tables" in later.result.value


def test_the_fields_become_the_command_that_is_shown(bench: Workbench, files: Path) -> None:
    panel, fields = (made := RefreshPanel(bench)), made.fields
    fields.datasets.value = ("stock_day",)
    fields.symbols.value, fields.start.value, fields.end.value = "ACME, ACNE", str(THU), str(FRI)
    fields.universe.value, fields.last.value, fields.again.value = "ACME", "2", True
    root = bench.settings.root
    assert fields.command("plan") == [
        *("plan", "stock_day", "--source", f"folder:{files}", "--symbols", "ACME,ACNE", "--universe", "ACME"),
        *("--start", "2024-03-07", "--end", "2024-03-08", "--last", "2", "--again", "--data", str(root)),
    ]
    fields.universe.value, fields.last.value, fields.again.value = "", "", False
    pressed(panel, panel.refresh_button)

    told = f"stock_day --source folder:{files} --symbols ACME,ACNE --start 2024-03-07 --end 2024-03-08"
    assert f"workbench refresh {told} --data {root} --jsonl<" in panel.command_line.value
    assert "2 files landed" in panel.result.value
    assert "Flat files land whole" in panel.message.value
    assert "ACNE" in fields.told("symbols"), "a symbol without rows is named beside its field"


def test_secrets_travel_in_the_environment_only(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    real = subprocess.Popen

    def watched(words: list[str], **options: Any) -> Any:
        started.append((words, options["env"]))
        return real(words, **options)

    monkeypatch.setattr("workbench.panels.refresh.subprocess.Popen", watched)
    panel = RefreshPanel(bench)
    panel.fields.days.value = "1"
    panel.refresh_button.click()
    assert panel.wait(DONE_SECONDS)

    [(words, environment)] = started
    assert environment["FRED_API_KEY"] == "swordfish"
    assert "swordfish" not in " ".join(words)
    assert "swordfish" not in str(panel.view.get_state()) + panel.static()
    assert not [path for path in bench.settings.root.rglob("*") if path.is_file() and b"swordfish" in path.read_bytes()]


def test_problems_are_shown_each_in_a_sentence(bench: Workbench, files: Path) -> None:
    put(files, STOCK_DAY, FRI, b"not gzip", raw=True)
    panel = RefreshPanel(bench)
    pressed(panel, panel.refresh_button)

    assert "stock_day 2024-03-08 quarantined" in panel.message.value
    assert "1 failed, refused or from a fallback" in panel.failures.value
    assert "stock_day 2024-03-08 quarantined" in panel.failures.value
    assert panel.bar.bar_style == "warning"


# ---------------------------------------------------------------------- what the log tells


def events(*some: dict[str, Any]) -> Told:
    """A log that has told some events."""
    told = Told()
    for at, event in enumerate(some):
        told.take(event, float(at))
    return told


PLAN = {"event": "plan", "title": "plan", "files": 2, "bytes": 1000, "notes": []}
STEP = {"event": "step", "action": "land", "table": "stock_day", "session": "2024-03-07", "outcome": "landed", "rows": 5, "size": 500}
STEP |= {"seconds": 1.0, "reason": "", "key": "a"}


def flight(key: str, fetched: int, doing: str = "fetching") -> dict[str, Any]:
    return {"table": "stock_day", "session": "2024-03-08", "key": key, "size": 500, "fetched": fetched, "doing": doing}


def test_bytes_in_flight_count_and_each_file_has_its_rate_and_time_left() -> None:
    told = events(PLAN, STEP, {"event": "moves", "files": [flight("b", 0)]}, {"event": "moves", "files": [flight("b", 100)]})

    assert (told.came, told.share) == (600, 0.6)
    assert "100 B of 500 B · 50 B/s · 8 s left" in told.in_flight(4.0)
    assert "width:20%" in told.in_flight(4.0)
    # 0.6 of the work in 6 seconds leaves 4 of them.
    assert "1 of 2 files · 5 rows · 600 B of 1.0 kB · 100 B/s · 6.0 s · about 4 s left" in told.progress(6.0, 10.0)
    told.take({"event": "waits", "key": "b", "size": 500, "table": "stock_day", "session": "2024-03-08"}, 5.0)
    told.take(STEP | {"key": "b", "session": "2024-03-08"}, 6.0)
    assert (told.came, told.share, told.flights) == (1000, 1.0, [])
    assert "all files are here" in told.progress(7.0, 11.0)


def test_the_time_moves_where_nothing_else_does() -> None:
    told = events(PLAN)

    assert told.progress(1.0, 1.0) != told.progress(1.3, 1.3)
    assert events().progress(1.0, 1.0) != events().progress(1.3, 1.3)
    assert [clock(59.97), clock(61.5), clock(61.5, whole=True), clock(7260)] == ["60.0 s", "1:01.5 min", "1:02 min", "2:01 h"]


def test_what_came_from_a_fallback_says_instead_of_whom() -> None:
    told = events(PLAN, STEP | {"action": "ask", "source": "yahoo", "instead_of": "polygon_s3", "fell_back": True})

    assert [*told.failures] == ["stock_day 2024-03-07 landed from yahoo, in the place of polygon_s3: 5 rows, 1.00 s"]
    assert (told.failed, told.seen) == (1, set())


def test_lines_that_are_torn_or_strange_are_passed_over() -> None:
    told = Told()
    take(told, [b"", b"{torn", b"[1]", b'{"event": "surprise"}', json.dumps(PLAN).encode()])

    assert told.files == 2


# ---------------------------------------------------------------------- bad input


def said(panel: RefreshPanel, field: str, button: str = "refresh_button") -> str:
    """What stands under a field when a button was pressed, which must start nothing."""
    getattr(panel, button).click()
    assert panel.wait(0)
    assert "see what is said under the fields" in panel.message.value
    assert not panel.bench.settings.root.exists()
    return panel.fields.told(field)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("start", "2024-02-31", "&#x27;2024-02-31&#x27; is not a date"),
        ("start", "yesterday", "is not a date"),
        ("start", str(date.today() + timedelta(days=400)), "starts in the future"),
        ("days", "0", "at least one is needed"),
        ("days", "five", "&#x27;five&#x27; is not a count of sessions"),
        ("days", "--5", "is not a count of sessions"),
        ("days", "-3", "at least one is needed"),
        ("last", "x", "is not a count of sessions"),
        ("last", "0", "at least one is needed"),
        ("symbols", "AC?ME", "is not a symbol"),
        ("universe", "nowhere/list.txt", "is not a file that is there"),
        ("universe", "top:many", "has no count"),
        ("source", "polygon_s4", "did you mean polygon_s3"),
        ("source", "folder:", "lacks its path"),
        ("source", "folder:/nowhere", "/nowhere does not exist"),
        ("source", "polygon_s3", "POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY"),
        ("source", "polygon_api", "POLYGON_API_KEY"),
    ],
)
def test_what_a_field_cannot_mean_is_said_under_it_before_anything_starts(bench: Workbench, field: str, value: str, words: str) -> None:
    panel = RefreshPanel(bench)
    getattr(panel.fields, field).value = value
    assert words in panel.fields.told(field), "said as soon as the field is left"
    assert words in said(panel, field)
    assert words in said(panel, field, "plan_button")


def test_dates_that_make_no_range_are_said_under_the_end(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    panel.fields.start.value, panel.fields.end.value = str(FRI), str(THU)
    assert "Turn the two dates round" in said(panel, "end")
    panel.fields.days.value = "3"
    assert "both given" in said(panel, "days")

    panel.fields.days.value, panel.fields.end.value = "", str(MON)
    pressed(panel, panel.refresh_button)
    assert "2 files landed" in panel.result.value
    assert panel.fields.told("end") == panel.fields.told("days") == ""


def test_an_end_in_the_future_is_a_warning_only(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    panel.fields.start.value, panel.fields.end.value = str(THU), str(date.today() + timedelta(days=40))

    assert "has not come yet" in panel.fields.told("end")
    assert panel.fields.check()


def test_without_any_source_the_ways_to_have_one_are_named(tmp_path: Path) -> None:
    panel = RefreshPanel(Workbench(Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"))))

    assert "POLYGON_S3_ACCESS_KEY" in said(panel, "source")


@pytest.mark.slow
def test_a_source_that_is_down_is_said_under_its_field(tmp_path: Path) -> None:
    keys = {"polygon_s3_access_key": "a", "polygon_s3_secret_key": "s", "polygon_s3_endpoint": "http://127.0.0.1:9"}
    panel = RefreshPanel(Workbench(Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"), source="polygon_s3", **keys)))
    panel.fields.datasets.value = ("stock_day",)
    panel.fields.days.value = "1"
    panel.refresh_button.click()
    panel.fields.quiet()
    assert panel.wait(DONE_SECONDS)

    assert "http://127.0.0.1:9" in panel.fields.told("source")
    assert "see what is said under the source" in panel.message.value
    assert panel.bar.bar_style == "danger"
    assert not panel.refresh_button.disabled


def test_keys_that_the_source_does_not_know_are_said_under_its_field(tmp_path: Path, stand_in: StandIn) -> None:
    stand_in.forever.append(Fault("list", status=403, code="InvalidAccessKeyId"))
    keys = {"polygon_s3_access_key": "a", "polygon_s3_secret_key": "s", "polygon_s3_endpoint": stand_in.endpoint}
    panel = RefreshPanel(Workbench(Settings.load(env={}, start=tmp_path, data=str(tmp_path / "lake"), source="polygon_s3", **keys)))
    panel.fields.datasets.value = ("stock_day",)
    for button in (panel.plan_button, panel.refresh_button):
        pressed(panel, button)
        assert "InvalidAccessKeyId" in panel.fields.told("source")
        assert "see what is said under the source" in panel.message.value


def test_symbols_that_the_lake_has_not_heard_of_are_a_warning(bench: Workbench) -> None:
    bench.refresh(source="sample", datasets=["tickers"]).run()
    panel = RefreshPanel(bench)
    panel.fields.symbols.value = "AAPLE"

    assert "know no AAPLE" in panel.fields.told("symbols")
    assert "AAPL" in panel.fields.told("symbols").split("Did you mean")[1]
    assert panel.fields.check(resetting=False)


def test_a_root_that_nobody_can_write_is_said_and_nothing_is_started(bench: Workbench) -> None:
    bench.settings.root.mkdir(parents=True)
    (bench.settings.root / "runs").write_text("in the way")
    panel = RefreshPanel(bench)
    pressed(panel, panel.refresh_button)

    assert "is in the way of the records of runs" in panel.message.value
    assert (panel.refresh_button.disabled, panel.stop_button.disabled) == (False, True)


def test_a_read_only_root_is_said_in_words(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system", str(path))

    panel = RefreshPanel(bench)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    panel.refresh_button.click()

    assert "cannot be written (Read-only file system)" in panel.message.value
    assert "WORKBENCH_DATA" in panel.message.value


def test_an_error_that_nobody_expected_is_seen(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    panel = RefreshPanel(bench)
    monkeypatch.setattr("workbench.runs.minding.subprocess.Popen", fail)
    panel.refresh_button.click()
    assert "no process could be started (no more processes)" in panel.message.value
    panel.plan_button.click()
    assert "nothing was planned" in panel.message.value
    monkeypatch.setattr("workbench.panels.refresh.start_or_follow", lambda *_, **__: 1 / 0)
    panel.refresh_button.click()
    assert "ZeroDivisionError" in panel.message.value
    assert "please report" in panel.message.value


# ---------------------------------------------------------------------- fill and reset


def test_other_panels_fill_the_fields(bench: Workbench) -> None:
    panel = RefreshPanel(bench)
    panel.fields.days.value = "3"
    panel.fill(datasets=["stock_day"], symbols=["ACME", "BETA"], start=THU, end=FRI, again=True)
    fields = panel.fields
    assert (fields.datasets.value, fields.symbols.value, fields.days.value) == (("stock_day",), "ACME, BETA", "")
    assert (fields.start.value, fields.end.value, fields.again.value) == ("2024-03-07", "2024-03-08", True)

    panel.fill(datasets=["stock_dya"])
    assert "&#x27;stock_dya&#x27;; nothing was done; did you mean stock_day" in fields.told("datasets")
    panel.fill(datasets=["reference_disagreements"])
    assert fields.told("datasets")
    panel.fill(datasets=["stock_day"], source="folder:/nowhere")
    assert "/nowhere" in fields.told("source")


@pytest.mark.slow
def test_a_reset_shows_what_goes_and_is_typed_to_be_done(bench: Workbench, files: Path) -> None:
    bench.refresh().run()
    panel, fields = (made := RefreshPanel(bench)), made.fields
    fields.datasets.value = ("stock_day",)
    fields.start.value = str(MON)
    fields.reset.value = True
    assert "6 rows of 1 table" in fields.going.value
    assert "Type stock_day, or lake, to confirm" in fields.going.value

    for typed in ("", "stock_minute", "yes"):
        fields.confirm.value = typed
        panel.refresh_button.click()
        assert "nothing was started. Type stock_day, or lake" in fields.told("confirm")
    assert panel.wait(0)
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]

    fields.confirm.value = "stock_day"
    pressed(panel, panel.refresh_button)
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(2,)]
    assert "workbench reset --undo" in panel.message.value
    assert (fields.reset.value, fields.confirm.value, fields.going.layout.display) == (False, "", "none")


def test_a_reset_without_datasets_names_those_that_the_source_fills(bench: Workbench) -> None:
    bench.refresh().run()
    fields = RefreshPanel(bench).fields
    fields.reset.value = True

    assert fields.check(resetting=False)
    assert not fields.check()
    fields.confirm.value = "lake"
    assert fields.check()
    assert "stock_day" in fields.command("refresh")
    assert fields.command("refresh")[-4:-2] == ["--reset", "--yes"]
    assert "--reset" not in fields.command("plan")


# ---------------------------------------------------------------------- stop, follow, find again


@pytest.mark.slow
def test_stop_keeps_what_is_landed_and_refresh_lands_the_rest(bench: Workbench, many: list[date]) -> None:
    panel = RefreshPanel(bench)
    panel.refresh_button.click()
    until(lambda: landing(bench), "nothing was landed")
    assert panel.refresh_button.disabled
    pressed(panel, panel.stop_button)

    kept = len(bench.lake["stock_day"].landings())
    assert f"stopped: {kept} of {len(many)} files are in the lake" in panel.message.value
    assert 0 < kept < len(many)
    assert panel.bar.bar_style == "warning"
    pressed(panel, panel.refresh_button)
    assert f"{len(many) - kept} files landed" in panel.result.value


@pytest.mark.slow
def test_stop_pressed_at_once_and_twice_leaves_at_once(bench: Workbench, many: list[date]) -> None:
    panel = RefreshPanel(bench)
    panel.refresh_button.click()
    panel.stop_button.click()
    assert "press Stop again" in panel.message.value
    panel.stop_button.click()
    assert panel.wait(DONE_SECONDS)

    [run] = panel.runs
    assert run.state == "stopped"
    assert "stopped" in panel.message.value


@pytest.mark.slow
def test_two_panels_pressing_refresh_share_one_run(bench: Workbench, many: list[date]) -> None:
    first, second = RefreshPanel(bench), RefreshPanel(bench)
    gate = threading.Barrier(2)

    def press(panel: RefreshPanel) -> None:
        gate.wait()
        panel.refresh()

    threads = [threading.Thread(target=press, args=(panel,)) for panel in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = first.message.value + second.message.value
    late = RefreshPanel(bench)
    assert told.count("nothing was started: a refresh goes on already, started by panel") == 1
    assert "this panel follows it" in late.message.value
    assert late.refresh_button.disabled
    first.refresh()
    assert "stop it first" in first.message.value

    for panel in (first, second, late):
        assert panel.wait(DONE_SECONDS)
        assert f"{len(many)} files landed" in panel.result.value
    assert len(list(first.runs)) == 1


STARTER = """
import sys, time
from pathlib import Path
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.panels import RefreshPanel
bench = Workbench(Settings.load(env={}, start=Path(sys.argv[1]), data=sys.argv[2], source=sys.argv[3]))
RefreshPanel(bench).refresh_button.click()
print("pressed", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_kernel_that_is_killed_leaves_its_refresh_and_a_new_panel_finds_it(bench: Workbench, many: list[date], tmp_path: Path) -> None:
    words = [sys.executable, "-c", STARTER, str(tmp_path), bench.settings.data, bench.settings.source]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as kernel:
        assert kernel.stdout and kernel.stdout.readline() == b"pressed\n"
        kernel.kill()
    panel = RefreshPanel(bench)
    [run] = panel.runs
    assert run.state == "running"
    assert "a refresh goes on, started by panel" in panel.message.value
    assert panel.wait(DONE_SECONDS)

    assert f"{len(many)} files landed" in panel.result.value
    assert len(bench.lake["stock_day"].landings()) == len(many)


@pytest.mark.slow
def test_closing_leaves_no_thread_or_process_but_the_run(bench: Workbench, many: list[date]) -> None:
    before, others = set(threading.enumerate()), {one.pid for one in psutil.Process().children(recursive=True)}
    panel = RefreshPanel(bench)
    panel.refresh_button.click()
    panel.close()
    [run] = panel.runs
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["run"], "but what counts the run out"
    assert run.state == "running"

    again = RefreshPanel(bench)
    assert again.wait(DONE_SECONDS)
    assert f"{len(many)} files landed" in again.result.value
    # Other tests' servers are none of ours.
    until(lambda: {one.pid for one in psutil.Process().children(recursive=True)} <= others, "a process is left", 20)
    planner = RefreshPanel(bench)
    planner.plan_button.click()
    planner.close()
    until(lambda: {one.pid for one in psutil.Process().children(recursive=True)} <= others, "a plan is left", 20)


@pytest.mark.slow
def test_a_run_that_dies_says_so(bench: Workbench, many: list[date]) -> None:
    panel = RefreshPanel(bench)
    panel.refresh_button.click()
    until(lambda: landing(bench), "nothing was landed")
    [run] = panel.runs
    os.kill(run.child, 9)
    assert panel.wait(DONE_SECONDS)

    assert "ended with status 137" in panel.message.value
    assert panel.bar.bar_style == "danger"


def test_a_run_whose_record_is_taken_away_is_told_and_the_buttons_work_again(bench: Workbench) -> None:
    run = Runs(bench.settings.root).begin("refresh", ("refresh",), "prompt")
    panel = RefreshPanel(bench)
    assert "a refresh goes on, started by prompt" in panel.message.value
    shutil.rmtree(panel.runs.place(run.id))
    assert panel.wait(DONE_SECONDS)

    assert "cannot be followed any more" in panel.message.value
    assert (panel.refresh_button.disabled, panel.stop_button.disabled) == (False, True)


# ---------------------------------------------------------------------- as all panels


def test_a_notebook_shows_the_panel_as_a_widget_and_as_html(bench: Workbench) -> None:
    shown = RefreshPanel(bench)._repr_mimebundle_()

    assert "application/vnd.jupyter.widget-view+json" in shown
    assert str(bench.settings.root) in shown["text/html"]


def test_without_ipywidgets_the_extra_is_named_and_the_rest_works() -> None:
    script = (
        "import sys; sys.modules['ipywidgets'] = None\n"
        "import workbench; workbench.panels\n"
        "try:\n from workbench.panels import RefreshPanel\n"
        "except workbench.errors.WorkbenchError as fault: print(fault)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

    assert "pip install 'workbench[lab]'" in told.stdout


def test_what_failed_alike_is_one_line() -> None:
    lines = deque(f"stock_minute 2024-01-{day:02} missing: not published" for day in range(2, 30))
    lines.append("stock_day 2024-01-05 quarantined: not gzip")

    assert alike(lines) == [
        "stock_day 2024-01-05 quarantined: not gzip",
        "stock_minute 2024-01-02 … 2024-01-29, 28 sessions missing: not published",
    ]
