"""Classes for documented tables, as an old program declared them by hand: columns, keys and relationships follow from the declarations."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.orm import registry, relationship

from workbench.errors import UnknownName
from workbench.orm.types import type_of
from workbench.tables import platforms
from workbench.tables.record import Record

if TYPE_CHECKING:
    from workbench.bench import Workbench

# Names that end like plurals and are none.
SAME = ("news", "status", "metrics", "analytics", "series")


class Models:
    """Mapped classes by their names: `models.Signal`, `models["kraken_bot.signals"]`; iterates over them. `metadata` has the tables, also those without a key."""

    def __init__(self, metadata: MetaData, classes: dict[str, type[Any]], tables: dict[str, type[Any]]):
        self.metadata, self._classes, self._tables = metadata, classes, tables

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._classes:
            raise AttributeError(f"there is no class {name!r}; there are {', '.join(sorted(self._classes))}")
        return self._classes[name]

    def __getitem__(self, name: str) -> Any:
        for one in (self._classes, self._tables):
            if name in one:
                return one[name]
        raise UnknownName("mapped class or table", name, (*self._classes, *self._tables))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._classes.values())

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._classes]

    def __repr__(self) -> str:
        return f"<Models {', '.join(self._classes)}>"


def models(platform: str, *names: str, bench: "Workbench | None" = None, naive: bool = False) -> Any:
    """The classes of a platform's tables, or of one schema's; given names, those classes alone, in their order.

    A class is called as its table, in the singular: Signal for signals, StrategyPerformance for strategy_performance; where two schemas have one name, with
    the schema's before it. A table that refers to another has that as an attribute, `trade.signal`, and is one of the other's, `signal.trades`. Tables without a
    key are only in `.metadata`. `bench` adds the tables that were created on its lake. `naive` gives times in UTC without their zone, as SQLite did;
    times without one are UTC's in any case. Raises `UnknownName`.
    """
    of = platforms.platform(platform)
    schemas = (platform.lower(),) if platform.lower() in of.schemas and len(of.schemas) > 1 and platform.lower() != of.name else of.schemas
    among = {**platforms.RECORDS, **(bench.records() if bench else {})}
    records = [one for one in among.values() if one.schema in schemas]
    made = mapped(records, naive=naive)
    return tuple(made[name] for name in names) if names else made


def mapped(records: Sequence[Record], *, naive: bool) -> Models:
    """Classes for some tables. References to tables that are not among them are columns only."""
    base = registry()
    called = Counter(singular(one.name) for one in records)
    classes: dict[str, type[Any]] = {}
    tables: dict[str, type[Any]] = {}
    here = {one.full for one in records}
    for record in records:
        name = singular(record.name)
        if called[name] > 1:
            name = singular(record.schema) + name
        columns = [
            Column(
                one.name,
                type_of(one, naive=naive),
                primary_key=one.name in record.key,
                nullable=not one.required,
                autoincrement=False,
                comment=one.doc,
            )
            for one in record.columns
        ]
        told = [ForeignKeyConstraint(one.columns, [f"{one.table}.{to}" for to in one.to]) for one in record.references if one.table in here]
        table = Table(record.name, base.metadata, *columns, *told, schema=record.schema, comment=record.doc)
        if record.key:
            classes[name] = tables[record.full] = type(name, (Mapped,), {"__doc__": record.doc, "__module__": __name__, "__table__": table})
    for record in records:
        if record.full in tables:
            base.map_imperatively(tables[record.full], tables[record.full].__table__, properties=related(record, records, tables))
    base.configure()
    return Models(base.metadata, classes, tables)


def related(record: Record, records: Sequence[Record], tables: dict[str, type[Any]]) -> dict[str, Any]:
    """What a table's rows refer to, and what refers to them."""
    found: dict[str, Any] = {}
    for one in record.references:
        if one.table in tables:
            name = one.columns[0].removesuffix("_id")
            found[name] = relationship(tables[one.table], back_populates=record.name)
    for other in records:
        for one in other.references:
            if one.table == record.full and other.full in tables:
                found[other.name] = relationship(tables[other.full], back_populates=one.columns[0].removesuffix("_id"))
    return found


class Mapped:
    """A row of a documented table."""

    __table__: Table

    def __init__(self, **values: Any):
        for name, value in values.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self.__table__.columns.keys())}")
            setattr(self, name, value)

    def __repr__(self) -> str:
        keys = ", ".join(f"{one.name}={self.__dict__.get(one.name)!r}" for one in self.__table__.primary_key)
        return f"<{type(self).__name__} {keys}>"


def singular(name: str) -> str:
    """A table's name as a class's: strategy_definitions is StrategyDefinition."""
    words = name.split("_")
    last = words[-1]
    if last not in SAME:
        last = re.sub(r"(?<=[^aeiou])ies$", "y", last) if last.endswith("ies") else re.sub(r"(?<=[^s])s$", "", last)
    return "".join(word.capitalize() for word in (*words[:-1], last))
