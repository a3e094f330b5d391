"""The key index: after whatever was written, folded and reopened, it says what the rows say that a reader sees."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from journaled import NUMBERED, TICKS, Row, delete, key_of, put, puts, seen

from workbench.lake import keys
from workbench.lake.fold import fold
from workbench.lake.operations import Operations, Write, key_text
from workbench.lake.records import RecordTable
from workbench.tables.platforms import RECORDS

START = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)
EVERY = (TICKS.key, ("n",))


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (TICKS, NUMBERED):
        monkeypatch.setitem(RECORDS, one.full, one)


def tick(n: int) -> dict[str, Any]:
    return {"symbol": f'S"{n % 3}', "at": START + timedelta(seconds=n), "n": n if n % 4 else None, "price": Decimal(1), "tags": None}


def of(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    return [key_text([row[name] for name in columns]) for row in rows if all(row[name] is not None for name in columns)]


def told(write: Write, columns: Sequence[str]) -> set[str]:
    """All that an index holds, and not what it is asked for alone."""
    keys.known(write, TICKS, columns, [])
    found = keys.existing(write, TICKS, columns)
    assert found
    return {key for (key,) in write.con.execute(f"SELECT key FROM keys_{found[0]}")}


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_the_rows_say(tmp_path: Path, seed: int) -> None:
    rng, journal = random.Random(seed), Operations(tmp_path)
    model: dict[str | None, Row] = {}
    fresh = 0
    for step in range(40):
        if rng.random() < 0.2:
            journal.close()
            journal = Operations(tmp_path)
        with journal.writing() as write:
            for _ in range(rng.randrange(1, 4)):
                what = rng.random()
                some = rng.sample(list(model.values()), min(len(model), 3))
                if what < 0.5:
                    row, fresh = tick(fresh), fresh + 1
                    put(write, TICKS, row)
                    model[key_of(TICKS, row)] = row
                    for columns in EVERY:
                        keys.admit(write, TICKS, columns, of(columns, [row]))
                elif what < 0.7:
                    for one in some:
                        delete(write, TICKS, one)
                        del model[key_of(TICKS, one)]
                    for columns in EVERY:
                        keys.retire(write, TICKS, columns, of(columns, some))
                elif what < 0.85:
                    rows = [tick(fresh + n) for n in range(10)]
                    fresh += 10
                    puts(write, TICKS, rows)
                    model |= {key_of(TICKS, row): row for row in rows}
                    keys.drop(write, TICKS)
                elif what < 0.9:
                    write.add(TICKS.full, "clear")
                    model = {}
                    keys.drop(write, TICKS)
            for columns in EVERY if rng.random() < 0.5 else ():
                assert told(write, columns) == set(of(columns, list(model.values()))), step
        if rng.random() < 0.3:
            fold(tmp_path, TICKS)
    assert seen(tmp_path, TICKS) == sorted(model.values(), key=repr)
    with journal.writing() as write:
        for columns in EVERY:
            here, there = of(columns, list(model.values())), of(columns, [tick(fresh + 1), tick(fresh + 2)])
            assert keys.known(write, TICKS, columns, [*here, *there]) == set(here)
            assert told(write, columns) == set(here)


def test_a_transaction_that_is_rolled_back_takes_its_keys_with_it(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        keys.known(write, NUMBERED, ("id",), [])
    with pytest.raises(ZeroDivisionError), journal.writing() as write:
        keys.admit(write, NUMBERED, ("id",), ["[1]"])
        assert keys.known(write, NUMBERED, ("id",), ["[1]"]) == {"[1]"}
        _ = 1 / 0
    with journal.writing() as write:
        assert keys.known(write, NUMBERED, ("id",), ["[1]"]) == set()


def test_more_keys_than_one_statement_takes(tmp_path: Path) -> None:
    with Operations(tmp_path).writing() as write:
        keys.known(write, NUMBERED, ("id",), [])
        keys.admit(write, NUMBERED, ("id",), [f"[{n}]" for n in range(0, 4000, 2)])
        assert len(keys.known(write, NUMBERED, ("id",), (f"[{n}]" for n in range(4000)))) == 2000


def test_a_fold_leaves_it_and_anybody_elses_commit_has_it_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, built = Operations(tmp_path), list[int]()
    inner = keys.build

    def build(*given: Any) -> int:
        built.append(1)
        return inner(*given)

    monkeypatch.setattr(keys, "build", build)

    def ids() -> set[str]:
        with journal.writing() as write:
            return keys.known(write, NUMBERED, ("id",), ["[1]", "[2]", "[3]"])

    with journal.writing() as write:
        assert keys.known(write, NUMBERED, ("id",), ["[1]"]) == set()
        put(write, NUMBERED, {"id": 1, "x": "a"})
        keys.admit(write, NUMBERED, ("id",), ["[1]"])
    fold(tmp_path, NUMBERED)
    assert ids() == {"[1]"}
    assert len(built) == 1
    folder = RecordTable(tmp_path, NUMBERED).folder
    write_deltalake(folder, pa.table({"id": pa.array([2], pa.int64()), "x": ["b"]}), mode="append")
    assert ids() == {"[1]", "[2]"}
    DeltaTable(folder).delete("id = 1")
    assert ids() == {"[2]"}
    assert len(built) == 3


def test_a_journal_from_a_backup_does_not_trust_what_it_did_not_see(tmp_path: Path) -> None:
    journal = Operations(tmp_path)
    with journal.writing() as write:
        assert keys.known(write, NUMBERED, ("id",), ["[1]"]) == set()
    journal.close()
    backup = journal.path.read_bytes()
    with journal.writing() as write:
        put(write, NUMBERED, {"id": 1, "x": "a"})
        keys.admit(write, NUMBERED, ("id",), ["[1]"])
    fold(tmp_path, NUMBERED)
    journal.close()
    journal.path.write_bytes(backup)
    with journal.writing() as write:
        assert keys.known(write, NUMBERED, ("id",), ["[1]", "[2]"]) == {"[1]"}
        put(write, NUMBERED, {"id": 2, "x": "b"})
    assert [row["id"] for row in seen(tmp_path, NUMBERED)] == [1, 2], "its numbers go on above what is folded"


@pytest.mark.parametrize(
    "values",
    [
        [1, -(2**63), 2**63 - 1],
        ["a", "", "é𝄞", "null"],
        ['"', "\\", "a\nb", "\x00", "\x1f", "\x7f"],
        [START, START.replace(microsecond=5), datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
        [datetime(7, 1, 1, tzinfo=UTC)],
        [date(2024, 3, 7), date(7, 1, 1)],
        [Decimal("1.50"), Decimal("0.0"), Decimal("-1E+3")],
        [1.5, -0.0, 1e300],
        [True, False],
    ],
)
def test_texts_of_whole_columns_are_those_of_single_keys(values: list[Any]) -> None:
    kind = pa.timestamp("us", "UTC") if isinstance(values[0], datetime) else None
    column = pa.array(values, kind)
    assert keys.texts(pa.table({"k": column})) == [key_text([one]) for one in values]
    both = pa.table({"k": column, "n": pa.array(range(len(values)), pa.int64())})
    assert keys.texts(both) == [key_text([one, n]) for n, one in enumerate(values)]
