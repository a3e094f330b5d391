"""Tables that people declare themselves, kept with the lake: a file of JSON for each, beside the journal that their rows go through.

Whoever opens the lake has them as it has the documented ones; `records` gives both.
"""

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import LakeError, UsageError
from workbench.lake.disk import disk, scratch, sync
from workbench.lake.identity import expect_known
from workbench.lake.remote.mirror import DECLARED
from workbench.lake.remote.where import remote_of
from workbench.tables.platforms import RECORDS, SCHEMAS
from workbench.tables.record import Field, Record

# The schemas that no document names a table of.
OPEN = tuple(sorted(SCHEMAS.keys() - {record.schema for record in RECORDS.values()}))
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

# What was read of each folder, and when the folder was changed then.
_READ: dict[Path, tuple[int, dict[str, Record]]] = {}
_LOCK = threading.Lock()


def folder(root: Path) -> Path:
    """Where the declarations stand."""
    return root / "journal" / "tables"


def records(root: Path) -> Mapping[str, Record]:
    """The tables that people write to on a lake, by full name: the documented ones, and those that were declared on it.

    Raises `LakeError` for a declaration that cannot be read.
    """
    own = declared(root)
    return {**RECORDS, **own} if own else RECORDS


def declared(root: Path) -> dict[str, Record]:
    """The tables that were declared on a lake, by full name."""
    place = folder(root)
    if remote := remote_of(root):
        remote.mirror.look()
    try:
        changed = os.stat(place).st_mtime_ns  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return {}
    with _LOCK:
        held = _READ.get(place)
        if held is None or held[0] != changed:
            before = held[1] if held else {}
            found = {record.full: record for record in _all(root, place)}
            # Who holds a record goes on holding the same one.
            _READ[place] = changed, {full: before[full] if before.get(full) == record else record for full, record in found.items()}
        return _READ[place][1]


def _all(root: Path, place: Path) -> list[Record]:
    """The tables that stand declared in a folder. A copy that a loss of power has spoiled is brought again from the bucket."""
    paths = sorted(place.glob("*.json"))
    try:
        return [read(path) for path in paths]
    except LakeError:
        remote = remote_of(root)
        if remote is None:
            raise
        for path in paths:
            remote.download(f"{DECLARED[0]}{path.name}", path)
        return [read(path) for path in paths]


def of(path: Path) -> str:
    """Where a declaration stands, as people name it."""
    remote = remote_of(path)
    return f"{remote.where}/{DECLARED[0]}{path.name}" if remote else str(path)


def read(path: Path) -> Record:
    """A declaration. Raises `LakeError` for one that cannot be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return made(told["schema"], told["name"], told["columns"], tuple(told["key"]), told["doc"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise LakeError(
            f"{of(path)} is no declaration of a table ({fault!r}); nothing was done. Bring it back from a backup, or declare the table again "
            "after removing it."
        ) from fault


def made(schema: str, name: str, columns: Mapping[str, str], key: Sequence[str], doc: str) -> Record:
    """The table of a declaration."""
    fields = tuple(Field(column, kind, "", required=column in key) for column, kind in columns.items())
    return Record(schema, name, doc, fields, tuple(key))


def declare(root: Path, record: Record) -> None:
    """Keep a declaration; the same one again is nothing. Raises `UsageError` if the table has another, `LakeError` if the disk takes none."""
    place = folder(root)
    told: dict[str, Any] = {
        "schema": record.schema,
        "name": record.name,
        "columns": {one.name: one.type for one in record.columns},
        "key": list(record.key),
        "doc": record.doc,
    }
    text, target = json.dumps(told, indent=1, ensure_ascii=False) + "\n", place / f"{record.full}.json"
    if remote := remote_of(root):
        expect_known(root, f"{record.full} was not declared")
        first = remote.put_once(f"{DECLARED[0]}{target.name}", text.encode())
        remote.mirror.declarations()
        if first:
            return
    else:
        with disk(root, f"{record.full} was not declared"), scratch(root) as drafts:
            place.mkdir(parents=True, exist_ok=True)
            draft = drafts / target.name
            draft.write_text(text, encoding="utf-8")
            sync(draft)
            try:
                # Of two that declare a table at once one is first.
                os.link(draft, target)
            except FileExistsError:
                pass
            else:
                sync(place)
                return
    there = read(target)
    if (there.columns, there.key) != (record.columns, record.key):
        kept = ", ".join(f"{one.name} {one.type}" for one in there.columns)
        raise UsageError(
            f"{record.full} is declared already, with {kept} and the key ({', '.join(there.key)}); nothing was changed. "
            "Give the same columns and key, or another name."
        )
