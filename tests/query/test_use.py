"""A platform in use on a bench: what changes, what stays, and that all of it ends with `use(None)`."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner
from flatfiles import FRI, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

import workbench
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import QueryError, UnknownName

ZONE = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("use")
    put(folder / "vendor", STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    put(folder / "vendor", STOCK_MINUTE, THU, text(minutes("AAA", THU, 10)))
    bench = Workbench(Settings.load(env={}, data=str(folder / "lake")))
    bench.refresh(source=f"folder:{folder / 'vendor'}").run()
    bench.close()
    return folder


@pytest.fixture
def bench(root: Path) -> Workbench:
    return workbench.open(Settings.load(env={"WORKBENCH_TIMEZONE": "Asia/Tokyo"}, data=str(root / "lake")))


def zone(bench: Workbench) -> str:
    [(name,)] = bench.sql("SELECT current_setting('TimeZone')").fetchall()
    return str(name)


def test_use_is_chained_told_and_ended(bench: Workbench) -> None:
    assert (bench.platform, zone(bench)) == (None, "Asia/Tokyo")
    assert bench.use("market_data") is bench
    assert (bench.platform, zone(bench)) == ("tetra", "America/New_York")
    assert bench.use("kraken_bot").platform == "kraken_bot"
    assert bench.use(None).platform is None
    assert zone(bench) == "Asia/Tokyo"
    with pytest.raises(UnknownName, match=r"there is no platform 'tetraa'.*did you mean tetra"):
        bench.use("tetra").use("tetraa")
    assert bench.platform == "tetra"


def test_use_before_the_first_query_and_at_the_opening(root: Path) -> None:
    bench = workbench.open(root / "lake", platform="tetra")
    assert (bench.platform, bench.sql("SELECT 5 / 2").fetchall()) == ("tetra", [(2,)])
    with pytest.raises(UnknownName):
        workbench.open(root / "lake", platform="tetraa")


PLAIN = {
    "SELECT first(x) FROM (VALUES (4), (9)) t(x)": [(4,)],
    "SELECT first(x ORDER BY x DESC) FROM (VALUES (4), (9)) t(x)": [(9,)],
    "SELECT generate_series(1, 3)": [([1, 2, 3],)],
    "SELECT 5 / 2": [(2.5,)],
    "SELECT CAST(2.7 AS INTEGER), 'ABC' LIKE 'abc'": [(3, False)],
    "SELECT time_bucket(INTERVAL '1 day', TIMESTAMPTZ '2024-01-05 20:00:00-05')": [
        (datetime(2024, 1, 6, 9, tzinfo=ZoneInfo("Asia/Tokyo")),)
    ],
    "SELECT x FROM (VALUES (1), (NULL)) t(x) ORDER BY x DESC": [(1,), (None,)],
}


@pytest.mark.parametrize("query", PLAIN)
def test_without_a_platform_sql_is_duckdbs_untouched(bench: Workbench, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    run = bench.catalog._run

    def told(text: str, *rest: Any) -> Any:
        seen.append(text)
        return run(text, *rest)

    monkeypatch.setattr(bench.catalog, "_run", told)
    assert bench.sql(query).fetchall() == PLAIN[query]
    bench.use("tetra").use(None)
    assert bench.sql(query).fetchall() == PLAIN[query]
    assert seen == [query, query]


def test_an_open_and_a_query_without_a_platform_do_not_load_sqlglot(root: Path) -> None:
    code = (
        f"import workbench, sys; workbench.open({str(root / 'lake')!r}).sql('FROM stock_day').fetchall(); print('sqlglot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_the_lakes_tables_and_the_workbenchs_own_questions_go_on(bench: Workbench) -> None:
    before = bench.bars("AAA", THU, THU, "1d")
    bench.use("tetra")
    assert bench.bars("AAA", THU, THU, "1d").equals(before)
    assert bench.catalog.ask("SELECT 5 / 2, generate_series(1, 2)").fetchall() == [(2.5, [1, 2])]  # type: ignore[union-attr]
    assert [row["table"] for row in bench.tickers(["AAA"])] == ["stock_day", "stock_minute"]
    query = (
        "SELECT time_bucket('1 day', timestamp) AS day, first(open, timestamp), count(*) FROM stock_minute WHERE ticker = $t GROUP BY day"
    )
    assert bench.sql(query, t="AAA").fetchall() == [(datetime(2024, 3, 7, tzinfo=ZONE), 10.0, 10)]


def test_frames_ctes_and_temporary_tables_keep_their_names(bench: Workbench) -> None:
    weights = pl.DataFrame({"ticker": ["AAA"], "weight": [0.5]})
    signals = pl.DataFrame({"id": [1, 2, 3]})
    bench.use("kraken_bot")
    assert bench.sql("SELECT weight FROM stock_day JOIN weights USING (ticker)").fetchall() == [(0.5,)]
    assert bench.sql("SELECT count(*) FROM signals").fetchall() == [(0,)], "the platform's table goes before a frame"
    bench.con.register("handed", signals)
    assert bench.sql("SELECT count(*) FROM handed").fetchall() == [(3,)]
    bench.sql("CREATE TEMP TABLE signals AS SELECT 7 AS id")
    assert bench.sql("SELECT id FROM signals").fetchall() == [(7,)]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: bench.sql("SELECT count(*) FROM signals").fetchall()).result() == [(0,)], (
            "another thread's cursor lacks it"
        )
    assert len(weights) == 1


def test_a_zone_that_a_user_sets_stays_theirs(bench: Workbench) -> None:
    bench.sql("SET TimeZone = 'Europe/Berlin'")
    bench.use("tetra")
    assert zone(bench) == "Europe/Berlin"
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(zone, bench).result() == "America/New_York"
    bench.use(None)
    assert zone(bench) == "Europe/Berlin"


def test_a_pin_and_a_plan_hold_under_use(bench: Workbench, tmp_path: Path) -> None:
    put(tmp_path / "vendor", STOCK_DAY, THU, text([bar("AAA")]))
    own = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    own.refresh(source=f"folder:{tmp_path / 'vendor'}").run()
    own.use("tetra")
    with own.pin():
        put(tmp_path / "vendor", STOCK_DAY, FRI, text([bar("AAA", FRI)]))
        own.refresh(source=f"folder:{tmp_path / 'vendor'}").run()
        assert own.sql("SELECT count(*) FROM stock_day").fetchall() == [(1,)]
    assert own.sql("SELECT count(*) FROM stock_day").fetchall() == [(2,)]
    [(_, plan)] = own.sql("EXPLAIN SELECT * FROM stock_day WHERE ticker = 'AAA'").fetchall()
    assert "AAA" in plan
    [(_, plan)] = own.sql("EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FROM stock_day").fetchall()
    assert "Total Time" in plan or "total" in plan.lower()


def test_sixteen_threads_ask_a_platform(bench: Workbench) -> None:
    bench.use("tetra")

    def ask(n: int) -> list[tuple[object, ...]]:
        return bench.sql(f"SELECT {n} / 2, first(open, timestamp) FROM stock_minute WHERE ticker = $t", t="AAA").fetchall()

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(64))) == [[(n // 2, 10.0)] for n in range(64)]


def test_errors_are_duckdbs_with_a_hint(bench: Workbench) -> None:
    with pytest.raises(
        QueryError, match=r'trades is kraken_bot.trades or transactional.trades: write the schema, or bench.use\("kraken_bot"\)'
    ) as refused:
        bench.sql("SELECT * FROM trades")
    assert isinstance(refused.value, duckdb.CatalogException)
    bench.use("layers")
    assert bench.sql("SELECT count(*) FROM trades").fetchall() == [(0,)]
    with pytest.raises(QueryError, match="no_such") as refused:
        bench.sql("SELECT no_such FROM trades")
    assert isinstance(refused.value, duckdb.BinderException)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["SELECT 5 / 2 AS half", "--format", "csv"], "half\n2\n"),
        (["SELECT count(*) FROM kraken_bot.signals; SELECT 7 / 2 AS half", "--format", "csv"], "half\n3\n"),
        (["GRANT SELECT ON market_data.ohlcv TO reader", "--format", "csv"], "statement,answer,instead\nGRANT SELECT"),
        (["EXPLAIN SELECT 1"], "physical_plan"),
        (["SET work_mem = '1GB'"], "workbench config"),
        ([r"\dt ohlcv%"], "ohlcv_daily"),
        (["SELECT time_bucket('1 day', max(date)) AS day FROM stock_day", "--format", "json"], "2024-03-07"),
    ],
)  # fmt: skip
def test_the_command_line_takes_a_platforms_query(root: Path, arguments: list[str], printed: str) -> None:
    result = CliRunner().invoke(main, ["sql", "--platform", "tetra", *arguments], env={"WORKBENCH_DATA": str(root / "lake")})
    assert (result.exit_code, printed in result.output) == (0, True), result.output


def test_the_command_line_refuses_an_unknown_platform(root: Path) -> None:
    result = CliRunner().invoke(main, ["sql", "--platform", "tetraa", "SELECT 1"], env={"WORKBENCH_DATA": str(root / "lake")})
    assert result.exit_code != 0
    assert isinstance(result.exception, UnknownName) or "tetra" in result.output
