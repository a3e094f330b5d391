"""The stand-in for the vendor, Yahoo and FRED, asked by their own clients: what it gets wrong, every test over it gets wrong."""

import csv
import gzip
import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from farend import BASIC, DEVELOPER, STARTER, Bar, FarEnd, Fault, FredSeries, faults, made
from farend.market import FLATFILES
from farend.times import NEW_YORK, at_ns
from massive import RESTClient
from massive.exceptions import BadResponse

THU, FRI, MON = date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11)
WEEKS = [range(11, 16), range(18, 23)]


def ask(far_end: FarEnd, key: str = "", **more: Any) -> RESTClient:
    """The vendor's own client, which does not try again: without this, a refusal that it would repeat ends without its text."""
    return RESTClient(key or far_end.key, base=far_end.api_url, connection_pool_kw={"retries": False}, **more)


def bare(method: str, url: str, **more: Any) -> urllib3.BaseHTTPResponse:
    """A request as it stands. Its answer is waited for as long as a busy machine takes, which is longer than urllib3 does."""
    return urllib3.request(method, url, timeout=60, **more)


def told(far_end: FarEnd, path: str, **headers: str) -> Any:
    """The JSON of a request as it stands."""
    reply = bare("GET", far_end.api_url + path, headers={"Authorization": f"Bearer {far_end.key}", **headers}, retries=False)
    return reply.json() if reply.data else None


def at(row: Any) -> datetime:
    return datetime.fromtimestamp(row.timestamp / 1000, UTC).astimezone(NEW_YORK)


# Aggregates


def test_a_whole_market_s_day_is_stamped_when_it_closes_and_has_no_otc(far_end: FarEnd) -> None:
    rows = {row.ticker: row for row in ask(far_end).get_grouped_daily_aggs(THU, adjusted=False)}
    assert {"BACPB", "BACpB", "BRK.B", "NA", "TRUE", "NAN", "NULL"} <= set(rows) and "OTCX" not in rows and "X:BTCUSD" not in rows
    assert {at(row).strftime("%F %H:%M") for row in rows.values()} == {"2024-03-07 16:00"}
    assert "OTCX" in {row.ticker: row.otc for row in ask(far_end).get_grouped_daily_aggs(THU, include_otc=True)}


def test_bars_are_rescaled_for_later_splits_unless_the_request_declines(far_end: FarEnd) -> None:
    raw = {at(row).date(): row for row in ask(far_end).list_aggs("SPLT", 1, "day", FRI, MON, adjusted=False)}
    adjusted = {at(row).date(): row for row in ask(far_end).list_aggs("SPLT", 1, "day", FRI, MON)}
    assert raw[FRI].close == pytest.approx(4 * adjusted[FRI].close) and 4 * raw[FRI].volume == adjusted[FRI].volume
    assert raw[MON] == adjusted[MON], "the day of the split is after it"
    [grouped] = [row for row in ask(far_end).get_grouped_daily_aggs(FRI) if row.ticker == "SPLT"]
    assert grouped.close == adjusted[FRI].close


def test_a_false_twin_of_a_split_is_listed_but_rescales_nothing(far_end: FarEnd) -> None:
    assert len(list(ask(far_end).list_splits(ticker="TWIN"))) == 2
    raw, adjusted = (next(iter(ask(far_end).list_aggs("TWIN", 1, "day", FRI, FRI, adjusted=one))) for one in (False, True))
    assert raw.close == pytest.approx(10 * adjusted.close)


def test_daily_bars_are_stamped_at_midnight_on_both_sides_of_the_clock_change(far_end: FarEnd) -> None:
    stamps = [row.timestamp for row in ask(far_end).list_aggs("ACME", 1, "day", FRI, MON)]
    assert [stamp * 10**6 for stamp in stamps] == [at_ns(FRI), at_ns(MON)] and stamps[1] - stamps[0] == (3 * 24 - 1) * 3_600_000


def test_the_limit_counts_minutes_so_that_pages_of_hours_are_short(far_end: FarEnd) -> None:
    hours = list(ask(far_end).list_aggs("ACME", 1, "hour", THU, FRI, limit=120, adjusted=False))
    pages = far_end.asked("/range/1/hour/")
    minutes = [row for day in (THU, FRI) for row in made.minutes("ACME", day)]
    assert len(pages) > 3 and len({row.timestamp for row in hours}) == len(hours)
    assert sum(row.volume for row in hours) == sum(row.volume for row in minutes)
    assert max(row.high for row in hours) == max(row.high for row in minutes)
    first = told(far_end, f"/v2/aggs/ticker/ACME/range/1/hour/{THU}/{FRI}?limit=120")
    assert first["resultsCount"] < 5 and 60 < first["queryCount"] <= 120
    assert hours[2].open == made.minutes("ACME", THU)[2].open, "the third hour is the one of the opening"


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_bring_every_minute_once(far_end: FarEnd, sort: str) -> None:
    rows = [row.timestamp * 10**6 for row in ask(far_end).list_aggs("ACME", 1, "minute", THU, FRI, limit=100, sort=sort)]
    assert rows == sorted((bar.start_ns for day in (THU, FRI) for bar in made.minutes("ACME", day)), reverse=sort == "desc")


def test_next_url_is_the_vendor_s_with_a_cursor_and_without_the_key(far_end: FarEnd) -> None:
    path = f"/v2/aggs/ticker/ACME/range/1/minute/{THU}/{THU}?limit=50&adjusted=false&apiKey={far_end.key}"
    reply = bare("GET", far_end.api_url + path).json()
    url = urlsplit(reply["next_url"])
    assert url.netloc == "api.massive.com" and set(parse_qs(url.query)) == {"cursor"}
    assert far_end.key not in reply["next_url"] and reply["queryCount"] == reply["resultsCount"] == reply["count"] == 50
    assert told(far_end, f"{url.path}?{url.query}")["adjusted"] is False, "the cursor remembers what was asked"


def test_a_last_page_may_be_empty(far_end: FarEnd) -> None:
    far_end.last_page_empty = True
    assert len(list(ask(far_end).list_trades("ACME", timestamp=str(THU)))) == 120
    assert len(list(ask(far_end).list_aggs("ACME", 1, "day", THU, FRI))) == 2
    assert len(far_end.requests) == 4
    assert far_end.requests[-1].query.keys() == {"cursor"}


def test_a_span_in_ms_cuts_minutes_but_not_days(far_end: FarEnd) -> None:
    opening = at_ns(THU, 9, 30) // 10**6
    minutes = list(ask(far_end).list_aggs("ACME", 1, "minute", opening, opening + 119_999))
    assert [row.timestamp for row in minutes] == [opening, opening + 60_000]
    assert len(list(ask(far_end).list_aggs("ACME", 1, "day", opening, opening))) == 1


@pytest.mark.parametrize(("span", "count"), [("week", 5), ("month", 1), ("quarter", 1), ("year", 1)])
def test_wide_windows_are_whole(far_end: FarEnd, span: str, count: int) -> None:
    rows = list(ask(far_end).list_aggs("ACME", 1, span, "2024-03-03", "2024-03-31", limit=3))
    days = list(ask(far_end).list_aggs("ACME", 1, "day", "2024-03-03", "2024-03-31"))
    assert len(rows) == count - (span == "week") and sum(row.volume for row in rows) == sum(row.volume for row in days)


def test_nothing_has_no_results_at_all_among_bars_and_an_empty_list_elsewhere(far_end: FarEnd) -> None:
    for path in ("/v2/aggs/grouped/locale/us/market/stocks/2024-03-09", "/v2/aggs/ticker/NOPE/range/1/day/2024-03-07/2024-03-08"):
        reply = told(far_end, path)
        assert "results" not in reply and reply["resultsCount"] == reply["queryCount"] == 0 and reply["status"] == "OK"
    for path in ("/v3/trades/NOPE", "/v3/reference/splits?ticker=NOPE", "/v3/reference/tickers?ticker=NOPE"):
        assert told(far_end, path)["results"] == []


def test_one_day_s_open_close_and_the_bar_before_today(far_end: FarEnd) -> None:
    day = ask(far_end).get_daily_open_close_agg("ACME", THU)
    assert (day.symbol, day.close, day.pre_market) == ("ACME", made.day(THU)["ACME"].close, made.minutes("ACME", THU)[0].open)
    far_end.now = lambda: datetime(2024, 3, 11, 12, tzinfo=UTC)
    [before] = ask(far_end).get_previous_close_agg("ACME")
    assert (before.close, before.ticker) == (made.day(FRI)["ACME"].close, "ACME")


def test_currencies_have_days_of_utc(far_end: FarEnd) -> None:
    saturday = date(2024, 3, 9)
    grouped = ask(far_end).get_grouped_daily_aggs(saturday, locale="global", market_type="crypto")
    assert {row.ticker for row in grouped} == {"X:BTCUSD", "X:ETHUSD"} and {row.timestamp % 86_400_000 for row in grouped} == {86_399_999}
    [day] = ask(far_end).list_aggs("X:BTCUSD", 1, "day", saturday, saturday)
    assert day.timestamp % 86_400_000 == 0
    [index] = told(far_end, f"/v2/aggs/ticker/I:SPX/range/1/day/{THU}/{THU}")["results"]
    assert set(index) == {"o", "h", "l", "c", "t"}
    assert len(list(ask(far_end).list_trades("X:BTCUSD", timestamp=str(saturday)))) == 96


# Trades and quotes


def test_trades_come_newest_first_with_every_digit_of_their_nanoseconds(far_end: FarEnd) -> None:
    rows = list(ask(far_end).list_trades("ACME", timestamp=str(THU), limit=7))
    expected = made.ticks("trades", "ACME", THU)
    assert [row.sip_timestamp for row in rows] == [row["sip_timestamp"] for row in reversed(expected)]
    assert rows[-1].sip_timestamp > 2**53 and len(far_end.requests) == 18
    assert {row.correction for row in rows} == {None, 1} and any(row.conditions is None for row in rows)


def test_quotes_within_a_span_oldest_first(far_end: FarEnd) -> None:
    stamps = [row["sip_timestamp"] for row in made.ticks("quotes", "ACME", THU)]
    rows = ask(far_end).list_quotes("ACME", timestamp_gte=stamps[20], timestamp_lt=stamps[30], order="asc", limit=3)
    assert [row.sip_timestamp for row in rows] == stamps[20:30]
    rows = ask(far_end).list_quotes("ACME", timestamp_gt=stamps[20], timestamp_lte=stamps[30], order="asc", limit=3)
    assert [row.sip_timestamp for row in rows] == stamps[21:31]


def test_days_as_bounds_take_whole_days(far_end: FarEnd) -> None:
    both = list(ask(far_end).list_trades("ACME", timestamp_gte=str(THU), timestamp_lte=str(FRI)))
    neither = list(ask(far_end).list_trades("ACME", timestamp_gt=str(THU), timestamp_lt=str(MON)))
    assert (len(both), len(neither)) == (240, 120)


def test_since_2026_sizes_are_whole_and_decimal_size_is_exact(far_end: FarEnd) -> None:
    rows = list(ask(far_end).list_trades("ACME", timestamp="2026-03-05"))
    assert all(isinstance(row.decimal_size, str) and row.size == int(float(row.decimal_size)) for row in rows)
    assert {row.size for row in ask(far_end).list_trades("BACPB", timestamp="2024-03-07")} and any("." in row.decimal_size for row in rows)
    assert all(row.decimal_size is None for row in ask(far_end).list_trades("ACME", timestamp=str(THU)))


# Refusals

ENTITLED = "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
FRAME = "Your plan doesn't include this data timeframe. Please upgrade your plan at https://polygon.io/pricing"
TODAY = "Attempted to request today's data before end of day. Please upgrade your plan at https://polygon.io/pricing"


def refusal(call: Callable[[], Any]) -> Any:
    with pytest.raises(BadResponse) as refused:
        call()
    return json.loads(str(refused.value))


def test_keys_are_told_apart(far_end: FarEnd) -> None:
    said = refusal(lambda: ask(far_end, "another").get_grouped_daily_aggs(THU))
    assert said == {"status": "ERROR", "request_id": said["request_id"], "error": "Unknown API Key"} and len(said["request_id"]) == 32
    without = bare("GET", f"{far_end.api_url}/v1/marketstatus/now")
    assert (without.status, without.json()["error"]) == (401, "API Key was not provided")
    assert bare("GET", f"{far_end.api_url}/v1/marketstatus/now?apiKey={far_end.key}").status == 200


@pytest.mark.parametrize(
    ("setting", "call", "status", "text"),
    [
        ({"plan": STARTER}, lambda c: next(c.list_trades("ACME")), "NOT_AUTHORIZED", ENTITLED),
        ({"plan": DEVELOPER}, lambda c: next(c.list_quotes("ACME")), "NOT_AUTHORIZED", ENTITLED),
        ({"plan": STARTER}, lambda c: next(c.list_financials_ratios()), "NOT_AUTHORIZED", ENTITLED),
        ({"entitled_from": FRI}, lambda c: c.get_grouped_daily_aggs(THU), "NOT_AUTHORIZED", FRAME),
        ({"entitled_from": MON}, lambda c: c.get_aggs("ACME", 1, "minute", THU, FRI), "NOT_AUTHORIZED", FRAME),
        ({"entitled_from": FRI}, lambda c: next(c.list_trades("ACME", timestamp=str(THU))), "NOT_AUTHORIZED", FRAME),
        ({"plan": BASIC}, lambda c: c.get_grouped_daily_aggs(FRI), "NOT_AUTHORIZED", TODAY),
        ({}, lambda c: c.get_ticker_details("NOPE"), "NOT_FOUND", "Ticker not found."),
        ({}, lambda c: c.get_daily_open_close_agg("ACME", "2024-03-09"), "NOT_FOUND", "Data not found."),
        ({}, lambda c: c.get_grouped_daily_aggs("2024-13-01"), "ERROR", "Could not parse the time parameter: 'date'"),
        ({}, lambda c: c.get_aggs("ACME", 1, "day", FRI, THU), "ERROR", "'to' cannot be a time that occurs before 'from'"),
        ({}, lambda c: next(c.list_trades("ACME", timestamp="yesterday")), "ERROR", "Could not parse the timestamp"),
        ({}, lambda c: next(c.list_tickers(limit=2000)), "ERROR", "Could not parse the limit"),
    ],
)
def test_refusals_have_the_vendor_s_words(
    far_end: FarEnd, setting: dict[str, Any], call: Callable[[RESTClient], Any], status: str, text: str
) -> None:
    far_end.now = lambda: datetime(2024, 3, 8, 20, tzinfo=UTC)
    for name, value in setting.items():
        setattr(far_end, name, value)
    said = refusal(lambda: call(ask(far_end)))
    assert said["status"] == status and text in said["error" if status == "ERROR" else "message"]


def test_what_is_partly_beyond_the_wall_is_cut(far_end: FarEnd) -> None:
    far_end.entitled_from = FRI
    assert [at(row).date() for row in ask(far_end).list_aggs("ACME", 1, "day", THU, MON)] == [FRI, MON]
    rows = ask(far_end).list_trades("ACME", timestamp_gte=str(THU), timestamp_lte=str(FRI))
    assert {datetime.fromtimestamp(row.sip_timestamp // 10**9, NEW_YORK).date() for row in rows} == {FRI}
    far_end.plan, far_end.now = BASIC, lambda: datetime(2024, 3, 11, 20, tzinfo=UTC)
    assert [at(row).date() for row in ask(far_end).list_aggs("ACME", 1, "day", THU, MON)] == [FRI]


def test_calls_beyond_the_rate_are_refused_until_the_window_has_passed(far_end: FarEnd) -> None:
    far_end.rate, far_end.window_s, far_end.retry_after = 2, 60, "1"
    client = ask(far_end)
    for _ in range(2):
        client.get_market_status()
    said = refusal(client.get_market_status)
    assert said["status"] == "ERROR" and said["error"].startswith("You've exceeded the maximum requests per minute")
    far_end.window_s = 0.2
    time.sleep(0.25)
    client.get_market_status()
    assert [one.status for one in far_end.requests] == [200, 200, 429, 200]


@pytest.mark.parametrize(("body", "text"), [("empty", ""), ("html", "<html>\r\n<head><title>429")])
def test_429_may_be_empty_or_html(far_end: FarEnd, body: str, text: str) -> None:
    far_end.rate, far_end.too_many = 0, body
    with pytest.raises(BadResponse) as refused:
        ask(far_end).get_market_status()
    assert str(refused.value).startswith(text) and bool(str(refused.value)) == bool(text)


def test_delayed_plans_say_so(far_end: FarEnd) -> None:
    far_end.delayed = True
    assert told(far_end, f"/v2/aggs/grouped/locale/us/market/stocks/{THU}")["status"] == "DELAYED"
    assert len(ask(far_end).get_grouped_daily_aggs(THU)) > 10


# Reference


def test_tickers_that_are_active_were_or_will_be(far_end: FarEnd) -> None:
    client = ask(far_end)
    active = [row.ticker for row in client.list_tickers(limit=5)]
    assert active == sorted(active) and {"NA", "TRUE", "BACpB", "BACPB", "NEWCO"} <= set(active) and not {"GONE", "OLDCO"} & set(active)
    assert len(far_end.requests) == -(-len(active) // 5)
    gone = {row.ticker: row for row in client.list_tickers(active=False)}
    assert {"GONE", "OLDCO", "REUSE"} <= set(gone) and gone["GONE"].delisted_utc.startswith("2024-03-15") and gone["GONE"].active is False
    then = {row.ticker for row in client.list_tickers(date="2024-03-08")}
    assert "GONE" in then and "GONE" not in {row.ticker for row in client.list_tickers(date="2024-03-18")}
    assert [row.ticker for row in client.list_tickers(search="berkshire")] == ["BRK.B"]
    assert {row.ticker for row in client.list_tickers(ticker_gte="S", ticker_lt="T", type="CS")} >= {"SPLT"}


def test_a_name_that_was_reused_is_another_company(far_end: FarEnd) -> None:
    client = ask(far_end)
    first, second = (client.get_ticker_details("REUSE", date=day).composite_figi for day in ("2024-01-15", "2024-06-03"))
    assert first != second
    assert refusal(lambda: client.get_ticker_details("REUSE", date="2024-03-08"))["message"] == "Ticker not found."


def test_a_renamed_company_has_both_names_in_its_events(far_end: FarEnd) -> None:
    told = ask(far_end).get_ticker_events("NEWCO")
    assert [(one["date"], one["ticker_change"]["ticker"]) for one in told.events] == [("2024-04-01", "NEWCO"), ("2010-03-01", "OLDCO")]


def test_both_split_endpoints_tell_the_same_splits(far_end: FarEnd) -> None:
    client = ask(far_end)
    old = {(row.ticker, row.execution_date, row.split_to) for row in client.list_splits(limit=3)}
    new = {(row.ticker, row.execution_date, row.split_to): row for row in client.list_stocks_splits(limit=3)}
    assert old == set(new)
    assert (
        new["RVRS", "2024-05-06", 1].adjustment_type == "reverse_split" and new["RVRS", "2024-05-06", 1].historical_adjustment_factor == 10
    )
    assert {row.ticker for row in client.list_splits(reverse_split=True, ticker="RVRS")} == {"RVRS"}
    dates = [row.execution_date for row in client.list_splits(execution_date_gte="2024-01-01", execution_date_lt="2025-01-01")]
    assert dates == sorted(dates, reverse=True) and {day[:4] for day in dates} == {"2024"}


def test_both_dividend_endpoints(far_end: FarEnd) -> None:
    client = ask(far_end)
    old = list(client.list_dividends(ticker="SPLT"))
    assert [(row.ex_dividend_date, row.cash_amount, row.dividend_type) for row in old] == [
        ("2024-05-09", 0.2, "CD"),
        ("2024-02-08", 0.8, "CD"),
    ]
    new = {row.ex_dividend_date: row for row in client.list_stocks_dividends(ticker="SPLT")}
    assert (new["2024-02-08"].cash_amount, new["2024-02-08"].split_adjusted_cash_amount) == (0.8, 0.2)
    assert {row.distribution_type for row in client.list_stocks_dividends(ticker_any_of=["DIVI", "NA"])} == {"recurring", "special"}


def test_lists_whose_keys_are_not_unique(far_end: FarEnd) -> None:
    client = ask(far_end)
    assert sorted(row.mic for row in client.get_exchanges() if row.id == 4) == ["FINC", "FINN", "FINY", "XADF"]
    assert {row.id for row in client.get_exchanges() if row.mic is None} == {5, 13}
    conditions = list(client.list_conditions(asset_class="stocks", limit=1000))
    assert len([row for row in conditions if row.id == 1]) == 2, "trades and quotes share numbers"
    assert len(list(client.list_conditions(data_type="nbbo"))) == 4
    assert {"CS", "ADRC", "ETF"} <= {row.code for row in client.get_ticker_types()}


def test_holidays_are_a_bare_list_of_what_is_to_come(far_end: FarEnd) -> None:
    far_end.now = lambda: datetime(2026, 11, 27, 15, tzinfo=UTC)
    days = ask(far_end).get_market_holidays()
    assert isinstance(told(far_end, "/v1/marketstatus/upcoming"), list) and {row.date for row in days} == {
        "2026-11-27",
        "2026-12-25",
        "2027-01-01",
    }
    assert days[0].close == "2026-11-27T18:00:00.000Z"
    assert ask(far_end).get_market_status().market == "open"


def test_news_statements_and_the_economy(far_end: FarEnd) -> None:
    client = ask(far_end)
    articles = list(client.list_ticker_news("ACME", limit=7))
    assert len(articles) == 41 and articles[0].insights and articles[-1].insights is None
    since = list(client.list_ticker_news("ACME", published_utc_gte="2024-03-20"))
    assert 1 < len(since) < 41
    assert [row.fiscal_period for row in client.vx.list_stock_financials(ticker="ACME", timeframe="annual")] == ["FY", "FY"]
    assert [row.period_end for row in client.list_financials_income_statements(tickers="DIVI", timeframe="quarterly")] == [
        "2023-09-30",
        "2023-12-31",
        "2024-03-31",
    ]
    assert next(iter(client.list_financials_balance_sheets(tickers="ACME"))).total_assets == 2e9
    assert len(list(client.list_financials_cash_flow_statements())) == 10 and len(list(client.list_financials_ratios())) == 2
    assert {row.ipo_status for row in client.vx.list_ipos()} == {"history", "pending", "rumor"}
    assert next(iter(client.list_treasury_yields())).yield_1_month is None
    assert len(list(client.list_inflation(limit=5))) == 24 and len(list(client.list_labor_market_indicators(date_gte="2024-01-01"))) == 12
    assert len(list(client.list_inflation_expectations())) == 24
    assert len(list(client.list_short_interest("ACME"))) == 2 and len(list(client.list_stocks_floats())) == 1


def test_rows_go_out_as_csv_where_that_is_accepted(far_end: FarEnd) -> None:
    reply = bare(
        "GET",
        f"{far_end.api_url}/v3/trades/ACME?timestamp={THU}",
        headers={"Accept": "text/csv", "Authorization": f"Bearer {far_end.key}"},
    )
    rows = list(csv.DictReader(io.StringIO(reply.data.decode())))
    assert reply.headers["Content-Type"] == "text/csv" and len(rows) == 120 and rows[0]["sip_timestamp"].isdigit()
    assert json.loads(rows[0]["conditions"]) == made.ticks("trades", "ACME", THU)[-1]["conditions"]


# What a test puts, and what it spoils


def test_what_a_test_puts_stands_before_the_market(far_end: FarEnd) -> None:
    far_end.bars["MINE", THU] = Bar(10, 11, 9, 10.5, 1.5, None)
    far_end.bars["ACME", THU] = None
    far_end.minutes["MINE", THU] = [Bar(10, 11, 9, 10.5, start_ns=at_ns(THU, 9, 30))]
    far_end.trades["MINE", THU] = [{"sip_timestamp": at_ns(THU, 9, 30) + 1, "price": 10.25, "size": 3, "id": "900]:C"}]
    far_end.rows["splits"].append({"ticker": "MINE", "execution_date": str(FRI), "split_from": 1, "split_to": 2})
    client = ask(far_end)
    rows = {row.ticker: row for row in client.get_grouped_daily_aggs(THU)}
    assert "ACME" not in rows and (rows["MINE"].close, rows["MINE"].volume, rows["MINE"].transactions) == (5.25, 3, None)
    assert [row.close for row in client.list_aggs("MINE", 1, "minute", THU, THU, adjusted=False)] == [10.5]
    assert [row.id for row in client.list_trades("MINE")] == ["900]:C"]
    far_end.rows["holidays"][0]["name"] = "Mine"
    with FarEnd() as another:
        assert another.rows["holidays"][0]["name"] != "Mine", "lists are each far end's own"


def test_an_empty_far_end_knows_nothing() -> None:
    with FarEnd(real=False, made=False) as far_end:
        assert ask(far_end).get_grouped_daily_aggs(THU) == [] == list(ask(far_end).list_tickers())


def test_a_stall_is_a_timeout(far_end: FarEnd) -> None:
    far_end.faults = [faults.stall(60)]
    with pytest.raises(urllib3.exceptions.HTTPError, match="timed out"):
        ask(far_end, read_timeout=0.2).get_market_status()
    begun = time.monotonic()
    far_end.close()
    assert time.monotonic() - begun < 30, "nobody waits for the silent one"


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (faults.truncated(40), urllib3.exceptions.HTTPError, "IncompleteRead|incomplete|broken|closed"),
        (faults.reset(), urllib3.exceptions.HTTPError, "reset|aborted"),
        (faults.html(), BadResponse, "502 Bad Gateway"),
        (faults.html(503), BadResponse, "503 Bad Gateway"),
        (Fault(status=500), BadResponse, "^$"),
        (faults.refused(403, faults.NOT_IN_PLAN), BadResponse, "not entitled"),
        (faults.too_many(retry_after="7"), BadResponse, "exceeded the maximum"),
    ],
)
def test_faults_as_the_client_meets_them(far_end: FarEnd, fault: Fault, error: type[Exception], text: str) -> None:
    far_end.faults = [fault]
    with pytest.raises(error, match=text):
        ask(far_end).get_grouped_daily_aggs(THU)
    assert len(ask(far_end).get_grouped_daily_aggs(THU)) > 10, "it is used up"


@pytest.mark.parametrize("fault", [faults.empty(), faults.broken_json(), faults.without("results")])
def test_answers_that_the_client_takes_for_nothing(far_end: FarEnd, fault: Fault) -> None:
    far_end.forever = [fault]
    assert ask(far_end).get_grouped_daily_aggs(THU) == [] == ask(far_end).get_grouped_daily_aggs(THU)


def test_rows_may_lack_fields_or_have_wrong_ones(far_end: FarEnd) -> None:
    path = f"/v2/aggs/ticker/ACME/range/1/day/{THU}/{FRI}"
    far_end.faults = [faults.without("c", "n", nth=1), faults.without("vw", "request_id"), faults.with_values(o="high", nth=1)]
    first, second, third = (told(far_end, path) for _ in range(3))
    assert "c" in first["results"][0] and not {"c", "n"} & set(first["results"][1])
    assert "request_id" not in second and "vw" not in second["results"][0]
    assert third["results"][1]["o"] == "high"


def test_faults_wait_for_the_request_they_fit(far_end: FarEnd) -> None:
    far_end.faults = [faults.html(path=r"/v3/trades/ACME\?.*cursor"), faults.html(path="SPLT")]
    rows = ask(far_end).list_trades("ACME", timestamp=str(THU), limit=100)
    assert len([next(rows) for _ in range(100)]) == 100 and len(far_end.faults) == 2
    with pytest.raises(BadResponse, match="502"):
        next(rows)
    assert len(far_end.faults) == 1 and [one.status for one in far_end.asked("/v3/")] == [200, 502]


def test_a_skewed_clock(far_end: FarEnd) -> None:
    far_end.faults = [faults.skewed(-86_400)]
    reply = ask(far_end).get_grouped_daily_aggs(FRI, raw=True)
    behind = datetime.now(UTC) - datetime.strptime(reply.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert 86_390 < behind.total_seconds() < 86_410
    assert json.loads(reply.data)["results"][0]["t"] * 10**6 == at_ns(THU, 16)


def test_one_connection_carries_many_answers_without_waits(far_end: FarEnd) -> None:
    client = ask(far_end)
    took: list[float] = []
    # A wait is there every time; that the machine is busy is not.
    while len(took) < 10 and min(took, default=2) >= 1.5:
        begun = time.monotonic()
        for _ in range(40):
            client.get_market_status()
        took.append(time.monotonic() - begun)
    assert far_end.connections == 1 and min(took) < 1.5, "40 ms each: header and body went out apart"
    assert far_end.requests[0].headers["Authorization"] == f"Bearer {far_end.key}" and far_end.requests[0].service == "api"


def test_a_client_that_tries_again_gets_through(far_end: FarEnd) -> None:
    far_end.faults = [faults.html(), faults.too_many(body="empty")]
    assert RESTClient(far_end.key, base=far_end.api_url).get_market_status().market
    assert [one.status for one in far_end.requests] == [502, 429, 200]


# The real files


@pytest.mark.shared
@pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")
def test_real_sessions_are_served_as_their_files_have_them(far_end: FarEnd) -> None:
    day = date(2014, 6, 9)
    with gzip.open(FLATFILES / f"us_stocks_sip/day_aggs_v1/2014/06/{day}.csv.gz", "rt") as file:
        lines = {row["ticker"]: row for row in csv.DictReader(file)}
    rows = {row.ticker: row for row in ask(far_end).get_grouped_daily_aggs(day, adjusted=False)}
    assert set(rows) == set(lines)
    for name in ("open", "high", "low", "close", "volume"):
        assert {ticker: getattr(row, name) for ticker, row in rows.items()} == {ticker: float(line[name]) for ticker, line in lines.items()}
    [adjusted] = ask(far_end).list_aggs("AAPL", 1, "day", "2014-06-06", "2014-06-06")
    assert adjusted.close == pytest.approx(645.57 / 28, abs=0.01)
    assert len(list(ask(far_end).list_quotes("IBM", timestamp="2013-10-07", limit=1000, order="asc"))) == 3745


# Yahoo


@pytest.fixture
def yahoo(far_end: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """yfinance over a session that leads every host to the far end, and without what it remembers of an earlier one."""
    import requests
    import yfinance
    from requests.adapters import HTTPAdapter
    from yfinance.cache import _CookieCacheDummy
    from yfinance.data import SingletonMeta, YfData

    class Rewritten(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # type: ignore[override]
            url = urlsplit(request.url or "")
            request.headers["X-Forwarded-Host"] = str(url.netloc)
            request.url = f"{far_end.yahoo_url}{url.path or '/'}" + (f"?{url.query}" if url.query else "")
            return super().send(request, **more)

    def forget() -> None:
        SingletonMeta._instances.clear()
        YfData.cache_get.cache_clear()

    forget()
    # The first unknown symbols of a process would also be looked up elsewhere.
    monkeypatch.setattr("yfinance.base._tz_info_fetch_ctr", 2)
    yfinance.set_tz_cache_location(str(tmp_path))
    # A cookie that an earlier test was given would spare this one the asking.
    monkeypatch.setattr("yfinance.cache._CookieCacheManager._Cookie_cache", _CookieCacheDummy())
    with requests.Session() as session:
        session.mount("https://", Rewritten())
        yield lambda symbol: yfinance.Ticker(symbol, session=session)
    forget()


@pytest.mark.filterwarnings("ignore")
def test_yahoo_s_history_is_adjusted_for_splits_and_tells_them(far_end: FarEnd, yahoo: Any) -> None:
    rows = yahoo("SPLT").history(start="2024-03-08", end="2024-03-12", auto_adjust=False, actions=True)
    raw = made.history("SPLT")
    assert list(rows.Close) == pytest.approx([raw[FRI].close / 4, raw[MON].close])
    assert list(rows.Volume) == [round(raw[FRI].volume * 4), raw[MON].volume] and list(rows["Stock Splits"]) == [0, 4]
    assert str(rows.index[0]) == "2024-03-08 00:00:00-05:00"
    assert list(rows["Adj Close"] / rows.Close) == pytest.approx([1 - 0.2 / raw[date(2024, 5, 8)].close] * 2), "a dividend in May"
    paid = yahoo("SPLT").history(start="2024-02-08", end="2024-02-09", auto_adjust=False)
    assert list(paid.Dividends) == [pytest.approx(0.2)], "0.8 before the split"
    assert {one.host for one in far_end.requests} >= {"query2.finance.yahoo.com", "fc.yahoo.com"}
    assert {one.service for one in far_end.requests} == {"yahoo"}


@pytest.mark.filterwarnings("ignore")
def test_yahoo_s_symbols(far_end: FarEnd, yahoo: Any) -> None:
    for symbol, ticker in {"BRK-B": "BRK.B", "BAC-PB": "BACpB", "BACPB": "BACPB", "SPAC-UN": "SPAC.U", "SPAC-WT": "SPAC.WS"}.items():
        rows = yahoo(symbol).history(start=str(THU), end=str(FRI), auto_adjust=False)
        assert list(rows.Close) == pytest.approx([made.day(THU)[ticker].close])
    for symbol in ("NOPE", "GONE"):
        assert yahoo(symbol).history(start=str(THU), end=str(FRI)).empty
    assert far_end.asked("/chart/NOPE")[0].status == 404


@pytest.mark.filterwarnings("ignore")
def test_yahoo_s_minutes_and_their_reach(far_end: FarEnd, yahoo: Any) -> None:
    far_end.yahoo_intraday_forever = True
    rows = yahoo("ACME").history(start=str(THU), end=str(FRI), interval="1m", auto_adjust=False)
    regular = [bar for bar in made.minutes("ACME", THU) if at_ns(THU, 9, 30) <= bar.start_ns < at_ns(THU, 16)]
    assert len(rows) == len(regular) and rows.Open.iloc[0] == pytest.approx(regular[0].open)
    wide = yahoo("ACME").history(start=str(THU), end=str(FRI), interval="15m", auto_adjust=False)
    assert len(wide) == 26 and wide.Volume.sum() == rows.Volume.sum()
    far_end.yahoo_intraday_forever = False
    assert yahoo("ACME").history(start=str(FRI), end="2024-03-09", interval="1m").empty


@pytest.mark.filterwarnings("ignore")
def test_yahoo_s_oddities(far_end: FarEnd, yahoo: Any) -> None:
    far_end.yahoo_holes = {("ACME", THU)}
    rows = yahoo("ACME").history(start=str(THU), end="2024-03-09", auto_adjust=False, keepna=True)
    assert rows.Close.isna().tolist() == [True, False]
    renamed = yahoo("NEWCO").history(start="2024-03-28", end="2024-04-02", auto_adjust=False)
    assert [str(day)[:10] for day in renamed.index] == ["2024-03-28", "2024-04-01"], "Yahoo keeps a company's names together"
    # Not over the clock's change: yfinance takes weeks that are an hour short for one.
    weeks = yahoo("ACME").history(start="2024-03-11", end="2024-03-23", interval="1wk", auto_adjust=False)
    assert weeks.High.tolist() == pytest.approx([max(made.day(date(2024, 3, day))["ACME"].high for day in week) for week in WEEKS])
    far_end.yahoo_live = True
    live = bare("GET", f"{far_end.yahoo_url}/v8/finance/chart/ACME?period1={at_ns(THU) // 10**9}&period2={at_ns(FRI) // 10**9}").json()
    assert len(live["chart"]["result"][0]["timestamp"]) == 2, "the latest price comes too"
    assert bare("GET", f"{far_end.yahoo_url}/v7/finance/quote?symbols=ACME").status == 401, "no crumb"


@pytest.mark.filterwarnings("ignore")
def test_yahoo_s_fundamentals(far_end: FarEnd, yahoo: Any) -> None:
    ticker = yahoo("ACME")
    assert ticker.info["sector"] == "Industrials" and ticker.info["regularMarketPrice"] == 101.0
    assert ticker.income_stmt.loc["Total Revenue"].tolist() == [1.1e9, 1e9] and ticker.quarterly_balance_sheet.shape == (1, 3)
    assert ticker.get_shares_full(start="2024-01-01", end="2024-12-31").tolist() == [1_000_000, 1_010_000]


@pytest.mark.filterwarnings("ignore")
def test_yahoo_s_refusal(far_end: FarEnd, yahoo: Any) -> None:
    from yfinance.exceptions import YFRateLimitError

    far_end.forever = [faults.yahoo_too_many()]
    with pytest.raises(YFRateLimitError, match="Too Many Requests"):
        yahoo("ACME").history(start=str(THU), end=str(FRI))


# FRED


@pytest.fixture
def fred(far_end: FarEnd) -> Callable[[str], Any]:
    from fredapi import Fred

    def client(key: str) -> Any:
        made = Fred(key)
        made.root_url = far_end.fred_url
        return made

    return client


def test_fred_s_series_and_what_was_known_when(far_end: FarEnd, fred: Callable[[str], Any]) -> None:
    client = fred(far_end.fred_key)
    assert client.get_series_info("GDP").frequency_short == "Q"
    assert client.get_series("GDP").iloc[0] == 26_913.5
    every = client.get_series_all_releases("GDP")
    first = every[every.date == every.date.min()]
    assert list(first.value) == [26_821.3, 26_829.0, 26_836.7, 26_913.5] and str(first.realtime_start.iloc[-1])[:10] == "2024-09-26"
    assert client.get_series("DGS10").isna().sum() == 6, "holidays are told as a dot"
    assert len(client.get_series("GDP", realtime_start="2023-06-30", realtime_end="2023-06-30")) == 1
    assert list(client.search("unemployment").index) == ["UNRATE"]
    far_end.fred["MINE"] = FredSeries("Mine", {"2024-01-01": {"2024-02-01": 1.0, "2024-03-01": None}})
    assert client.get_series("MINE").isna().all() and client.get_series_first_release("MINE").iloc[0] == 1.0


@pytest.mark.parametrize(
    ("key", "name", "text"),
    [
        ("", "GDP", "api_key is not set"),
        ("short", "GDP", "not a 32 character alpha-numeric lower-case string"),
        ("0" * 32, "GDP", "not registered"),
        ("", "NOPE", "api_key is not set"),
    ],
)
def test_fred_s_refusals(far_end: FarEnd, fred: Callable[[str], Any], key: str, name: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fred(key).get_series(name)
    with pytest.raises(ValueError, match="The series does not exist"):
        fred(far_end.fred_key).get_series("NOPE")


def test_fred_s_calendar_of_releases(far_end: FarEnd) -> None:
    far_end.now = lambda: datetime(2024, 3, 8, 20, tzinfo=UTC)

    def dates(query: str = "") -> Any:
        url = f"{far_end.fred_url}/releases/dates?api_key={far_end.fred_key}&file_type=json{query}"
        return bare("GET", url).json()["release_dates"]

    assert {row["date"] for row in dates()} == {f"2024-0{month}-{day}" for month in (1, 2, 3) for day in ("01", "05", "12", "28")} - {
        "2024-03-12",
        "2024-03-28",
    }
    coming = dates("&include_release_dates_with_no_data=true&realtime_start=2024-03-12&realtime_end=2024-03-31&sort_order=asc")
    assert [(row["release_name"], row["date"]) for row in coming] == [
        ("Consumer Price Index", "2024-03-12"),
        ("Gross Domestic Product", "2024-03-28"),
    ]


# By hand


def test_it_can_be_served_by_hand_to_a_workbench() -> None:
    import subprocess
    import sys

    tests = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "farend", "--plan", "basic", "--rate", "2"]
    with subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout
        env = dict(served.stdout.readline().strip().split("=", 1) for _ in range(6))
        try:
            client = RESTClient(env["POLYGON_API_KEY"], base=env["POLYGON_API_URL"], connection_pool_kw={"retries": False})
            assert len(client.get_grouped_daily_aggs(THU)) > 10
            assert refusal(lambda: next(client.list_trades("ACME")))["message"] == ENTITLED
            assert set(env) >= {"WORKBENCH_YAHOO", "WORKBENCH_YAHOO_URL", "FRED_API_KEY", "FRED_API_URL"}
        finally:
            served.terminate()


def test_the_far_end_s_own_failures_are_told_apart(far_end: FarEnd) -> None:
    far_end.rows["splits"].append({"ticker": "ACME"})
    reply = bare("GET", f"{far_end.api_url}/stocks/v1/splits?apiKey={far_end.key}")
    assert reply.status == 500 and "KeyError" in far_end.broken.pop()
