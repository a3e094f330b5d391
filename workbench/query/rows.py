"""The rows of a few tickers, straight from the Parquet files, as one contiguous Polars frame.

The log's statistics say which files may hold them, the files' footers which row groups; only those are read. Files never change once
they are committed, so footers are kept. Within a file a ticker's rows stand together, in order of time.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

from workbench.errors import BadRange, LakeError, UsageError
from workbench.lake.remote.where import opened
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.lake.types import polars_type
from workbench.query import ahead
from workbench.tables import TABLES, Table, find

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# What makes fewer rows of some.
Each = Callable[["pa.Table"], "pa.Table"]

# Bytes of footers, as they are in the files, that are kept in memory.
FOOTERS = 64_000_000
# So few rows are read sooner than threads are started.
FEW_ROWS = 200_000


@dataclass(frozen=True)
class Request:
    """What is wanted of a table: some tickers, in byte order, between two sessions, both included; None is open."""

    tickers: tuple[str, ...]
    first: date | None
    last: date | None
    columns: tuple[str, ...]

    def touches(self, low: str | None, high: str | None) -> bool:
        """Whether a wanted ticker may be between two, both included; None says that nothing is known."""
        if low is None or high is None:
            return True
        at = bisect_left(self.tickers, low)
        return at < len(self.tickers) and self.tickers[at] <= high

    def overlaps(self, first: date | None, last: date | None) -> bool:
        """Whether a wanted session may be between two, both included; None says that nothing is known."""
        if first is None or last is None:
            return True
        return (self.first is None or last >= self.first) and (self.last is None or first <= self.last)

    def holds(self, first: date | None, last: date | None) -> bool:
        """Whether all sessions between two are wanted."""
        if self.first is None and self.last is None:
            return True
        if first is None or last is None:
            return False
        return (self.first is None or first >= self.first) and (self.last is None or last <= self.last)


@dataclass(frozen=True)
class Group:
    """A row group: its rows, its least and greatest ticker and session, None where the footer does not say."""

    number: int
    rows: int
    low: str | None
    high: str | None
    first: date | None
    last: date | None


@dataclass(frozen=True)
class Piece:
    """Rows of one ticker, in order of time."""

    ticker: str
    since: int
    until: int
    rows: "pa.Table"


class Footers:
    """Footers of files that were read lately, by path."""

    def __init__(self, limit: int = FOOTERS):
        self._limit = limit
        self._held: OrderedDict[str, tuple[Any, tuple[Group, ...], int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __call__(self, path: str) -> tuple[Any, tuple[Group, ...]]:
        """A file's footer, as pyarrow has it, and what it says of each row group."""
        import pyarrow.parquet as pq

        with self._lock:
            if path in self._held:
                self._held.move_to_end(path)
                return self._held[path][:2]
        meta = pq.read_metadata(opened(path))
        held = (meta, groups(meta), meta.serialized_size)
        with self._lock:
            if path not in self._held:
                self._held[path] = held
                self._bytes += held[2]
            while self._bytes > self._limit and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1][2]
        return held[:2]


FOOTERS_READ = Footers()


def groups(meta: Any) -> tuple[Group, ...]:
    """What a footer says of each row group's tickers and sessions."""
    place = {meta.schema.column(n).path: n for n in range(meta.num_columns)}
    found = []
    for number in range(meta.num_row_groups):
        group = meta.row_group(number)
        spans: list[Any] = []
        for name in ("ticker", "date"):
            stats = group.column(place[name]).statistics
            known = stats is not None and stats.has_min_max and stats.has_null_count and not stats.null_count
            spans += (stats.min, stats.max) if known else (None, None)
        found.append(Group(number, group.num_rows, *spans))
    return tuple(found)


@dataclass(frozen=True)
class Rows:
    """Reads what a session's queries read: `shots` gives a table's snapshot, `lake` its folder."""

    lake: Lake
    shots: Callable[[str], Snapshot]
    timezone: str
    threads: int

    def read(
        self,
        tickers: str | Iterable[str],
        table_of: Callable[[str], Table],
        first: date | None,
        last: date | None,
        columns: Callable[[Table], tuple[str, ...]],
        each: Each | None = None,
    ) -> "pl.DataFrame":
        """Rows of some tickers, each from its table, in order of ticker and time; no rows, but the columns, where there are none.

        `each` makes fewer rows of those of a ticker that lie together in a file, without the column `ticker`, as they are read: they need not
        all be held. Where rows of several files mix it is not done; whoever gives it does it once more to what comes.

        Raises `BadRange` for a range that ends before it starts, and `LakeError` if a file cannot be read.
        """
        import polars as pl

        if first and last and first > last:
            raise BadRange(f"{first} is after {last}; nothing was read. Give the earlier session first.")
        named: dict[str, Table] = {ticker: table_of(ticker) for ticker in ([tickers] if isinstance(tickers, str) else tickers)}
        by_table: dict[str, list[str]] = {}
        for ticker in sorted(named):
            by_table.setdefault(named[ticker].name, []).append(ticker)
        if not by_table:
            by_table[table_of("").name] = []
        found = []
        for name, its in by_table.items():
            shown = columns(TABLES[name])
            rows = self._from_table(TABLES[name], Request(tuple(its), first, last, shown), each)
            found.append(rows.with_columns(pl.col("timestamp").dt.convert_time_zone(self.timezone)))
        return (
            found[0] if len(found) == 1 else pl.concat(found, how="diagonal", rechunk=True).sort("ticker", "timestamp", maintain_order=True)
        )

    def _from_table(self, table: Table, wanted: Request, each: Each | None) -> "pl.DataFrame":
        log = self.lake[table.name]
        hot, cold = prune(self.shots(table.name), wanted)
        try:
            pieces = gather([f"{log.folder}/{path}" for path in cold], wanted, self.threads, each)
            pieces += log.with_here(hot, lambda paths: from_hot(list(map(str, paths)), wanted))
        except OSError as fault:
            raise LakeError(
                f"a file of {table.name} cannot be read ({fault}); nothing was given. `workbench verify` says what is wrong with the lake "
                "and what mends it."
            ) from fault
        if each and not apart(pieces):
            return self._from_table(table, wanted, None)
        return frame(pieces, table, wanted, self.threads)


def asset_of(ticker: str) -> str:
    """What the tables of a ticker's asset class begin with, by its prefix: O: option, I: index, C: forex, X: crypto, and stock without one."""
    prefix, colon, _ = ticker.partition(":")
    return {"O": "option", "I": "index", "C": "forex", "X": "crypto"}.get(prefix, "stock") if colon else "stock"


def of_kind(name: str, kind: str) -> Table:
    """A declared table of bars, or of ticks. Raises `UnknownName`, or `UsageError` for one that holds the other."""
    table = find(name)
    if table.kind != kind:
        there = ", ".join(t.name for t in TABLES.values() if t.kind == kind)
        raise UsageError(f"{name} holds {table.kind}, not {kind}; nothing was read. {kind.capitalize()} are in {there}.")
    return table


def prune(shot: Snapshot, wanted: Request) -> tuple[list[str], list[str]]:
    """The hot and the other files that may hold wanted rows, by the log's statistics."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stats = shot.stats
    if stats is None or not wanted.tickers:
        return [], []
    low, high = (pa.scalar(edge) for edge in (wanted.tickers[0], wanted.tickers[-1]))
    tests = [pc.less_equal(stats["low"], high), pc.greater_equal(stats["high"], low)]
    if wanted.first:
        tests.append(pc.greater_equal(stats["last"], pa.scalar(wanted.first)))
    if wanted.last:
        tests.append(pc.less_equal(stats["first"], pa.scalar(wanted.last)))
    # What the log does not say may be anything.
    keep = pc.fill_null(tests[0], True)
    for test in tests[1:]:
        keep = pc.and_(keep, pc.fill_null(test, True))
    left = stats.select(["path", "bucket", "low", "high"]).filter(keep).to_pydict()
    hot, cold = list[str](), list[str]()
    for path, bucket, *span in zip(*left.values(), strict=True):
        if wanted.touches(*span):
            (hot if bucket is None else cold).append(path)
    return hot, cold


def from_hot(paths: Sequence[str], wanted: Request) -> list[Piece]:
    """The wanted rows of hot files, which share their row groups with many tickers.

    Polars decodes only the rows that are wanted: measured three times as fast here as reading whole row groups, which wins on cold files.
    """
    import polars as pl

    if not paths:
        return []
    # Bounds beside the list, because statistics of row groups are compared with those only.
    ticker, session = pl.col("ticker"), pl.col("date")
    tests = [ticker >= pl.lit(wanted.tickers[0]), ticker <= pl.lit(wanted.tickers[-1])]
    if len(wanted.tickers) > 1:
        tests.append(ticker.is_in(wanted.tickers))
    if wanted.first:
        tests.append(session >= wanted.first)
    if wanted.last:
        tests.append(session <= wanted.last)
    rows = pl.scan_parquet(list(paths), glob=False, hive_partitioning=False).filter(*tests).select(wanted.columns).collect()
    rows = rows.sort("ticker", "timestamp", maintain_order=True)
    pieces, start, times = list[Piece](), 0, rows["timestamp"].to_physical()
    for run in rows["ticker"].rle().struct.unnest().iter_rows(named=True):
        end = start + run["len"]
        pieces.append(Piece(run["value"], times[start], times[end - 1], rows[start:end].to_arrow()))
        start = end
    return pieces


def gather(paths: Sequence[str], wanted: Request, threads: int, each: Each | None) -> list[Piece]:
    """The wanted rows of some files, or what `each` makes of them, several files at a time where that is worth a thread."""
    ahead.each(paths, FOOTERS_READ)
    chosen = [
        (ahead.source(path, meta, [group.number for group in groups], wanted.columns), meta, groups)
        for path in paths
        for meta, groups in [some(path, wanted)]
        if groups
    ]
    few = sum(group.rows for _, _, groups in chosen for group in groups) <= FEW_ROWS
    alone = threads == 1 or few or len(chosen) < 2

    def one(file: tuple[Any, Any, list[Group]]) -> list[Piece]:
        return from_file(*file, wanted, alone and threads > 1 and not few)

    names = [name for name in wanted.columns if name != "ticker"]

    def fewer(pieces: list[Piece]) -> list[Piece]:
        return [replace(piece, rows=each(piece.rows.select(names))) for piece in pieces] if each else pieces

    if alone:
        return [piece for file in chosen for piece in fewer(one(file))]
    # Whoever makes fewer rows holds the interpreter's lock more often than not: it does so here, one beside those that read. Measured at three
    # quarters of the time of doing both in each thread.
    with ThreadPoolExecutor(min(threads - bool(each), len(chosen))) as pool:
        return [piece for found in pool.map(one, chosen) for piece in fewer(found)]


def some(path: str, wanted: Request) -> tuple[Any, list[Group]]:
    """A file's footer, and the row groups that may hold wanted rows."""
    meta, known = FOOTERS_READ(path)
    return meta, [group for group in known if wanted.touches(group.low, group.high) and wanted.overlaps(group.first, group.last)]


def from_file(source: Any, meta: Any, chosen: Sequence[Group], wanted: Request, parallel: bool) -> list[Piece]:
    """The wanted rows of a file, or what reads it: of the row groups that may hold some, cut to the tickers and sessions wanted."""
    import pyarrow.parquet as pq

    sole = chosen[0].low if all(group.low == group.high == chosen[0].low for group in chosen) else None
    columns = [name for name in wanted.columns if name != "ticker"] + ["ticker"] * (sole is None)
    # A memory map would kill the process if the file were cut short under it.
    with pq.ParquetFile(source, metadata=meta, read_dictionary=["ticker"] * (sole is None), memory_map=False) as file:
        rows = file.read_row_groups([group.number for group in chosen], columns, use_threads=parallel)
    days = not all(wanted.holds(group.first, group.last) for group in chosen)
    return cut(rows, wanted, sole, days)


def cut(rows: "pa.Table", wanted: Request, sole: str | None, days: bool) -> list[Piece]:
    """The wanted rows, a piece for each run of one ticker. `sole` is the only ticker there is, if known; `days` says that sessions are checked."""
    import numpy as np

    if not len(rows):
        return []
    times = rows["timestamp"]
    if sole is not None and not days:
        return [Piece(sole, times[0].value, times[-1].value, rows)] if sole in wanted.tickers else []
    marks = np.full(len(rows), wanted.tickers.index(sole)) if sole is not None else marked(rows["ticker"], wanted.tickers)
    if days:
        session = rows["date"].to_numpy()
        if wanted.first:
            marks[session < np.datetime64(wanted.first)] = -1
        if wanted.last:
            marks[session > np.datetime64(wanted.last)] = -1
    # Runs of one ticker without a gap.
    edges = np.flatnonzero(np.diff(marks)) + 1
    starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(rows)]
    return [
        Piece(wanted.tickers[marks[start]], times[start].value, times[end - 1].value, rows.slice(start, end - start))
        for start, end in zip(starts, ends, strict=True)
        if marks[start] >= 0
    ]


def marked(tickers: "pa.ChunkedArray", wanted: Sequence[str]) -> Any:
    """For each row, which of the wanted tickers it is of; -1 for none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for chunk in tickers.chunks:
        known = pc.index_in(chunk.dictionary, value_set=pa.array(wanted, chunk.dictionary.type)).fill_null(-1).to_numpy()
        found.append(known[chunk.indices.to_numpy()])
    return np.concatenate(found)


def place(piece: Piece) -> tuple[str, int, int]:
    """What pieces are ordered by."""
    return piece.ticker, piece.since, piece.until


def apart(pieces: Iterable[Piece]) -> bool:
    """Whether no piece begins before another of its ticker ends."""
    return all(one.ticker != other.ticker or one.until <= other.since for one, other in pairwise(sorted(pieces, key=place)))


def frame(pieces: Sequence[Piece], table: Table, wanted: Request, threads: int) -> "pl.DataFrame":
    """Pieces as one frame, in order of ticker and time, contiguous."""
    import polars as pl
    import pyarrow as pa

    if not pieces:
        return pl.DataFrame(schema={name: polars_type(table[name]) for name in wanted.columns})
    in_order = apart(pieces)
    pieces = sorted(pieces, key=place)
    names = [name for name in wanted.columns if name != "ticker"]

    def joined(name: str) -> "pa.Array":
        # In pyarrow's pool, which keeps its memory: memory fresh from the system costs as much as decoding into it.
        chunks = [chunk for piece in pieces for chunk in piece.rows[name].chunks]
        # Texts have another type where Polars read them.
        alike = [chunk if chunk.type == chunks[0].type else chunk.cast(chunks[0].type) for chunk in chunks]
        return alike[0] if len(alike) == 1 else pa.concat_arrays(alike)

    if threads == 1 or len(pieces) == 1 or sum(len(piece.rows) for piece in pieces) <= FEW_ROWS:
        columns = [joined(name) for name in names]
    else:
        with ThreadPoolExecutor(min(threads, len(names))) as pool:
            columns = list(pool.map(joined, names))
    rows = pl.from_arrow(pa.table(columns, names=names), rechunk=False)
    assert isinstance(rows, pl.DataFrame)
    tickers = sorted({piece.ticker for piece in pieces})
    if len(tickers) == 1:
        rows = rows.with_columns(pl.lit(tickers[0]).alias("ticker"))
    else:
        runs = pl.DataFrame({"ticker": [piece.ticker for piece in pieces], "rows": [len(piece.rows) for piece in pieces]})
        rows = rows.with_columns(runs.select(pl.col("ticker").repeat_by("rows").list.explode())["ticker"])
    rows = rows.select(wanted.columns)
    return rows if in_order else rows.sort("ticker", "timestamp", maintain_order=True)
