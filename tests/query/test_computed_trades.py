"""How traders did and how trades were executed: hand-computed answers, on a small market and without one."""

import math
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, THU, put, text
from ledger import Ledger, at, closes, d, minutes, opened, split

from workbench.bench import Workbench
from workbench.tables import find

STOCK_QUOTES = find("stock_quotes")
QUOTE = ",".join(STOCK_QUOTES.headers[0])
FEB = date(2024, 2, 29)


def quote(ticker: str, when: datetime, bid: float, ask: float, sequence: int) -> str:
    stamp = int(when.timestamp()) * 10**9
    return f"{ticker},4,{ask},3,5,{bid},2,1,,{stamp},{sequence},{stamp},1,0"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Minutes of three sessions; SPLT splits 2 for 1 on Friday and 3 for 1 on Monday; AAPL has quotes on Friday."""
    home = tmp_path_factory.mktemp("trades")
    with opened(home) as bench:
        closes(bench, home, {FEB: {"AAPL": 101}, THU: {"AAPL": 102}, FRI: {"AAPL": 105}, MON: {"AAPL": 99}})
        split(bench, "SPLT", FRI, 1, 2)
        split(bench, "SPLT", MON, 1, 3)
        # Ticker, when it begins, high, low, close, volume.
        told: dict[date, list[tuple[str, str, float, float, float, float]]] = {
            THU: [
                ("AAPL", "09:58", 101, 99, 100, 10),
                ("AAPL", "09:59", 102, 100, 101, 20),
                ("AAPL", "10:00", 104, 98, 102, 30),
                ("AAPL", "10:01", 103, 95, 99, 10),
                ("AAPL", "10:02", 120, 90, 100, 40),
                ("SPLT", "10:00", 84, 78, 80, 10),
                ("SPLT", "10:01", 88, 80, 82, 10),
            ],
            FRI: [("AAPL", "10:00", 107, 103, 105, 10), ("SPLT", "10:00", 43, 40, 41, 10), ("SPLT", "10:01", 50, 30, 41, 10)],
            MON: [("AAPL", "10:00", 101, 97, 99, 10)],
        }
        for day, bars in told.items():
            minutes(bench, home, day, bars)
        quotes = [
            quote("AAPL", at(FRI, "10:00:00"), 104.0, 106.0, 1),
            quote("AAPL", at(FRI, "10:00:30"), 104.9, 105.1, 2),
            # One side only, and crossed.
            quote("AAPL", at(FRI, "10:05:00"), 0, 105.1, 3),
            quote("AAPL", at(FRI, "10:06:00"), 105.5, 105.1, 4),
        ]
        put(home / "files", STOCK_QUOTES, FRI, text(quotes, QUOTE))
        bench.refresh(f"folder:{home / 'files'}", datasets=["stock_quotes"], start=FRI, end=FRI, maintain=False).run()
        yield Ledger(bench)


def told(bench: Workbench, number: int) -> dict[str, Any]:
    """What is told of a trade, money as a float."""
    rows = bench.sql("FROM analytics.trade_analytics WHERE trade_id = $number", number=number)
    [row] = rows.fetchall()
    return {name: float(value) if isinstance(value, type(d(0))) else value for name, value in zip(rows.columns, row, strict=True)}


def test_without_quotes_the_last_minute_that_had_ended_is_the_price_at_arrival(ledger: Ledger) -> None:
    user = ledger.user()
    # Ordered at 10:00:30: the minute from 09:59 on had ended, that from 10:00 on had not. Executed at 10:01:30.
    when = at(THU, "10:01:30")
    buy, sell = ledger.trades(
        user, None, ("AAPL", "buy", 10, 102.01, 1, when, at(THU, "10:00:30")), ("AAPL", "sell", 5, 100, 0, when, at(THU, "10:00:30"))
    )
    found = told(ledger.bench, buy)
    assert (found["symbol"], found["arrival_price"]) == ("AAPL", 101.0)
    # (102.01 - 101) / 101 is 1 %; it cost more than at arrival.
    assert found["slippage_bps"] == pytest.approx(100)
    # Of the minutes from 10:00 and 10:01 on: (102 * 30 + 99 * 10) / 40.
    assert found["vwap_interval"] == 101.25
    # The lake holds no quote of the day, and nothing was closed.
    assert [found[name] for name in ("spread_bps", "holding_seconds", "realized_pnl", "mae", "mfe")] == [None] * 5
    # Sold for less than at arrival, which costs, too.
    assert told(ledger.bench, sell)["slippage_bps"] == pytest.approx(1 / 101 * 10_000)


def test_nothing_is_taken_from_the_day_before(ledger: Ledger) -> None:
    [early] = ledger.trades(ledger.user(), None, ("AAPL", "buy", 1, 100, 0, at(THU, "09:57:30"), at(THU, "09:57:00")))
    [later] = ledger.trades(ledger.user(), None, ("AAPL", "buy", 1, 100, 0, at(FRI, "09:57:30"), at(FRI, "09:57:00")))
    for number in (early, later):
        found = told(ledger.bench, number)
        assert [found[name] for name in ("arrival_price", "vwap_interval", "slippage_bps", "spread_bps")] == [None] * 4


def test_an_order_that_was_written_down_after_its_trade_arrived_nobody_knows_when(ledger: Ledger) -> None:
    [late] = ledger.trades(ledger.user(), None, ("AAPL", "buy", 1, 100, 0, at(THU, "10:00:00"), at(THU, "10:02:00")))
    found = told(ledger.bench, late)
    assert [found[name] for name in ("arrival_price", "vwap_interval", "slippage_bps")] == [None] * 3


def test_with_quotes_the_mid_in_force_is_the_price_at_arrival(ledger: Ledger) -> None:
    user = ledger.user()
    rows = [
        ("AAPL", "buy", 1, 105.105, 0, at(FRI, "10:00:30"), at(FRI, "10:00:29")),
        ("AAPL", "sell", 1, 105, 0, at(FRI, "10:05:01"), at(FRI, "10:00:30")),
        ("AAPL", "buy", 1, 105, 0, at(FRI, "10:06:01"), at(FRI, "10:05:01")),
        ("AAPL", "buy", 1, 105, 0, at(FRI, "10:06:02"), at(FRI, "10:06:01")),
    ]
    first, second, one_sided, crossed = (told(ledger.bench, number) for number in ledger.trades(user, None, *rows))
    # 104 to 106 when it was ordered; 104.90 to 105.10 from the very instant on at which it was executed.
    assert first["arrival_price"] == 105.0
    assert first["slippage_bps"] == pytest.approx(10)
    assert first["spread_bps"] == pytest.approx(0.2 / 105 * 10_000)
    # At the execution there was a bid no more.
    assert (second["arrival_price"], second["slippage_bps"], second["spread_bps"]) == (105.0, 0.0, None)
    # Without a mid the minute counts.
    assert (one_sided["arrival_price"], one_sided["spread_bps"]) == (105.0, None)
    assert (crossed["arrival_price"], crossed["spread_bps"]) == (105.0, None)


def test_how_far_prices_went_while_a_position_was_held(ledger: Ledger) -> None:
    user = ledger.user()
    rows = [("AAPL", "buy", 10, 100, 1, at(THU, "09:59:00")), ("AAPL", "sell", 4, 101, 0, at(THU, "10:02:30"))]
    _, sell = ledger.trades(user, None, *rows)
    found = told(ledger.bench, sell)
    # Of the minutes from 09:59, 10:00 and 10:01 on the highest is 104, the lowest 95; that from 10:02 on went on after the trade.
    assert (found["mae"], found["mfe"], found["holding_seconds"]) == (5.0, 4.0, 210.0)
    # 4 of 10 cost 400.40.
    assert found["realized_pnl"] == pytest.approx(3.6)
    # The rest until Monday: all of Friday counts, and on Thursday the highest is 120, the lowest 90.
    [rest] = ledger.trades(user, None, ("AAPL", "sell", 6, 99, 0, at(MON, "10:00:59")))
    found = told(ledger.bench, rest)
    assert (found["mae"], found["mfe"]) == (10.0, 20.0)
    # Daylight saving time began on Sunday: one hour less.
    assert found["holding_seconds"] == 4 * 86_400 + 119 - 3_600


def test_of_days_between_every_minute_counts(ledger: Ledger) -> None:
    # Bought after Thursday's last minute, and sold before Monday's first was over: on Friday prices went from 103 to 107.
    rows = [("AAPL", "buy", 1, 104, 0, at(THU, "10:03")), ("AAPL", "sell", 1, 104, 0, at(MON, "10:00:30"))]
    _, sell = ledger.trades(ledger.user(), None, *rows)
    found = told(ledger.bench, sell)
    assert (found["mae"], found["mfe"]) == (1.0, 3.0)


def test_of_what_was_sold_short_higher_prices_are_against_it(ledger: Ledger) -> None:
    _, cover = ledger.trades(
        ledger.user(), None, ("AAPL", "sell", 1, 103, 0, at(THU, "10:00")), ("AAPL", "buy", 1, 99, 0, at(THU, "10:02"))
    )
    found = told(ledger.bench, cover)
    # From 95 to 104.
    assert (found["mae"], found["mfe"], found["realized_pnl"]) == (1.0, 8.0, 4.0)


def test_prices_of_before_a_split_count_in_shares_of_after_it(ledger: Ledger) -> None:
    _, sell = ledger.trades(ledger.user(), None, ("SPLT", "buy", 1, 80, 0, at(THU, "10:00")), ("SPLT", "sell", 2, 41, 0, at(FRI, "10:01")))
    found = told(ledger.bench, sell)
    # Bought at 40 in those shares. On Thursday from 78 / 2 to 88 / 2, on Friday from 40 to 43.
    assert (found["mae"], found["mfe"], found["realized_pnl"]) == (1.0, 4.0, 2.0)


def test_a_position_that_was_open_within_one_minute_moved_nobody_knows_how_far(ledger: Ledger) -> None:
    rows = [("AAPL", "buy", 1, 100, 0, at(THU, "10:00:10")), ("AAPL", "sell", 1, 101, 0, at(THU, "10:00:50"))]
    _, sell = ledger.trades(ledger.user(), None, *rows)
    found = told(ledger.bench, sell)
    assert (found["mae"], found["mfe"], found["holding_seconds"]) == (None, None, 40.0)


def test_what_people_wrote_of_a_trade_stands_before_what_is_computed(ledger: Ledger) -> None:
    one, two = ledger.trades(ledger.user(), None, ("AAPL", "buy", 1, 100, 0, at(THU)), ("AAPL", "buy", 1, 100, 0, at(THU)))
    ledger.bench.append("analytics.trade_analytics", {"trade_id": one, "symbol": "AAPL", "arrival_price": d(7)})
    assert told(ledger.bench, one)["arrival_price"] == 7.0
    assert told(ledger.bench, two)["arrival_price"] == 100.0


# ---------------------------------------------------------------------- traders


def metrics(bench: Workbench, user: int) -> list[dict[str, Any]]:
    rows = bench.sql("FROM analytics.trader_metrics WHERE user_id = $user ORDER BY period_start", user=user)
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def test_a_trader_is_told_of_by_month(ledger: Ledger) -> None:
    user = ledger.user()
    portfolio = ledger.portfolio(user, cash=1000)
    ledger.trades(
        user,
        portfolio,
        ("AAPL", "buy", 10, 100, 1, at(THU, "10:00")),
        ("AAPL", "buy", 10, 110, 1, at(THU, "11:00")),
        ("AAPL", "sell", 5, 120, 0.5, at(THU, "12:00")),
        ("AAPL", "sell", 15, 100, 1.5, at(FRI)),
    )
    [told] = metrics(ledger.bench, user)
    # 20 cost 2102: 5 of them realised 600 - 0.50 - 525.50 = 74, the other 15 then 1500 - 1.50 - 1576.50 = -78.
    assert (told["period_start"], told["period_end"], told["trades"], told["win_rate"]) == (date(2024, 3, 1), date(2024, 3, 31), 2, 0.5)
    assert (told["average_win"], told["average_loss"], told["turnover"]) == (d(74), d(78), d(4200))
    assert told["profit_factor"] == pytest.approx(74 / 78)
    # On Thursday 74 + (15 * 102 - 1576.50) = 27.50 were gained; on Friday -78 - -46.50 = -31.50. The mean is -2, each 29.50 away from it.
    assert told["sharpe"] == pytest.approx(-2 / math.sqrt(2 * 29.5**2) * math.sqrt(252))
    assert told["sortino"] == pytest.approx(-2 / math.sqrt(31.5**2 / 2) * math.sqrt(252))
    # From 1000 + 27.50 to 1000 - 4.
    assert told["max_drawdown"] == pytest.approx(31.5 / 1027.5)


def test_a_month_goes_on_where_the_one_before_ended(ledger: Ledger) -> None:
    user = ledger.user()
    ledger.trades(
        user, ledger.portfolio(user, cash=100), ("AAPL", "buy", 1, 100, 0, at(FEB)), ("AAPL", "sell", 1, 98, 0, at(date(2024, 3, 1)))
    )
    february, march = metrics(ledger.bench, user)
    # Worth 101 at the end of February; sold for 98, of 101 before.
    assert (february["trades"], february["win_rate"], february["max_drawdown"], february["sharpe"]) == (0, None, 0.0, None)
    assert (march["trades"], march["win_rate"], march["average_win"], march["average_loss"]) == (1, 0.0, None, d(2))
    assert (march["profit_factor"], march["sharpe"], march["sortino"]) == (0.0, None, None)
    assert march["max_drawdown"] == pytest.approx(3 / 101)


def test_what_cannot_be_told_of_a_trader_is_null(ledger: Ledger) -> None:
    user = ledger.user()
    # No loss, no cash that a fall could be a share of, and no deviation.
    ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(THU, "10:00")), ("AAPL", "sell", 1, 110, 0, at(THU, "10:01")))
    [told] = metrics(ledger.bench, user)
    assert (told["trades"], told["win_rate"], told["average_loss"], told["profit_factor"], told["sharpe"]) == (1, 1.0, None, None, None)
    # It never fell: the highest, at which it is, is above zero.
    assert told["max_drawdown"] == 0.0
    user = ledger.user()
    ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(THU, "10:00")), ("AAPL", "sell", 1, 90, 0, at(THU, "10:01")))
    assert [row["max_drawdown"] for row in metrics(ledger.bench, user)] == [None]


def test_two_users_are_told_apart(ledger: Ledger) -> None:
    one, two = ledger.user(), ledger.user()
    for user, price in ((one, 110), (two, 90)):
        ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(THU, "10:00")), ("AAPL", "sell", 1, price, 0, at(THU, "10:01")))
    assert [row["win_rate"] for user in (one, two) for row in metrics(ledger.bench, user)] == [1.0, 0.0]


def test_what_people_wrote_of_a_trader_stands_before_what_is_computed(ledger: Ledger) -> None:
    user = ledger.user()
    ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(THU, "10:00")), ("AAPL", "sell", 1, 110, 0, at(THU, "10:01")))
    written = {"user_id": user, "trades": 99, "win_rate": 0.5, "average_win": d(1), "average_loss": d(1), "profit_factor": 1.0}
    written |= {"max_drawdown": 0.0, "turnover": d(1)}
    week = {"period_start": date(2024, 3, 4), "period_end": date(2024, 3, 8)}
    ledger.bench.append("analytics.trader_metrics", written | week)
    assert [row["trades"] for row in metrics(ledger.bench, user)] == [1, 99]
    ledger.bench.append("analytics.trader_metrics", written | {"period_start": date(2024, 3, 1), "period_end": date(2024, 3, 31)})
    assert [row["trades"] for row in metrics(ledger.bench, user)] == [99, 99]


def test_daily_figures_that_people_wrote_make_a_trader(ledger: Ledger) -> None:
    user = ledger.user()
    days = [(THU, 10), (FRI, -5), (MON, 7)]
    ledger.bench.append(
        "analytics.daily_pnl",
        [{"user_id": user, "date": day, "realized_pnl": d(n), "unrealized_pnl": d(0), "total_pnl": d(n)} for day, n in days],
    )
    [told] = metrics(ledger.bench, user)
    # 10, -5 and 7: the mean is 4, deviations 6, -9 and 3.
    assert told["sharpe"] == pytest.approx(4 / math.sqrt((36 + 81 + 9) / 2) * math.sqrt(252))
    assert (told["trades"], told["max_drawdown"]) == (0, 0.5)


def test_only_the_files_of_what_was_traded_are_read(ledger: Ledger) -> None:
    ledger.trades(ledger.user(), None, ("AAPL", "buy", 1, 100, 0, at(THU)))
    narrowed = ledger.bench.catalog.narrowed("SELECT * FROM workbench.traded_quotes")
    assert narrowed is not None
    assert "'AAPL'" in ledger.bench.catalog.documented.given["workbench.traded_minutes"]


def test_without_a_market_trades_are_told_of_as_far_as_they_tell(tmp_path: Path) -> None:
    with opened(tmp_path) as bench:
        assert bench.sql("FROM analytics.trade_analytics").fetchall() == []
        assert bench.sql("FROM analytics.trader_metrics").fetchall() == []
        book = Ledger(bench)
        user = book.user()
        _, sell = book.trades(user, None, ("AAPL", "buy", 2, 100, 0, at(THU)), ("AAPL", "sell", 1, 110, 0, at(FRI)))
        found = told(bench, sell)
        assert (found["realized_pnl"], found["holding_seconds"]) == (10.0, 86_400.0)
        assert [found[name] for name in ("arrival_price", "vwap_interval", "slippage_bps", "spread_bps", "mae", "mfe")] == [None] * 6
        [month] = metrics(bench, user)
        assert (month["trades"], month["average_win"], month["sharpe"], month["max_drawdown"]) == (1, d(10), None, None)
