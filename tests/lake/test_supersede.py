"""Several sources of one session: who gives way, what stays, what is told; hot, cold and ticks; and what a crash leaves."""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from flatfiles import BAR, FRI, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, THU, TRADE, bar, minutes, put, text, trade

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import tiering
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed
from workbench.lake.store import Outcome
from workbench.lake.verify import verify
from workbench.refresh.batch import Batch
from workbench.refresh.plan import Step
from workbench.sources import FlatFile
from workbench.tables import Table, locate
from workbench.tables.answers import key_of

ORIGIN = {"polygon_api": "api", "yahoo": "yahoo"}


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    made = Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))
    made.lake.make()
    return made


class Hands:
    """Lands what it is given, as a refresh does."""

    def __init__(self, bench: Workbench, folder: Path):
        self.bench, self.folder = bench, folder

    def landed(self, source: str, table: Table, day: date, lines: Sequence[str], tickers: Sequence[str] = ()) -> tuple[Step, Landed]:
        header = TRADE if table is STOCK_TRADES else BAR
        key = key_of(ORIGIN[source], table.name, day, tickers) if source in ORIGIN else table.key_of(table.feeds[0], day)
        path = put(self.folder / source, table, day, text(lines, header))
        etag = hashlib.sha256(path.read_bytes()).hexdigest()
        home = self.bench.lake[table.name]
        held = home.landings().get(key)
        bounds = home.snapshot().bounds
        if table.routed and bounds is None:
            bounds = home.set_bounds(())
        file = FlatFile(key, etag, path.stat().st_size)
        made = land_or_refuse(Job(path, file, source, self.bench.lake.root, bounds, held, asked=tuple(tickers)))
        assert isinstance(made, Landed), made
        return Step(table.name, day, "land", "", key, file=file, held=held, source=source), made

    def __call__(self, *args: object, **more: object) -> Outcome:
        step, made = self.landed(*args, **more)  # type: ignore[arg-type]
        batch = Batch(self.bench.lake)
        batch.add(step, made, 0, 0.0)
        [done] = batch.finish()
        return done.outcome  # type: ignore[return-value]


@pytest.fixture
def land(bench: Workbench, tmp_path: Path) -> Hands:
    return Hands(bench, tmp_path / "vendor")


def rows(bench: Workbench, table: str = "stock_day") -> list[tuple[object, ...]]:
    return bench.sql(f"SELECT ticker, close, source FROM {table} ORDER BY ALL").fetchall()


def disagreements(bench: Workbench) -> list[tuple[object, ...]]:
    return bench.sql('SELECT ticker, "column", value, source, other_value, other_source FROM disagreements ORDER BY ALL').fetchall()


def sound(bench: Workbench) -> bool:
    found = [one for one in verify(bench.lake).findings if one.severity == "fault"]
    assert not found, found
    return True


def test_a_flat_file_takes_the_place_of_the_apis_rows(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=10.4), bar("BBB"), bar("ZZZ")], ("AAA", "BBB", "ZZZ"))
    assert land("polygon_s3", STOCK_DAY, THU, [bar("AAA", close=10.5), bar("BBB"), bar("CCC")]) == "landed"

    assert rows(bench) == [
        ("AAA", 10.5, "polygon_s3"),
        ("BBB", 10.5, "polygon_s3"),
        ("CCC", 10.5, "polygon_s3"),
        ("ZZZ", 10.5, "polygon_api"),
    ]
    assert disagreements(bench) == [("AAA", "close", 10.5, "polygon_s3", 10.4, "polygon_api")]
    assert sound(bench)
    gone = bench.lake["stock_day"].landings()[key_of("api", "stock_day", THU, ("AAA", "BBB", "ZZZ"))]
    assert (gone.retired, gone.held, gone.rows) == ("superseded", 0, 3)


def test_a_weaker_source_adds_only_what_the_better_one_lacks(bench: Workbench, land: Hands) -> None:
    land("polygon_s3", STOCK_DAY, THU, [bar("AAA"), bar("CCC")])
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=10.1), bar("BBB")], ("AAA", "BBB"))
    land("yahoo", STOCK_DAY, THU, [bar("AAA", close=10.2), bar("BBB", close=10.3), bar("DDD")], ("AAA", "BBB", "DDD"))

    assert rows(bench) == [
        ("AAA", 10.5, "polygon_s3"),
        ("BBB", 10.5, "polygon_api"),
        ("CCC", 10.5, "polygon_s3"),
        ("DDD", 10.5, "yahoo"),
    ]
    assert [(one[0], one[4], one[5]) for one in disagreements(bench)] == [
        ("AAA", 10.1, "polygon_api"),
        ("AAA", 10.2, "yahoo"),
        ("BBB", 10.3, "yahoo"),
    ]
    kept = [one for one in bench.lake["stock_day"].landings().values() if one.source == "yahoo"]
    assert [(one.rows_in, one.rows, one.superseded) for one in kept] == [(3, 1, 2)]
    assert sound(bench)


def test_all_three_in_either_order_end_the_same(bench: Workbench, land: Hands, tmp_path: Path) -> None:
    other = Workbench(Settings.load(env={}, data=str(tmp_path / "other")))
    other.lake.make()
    hands = Hands(other, tmp_path / "other-vendor")
    given = {
        "polygon_s3": ([bar("AAA"), bar("BBB", close=11)], ()),
        "polygon_api": ([bar("AAA", close=10.1), bar("CCC")], ("AAA", "CCC")),
        "yahoo": ([bar("BBB"), bar("CCC", close=9.9), bar("DDD")], ("BBB", "CCC", "DDD")),
    }
    for source in given:
        land(source, STOCK_DAY, THU, *given[source])
    for source in reversed(given):
        hands(source, STOCK_DAY, THU, *given[source])

    assert rows(bench) == rows(other)
    assert len(rows(bench)) == 4
    assert sound(bench)
    assert sound(other)


def test_asking_again_replaces_the_tickers_asked_and_no_others(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_MINUTE, THU, [*minutes("AAA", THU, 3), *minutes("BBB", THU, 2)], ("AAA", "BBB"))
    land("polygon_api", STOCK_MINUTE, THU, minutes("AAA", THU, 2), ("AAA",))

    assert bench.sql("SELECT ticker, count(*) FROM stock_minute GROUP BY 1 ORDER BY 1").fetchall() == [("AAA", 2), ("BBB", 2)]
    assert disagreements(bench) == [], "a source that corrects itself does not disagree with another"
    assert sound(bench)


def test_the_same_answer_twice_changes_nothing(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_DAY, THU, [bar("AAA")], ("AAA",))
    version = bench.lake["stock_day"].snapshot().version
    assert land("polygon_api", STOCK_DAY, THU, [bar("AAA")], ("AAA",)) == "already landed"
    assert bench.lake["stock_day"].snapshot().version == version


def test_a_superseded_answer_that_comes_again_changes_nothing(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=10.4)], ("AAA",))
    land("polygon_s3", STOCK_DAY, THU, [bar("AAA")])
    assert land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=10.4)], ("AAA",)) == "already landed"
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=10.3)], ("AAA",))
    assert rows(bench) == [("AAA", 10.5, "polygon_s3")]
    assert sound(bench)


def test_rows_leave_cold_files_too(bench: Workbench, land: Hands) -> None:
    for day in (THU, FRI):
        land("polygon_api", STOCK_DAY, day, [bar("AAA", day, close=10.4), bar("ZZZ", day)], ("AAA", "ZZZ"))
    [unit] = tiering.due(bench.lake["stock_day"], everything=True)
    tiering.compact(bench.lake["stock_day"], unit)
    assert all(file.bucket for file in bench.lake["stock_day"].snapshot().files)

    assert land("polygon_s3", STOCK_DAY, THU, [bar("AAA", THU)]) == "landed"

    assert bench.sql("SELECT date, ticker, close, source FROM stock_day ORDER BY ALL").fetchall() == [
        (THU, "AAA", 10.5, "polygon_s3"),
        (THU, "ZZZ", 10.5, "polygon_api"),
        (FRI, "AAA", 10.4, "polygon_api"),
        (FRI, "ZZZ", 10.5, "polygon_api"),
    ]
    assert sound(bench)


def test_a_weaker_source_beside_cold_rows_of_a_better_one(bench: Workbench, land: Hands) -> None:
    land("polygon_s3", STOCK_DAY, THU, [bar("AAA")])
    [unit] = tiering.due(bench.lake["stock_day"], everything=True)
    tiering.compact(bench.lake["stock_day"], unit)
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1), bar("BBB")], ("AAA", "BBB"))
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1), bar("BBB", close=2)], ("AAA", "BBB"))

    assert rows(bench) == [("AAA", 10.5, "polygon_s3"), ("BBB", 2.0, "polygon_api")]
    assert sound(bench)


def test_a_better_file_published_again_keeps_what_it_lacks(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_DAY, THU, [bar("AAA"), bar("ZZZ")], ("AAA", "ZZZ"))
    land("polygon_s3", STOCK_DAY, THU, [bar("AAA", close=10.1)])
    assert land("polygon_s3", STOCK_DAY, THU, [bar("AAA", close=10.2)]) == "replaced"
    assert rows(bench) == [("AAA", 10.2, "polygon_s3"), ("ZZZ", 10.5, "polygon_api")]
    assert land("polygon_s3", STOCK_DAY, THU, [bar("AAA", close=10.2), bar("ZZZ", close=10.3)]) == "replaced"
    assert rows(bench) == [("AAA", 10.2, "polygon_s3"), ("ZZZ", 10.3, "polygon_s3")]
    assert sound(bench)


def test_ticks_give_way_by_ticker_time_and_sequence(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_TRADES, THU, [trade("IBM", THU, n) for n in range(3)], ("IBM",))
    land("polygon_s3", STOCK_TRADES, THU, [trade("BAC", THU, 1), *(trade("IBM", THU, n, price=10.6) for n in range(2))])

    found = bench.sql("SELECT ticker, sequence_number, price, source FROM stock_trades ORDER BY ALL").fetchall()
    assert found == [
        ("BAC", 1, 10.5, "polygon_s3"),
        ("IBM", 0, 10.6, "polygon_s3"),
        ("IBM", 1, 10.6, "polygon_s3"),
        ("IBM", 2, 10.5, "polygon_api"),
    ]
    assert len(disagreements(bench)) == 2
    assert sound(bench)


def test_what_lands_meanwhile_is_not_overlooked(bench: Workbench, land: Hands) -> None:
    """A weaker answer that another process commits between settling and committing has the file land at the next refresh."""
    from workbench.lake import supersede

    home = bench.lake["stock_day"]
    _, made = land.landed("polygon_s3", STOCK_DAY, THU, [bar("AAA")])
    settled = supersede.settle(bench.lake, home, [made])
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1)], ("AAA",))

    assert home.commit(settled) == ["overtaken"]
    assert rows(bench) == [("AAA", 1.0, "polygon_api")]
    assert land("polygon_s3", STOCK_DAY, THU, [bar("AAA")]) == "landed"
    assert rows(bench) == [("AAA", 10.5, "polygon_s3")]
    assert sound(bench)


def test_what_lands_in_a_cold_chunk_meanwhile_is_overtaken_and_no_fault(bench: Workbench, land: Hands) -> None:
    from workbench.lake import supersede

    for day in (THU, FRI):
        land("polygon_api", STOCK_DAY, day, [bar("AAA", day, close=1), bar("ZZZ", day)], ("AAA", "ZZZ"))
    home = bench.lake["stock_day"]
    [unit] = tiering.due(home, everything=True)
    tiering.compact(home, unit)
    _, made = land.landed("polygon_s3", STOCK_DAY, THU, [bar("AAA")])
    settled = supersede.settle(bench.lake, home, [made])
    land("polygon_s3", STOCK_DAY, THU, [bar("AAA", close=10.4), bar("BBB")])

    assert tiering.commit_cold(home, unit.chunk, settled) == ["overtaken"]
    assert land("polygon_s3", STOCK_DAY, THU, [bar("AAA")]) == "replaced"
    assert rows(bench) == [
        ("AAA", 1.0, "polygon_api"),
        ("AAA", 10.5, "polygon_s3"),
        ("ZZZ", 10.5, "polygon_api"),
        ("ZZZ", 10.5, "polygon_api"),
    ]
    assert sound(bench)


def test_a_weaker_row_that_was_folded_into_a_wider_chunk_meanwhile_is_overtaken_and_no_fault(bench: Workbench, land: Hands) -> None:
    from workbench.lake import supersede

    home, early, folded = bench.lake["stock_minute"], date(2024, 6, 20), date(2024, 11, 20)
    for day in (THU, FRI):
        land("polygon_api", STOCK_MINUTE, day, minutes("AAA", day, 3), ("AAA",))
    [unit] = tiering.due(home, early)
    tiering.compact(home, unit)
    _, made = land.landed("polygon_s3", STOCK_MINUTE, THU, minutes("AAA", THU, 2))
    settled = supersede.settle(bench.lake, home, [made])
    for wide in tiering.due(home, folded):
        tiering.compact(home, wide)

    assert {file.chunk for file in home.snapshot().files} != {unit.chunk}
    assert tiering.commit_cold(home, unit.chunk, settled) == ["overtaken"]
    assert land("polygon_s3", STOCK_MINUTE, THU, minutes("AAA", THU, 2)) == "landed"
    assert bench.sql("SELECT date, source, count(*) FROM stock_minute GROUP BY ALL ORDER BY ALL").fetchall() == [
        (THU, "polygon_api", 1),
        (THU, "polygon_s3", 2),
        (FRI, "polygon_api", 3),
    ]
    assert sound(bench)


def test_disagreements_are_written_once_however_often_a_crash_repeats_them(bench: Workbench, land: Hands) -> None:
    from workbench.lake import supersede

    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1)], ("AAA",))
    home = bench.lake["stock_day"]
    for _ in range(2):
        _, made = land.landed("polygon_s3", STOCK_DAY, THU, [bar("AAA")])
        supersede.settle(bench.lake, home, [made])
    assert len(disagreements(bench)) == 1
    assert rows(bench) == [("AAA", 1.0, "polygon_api")], "nothing was committed"


def test_a_difference_is_written_once_in_whatever_company_it_is_found(bench: Workbench, land: Hands) -> None:
    """A run that was killed had settled two sessions together; the next one settles them one by one, or a longer answer comes."""
    from workbench.lake import supersede

    home, made = bench.lake["stock_day"], []
    for day in (THU, FRI):
        land("polygon_api", STOCK_DAY, day, [bar("AAA", day, close=1)], ("AAA",))
        made.append(land.landed("polygon_s3", STOCK_DAY, day, [bar("AAA", day)])[1])
    supersede.settle(bench.lake, home, made)
    for day in (THU, FRI):
        assert land("polygon_s3", STOCK_DAY, day, [bar("AAA", day), bar("BBB", day)]) == "landed"
    for n in range(2):
        land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1), bar("BBB"), *(bar(f"C{m}") for m in range(n))], ("AAA", "BBB", "C0"))

    assert disagreements(bench) == [("AAA", "close", 10.5, "polygon_s3", 1.0, "polygon_api")] * 2
    assert bench.sql("SELECT date FROM disagreements ORDER BY 1").fetchall() == [(THU,), (FRI,)]
    assert sound(bench)


def test_differences_that_were_reset_are_found_again(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1)], ("AAA",))
    land("polygon_s3", STOCK_DAY, THU, [bar("AAA")])
    bench.reset("disagreements")
    land("polygon_api", STOCK_DAY, THU, [bar("AAA", close=1), bar("BBB")], ("AAA", "BBB"))

    assert disagreements(bench) == [("AAA", "close", 10.5, "polygon_s3", 1.0, "polygon_api")]
    assert sound(bench)


def test_many_sessions_at_once(bench: Workbench, land: Hands) -> None:
    days = [THU + timedelta(days=7 * n) for n in range(5)]
    for day in days:
        land("polygon_api", STOCK_DAY, day, [bar("AAA", day, close=1), bar("ZZZ", day)], ("AAA", "ZZZ"))
    batch = Batch(bench.lake)
    for day in days:
        step, made = land.landed("polygon_s3", STOCK_DAY, day, [bar("AAA", day)])
        batch.add(step, made, 0, 0.0)
    assert [done.outcome for done in batch.finish()] == ["landed"] * 5
    assert bench.sql("SELECT source, count(*) FROM stock_day GROUP BY 1 ORDER BY 1").fetchall() == [("polygon_api", 5), ("polygon_s3", 5)]
    assert sound(bench)


@pytest.mark.parametrize("table", ["stock_day", "stock_minute", "stock_trades"])
def test_keys_of_answers_tell_where_they_belong(table: str) -> None:
    for tickers in (("AAA",), tuple(f"T{n}" for n in range(99))):
        place = locate(key_of("api", table, THU, tickers))
        assert place
        assert (place[0].name, place[2]) == (table, THU)


def test_bars_come_in_order_from_two_sources_of_one_session(bench: Workbench, land: Hands) -> None:
    land("polygon_api", STOCK_MINUTE, THU, [*minutes("AAA", THU, 6), *minutes("BBB", THU, 2)], ("AAA", "BBB"))
    kept = minutes("AAA", THU, 6)
    land("polygon_s3", STOCK_MINUTE, THU, [kept[0], kept[2], kept[5]])
    land("polygon_s3", STOCK_MINUTE, FRI, minutes("AAA", FRI, 2))

    bars = bench.bars("AAA", freq="1m")
    assert bars["timestamp"].is_sorted()
    assert len(bars) == 8
    assert bench.sql("SELECT source, count(*) FROM stock_minute WHERE ticker = 'AAA' GROUP BY 1 ORDER BY 1").fetchall() == [
        ("polygon_api", 3),
        ("polygon_s3", 5),
    ]
    [unit] = tiering.due(bench.lake["stock_minute"], everything=True)
    tiering.compact(bench.lake["stock_minute"], unit)
    assert bench.bars("AAA", freq="1m").equals(bars)
    assert bench.bars(["BBB", "AAA"], freq="1m")["ticker"].to_list() == ["AAA"] * 8 + ["BBB"] * 2
    assert sound(bench)
