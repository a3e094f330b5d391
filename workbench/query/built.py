"""Bars made of trades, `Workbench.bars_from_trades`, and what tells them from the minute file; the rules of SQL's `bars_from_trades`.

Trades that were corrected or cancelled since, and those without a price or a size, do not count; of the others each counts towards the fields
that all its conditions allow. Conditions are read of stocks only: of other assets the vendor publishes no consolidated rules, and every trade counts
towards everything.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.lake.types import polars_type
from workbench.query import parts, resample
from workbench.query.prices import COLUMNS
from workbench.query.report import Report
from workbench.query.rows import Rows
from workbench.query.ticks import ordered, table_of
from workbench.tables import TABLES, Table
from workbench.tables.trade_conditions import BY_ID, FORM_T, TradeCondition

if TYPE_CHECKING:
    import polars as pl

NEEDED = (
    "ticker",
    "date",
    "timestamp",
    "conditions",
    "correction",
    "participant_timestamp",
    "price",
    "sequence_number",
    "sip_timestamp",
    "size",
)
TIMES = ("sip_timestamp", "participant_timestamp")
# 12 holds the new values of a correction; 1, 7 and 8 were replaced since, 10 and 11 say by what.
COUNT = (0, 12)
# What stands between commas, or whatever else a list was written with; SQL's macro reads it the same way.
TOKEN = re.compile(r"""[^,; \t\[\]"]+""")
NUMBER = re.compile("[0-9]{1,9}")
# Bits of what a trade counts towards, the last two outside regular hours.
HIGH_LOW, OPEN_CLOSE, VOLUME, LATE_HIGH_LOW, LATE_OPEN_CLOSE = (1 << n for n in range(5))

# What is compared with the minute file; half of the last decimal that sizes have is as good as equal.
FIELDS = ("open", "high", "low", "close", "volume", "transactions")
CLOSE_ENOUGH = 5e-7
# Trades that are compared at a time, and minutes that a report lists.
BATCH, ROWS = 4_000_000, 10_000

Listed = Mapping[int, TradeCondition]


def bars_from_trades(
    source: Rows,
    sql: Callable[..., Any],
    tickers: str | Iterable[str],
    first: date | None,
    last: date | None,
    freq: str = "1m",
    session: str = "all",
    *,
    by: str = "sip_timestamp",
) -> "pl.DataFrame":
    """Bars of some tickers between two sessions, both included, made of every trade, with `vwap`; no bar where no trade may set a price.

    Raises `UsageError` for a length that is none or longer than an hour, and for assets without trades, and `BadRange`.
    """
    import polars as pl

    if freq not in resample.INTRADAY:
        raise UsageError(f"bars of {freq!r} are not made of trades; nothing was read. Give one of {', '.join(resample.INTRADAY)}.")
    if by not in TIMES:
        raise UsageError(f"by={by!r} is no time of a trade; nothing was read. Give one of {' and '.join(TIMES)}.")
    by_table: dict[str, list[str]] = {}
    tables: dict[str, Table] = {}
    for ticker in [tickers] if isinstance(tickers, str) else tickers:
        table = table_of(ticker, "trades")
        parts.check(session, table)
        tables[table.name] = table
        by_table.setdefault(table.name, []).append(ticker)
    if not by_table:
        table = table_of("", "trades")
        tables[table.name], by_table[table.name] = table, []
    found = []
    for name, its in by_table.items():
        trades = source.read(its, lambda _, table=tables[name]: table, first, last, needed)  # type: ignore[misc]
        found.append(made(trades, tables[name], freq, session, by, listed(sql, trades)))
    return found[0] if len(found) == 1 else pl.concat(found, rechunk=True).sort("ticker", "timestamp", maintain_order=True)


def needed(table: Table) -> tuple[str, ...]:
    """What of a table of trades bars are made of."""
    there = {column.name for column in table.columns}
    return tuple(name for name in NEEDED if name in there and (name != "conditions" or table.asset == "stocks"))


def made(
    trades: "pl.DataFrame", table: Table, freq: str = "1m", part: str = "all", by: str = "sip_timestamp", known: Listed = BY_ID
) -> "pl.DataFrame":
    """Bars of trades that are in order of ticker and time; `known` are the conditions that have a rule.

    A time at the exchange that is not told is that at the SIP. Where `by` is that time, it says which trade is first and last, too.
    """
    import numpy as np
    import polars as pl

    kept = counting(ordered(trades))
    if by == "participant_timestamp" != table.time:
        told = pl.when(pl.col(by) > 0).then(pl.col(by)).otherwise(pl.col(table.time)) // 1000
        kept = kept.with_columns(told.cast(trades.schema["timestamp"]).alias("timestamp"))
        kept = kept.sort("ticker", "date", "timestamp", maintain_order=True)
    kept = parts.of(kept, part, table)
    days, at = (kept[name].to_physical().to_numpy() for name in ("date", "timestamp"))
    opens, closes = parts.clock(table).span("regular", days)
    flags = towards(kept, known, (at >= opens) & (at < closes))
    if freq == "1m":
        starts = at // resample.MINUTE_US * resample.MINUTE_US
    else:
        starts = resample.starts(at, days, parts.clock(table), resample.INTRADAY[freq])
    rows = kept.select(
        "ticker", "date", pl.Series("timestamp", starts, pl.Int64).cast(trades.schema["timestamp"]), "price", "size"
    ).with_columns(pl.Series(name, np.bitwise_and(flags, bit) > 0) for name, bit in (("hl", HIGH_LOW), ("oc", OPEN_CLOSE), ("v", VOLUME)))
    price, size = pl.col("price"), pl.col("size")
    priced = pl.col("v") & (pl.col("hl") | pl.col("oc"))
    bars = rows.group_by("ticker", "date", "timestamp", maintain_order=True).agg(
        open=price.filter("oc").first(),
        high=price.filter("hl").max(),
        low=price.filter("hl").min(),
        close=price.filter("oc").last(),
        volume=size.filter("v").sum(),
        transactions=pl.col("v").sum().cast(pl.Int64),
        traded=(price * size).filter(priced).sum(),
        weight=size.filter(priced).sum(),
    )
    vwap = pl.when(pl.col("weight") > 0).then(pl.col("traded") / pl.col("weight")).alias("vwap")
    return bars.filter(pl.col("open").is_not_null() & pl.col("high").is_not_null()).select(*COLUMNS, vwap)


def counting(trades: "pl.DataFrame") -> "pl.DataFrame":
    """The trades that stand, and have a price and a size."""
    import polars as pl

    tests = [pl.col("price") > 0, pl.col("size") > 0]
    if "correction" in trades.columns:
        tests.append(pl.col("correction").is_null() | pl.col("correction").is_in(COUNT))
    return trades.filter(*tests)


def towards(trades: "pl.DataFrame", known: Listed, regular: Any) -> Any:
    """What each trade counts towards, as bits; `regular` says which trades are of the regular session.

    There are few lists of conditions, so each is read once.
    """
    import numpy as np

    everything = HIGH_LOW | OPEN_CLOSE | VOLUME
    if "conditions" not in trades.columns or trades["conditions"].null_count() == len(trades):
        return np.full(len(trades), everything, dtype=np.uint8)
    lists = trades["conditions"].fill_null("")
    distinct = lists.unique()
    rules = [rule(told, known) for told in distinct]
    flags = lists.replace_strict(distinct, rules, return_dtype=None).to_numpy().astype(np.uint8)
    late = (flags >> 3) | (flags & VOLUME)
    return np.where(regular, flags & everything, late)


def rule(conditions: str, known: Listed) -> int:
    """What a trade with a list of conditions counts towards, as bits."""
    its = [known[number] for number, _ in ids(conditions) if number is not None and number in known]
    late = [one for one in its if one.id != FORM_T]
    return (
        HIGH_LOW * all(one.high_low for one in its)
        | OPEN_CLOSE * all(one.open_close for one in its)
        | VOLUME * all(one.volume for one in its)
        | LATE_HIGH_LOW * all(one.high_low for one in late)
        | LATE_OPEN_CLOSE * all(one.open_close for one in late)
    )


def ids(conditions: str) -> list[tuple[int | None, str]]:
    """The ids in a list of conditions, each with what it is written as; None for what is no number."""
    return [(int(token) if NUMBER.fullmatch(token) else None, token) for token in TOKEN.findall(conditions)]


def unlisted(trades: "pl.DataFrame", known: Listed = BY_ID) -> dict[str, int]:
    """The conditions that no rule is known of, as written, each with the trades that have it; they are left aside."""
    found: dict[str, int] = {}
    if "conditions" in trades.columns:
        for told, count in trades["conditions"].drop_nulls().value_counts().iter_rows():
            for token in {token for number, token in ids(told) if number not in known}:
                found[token] = found.get(token, 0) + count
    return dict(sorted(found.items()))


def listed(sql: Callable[..., Any], trades: "pl.DataFrame") -> Listed:
    """The conditions that have a rule: ours, and, if some trade has one that is not among them, those of the lake's `conditions`."""
    if not unlisted(trades):
        return BY_ID
    rows = sql(
        """SELECT id, coalesce(name, ''), coalesce(updates_high_low, true), coalesce(updates_open_close, true), coalesce(updates_volume, true)
           FROM main.trade_conditions WHERE source <> 'workbench'"""
    ).fetchall()
    return {**BY_ID, **{row[0]: TradeCondition(*row) for row in rows}}


# ------------------------------------------------------------------ compare


def compared(
    sql: Callable[..., Any], tickers: Iterable[str] | str | None = None, first: date | None = None, last: date | None = None
) -> Report:
    """Bars of stocks made of trades against the minute file: a row for each minute that differs, at most `ROWS` of them.

    Compared are the sessions of which the lake holds minutes, of the tickers that it holds trades of; None is all. A bar that one side lacks is
    NULL there, and differs in everything. `facts["shares"]` says for each ticker which share of its minutes is equal in each field and in all,
    `facts["minutes"]` and `facts["differing"]` count them, `facts["unlisted"]` counts trades with conditions that no rule is known of, and
    `facts["not_compared"]` names sessions of trades without minutes.
    """
    import polars as pl

    names = [tickers] if isinstance(tickers, str) else None if tickers is None else list(tickers)
    span = {"first": first or date.min, "last": last or date.max}
    held = {day for (day,) in sql("SELECT DISTINCT date FROM stock_minute WHERE date BETWEEN $first AND $last", **span).fetchall()}
    counted = sql(
        f"SELECT date, ticker, count(*) FROM stock_trades WHERE date BETWEEN $first AND $last {among(names)} GROUP BY ALL ORDER BY ALL",
        **span,
        **told(names),
    ).fetchall()
    strange, frames = dict[str, int](), list[pl.DataFrame]()
    for day, low, high in batches([one for one in counted if one[0] in held]):
        where = f"WHERE date = $day AND ticker BETWEEN $low AND $high {among(names)}"
        values = {"day": day, "low": low, "high": high, **told(names)}
        trades = sql(f"SELECT {', '.join(NEEDED)} FROM stock_trades {where} ORDER BY ticker, sip_timestamp, sequence_number", **values).pl()
        minutes = sql(f"SELECT {', '.join(COLUMNS)} FROM stock_minute {where}", **values).pl()
        known = listed(sql, trades)
        for token, count in unlisted(trades, known).items():
            strange[token] = strange.get(token, 0) + count
        its = trades["ticker"].unique()
        frames.append(against(made(trades, TABLES["stock_trades"], known=known), minutes.filter(pl.col("ticker").is_in(its.implode()))))
    both = pl.concat(frames) if frames else against(*empty())
    shares = (
        both.group_by("ticker")
        .agg(
            minutes=pl.len(),
            **{name: (~pl.col("differs").list.contains(name)).mean() for name in FIELDS},
            equal=(pl.col("differs").list.len() == 0).mean(),
        )
        .sort("ticker")
    )
    rows = both.filter(pl.col("differs").list.len() > 0).sort("ticker", "timestamp")
    shown = rows.head(ROWS).with_columns(pl.col("differs").list.join(", "))
    volume, close = (both.select((~pl.col("differs").list.contains(name)).mean()).item() for name in ("volume", "close"))
    return Report(
        f"{len(rows):,} of {len(both):,} minutes made of trades differ from the minute file"
        + (f"; volume is the same in {volume:.1%} of them, the close in {close:.1%}." if len(both) else "."),
        shown.to_dicts(),
        spare=[f"{which}{name}" for name in FIELDS for which in ("", "built_")],
        shares=shares.to_dicts(),
        minutes=len(both),
        differing=len(rows),
        unlisted=strange,
        not_compared=sorted({day for day, _, _ in counted} - held),
    )


def among(names: list[str] | None) -> str:
    """The condition on tickers, where some are named."""
    return "" if names is None else "AND list_contains($tickers, ticker)"


def told(names: list[str] | None) -> dict[str, object]:
    """The value that `among` takes."""
    return {} if names is None else {"tickers": names or [None]}


def batches(counted: list[tuple[date, str, int]]) -> Iterator[tuple[date, str, str]]:
    """Sessions and ranges of tickers, both ends included, of so many trades as are read at a time, or of one ticker's that are more."""
    start, rows = 0, 0
    for at, (day, _, count) in enumerate(counted):
        if at > start and (day != counted[start][0] or rows + count > BATCH):
            yield counted[start][0], counted[start][1], counted[at - 1][1]
            start, rows = at, 0
        rows += count
    if counted:
        yield counted[start][0], counted[start][1], counted[-1][1]


def against(bars: "pl.DataFrame", minutes: "pl.DataFrame") -> "pl.DataFrame":
    """Every minute that bars from trades or the minute file have, with both bars and the fields that differ; the rule of `built_against_minutes`."""
    import polars as pl

    renamed = bars.select("ticker", "date", "timestamp", *(pl.col(name).alias(f"built_{name}") for name in FIELDS))
    both = minutes.join(renamed, on=["ticker", "date", "timestamp"], how="full", coalesce=True)
    fields = []
    for name in FIELDS:
        ours, theirs = pl.col(f"built_{name}"), pl.col(name)
        same = ours.eq_missing(theirs) | ((ours - theirs).abs() < CLOSE_ENOUGH if name == "volume" else False)
        fields.append(pl.when(~same.fill_null(False)).then(pl.lit(name)))
    return both.select(
        "ticker",
        "date",
        "timestamp",
        pl.concat_list(fields).list.drop_nulls().alias("differs"),
        *(f"{which}{name}" for name in FIELDS for which in ("", "built_")),
    )


def empty() -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """Bars and minutes, none of either."""
    import polars as pl

    schema = {name: polars_type(TABLES["stock_minute"][name]) for name in COLUMNS}
    return pl.DataFrame(schema=schema), pl.DataFrame(schema=schema)
