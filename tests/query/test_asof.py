"""Trades with the quote in force: what a search by hand picks, in Python and in SQL."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from flatfiles import FRI, STOCK_TRADES, THU, TRADE, put, text
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from reallake import landed, real

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, UsageError
from workbench.query import asof
from workbench.tables import find

STOCK_QUOTES = find("stock_quotes")
QUOTE = ",".join(STOCK_QUOTES.headers[0])
OPTION_TRADES, OPTION_QUOTES, CALL = find("option_trades"), find("option_quotes"), "O:AAPL240315C00170000"
OPTION_TRADE = ",".join(OPTION_TRADES.headers[1])
HOUR, SECOND = 3_600_000_000_000, 1_000_000_000
# A trade is at 10:00 and so many nanoseconds, a quote likewise.
TEN = 10 * HOUR
Row = dict[str, Any]


def trade(ticker: str, day: date, at: int, sequence: int = 1) -> str:
    stamp = STOCK_TRADES.session_ns(day)[0] + TEN + at
    return f"{ticker},,0,4,7,{stamp},10.5,{sequence},{stamp},10,1,202,{stamp}"


def quote(ticker: str, day: date, at: int, bid: float, ask: float, sequence: int = 1) -> str:
    stamp = STOCK_QUOTES.session_ns(day)[0] + TEN + at
    return f"{ticker},4,{ask},3,5,{bid},2,1,,{stamp},{sequence},{stamp},1,0"


TRADES = {
    THU: [
        *(trade(ticker, THU, at, n) for ticker in ("AAPL", "BACpB", "NA", "TRUE") for n, at in enumerate([-5, 0, 0, 7, 7 * SECOND])),
        trade("NOQUOTES", THU, 3),
    ],
    FRI: [*(trade(ticker, FRI, at) for ticker in ("AAPL", "NA") for at in (1, 20, 30, 40, 50, 60)), trade("BACPB", FRI, 1)],
}
QUOTES = {
    THU: [
        # Three at one instant: the one with the greatest sequence number is in force.
        *(quote(t, THU, 0, 10 + n, 10.5 + n, n) for t in ("AAPL", "BACpB", "NA", "TRUE") for n in range(3)),
        *(quote("AAPL", THU, 7 + n, 9, 9.5, 10 + n) for n in range(2)),
        quote("BACPB", THU, 0, 1, 2),
        quote("ZZZZ", THU, 0, 1, 2),
    ],
    # Of Friday: locked, crossed, without a bid, without an ask, empty.
    FRI: [
        *(
            quote("AAPL", FRI, at, bid, ask)
            for at, bid, ask in [(20, 10, 10), (30, 10.5, 10), (40, 0, 10), (50, 10, 0), (60, 0, 0), (70, 1, 2)]
        ),
    ],
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    home = tmp_path_factory.mktemp("asof")
    for day in (THU, FRI):
        put(home / "vendor", STOCK_TRADES, day, text(TRADES[day], TRADE))
        put(home / "vendor", STOCK_QUOTES, day, text(QUOTES[day], QUOTE))
    first = STOCK_TRADES.session_ns(THU)[0] + TEN
    # Of one instant, the first quote in the file has the greater sequence number; files are in any order.
    put(home / "vendor", OPTION_TRADES, THU, text([f"{CALL},209,0,312,1.5,{first + at},2" for at in (-1, 0, 9)], OPTION_TRADE))
    quotes = [f"{CALL},4,{ask},3,5,{ask - 0.1:.1f},2,{sequence},{first}" for ask, sequence in ((1.6, 2), (1.7, 1))]
    put(home / "vendor", OPTION_QUOTES, THU, text(quotes, ",".join(OPTION_QUOTES.headers[0])))
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    bench.refresh(source=f"folder:{home / 'vendor'}").run()
    yield bench
    bench.close()


def by_hand(trades: list[Row], quotes: list[Row], strict: bool = False, max_age_ns: int | None = None) -> list[int | None]:
    """Which quote is in force at each trade, by its place."""
    sessions: dict[tuple[str, date], list[tuple[int, int, int]]] = {}
    for place, row in enumerate(quotes):
        sessions.setdefault((row["ticker"], row["date"]), []).append((row["sip_timestamp"], row["sequence_number"], place))
    for its in sessions.values():
        its.sort()
    found = list[int | None]()
    for row in trades:
        its = sessions.get((row["ticker"], row["date"]), [])
        at = row["sip_timestamp"]
        place = bisect_left(its, (at,)) if strict else bisect_right(its, (at, float("inf")))
        chosen = its[place - 1] if place else None
        if chosen and max_age_ns is not None and at - chosen[0] > max_age_ns:
            chosen = None
        found.append(chosen[2] if chosen else None)
    return found


ticks = st.lists(
    st.tuples(st.sampled_from(["A", "AA", "NA", "b"]), st.sampled_from([THU, FRI]), st.integers(-3, 12), st.integers(0, 9)), max_size=25
)


def framed(rows: list[tuple[str, date, int, int]], **more: list[float]) -> pl.DataFrame:
    schema = {"ticker": pl.String, "date": pl.Date, "sip_timestamp": pl.Int64, "sequence_number": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.Series(name, its, pl.Float64) for name, its in more.items())


@given(
    trades=ticks,
    quotes=ticks,
    strict=st.booleans(),
    max_age=st.none() | st.integers(0, 5),
    far=st.sampled_from([0, 1 << 40, 1 << 59]),
    in_order=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_each_trade_gets_the_quote_that_a_search_by_hand_picks(
    trades: list[tuple[str, date, int, int]],
    quotes: list[tuple[str, date, int, int]],
    strict: bool,
    max_age: int | None,
    far: int,
    in_order: bool,
) -> None:
    # Far apart, few sessions of tickers fit into one number, and several passes are made.
    trades, quotes = ([(t, d, at * (far or 1) % (1 << 61), s) for t, d, at, s in some] for some in (trades, quotes))
    if in_order:
        trades, quotes = sorted(trades), sorted(quotes)
    prices = [10 + n / 8 for n in range(len(quotes))]
    ours, theirs = framed(trades), framed(quotes, bid_price=prices, ask_price=[price + 1 for price in prices])

    got = asof.joined(ours, theirs, strict=strict, max_age_ns=max_age)

    order = ["ticker", "date", "sip_timestamp"]
    assert_frame_equal(
        got.select(ours.columns), ours if ours.equals(ours.sort(order, maintain_order=True)) else ours.sort(order, maintain_order=True)
    )
    picked = by_hand(got.to_dicts(), theirs.to_dicts(), strict, max_age)
    # Quotes of one instant and one sequence number are alike to us: they are told apart by nothing.
    told = [None if at is None else quotes[at][2] for at in picked]
    assert got["quote_sip_timestamp"].to_list() == told
    sequences = dict(zip(prices, (row[3] for row in quotes), strict=True))
    assert [None if b is None else sequences[b] for b in got["bid"]] == [None if at is None else quotes[at][3] for at in picked]
    assert [None if age is None else at - age for age, at in zip(got["quote_age_ns"], got["sip_timestamp"], strict=True)] == told


@pytest.mark.parametrize("ticker", ["AAPL", "BACpB", "BACPB", "NA", "TRUE", "NOQUOTES", "ZZZZ", "NOPE"])
@pytest.mark.parametrize(
    ("asked", "macro"),
    [
        ({}, ""),
        ({"strict": True}, ", strict := true"),
        ({"max_age": "5s"}, ", max_age := '5 seconds'"),
        ({"strict": True, "max_age": timedelta(seconds=1)}, ", strict := true, max_age := INTERVAL 1 second"),
    ],
)
def test_sql_gives_the_same_rows(bench: Workbench, ticker: str, asked: dict[str, Any], macro: str) -> None:
    got = bench.trades_with_quotes(ticker, THU, FRI, **asked)

    query = f"FROM trades_with_quotes('{ticker}', '{THU}', '{FRI}'{macro}) ORDER BY sip_timestamp, sequence_number"
    expected: pl.DataFrame = bench.sql(query).pl()
    assert_frame_equal(got.with_columns(pl.col("quote_state").cast(pl.String)), expected)


def test_of_quotes_of_one_instant_the_last_is_in_force_and_none_before_the_first(bench: Workbench) -> None:
    got = bench.trades_with_quotes("AAPL", THU)

    assert got["bid"].to_list() == [None, 12, 12, 9, 9]
    assert got["quote_age_ns"].to_list() == [None, 0, 0, 0, 7 * SECOND - 8]
    assert got["quote_state"].to_list() == [None, *["normal"] * 4]
    assert got["size_unit"].to_list() == [None, *["lots"] * 4]
    assert bench.trades_with_quotes("AAPL", THU, strict=True)["bid"].to_list() == [None, None, None, 12, 9]
    assert bench.trades_with_quotes("AAPL", THU, max_age="5s")["bid"].to_list() == [None, 12, 12, 9, None]


def test_quotes_say_what_they_are_and_no_session_takes_one_from_the_day_before(bench: Workbench) -> None:
    got = bench.trades_with_quotes("AAPL", THU, FRI).filter(date=FRI)

    assert got["quote_state"].to_list() == [None, "locked", "crossed", "one-sided", "one-sided", "empty"]
    assert got["bid"].to_list() == [None, 10, 10.5, None, 10, None]
    assert got["ask"].to_list() == [None, 10, 10, 10, None, None]


def test_a_ticker_without_quotes_and_a_session_without_any(bench: Workbench) -> None:
    for got in (bench.trades_with_quotes("NOQUOTES", THU), bench.trades_with_quotes("NA", FRI)):
        assert len(got)
        assert got.select(
            "bid", "ask", "quote_state", "quote_sip_timestamp", "quote_age_ns"
        ).null_count().sum_horizontal().item() == 5 * len(got)
    nothing = bench.trades_with_quotes("NOPE", THU)
    assert nothing.is_empty()
    assert nothing.schema == bench.trades_with_quotes("AAPL", THU).schema == bench.trades_with_quotes([], THU).schema


def test_several_tickers_each_take_their_own(bench: Workbench) -> None:
    names = ["TRUE", "AAPL", "NA", "BACPB", "BACpB"]

    got = bench.trades_with_quotes(names, THU, FRI)

    assert_frame_equal(got, pl.concat([bench.trades_with_quotes(name, THU, FRI) for name in sorted(names)]))


def test_options_have_quotes_too_and_stand_beside_stocks(bench: Workbench) -> None:
    got = bench.trades_with_quotes(CALL, THU)

    assert got["bid"].to_list() == [None, 1.5, 1.5]
    assert got["quote_age_ns"].to_list() == [None, 0, 9]
    both = bench.trades_with_quotes([CALL, "AAPL"], THU)
    assert_frame_equal(both.filter(ticker=CALL).select(got.columns), got)
    stock = bench.trades_with_quotes("AAPL", THU)
    assert_frame_equal(both.filter(ticker="AAPL").select(stock.columns), stock)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"tickers": "X:BTC-USD"}, UsageError, "no quotes of X:BTC-USD.*Quotes are in stock_quotes"),
        ({"tickers": "C:EUR-USD"}, UsageError, "no trades of C:EUR-USD"),
        ({"tickers": "I:SPX"}, UsageError, "no trades of I:SPX"),
        ({"max_age": "soon"}, UsageError, "max_age='soon' is not a length of time.*5s"),
        ({"max_age": "5 parsecs"}, UsageError, "is not a length of time"),
        ({"max_age": timedelta(seconds=-1)}, UsageError, "is not a length of time"),
        ({"max_age": 5}, UsageError, "is not a length of time"),
        ({"start": FRI, "end": THU}, BadRange, "2024-03-08 is after 2024-03-07"),
    ],
)
def test_what_cannot_be_asked_is_refused(bench: Workbench, asked: dict[str, Any], error: type[Exception], says: str) -> None:
    everything: dict[str, Any] = {"tickers": "AAPL", "start": THU} | asked
    with pytest.raises(error, match=says):
        bench.trades_with_quotes(**everything)


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("5s", 5 * SECOND),
        ("250ms", 250_000_000),
        ("1.5 min", 90 * SECOND),
        ("3us", 3000),
        ("7 ns", 7),
        ("1h", HOUR),
        (timedelta(1), 24 * HOUR),
        # Longer than there are numbers for.
        ("99999999h", 2**63 - 1),
        (timedelta.max, 2**63 - 1),
    ],
)
def test_an_age_is_read(written: str | timedelta, ns: int) -> None:
    assert asof.as_ns(written) == ns


@pytest.mark.parametrize(
    ("bid", "ask", "state", "spread", "mid"),
    [
        (10, 10.5, "normal", 0.5, 10.25),
        (10, 10, "locked", 0, 10),
        (10.5, 10, "crossed", -0.5, 10.25),
        (0, 10, "one-sided", None, None),
        (10, 0, "one-sided", None, None),
        (None, 10, "one-sided", None, None),
        (10, None, "one-sided", None, None),
        (0, 0, "empty", None, None),
        (None, 0, "empty", None, None),
        (None, None, "empty", None, None),
    ],
)
def test_a_quotes_state_is_the_same_in_sql(
    bench: Workbench, bid: float | None, ask: float | None, state: str, spread: float | None, mid: float | None
) -> None:
    query = "SELECT quote_state($bid::DOUBLE, $ask::DOUBLE), spread($bid::DOUBLE, $ask::DOUBLE), mid($bid::DOUBLE, $ask::DOUBLE)"
    assert bench.sql(query, bid=bid, ask=ask).fetchall() == [(state, spread, mid)]
    sides = (pl.Series([side], dtype=pl.Float64) for side in (bid, ask))
    assert asof.states(*sides).to_list() == [state]


@pytest.fixture(scope="module")
def real_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with landed(Path(tmp_path_factory.mktemp("real"))) as made:
        yield made


@real
@pytest.mark.parametrize("strict", [False, True])
def test_each_real_trade_gets_the_quote_that_a_search_by_hand_picks(real_bench: Workbench, strict: bool) -> None:
    day = date(2013, 10, 7)
    quotes = real_bench.quotes(["BAC", "IBM"], day).to_dicts()

    got = real_bench.trades_with_quotes(["BAC", "IBM"], day, strict=strict)

    assert len(got) == 112_465
    picked = by_hand(got.select("ticker", "date", "sip_timestamp").to_dicts(), quotes, strict)
    columns = {
        "quote_sip_timestamp": "sip_timestamp",
        "bid": "bid_price",
        "ask": "ask_price",
        "bid_size": "bid_size",
        "ask_size": "ask_size",
    }
    for ours, theirs in columns.items():
        told = [None if at is None else quotes[at][theirs] for at in picked]
        assert got[ours].to_list() == [None if value == 0 and ours in ("bid", "ask") else value for value in told]
    in_sql = [
        real_bench.sql(f"FROM trades_with_quotes('{name}', '{day}', strict := {strict}) ORDER BY sip_timestamp, sequence_number").pl()
        for name in ("BAC", "IBM")
    ]
    assert_frame_equal(got.with_columns(pl.col("quote_state").cast(pl.String)), pl.concat(in_sql))
