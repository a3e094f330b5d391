"""Rows handed out: the first of them to a screen, or all as plain files for any other tool. A file appears when it is complete."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import duckdb

from workbench.errors import BadRange, LakeError, UnknownName, UsageError
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.buckets import query_error
from workbench.query.documented import BARE, every
from workbench.query.report import Report, sized
from workbench.query.views import literal, view
from workbench.tables import TABLES, Table, find, quote
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Field, Record
from workbench.tables.spec import NEW_YORK

T = TypeVar("T")

COPY = {
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json, ARRAY true",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
# Types that CSV has no spelling of.
NESTED = re.compile(r"\[\]|\b(MAP|STRUCT)\(")
TIMES = ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
FORMATS = ("parquet", "csv", "arrow")
ARROW_ROWS = 100_000
# What a path begins with that is none: a folder of that name would be made of it.
URLS = frozenset(
    f"{scheme}:" for scheme in ("s3", "s3a", "s3n", "gs", "gcs", "az", "abfs", "abfss", "hdfs", "http", "https", "ftp", "file")
)
# How often whoever waits for a query looks whether it was stopped.
HEARTBEAT_S = 0.1
# What a DuckDB needs that reads a lake in a bucket. No key is written out.
FAR = """-- These views read {0}: have DuckDB reach it first, with keys of your own:
--   INSTALL httpfs; LOAD httpfs;
--   CREATE SECRET (TYPE s3, SCOPE '{0}', KEY_ID '…', SECRET '…', REGION '…');   and ENDPOINT, URL_STYLE 'path', USE_SSL false for a store of your own
"""


def export(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    table: str,
    dest: Path,
    format: str = "parquet",
    partition_by: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    symbols: Sequence[str] = (),
    *,
    overwrite: bool = False,
) -> Report:
    """Write a table's rows to a file, or to a folder with a folder for each value of the columns `partition_by`.

    A documented table or view is written as it is shown; in CSV, maps, structs and lists are JSON. Of a table without a `date`, that is the day in New York of
    its first time that every row has. In a folder that is there, the file is named after the table. Raises `UnknownName`,
    `BadRange`, and `UsageError` if the place is taken and `overwrite` is false, or is taken by what no export made.
    """
    declared = shown(con, table) if "." in table else find(table)
    by = [name if name == "date" and day_of(declared) else declared[name].name for name in partition_by]
    query = chosen_rows(declared, start, end, symbols, by, as_text=format == "csv")
    if dest.is_dir() and not by:
        dest = dest / f"{table}.{format}"
    dest = dest.absolute()
    free(dest, lake.root / "lake", overwrite=overwrite)
    with replacing(dest) as draft:
        if format == "arrow":
            count = interruptible(con, lambda: write_arrow(con, query, draft, by))
        else:
            count = copy(con, query, draft, format, f", PARTITION_BY ({', '.join(map(quote, by))})" if by else "")
        if by:
            # DuckDB makes no folder for no rows.
            draft.mkdir(exist_ok=True)
    size = sum(path.stat().st_size for path in (dest, *dest.rglob("*")) if path.is_file())
    title = f"{table}: {count:,} rows in {dest}, {sized(size)}"
    return Report(title, [], table=table, dest=str(dest), format=format, exported_rows=count, bytes=size)


def shown(con: duckdb.DuckDBPyConnection, name: str) -> Record:
    """The columns of a documented table or view, as DuckDB shows it. Raises `UnknownName`."""
    known = {full.lower() for full, view in every().items() if view.kind == "view"}
    schema, _, called = name.lower().partition(".")
    try:
        # People's own tables are known to DuckDB only.
        columns = con.execute(f"DESCRIBE {quote(schema)}.{quote(called)}").fetchall() if name.lower() in known or schema in BARE else ()
    except duckdb.CatalogException:
        columns = ()
    if not columns:
        raise UnknownName("table or view", name, [*TABLES, *known], hint="`workbench tables` lists them.")
    return Record(schema, called, "", tuple(Field(column[0], column[1], "") for column in columns))


def chosen_rows(
    table: Table | Record, start: date | None, end: date | None, symbols: Sequence[str], by: Sequence[str] = (), *, as_text: bool = False
) -> str:
    """The query for a table's rows of these sessions, both ends included, and tickers. Raises `BadRange`, or `UsageError` for a table without them."""
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    names = {column.name for column in table.columns}
    day = day_of(table)
    for asked, there, what in ((start or end, day, "sessions"), (symbols, "ticker" in names, "tickers")):
        if asked and not there:
            raise UsageError(f"{table.name} has no {what} to choose by; nothing was exported. Export it whole.")
    tests = [f"{day} >= DATE '{start}'"] * bool(start) + [f"{day} <= DATE '{end}'"] * bool(end)
    if symbols:
        tests.append(f"ticker IN ({', '.join(map(literal, symbols))})")
    whole = f"{quote(table.schema)}.{quote(table.name)}" if isinstance(table, Record) else quote(table.name)
    added = f", {day} AS date" * ("date" in by and "date" not in names)
    # DuckDB's own spelling of what is nested is read by nothing else.
    nested = [quote(one.name) for one in table.columns if NESTED.search(one.type)] if as_text else []
    told = f" REPLACE ({', '.join(f'to_json({name})::VARCHAR AS {name}' for name in nested)})" * bool(nested)
    return (
        f"SELECT *{told}{added} FROM {whole}" * bool(added or told)
        + f"FROM {whole}" * (not (added or told))
        + f" WHERE {' AND '.join(tests)}" * bool(tests)
    )


def day_of(table: Table | Record) -> str:
    """The day of a table's rows in SQL: its `date`, or a documented table's day in New York of its first time that every row has; empty if it has neither."""
    if any(column.name == "date" for column in table.columns):
        return "date"
    if not isinstance(table, Record):
        # What has landed by key has no session: its times say when it was learnt.
        return ""
    told = RECORDS.get(f"{table.schema}.{table.name}", table)
    times = (column.name for column in told.columns if column.type in TIMES and column.required)
    return next((f"({quote(name)} AT TIME ZONE {literal(NEW_YORK)})::DATE" for name in times), "")


def free(dest: Path, lake: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if nothing may be written there."""
    expect_path(dest)
    if dest.resolve().is_relative_to(lake.resolve()):
        raise UsageError(f"{dest} is inside the lake; nothing was exported. Name a place outside {lake}.")
    entries = list(dest.iterdir()) if dest.is_dir() else []
    if (entries or (dest.is_file() and dest.stat().st_size)) and not overwrite:
        raise UsageError(f"{dest} holds something; nothing was exported. Name another place, or replace it with --overwrite.")
    if foreign := [entry.name for entry in entries if not (entry.is_dir() and "=" in entry.name)]:
        raise UsageError(f"{dest} holds {foreign[0]}, which no export made; nothing was exported. Name another folder.")


def parted(script: str) -> tuple[str, str]:
    """The last statement of a script, without what ends it, and what stands before it."""
    # DuckDB counts bytes, and knows a semicolon in a text from one that ends a statement.
    raw = script.encode()
    tokens = duckdb.tokenize(script)
    while tokens and (raw[tokens[-1][0] :].startswith(b";") or tokens[-1][1] == duckdb.token_type.comment):
        raw = raw[: tokens.pop()[0]]
    ends = [at for at, _ in tokens if raw[at : at + 1] == b";"]
    cut = ends[-1] + 1 if ends else 0
    return raw[:cut].decode(), raw[cut:].decode().strip() if tokens else ""


def interruptible(con: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Work on a connection so that Ctrl-C ends it; some of DuckDB's calls do not hear it on the main thread (2.0.0).

    Raises `QueryError`.
    """
    with ThreadPoolExecutor(1) as beside:
        future = beside.submit(work)
        try:
            # Since Polars has been at work Ctrl-C wakes nobody who waits: it is heard on waking by oneself.
            while not wait([future], HEARTBEAT_S).done:
                pass
            return future.result()
        except KeyboardInterrupt:
            con.interrupt()
            raise
        except duckdb.Error as fault:
            raise query_error(fault) from fault


def first_rows(con: duckdb.DuckDBPyConnection, script: str, count: int) -> tuple[list[str], list[tuple[Any, ...]], int]:
    """Run a script; gives the columns of its last statement's result, its first rows, and how many there are."""
    before, last = parted(script)

    def ask() -> tuple[list[str], list[tuple[Any, ...]], int]:
        if before:
            con.execute(before)
        relation = con.sql(last)
        if relation is None:
            return [], [], 0
        rows = relation.limit(count + 1).fetchall()
        total = len(rows) if len(rows) <= count else relation.aggregate("count(*)").fetchall()[0][0]
        return relation.columns, rows[:count], total

    return interruptible(con, ask)


def copy(con: duckdb.DuckDBPyConnection, script: str, target: Path, format: str, options: str = "") -> int:
    """Write the rows of a script's last statement through DuckDB; gives their number. Raises `QueryError`."""
    before, last = parted(script)

    def write() -> int:
        if before:
            con.execute(before)
        [(count,)] = con.execute(f"COPY (\n{last}\n) TO {literal(str(target))} ({COPY[format]}{options})").fetchall()
        return int(count)

    return interruptible(con, write)


def write_arrow(con: duckdb.DuckDBPyConnection, query: str, draft: Path, by: Sequence[str]) -> int:
    """Write a query's rows as Arrow IPC, which DuckDB does not, batch by batch; gives their number."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    counted = 0

    def counting(batches: Any) -> Iterator[Any]:
        nonlocal counted
        for batch in batches:
            counted += batch.num_rows
            yield batch

    with con.sql(query).to_arrow_reader(ARROW_ROWS) as reader:
        if by:
            stream = pa.RecordBatchReader.from_batches(reader.schema, counting(reader))
            folders = ds.partitioning(pa.schema([reader.schema.field(name) for name in by]), flavor="hive")
            ds.write_dataset(stream, draft, format="arrow", partitioning=folders, max_partitions=100_000)
        else:
            with pa.OSFile(str(draft), "wb") as out, pa.ipc.new_file(out, reader.schema) as file:
                for batch in counting(reader):
                    file.write_batch(batch)
    return counted


def declarations(lake: Lake, snapshots: Mapping[str, Snapshot]) -> str:
    """The statements that declare the tables that hold something, as they are now, in any other DuckDB."""
    statements = [view(TABLES[name], shot, lake[name].folder) for name, shot in snapshots.items() if shot.files]
    # Its rows stand in no file that another DuckDB could read.
    left_out = "-- data_sync_log is not here: the workbench makes it from the commits and the journal when it is asked.\n"
    needs = FAR.format(lake.where) if statements and lake.where.startswith("s3://") else ""
    return needs + "".join(f"{statement};\n" for statement in statements) + left_out * bool(statements)


def expect_path(dest: Path) -> None:
    """Raise `UsageError` for a url, of which folders of this machine would be made."""
    if url := next((one for one in dest.parts if one in URLS), ""):
        at = f"{url}//{'/'.join(dest.parts[dest.parts.index(url) + 1 :])}"
        raise UsageError(
            f"{at} is no place on this machine; nothing was written. Name a file or folder, and copy what is then there to where it belongs."
        )


@contextmanager
def replacing(dest: Path) -> Iterator[Path]:
    """Lend a draft, to be made a file or a folder; it takes the place of `dest` only if the block succeeds."""
    expect_path(dest)
    # What a link points to is replaced, not the link.
    dest = dest.resolve()
    if dest.exists() and not (dest.is_file() or dest.is_dir()):
        raise UsageError(f"{dest} is neither a file nor a folder, so nothing may take its place; nothing was written. Name a file.")
    mark = uuid4().hex[:8]
    draft, old = (dest.with_name(f".{dest.name}.{mark}.{what}") for what in ("draft", "old"))
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        if dest.is_dir():
            dest.rename(old)
        draft.replace(dest)
    except OSError as fault:
        raise LakeError(f"{dest} cannot be written: {fault.strerror or fault}. What was there is unchanged.") from fault
    finally:
        if old.is_dir() and not dest.exists():
            old.rename(dest)
        for path in (draft, old):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
