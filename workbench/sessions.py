"""The trading calendar: which sessions exist, and when their files are due.

Sessions and special closures come from `exchange_calendars`; a file is due when the vendor says it is complete: by 11:00 New York
on the day after its session.
"""

import warnings
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from workbench.errors import BadRange
from workbench.tables.spec import NEW_YORK, Table

DUE_HOUR = 11


@cache
def calendar_days(name: str, start_year: int, end_year: int) -> tuple[date, ...]:
    """Every session of a calendar from one year to another, both included."""
    if name == "24/7":
        first = date(start_year, 1, 1)
        return tuple(first + timedelta(days=n) for n in range((date(end_year + 1, 1, 1) - first).days))
    import exchange_calendars

    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 deprecates; its users cannot do anything about it.
        warnings.simplefilter("ignore")
        calendar = exchange_calendars.get_calendar(name, start=f"{start_year}-01-01", end=f"{end_year}-12-31")
    return tuple(stamp.date() for stamp in calendar.sessions)


def between(table: Table, start: date, end: date) -> list[date]:
    """The table's sessions from `start` to `end`, both included, oldest first."""
    start = max(start, table.starts)
    if end < start:
        return []
    return [day for day in calendar_days(table.calendar, start.year, end.year) if start <= day <= end]


def due_at(day: date) -> datetime:
    """When a session's file is due."""
    return datetime(day.year, day.month, day.day, DUE_HOUR, tzinfo=ZoneInfo(NEW_YORK)) + timedelta(days=1)


def last_due(now: datetime | None = None) -> date:
    """The newest date whose file is due by now, be it a session or not."""
    local = (now or datetime.now(UTC)).astimezone(ZoneInfo(NEW_YORK))
    return local.date() - timedelta(days=1 if local.hour >= DUE_HOUR else 2)


def last_sessions(table: Table, count: int, now: datetime | None = None) -> list[date]:
    """The newest `count` sessions whose files are due, oldest first. Raises `BadRange` for a count below one."""
    if count < 1:
        raise BadRange(f"{count} sessions were asked for; at least one is needed. Nothing was done.")
    end = last_due(now)
    years = count // 250 + 2
    return between(table, date(max(end.year - years, 1990), 1, 1), end)[-count:]


def today() -> date:
    """Today's date in New York."""
    return datetime.now(ZoneInfo(NEW_YORK)).date()
