"""Numbers that count on where several machines write one table: each takes them from ranges that it has claimed in the bucket, so that none is given twice.

A claim is a small object, `numbers/<table>/<column>/<n>.json`, put there if nobody has put one of that number: whoever is second claims the next. A range
begins above all that were claimed before and above all that stands in the table, so that a machine alone counts on without a gap.
"""

import json
import platform
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from workbench.errors import Busy

if TYPE_CHECKING:
    from workbench.lake.remote.connection import Remote

# A claim costs two requests: one of so many numbers lasts a machine for a while, and so many are left out at most when it is lost.
AT_LEAST = 1_000
ATTEMPTS = 40


def claimed(con: sqlite3.Connection, remote: "Remote", name: str, column: str, last: int, count: int) -> int:
    """The number after which `count` fresh ones are this machine's, not below `last`; claims them in the bucket where it has not so many left.

    Raises `Unreachable` where the bucket does not answer, and `Busy` if other machines win every attempt.
    """
    told = con.execute("SELECT n, first, until FROM claims WHERE name = ? AND of = ?", (name, column)).fetchone()
    n, first, until = told or (-1, 1, 0)
    if told and max(last, first - 1) + count <= until:
        return max(last, first - 1)
    below = f"numbers/{quote(name, safe='')}/{quote(column, safe='')}/"
    highest = highest_of(remote, name, column)
    for _ in range(ATTEMPTS):
        newest = max((one.name for one in remote.below(below, f"{below}{n:010}.json" if n >= 0 else "")), default="")
        given = int(json.loads(remote.get(newest) or b"{}").get("last", 0)) if newest else until
        at = int(newest.removeprefix(below).removesuffix(".json")) if newest else n
        # Where nobody has claimed since, the range goes on, and what is left of it is not lost.
        after = max(last, given, highest) if newest or not told or last > until or highest > until else until
        begins = after + 1
        start = first if told and begins == until + 1 else begins
        base = max(last, start - 1)
        ends = max(base + count, after + AT_LEAST)
        some = json.dumps({"first": begins, "last": ends, "machine": platform.node()}).encode()
        if remote.put_once(f"{below}{at + 1:010}.json", some):
            con.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", (name, column, at + 1, start, ends))
            return base
    raise Busy(f"{name}: other machines won {ATTEMPTS} attempts to claim numbers of {column}; nothing was written. Run the command again.")


def highest_of(remote: "Remote", name: str, column: str) -> int:
    """The greatest number of a column in what stands in the bucket."""
    from workbench.lake.records import RecordTable, record_named

    record = record_named(remote.root, name)
    if record is None:
        return 0
    table = RecordTable(remote.root, record)
    table.follow()
    return table.snapshot().highest.get(column, 0)
