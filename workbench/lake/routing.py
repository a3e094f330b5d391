"""Ticker ranges: which rows of ticks go to which file. The bounds are the same for all chunks of a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.lake.checks import broken_gzip, read_header
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

RANGES = 16


def bucket_of(bounds: Sequence[str]) -> "pl.Expr":
    """The ticker range of a row: how many bounds are at or below its ticker, in byte order."""
    import polars as pl

    edges = pl.Series(bounds, dtype=pl.String)

    def count(tickers: "pl.Series") -> "pl.Series":
        return edges.search_sorted(tickers, side="right").cast(pl.UInt8)

    return pl.col("ticker").map_batches(count, return_dtype=pl.UInt8, is_elementwise=True).alias("bucket")


def ranges(path: Path, table: Table, key: str) -> tuple[str, ...]:
    """Ticker bounds that cut a file into ranges of about equal rows: at most `RANGES` of them, in byte order.

    Raises a `LandingError` if the file cannot be read.
    """
    import polars as pl

    header = read_header(path, table, key)
    schema = dict.fromkeys(header, pl.String())
    rows = pl.scan_csv(path, schema=schema, glob=False, truncate_ragged_lines=True).select("ticker")
    try:
        counts = rows.drop_nulls().group_by("ticker").len().sort("ticker").collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise broken_gzip(key, fault) from fault
    before = counts["len"].cum_sum() - counts["len"]
    share = (before * RANGES // max(counts["len"].sum(), 1)).to_list()
    tickers: list[str] = counts["ticker"].to_list()
    return tuple(t for i, t in enumerate(tickers) if i and share[i] != share[i - 1])
