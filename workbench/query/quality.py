"""What is odd in the rows of a table, session by session, and what each session is like: `Workbench.quality`. Nothing is changed.

The rules of bars are SQL, in `quality_of_days` and `quality_of_minutes`, with the limits in `quality_limits`; here they are asked, a month of minutes or
a quarter of days at a time, and counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from workbench import sessions
from workbench.errors import UsageError
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query import quality_trades
from workbench.query.gaps import Facts, on_record, span
from workbench.query.quality_sessions import CONDITIONS, Condition, conditions
from workbench.query.report import Report
from workbench.tables import Table, find, quote
from workbench.tables.spec import span_of

if TYPE_CHECKING:
    import polars as pl

Ask = Callable[..., Any]

# Sessions that are looked at if no range is given, and findings that are kept: counts are always of all.
SESSIONS, KEPT = 30, 1000
# Of trades so many: a session of the whole market is more rows than a month of minutes.
TRADE_SESSIONS = 5
# So many tickers are asked for one by one, which reads little; more of them with the whole market.
SINGLY = 8
TRADES = "stock_trades"
SEVERITIES = ("wrong", "odd", "note")


def quality(
    lake: Lake,
    ask: Ask,
    snapshots: Mapping[str, Snapshot],
    table: str,
    first: date | None = None,
    last: date | None = None,
    tickers: Sequence[str] = (),
    *,
    best: str = "polygon_s3",
    now: datetime | None = None,
) -> Report:
    """A row for each session, from `first` to `last` (default: the newest 30 that are held), with its condition and the findings of each check.

    `facts["findings"]` are the worst of each kind first, `facts["counts"]` counts all of them; `facts["problems"]` counts sessions that are not good
    and findings that are not mere notes. `ask` runs SQL (`bench.sql`). Raises `UnknownName`, `UsageError` for a table that holds neither bars nor
    the trades of stocks, and `BadRange`.
    """
    declared = find(table)
    if not declared.feeds or (declared.kind != "bars" and table != TRADES):
        raise UsageError(
            f"{table} holds neither bars that files fill nor trades of stocks: there is nothing to check; nothing was read. "
            "Ask for the quality of a table of day or minute bars, or of stock_trades."
        )
    moment = now or datetime.now(UTC)
    facts = on_record(lake, snapshots[table], declared)
    held = sorted(day for day, known in facts.items() if any(one.held for one in known.landings))
    start, end, notes = ranged(declared, facts, held, first, last, moment)
    told = conditions(declared, facts, start, end, best, moment)
    names = list(dict.fromkeys(tickers))
    inside = [day for day in held if start <= day <= end]
    found, facts_of, volume = Findings(), dict[str, Any](), dict[date, float]()
    if table == TRADES:
        made = quality_trades.compared(ask, names, inside)
        found.add(made.differing)
        found.count("built", made.more)
        facts_of, volume = made.facts, made.volume
        notes += made.notes
    else:
        for low, high in stretches(declared, inside):
            found.add(looked(ask, declared, low, high, names))
    rows = {one.session: one.rows for one in told}
    if names:
        rows, absent = counted_rows(ask, declared, names, start, end)
        if absent:
            have = "has" if len(absent) == 1 else "have"
            notes.append(f"{', '.join(absent)} {have} no rows in {table} from {start} to {end}; case matters.")
    limits = dict(ask("SELECT name, value FROM quality_limits").fetchall())
    judged = [degraded(one, rows.get(one.session, 0), found, limits, volume.get(one.session)) for one in told]
    return report(lake, declared, judged, rows, found, (start, end), notes, facts_of)


def ranged(
    table: Table, facts: Mapping[date, Facts], held: Sequence[date], first: date | None, last: date | None, now: datetime
) -> tuple[date, date, list[str]]:
    """The first and last date to look at, and what to say of them. Raises `BadRange`."""
    if not first and (there := [day for day in held if not last or day <= last]):
        first = there[-(TRADE_SESSIONS if table.name == TRADES else SESSIONS) :][0]
    start, end, notes = span(table, facts, first, last, now)
    if last or not held or held[-1] < start:
        return start, end, notes
    if since := sessions.between(table, held[-1], end)[1:]:
        count = f"{len(since):,} sessions after {held[-1]} are" if len(since) > 1 else f"1 session after {held[-1]} is"
        notes.append(f"{count} not in the lake: see its gaps.")
    return start, held[-1], notes


# ---------------------------------------------------------------------- look


class Findings:
    """Findings, counted by session and kind; of each kind the worst are kept."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[date, str]] = Counter()
        self.rows: Counter[tuple[date, str, str]] = Counter()
        self.totals: dict[tuple[str, str], list[int]] = {}
        self._kept: dict[str, pl.DataFrame] = {}

    def add(self, some: "pl.DataFrame") -> None:
        """Count some more, and keep the worst."""
        import polars as pl

        for (kind,), own in some.group_by("check_name"):
            kept = [self._kept[kind]] if kind in self._kept else []
            self._kept[kind] = pl.concat([*kept, own]).sort("weight", descending=True, nulls_last=True, maintain_order=True).head(KEPT)
        by = some.group_by("date", "check_name", "severity").agg(pl.len(), pl.col("row_count").sum())
        for day, kind, severity, count, rows in by.iter_rows():
            self.counts[day, kind] += count
            self.rows[day, severity, kind] += rows
            total = self.totals.setdefault((kind, severity), [0, 0])
            total[0] += count
            total[1] += rows

    def count(self, kind: str, more: Mapping[date, int]) -> None:
        """Count odd rows of a kind that are not listed."""
        for day, count in more.items():
            self.counts[day, kind] += count
            self.rows[day, "odd", kind] += count
            total = self.totals.setdefault((kind, "odd"), [0, 0])
            total[0] += count
            total[1] += count

    @property
    def kinds(self) -> list[str]:
        """The checks that found something, the gravest first."""
        return list(dict.fromkeys(kind for kind, _ in sorted(self.totals, key=lambda one: (SEVERITIES.index(one[1]), one[0]))))

    @property
    def grave(self) -> int:
        """How many are more than a note."""
        return sum(count for (_, severity), (count, _) in self.totals.items() if severity != "note")

    def worst(self) -> list[dict[str, Any]]:
        """Those that are kept: the worst of each kind, then the next of each, and so on."""
        listed = [
            (rank, at, one)
            for at, kind in enumerate(self.kinds)
            if kind in self._kept
            for rank, one in enumerate(self._kept[kind].to_dicts())
        ]
        listed.sort(key=lambda one: one[:2])
        return [
            {"check": one.pop("check_name")}
            | {name: one[name] for name in ("ticker", "date", "timestamp", "told", "severity")}
            | {"rows": one["row_count"]}
            for _, _, one in listed[:KEPT]
        ]


def looked(ask: Ask, table: Table, first: date, last: date, tickers: Sequence[str]) -> "pl.DataFrame":
    """What is odd in the bars of a stretch."""
    import polars as pl

    rule = "quality_of_minutes" if table.name.endswith("_minute") else "quality_of_days"
    query = f"FROM {rule}($first, $last, symbol := $symbol, bars := '{table.name}')"
    given: dict[str, Any] = {"first": first, "last": last}
    if 0 < len(tickers) <= SINGLY:
        parts: list[pl.DataFrame] = [ask(query, **given, symbol=one).pl() for one in tickers]
        return pl.concat(parts)
    if tickers:
        query, given = f"{query} WHERE ticker IN (SELECT unnest($tickers))", given | {"tickers": list(tickers)}
    found: pl.DataFrame = ask(query, **given, symbol=None).pl()
    return found


def stretches(table: Table, held: Sequence[date]) -> Iterator[tuple[date, date]]:
    """The first and last session of each month of minutes, or quarter of days, that holds some: so much is looked at at once."""
    period = "month" if table.name.endswith("_minute") else "quarter"
    parts: dict[str, list[date]] = {}
    for day in held:
        parts.setdefault(table.chunk_of(day, period), []).append(day)  # type: ignore[arg-type]
    ends = [span_of(part) for part in parts]
    for n, days in enumerate(parts.values()):
        # Splits may execute on days of which there are no bars: neighbouring stretches meet.
        low = ends[n][0] if n else days[0]
        yield low, min(ends[n][1], held[-1])


def counted_rows(ask: Ask, table: Table, tickers: Sequence[str], first: date, last: date) -> tuple[Counter[date], list[str]]:
    """The rows of some tickers in each session, and the tickers that have none."""
    query = f"SELECT date, ticker, count(*) FROM {quote(table.name)} WHERE ticker IN (SELECT unnest($tickers)) AND date BETWEEN $first AND $last GROUP BY ALL"
    rows, there = Counter[date](), set[str]()
    for day, ticker, count in ask(query, tickers=list(tickers), first=first, last=last).fetchall():
        rows[day] += count
        there.add(ticker)
    return rows, [one for one in tickers if one not in there]


# ---------------------------------------------------------------------- tell


def degraded(one: Condition, rows: int, found: Findings, limits: Mapping[str, float], volume: float | None) -> Condition:
    """The condition of a session, in view of what was found in its rows; `volume` is the share of minutes whose volume its trades make."""
    if volume is not None:
        # Findings are minutes here, and rows trades.
        poor = volume < limits["built_volume"]
        return one.worse("degraded", f"its trades make the volume of {volume:.1%} of the minutes") if poor else one
    for kind in found.kinds:
        for severity in ("wrong", "odd"):
            count = found.rows[one.session, severity, kind]
            if rows and count > rows * limits[f"degraded_{severity}"]:
                one = one.worse("degraded", f"{severity} by {kind}: {count:,} of {rows:,} rows")
    return one


def report(
    lake: Lake,
    table: Table,
    judged: Sequence[Condition],
    rows: Mapping[date, int],
    found: Findings,
    ends: tuple[date, date],
    notes: Sequence[str],
    facts: Mapping[str, Any],
) -> Report:
    """Sessions and findings as a report."""
    states = Counter(one.condition for one in judged)
    kinds = found.kinds
    shown = [
        {
            "session": one.session,
            "condition": one.condition,
            "why": one.why,
            "rows": rows.get(one.session, 0),
            **{kind: found.counts[one.session, kind] for kind in kinds},
        }
        for one in judged
    ]
    said = ", ".join(f"{states[state]:,} {state}" for state in CONDITIONS if states[state]) or "none to look at"
    counts = [{"check": kind, "severity": severity, "findings": n, "rows": m} for (kind, severity), (n, m) in sorted(found.totals.items())]
    total = sum(one["findings"] for one in counts)  # type: ignore[misc]
    odd = ", ".join(f"{sum(n for (one, _), (n, _) in found.totals.items() if one == kind):,} {kind}" for kind in kinds)
    findings = f"{total:,} finding{'s' * (total != 1)} ({odd})" if total else "nothing odd"
    title = f"{table.name}, {len(shown):,} session{'s' * (len(shown) != 1)} from {ends[0]} to {ends[1]}: {said}; {findings}"
    problems = found.grave + sum(states[state] for state in CONDITIONS if state != "good")
    return Report(
        title,
        shown,
        ("rows", "why"),
        root=lake.where,
        table=table.name,
        conditions=dict(states),
        counts=counts,
        findings=found.worst(),
        problems=problems,
        notes=list(notes),
        **facts,
    )
