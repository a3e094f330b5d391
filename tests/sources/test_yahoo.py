"""Yahoo's bars: the real yfinance, over HTTP, against a far end that fails as told."""

import gzip
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from farend import Bar, FarEnd, Fault
from farend.faults import broken_json, empty, html, reset, stall, too_many, truncated
from farend.times import NEW_YORK, at_ns
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadSetting
from workbench.lake.landing import Job, land
from workbench.sources import Answer, Question, RowSource
from workbench.sources.yahoo import Yahoo, adjusted
from workbench.sources.yahoo_symbols import from_yahoo, to_yahoo, why_not
from workbench.sources.yahoo_web import Web, browser

# The far end's made-up market: SPLT splits 4 for 1 on 2024-03-11.
THU, FRI, MON = date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11)
NOON = datetime(2024, 3, 14, 12, tzinfo=NEW_YORK)
HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
LABEL = "split-adjusted by Yahoo as of 2024-03-14, not adjusted for dividends"

Ask = Callable[..., list[Answer]]


@pytest.fixture
def yahoo(far_end: FarEnd) -> Iterator[Yahoo]:
    far_end.now = lambda: NOON
    source = Yahoo(far_end.yahoo_url, timeout_s=30.0, backoff_s=0.01, clock=far_end.now)
    yield source
    source.close()


@pytest.fixture
def ask(yahoo: Yahoo, tmp_path: Path) -> Ask:
    def asked(tickers: str, *days: date, table: str = "stock_day") -> list[Answer]:
        questions = yahoo.questions(table, days or (FRI,), tickers.split())
        return [answer for question in questions for answer in yahoo.answer(question, tmp_path / "answers")]

    return asked


def lines(answer: Answer) -> list[str]:
    assert answer.path
    return gzip.decompress(answer.path.read_bytes()).decode().splitlines()


def charts(far_end: FarEnd) -> list[str]:
    """The symbols that were asked for, in order."""
    return [one.path.rpartition("/")[2] for one in far_end.asked("/v8/finance/chart/")]


def null(*names: str, nth: int = 0) -> Callable[[Any], Any]:
    """The right answer, but for values of one bar that Yahoo does not know."""

    def change(reply: Any) -> Any:
        for name in names:
            reply["chart"]["result"][0]["indicators"]["quote"][0][name][nth] = None
        return reply

    return change


def without(place: str, name: str) -> Callable[[Any], Any]:
    """The right answer, but for a field of its result or of its `meta`."""

    def change(reply: Any) -> Any:
        result = reply["chart"]["result"][0]
        del (result[place] if place else result)[name]
        return reply

    return change


def meta(**values: str) -> Callable[[Any], Any]:
    def change(reply: Any) -> Any:
        reply["chart"]["result"][0]["meta"].update(values)
        return reply

    return change


# ---------------------------------------------------------------------- symbols


SYMBOLS = {
    "AAPL": "AAPL",
    "BRK.B": "BRK-B",
    "BACpL": "BAC-PL",
    "BACPL": "BACPL",
    "WFCp": "WFC-P",
    "SPAC.WS": "SPAC-WT",
    "SPAC.WS.A": "SPAC-WTA",
    "SPAC.U": "SPAC-UN",
}


@pytest.mark.parametrize("ours", SYMBOLS)
def test_symbols_are_turned_both_ways(ours: str) -> None:
    assert to_yahoo(ours) == SYMBOLS[ours]
    assert from_yahoo(SYMBOLS[ours]) == ours
    assert why_not(ours) == ""


@pytest.mark.parametrize(
    ("ticker", "reason"),
    [
        ("BACr", "rights"),
        ("BACw", "when issued"),
        ("BRK.Aw", "when issued"),
        ("BACpLw", "when issued"),
        ("BAC.WSw", "when issued"),
        ("BACpA.WD", "when distributed"),
        ("BAC.P", "BAC-P is BACp there"),
        ("aapl", "did you mean AAPL?"),
        ("brk-b", "did you mean BRK.B?"),
        (" AAPL", "did you mean AAPL?"),
        ("AA PL", "no symbol"),
        ("^GSPC", "no symbol"),
        ("X:BTCUSD", "no symbol"),
        ("US0378331005", "no symbol"),
        ("AAPL/../X", "no symbol"),
        ("", "no symbol"),
    ],
)
def test_what_has_no_symbol_is_told_why(ticker: str, reason: str) -> None:
    assert to_yahoo(ticker) == ""
    assert reason in why_not(ticker)


@given(st.lists(st.from_regex(r"[A-Z]{1,5}(\.[A-Z]{1,2}|p[A-Z]?|r|w|\.WS(\.[A-Z])?)?|[A-Za-z.\- ]{0,8}", fullmatch=True), min_size=2))
def test_no_two_symbols_become_one(tickers: list[str]) -> None:
    theirs = {ticker: symbol for ticker in tickers if (symbol := to_yahoo(ticker))}
    assert len(set(theirs.values())) == len(theirs)
    assert all(symbol == symbol.upper() and from_yahoo(symbol) == ticker for ticker, symbol in theirs.items())


# ---------------------------------------------------------------------- questions


def test_it_has_day_and_minute_bars_of_stocks_by_ticker(yahoo: Yahoo) -> None:
    source: RowSource = yahoo

    assert source.name == "yahoo"
    assert source.refuses("stock_day", whole=False) == source.refuses("stock_minute", whole=False) == ""
    assert "not for the whole market" in source.refuses("stock_day", whole=True)
    assert "none of stock_trades" in source.refuses("stock_trades", whole=False)
    assert "none of index_day" in source.refuses("index_day", whole=True)


def test_fifty_tickers_and_all_sessions_are_one_question(yahoo: Yahoo) -> None:
    tickers = [f"T{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(120)]

    questions = yahoo.questions("stock_day", [MON, THU, FRI, MON], [*tickers, tickers[0]])

    assert [len(question.tickers) for question in questions] == [50, 50, 20]
    assert {question.sessions for question in questions} == {(THU, FRI, MON)}
    assert [ticker for question in questions for ticker in question.tickers] == sorted(tickers)
    assert yahoo.questions("stock_day", [MON], []) == yahoo.questions("stock_trades", [MON], tickers) == []


# ---------------------------------------------------------------------- answers


def test_day_bars_are_kept_exactly_as_yahoo_gives_them(ask: Ask, far_end: FarEnd) -> None:
    far_end.bars["ACME", FRI] = Bar(10.25, 11.5, 9.75, 10.5, 123_456)

    friday, monday = ask("SPLT ACME", FRI, MON)

    assert lines(friday)[:2] == [HEADER, f"ACME,123456,10.25,10.5,11.5,9.75,{at_ns(FRI)},"]
    assert [line.split(",")[0] for line in lines(friday)] == ["ticker", "ACME", "SPLT"]
    assert (friday.session, friday.rows, friday.silent, friday.failed, friday.fault) == (FRI, 2, (), {}, "")
    raw = far_end.market.day(FRI)["SPLT"]
    _, volume, opened, *_ = lines(friday)[2].split(",")
    assert float(opened) == pytest.approx(raw.open / 4, rel=1e-6) and float(volume) == pytest.approx(raw.volume * 4, rel=1e-6)
    assert float(lines(monday)[2].split(",")[2]) == pytest.approx(far_end.market.day(MON)["SPLT"].open, rel=1e-6)


def test_what_yahoo_did_to_prices_is_told(ask: Ask) -> None:
    friday, monday = ask("ACME SPLT", FRI, MON)

    assert friday.notes == (LABEL, "SPLT: divided by 4 for the split of 2024-03-11")
    assert monday.notes == (LABEL,)


def test_later_splits_multiply() -> None:
    splits = {date(2014, 6, 9): 7.0, date(2020, 8, 31): 4.0}

    assert adjusted(splits, date(2014, 6, 6)) == "divided by 28 for the splits of 2014-06-09 and 2020-08-31"
    assert adjusted(splits, date(2014, 6, 9)) == "divided by 4 for the split of 2020-08-31"
    assert adjusted({MON: 0.1}, FRI) == "multiplied by 10 for the split of 2024-03-11"
    assert adjusted(splits, date(2020, 8, 31)) == ""


def test_all_sessions_cost_one_call_a_ticker_whose_host_is_told(ask: Ask, far_end: FarEnd) -> None:
    answers = ask("ACME SPLT DIVI", THU, FRI, MON)

    assert sorted(charts(far_end)) == ["ACME", "DIVI", "SPLT"]
    assert {one.host for one in far_end.asked("/v8/finance/chart/")} == {"query2.finance.yahoo.com"}
    assert [bool(answer.transferred) for answer in answers] == [True, False, False]


def test_symbols_that_look_alike_are_not_confused(ask: Ask, far_end: FarEnd) -> None:
    [answer] = ask("BACPB BACpB BRK.B SPAC.U SPAC.WS")

    assert sorted(charts(far_end)) == ["BAC-PB", "BACPB", "BRK-B", "SPAC-UN", "SPAC-WT"]
    opened = {line.split(",")[0]: float(line.split(",")[2]) for line in lines(answer)[1:]}
    market = far_end.market.day(FRI)
    assert opened == {ticker: pytest.approx(market[ticker].open, rel=1e-6) for ticker in opened}
    assert list(opened) == ["BACPB", "BACpB", "BRK.B", "SPAC.U", "SPAC.WS"]


def test_the_same_answer_is_the_same_file(ask: Ask, yahoo: Yahoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = ask("ACME SPLT")
    # A gzip header counts seconds.
    monkeypatch.setattr("gzip.time", SimpleNamespace(time=lambda: time.time() + 60))
    [again] = list(yahoo.answer(Question("stock_day", (FRI,), ("ACME", "SPLT")), tmp_path / "elsewhere"))

    assert first.file and first.file == again.file
    assert first.file.key == "yahoo:v8/finance/chart/ACME,SPLT?interval=1d&date=2024-03-08"
    assert first.file.size == first.path.stat().st_size if first.path else False


def test_an_answer_lands_as_a_flat_file_does(ask: Ask, tmp_path: Path) -> None:
    [answer] = ask("ACME SPLT")
    assert answer.file and answer.path

    landing = land(Job(answer.path, answer.file, "yahoo", tmp_path / "lake")).landing

    assert (landing.table, landing.session, landing.source, landing.rows, landing.quarantined) == ("stock_day", FRI, "yahoo", 2, 0)


def test_minutes_with_those_before_and_after_the_bell(ask: Ask, far_end: FarEnd) -> None:
    [answer] = ask("ACME", MON, table="stock_minute")

    stamps = [int(line.split(",")[6]) for line in lines(answer)[1:]]
    assert stamps == [bar.start_ns for bar in far_end.market.minutes_of("ACME", MON)]
    assert stamps[0] == at_ns(MON, 4) and answer.rows == len(stamps)


def test_minutes_of_the_week_are_one_call_of_at_most_eight_days(ask: Ask, far_end: FarEnd) -> None:
    answers = ask("ACME", THU, FRI, MON, table="stock_minute")

    assert [bool(answer.fault) for answer in answers] == [True, False, False]
    assert answers[0].fault.startswith("NotEntitled: ") and "last 7 days" in answers[0].fault
    [call] = far_end.asked("/v8/finance/chart/")
    assert int(call.query["period2"]) - int(call.query["period1"]) <= 8 * 86_400
    assert call.query["includePrePost"].lower() == "true"


def test_minutes_of_a_split_are_told_too(ask: Ask, far_end: FarEnd) -> None:
    friday, monday = ask("SPLT", FRI, MON, table="stock_minute")

    assert friday.notes == (LABEL, "SPLT: divided by 4 for the split of 2024-03-11") and monday.notes == (LABEL,)
    assert friday.rows == len(far_end.market.minutes_of("SPLT", FRI)) and monday.rows == len(far_end.market.minutes_of("SPLT", MON))


def test_a_funds_bars_are_bars(ask: Ask, far_end: FarEnd) -> None:
    far_end.forever.append(Fault("chart/DIVI", change=meta(instrumentType="ETF")))

    assert [answer.rows for answer in ask("DIVI", THU, FRI, MON)] == [1, 1, 1]


def test_the_session_that_is_yahoos_default_is_listened_to_as_well(far_end: FarEnd) -> None:
    web = Web()
    session = web._attentive(browser())

    session.get(f"{far_end.url}/v1/test/getcrumb", timeout=5)

    assert type(session).__module__.startswith("curl_cffi")
    assert (web.last.status, web.last.kind, web.last.text) == (200, "text/plain", "far.End/Crumb") and web.transferred == 13


def test_a_price_between_minutes_is_no_bar(ask: Ask, far_end: FarEnd) -> None:
    def live(reply: Any) -> Any:
        reply["chart"]["result"][0]["timestamp"][3] += 23
        return reply

    far_end.forever.append(Fault("chart/ACME", change=live))

    [answer] = ask("ACME", MON, table="stock_minute")

    assert answer.rows == len(far_end.market.minutes_of("ACME", MON)) - 1
    assert "1 prices between minutes, which are no bars, were left out" in answer.notes


def test_a_session_that_is_not_over_is_not_asked_for(ask: Ask, far_end: FarEnd) -> None:
    today, tomorrow = ask("ACME", NOON.date(), NOON.date() + timedelta(days=1))

    assert today.fault.startswith("NotPublished: ") and tomorrow.fault.startswith("NotPublished: ")
    assert today.file is None and not far_end.requests


def test_a_session_that_is_over_is_asked_for_on_its_evening(ask: Ask, yahoo: Yahoo, far_end: FarEnd) -> None:
    yahoo.clock = far_end.now = lambda: NOON.replace(hour=20, minute=30)

    [answer] = ask("ACME", NOON.date())

    assert answer.rows == 1


def test_what_yahoo_cannot_be_asked_for_is_told_by_name(ask: Ask, far_end: FarEnd) -> None:
    [answer] = ask("ACME acme BACr")

    assert set(answer.failed) == {"acme", "BACr"} and answer.rows == 1
    assert answer.failed["acme"].startswith("NotPublished: ") and "did you mean ACME?" in answer.failed["acme"]
    assert charts(far_end) == ["ACME"]


def test_unknown_symbols_are_silent_and_told_why(ask: Ask, far_end: FarEnd) -> None:
    friday, monday = ask("ACME QQZZ ON", FRI, MON)

    assert friday.silent == ("QQZZ",) and friday.failed == {}
    assert "QQZZ: Yahoo does not know it (No data found, symbol may be delisted)" in friday.notes
    assert monday.silent == ("QQZZ",) and monday.rows == 2


def test_a_known_symbol_without_bars_is_silent(ask: Ask) -> None:
    [answer] = ask("REUSE", date(2024, 3, 8))

    assert answer.silent == ("REUSE",) and answer.file is None and answer.fault == ""
    assert answer.notes == ("REUSE: Yahoo knows it and has no bar of these sessions",)


def test_a_day_off_is_silent(ask: Ask) -> None:
    friday, saturday = ask("ACME", FRI, date(2024, 3, 9))

    assert friday.rows == 1
    assert (saturday.silent, saturday.file, saturday.fault) == (("ACME",), None, "")


# ---------------------------------------------------------------------- what is not there


def test_a_bar_without_prices_is_no_bar(ask: Ask, far_end: FarEnd) -> None:
    far_end.forever.append(Fault("chart/ACME", change=null("open", "high", "low", "close", "volume")))

    friday, monday = ask("ACME", FRI, MON)

    assert friday.silent == ("ACME",) and friday.file is None
    assert monday.rows == 1


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_a_value_that_yahoo_does_not_know_stays_unknown(ask: Ask, far_end: FarEnd, tmp_path: Path, name: str) -> None:
    far_end.forever.append(Fault("chart/ACME", change=null(name)))

    [answer] = ask("ACME SPLT")

    row = dict(zip(HEADER.split(","), lines(answer)[1].split(","), strict=True))
    assert [column for column, value in row.items() if not value] == sorted([name, "transactions"], key=HEADER.split(",").index)
    assert answer.file and answer.path
    landing = land(Job(answer.path, answer.file, "yahoo", tmp_path / "lake")).landing
    assert (landing.rows, landing.quarantined) == (1, 1)


@pytest.mark.parametrize("name", ["open", "volume"])
def test_a_minute_value_that_yahoo_does_not_know_stays_unknown(ask: Ask, far_end: FarEnd, name: str) -> None:
    far_end.forever.append(Fault("chart/ACME", change=null(name, nth=5)))

    [answer] = ask("ACME", MON, table="stock_minute")

    blank = [place for place, line in enumerate(lines(answer)[1:]) if not line.split(",")[HEADER.split(",").index(name)]]
    assert blank == [5]


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (html(502, "chart/ACME"), "Unreachable", "a page of HTML (HTTP 502)"),
        (html(200, "chart/ACME"), "Unreachable", "a page of HTML (HTTP 200)"),
        (html(403, "chart/ACME"), "Unreachable", "does not let this machine in (HTTP 403)"),
        (Fault("chart/ACME", 401, {"chart": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}), "Unreachable", "HTTP 401"),
        (Fault("chart/ACME", 500, {"chart": {"result": None, "error": {"code": "Internal", "description": "oops"}}}), "Unreachable", "HTTP 500"),
        (Fault("chart/ACME", 200, "*** Will be right back ***"), "Unreachable", "answers with an error"),
        (reset("chart/ACME"), "Unreachable", "does not answer"),
        (truncated(40, "chart/ACME"), "Unreachable", "does not answer"),
        (stall(30, "chart/ACME"), "Unreachable", "was silent for 1 s"),
        (too_many("chart/ACME"), "RateLimited", "refuses more calls for now (HTTP 429)"),
        (empty("chart/ACME"), "BrokenAnswer", "is empty"),
        (broken_json("chart/ACME"), "BrokenAnswer", "cannot be understood"),
        (Fault("chart/ACME", 200, {"chart": {"result": [], "error": None}}), "BrokenAnswer", "neither bars nor an error"),
        (Fault("chart/ACME", 200, {"status": "OK"}), "BrokenAnswer", "neither bars nor an error"),
        (Fault("chart/ACME", 200, "[1, 2]"), "BrokenAnswer", "ACME was not fetched"),
        (Fault("chart/ACME", change=without("", "timestamp")), "BrokenAnswer", "lacks 'timestamp'"),
        (Fault("chart/ACME", change=without("", "meta")), "BrokenAnswer", "lacks 'instrumentType'"),
        (Fault("chart/ACME", change=without("meta", "exchangeTimezoneName")), "BrokenAnswer", "lacks 'exchangeTimezoneName'"),
        (Fault("chart/ACME", change=without("", "indicators")), "BrokenAnswer", "lacks 'indicators'"),
        (Fault("chart/ACME", change=meta(symbol="ACMEX")), "BrokenAnswer", "asked for symbol ACME and answers with ACMEX"),
        (Fault("chart/ACME", change=meta(currency="CAD")), "BrokenAnswer", "asked for currency USD and answers with CAD"),
        (Fault("chart/ACME", change=meta(exchangeTimezoneName="Europe/London")), "BrokenAnswer", "Europe/London"),
        (Fault("chart/ACME", change=meta(dataGranularity="1wk")), "BrokenAnswer", "1wk"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_failure_is_told_and_hurts_no_other_ticker(ask: Ask, yahoo: Yahoo, far_end: FarEnd, fault: Fault, kind: str, words: str) -> None:
    yahoo.web.timeout_s, yahoo.threads = 1.0 if fault.silent_s else 30.0, 1
    far_end.forever.append(fault)

    [answer] = ask("SPLT ACME") if kind != "RateLimited" else ask("ACME SPLT")

    assert answer.failed["ACME"].startswith(f"{kind}: ACME was not fetched: ") and words in answer.failed["ACME"]
    if kind != "RateLimited":
        assert set(answer.failed) == {"ACME"} and answer.rows == 1 and answer.fault == ""
    assert "ACME" not in answer.silent


def test_a_passing_failure_is_asked_again(ask: Ask, far_end: FarEnd) -> None:
    far_end.faults += [html(502, "chart/ACME"), html(502, "chart/ACME"), reset("chart/ACME")]

    [answer] = ask("ACME")

    assert answer.rows == 1 and answer.failed == {}


def test_a_refusal_ends_the_asking(ask: Ask, yahoo: Yahoo, far_end: FarEnd) -> None:
    yahoo.threads = 1
    far_end.forever.append(too_many("chart/"))

    [answer] = ask("ACME DIVI ON SPLT TRUE")

    assert set(charts(far_end)) == {"ACME"}
    assert answer.fault.startswith("RateLimited: ACME was not fetched") and set(answer.failed) == {"ACME", "DIVI", "ON", "SPLT", "TRUE"}
    assert answer.failed["SPLT"].startswith("RateLimited: SPLT was not asked for: ")


def test_after_three_tickers_in_vain_the_others_are_not_asked_for(ask: Ask, yahoo: Yahoo, far_end: FarEnd) -> None:
    yahoo.threads = 1
    far_end.forever.append(html(503, "chart/"))

    friday, monday = ask("ACME DIVI ON SPLT TRUE", FRI, MON)

    assert set(charts(far_end)) == {"ACME", "DIVI", "ON"}
    assert friday.fault == monday.fault and friday.fault.startswith("Unreachable: ")
    assert "SPLT was not asked for" in friday.failed["SPLT"]


def test_what_was_answered_before_a_refusal_is_kept(ask: Ask, yahoo: Yahoo, far_end: FarEnd) -> None:
    yahoo.threads = 1
    far_end.forever.append(too_many("chart/SPLT"))

    [answer] = ask("ACME DIVI SPLT TRUE")

    assert answer.rows == 2 and set(answer.failed) == {"SPLT", "TRUE"} and answer.fault == ""


@pytest.mark.parametrize(
    "fault", [Fault("getcrumb", 429, "Too Many Requests"), html(200, "getcrumb"), reset("getcrumb"), empty("getcrumb")]
)
def test_a_crumb_that_is_none_does_not_stick(ask: Ask, far_end: FarEnd, fault: Fault) -> None:
    far_end.faults.append(fault)
    [first] = ask("ACME")
    far_end.faults.clear()
    [second] = ask("SPLT")

    assert (first.failed, second.failed) == ({}, {})


def test_a_wrong_crumb_is_fetched_anew(ask: Ask, far_end: FarEnd) -> None:
    denied = {"chart": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}
    far_end.faults.append(Fault("chart/ACME", 401, denied))

    [answer] = ask("ACME")

    assert answer.rows == 1


def test_nobody_there_is_told_soon(tmp_path: Path) -> None:
    yahoo = Yahoo("http://127.0.0.1:9", backoff_s=0.01, clock=lambda: NOON)
    began = time.monotonic()

    [answer] = yahoo.answer(Question("stock_day", (FRI,), tuple(f"T{chr(65 + n)}" for n in range(20))), tmp_path)

    assert answer.fault.startswith("Unreachable: ") and "Connection refused" in answer.fault and time.monotonic() - began < 30
    assert yahoo.check().state == "unreachable"


@pytest.mark.parametrize("url", ["mirror.example", "ftp://mirror.example", "http://", "file:///etc/passwd"])
def test_a_mirror_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="cannot stand in Yahoo's place; nothing was asked"):
        Yahoo(url)


def test_a_mirror_may_stand_under_a_path(far_end: FarEnd, tmp_path: Path) -> None:
    source = Yahoo(f"{far_end.yahoo_url}/mirror/", tries=1, clock=lambda: NOON)

    [answer] = source.answer(Question("stock_day", (FRI,), ("ACME",)), tmp_path)

    assert {one.path.split("/")[1] for one in far_end.requests} == {"mirror"}
    assert answer.failed


def test_stopping_ends_an_answer_under_way(ask: Ask, yahoo: Yahoo, far_end: FarEnd) -> None:
    yahoo.threads, yahoo.web.timeout_s = 1, 1.0
    far_end.forever.append(stall(30, "chart/DIVI"))

    def stop() -> None:
        while not charts(far_end).count("DIVI"):
            time.sleep(0.01)
        yahoo.stop()

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    began = time.monotonic()

    [answer] = ask("ACME DIVI ON SPLT TRUE")
    stopper.join()

    assert answer.rows == 1 and set(answer.failed) == {"DIVI", "ON", "SPLT", "TRUE"} and time.monotonic() - began < 25
    assert "the refresh was stopped" in answer.failed["ON"]
    far_end.forever.clear()
    yahoo.close()
    assert ask("ON")[0].rows == 1


@pytest.mark.parametrize(("fault", "state"), [(None, "works"), (too_many("chart/"), "rate limited"), (html(502, "chart/"), "unreachable")])
def test_the_check_says_what_is_wrong(yahoo: Yahoo, far_end: FarEnd, fault: Fault | None, state: str) -> None:
    far_end.forever += [fault] if fault else []

    verdict = yahoo.check()

    assert (verdict.source, verdict.state) == ("yahoo", state) and far_end.yahoo_url in verdict.detail


# ---------------------------------------------------------------------- manners


def test_nothing_is_said_on_the_terminal_and_the_users_yfinance_is_as_before(
    ask: Ask, far_end: FarEnd, capfd: pytest.CaptureFixture[str]
) -> None:
    import yfinance
    from yfinance.data import YfData

    log = logging.getLogger("yfinance")
    yfinance.config.debug.hide_exceptions, log.disabled = True, False
    before, shared = (yfinance.config.debug.hide_exceptions, log.disabled, log.level), YfData()._session
    far_end.faults += [html(502, "chart/ACME"), Fault("getcrumb", 429, "Too Many Requests")]

    ask("ACME QQZZ SPLT BACr")

    assert capfd.readouterr() == ("", "")
    assert (yfinance.config.debug.hide_exceptions, log.disabled, log.level) == before
    assert YfData()._session is shared


def test_nothing_is_left_in_the_users_home_or_in_the_temporary_folder(far_end: FarEnd, tmp_path: Path) -> None:
    home, temp = tmp_path / "home", tmp_path / "temp"
    home.mkdir()
    temp.mkdir()
    far_end.faults.append(Fault("getcrumb", 429, "Too Many Requests"))  # of which yfinance warns
    far_end.now = lambda: NOON
    code = (
        "import sys; from datetime import *; from pathlib import Path; from workbench.sources.yahoo import *\n"
        "assert 'yfinance' not in sys.modules and 'pandas' not in sys.modules\n"
        f"clock = lambda: datetime(2024, 3, 14, 16, tzinfo=UTC)\n"
        f"source = Yahoo({far_end.yahoo_url!r}, clock=clock)\n"
        f"[answer] = source.answer(Question('stock_day', (date(2024, 3, 8),), ('ACME',)), Path({str(tmp_path / 'answers')!r}))\n"
        "print(answer.rows); source.close()"
    )
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(temp), "XDG_CACHE_HOME": str(home / ".cache")}

    done = subprocess.run([sys.executable, "-W", "default", "-c", code], env=env, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("1\n", "")
    assert list(home.rglob("*")) == [] and list(temp.iterdir()) == []
