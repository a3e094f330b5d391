"""Upkeep: what is due is done, oldest first, for as long as allowed; one at a time; a failure stays with its table."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, BrokenPromise, Busy, UnknownName, UsageError
from workbench.lake import maintain, tiering, vacuum
from workbench.policies import Age, Maintain, Retention
from workbench.tables import find

APRIL = date(2024, 4, 9)


def bench_with(root: Path, *, retention: dict[str, Retention] | None = None, **upkeep: Any) -> Workbench:
    settings = Settings.load(env={}, data=str(root / "lake"))
    return Workbench(replace(settings, retention=retention or {}, maintain=Maintain(**upkeep)))


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Workbench:
    """Minutes and day bars of four old sessions, hot."""
    made_once(landing, tmp_path)
    return bench_with(tmp_path)


def landing(home: Path) -> None:
    land(bench_with(home), home)


def land(bench: Workbench, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    for n, day in enumerate((THU, FRI, MON, APRIL)):
        put(vendor, STOCK_MINUTE, day, text([line for t in range(40) for line in minutes(f"T{t:02}", day, 10 + n)]))
        put(vendor, STOCK_DAY, day, text([bar(f"T{t:02}", day) for t in range(40)]))
    bench.refresh(source=f"folder:{vendor}").run()


def rows(bench: Workbench, table: str) -> list[tuple[Any, ...]]:
    return bench.sql(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


def chunks(bench: Workbench, table: str) -> set[tuple[str, bool]]:
    """The table's chunks, and whether each is cold."""
    return {(file.chunk, file.bucket is not None) for file in bench.lake[table].snapshot().files}


# ---------------------------------------------------------------------- maintain


def test_it_compacts_what_is_due_and_a_second_run_finds_nothing(bench: Workbench) -> None:
    before = {table: rows(bench, table) for table in ("stock_day", "stock_minute")}

    made = bench.maintain()

    assert chunks(bench, "stock_minute") == {("2024-Q1", True), ("2024-Q2", True)}
    assert chunks(bench, "stock_day") == {("2024", True)}
    assert {table: rows(bench, table) for table in before} == before
    done = [
        (row["task"], row["table"], row["chunk"], row["outcome"], row["rows"], row["files"]) for row in made if row["task"] == "compact"
    ]
    assert done == [
        ("compact", "stock_day", "2024", "compacted", 160, 4),
        ("compact", "stock_minute", "2024-Q1", "compacted", 40 * 33, 3),
        ("compact", "stock_minute", "2024-Q2", "compacted", 40 * 13, 1),
    ]
    assert made.facts["exit_status"] == 0
    assert "3 chunks compacted (2,000 rows, 8 files" in made.title
    assert [row for row in bench.maintain() if row["task"] != "vacuum"] == []


def test_chunks_younger_than_the_policy_says_stay_as_they_landed(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, compact_after=Age(99, "year"))
    land(bench, tmp_path)
    assert bench.maintain().rows == []


def test_finer_chunks_are_folded_when_the_policy_says(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, fold_after=Age(99, "year"))
    land(bench, tmp_path)
    bench.maintain()
    assert chunks(bench, "stock_minute") == {("2024-03", True), ("2024-04", True)}


def test_policies_of_retention_are_followed_and_named(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, retention={"stock_minute": Retention(Age(1, "month"), "archive")})
    land(bench, tmp_path)

    made = bench.maintain()

    assert [(row["table"], row["chunk"], row["outcome"]) for row in made] == [
        ("stock_minute", "2024-03", "archived"),
        ("stock_minute", "2024-04", "archived"),
        ("stock_day", "2024", "compacted"),
    ]
    assert made.facts["notes"] == ["[retention] in workbench.toml: stock_minute: keep 1 month, then archive."]
    assert rows(bench, "stock_minute") == [] and len(rows(bench, "ohlcv_archive")) == 40 * 46


def test_without_a_policy_nothing_leaves(bench: Workbench) -> None:
    bench.maintain()
    assert len(rows(bench, "stock_minute")) == 40 * 46


def test_old_files_leftovers_and_orphans_are_removed(bench: Workbench, tmp_path: Path) -> None:
    bench.maintain()
    replaced = list(bench.lake["stock_minute"].folder.rglob("2024-03-0*.parquet"))
    drafts = bench.lake.root / "tmp" / f"land-{os.uname().nodename}-4194305-01234567"
    (drafts / "x").mkdir(parents=True)
    bench.settings = bench_with(tmp_path, vacuum_keep=Age(0, "day")).settings

    made = bench.maintain()

    assert replaced and not any(path.exists() for path in replaced)
    assert not drafts.exists()
    assert {row["task"] for row in made} == {"clean", "vacuum"}


def test_what_refuses_to_leave_is_told_with_its_reason_and_a_status(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, retention={"stock_trades": Retention(Age(1, "month"), "drop")})
    put(tmp_path / "v", STOCK_TRADES, THU, text([trade("AAA", THU, 1)], TRADE))
    bench.refresh(source=f"folder:{tmp_path / 'v'}").run()

    made = bench.maintain()

    [refused] = [row for row in made if row["outcome"] == "refused"]
    assert "stock_minute does not hold 1 of its sessions" in refused["reason"]
    assert made.facts["exit_status"] == 3


# ---------------------------------------------------------------------- bounds


def test_nothing_is_begun_when_the_time_is_up(bench: Workbench) -> None:
    made = bench.maintain(seconds=0)
    assert (made.rows, made.facts["left"]) == ([], 5)
    assert "5 left for the next run" in made.title
    assert {cold for _, cold in chunks(bench, "stock_minute")} == {False}


@pytest.mark.on_disk
def test_a_task_that_takes_long_ends_and_no_other_begins(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr("workbench.lake.maintain.time.monotonic", lambda: next(clock))
    tasks = [maintain.task_of(bench.lake["stock_minute"], unit) for unit in tiering.due(bench.lake["stock_minute"])]

    upkeep = maintain.run(tasks, seconds=150)

    assert ([one.outcome for one in upkeep.done], upkeep.left) == (["compacted"], 1)


def test_it_stops_between_two_tasks_when_asked(bench: Workbench) -> None:
    upkeep = maintain.maintain(bench.lake, bench.settings, stopped=lambda: True)
    assert (upkeep.done, upkeep.left) == ([], 5)


def test_what_fails_is_reported_and_the_other_tables_go_on(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tiering.compact

    def failing(table: Any, unit: Any) -> Any:
        if table.table.name == "stock_minute":
            raise OSError(5, "Input/output error")
        return real(table, unit)

    monkeypatch.setattr(tiering, "compact", failing)
    made = bench.maintain()

    assert [(row["table"], row["outcome"]) for row in made] == [("stock_day", "compacted"), ("stock_minute", "failed")]
    assert "Input/output error" in made[1]["reason"] and made.facts["exit_status"] == 1


@pytest.mark.on_disk
def test_a_table_whose_log_is_damaged_does_not_keep_the_others_from_upkeep(bench: Workbench, tmp_path: Path) -> None:
    (bench.lake["stock_minute"].folder / "_delta_log" / f"{0:020}.json").unlink()
    other = bench_with(tmp_path)

    made = other.maintain()

    assert ("stock_day", "compacted") in {(row["table"], row["outcome"]) for row in made}
    assert any(row["table"] == "stock_minute" and "is damaged" in row["reason"] for row in made)


# ---------------------------------------------------------------------- one at a time


def test_a_second_maintenance_is_told_who_is_at_it(bench: Workbench) -> None:
    told = rf"by process {os.getpid()} on .* since 20\d\d-.*nothing was done"
    with maintain.alone(bench.lake.root), pytest.raises(Busy, match=told):
        bench.maintain()
    assert bench.maintain().facts["exit_status"] == 0


def test_the_lock_of_a_killed_process_is_free(bench: Workbench) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from workbench.lake.maintain import alone\n"
        "with alone(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(bench.lake.root)], check=False)
    assert (bench.lake.root / "locks" / "maintain.json").exists()

    assert bench.maintain().facts["exit_status"] == 0


def test_two_maintenances_at_once_do_the_work_once(bench: Workbench) -> None:
    before, ended = rows(bench, "stock_minute"), []

    def work() -> None:
        try:
            ended.append(len([row for row in Workbench(bench.settings).maintain() if row["outcome"] == "compacted"]))
        except Busy:
            ended.append(-1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(count for count in ended if count > 0) == 3
    assert rows(bench, "stock_minute") == before


def test_a_table_that_another_process_compacts_is_left_to_it(bench: Workbench) -> None:
    with tiering.alone(bench.lake["stock_minute"]):
        made = bench.maintain()
    assert [(row["table"], row["outcome"]) for row in made] == [("stock_day", "compacted"), ("stock_minute", "busy")]


# ---------------------------------------------------------------------- after a refresh


@pytest.mark.usefixtures("upkeep")
def test_a_refresh_ends_with_upkeep_and_says_so_in_a_line(tmp_path: Path) -> None:
    bench = bench_with(tmp_path)
    put(tmp_path / "v", STOCK_MINUTE, THU, text(minutes("AAA", THU, 5)))

    summary = bench.refresh(source=f"folder:{tmp_path / 'v'}").run()

    assert summary.facts["maintenance"] == "maintenance: 1 chunk of stock_minute compacted (5 rows)"
    assert chunks(bench, "stock_minute") == {("2024-Q1", True)}
    assert bench.refresh(source=f"folder:{tmp_path / 'v'}").run().facts["maintenance"] == ""


@pytest.mark.usefixtures("upkeep")
@pytest.mark.parametrize(("setting", "given"), [(False, None), (True, False)])
def test_a_setting_or_an_argument_leaves_it_out(tmp_path: Path, setting: bool, given: bool | None) -> None:
    bench = bench_with(tmp_path, after_refresh=setting)
    put(tmp_path / "v", STOCK_MINUTE, THU, text(minutes("AAA", THU, 5)))

    summary = bench.refresh(source=f"folder:{tmp_path / 'v'}", maintain=given).run()

    assert "maintenance" not in summary.facts
    assert chunks(bench, "stock_minute") == {("2024-03", False)}


@pytest.mark.usefixtures("upkeep")
@pytest.mark.parametrize("how", ["busy", "failing"])
def test_upkeep_never_fails_a_refresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    bench = bench_with(tmp_path)
    put(tmp_path / "v", STOCK_MINUTE, THU, text(minutes("AAA", THU, 5)))
    bench.lake.make()
    if how == "failing":
        monkeypatch.setattr(maintain, "due", lambda *_, **__: 1 / 0)
        summary = bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    else:
        with maintain.alone(bench.lake.root):
            summary = bench.refresh(source=f"folder:{tmp_path / 'v'}").run()

    assert summary.exit_status == 0 and len(rows(bench, "stock_minute")) == 5
    assert summary.facts["maintenance"].startswith("maintenance was not done: ")


@pytest.mark.usefixtures("upkeep")
def test_a_refresh_looks_for_files_to_remove_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with(tmp_path)
    put(tmp_path / "v", STOCK_MINUTE, THU, text(minutes("AAA", THU, 5)))
    looked: list[int] = []

    def look(*given: Any, **named: Any) -> list[Any]:
        looked.append(1)
        return []

    monkeypatch.setattr(vacuum, "vacuum", look)

    for _ in range(2):
        bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    assert len(looked) == 1

    stamp = bench.lake.root / "locks" / "vacuumed"
    os.utime(stamp, (stamp.stat().st_atime, stamp.stat().st_mtime - 90_000))
    bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    assert len(looked) == 2


# ---------------------------------------------------------------------- compact by name


def test_a_chunk_is_compacted_by_name_complete_or_not(bench: Workbench) -> None:
    before = rows(bench, "stock_minute")

    made = bench.compact(["stock_minute"], "2024-03")

    assert [(row["chunk"], row["files"], row["outcome"]) for row in made] == [("2024-03", 3, "compacted")]
    assert chunks(bench, "stock_minute") == {("2024-03", True), ("2024-04", False)}
    assert rows(bench, "stock_minute") == before
    assert bench.compact(["stock_minute"], "2024-03").rows == []
    assert bench.compact(["stock_minute"], "2024-Q1")[0]["outcome"] == "compacted"
    with pytest.raises(BadRange, match="part of the cold chunk 2024-Q1"):
        bench.compact(["stock_minute"], "2024-03")


@pytest.mark.parametrize("chunk", ["2024-13", "2024-Q5", "2024", "2024-03-07", "March", ""])
def test_a_chunk_that_the_table_cannot_have_is_refused(bench: Workbench, chunk: str) -> None:
    with pytest.raises(BadRange, match=r"is no chunk of stock_minute; nothing was done. Name one as 2003-09 or 2003-Q3"):
        bench.compact(["stock_minute"], chunk)


def test_an_unknown_table_is_answered_with_the_nearest(bench: Workbench) -> None:
    with pytest.raises(UnknownName, match="stock_minute"):
        bench.compact(["stock_minut"])


def test_futures_of_several_venues_are_compacted_together(tmp_path: Path) -> None:
    bench, futures = bench_with(tmp_path), find("futures_minute")
    for feed in range(4):
        stamp = futures.session_ns(THU)[0] + 5 * 86_400 * 10**9
        lines = [f"{ticker},1,{THU},{stamp + n * 60 * 10**9},10,11,9,10,{feed + 1},100,5" for ticker in ("CLM4", "ESM4") for n in range(3)]
        put(tmp_path / "v", futures, THU, text(lines, ",".join(futures.headers[0])), feed=feed)
    bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    before = rows(bench, "futures_minute")

    [row] = bench.compact(everything=True).rows

    assert (row["table"], row["rows"], row["files"]) == ("futures_minute", 24, 4)
    assert rows(bench, "futures_minute") == before and len(before) == 24


# ---------------------------------------------------------------------- ranges


def newer(bench: Workbench, tmp_path: Path) -> None:
    """Sessions of other tickers, so that ranges decided from them lie elsewhere."""
    for day in (date(2024, 4, 10), date(2024, 4, 11), date(2024, 4, 12), date(2024, 4, 15), date(2024, 4, 16)):
        put(tmp_path / "newer", STOCK_MINUTE, day, text([line for t in range(60) for line in minutes(f"Q{t:02}", day, 20)]))
    bench.refresh(source=f"folder:{tmp_path / 'newer'}").run()


def test_ranges_are_decided_anew_and_every_row_is_kept(bench: Workbench, tmp_path: Path) -> None:
    bench.compact()
    newer(bench, tmp_path)
    bench.compact(everything=True)
    before, old = rows(bench, "stock_minute"), bench.lake["stock_minute"].snapshot().bounds

    made = bench.compact(["stock_minute"], ranges=True)

    shot = bench.lake["stock_minute"].snapshot()
    assert shot.bounds != old and shot.bounds is not None and {low[0] for low in shot.bounds} == {"Q"}
    assert {row["reason"] for row in made} == {tiering.MISFIT} and len(made) == 2
    assert rows(bench, "stock_minute") == before
    assert tiering.misfits(shot) == []
    assert bench.verify().rows == []
    assert bench.compact(["stock_minute"], ranges=True).rows == [], "the same sessions decide the same ranges"


def test_a_change_of_ranges_that_was_killed_goes_on_with_the_same_ranges(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.compact()
    newer(bench, tmp_path)
    bench.compact(everything=True)
    before, real, seen = rows(bench, "stock_minute"), tiering.compact, []

    def killed(table: Any, unit: Any) -> Any:
        seen.append(unit)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(table, unit)

    with monkeypatch.context() as patched:
        patched.setattr(tiering, "compact", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.compact(["stock_minute"], ranges=True)
    decided = bench.lake["stock_minute"].snapshot().bounds
    assert len(tiering.misfits(bench.lake["stock_minute"].snapshot())) == 1

    made = bench.compact(["stock_minute"], ranges=True)

    assert len(made) == 1 and bench.lake["stock_minute"].snapshot().bounds == decided
    assert rows(bench, "stock_minute") == before


def test_maintenance_goes_on_with_a_change_of_ranges(bench: Workbench, tmp_path: Path) -> None:
    bench.compact()
    before = rows(bench, "stock_minute")
    bench.lake["stock_minute"].set_bounds(("T10", "T20"), anew=True)

    bench.maintain()

    files = bench.lake["stock_minute"].snapshot().files
    assert {(file.bucket, file.low, file.high) for file in files} == {("00", "T00", "T09"), ("01", "T10", "T19"), ("02", "T20", "T39")}
    assert rows(bench, "stock_minute") == before


def test_ticks_get_new_ranges_too(tmp_path: Path) -> None:
    bench = bench_with(tmp_path)
    for day, name in ((THU, "A"), (FRI, "B")):
        lines = [trade(f"{name}{t:02}", day, n) for t in range(40) for n in range(5)]
        put(tmp_path / "v", STOCK_TRADES, day, text(lines, TRADE))
    bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    before, old = rows(bench, "stock_trades"), bench.lake["stock_trades"].snapshot().bounds

    bench.compact(["stock_trades"], ranges=True)

    bounds = bench.lake["stock_trades"].snapshot().bounds
    assert bounds and bounds != old
    assert rows(bench, "stock_trades") == before and len(before) == 400
    assert bench.verify().rows == []


def test_a_landing_that_was_routed_by_the_old_ranges_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with(tmp_path)
    put(tmp_path / "v", STOCK_TRADES, THU, text([trade("AAA", THU, 1), trade("BBB", THU, 1)], TRADE))
    bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    put(tmp_path / "v", STOCK_TRADES, FRI, text([trade("AAA", FRI, 1)], TRADE))
    table = bench.lake["stock_trades"]
    real = table.commit

    def late(*given: Any) -> Any:
        table.set_bounds(("AZZ",), anew=True)
        return real(*given)

    monkeypatch.setattr(table, "commit", late)
    with pytest.raises(BrokenPromise, match="other ticker ranges"):
        bench.refresh(source=f"folder:{tmp_path / 'v'}").run()
    assert len(rows(bench, "stock_trades")) == 2


def test_tables_without_ranges_or_rows_say_so(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="not cut by ticker"):
        bench.compact(["stock_day"], ranges=True)
    with pytest.raises(UsageError, match="holds no rows"):
        bench.compact(["stock_quotes"], ranges=True)


def test_what_was_done_is_a_report_for_programs_too(bench: Workbench) -> None:
    told = json.loads(bench.maintain().to_json())
    assert told["exit_status"] == 0 and {row["outcome"] for row in told["rows"]} == {"compacted"}


def test_readers_see_every_row_between_two_ranges(bench: Workbench) -> None:
    bench.compact()
    before = rows(bench, "stock_minute")
    bench.lake["stock_minute"].set_bounds(("T33",), anew=True)
    assert tiering.misfits(bench.lake["stock_minute"].snapshot())

    assert rows(bench, "stock_minute") == before
    assert bench.sql("SELECT count(*) FROM stock_minute WHERE ticker = 'T20'").fetchall() == [(46,)]
    assert len(bench.bars("T20", freq="1m")) == 46
