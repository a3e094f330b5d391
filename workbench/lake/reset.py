"""Reset: tables are emptied, so that a refresh fills them anew; and filled again with what they held, until vacuum has taken the files.

Each table is emptied in one commit, which takes out every file and marks every landing record: readers see all of it or nothing, `as_of` reaches
back before it, and nothing leaves the disk. The commits of one reset carry the same id. Killed between two tables, the same reset goes on under that
id when it is asked for again, and undoing takes back what was done of it.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache

from workbench.errors import LakeError, UnknownName, UsageError
from workbench.lake import tiering
from workbench.lake.disk import disk
from workbench.lake.history import sound
from workbench.lake.journal import Attempt, Journal
from workbench.lake.landings import Edit, Landing, NewFile, Reset, Retired, newest, venue_of
from workbench.lake.readers import exclusive
from workbench.lake.snapshots import LiveFile
from workbench.lake.store import Lake, LakeTable, utc_now
from workbench.tables import ARCHIVE, TABLES
from workbench.tables.platforms import PLATFORMS, SCHEMAS

ALL = "all"
# What became of rows that a reset has nothing to do with: they are not in the table, and are not to be fetched again.
GONE = {"reset", "archived", "dropped"}
STAYS = (
    "data_sync_log, the history of runs, the trading calendar, what people wrote to documented tables, what is in quarantine, "
    "and the files themselves until vacuum removes them"
)
NAMED = 5


@dataclass(frozen=True)
class Going:
    """What a reset takes out of a table, or an undone one brings back. `why` says why it cannot be brought back, if it cannot."""

    table: str
    rows: int
    size: int
    files: int
    sessions: int
    first: date | None
    last: date | None
    why: str = ""


@dataclass
class Done:
    """What a reset did, or the undoing of one. `notes` are things to know."""

    id: str
    tables: list[Going] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Past:
    """A commit that emptied a table: its version, when, and whether it was undone."""

    table: str
    version: int
    at: datetime
    reset: Reset
    undone: bool


def scope(names: str | Iterable[str]) -> list[str]:
    """The tables that a scope names: tables, platforms or schemas of one by name, or "all".

    Of platforms and schemas those base tables that feed them. Raises `UnknownName`, and `UsageError` if there is none.
    """
    words = [names] if isinstance(names, str) else list(names)
    found: dict[str, None] = {}
    for word in words:
        if word == ALL or word in TABLES:
            found |= dict.fromkeys(TABLES if word == ALL else [word])
        elif behind := feeding().get(word):
            found |= dict.fromkeys(behind)
        elif behind is not None:
            raise UsageError(
                f"no market data feeds {word}: its tables hold what people wrote, which a reset leaves alone; nothing was reset."
            )
        else:
            raise UnknownName("table or platform", word, [*TABLES, *feeding(), ALL])
    if not found:
        raise UsageError("nothing to reset was named; nothing was reset. Name tables, a platform, or all.")
    return list(found)


@cache
def feeding() -> dict[str, list[str]]:
    """The base tables behind the documented ones of each platform and of each schema of one."""
    scopes = [((one.name, *one.aliases), one.schemas, one) for one in PLATFORMS.values()]
    scopes += [((name,), (name,), one) for name, one in SCHEMAS.items()]
    return {
        word: [name for name in TABLES if any(name in record.base for record in one.records if record.schema in schemas)]
        for words, schemas, one in scopes
        for word in words
    }


# ---------------------------------------------------------------------- empty


def plan(lake: Lake, tables: Sequence[str]) -> list[Going]:
    """What a reset of some tables takes out of each that holds something. Touches nothing.

    Raises `UsageError` for the archive without a table whose rows it holds: those would be neither there nor fetched again.
    """
    if ARCHIVE.name in tables:
        left = [name for name in TABLES if name not in tables and any(one.retired == "archived" for one in lake[name].landings().values())]
        if left:
            raise UsageError(
                f"{ARCHIVE.name} holds what was archived of {', '.join(left)}; nothing was reset. Reset {' and '.join(left)} too, so that a "
                "refresh fetches those sessions again."
            )
    found = []
    for name in tables:
        table = lake[name]
        if not table.exists:
            continue
        shot = table.snapshot()
        if edit := emptied(shot.by_path, table.landings(shot.version), Reset("", ()), archive=ARCHIVE.name in tables):
            found.append(going(table, [shot.by_path[path] for path in edit.removed], edit.retired))
    return found


def reset(lake: Lake, tables: Sequence[str]) -> Done:
    """Empty tables, a commit for each; what `plan` does not name is not touched. Safe to ask for again after a crash.

    The caller keeps refreshes away (`locks.refreshing`). Raises `Busy` if one of them is being compacted, before any is emptied, and
    `LakeError` if the disk is full.
    """
    todo = plan(lake, tables)
    names = [one.table for one in todo]
    # The archive goes last: what its rows were archived of is told anew before they are gone.
    names.sort(key=lambda name: name == ARCHIVE.name)
    mark = unfinished(lake, names) or Reset(uuid.uuid4().hex[:8], tuple(names))
    done = Done(mark.id)
    with ExitStack() as held:
        for name in sorted(names):
            held.enter_context(tiering.alone(lake[name]))
        for name in names:
            table, began = lake[name], utc_now()
            sizes: dict[str, LiveFile] = {}

            def decide(live: Mapping[str, LiveFile], known: Mapping[str, Landing]) -> Edit | None:
                sizes.update(live)  # noqa: B023
                return emptied(live, known, mark, archive=ARCHIVE.name in tables)

            with disk(lake.root, f"{name} was not reset"):
                edit = table.edit(decide)
            if edit:
                out = going(table, [sizes[path] for path in edit.removed], edit.retired)
                done.tables.append(out)
                why = "its rows were taken out; `workbench reset --undo` brings them back until vacuum removes the files"
                done.notes += noted(lake, mark, out, "reset", why, began)
    return done


def emptied(live: Mapping[str, LiveFile], known: Mapping[str, Landing], mark: Reset, *, archive: bool) -> Edit | None:
    """The commit that empties a table; None if it is empty. What was archived counts as reset if the archive is."""
    retired = tuple(
        Retired(one.key, one.version, one.session, venue_of(one), one.held, "reset")
        for one in known.values()
        if one.retired not in (GONE - {"archived"} if archive else GONE)
    )
    if not live and not retired:
        return None
    return Edit(removed=frozenset(live), retired=retired, reset=mark)


def going(table: LakeTable, files: Sequence[LiveFile], retired: Sequence[Retired]) -> Going:
    """What files and landed objects amount to."""
    days = {one.session for one in retired if one.rows} if table.table.feeds else set[date]()
    sums = (sum(file.rows for file in files), sum(file.size for file in files), len(files), len(days))
    return Going(table.table.name, *sums, min(days, default=None), max(days, default=None))


# ---------------------------------------------------------------------- fill again


def restorable(lake: Lake, tables: Sequence[str] | None = None, id: str | None = None) -> list[Past]:
    """The commits that are to be undone: those of the newest reset, or of one by its id, or the newest of each table named; less those undone.

    Raises `UsageError` if there is nothing to undo.
    """
    every = {name: found for name in TABLES if (found := pasts(lake[name]))}
    if id is not None:
        chosen = [past for found in every.values() for past in found if past.reset.id == id and past.table in (tables or every)]
        what = f"the reset {id}"
    elif tables is None:
        last = max((found[-1] for found in every.values()), key=lambda past: past.at, default=None)
        chosen = [past for found in every.values() for past in found if last and past.reset.id == last.reset.id]
        what = "the newest reset"
    else:
        chosen = [every[name][-1] for name in tables if name in every]
        what = f"the newest reset of {', '.join(tables)}"
    if not chosen:
        raise UsageError(f"{what.replace('the newest', 'a')} is not to be found in {lake.where}; nothing was done.")
    left = [past for past in chosen if not past.undone]
    if not left:
        standing = [
            past for found in every.values() for past in found if not past.undone and id is None and (not tables or past.table in tables)
        ]
        older = max(standing, key=lambda past: past.at, default=None)
        hint = f" `workbench reset --undo {older.reset.id}` undoes that of {older.at:%Y-%m-%d %H:%M:%S} UTC." if older else ""
        when = f"{chosen[-1].at:%Y-%m-%d %H:%M:%S}"
        raise UsageError(f"{what} ({chosen[-1].reset.id}, at {when} UTC) was undone before; nothing was done.{hint}")
    # The archive comes first: its rows are there before landing records say so.
    return sorted(left, key=lambda past: past.table != ARCHIVE.name)


def pasts(table: LakeTable) -> list[Past]:
    """The commits that emptied a table, oldest first."""
    if not table.exists:
        return []
    told = [(version, commit.at, commit.reset) for version, commit in enumerate(table.commits()) if commit.reset]
    undone = {mark.restores for _, _, mark in told if mark.restores >= 0}
    return [Past(table.table.name, n, at, mark, n - 1 in undone) for n, at, mark in told if mark.restores < 0]


def plan_undo(lake: Lake, past: Sequence[Past]) -> list[Going]:
    """What would come back, and why what cannot does not. Touches nothing."""
    found = []
    for one in past:
        table = lake[one.table]
        files = taken(table, one)
        edit = brought_back(table, one, files, table.snapshot().by_path, table.landings())
        held = newest(table.commits(one.version - 1))
        days = {landing.session for landing in held.values() if landing.held} if table.table.feeds else set[date]()
        sums = (sum(file.rows for file in files), sum(file.size for file in files), len(files), len(days))
        why = edit if isinstance(edit, str) else ""
        found.append(Going(one.table, *sums, min(days, default=None), max(days, default=None), why))
    return found


def undo(lake: Lake, tables: Sequence[str] | None = None, id: str | None = None) -> Done:
    """Bring back what `restorable` chooses, a commit for each table.

    What has landed since stays, if it is of other sessions. Raises `UsageError` if there is nothing to undo, and `LakeError`, before anything is
    changed, if vacuum has removed files, or if sessions that were taken out have landed again: their rows would stand twice. Safe to
    ask for again after a crash. The caller keeps refreshes away.
    """
    past = restorable(lake, tables, id)
    done = Done(past[0].reset.id)
    with ExitStack() as held:
        for name in sorted({one.table for one in past}):
            held.enter_context(tiering.alone(lake[name]))
        # No vacuum between looking for the files and the commit that lists them.
        held.enter_context(exclusive(lake.root))
        plans = plan_undo(lake, past)
        if refused := [f"{one.table}: {one.why}" for one in plans if one.why]:
            raise LakeError(f"the reset cannot be undone, and nothing was changed. {' '.join(refused)}")
        for one, back in zip(past, plans, strict=True):
            table, began, files = lake[one.table], utc_now(), taken(lake[one.table], one)

            def decide(live: Mapping[str, LiveFile], known: Mapping[str, Landing]) -> Edit | None:
                edit = brought_back(table, one, files, live, known)  # noqa: B023
                if isinstance(edit, str):
                    raise LakeError(f"{one.table}: {edit}")  # noqa: B023
                return edit

            with disk(lake.root, f"the reset of {one.table} was not undone"):
                table.edit(decide)
            done.tables.append(back)
            done.notes += noted(lake, one.reset, back, "reset undone", "its rows are back as they were before the reset", began)
    return done


def taken(table: LakeTable, past: Past) -> list[NewFile]:
    """The files that a reset took out of a table, as the commits tell of them."""
    told = sound(table.folder, f"the reset of {table.table.name} was not undone")
    files = []
    for path, life in told.files.items():
        if life.removed == past.version:
            stats = json.loads(life.stats or "{}")
            chunk, bucket = str(life.partition["chunk"]), life.partition["bucket"]
            files.append(NewFile(path, life.size, stats["numRecords"], chunk, bucket, stats, ()))
    return sorted(files, key=lambda file: file.path)


def brought_back(
    table: LakeTable, past: Past, files: Sequence[NewFile], live: Mapping[str, LiveFile], known: Mapping[str, Landing]
) -> Edit | str:
    """The commit that brings back what a reset took out; or why there can be none, in a sentence."""
    name = table.table.name
    if gone := table.gone(file.path for file in files):
        return (
            f"{len(gone)} of its {len(files)} files were removed by vacuum since; `workbench refresh {name}` fetches its sessions again, or "
            "bring the files back from a backup."
        )
    before = newest(table.commits(past.version - 1))
    parts = {place(table, one) for one in before.values() if one.held}
    twice = sorted({place(table, one) for one in known.values() if one.held} & parts)
    if twice or (live and not parts):
        some = ", ".join(twice[:NAMED]) + f" and {len(twice) - NAMED} more" * (len(twice) > NAMED)
        what = f"{len(twice)} of what was taken out landed again since ({some})" if twice else "it was written again since"
        return f"{what}: rows would stand twice. Keep what is there; or `workbench reset {name}`, then `workbench reset --undo {past.reset.id} {name}`."
    # The record of a version that landed since, and left by retention or for a better source, says nothing of these rows.
    if left := sorted({place(table, one) for key, one in before.items() if one.held and known[key].retired not in ("", "reset")}):
        some = ", ".join(left[:NAMED]) + f" and {len(left) - NAMED} more" * (len(left) > NAMED)
        return f"{len(left)} of what was taken out landed again and left the table since ({some}). Keep what is there."
    return Edit(added=tuple(files), reset=Reset(past.reset.id, past.reset.tables, past.version - 1))


def place(table: LakeTable, landing: Landing) -> str:
    """What a landing's rows are of: a session, and its venue; of tables without sessions, the object."""
    return " ".join(filter(None, (str(landing.session), venue_of(landing)))) if table.table.feeds else landing.key


# ---------------------------------------------------------------------- a crash, the log


def unfinished(lake: Lake, names: Sequence[str]) -> Reset | None:
    """The newest reset, if it was to empty just these tables too and did not come to them."""
    last = max((found[-1] for name in TABLES if (found := pasts(lake[name]))), key=lambda past: past.at, default=None)
    if last is None or not names:
        return None
    its = [past for name in last.reset.tables for past in pasts(lake[name]) if past.reset.id == last.reset.id]
    left = set(last.reset.tables) - {past.table for past in its}
    # What has been filled or undone since is not what a crash left.
    still = not any(past.undone or lake[past.table].snapshot().version != past.version for past in its)
    return last.reset if set(names) <= left and still else None


def noted(lake: Lake, mark: Reset, one: Going, what: str, why: str, began: str) -> Iterator[str]:
    """Have `data_sync_log` tell of it; gives what is to be said if that fails, for the reset stands."""
    told = Attempt(mark.id, what, one.table, "lake", "success", reason=why, rows=one.rows, bytes=one.size, started_at=began)
    journal = Journal(lake.root)
    try:
        journal.record([told])
    except LakeError as fault:
        yield f"{one.table}: {fault}"
    finally:
        with suppress(LakeError):
            journal.close()
