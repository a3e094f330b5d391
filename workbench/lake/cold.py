"""Cold files: the rows of many files, cut by ticker range, in order of ticker and time.

A range is read, ordered, written, read back and compared with what went in, by count and by content, before anyone may commit it.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BrokenPromise
from workbench.lake.disk import sync
from workbench.lake.footers import Footer
from workbench.lake.landings import NewFile
from workbench.lake.snapshots import LiveFile
from workbench.lake.types import polars_type
from workbench.tables import Table
from workbench.tables.spec import period_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# A row group holds whole tickers: as many as fit, or one of many rows. Many groups cost every query, long ones cost those that ask for one
# ticker: the more rows a ticker has in a chunk, the longer the best. Measured in `tests/benchmarks/README.md`.
ROW_GROUPS = {"year": (16_384, 16_384), "month": (65_536, 16_384), "quarter": (131_072, 50_000), "day": (131_072, 50_000)}
# Rows that are held in memory at once, about.
PIECE = 3_000_000
# Numbers of which few are equal: a dictionary would only cost.
UNREPEATED = ("volume", "sequence_number")
# In a row group of many tickers with few rows each, there is no price that repeats.
APART = (*UNREPEATED, "open", "high", "low", "close", "transactions")
SEED = 20_240_102
# Tells drafts of one way of writing from another's.
LAYOUT = 3

# A session of a venue; the venue is None where a table has none.
Part = tuple[date, str | None]
# The rows of a session, and venue, that one source gave.
Given = tuple[date, str | None, str]


@dataclass(frozen=True)
class Written:
    """A range that was written: its file (None if no rows fell in it), how many rows were read for it, and their content."""

    file: NewFile | None
    read: int
    content: int


def bounds_for(paths: Sequence[Path], frames: "Sequence[pl.DataFrame]", table: Table, since: date = date.min) -> tuple[str, ...]:
    """Ticker bounds that cut rows (from a session on) into `table.ranges` ranges of about as many, in byte order."""
    import polars as pl

    rows = scan(paths, frames, table)
    return cuts(rows.filter(pl.col("date") >= since) if since > date.min else rows, table.ranges)


def cuts(rows: "pl.LazyFrame", pieces: int, low: str | None = None, high: str | None = None) -> tuple[str, ...]:
    """Tickers that cut a range into pieces of about equal rows: each begins a piece, but for the first."""
    if pieces == 1:
        return ()
    counts = within(rows.select("ticker"), low, high).group_by("ticker").len().sort("ticker").collect(engine="streaming")
    before = counts["len"].cum_sum() - counts["len"]
    share = (before * pieces // max(counts["len"].sum(), 1)).to_list()
    tickers: list[str] = counts["ticker"].to_list()
    return tuple(t for i, t in enumerate(tickers) if i and share[i] != share[i - 1])


def within(rows: "pl.LazyFrame", low: str | None, high: str | None) -> "pl.LazyFrame":
    """The rows of a range."""
    import polars as pl

    if low is not None:
        rows = rows.filter(pl.col("ticker") >= low)
    if high is not None:
        rows = rows.filter(pl.col("ticker") < high)
    return rows


def edges(bounds: Sequence[str], n: int) -> tuple[str | None, str | None]:
    """The half-open edges of a range; None where it is open."""
    return (bounds[n - 1] if n else None, bounds[n] if n < len(bounds) else None)


def touches(file: LiveFile, low: str | None, high: str | None) -> bool:
    """Whether a file may hold tickers of a range."""
    return (low is None or file.high >= low) and (high is None or file.low < high)


def scan(paths: Sequence[Path], frames: "Sequence[pl.DataFrame]", table: Table) -> "pl.LazyFrame":
    """The rows of files and frames, in their order; nothing is read yet."""
    import polars as pl

    names = [c.name for c in table.columns]
    files = []
    # Files of before a column was declared lack it; they come one after another as they did.
    for lacked, some in groupby(paths, key=lambda path: lacking(path, table)):
        rows = pl.scan_parquet(list(some), glob=False, hive_partitioning=False)
        nulls = [pl.lit(None, polars_type(table[name])).alias(name) for name in lacked]
        files.append((rows.with_columns(nulls) if nulls else rows).select(names))
    return pl.concat([*files, *(frame.lazy().select(names) for frame in frames)])


def lacking(path: Path, table: Table) -> tuple[str, ...]:
    """The declared columns that a file lacks."""
    import pyarrow.parquet as pq

    there = set(pq.read_schema(path).names)
    return tuple(c.name for c in table.columns if c.name not in there)


def read(paths: Sequence[Path], table: Table, low: str | None, high: str | None) -> "pl.DataFrame":
    """A range's rows from files, in the files' order."""
    return within(scan(paths, (), table), low, high).collect()


def without(rows: "pl.DataFrame", parts: Collection[Part | Given]) -> "pl.DataFrame":
    """The rows that are not of the sessions named, or not of the source named with one."""
    import polars as pl

    if not parts:
        return rows
    told = [dict(zip(("date", "venue", "source"), part, strict=False)) for part in parts]
    gone = [pl.all_horizontal(pl.col(name) == value for name, value in one.items() if value is not None) for one in told]
    return rows.filter(~pl.any_horizontal(gone))


def ordered(rows: "pl.DataFrame", table: Table) -> "pl.DataFrame":
    """Rows in order of ticker (by bytes) and time.

    Files come session by session, each in time order within a ticker: putting tickers together, stably, is then enough, and five times as
    fast as a sort. Sessions that overlap, as late ones do, are sorted.
    """
    import numpy as np
    import polars as pl

    tickers = rows["ticker"].unique().sort()
    codes = rows["ticker"].cast(pl.Enum(tickers)).to_physical().to_numpy()
    order = np.argsort(codes, kind="stable")
    codes, times = codes[order], rows[table.time].to_numpy()[order]
    if ((times[1:] < times[:-1]) & (codes[1:] == codes[:-1])).any():
        return rows.sort("ticker", table.time, maintain_order=True)
    return rows[order]


def content(rows: "pl.DataFrame") -> int:
    """A hash of rows that does not depend on their order: the sum of the rows' hashes, modulo 2^64."""
    import numpy as np

    return int(np.add.reduce(rows.hash_rows(seed=SEED).to_numpy()))


def filled(paths: Sequence[Path], frames: "Sequence[pl.DataFrame]") -> frozenset[str]:
    """The columns that hold no NULL in any of some files and frames."""
    held = [Footer.read(path).filled for path in paths]
    return frozenset.intersection(*held, *(frozenset(c.name for c in frame if not c.null_count()) for frame in frames))


def schema_of(table: Table, filled: Collection[str]) -> "pa.Schema":
    """A cold file's schema. What never holds a NULL is declared so, which every engine reads faster."""
    import polars as pl
    import pyarrow as pa

    empty = pl.DataFrame(schema={c.name: polars_type(c) for c in table.columns}).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    types = {f.name: pa.string() if pa.types.is_large_string(f.type) else f.type for f in empty}
    return pa.schema([pa.field(name, kind, nullable=name not in filled) for name, kind in types.items()])


@contextmanager
def writer(path: Path, table: Table, chunk: str, filled: Collection[str]) -> "Iterator[Callable[[pl.DataFrame], None]]":
    """A cold file to which ordered rows are added, piece by piece, in row groups of whole tickers.

    Times are stored as differences, prices as codes, and only times, which then shrink to a byte, are packed hard: measured against other
    ways in `tests/benchmarks/README.md`. Day bars are packed hard altogether.
    """
    import polars as pl
    import pyarrow.parquet as pq

    schema, days = schema_of(table, filled), "year" in table.chunks
    longest, own = ROW_GROUPS["year" if days else period_of(chunk)]
    times = [name for name in schema.names if name in (table.time, "timestamp") or name.endswith("_timestamp")]
    with pq.ParquetWriter(
        path,
        schema,
        use_dictionary=[name for name in schema.names if name not in (*times, *(APART if days else UNREPEATED))],
        column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        compression={name: "zstd" if days or name in times else "lz4" for name in schema.names},
        write_statistics=list(dict.fromkeys(["ticker", "date", "timestamp", table.time])),
    ) as file:

        def add(rows: "pl.DataFrame") -> None:
            for start, count in row_groups(rows["ticker"], longest, own):
                group = rows.slice(start, count).to_arrow(compat_level=pl.CompatLevel.oldest())
                file.write_table(group.cast(schema), row_group_size=count)

        yield add


def row_groups(tickers: "pl.Series", longest: int, own: int) -> list[tuple[int, int]]:
    """Where row groups start, and their rows: tickers are not divided, and those with many rows have a group of their own."""
    groups: list[tuple[int, int]] = []
    start = count = 0
    for length in tickers.rle().struct.field("len"):
        if count and (count + length > longest or length >= own):
            groups.append((start, count))
            start, count = start + count, 0
        count += length
        if length >= own:
            groups.append((start, count))
            start, count = start + count, 0
    return [*groups, (start, count)] if count else groups


def make(
    paths: Sequence[Path],
    table: Table,
    chunk: str,
    bounds: Sequence[str],
    n: int,
    gone: Collection[Part | Given],
    fresh: Sequence[Path],
    frames: "Sequence[pl.DataFrame]",
    rows: int,
    at: Path,
    home: Path,
) -> Written:
    """Write one range of a chunk from old files (less the sessions that are gone), fresh ones and frames, as a draft in the folder `at`; its place is under `home`.

    `rows` is about how many there will be. A draft that a run before this one finished is taken as it is, if all of it is there. Raises
    `BrokenPromise` if what was written is not what was read.
    """
    draft, note = at / f"{n:02}.parquet", at / f"{n:02}.json"
    if made := recall(note, draft, home):
        return made
    note.unlink(missing_ok=True)
    low, high = edges(bounds, n)
    if not (paths or fresh or frames):
        return Written(None, 0, 0)
    seen = count = hashed = 0
    whole = filled([*paths, *fresh], frames)
    inner = cuts(scan([*paths, *fresh], frames, table), -(-rows // PIECE), low, high)
    with writer(draft, table, chunk, whole) as add:
        for piece in range(len(inner) + 1):
            first, after = edges(inner, piece)
            span = (low if first is None else first, high if after is None else after)
            held = [within(scan(*some, table), *span).collect() for some in ((paths, ()), (fresh, frames)) if any(some)]
            seen += sum(map(len, held))
            kept = concat([without(held[0], gone), *held[1:]] if paths else held)
            del held
            count, hashed = count + len(kept), (hashed + content(kept)) % 2**64
            if len(kept):
                add(ordered(kept, table))
            del kept
    if not count:
        draft.unlink()
        return Written(None, seen, 0)
    prove(draft, table, count, hashed)
    sync(draft)
    footer, bucket = Footer.read(draft), f"{n:02}"
    path = f"chunk={chunk}/bucket={bucket}/{chunk}-{uuid.uuid4().hex[:8]}.parquet"
    made = Written(NewFile(path, draft.stat().st_size, count, chunk, bucket, footer.stats(table), footer.schema), seen, hashed)
    noted = note.with_suffix(".new")
    noted.write_text(json.dumps(asdict(made)))
    noted.replace(note)
    return made


def concat(parts: "Sequence[pl.DataFrame]") -> "pl.DataFrame":
    """Frames one after another."""
    import polars as pl

    return pl.concat(parts, rechunk=True)


def prove(path: Path, table: Table, count: int, hashed: int) -> None:
    """Read a written file back, by another reader than will serve it, and compare. Raises `BrokenPromise`."""
    import polars as pl
    import pyarrow.parquet as pq

    rows = back = 0
    with pq.ParquetFile(path, memory_map=True) as file:
        for group in range(file.num_row_groups):
            part = pl.DataFrame(file.read_row_group(group))
            rows, back = rows + len(part), (back + content(part)) % 2**64
    if (rows, back) != (count, hashed):
        raise BrokenPromise(
            f"{path} of {table.name} holds {rows:,} rows of other content than the {count:,} that were written; it was not committed "
            "and the lake is unchanged. Check the disk, and run the command again."
        )


def recall(note: Path, draft: Path, home: Path) -> Written | None:
    """What was noted of a finished draft; None unless it, or the file that it became, is there in full."""
    try:
        told = json.loads(note.read_text())
        file = NewFile(**told["file"] | {"schema": tuple(map(tuple, told["file"]["schema"]))})
        sizes = [path.stat().st_size for path in (draft, home / file.path) if path.is_file()]
    # A machine that lost its power may leave a note without its text.
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Written(file, told["read"], told["content"]) if sizes == [file.size] else None
