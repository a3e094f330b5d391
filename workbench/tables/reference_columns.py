"""Columns that several tables of reference data share, and what makes such a table."""

from dataclasses import replace
from datetime import date

from workbench.tables.spec import Column, Table, Type

OAS = "the vendor's OpenAPI description, massive-com/client-python, .massive/rest.json"
CLIENT = "the models of the vendor's client, PyPI massive 2.9.1"

SOURCE = Column(
    "source", "VARCHAR", "Where the row came from: polygon_api, folder, yahoo, fred, or calendar for what the workbench derives."
)
SEEN_AT = Column("seen_at", "TIMESTAMPTZ", "When the lake first held the row.")
UPDATED_AT = Column("updated_at", "TIMESTAMPTZ", "When the lake first held the row as it is.")
TICKER = Column("ticker", "VARCHAR", "Symbol as the source writes it; case matters.")


def text(name: str, doc: str) -> Column:
    """A text that every row has."""
    return Column(name, "VARCHAR", doc)


def optional(name: str, doc: str, type: Type = "VARCHAR") -> Column:
    """Something that a row may lack."""
    return Column(name, type, doc, required=False)


def number(name: str, doc: str, unit: str, low: float | None = None, high: float | None = None) -> Column:
    """A number that a row may lack."""
    return Column(name, "DOUBLE", doc, unit, required=False, low=low, high=high)


def needed(column: Column) -> Column:
    """The same column, which every row has."""
    return replace(column, required=True)


def reference(name: str, doc: str, columns: tuple[Column, ...], key: tuple[str, ...], source: str) -> Table:
    """A table of reference data: no sessions, no ticker ranges, no files of a bucket behind it."""
    return Table(
        name=name,
        doc=doc,
        asset="reference",
        kind="reference",
        feeds=(),
        vendor=columns,
        key=key,
        time="",
        chunks=(),
        ranges=1,
        calendar="24/7",
        starts=date.min,
        source=source,
    )
