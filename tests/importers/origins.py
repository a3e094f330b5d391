"""A made-up old database, for tests: tables in memory, which may fail, wait, or be written to meanwhile."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from workbench.importers.origin import Arrived, Asked, Column, Held, Origin, Reject
from workbench.tables.platforms import RECORDS

Row = dict[str, Any]


class Fake(Origin):
    """Tables as lists of rows. `batch` rows come at once; `fails` is called before each batch, with the table and the number of batches before it."""

    kind = "fake"

    def __init__(self, tables: Mapping[str, Sequence[Row]], label: str = "fake:bot", batch: int = 3, sorts: Sequence[str] = ("id",)):
        self.held = {name: list(rows) for name, rows in tables.items()}
        self.label, self.batch, self.sorts = label, batch, sorts
        self.kinds: dict[str, str] = {}
        self.fails: Callable[[str, int], None] = lambda _table, _number: None
        self.odd: dict[str, list[Reject]] = {}
        self.asked: list[Asked] = []
        self.read = 0
        self.closed = 0
        self.left = 0
        self.threads: set[int] = set()

    def tables(self) -> list[Held]:
        self.threads.add(threading.get_ident())
        found = []
        for name, rows in self.held.items():
            columns = dict.fromkeys(column for row in rows for column in row)
            found.append(Held(name, tuple(Column(one, self.kinds.get(one, "TEXT")) for one in columns), len(rows)))
        return found

    def batches(self, asked: Asked) -> Iterator[Arrived]:
        self.threads.add(threading.get_ident())
        self.asked.append(asked)
        rows = self.held[asked.table.name]
        if asked.since:
            by, value = asked.since
            rows = [row for row in rows if row[by] is not None and row[by] >= value]
        if asked.order:
            rows = sorted(rows, key=lambda row: row[asked.order])
        odd = self.odd.get(asked.table.name, [])
        try:
            for number, at in enumerate(range(0, len(rows), self.batch)):
                self.fails(asked.table.name, number)
                some = rows[at : at + self.batch]
                self.read += len(some)
                yield Arrived(len(some), {name: column([row.get(name) for row in some]) for name in asked.columns}, odd if not at else ())
        finally:
            self.left += 1

    def ordered(self, table: Held, column: str) -> bool:
        return column in self.sorts

    def close(self) -> None:
        self.closed += 1


def column(values: list[Any]) -> Any:
    """An Arrow column, or a list where values are of several types."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError):
        return values


def signal(number: int, **others: Any) -> dict[str, Any]:
    """A row of kraken_bot.signals."""
    return {"id": number, **RECORDS["kraken_bot.signals"].example, **others}


def trade(number: int, signal_id: int | None = None, **others: Any) -> dict[str, Any]:
    """A row of kraken_bot.trades."""
    return {"id": number, "signal_id": signal_id, **RECORDS["kraken_bot.trades"].example, **others}


def holding(symbol: str, **others: Any) -> dict[str, Any]:
    """A row of kraken_bot.holdings."""
    return {**RECORDS["kraken_bot.holdings"].example, "symbol": symbol, **others}
