"""Bars of every size and part: the same from Python, from SQL and from the rules in plain Python."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import plainbars
import polars as pl
import pyarrow as pa
import pytest
from flatfiles import STOCK_DAY, STOCK_MINUTE
from hypothesis import given, settings
from hypothesis import strategies as st
from plainbars import DAYS, PARTS, SIZES, TICKERS, Bar, alike, rows_of

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import tiering
from workbench.lake.reference import update
from workbench.query import resample
from workbench.query.prices import COLUMNS
from workbench.sources.reference import Gathered
from workbench.tables import find

FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
SPLIT = ("BBB", date(2024, 3, 28), 4.0)
ROWS = plainbars.made_up()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake of made-up bars, partly cold, with a split in the middle of a week and of a month."""
    with plainbars.landed(tmp_path_factory.mktemp("resample"), *ROWS) as bench:
        for name in ("stock_day", "stock_minute"):
            for one in tiering.due(bench.lake[name], everything=True)[:2]:
                assert tiering.compact(bench.lake[name], one).outcome == "compacted"
        ticker, day, shares = SPLIT
        split = {"ticker": ticker, "execution_date": day.isoformat(), "split_from": 1, "split_to": shares}
        update(bench.lake, Gathered("splits", "k", [split]), "polygon_api")
        yield bench


def expected(tickers: list[str], first: date, last: date, size: str, part: str) -> list[Bar]:
    rows = ROWS[size in ("1d", "1w", "1mo") and part == "all"]
    mine = [one for one in rows if one.ticker in tickers and first <= one.day <= last]
    return plainbars.resampled(mine, size, part, split=SPLIT)


SPANS = st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map(sorted)


@given(st.lists(st.sampled_from(TICKERS), min_size=1, unique=True), SPANS, st.sampled_from(SIZES), st.sampled_from(PARTS))
@settings(max_examples=80, deadline=None)
def test_bars_are_as_the_rules_say(bench: Workbench, tickers: list[str], span: list[date], size: str, part: str) -> None:
    got = bench.bars(tickers, span[0], span[1], freq=size, session=part)

    assert alike(rows_of(got), expected(tickers, span[0], span[1], size, part))
    assert got.columns == list(COLUMNS)
    assert got.schema == bench.bars("AAA", freq="1m").schema
    assert not got.select(pl.any_horizontal(pl.all().is_null()).any()).item()


@given(st.sampled_from(TICKERS), SPANS, st.sampled_from(SIZES), st.sampled_from(PARTS))
@settings(max_examples=25, deadline=None)
def test_sql_gives_the_same(bench: Workbench, ticker: str, span: list[date], size: str, part: str) -> None:
    query = f"""SELECT {", ".join(COLUMNS)} FROM resampled_bars($ticker, $size, $first, $last, part := $part, adjust := 'none')
        ORDER BY timestamp"""

    got = bench.sql(query, ticker=ticker, size=size, first=span[0], last=span[1], part=part).pl()

    assert alike(rows_of(got), expected([ticker], span[0], span[1], size, part))


MINUTE = st.tuples(st.sampled_from(DAYS), st.integers(-5 * 60, 17 * 60))


@given(st.sets(MINUTE, max_size=60), st.sampled_from(SIZES[1:6]), st.sampled_from(PARTS), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_minutes_may_be_joined_where_they_are_read(some: set[tuple[date, int]], size: str, part: str, cut: int) -> None:
    rows = [
        Bar("A", day, plainbars.edges(day)[0] + timedelta(minutes=n), n, n + 2, n - 2, n + 1, 2.0**-n if n < 9 else n, abs(n), day)
        for day, n in sorted(some)
    ]
    frame = framed(rows)
    grid = resample.grid(STOCK_MINUTE, size)
    pieces = [resample.shortened(one.drop("ticker").to_arrow(), grid) if grid else one.to_arrow() for one in (frame[:cut], frame[cut:])]
    early = pl.from_arrow(pa.concat_tables(pieces))
    assert isinstance(early, pl.DataFrame)
    early = early.with_columns(pl.lit("A").alias("ticker")).select(frame.columns).cast(frame.schema)

    for given_rows in (frame, early):
        made = resample.days(given_rows, STOCK_MINUTE, part) if size == "1d" else resample.intraday(given_rows, STOCK_MINUTE, size, part)
        assert alike(rows_of(made), plainbars.resampled(rows, size, part))


def framed(rows: list[Bar]) -> pl.DataFrame:
    values = [(one.ticker, one.day, one.at, *map(float, plainbars.numbers(one)), one.transactions) for one in rows]
    kinds = [pl.String(), pl.Date(), pl.Datetime("us", "UTC"), *[pl.Float64()] * 5, pl.Int64()]
    return pl.DataFrame(values, dict(zip(COLUMNS, kinds, strict=True)), orient="row")


def test_trades_that_nobody_counted_stay_unknown() -> None:
    rows = framed([one for one in ROWS[0] if one.ticker == "AAA" and one.day == DAYS[0]])
    hour = resample.intraday(rows, STOCK_MINUTE, "1h")
    first = hour["timestamp"][0]
    told = rows.with_columns(pl.when(pl.col("timestamp") >= first + timedelta(hours=1)).then("transactions").alias("transactions"))

    got = resample.intraday(told, STOCK_MINUTE, "1h")["transactions"]

    assert got[0] is None
    assert got[1:].equals(hour["transactions"][1:])


@pytest.mark.parametrize(
    ("day", "regular"),
    [
        (date(2024, 3, 12), ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]),
        (date(2024, 7, 3), ["09:30", "10:30", "11:30", "12:30"]),
    ],
)
def test_hours_are_counted_from_the_opening(day: date, regular: list[str]) -> None:
    pre, opens, closes, post = plainbars.edges(day)
    minutes = [pre + timedelta(minutes=n) for n in range(-90, int((post - pre).total_seconds()) // 60 + 1)]
    rows = framed([Bar("A", day, at, 1, 1, 1, 1, 1, 1, day) for at in minutes])

    def told(part: str) -> list[str]:
        return [f"{at.astimezone(plainbars.ZONE):%H:%M}" for at in resample.intraday(rows, STOCK_MINUTE, "1h", part)["timestamp"]]

    assert told("regular") == regular
    assert told("pre") == ["04:00", "05:00", "06:00", "07:00", "08:00", "09:00"]
    last = resample.intraday(rows, STOCK_MINUTE, "1h", "pre")[-1]
    assert last["volume"].to_list() == [30.0]
    assert told("all")[:3] == ["02:00", "03:00", "04:00"]
    assert told("post") == [f"{closes.astimezone(plainbars.ZONE).hour + n}:00" for n in range(4)]
    assert opens


def test_a_week_is_named_by_its_first_session_and_holds_no_other(bench: Workbench) -> None:
    got = bench.bars("AAA", "2024-03-26", "2024-04-03", freq="1w")

    # Monday was a session, though the bars that are asked for begin on Tuesday; Good Friday was none.
    assert got["date"].to_list() == [date(2024, 3, 25), date(2024, 4, 1)]
    assert got["timestamp"].dt.time().unique().to_list() == [datetime.min.time()]
    assert bench.bars("AAA", "2024-07-05", "2024-07-09", freq="1w")["date"].to_list() == [date(2024, 7, 8)]


def test_a_week_without_sessions_by_the_calendar_is_named_by_its_first_day() -> None:
    week = pl.Series("date", [date(2001, 9, 12), date(2001, 9, 17)])
    assert resample.firsts(week, STOCK_DAY, "1w").to_list() == [date(2001, 9, 10), date(2001, 9, 17)]
    assert sessions.between(find("crypto_day"), date(2024, 3, 2), date(2024, 3, 3)) == [date(2024, 3, 2), date(2024, 3, 3)]
    assert resample.firsts(pl.Series("date", [date(2024, 3, 3)]), find("crypto_day"), "1w").to_list() == [date(2024, 2, 26)]


def test_a_week_with_a_split_in_it_is_told_in_the_shares_of_its_end(bench: Workbench) -> None:
    raw, adjusted = (bench.bars("BBB", "2024-03-25", "2024-03-28", freq="1w", adjusted=how) for how in ("none", "splits"))
    before = bench.bars("BBB", "2024-03-25", "2024-03-27", freq="1w", adjusted="none")
    days = bench.bars("BBB", "2024-03-25", "2024-03-28")

    assert raw.equals(adjusted)
    assert before["open"][0] == days["open"][0] == pytest.approx(4 * raw["open"][0])
    *before_it, last = days["volume"].to_list()
    assert raw["volume"][0] == pytest.approx(4 * sum(before_it) + last)


def test_whole_sessions_may_be_made_of_minutes(bench: Workbench) -> None:
    got = bench.bars("AAA", freq="1d", table="stock_minute")

    assert alike(rows_of(got), plainbars.resampled([one for one in ROWS[0] if one.ticker == "AAA"], "1d", "all"))
    assert got["timestamp"].to_list() == [plainbars.midnight(day) for day in got["date"]]


@pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")
def test_the_month_of_a_real_split_is_told_in_one_kind_of_share(tmp_path: Path) -> None:
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as bench:
        bench.refresh(source=f"folder:{FLATFILES}", datasets=["stock_day", "stock_minute"], start="2014-05-01", end="2014-07-31").run()
        split = {"ticker": "AAPL", "execution_date": "2014-06-09", "split_from": 1, "split_to": 7}
        update(bench.lake, Gathered("splits", "k", [split]), "polygon_api")
        days = bench.bars("AAPL", "2014-06-01", "2014-06-30")

        for how in ("none", "splits"):
            month = bench.bars("AAPL", "2014-06-01", "2014-06-30", freq="1mo", adjusted=how)
            assert month["date"].to_list() == [date(2014, 6, 2)]
            assert month["open"].item() == pytest.approx(days["open"][0] / 7)
            assert month["close"].item() == days["close"][-1]
            assert month["high"].item() < 100
        # Up to the Friday before, nothing has split.
        assert bench.bars("AAPL", "2014-06-01", as_of="2014-06-08", freq="1mo")["close"].item() == 645.57
        told = bench.sql(
            "SELECT open, high, low, close, volume FROM resampled_bars('AAPL', '1mo', '2014-06-01', '2014-06-30', adjust := 'none')"
        )
        assert told.fetchall()[0] == pytest.approx(month.select("open", "high", "low", "close", "volume").row(0))
        regular = bench.bars("AAPL", "2014-06-09", "2014-06-09", freq="1d", session="regular")
        pre = bench.bars("AAPL", "2014-06-09", "2014-06-09", freq="5m", session="pre")
        assert (regular["open"].item() < 100, pre["open"][0]) == (True, 645.57)


def test_threads_do_not_change_a_sum(bench: Workbench) -> None:
    one, two = (Workbench(replace(bench.settings, threads=threads)).bars(list(TICKERS), freq="15m") for threads in (1, 3))
    assert one.equals(two)


def test_other_markets_have_one_part() -> None:
    day = date(2024, 3, 9)
    crypto = find("crypto_minute")
    at = [datetime(2024, 3, 9, tzinfo=UTC) + timedelta(minutes=n) for n in (0, 59, 60, 1439)]
    rows = framed([Bar("X:BTC-USD", day, one, 1, 1, 1, 1, 1, 1, day) for one in at])

    for part in ("all", "regular"):
        got = resample.intraday(rows, crypto, "1h", part)
        assert got["timestamp"].dt.hour().to_list() == [0, 1, 23]
    assert resample.days(rows, crypto)["volume"].to_list() == [4.0]
    option = find("option_minute")
    opening = plainbars.edges(date(2024, 3, 12))[1]
    late = [opening + timedelta(minutes=n) for n in (-1, 0, 61, 390)]
    rows = framed([Bar("O:A", date(2024, 3, 12), one, 1, 1, 1, 1, 1, 1, day) for one in late])
    assert [f"{one:%H:%M}" for one in resample.intraday(rows, option, "1h")["timestamp"].dt.convert_time_zone("America/New_York")] == [
        "08:30",
        "09:30",
        "10:30",
        "16:00",
    ]
    assert len(resample.intraday(rows, option, "1h", "regular")) == 2
