"""Databases of PostgreSQL and TimescaleDB, old ones: one snapshot of all tables, by one connection, in the binary form of COPY.

What it lists are tables, with their partitions, heirs or chunks as the one table that they make; views hold nothing of their own.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingExtra, SourceError, Unreachable, UsageError
from workbench.importers import postgres_catalog as catalog
from workbench.importers.origin import BATCH_ROWS, Arrived, Asked, Held, Origin, Reject
from workbench.importers.postgres_urls import Address
from workbench.importers.postgres_values import JSON, NUMBERS, TEXT, TIMES, WAYS, Odd, Way, texts, uuids
from workbench.tables.record import Field
from workbench.tables.spec import quote

if TYPE_CHECKING:
    import pyarrow as pa

# The driver hands over so many bytes at a time, and a batch has at most so many, however few rows that are.
PIECE_BYTES, BATCH_BYTES = 4 << 20, 96 << 20
# So long a table that somebody else has locked is waited for.
LOCK_S = 60
# Clocks are at most so far behind UTC: what is asked of times without a zone starts earlier, whichever zone they are in.
BEHIND = timedelta(hours=12)
AGAIN = "What is in stays in: the same command goes on from there."


@dataclass(frozen=True)
class Wanted:
    """A column that was asked for: its name, how its values come and are made, its own type and ours."""

    name: str
    way: Way
    kind: catalog.Kind
    ours: str


class Postgres(Origin):
    """A database at a URL (or the words that libpq takes), whose host must answer within `timeout` seconds, 2 at least.

    Environment, password file and service file count as they do for `psql`, and so do TLS's parameters. Beside what any origin raises: `MissingExtra`
    without the driver. `views` lists views and materialised views, too.
    """

    kind = "postgres"

    def __init__(self, url: str, timeout: float = 10, *, views: bool = False):
        try:
            import adbc_driver_manager as adbc
            from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped]
        except ImportError as fault:
            raise MissingExtra(
                "adbc-driver-postgresql is not installed, which reads PostgreSQL; nothing was read. Install it with `pip install 'workbench[import]'`."
            ) from fault
        self._views, self._address = views, Address(url, timeout)
        self.label = self._address.label
        self._relations: dict[str, catalog.Relation] = {}
        self._stream: Stream | None = None
        # Of each row that was set apart, how many rows came before it that were not.
        self._apart: list[int] = []
        trouble: Exception | None = None
        try:
            self._con = dbapi.connect(self._address.conninfo, autocommit=True)
        except adbc.Error as fault:
            trouble = self._address.unreached(fault)
        if trouble:
            # Outside of the handler, so that the driver's error is not told as its cause.
            raise trouble
        self._faults: tuple[type[Exception], ...] = (adbc.Error, OSError)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Postgres {self.label}>"

    def _begin(self) -> None:
        """Start the snapshot that all is read from."""
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # The lake may take longer with a batch than a server waits for whoever reads. Not all servers know all of these.
        self._run(catalog.settings(LOCK_S * 1000))
        [(encoding,)] = self._rows("SELECT pg_catalog.current_setting('server_encoding')")
        if encoding == "SQL_ASCII":
            # It knows of no characters, and would break off at the first text that is none in UTF-8.
            self._run("SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', true)")

    def _run(self, statement: str) -> None:
        self._rows(statement, fetch=False)

    def _rows(self, statement: str, *, fetch: bool = True, after: str = "Is it reachable? Then run it again.") -> list[tuple[Any, ...]]:
        """What a statement gives."""
        trouble: Exception
        try:
            with self._con.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if fetch else []
        except self._faults as fault:
            trouble = self._address.failed(fault, "it could not be asked what it holds", after)
        raise trouble

    def _attempt(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement gives, or nothing if this server does not understand it."""
        self._run("SAVEPOINT attempt")
        try:
            found = self._rows(statement)
        except Unreachable:
            raise
        except SourceError:
            found = []
            self._run("ROLLBACK TO SAVEPOINT attempt")
        self._run("RELEASE SAVEPOINT attempt")
        return found

    # ------------------------------------------------------------------ what there is

    def tables(self) -> list[Held]:
        """Its tables by `schema.table`, but those of PostgreSQL itself and of extensions."""
        self._leave()
        self._relations = catalog.relations(self._rows, self._attempt, views=self._views)
        return [one.held for one in self._relations.values()]

    def _relation(self, table: Held) -> catalog.Relation:
        if table.name not in self._relations:
            self._relations |= catalog.relations(self._rows, self._attempt, views=True)
        found = self._relations.get(table.name) or self._relations.get(f"public.{table.name}")
        if found is None:
            raise UsageError(f"{self.label} has no table {table.name}; nothing of it was read.")
        if found.held.fault:
            raise SourceError(f"{self.label}: {found.held.fault}")
        return found

    def ordered(self, table: Held, column: str) -> bool:
        """Whether an index leads with a column, which has no NULL: those would come last, after what is kept of how far was read."""
        self._leave()
        relation = self._relation(table)
        kind = relation.kinds.get(column)
        return bool(kind and kind.required and self._rows(catalog.indexed(relation.oid, kind.number)))

    # ------------------------------------------------------------------ rows

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        """The rows, in pieces. Raises `Unreachable` if it goes away meanwhile, `SourceError` if it cannot give them; other tables can be read then."""
        self._leave()
        relation = self._relation(asked.table)
        wanted = [wanted_of(name, relation, field) for name, field in asked.columns.items()]
        stream = Stream(self, relation, self._query(relation, wanted, asked))
        self._stream = stream
        apart: list[int] = []
        self._apart = apart
        number = 0
        try:
            for rows in stream:
                arrived, strange = made(asked.table.name, wanted, rows, number)
                apart += [number + row - before for before, row in enumerate(strange, len(apart))]
                number += rows.num_rows
                del rows
                yield arrived
        finally:
            stream.close()

    def where(self, table: Held, number: int) -> str:
        """By its number among all rows that came, those that were set apart included."""
        return super().where(table, number + bisect_right(self._apart, number))

    def _query(self, relation: catalog.Relation, wanted: list[Wanted], asked: Asked) -> str:
        columns = ", ".join(f"{one.way.ask.format(quote(one.name))} AS c{n}" for n, one in enumerate(wanted)) or "NULL"
        tests = since(relation.kinds[asked.since[0]], *asked.since) if asked.since else ""
        return f"SELECT {columns} FROM {relation.quoted}{tests}" + f" ORDER BY {quote(asked.order)}" * bool(asked.order)

    def _leave(self) -> None:
        """End a table's rows that nobody took all of: the connection gives one table at a time."""
        if self._stream:
            self._stream.close()

    def close(self) -> None:
        """Let go of it."""
        with suppress(*self._faults, SourceError):
            self._leave()
        with suppress(*self._faults):
            self._con.close()


class Stream:
    """The rows of a query as Arrow tables of at most `BATCH_ROWS`. Whatever becomes of it, the snapshot is as it was."""

    def __init__(self, origin: Postgres, relation: catalog.Relation, query: str):
        self.origin, self.relation, self.query = origin, relation, query
        self._cursor: Any = None
        self._whole = False

    def __iter__(self) -> "Iterator[pa.Table]":
        import pyarrow as pa
        from adbc_driver_postgresql import StatementOptions

        self.origin._run("SAVEPOINT table_of_it")
        trouble: Exception
        try:
            self._cursor = self.origin._con.cursor(
                adbc_stmt_kwargs={StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(PIECE_BYTES)},
            )
            self._cursor.execute(self.query)
            waiting: list[pa.RecordBatch] = []
            count = size = 0
            with self._cursor.fetch_record_batch() as reader:
                for piece in reader:
                    waiting.append(piece)
                    count, size = count + piece.num_rows, size + piece.nbytes
                    while count >= BATCH_ROWS or (count and size >= BATCH_BYTES):
                        whole = pa.Table.from_batches(waiting)
                        yield whole.slice(0, BATCH_ROWS)
                        rest = whole.slice(BATCH_ROWS)
                        del whole
                        waiting, count, size = rest.to_batches(), rest.num_rows, rest.nbytes
                if count:
                    yield pa.Table.from_batches(waiting)
            self._whole = True
        except self.origin._faults as fault:
            trouble = self.origin._address.failed(fault, f"{self.relation.held.name} could not be read to its end", AGAIN)
        else:
            return
        raise trouble

    def close(self) -> None:
        """Stop it, if it is not at its end. What was read before stays readable."""
        if self.origin._stream is not self:
            return
        self.origin._stream = None
        faults = self.origin._faults
        if self._cursor is not None:
            if not self._whole:
                with suppress(*faults):
                    self._cursor.adbc_cancel()
            with suppress(*faults):
                self._cursor.close()
        # A connection that is lost is told by whoever asks it next.
        with suppress(SourceError):
            self.origin._run("ROLLBACK TO SAVEPOINT table_of_it")
            self.origin._run("RELEASE SAVEPOINT table_of_it")


def wanted_of(name: str, relation: catalog.Relation, field: Field) -> Wanted:
    """How a column is asked for. Raises `UsageError` for one that the table has not."""
    kind = relation.kinds.get(name)
    if kind is None:
        raise UsageError(f"{relation.held.name} has no column {name}; nothing of it was read. It has {', '.join(relation.kinds)}.")
    way = JSON if kind.nested else WAYS.get(kind.base, TEXT)
    if field.type.upper() == "VARCHAR" and way.make not in (texts, uuids):
        # As PostgreSQL writes it: of 1.50 no digit is lost.
        way = TEXT
    return Wanted(name, way, kind, field.type)


def made(table: str, wanted: list[Wanted], rows: "pa.Table", before: int) -> tuple[Arrived, list[int]]:
    """Rows as they came, without those that hold a value that is none, and the numbers of these; `before` them came so many."""
    import numpy as np
    import pyarrow as pa

    arrays: dict[str, pa.Array] = {}
    strange: dict[int, dict[str, Odd]] = {}
    for n, one in enumerate(wanted):
        raw = rows.column(n).combine_chunks()
        if isinstance(raw, pa.ChunkedArray):
            raw = pa.concat_arrays(raw.chunks) if raw.num_chunks != 1 else raw.chunk(0)
        arrays[one.name], odd = one.way.make(getattr(raw, "storage", raw), one.ours, one.kind.precision, one.kind.scale)
        for row, why in odd.items():
            strange.setdefault(row, {})[one.name] = why
    if not strange:
        return Arrived(rows.num_rows, arrays), []
    stays = np.ones(rows.num_rows, dtype=bool)
    stays[list(strange)] = False
    rejects = [
        Reject(
            f"{table} row {before + row}",
            "; ".join(f"{name}: {why.reason}" for name, why in odd.items()),
            {name: odd[name].value if name in odd else told(array[row].as_py()) for name, array in arrays.items()},
        )
        for row, odd in sorted(strange.items())
    ]
    keep = pa.array(stays)
    return Arrived(int(stays.sum()), {name: array.filter(keep) for name, array in arrays.items()}, rejects), sorted(strange)


def told(value: object) -> object:
    """A value as JSON has it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def since(kind: catalog.Kind, column: str, value: Any) -> str:
    """The condition for rows from a value on; none where the column's type is of another sort, for then all are compared."""
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if kind.base in NUMBERS:
        fits = number
    elif kind.base in TIMES:
        fits = isinstance(value, date)
    else:
        fits = isinstance(value, str) and kind.base in ("text", "varchar", "bpchar", "uuid") and not re.search(r"\x00", value)
    if not fits:
        return ""
    if kind.base != "timestamptz" and isinstance(value, datetime) and value.tzinfo is not None:
        value = (value - BEHIND).replace(tzinfo=None)
    text = value.isoformat() if isinstance(value, date) else str(value)
    test = f"{quote(column)} >= {literal(text)}::{kind.cast}"
    # A row without this value was written at a time that nobody knows.
    return f" WHERE {test}" if kind.required else f" WHERE ({test} OR {quote(column)} IS NULL)"


def literal(text: str) -> str:
    """A text as SQL has it, whatever `standard_conforming_strings` says."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in doubled else f"'{doubled}'"
