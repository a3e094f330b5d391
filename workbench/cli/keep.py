"""The commands that keep the lake: what is wrong in it, and what it no longer needs."""

import click

from workbench.cli.shared import FOUND, as_json, closing_bench, common
from workbench.progress import show

acts = click.option("--yes", is_flag=True, help="Do it. Without this, it is only said what would be done.")


@click.command()
@click.argument("tables", nargs=-1)
@click.option("--quick", is_flag=True, help="Read the log and the files' footers, and no rows.")
@as_json
@common
@click.pass_context
def verify(ctx: click.Context, tables: tuple[str, ...], quick: bool, json_: bool) -> None:
    """Check TABLES (default: all): log, files, statistics, order, keys and rows against each other and the landing records.

    Changes nothing, and says which command mends what it finds. Exit status 3: there is a fault.
    """
    with closing_bench(ctx, must_exist=True) as bench:
        found = bench.verify(tables, quick=quick)
    show(found, json_=json_)
    ctx.exit(FOUND if found.facts["faults"] else 0)


@click.command()
@click.option(
    "--keep",
    metavar="AGE",
    default="7d",
    show_default=True,
    help="Keep what was replaced less long ago, as 7d or 12h: as_of reaches back so far.",
)
@acts
@as_json
@common
@click.pass_context
def vacuum(ctx: click.Context, keep: str, yes: bool, json_: bool) -> None:
    """Remove files that were replaced, and files that were never committed. Leaves what an open session may read."""
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.vacuum(keep, dry_run=not yes), json_=json_)


@click.command()
@click.option(
    "--cache", is_flag=True, help="And what this machine holds of the data of a lake on s3://: it is fetched again when it is asked for."
)
@acts
@as_json
@common
@click.pass_context
def clean(ctx: click.Context, cache: bool, yes: bool, json_: bool) -> None:
    """Remove partial downloads, drafts and spill files that processes left which are no more."""
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.clean(cache=cache, dry_run=not yes), json_=json_)
