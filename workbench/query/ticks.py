"""Trades and quotes of a few tickers as a Polars frame: `Workbench.trades` and `Workbench.quotes`."""

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from workbench.errors import UsageError
from workbench.query.rows import Rows, asset_of, of_kind
from workbench.tables import TABLES, Table
from workbench.tables.spec import IS_TEST, SOURCE

if TYPE_CHECKING:
    import polars as pl


def ticks(
    source: Rows, what: str, tickers: str | Iterable[str], first: date | None, last: date | None, table: str | None
) -> "pl.DataFrame":
    """Trades or quotes of some tickers between two sessions, both included; None is open.

    Raises `UsageError`, `BadRange` or `UnknownName`.
    """
    declared = table and of_kind(table, "ticks")
    return ordered(source.read(tickers, lambda ticker: declared or table_of(ticker, what), first, last, columns))


def table_of(ticker: str, what: str) -> Table:
    """The table of a ticker's trades or quotes, by its prefix. Raises `UsageError` where there is none."""
    name = f"{asset_of(ticker)}_{what}"
    if name not in TABLES:
        there = ", ".join(t for t in TABLES if t.endswith(f"_{what}"))
        raise UsageError(
            f"there are no {what} of {ticker}: no table {name} is declared; nothing was read. {what.capitalize()} are in {there}."
        )
    return TABLES[name]


def ordered(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Ticks in order of ticker and time with those of one instant in order of sequence_number, which a source's file need not have them in."""
    if "sequence_number" not in rows.columns or "sip_timestamp" not in rows.columns:
        return rows
    names = ("sip_timestamp", "sequence_number")
    if rows.select(names).null_count().sum_horizontal().item():
        # Rows of several asset classes, of which some have neither.
        return rows.sort("ticker", "timestamp", *names, maintain_order=True)
    time, number = (rows[name].to_numpy() for name in names)
    # Where one ticker's rows end and another's begin, a needless sort is all that can come of it.
    if not ((time[1:] == time[:-1]) & (number[1:] < number[:-1])).any():
        return rows
    return rows.sort("ticker", "date", *names, maintain_order=True)


def columns(table: Table) -> tuple[str, ...]:
    """What is shown of a table of ticks: what the vendor gives and what follows from it."""
    return tuple(c.name for c in table.columns if c not in (SOURCE, IS_TEST))
