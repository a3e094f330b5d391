"""What an answer of the REST API must be to be believed, and what the plan was seen to refuse."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from workbench.errors import NotEntitled, SourceError
from workbench.sources.api_questions import bar_name
from workbench.sources.api_refusals import Page, broken
from workbench.sources.api_rows import Sessions
from workbench.tables import Table

# How many refusals of the same kind are proof enough that the next question would be refused, too.
PROOF = 3


def records(page: Page, table: Table, what: str, where: str, ticker: str = "") -> list[Any]:
    """The records of a page. Raises `BrokenAnswer` if it is no list of them, or of something else than was asked for."""
    body = page.body
    if not isinstance(body, dict):
        raise broken(what, where, f"{type(body).__name__} in the place of an object")
    if body.get("adjusted") is True and table.asset in ("stocks", "options"):
        raise broken(what, where, "prices adjusted for splits, although raw ones were asked for")
    if ticker and body.get("ticker") not in (None, bar_name(ticker)):
        raise broken(what, where, f"bars of {str(body['ticker'])[:40]!r}")
    found = body.get("results")
    if found is None and body.get("resultsCount") not in (None, 0):
        raise broken(what, where, f"a count of {str(body['resultsCount'])[:20]} and no results")
    if not isinstance(found, list | None):
        raise broken(what, where, f"{type(found).__name__} in the place of a list of results")
    if table.name.endswith("_minute") and any(stamp % 60_000 for stamp in stamps(found or [])):
        raise broken(what, where, "stamps that are no full minutes: its clock is off")
    return found or []


def stamps(found: list[Any]) -> Iterator[int]:
    """The stamps of bars, in ms."""
    return (one["t"] for one in found if isinstance(one, dict) and type(one.get("t")) is int)


def check_times(sessions: Sessions, what: str, where: str) -> None:
    """Raise `BrokenAnswer` for rows that are all of another time: then it is not known whether there are any of this."""
    if sessions.elsewhere:
        raise broken(what, where, "rows that are all stamped with other times than were asked for")


def delayed(page: Page) -> bool:
    """Whether a page says that its plan's data are delayed."""
    return isinstance(page.body, dict) and page.body.get("status") == "DELAYED"


@dataclass
class Walls:
    """What the plan covers and what not, as its answers show: sessions from one on; sessions up to one, or a whole table.

    Calls that it would refuse are not made.
    """

    refusals: dict[str, list[date]] = field(default_factory=lambda: defaultdict(list))
    reach: dict[str, date] = field(default_factory=dict)

    def covers(self, table: Table, day: date) -> None:
        """Take note of a session of which the plan gave rows, or said that there are none."""
        self.reach[table.name] = min(day, self.reach.get(table.name, day))

    def covered(self, table: Table, day: date) -> bool:
        """Whether the plan is known to cover a session."""
        return self.reach.get(table.name, date.max) <= day

    def expect(self, table: Table, last: date, what: str) -> None:
        """Raise `NotEntitled` where enough calls have shown that this one, of sessions up to `last`, would be refused."""
        if sum(day >= last for day in list(self.refusals[table.name])) >= PROOF:
            raise NotEntitled(
                f"{what} was not asked for: the plan of this key refused {table.name} {PROOF} times, for this and later sessions;"
                " nothing was landed; ask for tables and dates within the plan, or take another source"
            )

    def refused(self, table: Table, last: date, fault: SourceError) -> None:
        """Take note of a refusal."""
        said = str(fault)
        if isinstance(fault, NotEntitled) and "was not asked for" not in said:
            if "timeframe" in said:
                self.refusals[table.name].append(last)
            elif "not entitled to this data" in said and table.asset != "indices":
                # Indices are sold by provider: one may be covered and another not.
                self.refusals[table.name].append(date.max)

    def allowed(self, table: Table, last: date) -> None:
        """Forget refusals that were none of the plan's, since it covers sessions up to `last`."""
        self.refusals[table.name] = [day for day in self.refusals[table.name] if day < last]
