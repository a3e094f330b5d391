"""Tables of people's own: what `create_table` takes, as the table that it means."""

from collections.abc import Mapping, Sequence

import duckdb

from workbench.errors import UsageError
from workbench.lake.declared import NAME, OPEN, made
from workbench.query.values import shown, stored, typed
from workbench.tables.record import Record


def declaration(table: str, columns: Mapping[str, str], key: Sequence[str] | str | None, doc: str) -> Record:
    """The table that is meant. Raises `UsageError` for names, types and keys that cannot be."""
    schema, _, name = str(table).partition(".")
    if schema not in OPEN or not NAME.fullmatch(name):
        raise UsageError(
            f"{shown(table)} is no name for a table; nothing was declared. Write {' or '.join(f'{one}.name' for one in OPEN)}, "
            "the name in small letters, digits and underscores."
        )
    if not isinstance(columns, Mapping) or not columns:
        raise UsageError(f'{table} has no columns; nothing was declared. Give them as {{"symbol": "VARCHAR", "value": "DOUBLE"}}.')
    if odd := [one for one in columns if not isinstance(one, str) or not NAME.fullmatch(one)]:
        raise UsageError(
            f"{', '.join(map(shown, odd))} is no name for a column of {table}; nothing was declared. Use small letters, digits, underscores."
        )
    keys = (key,) if isinstance(key, str) else tuple(key or ())
    if odd := [one for one in keys if one not in columns] or [one for one in dict.fromkeys(keys) if keys.count(one) > 1]:
        raise UsageError(
            f"{', '.join(map(shown, odd))} in the key of {table} is no column of it, or there twice; nothing was declared. "
            f"Its columns are {', '.join(columns)}."
        )
    kinds = {name: kind(table, name, told) for name, told in columns.items()}
    if odd := [one for one in keys if kinds[one].endswith("]") or kinds[one].startswith(("STRUCT", "MAP", "JSON", "DOUBLE"))]:
        raise UsageError(f"{', '.join(odd)} of type {kinds[odd[0]]} cannot be in the key of {table}; nothing was declared.")
    return made(schema, name, kinds, keys, doc or f"A table of one's own, declared as {table}.")


def kind(table: str, column: str, told: object) -> str:
    """A type by DuckDB's name for it. Raises `UsageError` for one that is not kept."""
    try:
        found = typed(str(told))
        stored(found)
    except (duckdb.Error, TypeError):
        raise UsageError(
            f"{column} of {table} is to be of type {shown(told)}, which is not kept; nothing was declared. Take VARCHAR, DOUBLE, BIGINT, INTEGER, "
            "BOOLEAN, DATE, TIMESTAMPTZ, DECIMAL(20,8), UUID, JSON, or a list, STRUCT or MAP of these."
        ) from None
    return {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}.get(str(found), str(found))
