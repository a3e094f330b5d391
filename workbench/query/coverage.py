"""What became of every session of many tables at once, or of some tickers in them: states alone, by day, as a calendar shows them.

The states are those of `gaps`, and judged by it; what nearly every session is, simply landed, is told without asking further. Reasons are for
whoever asks of one day: `gaps` gives them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from workbench import sessions
from workbench.errors import BadRange
from workbench.lake.journal import Attempt, Journal
from workbench.lake.landings import Landing
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.lake.tiering import lost_landings
from workbench.query.gaps import Facts, judge, plainly
from workbench.query.gaps_tickers import tickers as gaps_of_tickers
from workbench.query.status import open_refusals
from workbench.tables import FED, Table, find


@dataclass(frozen=True)
class Line:
    """A table's sessions, or those of one `ticker` in it: the state of each by its day. A day that is not here is closed."""

    table: str
    states: Mapping[date, str]
    ticker: str = ""

    @property
    def name(self) -> str:
        """What stands before it."""
        return f"{self.ticker} {self.table}".strip()


@dataclass(frozen=True)
class Map:
    """Lines over the same span, `first` to `last`, both included; `notes` say what is not in it."""

    lines: tuple[Line, ...]
    first: date
    last: date
    notes: tuple[str, ...] = ()

    @property
    def days(self) -> list[date]:
        """The days that are a session of any line, oldest first."""
        return sorted({day for line in self.lines for day in line.states})

    @property
    def counts(self) -> dict[str, int]:
        """How many sessions have each state, the most frequent first."""
        return dict(Counter(state for line in self.lines for state in line.states.values()).most_common())


def of_tables(
    lake: Lake,
    snapshots: Mapping[str, Snapshot],
    tables: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    *,
    best: str = "polygon_s3",
    now: datetime | None = None,
) -> Map:
    """Every session of some tables (default: those of which anything landed, was refused or failed) from `start` to `end`.

    Without dates, the first is the earliest of which anything is on record, and the last the newest due. A table begins with its own first on
    record. Raises `UnknownName` and `BadRange`.
    """
    moment = now or datetime.now(UTC)
    checked(start, end)
    tried: dict[str, dict[date, list[Attempt]]] = defaultdict(lambda: defaultdict(list))
    for attempt in Journal(lake.root).attempts():
        if attempt.session:
            tried[attempt.dataset][attempt.session].append(attempt)
    made, empty = [], list[str]()
    for table in [find(name) for name in tables] or FED:
        known = on_record(lake, snapshots[table.name], table, tried.get(table.name, {}))
        if tables or known.matters:
            made.append((table, known))
        elif known.days:
            empty.append(table.name)
    due = sessions.last_due(moment)
    begins = {table.name: start or min(known.landed or known.days, default=end or due) for table, known in made}
    last = min(end or max([due, *(max(known.landed, default=due) for _, known in made)]), sessions.today())
    first = min(begins.values(), default=due)
    if last < first:
        raise BadRange(f"there are no sessions {f'from {first}' if start else f'up to {end}'} yet; nothing was done. Give other dates.")
    lines = [Line(table.name, states(table, known, begins[table.name], last, best, moment)) for table, known in made]
    notes = ["The lake holds no sessions yet."] * (not made)
    if empty:
        notes.append(f"Not shown, since no source ever had anything of them: {', '.join(empty)}.")
    return Map(tuple(lines), first, last, tuple(notes))


def checked(start: date | None, end: date | None) -> None:
    """Raises `BadRange` for dates that no session can have."""
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    if start and start > sessions.today():
        raise BadRange(f"the range starts in the future ({start}); nothing was done. Give a date up to {sessions.today()}.")


@dataclass(frozen=True)
class Known:
    """What is on record of a table's sessions: of nearly all one landing and nothing else, `alone`; of the others all `facts`."""

    alone: Mapping[date, Landing]
    facts: Mapping[date, Facts]

    @property
    def landed(self) -> list[date]:
        """The days of which something landed."""
        return [*self.alone, *(day for day, facts in self.facts.items() if facts.landings)]

    @property
    def matters(self) -> bool:
        """Whether anything landed, was refused or failed; of tables that nobody wants, some sources say that they have them not."""
        told = self.facts.values()
        return bool(self.alone) or any(
            facts.landings or facts.refused or any(one.status == "failed" for one in facts.attempts) for facts in told
        )

    @property
    def days(self) -> list[date]:
        """The days of which anything is on record."""
        return [*self.alone, *self.facts]


def on_record(lake: Lake, snapshot: Snapshot, table: Table, tried: Mapping[date, list[Attempt]]) -> Known:
    """All that is on record of a table's sessions; objects for what is rare only, since there are tens of thousands of sessions."""
    landings = lake[table.name].landings(snapshot.version) if snapshot.version >= 0 else {}
    alone: dict[date, Landing] = {}
    facts: dict[date, Facts] = {}

    def more(day: date) -> Facts:
        if day not in facts:
            facts[day] = Facts(landings=[alone.pop(day)] if day in alone else [])
        return facts[day]

    for one in landings.values():
        if one.session in alone or one.session in facts:
            more(one.session).landings.append(one)
        else:
            alone[one.session] = one
    for refusal in open_refusals(lake, table.name, landings):
        more(refusal.session).refused.append(refusal)
    for day, attempts in tried.items():
        more(day).attempts.extend(attempts)
    for key in lost_landings(lake[table.name]) & landings.keys() if landings else ():
        more(landings[key].session).lost.append(landings[key])
    return Known(alone, facts)


def states(table: Table, known: Known, first: date, last: date, best: str, moment: datetime) -> dict[date, str]:
    """The state of each session of a table, and of each other day on which something landed or was refused."""
    feeds, found, none = len(table.feeds), dict[date, str](), Facts()
    for day in sessions.between(table, first, last):
        one = known.alone.get(day)
        if one and plainly(one, best, feeds):
            found[day] = "landed"
        else:
            found[day] = judge(table, day, Facts(landings=[one]) if one else known.facts.get(day, none), True, best, moment).state
    for day in known.days:
        if first <= day <= last and day not in found:
            facts = Facts(landings=[known.alone[day]]) if day in known.alone else known.facts[day]
            if facts.landings or facts.refused:
                found[day] = judge(table, day, facts, False, best, moment).state
    return found


def of_tickers(
    lake: Lake,
    ask: Callable[..., Any],
    snapshots: Mapping[str, Snapshot],
    tables: Sequence[str],
    symbols: Collection[str],
    start: date | None = None,
    end: date | None = None,
    *,
    best: str = "polygon_s3",
) -> Map:
    """Every session of some tickers in some tables, a line for each pair of which the table has rows, or in which the ticker should be.

    A ticker that no table knows is named in `notes`, and has a line in the first table. Raises as `of_tables` does.
    """
    checked(start, end)
    lines, notes = list[Line](), list[str]()
    if not tables:
        notes.append(f"No table of the lake would hold {', '.join(symbols)}.")
    for name in tables:
        report = gaps_of_tickers(lake, ask, snapshots, name, list(symbols), start, end, everything=True, best=best)
        notes += report.facts["notes"]
        lines += by_ticker(find(name), report, symbols)
    days = [day for line in lines for day in line.states]
    due = sessions.last_due()
    return Map(tuple(lines), min(days, default=start or due), max(days, default=end or due), tuple(dict.fromkeys(notes)))


def with_tickers(snapshots: Mapping[str, Snapshot], symbols: Collection[str]) -> list[str]:
    """The tables that hold rows and that a ticker like these would stand in, by its prefix: all of stocks for AAPL, of crypto for X:BTCUSD."""
    assets = {asset_of(symbol) for symbol in symbols}
    held = [table for table in FED if snapshots[table.name].stats is not None and "ticker" in {column.name for column in table.columns}]
    return [table.name for table in held if table.asset in assets]


def asset_of(symbol: str) -> str:
    """The asset class that a ticker's prefix tells."""
    return {"X:": "crypto", "C:": "forex", "I:": "indices", "O:": "options"}.get(symbol[:2], "stocks")


def by_ticker(table: Table, rows: Iterable[Mapping[str, Any]], symbols: Collection[str]) -> list[Line]:
    """The rows of a report of tickers, day by day."""
    found: dict[str, dict[date, str]] = {symbol: {} for symbol in symbols}
    for row in rows:
        found[row["ticker"]].update(dict.fromkeys(sessions.between(table, row["first"], row["last"]), row["state"]))
    return [Line(table.name, told, symbol) for symbol, told in found.items()]
