"""How the lake stands: can it be read, is it fresh, what was refused, is there room, did what was started come to its end.

And the rows behind such numbers, for SQL: what landed and stands (`workbench.lake_landings`), what was refused and stands (`workbench.lake_refusals`), the
runs (`workbench.lake_runs`) and the checks themselves (`workbench.lake_health`).
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.config import Settings
from workbench.errors import LakeError, WorkbenchError
from workbench.lake import apart, modes
from workbench.lake.journal import NOTHING, Attempt, Journal
from workbench.lake.operations import Operations
from workbench.lake.records import written
from workbench.lake.remote.where import remote_of
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import soundness
from workbench.query.checks import Check, State, Status
from workbench.query.monitoring import schema, table
from workbench.query.report import Report, sized
from workbench.query.status import open_refusals, weaker
from workbench.query.streams import Stream, Streams
from workbench.tables import FED, TABLES

if TYPE_CHECKING:
    from workbench.query.documented import Documented

Row = tuple[Any, ...]
# Gives the runs on record (`workbench.runs.Run`), the newest first: who asks the lake is not to know who starts things.
Ran = Callable[[], Iterable[Any]]

# Less room than this, of the disk or of bytes, and a refresh of a busy day may not fit.
FREE_SHARE, FREE_BYTES = 0.05, 5_000_000_000
# A day of quotes is larger: with less there is no point in beginning.
FULL_BYTES = 500_000_000
# What a journal holds is read with every query of documented tables, until upkeep folds it into files.
JOURNAL_BYTES = 500_000_000
# What is not looked at where the bucket of a lake does not answer: each look would wait for it once more.
OF_THE_BUCKET = ("tables", "log", "freshness", "quarantine", "last refresh", "clock")
# Of refreshes longer ago than this only the landing records tell.
RECENT = timedelta(days=60)

LANDINGS = {
    "table_name": "string",
    "object_key": "string",
    "session": "date32",
    "source": "string",
    "fallback": "bool",
    "version": "int64",
    "rows": "int64",
    "held_rows": "int64",
    "refused_rows": "int64",
    "bytes": "int64",
    "retired": "string",
    "run_id": "string",
    "landed_at": "instant",
}
REFUSALS = {
    "table_name": "string",
    "session": "date32",
    "object_key": "string",
    "source": "string",
    "kind": "string",
    "whole": "bool",
    "rows": "int64",
    "reason": "string",
    "refused_at": "instant",
    "path": "string",
}
RUNS = {
    "id": "string",
    "kind": "string",
    "command": "string",
    "started_by": "string",
    "state": "string",
    "started": "instant",
    "ended": "instant",
    "seconds": "double",
    "status": "int64",
    "reason": "string",
    "output": "string",
}
HEALTH = {"name": "string", "state": "string", "value": "double", "unit": "string", "told": "string"}


# ---------------------------------------------------------------------- health


def health(lake: Lake, shown: Mapping[str, Snapshot] | None = None, ran: Ran = tuple, settings: Settings | None = None) -> Report:
    """Every check, what is bad or wants a look with the rest; `report.facts["problems"]` counts those.

    `status` is unhealthy if anything is bad, degraded if anything wants a look, else healthy; `database` is the root, `size_bytes` what its live
    files and journals take, `timestamp` now (UTC), and `error`, of an unhealthy one, the first sentence that says why. Nothing that is damaged keeps
    the others from being told. `shown` are the versions that a session shows; default: the newest.
    """
    checks = looked("lake", "format", lambda: [soundness.named(lake)])
    sizes = [0]
    if all(one.state != "bad" for one in checks):
        far = looked("bucket", "seconds", lambda: soundness.answering(lake))
        silent = any(one.state == "bad" for one in far)
        shots, broken = ({}, {}) if silent else snapshots(lake, shown)
        for name, unit, look in (
            ("tables", "damaged", lambda: [readable(shots, broken)]),
            ("log", "damaged", lambda: [soundness.whole(lake)]),
            ("freshness", "sessions", lambda: [fresh(lake, shots)]),
            ("quarantine", "refused", lambda: [refused(lake, shots)]),
            ("bucket", "seconds", lambda: far),
            ("disk", "bytes", lambda: [room(lake)]),
            ("cache", "bytes", lambda: soundness.held(lake, settings)),
            ("writing", "shut folders", lambda: [writable(lake)]),
            ("journal", "bytes", lambda: [journals(lake)]),
            ("modes", "paths", lambda: [open_to_others(lake)]),
            ("last refresh", "hours", lambda: refreshed(lake, shots)),
            ("last run", "seconds", lambda: [run_last(ran)]),
            ("versions", "unfit", lambda: [soundness.versions()]),
            ("clock", "seconds ahead", lambda: [soundness.clock(lake, shots)]),
            ("backup", "hours", lambda: soundness.backed_up(lake, settings)),
        ):
            if not (silent and name in OF_THE_BUCKET):
                checks += looked(name, unit, look)
        sizes = [shot.size for shot in shots.values()]
        if not silent:
            with suppress(WorkbenchError, OSError):
                sizes += [one.snapshot().size for one in written(lake.root)]
    sizes += [int(one.value or 0) for one in checks if one.name == "journal"]
    order = {"bad": 0, "look": 1, "good": 2}
    problems = [one for one in checks if one.state != "good"]
    title = (
        "All is well."
        if not problems
        else f"{len(problems)} of {len(checks)} checks want a look: {', '.join(one.name for one in problems)}."
    )
    checks.sort(key=lambda one: order[one.state])
    status: Status = {"bad": "unhealthy", "look": "degraded", "good": "healthy"}[checks[0].state]  # type: ignore[assignment]
    facts: dict[str, Any] = {"status": status, "database": lake.where, "size_bytes": sum(sizes)}
    facts |= {"timestamp": datetime.now(UTC).isoformat(timespec="milliseconds")}
    facts |= {"error": checks[0].told} if status == "unhealthy" else {}
    return Report(title, [vars(one) | {} for one in checks], root=lake.where, problems=len(problems), **facts)


def looked(name: str, unit: str, look: Callable[[], list[Check]]) -> list[Check]:
    """What a look tells; a look that fails is a check that is bad: whoever asks how a lake stands is always told."""
    try:
        return look()
    except WorkbenchError as fault:
        return [Check(name, "bad", None, unit, str(fault))]
    except Exception as fault:
        return [Check(name, "bad", None, unit, f"It could not be looked at ({type(fault).__name__}: {fault}).")]


def open_to_others(lake: Lake) -> Check:
    """Whether others than its owner may reach the lake."""
    found = modes.loose(lake.root, private=lake.private)
    if not found:
        told = (
            "Nobody but its owner may reach the lake."
            if lake.private
            else "Who may reach the lake is the system's to say (WORKBENCH_FILE_MODES)."
        )
        return Check("modes", "good", 0, "paths", told)
    told = modes.told(found)
    return Check("modes", "look", len(found), "paths", told[0].upper() + told[1:])


def snapshots(lake: Lake, shown: Mapping[str, Snapshot] | None) -> tuple[dict[str, Snapshot], dict[str, str]]:
    """The tables that can be read, and why the others cannot."""
    found, broken = dict[str, Snapshot](), dict[str, str]()
    for name in TABLES:
        try:
            found[name] = shown[name] if shown else lake[name].snapshot()
            if found[name].version >= 0:
                lake[name].commits(found[name].version)
                if gone := len(lake[name].lost()):
                    broken[name] = f"{name}: {gone} of its files are gone from the disk; refresh {name}, or bring them back from a backup."
        except (WorkbenchError, OSError) as fault:
            found.pop(name, None)
            broken[name] = str(fault)
    return found, broken


def readable(shots: Mapping[str, Snapshot], broken: Mapping[str, str]) -> Check:
    """Whether every table's log can be read."""
    held = sum(shot.stats is not None for shot in shots.values())
    if broken:
        return Check("tables", "bad", len(broken), "damaged", " ".join(broken.values()))
    return Check("tables", "good", 0, "damaged", f"{held} table{'s hold' if held != 1 else ' holds'} rows, and none is damaged.")


def fresh(lake: Lake, shots: Mapping[str, Snapshot]) -> Check:
    """How many sessions of the tables that are filled are due and have not landed since the newest that did."""
    due, late = sessions.last_due(), dict[str, int]()
    for one in FED:
        shot = shots.get(one.name)
        if not shot or shot.stats is None:
            continue
        last = max(landed_days(lake, one.name, shot), default=None)
        if last and (behind := len(sessions.between(one, last, due)[1:])):
            late[one.name] = behind
    count = sum(late.values())
    if not count:
        return Check("freshness", "good", 0, "sessions", f"What was due by {due} has landed.")
    told = ", ".join(f"{name} {n:,}" for name, n in sorted(late.items(), key=lambda item: -item[1]))
    return Check("freshness", "look", count, "sessions", f"Sessions that are due and not here: {told}. A refresh lands them.")


def landed_days(lake: Lake, name: str, shot: Snapshot) -> set[Any]:
    """The sessions that a table holds rows of."""
    return {one.session for one in lake[name].landings(shot.version).values() if one.held}


def refused(lake: Lake, shots: Mapping[str, Snapshot]) -> Check:
    """What stands in quarantine."""
    found = [one for name in shots for one in open_refusals(lake, name)]
    if not found:
        return Check("quarantine", "good", 0, "refused", "Nothing stands in quarantine.")
    files, rows = sum(one.whole for one in found), sum(one.rows for one in found)
    where = ", ".join(sorted({one.table for one in found}))
    told = f"{files:,} file{'s' * (files != 1)} and {rows:,} row{'s' * (rows != 1)} were refused, of {where}; `workbench gaps` says why, and {lake.where}/quarantine keeps them."
    return Check("quarantine", "look", len(found), "refused", told)


def room(lake: Lake) -> Check:
    """How much room the disk has."""
    try:
        disk = shutil.disk_usage(lake.root)
    except OSError as fault:
        return Check("disk", "bad", None, "bytes", f"{lake.root} cannot be looked at ({fault.strerror}).")
    state: State = "bad" if disk.free < FULL_BYTES else "look" if disk.free < min(FREE_BYTES, disk.total * FREE_SHARE) else "good"
    whose = f" on the disk of this machine's cache, {lake.root}" * (remote_of(lake.root) is not None)
    told = f"{sized(disk.free)} of {sized(disk.total)} are free{whose}."
    return Check("disk", state, disk.free, "bytes", told + " Make room before the next refresh." * (state != "good"))


def writable(lake: Lake) -> Check:
    """Whether this user can land anything."""
    places = [lake.root, lake.root / "lake", lake.root / "tmp"]
    shut = [str(place) for place in places if place.exists() and not os.access(place, os.W_OK)]
    if shut:
        return Check(
            "writing", "look", len(shut), "shut folders", f"{shut[0]} cannot be written: the lake can be asked, and nothing lands."
        )
    told = "Drafts and the journal can be written; whether keys may write to the bucket shows when something lands."
    return Check("writing", "good", 0, "shut folders", told if remote_of(lake.root) else "The lake can be written.")


def journals(lake: Lake) -> Check:
    """How large the journals are."""
    folder = lake.root / "journal"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    waits, told = 0, f"The journals take {sized(size)}."
    operations = Operations(lake.root)
    try:
        waits = sum(count for count, _ in operations.held().values())
        odd = apart.kept(operations)
        # A large one takes its time to be read: `workbench verify` does.
        if size <= JOURNAL_BYTES and (damage := operations.damage(deep=False)):
            return Check("journal", "bad", size, "bytes", f"{operations.path} is damaged: {damage}. Bring it back from a backup.")
    except LakeError as fault:
        return Check("journal", "bad", size, "bytes", str(fault))
    finally:
        operations.close()
    if waits:
        told += f" {waits:,} row{'s' * (waits != 1)} of documented tables stand in them yet."
    told += " `workbench maintain` folds them into files." * (size > JOURNAL_BYTES)
    if odd:
        told += f" {apart.said(odd)}: `workbench fold --apart` shows them."
    return Check("journal", "look" if odd or size > JOURNAL_BYTES else "good", size, "bytes", told)


def refreshed(lake: Lake, shots: Mapping[str, Snapshot]) -> list[Check]:
    """The last refresh, by the journal and the landing records; and those that were killed, and not made up for since."""
    journal = Journal(lake.root)
    try:
        since = (datetime.now(UTC) - RECENT).isoformat()
        ran = [one for one in journal.attempts(since=since) if one.sync_type == "refresh" and one.session is None]
        broken = journal.broken_off()
    except LakeError as fault:
        return [Check("last refresh", "bad", None, "hours", str(fault))]
    finally:
        journal.close()
    landed = max(
        (one.landed_at for name, shot in shots.items() if shot.version >= 0 for one in lake[name].landings(shot.version).values()),
        default="",
    )
    checks = [last_refresh(ran, landed)]
    if broken:
        told = f"A refresh of {', '.join(broken)} has not come to its end: it was killed, or goes on. The next one lands what it left."
        checks.append(Check("broken off", "look", len(broken), "tables", told))
    return checks


def last_refresh(ran: list[Attempt], landed: str) -> Check:
    """How the newest refresh ended."""
    ended = [one for one in ran if one.status != "started"]
    last = max(ended, key=lambda one: one.finished_at, default=None)
    at = max((last.finished_at if last else ""), landed)
    if not at:
        return Check("last refresh", "look", None, "hours", "Nothing was refreshed yet.")
    hours = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() / 3600
    when = f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M} UTC"
    if last is None or last.finished_at < landed:
        return Check("last refresh", "good", hours, "hours", f"The newest rows landed at {when}.")
    told = f"It ended at {when} from {last.source}: {last.rows:,} row{'s' * (last.rows != 1)}"
    if last.status == "failed":
        return Check("last refresh", "bad", hours, "hours", f"{told}; it failed: {last.reason}.")
    partly = last.reason and last.reason.endswith(NOTHING)
    return Check("last refresh", "look" if partly else "good", hours, "hours", f"{told}; {last.reason}." if partly else f"{told}.")


def run_last(ran: Ran) -> Check:
    """The newest run on record."""
    run = next(iter(ran()), None)
    if run is None:
        return Check("last run", "good", None, "seconds", "No run is on record.")
    what = f"{run.kind} by {run.by}, begun {run.started[:16].replace('T', ' ')} UTC"
    if run.state == "running":
        return Check("last run", "good", None, "seconds", f"{what}, goes on.")
    state: State = "good" if run.state == "done" else "bad" if run.state in ("failed", "broken off") else "look"
    why = f": {run.reason}" if run.reason and state != "good" else ""
    return Check("last run", state, run.seconds, "seconds", f"{what}: {run.state}{why}")


# ---------------------------------------------------------------------- rows


class Standing:
    """The rows behind the numbers, for one session. `shown` are the versions of the tables that it shows; `ran` is set by who knows of runs."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot], settings: Settings):
        self._lake, self._shown, self._settings = lake, shown, settings
        self.ran: Ran = tuple

    def supply(self, documented: "Documented", streams: Streams) -> None:
        """Have the rows stand where the views look for them."""
        parts: tuple[tuple[str, Mapping[str, str], Callable[[], list[Row]]], ...] = (
            ("lake_landings", LANDINGS, self.landings),
            ("lake_refusals", REFUSALS, self.refusals),
            ("lake_runs", RUNS, self.runs),
            ("lake_health", HEALTH, self.health),
        )
        for name, columns, rows in parts:
            stream = Stream(partial(schema, columns), partial(table, columns, rows))
            documented.supply(f"workbench.{name}", streams.supplier(name, stream))

    def landings(self) -> list[Row]:
        """A row for each object that landed, as its newest version did, as `LANDINGS` names the columns."""
        best, found = self._settings.best_source, list[Row]()
        for name, shot in dict(self._shown).items():
            if shot.version < 0:
                continue
            for one in self._lake[name].landings(shot.version).values():
                told = (name, one.key, one.session, one.source, weaker(one, best), one.version, one.rows, one.held, one.quarantined)
                found.append((*told, one.size, one.retired or None, one.run or None, datetime.fromisoformat(one.landed_at)))
        return found

    def refusals(self) -> list[Row]:
        """A row for each file, or each file's rows, that were refused and not made good since, as `REFUSALS` names the columns."""
        return [
            (name, one.session, one.key, one.source, one.kind, one.whole, one.rows, one.reason, instant(one.at), str(one.path))
            for name, shot in dict(self._shown).items()
            for one in open_refusals(self._lake, name, self._lake[name].landings(shot.version) if shot.version >= 0 else {})
        ]

    def runs(self) -> list[Row]:
        """A row for each run on record, as `RUNS` names the columns."""
        return [of_run(one) for one in self.ran()]

    def health(self) -> list[Row]:
        """A row for each check, as `HEALTH` names the columns."""
        return [tuple(row.values()) for row in health(self._lake, dict(self._shown), self.ran, self._settings)]


def of_run(run: Any) -> Row:
    """A run as a row."""
    words = (run.id, run.kind, " ".join(run.command), run.by, run.state, instant(run.started), instant(run.ended), run.seconds)
    return (*words, run.status, run.reason or None, run.output or None)


def instant(text: str) -> datetime | None:
    """An instant in ISO form; None for an empty text."""
    return datetime.fromisoformat(text) if text else None
