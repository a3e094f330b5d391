"""The documented tables: what is declared holds together, and DuckDB takes it; what the documents name is said of."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest

import workbench
from workbench import orm, panels
from workbench.cli import main
from workbench.config import Settings
from workbench.query.documented import every
from workbench.tables import TABLES, quote
from workbench.tables.documents import named
from workbench.tables.mirrored import MIRRORED, UNBOUND, Mirror, Unbound
from workbench.tables.platforms import OTHER_NAMES, PLATFORMS, RECORDS, SCHEMAS, platform
from workbench.tables.record import Check, Record

# A change of the example that breaks each check.
OF_BARS: dict[str, dict[str, Any]] = {
    "ohlcv_open_check": {"open": 0},
    "ohlcv_high_check": {"high": 0},
    "ohlcv_low_check": {"low": 0},
    "ohlcv_close_check": {"close": 0},
    "ohlcv_volume_check": {"volume": -1},
    "chk_high_low": {"high": 168.9},
    "chk_high_prices": {"high": 169.2},
    "chk_low_prices": {"low": 169.2},
}
BROKEN: dict[str, dict[str, dict[str, Any]]] = {
    "shrek.data_sync_log": {"status": {"status": "done"}},
    "ampyfin.market_status": {"market_status": {"market_status": "Open"}},
    "ampyfin.paper": {"side": {"side": "short"}},
    "ampyfin.strategy_decisions": {"signal": {"signal": "BUY"}},
    "kraken_bot.signals": {"final_signal": {"final_signal": "Buy"}},
    "kraken_bot.trades": {"action": {"action": "HOLD"}},
    "market_data.ohlcv": OF_BARS,
    "market_data.ohlcv_archive": OF_BARS,
    "events.event_data": {"event_data_impact_level_check": {"impact_level": 5}},
    "transactional.orders": {
        "side": {"side": "BUY"},
        "order_type": {"order_type": "iceberg"},
        "quantity": {"quantity": 0},
        "status": {"status": "open"},
    },
    "transactional.trades": {"side": {"side": "BUY"}, "quantity": {"quantity": 0}, "price": {"price": 0}},
    "utilities.holidays": {"status": {"status": "open"}},
    "utilities.feature_flags": {"rollout_percent": {"rollout_percent": 101}},
}
CHECKS = [(record, check) for record in RECORDS.values() for check in record.checks]
records = pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.full)


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def declare(con: duckdb.DuckDBPyConnection, record: Record, checks: tuple[Check, ...]) -> None:
    """A table as DuckDB itself would hold it to the rules, under the name t."""
    columns = [
        f"{quote(c.name)} {c.type} {'NOT NULL' * c.required} DEFAULT {c.default or ('7' if c.serial else 'NULL')}" for c in record.columns
    ]
    keys = [f"PRIMARY KEY ({', '.join(map(quote, record.key))})"] if record.key else []
    keys += [f"UNIQUE ({', '.join(map(quote, names))})" for names in record.unique]
    con.execute(f"CREATE OR REPLACE TABLE t ({', '.join([*columns, *keys, *(f'CHECK ({one.rule})' for one in checks)])})")


def insert(con: duckdb.DuckDBPyConnection, row: Mapping[str, Any]) -> None:
    con.execute(f"INSERT INTO t ({', '.join(map(quote, row))}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


@records
def test_a_table_and_its_columns_say_what_they_are(record: Record) -> None:
    assert record.doc.endswith(".") and all(re.fullmatch(r"\S.*\.", column.doc) for column in record.columns)
    assert len({column.name for column in record.columns}) == len(record.columns)
    home = platform(record.schema)
    assert record in home.records and record.schema in home.schemas and record.document == home.document


@records
def test_duckdb_takes_the_declaration_and_the_example_comes_back_equal(con: duckdb.DuckDBPyConnection, record: Record) -> None:
    declare(con, record, record.checks)
    insert(con, record.example)
    found = con.sql("FROM t")
    assert found.columns == [column.name for column in record.columns]
    [row] = found.fetchall()
    told = dict(zip(found.columns, row, strict=True))
    assert {name: told[name] for name in record.example} == dict(record.example)
    assert [str(kind) for kind in con.sql(record.empty).types] == [str(kind) for kind in found.types]


@records
def test_keys_are_of_columns_that_are_never_null(record: Record) -> None:
    for names in (record.key, *record.unique):
        assert all(record[name].required for name in names)
    # Ticks may be told twice.
    assert record.key or record.full in ("historical.trade", "historical.quote")


@pytest.mark.parametrize(("record", "check"), CHECKS, ids=lambda one: getattr(one, "full", None) or one.name)
def test_a_check_refuses_what_breaks_it_and_lets_null_pass(con: duckdb.DuckDBPyConnection, record: Record, check: Check) -> None:
    declare(con, record, (check,))
    with pytest.raises(duckdb.ConstraintException, match="CHECK"):
        insert(con, {**record.example, **BROKEN[record.full][check.name]})
    used = {column.name for column in record.columns if re.search(rf"\b{column.name}\b", check.rule)}
    nulls = ", ".join(f"NULL::{column.type} AS {quote(column.name)}" for column in record.columns)
    assert used and con.sql(f"SELECT {check.rule} FROM (SELECT {nulls})").fetchall() == [(None,)]


@records
def test_a_reference_is_to_a_key_of_the_same_types(record: Record) -> None:
    for reference in record.references:
        other = RECORDS[reference.table]
        assert reference.to in (other.key, *other.unique)
        assert [record[name].type for name in reference.columns] == [other[name].type for name in reference.to]


@records
def test_what_feeds_a_table_is_there(record: Record) -> None:
    assert set(record.fed) <= TABLES.keys() | RECORDS.keys() | {"calendar", "data_sync_log"}
    assert record.full not in record.fed
    assert record.takes_rows or record.fed, "what takes no rows and is not fed stays empty"


@records
def test_a_documented_table_can_be_named(record: Record) -> None:
    assert record.full in every()
    assert (".".join(record.imported) in every()) == record.takes_rows


def test_no_two_platforms_have_a_schema_or_a_name_in_common() -> None:
    assert len(SCHEMAS) == sum(len(one.schemas) for one in PLATFORMS.values())
    words = [{one.name, *one.schemas, *one.aliases} for one in PLATFORMS.values()]
    assert len(set().union(*words)) == sum(map(len, words))
    assert len(RECORDS) == sum(len(one.records) for one in PLATFORMS.values())


def test_names_of_databases_are_names_of_tables_where_they_are_free() -> None:
    assert set(OTHER_NAMES.values()) <= RECORDS.keys()
    assert OTHER_NAMES["historicaldatabase.historicaldatabase"] == "ampyfin.historical_database"
    # It would be taken for Tetra's.
    assert "market_data.market_status" not in OTHER_NAMES
    assert all(every()[name].sql == f"SELECT * FROM {full}" for name, full in OTHER_NAMES.items())


def test_schemas_for_users_are_there_and_empty(tmp_path: Path) -> None:
    with workbench.Workbench(Settings(data=str(tmp_path))) as bench:
        bench.sql("CREATE VIEW derived.mine AS SELECT 1 AS one")
        assert bench.sql("FROM derived.mine").fetchall() == [(1,)]
        held = bench.sql("SELECT DISTINCT schema_name FROM information_schema.schemata").fetchall()
        assert {"derived", "strategies", "execution"} <= {name for (name,) in held}


# ---------------------------------------------------------------------- what else the documents name

NAMES = [(name, one) for name, platform in PLATFORMS.items() for one in named(platform)]


def test_whatever_is_not_here_says_why() -> None:
    assert all(one.note for _, one in NAMES if one.state != "here")
    assert len({(name, one.name, one.kind) for name, one in NAMES}) == len(NAMES)
    assert MIRRORED.keys() == PLATFORMS.keys() and {one.platform for one in UNBOUND} <= PLATFORMS.keys()


@pytest.mark.parametrize(
    ("name", "one"), [pair for pair in NAMES if pair[1].here], ids=lambda one: one if isinstance(one, str) else one.name
)
def test_what_stands_for_a_name_is_there(con: duckdb.DuckDBPyConnection, name: str, one: Mirror) -> None:
    here = one.here
    if asked := re.fullmatch(r"bench\.(\w+)\((.*)\)(?:\.facts)?", here):
        method = getattr(workbench.Workbench, asked[1])
        inspect.signature(method).bind(None, *(word for word in asked[2].split(", ") if word))
        if table := re.match(r'"(\w+\.\w+)"', asked[2]):
            assert RECORDS[table[1]].takes_rows
    elif panel := re.match(r"workbench\.panels\.(\w+)", here):
        assert panel[1] in panels.__all__
    elif made := re.match(r"orm\.(\w+)\(", here):
        assert made[1] in orm.__all__
    elif here.startswith("workbench.open("):
        assert callable(workbench.open)
    elif here.startswith("workbench "):
        _, command, *words = here.split()
        found = main.commands[command]
        options = {word for param in found.params for word in param.opts if isinstance(param, click.Option)}
        assert {word for word in words if word.startswith("--")} <= options
    elif call := re.match(r"(\w+)\(", here):
        functions = {row[0] for row in con.sql("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()}
        assert f"main.{call[1]}" in every() or call[1] in functions
    else:
        settings = {name for field in fields(Settings) for name in field.metadata.get("variables", ())}
        sources = {"polygon_s3", "polygon_api", "yahoo"}
        databases = {full.partition(".")[0] for full in OTHER_NAMES}
        known = {*every(), *RECORDS, *SCHEMAS, *databases, *sources, "data_sync_log", "pg_catalog", "time_bucket", "generate_series"}
        assert here.lower() in known or here in settings, here


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, workbench.Workbench]]:
    """An empty lake, as each platform sees it."""
    folder = tmp_path_factory.mktemp("unbound")
    with workbench.Workbench(Settings(data=str(folder))) as made:
        made.lake.make()
    opened = {name: workbench.open(str(folder), platform=name) for name in {one.platform for one in UNBOUND}}
    yield opened
    for one in opened.values():
        one.close()


@pytest.mark.parametrize("one", UNBOUND, ids=lambda one: one.written)
def test_what_is_said_not_to_bind_does_not_and_the_nearest_form_does(benches: dict[str, workbench.Workbench], one: Unbound) -> None:
    bench = benches[one.platform]
    with pytest.raises((duckdb.Error, workbench.errors.WorkbenchError)):
        bench.sql(one.written).fetchall()
    if one.nearest.startswith("SELECT "):
        bench.sql(one.nearest).fetchall()
    else:
        assert re.match(r"bench\.append\(", one.nearest)
