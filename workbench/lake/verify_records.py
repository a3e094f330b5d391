"""A table that people write against itself: its log, its files and their rows, and that no key stands twice."""

from collections.abc import Iterator, Sequence

from workbench.errors import LakeError
from workbench.lake.files import Finding
from workbench.lake.history import Life, history
from workbench.lake.records import RecordTable
from workbench.lake.remote.where import readable
from workbench.lake.vacuum import standing

# No source has these rows, so that no refresh lands them anew.
REMEDY = "bring it back from a backup: no source has rows that people wrote"


def findings(table: RecordTable, *, deep: bool) -> Iterator[Finding]:
    """What is wrong with a table; `deep` reads every row."""
    # The disk first: a file that is committed meanwhile is then no orphan.
    table.mend()
    on_disk = {one.path: one for one in standing(table)[0]}
    told, log = history(table.folder), table.folder / "_delta_log"
    yield from (fault(table, "log", readable(path), why) for path, why in told.faults.items())
    if told.version < 0 and on_disk:
        yield fault(table, "log", readable(log), f"it is gone, and {len(on_disk)} data files are there")
    if told.faults or told.version < 0:
        return
    try:
        shot = table.snapshot()
    except LakeError as why:
        yield fault(table, "log", readable(log), str(why))
        return
    if shot.version == told.version and (odd := shot.by_path.keys() ^ told.live.keys()):
        what = f"{len(odd)} files are in the checkpoint's version and not in the commits', or the other way"
        mend = f"remove {readable(log)}/_last_checkpoint and {readable(log)}/*.checkpoint.parquet: the commits are whole, and the next ones write them again"
        yield Finding(table.name, "checkpoint", "fault", min(odd), what, mend)
    wrong_with = {path: wrong for path, life in told.live.items() if (wrong := odd_file(table, path, life, deep=deep))}
    yield from (fault(table, "file", path, what) for path, what in wrong_with.items())
    if deep and not wrong_with:
        yield from key_findings(table, sorted(told.live))
    if orphans := [one for path, one in on_disk.items() if path not in told.files]:
        what = f"{len(orphans)} files that no commit knows, {sum(one.size for one in orphans):,} bytes; no reader sees them"
        yield Finding(table.name, "orphans", "note", orphans[0].path, what, "`workbench vacuum --yes` removes them when they are a day old")


def fault(table: RecordTable, kind: str, where: str, what: str) -> Finding:
    """A fault that only a backup mends."""
    return Finding(table.name, kind, "fault", where, what, REMEDY)


def odd_file(table: RecordTable, path: str, life: Life, *, deep: bool) -> str:
    """What is wrong with a file that the log lists; empty if nothing is."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        size = table.size(path)
        if size is not None and size != life.size:
            return f"it has {size:,} bytes, and the log says {life.size:,}"
        with table.afresh(path) as place, pq.ParquetFile(place) as file:
            rows, told = file.metadata.num_rows, json.loads(life.stats or "{}").get("numRecords")
            if rows != told:
                return f"it has {rows:,} rows, and the log says {told}"
            for group in range(file.num_row_groups if deep else 0):
                file.read_row_group(group)
    except FileNotFoundError:
        return "it is gone"
    except (pa.ArrowException, OSError, ValueError) as wrong:
        return f"it cannot be read: {str(wrong).splitlines()[0]}"
    return ""


def key_findings(table: RecordTable, paths: Sequence[str]) -> Iterator[Finding]:
    """Keys, and values that should be unique, that stand in several rows."""
    import polars as pl

    if not paths:
        return
    files = table.all_here(paths)
    for columns in filter(None, (table.record.key, *table.record.unique)):
        told = pl.scan_parquet(files, glob=False, hive_partitioning=False).select(columns).drop_nulls()
        several = told.group_by(columns).len().filter(pl.col("len") > 1).select(pl.len())
        try:
            twice = several.collect(engine="streaming").item()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as wrong:
            yield fault(table, "keys", ", ".join(columns), f"they cannot be read: {str(wrong).splitlines()[0]}")
            return
        if twice:
            yield fault(table, "keys", ", ".join(columns), f"values that stand in several rows: {twice:,}")
