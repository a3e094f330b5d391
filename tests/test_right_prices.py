"""The answers of real sessions, against what the files themselves say: read here with gzip and csv, counted in plain Python.

The files stand beside the project and are not part of it; without them these tests skip, by name.
"""

import csv
import gzip
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from workbench.bench import Workbench
from workbench.cli import main
from workbench.config import Settings

FLATFILES = Path(__file__).resolve().parents[2] / "shared" / "flatfiles"
STOCKS = FLATFILES / "us_stocks_sip"
DAY = "2013-10-07"

pytestmark = pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")


def told(folder: str, day: str) -> list[dict[str, str]]:
    """The rows of a flat file."""
    with gzip.open(STOCKS / folder / day[:4] / day[5:7] / f"{day}.csv.gz", "rt") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    with Workbench(Settings.load(env={}, data=str(tmp_path_factory.mktemp("right") / "lake"))) as made:
        datasets = ["stock_day", "stock_minute", "stock_trades", "stock_quotes", "splits", "dividends", "ticker_changes"]
        made.refresh(source=f"folder:{FLATFILES}", datasets=datasets, start="2013-01-02", end="2014-12-31").run()
        yield made


def close(frame: pl.DataFrame, day: date) -> float:
    [value] = frame.filter(pl.col("date") == day)["close"].to_list()
    return float(value)


def test_a_close_before_the_split_is_told_in_the_shares_after_it(bench: Workbench) -> None:
    before, since = date(2014, 6, 6), date(2014, 6, 9)

    told_then = bench.bars("AAPL", "2014-06-02", adjusted="splits", as_of="2014-12-31")
    assert close(told_then, before) == pytest.approx(92.2243, abs=1e-4)
    assert close(told_then, since) == 93.7
    assert close(bench.bars("AAPL", "2014-06-02", adjusted="splits", as_of="2014-06-08"), before) == 645.57
    # Of today, the split of 2020 counts, too.
    assert close(bench.bars("AAPL", "2014-06-02", adjusted="splits"), before) == pytest.approx(645.57 / 28, abs=1e-4)
    assert close(bench.bars("AAPL", "2014-06-02"), before) == 645.57


def test_sql_and_the_prompt_say_the_same(bench: Workbench) -> None:
    query = "SELECT close FROM adjusted_bars('AAPL', as_of_date := '{}') WHERE date = '2014-06-06'"
    assert bench.sql(query.format("2014-12-31")).fetchall() == [(pytest.approx(92.2243, abs=1e-4),)]
    assert bench.sql(query.format("2014-06-08")).fetchall() == [(645.57,)]

    shown = ["bars", "AAPL", "--start", "2014-06-06", "--end", "2014-06-06", "--adjusted", "splits", "--as-of", "2014-12-31"]
    ran = CliRunner().invoke(main, [*shown, "--format", "csv", "--data", str(bench.lake.root)])
    assert ran.exit_code == 0, ran.output
    assert float(next(csv.DictReader(ran.stdout.splitlines()))["close"]) == pytest.approx(92.2243, abs=1e-4)


def test_a_return_with_dividends_is_what_a_holder_had(bench: Workbench) -> None:
    first, last = date(2013, 1, 2), date(2014, 12, 31)
    raw = bench.bars("AAPL", first, last)
    closes = dict(zip(raw["date"], raw["close"], strict=True))
    paid = {
        date.fromisoformat(one["ex_dividend_date"]): float(one["cash_amount"])
        for one in json.loads((FLATFILES / "reference" / "dividends.json").read_text())["results"]
        if one["ticker"] == "AAPL"
    }
    # A holder of one share who buys more with each dividend, at the close before it less the dividend.
    shares, before = 1.0, closes[first]
    for day, price in sorted(closes.items()):
        if day > first and day == date(2014, 6, 9):
            shares, before = shares * 7, before / 7
        if day > first and day in paid:
            shares *= before / (before - paid[day])
        before = price
    adjusted = bench.bars("AAPL", first, last, adjusted="all", as_of=last)

    assert close(adjusted, last) / close(adjusted, first) == pytest.approx(shares * closes[last] / closes[first], rel=1e-9)


def test_the_bar_at_the_old_price_is_reported_and_stays(bench: Workbench) -> None:
    report = bench.quality("stock_minute", "2014-06-09", "2014-06-09")

    opened = [one for one in report.facts["findings"] if one["ticker"] == "AAPL" and "645.57" in one["told"]]
    assert [str(one["timestamp"])[:16] for one in opened[:1]] == ["2014-06-09 04:00"]
    assert bench.bars("AAPL", "2014-06-09", "2014-06-09", freq="1m")["open"][0] == 645.57


@pytest.mark.parametrize(("ticker", "closes"), [("IBM", 0.83), ("BAC", 0.98)])
def test_bars_of_every_trade_are_those_of_the_minute_file(bench: Workbench, ticker: str, closes: float) -> None:
    built = {bar["timestamp"].timestamp() * 10**9: bar for bar in bench.bars_from_trades(ticker, DAY).iter_rows(named=True)}
    volumes: dict[int, float] = defaultdict(float)
    for trade in told("trades_v1", DAY):
        if trade["ticker"] == ticker:
            volumes[int(trade["sip_timestamp"]) // 60_000_000_000 * 60_000_000_000] += float(trade["size"])
    assert {at: bar["volume"] for at, bar in built.items()} == pytest.approx(volumes)

    file = [bar for bar in told("minute_aggs_v1", DAY) if bar["ticker"] == ticker]
    alike = {
        what: sum(float(bar[what]) == built.get(int(bar["window_start"]), {}).get(what) for bar in file) / len(file)
        for what in ("volume", "close")
    }
    assert alike["volume"] >= 0.99
    assert alike["close"] == pytest.approx(closes, abs=0.01)
    report = bench.quality("stock_trades", DAY, DAY, [ticker])
    [shares] = report.facts["shares"]
    assert shares["close"] == pytest.approx(alike["close"], abs=0.005)


def test_every_trade_has_the_quote_that_was_in_force(bench: Workbench) -> None:
    quotes: dict[str, list[tuple[int, int, float, float]]] = defaultdict(list)
    for row in told("quotes_v1", DAY):
        key = int(row["sip_timestamp"]), int(row["sequence_number"])
        quotes[row["ticker"]].append((*key, float(row["bid_price"] or 0), float(row["ask_price"] or 0)))
    wanted: dict[tuple[str, int], tuple[float | None, float | None]] = {}
    for told_of in quotes.values():
        told_of.sort()
    for row in told("trades_v1", DAY):
        own = quotes[row["ticker"]]
        at = bisect_right(own, (int(row["sip_timestamp"]), 2**63, 0.0, 0.0)) - 1
        wanted[row["ticker"], int(row["sequence_number"])] = (own[at][2] or None, own[at][3] or None) if at >= 0 else (None, None)
    assert len(wanted) == 112_465

    for got in (
        bench.trades_with_quotes(["IBM", "BAC"], DAY),
        pl.concat([bench.sql(f"FROM trades_with_quotes('{ticker}', '{DAY}')").pl() for ticker in ("IBM", "BAC")]),
    ):
        rows = got.select("ticker", "sequence_number", "bid", "ask").iter_rows()
        assert {(ticker, number): (bid, ask) for ticker, number, bid, ask in rows} == wanted
