"""The trading calendar: which sessions exist, their hours, why a day is none, and when files are due.

Sessions, early closes and closures come from `exchange_calendars`; a file is due when the vendor says it is complete: by 11:00 New York
on the day after its session. Importing that library takes over a second, so what it says is kept in the user's cache folder
(`~/.cache/workbench`), by the library's version; losing that folder costs the second, once.
"""

import json
import os
import re
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from workbench.errors import BadRange
from workbench.tables.spec import NEW_YORK, Table

DUE_HOUR = 11
# Pre-market begins and post-market ends, in New York; the latter after an early close.
PRE, POST, EARLY_POST = time(4), time(20), time(17)
FIRST_YEAR = 1990
# Tells what is kept by this module from what is kept by other versions of it.
LAYOUT = 1

# What the library keeps as bare lists of dates, by the name of the list; the rest of its names are the holidays' own.
ONCE = {
    "USNationalDaysofMourning": "National Day of Mourning",
    "HurricaneSandyClosings": "Hurricane Sandy",
    "September11Closings": "11 September",
}
# Rules of early closes are named for many years at once: "Fridays after Independence Day prior to 2013".
EVE = re.compile(r".*\b(before|after) independence day\b.*", re.IGNORECASE)

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Hours:
    """When a session trades, in UTC, each part from its opening to its closing instant, half open; `early_close` names its reason, if it has one.

    Only stocks have a pre-market and a post-market.
    """

    session: date
    regular: Span
    pre: Span | None = None
    post: Span | None = None
    early_close: str = ""


@dataclass(frozen=True)
class Holiday:
    """A weekday without a session (no hours), or a session that closes early."""

    date: date
    name: str
    status: Literal["closed", "early_close"]
    open: datetime | None = None
    close: datetime | None = None


@dataclass(frozen=True)
class Calendar:
    """What the library says of a calendar: its sessions in order, opening and closing seconds since 1970 of each, and the days that are named."""

    days: tuple[date, ...]
    opens: tuple[int, ...]
    closes: tuple[int, ...]
    closed: Mapping[date, str]
    early: Mapping[date, str]

    def place(self, day: date) -> int | None:
        """Which session a day is; None if it is none."""
        at = bisect_left(self.days, day)
        return at if at < len(self.days) and self.days[at] == day else None


# ---------------------------------------------------------------------- ask


def between(table: Table, start: date, end: date) -> list[date]:
    """The table's sessions from `start` to `end`, both included, oldest first; none are known after the end of next year."""
    days = calendar(table.calendar).days
    return list(days[bisect_left(days, max(start, table.starts)) : bisect_right(days, end)])


def hours(table: Table, day: date) -> Hours | None:
    """When a session of the table trades; None for a day that is none."""
    known = calendar(table.calendar)
    at = known.place(day)
    if at is None:
        return None
    opens, closes = (datetime.fromtimestamp(seconds[at], UTC) for seconds in (known.opens, known.closes))
    early = known.early.get(day, "")
    if table.asset != "stocks":
        return Hours(day, (opens, closes), early_close=early)
    first, last = (datetime.combine(day, edge, ZoneInfo(NEW_YORK)).astimezone(UTC) for edge in (PRE, EARLY_POST if early else POST))
    return Hours(day, (opens, closes), (first, opens), (closes, last), early)


def why_closed(table: Table, day: date) -> str:
    """Why a day is no session of the table: Sunday, Good Friday, Hurricane Sandy; empty for a session."""
    if day < table.starts:
        return f"before {table.starts}, when {table.name} begins"
    known = calendar(table.calendar)
    if known.place(day) is not None:
        return ""
    if day > known.days[-1]:
        return f"after {known.days[-1]}, where the calendar ends"
    return known.closed.get(day) or f"{day:%A}"


def holidays(start: date, end: date, name: str = "XNYS") -> list[Holiday]:
    """The weekdays without a session and the early closes of a calendar, from `start` to `end`, both included, oldest first."""
    known = calendar(name)
    found = [Holiday(day, why, "closed") for day, why in known.closed.items() if start <= day <= end]
    for day, why in known.early.items():
        at = known.place(day)
        if start <= day <= end and at is not None:
            opens, closes = (datetime.fromtimestamp(seconds[at], UTC) for seconds in (known.opens, known.closes))
            found.append(Holiday(day, why, "early_close", opens, closes))
    return sorted(found, key=lambda one: one.date)


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
    return between(table, table.starts, last_due(now))[-count:]


def today() -> date:
    """Today's date in New York."""
    return datetime.now(ZoneInfo(NEW_YORK)).date()


# ---------------------------------------------------------------------- know


def calendar(name: str) -> Calendar:
    """A calendar by its name in exchange_calendars, from 1990 to the end of next year."""
    return loaded(name, today().year + 1)


@cache
def loaded(name: str, last_year: int) -> Calendar:
    """A calendar up to the end of a year: computed, or as it was kept when it was computed by the same library."""
    if name == "24/7":
        return endless(last_year)
    path = kept_at(name, last_year)
    with suppress(OSError, ValueError, KeyError, TypeError):
        return from_json(json.loads(path.read_text())) if path else computed(name, last_year)
    found = computed(name, last_year)
    if path:
        # A home that cannot be written to costs a second each time, and nothing else.
        with suppress(OSError):
            keep(path, found)
    return found


def endless(last_year: int) -> Calendar:
    """Every day from midnight to midnight UTC."""
    first = date(FIRST_YEAR, 1, 1)
    days = tuple(first + timedelta(days=n) for n in range((date(last_year + 1, 1, 1) - first).days))
    since = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    opens = tuple(since + 86_400 * n for n in range(len(days) + 1))
    return Calendar(days, opens[:-1], opens[1:], {}, {})


def computed(name: str, last_year: int) -> Calendar:
    """A calendar as the library computes it."""
    import exchange_calendars

    first, last = f"{FIRST_YEAR}-01-01", f"{last_year}-12-31"
    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses what pandas 3.1 deprecates; its users cannot do anything about it.
        warnings.simplefilter("ignore")
        found = exchange_calendars.get_calendar(name, start=first, end=last)
        rules = [found.regular_holidays] if found.regular_holidays is not None else []
        named = dict(chain.from_iterable(names_of(rule, first, last).items() for rule in rules)) | once()
        eves = dict(chain.from_iterable(names_of(rule, first, last).items() for _, rule in found.special_closes))
        days = tuple(stamp.date() for stamp in found.sessions)
        opens, closes = (tuple(int(stamp.timestamp()) for stamp in found.schedule[which]) for which in ("open", "close"))
        early = {stamp.date(): eves.get(stamp.date(), "early close") for stamp in found.early_closes}
    there = set(days)
    span = (days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days))
    closed = {day: named.get(day, "special closure") for day in span if day not in there and day.weekday() < 5}
    return Calendar(days, opens, closes, closed, early)


def names_of(rules: Any, first: str, last: str) -> dict[date, str]:
    """The days of holiday rules, with their names."""
    found = rules.holidays(first, last, return_name=True)
    return {stamp.date(): EVE.sub(lambda told: f"Day {told[1].lower()} Independence Day", name) for stamp, name in found.items()}


def once() -> dict[date, str]:
    """The days on which exchanges closed for once, with their names."""
    from exchange_calendars import us_holidays

    return {stamp.date(): told for name, told in ONCE.items() for stamp in getattr(us_holidays, name, ())}


# ---------------------------------------------------------------------- keep


def kept_at(name: str, last_year: int) -> Path | None:
    """Where a computed calendar is kept, by what computed it; None without a home."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        made_by = "-".join([version("exchange_calendars"), version("pandas"), str(LAYOUT)])
    except (RuntimeError, PackageNotFoundError):
        return None
    return home / "workbench" / "calendars" / f"{name.replace('/', '-')}-{last_year}-{made_by}.json"


def keep(path: Path, known: Calendar) -> None:
    """Keep a computed calendar. It is put in its place whole, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    named = ({day.isoformat(): why for day, why in some.items()} for some in (known.closed, known.early))
    try:
        draft.write_text(json.dumps([[day.toordinal() for day in known.days], known.opens, known.closes, *named]))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def from_json(kept: Any) -> Calendar:
    """A calendar as it was kept. Raises `ValueError`, `KeyError` or `TypeError` if it is not one."""
    ordinals, opens, closes, closed, early = kept
    days = tuple(map(date.fromordinal, ordinals))
    if not days or not len(days) == len(opens) == len(closes):
        raise ValueError
    closures, eves = ({date.fromisoformat(day): str(why) for day, why in some.items()} for some in (closed, early))
    return Calendar(days, tuple(opens), tuple(closes), closures, eves)
