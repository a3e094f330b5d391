"""A refresh under bad input: what it must not hide, lose, double or call by another name."""

import gzip
from pathlib import Path

import pytest
from chained import opened, publish
from farend import FarEnd, Fault
from farend.faults import html
from flatfiles import BAR, FRI, MON, STOCK_MINUTE, THU, bar, minutes, text
from s3server import Fault as S3Fault
from s3server import StandIn

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError
from workbench.lake.journal import Attempt, Journal
from workbench.lake.verify import verify

GROUPED = "/v2/aggs/grouped"
NO_ROWS = Fault(GROUPED, 200, b'{"status":"OK","queryCount":0,"resultsCount":0,"adjusted":false}')


def attempts(bench: Workbench) -> list[Attempt]:
    return Journal(bench.lake.root).attempts()


# ---------------------------------------------------------------------- a dead first leg


def test_a_bucket_that_could_not_be_listed_is_not_said_to_have_no_data(
    settings: dict[str, str], stand_in: StandIn, made_up: FarEnd
) -> None:
    stand_in.forever.append(S3Fault("list", status=403, code="AccessDenied"))
    made_up.forever.append(NO_ROWS)
    with opened(settings) as bench:
        bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run()
        told = [(one.session, one.source, (one.reason or "").partition(":")[0]) for one in attempts(bench) if one.status == "failed"]
        assert sorted(filter(lambda one: one[0], told)) == [(THU, "polygon_s3", "NotEntitled"), (FRI, "polygon_s3", "NotEntitled")]
        assert all("polygon_s3: it has no data" not in row["reason"] for row in bench.gaps("stock_day", THU, FRI))

        stand_in.forever.clear()
        bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run()
        # It is listed now, and lacks them: what failed before is no reason any more.
        assert {row["reason"] for row in bench.gaps("stock_day", THU, FRI)} == {"polygon_s3: it has no data; polygon_api: no rows"}


def test_what_nobody_looked_for_has_failed_and_is_not_missing(settings: dict[str, str], stand_in: StandIn) -> None:
    stand_in.forever.append(S3Fault("list", status=403, code="AccessDenied"))
    with opened(settings) as bench:
        # No other source has options of the whole market.
        summary = bench.refresh(datasets=["stock_day", "option_day"], start=THU, end=THU).run()
        assert {one.step.table: one.outcome for one in summary.done} == {"stock_day": "landed", "option_day": "failed"}
        [row] = bench.gaps("option_day", THU, THU)
        assert row["state"] == "not entitled"


def test_the_summary_says_why_each_leg_was_passed_over(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    stand_in.forever.append(S3Fault("get", status=403, code="AccessDenied"))
    with opened(settings, POLYGON_API_KEY="not-the-key", WORKBENCH_YAHOO="true") as bench:
        summary = bench.refresh(datasets=["stock_day"], start=THU, end=THU).run()
        [told] = [one for one in summary.problems if "came from yahoo only" in one]
        assert "its flat file failed; polygon_api: BadKeys" in told


def test_a_chosen_source_without_keys_is_fallen_back_from(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_S3_SECRET_KEY="", POLYGON_S3_ACCESS_KEY="") as bench:
        asks = {"source": "polygon_s3", "datasets": ["stock_day"], "start": THU, "end": THU}
        summary = bench.refresh(**asks).run()  # type: ignore[arg-type]
        assert summary.exit_status == 3
        assert "came from polygon_api only" in summary.problems[0]
        assert [step.action for step in bench.plan(**asks)] == ["stands in"]  # type: ignore[arg-type]
        # What needs no keys of the bucket is no fallback.
        assert bench.refresh(datasets=["stock_day"], start=FRI, end=FRI).run().exit_status == 0


def test_half_a_pair_of_keys_is_named(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_S3_SECRET_KEY="") as bench:
        plan = bench.plan(datasets=["stock_day"], start=THU, end=THU)
        assert plan.source == "polygon_api"
        assert any("only one of them is set" in note for note in plan.notes)


# ---------------------------------------------------------------------- answers that cannot be trusted


def test_an_answer_in_quarantine_stands_in_the_log_once(settings: dict[str, str], made_up: FarEnd) -> None:
    made_up.forever.append(Fault(GROUPED, change=lambda reply: reply | {"results": [row | {"c": None} for row in reply["results"]]}))
    with opened(settings) as bench:
        summary = bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=THU).run()
        assert [one.outcome for one in summary.done] == ["quarantined"]
        assert summary.exit_status == 3
        assert [(one.source, one.status) for one in attempts(bench) if one.session] == [("polygon_api", "quarantined")]


def test_an_answer_without_a_good_row_does_not_count_as_landed(settings: dict[str, str], made_up: FarEnd) -> None:
    made_up.forever.append(Fault(GROUPED, 200, b'{"status":"OK","results":[1,2]}'))
    with opened(settings) as bench:
        summary = bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=THU).run()
        assert summary.exit_status == 3
        assert bench.gaps("stock_day", THU, THU).rows[0]["state"] == "quarantined"
        made_up.forever.clear()
        assert bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=THU).run().exit_status == 0
        assert bench.gaps("stock_day", THU, THU).rows[0]["state"] == "fallback only"


def test_a_ticker_without_rows_says_nothing_of_the_session(settings: dict[str, str]) -> None:
    with opened(settings) as bench:
        bench.refresh(source="polygon_api", datasets=["stock_day"], symbols=["NOSUCH"], start=THU, end=THU).run()
        [row] = bench.gaps("stock_day", THU, THU)
        assert (row["state"], row["reason"]) == ("not fetched", "only 1 ticker was asked for: NOSUCH; polygon_api: no rows")


def test_a_session_that_is_here_is_not_missing_for_one_ticker_without_rows(settings: dict[str, str], made_up: FarEnd) -> None:
    made_up.faults.append(html(502, "/v2/aggs/ticker/NOSUCH"))
    with opened(settings) as bench:
        asks = {"source": "polygon_api", "datasets": ["stock_minute"], "start": FRI, "end": FRI}
        bench.refresh(**asks, symbols=["ACME"]).run()  # type: ignore[arg-type]
        summary = bench.refresh(**asks, symbols=["ACME", "NOSUCH"]).run()  # type: ignore[arg-type]
        assert [one.outcome for one in summary.done] == []
        assert ["NOSUCH" in one for one in summary.problems] == [True]


def test_what_one_ticker_lacks_is_told_of_every_leg(settings: dict[str, str], made_up: FarEnd) -> None:
    made_up.forever.append(html(502, "/v2/aggs/ticker/ON"))
    made_up.yahoo_missing.add("ON")
    with opened(settings, WORKBENCH_YAHOO="true") as bench:
        summary = bench.refresh(source="polygon_api", datasets=["stock_minute"], symbols=["ACME", "ON"], start=FRI, end=FRI).run()
        [told] = [one for one in summary.problems if "failed" in one]
        assert "polygon_api: ON: Unreachable" in told
        assert "yahoo: ON: " in told


def test_a_ticker_that_the_file_lacks_is_not_to_be_had_from_it(settings: dict[str, str], stand_in: StandIn) -> None:
    stand_in.put(STOCK_MINUTE.key_of(STOCK_MINUTE.feeds[0], FRI), gzip.compress(text(minutes("AAA", FRI, 5), BAR), mtime=0))
    publish(stand_in, FRI, bar("ACME", FRI), bar("AAA", FRI))
    with opened(settings) as bench:
        bench.refresh(datasets=["stock_day", "stock_minute"], start=FRI, end=FRI).run()
        report = bench.gaps("stock_minute", FRI, FRI, tickers=["ACME"])
        assert [row["state"] for row in report] == ["missing"]
        assert bench.repair(report).run().exit_status == 0
        # It has been mended, and stays so.
        assert bench.gaps("stock_minute", FRI, FRI, tickers=["ACME"]).facts["problems"] == 0


# ---------------------------------------------------------------------- whose the rows are


@pytest.mark.parametrize("source", ["polygon_api", "yahoo"])
def test_a_chosen_source_is_nowhere_called_a_fallback(settings: dict[str, str], source: str) -> None:
    with opened(settings, WORKBENCH_SOURCE=source) as bench:
        assert bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run().exit_status == 0
        assert [row["fallback_only"] for row in bench.status()] == [0]
        # Yahoo was asked for the universe, not for the market.
        state = "landed in part" if source == "yahoo" else "landed"
        assert [row["state"] for row in bench.coverage("stock_day", THU, FRI)] == [state] * 2
    with opened(settings, WORKBENCH_SOURCE="polygon_s3") as bench:
        assert [row["fallback_only"] for row in bench.status()] == [2]
        assert [row["state"] for row in bench.coverage("stock_day", THU, FRI)] == [f"from {source} only"] * 2


# ---------------------------------------------------------------------- the log


def test_failures_are_told_in_the_order_in_which_they_were(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    stand_in.forever.append(S3Fault("get", status=403, code="AccessDenied"))
    with opened(settings) as bench:
        bench.refresh(datasets=["stock_day"], start=THU, end=THU).run()
        told = "SELECT source, finished_at - to_milliseconds(duration_ms) <= started_at FROM data_sync_log WHERE session IS NOT NULL"
        assert bench.sql(f"{told} ORDER BY started_at").fetchall() == [("polygon_s3", True), ("polygon_api", True)]


def ends(bench: Workbench) -> list[tuple[str, str | None]]:
    return [(one.status, one.reason) for one in attempts(bench) if not one.session and one.status != "started"]


def test_a_run_that_brought_nothing_has_not_succeeded(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_API_KEY="not-the-key") as bench:
        bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=THU).run()
        assert ends(bench) == [("failed", "1 step brought nothing")]
        # It came to its end all the same: nothing is left for the next one to make up for.
        assert Journal(bench.lake.root).broken_off() == []


def test_a_run_that_broke_or_was_left_has_not_succeeded(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(settings) as bench:
        steps = bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=FRI)
        for _ in steps:
            break
        del steps
        assert ends(bench) == [("failed", "stopped; what is committed is kept")]

        def broken(*_: object) -> None:
            raise LakeError("the disk is full")

        monkeypatch.setattr("workbench.lake.supersede.settle", broken)
        with pytest.raises(LakeError):
            bench.refresh(source="polygon_api", datasets=["stock_day"], start=MON, end=MON).run()
        assert ends(bench)[1:] == [("failed", "LakeError: the disk is full")]


def test_a_journal_that_cannot_be_written_does_not_stop_the_run_and_is_told_of(settings: dict[str, str], made_up: FarEnd) -> None:
    Path(settings["WORKBENCH_DATA"]).mkdir()
    (Path(settings["WORKBENCH_DATA"]) / "journal").write_text("in the way")
    with opened(settings) as bench:
        summary = bench.refresh(source="polygon_api", datasets=["stock_day"], symbols=["ACME", "NOSUCH"], start=THU, end=THU).run()
        assert [one.outcome for one in summary.done] == ["landed"]
        assert any("not recorded" in one for one in summary.problems), summary.problems


# ---------------------------------------------------------------------- what has been archived


def test_an_archived_session_keeps_what_a_better_source_lacks(settings: dict[str, str], stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text('[retention.stock_day]\nkeep = "1 year"\nthen = "archive"\n')
    asks = {"datasets": ["stock_day"], "start": THU, "end": THU}
    held = "SELECT source, count(*) FROM ohlcv_archive GROUP BY 1 ORDER BY 1"
    with Workbench(Settings.load(env=settings, start=tmp_path)) as bench:
        bench.refresh(**asks, maintain=False).run()  # type: ignore[arg-type]
        bench.retain(dry_run=False)
        [(source, count)] = bench.sql(held).fetchall()
        assert source == "polygon_api"
        # What is in the archive is not asked for once more.
        assert [step.action for step in bench.plan(**asks)] == ["stands in"]  # type: ignore[arg-type]

        publish(stand_in, THU, bar("ACME", THU), bar("ZZZ", THU))
        bench.refresh(**asks, maintain=False).run()  # type: ignore[arg-type]
        bench.retain(dry_run=False)
        assert bench.sql(held).fetchall() == [("polygon_api", count - 1), ("polygon_s3", 2)]
        assert bench.sql("SELECT source FROM ohlcv_archive WHERE ticker = 'ACME'").fetchall() == [("polygon_s3",)]

        # Another version of the flat file takes the place of the first one.
        publish(stand_in, THU, bar("ACME", THU, close=10.75))
        bench.refresh(**asks, maintain=False).run()  # type: ignore[arg-type]
        bench.retain(dry_run=False)
        assert bench.sql(held).fetchall() == [("polygon_api", count - 1), ("polygon_s3", 1)]
        assert bench.sql("SELECT close FROM ohlcv_archive WHERE ticker = 'ACME'").fetchall() == [(10.75,)]
        bench.retain(dry_run=False)
        assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(0,)]
        assert [one for one in verify(bench.lake).findings if one.severity == "fault"] == []


def test_tickers_that_are_asked_for_later_join_those_in_the_archive(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text('[retention.stock_day]\nkeep = "1 year"\nthen = "archive"\n')
    with Workbench(Settings.load(env=settings, start=tmp_path)) as bench:
        for ticker in ("ACME", "ON"):
            bench.refresh(source="polygon_api", datasets=["stock_day"], symbols=[ticker], start=THU, end=FRI, maintain=False).run()
            bench.compact()
            bench.retain(dry_run=False)
        assert bench.sql("SELECT ticker, count(*) FROM ohlcv_archive GROUP BY 1 ORDER BY 1").fetchall() == [("ACME", 2), ("ON", 2)]
        assert [one for one in verify(bench.lake).findings if one.severity == "fault"] == []
