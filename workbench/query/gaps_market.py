"""Gaps of the whole market: which tickers have a day bar of a session, but nothing in a finer table.

Of the finer table only ticker and session are read, of which a file holds long runs: they are decoded as numbers, and looked at where they
change. Five years of minutes, 2.6 thousand million rows, need no summary that could be out of date (`tests/benchmarks/README.md`).
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from workbench.errors import BadRange, LakeError, UsageError
from workbench.lake.landings import Landing
from workbench.lake.remote.where import opened
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.report import Report
from workbench.tables import TABLES, Table, find

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Tickers times days that are marked in memory, a byte each.
CELLS = 1_000_000_000
# Rows in memory at a time, for each thread.
PIECE = 1 << 21
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Days:
    """The day bars that say that something traded: numbers of ticker and of day, and the volume of each; `tickers` gives names their number."""

    tickers: dict[str, int]
    ticker: "npt.NDArray[np.int32]"
    day: "npt.NDArray[np.int32]"
    volume: "npt.NDArray[np.float64]"


def market(
    lake: Lake,
    snapshots: Mapping[str, Snapshot],
    table: str,
    start: date | None = None,
    end: date | None = None,
    *,
    threads: int = 2,
) -> Report:
    """The tickers that traded in a session by its day bar, but have no row of it in a finer table: how many sessions, which, and how much.

    Only sessions count that both tables hold for the whole market. Raises `UnknownName`, `UsageError` for a table that no day bars sum up,
    `BadRange`, and `LakeError` if a file cannot be read.
    """
    fine, coarse = find(table), day_table(table)
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    shots = snapshots[fine.name], snapshots[coarse.name]
    notes = [
        f"{one.name} holds nothing; there is nothing to compare." for one, shot in zip((fine, coarse), shots, strict=True) if not shot.files
    ]
    if notes:
        return told(lake, fine, coarse, [], (start, end), 0, 0, notes)
    first = max(start or date.min, *(min(file.first for file in shot.files) for shot in shots))
    last = min(end or date.max, *(max(file.last for file in shot.files) for shot in shots))
    if last < first:
        raise BadRange(f"{fine.name} and {coarse.name} have no session in common from {start or first} to {end or last}; nothing was done.")
    try:
        days = traded(lake, coarse, shots[1], first, last)
        cells = len(days.tickers) * ((last - first).days + 1)
        if cells > CELLS:
            raise BadRange(
                f"{len(days.tickers):,} tickers from {first} to {last} are too many to compare at once; nothing was done. Give fewer sessions."
            )
        present, seen = presence(lake, fine, shots[0], days.tickers, first, last, threads)
    except OSError as fault:
        raise LakeError(
            f"a file of {fine.name} or {coarse.name} cannot be read ({fault}); nothing was given. `workbench verify` says what is wrong with "
            "the lake and what mends it."
        ) from fault
    partly = asked_only(lake[fine.name].landings(shots[0].version).values(), first, last)
    for day in partly:
        seen[(day - first).days] = False
    if partly:
        notes.append(f"Of {len(partly):,} of the sessions {fine.name} holds only the tickers that were asked for; they were not looked at.")
    rows, expected = missing(days, present, seen, first)
    return told(lake, fine, coarse, rows, (first, last), int(seen.sum()), expected, notes)


def told(
    lake: Lake,
    fine: Table,
    coarse: Table,
    rows: list[dict[str, Any]],
    ends: tuple[date | None, date | None],
    sessions: int,
    expected: int,
    notes: list[str],
) -> Report:
    """The comparison as a report."""
    gone = sum(row["missing"] for row in rows)
    span = f" from {ends[0]} to {ends[1]}" if sessions else ""
    share = f" ({gone / expected:.2%})" if expected else ""
    title = f"{fine.name}: {gone:,} of {expected:,} ticker-sessions{share} with a bar in {coarse.name} have no rows; {sessions:,} sessions{span}"
    facts = {"root": lake.where, "table": fine.name, "problems": len(rows), "missing": gone, "expected": expected, "sessions": sessions}
    return Report(title, rows, ("volume",), **facts, notes=notes)


def day_table(table: str) -> Table:
    """The day bars that sum a table up. Raises `UnknownName`, or `UsageError` if there are none."""
    declared = find(table)
    while declared.rollup:
        declared = TABLES[declared.rollup]
    if declared.name == table or not declared.name.endswith("_day"):
        raise UsageError(f"no day bars sum {table} up, so nothing tells what it lacks; nothing was done. Ask for one of minutes or trades.")
    return declared


def asked_only(landings: Any, first: date, last: date) -> list[date]:
    """The sessions that hold only tickers that were asked for."""
    held: dict[date, list[Landing]] = {}
    for one in landings:
        if one.held and first <= one.session <= last:
            held.setdefault(one.session, []).append(one)
    return [day for day, some in held.items() if all(one.asked for one in some)]


# ---------------------------------------------------------------------- read


def traded(lake: Lake, table: Table, shot: Snapshot, first: date, last: date) -> Days:
    """The day bars with a volume, of all tickers but the exchanges' test ones."""
    import numpy as np

    numbers: dict[str, int] = {}
    found: list[tuple[Any, Any, Any]] = []
    for path in paths(lake, table, shot, first, last):
        for rows in pieces(path, ["ticker", "date", "volume", "is_test"]):
            ticker, day = numbered(rows, numbers, first, new=True)
            volume = rows["volume"].to_numpy()
            keep = (volume > 0) & (day >= 0) & (day <= (last - first).days) & ~rows["is_test"].to_numpy()
            found.append((ticker[keep], day[keep], volume[keep]))
    kinds = (np.int32, np.int32, np.float64)
    columns = [np.concatenate([np.zeros(0, kind), *(one[n] for one in found)]) for n, kind in enumerate(kinds)]
    return Days(numbers, *columns)


def presence(
    lake: Lake, table: Table, shot: Snapshot, numbers: dict[str, int], first: date, last: date, threads: int
) -> "tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]":
    """Which tickers have a row of which days, and of which days there is any row at all."""
    import numpy as np

    count = (last - first).days + 1
    present, seen = np.zeros((len(numbers), count), bool), np.zeros(count, bool)

    def mark(path: str) -> None:
        for rows in pieces(path, ["ticker", "date"]):
            ticker, day = changes(*numbered(rows, numbers, first))
            inside = (day >= 0) & (day < count)
            seen[day[inside]] = True
            known = inside & (ticker >= 0)
            present[ticker[known], day[known]] = True

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(mark, paths(lake, table, shot, first, last)):
            pass
    return present, seen


def missing(days: Days, present: Any, seen: Any, first: date) -> tuple[list[dict[str, Any]], int]:
    """A row for each ticker with day bars that nothing stands behind, the most missing first; and how many day bars were looked at."""
    import numpy as np

    looked = seen[days.day]
    gone = looked & ~present[days.ticker, days.day]
    ticker, day, volume = days.ticker[gone], days.day[gone], days.volume[gone]
    count = len(days.tickers)
    expected, lacking, shares = (
        np.bincount(which, weights, count) for which, weights in ((days.ticker[looked], None), (ticker, None), (ticker, volume))
    )
    low, high = np.full(count, np.iinfo(np.int32).max), np.full(count, -1)
    np.minimum.at(low, ticker, day)
    np.maximum.at(high, ticker, day)
    names = list(days.tickers)
    order = sorted(np.flatnonzero(lacking).tolist(), key=lambda n: (-lacking[n], names[n]))
    rows = [
        {
            "ticker": names[n],
            "missing": int(lacking[n]),
            "sessions": int(expected[n]),
            "share": round(float(lacking[n] / expected[n]), 6),
            "first": first + timedelta(days=int(low[n])),
            "last": first + timedelta(days=int(high[n])),
            "volume": float(shares[n]),
        }
        for n in order
    ]
    return rows, int(looked.sum())


def paths(lake: Lake, table: Table, shot: Snapshot, first: date, last: date) -> list[str]:
    """The files that may hold rows of some dates."""
    folder = lake[table.name].folder
    return [f"{folder}/{file.path}" for file in shot.files if file.last >= first and file.first <= last]


def pieces(path: str, columns: Sequence[str]) -> "Iterator[Any]":
    """Some columns of a file, a few row groups at a time, tickers as a dictionary."""
    import pyarrow.parquet as pq

    # A memory map would kill the process if the file were cut short under it.
    with pq.ParquetFile(opened(path), read_dictionary=["ticker"], memory_map=False) as file:
        groups, rows = list[int](), 0
        for number in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(number).num_rows
            if groups and rows + size > PIECE:
                yield file.read_row_groups(groups, columns, use_threads=False)
                groups, rows = [], 0
            groups.append(number)
            rows += size
        if groups:
            yield file.read_row_groups(groups, columns, use_threads=False)


def numbered(rows: Any, numbers: dict[str, int], first: date, *, new: bool = False) -> tuple[Any, Any]:
    """Rows' tickers and days as numbers, days counted from the first; a ticker without a number gets -1, or a new one."""
    import numpy as np
    import pyarrow as pa

    tickers = []
    for chunk in rows["ticker"].chunks:
        names = chunk.dictionary.to_pylist()
        codes = [numbers.setdefault(name, len(numbers)) if new else numbers.get(name, -1) for name in names]
        tickers.append(np.array(codes, np.int32)[chunk.indices.to_numpy()])
    days = [chunk.view(pa.int32()).to_numpy() for chunk in rows["date"].chunks]
    kind = np.int32
    return np.concatenate([np.zeros(0, kind), *tickers]), np.concatenate([np.zeros(0, kind), *days]) - kind((first - EPOCH).days)


def changes(ticker: Any, day: Any) -> tuple[Any, Any]:
    """Tickers and days once for each run of equal ones."""
    import numpy as np

    if not len(ticker):
        return ticker, day
    starts = np.flatnonzero((ticker[1:] != ticker[:-1]) | (day[1:] != day[:-1])) + 1
    starts = np.concatenate(([0], starts))
    return ticker[starts], day[starts]
