"""data_sync_log: every landing and every attempt, a row each, as the session sees the lake."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.journal import Attempt, Journal
from workbench.lake.landings import Commit, Landing, Retired
from workbench.query.synclog import COLUMNS, of_landing

FAILED = Attempt("run-1", "refresh", "stock_day", "polygon_s3", "failed", session=FRI, reason="NotEntitled: the plan does not cover it")
TYPES = {"string": "VARCHAR", "int64": "BIGINT", "date32": "DATE", "instant": "TIMESTAMP WITH TIME ZONE"}
LANDING = Landing(
    "a/b.csv.gz", "e", 10, "s", "stock_day", THU, "polygon_s3", 1, 5, 5, 0, {}, ("f",), "0.1.0", "2026-01-05T06:00:02.000+00:00"
)


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "vendor"


def landing(home: Path) -> None:
    folder = home / "vendor"
    put(folder, STOCK_DAY, THU, text([bar("AAA"), bar("BBB", volume="x"), *(bar(f"T{n:03}") for n in range(200))]))
    put(folder, STOCK_MINUTE, THU, text(minutes("AAA", THU, 10)))
    fill(Workbench(Settings.load(env={}, data=str(home / "lake"))), folder)


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Iterator[Workbench]:
    made_once(landing, tmp_path)
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as bench:
        yield bench


def fill(bench: Workbench, vendor: Path) -> None:
    bench.refresh(source=f"folder:{vendor}").run()


def landed(bench: Workbench, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of what landed: attempts that a refresh recorded besides have no version of an object behind them."""
    names = {landing_id(bench, name, one) for name in ("stock_day", "stock_minute") for one in every(bench, name)}
    return bench.sql(
        f"SELECT {columns} FROM data_sync_log WHERE id IN (SELECT unnest($names)) ORDER BY dataset, started_at", names=sorted(names)
    ).fetchall()


def every(bench: Workbench, name: str) -> list[Landing]:
    return [one for commit in bench.lake[name].commits() for one in commit.landings]


def landing_id(bench: Workbench, name: str, one: Landing) -> str:
    return str(of_landing(one, one)[0])


def count(bench: Workbench, where: str = "true") -> int:
    [(n,)] = bench.sql(f"SELECT count(*) FROM data_sync_log WHERE {where}").fetchall()
    return int(n)


@pytest.mark.parametrize("name", ["data_sync_log", "shrek.data_sync_log"])
def test_it_has_the_documented_columns_and_is_documented_itself(bench: Workbench, name: str) -> None:
    rows = bench.sql(f"DESCRIBE {name}").fetchall()
    assert [(row[0], row[1]) for row in rows] == [(column, TYPES[kind]) for column, kind in COLUMNS.items()]
    comments = bench.sql("SELECT comment FROM duckdb_views() WHERE view_name = 'data_sync_log'").fetchall()
    assert len(comments) == 2
    assert all(comments)


def test_an_empty_lake_has_an_empty_log(tmp_path: Path) -> None:
    with Workbench(Settings.load(env={}, data=str(tmp_path / "none"))) as bench:
        assert bench.sql("FROM data_sync_log").fetchall() == []
        assert bench.sql("FROM shrek.data_sync_log").fetchall() == []
    assert not (tmp_path / "none" / "journal").exists()


def test_what_landed_is_told_by_the_commits(bench: Workbench) -> None:
    day, minute = landed(bench, "dataset, session, source, status, rows, quarantined, bytes, object_key, etag, reason")
    held = bench.lake["stock_day"].landings()[str(day[7])]
    assert day[:6] == ("stock_day", THU, "folder", "success", 201, 1)
    assert day[6:9] == (held.size, held.key, held.etag)
    assert day[9] == "; ".join(f"{n} {why}" for why, n in held.reasons.items()) != ""
    assert minute[:6] == ("stock_minute", THU, "folder", "success", 10, 0)
    assert minute[9] is None


def test_a_version_that_was_replaced_stays_as_its_own_row(bench: Workbench, vendor: Path) -> None:
    before = {row[0] for row in landed(bench, "id")}
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    fill(bench, vendor)

    rows = [row for row in landed(bench, "status, rows, reason, id, dataset") if row[4] == "stock_day"]
    assert [row[:2] for row in rows] == [("superseded", 201), ("success", 1)]
    assert str(rows[0][2]).startswith("version 2, landed at ")
    assert before < {row[0] for row in landed(bench, "id")}, "ids are stable"


def test_what_the_journal_tells_stands_beside_it(bench: Workbench) -> None:
    before = count(bench)
    Journal(bench.lake.root).record([FAILED, replace(FAILED, symbol="AAA"), replace(FAILED, status="started", reason=None)])

    assert count(bench) == before + 3
    rows = bench.sql("SELECT status, symbol, session, reason, finished_at IS NULL FROM data_sync_log WHERE run_id = 'run-1'").fetchall()
    assert sorted(rows, key=str) == sorted(
        [
            ("failed", None, FRI, FAILED.reason, False),
            ("failed", "AAA", FRI, FAILED.reason, False),
            ("started", None, FRI, None, True),
        ],
        key=str,
    )


def test_it_is_seen_by_every_way_to_ask(bench: Workbench) -> None:
    count(bench)
    Journal(bench.lake.root).record([FAILED])
    asked = "SELECT count(*) FROM {} WHERE run_id = 'run-1'"
    for name in ("data_sync_log", "main.data_sync_log", "shrek.data_sync_log", "SHREK.Data_Sync_Log"):
        assert bench.con.execute(asked.format(name)).fetchall() == [(1,)]
        assert bench.sql(asked.format(name)).fetchall() == [(1,)]
    bench.sql("CREATE TEMP VIEW mine AS SELECT * FROM data_sync_log")
    Journal(bench.lake.root).record([FAILED])
    assert bench.sql(asked.format("mine")).fetchall() == [(2,)]
    assert bench.sql("SELECT count(*) FROM stock_day JOIN data_sync_log ON date = session WHERE run_id = 'run-1'").fetchall() == [(0,)]
    unread = bench.sql(asked.format("data_sync_log"))
    Journal(bench.lake.root).record([FAILED])
    assert unread.fetchall() == [(3,)]
    assert bench.sql("FROM data_sync_log").pl().columns == list(COLUMNS)


def test_it_is_made_only_when_it_is_asked_for_and_only_when_something_moved(bench: Workbench, vendor: Path) -> None:
    bench.sql("FROM stock_day").fetchall()
    log = bench.catalog._synced
    assert log._made is None
    count(bench)
    made = log._made
    count(bench)
    assert log._made is made
    minute = log._landed["stock_minute"]
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    fill(bench, vendor)
    count(bench)
    assert log._made is not made
    assert log._landed["stock_minute"] is minute


def test_a_pin_holds_landings_and_attempts_still(bench: Workbench, vendor: Path) -> None:
    Journal(bench.lake.root).record([FAILED])
    before = count(bench)
    with bench.pin():
        Journal(bench.lake.root).record([FAILED])
        put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
        fill(Workbench(bench.settings), vendor)
        assert count(bench) == before
        with bench.pin():
            assert count(bench) == before
        assert count(bench) == before
    assert count(bench) >= before + 2


def test_as_of_shows_what_was_recorded_by_then(bench: Workbench, vendor: Path) -> None:
    Journal(bench.lake.root).record([FAILED])
    before, statuses = count(bench), landed(bench, "id, status, reason")
    time.sleep(0.01)
    at = datetime.now(UTC)
    time.sleep(0.01)
    Journal(bench.lake.root).record([FAILED])
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    fill(bench, vendor)
    assert count(bench) > before

    with workbench.open(bench.lake.root, as_of=at) as then:
        assert count(then) == before
        assert count(then, "status = 'superseded'") == 0
        assert set(statuses) <= set(then.sql("SELECT id, status, reason FROM data_sync_log").fetchall())


def test_threads_ask_while_the_lake_and_the_journal_move(bench: Workbench, vendor: Path) -> None:
    before = count(bench, "run_id = 'run-1'")
    assert before == 0

    def ask(_: int) -> int:
        return count(bench, "run_id = 'run-1'")

    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(ask, range(60))
        for n in range(20):
            Journal(bench.lake.root).record([FAILED])
            if n == 10:
                put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
                fill(Workbench(bench.settings), vendor)
        seen = list(asked)
    assert set(seen) <= set(range(21))
    assert count(bench, "run_id = 'run-1'") == 20


def test_a_damaged_journal_hides_no_landing(bench: Workbench) -> None:
    rows = landed(bench, "id")
    journal = Journal(bench.lake.root)
    journal.record([FAILED])
    journal.close()
    bench.close()
    # What stands in the write-ahead log is read from there.
    for ending in ("-wal", "-shm"):
        journal.path.with_name(journal.path.name + ending).unlink(missing_ok=True)
    journal.path.write_bytes(b"garbage" * 1000)
    with Workbench(bench.settings) as fresh:
        assert landed(fresh, "id") == rows
        assert "is damaged" in fresh.sql("SELECT reason FROM data_sync_log WHERE sync_type = 'journal'").fetchall()[0][0]


def test_a_journal_that_cannot_be_read_is_told_of_and_hides_no_landing(bench: Workbench) -> None:
    rows, path = landed(bench, "id"), Journal(bench.lake.root).path
    bench.close()
    path.unlink()
    path.mkdir()
    with bench.pin():
        assert landed(bench, "id") == rows
    [(status, why)] = bench.sql("SELECT status, reason FROM data_sync_log WHERE sync_type = 'journal'").fetchall()
    assert status == "failed"
    assert why.startswith(f"LakeError: {path} cannot be opened")
    # As soon as it can be read, it is.
    path.rmdir()
    Journal(bench.lake.root).record([FAILED])
    assert (count(bench, "sync_type = 'journal'"), count(bench, "run_id = 'run-1'")) == (0, 1)


def test_a_damaged_commit_says_so(bench: Workbench) -> None:
    (bench.lake["stock_day"].folder / "_delta_log" / f"{1:020}.json").write_text("{}")
    with Workbench(bench.settings) as fresh, pytest.raises(Exception, match="is damaged"):
        fresh.sql("FROM data_sync_log").fetchall()


# ---------------------------------------------------------------------- one landing


@pytest.mark.parametrize(
    ("landing", "last", "expected"),
    [
        (LANDING, {}, ("success", None)),
        (LANDING, {"version": 2, "landed_at": "2026-01-06"}, ("superseded", "version 2, landed at 2026-01-06, took its place")),
        (LANDING, {"version": 2, "etag": "other"}, ("superseded", "version 2, landed at 2026-01-05T06:00:02.000+00:00, took its place")),
        (LANDING, {"version": 2}, ("success", None)),
        (LANDING, {"retired": "archived"}, ("success", "archived since")),
        (LANDING, {"retired": "dropped"}, ("success", "dropped by retention since")),
        (LANDING, {"retired": "reset"}, ("success", "reset since")),
        (LANDING, {"retired": "superseded"}, ("superseded", "a better source took their place")),
        (replace(LANDING, rows=0, quarantined=5, reasons={"bad": 5}), {}, ("quarantined", "5 bad")),
        (replace(LANDING, rows=0, superseded=5), {}, ("superseded", "a better source had all of its rows")),
        (replace(LANDING, quarantined=1, reasons={"bad": 1}, notes=("a note",)), {}, ("success", "1 bad; a note")),
    ],
)
def test_what_became_of_a_landing(landing: Landing, last: dict[str, Any], expected: tuple[str, str | None]) -> None:
    row = dict(zip(COLUMNS, of_landing(landing, replace(landing, **last)), strict=True))
    assert (row["status"], row["reason"]) == expected


def test_one_ticker_is_named_and_many_are_not() -> None:
    def symbol(*asked: str) -> object:
        return dict(zip(COLUMNS, of_landing(replace(LANDING, asked=asked), LANDING), strict=True))["symbol"]

    assert (symbol(), symbol("AAA"), symbol("AAA", "BBB")) == (None, "AAA", None)


def test_it_tells_how_long_it_took_and_what_was_fallen_back_from() -> None:
    made = replace(LANDING, began="2026-01-05T06:00:00.500+00:00", run="r", fallback_from="polygon_s3", source="polygon_api")
    row = dict(zip(COLUMNS, of_landing(made, made), strict=True))
    assert (row["duration_ms"], row["run_id"], row["fallback_from"], row["source"]) == (1500, "r", "polygon_s3", "polygon_api")


def test_twenty_thousand_landings_are_told_in_a_moment(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    [held] = bench.lake["stock_minute"].landings().values()
    many = [Commit(datetime.now(UTC), tuple(replace(held, key=f"{n}-{k}") for k in range(64))) for n in range(313)]
    table = bench.lake["stock_minute"]
    monkeypatch.setattr(table, "commits", lambda version=None: many)
    count(bench, "false")
    taken = []
    for _ in range(3):
        bench.catalog._synced._landed.clear()
        bench.catalog._synced._made = None
        began = time.process_time()
        assert count(bench, "dataset = 'stock_minute'") >= 20_032
        taken.append(time.process_time() - began)
    # Of the processor's time, since others may be at work here.
    assert min(taken) < 5
    again = []
    for _ in range(5):
        began = time.process_time()
        count(bench, "dataset = 'stock_minute'")
        again.append(time.process_time() - began)
    assert min(again) < 0.5


def test_retired_in_the_same_commit_that_replaced_it() -> None:
    from workbench.lake.landings import newest

    better = replace(LANDING, key="better", source="polygon_s3")
    weaker = replace(LANDING, key="api:x", source="polygon_api")
    gone = Retired("api:x", 1, date(2024, 3, 7), "", 5, "superseded")
    last = newest([Commit(datetime.now(UTC), (weaker,)), Commit(datetime.now(UTC), (better,), (gone,))])
    assert of_landing(weaker, last["api:x"])[8] == "superseded"
    assert of_landing(better, last["better"])[8] == "success"
