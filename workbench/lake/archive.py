"""The archive: bars that retention takes out of their tables, in one table of small files.

A chunk of a base table is archived in one commit, in files of neighbouring tickers. The archive's copy is compared with the rows it was made from, by
count and by content, before anyone may take those out. Archiving the same rows twice changes nothing. What comes of a session that is in the
archive takes the place of what it held as it would in its table: of each key, of the better source's row; the rest stays.
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BrokenPromise, Busy
from workbench.lake import cold, tiering
from workbench.lake.disk import place, scratch, sync
from workbench.lake.footers import Footer
from workbench.lake.landings import Landing, NewFile, Rewrite
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import Lake, LakeTable
from workbench.lake.types import polars_type
from workbench.tables import ARCHIVE, Table
from workbench.tables.answers import RANK
from workbench.tables.archive import timeframe
from workbench.tables.spec import span_of

if TYPE_CHECKING:
    import polars as pl

# Written once and seldom read: a quarter smaller than cold files, for 2 µs a row (level 19: 30 % smaller, for 6 µs).
LEVEL = 12
ROW_GROUP = 262_144
# Rows of a file, and at most in memory at once: about 1 GB with the copies that are compared.
PIECE = 1_500_000


def archive(lake: Lake, name: str, chunk: str, files: Sequence[LiveFile], landings: Collection[Landing]) -> int:
    """Have the archive hold a chunk's rows, which are those of some landings; gives the bytes of the files that it wrote.

    Raises `BrokenPromise` if the archive's rows are not the table's, and `Busy` if another process archives the same chunk.
    """
    source, target = lake[name], lake[ARCHIVE.name]
    parts = {tiering.part_of(landing) for landing in landings}
    target.set_bounds(())
    chunk, before = held(target, name, chunk)
    count = sum(file.rows for file in files)
    bounds = cold.cuts(cold.scan(source.all_here(file.path for file in files), (), source.table), -(-count // PIECE))
    cuts = [cold.edges(bounds, n) for n in range(len(bounds) + 1)]
    if before and same(source, target, files, before, landings, cuts):
        return 0
    made: dict[Path, NewFile] = {}
    total = 0
    with scratch(lake.root) as folder:
        for n, (low, high) in enumerate(cuts):
            rows, old = (within(table, some, low, high) for table, some in ((source, files), (target, before)))
            draft = folder / f"{n:02}.parquet"
            if len(rows) or len(old):
                made[draft], content = write(
                    draft, merged(rows, old, source.table, landings), cold.without(old, parts), source.table, parts, chunk
                )
                total += content
        for draft, file in made.items():
            place(draft, target.folder / file.path)
    if not target.rewrite(Rewrite(chunk, tuple(file.path for file in before), tuple(made.values()), (), total % 2**64, name)):
        raise Busy(f"{name} {chunk} is being archived by another process; nothing was removed. Run the command again.")
    return sum(file.size for file in made.values())


def held(target: LakeTable, name: str, chunk: str) -> tuple[str, list[LiveFile]]:
    """The archive's files that hold, or may hold, a table's rows of a chunk, and the widest of their chunks."""
    its = [file for file in target.snapshot().files if file.path.rpartition("/")[2].startswith(f"{name}-")]
    first, last = span_of(chunk)
    near = [file for file in its if file.first <= last and file.last >= first]
    widest = max([chunk, *(file.chunk for file in near)], key=lambda one: span_of(one)[1] - span_of(one)[0])
    first, last = span_of(widest)
    return widest, [file for file in its if file.first <= last and file.last >= first]


def within(table: LakeTable, files: Sequence[LiveFile], low: str | None, high: str | None) -> "pl.DataFrame":
    """A ticker range's rows of some files."""
    paths = table.all_here(file.path for file in files if cold.touches(file, low, high))
    if paths:
        return cold.read(paths, table.table, low, high)
    import polars as pl

    return pl.DataFrame(schema={column.name: polars_type(column) for column in table.table.columns})


def same(
    source: LakeTable,
    target: LakeTable,
    files: Sequence[LiveFile],
    before: Sequence[LiveFile],
    landings: Collection[Landing],
    cuts: Sequence[tuple[str | None, str | None]],
) -> bool:
    """Whether the archive holds these rows of these sessions already, and none that they displace: what a run before this one left."""
    parts = {tiering.part_of(landing) for landing in landings}
    for low, high in cuts:
        rows, old = (within(table, some, low, high) for table, some in ((source, files), (target, before)))
        rows, old = merged(rows, old, source.table, landings), only(old, parts).select(rows.columns)
        if len(rows) != len(old) or cold.content(rows) != cold.content(old):
            return False
    return True


def write(
    draft: Path, rows: "pl.DataFrame", old: "pl.DataFrame", table: Table, parts: Collection[cold.Part], chunk: str
) -> tuple[NewFile, int]:
    """Write a range's rows, and what the archive held of others, and compare; gives the file and its content."""
    import polars as pl

    both = cold.ordered(cold.concat([old, archived(rows, table)]), ARCHIVE)
    both.write_parquet(draft, compression="zstd", compression_level=LEVEL, row_group_size=ROW_GROUP, statistics=True)
    sync(draft)
    back = pl.read_parquet(draft, glob=False, hive_partitioning=False)
    copied, kept = only(back, parts).select(rows.columns), cold.without(back, parts)
    for made, meant in ((copied, rows), (kept, old)):
        if len(made) != len(meant) or cold.content(made) != cold.content(meant):
            raise BrokenPromise(
                f"{draft} holds {len(made):,} rows of other content than the {len(meant):,} of {table.name} {chunk} that were to be archived; "
                "nothing was removed. Check the disk, and run the command again."
            )
    footer = Footer.read(draft)
    path = f"chunk={chunk}/bucket=00/{table.name}-{chunk}-{uuid.uuid4().hex[:8]}.parquet"
    return NewFile(path, draft.stat().st_size, footer.rows, chunk, "00", footer.stats(ARCHIVE), footer.schema), cold.content(back)


def merged(rows: "pl.DataFrame", old: "pl.DataFrame", table: Table, landings: Collection[Landing]) -> "pl.DataFrame":
    """A table's rows of some landings, with what the archive holds of their sessions and they do not displace.

    They displace rows of their keys that no better source gave, and all else that the same source said before: in an earlier version of a
    flat file, or of the tickers that it was asked for.
    """
    import polars as pl

    its = only(old, {tiering.part_of(landing) for landing in landings}).select(rows.columns)
    if not len(its):
        return rows
    gone = []
    for one in landings:
        day, venue = tiering.part_of(one)
        same = (pl.col("date") == day) & (pl.col("source") == one.source) & (pl.lit(True) if venue is None else pl.col("venue") == venue)
        if ":" not in one.key or one.asked:
            gone.append(same & pl.col("ticker").is_in(list(one.asked)) if one.asked else same)
    stays = its.filter(~pl.any_horizontal(gone)) if gone else its
    both = pl.concat([rows.with_columns(new=pl.lit(True)), stays.with_columns(new=pl.lit(False))])
    rank = pl.col("source").replace_strict(RANK, default=0, return_dtype=pl.Int64)
    best = both.sort(rank, "new", descending=True, maintain_order=True).unique(list(table.key), keep="first", maintain_order=True)
    return cold.ordered(best.drop("new"), table)


def archived(rows: "pl.DataFrame", table: Table) -> "pl.DataFrame":
    """A table's rows as the archive keeps them."""
    import polars as pl

    own = {"base_table": pl.lit(table.name), "timeframe": pl.lit(timeframe(table))}

    def columns() -> Iterator["pl.Expr"]:
        for column in ARCHIVE.columns:
            here = pl.col(column.name) if column.name in rows.columns else own.get(column.name, pl.lit(None, polars_type(column)))
            yield here.alias(column.name)

    return rows.select(columns())


def only(rows: "pl.DataFrame", parts: Collection[cold.Part]) -> "pl.DataFrame":
    """The rows of the sessions named."""
    import polars as pl

    wanted = [(pl.col("date") == day) & (pl.lit(True) if venue is None else pl.col("venue") == venue) for day, venue in parts]
    return rows.filter(pl.any_horizontal(wanted))
