"""What a refresh did, summed up: by table, and a sentence for each thing that is not as it should be."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from workbench.query.report import Report, sized
from workbench.refresh.batch import Done
from workbench.refresh.plan import Plan

COUNTED = ("landed", "replaced", "quarantined", "failed", "missing")
# So many names are told, and the others counted.
NAMED = 10
NONE: Mapping[str, Sequence[str]] = MappingProxyType({})


def listed(names: Sequence[str]) -> str:
    """Names, of which there may be many."""
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED:,} more" * (len(names) > NAMED)


class Summary(Report):
    """What a refresh did, by table; `done` holds every step. `exit_status` is the command line's."""

    def __init__(
        self, steps: Plan, done: Sequence[Done], seconds: float, unheard: Mapping[str, Sequence[str]] = NONE, gone: Sequence[str] = ()
    ):
        self.plan, self.done, self.seconds, self.unheard, self.gone = steps, list(done), seconds, unheard, list(gone)
        rows = []
        for table in dict.fromkeys(one.step.table for one in done):
            its = [one for one in done if one.step.table == table]
            counts = {name: sum(one.outcome == name for one in its) for name in COUNTED}
            counts["from_fallback"] = sum(one.fell_back for one in its)
            sums = {"rows": sum(one.rows for one in its), "refused_rows": sum(one.refused for one in its)}
            rows.append({"table": table, **counts, **sums})
        self.transferred = sum(one.transferred for one in done)
        landed = sum(one.outcome in ("landed", "replaced") for one in done)
        what = (
            f"{landed} file{'s' * (landed != 1)} landed, {sum(one.rows for one in done):,} rows"
            if done
            else "nothing to do: the lake is up to date"
        )
        title = f"refresh from {steps.source}: {what}, {sized(self.transferred)} transferred in {seconds:.1f} s"
        super().__init__(
            title,
            rows,
            source=steps.source,
            seconds=round(seconds, 3),
            transferred=self.transferred,
            notes=steps.notes,
            problems=self.problems,
        )

    @property
    def told(self) -> list[str]:
        """The problems as a person reads them: what is true of many sessions is said once, with the first and the last of them."""
        alike: dict[tuple[str, str, str], list[str]] = {}
        for one in self._bad:
            alike.setdefault((one.step.table, one.outcome, one.reason), []).append(str(one.step.session))
        found = [
            f"{table} {days[0] if len(days) == 1 else f'{min(days)} … {max(days)}, {len(days):,} sessions'} {outcome}: {reason}"
            for (table, outcome, reason), days in alike.items()
        ]
        return [*self.gone, *found, *self.problems[len(self.gone) + len(self._bad) :]]

    @property
    def _bad(self) -> list[Done]:
        return [one for one in self.done if one.outcome in ("quarantined", "failed", "missing", "stands in")]

    @property
    def problems(self) -> list[str]:
        """A sentence for every session that is not in the lake as it should be, and every row that was refused."""
        bad = self._bad
        instead = {(one.step.table, one.step.session): one for one in self.done if one.fell_back and one.outcome != "stands in"}
        partly = [one for one in self.done if one.outcome in ("landed", "replaced") and one.refused]
        return [
            *self.gone,
            *(f"{one.step.table} {one.step.session} {one.outcome}: {one.reason}" for one in bad),
            *(f"{table} {day} came from {one.step.source} only: {one.step.reason}" for (table, day), one in instead.items()),
            *(
                f"{table}: no source has a row of {listed(some)} in any session that was asked for; are they spelt as the vendor does?"
                for table, some in self.unheard.items()
            ),
            *(f"{one.step.table} {one.step.session}: {one.refused} rows in quarantine: {one.reason}" for one in partly),
        ]

    @property
    def exit_status(self) -> int:
        """0 done; 1 nothing could be had; 3 something due is missing, failed, in quarantine, or from a fallback only."""
        outcomes = {one.outcome for one in self.done}
        if "failed" in outcomes and not outcomes & {"landed", "replaced", "already landed", "up to date"}:
            return 1
        return 3 if outcomes & {"failed", "missing", "quarantined"} or self.unheard or any(one.fell_back for one in self.done) else 0
