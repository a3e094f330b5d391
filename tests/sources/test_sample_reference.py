"""The sample market's splits, dividends and new symbols: told in time, and shown by bars, trades and quotes alike."""

import csv
import gzip
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import pytest

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.sources import market_actions as acts
from workbench.sources.market import Hours, Market, names
from workbench.sources.sample import write
from workbench.sources.sample_reference import SampleReference
from workbench.tables import REFERENCE, TABLES

DAY, MINUTE, TRADES, QUOTES = (TABLES[f"stock_{kind}"] for kind in ("day", "minute", "trades", "quotes"))
TODAY = date(2026, 11, 20)
SESSIONS = sessions.between(DAY, date(2025, 6, 2), TODAY)
NVDA, FORD = date(2026, 6, 10), date(2026, 3, 10)

Rows = list[dict[str, str]]


def on(day: date) -> Callable[[], datetime]:
    return lambda: datetime(day.year, day.month, day.day, 17, tzinfo=UTC)


@pytest.fixture(scope="module")
def told() -> SampleReference:
    return SampleReference(now=on(TODAY))


def before(day: date) -> date:
    return SESSIONS[SESSIONS.index(day) - 1]


def close(ticker: str, day: date) -> float:
    return float(Market((ticker,), day, Hours(0, 0, 0, 0)).prices[3][0])


def rows(folder: Path, name: str, ticker: str, day: date) -> Rows:
    path = write(folder, TABLES[name], day, tickers=[ticker])
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


# --- what is told


def test_every_250_sessions_hold_a_split_a_reverse_split_dividends_and_a_new_symbol(told: SampleReference) -> None:
    forward = [row["execution_date"] for row in told.rows("splits") if row["split_to"] > row["split_from"]]
    reverse = [row["execution_date"] for row in told.rows("splits") if row["split_to"] < row["split_from"]]
    renamed = [row["first_date"] for row in told.rows("ticker_changes")]
    everything = sessions.between(DAY, acts.BEGAN, TODAY)
    place = {day: n for n, day in enumerate(everything)}
    for days in (forward, reverse, renamed):
        assert days == sorted(set(days))
        assert all(day in place for day in days), "sessions"
        steps = [place[two] - place[one] for one, two in pairwise([everything[0], *days])]
        assert max(steps) < 250
        assert len(everything) - 1 - place[days[-1]] < 250
    assert NVDA in forward
    assert FORD in reverse


def test_dividends_are_quarterly_and_declared_ahead(told: SampleReference) -> None:
    found = told.rows("dividends")
    for ticker in acts.DIVIDENDS:
        own = [row["ex_dividend_date"] for row in found if row["ticker"] == ticker]
        assert all(85 <= (two - one).days <= 97 for one, two in pairwise(own))
    assert all(row["declaration_date"] < row["ex_dividend_date"] < row["pay_date"] for row in found)
    assert all(row["cash_amount"] > 0 for row in found)
    assert max(row["declaration_date"] for row in found) <= TODAY


def test_splits_are_told_a_month_before_and_dividends_three_weeks() -> None:
    for name, column, day, notice in (("splits", "execution_date", NVDA, 30), ("dividends", "ex_dividend_date", date(2026, 8, 10), 21)):
        known = [
            any(row[column] == day for row in SampleReference(now=on(day - timedelta(days=ahead))).rows(name))
            for ahead in (notice + 1, notice)
        ]
        assert known == [False, True], name


def test_what_was_told_stays_told(told: SampleReference) -> None:
    earlier = SampleReference(now=on(date(2026, 1, 15)))
    for name in ("splits", "dividends"):
        known, later = earlier.rows(name), told.rows(name)
        assert [row for row in known if row not in later] == []
        assert len(known) < len(later)


def test_the_same_day_and_seed_tell_the_same(told: SampleReference) -> None:
    again, other = SampleReference(now=on(TODAY)), SampleReference(seed=1, now=on(TODAY))
    for table in REFERENCE:
        assert told.identity(table.name) == again.identity(table.name)
    assert told.identity("dividends") != other.identity("dividends")
    assert told.identity("splits") != SampleReference(now=on(date(2027, 1, 2))).identity("splits")


def test_nobody_lists_test_tickers_and_everybody_else_is_listed(told: SampleReference) -> None:
    listed = {row["ticker"]: row for row in told.rows("tickers")}
    assert set(names(DAY, DAY.feeds[0], 40, TODAY)) - set(listed) == {"ZVZZT", "ZTEST", "ATEST", "NTEST.H"}
    assert [listed[ticker]["type"] for ticker in ("AAPL", "SPY", "BACpB", "NE.WS.A", "NMCOr")] == ["CS", "ETF", "PFD", "WARRANT", "RIGHT"]
    assert len({row["composite_figi"] for row in listed.values()}) == len(listed)


def test_it_tells_of_the_tickers_that_it_was_given() -> None:
    few = SampleReference(["AAPL", "F"], now=on(TODAY))
    assert [row["ticker"] for row in few.rows("tickers")] == ["AAPL", "F"]
    assert {row["ticker"] for row in few.rows("splits")} == {"F"}
    assert {row["ticker"] for row in few.rows("dividends")} == {"AAPL"}
    assert few.rows("ticker_changes") == []


def test_what_it_has_none_of_is_said(told: SampleReference) -> None:
    [news] = told.gather("news_items")
    assert (news.rows, news.whole, news.notes) == ([], False, ("the sample's imagined market has no news_items",))
    assert told.refuses("news_items") == ""
    assert "tickers" in told.refuses("stock_day")


# --- what prices show


@pytest.mark.parametrize(("ticker", "day", "ratio"), [("NVDA", NVDA, 4), ("F", FORD, 0.1)])
def test_raw_prices_jump_by_the_ratio_on_the_day_itself(tmp_path: Path, ticker: str, day: date, ratio: float) -> None:
    def prices(name: str, column: str, day: date) -> list[float]:
        return [price for row in rows(tmp_path, name, ticker, day) if (price := float(row[column]))]

    for name, column in (("stock_day", "open"), ("stock_minute", "low"), ("stock_trades", "price"), ("stock_quotes", "bid_price")):
        old, new = prices(name, column, before(day)), prices(name, column, day)
        assert median(old) / median(new) == pytest.approx(ratio, rel=0.05), name
        assert max(new) / min(new) < 1.1, f"{name}: the whole session is told in new shares, its pre-market too"
    shares = [mean(float(rows(tmp_path, "stock_day", ticker, one)[0]["volume"]) for one in days) for days in around(day)]
    assert shares[1] / shares[0] == pytest.approx(ratio, rel=0.6), "as much money, in other shares"


def around(day: date) -> tuple[list[date], list[date]]:
    at = SESSIONS.index(day)
    return SESSIONS[at - 8 : at], SESSIONS[at : at + 8]


@pytest.mark.parametrize("ticker", ["NVDA", "F"])
def test_prices_stay_in_a_plausible_range_over_all_splits(ticker: str) -> None:
    every = [close(ticker, day) for day in sessions.between(DAY, acts.BEGAN, TODAY)[::20]]
    assert max(every) / min(every) < 100


def test_a_dividend_is_what_the_price_loses(told: SampleReference) -> None:
    paid = [row for row in told.rows("dividends") if row["ticker"] == "T" and row["ex_dividend_date"] in SESSIONS[1:]]
    assert len(paid) >= 4
    for row in paid:
        day = row["ex_dividend_date"]
        lost = close("T", before(day)) - float(Market(("T",), day, Hours(0, 0, 0, 0)).prices[0][0])
        assert row["cash_amount"] == pytest.approx(0.02 * close("T", before(day)), rel=0.08)
        assert lost == pytest.approx(row["cash_amount"], abs=0.02 * close("T", before(day)))
    total = sum(close("T", before(row["ex_dividend_date"])) - close("T", row["ex_dividend_date"]) for row in paid)
    assert total > 0.5 * sum(row["cash_amount"] for row in paid)


def test_a_company_keeps_its_prices_when_its_symbol_changes(told: SampleReference) -> None:
    spells = told.rows("ticker_changes")
    old, new = spells[-2:]
    first = new["first_date"]
    assert {row["asset"] for row in spells} == {new["ticker"]}
    assert old["last_date"] == first - timedelta(days=1)
    assert "last_date" not in new
    for day, row in ((before(first), old), (first, new)):
        assert row["ticker"] in names(DAY, DAY.feeds[0], 40, day)
    assert old["ticker"] not in names(DAY, DAY.feeds[0], 40, first)
    assert close(new["ticker"], first) == pytest.approx(close(old["ticker"], before(first)), rel=0.06)


def test_tickers_without_actions_have_the_prices_that_they_always_had(tmp_path: Path) -> None:
    [bar] = rows(tmp_path, "stock_day", "QQQ", date(2024, 3, 8))
    assert (bar["open"], bar["close"], bar["volume"]) == ("273.15", "277.21", "56531081")


# --- the source in a lake


def test_a_refresh_lands_it_and_the_closes_agree_with_the_splits(tmp_path: Path) -> None:
    bench = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    bench.refresh(source="sample", datasets=["stock_day"], days=250).run()
    first = bench.refresh(source="sample", datasets=["reference"]).run()
    again = bench.refresh(source="sample", datasets=["reference"]).run()
    assert not first.problems
    assert {one.step.table for one in first.done if one.outcome == "landed"} >= {
        "tickers",
        "ticker_changes",
        "splits",
        "dividends",
        "conditions",
        "exchanges",
        "calendar_events",
    }
    assert {one.outcome for one in again.done} == {"up to date"}
    newest = bench.sql("SELECT max(date), min(date) FROM stock_day").fetchall()[0]
    judged = bench.sql("SELECT verdict FROM splits WHERE execution_date BETWEEN $low AND $high", low=newest[1], high=newest[0]).fetchall()
    inside = [verdict for (verdict,) in judged if not verdict.startswith("no closes")]
    assert len(inside) >= 2
    assert all(verdict.startswith("agrees") for verdict in inside), inside
    assert bench.sql("SELECT count(*) FROM splits WHERE duplicate_of IS NOT NULL").fetchall() == [(0,)]
