"""Answers of two engines compared: row by row in order where the query has one, as bags of rows else; floats to 1e-9."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

NEAR = 1e-9


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a table, each value in the plainest form that both engines have it in."""
    return list(zip(*([plain(value) for value in column.to_pylist()] for column in table.columns), strict=True))


def plain(value: Any) -> Any:
    """A value as both engines may give it: instants in UTC, decimals as numbers, structs by their values, maps as pairs, intervals as text."""
    match value:
        case bool() | None | str() | bytes():
            return value
        case pa.MonthDayNano() | timedelta():
            return spelled(value)
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        case date():
            return datetime(value.year, value.month, value.day)
        case int() | float():
            return value
        case Decimal():
            return float(value)
        case dict():
            return tuple(plain(one) for one in value.values())
        case list() | tuple():
            return tuple(plain(one) for one in value)
    return str(value)


def spelled(interval: "pa.MonthDayNano | timedelta") -> str:
    """An interval in DuckDB's words, as Spark is handed what it has no one type for."""
    months, days, passed = 0, 0, timedelta()
    if isinstance(interval, timedelta):
        days, passed = divmod(interval, timedelta(days=1))
    else:
        months, days, passed = interval.months, interval.days, timedelta(microseconds=interval.nanoseconds // 1000)
    parts = [(months // 12, "year"), (months % 12, "month"), (days, "day")]
    told = [f"{count} {unit}{'s' * (count != 1)}" for count, unit in parts if count]
    return " ".join([*told, *([str(passed).zfill(8)] if passed or not told else [])])


def same(one: Any, other: Any) -> bool:
    """Whether two values are one, floats to a billionth."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool) and not isinstance(other, bool):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR)
    return bool(one == other)


def key(row: Sequence[Any]) -> str:
    """By what rows without an order are put in one."""
    return repr([f"{float(value):.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else value for value in row])


def difference(one: pa.Table, other: pa.Table, *, ordered: bool) -> str | None:
    """What differs, in a sentence; None if nothing does."""
    if len(one.column_names) != len(other.column_names):
        return f"columns {one.column_names} against {other.column_names}"
    first, second = rows(one), rows(other)
    if len(first) != len(second):
        return f"{len(first)} rows against {len(second)}"
    if not ordered:
        first, second = sorted(first, key=key), sorted(second, key=key)
    for n, (left, right) in enumerate(zip(first, second, strict=True)):
        for name, a, b in zip(one.column_names, left, right, strict=True):
            if not same(a, b):
                return f"row {n}, {name}: {a!r} against {b!r}"
    return None
