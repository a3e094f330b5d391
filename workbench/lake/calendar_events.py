"""What the lake itself can tell of the calendar: splits and dividends as events, closed days and short sessions.

These rows derive from others, so they follow them: an event whose split or dividend is no more, or moved, goes. Events that sources tell stay as they
are told.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.lake.reference import WHOLE, Updated, key_of, rewrite, rows_of
from workbench.lake.reference_merge import Merged, frame, merge
from workbench.lake.reference_splits import resolve_splits
from workbench.lake.store import Lake
from workbench.sessions import Holiday
from workbench.sources.reference_replies import holiday
from workbench.tables import Table, find
from workbench.tables.spec import NEW_YORK

if TYPE_CHECKING:
    import polars as pl

NAME = "calendar"
# The exchange's days since its flat files began, and as far ahead as holidays are announced.
FIRST = date(2003, 9, 10)
AHEAD = timedelta(days=366)
SPECIAL = ("SC", "LT", "ST", "special", "supplemental", "irregular")


def derive(lake: Lake, *, now: datetime | None = None, holidays: Sequence[Holiday] | None = None) -> Updated:
    """Bring the derived events up to date with splits, dividends and the exchange's calendar; commits if any changes.

    To be called after these were refreshed. `holidays` are the calendar's unless they are given. Raises as `reference.update` does.
    """
    now = now or datetime.now(UTC)
    today = now.astimezone(ZoneInfo(NEW_YORK)).date()
    table = find("calendar_events")
    lake.make()
    days = sessions.holidays(FIRST, today + AHEAD) if holidays is None else holidays
    told = events(table, lake, days)
    done = Updated(table.name, NAME, NAME, len(told))

    def change(held: "pl.DataFrame", _: str) -> Merged:
        import polars as pl

        stays = held.filter(pl.col("source") != NAME)
        mine = held.filter(pl.col("source") == NAME).join(told, on="id", how="semi")
        gone = len(held) - len(stays) - len(mine)
        merged = merge(table, pl.concat([stays, mine]), told, NAME, now, today, whole=False)
        return Merged(merged.rows, merged.new, merged.changed, merged.same, merged.weaker, merged.replaced + gone, 0)

    held = lake[table.name].landings().get(key_of(table, WHOLE))
    if not len(told) and held is None:
        return done
    record = {"source": NAME, "run": "", "began": "", "quarantined": 0, "reasons": {}, "notes": ()}
    [merged] = rewrite(lake[table.name], [WHOLE], change, now, record, done)
    done.rows_new, done.rows_changed, done.rows_same = merged.new, merged.changed, merged.same
    done.weaker, done.replaced = merged.weaker, merged.replaced
    done.rows_total = lake[table.name].snapshot().rows
    return done


def follow(lake: Lake, tables: Collection[str], *, now: datetime | None = None) -> list[Updated]:
    """What derives from tables that were refreshed, brought up to date: splits from day bars, events from splits and dividends.

    To be called at the end of a refresh; costs nothing if nothing of it has changed. Raises as `reference.update` does.
    """
    done = []
    # Closes, or under which symbol they are, may say something else of a split now.
    if {"stock_day", "ticker_changes"} & set(tables) and lake["splits"].exists:
        done.append(resolve_splits(lake, now=now))
    if {"splits", "dividends", "calendar_events"} & set(tables) or any(one.committed for one in done):
        done.append(derive(lake, now=now))
    return done


def events(table: Table, lake: Lake, days: Sequence[Holiday]) -> "pl.DataFrame":
    """All derived events, each id once."""
    import polars as pl

    told = [
        holiday("holiday" if day.status == "closed" else "early_close", day.date, day.name, day.close if day.status != "closed" else None)
        for day in days
    ]
    pieces = [frame(table, told), of_splits(rows_of(lake, "splits")), of_dividends(rows_of(lake, "dividends"))]
    columns = [c.name for c in table.columns]
    schema = pieces[0].schema
    whole = pl.concat([piece.cast({name: schema[name] for name in piece.columns}) for piece in pieces], how="diagonal")
    return whole.select(columns).unique("id", keep="first", maintain_order=True)


def of_splits(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Splits as events; not those that are another's duplicate."""
    import polars as pl

    day, ticker = pl.col("execution_date"), pl.col("ticker")
    kind = pl.when(pl.col("split_from") > pl.col("split_to")).then(pl.lit(" splits in reverse, ")).otherwise(pl.lit(" splits, "))
    return rows.filter(pl.col("duplicate_of").is_null()).select(
        id=pl.concat_str(pl.lit("split:"), ticker, pl.lit(":"), day.cast(pl.String())),
        event_type=pl.lit("split"),
        date=day,
        event_at=midnight(day),
        name=pl.concat_str(ticker, kind, plain("split_to"), pl.lit(" for "), plain("split_from")),
        description=pl.lit("actual: shares after for each one before"),
        impact=pl.lit(2),
        ticker=ticker,
        actual=pl.col("split_to") / pl.col("split_from"),
    )


def of_dividends(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Dividends as events of their ex date; `previous` is the ticker's one before."""
    import polars as pl

    day, ticker, cash = pl.col("ex_dividend_date"), pl.col("ticker"), pl.col("cash_amount")
    special = pl.any_horizontal(pl.col("dividend_type").is_in(SPECIAL), pl.col("distribution_type").is_in(SPECIAL)).fill_null(value=False)
    return rows.sort("ticker", "ex_dividend_date", "cash_amount").select(
        id=pl.concat_str(pl.lit("dividend:"), ticker, pl.lit(":"), day.cast(pl.String()), pl.lit(":"), plain("cash_amount")),
        event_type=pl.lit("dividend"),
        date=day,
        event_at=midnight(day),
        name=pl.concat_str(
            ticker, pl.lit(" goes ex dividend, "), plain("cash_amount"), pl.lit(" "), pl.col("currency").fill_null("")
        ).str.strip_chars(),
        description=pl.lit("actual: cash per share, as declared"),
        impact=pl.when(special).then(2).otherwise(1),
        ticker=ticker,
        currency=pl.col("currency"),
        actual=cash,
        previous=cash.shift(1).over("ticker"),
    )


def plain(name: str) -> "pl.Expr":
    """A number as people write it: 7, not 7.0."""
    import polars as pl

    return pl.col(name).cast(pl.String()).str.replace(r"\.0$", "")


def midnight(day: "pl.Expr") -> "pl.Expr":
    """Midnight in New York of a date."""
    import polars as pl

    return day.cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
