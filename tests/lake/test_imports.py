"""How far imports came: kept with the rows, or not at all, with the type of its value, until the table is emptied."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.imports import Position, Value, keep, kept, positions
from workbench.lake.operations import Operations

OURS = "kraken_bot.signals"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    made = Workbench(Settings(data=str(tmp_path / "lake")))
    made.lake.make()
    yield made
    made.close()


def at(value: Value, theirs: str = "signals") -> Position:
    return Position("sqlite:old.db", theirs, OURS, "id", value)


@pytest.mark.parametrize(
    "value",
    [7, -(2**62), "abc", '{"time": 1}', date(2024, 3, 7), datetime(2024, 3, 7, 12, 0, 0, 1, tzinfo=UTC), datetime(2024, 3, 7, 12)],
)
def test_a_position_keeps_its_value_and_its_type(value: Value, bench: Workbench) -> None:
    with bench.ledger.writing(OURS) as within:
        keep(within.write.con, at(value), 3)
    found = kept(bench.lake.root, "sqlite:old.db", "signals", OURS)
    assert found
    assert (found.value, type(found.value), found.column, found.rows) == (value, type(value), "id", 3)
    assert abs((datetime.now(UTC) - found.at).total_seconds()) < 600


def test_a_position_moves_and_its_rows_add_up(bench: Workbench) -> None:
    for value in (10, 20):
        with bench.ledger.writing(OURS) as within:
            keep(within.write.con, at(value), value)
            keep(within.write.con, at(1, "other"))
    told = [(one.theirs, one.value, one.rows) for one in positions(bench.lake.root)]
    assert told == [("other", 1, 0), ("signals", 20, 30)]


def test_a_position_stands_only_if_its_transaction_does(bench: Workbench) -> None:
    with pytest.raises(KeyError), bench.ledger.writing(OURS) as within:
        keep(within.write.con, at(10))
        raise KeyError
    assert positions(bench.lake.root) == []


def test_of_a_lake_that_nobody_imported_to_there_are_none(tmp_path: Path, bench: Workbench) -> None:
    assert positions(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()
    assert kept(bench.lake.root, "a", "b", "c") is None


def test_what_is_no_position_is_refused(bench: Workbench) -> None:
    with pytest.raises(TypeError, match="no position is a float"), bench.ledger.writing(OURS) as within:
        keep(within.write.con, at(1.5))  # type: ignore[arg-type]


def test_a_table_that_is_emptied_is_brought_whole_again(bench: Workbench) -> None:
    from workbench.tables.platforms import RECORDS

    bench.append(OURS, [dict(RECORDS[OURS].example)])
    with bench.ledger.writing(OURS) as within:
        keep(within.write.con, at(10))
        keep(within.write.con, Position("sqlite:old.db", "trades", "kraken_bot.trades", "id", 3))
    bench.reset_tables(OURS, dry_run=True)
    assert len(positions(bench.lake.root)) == 2
    bench.reset_tables(OURS)
    assert [one.ours for one in positions(bench.lake.root)] == ["kraken_bot.trades"]


def test_a_journal_from_before_imports_gets_their_table(bench: Workbench) -> None:
    with bench.ledger.writing(OURS):
        pass
    path = bench.ledger.operations.path
    bench.close()
    con = sqlite3.connect(path)
    con.execute("DROP TABLE imports")
    con.execute("PRAGMA user_version = 1")
    con.close()
    with Operations(bench.lake.root).writing() as write:
        keep(write.con, at(4))
    assert [one.value for one in positions(bench.lake.root)] == [4]
