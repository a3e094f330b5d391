"""Which lake a root holds, and of what format: `lake.json` at the root, written once when the lake is made, or first written to by this library.

A lake without it is of format 1, which was made before lakes were told apart. A later library may raise the format; this one then refuses to open the
lake, and to write to it, since it would not understand what it finds.

    1   Delta tables, journal, quarantine: as the first release laid them out
    2   `lake.json`; commits say who made them, and may take a table back to a version of before
"""

import json
import os
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from workbench.errors import LakeError, NewerLake
from workbench.lake.disk import disk, scratch, sync
from workbench.lake.remote.where import readable, remote_of

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

# What this library writes, and the greatest that it reads.
FORMAT = 2
NAME = "lake.json"


@dataclass(frozen=True)
class Identity:
    """A lake's own name (32 hex digits, empty in format 1), its format, the library that made it, and when (UTC, ISO)."""

    id: str
    format: int
    made_by: str
    made_at: str = ""


UNNAMED = Identity("", 1, "")

# What each root's file said when it was last read, with what the disk said of it then. A dict's item is set and read atomically.
_READ: dict[str, tuple[tuple[int, int, int, int], Identity]] = {}
# The buckets that were asked by this process which lake they hold: it keeps its name.
_ASKED: "WeakSet[Remote]" = WeakSet()


def identity(root: Path) -> Identity:
    """Which lake a root holds, for one `stat` where it was read before. Raises `LakeError` if `lake.json` cannot be read."""
    if (remote := remote_of(root)) and remote not in _ASKED:
        remote.mirror.expect_same(NAME)
        # Of one that is none yet it is asked again.
        if (root / NAME).exists():
            _ASKED.add(remote)
    # Every write asks this: a path that is put together costs ten times the look.
    path = f"{root}/{NAME}"
    try:
        stat = os.stat(path)  # noqa: PTH116
        mark = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        held = _READ.get(path)
        if held and held[0] == mark:
            return held[1]
        with open(path, encoding="utf-8") as text:
            found = from_json(json.load(text))
    except (FileNotFoundError, NotADirectoryError):
        return UNNAMED
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as fault:
        why = str(fault) or type(fault).__name__
        raise LakeError(
            f"{path} cannot be read ({why}): which lake this is, and of what format, is not known; nothing was opened or written. Bring the file back "
            "from a backup; or, if no later version of the workbench ever wrote to this lake, remove it: the lake then gets a new id."
        ) from fault
    _READ[path] = mark, found
    return found


def from_json(told: Any) -> Identity:
    """An identity as it is kept. Raises `ValueError`, `KeyError`, `TypeError` or `AttributeError` if it is none."""
    found = Identity(str(told["id"]), int(told["format"]), str(told.get("made_by", "")), str(told.get("made_at", "")))
    if found.format < 1 or not found.id:
        raise ValueError("it names no lake")
    return found


def expect_known(root: Path, undone: str = "nothing was opened") -> Identity:
    """Which lake a root holds. Raises `NewerLake` for one of a later format than this library knows."""
    found = identity(root)
    if found.format > FORMAT:
        from workbench import __version__

        raise NewerLake(
            f"the lake in {readable(root)} was made by workbench {found.made_by or 'of an unknown version'}, in format {found.format}; this is workbench "
            f"{__version__}, which reads up to format {FORMAT}: {undone}. Install the workbench that made it, or a later one, and run the command again."
        )
    return found


def claim(root: Path, undone: str = "nothing was written") -> Identity:
    """Which lake a root holds, before something is written to it: one of an earlier format is told to be of this one from now on.

    Whoever is first names a lake that has no name. Raises `NewerLake`, and `LakeError` if the root cannot be written.
    """
    found = expect_known(root, undone)
    if remote := remote_of(root):
        with disk(root, undone):
            remote.expect_conditions()
    if found.format == FORMAT:
        return found
    from workbench import __version__

    made = replace(found, format=FORMAT)
    if not found.id:
        made = Identity(uuid.uuid4().hex, FORMAT, __version__, datetime.now(UTC).isoformat(timespec="milliseconds"))
    with disk(root, "the lake was not given its name"):
        put(root, made, anew=bool(found.id))
    return expect_known(root, undone)


def put(root: Path, made: Identity, *, anew: bool = False) -> None:
    """Write `lake.json`, whole or not at all; one that another process has put there meanwhile stays, unless `anew`."""
    path = root / NAME
    if remote := remote_of(root):
        some = (json.dumps(asdict(made)) + "\n").encode()
        if anew:
            remote.put_over(NAME, some)
        else:
            remote.put_once(NAME, some)
        remote.mirror.expect_same(NAME)
        return
    with scratch(root) as drafts:
        draft = drafts / NAME
        draft.write_text(json.dumps(asdict(made)) + "\n", encoding="utf-8")
        sync(draft)
        if anew:
            draft.replace(path)
        else:
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            except OSError:
                # Not every disk links; two that make one lake there in the same millisecond then agree on the second's name.
                if not path.exists():
                    draft.replace(path)
        sync(root)
