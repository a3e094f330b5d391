"""Rows of reference data against what their table declares: what becomes a typed row, and what is set apart with its reason.

Every row that came in is accounted for: taken, said twice over, or refused.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from workbench.sources.reference import Refused, Row
from workbench.tables import Column, Table

INTEGERS = {"BIGINT": 63, "INTEGER": 31, "SMALLINT": 15, "TINYINT": 7}
# What is earlier or later than the lives of companies and their papers is a slip.
YEARS = range(1800, 2200)
# Columns that the lake sets.
OURS = ("source", "seen_at", "first_seen", "last_seen")
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

Reader = Callable[[Any], Any]


class Unfit(Exception):
    """A value that its column cannot take; the text says what is wrong with it."""


@dataclass
class Checked:
    """What became of rows. `repeated` counts those that say the same as one before them."""

    rows: list[Row] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    repeated: int = 0
    undeclared: set[str] = field(default_factory=set)


def check(table: Table, rows: Iterable[Row]) -> Checked:
    """The rows that keep their table's promises, each with all the columns that it was told, in the declared types; and the others."""
    done = Checked()
    told = [column for column in table.columns if column.name not in OURS]
    readers = [(column, column.name, reader(column)) for column in told]
    names = {column.name for column in table.columns}
    known: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            done.refused.append(Refused(row, "it is not an object with fields"))
            continue
        try:
            made = read(row, readers)
            sane(table.name, made)
        except Unfit as fault:
            done.refused.append(Refused(row, str(fault)))
            continue
        done.undeclared |= row.keys() - names
        key = tuple(made.get(name) for name in table.key)
        if (before := known.get(key)) is None:
            known[key] = made
            done.rows.append(made)
        elif before == made:
            done.repeated += 1
        else:
            done.refused.append(Refused(row, f"another row of the listing has its key ({', '.join(table.key)})"))
    return done


def read(row: Row, readers: Sequence[tuple[Column, str, Reader]]) -> Row:
    """A row in declared types. Raises `Unfit`."""
    made = {}
    for column, name, reads in readers:
        value = row.get(name)
        if value is None or value == "":
            if column.required and name != "updated_at":
                raise Unfit(f"{name} is missing")
            continue
        try:
            made[name] = reads(value)
        except Unfit as fault:
            raise Unfit(f"{name} {fault}") from None
    return made


def sane(table: str, row: Row) -> None:
    """Raise `Unfit` for a row whose columns contradict each other."""
    if table == "splits" and not (row["split_from"] > 0 and row["split_to"] > 0):
        raise Unfit("split_from and split_to must be more than 0")
    if table == "ticker_changes" and (row.get("first_date") or date.min) > (row.get("last_date") or date.max):
        raise Unfit("first_date is after last_date")
    if table == "tickers" and (row.get("listed") or date.min) > (row.get("delisted") or date.max):
        raise Unfit("listed is after delisted")
    if table == "fundamentals" and row["period"] not in ("annual", "quarterly", "ttm", "snapshot"):
        raise Unfit(f"period is {row['period']!r}, not annual, quarterly, ttm or snapshot")


# ---------------------------------------------------------------------- values


def reader(column: Column) -> Reader:
    """What turns a value as a source tells it into one of a column's type, or raises `Unfit`."""
    if column.type == "DOUBLE" or column.type in INTEGERS:
        return lambda value: number(value, column)
    symbol = column.name in ("ticker", "asset")
    readers: dict[str, Reader] = {
        "VARCHAR": symbolic if symbol else text,
        "VARCHAR[]": texts,
        "BOOLEAN": flag,
        "DATE": day,
        "TIMESTAMPTZ": instant,
    }
    return readers[column.type]


def text(value: Any) -> str:
    """A text; ids that come as whole numbers are texts."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Unfit(f"is {shown(value)}, not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unfit("is not whole text: half a character is in it") from None
    return value


def symbolic(value: Any) -> str:
    """A symbol, as it is written: case and inner spaces are the source's, but nothing invisible belongs in it."""
    if not isinstance(value, str):
        raise Unfit(f"is {shown(value)}, not a text")
    if value != value.strip() or CONTROLS.search(value):
        raise Unfit(f"is {value!r}, with spaces around it or invisible characters in it")
    return text(value)


def texts(value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, (list, tuple)):
        raise Unfit(f"is {shown(value)}, not a list")
    return [text(one) for one in value]


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Unfit(f"is {shown(value)}, neither true nor false")
    return value


def number(value: Any, column: Column) -> float | int:
    """A finite number in the column's range; a whole one where the type says so."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise Unfit(f"is {shown(value)}, not a number")
    made: float | int
    if (bits := INTEGERS.get(column.type)) is not None:
        if not isfinite(value) or int(value) != value or not -(2**bits) <= value < 2**bits:
            raise Unfit(f"is {value}, not a whole number that fits")
        made = int(value)
    else:
        try:
            made = float(value)
        except OverflowError:
            raise Unfit("is too large a number") from None
        if not isfinite(made):
            raise Unfit(f"is {value}, not a number")
    if (column.low is not None and made < column.low) or (column.high is not None and made > column.high):
        raise Unfit(f"is {made:g}, out of its range")
    return made


def day(value: Any) -> date:
    """A date."""
    if isinstance(value, datetime):
        raise Unfit(f"is {value}, an instant and not a date")
    try:
        made = value if isinstance(value, date) else date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else None
    except (TypeError, ValueError):
        made = None
    if made is None:
        raise Unfit(f"is {shown(value)}, not a date as 2024-03-01")
    if made.year not in YEARS:
        raise Unfit(f"is {made}, out of its range")
    return made


def instant(value: Any) -> datetime:
    """An instant; one without a zone could be any of several."""
    try:
        made = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unfit(f"is {shown(value)}, not an instant as 2024-03-01T14:30:00Z") from None
    if made.tzinfo is None:
        raise Unfit(f"is {shown(value)}, an instant without a zone")
    if made.year not in YEARS:
        raise Unfit(f"is {made}, out of its range")
    return made.astimezone(UTC)


def shown(value: Any) -> str:
    """A value in few characters."""
    told = repr(value)
    return told if len(told) <= 40 else f"{told[:39]}…"
