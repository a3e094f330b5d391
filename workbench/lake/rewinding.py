"""Back to how tables were: the undoing of a bad load, of rows that were deleted, of whatever came after an instant.

Each table goes back in one commit, which lists the files of an earlier version and has that version's landing records stand again. Nothing leaves the
disk, and history shows it, so that this, too, can be taken back. Killed between two tables, it goes on when it is asked for again: a table that stands
as it stood then is left alone.

What landed since counts as never landed: a refresh brings what its sources have of it. Tables that people write go back to what was folded by the
instant. What the journal holds is folded before, in the same moment, so that it is in the history and no row of it is laid over the older version.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from workbench.errors import BadRange, Busy, LakeError, UnknownName, UsageError
from workbench.lake import tiering
from workbench.lake.declared import records
from workbench.lake.delta import ATTEMPTS
from workbench.lake.disk import disk
from workbench.lake.fold import folded, folding
from workbench.lake.history import History, Life, sound
from workbench.lake.journal import Attempt, Journal
from workbench.lake.landings import Edit, Landing, NewFile, Retired, Rewound, venue_of
from workbench.lake.operations import Operations
from workbench.lake.readers import exclusive
from workbench.lake.records import Added, RecordTable, record_named, written
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import Lake, LakeTable, utc_now
from workbench.lake.vacuum import first_whole
from workbench.tables import ARCHIVE, TABLES
from workbench.tables.platforms import record

ALL = "all"
# So long the fold of another process is waited for.
PATIENCE_S = 10.0
STAYS = (
    "data_sync_log, the history of runs, what is in quarantine, and the files themselves until vacuum removes them; to go forward again, give the "
    "version that a table has now"
)

Goal = datetime | int


@dataclass(frozen=True)
class Turn:
    """A table on its way back: from version `now` to `to` (-1: it held nothing), which was committed `at`.

    `rows` and `rows_then` are what it holds now and held then; `gone` and `back` are the sessions that leave, and that come (those that change do
    both). `why` says why it cannot go back, if it cannot.
    """

    table: str
    now: int
    to: int
    at: datetime | None
    rows: int
    rows_then: int
    files_out: int
    files_in: int
    gone: frozenset[date] = frozenset()
    back: frozenset[date] = frozenset()
    why: str = ""


@dataclass
class Done:
    """What went back. `notes` are things to know."""

    id: str
    tables: list[Turn] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------- which, and to where


def chosen(lake: Lake, names: Sequence[str]) -> list[LakeTable | RecordTable]:
    """The tables of some names, or all that hold anything; those that people write last. Raises `UnknownName`, and `UsageError` for an empty one."""
    people = {table.name: table for table in written(lake.root) if table.exists} | waiting(lake)
    market = [lake[name] for name in TABLES if lake[name].exists]
    if not names or ALL in names:
        return [*market, *people.values()]
    found: dict[str, LakeTable | RecordTable] = {}
    for name in names:
        full = name if name in TABLES else named(lake, name)
        there = lake[name] if name in TABLES and lake[name].exists else people.get(full)
        if there is None:
            fed = () if name in TABLES else records(lake.root)[full].base
            hint = f" Its rows are those of {', '.join(fed)}." * bool(fed)
            raise UsageError(f"{full} holds no rows of its own in {lake.where}; nothing was changed.{hint}")
        found[full] = there
    return sorted(found.values(), key=lambda table: isinstance(table, RecordTable))


def named(lake: Lake, name: str) -> str:
    """The full name of a table that people write. Raises `UnknownName` with the nearest names, those of the lake's other tables among them."""
    try:
        return record(name, among=records(lake.root)).full
    except UnknownName as fault:
        raise UnknownName("table", name, [*fault.known, *TABLES]) from None


def waiting(lake: Lake) -> dict[str, RecordTable]:
    """The tables of which the journal holds anything, by name."""
    journal = Operations(lake.root)
    try:
        return {name: RecordTable(lake.root, one) for name in journal.held() if (one := record_named(lake.root, name))}
    finally:
        journal.close()


def version_for(table: LakeTable | RecordTable, goal: Goal) -> int:
    """The version to go back to. Raises `UsageError` if there is none of that number."""
    if isinstance(goal, datetime):
        return table.version_at(goal)
    newest = len(table.commits()) - 1
    if not 0 <= goal <= newest:
        raise UsageError(
            f"{table.name} has the versions 0 to {newest}, and no {goal}; nothing was changed. `workbench history {table.name}` tells them."
        )
    return goal


def expect_possible(lake: Lake, tables: Sequence[LakeTable | RecordTable], goal: Goal) -> None:
    """Raise `BadRange` for an instant that is to come, or before any commit, and `UsageError` for a version of several tables."""
    if isinstance(goal, int):
        if len(tables) != 1:
            raise UsageError(
                f"version {goal} is one table's, and {len(tables)} were named; nothing was changed. Name one, or give an instant."
            )
        return
    if goal > datetime.now(UTC):
        raise BadRange(f"{goal} is to come; nothing was changed. Give an instant of the past.")
    if all(table.version_at(goal) < 0 for table in tables):
        what = f"the lake in {lake.where}" if len(tables) != 1 else tables[0].name
        first = min((table.commits()[0].at for table in tables if table.exists), default=None)
        hint = f"the first was at {first.isoformat(timespec='milliseconds')}" if first else "it holds nothing"
        raise BadRange(f"{what} had no commit by {goal}; nothing was changed. Give a later instant: {hint}.")


# ---------------------------------------------------------------------- plan


def plan(lake: Lake, names: Sequence[str], goal: Goal) -> list[Turn]:
    """What going back does to each table that does not stand as it stood then. Touches nothing.

    What the journal holds of a table is not counted: it is folded before, and leaves with the rest. Raises as `rewind` does for what was asked.
    """
    tables = chosen(lake, names)
    expect_possible(lake, tables, goal)
    turns = [turn for table in tables if (turn := turned(table, version_for(table, goal)))]
    return [replace(turn, why=turn.why or apart(lake, turn, tables, goal)) for turn in turns]


def turned(table: LakeTable | RecordTable, to: int) -> Turn | None:
    """What going back to a version does to a table; None if it stands so already."""
    shot, then = table.snapshot(), past(table, to)
    live, files = shot.by_path, then.live
    gone, back = sessions(table, to) if isinstance(table, LakeTable) else (frozenset[date](), frozenset[date]())
    pending = isinstance(table, RecordTable) and waits(table)
    edit = wayback(live, table.landings(), files, table.landings(to) if to >= 0 else {}, Rewound("", (), to))
    if edit is None and not pending:
        return None
    counts = (
        shot.rows,
        sum(rows_of(life.stats) for life in files.values()),
        len(live.keys() - files.keys()),
        len(files.keys() - live.keys()),
    )
    at = table.commits()[to].at if to >= 0 else None
    return Turn(table.name, shot.version, to, at, *counts, gone, back, lacking(table, files, live))


def past(table: LakeTable | RecordTable, to: int) -> History:
    """The files of a version, as the commits tell of them."""
    return sound(table.folder, f"{table.name} was not taken back", to) if to >= 0 else History()


def rows_of(stats: str | None) -> int:
    """The number of rows that the log tells of a file."""
    return int(json.loads(stats or "{}").get("numRecords", 0))


def waits(table: RecordTable) -> bool:
    """Whether the journal holds anything of a table."""
    journal = Operations(table.root)
    try:
        return table.name in journal.held()
    finally:
        journal.close()


def sessions(table: LakeTable, to: int) -> tuple[frozenset[date], frozenset[date]]:
    """The sessions whose rows leave, and those that come."""
    if not table.table.feeds:
        return frozenset(), frozenset()
    now, then = (
        {(one.session, one.key, one.sha256) for one in known.values() if one.held} for known in (table.landings(), records_at(table, to))
    )
    return frozenset(day for day, *_ in now - then), frozenset(day for day, *_ in then - now)


def records_at(table: LakeTable | RecordTable, to: int) -> dict[str, Landing]:
    """The landing records of a version; none of -1."""
    return table.landings(to) if to >= 0 else {}


def lacking(table: LakeTable | RecordTable, files: Mapping[str, object], live: Mapping[str, object]) -> str:
    """Why a version cannot be had again, in a sentence: vacuum has removed files of it. Empty if all are there."""
    gone = len(table.gone(files.keys() - live.keys()))
    if not gone:
        return ""
    since = first_whole(table, sound(table.folder, f"{table.name} was not taken back"))
    return (
        f"{gone} of the {len(files)} files that it had then were removed by vacuum since; it goes back to {since.isoformat(timespec='milliseconds')} at "
        "the earliest. Give such an instant, or restore a backup."
    )


def apart(lake: Lake, turn: Turn, tables: Sequence[LakeTable | RecordTable], goal: Goal) -> str:
    """Why a table cannot go back without others: rows that retention moved to the archive would stand twice, or nowhere. Empty if it can."""
    together = {table.name for table in tables}
    if turn.table != ARCHIVE.name:
        if (
            turn.table not in TABLES
            or ARCHIVE.name in together
            or archived(lake[turn.table], turn.now) == archived(lake[turn.table], turn.to)
        ):
            return ""
        return f"retention has moved rows of it to {ARCHIVE.name} since, or had by then: they would stand twice, or nowhere. Take {ARCHIVE.name} back with it."
    at = goal if isinstance(goal, datetime) else turn.at
    assert at is not None
    left = [
        name
        for name in TABLES
        if name not in together and lake[name].exists and archived(lake[name]) != archived(lake[name], lake[name].version_at(at))
    ]
    return (
        f"it holds what was archived of {', '.join(left)}: those rows would stand twice, or nowhere. Take {' and '.join(left)} back with it."
        if left
        else ""
    )


def archived(table: LakeTable, version: int | None = None) -> set[tuple[str, str]]:
    """What retention has moved to the archive, as of a version (default: the newest)."""
    known = table.landings(version) if version is None or version >= 0 else {}
    return {(one.key, one.sha256) for one in known.values() if one.retired == "archived"}


# ---------------------------------------------------------------------- do


def rewind(lake: Lake, names: Sequence[str], goal: Goal) -> Done:
    """Take tables back to how they were at an instant, or one to a version; a commit for each. Safe to ask for again after a crash.

    The caller keeps refreshes away. Raises `BadRange` before the first commit and after now, `UsageError` for a version that is not, and, before
    anything is changed, `LakeError` where vacuum has removed files or the archive would come apart, and `Busy` where a table is being compacted.
    """
    tables = chosen(lake, names)
    expect_possible(lake, tables, goal)
    with ExitStack() as held:
        for market in sorted((one for one in tables if isinstance(one, LakeTable)), key=lambda one: one.name):
            held.enter_context(tiering.alone(market))
        # No vacuum between looking for the files and the commit that lists them.
        held.enter_context(exclusive(lake.root))
        turns = plan(lake, names, goal)
        if refused := [f"{one.table}: {one.why}" for one in turns if one.why]:
            raise LakeError(f"these tables cannot go back, and nothing was changed. {' '.join(refused)}")
        mark = unfinished(tables, turns, goal) or Rewound(
            uuid.uuid4().hex[:8], tuple(one.table for one in turns), -1, goal.isoformat() if isinstance(goal, datetime) else ""
        )
        done = Done(mark.id)
        by_name = {one.name: one for one in tables}
        # Rows of the archive are there again before it lets go of them.
        for turn in sorted(turns, key=lambda one: one.table == ARCHIVE.name):
            table, its, began = by_name[turn.table], replace(mark, to=turn.to), utc_now()
            with disk(lake.root, f"{turn.table} was not taken back"):
                moved = back(table, its) if isinstance(table, LakeTable) else written_back(table, its)
            if moved:
                done.tables.append(turn)
                done.notes += noted(lake, mark, turn, began)
    return done


def back(table: LakeTable, mark: Rewound) -> bool:
    """Take a table back; False if it stands so already."""
    files, then = past(table, mark.to).live, records_at(table, mark.to)

    def decide(live: Mapping[str, LiveFile], known: Mapping[str, Landing]) -> Edit | None:
        return wayback(live, known, files, then, mark)

    return table.edit(decide) is not None


def wayback(
    live: Mapping[str, LiveFile], known: Mapping[str, Landing], files: Mapping[str, Life], then: Mapping[str, Landing], mark: Rewound
) -> Edit | None:
    """The commit that has files and landing records of then stand again; None if they do."""
    added = []
    for path in sorted(files.keys() - live.keys()):
        life = files[path]
        stats = json.loads(life.stats or "{}")
        chunk, bucket = str(life.partition.get("chunk")), life.partition.get("bucket")
        added.append(NewFile(path, life.size, rows_of(life.stats), chunk, bucket, stats, ()))
    # Under a new number: who planned with the record of now has to plan anew.
    again = tuple(
        replace(one, version=known[key].version + 1) for key, one in then.items() if replace(known[key], version=one.version) != one
    )
    gone = tuple(
        Retired(one.key, one.version, one.session, venue_of(one), one.held, "reset")
        for key, one in known.items()
        if key not in then and one.retired != "reset"
    )
    removed = frozenset(live.keys() - files.keys())
    if not added and not removed and not again and not gone:
        return None
    return Edit(tuple(added), removed, gone, rewound=replace(mark, landings=again))


def written_back(table: RecordTable, mark: Rewound) -> bool:
    """Take a table that people write back; False if it stands so already.

    No row is written between the fold and the commit: who writes one decides by its keys, which are those of the older version afterwards.
    """
    files, journal, moved = past(table, mark.to).live, Operations(table.root), False
    try:
        with alone(table):
            for _ in range(ATTEMPTS):
                moved = folded(journal, table) is not None or moved
                with journal.writing() as write:
                    shot = table.snapshot()
                    if write.pending(table.name, shot.folded(write.id)):
                        continue
                    added = [
                        Added(path, life.size, json.loads(life.stats or "{}"))
                        for path, life in sorted(files.items())
                        if path not in shot.by_path
                    ]
                    removed = sorted(shot.by_path.keys() - files.keys())
                    if not added and not removed:
                        return moved
                    if table.restore(shot, added, removed, mark):
                        return True
    finally:
        journal.close()
    raise Busy(f"{table.name}: other writers won {ATTEMPTS} attempts to commit. It was not taken back; run the command again.")


@contextmanager
def alone(table: RecordTable) -> Iterator[None]:
    """Be the one who folds a table. Raises `Busy` if another does not end."""
    until = time.monotonic() + PATIENCE_S
    while True:
        with folding(table.root, table.name) as ours:
            if ours:
                yield
                return
        if time.monotonic() > until:
            raise Busy(f"{table.name} is being folded by another process; it was not taken back. Run the command again.")
        # A fold tells nobody when it ends.
        time.sleep(0.05)


# ---------------------------------------------------------------------- a crash, the log


def unfinished(tables: Sequence[LakeTable | RecordTable], turns: Sequence[Turn], goal: Goal) -> Rewound | None:
    """What an earlier call left when it was killed between two tables: the newest commit of one, to the same instant, that names all that are left."""
    if not isinstance(goal, datetime):
        return None
    for table in tables:
        last = table.commits()[-1].rewound if table.exists else None
        if last and last.as_of == goal.isoformat() and {turn.table for turn in turns} <= set(last.tables) - {table.name}:
            return replace(last, landings=())
    return None


def noted(lake: Lake, mark: Rewound, one: Turn, began: str) -> Iterator[str]:
    """Have `data_sync_log` tell of it; gives what is to be said if that fails, for the commit stands."""
    why = f"taken back to version {one.to}, {one.rows_then:,} rows; `workbench restore --version {one.now} {one.table}` takes it forward again"
    told = Attempt(mark.id, "rewind", one.table, "lake", "success", reason=why, rows=one.rows_then, started_at=began)
    journal = Journal(lake.root)
    try:
        journal.record([told])
    except LakeError as fault:
        yield f"{one.table}: {fault}"
    finally:
        with suppress(LakeError):
            journal.close()
