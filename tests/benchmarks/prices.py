"""What right prices cost over raw ones: adjusted and resampled bars, trades with quotes, bars of trades, and the quality of a month.

A lake of its own links the minutes and days of `benchmarks.lakes`; splits and dividends of the asked ticker are made up and landed as any
other. Each answer is compared: adjusted bars with raw ones multiplied here, resampled ones with DuckDB's own buckets, quotes with what Polars picks,
and findings with the faults that were put in.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl

from benchmarks import data
from benchmarks.lakes import ASKED, DAY, MINUTE, TRADES, Lakes, commit, compact, kept, listed, refresh
from benchmarks.queries import HEAD, LIST, Ask, Question, plain, sql
from workbench.bench import Workbench
from workbench.lake import reference
from workbench.query import asof
from workbench.sources.reference import Gathered, Row
from workbench.tables import Table, find
from workbench.tables.spec import NEW_YORK, midnight_ns

QUOTES = find("stock_quotes")
TICKER, TICK_TICKER = ASKED[0], "IBM"
PRICES = ["open", "high", "low", "close"]
RAW, POLARS, DUCKDB = "raw", "Polars join_asof", "DuckDB ASOF JOIN"
# A split every year and a half and a dividend every quarter, in sessions; small sizes have fewer sessions.
SPLIT_EVERY, PAID_EVERY, PAID = 378, 63, 0.2
# Of the sessions of tickers that trade much, the day's bars of every so many say half the volume of the minutes.
EVERY, MUCH = 11, 200_000
TRADE_COLUMNS = ["ticker", "date", "sip_timestamp", "sequence_number", "price", "size"]
QUOTE_COLUMNS = ["ticker", "date", "sip_timestamp", "sequence_number", "bid_price", "ask_price", "bid_size", "ask_size"]


class PricesLakes(Lakes):
    """The lakes of the other benchmarks, and three more that are made of them."""

    @cached_property
    def adjusted(self) -> Workbench:
        """Five years of minutes and of day bars, with splits and dividends of a ticker."""
        bench = kept(self.place("prices"), self._link_bars)
        for one in actions(bench):
            reference.update(bench.lake, one, "polygon_api")
        return bench

    def _link_bars(self, bench: Workbench) -> None:
        link(self.history, bench, MINUTE)
        link(self.main, bench, DAY)

    @cached_property
    def ticks(self) -> Workbench:
        """A session of trades, and its quotes."""
        return kept(self.place("quotes"), self._land_ticks)

    def _land_ticks(self, bench: Workbench) -> None:
        data.files(self.flat, QUOTES, [data.TRADE_DAY], self.size.tickers, self.size.quotes)
        for table in (TRADES, QUOTES):
            refresh(bench, self.flat, table, [data.TRADE_DAY])

    @cached_property
    def month(self) -> Workbench:
        """A month of minutes, and day bars made of them, of which some are wrong."""
        return kept(self.place("quality"), self._make_month)

    def _make_month(self, bench: Workbench) -> None:
        days = data.month_days(self.size)
        # Landed, not linked: which sessions are held is told by the records of landings.
        refresh(bench, self.flat, MINUTE, days)
        compact(bench)
        folder = self.home / f"days-of-minutes-{self.size.tickers}"
        for day in days:
            day_file(bench, day, folder / DAY.key_of(DAY.feeds[0], day))
        refresh(bench, folder, DAY, days)


def link(source: Workbench, target: Workbench, table: Table) -> None:
    """Have one lake list the files of another's table, as hard links."""
    here, there = source.lake[table.name], target.lake[table.name]
    made = []
    for file in here.snapshot().files:
        path = there.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(here.folder / file.path, path)
        made.append(listed(there, path, file, file.chunk, timedelta(0)))
    commit(there, made, here.snapshot().bounds or ())


def sessions_of(bench: Workbench, table: Table) -> list[date]:
    """The sessions on which the asked ticker has bars."""
    found = bench.sql(f"SELECT DISTINCT date FROM {table.name} WHERE ticker = '{TICKER}' ORDER BY date")
    assert found is not None
    return [day for (day,) in found.fetchall()]


def actions(bench: Workbench) -> Iterator[Gathered]:
    """Splits and dividends of the asked ticker, on sessions of its day bars and of its minutes."""
    split, paid = list[Row](), list[Row]()
    for days in (sessions_of(bench, DAY), sessions_of(bench, MINUTE)):
        step = min(SPLIT_EVERY, len(days) // 2)
        split += [
            {"ticker": TICKER, "execution_date": day, "split_from": 1 + n % 2, "split_to": 2 - n % 2 + 2 * (n % 2 == 0)}
            for n, day in enumerate(days[step::step])
        ]
        paid += [
            {"ticker": TICKER, "ex_dividend_date": day, "cash_amount": PAID, "currency": "USD"} for day in days[5 :: min(PAID_EVERY, step)]
        ]
    yield Gathered("splits", "benchmark:splits", list({row["execution_date"]: row for row in split}.values()))
    yield Gathered("dividends", "benchmark:dividends", list({row["ex_dividend_date"]: row for row in paid}.values()))


def day_file(bench: Workbench, day: date, path: Path) -> None:
    """A flat file of day bars that say what the minutes say, but for the volume of some."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    start, end = (int(datetime.combine(day, clock, ZoneInfo(NEW_YORK)).timestamp()) * 10**9 for clock in (time(9, 30), time(16)))
    found = bench.sql(f"""
        WITH minutes AS (SELECT *, window_start >= {start} AND window_start < {end} AS regular FROM stock_minute WHERE date = '{day}')
        SELECT
            ticker,
            sum(volume) * CASE WHEN {faulty("ticker", "sum(volume)")} THEN 0.5 ELSE 1 END AS volume,
            arg_min(open, window_start) FILTER (regular) AS open,
            arg_max(close, window_start) FILTER (regular) AS close,
            max(high) FILTER (regular) AS high,
            min(low) FILTER (regular) AS low,
            {midnight_ns(day, DAY.zone)} AS window_start,
            sum(transactions)::BIGINT AS transactions
        FROM minutes
        GROUP BY ticker
        HAVING bool_or(regular)
        ORDER BY ticker
    """)
    assert found is not None
    rows = found.pl().with_columns(pl.col("volume").round(6))
    draft = path.with_suffix(".new.gz")
    rows.select(DAY.headers[0]).write_csv(draft, compression="gzip")
    draft.rename(path)


def faulty(ticker: str, volume: str) -> str:
    """Which sessions of tickers have a wrong day bar, in SQL."""
    return f"({volume} > {MUCH} AND ascii({ticker}) % {EVERY} = 0)"


# ---------------------------------------------------------------------- bars


def by_hand(raw: pl.DataFrame, splits: Sequence[tuple[date, float]]) -> pl.DataFrame:
    """Raw bars, multiplied by the splits after them."""
    factor = pl.lit(1.0)
    for day, ratio in splits:
        factor = factor * pl.when(pl.col("date") < day).then(ratio).otherwise(1.0)
    return raw.with_columns(*(pl.col(name) * factor for name in PRICES), volume=pl.col("volume") / factor)


def near(one: pl.DataFrame, other: pl.DataFrame, what: str) -> None:
    """Fail unless two frames hold the same bars, but for the last bits."""
    assert len(one) == len(other) > 0, f"{what}: {len(one):,} rows and {len(other):,}"
    for name in (*PRICES, "volume"):
        apart = ((one[name] - other[name]).abs() / other[name].abs().clip(1e-9)).max()
        assert isinstance(apart, float), f"{what}: {name} has no numbers"
        assert apart < 1e-9, f"{what}: {name} differs by up to {apart:.3g}"


def frame(ask: Ask) -> pl.DataFrame:
    """An answer in SQL as a frame, by time."""
    rows = pl.from_arrow(ask())
    assert isinstance(rows, pl.DataFrame)
    return rows.sort("timestamp")


def adjusted_bars(lakes: PricesLakes) -> Iterator[Question]:
    """Adjusted against raw bars, of minutes and of days, by `bars` and in SQL."""
    bench = lakes.adjusted
    found = bench.sql(
        f"SELECT execution_date, split_from / split_to FROM splits WHERE ticker = '{TICKER}' AND duplicate_of IS NULL ORDER BY 1"
    )
    assert found is not None
    splits = found.fetchall()
    for table, freq in ((MINUTE, "1m"), (DAY, "1d")):
        raw = bench.bars(TICKER, freq=freq)
        hand = by_hand(raw, splits)
        assert (hand["close"] != raw["close"]).any(), f"no split is inside the {freq} bars"
        plainly = sql(bench, f"SELECT {LIST} FROM {table.name} WHERE ticker = '{TICKER}'")
        name = f"{len(raw):,} {'minutes' if freq == '1m' else 'day bars'} of one ticker"
        for adjust, told in (("splits", "splits"), ("all", "splits and dividends")):
            ours = sql(bench, f"SELECT {LIST} FROM adjusted_bars('{TICKER}', bar_size := '{freq}', adjust := '{adjust}')")
            got = bench.bars(TICKER, freq=freq, adjusted=adjust)
            near(frame(ours), got, f"{name}, {told}, SQL against `bars`")
            if adjust == "splits":
                near(got, hand, f"{name}, {told}, against raw bars multiplied by hand")
            elif freq == "1d":
                assert (got["close"] < hand["close"]).any(), f"{name}: no dividend counts"
            yield Question(
                f"{name} adjusted for {told}, `bars`",
                "≤ 1.3 × raw",
                {
                    "workbench": lambda freq=freq, adjust=adjust: bench.bars(TICKER, freq=freq, adjusted=adjust),  # type: ignore[misc]
                    RAW: lambda freq=freq: bench.bars(TICKER, freq=freq),  # type: ignore[misc]
                },
                same=False,
            )
            yield Question("same in SQL", "≤ 1.3 × raw", {"workbench": ours, RAW: plainly}, same=False)


def resampled_bars(lakes: PricesLakes) -> Iterator[Question]:
    """Five minutes of a ticker's minutes against reading them."""
    bench = lakes.adjusted
    minutes = bench.bars(TICKER, freq="1m")
    bucketed = """
        SELECT ticker, date, time_bucket(INTERVAL 5 MINUTE, timestamp) AS start, arg_min(open, timestamp) AS open, max(high) AS high, min(low) AS low,
            arg_max(close, timestamp) AS close, sum(volume) AS volume, sum(transactions)::BIGINT AS transactions
        FROM minutes GROUP BY ALL"""
    con = duckdb.connect()
    con.register("minutes", minutes.to_arrow())
    hand = con.sql(f"SELECT * RENAME (start AS timestamp) FROM ({bucketed})").pl().sort("timestamp")
    five = bench.bars(TICKER, freq="5m")
    near(five, hand, "5 minutes against DuckDB's buckets")
    ours = sql(bench, f"SELECT {LIST} FROM resampled_bars('{TICKER}', '5m', adjust := 'none')")
    near(frame(ours), five, "5 minutes, SQL against `bars`")
    raw = sql(bench, f"SELECT {LIST} FROM stock_minute WHERE ticker = '{TICKER}'")
    name = f"{len(minutes):,} minutes to {len(five):,} bars of 5 minutes"
    yield Question(
        f"{name}, `bars`",
        "≤ 1.3 × raw",
        {"workbench": lambda: bench.bars(TICKER, freq="5m"), RAW: lambda: bench.bars(TICKER, freq="1m")},
        same=False,
    )
    yield Question("same in SQL", "≤ 1.3 × raw", {"workbench": ours, RAW: raw}, same=False)


# ---------------------------------------------------------------------- ticks


def session(bench: Workbench, table: Table, columns: Sequence[str]) -> pl.DataFrame:
    """All ticks of a lake's only session, by ticker and time."""
    paths = [bench.lake[table.name].folder / file.path for file in bench.lake[table.name].snapshot().files]
    rows = pl.scan_parquet(paths, glob=False, hive_partitioning=False).select(columns).collect()
    return rows.sort("ticker", "date", "sip_timestamp", "sequence_number").rechunk()


def with_quotes(lakes: PricesLakes) -> Iterator[Question]:
    """The quote in force at each trade: of a whole session, and of one ticker."""
    bench = lakes.ticks
    trades, quotes = session(bench, TRADES, TRADE_COLUMNS), session(bench, QUOTES, QUOTE_COLUMNS)
    bare = quotes.select("ticker", "sip_timestamp", "bid_price", "ask_price")

    def polars() -> pl.DataFrame:
        return trades.join_asof(bare, on="sip_timestamp", by="ticker", check_sortedness=False)

    con = duckdb.connect()
    con.register("t", trades.to_arrow())
    con.register("q", bare.to_arrow())
    query = "SELECT t.*, bid_price, ask_price FROM t ASOF LEFT JOIN q ON t.ticker = q.ticker AND t.sip_timestamp >= q.sip_timestamp"
    ours, theirs = asof.joined(trades, quotes), polars()
    for side in ("bid", "ask"):
        picked = theirs[f"{side}_price"]
        assert ours[side].fill_null(0).equals(picked.fill_null(0), check_names=False), f"{side}: not the quotes that Polars picks"
    had = con.sql(f"SELECT count(bid_price) FROM ({query})").fetchall()[0][0]
    assert had == theirs["bid_price"].count() == ours["quote_sip_timestamp"].count(), "DuckDB finds quotes for other trades"
    del ours, theirs
    yield Question(
        f"{len(trades):,} trades with the quote in force of {len(quotes):,}, `asof.joined`",
        "≤ 1.1 × Polars",
        {"workbench": lambda: asof.joined(trades, quotes), POLARS: polars, DUCKDB: lambda: con.sql(query).to_arrow_table()},
        slow=frozenset({DUCKDB}),
        same=False,
    )
    one, day = TICK_TICKER, data.TRADE_DAY
    found = bench.trades_with_quotes(one, day)
    assert len(found) == len(trades.filter(pl.col("ticker") == one)) > 0
    columns = "price, size, bid, ask, quote_sip_timestamp, quote_age_ns"
    in_sql = sql(bench, f"SELECT {columns} FROM trades_with_quotes('{one}', '{day}')")
    alike(pl.DataFrame(pl.from_arrow(in_sql())), found, columns)
    yield Question(
        f"one ticker-day of {len(found):,} trades, `trades_with_quotes`",
        "≤ 100 ms",
        {"workbench": lambda: bench.trades_with_quotes(one, day)},
    )
    yield Question("same in SQL", "≤ 100 ms", {"workbench": in_sql})


def alike(one: pl.DataFrame, other: pl.DataFrame, columns: str) -> None:
    """Fail unless the columns of two answers sum up to the same."""
    assert len(one) == len(other), f"{len(one):,} rows and {len(other):,}"
    for name in columns.split(", "):
        sums = [float(rows[name].cast(pl.Float64).sum()) for rows in (one, other)]
        assert abs(sums[0] - sums[1]) <= 1e-9 * max(1, abs(sums[0])), f"{name}: {sums}"


def of_trades(lakes: PricesLakes) -> Iterator[Question]:
    """Minute bars of all trades of a session."""
    bench, day = lakes.ticks, data.TRADE_DAY
    found = bench.sql("SELECT ticker, count(*) FROM stock_trades GROUP BY ticker ORDER BY ticker")
    assert found is not None
    counts = dict(found.fetchall())
    tickers = list(counts)
    made = bench.bars_from_trades(tickers, day)
    columns = "open, high, low, close, volume, transactions, vwap"
    in_sql = sql(bench, f"SELECT {columns} FROM bars_from_trades('{TICK_TICKER}', '{day}')")
    own = made.filter(pl.col("ticker") == TICK_TICKER)
    alike(pl.DataFrame(pl.from_arrow(in_sql())), own, columns)
    paths = [f"{bench.lake['stock_trades'].folder}/{file.path}" for file in bench.lake["stock_trades"].snapshot().files]
    grouped = f"""
        SELECT ticker, time_bucket(INTERVAL 1 MINUTE, timestamp) AS start, arg_min(price, sip_timestamp) AS open, max(price) AS high, min(price) AS low,
            arg_max(price, sip_timestamp) AS close, sum(size) AS volume, count(*) AS transactions
        FROM read_parquet({paths}, hive_partitioning = false) WHERE price > 0 AND size > 0 GROUP BY ALL"""
    without = "DuckDB, no conditions"
    yield Question(
        f"{len(made):,} minute bars of {sum(counts.values()):,} trades, `bars_from_trades`",
        "",
        {"workbench": lambda: bench.bars_from_trades(tickers, day), without: plain(grouped)},
        slow=frozenset({"workbench", without}),
        same=False,
    )
    yield Question(
        f"of one ticker's {counts[TICK_TICKER]:,} trades, `bars_from_trades`",
        "",
        {"workbench": lambda: bench.bars_from_trades(TICK_TICKER, day)},
    )
    yield Question("same in SQL", "", {"workbench": in_sql})


# ---------------------------------------------------------------------- quality


def looked(root: str) -> dict[str, Any]:
    """The quality of a month of minutes, in this process: seconds, peak memory, and what was found."""
    import workbench

    bench = workbench.open(root)
    seconds = []
    for _ in range(2):
        began = perf_counter()
        found = bench.quality(MINUTE.name)
        seconds.append(perf_counter() - began)
    # Not ru_maxrss, which a process inherits from the one that started it.
    [peak] = [int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    counts = {one["check"]: one["findings"] for one in found.facts["counts"]}
    return {"seconds": seconds, "peak_mb": peak / 1000, "rows": sum(row["rows"] for row in found), "counts": counts, "sessions": len(found)}


def quality(lakes: PricesLakes) -> str:
    """Quality over a month of minutes, in a process of its own; gives a table in Markdown."""
    bench = lakes.month
    faults = f"SELECT count(*) FROM (SELECT ticker, date FROM stock_minute GROUP BY ALL HAVING {faulty('ticker', 'sum(volume)')})"
    counted = bench.sql(f"SELECT (SELECT count(*) FROM stock_minute), ({faults})")
    assert counted is not None
    [(rows, planted)] = counted.fetchall()
    code = f"import json; from benchmarks import prices; print(json.dumps(prices.looked({str(bench.lake.root)!r})))"
    done = json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    assert done["rows"] == rows, f"{done['rows']:,} of {rows:,} rows were looked at"
    assert done["counts"].get("sum") == planted > 0, f"{planted:,} day bars were made wrong; found were {done['counts']}"
    first, again = done["seconds"]
    lines = [
        ["quality", "first", "again", "our peak memory", "target"],
        ["---"] * 5,
        [
            f"{rows:,} minutes of {done['sessions']} sessions and their day bars: all {planted:,} wrong volumes found",
            f"{first:.2f} s",
            f"{again:.2f} s",
            f"{done['peak_mb']:,.0f} MB",
            "≤ 15 s and ≤ 2 GB",
        ],
    ]
    found = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    print(found, flush=True)
    return found


# ---------------------------------------------------------------------- all


PARTS: tuple[Callable[[PricesLakes], Iterator[Question]], ...] = (adjusted_bars, resampled_bars, with_quotes, of_trades)


def run(size: data.Size, flat: Path, home: Path) -> str:
    """Ask all; gives tables in Markdown."""
    home.mkdir(parents=True, exist_ok=True)
    lakes = PricesLakes(size, flat, home)
    asked = []
    for part in PARTS:
        for question in part(lakes):
            question.ask(4 * size.rounds - 1)
            asked.append(question)
    head = ["prices", *HEAD[1:]]
    lines = [head, ["---"] * len(head), *(question.cells() for question in asked)]
    return "\n\n".join(["\n".join(f"| {' | '.join(cells)} |" for cells in lines), quality(lakes)])
