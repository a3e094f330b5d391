"""What a lake holds, told in several ways, and what is wrong with it."""

import os
import platform
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
from deltalake import DeltaTable

from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake.journal import Journal
from workbench.lake.landings import Landing
from workbench.lake.leftovers import clean
from workbench.lake.store import Lake, LakeTable
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.tables import ARCHIVE, DISAGREEMENTS, TABLES, Table, quote
from workbench.tables.spec import span_of

NAMES = (
    "stock_day",
    "stock_minute",
    "stock_trades",
    "ohlcv_archive",
    DISAGREEMENTS.name,
    "splits",
    "dividends",
    "tickers",
    "calendar_events",
)
# When something was seen differs from run to run.
STAMPS = {"found_at", "seen_at", "updated_at"}
# What verify may find besides: nobody reads it, and upkeep removes it.
HARMLESS = {"orphans", "leftovers", "range"}
Rows = list[tuple[Any, ...]]
# Table and session, and every row of it; of reference data, which is committed whole, all rows under one date.
State = dict[tuple[str, date], Rows]


def columns(table: Table) -> list[str]:
    """The columns that are compared."""
    return [c.name for c in table.columns if c.name not in STAMPS]


def by_session(table: Table, rows: Iterable[tuple[Any, ...]]) -> State:
    """Rows by session, in an order that does not depend on how they were read."""
    at = columns(table).index("date") if table.kind != "reference" or table is DISAGREEMENTS else None
    state: State = {}
    for row in rows:
        state.setdefault((table.name, date.min if at is None else row[at]), []).append(row)
    return {session: sorted(its, key=repr) for session, its in state.items()}


def by_sql(bench: Workbench) -> State:
    """What `bench.sql` reads."""
    state: State = {}
    for name in NAMES:
        state |= by_session(TABLES[name], bench.sql(question(name)).fetchall())
    return state


def question(name: str) -> str:
    """All rows of a table; instants as numbers, which every engine gives alike."""
    instants = {c.name for c in TABLES[name].columns if c.type == "TIMESTAMPTZ"}
    return f"SELECT {', '.join(f'epoch_us({c})' if c in instants else quote(c) for c in columns(TABLES[name]))} FROM {name}"


def by_delta(root: Path) -> State:
    """What any reader of Delta tables reads."""
    state: State = {}
    for name in NAMES:
        table = LakeTable(root, TABLES[name])
        if table.exists:
            # Polars' own scan_delta (2.1) finds no file in a folder with a space in its name.
            rows = pl.DataFrame(DeltaTable(table.folder).to_pyarrow_table(columns=columns(table.table)))
            state |= by_session(table.table, rows.with_columns(cs.datetime().dt.epoch("us")).rows())
    return state


def records(root: Path) -> dict[str, tuple[Any, ...]]:
    """The landing records, without what differs from run to run."""
    lake = Lake(root)
    # How many commits it took to find the differences, or to look at splits, is nobody's business.
    return {
        one.key: recorded(one) if lake[name].table.kind != "reference" else (one.rows,)
        for name in NAMES
        if name != DISAGREEMENTS.name
        for one in lake[name].landings().values()
    }


def recorded(one: Landing) -> tuple[Any, ...]:
    counts = (one.rows_in, one.rows, one.quarantined, one.superseded, one.held)
    return (one.version, one.etag, one.sha256, *counts, one.asked, one.retired, tuple(one.reasons.items()))


def wrong(root: Path, *, full: bool = False) -> list[str]:
    """Everything that is wrong with a lake, told without the workbench's own eyes and then with them; orphans are no fault.

    On a `full` disk SQLite opens no journal: `data_sync_log` says so, and is not looked at.
    """
    ours = []
    for name in NAMES:
        looks = wrong_with if TABLES[name].kind != "reference" else wrong_with_reference
        ours += list(looks(LakeTable(root, TABLES[name])))
    found = verify(Lake(root), NAMES, scratch=root / "tmp").findings
    told = [f"verify: {one}" for one in found if one.severity == "fault" or one.kind not in HARMLESS]
    return [*ours, *told, *([] if full else wrong_with_log(root))]


def wrong_with_log(root: Path) -> Iterable[str]:
    """What is wrong with `data_sync_log`: it must be readable, tell of every landing, and of nothing twice."""
    with closing(Workbench(Settings.load(env={}, data=str(root)))) as bench:
        rows = bench.sql("SELECT id, dataset, object_key, status, reason FROM data_sync_log").fetchall()
    yield from (f"data_sync_log cannot be read: {row}" for row in rows if "journal" in (row[0], row[1]))
    if len({row[0] for row in rows}) < len(rows):
        yield "data_sync_log tells of something twice"
    told, lake = Counter((row[1], row[2]) for row in rows), Lake(root)
    for name in NAMES:
        for landing in lake[name].landings().values():
            if told[name, landing.key] < landing.version:
                yield f"data_sync_log tells {told[name, landing.key]} times of {landing.key}, version {landing.version}"
    yield from (f"the journal was set aside: {path.name}" for path in (root / "journal").glob("*damaged*"))


def attempts(root: Path) -> list[str]:
    """The ids of what the journal keeps, in its order."""
    journal = Journal(root)
    try:
        return [one.id for one in journal.attempts()]
    finally:
        journal.close()


def left_over(root: Path) -> list[str]:
    """What stays in a lake that nobody uses after `clean` and `vacuum`, long after a crash, and should not."""
    for path in (path for folder in ("tmp", "locks", "quarantine", "lake") for path in (root / folder).rglob("*")):
        os.utime(path, (0, 0))
    clean(root, root / "tmp", dry_run=False)
    vacuum(Lake(root), timedelta(0), dry_run=False, orphans=timedelta(0))
    return [*drafts(root), *orphans(root)]


def wrong_with(held: LakeTable) -> Iterable[str]:
    if not held.exists:
        return
    table, shot = held.table, held.snapshot()
    counts: Counter[date] = Counter()
    keys: list[pl.DataFrame] = []
    for file in shot.files:
        path = held.folder / file.path
        if not path.is_file():
            yield f"{file.path} is gone"
            continue
        if path.stat().st_size != file.size:
            yield f"{file.path} has {path.stat().st_size} bytes, the log says {file.size}"
        rows = pl.read_parquet(path, hive_partitioning=False)
        tickers, days = rows["ticker"], rows["date"]
        counts.update(days.to_list())
        keys.append(rows.select(*table.key, "date"))
        if (len(rows), days.min(), days.max(), tickers.min(), tickers.max()) != (file.rows, file.first, file.last, file.low, file.high):
            yield f"{file.path} is not as its statistics say"
        first, last = span_of(file.chunk)
        if not first <= file.first <= file.last <= last:
            yield f"{file.path} holds sessions outside its chunk"
        if file.bucket is None and file.first != file.last:
            yield f"{file.path} is hot and holds several sessions"
        if file.bucket is not None:
            bounds, n = shot.bounds or (), int(file.bucket)
            # Ticks that came for a few tickers stay where they are when the first flat file decides the ranges anew.
            if not table.routed and ((n and file.low < bounds[n - 1]) or (n < len(bounds) and file.high >= bounds[n])):
                yield f"{file.path} reaches out of its ticker range"
            if not table.routed and not rows.select("ticker", table.time).equals(
                rows.select("ticker", table.time).sort("ticker", table.time)
            ):
                yield f"{file.path} is not in order"
    told: Counter[date] = Counter()
    for landing in held.landings().values():
        told[landing.session] += landing.held
    for day in sorted(counts.keys() | told.keys()):
        # The archive holds what other tables' records told of.
        if table is not ARCHIVE and counts[day] != told[day]:
            yield f"{table.name} {day} holds {counts[day]} rows, its landing records say {told[day]}"
    if keys and table.key and (doubled := pl.concat(keys).is_duplicated().sum()):
        yield f"{table.name} has {doubled} rows whose keys are not unique"


def wrong_with_reference(held: LakeTable) -> Iterable[str]:
    """What is wrong with a table that is committed in whole files, without sessions."""
    if not held.exists:
        return
    table, rows = held.table, []
    for file in held.snapshot().files:
        path = held.folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            yield f"{file.path} is gone, or has other bytes than the log says"
            continue
        rows.append(pl.read_parquet(path, hive_partitioning=False))
        if len(rows[-1]) != file.rows:
            yield f"{file.path} is not as its statistics say"
    there, told = sum(map(len, rows)), sum(landing.held for landing in held.landings().values())
    if there != told:
        yield f"{table.name} holds {there} rows, its landing records say {told}"
    key = list(table.key) or columns(table)
    if rows and (doubled := pl.concat(rows).select(key).is_duplicated().sum()):
        yield f"{table.name} has {doubled} rows that say the same"


def drafts(root: Path) -> list[str]:
    """What stands in the lake's temporary folder."""
    kinds = (f"land-{platform.node()}-", "cold-")
    return sorted(path.name for path in (root / "tmp").glob("*") if path.name.startswith(kinds))


def orphans(root: Path) -> list[str]:
    """Parquet files that the newest versions do not name, and unfinished commits."""
    found = []
    for name in NAMES:
        held = LakeTable(root, TABLES[name])
        live = held.snapshot().by_path if held.exists else {}
        found += [
            str(path) for path in held.folder.rglob("*.parquet") if "_delta_log" not in path.parts and held_path(held, path) not in live
        ]
        found += [str(path) for path in (held.folder / "_delta_log").glob("*") if "#" in path.name or path.suffix == ".tmp"]
    return found


def held_path(held: LakeTable, path: Path) -> str:
    return path.relative_to(held.folder).as_posix()
