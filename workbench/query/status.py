"""What the lake holds: status of every table, coverage of one, session by session."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any

from workbench import sessions
from workbench.errors import BadRange, UsageError
from workbench.lake import quarantine
from workbench.lake.landings import Landing
from workbench.lake.quarantine import Refusal
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.report import Report, sized
from workbench.tables import TABLES, find, quote
from workbench.tables.answers import RANK

# Landings that say no more of a session: a better source's rows took their place, or a reset took them out.
GONE = ("superseded", "reset")
FROM = "from "


def status(lake: Lake, snapshots: Mapping[str, Snapshot], best: str = "polygon_s3") -> Report:
    """Every table that holds something: rows, sessions, first and last, files, bytes, freshness and what was refused.

    `best` is the source that sessions should come from: what only a weaker one gave is a fallback's.
    """
    due = sessions.last_due()
    rows = []
    for name, table in TABLES.items():
        shot = snapshots[name]
        landings = list(lake[name].landings(shot.version).values()) if shot.version >= 0 else []
        refused = open_refusals(lake, name)
        if shot.stats is None and not refused:
            continue
        # Facts by key: the day on which they were gathered is no session.
        days = set() if table.kind == "reference" else {one.session for one in landings if one.held} | spans(shot)
        last = max(days, default=None)
        behind = sessions.between(table, last, due)[1:] if last and table.feeds else []
        rows.append(
            {
                "table": name,
                "rows": shot.rows,
                "sessions": len(days) if table.feeds else None,
                "first": min(days, default=None),
                "last": last,
                "behind": len(behind),
                "fallback_only": len(fallback_only(landings, best)) if table.feeds else None,
                "files": 0 if shot.stats is None else len(shot.stats),
                "bytes": shot.size,
                "refused_files": sum(one.whole for one in refused),
                "refused_rows": sum(one.rows for one in refused),
                "landed_at": max((one.landed_at for one in landings), default=None),
            }
        )
    total = sum(row["rows"] for row in rows)  # type: ignore[misc]
    size = sum(row["bytes"] for row in rows)  # type: ignore[misc]
    ends = [day for row in rows for day in (row["first"], row["last"]) if isinstance(day, date)]
    span = f", sessions {min(ends)} to {max(ends)}" if ends else ""
    title = f"{lake.where}: {total:,} rows in {len(rows)} tables, {sized(size)}{span}"
    return Report(title, rows, ("files", "landed_at", "bytes"), root=lake.where, total_rows=total, total_bytes=size)


def spans(shot: Snapshot) -> set[date]:
    """The first and last session of each file of a snapshot."""
    if shot.stats is None:
        return set()
    return {day for name in ("first", "last") for day in shot.stats[name].unique().to_pylist()}


def weaker(one: Landing, best: str) -> bool:
    """Whether a landing came from a source that stands behind the one that is wanted."""
    return ":" in one.key and RANK.get(one.source, 0) < RANK.get(best, max(RANK.values()))


def fallback_only(landings: Iterable[Landing], best: str) -> set[date]:
    """The sessions of which only rows of sources behind the best are held."""
    behind, good = set[date](), set[date]()
    for one in landings:
        if one.held:
            (behind if weaker(one, best) else good).add(one.session)
    return behind - good


def coverage(
    lake: Lake, snapshot: Snapshot, name: str, start: date | None = None, end: date | None = None, best: str = "polygon_s3"
) -> Report:
    """Every session of a table from `start` to `end` (default: its first to the newest due): landed, missing, refused, due or not.

    Sessions are the calendar's, and any other date that landed. One whose rows are a fallback's only (`best` is the source that they should
    come from) says whose; one of which only some tickers were asked for landed in part.
    """
    table = find(name)
    if table.kind == "reference":
        raise UsageError(
            f"{name} holds facts by key and has no sessions; nothing was done. `workbench status` tells when it was refreshed."
        )
    if not table.feeds:
        raise UsageError(f"{name} is filled from other tables and has no sessions of its own; nothing was done. Ask for their coverage.")
    landings = [one for one in lake[name].landings(snapshot.version).values() if one.retired not in GONE]
    refused = open_refusals(lake, name)
    known = {one.session for one in landings} | {one.session for one in refused}
    due = sessions.last_due()
    first, last = start or min(known, default=due), end or max((*known, due))
    if last < first and not (start and end):
        raise BadRange(f"{name} has no sessions {f'from {start}' if start else f'up to {end}'} yet; nothing was done. Give other dates.")
    if last < first:
        raise BadRange(f"the range ends ({last}) before it starts ({first}); nothing was done. Turn the two dates round.")
    days = sorted({*sessions.between(table, first, last), *(day for day in known if first <= day <= last)})
    by_day: dict[date, list[Landing]] = defaultdict(list)
    for one in landings:
        by_day[one.session].append(one)
    rows = []
    for day in days:
        landed = by_day.get(day, [])
        bad = [one for one in refused if one.session == day]
        missing = len(table.feeds) - sum(":" not in one.key for one in landed)
        rows.append(
            {
                "session": day,
                "state": state(landed, bad, missing, best, is_due=day <= due),
                "rows": sum(one.held for one in landed),
                "refused": sum(one.quarantined for one in landed),
                "source": ", ".join(sorted({one.source for one in landed})),
                "landed_at": max((one.landed_at for one in landed), default=None),
                "reason": "; ".join([one.reason for one in bad] + [note for one in landed for note in one.notes]),
            }
        )
    landed_days = sum(row["state"] in ("landed", "landed in part") for row in rows)
    partly = sum(row["state"] == "landed in part" for row in rows)
    fallback = sum(str(row["state"]).startswith(FROM) for row in rows)
    retired = sum(row["state"] in ("archived", "dropped") for row in rows)
    also = (
        [f"{partly} of them in part"] * bool(partly)
        + [f"{fallback} from a fallback only"] * bool(fallback)
        + [f"{retired} retired since"] * bool(retired)
    )
    title = f"{name}: {', '.join([f'{landed_days} of {len(rows)} sessions from {first} to {last} landed', *also])}"
    return Report(title, rows, ("landed_at", "source"), root=lake.where, table=name)


def tickers(ask: Callable[..., Any], tables: Sequence[str], symbols: Sequence[str]) -> Report:
    """Rows, first and last session of each ticker in each table that holds some."""
    rows = []
    for table in tables:
        names = {column.name for column in find(table).columns}
        if "ticker" not in names:
            continue
        span = "min(date), max(date)" if "date" in names else "NULL, NULL"
        query = f"SELECT ticker, count(*), {span} FROM {quote(table)} WHERE ticker IN (SELECT unnest($symbols)) GROUP BY ticker"
        found = {ticker: held for ticker, *held in ask(query, symbols=list(symbols)).fetchall()}
        rows += [dict(zip(("ticker", "table", "rows", "first", "last"), (s, table, *found[s]), strict=True)) for s in symbols if s in found]
    absent = [symbol for symbol in symbols if symbol not in {row["ticker"] for row in rows}]
    notes = [f"{symbol} has no rows in {' or '.join(tables) or 'this lake'}{near(ask, tables, symbol)}" for symbol in absent]
    return Report(f"{len(symbols) - len(absent)} of {len(symbols)} tickers have rows", rows, notes=notes)


def near(ask: Callable[..., Any], tables: Sequence[str], symbol: str) -> str:
    """The tickers of the first table that are written most alike; case matters, so another case is the nearest."""
    if not tables:
        return ""
    known = [ticker for (ticker,) in ask(f"SELECT DISTINCT ticker FROM {quote(tables[0])}").fetchall()]
    alike = [one for one in known if one.lower() == symbol.lower()] or get_close_matches(symbol, known, n=3)
    return f"; did you mean {' or '.join(alike)}?" if alike else ""


def state(landed: list[Landing], refused: list[Refusal], missing: int, best: str, *, is_due: bool) -> str:
    """What became of a session."""
    if any(one.whole for one in refused):
        return "quarantined"
    if landed and all(one.retired for one in landed):
        return landed[0].retired
    if landed and all(weaker(one, best) for one in landed):
        return f"{FROM}{' and '.join(sorted({one.source for one in landed}))} only"
    if landed and all(":" in one.key for one in landed):
        return "landed in part" if all(one.asked for one in landed if not weaker(one, best)) else "landed"
    if landed:
        return "landed" if not missing else "landed in part"
    return "missing" if is_due else "not yet due"


def open_refusals(lake: Lake, name: str, landings: Mapping[str, Landing] | None = None) -> list[Refusal]:
    """What stands in quarantine of a table and was not made good: no other version of the object was landed since.

    `landings` are the table's records, for who has them; else they are read where there is something to compare with them.
    """
    refused = list(quarantine.refusals(lake.root, name))
    known = landings if landings is not None or not refused else lake[name].landings()
    return [one for one in refused if stands(one, (known or {}).get(one.key))]


def stands(refusal: Refusal, landing: Landing | None) -> bool:
    """Whether a refusal still matters: of rows, while that version of the object is the landed one; of a file, until one is."""
    if landing is None:
        return True
    if refusal.whole:
        return landing.landed_at < refusal.at
    return refusal.etag == landing.etag and landing.retired != "reset"
