"""The plan of a refresh: a pure decision over a listing and the landing records, which can be printed or declined."""

from collections.abc import Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from workbench import sessions
from workbench.errors import BadRange, UsageError
from workbench.lake.landings import Landing
from workbench.lake.quarantine import Refusal, refusals
from workbench.lake.store import Lake
from workbench.lake.tiering import lost_landings
from workbench.query.report import Report, sized
from workbench.sources import FlatFile, Source
from workbench.tables import FED, TABLES, Table, errata, find

DEFAULT_SESSIONS = 30
DEFAULT_TABLES = ("stock_day", "stock_minute")
LISTERS = 8

Action = Literal["land", "replace", "mend", "refused", "missing"]


@dataclass(frozen=True)
class Step:
    """One session of one feed: a file to land, one refused before, or a due session that the source does not list."""

    table: str
    session: date
    action: Action
    reason: str
    key: str
    size: int = 0
    file: FlatFile | None = None
    held: Landing | None = field(default=None, repr=False)


class Plan(list[Step]):
    """Steps in the order they will be taken. `notes` are things to know before running it."""

    def __init__(self, steps: Iterable[Step], source: str, notes: Sequence[str] = ()):
        super().__init__(steps)
        self.source, self.notes = source, list(notes)

    @property
    def to_fetch(self) -> list[Step]:
        """The steps that transfer and land a file."""
        return [step for step in self if step.file and step.action in ("land", "replace", "mend")]

    @property
    def report(self) -> Report:
        """The plan as a table."""
        names = ("table", "session", "action", "size", "reason", "key")
        rows = [{name: getattr(step, name) for name in names} for step in self]
        size = sum(step.size for step in self.to_fetch)
        others = len(self) - len(self.to_fetch)
        also = f", {others} missing or refused" * bool(others)
        title = f"plan from {self.source}: {len(self.to_fetch)} files to land, {sized(size)}{also}"
        return Report(title, rows, ("key",), source=self.source, notes=self.notes, files=len(self.to_fetch), bytes=size)

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
            if key not in files and key not in landed:
                known = [one.symptom for one in errata.for_file(table.name, day) if one.action == "known missing"]
                steps.append(Step(table.name, day, "missing", "; ".join(["due, but the source does not list it", *known]), key))
    return sorted(steps, key=lambda step: (step.session, step.key))


def plan(
    lake: Lake,
    source: Source,
    datasets: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    days: int | None = None,
    *,
    again: bool = False,
) -> Plan:
    """List the source and decide what to do.

    Without dates a folder is taken whole, and any other source for its newest 30 due sessions. Raises `UnknownName` for a dataset
    that is not declared, `BadRange` for dates that make no range, and `SourceError` if the source cannot be listed.
    """
    notes: list[str] = []
    newest = sessions.today()
    check(datasets, start, end, days)
    if end and end > newest:
        notes.append(f"The range ends in the future ({end}); it was clipped to {newest}.")
        end = newest
    whole = source.name == "folder" and not (start or end or days)
    tables = [find(name) for name in dict.fromkeys(datasets)] if datasets else list(default_tables(source))
    steps: list[Step] = []
    with ThreadPoolExecutor(LISTERS) as pool:
        for table in tables:
            first, last = (date.min, date.max) if whole else span(table, start, end, days)
            listed = [file for files in pool.map(lambda feed: source.list(feed, first, last), table.feeds) for file in files]  # noqa: B023
            expected = [] if whole else sessions.between(table, first, min(last, sessions.last_due()))
            stands = refusals(lake.root, table.name)
            steps += decide(table, listed, lake[table.name].landings(), stands, expected, lost=lost_landings(lake[table.name]), again=again)
    return Plan(steps, source.name, notes)


def check(datasets: Sequence[str] | None, start: date | None, end: date | None, days: int | None) -> None:
    """Raise `UnknownName` or `BadRange` for what cannot be asked, before any source is."""
    for name in datasets or ():
        if not find(name).feeds:
            raise UsageError(f"{name} is filled by `workbench retain`, not from flat files; nothing was done. Name a table that they fill.")
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    if days is not None and (start or end):
        raise BadRange("days and start or end were both given; nothing was done. Give a count of sessions, or dates.")
    if days is not None and days < 1:
        raise BadRange(f"{days} sessions were asked for; at least one is needed. Nothing was done.")
    if start and start > sessions.today():
        raise BadRange(f"the range starts in the future ({start}); nothing was done. The newest session is at most {sessions.today()}.")


def default_tables(source: Source) -> Iterable[Table]:
    """The tables to refresh when none are named: all that a folder may hold, day and minute bars of stocks else."""
    return FED if source.name == "folder" else [TABLES[name] for name in DEFAULT_TABLES]


def span(table: Table, start: date | None, end: date | None, days: int | None) -> tuple[date, date]:
    """The dates to look at: those given, from the table's beginning if no start is, else the newest sessions."""
    if start or end:
        return start or table.starts, end or sessions.today()
    newest = sessions.last_sessions(table, days if days is not None else DEFAULT_SESSIONS)
    # What is already published of sessions that are not due yet is welcome.
    return newest[0], sessions.today()
