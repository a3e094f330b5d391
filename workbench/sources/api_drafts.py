"""What came of one ticker, and the answer for one session that is made of many of them."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from workbench.errors import WorkbenchError
from workbench.sources import Answer
from workbench.sources.api_refusals import sentence
from workbench.sources.api_rows import STRAY, Sheet
from workbench.tables import Table
from workbench.tables.answers import API, key_of

DELAYED = "the vendor says DELAYED: the plan's newest prices are not those of now"


@dataclass
class Brought:
    """What came of one ticker: its lines by session, or on the disk; or why nothing did."""

    ticker: str
    lines: dict[date, tuple[bytes, int]] = field(default_factory=dict)
    sheet: Sheet | None = None
    fault: WorkbenchError | None = None
    left: Counter[str] = field(default_factory=Counter)
    delayed: bool = False
    transferred: int = 0

    @property
    def empty(self) -> bool:
        """Whether the vendor answered, and has no rows."""
        return not (self.fault or self.lines or (self.sheet and self.sheet.rows))

    def drop(self) -> None:
        """Remove what is on the disk."""
        if self.sheet:
            self.sheet.drop()


@dataclass
class Draft:
    """The answer for one session, as far as it is known."""

    table: Table
    session: date
    asked: tuple[str, ...]
    fault: str = ""
    spoken: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    transferred: int = 0

    def take(self, one: Brought) -> None:
        """Take note of what concerns the whole question: told once, with its first session."""
        self.left.update(one.left)
        self.transferred += one.transferred
        if one.empty:
            self.miss(one.ticker)

    def miss(self, ticker: str) -> None:
        """Help with a symbol that has no rows."""
        bare = ticker[2:] if ticker[1:2] == ":" else ticker
        if bare.lower() == bare != bare.upper():
            self.notes.append(f"{ticker} has no rows: symbols are case-sensitive; did you mean {ticker.upper()}?")

    def heard(self, one: Brought, *, rows: bool) -> None:
        """Take note of what a ticker says of this session."""
        if one.fault:
            self.failed[one.ticker] = sentence(one.fault)
        elif rows:
            self.spoken.append(one.ticker)
            self.late(delayed=one.delayed)
        else:
            self.silent.append(one.ticker)

    def late(self, *, delayed: bool) -> None:
        """Take note of a plan whose data are delayed."""
        if delayed and DELAYED not in self.notes:
            self.notes.append(DELAYED)

    def done(self, sheet: Sheet | None, seconds: float) -> Answer:
        """The answer, with its file if there are rows."""
        if self.asked and len(self.failed) == len(set(self.asked)):
            self.fault = self.fault or next(iter(self.failed.values()))
        if sheet and not sheet.rows:
            sheet.drop()
            sheet = None
        told = [f"{count:,} {what} left out" if what == STRAY else f"{count:,} {what}" for what, count in sorted(self.left.items())]
        return Answer(
            self.table.name,
            self.session,
            self.asked,
            sheet.file(key_of(API, self.table.name, self.session, self.asked)) if sheet else None,
            sheet.path if sheet else None,
            sheet.rows if sheet else 0,
            tuple(self.silent),
            self.failed,
            self.fault,
            self.transferred,
            seconds,
            (*self.notes, *told),
        )
