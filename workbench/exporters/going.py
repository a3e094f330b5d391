"""A table on its way into another database: which database, and which rows."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from workbench.errors import MissingExtra, UsageError
from workbench.importers.urls import hiding, masked
from workbench.lake.store import Lake
from workbench.query.export import ARROW_ROWS, chosen_rows, interruptible, shown
from workbench.query.report import Report
from workbench.tables import find
from workbench.tables.record import Field, Record

SERVERS = ("postgresql", "postgres", "timescale", "timescaledb")
PLACES = "Write sqlite:path.db, or postgresql://user:password@host/db"


def place(url: str, lake: Path) -> tuple[str, str | Path]:
    """The module that writes to a place, and the place as that takes it. Raises `UsageError`."""
    if "\0" in url:
        raise UsageError(f"{masked(url)!r} has a NUL in it, which no place has; nothing was exported. {PLACES}.")
    scheme, colon, rest = url.strip().partition(":")
    if colon and scheme.lower() in ("sqlite", "sqlite3"):
        path = Path(rest.removeprefix("///") if rest.startswith("///") else rest).expanduser()
        if rest in ("", "//", "///") or (rest.startswith("//") and not rest.startswith("///")):
            raise UsageError(f"{url!r} names no file; nothing was exported. {PLACES}.")
        if path.resolve().is_relative_to((lake / "lake").resolve()) or path.resolve().is_relative_to((lake / "journal").resolve()):
            raise UsageError(f"{path} is inside the lake; nothing was exported. Name a place outside {lake}.")
        return "sqlite", path
    if colon and scheme.lower() in SERVERS:
        return "postgres", f"postgresql:{rest}"
    raise UsageError(f"{masked(url)!r} is no database that tables are written to; nothing was exported. {PLACES}.")


def exported(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    known: Mapping[str, Record],
    table: str,
    url: str,
    if_exists: str,
    start: date | None,
    end: date | None,
    symbols: Sequence[str],
) -> Report:
    """Write a table's rows into a database, all or none, and tell their number. Raises as `Importing.export_to` says."""
    kind, where = place(url, lake.root)
    record = known.get(table.lower()) or described(con, table)
    query = chosen_rows(record if "." in table else find(table), start, end, symbols)
    told = masked(url)
    with hiding(url):
        count = interruptible(con, lambda: poured(con, query, kind, where, record, if_exists))
    title = f"{record.full}: {count:,} rows in {told}"
    return Report(title, [], table=record.full, dest=told, exported_rows=count, if_exists=if_exists)


def poured(con: duckdb.DuckDBPyConnection, query: str, kind: str, where: str | Path, record: Record, if_exists: str) -> int:
    """Have the writer of that kind take the rows in; gives their number."""
    try:
        write: Any = getattr(importlib.import_module(f"workbench.exporters.{kind}"), f"to_{kind}")
    except ImportError as fault:
        if isinstance(fault, MissingExtra):
            raise
        raise MissingExtra(
            f"{fault.name or fault} is not installed, which writes to {kind}; nothing was exported. Install it with "
            "`pip install 'workbench[import]'`."
        ) from fault
    with con.sql(query).to_arrow_reader(ARROW_ROWS) as reader:
        return int(write(where, record, reader, if_exists))


def described(con: duckdb.DuckDBPyConnection, table: str) -> Record:
    """A view, or a base table, as DuckDB shows it. Raises `UnknownName`."""
    if "." in table:
        return shown(con, table)
    named = find(table)
    columns = con.execute(f"DESCRIBE {named.name}").fetchall()
    return replace(Record("main", named.name, "", ()), columns=tuple(Field(one[0], one[1], "", required=False) for one in columns))
