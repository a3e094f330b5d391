"""Bars that retention took out of their own tables: one table for all of them, with every column that any of them has.

A row keeps the columns that it had, so nothing is lost; `base_table` says where it stood.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from workbench.tables.spec import VENUE, Column, Table

BASE_TABLE = Column("base_table", "VARCHAR", "The table that the bar stood in: stock_minute, stock_day and so on.")
TIMEFRAME = Column("timeframe", "VARCHAR", "The bar's window: 1m or 1d.")


def timeframe(table: Table) -> str:
    """The window of a table's bars."""
    return "1m" if table.name.endswith("_minute") else "1d"


def archive(tables: Iterable[Table]) -> Table:
    """The declaration of the archive of some tables' bars."""
    bars = [table for table in tables if table.kind == "bars"]
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(column.name for table in bars for column in table.vendor):
        some = [column for table in bars for column in table.vendor if column.name == name]
        required = len(some) == len(bars) and all(column.required for column in some)
        unit = some[0].unit if len({column.unit for column in some}) == 1 else "as in base_table"
        low = some[0].low if all(column.low == some[0].low for column in some) else None
        columns[name] = replace(some[0], required=required, unit=unit, low=low)
    columns["ticker"] = replace(columns["ticker"], doc="Symbol of that day, as in the base table.")
    for name in ("open", "high", "low", "close", "volume"):
        columns[name] = replace(columns[name], doc=f"The bar's {name}, as in the base table.", eras=())
    return Table(
        name="ohlcv_archive",
        doc="Bars older than [retention] keeps them in their own tables, all of those that are archived and not dropped.",
        asset="archive",
        kind="bars",
        feeds=(),
        vendor=(BASE_TABLE, TIMEFRAME, *columns.values(), replace(VENUE, required=False)),
        key=("base_table", "ticker", "window_start"),
        time="window_start",
        chunks=("month", "quarter", "year"),
        ranges=1,
        calendar="24/7",
        starts=min((table.starts for table in bars), default=date.max),
        source="rows that landed from flat files",
    )
