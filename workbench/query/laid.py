"""A record table as one session shows it: the base files of a version of it, laid over by what the journal holds beyond them.

The journal's rows, and the keys whose base rows they replace or delete, stand in two tables of DuckDB's. While a view's query stays what it is, they are
changed where they stand; else they are made under new names, since a query that was written out before still names the old ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import duckdb

from workbench.lake.operations import Operation
from workbench.lake.pending import State, kept
from workbench.lake.snapshots import Snapshot
from workbench.lake.stored import typed
from workbench.query.views import literal
from workbench.tables import quote
from workbench.tables.record import Record

SCHEMA = "workbench_rows"
# So many of a table's older relations are kept, for relations of users' that name them and have not been read.
KEPT = 8
NUMBERS = count(1)


@dataclass(frozen=True)
class Laid:
    """What a session shows of a table: the files of a version, in which the journal is folded up to `folded`, and its operations from there to `upto`.

    `rows` and `hidden` are the numbers of rows in its two tables, whose names end in `number`; `files` hold `filed` rows of the journal's.
    `older` are the numbers of tables that are no longer its own.
    """

    record: Record
    shot: Snapshot
    paths: tuple[str, ...] = ()
    folded: int = 0
    upto: int = 0
    number: int = 0
    rows: int = 0
    hidden: int = 0
    files: tuple[str, ...] = ()
    filed: int = 0
    cleared: bool = False
    older: tuple[int, ...] = field(default=(), compare=False)

    @property
    def table(self) -> str:
        """The table of the journal's rows."""
        return f"{SCHEMA}.{quote(f'{self.record.full} {self.number}')}"

    @property
    def keys(self) -> str:
        """The table of the keys whose base rows do not count."""
        return f"{SCHEMA}.{quote(f'{self.record.full} {self.number} hidden')}"

    @property
    def counted(self) -> int | None:
        """The number of its rows, where that is known without a look at them."""
        return None if self.hidden else (0 if self.cleared else self.shot.rows) + self.filed + self.rows

    def anew(self, shot: Snapshot, paths: Sequence[str], folded: int) -> "Laid":
        """A version of the same table, with nothing laid over it yet."""
        return Laid(self.record, shot, tuple(paths), folded, folded, self.number, older=self.older)

    def bare(self) -> "Laid":
        """The same version with nothing laid over it yet."""
        return self.anew(self.shot, self.paths, self.folded)

    def takes(self, later: Sequence[Operation]) -> bool:
        """Whether later operations can be laid over what is here, without a look at those before."""
        if self.upto == self.folded:
            return True
        hiding = any(one.replaces or one.kind in ("delete", "deletes") for one in later)
        return not (self.files and hiding) and not any(one.kind == "clear" for one in later)

    def later(self, con: duckdb.DuckDBPyConnection, state: State, upto: int) -> "Laid":
        """The same with later operations laid over it."""
        made = replace(
            self, upto=upto, files=self.files + state.files, filed=self.filed + state.filed, cleared=self.cleared or state.cleared
        )
        if state.rows is None and state.hidden is None:
            return made
        if (state.rows is not None and not self.rows) or (state.hidden is not None and not self.hidden) or state.files:
            made = made._moved(con, self)
        key = ", ".join(map(quote, self.record.key))
        if state.hidden is not None:
            con.register("__hidden", state.hidden)
            con.execute(f"DELETE FROM {made.table} WHERE ({key}) IN (SELECT ({key}) FROM __hidden)")
            con.execute(f"INSERT INTO {made.keys} FROM __hidden ANTI JOIN {made.keys} USING ({key})")
        if state.rows is not None:
            con.register("__rows", state.rows)
            con.execute(f"INSERT INTO {made.table} FROM __rows")
        hidden = f"(SELECT count(*) FROM {made.keys})" if self.record.key else "0"
        [(rows, keys)] = con.execute(f"SELECT (SELECT count(*) FROM {made.table}), {hidden}").fetchall()
        return replace(made, rows=rows, hidden=keys)

    def _moved(self, con: duckdb.DuckDBPyConnection, before: "Laid") -> "Laid":
        """The same with tables of new names, which hold what those before held."""
        made = replace(self, number=next(NUMBERS), older=(*self.older, self.number) if self.number else ())
        for name, held, source, columns in (
            (made.table, before.rows, before.table, [one.name for one in self.record.columns]),
            (made.keys, before.hidden, before.keys, self.record.key),
        ):
            if columns:
                told = ", ".join(f"{quote(one)} {kept(typed(self.record[one].type))}" for one in columns)
                con.execute(f"CREATE TABLE {name} ({told})")
                if held:
                    con.execute(f"INSERT INTO {name} FROM {source}")
        for number in made.older[:-KEPT]:
            old = replace(made, number=number)
            con.execute(f"DROP TABLE IF EXISTS {old.table}; DROP TABLE IF EXISTS {old.keys}")
        return replace(made, older=made.older[-KEPT:])

    @property
    def query(self) -> str:
        """The query of its rows, with the columns and types that are declared.

        The types are said of every column, though most have them in the files, where DuckDB takes the cast for nothing: by them a condition on a view that
        unites these rows with the lake's is known to compare alike on both sides, and the lake's files are narrowed by it.
        """
        columns = ", ".join(f"{quote(one.name)}::{one.type} AS {quote(one.name)}" for one in self.record.columns)
        return "\nUNION ALL\n".join(f"SELECT {columns} FROM {source}" for source in self._sources()) or self.record.empty

    def _sources(self) -> Iterator[str]:
        base = () if self.cleared else self.paths
        if base and self.hidden:
            yield f"{self._scan(base)} ANTI JOIN {self.keys} USING ({', '.join(map(quote, self.record.key))})"
            base = ()
        if base or self.files:
            yield self._scan((*base, *self.files))
        if self.rows:
            yield self.table

    def _scan(self, paths: Sequence[str]) -> str:
        """The rows of Parquet files; NULL in columns that a file may be older than."""
        files = ", ".join(map(literal, paths))
        widened = [one for one in self.record.columns if one.name in self.shot.widened]
        if not widened:
            return f"read_parquet([{files}], hive_partitioning = false)"
        empty = ", ".join(f"NULL::{kept(typed(one.type))} AS {quote(one.name)}" for one in widened)
        return (
            f"(FROM read_parquet([{files}], hive_partitioning = false, union_by_name = true) UNION ALL BY NAME SELECT {empty} WHERE false)"
        )
