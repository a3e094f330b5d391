"""The commands that run notebooks and tell of runs: run, runs, lab."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from workbench.cli.shared import as_json, common, configured
from workbench.errors import MissingExtra, UsageError
from workbench.progress import console, show

if TYPE_CHECKING:
    from workbench.notebooks.running import Cell, Listener, Stop
    from workbench.runs import Run

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Duration(click.ParamType[float]):
    """A length of time, as 90s, 30m, 2h or 1d; a bare number is seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*([smhd]?)", str(value).strip().lower())
        if not match:
            self.fail(f"{value!r} is not a length of time; give it as 90s, 30m, 2h or 1d", param, ctx)
        return float(match[1]) * UNITS[match[2] or "s"]


@click.command()
@click.argument("notebook")
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter, as -p days 5; again for each.")
@click.option("--parameters", "listing", is_flag=True, help="List what the notebook can be given, and run nothing.")
@click.option("--timeout", type=Duration(), metavar="TIME", help="End an attempt that takes longer, with its kernel: 90s, 30m, 2h.")
@click.option("--retries", type=click.IntRange(0, 100), default=0, metavar="N", help="Try a failed run so often again.")
@click.option(
    "--wait", type=Duration(), default="1m", show_default=True, metavar="TIME", help="With --retries: how long to wait before each."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="Put a copy of the notebook with its results there, too.")
@as_json
@common
@click.pass_context
def run(
    ctx: click.Context,
    notebook: str,
    parameters: tuple[tuple[str, str], ...],
    listing: bool,
    timeout: float | None,
    retries: int,
    wait: float,
    output: Path | None,
    json_: bool,
) -> None:
    """Run NOTEBOOK with parameters, and keep it with its results, and the lake's versions before and after, on record under <root>/runs.

    Unknown parameters are refused, secrets are neither taken nor kept. One run of a notebook at a time. Ctrl-C interrupts its cell, and keeps what
    there is; again ends it at once. Exit status: 0 done; 1 failed; 3 the notebook found something (`workbench.notebooks.findings`, or sys.exit(3)).
    """
    from workbench.notebooks import running

    if listing:
        show(takes(running.found(notebook)), json_=json_)
        return
    settings = configured(ctx)
    limited = {"--timeout": timeout, "--retries": retries, "--wait": wait if retries else None}
    words = ["run", notebook, *(word for name, value in parameters for word in ("-p", name, value))]
    words += [word for name, value in limited.items() if value for word in (name, f"{value:g}")]
    stop = running.Stop()
    with signalled(stop), told(json_) as listener:
        ended = running.run_notebook(
            settings,
            notebook,
            parameters,
            limits=running.Limits(timeout, retries, wait),
            listener=listener,
            stop=stop,
            words=words,
            copy=output,
        )
    if json_:
        click.echo(json_of(ended))
    else:
        conclude(ended)
    ctx.exit(ended.status or 0)


def takes(path: Path) -> Any:
    """What a notebook can be given, as a report."""
    from workbench.notebooks.executing import loaded
    from workbench.notebooks.parameters import declared
    from workbench.query.report import Report

    found = declared(loaded(path))
    rows = [
        {"parameter": one.name, "default": one.written, "takes": one.kind or "anything", "meaning": one.comment}
        for one in (found or {}).values()
    ]
    none = "it has no cell tagged parameters" if found is None else f"{len(rows)} parameters"
    return Report(f"{path.name}: {none}.", rows)


@contextmanager
def signalled(stop: "Stop") -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP ask the run to stop."""

    def heard(*_: object) -> None:
        # The signal may have come in the middle of a print, which cannot be begun again.
        os.write(
            2, b"\nstopping: the cell is interrupted and what there is is kept; Ctrl-C again ends it at once\n" if not stop.asked else b"\n"
        )
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, heard) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def told(json_: bool) -> "Iterator[Listener]":
    """How a run is shown as it goes: a bar on a terminal, lines in a pipe, nothing in a pipe where standard output is for a machine."""
    from workbench.notebooks.running import Listener

    if (sys.stderr if json_ else sys.stdout).isatty():
        with bar(err=json_) as shown:
            yield shown
    else:
        yield Listener() if json_ else lines()


def lines() -> "Listener":
    """A line for each cell."""
    from workbench.notebooks.running import Listener

    class Lines(Listener):
        def began(self, run: "Run") -> None:
            click.echo(f"run {run.id}, into {run.output}")

        def cell(self, at: "Cell") -> None:
            click.echo(f"{at.seconds:8.1f} s  cell {at.cell} of {at.of}{f', attempt {at.attempt}' if at.attempt > 1 else ''}")

        def told(self, text: str) -> None:
            click.echo(text)

    return Lines()


@contextmanager
def bar(*, err: bool) -> "Iterator[Listener]":
    """A bar of cells; it leaves the screen when the run ends."""
    from rich import progress as shown

    from workbench.notebooks.running import Listener

    display = shown.Progress(
        shown.TextColumn("{task.description}"),
        shown.BarColumn(bar_width=30),
        shown.MofNCompleteColumn(),
        shown.TimeElapsedColumn(),
        console=console(err=err),
        transient=True,
    )
    task = display.add_task("starting the kernel", total=None)

    class Bar(Listener):
        def cell(self, at: "Cell") -> None:
            again = f", attempt {at.attempt}" if at.attempt > 1 else ""
            display.update(task, description=f"cell {at.cell}{again}", completed=at.cell - 1, total=at.of)

        def told(self, text: str) -> None:
            display.console.print(text)

    with display:
        yield Bar()


def conclude(ended: "Run") -> None:
    """Say what came of a run."""
    from workbench.notebooks.stamping import changed

    moved = changed(ended.before, ended.after)
    took = f" in {ended.seconds:.1f} s" if ended.seconds is not None else ""
    # Of a run that was broken off nobody saw the versions after.
    tables = f"; {len(moved)} tables changed" if ended.after or not ended.before else ""
    where = f": {ended.output}" if ended.output else ""
    click.echo(f"{ended.state}{took}{f', {ended.attempts} attempts' * (ended.attempts > 1)}{tables}{where}")
    if ended.reason:
        click.echo(f"workbench: {ended.reason}", err=True)


def json_of(run: "Run") -> str:
    """A run's record, with its state."""
    import json
    from dataclasses import asdict

    return json.dumps(asdict(run) | {"state": run.state, "seconds": run.seconds}, default=str, indent=1)


@click.command()
@click.argument("id", required=False)
@click.option("--kind", metavar="KIND", help="Only runs of this kind: notebook, refresh, or another command.")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The newest N.")
@click.option("--log", is_flag=True, help="With ID: what the run printed and complained of.")
@click.option("--stop", is_flag=True, help="With ID: ask it to stop, as Ctrl-C would.")
@as_json
@common
@click.pass_context
def runs(ctx: click.Context, id: str | None, kind: str | None, last: int, log: bool, stop: bool, json_: bool) -> None:
    """List the runs on record, the newest first: notebooks, refreshes from panels, and what was scheduled. With ID (or its beginning), tell of one."""
    from workbench.query.report import Report
    from workbench.runs import Runs

    settings = configured(ctx)
    every = Runs(settings.root)
    if (log or stop) and not id:
        raise click.UsageError("--log and --stop go with the ID of a run; `workbench runs` lists them")
    if id:
        one = every.get(matching(every, id))
        if stop:
            from workbench.runs.minding import stop as stop_run

            stop_run(settings.root, one.id)
            click.echo(f"asked {one.id} to stop; what is landed stays")
        elif log:
            printed(every.place(one.id))
        elif json_:
            click.echo(json_of(one))
        else:
            tell(one, settings.timezone)
        return
    chosen = [one for one in every if kind in (None, one.kind)][:last]
    rows = [row(one, settings.timezone) for one in chosen]
    if json_:
        rows = [
            as_row | {"reason": one.reason, "command": " ".join(one.command), "output": one.output}
            for as_row, one in zip(rows, chosen, strict=True)
        ]
    what = f" of kind {kind}" if kind else ""
    show(Report(f"{len(rows)} runs{what} on record in {every.folder}, the newest first.", rows, ("by", "changed")), json_=json_)


def matching(every: Any, id: str) -> str:
    """A run's whole id. Raises `UsageError` where several begin so."""
    ids = [one.id for one in every if one.id.startswith(id)]
    if len(ids) > 1 and id not in ids:
        raise UsageError(f"{len(ids)} runs begin with {id!r}, as {ids[0]} and {ids[1]}; nothing was done. Give more of the id.")
    return ids[0] if len(ids) == 1 else id


def row(run: "Run", zone: str) -> dict[str, Any]:
    """A run as a line of the list."""
    from workbench.notebooks.stamping import changed

    seconds = run.seconds
    return {
        "run": run.id,
        "kind": run.kind,
        "state": run.state,
        "started": here(run.started, zone),
        "seconds": None if seconds is None else round(seconds, 1),
        "by": run.by,
        "changed": len(changed(run.before, run.after)) if run.after else None,
        "what": Path(run.output).name if run.kind == "notebook" and run.output else " ".join(run.command),
        "reason": short(run.reason),
    }


def short(text: str) -> str:
    """The last line of a reason, cut to a list's width."""
    line = text.strip().splitlines()[-1] if text.strip() else ""
    return line if len(line) <= 80 else f"{line[:79]}…"


def here(instant: str, zone: str) -> str:
    """An instant on record as the settings' zone has it."""
    return f"{datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}" if instant else ""


def tell(run: "Run", zone: str) -> None:
    """One run, as a person reads it."""
    from rich.text import Text

    from workbench.notebooks.stamping import changed
    from workbench.query.report import Report

    took = "" if run.seconds is None else f", {run.seconds:.1f} s"
    facts = {
        "command": "workbench " + " ".join(run.command),
        "started": f"{here(run.started, zone)} ({zone}) by {run.by}",
        "ended": f"{here(run.ended, zone)}{took}" if run.ended else "",
        "attempts": run.attempts or "",
        "process": f"{run.pid} on {run.host}" if run.state == "running" else "",
        "output": run.output,
        "reason": run.reason,
        **{name: value for name, value in run.facts.items() if value not in ("", None, {}, [])},
    }
    console().print(Text(f"{run.id}: {run.kind}, {run.state}{f' ({run.status})' if run.status else ''}"))
    for name, value in facts.items():
        if value != "":
            click.echo(f"{name:<12}{value}")
    moved = changed(run.before, run.after) if run.after else {}
    rows = [{"table": name, "version before": old, "version after": new} for name, (old, new) in moved.items()]
    if rows:
        console().print(Report("\nTables that changed while it ran:", rows))


def printed(place: Path) -> None:
    """Print what a run printed, and on standard error what it complained of."""
    from workbench.runs.record import ERRORS, LOG

    for name, err in ((LOG, False), (ERRORS, True)):
        path = place / name
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as lines_of:
                for line in lines_of:
                    click.echo(line.rstrip("\n"), err=err)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
@common
@click.pass_context
def lab(ctx: click.Context, folder: Path | None, more: tuple[str, ...]) -> None:
    """Open JupyterLab on FOLDER (default: notebooks/ of the project, else here), with the settings of this command line. MORE goes to JupyterLab."""
    from importlib.util import find_spec

    from workbench.notebooks.running import absolute

    if find_spec("jupyterlab") is None:
        raise MissingExtra("jupyterlab is not installed, so nothing was opened; pip install 'workbench[lab]'")
    settings = configured(ctx)
    if folder and str(folder).startswith("-"):
        folder, more = None, (str(folder), *more)
    own = settings.project / "notebooks"
    place = folder or (own if own.is_dir() else Path.cwd())
    if not place.is_dir():
        raise UsageError(f"{place} is not a folder; nothing was opened.")
    sys.stdout.flush()
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={place.resolve()}", *more]
    # JupyterLab takes this process's place: Ctrl-C and its exit status are its own.
    os.execve(words[0], words, absolute(settings))  # noqa: S606
