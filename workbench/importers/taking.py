"""Columns of an old database as the lake keeps them: nothing is lost, or the row is refused.

Whole columns are made at once by Arrow, which takes a column or stops at the first odd value: then halves of it are tried, and what is left of a few
hundred rows is taken a value at a time (`wider`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workbench.errors import UsageError
from workbench.importers.columns import Odd, way
from workbench.importers.origin import Arrived
from workbench.importers.wider import Cut, wide
from workbench.lake.stored import stored, typed
from workbench.query.staging import within_years
from workbench.query.values import Refused, plain
from workbench.tables.record import Field, Record

if TYPE_CHECKING:
    import pyarrow as pa

# What a list may hold to go as a whole; nested values are looked at, each of which may have fields of its own.
PLAIN = frozenset((bool, int, float, str, bytes, Decimal, date, datetime, UUID))
SAME = {"VARCHAR": frozenset((bool, int, str, bytes, UUID)), "JSON": frozenset((str,))}
# Of so few rows each value is taken by itself.
FEW = 256


@dataclass(frozen=True)
class Taken:
    """Rows as the lake keeps them: `rows` has the columns that came, `at` the number of each row among those that arrived.

    `rejects` are the other rows, each by its number with what is wrong with it. `cut` times were finer than microseconds.
    """

    rows: "pa.Table"
    rejects: Sequence[tuple[int, str]]
    cut: int
    at: Sequence[int]


def taken(record: Record, columns: Mapping[str, str], arrived: Arrived, zone: str) -> Taken:
    """Rows that arrived, as a table takes them. `columns` are their names with ours; times without a zone are in `zone`.

    Raises `UsageError` for a zone that nobody knows.
    """
    import numpy as np
    import pyarrow as pa

    clock, cut = zone_of(zone), Cut()
    made: dict[str, pa.Array] = {}
    reasons: dict[int, list[str]] = {}
    for theirs, ours in columns.items():
        if theirs not in arrived.columns:
            # These rows lack it, and take its default.
            continue
        column = Column(record[ours], clock, cut)
        made[ours] = column.take(arrived.columns[theirs])
        for row, why in column.refused:
            reasons.setdefault(row, []).append(f"{ours}: {why}")
    rows = pa.table(made)
    if not reasons:
        return Taken(rows, (), cut.count, range(arrived.count))
    stays = np.ones(arrived.count, dtype=bool)
    stays[list(reasons)] = False
    told = [(row, "; ".join(why)) for row, why in sorted(reasons.items())]
    return Taken(rows.filter(pa.array(stays)), told, cut.count, np.flatnonzero(stays).tolist())


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
        raise UsageError(f"no time zone is called {name!r}; nothing was imported. Say one as UTC or America/New_York.") from fault


class Column:
    """One column on its way; `refused` are the rows whose values it does not take, and why."""

    def __init__(self, field: Field, zone: ZoneInfo, cut: Cut):
        self.field, self.zone, self.cut = field, zone, cut
        self.form = stored(typed(field.type))
        self.refused: list[tuple[int, str]] = []
        self._accept = wide(field, zone, cut)

    def take(self, given: "pa.ChunkedArray | pa.Array | list[Any]") -> "pa.Array":
        """The values as they are kept; what is refused is NULL."""
        import pyarrow as pa

        array = arrow_of(given, self.form, self.field.type) if isinstance(given, list) else given
        if array is None:
            return self.one_by_one(given, 0)
        parts: list[pa.Array] = []
        at = 0
        for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
            parts += self.pieces(self.within_years(simple(chunk), at), at)
            at += len(chunk)
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts) if parts else pa.nulls(0, self.form)

    def pieces(self, array: "pa.Array", at: int) -> "Iterable[pa.Array]":
        """The values of an array whose first row has a number, in some pieces."""
        import pyarrow as pa

        taking = way(self.field, self.zone, array.type)
        if taking is None:
            return [self.one_by_one(values_of(array), at)]
        try:
            made, cut = taking(array)
        except (Odd, pa.ArrowException):
            if len(array) <= FEW:
                return [self.one_by_one(values_of(array), at)]
            half = len(array) // 2
            return [*self.pieces(array.slice(0, half), at), *self.pieces(array.slice(half), at + half)]
        self.cut.count += cut
        return [made]

    def one_by_one(self, values: Iterable[Any], at: int) -> "pa.Array":
        """The values of some rows, the first of which has a number."""
        import pyarrow as pa

        made = []
        for n, value in enumerate(values, at):
            told = plain(value)
            try:
                made.append(None if told is None else self._accept(told))
            except Refused as fault:
                self.refused.append((n, str(fault)))
                made.append(None)
        return pa.array(made, self.form)

    def within_years(self, array: "pa.Array", at: int) -> "pa.Array":
        """An array without the dates and times that Python has none for, whose rows are refused."""
        import pyarrow as pa

        if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
            return array
        inside, beyond = within_years(pa.chunked_array([array]))
        self.refused += [(at + n, "it lies outside the years 1 to 9999") for n in sorted(beyond)]
        return inside.combine_chunks() if beyond else array


# ---------------------------------------------------------------------- what comes


def arrow_of(values: list[Any], form: "pa.DataType", kind: str) -> "pa.Array | None":
    """A list as an array of Arrow's, if all its values are of one kind; None if each must be looked at."""
    import pyarrow as pa

    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    # Arrow makes one kind of several, and one scale of all decimals: of text and JSON that would be another value.
    if not kinds <= SAME.get(kind, PLAIN) or (len(kinds) > 1 and not (kinds == {int, float} and form == pa.float64())):
        return None
    # Arrow would take a zone of the first for that of all.
    if kinds == {datetime} and len({one.tzinfo for one in values if one is not None}) > 1:
        return None
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return None


def simple(array: "pa.Array") -> "pa.Array":
    """An array in the plainest of the layouts that Arrow has for its values."""
    import pyarrow as pa

    kind = array.type
    if kind == pa.uuid():
        return pa.array([None if one is None else str(one) for one in array.to_pylist()], pa.string())
    if isinstance(array, pa.ExtensionArray):
        return simple(array.storage)
    if pa.types.is_dictionary(kind):
        return simple(array.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        import pyarrow.compute as pc

        return simple(pc.run_end_decode(array))
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return array.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.binary())
    return array


def values_of(array: "pa.Array") -> list[Any]:
    """The values of an array, as Python has them."""
    import pyarrow as pa

    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        # Python has none so fine: Pandas has.
        import pandas as pd

        return [None if one is None else pd.Timestamp(one, tz=array.type.tz) for one in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_string(array.type):
        # What is no UTF-8 stays bytes, which say so themselves.
        array = array.cast(pa.binary())
        return [None if one is None else decoded(one) for one in array.to_pylist()]
    found: list[Any] = array.to_pylist()
    return found


def decoded(value: bytes) -> str | bytes:
    """Text, or bytes that are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
