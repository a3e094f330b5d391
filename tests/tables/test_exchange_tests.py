"""Test tickers: an exact list that knows dates and case."""

from datetime import date

from workbench.tables import test_tickers as exchange_tests

TICKERS_OF = exchange_tests.test_tickers


def test_test_tickers_are_known_in_every_year() -> None:
    for day in (date(2003, 9, 10), date(2015, 6, 1), date(2026, 10, 2)):
        assert {"ZVZZT", "ZWZZT", "ZXZZT", "ZTEST", "NTEST", "NTEST.A", "ZTST", "ZZZTA"} <= TICKERS_OF(day)


def test_cbot_was_a_company_until_it_merged() -> None:
    assert "CBOT" not in TICKERS_OF(date(2007, 7, 12))
    assert "CBOT" in TICKERS_OF(date(2007, 7, 13))


def test_ibot_became_a_fund() -> None:
    assert "IBOT" in TICKERS_OF(date(2023, 4, 4))
    assert "IBOT" not in TICKERS_OF(date(2023, 4, 5))


def test_real_companies_that_look_alike_are_not_tests() -> None:
    assert TICKERS_OF(date(2024, 6, 3)).isdisjoint({"ZTS", "ZBRA", "CBOE", "ztest", "ZTESTp", "TEST"})


def test_no_ticker_is_listed_twice() -> None:
    tickers = [reserved.ticker for reserved in exchange_tests.TEST_TICKERS]
    assert len(set(tickers)) == len(tickers)
