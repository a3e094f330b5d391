"""Trades against the minute file: which minutes the bars made of them do not equal, as findings, and the shares that are equal."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from workbench.query.report import Report

FIELDS = ("open", "high", "low", "close", "volume", "transactions")


@dataclass
class Compared:
    """What came of comparing: the minutes that differ, how many more do by session, the shares that are equal by ticker, and by session that of the volume."""

    differing: "pl.DataFrame"
    more: dict[date, int] = field(default_factory=dict)
    shares: list[dict[str, Any]] = field(default_factory=list)
    volume: dict[date, float] = field(default_factory=dict)
    unlisted: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it besides its findings."""
        return {"shares": self.shares, "unlisted": dict(self.unlisted)}


def compared(ask: Callable[..., Any], tickers: Sequence[str], days: Sequence[date]) -> Compared:
    """Compare the trades of some sessions, one by one: so much is held at a time."""
    from workbench.query import built

    found, shares, notes = list[dict[str, Any]](), list[dict[str, Any]](), list[str]()
    volume, strange, alone, unlisted = dict[date, float](), Counter[str](), list[date](), dict[date, int]()
    for day in days:
        told: Report = built.compared(ask, tickers or None, day, day)
        found += [finding(row) for row in told]
        if (more := told.facts["differing"] - len(told)) > 0:
            unlisted[day] = more
            notes.append(f"{more:,} more minutes differ on {day} than are listed.")
        shares += told.facts["shares"]
        strange.update(told.facts["unlisted"])
        alone += told.facts["not_compared"]
        if told.facts["shares"]:
            volume[day] = pooled(told.facts["shares"])["volume"]
    if alone:
        have = "sessions have" if len(alone) > 1 else "session has"
        notes.append(
            f"{len(alone):,} {have} trades and no minutes to compare them with: {', '.join(map(str, alone[:3]))}{'…' * (len(alone) > 3)}"
        )
    if strange:
        notes.append(f"{sum(strange.values()):,} trades have conditions that no rule is known of: {', '.join(sorted(strange)[:10])}")
    by_ticker = defaultdict(list)
    for one in shares:
        by_ticker[one["ticker"]].append(one)
    pooled_shares = [{"ticker": ticker, **pooled(some)} for ticker, some in sorted(by_ticker.items())]
    return Compared(frame(found), unlisted, pooled_shares, volume, strange, notes)


def pooled(shares: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of several tickers or sessions as one, by their minutes."""
    minutes = sum(one["minutes"] for one in shares)
    return {"minutes": minutes} | {name: sum(one[name] * one["minutes"] for one in shares) / minutes for name in (*FIELDS, "equal")}


def finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """A minute that differs, as a finding; one that only one side has weighs most."""
    fields = row["differs"].split(", ")
    lacking = next((side for side, name in (("minute file", "close"), ("trades", "built_close")) if row[name] is None), None)
    if lacking:
        given = "built_" if lacking == "minute file" else ""
        told = f"the {lacking} {'has' if given else 'make'} no bar; the {'trades make' if given else 'minute file has'} one of {number(row[f'{given}volume'])} shares at {number(row[f'{given}close'])}"
        weight = 1e9 + (row[f"{given}volume"] or 0.0)
    else:
        told = "; ".join(f"{name} {number(row[name])} in the minute file, {number(row[f'built_{name}'])} of its trades" for name in fields)
        weight = abs(row["volume"] - row["built_volume"])
    return {
        "check_name": "built",
        "severity": "odd",
        **{name: row[name] for name in ("ticker", "date", "timestamp")},
        "row_count": 1,
        "weight": float(weight),
        "told": told,
    }


def number(value: float | None) -> str:
    """A number as it is told."""
    return "none" if value is None else f"{value:,.10g}"


def frame(found: Sequence[Mapping[str, Any]]) -> "pl.DataFrame":
    """Findings as the rules of bars give them."""
    import polars as pl

    # Times are told where the session tells them.
    zone = getattr(found[0]["timestamp"].tzinfo, "key", "UTC") if found else "UTC"
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "check_name": pl.String,
        "severity": pl.String,
        "ticker": pl.String,
        "date": pl.Date,
        "timestamp": pl.Datetime("us", zone),
        "row_count": pl.Int64,
        "weight": pl.Float64,
        "told": pl.String,
    }
    return pl.DataFrame({name: [one[name] for one in found] for name in schema}, schema=schema)
