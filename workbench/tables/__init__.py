"""What exists: every table, declared once. No I/O.

`TABLES` maps a name to its declaration; flat files fill those in `FED`, retention fills `ARCHIVE`, reference sources fill `REFERENCE`, the
lake itself `LONE_DAYS` and `ROLLUPS`; `locate` tells which table an object key of the vendor's bucket, or of an answer, belongs to.
"""

import re
from datetime import date

from workbench.errors import UnknownName
from workbench.tables import answers, archive, crypto, forex, futures, indices, options, reference, stocks
from workbench.tables.disagreements import DISAGREEMENTS
from workbench.tables.lone_days import LONE_DAYS
from workbench.tables.rollups import ROLLUPS
from workbench.tables.spec import Column, Era, Feed, Table, quote

__all__ = [
    "ARCHIVE",
    "DISAGREEMENTS",
    "FED",
    "LONE_DAYS",
    "REFERENCE",
    "ROLLUPS",
    "TABLES",
    "Column",
    "Era",
    "Feed",
    "Table",
    "find",
    "locate",
    "quote",
]

FED = tuple(table for module in (stocks, options, indices, forex, crypto, futures) for table in module.TABLES)
ARCHIVE = archive.archive(FED)
REFERENCE = reference.TABLES
TABLES: dict[str, Table] = {
    table.name: table for table in (*FED, LONE_DAYS, *(one.table for one in ROLLUPS), ARCHIVE, DISAGREEMENTS, *REFERENCE)
}

_FEEDS = {feed.prefix: (table, feed) for table in TABLES.values() for feed in table.feeds}
_KEY = re.compile(r"(?P<prefix>.+)/(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>(?P=year)-(?P=month)-\d\d)\.csv\.gz")


def find(name: str) -> Table:
    """The declaration of a table; raises `UnknownName` with the nearest names."""
    if name in TABLES:
        return TABLES[name]
    raise UnknownName("table", name, TABLES)


def locate(key: str) -> tuple[Table, Feed, date] | None:
    """The table, feed and session that an object key belongs to, or None for any other object."""
    if key.startswith(answers.KEPT):
        return locate(key.split(":", 2)[2])
    if told := answers.place_of(key):
        table = TABLES.get(told[0])
        return (table, table.feeds[0], told[1]) if table and table.feeds else None
    match = _KEY.fullmatch(key)
    if not match or match["prefix"] not in _FEEDS:
        return None
    try:
        day = date.fromisoformat(match["day"])
    except ValueError:
        return None
    return (*_FEEDS[match["prefix"]], day)
