"""SQLite files are read as what they hold, whatever that is, in one moment, and never written to."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import oldsqlite
import pytest

from workbench.errors import MissingExtra, SourceError, Unreachable, UsageError
from workbench.importers.origin import Arrived, Asked, Held
from workbench.importers.sqlite import Sqlite
from workbench.tables.platforms import RECORDS
from workbench.tables.record import Field

ANY = Field("any", "VARCHAR", "")
NUMBER = Field("number", "DOUBLE", "")
MONEY = Field("money", "DECIMAL(20,8)", "")


def make(path: Path, script: str, rows: list[tuple[Any, ...]] | None = None, into: str = "t") -> Path:
    with closing(sqlite3.connect(path)) as con, con:
        con.executescript(script)
        if rows:
            con.executemany(f"INSERT INTO {into} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return path


def table(origin: Sqlite, name: str = "t") -> Held:
    return next(one for one in origin.tables() if one.name == name)


def listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.to_pylist())


def joined(batches: list[Arrived]) -> dict[str, list[Any]]:
    return {name: [one for batch in batches for one in listed(batch.columns[name])] for name in (batches[0].columns if batches else ())}


def read(path: Path, name: str = "t", fields: dict[str, Field] | None = None, **asked: Any) -> dict[str, list[Any]]:
    with Sqlite(path) as origin:
        held = table(origin, name)
        return joined(list(origin.batches(Asked(held, {one: (fields or {}).get(one, ANY) for one in held.names}, **asked))))


# ---------------------------------------------------------------------- the documents' databases


def test_the_market_database_of_shrek(tmp_path: Path) -> None:
    path = oldsqlite.shrek(tmp_path)
    with Sqlite(path) as origin:
        assert [(one.name, one.rows, one.fault) for one in origin.tables()] == [
            ("data_sync_log", 1, ""),
            ("stock_fundamentals", 1, ""),
            ("stock_prices", 2, ""),
        ]
        assert origin.label == f"sqlite:{path}"
    got = read(
        path, "stock_prices", {name: RECORDS["shrek.stock_prices"][name] for name in RECORDS["shrek.stock_prices"].names if name != "vwap"}
    )
    assert got["date"] == ["2024-03-07", "2024-03-07"]
    assert got["close"] == [169.0, 409.14]
    assert got["adjusted_close"] == [169.0, None]
    assert read(path, "stock_fundamentals")["eps"] == [6.13]


def test_ampyfins_databases(tmp_path: Path) -> None:
    got = read(oldsqlite.price_data(tmp_path), "price_data")
    assert got["id"] == [1, 2, 3]
    assert got["open"] == [0.25, 1.25, 2.25]
    assert got["close"] == [0.0, 1.0, 2.0]
    assert got["volume"] == [0, 1000, 2000]
    assert all(isinstance(one, int) for one in got["volume"])
    got = read(oldsqlite.strategy_decisions(tmp_path), "strategy_decisions")
    assert got["confidence"] == [0.8, None]
    assert got["timestamp"] == ["2024-03-07T21:00:00", "2024-03-07T21:00:01"]


def test_the_kraken_bots_database(tmp_path: Path) -> None:
    path = oldsqlite.kraken(tmp_path)
    got = read(path, "signals", {"price": MONEY})
    assert got["price"] == [50000.0, 50000.12345678]
    assert got["test_mode"] == [0, 0]
    assert got["timestamp"] == ["2025-11-23 14:30:00.000000"] * 2
    assert got["strategies"][0].startswith('{"sentiment"')
    # Whole numbers come as such where fractions are none of theirs.
    assert read(path, "trades")["price"] == [50010]
    with Sqlite(path) as origin:
        kinds = {column.name: column.kind for column in table(origin, "signals").columns}
        assert (kinds["price"], kinds["strategies"]) == ("NUMERIC(20, 8)", "JSON")


def test_views_and_virtual_tables_are_named_as_not_read(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE t (a); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW lost AS SELECT * FROM t; CREATE VIRTUAL TABLE f USING fts5(x);",
    )
    with Sqlite(path) as origin:
        held = {one.name: one for one in origin.tables()}
    assert sorted(held) == ["f", "lost", "t", "v"]
    assert "is a view" in held["v"].fault and "nothing of it was imported" in held["v"].fault
    assert "is a virtual table" in held["f"].fault
    assert held["t"].fault == ""


# ---------------------------------------------------------------------- values


def test_each_value_comes_as_it_is_kept(tmp_path: Path) -> None:
    values: list[Any] = [1, 2.5, "text", b"\xff\x00", None, 2**63 - 1, -(2**63), 0.1 + 0.2, "7", 9007199254740993, "a\0b", "", b"", "ü€😀"]
    path = make(tmp_path / "a.db", "CREATE TABLE t (a)", [(one,) for one in values])
    got = read(path)["a"]
    assert got == values
    assert list(map(type, got)) == list(map(type, values))


@pytest.mark.parametrize(
    "declared",
    ["", "BLOB", "TEXT", "VARCHAR(20)", "INTEGER", "REAL", "NUMERIC(20, 8)", "DATETIME", "BOOLEAN", "JSON", "INT8", "FLOAT", "ANYTHING"],
)
@pytest.mark.parametrize("field", [ANY, NUMBER, MONEY], ids=lambda one: one.type)
def test_what_comes_late_is_kept_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str, field: Field) -> None:
    # Neither end of the table tells what is in its middle, and the driver tells the type of a column by its first batch.
    monkeypatch.setattr("workbench.importers.sqlite.LOOKED_AT", 10)
    monkeypatch.setattr("workbench.importers.sqlite.BATCH_ROWS", 20)
    late: list[Any] = [2.5, 7, "text", b"\x01", None, 2**60 + 1, 0.1, "0.30000000000000004"]
    script, kept = "", {}
    for n, usual in enumerate([1, 1.5, "t", b"\x02", None]):
        for m, one in enumerate(late):
            name = f"t{n}_{m}"
            script += f"CREATE TABLE {name} (a {declared});"
            kept[name] = [usual] * 15 + [one] + [usual] * 15 if m % 2 else [usual] * 35 + [one] + [usual] * 15
    path = make(tmp_path / "a.db", script)
    with closing(sqlite3.connect(path)) as con, con:
        for name, values in kept.items():
            con.executemany(f"INSERT INTO {name} VALUES (?)", [(one,) for one in values])
        kept = {name: [one for (one,) in con.execute(f"SELECT a FROM {name} ORDER BY rowid")] for name in kept}
    with Sqlite(path) as origin:
        for held in origin.tables():
            got = joined(list(origin.batches(Asked(held, {"a": field}))))["a"]
            assert got == kept[held.name]
            if field is ANY:
                assert list(map(type, got)) == list(map(type, kept[held.name]))


def test_what_turns_up_after_batches_were_handed_on_is_neither_lost_nor_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.sqlite.BATCH_ROWS", 1000)
    rows = [(n, n if n != 3456 else "not a number") for n in range(6000)]
    path = make(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", rows)
    got = read(path)
    assert list(zip(got["id"], got["a"], strict=True)) == rows


def test_text_that_is_none_is_handed_on_as_a_reject_and_the_rest_goes_in(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)", [(1, "x", "y"), (2, "x", "y"), (3, "z", "y")])
    with closing(sqlite3.connect(path)) as con, con:
        con.execute("UPDATE t SET a = CAST(x'666fff' AS TEXT) WHERE id = 2")
    with Sqlite(path) as origin:
        [batch] = origin.batches(Asked(table(origin), dict.fromkeys(("id", "a", "b"), ANY)))
    assert batch.count == 2
    assert joined([batch]) == {"id": [1, 3], "a": ["x", "z"], "b": ["y", "y"]}
    [reject] = batch.rejects
    assert reject.where == "t row 1"
    assert "a is text that is not UTF-8" in reject.reason
    assert reject.row == {"id": 2, "a": "fo\\xff", "b": "y"}


def test_numbers_among_fractions_are_one_column_of_doubles_unless_one_is_too_large(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "CREATE TABLE t (a NUMERIC, b NUMERIC)", [(1, 1), (0.5, 0.5), (2**53, 2**53 + 1)])
    with Sqlite(path) as origin:
        [batch] = origin.batches(Asked(table(origin), {"a": NUMBER, "b": NUMBER}))
    assert str(batch.columns["a"].type) == "double"  # type: ignore[union-attr]
    assert listed(batch.columns["b"]) == [1, 0.5, 2**53 + 1]


def test_infinity_and_what_was_nan(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "CREATE TABLE t (a REAL)", [(float("inf"),), (float("nan"),), (-0.5,)])
    assert read(path)["a"] == [float("inf"), None, -0.5]


def test_large_texts_make_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.importers.sqlite.BATCH_BYTES", 1_000_000)
    texts = ["x" * 100_000] * 200 + ["", "z"] * 500 + ["y" * 5_000_000]
    path = make(tmp_path / "a.db", "CREATE TABLE t (a TEXT)", [(one,) for one in texts])
    with Sqlite(path) as origin:
        batches = [batch.columns["a"] for batch in origin.batches(Asked(table(origin), {"a": ANY}))]
    assert [one for batch in batches for one in listed(batch)] == texts
    assert max(sum(map(len, listed(batch))) for batch in batches) <= 10_000_000
    assert 1 < len(batches) < 300


def test_odd_tables(tmp_path: Path) -> None:
    script = '''
    CREATE TABLE "a ""quoted"" 'name'; --" ("a ""col""" TEXT, "select" INTEGER);
    INSERT INTO "a ""quoted"" 'name'; --" VALUES ('x', 1);
    CREATE TABLE empty (a TEXT, b);
    CREATE TABLE made (a INTEGER, twice INTEGER AS (a * 2), kept TEXT AS ('n' || a) STORED);
    INSERT INTO made (a) VALUES (1), (2);
    CREATE TABLE bare (k TEXT, n INTEGER, v REAL, PRIMARY KEY (k, n)) WITHOUT ROWID;
    INSERT INTO bare VALUES ('b', 1, 0.5), ('a', 2, NULL), ('a', 1, 1.5);
    CREATE TABLE hides (rowid TEXT, oid TEXT, _rowid_ TEXT);
    INSERT INTO hides VALUES ('b', 'b', 'c'), ('a', 'a', 'a');
    CREATE TABLE strict (a INTEGER, b ANY) STRICT;
    INSERT INTO strict VALUES (1, 'x'), (2, 3);
    CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, a TEXT);
    INSERT INTO descending VALUES ('odd', 'x'), (2, 'y');
    '''
    path = make(tmp_path / "odd ?#% name.db", script)
    with Sqlite(path) as origin:
        assert {one.name: one.rows for one in origin.tables()}["empty"] == 0
    assert read(path, "a \"quoted\" 'name'; --") == {'a "col"': ["x"], "select": [1]}
    assert read(path, "empty") == {}
    assert read(path, "made") == {"a": [1, 2], "twice": [2, 4], "kept": ["n1", "n2"]}
    assert read(path, "bare") == {"k": ["a", "a", "b"], "n": [1, 2, 1], "v": [1.5, None, 0.5]}
    assert read(path, "hides") == {"rowid": ["b", "a"], "oid": ["b", "a"], "_rowid_": ["c", "a"]}
    assert read(path, "strict") == {"a": [1, 2], "b": ["x", 3]}
    assert read(path, "descending") == {"id": ["odd", 2], "a": ["x", "y"]}


# ---------------------------------------------------------------------- since and order


def test_since_a_number(tmp_path: Path) -> None:
    path = oldsqlite.price_data(tmp_path, 50)
    assert read(path, "price_data", since=("id", 48))["id"] == [48, 49, 50]
    assert read(path, "price_data", since=("id", 51)) == {}
    # Text is not compared with a number: all of it comes.
    texts = make(tmp_path / "b.db", "CREATE TABLE t (id TEXT)", [("9",), ("10",)])
    assert read(texts, since=("id", 9))["id"] == ["9", "10"]


@pytest.mark.parametrize(
    "written",
    [
        "2025-11-{:02} 14:30:00.000000",
        "2025-11-{:02}T14:30:00+00:00",
        "2025-11-{:02}",
        lambda day: int(datetime(2025, 11, day, tzinfo=UTC).timestamp()),
        lambda day: int(datetime(2025, 11, day, tzinfo=UTC).timestamp() * 1000),
        lambda day: datetime(2025, 11, day, tzinfo=UTC).timestamp() * 1e6,
    ],
    ids=["sqlalchemy", "iso", "date", "seconds", "milliseconds", "microseconds"],
)
@pytest.mark.parametrize("value", [datetime(2025, 11, 20, 1, tzinfo=UTC), date(2025, 11, 20)], ids=["time", "date"])
def test_since_a_time_however_it_is_written(tmp_path: Path, written: Any, value: Any) -> None:
    write = written.format if isinstance(written, str) else written
    path = make(tmp_path / "a.db", "CREATE TABLE t (n INTEGER, at)", [(day, write(day)) for day in range(1, 29)])
    got = read(path, since=("at", value))["n"]
    # A day more, as it is not known of which zone the times are.
    assert got[-9:] == list(range(20, 29)) and got[0] in (18, 19, 20)


def test_since_leaves_nothing_out_of_a_column_of_several_kinds(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "CREATE TABLE t (at)", [("2025-11-20",), (1763800000,), ("March",)])
    assert len(read(path, since=("at", datetime(2025, 11, 25, tzinfo=UTC)))["at"]) == 3
    assert len(read(path, since=("at", datetime(1, 1, 1, tzinfo=UTC)))["at"]) == 3
    assert len(read(path, since=("at", "x"))["at"]) == 3
    # Seconds, and milliseconds.
    units = make(tmp_path / "b.db", "CREATE TABLE t (at INTEGER)", [(1763800000,), (1763800000000,)])
    assert len(read(units, since=("at", datetime(2025, 11, 20, tzinfo=UTC)))["at"]) == 2


def test_order_by_a_column(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)",
        [(1, "2025-03-01"), (2, "2025-01-01"), (3, "2025-02-01"), (4, "2025-01-01")],
    )
    assert read(path, order="at")["id"] == [2, 4, 3, 1]


def test_which_columns_are_ordered(tmp_path: Path) -> None:
    script = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, mixed TEXT, part TEXT, loose TEXT, kind TEXT COLLATE NOCASE, late, n INTEGER);
    CREATE INDEX i1 ON t (at, id); CREATE INDEX i2 ON t (mixed); CREATE INDEX i3 ON t (part) WHERE part > ''; CREATE INDEX i4 ON t (kind);
    CREATE INDEX i5 ON t (late); CREATE INDEX i6 ON t (abs(n));
    INSERT INTO t VALUES (1, '2025-01-01 10:00:00', '2025-01-01 10:00:00', 'a', 'a', 'a', 1, 1), (2, '2025-01-02 10:00:00', '2025-01-02T10:00:00', 'b', 'b', 'b', 'x', 2);
    CREATE TABLE w (k TEXT, n INTEGER, PRIMARY KEY (k, n)) WITHOUT ROWID;
    """
    with Sqlite(make(tmp_path / "a.db", script)) as origin:
        held, bare = table(origin), table(origin, "w")
        assert [name for name in held.names if origin.ordered(held, name)] == ["id", "at"]
        assert not origin.ordered(bare, "n")


# ---------------------------------------------------------------------- others write, or have written


def test_all_tables_are_of_one_moment_while_a_bot_writes(tmp_path: Path) -> None:
    path = oldsqlite.kraken(tmp_path)
    writer = f"""
import sqlite3
con = sqlite3.connect({str(path)!r})
con.execute("UPDATE signals SET symbol = 'NEW'"); con.execute("DELETE FROM trades"); con.execute("INSERT INTO holdings SELECT 'ETH', amount, updated_at, test_mode, test_reason, bot_version, created_at FROM holdings"); con.commit()
"""
    with Sqlite(path) as origin:
        subprocess.run([sys.executable, "-c", writer], check=True, timeout=60)
        held = origin.tables()
        got = {one.name: joined(list(origin.batches(Asked(one, dict.fromkeys(one.names, ANY))))) for one in held if not one.fault}
    assert got["signals"]["symbol"] == ["BTCUSD", "BTCUSD"]
    assert got["trades"]["id"] == [1]
    assert got["holdings"]["symbol"] == ["BTC"]
    assert read(path, "holdings")["symbol"] == ["BTC", "ETH"]


def test_the_file_is_not_written_to(tmp_path: Path) -> None:
    path = oldsqlite.shrek(tmp_path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    read(path, "stock_prices")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [one.name for one in tmp_path.iterdir()] == ["market.db"]


@contextmanager
def another(script: str) -> Iterator[None]:
    """Another process that has done something with a file, and stays until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}\nprint('ready', flush=True)\nimport time\ntime.sleep(100)"], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_a_locked_file_is_waited_for_and_then_said_to_be_locked(tmp_path: Path) -> None:
    path = oldsqlite.shrek(tmp_path)
    lock = f"import sqlite3; con = sqlite3.connect({str(path)!r}, isolation_level=None); con.execute('BEGIN EXCLUSIVE')"
    with another(lock), pytest.raises(Unreachable, match=r"is locked by another program, and was still after 0.2 s; nothing was imported"):
        Sqlite(path, timeout_s=0.2)


def test_a_file_left_amid_a_change_is_read_as_it_was_before(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "CREATE TABLE t (a INTEGER, b TEXT)", [(n, "old" * 50) for n in range(5000)])
    # So much is changed that it is in the file before it is committed.
    change = f"""
import sqlite3
con = sqlite3.connect({str(path)!r}, isolation_level=None)
con.execute("PRAGMA cache_size = 5"); con.execute("BEGIN"); con.execute("UPDATE t SET b = 'new'"); con.execute("DELETE FROM t WHERE a > 10")
"""
    with another(change):
        pass
    journal, half = Path(f"{path}-journal").read_bytes(), path.read_bytes()
    assert journal.startswith(b"\xd9\xd5\x05\xf9")
    got = read(path)
    assert len(got["a"]) == 5000 and set(got["b"]) == {"old" * 50}
    assert (Path(f"{path}-journal").read_bytes(), path.read_bytes()) == (journal, half)


def test_a_bot_that_was_killed_leaves_its_log_and_that_is_read(tmp_path: Path) -> None:
    path = oldsqlite.kraken(tmp_path)
    with another(
        f"import sqlite3; con = sqlite3.connect({str(path)!r}); con.execute(\"UPDATE holdings SET symbol = 'ETH'\"); con.commit()"
    ):
        pass
    assert Path(f"{path}-wal").stat().st_size
    assert read(path, "holdings")["symbol"] == ["ETH"]


# ---------------------------------------------------------------------- damage, and what is none


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("symbol,date\nAAPL,2024-03-07\n")
    said = {"empty.db": "is empty", "text.db": "is no SQLite database", "absent.db": "is not there", ".": "is a folder"}
    for name, what in said.items():
        with pytest.raises(UsageError, match=f"{what}.*nothing was imported"):
            Sqlite(tmp_path / name)
    assert not (tmp_path / "absent.db").exists()


def test_a_damaged_head(tmp_path: Path) -> None:
    path = oldsqlite.shrek(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[16:40] = b"\xff" * 24
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=r"is damaged .*nothing was imported"):
        Sqlite(path)
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(SourceError, match=r"is damaged .*nothing was imported"):
        Sqlite(path)


def test_of_a_damaged_table_what_stands_before_the_damage_comes_and_other_tables_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.importers.sqlite.BATCH_ROWS", 1000)
    script = "PRAGMA page_size = 4096; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE u (a INTEGER); INSERT INTO u VALUES (1), (2);"
    path = make(tmp_path / "a.db", script, [(n, "x" * 100) for n in range(20_000)])
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 4096 // 2 * 4096
    raw[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(raw)
    with Sqlite(path) as origin:
        held = {one.name: one for one in origin.tables()}
        assert held["u"].rows == 2
        got: list[Arrived] = []
        with pytest.raises(SourceError, match=r"t of .*a\.db is damaged .*nothing more of it was imported.*\.recover"):
            got.extend(origin.batches(Asked(held["t"], {"id": ANY, "a": ANY})))
        ids: list[int] = []
        batches = origin.batches(Asked(held["t"], {"id": ANY}))
        with pytest.raises(SourceError):
            for batch in batches:
                ids += listed(batch.columns["id"])
        assert ids == list(range(len(ids))) and 0 < len(ids) < 20_000
        with pytest.raises(SourceError, match=r"t of .*a\.db is damaged"):
            list(origin.batches(Asked(held["t"], {"id": ANY}, since=("a", "x"))))
        assert joined(list(origin.batches(Asked(held["u"], {"a": ANY})))) == {"a": [1, 2]}


def test_of_a_damaged_table_every_row_before_the_damage_comes_however_batches_are_cut(tmp_path: Path) -> None:
    rows = [(n, "x" * 100) for n in range(3_000)]
    path = make(tmp_path / "a.db", "PRAGMA page_size = 4096; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);", rows)
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 4096 // 2 * 4096
    # Cells of a table's page begin at its end: its last one is its first row.
    first = raw[middle : middle + 4096]
    at = int.from_bytes(first[8:10], "big")
    before = ((first[at + 1] & 0x7F) << 7) + (first[at + 2] & 0x7F) if first[at + 1] & 0x80 else first[at + 1]
    raw[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(raw)
    ids: list[int] = []
    with Sqlite(path) as origin, pytest.raises(SourceError, match="is damaged"):
        for batch in origin.batches(Asked(origin.tables()[0], {"id": ANY})):
            ids += listed(batch.columns["id"])
    assert ids == list(range(before)) and before > 500


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", "CREATE TABLE t (a TEXT)", [("x" * 100,)] * 20_000)
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(SourceError, match="is damaged"):
        read(path)


def test_a_driver_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite.dbapi", None)
    with pytest.raises(MissingExtra, match=r"pip install 'workbench\[import\]'"):
        Sqlite(oldsqlite.shrek(tmp_path))


def test_a_closed_origin_says_so(tmp_path: Path) -> None:
    origin = Sqlite(oldsqlite.shrek(tmp_path))
    origin.close()
    origin.close()
    with pytest.raises(UsageError, match="was closed"):
        origin.tables()
