"""Rollups: which sessions are summed up and when again, that what is summed up is what the bars say, and that a run that is broken off costs nothing but time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from flatfiles import FRI, MINUTE_NS, MON, MORNING_NS, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text
from straightbars import MINUTES, alike, same

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.lake import maintain, reset, retention, rollups, tiering
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed
from workbench.lake.store import Lake, LakeTable
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.policies import Age, Retention
from workbench.sources import FlatFile
from workbench.tables.answers import key_of
from workbench.tables.rollups import STOCK_SESSIONS, Rollup

NAME = "stock_sessions"
NOON_NS = 12 * 60 * MINUTE_NS
EVENING_NS = 17 * 60 * MINUTE_NS


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """Minutes of two sessions, of all parts of them: AAA trades in both, BBB in one."""
    folder = tmp_path / "vendor"
    traded(folder, THU, "AAA", "BBB")
    traded(folder, FRI, "AAA")
    return folder


def traded(folder: Path, day: date, *tickers: str, count: int = 3) -> None:
    lines = []
    for ticker in tickers:
        lines += minutes(ticker, day, count)
        lines += [bar(ticker, day, at_ns=at + n * MINUTE_NS, close=10 + n / 4) for at in (NOON_NS, EVENING_NS) for n in range(count)]
    put(folder, STOCK_MINUTE, day, text(lines))


def rows(bench: Workbench, query: str) -> list[tuple[Any, ...]]:
    return bench.sql(f"SELECT * FROM ({query}) ORDER BY ALL").fetchall()


def land(bench: Workbench, vendor: Path) -> None:
    bench.refresh(source=f"folder:{vendor}").run()


def found(bench: Workbench) -> rollups.Rolled:
    return rollups.rolled(bench.lake, STOCK_SESSIONS, {name: bench.lake[name].snapshot().version for name in (NAME, STOCK_MINUTE.name)})


def whole(bench: Workbench, days: set[date]) -> None:
    """The rollup stands for these sessions, nothing is left to sum up, and its rows are what the minutes say."""
    told = found(bench)
    assert (set(told.kept), told.left, told.hidden) == (days, frozenset(), frozenset())
    held = f"""SELECT ticker AS symbol, timestamp AS day, 'all' AS session, open, high, low, close, volume, vwap, transactions, bars FROM {NAME}
        UNION ALL SELECT ticker, timestamp, 'pre', pre_open, pre_high, pre_low, pre_close, pre_volume, pre_vwap, pre_transactions, pre_bars
        FROM {NAME} WHERE pre_bars > 0 UNION ALL SELECT ticker, timestamp, 'regular', regular_open, regular_high, regular_low, regular_close,
        regular_volume, regular_vwap, regular_transactions, regular_bars FROM {NAME} WHERE regular_bars > 0 UNION ALL SELECT ticker, timestamp,
        'post', post_open, post_high, post_low, post_close, post_volume, post_vwap, post_transactions, post_bars FROM {NAME} WHERE post_bars > 0"""
    alike(bench, held, MINUTES)
    same(bench)
    assert not [one for one in verify(bench.lake).findings if one.severity == "fault"]


def freeze(bench: Workbench) -> None:
    for unit in tiering.due(bench.lake[STOCK_MINUTE.name], everything=True):
        tiering.compact(bench.lake[STOCK_MINUTE.name], unit)


# ---------------------------------------------------------------------- what is due


def test_sessions_are_summed_up_as_they_land(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    whole(bench, {THU, FRI})
    [row] = bench.sql(f"SELECT bars, pre_bars, regular_bars, post_bars, source, is_test FROM {NAME} WHERE ticker = 'BBB'").fetchall()
    assert row == (9, 3, 3, 3, "folder", False)


def test_what_is_summed_up_is_not_summed_up_again(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    before = bench.lake[NAME].snapshot().version
    land(bench, vendor)
    freeze(bench)
    assert (rollups.refresh(bench.lake), rollups.due(bench.lake)) == (0, [])
    assert bench.lake[NAME].snapshot().version == before
    whole(bench, {THU, FRI})


def test_cold_minutes_are_summed_up_by_ticker_ranges(bench: Workbench, vendor: Path) -> None:
    traded(vendor, MON, *[f"T{n:02}" for n in range(40)])
    land(bench, vendor)
    freeze(bench)
    assert len(bench.lake[STOCK_MINUTE.name].snapshot().bounds or ()) > 3
    # A session that lands late beside them stands in a hot file of its own.
    traded(vendor, date(2024, 3, 12), "AAA", "T07")
    land(bench, vendor)
    reset.reset(bench.lake, [NAME])
    assert rollups.refresh(bench.lake) == 4
    whole(bench, {THU, FRI, MON, date(2024, 3, 12)})


@pytest.mark.parametrize("cold", [False, True], ids=["hot", "cold"])
def test_what_is_published_again_is_summed_up_again(bench: Workbench, vendor: Path, cold: bool) -> None:
    land(bench, vendor)
    if cold:
        freeze(bench)
    traded(vendor, FRI, "BBB", "CCC", count=5)
    land(bench, vendor)
    whole(bench, {THU, FRI})
    assert bench.sql(f"SELECT ticker FROM {NAME} WHERE date = '2024-03-08' ORDER BY 1").fetchall() == [("BBB",), ("CCC",)]


def test_a_late_session_goes_between_those_that_are_there(bench: Workbench, vendor: Path) -> None:
    traded(vendor, MON, "AAA")
    (vendor / STOCK_MINUTE.key_of(STOCK_MINUTE.feeds[0], FRI)).rename(vendor / "later")
    land(bench, vendor)
    whole(bench, {THU, MON})
    (vendor / "later").rename(vendor / STOCK_MINUTE.key_of(STOCK_MINUTE.feeds[0], FRI))
    land(bench, vendor)
    whole(bench, {THU, FRI, MON})


def test_a_reset_of_the_minutes_takes_the_rows_along_and_its_undoing_brings_them_back(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    reset.reset(bench.lake, [STOCK_MINUTE.name])
    same(bench)
    assert rollups.refresh(bench.lake) == 2
    assert bench.lake[NAME].snapshot().files == ()
    reset.undo(bench.lake, [STOCK_MINUTE.name])
    same(bench)
    land(bench, vendor)
    whole(bench, {THU, FRI})


def test_minutes_that_are_replaced_and_vacuumed_while_they_are_summed_up_wait_for_the_next_run(
    bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(bench, vendor)
    reset.reset(bench.lake, [NAME])
    real, done = rollups.Rolling.summed, list[int]()

    def meanwhile(rolling: rollups.Rolling, *given: Any) -> Any:
        if not done:
            freeze(bench)
            done.extend(len(one.retired) for one in vacuum(bench.lake, timedelta(0), dry_run=False))
        return real(rolling, *given)

    monkeypatch.setattr(rollups.Rolling, "summed", meanwhile)
    assert (rollups.refresh(bench.lake), sum(done) > 0) == (0, True)
    assert rollups.refresh(bench.lake) == 2
    whole(bench, {THU, FRI})


def test_another_declaration_has_all_summed_up_again(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land(bench, vendor)
    other = replace(STOCK_SESSIONS, columns=(replace(STOCK_SESSIONS.columns[0], sql="min(open)"), *STOCK_SESSIONS.columns[1:]))
    monkeypatch.setattr(rollups, "ROLLUPS", (other,))
    assert [len(one.days) for one in rollups.due(bench.lake)] == [2]


def test_sessions_that_are_not_due_yet_are_left_to_whoever_asks(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "last_due", lambda now=None: THU)
    land(bench, vendor)
    assert (set(found(bench).kept), set(found(bench).left)) == ({THU}, {FRI})
    assert not rollups.waiting(bench.lake, STOCK_SESSIONS)
    same(bench)


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ({"start_offset": timedelta(days=3)}, [False, True, True, False]),
        ({"end_offset": timedelta(days=1)}, [True, True, False, False]),
        ({"start_offset": timedelta(days=3), "end_offset": timedelta(days=2)}, [False, True, False, False]),
    ],
)
def test_offsets_count_from_the_newest_session_that_is_due(offsets: dict[str, timedelta], expected: list[bool]) -> None:
    days = [date(2024, 3, 7), date(2024, 3, 9), date(2024, 3, 12), date(2024, 3, 13)]
    assert [replace(STOCK_SESSIONS, **offsets).inside(day, date(2024, 3, 12)) for day in days] == expected  # type: ignore[arg-type]


def test_variants_are_the_parts_of_a_session() -> None:
    with pytest.raises(UsageError, match="variants"):
        replace(STOCK_SESSIONS, variants=("pre", "all"))


# ---------------------------------------------------------------------- retention


@pytest.mark.parametrize("then", ["archive", "drop"])
def test_minutes_that_retention_took_leave_their_rows(bench: Workbench, vendor: Path, then: Any) -> None:
    land(bench, vendor)
    before, parts = rows(bench, "FROM market_data.ohlcv_daily"), rows(bench, "FROM market_data.ohlcv_sessions")
    policies = {STOCK_MINUTE.name: Retention(Age(21, "month"), then, "none")}
    for one in retention.plan(bench.lake, policies, date(2026, 3, 2)):
        assert retention.retire(bench.lake, one).outcome in ("archived", "dropped")
    assert bench.sql("SELECT count(*) FROM market_data.ohlcv").fetchall() == [(0,)]
    assert (rollups.due(bench.lake), set(found(bench).taken)) == ([], {THU, FRI})
    assert rows(bench, "FROM market_data.ohlcv_daily") == before
    assert rows(bench, "FROM market_data.ohlcv_sessions") == parts
    # A session that lands beside them is summed up into the same file.
    traded(vendor, MON, "AAA")
    land(bench, vendor)
    assert rows(bench, "FROM market_data.ohlcv_daily WHERE day < '2024-03-11 00:00:00-04'") == before
    assert set(found(bench).kept) == {THU, FRI, MON}


def test_maintenance_sums_up_before_retention_takes_anything(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        bench.refresh(source=f"folder:{vendor}").run()
    kinds = [task.kind for task in maintain.due(bench.lake, Settings(data=str(bench.lake.root)), now_and_then=True)]
    assert kinds.index("roll up") <= min([n for n, kind in enumerate(kinds) if kind in ("retain", "compact")], default=99)
    upkeep = maintain.maintain(bench.lake, bench.settings)
    assert [(one.table, one.chunk, one.rows) for one in upkeep.done if one.kind == "roll up"] in ([(NAME, "2024-Q1", 3)], [])
    whole(bench, {THU, FRI})


def leave(bench: Workbench) -> list[str]:
    policies = {STOCK_MINUTE.name: Retention(Age(21, "month"), "archive", "none")}
    return [retention.retire(bench.lake, one).outcome for one in retention.plan(bench.lake, policies, date(2026, 3, 2))]


def test_minutes_of_another_source_that_come_after_retention_leave_the_other_rows(
    bench: Workbench, vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(vendor, STOCK_DAY, THU, text([bar(ticker, volume=7) for ticker in ("AAA", "BBB")]))
    land(bench, vendor)
    before = rows(bench, "FROM market_data.ohlcv_daily WHERE day < '2024-03-08'")
    assert leave(bench) == ["archived"]
    lines = minutes("CCC", THU, 2)
    path = put(tmp_path / "late", STOCK_MINUTE, THU, text(lines))
    key = key_of("yahoo", STOCK_MINUTE.name, THU, ("CCC",))
    made = land_or_refuse(Job(path, FlatFile(key, "1", path.stat().st_size), "yahoo", bench.lake.root, (), None, asked=("CCC",)))
    assert isinstance(made, Landed)
    assert bench.lake[STOCK_MINUTE.name].commit([made]) == ["landed"]
    for _ in range(2):
        # As it is asked for, then as it is summed up; each row once, and the day bars of none.
        now = rows(bench, "FROM market_data.ohlcv_daily WHERE day < '2024-03-08'")
        assert [row for row in now if row[0] != "CCC"] == before
        assert [row[6] for row in now if row[0] == "CCC"] == [200.0]
        assert rows(bench, "SELECT symbol FROM market_data.ohlcv_sessions WHERE session = 'all' AND day < '2024-03-08'") == [
            ("AAA",),
            ("BBB",),
            ("CCC",),
        ]
        rollups.refresh(bench.lake)


def test_rows_whose_minutes_retention_took_outlive_their_declaration(
    bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(bench, vendor)
    before = rows(bench, "FROM market_data.ohlcv_daily")
    leave(bench)
    other = replace(STOCK_SESSIONS, columns=(replace(STOCK_SESSIONS.columns[0], sql="min(open)"), *STOCK_SESSIONS.columns[1:]))
    monkeypatch.setattr(rollups, "ROLLUPS", (other,))
    assert rollups.refresh(bench.lake) == 0
    assert rows(bench, "FROM market_data.ohlcv_daily") == before


def test_minutes_that_are_not_summed_up_as_they_are_do_not_leave(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    land(bench, vendor)
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        traded(vendor, FRI, "AAA", count=5)
        bench.refresh(source=f"folder:{vendor}", maintain=False).run()
    [one] = retention.plan(bench.lake, {STOCK_MINUTE.name: Retention(Age(21, "month"), "drop", "none")}, date(2026, 3, 2))
    assert one.refusal == f"{NAME} does not sum up 1 of its sessions (2024-03-08) as they are; `workbench maintain` does, and goes on"
    assert leave(bench) == ["refused"]
    rollups.refresh(bench.lake)
    assert leave(bench) == ["archived"]


# ---------------------------------------------------------------------- files


def test_years_that_are_over_become_one_file_and_this_year_has_one_a_month(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vendor"
    every = [date(2023, 2, 3), date(2023, 11, 3), date(2023, 12, 5), date(2024, 2, 5), THU, FRI]
    for day in every:
        traded(folder, day, "AAA", "BBB")
    monkeypatch.setattr(sessions, "today", lambda: date(2024, 3, 12))
    land(bench, folder)
    assert sorted((file.chunk, file.rows) for file in bench.lake[NAME].snapshot().files) == [("2023", 6), ("2024-02", 2), ("2024-03", 4)]
    monkeypatch.setattr(sessions, "today", lambda: date(2025, 3, 12))
    traded(folder, MON, "AAA")
    land(bench, folder)
    assert sorted((file.chunk, file.rows) for file in bench.lake[NAME].snapshot().files) == [("2023", 6), ("2024-Q1", 7)]
    [file] = [file for file in bench.lake[NAME].snapshot().files if file.chunk == "2024-Q1"]
    assert (file.first, file.last) == (date(2024, 2, 5), MON), "the log knows which sessions a file holds"
    whole(bench, {*every, MON})


def test_a_file_that_is_gone_is_written_anew_with_the_next_session_of_its_chunk(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    [file] = bench.lake[NAME].snapshot().files
    (bench.lake[NAME].folder / file.path).unlink()
    traded(vendor, MON, "AAA")
    land(bench, vendor)
    whole(bench, {THU, FRI, MON})


@pytest.mark.on_disk
def test_sessions_whose_minutes_are_gone_from_the_disk_wait(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    reset.reset(bench.lake, [NAME])
    table = bench.lake[STOCK_MINUTE.name]
    [file] = [file for file in table.snapshot().files if file.first == FRI]
    (table.folder / file.path).unlink()
    assert rollups.refresh(bench.lake) == 1
    assert set(found(bench).kept) == {THU}


# ---------------------------------------------------------------------- broken off, at once


@pytest.mark.parametrize("at", ["sum", "commit", "committed", "merge"])
def test_a_run_that_is_broken_off_is_taken_up_by_the_next(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    traded(vendor, date(2023, 2, 3), "AAA")
    traded(vendor, date(2023, 6, 5), "AAA")
    commit, rewrite = LakeTable.commit, LakeTable.rewrite

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def broken(whose: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def made(table: LakeTable, *args: Any) -> Any:
            if table.table.name != NAME:
                return whose(table, *args)
            if after:
                whose(table, *args)
            raise KeyboardInterrupt

        return made

    with monkeypatch.context() as patched:
        if at == "sum":
            patched.setattr(rollups.Rolling, "summed", killed)
        elif at == "merge":
            patched.setattr(LakeTable, "rewrite", broken(rewrite, False))
        else:
            patched.setattr(LakeTable, "commit", broken(commit, at == "committed"))
        with pytest.raises(KeyboardInterrupt):
            land(bench, vendor)
    assert len(bench.lake[STOCK_MINUTE.name].landings()) == 4, "what had landed stays"
    same(bench)
    # Nothing is left to fetch: it is for the rollup alone that the refresh does something.
    land(bench, vendor)
    rollups.refresh(bench.lake)
    vacuum(bench.lake, dry_run=False, orphans=timedelta(0))
    whole(bench, {THU, FRI, date(2023, 2, 3), date(2023, 6, 5)})


def test_of_two_at_once_each_session_is_summed_up_once(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        land(bench, vendor)
    gate, counts = Barrier(2), list[int]()

    def one() -> None:
        lake = Lake(bench.lake.root)
        gate.wait()
        counts.append(rollups.refresh(lake))

    threads = [Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rollups.refresh(bench.lake)
    whole(bench, {THU, FRI})
    assert [one.version for one in bench.lake[NAME].landings().values()] == [1, 1]


def test_what_is_done_by_another_meanwhile_is_not_done_again(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        land(bench, vendor)
    work = rollups.due(bench.lake)
    assert rollups.refresh(bench.lake) == 2
    assert [rollups.done(bench.lake, one) for one in work] == [0]


def test_a_bounded_run_begins_nothing_after_its_time(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rollups, "refresh", lambda *_: 0)
        land(bench, vendor)
    assert rollups.refresh(bench.lake, seconds=0) == 0
    assert rollups.refresh(bench.lake, stopped=lambda: True) == 0
    assert rollups.refresh(bench.lake) == 2


# ---------------------------------------------------------------------- sessions


def test_a_rollup_without_parts_sums_up_whole_sessions(bench: Workbench, vendor: Path) -> None:
    """What a declaration for tables whose sessions have no parts gives."""
    land(bench, vendor)
    plain = Rollup("plain", "Whole sessions.", STOCK_MINUTE, ("all",), STOCK_SESSIONS.columns)
    ours = bench.sql(f"SELECT ticker, date, open, close, volume, bars FROM ({plain.query('main.stock_minute', 'nothing')}) ORDER BY ALL")
    assert ours.fetchall() == bench.sql(f"SELECT ticker, date, open, close, volume, bars FROM {NAME} ORDER BY ALL").fetchall()


def test_it_is_machinery_that_no_refresh_and_no_report_of_sessions_asks_for(bench: Workbench, vendor: Path) -> None:
    land(bench, vendor)
    assert {step.table for step in bench.plan(f"folder:{vendor}")} <= {"stock_day", "stock_minute"}
    assert bench.sql(f"SELECT count(*) FROM data_sync_log WHERE dataset = '{NAME}'").fetchall() == [(0,)]
    [row] = [row for row in bench.status() if row["table"] == NAME]
    assert (row["rows"], row["sessions"], row["behind"]) == (3, None, 0)
    assert tiering.due(bench.lake[NAME], everything=True) == [], "the table is written as it stays"
    assert MORNING_NS < NOON_NS < EVENING_NS
