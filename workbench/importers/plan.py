"""What an import would do, told before it writes: each table and column with both types, and what of the first rows would be rejected."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.importers import marks
from workbench.importers.matching import Match, needed
from workbench.importers.origin import Arrived
from workbench.importers.pieces import merged
from workbench.query.report import Report
from workbench.tables.record import Field

if TYPE_CHECKING:
    from workbench.importers.run import Import

SAMPLE = 1_000
# So many rejects of a sample are told of each table.
TOLD = 3
# Names that other databases have for types of ours.
SAME = {
    "VARCHAR": r"TEXT|N?VARCHAR|CHARACTER VARYING|STRING|CHAR|BPCHAR|LARGE_STRING|UTF8",
    "BIGINT": r"BIGINT|INT8|INT64|LONG",
    "INTEGER": r"INT4|INT32",
    "SMALLINT": r"SMALLINT|INT2|INT16|SHORT",
    "DOUBLE": r"DOUBLE( PRECISION)?|FLOAT8|FLOAT64|REAL",
    "BOOLEAN": r"BOOL(EAN)?",
    "DATE": r"DATE(32)?(\[DAY\])?",
    "TIMESTAMPTZ": r"TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE",
    "JSON": r"JSONB?",
    "UUID": r"UUID",
}


@dataclass(frozen=True)
class Sample:
    """What the first rows of a table say: how many there were, those that would be rejected, and why they could not be read, if so."""

    count: int = 0
    rejects: Sequence[str] = ()
    rejected: int = 0
    cut: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Planned:
    """A table with what will be done with it; `columns` are rows of the report."""

    match: Match
    columns: Sequence[dict[str, Any]] = ()
    since: str = ""
    position: str = ""
    sample: Sample = field(default_factory=Sample)

    @property
    def doing(self) -> str:
        """What will be done, in a few words."""
        if self.match.fault:
            return "not imported"
        if self.sample.fault:
            return f"cannot be read: {self.sample.fault}"
        return f"what is new since {self.position} {self.since}" if self.since else "read whole"

    @property
    def told(self) -> dict[str, Any]:
        """It as a row for a program."""
        one = self.match
        return {
            "table": one.theirs,
            "becomes": one.ours,
            "by": one.how,
            "rows": one.held.rows,
            "identity": list(one.identity) or "the whole row",
            "position": self.position or None,
            "since": self.since or None,
            "doing": self.doing,
            "problem": one.fault or self.sample.fault or None,
            "sampled": self.sample.count,
            "would_reject": self.sample.rejected,
            "rejects": list(self.sample.rejects),
            "columns": list(self.columns),
        }

    @property
    def row(self) -> dict[str, Any]:
        """It as a row for a person."""
        one = self.match
        left = f"left out: {', '.join(one.left_out)}" if one.left_out and not one.fault else ""
        return {
            "table": one.theirs,
            "becomes": one.ours if not one.fault or one.harmless else "",
            "rows": one.held.rows,
            "told apart by": "" if one.fault else ", ".join(one.identity) or "the whole row",
            "doing": "computed here" if one.harmless else self.doing,
            "note": left,
        }


class Plan(Report):
    """What an import will do: a row for each column. `tables` tells it table by table, `brief` is a row for each table, `problems` what will not come."""

    def __init__(self, label: str, root: str, tables: Sequence[Planned], *, sampled: bool):
        self.tables = list(tables)
        good = [one for one in tables if not one.match.fault]
        rows = sum(one.match.held.rows or 0 for one in good)
        unknown = any(one.match.held.rows is None for one in good)
        count = f"which hold {'at least ' * unknown}{rows:,} rows" if rows or not unknown else "of unknown size"
        title = f"import of {label} into {root}: {len(good)} of {len(tables)} tables, {count}"
        columns = [{"table": one.match.theirs, **row} for one in tables for row in one.columns]
        super().__init__(
            title,
            columns,
            source=label,
            root=root,
            sampled=sampled,
            tables=[one.told for one in tables],
            problems=self.problems,
        )

    @property
    def problems(self) -> list[str]:
        """A sentence for each table that will not be imported."""
        return [one.match.fault or f"{one.match.theirs}: {one.sample.fault}" for one in self.tables if one.match.fault or one.sample.fault]

    @property
    def brief(self) -> Report:
        """A row for each table."""
        noted = any(one.row["note"] for one in self.tables)
        rows = [{name: value for name, value in one.row.items() if noted or name != "note"} for one in self.tables]
        return Report(self.title, rows, ("told apart by",))

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.text import Text

        yield Text(self.title)
        for one in self.tables:
            match = one.match
            if match.fault:
                continue
            yield Text("")
            yield Text(f"{match.theirs} → {match.ours}", style="bold")
            yield Text(f"  {facts(one)}")
            yield self._table_of(one)
            for line in told(one.sample):
                yield Text(f"  {line}")
        if self.problems:
            yield Text("")
            for line in self.problems:
                yield Text(line)

    def _table_of(self, one: Planned) -> Any:
        from rich.padding import Padding

        shown = Report("", one.columns)
        return Padding(shown._table(shown.columns), (0, 0, 0, 2), expand=False)


def facts(one: Planned) -> str:
    """What there is to say of a table in a line."""
    match = one.match
    rows = "rows not counted" if match.held.rows is None else f"{match.held.rows:,} row{'s' * (match.held.rows != 1)}"
    apart = f"told apart by {', '.join(match.identity)}" if match.identity else "told apart by the whole row"
    new = f"what is new is told by {one.position}" if one.position else "compared whole each time"
    return f"{rows}; found by {match.how}; {apart}; {new}; {one.doing}"


def told(sample: Sample) -> Iterator[str]:
    """What there is to say of a sample."""
    if sample.fault:
        yield f"it cannot be read: {sample.fault}"
        return
    if not sample.count:
        return
    of = f"of the first {sample.count:,} rows" if sample.count > 1 else "of the first row"
    if sample.rejected:
        yield f"{of} {sample.rejected:,} would be rejected for what {'it holds' if sample.rejected == 1 else 'they hold'}:"
        yield from (f"  {one}" for one in sample.rejects)
    else:
        yield f"{of} none would be rejected for what it holds"
    if sample.cut:
        yield f"{sample.cut:,} times in them are finer than microseconds and would be cut"


def planned(run: "Import", *, look: bool = True) -> Plan:
    """What an import will do; with a look at each table's first rows, unless told otherwise."""
    tables = []
    for match in run.matches:
        if match.fault:
            tables.append(Planned(match))
            continue
        since = run.kept(match)
        position = marks.marked(match)
        begins = marks.shown(since.value) if since else ""
        sample = sampled(run, match) if look else Sample()
        tables.append(Planned(match, columns(match, run.origin.label), begins, position, sample))
    return Plan(run.origin.label, run.bench.lake.where, tables, sampled=look)


def sampled(run: "Import", match: Match) -> Sample:
    """The first rows that would be read, taken as the lake would keep them, and let go."""
    from workbench.importers.taking import taken
    from workbench.query.staging import staged

    assert match.record
    odd: list[str] = []
    count = rows = cut = 0
    theirs = {ours: its for its, ours in match.columns.items()}
    try:
        with closing(run.stream(run.asked(match, run.kept(match), theirs.get(match.time, "")))) as batches:
            for arrived in batches:
                some = first(arrived, SAMPLE - count)
                made = taken(match.record, match.columns, some, run.order.zone)
                odd += [f"{one.where}: {one.reason}" for one in some.rejects]
                # Of rules those that a row breaks by itself; what it refers to may come with the import.
                broken = staged(match.record, made.rows).broken if len(made.rows) else []
                told = [*made.rejects, *((made.at[row], why) for row, why in broken)]
                odd += [f"{run.origin.where(match.held, rows + at)}: {why}" for at, why in merged(told)]
                rows, cut, count = rows + some.count, cut + made.cut, count + some.count + len(some.rejects)
                if count >= SAMPLE:
                    break
    except Exception as fault:
        # The import would fail here, too, and the plan is there to say so.
        return Sample(fault=run.told(fault))
    more = [f"and {len(odd) - TOLD:,} more"] * (len(odd) > TOLD)
    return Sample(count, [*odd[:TOLD], *more], len(odd), cut)


def first(arrived: Arrived, count: int) -> Arrived:
    """The first rows of a batch."""
    some = {name: values[:count] for name, values in arrived.columns.items()}
    return Arrived(min(arrived.count, count), some, list(arrived.rejects)[:count])


def columns(match: Match, label: str) -> list[dict[str, Any]]:
    """What happens to each column, theirs and ours."""
    record = match.record
    assert record
    kinds = {one.name: one.kind for one in match.held.columns}
    rows = []
    for name in match.held.names:
        if ours := match.columns.get(name):
            made = record[ours]
            rows.append(told_as(name, kinds[name], ours, made.type, "as it is" if same(kinds[name], made.type) else "cast"))
        else:
            rows.append(told_as(name, kinds[name], "", "", "left out"))
    return rows + [told_as("", "", one.name, one.type, filled(match, one, label)) for one in match.absent]


def told_as(theirs: str, kind: str, ours: str, made: str, what: str) -> dict[str, Any]:
    """A row of the report."""
    return {"their column": theirs, "their type": kind, "our column": ours, "our type": made, "what happens": what}


def filled(match: Match, column: Field, label: str) -> str:
    """What stands in a column of ours that does not come."""
    assert match.record
    if needed(match.record, column):
        return "missing: every row must have it"
    if column.name == "loaded_from":
        return f"says {label}"
    if column.serial:
        return "numbered"
    return f"default {column.default}" if column.default else "NULL"


def same(theirs: str, ours: str) -> bool:
    """Whether two types are one under two names, as far as that shows."""
    kind = " ".join(theirs.upper().split())
    if kind == ours:
        return True
    bare = re.sub(r"\(.*\)", "", kind) if ours == "VARCHAR" else kind
    return bool(re.fullmatch(SAME.get(ours, r"(?!)"), bare)) or kind == ours.replace("DECIMAL", "NUMERIC")
