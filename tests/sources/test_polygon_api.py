"""The REST API as a source of rows: the official client against a stand-in that answers and fails as the vendor does."""

import csv
import gzip
import hashlib
import io
import json
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from farend import BASIC, STARTER, Bar, FarEnd, Fault
from farend import faults as far
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import BadKeys, BadSetting, BrokenAnswer, LakeError, NotEntitled, RateLimited, UnknownName, Unreachable, UsageError
from workbench.lake.landing import Job, land
from workbench.sources import Answer, FlatFile, Question
from workbench.sources.api_refusals import Refused, retry_after_s
from workbench.sources.polygon_api import PolygonAPI
from workbench.tables import find, locate

FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
TUE, WED, THU = date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)
SATURDAY = date(2024, 1, 6)
LATE = date(2026, 3, 4)
MINUTE_MS = 60_000


@pytest.fixture
def api(far_end: FarEnd) -> PolygonAPI:
    return api_on(far_end)


def api_on(far_end: FarEnd, **changed: Any) -> PolygonAPI:
    given: dict[str, Any] = {"key": far_end.key, "url": far_end.api_url, "backoff_s": 0.01, "tries": 3, "timeout_s": 30.0}
    return PolygonAPI(**(given | changed))


def ask(api: PolygonAPI, folder: Path, table: str, sessions: Sequence[date], tickers: Sequence[str] = ()) -> list[Answer]:
    return [one for question in api.questions(table, sessions, tickers) for one in api.answer(question, folder)]


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.path and answer.file
    text = gzip.decompress(answer.path.read_bytes()).decode()
    assert hashlib.sha256(answer.path.read_bytes()).hexdigest() == answer.file.etag
    assert len(answer.path.read_bytes()) == answer.file.size
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.splitlines()[0] == ",".join(find(answer.table).headers[0])
    assert len(rows) == answer.rows
    return rows


def landed(answer: Answer, root: Path) -> pl.DataFrame:
    """The rows as they lie in the lake, after landing's checks."""
    assert answer.path and answer.file
    return landed_file(answer.path, answer.file, "polygon_api", root)


def landed_file(path: Path, file: FlatFile, source: str, root: Path) -> pl.DataFrame:
    made = land(Job(path, file, source, root))
    assert made.landing.quarantined == 0
    table = find(made.landing.table)
    return pl.concat([pl.read_parquet(root / "lake" / "main" / table.name / one.path, hive_partitioning=False) for one in made.files])


# ---------------------------------------------------------------------- what is asked, and what comes


def test_a_session_of_the_whole_market_is_one_call_and_lands_as_a_flat_file(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.bars["ZZa", TUE] = far_end.bars["ZZZ", TUE] = far_end.bars["Zb", TUE] = Bar(1, 1, 1, 1)
    [answer] = ask(api, tmp_path, "stock_day", [TUE])
    rows = rows_of(answer)
    assert answer.file and answer.file.key == "api:v2/aggs/grouped/locale/us/market/stocks/2024-01-02?adjusted=false"
    place = locate(answer.file.key)
    assert place and (place[0].name, place[2]) == ("stock_day", TUE)
    names = [row["ticker"] for row in rows]
    assert names == sorted(names) and {"BACPB", "BACpB", "NA", "NULL"} <= set(names)
    # The reply says 16:00; flat files say midnight.
    assert {row["window_start"] for row in rows} == {"1704171600000000000"}
    [asked] = far_end.asked("/v2/aggs/grouped")
    assert (asked.query["adjusted"], asked.query["include_otc"]) == ("false", "false")
    frame = landed(answer, tmp_path / "root")
    assert frame["source"].unique().to_list() == ["polygon_api"]
    assert len(frame) == len(rows)


def test_a_day_without_trading_has_no_file_and_no_fault(api: PolygonAPI, tmp_path: Path) -> None:
    [answer] = ask(api, tmp_path, "stock_day", [SATURDAY])
    assert (answer.file, answer.rows, answer.fault, answer.failed) == (None, 0, "", {})
    assert not list(tmp_path.iterdir())


def test_many_sessions_of_a_ticker_are_one_call_and_a_file_each(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    answers = ask(api, tmp_path, "stock_day", [THU, TUE, WED], ["BRK.B", "ACME"])
    assert [one.session for one in answers] == [TUE, WED, THU]
    assert [[row["ticker"] for row in rows_of(one)] for one in answers] == [["ACME", "BRK.B"]] * 3
    assert sorted(one.path for one in far_end.asked("/range/")) == [
        f"/v2/aggs/ticker/{ticker}/range/1/day/2024-01-02/2024-01-04" for ticker in ("ACME", "BRK.B")
    ]
    assert answers[0].file
    assert answers[0].file.key == "api:v2/aggs/ticker/ACME,BRK.B/range/1/day/2024-01-02/2024-01-02?adjusted=false"
    assert {one.query["adjusted"] for one in far_end.asked("/range/")} == {"false"}
    assert sum(one.transferred for one in answers) > 0


def test_sessions_that_are_not_asked_for_are_left_out_with_a_note(api: PolygonAPI, tmp_path: Path) -> None:
    answers = ask(api, tmp_path, "stock_day", [TUE, THU], ["ACME"])
    assert [one.session for one in answers if one.rows] == [TUE, THU]
    assert answers[0].notes == ("1 rows stamped outside the sessions asked for left out",)


def test_few_sessions_of_many_tickers_come_as_whole_markets(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    [answer] = ask(api, tmp_path, "stock_day", [TUE], ["OTCX", "ACME", "XYZ", "brk.b"])
    # Traded over the counter, a symbol is there only for who names it.
    assert [row["ticker"] for row in rows_of(answer)] == ["ACME", "OTCX"]
    assert answer.silent == ("XYZ", "brk.b")
    assert answer.notes == ("brk.b has no rows: symbols are case-sensitive; did you mean BRK.B?",)
    assert len(far_end.requests) == 1


def test_minutes_of_a_month_are_one_call(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    days = [day for day in far_end.market.sessions() if date(2024, 1, 1) <= day <= date(2024, 2, 29)]
    answers = ask(api, tmp_path, "stock_minute", days, ["ACME", "NAN"])
    assert [one.session for one in answers] == days
    assert len(far_end.asked("/range/1/minute")) == 4
    rows = rows_of(answers[0])
    first, last = find("stock_minute").session_ns(TUE)
    assert all(first <= int(row["window_start"]) < last for row in rows)
    assert {row["ticker"] for row in rows} == {"ACME", "NAN"}
    assert len(landed(answers[0], tmp_path / "root")) == len(rows)


def test_pages_follow_one_another_and_stay_in_order(
    api: PolygonAPI, far_end: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.sources.polygon_api.LIMIT", 7)
    [answer] = ask(api, tmp_path, "stock_trades", [TUE], ["NAN", "ACME"])
    rows = rows_of(answer)
    assert [row["ticker"] for row in rows] == sorted(row["ticker"] for row in rows)
    stamps = [int(row["sip_timestamp"]) for row in rows if row["ticker"] == "ACME"]
    assert stamps == sorted(stamps)
    assert len(stamps) == len(far_end.market.ticks("trades", "ACME", TUE).rows)
    assert len(far_end.asked("cursor=")) > 2
    assert {one.host for one in far_end.requests} == {far_end.api_url.removeprefix("http://")}, "the key goes nowhere else"
    assert [path.name for path in tmp_path.iterdir()] == [answer.path.name if answer.path else ""]


@pytest.mark.parametrize("table", ["stock_trades", "stock_quotes"])
def test_a_last_page_may_be_empty(table: str, tmp_path: Path) -> None:
    with FarEnd(last_page_empty=True) as far_end:
        [answer] = ask(api_on(far_end), tmp_path, table, [TUE], ["ACME"])
        assert rows_of(answer)


def test_a_next_page_that_is_the_same_again_does_not_go_on_for_ever(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    again = {"status": "OK", "results": [], "next_url": "https://elsewhere.example/v3/trades/ACME?cursor=again"}
    far_end.forever.append(Fault("/v3/trades", 200, again))
    [answer] = ask(api, tmp_path, "stock_trades", [TUE], ["ACME"])
    assert answer.fault.startswith("BrokenAnswer: ") and "same one again" in answer.fault
    assert answer.file is None and not list(tmp_path.iterdir())


def test_pairs_are_asked_as_the_api_writes_them_and_kept_as_flat_files_do(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    bar = {"v": 1.5, "o": 1, "h": 3, "l": 0.5, "c": 2, "t": 1704153600000, "n": 4}
    far_end.faults += [
        Fault("/v2/aggs/ticker/X:BTCUSD/range/1/minute/1704153600000/1704239999999", 200, {"status": "OK", "results": [bar]}),
        Fault(
            "/v2/aggs/grouped/locale/global/market/crypto/2024-01-02",
            200,
            {"status": "OK", "results": [bar | {"T": "X:BTCUSD", "t": 1704239999999}, bar | {"T": "X:ETHUSDT"}]},
        ),
        Fault("/v2/aggs/grouped/locale/global/market/fx/2024-01-02", 200, {"status": "OK", "results": [bar | {"T": "C:EURUSD"}]}),
        Fault(
            "/v3/trades/X:BTC-USD",
            200,
            {"status": "OK", "results": [{"price": 2, "size": 0.1, "participant_timestamp": 1704153600000000001}]},
        ),
    ]
    [minute] = ask(api, tmp_path, "crypto_minute", [TUE], ["X:BTC-USD"])
    assert [(row["ticker"], row["window_start"]) for row in rows_of(minute)] == [("X:BTC-USD", "1704153600000000000")]
    [day] = ask(api, tmp_path, "crypto_day", [TUE])
    assert [(row["ticker"], row["window_start"]) for row in rows_of(day)] == [
        ("X:BTC-USD", "1704153600000000000"),
        ("X:ETH-USDT", "1704153600000000000"),
    ]
    [pair] = ask(api, tmp_path, "forex_day", [TUE])
    assert [row["ticker"] for row in rows_of(pair)] == ["C:EUR-USD"]
    [trade] = ask(api, tmp_path, "crypto_trades", [TUE], ["X:BTC-USD"])
    assert [row["participant_timestamp"] for row in rows_of(trade)] == ["1704153600000000001"]
    for one in (minute, day, pair, trade):
        assert len(landed(one, tmp_path / "root")) == one.rows


def test_indices_have_no_volume(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    # Bars of indices begin at midnight in Chicago.
    row = {"o": 1, "h": 3, "l": 0.5, "c": 2, "t": 1704175200000}
    far_end.faults.append(Fault("/v2/aggs/ticker/I:SPX", 200, {"status": "OK", "ticker": "I:SPX", "results": [row]}))
    [answer] = ask(api, tmp_path, "index_day", [TUE], ["I:SPX"])
    assert rows_of(answer) == [
        {"ticker": "I:SPX", "open": "1", "close": "2", "high": "3", "low": "0.5", "window_start": "1704171600000000000"}
    ]
    assert len(landed(answer, tmp_path / "root")) == 1


def test_decimal_texts_are_preferred_to_rounded_numbers(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    [answer] = ask(api, tmp_path, "stock_trades", [LATE], ["ACME"])
    exact = [row["decimal_size"] for row in map(far_end.market.ticks("trades", "ACME", LATE).row, range(answer.rows))]
    assert [row["size"] for row in rows_of(answer)] == exact
    assert any(not text.endswith(".000000") for text in exact)
    bar = {"v": 17798, "dv": "17798.430378", "o": 1, "h": 3, "l": 0.5, "c": 2, "t": 1704171600000, "n": 4.0}
    far_end.faults.append(Fault("/range/1/day", 200, {"status": "OK", "results": [bar]}))
    [day] = ask(api, tmp_path, "stock_day", [TUE], ["ACME"])
    assert [(row["volume"], row["transactions"]) for row in rows_of(day)] == [("17798.430378", "4")]


def test_conditions_are_listed_as_flat_files_list_them(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    stamp = find("stock_trades").session_ns(TUE)[0] + 1
    known = {
        "price": 1.5,
        "size": 1,
        "exchange": 4,
        "sequence_number": 1,
        "participant_timestamp": stamp,
        "sip_timestamp": stamp,
        "tape": 1,
    }
    far_end.trades["ACME", TUE] = [known | {"conditions": [12, 37], "id": "900]:C"}, known | {"sequence_number": 2, "conditions": []}]
    [answer] = ask(api, tmp_path, "stock_trades", [TUE], ["ACME"])
    assert [(row["conditions"], row["id"], row["correction"], row["trf_id"]) for row in rows_of(answer)] == [
        ("12,37", "900]:C", "", ""),
        ("", "", "", ""),
    ]
    assert len(landed(answer, tmp_path / "root")) == 2


def test_what_lacks_a_field_is_set_apart_by_landing_and_not_lost(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.faults.append(far.without("o", nth=3))
    [answer] = ask(api, tmp_path, "stock_day", [TUE])
    assert answer.path and answer.file
    made = land(Job(answer.path, answer.file, "polygon_api", tmp_path / "root"))
    assert made.landing.reasons == {"no open": 1}
    assert made.landing.rows_in == answer.rows == made.landing.rows + 1


@pytest.mark.parametrize("wrong", [{"T": None}, {"t": None}, {"o": "n/a"}, {"c": None}, {"v": [1]}, {"h": True}, {"T": ["ACME"]}])
def test_records_that_make_no_sense_are_rows_that_landing_refuses(
    api: PolygonAPI, far_end: FarEnd, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    far_end.faults.append(far.with_values(nth=2, **wrong))
    [answer] = ask(api, tmp_path, "stock_day", [TUE])
    assert answer.path and answer.file
    made = land(Job(answer.path, answer.file, "polygon_api", tmp_path / "root"))
    assert (made.landing.rows_in, made.landing.quarantined) == (answer.rows, 1)


def test_the_same_answer_is_the_same_file(api: PolygonAPI, tmp_path: Path) -> None:
    first, second = (ask(api, tmp_path / name, "stock_trades", [TUE], ["ACME", "NAN"])[0] for name in "ab")
    assert first.file == second.file
    assert first.path != second.path


def test_delayed_data_are_taken_and_noted(tmp_path: Path) -> None:
    with FarEnd(delayed=True) as far_end:
        for table, tickers in (("stock_day", []), ("stock_minute", ["ACME"]), ("stock_trades", ["ACME"])):
            [answer] = ask(api_on(far_end), tmp_path, table, [TUE], tickers)
            assert answer.rows and "DELAYED" in answer.notes[0]


# ---------------------------------------------------------------------- equal to the flat files


@pytest.mark.shared
@pytest.mark.skipif(not FLATFILES.is_dir(), reason="the real flat files are not beside the project")
@pytest.mark.parametrize(
    ("table", "day"),
    [
        ("stock_day", date(2014, 6, 9)),
        ("stock_day", date(2013, 1, 2)),
        ("stock_minute", date(2013, 10, 7)),
        ("stock_minute", date(2014, 6, 9)),
        ("stock_trades", date(2013, 10, 7)),
        ("stock_quotes", date(2013, 10, 8)),
    ],
)
def test_rows_of_the_api_equal_those_of_the_flat_file(api: PolygonAPI, tmp_path: Path, table: str, day: date) -> None:
    spec = find(table)
    key = spec.key_of(spec.feeds[0], day)
    flat = landed_file(FLATFILES / key, FlatFile(key, "flat", 1), "folder", tmp_path / "flat")
    tickers = [] if table == "stock_day" else flat["ticker"].unique().to_list()
    [answer] = ask(api, tmp_path / "answers", table, [day], tickers)
    came = landed(answer, tmp_path / "api")
    # The API leaves out what the files write as 0.
    names = [column.name for column in spec.vendor]
    blank = [pl.col(column.name).fill_null(0) for column in spec.vendor if not column.required and column.type != "VARCHAR"]
    pairs = [frame.select(*names, "date", "timestamp").with_columns(blank).sort(spec.key) for frame in (flat, came)]
    assert pairs[0].equals(pairs[1])


NS = st.integers(0, 23 * 3600 * 10**9 - 1)
PRICES = st.decimals(0, 10**6, places=6, allow_nan=False).map(float)
TRADES = st.lists(
    st.fixed_dictionaries(
        {"sip_timestamp": NS, "price": PRICES, "size": st.integers(0, 10**9), "sequence_number": st.integers(0, 10**16)},
        optional={
            "conditions": st.lists(st.integers(0, 99), max_size=4),
            "correction": st.sampled_from([0, 1, 7, 8, 10, 11, 12]),
            "exchange": st.integers(0, 30),
            "id": st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
            "participant_timestamp": st.integers(2**60, 2**61),
            "tape": st.integers(1, 3),
            "trf_id": st.integers(201, 203),
            "trf_timestamp": st.integers(2**60, 2**61),
        },
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: (row["sip_timestamp"], row["sequence_number"]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trades=TRADES)
def test_every_digit_of_a_trade_lands(far_end: FarEnd, tmp_path: Path, trades: list[dict[str, Any]]) -> None:
    start = find("stock_trades").session_ns(TUE)[0]
    rows = sorted(
        (row | {"sip_timestamp": start + row["sip_timestamp"]} for row in trades),
        key=lambda row: (row["sip_timestamp"], row["sequence_number"]),
    )
    far_end.trades["ACME", TUE] = rows
    [answer] = ask(api_on(far_end), tmp_path, "stock_trades", [TUE], ["ACME"])
    folder = tmp_path / hashlib.sha1(json.dumps(rows).encode()).hexdigest()
    came = landed(answer, folder).sort("sip_timestamp", "sequence_number").to_dicts()
    wanted = [row | {"size": float(row["size"]), "conditions": ",".join(map(str, row.get("conditions", ()))) or None} for row in rows]
    names = [column.name for column in find("stock_trades").vendor if column.name != "ticker"]
    assert [{name: row[name] for name in names} for row in came] == [{name: row.get(name) for name in names} for row in wanted]


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize("key", ["another-key", "another-key-altogether"])
def test_a_wrong_key_ends_everything_and_is_never_shown(far_end: FarEnd, tmp_path: Path, key: str) -> None:
    api = api_on(far_end, key=key)
    for table, tickers in (("stock_day", []), ("stock_minute", ["ACME", "NAN"]), ("stock_trades", ["ACME"])):
        with pytest.raises(BadKeys, match="POLYGON_API_KEY") as caught:
            ask(api, tmp_path, table, [TUE], tickers)
        assert key not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert len(far_end.requests) == 1, "a key that is unknown once is not tried again"


@pytest.mark.parametrize("key", ["", "with space", "se-cret\n", "\tse-cret", "käse", "nul\0"])
def test_a_key_that_cannot_be_one_is_not_sent(far_end: FarEnd, tmp_path: Path, key: str) -> None:
    with pytest.raises(BadKeys, match="POLYGON_API_KEY") as caught:
        ask(api_on(far_end, key=key), tmp_path, "stock_day", [TUE])
    assert not key.strip() or key.strip() not in str(caught.value)
    assert not far_end.requests


@pytest.mark.parametrize("url", ["api.massive.com", "ftp://api.massive.com", "", "http://", "http://[::1"])
def test_a_url_that_is_none_is_told(far_end: FarEnd, tmp_path: Path, url: str) -> None:
    with pytest.raises(BadSetting, match="POLYGON_API_URL"):
        ask(api_on(far_end, url=url), tmp_path, "stock_day", [TUE])


def test_secrets_are_in_no_repr_no_error_and_no_log(far_end: FarEnd, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    api = api_on(far_end, url=far_end.api_url.replace("http://", "http://user:hidden@"), tell=told.append)
    far_end.faults += [far.html(), far.refused(403, far.TIMEFRAME), far.broken_json(), far.empty()]
    seen = [repr(api), repr(api.calls), repr(api.limiter), *map(repr, ask(api, tmp_path, "stock_minute", [TUE], ["ACME", "NAN"]))]
    seen += [str(api.check()), caplog.text, *told]
    assert not [text for text in seen if far_end.key in text or "hidden" in text]


def test_a_table_outside_the_plan_is_told_and_not_asked_for_again_and_again(tmp_path: Path) -> None:
    with FarEnd(plan=STARTER) as far_end:
        api = api_on(far_end)
        answers = ask(api, tmp_path, "stock_trades", [TUE, WED, THU, date(2024, 1, 5), date(2024, 1, 8)], ["ACME", "NAN"])
        assert all(one.fault.startswith("NotEntitled: ") for one in answers)
        assert '"You are not entitled to this data"' in answers[0].failed["ACME"]
        assert "pricing" not in answers[0].fault
        assert len(far_end.requests) <= 4, "three refusals are proof, and one more may be under way"
        # Another table is another matter.
        assert ask(api, tmp_path, "stock_minute", [TUE], ["ACME"])[0].rows


def test_history_that_the_plan_does_not_reach_is_told_from_empty_history(tmp_path: Path) -> None:
    with FarEnd(entitled_from=WED) as far_end:
        api = api_on(far_end)
        before, after = ask(api, tmp_path, "stock_day", [TUE, WED], ["ACME"])
        assert before.fault.startswith("NotEntitled: the plan's history does not reach back to it: nothing before 2024-01-03 came")
        assert (before.rows, before.silent, after.rows, after.fault) == (0, (), 1, "")
        [wholly] = ask(api, tmp_path, "stock_day", [TUE])
        assert wholly.fault.startswith("NotEntitled: ") and "timeframe" in wholly.fault
    with FarEnd() as far_end:
        days = [date(2024, 3, 28), date(2024, 4, 1)]
        before, after = ask(api_on(far_end), tmp_path, "stock_day", days, ["NEWCO"])
        assert (before.fault, before.silent, after.rows) == ("", ("NEWCO",), 1), "not listed yet"


def test_what_the_plan_covers_is_asked_once(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    days = [date(2024, 3, 28), date(2024, 4, 1)]
    for calls in (2, 3, 4):
        assert ask(api, tmp_path, "stock_day", days, ["NEWCO"])[0].silent == ("NEWCO",)
        assert len(far_end.requests) == calls


def test_todays_session_may_be_refused_and_is_no_wall(tmp_path: Path) -> None:
    with FarEnd(plan=BASIC) as far_end:
        api = api_on(far_end)
        for _ in range(4):
            [answer] = ask(api, tmp_path, "stock_day", [far_end.today])
            assert "today's data before end of day" in answer.fault
        assert len(far_end.requests) == 4


def test_a_symbol_nobody_knows_is_silent(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.faults.append(far.refused(404, "Ticker not found.", "NOSUCH"))
    [answer] = ask(api, tmp_path, "stock_minute", [TUE], ["ACME", "NOSUCH", "acme"])
    assert (answer.silent, answer.failed, answer.fault) == (("NOSUCH", "acme"), {}, "")
    assert "did you mean ACME?" in answer.notes[0]


@pytest.mark.parametrize("ticker", ["A B", " AAPL", "AAPL\n", "", "A\0", "A/B", "..", "A?x=1", "A#", "A%20", "AAPL,MSFT"])
def test_a_symbol_that_is_none_is_refused_before_any_call(api: PolygonAPI, far_end: FarEnd, tmp_path: Path, ticker: str) -> None:
    with pytest.raises(UsageError, match="is no symbol"):
        api.questions("stock_minute", [TUE], ["ACME", ticker])
    [answer] = api.answer(Question("stock_minute", (TUE,), ("ACME", ticker)), tmp_path)
    assert list(answer.failed) == [ticker] and answer.rows
    assert len(far_end.requests) == 1


@pytest.mark.parametrize("table", ["stock_day", "stock_minute"])
def test_a_symbol_that_is_none_fails_by_itself(api: PolygonAPI, far_end: FarEnd, tmp_path: Path, table: str) -> None:
    [answer] = api.answer(Question(table, (TUE,), ("A B", "ACME", "X:BTC-USD")), tmp_path)
    assert {row["ticker"] for row in rows_of(answer)} == {"ACME"}
    assert (set(answer.failed), answer.silent) == ({"A B", "X:BTC-USD"}, ())
    assert all(text.startswith("UsageError: ") for text in answer.failed.values())


def test_symbols_go_to_the_tables_of_their_class(api: PolygonAPI) -> None:
    mixed = ["ACME", "X:BTC-USD", "C:EUR-USD", "I:SPX", "O:SPY230327P00390000"]
    for table, ticker in zip(("stock_day", "crypto_day", "forex_day", "index_day", "option_day"), mixed, strict=True):
        assert [one.tickers for one in api.questions(table, [TUE], mixed)] == [(ticker,)]
    assert api.questions("crypto_day", [TUE], ["ACME"]) == []


def test_what_the_api_does_not_have_is_said(api: PolygonAPI, tmp_path: Path) -> None:
    assert api.refuses("stock_day", whole=True) == api.refuses("stock_trades", whole=False) == ""
    assert "symbol by symbol" in api.refuses("stock_minute", whole=True)
    for table in ("futures_minute", "index_values", "splits"):
        assert "has no rows" in api.refuses(table, whole=False)
    with pytest.raises(UsageError, match="symbol by symbol"):
        api.questions("stock_trades", [TUE], [])
    [answer] = api.answer(Question("index_values", (TUE,), ("I:SPX",)), tmp_path)
    assert answer.fault.startswith("UsageError: ")


# ---------------------------------------------------------------------- a network that fails

PASSING = {
    "a web page of the edge": far.html(502),
    "an empty 503": Fault("", 503, ""),
    "an empty body": far.empty(),
    "half a JSON": far.broken_json(),
    "a broken line": far.reset(),
    "a body cut short": far.truncated(40),
    "a web page that says 200": Fault("", 200, "<html>log in to the hotel's network</html>"),
    "a status of the edge": Fault("", 522, ""),
    "JSON that is too deep": Fault("", 200, "[" * 200_000),
    "bytes that are no text": Fault("", 200, b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.usefixtures("deep")
def test_what_passes_is_tried_again(api: PolygonAPI, far_end: FarEnd, tmp_path: Path, name: str) -> None:
    far_end.faults += [PASSING[name], PASSING[name]]
    for table, tickers in (("stock_day", []), ("stock_trades", ["ACME"])):
        [answer] = ask(api, tmp_path, table, [TUE], tickers)
        assert answer.rows and not answer.fault
    assert len(far_end.requests) == 4


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (far.html(502), Unreachable),
        (far.html(200), Unreachable),
        (far.reset(), Unreachable),
        (far.truncated(40), Unreachable),
        (far.empty(), BrokenAnswer),
        (far.broken_json(), BrokenAnswer),
        (Fault("", 200, "[1, 2]"), BrokenAnswer),
        (Fault("", 200, '{"results": {"a": 1}}'), BrokenAnswer),
        (Fault("", 200, {"status": "ERROR", "error": "out of order"}), BrokenAnswer),
        (Fault("", 200, {"status": "NOT_AUTHORIZED", "message": far.NOT_IN_PLAN}), NotEntitled),
        (Fault("", 200, {"status": "OK", "resultsCount": 7}), BrokenAnswer),
        (Fault("", 200, {"status": "OK", "adjusted": True, "results": []}), BrokenAnswer),
        (Fault("", 301, "", {"Location": "https://elsewhere.example/"}), BrokenAnswer),
        (Fault("", 404, "<html>no such page</html>"), BrokenAnswer),
        (far.refused(400, "Could not parse the ticker"), BrokenAnswer),
        (Fault("", 403, ""), NotEntitled),
    ],
)
def test_what_stays_wrong_is_told_in_the_answer(
    api: PolygonAPI, far_end: FarEnd, tmp_path: Path, fault: Fault, error: type[Exception]
) -> None:
    far_end.forever.append(fault)
    for table, tickers in (("stock_day", []), ("stock_minute", ["ACME"]), ("stock_quotes", ["ACME"])):
        if fault.body == {"status": "OK", "adjusted": True, "results": []} and table == "stock_quotes":
            continue
        [answer] = ask(api, tmp_path, table, [TUE], tickers)
        assert answer.fault.startswith(f"{error.__name__}: ") and "nothing" in answer.fault
        assert answer.file is None and answer.path is None
        assert not list(tmp_path.iterdir())


def test_an_answer_without_results_is_empty(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.forever.append(Fault("", 200, {"status": "OK", "queryCount": 0, "resultsCount": 0, "adjusted": False}))
    [whole] = ask(api, tmp_path, "stock_day", [TUE])
    [some] = ask(api, tmp_path, "stock_minute", [TUE], ["ACME"])
    assert (whole.fault, whole.file, some.fault, some.silent) == ("", None, "", ("ACME",))


def test_one_ticker_that_fails_leaves_the_others(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.forever.append(far.broken_json("/NAN"))
    for table in ("stock_minute", "stock_trades"):
        [answer] = ask(api, tmp_path, table, [TUE], ["ACME", "BRK.B", "NAN"])
        assert {row["ticker"] for row in rows_of(answer)} == {"ACME", "BRK.B"}
        assert answer.failed["NAN"].startswith("BrokenAnswer: ") and not answer.fault


def test_a_ticker_that_breaks_off_midway_leaves_no_half(
    api: PolygonAPI, far_end: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.sources.polygon_api.LIMIT", 5)
    monkeypatch.setattr("workbench.sources.api_rows.MEMBER_BYTES", 1)
    far_end.forever.append(far.html(502, "/NAN.*cursor"))
    [answer] = ask(api, tmp_path, "stock_trades", [TUE], ["ACME", "NAN"])
    assert {row["ticker"] for row in rows_of(answer)} == {"ACME"}
    assert "NAN" in answer.failed
    assert len(list(tmp_path.iterdir())) == 1


def test_a_far_end_that_is_dead_is_not_asked_for_every_ticker(far_end: FarEnd, tmp_path: Path) -> None:
    tickers = [f"T{n}" for n in range(40)]
    far_end.forever.append(far.html(502))
    [answer] = ask(api_on(far_end, tries=2), tmp_path, "stock_minute", [TUE], tickers)
    assert len(answer.failed) == 40 and answer.fault.startswith("Unreachable: ")
    assert len(far_end.requests) <= 30


def test_nobody_at_the_url_is_unreachable(tmp_path: Path) -> None:
    with FarEnd() as gone:
        url = gone.api_url
    api = PolygonAPI("some-key", url, tries=2, backoff_s=0.01)
    [answer] = ask(api, tmp_path, "stock_day", [TUE])
    assert answer.fault.startswith("Unreachable: ") and "Connection refused" in answer.fault and "POLYGON_API_URL" in answer.fault
    api = PolygonAPI("some-key", "http://no-such-host.invalid", tries=1)
    assert ask(api, tmp_path, "stock_day", [TUE])[0].fault.startswith("Unreachable: ")


def test_a_body_that_ends_too_early_is_told(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.forever.append(far.truncated(40))
    assert "closed the connection too early" in ask(api, tmp_path, "stock_day", [TUE])[0].fault


def test_silence_is_not_waited_for_for_ever(far_end: FarEnd, tmp_path: Path) -> None:
    far_end.forever.append(far.stall(30))
    began = time.monotonic()
    [answer] = ask(api_on(far_end, timeout_s=0.2, tries=2), tmp_path, "stock_day", [TUE])
    assert "was silent for 0.2 s" in answer.fault
    assert time.monotonic() - began < 30


def test_a_clock_that_is_off_is_noticed_or_does_not_matter(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    true = rows_of(ask(api, tmp_path, "stock_day", [TUE], ["ACME"])[0])
    for skew_s in (-20, 20):
        far_end.skew_s = skew_s
        assert rows_of(ask(api, tmp_path, "stock_day", [TUE], ["ACME"])[0]) == true
        [minute] = ask(api, tmp_path, "stock_minute", [TUE], ["ACME"])
        assert minute.fault.startswith("BrokenAnswer: ") and "no full minutes" in minute.fault
    far_end.skew_s = 7 * 86_400
    for table, tickers in (("stock_day", []), ("stock_day", ["ACME"]), ("stock_minute", ["ACME"])):
        [answer] = ask(api, tmp_path, table, [TUE], tickers)
        assert answer.fault.startswith("BrokenAnswer: ") and "other times" in answer.fault
    ticks = [{"sip_timestamp": 1, "price": 1, "size": 1, "sequence_number": 1}]
    far_end.forever.append(Fault("/v3/trades", 200, {"status": "OK", "results": ticks}))
    before = set(tmp_path.iterdir())
    [answer] = ask(api, tmp_path, "stock_trades", [TUE], ["ACME"])
    assert answer.fault.startswith("BrokenAnswer: ") and "other times" in answer.fault
    assert set(tmp_path.iterdir()) == before


def test_bars_of_another_ticker_are_not_taken(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.forever.append(Fault("/range/", 200, {"status": "OK", "ticker": "BACPB", "results": []}))
    [answer] = ask(api, tmp_path, "stock_minute", [TUE], ["BACpB"])
    assert answer.fault.startswith("BrokenAnswer: ") and "'BACPB'" in answer.fault


def test_a_folder_that_cannot_be_written_is_told(api: PolygonAPI, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LakeError, match="nothing of it was landed"):
        ask(api, tmp_path / "file", "stock_day", [TUE])


# ---------------------------------------------------------------------- the plan's calls a minute


def test_the_plans_limit_is_learnt_and_saturated(tmp_path: Path) -> None:
    # A busy machine may take longer than the plan does, once or twice.
    for attempt in range(5):
        with FarEnd(rate=6, window_s=1.0) as far_end:
            told: list[str] = []
            api = api_on(far_end, window_s=1.0, tell=told.append)
            days = [day for day in far_end.market.sessions() if day.year == 2024][:18]
            began = time.monotonic()
            answers = ask(api, tmp_path / str(attempt), "stock_day", days)
            took = time.monotonic() - began
            assert all(one.rows and not one.fault for one in answers)
            if took < 2.9:
                break
    assert took < 2.9, "18 calls are three windows of six"
    assert [one.status for one in far_end.requests].count(429) == 1
    assert told[0] == "polygon_api: the plan allows 6 calls in 1 s, as its refusal shows"


def test_a_limit_that_is_told_is_kept(tmp_path: Path) -> None:
    with FarEnd(rate=10, window_s=1.0) as far_end:
        answers = ask(api_on(far_end, rate="10", window_s=1.0), tmp_path, "stock_minute", [TUE], [f"T{n}" for n in range(29)] + ["ACME"])
        assert {one.status for one in far_end.requests} == {200}
        assert answers[0].rows and len(answers[0].silent) == 29


@pytest.mark.parametrize("body", ["json", "empty", "html"])
@pytest.mark.parametrize("retry_after", ["", "1"])
def test_a_refusal_is_understood_whatever_its_body(tmp_path: Path, body: str, retry_after: str) -> None:
    with FarEnd(rate=2, window_s=0.5, too_many=body, retry_after=retry_after) as far_end:
        answers = ask(api_on(far_end, window_s=0.5, tries=6), tmp_path, "stock_day", [TUE, WED, THU])
        assert all(one.rows for one in answers)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "soon"}, 0),
        # Told by a clock that is years off, and by that same clock.
        ({"Retry-After": "Sat, 01 Jan 2000 00:01:00 GMT", "Date": "Sat, 01 Jan 2000 00:00:00 GMT"}, 60),
        ({"Retry-After": "Sat, 01 Jan 2000 00:01:00 GMT"}, 0),
    ],
)
def test_a_wait_is_read_by_the_far_ends_clock(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(Refused(429, headers, b"")) == seconds


def test_calls_that_are_used_up_for_long_are_told_once_for_all(far_end: FarEnd, tmp_path: Path) -> None:
    far_end.forever.append(far.too_many())
    [answer] = ask(api_on(far_end, window_s=0.1), tmp_path, "stock_minute", [TUE], [f"T{n}" for n in range(20)])
    assert answer.fault.startswith("RateLimited: ") and "POLYGON_API_RATE" in answer.fault
    assert len(answer.failed) == 20
    assert len(far_end.requests) < 20
    far_end.forever[:] = [far.too_many(retry_after="3600")]
    began = time.monotonic()
    [answer] = ask(api_on(far_end), tmp_path, "stock_day", [TUE])
    assert answer.fault.startswith("RateLimited: ") and time.monotonic() - began < 60


def test_calls_that_are_used_up_are_not_waited_for_by_every_question(
    far_end: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A minute: so long does no machine take for three questions.
    monkeypatch.setattr("workbench.sources.api_calls.LONGEST_WINDOWS", 300)
    far_end.forever.append(far.too_many())
    api = api_on(far_end, window_s=0.2)
    answers = ask(api, tmp_path, "stock_day", [TUE, WED, THU])
    assert all(one.fault.startswith("RateLimited: ") for one in answers)
    assert len(far_end.requests) == 3
    far_end.forever.clear()
    assert not ask(api, tmp_path, "stock_day", [TUE])[0].rows
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 60)
    monkeypatch.setattr("workbench.sources.api_calls.time", later)
    assert ask(api, tmp_path, "stock_day", [TUE])[0].rows


def test_a_run_that_is_stopped_keeps_what_it_has(far_end: FarEnd, tmp_path: Path) -> None:
    api = api_on(far_end, rate="2")
    answers: list[Answer] = []
    question = Question("stock_minute", (TUE, WED), ("ACME", "BRK.B", "E", "NAN"))
    asking = threading.Thread(target=lambda: answers.extend(api.answer(question, tmp_path)))
    asking.start()
    while api.limiter._answered < 2:
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    api.stop()
    asking.join(60)
    assert time.monotonic() - began < 30
    assert [{row["ticker"] for row in rows_of(one)} for one in answers] == [{"ACME", "BRK.B"}] * 2
    assert all(text.startswith("Stopped: ") for one in answers for text in one.failed.values())
    assert set(answers[0].failed) == {"E", "NAN"}
    # The next question is another matter.
    api.limiter.rate = None
    assert ask(api, tmp_path, "stock_day", [TUE])[0].rows


def test_questions_may_be_asked_side_by_side(far_end: FarEnd, tmp_path: Path) -> None:
    api = api_on(far_end)
    questions = [
        one for table in ("stock_minute", "stock_trades") for one in api.questions(table, [TUE, WED, THU], ["ACME", "NAN", "E", "ON"])
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = [one for some in pool.map(lambda question: list(api.answer(question, tmp_path)), questions) for one in some]
    assert [(one.table, one.session) for one in answers] == [
        (table, day) for table in ("stock_minute", "stock_trades") for day in (TUE, WED, THU)
    ]
    assert all({row["ticker"] for row in rows_of(one)} == {"ACME", "NAN", "E", "ON"} for one in answers)


def test_an_answer_that_nobody_waits_for_leaves_nothing(far_end: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.sources.api_rows.MEMBER_BYTES", 1)
    answers = api_on(far_end).answer(Question("stock_minute", (TUE, WED), ("ACME",)), tmp_path)
    first = next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert [path.name for path in tmp_path.iterdir()] == [first.path.name if first.path else ""]


# ---------------------------------------------------------------------- lists, and the cheapest call


def test_lists_are_whole_and_raw(api: PolygonAPI, far_end: FarEnd) -> None:
    far_end.rows["splits"] = [
        {"ticker": f"T{n}", "execution_date": "2024-01-02", "split_from": 1, "split_to": 2.5, "id": f"E{n}", "new_field": {"of": n}}
        for n in range(25)
    ]
    found = list(api.listed("list_splits", limit=10))
    assert sorted(row["ticker"] for row in found) == sorted(f"T{n}" for n in range(25))
    assert all(row["new_field"] and row["split_to"] == 2.5 for row in found)
    assert len(far_end.asked("splits")) == 3
    assert next(iter(api.listed("list_splits", execution_date_gte="2025-01-01")), None) is None


def test_replies_of_other_shapes_are_listed_too(api: PolygonAPI, far_end: FarEnd) -> None:
    assert {"name", "date"} <= next(api.listed("get_market_holidays")).keys()
    [now] = api.listed("get_market_status")
    assert now["market"]
    far_end.faults.append(Fault("", 200, {"status": "OK", "results": {"name": "Meta", "events": []}}))
    assert list(api.listed("get_ticker_events", ticker="META")) == [{"name": "Meta", "events": []}]
    far_end.faults.append(far.refused(404, "Ticker not found."))
    assert list(api.listed("get_ticker_details", ticker="NOSUCH")) == []
    far_end.faults.append(Fault("", 200, {"status": "OK", "request_id": "a", "count": 0}))
    assert list(api.listed("list_ticker_news")) == []
    far_end.faults.append(Fault("/vX/reference/financials", 200, {"status": "OK", "results": [{"cik": "1"}]}))
    assert list(api.listed("vx.list_stock_financials", ticker="A")) == [{"cik": "1"}]


def test_a_list_fails_as_answers_do(api: PolygonAPI, far_end: FarEnd) -> None:
    far_end.faults += [far.html(502), far.empty()]
    assert list(api.listed("list_splits"))
    far_end.forever.append(far.refused(403, far.NOT_IN_PLAN))
    with pytest.raises(NotEntitled, match="the listing of splits"):
        next(api.listed("list_splits", ticker="ACME"))
    far_end.forever[:] = [Fault("", 200, {"results": [1]})]
    with pytest.raises(BrokenAnswer):
        next(api.listed("list_splits"))
    far_end.forever[:] = [far.too_many()]
    with pytest.raises(RateLimited):
        next(api_on(far_end, window_s=0.05).listed("list_splits"))
    for name in ("list_spilts", "_get", "close"):
        with pytest.raises(UnknownName):
            next(api.listed(name))


def test_the_cheapest_call_tells_what_is_wrong(far_end: FarEnd) -> None:
    api = api_on(far_end)
    assert (api.check().state, len(far_end.requests)) == ("works", 1)
    assert api_on(far_end, key="another").check().state == "wrong key"
    assert api_on(far_end, key="").check().state == "wrong key"
    for fault, state in (
        (far.html(502), "unreachable"),
        (far.refused(403, far.NOT_IN_PLAN), "not entitled"),
        (far.too_many(), "rate limited"),
        (far.stall(30), "unreachable"),
    ):
        far_end.forever[:] = [fault]
        began = time.monotonic()
        verdict = api_on(far_end, timeout_s=0.2 if fault.silent_s else 30.0).check()
        assert (verdict.source, verdict.state) == ("polygon_api", state)
        assert time.monotonic() - began < 20
    assert PolygonAPI("key", "nonsense").check().state == "unreachable"
    api.close()
    far_end.forever.clear()
    assert api.check().state == "works", "it connects anew"


def test_a_put_bar_is_found(api: PolygonAPI, far_end: FarEnd, tmp_path: Path) -> None:
    far_end.bars["ZZZ", TUE] = Bar(10, 11, 9, 10.5, trades=None)
    [answer] = ask(api, tmp_path, "stock_day", [TUE], ["ZZZ"])
    assert [(row["ticker"], row["high"], row["transactions"]) for row in rows_of(answer)] == [("ZZZ", "11", "")]
