"""A drill: a backup is restored to a folder of its own, opened, verified, and compared table by table with the lake that it was made of.

The rows of both are counted and hashed as views show them, whatever their order. Where the lake does not have the snapshot's version any more, or is
another, what was restored is held against the manifest: rows, and the sha256 of each live file.
"""

import hashlib
import logging
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from workbench.config import Settings
from workbench.errors import LakeError, WorkbenchError
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.manifest import Manifest, TableState, content
from workbench.lake.backup.notes import noted
from workbench.lake.identity import identity
from workbench.lake.log import TableLog
from workbench.lake.operations import Operations
from workbench.lake.readers import Reader, exclusive
from workbench.lake.records import RecordTable, record_named
from workbench.lake.restoring.building import Say, building, digest, expect_same, filled
from workbench.lake.restoring.source import expect_sound, located
from workbench.lake.restoring.target import expect_room
from workbench.lake.snapshots import Snapshot, read
from workbench.lake.store import Lake
from workbench.lake.vacuum import expect_whole
from workbench.lake.verify import verify
from workbench.query.catalog import Catalog
from workbench.query.report import Report, sized
from workbench.tables import TABLES
from workbench.tables.platforms import RECORDS

LOG = logging.getLogger("workbench.restore")
SAME = "same"


class Rows(NamedTuple):
    """The rows of a table: their number, and sum and exclusive or of their hashes, which no order changes."""

    number: int
    total: int
    xor: int

    def __str__(self) -> str:
        # Of a single row both are the same: neither may cancel the other out.
        return hashlib.sha256(f"{self.number} {self.total} {self.xor}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Compared:
    """A table of a drill: what it was held `against` ("the lake" or "the manifest", and why), and what differs; nothing if it is the same."""

    table: str
    version: int
    rows: Rows
    against: str
    differs: str = ""


@dataclass
class Drilled:
    """What a drill found. `faults` are those that `verify` finds in what was restored; `folder` is where it stands, if it was kept."""

    where: str
    manifest: Manifest
    tables: list[Compared] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    restore_seconds: float = 0.0
    folder: Path | None = None

    @property
    def differing(self) -> list[Compared]:
        """The tables that are not the same."""
        return [one for one in self.tables if one.differs]

    @property
    def good(self) -> bool:
        """Whether everything is the same, and nothing is wrong in it."""
        return not self.differing and not self.faults


def drill(
    lake: Lake,
    settings: Settings,
    where: str,
    snapshot: str | None = None,
    *,
    identities: Sequence[str] = (),
    keep: bool = False,
    say: Say | None = None,
) -> Drilled:
    """Restore a snapshot (default: the newest) to a folder of its own under the settings' scratch, and compare it. `keep` leaves the folder there.

    The lake is only read, and its note of the newest drill is written. Raises as a restore does; a drill that finds a difference raises nothing.
    """
    began = time.monotonic()
    where, id = located(where, snapshot)
    backups = Backups.open(where, identities=identities)
    where = backups.where
    try:
        manifest = backups.manifest(id)
        done = drilled(lake, settings, backups, manifest, keep=keep, say=say)
    except WorkbenchError as fault:
        # That a backup does not restore is what whoever looks after the lake must know, most of all.
        note(lake, where, id or "", good=False, seconds=time.monotonic() - began, said=str(fault))
        raise
    done.seconds = time.monotonic() - began
    size = sum(one.size for one in manifest.files)
    note(lake, where, manifest.id, good=done.good, seconds=done.seconds, size=size, said=sentence(done))
    return done


def note(lake: Lake, where: str, snapshot: str, *, good: bool, seconds: float, size: int = 0, said: str) -> None:
    """Say in the log what a drill came to, and note it in the lake, where that is there and can be written: the drill itself needs neither."""
    LOG.log(logging.INFO if good else logging.WARNING, "drill of %s: %s", where, said)
    if lake.exists:
        with suppress(WorkbenchError, OSError):
            noted(lake.root, "drill", where, snapshot, good=good, seconds=seconds, size=size, said=said)


def drilled(lake: Lake, settings: Settings, backups: Backups, manifest: Manifest, *, keep: bool, say: Say | None) -> Drilled:
    """Restore and compare."""
    expect_sound(manifest)
    done = Drilled(backups.where, manifest)
    folder = settings.scratch / f"drill-{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    expect_room(folder, manifest.size)
    # The lake may be what was lost: its root is not there then, and does not stay.
    new = [path for path in (settings.scratch, *settings.scratch.parents) if not path.exists()]
    began = time.monotonic()
    try:
        with building(folder):
            filled(folder, backups, manifest, say)
            done.restore_seconds = time.monotonic() - began
            expect_same(folder, manifest)
        restored = Lake(folder)
        compared(done, lake, restored, settings)
        done.faults = [f"{one.table or 'lake'}: {one.what}" for one in verify(restored).faults]
        if keep:
            done.folder = folder
    finally:
        if not done.folder:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                for path in new:
                    path.rmdir()
    return done


def compared(done: Drilled, lake: Lake, restored: Lake, settings: Settings) -> None:
    """Hold every table of the manifest against the lake at that version, or against the manifest."""
    manifest = done.manifest
    own = {one.path: one.sha256 for one in manifest.files}
    stranger = "" if lake.exists and ours(lake, manifest) else "the lake is another by now"
    with ExitStack() as held:
        here = held.enter_context(session(restored, settings))
        theirs = Past(lake, settings, manifest, own, stranger)
        held.callback(theirs.close)
        for name, state in manifest.tables.items():
            record = record_named(restored.root, name)
            if record is None and name not in TABLES:
                done.tables.append(
                    Compared(name, state.version, Rows(state.rows, 0, 0), "the manifest: this library knows no such table", "")
                )
                continue
            rows = counted(here, view_of(name))
            table = RecordTable(restored.root, record) if record else restored[name]
            differs = unlike_manifest(table, state, manifest)
            other, why = theirs.rows(name, state, Operations(restored.root) if record else None)
            if other is not None and not differs and other != rows:
                differs = (
                    f"{rows.number:,} rows, and {other.number:,} in the lake at that version"
                    if rows.number != other.number
                    else "as many rows as in the lake at that version, and others"
                )
            against = "the lake" if other is not None else f"the manifest: {why}"
            done.tables.append(Compared(name, state.version, rows, against, differs))


def ours(lake: Lake, manifest: Manifest) -> bool:
    """Whether a snapshot is of a lake; one without a name is known by its root."""
    return identity(lake.root).id == manifest.lake if manifest.lake else str(lake.root) == manifest.root


def unlike_manifest(table: TableLog, state: TableState, manifest: Manifest) -> str:
    """What of a restored table is not what the manifest says; empty if all is. Reads the bytes of its live files once more."""
    shot = table.snapshot()
    if (shot.version, shot.rows) != (state.version, state.rows):
        return f"version {shot.version} with {shot.rows:,} rows, and the manifest says {state.version} with {state.rows:,}"
    below = table.folder.relative_to(table.root).as_posix()
    live = {f"{below}/{path}" for path in shot.paths}
    held = [one for one in manifest.files if one.path in live]
    odd = [one.path for one in held if digest(table.root / one.path) != one.sha256]
    if odd or len(held) != len(live) or content(held) != state.content:
        return f"the live files are not those of the manifest ({odd[0] if odd else f'{len(live)} of them, {len(held)} in the manifest'})"
    return ""


# ---------------------------------------------------------------------- the lake as it was


class Past:
    """The lake that a backup was made of, at the snapshot's versions, as far as it has them."""

    def __init__(self, lake: Lake, settings: Settings, manifest: Manifest, own: Mapping[str, str], stranger: str):
        self.lake, self.manifest, self._own, self._stranger = lake, manifest, own, stranger
        self._why: dict[str, str] = {}
        self._held = ExitStack()
        if stranger:
            return
        reader = Reader(lake.root)
        self._held.callback(reader.close)
        shots: dict[str, Snapshot] = {}
        with exclusive(lake.root):
            for name in TABLES:
                state = manifest.tables.get(name)
                shots[name] = Snapshot(-1)
                if state is None or state.version < 0:
                    continue
                try:
                    shots[name] = self._at(name, state)
                except (LakeError, OSError) as fault:
                    self._why[name] = " ".join(str(fault).split(";")[0].split())
            reader.hold({name: shot.version for name, shot in shots.items()})
        self._past = self._held.enter_context(session(lake, settings, shots))
        self._now = self._held.enter_context(session(lake, settings))

    def close(self) -> None:
        """Let go of the lake."""
        self._held.close()

    def _at(self, name: str, state: TableState) -> Snapshot:
        """A table at the version of the manifest. Raises `LakeError` where the lake has not that version any more, or another under its number."""
        table = self.lake[name]
        self._expect_same_log(table, state.version)
        shot = read(table._open(state.version))
        expect_whole(table, shot, datetime.fromisoformat(self.manifest.at))
        return shot

    def _expect_same_log(self, table: TableLog, version: int) -> None:
        commit = table.commit_path(version)
        if not commit.exists():
            raise LakeError("the lake has not that version")
        if digest(commit) != self._own.get(commit.relative_to(table.root).as_posix()):
            raise LakeError("the lake has another version under its number")

    def rows(self, name: str, state: TableState, copied: Operations | None) -> tuple[Rows | None, str]:
        """The rows of a table as the lake had them; None, and why, where it cannot be told any more. `copied` is the restored journal, for one that people write."""
        if why := self._stranger or self._why.get(name, ""):
            return None, why
        if copied is None:
            return counted(self._past, view_of(name)), ""
        theirs = Operations(self.lake.root)
        with closing(copied), closing(theirs):
            # Its rows lie in the journal, too, which keeps no past: the lake is asked if nobody has written to the table since.
            record = record_named(self.lake.root, name)
            if record is None:
                return None, "the lake knows no such table any more"
            table = RecordTable(self.lake.root, record)
            try:
                if state.version >= 0:
                    self._expect_same_log(table, state.version)
            except LakeError as fault:
                return None, str(fault)
            before = standing(table, theirs)
            if before != (state.version, standing_journal(name, copied)):
                return None, "rows were written or folded since"
            found = counted(self._now, view_of(name))
            return (found, "") if standing(table, theirs) == before else (None, "rows were written or folded since")


def standing(table: RecordTable, journal: Operations) -> tuple[int, tuple[str, int]]:
    """How far a table that people write has come: its version, and the journal with its newest operation on it."""
    return table.snapshot().version, standing_journal(table.name, journal)


def standing_journal(name: str, journal: Operations) -> tuple[str, int]:
    """Which journal it is, and the number of its newest operation on a table."""
    held = journal.pending({name: 0})
    operations = held.operations.get(name, ())
    return held.id, operations[-1].seq if operations else held.folded.get(name, 0)


@contextmanager
def session(lake: Lake, settings: Settings, shots: Mapping[str, Snapshot] | None = None) -> Iterator[Catalog]:
    """A DuckDB session over a lake, at versions of its tables if they are given."""
    origins = MappingProxyType({**settings.origins, "data": "argument"})
    catalog = Catalog(replace(settings, data=str(lake.root), origins=origins), lake, shots)
    try:
        yield catalog
    finally:
        catalog.close()


def counted(catalog: Catalog, name: str) -> Rows:
    """The rows of a table as its view shows them. Memory is bounded: each row is hashed as it is read, and only sums are kept."""
    view = ".".join(f'"{part}"' for part in name.split("."))
    described = catalog.ask(f"SELECT * FROM {view} LIMIT 0")
    assert described is not None
    row = "hash({})".format(", ".join('"{}"'.format(column.replace('"', '""')) for column in described.columns))
    told = catalog.ask(f"SELECT count(*), coalesce(sum(h::HUGEINT), 0), coalesce(bit_xor(h), 0) FROM (SELECT {row} AS h FROM {view})")
    assert told is not None
    [(count, total, xor)] = told.fetchall()
    return Rows(int(count), int(total), int(xor))


def view_of(name: str) -> str:
    """The view that shows what the lake itself keeps of a table."""
    return name if name in TABLES else ".".join(RECORDS[name].imported) if name in RECORDS else name


# ---------------------------------------------------------------------- told


def sentence(done: Drilled) -> str:
    """What a drill came to."""
    count = len(done.tables)
    if done.good:
        return f"snapshot {done.manifest.id} restores: {count} table{'s' * (count != 1)}, the same rows in each"
    parts = [f"{len(done.differing)} of {count} tables differ"] if done.differing else []
    parts += [f"{len(done.faults)} faults in what was restored"] if done.faults else []
    return f"snapshot {done.manifest.id} does not restore as it should: {', '.join(parts)}"


def report(done: Drilled) -> Report:
    """A drill as a table: a row for each table of the snapshot."""
    size = sum(one.size for one in done.manifest.files)
    rate = size / done.restore_seconds if done.restore_seconds else 0.0
    rows = [
        {
            "table": one.table,
            "version": one.version,
            "rows": one.rows.number,
            "hash": str(one.rows),
            "against": one.against,
            "verdict": one.differs or SAME,
        }
        for one in done.tables
    ]
    title = f"{sentence(done)}; {len(done.manifest.files):,} files, {sized(size)}, restored at {sized(rate)}/s, {done.seconds:.1f} s in all"
    return Report(
        title,
        rows,
        spare=["hash"],
        where=done.where,
        snapshot=done.manifest.id,
        at=done.manifest.at,
        good=done.good,
        differing=[one.table for one in done.differing],
        faults=done.faults,
        files=len(done.manifest.files),
        size_bytes=size,
        seconds=round(done.seconds, 3),
        bytes_per_s=round(rate),
        root=str(done.folder) if done.folder else None,
        notes=[f"what was restored stays in {done.folder}; remove it when you have looked"] if done.folder else [],
    )
