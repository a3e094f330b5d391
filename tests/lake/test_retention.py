"""Retention: old chunks leave their table whole, for the archive or for good; a killed run converges, and nothing else is touched."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenPromise, Busy
from workbench.lake import archive, retention, tiering
from workbench.lake.retention import Left
from workbench.lake.store import LakeTable
from workbench.policies import Age, Retention
from workbench.tables import TABLES, find

TODAY = date(2026, 3, 2)
# Counted back from TODAY: what is older than 2024-06-02 goes, so March 2024 does and June 2024 stays.
KEEP = Age(21, "month")
APRIL, JUNE = date(2024, 4, 9), date(2024, 6, 4)
ARCHIVE = {"stock_minute": Retention(KEEP, "archive")}
DROP = {"stock_minute": Retention(KEEP, "drop")}


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return vendor_of(tmp_path)


def vendor_of(home: Path) -> Path:
    """Minutes of five sessions in three months, and day bars of the first three."""
    folder = home / "vendor"
    for n, day in enumerate((THU, FRI, MON, APRIL, JUNE)):
        put(folder, STOCK_MINUTE, day, text([*minutes("AAA", day, 30 + n), *minutes("MMM", day, 20), *minutes("ZZZ", day, 10 + n)]))
    for day in (THU, FRI, MON):
        put(folder, STOCK_DAY, day, text([bar("AAA", day), bar("MMM", day), bar("ZZZ", day)]))
    return folder


@pytest.fixture
def landed(bench: Workbench, tmp_path: Path, made_once: Callable[..., None]) -> Workbench:
    made_once(landing, tmp_path)
    return bench


def landing(home: Path) -> None:
    land(Workbench(Settings.load(env={}, data=str(home / "lake"))), vendor_of(home))


def land(bench: Workbench, vendor: Path, *tables: str) -> None:
    bench.refresh(source=f"folder:{vendor}", datasets=list(tables) or None).run()


def compact(bench: Workbench, *tables: str) -> None:
    for name in tables:
        for unit in tiering.due(bench.lake[name], everything=True):
            assert tiering.compact(bench.lake[name], unit).outcome == "compacted"


def retain(bench: Workbench, policies: dict[str, Retention]) -> list[Left]:
    return [retention.retire(bench.lake, one) for one in retention.plan(bench.lake, policies, TODAY)]


def rows(bench: Workbench, query: str) -> list[tuple[Any, ...]]:
    return bench.sql(query).fetchall()


def held(bench: Workbench, table: str = "stock_minute", where: str = "true", columns: Iterable[str] = ()) -> list[tuple[Any, ...]]:
    """Rows, in an order of their own."""
    names = ", ".join(f'"{name}"' for name in columns or [c.name for c in TABLES["stock_minute"].columns])
    return rows(bench, f"SELECT {names} FROM {table} WHERE {where} ORDER BY ALL")


def days(bench: Workbench, table: str = "stock_minute") -> list[date]:
    return [day for (day,) in rows(bench, f"SELECT DISTINCT date FROM {table} ORDER BY date")]


def state(bench: Workbench) -> tuple[dict[str, int], set[Path]]:
    """Versions of all tables, and every file under the lake."""
    return {name: bench.lake[name].snapshot().version for name in TABLES}, set(bench.lake.root.rglob("*"))


# ---------------------------------------------------------------------- which


def test_a_plan_names_whole_chunks_past_the_age_and_changes_nothing(landed: Workbench) -> None:
    before = state(landed)

    [march, april] = retention.plan(landed.lake, ARCHIVE, TODAY)

    assert (march.chunk, march.rows, march.days) == ("2024-03", 60 + 62 + 64, [THU, FRI, MON])
    assert (april.chunk, april.days, april.refusal) == ("2024-04", [APRIL], "")
    assert state(landed) == before


@pytest.mark.parametrize("age", range(0, 130, 7))
def test_no_row_younger_than_the_age_ever_leaves_and_no_older_one_stays_longer_than_a_chunk(landed: Workbench, age: int) -> None:
    compact(landed, "stock_minute")
    today = date(2024, 3, 1) + timedelta(days=age)
    policy = {"stock_minute": Retention(Age(1, "week"), "archive")}
    cutoff = today - timedelta(days=7)

    for one in retention.plan(landed.lake, policy, today):
        assert all(file.last < cutoff for file in one.files)
        retention.retire(landed.lake, one)

    kept, archived = days(landed), days(landed, "ohlcv_archive")
    assert sorted(kept + archived) == [THU, FRI, MON, APRIL, JUNE]
    assert not [day for day in archived if day >= cutoff]
    assert not [day for day in kept if day < cutoff - timedelta(days=92)]


def test_a_late_session_of_a_cold_chunk_waits_for_the_whole_chunk(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    land(bench, vendor)
    compact(bench, "stock_minute")
    late = date(2024, 3, 20)
    put(tmp_path / "late", STOCK_MINUTE, late, text(minutes("AAA", late, 3)))
    land(bench, tmp_path / "late")

    assert retention.plan(bench.lake, ARCHIVE, date(2025, 12, 25)) == [], "the quarter's end is not past"
    [quarter] = retention.plan(bench.lake, ARCHIVE, TODAY)

    assert (quarter.chunk, quarter.days) == ("2024-Q1", [THU, FRI, MON, late])
    assert retention.retire(bench.lake, quarter).outcome == "archived"
    assert days(bench) == [APRIL, JUNE]


# ---------------------------------------------------------------------- archive


@pytest.mark.parametrize("cold", [False, True], ids=["hot", "cold"])
def test_the_archive_holds_every_row_that_left_with_all_its_columns(landed: Workbench, cold: bool) -> None:
    if cold:
        compact(landed, "stock_minute")
    before = held(landed)
    today = date(2026, 8, 3)  # so that 2024-Q2 is past, too

    done = [retention.retire(landed.lake, one) for one in retention.plan(landed.lake, ARCHIVE, today)]

    assert {one.outcome for one in done} == {"archived"} and all(one.archived for one in done)
    assert held(landed) == []
    assert held(landed, "ohlcv_archive") == before
    assert rows(landed, "SELECT DISTINCT base_table, timeframe, venue FROM ohlcv_archive") == [("stock_minute", "1m", None)]
    assert landed.lake["ohlcv_archive"].snapshot().rows == len(before)


def test_younger_chunks_and_other_tables_are_untouched(landed: Workbench) -> None:
    young, daily = held(landed, where="date >= '2024-06-01'"), landed.lake["stock_day"].snapshot().version

    retain(landed, ARCHIVE)

    assert held(landed) == young and days(landed) == [JUNE]
    assert landed.lake["stock_day"].snapshot().version == daily


def test_the_archive_takes_bars_of_several_tables_and_venues(bench: Workbench, tmp_path: Path) -> None:
    futures, feeds = find("futures_minute"), (0, 1)
    for feed in feeds:
        stamp = futures.session_ns(THU)[0] + 5 * 86_400 * 10**9
        line = f"ESM4,1,{THU},{stamp},10,11,9,10,{feed + 1},100,5"
        put(tmp_path / "v", futures, THU, text([line], ",".join(futures.headers[0])), feed=feed)
    put(tmp_path / "v", STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    land(bench, tmp_path / "v")
    compact(bench, "futures_minute", "stock_day")

    retain(bench, {name: Retention(Age(1, "year"), "archive") for name in ("futures_minute", "stock_day")})

    assert rows(bench, "SELECT base_table, timeframe, ticker, venue, volume FROM ohlcv_archive ORDER BY ALL") == [
        ("futures_minute", "1m", "ESM4", "CBOT", 1.0),
        ("futures_minute", "1m", "ESM4", "CME", 2.0),
        ("stock_day", "1d", "AAA", None, 100.0),
        ("stock_day", "1d", "BBB", None, 100.0),
    ]
    assert [one.retired for one in bench.lake["futures_minute"].landings().values()] == ["archived", "archived"]


def test_killed_between_the_archive_and_the_removal_the_next_run_converges(landed: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = held(landed)
    with monkeypatch.context() as killed:
        killed.setattr(LakeTable, "retire", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            retain(landed, ARCHIVE)

    assert held(landed) == before, "the table still holds all"
    assert days(landed, "ohlcv_archive") == [THU, FRI, MON]
    version = landed.lake["ohlcv_archive"].snapshot().version

    done = retain(landed, ARCHIVE)

    assert [(one.outcome, one.leaving.chunk, bool(one.archived)) for one in done] == [
        ("archived", "2024-03", False),
        ("archived", "2024-04", True),
    ]
    assert landed.lake["ohlcv_archive"].snapshot().version == version + 1, "what was archived is not archived twice"
    assert sorted(held(landed) + held(landed, "ohlcv_archive")) == before
    assert retain(landed, ARCHIVE) == []


def test_a_session_published_again_meanwhile_stays_and_then_takes_the_place_of_its_older_version(
    landed: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LakeTable.retire

    def late(table: LakeTable, *given: Any) -> bool:
        with monkeypatch.context() as inner:
            inner.setattr(LakeTable, "retire", real)
            put(vendor, STOCK_MINUTE, FRI, text(minutes("AAA", FRI, 7)))
            land(landed, vendor, "stock_minute")
        return real(table, *given)

    [march, _] = retention.plan(landed.lake, ARCHIVE, TODAY)
    with monkeypatch.context() as racing:
        racing.setattr(LakeTable, "retire", late)
        assert retention.retire(landed.lake, march).outcome == "overtaken"
    assert len(held(landed, where=f"date = '{FRI}'")) == 7
    before = held(landed)

    retain(landed, ARCHIVE)

    assert sorted(held(landed) + held(landed, "ohlcv_archive")) == before


def test_a_session_that_is_published_again_after_it_left_is_archived_in_its_new_version(landed: Workbench, vendor: Path) -> None:
    retain(landed, ARCHIVE)
    put(vendor, STOCK_MINUTE, FRI, text(minutes("AAA", FRI, 7)))

    land(landed, vendor)
    assert days(landed) == [FRI, JUNE]
    retain(landed, ARCHIVE)

    assert days(landed) == [JUNE]
    assert rows(landed, "SELECT date, count(*) FROM ohlcv_archive GROUP BY ALL ORDER BY ALL") == [
        (THU, 60),
        (FRI, 7),
        (MON, 64),
        (APRIL, 66),
    ]


def test_a_copy_that_is_not_the_same_removes_nothing(landed: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = held(landed)
    real = archive.archived
    monkeypatch.setattr(archive, "archived", lambda rows, table: real(rows, table).with_columns(volume=0.0))

    with pytest.raises(BrokenPromise, match="nothing was removed"):
        retain(landed, ARCHIVE)

    assert held(landed) == before and held(landed, "ohlcv_archive") == []


# ---------------------------------------------------------------------- drop


def test_minutes_are_dropped_when_their_day_bars_are_there_and_refused_with_the_way_out_when_not(landed: Workbench) -> None:
    [march, april] = retain(landed, DROP)

    assert (march.outcome, april.outcome) == ("dropped", "refused")
    assert "stock_day does not hold 1 of its sessions (2024-04-09)" in april.reason
    assert "`workbench refresh stock_day --start 2024-04-09 --end 2024-04-09`" in april.reason
    assert days(landed) == [APRIL, JUNE]
    assert landed.lake["ohlcv_archive"].snapshot().rows == 0


def test_what_mends_a_refusal_mends_it(landed: Workbench, vendor: Path) -> None:
    retain(landed, DROP)
    put(vendor, STOCK_DAY, APRIL, text([bar("AAA", APRIL)]))
    land(landed, vendor, "stock_day")

    assert [one.outcome for one in retain(landed, DROP)] == ["dropped"]
    assert days(landed) == [JUNE]


def test_a_policy_may_drop_what_nothing_sums_up(landed: Workbench) -> None:
    assert {one.outcome for one in retain(landed, {"stock_minute": Retention(KEEP, "drop", "none")})} == {"dropped"}
    assert days(landed) == [JUNE]


@pytest.mark.on_disk
def test_day_bars_in_the_archive_sum_minutes_up_and_dropped_or_lost_ones_do_not(landed: Workbench, vendor: Path) -> None:
    old = {"stock_day": Retention(KEEP, "archive")}
    retain(landed, old)
    assert not next(one.refusal for one in retention.plan(landed.lake, DROP, TODAY))

    land(landed, vendor)
    for file in landed.lake["ohlcv_archive"].snapshot().files:
        (landed.lake["ohlcv_archive"].folder / file.path).unlink()
    assert "does not hold 3 of its sessions" in retention.plan(landed.lake, DROP, TODAY)[0].refusal


@pytest.mark.on_disk
def test_day_bars_whose_file_is_gone_sum_nothing_up(landed: Workbench) -> None:
    [lost, *_] = landed.lake["stock_day"].snapshot().files
    (landed.lake["stock_day"].folder / lost.path).unlink()
    assert "does not hold 1 of its sessions" in retention.plan(landed.lake, DROP, TODAY)[0].refusal


@pytest.mark.parametrize(("has", "refused"), [("stock_minute", False), ("stock_day", False), (None, True)])
def test_trades_are_dropped_if_minutes_or_days_sum_them_up(bench: Workbench, tmp_path: Path, has: str | None, refused: bool) -> None:
    put(tmp_path / "v", STOCK_TRADES, THU, text([trade("AAA", THU, n) for n in range(5)], TRADE))
    if has:
        put(tmp_path / "v", find(has), THU, text(minutes("AAA", THU, 1) if has == "stock_minute" else [bar("AAA")]))
    land(bench, tmp_path / "v")

    [left] = retain(bench, {"stock_trades": Retention(Age(30, "day"), "drop")})

    assert (left.outcome == "refused") == refused
    assert len(rows(bench, "FROM stock_trades")) == (5 if refused else 0)


@pytest.mark.on_disk
def test_rows_that_nobody_accounts_for_or_that_are_lost_are_left_alone(landed: Workbench) -> None:
    file = landed.lake["stock_minute"].snapshot().files[0]
    path = landed.lake["stock_minute"].folder / file.path
    path.rename(path.with_suffix(".away"))
    for policies in (ARCHIVE, DROP):
        [left, *_] = retain(landed, policies)
        assert left.outcome == "refused" and "gone from the disk" in left.reason


# ---------------------------------------------------------------------- afterwards


@pytest.mark.parametrize("policies", [ARCHIVE, {"stock_minute": Retention(KEEP, "drop", "none")}], ids=["archived", "dropped"])
def test_verify_finds_no_fault_in_what_left_and_what_came_again(landed: Workbench, vendor: Path, policies: dict[str, Retention]) -> None:
    compact(landed, "stock_minute")
    retain(landed, policies)
    put(vendor, STOCK_MINUTE, FRI, text(minutes("AAA", FRI, 7)))
    land(landed, vendor)
    assert landed.verify().rows == []

    retain(landed, policies)

    assert landed.verify().rows == []
    assert landed.verify(quick=True).rows == []


@pytest.mark.parametrize("policies", [ARCHIVE, {"stock_minute": Retention(KEEP, "drop", "none")}], ids=["archived", "dropped"])
def test_what_left_is_neither_fetched_again_nor_missed(landed: Workbench, vendor: Path, policies: dict[str, Retention]) -> None:
    retain(landed, policies)

    assert list(landed.plan(source=f"folder:{vendor}")) == []
    assert tiering.lost_landings(landed.lake["stock_minute"]) == set()
    told = {row["session"]: (row["state"], row["rows"]) for row in landed.coverage("stock_minute", THU, JUNE)}
    then = "archived" if policies is ARCHIVE else "dropped"
    assert [told[day] for day in (THU, APRIL, JUNE)] == [(then, 0), (then, 0), ("landed", 68)]
    [status] = [row for row in landed.status() if row["table"] == "stock_minute"]
    assert (status["rows"], status["sessions"], status["first"]) == (68, 1, JUNE)


def test_the_records_of_a_removal_can_be_read_from_the_log(landed: Workbench) -> None:
    retain(landed, ARCHIVE)

    landings = landed.lake["stock_minute"].landings()
    assert {one.session: (one.retired, one.rows, one.held, one.files) for one in landings.values() if one.session < JUNE} == {
        day: ("archived", count, 0, ()) for day, count in ((THU, 60), (FRI, 62), (MON, 64), (APRIL, 66))
    }
    again = LakeTable(landed.lake.root, STOCK_MINUTE).landings()
    assert again == landings
    version = landed.lake["stock_minute"].snapshot().version
    assert not any(one.retired for one in landed.lake["stock_minute"].landings(version - 2).values())


def test_as_of_before_the_removal_still_reads_the_rows(landed: Workbench) -> None:
    before, then = held(landed), datetime.now(UTC)
    retain(landed, ARCHIVE)

    with Workbench(landed.settings, then) as past:
        assert held(past) == before
        assert held(past, "ohlcv_archive") == []


def test_a_mended_chunk_does_not_ask_for_sessions_that_left(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    """A session that lands again beside retired ones, in a chunk that is written cold and then loses a file."""
    land(bench, vendor)
    retain(bench, {"stock_minute": Retention(KEEP, "drop", "none")})
    put(vendor, STOCK_MINUTE, FRI, text(minutes("AAA", FRI, 7)))
    land(bench, vendor)
    compact(bench, "stock_minute")

    assert held(bench, where="date < '2024-06-01'", columns=["ticker"]) == [("AAA",)] * 7
    assert tiering.lost_landings(bench.lake["stock_minute"]) == set()


def test_another_process_that_compacts_the_table_is_waited_for_by_nobody(landed: Workbench) -> None:
    before = held(landed)
    with tiering.alone(landed.lake["stock_minute"]), pytest.raises(Busy, match="nothing was done"):
        retain(landed, ARCHIVE)
    assert held(landed) == before


def test_an_object_of_which_the_record_moved_meanwhile_stays(landed: Workbench) -> None:
    """Another ETag of the same bytes is a new version of the record, of the same files."""
    [march, _] = retention.plan(landed.lake, ARCHIVE, TODAY)
    older = replace(march, landings=tuple(replace(one, version=0) for one in march.landings))
    before = held(landed)

    assert retention.retire(landed.lake, older).outcome == "overtaken"

    assert held(landed) == before
    assert retention.retire(landed.lake, march).outcome == "archived"
