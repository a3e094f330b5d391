"""The command that brings back: a backup as a lake, or tables of the lake as they were."""

import sys
from pathlib import Path
from typing import Any

import click

from workbench.cli.backing import Line
from workbench.cli.shared import as_json, closing_bench, common
from workbench.config import Settings
from workbench.errors import UsageError
from workbench.progress import note, show
from workbench.query.report import Report


@click.command()
@click.argument("words", nargs=-1, metavar="[SOURCE ROOT | TABLE…]")
@click.option("--snapshot", metavar="ID", help="The snapshot, or the beginning of its id. Default: the newest.")
@click.option(
    "--replace", is_flag=True, help="Put it in the place of the lake in ROOT, which is kept beside; shows what is there, and asks."
)
@click.option(
    "--identity", metavar="FILE", multiple=True, help="The file with the secret key of an encrypted backup, as age-keygen writes it."
)
@click.option("--as-of", metavar="INSTANT", help="Bring TABLEs (default: all) of the lake back to what they held at an instant.")
@click.option(
    "--version", type=int, metavar="N", help="Bring one TABLE of the lake back to a version; `workbench history TABLE` shows them."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@common
@click.pass_context
def restore(
    ctx: click.Context,
    words: tuple[str, ...],
    snapshot: str | None,
    replace: bool,
    identity: tuple[str, ...],
    as_of: str | None,
    version: int | None,
    yes: bool,
    json_: bool,
) -> None:
    """Bring back a backup, or tables as they were.

    \b
    workbench restore SOURCE ROOT             a backup becomes the lake in ROOT
    workbench restore --as-of INSTANT [TABLE…]   tables of the lake go back to an instant
    workbench restore --version N TABLE       a table of the lake goes back to a version

    SOURCE is where `workbench backup` put it (a folder, s3://bucket/prefix, or one snapshot as SOURCE#ID); ROOT alone takes WORKBENCH_BACKUP. Every
    file is checked; ROOT appears whole or not at all, and the same command goes on where it was killed. With --as-of and --version nothing is lost
    either: it is a commit like others, which can itself be taken back.
    """  # noqa: D301  click's mark for lines to be left as they are
    if as_of is not None or version is not None:
        if snapshot or replace or identity:
            raise click.UsageError("--snapshot, --replace and --identity are for a backup; --as-of and --version take the lake's own past")
        past(ctx, words, as_of, version, yes=yes, json_=json_)
        return
    source, root, identities = places(words, identity)
    backup(source, root, snapshot, replace=replace, identities=identities, yes=yes, json_=json_)


def places(words: tuple[str, ...], identity: tuple[str, ...]) -> tuple[str, Path, tuple[str, ...]]:
    """The backup, the root, and the identity files: as they are given, else as the settings say. Raises click's usage error."""
    # The settings of the project, whatever its own lake's root is.
    settings = Settings.load()
    default, key = (from_project(settings, one) for one in (settings.backup, settings.backup_identity))
    if len(words) == 1 and default:
        words = (default, *words)
    if len(words) != 2:
        raise click.UsageError("name the backup and the folder that it is to be restored to, as `workbench restore SOURCE ROOT`")
    if not words[1].strip():
        raise click.UsageError("ROOT is empty; nothing was restored. Name the folder that the backup is to be restored to, as ./lake")
    root = words[1] if "://" in words[1] else str(Path(words[1]).expanduser().absolute())
    return words[0], Settings.load(data=root).root, identity or ((key,) if key else ())


def from_project(settings: Settings, path: str) -> str:
    """A path of the settings: a relative one is told from the project's folder."""
    return path if not path or "://" in path else str(settings.project / Path(path).expanduser())


def backup(source: str, root: Path, snapshot: str | None, *, replace: bool, identities: tuple[str, ...], yes: bool, json_: bool) -> None:
    """Restore a snapshot, once it is agreed that a lake may go."""
    from workbench.lake.restoring.restore import ended, plan
    from workbench.query import restored

    # One that was killed between two renames was agreed to.
    taken = ended(source, root, snapshot, identities=identities) if replace else None
    if replace and not yes and not taken:
        chosen = plan(source, root, snapshot, replace=True, identities=identities)
        # What was shown is what comes, though a newer backup be made meanwhile.
        source, snapshot = chosen.where, chosen.manifest.id
        if chosen.target.kind == "lake":
            agreed(restored.planned(chosen), "Put the backup in its place?", "restored", json_=json_)
    with Line("files", quiet=json_) as line:
        done = (
            restored.told(taken)
            if taken
            else restored.restored(source, root, snapshot, replace=replace, identities=identities, say=line.say)
        )
    show(done, json_=json_)
    note(done.facts["notes"], quiet=json_)


def past(ctx: click.Context, tables: tuple[str, ...], as_of: str | None, version: int | None, *, yes: bool, json_: bool) -> None:
    """Take tables of the lake back, once it is agreed what goes and what comes."""
    given: dict[str, Any] = {"as_of": as_of, "version": version}
    with closing_bench(ctx, must_exist=True) as bench:
        going = bench.rewind(list(tables) or None, **given, dry_run=True)
        if going.rows and not yes:
            agreed(going, "Take these tables back?", "taken back", json_=json_)
        done = bench.rewind(list(tables) or None, **given) if going.rows else going
    show(done, json_=json_)
    note(done.facts.get("notes", ()), quiet=json_)


def agreed(going: Report, question: str, what: str, *, json_: bool) -> None:
    """Show what goes and comes, and ask. Aborts if the answer is no; raises `UsageError` where there is nobody to ask."""
    if json_:
        click.echo(going.title, err=True)
    else:
        show(going)
    note(going.facts.get("notes", ()), quiet=json_)
    if not sys.stdin.isatty():
        raise UsageError(f"this is not a terminal, so nobody can be asked, and nothing was {what}. Add --yes to do it.")
    click.confirm(question, abort=True, err=True)
