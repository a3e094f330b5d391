"""How far an import has read a table: by which column of theirs, up to what value, and from where the next one goes on.

Values are those of the old database, as it has them, so that it can compare them itself.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workbench.importers.matching import Match, timed

if TYPE_CHECKING:
    import pyarrow as pa

Value = int | date | datetime | str

# What was written by then may be committed later: so much is read again, and compared.
OVERLAP_IDS = 1_000
OVERLAP = timedelta(hours=1)
OVERLAP_DAYS = timedelta(days=1)
CHANGED = ("updated_at", "last_updated")
# Texts that are in the order of the times that they tell: all of one form.
TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d(?::\d\d)?)(\.\d+)?(Z|[+-]\d\d:?\d\d)?)?")


def marked(match: Match) -> str:
    """The column of theirs that tells how far their table was read; empty if none does, and it is compared whole."""
    record = match.record
    assert record
    theirs = {ours: its for its, ours in match.columns.items()}
    if not match.identity:
        return theirs.get(match.time, "")
    serial = [name for name in record.key if len(record.key) == 1 and record[name].serial]
    times = [name for name in record.key if timed(record[name])]
    others = [one.name for one in record.columns if one.required and timed(one)]
    return next((theirs[name] for name in (*CHANGED, *serial, *times, *others) if name in theirs), "")


@dataclass
class Mark:
    """The greatest value of a column, as batches come. `unfit` says why it tells nothing, if so."""

    column: str
    value: Value | None = None
    unfit: str = ""
    _form: str = ""

    def see(self, values: "pa.ChunkedArray | pa.Array | list[Any]") -> None:
        """Take in a batch's values."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.unfit or not len(values):
            return
        if isinstance(values, list):
            try:
                values = pa.array(values)
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                self.unfit = "it has values of several types"
                return
        kind = values.type
        if values.null_count:
            self.unfit = "rows lack it"
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            # Python's times have microseconds; what is cut off lies behind them.
            finest = pa.date32() if pa.types.is_date(kind) else pa.timestamp("us", kind.tz)
            self._rise(self._told(lambda: pc.max(values).cast(finest, safe=False).as_py()))
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            if pa.types.is_floating(kind) and not pc.all(pc.is_finite(values)).as_py():
                self.unfit = "it has values that are no numbers"
            else:
                self._rise(math.floor(pc.max(values).as_py()))
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            self._texts(values.cast(pa.string()))
        else:
            self.unfit = f"{kind} has no order"

    def _texts(self, values: Any) -> None:
        import pyarrow.compute as pc

        if not self._form:
            found = TIME.fullmatch(values[0].as_py())
            self._form = form(found) if found else "^$"
        if pc.all(pc.match_substring_regex(values, self._form)).as_py():
            self._rise(pc.max(values).as_py())
        else:
            self.unfit = "its texts are not all times of one form"

    def _told(self, value: Callable[[], Any]) -> Any:
        try:
            return value()
        except (ValueError, OverflowError):
            self.unfit = "it has times that no calendar has"
            return None

    def _rise(self, value: Value | None) -> None:
        if value is None:
            return
        if self.value is None:
            self.value = value
        elif comparable(self.value, value):
            self.value = max(self.value, value)
        else:
            self.unfit = "it has values of several types"


def form(found: "re.Match[str]") -> str:
    """The form of a time, as an expression that texts of the same one meet."""
    _, between, minutes, _, zone = found.groups()
    if not between:
        return r"^\d{4}-\d{2}-\d{2}$"
    seconds = r":\d{2}(\.\d+)?" if minutes.count(":") > 1 else ""
    return rf"^\d{{4}}-\d{{2}}-\d{{2}}{between}\d{{2}}:\d{{2}}{seconds}{re.escape(zone or '')}$"


def comparable(one: object, other: object) -> bool:
    """Whether two values have an order: dates with dates, times with a zone with such."""
    if isinstance(one, datetime) and isinstance(other, datetime):
        return (one.tzinfo is None) == (other.tzinfo is None)
    return type(one) is type(other)


def earlier(value: Value, *, time: bool) -> Value:
    """From where to go on: the value, less what may have been committed late. `time` says that a number tells an instant."""
    try:
        if isinstance(value, datetime):
            return value - OVERLAP
        if isinstance(value, date):
            return value - OVERLAP_DAYS
        if isinstance(value, int):
            return value - (round(OVERLAP.total_seconds() * steps(value)) if time else OVERLAP_IDS)
    except OverflowError:
        return value
    found = TIME.fullmatch(value)
    if not found:
        return value
    day, between, minutes, _, _ = found.groups()
    if not between:
        return (date.fromisoformat(day) - OVERLAP_DAYS).isoformat()
    # Without fraction and zone, a text stands before all that begin like it.
    before = datetime.fromisoformat(f"{day} {minutes}") - OVERLAP
    return f"{before:%Y-%m-%d}{between}{before:%H:%M:%S}"[: len(day) + 1 + len(minutes)]


def steps(epoch: int) -> int:
    """How many steps of a number that tells an instant since 1970 make a second, by its size."""
    return next((each for each in (1, 1_000, 1_000_000) if abs(epoch) < 100_000_000_000 * each), 1_000_000_000)


def shown(value: object) -> str:
    """A value as a person reads it."""
    if isinstance(value, datetime):
        told = value.astimezone(UTC) if value.tzinfo else value
        return f"{told:%Y-%m-%d %H:%M:%S}{' UTC' * bool(value.tzinfo)}"
    return f"{value:,}" if isinstance(value, int) and abs(value) < 100_000_000 else str(value)
