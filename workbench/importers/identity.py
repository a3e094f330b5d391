"""By what rows of an import are told from those that are there."""

from collections.abc import Collection

from workbench.tables.record import Record


def identity(record: Record, came: Collection[str]) -> tuple[str, ...]:
    """The columns that tell rows of a table apart, of which these come: its key, else the first `unique`, if all of it comes; empty for the whole row."""
    return next((columns for columns in filter(None, (record.key, *record.unique)) if set(columns) <= set(came)), ())
