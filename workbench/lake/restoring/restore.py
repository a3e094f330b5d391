"""Restore, as a story: which snapshot, what is there, the files, the proof, and one rename; in the place of a lake, a few of them."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from workbench.errors import BrokenBackup, Busy, LakeError, UsageError, WorkbenchError
from workbench.lake import maintain, tiering
from workbench.lake.backup.backups import Backups, place_of
from workbench.lake.backup.manifest import Manifest, TableState
from workbench.lake.backup.notes import noted
from workbench.lake.disk import disk
from workbench.lake.fold import fold_all, folding
from workbench.lake.identity import NAME, identity
from workbench.lake.locks import refreshing
from workbench.lake.remote.where import readable, remote_of
from workbench.lake.restoring import far
from workbench.lake.restoring import target as targets
from workbench.lake.restoring.building import Say, building, expect_same, filled, parent_synced
from workbench.lake.restoring.source import expect_sound, located
from workbench.lake.restoring.swapping import Swap, alone, swapped, taken_up, tidied
from workbench.lake.restoring.target import PRESENT, Target, expect_apart, expect_free, expect_room, look, made_work, places, record_names
from workbench.lake.store import Lake
from workbench.tables import TABLES

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

LOG = logging.getLogger("workbench.restore")
WHAT = "workbench restore"
ACCESS_STAYS = "access.json stays as it is here: tokens that were revoked since the backup stay revoked"
ACCESS_CAME = "access.json came with the backup: tokens that were revoked since may be used again; look with `workbench token list`"


@dataclass(frozen=True)
class Plan:
    """What a restore would do: the snapshot that comes, and what stands where it goes; `notes` are to be known before."""

    root: Path
    where: str
    manifest: Manifest
    target: Target
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """What a restore did: `fetched` files came and `found` stood there already from a run that was killed; `before` is where what was there is kept."""

    root: Path
    where: str
    snapshot: str
    at: str
    tables: Mapping[str, TableState]
    files: int
    size: int
    fetched: int = 0
    found: int = 0
    before: Path | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def plan(source: str, root: Path, snapshot: str | None = None, *, replace: bool = False, identities: Sequence[str] = ()) -> Plan:
    """What a restore would do. Changes nothing. Raises as `restore` does before it fetches."""
    return planned(source, root, snapshot, replace=replace, identities=identities)[0]


def planned(source: str, root: Path, snapshot: str | None, *, replace: bool, identities: Sequence[str]) -> tuple[Plan, Backups]:
    """What a restore would do, and the backups that it would fetch from."""
    where, id = located(source, snapshot)
    if remote := remote_of(root):
        backups = Backups.open(where, identities=identities)
        if remote.where == backups.where or remote.where.startswith(f"{backups.where}/"):
            raise UsageError(
                f"{remote.where} lies in {backups.where}, where the backups stand; nothing was restored. Name a prefix apart from it."
            )
        manifest = backups.manifest(id)
        expect_sound(manifest)
        far.expect_free(remote, manifest, replacing=replace)
        return Plan(root, backups.where, manifest, Target(root, "nothing")), backups
    found = look(root)
    expect_free(found, replace=replace)
    backups = Backups.open(where, identities=identities)
    expect_apart(root, place_of(backups.where))
    manifest = backups.manifest(id)
    expect_sound(manifest)
    return Plan(root, backups.where, manifest, found, another(root, manifest)), backups


def another(root: Path, manifest: Manifest) -> tuple[str, ...]:
    """What to say where the lake that is there is not the one that was backed up."""
    try:
        here = identity(root).id
    except LakeError:
        # It cannot be told; the lake may be restored for that.
        return ()
    if not here or not manifest.lake or here == manifest.lake:
        return ()
    return (f"the lake in {root} is not the one that was backed up, which stood in {manifest.root} on {manifest.host}",)


def restore(
    source: str, root: Path, snapshot: str | None = None, *, replace: bool = False, identities: Sequence[str] = (), say: Say | None = None
) -> Restored:
    """Have a root hold the lake of a snapshot (default: the newest): a new root, or with `replace` one that holds a lake, which is kept beside.

    `source` is the place of the backups, with `#<id>` or as `…/snapshots/<id>.json` one snapshot of it. Killed, the same call goes on where it was.
    Raises `UsageError` for a root that holds something, `NewerLake`, `BrokenBackup` for a file that is missing or altered, `Busy` while somebody
    refreshes, writes or reads the lake that is to be replaced, and `LakeError` for a full disk; the root is as it was then.
    """
    began, root = time.monotonic(), root.expanduser().resolve()
    if remote := remote_of(root):
        return brought(remote, source, snapshot, replace=replace, identities=identities, say=say)
    if replace and (done := ended(source, root, snapshot, identities=identities)):
        return done
    taken_up(root)
    made, backups = planned(source, root, snapshot, replace=replace, identities=identities)
    manifest, fresh = made.manifest, made.target.kind == "nothing"
    # Folders for work may be there without a lake: what comes is renamed in beside them.
    bare = fresh and not (root.exists() and any(root.iterdir()))
    with ExitStack() as held:
        if not fresh:
            held.enter_context(alone(root, WHAT))
            held.enter_context(nobody(root))
        build, before = places(root, manifest.id)
        held.enter_context(building(build))
        expect_room(build, sum(one.size for one in manifest.files if not (build / one.path).exists()))
        try:
            took = filled(build, backups, manifest, say)
            expect_same(build, manifest)
        except BrokenBackup as fault:
            raise BrokenBackup(f"{fault} {root} is as it was; what is whole stays in {build}, until it is removed.") from fault
        notes = [*made.notes, *noted_access(root, build, fresh=fresh)]
        if bare and build.parent == root.parent:
            named(build, root)
        else:
            comes, stays = coming(root, build)
            notes += [f"{name} is no lake's, and stays as it was" for name in stays]
            goes = tuple(name for name in look(root).own if name not in PRESENT)
            expect_unread(root)
            swapped(Swap(root, manifest.id, made.where, build, before, comes, goes))
            made_work(root)
    if build.exists():
        tidied(build)
    done = told(root, made.where, manifest, before if not fresh and before.exists() else None, began, notes, took.fetched, took.found)
    return written_down(done)


def brought(remote: "Remote", source: str, snapshot: str | None, *, replace: bool, identities: Sequence[str], say: Say | None) -> Restored:
    """Have a new prefix of a bucket hold the lake of a snapshot. Raises as `restore` does."""
    began, root = time.monotonic(), remote.root
    remote.home()
    where, id = located(source, snapshot)
    if far.under_way(remote) and remote.size(NAME) is not None:
        backups = Backups.open(where, identities=identities)
        manifest = backups.manifest(id)
        if far.ended(remote, manifest):
            note = "the run before was killed at its very end; it was ended, and nothing was fetched again"
            return written_down(told(root, backups.where, manifest, None, began, [note, *shared(root)]))
    made, backups = planned(source, root, snapshot, replace=replace, identities=identities)
    manifest = made.manifest
    access = (root / "access.json").exists()
    took = far.restored(remote, backups, manifest, say)
    notes = list(made.notes)
    if any(one.path == "access.json" for one in manifest.files):
        notes += [ACCESS_STAYS if access else ACCESS_CAME]
    notes += shared(root)
    return written_down(told(root, made.where, manifest, None, began, notes, took.fetched, took.found))


def shared(root: Path) -> list[str]:
    """Have every machine see what stood in the journal that was backed up; gives what is to be known if that fails."""
    try:
        fold_all(root)
    except WorkbenchError as fault:
        return [f"what was in the journal that was backed up stands in this machine's, and other machines do not see it yet: {fault}"]
    return []


def ended(source: str, root: Path, snapshot: str | None = None, *, identities: Sequence[str] = ()) -> Restored | None:
    """End the replacement of a lake that was killed between two renames; what it did, if it is the one that is asked for, else None.

    Raises as `taken_up` and `Backups` do.
    """
    began, root = time.monotonic(), root.expanduser().resolve()
    swap = None if remote_of(root) else taken_up(root)
    if swap is None:
        return None
    where, id = located(source, snapshot)
    backups = Backups.open(where, identities=identities)
    manifest = backups.manifest(id)
    if manifest.id != swap.snapshot:
        return None
    note = "the run before was killed between two renames; they were ended, and nothing was fetched again"
    return written_down(told(root, backups.where, manifest, swap.before if swap.before.exists() else None, began, [note]))


def told(
    root: Path,
    where: str,
    manifest: Manifest,
    before: Path | None,
    began: float,
    notes: list[str],
    fetched: int = 0,
    found: int = 0,
) -> Restored:
    """What was done, with what is to be known of it."""
    if before:
        notes = [*notes, f"what was there is kept in {before}, which can be opened as a lake; remove it when it is not needed any more"]
    size, seconds = sum(one.size for one in manifest.files), time.monotonic() - began
    return Restored(
        root, where, manifest.id, manifest.at, manifest.tables, len(manifest.files), size, fetched, found, before, seconds, notes
    )


def written_down(done: Restored) -> Restored:
    """Note a restore in the lake, and say it in the log."""
    noted(done.root, "restore", done.where, done.snapshot, seconds=done.seconds, size=done.size, said=f"{done.files:,} files")
    LOG.info(
        "%s holds snapshot %s of %s: %s files, %s bytes, %.1f s",
        readable(done.root),
        done.snapshot,
        done.where,
        done.files,
        done.size,
        done.seconds,
    )
    return done


def named(build: Path, root: Path) -> None:
    """Give the restored lake its name. Raises `LakeError` if something came there meanwhile, and the restored lake stays where it was built."""
    try:
        with disk(root, "the restored lake was not given its name"):
            root.parent.mkdir(parents=True, exist_ok=True)
            # Over an empty folder; anything else refuses.
            build.rename(root)
    except OSError as fault:
        raise LakeError(
            f"{root} came into being while the lake was restored ({fault.strerror}); it is as it was, and the restored lake stands in {build}. Rename that."
        ) from fault
    # Whose the folder was while it was filled is over.
    (root / "locks" / "restore.json").unlink(missing_ok=True)
    parent_synced(root)


def coming(root: Path, build: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that come to a root, and those that stay because they are somebody's, though the backup has them, too."""
    names = sorted(entry.name for entry in build.iterdir() if entry.name not in targets.STAY)
    comes = tuple(name for name in names if not (root / name).exists() or (name in targets.OWN and name not in PRESENT))
    return comes, tuple(name for name in names if name not in comes and name not in PRESENT)


def noted_access(root: Path, build: Path, *, fresh: bool) -> list[str]:
    """What is to be known of who may."""
    if not (build / "access.json").exists():
        return []
    if not fresh and (root / "access.json").exists():
        return [ACCESS_STAYS]
    return [ACCESS_CAME]


# ---------------------------------------------------------------------- nobody else


@contextmanager
def nobody(root: Path) -> Iterator[None]:
    """Keep refreshes, compactions, folds, vacuum and maintenance away from a lake until the block ends. Raises `Busy`, and says who is at it."""
    expect_unread(root)
    lake = Lake(root)
    with ExitStack() as held:
        if not (root / "lake").is_dir():
            yield
            return
        held.enter_context(maintain.alone(root))
        held.enter_context(refreshing(root, TABLES, WHAT))
        for name in TABLES:
            if lake[name].folder.is_dir():
                held.enter_context(tiering.alone(lake[name]))
        for name in record_names(root):
            if not held.enter_context(folding(root, name)):
                raise Busy(f"{name} is being folded by another process; nothing was restored. Wait until it has finished.")
        lock = FileLock(root / "locks" / "vacuum.lock", timeout=0)
        try:
            held.enter_context(lock)
        except Timeout as fault:
            raise Busy(f"a vacuum of {root} is running; nothing was restored. Wait until it has finished.") from fault
        yield


def expect_unread(root: Path) -> None:
    """Raise `Busy` if sessions are open on a lake: they hold its versions, and would go on with them over another lake."""
    if open_ := targets.sessions(root):
        who = ", ".join(f"process {path.stem.rsplit('-', 2)[1]} on {path.stem.rsplit('-', 2)[0]}" for path in open_[:3])
        raise Busy(
            f"{len(open_)} session{'s are' if len(open_) > 1 else ' is'} open on the lake in {root} ({who}{', …' * (len(open_) > 3)}); nothing was put in "
            f"its place. Close notebooks, servers and `bench`es on it, and run the command again ({open_[0].parent} tells of them)."
        )
