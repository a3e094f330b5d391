"""A SQLite file as an origin: its tables, and their rows as they are kept, all of one moment."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import SourceError, Unreachable
from workbench.importers.origin import BATCH_ROWS, Arrived, Asked, Column, Held, Origin, Reject
from workbench.importers.sqlite_columns import FIRST, TRIPPED, Classes, Reading, asked, found, reading
from workbench.importers.sqlite_file import DAMAGE, Opened, is_drivers, worded
from workbench.tables import quote

if TYPE_CHECKING:
    import pyarrow as pa

# For so long a file that another program has locked is waited for.
TIMEOUT_S = 30.0
# So many rows at either end of a table tell what its columns hold.
LOOKED_AT = 1000
# Rows are read by fewer at a time where those of a batch would be larger together.
BATCH_BYTES = 128_000_000
# In larger files, to count a table's rows takes long.
COUNTED_BYTES = 4_000_000_000
# Times without a zone are of one that is not known here, and lie within so much of UTC.
ZONES = timedelta(days=1)
ISO = re.compile(r"\d{4}-\d\d-\d\d")
EPOCHS = ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (float("inf"), 10**9))


class Sqlite(Origin):
    """A SQLite file, opened read-only. Its tables are listed; views and virtual tables, too, with the reason why they are not read.

    Waits `timeout_s` seconds for a program that has it locked. Programs that write with a write-ahead log go on meanwhile; others wait in turn.
    """

    kind = "sqlite"

    def __init__(self, path: str | Path, timeout_s: float = TIMEOUT_S):
        self.path = Path(path).expanduser().absolute()
        self.label = f"sqlite:{self.path}"
        self.timeout_s = timeout_s
        self._file = Opened(self.path, timeout_s)

    def __repr__(self) -> str:
        return f"<Sqlite at {self.path}>"

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    # ---------------------------------------------------------------------- what there is

    def tables(self) -> list[Held]:
        """The tables by name; views and virtual tables come with their fault."""
        listed = self._file.rows("SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' ORDER BY name")
        return [self._held(str(name), str(kind)) for name, kind in listed if not str(name).lower().startswith("sqlite_")]

    def _held(self, name: str, kind: str) -> Held:
        """A table as it is declared. What is wrong with one is said, and does not keep from the others."""
        try:
            columns = tuple(
                Column(str(one), str(declared))
                for one, declared in self._file.rows(
                    f"SELECT name, type FROM pragma_table_xinfo({literal(name)}) WHERE hidden <> 1 ORDER BY cid"
                )
            )
        except SourceError as fault:
            return Held(name, (), fault=str(fault) if kind == "table" else view(name, kind))
        if kind != "table":
            return Held(name, columns, fault=view(name, kind))
        return Held(name, columns, self._count(name))

    def _count(self, name: str) -> int | None:
        """The number of a table's rows; None if that takes long, or the table is damaged, which reading it will say."""
        if self._size > COUNTED_BYTES:
            return None
        try:
            [(count,)] = self._file.rows(f"SELECT count(*) FROM {quote(name)}")
        except SourceError:
            return None
        return int(count)

    @cached_property
    def _size(self) -> int:
        return self.path.stat().st_size

    def ordered(self, table: Held, column: str) -> bool:
        """Whether the table or an index of it is sorted by a column, and what it holds sorts there as what it means."""
        led = {name.lower() for name in (*self._key(table)[:1], *self._leaders(table))}
        if column.lower() not in led:
            return False
        (low, least), (high, greatest) = self._ends(table, column)
        if {low, high} <= {"integer", "real", "null"}:
            return True
        # Of times it is their text that is sorted: they must be written alike.
        alike = bool(ISO.match(least)) == bool(ISO.match(greatest)) and (not ISO.match(least) or least[10:11] == greatest[10:11])
        return low == high == "text" and alike

    def _leaders(self, table: Held) -> list[str]:
        """The columns that an index of the whole table leads with."""
        query = (
            f"SELECT c.name FROM pragma_index_list({literal(table.name)}) AS i, pragma_index_xinfo(i.name) AS c"
            " WHERE i.partial = 0 AND c.seqno = 0 AND c.name IS NOT NULL AND c.coll = 'BINARY'"
        )
        return [str(name) for (name,) in self._file.rows(query)]

    def _key(self, table: Held) -> tuple[str, ...]:
        """What the table is sorted by: names for its row's number, a declared column's first; the key of a table without one."""
        listed = f"pragma_table_list({literal(table.name)})"
        [(bare,)] = self._file.rows(f"SELECT coalesce(max(wr), 0) FROM {listed} WHERE schema = 'main'")
        key = self._file.rows(f"SELECT name, type FROM pragma_table_xinfo({literal(table.name)}) WHERE pk > 0 ORDER BY pk")
        if bare:
            return tuple(str(name) for name, _ in key)
        indexed = self._file.rows(f"SELECT 1 FROM pragma_index_list({literal(table.name)}) WHERE origin = 'pk'")
        if len(key) == 1 and str(key[0][1]).upper() == "INTEGER" and not indexed:
            return (str(key[0][0]),)
        taken = {name.lower() for name in table.names}
        return tuple(name for name in ("rowid", "_rowid_", "oid") if name not in taken)[:1]

    def _ends(self, table: Held, column: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Class and text of the least and of the greatest value of a column. Numbers come before text, and bytes after it."""
        query = "SELECT typeof(v), coalesce(CAST(v AS TEXT), '') FROM (SELECT {}({}) AS v FROM {})"
        low, high = (self._file.rows(query.format(one, quote(column), quote(table.name)))[0] for one in ("min", "max"))
        return (str(low[0]), str(low[1])), (str(high[0]), str(high[1]))

    # ---------------------------------------------------------------------- rows

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        """The rows, in the order asked for, else in that of the table.

        Of a damaged table those come that stand before the damage; then `SourceError` is raised.
        """
        try:
            yield from self._batches(asked)
        except (SourceError, Unreachable) as fault:
            # What a small query stopped at was said of the file.
            raise worded(self.path, self.timeout_s, asked.table.name, fault.__cause__ or fault) from fault.__cause__
        except Exception as fault:
            if not is_drivers(fault):
                raise
            raise worded(self.path, self.timeout_s, asked.table.name, fault) from fault

    def _batches(self, asked: Asked) -> Iterator[Arrived]:
        """The rows, read by what the ends of the table hold; from where that is not so, by what all of it holds."""
        key = self._key(asked.table)
        source = self._source(asked, key)
        classes, given = self._seen(asked, key), 0
        rows, looked = self._rows_at_once(asked), False
        while True:
            try:
                for batch in self._read(asked, source, classes, given, rows):
                    given += batch.count + len(batch.rejects)
                    yield batch
            except Exception as fault:
                if not is_drivers(fault):
                    raise
                if not looked and any(one in str(fault) for one in TRIPPED):
                    classes, looked = self._classes(asked, quote(asked.table.name)), True
                elif rows > 1 and any(one in str(fault) for one in DAMAGE):
                    # A batch comes whole or not at all: smaller ones bring what stands before the damage.
                    rows = max(1, rows // 64)
                else:
                    raise
            else:
                return

    def _source(self, asked: Asked, key: Sequence[str]) -> str:
        """The rows asked for, as the end of a query."""
        wanted = bound(quote(asked.since[0]), *self._ends(asked.table, asked.since[0]), asked.since[1]) if asked.since else ""
        by = ", ".join(map(quote, dict.fromkeys((*([asked.order] if asked.order else []), *key))))
        return f"FROM {quote(asked.table.name)}" + f" WHERE {wanted}" * bool(wanted) + f" ORDER BY {by}" * bool(by)

    def _seen(self, asked: Asked, key: Sequence[str]) -> dict[str, Classes]:
        """The classes of values at either end of the table."""
        picked = f"SELECT {', '.join(map(quote, asked.columns))} FROM {quote(asked.table.name)}"
        ways = [f" ORDER BY {', '.join(f'{quote(one)} {way}' for one in key)}" for way in ("ASC", "DESC")] if key else [""]
        return self._classes(asked, f"({' UNION ALL '.join(f'SELECT * FROM ({picked}{way} LIMIT {LOOKED_AT})' for way in ways)})")

    def _classes(self, wanted: Asked, source: str) -> dict[str, Classes]:
        """The classes of values in the columns asked for."""
        names = list(wanted.columns)
        # A result may have 2,000 columns.
        pieces = [names[at : at + 300] for at in range(0, len(names), 300)]
        return {name: one for piece in pieces for name, one in found(piece, self._file.rows(asked(piece, source))[0]).items()}

    def _rows_at_once(self, asked: Asked) -> int:
        """How many rows make a batch: fewer where they are large."""
        if asked.table.rows is not None and self._size / max(asked.table.rows, 1) * min(BATCH_ROWS, asked.table.rows) <= BATCH_BYTES:
            return BATCH_ROWS
        size = " + ".join(f"coalesce(octet_length({quote(name)}), 0)" for name in asked.columns)
        table, rows = quote(asked.table.name), BATCH_ROWS
        try:
            # Large rows may stand together: what counts is the largest batch.
            while rows > 1:
                numbered = f"SELECT {size} AS size, (row_number() OVER () - 1) / {rows} AS batch FROM {table}"
                batches = f"SELECT sum(size) AS size, max(size) AS one FROM ({numbered}) GROUP BY batch"
                [(largest, one)] = self._file.rows(f"SELECT coalesce(max(size), 0), coalesce(max(one), 0) FROM ({batches})")
                # One row may be more than that by itself.
                most = 2 * max(BATCH_BYTES, int(one))
                if int(largest) <= most:
                    return rows
                rows = max(1, min(rows // 2, rows * most // int(largest)))
        except SourceError:
            # Reading it will say where it is damaged.
            return BATCH_ROWS // 20
        return rows

    def _read(self, asked: Asked, source: str, classes: Mapping[str, Classes], given: int, rows: int) -> Iterator[Arrived]:
        """The rows after those that were given, each column read as its classes want it."""
        kinds = {column.name: column.kind for column in asked.table.columns}
        readings = [reading(name, kinds.get(name, ""), field, classes[name]) for name, field in asked.columns.items()]
        parts = [part for one in readings for part in one.parts]
        # A first row pins the types of the columns; the rows are in a query with a limit, which keeps their order.
        first = ", ".join(FIRST[part.kind] for part in parts)
        query = f"SELECT {first} UNION ALL SELECT * FROM (SELECT {', '.join(part.expression for part in parts)} {source} LIMIT -1 OFFSET {given})"
        expected = [{"integer": "int64", "real": "double", "text": "string", "blob": "binary"}[part.kind] for part in parts]
        skipped = 1
        with self._file.read(query, rows) as reader:
            if (types := [str(one) for one in reader.schema.types]) != expected:
                raise ValueError(f"{TRIPPED[1]}: {types} are not {expected}")
            for batch in reader:
                here = batch.slice(skipped)
                skipped = 0
                if here.num_rows:
                    yield arrived(asked.table, here, readings, given)
                    given += here.num_rows


def arrived(table: Held, batch: "pa.RecordBatch", readings: Sequence[Reading], given: int) -> Arrived:
    """A batch's rows but for those with text that is none."""
    import pyarrow as pa
    from pyarrow import compute as pc

    broken = unreadable(batch)
    rejects = []
    if broken:
        owners = [one for one in readings for _ in one.parts]
        for row, at in sorted(broken.items()):
            raw = batch.column(at).cast(pa.binary())[row].as_py()
            reason = f"{owners[at].name} is text that is not UTF-8: {raw[:40]!r}"
            told = {
                one.name: shown(batch.column(n)[row], batch.column(n).type) for n, one in enumerate(owners) if batch.column(n)[row].is_valid
            }
            rejects.append(Reject(f"{table.name} row {given + row}", reason, told))
        batch = batch.filter(pc.invert(pc.is_in(pa.array(range(batch.num_rows)), pa.array(list(broken)))))
    columns, at = {}, 0
    for one in readings:
        columns[one.name] = one.joined(batch.columns[at : at + len(one.parts)])
        at += len(one.parts)
    return Arrived(batch.num_rows, columns, rejects)


def unreadable(batch: "pa.RecordBatch") -> dict[int, int]:
    """The rows that hold text that is not UTF-8, each with the first such column."""
    import pyarrow as pa

    broken: dict[int, int] = {}
    for at, column in enumerate(batch.columns):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            for row, raw in enumerate(column.cast(pa.binary()).to_pylist()):
                try:
                    (raw or b"").decode()
                except UnicodeDecodeError:
                    broken.setdefault(row, at)
    return broken


def shown(value: Any, kind: "pa.DataType") -> Any:
    """A value for a reject."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        value = value.cast(pa.binary())
    told = value.as_py()
    return told.decode(errors="backslashreplace") if isinstance(told, bytes) else told


def view(name: str, kind: str) -> str:
    """Why what is no table is not read."""
    what = "a view, which shows what is in tables" if kind == "view" else f"a {kind} table, whose rows its own module keeps"
    return f"{name} is {what}; nothing of it was imported. Import the tables that it is made of, or copy it into a table of its own."


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def bound(column: str, least: tuple[str, str], greatest: tuple[str, str], value: Any) -> str:
    """A condition that rows with a value or a greater one meet, and as few others as can be; empty if the column is not of one kind."""
    kinds, texts = {least[0], greatest[0]}, (least[1], greatest[1])
    numbers, text = kinds <= {"integer", "real"}, kinds == {"text"}
    if isinstance(value, int):
        return f"{column} >= {value}" if numbers else ""
    if isinstance(value, str):
        return f"{column} >= {literal(value)} COLLATE BINARY" if text and "\0" not in value else ""
    if not isinstance(value, date):
        return ""
    instant = value if isinstance(value, datetime) else datetime.combine(value, time())
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    try:
        since = instant.astimezone(UTC) - ZONES
    except OverflowError:
        return ""
    if text and all(ISO.match(one) for one in texts):
        return f"{column} >= '{since.date().isoformat()}'"
    units = {next(unit for below, unit in EPOCHS if abs(float(one)) < below) for one in texts} if numbers else set()
    # Small numbers are seconds of 1970 as much as later times in any unit.
    return f"{column} >= {int(since.timestamp()) * units.pop()}" if len(units) == 1 else ""
