"""Bars of longer stretches from shorter ones: rows that lie together, by ticker and time, become one.

Buckets are counted from the beginning of the part of the session that they lie in, so that no bar holds parts of two.
"""

import math
from typing import TYPE_CHECKING, Any

from workbench.query import parts
from workbench.tables import Table
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

MINUTE_US = 60_000_000
INTRADAY = {"1m": MINUTE_US, "5m": 5 * MINUTE_US, "15m": 15 * MINUTE_US, "30m": 30 * MINUTE_US, "1h": 60 * MINUTE_US}
SIZES = (*INTRADAY, "1d", "1w", "1mo")
# Runs of so few rows are compared place by place sooner than run by run: numpy's reduceat costs 16 ns a run.
FEW = 8
# What a longer bar takes from its rows: extremes and sums of all, these of the last, all else of the first.
EXTREMES = {"high": "maximum", "low": "minimum"}
SUMS = ("volume", "transactions")
LAST = ("close", "traded_as", "last_date")


def intraday(rows: "pl.DataFrame", table: Table, size: str, part: str = "all") -> "pl.DataFrame":
    """Bars of a part of the session from minutes, in order of ticker and time; `timestamp` is where each begins."""
    wanted, clock, on = INTRADAY[size], parts.clock(table), grid(table, size)
    rows = parts.of(on_grid(rows, on), part, table)
    if wanted in (on, MINUTE_US):
        return rows
    return buckets(rows, starts(physical(rows["timestamp"]), physical(rows["date"]), clock, wanted))


def starts(at: Any, days: Any, clock: parts.Clock, size: int) -> Any:
    """When the buckets begin that some instants of some days lie in; all in microseconds since 1970 UTC."""
    import numpy as np

    place = clock.place(days)
    opens, closes = clock.opens[place], clock.closes[place]
    since = np.where(at >= closes, closes, opens)
    if clock.pre is not None:
        since = np.where(at >= opens, since, clock.pre[place])
    # Rounded down, also before the first beginning: what lies there is counted backwards from it.
    return since + (at - since) // size * size


def days(rows: "pl.DataFrame", table: Table, part: str = "all") -> "pl.DataFrame":
    """Bars of sessions, or of a part of them, from minutes; `timestamp` is that of the session, as in a table of day bars."""
    rows = parts.of(on_grid(rows, grid(table, "1d")), part, table)
    return stamped(joined(rows, changes(rows, physical(rows["date"]))), table)


def grid(table: Table, size: str) -> int:
    """The longest bars that all parts of sessions and bars of a size are made of; 0 if none are longer than minutes.

    Counted from 1970 they are the same as counted from a part's beginning, and cost less.
    """
    longest = math.gcd(parts.clock(table).grid_us, INTRADAY.get(size, 0))
    return longest if longest > MINUTE_US else 0


def on_grid(rows: "pl.DataFrame", grid: int) -> "pl.DataFrame":
    """Minutes as bars of such a length; such bars as they are."""
    return buckets(rows, physical(rows["timestamp"]) // grid, grid) if grid else rows


def buckets(rows: "pl.DataFrame", numbers: Any, size: int = 1) -> "pl.DataFrame":
    """A bar for each run of rows of one ticker, session and number; it begins at its number times the size."""
    import polars as pl

    starts = changes(rows, physical(rows["date"]), numbers)
    # As rows that were shortened while they were read mostly are.
    if len(starts) == len(rows) and (numbers * size == physical(rows["timestamp"])).all():
        return rows
    return joined(rows, starts).with_columns(pl.Series("timestamp", numbers[starts] * size).cast(rows.schema["timestamp"]))


def periods(rows: "pl.DataFrame", table: Table, size: str) -> "pl.DataFrame":
    """Bars of weeks or months from bars of sessions; `date` is the first session of the period by the calendar, `last_date` that of its last bar."""
    bars = joined(rows.with_columns(last_date="date"), runs(rows, size))
    return stamped(bars.with_columns(firsts(bars["date"], table, size)), table)


def runs(rows: "pl.DataFrame", size: str) -> Any:
    """Where each ticker's weeks or months begin in bars of sessions."""
    return changes(rows, numbered(rows["date"], size))


def numbered(sessions: "pl.Series", size: str) -> Any:
    """The first day of the ISO week or the month that each session lies in, or the session itself, as day numbers."""
    return physical(sessions if size == "1d" else sessions.dt.truncate(size))


def firsts(sessions: "pl.Series", table: Table, size: str) -> "pl.Series":
    """The first session by the calendar of the week or month that each lies in; its first day, if the calendar has none in it."""
    import numpy as np
    import polars as pl

    every = parts.clock(table).sessions
    named, asked = numbered(pl.Series(every).cast(pl.Date), size), numbered(sessions, size)
    at = np.minimum(np.searchsorted(named, asked), len(every) - 1)
    return pl.Series("date", np.where(named[at] == asked, every[at], asked)).cast(pl.Date)


def stamped(bars: "pl.DataFrame", table: Table) -> "pl.DataFrame":
    """Bars of sessions and longer, with the `timestamp` of their date: midnight in the table's zone; of futures, the session's opening."""
    import polars as pl

    kind = bars.schema["timestamp"]
    assert isinstance(kind, pl.Datetime)
    if table.asset == "futures":
        clock = parts.clock(table)
        return bars.with_columns(pl.Series("timestamp", clock.opens[clock.place(physical(bars["date"]))], pl.Int64).cast(kind))
    midnight = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone(table.zone)
    return bars.with_columns(midnight.dt.convert_time_zone(kind.time_zone or NEW_YORK).alias("timestamp"))


# ---------------------------------------------------------------------- join


def physical(column: "pl.Series") -> Any:
    """A column of times or dates as numbers."""
    return column.to_physical().to_numpy()


def changes(rows: "pl.DataFrame", *numbers: Any) -> Any:
    """Where runs of rows that share ticker and numbers begin."""
    import numpy as np

    if rows.is_empty():
        return np.empty(0, dtype=np.int64)
    begins = np.concatenate([[True], different(*numbers)])
    if rows["ticker"][0] != rows["ticker"][-1]:
        begins[1:] |= (rows["ticker"][1:] != rows["ticker"][:-1]).to_numpy()
    return np.flatnonzero(begins)


def different(first: Any, *more: Any) -> Any:
    """For each place but the first, whether one of some rows of numbers differs from the place before."""
    found = first[1:] != first[:-1]
    for numbers in more:
        found |= numbers[1:] != numbers[:-1]
    return found


def joined(rows: "pl.DataFrame", starts: Any) -> "pl.DataFrame":
    """One bar for each run of rows: the highest high, the lowest low, volume and trades summed up, of some the last, of all else the first."""
    import numpy as np
    import polars as pl
    from polars import selectors

    if len(starts) == len(rows):
        return rows
    lasts = np.append(starts[1:], len(rows)) - 1
    made = pl.from_arrow(summed_up(rows.select(~selectors.string()).to_arrow(), starts))
    assert isinstance(made, pl.DataFrame)
    words = [one.gather(lasts if one.name in LAST else starts) for one in rows.select(selectors.string())]
    return made.with_columns(words).select(rows.columns).cast(rows.schema)


def shortened(rows: "pa.Table", grid: int) -> "pa.Table":
    """Bars as long as the grid of minutes that lie together, of one ticker: what `on_grid` makes, for as long as they are Arrow's.

    Done twice, or to each of some stretches and then to all, it is the same as done once.
    """
    import numpy as np
    import pyarrow as pa

    numbers = values(rows["timestamp"]) // grid
    starts = np.flatnonzero(np.concatenate([[True], different(numbers, values(rows["date"]))])) if len(rows) else np.empty(0, np.int64)
    at = pa.array(numbers[starts] * grid).view(rows.schema.field("timestamp").type)
    return summed_up(rows, starts).set_column(rows.schema.get_field_index("timestamp"), "timestamp", at)


def summed_up(rows: "pa.Table", starts: Any) -> "pa.Table":
    """Columns of numbers and times, a row for each run of rows."""
    import numpy as np
    import pyarrow as pa

    if len(starts) == len(rows):
        return rows
    lasts = np.append(starts[1:], len(rows)) - 1
    longest = int((lasts - starts).max()) + 1
    # Of short runs each second, third and so on row, or the last where there is none: the same for all columns.
    places = [np.minimum(starts + n, lasts) for n in range(1, longest)] if longest <= FEW else []

    def one(name: str) -> "pa.Array":
        column = rows[name]
        if name in SUMS:
            return total(column, starts, lasts, places)
        numbers = values(column)
        if name in EXTREMES:
            return pa.array(extreme(getattr(np, EXTREMES[name]), numbers, starts, places))
        return pa.array(numbers.take(lasts if name in LAST else starts)).view(column.type)

    return pa.table([one(name) for name in rows.column_names], names=rows.column_names)


def values(column: "pa.ChunkedArray") -> Any:
    """A column as numbers."""
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if str(chunk.type).startswith(("timestamp", "date")):
        chunk = chunk.view(f"int{chunk.type.bit_width}")
    return chunk.to_numpy(zero_copy_only=False)


def extreme(which: Any, numbers: Any, starts: Any, places: Any) -> Any:
    """The greatest or the least of each run; `places` are those of its further rows, if runs are short."""
    if not places:
        return which.reduceat(numbers, starts)
    found = numbers.take(starts)
    for place in places:
        which(found, numbers.take(place), out=found)
    return found


def total(column: "pa.ChunkedArray", starts: Any, lasts: Any, places: Any) -> "pa.Array":
    """The sum of each run, of the values that are told; NULL where none is."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not column.null_count:
        return pa.array(summed(values(column), starts, lasts, places))
    told = np.add.reduceat(values(pc.is_valid(column)).astype(np.int64), starts)
    return pa.array(np.add.reduceat(values(pc.fill_null(column, 0)), starts), mask=told == 0)


def summed(numbers: Any, starts: Any, lasts: Any, places: Any) -> Any:
    """The sum of each run, from its first row to its last."""
    import numpy as np

    if not places:
        return np.add.reduceat(numbers, starts)
    found = numbers.take(starts)
    for n, place in enumerate(places, 1):
        np.add(found, numbers.take(place), out=found, where=starts + n <= lasts)
    return found
