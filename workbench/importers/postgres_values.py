"""The values of PostgreSQL's types, as they are asked for and as Arrow has them: exact, and by whole columns.

Numbers of arbitrary precision and times are asked for as PostgreSQL sends them, in bytes, for the driver would write the first out as text, which takes
longer than all else, and takes the second's infinity for a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Vector = np.ndarray[Any, np.dtype[Any]]
    Counts = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]

# From 1970, where Arrow starts, to 2000, where PostgreSQL does.
EPOCH_US, EPOCH_DAYS = 946_684_800_000_000, 10_957
# The years 1 to 9999, which Python and the lake know.
YEARS_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)
YEARS_DAYS = (-719_162, 2_932_896)
DAY_US = 86_400_000_000
# What PostgreSQL writes for the sign of a number.
NEGATIVE, SIGNS = 0x4000, {-0x4000: "NaN", -0x3000: "Infinity", -0x1000: "-Infinity"}
# A number of so many digits is the shortest that tells its double.
SURE = 10**15
MOST = 38


@dataclass(frozen=True)
class Odd:
    """Why a value goes nowhere, and what it is."""

    reason: str
    value: str


Strange = dict[int, Odd]
Made = tuple["pa.Array", Strange]


@dataclass(frozen=True)
class Way:
    """How a column is asked for, as SQL with {} for its name, and what makes Arrow's array of what comes.

    That is given the type of our column, too, and the digits in all and after the point that a number may have.
    """

    ask: str
    make: "Callable[[pa.Array, str, int | None, int], Made]"


# ---------------------------------------------------------------------- numbers


def numbers(raw: "pa.Array", ours: str, precision: int | None, scale: int) -> Made:
    """Numbers of arbitrary precision: doubles where the column of ours is one and loses nothing by it, else decimals, else their digits as text."""
    import numpy as np
    import pyarrow as pa

    count, valid, words, starts = parts(raw)
    digits, weight, sign = words[starts], words[starts + 1].astype(np.int64), words[starts + 2]
    told = sign >= 0
    strange = {int(valid[n]): Odd(f"{SIGNS[int(sign[n])]} is no number", SIGNS[int(sign[n])]) for n in np.flatnonzero(~told)}
    long = digits > 4
    whole = np.zeros(len(starts), np.int64)
    for k in range(min(int(digits.max(initial=0)), 4)):
        more = digits > k
        if more.all():
            whole = whole * 10_000 + words[starts + 4 + k]
        else:
            whole[more] = whole[more] * 10_000 + words[starts[more] + 4 + k]
    places = digits - 1 - weight
    places[digits == 0] = 0
    minus = sign == NEGATIVE

    def exact(n: int) -> Decimal:
        group = [int(one) for one in words[starts[n] + 4 : starts[n] + 4 + int(digits[n])]]
        value = int("".join(f"{one:04d}" for one in group) or "0")
        return Decimal(f"{'-' * bool(minus[n])}{value}e{-4 * int(places[n])}")

    made = None
    if ours.upper() == "DOUBLE":
        made = doubles(whole, places, minus, told & ~long, told, exact)
    if made is None:
        made = decimals(whole, places, minus, told & ~long, told, exact, precision, scale)
    if made is None:
        made = pa.array([format(exact(n), "f") if told[n] else None for n in range(len(starts))], pa.string())
    return spread(made, valid, count), strange


def parts(raw: "pa.Array") -> "tuple[int, Vector, Vector, Vector]":
    """How many values there are, which of them are there, the 16-bit words that all consist of, and where each starts."""
    import numpy as np

    count = len(raw)
    offsets = np.frombuffer(raw.buffers()[1], np.int32, count + 1, raw.offset * 4)
    some = int(offsets[-1] - offsets[0]) // 2
    words = np.frombuffer(raw.buffers()[2] if some else b"", ">i2", some, int(offsets[0]) if some else 0).astype(np.int16)
    valid = np.arange(count) if raw.null_count == 0 else np.flatnonzero(raw.is_valid().to_numpy(zero_copy_only=False))
    return count, valid, words, ((offsets[:-1] - offsets[0]) >> 1)[valid]


def doubles(
    whole: "Vector", places: "Vector", minus: "Vector", short: "Vector", told: "Vector", exact: "Callable[[int], Decimal]"
) -> "pa.Array | None":
    """Doubles, or None if one would not tell its number any more."""
    import numpy as np
    import pyarrow as pa

    # Both are exact in a double, so that their quotient is the double next to the number; as text it has no more digits than it had.
    found = whole / (10.0 ** (4 * np.arange(0, 6)))[np.clip(places, 0, 5)]
    above = places < 0
    if above.any():
        found[above] = whole[above] * (10.0 ** (4 * np.arange(0, 4)))[np.clip(-places[above], 0, 3)]
    sure = short & (whole < SURE) & (places <= 5) & (places >= -3) & (~above | (found < SURE))
    found[minus] = -found[minus]
    for n in np.flatnonzero(told & ~sure):
        value = exact(int(n))
        near = float(value)
        if Decimal(repr(near)) != value:
            return None
        found[n] = near
    return pa.array(found, mask=~told) if not told.all() else pa.array(found)


def decimals(
    whole: "Vector",
    places: "Vector",
    minus: "Vector",
    short: "Vector",
    told: "Vector",
    exact: "Callable[[int], Decimal]",
    precision: int | None,
    scale: int,
) -> "pa.Array | None":
    """Decimals of the column's own scale, or of as many places as the longest has; None if one has too many digits."""
    import numpy as np
    import pyarrow as pa

    if precision is None:
        scale = max(0, 4 * int(places.max(initial=0, where=told)))
    if not 0 <= scale <= MOST:
        return None
    # A group has four digits; of the last, those beyond the scale are zeros.
    groups = -(-scale // 4)
    shift = groups - places
    quick = short & (places <= groups) & (shift >= 0) & (shift <= 4) & (whole.astype(np.float64) * 10_000.0 ** np.clip(shift, 0, 4) < 9e18)
    low = np.where(quick, whole, 0) * (10_000 ** np.arange(0, 5, dtype=np.int64))[np.where(quick, shift, 0)]
    if 4 * groups > scale:
        low //= 10 ** (4 * groups - scale)
    low[minus] = -low[minus]
    limbs = np.empty((len(low), 2), np.int64)
    limbs[:, 0], limbs[:, 1] = low, low >> 63
    most = int(np.abs(low).max(initial=0))
    for n in np.flatnonzero(told & ~quick):
        value = exact(int(n))
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        number = int("".join(map(str, digits))) * 10 ** max(0, exponent + scale)
        if exponent + scale < 0:
            number //= 10 ** -(exponent + scale)
        if number >= 10**MOST:
            return None
        most = max(most, number)
        number = -number if sign else number
        limbs[n] = np.frombuffer(number.to_bytes(16, "little", signed=True), np.int64)
    wide = precision or max(scale, 18 if most < 10**18 else MOST, 1)
    if wide > MOST or most >= 10**wide:
        wide = MOST
    bits = pa.array(told).buffers()[1] if not told.all() else None
    return pa.Array.from_buffers(pa.decimal128(wide, scale), len(limbs), [bits, pa.py_buffer(limbs)])


def spread(made: "pa.Array", valid: "Vector", count: int) -> "pa.Array":
    """An array of those that are there, with NULL where none is."""
    import numpy as np
    import pyarrow as pa

    if len(valid) == count:
        return made
    at = np.zeros(count, np.int64)
    at[valid] = np.arange(len(valid))
    there = np.zeros(count, dtype=bool)
    there[valid] = True
    return made.take(pa.array(at, mask=~there))


# ---------------------------------------------------------------------- times


def times(zone: str | None) -> "Callable[[pa.Array, str, int | None, int], Made]":
    """What makes timestamps, in a zone or in none."""

    def make(raw: "pa.Array", _ours: str, _precision: int | None, _scale: int) -> Made:
        import pyarrow as pa

        return moments(raw, ">i8", EPOCH_US, YEARS_US, pa.timestamp("us", zone))

    return make


def days(raw: "pa.Array", _ours: str, _precision: int | None, _scale: int) -> Made:
    """Dates."""
    import pyarrow as pa

    return moments(raw, ">i4", EPOCH_DAYS, YEARS_DAYS, pa.date32())


def moments(raw: "pa.Array", form: str, epoch: int, years: tuple[int, int], kind: "pa.DataType") -> Made:
    """Dates or times out of counts from 2000 on."""
    import numpy as np
    import pyarrow as pa

    count, size = len(raw), int(form[-1])
    offsets = np.frombuffer(raw.buffers()[1], np.int32, count + 1, raw.offset * 4)
    full = np.ones(count, dtype=bool) if raw.null_count == 0 else raw.is_valid().to_numpy(zero_copy_only=False)
    some = int(offsets[-1] - offsets[0]) // size
    # NULL has no bytes, so that those that are there stand side by side.
    buffer = raw.buffers()[2] if some else b""
    there: Counts = np.frombuffer(buffer, form, some, int(offsets[0]) if some else 0).astype(f"i{size}")
    first, last = (year - epoch for year in years)
    odd = (there < first) | (there > last)
    strange: Strange = {}
    if odd.any():
        rows, limits = np.flatnonzero(full), np.iinfo(f"i{size}")
        for n in np.flatnonzero(odd):
            told = beyond(int(there[n]), epoch, limits.min, limits.max, size)
            strange[int(rows[n])] = Odd(f"{told} lies outside the years 1 to 9999", told)
        full[rows[odd]] = False
        there = there[~odd]
    values = np.zeros(count, np.int64 if size == 8 else np.int32)
    values[full] = there + epoch
    array = pa.array(values, mask=None if full.all() else ~full)
    return array.view(kind), strange


def beyond(value: int, epoch: int, least: int, most: int, size: int) -> str:
    """A date or time that Python has none for, as PostgreSQL writes it."""
    import numpy as np

    if value in (least, most):
        return "infinity" if value == most else "-infinity"
    # By day and time of day: PostgreSQL's last years lie beyond what NumPy counts from 1970 on in microseconds.
    day, rest_us = divmod(value + epoch, DAY_US) if size == 8 else (value + epoch, 0)
    text = str(np.datetime64(day, "D"))
    if size == 8:
        text += " " + str(np.datetime64(rest_us, "us")).partition("T")[2]
    year, rest = text[: text.index("-", 1)], text[text.index("-", 1) :]
    # There was no year 0: what NumPy calls that is 1 BC.
    return text if int(year) > 0 else f"{1 - int(year):04d}{rest} BC"


# ---------------------------------------------------------------------- others


def as_it_is(raw: "pa.Array", _ours: str, _precision: int | None, _scale: int) -> Made:
    """What the driver makes of it."""
    return getattr(raw, "storage", raw), {}


def uuids(raw: "pa.Array", _ours: str, _precision: int | None, _scale: int) -> Made:
    """UUIDs as text, as the lake keeps them."""
    import numpy as np
    import pyarrow as pa

    raw = getattr(raw, "storage", raw)
    count = len(raw)
    data = np.frombuffer(raw.buffers()[1], np.uint8, count * 16, raw.offset * 16)
    pairs = np.frombuffer(b"".join(b"%02x" % one for one in range(256)), np.uint16)
    hexed = pairs[data].view(np.uint8).reshape(count, 32)
    text = np.full((count, 36), ord("-"), np.uint8)
    for at, start, end in ((0, 0, 8), (9, 8, 12), (14, 12, 16), (19, 16, 20), (24, 20, 32)):
        text[:, at : at + end - start] = hexed[:, start:end]
    bits = None if raw.null_count == 0 else raw.is_valid().buffers()[1]
    return pa.Array.from_buffers(
        pa.string(), count, [bits, pa.py_buffer(np.arange(count + 1, dtype=np.int32) * 36), pa.py_buffer(text)]
    ), {}


def texts(raw: "pa.Array", _ours: str, _precision: int | None, _scale: int) -> Made:
    """Text; what is none in UTF-8, which a database of no encoding may hold, is no text."""
    import pyarrow as pa

    raw = getattr(raw, "storage", raw)
    try:
        raw.validate(full=True)
    except pa.ArrowInvalid:
        values: list[str | None] = []
        strange: Strange = {}
        for n, one in enumerate(raw.cast(pa.binary()).to_pylist()):
            try:
                values.append(None if one is None else one.decode())
            except UnicodeDecodeError:
                values.append(None)
                strange[n] = Odd("it is no text in UTF-8", one.decode(errors="backslashreplace"))
        return pa.array(values, pa.string()), strange
    return raw, {}


PLAIN = Way("{}", as_it_is)
TEXT = Way("{}::text", texts)
JSON = Way("pg_catalog.to_json({})::text", texts)
# By PostgreSQL's name of a type, of a domain's the type below it. Others are text.
WAYS: dict[str, Way] = {
    **dict.fromkeys(("bool", "int2", "int4", "int8", "float4", "float8"), PLAIN),
    "oid": Way("{}::int8", as_it_is),
    "uuid": Way("{}", uuids),
    "numeric": Way("pg_catalog.numeric_send({})", numbers),
    "money": Way("pg_catalog.numeric_send({}::numeric)", numbers),
    "timestamptz": Way("pg_catalog.timestamptz_send({})", times("UTC")),
    "timestamp": Way("pg_catalog.timestamp_send({})", times(None)),
    "date": Way("pg_catalog.date_send({})", days),
    "hstore": JSON,
    # As text it would tell a mask that nobody gave.
    "inet": Way("pg_catalog.textin(pg_catalog.inet_out({}))", texts),
}
NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric", "oid")
TIMES = ("timestamptz", "timestamp", "date")
