"""What rollups cost: five years of sessions that are summed up, one more that lands, and the views that read them.

A lake of its own links the minutes and days of `benchmarks.lakes`, with landing records. Most of its quarters are links whose rows bear other dates, so that
their sessions are summed up as those of the true quarter are: as many rows, of as many tickers. What is asked is compared with DuckDB's answer over minutes
that are true, and the session that lands is.
"""

import resource
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import polars as pl

from benchmarks import data
from benchmarks.lakes import MINUTE, SHIFT, kept, opened, refresh
from benchmarks.platforms import NEWEST, TICKER, PlatformLakes, link, tell
from benchmarks.queries import HEAD, Ask, Question, sql
from workbench.bench import Workbench
from workbench.lake import rollups
from workbench.lake.store import Lake
from workbench.tables import ROLLUPS

ROLLUP = ROLLUPS[0]
NAME = ROLLUP.name
GROUPED = """SELECT ticker AS symbol, date::TIMESTAMP AT TIME ZONE 'America/New_York' AS day, arg_min(open, timestamp) AS open, max(high) AS high,
    min(low) AS low, arg_max(close, timestamp) AS close, sum(volume) AS volume, NULL::DOUBLE AS vwap FROM stock_minute WHERE {} GROUP BY ticker, date"""


class RollupLakes(PlatformLakes):
    """The lakes of the other benchmarks, and one of five years that is summed up."""

    @cached_property
    def summed(self) -> Workbench:
        """Five years of minutes, with their landing records, all summed up."""
        return kept(self.place("rollups"), self._make_summed)

    def _make_summed(self, bench: Workbench) -> None:
        days = data.quarter_days(self.size)
        shifted = [day - n * SHIFT for n in range(self.size.quarters) for day in days]
        own = link(self.history, bench, MINUTE, self.history.lake[MINUTE.name].snapshot().files)
        own += link(self.main, bench, MINUTE, [file for file in self.main.lake[MINUTE.name].snapshot().files if "-Q" not in file.chunk])
        between = [day for day in data.day_days(self.size) if day >= min(shifted)]
        true = {*days, *data.month_days(self.size), *data.hot_days(self.size)}
        tell(bench.lake[MINUTE.name], own, sorted({*shifted, *between, *true}), self.history)
        told = [work for work in rollups.due(bench.lake) if true & {*work.days}]
        began, count = perf_counter(), sum(rollups.done(bench.lake, work) for work in told)
        line(f"{count} sessions summed up, cold", (perf_counter() - began) / count * 1000, "ms a session")
        like = pl.read_parquet(bench.lake[NAME].folder / bench.lake[NAME].snapshot().files[-1].path, hive_partitioning=False)
        like = like.filter(pl.col("date") == like["date"].max())
        with mock.patch.object(rollups.Rolling, "rows", partial(copied, like)):
            rollups.refresh(bench.lake)


def copied(like: pl.DataFrame, days: Sequence[date], at: Path) -> tuple[list[Path], dict[date, int]]:
    """A session's rows as those of others."""
    drafts = []
    for day in days:
        by = day - like["date"][0]
        moved = like.with_columns(
            pl.col("date") + by, pl.col("timestamp") + by, pl.col("window_start") + int(by / timedelta(microseconds=1)) * 1000
        )
        drafts.append(at / f"{day}.parquet")
        moved.write_parquet(drafts[-1])
    return drafts, dict.fromkeys(days, len(like))


def line(name: str, value: float, unit: str, target: str = "") -> list[str]:
    """A line of the table, printed."""
    cells = [name, f"{value:.3g} {unit}", "", "", target]
    print(" | ".join(cells), flush=True)
    return cells


def landing(bench: Workbench, lakes: RollupLakes) -> list[str]:
    """One more session lands, and is summed up."""
    data.files(lakes.flat, MINUTE, [NEWEST], lakes.size.tickers)
    if not any(one.session == NEWEST for one in bench.lake[MINUTE.name].landings().values()):
        with mock.patch.object(rollups, "refresh", lambda *_: 0):
            refresh(bench, lakes.flat, MINUTE, [NEWEST])
    rollups.refresh(bench.lake)
    work, taken = rollups.Work(ROLLUP, f"{NEWEST:%Y-%m}", (NEWEST,)), []
    for n in range(max(lakes.size.rounds, 3)):
        # As if it were another session each time, in a process that knows nothing yet.
        lake = Lake(bench.lake.root)
        with mock.patch.object(rollups, "digest", lambda told: f"{n} {told[0]}"):  # noqa: B023
            began = perf_counter()
            assert rollups.Rolling(lake, ROLLUP).run(work) == 1
            taken.append((perf_counter() - began) * 1000)
    assert rollups.refresh(bench.lake) == 1
    return line(f"one more session beside {len(bench.lake[NAME].landings()):,}, summed up", min(taken), "ms", "≤ 2,000 ms")


def views(bench: Workbench, size: data.Size) -> list[Question]:
    """What is asked of the views, beside the same of minutes."""
    first, last = data.month_days(size)[0], data.month_days(size)[-1]
    month = f"date BETWEEN '{first}' AND '{last}'"
    between = f"day BETWEEN '{first}' AND '{last}'"
    peers: dict[str, Ask] = {"GROUP BY of the minutes": sql(bench, GROUPED.format(month))}
    one = f"ticker = '{TICKER}' AND {month}"
    return [
        Question(
            "a month of `ohlcv_daily`, all symbols",
            "",
            {"workbench": sql(bench, f"SELECT * FROM market_data.ohlcv_daily WHERE {between}"), **peers},
            slow=frozenset(peers),
        ),
        Question(
            "a month of one symbol",
            "",
            {
                "workbench": sql(bench, f"SELECT * FROM market_data.ohlcv_daily WHERE symbol = '{TICKER}' AND {between}"),
                "GROUP BY of the minutes": sql(bench, GROUPED.format(one)),
            },
        ),
        *(
            Question(f"`{view}` of one symbol, all years", target, {"workbench": sql(bench, f"SELECT * FROM market_data.{view} {where}")})
            for view, where, target in (
                ("ohlcv_daily", f"WHERE symbol = '{TICKER}'", "≤ 20 ms"),
                ("ohlcv_weekly", f"WHERE symbol = '{TICKER}'", ""),
                ("ohlcv_monthly", f"WHERE symbol = '{TICKER}'", ""),
                ("ohlcv_sessions", f"WHERE symbol = '{TICKER}' AND session = 'regular'", ""),
            )
        ),
    ]


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Land, ask; gives a table in Markdown."""
    home.mkdir(parents=True, exist_ok=True)
    lakes = RollupLakes(size, flat, home)
    bench: Any = lakes.summed
    lines = [["rollups", *HEAD[1:]], ["---"] * len(HEAD), landing(bench, lakes)]
    with opened(bench.lake.root) as bench:
        for question in views(bench, size):
            question.ask(4 * size.rounds - 1)
            lines.append(question.cells())
    files = bench.lake[NAME].snapshot()
    lines.append(line(f"{files.rows:,} rows in {len(files.files)} files", files.size / 2**20, "MB"))
    lines.append(line("most memory of this process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB", "≤ 2,000 MB"))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
