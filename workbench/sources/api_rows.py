"""The API's records as rows of flat files, and the flat files that they are written to.

A value goes into its cell as it came; what a record lacks is blank. Nothing is judged here: landing sets faulty rows apart and counts them.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

from workbench.errors import LakeError
from workbench.sources import FlatFile
from workbench.sources.api_questions import flat_name
from workbench.tables import Table
from workbench.tables.spec import midnight_ns

MS = 1_000_000
# How far before midnight the stamp of a day's bar may lie.
SHORT_MS = 30 * 60 * 1000
MEMBER_BYTES = 256 * 1024
INTEGERS = {"BIGINT", "INTEGER", "SMALLINT", "TINYINT"}
# The API's names for a bar's columns, the most exact first: decimal texts came with fractional shares.
BAR_FIELDS = {
    "ticker": ("T",),
    "volume": ("dv", "decimal_volume", "v"),
    "open": ("o",),
    "close": ("c",),
    "high": ("h",),
    "low": ("l",),
    "transactions": ("n",),
}
EXACT = {"size": "decimal_size", "ask_size": "decimal_ask_size", "bid_size": "decimal_bid_size"}
LISTS = {"conditions", "indicators"}

OTC, STRAY = "over-the-counter bars", "rows stamped outside the sessions asked for"


@dataclass
class Sessions:
    """The sessions that rows are wanted of, and what was found that is none of theirs."""

    table: Table
    days: Sequence[date]
    left: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    outside: int = 0

    def __post_init__(self) -> None:
        self.days = sorted(self.days)
        spans = [self.table.session_ns(day) for day in self.days]
        self.starts, self.ends = [start for start, _ in spans], [end for _, end in spans]

    def of(self, ns: int) -> date | None:
        """The session that a stamp falls on; None, and counted, if it is not wanted."""
        self.seen += 1
        at = bisect_right(self.starts, ns) - 1
        if at >= 0 and ns < self.ends[at]:
            return self.days[at]
        self.left[STRAY] += 1
        self.outside += not self.starts[0] <= ns < self.ends[-1]
        return None

    @property
    def elsewhere(self) -> bool:
        """Whether there are rows, and all of other times than the span that was asked for."""
        return 0 < self.seen == self.outside


def bars(records: Iterable[Any], sessions: Sessions, ticker: str | None = None) -> Iterator[tuple[date, list[Any]]]:
    """Bars as rows of flat files, each with its session; `ticker` is theirs unless each says its own.

    A bar of a day begins at the session's midnight, as flat files have it, whatever its stamp: that of a whole market's bars is 16:00, and
    those of single tickers may fall short of midnight if the far end's clock does. A bar without a stamp goes to the session of the one
    before, where landing finds it faulty.
    """
    table = sessions.table
    fields = [BAR_FIELDS.get(name, ()) for name in table.headers[0]]
    stamped = table.headers[0].index("window_start")
    named = table.headers[0].index("ticker")
    counted = [n for n, column in enumerate(table.vendor) if column.type in INTEGERS and n != stamped]
    midnights = {day: midnight_ns(day, table.zone) for day in sessions.days} if table.name.endswith("_day") else {}
    short = SHORT_MS if midnights and ticker is not None else 0
    day = sessions.days[0]
    for record in records:
        bar = record if isinstance(record, dict) else {}
        if bar.get("otc"):
            sessions.left[OTC] += 1
        stamp = whole(bar.get("t"))
        if isinstance(stamp, int):
            found = sessions.of((stamp + short) * MS)
            if not found:
                continue
            day = found
        row = [first(bar, names) for names in fields]
        for n in counted:
            row[n] = whole(row[n])
        row[stamped] = midnights.get(day, stamp * MS) if isinstance(stamp, int) else None
        row[named] = ticker if ticker is not None else flat_name(row[named]) if isinstance(row[named], str) else None
        yield day, row


def ticks(records: Iterable[Any], sessions: Sessions, ticker: str) -> Iterator[list[Any]]:
    """Trades or quotes of one session as rows of a flat file."""
    table = sessions.table
    names = [column.header for column in table.vendor]
    at = names.index(next(column.header for column in table.vendor if column.name == table.time))
    integers = [n for n, column in enumerate(table.vendor) if column.type in INTEGERS]
    lists = [n for n, name in enumerate(names) if name in LISTS]
    exact = [(n, EXACT[name]) for n, name in enumerate(names) if name in EXACT]
    for record in records:
        tick = record if isinstance(record, dict) else {}
        row = [tick.get(name) for name in names]
        row[0] = ticker
        for n in integers:
            if type(row[n]) is not int:
                row[n] = whole(row[n])
        stamp = row[at]
        if type(stamp) is int and not sessions.of(stamp):
            continue
        for n in lists:
            row[n] = listed(row[n])
        for n, name in exact:
            if tick.get(name):
                row[n] = tick[name]
        yield row


def first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first field that has one."""
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


def whole(value: Any) -> Any:
    """A whole number as an int, where it was written with a fraction of zero; anything else as it is."""
    if isinstance(value, str) and value.endswith(".0") and value[:-2].removeprefix("-").isdecimal():
        return int(value[:-2])
    return value


def listed(value: Any) -> Any:
    """Ids as flat files list them: blank, 12 or 12,37."""
    if not isinstance(value, list):
        return value
    return ",".join(str(one) if isinstance(one, int | str) else json.dumps(one) for one in value)


def text_of(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as lines of CSV."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


@dataclass(eq=False)
class Sheet:
    """A flat file that is being written: its header, then what is added, as gzip members without name or time.

    It is closed between two writes, so that thousands may be open at a time.
    """

    path: Path
    table: Table
    rows: int = 0
    _waiting: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, text: bytes, rows: int) -> None:
        """Add lines."""
        self.rows += rows
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= MEMBER_BYTES:
            self._flush()

    def join(self, other: "Sheet") -> None:
        """Add another sheet's lines, which has no header, and remove it."""
        if other.rows:
            self._flush()
            other._flush()
            with open(other.path, "rb") as lines, open(self.path, "ab") as file:
                shutil.copyfileobj(lines, file, 1024 * 1024)
            self.rows += other.rows
        other.drop()

    def file(self, key: str) -> FlatFile:
        """The finished file, named by its key and its own sha256."""
        self._flush()
        with open(self.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FlatFile(key, digest, self.path.stat().st_size)

    def drop(self) -> None:
        """Remove it."""
        self._waiting.clear()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._waiting:
            return
        packer = zlib.compressobj(3, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        with open(self.path, "ab") as file:
            file.writelines(packer.compress(text) for text in self._waiting)
            file.write(packer.flush())
        self._waiting.clear()
        self._size = 0


def sheet(folder: Path, table: Table, day: date, *, header: bool = True) -> Sheet:
    """A new flat file under `folder`; one without a header is to be joined to another."""
    made = Sheet(folder / f"{table.name}-{day}-{uuid4().hex[:12]}.csv.gz", table)
    if header:
        made.add(text_of([table.headers[0]]), 0)
    return made


@contextmanager
def storing(folder: Path, what: str) -> Iterator[None]:
    """Turn the disk's refusals into `LakeError`."""
    try:
        yield
    except OSError as exc:
        raise LakeError(
            f"{what} cannot be written under {folder.absolute()} ({exc.strerror or os.strerror(exc.errno or 0)}); nothing of it was landed;"
            " free some space or make the folder writable, and refresh again"
        ) from exc
