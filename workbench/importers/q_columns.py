"""q's columns as Arrow's: nulls are NULL, and a row with an infinity or a time that nobody else can tell is one that does not go in.

Times have no zone in q, and have none here. Nanoseconds stay.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.importers import q_ipc as q
from workbench.importers.q_ipc import Atom, Dict, Vector

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Numbers = np.ndarray[Any, Any]

# q counts from 2000-01-01.
EPOCH_DAYS = 10_957
DAY_NS = 86_400_000_000_000
EPOCH_NS = EPOCH_DAYS * DAY_NS
# In Python's years, as everything here tells dates through Python sooner or later.
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
KINDS = {
    q.BOOLEAN: "boolean",
    q.GUID: "guid",
    q.BYTE: "byte",
    q.SHORT: "short",
    q.INT: "int",
    q.LONG: "long",
    q.REAL: "real",
    q.FLOAT: "float",
    q.CHAR: "char",
    q.SYMBOL: "symbol",
    q.TIMESTAMP: "timestamp",
    q.MONTH: "month",
    q.DATE: "date",
    q.DATETIME: "datetime",
    q.TIMESPAN: "timespan",
    q.MINUTE: "minute",
    q.SECOND: "second",
    q.TIME: "time",
}
LETTERS = dict(zip("bgxhijefcspmdznuvt", KINDS, strict=True))
WHOLE = {q.SHORT: 16, q.INT: 32, q.LONG: 64}
# Nanoseconds in a unit of each time of day.
UNITS = {q.TIMESPAN: 1, q.MINUTE: 60_000_000_000, q.SECOND: 1_000_000_000, q.TIME: 1_000_000}
TEMPORAL = frozenset((q.TIMESTAMP, q.MONTH, q.DATE, q.DATETIME, *UNITS))

Bad = dict[int, str]


def kind_of(letter: str) -> str:
    """What q calls a type, by the letter that `meta` has for it."""
    if letter in LETTERS:
        return KINDS[LETTERS[letter]]
    if letter == "C":
        return "string"
    if letter.lower() in LETTERS and letter != letter.lower():
        return f"list of {KINDS[LETTERS[letter.lower()]]}"
    return "mixed list"


def told(bad: Bad, rows: "Numbers", why: str) -> None:
    """Say of rows why they are bad, unless that is said."""
    import numpy as np

    for row in np.flatnonzero(rows):
        bad.setdefault(int(row), why)


def column(vector: Vector, ours: str = "") -> "tuple[pa.Array | list[Any], Bad]":
    """A column's values, and by their numbers from 0 the rows that have none that can be kept, with why; `ours` is the type that they go into."""
    import numpy as np
    import pyarrow as pa

    kind, bad = vector.type, Bad()
    if isinstance(vector.values, list):
        return listed(vector, ours)
    values = vector.values
    if kind == q.BOOLEAN:
        return pa.array(values != 0), bad
    if kind == q.BYTE:
        return pa.array(values), bad
    if kind == q.CHAR:
        return texts([b"" if one == 32 else bytes((one,)) for one in values.tolist()])
    if kind in (q.REAL, q.FLOAT):
        wide = values.astype("f8")
        return pa.array(wide, mask=np.isnan(wide)), bad
    none, endless = missing(vector)
    told(bad, endless, "is infinite")
    keep = np.where(none | endless, 0, values)
    if kind in WHOLE:
        return pa.array(keep.astype(values.dtype), mask=none | endless), bad
    if kind in (q.DATE, q.MONTH):
        days = days_of(keep, kind)
        strange = (days < FIRST_DAY) | (days > LAST_DAY)
        told(bad, strange & ~none, "is outside the years 1 to 9999")
        return pa.array(np.where(strange, 0, days).astype("i4"), pa.int32(), mask=none | endless | strange).cast(pa.date32()), bad
    if kind in (q.TIMESTAMP, q.DATETIME):
        ns, strange = instants(keep, kind)
        told(bad, strange & ~none, "is outside the years that nanoseconds reach, 1707 to 2262")
        return pa.array(ns, pa.int64(), mask=none | endless | strange).cast(pa.timestamp("ns")), bad
    ns = keep.astype("i8") * UNITS[kind]
    if kind == q.TIMESPAN and ours != "TIME":
        return pa.array(ns, pa.int64(), mask=none | endless).cast(pa.duration("ns")), bad
    strange = (ns < 0) | (ns >= DAY_NS)
    told(bad, strange & ~none, "is no time of a day")
    return pa.array(np.where(strange, 0, ns), pa.int64(), mask=none | endless | strange).cast(pa.time64("ns")), bad


def missing(vector: Vector) -> "tuple[Numbers, Numbers]":
    """Which values of numbers are null, and which are infinite."""
    import numpy as np

    values = np.asarray(vector.values)
    if values.dtype.kind == "f":
        return np.isnan(values), np.isinf(values)
    limits = np.iinfo(values.dtype)
    return values == limits.min, (values == limits.max) | (values == -limits.max)


def days_of(values: "Numbers", kind: int) -> "Numbers":
    """Dates and months as days since 1970."""
    import numpy as np

    if kind == q.MONTH:
        # numpy counts months from 1970.
        return (values.astype("i8") + 360).astype("M8[M]").astype("M8[D]").astype("i8")
    return values.astype("i8") + np.int64(EPOCH_DAYS)


def instants(values: "Numbers", kind: int) -> "tuple[Numbers, Numbers]":
    """Timestamps and datetimes as nanoseconds since 1970, and which of them those do not reach."""
    import numpy as np

    if kind == q.DATETIME:
        # Days with a fraction, of which q itself shows milliseconds.
        ms = np.round(values * 86_400_000.0)
        strange = np.abs(ms) > 8.2e12
        return np.where(strange, 0, ms).astype("i8") * 1_000_000 + EPOCH_NS, strange
    strange = values > np.iinfo("i8").max - EPOCH_NS
    return np.where(strange, 0, values) + EPOCH_NS, strange


def texts(values: list[bytes], *, empty: bool = False) -> "tuple[pa.Array, Bad]":
    """Text of bytes that should be UTF-8; q's null is the empty one, unless `empty` is text as any."""
    import pyarrow as pa

    known: list[bytes | None] = list(values) if empty else [one or None for one in values]
    try:
        return pa.array(known, pa.binary()).cast(pa.string()), {}
    except pa.ArrowInvalid:
        bad = Bad()
        for row, one in enumerate(values):
            try:
                one.decode()
            except UnicodeDecodeError:
                bad[row], known[row] = f"is not UTF-8: {one.decode(errors='backslashreplace')}", None
        return pa.array(known, pa.binary()).cast(pa.string()), bad


def listed(vector: Vector, ours: str) -> "tuple[pa.Array | list[Any], Bad]":
    """A column of symbols, of guids, or of lists."""
    import pyarrow as pa

    values: list[Any] = list(vector.values)
    if vector.type == q.SYMBOL:
        return texts(values)
    if vector.type == q.GUID:
        return pa.array([None if one == bytes(16) else guid(one) for one in values], pa.string()), {}
    if values and all(isinstance(one, Vector) and one.type == q.CHAR for one in values):
        return texts([one.values.tobytes() for one in values], empty=True)
    if found := of_lists(values):
        return found
    bad = Bad()
    made = []
    for row, one in enumerate(values):
        try:
            made.append(python(one, ours))
        except ValueError as why:
            bad[row] = str(why)
            made.append(None)
    return made, bad


def of_lists(values: list[Any]) -> "tuple[pa.Array, Bad] | None":
    """A column of lists of numbers of one type, all at once; None if it is none."""
    import numpy as np
    import pyarrow as pa

    if not all(isinstance(one, Vector) for one in values):
        return None
    # An empty list of no type is one of any.
    kinds: set[int] = {one.type for one in values if len(one) or one.type != q.GENERAL}
    if len(kinds) != 1 or not kinds <= {q.SHORT, q.INT, q.LONG, q.REAL, q.FLOAT}:
        return None
    [kind] = kinds
    sizes = np.fromiter(map(len, values), "i8", len(values))
    ends = np.cumsum(sizes)
    flat, inside = column(Vector(kind, np.concatenate([one.values for one in values if len(one)] or [np.zeros(0, q.LAYOUT[kind])])))
    bad: Bad = {int(np.searchsorted(ends, row, "right")): f"holds what {why}" for row, why in inside.items()}
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), flat), bad


def guid(value: bytes) -> str:
    """A guid as people write it."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def python(value: Any, ours: str = "") -> Any:
    """A value of a mixed list in Python's types; raises `ValueError` for what cannot be kept."""
    import numpy as np

    if value is None:
        return None
    if isinstance(value, Atom):
        one = value.value
        [made] = python(Vector(value.type, [one] if isinstance(one, bytes) else np.array([one], q.LAYOUT[value.type])), ours)
        return made
    if isinstance(value, dict):
        columns = {name: python(one, ours) for name, one in value.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(value, Dict):
        return dict(zip(python(value.keys), python(value.values), strict=True))
    if not isinstance(value, Vector):
        raise ValueError("is of a type of q's that is no data")  # noqa: TRY004
    if value.type == q.CHAR:
        text: str = np.asarray(value.values).tobytes().decode()
        return text
    made, bad = column(value, ours)
    if bad:
        raise ValueError(f"holds what {next(iter(bad.values()))}")
    return made if isinstance(made, list) else instant_free(made)


def instant_free(values: Any) -> list[Any]:
    """An Arrow array in Python's types, times to the microsecond as those have them."""
    import pyarrow as pa

    if pa.types.is_timestamp(values.type) or pa.types.is_duration(values.type) or pa.types.is_time64(values.type):
        unit = {"timestamp": pa.timestamp("us"), "duration": pa.duration("us")}.get(str(values.type).partition("[")[0], pa.time64("us"))
        values = values.cast(unit, safe=False)
    listed: list[Any] = values.to_pylist()
    return listed


def joined(first: Vector, second: Vector, ours: str) -> "tuple[pa.Array | list[Any], Bad]":
    """Two columns as one: a day and the time of it as an instant, or two lists side by side as a list of pairs."""
    import numpy as np
    import pyarrow as pa

    if first.type == q.DATE and second.type in UNITS:
        (no_day, endless), (no_time, endless_too) = missing(first), missing(second)
        none, bad = no_day | no_time, Bad()
        told(bad, endless | endless_too, "is infinite")
        days = days_of(np.where(none | endless, 0, first.values), q.DATE)
        strange = np.abs(days) > 100_000
        told(bad, strange & ~none, "is outside the years that nanoseconds reach, 1707 to 2262")
        ns = np.where(none | endless_too, 0, second.values).astype("i8") * UNITS[second.type]
        odd = (ns < 0) | (ns >= DAY_NS)
        told(bad, odd & ~none, "is no time of a day")
        whole = np.where(strange, 0, days) * DAY_NS + np.where(odd, 0, ns)
        off = none | endless | endless_too | strange | odd
        return pa.array(np.where(off, 0, whole), pa.int64(), mask=off).cast(pa.timestamp("ns")), bad
    (ones, bad), (others, more) = column(first), column(second)
    bad = more | bad
    names = fields(ours)
    pairs: list[Any] = []
    for row, (one, other) in enumerate(zip(aslist(ones), aslist(others), strict=True)):
        if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
            if not (one is None and other is None):
                bad.setdefault(row, "is made of two lists that do not go together")
            pairs.append(None)
        else:
            pairs.append([dict(zip(names, pair, strict=True)) for pair in zip(one, other, strict=True)])
    return pairs, bad


def fields(ours: str) -> Sequence[str]:
    """The names of the first two fields of a list of structs, or names that say nothing."""
    found = re.findall(r"[(,]\s*\"?(\w+)\"?\s", ours)
    return found[:2] if len(found) >= 2 else ("first", "second")


def aslist(values: Any) -> list[Any]:
    """A column in Python's types."""
    return values if isinstance(values, list) else instant_free(values)
