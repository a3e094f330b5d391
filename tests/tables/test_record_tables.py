"""Every documented table that people write to: its view has the declared columns, its example goes in and comes back, its rules refuse what breaks them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import BrokenRule, UsageError
from workbench.query.documented import every
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

WRITTEN = [record for record in RECORDS.values() if record.takes_rows]
COMPUTED = [record for record in RECORDS.values() if not record.takes_rows]
# One row for each check, which breaks it and no other that the table can be without breaking: what the example is changed to.
BREAKING: dict[tuple[str, str], dict[str, Any]] = {
    ("ampyfin.paper", "side"): {"side": "hold"},
    ("ampyfin.strategy_decisions", "signal"): {"signal": "Short"},
    ("kraken_bot.signals", "final_signal"): {"final_signal": "buy"},
    ("kraken_bot.trades", "action"): {"action": "HOLD"},
    ("market_data.ohlcv", "ohlcv_open_check"): {"open": 0.0, "low": 0.1},
    ("market_data.ohlcv", "ohlcv_high_check"): {"high": 0.0},
    ("market_data.ohlcv", "ohlcv_low_check"): {"low": -1.0},
    ("market_data.ohlcv", "ohlcv_close_check"): {"close": 0.0},
    ("market_data.ohlcv", "ohlcv_volume_check"): {"volume": -1.0},
    ("market_data.ohlcv", "chk_high_low"): {"high": 1.0, "low": 2.0},
    ("market_data.ohlcv", "chk_high_prices"): {"close": 1e9},
    ("market_data.ohlcv", "chk_low_prices"): {"open": 0.001},
    ("events.event_data", "event_data_impact_level_check"): {"impact_level": 5},
    ("transactional.orders", "side"): {"side": "short"},
    ("transactional.orders", "order_type"): {"order_type": "iceberg"},
    ("transactional.orders", "quantity"): {"quantity": 0},
    ("transactional.orders", "status"): {"status": "lost"},
    ("transactional.trades", "side"): {"side": "BUY"},
    ("transactional.trades", "quantity"): {"quantity": -1},
    ("transactional.trades", "price"): {"price": 0},
    ("utilities.holidays", "status"): {"status": "open"},
    ("utilities.feature_flags", "rollout_percent"): {"rollout_percent": 100.5},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake of which every table has its example, once."""
    with Workbench(Settings(data=str(tmp_path_factory.mktemp("records") / "lake"))) as made:
        made.lake.make()
        for record in WRITTEN:
            assert made.append(record.full, record.example) == 1
        yield made


def imported(record: Record) -> str:
    return ".".join(record.imported)


def same(told: object, held: object, kind: str) -> bool:
    """Whether a value of the example came back, by the type that it has in the lake."""
    if kind == "JSON":
        return bool(json.loads(str(held)) == (json.loads(told) if isinstance(told, str) else told))
    if kind == "TIMESTAMPTZ" and isinstance(told, str):
        told = datetime.fromisoformat(told)
    if kind == "UUID":
        told, held = str(told), str(held)
    if kind.startswith("DECIMAL"):
        return held == Decimal(str(told))
    return told == (str(held) if kind == "DATE" and isinstance(told, str) else held)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lake to which nobody wrote."""
    with Workbench(Settings(data=str(tmp_path_factory.mktemp("empty") / "lake"))) as made:
        made.lake.make()
        yield made


@pytest.mark.parametrize("record", WRITTEN, ids=lambda record: record.full)
def test_its_view_has_the_declared_columns_with_rows_and_without(record: Record, bench: Workbench, empty: Workbench) -> None:
    declared = [(one.name, str(duckdb.sqltype(one.type))) for one in record.columns]
    for lake, count in ((empty, 0), (bench, 1)):
        rows = lake.sql(f"FROM {imported(record)}")
        assert [(name, str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)] == declared
        assert len(rows.fetchall()) == count


@pytest.mark.parametrize("record", WRITTEN, ids=lambda record: record.full)
def test_its_example_comes_back(record: Record, bench: Workbench) -> None:
    assert record.example, f"{record.full} has no example"
    rows = bench.sql(f"FROM {imported(record)}")
    [held] = [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
    odd = {name: (told, held[name]) for name, told in record.example.items() if not same(told, held[name], record[name].type)}
    assert not odd
    required = [one.name for one in record.columns if one.required or one.serial or (one.default and one.name not in record.example)]
    assert not [name for name in required if held[name] is None]


@pytest.mark.parametrize("record", [one for one in WRITTEN if one.fed and one.full in every()], ids=lambda record: record.full)
def test_what_is_imported_shows_in_the_documented_view(record: Record, bench: Workbench) -> None:
    told = {name: str(value) for name, value in zip(*row_of(bench, imported(record)), strict=True)}
    for row in bench.sql(f"FROM {record.full}").fetchall():
        if {name: str(value) for name, value in zip(told, row, strict=True)} == told:
            return
    pytest.fail(f"{told} is not in {record.full}")


def row_of(bench: Workbench, view: str) -> tuple[list[str], tuple[Any, ...]]:
    rows = bench.sql(f"FROM {view}")
    [row] = rows.fetchall()
    return rows.columns, row


UNIQUE = [(record, columns) for record in WRITTEN for columns in (record.key, *record.unique) if columns]


@pytest.mark.parametrize(("record", "columns"), UNIQUE, ids=lambda one: one.full if isinstance(one, Record) else "-".join(one))
def test_a_key_stands_once(record: Record, columns: tuple[str, ...], bench: Workbench) -> None:
    names, row = row_of(bench, imported(record))
    again = dict(zip(names, row, strict=True)) | {name: again_of(record, name) for name in other(record, columns)}
    assert all(again[name] is not None for name in columns), "NULL is like nothing: the example must tell what is unique"
    with pytest.raises(BrokenRule) as told:
        bench.append(record.full, again)
    kind = "key" if columns == record.key else "unique"
    assert f"row 0: {kind} ({', '.join(columns)}): a row with" in str(told.value)
    assert len(str(told.value).splitlines()) == 2, "it breaks this rule alone"
    assert len(bench.sql(f"FROM {imported(record)}").fetchall()) == 1


def other(record: Record, columns: tuple[str, ...]) -> set[str]:
    """A column of every other key, which is not of this one."""
    return {next(name for name in one if name not in columns) for one in (record.key, *record.unique) if one and one != columns}


def again_of(record: Record, name: str) -> Any:
    """Another value of a column than the example's."""
    kind = record[name].type
    values = {"VARCHAR": "another", "BIGINT": 77, "DATE": "1999-12-31", "TIMESTAMPTZ": datetime(1999, 12, 31, tzinfo=UTC)}
    return "00000000-0000-4000-8000-000000000077" if kind == "UUID" else values[kind]


CHECKS = [(record, check.name) for record in WRITTEN for check in record.checks]


@pytest.mark.parametrize(("record", "name"), CHECKS, ids=lambda one: one.full if isinstance(one, Record) else one)
def test_a_check_refuses_what_breaks_it(record: Record, name: str, bench: Workbench) -> None:
    with pytest.raises(BrokenRule) as told:
        bench.append(record.full, {**record.example, **BREAKING[record.full, name]})
    [rule] = [check.rule for check in record.checks if check.name == name]
    assert f"row 0: {rule} is not so ({name})" in str(told.value)


def test_the_rows_that_break_checks_are_of_checks_that_are_there() -> None:
    assert set(BREAKING) == {(record.full, name) for record, name in CHECKS}


@pytest.mark.parametrize("record", COMPUTED, ids=lambda record: record.full)
def test_a_computed_table_takes_no_rows(record: Record, bench: Workbench) -> None:
    with pytest.raises(UsageError, match=rf"^{record.full} is computed from .*; nothing was written"):
        bench.append(record.full, dict(record.example))
