"""Gaps with reasons, of lakes that landed real files: every state of a session, of a ticker, of a minute; and what would mend it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import (
    BAR,
    FRI,
    MON,
    STOCK_DAY,
    STOCK_MINUTE,
    STOCK_TRADES,
    THU,
    TRADE,
    bar,
    minutes,
    put,
    text,
    trade,
)

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, UnknownName, UsageError
from workbench.lake.journal import Attempt, Journal
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed, Retired
from workbench.lake.reference import update
from workbench.query import gaps, gaps_market, gaps_minutes, gaps_repair, gaps_tickers
from workbench.query.report import Report
from workbench.refresh.batch import Batch
from workbench.refresh.plan import Step
from workbench.sources import FlatFile
from workbench.sources.folder import Folder
from workbench.sources.reference import Gathered
from workbench.tables import FED, Table, find
from workbench.tables.answers import key_of

REAL = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
TUE, WED = date(2024, 3, 5), date(2024, 3, 6)
SAT, SUN, NEXT = date(2024, 3, 9), date(2024, 3, 10), date(2024, 3, 12)
LONG_AGO = "2026-11-20T12:00:00.000+00:00"


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    return tmp_path / "vendor"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    made = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    made.lake.make()
    return made


def refresh(bench: Workbench, vendor: Path) -> None:
    """Land what a folder holds and the lake does not."""
    source, batch = Folder(vendor), Batch(bench.lake)
    for table in FED:
        home = bench.lake[table.name]
        for file in [file for feed in table.feeds for file in source.list(feed, date.min, date.max)]:
            held = home.landings().get(file.key)
            if held and held.etag == file.etag:
                continue
            bounds = home.set_bounds(()) if table.routed else None
            landed = land_or_refuse(Job(source.fetch(file, vendor).path, file, "folder", bench.lake.root, bounds, held))
            if isinstance(landed, Landed):
                batch.add(
                    Step(table.name, landed.landing.session, "land", "", file.key, file=file, held=held, source="folder"), landed, 0, 0.0
                )
    assert all(done.outcome in ("landed", "replaced") for done in batch.finish())


def answered(
    bench: Workbench, folder: Path, source: str, table: Table, day: date, lines: Sequence[str], tickers: Sequence[str] = ()
) -> None:
    """Land what a source of rows said, as a refresh does."""
    origin = {"polygon_api": "api", "yahoo": "yahoo"}[source]
    key = key_of(origin, table.name, day, tickers)
    path = put(folder / source, table, day, text(lines, TRADE if table is STOCK_TRADES else BAR))
    file = FlatFile(key, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    bounds = bench.lake[table.name].set_bounds(()) if table.routed else None
    landed = land_or_refuse(Job(path, file, source, bench.lake.root, bounds, asked=tuple(tickers)))
    assert isinstance(landed, Landed), landed
    batch = Batch(bench.lake)
    batch.add(Step(table.name, day, "ask", "", key, file=file, source=source), landed, 0, 0.0)
    assert [done.outcome for done in batch.finish()] == ["landed"]


def tried(bench: Workbench, day: date, status: str, reason: str = "", source: str = "polygon_s3", at: str = LONG_AGO, **more: Any) -> None:
    attempt = Attempt("run", "refresh", "stock_day", source, status, session=day, reason=reason or None, started_at=at, finished_at=at)
    Journal(bench.lake.root).record([replace(attempt, **more)])


def ask(bench: Workbench, table: str = "stock_day", start: date | None = None, end: date | None = None, **more: Any) -> Report:
    return gaps.gaps(bench.lake, bench.snapshots(), table, start, end, **more)


def one(bench: Workbench, day: date, table: str = "stock_day", **more: Any) -> dict[str, Any]:
    """What the report says of one day, whatever it is."""
    [row] = ask(bench, table, day, day, everything=True, **more)
    assert row["session"] == day
    return dict(row)


# ---------------------------------------------------------------------- sessions


def test_a_landed_session_is_no_gap_and_everything_lists_it(bench: Workbench, vendor: Path) -> None:
    for day in (THU, FRI, MON):
        put(vendor, STOCK_DAY, day, text([bar("AAA", day)]))
    refresh(bench, vendor)

    found = ask(bench, end=MON)
    assert (len(found), found.facts["problems"], found.facts["states"]) == (0, 0, {"landed": 3})
    assert found.title == "stock_day: 3 of 3 sessions from 2024-03-07 to 2024-03-11 landed"

    everything = ask(bench, end=MON, everything=True)
    assert [(row["session"], row["state"], row["reason"]) for row in everything] == [
        (THU, "landed", ""),
        (FRI, "landed", ""),
        (SAT, "closed", "Saturday"),
        (SUN, "closed", "Sunday"),
        (MON, "landed", ""),
    ]
    assert everything.facts["problems"] == 0


def test_without_dates_it_goes_from_the_first_landed_to_the_newest_due(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)

    found = ask(bench, now=datetime(2024, 3, 12, 20, tzinfo=UTC))

    assert [(row["session"], row["state"]) for row in found] == [(FRI, "not fetched"), (MON, "not fetched")]
    assert found.facts["problems"] == 2
    assert found[0]["reason"] == "no source was asked for it yet"


def test_what_is_not_due_is_no_problem_and_says_when_it_is(bench: Workbench) -> None:
    early = datetime(2024, 3, 8, 15, 59, tzinfo=UTC)

    assert one(bench, THU, now=early) | {"since": None} == {
        "session": THU,
        "state": "not yet due",
        "reason": "due 2024-03-08 11:00 New York",
        "source": "",
        "since": None,
        "attempts": 0,
        "mends": "wait until 2024-03-08 11:00 New York",
    }
    assert ask(bench, start=THU, end=THU, now=early).facts["problems"] == 0
    assert one(bench, THU, now=early + timedelta(minutes=1))["state"] == "not fetched"


def test_a_file_that_is_not_listed_is_late_for_a_day_and_missing_then(bench: Workbench) -> None:
    due = sessions.due_at(THU)
    tried(bench, THU, "no_data", at=(due + timedelta(hours=1)).astimezone(UTC).isoformat())

    late = one(bench, THU, now=due + timedelta(hours=23))
    missing = one(bench, THU, now=due + timedelta(hours=25))

    assert (late["state"], late["reason"], late["attempts"], late["source"]) == ("late", "polygon_s3: it has no data", 1, "polygon_s3")
    assert late["since"].startswith("2024-03-08T17:00")
    assert missing["state"] == "missing"


def test_what_was_asked_for_before_it_was_due_is_not_missing(bench: Workbench) -> None:
    tried(bench, THU, "no_data", at="2024-03-07T23:00:00.000+00:00")

    row = one(bench, THU)

    assert (row["state"], row["reason"]) == ("not fetched", "last asked for before it was due; polygon_s3: it has no data")


def test_a_session_that_the_errata_know_is_missing(bench: Workbench) -> None:
    row = one(bench, date(2018, 10, 12), "option_trades")

    assert row["state"] == "missing"
    assert row["reason"] == "known to be missing: the listing went from 2018-10-11 to 2018-10-15, a Friday left out"


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        ([("polygon_s3", "failed", "NotEntitled: the plan ends at 2021")], "not entitled"),
        ([("polygon_s3", "failed", "Unreachable: no answer")], "failed"),
        ([("polygon_s3", "failed", "NotEntitled: no"), ("polygon_api", "failed", "NotEntitled: no")], "not entitled"),
        ([("polygon_s3", "failed", "NotEntitled: no"), ("polygon_api", "failed", "RateLimited: slow")], "failed"),
        ([("polygon_s3", "failed", "NotPublished: it is gone"), ("polygon_api", "failed", "NotEntitled: no")], "missing"),
        ([("polygon_s3", "failed", "Unreachable: no answer"), ("polygon_s3", "no_data", "")], "missing"),
        ([("polygon_s3", "no_data", ""), ("yahoo", "skipped", "Yahoo is not allowed")], "missing"),
        ([("yahoo", "skipped", "Yahoo is not allowed")], "not fetched"),
        ([("polygon_s3", "no_data", ""), ("polygon_s3", "skipped", "no keys")], "missing"),
        ([("polygon_s3", "started", "")], "failed"),
        ([("polygon_s3", "started", ""), ("polygon_s3", "no_data", "")], "missing"),
    ],
)
def test_what_sources_said_last_decides(bench: Workbench, attempts: list[tuple[str, str, str]], state: str) -> None:
    for n, (source, status, reason) in enumerate(attempts):
        tried(bench, THU, status, reason, source, at=f"2026-11-20T12:00:0{n}.000+00:00")

    row = one(bench, THU)

    assert row["state"] == state
    assert all(reason in row["reason"] for source, status, reason in attempts if status == "failed" and attempts[-1][0] != source)
    assert row["attempts"] == sum(status != "skipped" for _, status, _ in attempts)


def test_a_source_that_others_were_asked_in_the_place_of_lacked_it(bench: Workbench) -> None:
    tried(bench, THU, "failed", "NotEntitled: no", "polygon_api", fallback_from="polygon_s3")

    row = one(bench, THU)

    assert (row["state"], row["reason"]) == ("missing", "polygon_s3: it has no data; polygon_api: NotEntitled: no")


def test_a_refused_file_is_quarantined_until_it_is_made_good(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA", FRI)]))
    refresh(bench, vendor)

    row = one(bench, THU)
    assert (row["state"], row["source"], row["mends"].startswith("refresh with again")) == ("quarantined", "folder", True)
    assert "2024-03-08" in row["reason"]
    assert ask(bench, start=THU, end=THU).facts["problems"] == 1

    put(vendor, STOCK_DAY, THU, text([bar("AAA", THU)]))
    refresh(bench, vendor)
    assert one(bench, THU)["state"] == "landed"


def test_a_new_version_that_was_refused_says_that_the_old_one_is_there(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)
    put(vendor, STOCK_DAY, THU, text([bar("AAA", FRI)]))
    refresh(bench, vendor)

    row = one(bench, THU)

    assert row["state"] == "quarantined"
    assert row["reason"].endswith("; the lake still holds the version before")


def test_a_file_with_a_few_bad_rows_landed(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([*(bar(f"A{n:03}") for n in range(200)), bar("BAD", volume=-1)]))
    refresh(bench, vendor)

    row = one(bench, THU)

    assert (row["state"], row["reason"]) == ("landed", "1 row refused")


def test_a_session_published_again_is_replaced_and_no_problem(bench: Workbench, vendor: Path) -> None:
    for close in (10, 11):
        put(vendor, STOCK_DAY, THU, text([bar("AAA", close=close)]))
        refresh(bench, vendor)

    found = ask(bench, start=THU, end=THU)

    assert (found[0]["state"], found.facts["problems"]) == ("replaced", 0)
    assert found[0]["reason"].startswith(f"published again: version 2 since {datetime.now(UTC):%Y-%m-%d}")


def test_a_session_from_a_weaker_source_says_why_and_what_would_be_better(bench: Workbench, tmp_path: Path) -> None:
    tried(bench, THU, "failed", "Unreachable: no answer")
    answered(bench, tmp_path, "polygon_api", STOCK_DAY, THU, [bar("AAA")])

    row = one(bench, THU)

    assert (row["state"], row["source"], row["mends"]) == ("fallback only", "polygon_api", "refresh from polygon_s3")
    assert row["reason"] == "polygon_s3: Unreachable: no answer"
    assert one(bench, THU, best="polygon_api")["state"] == "landed"


def test_tickers_from_yahoo_are_a_part(bench: Workbench, tmp_path: Path) -> None:
    answered(bench, tmp_path, "yahoo", STOCK_DAY, THU, [bar("AAA"), bar("BBB")], ["AAA", "BBB"])

    row = one(bench, THU)

    assert (row["state"], row["mends"]) == ("in part", "refresh from polygon_s3 or polygon_api")
    assert row["reason"] == "only 2 tickers were asked for: AAA, BBB"
    assert one(bench, THU, best="yahoo")["state"] == "in part"


def test_a_flat_file_makes_a_fallback_good(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    answered(bench, tmp_path, "yahoo", STOCK_DAY, THU, [bar("AAA")], ["AAA"])
    put(vendor, STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    refresh(bench, vendor)

    assert one(bench, THU)["state"] == "landed"


def test_a_session_without_one_of_its_feeds_is_in_part(bench: Workbench, vendor: Path) -> None:
    table = find("futures_trades")
    lines = dict.fromkeys(table.headers[0], "1")
    ns = table.session_ns(THU)[0] + 10 * 3_600_000_000_000
    lines |= {"ticker": "ESM4", "timestamp": str(ns), "session_end_date": str(THU)}
    put(vendor, table, THU, text([",".join(lines.values())], ",".join(table.headers[0])), feed=0)
    refresh(bench, vendor)

    row = one(bench, THU, "futures_trades")

    venues = [feed.venue for feed in table.feeds]
    assert (row["state"], row["reason"], row["mends"]) == ("in part", f"without {', '.join(venues[1:])}", "refresh")


@pytest.mark.parametrize(("then", "problems"), [("archived", 0), ("dropped", 0), ("reset", 1)])
def test_retired_sessions_say_what_became_of_them(bench: Workbench, vendor: Path, then: str, problems: int) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)
    [landing] = bench.lake["stock_day"].landings().values()
    retire(bench, Retired(landing.key, landing.version, landing.session, "", landing.rows, then))

    row = one(bench, THU)

    assert (row["state"], row["source"]) == (then, "folder")
    assert ask(bench, start=THU, end=THU).facts["problems"] == problems
    assert len(ask(bench, start=THU, end=THU)) == problems


def retire(bench: Workbench, gone: Retired) -> None:
    """Take a landed session out, as retention does."""
    table = bench.lake["stock_day"]
    assert table.retire(list(table.snapshot().by_path), [gone]), "moved"


def test_files_that_are_gone_from_the_disk_are_lost(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)
    [file] = bench.lake["stock_day"].snapshot().files
    (bench.lake["stock_day"].folder / file.path).unlink()

    assert one(bench, THU)["state"] == "lost"


def test_a_session_on_a_closed_day_landed_and_says_so(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, SAT, text([bar("AAA", SAT)]))
    refresh(bench, vendor)

    assert one(bench, SAT)["reason"] == "no session by the calendar: Saturday"


def test_dates_and_tables_that_cannot_be_asked_for(bench: Workbench, vendor: Path) -> None:
    with pytest.raises(UnknownName, match="stock_day"):
        ask(bench, "stock_dya")
    with pytest.raises(UsageError, match="not filled session by session"):
        ask(bench, "ohlcv_archive")
    with pytest.raises(UsageError, match="not filled session by session"):
        ask(bench, "tickers")
    with pytest.raises(BadRange, match="Turn the two dates round"):
        ask(bench, start=FRI, end=THU)
    with pytest.raises(BadRange, match="has no sessions from"):
        ask(bench, start=date(2999, 1, 1))
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)
    far = ask(bench, start=THU, end=date(2999, 1, 1), now=datetime(2024, 3, 11, 20, tzinfo=UTC))
    assert far.facts["notes"] == [f"The range ends in the future (2999-01-01); it was clipped to {sessions.today()}."]


def test_an_empty_table_tells_of_the_newest_due_session(bench: Workbench) -> None:
    found = ask(bench)

    assert found.facts["notes"] == ["stock_day holds nothing yet."]
    assert len(found) <= 1


def test_gaps_tell_what_a_refresh_met(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    put(vendor, STOCK_DAY, FRI, text([bar("AAA", THU)]))
    bench.refresh(source=f"folder:{vendor}", datasets=["stock_day"], start=WED, end=MON, maintain=False).run()

    found = ask(bench, start=TUE, end=MON, best="folder")

    assert [(row["session"], row["state"], row["attempts"]) for row in found] == [
        (TUE, "not fetched", 0),
        (WED, "missing", 1),
        (FRI, "quarantined", 1),
        (MON, "missing", 1),
    ]
    assert found.facts["problems"] == 4


# ---------------------------------------------------------------------- repair


def test_a_repair_wants_what_a_refresh_can_mend_and_says_what_it_cannot(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    put(vendor, STOCK_DAY, TUE, text([bar("AAA", FRI)]))
    refresh(bench, vendor)
    answered(bench, tmp_path, "polygon_api", STOCK_DAY, WED, [bar("AAA", WED)])
    answered(bench, tmp_path, "yahoo", STOCK_DAY, THU, [bar("AAA")], ["AAA"])
    tried(bench, FRI, "failed", "Unreachable: no answer")
    tried(bench, MON, "failed", "NotEntitled: no")

    found = gaps_repair.repair(ask(bench, start=TUE, end=date(2024, 3, 13), everything=True, now=datetime(2024, 3, 13, 20, tzinfo=UTC)))

    assert list(found.wanted) == [
        gaps_repair.Wanted("stock_day", (TUE,), "quarantined", again=True),
        gaps_repair.Wanted("stock_day", (WED,), "fallback only", sources=("polygon_s3",)),
        gaps_repair.Wanted("stock_day", (THU,), "in part", sources=("polygon_s3", "polygon_api")),
        gaps_repair.Wanted("stock_day", (FRI,), "failed"),
        gaps_repair.Wanted("stock_day", (NEXT,), "not fetched"),
    ]
    assert [note.split(":")[0] for note in found.notes] == [
        "2 sessions closed",
        "1 session not covered by the plan of any source that was asked",
        "1 session not due yet",
    ]


def test_a_repair_asks_no_source_above_the_best_that_is_wanted(bench: Workbench, tmp_path: Path) -> None:
    answered(bench, tmp_path, "yahoo", STOCK_DAY, THU, [bar("AAA")], ["AAA"])
    answered(bench, tmp_path, "polygon_api", STOCK_DAY, FRI, [bar("AAA", FRI)], ["AAA"])

    found = gaps_repair.repair(ask(bench, start=THU, end=FRI, best="polygon_api"))

    assert list(found.wanted) == [gaps_repair.Wanted("stock_day", (THU,), "in part", sources=("polygon_api",))]


def test_sessions_that_want_the_same_are_wanted_together(bench: Workbench) -> None:
    found = gaps_repair.repair(ask(bench, start=THU, end=MON))

    assert list(found.wanted) == [gaps_repair.Wanted("stock_day", (THU, FRI, MON), "not fetched")]


def test_tickers_that_want_the_same_sessions_are_wanted_together() -> None:
    common = {"first": THU, "last": FRI, "state": "missing", "reason": "its day bar says that it traded", "source": "folder"}
    rows = [{"ticker": "BBB", **common}, {"ticker": "AAA", **common}, {"ticker": "CCC", **common, "last": MON}]

    found = gaps_repair.repair(Report("", rows, table="stock_minute"))

    assert [(one.sessions, one.tickers) for one in found.wanted] == [((THU, FRI), ("AAA", "BBB")), ((THU, FRI, MON), ("CCC",))]


def test_a_table_without_sessions_cannot_be_repaired(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="does not say what became of which session"):
        gaps_repair.repair(bench.status())
    with pytest.raises(UsageError, match="does not say what became of which session"):
        gaps_repair.repair(Report("", [{"ticker": "A"}], table="stock_day"))


# ---------------------------------------------------------------------- tickers


def of(bench: Workbench, symbols: Sequence[str], table: str = "stock_minute", start: date = TUE, end: date = FRI, **more: Any) -> Report:
    return gaps_tickers.tickers(bench.lake, bench.sql, bench.snapshots(), table, symbols, start, end, **more)


def states(found: Report) -> list[tuple[Any, ...]]:
    return [(row["ticker"], row["first"], row["last"], row["sessions"], row["state"]) for row in found]


@pytest.fixture
def traded(bench: Workbench, vendor: Path) -> Workbench:
    """Four sessions, whole: FULL trades in each, HOLE lacks the minutes of two, QUIET trades in the first only."""
    for day in (TUE, WED, THU, FRI):
        quiet = day == TUE
        put(vendor, STOCK_DAY, day, text([bar("FULL", day), bar("HOLE", day), *[bar("QUIET", day)] * quiet]))
        names = ["FULL", *["HOLE"] * (day not in (WED, THU)), *["QUIET"] * quiet]
        put(vendor, STOCK_MINUTE, day, text([line for name in names for line in minutes(name, day, 3)]))
    refresh(bench, vendor)
    return bench


def test_a_ticker_with_a_day_bar_and_no_minutes_is_missing_without_either_it_did_not_trade(traded: Workbench) -> None:
    found = of(traded, ["FULL", "HOLE", "QUIET"])

    assert states(found) == [("HOLE", WED, THU, 2, "missing"), ("QUIET", WED, FRI, 3, "no trade")]
    assert (found[0]["reason"], found[0]["volume"]) == ("its day bar says that it traded", 200)
    assert "unknown whether it was listed" in found[1]["reason"]
    assert (found.facts["problems"], found.facts["states"]) == (2, {"landed": 7, "missing": 2, "no trade": 3})
    assert len(of(traded, ["FULL"], everything=True)) == 1


def test_a_missing_ticker_is_repaired_from_a_source_that_serves_tickers(traded: Workbench) -> None:
    wanted = gaps_repair.repair(of(traded, ["HOLE", "QUIET"])).wanted

    assert wanted == (gaps_repair.Wanted("stock_minute", (WED, THU), "missing", ("HOLE",), ("polygon_api", "yahoo")),)


def test_a_day_bar_is_missing_where_minutes_say_that_it_traded(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    put(vendor, STOCK_MINUTE, THU, text([*minutes("AAA", THU, 2), *minutes("BBB", THU, 2)]))
    refresh(bench, vendor)

    [row] = of(bench, ["AAA", "BBB"], "stock_day", THU, THU)

    assert (row["ticker"], row["state"], row["reason"]) == ("BBB", "missing", "its minute bars say that it traded")


def listed(bench: Workbench, *rows: dict[str, Any]) -> None:
    common = {"name": "A company", "market": "stocks", "active": True}
    update(bench.lake, Gathered("tickers", "api:v3/reference/tickers", [{**common, **row} for row in rows]), "polygon_api")


def test_a_listing_explains_what_is_not_there(traded: Workbench) -> None:
    listed(
        traded,
        {"ticker": "QUIET", "listed": "2010-01-04"},
        {"ticker": "NEW", "listed": FRI.isoformat()},
        {"ticker": "OLD", "listed": "2010-01-04", "delisted": TUE.isoformat(), "active": False},
        {"ticker": "TWICE", "listed": "2010-01-04", "delisted": "2015-01-02", "active": False},
        {"ticker": "TWICE", "listed": "2025-01-02", "name": "Another"},
    )

    found = of(traded, ["QUIET", "NEW", "OLD", "TWICE", "NOBODY"])

    assert states(found) == [
        ("QUIET", WED, FRI, 3, "no trade"),
        ("NEW", TUE, THU, 3, "not listed yet"),
        ("NEW", FRI, FRI, 1, "no trade"),
        ("OLD", TUE, TUE, 1, "no trade"),
        ("OLD", WED, FRI, 3, "delisted"),
        ("TWICE", TUE, FRI, 4, "delisted"),
        ("NOBODY", TUE, FRI, 4, "no trade"),
    ]
    assert found[0]["reason"] == "its day bar says nothing of it either"
    assert found[5]["reason"] == "delisted 2015-01-02, and the symbol listed again on 2025-01-02"
    assert found.facts["problems"] == 0
    assert [note.split(" ")[0] for note in found.facts["notes"]] == ["NEW", "OLD", "TWICE", "NOBODY"]


def test_a_renamed_ticker_is_told_by_its_symbol_of_that_day(traded: Workbench) -> None:
    spells = [
        {"asset": "META", "ticker": "FB", "first_date": "2012-05-18", "last_date": WED.isoformat()},
        {"asset": "META", "ticker": "META", "first_date": THU.isoformat()},
    ]
    update(traded.lake, Gathered("ticker_changes", "api:vX/reference/tickers", spells), "polygon_api")

    found = of(traded, ["META", "FB"])

    assert [(row["ticker"], row["first"], row["last"], row["state"], row["reason"]) for row in found if row["state"] == "renamed"] == [
        ("META", TUE, WED, "renamed", "its symbol was FB"),
        ("FB", THU, FRI, "renamed", "its symbol was META"),
    ]


def test_nothing_tells_where_there_is_neither_a_day_bar_nor_a_listing(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 2)))
    refresh(bench, vendor)

    [row] = of(bench, ["BBB"], start=THU, end=THU)

    assert (row["state"], row["reason"]) == ("unknown", "unknown whether it was listed: tickers says nothing of it")
    assert gaps_repair.repair(of(bench, ["BBB"], start=THU, end=THU)).notes[0].startswith("1 ticker-session unknown")

    listed(bench, {"ticker": "BBB", "listed": "2010-01-04"})
    [row] = of(bench, ["BBB"], start=THU, end=THU)
    assert (row["state"], row["reason"]) == ("unknown", "stock_day of the session is not in the lake to tell")


def test_a_listed_ticker_without_a_day_bar_did_not_trade(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)
    listed(bench, {"ticker": "BBB", "listed": "2010-01-04"}, {"ticker": "CCC"})

    found = of(bench, ["BBB", "CCC"], "stock_day", THU, THU)

    # A row of tickers that does not say since when tells nothing of this day.
    assert [(row["state"], row["reason"]) for row in found] == [
        ("no trade", "it was listed, and the session's file has no bar of it"),
        ("unknown", "stock_minute of the session is not in the lake to tell"),
    ]


def test_a_session_that_is_not_there_is_told_for_the_ticker_too(bench: Workbench, vendor: Path, tmp_path: Path) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    refresh(bench, vendor)
    answered(bench, tmp_path, "yahoo", STOCK_DAY, WED, [bar("AAA", WED)], ["AAA"])

    found = of(bench, ["AAA", "BBB"], "stock_day", WED, FRI)

    assert [(row["ticker"], row["first"], row["state"]) for row in found] == [
        ("AAA", WED, "fallback only"),
        ("AAA", FRI, "not fetched"),
        ("BBB", WED, "not fetched"),
        ("BBB", THU, "unknown"),
        ("BBB", FRI, "not fetched"),
    ]
    assert found[1]["reason"] == "the whole session: no source was asked for it yet"
    wanted = gaps_repair.repair(found).wanted
    assert [(one.sessions, one.tickers, one.sources) for one in wanted] == [
        ((WED,), ("AAA",), ("polygon_s3", "polygon_api")),
        ((WED,), ("BBB",), ()),
        ((FRI,), (), ()),
    ]


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("failed", "RateLimited: slow down", "failed"),
        ("failed", "NotEntitled: no", "not entitled"),
        ("no_data", "no rows", "unknown"),
    ],
)
def test_what_a_source_said_of_a_ticker_is_told(bench: Workbench, tmp_path: Path, status: str, reason: str, state: str) -> None:
    answered(bench, tmp_path, "polygon_api", STOCK_MINUTE, THU, minutes("AAA", THU, 2), ["AAA", "BBB"])
    tried(bench, THU, status, reason, "polygon_api", symbol="BBB", dataset="stock_minute")
    tried(bench, THU, "failed", "Unreachable: no", "polygon_api", symbol="CCC", dataset="stock_minute")

    [row] = of(bench, ["BBB"], start=THU, end=THU)

    assert (row["state"], row["reason"], row["source"]) == (state, f"polygon_api: {reason}", "polygon_api")


def test_tickers_must_be_named(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="no tickers"):
        of(bench, [])


# ---------------------------------------------------------------------- minutes


def within(bench: Workbench, ticker: str = "AAA", day: date = THU, table: str = "stock_minute") -> Report:
    return gaps_minutes.minutes(bench.lake, bench.sql, bench.snapshots(), table, ticker, day)


def spans(found: Report) -> list[tuple[str, str, int, str, str]]:
    return [(f"{row['first']:%H:%M}", f"{row['last']:%H:%M}", row["minutes"], row["part"], row["state"]) for row in found]


def sold(nth: int, conditions: str, *, correction: object = 0, size: object = 10, price: object = 10.5) -> str:
    """A trade of AAA, so many seconds after 04:00."""
    stamp = STOCK_TRADES.session_ns(THU)[0] + 4 * 3_600_000_000_000 + nth * 1_000_000_000
    return f'AAA,"{conditions}",{correction},4,71{nth},{stamp - 1000},{price},{nth},{stamp},{size},1,202,{stamp}'


def test_trades_tell_a_missing_minute_from_one_without_an_eligible_trade(bench: Workbench, vendor: Path) -> None:
    at = 6 * 3600
    lines = [
        sold(0, "12"),  # 04:00, which has a bar
        sold(60, "12"),  # Form T outside of regular hours: eligible
        sold(120, "12,37"),  # an odd lot
        sold(180, "", correction=7),  # cancelled
        sold(240, "", size=0),
        sold(300, "", price=0),
        sold(at, ""),  # 10:00
        sold(at + 60, "12"),  # Form T within regular hours
        sold(at + 120, "10"),  # sets high and low, but not open and close
        sold(at + 180, "14", correction=12),
        sold(at + 240, "900"),  # unheard of: neutral
    ]
    put(vendor, STOCK_TRADES, THU, text(lines, TRADE))
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 1)))
    refresh(bench, vendor)

    found = within(bench)

    assert spans(found) == [
        ("04:01", "04:01", 1, "pre", "missing"),
        ("04:02", "09:29", 328, "pre", "no eligible trade"),
        ("09:30", "09:59", 30, "regular", "no eligible trade"),
        ("10:00", "10:00", 1, "regular", "missing"),
        ("10:01", "10:01", 1, "regular", "no eligible trade"),
        ("10:02", "10:02", 1, "regular", "unknown"),
        ("10:03", "10:04", 2, "regular", "missing"),
        ("10:05", "15:59", 355, "regular", "no eligible trade"),
        ("16:00", "19:59", 240, "post", "no eligible trade"),
    ]
    assert (found[6]["trades"], found[6]["shares"]) == (2, 20)
    assert found.facts["problems"] == 4
    assert found.title.startswith("AAA 2024-03-07: 1 of 960 minutes have a bar; 4 missing, ")


def test_the_lake_s_own_conditions_are_asked_first(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, THU, text([sold(60, "10"), sold(120, "14"), sold(180, "37")], TRADE))
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 1)))
    refresh(bench, vendor)
    common = {"asset_class": "stocks", "data_type": "trade", "type": "sale_condition"}
    rules: list[dict[str, Any]] = [
        {**common, "id": 10, "updates_high_low": True, "updates_open_close": True},
        {**common, "id": 14, "updates_high_low": False, "updates_open_close": False},
        {**common, "id": 37, "updates_high_low": None, "updates_open_close": None},
        {**common, "id": 10, "data_type": "quote", "updates_high_low": False, "updates_open_close": False},
    ]
    update(bench.lake, Gathered("conditions", "api:v3/reference/conditions", rules), "polygon_api")

    assert [row[0] for row in spans(within(bench)) if row[4] == "missing"] == ["04:01", "04:03"]


@pytest.mark.parametrize(
    ("volume", "trades", "state", "reason"),
    [
        (200, 10, "no eligible trade", "the minutes sum up to the day bar"),
        (250, 13, "missing or ineligible", "the day bar has 50 shares in 3 trades more than the minutes"),
        (200, 11, "missing or ineligible", "the day bar has 0 shares in 1 trade more than the minutes"),
        (150, 8, "unknown", "the minutes have 50 shares more than the day bar"),
    ],
)
def test_without_trades_the_day_bar_decides(bench: Workbench, vendor: Path, volume: int, trades: int, state: str, reason: str) -> None:
    put(vendor, STOCK_DAY, THU, text([bar("AAA", volume=volume, trades=trades)]))
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 2)))
    refresh(bench, vendor)

    found = within(bench)

    assert found.facts["states"] == {state: 958}
    assert {row["reason"] for row in found} == {reason}
    assert found.facts["problems"] == 0


def test_a_ticker_that_the_trades_lack_is_told_by_its_day_bar(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, THU, text([sold(0, "")], TRADE))
    put(vendor, STOCK_DAY, THU, text([bar("BBB")]))
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 1)))
    refresh(bench, vendor)

    assert within(bench, "BBB").facts["states"] == {"missing or ineligible": 960}
    assert within(bench, "CCC").facts["states"] == {"no eligible trade": 960}


@pytest.mark.shared
@pytest.mark.skipif(not REAL.is_dir(), reason="the real flat files are not beside the project")
def test_no_minute_of_a_real_session_is_called_missing_for_want_of_an_eligible_trade(bench: Workbench, vendor: Path) -> None:
    day = date(2013, 10, 7)
    for table in (STOCK_MINUTE, STOCK_TRADES):
        name = table.key_of(table.feeds[0], day)
        (vendor / name).parent.mkdir(parents=True)
        (vendor / name).symlink_to(REAL / name)
    refresh(bench, vendor)

    found = {ticker: within(bench, ticker, day).facts["states"] for ticker in ("IBM", "BAC", "AIG")}

    assert found == {"IBM": {"no eligible trade": 507}, "BAC": {"no eligible trade": 365}, "AIG": {"unknown": 527}}


def test_with_neither_trades_nor_a_day_bar_nothing_tells(bench: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_MINUTE, THU, text(minutes("AAA", THU, 2)))
    refresh(bench, vendor)

    assert within(bench).facts["states"] == {"unknown": 958}
    assert within(bench, "BBB").facts["states"] == {"unknown": 960}


def test_an_early_close_has_fewer_minutes(bench: Workbench, vendor: Path) -> None:
    day = date(2023, 11, 24)
    put(vendor, STOCK_MINUTE, day, text(minutes("AAA", day, 1)))
    refresh(bench, vendor)

    assert [row[:4] for row in spans(within(bench, day=day))] == [
        ("04:01", "09:29", 329, "pre"),
        ("09:30", "12:59", 210, "regular"),
        ("13:00", "16:59", 240, "post"),
    ]


def test_minutes_that_cannot_be_asked_for(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="does not hold minutes"):
        within(bench, table="stock_day")
    with pytest.raises(UsageError, match="Good Friday"):
        within(bench, day=date(2024, 3, 29))
    found = within(bench)
    assert (len(found), found.facts["notes"]) == (0, ["The whole session is not fetched: no source was asked for it yet."])


# ---------------------------------------------------------------------- the whole market


def market(bench: Workbench, table: str = "stock_minute", start: date | None = None, end: date | None = None) -> Report:
    return gaps_market.market(bench.lake, bench.snapshots(), table, start, end)


def test_the_whole_market_names_tickers_with_day_bars_and_no_minutes(traded: Workbench) -> None:
    found = market(traded)

    assert found.to_dicts() == [{"ticker": "HOLE", "missing": 2, "sessions": 4, "share": 0.5, "first": WED, "last": THU, "volume": 200.0}]
    assert found.title == (
        "stock_minute: 2 of 9 ticker-sessions (22.22%) with a bar in stock_day have no rows; 4 sessions from 2024-03-05 to 2024-03-08"
    )
    assert [row["missing"] for row in market(traded, start=THU, end=FRI)] == [1]
    assert len(market(traded, start=FRI, end=FRI)) == 0


def test_the_whole_market_is_the_same_of_cold_files(traded: Workbench) -> None:
    before = market(traded)
    for table in ("stock_minute", "stock_day"):
        traded.compact([table], everything=True)

    assert all(file.bucket is not None for file in traded.snapshots()["stock_minute"].files)
    assert (market(traded).title, market(traded).to_dicts()) == (before.title, before.to_dicts())


def test_the_whole_market_counts_only_sessions_that_both_tables_hold_whole(traded: Workbench, vendor: Path, tmp_path: Path) -> None:
    put(vendor, STOCK_DAY, MON, text([bar("FULL", MON), bar("HOLE", MON)]))
    put(vendor, STOCK_DAY, NEXT, text([bar("FULL", NEXT), bar("HOLE", NEXT), bar("ZVZZT", NEXT), bar("NONE", NEXT, volume=0)]))
    put(vendor, STOCK_MINUTE, NEXT, text([*minutes("FULL", NEXT, 1), *minutes("ONLY", NEXT, 1)]))
    refresh(traded, vendor)
    answered(traded, tmp_path, "polygon_api", STOCK_MINUTE, MON, minutes("FULL", MON, 2), ["FULL"])

    found = market(traded)

    assert [(row["ticker"], row["missing"], row["last"]) for row in found] == [("HOLE", 3, NEXT)]
    assert found.facts["notes"] == [
        "Of 1 of the sessions stock_minute holds only the tickers that were asked for; they were not looked at."
    ]


def test_the_whole_market_of_nothing_and_what_cannot_be_asked_for(bench: Workbench, vendor: Path) -> None:
    assert market(bench).facts["notes"] == [
        "stock_minute holds nothing; there is nothing to compare.",
        "stock_day holds nothing; there is nothing to compare.",
    ]
    with pytest.raises(UsageError, match="no day bars sum stock_day up"):
        market(bench, "stock_day")
    with pytest.raises(BadRange, match="Turn the two dates round"):
        market(bench, start=FRI, end=THU)
    put(vendor, STOCK_DAY, THU, text([bar("AAA")]))
    put(vendor, STOCK_MINUTE, FRI, text(minutes("AAA", FRI, 1)))
    refresh(bench, vendor)
    with pytest.raises(BadRange, match="no session in common"):
        market(bench)


def test_trades_have_gaps_too(traded: Workbench, vendor: Path) -> None:
    put(vendor, STOCK_TRADES, THU, text([trade("FULL", THU, 1)], TRADE))
    refresh(traded, vendor)

    assert [(row["ticker"], row["missing"]) for row in market(traded, "stock_trades")] == [("HOLE", 1)]
