"""Values of old databases as the lake keeps them: what tells the same without loss is taken, whole columns at once or value by value, anything else refused."""

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.importers import taking
from workbench.importers.origin import Arrived
from workbench.importers.taking import Taken, taken
from workbench.lake.stored import stored, typed
from workbench.tables.record import Field, Record

NOON = datetime(2024, 3, 7, 12, 0, tzinfo=UTC)
DAY = date(2024, 3, 7)
NEW_YORK = "America/New_York"


def table(kind: str, *, required: bool = False) -> Record:
    return Record("derived", "one", "A column.", (Field("v", kind, "Value.", required=required),))


def took(kind: str, values: Any, zone: str = "UTC", *, required: bool = False) -> Taken:
    return taken(table(kind, required=required), {"theirs": "v"}, Arrived(len(values), {"theirs": values}), zone)


def kept(kind: str, values: Any, zone: str = "UTC") -> list[Any]:
    """What is kept of values, all of which must be taken: as a list, which is looked at singly, and as Arrow has them."""
    found = took(kind, values, zone)
    assert found.rejects == ()
    assert found.rows.schema.field("v").type == stored(typed(kind))
    assert list(found.at) == list(range(len(values)))
    told: list[Any] = found.rows["v"].to_pylist()
    return told


TAKEN: dict[str, list[tuple[Any, Any]]] = {
    "VARCHAR": [
        ("a", "a"),
        ("", ""),
        (5, "5"),
        (1.5, "1.5"),
        (True, "true"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=7), str(UUID(int=7))),
        (DAY, "2024-03-07"),
        (b"caf\xc3\xa9", "café"),
        ({"a": [1]}, '{"a": [1]}'),
    ],
    "DOUBLE": [
        (1.5, 1.5),
        (7, 7.0),
        ("169.15", 169.15),
        (" 2 ", 2.0),
        ("1e5", 1e5),
        ("", None),
        ("  ", None),
        (Decimal("169.15000000"), 169.15),
        (Decimal("123456789012.00000000"), 123456789012.0),
        (2**53, float(2**53)),
        ("0.1000000000000000055", None),
    ],
    "BIGINT": [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        ("-7 ", -7),
        ("7.0", 7),
        (Decimal("7.00"), 7),
        ("", None),
        ("+5", 5),
        ("9223372036854775807", 2**63 - 1),
    ],
    "INTEGER": [(2**31 - 1, 2**31 - 1), ("12", 12)],
    "BOOLEAN": [(True, True), (0, False), (1, True), (1.0, True), ("t", True), ("FALSE", False), ("no", False), ("1", True), ("", None)],
    "DATE": [
        (DAY, DAY),
        ("2024-03-07", DAY),
        ("20240307", DAY),
        ("2024-03-07 00:00:00", DAY),
        ("2024-03-07T00:00:00Z", DAY),
        (datetime(2024, 3, 7), DAY),
        (datetime(2024, 3, 7, tzinfo=UTC), DAY),
        ("", None),
    ],
    "TIMESTAMPTZ": [
        (NOON, NOON),
        (datetime(2024, 3, 7, 12), NOON),
        ("2024-03-07 12:00:00", NOON),
        ("2024-03-07T07:00:00-05:00", NOON),
        ("2024-03-07 12:00:00 UTC", NOON),
        ("2024-03-07 12:00:00.000000000", NOON),
        (DAY, datetime(2024, 3, 7, tzinfo=UTC)),
        ("2024-03-07", datetime(2024, 3, 7, tzinfo=UTC)),
        (1709812800, NOON),
        (1709812800000, NOON),
        (1709812800000000, NOON),
        (1709812800000000000, NOON),
        (1709812800.25, NOON + timedelta(milliseconds=250)),
        ("1709812800", NOON),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-86400, datetime(1969, 12, 31, tzinfo=UTC)),
    ],
    "DECIMAL(20,8)": [
        (Decimal("1.5"), Decimal("1.50000000")),
        ("169.15", Decimal("169.15000000")),
        (0.1, Decimal("0.10000000")),
        (7, Decimal("7.00000000")),
        ("", None),
        (-0.00000001, Decimal("-0.00000001")),
    ],
    "UUID": [
        (UUID(int=7), str(UUID(int=7))),
        ("00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000a"),
        (UUID(int=7).bytes, str(UUID(int=7))),
    ],
    "JSON": [('{"a": 1}', '{"a": 1}'), ({"a": NOON}, '{"a": "2024-03-07T12:00:00+00:00"}'), ([1, Decimal("1.5")], '[1, "1.5"]'), (5, "5")],
    "MAP(VARCHAR, DOUBLE)": [({"a": 1}, [("a", 1.0)]), ('{"a": "1.5"}', [("a", 1.5)]), ("", None)],
    "STRUCT(price DOUBLE, size DOUBLE)[]": [
        ('[{"price": 1, "size": 2}]', [{"price": 1.0, "size": 2.0}]),
        ([{"price": 1.5}], [{"price": 1.5, "size": None}]),
    ],
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_tells_the_same_is_taken_singly_and_by_whole_columns(kind: str) -> None:
    for value, expected in TAKEN[kind]:
        if expected is None and value and str(value).strip():
            continue
        assert kept(kind, [value, None]) == [expected, None], value
        # A value among others of many types goes by itself, a column of one type whole: with the same outcome.
        mixed = took(kind, [value, object()])
        assert (mixed.rows["v"].to_pylist(), [n for n, _ in mixed.rejects]) == ([expected], [1]), value
        many = kept(kind, [value] * 700)
        assert many == [expected] * 700, value


REFUSED: dict[str, list[tuple[Any, str]]] = {
    "VARCHAR": [(b"\xff", "UTF-8"), (math.nan, "finite")],
    "DOUBLE": [
        ("abc", "no number"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        ("nan", "finite"),
        (2**53 + 1, "digits"),
        ("0.1234567890123456789", "digits"),
        ("1e-400", "digits"),
        (Decimal("0.12345678901234567890"), "digits"),
        (True, "no number"),
    ],
    "BIGINT": [
        (1.5, "whole"),
        ("0x10", "no number"),
        ("1.5", "whole"),
        (2**63, "between"),
        (Decimal("1.5"), "whole"),
        (math.nan, "finite"),
    ],
    "INTEGER": [(2**31, "between"), ("2147483648", "between")],
    "BOOLEAN": [(2, "neither"), ("maybe", "neither"), (0.5, "neither")],
    "DATE": [
        ("2024-03-07 09:30:00", "time of day"),
        (NOON, "time of day"),
        ("2024-02-30", "no date"),
        (20240307, "no date"),
        ("soon", "no date"),
    ],
    "TIMESTAMPTZ": [("soon", "no time"), (True, "no time"), (10**40, "no time"), (math.nan, "no time"), ({}, "no time")],
    "DECIMAL(20,8)": [("1.123456789", "8 digits after"), (1e13, "12 digits before"), (0.123456789, "8 digits after"), ("x", "no number")],
    "UUID": [("7", "no UUID"), (7, "no UUID")],
    "JSON": [("{", "no JSON"), ("NaN", "no JSON"), ('"\\ud800"', "half a character"), ({"a": math.nan}, "JSON")],
    "MAP(VARCHAR, DOUBLE)": [("[1]", "no mapping"), ("{", "no JSON"), ({"a": "x"}, "no number")],
    "STRUCT(price DOUBLE, size DOUBLE)[]": [([{"odd": 1}], "no field odd"), ({"price": 1}, "no list")],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_lose_anything_refuses_its_row_alone(kind: str) -> None:
    good = next(value for value, expected in TAKEN[kind] if expected is not None)
    for value, why in REFUSED[kind]:
        found = took(kind, [good, value, None, good])
        assert [n for n, _ in found.rejects] == [1], value
        assert why in found.rejects[0][1], (value, found.rejects)
        assert found.rejects[0][1].startswith("v: ")
        assert list(found.at) == [0, 2, 3]
        assert len(found.rows) == 3
        alone = took(kind, [value] * 600)
        assert len(alone.rejects) == 600, value
        assert len(alone.rows) == 0


def test_one_odd_value_among_many_costs_only_its_row() -> None:
    values = [f"{n}.5" for n in range(5_000)]
    values[1_234], values[4_999] = "odd", "1e-400"
    found = took("DOUBLE", pa.array(values))
    assert [n for n, _ in found.rejects] == [1_234, 4_999]
    assert found.rows["v"].to_pylist() == [float(one) for n, one in enumerate(values) if n not in (1_234, 4_999)]
    assert list(found.at)[1_233:1_236] == [1_233, 1_235, 1_236]


def test_reasons_of_several_columns_are_told_together() -> None:
    record = Record("derived", "two", "Two.", (Field("a", "DOUBLE", "."), Field("b", "DATE", ".")))
    found = taken(record, {"A": "a", "B": "b"}, Arrived(2, {"A": ["x", 1.5], "B": ["y", "2024-03-07"]}), "UTC")
    assert [n for n, _ in found.rejects] == [0]
    assert found.rejects[0][1].startswith("a: 'x' is no number; b: 'y' is no date")
    assert found.rows.to_pylist() == [{"a": 1.5, "b": DAY}]


def test_times_without_a_zone_are_in_that_of_the_import() -> None:
    assert kept("TIMESTAMPTZ", ["2024-03-07 07:00:00"] * 300, NEW_YORK) == [NOON] * 300
    assert kept("TIMESTAMPTZ", [datetime(2024, 3, 7, 7), "2024-03-07 12:00:00Z"], NEW_YORK) == [NOON, NOON]
    assert kept("TIMESTAMPTZ", pa.array([DAY] * 2), NEW_YORK) == [datetime(2024, 3, 7, 5, tzinfo=UTC)] * 2
    # A midnight of that zone is a date, and so is one of UTC.
    assert kept("DATE", pa.array([datetime(2024, 3, 7, 5, tzinfo=UTC)] * 2), NEW_YORK) == [DAY] * 2
    assert kept("DATE", [datetime(2024, 3, 7, 5, tzinfo=UTC), datetime(2024, 3, 7, tzinfo=UTC)], NEW_YORK) == [DAY] * 2
    with pytest.raises(UsageError, match="no time zone is called 'Mars/Base'"):
        took("TIMESTAMPTZ", ["2024-03-07"], "Mars/Base")


@pytest.mark.parametrize(("told", "often"), [("2024-11-03 01:30:00", "twice"), ("2024-03-10 02:30:00", "never")])
def test_a_time_that_clocks_show_twice_or_never_is_refused(told: str, often: str) -> None:
    for values in ([told], pa.array([told]), pa.array([datetime.fromisoformat(told)])):
        found = took("TIMESTAMPTZ", values, NEW_YORK)
        assert often in found.rejects[0][1]
    assert took("TIMESTAMPTZ", [told]).rejects == ()


def test_what_is_finer_than_microseconds_is_cut_and_counted() -> None:
    at = 1709812800_123456789
    floored = NOON.replace(microsecond=123456)
    for values in (
        pa.array([at, at - 789, None], pa.timestamp("ns")),
        pa.array([at, at - 789, None], pa.timestamp("ns", NEW_YORK)),
        pa.array([at, at - 789, None]),
        pa.array(["2024-03-07T12:00:00.123456789Z", "2024-03-07T12:00:00.123456Z", None]),
        ["2024-03-07T12:00:00.123456789", datetime(2024, 3, 7, 12, 0, 0, 123456), None],
        [pd.Timestamp(at, tz="UTC"), floored, None],
        [at, Decimal("1709812800.123456"), None],
    ):
        found = took("TIMESTAMPTZ", values)
        assert found.rows["v"].to_pylist() == [floored, floored, None], values
        assert found.cut == 1, values
    # Before 1970, too, it is the microsecond that had begun.
    assert took("TIMESTAMPTZ", pa.array([-1], pa.timestamp("ns"))).rows["v"].to_pylist() == [
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    ]


def test_times_beyond_all_years_are_refused() -> None:
    for values in (pa.array([2**62, 0], pa.timestamp("us")), pa.array([2**62, 0], pa.timestamp("s")), [1 - 10**17, 0]):
        found = took("TIMESTAMPTZ", values)
        assert [n for n, _ in found.rejects] == [0]
        assert "years 1 to 9999" in found.rejects[0][1]
        assert len(found.rows) == 1


def test_rows_are_numbered_on_over_the_pieces_of_a_column() -> None:
    pieces = pa.chunked_array([pa.array([0, 0], pa.timestamp("us")), pa.array([0, 2**62], pa.timestamp("us"))])
    assert [n for n, _ in took("TIMESTAMPTZ", pieces).rejects] == [3]
    assert [n for n, _ in took("DOUBLE", pa.chunked_array([["1"], ["2", "x"]])).rejects] == [2]


def test_empty_text_is_refused_where_every_row_must_have_a_value() -> None:
    for values in (["", 1.5], pa.array(["", "1.5"])):
        found = took("DOUBLE", values, required=True)
        assert found.rejects == [(0, "v: it is empty text, and every row must have it")]
    assert took("VARCHAR", ["", "a"], required=True).rejects == ()


def test_text_that_is_no_utf8_is_refused() -> None:
    broken = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], dtype=np.int32)), pa.py_buffer(b"a\xff")])
    found = took("VARCHAR", broken)
    assert [n for n, _ in found.rejects] == [1]
    assert found.rows["v"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array(["a", "b", None], pa.large_string()),
        pa.array(["a", "b", None]).cast(pa.string_view()),
        pa.array([b"a", b"b", None], pa.binary()),
        pa.chunked_array([["a"], ["b", None]]),
    ],
)
def test_any_layout_of_arrows_is_taken(values: Any) -> None:
    assert kept("VARCHAR", values) == ["a", "b", None]


def test_a_column_without_any_value_is_taken_by_every_type() -> None:
    for kind in TAKEN:
        assert kept(kind, [None, None]) == [None, None]
        assert kept(kind, pa.nulls(2)) == [None, None]


def test_nested_columns_of_arrows_go_whole_and_not_with_what_is_no_number() -> None:
    kind = "STRUCT(price DOUBLE, size DOUBLE)[]"
    form = stored(typed(kind))
    assert kept(kind, pa.array([[{"price": 1.5, "size": 2.0}], None], form)) == [[{"price": 1.5, "size": 2.0}], None]
    found = took(kind, pa.array([[{"price": math.nan, "size": 2.0}], None], form))
    assert [n for n, _ in found.rejects] == [0]


NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**65), 2**65),
    st.decimals(allow_nan=False, allow_infinity=False, places=8),
    st.decimals(allow_nan=True),
    st.floats(width=32).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["", " ", "x", "1_0", "0x1", "-0", "1e5", ".5", "5.", "+1", "inf"]),
    st.none(),
)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["DOUBLE", "BIGINT", "DECIMAL(20,8)", "BOOLEAN", "VARCHAR", "TIMESTAMPTZ", "DATE"]),
    values=st.lists(NUMBERS, min_size=1, max_size=8),
)
def test_whole_columns_and_single_values_come_to_the_same(kind: str, values: list[Any]) -> None:
    for one in [*values, *({type(each): [v for v in values if type(v) is type(each)] for each in values}.values())]:
        some = one if isinstance(one, list) else [one]
        whole, singly = took(kind, some), took(kind, [*some, object()])
        assert [row for row, _ in whole.rejects] == [row for row, _ in singly.rejects][:-1], some
        assert repr(whole.rows["v"].to_pylist()) == repr(singly.rows["v"].to_pylist()), some
        assert whole.cut == singly.cut


@settings(max_examples=40, deadline=None)
@given(
    times=st.lists(st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=6),
    zone=st.sampled_from(["UTC", NEW_YORK, "Asia/Kolkata"]),
    form=st.sampled_from(["naive", "aware", "text", "zoned text", "us", "ns"]),
)
def test_times_of_every_form_are_the_same_instants(times: list[datetime], zone: str, form: str) -> None:
    clock = ZoneInfo(zone)
    aware = [one.replace(tzinfo=clock).astimezone(UTC).astimezone(clock) for one in times]
    told: dict[str, Any] = {
        "naive": [one.replace(tzinfo=None) for one in aware],
        "aware": aware,
        "text": [str(one.replace(tzinfo=None)) for one in aware],
        "zoned text": [one.isoformat() for one in aware],
        "us": pa.array(aware, pa.timestamp("us", zone)),
        "ns": pa.array(aware, pa.timestamp("us", zone)).cast(pa.timestamp("ns", zone)),
    }
    found = took("TIMESTAMPTZ", told[form], zone)
    went = [aware[n] for n in found.at]
    assert found.rows["v"].to_pylist() == [one.astimezone(UTC) for one in went]
    assert found.cut == 0
    # Only what names no zone may be refused, where clocks are set back.
    assert all("twice" in why for _, why in found.rejects)
    assert form in ("naive", "text") or not found.rejects


def test_json_of_many_rows_is_looked_at_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    singly: list[int] = []

    def one_by_one(column: taking.Column, _values: Any, at: int) -> pa.Array:
        singly.append(at)
        return pa.nulls(0, column.form)

    monkeypatch.setattr(taking.Column, "one_by_one", one_by_one)
    values = pa.array([json.dumps({"n": n}) for n in range(1_000)])
    assert took("JSON", values).rows["v"].to_pylist() == values.to_pylist()
    assert singly == []


@pytest.mark.parametrize("odd", ["0" * 36, "0000000-00000-0000-0000-0000000000000", "g0000000-0000-0000-0000-000000000000", "-" * 36])
def test_text_as_long_as_a_uuid_is_none_for_that(odd: str) -> None:
    right = [str(UUID(int=n)) for n in range(1_000)]
    made = took("UUID", pa.array([*right, odd]))
    assert [row for row, _ in made.rejects] == [1_000]
    assert made.rows["v"].to_pylist() == right
    assert kept("UUID", pa.array([one.upper() for one in right])) == right


def test_a_double_is_the_decimal_that_it_misses_by_the_noise_of_sums() -> None:
    noisy = [0.1 + 0.2, -(0.1 + 0.7), 3 * 1.1, sum([0.1] * 10)]
    told = [Decimal("0.3"), Decimal("-0.8"), Decimal("3.3"), Decimal(1)]
    assert noisy != [float(one) for one in told]
    assert kept("DECIMAL(20,8)", noisy) == kept("DECIMAL(20,8)", pa.array(noisy)) == told
    assert kept("DECIMAL(20,8)", [Decimal(repr(one)) for one in noisy]) == told
    # What has more digits than noise has, or so many that noise could be some, is not rounded; nor is text, which means what it says.
    for odd in (0.123456789, 3e-9, 9999999.123456785, "0.30000000000000004"):
        for values in ([odd], pa.array([odd])):
            assert [why for _, why in took("DECIMAL(20,8)", values).rejects] == [
                f"v: {odd} has more than 8 digits after the point; round it first"
            ]
