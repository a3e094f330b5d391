"""What people write into a column, as the lake keeps it: every type of a documented column, in Python and in Arrow. Nothing is lost on the way, or it is refused.

Types are DuckDB's. UUID and JSON stand in files as text; the views show them as what they are.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from workbench.lake.stored import BITS, as_text, stored, typed

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

__all__ = ["BITS", "Refused", "as_text", "stored", "taker", "typed"]

Taker = Callable[[Any], Any]

# Finer than microseconds, which is what is kept.
FINER = re.compile(r"[.,]\d{6}0*[1-9]")
SHOWN = 60
# More than any column keeps.
MOST_DIGITS = 400
MOST_BITS = 1328


class Refused(ValueError):
    """A value that its column cannot take; says why."""


def taker(kind: "DuckDBPyType") -> Taker:
    """What makes a value of a type, as it is kept, out of one that is not None, or raises `Refused`."""
    if str(kind) == "JSON":
        return as_json
    if kind.id in BITS:
        return partial(whole, 2 ** (BITS[kind.id] - 1))
    simple: dict[str, Taker] = {
        "varchar": text,
        "uuid": uuid,
        "double": double,
        "boolean": boolean,
        "date": day,
        "timestamp with time zone": instant,
    }
    if kind.id in simple:
        return simple[kind.id]
    inner: dict[str, Any] = dict(kind.children)
    match kind.id:
        case "decimal":
            return partial(decimal, inner["precision"], inner["scale"])
        case "list":
            return partial(several, taker(inner["child"]))
        case "map":
            return partial(mapping, taker(inner["key"]), taker(inner["value"]))
        case _:
            return partial(struct, {name: taker(one) for name, one in inner.items()})


def plain(value: Any) -> Any:
    """A value as Python has it, of one that NumPy or Pandas has; None for what they call missing."""
    kind = type(value)
    if kind.__module__ == "numpy":
        return value.tolist()
    return None if kind.__name__ in ("NaTType", "NAType") else value


def shown(value: object) -> str:
    """A value in a message."""
    try:
        told = repr(value)
    except (ValueError, RecursionError):
        # Python writes out no number of more than 4,300 digits, and no list in too many others.
        told = f"<{type(value).__name__}>"
    return brief(told)


def brief(value: object) -> str:
    """A text, or what a value says of itself, cut short."""
    told = str(value)
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"


# ---------------------------------------------------------------------- one value


def text(value: Any) -> str:
    """Text, and what is told by one."""
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise Refused(f"{shown(value)} is no text; give it as one")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused(f"{shown(value)} holds half a character, which no file can keep") from None
    return str(value)


def number(value: Any) -> int | float | Decimal:
    """A finite number. Truth and text are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Refused(f"{shown(value)} is no number{'; give it without quotes' * isinstance(value, str)}")
    if not (value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or math.isfinite(value)):
        raise Refused(f"{value} is no finite number; leave the value out where there is none")
    # To write out, or to make whole, a number of a billion digits would take all memory.
    if value.bit_length() > MOST_BITS if isinstance(value, int) else isinstance(value, Decimal) and value.adjusted() > MOST_DIGITS:
        raise Refused(f"a number of more than {MOST_DIGITS} digits is kept by no column")
    return value


def whole(limit: int, value: Any) -> int:
    """A whole number from `-limit` to below `limit`."""
    told = number(value)
    if told != int(told):
        raise Refused(f"{brief(value)} is no whole number")
    if not -limit <= told < limit:
        raise Refused(f"{brief(value)} is not between {-limit:,} and {limit - 1:,}")
    return int(told)


def double(value: Any) -> float:
    """A number that 64 bits keep as it is."""
    told = number(value)
    if isinstance(told, float):
        return told
    try:
        near = float(told)
    except OverflowError:
        near = math.inf
    # A decimal is kept by the shortest digits that give the same number back.
    if not math.isfinite(near) or (int(near) != told if isinstance(told, int) else Decimal(repr(near)) != told):
        raise Refused(f"{brief(value)} has more digits than a DOUBLE keeps")
    return near


def decimal(precision: int, scale: int, value: Any) -> Decimal:
    """A number of so many digits, so many of them after the point; text may tell one, and a float is what its shortest digits say."""
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation:
            raise Refused(f"{shown(value)} is no number") from None
    told = number(value)
    exact = (Decimal(repr(told)) if isinstance(told, float) else Decimal(told)) or Decimal(0)
    # Decimal's own arithmetic rounds to 28 digits.
    if exact and exact.adjusted() >= precision - scale:
        raise Refused(f"{brief(value)} has more than {precision - scale} digits before the point")
    _, digits, power = exact.as_tuple()
    spare = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    if exact and isinstance(power, int) and -(power + spare) > scale:
        raise Refused(f"{brief(value)} has more than {scale} digits after the point; round it first")
    return exact


def boolean(value: Any) -> bool:
    """True or false."""
    # SQLite has no truth values, and writes 0 and 1.
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise Refused(f"{shown(value)} is neither true nor false")


def day(value: Any) -> date:
    """A date; text in ISO form tells one."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            raise Refused(f"{shown(value)} is no date; write it as 2024-03-07") from None
    if isinstance(value, datetime):
        # Pandas has no dates, only midnights.
        if value.tzinfo or value != datetime(value.year, value.month, value.day):
            raise Refused(f"{value} is a time, not a date; say of which zone the date is to be, as .date() of it")
        return value.date()
    if isinstance(value, date):
        return value
    raise Refused(f"{shown(value)} is no date; give a date, or write it as 2024-03-07")


def instant(value: Any) -> datetime:
    """A time with a zone, in UTC; text in ISO form tells one."""
    told = value
    if isinstance(value, str):
        try:
            told = datetime.fromisoformat(value.strip())
        except ValueError:
            raise Refused(f"{shown(value)} is no time; write it as 2024-03-07T14:30:00Z") from None
        if FINER.search(value):
            raise Refused(f"{value} is finer than the microseconds that are kept; round it first")
    if not isinstance(told, datetime):
        raise Refused(f"{shown(value)} is no time; give a datetime with a zone, or write it as 2024-03-07T14:30:00Z")
    if told.tzinfo is None or told.utcoffset() is None:
        raise Refused(f"{value} names no zone; write {told.isoformat()}Z if it is UTC, or with its offset, as {told.isoformat()}-05:00")
    if getattr(told, "nanosecond", 0):
        raise Refused(f"{value} is finer than the microseconds that are kept; round it first")
    try:
        moved = told.astimezone(UTC)
    except OverflowError:
        raise Refused(f"{value} lies outside the years 1 to 9999 in UTC") from None
    return datetime.combine(moved.date(), moved.time(), UTC)


def uuid(value: Any) -> str:
    """A UUID as text, in its usual form."""
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(text(value)))
    except ValueError:
        raise Refused(f"{shown(value)} is no UUID") from None


def as_json(value: Any) -> str:
    """JSON as text: a text is taken for JSON already, anything else is written as such."""
    if not isinstance(value, str):
        try:
            return text(json.dumps(value, allow_nan=False, ensure_ascii=False))
        except (TypeError, ValueError, RecursionError) as fault:
            raise Refused(f"{shown(value)} cannot be written as JSON: {fault}") from None
    try:
        told = json.loads(value, parse_constant=no_constant)
        # Escapes may tell half a character, too, at which DuckDB stops: the whole table could not be read any more.
        json.dumps(told, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(f"{shown(value)} holds half a character, which no file can keep") from None
    except (ValueError, RecursionError) as fault:
        raise Refused(f"{shown(value)} is no JSON ({fault}); a text of its own is {json.dumps(value)[:SHOWN]}") from None
    return text(value)


def no_constant(name: str) -> None:
    """NaN and infinities, which Python reads, are no JSON."""
    raise ValueError(f"{name} is none of its numbers")


# ---------------------------------------------------------------------- several values


def several(each: Taker, value: Any) -> list[Any]:
    """A list, each of its values taken by `each`."""
    if not isinstance(value, list | tuple):
        raise Refused(f"{shown(value)} is no list")
    return [within(f"[{at}]", each, one) for at, one in enumerate(value)]


def mapping(key: Taker, each: Taker, value: Any) -> list[tuple[Any, Any]]:
    """A mapping as pairs."""
    pairs = pairs_of(value)
    if pairs is None:
        raise Refused(f"{shown(value)} is no mapping; give a dict")
    if any(name is None for name, _ in pairs):
        raise Refused(f"{shown(value)} has a key that is None")
    made = [(within("a key", key, name), within(f"[{name!r}]", each, one)) for name, one in pairs]
    if len({name for name, _ in made}) < len(made):
        raise Refused(f"{shown(value)} has a key twice")
    return made


def pairs_of(value: Any) -> list[tuple[Any, Any]] | None:
    """Keys with their values, of a dict or of what Arrow and Polars have for one; None if it is none."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        if all(isinstance(one, tuple) and len(one) == 2 for one in value):
            return list(value)
        if all(isinstance(one, Mapping) and set(one) == {"key", "value"} for one in value):
            return [(one["key"], one["value"]) for one in value]
    return None


def struct(fields: Mapping[str, Taker], value: Any) -> dict[str, Any]:
    """An object of some fields; those that it lacks are NULL."""
    if not isinstance(value, Mapping):
        raise Refused(f"{shown(value)} is no object; give a dict with {', '.join(fields)}")
    if odd := [str(name) for name in value if name not in fields]:
        raise Refused(f"it has no field {', '.join(odd)}; its fields are {', '.join(fields)}")
    return {name: within(f".{name}", take, value.get(name)) for name, take in fields.items()}


def within(where: str, take: Taker, value: Any) -> Any:
    """A value in another, None where there is none; a refusal says where."""
    try:
        return None if (value := plain(value)) is None else take(value)
    except Refused as fault:
        raise Refused(f"{where}: {fault}") from None
