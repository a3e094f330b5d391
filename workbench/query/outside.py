"""A DuckDB file with views of all tables, for what opens such a file and nothing of ours: Superset, DBeaver, the duckdb shell.

Views over Parquet stay views: they read the lake's own files. What is kept in this session's memory or answered by Python is copied, as it is now: rows of the
journal that are in no file yet, the log, the calendar.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.errors import UsageError
from workbench.query.documented import every, in_order
from workbench.query.export import replacing
from workbench.query.report import Report, sized
from workbench.query.views import literal, view
from workbench.tables import TABLES, quote

if TYPE_CHECKING:
    from workbench.query.catalog import Catalog

# What rows are called on their way.
NEW = "arrived"
ROWS = 100_000


def write_views(catalog: "Catalog", dest: Path, *, overwrite: bool = False) -> Report:
    """Write a DuckDB file with a view of every base and documented table as they are now, and tell what cannot be one.

    Raises `UsageError` if the place is inside the lake, or taken, unless by a DuckDB file that `overwrite` lets it replace.
    """
    dest = dest.absolute()
    if dest.resolve().is_relative_to((catalog.lake.root / "lake").resolve()):
        raise UsageError(f"{dest} is inside the lake; nothing was written. Name a place outside {catalog.lake.root / 'lake'}.")
    if dest.is_dir() or (dest.exists() and not (overwrite and duckdb_file(dest))):
        raise UsageError(f"{dest} is there already{', and no DuckDB file' * overwrite}; nothing was written. Name another file.")
    with catalog.pin(), replacing(dest) as draft:
        catalog.documented.prepare()
        told = Told(catalog)
        with duckdb.connect(str(draft)) as out:
            out.execute(f"SET TimeZone = {literal(catalog.zone)}; SET autoinstall_known_extensions = false")
            found = list(told.written(out))
    views = sum(one["kind"] in ("view", "macro") for one in found)
    left = [one for one in found if one["kind"] == "left out"]
    title = f"{views} views in {dest}, {sized(dest.stat().st_size)}" + f"; {len(left)} cannot be views there" * bool(left)
    return Report(title, left, dest=str(dest), views=views, copied=sum(one["kind"] == "copied" for one in found))


def duckdb_file(path: Path) -> bool:
    """Whether a file is one of DuckDB's, which may be replaced, or empty."""
    with path.open("rb") as file:
        start = file.read(12)
    return not start or start[8:] == b"DUCK"


class Told:
    """What a session declares, for another DuckDB."""

    def __init__(self, catalog: "Catalog"):
        self.catalog, self.documented = catalog, catalog.documented

    def written(self, out: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
        """Declare everything; tells of each what became of it."""
        with self.catalog.documented.con.cursor() as con:
            ours = {
                f"{schema}.{name}"
                for schema, name in con.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
            }
            kept = con.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary ORDER BY ALL"
            ).fetchall()
            for (schema,) in con.execute("SELECT DISTINCT schema_name FROM duckdb_schemas() WHERE NOT internal ORDER BY ALL").fetchall():
                out.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
            for name in TABLES:
                shot = self.catalog.held(name)
                out.execute(view(TABLES[name], shot, self.catalog.lake[name].folder))
                yield {"name": name, "kind": "view", "why": ""}
            documented = {*every(), *self.documented.own()}
            # Answered by Python: their rows are those of now.
            answered = [tuple(full.split(".", 1)) for full in sorted(ours - documented - {f"main.{name}" for name in TABLES})]
            for schema, name in (*kept, *answered):
                yield copied(con, out, schema, name)
        for one in (*in_order(), *self.documented.own().values()):
            try:
                out.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(one.schema)}")
                out.execute(self.documented.current(one).statements)
            except duckdb.Error as fault:
                yield {"name": one.full, "kind": "left out", "why": str(fault).splitlines()[0]}
            else:
                yield {"name": one.full, "kind": "view" if one.kind == "view" else "macro", "why": ""}


def copied(con: duckdb.DuckDBPyConnection, out: duckdb.DuckDBPyConnection, schema: str, name: str) -> dict[str, Any]:
    """Put the rows of a table or view into a table of that name."""
    whole = f"{quote(schema)}.{quote(name)}"
    columns = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {whole})").fetchall()
    typed = ", ".join(f"{quote(one)}::{kind} AS {quote(one)}" for one, kind in columns)
    with con.sql(f"FROM {whole}").to_arrow_reader(ROWS) as reader:
        out.register(NEW, reader)
        out.execute(f"CREATE TABLE {whole} AS SELECT {typed} FROM {NEW}")
        out.unregister(NEW)
    return {"name": f"{schema}.{name}", "kind": "copied", "why": ""}
