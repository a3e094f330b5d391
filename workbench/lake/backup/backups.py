"""The snapshots that stand at one place: which there are, what they hold, and their files' bytes.

backup.json                 which lake's, and to whom it is encrypted
objects/<aa>/<name>         the files, named by their bytes: one that several snapshots hold stands there once
snapshots/<id>.json         a manifest, written when all that it names is there
"""

import base64
import io
import os
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

from workbench.errors import BrokenBackup, UnknownName, Unreachable, UsageError
from workbench.lake.backup import crypt
from workbench.lake.backup.destination import Destination, Folder, destination, poured
from workbench.lake.backup.manifest import Kept, Manifest, altered, encoded, read, written
from workbench.lake.backup.passing import Counting, Hashing
from workbench.lake.disk import disk
from workbench.lake.store import utc_now

NOTE = "backup.json"
TRIES = 3
STAMP = "%Y%m%dT%H%M%SZ"
# What else stands beside the snapshots is somebody's own, as a copy under another name.
ID = r"\d{8}T\d{6}Z[0-9a-f]{4}"
SNAPSHOT = re.compile(rf"snapshots/({ID})\.json")


@dataclass(frozen=True)
class Place:
    """What `backup.json` says: the lake's id (empty for one without a name) and root, who may read, and the key of the objects' names."""

    lake: str
    root: str
    recipients: tuple[str, ...] = ()
    salt: str = ""
    made_at: str = ""

    def of(self, lake: str, root: str) -> bool:
        """Whether it is that of a lake: by its id, or, where it had none, by its root."""
        return self.lake == lake if self.lake else self.root == root


@dataclass(frozen=True)
class Outline:
    """What a snapshot's file tells to anybody: its id, whether its manifest is sealed, and the objects that it names."""

    id: str
    finished: str
    objects: frozenset[str]
    sealed: bytes | None


class Backups:
    """The snapshots at one place. Safe for threads."""

    def __init__(self, at: Destination, place: Place, identities: Sequence[Any] = ()):
        self.at, self.place = at, place
        self._identities = identities
        # The snapshot that each sha256 was last read for, so that errors can name it.
        self._of: dict[str, str] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        where: str,
        *,
        identities: Sequence[str] = (),
        make: bool = False,
        lake: str = "",
        root: str = "",
        recipients: Sequence[str] = (),
    ) -> Self:
        """The backups at a folder or an s3://bucket/prefix. `identities` are files of age's secret keys, for encrypted ones.

        With `make`, the place is made a backup of a lake, by its id and root, encrypted to `recipients`, unless it is one. Raises `UsageError` for a place
        that holds none, or another lake's, and `BrokenBackup` for one that was altered.
        """
        at, keys = destination(where), crypt.identities_of(identities)
        text = at.get(NOTE)
        if text is None and (known := without_note(at)):
            if make:
                known = agreed(at, known, lake, root, recipients)
                write(at, known, anew=False)
            return cls(at, known, keys)
        if text is None:
            if not make:
                raise UsageError(
                    f"{at.where} holds no backup; nothing was read. Name the folder or s3://bucket/prefix that `workbench backup` was given."
                )
            if at.exists():
                raise UsageError(
                    f"{at.where} holds other things, and no backup; nothing was written. Name an empty folder, or one that does not exist yet."
                )
            salt = secrets.token_hex(32) if recipients else ""
            place = Place(lake, root, crypt.recipients_of(recipients), salt, utc_now())
            if write(at, place, anew=False):
                at.settle()
                return cls(at, place, keys)
            # Somebody else was first.
            text = at.get(NOTE) or b""
        told = read(text, f"{at.where}/{NOTE}")
        place = place_from(told, f"{at.where}/{NOTE}")
        if make:
            place = agreed(at, place, lake, root, recipients)
        return cls(at, place, keys)

    def __repr__(self) -> str:
        return f"<Backups at {self.where}>"

    @property
    def where(self) -> str:
        """The place, as it is written."""
        return self.at.where

    @property
    def identified(self) -> bool:
        """Whether an identity was given, which sealed snapshots are read with."""
        return bool(self._identities)

    # ------------------------------------------------------------------ snapshots

    def ids(self) -> list[str]:
        """The ids of all complete snapshots, the newest last."""
        return ids(self.at)

    def manifests(self) -> list[Manifest]:
        """All snapshots, the newest last. Raises as `manifest` does."""
        return [self.manifest(id) for id in self.ids()]

    def manifest(self, id: str | None = None) -> Manifest:
        """A snapshot by its id, or by as much of its beginning as names it alone; the newest without one.

        Raises `UnknownName` for an id that is not there, `BrokenBackup` for a manifest that was altered, `UsageError` for an encrypted one without its
        identity.
        """
        outline = self.outline(id)
        where = self.file_of(outline.id)
        if outline.sealed is None:
            text = self._text(outline.id)
        else:
            plain = io.BytesIO()
            crypt.unseal(io.BytesIO(outline.sealed), plain, self._identities, where)
            text = plain.getvalue()
        made = Manifest.from_json(text, where)
        if made.id != outline.id:
            raise altered(where, f"it is the manifest of {made.id}")
        with self._lock:
            self._of |= dict.fromkeys((one.sha256 for one in made.files), made.id)
        return made

    def outline(self, id: str | None = None) -> Outline:
        """What a snapshot's file tells without an identity. Raises as `manifest` does."""
        held = self.ids()
        if not held and id is None:
            raise UsageError(f"{self.where} holds no complete snapshot; nothing was read. Make one with `workbench backup {self.where}`.")
        chosen = [one for one in held if one == held[-1]] if id is None else [one for one in held if id and one.startswith(id)]
        if id in held:
            chosen = [id]
        if len(chosen) > 1:
            raise UsageError(
                f"{len(chosen)} snapshots in {self.where} begin with {id!r}, {chosen[0]} and {chosen[-1]} among them; nothing was done. Give more of the id."
            )
        if not chosen:
            raise UnknownName("snapshot", id or "", held, hint=f"`workbench backup list {self.where}` shows them.")
        where = self.file_of(chosen[0])
        told = read(self._text(chosen[0]), where)
        try:
            if "sealed" in told:
                return Outline(chosen[0], told["finished"], frozenset(told["objects"]), base64.b64decode(told["sealed"]))
            names = frozenset(self.object_of(crypt.named(sha, self.place.salt)) for _, _, sha, _ in told["files"])
            return Outline(chosen[0], told["finished"], names, None)
        except (KeyError, TypeError, ValueError) as fault:
            raise altered(where, repr(fault)) from fault

    def keep(self, made: Manifest) -> None:
        """Write a snapshot down, once all that it names is there."""
        if not self.place.recipients:
            text = made.to_json()
        else:
            sealed = io.BytesIO()
            crypt.seal(io.BytesIO(encoded(made.to_json())), sealed, self.place.recipients)
            names = sorted({self.name(one.sha256) for one in made.files})
            # With what `backup.json` says: who loses that can still read.
            place = {**vars(self.place), "recipients": list(self.place.recipients)}
            sealed_text = base64.b64encode(sealed.getvalue()).decode()
            told = {"id": made.id, "finished": made.finished, "place": place, "objects": names, "sealed": sealed_text}
            text = written(told)
        self.at.settle()
        self.at.put(f"snapshots/{made.id}.json", lambda sink: note(sink, text), anew=False)
        self.at.settle()

    def file_of(self, id: str) -> str:
        """Where the file of a snapshot stands, for people."""
        return f"{self.where}/snapshots/{id}.json"

    def _text(self, id: str) -> bytes:
        text = self.at.get(f"snapshots/{id}.json")
        if text is None:
            raise BrokenBackup(
                f"{self.file_of(id)} is not there any more; nothing was read. Take another: `workbench backup list {self.where}`."
            )
        return text

    # ------------------------------------------------------------------ files

    @cached_property
    def objects(self) -> dict[str, int]:
        """The objects that were there when this was first asked, with their sizes."""
        return self.at.names("objects/")

    def forget(self) -> None:
        """Have `objects` looked at again."""
        self.__dict__.pop("objects", None)

    def object_of(self, name: str) -> str:
        """Where an object of a name stands, below the place."""
        return f"objects/{name[:2]}/{name}"

    def name(self, sha256: str) -> str:
        """Where the object of some bytes stands, below the place."""
        return self.object_of(crypt.named(sha256, self.place.salt))

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether the bytes of that sha256 were there when the place was first looked at, with the right size if that is given."""
        held = self.objects.get(self.name(sha256))
        return held is not None and (size is None or self.fits(held, size))

    def fits(self, held: int, size: int) -> bool:
        """Whether an object of so many bytes can be a file of `size`."""
        # What encryption adds depends on its own random padding: at least a header of a hundred bytes, and 16 for each 64 KiB.
        return held >= size + 100 + 16 * (size // 65536) if self.place.recipients else held == size

    def store(self, sha256: str, source: Callable[[], IO[bytes]]) -> int:
        """Keep the bytes that a source gives, under the name of what they should be; gives the bytes that this takes there.

        Raises `ValueError` if they are others: the file has changed meanwhile.
        """
        wrote = 0

        def fill(sink: IO[bytes]) -> None:
            nonlocal wrote
            with source() as file:
                told = Hashing(file)
                if self.place.recipients:
                    counted = Counting(sink)
                    crypt.seal(told, counted, self.place.recipients)  # type: ignore[arg-type]
                    wrote = counted.size
                else:
                    poured(told, sink)  # type: ignore[arg-type]
                    wrote = told.size
                if told.sha256 != sha256:
                    raise ValueError("it changed while it was read")

        # One that is there with another size was torn by a loss of power, or altered.
        self.at.put(self.name(sha256), fill, anew=self.name(sha256) in self.objects)
        return wrote

    def fetch(self, kept: Kept, target: Path, *, snapshot: str = "") -> None:
        """Write a file of a snapshot to `target`, for good, checked against its size and sha256 on the way. Its folder is there.

        Raises `BrokenBackup`, naming the file and the snapshot, if the object is not there or was altered, and nothing is left at `target` then;
        `UsageError` if it is encrypted and no identity fits; `LakeError` for a full disk.
        """
        try:
            with disk(target.parent, f"{kept.path} was not restored"), target.open("wb") as file:
                for again in range(TRIES):
                    file.seek(0)
                    file.truncate()
                    if self._poured(kept, file, snapshot, last=again == TRIES - 1):
                        break
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), kept.mode & 0o777 | 0o400)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def check(self, kept: Kept, *, snapshot: str = "") -> None:
        """Read a file of a snapshot, and keep nothing of it. Raises as `fetch` does."""
        for again in range(TRIES):
            if self._poured(kept, None, snapshot, last=again == TRIES - 1):
                break

    def _poured(self, kept: Kept, sink: IO[bytes] | None, snapshot: str, *, last: bool) -> bool:
        """Write a file of a snapshot into something open, checked; False if the place broke off, unless this was the `last` try."""
        name, told = self.name(kept.sha256), Counting(sink)
        what = f"{kept.path} of snapshot {snapshot or self._of.get(kept.sha256, '')} ({self.where}/{name})"
        try:
            with self.at.reading(name) as source:
                if self.place.recipients:
                    crypt.unseal(source, told, self._identities, what)  # type: ignore[arg-type]
                else:
                    poured(source, told)  # type: ignore[arg-type]
        except FileNotFoundError as fault:
            raise BrokenBackup(
                f"{what} is missing from the backup; nothing was made of it. Take another snapshot, or bring the object back from a copy."
            ) from fault
        except Unreachable:
            if last:
                raise
            return False
        if told.size != kept.size or told.sha256 != kept.sha256:
            why = f"{told.size:,} bytes instead of {kept.size:,}" if told.size != kept.size else "other bytes, by their sha256"
            raise BrokenBackup(
                f"{what} was altered: it has {why}. Nothing was made of it. Take another snapshot, or bring the object back from a copy."
            )
        return True


def ids(at: Destination) -> list[str]:
    """The ids of the snapshots at a place, the newest last."""
    return sorted(told[1] for name in at.names("snapshots/") if (told := SNAPSHOT.fullmatch(name)))


def without_note(at: Destination) -> Place | None:
    """What `backup.json` would say of a place that has lost it, by its newest snapshot; None where there is no snapshot either."""
    held = ids(at)
    if not held:
        return None
    where = f"{at.where}/snapshots/{held[-1]}.json"
    told = read(at.get(f"snapshots/{held[-1]}.json") or b"", where)
    if "sealed" in told:
        return place_from(told.get("place"), where)
    made = Manifest.from_json(encoded(written(told)), where)
    return Place(made.lake, made.root, (), "", made.at)


def place_from(told: Any, where: str) -> Place:
    """A place as it was written down. Raises `BrokenBackup` for what is none."""
    try:
        return Place(told["lake"], told["root"], tuple(told["recipients"]), told["salt"], told["made_at"])
    except (KeyError, TypeError) as fault:
        raise altered(where, repr(fault)) from fault


def write(at: Destination, place: Place, *, anew: bool) -> bool:
    """Write `backup.json`."""
    text = written({**vars(place), "recipients": list(place.recipients)})
    return at.put(NOTE, lambda sink: note(sink, text), anew=anew)


def note(sink: IO[bytes], text: str) -> None:
    """Write a text into something open."""
    sink.write(encoded(text))


def agreed(at: Destination, place: Place, lake: str, root: str, recipients: Sequence[str]) -> Place:
    """A place that is this lake's. Raises `UsageError` for another's, or one that is encrypted otherwise."""
    # The name that a lake without one gets later is taken over.
    if not place.of(lake, root):
        raise UsageError(
            f"{at.where} holds backups of another lake ({place.root}); nothing was written. Take a place of its own for the lake in {root}."
        )
    wanted = crypt.recipients_of(recipients)
    if wanted and wanted != place.recipients:
        held = f"to {', '.join(place.recipients)}" if place.recipients else "to nobody"
        raise UsageError(
            f"the backups in {at.where} are encrypted {held}, not to {', '.join(wanted)}; nothing was written. Take another place for those."
        )
    if lake and not place.lake:
        place = Place(lake, root, place.recipients, place.salt, place.made_at)
        write(at, place, anew=True)
    return place


def place_of(where: str) -> Path | None:
    """The folder that a place is; None for a bucket."""
    at = destination(where)
    return at.path if isinstance(at, Folder) else None


def fresh(before: str = "", now: datetime | None = None) -> str:
    """An id for a snapshot: the instant, to the second, and what part of the second in four hex digits. It comes after the id of the one before."""
    at = (now or datetime.now(UTC)).astimezone(UTC)
    made = f"{at:{STAMP}}{at.microsecond * 65536 // 1_000_000:04x}"
    if made > before:
        return made
    # The clock was set back, or two came within some microseconds: ids tell the order.
    stamp, part = before[:-4], int(before[-4:], 16) + 1
    if part > 0xFFFF:
        stamp, part = f"{datetime.strptime(stamp, STAMP).replace(tzinfo=UTC) + timedelta(seconds=1):{STAMP}}", 0
    return f"{stamp}{part:04x}"
