"""Gaps within a session: which minutes of a ticker have no bar, and whether that is as it should be.

The vendor makes a bar only of eligible trades, so most absent bars are right. Where the session's trades are in the lake they decide, minute
by minute; else the day bar does, which counts all volume; else nothing tells.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from workbench import sessions
from workbench.errors import UsageError
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.gaps import Facts, judge, on_record
from workbench.query.gaps_tickers import HELD
from workbench.query.report import Report
from workbench.tables import FED, TABLES, Table, find, quote

Ask = Callable[..., Any]

MINUTE_NS = 60_000_000_000
# Corrections that leave a trade standing; the others are of trades that were changed or cancelled.
STANDING = "(correction IS NULL OR correction IN (0, 12))"
# Sums of the same numbers in another order.
ROUNDING = 1e-9

# Trade conditions that keep a trade from setting high and low, open and close, for the tape as a whole; the others allow both. The vendor's
# list, /v3/reference/conditions, as it stood in 2025; where the lake holds `conditions`, that is asked instead.
NEITHER = frozenset({2, 7, 12, 13, 15, 16, 20, 21, 29, 37, 52, 53})
NO_OPEN_CLOSE = frozenset({5, 10, 17, 22, 32, 33})
# Form T says that a trade was made outside of regular hours: there, it does not count against it.
FORM_T = 12


@dataclass(frozen=True)
class Rules:
    """The conditions that keep a trade from setting a price."""

    no_high_low: frozenset[int]
    no_open_close: frozenset[int]

    def prices(self, conditions: str | None, *, extended: bool) -> tuple[bool, bool]:
        """Whether a trade with some conditions sets high and low, and whether it sets open and close; blank ones are regular."""
        ids = {int(one) for one in (conditions or "").split(",") if one.strip().lstrip("-").isdigit()} - ({FORM_T} if extended else set())
        return not ids & self.no_high_low, not ids & self.no_open_close


@dataclass(frozen=True)
class Absent:
    """A minute without a bar: what is said of it, and the trades and shares that say so."""

    at: datetime
    part: str
    state: str
    reason: str
    trades: int = 0
    shares: float = 0.0


def minutes(
    lake: Lake,
    ask: Ask,
    snapshots: Mapping[str, Snapshot],
    table: str,
    ticker: str,
    day: date,
    *,
    best: str = "polygon_s3",
    now: datetime | None = None,
) -> Report:
    """The minutes of a ticker's session that have no bar: a row for each run of them of which the same is to be said.

    Times are in the table's zone. Raises `UnknownName`, and `UsageError` for a table that does not hold minutes or a day without a session.
    """
    declared = find(table)
    if not (declared.feeds and table.endswith("_minute")):
        raise UsageError(f"{table} does not hold minutes; nothing was done. Ask for the gaps of a table that does.")
    open_at = sessions.hours(declared, day)
    if not open_at:
        raise UsageError(f"{table} has no session on {day}: {sessions.why_closed(declared, day)}; nothing was done. Give another day.")
    whole = judge(declared, day, on_record(lake, snapshots[table], declared).get(day, Facts()), True, best, now or datetime.now(UTC))
    if whole.state not in HELD:
        note = f"The whole session is {whole.state}: {whole.reason or whole.mends}."
        return Report(f"{ticker} {day}: {whole.state}", [], root=lake.where, table=table, problems=0, states={}, notes=[note])
    bars, held = bars_of(ask, declared, ticker, day)
    expected = every_minute(open_at)
    absent = [(at, part) for at, part in expected if at not in bars]
    found = decided(lake, ask, snapshots, declared, ticker, day, absent, held)
    return told(lake, declared, ticker, day, len(expected) - len(absent), found)


def told(lake: Lake, table: Table, ticker: str, day: date, there: int, found: list[Absent]) -> Report:
    """Absent minutes as a report, by runs."""
    zone, rows = ZoneInfo(table.zone), []
    minute = timedelta(minutes=1)
    # Neighbours count on together: what is left of a minute by its number in the list changes where one lies between.
    marked = enumerate(found)
    for _, several in groupby(marked, key=lambda one: (one[1].at - one[0] * minute, one[1].part, one[1].state, one[1].reason)):
        some = [one for _, one in several]
        rows.append(
            {
                "first": some[0].at.astimezone(zone),
                "last": some[-1].at.astimezone(zone),
                "minutes": len(some),
                "part": some[0].part,
                "state": some[0].state,
                "reason": some[0].reason,
                "trades": sum(one.trades for one in some) or None,
                "shares": sum(one.shares for one in some) or None,
            }
        )
    counts = Counter(one.state for one in found)
    said = ", ".join(f"{n:,} {state}" for state, n in sorted(counts.items()))
    title = f"{ticker} {day}: {there:,} of {there + len(found):,} minutes have a bar{f'; {said}' * bool(said)}"
    facts = {"root": lake.where, "table": table.name, "ticker": ticker, "session": day}
    return Report(title, rows, ("shares",), **facts, problems=counts["missing"], states=dict(counts), notes=[])


def every_minute(open_at: sessions.Hours) -> list[tuple[datetime, str]]:
    """The minutes of a session, each with its part."""
    parts = [("pre", open_at.pre), ("regular", open_at.regular), ("post", open_at.post)]
    return [
        (span[0] + timedelta(minutes=n), part)
        for part, span in parts
        if span
        for n in range(int((span[1] - span[0]).total_seconds()) // 60)
    ]


def bars_of(ask: Ask, table: Table, ticker: str, day: date) -> tuple[set[datetime], tuple[float, int | None]]:
    """The minutes that have a bar, and what their bars sum up to: volume and, where all tell them, trades."""
    query = f"SELECT window_start, volume, transactions FROM {quote(table.name)} WHERE ticker = $ticker AND date = $day"
    rows = ask(query, ticker=ticker, day=day).fetchall()
    trades = [count for _, _, count in rows]
    sums = sum(volume for _, volume, _ in rows), None if None in trades else sum(trades)
    return {instant(stamp // MINUTE_NS) for stamp, _, _ in rows}, sums


def instant(minute: int) -> datetime:
    """A minute since 1970, in UTC."""
    return datetime.fromtimestamp(minute * 60, UTC)


# ---------------------------------------------------------------------- decide


def decided(
    lake: Lake,
    ask: Ask,
    snapshots: Mapping[str, Snapshot],
    table: Table,
    ticker: str,
    day: date,
    absent: Iterable[tuple[datetime, str]],
    held: tuple[float, int | None],
) -> list[Absent]:
    """What is to be said of absent minutes, by the strongest evidence there is."""
    ticks = next((one for one in FED if one.rollup == table.name), None)
    # A ticker that the session's trades do not have at all may be one that they lack.
    if ticks and ticks.asset == "stocks" and landed(lake, snapshots, ticks, day, ticker) and any_rows(ask, ticks, ticker, day):
        return by_trades(ask, ticks, ticker, day, absent)
    daily = TABLES[table.rollup] if table.rollup else None
    bar = None
    if daily and landed(lake, snapshots, daily, day, ticker):
        query = f"SELECT volume, transactions FROM {quote(daily.name)} WHERE ticker = $ticker AND date = $day"
        bar = next(iter(ask(query, ticker=ticker, day=day).fetchall()), (0.0, 0))
    if not daily or bar is None:
        reason = f"neither trades{f' nor {daily.name}' if daily else ''} of the session are in the lake to tell"
        return [Absent(at, part, "unknown", reason) for at, part in absent]
    state, reason = by_day_bar(bar, held)
    return [Absent(at, part, state, reason) for at, part in absent]


def landed(lake: Lake, snapshots: Mapping[str, Snapshot], table: Table, day: date, ticker: str) -> bool:
    """Whether a table holds a session, of all tickers or of this one."""
    landings = lake[table.name].landings(snapshots[table.name].version).values()
    return any(one.session == day and one.held and (not one.asked or ticker in one.asked) for one in landings)


def any_rows(ask: Ask, table: Table, ticker: str, day: date) -> bool:
    """Whether a table has a row of a ticker's session."""
    return bool(ask(f"SELECT 1 FROM {quote(table.name)} WHERE ticker = $ticker AND date = $day LIMIT 1", ticker=ticker, day=day).fetchall())


def by_day_bar(bar: tuple[float, int | None], held: tuple[float, int | None]) -> tuple[str, str]:
    """What a day bar says of all absent minutes: it counts every trade, the minutes' bars only those of minutes with an eligible one."""
    shares = bar[0] - held[0]
    trades = bar[1] - held[1] if bar[1] is not None and held[1] is not None else None
    close = abs(shares) <= ROUNDING * max(abs(bar[0]), 1.0)
    if close and not trades:
        return "no eligible trade", "the minutes sum up to the day bar"
    count = f" in {trades:,} trade{'s' * (trades != 1)}" if trades else ""
    if shares > 0 or (close and (trades or 0) > 0):
        return "missing or ineligible", f"the day bar has {shares:,.6g} shares{count} more than the minutes"
    return "unknown", f"the minutes have {-shares:,.6g} shares more than the day bar"


def by_trades(ask: Ask, ticks: Table, ticker: str, day: date, absent: Iterable[tuple[datetime, str]]) -> list[Absent]:
    """What a session's trades say of each absent minute."""
    rules = rules_of(ask)
    query = (
        f"SELECT sip_timestamp // {MINUTE_NS} AS minute, conditions, count(*), sum(size) FROM {quote(ticks.name)} "
        f"WHERE ticker = $ticker AND date = $day AND price > 0 AND size > 0 AND {STANDING} GROUP BY ALL"
    )
    traded: dict[datetime, list[tuple[str | None, int, float]]] = {}
    for minute, conditions, count, size in ask(query, ticker=ticker, day=day).fetchall():
        traded.setdefault(instant(minute), []).append((conditions, count, size))
    found = []
    for at, part in absent:
        sure = doubtful = (0, 0.0)
        for conditions, count, size in traded.get(at, ()):
            high_low, open_close = rules.prices(conditions, extended=part != "regular")
            if high_low and open_close:
                sure = sure[0] + count, sure[1] + size
            elif high_low or open_close:
                doubtful = doubtful[0] + count, doubtful[1] + size
        if sure[0]:
            found.append(Absent(at, part, "missing", "eligible trades, and no bar", *sure))
        elif doubtful[0]:
            found.append(Absent(at, part, "unknown", "trades that set a high and low, or an open and close, but not both", *doubtful))
        else:
            found.append(Absent(at, part, "no eligible trade", "by the session's trades"))
    return found


def rules_of(ask: Ask) -> Rules:
    """Which conditions keep a trade from setting a price: by `conditions`, where the lake holds it, else as declared here."""
    if "conditions" in TABLES:
        query = "SELECT id, updates_high_low, updates_open_close FROM conditions WHERE asset_class = 'stocks' AND data_type = 'trade'"
        rows = ask(query).fetchall()
        if rows:
            return Rules(frozenset(n for n, price, _ in rows if price is False), frozenset(n for n, _, price in rows if price is False))
    return Rules(NEITHER, NEITHER | NO_OPEN_CLOSE)
