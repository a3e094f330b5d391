"""How strategies and the system did: hand-computed answers of a bot's trades and of what refreshes did."""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, THU, bar, put, text
from ledger import d, opened

from workbench.bench import Workbench
from workbench.lake.reset import feeding
from workbench.tables import find
from workbench.tables.platforms import RECORDS

COMPUTED = ("analytics.daily_pnl", "analytics.trader_metrics", "analytics.trade_analytics", "kraken_bot.strategy_performance")


def on(day: int, month: int = 11, hour: int = 12) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


class Bot:
    """Writes signals, and a trade of each."""

    def __init__(self, bench: Workbench):
        self.bench = bench
        self.count = 0

    def trade(self, when: datetime, action: str, amount: float, price: float, said: dict[str, str], **changed: Any) -> None:
        """A trade of the strategies that said something, and the signal before it."""
        signal = {"timestamp": when, "symbol": "BTCUSD", "price": d(price), "final_signal": action, "final_confidence": d("0.5")}
        signal |= {"aggregation_method": "majority", "strategy_version": "v1", "test_mode": False}
        signal |= {"strategies": {name: {"signal": one, "confidence": 0.5} for name, one in said.items()}}
        self.count += self.bench.append("kraken_bot.signals", signal | changed.pop("signal", {}))
        trade = {"signal_id": self.count, "timestamp": when, "symbol": "BTCUSD", "action": action, "amount": d(amount), "price": d(price)}
        self.bench.append("kraken_bot.trades", trade | {"status": "filled", "test_mode": False, "created_at": when} | changed)


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Bot]:
    with opened(tmp_path) as bench:
        yield Bot(bench)


def told(bot: Bot, columns: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = bot.bench.sql(
        f"SELECT {columns} FROM kraken_bot.strategy_performance ORDER BY strategy, strategy_version, period_start, test_mode"
    ).fetchall()
    return rows


BOTH = {"technical": "BUY", "sentiment": "BUY"}
SOLD = {"technical": "SELL", "sentiment": "BUY"}


def test_a_trade_is_of_the_strategies_that_said_what_the_signal_came_to_be(bot: Bot) -> None:
    bot.trade(on(1), "BUY", 2, 100, BOTH, fee=d(2))
    # Half of 202 cost 101: 110 - 1 - 101 = 8. The other half: 90 - 101 = -11.
    bot.trade(on(2), "SELL", 1, 110, {"technical": "SELL", "sentiment": "SELL"}, fee=d(1))
    bot.trade(on(4), "SELL", 1, 90, SOLD)
    columns = "strategy, strategy_version, period_start, trades, wins, losses, neutral, win_rate, total_pnl, average_pnl"
    first = on(1, hour=0)
    assert told(bot, columns) == [
        ("sentiment", "v1", first, 1, 1, 0, 0, 1.0, d(8), d(8)),
        ("technical", "v1", first, 2, 1, 1, 0, 0.5, d(-3), d("-1.5")),
    ]
    [_, (sharpe, fall, written, first_written)] = told(bot, "sharpe, max_drawdown, updated_at, created_at")
    # From the second to the fourth 8, 0 and -11: the mean is -1, deviations 9, 1 and -10.
    assert sharpe == pytest.approx(-1 / math.sqrt((81 + 1 + 100) / 2) * math.sqrt(365))
    # One became 1.08, and lost 11 % of it: bought at 100 each, without fees.
    assert fall == pytest.approx(0.11)
    assert (written, first_written) == (on(4), on(2))
    assert told(bot, "sharpe")[0] == (None,)


def test_months_and_versions_are_apart(bot: Bot) -> None:
    bot.trade(on(1), "BUY", 4, 100, BOTH)
    # The last second of November in UTC, which is still November in New York, too; and the first of December, which is not.
    bot.trade(datetime(2025, 11, 30, 23, 59, 59, tzinfo=UTC), "SELL", 1, 101, SOLD)
    bot.trade(on(1, 12, 0), "SELL", 1, 102, SOLD)
    bot.trade(on(2, 12), "SELL", 1, 100, SOLD, strategy_version="v2")
    bot.trade(on(3, 12), "SELL", 1, 103, SOLD, signal={"strategy_version": "v3"})
    assert told(bot, "strategy_version, period_start, trades, total_pnl, neutral") == [
        ("v1", on(1, hour=0), 1, d(1), 0),
        ("v1", on(1, 12, 0), 1, d(2), 0),
        ("v2", on(1, 12, 0), 1, d(0), 1),
        ("v3", on(1, 12, 0), 1, d(3), 0),
    ]


def test_tests_and_what_never_came_to_pass_count_for_nobody(bot: Bot) -> None:
    bot.trade(on(1), "BUY", 10, 100, BOTH)
    bot.trade(on(2), "BUY", 10, 1, BOTH, test_mode=True, test_reason="a test")
    bot.trade(on(3), "SELL", 1, 500, SOLD, test_mode=True, test_reason="a test")
    bot.trade(on(4), "SELL", 1, 500, SOLD, signal={"test_mode": True, "test_reason": "a test"})
    bot.trade(on(5), "SELL", 1, 500, SOLD, status="Canceled")
    bot.trade(on(6), "SELL", 1, 500, SOLD, signal_id=None)
    bot.trade(on(7), "SELL", 1, 500, {"technical": "HOLD"})
    assert told(bot, "*") == []
    bot.trade(on(8), "SELL", 1, 103, SOLD)
    # At the average of what was bought in production alone.
    assert told(bot, "strategy, trades, total_pnl") == [("technical", 1, d(3))]


def test_what_was_sold_short_gains_as_prices_fall(bot: Bot) -> None:
    bot.trade(on(1), "SELL", 1, 100, {"technical": "SELL"})
    bot.trade(on(2), "BUY", 3, 90, {"technical": "BUY"}, fee=d(3))
    # 1 of 3 takes 1 of the fee; 2 are held for 182.
    bot.trade(on(3), "SELL", 2, 91, {"technical": "SELL"})
    assert told(bot, "trades, wins, neutral, total_pnl") == [(2, 1, 1, d(9))]


def test_what_people_wrote_of_a_strategy_stands_before_what_is_computed(bot: Bot) -> None:
    bot.trade(on(1), "BUY", 1, 100, BOTH)
    bot.trade(on(2), "SELL", 1, 110, SOLD)
    written = dict(RECORDS["kraken_bot.strategy_performance"].example) | {"strategy_version": "v1", "period_start": on(1, hour=0)}
    bot.bench.append("kraken_bot.strategy_performance", written | {"test_mode": True, "strategy": "another"})
    assert told(bot, "strategy, trades, test_mode") == [("another", 12, True), ("technical", 1, False)]
    bot.bench.append("kraken_bot.strategy_performance", written | {"test_mode": False})
    assert told(bot, "strategy, trades, test_mode") == [("another", 12, True), ("technical", 12, False)]


def test_a_tests_row_hides_nothing_of_production(bot: Bot) -> None:
    bot.trade(on(1), "BUY", 1, 100, BOTH)
    bot.trade(on(2), "SELL", 1, 110, SOLD)
    written = dict(RECORDS["kraken_bot.strategy_performance"].example) | {"strategy_version": "v1", "period_start": on(1, hour=0)}
    bot.bench.append("kraken_bot.strategy_performance", written | {"test_mode": True})
    assert told(bot, "strategy, trades, test_mode") == [("technical", 1, False), ("technical", 12, True)]


# ---------------------------------------------------------------------- the system

SYSTEM = (
    "SELECT component, metric, value, unit FROM analytics.system_performance WHERE component != 'queries' ORDER BY time, component, metric"
)


def test_what_refreshes_did_is_told_by_source(tmp_path: Path) -> None:
    day_bars = find("stock_day")
    with opened(tmp_path) as bench:
        assert bench.sql(SYSTEM).fetchall() == []
        # Two sessions, of three bars; one line more is spoilt.
        put(tmp_path / "files", day_bars, THU, text([bar("AAPL", THU), bar("IBM", THU)]))
        put(tmp_path / "files", day_bars, FRI, text([bar("AAPL", FRI), bar("IBM", FRI, close=-1)]))
        bench.refresh(f"folder:{tmp_path / 'files'}", datasets=["stock_day"], start=THU, end=FRI, maintain=False).run()
        log = bench.sql(
            "SELECT sum(bytes), epoch_us(max(finished_at)) - epoch_us(min(started_at)), min(started_at) FROM data_sync_log WHERE session IS NOT NULL"
        )
        [(size, micros, began)] = log.fetchall()
        assert bench.sql(SYSTEM).fetchall() == [
            ("folder", "bytes", float(size), "bytes"),
            ("folder", "duration", micros / 1000, "ms"),
            ("folder", "failures", 0.0, "count"),
            ("folder", "objects", 2.0, "count"),
            ("folder", "quarantined", 1.0, "count"),
            ("folder", "rows", 3.0, "count"),
            ("folder", "throughput", pytest.approx(size / (micros / 1e6)), "bytes/s"),
        ]
        assert bench.sql("SELECT DISTINCT time FROM analytics.system_performance WHERE component = 'folder'").fetchall() == [(began,)]
        # A spoilt file fails, in a run of its own.
        put(tmp_path / "files", day_bars, date(2024, 3, 11), b"not,a\nbar,file\n")
        bench.refresh(f"folder:{tmp_path / 'files'}", datasets=["stock_day"], start="2024-03-11", end="2024-03-11", maintain=False).run()
        found = bench.sql("SELECT value FROM analytics.system_performance WHERE metric = 'failures' ORDER BY time").fetchall()
        assert found == [(0.0,), (1.0,)]


def test_what_this_session_asked_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as bench:
        for _ in range(3):
            bench.sql("SELECT 42").fetchall()
        asked = "SELECT metric, value, unit FROM analytics.system_performance WHERE component = 'queries' ORDER BY metric"
        (calls, most, mean) = bench.sql(asked).fetchall()
        assert calls in (("calls", 3.0, "count"), ("calls", 4.0, "count"))
        assert (most[0], most[2], mean[0], mean[2]) == ("planning_max", "ms", "planning_mean", "ms")
        assert 0 < mean[1] <= most[1]


def test_what_people_measured_shows_beside_it(tmp_path: Path) -> None:
    with opened(tmp_path) as bench:
        example = RECORDS["analytics.system_performance"].example
        bench.append("analytics.system_performance", example)
        assert bench.sql(SYSTEM).fetchall() == [("gateway", "latency_p99", 4.2, "ms")]


# ---------------------------------------------------------------------- what they are made of


def test_no_market_data_is_theirs_to_reset_or_to_keep(tmp_path: Path) -> None:
    assert feeding()["analytics"] == []
    assert feeding()["kraken_bot"] == []
    assert "stock_day" not in feeding()["layers"]
    with opened(tmp_path) as bench:
        chunks = bench.sql("SELECT DISTINCT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'analytics'")
        assert chunks.fetchall() == []


@pytest.mark.parametrize("full", COMPUTED)
def test_they_are_listed_and_say_what_they_are_made_of(bot: Bot, full: str) -> None:
    report = bot.bench.tables(full)
    assert report.facts["fed"][0] in ("transactional.trades", "kraken_bot.trades")
    assert f"fed by {report.facts['fed'][0]}" in report.facts["rules"][-1]
    assert "running average cost" in report.facts["doc"]
    assert bot.bench.table_counts()[full] == 0
