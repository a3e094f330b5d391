"""Sealed chunks become cold files; whatever is rewritten keeps every row, in one commit or not at all."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock
from flatfiles import STOCK_DAY, STOCK_MINUTE, bar, minutes, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenPromise, Busy
from workbench.lake import cold, tiering
from workbench.lake.store import LakeTable
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.refresh.summary import Summary
from workbench.tables import Table, find

FEBRUARY = sessions.between(STOCK_MINUTE, date(2024, 2, 1), date(2024, 2, 29))
QUARTER = sessions.between(STOCK_MINUTE, date(2024, 1, 2), date(2024, 3, 28))
# In the vendor's order, which is not that of bytes; ranges end between some of them.
TICKERS = ["A", "AA", "AApA", "AAB", "AMZ", "AMZN", "BRK.A", "BRKpA", "NA", "TRUE", "Z", "ZZZZ", "aB"]


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    folder.mkdir()
    return folder


def publish(
    vendor: Path, days: Iterable[date], *, table: Table = STOCK_MINUTE, close: object = 10.5, tickers: Iterable[str] = TICKERS
) -> None:
    """Files of three minutes a ticker, or of one bar a ticker for days."""
    for day in days:
        whole = table is STOCK_DAY
        lines = [bar(t, day, close=close) for t in tickers] if whole else [line for t in tickers for line in minutes(t, day, 3)]
        put(vendor, table, day, text(lines))


def refresh(bench: Workbench, vendor: Path) -> Summary:
    return bench.refresh(source=f"folder:{vendor}").run()


def counts(bench: Workbench, table: str = "stock_minute") -> dict[date, int]:
    return dict(bench.sql(f"SELECT date, count(*) FROM {table} GROUP BY ALL").fetchall())


def frame(bench: Workbench, table: str = "stock_minute") -> pl.DataFrame:
    rows: pl.DataFrame = bench.sql(f"FROM {table} ORDER BY ticker, window_start").pl()
    return rows


def check(table: LakeTable) -> None:
    """Cold files are in order, inside their ranges, and no data file stands there that the log does not know."""
    shot = table.snapshot()
    for file in shot.files:
        rows = pl.read_parquet(table.folder / file.path, hive_partitioning=False)
        assert (len(rows), rows["ticker"].min(), rows["ticker"].max()) == (file.rows, file.low, file.high)
        if file.bucket is not None:
            assert rows.equals(rows.sort("ticker", table.table.time, maintain_order=True))
            assert tiering.inside(file, shot.bounds or ())
    found = {str(path.relative_to(table.folder)) for path in table.folder.glob("chunk=*/bucket=*/*.parquet")}
    assert {file.path for file in shot.files} <= found
    assert not list((table.root / "tmp").glob("cold-*"))


def buckets(table: LakeTable) -> set[str | None]:
    return {file.bucket for file in table.snapshot().files}


# ---------------------------------------------------------------------- whole chunks


def test_a_whole_month_lands_cold_in_one_commit(bench: Workbench, vendor: Path) -> None:
    publish(vendor, FEBRUARY)
    summary = refresh(bench, vendor)

    table = bench.lake["stock_minute"]
    assert (summary.exit_status, sum(one.outcome == "landed" for one in summary.done)) == (0, 20)
    assert None not in buckets(table)
    assert {file.chunk for file in table.snapshot().files} == {"2024-02"} or {file.chunk for file in table.snapshot().files} == {"2024-Q1"}
    assert counts(bench) == dict.fromkeys(FEBRUARY, 3 * len(TICKERS))
    assert len(table.landings()) == 20
    check(table)
    assert len(list(table.folder.glob("chunk=*/bucket=*/*.parquet"))) == len(table.snapshot().files)
    assert refresh(bench, vendor).done == []


def test_a_ticker_between_two_ranges_and_one_after_the_last_are_found(bench: Workbench, vendor: Path) -> None:
    publish(vendor, FEBRUARY)
    refresh(bench, vendor)
    others = ["AB", "AMZM", "AMZNX", "ZZZZZ", "b", "0"]
    publish(vendor, [date(2024, 3, 1)], tickers=[*TICKERS, *others])
    refresh(bench, vendor)
    table = bench.lake["stock_minute"]
    for unit in tiering.due(table, everything=True):
        tiering.compact(table, unit)

    assert None not in buckets(table)
    for ticker in (*TICKERS, *others):
        expected = 3 if ticker in others else 63
        assert bench.sql("SELECT count(*) FROM stock_minute WHERE ticker = $t", t=ticker).fetchall() == [(expected,)], ticker
    assert bench.sql("SELECT count(*) FROM stock_minute WHERE ticker BETWEEN 'A' AND 'AMZ'").fetchall() == [(5 * 63 + 3,)]


def test_a_month_that_lacks_a_session_lands_hot(bench: Workbench, vendor: Path) -> None:
    publish(vendor, [*FEBRUARY[:7], *FEBRUARY[8:]])
    refresh(bench, vendor)

    assert buckets(bench.lake["stock_minute"]) == {None}


def test_a_refused_session_explains_its_absence(bench: Workbench, vendor: Path) -> None:
    publish(vendor, FEBRUARY)
    put(vendor, STOCK_MINUTE, FEBRUARY[5], b"not gzip", raw=True)
    summary = refresh(bench, vendor)

    assert summary.exit_status == 3
    assert None not in buckets(bench.lake["stock_minute"])
    assert FEBRUARY[5] not in counts(bench)


def test_a_session_that_fails_to_come_leaves_the_others_hot(bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.errors import BrokenDownload
    from workbench.sources.folder import Folder

    publish(vendor, FEBRUARY)
    fetch = Folder.fetch

    def failing(self: Folder, file: object, folder: Path) -> object:
        if str(FEBRUARY[9]) in file.key:  # type: ignore[attr-defined]
            raise BrokenDownload("cut off")
        return fetch(self, file, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(Folder, "fetch", failing)
    summary = refresh(bench, vendor)

    assert sorted(one.outcome for one in summary.done) == ["failed", *["landed"] * 19]
    assert buckets(bench.lake["stock_minute"]) == {None}
    assert len(counts(bench)) == 19


def test_a_run_stopped_in_the_middle_of_a_chunk_keeps_what_landed(bench: Workbench, vendor: Path) -> None:
    publish(vendor, FEBRUARY)
    run = bench.refresh(source=f"folder:{vendor}")
    told: list[str] = []

    def stop(step: object) -> None:
        told.append(step.key)  # type: ignore[attr-defined]
        run.stop()

    run.waits = stop
    run.run()

    assert run.stopped
    table = bench.lake["stock_minute"]
    assert 0 < len(table.landings()) < 20
    assert told[0] in table.landings()
    assert buckets(table) == {None}
    check(table)
    refresh(bench, vendor)
    assert len(counts(bench)) == 20


def test_a_disk_that_fills_while_a_chunk_is_written_cold_leaves_it_hot(
    bench: Workbench, vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(vendor, FEBRUARY)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cold, "writer", full)
    with pytest.raises(Exception, match=r"the disk that holds .* is full: stock_minute 2024-.* was not landed and the lake is unchanged"):
        refresh(bench, vendor)

    assert len(bench.lake["stock_minute"].landings()) == 20
    assert buckets(bench.lake["stock_minute"]) == {None}


# ---------------------------------------------------------------------- compaction


@pytest.fixture
def hot(bench: Workbench, vendor: Path) -> LakeTable:
    """Six sessions of February, which is over: hot, for some were never published."""
    publish(vendor, FEBRUARY[::3])
    refresh(bench, vendor)
    return bench.lake["stock_minute"]


@pytest.mark.core
def test_compaction_keeps_every_row_and_says_what_it_did(bench: Workbench, hot: LakeTable) -> None:
    before = frame(bench)
    [unit] = tiering.due(hot)
    size = hot.snapshot().size

    done = tiering.compact(hot, unit)

    assert (done.outcome, done.rows, done.files, done.size) == ("compacted", len(before), 7, size)
    assert (done.new_files, done.new_size) == (len(hot.snapshot().files), hot.snapshot().size)
    assert frame(bench).equals(before)
    assert tiering.due(hot) == []
    check(hot)
    lines = max((hot.folder / "_delta_log").glob("*.json")).read_text().splitlines()
    told = next(json.loads(json.loads(line)["commitInfo"]["rewrite"]) for line in lines if line.startswith('{"commitInfo"'))
    assert (told["rows"], told["removed"], int(told["content"])) == (
        len(before),
        7,
        cold.content(before.select(c.name for c in STOCK_MINUTE.columns)),
    )


def test_a_reader_of_the_old_version_still_reads_it(bench: Workbench, hot: LakeTable) -> None:
    with bench.pin():
        before = counts(bench)
        for unit in tiering.due(hot):
            tiering.compact(hot, unit)
        assert counts(bench) == before
    assert counts(bench) == before


def test_a_month_is_not_sealed_before_its_sessions_are(bench: Workbench, vendor: Path) -> None:
    publish(vendor, FEBRUARY[:-1])
    refresh(bench, vendor)
    table = bench.lake["stock_minute"]

    assert tiering.due(table, date(2024, 3, 20)) == []
    assert [one.chunk for one in tiering.due(table, FEBRUARY[-1] + tiering.PATIENCE)] == ["2024-02"]
    publish(vendor, FEBRUARY)
    refresh(bench, vendor)
    assert not tiering.sealed(table, "2024-02", date(2024, 3, 4))
    assert tiering.sealed(table, "2024-02", date(2024, 3, 6))


def test_months_fold_into_a_quarter_when_they_are_old(bench: Workbench, vendor: Path) -> None:
    publish(vendor, QUARTER[::5])
    refresh(bench, vendor)
    table = bench.lake["stock_minute"]
    before = frame(bench)

    soon = QUARTER[-1] + timedelta(days=60)
    for unit in tiering.due(table, soon):
        tiering.compact(table, unit)
    months = {file.chunk for file in table.snapshot().files}
    for unit in tiering.due(table, soon + timedelta(days=60)):
        tiering.compact(table, unit)

    assert months == {"2024-01", "2024-02", "2024-03"}
    assert {file.chunk for file in table.snapshot().files} == {"2024-Q1"}
    assert frame(bench).equals(before)
    check(table)


def test_a_late_session_is_merged_by_the_next_compaction(bench: Workbench, vendor: Path, hot: LakeTable) -> None:
    [unit] = tiering.due(hot)
    tiering.compact(hot, unit)
    publish(vendor, FEBRUARY[1:2])
    refresh(bench, vendor)
    before = frame(bench)
    [late] = tiering.due(hot)
    done = tiering.compact(hot, late)

    assert (late.reason, done.new_files) == ("late sessions", len(hot.snapshot().files))
    assert None not in buckets(hot)
    assert frame(bench).equals(before)
    check(hot)


def test_day_bars_become_one_file_a_year(bench: Workbench, vendor: Path) -> None:
    days = sessions.between(STOCK_DAY, date(2023, 1, 3), date(2023, 12, 29))
    publish(vendor, days, table=STOCK_DAY)
    refresh(bench, vendor)

    [file] = bench.lake["stock_day"].snapshot().files
    assert (file.chunk, file.bucket, file.rows) == ("2023", "00", len(TICKERS) * len(days))
    assert counts(bench, "stock_day") == dict.fromkeys(days, len(TICKERS))
    check(bench.lake["stock_day"])


YEAR = sessions.between(STOCK_DAY, date(2023, 9, 1), date(2023, 12, 29))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (bar("X", YEAR[40], volume="x"), {"volume is not a DOUBLE": 1}),
        (bar("X", YEAR[40], volume=-1), {"volume below 0": 1}),
        (bar("X", YEAR[40], close="NaN"), None),
        (bar("A", YEAR[40]), {"identical to another row": 1}),
        (bar("A", YEAR[40], close=11), None),
        (bar("X Y", YEAR[40]), {"ticker is no symbol": 1}),
        (bar("X", YEAR[41]), "WrongSession"),
        (bar("A", YEAR[40], at_ns=60_000_000_000), {}),
    ],
    ids=str,
)
def test_files_that_land_together_land_as_each_alone(tmp_path: Path, vendor: Path, line: str | None, reason: object) -> None:
    publish(vendor, YEAR, table=STOCK_DAY)
    if line:
        put(vendor, STOCK_DAY, YEAR[40], text([*(bar(t, YEAR[40]) for t in TICKERS), line]))
    told = []
    for folder, executor in (("together", None), ("alone", ThreadPoolExecutor(1))):
        bench = Workbench(Settings.load(env={}, data=str(tmp_path / folder)))
        summary = bench.refresh(source=f"folder:{vendor}", executor=executor).run()
        records = {
            key: replace(landing, files=(), landed_at="", library="", notes=(), run="", began="")
            for key, landing in bench.lake["stock_day"].landings().items()
        }
        outcomes = sorted((one.outcome, str(one.step.session), one.rows, one.refused) for one in summary.done)
        told.append((frame(bench, "stock_day"), records, outcomes))
        assert buckets(bench.lake["stock_day"]) == {"00"}
        check(bench.lake["stock_day"])

    (rows, records, outcomes), (same_rows, same_records, same_outcomes) = told
    assert rows.equals(same_rows)
    assert records == same_records
    assert outcomes == same_outcomes
    key = STOCK_DAY.key_of(STOCK_DAY.feeds[0], YEAR[40])
    if isinstance(reason, dict):
        assert records[key].reasons == reason
    assert (key in records) == (reason != "WrongSession")


def test_venues_of_a_session_stay_apart(bench: Workbench, vendor: Path) -> None:
    table = find("futures_trades")
    bars = find("futures_session")
    assert table.routed
    lake = bench.lake[bars.name]
    header = bars.headers[0]
    for day in sessions.between(bars, date(2025, 6, 2), date(2025, 6, 6)):
        for n, feed in enumerate(bars.feeds[:2]):
            values = {c.header: "10" for c in bars.vendor} | {
                "ticker": f"{feed.venue}Z5",
                "volume": str(n + 1),
                "session_end_date": str(day),
            }
            values[bars.time] = str(bars.session_ns(day)[0] + 5 * 86_400 * 10**9)
            put(vendor, bars, day, text([",".join(values[name] for name in header)], ",".join(header)), feed=n)
    summary = bench.refresh(source=f"folder:{vendor}", datasets=["futures_session"]).run()
    assert summary.problems == []
    before = bench.sql("FROM futures_session ORDER BY ALL").pl()
    for unit in tiering.due(lake):
        tiering.compact(lake, unit)
    path = put(vendor, bars, day, text([",".join(values[name] for name in header).replace("10,", "11,", 1)], ",".join(header)), feed=1)
    assert path.exists()
    bench.refresh(source=f"folder:{vendor}", datasets=["futures_session"]).run()

    assert None not in buckets(lake)
    after = bench.sql("FROM futures_session ORDER BY ALL").pl()
    assert (len(before), len(after), len(before.join(after, on=before.columns, how="semi", nulls_equal=True))) == (10, 10, 9)


# ---------------------------------------------------------------------- published again, lost


@pytest.fixture
def compacted(bench: Workbench, vendor: Path) -> LakeTable:
    publish(vendor, FEBRUARY)
    refresh(bench, vendor)
    return bench.lake["stock_minute"]


@pytest.mark.core
def test_sessions_published_again_inside_a_cold_chunk_are_replaced_in_one_commit(
    bench: Workbench, vendor: Path, compacted: LakeTable
) -> None:
    before, version = frame(bench), compacted.snapshot().version
    publish(vendor, FEBRUARY[3:5], tickers=["A", "NEW", "Z"])
    summary = refresh(bench, vendor)

    assert [one.outcome for one in summary.done] == ["replaced", "replaced"]
    assert compacted.snapshot().version == version + 1
    old = pl.col("date").is_in(FEBRUARY[3:5])
    after = frame(bench)
    assert after.filter(~old).equals(before.filter(~old))
    assert after.filter(old)["ticker"].unique().sort().to_list() == ["A", "NEW", "Z"]
    assert None not in buckets(compacted)
    check(compacted)
    assert refresh(bench, vendor).done == []


@pytest.mark.on_disk
def test_a_lost_cold_file_is_mended_from_its_whole_chunk(bench: Workbench, vendor: Path, compacted: LakeTable) -> None:
    before = frame(bench)
    (compacted.folder / compacted.snapshot().files[1].path).unlink()
    plan = bench.plan(source=f"folder:{vendor}")
    summary = refresh(bench, vendor)

    assert [step.action for step in plan] == ["mend"] * 20
    assert [one.outcome for one in summary.done] == ["replaced"] * 20
    assert frame(bench).equals(before)
    check(compacted)


@pytest.mark.on_disk
def test_a_lost_cold_file_is_not_mended_by_half(bench: Workbench, vendor: Path, compacted: LakeTable) -> None:
    path = compacted.folder / compacted.snapshot().files[1].path
    kept = path.read_bytes()
    path.unlink()
    (vendor / STOCK_MINUTE.key_of(STOCK_MINUTE.feeds[0], FEBRUARY[2])).unlink()
    version = compacted.snapshot().version
    summary = refresh(bench, vendor)

    assert {one.outcome for one in summary.done} == {"failed"}
    assert f"1 of its sessions did not land again (the first is {FEBRUARY[2]}); nothing was changed" in summary.problems[0]
    assert compacted.snapshot().version == version
    path.write_bytes(kept)
    assert len(counts(bench)) == 20
    check(compacted)


# ---------------------------------------------------------------------- at odds


def test_two_compactions_of_a_table_do_not_meet(hot: LakeTable) -> None:
    [unit] = tiering.due(hot)
    with FileLock(hot.root / "locks" / "compact-stock_minute.lock"), pytest.raises(Busy, match="being compacted by another process"):
        tiering.compact(hot, unit)


@pytest.mark.usefixtures("unlocked")
def test_a_chunk_that_moved_while_it_was_compacted_is_left_for_the_next(
    bench: Workbench, vendor: Path, hot: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    [unit] = tiering.due(hot)
    publish(vendor, FEBRUARY[:1], tickers=["A"])

    def meanwhile(make: Callable[..., cold.Written]) -> Callable[..., cold.Written]:
        def made(*given: object) -> cold.Written:
            if len(hot.landings()) and counts(bench)[FEBRUARY[0]] > 3:
                refresh(bench, vendor)
            return make(*given)

        return made

    monkeypatch.setattr(cold, "make", meanwhile(cold.make))
    done = tiering.compact(hot, unit)

    assert done.outcome == "overtaken"
    assert counts(bench)[FEBRUARY[0]] == 3
    assert {file.path for file in hot.snapshot().files if file.bucket} == set()
    monkeypatch.undo()
    [unit] = tiering.due(hot)
    assert tiering.compact(hot, unit).outcome == "compacted"
    assert counts(bench)[FEBRUARY[0]] == 3


@pytest.mark.on_disk
@pytest.mark.usefixtures("unlocked")
def test_a_cold_chunk_that_is_replaced_and_vacuumed_while_a_session_of_it_is_published_again_waits_for_the_next_refresh(
    bench: Workbench, vendor: Path, hot: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    [unit] = tiering.due(hot)
    tiering.compact(hot, unit)
    publish(vendor, FEBRUARY[:1], tickers=["A"])
    real, removed = cold.make, list[int]()

    def meanwhile(*given: Any) -> cold.Written:
        if not removed:
            removed.append(0)
            refresh(Workbench(bench.settings), vendor)
            removed.extend(len(one.retired) for one in vacuum(bench.lake, timedelta(0), dry_run=False))
        return real(*given)

    monkeypatch.setattr(cold, "make", meanwhile)
    run = refresh(bench, vendor)

    assert sum(removed) > 0
    assert [one.outcome for one in run.done if one.step.table == hot.table.name] == ["overtaken"]
    monkeypatch.undo()
    refresh(bench, vendor)
    assert counts(bench)[FEBRUARY[0]] == 3
    assert verify(bench.lake).faults == []


def test_a_session_compacted_while_it_was_published_again_waits_for_the_next_refresh(
    bench: Workbench, vendor: Path, hot: LakeTable
) -> None:
    publish(vendor, FEBRUARY[:1], tickers=["A"])
    run = bench.refresh(source=f"folder:{vendor}")
    [unit] = tiering.due(hot)
    tiering.compact(hot, unit)
    first, second = run.run(), refresh(bench, vendor)

    # The plan knew of a hot session; by the time of the commit it was cold.
    assert [one.outcome for one in (*first.done, *second.done)] in (["overtaken", "replaced"], ["replaced"])
    assert counts(bench) == dict.fromkeys(FEBRUARY[::3], 3 * len(TICKERS)) | {FEBRUARY[0]: 3}


def test_rows_that_do_not_read_back_are_not_committed(bench: Workbench, hot: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    before = frame(bench)
    [unit] = tiering.due(hot)
    ordered = cold.ordered
    monkeypatch.setattr(cold, "ordered", lambda rows, table: ordered(rows, table).with_columns(close=pl.lit(10.25)))

    with pytest.raises(BrokenPromise, match="rows of other content"):
        tiering.compact(hot, unit)

    assert buckets(hot) == {None}
    assert frame(bench).equals(before)


def test_ranges_that_were_finished_before_a_crash_are_not_made_again(hot: LakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    [unit] = tiering.due(hot)
    prove, made = cold.prove, list[Path]()
    dies = True

    def dying(path: Path, *told: Any) -> None:
        if dies and len(made) == 4:
            raise KeyboardInterrupt
        made.append(path)
        prove(path, *told)

    monkeypatch.setattr(cold, "prove", dying)
    with pytest.raises(KeyboardInterrupt):
        tiering.compact(hot, unit)
    dies = False
    done = tiering.compact(hot, unit)

    assert done.outcome == "compacted"
    assert len(made) == len(set(made)) == done.new_files
    check(hot)
