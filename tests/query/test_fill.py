"""Bars that no trade made: where they stand, at which price, and that nothing later decides it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import duckdb
import plainbars
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainbars import ABSENT, DAYS, PARTS, SIZES, TICKERS, Bar, alike, rows_of

from workbench.bench import Workbench
from workbench.errors import UsageError
from workbench.lake.reference import update
from workbench.query import fill
from workbench.query.prices import COLUMNS
from workbench.sources.reference import Gathered
from workbench.tables import find

# Of the ticker that seldom trades, so that what is filled is told in other shares than the bar before it.
SPLIT = ("RARE", date(2024, 3, 28), 4.0)
ROWS = plainbars.made_up(seed=8)
HELD = {one.day for one in ROWS[1]} | {one.day for one in ROWS[0]}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with plainbars.landed(tmp_path_factory.mktemp("fill"), *ROWS) as bench:
        ticker, day, shares = SPLIT
        split = {"ticker": ticker, "execution_date": day.isoformat(), "split_from": 1, "split_to": shares}
        update(bench.lake, Gathered("splits", "k", [split]), "polygon_api")
        yield bench


def expected(tickers: list[str], first: date, last: date, size: str, part: str, limit: int) -> list[Bar]:
    whole = size in ("1d", "1w", "1mo") and part == "all"
    mine = [one for one in ROWS[whole] if one.ticker in tickers and first <= one.day <= last]
    bars = plainbars.resampled(mine, size, part, split=SPLIT)
    held = [day for day in HELD if first <= day <= last]
    return plainbars.filled(bars, size, part, limit, held, split=None if size in plainbars.MINUTES else SPLIT)


SPANS = st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(sorted)
LIMITS = st.sampled_from([1, 2, 7, 400])


@given(
    st.lists(st.sampled_from(TICKERS), min_size=1, max_size=2, unique=True),
    SPANS,
    st.sampled_from(SIZES[1:]),
    st.sampled_from(PARTS),
    LIMITS,
)
@settings(max_examples=50, deadline=None)
def test_bars_are_filled_as_the_rules_say(bench: Workbench, tickers: list[str], span: list[date], size: str, part: str, limit: int) -> None:
    got = bench.bars(tickers, span[0], span[1], freq=size, session=part, fill="forward", limit=limit)

    assert alike(rows_of(got), expected(tickers, span[0], span[1], size, part, limit))
    assert got.columns == [*COLUMNS, "filled"]
    assert got.sort("ticker", "timestamp").equals(got)
    assert got.drop("filled").schema == bench.bars("AAA", freq="1m").schema
    assert got.filter(~pl.col("filled")).drop("filled").equals(bench.bars(tickers, span[0], span[1], freq=size, session=part))


@given(st.sampled_from(TICKERS), SPANS, st.sampled_from(SIZES[1:]), st.sampled_from(PARTS), LIMITS)
@settings(max_examples=20, deadline=None)
def test_sql_fills_the_same(bench: Workbench, ticker: str, span: list[date], size: str, part: str, limit: int) -> None:
    query = f"""SELECT {", ".join(COLUMNS)}, filled FROM filled_bars($ticker, $size, $limit, $first, $last, part := $part, adjust := 'none')
        ORDER BY timestamp"""

    got = bench.sql(query, ticker=ticker, size=size, limit=limit, first=span[0], last=span[1], part=part).pl()

    assert alike(rows_of(got), expected([ticker], span[0], span[1], size, part, limit))


@given(st.sampled_from(TICKERS), st.sampled_from(SIZES[1:6]), st.sampled_from(PARTS), LIMITS, st.sampled_from(DAYS))
@settings(max_examples=25, deadline=None)
def test_what_comes_later_changes_nothing_before_it(bench: Workbench, ticker: str, size: str, part: str, limit: int, day: date) -> None:
    def filled(end: date | None, as_of: date | None = None) -> pl.DataFrame:
        return bench.bars(ticker, end=end, as_of=as_of, freq=size, session=part, adjusted="none", fill="forward", limit=limit)

    until = filled(day)

    assert filled(None).filter(pl.col("date") <= day).equals(until)
    assert filled(None, day).equals(until)
    assert until.is_empty() or until["date"].max() <= day  # type: ignore[operator]


@given(st.sampled_from(["5m", "1h"]), LIMITS, st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_a_bar_less_is_its_bars_less(size: str, limit: int, count: int) -> None:
    day = date(2024, 7, 3)
    rows = [one for one in ROWS[0] if one.ticker == "AAA" and one.day == day]
    bars = plainbars.resampled(rows, size, "all")[:count]
    places = {"AAA": fill.slots(find("stock_minute"), size, "all", pl.Series([day]).to_physical().to_numpy())}

    def made(some: list[Bar]) -> list[Bar]:
        values = [(one.ticker, one.day, one.at, *plainbars.numbers(one), one.transactions) for one in some]
        kinds = [pl.String(), pl.Date(), pl.Datetime("us", "UTC"), *[pl.Float64()] * 5, pl.Int64()]
        frame = pl.DataFrame(values, dict(zip(COLUMNS, kinds, strict=True)), orient="row")
        return rows_of(fill.forward(frame, limit, places, intraday=True)[0])

    last = bars[-1].at
    assert [one for one in made(bars) if one.at < last] == [one for one in made(bars[:-1]) if one.at < last]


def test_what_is_filled_after_a_split_is_told_in_the_new_shares(tmp_path_factory: pytest.TempPathFactory) -> None:
    days = [date(2024, 3, 26), date(2024, 3, 27), date(2024, 3, 28), date(2024, 4, 1)]
    bars = [Bar("OLD", day, plainbars.midnight(day), 40, 44, 36, 42, 100, 5, day) for day in days[:2]]
    other = [replace(bars[0], ticker="ON", day=day, at=plainbars.midnight(day)) for day in days]
    with plainbars.landed(tmp_path_factory.mktemp("split"), [], [*bars, *other]) as bench:
        split = {"ticker": "OLD", "execution_date": "2024-03-28", "split_from": 1, "split_to": 4}
        update(bench.lake, Gathered("splits", "k", [split]), "polygon_api")

        def closes(size: str, how: str) -> list[float]:
            return bench.bars("OLD", freq=size, adjusted=how, fill="forward", limit=5)["close"].to_list()

        assert closes("1d", "none") == [42, 42, 10.5, 10.5]
        assert closes("1d", "splits") == [10.5] * 4
        assert closes("1w", "none") == [42, 10.5]
        assert bench.bars("OLD", freq="1d", fill="forward", limit=1)["filled"].to_list() == [False, False, True]


def test_no_session_that_the_lake_lacks_is_filled(bench: Workbench) -> None:
    got = bench.bars("AAA", freq="1d", fill="forward", limit=400)

    assert not ABSENT & set(got["date"])
    assert set(got["date"]) == {day for day in HELD if day >= got["date"][0]}


def test_a_session_that_came_for_some_tickers_is_held_for_these(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    table = bench.lake["stock_day"]
    asked = {key: replace(one, asked=("BBB",)) for key, one in table.landings().items()}
    monkeypatch.setattr(type(table), "landings", lambda *_: asked)
    without = bench.bars("AAA", freq="1d")

    assert bench.bars("AAA", freq="1d", fill="forward", limit=400).drop("filled").equals(without)
    its = bench.bars("BBB", freq="1d", fill="forward", limit=400)["date"]
    assert set(its) == {day for day in HELD if day >= its[0]}
    assert fill.held(bench.lake, "stock_day", 0) == {(day, "BBB") for day in HELD}


def test_an_early_close_ends_what_is_filled(bench: Workbench) -> None:
    day = date(2024, 7, 3)
    regular, post = (bench.bars("AAA", day, day, "5m", session=part, fill="forward", limit=500) for part in ("regular", "post"))

    assert regular["timestamp"].dt.time().max().isoformat() == "12:55:00"  # type: ignore[union-attr]
    assert post["timestamp"].dt.time().max().isoformat() == "16:55:00"  # type: ignore[union-attr]
    assert (regular["timestamp"].diff().drop_nulls() == timedelta(minutes=5)).all()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"fill": "forward"}, "wants a limit"),
        ({"limit": 3}, "without fill"),
        ({"fill": "forward", "limit": 0}, "limit=0"),
        ({"fill": "forward", "limit": -1}, "limit=-1"),
        ({"fill": "forward", "limit": True}, "limit=True"),
        ({"fill": "forward", "limit": 1.5}, "limit=1.5"),
        ({"fill": "linear", "limit": 3}, "no fill='linear'"),
    ],
)
def test_how_to_fill_is_said_when_it_is_asked_wrong(bench: Workbench, asked: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=rf"{says}.*nothing was read.*fill='forward', limit=5"):
        bench.bars("AAA", **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        "filled_bars('A', '1d', 0)",
        "filled_bars('A', '7q', 1)",
        "filled_bars('A', NULL, 1)",
        "resampled_bars('A', '1h', part := 'noon')",
        "resampled_bars('RARE', NULL)",
        "resampled_bars('RARE', '1d', part := NULL)",
        "adjusted_bars('RARE', bar_size := NULL)",
        "followed_bars('RARE', adjust := NULL)",
        "(SELECT bar_start(timestamp, date, NULL) FROM stock_minute)",
    ],
)
def test_sql_refuses_what_cannot_be_asked(bench: Workbench, call: str) -> None:
    with pytest.raises(duckdb.Error, match=r"row_limit is a number|bar_size is 1m, 5m|not of 'NULL'|not 'NULL'"):
        bench.sql(f"FROM {call}").fetchall()


def test_a_ticker_without_bars_has_none_filled(bench: Workbench) -> None:
    for size in ("5m", "1d", "1w"):
        got = bench.bars("NOPE", freq=size, fill="forward", limit=3)
        assert got.is_empty()
        assert got.schema == bench.bars("AAA", freq=size, fill="forward", limit=3).schema
