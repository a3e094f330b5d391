"""Bars of a few tickers as a Polars frame, as they are on disk: `Workbench.bars`."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING

from workbench.errors import UsageError
from workbench.query.rows import Rows, asset_of, of_kind
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("ticker", "date", "timestamp", "open", "high", "low", "close", "volume", "transactions")
ON_DISK = {"1d": "day", "1m": "minute"}
AS_STORED: Mapping[str, str | None] = {"adjusted": "none", "session": "all", "fill": None}


def bars(
    source: Rows,
    tickers: str | Iterable[str],
    first: date | None,
    last: date | None,
    freq: str,
    table: str | None,
    shown: Mapping[str, str | None],
) -> "pl.DataFrame":
    """Bars of some tickers between two sessions, both included; None is open.

    `shown` is how they are to be shown; there is only what is stored. Raises `UsageError`, `BadRange` or `UnknownName`.
    """
    for name, stored in AS_STORED.items():
        if shown[name] != stored:
            raise UsageError(
                f"bars are not to be had with {name}={shown[name]!r}; nothing was read. There is {name}={stored!r}: as stored."
            )
    if freq not in ON_DISK:
        raise UsageError(f"there are no bars of {freq!r} on disk; nothing was read. There are {' and '.join(map(repr, ON_DISK))}.")
    declared = table and of_kind(table, "bars")
    return source.read(tickers, lambda ticker: declared or table_of(ticker, freq), first, last, lambda _: COLUMNS)


def table_of(ticker: str, freq: str) -> Table:
    """The table of a ticker's bars, by its prefix."""
    return of_kind(f"{asset_of(ticker)}_{ON_DISK[freq]}", "bars")
