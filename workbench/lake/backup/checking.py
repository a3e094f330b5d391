"""Whether a place holds what its snapshots say: every manifest, every object, and every byte where it is looked at deeply."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from workbench.errors import BrokenBackup, NewerLake
from workbench.lake.backup.backups import Backups, Outline
from workbench.lake.backup.manifest import Kept

THREADS = 8


@dataclass(frozen=True)
class Fault:
    """What is wrong with a snapshot: the file of the lake, or of the backup, that is `missing` or `altered`, and where that stands."""

    snapshot: str
    path: str
    what: str
    where: str
    size: int = 0


@dataclass
class Checked:
    """What was looked at: snapshots, objects, and bytes that were read."""

    snapshots: list[str] = field(default_factory=list)
    objects: int = 0
    read_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    # Sealed manifests that could only be looked at from outside.
    sealed: list[str] = field(default_factory=list)


def check(
    backups: Backups, snapshot: str | None = None, *, quick: bool = False, say: Callable[[int, int, int], None] | None = None
) -> Checked:
    """Check one snapshot, or all: that its manifest is what was written, and every object there, with its size and, unless `quick`, its sha256.

    An encrypted one is checked `quick` without an identity as far as that goes: by the names of its objects. Raises `UnknownName`, and `UsageError` for a deep
    check without an identity and for a place without a snapshot.
    """
    done, wanted = Checked(), dict[str, list[tuple[str, Kept]]]()
    # No snapshot is no backup: whoever asks each night must not hear that all is well.
    ids = backups.ids() if snapshot is None else []
    ids = ids or [backups.outline(snapshot).id]
    for id in ids:
        done.snapshots.append(id)
        try:
            outline = backups.outline(id)
            if outline.sealed is not None and quick and not backups.identified:
                done.sealed.append(id)
                outside(backups, outline, done)
                continue
            made = backups.manifest(id)
        except (BrokenBackup, NewerLake) as fault:
            done.faults.append(Fault(id, f"snapshots/{id}.json", "altered", str(fault)))
            continue
        for kept in made.files:
            wanted.setdefault(kept.sha256, []).append((id, kept))
    each(backups, list(wanted.values()), done, quick=quick, say=say)
    done.faults.sort(key=lambda one: (one.snapshot, one.path))
    return done


def outside(backups: Backups, outline: Outline, done: Checked) -> None:
    """Look for the objects that a sealed snapshot names."""
    done.objects += len(outline.objects)
    done.faults += [Fault(outline.id, "(sealed)", "missing", name) for name in sorted(outline.objects - backups.objects.keys())]


def each(
    backups: Backups, wanted: Sequence[list[tuple[str, Kept]]], done: Checked, *, quick: bool, say: Callable[[int, int, int], None] | None
) -> None:
    """Look at every object once, and say of every snapshot that holds it what is wrong."""

    def look(named: list[tuple[str, Kept]]) -> str:
        id, kept = named[0]
        held = backups.objects.get(backups.name(kept.sha256))
        if held is None:
            return "missing"
        if not backups.fits(held, kept.size):
            return "altered"
        if not quick:
            try:
                backups.check(kept, snapshot=id)
            except BrokenBackup:
                return "altered"
        return ""

    backups.objects  # noqa: B018  listed once, before the threads ask
    with ThreadPoolExecutor(THREADS, thread_name_prefix="backup") as pool:
        try:
            for number, (named, wrong) in enumerate(zip(wanted, pool.map(look, wanted), strict=True), 1):
                done.objects += 1
                done.read_bytes += 0 if quick or wrong else named[0][1].size
                if wrong:
                    done.faults += [Fault(id, kept.path, wrong, backups.name(kept.sha256), kept.size) for id, kept in named]
                if say:
                    say(number, len(wanted), done.read_bytes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
