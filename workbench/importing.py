"""Old databases in and out: `import_from`, what was imported so far, and `export_to`."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.arguments import as_date, several
from workbench.errors import UsageError
from workbench.lake.store import Lake
from workbench.query.report import Report

if TYPE_CHECKING:
    import duckdb

    from workbench.importers.run import Import
    from workbench.query.catalog import Catalog
    from workbench.tables.record import Record

IfExists = Literal["fail", "replace", "append"]


class Importing:
    """The verbs that bring an old database, and hand tables back to one."""

    lake: Lake
    _as_of: datetime | None

    # What `Workbench` and `Writing` have.
    records: Any

    @property
    @abstractmethod
    def catalog(self) -> "Catalog":
        """The DuckDB session, which `Workbench` makes."""

    @property
    @abstractmethod
    def con(self) -> "duckdb.DuckDBPyConnection":
        """DuckDB's cursor of this thread."""

    @property
    @abstractmethod
    def platform(self) -> str | None:
        """The platform in use."""

    def import_from(
        self,
        kind: str,
        url: str | Path,
        *,
        tables: str | Iterable[str] | None = None,
        maps: Mapping[str, object] | Iterable[str] | None = None,
        platform: str | None = None,
        timezone: str = "UTC",
        full: bool = False,
        timeout: float | None = None,
    ) -> "Import":
        """An import of an old database, planned and not run yet: iterate it for its steps, call `.run()`, or look at `.plan`.

        `kind` is sqlite, json, postgres, mongo, kdb or files; `url` a file or folder, or where a server is. Its tables become the documented ones by
        their names: `platform` says whose where these are ambiguous (default: the one in use), `maps` which is which, as
        `{"px": ("market_data.ohlcv", {"t": "timestamp"})}` or `["px=market_data.ohlcv:t=timestamp"]`. `tables` are those that are wanted. Times without
        a zone are in `timezone`. What an import brought is not read again, unless `full`; rows are compared with those that are there, and the source
        wins. The lake is made if there is none. A server is waited for `timeout` seconds. Raises `UnknownName`, `UsageError`, `MissingExtra`; and
        `Unreachable`, `BadKeys` or another `SourceError` where the database cannot be read. No password is ever told.
        """
        from workbench.importers.matching import maps_of, matched
        from workbench.importers.reading import Reading
        from workbench.importers.run import Import, Order
        from workbench.importers.taking import zone_of
        from workbench.importers.urls import TIMEOUT_S, hiding, kind_of, name_of, opened

        if self._as_of:
            raise UsageError("this is the lake as of an instant, which cannot change; nothing was imported. Open it without as_of.")
        named, said = kind_of(kind), maps_of(maps)
        zone_of(timezone)
        reading = Reading()
        origin = None
        try:
            with hiding(str(url)):
                origin = reading.call(lambda: opened(named, url, timeout=TIMEOUT_S if timeout is None else timeout))
                assert origin
                held = reading.call(origin.tables) or []
            expect_some(held, origin.label)
            only = several(tables) if tables is not None else []
            matches = matched(
                held, self.records(), maps=said, platform=platform or self.platform, only=only, database=name_of(named, str(url))
            )
            return Import(self, origin, reading, Order(str(url), matches, timezone, full))
        except BaseException:
            # Nobody else can close what was opened here.
            reading.close(origin.close if origin else lambda: None)
            raise

    def imports(self) -> Report:
        """What was imported so far: of each table of each database where it went, up to which value of which column, how many rows came, and when."""
        from workbench.importers.marks import shown
        from workbench.lake.imports import positions

        found = positions(self.lake.root) if self.lake.exists else []
        rows = [
            {
                "source": one.source,
                "table": one.theirs,
                "becomes": one.ours,
                "rows brought": one.rows,
                "up to": f"{one.column} {shown(one.value)}" if one.column else "compared whole",
                "at": one.at,
            }
            for one in found
        ]
        sources = len({one.source for one in found})
        what = (
            f"{len(rows)} table{'s' * (len(rows) != 1)} of {sources} database{'s' * (sources != 1)} imported"
            if rows
            else "nothing was imported yet"
        )
        return Report(f"{self.lake.where}: {what}", rows, root=self.lake.where)

    def export_to(
        self,
        table: str,
        url: str | Path,
        *,
        if_exists: IfExists = "fail",
        start: date | str | None = None,
        end: date | str | None = None,
        symbols: Sequence[str] = (),
    ) -> Report:
        """Write a table's rows into a database: `postgresql://…` or `sqlite:path.db`; gives how many.

        The table is made there with the document's names, key and checks. If it is there already, nothing is done, or with `if_exists` it is
        replaced or appended to; all rows go in or none. `start`, `end` and `symbols` choose, as for files. An import of what was written compares
        equal. Raises `UnknownName`, `UsageError`, and `SourceError` where the database takes none.
        """
        from workbench.exporters import going

        if if_exists not in ("fail", "replace", "append"):
            raise UsageError(f"if_exists={if_exists!r} is none of fail, replace and append; nothing was exported.")
        known: Mapping[str, Record] = self.records()
        self.catalog.documented.prepare(f"FROM {table}")
        return going.exported(self.con, self.lake, known, table, str(url), if_exists, as_date(start), as_date(end), symbols)


def expect_some(tables: Sequence[object], label: str) -> None:
    """Raise `UsageError` for a database without tables."""
    if not tables:
        raise UsageError(f"{label} holds no tables; nothing was imported.")
