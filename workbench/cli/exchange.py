"""The commands that bring an old database in: `workbench import`, and `workbench imports`."""

import sys
from typing import TYPE_CHECKING, Any, Self

import click

from workbench.cli.shared import as_json, closing_bench, common, names
from workbench.progress import STOPPED, console, note, show, stoppable

if TYPE_CHECKING:
    from workbench.importers.matching import Match
    from workbench.importers.run import Import
    from workbench.importers.summary import Step, Summary

SHOWN_PROBLEMS = 20


@click.command("import")
@click.argument("kind")
@click.argument("url")
@click.option("--tables", metavar="A,B", help="Only these of its tables. Default: all.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="THEIRS=OURS[:C=D,…]",
    help="Its table THEIRS is OURS, as px=market_data.ohlcv, and its column C our D; again for each table.",
)
@click.option(
    "--platform", metavar="NAME", help="Whose tables these are, where names are ambiguous: shrek, ampyfin, kraken_bot, tetra, layers."
)
@click.option("--timezone", metavar="ZONE", default="UTC", show_default=True, help="The zone of times that have none.")
@click.option("--full", is_flag=True, help="Read all rows again, not only what is new.")
@click.option(
    "--dry-run", is_flag=True, help="Only show what would be done with each table and column, and which of the first rows would not go in."
)
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for a server that does not answer. Default: 10.")
@as_json
@common
@click.pass_context
def import_(
    ctx: click.Context, /, kind: str, url: str, tables: str | None, maps: tuple[str, ...], dry_run: bool, json_: bool, **chosen: Any
) -> None:
    """Bring the old database at URL, of KIND sqlite, json, postgres, mongo, kdb or files, into the documented tables.

    Run it again for what is new since. Rows are compared with those that are there, so that none comes twice; those that cannot go in are skipped,
    counted, and written with their reasons to the lake's rejects/. Ctrl-C keeps what is in, and the same command goes on. Exit status 3: rows were
    rejected, or a table was not imported.

    For example `workbench import sqlite data/trading_bot.db --platform kraken_bot`, `workbench import json data/`, or
    `workbench import postgres 'postgresql://me:secret@host/db?sslmode=verify-full&sslrootcert=ca.pem' --dry-run`.
    """
    with closing_bench(ctx) as bench, stoppable():
        run = bench.import_from(kind, url, tables=names(tables) or None, maps=maps, **chosen)
        with run:
            if dry_run:
                plan = run.plan
                click.echo(plan.to_json()) if json_ else console().print(plan)
                return
            if not json_:
                from workbench.importers.plan import planned

                console().print(planned(run, look=False).brief)
            say = shown(run, quiet=json_)
            with say, stoppable(run.stop, "the batch at hand is finished and kept"):
                run.begins = say.begins
                summary = run.run(say.step)
    if json_:
        click.echo(summary.to_json())
    else:
        conclude(summary)
    if run.stopped:
        kept = summary.facts["read"] - summary.facts["rejected"]
        click.echo(f"stopped: {kept:,} rows are in the lake and stay there; the same command goes on", err=True)
        ctx.exit(STOPPED)
    ctx.exit(summary.exit_status)


@click.command()
@as_json
@common
@click.pass_context
def imports(ctx: click.Context, json_: bool) -> None:
    """Show what was imported so far: from where, into which table, up to what, how many rows, and when."""
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.imports(), json_=json_)


def conclude(summary: "Summary") -> None:
    """Show what an import did, and what is wrong."""
    console().print(summary)
    note(summary.notes)
    for line in summary.problems[:SHOWN_PROBLEMS]:
        click.echo(line)
    if (more := len(summary.problems) - SHOWN_PROBLEMS) > 0:
        click.echo(f"and {more} more: --json gives all")


# ---------------------------------------------------------------------- while it runs


def shown(run: "Import", *, quiet: bool) -> "Said":
    """How to show a run: a bar on a terminal, lines in a pipe, nothing in a pipe where standard output is for a machine."""
    if (sys.stderr if quiet else sys.stdout).isatty():
        return Bar(run, err=quiet)
    return Said() if quiet else Lines()


class Said:
    """What is said while an import runs: nothing, unless a subclass says more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """End the display."""

    def begins(self, match: "Match", of: int | None) -> None:
        """Take in a table that is read next, and the number of its rows if that is known."""

    def step(self, step: "Step") -> None:
        """Take in a batch that was done."""


class Lines(Said):
    """A line for each batch."""

    def step(self, step: "Step") -> None:
        if step.outcome != "landed":
            # Why a table is not imported is said at the end.
            told = "computed here" if step.harmless else step.outcome
            click.echo(f"{step.ours or step.theirs:<32} {told:<12} {step.reason if step.outcome == 'up to date' else ''}".rstrip())
            return
        counts = ", ".join(f"{getattr(step, name):,} {name}" for name in ("changed", "unchanged", "rejected") if getattr(step, name))
        rate = f"{step.read / max(step.seconds, 1e-3):,.0f} rows/s"
        click.echo(f"{step.ours:<32} {step.new:>11,} new {step.seconds:7.2f} s {rate:>18}  {counts}".rstrip())


class Bar(Said):
    """A bar with the table, its rows, their rate and the time left; it leaves the screen when the import ends."""

    def __init__(self, run: "Import", err: bool):
        from rich import progress as drawn

        self.tables = [one.theirs for one in run.matches if not one.fault]
        self.bar = drawn.Progress(
            drawn.TextColumn("{task.description}"),
            drawn.BarColumn(bar_width=30),
            drawn.TextColumn("{task.fields[rows]} rows · {task.fields[rate]} rows/s"),
            drawn.TimeRemainingColumn(compact=True),
            console=console(err=err),
            transient=True,
        )
        self.task = self.bar.add_task("import", total=None, rows="0", rate="–")
        self.rows = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def begins(self, match: "Match", of: int | None) -> None:
        from time import perf_counter

        self.rows, self.began = 0, perf_counter()
        number = f"{self.tables.index(match.theirs) + 1}/{len(self.tables)}"
        self.bar.reset(self.task, total=of, description=f"{number} {match.ours}", rows="0", rate="–")

    def step(self, step: "Step") -> None:
        from time import perf_counter

        if step.outcome != "landed":
            return
        self.rows += step.read
        rate = self.rows / max(perf_counter() - self.began, 1e-3)
        self.bar.update(self.task, advance=step.read, rows=f"{self.rows:,}", rate=f"{rate:,.0f}")
