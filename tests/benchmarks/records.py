"""What it costs to write and to get rows of documented tables: single rows by several processes, batches into a table of a million, changes, one row by its key.

Beside each stands SQLite with the pragmas of the Kraken bot's document, which does the same to tables of the same columns. Rows are counted and compared
on both sides, and with each other; a difference fails the run.
"""

import multiprocessing
import random
import shutil
import sqlite3
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import data
from benchmarks.lakes import opened
from workbench.bench import Workbench

# Of the bot's document.
PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536", "foreign_keys = ON", "temp_store = MEMORY")
TABLES = """
CREATE TABLE IF NOT EXISTS signals (
    id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, symbol TEXT NOT NULL, price TEXT NOT NULL,
    final_signal TEXT NOT NULL CHECK (final_signal IN ('BUY', 'SELL', 'HOLD')), final_confidence TEXT NOT NULL, aggregation_method TEXT NOT NULL,
    strategies TEXT NOT NULL, test_mode INTEGER NOT NULL DEFAULT 0, bot_version TEXT, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS trades (
    id INTEGER PRIMARY KEY, signal_id INTEGER REFERENCES signals (id), timestamp TEXT NOT NULL, symbol TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('BUY', 'SELL')), amount TEXT NOT NULL, price TEXT NOT NULL, fee TEXT, status TEXT NOT NULL,
    test_mode INTEGER NOT NULL DEFAULT 0, bot_version TEXT, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""
SIGNALS, TRADES = "kraken_bot.signals", "kraken_bot.trades"
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
MANY = multiprocessing.get_context("spawn")
MB = 1_000_000


@dataclass(frozen=True)
class Sizes:
    """How many rows: of the large table, of a batch, of a change, and single ones of each process."""

    base: int
    batch: int
    change: int
    single: int
    lookups: int
    rounds: int


FULL, SHORT = Sizes(1_000_000, 100_000, 10_000, 20_000, 300, 5), Sizes(5_000, 2_000, 500, 200, 20, 1)


@dataclass
class Line:
    """A line of the table: what was done, how it is told, its target, and what each system took, by round."""

    work: str
    target: str
    told: Callable[[float], str]
    taken: dict[str, list[float]] = field(default_factory=lambda: {"workbench": [], "SQLite": []})

    def cells(self) -> list[str]:
        medians = [self.told(statistics.median(each)) for each in self.taken.values()]
        print(f"{self.work} | {' | '.join(medians)} | {self.target}", flush=True)
        return [self.work, *medians, self.target]


def a_second(rows: int) -> Callable[[float], str]:
    return lambda seconds: f"{rows / seconds:,.0f} rows/s"


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def signal(n: int) -> dict[str, Any]:
    """A signal, all of it told by its number."""
    pair = ("BTCUSD", "ETHUSD", "SOLUSD")[n % 3]
    said = ("BUY", "SELL", "HOLD")[n // 7 % 3]
    score = (n * 7919 % 1000) / 1000
    return {
        "timestamp": BEGIN + timedelta(seconds=n),
        "symbol": pair,
        "price": Decimal(5_000_000 + n * 104_729 % 100_000) / 100,
        "final_signal": said,
        "final_confidence": Decimal(n * 7919 % 1000) / 1000,
        "aggregation_method": "weighted_average",
        "strategies": {"sentiment": {"signal": said, "confidence": score}, "technical": {"signal": said, "confidence": 1 - score}},
        "bot_version": "1.0.0",
    }


def trade(n: int, of: int | None) -> dict[str, Any]:
    """The trade of a signal."""
    made = signal(n)
    return {
        "signal_id": of,
        "timestamp": made["timestamp"],
        "symbol": made["symbol"],
        "action": "BUY" if n % 2 else "SELL",
        "amount": Decimal(n % 900 + 1) / 1000,
        "price": made["price"],
        "fee": Decimal("6.50"),
        "status": "filled",
        "bot_version": "1.0.0",
    }


def trades(first: int, count: int, signals: int, price: int = 0) -> pa.Table:
    """Trades as a frame has them, numbered from `first` on."""
    n = np.arange(first, first + count)

    def money(values: Any, steps: int) -> pa.Array:
        return pa.array(values * 10 ** (8 - steps)).cast(pa.decimal128(20, 0)).cast(pa.decimal128(20, 0)).view(pa.decimal128(20, 8))

    return pa.table(
        {
            "id": pa.array(n, pa.int64()),
            "signal_id": pa.array(n % signals + 1, pa.int64()),
            "timestamp": pa.array(int(BEGIN.timestamp()) * MB + n * MB, pa.int64()).cast(pa.timestamp("us", "UTC")),
            "symbol": pa.array(np.array(["BTCUSD", "ETHUSD", "SOLUSD"])[n % 3]),
            "action": pa.array(np.array(["SELL", "BUY"])[n % 2]),
            "amount": money(n % 900 + 1, 3),
            "price": money(5_000_000 + n * 104_729 % 100_000 + price, 2),
            "fee": money(np.full(count, 650), 2),
            "status": pa.array(["filled"] * count),
            "bot_version": pa.array(["1.0.0"] * count),
        }
    )


def as_sqlite(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row as SQLite keeps it."""
    return tuple(str(one) if isinstance(one, Decimal | datetime | dict) else one for one in row.values())


def insert(table: str, row: dict[str, Any], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """SQLite as the bot has it."""
    with closing(sqlite3.connect(path, 60, isolation_level=None)) as con:
        for one in PRAGMAS:
            con.execute(f"PRAGMA {one}").fetchall()
        con.executescript(TABLES)
        yield con


# ---------------------------------------------------------------------- single rows


def singly(system: str, place: str, first: int, count: int, ready: Any, done: Any) -> None:
    """Write signals one by one, each on the disk before the next."""
    rows = [signal(n) for n in range(first, first + count)]
    if system == "workbench":
        with closing(opened(Path(place))) as bench, bench.writer(SIGNALS) as writer:
            writer.append(rows[0])
            ready.wait()
            began = perf_counter()
            for row in rows[1:]:
                writer.append(row)
    else:
        with database(Path(place)) as con:
            con.execute(insert("signals", rows[0]), as_sqlite(rows[0]))
            ready.wait()
            began = perf_counter()
            for row in rows[1:]:
                con.execute(insert("signals", row), as_sqlite(row))
    done.put((began, perf_counter()))


def by_processes(system: str, place: Path, processes: int, count: int) -> float:
    """How long it takes until several processes have written their rows."""
    ready, done = MANY.Barrier(processes), MANY.Queue()
    each = [MANY.Process(target=singly, args=(system, str(place), n * count, count, ready, done)) for n in range(processes)]
    for one in each:
        one.start()
    told: list[tuple[float, float]] = [done.get(timeout=600) for _ in each]
    for one in each:
        one.join()
        assert one.exitcode == 0, f"{system}: a writer ended with {one.exitcode}"
    return max(ended for _, ended in told) - min(began for began, _ in told)


def writers(sizes: Sizes, home: Path) -> Iterator[Line]:
    """Single rows by one process and by four."""
    for processes in (1, 4):
        rows = processes * (sizes.single - 1)
        word = "one process" if processes == 1 else f"{processes} processes"
        line = Line(f"single rows through `bench.writer`, {word}", "≥ 10,000 rows/s", a_second(rows))
        for n in range(sizes.rounds):
            lake, base = fresh(home / f"singly-{processes}-{n}"), fresh(home / f"singly-{processes}-{n}.db")
            line.taken["workbench"].append(by_processes("workbench", lake, processes, sizes.single))
            line.taken["SQLite"].append(by_processes("SQLite", base, processes, sizes.single))
            with closing(opened(lake)) as bench, database(base) as con:
                ours = asked(bench, f"SELECT count(*), count(DISTINCT id), sum(price)::VARCHAR FROM {SIGNALS}")
                [theirs] = con.execute("SELECT count(*), count(DISTINCT id) FROM signals").fetchall()
                total = sum((signal(n)["price"] for n in range(processes * sizes.single)), Decimal(0))
                assert ours[:2] == theirs == (processes * sizes.single,) * 2, f"{ours} of {theirs}"
                assert Decimal(ours[2]) == total, f"{ours[2]} in place of {total}"
            shutil.rmtree(lake)
            remove(base)
        yield line


# ---------------------------------------------------------------------- a large table


def large(sizes: Sizes, home: Path) -> Iterator[Line]:
    """Batches into a large table, changes of it, and single rows out of it."""
    lake, base = fresh(home / "large"), fresh(home / "large.db")
    of = 1_000
    with closing(opened(lake)) as bench, database(base) as con:
        assert bench.append(SIGNALS, [signal(n) for n in range(of)]) == of
        con.executemany(insert("signals", signal(0)), (as_sqlite(signal(n)) for n in range(of)))
        into(bench, con, trades(1, sizes.base, of))
        bench.fold()
        same(bench, con)
        yield batches(sizes, bench, con, of)
        yield upserts(sizes, bench, con, of)
        yield from lookups(sizes, bench, con)
    shutil.rmtree(lake)
    remove(base)


def into(bench: Workbench, con: sqlite3.Connection, rows: pa.Table, verb: str = "INSERT") -> tuple[float, float]:
    """Write rows on both sides; how long each took."""
    told = [as_sqlite(row) for row in rows.to_pylist()]
    began = perf_counter()
    done = bench.append(TRADES, rows) if verb == "INSERT" else bench.upsert(TRADES, rows)
    between = perf_counter()
    with con:
        con.execute("BEGIN")
        con.executemany(insert("trades", dict.fromkeys(rows.column_names), verb), told)
    ended = perf_counter()
    assert done == len(rows), f"{done} of {len(rows)} rows were written"
    return between - began, ended - between


def batches(sizes: Sizes, bench: Workbench, con: sqlite3.Connection, of: int) -> Line:
    """Batches, which their tables check and number on."""
    line = Line(f"batches of {sizes.batch:,} into {sizes.base:,} rows (`append`)", "≥ 100,000 rows/s", a_second(sizes.batch))
    for n in range(sizes.rounds):
        rows = trades(sizes.base + 1 + n * sizes.batch, sizes.batch, of)
        for system, seconds in zip(line.taken, into(bench, con, rows), strict=True):
            line.taken[system].append(seconds)
        same(bench, con)
    return line


def upserts(sizes: Sizes, bench: Workbench, con: sqlite3.Connection, of: int) -> Line:
    """Changes of rows all over the table."""
    line = Line(f"`upsert` of {sizes.change:,} rows in {sizes.base:,}", "≤ 200 ms", ms)
    for n in range(sizes.rounds):
        whole = trades(1, sizes.base, of, price=n + 1)
        rows = whole.take(pa.array(random.Random(n).sample(range(sizes.base), sizes.change)))
        for system, seconds in zip(line.taken, into(bench, con, rows, "INSERT OR REPLACE"), strict=True):
            line.taken[system].append(seconds)
        same(bench, con)
    return line


def lookups(sizes: Sizes, bench: Workbench, con: sqlite3.Connection) -> Iterator[Line]:
    """One row by its key: by SQL, and by `get`."""
    bench.fold()
    columns = [name for name, *_ in con.execute("SELECT * FROM trades LIMIT 0").description]
    query = f"SELECT * FROM {TRADES} WHERE id = $id"
    ways: dict[str, Callable[[int], Any]] = {
        f"a row by its key out of {sizes.base:,}, by `sql`": lambda n: asked(bench, query, id=n),
        "same, by `bench.get`": lambda n: bench.get(TRADES, n),
    }
    names = bench.sql(f"FROM {TRADES} LIMIT 0").columns
    for (name, way), target in zip(ways.items(), ("≤ 5 ms", "≤ 2 ms"), strict=True):
        line = Line(name, target, ms)
        chosen = random.Random(name).sample(range(1, sizes.base + 1), sizes.lookups)
        way(chosen[0])
        for n in chosen:
            began = perf_counter()
            ours = way(n)
            between = perf_counter()
            [theirs] = con.execute("SELECT * FROM trades WHERE id = ?", (n,)).fetchall()
            line.taken["workbench"].append(between - began)
            line.taken["SQLite"].append(perf_counter() - between)
            row, other = ours if isinstance(ours, dict) else dict(zip(names, ours, strict=True)), dict(zip(columns, theirs, strict=True))
            for told in ("id", "signal_id", "symbol", "action", "status"):
                assert row[told] == other[told], f"{told} of {n}: {row[told]} and {other[told]}"
            assert row["price"] == Decimal(other["price"]), f"price of {n}: {row['price']} and {other['price']}"
        yield line


def same(bench: Workbench, con: sqlite3.Connection) -> None:
    """Hold what both sides keep against each other."""
    query = "SELECT count(*), sum(id), count(DISTINCT signal_id), sum(round(price::DOUBLE * 100)::BIGINT) FROM {}"
    ours = asked(bench, query.format(TRADES))
    [theirs] = con.execute(
        "SELECT count(*), sum(id), count(DISTINCT signal_id), sum(CAST(round(price * 100) AS INTEGER)) FROM trades"
    ).fetchall()
    assert tuple(map(int, ours)) == theirs, f"{ours} and {theirs}"


# ---------------------------------------------------------------------- on the disk


def on_disk(sizes: Sizes, home: Path) -> Line:
    """What a day of a bot takes on the disk, written singly, once it is folded."""
    signals, count = sizes.change, sizes.change // 10
    line = Line(
        f"{signals:,} signals and {count:,} trades written singly, folded: on the disk", "≤ 10 MB", lambda size: f"{size / MB:.2f} MB"
    )
    lake, base = fresh(home / "day"), fresh(home / "day.db")
    with closing(opened(lake)) as bench, database(base) as con:
        before = held(lake)
        with bench.writer(SIGNALS) as writer:
            keys = [writer.append(signal(n)) for n in range(signals)]
        with bench.writer(TRADES) as writer:
            for n in range(count):
                writer.append(trade(n, keys[n * 10]))
        bench.fold()
        for n in range(signals):
            con.execute(insert("signals", signal(n)), as_sqlite(signal(n)))
        for n in range(count):
            con.execute(insert("trades", trade(n, n * 10 + 1)), as_sqlite(trade(n, n * 10 + 1)))
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        told = asked(bench, f"SELECT (SELECT count(*) FROM {SIGNALS}), count(*) FROM {TRADES} t JOIN {SIGNALS} s ON s.id = t.signal_id")
        assert told == (signals, count), f"{told} rows in place of {signals} and {count}"
        same(bench, con)
    line.taken = {"workbench": [held(lake) - before], "SQLite": [base.stat().st_size]}
    shutil.rmtree(lake)
    remove(base)
    return line


def held(folder: Path) -> int:
    """Bytes that a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------------- all of it


def fresh(path: Path) -> Path:
    """A place where nothing is."""
    shutil.rmtree(path, ignore_errors=True)
    remove(path)
    return path


def remove(base: Path) -> None:
    """Take a database away."""
    for ending in ("", "-wal", "-shm"):
        Path(f"{base}{ending}").unlink(missing_ok=True)


def asked(bench: Workbench, query: str, **values: object) -> tuple[Any, ...]:
    """The one row of a query."""
    relation = bench.sql(query, **values)
    assert relation is not None
    [row] = relation.fetchall()
    return tuple(row)


def lines(sizes: Sizes, home: Path) -> Iterator[Line]:
    """All that is measured."""
    yield from writers(sizes, home)
    yield from large(sizes, home)
    yield on_disk(sizes, home)


def run(size: data.Size, home: Path) -> str:
    """Measure all; gives a table in Markdown."""
    home.mkdir(parents=True, exist_ok=True)
    head: Sequence[str] = ["records", "workbench", "SQLite, with the bot's pragmas", "target"]
    made = [line.cells() for line in lines(FULL if size is data.FULL else SHORT, home)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *made])
