"""What a data file really holds, read piece by piece: rows, order, keys, least and greatest values, sessions, and whether its pages can be read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import LakeError
from workbench.lake import cold
from workbench.lake.footers import plain
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

# Rows in memory at a time.
PIECE = 1 << 20
# Rows with one ticker and one time, at most: where a piece ends among them, they are looked at with the next.
TIED = 10_000


@dataclass
class Contents:
    """What was found in a file. `content` is the hash that `cold.content` gives of all its rows; 0 if it was not asked for.

    `disordered` counts rows that are earlier than the row before them, or come before it by ticker; `scattered` tickers that stand in
    several places; `repeated` rows with the key of another; `misdated` rows of which `timestamp` is not that of their time column.
    """

    rows: int = 0
    lows: dict[str, Any] = field(default_factory=dict)
    highs: dict[str, Any] = field(default_factory=dict)
    nulls: Counter[str] = field(default_factory=Counter)
    sessions: Counter[cold.Part] = field(default_factory=Counter)
    content: int = 0
    disordered: int = 0
    scattered: int = 0
    repeated: int = 0
    misdated: int = 0

    @property
    def stats(self) -> dict[str, Any]:
        """Statistics as the log keeps them."""
        lows, highs = ({name: plain(value) for name, value in some.items()} for some in (self.lows, self.highs))
        return {"numRecords": self.rows, "minValues": lows, "maxValues": highs, "nullCount": dict(self.nulls)}


def examine(path: Path, table: Table, *, sorted_tickers: bool, hashed: bool = False) -> Contents:
    """Read a whole file. `sorted_tickers` is what cold files promise: in order of ticker and time; others hold each ticker in one place.

    Raises `LakeError` if its pages cannot be read.
    """
    import polars as pl

    names = list(dict.fromkeys(("ticker", "date", "timestamp", table.time)))
    found = Contents()
    starts: list[pl.Series] = []
    tail: pl.DataFrame | None = None
    for piece in pieces(path):
        if tail is None and not len(piece):
            break
        found.rows += len(piece)
        take_values(found, piece, table, names)
        if hashed:
            found.content = (found.content + cold.content(piece)) % 2**64
        tail = take_order(found, piece, tail, table, starts, sorted_tickers=sorted_tickers)
    if starts:
        found.scattered = sum(map(len, starts)) - pl.concat(starts).n_unique()
    if table.key and (found.disordered or found.scattered):
        # Equal keys are neighbours only where rows are in order.
        keys = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(table.key).collect(engine="streaming")
        found.repeated = len(keys) - keys.unique().height
    return found


def pieces(path: Path) -> "Iterator[pl.DataFrame]":
    """A file's rows, so many at a time. Raises `LakeError` if they cannot be read."""
    import polars as pl

    rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    at = 0
    while True:
        try:
            piece = rows.slice(at, PIECE).collect(engine="streaming")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as fault:
            raise LakeError(
                f"{path} cannot be read from row {at:,} on: {str(fault).splitlines()[0] if str(fault) else 'its pages are damaged'}"
            ) from fault
        yield piece
        at += len(piece)
        if len(piece) < PIECE:
            return


def take_values(found: Contents, piece: "pl.DataFrame", table: Table, names: list[str]) -> None:
    """Widen what was found by a piece's values."""
    import polars as pl

    wrong = pl.col(table.time) // 1000 != pl.col("timestamp").dt.epoch("us")
    lows, highs, nulls = (
        piece.select(some).row(0, named=True)
        for some in (pl.col(names).min(), pl.col(names).max(), [*(pl.col(name).null_count() for name in names), wrong.sum().alias("wrong")])
    )
    found.misdated += nulls.pop("wrong")
    found.nulls.update(nulls)
    for name in names:
        if lows[name] is not None:
            found.lows[name] = min(found.lows.get(name, lows[name]), lows[name])
            found.highs[name] = max(found.highs.get(name, highs[name]), highs[name])
    parts = ["date", *(["venue"] if any(feed.venue for feed in table.feeds) else [])]
    for day, *rest in piece.group_by(parts).len().iter_rows():
        found.sessions[day, rest[0] if len(rest) > 1 else None] += rest[-1]


def take_order(
    found: Contents, piece: "pl.DataFrame", tail: "pl.DataFrame | None", table: Table, starts: "list[pl.Series]", *, sorted_tickers: bool
) -> "pl.DataFrame":
    """Compare a piece's rows with the rows before them; gives the rows that the next piece's first ones must be compared with."""
    import polars as pl

    columns = list(dict.fromkeys(("ticker", table.time, *table.key)))
    rows = piece.select(columns)
    rows = rows if tail is None else pl.concat([tail, rows])
    before = 0 if tail is None else len(tail)
    ticker, stamp = pl.col("ticker"), pl.col(table.time)
    same = ticker == ticker.shift(1)
    wrong = (same & (stamp < stamp.shift(1))).fill_null(value=False)
    if sorted_tickers:
        wrong = wrong | (ticker < ticker.shift(1)).fill_null(value=False)
    tied = (same & (stamp == stamp.shift(1))).fill_null(value=False)
    counts = rows.select(wrong=wrong.slice(before).sum(), ties=tied.sum()).row(0)
    found.disordered += counts[0]
    begins = (~same).fill_null(value=tail is None)
    starts.append(rows.select(ticker.filter(begins)).to_series().rechunk())
    if table.key and counts[1]:
        several = rows.filter(tied | tied.shift(-1, fill_value=False)).select(table.key)
        found.repeated += len(several) - several.n_unique() - (0 if tail is None else len(tail) - tail.select(table.key).n_unique())
    last = rows.tail(TIED)
    return last.filter((ticker == last["ticker"][-1]) & (stamp == last[table.time][-1])) if len(last) else rows


def shared_keys(one: Path, other: Path, table: Table, days: list[date]) -> int:
    """How many rows of a file have the key of a row of another, in some sessions."""
    import polars as pl

    first, second = (
        pl.scan_parquet(path, glob=False, hive_partitioning=False).filter(pl.col("date").is_in(days)).select(table.key)
        for path in (one, other)
    )
    return int(first.join(second, on=table.key, how="semi").select(pl.len()).collect(engine="streaming").item())
