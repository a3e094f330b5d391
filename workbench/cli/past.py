"""The commands that look into the past of a table, and the one that brings an older lake forward."""

import csv
import io
import json

import click

from workbench.cli.keep import acts
from workbench.cli.shared import FOUND, as_json, closing_bench, common
from workbench.progress import show
from workbench.query.report import Report, plain


@click.command()
@click.argument("table")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N commits. Default: all of them.")
@as_json
@common
@click.pass_context
def history(ctx: click.Context, table: str, limit: int | None, json_: bool) -> None:
    """Show what happened to TABLE: who committed what, when, from which source, and how many rows came and went.

    `workbench restore --version N TABLE` takes the table back to one of these versions. Commits that an earlier workbench made do not say who.
    """
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.history(table, limit), json_=json_)


@click.command()
@click.argument("table")
@click.argument("old")
@click.argument("new", required=False)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", default=40, show_default=True, help="Show so many rows; all are counted.")
@click.option("--all", "all_", is_flag=True, help="Show every row that differs.")
@click.option("--csv", "csv_", is_flag=True, help="Print the rows as CSV, and nothing else, on standard output.")
@as_json
@common
@click.pass_context
def diff(ctx: click.Context, table: str, old: str, new: str | None, limit: int, all_: bool, csv_: bool, json_: bool) -> None:
    """Show the rows of TABLE that differ between the versions OLD and NEW (default: the newest), each a number of `history` or an instant.

    Counts rows added, removed and changed, by the table's key, or by their values where it has none, and the columns that changed. Reads only files
    that one of the versions has and the other has not. Exit status 3: rows differ.
    """
    if json_ and csv_:
        raise click.UsageError("--json and --csv were both given; give one of them")
    with closing_bench(ctx, must_exist=True) as bench:
        found = bench.diff(table, old, new, None if all_ else limit)
    if csv_:
        click.echo(as_csv(found), nl=False)
        click.echo(found.title, err=True)
    else:
        show(found if json_ else told(found), json_=json_)
    ctx.exit(FOUND if any(found.facts[name] for name in ("added", "removed", "changed")) else 0)


def as_csv(found: Report) -> str:
    """The rows as CSV; what a row held before and holds after as JSON."""
    out = io.StringIO()
    names = ["change", *found.facts["key"], "columns", "old", "new"]
    rows = csv.DictWriter(out, names, lineterminator="\n")
    rows.writeheader()
    for row in found:
        texts = {side: "" if row[side] is None else json.dumps(row[side], default=plain, ensure_ascii=False) for side in ("old", "new")}
        rows.writerow(row | texts)
    return out.getvalue()


def told(found: Report) -> Report:
    """The rows for a person: what differs in a line."""
    rows = []
    for row in found:
        old, new = row["old"] or {}, row["new"] or {}
        changed = ", ".join(f"{name}: {old[name]} → {new[name]}" for name in old.keys() & new.keys())
        one = changed or ", ".join(f"{name}: {value}" for name, value in (old or new).items() if value is not None)
        rows.append({"change": row["change"], **{name: row[name] for name in found.facts["key"]}, "values": one})
    shown = Report(found.title, rows, **found.facts)
    shown.most = max(len(rows), 1)
    return shown


@click.command()
@acts
@as_json
@common
@click.pass_context
def migrate(ctx: click.Context, yes: bool, json_: bool) -> None:
    """Bring a lake that an earlier workbench made to the present format. No row is written anew.

    Says what would be done: the lake's name and format, columns that tables declare now, settings, journals. With --yes it is done; killed, the same
    command goes on. Older lakes are read without it, too, and a write brings forward what it needs. Make a backup first.
    """
    with closing_bench(ctx, must_exist=True) as bench:
        show(bench.migrate(dry_run=not yes), json_=json_)
