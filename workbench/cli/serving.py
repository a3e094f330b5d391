"""The command that serves a lake over HTTP."""

from pathlib import Path
from typing import Any

import click

from workbench.cli.shared import closing_bench, common
from workbench.errors import MissingExtra

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen at. Any that others reach wants tokens, and TLS or --behind-proxy.",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="0 for any that is free.")
@click.option("--tls-cert", type=FILE, help="The certificate, with its chain, as PEM.")
@click.option("--tls-key", type=FILE, help="Its key, as PEM.")
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="A proxy in front of it speaks TLS: everything takes a token, and X-Forwarded-For of --proxy is believed.",
)
@click.option(
    "--proxy", "proxies", multiple=True, metavar="CIDR", help="Where proxies are. Default: this machine. May be given several times."
)
@click.option("--allow", multiple=True, metavar="CIDR", help="Only these addresses may ask, as 10.0.0.0/8. May be given several times.")
@click.option("--max-rows", type=int, default=100_000, show_default=True, help="The most rows of an answer.")
@click.option("--timeout", type=float, default=30.0, show_default=True, metavar="SECONDS", help="The longest that a query may take.")
@click.option("--memory", metavar="SIZE", help="The most memory that queries may take, as 4GB. Default: WORKBENCH_MEMORY_LIMIT.")
@click.option("--queries", type=int, default=4, show_default=True, help="So many queries run at a time.")
@click.option("--queue", type=int, default=100, show_default=True, help="So many more wait; others are told to come again.")
@click.option("--rate", default="500/second", show_default=True, help="Requests of each token, or address without one.")
@common
@click.pass_context
def serve(ctx: click.Context, /, proxies: tuple[str, ...], allow: tuple[str, ...], **chosen: Any) -> None:
    """Serve the lake over HTTP: refresh and status, SQL that only reads, bars, tables, rows for applications, health, metrics.

    Reads are open to this machine's users; whatever writes takes a token (`workbench token add`), and so does everything at an address that others
    reach. GET /openapi.json tells all that can be asked. Ctrl-C or SIGTERM stops it; runs that were begun go on.
    """
    try:
        from workbench.api.serving import serve as serve_bench
        from workbench.api.settings import Serving, networks
    except ImportError as fault:
        raise MissingExtra(f"{fault.name} is not installed, so nothing was served; pip install 'workbench[api]'") from fault
    from workbench.logs import as_settings_say

    with closing_bench(ctx, must_exist=True) as bench:
        as_settings_say(bench.settings, "info")
        serve_bench(bench, Serving(**chosen, proxies=networks(proxies), allow=networks(allow)), click.echo)
