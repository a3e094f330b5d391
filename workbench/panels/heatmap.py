"""Sessions as a heatmap: columns that fit on a screen, a colour for each state, and the same as a drawing for where no kernel runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from workbench.panels.parts import escape
from workbench.query.coverage import Line, Map

# As many columns as a screen shows apart; more days are shown by week, or by month, and the worst of them is what is seen.
MOST_COLUMNS = 400
# The states from the worst to the best, and their colours, which are told apart on white and on black: what is well is blue, since many do not tell green
# from red.
COLOURS = {
    "lost": "#d500f9",
    "failed": "#8e0000",
    "missing": "#e53935",
    "quarantined": "#7e57c2",
    "late": "#ff8f00",
    "not fetched": "#ffb74d",
    "reset": "#f06292",
    "not entitled": "#8d6e63",
    "missing or ineligible": "#ef9a9a",
    "in part": "#c0ca33",
    "fallback only": "#fdd835",
    "unknown": "#90a4ae",
    "replaced": "#3f6fb5",
    "landed": "#64a6dd",
    "renamed": "#ce93d8",
    "no trade": "#b3d4f0",
    "not yet due": "#78909c",
    "archived": "#546e7a",
    "dropped": "#757575",
    "not listed yet": "#b0bec5",
    "delisted": "#9e9e9e",
}
RANKS = {state: n for n, state in enumerate(COLOURS)}
# For a state of a later version.
OTHER = "#00bcd4"
SQUARE = 18


@dataclass(frozen=True)
class Column:
    """A column: the days from `first` to `last` that are a session of any line."""

    first: date
    last: date
    days: tuple[date, ...]

    @property
    def told(self) -> str:
        """The column's dates."""
        return f"{self.first:%a} {self.first}" if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Grid:
    """Lines by columns. `states` has a list for each line; None where the line has no session."""

    lines: tuple[Line, ...]
    columns: tuple[Column, ...]
    size: str
    states: tuple[tuple[str | None, ...], ...]

    def told(self, row: int, column: int) -> str:
        """What a cell says when it is pointed at."""
        line, place = self.lines[row], self.columns[column]
        told = [state for day in place.days if (state := line.states.get(day))]
        said = self.states[row][column]
        if len(place.days) > 1:
            # Of nearly all weeks there is one thing to say.
            counts = {told[0]: len(told)} if len(set(told)) == 1 else Counter(told)
            said = ", ".join(f"{n} {state}" for state, n in counts.items())
        return f"{line.name}<br>{place.told}<br>{said or 'closed'}"


def grid(found: Map, most: int = MOST_COLUMNS) -> Grid:
    """A map as lines by columns: of days, or of weeks or months where there are too many."""
    days, size = found.days, "day"
    columns = [Column(day, day, (day,)) for day in days]
    for size in ("day", "week", "month"):
        columns = columns if size == "day" else together(days, size)
        if len(columns) <= most:
            break
    states = tuple(tuple(worst(line.states, column) for column in columns) for line in found.lines)
    return Grid(found.lines, tuple(columns), size, states)


def together(days: Sequence[date], size: str) -> list[Column]:
    """Days by week, which begin on Mondays, or by month."""
    parts: dict[date, list[date]] = {}
    for day in days:
        parts.setdefault(day - timedelta(days=day.weekday()) if size == "week" else day.replace(day=1), []).append(day)
    return [Column(some[0], some[-1], tuple(some)) for some in parts.values()]


def worst(states: Mapping[date, str], column: Column) -> str | None:
    """The worst state of a line in a column; None where it has no session."""
    told = [state for day in column.days if (state := states.get(day))]
    return min(told, key=lambda state: RANKS.get(state, -1), default=None)


def colour(state: str) -> str:
    """The colour of a state."""
    return COLOURS.get(state, OTHER)


def numbered(states: Sequence[Sequence[str | None]]) -> tuple[list[list[int | None]], list[list[object]]]:
    """States as numbers from 0 on, and the colours of these numbers, as Plotly takes them: steps from 0 to 1."""
    there = sorted({state for row in states for state in row if state}, key=lambda state: RANKS.get(state, -1))
    numbers = {state: n for n, state in enumerate(there)}
    steps: list[list[object]] = []
    for n, state in enumerate(there):
        steps += [[n / len(there), colour(state)], [(n + 1) / len(there), colour(state)]]
    return [[numbers[state] if state else None for state in row] for row in states], steps or [[0, OTHER], [1, OTHER]]


def ticks(columns: Sequence[Column], most: int = 12) -> tuple[list[int], list[str]]:
    """Where the axis is labelled, and how: where a year, quarter, month or week begins, whichever gives enough labels and not too many."""
    if len(columns) <= most:
        return list(range(len(columns))), [str(column.first) for column in columns]
    kinds = (
        (lambda day: day.strftime("%G-%V"), "%Y-%m-%d"),
        (lambda day: f"{day:%Y-%m}", "%Y-%m"),
        (lambda day: f"{day.year}-{(day.month - 1) // 3}", "%Y-%m"),
        (lambda day: f"{day.year}", "%Y"),
        (lambda day: f"{day.year // 5}", "%Y"),
    )
    form = ""
    for part, form in kinds:  # noqa: B007
        named = [part(column.first) for column in columns]
        found = [n for n in range(len(columns)) if n == 0 or named[n] != named[n - 1]]
        if len(found) <= most:
            break
    # The first part may have begun before, and its label would stand on the next one's.
    if len(found) > 1 and found[1] - found[0] < len(columns) / (2 * most):
        found = found[1:]
    return found, [f"{columns[n].first:{form}}" for n in found]


def legend(counts: Mapping[str, int]) -> str:
    """Every state that is seen, with its colour and how many sessions have it, the worst first."""
    chips = "".join(
        f'<span style="display:inline-block;margin:0 14px 2px 0;white-space:nowrap"><span style="display:inline-block;width:11px;height:11px;'
        f'border-radius:2px;margin-right:5px;background:{colour(state)}"></span>{escape(state)} <b>{n:,}</b></span>'
        for state, n in sorted(counts.items(), key=lambda item: RANKS.get(item[0], -1))
    )
    return f'<div style="line-height:1.6">{chips}</div>'


def drawing(made: Grid, width: int = 980) -> str:
    """A grid as SVG: a path for each colour, so that thousands of sessions take no more room than a picture."""
    left, top, height = 8 + 7 * max((len(line.name) for line in made.lines), default=0), 4, SQUARE * len(made.lines)
    step = (width - left) / max(1, len(made.columns))
    paths: dict[str, list[str]] = {}
    for y, row in enumerate(made.states):
        x = 0
        while x < len(row):
            # Neighbours of one colour are one stroke.
            end = next((n for n in range(x, len(row)) if row[n] != row[x]), len(row))
            if state := row[x]:
                paths.setdefault(colour(state), []).append(f"M{x} {y}h{end - x}v.9h-{end - x}z")
            x = end
    ink = 'fill="#808080" font-family="sans-serif" font-size="11"'
    names = "".join(
        f'<text x="{left - 6}" y="{top + y * SQUARE + 12}" text-anchor="end" {ink}>{escape(line.name)}</text>'
        for y, line in enumerate(made.lines)
    )
    at, labels = ticks(made.columns)
    dates = "".join(
        f'<text x="{left + n * step:.1f}" y="{top + height + 13}" {ink}>{label}</text>' for n, label in zip(at, labels, strict=True)
    )
    # In columns and rows instead of pixels, a coordinate is a digit or two.
    place = f'transform="translate({left} {top}) scale({step:.4f} {SQUARE})"'
    strokes = "".join(f'<path {place} fill="{fill}" d="{"".join(parts)}"/>' for fill, parts in paths.items())
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + height + 20}">{strokes}{names}{dates}</svg>'
