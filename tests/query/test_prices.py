"""Bars as a frame: the same rows as SQL gives, whatever files they stand in."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench
from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, LakeError, UnknownName, UsageError
from workbench.lake import tiering
from workbench.lake.reference import update
from workbench.query import adjust, kept, rows
from workbench.query.prices import COLUMNS
from workbench.sources.reference import Gathered
from workbench.tables import find

# In the vendor's order, which is not that of bytes; ticker ranges end between some of them, and ZVZZT is a test ticker.
TICKERS = ["A", "AA", "AApA", "AAB", "AMZ", "AMZN", "BACpB", "BACPB", "BRK.A", "NA", "TRUE", "ZVZZT", "ZZZZ", "aB"]
ABSENT = ["", "AB", "AMZM", "BACpb", "M", "ZZZZZ", "é", "'"]
DAYS = sessions.between(STOCK_MINUTE, date(2024, 2, 26), date(2024, 3, 8))


def publish(vendor: Path, days: list[date]) -> None:
    for n, day in enumerate(days):
        # Not every ticker trades every day.
        there = [t for at, t in enumerate(TICKERS) if (at + n) % 5]
        put(vendor, STOCK_DAY, day, text([bar(t, day, close=10 + n / 2) for t in there]))
        put(vendor, STOCK_MINUTE, day, text([line for at, t in enumerate(there) for line in minutes(t, day, 1 + at % 4, first=at)]))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake with a cold month, a hot one, and a session that came late, in the middle of the cold month."""
    home = tmp_path_factory.mktemp("prices")
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    february, march = [d for d in DAYS if d.month == 2], [d for d in DAYS if d.month == 3]
    # One of those left out never comes: the month is not whole, and the other stays hot.
    publish(home / "vendor", [february[0], february[3]])
    bench.refresh(source=f"folder:{home / 'vendor'}").run()
    for name in ("stock_day", "stock_minute"):
        for one in tiering.due(bench.lake[name], everything=True):
            assert tiering.compact(bench.lake[name], one).outcome == "compacted"
    publish(home / "vendor", [february[1], *march])
    put(home / "vendor", find("crypto_minute"), THU, text(coins("X:BTC-USD", THU)))
    put(home / "vendor", find("crypto_day"), THU, text(coins("X:BTC-USD", THU)[:1]))
    bench.refresh(source=f"folder:{home / 'vendor'}").run()
    temperatures = {file.bucket is None for file in bench.lake["stock_minute"].snapshot().files}
    assert temperatures == {True, False}
    yield bench
    bench.close()


def coins(ticker: str, day: date) -> list[str]:
    start = find("crypto_minute").session_ns(day)[0]
    return [f"{ticker},1.5,10,10.5,11,9.5,{start + n * 60_000_000_000},5" for n in range(3)]


def asked(bench: Workbench, table: str, tickers: list[str], first: date | None, last: date | None) -> pl.DataFrame:
    """The same in SQL, on all files: a condition that nothing narrows by."""
    found: pl.DataFrame = bench.sql(
        f"""SELECT {", ".join(COLUMNS)} FROM (FROM {table} OFFSET 0)
            WHERE list_contains($tickers, ticker) AND date BETWEEN $first AND $last ORDER BY ticker, timestamp""",
        tickers=tickers or [None],
        first=first or date(1, 1, 1),
        last=last or date(9999, 12, 31),
    ).pl()
    return found


DATES = st.none() | st.integers(-2, 14).map(lambda n: DAYS[0] + timedelta(days=n))


@given(
    tickers=st.lists(st.sampled_from([*TICKERS, *ABSENT]), max_size=6),
    first=DATES,
    last=DATES,
    freq=st.sampled_from(["1d", "1m"]),
    threads=st.sampled_from([1, 3]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bars_are_the_rows_that_sql_gives(
    bench: Workbench, tickers: list[str], first: date | None, last: date | None, freq: str, threads: int
) -> None:
    bench.settings = replace(bench.settings, threads=threads)
    if first and last and first > last:
        first, last = last, first

    got = bench.bars(tickers, first, last, freq)

    expected = asked(bench, {"1d": "stock_day", "1m": "stock_minute"}[freq], tickers, first, last)
    assert got.equals(expected)
    assert got.schema == expected.schema
    assert got.n_chunks() == 1


def test_one_ticker_needs_no_list_and_dates_may_be_text(bench: Workbench) -> None:
    got = bench.bars("AMZN", "2024-02-27", "2024-03-05", freq="1m")

    assert got.columns == list(COLUMNS)
    assert got["ticker"].unique().to_list() == ["AMZN"]
    assert (got["date"].min(), got["date"].max()) == (date(2024, 2, 29), date(2024, 3, 5))
    assert got.equals(asked(bench, "stock_minute", ["AMZN"], date(2024, 2, 27), date(2024, 3, 5)))


def test_time_is_told_in_the_configured_zone(bench: Workbench) -> None:
    other = Workbench(Settings.load(env={}, data=str(bench.lake.root), timezone="Asia/Tokyo"))

    assert bench.bars("A", freq="1m").schema["timestamp"] == pl.Datetime("us", "America/New_York")
    assert other.bars("A", freq="1m").schema["timestamp"] == pl.Datetime("us", "Asia/Tokyo")
    assert other.bars("A", freq="1m")["timestamp"].to_physical().equals(bench.bars("A", freq="1m")["timestamp"].to_physical())


def test_an_unknown_ticker_has_no_rows_but_columns(bench: Workbench) -> None:
    assert bench.bars("NOPE").equals(bench.bars("AMZN").clear())
    assert bench.bars([]).schema == bench.bars("AMZN").schema
    assert bench.bars("O:NOPE", freq="1m").schema == bench.bars("AMZN").schema


def test_the_prefix_tells_the_asset_class_and_a_table_may_be_named(bench: Workbench) -> None:
    assert len(bench.bars("X:BTC-USD")) == 1
    assert len(bench.bars("X:BTC-USD", freq="1m")) == 3
    assert len(bench.bars("X:BTC-USD", freq="1m", table="crypto_minute")) == 3
    assert bench.bars("X:BTC-USD", table="crypto_minute")["volume"].to_list() == [4.5]
    assert len(bench.bars("A", table="crypto_minute")) == 0
    assert bench.bars("ESZ4", table="futures_session").columns == list(COLUMNS)


def test_tickers_of_several_asset_classes_come_together_in_order(bench: Workbench) -> None:
    got = bench.bars(["aB", "X:BTC-USD", "AA"], THU, THU, freq="1m")

    assert got["ticker"].unique(maintain_order=True).to_list() == ["AA", "X:BTC-USD", "aB"]
    assert got["date"].unique().to_list() == [THU]


def test_as_of_leaves_out_what_came_after(bench: Workbench) -> None:
    assert bench.bars("AMZN", as_of="2024-03-01").equals(bench.bars("AMZN", end="2024-03-01"))
    assert bench.bars("AMZN", end="2024-02-28", as_of="2024-03-01").equals(bench.bars("AMZN", end="2024-02-28"))


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"freq": "7q"}, UsageError, "no bars of '7q'.*1m, 5m, 15m, 30m, 1h, 1d, 1w, 1mo"),
        ({"adjusted": "dividends"}, UsageError, "'dividends'.*none, splits, all"),
        ({"session": "lunch"}, UsageError, "no part 'lunch'.*all, pre, regular, post"),
        ({"fill": "forward"}, UsageError, "wants a limit"),
        ({"freq": "5m", "table": "stock_day"}, UsageError, "stock_day holds bars of whole sessions.*5m.*a table of minutes"),
        ({"session": "pre", "table": "stock_day"}, UsageError, "stock_day holds bars of whole sessions.*the pre part"),
        ({"session": "post", "table": "crypto_minute"}, UsageError, "crypto_minute has no post-market"),
        ({"start": FRI, "end": THU}, BadRange, "2024-03-08 is after 2024-03-07"),
        ({"start": "yesterday"}, BadRange, "is not a date"),
        ({"table": "stock_dya"}, UnknownName, "stock_day"),
        ({"table": "stock_trades"}, UsageError, "holds ticks, not bars"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(bench: Workbench, asked: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        bench.bars("AMZN", **asked)  # type: ignore[arg-type]


def test_what_begins_after_as_of_has_no_bars(bench: Workbench) -> None:
    for freq in ("1m", "5m", "1d", "1w"):
        got = bench.bars("AMZN", "2024-03-04", "2024-03-08", freq=freq, as_of="2024-03-01")
        assert got.is_empty()
        assert got.schema == bench.bars("AMZN", freq=freq).schema
        followed = bench.bars("AMZN", "2024-03-04", freq=freq, as_of="2024-03-01", follow=True)
        assert followed.schema == bench.bars("AMZN", freq=freq, follow=True).schema


def test_an_index_has_no_volume(tmp_path: Path) -> None:
    vendor, index = tmp_path / "vendor", find("index_minute")
    start = index.session_ns(THU)[0] + 10 * 3_600_000_000_000
    header = ",".join(index.headers[0])
    lines = [f"I:SPX,{n},{n},{n},{n},{start + n * 60_000_000_000}" for n in range(1, 9)]
    put(vendor, index, THU, text(lines, header))
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    bench.refresh(source=f"folder:{vendor}").run()

    for freq, count in (("1m", 8), ("5m", 2), ("1d", 1)):
        got = bench.bars("I:SPX", freq=freq, table="index_minute")
        assert got.schema == bench.bars("AMZN").schema
        assert (len(got), got["high"].max(), got["volume"].null_count()) == (count, 8, count)
    assert bench.bars("I:SPX", freq="5m", fill="forward", limit=1)["volume"].null_count() == 3


def test_bars_read_what_queries_read(tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    put(vendor, STOCK_DAY, THU, text([bar("AAA", THU)]))
    bench.refresh(source=f"folder:{vendor}").run()
    time.sleep(0.01)
    instant = datetime.now(UTC)
    time.sleep(0.01)

    with bench.pin():
        put(vendor, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
        bench.refresh(source=f"folder:{vendor}").run()
        assert bench.bars("AAA")["date"].to_list() == [THU]

    assert bench.bars("AAA")["date"].to_list() == [THU, FRI]
    with workbench.open(tmp_path / "lake", as_of=instant) as past:
        assert past.bars("AAA")["date"].to_list() == [THU]


def test_a_file_that_is_gone_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    put(vendor, STOCK_DAY, MON, text([bar("AAA", MON)]))
    bench.refresh(source=f"folder:{vendor}").run()
    assert len(bench.bars("AAA")) == 1
    [file] = bench.lake["stock_day"].snapshot().files
    (bench.lake["stock_day"].folder / file.path).unlink()

    with pytest.raises(LakeError, match="workbench verify"):
        bench.bars("AAA")


def test_footers_are_kept_up_to_a_size(bench: Workbench) -> None:
    cold = [f"{bench.lake['stock_minute'].folder}/{f.path}" for f in bench.lake["stock_minute"].snapshot().files if f.bucket]
    footers = rows.Footers(limit=1)

    for path in cold:
        assert footers(path)[0].num_rows
        assert footers(path) is not None
    assert list(footers._held) == cold[-1:]
    assert footers._bytes == footers._held[cold[-1]][2]


# ---------------------------------------------------------------------- whatever the user does


def split_of(bench: Workbench, ticker: str, day: date, shares: float) -> None:
    told = {"ticker": ticker, "execution_date": day.isoformat(), "split_from": 1, "split_to": shares}
    update(bench.lake, Gathered("splits", f"{ticker} {day}", [told]), "polygon_api")


def a_lake(home: Path, shares: float) -> Workbench:
    """Two sessions of a ticker, and its split on the second."""
    for day in (THU, FRI):
        put(home / "vendor", STOCK_DAY, day, text([bar("A", day)]))
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    bench.refresh(source=f"folder:{home / 'vendor'}", datasets=["stock_day"], maintain=False).run()
    split_of(bench, "A", FRI, shares)
    return bench


@pytest.mark.parametrize(
    "before",
    [
        "BEGIN",
        "BEGIN; SELECT count(*) FROM stock_day",
        "CREATE TEMP TABLE stock_day(x INTEGER); CREATE TEMP TABLE splits(x INTEGER); CREATE TEMP TABLE dividends(x INTEGER)",
        "ATTACH ':memory:' AS other; CREATE TABLE other.stock_day(x INTEGER); USE other",
        "SET search_path = 'information_schema'",
    ],
)
def test_what_the_user_does_in_sql_is_nothing_to_bars(tmp_path: Path, before: str) -> None:
    with a_lake(tmp_path, 2) as bench:
        bench.sql(before)

        assert bench.bars("A", adjusted="splits")["close"].to_list() == [5.25, 10.5]
        assert bench.bars("A", adjusted="all", follow=True)["close"].to_list() == [5.25, 10.5]
        assert [row["told"] for row in bench.actions("A").rows] == ["2 for 1"]


def test_a_transaction_of_the_users_own_has_the_macros(tmp_path: Path) -> None:
    with a_lake(tmp_path, 2) as bench:
        for begin in ("BEGIN", "start  transaction"):
            bench.sql(begin)
            bench.sql("SELECT count(*) FROM stock_day").fetchall()
            assert bench.sql("SELECT close FROM adjusted_bars('A', adjust := 'all') ORDER BY date").fetchall() == [(5.25,), (10.5,)]
            bench.sql("COMMIT")


def test_a_lake_in_the_place_of_another_has_its_own_splits(tmp_path: Path) -> None:
    for shares, close in ((2, 5.25), (3, 3.5)):
        with a_lake(tmp_path, shares) as bench:
            assert bench.bars("A", adjusted="splits")["close"][0] == close
            assert bench.bars("A", adjusted="all")["close"][0] == close
        shutil.rmtree(tmp_path / "lake")


def test_the_day_of_an_instant_is_new_yorks(tmp_path: Path) -> None:
    """On the evening before a split, which is the split's day already elsewhere."""
    with a_lake(tmp_path, 2) as bench:
        evening = datetime(FRI.year, FRI.month, FRI.day, 2, tzinfo=UTC)

        assert bench.bars("A", adjusted="splits", as_of=evening)["close"].to_list() == [10.5]


@pytest.mark.parametrize("tickers", [None, 5, [5], ["A", None], b"A", [["A"]]])
def test_what_is_no_ticker_is_refused(bench: Workbench, tickers: Any) -> None:
    for ask in (bench.bars, bench.actions):
        with pytest.raises(UsageError, match="is not a ticker; nothing was done"):
            ask(tickers)


@pytest.mark.parametrize("day", [20240308, 5.0, np.datetime64("2024-03-08")])
def test_what_is_no_date_is_refused(bench: Workbench, day: Any) -> None:
    with pytest.raises(BadRange, match="is not a date; nothing was done"):
        bench.bars("A", as_of=day)


def test_files_of_yahoos_and_others_come_together_cold_and_hot(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Yahoo gave a session, the source of each row is read too, which is a text."""
    expected = bench.bars(TICKERS, freq="1m"), bench.bars("A", follow=True)
    monkeypatch.setattr(adjust, "KEPT", adjust.Answers())
    monkeypatch.setattr(kept, "bases", lambda *_: {THU: THU})

    assert bench.bars(TICKERS, freq="1m").equals(expected[0])
    assert bench.bars("A", follow=True).equals(expected[1])
