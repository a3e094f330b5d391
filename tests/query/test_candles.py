"""Candles that fit their pixels: the SQL gives what is drawn, weeks are whole, and the size follows the width."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import plainbars
import polars as pl
import pytest
from flatfiles import put, text

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.reference import update
from workbench.query import candles
from workbench.query.candles import Wanted
from workbench.sources.reference import Gathered
from workbench.tables import Table, find

DAY, MINUTE = find("stock_day"), find("stock_minute")
FIRST, LAST = date(2024, 3, 7), date(2024, 7, 8)


def stocks(home: Path) -> None:
    """A lake of stocks whose sessions end early and whose clocks change, with a split in a week that has sessions on both sides of it, and a dividend."""
    bench = plainbars.landed(home, *plainbars.made_up())
    split = {"ticker": "AAA", "execution_date": "2024-07-02", "split_from": 1, "split_to": 4}
    paid = {"ticker": "AAA", "ex_dividend_date": "2024-03-27", "cash_amount": 0.5, "currency": "USD"}
    for name, row in (("splits", split), ("dividends", paid)):
        update(bench.lake, Gathered(name, "k", [row]), "polygon_api")
    bench.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Read only."""
    home = tmp_path_factory.mktemp("candles")
    stocks(home)
    return Workbench(Settings.load(env={}, data=str(home / "lake")))


def same(bench: Workbench, wanted: Wanted) -> int:
    """The SQL gives what `rows` does, but for the rounding of sums; how many candles there are."""
    rows = wanted.rows(bench.bars)
    told = bench.sql(wanted.sql).pl().with_columns(pl.col("timestamp").cast(rows.schema["timestamp"])).cast(dict(rows.schema))
    keys = ["ticker", "date", "timestamp", "transactions"]
    assert told.select(keys).equals(rows.select(keys))
    for name in ("open", "high", "low", "close", "volume"):
        ours, theirs = (frame[name].fill_null(-1).to_list() for frame in (told, rows))
        assert ours == pytest.approx(theirs, rel=1e-9)
    return len(rows)


@pytest.mark.parametrize(
    ("adjusted", "size"), [*(("none", size) for size in candles.SIZES), ("splits", "1h"), ("splits", "1w"), ("all", "1d"), ("all", "1mo")]
)
def test_the_sql_of_stocks_gives_what_is_drawn(bench: Workbench, size: str, adjusted: str) -> None:
    for table in (DAY, MINUTE):
        if size in candles.sizes(table, "all"):
            assert same(bench, Wanted("AAA", table, size, FIRST, LAST, adjusted))


@pytest.mark.parametrize("size", ["30m", "1d", "1w"])
def test_so_it_does_of_a_part_of_the_session_and_as_of_a_day(bench: Workbench, size: str) -> None:
    assert same(bench, Wanted("AAA", MINUTE, size, FIRST, LAST, "all", date(2024, 7, 1), "regular"))
    assert same(bench, Wanted("AAA", MINUTE, size, FIRST, LAST, "none", date(2024, 7, 1)))


def test_a_week_with_a_split_in_it_is_told_in_the_shares_of_its_last_session(bench: Workbench) -> None:
    raw, split = (Wanted("AAA", MINUTE, "1w", date(2024, 7, 1), date(2024, 7, 1), how).rows(bench.bars) for how in ("none", "splits"))
    assert raw["high"].to_list() == split["high"].to_list()
    assert same(bench, Wanted("AAA", MINUTE, "1w", date(2024, 7, 1), date(2024, 7, 1)))


def test_weeks_and_months_at_the_edges_of_what_is_read_are_whole(bench: Workbench) -> None:
    whole = Wanted("BBB", DAY, "1w", date(2024, 3, 4), date(2024, 4, 7)).rows(bench.bars)
    part = Wanted("BBB", DAY, "1w", date(2024, 3, 13), date(2024, 3, 27)).rows(bench.bars)
    assert part.equals(whole[1:-1] if len(whole) > 3 else whole.filter(pl.col("date").is_in(part["date"].implode())))
    assert Wanted("BBB", DAY, "1mo", date(2024, 3, 13), date(2024, 3, 13)).span == (date(2024, 3, 1), date(2024, 3, 31))
    assert Wanted("BBB", DAY, "1mo", date(2024, 12, 13), date(2024, 12, 13)).span == (date(2024, 12, 1), date(2024, 12, 31))


OTHERS = {
    "crypto": ("X:BTCUSD", [date(2024, 3, 8) + timedelta(days=n) for n in range(5)]),
    "forex": ("C:EURUSD", [date(2024, 3, 8), date(2024, 3, 11)]),
    "option": ("O:AAPL240621C00190000", [date(2024, 3, 8), date(2024, 3, 11)]),
    "index": ("I:SPX", [date(2024, 3, 8), date(2024, 3, 11), date(2024, 4, 1)]),
}


def line(table: Table, ticker: str, at: datetime, n: int) -> str:
    """A bar of any table, by its header."""
    known = {
        "ticker": ticker,
        "volume": 10 + n,
        "open": 100 + n,
        "close": 101 + n,
        "high": 103 + n,
        "low": 99 - n % 3,
        "transactions": n + 1,
    }
    known["window_start"] = int(at.timestamp()) * 1_000_000_000
    return ",".join(str(known[name]) for name in table.headers[0])


@pytest.mark.parametrize("asset", OTHERS)
def test_the_sql_of_other_assets_gives_what_is_drawn(asset: str, tmp_path: Path) -> None:
    ticker, days = OTHERS[asset]
    for name in (f"{asset}_minute", f"{asset}_day"):
        table = find(name)
        for day in days:
            # Within the regular session of New York on either side of its change of clocks, 13:40 to 16:00 UTC, and before and after where there is such a time.
            times = [datetime(day.year, day.month, day.day, 14, 35, tzinfo=UTC) + timedelta(minutes=7 * n) for n in range(20)]
            if asset in ("crypto", "forex"):
                times = [datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=71 * n) for n in range(20)]
            if name.endswith("_day"):
                [start, _] = table.session_ns(day)
                times = [datetime.fromtimestamp(start / 1e9, UTC)]
            header = ",".join(table.headers[0])
            put(tmp_path / "vendor", table, day, text([line(table, ticker, at, n) for n, at in enumerate(times)], header))
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    done = bench.refresh(
        source=f"folder:{tmp_path / 'vendor'}", datasets=[f"{asset}_minute", f"{asset}_day"], start=days[0], end=days[-1]
    ).run()
    assert {one.outcome for one in done.done} <= {"landed", "missing"}, [one.reason for one in done.done]
    for table in candles.of_ticker(ticker):
        for size in candles.sizes(table, "all"):
            assert same(bench, Wanted(ticker, table, size, days[0], days[-1]))
    assert same(bench, Wanted(ticker, find(f"{asset}_minute"), "1h", days[0], days[-1], session="regular"))


@pytest.mark.parametrize(
    ("sessions", "size"), [(5000, "1mo"), (1260, "1w"), (250, "1d"), (21, "1h"), (5, "15m"), (1, "5m"), (0.3, "1m"), (1e9, "1mo")]
)
def test_unasked_the_shortest_candles_are_taken_that_there_is_room_for(sessions: float, size: str) -> None:
    assert candles.fitting(candles.AUTO, candles.SIZES, candles.counts(MINUTE, "all", sessions)) == size


def test_candles_that_are_asked_for_are_given_while_there_are_pixels_for_them() -> None:
    def fits(size: str, sessions: float) -> str:
        return candles.fitting(size, candles.SIZES, candles.counts(MINUTE, "regular", sessions))

    assert [fits("1m", n) for n in (1, 2.5, 3, 1260)] == ["1m", "1m", "5m", "1w"]
    assert fits("1d", 900) == "1d"
    assert candles.fitting("5m", candles.sizes(DAY, "all"), candles.counts(DAY, "all", 3)) == "1d"


def test_what_a_lake_holds_of_a_ticker_and_which_names_there_are(bench: Workbench) -> None:
    held = candles.held(bench.catalog, "BBB", candles.of_ticker("BBB"))
    assert [one.table.name for one in held] == ["stock_day", "stock_minute"]
    assert held[1].first == plainbars.DAYS[0]
    assert candles.held(bench.catalog, "AAPL", candles.of_ticker("AAPL")) == []
    assert candles.names(bench.catalog, candles.of_ticker("BBB"))[:3] == ["AAA", "BBB", "CCC"]
    assert candles.prefixed("BTCUSD", find("crypto_minute")) == candles.prefixed("X:BTCUSD", find("crypto_minute")) == "X:BTCUSD"


def test_a_ticker_cannot_break_out_of_the_sql(bench: Workbench) -> None:
    name = "A' OR ticker = 'BBB"
    for table, size in ((DAY, "1d"), (MINUTE, "1d"), (MINUTE, "1w"), (find("crypto_minute"), "1h")):
        assert bench.sql(Wanted(name, table, size, FIRST, LAST).sql).fetchall() == []
