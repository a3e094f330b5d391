"""`workbench quality`: what is odd in the rows of a table, and what each of its sessions is like."""

import click

from workbench.cli.shared import FOUND, as_json, closing_bench, common, names
from workbench.progress import note, show

# Of a finding, what a narrow terminal can do without.
SPARE = ("rows", "severity", "timestamp")


@click.command()
@click.argument("table")
@click.option("--start", metavar="DATE", help="First session. Default: the newest 30 that are held.")
@click.option("--end", metavar="DATE", help="Last session, included.")
@click.option("--symbols", metavar="A,B", help="Look at these tickers only.")
@click.option(
    "--findings",
    type=click.IntRange(0),
    metavar="N",
    default=10,
    show_default=True,
    help="How many findings to list, the worst of each kind first.",
)
@as_json
@common
@click.pass_context
def quality(ctx: click.Context, table: str, start: str | None, end: str | None, symbols: str | None, findings: int, json_: bool) -> None:
    """Show what is odd in the rows of TABLE, and which of its sessions are good, late, degraded or missing. Nothing is changed.

    Of bars: the order of prices, no volume, prices that stand still or jump without a split, minutes against the day's bar, bars outside of the
    listing or the session. Of stock_trades: the bars that they make against the minute file. The limits are in `quality_limits`. Exit status 3 if a
    session is not good, or anything is found that is more than a note.
    """
    from workbench.query.report import Report

    with closing_bench(ctx, must_exist=True) as bench:
        found = bench.quality(table, start, end, names(symbols))
    kept = found.facts["findings"]
    if json_:
        found.facts["findings"] = kept[:findings]
    else:
        note(found.facts["notes"])
    show(found, json_=json_)
    if not json_ and found.facts.get("shares"):
        click.echo()
        shares = [{name: f"{part:.1%}" if isinstance(part, float) else part for name, part in one.items()} for one in found.facts["shares"]]
        show(Report("Minutes of the minute file that the trades make, as shares of all, by field", shares))
    if not json_ and kept[:findings]:
        click.echo()
        total = sum(one["findings"] for one in found.facts["counts"])
        show(Report(f"{len(kept[:findings]):,} of {total:,} findings, the worst of each kind first", kept[:findings], SPARE))
    ctx.exit(FOUND if found.facts["problems"] else 0)
