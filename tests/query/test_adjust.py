"""Adjusted bars: SQL, the fast path and a plain loop over all actions give the same; what must not be adjusted is not."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from chained import opened
from hypothesis import given, settings
from hypothesis import strategies as st
from reallake import landed
from reallake import real as real_files
from told import Row, Told, bar, day, dividend, listing, spell, split

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.lake import retention
from workbench.policies import Age, Retention
from workbench.query import adjust

PRICES = ("open", "high", "low", "close")
TICKERS = ["A", "NA", "TRUE", "BACpB"]
LAST = 40
LATE = day(LAST)


# ---------------------------------------------------------------------- one rule, three ways


def looped(told: dict[str, Any], ticker: str, as_of: date, adjusted: str) -> list[tuple[Any, ...]]:
    """What a plain loop over everything says: date, prices, volume."""
    counted = [s for s in told["splits"] if s["ticker"] == ticker and not s["duplicate_of"] and s["split_from"] > 0 and s["split_to"] > 0]
    raw = {}
    for row in told["stock_day"]:
        if row["ticker"] == ticker and row["date"] <= as_of:
            ratio = 1.0
            if row["source"] == "yahoo":
                for s in counted:
                    if row["date"] < s["execution_date"] <= told["bases"][row["date"]]:
                        ratio *= s["split_to"] / s["split_from"]
            raw[row["date"]] = [row[name] * ratio for name in PRICES], row["volume"] / ratio
    acting = [(s["execution_date"], s["split_from"] / s["split_to"], s["split_to"] / s["split_from"]) for s in counted]
    paid: dict[date, float] = {}
    for d in told["dividends"]:
        if d["ticker"] == ticker and d["currency"] in (None, "USD") and d["cash_amount"] > 0:
            paid[d["ex_dividend_date"]] = paid.get(d["ex_dividend_date"], 0) + d["cash_amount"]
    for ex, amount in paid.items() if adjusted == "all" else ():
        since = max(
            ex - timedelta(days=10),
            handed_over(told, ticker, ex) + timedelta(days=1) if handed_over(told, ticker, ex) > date.min else date.min,
        )
        before = [other for other in raw if since <= other < ex]
        if before:
            close = raw[max(before)][0][3]
            for s in counted:
                if max(before) < s["execution_date"] <= ex:
                    close *= s["split_from"] / s["split_to"]
            if amount < close:
                acting.append((ex, 1 - amount / close, 1.0))
    found = []
    reach = {when: handed_over(told, ticker, when) for when, _, _ in acting}
    for session, (prices, volume) in sorted(raw.items()):
        price_factor = volume_factor = 1.0
        for when, price, size in acting if adjusted != "none" else ():
            if session < when <= as_of and session > reach[when]:
                price_factor *= price
                volume_factor *= size
        found.append((session, *(price * price_factor for price in prices), volume * volume_factor))
    return found


def handed_over(told: dict[str, Any], ticker: str, when: date) -> date:
    """The last day before an action on which another had its ticker."""
    spells = [s for s in told["ticker_changes"] if s["ticker"] == ticker]
    ends = {id(s): s["last_date"] or date.max for s in spells}
    holder = [s["asset"] for s in spells if (s["first_date"] or date.min) <= when <= ends[id(s)]]
    return max((ends[id(s)] for s in spells if ends[id(s)] < when and s["asset"] not in holder), default=date.min)


@st.composite
def markets(draw: st.DrawFn) -> dict[str, Any]:
    """Bars on most days, splits and dividends on any, tickers that pass from hand to hand, sessions of Yahoo's."""
    ticker, nth = st.sampled_from(TICKERS), st.integers(1, LAST)
    bases: dict[date, date] = {}
    bars: list[Row] = []
    for name in TICKERS:
        for n in draw(st.sets(st.integers(0, LAST), min_size=1, max_size=25)):
            source = draw(st.sampled_from(["folder", "folder", "yahoo"]))
            bars.append(bar(name, n, draw(st.sampled_from([7.25, 50.0, 100.0])), source=source))
            bases.setdefault(day(n), day(n + draw(st.integers(0, 2 * LAST))))
    sizes = st.sampled_from([(1, 2), (1, 7), (10, 1), (1, 1.0027), (0, 2), (3, 0)])
    twice = st.sampled_from([None, None, None, day(3)])
    splits = draw(st.lists(st.tuples(ticker, nth, sizes, twice), max_size=12, unique_by=lambda one: one[:2]))
    amounts = st.sampled_from([0.25, 1.0, 30.0, 0.0])
    paid = st.tuples(ticker, nth, amounts, st.sampled_from(["USD", "USD", None, "CAD"]))
    dividends = draw(st.lists(paid, max_size=12, unique_by=lambda one: one[:3]))
    changes: list[Row] = []
    for name in draw(st.sets(ticker, max_size=2)):
        ends = sorted(draw(st.sets(st.integers(2, LAST - 2), min_size=1, max_size=3)))
        for since, until, asset in zip([None, *(n + 1 for n in ends)], [*ends, None], ["OLD", "OLDER", name, "LAST"], strict=False):
            changes.append(spell(f"{name} {asset}", name, since, until))
    return {
        "stock_day": bars,
        "splits": [split(name, n, *size, duplicate_of=of) for name, n, size, of in splits],
        "dividends": [dividend(*one) for one in dividends],
        "ticker_changes": changes,
        "bases": bases,
        "as_of": day(draw(st.integers(0, LAST))),
    }


@given(markets())
@settings(max_examples=20, deadline=None)
def test_sql_and_the_fast_path_say_what_a_plain_loop_says(market: dict[str, Any]) -> None:
    columns = f"date, {', '.join(PRICES)}, volume"
    as_of = market["as_of"]
    with Told(**market) as told:
        for ticker in TICKERS:
            for adjusted in adjust.ADJUSTED:
                expected = pytest.approx(flat(looped(market, ticker, as_of, adjusted)), rel=1e-12)
                asked = f"SELECT {columns} FROM adjusted_bars($t, adjust := '{adjusted}', as_of_date := $a) ORDER BY date"
                assert flat(told.ask(asked, t=ticker, a=as_of)) == expected
                assert flat(told.bars(ticker, as_of, adjusted).select("date", *PRICES, "volume").rows()) == expected
        viewed = told.ask(f"SELECT ticker, {columns} FROM stock_day_adjusted WHERE date <= $a ORDER BY ticker, date", a=as_of)
        by_loop = [(ticker, *row) for ticker in TICKERS for row in looped(market, ticker, as_of, "splits")]
        assert flat(viewed) == pytest.approx(flat(sorted(by_loop)), rel=1e-12)
        documented = "SELECT symbol, date, adjusted_close FROM shrek.stock_prices WHERE date <= $a ORDER BY symbol, date"
        assert flat(told.ask(documented, a=as_of)) == pytest.approx(flat([(one[0], one[1], one[5]) for one in sorted(by_loop)]), rel=1e-12)


def flat(rows: list[tuple[Any, ...]]) -> list[Any]:
    """Rows as one list of numbers."""
    return [
        value.toordinal() if isinstance(value, date) else ord(value[0]) if isinstance(value, str) else value
        for row in rows
        for value in row
    ]


# ---------------------------------------------------------------------- one at a time


def closes(told: Told, ticker: str = "A", as_of: date = LATE, adjusted: str = "splits") -> list[float]:
    """Closes as SQL has them; the fast path has the same."""
    found = told.ask("SELECT close FROM adjusted_bars($t, adjust := $j, as_of_date := $a) ORDER BY date", t=ticker, j=adjusted, a=as_of)
    assert told.bars(ticker, as_of, adjusted)["close"].to_list() == pytest.approx([close for (close,) in found])
    return [round(close, 9) for (close,) in found]


FLAT = [bar("A", n, 100.0) for n in range(6)]


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ([], [100] * 6),
        # In the table despite the checks of a refresh.
        ([split("A", 3, 0, 2), split("A", 4, 1, 0)], [100] * 6),
        ([split("A", 3, 1, 2), split("A", 4, 1, 2, duplicate_of=day(3))], [50, 50, 50, 100, 100, 100]),
        ([split("B", 3, 1, 2)], [100] * 6),
        ([split("A", 3, 1, 2, verdict="disagrees: raw closes 100 to 100")], [50, 50, 50, 100, 100, 100]),
        ([split("A", 2, 1, 2), split("A", 4, 10, 1)], [500, 500, 1000, 1000, 100, 100]),
        # The first day that is split is its own.
        ([split("A", 0, 1, 2), split("A", 5, 1, 4)], [25, 25, 25, 25, 25, 100]),
    ],
)
def test_splits(splits: list[Row], expected: list[float]) -> None:
    with Told(stock_day=FLAT, splits=splits) as told:
        assert closes(told) == expected


@pytest.mark.parametrize(
    ("dividends", "splits", "before"),
    [
        ([dividend("A", 3, 2)], [], 98),
        ([dividend("A", 3, 2, None)], [], 98),
        ([dividend("A", 3, 2, "CAD")], [], 100),
        ([dividend("A", 3, 2), dividend("A", 3, 3)], [], 95),
        ([dividend("A", 3, 2), dividend("A", 3, 3, "CAD")], [], 98),
        ([dividend("A", 3, 100)], [], 100),
        ([dividend("A", 3, 60), dividend("A", 3, 40)], [], 100),
        ([dividend("A", 3, 0), dividend("A", 3, -1)], [], 100),
        ([dividend("B", 3, 2)], [], 100),
        # The payment is of the shares of its date: a share of 100 has become two of 50, and each of them is paid 2.
        ([dividend("A", 3, 2)], [split("A", 3, 1, 2)], 50 * (1 - 2 / 50)),
        # The split is before: what is paid is of the 100 that were closed at since.
        ([dividend("A", 4, 2)], [split("A", 3, 1, 2)], 50 * (1 - 2 / 100)),
        ([dividend("A", 3, 2)], [split("A", 4, 1, 2)], 50 * (1 - 2 / 100)),
        # No bar is before it, or none near.
        ([dividend("A", 0, 2)], [], 100),
        ([dividend("A", 15, 2)], [], 98),
        ([dividend("A", 16, 2)], [], 100),
    ],
)
def test_dividends(dividends: list[Row], splits: list[Row], before: float) -> None:
    with Told(stock_day=FLAT, splits=splits, dividends=dividends) as told:
        assert closes(told, adjusted="all")[0] == before
        volumes = told.bars("A", day(LAST), "all")["volume"].to_list()
        assert volumes == told.bars("A", day(LAST), "splits")["volume"].to_list()


def test_what_is_declared_for_later_does_not_count_yet() -> None:
    today = workbench.sessions.today()
    told_ahead = {"execution_date": today + timedelta(days=1), "ex_dividend_date": today + timedelta(days=1)}
    splits = [{**split("A", 3, 1, 2), "execution_date": told_ahead["execution_date"]}]
    dividends = [{**dividend("A", 3, 2), "ex_dividend_date": told_ahead["ex_dividend_date"]}]
    with Told(stock_day=FLAT, splits=splits, dividends=dividends) as told:
        assert closes(told, as_of=today, adjusted="all") == [100] * 6
        assert told.ask("SELECT DISTINCT close FROM adjusted_bars('A', adjust := 'all')") == [(100,)]
        assert told.ask("SELECT DISTINCT close FROM stock_day_adjusted") == [(100,)]
        assert told.ask("FROM corporate_actions('A')") == []


def test_only_what_was_by_the_day_counts_and_later_bars_are_left_out() -> None:
    with Told(stock_day=FLAT, splits=[split("A", 3, 1, 2), split("A", 5, 1, 5)]) as told:
        assert [closes(told, as_of=day(n)) for n in (2, 3, 5)] == [[100] * 3, [50] * 3 + [100], [10] * 3 + [20] * 2 + [100]]


def test_a_lake_opened_as_of_an_instant_knows_the_actions_up_to_it() -> None:
    splits = [split("A", 3, 1, 2), split("A", 5, 1, 5)]
    with Told(as_of=day(4), stock_day=FLAT[:5], splits=splits) as told:
        assert [close for (close,) in told.ask("SELECT close FROM adjusted_bars('A') ORDER BY date")] == [50, 50, 50, 100, 100]
        assert [close for (close,) in told.ask("SELECT close FROM stock_day_adjusted ORDER BY date")] == [50, 50, 50, 100, 100]


@pytest.mark.parametrize(
    ("tickers", "changes", "expected"),
    [
        ([], [spell("Z", "A", None, 1), spell("B", "A", 2, None)], [100, 100, 50, 50, 100, 100]),
        # Told by nobody whose it is since.
        ([], [spell("Z", "A", None, 1), spell("Z", "Z", 2, None)], [100, 100, 50, 50, 100, 100]),
        # It was another symbol in between, and the source lists the split under the one of now.
        ([], [spell("A", "A", None, 1), spell("A", "B", 2, 4), spell("A", "A", 5, None)], [50, 50, 50, 50, 100, 100]),
        ([], [spell("Z", "A", None, 1), spell("Z", "B", 2, 4), spell("Z", "A", 5, None)], [50, 50, 50, 50, 100, 100]),
        # Another's in between: what is before that is not touched.
        ([], [spell("A", "A", None, 1), spell("Z", "A", 2, 2), spell("A", "A", 3, None)], [100, 100, 100, 50, 100, 100]),
        ([], [spell("A", "A", None, None)], [50, 50, 50, 50, 100, 100]),
        ([listing("A", 1, figi="F1"), listing("A", None, figi="F2")], [], [100, 100, 50, 50, 100, 100]),
        ([listing("A", 1, figi="F1", cik="1"), listing("A", None, figi="F1", cik="2")], [], [50, 50, 50, 50, 100, 100]),
        ([listing("A", 1, figi="F1", cik="1"), listing("A", None, cik="2")], [], [100, 100, 50, 50, 100, 100]),
        ([listing("A", 1, cik="1", name="X"), listing("A", None, cik="1", name="Y")], [], [50, 50, 50, 50, 100, 100]),
        ([listing("A", 1, name="X"), listing("A", None, name="Y")], [], [100, 100, 50, 50, 100, 100]),
        ([listing("A", 1, name="X"), listing("A", None)], [], [50, 50, 50, 50, 100, 100]),
        # Delisted after the split, or nobody else's since.
        ([listing("A", 4, figi="F1"), listing("A", None, figi="F2")], [], [50, 50, 50, 50, 100, 100]),
        ([listing("A", 1, figi="F1")], [], [50, 50, 50, 50, 100, 100]),
    ],
)
def test_a_companys_split_leaves_the_bars_of_one_that_had_the_ticker_before(
    tickers: list[Row], changes: list[Row], expected: list[float]
) -> None:
    with Told(stock_day=FLAT, splits=[split("A", 4, 1, 2)], tickers=tickers, ticker_changes=changes) as told:
        assert closes(told) == expected


def test_a_dividend_is_not_measured_by_another_companys_close() -> None:
    changes = [spell("Z", "A", None, 1), spell("B", "A", 2, None)]
    bars = [bar("A", n, 100.0) for n in (0, 1, 4)]
    with Told(stock_day=bars, dividends=[dividend("A", 3, 2)], ticker_changes=changes) as told:
        assert closes(told, adjusted="all") == [100] * 3


@pytest.mark.parametrize("ticker", TICKERS)
def test_tickers_are_texts_and_no_values(ticker: str) -> None:
    bars = [bar(name, n, 100.0) for name in TICKERS for n in range(3)]
    with Told(stock_day=bars, splits=[split(ticker, 1, 1, 4)], dividends=[dividend(ticker, 2, 2)]) as told:
        assert {name: closes(told, name, adjusted="all") for name in TICKERS} == {
            name: [25 * 0.98, 98, 100] if name == ticker else [100] * 3 for name in TICKERS
        }


def test_another_word_for_adjusted_is_refused_with_those_there_are() -> None:
    with Told(stock_day=FLAT) as told:
        with pytest.raises(UsageError, match=r"adjusted='raw'.*'none', 'splits' or 'all'"):
            told.bars("A", day(5), "raw")
        for arguments, says in (
            ("adjust := 'raw'", "'none', 'splits' or 'all', not 'raw'"),
            ("bar_size := '7q'", "'1d' and '1m', not of '7q'"),
        ):
            for macro in ("adjusted_bars", "followed_bars"):
                with pytest.raises(duckdb.Error, match=f"{macro}: .*{says}; nothing was read"):
                    told.ask(f"FROM {macro}('A', {arguments})")


def test_no_ticker_has_no_bars() -> None:
    with Told(stock_day=FLAT) as told:
        for macro in ("adjusted_bars", "followed_bars"):
            for adjust in ("none", "splits", "all"):
                assert len(told.ask(f"FROM {macro}(NULL, adjust := '{adjust}')")) == 0


# ---------------------------------------------------------------------- frames


def test_rows_that_nothing_applies_to_are_the_same_rows() -> None:
    rows = pl.DataFrame(FLAT).sort("date")
    applied = [adjust.Step(date.min, day(0), 0.5, 2.0), adjust.Step(day(20), day(30), 0.5, 2.0)]
    for steps in (adjust.Steps(), adjust.Steps({"A": applied}), adjust.Steps({"B": [adjust.Step(date.min, day(9), 0.5, 2.0)]})):
        assert steps.multiply(rows) is rows
        assert steps.multiply(rows.clear()).is_empty()


def test_several_tickers_are_multiplied_each_by_its_own() -> None:
    rows = pl.DataFrame([bar(ticker, n, 100.0) for ticker in "ABC" for n in range(4)]).with_columns(vwap=pl.lit(10.0))
    steps = adjust.Steps(
        {
            "A": [adjust.Step(day(1), day(3), 0.5, 2.0)],
            "C": [adjust.Step(date.min, day(1), 0.1, 10.0), adjust.Step(day(1), day(2), 0.2, 5.0)],
        },
    )
    got = steps.multiply(rows)
    assert got["close"].to_list() == [100, 50, 50, 100, 100, 100, 100, 100, 10, 20, 100, 100]
    assert got["vwap"].to_list() == [10, 5, 5, 10, 10, 10, 10, 10, 1, 2, 10, 10]
    assert got["volume"].to_list() == [1000, 2000, 2000, 1000, 1000, 1000, 1000, 1000, 10000, 5000, 1000, 1000]
    assert got.columns == rows.columns
    assert got.drop(*PRICES, "vwap", "volume").equals(rows.drop(*PRICES, "vwap", "volume"))
    assert rows["close"].to_list() == [100] * 12
    gaps = rows.with_columns(close=pl.when(pl.col("date") == day(1)).then(None).otherwise(pl.col("close")))
    assert steps.multiply(gaps)["close"].to_list() == [100, None, 50, 100, 100, None, 100, 100, 10, None, 100, 100]


def test_shares_know_splits_only_and_of_raw_bars_too() -> None:
    with Told(stock_day=FLAT, splits=[split("A", 3, 1, 2)], dividends=[dividend("A", 2, 5)]) as told:
        rows = told.bars("A", day(LAST), "none")
        for adjusted in adjust.ADJUSTED:
            shares = adjust.steps(told.rows, told.sql, ["A"], adjusted, day(LAST)).shares(rows)
            assert shares is not None
            assert shares.to_list() == [0.5] * 3 + [1] * 3
            assert adjust.steps(told.rows, told.sql, ["A"], adjusted, day(2)).shares(rows) is None


def test_factors_are_kept_until_a_table_moves_and_splits_need_no_closes() -> None:
    asked: list[str] = []
    with Told(stock_day=FLAT, splits=[split("A", 3, 1, 2)], dividends=[dividend("A", 2, 5)]) as told:

        def sql(query: str, **values: object) -> Any:
            asked.append(query)
            return told.sql(query, **values)

        first = adjust.steps(told.rows, sql, ["A"], "splits", day(9))
        assert adjust.steps(told.rows, sql, ["A"], "splits", day(9)) is first
        # All splits are read at once.
        adjust.steps(told.rows, sql, ["B", "A"], "none", day(2))
        assert len(asked) == 1
        assert "stock_day" not in asked[0]
        assert "actions_of" not in asked[0]
        whole = adjust.steps(told.rows, sql, ["A"], "all", day(9))
        assert adjust.steps(told.rows, sql, ["A"], "all", day(9)) is whole
        assert len(asked) == 2
        answers = adjust.Answers(limit=2)
        assert [answers(name, lambda name=name: name) for name in "abc"] == list("abc")  # type: ignore[misc]
        assert list(answers._held) == ["b", "c"]


# ---------------------------------------------------------------------- whole lakes


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with landed(
        tmp_path_factory.mktemp("real"),
        ["stock_day", "stock_minute"],
        "2013-01-02",
        "2014-12-31",
        ["splits", "dividends", "ticker_changes"],
    ) as bench:
        yield bench


@real_files
@pytest.mark.shared
@pytest.mark.parametrize(
    ("as_of", "close"), [("2014-12-31", 645.57 / 7), ("2014-06-09", 92.2243), ("2014-06-08", 645.57), (None, 645.57 / 28)]
)
def test_the_close_before_apples_split(real: Workbench, as_of: str | None, close: float) -> None:
    [got] = real.bars("AAPL", "2014-06-06", "2014-06-06", adjusted="splits", as_of=as_of)["close"].to_list()
    assert got == pytest.approx(close, abs=1e-4)
    by_sql = real.sql("SELECT close FROM adjusted_bars('AAPL', '2014-06-06', '2014-06-06', as_of_date := $a)", a=as_of).fetchall()
    assert by_sql == [(pytest.approx(close, abs=1e-4),)]
    if as_of is None:
        assert real.sql("SELECT close FROM stock_day_adjusted WHERE ticker = 'AAPL' AND date = '2014-06-06'").fetchall() == by_sql


@real_files
@pytest.mark.shared
@pytest.mark.parametrize("ticker", ["AAPL", "GOOG", "GOOGL", "IBM", "BAC", "BNO", "NOPE"])
@pytest.mark.parametrize("as_of", ["2014-12-31", "2014-03-01"])
def test_real_bars_with_splits_and_dividends_are_what_a_plain_loop_says(real: Workbench, ticker: str, as_of: str) -> None:
    told = {name: real.sql(f"FROM {name}").pl().to_dicts() for name in ("stock_day", "splits", "dividends", "ticker_changes")}
    for adjusted in adjust.ADJUSTED:
        expected = pytest.approx(flat(looped(told, ticker, date.fromisoformat(as_of), adjusted)), rel=1e-12)
        got = real.bars(ticker, adjusted=adjusted, as_of=as_of).select("date", *PRICES, "volume").rows()
        assert flat(got) == expected
        asked = f"SELECT date, {', '.join(PRICES)}, volume FROM adjusted_bars($t, adjust := $j, as_of_date := $a) ORDER BY date"
        assert flat(real.sql(asked, t=ticker, j=adjusted, a=as_of).fetchall()) == expected


@real_files
@pytest.mark.shared
def test_real_minutes_are_adjusted_as_their_day_is(real: Workbench) -> None:
    raw, got = (real.bars("AAPL", freq="1m", adjusted=adjusted, as_of="2014-12-31") for adjusted in ("none", "splits"))
    before = raw["date"] < date(2014, 6, 9)
    assert got.filter(~before).equals(raw.filter(~before))
    assert got.filter(before)["close"].to_list() == pytest.approx((raw.filter(before)["close"] / 7).to_list())
    assert got.filter(before)["volume"].to_list() == (raw.filter(before)["volume"] * 7).to_list()
    asked = "SELECT close FROM adjusted_bars('AAPL', bar_size := '1m', as_of_date := '2014-12-31') ORDER BY timestamp"
    assert [close for (close,) in real.sql(asked).fetchall()] == pytest.approx(got["close"].to_list())


def test_a_lake_without_reference_data_has_raw_bars(tmp_path: Path) -> None:
    with Workbench(Settings(data=str(tmp_path / "data"))) as bench:
        bench.lake.make()
        assert bench.bars("A", adjusted="all").is_empty()
        assert bench.sql("FROM adjusted_bars('A', adjust := 'all')").fetchall() == []
        assert bench.sql("FROM stock_day_adjusted").fetchall() == []
        assert bench.actions("A").rows == []


def test_yahoos_bars_are_brought_back_to_what_was_traded(settings: dict[str, str], tmp_path: Path) -> None:
    """SPLT splits 4 for 1 on 2024-03-11, and Yahoo's bars have it in them; the vendor's are asked for as they were."""
    days: dict[str, Any] = {"start": "2024-03-06", "end": "2024-03-13", "maintain": False}
    with opened(settings, WORKBENCH_UNIVERSE="SPLT", WORKBENCH_DATA=str(tmp_path / "traded")) as bench:
        bench.refresh(source="polygon_api", datasets=["stock_day"], **days).run()
        traded = bench.bars("SPLT")
    with opened(settings, WORKBENCH_YAHOO="true", WORKBENCH_UNIVERSE="SPLT") as bench:
        bench.refresh(source="yahoo", datasets=["stock_day"], **days).run()
        bench.refresh(source="polygon_api", datasets=["splits"], maintain=False).run()
        stored = bench.sql("FROM stock_day ORDER BY date").pl()

        assert stored["source"].unique().to_list() == ["yahoo"]
        assert stored["date"].equals(traded["date"])
        ratios = [4.0 if one < date(2024, 3, 11) else 1.0 for one in stored["date"]]
        assert set(ratios) == {1.0, 4.0}
        assert (stored["close"] * pl.Series(ratios)).to_list() == pytest.approx(traded["close"].to_list(), rel=1e-4)
        for got in (bench.bars("SPLT"), bench.sql("FROM adjusted_bars('SPLT', adjust := 'none') ORDER BY date").pl()):
            assert got["close"].to_list() == pytest.approx(traded["close"].to_list(), rel=1e-4)
            assert got["volume"].to_list() == pytest.approx(traded["volume"].to_list(), rel=1e-4)
            assert "source" not in got.columns
        for asked in ("FROM adjusted_bars('SPLT') ORDER BY date", "FROM stock_day_adjusted ORDER BY date"):
            assert bench.sql(asked).pl()["close"].to_list() == pytest.approx(stored["close"].to_list())
        assert bench.bars("SPLT", adjusted="splits")["close"].to_list() == pytest.approx(stored["close"].to_list())
        before = bench.bars("SPLT", adjusted="splits", as_of="2024-03-08")
        assert before["close"].to_list() == pytest.approx(traded["close"].to_list()[:3], rel=1e-4)

        for leaving in retention.plan(bench.lake, {"stock_day": Retention(Age(1, "week"), "archive")}, date(2030, 1, 1)):
            retention.retire(bench.lake, leaving)
        archived = bench.bars("SPLT", table="ohlcv_archive")
        assert bench.bars("SPLT").is_empty()
        assert archived["close"].to_list() == pytest.approx(traded["close"].to_list(), rel=1e-4)
