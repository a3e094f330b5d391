"""The command line: what it prints, where it prints it, and the status it ends with."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import click
import polars as pl
import psutil
import pytest
from click.testing import CliRunner, Result
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.policies import Maintain, Notify
from workbench.progress import conclude
from workbench.refresh.batch import Done
from workbench.refresh.plan import Plan, Step
from workbench.refresh.summary import Summary
from workbench.tables import LONE_DAYS, ROLLUPS

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the defaults, and a working directory that is nobody's project."""
    for declared in Settings.declared().values():
        for variable in declared.metadata["variables"]:
            monkeypatch.delenv(variable, raising=False)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "workbench.toml").touch()
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return files_of(tmp_path)


def files_of(home: Path) -> Path:
    """A folder of flat files: three sessions of day bars, one of minute bars."""
    folder = home / "files"
    for n, day in enumerate((THU, FRI, MON)):
        put(folder, STOCK_DAY, day, text([bar("ACME", day, close=10 + n / 2), bar("BETA", day)]))
    put(folder, STOCK_MINUTE, THU, text(minutes("ACME", THU, 3)))
    return folder


@pytest.fixture
def run() -> Run:
    """Run a command here, with standard output and standard error apart."""

    def invoke(*words: str | Path, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], input=stdin, prog_name="workbench")

    return invoke


@pytest.fixture
def landed(tmp_path: Path, made_once: Callable[..., None]) -> None:
    """A lake in `data` under the project, with those files."""
    made_once(landing, tmp_path)


def landing(home: Path) -> None:
    words = ["refresh", "--source", f"folder:{files_of(home)}", "--data", str(home / "project" / "data")]
    assert CliRunner().invoke(main, words).exit_code == 0


def command(*words: str | Path) -> Sequence[str]:
    return [sys.executable, "-m", "workbench", *map(str, words)]


def refused(result: Result, status: int, *told: str) -> None:
    """Nothing on standard output, one sentence on standard error, and the status."""
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr.startswith("workbench: ")
    assert "Traceback" not in result.stderr
    for words in told:
        assert words in result.stderr


# ---------------------------------------------------------------------- refresh and plan


def test_a_refresh_lands_and_says_what(run: Run, files: Path) -> None:
    result = run("refresh", "--source", f"folder:{files}")

    assert result.exit_code == 0
    assert "stock_day       2024-03-08 landed" in result.stdout
    assert "4 files landed, 9 rows" in result.stdout
    assert "nothing to do" in run("refresh", "--source", f"folder:{files}").stdout


def test_a_plan_touches_nothing(run: Run, files: Path, tmp_path: Path) -> None:
    result = run("plan", "stock_day", "--source", f"folder:{files}")

    assert result.exit_code == 0
    assert "3 files to land" in result.stdout
    assert not (tmp_path / "project" / "data").exists()


def test_json_stands_alone_on_standard_output(run: Run, files: Path) -> None:
    source = ("--source", f"folder:{files}")
    plan = json.loads(run("plan", *source, "--json").stdout)
    summary = json.loads(run("refresh", *source, "--json").stdout)
    held = {row["table"]: row["rows"] for row in json.loads(run("status", "--json").stdout)["rows"]}
    days = json.loads(run("coverage", "stock_day", "--json", "--start", "2024-03-07", "--end", "2024-03-12").stdout)["rows"]
    rows = {row["name"]: row["rows"] for row in json.loads(run("tables", "--json").stdout)["rows"]}

    assert (plan["files"], len(plan["rows"])) == (4, 4)
    assert (summary["source"], summary["problems"]) == ("folder", [])
    assert held == {"stock_day": 6, "stock_minute": 3, "lone_days": 1, "stock_sessions": 1}
    assert [(day["session"], day["state"]) for day in days][-2:] == [("2024-03-11", "landed"), ("2024-03-12", "missing")]
    assert (rows["stock_day"], rows["option_day"]) == (6, 0)


def test_json_stands_alone_in_a_process_too(files: Path) -> None:
    done = subprocess.run(command("refresh", "--source", f"folder:{files}", "--json"), capture_output=True, check=True)

    assert json.loads(done.stdout)["seconds"] > 0
    assert done.stderr == b""


def test_jsonl_tells_the_plan_each_step_and_the_summary(run: Run, files: Path) -> None:
    told = [json.loads(line) for line in run("refresh", "--source", f"folder:{files}", "--jsonl").stdout.splitlines()]
    # What is in flight is told where it takes long enough.
    events = [event for event in told if event["event"] != "moves"]

    assert [event["event"] for event in events] == ["plan", *["step"] * 4, "summary"]
    assert events[0]["files"] == 4
    assert {(event["table"], event["outcome"]) for event in events[1:-1]} == {("stock_day", "landed"), ("stock_minute", "landed")}
    assert events[-1]["exit_status"] == 0


def test_a_due_session_that_is_missing_makes_status_3(run: Run, files: Path) -> None:
    result = run("refresh", "stock_day", "--source", f"folder:{files}", "--start", "2024-03-07", "--end", "2024-03-12")

    assert result.exit_code == 3
    assert "stock_day 2024-03-12 missing: due, but the source does not list it" in result.stdout


def test_a_closed_day_is_no_problem(run: Run, files: Path) -> None:
    weekend = ("--start", "2024-03-09", "--end", "2024-03-10")

    assert run("refresh", "stock_day", "--source", f"folder:{files}", *weekend).exit_code == 0


def test_a_refused_file_is_named_with_its_reason_and_stays_refused(run: Run, files: Path) -> None:
    put(files, STOCK_DAY, FRI, b"not gzip", raw=True)
    first, second = (run("refresh", "stock_day", "--source", f"folder:{files}") for _ in range(2))

    assert (first.exit_code, second.exit_code) == (3, 3)
    assert "stock_day 2024-03-08 quarantined: " in first.stdout
    assert "in quarantine since" in second.stdout


def test_what_is_wrong_with_many_sessions_is_said_once(run: Run, files: Path) -> None:
    result = run("refresh", "stock_day", "--source", f"folder:{files}", "--start", "2024-03-07", "--end", "2024-05-31")

    told = result.stdout.split("refused rows")[1].splitlines()
    assert told[-1] == "stock_day 2024-03-12 … 2024-05-31, 57 sessions missing: due, but the source does not list it"
    assert sum(" missing: " in line for line in told) == 1


def test_gaps_show_a_run_of_alike_sessions_as_one_line(run: Run, files: Path) -> None:
    run("refresh", "stock_day", "--source", f"folder:{files}", "--start", "2024-03-07", "--end", "2024-03-11")

    shown = run("gaps", "stock_day", "--start", "2024-03-07", "--end", "2024-05-31")
    told = json.loads(run("gaps", "stock_day", "--start", "2024-03-07", "--end", "2024-05-31", "--json").stdout)

    assert shown.exit_code == 3
    [line] = shown.stdout.splitlines()[2:]
    assert line.startswith("2024-03-12  2024-05-31        57  not fetched")
    assert len(told["rows"]) == 57


def test_of_many_problems_the_first_are_shown_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [Step("stock_day", date(2024, 3, 1 + n), "land", "", "") for n in range(30)]
    summary = Summary(Plan(steps, "folder"), [Done(step, "failed", reason=f"fault {n}") for n, step in enumerate(steps)], 1.0)

    conclude(summary)

    told = capsys.readouterr().out.splitlines()
    assert sum(" failed: " in line for line in told) == 20
    assert told[-1] == "and 10 more: workbench coverage stock_day"


def test_a_list_of_symbols_that_is_not_there_is_no_symbol(run: Run, files: Path) -> None:
    result = run("refresh", "stock_day", "--source", f"folder:{files}", "--universe", "mine.txt")

    assert result.exit_code == 2
    assert "'mine.txt' is not a file that is there" in result.stderr


def test_a_future_end_is_clipped_and_said_so(run: Run, files: Path) -> None:
    result = run("plan", "stock_day", "--source", f"folder:{files}", "--start", str(sessions.today()), "--end", "2101-01-01")

    assert result.exit_code == 0
    assert f"ends in the future (2101-01-01); it was clipped to {sessions.today()}" in result.stdout


def test_flat_files_land_whole_whatever_the_symbols(run: Run, files: Path) -> None:
    result = run("refresh", "stock_day", "--source", f"folder:{files}", "--symbols", "ACME")

    assert "Flat files land whole" in result.stdout
    assert "6 rows" in result.stdout


def unsealed(days: list[date]) -> list[date]:
    """The sessions but for every tenth: no chunk is whole, none waits for all of its files."""
    return [day for n, day in enumerate(days) if n % 10 != 5]


@pytest.mark.parametrize("how", [(), ("--json",), ("--jsonl",)], ids=["plain", "json", "jsonl"])
def test_ctrl_c_keeps_what_is_committed_and_a_later_run_completes(tmp_path: Path, how: tuple[str, ...]) -> None:
    days = unsealed(sessions.between(STOCK_DAY, date(2023, 1, 3), date(2024, 3, 29)))
    for day in days:
        put(tmp_path / "files", STOCK_DAY, day, text([bar("ACME", day)]))
    words = ("refresh", "--source", f"folder:{tmp_path / 'files'}")
    lake = tmp_path / "project" / "data" / "lake" / "main" / "stock_day" / "_delta_log"

    with subprocess.Popen(command(*words, *how), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (lake / f"{1:020}.json").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    kept = len(list(lake.parent.glob("chunk=*/bucket=*/*.parquet")))
    rest = json.loads(subprocess.run(command(*words, "--json"), capture_output=True, check=True).stdout)

    assert process.returncode == 130
    assert f"stopped: {kept} of {len(days)} files are in the lake and stay there" in told
    assert "Traceback" not in told
    assert 0 < kept < len(days)
    assert rest["rows"][0]["landed"] == len(days) - kept
    if how == ("--jsonl",):
        assert json.loads(out.splitlines()[-1]) == {"event": "stopped", "kept": kept, "of": len(days), "exit_status": 130}
    if how == ("--json",):
        assert out == ""


@pytest.mark.parametrize("how", ["asked", "interrupted"])
def test_a_run_that_ends_early_has_committed_all_that_it_landed(files: Path, tmp_path: Path, how: str) -> None:
    days = unsealed(sessions.between(STOCK_DAY, date(2023, 1, 3), date(2024, 3, 29)))
    for day in days:
        put(files, STOCK_DAY, day, text([bar("ACME", day)]))
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source=f"folder:{files}"))
    refresh = bench.refresh(datasets=["stock_day"])

    def end(_: object) -> None:
        if how == "interrupted":
            raise KeyboardInterrupt
        refresh.stop()

    with pytest.raises(KeyboardInterrupt) if how == "interrupted" else nullcontext() as caught:
        refresh.run(end)
    landings = bench.lake["stock_day"].landings()
    files_written = list(bench.lake["stock_day"].folder.glob("chunk=*/bucket=*/*.parquet"))

    assert refresh.stopped == (how == "asked")
    assert bool(caught) == (how == "interrupted")
    assert 0 < len(landings) == len(files_written) < len(days)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("refresh")]


def test_ctrl_c_that_only_a_landing_thread_hears_stops_the_run_too(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lake.landing import land_or_refuse

    def heard(job: Any) -> Any:
        if job.file.place[2] == FRI:
            raise KeyboardInterrupt
        return land_or_refuse(job)

    monkeypatch.setattr("workbench.refresh.crews.land_or_refuse", heard)
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source=f"folder:{files}"))
    refresh = bench.refresh(datasets=["stock_day"])
    summary = refresh.run()

    assert refresh.stopped
    assert not summary.problems
    assert FRI not in {landing.session for landing in bench.lake["stock_day"].landings().values()}


def test_a_refresh_stops_on_sigint_even_where_its_parent_ignores_it(tmp_path: Path) -> None:
    days = unsealed(sessions.between(STOCK_DAY, date(2023, 1, 3), date(2024, 3, 29)))
    for day in days:
        put(tmp_path / "files", STOCK_DAY, day, text([bar("ACME", day)]))
    words = " ".join(command("refresh", "--jsonl", "--source", f"folder:{tmp_path / 'files'}"))

    with subprocess.Popen(["sh", "-c", f"trap '' INT; exec {words}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        for line in process.stdout:
            if b'"landed"' in line:
                process.send_signal(signal.SIGINT)
                break
        process.communicate(timeout=60)

    assert process.returncode == 130


# ---------------------------------------------------------------------- bad input


def test_an_unknown_dataset_names_the_nearest(run: Run, files: Path) -> None:
    refused(run("refresh", "stock_dya", "--source", f"folder:{files}"), 2, "'stock_dya'", "stock_day")


def test_reversed_dates_are_refused(run: Run, files: Path) -> None:
    dates = ("--start", "2024-03-08", "--end", "2024-03-07")

    for verb in ("refresh", "plan"):
        refused(run(verb, "stock_day", "--source", f"folder:{files}", *dates), 2, "2024-03-07", "Turn the two dates round")


def test_a_date_that_is_none_is_refused(run: Run, files: Path) -> None:
    refused(run("refresh", "--source", f"folder:{files}", "--start", "yesterday"), 2, "'yesterday' is not a date")


def test_a_folder_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    refused(run("refresh", "--source", f"folder:{tmp_path / 'nowhere'}"), 2, "nowhere does not exist")


def test_without_keys_the_ways_to_have_data_are_named(run: Run) -> None:
    refused(run("refresh"), 2, "POLYGON_S3_ACCESS_KEY", "folder:PATH", "sample")


def test_a_typo_in_workbench_toml_is_told_with_the_nearest_setting(run: Run, tmp_path: Path) -> None:
    (tmp_path / "project" / "workbench.toml").write_text('tiemzone = "UTC"\n')

    refused(run("status"), 2, "'tiemzone'", "timezone", "workbench.toml")


def test_a_root_that_is_a_file_holds_no_lake_and_takes_none(run: Run, files: Path, tmp_path: Path) -> None:
    root = tmp_path / "taken"
    root.write_text("mine")

    refused(run("status", "--data", root), 2, str(root))
    refused(run("refresh", "--jsonl", "--source", f"folder:{tmp_path / 'nowhere'}", "--data", root), 2)
    landing = run("refresh", "--json", "--source", f"folder:{files}", "--data", root)
    refused(landing, 1, f"{root} cannot hold a lake")
    assert root.read_text() == "mine"


def test_a_root_without_a_lake_is_named(run: Run, tmp_path: Path) -> None:
    for words in (("status",), ("coverage", "stock_day"), ("sql", "SELECT 1"), ("export", "stock_day", "out.parquet")):
        refused(run(*words), 2, str(tmp_path / "project" / "data"), "workbench demo")


def test_words_that_no_command_knows_are_wrong_usage(run: Run) -> None:
    assert [run(*words).exit_code for words in (("refrehs",), ("status", "--jsno"), ("sql",), ("coverage",))] == [2, 2, 2, 2]


def test_a_fault_of_ours_is_one_line_and_debug_shows_the_rest(run: Run, monkeypatch: pytest.MonkeyPatch, landed: None) -> None:
    def fail(*_: object) -> None:
        raise KeyError("ouch")

    monkeypatch.setattr("workbench.bench.Workbench.status", fail)

    refused(run("status"), 1, "unexpected KeyError: 'ouch'", "please report")
    assert "Traceback" in run("status", "--debug").stderr
    assert "Traceback" in run("--debug", "status").stderr


# ---------------------------------------------------------------------- config


def test_config_says_where_each_value_came_from_and_shows_no_secret(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_S3_ACCESS_KEY", "AKIDVERYSECRET")
    (tmp_path / "project" / ".env").write_text("POLYGON_S3_SECRET_KEY=swordfish\n")
    (tmp_path / "project" / "workbench.toml").write_text('timezone = "UTC"\n')
    plain, machine = run("config"), run("config", "--json")
    told = {row["setting"]: (row["value"], row["from"]) for row in json.loads(machine.stdout)["rows"]}

    assert told["polygon_s3_access_key"] == ("********", "POLYGON_S3_ACCESS_KEY in the environment")
    assert told["polygon_s3_secret_key"] == ("********", "POLYGON_S3_SECRET_KEY in .env")
    assert told["timezone"] == ("UTC", "workbench.toml")
    assert told["data"] == ("data", "default")
    policies = {f"{name}.{field.name}" for name, one in (("maintain", Maintain), ("notify", Notify)) for field in fields(one)}
    assert told.keys() == Settings.declared().keys() | policies
    assert not {"AKIDVERYSECRET", "swordfish"} & set((plain.output + machine.output).split())


def test_check_tries_the_source_in_use(run: Run, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_SOURCE", f"folder:{files}")
    good = run("config", "--check", "--json")
    monkeypatch.setenv("WORKBENCH_SOURCE", f"folder:{tmp_path / 'nowhere'}")
    bad = run("config", "--check", "--json")

    assert (good.exit_code, [(one["in_use"], one["state"]) for one in json.loads(good.stdout)["checks"]]) == (0, [(True, "works")])
    assert (bad.exit_code, json.loads(bad.stdout)["checks"][0]["state"]) == (1, "cannot be used")


def test_check_without_a_source_names_the_ways_to_have_one(run: Run) -> None:
    result = run("config", "--check", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["chosen_source"] is None
    assert "POLYGON_S3_ACCESS_KEY" in result.stderr


# ---------------------------------------------------------------------- sql


def test_sql_prints_a_table_and_counts_the_rest(run: Run, landed: None) -> None:
    few = run("sql", "SELECT ticker, max(close) AS top, NULL AS nothing FROM stock_day GROUP BY ticker ORDER BY ticker;")
    many = run("sql", "SELECT range AS n FROM range(250)")

    assert [line.split() for line in few.stdout.splitlines()] == [
        ["ticker", "top", "nothing"],
        ["ACME", "11.0", "NULL"],
        ["BETA", "10.5", "NULL"],
    ]
    assert few.stderr == "2 rows\n"
    assert len(many.stdout.splitlines()) == 101
    assert "250 rows, the first 100 shown" in many.stderr


def test_sql_reads_standard_input(run: Run, landed: None) -> None:
    assert run("sql", "-", stdin="SELECT 42 AS answer -- of all\n").stdout.split() == ["answer", "42"]


def test_sql_is_a_script_of_which_the_last_statement_is_shown(run: Run, landed: None) -> None:
    script = "SET threads = 1; SELECT 'é;1' AS \"ü\"; -- the end;"

    assert run("sql", script).stdout.split() == ["ü", "é;1"]
    assert json.loads(run("sql", script, "--json").stdout) == [{"ü": "é;1"}]
    assert run("sql", "-", stdin=" -- nothing;").exit_code == 2
    assert run("sql", "CREATE TEMP TABLE mine (a INTEGER)").exit_code == 0


def test_sql_of_a_platform_writes_what_its_statements_say(run: Run, landed: None) -> None:
    def asked(query: str) -> Result:
        return run("sql", "--platform", "kraken_bot", query)

    assert asked("INSERT INTO rss_feeds (url, name) VALUES ('u1', 'one'), ('u2', 'two')").stdout.split() == ["Count", "2"]
    assert asked("UPDATE rss_feeds SET name = 'other' WHERE url = 'u2'").stdout.split() == ["Count", "1"]
    assert asked("SELECT url, name FROM rss_feeds ORDER BY url").stdout.split() == ["url", "name", "u1", "one", "u2", "other"]
    refused(asked("INSERT INTO rss_feeds (url) VALUES ('u3')"), 2, "name is missing", "nothing was written")
    refused(run("sql", "INSERT INTO rss_feeds (url) VALUES ('u3')"), 1)


@pytest.mark.parametrize("how", [(), ("--json",)], ids=["table", "json"])
def test_ctrl_c_ends_a_long_query(landed: None, how: tuple[str, ...]) -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    with subprocess.Popen(command("sql", endless, *how), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            # The start costs a fraction of that: by then the query runs, however busy the machine.
            while process.poll() is None and sum(psutil.Process(process.pid).cpu_times()[:2]) < 5:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, told = process.communicate(timeout=60)
        finally:
            process.kill()

    assert (process.returncode, out) == (130, "")
    assert told == "workbench: stopped; what is committed is kept\n"


def test_sql_gives_csv_json_and_parquet(run: Run, landed: None, tmp_path: Path) -> None:
    query = "SELECT ticker, date, close FROM stock_day WHERE date = '2024-03-08' ORDER BY ticker"
    run("sql", query, "--output", tmp_path / "rows.parquet")
    poured = run("sql", query, "--format", "parquet").stdout_bytes

    assert run("sql", query, "--format", "csv").stdout == "ticker,date,close\nACME,2024-03-08,10.5\nBETA,2024-03-08,10.5\n"
    assert json.loads(run("sql", query, "--json").stdout)[0] == {"ticker": "ACME", "date": "2024-03-08", "close": 10.5}
    assert pl.read_parquet(tmp_path / "rows.parquet").equals(pl.read_parquet(poured))
    assert pl.read_parquet(poured).rows() == [("ACME", FRI, 10.5), ("BETA", FRI, 10.5)]


def test_sql_that_duckdb_refuses_fails_with_its_message_and_leaves_no_file(run: Run, landed: None, tmp_path: Path) -> None:
    refused(run("sql", "SELECT nope FROM stock_day"), 1, '"nope" not found')
    refused(run("sql", "SELECT nope FROM stock_day", "--output", tmp_path / "rows.csv"), 1, '"nope" not found')
    assert not [path for path in tmp_path.iterdir() if "rows.csv" in path.name]


def test_printed_views_serve_any_other_duckdb(run: Run, landed: None) -> None:
    import duckdb

    with duckdb.connect() as con:
        con.execute(run("sql", "--print-views").stdout)
        held = con.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
        [(count,)] = con.execute("SELECT count(*) FROM stock_day").fetchall()

    told = (LONE_DAYS, STOCK_DAY, STOCK_MINUTE, ROLLUPS[0].table)
    assert held == [(table.name, table.doc) for table in told]
    assert count == 6


# ---------------------------------------------------------------------- export


@pytest.mark.parametrize(("format_", "read"), [("parquet", pl.read_parquet), ("csv", pl.read_csv), ("arrow", pl.read_ipc)])
def test_export_gives_a_file_for_any_tool(
    run: Run, landed: None, tmp_path: Path, format_: str, read: Callable[[Path], pl.DataFrame]
) -> None:
    dest = tmp_path / "out" / "rows"
    result = run("export", "stock_day", dest, "--format", format_, "--start", "2024-03-08", "--symbols", "ACME,NONE", "--json")

    assert json.loads(result.stdout)["exported_rows"] == 2
    assert read(dest)["close"].to_list() == [10.5, 11.0]
    assert [path.name for path in dest.parent.iterdir()] == ["rows"]


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_export_by_date_gives_a_folder_for_each(run: Run, landed: None, tmp_path: Path, format_: str) -> None:
    run("export", "stock_day", tmp_path / "out", "--partition-by", "date", "--format", format_)

    assert {path.name for path in (tmp_path / "out").iterdir()} == {"date=2024-03-07", "date=2024-03-08", "date=2024-03-11"}


def test_export_into_a_folder_names_the_file_after_the_table(run: Run, landed: None, tmp_path: Path) -> None:
    run("export", "stock_day", tmp_path)

    assert len(pl.read_parquet(tmp_path / "stock_day.parquet")) == 6


def test_export_takes_documented_tables_as_they_are_shown(run: Run, landed: None, tmp_path: Path) -> None:
    run("export", "market_data.ohlcv", tmp_path / "bars.parquet")
    bars = pl.read_parquet(tmp_path / "bars.parquet")
    shown = run("sql", "SELECT count(*) AS n FROM market_data.ohlcv", "--format", "csv").stdout.split()
    assert (["n", str(len(bars))], bars.columns[:3]) == (shown, ["id", "symbol", "timestamp"])
    assert len(bars) > 0
    refused(run("export", "market_data.ohlcvs", tmp_path / "none.parquet"), 2, "market_data.ohlcv")
    refused(run("export", "market_data.ohlcv", tmp_path / "none.parquet", "--symbols", "ACME"), 2, "whole")


def test_export_overwrites_only_what_it_may(run: Run, landed: None, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    by_date = ("--partition-by", "date")
    run("export", "stock_day", tmp_path / "out", *by_date)

    refused(run("export", "stock_day", tmp_path / "out", *by_date), 2, "--overwrite")
    assert run("export", "stock_day", tmp_path / "out", *by_date, "--start", "2024-03-11", "--overwrite").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["date=2024-03-11"]
    refused(run("export", "stock_day", tmp_path / "mine", *by_date, "--overwrite"), 2, "thesis.txt")
    refused(run("export", "stock_day", tmp_path / "project" / "data" / "lake" / "x"), 2, "inside the lake")
    refused(run("export", "stock_dya", tmp_path / "x"), 2, "stock_day")
    refused(run("export", "stock_day", tmp_path / "x", "--partition-by", "dat"), 2, "did you mean date")


@pytest.mark.parametrize("asked", [["export", "stock_day", "s3://bucket/out"], ["sql", "SELECT 1", "--output", "s3://bucket/out/x.csv"]])
def test_a_url_is_no_place_for_a_file(run: Run, landed: None, tmp_path: Path, asked: list[str]) -> None:
    there = set(tmp_path.rglob("*"))
    told = run(*asked)
    assert told.exit_code == 2
    assert "s3://bucket/out" in told.stderr and "is no place on this machine; nothing was written" in told.stderr
    assert not [path for path in set(tmp_path.rglob("*")) - there if "s3:" in str(path)]


def test_an_export_that_fails_leaves_what_was_there(run: Run, landed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.errors import QueryError

    run("export", "stock_day", tmp_path / "rows.csv", "--format", "csv")
    before = (tmp_path / "rows.csv").read_bytes()

    def half(con: object, query: str, target: Path, *_: object) -> int:
        target.write_text("half")
        raise QueryError("disk full")

    monkeypatch.setattr("workbench.query.export.copy", half)

    refused(run("export", "stock_day", tmp_path / "rows.csv", "--format", "csv", "--overwrite"), 1, "disk full")
    assert (tmp_path / "rows.csv").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


# ---------------------------------------------------------------------- demo


def test_demo_keeps_away_from_real_data(run: Run, landed: None) -> None:
    refused(run("demo"), 2, "holds real data", "nothing was fetched")


# ---------------------------------------------------------------------- the face


def test_help_and_version_need_nothing_heavy() -> None:
    heavy = {"duckdb", "polars", "pyarrow", "pandas", "deltalake", "rich", "exchange_calendars", "boto3", "papermill", "IPython"}
    script = (
        "import sys\nfrom workbench.cli import main\n"
        "main(['--help'], standalone_mode=False)\nimport workbench\n"
        "print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    )
    told = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, check=True, text=True)

    assert told.stdout.splitlines()[-1] == "[]"


def test_every_command_and_option_says_what_it_is_for() -> None:
    for name, one in main.commands.items():
        assert (one.help or "").strip(), name
        options = [param for param in one.params if isinstance(param, click.Option)]
        assert not [option.name for option in options if not option.help and option.name != "format_"], name


def test_data_stands_before_or_after_the_command_and_is_told_from_here(run: Run, files: Path, tmp_path: Path) -> None:
    (tmp_path / "project" / "deep").mkdir()
    os.chdir(tmp_path / "project" / "deep")
    run("refresh", "--source", f"folder:{files}", "--data", "elsewhere")

    assert (tmp_path / "project" / "deep" / "elsewhere" / "lake").is_dir()
    assert run("--data", "elsewhere", "status").stdout == run("status", "--data", "elsewhere").stdout


def test_nothing_but_a_file_is_replaced_by_what_is_written(run: Run, landed: None, tmp_path: Path) -> None:
    pipe, link, real = tmp_path / "pipe", tmp_path / "link.csv", tmp_path / "real.csv"
    os.mkfifo(pipe)
    real.write_text("old")
    link.symlink_to(real)

    refused(run("export", "stock_day", pipe, "--format", "csv"), 2, "neither a file nor a folder")
    refused(run("sql", "SELECT 1", "--format", "csv", "--output", pipe), 2, "neither a file nor a folder")
    assert run("export", "stock_day", link, "--format", "csv", "--overwrite").exit_code == 0

    assert pipe.is_fifo()
    assert link.is_symlink()
    assert real.read_text().startswith("ticker,")


def test_a_lost_file_of_the_lake_is_no_fault_of_the_workbench(run: Run, landed: None) -> None:
    next(Path("data/lake/main/stock_minute").rglob("*.parquet")).unlink()
    told = run("sql", "SELECT * FROM stock_minute")
    assert told.exit_code == 1
    assert "please report" not in told.stderr
    assert "workbench refresh" in told.stderr


def test_json_and_jsonl_do_not_go_together(run: Run, files: Path) -> None:
    assert run("refresh", "--source", f"folder:{files}", "--json", "--jsonl").exit_code == 2


# ---------------------------------------------------------------------- verify, vacuum, clean


def test_verify_finds_nothing_in_a_whole_lake(run: Run, landed: None) -> None:
    result = run("verify")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "no fault in 4 tables" in result.stdout
    assert "11 rows read" in result.stdout
    assert "no rows read" in run("verify", "stock_day", "--quick").stdout


def test_verify_ends_with_3_and_says_what_mends(run: Run, landed: None, tmp_path: Path) -> None:
    path = next((tmp_path / "project/data/lake/main/stock_minute").rglob("*.parquet"))
    path.unlink()
    result = run("verify", "--json")

    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["faults"] == 1
    [row] = told["rows"]
    assert (row["table"], row["kind"], row["severity"]) == ("stock_minute", "missing", "fault")
    assert "workbench refresh stock_minute --start 2024-03-07 --end 2024-03-07" in row["remedy"]
    assert run("verify", "stock_day").exit_code == 0
    refused(run("verify", "stock_dya"), 2, "did you mean stock_day")


def test_vacuum_acts_only_when_told_to(run: Run, landed: None, files: Path, tmp_path: Path) -> None:
    put(files, STOCK_DAY, THU, text([bar("ACME", THU, close=9)]))
    assert run("refresh", "--source", f"folder:{files}").exit_code == 0

    def held() -> int:
        return len(list((tmp_path / "project/data/lake/main/stock_day").rglob("*.parquet")))

    assert held() == 4

    assert "0 files" in run("vacuum", "--yes").stdout
    assert "2 files" in run("vacuum", "--keep", "0h").stdout
    assert held() == 4
    assert json.loads(run("vacuum", "--keep", "0 days", "--yes", "--json").stdout)["files"] == 2
    assert held() == 3
    refused(run("vacuum", "--keep", "soon"), 2, "'soon' is not a length of time", "7d")


def test_clean_acts_only_when_told_to(run: Run, landed: None, tmp_path: Path) -> None:
    part = tmp_path / "project/data/tmp/fetch/a.csv.gz.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"123")
    os.utime(part, (0, 0))

    assert "1 leftovers, 3 B, would be removed" in run("clean").stdout
    assert part.exists()
    assert "1 leftovers, 3 B, removed" in run("clean", "--yes").stdout
    assert not part.exists()


@pytest.mark.parametrize("name", ["verify", "vacuum", "clean"])
def test_keeping_a_lake_needs_one(run: Run, name: str) -> None:
    refused(run(name), 2, "holds no lake")


def test_help_shows_no_marks_of_its_layout() -> None:
    for name in main.commands:
        told = CliRunner().invoke(main, [name, "--help"])
        assert (told.exit_code, "\\b" in told.stdout) == (0, False), told.stdout
