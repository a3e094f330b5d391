"""`workbench schedule`: what is run at times, by a server in the foreground or by the system."""

import logging
import os
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.running import Duration, conclude, here, json_of, short
from workbench.cli.shared import FAILED, as_json, common, configured
from workbench.errors import UnknownName, UsageError
from workbench.progress import note, show

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.schedule.book import Schedule
    from workbench.schedule.firing import Begun

# What stays open, asks, or schedules: none of it ends by itself at night.
NOT_SCHEDULED = ("schedule", "serve", "lab")
LOG_BYTES = 1_000_000


@click.group()
def schedule() -> None:
    """Run commands at times: notebooks, refreshes, upkeep. Missed times are caught up once; failures are told as [notify] in workbench.toml says.

    `serve` does it in the foreground; `install` has the system's cron or systemd do it.
    """


@schedule.command(context_settings={"ignore_unknown_options": True})
@click.argument("when")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--name", metavar="NAME", default="", help="Default: one of its command.")
@click.option(
    "--timeout", type=Duration(), default="0", metavar="TIME", help="End a run that takes longer: 30m, 2h. Default: none is ended."
)
@as_json
@common
@click.pass_context
def add(ctx: click.Context, when: str, command: tuple[str, ...], name: str, timeout: float, json_: bool) -> None:
    """Schedule any workbench COMMAND: `workbench schedule add "30 11 * * 2-6 America/New_York" -- refresh --last 5`.

    WHEN is as cron has it: minute, hour, day of the month, month, day of the week (0 or 7 is Sunday), and perhaps a zone (default:
    WORKBENCH_TIMEZONE). A time that a change of clocks leaves out, or brings twice, comes once. The command runs in this folder.
    """
    from workbench.schedule.book import Book
    from workbench.schedule.cron import Cron

    settings = configured(ctx)
    cron = Cron.parse(when, settings.timezone)
    expect_runnable(ctx, command, settings)
    with Book.changing(settings.root) as book:
        made = book.add(name, cron, command, Path.cwd(), timeout)
    if json_:
        click.echo(as_text(row(made, settings)))
        return
    click.echo(f"scheduled {made.name}: {made.when}: workbench {shlex.join(made.command)}")
    click.echo(
        f"next at {row(made, settings)['next']} ({settings.timezone}), if `workbench schedule serve` runs or `workbench schedule install` was done"
    )
    if not settings.notify:
        note(["nobody is told of failures: [notify] in workbench.toml names nobody"], quiet=True)


def expect_runnable(ctx: click.Context, command: tuple[str, ...], settings: "Settings") -> None:
    """Raises `UsageError` for a command that could not run, must not be scheduled, or holds a secret."""
    from workbench.runs.masking import Secrets

    main = ctx.find_root().command
    assert isinstance(main, click.Group)
    if command[0] == "workbench":
        raise UsageError("leave the word workbench out of the command; nothing was scheduled.")
    known = [one for one in main.commands if one not in NOT_SCHEDULED]
    if command[0] not in known:
        raise UnknownName("command to schedule", command[0], known)
    secrets = Secrets.of(settings, os.environ)
    if any(word in secrets for word in command):
        raise UsageError(
            "the command holds a secret, and commands are kept and shown; nothing was scheduled. Put it into the environment or .env, and leave it out."
        )
    if any(word == "--data" or word.startswith("--data=") for word in command):
        raise UsageError(
            "the command names a lake with --data, but it is run on the schedule's; nothing was scheduled. Give --data before `schedule`."
        )
    chosen = main.commands[command[0]]
    # Its words are read as they will be then; nothing is run.
    made = chosen.make_context(command[0], list(command[1:]), parent=click.Context(main, info_name="workbench"))
    if command[0] == "run":
        from workbench.notebooks import running
        from workbench.notebooks.executing import loaded
        from workbench.notebooks.parameters import checked

        path = running.found(made.params["notebook"])
        checked(loaded(path), path, made.params["parameters"], secrets)


@schedule.command("list")
@as_json
@common
@click.pass_context
def list_(ctx: click.Context, json_: bool) -> None:
    """List what is scheduled, when each is due next, and how its last run ended."""
    from workbench.query.report import Report
    from workbench.schedule.book import Book

    settings = configured(ctx)
    rows = [row(one, settings) for one in Book.read(settings.root)]
    if not json_:
        rows = [one | {"reason": short(one["reason"])} for one in rows]
    show(Report(f"{len(rows)} schedules in {settings.where}, times in {settings.timezone}.", rows, ("ended", "reason")), json_=json_)


def row(one: "Schedule", settings: "Settings") -> dict[str, Any]:
    """A schedule as a line of the list."""
    from workbench.errors import WorkbenchError
    from workbench.runs import Runs
    from workbench.schedule.book import going

    try:
        last = Runs(settings.root).get(one.run) if one.run else None
    except WorkbenchError:
        last = None
    now = datetime.now(UTC)
    coming = None if one.paused else one.due(now) or one.cron.after(now)
    state = "" if last is None else last.state if last.state != "running" or going(settings.root, one, now) else "broken off"
    return {
        "schedule": one.name,
        "when": one.when,
        "next": "paused"
        if one.paused
        else f"{here(coming.isoformat(), settings.timezone)}{' (due)' * (coming <= now)}"
        if coming
        else "never",
        "last": state,
        "ended": here(last.ended, settings.timezone) if last else "",
        "command": shlex.join(one.command),
        "reason": last.reason if last else "",
    }


def as_text(told: dict[str, Any]) -> str:
    """A line as JSON."""
    import json

    return json.dumps(told, indent=1, default=str)


@schedule.command()
@click.argument("name")
@common
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Take NAME out. A run of it that goes on goes on; its record stays."""
    from workbench.schedule.book import Book

    with Book.changing(configured(ctx).root) as book:
        gone = book.remove(name)
    click.echo(f"removed {gone.name}: {gone.when}: workbench {shlex.join(gone.command)}")


@schedule.command()
@click.argument("name")
@common
@click.pass_context
def pause(ctx: click.Context, name: str) -> None:
    """Leave NAME alone until `resume`. Its times until then count as not missed."""
    from workbench.schedule.book import Book

    with Book.changing(configured(ctx).root) as book:
        already = book[name].paused
        book.change(name, paused=True)
    click.echo(f"{name} {'was paused already' if already else 'is paused'}; `workbench schedule resume {name}` takes it up again")


@schedule.command()
@click.argument("name")
@common
@click.pass_context
def resume(ctx: click.Context, name: str) -> None:
    """Take NAME up again, from now on."""
    from workbench.schedule.book import Book

    settings = configured(ctx)
    with Book.changing(settings.root) as book:
        one = book[name]
        if one.paused:
            one = book.change(name, paused=False, since=datetime.now(UTC).isoformat())
    click.echo(f"{name} is next due at {row(one, settings)['next']} ({settings.timezone})")


no_wait = click.option("--no-wait", is_flag=True, help="Come back when they are begun; the record tells how they end.")


@schedule.command("run-now")
@click.argument("name")
@no_wait
@as_json
@common
@click.pass_context
def run_now(ctx: click.Context, name: str, no_wait: bool, json_: bool) -> None:
    """Run NAME now, due or not. Exit status: the command's. Ctrl-C leaves it running."""
    from workbench.schedule import firing

    settings = configured(ctx)
    ended(ctx, [firing.now(settings.root, name)], settings, wait=not no_wait, json_=json_)


@schedule.command()
@no_wait
@as_json
@common
@click.pass_context
def due(ctx: click.Context, no_wait: bool, json_: bool) -> None:
    """Run what is due, once, and exit: what cron and systemd call every minute. Says nothing if nothing is due. Exit status: the worst of the runs'."""
    from workbench.schedule import firing

    settings = configured(ctx)
    say = logged(settings.root, lambda text: None if json_ else click.echo(text))
    for run in firing.mourn(settings):
        say(f"{run.by.partition(':')[2]}: run {run.id} was broken off")
    begun = firing.due(settings.root)
    for one in begun:
        say(str(one))
    ended(ctx, begun, settings, wait=not no_wait, json_=json_, said=True)


def ended(ctx: click.Context, begun: "list[Begun]", settings: "Settings", *, wait: bool, json_: bool, said: bool = False) -> None:
    """Wait for runs to end, and show what came of them."""
    from workbench.runs import Runs

    runs = Runs(settings.root)
    for one in begun:
        if not said and not json_:
            click.echo(str(one))
        if wait and one.process:
            one.process.wait()
    found = [runs.get(one.run.id) for one in begun]
    if json_:
        click.echo("[" + ",\n".join(json_of(one) for one in found) + "]")
    elif wait:
        for run in found:
            conclude(run)
    if wait:
        statuses = [FAILED if run.status is None else run.status for run in found]
        ctx.exit(next((status for status in (*(s for s in statuses if s not in (0, 3)), 3) if status in statuses), 0))


def logged(root: Path, say: Callable[[str], None]) -> Callable[[str], None]:
    """Say things, and keep them in <root>/schedules.log, which does not grow beyond bounds."""
    logger = logging.Logger("workbench.schedule")
    try:
        handler = RotatingFileHandler(root / "schedules.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
    except OSError:
        # The root is not there, or cannot be written: what follows says so.
        return say

    def both(text: str) -> None:
        say(text)
        logger.info("%s", text)

    return both


@schedule.command()
@common
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Run what is scheduled, on time, until Ctrl-C or SIGTERM. One server a lake. Looks at changed schedules by itself; catches up what was missed, once."""
    from workbench.schedule.serving import serve as serve_schedules

    settings = configured(ctx)
    check_notify(settings)
    serve_schedules(settings, logged(settings.root, lambda text: click.echo(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}")))


def check_notify(settings: "Settings") -> None:
    """Say what of [notify] cannot work."""
    if settings.notify.email and not settings.smtp_host:
        note(["[notify] email names addresses, but WORKBENCH_SMTP_HOST names no server: nobody can be written to"], quiet=True)


@schedule.command()
@click.option("--cron", "how", flag_value="cron", help="A marked block in your crontab.")
@click.option("--systemd", "how", flag_value="systemd", help="A timer of your own systemd (no root needed).")
@click.option("--print", "printing", is_flag=True, help="Only show what would be written.")
@common
@click.pass_context
def install(ctx: click.Context, how: str | None, printing: bool) -> None:
    """Have the system look every minute for what is due, with --cron or --systemd. Shows what it writes; `uninstall` takes it out again."""
    from workbench.schedule import installing

    if how not in ("cron", "systemd"):
        raise click.UsageError("give --cron or --systemd; nothing was installed")
    settings = configured(ctx)
    plan = installing.planned(settings, how) if printing else installing.install(settings, how)  # type: ignore[arg-type]
    for place, text in plan.texts.items():
        click.echo(f"# {place}\n{text}")
    if only := installing.left_out(settings):
        note(
            [f"{', '.join(only)}: set in this shell only, so the system's runs will not have it; put it into {settings.project / '.env'}"],
            quiet=True,
        )
    if how == "systemd":
        note(["it runs while you are logged in; for always: loginctl enable-linger"], quiet=True)
    click.echo("Nothing was written." if printing else f"Installed for {settings.where}; it begins within a minute.")


@schedule.command()
@common
@click.pass_context
def uninstall(ctx: click.Context) -> None:
    """Take out what `install` wrote for this lake, and nothing else. The schedules stay."""
    from workbench.schedule import installing

    settings = configured(ctx)
    gone = installing.uninstall(settings)
    click.echo(f"removed {', '.join(gone)}" if gone else f"nothing was installed for {settings.where}")


@schedule.command("test-notify")
@common
@click.pass_context
def test_notify(ctx: click.Context) -> None:
    """Tell all that [notify] in workbench.toml names of a made-up failure. Exit status 1 if one could not be told."""
    from workbench.runs import Run
    from workbench.runs.masking import Secrets
    from workbench.schedule.notifying import message_of, notify

    settings = configured(ctx)
    if not settings.notify:
        raise UsageError(
            "[notify] in workbench.toml names nobody, so nobody was told. Give it command, email or webhook, as:\n"
            '[notify]\nemail = ["you@example.com"]'
        )
    check_notify(settings)
    now = datetime.now(UTC).isoformat()
    made = Run(
        "test", "test", ("schedule", "test-notify"), "prompt", now, ended=now, status=FAILED, reason="nothing failed: this is a test"
    )
    came = notify(settings, message_of(settings.root, made, "test"), Secrets.of(settings, os.environ))
    for way, told in came.items():
        click.echo(f"{way}: {re.sub(r'^told$', 'told; look whether it came', told)}")
    ctx.exit(FAILED if any(told != "told" for told in came.values()) else 0)
