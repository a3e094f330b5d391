"""Rows that an import did not take, written beside the lake: what each is, where it stands in its database, and why it did not go in."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from workbench.importers.origin import Reject
from workbench.lake.disk import disk

# Longer texts are cut: a file of rejects is for people.
LONGEST = 10_000


class Rejects:
    """The file of one table's rejects in one run, `<root>/rejects/<run>-<table>.jsonl`; made with the first. A context manager."""

    def __init__(self, root: Path, run: str, table: str):
        self.root = root
        self.path = root / "rejects" / f"{run}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', table)}.jsonl"
        self.count = 0
        self._file: IO[str] | None = None

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file:
            with disk(self.root, f"not all rejects were written to {self.path}"):
                self._file.close()

    def add(self, rejects: Iterable[Reject]) -> None:
        """Write some down. Raises `LakeError`, as for a full disk."""
        with disk(self.root, f"not all rejects were written to {self.path}"):
            for one in rejects:
                if self._file is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._file = self.path.open("a", encoding="utf-8")
                self._file.write(line(one))
                self.count += 1
            if self._file:
                # What is told of a batch is on the disk before its rows are.
                self._file.flush()


def line(one: Reject) -> str:
    """A reject as a line of JSON."""
    told = {"where": one.where, "reason": one.reason, "row": None if one.row is None else plain(one.row)}
    return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A value as JSON has it, for a person to read: bytes in hexadecimal digits, numbers that JSON has none for as text."""
    match value:
        case None | bool() | int():
            return value
        case str():
            # What is no text in any encoding is told with signs that stand for it.
            text = value.encode("utf-8", "backslashreplace").decode()
            return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray() | memoryview():
            told = bytes(value).hex()
            return told if len(told) <= LONGEST else f"{told[:LONGEST]}… ({len(told) // 2:,} bytes)"
        case datetime() | date() | time():
            return value.isoformat()
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case list() | tuple() | set():
            return [plain(one) for one in value]
        case Decimal() | UUID() | timedelta():
            return str(value)
    with suppress(Exception):
        return plain(value.as_py())
    return str(value)
