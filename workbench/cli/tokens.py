"""The commands that say who may ask over HTTP."""

import json
from datetime import UTC, datetime, timedelta

import click

from workbench.arguments import as_age, as_instant
from workbench.cli.shared import as_json, closing_bench, common, names
from workbench.progress import show

ROLES = ("reader", "app", "owner")


@click.group()
def token() -> None:
    """Tokens that `workbench serve` lets in: a role each, which may be limited to some schemas, and may end."""


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="reader",
    show_default=True,
    help="reader: queries; app: inserts and updates, too; owner: everything.",
)
@click.option("--schemas", metavar="A,B", help="Only the tables of these schemas, as main,kraken_bot. Default: all.")
@click.option("--expires", metavar="WHEN", help="When it ends, as 90d, 12h or 2027-01-31T00:00Z. Default: never.")
@as_json
@common
@click.pass_context
def add(ctx: click.Context, name: str, role: str, schemas: str | None, expires: str | None, json_: bool) -> None:
    """Make a token called NAME and print it, this once: the lake keeps a digest of it only."""
    from workbench.api.tokens import Tokens

    with closing_bench(ctx, must_exist=True) as bench:
        secret = Tokens(bench.lake.root).add(name, role, names(schemas) if schemas is not None else None, ends(expires))
    tell(name, secret, json_=json_)


@token.command("list")
@as_json
@common
@click.pass_context
def list_(ctx: click.Context, json_: bool) -> None:
    """Show the tokens, but for their secrets."""
    from workbench.api.tokens import Tokens
    from workbench.query.report import Report

    with closing_bench(ctx, must_exist=True) as bench:
        root, found = bench.lake.root, Tokens(bench.lake.root).list()
    rows = [
        {
            "name": one.name,
            "role": one.role,
            "schemas": ", ".join(one.schemas) if one.schemas is not None else "all",
            "made": one.made,
            "expires": one.expires,
            "state": "expired" if one.expired else "good",
        }
        for one in found
    ]
    show(Report(f"{len(rows)} token{'s' * (len(rows) != 1)} of {root}", rows), json_=json_)


@token.command()
@click.argument("name")
@click.option("--grace", metavar="TIME", default="0h", help="How long the old one goes on, as 1h or 7d. Default: it ends now.")
@as_json
@common
@click.pass_context
def rotate(ctx: click.Context, name: str, grace: str, json_: bool) -> None:
    """Make a new token in the place of NAME's and print it, this once; role, schemas and end stay."""
    from workbench.api.tokens import Tokens

    with closing_bench(ctx, must_exist=True) as bench:
        secret = Tokens(bench.lake.root).rotate(name, as_age(grace))
    tell(name, secret, json_=json_)


@token.command()
@click.argument("name")
@common
@click.pass_context
def revoke(ctx: click.Context, name: str) -> None:
    """Take NAME's token away: it opens nothing from now on."""
    from workbench.api.tokens import Tokens

    with closing_bench(ctx, must_exist=True) as bench:
        gone = Tokens(bench.lake.root).revoke(name)
    click.echo(f"{gone.name} opens nothing any more", err=True)


def ends(told: str | None) -> datetime | timedelta | None:
    """When a token ends: an instant, or a length of time from now."""
    if told is None:
        return None
    return as_age(told) if told.strip()[-1:].lower() in ("d", "h", "s") else (as_instant(told) or datetime.now(UTC))


def tell(name: str, secret: str, *, json_: bool) -> None:
    """Print a token alone, so that it can be piped on."""
    click.echo(json.dumps({"name": name, "token": secret}) if json_ else secret)
    click.echo(f"That is {name}'s token. Keep it now: it is not shown again.", err=True)
