"""What an import did: a step for each batch, and all of them summed up by table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.query.report import Report

Outcome = Literal["landed", "up to date", "failed", "not imported"]
COUNTED = ("read", "new", "changed", "unchanged", "rejected", "cut")
FAILED, FOUND = 1, 3


@dataclass(frozen=True)
class Step:
    """One batch of a table, or what there is to say of a table instead.

    `read` rows are those that are `new`, `changed`, `unchanged` or `rejected`; `cut` counts times that were finer than microseconds. `of` is the number
    of rows that are to be read of the table, as far as that is known. `harmless` is true of a table of which nothing had to be imported.
    """

    theirs: str
    ours: str
    outcome: Outcome
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    cut: int = 0
    seconds: float = 0.0
    reason: str = ""
    of: int | None = None
    harmless: bool = False

    @property
    def even(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.read == self.new + self.changed + self.unchanged + self.rejected


class Summary(Report):
    """What an import did, by table; `steps` holds every batch. `exit_status` is the command line's.

    `rejects` are the files of rows that were not taken, by the table of ours. `fatal` says that the import ended before its end.
    """

    def __init__(
        self,
        label: str,
        steps: Sequence[Step],
        seconds: float,
        *,
        run: str = "",
        rejects: Mapping[str, Path] | None = None,
        why: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
        fatal: bool = False,
        stopped: bool = False,
    ):
        self.steps, self.seconds, self.rejects, self.fatal, self.stopped = list(steps), seconds, dict(rejects or {}), fatal, stopped
        self._why = dict(why or {})
        self.notes = list(notes)
        rows = []
        for theirs in dict.fromkeys(one.theirs for one in steps):
            its = [one for one in steps if one.theirs == theirs]
            sums = {name: sum(getattr(one, name) for one in its) for name in COUNTED}
            rows.append({"table": theirs, "becomes": its[0].ours, **sums, "outcome": outcome(its)})
        total = {name: sum(int(row[name]) for row in rows) for name in COUNTED}
        took = f"in {seconds:.1f} s"
        counts = ", ".join(f"{total[name]:,} {name}" for name in COUNTED[1:5] if total[name] or name == "new")
        title = f"import from {label}: {total['read']:,} rows read {took}: {counts}" if total["read"] else self._nothing(label)
        if stopped:
            title = f"{title}; stopped before its end"
        super().__init__(
            title,
            rows,
            ("cut", "unchanged", "changed"),
            source=label,
            run=run,
            seconds=round(seconds, 3),
            **total,
            rejects={table: str(path) for table, path in self.rejects.items()},
            notes=self.notes,
            problems=self.problems,
            exit_status=self.exit_status,
        )

    @property
    def columns(self) -> list[str]:
        """The names of the columns; those of counts only where there is something to count."""
        return [name for name in super().columns if name not in COUNTED[2:] or any(row[name] for row in self.rows)]

    def _nothing(self, label: str) -> str:
        fine = any(one.outcome == "up to date" for one in self.steps) and not self.problems
        return f"import from {label}: " + ("nothing is new: the lake is up to date" if fine else "nothing was imported")

    @property
    def problems(self) -> list[str]:
        """A sentence for each table that is not in the lake as it should be, and for rows that were not taken."""
        found = [one.reason for one in self.steps if one.outcome == "not imported" and not one.harmless]
        found += [f"{one.theirs}: {one.reason}" for one in self.steps if one.outcome == "failed"]
        for ours, path in self.rejects.items():
            its = [one for one in self.steps if one.ours == ours]
            count = sum(one.rejected for one in its)
            first = f", first {self._why[ours]}" if self._why.get(ours) else ""
            found.append(
                f"{its[0].theirs}: {count:,} row{'s' * (count != 1)} rejected{first}. All with their reasons in {path}; once they are put right there, "
                "--full reads them again"
            )
        odd = [one for one in self.steps if not one.even]
        return found + [
            f"{one.theirs}: of {one.read:,} rows read only {one.new + one.changed + one.unchanged + one.rejected:,} are accounted for; "
            "this is a fault of the workbench"
            for one in odd
        ]

    @property
    def exit_status(self) -> int:
        """0 all is in; 1 it failed; 3 rows were rejected, or a table was not imported."""
        outcomes = {one.outcome for one in {one.theirs: one for one in self.steps}.values()}
        if self.fatal or any(not one.even for one in self.steps):
            return FAILED
        if "failed" in outcomes and not outcomes & {"landed", "up to date"}:
            return FAILED
        return FOUND if self.problems else 0


def outcome(steps: Sequence[Step]) -> str:
    """What became of a table."""
    last = steps[-1].outcome
    return "computed here" if last == "not imported" and steps[-1].harmless else last
