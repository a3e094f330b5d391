"""What old queries cost under documented names: bars through `market_data.ohlcv` on five years of minutes, and a bench with all views declared.

A lake of its own links the minutes and days of `benchmarks.lakes`, with landing records, and lands one more session of both as any other, which stays
hot. Each answer is compared with DuckDB's over the lake's own tables, and with DuckDB over a table of its own that holds the asked ticker's rows.
"""

import json
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import duckdb
import polars as pl

from benchmarks import data
from benchmarks.lakes import ASKED, DAY, MINUTE, SHIFT, Lakes, kept, listed, opened, refresh
from benchmarks.queries import HEAD, NATIVE, Ask, Question, plain, sql
from workbench.bench import Workbench
from workbench.lake import lone_days
from workbench.lake.landings import Landing, NewFile
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import LakeTable
from workbench.query.documented import every
from workbench.tables import Table

TICKER = ASKED[0]
NEWEST = date(2026, 11, 9)
# Of each session's day bars, one in so many is taken for one without a minute.
LONE = 500
OVER = "DuckDB over the lake's tables, unnarrowed"
# The columns by which answers are compared: those that both sides have.
COLUMNS = "symbol, timestamp, open, high, low, close, volume, trades_count, timeframe"


class PlatformLakes(Lakes):
    """The lakes of the other benchmarks, and one of five years that the platforms' views are asked of."""

    @cached_property
    def five(self) -> Workbench:
        """Five years of minutes and of day bars, with their landing records, and a hot session of both."""
        return kept(self.place("platforms"), self._make_five)

    def _make_five(self, bench: Workbench) -> None:
        days = data.quarter_days(self.size)
        shifted = [day - n * SHIFT for n in range(self.size.quarters) for day in days]
        own = link(self.history, bench, MINUTE, self.history.lake[MINUTE.name].snapshot().files)
        months = [file for file in self.main.lake[MINUTE.name].snapshot().files if "-Q" not in file.chunk]
        own += link(self.main, bench, MINUTE, months)
        # Of the days between the quarters, too, as of a lake that has them all.
        between = [day for day in data.day_days(self.size) if day >= min(shifted)]
        held = {*shifted, *between, *data.month_days(self.size), *data.hot_days(self.size)}
        tell(bench.lake[MINUTE.name], own, sorted(held), self.history)
        own = link(self.main, bench, DAY, self.main.lake[DAY.name].snapshot().files)
        tell(bench.lake[DAY.name], own, data.day_days(self.size), self.main)
        with mock.patch.object(lone_days.Comparison, "lone", some_bars):
            lone_days.compare(bench.lake)
        for table in (MINUTE, DAY):
            data.files(self.flat, table, [NEWEST], self.size.tickers)
            refresh(bench, self.flat, table, [NEWEST])


def some_bars(comparison: lone_days.Comparison, days: Sequence[date]) -> pl.DataFrame:
    """Day bars in the place of those without a minute: the true minutes of most tickers are of one quarter."""
    bench = opened(comparison.lake.root)
    found = bench.sql(f"SELECT * FROM stock_day WHERE date IN $days AND hash(ticker) % {LONE} = 0 AND ticker <> '{TICKER}'", days=[*days])
    assert found is not None
    rows: pl.DataFrame = found.pl()
    return rows.with_columns(pl.col("timestamp").dt.convert_time_zone("UTC"))


def link(source: Workbench, target: Workbench, table: Table, files: Iterable[LiveFile]) -> list[NewFile]:
    """Hard links of a table's files in another lake, not listed in its log yet."""
    here, there = source.lake[table.name], target.lake[table.name]
    made = []
    for file in files:
        path = there.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(here.folder / file.path, path)
        made.append(listed(there, path, file, file.chunk, timedelta(0)))
    return made


def tell(table: LakeTable, files: Sequence[NewFile], days: Iterable[date], like: Workbench) -> None:
    """List files in the table's log, with a landing record for each session."""
    from deltalake import CommitProperties
    from deltalake.transaction import AddAction

    told = [landing(table.table, day).to_json() for day in days]
    table.set_bounds(like.lake[table.table.name].snapshot().bounds or ())
    adds: list[Any] = [
        AddAction(f.path, f.size, {"chunk": f.chunk, "bucket": f.bucket}, 0, data_change=True, stats=json.dumps(f.stats)) for f in files
    ]
    table.create().create_write_transaction(
        adds,
        "append",
        table.schema,
        ["chunk", "bucket"],
        commit_properties=CommitProperties(custom_metadata={"landings": json.dumps(told)}),
    )


def landing(table: Table, day: date) -> Landing:
    """The record of a session that is there."""
    key = table.key_of(table.feeds[0], day)
    told: dict[str, Any] = {"etag": key, "sha256": key, "size": 1, "rows_in": 1, "rows": 1, "quarantined": 0, "version": 1}
    at = datetime(2026, 11, 6, 12).astimezone().isoformat()
    return Landing(key=key, table=table.name, session=day, source="folder", reasons={}, files=(), library="benchmark", landed_at=at, **told)


def bars(bench: Workbench) -> Iterator[Question]:
    """Old queries of bars, as their document has them."""
    # What is asked of DuckDB's own cursor may make functions: a bench trusts them less from then on.
    con, other = duckdb.connect(), opened(bench.lake.root)
    whole = bench.sql(f"SELECT {COLUMNS} FROM market_data.ohlcv WHERE symbol = '{TICKER}'")
    counted = bench.sql(f"SELECT count(*) FROM stock_minute WHERE ticker = '{TICKER}'")
    assert whole is not None
    assert counted is not None
    rows = whole.to_arrow_table()
    [(minutes,)] = counted.fetchall()
    con.register("rows", rows)
    con.execute("CREATE SCHEMA market_data; CREATE TABLE market_data.ohlcv AS SELECT * FROM rows ORDER BY symbol, timestamp")
    day = data.quarter_days(data.SHORT)[0]
    asked = {
        f"latest price of a symbol, {len(rows):,} bars ({minutes:,} minutes of five years)": (
            f"SELECT * FROM market_data.ohlcv WHERE symbol = '{TICKER}' ORDER BY timestamp DESC LIMIT 1",
            "≤ 20 ms",
        ),
        "same, of stock_minute": (
            f"SELECT * FROM stock_minute WHERE ticker = '{TICKER}' ORDER BY timestamp DESC LIMIT 1",
            "≤ 20 ms",
        ),
        "latest 500 bars": (f"SELECT * FROM market_data.ohlcv WHERE symbol = '{TICKER}' ORDER BY timestamp DESC LIMIT 500", ""),
        "a day's range of a symbol": (
            f"SELECT * FROM market_data.ohlcv WHERE symbol = '{TICKER}' AND timestamp >= '{day}' AND timestamp < '{day + timedelta(days=1)}'",
            "≤ 30 ms",
        ),
        "same by `timestamp::date`": (
            f"SELECT * FROM market_data.ohlcv WHERE symbol = '{TICKER}' AND timestamp::date = '{day}'",
            "≤ 30 ms",
        ),
        "a month of `ohlcv_daily`": (
            f"SELECT * FROM market_data.ohlcv_daily WHERE symbol = '{TICKER}' AND day BETWEEN '{day}' AND '{day + timedelta(days=30)}' ORDER BY day",
            "",
        ),
        "sum of volume, all bars of a symbol": (f"SELECT sum(volume) AS v FROM market_data.ohlcv WHERE symbol = '{TICKER}'", ""),
    }
    for name, (query, target) in asked.items():
        fair = query.replace("SELECT *", f"SELECT {COLUMNS}") if "ohlcv " in query else query
        peers: dict[str, Ask] = {OVER: partial(unnarrowed, other, fair)}
        if "ohlcv " in query:
            peers[NATIVE] = plain(fair, con)
        yield Question(name, target, {"workbench": sql(bench, fair), **peers}, slow=frozenset({OVER}))
    yield Question("same latest price, `SELECT *`", "≤ 20 ms", {"workbench": sql(bench, next(iter(asked.values()))[0])})


def unnarrowed(bench: Workbench, query: str) -> Any:
    """DuckDB's answer over the views that any DuckDB has."""
    return bench.con.sql(query).to_arrow_table()


def used(bench: Workbench) -> list[str]:
    """What `use` adds to a query, as a line of the table."""
    query = f"SELECT close FROM market_data.ohlcv WHERE symbol = '{TICKER}' ORDER BY timestamp DESC LIMIT 1"
    taken: dict[str, list[float]] = {"plain": [], "use": []}
    for _ in range(15):
        for name, platform in (("plain", None), ("use", "tetra")):
            bench.use(platform)
            began = perf_counter()
            found = bench.sql(query)
            assert found is not None
            found.fetchall()
            taken[name].append((perf_counter() - began) * 1000)
    bench.use(None)
    over = statistics.median(b - a for a, b in zip(*taken.values(), strict=True))
    ours = statistics.median(taken["use"])
    return [
        "the same after `use`, over plain SQL",
        f"{over:.3g} ms more",
        f"{min(taken['use']):.3g} ms",
        f"{ours:.3g} ms in all",
        "≤ 5 ms more",
    ]


def whole(root: Path, rounds: int) -> list[list[str]]:
    """How long a bench takes to open, in which every view is declared when it is named, and with all declared at once, as lines of the table."""
    taken: dict[str, list[float]] = {"open": [], "all": []}
    views = sum(view.kind == "view" for view in every().values())
    for _ in range(max(rounds, 5)):
        began = perf_counter()
        with opened(root) as bench:
            assert bench.sql("SELECT 1").fetchall() == [(1,)]
            taken["open"].append((perf_counter() - began) * 1000)
            [(there,)] = bench.con.sql("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchall()
            taken["all"].append((perf_counter() - began) * 1000)
        assert there >= views, f"{there} of {views} views are declared"
    names = {
        "open": f"a bench of which all {views} views can be named, opened and asked",
        "all": "same, and all of them declared at once (`bench.con`)",
    }
    return [[names[what], f"{statistics.median(each):.3g} ms", f"{min(each):.3g} ms", "", "≤ 150 ms"] for what, each in taken.items()]


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Ask all; gives a table in Markdown."""
    home.mkdir(parents=True, exist_ok=True)
    bench = PlatformLakes(size, flat, home).five
    lines = [["platforms", *HEAD[1:]], ["---"] * len(HEAD)]
    for question in bars(bench):
        question.ask(4 * size.rounds - 1)
        lines.append(question.cells())
    more = [used(bench), *whole(bench.lake.root, size.rounds)]
    lines += more
    for line in more:
        print(" | ".join(line), flush=True)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
