"""How rows of an import compare with those of their table: which are new, which differ from the row of their identity, and which cannot go in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.importers.contests import contested
from workbench.lake.stored import stored, typed
from workbench.query.provenance import VERSION, versioned
from workbench.query.references import There, referring
from workbench.query.staging import ROW, Batch, Numbering, asking, numbered
from workbench.query.tagging import MODE, REASON, Filling
from workbench.query.upserts import CHANGED
from workbench.tables import quote
from workbench.tables.record import Record

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

Look = Callable[[str], There]


@dataclass(frozen=True)
class Met:
    """What is to be written: `new` rows and `changed` ones, whole; `counts` of new, changed and unchanged; `rejected` rows and why."""

    new: "pa.Table"
    changed: "pa.Table"
    counts: tuple[int, int, int]
    rejected: Sequence[tuple[int, str]]


class Meeting:
    """Rows of an import on their way into a table."""

    def __init__(self, record: Record, rows: "pa.Table", identity: tuple[str, ...], filling: Filling, ordered_by: str = ""):
        self.record, self.rows, self.identity, self.filling, self.ordered_by = record, rows.combine_chunks(), identity, filling, ordered_by
        self.count = len(rows)
        # Columns in which nothing means that a row does not say.
        fills = {one.name for one in record.columns if one.required and (one.default or one.serial)}
        self.silent = (fills | set(filling.values) | ({MODE, REASON, VERSION} & set(record.names))) - set(identity)
        self.broken: dict[int, list[str]] = {}

    def met(self, look: Look, records: Mapping[str, Record], number: Numbering) -> Met:
        """What becomes of the rows beside what is there."""
        import numpy as np
        import pyarrow as pa

        record = self.record
        self.broken = {}
        self._whole()
        there = look(record.full)
        # Of each row whether one is there, and whether that is the same.
        has, same = self._compared(there)
        todo = np.flatnonzero(~same)
        batch = self._batch(todo, has, there)
        for row, why in batch.broken:
            self.broken.setdefault(int(todo[row]), []).append(why)
        values = pa.table(batch.columns) if batch.count else None
        if values is not None:
            for reference in record.references:
                if any(values[name].null_count < len(values) for name in reference.columns):
                    for row, why in referring(values, reference, look(reference.table)):
                        self.broken.setdefault(int(todo[row]), []).append(why)
        stands = self._standing(there, same)
        goes = stands[todo]
        is_new = ~has[todo]
        rejected = [(row, "; ".join(why)) for row, why in sorted(self.broken.items())]
        counts = self._counts(has, same, stands)
        fresh, old = goes & is_new, goes & ~is_new
        return Met(self._finished(batch, fresh, records, look, number), self._finished(batch, old, records, look, number), counts, rejected)

    # ------------------------------------------------------------------ alone

    def _whole(self) -> None:
        """Reject rows that lack what every row must have."""
        import pyarrow.compute as pc

        for column in self.record.columns:
            if column.name not in self.rows.column_names or not self.rows[column.name].null_count:
                continue
            if column.name in self.identity or (column.required and not column.default and not column.serial):
                for row in pc.indices_nonzero(pc.is_null(self.rows[column.name])).to_pylist():
                    self.broken.setdefault(row, []).append(f"{column.name} is missing, and every row must have it")

    # ------------------------------------------------------------------ beside what is there

    def _compared(self, there: There) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Of each row whether one of its identity is there, and whether nothing of it differs; rejected rows are neither new nor differ."""
        import numpy as np

        has, same = np.zeros(self.count, dtype=bool), np.zeros(self.count, dtype=bool)
        if not there.empty and self.count:
            with asking() as con:
                con.register("__mine", self.rows.append_column(ROW, numbered(self.count)))
                if self.identity:
                    differs = " OR ".join(self._differs(name) for name in self.rows.column_names if name not in self.identity) or "false"
                    query = (
                        f"SELECT m.{ROW} AS n, NOT ({differs}) AS same FROM __mine m JOIN ({self._near(con, there, self.rows.column_names)}) o "
                        f"ON {self._on()}"
                    )
                    found = con.sql(query).to_arrow_table()
                    at = found["n"].to_numpy()
                    has[at] = True
                    same[at] = found["same"].to_numpy()
                else:
                    at = con.sql(self._again(con, there)).to_arrow_table()["n"].to_numpy()
                    has[at] = same[at] = True
        if self.broken:
            same[list(self.broken)] = True
        return has, same

    def _on(self) -> str:
        return " AND ".join(f"o.{quote(name)} = m.{quote(name)}" for name in self.identity)

    def _differs(self, name: str) -> str:
        told = f"m.{quote(name)} IS DISTINCT FROM o.{quote(name)}"
        return f"(m.{quote(name)} IS NOT NULL AND {told})" if name in self.silent else told

    def _near(self, con: "duckdb.DuckDBPyConnection", there: There, columns: Sequence[str], by: Sequence[str] = ()) -> str:
        """A query of the rows that may be met, by the range of some columns: files tell theirs."""
        import pyarrow as pa
        import pyarrow.compute as pc

        bounds = []
        for n, name in enumerate(by or self.identity):
            kind = self.rows[name].type
            if pa.types.is_nested(kind) or pa.types.is_boolean(kind):
                continue
            span = pc.min_max(self.rows[name])
            if not span["min"].is_valid:
                return f"SELECT {', '.join(map(quote, columns))} FROM ({there.nothing}) LIMIT 0"
            con.register(f"__span_{n}", pa.table({"lo": pa.array([span["min"]], kind), "hi": pa.array([span["max"]], kind)}))
            [(lo, hi)] = con.execute(f"SELECT lo::VARCHAR, hi::VARCHAR FROM __span_{n}").fetchall()
            told = con.execute(f"SELECT typeof(lo) FROM __span_{n}").fetchall()[0][0]
            bounds.append(f"{quote(name)} BETWEEN {literal(lo)}::{told} AND {literal(hi)}::{told}")
        query = there.query(con, list(dict.fromkeys([*columns, *(by or self.identity)])))
        return f"SELECT * FROM ({query}) WHERE {' AND '.join(bounds)}" if bounds else query

    def _again(self, con: "duckdb.DuckDBPyConnection", there: There) -> str:
        """A query of the rows that are there whole, the first of several that are equal."""
        compared = [name for name in self.rows.column_names if not (name in self.silent and self.rows[name].null_count)]
        names = ", ".join(map(quote, compared))
        near = self._near(con, there, compared, (self.ordered_by,) if self.ordered_by else compared)
        same = " AND ".join(f"m.{quote(name)} IS NOT DISTINCT FROM o.{quote(name)}" for name in compared)
        return (
            f"SELECT m.{ROW} AS n FROM (SELECT *, row_number() OVER (PARTITION BY {names} ORDER BY {ROW}) AS __nth FROM __mine) m "
            f"JOIN (SELECT {names}, count(*) AS __times FROM ({near}) GROUP BY ALL) o ON {same} AND m.__nth <= o.__times"
        )

    # ------------------------------------------------------------------ what is written

    def _batch(self, todo: "np.ndarray[Any, Any]", has: "np.ndarray[Any, Any]", there: There) -> Batch:
        """The rows that are new or differ, whole: with defaults, or what is there of columns that they do not say."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        record = self.record
        batch = Batch(record, len(todo), self.filling)
        if not len(todo):
            return batch
        rows = self.rows if len(todo) == self.count else self.rows.take(pa.array(todo))
        held = self._held(rows, todo, has, there)
        old = has[todo]
        for column in record.columns:
            form = stored(typed(column.type))
            its = rows[column.name].combine_chunks() if column.name in rows.column_names else None
            if isinstance(its, pa.ChunkedArray):
                its = pa.concat_arrays(its.chunks)
            kept = held[column.name].combine_chunks() if held is not None and column.name in held.column_names else None
            if its is None:
                its = pa.nulls(len(todo), form) if kept is None else kept
            elif kept is not None:
                its = pc.coalesce(its, kept)
            none = pc.is_null(its).to_numpy(zero_copy_only=False)
            if column.name in self.filling.values and none.any():
                its, none = pc.fill_null(its, self.filling.values[column.name]), np.zeros(len(todo), dtype=bool)
            batch.columns[column.name], batch.none[column.name] = its, none
            says = column.name in rows.column_names
            batch.absent[column.name] = np.zeros(len(todo), dtype=bool) if says else none & ~old
        if MODE in batch.none and MODE in record.names:
            batch.untold = batch.none[MODE] & ~old if MODE not in rows.column_names else batch.none[MODE]
        batch.complete()
        return batch

    def _held(self, rows: "pa.Table", todo: "np.ndarray[Any, Any]", has: "np.ndarray[Any, Any]", there: There) -> "pa.Table | None":
        """What is there of columns that rows do not say, for each of the rows; None where none is there."""
        import numpy as np
        import pyarrow as pa

        if not self.identity or not has[todo].any():
            return None
        came = set(self.rows.column_names)
        anew = {one.name for one in self.record.columns if one.name in CHANGED and one.default} - came
        anew |= set(self.filling.values) - came
        wanted = [
            name
            for name in self.record.names
            if name not in self.identity and name not in anew and (name not in came or name in self.silent)
        ]
        if not wanted:
            return None
        with asking() as con:
            con.register("__mine", rows.select(list(self.identity)).append_column(ROW, numbered(len(rows))))
            told = ", ".join(f"o.{quote(name)}" for name in wanted)
            found = con.sql(
                f"SELECT m.{ROW} AS __n, {told} FROM __mine m JOIN ({self._near(con, there, wanted)}) o ON {self._on()}"
            ).to_arrow_table()
        places = np.full(len(rows), -1, dtype=np.int64)
        places[found["__n"].to_numpy()] = np.arange(len(found))
        at = pa.array(places, mask=places < 0)
        kept = found.select(wanted).take(at)
        return pa.table({name: kept[name].cast(stored(typed(self.record[name].type))) for name in wanted})

    def _standing(self, there: There, same: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Which rows stand in the end: not rejected, and the last of their identity."""
        import numpy as np

        stands = np.ones(self.count, dtype=bool)
        if self.broken:
            stands[list(self.broken)] = False
        # Rows that change nothing want nothing.
        wanting = bool((stands & ~same).any())
        for row, why in contested(self.record, self.rows, self.identity, there, stands, self._near) if wanting else ():
            self.broken.setdefault(row, []).append(why)
            stands[row] = False
        self.overtaken = self._overtaken(stands) if self.identity else []
        stands[[row for row, _ in self.overtaken]] = False
        return stands

    def _overtaken(self, stands: "np.ndarray[Any, Any]") -> "list[tuple[int, int]]":
        """Rows that a later one of the same identity takes the place of, each with the last of these."""
        import pyarrow as pa

        if self.count < 2:
            return []
        # Most come in the order of their numbers, or by ticker and time, or by time and ticker.
        if any(ascending([self.rows[name] for name in names]) for names in (self.identity, self.identity[::-1])):
            return []
        with asking() as con:
            con.register(
                "__mine",
                self.rows.select(list(self.identity)).append_column(ROW, numbered(self.count)).append_column("__s", pa.array(stands)),
            )
            names = ", ".join(map(quote, self.identity))
            last = f"max({ROW}) OVER (PARTITION BY {names})"
            if not con.execute(f"SELECT 1 FROM __mine WHERE __s GROUP BY {names} HAVING count(*) > 1 LIMIT 1").fetchall():
                return []
            return con.execute(f"SELECT {ROW}, {last} AS l FROM __mine WHERE __s QUALIFY l > {ROW} ORDER BY 1").fetchall()

    def _counts(self, has: "np.ndarray[Any, Any]", same: "np.ndarray[Any, Any]", stands: "np.ndarray[Any, Any]") -> tuple[int, int, int]:
        """How many rows are new, changed and unchanged."""
        new = int((stands & ~has).sum())
        changed = int((stands & has & ~same).sum())
        unchanged = int((stands & has & same).sum())
        for row, last in self.overtaken:
            if self.rows.slice(row, 1).equals(self.rows.slice(last, 1)):
                unchanged += 1
            else:
                changed += 1
        return new, changed, unchanged

    def _finished(
        self, batch: Batch, goes: "np.ndarray[Any, Any]", records: Mapping[str, Record], look: Look, number: Numbering
    ) -> "pa.Table":
        """Some rows of a batch, with their numbers and versions."""
        import pyarrow as pa

        if not goes.any():
            return pa.table({one.name: pa.nulls(0, stored(typed(one.type))) for one in self.record.columns})
        mask = None if goes.all() else pa.array(goes)
        columns = batch.columns if mask is None else {name: one.filter(mask) for name, one in batch.columns.items()}
        lacking = {name: one[goes] for name, one in batch.lacking.items()}
        some = Batch(self.record, int(goes.sum()), self.filling, columns, lacking={name: one for name, one in lacking.items() if one.any()})
        return versioned(self.record, some.decided(number), records, look)


def ascending(columns: "Sequence[pa.ChunkedArray]") -> bool:
    """Whether each row is greater than the one before it, by the first column in which the two differ."""
    import pyarrow.compute as pc

    alike: Any = None
    greater: Any = None
    for column in columns:
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        rises = pc.less(before, after)
        greater = rises if alike is None else pc.or_(greater, pc.and_(alike, rises))
        same = pc.equal(before, after)
        alike = same if alike is None else pc.and_(alike, same)
    return bool(pc.all(greater, skip_nulls=False).as_py())


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
