"""AmpyFin's day, against runs that are worked out by hand: what is decided, filled, held, scored; and that a run can end anywhere and go on."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from flatfiles import BAR, FRI, MON, STOCK_DAY, THU, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings
from workbench.errors import BadRange, Busy, NoLake, UsageError
from workbench.flows import Decide, Decision, momentum, paper
from workbench.flows.paper import Account, Limit, Position
from workbench.lake.locks import refreshing
from workbench.lake.reference import update
from workbench.sources.reference import Gathered

# Open and close of each ticker, by day.
Market = Mapping[date, Mapping[str, tuple[float, float]]]
MARKET: Market = {
    THU: {"AAA": (100, 100), "BBB": (20, 20)},
    FRI: {"AAA": (100, 110), "BBB": (19, 19)},
    MON: {"AAA": (110, 105), "BBB": (18, 18)},
}
# What each strategy decides, by day and ticker.
PLAN: Mapping[tuple[str, date, str], Decision] = {
    ("alpha", THU, "AAA"): ("Buy", 0.9),
    ("alpha", THU, "BBB"): "Hold",
    ("beta", THU, "AAA"): "Hold",
    ("beta", THU, "BBB"): ("Buy", 0.5),
    ("alpha", FRI, "AAA"): ("sell", 1),
    ("alpha", FRI, "BBB"): "BUY",
    ("beta", FRI, "AAA"): "Buy",
    ("beta", FRI, "BBB"): "Sell",
    ("alpha", MON, "AAA"): "Hold",
    ("alpha", MON, "BBB"): "Hold",
    ("beta", MON, "AAA"): "Hold",
}
TABLES = (
    "algorithm_holdings",
    "points_tally",
    "rank_to_coefficient",
    "time_delta",
    "paper",
    "assets_quantities",
    "portfolio_values",
    "strategy_decisions",
)
NAMES, TICKERS = ("alpha", "beta"), ("AAA", "BBB")


def planned(strategy: str, ticker: str, history: pl.DataFrame) -> Decision:
    return PLAN.get((strategy, history["date"][-1], ticker))


def landed(home: Path, market: Market) -> Workbench:
    """A lake with the day bars of a market."""
    for day, bars in market.items():
        stamp = STOCK_DAY.session_ns(day)[0]
        lines = [f"{t},1000,{o},{c},{max(o, c)},{min(o, c)},{stamp},5" for t, (o, c) in sorted(bars.items())]
        put(home / "files", STOCK_DAY, day, text(lines, BAR))
    bench = Workbench(Settings.load(env={}, data=str(home / "lake"), source=f"folder:{home / 'files'}"))
    bench.refresh().run()
    return bench


def held(bench: Workbench, names: Sequence[str] = TABLES) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables that a flow writes."""
    return {name: bench.sql(f"SELECT * FROM ampyfin.{name} ORDER BY ALL").fetchall() for name in names}


def run(bench: Workbench, decide: Decide | None = planned, **told: Any) -> Any:
    return bench.flow("ampyfin", decide, **{"strategies": NAMES, "symbols": TICKERS, **told})


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Iterator[Workbench]:
    made_once(landing, tmp_path)
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"), source=f"folder:{tmp_path / 'files'}")) as made:
        yield made


def landing(home: Path) -> None:
    landed(home, MARKET).close()


# ---------------------------------------------------------------------- by hand


def test_three_days_of_two_strategies_on_two_tickers(bench: Workbench) -> None:
    report = run(bench)

    closes = [datetime(2024, 3, 7, 21, tzinfo=UTC), datetime(2024, 3, 8, 21, tzinfo=UTC), datetime(2024, 3, 11, 20, tzinfo=UTC)]
    opens = [datetime(2024, 3, 8, 14, 30, tzinfo=UTC), datetime(2024, 3, 11, 13, 30, tzinfo=UTC)]

    def ask(query: str) -> list[tuple[Any, ...]]:
        return bench.sql(query).fetchall()

    # A tenth of 50,000 is 50 shares at 100, 263 at 19; a tenth of 50,500 is 280 at 18.
    assert ask('SELECT "timestamp", symbol, side, quantity, price, status FROM ampyfin.paper ORDER BY ALL') == [
        (opens[0], "AAA", "buy", 50.0, 100.0, "filled"),
        (opens[0], "BBB", "buy", 263.0, 19.0, "filled"),
        (opens[1], "AAA", "buy", 45.0, 110.0, "filled"),
        (opens[1], "AAA", "sell", 50.0, 110.0, "filled"),
        (opens[1], "BBB", "buy", 280.0, 18.0, "filled"),
        (opens[1], "BBB", "sell", 263.0, 18.0, "filled"),
    ]
    columns = (
        "strategy, holdings, amount_cash, total_trades, successful_trades, neutral_trades, failed_trades, portfolio_value, last_updated"
    )
    assert ask(f"SELECT {columns} FROM ampyfin.algorithm_holdings ORDER BY strategy") == [
        ("alpha", {"BBB": 280.0}, 50_500.0 - 5_040, 1, 1, 0, 0, 50_500.0, closes[2]),
        ("beta", {"AAA": 45.0}, 49_737.0 - 4_950, 1, 0, 0, 1, 44_787.0 + 45 * 105, closes[2]),
    ]
    # A profit of a tenth scores 2, a loss above 5 % -2, at the third session's weight.
    assert ask("SELECT strategy, total_points, last_updated FROM ampyfin.points_tally ORDER BY strategy") == [
        ("alpha", 2 * 0.03, closes[2]),
        ("beta", -2 * 0.03, closes[2]),
    ]
    assert ask("SELECT name, value FROM ampyfin.time_delta") == [("time_delta", 0.04)]
    assert ask("SELECT symbol, quantity FROM ampyfin.assets_quantities ORDER BY symbol") == [("AAA", 45.0), ("BBB", 280.0)]
    assert ask('SELECT "timestamp", name, portfolio_value FROM ampyfin.portfolio_values ORDER BY ALL') == [
        (closes[0], "alpha", 50_000.0),
        (closes[0], "beta", 50_000.0),
        (closes[0], "portfolio_percentage", 100_000.0),
        (closes[1], "alpha", 45_000.0 + 50 * 110),
        (closes[1], "beta", 50_000.0),
        (closes[1], "portfolio_percentage", 100_500.0),
        (closes[2], "alpha", 50_500.0),
        (closes[2], "beta", 49_512.0),
        (closes[2], "portfolio_percentage", 100_012.0),
    ]
    assert ask(
        "SELECT id, date, strategy, ticker, signal, confidence, timestamp FROM ampyfin.strategy_decisions WHERE date = '2024-03-08'"
    ) == [
        (5, FRI, "alpha", "AAA", "Sell", 1.0, closes[1]),
        (6, FRI, "alpha", "BBB", "Buy", None, closes[1]),
        (7, FRI, "beta", "AAA", "Buy", None, closes[1]),
        (8, FRI, "beta", "BBB", "Sell", None, closes[1]),
    ]
    assert ask("SELECT count(*) FROM ampyfin.strategy_decisions") == [(11,)]
    assert ask("SELECT rank, strategy, coefficient FROM ampyfin.strategy_ranks ORDER BY rank") == [
        (1, "alpha", 0.85),
        (2, "beta", 0.85**2),
    ]
    assert [(row["rank"], row["strategy"], row["points"], row["coefficient"]) for row in report] == [
        (1, "alpha", 0.06, 0.85),
        (2, "beta", -0.06, 0.85**2),
    ]
    assert (report.facts["sessions"], report.facts["decisions"], report.facts["fills"], report.facts["last"]) == (3, 11, 6, MON)
    # Every fill names its decision.
    joined = "JOIN ampyfin.paper p ON p._id = left(md5('paper ' || d.strategy || ' ' || d.ticker || ' ' || d.date::VARCHAR), 24)"
    assert ask(f"SELECT count(*) FROM ampyfin.strategy_decisions d {joined}") == [(6,)]


def test_a_decision_is_made_of_nothing_later(bench: Workbench) -> None:
    saw: list[tuple[str, str, list[date], list[float]]] = []

    def watching(strategy: str, ticker: str, history: pl.DataFrame) -> Decision:
        saw.append((strategy, ticker, history["date"].to_list(), history["close"].to_list()))
        return "Hold"

    run(bench, watching, start=FRI, strategies=["one"])

    assert saw == [
        ("one", "AAA", [THU, FRI], [100.0, 110.0]),
        ("one", "BBB", [THU, FRI], [20.0, 19.0]),
        ("one", "AAA", [THU, FRI, MON], [100.0, 110.0, 105.0]),
        ("one", "BBB", [THU, FRI, MON], [20.0, 19.0, 18.0]),
    ]


def test_a_split_multiplies_what_is_held_and_the_history_from_its_day_on(tmp_path: Path) -> None:
    market = {THU: {"AAA": (100, 100)}, FRI: {"AAA": (100, 100)}, MON: {"AAA": (50, 51)}, date(2024, 3, 12): {"AAA": (51, 51)}}
    saw = []

    def buys(_strategy: str, _ticker: str, history: pl.DataFrame) -> Decision:
        saw.append((history["close"].to_list(), history["volume"].to_list()))
        return "Buy" if len(history) == 1 else "Sell" if len(history) == 3 else "Hold"

    with landed(tmp_path, market) as bench:
        told = {"ticker": "AAA", "execution_date": MON.isoformat(), "split_from": 1, "split_to": 2}
        update(bench.lake, Gathered("splits", "AAA", [told]), "polygon_api")
        # The session of the split is run on its own, so that what shares cost is read from what was written.
        for day in market:
            run(bench, buys, strategies=["one"], symbols=["AAA"], end=day)
            if day == MON:
                assert bench.sql("SELECT holdings, portfolio_value FROM ampyfin.algorithm_holdings").fetchall() == [
                    ({"AAA": 100.0}, 50_100.0)
                ]
        assert saw[1] == ([100.0, 100.0], [1000.0, 1000.0])
        assert saw[2] == ([50.0, 50.0, 51.0], [2000.0, 2000.0, 1000.0])
        # 50 shares at 100 became 100 at 50, and were sold at 51: by 2 % more than they cost.
        counts = "total_trades, successful_trades, amount_cash"
        assert bench.sql(f"SELECT {counts} FROM ampyfin.algorithm_holdings").fetchall() == [(1, 1, 50_100.0)]
        [(points,)] = bench.sql("SELECT total_points FROM ampyfin.points_tally").fetchall()
        assert points == pytest.approx(0.04)


# ---------------------------------------------------------------------- again, further, killed


def test_running_again_changes_nothing(bench: Workbench) -> None:
    run(bench)
    before = held(bench)
    report = run(bench)

    assert held(bench) == before
    assert report.facts["sessions"] == 0
    assert "nothing to run after 2024-03-11" in report.title
    run(bench, end=FRI)
    assert held(bench) == before


def test_day_by_day_gives_the_same_rows_as_at_once(tmp_path: Path) -> None:
    at_once, by_day = (random_lake(tmp_path / name) for name in ("once", "daily"))
    run(at_once, drawn, strategies=["x", "y", "z"], symbols=["A", "B", "C", "D"])
    for day in [*WEEKS[:5], WEEKS[20], WEEKS[-1]]:
        # What is open and held is read from the tables each time.
        run(Workbench(by_day.settings), drawn, strategies=["x", "y", "z"], symbols=["A", "B", "C", "D"], end=day)

    assert held(at_once) == held(by_day)
    assert at_once.sql("SELECT count(*) > 100 FROM ampyfin.paper").fetchall() == [(True,)]
    [(least, sold)] = at_once.sql("SELECT min(amount_cash), sum(total_trades) FROM ampyfin.algorithm_holdings").fetchall()
    assert least >= 0
    assert sold > 20


KILLED = """
import os, signal, sys
from workbench.bench import Workbench
from workbench.config import Settings
sys.path.insert(0, {tests!r})
from test_flow import NAMES, PLAN, TICKERS, planned
from datetime import date

def decide(strategy, ticker, history):
    if history["date"][-1] == date(2024, 3, 8) and (strategy, ticker) == ("beta", "AAA"):
        os.kill(os.getpid(), signal.SIGKILL)
    return planned(strategy, ticker, history)

Workbench(Settings.load(env={{}}, data={root!r})).flow("ampyfin", decide, strategies=NAMES, symbols=TICKERS)
"""


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    whole, killed = (landed(tmp_path / name, MARKET) for name in ("whole", "killed"))
    run(whole)
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(killed.settings.root))
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert killed.sql("SELECT DISTINCT date FROM ampyfin.strategy_decisions").fetchall() == [(THU,)]
    assert run(killed).facts["sessions"] == 2
    assert held(killed) == held(whole)


@pytest.mark.parametrize("nth", [1, 3, 5, 9])
def test_a_write_that_fails_leaves_the_session_out_whole(
    bench: Workbench, tmp_path: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(bench, end=THU)
    before = held(bench)
    real = Workbench.transaction
    calls: list[str] = []

    def failing(self: Workbench) -> Any:
        return Failing(real(self), calls, nth)

    with monkeypatch.context() as patched:
        patched.setattr(Workbench, "transaction", failing)
        with pytest.raises(OSError, match="the disk is full"):
            run(bench)
    assert held(bench) == before
    run(bench)
    with landed(tmp_path / "other", MARKET) as other:
        run(other)
        assert held(bench) == held(other)


class Failing:
    """A transaction whose `nth` write, or whose end, fails."""

    def __init__(self, real: Any, calls: list[str], nth: int):
        self.real, self.calls, self.nth = real, calls, nth

    def __enter__(self) -> "Failing":
        self.inner = self.real.__enter__()
        return self

    def __exit__(self, *told: Any) -> Any:
        if told[0] is None and self.nth > len(self.calls):
            fault = OSError("the disk is full")
            self.real.__exit__(OSError, fault, None)
            raise fault
        return self.real.__exit__(*told)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self.nth:
                raise OSError("the disk is full")
            return getattr(self.inner, name)(*words, **named)

        return call


# ---------------------------------------------------------------------- opens that do not come, limits, cash

GOOD_FRIDAY_WEEK = [date(2024, 3, 27), date(2024, 3, 28), date(2024, 4, 1)]


def once(day: date, side: str = "Buy") -> Decide:
    """Decides on one day only."""
    return lambda _strategy, _ticker, history: side if history["date"][-1] == day else "Hold"


def fills(bench: Workbench) -> list[tuple[Any, ...]]:
    return bench.sql(
        "SELECT (timestamp AT TIME ZONE 'America/New_York')::DATE, symbol, side, quantity, price, status FROM ampyfin.paper ORDER BY ALL"
    ).fetchall()


def test_over_a_holiday_an_order_is_filled_on_the_next_session(tmp_path: Path) -> None:
    with landed(tmp_path, {day: {"AAA": (100 + n, 100)} for n, day in enumerate(GOOD_FRIDAY_WEEK)}) as bench:
        run(bench, once(GOOD_FRIDAY_WEEK[1]), strategies=["one"], symbols=["AAA"])
        assert fills(bench) == [(GOOD_FRIDAY_WEEK[2], "AAA", "buy", 49.0, 102.0, "filled")]


@pytest.mark.parametrize(("halted", "filled"), [(1, True), (4, True), (5, False)])
def test_a_halted_ticker_is_waited_for_but_not_for_ever(tmp_path: Path, halted: int, filled: bool) -> None:
    days = sessions.between(STOCK_DAY, THU, date(2024, 3, 28))
    market = {day: {"AAA": (10, 10)} | ({} if 0 < n <= halted else {"BBB": (20, 20)}) for n, day in enumerate(days)}
    with landed(tmp_path, market) as bench:
        # On its own, so that an order which is open is found again.
        run(bench, once(THU), strategies=["one"], symbols=TICKERS, end=days[1])
        run(bench, once(THU), strategies=["one"], symbols=TICKERS)
        told = [(FRI, "AAA", "buy", 500.0, 10.0, "filled"), (days[halted + 1], "BBB", "buy", 250.0, 20.0, "filled")]
        assert fills(bench) == told[: 1 + filled]


def test_a_session_without_prices_is_passed_over_and_told(tmp_path: Path) -> None:
    with landed(tmp_path, {THU: MARKET[THU], MON: MARKET[MON]}) as bench:
        report = run(bench, once(THU))
        assert report.facts["notes"] == ["1 sessions have no prices and were passed over: 2024-03-08."]
        assert {day for day, *_ in fills(bench)} == {MON}


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"max_quantity": 60, "max_value": 1e9}, [(10.0, "filled"), (50.0, "filled")]),
        ({"max_quantity": 1e9, "max_value": 5_999}, [(9.0, "filled"), (50.0, "filled")]),
        ({"max_quantity": 50.9, "max_value": 1e9}, [(50.0, "filled"), (50.0, "rejected")]),
        ({"max_quantity": 0, "max_value": 1e9}, [(50.0, "rejected"), (50.0, "rejected")]),
    ],
)
def test_limits_hold_for_all_strategies_together(bench: Workbench, limit: dict[str, float], told: list[tuple[float, str]]) -> None:
    bench.append("ampyfin.assets_limit", [{"symbol": "AAA", **limit}])
    run(bench, once(THU), symbols=["AAA"])
    assert sorted((quantity, status) for *_, quantity, _, status in fills(bench)) == told


def test_cash_is_never_overdrawn(tmp_path: Path) -> None:
    names = [f"T{n:02}" for n in range(12)]
    with landed(tmp_path, {day: dict.fromkeys(names, (30.0, 30.0)) for day in (THU, FRI)}) as bench:
        run(bench, once(THU), strategies=["one"], symbols=names)
        # 166 shares of each are 4,980; ten leave 200, which buys six more; nothing is left for the last.
        told = [(quantity, status) for *_, quantity, _, status in fills(bench)]
        assert told == [(166.0, "filled")] * 10 + [(6.0, "filled"), (166.0, "rejected")]
        assert bench.sql("SELECT amount_cash FROM ampyfin.algorithm_holdings").fetchall() == [(20.0,)]


def test_a_count_that_was_rounded_up_does_not_overdraw() -> None:
    for cash, price in ((0.3, 0.1), (3479.41, 6.73), (212728.8, 46.96), (50_000.0, 0.07)):
        count = paper.affordable(Account("one", cash), price)
        assert count * price <= cash < (count + 2) * price


def test_scores_ranks_and_average_costs() -> None:
    assert [paper.score(one) for one in (0.0, 0.049, 0.05, 0.099, 0.1, 3.0)] == [0, 1, 1.5, 1.5, 2, 2]
    assert [paper.score(one) for one in (-0.024, -0.025, -0.049, -0.05, -0.9)] == [-1, -1.5, -1.5, -2, -2]
    account = Account("one", 10_000.0)
    account.buy("A", 10, 100.0)
    account.buy("A", 30, 120.0)
    assert account.positions["A"] == Position(40, 115.0)
    assert account.sell("A", 115.0, 1.0) == 40
    assert (account.total, account.neutral, account.points, account.cash) == (1, 1, 0.0, 10_000.0)
    tied = [Account("b", 1, points=1), Account("a", 1, points=1), Account("c", 1, points=1, value=5), Account("d", 1, points=2)]
    assert [one.strategy for one in paper.ranked(tied)] == ["d", "c", "a", "b"]
    assert Limit().room(3, 10) == float("inf")


# ---------------------------------------------------------------------- what is there already


def test_decisions_that_stand_there_are_taken(bench: Workbench) -> None:
    at = datetime(2024, 3, 7, 22, tzinfo=UTC)
    row = {"ticker": "AAA", "strategy": "alpha", "date": THU, "signal": "Buy", "timestamp": at}
    bench.append("ampyfin.strategy_decisions", [row])
    assert "workbench.flows:momentum" not in "".join(run(bench, None).facts["notes"])
    assert fills(bench) == [(FRI, "AAA", "buy", 50.0, 100.0, "filled")]
    assert bench.sql("SELECT count(*) FROM ampyfin.strategy_decisions").fetchall() == [(1,)]


def test_what_init_wrote_is_gone_on_from(bench: Workbench) -> None:
    bench.init("ampyfin", ["alpha", "beta"])
    begun = bench.sql("SELECT strategy, _id, initialized_date FROM ampyfin.algorithm_holdings ORDER BY strategy").fetchall()
    bench.upsert("ampyfin.algorithm_holdings", [{"_id": begun[0][1], "amount_cash": 1_000.0, "portfolio_value": 1_000.0}])
    bench.upsert("ampyfin.rank_to_coefficient", [{"_id": bench.sql("SELECT _id FROM ampyfin.rank_to_coefficient WHERE rank = 1").fetchall()[0][0], "coefficient": 0.5}])  # fmt: skip
    bench.flow("ampyfin", planned, symbols=TICKERS, end=FRI)

    assert bench.sql("SELECT strategy, _id, initialized_date FROM ampyfin.algorithm_holdings ORDER BY strategy").fetchall() == begun
    assert (FRI, "AAA", "buy", 1.0, 100.0, "filled") in fills(bench)
    assert bench.sql("SELECT rank, coefficient FROM ampyfin.rank_to_coefficient ORDER BY rank").fetchall() == [(1, 0.5), (2, 0.85**2)]


def test_shares_that_came_from_elsewhere_are_sold_without_profit_or_loss(bench: Workbench) -> None:
    bench.init("ampyfin", ["alpha"])
    [(id,)] = bench.sql("SELECT _id FROM ampyfin.algorithm_holdings").fetchall()
    bench.upsert("ampyfin.algorithm_holdings", [{"_id": id, "holdings": {"BBB": 7.0}}])
    bench.flow("ampyfin", once(FRI, "Sell"), symbols=["BBB"], end=FRI)
    bench.flow("ampyfin", once(FRI, "Sell"), symbols=["BBB"])
    counts = "holdings, amount_cash, total_trades, neutral_trades"
    assert bench.sql(f"SELECT {counts} FROM ampyfin.algorithm_holdings").fetchall() == [({}, 50_000.0 + 7 * 18, 1, 1)]


def test_shares_of_which_only_some_were_bought_here_have_no_cost(bench: Workbench) -> None:
    bench.init("ampyfin", ["alpha"])
    [(id,)] = bench.sql("SELECT _id FROM ampyfin.algorithm_holdings").fetchall()
    bench.upsert("ampyfin.algorithm_holdings", [{"_id": id, "holdings": {"BBB": 7.0}}])
    for day in MARKET:
        bench.flow("ampyfin", lambda _s, _t, history: "Buy" if len(history) == 1 else "Sell", symbols=["BBB"], end=day)
    # A tenth of 50,140 is 263.9 shares at 19, of which 7 were there.
    assert [one[:4] for one in fills(bench)] == [(FRI, "BBB", "buy", 256.0), (MON, "BBB", "sell", 263.0)]
    assert bench.sql("SELECT neutral_trades, failed_trades FROM ampyfin.algorithm_holdings").fetchall() == [(1, 0)]
    assert bench.sql("FROM ampyfin.assets_quantities").fetchall() == []


def test_what_a_sale_brings_pays_for_a_purchase_at_the_same_open(bench: Workbench) -> None:
    bench.init("ampyfin", ["alpha"])
    [(id,)] = bench.sql("SELECT _id FROM ampyfin.algorithm_holdings").fetchall()
    bench.upsert("ampyfin.algorithm_holdings", [{"_id": id, "holdings": {"BBB": 2_500.0}, "amount_cash": 0.0}])
    bench.flow("ampyfin", lambda _s, ticker, _h: "Buy" if ticker == "AAA" else "Sell", symbols=TICKERS, end=FRI)
    assert [one[1:] for one in fills(bench)] == [("AAA", "buy", 50.0, 100.0, "filled"), ("BBB", "sell", 2_500.0, 19.0, "filled")]


def test_what_is_held_is_bought_up_to_its_share(bench: Workbench) -> None:
    run(bench, lambda *_: "Buy", strategies=["one"])
    # 50 of AAA at 110 are more than a tenth by then; a tenth of 50,500 is 280 of BBB at 18.
    assert [one[:4] for one in fills(bench)] == [(FRI, "AAA", "buy", 50.0), (FRI, "BBB", "buy", 263.0), (MON, "BBB", "buy", 17.0)]


def test_a_text_is_one_name_not_its_letters(bench: Workbench) -> None:
    assert run(bench, strategies="alpha", symbols="AAA").facts["tickers"] == 1
    assert bench.sql("SELECT strategy FROM ampyfin.algorithm_holdings").fetchall() == [("alpha",)]


def test_a_strategy_may_join_later(bench: Workbench) -> None:
    run(bench, strategies=["alpha"], end=THU)
    run(bench)
    told = bench.sql(
        "SELECT strategy, (initialized_date AT TIME ZONE 'America/New_York')::DATE FROM ampyfin.points_tally ORDER BY 1"
    ).fetchall()
    assert told == [("alpha", THU), ("beta", FRI)]
    assert bench.sql("SELECT rank FROM ampyfin.rank_to_coefficient ORDER BY 1").fetchall() == [(1,), (2,)]


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("told", ["Maybe", 1, ("Buy", float("nan")), ("Buy", "sure"), ("Buy", 1, 2), (None, 1)], ids=lambda told: str(told))
def test_what_is_no_decision_is_named(bench: Workbench, told: Any) -> None:
    with pytest.raises(
        UsageError, match=r"the decision of alpha on AAA for 2024-03-08 is .*, which is none; sessions up to 2024-03-07 are kept"
    ):
        run(bench, lambda s, t, h: told if len(h) == 2 else planned(s, t, h))
    assert bench.sql("SELECT max(date) FROM ampyfin.strategy_decisions").fetchall() == [(THU,)]


def test_a_function_that_fails_is_named(bench: Workbench) -> None:
    def failing(_strategy: str, _ticker: str, history: pl.DataFrame) -> Decision:
        return ["Buy"][len(history)]

    with pytest.raises(
        UsageError, match=r"of alpha on AAA for 2024-03-07 failed \(IndexError: list index out of range\); nothing was written"
    ):
        run(bench, failing)
    assert all(not rows for rows in held(bench).values())


def test_what_cannot_be_run_is_refused(bench: Workbench, tmp_path: Path) -> None:
    for told, match in (
        ({"strategies": []}, "not names of strategies"),
        ({"strategies": [" "]}, "not names of strategies"),
        ({"strategies": None}, "workbench init ampyfin"),
        ({"symbols": ["NONE"]}, "no prices of NONE"),
        ({"symbols": []}, "no prices of no symbols"),
    ):
        with pytest.raises(UsageError, match=match):
            run(bench, **told)
    with pytest.raises(BadRange, match="in order"):
        run(bench, start=MON, end=THU)
    with pytest.raises(BadRange, match="no prices from 2024-06-03"):
        run(bench, start="2024-06-03")
    with pytest.raises(UsageError, match="tetra has no daily flow"):
        bench.flow("tetra")
    with pytest.raises(NoLake):
        Workbench(Settings.load(env={}, data=str(tmp_path / "none"))).flow("ampyfin", planned)
    run(bench, start=FRI)
    with pytest.raises(BadRange, match=r"begins on 2024-03-08, .*reset_tables"):
        run(bench, start=THU)
    with refreshing(bench.lake.root, ["flow-ampyfin"], "another"), pytest.raises(Busy, match="another"):
        run(bench)
    with Workbench(bench.settings, datetime.now(UTC)) as past, pytest.raises(UsageError, match="cannot change; nothing was run"):
        run(past)


# ---------------------------------------------------------------------- at the prompt


def test_at_the_prompt(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def decide(strategy, ticker, history):\n    return 'Buy', 0.5\nnothing = 1\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["flow", "ampyfin", "--data", str(bench.settings.root), "--names", "one,two", "--symbols", "AAA,BBB"]

    def ask(*more: str) -> Result:
        return CliRunner().invoke(main, [*words, *more])

    for text_, match in (
        ("mine", "does not name a function"),
        ("mine:other", "cannot be imported"),
        ("nowhere:decide", "cannot be imported"),
        ("broken:decide", "cannot be imported (ZeroDivisionError"),
        ("mine:nothing", "is no function"),
    ):
        refused = ask("--strategies", text_)
        assert (refused.exit_code, match in refused.stderr) == (2, True), refused.stderr
    silent = ask("--json", "--end", "2024-03-07")
    assert "no function decides: workbench.flows:momentum is a sample" in silent.stderr
    assert json.loads(silent.stdout)["decisions"] == 0
    done = ask("--strategies", "mine:decide", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["sessions"], told["decisions"], told["fills"], told["first"]) == (2, 8, 4, "2024-03-08")
    again = ask("--strategies", "mine:decide")
    assert again.exit_code == 0
    assert "nothing to run after 2024-03-11" in again.stdout
    assert "workbench flow ampyfin --strategies workbench.flows:momentum" in " ".join(
        CliRunner().invoke(main, ["flow", "--help"]).stdout.split()
    )
    assert CliRunner().invoke(main, ["flow", "shrek", "--data", str(bench.settings.root)]).exit_code == 2


def test_the_sample_buys_what_rose(bench: Workbench) -> None:
    rising = pl.DataFrame({"close": [100.0 * 1.01**n for n in range(30)]})
    assert momentum("MOM_indicator", "AAA", rising) == ("Buy", 1.0)
    assert momentum("MOM_indicator", "AAA", rising.reverse())[0] == "Sell"  # type: ignore[index]
    assert momentum("MOM_indicator", "AAA", pl.DataFrame({"close": [5.0] * 11})) == ("Hold", 0.0)
    assert momentum("MOM_indicator", "AAA", rising.head(10)) is None
    assert run(bench, momentum).facts["decisions"] == 0


# ---------------------------------------------------------------------- chance

WEEKS = sessions.between(STOCK_DAY, date(2024, 1, 2), date(2024, 3, 1))


def random_lake(home: Path) -> Workbench:
    """Four tickers, each of which now and then has no bar."""
    chance = random.Random(7)
    market: dict[date, dict[str, tuple[float, float]]] = {}
    for day in WEEKS:
        market[day] = {t: (round(chance.uniform(5, 50), 2), round(chance.uniform(5, 50), 2)) for t in "ABCD" if chance.random() > 0.1}
    bench = landed(home, market)
    told = {"ticker": "B", "execution_date": WEEKS[7].isoformat(), "split_from": 2, "split_to": 3}
    update(bench.lake, Gathered("splits", "B", [told]), "polygon_api")
    bench.append("ampyfin.assets_limit", [{"symbol": "A", "max_quantity": 400, "max_value": 6_000}])
    return bench


def drawn(strategy: str, ticker: str, history: pl.DataFrame) -> Decision:
    """A decision by chance, the same whenever it is asked for."""
    chance = random.Random(f"{strategy} {ticker} {history['date'][-1]}")
    return chance.choice(["Buy", "Buy", "Sell", "Hold", None])


def test_two_flows_at_once_are_one(bench: Workbench, tmp_path: Path) -> None:
    def one(_: int) -> int:
        with Workbench(bench.settings) as mine:
            try:
                return int(run(mine).facts["sessions"])
            except Busy:
                return 0

    with ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(one, range(3)))
    with landed(tmp_path / "other", MARKET) as other:
        run(other)
        assert held(bench) == held(other)
    assert sum(ran) == 3
