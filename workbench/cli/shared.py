"""What the commands share: how errors end, the options that all take, and the workbench that they work on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, TypeVar

import click

from workbench.errors import UsageError, WorkbenchError
from workbench.lake.who import asked
from workbench.progress import STOPPED, refusal

if TYPE_CHECKING:
    from workbench.bench import Workbench
    from workbench.config import Settings

FAILED, WRONG_USAGE, FOUND = 1, 2, 3
STOPPED_BY_USER = "stopped; what is committed is kept"

Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """The commands; every error ends here, in one sentence and an exit status."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        found = super().resolve_command(ctx, args)
        asked(f"{ctx.info_name} {found[0]}")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            leave(ctx, STOPPED_BY_USER, STOPPED)
        except UsageError as fault:
            leave(ctx, str(fault), WRONG_USAGE)
        except WorkbenchError as fault:
            leave(ctx, str(fault), FAILED)
        except Exception as fault:
            # A library that is stopped while it is imported says that it cannot be, and cannot be imported again.
            if isinstance(fault.__cause__, KeyboardInterrupt):
                leave(ctx, STOPPED_BY_USER, STOPPED)
            if refused := refusal(fault):
                leave(ctx, refused, FAILED)
            what = " ".join(f"{type(fault).__name__}: {fault}".split())
            leave(ctx, f"unexpected {what}. This is a fault of the workbench: please report it with what --debug shows", FAILED)


def leave(ctx: click.Context, why: str, status: int) -> Never:
    """End with a sentence on standard error."""
    if ctx.meta.get("debug") and sys.exc_info()[0] is not KeyboardInterrupt:
        import traceback

        traceback.print_exc()
    click.echo(f"workbench: {why}", err=True)
    ctx.exit(status)


def remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option that may stand before or after the command's name."""
    if value:
        ctx.meta[str(parameter.name)] = value


def common(function: Command) -> Command:
    """The options of every command."""
    data = click.option("--data", metavar="ROOT", callback=remember, expose_value=False, help="The lake's root. Default: WORKBENCH_DATA.")
    debug = click.option("--debug", is_flag=True, callback=remember, expose_value=False, help="Show the traceback of an error.")
    return data(debug(function))


as_json = click.option("--json", "json_", is_flag=True, help="Print JSON, and nothing else, on standard output.")


def names(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def configured(ctx: click.Context) -> "Settings":
    """The settings; a relative --data is told from the working directory, as any path at a prompt is."""
    from workbench.config import Settings

    data = ctx.meta.get("data")
    if data and "://" not in data:
        data = str(Path(data).expanduser().absolute())
    settings = Settings.load(data=data)
    if settings.log_level:
        from workbench.logs import as_settings_say

        as_settings_say(settings)
    return settings


@contextmanager
def closing_bench(ctx: click.Context, *, must_exist: bool = False) -> Iterator["Workbench"]:
    """The workbench that the command works on. Raises `NoLake` if it must exist and does not."""
    from workbench import bench

    settings = configured(ctx)
    with bench.open(settings) if must_exist else bench.Workbench(settings) as opened:
        warn_of_modes(settings)
        yield opened


def warn_of_modes(settings: "Settings") -> None:
    """Say on standard error, once, what of the lake and of the files with secrets others than their owner may reach."""
    from workbench.lake.modes import loose, told

    if warning := told(loose(settings.root, settings.secret_files, private=settings.file_modes == "private")):
        click.echo(f"warning: {warning}", err=True)
