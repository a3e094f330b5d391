"""When rows were landed, as documented tables tell it that market data feeds."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest
from flatfiles import FRI, MON, THU, bar, put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.query.fed import ORIGIN
from workbench.tables import find


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "data"))) as made:
        made.lake.make()
        yield made


def land(bench: Workbench, folder: Path, day: date, *tickers: str, close: float = 10.5) -> None:
    put(folder, find("stock_day"), day, text([bar(ticker, day, close=close) for ticker in tickers]))
    bench.refresh(f"folder:{folder}", datasets=["stock_day"], start=day, end=day).run()


LANDED = """
    SELECT date, (SELECT created FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31'],
        (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31']
    FROM stock_day ORDER BY date"""


def test_each_session_has_the_time_of_its_own_landing(bench: Workbench, tmp_path: Path) -> None:
    for day in (MON, THU):
        land(bench, tmp_path / "files", day, "AAPL")
    [first, second] = [commit.landings[0] for commit in bench.lake["stock_day"].commits() if commit.landings]
    at = {one.session: datetime.fromisoformat(one.landed_at) for one in (first, second)}
    assert bench.sql(LANDED).fetchall() == [(THU, at[THU], at[THU]), (MON, at[MON], at[MON])]
    assert at[MON] < at[THU]
    # What is not held has no time.
    lists = "SELECT updated[$friday], len(updated) FROM workbench.landed_times WHERE base_table = 'stock_day'"
    assert bench.sql(lists, friday=(FRI - ORIGIN).days + 1).fetchall() == [(None, (MON - ORIGIN).days + 1)]


def test_a_session_that_is_published_again_keeps_when_it_first_came(bench: Workbench, tmp_path: Path) -> None:
    land(bench, tmp_path / "files", THU, "AAPL")
    [(_, created, updated)] = bench.sql(LANDED).fetchall()
    land(bench, tmp_path / "files", THU, "AAPL", close=10.75)
    [(_, still, later)] = bench.sql(LANDED).fetchall()
    assert created == updated == still < later


def test_a_lake_without_rows_tells_of_no_times(bench: Workbench) -> None:
    assert bench.sql("FROM workbench.landed_times").fetchall() == []
    assert bench.sql(LANDED).fetchall() == []


@pytest.mark.skipif(duckdb.__version__ < "2", reason="before 2.0 DuckDB reads the one row of lists all the same")
def test_a_query_that_selects_no_time_does_not_look_any_up(bench: Workbench, tmp_path: Path) -> None:
    land(bench, tmp_path / "files", THU, "AAPL")
    found = LANDED.removesuffix("ORDER BY date")
    plan = bench.sql(f"EXPLAIN SELECT date FROM ({found})").fetchall()[0][1]
    assert "landed_times" not in plan
    assert "landed_times" in bench.sql(f"EXPLAIN {found}").fetchall()[0][1]
