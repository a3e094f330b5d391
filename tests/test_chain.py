"""The fallback chain, from the bucket over the API to Yahoo, against far ends on loopback: what lands, what is told, what exit status."""

import gzip
import re
from pathlib import Path

import pytest
from chained import opened, publish
from farend import FarEnd, Fault
from flatfiles import BAR, FRI, MON, STOCK_DAY, STOCK_TRADES, THU, TRADE, bar, put, text, trade
from s3server import S3, StandIn
from s3server import Fault as S3Fault

from workbench import sessions
from workbench.bench import Workbench
from workbench.errors import BadKeys, Busy, NoSource, UsageError
from workbench.lake.journal import Journal
from workbench.lake.verify import verify

LAST = MON


def sources(bench: Workbench, table: str = "stock_day") -> list[tuple[object, ...]]:
    return bench.sql(f"SELECT date, source, count(*) > 0 FROM {table} GROUP BY 1, 2 ORDER BY 1, 2").fetchall()


def attempts(bench: Workbench) -> list[tuple[str, str, str | None]]:
    return [(one.source, one.status, one.fallback_from) for one in Journal(bench.lake.root).attempts() if one.session]


def sound(bench: Workbench) -> bool:
    found = [one for one in verify(bench.lake).findings if one.severity == "fault"]
    assert not found, found
    return True


def test_a_session_of_the_best_source_there_is_a_key_for_is_no_fallback(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_S3_ACCESS_KEY="", POLYGON_S3_SECRET_KEY="") as bench:
        assert bench.refresh(datasets=["stock_day", "stock_minute"], start=FRI, end=FRI).run().exit_status == 0

        assert [row["fallback_only"] for row in bench.status() if row["table"] in ("stock_day", "stock_minute")] == [0, 0]
        assert [row["state"] for row in bench.coverage("stock_day", FRI, FRI)] == ["landed"]
        assert [row["state"] for row in bench.coverage("stock_minute", FRI, FRI)] == ["landed in part"]
        assert "1 of 1 sessions" in bench.coverage("stock_minute", FRI, FRI).title
    with opened(settings) as bench:
        assert [row["state"] for row in bench.coverage("stock_day", FRI, FRI)] == ["from polygon_api only"]


def test_what_the_bucket_lacks_comes_from_the_api(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    with opened(settings) as bench:
        run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
        assert [(step.session, step.action, step.source) for step in run.plan] == [(THU, "land", "polygon_s3"), (FRI, "ask", "polygon_api")]
        summary = run.run()

        assert sources(bench) == [(THU, "polygon_s3", True), (FRI, "polygon_api", True)]
        assert summary.exit_status == 3, "a session that came from a fallback only"
        assert any("2024-03-08 came from polygon_api only" in one for one in summary.problems)
        assert sound(bench)
        [landing] = [one for one in bench.lake["stock_day"].landings().values() if one.source == "polygon_api"]
        assert (landing.fallback_from, landing.run) == ("polygon_s3", run.id)

        again = bench.plan(datasets=["stock_day"], start=THU, end=FRI)
        assert [(step.session, step.action) for step in again] == [(FRI, "stands in")]
        assert bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run().exit_status == 3

        publish(stand_in, FRI, bar("ACME", FRI, close=10.25))
        assert bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run().exit_status == 0
        assert bench.sql("SELECT close, source FROM stock_day WHERE ticker = 'ACME' AND date = '2024-03-08'").fetchall() == [
            (10.25, "polygon_s3")
        ]
        assert bench.sql("SELECT count(*) > 0 FROM source_disagreements WHERE ticker = 'ACME'").fetchall() == [(True,)]
        assert sound(bench)


def test_a_dead_bucket_is_fallen_back_from(settings: dict[str, str], stand_in: StandIn) -> None:
    stand_in.forever.append(S3Fault("list", status=403, code="InvalidAccessKeyId"))
    with opened(settings) as bench:
        run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
        assert "polygon_s3 was not listed" in run.plan.notes[-1]
        assert run.run().exit_status == 3
        assert sources(bench) == [(THU, "polygon_api", True), (FRI, "polygon_api", True)]


def test_without_a_fallback_a_dead_bucket_is_an_error(settings: dict[str, str], stand_in: StandIn) -> None:
    stand_in.forever.append(S3Fault("list", status=403, code="InvalidAccessKeyId"))
    with opened(settings, POLYGON_S3_FALLBACK="false") as bench, pytest.raises(BadKeys):
        bench.refresh(datasets=["stock_day"], start=THU, end=FRI)


def test_a_file_that_cannot_be_had_or_trusted_is_fallen_back_from(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", FRI))  # stamped with another session
    publish(stand_in, FRI, bar("ACME", FRI))
    stand_in.forever.append(S3Fault("get", status=403, code="AccessDenied"))
    with opened(settings) as bench:
        run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
        assert [step.action for step in run.plan] == ["land", "land"]
        summary = run.run()
        assert sources(bench) == [(THU, "polygon_api", True), (FRI, "polygon_api", True)]
        assert sum("NotEntitled" in one for one in summary.problems) == 2
        assert ("polygon_s3", "failed", None) in attempts(bench)

        stand_in.forever.clear()
        summary = bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run()
        assert sources(bench) == [(THU, "polygon_api", True), (FRI, "polygon_api", True), (FRI, "polygon_s3", True)][:3]
        assert ("polygon_s3", "quarantined", None) in attempts(bench)
        assert sound(bench)


def test_symbols_that_the_api_lacks_come_from_yahoo(settings: dict[str, str], made_up: FarEnd) -> None:
    made_up.forever.append(
        Fault(r"/v2/aggs/ticker/ON/", status=200, body=b'{"ticker":"ON","queryCount":0,"resultsCount":0,"adjusted":false,"status":"OK"}')
    )
    with opened(settings, WORKBENCH_YAHOO="true") as bench:
        summary = bench.refresh(
            source="polygon_api", datasets=["stock_day"], symbols=["ACME", "ON", "NOSUCH"], start="2024-02-01", end=FRI
        ).run()

        assert bench.sql("SELECT DISTINCT ticker, source FROM stock_day ORDER BY ALL").fetchall() == [
            ("ACME", "polygon_api"),
            ("ON", "yahoo"),
        ]
        assert summary.exit_status == 3
        assert any("NOSUCH" in one for one in summary.problems)
        assert ("polygon_api", "no_data", None) in attempts(bench)
        assert ("yahoo", "no_data", "polygon_api") in attempts(bench)
        assert any("split-adjusted" in note for one in bench.lake["stock_day"].landings().values() for note in one.notes)
        assert sound(bench)


def test_minutes_fall_back_for_the_universe(settings: dict[str, str]) -> None:
    with opened(settings) as bench:
        run = bench.refresh(datasets=["stock_minute"], start=FRI, end=FRI)
        assert any("WORKBENCH_UNIVERSE" in note for note in run.plan.notes)
        run.run()
        assert bench.sql("SELECT DISTINCT ticker FROM stock_minute ORDER BY 1").fetchall() == [("ACME",), ("ON",)]
        assert sound(bench)


def test_the_newest_sessions_are_asked_for_again(settings: dict[str, str], made_up: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "last_due", lambda now=None: LAST)
    monkeypatch.setattr(sessions, "today", lambda: LAST)
    with opened(settings) as bench:
        ask = {"source": "polygon_api", "datasets": ["stock_day"]}
        bench.refresh(**ask, days=3).run()  # type: ignore[arg-type]
        assert bench.plan(**ask, days=3) == []  # type: ignore[arg-type]
        assert [step.session for step in bench.plan(**ask, last=2)] == [FRI, MON]  # type: ignore[arg-type]
        summary = bench.refresh(**ask, last=2).run()  # type: ignore[arg-type]
        assert [one.outcome for one in summary.done] == ["already landed"] * 2
        assert summary.exit_status == 0
        assert len([one for one in made_up.asked("/v2/aggs/grouped") if one.status == 200]) == 5


def test_no_keys_at_all_say_which_variables(tmp_path: Path) -> None:
    with (
        opened({"WORKBENCH_DATA": str(tmp_path / "lake")}) as bench,
        pytest.raises(NoSource, match=r"POLYGON_S3_ACCESS_KEY.*POLYGON_API_KEY.*WORKBENCH_YAHOO"),
    ):
        bench.refresh()
    with (
        opened({"WORKBENCH_DATA": str(tmp_path / "lake")}) as bench,
        pytest.raises(NoSource, match=r"polygon_api: it needs POLYGON_API_KEY"),
    ):
        bench.refresh(source="polygon_api")


def test_legs_without_keys_are_skipped_and_named(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_S3_SECRET_KEY="") as bench:
        plan = bench.plan(source="polygon_s3", datasets=["stock_day"], start=THU, end=THU)
        assert [step.source for step in plan] == ["polygon_api"]
        assert any("Left out: polygon_s3 (it needs POLYGON_S3_ACCESS_KEY" in note for note in plan.notes)


def test_a_wrong_api_key_is_said_once_and_keeps_the_lake(settings: dict[str, str]) -> None:
    with opened(settings, POLYGON_API_KEY="not-the-key") as bench:
        summary = bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=FRI).run()
        assert summary.exit_status == 1
        assert all("BadKeys" in one and "not-the-key" not in one for one in summary.problems)


@pytest.mark.parametrize("symbol", ["BRK B", "AC\nME", "A'B", ""])
def test_what_is_no_symbol_is_refused_before_anything_is_asked(settings: dict[str, str], made_up: FarEnd, symbol: str) -> None:
    with opened(settings) as bench:
        if symbol.strip():
            with pytest.raises(UsageError, match="is not a symbol"):
                bench.refresh(source="polygon_api", symbols=[symbol], start=THU, end=THU)
        else:
            bench.plan(source="polygon_api", symbols=[symbol], datasets=["stock_day"], start=THU, end=THU)
    assert made_up.requests == []


def test_stopping_keeps_what_was_answered(settings: dict[str, str], made_up: FarEnd) -> None:
    with opened(settings) as bench:
        run = bench.refresh(source="polygon_api", datasets=["stock_day"], start="2024-02-01", end=MON)
        steps = iter(run)
        first = next(steps)
        run.stop()
        rest = list(steps)
        assert first.outcome == "landed"
        held = {one.session for one in bench.lake["stock_day"].landings().values()}
        assert held == {one.step.session for one in (first, *rest) if one.outcome == "landed"}
        left = bench.plan(source="polygon_api", datasets=["stock_day"], start="2024-02-01", end=MON)
        assert {step.session for step in left}.isdisjoint(held)
        bench.refresh(source="polygon_api", datasets=["stock_day"], start="2024-02-01", end=MON).run()
        assert bench.plan(source="polygon_api", datasets=["stock_day"], start="2024-02-01", end=MON) == []
        assert sound(bench)


def test_a_universe_from_a_file_and_by_turnover(settings: dict[str, str], tmp_path: Path) -> None:
    listed = tmp_path / "mine.txt"
    listed.write_text("# mine\nACME\nBRK.B, ON\n")
    with opened(settings) as bench:
        plan = bench.plan(source="polygon_api", datasets=["stock_minute"], universe=str(listed), start=FRI, end=FRI)
        assert plan[0].tickers == ("ACME", "BRK.B", "ON")
        with pytest.raises(UsageError, match="needs day bars"):
            bench.plan(source="polygon_api", universe="top:2", start=FRI, end=FRI)
        bench.refresh(source="polygon_api", datasets=["stock_day"], start=THU, end=FRI).run()
        top = bench.plan(source="polygon_api", datasets=["stock_minute"], universe="top:2", start=FRI, end=FRI)[0].tickers
        assert len(top) == 2
        assert "BRK.B" in top


def test_a_reset_fills_the_tables_anew_and_says_what_is_gone_if_it_cannot(
    settings: dict[str, str], stand_in: StandIn, tmp_path: Path
) -> None:
    for day in (THU, FRI):
        publish(stand_in, day, bar("ACME", day))
    asks = {"datasets": ["stock_day"], "start": THU, "end": FRI}
    with opened(settings, POLYGON_S3_FALLBACK="false") as bench:
        bench.refresh(**asks).run()  # type: ignore[arg-type]
        first = bench.sql("FROM stock_day").fetchall()

        summary = bench.refresh(**asks, reset=True).run()  # type: ignore[arg-type]
        assert bench.sql("FROM stock_day").fetchall() == first
        assert summary.exit_status == 0
        assert sound(bench)

        stand_in.forever.append(S3Fault("get", status=403, code="AccessDenied"))
        summary = bench.refresh(**asks, reset=True).run()  # type: ignore[arg-type]
        assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(0,)]
        [told] = re.findall(r"it had 2 rows and has 0 now. `workbench reset --undo (\w+) stock_day`", summary.problems[0])
        bench.undo_reset(["stock_day"], id=told)
        assert sorted(bench.sql("FROM stock_day").fetchall()) == sorted(first)
        assert sound(bench)


def test_gaps_are_mended_by_the_refresh_that_they_ask_for(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    publish(stand_in, MON, bar("ACME", MON))
    with opened(settings) as bench:
        bench.refresh(datasets=["stock_day"], start=THU, end=MON).run()
        report = bench.gaps("stock_day", THU, MON)
        assert [(row["session"], row["state"]) for row in report] == [(FRI, "fallback only")]
        assert report.facts["problems"] == 1

        publish(stand_in, FRI, bar("ACME", FRI))
        run = bench.repair(report)
        assert [(step.session, step.action, step.source) for step in run.plan] == [(FRI, "land", "polygon_s3")]
        run.run()
        assert bench.gaps("stock_day", THU, MON).rows == []


def test_only_one_refresh_of_a_table_at_a_time(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    publish(stand_in, FRI, bar("ACME", FRI))
    with opened(settings) as bench, opened(settings) as other:
        steps = iter(bench.refresh(datasets=["stock_day"], start=THU, end=FRI))
        next(steps)
        with pytest.raises(Busy, match=r"stock_day is being refreshed by process \d+"):
            other.refresh(datasets=["stock_day"], start=THU, end=FRI, source="polygon_api", last=3).run()
        list(steps)


def test_the_log_tells_of_landings_failures_and_fallbacks(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    with opened(settings) as bench:
        run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
        run.run()
        found = bench.sql(
            "SELECT session, source, fallback_from, status, rows > 0 FROM shrek.data_sync_log WHERE session IS NOT NULL ORDER BY ALL"
        ).fetchall()
        assert found == [(THU, "polygon_s3", None, "success", True), (FRI, "polygon_api", "polygon_s3", "success", True)]
        assert bench.sql("SELECT DISTINCT run_id FROM data_sync_log").fetchall() == [(run.id,)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket is waited for as briefly as a test can."""
    from workbench.sources.polygon_s3 import PolygonS3

    plain = PolygonS3.__init__

    def hasty(self: PolygonS3, *args: object, **more: object) -> None:
        plain(self, *args, **{"timeout_s": 1.5, "tries": 2, "backoff_s": 0.01} | more)  # type: ignore[arg-type]

    monkeypatch.setattr(PolygonS3, "__init__", hasty)


BROKEN = {
    "403 of a listed key": (S3Fault("get", status=403, code="AccessDenied"), "NotEntitled"),
    "404 of a listed key": (S3Fault("get", status=404, code="NoSuchKey"), "NotPublished"),
    "503 SlowDown": (S3Fault("get", status=503, code="SlowDown"), "Unreachable"),
    "a stalled body": (S3Fault("get", sent=10, silent_s=30.0), "Unreachable"),
    "a body that never comes": (S3Fault("get", sent=0), "Unreachable|BrokenDownload"),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.usefixtures("impatient")
def test_a_bucket_that_breaks_is_fallen_back_from_and_takes_over_when_it_is_whole(
    settings: dict[str, str], stand_in: StandIn, what: str
) -> None:
    fault, error = BROKEN[what]
    publish(stand_in, THU, bar("ACME", THU))
    stand_in.forever.append(fault)
    with opened(settings) as bench:
        summary = bench.refresh(datasets=["stock_day"], start=THU, end=THU).run()
        assert summary.exit_status == 3
        assert sources(bench) == [(THU, "polygon_api", True)]
        [failed] = [one for one in Journal(bench.lake.root).attempts() if one.status == "failed"]
        assert re.match(error, failed.reason or "")

        stand_in.forever.clear()
        assert bench.refresh(datasets=["stock_day"], start=THU, end=THU).run().exit_status == 0
        assert bench.sql("SELECT source FROM stock_day WHERE ticker = 'ACME'").fetchall() == [("polygon_s3",)]
        assert sound(bench)


@pytest.mark.usefixtures("impatient")
def test_a_file_replaced_while_it_comes_is_fallen_back_from_and_lands_next_time(settings: dict[str, str], stand_in: StandIn) -> None:
    publish(stand_in, THU, bar("ACME", THU))
    with opened(settings) as bench:
        run = bench.refresh(datasets=["stock_day"], start=THU, end=THU)
        publish(stand_in, THU, bar("ACME", THU, close=10.75))
        run.run()
        assert sources(bench) == [(THU, "polygon_api", True)]
        bench.refresh(datasets=["stock_day"], start=THU, end=THU).run()
        assert bench.sql("SELECT close, source FROM stock_day WHERE ticker = 'ACME'").fetchall() == [(10.75, "polygon_s3")]


@pytest.mark.s3
def test_a_real_bucket_refuses_wrong_keys_and_the_api_answers(settings: dict[str, str], bucket: S3) -> None:
    bucket.put(STOCK_DAY.key_of(STOCK_DAY.feeds[0], THU), gzip.compress(text([bar("ACME", THU)], BAR), mtime=0))
    real = settings | {"POLYGON_S3_ENDPOINT": bucket.endpoint}
    wrong = real | {"POLYGON_S3_ACCESS_KEY": bucket.reader.access, "POLYGON_S3_SECRET_KEY": "not the secret"}
    right = real | {"POLYGON_S3_ACCESS_KEY": bucket.reader.access, "POLYGON_S3_SECRET_KEY": bucket.reader.secret}
    with opened(wrong) as bench:
        run = bench.refresh(datasets=["stock_day"], start=THU, end=FRI)
        assert "not the secret" not in repr(run.plan)
        assert run.run().exit_status == 3
        assert sources(bench) == [(THU, "polygon_api", True), (FRI, "polygon_api", True)]
    with opened(right) as bench:
        bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run()
        assert bench.sql("SELECT date, source FROM stock_day WHERE ticker = 'ACME' ORDER BY 1").fetchall() == [
            (THU, "polygon_s3"),
            (FRI, "polygon_api"),
        ]
        assert sound(bench)


def test_a_folders_reference_data_is_gathered_until_it_changes(tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    put(vendor, STOCK_DAY, THU, text([bar("ACME", THU)], BAR))
    listed = vendor / "reference" / "splits.json"
    listed.parent.mkdir()
    listed.write_text('{"results": [{"ticker": "ACME", "execution_date": "2024-03-08", "split_from": 1, "split_to": 2}]}')
    with opened({"WORKBENCH_DATA": str(tmp_path / "lake")}) as bench:
        ask = f"folder:{vendor}"
        assert bench.refresh(source=ask).run().exit_status == 0
        assert bench.sql("SELECT ticker, split_to FROM splits").fetchall() == [("ACME", 2.0)]
        assert bench.plan(source=ask) == []

        listed.write_text('{"results": [{"ticker": "ACME", "execution_date": "2024-03-08", "split_from": 1, "split_to": 3}]}')
        assert [step.table for step in bench.plan(source=ask)] == ["splits"]
        bench.refresh(source=ask).run()
        assert bench.sql("SELECT ticker, split_to FROM splits").fetchall() == [("ACME", 3.0)]

        bench.reset("splits")
        assert [step.table for step in bench.plan(source=ask)] == ["splits"]
        bench.refresh(source=ask).run()
        assert bench.sql("SELECT count(*) FROM splits").fetchall() == [(1,)]


def test_ticks_of_a_few_tickers_do_not_decide_how_a_market_is_cut(settings: dict[str, str], stand_in: StandIn) -> None:
    with opened(settings) as bench:
        bench.refresh(source="polygon_api", datasets=["stock_trades"], symbols=["ACME"], start=THU, end=THU).run()
        asked = bench.lake["stock_trades"].snapshot()
        assert (asked.bounds, asked.rows > 0) == ((), True)

        lines = [trade(f"T{n:02}", FRI, nth) for n in range(40) for nth in range(5)]
        for day in (THU, FRI):
            content = gzip.compress(text(lines if day == FRI else [trade("ACME", THU, 1), trade("BETA", THU, 2)], TRADE))
            stand_in.put(STOCK_TRADES.key_of(STOCK_TRADES.feeds[0], day), content)
        bench.refresh(datasets=["stock_trades"], start=THU, end=FRI).run()

        assert len(bench.lake["stock_trades"].snapshot().bounds or ()) > 5
        assert bench.sql("SELECT source, count(DISTINCT ticker) FROM stock_trades GROUP BY 1 ORDER BY 1").fetchall() == [
            ("polygon_api", 1),
            ("polygon_s3", 42),
        ]
        assert len(bench.trades("T07", FRI)) == 5
        assert sound(bench)


def test_a_reset_that_fetches_less_than_it_empties_says_so(settings: dict[str, str], stand_in: StandIn) -> None:
    for day in (THU, FRI):
        publish(stand_in, day, bar("ACME", day))
    with opened(settings) as bench:
        bench.refresh(datasets=["stock_day"], start=THU, end=FRI).run()
        run = bench.refresh(datasets=["stock_day"], start=FRI, end=FRI, reset=True)
        assert "stock_day is emptied whole: 1 of its 2 sessions are not fetched again by this." in run.plan.notes
        run.chain.close()
