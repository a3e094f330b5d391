"""A row by its key: the same as `sql` gives, out of the journal, of files, and of both; and what no key can be."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from journaled import delete, put, puts

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.errors import LakeError, UnknownName, UsageError
from workbench.lake.fold import fold
from workbench.lake.operations import Operations
from workbench.query import getting
from workbench.query.values import taker, typed
from workbench.tables import quote
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

SIGNALS = RECORDS["kraken_bot.signals"]
KEYED = [record for record in RECORDS.values() if record.takes_rows and record.key and record.example]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    with closing(Workbench(Settings.load(env={}, data=str(tmp_path / "lake")))) as made:
        made.lake.make()
        yield made


@pytest.fixture
def journal(bench: Workbench) -> Iterator[Operations]:
    with closing(Operations(bench.lake.root)) as made:
        yield made


def full(record: Record, **given: Any) -> dict[str, Any]:
    """A row with a value in every column: the example's, and made-up ones."""
    some: dict[str, Any] = {
        "BIGINT": 7,
        "INTEGER": 7,
        "SMALLINT": 7,
        "DOUBLE": 0.1,
        "VARCHAR": "it's",
        "BOOLEAN": True,
        "DATE": date(2024, 3, 7),
        "TIMESTAMPTZ": datetime(2024, 3, 10, 6, 59, 59, 999_999, UTC),
        "UUID": UUID(int=2**100),
        "JSON": {"a": [1, None]},
    }
    told = {one.name: record.example.get(one.name, some.get(one.type, Decimal("1.5"))) for one in record.columns} | given
    takes = {one.name: taker(typed(one.type)) for one in record.columns}
    return {name: None if told[name] is None else take(told[name]) for name, take in takes.items()}


def numbered(first: int, end: int) -> list[dict[str, Any]]:
    """Signals, alike but for their numbers."""
    row = full(SIGNALS)
    return [row | {"id": n} for n in range(first, end)]


def by_sql(bench: Workbench, record: Record, key: dict[str, Any]) -> dict[str, Any] | None:
    same = " AND ".join(f"{quote(name)} = ${name}" for name in key)
    relation = bench.sql(f"SELECT * FROM {'.'.join(map(quote, record.imported))} WHERE {same}", **key)
    assert relation is not None
    rows = relation.fetchall()
    return dict(zip(relation.columns, rows[0], strict=True)) if rows else None


def write(journal: Operations, record: Record, *rows: dict[str, Any], replaces: bool = False) -> None:
    with journal.writing() as under_way:
        for row in rows:
            put(under_way, record, row, replaces=replaces)


def test_a_row_is_what_sql_gives(bench: Workbench, journal: Operations) -> None:
    wanted = {}
    for record in KEYED:
        row = full(record)
        key = {name: row[name] for name in record.key}
        assert bench.get(record.full, key) is None
        write(journal, record, row)
        wanted[record.full] = by_sql(bench, record, key), bench.get(record.full, key)
    for record in KEYED:
        fold(bench.lake.root, record, journal)
        row = full(record)
        key = {name: row[name] for name in record.key}
        told, before = wanted[record.full]
        assert told is not None
        for one in (before, bench.get(record.full, key)):
            assert one == told
            # Times are told in the same zone, and each value is of the same type.
            assert [(type(value), str(value)) for value in one.values()] == [(type(value), str(value)) for value in told.values()]


def test_rows_without_values_are_got_too(bench: Workbench, journal: Operations) -> None:
    row = dict.fromkeys(one.name for one in SIGNALS.columns) | {"id": 7}
    write(journal, SIGNALS, row)
    assert bench.get(SIGNALS.full, 7) == row
    fold(bench.lake.root, SIGNALS, journal)
    assert bench.get(SIGNALS.full, 7) == row


def test_of_a_row_that_was_changed_the_newest_is_got_wherever_it_stands(bench: Workbench, journal: Operations) -> None:
    def symbol(n: int) -> str | None:
        row = bench.get(SIGNALS.full, n)
        return str(row["symbol"]) if row else None

    rows = numbered(1, 20_001)
    with journal.writing() as under_way:
        puts(under_way, SIGNALS, rows)
    assert [symbol(n) for n in (1, 8192, 8193, 20_000, 20_001)] == ["BTCUSD"] * 4 + [None]
    fold(bench.lake.root, SIGNALS, journal)
    assert [symbol(n) for n in (0, 1, 8192, 8193, 20_000, 20_001)] == [None, *["BTCUSD"] * 4, None]
    write(journal, SIGNALS, full(SIGNALS, id=5, symbol="ETHUSD"), replaces=True)
    with journal.writing() as under_way:
        delete(under_way, SIGNALS, rows[5])
        puts(under_way, SIGNALS, [full(SIGNALS, id=7, symbol="SOLUSD"), full(SIGNALS, id=20_001, symbol="SOLUSD")], replaces=True)
    told = [None, "BTCUSD", "ETHUSD", None, "SOLUSD", "SOLUSD"]
    assert [symbol(n) for n in (0, 1, 5, 6, 7, 20_001)] == told
    fold(bench.lake.root, SIGNALS, journal)
    assert [symbol(n) for n in (0, 1, 5, 6, 7, 20_001)] == told
    with journal.writing() as under_way:
        under_way.add(SIGNALS.full, "clear")
    assert [symbol(n) for n in (1, 5, 20_001)] == [None] * 3


def test_a_key_of_text_and_of_several_columns_in_any_form(bench: Workbench, journal: Operations) -> None:
    holdings, params = RECORDS["kraken_bot.holdings"], RECORDS["utilities.model_params"]
    names = ["", "BTC", "it's", "ÄÖ", "a\x00b"]
    with journal.writing() as under_way:
        puts(under_way, holdings, [full(holdings, symbol=name, amount=Decimal(n)) for n, name in enumerate(sorted(names))])
        rows = [full(params, **dict.fromkeys(params.key, name)) for name in ("a", "b")]
        puts(under_way, params, rows)
    fold(bench.lake.root, holdings, journal)
    fold(bench.lake.root, params, journal)
    assert [(bench.get("kraken_bot.holdings", name) or {}).get("amount") for name in sorted(names)] == [Decimal(n) for n in range(5)]
    assert len(params.key) > 1
    values = ["b"] * len(params.key)
    for key in (tuple(values), values, dict(zip(params.key, values, strict=True))):
        found = bench.get(params.full, key)
        assert found is not None and [found[name] for name in params.key] == values


@pytest.mark.parametrize("key", [None, "seven", (1, 2), {"symbol": "BTCUSD"}, {"id": 1, "symbol": "BTCUSD"}, {}, (), 1.5, 2**63])
def test_what_no_key_can_be_is_refused(bench: Workbench, key: object) -> None:
    with pytest.raises(UsageError, match=r"kraken_bot\.signals"):
        bench.get(SIGNALS.full, key)


def test_a_table_without_key_has_no_row_by_one(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="no key"):
        bench.get("historical.trade", 1)
    with pytest.raises(UnknownName):
        bench.get("kraken_bot.signal", 1)


def test_a_pin_holds_still_what_is_got(bench: Workbench, journal: Operations) -> None:
    write(journal, SIGNALS, full(SIGNALS, id=1))
    with bench.pin():
        write(journal, SIGNALS, full(SIGNALS, id=1, symbol="ETHUSD"), full(SIGNALS, id=2), replaces=True)
        fold(bench.lake.root, SIGNALS, journal)
        assert bench.get(SIGNALS.full, 2) is None
        assert (bench.get(SIGNALS.full, 1) or {})["symbol"] == "BTCUSD"
    assert (bench.get(SIGNALS.full, 1) or {})["symbol"] == "ETHUSD"


def test_only_the_groups_that_may_hold_a_key_are_read(bench: Workbench, journal: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    with journal.writing() as under_way:
        puts(under_way, SIGNALS, numbered(0, 50_000))
    fold(bench.lake.root, SIGNALS, journal)
    read: list[int] = []
    whole = getting.File.read

    def counted(self: getting.File, group: int) -> Any:
        read.append(group)
        return whole(self, group)

    monkeypatch.setattr(getting.File, "read", counted)
    for n in (0, 49_999, 20_000, 20_001):
        assert bench.get(SIGNALS.full, n)
    assert len(read) == 3


def test_a_file_that_is_lost_is_told(bench: Workbench, journal: Operations) -> None:
    write(journal, SIGNALS, full(SIGNALS, id=1))
    fold(bench.lake.root, SIGNALS, journal)
    for path in bench.lake.root.glob("lake/kraken_bot/signals/*.parquet"):
        path.unlink()
    with pytest.raises(LakeError, match="cannot be read"):
        bench.get(SIGNALS.full, 1)
