"""Splits against raw closes: which of two equal splits is the real one, and whether a ratio is what the prices say.

The vendor lists some splits under two dates. Multiplied, both would halve a history twice. Of equal ratios within a month, a split stays whose
date shows its jump in the raw closes; the others are marked as its duplicates and not taken away. A ratio that the closes contradict stays, and its
verdict says so: closes can be wrong, too, and whoever adjusts is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import log
from typing import TYPE_CHECKING

from workbench.lake.reference import WHOLE, Updated, rewrite, rows_of
from workbench.lake.reference_merge import Merged
from workbench.lake.store import Lake

if TYPE_CHECKING:
    import polars as pl

# Equal splits within so many days are taken for one.
TWINS = timedelta(days=30)
# How far from the date a close may be: a halted share, a long holiday.
NEAR = timedelta(days=10)
# By which factor the closes may differ from the ratio besides: the day's own move.
TOLERANCE = 1.25
# Prices of this source are adjusted for splits already.
ADJUSTED = ("yahoo",)
NO_CLOSES = "no closes"


@dataclass(frozen=True)
class Split:
    """A split and the raw closes around it: the last before its date, and the first from it on; None where there is none near."""

    ticker: str
    day: date
    ratio: float
    before: float | None = None
    after: float | None = None

    @property
    def jumps(self) -> bool | None:
        """Whether the closes show the split, and not merely a day like any other; None if there are no closes."""
        if not self.before or not self.after:
            return None
        seen = log(self.after / self.before)
        return self.agrees and abs(seen + log(self.ratio)) < abs(seen)

    @property
    def agrees(self) -> bool:
        """Whether the closes are within the tolerance of the ratio."""
        assert self.before
        assert self.after
        return abs(log(self.after / self.before * self.ratio)) <= log(TOLERANCE)

    @property
    def verdict(self) -> str:
        """What the closes say."""
        if not self.before or not self.after:
            return NO_CLOSES
        told = f"raw closes {self.before:g} to {self.after:g}, a ratio of {self.after / self.before:.4g} where {1 / self.ratio:.4g} is told"
        return f"{'agrees' if self.agrees else 'disagrees'}: {told}"


def resolve_splits(lake: Lake, *, now: datetime | None = None) -> Updated:
    """Look at all splits again, against the closes that stock_day holds now; commits if any verdict changes.

    To be called when stock_day has news. Raises as `reference.update` does.
    """
    import polars as pl

    now = now or datetime.now(UTC)
    done = Updated("splits", "stock_day", "calendar")
    if not lake["splits"].exists:
        return done

    def change(held: "pl.DataFrame", _: str) -> Merged:
        rows = judged(lake, held)
        differs = pl.any_horizontal([rows[name].ne_missing(held[name]) for name in ("duplicate_of", "verdict")])
        changed = int(rows.select(differs.sum()).item())
        return Merged(rows, 0, changed, len(rows) - changed)

    held = lake["splits"].landings().get("reference:splits")
    record = {"source": held.source if held else "calendar", "run": "", "began": "", "quarantined": 0, "reasons": {}, "notes": ()}
    merged = rewrite(lake["splits"], [WHOLE], change, now, record, done)
    done.rows_changed, done.rows_same = (sum(getattr(one, what) for one in merged) for what in ("changed", "same"))
    done.rows_total = lake["splits"].snapshot().rows
    return done


def judged(lake: Lake, held: "pl.DataFrame") -> "pl.DataFrame":
    """Splits with what the closes that stock_day holds now say of them."""
    import polars as pl

    found = resolved(list(splits(held, closes(lake, held))))
    said = pl.DataFrame(
        {
            "ticker": [one.ticker for one in found],
            "execution_date": [one.day for one in found],
            "__of": pl.Series([of for of, _ in found.values()], dtype=pl.Date()),
            "__verdict": pl.Series([verdict for _, verdict in found.values()], dtype=pl.String()),
        },
        schema_overrides={"ticker": pl.String(), "execution_date": pl.Date()},
    )
    rows = held.join(said, on=["ticker", "execution_date"], how="left", maintain_order="left")
    return rows.with_columns(duplicate_of="__of", verdict="__verdict").select(held.columns)


def splits(held: "pl.DataFrame", around: "pl.DataFrame") -> Iterator[Split]:
    """The splits of a frame, with the closes around them, by ticker and date."""
    joined = held.join(around, on=["ticker", "execution_date"], how="left").sort("ticker", "execution_date")
    fields = ("ticker", "execution_date", "split_from", "split_to", "before", "after")
    for ticker, day, split_from, split_to, before, after in joined.select(fields).iter_rows():
        yield Split(ticker, day, split_to / split_from, before, after)


def closes(lake: Lake, held: "pl.DataFrame") -> "pl.DataFrame":
    """The raw closes around each split: ticker, execution_date, before, after; no row where there are none.

    A share that had another symbol then has its closes under that one.
    """
    import polars as pl

    wanted = held.select("ticker", "execution_date").unique()
    days = sorted(wanted["execution_date"].unique().to_list())
    home = lake["stock_day"]
    near = [
        file for file in home.snapshot().files if file.first is None or any(file.first - NEAR <= day <= file.last + NEAR for day in days)
    ]
    if not near or not len(wanted):
        return pl.DataFrame(schema={"ticker": pl.String(), "execution_date": pl.Date(), "before": pl.Float64(), "after": pl.Float64()})
    bars = pl.scan_parquet(home.all_here(file.path for file in near), glob=False, hive_partitioning=False)
    bars = bars.filter(pl.col("close") > 0, ~pl.col("source").is_in(ADJUSTED)).select("date", "close", symbol="ticker")
    day, split = pl.col("date"), pl.col("execution_date")
    pairs = bars.join(symbols(lake, wanted).lazy(), on="symbol").filter(
        day >= split - NEAR, day <= split + NEAR, day.is_between("first_date", "last_date")
    )
    return (
        pairs.group_by("ticker", "execution_date")
        .agg(
            before=pl.col("close").filter(day < split).sort_by(day.filter(day < split)).last(),
            after=pl.col("close").filter(day >= split).sort_by(day.filter(day >= split)).first(),
        )
        .collect(engine="streaming")
    )


def symbols(lake: Lake, wanted: "pl.DataFrame") -> "pl.DataFrame":
    """Which symbols the share of each split had when: ticker, execution_date, symbol, first_date, last_date; its ticker, if nothing is told."""
    import polars as pl

    last, first = pl.col("last_date").fill_null(date.max), pl.col("first_date")
    spells = rows_of(lake, "ticker_changes").select("asset", "first_date", symbol="ticker", last_date=last).sort("asset", "last_date")
    before = pl.col("last_date").shift(1).over("asset") + pl.duration(days=1)
    spells = spells.with_columns(first.fill_null(before).fill_null(date.min))
    day = pl.col("execution_date")
    of = wanted.join(spells, left_on="ticker", right_on="symbol").filter(day.is_between("first_date", "last_date"))
    # Of two that are told to have had the ticker, the one that gave it up first.
    of = of.sort("last_date").unique(["ticker", "execution_date"], keep="first").select("ticker", "execution_date", "asset")
    alone = wanted.join(of, on=["ticker", "execution_date"], how="anti")
    plain = alone.with_columns(symbol="ticker", first_date=pl.lit(date.min), last_date=pl.lit(date.max))
    return pl.concat([of.join(spells, on="asset").select(plain.columns), plain])


def resolved(found: Sequence[Split]) -> dict[Split, tuple[date | None, str]]:
    """For each split the date of the row that it duplicates, if it does, and the verdict on it."""
    answers: dict[Split, tuple[date | None, str]] = {}
    for twins in clusters(found):
        if len(twins) == 1:
            answers[twins[0]] = None, twins[0].verdict
            continue
        shown = [one for one in twins if one.jumps]
        # Without a jump anywhere, one is taken: the latest that nothing speaks against, as announced splits are put off, not forward.
        stays = shown or [max(twins, key=lambda one: (one.jumps is None, one.day))]
        for one in twins:
            if one in stays:
                others = ", ".join(str(other.day) for other in twins if other not in stays)
                why = f"; {others} tells of the same" * bool(others)
                why += "; none of the dates shows a jump: the latest is taken" * (not shown)
                answers[one] = None, one.verdict + why
            else:
                real = min(stays, key=lambda other: abs((other.day - one.day).days))
                answers[one] = real.day, f"duplicate of {real.day}; {one.verdict}"
    return answers


def clusters(found: Sequence[Split]) -> Iterator[list[Split]]:
    """Splits, by ticker and date, in groups of equal ratio that follow each other within a month."""
    groups: dict[tuple[str, float], list[Split]] = {}
    for one in sorted(found, key=lambda one: (one.ticker, one.day)):
        # Ratios are told as decimals: 1.0027 and 1.00275 are two.
        name = (one.ticker, float(f"{one.ratio:.9g}"))
        group = groups.get(name)
        if group and one.day - group[-1].day <= TWINS:
            group.append(one)
            continue
        if group:
            yield group
        groups[name] = [one]
    yield from groups.values()
