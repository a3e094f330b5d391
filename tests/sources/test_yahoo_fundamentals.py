"""Yahoo's fundamentals: the real yfinance, over HTTP, against a far end that fails as told."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

import pytest
from farend import FarEnd, Fault
from farend.faults import empty, html, too_many
from farend.times import NEW_YORK

from workbench.errors import BrokenAnswer, NotEntitled, RateLimited, SourceError, Unreachable, UsageError
from workbench.lake.reference import update
from workbench.lake.store import Lake
from workbench.sources.reference import Gathered, ReferenceSource
from workbench.sources.yahoo_fundamentals import YahooFundamentals, dividend_yield, snapshot
from workbench.tables import find

NOON = datetime(2024, 6, 3, 12, tzinfo=NEW_YORK)


@pytest.fixture
def yahoo(far_end: FarEnd) -> Iterator[YahooFundamentals]:
    source = YahooFundamentals(far_end.yahoo_url, timeout_s=30.0, tries=2, backoff_s=0.01, threads=1, clock=lambda: NOON)
    far_end.yahoo_info["ACME"]["summaryDetail"] |= {"dividendRate": 2.02, "dividendYield": 0.02, "forwardPE": "Infinity"}
    yield source
    source.close()


def gathered(source: YahooFundamentals, tickers: str) -> Gathered:
    [one] = source.gather("fundamentals", symbols=tickers.split())
    return one


def test_it_has_fundamentals_of_named_companies_only(yahoo: YahooFundamentals) -> None:
    source: ReferenceSource = yahoo

    assert source.refuses("fundamentals") == "" and "no splits" in source.refuses("splits")
    with pytest.raises(NotEntitled, match="nothing was asked"):
        list(source.gather("splits"))
    with pytest.raises(UsageError, match="name symbols"):
        list(source.gather("fundamentals"))


def test_a_company_is_a_snapshot_and_its_periods(yahoo: YahooFundamentals, far_end: FarEnd) -> None:
    one = gathered(yahoo, "ACME")

    assert (one.dataset, one.whole, one.refused, one.notes) == ("fundamentals", False, (), ())
    assert one.transferred > 1000 and one.key == "yahoo:v10/finance/quoteSummary/ACME"
    statements = far_end.yahoo_statements["ACME"]
    assert [row["period"] for row in one.rows] == [
        "snapshot",
        *["annual"] * len(statements["annualNetIncome"]),
        *["quarterly"] * len(statements["quarterlyNetIncome"]),
    ]
    first = one.rows[1]
    assert first["as_of"].isoformat() == min(statements["annualNetIncome"])
    assert first["revenue"] == statements["annualTotalRevenue"][first["as_of"].isoformat()]
    assert {"net_income", "total_assets", "operating_cash_flow"} <= set(first) and first["fiscal_period"] == "FY"


def test_a_snapshot_holds_ratios_and_profile_as_of_today(yahoo: YahooFundamentals) -> None:
    row = dict(gathered(yahoo, "ACME").rows[0])

    items = json.loads(row.pop("items"))
    assert row == {
        "ticker": "ACME",
        "as_of": date(2024, 6, 3),
        "period": "snapshot",
        "currency": "USD",
        "market_cap": 10_000_000_000,
        "pe_ratio": 20.5,
        "beta": 1.1,
        "shares_outstanding": 1_010_000,
        "sector": "Industrials",
        "industry": "Anvils",
        "company_name": "Acme Corporation",
        "dividend_yield": 0.02,
    }
    assert items["profitMargins"] == 0.1 and items["fullTimeEmployees"] == 3
    assert not {"regularMarketPrice", "marketCap", "longBusinessSummary"} & set(items)


def test_rows_have_declared_columns_only_and_none_that_is_unknown(yahoo: YahooFundamentals) -> None:
    declared = {column.name for column in find("fundamentals").vendor}

    for row in gathered(yahoo, "ACME").rows:
        assert set(row) <= declared and None not in row.values()
        assert set(find("fundamentals").key) - {"source"} <= set(row)


def test_rows_are_what_the_lake_takes(yahoo: YahooFundamentals, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    first, again = (update(lake, gathered(yahoo, "ACME"), "yahoo") for _ in range(2))

    assert first.rows_new == first.rows_in > 0 and first.quarantined == 0
    assert (again.committed, again.rows_same) == (False, first.rows_in)


def test_what_yahoo_does_not_tell_stays_absent() -> None:
    told = {"trailingPE": "Infinity", "beta": float("nan"), "sector": " ", "marketCap": True, "currency": None}

    assert snapshot("ACME", told, date(2024, 6, 3)) == {"ticker": "ACME", "as_of": date(2024, 6, 3), "period": "snapshot"}


def test_a_dividend_yield_is_a_fraction_whatever_yahoo_writes() -> None:
    assert dividend_yield({"dividendRate": 1.0, "currentPrice": 200.0, "dividendYield": 0.5}) == 0.005
    assert dividend_yield({"trailingAnnualDividendYield": 0.004, "dividendYield": 0.41}) == 0.004
    assert dividend_yield({"dividendYield": 0.41}) is None
    assert dividend_yield({"dividendRate": 1.0, "currentPrice": 0}) is None


def test_an_unknown_company_is_told_and_a_wrong_symbol_refused(yahoo: YahooFundamentals) -> None:
    one = gathered(yahoo, "ACME QQZZ BACr")

    assert {row["ticker"] for row in one.rows} == {"ACME"}
    unknown, unasked = one.notes
    assert unknown == "QQZZ: Yahoo does not know it" and one.refused == ()
    assert unasked.startswith("NotPublished: 'BACr' was not asked for: ") and "rights" in unasked


def test_a_fund_without_statements_is_a_snapshot(yahoo: YahooFundamentals, far_end: FarEnd) -> None:
    far_end.yahoo_info["SPY"] = {"summaryDetail": {"currency": "USD"}, "quote": {"longName": "A fund"}}

    one = gathered(yahoo, "SPY")

    assert [row["period"] for row in one.rows] == ["snapshot"] and one.refused == ()


@pytest.mark.parametrize("result", [[], None])
def test_an_empty_statement_is_none(yahoo: YahooFundamentals, far_end: FarEnd, result: object) -> None:
    far_end.forever.append(Fault("timeseries/ACME.*type=quarterly", 200, {"timeseries": {"result": result, "error": None}}))

    one = gathered(yahoo, "ACME")

    assert {row["period"] for row in one.rows} == {"snapshot", "annual"} and one.refused == ()


def test_symbols_go_out_as_yahoos_and_come_back_as_ours(yahoo: YahooFundamentals, far_end: FarEnd) -> None:
    far_end.yahoo_info["BRK-B"] = {"summaryDetail": {"marketCap": 9}}

    assert [row["ticker"] for row in gathered(yahoo, "BRK.B").rows] == ["BRK.B"]
    assert {one.path.rpartition("/")[2] for one in far_end.asked("quoteSummary|timeseries")} == {"BRK-B"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (html(502, "quoteSummary"), Unreachable),
        (html(404, "quoteSummary"), Unreachable),
        (html(502, "timeseries.*annual"), Unreachable),
        (empty("quoteSummary"), BrokenAnswer),
        (empty("timeseries.*annual"), BrokenAnswer),
        (Fault("quoteSummary", 200, {"quoteSummary": [1]}), BrokenAnswer),
        (Fault("timeseries.*annual", 200, {"finance": {"error": {"code": "Bad Request"}}}), BrokenAnswer),
    ],
)
def test_a_failure_is_told_and_hurts_no_other_company(
    yahoo: YahooFundamentals, far_end: FarEnd, fault: Fault, kind: type[SourceError]
) -> None:
    far_end.yahoo_info["ON"] = {"quote": {"longName": "On"}}
    fault.path = fault.path.replace("quoteSummary", "quoteSummary/ACME").replace("timeseries", "timeseries/ACME")
    far_end.forever.append(fault)

    one = gathered(yahoo, "ACME ON")

    assert {row["ticker"] for row in one.rows} == {"ON"}
    [reason] = [refused.reason for refused in one.refused] if kind is BrokenAnswer else one.notes
    assert reason.startswith(f"{kind.__name__}: ACME was not fetched: ")


def test_a_refusal_ends_the_asking_and_what_came_before_stays(yahoo: YahooFundamentals, far_end: FarEnd) -> None:
    far_end.forever.append(too_many("quoteSummary/DIVI"))
    came: list[Gathered] = []

    with pytest.raises(RateLimited, match="DIVI was not fetched"):
        for one in yahoo.gather("fundamentals", symbols=["ACME", "DIVI", "ON"]):
            came.append(one)  # noqa: PERF402

    [one] = came
    assert {row["ticker"] for row in one.rows} == {"ACME"} and len(one.notes) == 2
    assert not far_end.asked("quoteSummary/ON")


def test_a_crumb_that_is_none_does_not_stick(yahoo: YahooFundamentals, far_end: FarEnd) -> None:
    far_end.forever.append(Fault("getcrumb", 429, "Too Many Requests"))
    with suppress(SourceError):
        gathered(yahoo, "ACME")
    far_end.forever.clear()
    before = len(far_end.asked("quoteSummary"))

    assert gathered(yahoo, "ACME").rows
    assert [one.status for one in far_end.asked("quoteSummary")[before:]] == [200]


@pytest.mark.parametrize(
    ("fault", "state"), [(None, "works"), (too_many("quoteSummary"), "rate limited"), (html(502, "quote"), "unreachable")]
)
def test_the_check_says_what_is_wrong(yahoo: YahooFundamentals, far_end: FarEnd, fault: Fault | None, state: str) -> None:
    far_end.forever += [fault] if fault else []

    assert yahoo.check().state == state
