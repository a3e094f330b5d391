"""The command that empties tables, and the one that fills them again with what they held."""

import re
import sys

import click

from workbench.cli.shared import as_json, closing_bench, common
from workbench.errors import UsageError
from workbench.progress import note, show
from workbench.query.report import Report


@click.command()
@click.argument("scope", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--undo", is_flag=True, help="Bring back what the newest reset took out, or the one whose id stands in SCOPE.")
@as_json
@common
@click.pass_context
def reset(ctx: click.Context, scope: tuple[str, ...], yes: bool, undo: bool, json_: bool) -> None:
    """Empty the tables in SCOPE: names of tables, of a platform (shrek), or all.

    Shows rows and bytes and asks first. A refresh fills the tables anew; --undo brings everything back until vacuum removes the files.
    """
    if not scope and not undo:
        raise click.UsageError("name what to reset: tables, a platform, or all")
    ids = [word for word in scope if undo and re.fullmatch("[0-9a-f]{8}", word)]
    tables, id = [word for word in scope if word not in ids], next(iter(ids), None)
    with closing_bench(ctx, must_exist=True) as bench:
        going = bench.undo_reset(tables, id=id, dry_run=True) if undo else bench.reset(scope, dry_run=True)
        asked = agreed(going, "brought back" if undo else "reset", yes=yes, json_=json_)
        done = going if not going.rows else bench.undo_reset(tables, id=id) if undo else bench.reset(scope)
    show(done, json_=json_)
    note([line for line in done.facts["notes"] if not (asked and line in going.facts["notes"])], quiet=json_)


def agreed(going: Report, what: str, *, yes: bool, json_: bool) -> bool:
    """Show what goes or comes back, and ask; tells whether it was asked. Aborts if the answer is no.

    Raises `UsageError` where there is nobody to ask.
    """
    if yes or not going.rows:
        return False
    if json_:
        click.echo(going.title, err=True)
    else:
        show(going)
    note(going.facts["notes"], quiet=json_)
    if not sys.stdin.isatty():
        raise UsageError(f"this is not a terminal, so nobody can be asked, and nothing was {what}. Add --yes to do it.")
    click.confirm("Take these rows out?" if what == "reset" else "Bring these rows back?", abort=True, err=True)
    return True
