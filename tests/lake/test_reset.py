"""Reset: what goes, what stays, what comes back, and what a crash in between leaves."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import Busy, LakeError, UnknownName, UsageError
from workbench.lake import locks, reference, reset, retention
from workbench.lake.journal import Journal
from workbench.lake.store import LakeTable
from workbench.lake.tiering import alone
from workbench.lake.vacuum import vacuum
from workbench.policies import Age, Retention
from workbench.sources.reference import Gathered

TABLES = ["stock_day", "stock_minute", "stock_trades"]


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "vendor"


def landing(home: Path) -> None:
    """Two sessions of day bars, one of minutes, one of trades, landed."""
    folder = home / "vendor"
    put(folder, STOCK_DAY, THU, text([bar("AAA"), bar("BBB", volume="x"), *(bar(f"T{n:03}") for n in range(200))]))
    put(folder, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    put(folder, STOCK_MINUTE, THU, text(minutes("AAA", THU, 10)))
    put(folder, STOCK_TRADES, THU, text([trade("AAA", THU, n) for n in range(20)], TRADE))
    fill(Workbench(Settings.load(env={}, data=str(home / "lake"))), folder)


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Workbench:
    made_once(landing, tmp_path)
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


def fill(bench: Workbench, vendor: Path, *tables: str) -> dict[str, int]:
    """Refresh; gives how many files landed of each table."""
    run = bench.refresh(source=f"folder:{vendor}", datasets=list(tables) or None).run()
    return {row["table"]: row["landed"] + row["replaced"] for row in run.rows}


def counts(bench: Workbench) -> dict[str, int]:
    return {name: len(bench.sql(f"FROM {name}").fetchall()) for name in TABLES}


FULL = {"stock_day": 202, "stock_minute": 10, "stock_trades": 20}
EMPTY = dict.fromkeys(TABLES, 0)


def faults(bench: Workbench) -> list[dict[str, object]]:
    return [row for row in bench.verify().rows if row["severity"] == "fault"]


# ---------------------------------------------------------------------- empty


def test_a_dry_run_says_what_would_go_and_changes_nothing(bench: Workbench) -> None:
    before = sorted(bench.lake.root.rglob("*"))
    said = bench.reset("all", dry_run=True)

    assert {row["table"]: (row["rows"], row["sessions"]) for row in said} == {
        "stock_day": (202, 2),
        "stock_minute": (10, 1),
        "stock_trades": (20, 1),
        # Of the tickers of the first session, none but AAA traded in a minute.
        "lone_days": (200, 0),
        "stock_sessions": (1, 0),
    }
    assert all(row["bytes"] > 0 for row in said)
    assert "data_sync_log" in said.facts["notes"][-1]
    assert sorted(bench.lake.root.rglob("*")) == before
    assert counts(bench) == FULL


def test_afterwards_nothing_is_there_and_a_refresh_lands_the_same_files_again(bench: Workbench, vendor: Path) -> None:
    done = bench.reset(["stock_day", "stock_trades"])

    assert done.facts["rows_total"] == 222
    assert counts(bench) == EMPTY | {"stock_minute": 10}
    assert [row["table"] for row in bench.status()] == ["stock_minute", "lone_days", "stock_sessions"]
    assert faults(bench) == []

    assert fill(bench, vendor) == {"stock_day": 2, "stock_trades": 1}
    assert counts(bench) == FULL
    assert faults(bench) == []
    assert fill(bench, vendor) == {}


def test_a_table_is_emptied_in_one_commit(bench: Workbench) -> None:
    before = bench.lake["stock_day"].snapshot().version
    bench.reset("stock_day")
    assert bench.lake["stock_day"].snapshot().version == before + 1


def test_an_empty_table_is_no_work(bench: Workbench) -> None:
    bench.reset("all")
    versions = {name: bench.lake[name].snapshot().version for name in TABLES}
    again = bench.reset("all")

    assert list(again) == []
    assert "nothing to reset" in again.title
    assert {name: bench.lake[name].snapshot().version for name in TABLES} == versions


def test_a_scope_is_tables_a_platform_or_all() -> None:
    assert reset.scope("stock_day") == ["stock_day"]
    assert reset.scope(["stock_day", "stock_day", "stock_minute"]) == ["stock_day", "stock_minute"]
    assert set(reset.scope("shrek")) == {"stock_day", "splits", "fundamentals"}
    assert set(reset.scope("tetra")) == {"stock_day", "stock_minute", "ohlcv_archive", "economic_series", "news_items", "calendar_events"}
    assert reset.scope("news") == ["news_items"]
    assert set(reset.scope(["kdb"])) == {"stock_trades", "stock_quotes", "tickers"}
    assert set(TABLES) <= set(reset.scope("all"))
    with pytest.raises(UnknownName, match="did you mean stock_day"):
        reset.scope(["stock_dya"])
    with pytest.raises(UsageError, match="nothing to reset was named"):
        reset.scope([])
    with pytest.raises(UsageError, match="no market data feeds kraken_bot"):
        reset.scope(["stock_day", "kraken_bot"])


def test_a_reset_of_all_empties_all(bench: Workbench) -> None:
    bench.reset("all")
    assert counts(bench) == EMPTY


def test_the_log_tells_of_it_and_stays(bench: Workbench) -> None:
    done = bench.reset("stock_minute")

    rows = bench.sql(
        "SELECT sync_type, status, rows, run_id FROM data_sync_log WHERE dataset = 'stock_minute' ORDER BY started_at"
    ).fetchall()
    assert ("refresh", "success", 10) in [row[:3] for row in rows]
    assert ("reset", "success", 10, done.facts["reset"]) in rows
    [(why,)] = bench.sql(
        "SELECT reason FROM data_sync_log WHERE dataset = 'stock_minute' AND sync_type = 'refresh' AND object_key IS NOT NULL AND rows = 10"
    ).fetchall()
    assert why == "reset since"


def test_a_reader_with_a_pin_sees_what_was(bench: Workbench) -> None:
    with bench.pin():
        workbench.open(bench.lake.root).reset("all")
        assert counts(bench) == FULL
    assert counts(bench) == EMPTY


def test_as_of_reaches_back_before_it(bench: Workbench) -> None:
    at = bench.lake["stock_trades"].commits()[-1].at
    at = max(at, *(bench.lake[name].commits()[-1].at for name in TABLES))
    time.sleep(0.005)
    bench.reset("all")
    assert counts(workbench.open(bench.lake.root, as_of=at)) == FULL


def test_while_a_table_is_refreshed_or_compacted_nothing_is_reset(bench: Workbench) -> None:
    with locks.refreshing(bench.lake.root, ["stock_minute"], "workbench refresh"), pytest.raises(Busy, match="workbench refresh"):
        bench.reset("all")
    with alone(bench.lake["stock_trades"]), pytest.raises(Busy, match="stock_trades is being compacted"):
        bench.reset("all")
    assert counts(bench) == FULL


# ---------------------------------------------------------------------- undo


def test_undone_everything_is_as_it_was(bench: Workbench, vendor: Path) -> None:
    rows = {name: bench.sql(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES}
    status, landings = bench.status().rows, {name: bench.lake[name].landings() for name in TABLES}
    bench.reset("all")
    back = bench.undo_reset()

    assert {row["table"]: row["rows"] for row in back} == FULL | {"lone_days": 200, "stock_sessions": 1}
    assert {name: bench.sql(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES} == rows
    assert bench.status().rows == status
    assert {name: bench.lake[name].landings() for name in TABLES} == landings
    assert faults(bench) == []
    assert fill(bench, vendor) == {}
    # A bench that opens now reads the same from the log.
    assert Workbench(bench.settings).status().rows == status
    assert {one.sync_type for one in Journal(bench.lake.root).attempts("stock_day") if one.sync_type != "refresh"} == {
        "reset",
        "reset undone",
    }


def test_cold_files_come_back_as_well(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    fill(bench, vendor)
    bench.compact(["stock_day", "stock_minute"], everything=True)
    assert any(file.bucket for file in bench.lake["stock_day"].snapshot().files)
    before = counts(bench)
    bench.reset("all")
    assert counts(bench) == EMPTY
    assert faults(bench) == []
    bench.undo_reset()
    assert counts(bench) == before
    assert faults(bench) == []
    bench.reset("all")
    assert fill(bench, vendor) == {"stock_day": 3, "stock_minute": 1, "stock_trades": 1}
    assert counts(bench) == before
    assert faults(bench) == []


def test_what_was_replaced_before_a_reset_does_not_come_back(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=11)]))
    fill(bench, vendor)
    bench.reset("stock_day")
    bench.undo_reset()
    assert bench.sql(f"SELECT close FROM stock_day WHERE date = '{FRI}'").fetchall() == [(11.0,)]
    # And published again, it takes the place of what came back.
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI, close=10.25)]))
    assert fill(bench, vendor) == {"stock_day": 1}
    assert bench.sql(f"SELECT close FROM stock_day WHERE date = '{FRI}'").fetchall() == [(10.25,)]
    assert faults(bench) == []


def test_other_sessions_that_landed_since_stay(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    bench.reset("stock_day")
    other = tmp_path / "other"
    put(other, STOCK_DAY, MON, text([bar("AAA", MON)]))
    fill(bench, other)
    bench.undo_reset()

    assert counts(bench) == FULL | {"stock_day": 203}
    assert faults(bench) == []


def test_sessions_that_landed_again_are_not_doubled(bench: Workbench, vendor: Path) -> None:
    bench.reset(["stock_day", "stock_minute"])
    fill(bench, vendor, "stock_day")
    before = counts(bench)

    with pytest.raises(LakeError, match=rf"nothing was changed. stock_day: 2 of .* landed again since \({THU}, {FRI}\)"):
        bench.undo_reset()
    assert counts(bench) == before
    assert [bool(row["reason"]) for row in bench.undo_reset(dry_run=True)] == [True, False]
    # The other table alone can be had back.
    bench.undo_reset(["stock_minute"])
    assert counts(bench) == FULL
    assert faults(bench) == []


def test_what_landed_since_can_be_given_up_for_what_was_there_before(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    """A refresh that began with a reset and went no further than the first session."""
    first, part = bench.reset("stock_day").facts["reset"], tmp_path / "part"
    put(part, STOCK_DAY, THU, text([bar("AAA", close=11)]))
    fill(bench, part)
    with pytest.raises(LakeError, match=f"`workbench reset stock_day`, then `workbench reset --undo {first} stock_day`"):
        bench.undo_reset()
    time.sleep(0.002)
    bench.reset("stock_day")
    bench.undo_reset(["stock_day"], id=first)

    assert counts(bench) == FULL
    assert faults(bench) == []
    # What the vendor has is not what stands there since: it is published again, once.
    assert fill(bench, part) == {"stock_day": 1}
    assert fill(bench, vendor) == {"stock_day": 1}
    assert counts(bench) == FULL
    assert faults(bench) == []
    with pytest.raises(UsageError, match="the reset 00000000 is not to be found"):
        bench.undo_reset(id="00000000")


def test_what_landed_again_and_left_by_retention_does_not_come_back_beside_its_record(bench: Workbench, vendor: Path) -> None:
    bench.reset(["stock_minute"])
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 4)))
    fill(bench, vendor, "stock_minute")
    for one in retention.plan(bench.lake, {"stock_minute": Retention(Age(21, "month"), "drop", "none")}, date(2026, 3, 2)):
        assert retention.retire(bench.lake, one).outcome == "dropped"
    with pytest.raises(LakeError, match=rf"nothing was changed. stock_minute: 1 of .* landed again and left the table since \({THU}\)"):
        reset.undo(bench.lake, ["stock_minute"])
    assert (counts(bench)["stock_minute"], faults(bench)) == (0, [])


def test_after_a_vacuum_it_cannot_be_undone_and_says_so(bench: Workbench) -> None:
    bench.reset("all")
    vacuum(bench.lake, timedelta(0), dry_run=False)

    with pytest.raises(LakeError, match=r"nothing was changed. .*files were removed by vacuum since; `workbench refresh"):
        bench.undo_reset()
    assert counts(bench) == EMPTY
    assert faults(bench) == []


def test_after_undoing_vacuum_takes_nothing_of_it(bench: Workbench) -> None:
    bench.reset("all")
    bench.undo_reset()
    vacuum(bench.lake, timedelta(0), dry_run=False, orphans=timedelta(0))
    assert counts(bench) == FULL


def test_only_the_newest_is_undone_and_only_once(bench: Workbench, vendor: Path) -> None:
    with pytest.raises(UsageError, match="not to be found"):
        bench.undo_reset()
    bench.reset("stock_minute")
    time.sleep(0.002)
    bench.reset("stock_day")
    bench.undo_reset()
    assert counts(bench) == FULL | {"stock_minute": 0}
    with pytest.raises(UsageError, match=r"was undone before; nothing was done\. `workbench reset --undo \w+` undoes that of"):
        bench.undo_reset()
    bench.undo_reset(["stock_minute"])
    assert counts(bench) == FULL


def test_it_can_be_done_and_undone_many_times(bench: Workbench) -> None:
    for _ in range(3):
        bench.reset("all")
        assert counts(bench) == EMPTY
        bench.undo_reset()
        assert counts(bench) == FULL
    assert faults(bench) == []


# ---------------------------------------------------------------------- crashes


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(monkeypatch: pytest.MonkeyPatch, nth: int, *, after: bool) -> None:
    """End the process before or after the nth commit of a reset."""
    real, calls = LakeTable.edit, []

    def edit(self: LakeTable, decide: object) -> object:
        calls.append(self)
        if len(calls) == nth and not after:
            raise Killed
        made = real(self, decide)  # type: ignore[arg-type]
        if len(calls) == nth:
            raise Killed
        return made

    monkeypatch.setattr(LakeTable, "edit", edit)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_killed_between_tables_a_reset_goes_on_and_is_undone_as_one(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool
) -> None:
    with monkeypatch.context() as patched:
        killed_at(patched, nth, after=after)
        with pytest.raises(Killed):
            bench.reset("all")
    assert faults(bench) == []
    bench = Workbench(bench.settings)
    bench.reset("all")
    assert counts(bench) == EMPTY
    bench.undo_reset()
    assert counts(bench) == FULL
    assert faults(bench) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_killed_in_the_middle_undoing_goes_on(bench: Workbench, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool) -> None:
    bench.reset("all")
    with monkeypatch.context() as patched:
        killed_at(patched, nth, after=after)
        with pytest.raises(Killed):
            bench.undo_reset()
    assert faults(bench) == []
    bench = Workbench(bench.settings)
    if (nth, after) == (5, True):
        with pytest.raises(UsageError, match="was undone before"):
            bench.undo_reset()
    else:
        bench.undo_reset()
    assert counts(bench) == FULL
    assert faults(bench) == []


def test_a_reset_that_was_cut_short_can_be_undone_as_it_is(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        killed_at(patched, 2, after=True)
        with pytest.raises(Killed):
            bench.reset("all")
    bench.undo_reset()
    assert counts(bench) == FULL


def test_a_landing_beside_it_is_decided_over_anew(bench: Workbench, vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer commits between the look and the commit: what it landed goes too."""
    real, other = LakeTable._write, tmp_path / "other"
    put(other, STOCK_DAY, MON, text([bar("AAA", MON)]))
    late = [True]

    def write(self: LakeTable, *args: object, **more: object) -> bool:
        if self.table.name == "stock_day" and late:
            late.clear()
            fill(Workbench(bench.settings), other)
        return real(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LakeTable, "_write", write)
    reset.reset(bench.lake, ["stock_day"])

    assert counts(bench)["stock_day"] == 0
    assert faults(bench) == []


def test_a_journal_that_cannot_be_written_does_not_stop_it(bench: Workbench) -> None:
    Journal(bench.lake.root).path.unlink()
    Journal(bench.lake.root).path.mkdir(parents=True)
    done = bench.reset("stock_day")
    assert counts(bench)["stock_day"] == 0
    assert any("not recorded" in line for line in done.facts["notes"])


# ---------------------------------------------------------------------- the archive


def test_the_archive_goes_only_with_what_was_archived(bench: Workbench, vendor: Path) -> None:
    [one] = retention.plan(bench.lake, {"stock_minute": Retention(Age(1, "month"), "archive")})
    assert retention.retire(bench.lake, one).outcome == "archived"
    archived = bench.lake["ohlcv_archive"].snapshot().rows
    assert archived == 10

    # Without the archive, what is archived is neither missing nor fetched again.
    bench.reset("stock_minute")
    assert bench.lake["ohlcv_archive"].snapshot().rows == archived
    assert fill(bench, vendor, "stock_minute") == {}
    with pytest.raises(UsageError, match="archived of stock_minute; nothing was reset"):
        bench.reset("ohlcv_archive")
    # With it, it is.
    bench.reset("all")
    assert bench.lake["ohlcv_archive"].snapshot().rows == 0
    bench.undo_reset()
    assert bench.lake["ohlcv_archive"].snapshot().rows == archived
    assert fill(bench, vendor, "stock_minute") == {}
    bench.reset("all")
    assert fill(bench, vendor, "stock_minute") == {"stock_minute": 1}
    with pytest.raises(LakeError, match="stand twice"):
        bench.undo_reset(["stock_minute"])
    assert faults(bench) == []


def test_reference_data_comes_again_with_the_same_bytes(bench: Workbench) -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    told = Gathered("ticker_changes", "x", [{"asset": "stocks", "ticker": "AAA", "first_date": "2024-03-07"}], 1)
    for _ in range(2):
        reference.update(bench.lake, told, "folder", now=now)
        assert len(bench.sql("FROM ticker_changes").fetchall()) == 1
        bench.reset("ticker_changes")
        assert bench.sql("FROM ticker_changes").fetchall() == []
    bench.undo_reset()
    assert len(bench.sql("FROM ticker_changes").fetchall()) == 1
    assert faults(bench) == []
