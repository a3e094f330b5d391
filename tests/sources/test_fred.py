"""FRED's series: the real fredapi, over HTTP, against a far end that fails as told."""

import pickle
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from farend import FarEnd, Fault
from farend.faults import broken_json, empty, html, reset, stall, too_many, truncated
from farend.fred import FredRelease, FredSeries

from workbench.errors import BadKeys, BadSetting, BrokenAnswer, NotEntitled, RateLimited, SourceError, Unreachable
from workbench.lake.reference import update
from workbench.lake.store import Lake
from workbench.sources.fred import DATASET, SERIES, Fred, ReleaseDate
from workbench.sources.reference import Gathered, ReferenceSource
from workbench.tables import find

JAN, FEB, MAR = "2024-01-01", "2024-02-01", "2024-03-01"


@pytest.fixture
def fred(far_end: FarEnd) -> Iterator[Fred]:
    far_end.fred["REV"] = FredSeries(
        "Revised",
        {
            JAN: {"2024-02-10": 1.0, "2024-03-10": 1.1, "2024-04-10": 1.2},
            FEB: {"2024-03-10": 2.0, "2024-04-10": 2.2},
            MAR: {"2024-04-10": 3.0},
        },
        "Percent",
    )
    source = Fred(far_end.fred_key, far_end.fred_url, timeout_s=30.0, backoff_s=0.01, patience_s=0.5)
    yield source
    source.close()


def gathered(source: Fred, series: str, since: date | None = None) -> Gathered:
    [one] = source.gather(DATASET, since=since, symbols=[series])
    return one


def told(one: Gathered) -> list[tuple[str, str, float, bool]]:
    return [(f"{row['date']:%b}", row["revision_date"].isoformat(), row["value"], row["is_preliminary"]) for row in one.rows]


# ---------------------------------------------------------------------- versions


def test_it_has_economic_series_only(fred: Fred) -> None:
    source: ReferenceSource = fred

    assert source.refuses("economic_series") == "" and "no splits" in source.refuses("splits")
    with pytest.raises(NotEntitled, match="nothing was asked"):
        list(source.gather("splits"))


def test_every_version_of_an_observation_is_a_row(fred: Fred) -> None:
    one = gathered(fred, "REV")

    assert told(one) == [
        ("Jan", "2024-02-10", 1.0, True),
        ("Jan", "2024-03-10", 1.1, False),
        ("Jan", "2024-04-10", 1.2, False),
        ("Feb", "2024-03-10", 2.0, True),
        ("Feb", "2024-04-10", 2.2, False),
        ("Mar", "2024-04-10", 3.0, True),
    ]
    assert (one.dataset, one.key, one.whole, one.notes, one.refused) == (DATASET, "fred:series/observations?series_id=REV", False, (), ())
    assert one.transferred > 100


def test_rows_carry_what_the_series_is_in_declared_columns(fred: Fred) -> None:
    row = gathered(fred, "REV").rows[0]

    assert set(row) <= {column.name for column in find(DATASET).vendor}
    assert (row["series"], row["unit"], row["title"], row["frequency"]) == ("REV", "Percent", "Revised", "Monthly")


def test_what_was_observed_before_the_series_was_kept_has_no_first_version(fred: Fred, far_end: FarEnd) -> None:
    far_end.fred["OLD"] = FredSeries("Old", {"1947-01-01": {"1991-12-04": 1.0}, "1991-07-01": {"1991-12-04": 2.0, "1992-01-30": 2.1}})

    assert [row["is_preliminary"] for row in gathered(fred, "OLD").rows] == [False, True, False]


@pytest.mark.parametrize("series", ["DGS10", "FEDFUNDS"])
def test_what_a_market_sets_is_final_at_once(fred: Fred, series: str) -> None:
    rows = gathered(fred, series).rows

    assert rows and not any(row["is_preliminary"] for row in rows)


def test_a_missing_value_is_no_row_and_is_counted(fred: Fred, far_end: FarEnd) -> None:
    far_end.fred["HOLES"] = FredSeries(
        "Holes", {JAN: {"2024-02-10": None}, FEB: {"2024-03-10": 2.0}, MAR: {"2024-04-10": None, "2024-05-10": 3.0}}
    )

    one = gathered(fred, "HOLES")

    assert told(one) == [("Feb", "2024-03-10", 2.0, True), ("Mar", "2024-05-10", 3.0, True)]
    assert one.notes == ("HOLES: 2 observations without a value",)


def test_with_since_only_versions_of_that_day_and_later_are_told(fred: Fred) -> None:
    assert told(gathered(fred, "REV", date(2024, 4, 10))) == [
        ("Jan", "2024-04-10", 1.2, False),
        ("Feb", "2024-04-10", 2.2, False),
        ("Mar", "2024-04-10", 3.0, True),
    ]
    assert told(gathered(fred, "REV", date(2024, 3, 11))) == told(gathered(fred, "REV", date(2024, 4, 10)))


def test_nothing_new_costs_no_observations(fred: Fred, far_end: FarEnd) -> None:
    one = gathered(fred, "REV", date(2024, 4, 11))

    assert one.rows == [] and one.refused == () and not far_end.asked("observations")


def test_more_versions_than_a_call_may_ask_for_are_asked_in_parts(fred: Fred, far_end: FarEnd) -> None:
    first = date(2010, 1, 1)
    days = [first + timedelta(days=n) for n in range(4321)]
    values: dict[str, dict[str, float | None]] = {
        day.isoformat(): {(day + timedelta(days=1)).isoformat(): float(n)} for n, day in enumerate(days)
    }
    values["2010-01-01"] |= {"2012-05-05": 7.0, "2019-01-01": 8.0}
    far_end.fred["DAILY"] = FredSeries("Daily", values, frequency="D")

    rows = gathered(fred, "DAILY").rows

    assert len(far_end.asked("observations")) == 3
    assert len(rows) == 4321 + 2 and len({(row["date"], row["revision_date"]) for row in rows}) == len(rows)
    assert {row["date"]: row["value"] for row in rows} == {date.fromisoformat(at): list(known.values())[-1] for at, known in values.items()}
    assert [row["revision_date"].isoformat() for row in rows[:3]] == ["2010-01-02", "2012-05-05", "2019-01-01"]


def test_many_rows_come_page_by_page(fred: Fred, far_end: FarEnd) -> None:
    whole = told(gathered(fred, "REV"))
    fred.rows_a_call = 4

    assert told(gathered(fred, "REV")) == whole
    assert [one.query.get("offset") for one in far_end.asked("limit=4")] == [None, "4"]


def test_rows_that_are_promised_and_do_not_come_are_missed(fred: Fred, far_end: FarEnd) -> None:
    body = '<observations count="5" offset="0" limit="4"/>'
    far_end.forever.append(Fault("observations", 200, body, {"Content-Type": "text/xml"}))

    [refused] = gathered(fred, "REV").refused

    assert "FRED promises 5 rows and gives 0" in refused.reason


def test_the_usual_series_are_asked_for_without_names(fred: Fred, far_end: FarEnd) -> None:
    every = list(fred.gather(DATASET))

    assert [one.key.rpartition("=")[2] for one in every] == list(SERIES) and len(set(SERIES)) == len(SERIES)
    known = {one.key.rpartition("=")[2] for one in every if one.rows}
    assert known == set(SERIES) & set(far_end.fred)
    assert all(one.notes for one in every if not one.rows)


def test_rows_are_what_the_lake_takes(fred: Fred, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    first, again = (update(lake, gathered(fred, "GDP"), "fred") for _ in range(2))

    assert first.rows_new == first.rows_in > 0 and first.quarantined == 0
    assert (again.committed, again.rows_same) == (False, first.rows_in)


def test_an_empty_series_is_empty(fred: Fred) -> None:
    one = gathered(fred, "EMPTY")

    assert (one.rows, one.refused) == ([], ())


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ("QQZZ", "does not have it (Bad Request. The series does not exist.)"),
        ("gdp", "did you mean GDP?"),
        ("GDP&api_key=x", "is no id of a series"),
        ("A B", "is no id of a series"),
        ("", "is no id of a series"),
    ],
)
def test_a_series_that_fred_does_not_have_is_told_and_hurts_no_other(fred: Fred, series: str, words: str) -> None:
    missing, good = fred.gather(DATASET, symbols=[series, "REV"])

    [note] = missing.notes
    assert note.startswith("NotPublished: ") and words in note and missing.rows == []
    assert len(good.rows) == 6


# ---------------------------------------------------------------------- releases


def test_release_dates_past_and_to_come(fred: Fred, far_end: FarEnd) -> None:
    far_end.fred_releases.clear()
    far_end.fred_releases |= {
        10: FredRelease("Consumer Price Index", ["2024-01-11", "2024-02-13", "2199-01-12"]),
        53: FredRelease("Gross Domestic Product", ["2024-02-13", "2024-12-31"]),
    }

    assert fred.release_dates(date(2024, 2, 1), date(2199, 1, 12)) == [
        ReleaseDate(10, "Consumer Price Index", date(2024, 2, 13)),
        ReleaseDate(53, "Gross Domestic Product", date(2024, 2, 13)),
        ReleaseDate(53, "Gross Domestic Product", date(2024, 12, 31)),
        ReleaseDate(10, "Consumer Price Index", date(2199, 1, 12)),
    ]
    assert fred.release_dates(date(2023, 1, 1), date(2023, 2, 1)) == []


def test_release_dates_come_page_by_page(fred: Fred, far_end: FarEnd) -> None:
    days = [(date(2020, 1, 1) + timedelta(days=n)).isoformat() for n in range(2500)]
    far_end.fred_releases[18] = FredRelease("H.15 Selected Interest Rates", days)

    found = [one for one in fred.release_dates(date(2020, 1, 1), date(2199, 1, 1)) if one.release_id == 18]

    assert [one.date.isoformat() for one in found] == days and len(far_end.asked("releases/dates")) >= 3


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize("key", ["", "short", "a" * 32, "A" * 32, "a&series_id=GDP", "schlüssel"])
def test_a_wrong_key_is_told_and_never_shown(far_end: FarEnd, key: str) -> None:
    fred = Fred(key, far_end.fred_url)

    with pytest.raises(BadKeys, match="FRED_API_KEY") as told:
        list(fred.gather(DATASET, symbols=["GDP"]))

    shown = "".join(traceback.format_exception(told.value)) + repr(fred) + str(fred.check())
    assert not key or (key not in shown and quote(key) not in shown)
    assert fred.check().state == "wrong key" and bool(far_end.requests) == bool(key)


FAILURES: list[tuple[Fault, type[SourceError], str]] = [
    (html(502, "observations"), Unreachable, "answers with an error (HTTP 502)"),
    (html(200, "observations"), Unreachable, "with a page of HTML"),
    (html(403, "observations"), Unreachable, "does not let us in"),
    (html(404, "observations"), Unreachable, "check FRED_API_URL"),
    (Fault("observations", 500, '<error code="500" message="Internal Server Error"/>'), Unreachable, "Internal Server Error"),
    (reset("observations"), Unreachable, "does not answer"),
    (truncated(100, "observations"), Unreachable, "does not answer"),
    (stall(1.0, "observations"), Unreachable, "was silent for 0.3 s"),
    (too_many("observations"), RateLimited, "refuses more calls for now (HTTP 429)"),
    (Fault("observations", 423, ""), RateLimited, "HTTP 423"),
    (empty("observations"), BrokenAnswer, "with nothing"),
    (broken_json("observations"), BrokenAnswer, "with what is no XML"),
    (Fault("observations", 400, '<error code="400" message="Bad Request.  Something else."/>'), BrokenAnswer, "Something else"),
    (Fault("observations", 200, "<observations/>"), BrokenAnswer, "lacks 'count'"),
    (Fault("observations", 200, '<observations count="1"><observation date="2024-01-01"/></observations>'), BrokenAnswer, "lacks 'value'"),
    (
        Fault("observations", 200, '<observations count="1"><observation date="x" realtime_start="y" value="1"/></observations>'),
        BrokenAnswer,
        "cannot be understood",
    ),
    (
        Fault(
            "observations",
            200,
            '<observations count="1"><observation date="2024-01-01" realtime_start="2024-01-01" value="nan"/></observations>',
        ),
        BrokenAnswer,
        "a value of nan",
    ),
    (Fault("fred/series\\?", 200, "<seriess/>"), BrokenAnswer, "cannot be understood"),
    (Fault("fred/series\\?", 200, '<seriess><series id="REV"/></seriess>'), BrokenAnswer, "lacks 'units'"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), FAILURES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_failure_is_told_without_the_key(fred: Fred, far_end: FarEnd, fault: Fault, kind: type[SourceError], words: str) -> None:
    fred.timeout_s = 0.3 if fault.silent_s else 30.0
    far_end.forever.append(fault)

    if kind is BrokenAnswer:
        [refused] = gathered(fred, "REV").refused
        shown, said = "", refused.reason.removeprefix("BrokenAnswer: ")
    else:
        with pytest.raises(kind) as caught:
            gathered(fred, "REV")
        shown, said = "".join(traceback.format_exception(caught.value)), str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__, (
            "what urllib raises carries the address, and with it the key"
        )
        assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args

    assert said.startswith("REV was not fetched: ") and words in said
    assert far_end.fred_key not in said + shown


@pytest.mark.parametrize("fault", [html(502, "vintage"), reset("vintage"), too_many("vintage"), too_many("vintage", retry_after="0.1")])
def test_a_passing_failure_is_asked_again(fred: Fred, far_end: FarEnd, fault: Fault) -> None:
    far_end.faults += [fault, fault]

    assert len(gathered(fred, "REV").rows) == 6


def test_a_refusal_is_waited_out_as_long_as_it_asks(fred: Fred, far_end: FarEnd) -> None:
    fred.patience_s = 5.0
    far_end.faults.append(too_many("vintage", retry_after="1"))
    began = time.monotonic()

    assert len(gathered(fred, "REV").rows) == 6
    assert time.monotonic() - began >= 1


def test_what_was_given_before_a_refusal_stays(fred: Fred, far_end: FarEnd) -> None:
    far_end.forever.append(too_many("series_id=GDP"))
    came = fred.gather(DATASET, symbols=["REV", "GDP"])

    assert len(next(came).rows) == 6
    with pytest.raises(RateLimited):
        next(came)


def test_nobody_there_is_told(far_end: FarEnd) -> None:
    fred = Fred(far_end.fred_key, "http://127.0.0.1:9/fred", backoff_s=0.01)

    with pytest.raises(Unreachable, match="Connection refused"):
        gathered(fred, "GDP")
    assert fred.check().state == "unreachable"


@pytest.mark.parametrize("url", ["", "api.stlouisfed.org/fred", "file:///etc", "https://", "https://x/fred?api_key=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="FRED_API_URL"):
        Fred("k", url)


def test_stopping_ends_a_wait(fred: Fred, far_end: FarEnd) -> None:
    fred.patience_s = 60.0
    far_end.forever.append(too_many("series", retry_after="30"))

    def stop() -> None:
        while not far_end.requests:
            time.sleep(0.01)
        fred.stop()

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    began = time.monotonic()

    with pytest.raises(Unreachable, match="was stopped"):
        gathered(fred, "REV")
    stopper.join()
    assert time.monotonic() - began < 25
    far_end.forever.clear()
    fred.close()
    assert gathered(fred, "REV").rows


def test_the_check_works(fred: Fred) -> None:
    verdict = fred.check()

    assert (verdict.source, verdict.state) == ("fred", "works") and "Gross Domestic Product" in verdict.detail


def test_no_key_of_the_environment_is_used_and_no_proxy_is_installed(far_end: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[object] = []
    monkeypatch.setattr("urllib.request.install_opener", installed.append)
    monkeypatch.setenv("FRED_API_KEY", far_end.fred_key)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    with pytest.raises(BadKeys):
        gathered(Fred("", far_end.fred_url), "GDP")

    assert gathered(Fred(far_end.fred_key, far_end.fred_url), "GDP").rows
    assert installed == []
