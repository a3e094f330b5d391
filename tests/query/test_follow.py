"""Bars of an asset under every symbol that it had: by SQL and by the fast path."""

from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
from reallake import landed
from reallake import real as real_files
from told import Row, Told, bar, day, dividend, spell, split

from workbench.bench import Workbench
from workbench.errors import BadRange
from workbench.query import spells
from workbench.query.prices import COLUMNS, table_of

LATE = day(40)
# OLD until the third day, NEW since; OLD is another company's from the fifth on.
RENAMED = [spell("NEW", "OLD", None, 2), spell("NEW", "NEW", 3, None), spell("OLD", "OLD", 5, None)]
BARS = [bar(ticker, n, 100.0) for ticker, days in {"OLD": (0, 1, 2, 5, 6), "NEW": (3, 4, 5, 6)}.items() for n in days]


def followed(told: Told, ticker: str, as_of: date = LATE, adjusted: str = "splits") -> list[tuple[int, str, float]]:
    rows = told.ask(
        "SELECT date, traded_as, close FROM followed_bars($t, adjust := $j, as_of_date := $a) ORDER BY date", t=ticker, j=adjusted, a=as_of
    )
    return [((when - day(0)).days, symbol, round(close, 9)) for when, symbol, close in rows]


def test_bars_are_those_of_each_spell_under_its_symbol() -> None:
    with Told(stock_day=BARS, ticker_changes=RENAMED) as told:
        assert followed(told, "NEW") == [(n, "OLD" if n < 3 else "NEW", 100) for n in range(7)]
        # The company that has the symbol now begins where it got it.
        assert followed(told, "OLD") == [(n, "OLD", 100) for n in (5, 6)]
        # Before the change the asset was the other symbol's, and its new one nobody's.
        assert followed(told, "OLD", as_of=day(1)) == [(n, "OLD", 100) for n in (0, 1)]
        assert followed(told, "NEW", as_of=day(1)) == []
        # A ticker that nothing is told of is followed nowhere.
        assert followed(told, "NOPE") == []
        assert told.ask("SELECT DISTINCT ticker FROM followed_bars('NEW')") == [("NEW",)]


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        # Under the symbol of then.
        ([split("OLD", 2, 1, 2)], [50, 50, 100, 100, 100, 100, 100]),
        # On the day of the change, under either symbol, or both.
        ([split("OLD", 3, 1, 2)], [50, 50, 50, 100, 100, 100, 100]),
        ([split("NEW", 3, 1, 2)], [50, 50, 50, 100, 100, 100, 100]),
        ([split("OLD", 3, 1, 2), split("NEW", 3, 1, 2)], [50, 50, 50, 100, 100, 100, 100]),
        # Under the symbol of now, though it had another then.
        ([split("NEW", 1, 1, 4)], [25, 100, 100, 100, 100, 100, 100]),
        # Of the company that has the old symbol now.
        ([split("OLD", 6, 1, 2)], [100] * 7),
        ([split("OLD", 2, 1, 2), split("NEW", 5, 1, 5)], [10, 10, 20, 20, 20, 100, 100]),
    ],
)
def test_the_actions_of_each_spell_count(splits: list[Row], expected: list[float]) -> None:
    with Told(stock_day=BARS, ticker_changes=RENAMED, splits=splits) as told:
        assert [close for *_, close in followed(told, "NEW")] == expected


def test_a_change_to_a_symbol_that_another_has_at_once_takes_none_of_its_actions() -> None:
    changes = [spell("NEW", "OLD", None, 2), spell("NEW", "NEW", 3, None), spell("OLD", "OLD", 3, None)]
    with Told(stock_day=BARS, ticker_changes=changes, splits=[split("OLD", 3, 1, 2)]) as told:
        assert [close for *_, close in followed(told, "NEW")] == [100] * 7


def test_a_symbol_of_now_that_was_anothers_brings_nothing_of_that_time() -> None:
    """As GOOG: another asset had it, and its actions, until the day before."""
    changes = [spell("X", "NEW", None, 2), spell("X", "X", 3, None), spell("NEW", "OLD", None, 2), spell("NEW", "NEW", 3, None)]
    with Told(stock_day=BARS, ticker_changes=changes, splits=[split("NEW", 1, 1, 4), split("NEW", 5, 1, 2)]) as told:
        assert [close for *_, close in followed(told, "NEW")] == [50] * 5 + [100] * 2


def test_a_dividend_is_measured_by_the_close_under_the_symbol_of_then() -> None:
    paid = [dividend("NEW", 3, 2), dividend("OLD", 2, 5)]
    with Told(stock_day=BARS, ticker_changes=RENAMED, dividends=paid) as told:
        assert [close for *_, close in followed(told, "NEW", adjusted="all")] == [100 * 0.98 * 0.95] * 2 + [98] + [100] * 4
        assert [close for *_, close in followed(told, "NEW")] == [100] * 7
        # Not followed, the first close of the new symbol has none before it.
        assert told.ask("SELECT reason FROM corporate_actions('NEW')") == [("no close of the 10 days before it is in stock_day",)]


@pytest.mark.parametrize(
    ("changes", "ticker", "expected"),
    [
        ([], "A", [("A", None, None)]),
        # The asset that had the symbol last, and has gone.
        ([spell("A", "B", None, 1), spell("A", "A", 2, 5)], "A", [("B", None, 1), ("A", 2, 5)]),
        # Renamed since: what has the symbol now is another, and begins the day after.
        ([spell("Z", "A", None, 5), spell("Z", "Z", 6, None)], "A", [("A", 6, None)]),
        # To another and back again.
        ([spell("A", "A", None, 1), spell("A", "B", 2, 3), spell("A", "A", 4, None)], "A", [("A", None, 1), ("B", 2, 3), ("A", 4, None)]),
        # A first day that is not told is the one after the spell before; the very first may not be.
        ([spell("A", "B", None, 1), spell("A", "A", None, None)], "A", [("B", None, 1), ("A", 2, None)]),
        # The old symbol was another's before it.
        ([spell("Q", "B", None, 1), spell("A", "B", None, 5), spell("A", "A", 6, None)], "A", [("B", 2, 5), ("A", 6, None)]),
    ],
)
def test_spells(changes: list[Row], ticker: str, expected: list[tuple[str, int | None, int | None]]) -> None:
    with Told(ticker_changes=changes) as told:
        got = told.ask("SELECT ticker, first_date, last_date FROM ticker_spells($t, as_of_date := $a)", t=ticker, a=LATE)
    begins, ends = date(1, 1, 1), LATE
    assert got == [
        (symbol, begins if first is None else day(first), ends if last is None else day(last)) for symbol, first, last in expected
    ]


@pytest.mark.parametrize(
    "changes",
    [
        # Another company had the symbol until it was delisted; who has it on the day is called otherwise since.
        [spell("A", "A", None, 3), spell("B", "A", 10, 28), spell("B", "B", 29, None)],
        # Swapped, and back again: who has it at last has not got it on the day.
        [spell("A", "A", None, 3), spell("A", "B", 4, 30), spell("A", "A", 31, None), spell("B", "B", None, 3), spell("B", "A", 4, 30)],
    ],
)
def test_who_has_a_symbol_on_the_day_comes_before_who_had_it(changes: list[Row]) -> None:
    with Told(ticker_changes=changes) as told:
        assert told.ask("SELECT DISTINCT asset FROM ticker_spells('A', as_of_date := $a)", a=day(20)) == [("B",)]
        assert told.ask("SELECT DISTINCT asset FROM ticker_spells('A', as_of_date := $a)", a=day(2)) == [("A",)]


# ---------------------------------------------------------------------- whole lakes


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with landed(
        tmp_path_factory.mktemp("real"), ["stock_day"], "2013-05-01", "2014-06-30", ["splits", "dividends", "ticker_changes"]
    ) as bench:
        yield bench


def read(bench: Workbench, tickers: list[str], first: str | None, last: str | None, as_of: str) -> pl.DataFrame:
    since, until = (date.fromisoformat(one) if one else None for one in (first, last))
    return spells.read(
        bench._rows(), bench.sql, tickers, lambda ticker: table_of(ticker, "1d"), since, until, date.fromisoformat(as_of), lambda _: COLUMNS
    )


@real_files
@pytest.mark.shared
@pytest.mark.parametrize(
    "tickers", [["GOOGL"], ["GOOG"], ["IBM"], ["TFCFA"], ["FOXA"], ["NOPE"], [], ["GOOGL", "IBM", "TFCFA", "GOOG", "NOPE"]]
)
@pytest.mark.parametrize(
    ("first", "last", "as_of"), [(None, None, "2014-12-31"), ("2014-03-31", "2014-04-04", "2014-12-31"), (None, None, "2014-04-02")]
)
def test_both_ways_give_the_same_bars(real: Workbench, tickers: list[str], first: str | None, last: str | None, as_of: str) -> None:
    got = read(real, tickers, first, last, as_of)

    assert got.columns == [*COLUMNS, "traded_as"]
    asked = f"""SELECT {", ".join(COLUMNS)}, traded_as FROM followed_bars($t, first_session := $f, last_session := $l, adjust := 'none',
        as_of_date := $a) ORDER BY timestamp"""
    by_sql = [real.sql(asked, t=ticker, f=first, l=last, a=as_of).pl() for ticker in sorted(tickers)]
    assert got.equals(pl.concat([got.clear(), *by_sql]))
    assert got.n_chunks() == 1


@real_files
@pytest.mark.shared
def test_googles_a_share_before_it_was_googl(real: Workbench) -> None:
    got = read(real, ["GOOGL"], "2014-04-01", "2014-04-04", "2014-12-31")
    assert got["traded_as"].to_list() == ["GOOG", "GOOG", "GOOGL", "GOOGL"]
    assert got["ticker"].unique().to_list() == ["GOOGL"]
    adjusted = real.bars("GOOGL", "2014-04-01", "2014-04-04", adjusted="splits", as_of="2014-12-31", follow=True)
    assert adjusted["close"].to_list() == pytest.approx([1134.89 / 2, 1135.1 / 2, 571.5, 545.25])
    by_sql = real.sql("SELECT close FROM followed_bars('GOOGL', '2014-04-01', '2014-04-04') ORDER BY date").fetchall()
    assert [close for (close,) in by_sql] == pytest.approx(adjusted["close"].to_list())
    # The class C share, which has the symbol since, has its own 1.0027 for 1 of 2015, and nothing of the time before.
    goog = real.bars("GOOG", "2014-04-01", "2014-04-04", adjusted="splits")
    assert goog["close"].to_list() == pytest.approx([1134.89, 1135.1, 569.74 / 1.0027, 543.14 / 1.0027])


@real_files
@pytest.mark.shared
def test_a_reversed_range_is_refused(real: Workbench) -> None:
    for tickers in (["GOOGL"], ["IBM"]):
        with pytest.raises(BadRange, match="2014-04-04 is after 2014-04-01"):
            read(real, tickers, "2014-04-04", "2014-04-01", "2014-12-31")
