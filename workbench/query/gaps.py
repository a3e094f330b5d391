"""Gaps with reasons: what became of every session of a table that should be in the lake, and what would mend it.

A session is judged from what is on record: the calendar, the landing records, what stands in quarantine, the attempts of the journal, and
the errata. Nothing is asked of any source.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from workbench import sessions
from workbench.errors import BadRange, UsageError
from workbench.lake.journal import Attempt, Journal
from workbench.lake.landings import Landing
from workbench.lake.quarantine import Refusal
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.lake.tiering import lost_landings
from workbench.query.report import Report
from workbench.query.status import open_refusals
from workbench.tables import Table, errata, find, locate
from workbench.tables.answers import RANK

# A due file that is not listed is late for so long, and missing from then on.
LATE = timedelta(hours=24)
# Sessions of which what was asked for is not all there; the others are as they should be, or explained.
PROBLEMS = ("quarantined", "failed", "late", "missing", "not entitled", "not fetched", "fallback only", "in part", "lost", "reset")
# What a report of gaps leaves out, unless everything is asked for.
QUIET = ("landed", "closed", "archived", "dropped")
RETIRED = {
    "archived": "nothing: its rows are in ohlcv_archive",
    "dropped": "nothing: retention dropped it",
    "reset": "refresh",
    "superseded": "refresh",
}


@dataclass(frozen=True)
class Gap:
    """What became of a session. `since` is an instant, `attempts` how often it was tried in vain, `mends` what would mend it."""

    session: date
    state: str
    reason: str = ""
    source: str = ""
    since: str | None = None
    attempts: int = 0
    mends: str = ""


@dataclass
class Facts:
    """What is on record of a session: landings, refusals that still stand, attempts that landed nothing, and objects gone from the disk."""

    landings: list[Landing] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    lost: list[Landing] = field(default_factory=list)


def gaps(
    lake: Lake,
    snapshots: Mapping[str, Snapshot],
    table: str,
    start: date | None = None,
    end: date | None = None,
    *,
    everything: bool = False,
    best: str = "polygon_s3",
    now: datetime | None = None,
) -> Report:
    """Every session of a table that is not simply there, from `start` to `end` (default: the first on record to the newest due), and why.

    `everything` adds the landed, the closed and the retired. `best` is the source that sessions should come from: what came from a weaker
    one is "fallback only". `report.facts["problems"]` counts sessions that a user would want mended. Raises `UnknownName`, `UsageError` for
    a table without sessions, and `BadRange`.
    """
    declared = find(table)
    if not declared.feeds:
        raise UsageError(f"{table} is not filled session by session; nothing was done. Ask for the gaps of a table that flat files fill.")
    moment = now or datetime.now(UTC)
    facts = on_record(lake, snapshots[table], declared)
    first, last, notes = span(declared, facts, start, end, moment)
    judged = told(declared, facts, first, last, best, moment, everything=everything)
    return report(lake, declared, judged, (first, last), notes, best, everything=everything)


def told(
    declared: Table, facts: Mapping[date, Facts], first: date, last: date, best: str, moment: datetime, *, everything: bool = False
) -> list[Gap]:
    """What became of every session of a table from `first` to `last`; of every day, if `everything` is asked for."""
    expected = set(sessions.between(declared, first, last))
    days = sorted(expected | {day for day, known in facts.items() if first <= day <= last and (known.landings or known.refused)})
    if everything:
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    nothing = Facts()
    return [judge(declared, day, facts.get(day, nothing), day in expected, best, moment) for day in days]


def on_record(lake: Lake, snapshot: Snapshot, table: Table) -> dict[date, Facts]:
    """All that the lake has on record of a table's sessions."""
    facts: dict[date, Facts] = defaultdict(Facts)
    landings = lake[table.name].landings(snapshot.version)
    for one in landings.values():
        facts[one.session].landings.append(one)
    for refusal in open_refusals(lake, table.name):
        facts[refusal.session].refused.append(refusal)
    for attempt in Journal(lake.root).attempts(dataset=table.name):
        if attempt.session:
            facts[attempt.session].attempts.append(attempt)
    for key in lost_landings(lake[table.name]) & landings.keys():
        facts[landings[key].session].lost.append(landings[key])
    return facts


def span(table: Table, facts: Mapping[date, Facts], start: date | None, end: date | None, now: datetime) -> tuple[date, date, list[str]]:
    """The dates to report, and what to say of them. Raises `BadRange`."""
    if start and end and end < start:
        raise BadRange(f"the range ends ({end}) before it starts ({start}); nothing was done. Turn the two dates round.")
    newest, due, notes = sessions.today(), sessions.last_due(now), list[str]()
    there = [day for day, known in facts.items() if known.landings]
    first = start or min(there or facts, default=end or due)
    last = end or max((due, *there))
    if last > newest:
        notes.append(f"The range ends in the future ({last}); it was clipped to {newest}.")
        last = newest
    if last < first:
        raise BadRange(
            f"{table.name} has no sessions {f'from {first}' if start else f'up to {end}'} yet; nothing was done. Give other dates."
        )
    if not there:
        notes.append(f"{table.name} holds nothing yet.")
    return first, last, notes


def report(
    lake: Lake, table: Table, judged: Sequence[Gap], ends: tuple[date, date], notes: Sequence[str], best: str, *, everything: bool = False
) -> Report:
    """Judged sessions as a report: its title counts them all, its rows are those that say something."""
    counts = Counter(one.state for one in judged)
    problems = sum(counts[state] for state in PROBLEMS)
    asked = len(judged) - counts["closed"]
    there = counts["landed"] + counts["replaced"]
    told = ", ".join(f"{n:,} {state}" for state, n in sorted(counts.items()) if state not in ("landed", "closed"))
    title = f"{table.name}: {there:,} of {asked:,} sessions from {ends[0]} to {ends[1]} landed{f'; {told}' * bool(told)}"
    rows = [{**vars(one)} for one in judged if everything or one.state not in QUIET]
    return Report(
        title,
        rows,
        ("since", "attempts", "source", "mends"),
        root=lake.where,
        table=table.name,
        best=best,
        problems=problems,
        states=dict(counts),
        notes=list(notes),
    )


# ---------------------------------------------------------------------- judge


def judge(table: Table, day: date, known: Facts, expected: bool, best: str, now: datetime) -> Gap:
    """What became of a session, from what is on record of it."""
    if expected and len(known.landings) == 1 and not (known.refused or known.lost) and plainly(known.landings[0], best, len(table.feeds)):
        [one] = known.landings
        return Gap(day, "landed", source=one.source, since=one.landed_at)
    held = [one for one in known.landings if not one.retired]
    rank = max((RANK.get(one.source, 0) for one in held), default=0)
    refused = [one for one in known.refused if one.whole and RANK.get(one.source, 0) >= rank]
    if refused:
        return quarantined(day, refused, held, known.attempts)
    if known.lost:
        newest = max(one.landed_at for one in known.lost)
        return Gap(day, "lost", "its Parquet file is gone from the disk", sources(known.lost), newest, mends="refresh")
    if held:
        return landed(table, day, held, known, expected, best)
    # What a better source took the place of is told by the better one, or else is gone with it.
    gone = [one for one in known.landings if one.retired]
    if gone:
        then = next((state for state in ("reset", "archived", "dropped") if any(one.retired == state for one in gone)), "reset")
        return Gap(day, then, f"landed {newest_of(gone)[:10]}", sources(gone), newest_of(gone), mends=RETIRED[then])
    if not expected:
        return Gap(day, "closed", sessions.why_closed(table, day), mends="nothing: closed")
    return absent(table, day, known.attempts, now)


def plainly(one: Landing, best: str, feeds: int) -> bool:
    """Whether of a session's only landing there is nothing to say, as of nearly every one there is: years of them are told in one look."""
    if feeds > 1 or one.retired or one.notes or one.quarantined or one.asked or one.version > 1:
        return False
    return RANK.get(one.source, 0) >= RANK.get(best, 3)


def quarantined(day: date, refused: Sequence[Refusal], held: Sequence[Landing], attempts: Sequence[Attempt]) -> Gap:
    """A session of which a file was refused."""
    newest = max(refused, key=lambda one: one.at)
    also = "; the lake still holds the version before" if any(one.key == newest.key for one in held) else ""
    if held and not also:
        also = f"; the lake holds what {sources(held)} gave"
    return Gap(
        day,
        "quarantined",
        f"{newest.reason}{also}",
        newest.source,
        newest.at,
        len(tried(attempts)),
        "refresh with again, if it was mended; it lands by itself once it is published anew",
    )


def landed(table: Table, day: date, held: Sequence[Landing], known: Facts, expected: bool, best: str) -> Gap:
    """A session of which the table holds rows."""
    wanted = RANK.get(best, max(RANK.values()))
    good = [one for one in held if RANK.get(one.source, 0) >= wanted]
    told = list(dict.fromkeys(note for one in good or held for note in one.notes))
    if not expected:
        told.insert(0, f"no session by the calendar: {sessions.why_closed(table, day)}")
    bad = sum(one.quarantined for one in held)
    if bad:
        told.append(f"{bad:,} row{'s' * (bad != 1)} refused")
    since, source = newest_of(held), sources(held)
    tries = tried(known.attempts)
    if not good:
        asked = sorted({ticker for one in held for ticker in one.asked})
        whole = any(not one.asked for one in held)
        told = [*([] if whole else [asked_for(asked)]), *told, *why_weaker(known.attempts, held)]
        mends = f"refresh from {' or '.join(better_than(held, best))}"
        return Gap(day, "fallback only" if whole else "in part", "; ".join(told), source, since, len(tries), mends)
    # A regular expression for each session of years is worth asking only where a session has several files.
    there = {place[1] for one in good if (place := locate(one.key))} if len(table.feeds) > 1 else set(table.feeds)
    lacking = [feed.venue or feed.prefix for feed in table.feeds if feed not in there]
    some = [one for one in good if one.asked]
    if lacking and len(lacking) < len(table.feeds):
        return Gap(day, "in part", "; ".join([f"without {', '.join(lacking)}", *told]), source, since, len(tries), "refresh")
    if some and len(some) == len(good):
        asked = sorted({ticker for one in some for ticker in one.asked})
        told.insert(0, asked_for(asked))
        return Gap(day, "in part", "; ".join(told), source, since, len(tries), "refresh with more symbols, or from a flat-file source")
    versions = max(one.version for one in good)
    if versions > 1:
        replaced = max((one for one in good if one.version > 1), key=lambda one: one.landed_at)
        reason = "; ".join([f"published again: version {versions} since {replaced.landed_at[:10]}", *told])
        return Gap(day, "replaced", reason, source, replaced.landed_at, mends="nothing: the lake holds the newest version")
    return Gap(day, "landed", "; ".join(told), source, since)


def absent(table: Table, day: date, attempts: Sequence[Attempt], now: datetime) -> Gap:
    """A session of which the table holds nothing: by what was said when it was last asked for."""
    due, tries = sessions.due_at(day), tried(attempts)
    if day > sessions.last_due(now):
        return Gap(day, "not yet due", f"due {due:%Y-%m-%d %H:%M} New York", mends=f"wait until {due:%Y-%m-%d %H:%M} New York")
    symptoms = [f"known to be missing: {one.symptom}" for one in errata.for_file(table.name, day) if one.action == "known missing"]
    last = last_said(attempts)
    said = {source: one for source, one in last.items() if one.status in ("failed", "no_data", "started", "quarantined")}
    reason = "; ".join([*symptoms, *(f"{source}: {said_by(one)}" for source, one in said.items())])
    since = min((moment(one) for one in tries), default=None)
    gap = {"reason": reason, "source": ", ".join(said), "since": since, "attempts": len(tries)}
    kinds = {kind(one) for one in said.values()}
    if "failed" in kinds:
        return Gap(day, "failed", **gap, mends="refresh")  # type: ignore[arg-type]
    absences = [one for one in said.values() if kind(one) == "absent"]
    # Without a row of some tickers, nothing is known of the session.
    listed_nowhere = [one for one in absences if not one.symbol and moment(one) >= due.astimezone(UTC).isoformat()]
    if listed_nowhere or symptoms:
        if not symptoms and now - due < LATE:
            return Gap(day, "late", **gap, mends=f"refresh later; missing from {due + LATE:%Y-%m-%d %H:%M} New York on")  # type: ignore[arg-type]
        return Gap(day, "missing", **gap, mends="refresh, should it be published, or from another source")  # type: ignore[arg-type]
    if absences and all(one.symbol for one in absences):
        gap["reason"] = f"{asked_for(sorted({one.symbol for one in tries if one.symbol}))}; {reason}"
    elif "absent" in kinds:
        gap["reason"] = f"last asked for before it was due; {reason}"
    elif "barred" in kinds:
        return Gap(day, "not entitled", **gap, mends="a plan that covers it, or another source")  # type: ignore[arg-type]
    else:
        gap["reason"] = reason or "no source was asked for it yet"
    return Gap(day, "not fetched", **gap, mends="refresh")  # type: ignore[arg-type]


def kind(one: Attempt) -> str:
    """What an attempt in vain came to: the source has it not, the plan does not cover it, or something failed."""
    name = (one.reason or "").partition(":")[0].strip()
    if one.status == "no_data" or name == "NotPublished":
        return "absent"
    return "barred" if name == "NotEntitled" else "failed"


def said_by(one: Attempt) -> str:
    """What an attempt in vain said, without the error's class."""
    if one.status == "started":
        return f"a refresh that began {one.started_at[:16]} has not finished"
    return one.reason or {"no_data": "it has no data"}.get(one.status, one.status)


def moment(one: Attempt) -> str:
    """When an attempt ended, or else began."""
    return one.finished_at or one.started_at


def tried(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts that came to nothing."""
    return [one for one in attempts if one.status in ("failed", "no_data", "started", "quarantined")]


def newest_by_source(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """The newest attempt of each source, the best source first; one that began and came to an end is told by its end."""
    newest = {
        one.source: one for one in sorted(attempts, key=lambda one: (moment(one), one.status != "started")) if one.status != "skipped"
    }
    return dict(sorted(newest.items(), key=lambda item: -RANK.get(item[0], 0)))


def last_said(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """What each source came to last, the best source first: by its own attempt, or by another's in its place in a later run."""
    found = newest_by_source(attempts)
    for source, one in passed_over(attempts).items():
        own = found.get(source)
        if own is None or (own.run_id != one.run_id and moment(own) < moment(one)):
            found[source] = one
    return dict(sorted(found.items(), key=lambda item: -RANK.get(item[0], 0)))


def passed_over(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """The sources that others were asked in the place of: what they lacked has no attempt of its own."""
    lacked = sorted((one for one in attempts if one.fallback_from), key=moment)
    found = {
        # Flat files are of the whole market, whatever was asked of others in their place.
        one.fallback_from: replace(
            one,
            source=one.fallback_from,
            status="no_data",
            reason=None,
            symbol=one.symbol if RANK.get(one.fallback_from, 0) < max(RANK.values()) else None,
        )
        for one in lacked
        if one.fallback_from
    }
    return dict(sorted(found.items(), key=lambda item: -RANK.get(item[0], 0)))


def why_weaker(attempts: Iterable[Attempt], held: Iterable[Landing]) -> list[str]:
    """Why a better source than those that landed did not, as it said last."""
    rank = max(RANK.get(one.source, 0) for one in held)
    landings = [
        Attempt(one.run, "refresh", one.table, one.source, "success", fallback_from=one.fallback_from or None, finished_at=one.landed_at)
        for one in held
    ]
    last = last_said([*attempts, *landings])
    return [f"{source}: {said_by(one)}" for source, one in last.items() if RANK.get(source, 0) > rank and one.status != "success"]


def better_than(held: Iterable[Landing], best: str) -> list[str]:
    """The sources of the chain above those that landed, up to the best that is wanted."""
    rank = max(RANK.get(one.source, 0) for one in held)
    chain = [source for source in ("polygon_s3", "polygon_api", "yahoo") if rank < RANK[source] <= RANK.get(best, 3)]
    return chain if best in chain or not chain else [best, *chain[1:]]


def sources(held: Iterable[Landing]) -> str:
    """Where landings came from."""
    return ", ".join(sorted({one.source for one in held}, key=lambda source: (-RANK.get(source, 0), source)))


def newest_of(held: Iterable[Landing]) -> str:
    """When the newest of some landings was landed."""
    return max(one.landed_at for one in held)


def asked_for(tickers: Collection[str]) -> str:
    """That a session holds only some tickers, of which there may be many."""
    more = f" and {len(tickers) - 3:,} more" * (len(tickers) > 3)
    return f"only {len(tickers):,} ticker{'s' * (len(tickers) != 1)} {'were' if len(tickers) > 1 else 'was'} asked for: {', '.join(list(tickers)[:3])}{more}"
