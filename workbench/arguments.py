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
    return found


def as_age(value: str | timedelta) -> timedelta:
    """A length of time from its text: 7 days, 7d, 12 hours, 12h. Raises `UsageError`."""
    if isinstance(value, timedelta):
        return value
    told = re.fullmatch(r"(\d+(?:\.\d+)?) *(d|day|days|h|hour|hours)", value.strip(), re.IGNORECASE)
    if not told:
        raise UsageError(f"{value!r} is not a length of time; nothing was done. Write it as 7d, or 12h.")
    return timedelta(**{"days" if told[2].lower().startswith("d") else "hours": float(told[1])})


def as_instant(value: datetime | str | None) -> datetime | None:
    """An instant from its ISO form; UTC if it names no zone. Raises `BadRange`."""
    if value is None:
        return None
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError as fault:
        raise BadRange(f"{value!r} is not an instant; nothing was opened. Write it as 2026-11-01T00:00Z.") from fault
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
