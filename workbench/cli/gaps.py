"""`workbench gaps`: what is not in the lake as it should be, and why; and the refresh that mends it."""

from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.shared import FOUND, as_json, closing_bench, common, names
from workbench.progress import STOPPED, conclude, console, driven, note, progress, show

if TYPE_CHECKING:
    from workbench.query.report import Report

# What sessions in a row must have in common to be shown as one line.
ALIKE = ("state", "reason", "source", "mends")


def folded(report: "Report") -> "Report":
    """A report of sessions with a line for each run of alike ones; any other report as it is."""
    from workbench.query.report import Report

    if "session" not in report.columns or "attempts" not in report.columns:
        return report
    rows: list[dict[str, Any]] = []
    for _, alike in groupby(report, key=lambda row: [row[name] for name in ALIKE]):
        run = list(alike)
        ends = {"first": run[0]["session"], "last": run[-1]["session"], "sessions": len(run)}
        rest = {name: value for name, value in run[-1].items() if name != "session"}
        rows.append(ends | rest | {"attempts": max(row["attempts"] for row in run)})
    return Report(report.title, rows, report.spare)


@click.command()
@click.argument("table")
@click.option("--start", metavar="DATE", help="First session; of --minutes, the session.")
@click.option("--end", metavar="DATE", help="Last session, included.")
@click.option("--symbols", metavar="A,B", help="Tell of these tickers, session by session.")
@click.option("--minutes", is_flag=True, help="Tell which minutes of one ticker's session have no bar, and whether that is right.")
@click.option("--market", is_flag=True, help="Tell which tickers traded by their day bars and have no minutes.")
@click.option("--all", "everything", is_flag=True, help="Show what is as it should be, too, and why the market was closed.")
@click.option("--repair", is_flag=True, help="Show the plan that mends them; --yes runs it.")
@click.option("--source", help="With --repair: the source to begin with, as for refresh.")
@click.option("--yes", is_flag=True, help="With --repair: run the plan.")
@as_json
@common
@click.pass_context
def gaps(
    ctx: click.Context,
    table: str,
    start: str | None,
    end: str | None,
    symbols: str | None,
    minutes: bool,
    market: bool,
    everything: bool,
    repair: bool,
    source: str | None,
    yes: bool,
    json_: bool,
) -> None:
    """Show what of TABLE is not in the lake as it should be, and why. Exit status 3 if there is any.

    A session is closed, not due yet, late, missing, not fetched (no source was asked yet), not covered by the plan, in quarantine, published
    again, here in part (some tickers only), from a fallback only, lost from the disk, or taken out by a reset.
    """
    if (yes or source) and not repair:
        raise click.UsageError("--yes and --source go with --repair")
    if minutes and market:
        raise click.UsageError("--minutes and --market were both given; give one of them")
    with closing_bench(ctx, must_exist=True) as bench:
        found = bench.gaps(
            table, start, end, names(symbols), by="minute" if minutes else "market" if market else "session", everything=everything
        )
        if not repair:
            if not json_:
                note(found.facts.get("notes", ()))
            show(found if json_ else folded(found), json_=json_)
            ctx.exit(FOUND if found.facts.get("problems") else 0)
        run = bench.repair(found, source)
        with closing(run.chain):
            if not yes:
                if not json_:
                    note(run.plan.notes)
                    console().print(run.plan.report)
                    click.echo("Nothing was done: --yes runs it.", err=True)
                else:
                    click.echo(run.plan.report.to_json())
                ctx.exit(FOUND if found.facts.get("problems") else 0)
            say = progress(run, quiet=json_)
            note(run.plan.notes, quiet=json_)
            summary = driven(run, say)
            if run.stopped:
                ctx.exit(STOPPED)
        if json_:
            click.echo(summary.to_json())
        else:
            conclude(summary)
        ctx.exit(summary.exit_status)
