"""The types of documented columns as SQLAlchemy has them. A time without a zone is UTC's, as old programs write them."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import types
from sqlalchemy.engine import Dialect

from workbench.tables.record import Field

SIMPLE: dict[str, Any] = {
    "VARCHAR": types.String,
    "DOUBLE": partial(types.Float, 53),
    "BOOLEAN": types.Boolean,
    "DATE": types.Date,
    "TIME": types.Time,
    "TINYINT": types.SmallInteger,
    "SMALLINT": types.SmallInteger,
    "INTEGER": types.Integer,
    "BIGINT": types.BigInteger,
    "UUID": types.Uuid,
}


class Instant(types.TypeDecorator[datetime]):
    """TIMESTAMPTZ. Takes times of any zone, and those without one as UTC's; gives UTC's, with the zone or, for old programs, without."""

    impl = types.DateTime(timezone=True)
    cache_ok = True

    def __init__(self, naive: bool = False):
        super().__init__(timezone=True)
        self.naive = naive

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        if not isinstance(value, datetime):
            return value
        told = value.astimezone(UTC)
        return told.replace(tzinfo=None) if self.naive else told


class Json(types.UserDefinedType[Any]):
    """JSON, as Python has it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name in SQL."""
        return "JSON"

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ARG002
        """Text."""
        return lambda value: value if value is None or isinstance(value, str) else json.dumps(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """What the text says."""
        return lambda value: None if value is None else json.loads(value)


class Nested(types.UserDefinedType[Any]):
    """A MAP, STRUCT or LIST, as Python has it: dicts and lists."""

    cache_ok = True

    def __init__(self, name: str):
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """Its name in SQL."""
        return self.name


def type_of(column: Field, *, naive: bool = False) -> Any:
    """A column's type in SQLAlchemy."""
    if column.type in SIMPLE:
        return SIMPLE[column.type]()
    if column.type == "TIMESTAMPTZ":
        return Instant(naive)
    if column.type == "JSON":
        return Json()
    if column.type.startswith("DECIMAL(") and column.type.endswith(")"):
        precision, scale = column.type[8:-1].split(",")
        return types.Numeric(int(precision), int(scale))
    return Nested(column.type)
