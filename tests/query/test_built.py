"""Bars made of trades: by the rules of their conditions, the same in Python, in SQL and by hand; and against the minute file."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from flatfiles import BAR, FRI, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, put, text
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from reallake import landed, real

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, UsageError
from workbench.lake.reference import update
from workbench.query import built
from workbench.sources import sample
from workbench.sources.reference import Gathered
from workbench.tables import find
from workbench.tables.trade_conditions import TRADE_CONDITIONS

# As the reference gives them, an id each: high and low, open and close, volume. All others change nothing.
RULES = {
    "YYY": "1 3 4 6 8 9 11 14 18 19 23 24 25 27 28 30 31 34 35 36 55",
    "YNY": "5 10 17 22 32 33",
    "NNY": "2 7 12 13 20 21 29 37 52 53",
    "NNN": "15 16",
    "YYN": "38",
}
RULE = {int(number): rule for rule, numbers in RULES.items() for number in numbers.split()}
EARLY = date(2024, 7, 3)
HOUR, MINUTE = 3_600_000_000_000, 60_000_000_000
SIZES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}
CONDITIONS = (
    *(None, None, "12", "37", "12,37", "14", "14,12", "10", "32,12", "38", "38,12", "15", "16,9", "2,53", "41,57", "56", "4,8", "12,8,999"),
    *("12, 37", " 12", "[12]", "odd", "12;37", "99999999999", ",", "012"),
)
# Some more around the edges of the parts of a session, in minutes since midnight in New York.
EDGES = (239, 240, 569, 570, 571, 779, 780, 781, 959, 960, 961, 1019, 1020, 1199, 1200)
Row = dict[str, Any]


def row(
    ticker: str, day: date, at: int, nth: int, price: float, size: float, conditions: str | None, correction: int | None, late: int
) -> Row:
    stamp = STOCK_TRADES.session_ns(day)[0] + at
    return {
        "ticker": ticker,
        "date": day,
        "sip_timestamp": stamp,
        "sequence_number": nth,
        "participant_timestamp": stamp - late if late else 0,
        "price": price,
        "size": size,
        "conditions": conditions,
        "correction": correction,
    }


def by_hand(trades: list[Row], minutes: int = 1, part: str = "all", by: str = "sip_timestamp") -> list[Row]:
    """The bars, told one trade at a time."""
    bars: dict[tuple[str, datetime], Row] = {}

    def told(one: Row) -> int:
        return int(one[by] or one["sip_timestamp"])

    for one in sorted(trades, key=lambda one: (one["ticker"], told(one) // 1000, one["sip_timestamp"], one["sequence_number"])):
        if not one["price"] > 0 or not one["size"] > 0 or (one["correction"] or 0) in (1, 7, 8, 10, 11):
            continue
        midnight = STOCK_TRADES.session_ns(one["date"])[0]
        at = (told(one) - midnight) / MINUTE
        close = 780 if one["date"] == EARLY else 960
        opening, its = max((edge, name) for edge, name in ((-1e9, "before"), (240, "pre"), (570, "regular"), (close, "post")) if at >= edge)
        since = 240 if its == "before" else opening
        if its == "post" and at >= (1020 if one["date"] == EARLY else 1200):
            its = "after"
        if part not in ("all", its):
            continue
        listed = (one["conditions"] or "").replace(";", ",").strip("[] ").split(",")
        rules = [RULE.get(int(n), "YYY") for n in map(str.strip, listed) if n.isdigit()]
        late = [RULE.get(int(n), "YYY") for n in map(str.strip, listed) if n.isdigit() and int(n) != 12]
        priced = rules if its == "regular" else late
        high_low, open_close = (all(rule[n] == "Y" for rule in priced) for n in (0, 1))
        counts = all(rule[2] == "Y" for rule in rules)
        start = datetime.fromtimestamp(midnight / 1e9, ZoneInfo("UTC")) + timedelta(minutes=since + (at - since) // minutes * minutes)
        bar = bars.setdefault(
            (one["ticker"], start),
            {"prices": [], "ends": [], "volume": 0.0, "transactions": 0, "weight": 0.0, "traded": 0.0} | {"date": one["date"]},
        )
        bar["prices"] += [one["price"]] * high_low
        bar["ends"] += [one["price"]] * open_close
        if counts:
            bar["volume"] += one["size"]
            bar["transactions"] += 1
            if high_low or open_close:
                bar["weight"] += one["size"]
                bar["traded"] += one["price"] * one["size"]
    return [
        {
            "ticker": ticker,
            "date": bar["date"],
            "timestamp": start.astimezone(ZoneInfo("America/New_York")),
            "open": bar["ends"][0],
            "high": max(bar["prices"]),
            "low": min(bar["prices"]),
            "close": bar["ends"][-1],
            "volume": bar["volume"],
            "transactions": bar["transactions"],
            "vwap": bar["traded"] / bar["weight"] if bar["weight"] else None,
        }
        for (ticker, start), bar in sorted(bars.items())
        if bar["prices"] and bar["ends"]
    ]


def random_trades(seed: int, count: int) -> list[Row]:
    """Trades of few minutes, so that many share one, and of few instants."""
    some = Random(seed)
    rows = []
    for nth in range(count):
        minute = some.choice(EDGES) + some.choice([0, 0, 0, 1, 7])
        rows.append(
            row(
                some.choice(["AAPL", "BACpB", "NA", "TRUE"]),
                some.choice([THU, FRI, EARLY]),
                minute * MINUTE + some.choice([0, 1, 999, 30 * 10**9, MINUTE - 1]),
                nth,
                some.choice([0, *range(1, 40)]) / 4,
                some.choice([0, 0.0015, 1, 100, 250]),
                some.choice(CONDITIONS),
                some.choice([None, 0, 0, 0, 0, 1, 7, 8, 10, 11, 12]),
                some.choice([0, 1, 1500, 10 * MINUTE, HOUR]),
            )
        )
    return rows


ROWS = random_trades(7, 6000)


def by_time(one: Row) -> tuple[str, int]:
    return one["ticker"], one["sip_timestamp"]


def line(one: Row) -> str:
    listed = "" if one["conditions"] is None else f'"{one["conditions"]}"'
    correction = "" if one["correction"] is None else one["correction"]
    stamp = one["sip_timestamp"]
    return f"{one['ticker']},{listed},{correction},4,7,{one['participant_timestamp']},{one['price']},{one['sequence_number']},{stamp},{one['size']},1,0,0"


def minute(one: Row, close: float | None = None) -> str:
    stamp = int(one["timestamp"].timestamp()) * 10**9
    close = one["close"] if close is None else close
    return f"{one['ticker']},{one['volume']},{one['open']},{close},{one['high']},{one['low']},{stamp},{one['transactions']}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake of trades, and of the minutes that they make but for some: one has another close, one is lacking, and of Friday there are none."""
    home = tmp_path_factory.mktemp("built")
    for day in (THU, FRI, EARLY):
        # Those of one instant in any order: they are told apart by their sequence number.
        shuffled = Random(day.day).sample([one for one in ROWS if one["date"] == day], k=sum(one["date"] == day for one in ROWS))
        put(home / "vendor", STOCK_TRADES, day, text(map(line, sorted(shuffled, key=by_time)), TRADE))
    for day in (THU, EARLY):
        bars = [one for one in by_hand(ROWS) if one["date"] == day]
        wrong, lacking = [one for one in bars if one["ticker"] == "NA"][:2]
        lines = [minute(one, one["high"] + 1 if one is wrong else None) for one in bars if one is not lacking]
        put(home / "vendor", STOCK_MINUTE, day, text([*lines, f"ALONE,1,1,1,1,1,{STOCK_MINUTE.session_ns(day)[0] + 10 * HOUR},1"], BAR))
    for name in ("option_trades", "crypto_trades"):
        sample.write(home / "vendor", find(name), THU, tickers=3, rows=300)
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    bench.refresh(source=f"folder:{home / 'vendor'}").run()
    assert bench.sql("SELECT count(*) FROM stock_trades").fetchall() == [(len(ROWS),)]
    yield bench
    bench.close()


def test_conditions_are_those_of_the_reference() -> None:
    letters = {True: "Y", False: "N"}
    ours = {one.id: "".join(letters[each] for each in (one.high_low, one.open_close, one.volume)) for one in TRADE_CONDITIONS if one.ruled}
    assert ours == RULE
    assert {one.id for one in TRADE_CONDITIONS if not one.ruled} == {41, *range(57, 61), *range(62, 72)}
    assert {one.id for one in TRADE_CONDITIONS if one.legacy} == {6, 27, 31, 33, 35, 55}


def test_the_view_has_the_same_conditions(bench: Workbench) -> None:
    rows = bench.sql("SELECT * EXCLUDE (source) FROM trade_conditions ORDER BY id").fetchall()
    assert rows == [
        (one.id, one.name, *((one.high_low, one.open_close, one.volume) if one.ruled else (None,) * 3), one.legacy)
        for one in TRADE_CONDITIONS
    ]


@given(
    trades=st.lists(
        st.tuples(
            st.sampled_from(["A", "b"]),
            st.sampled_from([THU, EARLY]),
            st.sampled_from(EDGES).flatmap(lambda at: st.integers(at * MINUTE - 2, at * MINUTE + 2)),
            st.integers(0, 3),
            st.sampled_from([0.0, 9.5, 10.0, 10.25]),
            st.sampled_from([0.0, 1.0, 2.5]),
            st.sampled_from(CONDITIONS),
            st.sampled_from([None, 0, 1, 12]),
            st.sampled_from([0, 1, HOUR]),
        ),
        max_size=12,
        unique_by=lambda one: one[:4],
    ),
    freq=st.sampled_from(list(SIZES)),
    part=st.sampled_from(["all", "pre", "regular", "post"]),
    by=st.sampled_from(built.TIMES),
)
@settings(max_examples=300, deadline=None)
def test_bars_are_those_told_by_hand(trades: list[tuple[Any, ...]], freq: str, part: str, by: str) -> None:
    rows = sorted((row(*one) for one in trades), key=by_time)
    schema = {
        "ticker": pl.String,
        "date": pl.Date,
        "sip_timestamp": pl.Int64,
        "sequence_number": pl.Int64,
        "participant_timestamp": pl.Int64,
        "price": pl.Float64,
        "size": pl.Float64,
        "conditions": pl.String,
        "correction": pl.Int8,
    }
    stamp = (pl.col("sip_timestamp") // 1000).cast(pl.Datetime("us", "America/New_York")).alias("timestamp")

    got = built.made(pl.DataFrame(rows, schema=schema).with_columns(stamp), STOCK_TRADES, freq, part, by)

    assert_frame_equal(got, framed(by_hand(rows, SIZES[freq], part, by), got), rel_tol=1e-12)


def framed(bars: list[Row], like: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(bars, schema=like.schema)


@pytest.mark.parametrize("part", ["all", "pre", "regular", "post"])
@pytest.mark.parametrize("freq", SIZES)
def test_python_and_sql_give_the_bars_told_by_hand(bench: Workbench, freq: str, part: str) -> None:
    names = ["AAPL", "BACpB", "NA", "TRUE"]

    got = bench.bars_from_trades(names, THU, EARLY, freq, part)

    assert_frame_equal(got, framed(by_hand(ROWS, SIZES[freq], part), got), rel_tol=1e-12)
    query = "FROM bars_from_trades($name, $first, $last, bar_size := $freq, part := $part) ORDER BY timestamp"
    in_sql = [bench.sql(query, name=name, first=THU, last=str(EARLY), freq=freq, part=part).pl() for name in names]
    assert_frame_equal(got, pl.concat(in_sql), rel_tol=1e-12)


def test_one_date_is_one_session_in_python_and_in_sql(bench: Workbench) -> None:
    got = bench.bars_from_trades("NA", "2024-03-08")

    assert got["date"].unique().to_list() == [FRI]
    assert_frame_equal(got, bench.sql("FROM bars_from_trades('NA', '2024-03-08') ORDER BY timestamp").pl(), rel_tol=1e-12)
    assert bench.bars_from_trades("NOPE", FRI).equals(got.clear())
    assert bench.bars_from_trades([], FRI).equals(got.clear())


def test_the_time_at_the_exchange_may_tell_the_minute(bench: Workbench) -> None:
    got = bench.bars_from_trades(["TRUE", "AAPL"], THU, EARLY, by="participant_timestamp")

    assert_frame_equal(
        got, framed(by_hand([one for one in ROWS if one["ticker"] in ("TRUE", "AAPL")], by="participant_timestamp"), got), rel_tol=1e-12
    )


@pytest.mark.parametrize(("table", "minute"), [("option_trades", "option_minute"), ("crypto_trades", "crypto_minute")])
def test_of_other_assets_every_trade_counts(bench: Workbench, table: str, minute: str) -> None:
    correction = "AND coalesce(correction, 0) IN (0, 12)" if table == "option_trades" else ""
    expected = bench.sql(
        f"""SELECT ticker, time_bucket(INTERVAL 1 minute, timestamp) AS minute, max(price), min(price), sum(size), count(*)
            FROM {table} WHERE price > 0 AND size > 0 {correction} GROUP BY ALL ORDER BY ALL"""
    ).fetchall()

    got = bench.bars_from_trades(sorted({one[0] for one in expected}), THU)

    assert [(*one[:5], one[5]) for one in got.select("ticker", "timestamp", "high", "low", "volume", "transactions").rows()] == [
        (*one[:4], pytest.approx(one[4]), one[5]) for one in expected
    ]
    assert len(got) > 10


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"freq": "7q"}, UsageError, "bars of '7q' are not made of trades.*1m, 5m"),
        ({"freq": "1d"}, UsageError, "bars of '1d' are not made of trades"),
        ({"by": "timestamp"}, UsageError, "by='timestamp' is no time of a trade"),
        ({"session": "night"}, UsageError, "no part 'night'"),
        ({"tickers": "X:BTC-USD", "session": "pre"}, UsageError, "crypto_trades has no pre-market"),
        ({"tickers": "C:EUR-USD"}, UsageError, "no trades of C:EUR-USD.*stock_trades"),
        ({"start": FRI, "end": THU}, BadRange, "2024-03-08 is after 2024-03-07"),
    ],
)
def test_what_cannot_be_asked_is_refused(bench: Workbench, asked: dict[str, Any], error: type[Exception], says: str) -> None:
    everything: dict[str, Any] = {"tickers": "AAPL", "start": THU} | asked
    with pytest.raises(error, match=says):
        bench.bars_from_trades(**everything)


@pytest.mark.parametrize("asked", ["bar_size := '7q'", "bar_size := '1d'", "part := 'night'"])
@pytest.mark.parametrize("ticker", ["AAPL", "NOPE"])
def test_sql_refuses_sizes_and_parts_that_there_are_not(bench: Workbench, ticker: str, asked: str) -> None:
    with pytest.raises(duckdb.Error, match="bar_size is 1m, 5m, 15m, 30m"):
        bench.sql(f"FROM bars_from_trades('{ticker}', '{THU}', {asked})").fetchall()


def test_minutes_that_differ_are_listed_and_shares_told(bench: Workbench) -> None:
    report = built.compared(bench.sql)

    assert [(one["ticker"], one["date"], one["differs"]) for one in report] == [
        ("NA", day, what) for day in (THU, EARLY) for what in ("close", "open, high, low, close, volume, transactions")
    ]
    assert [one["open"] is None for one in report] == [False, True] * 2
    assert report.facts["not_compared"] == [FRI]
    shares = {one["ticker"]: one for one in report.facts["shares"]}
    assert sorted(shares) == ["AAPL", "BACpB", "NA", "TRUE"]
    count = shares["NA"]["minutes"]
    assert count == len([one for one in by_hand(ROWS) if one["ticker"] == "NA" and one["date"] != FRI])
    assert (shares["NA"]["close"], shares["NA"]["volume"], shares["NA"]["equal"]) == pytest.approx(
        (1 - 4 / count, 1 - 2 / count, 1 - 4 / count)
    )
    assert shares["AAPL"]["equal"] == 1
    assert (report.facts["minutes"], report.facts["differing"]) == (sum(one["minutes"] for one in shares.values()), 4)


def test_sql_lists_the_same_minutes(bench: Workbench) -> None:
    for name in ("NA", "AAPL", "ALONE", "NOPE"):
        rows = bench.sql("FROM built_against_minutes($name, $first, $last) ORDER BY timestamp", name=name, first=THU, last=EARLY).pl()
        report = built.compared(bench.sql, name, THU, EARLY)
        assert len(rows) == report.facts["minutes"]
        listed = rows.filter(pl.col("differs").list.len() > 0).with_columns(pl.col("differs").list.join(", "))
        assert_frame_equal(listed, framed(report.rows, listed), rel_tol=1e-12)


def test_few_trades_at_a_time_make_the_same_report(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = built.compared(bench.sql, ["NA", "TRUE", "AAPL"])
    monkeypatch.setattr(built, "BATCH", 1200)
    reads = []

    def sql(query: str, **values: object) -> Any:
        reads.append(query)
        return bench.sql(query, **values)

    assert built.compared(sql, ["NA", "TRUE", "AAPL"]).to_json() == whole.to_json()
    assert sum("sequence_number" in query for query in reads) == 4


def test_conditions_without_a_rule_are_counted_and_the_lake_may_know_them(bench: Workbench) -> None:
    named = {
        token: len([one for one in ROWS if token in (one["conditions"] or "").split(",") and one["date"] != FRI]) for token in ("56", "odd")
    }
    before = built.compared(bench.sql).facts["unlisted"]
    assert before["56"] == named["56"]
    assert set(before) == {"56", "999", "99999999999", "odd"}
    as_listed = bench.bars_from_trades("AAPL", THU, EARLY)

    rule = {
        "asset_class": "stocks",
        "type": "sale_condition",
        "id": 56,
        "name": "x",
        "updates_high_low": False,
        "updates_open_close": False,
    }
    # What an id means of quotes is nothing to trades.
    rows = [
        rule | {"data_type": kind, "id": number, "updates_volume": False} for kind, number in (("trade", 56), ("quote", 56), ("quote", 999))
    ]
    update(bench.lake, Gathered("conditions", "k", rows), "polygon_api")
    try:
        assert set(built.compared(bench.sql).facts["unlisted"]) == {"999", "99999999999", "odd"}
        got = bench.bars_from_trades("AAPL", THU, EARLY)
        without = [one for one in ROWS if one["ticker"] == "AAPL" and one["conditions"] != "56"]
        assert_frame_equal(got, framed(by_hand(without), got), rel_tol=1e-12)
        assert not got.equals(as_listed)
        in_sql = bench.sql("FROM bars_from_trades('AAPL', $first, $last) ORDER BY timestamp", first=THU, last=EARLY).pl()
        assert_frame_equal(got, in_sql, rel_tol=1e-12)
    finally:
        bench.reset("conditions")


@pytest.fixture(scope="module")
def real_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with landed(Path(tmp_path_factory.mktemp("real"))) as made:
        yield made


@real
@pytest.mark.parametrize(("ticker", "minutes", "close"), [("IBM", 453, 0.834), ("BAC", 595, 0.980)])
def test_bars_of_every_real_trade_equal_the_minute_file_in_volume(real_bench: Workbench, ticker: str, minutes: int, close: float) -> None:
    report = built.compared(real_bench.sql, ticker, date(2013, 10, 7), date(2013, 10, 7))

    [shares] = report.facts["shares"]
    assert shares["minutes"] == minutes
    # The data has no sale conditions, so that odd lots set prices here that they did not set in the file.
    assert shares["close"] == pytest.approx(close, abs=5e-4)
    assert shares["volume"] >= 0.99
    assert shares["transactions"] == 1
    rows = real_bench.sql("FROM built_against_minutes($ticker, '2013-10-07') WHERE len(differs) > 0 ORDER BY timestamp", ticker=ticker).pl()
    assert rows.with_columns(pl.col("differs").list.join(", ")).to_dicts() == report.rows
