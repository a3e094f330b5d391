"""What rows on their way into a table must be beside the rows that are there: of keys of their own, and referring to what there is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.lake.pending import State
from workbench.query.staging import ROW, asking, numbered
from workbench.query.values import brief
from workbench.query.views import literal
from workbench.tables import quote
from workbench.tables.record import Record, Reference

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Broken = list[tuple[int, str]]


@dataclass(frozen=True)
class There:
    """The rows of a table in one moment: those of its files, and what the journal lays over them."""

    record: Record
    files: tuple[str, ...] = ()
    state: State = field(default_factory=State)

    def query(self, con: "duckdb.DuckDBPyConnection", columns: Sequence[str], mark: str = "there") -> str:
        """A query of some columns of all its rows, as files keep them, in a DuckDB that is told of the journal's; `mark` tells its names from others'."""
        names, state = ", ".join(map(quote, columns)), self.state
        parts = []
        if self.files and not state.cleared:
            base = f"SELECT {names} FROM {parquet(self.files)} b"
            if state.hidden is not None and len(state.hidden):
                con.register(f"__{mark}_hidden", state.hidden)
                same = " AND ".join(f"b.{quote(name)} = h.{quote(name)}" for name in self.record.key)
                base += f" WHERE NOT EXISTS (SELECT 1 FROM __{mark}_hidden h WHERE {same})"
            parts.append(base)
        if state.files:
            parts.append(f"SELECT {names} FROM {parquet(state.files)}")
        if state.rows is not None and len(state.rows):
            con.register(f"__{mark}_rows", state.rows)
            parts.append(f"SELECT {names} FROM __{mark}_rows")
        if not parts:
            return f"SELECT {names} FROM ({self.nothing}) LIMIT 0"
        return " UNION ALL ".join(parts)

    @cached_property
    def nothing(self) -> str:
        """A query of the right shape, as files keep it, and no rows."""
        types = {one.name: "VARCHAR" if one.type in ("UUID", "JSON") else one.type for one in self.record.columns}
        return f"SELECT {', '.join(f'NULL::{kind} AS {quote(name)}' for name, kind in types.items())} LIMIT 0"

    @property
    def empty(self) -> bool:
        """Whether it is known to have no rows."""
        return not ((self.files and not self.state.cleared) or self.state.files or (self.state.rows is not None and len(self.state.rows)))


def parquet(files: Iterable[str]) -> str:
    """Files as a relation."""
    return f"read_parquet([{', '.join(map(literal, files))}], hive_partitioning = false)"


def taken(record: Record, rows: "pa.Table", columns: Sequence[str], there: There, *, replaces: bool = False) -> Broken:
    """The rows that have the same values in some columns as another row of the batch, or as one that is there. NULL is like nothing.

    Rows that replace those of their key are held against the others.
    """
    names = ", ".join(map(quote, columns))
    whole = " AND ".join(f"{quote(name)} IS NOT NULL" for name in columns)
    kept = dict.fromkeys([*columns, *(record.key if replaces else ())])
    told = f"({', '.join(columns)})"
    is_key = tuple(columns) == record.key
    with asking() as con:
        con.register("__mine", rows.select(list(kept)).append_column(ROW, numbered(len(rows))))
        first = f"min({ROW}) OVER (PARTITION BY {names})"
        twice = con.execute(f"SELECT {ROW}, {first} AS f, {names} FROM __mine WHERE {whole} QUALIFY f < {ROW} ORDER BY {ROW}").fetchall()
        held: list[tuple[Any, ...]] = []
        if not there.empty and not (is_key and replaces):
            others = f"({there.query(con, list(kept))})"
            if replaces:
                keys = " AND ".join(f"o.{quote(name)} = k.{quote(name)}" for name in record.key)
                others = f"(SELECT * FROM {others} o WHERE NOT EXISTS (SELECT 1 FROM __mine k WHERE {keys}))"
            same = " AND ".join(f"o.{quote(name)} = m.{quote(name)}" for name in columns)
            mine = ", ".join(f"m.{quote(name)}" for name in columns)
            query = f"SELECT m.{ROW}, {mine} FROM __mine m WHERE EXISTS (SELECT 1 FROM {others} o WHERE {same})"
            held = con.execute(f"{query} ORDER BY m.{ROW}").fetchall()
    kind = "key" if is_key else "unique"
    again = [(row, f"{kind} {told}: row {f} of the batch has {values_of(values)}, too") for row, f, *values in twice]
    return again + [(row, f"{kind} {told}: a row with {values_of(values)} is there already") for row, *values in held]


def referring(rows: "pa.Table", reference: Reference, there: There) -> Broken:
    """The rows that refer to what is not there. NULL refers to nothing."""
    mine = [f"m.{quote(name)}" for name in reference.columns]
    with asking() as con:
        con.register("__mine", rows.select(list(reference.columns)).append_column(ROW, numbered(len(rows))))
        same = " AND ".join(f"o.{quote(to)} = {own}" for own, to in zip(mine, reference.to, strict=True))
        whole = " AND ".join(f"{own} IS NOT NULL" for own in mine)
        missing = f"NOT EXISTS (SELECT 1 FROM ({there.query(con, reference.to)}) o WHERE {same})"
        found = con.execute(f"SELECT m.{ROW}, {', '.join(mine)} FROM __mine m WHERE {whole} AND {missing} ORDER BY m.{ROW}").fetchall()
    return [(row, missing_of(reference, values)) for row, *values in found]


def missing_of(reference: Reference, values: Sequence[object]) -> str:
    """What to say of a row that refers to what is not there."""
    return f"{', '.join(reference.columns)} {values_of(values)} is not in {reference.table} ({', '.join(reference.to)})"


def referred(gone: "pa.Table", reference: Reference, record: Record, there: There, limit: int) -> list[str]:
    """What refers to rows that are to go: at most so many of the other table's rows, each in a text."""
    shown = record.key or record.names[:1]
    with asking() as con:
        con.register("__gone", gone.select(list(reference.to)))
        names = list(dict.fromkeys([*reference.columns, *shown]))
        same = " AND ".join(f"o.{quote(own)} = g.{quote(to)}" for own, to in zip(reference.columns, reference.to, strict=True))
        told = ", ".join(f"o.{quote(name)}" for name in (*shown, *reference.columns))
        query = f"SELECT {told} FROM ({there.query(con, names)}) o WHERE EXISTS (SELECT 1 FROM __gone g WHERE {same})"
        found = con.execute(f"{query} ORDER BY ALL LIMIT {limit}").fetchall()
    split = len(shown)
    return [
        f"{record.full} ({', '.join(shown)}) {values_of(row[:split])} refers to it by {', '.join(reference.columns)} {values_of(row[split:])}"
        for row in found
    ]


def values_of(values: Iterable[object]) -> str:
    """The values of a key in a message."""
    return ", ".join(map(brief, values))


def rows_broken(
    record: Record, rows: "pa.Table", look: Callable[[str], There], fresh: Callable[[Sequence[str]], bool], *, replaces: bool
) -> Broken:
    """What rows break of the keys and references of their table. `look` gives what stands in a table, `fresh` says which columns are numbered anew."""
    broken: Broken = []
    for columns in filter(None, (record.key, *record.unique)):
        # Numbers that were all given just now are nobody's yet.
        broken += [] if fresh(columns) else taken(record, rows, columns, look(record.full), replaces=replaces)
    for reference in record.references:
        if any(rows[name].null_count < len(rows) for name in reference.columns):
            broken += referring(rows, reference, look(reference.table))
    return broken
