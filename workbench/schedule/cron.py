"""Times as cron writes them: five fields and a time zone, with the meaning that Vixie's cron gives them.

    30 11 * * 2-6 America/New_York      minute, hour, day of the month, month, day of the week (0 or 7 is Sunday), zone

Where both days are restricted, either will do. A time that a change of clocks leaves out comes as much later as the clock was put forward, and
one that it brings twice comes the first time only; but where every hour is meant (`*`), every real one counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from workbench.errors import UsageError

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
# name, lowest, highest, and the names of values
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: n for n, name in enumerate(MONTHS, 1)}),
    ("day of the week", 0, 7, {name: n for n, name in enumerate(DAYS)}),
)
SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# February the 29th comes once in eight years at the least often.
FAR = timedelta(days=366 * 9)
DAY = timedelta(days=1)
# More missed times than that are told as so many.
MOST_COUNTED = 1000
HOURS = 24
# Digits of a number that may mean something.
LONGEST = 10


@dataclass(frozen=True)
class Cron:
    """When something is due. `text` is what was written, without the zone."""

    text: str
    zone: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    every_hour: bool

    @classmethod
    def parse(cls, written: str, zone: str = "America/New_York") -> "Cron":
        """What five fields, or a name as @daily, and perhaps a zone mean. Raises `UsageError` for what means nothing, and for what never comes."""
        pieces = written.split()
        if pieces and pieces[0].startswith("@"):
            if pieces[0].lower() not in SHORT:
                raise UsageError(f"{pieces[0]!r} is no time; nothing was scheduled. Known are {', '.join(SHORT)}.")
            pieces = [*SHORT[pieces[0].lower()].split(), *pieces[1:]]
        if len(pieces) not in (5, 6):
            raise UsageError(
                f"{written!r} has {len(pieces)} fields, not five and perhaps a zone; nothing was scheduled. "
                'Write minute, hour, day of the month, month and day of the week, as "30 11 * * 2-6 America/New_York".'
            )
        if len(pieces) == 6:
            zone = pieces.pop()
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as fault:
            raise UsageError(f"there is no time zone {zone!r}; nothing was scheduled. Try America/New_York or UTC.") from fault
        sets = [field(text, *of) for text, of in zip(pieces, FIELDS, strict=True)]
        made = cls(
            " ".join(pieces),
            zone,
            tuple(sorted(sets[0])),
            tuple(sorted(sets[1])),
            frozenset(sets[2]),
            frozenset(sets[3]),
            frozenset(day % 7 for day in sets[4]),
            not pieces[2].startswith("*") and not pieces[4].startswith("*"),
            len(sets[1]) == HOURS,
        )
        if made.after(datetime.now(UTC)) is None:
            raise UsageError(f"{written!r} never comes: no month of those has such a day; nothing was scheduled.")
        return made

    def __str__(self) -> str:
        return f"{self.text} {self.zone}"

    def on(self, day: date) -> bool:
        """Whether it is due on a date at all."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week

    def after(self, instant: datetime) -> datetime | None:
        """The first time after an instant, in UTC; None if there is none."""
        zone = ZoneInfo(self.zone)
        first = instant.astimezone(zone).date() - DAY
        last = first + FAR
        while first <= last:
            if self.on(first):
                for due in times(self, first):
                    if due > instant:
                        return due
            first += DAY
        return None

    def latest(self, instant: datetime, since: datetime) -> datetime | None:
        """The last time until an instant that is later than another; None if there is none."""
        return next(self._back(instant, since), None)

    def count(self, instant: datetime, since: datetime) -> int:
        """How many times lie between, the last one included; no more than a thousand are counted."""
        return sum(1 for _, _ in zip(self._back(instant, since), range(MOST_COUNTED), strict=False))

    def _back(self, instant: datetime, since: datetime) -> Iterator[datetime]:
        zone = ZoneInfo(self.zone)
        day, first = instant.astimezone(zone).date() + DAY, since.astimezone(zone).date() - DAY
        while day >= first:
            if self.on(day):
                yield from takewhile(lambda due: due > since, (due for due in reversed(times(self, day)) if due <= instant))
            day -= DAY


@lru_cache(maxsize=64)
def times(cron: Cron, day: date) -> tuple[datetime, ...]:
    """The instants of a date, in order and each once."""
    zone = ZoneInfo(cron.zone)
    found = set()
    for hour in cron.hours:
        for minute in cron.minutes:
            wall = datetime.combine(day, time(hour, minute), zone)
            found.add(wall.astimezone(UTC))
            if cron.every_hour:
                found.add(second(wall))
    return tuple(sorted(found))


def second(wall: datetime) -> datetime:
    """The instant at which a clock that was put back shows a time again; the only one where it was not."""
    again = wall.replace(fold=1).astimezone(UTC)
    # Of a time that is left out, fold means the other way round.
    return again if again.astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None) else wall.astimezone(UTC)


def field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """The values that a field stands for. Raises `UsageError`."""
    found: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]{1,9}))?", piece)
        if not match or (match[1] == "*" and match[2]):
            raise wrong(name, text, piece, low, high)
        step = int(match[3] or 1)
        if match[1] == "*":
            first, last = low, min(high, 6) if names and "sun" in names else high
        else:
            first = value(match[1], names)
            last = value(match[2], names) if match[2] else high if match[3] else first
            if match[2] and last == 0 and "sun" in names and first > 0:
                # Sunday ends a week as well as it begins one.
                last = 7
        if not (low <= first <= high and low <= last <= high and first <= last and step > 0):
            raise wrong(name, text, piece, low, high)
        found |= set(range(first, last + 1, step))
    return found


def value(text: str, names: dict[str, int]) -> int:
    """A number, or the number of a name; -1 for neither."""
    return int(text) if text.isdigit() and len(text) < LONGEST else names.get(text.lower(), -1)


def wrong(name: str, text: str, piece: str, low: int, high: int) -> UsageError:
    """The error for a field that means nothing."""
    what = repr(piece) if piece == text else f"{piece!r} in {text!r}"
    return UsageError(
        f"the {name} is {what}, but it must be *, a number from {low} to {high}, a range as {low}-{high}, with a step as */2, or several with "
        "commas; nothing was scheduled."
    )
