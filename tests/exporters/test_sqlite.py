"""A documented table goes into a SQLite file whole or not at all, as its program had it, and comes back digit by digit."""

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from workbench.errors import BrokenRule, Busy, LakeError, UsageError
from workbench.exporters.sqlite import number, statements, to_sqlite
from workbench.importers.origin import Arrived, Asked
from workbench.importers.sqlite import Sqlite
from workbench.query.staging import shaped, staged
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Record

SIGNALS, TRADES = RECORDS["kraken_bot.signals"], RECORDS["kraken_bot.trades"]


def rows_of(record: Record, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as the lake keeps them, with what their defaults say."""
    batch = staged(record, rows)
    batch.complete()
    return batch.decided(lambda _column, _count, above: above + 1)


def reader(record: Record, rows: pa.Table) -> pa.RecordBatchReader:
    """Rows as the views of the lake show them."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("rows", rows)
    return con.sql(f"SELECT {', '.join(shaped(record[name]) for name in rows.column_names)} FROM rows").to_arrow_reader(1000)


def export(path: Path, record: Record, rows: list[dict[str, Any]], **how: Any) -> int:
    return to_sqlite(path, record, reader(record, rows_of(record, rows)), **how)


def asked(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as con:
        return con.execute(query).fetchall()


def arrived(path: Path, record: Record) -> list[Arrived]:
    with Sqlite(path) as origin:
        [held] = [one for one in origin.tables() if one.name == record.name]
        return list(origin.batches(Asked(held, {name: record[name] for name in held.names})))


def signal(n: int, **more: Any) -> dict[str, Any]:
    return {**SIGNALS.example, "id": n, **more}


# ---------------------------------------------------------------------- what is written


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda one: one.full)
def test_every_documented_table_comes_back_equal(tmp_path: Path, record: Record) -> None:
    taking = pytest.importorskip("workbench.importers.taking")
    rows = rows_of(record, [dict(record.example)])
    assert to_sqlite(tmp_path / "out.db", record, reader(record, rows)) == 1
    [batch] = arrived(tmp_path / "out.db", record)
    taken = taking.taken(record, {name: name for name in record.names}, batch, "UTC")
    assert taken.rejects == () or list(taken.rejects) == []
    assert taken.rows.select(rows.column_names).to_pylist() == rows.to_pylist()


def test_values_are_as_the_bot_wrote_them(tmp_path: Path) -> None:
    at = datetime(2025, 11, 23, 14, 30, 0, 5, tzinfo=UTC)
    said = {"rsi": {"signal": "BUY", "confidence": 0.9}, "ü": {"signal": "SELL", "confidence": None}}
    assert export(tmp_path / "out.db", SIGNALS, [signal(7, timestamp=at, strategies=said), signal(8, strategies={}, bot_version=None)]) == 2
    got = asked(
        tmp_path / "out.db",
        "SELECT id, timestamp, price, final_confidence, strategies, test_mode, bot_version, typeof(price) FROM signals ORDER BY id",
    )
    assert got[0] == (7, "2025-11-23 14:30:00.000005", 50000, 0.85, json.dumps(said, ensure_ascii=False), 0, "1.0.0", "integer")
    assert got[1][1] == "2025-11-23 14:30:00.000000"
    assert got[1][4:7] == ("{}", 0, None)


def test_arrays_and_dates_are_json_and_text(tmp_path: Path) -> None:
    record = RECORDS["ampyfin.historical_database"]
    export(tmp_path / "out.db", record, [dict(record.example)])
    [(data,)] = asked(tmp_path / "out.db", "SELECT data FROM historical_database")
    assert json.loads(data)["dates"][0] == "2024-01-01"


def test_the_table_is_the_documents(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    decisions = RECORDS["ampyfin.strategy_decisions"]
    export(path, decisions, [dict(decisions.example)])
    kinds = {row[1]: (row[2], row[3]) for row in asked(path, "PRAGMA table_info(strategy_decisions)")}
    assert (kinds["id"][0], kinds["date"], kinds["confidence"]) == ("INTEGER", ("TEXT", 1), ("REAL", 0))
    with closing(sqlite3.connect(path)) as con:
        insert = "INSERT INTO strategy_decisions (ticker, strategy, date, signal, timestamp) VALUES (?, ?, '2024-03-07', ?, 'x')"
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            con.execute(insert, ("AAPL", "RSI_indicator", "Buy"))
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            con.execute(insert, ("AAPL", "other", "Wait"))
        assert con.execute(insert, ("AAPL", "other", "Hold")).lastrowid == 2


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda one: one.full)
def test_every_documented_table_can_be_made_and_takes_rows_without_what_has_defaults(record: Record) -> None:
    con = sqlite3.connect(":memory:")
    for statement in statements(record):
        con.execute(statement)
    assert [row[1] for row in con.execute(f"PRAGMA table_info({record.name})")] == list(record.names)
    # What alone numbers the rows is counted on by SQLite.
    assert all(row[5] == 0 or row[3] or row[2] == "INTEGER" for row in con.execute(f"PRAGMA table_info({record.name})"))
    con.close()


def test_defaults_and_indexes_are_there(tmp_path: Path) -> None:
    export(tmp_path / "out.db", TRADES, [dict(TRADES.example)])
    with closing(sqlite3.connect(tmp_path / "out.db")) as con:
        con.execute("INSERT INTO trades (timestamp, symbol, action, amount, price, status) VALUES ('2025', 'X', 'BUY', 1, 1, 'filled')")
        [(test, made)] = con.execute("SELECT test_mode, created_at FROM trades WHERE symbol = 'X'").fetchall()
        assert test == 0
        assert abs((datetime.fromisoformat(made).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 100
        assert {row[1] for row in con.execute("PRAGMA index_list(trades)")} == {"ix_trades_timestamp", "ix_trades_symbol"}


def test_references_are_declared_to_tables_that_are_there(tmp_path: Path) -> None:
    export(tmp_path / "a.db", TRADES, [dict(TRADES.example)])
    assert asked(tmp_path / "a.db", "PRAGMA foreign_key_list(trades)") == []
    export(tmp_path / "b.db", SIGNALS, [signal(1)])
    export(tmp_path / "b.db", TRADES, [{**TRADES.example, "signal_id": 1}])
    assert [row[2:5] for row in asked(tmp_path / "b.db", "PRAGMA foreign_key_list(trades)")] == [("signals", "signal_id", "id")]


# ---------------------------------------------------------------------- digits


def test_decimals_come_back_digit_by_digit(tmp_path: Path) -> None:
    taking = pytest.importorskip("workbench.importers.taking")
    chance = random.Random(1)
    prices = [Decimal(chance.randrange(10 ** chance.randrange(1, 21))).scaleb(-8) for _ in range(500)]
    prices += [Decimal("123456789012.12345678"), Decimal("-0.00000001"), Decimal(0), Decimal("50000.00"), Decimal("0.1")]
    rows = rows_of(SIGNALS, [signal(n, price=price) for n, price in enumerate(prices)])
    to_sqlite(tmp_path / "out.db", SIGNALS, reader(SIGNALS, rows))
    # Only what no double has is not a number there.
    kinds = dict(asked(tmp_path / "out.db", "SELECT typeof(price), count(*) FROM signals GROUP BY 1"))
    assert kinds["blob"] == sum(isinstance(number(one), bytes) for one in prices) > 0
    assert kinds["real"] > 100
    [batch] = arrived(tmp_path / "out.db", SIGNALS)
    taken = taking.taken(SIGNALS, {name: name for name in SIGNALS.names}, batch, "UTC")
    assert list(taken.rejects) == []
    assert taken.rows["price"].to_pylist() == rows["price"].to_pylist()


def test_doubles_come_back_as_they_are(tmp_path: Path) -> None:
    record = RECORDS["ampyfin.price_data"]
    chance = random.Random(2)
    values = [chance.uniform(-1e9, 1e9) * 10.0 ** chance.randrange(-300, 290) for _ in range(300)] + [
        0.1 + 0.2,
        1e18,
        2.0**53 + 2,
        5e-324,
        0.0,
    ]
    rows = rows_of(record, [{**record.example, "id": n, "ticker": f"T{n}", "close": one, "volume": one} for n, one in enumerate(values)])
    to_sqlite(tmp_path / "out.db", record, reader(record, rows))
    assert asked(tmp_path / "out.db", "SELECT close, volume FROM price_data ORDER BY id") == [(one, one) for one in values]


def test_nan_is_refused_as_sqlite_has_none(tmp_path: Path) -> None:
    record = RECORDS["shrek.stock_prices"]
    rows = rows_of(record, [dict(record.example)])
    nan = rows.set_column(rows.column_names.index("vwap"), "vwap", pa.array([float("nan")]))
    with pytest.raises(BrokenRule, match=r"vwap.*is NaN.*nothing was written"):
        to_sqlite(tmp_path / "out.db", record, reader(record, nan))
    assert not (tmp_path / "out.db").exists()


def test_nan_in_a_value_of_several_parts_is_refused(tmp_path: Path) -> None:
    rows = rows_of(SIGNALS, [signal(1, strategies={"rsi": {"signal": "BUY", "confidence": 0.5}})])
    values = pa.array([[("rsi", {"signal": "BUY", "confidence": float("nan")})]], rows.schema.field("strategies").type)
    nan = rows.set_column(rows.column_names.index("strategies"), "strategies", values)
    with pytest.raises(BrokenRule, match="of which JSON has none"):
        to_sqlite(tmp_path / "out.db", SIGNALS, reader(SIGNALS, nan))


# ---------------------------------------------------------------------- what is there


def test_a_table_that_is_there_is_kept_replaced_or_added_to(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    export(path, SIGNALS, [signal(1), signal(2)])
    with pytest.raises(UsageError, match=r"has a table 'signals' already; nothing was written"):
        export(path, SIGNALS, [signal(3)])
    export(path, SIGNALS, [signal(3)], if_exists="append")
    assert asked(path, "SELECT id FROM signals ORDER BY id") == [(1,), (2,), (3,)]
    export(path, SIGNALS, [signal(4)], if_exists="replace")
    assert asked(path, "SELECT id FROM signals") == [(4,)]
    assert {row[1] for row in asked(path, "PRAGMA index_list(signals)")} == {"ix_signals_timestamp", "ix_signals_symbol"}
    with pytest.raises(UsageError, match="Say fail, replace or append"):
        export(path, SIGNALS, [signal(5)], if_exists="merge")


def test_rows_that_the_table_does_not_take_leave_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    export(path, SIGNALS, [signal(1)])
    before = path.read_bytes()
    with pytest.raises(BrokenRule, match=r"does not take these rows \(UNIQUE constraint failed: signals.id\); nothing was written"):
        export(path, SIGNALS, [signal(n) for n in range(5000, 0, -1)], if_exists="append")
    assert asked(path, "SELECT count(*) FROM signals") == [(1,)]
    assert path.read_bytes() == before


def test_other_columns_and_views_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    with closing(sqlite3.connect(path)) as con:
        con.executescript("CREATE TABLE Signals (id INTEGER PRIMARY KEY, Price REAL); CREATE VIEW trades AS SELECT 1 AS id;")
    with pytest.raises(UsageError, match=r"Signals in .* has no column timestamp, symbol, final_signal"):
        export(path, SIGNALS, [signal(1)], if_exists="append")
    with pytest.raises(UsageError, match="has a view 'trades' already; nothing was written"):
        export(path, TRADES, [dict(TRADES.example)], if_exists="replace")
    assert {name for (name,) in asked(path, "SELECT name FROM sqlite_master")} == {"Signals", "trades"}


def test_a_reader_of_another_program_sees_nothing_half(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    export(path, SIGNALS, [signal(1)])
    with closing(sqlite3.connect(path)) as con:
        con.execute("PRAGMA journal_mode = WAL")
    rows = rows_of(SIGNALS, [signal(n) for n in range(2, 4000)])
    seen: set[int] = set()
    look = f"import sqlite3; print(sqlite3.connect({str(path)!r}).execute('SELECT count(*) FROM signals').fetchone()[0])"

    def slowly() -> Iterator[pa.RecordBatch]:
        for batch in reader(SIGNALS, rows):
            seen.add(int(subprocess.run([sys.executable, "-c", look], capture_output=True, check=True, timeout=60).stdout))
            yield batch

    batches = reader(SIGNALS, rows)
    to_sqlite(path, SIGNALS, pa.RecordBatchReader.from_batches(batches.schema, slowly()), "replace")
    assert seen == {1}
    assert asked(path, "SELECT count(*) FROM signals") == [(3998,)]


def test_an_error_amid_the_rows_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    rows = reader(SIGNALS, rows_of(SIGNALS, [signal(n) for n in range(3000)]))

    def broken() -> Iterator[pa.RecordBatch]:
        yield from list(rows)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_sqlite(path, SIGNALS, pa.RecordBatchReader.from_batches(rows.schema, broken()))
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- places


def test_places_that_take_none(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("symbol,date\n" * 100)
    said = {".": "is a folder", "none/out.db": "is not there", "text.db": "is no SQLite database"}
    for name, what in said.items():
        with pytest.raises(UsageError, match=f"{what}.*nothing was written"):
            export(tmp_path / name, SIGNALS, [signal(1)])
    assert (tmp_path / "text.db").read_text().startswith("symbol")


def test_an_empty_file_is_made_a_database(tmp_path: Path) -> None:
    (tmp_path / "out.db").touch()
    assert export(tmp_path / "out.db", SIGNALS, [signal(1)]) == 1


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    # Whoever is root may write any file; a folder for its log makes it as unwritable.
    path = tmp_path / "out.db"
    export(path, SIGNALS, [signal(1)])
    before = path.read_bytes()
    (tmp_path / "out.db-journal").mkdir()
    with pytest.raises(LakeError, match="nothing was written"):
        export(path, SIGNALS, [signal(2)], if_exists="append")
    assert path.read_bytes() == before


def test_a_locked_file_is_waited_for_and_then_said_to_be_locked(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    export(path, SIGNALS, [signal(1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match=r"is locked by another program, and was still after 0.1 s; nothing was written"):
            export(path, SIGNALS, [signal(2)], if_exists="append", timeout_s=0.1)
    assert asked(path, "SELECT count(*) FROM signals") == [(1,)]


def test_no_rows_make_an_empty_table(tmp_path: Path) -> None:
    rows = rows_of(SIGNALS, [signal(1)]).slice(0, 0)
    assert to_sqlite(tmp_path / "out.db", SIGNALS, reader(SIGNALS, rows)) == 0
    assert asked(tmp_path / "out.db", "SELECT count(*) FROM signals") == [(0,)]
