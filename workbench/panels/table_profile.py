"""What the columns of a table or query hold: how many NULLs, how many different values, least and greatest, and how they are spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from workbench.panels.table_query import Asked, text
from workbench.query.rendering import cut, numeric
from workbench.tables import quote

if TYPE_CHECKING:
    from workbench.bench import Workbench

BINS = 20
WIDTH, HEIGHT = 96, 26
# As many rows are looked at whole; of more, a share.
WHOLE, SAMPLED, SPOTS, FIRST = 1_000_000, 500_000, 8, 200_000
# Different values of so few rows are counted, not estimated.
COUNTED = 50_000
NESTED = ("[]", ")")
COLOUR = "#5b8db8"


@dataclass(frozen=True)
class Profile:
    """What is known of one column."""

    rows: int
    nulls: int
    distinct: int | None
    least: str | None
    greatest: str | None
    bins: tuple[int, ...] = ()
    common: tuple[tuple[str, int], ...] = ()
    # Whether the number of different values is an estimate.
    about: bool = False

    def html(self, width: int = WIDTH) -> str:
        """A drawing and two lines."""
        share = (
            f"{self.nulls / self.rows:.0%} NULL"
            if self.nulls and self.nulls / self.rows >= 0.005
            else "<1% NULL"
            if self.nulls
            else "no NULL"
        )
        values = "" if self.distinct is None else f"{'~' * self.about}{self.distinct:,} value{'s' * (self.distinct != 1)} · "
        ends = dict.fromkeys(cut(one, 14) for one in (self.least, self.greatest) if one is not None)
        span = " … ".join(ends) or "–"
        drawn = bars(self.bins, width) if self.bins else words(self.common, self.rows)
        return (
            f'<div style="height:{HEIGHT + 4}px;overflow:hidden">{drawn}</div>'
            f'<div title="{escape(f"{self.least} … {self.greatest}")}">{escape(span)}</div><div>{escape(values + share)}</div>'
        )


def bars(counts: Sequence[int], width: int = WIDTH) -> str:
    """A histogram as an image: HTML of a widget may hold no drawing but one."""
    from workbench.panels.parts import image

    most, wide = max(counts) or 1, width / len(counts)
    # What is there is seen, however little.
    heights = [max(HEIGHT * count / most, 1) if count else 0 for count in counts]
    drawn = "".join(
        f'<rect x="{n * wide:.1f}" y="{HEIGHT - high:.1f}" width="{max(wide - 1, 0.5):.1f}" height="{high:.1f}"/>'
        for n, high in enumerate(heights)
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" fill="{COLOUR}">{drawn}</svg>'
    return image(svg, "histogram")


def words(common: Sequence[tuple[str, int]], rows: int) -> str:
    """The most frequent values."""
    told = (f"<div>{escape(cut(value, 12))} {count / rows:.0%}</div>" for value, count in common[:2])
    return f'<div style="line-height:13px">{"".join(told)}</div>'


def limits(asked: Asked, rows: int | None, bench: "Workbench") -> tuple[str, str]:
    """The query whose rows are looked at, and in words which these are."""
    whole = asked.unordered()
    if rows is not None and rows <= WHOLE:
        return whole, "all rows"
    if asked.table and (chosen := spots(bench, asked.table)):
        return asked.unordered(f"({' OR '.join(chosen)})"), f"a sample: a session in each of {len(chosen)} files"
    return f"SELECT * FROM (\n{whole}\n) AS asked LIMIT {FIRST}", f"the first {FIRST:,} rows"


def spots(bench: "Workbench", table: str) -> list[str]:
    """Conditions that each take one session out of one file, of files evenly chosen: no other file is opened."""
    files = sorted(bench.snapshots()[table].files, key=lambda one: (one.first, one.low))
    if not files:
        return []
    # A file of a quarter holds some sixty sessions.
    each = sum(one.rows / max((one.last - one.first).days * 5 / 7, 1) for one in files) / len(files)
    count = min(max(int(SAMPLED / max(each, 1)), 1), SPOTS, len(files))
    step = len(files) / count
    return [
        f"(date = DATE '{one.first}' AND ticker BETWEEN {text(one.low)} AND {text(one.high)})"
        for one in (files[int(n * step + step / 2)] for n in range(count))
    ]


def simple(type_: str) -> bool:
    """Whether values of a type have an order that a person cares for."""
    return not type_.endswith("]") and not type_.startswith(
        ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "JSON", "VARIANT", "GEOMETRY", '"NULL"', "INTERVAL")
    )


def spread(name: str, type_: str) -> str | None:
    """A column as a number, for a histogram; None if it has none."""
    if numeric(type_):
        return f"CAST({name} AS DOUBLE)"
    if type_ == "DATE" or type_.startswith("TIMESTAMP"):
        return f"CAST(epoch({name}) AS DOUBLE)"
    return None


def profiled(ask: Any, query: str, types: Mapping[str, str], *, exact: bool = False) -> dict[str, Profile]:
    """The profile of each column, of two looks at a query's rows. `ask` runs SQL and gives its rows; `exact` counts different values."""
    names = list(types)
    told = ["count(*)"]
    for one in names:
        name, ordered = quote(one), simple(types[one])
        told += [
            f"count({name})",
            (f"count(DISTINCT {name})" if exact else f"approx_count_distinct({name})") if ordered else "NULL",
            f"CAST(min({name}) AS VARCHAR)" if ordered else "NULL",
            f"CAST(max({name}) AS VARCHAR)" if ordered else "NULL",
        ]
        number = spread(name, types[one])
        finite = f"FILTER (isfinite({number}))" if number else ""
        told += [f"min({number}) {finite}" if number else "NULL", f"max({number}) {finite}" if number else "NULL"]
    [(rows, *found)] = ask(f"SELECT {', '.join(told)} FROM (\n{query}\n) AS profiled")
    by_name = {one: found[6 * n : 6 * n + 6] for n, one in enumerate(names)}
    asked = {one: second(one, types[one], by_name[one]) for one in names}
    some = {one: text for one, text in asked.items() if text}
    counts: dict[str, Any] = {}
    if some and rows:
        [row] = ask(f"SELECT {', '.join(some.values())} FROM (\n{query}\n) AS profiled")
        counts = dict(zip(some, row, strict=True))
    return {one: made(rows, types[one], by_name[one], counts.get(one), not exact) for one in names}


def second(one: str, type_: str, found: Sequence[Any]) -> str:
    """What is asked of a column when its range is known."""
    name, (_, distinct, *_, low, high) = quote(one), found
    number = spread(name, type_)
    if number and low is not None and high is not None and high > low:
        wide = (high - low) / BINS
        bin_ = f"least(CAST(floor(({number} - CAST({low!r} AS DOUBLE)) / CAST({wide!r} AS DOUBLE)) AS INTEGER), {BINS - 1})"
        # What is filtered away is computed all the same, and has no place among the bins.
        return f"histogram(CASE WHEN isfinite({number}) THEN {bin_} END) FILTER (isfinite({number}))"
    if type_ in ("VARCHAR", "BOOLEAN") or type_.startswith("ENUM"):
        # A value of its own for each row has none that are frequent.
        return f"histogram(CAST({name} AS VARCHAR))" if distinct is not None and distinct <= 100 else ""
    return ""


def made(rows: int, type_: str, found: Sequence[Any], counts: Mapping[Any, int] | None, about: bool) -> Profile:
    """A column's profile of what was found."""
    held, distinct, least, greatest, *_ = found
    # An estimate that cannot be is none.
    distinct = min(distinct, held) if distinct is not None else None
    if counts and (numeric(type_) or type_.startswith(("DATE", "TIMESTAMP"))):
        return Profile(rows, rows - held, distinct, least, greatest, bins=tuple(counts.get(n, 0) for n in range(BINS)), about=about)
    common = tuple(sorted((counts or {}).items(), key=lambda pair: (-pair[1], pair[0])))
    return Profile(rows, rows - held, distinct, least, greatest, common=common, about=about)
