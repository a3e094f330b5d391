"""Profit and loss by day: hand-computed answers, and a plain loop as the judge of random trades."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, THU
from ledger import Ledger, Row, at, closes, d, opened, split

from workbench.bench import Workbench
from workbench.query import fills

SAT = date(2024, 3, 9)
TUE, WED, NEXT_THU, NEXT_FRI = (date(2024, 3, n) for n in (12, 13, 14, 15))
SESSIONS = (THU, FRI, MON, TUE, WED, NEXT_THU, NEXT_FRI)
# SPLT splits 2 for 1 on Friday, of which GAPS, too, has only a close before; RAND splits 3 for 2 on Tuesday and 1 for 3 two days on.
AAPL = dict(zip(SESSIONS, (102.0, 105.0, 99.0, 99.0, 99.0, 99.0, 99.0), strict=True))
SPLT = dict(zip(SESSIONS, (84.0, 42.0, 40.0, 40.0, 40.0, 40.0, 40.0), strict=True))
RAND = dict(zip(SESSIONS, (60.0, 66.0, 63.0, 42.0, 45.0, 135.0, 120.0), strict=True))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    home = tmp_path_factory.mktemp("pnl")
    with opened(home) as bench:
        told = {day: {"AAPL": AAPL[day], "RAND": RAND[day], "SPLT": SPLT[day]} for day in SESSIONS}
        told[THU]["GAPS"] = 84.0
        closes(bench, home, told)
        for ticker, day, of, to in (("SPLT", FRI, 1, 2), ("GAPS", FRI, 1, 2), ("RAND", TUE, 2, 3), ("RAND", NEXT_THU, 3, 1)):
            split(bench, ticker, day, of, to)
        yield Ledger(bench)


PNL = """SELECT date, realized_pnl, unrealized_pnl, total_pnl, fees, turnover FROM analytics.daily_pnl
    WHERE user_id = $user AND date <= $last ORDER BY portfolio_id, date"""


def days(ledger: Ledger, user: int, last: date = NEXT_FRI) -> list[Row]:
    """A user's rows, with money as it is written."""
    rows: list[Row] = ledger.bench.sql(PNL, user=user, last=last).fetchall()
    return [(row[0], *(None if one is None else float(one) for one in row[1:])) for row in rows]


def test_a_position_that_is_closed_in_parts_realises_its_share_of_the_average_cost(ledger: Ledger) -> None:
    user = ledger.user()
    ledger.trades(
        user,
        ledger.portfolio(user),
        ("AAPL", "buy", 10, 100, 1, at(THU, "10:00")),
        ("AAPL", "buy", 10, 110, 1, at(THU, "11:00")),
        ("AAPL", "sell", 5, 120, 0.5, at(THU, "12:00")),
        ("AAPL", "sell", 15, 100, 1.5, at(FRI)),
    )
    assert days(ledger, user) == [
        # 20 cost 1000 + 1 + 1100 + 1 = 2102, of which 5 are 525.50: 600 - 0.50 - 525.50 = 74. The other 15 cost 1576.50 and are worth 15 * 102 = 1530.
        (THU, 74.0, -46.5, 27.5, 2.5, 2700.0),
        # 1500 - 1.50 - 1576.50.
        (FRI, -78.0, 0.0, -78.0, 1.5, 1500.0),
    ]
    # All that came in less all that went out.
    assert 74 - 78 == (600 - 0.5) + (1500 - 1.5) - (1000 + 1) - (1100 + 1)


def test_a_short_position_gains_as_prices_fall(ledger: Ledger) -> None:
    user = ledger.user()
    trades = [("AAPL", "sell", 10, 103, 1, at(THU)), ("AAPL", "buy", 4, 99, 0.4, at(MON))]
    ledger.trades(user, ledger.portfolio(user), *trades)
    assert days(ledger, user, MON) == [
        # 1030 - 1 = 1029 came in; to buy them back costs 1020, on Friday 1050.
        (THU, 0.0, 9.0, 9.0, 1.0, 1030.0),
        (FRI, 0.0, -21.0, -21.0, 0.0, 0.0),
        # 4 of 10 brought 411.60: less 396 and 0.40. The other 6 brought 617.40, and cost 6 * 99 = 594.
        (MON, 15.2, 23.4, 38.6, 0.4, 396.0),
    ]


def test_a_trade_that_turns_a_position_round_closes_it_and_opens_the_other(ledger: Ledger) -> None:
    user = ledger.user()
    trades = [("AAPL", "buy", 10, 100, 2, at(THU, "10:00")), ("AAPL", "sell", 15, 110, 3, at(THU, "11:00"))]
    ledger.trades(user, ledger.portfolio(user), *trades, ("AAPL", "buy", 5, 100, 0, at(FRI)))
    assert days(ledger, user) == [
        # 10 of 15 take 2 of the fee: 1100 - 2 - 1002 = 96. Sold short are 5 for 550 - 1 = 549, worth 5 * 102 = 510.
        (THU, 96.0, 39.0, 135.0, 5.0, 2650.0),
        # 549 - 500.
        (FRI, 49.0, 0.0, 49.0, 0.0, 500.0),
    ]
    # And from short to long: the short is closed for 100 less 90, and 1 is held at 90.
    user = ledger.user()
    ledger.trades(user, None, ("AAPL", "sell", 1, 100, 0, at(THU, "10:00")), ("AAPL", "buy", 2, 90, 0, at(THU, "11:00")))
    assert days(ledger, user, THU) == [(THU, 10.0, 12.0, 22.0, 0.0, 280.0)]


def test_a_split_between_buying_and_selling_makes_more_shares_of_the_same_cost(ledger: Ledger) -> None:
    user = ledger.user()
    trades = [("SPLT", "buy", 10, 80, 1, at(THU)), ("SPLT", "sell", 5, 41, 0.5, at(FRI))]
    ledger.trades(user, ledger.portfolio(user), *trades)
    assert days(ledger, user, MON) == [
        # 840 - 801.
        (THU, 0.0, 39.0, 39.0, 1.0, 800.0),
        # 20 shares cost 801, of which 5 are 200.25: 205 - 0.50 - 200.25. The other 15 cost 600.75, worth 15 * 42 = 630, then 600.
        (FRI, 4.25, 29.25, 33.5, 0.5, 205.0),
        (MON, 0.0, -0.75, -0.75, 0.0, 0.0),
    ]


def test_a_last_known_close_stands_for_five_sessions(ledger: Ledger) -> None:
    user = ledger.user()
    ledger.trades(user, None, ("GAPS", "buy", 10, 80, 0, at(THU)))
    # A close of 84, then 42 after the split, of which there are 20 shares.
    told = [(day, 0.0, 40.0, 40.0, 0.0, 800.0 if day == THU else 0.0) for day in (THU, FRI, MON, TUE, WED, NEXT_THU)]
    assert days(ledger, user) == [*told, (NEXT_FRI, 0.0, None, None, 0.0, 0.0)]


def test_what_the_lake_has_no_close_of_has_no_value(ledger: Ledger) -> None:
    user = ledger.user()
    trades = [("BTCUSD", "buy", 10, 10, 0, at(THU)), ("BTCUSD", "sell", 4, 12, 0, at(FRI))]
    ledger.trades(user, None, *trades, ("AAPL", "buy", 1, 100, 0, at(THU)))
    told = days(ledger, user, MON)
    assert told == [(THU, 0.0, None, None, 0.0, 200.0), (FRI, 8.0, None, None, 0.0, 48.0), (MON, 0.0, None, None, 0.0, 0.0)]


def test_portfolios_are_apart_and_add_up(ledger: Ledger) -> None:
    user = ledger.user()
    portfolio = ledger.portfolio(user)
    ledger.trades(user, portfolio, ("AAPL", "buy", 1, 100, 0, at(THU)))
    ledger.trades(user, None, ("AAPL", "buy", 1, 90, 0, at(THU)), ("AAPL", "sell", 1, 110, 0, at(THU, "11:00")))
    rows = ledger.bench.sql(
        "SELECT portfolio_id, realized_pnl, unrealized_pnl FROM analytics.daily_pnl WHERE user_id = $user AND date = $day ORDER BY ALL",
        user=user,
        day=THU,
    )
    # At average cost over both, 15 would be realised.
    assert rows.fetchall() == [(0, d(20), d(0)), (portfolio, d(0), d(2))]


def test_what_is_traded_in_a_portfolio_is_of_whose_it_is(ledger: Ledger) -> None:
    owner, other = ledger.user(), ledger.user()
    portfolio = ledger.portfolio(owner)
    ledger.trades(owner, portfolio, ("AAPL", "buy", 1, 100, 0, at(THU)))
    ledger.trades(other, portfolio, ("AAPL", "sell", 1, 101, 0, at(FRI)))
    assert [row[1] for row in days(ledger, owner)] == [0.0, 1.0]
    assert days(ledger, other) == []


def test_trades_of_one_instant_are_in_the_order_of_their_numbers(ledger: Ledger) -> None:
    user = ledger.user()
    first, second = ledger.trades(user, None, ("AAPL", "sell", 1, 110, 0, at(THU)), ("AAPL", "buy", 1, 100, 0, at(THU)))
    rows = ledger.bench.sql("SELECT trade_id, realized FROM workbench.fills WHERE user_id = $user ORDER BY ALL", user=user).fetchall()
    assert rows == [(first, None), (second, d(10))]


def test_a_day_that_is_no_session_is_told_where_it_has_a_trade(ledger: Ledger) -> None:
    user, other = ledger.user(), ledger.user()
    ledger.trades(other, None, ("AAPL", "buy", 1, 100, 0, at(FRI)))
    ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(SAT)), ("AAPL", "sell", 1, 100, 0, at(MON)))
    assert days(ledger, user) == [(SAT, 0.0, 5.0, 5.0, 0.0, 100.0), (MON, 0.0, 0.0, 0.0, 0.0, 100.0)]
    assert [row[0] for row in days(ledger, other, MON)] == [FRI, MON]


def test_a_day_is_new_yorks(ledger: Ledger) -> None:
    user = ledger.user()
    ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(THU, "23:59")), ("AAPL", "sell", 1, 100, 0, at(FRI, "00:01")))
    assert [row[0] for row in days(ledger, user)] == [THU, FRI]


def test_a_trade_of_another_is_seen_at_once(ledger: Ledger) -> None:
    user = ledger.user()
    ledger.trades(user, None, ("AAPL", "buy", 1, 100, 0, at(NEXT_FRI, "10:00")))
    assert days(ledger, user) == [(NEXT_FRI, 0.0, -1.0, -1.0, 0.0, 100.0)]
    ledger.trades(user, None, ("AAPL", "sell", 1, 101, 0, at(NEXT_FRI, "11:00")))
    assert days(ledger, user) == [(NEXT_FRI, 1.0, 0.0, 1.0, 0.0, 201.0)]
    with Workbench(ledger.bench.settings) as another:
        assert another.sql("SELECT sum(realized_pnl) FROM analytics.daily_pnl WHERE user_id = $user", user=user).fetchall() == [(d(1),)]


def test_a_trade_that_is_put_right_or_taken_back_counts_so(ledger: Ledger) -> None:
    user = ledger.user()
    _, sell = ledger.trades(
        user, None, ("AAPL", "buy", 1, 100, 0, at(NEXT_FRI, "10:00")), ("AAPL", "sell", 1, 101, 0, at(NEXT_FRI, "11:00"))
    )
    assert days(ledger, user) == [(NEXT_FRI, 1.0, 0.0, 1.0, 0.0, 201.0)]
    ledger.bench.upsert("transactional.trades", {"id": sell, "price": d(103)})
    assert days(ledger, user) == [(NEXT_FRI, 3.0, 0.0, 3.0, 0.0, 203.0)]
    ledger.bench.fold()
    assert days(ledger, user) == [(NEXT_FRI, 3.0, 0.0, 3.0, 0.0, 203.0)]
    ledger.bench.delete("transactional.trades", "id = $id", id=sell)
    assert days(ledger, user) == [(NEXT_FRI, 0.0, -1.0, -1.0, 0.0, 100.0)]


def test_what_people_wrote_stands_before_what_is_computed(ledger: Ledger) -> None:
    user = ledger.user()
    one, two = ledger.portfolio(user), ledger.portfolio(user)
    for portfolio in (one, two):
        ledger.trades(user, portfolio, ("AAPL", "buy", 1, 100, 0, at(NEXT_THU, "10:00")))
    written: dict[str, Any] = {"user_id": user, "realized_pnl": d(7), "unrealized_pnl": d(0), "total_pnl": d(7)}
    # Of one portfolio on Thursday; on Friday of all of them.
    ledger.bench.append("analytics.daily_pnl", [written | {"date": NEXT_THU, "portfolio_id": one}, written | {"date": NEXT_FRI}])
    rows = ledger.bench.sql("SELECT date, portfolio_id, total_pnl FROM analytics.daily_pnl WHERE user_id = $user ORDER BY ALL", user=user)
    assert rows.fetchall() == [(NEXT_THU, one, d(7)), (NEXT_THU, two, d(-1)), (NEXT_FRI, 0, d(7))]


def test_without_a_market_only_what_was_traded_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as bench:
        assert bench.sql("FROM analytics.daily_pnl").fetchall() == []
        book = Ledger(bench)
        user = book.user()
        # Open on Friday without a trade, which is between the first and the last.
        trades = [("AAPL", "buy", 2, 100, 0, at(THU)), ("AAPL", "sell", 1, 110, 0, at(MON))]
        book.trades(user, None, *trades)
        assert days(book, user) == [
            (THU, 0.0, None, None, 0.0, 200.0),
            (FRI, 0.0, None, None, 0.0, 0.0),
            (MON, 10.0, None, None, 0.0, 110.0),
        ]


# ---------------------------------------------------------------------- against a plain loop


def held_before(trades: list[Row], upto: date) -> dict[tuple[int, str], list[Fraction]]:
    """What each portfolio holds of each symbol at the end of a day, and what came in for it; all in the shares of that day.

    Splits are told by the prices and quantities of the trades before them: the other way round than positions are followed.
    """
    held: dict[tuple[int, str], list[Fraction]] = {}
    for portfolio, symbol, side, quantity, price, fee, day in trades:
        if day > upto:
            continue
        ratio = Fraction(1)
        for on, factor in {"RAND": {TUE: Fraction(3, 2), NEXT_THU: Fraction(1, 3)}, "SPLT": {FRI: Fraction(2)}}.get(symbol, {}).items():
            ratio *= factor if day < on <= upto else 1
        one = held.setdefault((portfolio, symbol), [Fraction(0)] * 3)
        signed, each = quantity * ratio * side, price / ratio
        if one[0] * signed >= 0:
            one[:] = one[0] + signed, one[1] - signed * each - fee, Fraction(0)
        else:
            closing = min(abs(signed), abs(one[0]))
            part, charged = closing / abs(one[0]), fee * closing / abs(signed)
            gained = part * one[1] + (-side) * closing * each - charged
            rest = abs(signed) - closing
            one[:] = one[0] + signed, one[1] * (1 - part) - side * rest * each - (fee - charged), gained
        # What the last trade realised stands third.
    return held


@pytest.mark.parametrize("seed", range(3))
def test_random_trades_realise_and_hold_what_a_plain_loop_says(ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    user = ledger.user()
    portfolios = [ledger.portfolio(user), ledger.portfolio(user)]
    trades: list[Row] = []
    market = {"AAPL": AAPL, "SPLT": SPLT, "RAND": RAND}
    for n in range(240):
        symbol, side, day = chance.choice(list(market)), chance.choice((1, -1)), SESSIONS[n * len(SESSIONS) // 240]
        quantity, fee = Fraction(chance.randint(1, 400), chance.choice((1, 4, 10))), Fraction(chance.randint(0, 300), 100)
        price = Fraction(round(market[symbol][day] * chance.uniform(0.9, 1.1) * 10_000), 10_000)
        trades.append((chance.choice(portfolios), symbol, side, quantity, price, fee, day))
    told = [
        (symbol, "buy" if side > 0 else "sell", float(quantity), float(price), float(fee), at(day) + timedelta(seconds=n))
        for n, (_, symbol, side, quantity, price, fee, day) in enumerate(trades)
    ]
    numbers = ledger.trades(user, [one[0] for one in trades], *told)

    rows = ledger.bench.sql("SELECT trade_id, realized FROM workbench.fills WHERE user_id = $user", user=user).fetchall()
    realized = {number: row for number, row in rows if row is not None}
    by_day: dict[tuple[int, date], Fraction] = {}
    for n, (portfolio, symbol, side, _, _, _, day) in enumerate(trades):
        before = held_before(trades[:n], day).get((portfolio, symbol), [Fraction(0)])
        [_, _, gained] = held_before(trades[: n + 1], day)[portfolio, symbol]
        assert (numbers[n] in realized) == (before[0] * side < 0)
        if numbers[n] in realized:
            assert abs(Fraction(realized[numbers[n]]) - gained) < Fraction(1, 10**5), trades[n]
            by_day[portfolio, day] = by_day.get((portfolio, day), Fraction(0)) + gained

    found = ledger.bench.sql(
        "SELECT portfolio_id, date, realized_pnl, unrealized_pnl FROM analytics.daily_pnl WHERE user_id = $user", user=user
    )
    daily = {(portfolio, day): (realised, unrealised) for portfolio, day, realised, unrealised in found.fetchall()}
    assert len(daily) == 2 * len(SESSIONS)
    for (portfolio, day), (realised, unrealised) in daily.items():
        assert abs(Fraction(realised) - by_day.get((portfolio, day), Fraction(0))) < Fraction(1, 10**4)
        held = {symbol: one for (of, symbol), one in held_before(trades, day).items() if of == portfolio}
        worth = sum(one[0] * Fraction(market[symbol][day]) + one[1] for symbol, one in held.items())
        assert abs(Fraction(unrealised) - worth) < Fraction(1, 10**4), (portfolio, day)


def test_what_a_closed_position_realised_is_all_the_money_that_came_in() -> None:
    chance = random.Random(7)
    for _ in range(200):
        position, money, realized = fills.Position(), 0, 0
        for n in range(chance.randint(1, 12)):
            side, quantity = chance.choice((1, -1)), chance.randint(1, 10**11)
            price, fee = chance.randint(1, 10**13), chance.randint(0, 10**9)
            closed = position.trade(side, quantity, price, fee, n, 0)
            money -= side * quantity * price + fee * fills.UNIT
            realized += closed.realized if closed else 0
        left = position.quantity
        assert realized + position.cash == money
        if left:
            closed = position.trade(-1 if left > 0 else 1, abs(left), 10**8, 0, 99, 0)
            assert closed
            assert realized + closed.realized == money + left * 10**8
        assert (position.quantity, position.cash, position.traded) == (0, 0, 0)


def test_decimals_keep_every_digit(ledger: Ledger) -> None:
    user = ledger.user()
    # More than a float can hold: 123456789.12345678 at 1000.00000001, sold at twice that.
    trades = [
        ("BTCUSD", "buy", "123456789.12345678", "1000.00000001", 0, at(THU)),
        ("BTCUSD", "sell", "123456789.12345678", "2000.00000002", 0, at(FRI)),
    ]
    ledger.trades(user, None, *trades)
    exact = Decimal("123456789.12345678") * Decimal("1000.00000001")
    rows = ledger.bench.sql("SELECT realized_pnl FROM analytics.daily_pnl WHERE user_id = $user AND date = $day", user=user, day=FRI)
    assert rows.fetchall() == [(exact.quantize(Decimal("0.00000001")),)]


def test_what_no_column_can_hold_is_null_and_spoils_nothing_else(ledger: Ledger) -> None:
    user, other = ledger.user(), ledger.user()
    most = "999999999999.99999999"
    ledger.trades(user, None, ("BTCUSD", "buy", most, 1, 0, at(THU)), ("BTCUSD", "sell", most, most, 0, at(FRI)))
    ledger.trades(other, None, ("AAPL", "buy", 1, 100, 0, at(THU)))
    assert days(ledger, user)[1] == (FRI, None, 0.0, None, 0.0, None)
    assert days(ledger, other, THU) == [(THU, 0.0, 2.0, 2.0, 0.0, 100.0)]


def test_a_split_of_another_company_is_not_of_what_was_held_before() -> None:
    position = fills.Position()
    position.trade(1, 10 * fills.UNIT, 5 * fills.UNIT, 0, 0, day=100)
    position.split(fills.Split(day=200, ratio=Fraction(2), since=150))
    assert position.quantity == 10 * fills.UNIT
    position.split(fills.Split(day=200, ratio=Fraction(1, 3), since=100))
    # A third of a unit of 0.00000001 is not held.
    assert (position.quantity, position.cash) == (333_333_333, -50 * fills.UNIT**2)
    position.split(fills.Split(day=300, ratio=Fraction(1, 2), since=100))
    assert position.quantity == 166_666_667
