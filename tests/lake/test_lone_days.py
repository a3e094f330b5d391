"""Lone day bars: which rows are kept, when they are compared again, and that a run that is broken off costs nothing but time."""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import lone_days, reset, tiering
from workbench.lake.store import LakeTable
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify

NAME = "lone_days"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """Day bars of three sessions, and minutes of the first two: AAA trades in both, BBB in one, LON in no minute."""
    folder = tmp_path / "vendor"
    days(folder, THU, "AAA", "BBB", "LON")
    days(folder, FRI, "AAA", "BBB", "LON")
    days(folder, MON, "AAA", "BBB", "LON")
    traded(folder, THU, "AAA", "BBB")
    traded(folder, FRI, "AAA")
    return folder


def days(folder: Path, day: date, *tickers: str) -> None:
    put(folder, STOCK_DAY, day, text([bar(ticker, day) for ticker in tickers]))


def traded(folder: Path, day: date, *tickers: str) -> None:
    put(folder, STOCK_MINUTE, day, text([line for ticker in tickers for line in minutes(ticker, day, 3)]))


def land(bench: Workbench, vendor: Path, *tables: str) -> None:
    bench.refresh(source=f"folder:{vendor}", datasets=list(tables) or None).run()


def lone(bench: Workbench) -> list[tuple[Any, ...]]:
    """Sessions and tickers of the lone bars that count, by the lake's own files."""
    found = lone_days.compared(bench.lake, {name: bench.lake[name].snapshot().version for name in lone_days.NAMES})
    assert not found.due
    assert not found.stale
    return bench.sql(f"SELECT date, ticker FROM {NAME} ORDER BY ALL").fetchall()


def sound(bench: Workbench) -> None:
    assert not [one for one in verify(bench.lake).findings if one.severity == "fault"]


FIRST = [(THU, "LON"), (FRI, "BBB"), (FRI, "LON")]


def test_day_bars_without_a_minute_are_kept_where_both_landed(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    assert lone(bench) == FIRST
    whole = "SELECT * FROM {} WHERE (date, ticker) IN ((DATE '2024-03-07', 'LON'), (DATE '2024-03-08', 'BBB')) ORDER BY ALL"
    assert bench.sql(whole.format(NAME)).fetchall() == bench.sql(whole.format("stock_day")).fetchall() != []
    sound(bench)


@pytest.mark.parametrize("order", [("stock_day", "stock_minute"), ("stock_minute", "stock_day")])
def test_it_is_the_second_to_land_that_has_them_compared(bench: Workbench, vendor: Path, order: Iterable[str]) -> None:
    first, second = order
    land(bench, vendor, first)
    assert not bench.lake[NAME].exists
    land(bench, vendor, second)
    assert lone(bench) == FIRST


def test_what_was_compared_is_not_compared_again(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    before = bench.lake[NAME].snapshot().version
    land(bench, vendor)
    for name in ("stock_day", "stock_minute"):
        for unit in tiering.due(bench.lake[name], everything=True):
            tiering.compact(bench.lake[name], unit)
    assert lone_days.compare(bench.lake) == 0
    assert bench.lake[NAME].snapshot().version == before
    assert tiering.due(bench.lake[NAME], everything=True) == [], "the table is written as it stays"


@pytest.mark.parametrize("cold", [False, True], ids=["hot", "cold"])
def test_what_is_published_again_is_compared_again(bench: Workbench, vendor: Path, cold: bool) -> None:
    land(bench, vendor)
    if cold:
        for name in ("stock_day", "stock_minute"):
            for unit in tiering.due(bench.lake[name], everything=True):
                tiering.compact(bench.lake[name], unit)
    traded(vendor, FRI, "AAA", "BBB", "LON")
    days(vendor, THU, "AAA", "BBB", "LON", "NEW")
    land(bench, vendor)
    assert lone(bench) == [(THU, "LON"), (THU, "NEW")]
    sound(bench)


def test_a_session_of_which_all_traded_is_compared_once_too(bench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    days(folder, THU, "AAA")
    traded(folder, THU, "AAA")
    land(bench, folder)
    assert lone(bench) == []
    assert [one.rows for one in bench.lake[NAME].landings().values()] == [0]
    assert bench.lake[NAME].snapshot().files == ()
    assert not lone_days.waiting(bench.lake)


def test_a_reset_of_the_minutes_takes_them_out_at_the_next_refresh_and_its_undoing_brings_them_back(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    reset.reset(bench.lake, ["stock_minute"])
    days(vendor, MON, "AAA")
    land(bench, vendor, "stock_day")
    assert lone(bench) == []
    reset.undo(bench.lake)
    land(bench, vendor)
    assert lone(bench) == FIRST
    sound(bench)


def test_a_reset_of_the_table_itself_is_mended_by_the_next_refresh(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    reset.reset(bench.lake, [NAME])
    assert bench.sql(f"SELECT count(*) FROM {NAME}").fetchall() == [(0,)]
    land(bench, vendor)
    assert lone(bench) == FIRST


def test_a_file_that_is_gone_is_written_anew_with_the_next_session_of_its_chunk(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    [file] = bench.lake[NAME].snapshot().files
    (bench.lake[NAME].folder / file.path).unlink()
    traded(vendor, MON, "AAA", "LON")
    land(bench, vendor)
    assert lone(bench) == [*FIRST, (MON, "BBB")]
    sound(bench)


def test_years_that_are_over_have_a_file_each_and_this_year_one_a_month(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vendor"
    every = [date(2023, 11, 3), date(2023, 12, 5), date(2024, 2, 5), THU, FRI]
    for day in every:
        days(folder, day, "AAA", "LON")
        traded(folder, day, "AAA")
    monkeypatch.setattr(sessions, "today", lambda: date(2024, 3, 12))
    land(bench, folder)
    assert sorted((file.chunk, file.rows) for file in bench.lake[NAME].snapshot().files) == [("2023", 2), ("2024-02", 1), ("2024-03", 2)]
    monkeypatch.setattr(sessions, "today", lambda: date(2025, 3, 12))
    days(folder, MON, "AAA", "LON")
    traded(folder, MON, "AAA")
    land(bench, folder)
    assert sorted((file.chunk, file.rows) for file in bench.lake[NAME].snapshot().files) == [("2023", 2), ("2024", 4)]
    assert lone(bench) == [(day, "LON") for day in [*every, MON]]
    sound(bench)


@pytest.mark.parametrize("at", ["rewrite", "commit", "committed"])
def test_a_run_that_is_broken_off_is_taken_up_by_the_next(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    commit = LakeTable.commit

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def broken(table: LakeTable, *args: Any) -> Any:
        if table.table.name != NAME:
            return commit(table, *args)
        if at == "committed":
            commit(table, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if at == "rewrite":
            patched.setattr(lone_days.Comparison, "rewrite", killed)
        else:
            patched.setattr(LakeTable, "commit", broken)
        with pytest.raises(KeyboardInterrupt):
            land(bench, vendor)
    assert bench.lake["stock_minute"].snapshot().rows == 9, "what had landed stays"
    # Nothing is left to fetch: it is for the lone bars alone that the refresh does something.
    land(bench, vendor)
    assert lone(bench) == FIRST
    vacuum(bench.lake, dry_run=False, orphans=timedelta(0))
    sound(bench)


def test_it_is_machinery_that_no_refresh_and_no_report_of_sessions_asks_for(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    assert {step.table for step in bench.plan(f"folder:{vendor}")} <= {"stock_day", "stock_minute"}
    assert bench.sql(f"SELECT count(*) FROM data_sync_log WHERE dataset = '{NAME}'").fetchall() == [(0,)]
    [row] = [row for row in bench.status() if row["table"] == NAME]
    assert (row["rows"], row["sessions"], row["behind"]) == (3, None, 0)
