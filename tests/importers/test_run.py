"""Imports driven: what comes in, what is told, and how one ends that does not go well."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from origins import Fake, holding, signal, trade

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError, SourceError, UnknownName, Unreachable, UsageError
from workbench.importers import marks, urls
from workbench.importers.origin import Reject
from workbench.importers.run import Import
from workbench.importers.summary import Step, Summary

URL = "postgresql://ada:s3cret@host/bot"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as made:
        yield made


@pytest.fixture
def begin(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begins an import of a made-up database."""

    def begun(origin: Fake, **chosen: Any) -> Import:
        monkeypatch.setattr(urls, "opened", lambda *_args, **_chosen: origin)
        return bench.import_from("postgres", URL, **chosen)

    return begun


def rows(bench: Workbench, query: str) -> list[Any]:
    found = bench.sql(query).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]


def counted(summary: Summary, table: str) -> dict[str, int]:
    [row] = [row for row in summary.rows if row["table"] == table]
    return {name: row[name] for name in ("read", "new", "changed", "unchanged", "rejected") if row[name]}


# ---------------------------------------------------------------------- what comes in


def test_all_comes_in_once_and_is_accounted_for(bench: Workbench, begin: Any) -> None:
    origin = Fake({"trades": [trade(n, n) for n in range(1, 8)], "signals": [signal(n) for n in range(1, 8)]})
    steps: list[Step] = []
    summary = begin(origin).run(steps.append)
    assert [row["becomes"] for row in summary.rows] == ["kraken_bot.signals", "kraken_bot.trades"], "what is referred to comes first"
    assert counted(summary, "signals") == counted(summary, "trades") == {"read": 7, "new": 7}
    assert [one.read for one in steps if one.theirs == "signals"] == [3, 3, 1]
    assert all(one.even and one.of == 7 for one in steps)
    assert (summary.exit_status, summary.problems) == (0, [])
    assert rows(bench, "SELECT id FROM kraken_bot.trades ORDER BY id") == list(range(1, 8))
    assert rows(bench, "SELECT DISTINCT loaded_from FROM kraken_bot.trades") == ["fake:bot"]
    assert origin.closed == 1
    again = begin(origin).run()
    assert counted(again, "signals") == {"read": 7, "unchanged": 7}
    assert again.exit_status == 0
    assert rows(bench, "SELECT count(*) FROM kraken_bot.trades") == [7]


def test_the_second_run_reads_only_what_is_new(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 2_501)]}, batch=1_000)
    begin(origin).run()
    origin.held["signals"] += [signal(n) for n in range(2_501, 2_504)]
    summary = begin(origin).run()
    assert origin.asked[-1].since == ("id", 1_500)
    assert counted(summary, "signals") == {"read": 1_004, "new": 3, "unchanged": 1_001}
    assert rows(bench, "SELECT count(*), max(id) FROM kraken_bot.signals") == [(2_503, 2_503)]
    whole = begin(origin, full=True).run()
    assert counted(whole, "signals") == {"read": 2_503, "unchanged": 2_503}


def test_the_source_wins_and_what_did_not_come_stays(bench: Workbench, begin: Any) -> None:
    bench.lake.make()
    bench.append("kraken_bot.holdings", [{**holding("BTC"), "value": 1, "test_reason": "mine"}])
    begin(Fake({"holdings": [{"symbol": "BTC", "amount": "7", "updated_at": NOON}]})).run()
    assert rows(bench, "SELECT amount::VARCHAR, value::VARCHAR, test_reason FROM kraken_bot.holdings") == [
        ("7.00000000", "1.00000000", "mine")
    ]


def test_what_changed_is_read_again_by_when_it_changed(begin: Any) -> None:
    origin = Fake({"holdings": [holding(f"A{n}", updated_at=NOON + timedelta(minutes=n)) for n in range(200)]}, batch=50)
    begin(origin).run()
    origin.held["holdings"][0] |= {"amount": 9, "updated_at": NOON + timedelta(hours=4)}
    summary = begin(origin).run()
    assert origin.asked[-1].since == ("updated_at", NOON + timedelta(minutes=199 - 60))
    assert counted(summary, "holdings") == {"read": 62, "changed": 1, "unchanged": 61}


def test_a_table_that_was_made_anew_is_read_whole(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 3_001)]}, batch=1_000)
    begin(origin).run()
    origin.held["signals"] = [signal(n, symbol="ETHUSD") for n in range(1, 11)]
    summary = begin(origin).run()
    assert counted(summary, "signals") == {"read": 10, "changed": 10}
    assert summary.notes == ["signals: the greatest id there is below 3,000, up to which it was read before, so all of it was read."]
    begin(origin).run()
    assert origin.asked[-1].since == ("id", 10 - 1_000)


def test_a_position_that_rows_lack_tells_nothing(begin: Any) -> None:
    bars = [
        {"symbol": "A", "timestamp": NOON + timedelta(minutes=n)}
        | dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
        | {"timeframe": "1m", "source": "x", "updated_at": None if n == 4 else NOON}
        for n in range(6)
    ]
    origin = Fake({"ohlcv": bars})
    summary = begin(origin).run()
    assert summary.notes == ["ohlcv is compared whole each time: updated_at does not tell what is new, rows lack it."]
    begin(origin).run()
    assert origin.asked[-1].since is None


def test_without_a_key_equal_rows_stay_and_a_second_run_adds_none(bench: Workbench, begin: Any) -> None:
    quote = {"sym": "A", "bid": 1.0, "ask": 2.0, "bsize": 1.0, "asize": 1.0}
    times = [0, 0, 1, 1, 1, 1, 1, 2, 3, 3]
    origin = Fake({"historical.quote": [{"time": NOON + timedelta(seconds=n), **quote} for n in times]}, batch=3, sorts=())
    summary = begin(origin).run()
    assert counted(summary, "historical.quote") == {"read": 10, "new": 10}
    assert all(asked.order == "time" for asked in origin.asked)
    again = begin(origin).run()
    assert counted(again, "historical.quote") == {"read": 10, "unchanged": 10}
    origin.held["historical.quote"].append({"time": NOON + timedelta(seconds=3), **quote})
    more = begin(origin).run()
    assert counted(more, "historical.quote") == {"read": 11, "new": 1, "unchanged": 10}
    assert rows(bench, "SELECT count(*) FROM imported.historical_quote") == [11]


def test_without_a_key_or_a_time_the_table_is_compared_as_one(bench: Workbench, begin: Any) -> None:
    bench.lake.make()
    bench.create_table("derived.notes", {"text": "VARCHAR"})
    origin = Fake({"derived.notes": [{"text": text} for text in "abacab"]}, batch=2)
    assert counted(begin(origin).run(), "derived.notes") == {"read": 6, "new": 6}
    assert counted(begin(origin).run(), "derived.notes") == {"read": 6, "unchanged": 6}


def test_rows_that_are_not_in_the_order_that_they_need_are_told(begin: Any) -> None:
    quote = {"sym": "A", "bid": 1.0, "ask": 2.0, "bsize": 1.0, "asize": 1.0}
    # As text, the second stands before the first.
    times = ["2026-01-05T09:00:00Z", "2026-01-05T10:00:00+05:00", "2026-01-05T11:00:00Z"]
    origin = Fake({"historical.quote": [{"time": time, **quote} for time in times]}, batch=1)
    summary = begin(origin).run()
    assert "did not come in the order of time" in summary.problems[0]
    assert summary.exit_status in (1, 3)


# ---------------------------------------------------------------------- what does not


def test_rows_that_cannot_go_in_are_told_with_their_reasons(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 6)], "trades": [trade(n, n) for n in range(1, 6)]})
    origin.held["signals"][1]["price"] = "much"
    origin.held["signals"][4]["final_signal"] = "WAIT"
    origin.odd["signals"] = [Reject("signals at byte 77", "it is no JSON", {"text": "{"})]
    summary = begin(origin).run()
    assert counted(summary, "signals") == {"read": 6, "new": 3, "rejected": 3}
    assert counted(summary, "trades") == {"read": 5, "new": 3, "rejected": 2}
    assert summary.exit_status == 3
    path = summary.rejects["kraken_bot.signals"]
    assert path.parent == bench.lake.root / "rejects" and path.name == f"{summary.facts['run']}-kraken_bot.signals.jsonl"
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["where"] for one in told] == ["signals at byte 77", "signals row 1", "signals row 4"]
    assert "price" in told[1]["reason"] and "much" in told[1]["reason"] and told[1]["row"]["price"] == "much"
    assert "final_signal" in told[2]["reason"] and told[2]["row"]["id"] == 5
    [why] = [one for one in summary.problems if one.startswith("trades")]
    assert "2 rows rejected, first trades row 1: signal_id 2 is not in kraken_bot.signals (id)" in why and "--full reads them again" in why
    assert rows(bench, "SELECT id FROM kraken_bot.signals ORDER BY id") == [1, 3, 4]


def test_a_table_that_fails_is_told_and_the_rest_goes_on(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 10)], "holdings": [holding("BTC")], "alembic_version": [{"version_num": "1"}]})

    def fails(table: str, number: int) -> None:
        if table == "signals" and number == 2:
            raise SourceError("signals is damaged from its 7th row on; the rest was not read.")

    origin.fails = fails
    summary = begin(origin).run()
    assert counted(summary, "signals") == {"read": 6, "new": 6}
    assert counted(summary, "holdings") == {"read": 1, "new": 1}
    assert summary.exit_status == 3
    assert summary.problems == [
        "alembic_version: no documented table is called alembic_version; nothing of it was imported. "
        "--map alembic_version=schema.table says which it is",
        "signals: signals is damaged from its 7th row on; the rest was not read.",
    ]


def test_an_origin_that_dies_leaves_what_is_in_and_the_same_import_goes_on(bench: Workbench, begin: Any) -> None:
    origin = Fake({"holdings": [holding("BTC")], "signals": [signal(n) for n in range(1, 2_001)], "trades": [trade(1, 1)]}, batch=500)

    def dies(table: str, number: int) -> None:
        if table == "signals" and number == 3:
            raise Unreachable(f"{URL} went away; what is in stays.")

    origin.fails = dies
    summary = begin(origin).run()
    assert counted(summary, "signals") == {"read": 1_500, "new": 1_500}
    assert summary.exit_status == 1
    assert summary.problems == [
        "trades was not read: the database went away",
        "signals: postgresql://ada:***@host/bot went away; what is in stays.",
    ]
    assert "s3cret" not in summary.to_json()
    origin.fails = lambda *_: None
    summary = begin(origin).run()
    assert origin.asked[-2].since == ("id", 500), "it goes on from there, less what may have been committed late"
    assert counted(summary, "signals") == {"read": 1_501, "new": 500, "unchanged": 1_001}
    assert counted(summary, "trades") == {"read": 1, "new": 1}
    assert summary.exit_status == 0


def test_where_rows_have_no_order_the_position_moves_at_the_end_only(begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in (9, 1, 5, 2)]}, batch=1, sorts=())

    def dies(table: str, number: int) -> None:
        if number == 2:
            raise SourceError("enough")

    origin.fails = dies
    assert begin(origin).run().exit_status == 1
    origin.fails = lambda *_: None
    summary = begin(origin).run()
    assert origin.asked[-1].since is None
    assert counted(summary, "signals") == {"read": 4, "new": 2, "unchanged": 2}
    begin(origin).run()
    assert origin.asked[-1].since == ("id", 9 - 1_000)


def test_a_lake_that_takes_no_rows_ends_it(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise LakeError("the disk is full; nothing was written.")

    monkeypatch.setattr("workbench.importers.arriving.arrive", full)
    summary = begin(Fake({"signals": [signal(1)], "trades": [trade(1)]})).run()
    assert summary.exit_status == 1
    assert summary.problems == ["trades was not read: the lake takes no rows", "signals: the disk is full; nothing was written."]


def test_what_nobody_expected_tells_no_password(begin: Any) -> None:
    origin = Fake({"signals": [signal(1)]})

    def fails(_table: str, _number: int) -> None:
        raise RuntimeError(f"cannot do {URL}")

    origin.fails = fails
    summary = begin(origin).run()
    assert summary.problems == ["signals: unexpected RuntimeError: cannot do postgresql://ada:***@host/bot"]
    assert summary.exit_status == 1


def test_a_step_that_loses_rows_is_a_fault_of_ours() -> None:
    summary = Summary("x", [Step("a", "b.a", "landed", read=3, new=2)], 1.0)
    assert summary.exit_status == 1
    assert summary.problems == ["a: of 3 rows read only 2 are accounted for; this is a fault of the workbench"]


# ---------------------------------------------------------------------- the thread


def test_reading_goes_ahead_in_one_thread_but_not_far(begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 31)]}, batch=1)
    ahead = []
    for count, _ in enumerate(begin(origin), 1):
        ahead.append(origin.read - count)
    assert max(ahead) <= 3, "what is read and not taken in is bounded"
    assert len(origin.threads) == 1 and threading.get_ident() not in origin.threads


def test_whoever_leaves_early_leaves_nothing_behind(begin: Any) -> None:
    before = {one for one in threading.enumerate() if one.name == "import"}
    origin = Fake({"signals": [signal(n) for n in range(1, 100)]}, batch=1)
    run = begin(origin)
    steps = iter(run)
    next(steps)
    steps.close()
    run.close()
    run.close()
    assert (origin.left, origin.closed) == (1, 1)
    assert {one for one in threading.enumerate() if one.name == "import"} == before


def test_stop_ends_between_two_batches(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 100)], "trades": [trade(1)]}, batch=2)
    run = begin(origin)
    summary = run.run(lambda step: run.stop() if step.read else None)
    assert run.stopped and summary.stopped
    assert counted(summary, "signals") == {"read": 2, "new": 2}
    assert rows(bench, "SELECT count(*) FROM kraken_bot.signals") == [2]
    assert origin.closed == 1


def test_stop_wakes_whoever_waits_for_a_server(begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 9)]}, batch=2)
    answers, waits = threading.Event(), threading.Event()

    def hangs(_table: str, number: int) -> None:
        if number == 2:
            waits.set()
            answers.wait(60)

    origin.fails = hangs
    run = begin(origin)
    threading.Thread(target=lambda: waits.wait(60) and run.stop()).start()
    try:
        summary = run.run()
    finally:
        answers.set()
    assert summary.stopped and counted(summary, "signals")["read"] <= 4


def test_it_runs_once(begin: Any) -> None:
    run = begin(Fake({"signals": [signal(1)]}))
    assert "which has not run: iterate it for its steps, or call .run()" in repr(run)
    assert "s3cret" not in repr(run)
    run.run()
    assert "1 rows read" in repr(run)
    with pytest.raises(UsageError, match="this import has run; nothing more was imported"):
        run.run()


# ---------------------------------------------------------------------- before it


def test_the_plan_tells_all_and_writes_nothing(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) | {"mood": "x"} for n in range(1, 6)], "odd": [{"x": 1}]})
    origin.kinds = {"id": "BIGINT", "test_mode": "INTEGER"}
    origin.held["signals"][2]["price"] = "much"
    with begin(origin) as run:
        plan = run.plan
        assert not bench.lake.root.exists()
        [table, odd] = plan.tables
        assert (table.doing, table.position, table.match.identity) == ("read whole", "id", ("id",))
        assert (table.sample.count, table.sample.rejected) == (5, 1)
        assert table.sample.rejects[0].startswith("signals row 2: price: ") and "much" in table.sample.rejects[0]
        told = {row["their column"] or row["our column"]: row["what happens"] for row in table.columns}
        assert told["id"] == told["symbol"] == "as it is"
        assert (told["test_mode"], told["mood"], told["test_reason"], told["created_at"]) == ("cast", "left out", "NULL", "default now()")
        assert told["loaded_from"] == "says fake:bot"
        assert odd.doing == "not imported"
        assert plan.problems == [odd.match.fault]
        shown = repr(plan)
        assert "signals → kraken_bot.signals" in shown and "of the first 5 rows 1 would be rejected for what it holds:" in shown
        # What was looked at comes in all the same.
        assert counted(run.run(), "signals") == {"read": 5, "new": 4, "rejected": 1}


def test_the_plan_of_a_second_import_says_from_where_it_goes_on(begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 6)], "ohlcv": []})
    begin(origin, tables="signals").run()
    with begin(origin, tables=["signals"]) as run:
        [table] = run.plan.tables
    assert table.doing == "what is new since id 5"


def test_a_sample_is_held_against_the_rules_that_a_row_breaks_by_itself(begin: Any) -> None:
    origin = Fake({"signals": [signal(1), signal(2, final_signal="WAIT"), signal(3)], "trades": [trade(1, 77)]})
    with begin(origin) as run:
        [signals, trades] = run.plan.tables
    assert signals.sample.rejected == 1
    assert signals.sample.rejects[0].startswith("signals row 1: final_signal IN ('BUY', 'SELL', 'HOLD') is not so")
    assert trades.sample.rejected == 0, "what it refers to may come before it"


def test_a_sample_that_cannot_be_read_is_told(begin: Any) -> None:
    origin = Fake({"signals": [signal(1)]})

    def fails(_table: str, _number: int) -> None:
        raise SourceError("signals is damaged.")

    origin.fails = fails
    with begin(origin) as run:
        assert run.plan.problems == ["signals: signals is damaged."]


def test_what_was_imported_is_told(bench: Workbench, begin: Any) -> None:
    assert bench.imports().title.endswith("nothing was imported yet")
    begin(Fake({"signals": [signal(n) for n in range(1, 6)], "bot_status": [{"key": "a", "value": "1"}]})).run()
    told = {row["table"]: row for row in bench.imports()}
    assert (told["signals"]["source"], told["signals"]["becomes"], told["signals"]["up to"]) == ("fake:bot", "kraken_bot.signals", "id 5")
    assert told["signals"]["rows brought"] == 5
    assert told["bot_status"]["up to"] == "compared whole" and told["bot_status"]["rows brought"] == 1


def test_what_cannot_be_asked_is_refused_and_the_database_let_go(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(1)]})
    for chosen, kind in (
        ({"platform": "nosuch"}, UnknownName),
        ({"tables": ["nosuch"]}, UnknownName),
        ({"maps": ["nosuch=a.b"]}, UnknownName),
    ):
        with pytest.raises(kind):
            begin(origin, **chosen)
    assert origin.closed == 3
    with pytest.raises(UsageError, match="no time zone is called 'Mars'"):
        begin(origin, timezone="Mars")
    with pytest.raises(UsageError, match="fake:bot holds no tables; nothing was imported"):
        begin(Fake({}))
    with pytest.raises(UnknownName, match="there is no kind of database 'oracle'"):
        bench.import_from("oracle", "x")
    assert not bench.lake.root.exists()
    bench.lake.make()
    bench.append("kraken_bot.holdings", [holding("BTC")])
    from workbench import bench as benches

    bench.fold()
    with benches.open(bench.settings, as_of=datetime.now(UTC)) as past, pytest.raises(UsageError, match="which cannot change"):
        past.import_from("sqlite", "x.db")


def test_no_table_that_fits_makes_no_lake(bench: Workbench, begin: Any) -> None:
    summary = begin(Fake({"odd": [{"x": 1}]})).run()
    assert summary.title == "import from fake:bot: nothing was imported" and summary.exit_status == 3
    assert not bench.lake.root.exists()


# ---------------------------------------------------------------------- positions


@pytest.mark.parametrize(
    ("values", "value", "since"),
    [
        ([3, 1_000_000, 2], 1_000_000, 999_000),
        ([NOON, NOON + timedelta(hours=2)], NOON + timedelta(hours=2), NOON + timedelta(hours=1)),
        ([datetime(2026, 1, 5), datetime(2026, 1, 6)], datetime(2026, 1, 6), datetime(2026, 1, 5, 23)),
        ([NOON.date()], NOON.date(), NOON.date() - timedelta(days=1)),
        (["2026-01-05 12:00:00", "2026-01-05 12:00:00.5"], "2026-01-05 12:00:00.5", "2026-01-05 11:00:00"),
        (["2026-01-05T00:30Z"], "2026-01-05T00:30Z", "2026-01-04T23:30"),
        (["2026-01-05"], "2026-01-05", "2026-01-04"),
    ],
)
def test_a_position_and_from_where_the_next_import_goes_on(values: list[Any], value: Any, since: Any) -> None:
    import pyarrow as pa

    mark = marks.Mark("x")
    mark.see(pa.array(values))
    assert (mark.value, mark.unfit) == (value, "")
    assert marks.earlier(value, time=False) == since


@pytest.mark.parametrize(
    ("epoch", "unit"), [(1_700_000_000, 1), (1_700_000_000_000, 10**3), (1_700_000_000_000_000, 10**6), (17 * 10**17, 10**9)]
)
def test_numbers_that_tell_instants_go_back_an_hour_in_their_unit(epoch: int, unit: int) -> None:
    assert marks.earlier(epoch, time=True) == epoch - 3600 * unit


@pytest.mark.parametrize(
    "values",
    [
        [1, None],
        ["abc", "abd"],
        ["2026-01-05 12:00", "2026-01-05T12:00"],
        ["2026-01-05T12:00Z", "2026-01-05T12:00+01:00"],
        [1.5, float("nan")],
        [True],
        [1, "a"],
    ],
)
def test_values_without_an_order_are_no_position(values: list[Any]) -> None:
    from origins import column

    mark = marks.Mark("x")
    mark.see(column(values))
    assert mark.unfit


def test_nanoseconds_are_positions_up_to_their_microsecond() -> None:
    import pyarrow as pa

    mark = marks.Mark("x")
    mark.see(pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")))
    assert mark.value == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)


def test_what_a_database_has_to_say_of_what_was_read_is_told_once(begin: Any) -> None:
    origin = Fake({"signals": [signal(1)]})
    origin.notes = ["it has no snapshots", "it has no snapshots"]
    assert begin(origin).run().notes == ["it has no snapshots"]


def test_a_column_that_is_made_of_others_is_left_out_silently(begin: Any) -> None:
    origin = Fake({"signals": [{**signal(1), "day+hour": None, "mood": "x"}]})
    held = origin.tables
    origin.tables = lambda: [  # type: ignore[method-assign]
        replace(one, columns=tuple(replace(its, made=its.name == "day+hour") for its in one.columns)) for one in held()
    ]
    [match] = begin(origin).matches
    assert match.left_out == ("mood",)


def test_what_is_asked_of_an_import_that_is_over_is_told_and_not_waited_for(bench: Workbench, begin: Any) -> None:
    over = begin(Fake({"signals": [signal(1)]}))
    over.run()
    with pytest.raises(UsageError, match="this import is over"):
        over.plan  # noqa: B018
    closed = begin(Fake({"signals": [signal(2)]}))
    closed.close()
    with pytest.raises(UsageError, match="this import is over"):
        closed.run()
    assert rows(bench, "SELECT id FROM kraken_bot.signals") == [1]


def test_what_refers_to_a_table_that_failed_waits_for_it(bench: Workbench, begin: Any) -> None:
    origin = Fake({"signals": [signal(n) for n in range(1, 5)], "trades": [trade(n) for n in range(1, 5)]})

    def fails(table: str, number: int) -> None:
        if table == "signals":
            raise SourceError("signals is damaged; nothing more of it was read.")

    origin.fails = fails
    summary = begin(origin).run()
    assert [(row["table"], row["outcome"], row["rejected"]) for row in summary.rows] == [
        ("signals", "failed", 0),
        ("trades", "not imported", 0),
    ]
    assert "trades was not read: its rows refer to kraken_bot.signals, which failed" in summary.problems
    origin.fails = lambda _table, _number: None
    assert counted(begin(origin).run(), "trades") == {"read": 4, "new": 4}
