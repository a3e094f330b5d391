"""How the columns of a SQLite table are read, so that each value comes as it is kept.

SQLite keeps values of any class in any column. The driver gives a column one type: it makes reals of whole numbers, and text of either, without a word.
So what is read has one class, and is made sure of in the query: what is of another class ends it, and the column is read anew, a class at a time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.tables import quote
from workbench.tables.record import Field

if TYPE_CHECKING:
    import pyarrow as pa

CLASSES = ("integer", "real", "text", "blob")
# A value of each class, which tells the driver the type of its column.
FIRST = {"integer": "0", "real": "0.0", "text": "''", "blob": "x''"}
# What SQLite raises at once where a value is not what it was taken for.
TRIP = "abs(-9223372036854775807 - 1)"
TRIPPED = ("integer overflow", "Type mismatch in column")
# Doubles have each whole number up to this.
EXACT = 2**53
NUMBER = re.compile(rb"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Classes:
    """The classes of values in a column, and whether one is a whole number that no double has."""

    found: frozenset[str]
    wide: bool = False


@dataclass(frozen=True)
class Part:
    """A column of the query: an expression, and the class of its values."""

    expression: str
    kind: str


@dataclass(frozen=True)
class Reading:
    """How one column is read: as a part of the query, or several of which each row has a value in one at most."""

    name: str
    field: Field
    parts: tuple[Part, ...]

    def joined(self, parts: "Sequence[pa.Array]") -> "pa.Array | list[Any]":
        """The column, of what came of its parts."""
        from pyarrow import compute as pc

        told = [numeral(part) if one.kind == "blob" and counts(self.field) else part for one, part in zip(self.parts, parts, strict=True)]
        filled = [part for part in told if part.null_count < len(part)] or told[:1]
        if len(filled) == 1:
            return filled[0]
        if len({part.type for part in filled}) == 1:
            return pc.coalesce(*filled)
        each = [part.to_pylist() for part in filled]
        return [next((one for one in row if one is not None), None) for row in zip(*each, strict=True)]


def asked(columns: Sequence[str], source: str) -> str:
    """The query for the classes of columns, for `found`."""
    each = [f"max(typeof({quote(name)}) = '{one}')" for name in columns for one in CLASSES]
    wide = [f"max(typeof({quote(name)}) = 'integer' AND {quote(name)} NOT BETWEEN {-EXACT} AND {EXACT})" for name in columns]
    return f"SELECT {', '.join(each + wide)} FROM {source}"


def found(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Classes]:
    """The classes of columns, from what the query gave."""
    step = len(CLASSES)
    kinds = {
        name: frozenset(one for one, yes in zip(CLASSES, row[n * step : (n + 1) * step], strict=True) if yes)
        for n, name in enumerate(columns)
    }
    return {name: Classes(kinds[name], bool(row[len(columns) * step + n])) for n, name in enumerate(columns)}


def reading(name: str, declared: str, field: Field, classes: Classes) -> Reading:
    """How to read a column that fills one of ours, by the classes that were seen in it."""
    value, kinds = quote(name), classes.found or {usual(declared)}
    if counts(field) and kinds == {"integer", "real"} and not classes.wide:
        # Whole numbers among fractions: one column of doubles has them all.
        whole = f"CASE WHEN {value} BETWEEN {-EXACT} AND {EXACT} THEN CAST({value} AS REAL) ELSE {TRIP} END"
        number = f"CASE typeof({value}) WHEN 'real' THEN {value} WHEN 'integer' THEN {whole} WHEN 'null' THEN NULL ELSE {TRIP} END"
        return Reading(name, field, (Part(number, "real"),))
    if len(kinds) > 1:
        return Reading(name, field, tuple(Part(f"CASE WHEN typeof({value}) = '{one}' THEN {value} END", one) for one in CLASSES))
    [kind] = kinds
    # The driver itself stops at what is not whole in a column of whole numbers; and SQLite makes reals of all numbers in a column of those.
    sure = kind == "integer" or (kind == "real" and affinity(declared) == "real")
    return Reading(
        name, field, (Part(value if sure else f"CASE WHEN typeof({value}) IN ('{kind}', 'null') THEN {value} ELSE {TRIP} END", kind),)
    )


def counts(field: Field) -> bool:
    """Whether a column of ours takes whole numbers and fractions for the same."""
    return field.type == "DOUBLE" or field.type.startswith("DECIMAL")


def affinity(declared: str) -> str:
    """The class that SQLite makes values of where it can, by a column's declared type; "number" for either kind of number, "" for none."""
    told = declared.upper()
    if "INT" in told:
        return "number"
    if any(one in told for one in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not told or "BLOB" in told or told == "ANY":
        return ""
    return "real" if any(one in told for one in ("REAL", "FLOA", "DOUB")) else "number"


def usual(declared: str) -> str:
    """The class that values of a column have most likely, where none was seen."""
    return {"number": "integer", "real": "real"}.get(affinity(declared), "text")


def numeral(array: "pa.Array") -> "pa.Array":
    """Numbers with more digits than a double keeps, which an export put in as bytes: as text. Others stay as they are."""
    import pyarrow as pa

    values = array.to_pylist()
    if all(one is None or NUMBER.fullmatch(one) for one in values):
        return pa.array([None if one is None else one.decode() for one in values], pa.string())
    return array
