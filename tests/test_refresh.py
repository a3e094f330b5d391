"""Plan and refresh: what is decided, what is refused before anything is asked, and what happens when it is stopped."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_MINUTE, THU, bar, minutes, put, text

from workbench import sessions
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, UnknownName, UsageError
from workbench.lake.quarantine import Refusal
from workbench.refresh.plan import decide
from workbench.sources import FlatFile


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    for day in (THU, FRI, MON):
        put(tmp_path / "vendor", STOCK_DAY, day, text([bar("AAA", day), bar("BBB", day)]))
    put(tmp_path / "vendor", STOCK_MINUTE, THU, text(minutes("AAA", THU, 3)))
    return tmp_path / "vendor"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))


def listed(day: date, etag: str = "e1") -> FlatFile:
    return FlatFile(STOCK_DAY.key_of(STOCK_DAY.feeds[0], day), etag, 10)


def test_deciding_is_pure() -> None:
    old = Refusal(
        key=listed(MON).key,
        etag="e1",
        size=10,
        source="folder",
        table="stock_day",
        session=MON,
        kind="EmptyFile",
        reason="it is empty",
        rows=0,
        library="",
        at="2024-03-12",
        path=Path(),
    )
    steps = decide(STOCK_DAY, [listed(THU), listed(MON)], {}, [old], [THU, FRI, MON])

    assert [(step.session, step.action) for step in steps] == [(THU, "land"), (FRI, "missing"), (MON, "refused")]
    assert decide(STOCK_DAY, [listed(MON, "e2")], {}, [old], [])[0].action == "land", "a new version is tried"
    assert decide(STOCK_DAY, [listed(MON)], {}, [old], [], again=True)[0].action == "land"


def test_planning_makes_nothing(bench: Workbench, vendor: Path) -> None:
    plan = bench.plan(source=f"folder:{vendor}")

    assert [(step.table, step.session) for step in plan] == [("stock_day", d) for d in (THU, FRI, MON)] + [("stock_minute", THU)]
    assert "4 files to land" in repr(plan)
    assert "not run yet" in repr(bench.refresh(source=f"folder:{vendor}"))
    assert not (bench.lake.root / "lake").exists()


def test_a_range_lands_its_sessions_and_no_others(bench: Workbench, vendor: Path) -> None:
    summary = bench.refresh(source=f"folder:{vendor}", start="2024-03-08", end=date(2024, 3, 11), datasets=["stock_day"]).run()

    assert sorted(one.step.session for one in summary.done) == [FRI, MON]


def test_missing_sessions_of_a_range_make_it_incomplete(bench: Workbench, vendor: Path) -> None:
    summary = bench.refresh(source=f"folder:{vendor}", start=THU, end=FRI, datasets=["stock_minute"]).run()

    assert [(one.step.session, one.outcome) for one in summary.done] == [(FRI, "missing"), (THU, "landed")]
    assert summary.exit_status == 3
    assert any("does not list it" in problem for problem in summary.problems)


def test_a_future_end_is_clipped_and_said(bench: Workbench, vendor: Path) -> None:
    plan = bench.plan(source=f"folder:{vendor}", start=THU, end=sessions.today() + timedelta(days=400), datasets=["stock_day"])
    assert "was clipped" in plan.notes[0]


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"start": "2024-03-08", "end": "2024-03-07"}, r"before it starts"),
        ({"start": "2999-01-01"}, r"in the future"),
        ({"start": "08.03.2024"}, r"not a date"),
        ({"days": 0}, r"at least one"),
        ({"days": "five"}, r"days is 'five', but it must be a count of sessions"),
        ({"days": 3, "start": "2024-03-08"}, r"both given"),
    ],
)
def test_dates_that_make_no_range_are_refused_before_a_source_is_asked(bench: Workbench, asked: dict[str, object], refusal: str) -> None:
    with pytest.raises(BadRange, match=refusal):
        bench.refresh(source="folder:/there/is/no/such/folder", **asked)  # type: ignore[arg-type]


def test_an_unknown_dataset_is_refused_before_a_source_is_asked(bench: Workbench) -> None:
    with pytest.raises(UnknownName, match="did you mean stock_day"):
        bench.plan(source="folder:/there/is/no/such/folder", datasets=["stok_day"])


def test_stopping_keeps_what_landed_and_the_next_run_takes_up_the_rest(bench: Workbench, vendor: Path) -> None:
    for done in bench.refresh(source=f"folder:{vendor}"):
        assert done.outcome == "landed"
        break

    assert bench.sql(f"SELECT count(*) > 0 FROM {done.step.table}").fetchall() == [(True,)]
    bench.refresh(source=f"folder:{vendor}").run()
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(6,)]
    assert bench.plan(source=f"folder:{vendor}") == []
    assert list((bench.lake.root / "tmp").glob("land-*")) == []


def test_made_up_prices_and_real_ones_never_meet(bench: Workbench, vendor: Path) -> None:
    bench.refresh(source=f"folder:{vendor}").run()
    with pytest.raises(UsageError, match=r"real data.*not mixed.*(rm -r|another prefix)"):
        bench.refresh(source="sample", days=1, datasets=["stock_day"]).run()
    assert bench.sql("SELECT DISTINCT source FROM stock_day").fetchall() == [("folder",)]


def test_symbols_do_not_cut_flat_files(bench: Workbench, vendor: Path) -> None:
    refresh = bench.refresh(source=f"folder:{vendor}", symbols=["AAA"])
    assert "Flat files land whole" in refresh.plan.notes[0]
    refresh.run()
    assert bench.sql("SELECT count(DISTINCT ticker) FROM stock_day").fetchall() == [(2,)]


def test_an_executor_of_ones_own_does_the_landing(bench: Workbench, vendor: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        summary = bench.refresh(source=f"folder:{vendor}", executor=executor).run()

    assert [one.outcome for one in summary.done] == ["landed"] * 4


def test_what_follows_from_closes_is_made_up_for_by_the_next_refresh_even_if_nothing_is_left_to_land(
    bench: Workbench, vendor: Path
) -> None:
    """A run that ended between the commit of new closes and the look at splits left splits as they were."""
    day = STOCK_DAY.key_of(STOCK_DAY.feeds[0], FRI)
    hidden = (vendor / day).rename(vendor / "hidden")
    split = {"ticker": "AAA", "execution_date": str(FRI), "split_from": 1, "split_to": 2}
    (vendor / "reference").mkdir()
    (vendor / "reference" / "splits.json").write_text(json.dumps([split]))
    (vendor / STOCK_DAY.key_of(STOCK_DAY.feeds[0], MON)).unlink()
    verdict = "SELECT split_part(verdict, ':', 1) FROM splits"
    bench.refresh(source=f"folder:{vendor}").run()
    assert bench.sql(verdict).fetchall() == [("no closes",)]

    hidden.rename(vendor / day)
    steps = iter(bench.refresh(source=f"folder:{vendor}", datasets=["stock_day"]))
    assert next(steps).outcome == "landed"
    steps.close()  # type: ignore[attr-defined]
    assert bench.sql(verdict).fetchall() == [("no closes",)]

    assert [one.step.table for one in bench.refresh(source=f"folder:{vendor}", datasets=["stock_day"]).run().done][:1] == ["splits"]
    assert bench.sql(verdict).fetchall() == [("disagrees",)]
    assert bench.refresh(source=f"folder:{vendor}", datasets=["stock_day"]).run().done == []
