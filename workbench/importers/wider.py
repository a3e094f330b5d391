"""A value of an old database as the lake keeps it, one at a time: whatever the verbs take, and what else tells the same without loss.

Text that tells a number, a date, a time or a truth is read; so are numbers that tell an instant since 1970, and JSON of what is kept as MAP, STRUCT or
LIST. Times without a zone are in the import's. What is finer than microseconds is cut, and counted.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any
from uuid import UUID

from workbench.importers.ways import NOISE, QUIET, SURE_DIGITS
from workbench.lake.stored import BITS, typed
from workbench.query.values import (
    FINER,
    Refused,
    Taker,
    as_json,
    boolean,
    brief,
    day,
    decimal,
    double,
    instant,
    mapping,
    plain,
    several,
    shown,
    struct,
    text,
    uuid,
    whole,
)
from workbench.tables.record import Field

TRUE, FALSE = frozenset(("true", "t", "yes", "y", "on", "1")), frozenset(("false", "f", "no", "n", "off", "0"))
# A number since 1970 is one of seconds below the first of these, of milliseconds below the second, of microseconds below the third, else of nanoseconds:
# as seconds the first is in the year 5138, as milliseconds in 1973.
EPOCHS = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))
# Eight digits are a date.
EPOCH_TEXT = re.compile(r"-?\d{9,}(\.\d+)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass
class Cut:
    """How many times were finer than microseconds."""

    count: int = 0


def wide(field: Field, zone: tzinfo, cut: Cut) -> Taker:
    """What makes a value for a column out of one that is not None: the value as it is kept, or None of empty text where a column may be so.

    Raises `Refused`.
    """
    kind = typed(field.type)
    inner = taker(kind, zone, cut)
    if str(kind) != "JSON" and kind.id == "varchar":
        return inner

    def taken(value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            if field.required:
                raise Refused("it is empty text, and every row must have it")
            return None
        return inner(value)

    return taken


def taker(kind: Any, zone: tzinfo, cut: Cut) -> Taker:
    """What makes a value of a type."""
    if str(kind) == "JSON":
        return partial(unpacked, as_json)
    if kind.id in BITS:
        return partial(numeric, partial(whole, 2 ** (BITS[kind.id] - 1)))
    simple: dict[str, Taker] = {
        "varchar": worded,
        "uuid": identity,
        "double": partial(numeric, double),
        "boolean": truth,
        "date": partial(dated, zone),
        "timestamp with time zone": partial(timed, zone, cut),
    }
    if kind.id in simple:
        return simple[kind.id]
    of: dict[str, Any] = dict(kind.children)
    each = {name: taker(one, zone, cut) for name, one in of.items() if hasattr(one, "id")}
    match kind.id:
        case "decimal":
            return partial(amount, of["precision"], of["scale"])
        case "list":
            return partial(of_json, partial(several, each["child"]))
        case "map":
            return partial(of_json, partial(mapping, each["key"], each["value"]))
        case _:
            return partial(of_json, partial(struct, each))


# ---------------------------------------------------------------------- one value


def worded(value: Any) -> str:
    """Text, and whatever is told by one."""
    match value:
        case str() | UUID():
            return text(value)
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            raise Refused(f"{value} is no finite number; leave the value out where there is none")
        case int() | float() | Decimal():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise Refused(f"{shown(value)} is no text in UTF-8") from None
        case Mapping() | list() | tuple():
            return as_json(value)
    return text(value)


def numeric(take: Callable[[Any], Any], value: Any) -> Any:
    """A number, and text that tells one."""
    if isinstance(value, str):
        try:
            told = Decimal(value.strip())
        except InvalidOperation:
            raise Refused(f"{shown(value)} is no number") from None
        return take(told)
    return take(value)


def amount(precision: int, scale: int, value: Any) -> Any:
    """A number of so many digits. A double, as all of JSON's numbers are, may be off by the noise of sums: 0.30000000000000004 is 0.3."""
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and len(value.as_tuple().digits) > SURE_DIGITS
        and Decimal(repr(float(value))) == value
    ):
        value = float(value)
    if isinstance(value, float) and abs(value) < QUIET / 10**scale:
        near = round(Decimal(repr(value)), scale)
        if abs(float(near) - value) <= NOISE * math.ulp(value):
            value = near
    return numeric(partial(decimal, precision, scale), value)


def truth(value: Any) -> bool:
    """True or false, in numbers or in words."""
    if isinstance(value, str) and (told := value.strip().lower()) in TRUE | FALSE:
        return told in TRUE
    if isinstance(value, Decimal):
        value = float(value) if value.is_finite() else None
    return bool(value) if isinstance(value, float) and value in (0, 1) else boolean(value)


def identity(value: Any) -> str:
    """A UUID as text, and one in 16 bytes."""
    if isinstance(value, bytes) and len(value) == 16:
        return str(UUID(bytes=value))
    return uuid(value.strip() if isinstance(value, str) else value)


def dated(zone: tzinfo, value: Any) -> date:
    """A date, and a time that is a midnight."""
    told = value
    if isinstance(value, str):
        told = value.strip()
        if len(told) <= 10:
            return day(told)
        try:
            told = datetime.fromisoformat(zoned_text(told))
        except ValueError:
            raise Refused(f"{shown(value)} is no date") from None
    if not isinstance(told, datetime):
        return day(told)
    # Databases without dates keep midnights, of UTC or of their own zone.
    for seen in (told,) if told.tzinfo is None else (told.astimezone(UTC), told.astimezone(zone)):
        if not (seen.hour or seen.minute or seen.second or seen.microsecond or getattr(seen, "nanosecond", 0)):
            return seen.date()
    raise Refused(f"{shown(value) if isinstance(value, str) else value} has a time of day, which a date does not keep")


def timed(zone: tzinfo, cut: Cut, value: Any) -> datetime:
    """A time, where it names no zone in the import's; a date's midnight; a number since 1970."""
    if isinstance(value, str):
        return timed_text(zone, cut, value)
    if isinstance(value, bool):
        raise Refused(f"{value} is no time")
    if isinstance(value, int | float | Decimal):
        return since_1970(cut, value)
    if not isinstance(value, date):
        raise Refused(f"{shown(value)} is no time")
    told = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    cut.count += bool(getattr(told, "nanosecond", 0))
    if hasattr(told, "to_pydatetime"):
        # Pandas' own, which is finer.
        told = told.to_pydatetime(warn=False)
    return instant(told if told.tzinfo is not None else placed(told, zone))


def timed_text(zone: tzinfo, cut: Cut, value: str) -> datetime:
    """A time that text tells."""
    told = value.strip()
    if EPOCH_TEXT.fullmatch(told):
        return since_1970(cut, Decimal(told))
    try:
        made = datetime.fromisoformat(zoned_text(told))
    except ValueError:
        raise Refused(f"{shown(value)} is no time") from None
    found = instant(made if made.tzinfo is not None else placed(made, zone))
    cut.count += bool(FINER.search(told))
    return found


def zoned_text(told: str) -> str:
    """A time's text with the zone in numbers."""
    return f"{told[:-4]}Z" if told[-4:].upper() in (" UTC", " GMT") else told


def placed(told: datetime, zone: tzinfo) -> datetime:
    """A time in a zone. Raises `Refused` for one that clocks there show twice, or never."""
    made = told.replace(tzinfo=zone, fold=0)
    try:
        if made.utcoffset() == made.replace(fold=1).utcoffset():
            return made
        moved = made.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise Refused(f"{told} lies outside the years 1 to 9999 in UTC") from None
    often = "twice" if moved == told.replace(fold=0) else "never"
    raise Refused(f"clocks in {zone} show {told} {often}; it names no instant")


def since_1970(cut: Cut, value: float | Decimal) -> datetime:
    """The instant of a number since 1970, whose unit its size tells. Digits beyond microseconds are cut."""
    try:
        told = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        raise Refused(f"{shown(value)} is no time") from None
    if not told.is_finite() or told.adjusted() > 20:
        raise Refused(f"{brief(value)} is no time")
    times = next((Decimal(scale) for limit, scale in EPOCHS if abs(told) < limit), Decimal("0.001"))
    exact = told * times
    made = math.floor(exact)
    cut.count += made != exact
    try:
        return EPOCH + made * MICROSECOND
    except OverflowError:
        raise Refused(f"{brief(value)} lies outside the years 1 to 9999") from None


# ---------------------------------------------------------------------- several values


def of_json(take: Taker, value: Any) -> Any:
    """A list, a mapping or an object, and its JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as fault:
            raise Refused(f"{shown(value)} is no JSON ({fault})") from None
    return take(value)


def unpacked(take: Taker, value: Any) -> Any:
    """What is to be JSON, with what only databases have told as text."""
    return take(value if isinstance(value, str) else told(value))


def told(value: Any) -> Any:
    """A value as JSON has it: dates, decimals and the like as text."""
    value = plain(value)
    match value:
        case Mapping():
            return {str(name): told(one) for name, one in value.items()}
        case list() | tuple():
            return [told(one) for one in value]
        case datetime() | date():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case bytes():
            return worded(value)
    return value
