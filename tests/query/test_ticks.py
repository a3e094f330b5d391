"""Trades and quotes as a frame: the same rows as SQL gives, in order of time."""

from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
from flatfiles import FRI, MON, STOCK_TRADES, THU, TRADE, put, text, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, UsageError
from workbench.sources import sample
from workbench.tables import find

# In the vendor's order, which is not that of bytes.
TICKERS = ["A", "AA", "AApA", "AAB", "AMZN", "BACpB", "BACPB", "BRK.A", "NA", "TRUE", "ZVZZT", "ZZZZ", "aB"]
DAYS = [THU, FRI, MON]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    home = tmp_path_factory.mktemp("ticks")
    for n, day in enumerate(DAYS):
        # Some share a microsecond, and are told apart by their sequence number.
        lines = [
            trade(t, day, nth // 2, sequence=100 * at + nth, price=10 + nth / 4)
            for at, t in enumerate(TICKERS)
            if (at + n) % 5
            for nth in range(1 + 3 * at)
        ]
        put(home / "vendor", STOCK_TRADES, day, text(lines, TRADE))
    for name in ("stock_quotes", "crypto_trades", "forex_quotes"):
        sample.write(home / "vendor", find(name), THU, tickers=12, rows=400)
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    bench.refresh(source=f"folder:{home / 'vendor'}").run()
    assert len({file.bucket for file in bench.lake["stock_trades"].snapshot().files}) > 3
    yield bench
    bench.close()


@given(
    tickers=st.lists(st.sampled_from([*TICKERS, "AB", "M", "", "ZZZZZ"]), max_size=5),
    first=st.sampled_from([date(2024, 3, 6), *DAYS]),
    length=st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_trades_are_the_rows_that_sql_gives(bench: Workbench, tickers: list[str], first: date, length: int) -> None:
    last = [date(2024, 3, 6), *DAYS, MON, MON, MON][([date(2024, 3, 6), *DAYS].index(first)) + length]

    got = bench.trades(tickers, first, last)

    expected: pl.DataFrame = bench.sql(
        """SELECT * EXCLUDE (source, is_test) FROM (FROM stock_trades OFFSET 0)
           WHERE list_contains($tickers, ticker) AND date BETWEEN $first AND $last ORDER BY ticker, sip_timestamp, sequence_number""",
        tickers=tickers or [None],
        first=first,
        last=last,
    ).pl()
    assert got.equals(expected)
    assert got.schema == expected.schema
    assert got.n_chunks() == 1


def test_one_date_is_one_session(bench: Workbench) -> None:
    got = bench.trades("ZZZZ", "2024-03-08")

    assert got["date"].unique().to_list() == [FRI]
    assert got.columns == [c.name for c in STOCK_TRADES.columns if c.name not in ("source", "is_test")]
    assert len(bench.trades("ZZZZ", "2024-03-07", "2024-03-11")["date"].unique()) == 3
    assert bench.trades("ZZZZ", "2024-03-09").equals(got.clear())


def test_quotes_say_what_their_sizes_count(bench: Workbench) -> None:
    [(ticker, count)] = bench.sql("SELECT ticker, count(*) FROM stock_quotes GROUP BY 1 ORDER BY 2 DESC LIMIT 1").fetchall()

    got = bench.quotes(ticker, THU)

    assert len(got) == count
    assert got["size_unit"].unique().to_list() == ["lots"]
    assert got["sip_timestamp"].is_sorted()


@pytest.mark.parametrize(("table", "what"), [("crypto_trades", "trades"), ("forex_quotes", "quotes")])
def test_the_prefix_tells_the_asset_class(bench: Workbench, table: str, what: str) -> None:
    [(ticker, count)] = bench.sql(f"SELECT ticker, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC LIMIT 1").fetchall()

    assert count > 1
    assert len(getattr(bench, what)(ticker, THU)) == count
    assert len(getattr(bench, what)(ticker, THU, table=table)) == count


def test_what_is_not_there_is_refused_with_what_is(bench: Workbench) -> None:
    with pytest.raises(UsageError, match=r"no trades of I:SPX.*stock_trades"):
        bench.trades("I:SPX", THU)
    with pytest.raises(UsageError, match="holds bars, not ticks"):
        bench.trades("A", THU, table="stock_day")
    with pytest.raises(BadRange, match="is after"):
        bench.quotes("A", FRI, THU)
