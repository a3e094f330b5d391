"""Rows that people give, as a documented table takes them: types, defaults, tags, checks. What is wrong with any is gathered, and none goes in.

They come as dicts, a Polars or Pandas frame, or an Arrow table. Values are taken without loss or refused (`values`); defaults, rules and checks are
SQL, and run in a DuckDB of their own, where no macro of the user's can change what they mean. What depends on the rows that are there comes later.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.errors import BrokenRule, UnknownName, UsageError
from workbench.query.tagging import MODE, NOTHING, Filling, marked, reasons
from workbench.query.values import Refused, as_text, brief, plain, shown, stored, taker, typed
from workbench.query.views import literal
from workbench.tables import quote
from workbench.tables.record import Field, Record
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    # Of each row whether something is so.
    Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]

# Of more broken rules only the number is told.
TOLD = 20
ROW = "__row"
# Gives the first of so many fresh numbers of a column, all above a least one.
Numbering = Callable[[Field, int, int], int]
GIVE = "Give dicts, a Polars or Pandas frame, or an Arrow table."


@dataclass
class Batch:
    """Rows on their way into a table: `columns` as they will be kept.

    `none` are the rows that say no value for a column, `absent` those of them that do not say so either; `lacking` are the rows of a column that
    take its default, where any do. `untold` are the rows that do not say whether they are a test's, None where the table does not ask.
    `broken` are the rules that rows break, each with its row.
    """

    record: Record
    count: int
    filling: Filling = NOTHING
    columns: "dict[str, pa.Array]" = field(default_factory=dict)
    none: "dict[str, Mask]" = field(default_factory=dict)
    absent: "dict[str, Mask]" = field(default_factory=dict)
    lacking: "dict[str, Mask]" = field(default_factory=dict)
    untold: "Mask | None" = None
    broken: list[tuple[int, str]] = field(default_factory=list)

    def complete(self) -> None:
        """Give lacking values their defaults, tag what is a test's, and hold every row against the checks."""
        for column in self.record.columns:
            lacks(self, column)
        finish(self)

    def decided(self, number: Numbering) -> "pa.Table":
        """The rows with their numbers, which `number` gives by column, count and the least that they must be above."""
        import pyarrow as pa

        numbered = {one.name: self._numbers(one, number) for one in self.record.columns if one.serial}
        return pa.table({one.name: numbered.get(one.name, self.columns[one.name]) for one in self.record.columns})

    def fresh(self, columns: Sequence[str]) -> bool:
        """Whether all rows have a number in some columns that was given just now, and is nobody's yet."""
        return any(bool(self.lacking[name].all()) for name in columns if self.record[name].serial and name in self.lacking)

    def _numbers(self, column: Field, number: Numbering) -> "pa.Array":
        """A column of numbers, those that are lacking counted on from the greatest."""
        import pyarrow as pa
        import pyarrow.compute as pc

        given = self.columns[column.name]
        lacking = self.lacking.get(column.name)
        count = 0 if lacking is None else int(lacking.sum())
        first = number(column, count, pc.max(given).as_py() or 0)
        if lacking is None or not count:
            return given
        fresh = pa.array(range(first, first + count), given.type)
        return fresh if count == self.count else pc.replace_with_mask(given, pa.array(lacking), fresh)


def staged(record: Record, rows: object, filling: Filling = NOTHING) -> Batch:
    """Rows as a table takes them, but for what depends on the rows that are there.

    Raises `UsageError` for what is no rows, `UnknownName` for a column that the table has not. Broken rules are gathered.
    """
    batch = typed_in(record, rows, filling)
    if batch.count:
        batch.complete()
    return batch


def typed_in(record: Record, rows: object, filling: Filling = NOTHING) -> Batch:
    """Rows with their values in the types of a table, and nothing yet where they say nothing. Raises as `staged` does."""
    count, given = columns_of(record, rows)
    for name in given:
        if name not in record.names:
            raise UnknownName(f"column of {record.full}", name, record.names)
    batch = Batch(record, count, filling)
    if not count:
        return batch
    for column in record.columns:
        its = given.get(column.name)
        take(batch, column, filled(its, count, filling.values[column.name]) if column.name in filling.values else its)
    batch.untold = batch.none.get(MODE)
    return batch


def filled(given: Any, count: int, value: str) -> Any:
    """A column in which a value stands wherever rows say none."""
    if given is None:
        return [value] * count
    if isinstance(given, list):
        return [value if one is LACKS or plain(one) is None else one for one in given]
    return [value if one is None else one for one in given.to_pylist()] if given.null_count else given


# ---------------------------------------------------------------------- rows

Given = dict[str, Any]


def columns_of(record: Record, rows: object) -> tuple[int, Given]:
    """The number of rows, and their columns: Arrow's as they are, others as lists in which a value that a row lacks is `LACKS`."""
    library, kind = type(rows).__module__.partition(".")[0], type(rows).__name__
    if (library, kind) == ("pandas", "DataFrame"):
        return of_pandas(record, rows)
    if (library, kind) == ("polars", "LazyFrame"):
        rows = rows.collect()  # type: ignore[attr-defined]
    if hasattr(rows, "to_arrow_table"):
        rows = rows.to_arrow_table()
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        return of_arrow(record, rows)
    if isinstance(rows, Mapping):
        return of_dicts(record, [rows])
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise UsageError(f"{shown(rows)} holds no rows for {record.full}; nothing was written. {GIVE}")
    return of_dicts(record, list(rows))


class Lacks:
    """What stands where a row says nothing of a column, which is not the same as saying that there is nothing."""


LACKS = Lacks()


def of_dicts(record: Record, rows: Sequence[Any]) -> tuple[int, Given]:
    """The columns of dicts, and of what has keys like one, as a row of SQLite's."""
    made: list[Mapping[Any, Any]] = []
    for n, row in enumerate(rows):
        if not isinstance(row, Mapping) and not hasattr(row, "keys"):
            raise UsageError(f"row {n} for {record.full} is {shown(row)}; nothing was written. {GIVE}")
        made.append(row if isinstance(row, Mapping) else dict(row))
    names = dict.fromkeys(name for row in made for name in row)
    return len(made), {str(name): [row.get(name, LACKS) for row in made] for name in names}


def of_pandas(record: Record, frame: Any) -> tuple[int, Given]:
    """The columns of a Pandas frame, and of its index if that has a name. What Pandas calls missing is NULL."""
    named = [name for name in frame.index.names if name is not None]
    once(record, [str(name) for name in (*named, *frame.columns)])
    if named:
        frame = frame.reset_index()
    frames = {str(name): frame.iloc[:, n].astype(object) for n, name in enumerate(frame.columns)}
    return len(frame), {name: one.where(one.notna(), None).tolist() for name, one in frames.items()}


def of_arrow(record: Record, rows: Any) -> tuple[int, Given]:
    """The columns of whatever gives Arrow."""
    import pyarrow as pa

    try:
        table = pa.table(rows)
        # Texts that are no UTF-8 would be written as they are, and nobody could read the table any more.
        table.validate(full=True)
    except (TypeError, ValueError, pa.ArrowException) as fault:
        raise UsageError(f"{shown(rows)} holds no rows for {record.full} ({fault}); nothing was written. {GIVE}") from fault
    once(record, table.column_names)
    return len(table), dict(zip(table.column_names, table.columns, strict=True))


def once(record: Record, names: Sequence[str]) -> None:
    """Raises `UsageError` for a name that stands twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"the rows for {record.full} have {', '.join(twice)} twice; nothing was written. Leave one out.")


# ---------------------------------------------------------------------- columns


def take(batch: Batch, column: Field, given: Any) -> None:
    """Take in one column; what cannot be taken is NULL from here on, and told."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = typed(column.type)
    form = stored(kind)
    beyond: set[int] = set()
    if given is None:
        every = np.ones(batch.count, dtype=bool)
        batch.columns[column.name] = pa.nulls(batch.count, form)
        batch.none[column.name], batch.absent[column.name] = every, every
        return
    none, absent = np.zeros(batch.count, dtype=bool), np.zeros(batch.count, dtype=bool)
    batch.none[column.name], batch.absent[column.name] = none, absent
    if isinstance(given, pa.ChunkedArray):
        given, beyond = within_years(given)
        batch.broken += [(n, f"{column.name}: it lies outside the years 1 to 9999") for n in sorted(beyond)]
        if ready(column, given, form):
            values = given.cast(form).combine_chunks()
            batch.columns[column.name] = values
            if values.null_count:
                absent[:] = none[:] = pc.is_null(values).to_numpy(zero_copy_only=False)
                none[list(beyond)] = False
            return
        given = without_blanks(batch.record, column, given)
    values = []
    accept = taker(kind)
    for n, value in enumerate(given):
        told = None if value is LACKS else plain(value)
        if told is None:
            none[n] = n not in beyond
            absent[n] = value is LACKS
            values.append(None)
            continue
        try:
            values.append(accept(told))
        except Refused as fault:
            batch.broken.append((n, f"{column.name}: {fault}"))
            values.append(None)
    batch.columns[column.name] = pa.array(values, form)


def ready(column: Field, given: "pa.ChunkedArray", form: "pa.DataType") -> bool:
    """Whether a column of Arrow's is as it will be kept, so that no value has to be looked at."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = (pa.string(), pa.large_string(), pa.string_view())
    if as_text(column.type) or pa.types.is_nested(form):
        return False
    if form == pa.float64() and given.type == form:
        return bool(pc.all(pc.is_finite(given)).as_py() in (True, None))
    if form == pa.timestamp("us", "UTC") and pa.types.is_timestamp(given.type):
        return bool(given.type.tz) and given.type.unit == "us"
    return bool(given.type == form or (form == pa.string() and given.type in texts))


def within_years(given: "pa.ChunkedArray") -> "tuple[pa.ChunkedArray, set[int]]":
    """A column of Arrow's without the dates and times that Python has none for, as rows that are NULL, and which these are.

    DuckDB reads the ends of Arrow's range as infinite, and a file with any such time would fail whoever fetches its rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = given.type
    # How many of its steps make a day; nanoseconds reach to the year 2262 only.
    steps = {pa.date32(): 1, pa.date64(): 86_400_000}.get(kind, 0)
    if pa.types.is_timestamp(kind):
        steps = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}.get(kind.unit, 0)
    if not steps:
        return given, set()
    told = given.cast(pa.int32()).cast(pa.int64()) if kind == pa.date32() else given.cast(pa.int64())
    first, last = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
    odd = pc.or_(pc.less(told, first * steps), pc.greater_equal(told, (last + 1) * steps))
    if not pc.any(odd).as_py():
        return given, set()
    return pc.if_else(odd, pa.scalar(None, kind), given), set(pc.indices_nonzero(odd).to_pylist())


def without_blanks(record: Record, column: Field, given: "pa.ChunkedArray") -> list[Any]:
    """The values of an Arrow column. Frames make one struct of all rows' dicts: in a MAP, what only other rows have is left out again.

    Raises `UsageError` for a column that Python has no values for, as of times in a zone that nobody knows.
    """
    import pyarrow as pa

    try:
        values: list[Any] = given.to_pylist()
    except (ValueError, OverflowError, KeyError, pa.ArrowException) as fault:
        raise UsageError(f"{column.name} of the rows for {record.full} cannot be read ({fault}); nothing was written.") from fault
    if pa.types.is_struct(given.type) and column.type.upper().startswith("MAP"):
        return [one and {name: each for name, each in one.items() if each is not None} for one in values]
    return values


def lacks(batch: Batch, column: Field) -> None:
    """Say of the rows without a value which are numbered, take the default, or break the rule that there must be one."""
    none, absent = batch.none[column.name], batch.absent[column.name]
    if column.serial or column.default:
        # A column that may be NULL is so where the row says it.
        some = none if column.serial or column.required else absent
        if some.any():
            batch.lacking[column.name] = some
    elif column.required or column.name in batch.record.key:
        batch.broken += [(n, f"{column.name} is missing, and every row must have it") for n in none.nonzero()[0].tolist()]


# ---------------------------------------------------------------------- rules


@cache
def _own() -> duckdb.DuckDBPyConnection:
    # An empty folder to spill to is none: it would be one in whatever folder the process was started from.
    con = duckdb.connect(config={"threads": 1, "temp_directory": ""})
    con.execute(f"SET GLOBAL TimeZone = {literal(NEW_YORK)}")
    return con


_MAKING = threading.Lock()


def asking() -> duckdb.DuckDBPyConnection:
    """A cursor of the DuckDB in which rules are asked."""
    with _MAKING:
        return _own().cursor()


def finish(batch: Batch) -> None:
    """Give lacking values their defaults, tag, and hold every row against the checks."""
    import pyarrow as pa

    record, numbers = batch.record, numbered(batch.count)
    named = [one for one in record.columns if one.name in batch.lacking and not one.serial]
    masks = {f"__lacks_{n}": pa.array(batch.lacking[one.name]) for n, one in enumerate(named)}
    with asking() as con:
        con.register("__staged", pa.table({**batch.columns, **masks, ROW: numbers}))
        con.execute(f"CREATE TEMP VIEW __typed AS SELECT {', '.join([*map(shaped, record.columns), *masks, ROW])} FROM __staged")
        for n, one in enumerate(named):
            query = f"SELECT CASE WHEN __lacks_{n} THEN ({one.default})::{one.type} ELSE {quote(one.name)} END"
            made = con.sql(f"{query} AS v FROM __typed ORDER BY {ROW}").to_arrow_table()
            batch.columns[one.name] = made["v"].cast(stored(typed(one.type))).combine_chunks()
        con.register("__staged", pa.table({**batch.columns, **masks, ROW: numbers}))
        if batch.filling.rules and batch.untold is not None and batch.untold.any():
            tag(batch, con)
            con.register("__staged", pa.table({**batch.columns, **masks, ROW: numbers}))
        # Most rows break none, which one look tells.
        odd = " OR ".join(f"NOT ({check.rule})" for check in record.checks)
        checks = record.checks if odd and con.execute(f"SELECT 1 FROM __typed WHERE {odd} LIMIT 1").fetchall() else ()
        for check in checks:
            told = [name for name in batch.columns if re.search(rf"\b{re.escape(name)}\b", check.rule)]
            values = ", ".join(f"{quote(name)}::VARCHAR" for name in told) or "NULL"
            for row, *held in con.execute(f"SELECT {ROW}, {values} FROM __typed WHERE NOT ({check.rule}) ORDER BY {ROW}").fetchall():
                seen = ", ".join(f"{name} = {brief(value)}" for name, value in zip(told, held, strict=False))
                batch.broken.append((row, f"{check.rule} is not so ({check.name}): {seen}"))


def numbered(count: int) -> "pa.Array":
    """The numbers of so many rows."""
    import numpy as np
    import pyarrow as pa

    return pa.array(np.arange(count))


def tag(batch: Batch, con: duckdb.DuckDBPyConnection) -> None:
    """Say of rows that do not say it themselves that they are a test's, and why, where a rule finds so."""
    assert batch.untold is not None
    why = reasons(con, "__typed", batch.filling.rules, ROW)
    batch.columns |= marked(batch.columns, why, batch.untold)


def shaped(column: Field) -> str:
    """A column of a file, with its declared type, as an SQL expression; one that stands there as it is stays bare, so that conditions reach the file."""
    name = quote(column.name)
    return f"{name}::{column.type} AS {name}" if as_text(column.type) else name


def refusal(record: Record, broken: Sequence[tuple[int, str]], count: int) -> BrokenRule:
    """The error that tells of broken rules, in the order of the rows."""
    rows = len({row for row, _ in broken})
    lines = [f"  row {row}: {what}" for row, what in sorted(broken)[:TOLD]]
    more = [f"  and {len(broken) - TOLD:,} more"] * (len(broken) > TOLD)
    return BrokenRule(
        "\n".join(
            [
                f"{record.full} takes none of {count:,} rows, of which {rows:,} break its rules (rows count from 0); nothing was written:",
                *lines,
                *more,
            ]
        )
    )
