"""Whose a file or folder is: names that end in `<host>-<pid>-<8 hex>` tell who made it, and whether that process is no more."""

import os
import platform
import pwd
from contextlib import suppress
from pathlib import Path


def owner(name: str) -> tuple[str, int] | None:
    """The machine and process that `<host>-<pid>-<8 hex>` names; None for another name."""
    pieces = name.rsplit("-", 2)
    if len(pieces) != 3 or not pieces[1].isdigit():
        return None
    return pieces[0], int(pieces[1])


def ours(name: str) -> bool:
    """Whether a name is of a process of this machine."""
    made_by = owner(name)
    return made_by is not None and made_by[0] == platform.node()


def dead(name: str, begun: str = "") -> bool:
    """Whether a name is of a process of this machine that is no more. `begun` tells it from another that has its number now."""
    made_by = owner(name)
    if made_by is None or made_by[0] != platform.node():
        return False
    return not running(made_by[1]) or bool(begun and begun != started(made_by[1]))


def running(pid: int) -> bool:
    """Whether this machine has a process of that number that has not ended."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    return not ended(pid)


def ended(pid: int) -> bool:
    """Whether a process of this machine has ended and only waits to be counted out: nobody may ever do that, in a container least of all."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return False


def started(pid: int) -> str:
    """When a process was started, in the machine's own terms; empty where that cannot be told."""
    try:
        # Its name, in parentheses, may hold anything; the 20th field after it is the start in ticks since the machine's.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def user() -> str:
    """The name of whoever runs this process."""
    # In a container a user may have no name.
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())
