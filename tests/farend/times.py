"""Sessions in the vendor's units: New York's days, but UTC's for currencies."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


def zone_of(ticker: str) -> tzinfo:
    """Where a ticker's day begins."""
    return UTC if ticker.startswith(("X:", "C:")) else NEW_YORK


@lru_cache(maxsize=8192)
def at_ns(day: date, hour: int = 0, minute: int = 0, zone: tzinfo = NEW_YORK) -> int:
    """An instant of a day in its zone, in ns since 1970 UTC."""
    return int(datetime.combine(day, time(hour, minute), zone).timestamp()) * SECOND_NS


def end_ns(day: date, zone: tzinfo = NEW_YORK) -> int:
    """The midnight after a day."""
    return at_ns(day + timedelta(days=1), zone=zone)


def day_of(ns: int, zone: tzinfo = NEW_YORK) -> date:
    """The day of an instant in a zone."""
    return datetime.fromtimestamp(ns // SECOND_NS, UTC).astimezone(zone).date()


def ms(ns: int) -> int:
    return ns // 1_000_000
