"""Rows on a terminal: what does not fit beside each other is rounded, then left out and named, rather than broken over lines."""

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# A longer text is folded within its column.
LONG_TEXT = 40
BETWEEN = 2
LEAST = 2
# What a reader misses least, the first to go first: what others tell as well, then what few ask about.
SPARE = (
    "window_start",
    "sip_timestamp",
    "participant_timestamp",
    "trf_timestamp",
    "is_test",
    "source",
    "updated_at",
    "tape",
    "trf_id",
    "sequence_number",
    "transactions",
)

Rows = Sequence[Sequence[Any]]


def fitted(columns: Sequence[str], rows: Rows, width: int) -> tuple[list[str], list[list[Any]], list[str]]:
    """As many columns as stand beside each other in a width, their rows, and the names of those that were left out."""
    kept = list(range(len(columns)))
    shown = [list(row) for row in rows]
    if total(columns, shown, kept) > width:
        shown = [[shorter(value) for value in row] for row in shown]
    least = told_twice(columns, rows)
    while total(columns, shown, kept) > width and len(kept) > LEAST:
        spare = [n for name in least for n in kept if columns[n].lower() == name]
        kept.remove((spare or kept[-1:])[0])
    left_out = [name for n, name in enumerate(columns) if n not in kept]
    return [columns[n] for n in kept], [[row[n] for n in kept] for row in shown], left_out


def told_twice(columns: Sequence[str], rows: Rows) -> list[str]:
    """The names in `SPARE`, with the column that tells nothing more than the session, or the session where another tells it, too."""
    at = {name.lower(): n for n, name in enumerate(columns)}
    if not {"date", "timestamp"} <= set(at):
        return [*SPARE]
    times = [row[at["timestamp"]] for row in rows if isinstance(row[at["timestamp"]], datetime)]
    return ["timestamp", *SPARE] if all(one.time() == time() for one in times) else [*SPARE, "date"]


def total(columns: Sequence[str], rows: Rows, kept: Sequence[int]) -> int:
    """How wide columns are beside each other."""
    wide = [max([len(columns[n]), *(needed(row[n]) for row in rows)]) for n in kept]
    return sum(wide) + BETWEEN * (len(wide) - 1)


def needed(value: object) -> int:
    """How wide a value is; a text can be folded."""
    length = len("NULL" if value is None else str(value))
    return length if whole(value) else min(length, LONG_TEXT)


def whole(value: object) -> bool:
    """Whether a value is read only in one piece."""
    return value is None or isinstance(value, int | float | date | Shortened)


class Shortened(str):
    """A number that was rounded to be shown."""


def shorter(value: Any) -> Any:
    """A number as few digits tell it; anything else as it is."""
    if not isinstance(value, float):
        return value
    rounded = f"{value:.0f}" if 1e7 <= abs(value) < 1e16 else f"{value:.8g}"
    return Shortened(rounded) if len(rounded) < len(str(value)) else value


def grid(columns: Sequence[str], rows: Rows) -> "RichTable":
    """Rows as a table: numbers to the right, values as SQL would read them; only texts are broken over lines."""
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=None, pad_edge=False)
    for n, name in enumerate(columns):
        numeric = all(row[n] is None or isinstance(row[n], int | float | Shortened) for row in rows)
        shown.add_column(Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=all(whole(row[n]) for row in rows))
    for row in rows:
        shown.add_row(*(Text("NULL", style="dim") if value is None else Text(str(value)) for value in row))
    return shown
