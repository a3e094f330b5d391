"""Processes that land files and answers, publish again and compact the same sessions of one lake while others read it."""

import hashlib
import multiprocessing as mp
import os
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flatfiles import STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, TRADE, bar, put, text, trade

from crash import judge, scenarios
from crash.harness import forkserver
from crash.scenarios import FEBRUARY, FOLDED, JANUARY, MARCH, SEALED, TICKERS
from workbench.errors import Busy, SourceError
from workbench.lake import tiering
from workbench.lake.landing import Job, land_or_refuse
from workbench.lake.landings import Landed
from workbench.lake.store import Lake
from workbench.lake.vacuum import vacuum
from workbench.refresh.batch import Batch
from workbench.refresh.plan import Step
from workbench.sources import FlatFile
from workbench.tables import Table
from workbench.tables.answers import key_of

WRITERS, READERS, PATIENCE_S = 8, 4, 120.0
PUBLISHED = {STOCK_MINUTE: (*JANUARY, *FEBRUARY, *MARCH), STOCK_DAY: JANUARY, STOCK_TRADES: JANUARY[:3]}
# What answers are about: tickers that flat files have, too, and some that they lack.
LACKING = ("YA", "YB")
ASKED = (*TICKERS[:3], *LACKING)


def content(table: Table, day: date, tickers: Sequence[str], price: int) -> bytes:
    """Rows of a session, all with one price."""
    if table is STOCK_TRADES:
        return text([trade(ticker, day, n, price=price) for ticker in tickers for n in range(3)], TRADE)
    return text([bar(ticker, day, close=price, at_ns=0 if table is STOCK_DAY else 10**13) for ticker in tickers])


def publish(vendor: Path, table: Table, day: date, edition: int) -> None:
    """Put a session's flat file in its place at once. Every row of it tells the edition, and so does their number."""
    draft = put(vendor.with_name("drafts"), table, day, content(table, day, [*TICKERS, *(f"Z{n}" for n in range(edition))], 1 + edition))
    target = vendor / table.key_of(table.feeds[0], day)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(target)


def answer(root: Path, vendor: Path, table: Table, day: date, price: int) -> str:
    """Land what the API says of a session, whoever else lands or compacts it: without the lock that a refresh would wait for."""
    lake = Lake(root)
    home, key = lake[table.name], key_of("api", table.name, day, ASKED)
    held, bounds = home.landings().get(key), home.snapshot().bounds
    if table.routed and bounds is None:
        return "too early"
    path = put(vendor.with_name(f"answers-{os.getpid()}"), table, day, content(table, day, ASKED, price))
    file = FlatFile(key, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    made = land_or_refuse(Job(path, file, "polygon_api", root, bounds, held, asked=ASKED))
    if not isinstance(made, Landed):
        raise TypeError(made.reason)
    batch = Batch(lake)
    batch.add(Step(table.name, day, "ask", "", key, file=file, held=held, source="polygon_api"), made, 0, 0.0)
    [done] = batch.finish()
    return f"answer {done.outcome}"


def rows_of(table: Table, edition: int) -> int:
    """How many rows an edition has."""
    return (len(TICKERS) + edition) * (3 if table is STOCK_TRADES else 1)


def write(root: Path, vendor: Path, until: float, seed: int, done: Counter[str]) -> None:
    """Land what is new and compact what is due, in turn and by chance."""
    rng = random.Random(seed)
    while time.time() < until:
        try:
            turn = rng.random()
            if turn < 0.1:
                removed = vacuum(Lake(root), timedelta(0), dry_run=False)
                done["vacuumed"] += sum(len(one.retired) for one in removed)
            elif turn < 0.3:
                table = rng.choice(list(PUBLISHED))
                Lake(root).make()
                done[answer(root, vendor, table, rng.choice(PUBLISHED[table]), 1000 + rng.randrange(1000))] += 1
            elif turn < 0.7:
                names = rng.sample([table.name for table in PUBLISHED], 2)
                summary = scenarios.bench(root).refresh(source=f"folder:{vendor}", datasets=names, maintain=rng.random() < 0.3).run()
                for one in summary.done:
                    done[one.outcome] += 1
                    if one.outcome == "failed" and "listed" not in one.reason and "being written" not in one.reason:
                        raise RuntimeError(one.reason)
            else:
                lake = Lake(root)
                for table in (STOCK_MINUTE, STOCK_DAY):
                    for unit in tiering.due(lake[table.name], rng.choice([SEALED, FOLDED])):
                        done[tiering.compact(lake[table.name], unit).outcome] += 1
        except Busy:
            done["busy"] += 1
        except SourceError as fault:
            # A file that is put in its place while the source looks at it.
            if "being written" not in str(fault):
                raise
            done["failed"] += 1


def read(root: Path, vendor: Path, until: float, seed: int, done: Counter[str]) -> None:
    """See that every session is a whole edition, never older than the one seen before, and that what is held stays still."""
    newest: dict[tuple[str, date], int] = {}
    while time.time() < until:
        with closing(scenarios.bench(root)) as bench:
            for _ in range(10):
                for table in PUBLISHED:
                    value = "price" if table is STOCK_TRADES else "close"
                    asked = f"count(*), min({value}), max({value}), count(DISTINCT ticker)"
                    rows = bench.sql(f"SELECT date, source, {asked} FROM {table.name} GROUP BY ALL").fetchall()
                    filed = {day for day, source, *_ in rows if source == "folder"}
                    for day, source, count, low, high, tickers in rows:
                        if source != "folder":
                            if low != high or tickers != len(LACKING if day in filed else ASKED):
                                raise RuntimeError(f"{table.name} {day}: rows of {tickers} tickers of the answers {low} to {high}")
                            continue
                        edition = int(low) - 1
                        if low != high or count != rows_of(table, edition) or tickers != len(TICKERS) + edition:
                            raise RuntimeError(f"{table.name} {day}: {count} rows of {tickers} tickers of the editions {low} to {high}")
                        if edition < newest.get((table.name, day), 0):
                            raise RuntimeError(f"{table.name} {day} went back from edition {newest[table.name, day]} to {edition}")
                        newest[table.name, day] = edition
                    if gone := {day for name, day in newest if name == table.name} - filed:
                        raise RuntimeError(f"{table.name} lost {gone}")
                with bench.pin():
                    held = bench.sql(judge.question("stock_minute"))
                    first = held.fetchall()
                    stream = bench.con.execute("SELECT date, ticker FROM stock_minute")
                    begun = stream.fetchmany(5)
                time.sleep(0.05)
                with bench.pin():
                    if len(begun) + len(stream.fetchall()) != len(first):
                        raise RuntimeError("a query that was begun before a commit ended otherwise")
                    again, once = held.fetchall(), held.fetchall()
                    if sorted(again) != sorted(once):
                        raise RuntimeError("a pinned reader saw two versions")
                done["looks"] += 1


def child(what: Callable[..., None], root: str, vendor: str, until: float, seed: int, told: Connection) -> None:
    """A process of the race."""
    done: Counter[str] = Counter()
    try:
        what(Path(root), Path(vendor), until, seed, done)
    except BaseException:
        told.send((done, f"{what.__name__} {seed}: {traceback.format_exc()}"))
    else:
        told.send((done, ""))


def race(folder: Path, seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Let eight write and four read for some seconds. Gives what was done, and what was wrong then or afterwards."""
    rng = random.Random(seed)
    root, vendor = folder / "lake", folder / "vendor"
    editions: dict[tuple[Table, date], int] = {}
    every = [(table, day) for table, days in PUBLISHED.items() for day in days]
    # The others come late, some into chunks that are cold by then.
    for table, day in every[::2]:
        editions[table, day] = 0
        publish(vendor, table, day, 0)
    root.mkdir()
    context, until = forkserver(), time.time() + seconds
    children: list[tuple[Any, mp.connection.Connection]] = []
    for n in range(WRITERS + READERS):
        ours, theirs = context.Pipe()
        what = write if n < WRITERS else read
        process = context.Process(target=child, args=(what, str(root), str(vendor), until, seed + n, theirs), daemon=True)
        process.start()
        theirs.close()
        children.append((process, ours))
    while time.time() < until:
        time.sleep(0.2)
        table, day = rng.choice(every)
        editions[table, day] = editions.get((table, day), -1) + 1
        publish(vendor, table, day, editions[table, day])
    done: Counter[str] = Counter()
    faults = []
    for process, ours in children:
        if ours.poll(PATIENCE_S):
            counts, fault = ours.recv()
            done += counts
            faults += [fault] if fault else []
        else:
            faults.append(f"{process.name} hung")
            process.kill()
        process.join()
    return done, [*faults, *afterwards(root, vendor, editions)]


def afterwards(root: Path, vendor: Path, editions: dict[tuple[Table, date], int]) -> list[str]:
    """Run what is left, alone: every session must end in its last edition."""
    scenarios.refresh(root, vendor)
    scenarios.compact(root, FOLDED)
    faults = judge.wrong(root)
    if left := scenarios.bench(root).plan(source=f"folder:{vendor}", datasets=[table.name for table in PUBLISHED]).to_fetch:
        faults.append(f"a refresh that was alone left {left}")
    with closing(scenarios.bench(root)) as bench:
        state = judge.by_sql(bench)
    for (table, day), edition in editions.items():
        if sum("folder" in row for row in state.get((table.name, day), [])) != rows_of(table, edition):
            faults.append(f"{table.name} {day} did not end as edition {edition}")
    return faults if state == judge.by_delta(root) else [*faults, "SQL and Delta read different rows"]
