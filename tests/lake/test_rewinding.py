"""Back to how tables were: what goes, what comes, what is refused, and what a crash in between leaves."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import FRI, MON, STOCK_DAY, STOCK_TRADES, THU, TRADE, bar, put, text, trade

import workbench
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, LakeError, UnknownName, UsageError
from workbench.lake import retention, rewinding
from workbench.lake.fold import folded
from workbench.lake.records import RecordTable
from workbench.lake.vacuum import vacuum
from workbench.policies import Age, Retention

FEEDS, SIGNALS = "kraken_bot.rss_feeds", "kraken_bot.signals"


def landing(home: Path) -> None:
    """Two sessions of day bars, one of trades; then a bad load: Friday published again, and Monday."""
    folder = home / "vendor"
    put(folder, STOCK_DAY, THU, text([bar("AAA"), bar("BBB")]))
    put(folder, STOCK_DAY, FRI, text([bar("AAA", FRI)]))
    put(folder, STOCK_TRADES, THU, text([trade("AAA", THU, n) for n in range(20)], TRADE))
    bench = Workbench(Settings.load(env={}, data=str(home / "lake")))
    fill(bench, folder)
    (home / "good").write_text(now().isoformat())
    put(folder, STOCK_DAY, FRI, text([bar("AAA", FRI, close="1"), bar("ZZZ", FRI)]))
    put(folder, STOCK_DAY, MON, text([bar("AAA", MON)]))
    fill(bench, folder)
    bench.close()


def now() -> datetime:
    """The present instant, with whatever was committed before it, by the clock of milliseconds that commits have, in its past."""
    time.sleep(0.003)
    at = datetime.now(UTC)
    time.sleep(0.003)
    return at


def fill(bench: Workbench, vendor: Path, *tables: str) -> dict[str, int]:
    """Refresh; gives how many files landed of each table."""
    run = bench.refresh(source=f"folder:{vendor}", datasets=list(tables) or None).run()
    return {row["table"]: row["landed"] + row["replaced"] for row in run.rows}


@pytest.fixture
def bench(tmp_path: Path, made_once: Callable[..., None]) -> Iterator[Workbench]:
    made_once(landing, tmp_path)
    with Workbench(Settings.load(env={}, data=str(tmp_path / "lake"))) as made:
        yield made


@pytest.fixture
def good(tmp_path: Path, bench: Workbench) -> datetime:
    """The instant between the good load and the bad one."""
    return datetime.fromisoformat((tmp_path / "good").read_text())


GOOD = [("AAA", THU), ("AAA", FRI), ("BBB", THU)]
BAD = [("AAA", THU), ("AAA", FRI), ("AAA", MON), ("BBB", THU), ("ZZZ", FRI)]


def days(bench: Workbench) -> list[tuple[Any, ...]]:
    return bench.sql("SELECT ticker, date FROM stock_day ORDER BY ALL").fetchall()


def closes(bench: Workbench) -> list[Any]:
    return [row[0] for row in bench.sql("SELECT close FROM stock_day WHERE ticker = 'AAA' AND date = $day", day=FRI).fetchall()]


def faults(bench: Workbench) -> list[dict[str, object]]:
    return [row for row in bench.verify().rows if row["severity"] == "fault"]


# ---------------------------------------------------------------------- tables that sources fill


def test_a_dry_run_says_what_would_go_and_come_and_changes_nothing(bench: Workbench, good: datetime) -> None:
    before = sorted(bench.lake.root.rglob("*"))
    said = bench.rewind("stock_day", as_of=good, dry_run=True)
    [row] = said.rows
    assert (row["rows"], row["rows_then"], row["sessions_gone"], row["sessions_back"]) == (5, 3, 2, 1)
    assert (row["files_out"], row["files_in"], row["first"], row["last"], row["reason"]) == (2, 1, FRI, MON, "")
    assert "nothing was changed" in said.title
    assert sorted(bench.lake.root.rglob("*")) == before


def test_a_bad_load_is_undone_and_a_refresh_lands_what_the_source_has(bench: Workbench, good: datetime, tmp_path: Path) -> None:
    assert days(bench) == BAD
    assert closes(bench) == [1.0]
    before, files = bench.lake["stock_day"].snapshot().version, set(bench.lake.root.rglob("*.parquet"))
    bench.rewind("stock_day", as_of=good)

    assert bench.lake["stock_day"].snapshot().version == before + 1
    assert days(bench) == GOOD
    assert closes(bench) != [1.0]
    assert files <= set(bench.lake.root.rglob("*.parquet"))
    assert faults(bench) == []
    # The bad load counts as never landed.
    put(tmp_path / "vendor", STOCK_DAY, FRI, text([bar("AAA", FRI, close="2")]))
    assert fill(bench, tmp_path / "vendor", "stock_day") == {"stock_day": 2}
    assert days(bench) == [*GOOD[:2], ("AAA", MON), GOOD[2]]
    assert closes(bench) == [2.0]
    assert faults(bench) == []
    assert fill(bench, tmp_path / "vendor", "stock_day") == {}


def test_it_can_be_taken_back_itself(bench: Workbench, good: datetime, tmp_path: Path) -> None:
    version = bench.lake["stock_day"].snapshot().version
    bench.rewind("stock_day", as_of=good)
    bench.rewind("stock_day", version=version)
    assert days(bench) == BAD
    assert faults(bench) == []
    assert fill(bench, tmp_path / "vendor", "stock_day") == {}
    assert [row["what"] for row in bench.history("stock_day", 2)] == [f"rewound to {version}", f"rewound to {version - 1}"]
    # Compacted since, it goes back to hot files all the same.
    bench.compact(["stock_day"], everything=True)
    bench.rewind("stock_day", version=version)
    assert days(bench) == BAD
    assert faults(bench) == []


def test_all_tables_go_back_together_and_what_stands_so_already_is_left_alone(bench: Workbench, good: datetime) -> None:
    trades = bench.lake["stock_trades"].snapshot().version
    done = bench.rewind(as_of=good)
    assert "stock_day" in {row["table"] for row in done}
    assert bench.lake["stock_trades"].snapshot().version == trades
    again = bench.rewind(as_of=good)
    assert again.rows == []
    assert "nothing to do" in again.title


def test_what_was_reset_comes_back(bench: Workbench, tmp_path: Path) -> None:
    at = now()
    bench.reset("stock_day")
    bench.rewind("stock_day", as_of=at)
    assert days(bench) == BAD
    assert faults(bench) == []
    assert fill(bench, tmp_path / "vendor", "stock_day") == {}


def test_a_table_that_was_not_there_yet_is_emptied(bench: Workbench) -> None:
    names = ["stock_day", "stock_trades"]
    earliest = min(bench.lake[name].commits()[0].at for name in names)
    latest = max(bench.lake[name].commits()[0].at for name in names)
    middle = earliest + (latest - earliest) / 2
    assert bench.rewind(names, as_of=middle).rows
    assert bench.sql("SELECT count(*) FROM stock_day").fetchall() == [(0,)]
    assert bench.sql("SELECT count(*) FROM stock_trades").fetchall() == [(0,)]
    assert faults(bench) == []


@pytest.mark.parametrize(
    ("asked", "kind", "why"),
    [
        ({"as_of": "2020-01-01"}, BadRange, "had no commit by 2020-01-01.*nothing was changed. Give a later instant: the first was at 20"),
        ({"as_of": "2999-01-01"}, BadRange, "is to come; nothing was changed"),
        ({"version": 99}, UsageError, "has the versions 0 to 2, and no 99; nothing was changed"),
        ({"version": -1}, UsageError, "and no -1"),
        ({}, UsageError, "give either an instant or a version"),
        ({"as_of": "2026-01-01", "version": 1}, UsageError, "give either"),
        ({"as_of": "last Tuesday"}, BadRange, "is not an instant"),
        ({"tables": "stock_dya", "version": 1}, UnknownName, "stock_day"),
        ({"tables": "option_day", "version": 1}, UsageError, "holds no rows of its own"),
        ({"tables": ["stock_day", "stock_trades"], "version": 1}, UsageError, "is one table's, and 2 were named"),
    ],
)
def test_what_cannot_be_asked_is_refused(bench: Workbench, asked: dict[str, Any], kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        bench.rewind(**{"tables": "stock_day"} | asked)
    assert days(bench) == BAD


def test_a_version_whose_files_vacuum_removed_is_refused_by_name(bench: Workbench, good: datetime) -> None:
    vacuum(bench.lake, timedelta(0), dry_run=False)
    first = bench.lake["stock_day"].commits()[-1].at.isoformat(timespec="milliseconds")
    [row] = bench.rewind("stock_day", as_of=good, dry_run=True).rows
    assert f"removed by vacuum since; it goes back to {first.replace('+00:00', '')}" in row["reason"].replace("+00:00", "")
    with pytest.raises(LakeError, match=r"nothing was changed. stock_day: 1 of the 2 files"):
        bench.rewind(as_of=good)
    assert days(bench) == BAD


def test_killed_between_tables_it_goes_on_under_the_same_id(bench: Workbench, good: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(FEEDS, {"url": "u", "name": "n"})

    def killed(*_: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rewinding, "written_back", killed)
        bench.rewind(as_of=good)
    first = bench.lake["stock_day"].commits()[-1].rewound
    assert first
    assert first.tables == ("stock_day", FEEDS)
    done = bench.rewind(as_of=good)
    assert done.facts["rewind"] == first.id
    assert [row["table"] for row in done] == [FEEDS]
    assert days(bench) == GOOD
    assert bench.sql(f"SELECT count(*) FROM {FEEDS}").fetchall() == [(0,)]
    assert faults(bench) == []


def test_rows_that_retention_archived_stand_neither_twice_nor_nowhere(bench: Workbench, tmp_path: Path) -> None:
    at = now()
    for one in retention.plan(bench.lake, {"stock_day": Retention(Age(1, "week"), "archive")}):
        retention.retire(bench.lake, one)
    held = "SELECT count(*) FROM ohlcv_archive"
    assert (days(bench), bench.sql(held).fetchall()) == ([], [(5,)])
    version = bench.lake["stock_day"].snapshot().version
    [row] = bench.rewind("stock_day", as_of=at, dry_run=True).rows
    assert "Take ohlcv_archive back with it" in row["reason"]
    with pytest.raises(LakeError, match=r"nothing was changed.*stand twice, or nowhere"):
        bench.rewind("stock_day", version=version - 1)
    archive = bench.lake["ohlcv_archive"].snapshot().version
    with pytest.raises(LakeError, match=r"it holds what was archived of stock_day.*Take stock_day back with it"):
        bench.rewind("ohlcv_archive", version=archive - 1)
    bench.rewind(["ohlcv_archive", "stock_day"], as_of=bench.lake["stock_day"].commits()[version - 1].at)
    assert days(bench) == BAD
    assert bench.sql(held).fetchall() == [(0,)]
    assert faults(bench) == []
    assert fill(bench, tmp_path / "vendor", "stock_day") == {}


# ---------------------------------------------------------------------- tables that people write


def urls(bench: Workbench) -> list[str]:
    return [row[0] for row in bench.sql(f"SELECT url FROM {FEEDS} ORDER BY url").fetchall()]


def test_rows_that_people_wrote_go_back_and_come_again(bench: Workbench) -> None:
    bench.append(FEEDS, [{"url": f"u{n}", "name": "A"} for n in range(3)])
    bench.fold()
    at = now()
    bench.append(FEEDS, {"url": "u9", "name": "A"})
    bench.upsert(FEEDS, {"url": "u1", "name": "bad"})
    bench.delete(FEEDS, "url = 'u0'")
    assert urls(bench) == ["u1", "u2", "u9"]
    assert bench.rewind(FEEDS, as_of=at).rows[0]["rows_then"] == 3
    assert urls(bench) == ["u0", "u1", "u2"]
    assert bench.sql(f"SELECT DISTINCT name FROM {FEEDS}").fetchall() == [("A",)]
    # What was in the journal is in the history, and comes again.
    whats = [(row["version"], row["what"]) for row in bench.history(FEEDS)]
    assert whats[0][1].startswith("rewound to")
    bench.rewind(FEEDS, version=whats[1][0])
    assert urls(bench) == ["u1", "u2", "u9"]
    assert faults(bench) == []


def test_keys_and_numbers_are_right_afterwards(bench: Workbench) -> None:
    from workbench.errors import BrokenRule
    from workbench.tables.platforms import RECORDS

    signal = dict(RECORDS[SIGNALS].example)
    signal.pop("id", None)
    bench.append(FEEDS, {"url": "old", "name": "A"})
    bench.append(SIGNALS, [signal] * 2)
    bench.fold()
    at = now()
    bench.append(SIGNALS, [signal] * 3)
    bench.append(FEEDS, {"url": "new", "name": "A"})
    bench.delete(FEEDS, "url = 'old'")
    bench.rewind([FEEDS, SIGNALS], as_of=at)
    # A number that was ever given is not given again: somebody may have noted it.
    bench.append(SIGNALS, signal)
    assert [row[0] for row in bench.sql(f"SELECT id FROM {SIGNALS} ORDER BY id").fetchall()] == [1, 2, 6]
    # Taken again, and free again.
    with pytest.raises(BrokenRule):
        bench.append(FEEDS, {"url": "old", "name": "A"})
    bench.append(FEEDS, {"url": "new", "name": "A"})
    assert urls(bench) == ["new", "old"]
    bench.fold()
    assert urls(bench) == ["new", "old"]
    assert faults(bench) == []


def test_a_row_written_meanwhile_is_not_laid_over_the_older_version_wrongly(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(FEEDS, {"url": "a", "name": "A"})
    bench.fold()
    at = now()
    bench.delete(FEEDS, "url = 'a'")
    other = workbench.open(bench.lake.root)
    wrote = list[int]()

    def meanwhile(*given: Any) -> Any:
        done = folded(*given)
        if not wrote:
            # Between the fold and the commit: its key is free for now.
            wrote.append(other.append(FEEDS, {"url": "a", "name": "again"}))
        return done

    monkeypatch.setattr(rewinding, "folded", meanwhile)
    bench.rewind(FEEDS, as_of=at)
    assert wrote == [1]
    assert urls(bench) == ["a"]
    bench.fold()
    assert bench.sql(f"SELECT url, name FROM {FEEDS}").fetchall() == [("a", "A")]
    assert faults(bench) == []
    other.close()


def test_what_was_never_folded_goes_too(bench: Workbench) -> None:
    at = now()
    bench.append(FEEDS, {"url": "a", "name": "A"})
    assert not RecordTable(bench.lake.root, bench.records()[FEEDS]).exists
    with pytest.raises(BadRange, match=f"{FEEDS} had no commit by"):
        bench.rewind(FEEDS, as_of=at)
    bench.rewind(as_of=at)
    assert urls(bench) == []
    bench.rewind(FEEDS, version=1)
    assert urls(bench) == ["a"]


# ---------------------------------------------------------------------- opened as of then


def test_opened_as_of_an_instant_it_shows_what_going_back_to_it_leaves(bench: Workbench, good: datetime) -> None:
    with workbench.open(bench.lake.root, as_of=good) as then:
        assert days(then) == GOOD
        bench.rewind(as_of=good)
        assert days(then) == days(bench) == GOOD
    at = now()
    bench.append(FEEDS, {"url": "early", "name": "A"})
    middle = now()
    bench.fold()
    bench.append(FEEDS, {"url": "late", "name": "A"})
    folded_by = now()
    # Rows that people write are of the past from their fold on: those that only the journal held then are in no version of then.
    for instant, there in ((at, []), (middle, []), (folded_by, ["early"])):
        with workbench.open(bench.lake.root, as_of=instant) as then:
            assert urls(then) == there
            assert days(then) == GOOD
    bench.rewind(FEEDS, as_of=folded_by)
    assert urls(bench) == ["early"]
    # Before and after going back alike.
    with workbench.open(bench.lake.root, as_of=folded_by) as then:
        assert urls(then) == ["early"]


def test_as_of_before_the_first_commit_is_refused(bench: Workbench) -> None:
    with pytest.raises(BadRange, match=r"had no commit by 2001-01-01 .*nothing was opened. Give a later instant"):
        workbench.open(bench.lake.root, as_of="2001-01-01")
