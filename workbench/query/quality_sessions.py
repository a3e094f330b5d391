"""The condition of a session: good, late, degraded or missing, from what is on record of it; and the view that shows it for all tables.

Nothing of the rows themselves is read here: what is odd in them is for `quality` to add.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from workbench import sessions
from workbench.errors import LakeError
from workbench.lake.journal import Journal, Stamp
from workbench.lake.snapshots import Snapshot
from workbench.lake.store import Lake
from workbench.query.gaps import LATE, Facts, Gap, judge, on_record
from workbench.tables import FED, Table, errata

if TYPE_CHECKING:
    import pyarrow as pa

CONDITIONS = ("good", "late", "degraded", "missing")
# States of a gap in which what was due is not there, whatever the reason.
ABSENT = ("missing", "late", "failed", "not entitled", "not fetched", "lost", "reset", "superseded")
# States in which it is there, but not from where or not as far as it should be.
WEAKENED = ("fallback only", "in part", "quarantined")


@dataclass(frozen=True)
class Condition:
    """What a session of a table is like, and why, as far as the records tell; `rows` are those that the table holds."""

    session: date
    condition: str
    why: str
    rows: int
    source: str = ""
    landed_at: str | None = None

    def worse(self, condition: str, why: str) -> "Condition":
        """The same with one more thing to say, which makes it no better."""
        worst = max(self.condition, condition, key=CONDITIONS.index)
        said = "; ".join(filter(None, (self.why, why)))
        return Condition(self.session, worst, said, self.rows, self.source, self.landed_at)


def conditions(
    table: Table, facts: Mapping[date, Facts], first: date, last: date, best: str, now: datetime | None = None
) -> list[Condition]:
    """The sessions of a table between two dates that are due or held, oldest first, each with its condition.

    A session that was due before the lake held anything of the table is not late: it was fetched as soon as it was asked for. What
    retention archived or dropped is left out. `best` is the source that sessions should come from.
    """
    moment = now or datetime.now(UTC)
    expected = set(sessions.between(table, first, last))
    begun = min((datetime.fromisoformat(one.landed_at) for known in facts.values() for one in known.landings), default=moment)
    days = sorted(expected | {day for day, known in facts.items() if first <= day <= last and known.landings})
    found = (
        condition(judge(table, day, facts.get(day, Facts()), day in expected, best, moment), table, facts.get(day, Facts()), begun)
        for day in days
    )
    return [one for one in found if one]


def condition(gap: Gap, table: Table, known: Facts, begun: datetime) -> Condition | None:
    """The condition of a session by what became of it; None if there is nothing to look at."""
    held = [one for one in known.landings if not one.retired]
    if gap.state in ABSENT or (gap.state == "quarantined" and not held):
        return Condition(gap.session, "missing", gap.reason or gap.state, 0, gap.source)
    if not held:
        return None
    told = Condition(gap.session, "good", "", sum(one.held for one in held), gap.source, max(one.landed_at for one in held))
    due = sessions.due_at(gap.session)
    for one in held:
        landed = datetime.fromisoformat(one.landed_at)
        if one.version > 1:
            told = told.worse("late", f"published again: version {one.version} landed on {one.landed_at[:10]}")
        elif landed > due + LATE and due >= begun:
            told = told.worse("late", f"landed on {one.landed_at[:10]}, {(landed - due).days} days after it was due")
    if gap.state in WEAKENED:
        told = told.worse("degraded", f"{gap.state}{': ' * bool(gap.reason)}{gap.reason}")
    elif refused := sum(one.quarantined for one in held):
        told = told.worse("degraded", f"{refused:,} row{'s' * (refused != 1)} refused")
    for erratum in errata.for_file(table.name, gap.session):
        # The other kinds are mended as they land, or do not land.
        if erratum.action == "note":
            told = told.worse("degraded", f"known of the file: {erratum.symptom}")
    return told


# ---------------------------------------------------------------------- view


class Sessions:
    """The conditions of every session that the lake should hold, made anew when a table or the journal moved."""

    def __init__(self, lake: Lake, shown: Mapping[str, Snapshot], journal: Journal, best: str):
        self.lake, self._shown, self._journal, self._best = lake, shown, journal, best
        self._lock = threading.Lock()
        self._made: tuple[object, pa.Table] | None = None

    def table(self) -> "pa.Table":
        """A row for each, as `schema` names the columns."""
        import polars as pl

        with self._lock:
            # DuckDB asks while the session may be declaring views: its lock is not ours to take.
            known = dict(self._shown)
            shots = {table.name: shot for table in FED if (shot := known.get(table.name)) and shot.version >= 0}
            # A session becomes due without anything else moving.
            mark = {name: shot.version for name, shot in shots.items()}, self._stamp(), sessions.last_due()
            if self._made is None or self._made[0] != mark:
                rows = [(name, *row) for name, shot in shots.items() for row in self._of(name, shot)]
                kinds = (pl.String, pl.Date, pl.String, pl.String, pl.Int64, pl.String, pl.String)
                told = pl.DataFrame(rows, schema=dict(zip(schema().names, kinds, strict=True)), orient="row")
                told = told.with_columns(pl.col("landed_at").str.to_datetime(time_unit="us", time_zone="UTC"))
                self._made = mark, told.to_arrow().cast(schema())
            return self._made[1]

    def _of(self, name: str, shot: Snapshot) -> Iterable[tuple[object, ...]]:
        table = next(one for one in FED if one.name == name)
        facts = on_record(self.lake, shot, table)
        there = [day for day, known in facts.items() if known.landings]
        if there:
            for one in conditions(table, facts, min(there), max(sessions.last_due(), *there), self._best):
                yield one.session, one.condition, one.why or None, one.rows, one.source or None, one.landed_at

    def _stamp(self) -> Stamp | None:
        try:
            return self._journal.stamp()
        except LakeError:
            # What cannot be read is told of when it is asked for.
            return None


def schema() -> "pa.Schema":
    """The columns of the view as Arrow has them."""
    import pyarrow as pa

    kinds = (pa.string(), pa.date32(), pa.string(), pa.string(), pa.int64(), pa.string(), pa.timestamp("us", "UTC"))
    names = ("table_name", "session", "condition", "why", "rows", "source", "landed_at")
    return pa.schema(list(zip(names, kinds, strict=True)))
