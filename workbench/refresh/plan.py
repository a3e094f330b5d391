"""The plan of a refresh: a pure decision over listings and landing records, which can be printed or declined.

Flat files come first. What they lack of due sessions is asked of the sources of rows behind them (`workbench.refresh.legs`).
"""

from collections.abc import Collection, Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from numbers import Integral
from typing import Literal

from workbench import sessions
from workbench.errors import BadRange, SourceError, UsageError
from workbench.lake.journal import Journal
from workbench.lake.landings import Landing
from workbench.lake.quarantine import Refusal, refusals
from workbench.lake.store import Lake
from workbench.lake.tiering import lost_landings
from workbench.query.report import Report, sized
from workbench.refresh import legs
from workbench.refresh.chain import Chain
from workbench.refresh.gathered import known
from workbench.sources import FlatFile
from workbench.tables import DISAGREEMENTS, FED, TABLES, Table, errata, find

DEFAULT_SESSIONS = 30
DEFAULT_TABLES = ("stock_day", "stock_minute")
LISTERS = 8
# Filled by the lake itself.
DERIVED = (DISAGREEMENTS,)

Action = Literal["land", "replace", "mend", "ask", "gather", "refused", "missing", "failed", "stands in"]


@dataclass(frozen=True)
class Step:
    """One session of one feed: a file to land, one refused before, or a due session that the source does not list.

    A session is asked of `source` where a source of rows serves it, for `tickers` (none: the whole market), in the place of `instead_of` if
    that failed; it "stands in" where such rows are here already and nothing better is to be had, and has "failed" where flat files could not be
    listed and nothing else serves it. Reference data is gathered whole.
    """

    table: str
    session: date
    action: Action
    reason: str
    key: str
    size: int = 0
    file: FlatFile | None = None
    held: Landing | None = field(default=None, repr=False)
    source: str = ""
    tickers: tuple[str, ...] = ()
    instead_of: str = ""


class Plan(list[Step]):
    """Steps in the order they will be taken. `notes` are things to know before running it, `down` is why flat files could not be listed."""

    def __init__(self, steps: Iterable[Step], source: str, notes: Sequence[str] = (), down: str = ""):
        super().__init__(steps)
        self.source, self.notes, self.down = source, list(notes), down

    @property
    def to_fetch(self) -> list[Step]:
        """The steps that transfer and land a file."""
        return [step for step in self if step.file and step.action in ("land", "replace", "mend")]

    @property
    def to_ask(self) -> list[Step]:
        """The sessions that sources of rows are asked for."""
        return [step for step in self if step.action == "ask"]

    @property
    def settled(self) -> list[Step]:
        """The steps that take no work: what was refused before, what cannot be had, and what stands in for it."""
        return [step for step in self if step.action in ("refused", "missing", "failed", "stands in")]

    @property
    def to_gather(self) -> list[Step]:
        """The tables of reference data that are brought up to date."""
        return [step for step in self if step.action == "gather"]

    @property
    def report(self) -> Report:
        """The plan as a table."""
        names = ("table", "session", "action", "source", "size", "reason", "key")
        rows = [{name: getattr(step, name) for name in names} for step in self]
        size = sum(step.size for step in self.to_fetch)
        asked = [
            f"{len(some)} sessions to ask {name} for"
            for name in dict.fromkeys(step.source for step in self.to_ask)
            if (some := [step for step in self.to_ask if step.source == name])
        ]
        gathered = [f"{len(self.to_gather)} tables of reference data"] if self.to_gather else []
        others = len(self) - len(self.to_fetch) - len(self.to_ask) - len(self.to_gather)
        also = [f"{others} missing, refused or from a fallback"] if others else []
        title = f"plan from {self.source}: {', '.join([f'{len(self.to_fetch)} files to land, {sized(size)}', *asked, *gathered, *also])}"
        counts = {"files": len(self.to_fetch), "asked": len(self.to_ask), "gathered": len(self.to_gather)}
        return Report(title, rows, ("key",), source=self.source, notes=self.notes, **counts, bytes=size)

    def __repr__(self) -> str:
        return "\n".join([*self.notes, repr(self.report)])

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def decide(
    table: Table,
    listed: Iterable[FlatFile],
    landed: dict[str, Landing],
    refused: Iterable[Refusal],
    expected: Iterable[date],
    *,
    lost: Set[str] = frozenset(),
    again: bool = False,
) -> list[Step]:
    """What to do about one table, oldest session first. Touches nothing.

    `expected` are the sessions whose files must exist, `lost` the keys of landed objects of which Parquet files are gone from the disk.
    """
    turned_away = {(one.key, one.etag): one for one in refused if one.whole}
    files = {file.key: file for file in listed}
    steps = []
    for key, file in files.items():
        held, day = landed.get(key), file.place[2]
        before = turned_away.get((key, file.etag))
        if held and held.retired == "reset":
            steps.append(Step(table.name, day, "mend", "reset", key, file.size, file, held))
            continue
        if held and file.etag in (held.etag, *held.aliases):
            if key in lost:
                steps.append(Step(table.name, day, "mend", "its Parquet file is gone from the disk", key, file.size, file, held))
            continue
        if before and not again:
            steps.append(Step(table.name, day, "refused", f"in quarantine since {before.at[:10]}: {before.reason}", key, file.size))
        elif held:
            steps.append(Step(table.name, day, "replace", f"published again (landed {held.landed_at[:10]})", key, file.size, file, held))
        else:
            steps.append(Step(table.name, day, "land", "not in the lake", key, file.size, file))
    for day in expected:
        for feed in table.feeds:
            key = table.key_of(feed, day)
            if key not in files and (key not in landed or landed[key].retired == "reset"):
                known = [one.symptom for one in errata.for_file(table.name, day) if one.action == "known missing"]
                steps.append(Step(table.name, day, "missing", "; ".join(["due, but the source does not list it", *known]), key))
    return sorted(steps, key=lambda step: (step.session, step.key))


def plan(
    lake: Lake,
    chain: Chain,
    datasets: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    days: int | None = None,
    *,
    last: int | None = None,
    symbols: Sequence[str] = (),
    universe: Sequence[str] = (),
    again: bool = False,
    only: Collection[date] = (),
    reset: bool = False,
) -> Plan:
    """List the chain's flat files and decide what to do about them, and what to ask of the sources behind them.

    Without dates a folder is taken whole, and any other source for its newest 30 due sessions. The newest `last` sessions are looked at besides, and
    asked for again where that is how a source is listed. `symbols` are asked of sources that serve symbol by symbol; without any they
    are asked for the whole market where they can be, else for `universe`. Raises `UnknownName` for a dataset that is not declared, `BadRange` for dates that make no
    range, and `SourceError` if flat files cannot be listed and nothing stands behind them. `only` leaves out all other sessions; `reset` plans as though the tables had been emptied.
    """
    notes = list(chain.notes)
    newest = sessions.today()
    check(datasets, start, end, days, last)
    if end and end > newest:
        notes.append(f"The range ends in the future ({end}); it was clipped to {newest}.")
        end = newest
    whole = chain.name == "folder" and not (start or end or days or last)
    tables = [find(name) for name in dict.fromkeys(datasets)] if datasets else list(default_tables(chain))
    if symbols and chain.files and not chain.rows:
        notes.append(f"Flat files land whole: all tickers are refreshed, not only {', '.join(symbols)}.")
    steps: list[Step] = []
    down = ""
    with ThreadPoolExecutor(LISTERS) as pool:
        for table in tables:
            if table.kind == "reference":
                steps += gathering(table, chain, Journal(lake.root))
                continue
            spans = [(date.min, date.max)] if whole else spans_of(table, start, end, days, last)
            listed: list[FlatFile] = []
            try:
                if chain.files and not down:
                    asked = [(feed, *span) for span in spans for feed in table.feeds]
                    listed = [file for files in pool.map(lambda one: chain.files.list(*one), asked) for file in files]  # type: ignore[union-attr]
            except SourceError as fault:
                if not chain.rows:
                    raise
                down = f"{type(fault).__name__}: {fault}"
                notes.append(f"{chain.name} was not listed, and is fallen back from: {fault}")
            expected = [] if whole else between(table, spans)
            held, stands = lake[table.name].landings(), list(refusals(lake.root, table.name))
            if reset:
                held = {
                    key: replace(one, retired="reset", files=()) for key, one in held.items() if one.held or one.retired == "superseded"
                }
            lost = lost_landings(lake[table.name]) if not reset else set()
            found = decide(table, listed, held, stands, expected, lost=lost, again=again)
            if only and not chain.files:
                # Asked for beside a flat file that is here and lacks them.
                found = [Step(table.name, day, "missing", "gaps", table.key_of(table.feeds[0], day)) for day in sorted(only)]
            if chain.rows:
                anew = set(sessions.last_sessions(table, last)) if last else set()
                found = legs.assign(table, found, held, chain, symbols, universe, anew, down)
            steps += [step if step.source else replace(step, source=chain.name) for step in found if not only or step.session in only]
    notes += legs.told(steps, symbols, universe)
    return Plan(steps, chain.name, notes, down)


def gathering(table: Table, chain: Chain, journal: Journal) -> list[Step]:
    """The step for a table of reference data; none if all that its sources have is here. Raises `UsageError` if no source has it."""
    refusing = {leg.name: leg.refuses(table.name) for leg in chain.reference}
    able = [name for name, why in refusing.items() if not why]
    if table.name == "calendar_events":
        # Splits and dividends that are here, and the exchange's calendar, are events too.
        able.append("calendar")
    if not able:
        why = (
            "; ".join(f"{name}: {reason}" for name, reason in {**chain.skipped, **refusing}.items())
            or f"{chain.name} has no reference data"
        )
        raise UsageError(f"{table.name} cannot be had: {why}. Nothing was done.")
    if not [leg for leg in chain.reference if leg.name in able and not known(journal, table.name, leg)] and "calendar" not in able:
        return []
    step = Step(
        table.name,
        sessions.today(),
        "gather",
        f"{table.name} as {' and '.join(able)} ha{'s' if len(able) == 1 else 've'} it now",
        f"reference:{table.name}",
        source=able[0],
    )
    return [step]


def spans_of(table: Table, start: date | None, end: date | None, days: int | None, last: int | None) -> list[tuple[date, date]]:
    """The ranges of dates to look at: what was asked for, and the newest `last` sessions."""
    found = [span(table, start, end, days)] if start or end or days or not last else []
    if last:
        found.append((sessions.last_sessions(table, last)[0], sessions.today()))
    # What both hold is listed once.
    if len(found) == 2 and found[1][0] <= found[0][1]:
        found = [(min(found[0][0], found[1][0]), max(found[0][1], found[1][1]))]
    return found


def between(table: Table, spans: Iterable[tuple[date, date]]) -> list[date]:
    """The due sessions of some ranges."""
    due = sessions.last_due()
    return sorted({day for first, last in spans for day in sessions.between(table, first, min(last, due))})


def check(datasets: Sequence[str] | None, start: date | None, end: date | None, days: int | None, last: int | None = None) -> None:
    """Raise `UnknownName` or `BadRange` for what cannot be asked, before any source is."""
    for name in datasets or ():
        table = find(name)
        if not table.feeds and (table.kind != "reference" or table in DERIVED):
            raise UsageError(
                f"{name} is filled from other tables of the lake, not by a refresh; nothing was done. Name a table that a refresh fills."
            )
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    if days is not None and (start or end):
        raise BadRange("days and start or end were both given; nothing was done. Give a count of sessions, or dates.")
    for name, count in (("days", days), ("last", last)):
        # A notebook's parameter may be any value.
        if count is not None and not isinstance(count, Integral):
            raise BadRange(f"{name} is {count!r}, but it must be a count of sessions; nothing was done. Give a whole number, as 30.")
    if days is not None and days < 1:
        raise BadRange(f"{days} sessions were asked for; at least one is needed. Nothing was done.")
    if last is not None and last < 1:
        raise BadRange(f"the newest {last} sessions were asked for again; at least one is needed. Nothing was done.")
    if start and start > sessions.today():
        raise BadRange(f"the range starts in the future ({start}); nothing was done. The newest session is at most {sessions.today()}.")


def default_tables(chain: Chain) -> Iterable[Table]:
    """The tables to refresh when none are named: all that a folder may hold, fundamentals from Yahoo, day and minute bars of stocks else."""
    if chain.name == "folder":
        return [
            *FED,
            *(
                table
                for table in TABLES.values()
                if table.kind == "reference" and any(not leg.refuses(table.name) for leg in chain.reference)
            ),
        ]
    return [TABLES[name] for name in (("fundamentals",) if chain.name == "yahoo" else DEFAULT_TABLES)]


def span(table: Table, start: date | None, end: date | None, days: int | None) -> tuple[date, date]:
    """The dates to look at: those given, from the table's beginning if no start is, else the newest sessions."""
    if start or end:
        return start or table.starts, end or sessions.today()
    newest = sessions.last_sessions(table, days if days is not None else DEFAULT_SESSIONS)
    # What is already published of sessions that are not due yet is welcome.
    return newest[0], sessions.today()
