"""Who makes a commit: written into each, so that a table's history can tell."""

import json
import os
import platform
import sys
from functools import cache
from pathlib import Path

from workbench import __version__
from workbench.lake.processes import user

# What this process was asked to do: the command's name alone, since what follows it may hold a password.
_ASKED = ""


def asked(command: str) -> None:
    """Note the command that this process runs, for the commits that it makes."""
    global _ASKED
    _ASKED = command


def by() -> str:
    """User, machine, process, run, version of the library and command, as JSON."""
    told = {"user": named(os.getuid()), "host": platform.node(), "pid": os.getpid(), "library": __version__, "what": _ASKED or program()}
    # What a schedule, a panel or `workbench run` has put on record.
    run = os.environ.get("WORKBENCH_RUN", "")
    return json.dumps(told | ({"run": run} if run else {}))


@cache
def named(_number: int) -> str:
    """The name of whoever runs this process, looked for once."""
    return user()


def program() -> str:
    """The name of the program that this process runs."""
    return Path(sys.argv[0]).name[:80] if sys.argv and sys.argv[0] not in ("", "-c", "-m") else "python"
