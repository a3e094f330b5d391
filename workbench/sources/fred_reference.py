"""FRED as a source of reference data: its series, and the days of its releases as events.

FRED tells the day of a release, not its hour, and nobody's forecast. `impact` goes by the release: it is a stated rule, not an opinion.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from workbench import sessions
from workbench.sources import Verdict
from workbench.sources.fred import Fred, ReleaseDate
from workbench.sources.reference import Gathered, Row
from workbench.sources.reference_replies import midnight

EVENTS = "calendar_events"
# FRED's ids of releases, as the documentation of `calendar_events` names them; any other release counts as 2.
IMPACT = {
    **dict.fromkeys((50, 10, 53, 101), 4),  # Employment Situation, Consumer Price Index, Gross Domestic Product, FOMC Press Release
    **dict.fromkeys(
        (46, 9, 54, 180, 13), 3
    ),  # Producer Price Index, Advance Retail Sales, Personal Income and Outlays, Weekly Claims, G.17
}
USUAL = 2
# How far back releases are asked for when nothing is held, and how far ahead FRED knows some.
BACK, AHEAD = timedelta(days=366), timedelta(days=183)


@dataclass(eq=False)
class FredReference:
    """`Fred`, and its calendar of releases."""

    fred: Fred
    today: Callable[[], date] = field(default=sessions.today, repr=False)
    name: str = field(default="fred", init=False)

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        return "" if dataset == EVENTS else self.fred.refuses(dataset)

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:
        """Series, as `Fred` gives them; releases from a year ago, or from `since`, to half a year ahead. Raises `SourceError`."""
        if dataset != EVENTS:
            yield from self.fred.gather(dataset, since=since, symbols=symbols)
            return
        start, end, before = since or self.today() - BACK, self.today() + AHEAD, self.fred.transferred
        rows = [event(one) for one in self.fred.release_dates(start, end)]
        yield Gathered(EVENTS, f"fred:releases/dates?from={start}&to={end}", rows, self.fred.transferred - before)

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread."""
        self.fred.stop()

    def check(self) -> Verdict:
        """Try the source with its cheapest call."""
        return self.fred.check()

    def close(self) -> None:
        """Give back connections."""
        self.fred.close()


def event(one: ReleaseDate) -> Row:
    """A release as an event."""
    return {
        "id": f"economic_release:{one.release_id}:{one.date}",
        "event_type": "economic_release",
        "date": one.date,
        "event_at": midnight(one.date),
        "name": one.name,
        "description": f"FRED's release {one.release_id}; its hour is not told",
        "impact": IMPACT.get(one.release_id, USUAL),
        "country": "US",
    }
