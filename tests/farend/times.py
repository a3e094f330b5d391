"""New York's sessions in the vendor's units."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


@lru_cache(maxsize=4096)
def at_ns(day: date, hour: int = 0, minute: int = 0) -> int:
    """An instant of a day in New York, in ns since 1970 UTC."""
    return int(datetime.combine(day, time(hour, minute), NEW_YORK).timestamp()) * SECOND_NS


def end_ns(day: date) -> int:
    """The midnight after a day."""
    return at_ns(day + timedelta(days=1))


def day_of(ns: int) -> date:
    """The day in New York of an instant."""
    return datetime.fromtimestamp(ns // SECOND_NS, UTC).astimezone(NEW_YORK).date()


def ms(ns: int) -> int:
    return ns // 1_000_000
