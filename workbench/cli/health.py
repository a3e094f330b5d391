"""The command that tells how the lake stands."""

import click

from workbench.cli.shared import FOUND, as_json, common, configured
from workbench.progress import show


@click.command()
@as_json
@common
@click.pass_context
def health(ctx: click.Context, json_: bool) -> None:
    """Tell how the lake stands: healthy, degraded or unhealthy, with a line for each thing that was looked at, the worst first.

    Reads no rows and changes nothing; `workbench verify` reads all of it. A lake that is missing or cannot be read is unhealthy. Exit status 3: it is
    not healthy.
    """
    from workbench.bench import Workbench

    with Workbench(configured(ctx)) as bench:
        told = bench.health()
    told.title = f"{told.facts['status']}: {told.title}"
    show(told, json_=json_)
    ctx.exit(0 if told.facts["status"] == "healthy" else FOUND)
