"""Who else on the machine may read a lake: new ones are their owner's alone, unless the settings say otherwise; older ones are as they were."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
FOLDER, FILE = 0o700, 0o600
# What only its owner should read even where the lake is shared: digests of tokens.
ALWAYS = ("access.json",)


@dataclass(frozen=True)
class Loose:
    """A folder or file that others than its owner may reach, with its mode now and the one it should have."""

    path: Path
    mode: int
    wanted: int

    def __str__(self) -> str:
        return f"{self.path} ({self.mode:04o})"


def make_root(root: Path, *, private: bool = True) -> None:
    """Make a lake's root, and what folders it lacks above: of a new root nobody but its owner reads anything.

    A folder of ours that holds nothing yet, but for a README and hidden files, counts as new, unless its group may write to it: somebody made it
    to be shared. Any other that is there stays as it is. With `private` off, the process's umask decides. Raises `OSError`.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        # At once, so that there is no moment in which it is open to others.
        root.mkdir(mode=FOLDER if private else 0o777)
    except FileExistsError:
        if not root.is_dir():
            raise
        has = root.stat()
        bare = all(one.name.startswith(".") or one.name == "README.md" for one in root.iterdir())
        if private and bare and has.st_uid == os.getuid() and not has.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            root.chmod(FOLDER)


def loose(root: Path, secrets: Iterable[Path] = (), *, private: bool = True) -> list[Loose]:
    """What of a lake, and of some files with secrets, others than their owner may reach. What is not there, or not ours to look at, is left out.

    With `private` off, only what nobody else should read in any lake.
    """
    # Another folder, or a file, that somebody named as a root is nothing that we would close.
    wanted = [(root, FOLDER)] if private and (root / "lake").is_dir() else []
    wanted += [(root / name, FILE) for name in ALWAYS] + [(path, FILE) for path in secrets]
    found = []
    for path, mode in wanted:
        try:
            has = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if has & OTHERS and not behind(path, root):
            found.append(Loose(path, has, mode))
    return found


def behind(path: Path, root: Path) -> bool:
    """Whether a file stands in a root that nobody else may enter: its own mode opens nothing then."""
    if path == root or not path.is_relative_to(root):
        return False
    try:
        return not stat.S_IMODE(root.stat().st_mode) & OTHERS
    except OSError:
        return False


def told(found: list[Loose]) -> str:
    """What is loose, in a sentence, and what mends it; empty for nothing."""
    if not found or os.name != "posix":
        return ""
    folders = " ".join(quoted(one.path) for one in found if one.wanted == FOLDER)
    files = " ".join(quoted(one.path) for one in found if one.wanted == FILE)
    mend = " and ".join(filter(None, (f"`chmod 700 {folders}`" * bool(folders), f"`chmod 600 {files}`" * bool(files))))
    shared = " A lake that is shared on purpose: WORKBENCH_FILE_MODES=umask." * bool(folders)
    return f"others on this machine may reach {', '.join(map(str, found))}; {mend} closes {'them' if len(found) > 1 else 'it'}.{shared}"


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    import shlex

    return shlex.quote(str(path))
