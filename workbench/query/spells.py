"""Bars of an asset under every symbol that it had: each spell's under the symbol of then."""

from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from workbench.query.rows import Rows, asset_of
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

SPELLS = """SELECT asked, ticker, first_date, last_date FROM main.spells_of($tickers, as_of_date := $as_of)"""


def read(
    source: Rows,
    sql: Callable[..., Any],
    tickers: Iterable[str],
    table_of: Callable[[str], Table],
    first: date | None,
    last: date | None,
    as_of: date,
    columns: Callable[[Table], tuple[str, ...]],
) -> "pl.DataFrame":
    """Bars up to `as_of` of the assets that have some tickers then, by ticker and time; `traded_as` is the symbol of then.

    Only stocks change their symbols. Raises as `Rows.read` does.
    """
    import polars as pl

    names = list(dict.fromkeys(tickers))
    last = min(last or as_of, as_of)
    renamed: dict[str, list[tuple[str, date, date]]] = {}
    stocks = [name for name in names if asset_of(name) == "stock"]
    for asked, *spell in sql(SPELLS, tickers=stocks, as_of=as_of).fetchall() if stocks else ():
        renamed.setdefault(asked, []).append((spell[0], spell[1], spell[2]))
    steady = [name for name in names if renamed.get(name, [(name, date.min, as_of)]) == [(name, date.min, as_of)]]
    found = [source.read(steady, table_of, first, last, columns).with_columns(traded_as="ticker")]
    for asked in sorted(set(names) - set(steady)):
        for symbol, since, until in sorted(renamed[asked], key=lambda spell: spell[1:]):
            start, end = max(first or since, since), min(last, until)
            if start <= end:
                rows = source.read([symbol], table_of, start, end, columns)
                found.append(rows.with_columns(pl.lit(asked).alias("ticker"), traded_as="ticker"))
    # A table's columns are told in its own order, and those of the first come first.
    whole = pl.concat(found, how="diagonal", rechunk=True)
    return whole.sort("ticker", "timestamp", maintain_order=True) if len(found) > 1 else whole
