"""SQLAlchemy's engine on a bench: DuckDB takes PostgreSQL's spelling of what the ORM writes, and the declarations answer what it would look up in a catalogue."""

import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.pool import NullPool

from workbench.errors import QueryError
from workbench.orm.types import type_of
from workbench.tables.platforms import RECORDS, SCHEMAS
from workbench.tables.record import Field, Record

if TYPE_CHECKING:
    from workbench.bench import Workbench

ASKS = re.compile(r"[\s(]*(SELECT|WITH|FROM|VALUES|SHOW|DESCRIBE|SUMMARIZE|EXPLAIN|PIVOT|UNPIVOT)\b", re.IGNORECASE)
FAULTS = (
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
)
# What SQLAlchemy asks of a driver.
DBAPI = SimpleNamespace(
    paramstyle="numeric_dollar",
    apilevel="2.0",
    threadsafety=1,
    Error=duckdb.Error,
    InterfaceError=duckdb.Error,
    **{name: getattr(duckdb, name) for name in FAULTS},
)


class Cursor:
    """Asks a bench. Each query sees the lake as it is then; rows are fetched as they are asked for."""

    arraysize = 1
    rowcount = -1
    lastrowid = None

    def __init__(self, bench: "Workbench"):
        self._bench = bench
        self._found: Any = None
        self.description: Sequence[Any] | None = None

    def execute(self, statement: str, values: Sequence[Any] | None = None) -> None:
        """Run a query. Raises `QueryError` for one that asks nothing, and as DuckDB does."""
        if not ASKS.match(statement):
            raise refused(statement)
        named = {str(number): value for number, value in enumerate(values or (), 1)}
        self.close()
        with self._bench.catalog.watch.timing(statement):
            self._found = self._bench.catalog.executed(statement, named)
        self.description = self._found.description

    def executemany(self, statement: str, _: Sequence[Sequence[Any]]) -> None:
        """Refused: what is run for many rows writes them."""
        raise refused(statement)

    def fetchone(self) -> Any:
        """The next row."""
        return self._found.fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        """Some rows more."""
        return self._found.fetchmany(size or self.arraysize)

    def fetchall(self) -> Any:
        """All rows that are left."""
        return self._found.fetchall()

    def close(self) -> None:
        """Let go of the result."""
        if self._found is not None:
            self._found.close()
            self._found = None


def refused(statement: str) -> QueryError:
    """What to say of SQL that writes."""
    verb = (statement.split() or ["this"])[0].upper()
    both: type[QueryError] = type("NotSupportedError", (QueryError, duckdb.NotSupportedError), {})
    return both(
        f"{verb} is not run through SQLAlchemy; nothing was done. Add, change or delete objects in a session and commit it, "
        "or write with bench.add, bench.append, bench.upsert and bench.delete."
    )


class Connection:
    """A connection to a bench. Transactions are the bench's own: of a query there is nothing to commit."""

    def __init__(self, bench: "Workbench"):
        self._bench = bench

    def cursor(self) -> Cursor:
        """Something to ask with."""
        return Cursor(self._bench)

    def commit(self) -> None:
        """Nothing: queries write nothing."""

    def rollback(self) -> None:
        """Nothing: queries write nothing."""

    def close(self) -> None:
        """Nothing: the bench stays open."""


class LakeDialect(PGDialect):
    """DuckDB's SQL as SQLAlchemy writes it for PostgreSQL; tables, keys and references are those that are declared."""

    name = "workbench"
    driver = "workbench"
    supports_statement_cache = True
    supports_sane_rowcount = False
    supports_native_uuid = True
    supports_server_side_cursors = False
    insert_returning = update_returning = delete_returning = False
    use_insertmanyvalues = False
    default_paramstyle = "numeric_dollar"
    # PostgreSQL's ask its catalogue for many tables at once; these ask table by table.
    for _what in (
        "columns",
        "pk_constraint",
        "foreign_keys",
        "unique_constraints",
        "indexes",
        "check_constraints",
        "table_comment",
        "table_options",
    ):
        locals()[f"get_multi_{_what}"] = getattr(DefaultDialect, f"get_multi_{_what}")
    del _what

    def __init__(self, bench: "Workbench", **options: Any):
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.bench = bench

    @classmethod
    def import_dbapi(cls) -> Any:
        """What stands in for a driver."""
        return DBAPI

    def initialize(self, connection: Any) -> None:  # noqa: ARG002
        """Nothing is asked."""
        self.server_version_info = (16, 0)
        self.default_schema_name = "main"

    def do_ping(self, dbapi_connection: Any) -> bool:  # noqa: ARG002
        """It is there as long as the bench is."""
        return True

    def get_isolation_level_values(self, dbapi_connection: Any) -> Any:  # noqa: ARG002
        """Each query sees what was committed before it."""
        return ("AUTOCOMMIT",)

    # ------------------------------------------------------------------ what is declared

    def _record(self, table: str, schema: str | None) -> Record:
        record = self.bench.records().get(f"{schema}.{table}") or RECORDS.get(f"{schema}.{table}")
        if record is None:
            raise NoSuchTableError(f"{schema}.{table}" if schema else table)
        return record

    def has_table(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> bool:  # noqa: ARG002
        """Whether there is a documented table of that name."""
        return f"{schema}.{table_name}" in {**RECORDS, **self.bench.records()}

    def get_schema_names(self, connection: Any, **_: Any) -> list[str]:  # noqa: ARG002
        """The schemas of the documented tables."""
        return sorted({*SCHEMAS, *(one.schema for one in self.bench.records().values())})

    def get_table_names(self, connection: Any, schema: str | None = None, **_: Any) -> list[str]:  # noqa: ARG002
        """The documented tables of a schema."""
        return sorted(one.name for one in {**RECORDS, **self.bench.records()}.values() if one.schema == schema)

    def get_view_names(self, connection: Any, schema: str | None = None, **_: Any) -> list[str]:  # noqa: ARG002
        """None: all are tables here."""
        return []

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """The columns of a documented table."""
        return [told(one) for one in self._record(table_name, schema).columns]

    def get_pk_constraint(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """Its key."""
        return {"constrained_columns": list(self._record(table_name, schema).key), "name": None}

    def get_foreign_keys(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # type: ignore[override]  # noqa: ARG002
        """What it refers to."""

        def reference(columns: Sequence[str], table: str, to: Sequence[str]) -> Mapping[str, Any]:
            of, _, name = table.partition(".")
            return {
                "name": None,
                "constrained_columns": list(columns),
                "referred_schema": of,
                "referred_table": name,
                "referred_columns": list(to),
                "options": {},
            }

        return [reference(one.columns, one.table, one.to) for one in self._record(table_name, schema).references]

    def get_unique_constraints(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """What else tells its rows apart."""
        return [{"name": "_".join(one), "column_names": list(one)} for one in self._record(table_name, schema).unique]

    def get_check_constraints(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """Its checks."""
        return [{"name": one.name, "sqltext": one.rule} for one in self._record(table_name, schema).checks]

    def get_table_comment(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """What it is."""
        return {"text": self._record(table_name, schema).doc}

    def get_indexes(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """None."""
        return []

    def get_table_options(self, connection: Any, table_name: str, schema: str | None = None, **_: Any) -> Any:  # noqa: ARG002
        """None."""
        return {}


def told(column: Field) -> dict[str, Any]:
    """A column as SQLAlchemy reflects one."""
    return {
        "name": column.name,
        "type": type_of(column),
        "nullable": not column.required,
        "default": column.default or None,
        "autoincrement": column.serial,
        "comment": column.doc,
    }


def engine(bench: "Workbench", **options: Any) -> Engine:
    """SQLAlchemy's engine on a bench; `options` are those of `create_engine`, as echo. It opens nothing of its own, and closing it closes nothing."""
    from sqlalchemy.engine.url import URL

    dialect = LakeDialect(bench, dbapi=DBAPI, paramstyle="numeric_dollar")
    pool = NullPool(lambda: Connection(bench), dialect=dialect)  # type: ignore[arg-type]
    made = Engine(pool, dialect, URL.create("workbench"), **options)
    dialect.initialize(None)
    return made
