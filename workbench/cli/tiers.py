"""The commands that move rows from one temperature to another: compact, retain, and maintain, which does all that is due."""

import click

from workbench.cli.keep import acts
from workbench.cli.shared import as_json, closing_bench, common
from workbench.progress import note, show


@click.command()
@click.argument("tables", nargs=-1)
@click.option("--chunk", metavar="CHUNK", help="Compact this chunk of one table now, complete or not: 2024-Q1, 2024-01, 2024.")
@click.option("--all", "everything", is_flag=True, help="Compact chunks that are not complete, too.")
@click.option("--ranges", is_flag=True, help="Decide anew where TABLES are cut by ticker, and write all their chunks by it.")
@as_json
@common
@click.pass_context
def compact(ctx: click.Context, tables: tuple[str, ...], chunk: str | None, everything: bool, ranges: bool, json_: bool) -> None:
    """Write chunks of TABLES (default: all) that are complete as cold files, cut by ticker and in order.

    Says files, rows and bytes before and after. Killed anywhere, it leaves the lake whole, and the same command goes on.
    """
    if chunk and len(tables) != 1:
        raise click.UsageError("--chunk names a chunk of one table; name that table, and no other")
    if ranges and not tables:
        raise click.UsageError("--ranges writes a table whole; name the tables")
    if ranges and (chunk or everything):
        raise click.UsageError("--ranges takes all chunks; leave --chunk and --all out")
    with closing_bench(ctx, must_exist=True) as bench:
        made = bench.compact(tables, chunk, everything=everything, ranges=ranges)
    show(made, json_=json_)
    ctx.exit(made.facts["exit_status"])


@click.command()
@acts
@as_json
@common
@click.pass_context
def retain(ctx: click.Context, yes: bool, json_: bool) -> None:
    """Move bars older than [retention] in workbench.toml keeps them to ohlcv_archive, or drop what coarser bars sum up.

    Exit status 3: something is refused, because nothing sums it up; the reason names what mends that.
    """
    with closing_bench(ctx, must_exist=True) as bench:
        made = bench.retain(dry_run=not yes)
    show(made, json_=json_)
    ctx.exit(made.facts["exit_status"])


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(min=0), metavar="N", help="Begin nothing new after so many seconds. Default: do everything."
)
@as_json
@common
@click.pass_context
def maintain(ctx: click.Context, seconds: float | None, json_: bool) -> None:
    """Do all upkeep that is due: clean, vacuum, roll up, retain by [retention] in workbench.toml, compact.

    The end of each refresh does the same for a minute ([maintain] seconds). Exit status 3: [retention] asks for what is refused.
    """
    with closing_bench(ctx, must_exist=True) as bench:
        made = bench.maintain(seconds)
    note(made.facts["notes"], quiet=json_)
    show(made, json_=json_)
    ctx.exit(made.facts["exit_status"])
