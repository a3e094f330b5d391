"""Where sources of the same bar or tick disagree: written when rows of a better source take the place of a weaker one's."""

from dataclasses import replace
from datetime import date

from workbench.tables.common import NS
from workbench.tables.spec import DATE, TIMESTAMP, Column, Table

DISAGREEMENTS = Table(
    name="disagreements",
    doc="Numbers for which two sources of the same bar or tick gave different values; `value` is the one that was kept.",
    asset="reference",
    kind="reference",
    feeds=(),
    vendor=(
        Column("base_table", "VARCHAR", "The table that the row is of: stock_day and so on."),
        Column("ticker", "VARCHAR", "Symbol, as in the base table."),
        replace(DATE, doc="Session of the row."),
        replace(TIMESTAMP, doc="The row's time, in microseconds."),
        Column("time_ns", "BIGINT", "The base table's time column, exact.", NS),
        Column("sequence_number", "BIGINT", "Of ticks, the rest of the key; NULL for bars.", required=False),
        Column("column", "VARCHAR", "The column in which they differ."),
        Column("value", "DOUBLE", "What the source says that the table follows.", "as in the base table"),
        Column("source", "VARCHAR", "The source that the table follows."),
        Column("other_value", "DOUBLE", "What the other source says.", "as in the base table"),
        Column("other_source", "VARCHAR", "The source whose row gave way, or was not taken in."),
        Column(
            "difference",
            "DOUBLE",
            "Their distance as a share of the larger: 0.01 is one percent. Yahoo's prices are adjusted for splits.",
            "share",
        ),
        Column("found_at", "TIMESTAMPTZ", "When the two met."),
    ),
    key=(),
    time="time_ns",
    chunks=("month",),
    ranges=1,
    calendar="24/7",
    starts=date(2003, 9, 10),
    source="rows that landed from two sources",
)
