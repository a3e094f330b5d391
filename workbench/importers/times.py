"""Whole arrays of dates and times as the lake keeps them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from workbench.importers.ways import Odd, Way, cast, expect, nothing
from workbench.importers.wider import EPOCHS
from workbench.query.staging import within_years

if TYPE_CHECKING:
    import pyarrow as pa

SCALES = {"s": 10**6, "ms": 10**3, "us": 1}
DAY_US = 86_400_000_000
# The years of which Arrow knows where clocks stood.
KNOWN = (1902, 2036)


def day(kind: "pa.DataType", zone: ZoneInfo) -> Way | None:
    """Dates."""
    import pyarrow as pa

    if pa.types.is_date(kind):
        return partial(cast, pa.date32())
    if pa.types.is_timestamp(kind):
        return partial(midnights, zone)
    return partial(day_text, zone) if pa.types.is_string(kind) else None


def day_text(zone: ZoneInfo, array: "pa.Array") -> "tuple[pa.Array, int]":
    """Dates that text tells, and midnights."""
    import pyarrow as pa

    for step in (pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            read = array.cast(step)
        except pa.ArrowInvalid:
            continue
        return (read, 0) if step == pa.date32() else midnights(zone, read)
    raise Odd


def midnights(zone: ZoneInfo, array: "pa.Array") -> "tuple[pa.Array, int]":
    """Dates of times that are midnights: of no zone, of UTC, or of the import's zone."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    seen: list[Callable[[], pa.Array]] = [lambda: array.cast(pa.timestamp(array.type.unit))]
    if array.type.tz:
        seen.append(lambda: shown(zone, array))
    steps = {"ns": 1000 * DAY_US}.get(array.type.unit) or DAY_US // SCALES[array.type.unit]
    for one in seen:
        told = pc.fill_null(one().cast(pa.int64()), 0).to_numpy()
        days, rest = np.divmod(told, steps)
        if not rest.any():
            return pa.array(days.astype(np.int32), mask=nothing(array)).cast(pa.date32()), 0
    raise Odd


def shown(zone: ZoneInfo, array: "pa.Array") -> "pa.Array":
    """Times as clocks of a zone show them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known(array)
    return pc.local_timestamp(array.cast(pa.timestamp(array.type.unit, zone.key)))


def instant(kind: "pa.DataType", zone: ZoneInfo) -> Way | None:
    """Times in UTC, to the microsecond."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return partial(moments, zone)
    if pa.types.is_date(kind):
        return lambda array: moments(zone, array.cast(pa.date32()).cast(pa.timestamp("us")))
    if pa.types.is_integer(kind):
        return epochs
    if pa.types.is_floating(kind):
        return seconds
    return partial(time_text, zone) if pa.types.is_string(kind) else None


def moments(zone: ZoneInfo, array: "pa.Array") -> "tuple[pa.Array, int]":
    """Times of any unit, in the import's zone where they name none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    form, cut = pa.timestamp("us", array.type.tz), 0
    if array.type.unit == "ns":
        made, cut = floored(array.cast(pa.int64()))
        made = made.cast(form)
    else:
        made = array.cast(form)
    if array.type.tz:
        return made.cast(pa.timestamp("us", "UTC")), cut
    if zone.key in ("UTC", "Etc/UTC"):
        return pc.assume_timezone(made, "UTC"), cut
    known(made)
    placed = pc.assume_timezone(made, zone.key, ambiguous="raise", nonexistent="raise")
    return placed.cast(pa.timestamp("us", "UTC")), cut


def known(array: "pa.Array") -> None:
    """Raises `Odd` for times of which Arrow does not know where clocks stood: its tables end in 2037, and it takes no rule for later."""
    import pyarrow.compute as pc

    span = pc.min_max(array).as_py()
    expect(span["min"] is None or (span["min"].year >= KNOWN[0] and span["max"].year <= KNOWN[1]))


def floored(nanoseconds: "pa.Array") -> "tuple[pa.Array, int]":
    """Nanoseconds as microseconds, and how many of them were finer."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    whole, rest = np.divmod(pc.fill_null(nanoseconds, 0).to_numpy(), 1000)
    return pa.array(whole, mask=nothing(nanoseconds)), int(np.count_nonzero(rest))


def epochs(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Whole numbers since 1970, all of one unit, which their size tells."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    told = pc.fill_null(array, 0).cast(pa.int64()).to_numpy()
    size = np.abs(told[told != 0])
    least, most = (int(size.min()), int(size.max())) if len(size) else (0, 0)
    # The least number of 64 bits has no absolute value.
    expect(least >= 0 and most >= 0)
    for before, (limit, scale) in zip((0, *(limit for limit, _ in EPOCHS)), EPOCHS, strict=False):
        if before <= least and most < limit:
            return checked(pa.array(told * scale, mask=nothing(array)))
    expect(least >= EPOCHS[-1][0])
    made, cut = floored(pa.array(told, mask=nothing(array)))
    return checked(made)[0], cut


def seconds(array: "pa.Array") -> "tuple[pa.Array, int]":
    """Seconds since 1970 with digits after the point, none finer than microseconds."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    told = pc.fill_null(array, 0).cast(pa.float64()).to_numpy()
    expect(bool((np.abs(told) < EPOCHS[0][0]).all()))
    made = np.rint(told * 1e6)
    # Beyond that a double has no microseconds, and its digits say something else.
    expect(bool((np.abs(made) < 2**53).all()) and bool((made / 1e6 == told).all()))
    return checked(pa.array(made.astype(np.int64), mask=nothing(array)))


def checked(microseconds: "pa.Array") -> "tuple[pa.Array, int]":
    """Instants, all of which Python has."""
    import pyarrow as pa

    made = microseconds.cast(pa.timestamp("us", "UTC"))
    expect(not within_years(pa.chunked_array([made]))[1])
    return made, 0


def time_text(zone: ZoneInfo, array: "pa.Array") -> "tuple[pa.Array, int]":
    """Times that text tells, all with a zone or all without."""
    import pyarrow as pa

    for step in (pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            read = array.cast(step)
        except pa.ArrowInvalid:
            continue
        made, cut = moments(zone, read)
        return checked(made.cast(pa.int64()))[0], cut
    raise Odd
