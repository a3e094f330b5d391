"""Reference data in the lake: what is merged, what is refused, what a crash and what two writers at once leave."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError, UnknownName, UsageError
from workbench.lake import quarantine, reference, reference_merge, reset
from workbench.lake.reference import Updated, rows_of, update
from workbench.lake.store import Lake
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.sources.reference import Gathered, Row
from workbench.tables import REFERENCE

MORNING = datetime(2024, 3, 8, 14, tzinfo=UTC)
NEXT_DAY = MORNING + timedelta(days=1)
SPLIT: Row = {"ticker": "ACME", "execution_date": "2024-03-07", "split_from": 1, "split_to": 2}
CODE: Row = {"asset_class": "stocks", "data_type": "trade", "id": 1, "type": "sale_condition"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data")


def take(
    lake: Lake,
    dataset: str,
    rows: Sequence[Any],
    source: str = "polygon_api",
    *,
    now: datetime = MORNING,
    whole: bool = False,
    key: str = "k",
) -> Updated:
    """Take rows in, and see that each is accounted for."""
    done = update(lake, Gathered(dataset, key, list(rows), whole=whole), source, now=now)
    told = done.rows_new + done.rows_changed + done.rows_same + done.repeated + done.weaker + done.quarantined
    assert told == done.rows_in == len(rows)
    return done


def held(lake: Lake, dataset: str, *columns: str) -> list[tuple[Any, ...]]:
    return rows_of(lake, dataset).select(columns).rows()


# ---------------------------------------------------------------------- merging


def test_rows_are_added_corrected_and_never_taken_away(lake: Lake) -> None:
    assert take(lake, "splits", [SPLIT, {**SPLIT, "ticker": "BETA"}], whole=True).rows_new == 2
    done = take(lake, "splits", [{**SPLIT, "split_to": 3}], whole=True)
    assert (done.rows_new, done.rows_changed, done.disappeared, done.rows_total) == (0, 1, 1, 2)
    assert held(lake, "splits", "ticker", "split_to") == [("ACME", 3.0), ("BETA", 2.0)]


def test_the_same_content_is_not_committed_again(lake: Lake) -> None:
    assert take(lake, "splits", [SPLIT]).committed
    version = lake["splits"].snapshot().version
    done = take(lake, "splits", [SPLIT], now=NEXT_DAY)
    assert (done.committed, done.rows_same, lake["splits"].snapshot().version) == (False, 1, version)


def test_each_commit_is_the_next_version_of_one_object(lake: Lake) -> None:
    for n in (2, 3):
        take(lake, "splits", [{**SPLIT, "split_to": n}], now=MORNING + timedelta(hours=n))
    [(key, landing)] = lake["splits"].landings().items()
    assert (key, landing.version, landing.rows, landing.source) == ("reference:splits", 2, 1, "polygon_api")
    assert len(lake["splits"].snapshot().files) == 1


def test_what_a_source_no_longer_tells_of_a_row_is_kept(lake: Lake) -> None:
    take(lake, "splits", [{**SPLIT, "adjustment_type": "forward_split", "id": "E1"}])
    assert take(lake, "splits", [SPLIT]).rows_same == 1
    assert held(lake, "splits", "adjustment_type", "id") == [("forward_split", "E1")]


def test_the_first_sight_of_a_row_stays(lake: Lake) -> None:
    take(lake, "splits", [SPLIT])
    take(lake, "splits", [{**SPLIT, "split_to": 3}], now=NEXT_DAY)
    assert held(lake, "splits", "seen_at") == [(MORNING,)]


def test_a_reports_date_of_change_moves_only_when_it_changes(lake: Lake) -> None:
    report = {"ticker": "ACME", "as_of": "2023-12-31", "period": "annual", "revenue": 1}
    for hours, revenue, expected in ((0, 1, 0), (1, 1, 0), (2, 2, 2)):
        take(lake, "fundamentals", [{**report, "revenue": revenue}], now=MORNING + timedelta(hours=hours))
        assert held(lake, "fundamentals", "updated_at") == [(MORNING + timedelta(hours=expected),)]


def test_a_row_with_its_own_id_moves_to_a_corrected_date(lake: Lake) -> None:
    take(lake, "splits", [{**SPLIT, "id": "E1"}])
    done = take(lake, "splits", [{**SPLIT, "id": "E1", "execution_date": "2024-03-11"}], now=NEXT_DAY)
    assert (done.rows_new, done.rows_changed, done.rows_total) == (0, 1, 1)
    assert held(lake, "splits", "execution_date", "seen_at") == [(date(2024, 3, 11), MORNING)]


@pytest.mark.parametrize("first", ["folder", "polygon_api"])
def test_of_two_sources_the_better_one_tells_a_split_whoever_comes_first(lake: Lake, first: str) -> None:
    told = {"folder": {**SPLIT, "split_to": 2.5}, "polygon_api": SPLIT}
    for source in (first, *(told.keys() - {first})):
        take(lake, "splits", [told[source]], source)
    assert held(lake, "splits", "split_to", "source") == [(2.0, "polygon_api")]
    assert take(lake, "splits", [told["folder"]], "folder").weaker == 1


def test_a_better_sources_dividend_takes_the_place_of_anothers_of_that_day(lake: Lake) -> None:
    paid = {"ticker": "ACME", "ex_dividend_date": "2024-03-07", "cash_amount": 0.5001}
    take(lake, "dividends", [paid, {**paid, "ex_dividend_date": "2024-06-07"}], "folder")
    take(lake, "dividends", [{**paid, "cash_amount": 0.5}, {**paid, "cash_amount": 2.0}])
    assert held(lake, "dividends", "cash_amount", "source") == [(0.5, "polygon_api"), (2.0, "polygon_api"), (0.5001, "folder")]


def test_series_keep_each_revision(lake: Lake) -> None:
    gdp = {"series": "GDPC1", "date": "2023-10-01", "value": 22672.9, "is_preliminary": True, "revision_date": "2024-01-25"}
    take(lake, "economic_series", [gdp], "fred")
    take(lake, "economic_series", [{**gdp, "value": 22679.3, "revision_date": "2024-02-28"}], "fred")
    assert held(lake, "economic_series", "value") == [(22672.9,), (22679.3,)]


def test_news_stand_in_a_file_for_each_month_and_only_what_changes_is_written(lake: Lake) -> None:
    def article(n: int, month: int) -> Row:
        at = f"2024-{month:02}-01T00:30:00+00:00"
        return {"id": f"n{n}", "published_at": at, "title": "t", "article_url": "u", "tickers": ["ACME"]}

    take(lake, "news_items", [article(1, 2), article(2, 3)])
    before = {file.chunk: file.path for file in lake["news_items"].snapshot().files}
    take(lake, "news_items", [article(1, 2), article(3, 3)])
    after = {file.chunk: file.path for file in lake["news_items"].snapshot().files}
    assert before.keys() == after.keys() == {"2024-02", "2024-03"}
    assert before["2024-02"] == after["2024-02"]
    assert before["2024-03"] != after["2024-03"]
    assert {landing.key: landing.version for landing in lake["news_items"].landings().values()} == {
        "reference:news_items/2024-02": 1,
        "reference:news_items/2024-03": 2,
    }


# ---------------------------------------------------------------------- tickers


def company(ticker: str, name: str, figi: str | None = None, *, delisted: str | None = None, cik: str | None = None) -> Row:
    return {"ticker": ticker, "name": name, "active": not delisted, "composite_figi": figi, "cik": cik, "delisted": delisted}


TICKER = ("ticker", "name", "active", "delisted", "first_seen", "last_seen")
THU, FRI = MORNING.date(), NEXT_DAY.date()


def test_a_delisted_ticker_keeps_its_row_and_a_vanished_one_its_last_day(lake: Lake) -> None:
    take(lake, "tickers", [company("ACME", "Acme", "F1"), company("BETA", "Beta", "F2")], whole=True)
    done = take(lake, "tickers", [company("ACME", "Acme", "F1", delisted="2024-03-08")], whole=True, now=NEXT_DAY)
    assert (done.rows_new, done.rows_changed, done.disappeared) == (0, 1, 1)
    assert held(lake, "tickers", *TICKER) == [("ACME", "Acme", False, date(2024, 3, 8), THU, FRI), ("BETA", "Beta", True, None, THU, THU)]


@pytest.mark.parametrize("ids", [("F1", "F2"), (None, None)], ids=["with ids", "without"])
def test_a_symbol_that_another_company_takes_has_a_row_for_each(lake: Lake, ids: tuple[str | None, str | None]) -> None:
    take(lake, "tickers", [company("REUSE", "First", ids[0])], whole=True)
    later = [company("REUSE", "Second", ids[1]), company("REUSE", "First", ids[0], delisted="2024-03-08")]
    take(lake, "tickers", later, whole=True, now=NEXT_DAY)
    assert held(lake, "tickers", *TICKER) == [
        ("REUSE", "First", False, date(2024, 3, 8), THU, FRI),
        ("REUSE", "Second", True, None, FRI, FRI),
    ]
    assert not take(lake, "tickers", later, whole=True, now=NEXT_DAY).committed


def test_a_company_that_changes_its_name_or_gains_an_id_keeps_its_row(lake: Lake) -> None:
    take(lake, "tickers", [company("ACME", "Acme")])
    take(lake, "tickers", [company("ACME", "Acme Holdings", "F1", cik="1")], now=NEXT_DAY)
    assert held(lake, "tickers", *TICKER) == [("ACME", "Acme Holdings", True, None, THU, FRI)]


def test_ids_tell_companies_of_one_name_apart(lake: Lake) -> None:
    take(lake, "tickers", [company("ACME", "Acme", "F1")])
    take(lake, "tickers", [company("ACME", "Acme", "F2")], now=NEXT_DAY)
    assert rows_of(lake, "tickers").select("composite_figi", "last_seen").rows() == [("F1", THU), ("F2", FRI)]


def test_without_ids_another_name_that_ended_is_another_company(lake: Lake) -> None:
    take(lake, "tickers", [company("ACME", "Acme")])
    take(lake, "tickers", [company("ACME", "Zenith", delisted="2001-01-02")], now=NEXT_DAY)
    assert held(lake, "tickers", "name", "active") == [("Zenith", False), ("Acme", True)]


def test_a_company_that_is_listed_again_is_no_longer_delisted(lake: Lake) -> None:
    take(lake, "tickers", [company("ACME", "Acme", "F1", delisted="2024-03-01")])
    take(lake, "tickers", [company("ACME", "Acme", "F1")], now=NEXT_DAY)
    assert held(lake, "tickers", *TICKER) == [("ACME", "Acme", True, None, THU, FRI)]


def test_a_reports_date_of_change_stays_where_another_changes(lake: Lake) -> None:
    reports = [{"ticker": ticker, "as_of": "2023-12-31", "period": "annual", "revenue": 1} for ticker in ("ACME", "BETA")]
    take(lake, "fundamentals", reports)
    take(lake, "fundamentals", [reports[0], {**reports[1], "revenue": 2}], now=NEXT_DAY)
    assert held(lake, "fundamentals", "ticker", "updated_at") == [("ACME", MORNING), ("BETA", NEXT_DAY)]


def test_after_a_reset_it_fills_anew(lake: Lake) -> None:
    take(lake, "conditions", [CODE])
    reset.reset(lake, ["conditions"])
    assert held(lake, "conditions", "id") == []
    assert take(lake, "conditions", [{**CODE, "id": 2}]).rows_new == 1
    assert held(lake, "conditions", "id") == [(2,)]
    assert not verify(Lake(lake.root)).faults


def test_a_listing_of_a_part_says_nothing_of_the_others(lake: Lake) -> None:
    take(lake, "tickers", [company("ACME", "Acme"), company("BETA", "Beta")])
    assert take(lake, "tickers", [company("ACME", "Acme")]).disappeared == 0


def test_case_tells_tickers_apart(lake: Lake) -> None:
    assert take(lake, "tickers", [company("BACpB", "A"), company("BACPB", "B")]).rows_new == 2


# ---------------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("dataset", "row", "reason"),
    [
        ("splits", {**SPLIT, "split_from": 0}, "must be more than 0"),
        ("splits", {**SPLIT, "split_to": "two"}, "split_to is 'two', not a number"),
        ("splits", {**SPLIT, "split_to": True}, "split_to is True, not a number"),
        ("splits", {**SPLIT, "split_to": float("nan")}, "split_to is nan, not a number"),
        ("splits", {**SPLIT, "split_to": 10**400}, "too large"),
        ("splits", {**SPLIT, "execution_date": "07/03/2024"}, "not a date as 2024-03-01"),
        ("splits", {**SPLIT, "execution_date": "2024-02-30"}, "not a date"),
        ("splits", {**SPLIT, "execution_date": "0202-03-01"}, "out of its range"),
        ("splits", {**SPLIT, "execution_date": 20240307}, "not a date"),
        ("splits", {**SPLIT, "ticker": ""}, "ticker is missing"),
        ("splits", {**SPLIT, "ticker": " ACME"}, "with spaces around it"),
        ("splits", {**SPLIT, "ticker": "AC\nME"}, "invisible characters"),
        ("splits", {**SPLIT, "ticker": 5}, "not a text"),
        ("splits", {**SPLIT, "id": "half \ud800"}, "half a character"),
        ("splits", {}, "ticker is missing"),
        ("splits", ["ACME"], "not an object"),
        ("splits", None, "not an object"),
        ("conditions", {**CODE, "id": 1.5}, "not a whole number"),
        ("conditions", {**CODE, "id": 2**31}, "not a whole number that fits"),
        ("conditions", {**CODE, "legacy": "yes"}, "neither true nor false"),
        ("news_items", {"id": "n", "published_at": "2024-03-01T10:00:00", "title": "t", "article_url": "u"}, "an instant without a zone"),
        ("news_items", {"id": "n", "published_at": "noon", "title": "t", "article_url": "u"}, "not an instant"),
        ("news_items", {"id": "n", "published_at": MORNING, "title": "t", "article_url": "u", "tickers": "ACME"}, "not a list"),
        ("dividends", {"ticker": "A", "ex_dividend_date": "2024-03-07", "cash_amount": -1}, "out of its range"),
        ("fundamentals", {"ticker": "A", "as_of": "2024-03-07", "period": "weekly"}, "period is 'weekly'"),
        ("ticker_changes", {"asset": "A", "ticker": "A", "first_date": "2024-03-07", "last_date": "2024-03-06"}, "after last_date"),
    ],
)
def test_a_row_that_breaks_a_promise_is_set_apart_with_its_reason(lake: Lake, dataset: str, row: Any, reason: str) -> None:
    done = take(lake, dataset, [row])
    assert done.quarantined == 1
    assert reason in next(iter(done.reasons))
    [refusal] = quarantine.refusals(lake.root, dataset)
    assert (refusal.rows, refusal.whole) == (1, False)
    assert reason in refusal.reason
    assert pl.read_parquet(refusal.path)["reason"].to_list() == list(done.reasons)
    assert not done.committed


def test_good_rows_land_beside_bad_ones_and_the_record_counts_both(lake: Lake) -> None:
    take(lake, "splits", [SPLIT, {**SPLIT, "split_from": -1}])
    landing = lake["splits"].landings()["reference:splits"]
    # Resolving is a commit of its own, after the one that took the rows in.
    first = lake["splits"]._commits[1].landings[0]
    assert (first.rows_in, first.rows, first.quarantined) == (2, 1, 1)
    assert landing.rows_in == landing.rows + landing.quarantined


def test_two_rows_of_one_key_in_a_listing_are_one_and_the_other_is_told(lake: Lake) -> None:
    done = take(lake, "splits", [SPLIT, SPLIT, {**SPLIT, "split_to": 5}])
    assert (done.rows_new, done.repeated, done.quarantined) == (1, 1, 1)
    assert "its key" in next(iter(done.reasons))


def test_what_was_refused_before_goes_when_the_same_is_asked_and_is_good(lake: Lake) -> None:
    take(lake, "splits", [{**SPLIT, "split_from": 0}], key="api:splits")
    take(lake, "splits", [{**SPLIT, "split_from": 0}], key="folder:splits.json")
    take(lake, "splits", [SPLIT], key="api:splits", now=NEXT_DAY)
    assert [one.key for one in quarantine.refusals(lake.root, "splits")] == ["folder:splits.json"]


def test_columns_that_are_not_declared_are_named(lake: Lake) -> None:
    assert take(lake, "splits", [{**SPLIT, "colour": "red"}]).notes == ("colour: not declared in splits, left out",)


def test_a_table_of_bars_is_not_filled_so(lake: Lake) -> None:
    with pytest.raises(UsageError, match=r"stock_day is filled by flat files.* nothing was written"):
        update(lake, Gathered("stock_day", "k", []), "polygon_api")


# ---------------------------------------------------------------------- crashes and others


KILLED = """
import os, sys
from pathlib import Path
from workbench.lake import reference
from workbench.lake.store import Lake, LakeTable
from workbench.sources.reference import Gathered
{}
row = {{"ticker": "NEW", "execution_date": "2024-03-07", "split_from": 1, "split_to": 2}}
reference.update(Lake(Path(sys.argv[1])), Gathered("splits", "k", [row]), "polygon_api")
"""
BEFORE_PLACE = "reference.place = lambda *_: os._exit(9)"
BEFORE_COMMIT = "LakeTable.commit = lambda *_: os._exit(9)"
AFTER_COMMIT = "commit = LakeTable.commit; LakeTable.commit = lambda *args: (commit(*args), os._exit(9))"


@pytest.mark.parametrize(
    ("where", "tickers", "orphans"),
    [(BEFORE_PLACE, ["ACME"], 0), (BEFORE_COMMIT, ["ACME"], 1), (AFTER_COMMIT, ["ACME", "NEW"], 0)],
    ids=["before its place", "before the commit", "after it"],
)
def test_killed_anywhere_the_table_is_as_before_or_after(lake: Lake, where: str, tickers: list[str], orphans: int) -> None:
    take(lake, "splits", [SPLIT])
    ended = subprocess.run([sys.executable, "-c", KILLED.format(where), lake.root], check=False, timeout=120)
    assert ended.returncode == 9
    again = Lake(lake.root)
    assert [ticker for (ticker,) in held(again, "splits", "ticker")] == tickers
    assert held(again, "splits", "verdict") == [("no closes",)] * len(tickers), "no split is there that was not looked at"
    assert not verify(again).faults
    found = vacuum(again, timedelta(0), dry_run=False, orphans=timedelta(0))
    assert sum(len(one.orphans) for one in found) == orphans
    take(again, "splits", [{**SPLIT, "ticker": "NEW"}])
    assert [ticker for (ticker,) in held(again, "splits", "ticker")] == ["ACME", "NEW"]
    assert not verify(Lake(lake.root)).faults


WRITER = """
import sys
from pathlib import Path
from workbench.lake.reference import update
from workbench.lake.store import Lake
from workbench.sources.reference import Gathered
who, lake = sys.argv[2], Lake(Path(sys.argv[1]))
for n in range(8):
    row = {"asset_class": "stocks", "data_type": "trade", "type": who, "id": n}
    assert update(lake, Gathered("conditions", who, [row]), "polygon_api").committed
"""


def test_two_processes_that_update_at_once_lose_nothing(lake: Lake) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, lake.root, who]) for who in ("one", "two")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert sorted(held(lake, "conditions", "type", "id")) == [(who, n) for who in ("one", "two") for n in range(8)]
    assert lake["conditions"].landings()["reference:conditions"].version == 16
    assert not verify(Lake(lake.root)).faults


@pytest.mark.on_disk
def test_a_file_that_is_gone_is_told_and_nothing_is_changed(lake: Lake) -> None:
    take(lake, "conditions", [CODE])
    [file] = lake["conditions"].snapshot().files
    (lake["conditions"].folder / file.path).unlink()
    version = lake["conditions"].snapshot().version
    with pytest.raises(LakeError, match=r"cannot be read .* the lake is unchanged. Bring it back from a backup, or remove"):
        take(lake, "conditions", [{**CODE, "id": 2}])
    assert lake["conditions"].snapshot().version == version
    assert [one.kind for one in verify(Lake(lake.root)).faults] == ["missing"]


@pytest.mark.on_disk
def test_a_full_disk_is_told_and_leaves_no_draft(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    take(lake, "conditions", [CODE])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference, "sync", full)
    with pytest.raises(LakeError, match="is full: conditions was not updated"):
        take(lake, "conditions", [{**CODE, "id": 2}])
    assert list((lake.root / "tmp").iterdir()) == []
    assert held(lake, "conditions", "id") == [(1,)]


# ---------------------------------------------------------------------- beside the other tables


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    made = Workbench(Settings(data=str(tmp_path / "data")))
    made.lake.make()
    take(made.lake, "splits", [SPLIT])
    take(made.lake, "conditions", [CODE])
    return made


def test_every_loop_over_tables_copes(bench: Workbench) -> None:
    names = {row["table"] for row in bench.status().rows}
    assert names == {"splits", "conditions"}
    assert all(row["sessions"] is None and row["first"] is None for row in bench.status().rows)
    assert bench.verify().rows == bench.verify(quick=True).rows == []
    assert bench.compact(everything=True).rows == []
    assert bench.retain().rows == []
    assert bench.tickers(["ACME"], ["splits", "conditions"]).rows == [
        {"ticker": "ACME", "table": "splits", "rows": 1, "first": None, "last": None}
    ]
    assert bench.tickers(["ACME"]).rows == []
    bench.maintain()
    assert bench.sql("SELECT count(*) FROM splits").fetchall() == [(1,)]
    bench.close()


@pytest.mark.parametrize("table", REFERENCE, ids=lambda table: table.name)
def test_a_lake_without_them_shows_them_empty(tmp_path: Path, table: Any) -> None:
    with Workbench(Settings(data=str(tmp_path / "data"))) as empty:
        empty.lake.make()
        assert empty.sql(f"FROM {table.name}").columns == [c.name for c in table.columns]
        assert empty.sql(f"FROM {table.name}").fetchall() == []


def test_conditions_on_reference_data_leave_no_row_out(bench: Workbench) -> None:
    asked = {
        "ticker = 'ACME'": 1,
        "ticker IN ('ACME', 'B')": 1,
        "execution_date = DATE '2024-03-07'": 1,
        "ticker > 'B'": 0,
        "duplicate_of IS NULL": 1,
        "ticker IS NOT NULL": 1,
    }
    for condition, count in asked.items():
        assert bench.sql(f"SELECT count(*) FROM splits WHERE {condition}").fetchall() == [(count,)]
        assert bench.catalog.narrowed(f"SELECT * FROM splits WHERE {condition}") is None
    assert bench.sql("SELECT count(*) FROM splits s LEFT JOIN stock_day d ON d.ticker = s.ticker AND d.date < s.execution_date").fetchall()
    bench.close()


def test_it_can_be_exported_whole_and_not_by_session(bench: Workbench, tmp_path: Path) -> None:
    from workbench.query.export import chosen_rows, declarations

    assert chosen_rows(lake_table("splits"), None, None, ["ACME"]).endswith("ticker IN ('ACME')")
    with pytest.raises(UsageError, match="splits has no sessions to choose by; nothing was exported"):
        chosen_rows(lake_table("splits"), date(2024, 3, 1), None, [])
    assert 'VIEW "splits"' in declarations(bench.lake, bench.snapshots())
    with pytest.raises(UsageError, match="holds facts by key and has no sessions"):
        bench.coverage("splits")
    bench.close()


def lake_table(name: str) -> Any:
    return next(table for table in REFERENCE if table.name == name)


def test_retention_refuses_a_table_without_sessions(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text('[retention.splits]\nkeep = "1 year"\nthen = "drop"\nrollup = "none"\n')
    with pytest.raises(UnknownName, match=r"no table 'splits'; nothing was done"):
        _ = Settings.load({}, start=tmp_path).retention


def test_the_past_is_kept_until_vacuum(bench: Workbench) -> None:
    instant = datetime.now(UTC)
    take(bench.lake, "conditions", [{**CODE, "id": 2}])
    with Workbench(bench.settings, instant) as past:
        assert past.sql("SELECT count(*) FROM conditions").fetchall() == [(1,)]
    assert bench.sql("SELECT count(*) FROM conditions").fetchall() == [(2,)]
    bench.close()


def test_verify_finds_a_key_that_stands_twice(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(*args: Any, **kwargs: Any) -> Any:
        made = merge(*args, **kwargs)
        return type(made)(pl.concat([made.rows, made.rows]), new=made.new)

    merge = reference_merge.merge
    monkeypatch.setattr(reference, "merge", doubled)
    update(lake, Gathered("conditions", "k", [CODE]), "polygon_api")
    assert [one.kind for one in verify(Lake(lake.root)).faults] == ["keys"]
