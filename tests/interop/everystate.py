"""A small lake with everything in it that a table can go through, and no vacuum: what others must not read stands beside what they must."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flatfiles import BAR, STOCK_DAY, STOCK_MINUTE, STOCK_TRADES, TRADE, bar, minutes, put, text, trade

from workbench import tables
from workbench.bench import Workbench
from workbench.config import Settings
from workbench.lake import retention
from workbench.lake.reference import update
from workbench.lake.store import LakeTable
from workbench.policies import Age, Retention
from workbench.sources.reference import Gathered
from workbench.tables.spec import Column

# Not in the order of bytes, as the vendor's are not; ranges end between some of them.
TICKERS = ["A", "AA", "AApA", "AAB", "AMZN", "BRK.A", "BRKpA", "NA", "NULL", "ZZZZ", "aB"]
JANUARY, FEBRUARY = [date(2024, 1, day) for day in (3, 4, 5)], [date(2024, 2, day) for day in (6, 7, 8)]
HOT = [date(2024, 3, 7), date(2024, 3, 8)]
WIDE_DAY = date(2024, 3, 11)
SIGNALS, FLAGS, OWN = "kraken_bot.signals", "utilities.feature_flags", "strategies.levels"
WIDER = replace(
    STOCK_DAY,
    vendor=(*STOCK_DAY.vendor, Column("vwap", "DOUBLE", "A price that files have since.", required=False)),
    short_headers=(STOCK_DAY.headers[0],),
)


@contextmanager
def wider() -> Iterator[None]:
    """A later library, which declares one more column of day bars."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(tables.TABLES, STOCK_DAY.name, WIDER)
        patched.setitem(tables._FEEDS, WIDER.feeds[0].prefix, (WIDER, WIDER.feeds[0]))
        yield


def opened(root: str | Path, **named: Any) -> Workbench:
    """A bench that knows no settings but where its lake is, and what it mirrors of a bucket."""
    env = {name: os.environ[name] for name in ("WORKBENCH_CACHE",) if name in os.environ}
    return Workbench(Settings.load(env=env, data=str(root)), **named)


def refresh(bench: Workbench, vendor: Path, *names: str) -> None:
    """Land what is new; all of it must."""
    run = bench.refresh(source=f"folder:{vendor}", datasets=list(names)).run()
    wrong = [one for one in run.done if one.outcome not in ("landed", "replaced", "already landed")]
    assert not wrong, wrong


def publish(vendor: Path, day: date, *, close: object = 10.5, count: int = 4) -> None:
    """A session's files: minutes and day bars of all tickers, a few trades of some."""
    put(vendor, STOCK_MINUTE, day, text([line for n, t in enumerate(TICKERS) for line in minutes(t, day, count + n)]))
    put(vendor, STOCK_DAY, day, text([bar(t, day, close=close, volume=100.25 + n) for n, t in enumerate(TICKERS)]))
    some = [trade(t, day, n, price=10 + n / 8) for t in TICKERS[::3] for n in range(20)]
    put(vendor, STOCK_TRADES, day, text(some, TRADE))


def fill(bench: Workbench, home: Path) -> None:
    """Have a bench's lake go through everything, as of a library that declares one column less at first.

    Minutes: January archived, February cold with a session replaced in it, March hot. Days: cold and hot, one replaced, one wider. Trades: reset, and
    some landed again. Splits, two tables that people write and one of their own: changed, and rows deleted.
    """
    vendor = home / "vendor"
    for day in (*JANUARY, *FEBRUARY, *HOT):
        publish(vendor, day)
    refresh(bench, vendor, STOCK_DAY.name, STOCK_MINUTE.name, STOCK_TRADES.name)
    for chunk in ("2024-01", "2024-02"):
        bench.compact([STOCK_MINUTE.name], chunk)
    bench.compact([STOCK_DAY.name], everything=True)
    # Again: one inside a cold chunk, one that is new and hot, then one more version of that.
    publish(vendor, FEBRUARY[1], close=11, count=6)
    later = HOT[-1] + timedelta(days=6)
    publish(vendor, later)
    refresh(bench, vendor, STOCK_DAY.name, STOCK_MINUTE.name)
    publish(vendor, later, close=12, count=2)
    refresh(bench, vendor, STOCK_DAY.name, STOCK_MINUTE.name)
    policies = {STOCK_MINUTE.name: Retention(Age(3, "month"), "archive")}
    left = [retention.retire(bench.lake, one) for one in retention.plan(bench.lake, policies, date(2024, 5, 20))]
    assert left
    bench.reset(STOCK_TRADES.name)
    for day in (*JANUARY, *FEBRUARY):
        (vendor / STOCK_TRADES.key_of(STOCK_TRADES.feeds[0], day)).unlink()
    refresh(bench, vendor, STOCK_TRADES.name)
    people(bench)
    for factor, at in ((2, 1), (3, 2)):
        rows = [{"ticker": t, "execution_date": f"2024-03-{7 + n:02}", "split_from": 1, "split_to": factor} for n, t in enumerate(TICKERS)]
        update(bench.lake, Gathered("splits", "k", rows, whole=True), "polygon_api", now=datetime(2024, 3, at, tzinfo=UTC))


def people(bench: Workbench) -> None:
    """What people write: appended, changed, deleted, folded in between."""
    from workbench.tables.platforms import RECORDS

    like = dict(RECORDS[SIGNALS].example)
    bench.append(SIGNALS, [like | {"symbol": f"S{n % 4}"} for n in range(12)])
    at = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)
    bench.append(FLAGS, [{"name": f"f{n}", "enabled": True, "rollout_percent": 2.5 * n, "updated_at": at} for n in range(9)])
    bench.create_table(OWN, {"ticker": "VARCHAR", "level": "DOUBLE", "at": "TIMESTAMPTZ"}, key=["ticker"])
    bench.append(OWN, [{"ticker": t, "level": n / 3, "at": at + timedelta(microseconds=n)} for n, t in enumerate(TICKERS)])
    bench.fold()
    bench.upsert(FLAGS, [{"name": "f3", "enabled": False, "rollout_percent": 99.0, "updated_at": at + timedelta(days=1)}])
    bench.delete(FLAGS, "name = 'f5'")
    bench.upsert(OWN, [{"ticker": "NA", "level": -1.5, "at": at}, {"ticker": "new", "level": 7.0, "at": at}])
    bench.fold()


def widen(bench: Workbench, home: Path) -> None:
    """Land a session with the one more column."""
    vendor = home / "wide"
    put(vendor, STOCK_DAY, WIDE_DAY, text([f"{bar(t, WIDE_DAY)},{10 + n / 4}" for n, t in enumerate(TICKERS)], f"{BAR},vwap"))
    refresh(bench, vendor, STOCK_DAY.name)


def litter(table: LakeTable) -> None:
    """Leave a whole data file that no commit knows of, as a killed writer does; who lists the folder finds it."""
    some = table.snapshot().files
    orphan = table.here(some[0].path).with_name("orphan-00000000.parquet")
    shutil.copy(table.here(some[0].path), orphan)
    if table.remote:
        table.remote.upload(orphan, table.remote.name(orphan))
