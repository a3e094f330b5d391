"""A restore into a new prefix of a bucket, where nothing can be renamed: what makes it a lake comes last.

    restoring.json           first: from now on nobody opens a lake here, and nobody writes to one
    data files, refusals     each checked by its sha256 on its way, whole or not at all
    declarations, logs       of each table its commits from the newest to the oldest: without its first no log is any table's
    journal, runs, …         into this machine's own folder; the journal gets a name of its own, since the one that was backed up may still be written
    lake.json                last: from now on it is a lake, all of it; then the note goes

Killed anywhere before, there is no lake, whoever looks is told why, and the same call goes on from what is there. What stood in the journal that was backed
up is folded at the end, so that every machine sees it.
"""

import json
import platform
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from workbench.errors import BrokenBackup, Busy, LakeError, UsageError
from workbench.lake.backup.backups import Backups
from workbench.lake.backup.gathering import MACHINES
from workbench.lake.backup.manifest import Kept, Manifest
from workbench.lake.disk import disk, scratch
from workbench.lake.identity import NAME, claim
from workbench.lake.operations import Operations
from workbench.lake.processes import user
from workbench.lake.records import RecordTable, record_named
from workbench.lake.remote.mirror import DECLARED, RESTORING
from workbench.lake.restoring.building import Filled, Say, building, expect_same, filled
from workbench.lake.store import utc_now

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

WORKERS = 8
LOG_FOLDER = "/_delta_log/"
# In the folder of a journal that came with a restore: of which.
MARK = "restored.json"


def expect_free(remote: "Remote", manifest: Manifest, *, replacing: bool) -> None:
    """Raise `UsageError` for a prefix that holds anything but what a killed restore of the same snapshot has left, and for a machine's folder in use."""
    if replacing:
        raise UsageError(
            f"{remote.where} is in a bucket, where no lake can take the place of another at once; nothing was restored. Restore to a new prefix and name that in "
            f"WORKBENCH_DATA; or take tables back to how they were with `workbench restore --as-of`."
        )
    note = under_way(remote)
    if note is not None and note.get("snapshot") != manifest.id:
        raise UsageError(
            f"a restore of snapshot {note.get('snapshot')} to {remote.where} has not come to its end; nothing was restored. End it with "
            f"`workbench restore {note.get('from')}#{note.get('snapshot')} {remote.where}`, or take another prefix."
        )
    wanted = {far_name(one.path) for one in manifest.files} | {RESTORING, NAME}
    odd = next((one.name for one in remote.below("") if note is None or one.name not in wanted), None)
    if odd is not None:
        what = "a lake" if odd == NAME or odd.startswith("lake/") else f"other things ({odd})"
        raise UsageError(f"{remote.where} holds {what}; nothing was restored. Name a prefix under which nothing stands.")
    mine = remote.root / "journal"
    if (
        (mine.exists() and marked(mine) != manifest.id)
        or (remote.root / NAME).exists()
        or any((remote.root / "lake").glob("*/*/_delta_log"))
    ):
        raise UsageError(
            f"{remote.root} is this machine's folder of a lake that stood in {remote.where} before, and may hold rows that were never folded; nothing was "
            "restored. Name another prefix; or remove the folder, if that lake is gone for good."
        )


def under_way(remote: "Remote") -> "dict[str, str] | None":
    """What the restore into a prefix says of itself that has not come to its end; None if there is none."""
    some = remote.get(RESTORING)
    if some is None:
        return None
    try:
        return dict(json.loads(some))
    except (ValueError, TypeError):
        return {}


def whose(remote: "Remote") -> tuple[str, str]:
    """The machine that restores into a prefix, and its folder there."""
    note = under_way(remote) or {}
    return str(note.get("machine", "")), str(note.get("root", ""))


def ended(remote: "Remote", manifest: Manifest) -> bool:
    """End a restore that was killed when there was a lake already; whether it was the one of a snapshot."""
    note = under_way(remote)
    if note is None or note.get("snapshot") != manifest.id or remote.size(NAME) is None:
        return False
    remote.remove(RESTORING)
    return True


def marked(journal: Path) -> str:
    """The snapshot that a machine's journal came with; empty if it came with none."""
    try:
        return str(json.loads((journal / MARK).read_text(encoding="utf-8"))["snapshot"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def far_name(path: str) -> str:
    """Where a file of a snapshot stands below the prefix, if it is none of the machine's own."""
    return path.replace(f"{DECLARED[1]}/", DECLARED[0], 1) if path.startswith(f"{DECLARED[1]}/") else path


def restored(remote: "Remote", backups: Backups, manifest: Manifest, say: Say | None) -> Filled:
    """Have a prefix hold a snapshot's lake. Raises as `restore` does; there is no lake there then, and the next call goes on."""
    build = remote.root / "tmp" / f"restoring-{manifest.id}"
    logs, data, declarations, own = sorted_out(manifest.files)
    total, state, lock = len(manifest.files), {"files": 0, "bytes": 0, "found": 0}, threading.Lock()

    def done(kept: Kept, *, found: bool) -> None:
        with lock:
            state["files"], state["found"] = state["files"] + 1, state["found"] + found
            state["bytes"] += 0 if found else kept.size
            if say:
                say(state["files"], total, state["bytes"])

    with building(build):
        note = {
            "snapshot": manifest.id,
            "from": backups.where,
            "at": utc_now(),
            "by": user(),
            "machine": platform.node(),
            "root": str(remote.root),
        }
        if not remote.put_once(RESTORING, json.dumps(note).encode()) and whose(remote) != (platform.node(), str(remote.root)):
            # What another machine began, this one goes on with, and that one gives up.
            remote.put_over(RESTORING, json.dumps(note).encode())
        few = filled(build, backups, replace(manifest, files=(*logs, *declarations, *own)))
        try:
            expect_same(build, manifest, {one.path for one in data})
        except BrokenBackup as fault:
            raise BrokenBackup(f"{fault} There is no lake in {remote.where}.") from fault
        claim(build)
        for kept in (*logs, *declarations, *own):
            done(kept, found=False)
        there = {one.name: one.size for one in remote.below("")}

        def bring(kept: Kept, drafts: Path) -> None:
            found = there.get(kept.path) == kept.size
            if not found:
                draft = drafts / uuid.uuid4().hex
                backups.fetch(kept, draft, snapshot=manifest.id)
                remote.upload(draft, kept.path)
                draft.unlink()
            done(kept, found=found)

        with disk(build, f"snapshot {manifest.id} was not restored"), scratch(remote.root) as drafts, ThreadPoolExecutor(WORKERS) as pool:
            work = [pool.submit(bring, kept, drafts) for kept in data]
            try:
                for one in wait(work, return_when=FIRST_EXCEPTION).done:
                    one.result()
            finally:
                for one in work:
                    one.cancel()
        remote.each(lambda kept: remote.upload(build / kept.path, far_name(kept.path)), declarations)
        for commits in by_table(logs):
            for kept in commits:
                remote.upload(build / kept.path, kept.path)
        if (there_now := whose(remote)) != (platform.node(), str(remote.root)):
            # Rows of the journal that was backed up must come by one machine alone.
            raise Busy(
                f"the restore of snapshot {manifest.id} to {remote.where} was taken over by {there_now[0] or 'another machine'}; it goes on there, and this one has "
                "ended. Nothing is to be done."
            )
        with disk(build, f"snapshot {manifest.id} was not restored"):
            renewed(build)
            placed(remote.root, build, manifest.id)
        opened(remote, build)
    rmtree(build, ignore_errors=True)
    return Filled(state["files"] - state["found"], few.size + state["bytes"], state["found"])


def sorted_out(files: Iterable[Kept]) -> tuple[list[Kept], list[Kept], list[Kept], list[Kept]]:
    """A snapshot's logs, data files, declarations of tables, and what is a machine's own."""
    found: tuple[list[Kept], list[Kept], list[Kept], list[Kept]] = [], [], [], []
    for one in files:
        first = one.path.partition("/")[0]
        if first == "lake":
            found[0 if LOG_FOLDER in one.path else 1].append(one)
        elif first == "quarantine":
            found[1].append(one)
        elif one.path.startswith(f"{DECLARED[1]}/"):
            found[2].append(one)
        else:
            found[3].append(one)
    return found


def by_table(logs: Iterable[Kept]) -> list[list[Kept]]:
    """The logs of tables, each in the order in which it comes: what is no commit first, then the commits, the first of them last."""
    tables: dict[str, list[Kept]] = {}
    for one in logs:
        tables.setdefault(one.path.partition(LOG_FOLDER)[0], []).append(one)

    def place(one: Kept) -> tuple[bool, int]:
        stem = Path(one.path).stem
        commit = one.path.endswith(".json") and stem.isdigit()
        return commit, -int(stem) if commit else 0

    return [sorted(each, key=place) for each in tables.values()]


def renewed(build: Path) -> None:
    """Give the journal in a folder a name of its own, without the operations that its tables hold already: the one it is a copy of goes on elsewhere."""
    journal = Operations(build)
    try:
        if not journal.path.exists():
            return
        before, held = journal.id, journal.held()
        with journal.writing() as write:
            for name in held:
                if record := record_named(build, name):
                    upto = RecordTable(build, record).snapshot().folded(before)
                    write.con.execute("DELETE FROM operations WHERE name = ? AND seq <= ?", (name, upto))
            for (number,) in write.con.execute("SELECT id FROM indexes").fetchall():
                write.con.execute(f"DROP TABLE IF EXISTS keys_{int(number)}")
            for table in ("indexes", "folded", "claims"):
                write.con.execute(f"DELETE FROM {table}")
            write.con.execute("UPDATE journal SET id = ?", (uuid.uuid4().hex,))
    finally:
        journal.close()


def placed(root: Path, build: Path, snapshot: str) -> None:
    """Have a machine's folder hold what is its own: the journal, with a mark of where it came from, runs and schedules."""
    journal = build / "journal"
    journal.mkdir(exist_ok=True)
    (journal / MARK).write_text(json.dumps({"snapshot": snapshot}) + "\n", encoding="utf-8")
    if (root / "journal").exists():
        # Of a run of this restore that was killed after this, and before there was a lake.
        (root / "journal").rename(build / f"journal-before-{time.time_ns()}")
    journal.rename(root / "journal")
    for name in MACHINES:
        if name != NAME and (build / name).exists() and not (root / name).exists():
            (build / name).rename(root / name)


def opened(remote: "Remote", build: Path) -> None:
    """Make it a lake."""
    some = (build / NAME).read_bytes()
    if not remote.put_once(NAME, some) and json.loads(remote.get(NAME) or b"{}").get("id") != json.loads(some).get("id"):
        raise LakeError(
            f"{remote.where} was made another lake meanwhile; what was restored stands in it, and nothing names it. Restore to another prefix."
        )
    remote.remove(RESTORING)
    remote.mirror.expect_same(NAME)
    remote.mirror.stale()
