"""What would mend gaps: a pure function from a report of gaps to what to refresh, which the plan of a refresh turns into steps."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from workbench import sessions
from workbench.errors import UsageError
from workbench.query.report import Report
from workbench.tables import find
from workbench.tables.answers import RANK

CHAIN = ("polygon_s3", "polygon_api", "yahoo")
REFRESHED = ("failed", "late", "missing", "not fetched", "lost", "reset")
LEFT = {
    "not yet due": "not due yet: refresh when they are",
    "closed": "closed: there is nothing to have",
    "not entitled": "not covered by the plan of any source that was asked: they need another plan, or another source",
    "archived": "archived by retention: they are in ohlcv_archive",
    "dropped": "dropped by retention, as it was told to",
    "unknown": "unknown: nothing in the lake tells whether anything is missing; refresh reference data and day bars",
    "missing or ineligible": "not sure to be missing: trades that make no bar explain them, too",
}


@dataclass(frozen=True)
class Wanted:
    """What to refresh of a table, oldest session first. No `tickers` are the whole market, no `sources` the whole chain of sources.

    `again` tries files once more that stand in quarantine.
    """

    table: str
    sessions: tuple[date, ...]
    why: str
    tickers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class Repair:
    """What to refresh, and what is left as it is and why."""

    wanted: tuple[Wanted, ...]
    notes: tuple[str, ...] = ()


def repair(report: Report) -> Repair:
    """What would mend a report's gaps. Touches nothing and asks nobody.

    Raises `UsageError` for a report that does not tell sessions, as that of the whole market.
    """
    table = str(report.facts.get("table", ""))
    if not table or any("state" not in row for row in report):
        raise UsageError(
            "this report does not say what became of which session; nothing was planned. Repair one of sessions or of tickers."
        )
    parts: dict[tuple[Any, ...], set[date]] = {}
    left: Counter[str] = Counter()
    for row in report:
        days, ticker = days_of(table, row), row.get("ticker", "")
        action = mended(row, str(report.facts.get("best", CHAIN[0])), by_ticker=bool(ticker))
        if action is None:
            left[row["state"]] += len(days)
        else:
            # A whole session that is to be had whole needs no tickers.
            own = ticker if row["state"] in ("missing", "fallback only", "not fetched") and not whole(row) else ""
            parts.setdefault((row["state"], *action, own), set()).update(days)
    what = "ticker-session" if "first" in report.columns else "session"
    notes = [f"{n:,} {what}{'s' * (n != 1)} {LEFT[state]}." for state, n in left.items() if state in LEFT]
    return Repair(tuple(merged(table, parts)), tuple(notes))


def mended(row: dict[str, Any], best: str, *, by_ticker: bool) -> tuple[tuple[str, ...], bool] | None:
    """From which sources a gap is mended, and whether a refused file is tried again; None if no refresh mends it."""
    state = row["state"]
    if state == "quarantined":
        return (), True
    if state == "fallback only" or (state == "in part" and better(row, best)):
        return better(row, best), False
    if state == "in part":
        # Of what was asked for nothing is missing; of several feeds one is.
        return ((), False) if row["reason"].startswith("without ") else None
    if by_ticker and state == "missing" and not whole(row):
        # The session's file is there, and lacks it: it lands the same again.
        return CHAIN[1:], False
    return ((), False) if state in REFRESHED else None


def whole(row: dict[str, Any]) -> bool:
    """Whether a row of a report of tickers tells of the whole session."""
    return "ticker" not in row or str(row["reason"]).startswith("the whole session")


def better(row: dict[str, Any], best: str) -> tuple[str, ...]:
    """The sources above those that a session came from, up to the best that is wanted."""
    rank = max((RANK.get(one, 0) for one in row["source"].split(", ")), default=0)
    return tuple(source for source in CHAIN if rank < RANK[source] <= RANK.get(best, 3))


def days_of(table: str, row: dict[str, Any]) -> list[date]:
    """The sessions that a row of a report is about."""
    return [row["session"]] if "session" in row else sessions.between(find(table), row["first"], row["last"])


def merged(table: str, parts: dict[tuple[Any, ...], set[date]]) -> Iterable[Wanted]:
    """Tickers that want the same sessions the same way, together."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for (state, legs, again, ticker), days in parts.items():
        alike.setdefault((state, legs, again, tuple(sorted(days))), []).append(ticker)
    for (state, legs, again, days), names in sorted(alike.items(), key=lambda item: item[0][3]):
        yield Wanted(table, days, state, tuple(sorted(filter(None, names))), legs, again)
