"""Rows that people append: what is taken and as what, what is refused and why, and who sees it when."""

import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import bench as benches
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BadRange, BrokenRule, NoLake, UnknownName, UsageError
from workbench.query import documented
from workbench.query.references import There, rows_broken
from workbench.query.staging import TOLD, refusal, staged
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Check, Field, Record

SIGNALS = "kraken_bot.signals"
SIGNAL: dict[str, Any] = dict(RECORDS[SIGNALS].example)
NOON = datetime(2024, 3, 7, 17, 0, tzinfo=UTC)

# A column of every type.
EVERY = Record(
    "derived",
    "every",
    "Every type.",
    (
        Field("id", "BIGINT", "Number.", serial=True),
        Field("text", "VARCHAR", "Text.", required=False),
        Field("real", "DOUBLE", "Number.", required=False),
        Field("whole", "INTEGER", "Number.", required=False),
        Field("yes", "BOOLEAN", "Truth.", required=False),
        Field("day", "DATE", "Day.", required=False),
        Field("at", "TIMESTAMPTZ", "Time.", required=False),
        Field("money", "DECIMAL(10,4)", "Amount.", required=False),
        Field("own", "UUID", "Identity.", required=False, default="uuid()"),
        Field("body", "JSON", "Anything.", required=False),
        Field("held", "MAP(VARCHAR, DOUBLE)", "Held.", required=False),
        Field("said", "STRUCT(name VARCHAR, score DOUBLE)", "Said.", required=False),
        Field("asks", "STRUCT(price DOUBLE, size DOUBLE)[]", "Asked.", required=False),
        Field("level", "BIGINT", "Level.", default="1"),
        Field("big", "DECIMAL(38,0)", "Amount.", required=False),
    ),
    key=("id",),
    unique=(("text", "day"),),
    checks=(Check("level", "level BETWEEN 1 AND 4"), Check("order", '"real" >= "whole"')),
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(data=str(tmp_path / "lake"))) as made:
        made.lake.make()
        yield made


def decided(record: Record, rows: object, there: There | None = None, highest: int = 0) -> pa.Table:
    """Rows as they go in beside those that are there."""
    batch = staged(record, rows)
    made = batch.decided(lambda _column, _count, least: max(least, highest) + 1)
    broken = batch.broken + rows_broken(record, made, lambda _: there or There(record), batch.fresh, replaces=False)
    if broken:
        raise refusal(record, broken, batch.count)
    return made


def taken(**values: object) -> dict[str, Any]:
    """A row of every type as it would be kept."""
    [row] = decided(EVERY, values).to_pylist()
    return dict(row)


def why(rows: object, record: Record = EVERY) -> list[str]:
    """What is wrong with rows, in order."""
    with pytest.raises(BrokenRule) as told:
        decided(record, rows)
    head, *lines = str(told.value).splitlines()
    assert "nothing was written" in head
    return [line.strip() for line in lines]


# ---------------------------------------------------------------------- values


OWN = uuid.UUID("0b1f3a52-1c1e-4c39-9d53-9a3b1d6a7e01")


@pytest.mark.parametrize(
    ("column", "given", "kept"),
    [
        ("text", "Börse 株", "Börse 株"),
        ("text", "", ""),
        ("text", np.str_("a"), "a"),
        ("text", OWN, str(OWN)),
        ("real", 3, 3.0),
        ("real", 2**53, 2.0**53),
        ("real", Decimal("0.1"), 0.1),
        ("real", np.float32(0.5), 0.5),
        ("whole", 7.0, 7),
        ("whole", Decimal("7.00"), 7),
        ("whole", np.int64(-3), -3),
        ("whole", -(2**31), -(2**31)),
        ("yes", True, True),
        ("yes", 0, False),
        ("day", "2024-03-07", date(2024, 3, 7)),
        ("day", datetime(2024, 3, 7), date(2024, 3, 7)),
        ("at", NOON, NOON),
        ("at", "2024-03-07T12:00:00-05:00", NOON),
        ("at", "2024-03-07 17:00:00.000000Z", NOON),
        ("at", "2024-03-07T17:00:00.000000000Z", NOON),
        ("at", datetime(2024, 3, 7, 12, tzinfo=ZoneInfo("America/New_York")), NOON),
        ("at", datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York")), datetime(2024, 11, 3, 6, 30, tzinfo=UTC)),
        ("at", pd.Timestamp("2024-03-07T12:00:00-05:00"), NOON),
        ("money", "1.5", Decimal("1.5000")),
        ("money", 0.85, Decimal("0.8500")),
        ("money", Decimal("1.50000000"), Decimal("1.5000")),
        ("money", -999999, Decimal(-999999)),
        ("money", Decimal("0E+20"), Decimal("0.0000")),
        ("big", 10**38 - 1, Decimal(10**38 - 1)),
        ("big", Decimal("1E+37"), Decimal(10**37)),
        ("own", OWN, str(OWN)),
        ("own", str(OWN).upper(), str(OWN)),
        ("body", {"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}'),
        ("body", '{"b":2}', '{"b":2}'),
        ("body", '"text"', '"text"'),
        ("body", [1], "[1]"),
        ("body", 5, "5"),
        ("held", {"AAPL": 1, "MSFT": 0.5}, [("AAPL", 1.0), ("MSFT", 0.5)]),
        ("held", {}, []),
        ("held", {"AAPL": None}, [("AAPL", None)]),
        ("held", [("AAPL", 1)], [("AAPL", 1.0)]),
        ("said", {"name": "a"}, {"name": "a", "score": None}),
        ("asks", [{"price": 1, "size": 2.0}], [{"price": 1.0, "size": 2.0}]),
        ("asks", ({"price": 1},), [{"price": 1.0, "size": None}]),
        ("asks", [], []),
    ],
)
def test_a_value_is_taken_if_nothing_of_it_is_lost(column: str, given: object, kept: object) -> None:
    assert taken(**{column: given})[column] == kept


@pytest.mark.parametrize(
    ("column", "given", "told"),
    [
        ("text", 5, "5 is no text; give it as one"),
        ("text", "\ud800", "holds half a character"),
        ("real", "1.5", "'1.5' is no number; give it without quotes"),
        ("real", True, "True is no number"),
        ("real", float("nan"), "nan is no finite number; leave the value out where there is none"),
        ("real", float("-inf"), "-inf is no finite number"),
        ("real", np.float64("inf"), "inf is no finite number"),
        ("real", Decimal("sNaN"), "is no finite number"),
        ("real", 2**53 + 1, "9007199254740993 has more digits than a DOUBLE keeps"),
        ("real", Decimal("0.12345678901234567890"), "has more digits than a DOUBLE keeps"),
        pytest.param("real", 10**390, "has more digits than a DOUBLE keeps", id="long"),
        pytest.param("real", 10**5000, "a number of more than 400 digits", id="longer"),
        pytest.param("text", 10**5000, "<int> is no text", id="no text"),
        ("whole", 1.5, "1.5 is no whole number"),
        ("whole", Decimal("1.5"), "1.5 is no whole number"),
        ("whole", "7", "'7' is no number; give it without quotes"),
        ("whole", 2**31, "2147483648 is not between -2,147,483,648 and 2,147,483,647"),
        ("whole", Decimal("1E+999999999"), "a number of more than 400 digits"),
        ("whole", False, "False is no number"),
        ("yes", "true", "'true' is neither true nor false"),
        ("yes", 2, "2 is neither true nor false"),
        ("day", "03/07/2024", "'03/07/2024' is no date; write it as 2024-03-07"),
        ("day", datetime(2024, 3, 7, 9, 30), "is a time, not a date"),
        ("day", NOON, "is a time, not a date"),
        ("day", 20240307, "20240307 is no date"),
        (
            "at",
            datetime(2024, 3, 7, 9, 30),
            "names no zone; write 2024-03-07T09:30:00Z if it is UTC, or with its offset, as 2024-03-07T09:30:00-05:00",
        ),
        ("at", "2024-03-07T09:30:00", "names no zone; write 2024-03-07T09:30:00Z"),
        ("at", pd.Timestamp("2024-03-07T09:30"), "names no zone"),
        ("at", "2024-03-07T09:30:00.0000001Z", "is finer than the microseconds that are kept"),
        ("at", pd.Timestamp("2024-03-07T09:30:00.000000001Z"), "is finer than the microseconds that are kept"),
        ("at", date(2024, 3, 7), "is no time; give a datetime with a zone"),
        ("at", 1709802000, "1709802000 is no time"),
        ("at", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "lies outside the years 1 to 9999"),
        ("money", 0.12345, "0.12345 has more than 4 digits after the point; round it first"),
        ("money", Decimal(1000000), "1000000 has more than 6 digits before the point"),
        ("money", "1E+6", "has more than 6 digits before the point"),
        ("money", "much", "'much' is no number"),
        ("money", "NaN", "NaN is no finite number"),
        ("money", 0.1 + 0.2, "has more than 4 digits after the point"),
        ("big", Decimal("12345678901234567890123456789012345678.5"), "has more than 0 digits after the point"),
        ("big", 10**38, "has more than 38 digits before the point"),
        ("own", "abc", "'abc' is no UUID"),
        ("own", 5, "5 is no UUID"),
        ("body", "plain", "'plain' is no JSON"),
        ("body", '{"a": NaN}', "is no JSON (NaN is none of its numbers)"),
        ("body", {"a": float("nan")}, "cannot be written as JSON"),
        ("body", {"a": NOON}, "cannot be written as JSON"),
        ("held", {"AAPL": "1"}, "held: ['AAPL']: '1' is no number"),
        ("held", {5: 1.0}, "held: a key: 5 is no text"),
        ("held", {None: 1.0}, "has a key that is None"),
        ("held", [("A", 1), ("A", 2)], "has a key twice"),
        ("held", [1, 2], "[1, 2] is no mapping; give a dict"),
        ("said", {"name": "a", "scor": 1}, "said: it has no field scor; its fields are name, score"),
        ("said", "a", "'a' is no object; give a dict with name, score"),
        ("asks", {"price": 1}, "is no list"),
        ("asks", [{"price": float("nan")}], "asks: [0]: .price: nan is no finite number"),
        ("id", 0.5, "id: 0.5 is no whole number"),
    ],
)
def test_a_value_that_would_lose_something_is_refused(column: str, given: object, told: str) -> None:
    [line] = why({column: given})
    assert line.startswith(f"row 0: {column}: ")
    assert told in line


@pytest.mark.parametrize("body", ['"\\ud800"', '{"\\udc00": 1}', "[" * 100_000 + "]" * 100_000])
@pytest.mark.usefixtures("deep")
def test_json_that_duckdb_could_not_read_is_refused(body: str) -> None:
    [told] = why([{"body": body}])
    assert told.startswith("row 0: body: ")


@pytest.mark.usefixtures("deep")
def test_json_of_too_many_lists_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    [told] = why([{"body": deep}])
    assert "cannot be written as JSON" in told


def test_a_pair_of_escapes_is_one_character() -> None:
    assert taken(body='"\\ud83d\\ude00"')["body"] == '"\\ud83d\\ude00"'


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("s", "UTC"), pa.timestamp("ms", "Europe/Berlin")])
def test_times_that_python_has_not_are_refused_in_arrow(kind: pa.DataType) -> None:
    least, most = (2**62, -(2**62)) if kind.unit == "us" else (2**50, -(2**50))
    assert why(pa.table({"at": pa.array([0, least, None, most], kind)})) == [
        "row 1: at: it lies outside the years 1 to 9999",
        "row 3: at: it lies outside the years 1 to 9999",
    ]


def test_dates_that_python_has_not_are_refused_in_arrow() -> None:
    days = pa.array([0, 2**31 - 1, (date.max - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days + 1], pa.date32())
    assert [line.partition(":")[0] for line in why(pa.table({"day": days}))] == ["row 1", "row 3"]


def test_a_time_outside_of_the_years_is_not_said_to_be_missing() -> None:
    record = Record("derived", "seen", "Times.", (Field("at", "TIMESTAMPTZ", "Time."),))
    for unit in ("us", "ms"):
        assert len(why(pa.table({"at": pa.array([2**62], pa.timestamp(unit, "UTC"))}), record)) == 1


def test_texts_that_are_no_utf8_are_refused(bench: Workbench) -> None:
    lists = np.array([0, 1, 2], dtype=np.int32)
    odd = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(lists), pa.py_buffer(b"\xff\xfe")])
    with pytest.raises(UsageError, match="UTF8"):
        bench.append("kraken_bot.bot_status", pa.table({"key": odd, "value": ["1", "2"]}))


def test_a_zone_that_nobody_knows_is_told() -> None:
    with pytest.raises(UsageError, match="at of the rows for"):
        staged(EVERY, pa.table({"at": pa.array([0], pa.timestamp("ms", "Nowhere/Bogus"))}))


def test_an_index_with_the_name_of_a_column_is_told() -> None:
    with pytest.raises(UsageError, match="text twice"):
        staged(EVERY, pd.DataFrame({"text": ["a"]}, index=pd.Index([1], name="text")))


def test_everything_comes_back_as_what_it_is(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "text": "a",
        "real": 1.5,
        "whole": 1,
        "yes": True,
        "day": date(2024, 3, 7),
        "at": NOON,
        "money": Decimal("1.5000"),
        "own": OWN,
        "body": {"a": 1},
        "held": {"AAPL": 1.0},
        "said": {"name": "a", "score": 1.0},
        "asks": [{"price": 1.0, "size": 2.0}],
        "level": 4,
        "big": Decimal(10**38 - 1),
    }
    with declared(monkeypatch, EVERY), Workbench(bench.settings) as late:
        assert late.append(EVERY.full, [given, {}]) == 2
        rows = late.sql(f"FROM {EVERY.full} ORDER BY id")
        assert [str(kind) for kind in rows.types[8:10]] == ["UUID", "JSON"]
        first, second = (dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall())
        assert first == {"id": 1, **given, "body": '{"a": 1}'}
        assert {name: value for name, value in second.items() if value is not None} == {"id": 2, "own": second["own"], "level": 1}
        assert late.sql(f"SELECT body->>'a' FROM {EVERY.full} WHERE own = '{OWN}'").fetchall() == [("1",)]


@contextmanager
def declared(monkeypatch: pytest.MonkeyPatch, record: Record) -> Iterator[None]:
    """Have a record be one of the documented."""
    kept = [one for one in vars(documented).values() if hasattr(one, "cache_clear")]
    with monkeypatch.context() as patched:
        patched.setitem(RECORDS, record.full, record)
        for one in kept:
            one.cache_clear()
        yield
    for one in kept:
        one.cache_clear()


# ---------------------------------------------------------------------- rows


def frames() -> dict[str, Any]:
    row = {"text": "a", "real": 1.5, "whole": None, "at": NOON, "money": Decimal("1.50"), "held": {"AAPL": 1.0}}
    rows = [row, row | {"text": "b", "real": None, "held": {"MSFT": 2.0}}]
    con = sqlite3.connect(":memory:")
    con.row_factory = sqlite3.Row
    con.execute("CREATE TABLE t (text TEXT, real REAL, at TEXT, money TEXT)")
    con.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?)", [("a", 1.5, "2024-03-07T17:00:00Z", "1.5"), ("b", None, "2024-03-07T12:00:00-05:00", "1.50")]
    )
    return {
        "dicts": rows,
        "generator": (one for one in rows),
        "polars": pl.DataFrame(rows),
        "lazy polars": pl.LazyFrame(rows),
        "pandas": pd.DataFrame(rows),
        "pandas by a named index": pd.DataFrame(rows).set_index("text"),
        "arrow": pa.Table.from_pylist(rows),
        "a batch of Arrow's": pa.RecordBatch.from_pylist(rows),
        "a reader of Arrow's": pa.Table.from_pylist(rows).to_reader(),
        "rows of SQLite's": con.execute("SELECT * FROM t").fetchall(),
    }


@pytest.mark.parametrize("kind", frames())
def test_rows_come_in_many_kinds(kind: str) -> None:
    told = decided(EVERY, frames()[kind]).to_pylist()
    assert [(one["id"], one["text"], one["real"], one["whole"], one["level"]) for one in told] == [
        (1, "a", 1.5, None, 1),
        (2, "b", None, None, 1),
    ]
    assert {one["at"] for one in told} == {NOON}
    assert {one["money"] for one in told} == {Decimal("1.5000")}
    if "SQLite" not in kind:
        # A frame makes one struct of the dicts of all rows; what is another row's does not come in.
        assert [one["held"] for one in told] == [[("AAPL", 1.0)], [("MSFT", 2.0)]]


def test_a_relation_goes_in_as_it_is(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL, SIGNAL | {"symbol": "ETHUSD"}])
    assert bench.append(SIGNALS, bench.sql("SELECT * EXCLUDE (id) FROM kraken_bot.signals")) == 2
    rows = bench.sql("SELECT * EXCLUDE (id, symbol) FROM kraken_bot.signals").fetchall()
    assert len(rows) == 4
    assert {str(row) for row in rows} == {str(rows[0])}
    assert bench.sql("SELECT id FROM kraken_bot.signals ORDER BY id").fetchall() == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("rows", [pa.table({"real": [1.0, float("nan")]}), pl.DataFrame({"real": [1.0, float("nan")]})])
def test_nan_in_a_frame_is_no_number(rows: object) -> None:
    assert why(rows) == ["row 1: real: nan is no finite number; leave the value out where there is none"]


def test_what_pandas_calls_missing_is_null() -> None:
    frame = pd.DataFrame(
        {"real": [1.0, np.nan], "at": [pd.NaT, pd.Timestamp(NOON)], "whole": pd.array([1, None], "Int64"), "text": [pd.NA, "a"]}
    )
    told = decided(EVERY, frame).to_pylist()
    assert [(one["real"], one["at"], one["whole"], one["text"]) for one in told] == [(1.0, None, 1, None), (None, NOON, None, "a")]


def test_times_of_frames_without_a_zone_are_refused() -> None:
    for frame in (pl.DataFrame({"at": [datetime(2024, 3, 7)]}), pd.DataFrame({"at": [pd.Timestamp("2024-03-07")]})):
        [line] = why(frame)
        assert "names no zone" in line


def test_nanoseconds_of_frames_are_refused_where_they_are_finer() -> None:
    stamps = pa.array([1_709_830_800_000_000_000, 1_709_830_800_000_000_001], pa.timestamp("ns", "UTC"))
    [line] = why(pa.table({"at": stamps}))
    assert line.startswith("row 1: at:")
    assert "is finer than the microseconds" in line


@pytest.mark.parametrize("rows", ["rows", b"rows", 5, None, Path("rows.csv")])
def test_what_holds_no_rows_is_told(rows: object) -> None:
    with pytest.raises(UsageError, match=r"holds no rows for derived.every; nothing was written\. Give dicts, a Polars or Pandas frame"):
        staged(EVERY, rows)


@pytest.mark.parametrize("rows", [["rows"], [{"text": "a"}, 5], [[1, 2]], [None]])
def test_a_row_that_is_none_is_told_with_its_number(rows: list[Any]) -> None:
    with pytest.raises(UsageError, match=rf"row {len(rows) - 1} for derived.every is .*; nothing was written"):
        staged(EVERY, rows)


def test_a_column_twice_is_refused() -> None:
    several: list[Any] = [pa.table([[1], [2]], ["whole", "whole"]), pd.DataFrame([[1, 2]], columns=["whole", "whole"])]
    for rows in several:
        with pytest.raises(UsageError, match=r"the rows for derived\.every have whole twice"):
            staged(EVERY, rows)


def test_an_unknown_column_is_told_with_the_nearest(bench: Workbench) -> None:
    with pytest.raises(UnknownName, match=r"there is no column of kraken_bot.signals 'simbol'; nothing was done; did you mean symbol"):
        bench.append(SIGNALS, SIGNAL | {"simbol": "X"})
    with pytest.raises(UnknownName, match="'SYMBOL'"):
        bench.append(SIGNALS, pl.DataFrame({"SYMBOL": []}))


def test_no_rows_are_none(bench: Workbench) -> None:
    none: tuple[Any, ...] = ([], iter(()), pl.DataFrame(), pd.DataFrame({"symbol": []}), pa.table({"symbol": pa.array([], pa.string())}))
    for rows in none:
        assert bench.append(SIGNALS, rows) == 0


def test_a_generator_that_fails_writes_nothing(bench: Workbench) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield SIGNAL
        raise RuntimeError("the feed broke")

    with pytest.raises(RuntimeError, match="the feed broke"):
        bench.append(SIGNALS, rows())
    assert bench.sql("FROM kraken_bot.signals").fetchall() == []


# ---------------------------------------------------------------------- rules


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_written(bench: Workbench) -> None:
    bench.append(SIGNALS, SIGNAL)
    rows = [
        SIGNAL,
        SIGNAL | {"price": "dear", "final_signal": "HODL"},
        {name: value for name, value in SIGNAL.items() if name != "symbol"} | {"id": 1},
        SIGNAL | {"id": 7},
        SIGNAL | {"id": 7, "strategies": None},
    ]
    with pytest.raises(BrokenRule) as told:
        bench.append(SIGNALS, rows)
    assert str(told.value).splitlines() == [
        "kraken_bot.signals takes none of 5 rows, of which 3 break its rules (rows count from 0); nothing was written:",
        "  row 1: final_signal IN ('BUY', 'SELL', 'HOLD') is not so (final_signal): final_signal = HODL",
        "  row 1: price: 'dear' is no number",
        "  row 2: key (id): a row with 1 is there already",
        "  row 2: symbol is missing, and every row must have it",
        "  row 4: key (id): row 3 of the batch has 7, too",
        "  row 4: strategies is missing, and every row must have it",
    ]
    assert bench.sql("SELECT count(*) FROM kraken_bot.signals").fetchall() == [(1,)]


def test_of_many_broken_rules_the_first_are_told_and_the_rest_counted() -> None:
    lines = why([{"level": 0}] * (TOLD + 5))
    assert len(lines) == TOLD + 1
    assert lines[0] == "row 0: level BETWEEN 1 AND 4 is not so (level): level = 0"
    assert lines[-1] == "and 5 more"


def test_a_check_is_met_by_null_and_sees_the_defaults() -> None:
    assert taken(real=None, whole=5)["level"] == 1
    assert why({"real": 1.0, "whole": 2, "level": 9}) == [
        'row 0: "real" >= "whole" is not so (order): real = 1.0, whole = 2',
        "row 0: level BETWEEN 1 AND 4 is not so (level): level = 9",
    ]


def test_what_a_user_calls_as_the_checks_do_changes_no_check(bench: Workbench) -> None:
    bench.sql("CREATE MACRO uuid() AS 'mine'")
    bench.append("events.event_data", RECORDS["events.event_data"].example)
    [(own,)] = bench.sql("SELECT id FROM imported.events_event_data").fetchall()
    assert isinstance(own, uuid.UUID)


def test_null_is_like_nothing_where_values_must_be_unique(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "a"}, {"text": "a", "day": "2024-03-07"}, {"text": "b", "day": "2024-03-07"}]
    kept = decided(EVERY, rows)
    assert len(kept) == 4
    pq.write_table(kept, tmp_path / "kept.parquet")
    there = There(EVERY, (str(tmp_path / "kept.parquet"),))
    assert decided(EVERY, rows[:2], there, 4)["id"].to_pylist() == [5, 6]
    with pytest.raises(BrokenRule, match=r"row 0: unique \(text, day\): a row with b, 2024-03-07 is there already"):
        decided(EVERY, rows[3], there, 4)
    assert why([*rows, rows[2]]) == ["row 4: unique (text, day): row 2 of the batch has a, 2024-03-07, too"]


def test_a_column_that_may_be_null_is_so_where_a_row_says_it_and_else_takes_its_default() -> None:
    assert taken(own=None)["own"] is None
    first, second = decided(EVERY, [{"text": "a"}, {"text": "b"}])["own"].to_pylist()
    assert uuid.UUID(first) != uuid.UUID(second)
    # One that must not be NULL takes it either way, and so does a number.
    assert taken(level=None, id=None) | {"own": None} == taken() | {"own": None}


def test_numbers_are_counted_on_from_the_greatest_given_or_there(bench: Workbench) -> None:
    def ids() -> list[int]:
        return [row[0] for row in bench.sql("SELECT id FROM kraken_bot.signals").fetchall()]

    bench.append(SIGNALS, [SIGNAL, SIGNAL | {"id": 40}, SIGNAL])
    assert ids() == [41, 40, 42], "rows show in the order in which they were written"
    bench.append(SIGNALS, SIGNAL | {"id": 5})
    bench.append(SIGNALS, [SIGNAL] * 2)
    assert ids() == [41, 40, 42, 5, 43, 44]
    bench.append(SIGNALS, SIGNAL | {"id": 2**63 - 1})
    with pytest.raises(BrokenRule, match="no numbers left for id after 9223372036854775807"):
        bench.append(SIGNALS, SIGNAL)


def test_a_thousand_rows_are_held_against_each_other_and_those_there(bench: Workbench) -> None:
    names = [f"n{n}" for n in range(1000)]
    bench.append("utilities.feature_flags", [{"name": name} for name in names[::2]])
    with pytest.raises(BrokenRule, match="takes none of 1,000 rows, of which 500 break its rules"):
        bench.append("utilities.feature_flags", [{"name": name} for name in names])
    assert bench.append("utilities.feature_flags", pl.DataFrame({"name": names[1::2]})) == 500
    assert bench.sql("SELECT count(DISTINCT name), sum(rollout_percent) FROM utilities.feature_flags").fetchall() == [(1000, 100_000.0)]


# ---------------------------------------------------------------------- where to


def test_a_table_that_is_not_documented_is_told(bench: Workbench) -> None:
    with pytest.raises(UnknownName, match=r"there is no documented table 'kraken_bot.signal'.*kraken_bot.signals"):
        bench.append("kraken_bot.signal", SIGNAL)
    with pytest.raises(UsageError, match=r"ampyfin.market_status is computed from the calendar; nothing was written"):
        bench.append("ampyfin.market_status", {})


def test_where_there_is_no_lake_none_is_made(tmp_path: Path) -> None:
    with (
        Workbench(Settings(data=str(tmp_path / "none"))) as bench,
        pytest.raises(NoLake, match=r"nothing was written to kraken_bot.signals"),
    ):
        bench.append(SIGNALS, SIGNAL)
    assert not (tmp_path / "none").exists()


def test_rows_of_a_fed_table_stand_apart(bench: Workbench) -> None:
    bench.append("events.event_data", RECORDS["events.event_data"].example)
    assert bench.sql("SELECT count(*) FROM imported.events_event_data").fetchall() == [(1,)]
    bench.fold()
    assert (bench.lake.root / "lake" / "events" / "event_data").is_dir()


# ---------------------------------------------------------------------- who sees it


def test_what_is_appended_is_seen_by_the_next_query_of_anybody(bench: Workbench) -> None:
    with Workbench(bench.settings) as other:
        assert other.sql("FROM kraken_bot.signals").fetchall() == []
        for count in (1, 2):
            bench.append(SIGNALS, SIGNAL)
            assert len(other.sql("FROM kraken_bot.signals").fetchall()) == count
            assert len(other.con.sql("FROM kraken_bot.signals").fetchall()) == count


def test_conditions_on_what_was_appended_answer_right(bench: Workbench) -> None:
    days = [NOON + timedelta(days=n) for n in range(20)]
    bench.append(SIGNALS, [SIGNAL | {"timestamp": at, "price": n} for n, at in enumerate(days[:10])])
    bench.append(SIGNALS, [SIGNAL | {"timestamp": at, "price": n + 10, "test_mode": True} for n, at in enumerate(days[10:])])
    found = bench.sql("SELECT price FROM kraken_bot.signals WHERE timestamp >= $at AND NOT test_mode", at=days[8]).fetchall()
    assert found == [(Decimal(8),), (Decimal(9),)]
    joined = "SELECT count(*) FROM kraken_bot.signals s JOIN kraken_bot.signals t ON s.id = t.id + 10 WHERE s.test_mode"
    assert bench.sql(joined).fetchall() == [(10,)]


def test_a_pinned_bench_shows_what_it_held(bench: Workbench) -> None:
    count = "SELECT count(*) FROM kraken_bot.signals"
    bench.append(SIGNALS, SIGNAL)
    with bench.pin():
        with Workbench(bench.settings) as other:
            other.append(SIGNALS, SIGNAL)
            other.append("kraken_bot.rss_feeds", {"url": "https://a.example", "name": "A"})
        assert bench.sql(count).fetchall() == [(1,)]
        bench.append(SIGNALS, SIGNAL)
        assert bench.sql(count).fetchall() == [(1,)]
        # A table that nobody had written to then, too.
        assert bench.sql("FROM kraken_bot.rss_feeds").fetchall() == []
        assert bench.table_counts("kraken_bot")["signals"] == 1
    assert bench.sql(count).fetchall() == [(3,)]
    assert len(bench.sql("FROM kraken_bot.rss_feeds").fetchall()) == 1
    with bench.pin():
        assert bench.sql(count).fetchall() == [(3,)]


def test_the_past_shows_the_rows_of_the_past_and_takes_none(bench: Workbench) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    bench.append(SIGNALS, SIGNAL)
    bench.fold()
    instant = datetime.now(UTC)
    threading.Event().wait(0.002)
    bench.append(SIGNALS, SIGNAL)
    bench.append("kraken_bot.rss_feeds", {"url": "https://a.example", "name": "A"})
    bench.fold()
    with benches.open(bench.settings, as_of=instant) as past:
        assert past.sql("SELECT id FROM kraken_bot.signals").fetchall() == [(1,)]
        assert past.sql("FROM kraken_bot.rss_feeds").fetchall() == []
        with past.pin():
            assert past.sql("SELECT id FROM kraken_bot.signals").fetchall() == [(1,)]
        with pytest.raises(UsageError, match=r"which cannot change; nothing was written to kraken_bot.signals"):
            past.append(SIGNALS, SIGNAL)
    with pytest.raises(BadRange, match="had no commit"):
        benches.open(bench.settings, as_of=before)


def test_threads_of_one_bench_append_side_by_side(bench: Workbench) -> None:
    faults: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for _ in range(4):
                bench.append(SIGNALS, SIGNAL | {"symbol": str(who)})
                bench.sql("SELECT count(*) FROM kraken_bot.signals").fetchall()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    rows = bench.sql("SELECT id, symbol FROM kraken_bot.signals").fetchall()
    assert sorted(number for number, _ in rows) == list(range(1, 17))
    assert set(Counter(symbol for _, symbol in rows).values()) == {4}


# ---------------------------------------------------------------------- counts


def test_tables_are_counted_by_their_names(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL, SIGNAL, SIGNAL | {"test_mode": True}])
    trade = dict(RECORDS["kraken_bot.trades"].example)
    bench.append("kraken_bot.trades", [trade | {"test_mode": True}, trade | {"test_mode": True}, trade | {"test_mode": False}])
    counts = bench.table_counts("kraken_bot")
    told = {name: counts[name] for name in ("signals", "prod_signals", "test_signals", "trades", "prod_trades", "test_trades", "holdings")}
    assert told == {"signals": 3, "prod_signals": 2, "test_signals": 1, "trades": 3, "prod_trades": 1, "test_trades": 2, "holdings": 0}
    assert bench.table_counts("kraken") == counts


def test_all_tables_are_counted_by_their_full_names(bench: Workbench) -> None:
    bench.append(SIGNALS, SIGNAL)
    bench.append("utilities.feature_flags", [{"name": "a"}, {"name": "b"}])
    counts = bench.table_counts()
    # The calendar has rows in any lake.
    of_people = {name: count for name, count in counts.items() if count and not (name in RECORDS and RECORDS[name].fed)}
    assert of_people == {SIGNALS: 1, "utilities.feature_flags": 2}
    assert counts["stock_day"] == 0
    with pytest.raises(UnknownName, match="platform"):
        bench.table_counts("kraken_bt")


def test_a_count_of_what_people_write_reads_no_file(bench: Workbench) -> None:
    bench.append(SIGNALS, [SIGNAL] * 3)
    bench.fold()
    assert bench._count(SIGNALS) == 3
    for path in (bench.lake.root / "lake" / "kraken_bot" / "signals").glob("*.parquet"):
        path.unlink()
    assert bench._count(SIGNALS) == 3


def test_a_query_reads_the_log_of_a_table_once(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(SIGNALS, SIGNAL)
    bench.fold()
    bench.sql("FROM kraken_bot.signals").fetchall()
    monkeypatch.setattr("workbench.lake.log.read", None)
    monkeypatch.setattr("workbench.lake.records.read", None)
    assert len(bench.sql("SELECT id FROM kraken_bot.signals").fetchall()) == 1


def test_the_platform_in_use_lets_its_tables_go_by_their_bare_names(bench: Workbench) -> None:
    with pytest.raises(UnknownName, match=r"kraken_bot\.signals"):
        bench.append("signals", SIGNAL)
    with pytest.raises(UnknownName, match="documented table"):
        bench.append(5, SIGNAL)  # type: ignore[arg-type]
    bench.use("kraken_bot")
    assert bench.append("signals", SIGNAL) == 1
    assert bench.table_counts("kraken_bot")["signals"] == 1
