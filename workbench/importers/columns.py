"""Whole arrays of an old database's values as the lake keeps them. Each way takes an array whole, without loss, or raises: then values are taken singly.

A way gives the array and the number of times in it that were cut to microseconds. What it gives is what `wider` would, value by value.
"""

from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from workbench.importers.times import day, instant
from workbench.importers.ways import NOISE, QUIET, SURE_DIGITS, Odd, Way, cast, every, expect, nothing
from workbench.lake.stored import stored, typed
from workbench.tables.record import Field

if TYPE_CHECKING:
    import pyarrow as pa

# A UUID's text.
UUID_BYTES = 36


def way(field: Field, zone: ZoneInfo, kind: "pa.DataType") -> Way | None:
    """What takes arrays of a type for a column; None where each value must be looked at."""
    import pyarrow as pa

    ours = typed(field.type)
    form = stored(ours)
    texts = pa.types.is_string(kind)
    if pa.types.is_null(kind):
        return lambda array: (pa.nulls(len(array), form), 0)
    if str(ours) == "JSON":
        return json_text if texts else None
    found: Way | None = None
    match ours.id:
        case "varchar":
            return text(kind)
        case "uuid":
            found = uuid_text if texts else None
        case "double":
            found = double(kind)
        case "tinyint" | "smallint" | "integer" | "bigint":
            found = whole(kind, form)
        case "boolean":
            found = boolean(kind)
        case "date":
            found = day(kind, zone)
        case "timestamp with time zone":
            found = instant(kind, zone)
        case "decimal":
            found = decimal(kind, form)
        case "list" | "struct":
            return nested if kind == form else None
    return partial(unless_empty, found) if found and texts and not field.required else found


def unless_empty(inner: Way, array: "pa.Array") -> "tuple[pa.Array, int]":
    """Empty text is nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    empty = pc.equal(array, "")
    return inner(pc.if_else(empty, pa.scalar(None, array.type), array) if pc.any(empty).as_py() else array)


# ---------------------------------------------------------------------- texts


def text(kind: "pa.DataType") -> Way | None:
    """Text, whole numbers and truths as text."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return valid
    return partial(cast, pa.string()) if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else None


def valid(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Text in UTF-8."""
    array.validate(full=True)
    return array, 0


def uuid_text(array: "pa.Array") -> "tuple[pa.Array, int]":
    """UUIDs in their usual form."""
    if usual(array):
        return array, 0
    made = asked(array, "TRY_CAST(v AS UUID)::VARCHAR")
    expect(made.null_count == array.null_count)
    return made, 0


def usual(array: "pa.Array") -> bool:
    """Whether all texts are UUIDs as they are kept: looked at by bytes, since DuckDB would take each apart and write it anew."""
    import numpy as np

    if array.null_count or not len(array):
        return False
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    if not bool((np.diff(offsets) == UUID_BYTES).all()):
        return False
    told = np.frombuffer(array.buffers()[2], dtype=np.uint8)[offsets[0] : offsets[-1]].reshape(-1, UUID_BYTES)
    # Hyphens stand where they must, and nowhere else; all other characters are digits.
    kind = np.full(256, 2, dtype=np.uint8)
    kind[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = 0
    kind[ord("-")] = 1
    form = np.zeros(UUID_BYTES, dtype=np.uint8)
    form[[8, 13, 18, 23]] = 1
    return bool((np.take(kind, told) == form).all())


def json_text(array: "pa.Array") -> "tuple[pa.Array, int]":
    """JSON as it is. Escapes may tell half a character, and constants no number: these are looked at."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array.validate(full=True)
    expect(not pc.any(pc.match_substring(array, "\\u")).as_py())
    for name in ("NaN", "Inf"):
        expect(not pc.any(pc.match_substring(array, name, ignore_case=True)).as_py())
    made = asked(array, "json_valid(v)")
    expect(every(made) and not pa.types.is_null(made.type))
    return array, 0


def asked(array: "pa.Array", what: str) -> "pa.Array":
    """What DuckDB makes of the values `v` of an array, in their order."""
    import pyarrow as pa

    from workbench.query.staging import ROW, asking, numbered

    with asking() as con:
        con.register("__values", pa.table({"v": array, ROW: numbered(len(array))}))
        made = con.sql(f"SELECT {what} AS v FROM __values ORDER BY {ROW}").to_arrow_table()["v"]
    return made.combine_chunks() if made.num_chunks != 1 else made.chunk(0)


# ---------------------------------------------------------------------- numbers


def double(kind: "pa.DataType") -> Way | None:
    """Numbers that 64 bits keep."""
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return finite
    if pa.types.is_integer(kind):
        return partial(cast, pa.float64())
    if pa.types.is_decimal128(kind):
        return of_decimal
    return of_digits if pa.types.is_string(kind) else None


def finite(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Finite numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    expect(every(pc.is_finite(array)))
    return array.cast(pa.float64()), 0


def of_digits(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Numbers that text tells, in so few digits that a double gives them back."""
    import pyarrow as pa
    import pyarrow.compute as pc

    longest = pc.max(pc.binary_length(array)).as_py() or 0
    expect(longest <= SURE_DIGITS + 1)
    # A power may be beyond all doubles, and would become 0.
    expect(not pc.any(pc.match_substring(array, "e", ignore_case=True)).as_py())
    return finite(array.cast(pa.float64()))


def of_decimal(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Decimals of so few digits that a double gives them back."""
    import numpy as np
    import pyarrow as pa

    scale = array.type.scale
    expect(0 <= scale <= 22)
    units = units_of(array)
    expect(not len(units) or (int(units.max()) < 10**SURE_DIGITS and int(units.min()) > -(10**SURE_DIGITS)))
    # Both are exact, so that one rounding gives the nearest double.
    made = units.astype(np.float64) / float(10**scale)
    return pa.array(made, mask=nothing(array)), 0


def units_of(array: "pa.Array") -> Any:
    """The numbers of the last digit's units that decimals are; raises `Odd` if some are beyond 64 bits."""
    import numpy as np

    pairs = np.frombuffer(array.buffers()[1], dtype=np.int64)[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    low, high = pairs[:, 0], pairs[:, 1]
    gone = nothing(array)
    if gone is not None:
        low, high = np.where(gone, 0, low), np.where(gone, 0, high)
    expect(bool((high == low >> 63).all()))
    return low


def whole(kind: "pa.DataType", form: "pa.DataType") -> Way | None:
    """Whole numbers."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return partial(of_whole_digits, form)
    return partial(cast, form) if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) else None


def of_whole_digits(form: "pa.DataType", array: "pa.Array") -> "tuple[pa.Array, int]":
    """Whole numbers that text tells; Arrow would read 0x10, too."""
    import pyarrow.compute as pc

    expect(not pc.any(pc.match_substring(array, "x", ignore_case=True)).as_py())
    return cast(form, array)


def decimal(kind: "pa.DataType", form: "pa.DataType") -> Way | None:
    """Decimals of some digits."""
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return partial(of_double, form)
    return partial(cast, form) if pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_string(kind) else None


def of_double(form: "pa.DataType", array: "pa.Array") -> "tuple[pa.Array, int]":
    """Decimals that the shortest digits of doubles tell."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = nothing(array)
    told = pc.fill_null(array, 0).cast(pa.float64()).to_numpy()
    expect(bool(np.isfinite(told).all()))
    scale = form.scale
    expect(scale <= 22)
    units = np.rint(told * float(10**scale))
    # Of as many digits as a double surely gives back there is one number at most that is the same double.
    expect(not len(units) or float(np.abs(units).max()) < 10**SURE_DIGITS)
    off = np.abs(units / float(10**scale) - told)
    expect(bool((off <= np.where(np.abs(told) < QUIET / 10**scale, NOISE, 0) * np.spacing(np.abs(told))).all()))
    # Units are whole numbers here: as decimals without a scale they are read anew with it.
    low = units.astype(np.int64)
    pairs = np.empty((len(low), 2), dtype=np.int64)
    pairs[:, 0], pairs[:, 1] = low, low >> 63
    exact = pa.Array.from_buffers(pa.decimal128(38, scale), len(low), [None, pa.py_buffer(pairs)])
    made = exact.cast(form)
    return (pc.if_else(pa.array(gone), pa.scalar(None, form), made) if gone is not None else made), 0


def boolean(kind: "pa.DataType") -> Way | None:
    """Truths."""
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return truth
    return partial(cast, pa.bool_()) if pa.types.is_boolean(kind) or pa.types.is_string(kind) else None


def truth(array: "pa.Array") -> "tuple[pa.Array, int]":
    """0 and 1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    span = pc.min_max(array).as_py()
    expect(span["min"] is None or (span["min"] >= 0 and span["max"] <= 1))
    return array.cast(pa.bool_()), 0


# ---------------------------------------------------------------------- several values


def nested(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Lists and objects that stand as they are kept, if all numbers in them are finite."""
    import pyarrow as pa

    array.validate(full=True)
    leaves = [array]
    while leaves:
        one = leaves.pop()
        if pa.types.is_struct(one.type) or pa.types.is_list(one.type):
            leaves += one.flatten() if pa.types.is_struct(one.type) else [one.flatten()]
        elif pa.types.is_floating(one.type):
            finite(one)
        else:
            expect(pa.types.is_string(one.type) or pa.types.is_integer(one.type) or pa.types.is_boolean(one.type))
    return array, 0


__all__ = ["Odd", "way"]
