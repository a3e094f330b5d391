"""What callers write, as the workbench means it: dates, instants, lengths of time, names of datasets."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.errors import BadRange, UsageError
from workbench.tables import REFERENCE
from workbench.tables.spec import NEW_YORK

# About a thousand years: what lies further back is no date.
LONGEST = timedelta(days=365_000)


def expanded(datasets: Sequence[str] | None) -> list[str] | None:
    """Names of tables, with "reference" standing for all reference data that sources give."""
    if not datasets:
        return None
    every = [table.name for table in REFERENCE]
    return [name for one in datasets for name in (every if one == "reference" else [one])]


def as_date(value: date | str | None) -> date | None:
    """A date from its ISO form; that of an instant with a zone is New York's, as sessions are. Raises `BadRange`."""
    if isinstance(value, datetime):
        return (value.astimezone(ZoneInfo(NEW_YORK)) if value.tzinfo else value).date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as fault:
        raise BadRange(f"{value!r} is not a date; nothing was done. Write it as {sessions.today()}.") from fault


def several(value: Any) -> tuple[Any, ...]:
    """One or several, as they are given: a text is one, not its letters."""
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def as_tickers(value: str | Iterable[str]) -> tuple[str, ...]:
    """One ticker or several, as they are given. Raises `UsageError` for what is no text."""
    found = several(value)
    for one in found:
        if not isinstance(one, str):
            raise UsageError(f"{one!r} is not a ticker; nothing was done. Give a text, as 'AAPL', or several.")
        if any("\ud800" <= letter <= "\udfff" for letter in one):
            # Half of a letter, which no file and no database can hold.
            raise UsageError(f"{one[:80]!r} is no text that can be written; nothing was done. Give a ticker, as 'AAPL'.")
    return found


def as_age(value: str | timedelta) -> timedelta:
    """A length of time from its text: 7 days, 7d, 12 hours, 12h. Raises `UsageError`."""
    if isinstance(value, timedelta):
        return expected(value, value)
    told = re.fullmatch(r"(\d+(?:\.\d+)?) *(d|day|days|h|hour|hours)", value.strip(), re.IGNORECASE)
    if not told:
        raise UsageError(f"{value!r} is not a length of time; nothing was done. Write it as 7d, or 12h.")
    try:
        return expected(timedelta(**{"days" if told[2].lower().startswith("d") else "hours": float(told[1])}), value)
    except OverflowError:
        return expected(timedelta.max, value)


def expected(age: timedelta, told: object) -> timedelta:
    """A length of time that reaches back to a date that there is. Raises `UsageError`."""
    if age > LONGEST:
        raise UsageError(f"{told} is longer than {LONGEST.days:,} days, the longest that can be kept; nothing was done.")
    return age


def as_instant(value: datetime | str | None) -> datetime | None:
    """An instant from its ISO form; UTC if it names no zone. Raises `BadRange`."""
    if value is None:
        return None
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError as fault:
        raise BadRange(f"{value!r} is not an instant; nothing was opened. Write it as 2026-11-01T00:00Z.") from fault
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def as_version(value: int | str | datetime | None) -> int | datetime | None:
    """A version of a table: its number, or an instant. Raises `BadRange`."""
    if isinstance(value, str) and re.fullmatch(r" *-?\d{1,9} *", value):
        return int(value)
    if isinstance(value, bool):
        raise BadRange(
            f"{value} is neither the number of a version nor an instant; nothing was opened. Write it as 3, or 2026-11-01T00:00Z."
        )
    return value if value is None or isinstance(value, int) else as_instant(value)
