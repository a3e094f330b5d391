"""Rows that DuckDB asks for when a query reads them, so that nobody pays for what nobody asks, and whoever asks sees what is so then.

This module must not import DuckDB: a session that is never closed keeps its streams until the interpreter has ended.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from workbench.query.narrow import SCHEMA

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection


class Stream:
    """A table of Arrow that is made when it is read; its columns are known before."""

    def __init__(self, schema: "Callable[[], pa.Schema]", table: "Callable[[], pa.Table]"):
        self._schema, self._table = schema, table

    def __arrow_c_schema__(self) -> object:
        return self._schema().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested: object = None) -> object:
        return self._table().__arrow_c_stream__(requested)


def with_frames(con: "DuckDBPyConnection", statement: str, **frames: object) -> None:
    """Run a statement that finds frames by these names: a session that is locked takes none of whoever calls it."""
    try:
        for name, frame in frames.items():
            con.register(name, frame)
        con.execute(statement)
    finally:
        for name in frames:
            con.unregister(name)


class Streams:
    """The streams of one session, under the names by which documented views look for them."""

    def __init__(self) -> None:
        # What declares a stream must stay: DuckDB 1.5 reads it by the settings of the cursor that did.
        self._own: DuckDBPyConnection | None = None
        self._declared: set[str] = set()

    def supplier(self, name: str, stream: Stream) -> "Callable[[DuckDBPyConnection], None]":
        """Has a stream stand under a name, once."""
        return partial(self._declare, name, stream)

    def _declare(self, name: str, stream: Stream, con: "DuckDBPyConnection") -> None:
        if name in self._declared:
            return
        if self._own is None:
            # A relation makes its view in the schema that its cursor uses.
            self._own = con.cursor()
            self._own.execute(f"USE {SCHEMA}")
        self._own.from_arrow(stream).create_view(name)
        self._declared.add(name)
