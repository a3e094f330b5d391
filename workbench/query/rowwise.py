"""One row on its way into a table, in microseconds: what `staging` does to many, worked out once for a table and put into Python.

It takes rows that are right, and says nothing of any other: that one goes to `staging`, which tells what is wrong with it, or takes it after all.
"""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from secrets import token_hex
from typing import Any

import duckdb

from workbench.query.closures import Asked, condition, parsed, steady
from workbench.query.staging import asking
from workbench.query.tagging import MODE, REASON, Filling
from workbench.query.values import Refused, plain, stored, taker, typed
from workbench.tables.record import Field, Record, TestRule

Taker = Callable[[Any], Any]
# Values of these types are Python's own.
PLAIN = frozenset((str, int, float, bool, Decimal, datetime, date, dict, list, tuple, uuid.UUID))
MISSING = object()


class Odd(Exception):
    """The row is for `staging` to judge."""


class Rowwise:
    """What takes the rows of one table, one by one."""

    def __init__(self, record: Record, filling: Filling):
        self.record = record
        with asking() as con:
            self._columns = [
                (one.name, quick(one), default(one, filling), one.required or one.serial or one.name in record.key)
                for one in record.columns
            ]
            self._checks = [condition(con, record, one.rule) or asked(record, one.rule) for one in record.checks]
            self._rules: list[tuple[TestRule, Asked]] = [
                (one, condition(con, record, one.rule) or asked(record, one.rule)) for one in filling.rules
            ]
        self._width = len(record.columns)
        self._serial = frozenset(one.name for one in record.columns if one.serial)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row as it is kept, None in numbers that it lacks; None instead of it if it is for `staging` to judge."""
        try:
            return self._taken(row)
        except (Odd, Refused):
            return None

    def _taken(self, row: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        seen = 0
        for name, accept, otherwise, required in self._columns:
            value = row.get(name, MISSING)
            if value is MISSING:
                made[name] = otherwise()
                continue
            seen += 1
            if value is not None and type(value) not in PLAIN:
                value = plain(value)
            # A column that may be NULL is so where the row says it.
            made[name] = accept(value) if value is not None else otherwise() if required or otherwise.__class__ is Told else None
        if seen != len(row):
            raise Odd
        if self._rules and row.get(MODE) is None:
            why = [rule.reason for rule, holds in self._rules if holds(made) is True]
            if why:
                made[MODE] = True
                if made[REASON] is None:
                    made[REASON] = "; ".join(why)
        for met in self._checks:
            if met(made) is False:
                raise Odd
        return made


class Told:
    """A value that a write fills in wherever a row says none."""

    def __init__(self, value: str):
        self._value = value

    def __call__(self) -> str:
        """The value."""
        return self._value


def odd() -> Any:
    """There is no default: the row lacks what it must have."""
    raise Odd


def nothing() -> None:
    """NULL, and what is numbered later."""


def default(column: Field, filling: Filling) -> Callable[[], Any]:
    """What gives a column its value where a row has none."""
    if column.name in filling.values:
        return Told(filling.values[column.name])
    if column.serial:
        return nothing
    if not column.default:
        return odd if column.required else nothing
    known: dict[str, Callable[[], Any]] = {
        "now()": lambda: datetime.now(UTC),
        "uuid()": lambda: str(uuid.uuid4()),
        "gen_random_uuid()": lambda: str(uuid.uuid4()),
        # As many digits that nobody foresees.
        "left(md5(uuid()::VARCHAR), 24)": lambda: token_hex(12),
    }
    if column.default in known:
        return known[column.default]
    with asking() as con:
        tree = parsed(con, column.default)
        if tree is not None and steady(tree):
            value = evaluated(column)
            return lambda: value
    return partial(evaluated, column)


def evaluated(column: Field) -> Any:
    """A column's default as it is kept, asked of DuckDB."""
    with asking() as con:
        made = con.sql(f"SELECT ({column.default})::{column.type} AS v").to_arrow_table()
    return made["v"].cast(stored(typed(column.type)))[0].as_py()


def asked(record: Record, rule: str) -> Asked:
    """A condition over a row's values as they are kept, asked of DuckDB."""
    import pyarrow as pa

    from workbench.query.staging import shaped

    schema = pa.schema([(one.name, stored(typed(one.type))) for one in record.columns])
    shapes = ", ".join(map(shaped, record.columns))

    def holds(row: Mapping[str, Any]) -> Any:
        with asking() as con:
            con.register("__row", pa.Table.from_pylist([dict(row)], schema))
            try:
                [(told,)] = con.execute(f"SELECT ({rule}) FROM (SELECT {shapes} FROM __row)").fetchall()
            except duckdb.Error:
                raise Odd from None
        return told

    return holds


# ---------------------------------------------------------------------- takers that are quick for the usual types


def quick(column: Field) -> Taker:
    """The taker of a column, after a short look for values that are as they are kept already."""
    kind = typed(column.type)
    general = taker(kind)
    if str(kind) == "JSON":
        return general
    match kind.id:
        case "varchar":
            return lambda value: value if type(value) is str and value.isascii() else general(value)
        case "boolean":
            return lambda value: value if value is True or value is False else general(value)
        case "double":
            # What is neither infinite nor NaN is the same when nothing is taken from it.
            return lambda value: value if type(value) is float and value - value == 0.0 else general(value)
        case "bigint":
            return lambda value: value if type(value) is int and -EIGHT <= value < EIGHT else general(value)
        case "timestamp with time zone":
            return lambda value: value if type(value) is datetime and value.tzinfo is UTC else general(value)
        case "decimal":
            inner: dict[str, Any] = dict(kind.children)
            return amount(inner["precision"], inner["scale"], general)
    return general


EIGHT = 2**63


def amount(precision: int, scale: int, general: Taker) -> Taker:
    """A taker of decimals: those of few digits are seen to fit at once."""
    most = min(precision - scale, 15)
    limit = 10**most

    def taken(value: Any) -> Any:
        if type(value) is Decimal:
            exponent = value.as_tuple().exponent
            if type(exponent) is int and -scale <= exponent <= 0 and -limit < value < limit:
                return value
        return general(value)

    return taken
