"""Gaps of single tickers: why a ticker has no rows of a session that its table holds.

The evidence, the strongest first: a finer or a day bar that says that it traded; its other symbols; the listing's first and last day; the
absence of a day bar. What nothing tells is said to be unknown.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

from workbench import sessions
from workbench.errors import UsageError
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.gaps import PROBLEMS, Facts, Gap, judge, kind, newest_by_source, on_record, said_by, span
from workbench.query.report import Report
from workbench.tables import FED, TABLES, Table, find, quote
from workbench.tables.answers import RANK

Ask = Callable[..., Any]

# Rows of a session are looked for only where the table holds some of it.
HELD = ("landed", "replaced", "fallback only", "in part")
TICKER_PROBLEMS = ("missing", *(state for state in PROBLEMS if state != "missing"))
SILENT = "unknown whether it was listed: tickers says nothing of it"


@dataclass(frozen=True)
class Listing:
    """From when to when a symbol was listed, as a row of `tickers` says; None is open, or not told."""

    listed: date | None
    delisted: date | None


@dataclass(frozen=True)
class Spell:
    """From when to when an asset had a symbol, both included; None is open."""

    asset: str
    ticker: str
    first: date | None
    last: date | None

    def covers(self, day: date) -> bool:
        """Whether it had the symbol on a day."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass
class Life:
    """What is known of a symbol: its listings, and the spells of every asset that ever had it."""

    listings: list[Listing] = field(default_factory=list)
    spells: list[Spell] = field(default_factory=list)

    def known(self, day: date) -> bool | None:
        """Whether the symbol was listed on a day; None if nothing tells."""
        if any((one.listed is None or one.listed <= day) and (one.delisted is None or day <= one.delisted) for one in self.listings):
            # A row without a first day says only that it was listed some time.
            return True if any(one.listed for one in self.listings) else None
        return False if self.listings else None


@dataclass
class Evidence:
    """What was found of some tickers: sources of their rows, and what their day bars (or, of day bars, their minutes) sum to, by ticker and session."""

    rows: dict[tuple[str, date], set[str]]
    traded: dict[tuple[str, date], float]
    compared: frozenset[date]
    by: str
    lives: dict[str, Life]


def tickers(
    lake: Lake,
    ask: Ask,
    snapshots: Mapping[str, Snapshot],
    table: str,
    symbols: Sequence[str],
    start: date | None = None,
    end: date | None = None,
    *,
    everything: bool = False,
    best: str = "polygon_s3",
    now: datetime | None = None,
) -> Report:
    """What became of some tickers in every session of a table: a row for each run of sessions that have the same to say.

    `ask` runs SQL over the lake (`bench.sql`). `everything` adds the runs that landed. Raises as `gaps.gaps` does.
    """
    declared = find(table)
    if not declared.feeds:
        raise UsageError(f"{table} is not filled session by session; nothing was done. Ask for the gaps of a table that flat files fill.")
    names = list(dict.fromkeys(symbols))
    if not names:
        raise UsageError("no tickers were given; nothing was done. Name some, or ask for the gaps of the whole market.")
    moment = now or datetime.now(UTC)
    facts = on_record(lake, snapshots[table], declared)
    first, last, notes = span(declared, facts, start, end, moment)
    days = sessions.between(declared, first, last)
    judged = {day: judge(declared, day, facts.get(day, Facts()), True, best, moment) for day in days}
    found = evidence(lake, ask, snapshots, declared, names, first, last)
    rows = [
        row
        for name in names
        for row in runs(name, [of_ticker(declared, name, judged[day], facts.get(day, Facts()), found, best) for day in days])
    ]
    unknown = [name for name in names if not any((name, day) in found.rows for day in days)]
    notes += [f"{name} has no rows of {table} from {first} to {last}. Case matters in tickers." for name in unknown]
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["state"]] += row["sessions"]
    said = ", ".join(f"{n:,} {state}" for state, n in sorted(counts.items()) if state != "landed")
    title = f"{table}: {counts['landed']:,} of {len(days) * len(names):,} ticker-sessions from {first} to {last} landed{f'; {said}' * bool(said)}"
    problems = sum(counts[state] for state in TICKER_PROBLEMS)
    shown = [row for row in rows if everything or row["state"] != "landed"]
    return Report(
        title,
        shown,
        ("mends", "source", "volume"),
        root=lake.where,
        table=table,
        best=best,
        problems=problems,
        states=dict(counts),
        notes=notes,
    )


def runs(ticker: str, judged: Iterable[tuple[Gap, float]]) -> list[dict[str, Any]]:
    """Neighbouring sessions of which the same is to be said, as one row."""
    rows = []
    for (state, reason, source, mends), several in groupby(
        judged, key=lambda one: (one[0].state, one[0].reason, one[0].source, one[0].mends)
    ):
        some = list(several)
        rows.append(
            {
                "ticker": ticker,
                "first": some[0][0].session,
                "last": some[-1][0].session,
                "sessions": len(some),
                "state": state,
                "reason": reason,
                "volume": sum(volume for _, volume in some) or None,
                "source": source,
                "mends": mends,
            }
        )
    return rows


def of_ticker(table: Table, ticker: str, whole: Gap, facts: Facts, found: Evidence, best: str) -> tuple[Gap, float]:
    """What became of a ticker in a session, and the volume that is missing."""
    day = whole.session
    came = found.rows.get((ticker, day), set())
    if came:
        source = ", ".join(sorted(came))
        wanted = RANK.get(best, 3)
        # The session's file is here and has no row of it: the rows that were had elsewhere are all there is.
        lacked = any(not one.retired and not one.asked and RANK.get(one.source, 0) >= wanted for one in facts.landings)
        if max(RANK.get(one, 0) for one in came) < wanted and lacked:
            return Gap(day, "landed", f"{best} has no row of it", source), 0.0
        if max(RANK.get(one, 0) for one in came) < wanted:
            return Gap(day, "fallback only", whole.reason, source, mends=f"refresh from {best}"), 0.0
        return Gap(day, "landed", source=source), 0.0
    if whole.state not in HELD:
        return Gap(day, whole.state, f"the whole session: {whole.reason}", whole.source, mends=whole.mends), 0.0
    volume = found.traded.get((ticker, day), 0.0)
    if volume > 0:
        return Gap(day, "missing", f"{found.by} that it traded", whole.source, mends="refresh it from polygon_api"), volume
    return explained(table, ticker, whole, facts, found), 0.0


def explained(table: Table, ticker: str, whole: Gap, facts: Facts, found: Evidence) -> Gap:
    """Why a ticker has no rows of a session that its table holds, as far as no other table has rows of it either."""
    day, life = whole.session, found.lives.get(ticker, Life())
    held = [one for one in facts.landings if not one.retired]
    if held and all(one.asked and ticker not in one.asked for one in held):
        return Gap(
            day,
            "not fetched",
            "only other tickers were asked for",
            whole.source,
            mends="refresh with this symbol, or from a flat-file source",
        )
    spell = next((one for one in life.spells if one.ticker != ticker and one.covers(day) and had(life, one.asset, ticker)), None)
    if spell and not any(one.ticker == ticker and one.covers(day) for one in life.spells):
        return Gap(day, "renamed", f"its symbol was {spell.ticker}", mends=f"nothing: ask for {spell.ticker}")
    starts = [one.listed for one in life.listings if one.listed]
    if life.known(day) is False:
        ends = [one.delisted for one in life.listings if one.delisted and one.delisted < day]
        if ends:
            again = [one for one in starts if one > day]
            reused = f", and the symbol listed again on {min(again)}" if again else ""
            return Gap(day, "delisted", f"delisted {max(ends)}{reused}", mends="nothing: delisted")
        return Gap(day, "not listed yet", f"listed {min(starts)}", mends="nothing: not listed yet")
    listed = life.known(day)
    if day in found.compared:
        reason = f"{found.by} nothing of it either" + f"; {SILENT}" * (not life.listings)
        return Gap(day, "no trade", reason, mends="nothing: no eligible trade")
    if table.name.endswith("_day") and listed:
        return Gap(day, "no trade", "it was listed, and the session's file has no bar of it", mends="nothing: no eligible trade")
    last = newest_by_source(one for one in facts.attempts if one.symbol == ticker)
    if said := {source: one for source, one in last.items() if one.status in ("failed", "no_data")}:
        state = {"failed": "failed", "barred": "not entitled", "absent": "unknown"}[kind(next(iter(said.values())))]
        reason = "; ".join(f"{source}: {said_by(one)}" for source, one in said.items())
        return Gap(day, state, reason, ", ".join(said), attempts=len(said), mends="refresh, or another source")
    other = whole_of(table)
    reason = SILENT if not life.listings else f"{other or 'no table'} of the session is {'not ' * bool(other)}in the lake to tell"
    return Gap(day, "unknown", reason, mends=f"refresh tickers{f' and {other}' * bool(other)}")


def had(life: Life, asset: str, ticker: str) -> bool:
    """Whether an asset ever had a symbol."""
    return any(one.asset == asset and one.ticker == ticker for one in life.spells)


def whole_of(table: Table) -> str:
    """The table to compare one with: day bars, or of day bars the minutes; empty if there is none."""
    if table.name.endswith("_day"):
        return next((one.name for one in FED if one.rollup == table.name), "")
    while table.rollup:
        table = TABLES[table.rollup]
    return table.name if table.name.endswith("_day") else ""


# ---------------------------------------------------------------------- look


def evidence(
    lake: Lake, ask: Ask, snapshots: Mapping[str, Snapshot], table: Table, names: Sequence[str], first: date, last: date
) -> Evidence:
    """All that the lake can tell of some tickers in a table's sessions."""
    marks, given = marked(names)
    between = {**given, "first": first, "last": last}
    where = f"WHERE ticker IN ({marks}) AND date BETWEEN $first AND $last"
    rows: dict[tuple[str, date], set[str]] = {}
    for ticker, day, source in ask(f"SELECT DISTINCT ticker, date, source FROM {quote(table.name)} {where}", **between).fetchall():
        rows.setdefault((ticker, day), set()).add(source)
    other, traded, compared = whole_of(table), dict[tuple[str, date], float](), frozenset[date]()
    if other:
        asked = f"SELECT ticker, date, sum(volume) FROM {quote(other)} {where} GROUP BY ALL"
        traded = {(ticker, day): volume or 0.0 for ticker, day, volume in ask(asked, **between).fetchall()}
        landings = lake[other].landings(snapshots[other].version).values()
        compared = frozenset(one.session for one in landings if one.held and (not one.asked or set(names) <= set(one.asked)))
    by = "its day bar says" if other.endswith("_day") else "its minute bars say"
    return Evidence(rows, traded, compared, by, lives(ask, names))


def lives(ask: Ask, names: Sequence[str]) -> dict[str, Life]:
    """What the reference tables say of some symbols."""
    found = {name: Life() for name in names}
    marks, given = marked(names)
    if "tickers" in TABLES:
        for ticker, listed, delisted in ask(f"SELECT ticker, listed, delisted FROM tickers WHERE ticker IN ({marks})", **given).fetchall():
            found[ticker].listings.append(Listing(listed, delisted))
    if "ticker_changes" in TABLES:
        spells = f"SELECT asset, ticker, first_date, last_date FROM ticker_changes WHERE asset IN (SELECT asset FROM ticker_changes WHERE ticker IN ({marks}))"
        told = [Spell(*row) for row in ask(spells, **given).fetchall()]
        for name, life in found.items():
            life.spells += [one for one in told if any(its.asset == one.asset and its.ticker == name for its in told)]
    return found


def marked(names: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Names as parameters of a query."""
    return ", ".join(f"$t{n}" for n in range(len(names))), {f"t{n}": name for n, name in enumerate(names)}
