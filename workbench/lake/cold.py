"""Cold files: the rows of many files, cut by ticker range, in order of ticker and time.

A range is read, ordered, written, read back and compared with what went in, by count and by content, before anyone may commit it.
"""

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import BrokenPromise
from workbench.lake.disk import sync
from workbench.lake.footers import Footer
from workbench.lake.landings import NewFile
from workbench.lake.snapshots import LiveFile
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

# A row group holds whole tickers: as many as fit, or one of many rows.
ROW_GROUP, OWN_GROUP = 131_072, 50_000
# Numbers of which few are equal: a dictionary would only cost.
UNREPEATED = ("volume", "sequence_number")
SEED = 20_240_102
# Tells drafts of one way of writing from another's.
LAYOUT = 2

# A session of a venue; the venue is None where a table has none.
Part = tuple[date, str | None]


@dataclass(frozen=True)
class Written:
    """A range that was written: its file (None if no rows fell in it), how many rows were read for it, and their content."""

    file: NewFile | None
    read: int
    content: int


def bounds_for(paths: Sequence[Path], table: Table) -> tuple[str, ...]:
    """Ticker bounds that cut some files into `table.ranges` ranges of about equal rows, in byte order."""
    import polars as pl

    if table.ranges == 1:
        return ()
    rows = pl.scan_parquet(list(paths), glob=False).select("ticker")
    counts = rows.group_by("ticker").len().sort("ticker").collect(engine="streaming")
    before = counts["len"].cum_sum() - counts["len"]
    share = (before * table.ranges // max(counts["len"].sum(), 1)).to_list()
    tickers: list[str] = counts["ticker"].to_list()
    return tuple(t for i, t in enumerate(tickers) if i and share[i] != share[i - 1])


def edges(bounds: Sequence[str], n: int) -> tuple[str | None, str | None]:
    """The half-open edges of a range; None where it is open."""
    return (bounds[n - 1] if n else None, bounds[n] if n < len(bounds) else None)


def touches(file: LiveFile, low: str | None, high: str | None) -> bool:
    """Whether a file may hold tickers of a range."""
    return (low is None or file.high >= low) and (high is None or file.low < high)


def read(paths: Sequence[Path], table: Table, low: str | None, high: str | None) -> "pl.DataFrame":
    """A range's rows from files, in the files' order."""
    import polars as pl

    rows = pl.scan_parquet(list(paths), glob=False, hive_partitioning=False).select(c.name for c in table.columns)
    if low is not None:
        rows = rows.filter(pl.col("ticker") >= low)
    if high is not None:
        rows = rows.filter(pl.col("ticker") < high)
    return rows.collect()


def without(rows: "pl.DataFrame", parts: Collection[Part]) -> "pl.DataFrame":
    """The rows that are not of the sessions named."""
    import polars as pl

    if not parts:
        return rows
    gone = [(pl.col("date") == day) & (pl.lit(True) if venue is None else pl.col("venue") == venue) for day, venue in parts]
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


def write(rows: "pl.DataFrame", path: Path, table: Table) -> None:
    """Write ordered rows as one cold file, in row groups that tickers share whole.

    Times are stored as differences, prices as codes, and only times, which then shrink to a byte, are packed hard: measured against other
    ways in `tests/benchmarks/README.md`. A column without a NULL is declared so, which every engine reads faster.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = rows.null_count().row(0, named=True)
    types = rows.head(0).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    text = {f.name for f in types if pa.types.is_large_string(f.type)}
    schema = pa.schema([pa.field(f.name, pa.string() if f.name in text else f.type, nullable=bool(whole[f.name])) for f in types])
    times = [name for name in schema.names if name in (table.time, "timestamp") or name.endswith("_timestamp")]
    plain = {*times, *UNREPEATED}
    with pq.ParquetWriter(
        path,
        schema,
        use_dictionary=[name for name in schema.names if name not in plain],
        column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        compression={name: "zstd" if name in times else "lz4" for name in schema.names},
        write_statistics=list(dict.fromkeys(["ticker", "date", "timestamp", table.time])),
    ) as file:
        for start, count in row_groups(rows["ticker"]):
            file.write_table(rows.slice(start, count).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema), row_group_size=count)


def row_groups(tickers: "pl.Series") -> list[tuple[int, int]]:
    """Where row groups start, and their rows: tickers are not divided, and those with many rows have a group of their own."""
    groups: list[tuple[int, int]] = []
    start = count = 0
    for length in tickers.rle().struct.field("len"):
        if count and (count + length > ROW_GROUP or length >= OWN_GROUP):
            groups.append((start, count))
            start, count = start + count, 0
        count += length
        if length >= OWN_GROUP:
            groups.append((start, count))
            start, count = start + count, 0
    return [*groups, (start, count)] if count else groups


def make(
    paths: Sequence[Path],
    table: Table,
    chunk: str,
    bounds: Sequence[str],
    n: int,
    gone: Collection[Part],
    fresh: Sequence[Path],
    at: Path,
    home: Path,
) -> Written:
    """Write one range of a chunk from old files (less the sessions that are gone) and fresh ones, as a draft in the folder `at`; its place is under `home`.

    A draft that a run before this one finished is taken as it is. Raises `BrokenPromise` if what was written is not what was read.
    """
    draft, note = at / f"{n:02}.parquet", at / f"{n:02}.json"
    if note.is_file():
        made = recall(json.loads(note.read_text()))
        if not made.file or draft.is_file() or (home / made.file.path).is_file():
            return made
    low, high = edges(bounds, n)
    old, new = (read(some, table, low, high) if some else None for some in (paths, fresh))
    seen = sum(len(rows) for rows in (old, new) if rows is not None)
    kept = [without(rows, parts) for rows, parts in ((old, gone), (new, ())) if rows is not None]
    del old, new
    if not sum(map(len, kept)):
        return Written(None, seen, 0)
    rows = concat(kept)
    del kept
    hashed, count = content(rows), len(rows)
    write(ordered(rows, table), draft, table)
    del rows
    prove(draft, table, count, hashed)
    sync(draft)
    footer = Footer.read(draft)
    bucket = f"{n:02}"
    file = NewFile(
        f"chunk={chunk}/bucket={bucket}/{chunk}-{uuid.uuid4().hex[:8]}.parquet",
        draft.stat().st_size,
        count,
        chunk,
        bucket,
        footer.stats(table),
        footer.schema,
    )
    made = Written(file, seen, hashed)
    noted = note.with_suffix(".new")
    noted.write_text(json.dumps(asdict(made)))
    noted.replace(note)
    return made


def concat(parts: "Sequence[pl.DataFrame]") -> "pl.DataFrame":
    """Frames one after another."""
    import polars as pl

    return pl.concat(parts, rechunk=True)


def prove(path: Path, table: Table, count: int, hashed: int) -> None:
    """Read a written file back and compare. Raises `BrokenPromise`."""
    import polars as pl

    back = pl.read_parquet(path, glob=False, hive_partitioning=False)
    if len(back) != count or content(back) != hashed:
        raise BrokenPromise(
            f"{path} of {table.name} holds {len(back):,} rows of other content than the {count:,} that were written; it was not committed "
            "and the lake is unchanged. Check the disk, and run the command again."
        )


def recall(note: dict[str, Any]) -> Written:
    """What was noted of a finished draft."""
    held = note["file"]
    file = NewFile(**held | {"schema": tuple(map(tuple, held["schema"]))}) if held else None
    return Written(file, note["read"], note["content"])
