"""Views over a lake: what a reader sees, when it changes, and what a session keeps."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, NoLake, QueryError, UnknownName
from workbench.tables import TABLES


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "vendor"


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Workbench:
    made_once(landing, tmp_path)
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


def landing(home: Path) -> None:
    put(home / "vendor", STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    put(home / "vendor", STOCK_MINUTE, THU, text(minutes("AAA", THU, 10)))
    Workbench(Settings.load(env={}, data=str(home / "lake"))).refresh(source=f"folder:{home / 'vendor'}").run()


def more(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    bench.refresh(source=f"folder:{vendor}").run()


def count(bench: Workbench, table: str = "stock_day") -> int:
    [(n,)] = bench.sql(f"SELECT count(*) FROM {table}").fetchall()
    return int(n)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_is_a_view_of_its_declared_types_with_data_or_without(bench: Workbench, name: str) -> None:
    rows = bench.sql(f"DESCRIBE {name}").fetchall()

    types = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    assert [(row[0], row[1]) for row in rows] == [(c.name, types.get(c.type, c.type)) for c in TABLES[name].columns]


def test_what_is_committed_is_seen_by_the_next_query_of_anybody(bench: Workbench, vendor: Path) -> None:
    other = workbench.open(bench.lake.root)
    assert (count(bench), count(other)) == (2, 2)

    more(bench, vendor)

    assert (count(bench), count(other)) == (3, 3)


def test_an_unread_relation_reads_the_newest_and_a_pin_holds_still(bench: Workbench, vendor: Path) -> None:
    unread = bench.sql("SELECT count(*) FROM stock_day")
    with bench.pin():
        more(bench, vendor)
        assert count(bench) == 2
    assert count(bench) == 3
    assert unread.fetchall() == [(3,)]


def test_values_are_bound_and_never_pasted(bench: Workbench) -> None:
    assert bench.sql("SELECT count(*) FROM stock_day WHERE ticker = $t", t="AAA").fetchall() == [(1,)]
    assert bench.sql("SELECT count(*) FROM stock_day WHERE ticker = $t", t="' OR 1=1 --").fetchall() == [(0,)]


def test_a_result_comes_in_every_form(bench: Workbench) -> None:
    assert bench.sql("FROM stock_day").df()["ticker"].tolist() == ["AAA", "BBB"]
    assert bench.sql("FROM stock_day").pl()["ticker"].to_list() == ["AAA", "BBB"]
    assert bench.sql("FROM stock_day").to_arrow_table()["ticker"].to_pylist() == ["AAA", "BBB"]


def test_a_frame_of_the_caller_is_found_by_its_name(bench: Workbench) -> None:
    mine = pl.DataFrame({"ticker": ["AAA"], "weight": [0.5]})
    assert bench.sql("SELECT weight FROM stock_day JOIN mine USING (ticker)").fetchall() == [(0.5,)]
    assert len(mine) == 1


def test_a_session_keeps_its_settings_tables_and_macros(bench: Workbench, vendor: Path) -> None:
    bench.sql("CREATE TEMP TABLE mine AS SELECT 1 AS x")
    bench.sql("CREATE MACRO twice(x) AS 2 * x")
    bench.sql("SET TimeZone = 'Asia/Tokyo'")
    more(bench, vendor)

    assert bench.sql("SELECT twice(x) FROM mine").fetchall() == [(2,)]
    assert bench.sql("SELECT current_setting('TimeZone')").fetchall() == [("Asia/Tokyo",)]


def test_times_show_in_new_york_in_every_thread(bench: Workbench) -> None:
    def first() -> str:
        [(shown,)] = bench.sql("SELECT min(timestamp)::VARCHAR FROM stock_minute").fetchall()
        return str(shown)

    with ThreadPoolExecutor(1) as pool:
        assert {first(), pool.submit(first).result()} == {"2024-03-07 04:00:00-05"}


@pytest.mark.skipif(not hasattr(duckdb, "ResourceInUseException"), reason="DuckDB before 2.0 ends an open stream instead of refusing")
def test_an_unread_stream_is_set_aside(bench: Workbench) -> None:
    bench.sql("SET TimeZone = 'Asia/Tokyo'")
    stream = bench.sql("SELECT range FROM range(100000)").to_arrow_reader(1000)
    stream.read_next_batch()

    assert count(bench) == 2
    assert stream.read_all().num_rows == 99_000
    assert bench.sql("SELECT current_setting('TimeZone')").fetchall() == [("Asia/Tokyo",)]


def test_sixteen_threads_share_a_bench_while_the_lake_moves(bench: Workbench, vendor: Path) -> None:
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(count(bench))

    with ThreadPoolExecutor(16) as pool:
        readers = [pool.submit(read) for _ in range(16)]
        for n in range(10):
            put(vendor, STOCK_DAY, FRI, text([bar(f"T{k}", FRI) for k in range(n + 1)]))
            bench.refresh(source=f"folder:{vendor}").run()
        stop.set()
        for reader in readers:
            reader.result()

    assert set(seen) <= {2, *range(3, 13)}
    assert count(bench) == 12


def test_threads_that_open_a_bench_together_share_one_session(bench: Workbench) -> None:
    for _ in range(10):
        fresh = workbench.open(bench.lake.root)
        start = threading.Barrier(8)

        def session(fresh: Workbench = fresh, start: threading.Barrier = start) -> int:
            start.wait()
            return id(fresh.catalog)

        with ThreadPoolExecutor(8) as pool:
            assert len({future.result() for future in [pool.submit(session) for _ in range(8)]}) == 1


def test_a_refused_query_is_ours_and_duckdbs(bench: Workbench) -> None:
    with pytest.raises(QueryError, match="stock_dayy") as refused:
        bench.sql("SELECT * FROM stock_dayy")
    assert isinstance(refused.value, duckdb.CatalogException)
    assert count(bench) == 2, "the session goes on"


def test_opening_nothing_says_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(NoLake, match=str(tmp_path / "nothing")) as refused:
        workbench.open(tmp_path / "nothing")
    assert "workbench demo" in str(refused.value)
    assert not (tmp_path / "nothing").exists()


def test_a_reader_who_may_not_write_can_read(bench: Workbench, tmp_path: Path) -> None:
    # Root may write anywhere: what is checked is that reading makes nothing but its registration and its lines in the query log, which may fail.
    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.parent != bench.lake.root / "logs")

    before = files()
    reader = workbench.open(bench.lake.root)
    reader.status()
    reader.coverage("stock_day")
    assert count(reader) == 2
    reader.close()
    assert files() == before


def test_status_and_coverage_tell_what_is_there(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, MON, b"", raw=True)
    bench.refresh(source=f"folder:{vendor}").run()

    day = {row["table"]: row for row in bench.status()}["stock_day"]
    assert (day["rows"], day["sessions"], day["first"], day["last"], day["refused_files"]) == (2, 1, THU, THU, 1)
    assert str(bench.lake.root) in repr(bench.status())
    states = {row["session"]: row["state"] for row in bench.coverage("stock_day", THU, MON)}
    assert states == {THU: "landed", FRI: "missing", MON: "quarantined"}
    assert bench.coverage("stock_day", "2024-03-07", "2024-03-07")[0]["rows"] == 2


def test_wrong_questions_are_answered_with_the_right_ones(bench: Workbench) -> None:
    with pytest.raises(UnknownName, match=r"did you mean stock_day"):
        bench.coverage("stock_dya")
    with pytest.raises(BadRange, match=r"ends .* before it starts"):
        bench.coverage("stock_day", FRI, THU)
    with pytest.raises(BadRange, match=r"not a date"):
        bench.coverage("stock_day", "yesterday")


def test_the_views_work_in_any_duckdb(bench: Workbench) -> None:
    from workbench.query.views import view

    con = duckdb.connect()
    con.execute(view(STOCK_DAY, bench.lake["stock_day"].snapshot(), bench.lake["stock_day"].folder))
    assert con.execute("SELECT count(*) FROM stock_day").fetchall() == [(2,)]
    [(comment,)] = con.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'stock_day'").fetchall()
    assert comment == STOCK_DAY.doc


def test_tickers_are_found_or_named_with_the_nearest(bench: Workbench) -> None:
    found = bench.tickers(["AAA", "aaa", "AAB", "XYZ"])

    assert [(row["ticker"], row["table"], row["rows"]) for row in found] == [("AAA", "stock_day", 1), ("AAA", "stock_minute", 10)]
    assert found.facts["notes"][0] == "aaa has no rows in stock_day or stock_minute; did you mean AAA?"
    assert "did you mean AAA" in found.facts["notes"][1]
    assert found.facts["notes"][2] == "XYZ has no rows in stock_day or stock_minute"
    with pytest.raises(UnknownName):
        bench.tickers(["AAA"], ["stock_dya"])
