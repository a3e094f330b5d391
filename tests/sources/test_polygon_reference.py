"""Reference data from the REST API, through the official client, from the stand-in."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from farend import FarEnd
from farend.faults import Fault, refused

from workbench.errors import BadKeys, NotEntitled, SourceError
from workbench.lake.reference import Updated, rows_of, update
from workbench.lake.store import Lake
from workbench.sources import polygon_reference
from workbench.sources.polygon_api import PolygonAPI
from workbench.sources.polygon_reference import PolygonReference
from workbench.sources.reference import Gathered
from workbench.sources.reference_replies import day_of
from workbench.tables import REFERENCE

BY_SYMBOL = ("ticker_changes", "fundamentals")


@pytest.fixture
def source(far_end: FarEnd) -> Iterator[PolygonReference]:
    made = PolygonReference(PolygonAPI(far_end.key, far_end.api_url, backoff_s=0.01, tries=2))
    yield made
    made.close()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data")


def gather(source: PolygonReference, dataset: str, *symbols: str, since: date | None = None) -> list[Gathered]:
    return list(source.gather(dataset, since=since, symbols=symbols))


def take(source: PolygonReference, lake: Lake, dataset: str, *symbols: str) -> list[Updated]:
    return [update(lake, one, source.name) for one in source.gather(dataset, symbols=symbols)]


@pytest.mark.parametrize("table", REFERENCE, ids=lambda table: table.name)
def test_every_dataset_is_gathered_and_lands_whole_and_once(source: PolygonReference, lake: Lake, table: Any) -> None:
    symbols = ("ACME", "NEWCO") if table.name in BY_SYMBOL else ()
    assert source.refuses(table.name) == ""
    first, second = take(source, lake, table.name, *symbols), take(source, lake, table.name, *symbols)
    assert sum(one.quarantined for one in first) == 0, [one.reasons for one in first]
    assert not any(one.committed for one in second)
    if table.name != "news_items":
        # The stand-in's news are older than the month that is asked for without a `since`.
        assert sum(one.rows_new for one in first) > 0


def test_it_refuses_what_it_does_not_have(source: PolygonReference) -> None:
    assert "no reference data called stock_day" in source.refuses("stock_day")


# ---------------------------------------------------------------------- tickers


def test_tickers_are_the_active_and_the_delisted_over_all_pages(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    take(source, lake, "tickers")
    rows = rows_of(lake, "tickers")
    stocks = [row for row in far_end.rows["tickers"] if row["market"] == "stocks"]
    assert len(rows) == len(stocks)
    assert rows.filter(rows["ticker"] == "REUSE").select("name", "active", "delisted").rows() == [
        ("First Holder of the Name", False, date(2024, 1, 31)),
        ("Second Holder of the Name", True, None),
    ]
    assert {"NA", "NAN", "NULL", "TRUE", "ON", "E"} <= set(rows["ticker"])
    assert [asked.query["active"] for asked in far_end.asked("/v3/reference/tickers")] == ["true", "false"]


def test_tickers_that_were_listed_are_told_whole(source: PolygonReference) -> None:
    [one] = gather(source, "tickers")
    assert one.whole
    [some] = gather(source, "tickers", "ACME", "REUSE")
    assert not some.whole
    assert sorted(row["ticker"] for row in some.rows) == ["ACME", "REUSE", "REUSE"]


def test_a_plan_without_delisted_tickers_gives_the_listed_ones(far_end: FarEnd, source: PolygonReference) -> None:
    far_end.forever.append(refused(403, "not entitled", r"active=false"))
    [one] = gather(source, "tickers")
    assert all(row["active"] for row in one.rows)
    assert not one.whole
    assert one.notes == ("delisted tickers are outside the plan: only listed ones are told",)


@pytest.mark.parametrize(
    ("told", "day"),
    [
        ("2022-01-31T05:00:00Z", date(2022, 1, 31)),
        ("2021-07-19T00:00:00Z", date(2021, 7, 19)),
        ("2024-03-15T04:00:00Z", date(2024, 3, 15)),
        ("2024-03-15", "2024-03-15"),
        ("yesterday at noon", "yesterday at noon"),
        (None, None),
    ],
)
def test_the_day_that_an_instant_means(told: Any, day: Any) -> None:
    assert day_of(told) == day


# ---------------------------------------------------------------------- actions


@pytest.mark.parametrize(("dataset", "old"), [("splits", "/v3/reference/splits"), ("dividends", "/v3/reference/dividends")])
@pytest.mark.parametrize("status", [403, 404])
def test_the_older_endpoint_is_asked_where_the_newer_is_refused(
    far_end: FarEnd, source: PolygonReference, dataset: str, old: str, status: int
) -> None:
    [new] = gather(source, dataset)
    far_end.forever.append(refused(status, "Not found.", f"/stocks/v1/{dataset}"))
    far_end.requests.clear()
    [one] = gather(source, dataset)
    assert one.key == f"api:{old.removeprefix('/')}"
    assert f"{one.key.removeprefix('api:')} was asked instead" in one.notes[0]
    assert len(one.rows) == len(new.rows)
    assert far_end.asked(old)[0].query["limit"] == "1000"


def test_the_newer_endpoint_tells_more_and_its_ids_are_the_same(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    far_end.faults.append(refused(404, "Not found.", "/stocks/v1/splits"))
    first = take(source, lake, "splits")
    second = take(source, lake, "splits")
    assert sum(one.rows_new for one in second) == 0
    assert sum(one.rows_changed for one in second) == sum(one.rows_new for one in first)
    rows = rows_of(lake, "splits")
    assert rows["adjustment_type"].null_count() == 0
    assert set(rows.filter(rows["ticker"] == "RVRS")["adjustment_type"]) == {"reverse_split"}


def test_only_what_came_since_is_asked(far_end: FarEnd, source: PolygonReference) -> None:
    [one] = gather(source, "splits", since=date(2024, 3, 1))
    assert all(row["execution_date"] >= "2024-03-01" for row in one.rows)
    assert not one.whole
    assert far_end.asked("/stocks/v1/splits")[0].query["execution_date.gte"] == "2024-03-01"


def test_many_rows_are_given_as_they_come(source: PolygonReference, monkeypatch: pytest.MonkeyPatch) -> None:
    [whole] = gather(source, "dividends")
    monkeypatch.setattr(polygon_reference, "BATCH", 3)
    pieces = gather(source, "dividends")
    assert [len(piece.rows) for piece in pieces[:-1]] == [3] * (len(pieces) - 1) != []
    assert [row for piece in pieces for row in piece.rows] == whole.rows
    assert not any(piece.whole for piece in pieces)
    assert len({piece.key for piece in pieces}) == len(pieces)


def test_symbols_are_asked_one_by_one(far_end: FarEnd, source: PolygonReference) -> None:
    told = gather(source, "splits", "SPLT", "ZZZZZ", "TWIN")
    assert [[row["ticker"] for row in one.rows] for one in told] == [["SPLT", "SPLT"], [], ["TWIN", "TWIN"]]
    assert [asked.query["ticker"] for asked in far_end.asked("/stocks/v1/splits")] == ["SPLT", "ZZZZZ", "TWIN"]


def test_changes_are_asked_for_named_symbols_only(far_end: FarEnd, source: PolygonReference) -> None:
    [nothing] = gather(source, "ticker_changes")
    assert (nothing.rows, far_end.requests) == ([], [])
    assert "name symbols" in nothing.notes[0]
    named, unknown = gather(source, "ticker_changes", "NEWCO", "ZZZZZ")
    assert [(row["ticker"], row["first_date"], row.get("last_date")) for row in named.rows] == [
        ("OLDCO", "2010-03-01", "2024-03-31"),
        ("NEWCO", "2024-04-01", None),
    ]
    assert {row["asset"] for row in named.rows} == {"NEWCO"}
    assert unknown.notes == ("ZZZZZ: the vendor knows no events of it",)


# ---------------------------------------------------------------------- codes


def test_codes_of_trades_and_of_quotes_are_apart(source: PolygonReference, lake: Lake) -> None:
    take(source, lake, "conditions")
    rows = rows_of(lake, "conditions")
    both = rows.filter(rows["id"] == 1).select("data_type", "name").rows()
    assert both == [("quote", "Regular, Two-Sided Open"), ("trade", "Acquisition")]
    odd = rows.filter((rows["id"] == 37) & (rows["data_type"] == "trade"))
    assert odd.select("updates_high_low", "updates_open_close", "updates_volume").rows() == [(False, False, True)]
    assert set(rows["data_type"]) == {"trade", "quote"}


def test_four_exchanges_share_an_id(source: PolygonReference, lake: Lake) -> None:
    take(source, lake, "exchanges")
    rows = rows_of(lake, "exchanges")
    assert sorted(rows.filter(rows["id"] == 4)["mic"]) == ["FINC", "FINN", "FINY", "XADF"]
    assert rows.filter(rows["type"] == "SIP")["mic"].null_count() == 2


# ---------------------------------------------------------------------- news, reports, series, events


def test_news_since_the_newest_held(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    [oldest, *_] = sorted(row["published_utc"] for row in far_end.rows["news"])
    done = [update(lake, one, source.name) for one in source.gather("news_items", since=date.fromisoformat(oldest[:10]))]
    assert sum(one.rows_new for one in done) == len(far_end.rows["news"])
    assert far_end.asked("/v2/reference/news")[0].query["published_utc.gte"] == oldest[:10]
    rows = rows_of(lake, "news_items")
    assert all(rows["tickers"].list.len() > 0)
    assert rows["publisher"].null_count() == 0


def test_statements_of_a_period_make_one_row(source: PolygonReference, lake: Lake) -> None:
    take(source, lake, "fundamentals", "ACME")
    rows = rows_of(lake, "fundamentals")
    periods = rows.filter(rows["period"] != "snapshot")
    assert len(periods) == periods.select("as_of", "period").n_unique() > 1
    for name in ("revenue", "net_income", "total_assets", "operating_cash_flow", "eps", "filed_at", "fiscal_period"):
        assert periods[name].null_count() == 0, name
    snapshot = rows.filter(rows["period"] == "snapshot")
    assert snapshot["market_cap"].null_count() == 0


def test_the_old_reports_are_asked_where_the_new_ones_are_refused(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    far_end.forever.append(refused(403, "not entitled", "/stocks/financials/v1/"))
    done = take(source, lake, "fundamentals", "ACME")
    assert done[0].key == "api:vX/reference/financials?ticker=ACME"
    assert any("income_statements is refused (NotEntitled)" in note for note in done[0].notes)
    rows = rows_of(lake, "fundamentals")
    assert len(rows) > 0
    assert rows["revenue"].null_count() == 0
    assert set(rows["currency"]) == {"USD"}


def test_a_plan_without_reports_is_an_error(far_end: FarEnd, source: PolygonReference) -> None:
    far_end.plan = replace(far_end.plan, financials=False)
    with pytest.raises(NotEntitled):
        gather(source, "fundamentals", "ACME")


def test_series_of_the_fed_have_a_row_for_each_number(source: PolygonReference, lake: Lake) -> None:
    take(source, lake, "economic_series")
    rows = rows_of(lake, "economic_series")
    assert {"yield_10_year", "cpi", "unemployment_rate", "market_5_year"} <= set(rows["series"])
    assert set(rows["source"]) == {"polygon_api"}
    assert set(rows.filter(rows["series"] == "yield_10_year")["unit"]) == {"per cent"}


def test_listings_and_holidays_are_events(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    [ipos, _] = take(source, lake, "calendar_events")
    rows = rows_of(lake, "calendar_events")
    assert set(rows["event_type"]) <= {"ipo", "holiday", "early_close"}
    dates = {row["date"] for row in far_end.rows["holidays"] if row["date"] >= far_end.today.isoformat()}
    holidays = rows.filter(rows["event_type"] != "ipo")
    assert {str(day) for day in holidays["date"]} == dates
    assert set(holidays["description"]) <= {"NASDAQ, NYSE"}
    assert any("have no date yet" in note for note in ipos.notes)
    assert rows["forecast"].null_count() == len(rows)


# ---------------------------------------------------------------------- faults


def test_records_that_lack_fields_are_set_apart_and_the_others_land(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    def spoil(body: Any) -> Any:
        body["results"][0].pop("split_to")
        body["results"][1]["execution_date"] = "tomorrow"
        body["results"][2] = {}
        return body

    far_end.faults.append(Fault("/stocks/v1/splits", change=spoil))
    [done] = take(source, lake, "splits")
    assert done.quarantined == 3
    assert done.rows_in == done.rows_new + 3
    assert set(done.reasons) == {"split_to is missing", "execution_date is 'tomorrow', not a date as 2024-03-01", "ticker is missing"}


def test_an_empty_listing_lets_nobody_disappear(far_end: FarEnd, source: PolygonReference, lake: Lake) -> None:
    take(source, lake, "tickers")
    before = rows_of(lake, "tickers")
    far_end.rows["tickers"] = []
    [done] = take(source, lake, "tickers")
    assert (done.disappeared, done.committed) == (0, False)
    assert rows_of(lake, "tickers").equals(before)


@pytest.mark.parametrize("fault", [Fault("", 502, "<html>"), Fault("", 500, "")])
def test_a_dead_server_is_an_error_and_the_lake_stays(far_end: FarEnd, source: PolygonReference, lake: Lake, fault: Fault) -> None:
    take(source, lake, "exchanges")
    version = lake["exchanges"].snapshot().version
    far_end.forever.append(fault)
    with pytest.raises(SourceError):
        take(source, lake, "exchanges")
    assert lake["exchanges"].snapshot().version == version


def test_a_wrong_key_is_told(far_end: FarEnd) -> None:
    source = PolygonReference(PolygonAPI("wrong", far_end.api_url, backoff_s=0.01))
    with pytest.raises(BadKeys):
        gather(source, "exchanges")
    assert source.check().state == "wrong key"
    source.close()
