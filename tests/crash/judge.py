"""What a lake holds, told in several ways, and what is wrong with it."""

import os
import platform
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from workbench.bench import Workbench
from workbench.lake.leftovers import clean
from workbench.lake.store import Lake, LakeTable
from workbench.lake.vacuum import vacuum
from workbench.lake.verify import verify
from workbench.tables import ARCHIVE, TABLES, Table
from workbench.tables.spec import span_of

NAMES = ("stock_day", "stock_minute", "stock_trades", "ohlcv_archive")
Rows = list[tuple[Any, ...]]
# Table and session, and every row of it.
State = dict[tuple[str, date], Rows]


def by_session(table: Table, rows: Iterable[tuple[Any, ...]]) -> State:
    """Rows by session, in an order that does not depend on how they were read."""
    at = [c.name for c in table.columns].index("date")
    state: State = {}
    for row in rows:
        state.setdefault((table.name, row[at]), []).append(row)
    return {session: sorted(its, key=repr) for session, its in state.items()}


def by_sql(bench: Workbench) -> State:
    """What `bench.sql` reads."""
    state: State = {}
    for name in NAMES:
        state |= by_session(TABLES[name], bench.sql(question(name)).fetchall())
    return state


def question(name: str) -> str:
    """All rows of a table; instants as numbers, which every engine gives alike."""
    return f"SELECT * REPLACE (epoch_us(timestamp) AS timestamp) FROM {name}"


def by_delta(root: Path) -> State:
    """What any reader of Delta tables reads."""
    state: State = {}
    for name in NAMES:
        table = LakeTable(root, TABLES[name])
        if table.exists:
            # Polars' own scan_delta (2.1) finds no file in a folder with a space in its name.
            rows = pl.DataFrame(DeltaTable(table.folder).to_pyarrow_table(columns=[c.name for c in table.table.columns]))
            state |= by_session(table.table, rows.with_columns(pl.col("timestamp").dt.epoch("us")).rows())
    return state


def records(root: Path) -> dict[str, tuple[Any, ...]]:
    """The landing records, without what differs from run to run."""
    lake = Lake(root)
    return {
        one.key: (one.version, one.etag, one.sha256, one.rows_in, one.rows, one.quarantined, tuple(one.reasons.items()))
        for name in NAMES
        for one in lake[name].landings().values()
    }


def wrong(root: Path) -> list[str]:
    """Everything that is wrong with a lake, told without the workbench's own eyes and then with them; orphans are no fault."""
    ours = [fault for name in NAMES for fault in wrong_with(LakeTable(root, TABLES[name]))]
    return [*ours, *(f"verify: {one}" for one in verify(Lake(root), NAMES, scratch=root / "tmp").faults)]


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
            if (n and file.low < bounds[n - 1]) or (n < len(bounds) and file.high >= bounds[n]):
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
