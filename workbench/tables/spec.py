"""What a table is: data, no behaviour beyond what follows from it.

A `Table` declares what the vendor's flat files promise. Headers, CSV schema, Parquet schema, DDL, checks, views and the data
dictionary are derived from it, here or in the stage that needs them.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

from workbench.errors import UnknownName

NEW_YORK = "America/New_York"

Type = Literal["VARCHAR", "DOUBLE", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "BOOLEAN", "DATE", "TIMESTAMPTZ", "VARCHAR[]"]
Period = Literal["year", "quarter", "month", "day"]


def quote(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Era:
    """A dated change in what a column holds."""

    since: date
    doc: str
    source: str


@dataclass(frozen=True)
class Column:
    """One column: its meaning, and what its values promise.

    `low` and `high` are inclusive; a value outside them is a faulty row. `csv` is the vendor's name where ours differs.
    """

    name: str
    type: Type
    doc: str
    unit: str = ""
    required: bool = True
    low: float | None = None
    high: float | None = None
    csv: str = ""
    eras: tuple[Era, ...] = ()

    @property
    def header(self) -> str:
        """Its name in the vendor's header."""
        return self.csv or self.name


@dataclass(frozen=True)
class Feed:
    """One folder of the vendor's bucket that fills a table."""

    prefix: str
    venue: str = ""


DATE = Column("date", "DATE", "Session: the date in the flat file's key.")
TIMESTAMP = Column("timestamp", "TIMESTAMPTZ", "The table's time column, truncated to microseconds towards the past.")
SOURCE = Column("source", "VARCHAR", "Where the row came from: polygon_s3, folder, polygon_api, yahoo or sample.")
IS_TEST = Column("is_test", "BOOLEAN", "True for the exchanges' test tickers of that date.")
SIZE_UNIT = Column("size_unit", "VARCHAR", "What bid_size and ask_size count: lots or shares.")
VENUE = Column("venue", "VARCHAR", "The futures exchange whose feed the row came from: CBOT, CME, NYMEX or COMEX.")


@dataclass(frozen=True)
class Table:
    """A table that flat files fill, one row per vendor record, or one of reference data.

    `key` is unique within a file; a table without one may hold identical rows. `time` names the column of nanoseconds since
    1970 UTC that gives `timestamp`. `zone` is where a session's date is told. `stray` widens the session that a file's stamps
    may fall on, in days before and after. `same_day` names a column that repeats the session's date in every row. `headers`
    are the header lines that a file may have; the first names every column, a column that a short one lacks is NULL. A table
    without `feeds` is filled from other tables, or from reference sources, not from files.
    Reference tables have no sessions, no time column and no base columns: their rows are facts, by key, of which the newest version is held.
    `chunks` are the periods that cold files hold, finest first, and `ranges` the ticker ranges that each is cut into. `rollup` names the
    table whose rows sum this one's up; none does where it is empty.
    `confirmed` is False where no real file's header was seen, and `source` says where the header is known from. `calendar` is
    a name of exchange_calendars.
    """

    name: str
    doc: str
    asset: str
    kind: Literal["bars", "ticks", "reference"]
    feeds: tuple[Feed, ...]
    vendor: tuple[Column, ...]
    key: tuple[str, ...]
    time: str
    chunks: tuple[Period, ...]
    starts: date
    calendar: str
    ranges: int = 16
    rollup: str = ""
    zone: str = NEW_YORK
    stray: tuple[int, int] = (0, 0)
    same_day: str = ""
    size_unit: bool = False
    confirmed: bool = True
    source: str = ""
    short_headers: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def headers(self) -> tuple[tuple[str, ...], ...]:
        """The header lines that a file may have, the full one first."""
        return (tuple(c.header for c in self.vendor), *self.short_headers)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every column that a reader sees, in order: the vendor's, then, but for reference data, the base columns."""
        if self.kind == "reference":
            return self.vendor
        size_unit = (SIZE_UNIT,) if self.size_unit else ()
        venue = (VENUE,) if any(feed.venue for feed in self.feeds) else ()
        return (*self.vendor, DATE, TIMESTAMP, SOURCE, IS_TEST, *size_unit, *venue)

    def __getitem__(self, name: str) -> Column:
        """The column of that name; raises `UnknownName` with the nearest names."""
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownName("column", name, (c.name for c in self.columns))

    @property
    def routed(self) -> bool:
        """Whether rows go to ticker ranges as they land (ticks), or a session stays one file until its chunk is sealed."""
        return self.kind == "ticks"

    @property
    def ddl(self) -> str:
        """The table as DuckDB would declare it."""
        rows = ", ".join(f"{quote(c.name)} {c.type}{' NOT NULL' if c.required else ''}" for c in self.columns)
        return f"CREATE TABLE {quote(self.name)} ({rows})"

    @property
    def empty(self) -> str:
        """A query of the right shape and no rows."""
        nulls = ", ".join(f"NULL::{c.type} AS {quote(c.name)}" for c in self.columns)
        return f"SELECT {nulls} LIMIT 0"

    def chunk_of(self, day: date, period: Period | None = None) -> str:
        """The period that holds a session, by default the finest: 2024, 2024-Q1, 2024-01 or 2024-01-02."""
        names = {
            "year": f"{day:%Y}",
            "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
            "month": f"{day:%Y-%m}",
            "day": f"{day:%Y-%m-%d}",
        }
        return names[period or self.chunks[0]]

    def session_ns(self, day: date) -> tuple[int, int]:
        """The half-open range of nanoseconds that a session's stamps may fall in."""
        before, after = self.stray
        return (
            midnight_ns(day - timedelta(days=before), self.zone),
            midnight_ns(day + timedelta(days=after + 1), self.zone),
        )

    def session_of(self, ns: int) -> date:
        """The date of a stamp in the table's zone."""
        return datetime.fromtimestamp(ns // 1_000_000_000, ZoneInfo(self.zone)).date()

    def key_of(self, feed: Feed, day: date) -> str:
        """The object key of a session's flat file."""
        return f"{feed.prefix}/{day:%Y/%m/%Y-%m-%d}.csv.gz"


def period_of(chunk: str) -> Period:
    """The period that a chunk's name tells."""
    return "quarter" if "Q" in chunk else {4: "year", 7: "month", 10: "day"}[len(chunk)]  # type: ignore[return-value]


def span_of(chunk: str) -> tuple[date, date]:
    """The first and the last date of a chunk."""
    year, months = int(chunk[:4]), {"year": 12, "quarter": 3, "month": 1}
    period = period_of(chunk)
    if period == "day":
        return date.fromisoformat(chunk), date.fromisoformat(chunk)
    first = 1 if period == "year" else 3 * int(chunk[-1]) - 2 if period == "quarter" else int(chunk[-2:])
    after = year * 12 + first - 1 + months[period]
    return date(year, first, 1), date(after // 12, after % 12 + 1, 1) - timedelta(days=1)


def midnight_ns(day: date, zone: str) -> int:
    """Midnight of a date in a zone, in nanoseconds since 1970 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000
