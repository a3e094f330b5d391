"""A DuckDB file with views of all tables, as plain DuckDB and SQLAlchemy open it, and so Superset and DBeaver do."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from ledger import Ledger, at, closes, minutes, opened

from workbench.bench import Workbench
from workbench.cli import main
from workbench.errors import UsageError
from workbench.query.documented import every
from workbench.query.outside import write_views
from workbench.tables import TABLES
from workbench.tables.platforms import RECORDS

THU, FRI = date(2024, 1, 4), date(2024, 1, 5)
# What tells of the moment in which it is asked, or of the session that asks.
OF_NOW = {"workbench.lake_health", "workbench.query_log", "analytics.system_performance", "workbench.pg_stat_statements"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """A lake with bars, orders, rows in the journal and rows that were folded."""
    folder = tmp_path_factory.mktemp("outside")
    bench = opened(folder)
    closes(bench, folder, {THU: {"ACME": 10, "NA": 5}, FRI: {"ACME": 11, "NA": 6}})
    minutes(bench, folder, FRI, [("ACME", "09:30", 11, 10, 10.5, 100)])
    ledger = Ledger(bench)
    ledger.trades(ledger.user(), None, ("ACME", "buy", 10, 10, 1, at(THU)), ("ACME", "sell", 4, 11, 1, at(FRI)))
    flag = {"enabled": True, "rollout_percent": 1}
    bench.append("utilities.feature_flags", [{"name": "folded", **flag}, {"name": "changed", **flag}])
    said = {name: value for name, value in RECORDS["kraken_bot.signals"].example.items() if name != "test_mode"}
    bench.append("kraken_bot.signals", [{**said, "symbol": symbol} for symbol in ("BTCUSD", "TESTUSD")])
    bench.fold()
    bench.upsert("utilities.feature_flags", [{"name": "changed", "enabled": False}, {"name": "new", **flag}])
    bench.create_table("derived.mine", {"symbol": "VARCHAR", "value": "DOUBLE"}, key="symbol")
    bench.append("derived.mine", [{"symbol": "NULL", "value": 1.5}])
    return bench


@pytest.fixture(scope="module")
def file(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "lake.duckdb"
    told = write_views(bench.catalog, path)
    assert list(told) == [], "every view can be one there"
    return path


def test_every_table_answers_there_as_here(bench: Workbench, file: Path) -> None:
    filled = 0
    with duckdb.connect(str(file), read_only=True) as con:
        con.execute(f"SET TimeZone = '{bench.settings.timezone}'")
        for full in [*TABLES, *(one.full for one in every().values() if one.kind == "view"), "derived.mine"]:
            if full in OF_NOW:
                con.execute(f"FROM {full} LIMIT 1").fetchall()
                continue
            here, there = bench.sql(f"FROM {full}"), con.sql(f"FROM {full}")
            assert (here.columns, here.types) == (there.columns, there.types), full
            mine = sorted(map(repr, here.fetchall()))
            assert mine == sorted(map(repr, there.fetchall())), full
            filled += bool(mine)
    assert filled > 25


def test_rows_of_the_journal_are_there(file: Path) -> None:
    with duckdb.connect(str(file), read_only=True) as con:
        told = con.execute("SELECT name, enabled FROM utilities.feature_flags ORDER BY name").fetchall()
        assert told == [("changed", False), ("folded", True), ("new", True)]
        assert con.execute("SELECT symbol FROM kraken_bot.prod_signals").fetchall() == [("BTCUSD",)]
        assert con.execute("SELECT * FROM derived.mine").fetchall() == [("NULL", 1.5)]
        assert con.execute("SELECT comment FROM duckdb_views() WHERE schema_name = 'kraken_bot' AND view_name = 'signals'").fetchone() == (
            RECORDS["kraken_bot.signals"].doc,
        )


def test_superset_and_others_see_it_through_sqlalchemy(file: Path) -> None:
    pytest.importorskip("duckdb_engine", reason="duckdb-engine is not installed")
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"duckdb:///{file}", connect_args={"read_only": True})
    seen = sqlalchemy.inspect(engine)
    assert "lake.kraken_bot" in seen.get_schema_names()
    assert {"signals", "trades", "prod_trades"} <= set(seen.get_view_names("kraken_bot"))
    assert [one["name"] for one in seen.get_columns("trades", "kraken_bot")] == list(RECORDS["kraken_bot.trades"].names)
    with engine.connect() as con:
        since = datetime(2024, 1, 1, tzinfo=UTC)
        found = con.execute(
            sqlalchemy.text("SELECT ticker, sum(volume) FROM stock_day WHERE timestamp > :since GROUP BY 1 ORDER BY 1"), {"since": since}
        )
        assert [ticker for ticker, _ in found] == ["ACME", "NA"]
    engine.dispose()


def test_the_command_writes_it_and_replaces_its_own_only(bench: Workbench, tmp_path: Path) -> None:
    root = str(bench.lake.root)
    for _ in range(2):
        done = CliRunner().invoke(main, ["sql", "--save-views", str(tmp_path / "lake.duckdb"), "--data", root, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["views"] > 150
    (tmp_path / "mine.txt").write_text("something of mine")
    done = CliRunner().invoke(main, ["sql", "--save-views", str(tmp_path / "mine.txt"), "--data", root])
    assert (done.exit_code, (tmp_path / "mine.txt").read_text()) == (2, "something of mine")
    with pytest.raises(UsageError, match="is inside the lake; nothing was written"):
        write_views(bench.catalog, bench.lake.root / "lake" / "x.duckdb")
    assert CliRunner().invoke(main, ["sql", "SELECT 1", "--save-views", "x", "--data", root]).exit_code == 2
