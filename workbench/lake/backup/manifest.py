"""What a snapshot holds: every file by path, size and sha256, and every table by its version."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from workbench.errors import BrokenBackup, NewerLake

# What this library writes, and the greatest that it reads.
FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """A file of the lake: its path below the root with forward slashes, its bytes' number and sha256, and its mode."""

    path: str
    size: int
    sha256: str
    mode: int


@dataclass(frozen=True)
class TableState:
    """A table as the snapshot has it, without what the journal lays over it: version, rows, and a hash of its live files (`content`)."""

    version: int
    rows: int
    content: str


@dataclass(frozen=True)
class Manifest:
    """One snapshot. `lake` is the lake's id, `format` its format; `at` is the instant that it shows and `finished` when the last file was there, both UTC."""

    id: str
    lake: str
    root: str
    at: str
    finished: str
    library: str
    host: str
    user: str
    format: int
    tables: Mapping[str, TableState] = field(default_factory=dict)
    files: tuple[Kept, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all its files as they stood in the lake."""
        return sum(one.size for one in self.files)

    def to_json(self) -> str:
        """The manifest as text, with a checksum of itself."""
        told = asdict(self)
        # A file a line: the text is read by people, too, and compared by tools.
        told["files"] = [[one.path, one.size, one.sha256, one.mode] for one in self.files]
        return written(told)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """The manifest that a text holds. Raises `BrokenBackup`, naming `where` it stands, for one that was altered, and `NewerLake`."""
        told = read(text, where)
        try:
            told["format"] = int(told["format"])
            told["tables"] = {name: TableState(**one) for name, one in told["tables"].items()}
            told["files"] = tuple(Kept(str(path), int(size), str(sha), int(mode)) for path, size, sha, mode in told["files"])
            made = cls(**told)
            zoned = all(datetime.fromisoformat(one).tzinfo for one in (made.at, made.finished))
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise altered(where, repr(fault)) from fault
        if not zoned:
            raise altered(where, "an instant without its zone")
        return made


def content(files: Iterable[Kept]) -> str:
    """A hash of a table's live files, whatever their order."""
    digest = hashlib.sha256()
    for one in sorted(files, key=lambda kept: kept.path):
        digest.update(encoded(f"{one.path}\0{one.sha256}\n"))
    return digest.hexdigest()


def written(told: Mapping[str, Any]) -> str:
    """What is told as JSON, with this library's format and a checksum."""
    held = {"backup": FORMAT, **told}
    return json.dumps(held | {"checksum": checksum(held)}, indent=0, ensure_ascii=False, sort_keys=True) + "\n"


def read(text: str | bytes, where: str) -> dict[str, Any]:
    """What `written` was told. Raises `BrokenBackup` if it was altered since, and `NewerLake` for a later format."""
    try:
        told = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as fault:
        raise altered(where, str(fault)) from fault
    version = told.get("backup")
    if isinstance(version, int) and version > FORMAT:
        raise NewerLake(
            f"{where} was written by a later workbench, in format {version}; this one reads up to {FORMAT}, and nothing was read. "
            "Install the workbench that made the backup, or a later one."
        )
    claimed = told.pop("checksum", None)
    if claimed != checksum(told):
        raise altered(where, "its checksum is not that of what it says")
    told.pop("backup", None)
    return told


def encoded(text: str) -> bytes:
    """A text as UTF-8. The bytes of a file's name that are none stand as Python holds them, and come back so: `json.loads` reads them."""
    return text.encode("utf-8", "surrogatepass")


def checksum(told: Mapping[str, Any]) -> str:
    """The sha256 of what is told, in one way of writing it."""
    return hashlib.sha256(encoded(json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":")))).hexdigest()


def altered(where: str, why: str) -> BrokenBackup:
    """A note of the backup that is not what was written."""
    return BrokenBackup(
        f"{where} was altered or torn ({why}); nothing was read from it. Bring it back from a copy of the backup, or take another snapshot: "
        "`workbench backup list` names them."
    )
