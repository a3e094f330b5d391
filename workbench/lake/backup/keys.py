"""To whom a lake encrypts its backups, by the place, in `journal/backup-keys.json`.

What stands at the place itself may be changed by whoever can write there, and the next backup would be readable for them.
"""

import json
from pathlib import Path
from typing import Any

from workbench.errors import LakeError, UsageError
from workbench.lake.backup.notes import put

NAME = "backup-keys.json"


def expect_same(root: Path, where: str, recipients: tuple[str, ...]) -> None:
    """Raise `UsageError` where a place names other keys than this lake encrypted to before."""
    known = noted(root).get(where)
    if known is None or tuple(known) == recipients:
        return
    told = f"to {', '.join(recipients)}" if recipients else "to nobody"
    raise UsageError(
        f"the backups in {where} say that they are encrypted {told}, but this lake encrypted them to {', '.join(known)}: somebody changed backup.json. "
        f"Nothing was written. Bring that file back from a copy, or take another place; if the change was yours, remove {root / 'journal' / NAME}."
    )


def note(root: Path, where: str, recipients: tuple[str, ...]) -> None:
    """Write down to whom a place is encrypted, the first time."""
    known = noted(root)
    if recipients and where not in known:
        (root / "journal").mkdir(exist_ok=True)
        put(root / "journal" / NAME, {**known, where: list(recipients)})


def noted(root: Path) -> dict[str, Any]:
    """The keys by the place. Raises `LakeError` for a file that cannot be read: what it said is not to be passed over."""
    path = root / "journal" / NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise LakeError(
            f"{path} cannot be read ({fault}), so it is not known to whom backups are encrypted; nothing was written. Remove it if so."
        ) from fault
    return told if isinstance(told, dict) else {}
