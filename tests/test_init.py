"""What `init` writes for each platform: once, whoever else does the same, and nothing over what is there."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import workbench
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import UnknownName, UsageError
from workbench.tables.platforms import PLATFORMS, RECORDS
from workbench.tables.starts import INDICATORS, STARTS, text_id

AMPYFIN = ("algorithm_holdings", "points_tally", "rank_to_coefficient", "time_delta", "indicators")


def empty(root: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(root)))


def rows(bench: Workbench, tables: tuple[str, ...] = AMPYFIN) -> dict[str, list[tuple[Any, ...]]]:
    return {name: bench.sql(f"SELECT * FROM ampyfin.{name} ORDER BY ALL").fetchall() for name in tables}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_can_be_initialised_twice(tmp_path: Path, platform: str) -> None:
    with empty(tmp_path / "lake") as bench:
        first, second = bench.init(platform), bench.init(platform)
        assert workbench.open(str(tmp_path / "lake")).platform is None
        assert len(first) == len(second) >= 1
        assert sum(row["there"] for row in second) == sum(row["written"] for row in first)
        assert [row["written"] for row in second] == [0] * len(second)
        assert [row["there"] for row in first] == [0] * len(first)
        # What writes nothing says why.
        assert all(row["note"] for row in first if not row["written"])
        counted = {full: bench.sql(f"SELECT count(*) FROM {full}").fetchall()[0][0] for full in {row["table"] for row in first} - {""}}
        assert sum(counted.values()) == sum(row["written"] for row in first)


def test_ampyfins_setup(tmp_path: Path) -> None:
    with empty(tmp_path) as bench:
        report = bench.init("ampyfin", ["RSI_indicator", "mine"])
        assert [(row["initialisation"], row["table"], row["written"]) for row in report] == [
            ("initialize_rank()", "ampyfin.algorithm_holdings", 2),
            ("initialize_rank()", "ampyfin.points_tally", 2),
            ("initialize_rank()", "ampyfin.rank_to_coefficient", 2),
            ("initialize_time_delta()", "ampyfin.time_delta", 1),
            ("initialize_market_setup()", "", 0),
            ("initialize_indicator_setup()", "ampyfin.indicators", 2),
        ]
        columns = "strategy, holdings, amount_cash, total_trades, successful_trades, neutral_trades, failed_trades, portfolio_value"
        assert bench.sql(f"SELECT {columns} FROM ampyfin.algorithm_holdings ORDER BY strategy").fetchall() == [
            ("RSI_indicator", {}, 50_000.0, 0, 0, 0, 0, 50_000.0),
            ("mine", {}, 50_000.0, 0, 0, 0, 0, 50_000.0),
        ]
        assert bench.sql("SELECT strategy, total_points FROM ampyfin.points_tally ORDER BY 1").fetchall() == [
            ("RSI_indicator", 0.0),
            ("mine", 0.0),
        ]
        assert bench.sql("SELECT rank, coefficient FROM ampyfin.rank_to_coefficient ORDER BY 1").fetchall() == [(1, 0.85), (2, 0.85**2)]
        assert bench.sql("SELECT name, value FROM ampyfin.time_delta").fetchall() == [("time_delta", 0.01)]
        assert bench.sql("SELECT indicator, ideal_period FROM ampyfin.indicators ORDER BY 1").fetchall() == [
            ("RSI_indicator", "1mo"),
            ("mine", "1mo"),
        ]
        [(status,)] = bench.sql("SELECT market_status FROM ampyfin.market_status").fetchall()
        assert status in ("open", "closed")
        # What joins later is added to what is there.
        more = {row["table"]: (row["written"], row["there"]) for row in bench.init("ampyfin", ["mine", "third"])}
        assert more["ampyfin.algorithm_holdings"] == (1, 1)
        assert more["ampyfin.rank_to_coefficient"] == (1, 2)
        assert bench.sql("SELECT count(*), count(DISTINCT _id) FROM ampyfin.points_tally").fetchall() == [(3, 3)]


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    with empty(tmp_path) as bench:
        bench.lake.make()
        bench.append("ampyfin.time_delta", [{"name": "time_delta", "value": 0.5}])
        # Under an id of the writer's own.
        bench.append("ampyfin.rank_to_coefficient", [{"rank": 1, "coefficient": 0.1}])
        bench.append("utilities.model_params", [{"model": "strategy", "name": "max_position_size", "value": "5"}])
        before = rows(bench, ("time_delta", "rank_to_coefficient")), bench.sql("SELECT * FROM utilities.model_params").fetchall()
        bench.init("ampyfin", ["one"])
        bench.init("layers")
        assert (rows(bench, ("time_delta", "rank_to_coefficient")), bench.sql("SELECT * FROM utilities.model_params").fetchall()) == before
        bench.init("ampyfin")
        held = dict(bench.sql("SELECT rank, coefficient FROM ampyfin.rank_to_coefficient").fetchall())
        assert held == {1: 0.1} | {rank: 0.85**rank for rank in range(2, len(INDICATORS) + 2)}


def test_rows_that_go_by_another_name_since_are_there(tmp_path: Path) -> None:
    with empty(tmp_path) as bench:
        bench.init("ampyfin", ["one", "two"])
        for table, change in (
            ("algorithm_holdings", {"strategy": "own"}),
            ("rank_to_coefficient", {"rank": 50}),
            ("indicators", {"indicator": "own"}),
        ):
            [(id,)] = bench.sql(f"SELECT _id FROM ampyfin.{table} ORDER BY {next(iter(change))} LIMIT 1").fetchall()
            bench.upsert(f"ampyfin.{table}", [{"_id": id} | change])
        before = rows(bench)
        bench.init("ampyfin", ["two"])
        assert rows(bench) == before
        # Three are named now, for which there is a rank more.
        assert [row["written"] for row in bench.init("ampyfin", ["one", "two"]) if row["written"]] == [1]
        assert {name: found for name, found in rows(bench).items() if name != "rank_to_coefficient"} == {
            name: found for name, found in before.items() if name != "rank_to_coefficient"
        }


def test_a_text_is_one_strategy_not_its_letters(tmp_path: Path) -> None:
    with empty(tmp_path) as bench:
        bench.init("ampyfin", "one")
        assert bench.sql("SELECT strategy FROM ampyfin.algorithm_holdings").fetchall() == [("one",)]


def test_two_at_once_double_nothing(tmp_path: Path) -> None:
    empty(tmp_path).lake.make()

    def init(_: int) -> int:
        with empty(tmp_path) as bench:
            return sum(row["written"] for row in bench.init("ampyfin"))

    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(init, range(4)))
    with empty(tmp_path) as bench:
        held = rows(bench)
    count = len(INDICATORS)
    assert {name: len(found) for name, found in held.items()} == dict.fromkeys(AMPYFIN, count) | {"time_delta": 1}
    assert sorted(written) == [0, 0, 0, 4 * count + 1]


def test_declared_rows_are_rows_of_their_tables() -> None:
    assert STARTS.keys() == PLATFORMS.keys()
    for name, starts in STARTS.items():
        for one in starts:
            assert bool(one.table) != bool(one.note)
            if one.table:
                record = RECORDS[one.table]
                assert record in PLATFORMS[name].records
                assert one.by in (record.key, *record.unique)
    assert INDICATORS["RSI_indicator"] == "1mo"
    assert text_id("paper", "a") == text_id("paper", "a") != text_id("paper", "b")


def test_what_cannot_be_initialised_is_refused(tmp_path: Path) -> None:
    with empty(tmp_path / "lake") as bench:
        with pytest.raises(UnknownName, match="ampyfin"):
            bench.init("ampyfim")
        with pytest.raises(UsageError, match="tetra has no strategies"):
            bench.init("tetra", ["one"])
        with pytest.raises(UsageError, match="not names"):
            bench.init("ampyfin", ["one", ""])
        assert not bench.lake.exists


def test_at_the_prompt(tmp_path: Path) -> None:
    words = ["init", "ampyfin", "--strategies", "RSI_indicator, mine", "--data", str(tmp_path / "lake")]
    first, second = CliRunner().invoke(main, words), CliRunner().invoke(main, [*words, "--json"])

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "9 rows written for ampyfin, 0 were there" in first.stdout
    told = json.loads(second.stdout)
    assert (told["platform"], sum(row["there"] for row in told["rows"])) == ("ampyfin", 9)
    refused = CliRunner().invoke(main, ["init", "nothing", "--data", str(tmp_path / "lake")])
    assert (refused.exit_code, "nearest" in refused.stderr or "platform" in refused.stderr) == (2, True), refused.stderr


def test_fold_at_the_prompt(tmp_path: Path) -> None:
    with empty(tmp_path / "lake") as bench:
        bench.init("layers")
    words = ["fold", "--data", str(tmp_path / "lake")]
    first, second = CliRunner().invoke(main, [*words, "--json"]), CliRunner().invoke(main, words)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert [(row["table"], row["rows"]) for row in json.loads(first.stdout)["rows"]] == [("utilities.model_params", 1)]
    assert "the journal holds nothing to fold" in second.stdout
    with empty(tmp_path / "lake") as bench:
        assert bench.sql("SELECT value FROM utilities.model_params").fetchall() == [("1000",)]
    assert CliRunner().invoke(main, ["fold", "--data", str(tmp_path / "nothing")]).exit_code == 2
