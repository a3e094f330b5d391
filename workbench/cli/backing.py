"""The commands that keep a copy of the lake elsewhere: `workbench backup`, and what is asked of backups."""

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.shared import FOUND, as_json, closing_bench, common
from workbench.progress import note, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.cli.shared import Command

# How often the line on a terminal is written anew, and one in a pipe added.
SHOWN_S, TOLD_S = 0.2, 10.0
# Options of the group that take a value, as they may stand before the word that says what is asked.
VALUED = ("--data",)


class Asked(click.Group):
    """`backup DEST` makes one; `backup list DEST` and the others ask for something else. A folder of such a name is written ./list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what names none of the commands as the place to back up to."""
        at = 0
        while at < len(args) and (args[at] == "--debug" or args[at].partition("=")[0] in VALUED):
            at += 2 if args[at] in VALUED else 1
        if not (at < len(args) and (args[at] in self.commands or args[at] in ("-h", "--help"))):
            args = [*args[:at], "make", *args[at:]]
        return super().parse_args(ctx, args)

    def format_usage(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Both uses."""
        formatter.write_usage("workbench backup", "[DEST] [--keep AGE] [--encrypt-to KEY] [--json]")
        formatter.write_usage("workbench backup", "list|verify|prune|drill [DEST] …")


@click.group("backup", cls=Asked)
@common
def backup() -> None:
    """Keep a snapshot of the lake at DEST, a folder or s3://bucket/prefix, while others read and write; or ask for those that are kept.

    Without DEST: WORKBENCH_BACKUP. Files that DEST has already are not copied again. Keys for s3:// are found as AWS_ACCESS_KEY_ID, AWS_PROFILE, …;
    AWS_ENDPOINT_URL names another store than Amazon's. `workbench backup make --help` shows what making one takes.
    """


def place(function: "Command") -> "Command":
    """Where the backups stand."""
    return click.argument("dest", required=False)(function)


identity = click.option(
    "--identity",
    "identities",
    multiple=True,
    metavar="FILE",
    help="The file with age's secret key, for encrypted backups. Default: WORKBENCH_BACKUP_IDENTITY.",
)


@backup.command()
@place
@click.option("--keep", metavar="AGE", help="Afterwards remove snapshots older than this, as 30d, but never the newest.")
@click.option(
    "--encrypt-to",
    "recipients",
    multiple=True,
    metavar="KEY|FILE",
    help="Encrypt to age's public key (age1…), or to those in a file. Said once: later backups there are encrypted alike.",
)
@as_json
@common
@click.pass_context
def make(ctx: click.Context, dest: str | None, keep: str | None, recipients: tuple[str, ...], json_: bool) -> None:
    """Keep a snapshot at DEST (what `workbench backup DEST` does).

    Killed or out of room, it leaves no snapshot and those before as they were; the same command goes on with what was copied.
    """
    with closing_bench(ctx, must_exist=True) as bench, Line("files", quiet=json_) as line:
        made = bench.backup(dest, keep=keep, recipients=recipients, say=line.say)
    note(made.facts["notes"], quiet=json_)
    show(made, json_=json_)


@backup.command("list")
@place
@identity
@as_json
@common
@click.pass_context
def list_(ctx: click.Context, dest: str | None, identities: tuple[str, ...], json_: bool) -> None:
    """Show the snapshots at DEST, the newest last. Needs no lake."""
    with closing_bench(ctx) as bench:
        show(bench.backups(dest, identities=identities), json_=json_)


@backup.command()
@place
@click.option("--snapshot", metavar="ID", help="Only this one. Default: all.")
@click.option("--quick", is_flag=True, help="Look for every object and its size, and read none.")
@identity
@as_json
@common
@click.pass_context
def verify(ctx: click.Context, /, dest: str | None, json_: bool, **chosen: Any) -> None:
    """Check that DEST holds what its snapshots say: every file, by its size and sha256.

    Changes nothing. Names each file that is missing or altered, with its snapshot. Exit status 3: there is one.
    """
    with closing_bench(ctx) as bench, Line("objects", quiet=json_) as line:
        found = bench.verify_backup(dest, say=line.say, **chosen)
    show(found, json_=json_)
    ctx.exit(FOUND if found.facts["faults"] else 0)


@backup.command()
@place
@click.option(
    "--keep", metavar="AGE", default="30d", show_default=True, help="Remove snapshots older than this, as 30d, but never the newest."
)
@click.option("--yes", is_flag=True, help="Do it. Without this, it is only said what would be done.")
@as_json
@common
@click.pass_context
def prune(ctx: click.Context, dest: str | None, keep: str, yes: bool, json_: bool) -> None:
    """Remove old snapshots from DEST, and what no snapshot holds any more."""
    with closing_bench(ctx) as bench:
        show(bench.prune_backups(dest, keep, dry_run=not yes), json_=json_)


@backup.command()
@place
@click.option("--snapshot", metavar="ID", help="This one. Default: the newest.")
@click.option("--keep-root", "keep", is_flag=True, help="Leave the lake that was restored, and say where it is.")
@identity
@as_json
@common
@click.pass_context
def drill(ctx: click.Context, dest: str | None, snapshot: str | None, keep: bool, identities: tuple[str, ...], json_: bool) -> None:
    """Prove that DEST restores: restore a snapshot to a folder of its own, verify it, and compare every table's rows with the lake's.

    Exit status 3: something differs.
    """
    with closing_bench(ctx) as bench, Line("files", quiet=json_) as line:
        found = bench.drill(dest, snapshot, identities=identities, keep=keep, say=line.say)
    show(found, json_=json_)
    ctx.exit(0 if found.facts["good"] else FOUND)


class Line:
    """A line on standard error that says how far it is: written anew on a terminal, a new one now and then in a pipe."""

    def __init__(self, what: str, *, quiet: bool):
        self.what, self.quiet = what, quiet
        self.live = sys.stderr.isatty()
        self.last = time.monotonic()
        self.wrote = False

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.wrote and self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    @property
    def say(self) -> "Callable[[int, int, int], None] | None":
        """What takes in how far it is; None where nothing is to be said."""
        return None if self.quiet and not self.live else self._say

    def _say(self, done: int, total: int, size: int) -> None:
        from workbench.query.report import sized

        now = time.monotonic()
        if now - self.last < (SHOWN_S if self.live else TOLD_S):
            return
        self.last, self.wrote = now, True
        text = f"{done:,} of {total:,} {self.what}, {sized(size)}"
        sys.stderr.write(f"\r\x1b[K{text}" if self.live else f"{text}\n")
        sys.stderr.flush()
