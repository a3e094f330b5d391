"""Bars of a few tickers as a Polars frame, right without knowing the traps: `Workbench.bars`.

The story, top to bottom: rows as they are on disk, their part of the session, one bar for each stretch of it, adjusted, one bar for each
week or month, and what no trade made. A session has one factor for all its prices, so that fewer rows are adjusted than are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench.errors import BadRange, UsageError
from workbench.query import adjust, fill, parts, resample, spells
from workbench.query.rows import Each, Rows, asset_of, of_kind
from workbench.tables import ARCHIVE, Table, find

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

COLUMNS = ("ticker", "date", "timestamp", "open", "high", "low", "close", "volume", "transactions")
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Asked:
    """Which bars are wanted, and how: the arguments of `Workbench.bars`; `as_of` is the last day that counts."""

    tickers: tuple[str, ...]
    first: date | None
    last: date | None
    freq: str
    adjusted: str
    as_of: date
    session: str
    fill: str | None
    limit: int | None
    follow: bool
    table: str | None

    @property
    def until(self) -> date:
        """The last session that is given."""
        return min(self.last or self.as_of, self.as_of)


@dataclass(frozen=True)
class Kind:
    """Tickers whose bars stand in the same table, and the table that tells when they trade."""

    tickers: tuple[str, ...]
    table: Table
    hours: Table
    # Whether it is minutes that are read.
    minutes: bool


def bars(source: Rows, sql: "Callable[..., Any]", asked: Asked) -> "pl.DataFrame":
    """The bars that are asked for. Raises `UsageError`, `BadRange` or `UnknownName`."""
    import polars as pl

    some = kinds(asked)
    check(asked, some)
    found = [shown(of_kind_made(source, sql, asked, kind), asked) for kind in some]
    return found[0] if len(found) == 1 else pl.concat(found, rechunk=True).sort("ticker", "timestamp", maintain_order=True)


def kinds(asked: Asked) -> list[Kind]:
    """The tickers that are asked for, by the table of their bars. Raises `UsageError` for a table that does not hold what they are made of."""
    declared = of_kind(asked.table, "bars") if asked.table else None
    # Bars of sessions are made of minutes where a table of minutes is named, or a part of the session is asked for.
    minutes = asked.freq in resample.INTRADAY or asked.session != "all" or (declared is not None and declared.name.endswith("_minute"))
    if declared and minutes and declared is not ARCHIVE and not declared.name.endswith("_minute"):
        what = f"bars of {asked.freq}" if asked.freq in resample.INTRADAY else f"bars of the {asked.session} part"
        raise UsageError(
            f"{declared.name} holds bars of whole sessions, and {what} are made of minutes; nothing was read. Name a table of minutes."
        )
    by_table: dict[tuple[str, str], list[str]] = {}
    for ticker in sorted(set(asked.tickers)) or [""]:
        usual = table_of(ticker, "1m" if minutes else "1d")
        table = declared or usual
        by_table.setdefault((table.name, (usual if table is ARCHIVE else table).name), []).append(ticker)
    return [Kind(tuple(its) if asked.tickers else (), find(name), find(hours), minutes) for (name, hours), its in by_table.items()]


def table_of(ticker: str, size: str) -> Table:
    """The table of a ticker's minutes (1m) or bars of sessions (1d), by its prefix."""
    return find(f"{asset_of(ticker)}_{'minute' if size == '1m' else 'day'}")


def check(asked: Asked, some: "Sequence[Kind]") -> None:
    """Raises `UsageError` or `BadRange` for what cannot be asked."""
    if asked.freq not in resample.SIZES:
        raise UsageError(f"there are no bars of {asked.freq!r}; nothing was read. Give freq= one of {', '.join(resample.SIZES)}.")
    if asked.adjusted not in adjust.ADJUSTED:
        raise UsageError(
            f"bars are not adjusted for {asked.adjusted!r}; nothing was read. Give adjusted= one of {', '.join(adjust.ADJUSTED)}."
        )
    for kind in some:
        parts.check(asked.session, kind.hours)
    fill.check(asked.fill, asked.limit)
    if asked.first and asked.last and asked.first > asked.last:
        raise BadRange(f"{asked.first} is after {asked.last}; nothing was read. Give the earlier session first.")


def of_kind_made(source: Rows, sql: "Callable[..., Any]", asked: Asked, kind: Kind) -> "pl.DataFrame":
    """The bars of tickers of one table."""
    table, whole = kind.table, asked.freq not in resample.INTRADAY
    stocks = kind.hours.asset == "stocks"
    # Of the archive's rows it is told where they stood before.
    bases = adjust.basis(source, kind.hours.name) if stocks else {}
    # Raw bars need no factors, but where bars of several sessions meet in one.
    wanted = stocks and (asked.adjusted != "none" or (whole and (asked.freq != "1d" or asked.fill)))
    steps = adjust.steps(source, sql, kind.tickers, asked.adjusted, asked.as_of, asked.follow) if wanted else adjust.Steps()
    grid = resample.grid(kind.hours, asked.freq) if kind.minutes else 0
    # Not where rows are not yet what bars are made of.
    early = grid and not (bases or asked.follow or table is ARCHIVE)
    rows = read(source, sql, asked, kind, ("source",) if bases else (), partial(resample.shortened, grid=grid) if early else None)
    if bases:
        rows = adjust.as_traded(sql, kind.hours.name, rows)
    if not whole:
        rows = resample.intraday(rows, kind.hours, asked.freq, asked.session)
    elif kind.minutes:
        rows = resample.days(rows, kind.hours, asked.session)
    made = rows = steps.multiply(rows)
    raw = asked.adjusted == "none"
    if asked.freq in ("1w", "1mo"):
        made = resample.periods(in_last_shares(rows, asked.freq, steps) if raw else rows, kind.hours, asked.freq)
    return filled(source, made, rows, asked, kind, steps if raw else None) if asked.fill else made


def read(source: Rows, sql: "Callable[..., Any]", asked: Asked, kind: Kind, extra: tuple[str, ...], each: Each | None) -> "pl.DataFrame":
    """Rows as they are on disk, or what `each` makes of them, of the sessions that are asked for."""
    import polars as pl

    table = kind.table
    archive = ("timeframe",) if table is ARCHIVE else ()
    there = {column.name for column in table.columns}
    columns = (*(name for name in COLUMNS if name in there), *extra, *archive)
    if asked.first and asked.first > asked.until:
        rows = source.read((), lambda _: table, None, None, lambda _: columns).with_columns(traded_as="ticker")
    elif asked.follow:
        rows = spells.read(source, sql, kind.tickers, lambda _: table, asked.first, asked.until, asked.as_of, lambda _: columns)
    else:
        rows = source.read(kind.tickers, lambda _: table, asked.first, asked.until, lambda _: columns, each)
    if archive:
        rows = rows.filter(pl.col("timeframe") == ("1m" if kind.minutes else "1d")).drop("timeframe")
    return rows


def in_last_shares(rows: "pl.DataFrame", freq: str, steps: adjust.Steps) -> "pl.DataFrame":
    """Raw bars of sessions, each told in the shares of the last bar of its week or month: a split between would mix two kinds of share."""
    import numpy as np

    told = steps.shares(rows)
    if told is None:
        return rows
    starts = resample.runs(rows, freq)
    counts = np.diff(np.append(starts, len(rows)))
    factors = told.to_numpy()
    return scaled(rows, factors / np.repeat(factors[starts + counts - 1], counts))


def scaled(rows: "pl.DataFrame", factors: Any) -> "pl.DataFrame":
    """Bars with their prices multiplied, and their volumes divided, by a factor each."""
    import polars as pl

    factor = pl.Series(factors)
    return rows.with_columns(*(pl.col(name) * factor for name in fill.PRICES), pl.col("volume") / factor)


def filled(
    source: Rows, made: "pl.DataFrame", rows: "pl.DataFrame", asked: Asked, kind: Kind, steps: adjust.Steps | None
) -> "pl.DataFrame":
    """Bars with those that no trade made; `rows` are the bars of sessions or shorter, `steps` are given where prices are raw."""
    import polars as pl

    assert asked.limit
    intraday = asked.freq in resample.INTRADAY
    slots = {ticker: fill.slots(kind.hours, asked.freq, asked.session, days) for ticker, days in held(source, rows, asked, kind).items()}
    if not intraday and "last_date" not in made.columns:
        made = made.with_columns(last_date="date")
    done, origin = fill.forward(made, asked.limit, slots, intraday=intraday)
    if intraday:
        return done
    stamps = resample.stamped(done, kind.hours)["timestamp"]
    done = done.with_columns(pl.when("filled").then(stamps).otherwise("timestamp").alias("timestamp"))
    told = steps.shares(made.select("ticker", date="last_date")) if steps else None
    if steps is None or told is None:
        return done
    now = steps.shares(done.select("ticker", date="last_date"))
    return scaled(done, told.to_numpy()[origin] / (now.to_numpy() if now is not None else 1.0))


def held(source: Rows, rows: "pl.DataFrame", asked: Asked, kind: Kind) -> dict[str, Any]:
    """The sessions that the lake holds for each ticker of some bars, of those that are asked for, as day numbers in order."""
    import numpy as np

    every = parts.clock(kind.hours).sessions
    first, last = (asked.first or EPOCH) - EPOCH, asked.until - EPOCH
    every = every[np.searchsorted(every, first.days) : np.searchsorted(every, last.days, "right")]
    landed = fill.held(source.lake, kind.table.name, source.shots(kind.table.name).version)
    found = {}
    for (ticker,), own in rows.select("ticker", "date").group_by("ticker", maintain_order=True):
        its = {(day - EPOCH).days for day, only in landed if only in ("", ticker)}
        found[str(ticker)] = every[np.isin(every, [*its, *own["date"].unique().to_physical()])]
    return found


def shown(bars: "pl.DataFrame", asked: Asked) -> "pl.DataFrame":
    """Bars with the columns that a frame of bars has; an index has no volume."""
    import polars as pl

    kinds = {"volume": pl.Float64(), "transactions": pl.Int64()}
    bars = bars.with_columns(pl.lit(None, kind).alias(name) for name, kind in kinds.items() if name not in bars.columns)
    return bars.select(*COLUMNS, *["traded_as"] * asked.follow, *["filled"] * bool(asked.fill))
