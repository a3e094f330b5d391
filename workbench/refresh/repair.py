"""From gaps to the refresh that mends them."""

from typing import TYPE_CHECKING

from workbench.query.gaps_repair import repair
from workbench.query.report import Report
from workbench.refresh.chain import chain_of
from workbench.refresh.plan import Plan, plan
from workbench.refresh.run import Refresh
from workbench.refresh.universe import resolve

if TYPE_CHECKING:
    from workbench.bench import Workbench


def repaired(bench: "Workbench", report: Report, source: str | None) -> Refresh:
    """The refresh that mends what a report of gaps tells, planned and not run yet: each gap from the sources that can mend it."""
    wanted = repair(report)
    chain = chain_of(bench.settings.with_source(source))
    try:
        universe = resolve(bench, bench.settings.universe) if chain.rows else ()
        made = Plan([], chain.name, [*chain.notes, *wanted.notes])
        for one in wanted.wanted:
            legs, days = chain.only(one.sources), one.sessions
            if not (legs.files or legs.rows):
                made.notes.append(
                    f"{len(days)} sessions of {one.table} are {one.why}, and can be mended from {' or '.join(one.sources)} only."
                )
                continue
            some = plan(
                bench.lake,
                legs,
                [one.table],
                days[0],
                days[-1],
                symbols=one.tickers,
                universe=universe,
                again=one.again,
                only=frozenset(days),
            )
            made += [step for step in some if step not in made]
    except BaseException:
        chain.close()
        raise
    return Refresh(bench.lake, chain, made, None, bench.settings.scratch / "fetch", (), universe)
