"""Trades with the quote in force at each: `Workbench.trades_with_quotes`, and SQL's `trades_with_quotes`.

In force is the newest quote of the same ticker and session at or before the trade's time at the SIP; of several at one time the one with the
greatest sequence number. Nothing is carried over from the session before, and nothing is left out: locked, crossed, one-sided and empty quotes
say that they are.
"""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.query.rows import Rows
from workbench.query.ticks import columns, ordered, table_of
from workbench.tables import Table

if TYPE_CHECKING:
    import polars as pl

STATES = ("normal", "locked", "crossed", "one-sided", "empty")
# What of a quote is shown beside its prices, where its table has it.
BESIDE = ("bid_size", "ask_size", "size_unit")
ORDER = ("ticker", "date", "sip_timestamp")
UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "min": 60_000_000_000}
UNITS_NS |= {"h": 3_600_000_000_000}
# Bits of a signed integer that are there to be used.
BITS = 63
LONGEST = (1 << BITS) - 1


def trades_with_quotes(
    source: Rows,
    tickers: str | Iterable[str],
    first: date | None,
    last: date | None,
    *,
    strict: bool = False,
    max_age: str | timedelta | None = None,
) -> "pl.DataFrame":
    """Trades of some tickers between two sessions, both included, each with the quote in force as `joined` tells it.

    Raises `UsageError` for a length of time that is none and for assets without trades or quotes, and `BadRange`.
    """
    oldest = None if max_age is None else as_ns(max_age)
    names = [tickers] if isinstance(tickers, str) else list(tickers)
    # Both, before anything is read.
    for ticker in names:
        table_of(ticker, "trades"), table_of(ticker, "quotes")
    trades = source.read(names, lambda ticker: table_of(ticker, "trades"), first, last, columns)
    quotes = source.read(names, lambda ticker: table_of(ticker, "quotes"), first, last, of_quotes)
    return joined(ordered(trades), quotes, strict=strict, max_age_ns=oldest)


def of_quotes(table: Table) -> tuple[str, ...]:
    """What is read of a table of quotes."""
    return tuple(
        name
        for name in (*ORDER, "timestamp", "sequence_number", "bid_price", "ask_price", *BESIDE)
        if name in {c.name for c in table.columns}
    )


def as_ns(age: str | timedelta) -> int:
    """A length of time in nanoseconds, from its text: 5s, 250ms, 1.5 min. Raises `UsageError`."""
    if isinstance(age, timedelta) and age >= timedelta():
        return min(age // timedelta(microseconds=1) * 1000, LONGEST)
    told = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-zµ]+)", age.strip()) if isinstance(age, str) else None
    if not told or told[2] not in UNITS_NS:
        raise UsageError(
            f"max_age={age!r} is not a length of time; nothing was read. Write it as 5s, 250ms or 1.5min, or give a timedelta."
        )
    return min(round(float(told[1]) * UNITS_NS[told[2]]), LONGEST)


def joined(trades: "pl.DataFrame", quotes: "pl.DataFrame", *, strict: bool = False, max_age_ns: int | None = None) -> "pl.DataFrame":
    """Trades with the columns of the quote in force at each, NULL where there is none; neither frame is changed.

    Both have ticker, date and sip_timestamp, and are in order of them, quotes of one time in order of sequence_number if they have it; frames that
    are not are put in order first. Quotes have bid_price and ask_price, too. Added are: `bid` and `ask`, NULL for a side that is empty; sizes and their unit
    if the quotes have them; `quote_sip_timestamp`; `quote_age_ns`, by how much the trade came later; `quote_state`, one of `STATES`.
    `strict` wants the quote before the trade's time; one older than `max_age_ns` is none.
    """
    import polars as pl

    quotes = ordered(quotes)
    at = in_force(trades, quotes, strict)
    if at is None:
        trades, quotes = trades.sort(ORDER, maintain_order=True), ordered(quotes.sort(ORDER, maintain_order=True))
        at = in_force(trades, quotes, strict)
        assert at is not None
    stamp = quotes["sip_timestamp"].gather(at)
    age = trades["sip_timestamp"] - stamp
    if max_age_ns is not None:
        young = age <= max_age_ns
        at, stamp, age = (one.to_frame("x").select(pl.when(young).then("x")).to_series() for one in (at, stamp, age))
    bid, ask = pl.col("bid_price"), pl.col("ask_price")
    # What follows from a quote alone is worked out once for each quote, not for each trade.
    shown = quotes.select(
        pl.when(bid > 0).then(bid).alias("bid"),
        pl.when(ask > 0).then(ask).alias("ask"),
        *(name for name in BESIDE if name in quotes.columns),
        states(quotes["bid_price"], quotes["ask_price"]),
    )[at]
    return trades.with_columns(
        *shown.drop("quote_state").get_columns(),
        stamp.alias("quote_sip_timestamp"),
        age.alias("quote_age_ns"),
        shown["quote_state"],
    )


def states(bid: "pl.Series", ask: "pl.Series") -> "pl.Series":
    """Which of `STATES` each quote is, by its prices; the rule of SQL's `quote_state`. A price of 0 is none."""
    import numpy as np
    import polars as pl

    bids, asks = (side.fill_null(0).to_numpy() for side in (bid, ask))
    told = (bids >= asks).astype(np.uint8)
    told += bids > asks
    bare = np.flatnonzero((bids <= 0) | (asks <= 0))
    told[bare] = 3 + ((bids[bare] <= 0) & (asks[bare] <= 0))
    return pl.Series("quote_state", told).cat.to(pl.Enum(STATES))


def in_force(trades: "pl.DataFrame", quotes: "pl.DataFrame", strict: bool) -> "pl.Series | None":
    """For each trade, which of the quotes is in force; None if a frame is not in order.

    Ticker, session and time become one number, so that one pass over two sorted lists of integers finds them all: measured at a third of the
    time of Polars' `join_asof` by ticker.
    """
    import polars as pl

    ours, theirs = runs(trades, "trade"), runs(quotes, "quote")
    both = ours.join(theirs, on=["ticker", "date"], how="full", coalesce=True).sort("ticker", "date")
    firsts = both.select(pl.min_horizontal("trade_first", "quote_first")).to_series()
    lasts = both.select(pl.max_horizontal("trade_last", "quote_last")).to_series()
    if not len(ours):
        return pl.Series([], dtype=pl.get_index_type())
    if not all(both[f"{what}_start"].drop_nulls().is_sorted() for what in ("trade", "quote")):
        return None
    # Room for the longest session, and for as many sessions of tickers as then fit.
    bits = int((lasts - firsts).max() or 0).bit_length()  # type: ignore[arg-type]
    fit = 1 << (BITS - bits)
    both = both.with_columns(firsts.alias("base")).with_row_index("code")
    found = []
    for start in range(0, len(both), fit):
        some = both[start : start + fit].with_columns(((pl.col("code") - start).cast(pl.Int64) * (1 << bits) - pl.col("base")).alias("key"))
        sides = [one_side(frame, some.drop_nulls(f"{what}_rows"), what) for frame, what in ((trades, "trade"), (quotes, "quote"))]
        if not all(side["key"].is_sorted() for side in sides):
            return None
        left, right = sides
        at = left.join_asof(right, on="key", check_sortedness=False, allow_exact_matches=not strict)
        # The pass finds the last quote of the ticker or session before where this one has none yet.
        mine = pl.lit(pl.Series(has_one(left["key"].to_numpy(), some.drop_nulls("trade_rows"), strict)))
        found.append(at.select(pl.when(mine).then("at").cast(pl.get_index_type())).to_series())
    return pl.concat(found)


def has_one(keys: Any, its: "pl.DataFrame", strict: bool) -> Any:
    """For each trade, by its key, whether a quote of its own ticker and session came before it; only the first of a run may lack one."""
    import numpy as np

    found = np.ones(len(keys), dtype=np.bool_)
    ends = its["trade_rows"].cum_sum().to_numpy()
    starts = np.concatenate([[0], ends[:-1]])
    quoted = its["quote_first"].is_not_null().to_numpy()
    firsts = (its["key"] + its["quote_first"].fill_null(0)).to_numpy()
    since = np.where(quoted, np.clip(np.searchsorted(keys, firsts, "right" if strict else "left"), starts, ends), ends)
    for start, end in zip(starts[since > starts].tolist(), since[since > starts].tolist(), strict=True):
        found[start:end] = False
    return found


def one_side(frame: "pl.DataFrame", its: "pl.DataFrame", what: str) -> "pl.DataFrame":
    """The keys of the rows of some runs, and which row each is."""
    import numpy as np
    import polars as pl

    rows: Any = its[f"{what}_rows"].to_numpy()
    start = int(its[f"{what}_start"][0]) if len(its) else 0
    stamps = frame["sip_timestamp"][start : start + int(rows.sum())].to_numpy()
    numbers = np.repeat(its["key"].to_numpy(), rows)
    numbers += stamps
    keys = pl.DataFrame({"key": numbers})
    return keys if what == "trade" else keys.with_columns(pl.int_range(start, start + len(keys), dtype=pl.get_index_type()).alias("at"))


def runs(frame: "pl.DataFrame", what: str) -> "pl.DataFrame":
    """The runs of one ticker and session in a frame: where each starts, its rows, its first and last time."""
    import polars as pl

    ticker, session = pl.col("ticker"), pl.col("date")
    new = (ticker != ticker.shift()) | (session != session.shift())
    start = frame.select(pl.arg_where(new.fill_null(True)).cast(pl.Int64)).to_series()
    end = start.shift(-1, fill_value=len(frame))
    time = frame["sip_timestamp"]
    return frame.select("ticker", "date")[start].with_columns(
        start.alias(f"{what}_start"),
        (end - start).alias(f"{what}_rows"),
        time.gather(start).alias(f"{what}_first"),
        time.gather(end - 1).alias(f"{what}_last"),
    )
