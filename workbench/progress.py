"""What the prompt shows: reports, rows, and what a refresh says while it runs: a bar, plain lines, or lines of JSON."""

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import click

from workbench.errors import UsageError, WorkbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.query.report import Report
    from workbench.refresh.batch import Done
    from workbench.refresh.plan import Step
    from workbench.refresh.run import Refresh
    from workbench.refresh.summary import Summary

STOPPED = 130
SHOWN_PROBLEMS = 20
# Wide enough for every report; a pipe has no width of its own.
PIPE_WIDTH = 200
# How often it is told what is in flight.
MOVES_SECONDS = 0.25


def kept(run: "Refresh") -> int:
    """How many of a plan's files the lake holds now."""
    landed = {name: run.lake[name].landings() for name in {step.table for step in (*run.plan.to_fetch, *run.plan.to_ask)}}
    pairs = ((step.file, landed[step.table].get(step.key)) for step in run.plan.to_fetch)
    answered = {(table, one.session) for table, held in landed.items() for one in held.values() if one.run == run.id}
    return sum(bool(file and held and file.etag in (held.etag, *held.aliases)) for file, held in pairs) + sum(
        (step.table, step.session) in answered for step in run.plan.to_ask
    )


@contextmanager
def stoppable(ask: Callable[[], None] | None = None, finishing: str = "files in flight are finished and kept") -> Iterator[None]:
    """Have SIGINT ask a run to stop, or raise; also where it is started with the signal ignored, as a kernel's children are. `finishing` says what it does then.

    A run that is asked ends between two steps: an interruption in the middle of a commit would leave files that nobody owns.
    """

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not ask:
            raise KeyboardInterrupt
        # The signal may have come in the middle of a print, which cannot be begun again.
        os.write(2, f"\nstopping: {finishing}; Ctrl-C again leaves at once\n".encode())
        ask()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Progress:
    """What is said while a refresh runs: nothing, unless a subclass says more."""

    def __init__(self, run: "Refresh"):
        self.plan = run.plan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """End the display."""

    def step(self, done: "Done") -> None:
        """Take in a step that was done."""

    def tell(self, text: str) -> None:
        """A source waits for its plan's limit."""

    def waits(self, step: "Step") -> None:
        """Take in a step that has landed and waits for the rest of its chunk."""

    # Takes in what is in flight, up to four times a second and from a thread of its own: see `refresh.moving`.
    moves: Callable[[list[dict[str, Any]]], None] | None = None

    def stopped(self, count: int, of: int) -> None:
        """Say what is kept of a run that was stopped."""
        click.echo(f"stopped: {count} of {of} files are in the lake and stay there; the same command lands the rest", err=True)

    def end(self, summary: "Summary") -> None:
        """Take in the summary."""


class Plain(Progress):
    """A line for each step."""

    def tell(self, text: str) -> None:
        click.echo(text)

    def step(self, done: "Done") -> None:
        from workbench.query.report import sized

        # What is asked for has no size before it lands; of reference data, several sources answer.
        size = sized(done.step.size) if done.step.size else ""
        told = f"{done.rows:>12,} rows {size or done.step.source:>11} {done.seconds:6.2f} s" if done.rows else done.reason
        click.echo(f"{done.step.table:<15} {done.step.session} {done.outcome:<12} {told}")


class Lines(Progress):
    """A line of JSON for each step: what panels and other programs read."""

    def __init__(self, run: "Refresh"):
        super().__init__(run)
        self._whole = threading.Lock()
        report = run.plan.report
        self.print("plan", title=report.title, **report.facts, root=str(run.lake.root))

    def print(self, event: str, **facts: Any) -> None:
        """Print one line, at once."""
        from workbench.query.report import plain

        line = json.dumps({"event": event, **facts}, default=plain)
        # Threads tell of files in flight and of waits: a line of one must not begin within another's.
        with self._whole:
            click.echo(line)

    def step(self, done: "Done") -> None:
        told = {"key": done.step.key} | {
            name: getattr(done, name) for name in ("outcome", "rows", "refused", "transferred", "seconds", "reason")
        }
        step = done.step
        by = {"action": step.action, "source": step.source, "instead_of": step.instead_of, "fell_back": done.fell_back}
        self.print("step", table=step.table, session=step.session, size=step.size, **told, **by)

    def moves(self, flights: list[dict[str, Any]]) -> None:
        self.print("moves", files=flights)

    def tell(self, text: str) -> None:
        self.print("tells", text=text)

    def waits(self, step: "Step") -> None:
        self.print("waits", table=step.table, session=step.session, key=step.key, size=step.size)

    def stopped(self, count: int, of: int) -> None:
        super().stopped(count, of)
        self.print("stopped", kept=count, of=of, exit_status=STOPPED)

    def end(self, summary: "Summary") -> None:
        self.print("summary", title=summary.title, **summary.facts, rows=summary.rows, exit_status=summary.exit_status)


class Bar(Progress):
    """A bar with files, rows, bytes, rate and time left; it leaves the screen when the run ends."""

    def __init__(self, run: "Refresh", err: bool):
        from rich import progress as shown

        super().__init__(run)
        self.rows = self.bytes = 0
        self.flights: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.of = len(run.plan.to_fetch) + len(run.plan.to_ask)
        self.bar = shown.Progress(
            shown.TextColumn("{task.description}"),
            shown.BarColumn(bar_width=30),
            shown.TextColumn("{task.fields[files]} files · {task.fields[rows]} rows"),
            shown.DownloadColumn(),
            shown.TransferSpeedColumn(),
            shown.TimeRemainingColumn(compact=True),
            console=console(err=err),
            transient=True,
        )
        total = sum(step.size for step in run.plan.to_fetch)
        self.task = self.bar.add_task("refresh", total=total, files=f"0/{self.of}", rows="0")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def tell(self, text: str) -> None:
        self.bar.console.print(text)

    def step(self, done: "Done") -> None:
        if done.step.file:
            self.rows += done.rows
            self._show(done.step)

    def waits(self, step: "Step") -> None:
        self._show(step)

    def _show(self, step: "Step") -> None:
        # A session that is asked for comes in as many answers as its tickers take.
        mark = f"{step.table} {step.session}" if step.action == "ask" else step.key
        advance = 0 if mark in self.seen or step.action == "ask" else step.size
        self.seen.add(mark)
        files = f"{len(self.seen)}/{self.of}"
        self.bytes += advance
        self.bar.update(self.task, description=f"{step.table} {step.session}", files=files, rows=f"{self.rows:,}")
        self._advance()

    def moves(self, flights: list[dict[str, Any]]) -> None:
        self.flights = flights
        self._advance()

    def _advance(self) -> None:
        # A file that has landed is in flight no more a moment later: the bar does not go beyond its end for that moment, nor back.
        [task] = self.bar.tasks
        here = self.bytes + sum(one["fetched"] for one in self.flights if one["key"] not in self.seen)
        self.bar.update(self.task, completed=max(task.completed, min(here, task.total or 0)))


def progress(run: "Refresh", *, quiet: bool) -> Progress:
    """How to show a run: a bar on a terminal, lines in a pipe, nothing in a pipe where standard output is for a machine."""
    if (sys.stderr if quiet else sys.stdout).isatty():
        return Bar(run, err=quiet)
    return Progress(run) if quiet else Plain(run)


def driven(run: "Refresh", say: Progress) -> "Summary":
    """Run a refresh to its end, or until Ctrl-C, and say so as it goes; `run.stopped` tells which."""
    with say, stoppable(run.stop), watched(run, say):
        run.waits = say.waits
        run.chain.hear(say.tell)
        summary = run.run(say.step)
    if run.stopped:
        say.stopped(kept(run), len(run.plan.to_fetch) + len(run.plan.to_ask))
    return summary


@contextmanager
def telling_faults(*, jsonl: bool) -> Iterator[None]:
    """Have lines of JSON end with what broke the run off, and its class: which keys, which source. Wrong usage is told before the first line."""
    try:
        yield
    except WorkbenchError as fault:
        if jsonl and not isinstance(fault, UsageError):
            click.echo(json.dumps({"event": "error", "kind": type(fault).__name__, "text": str(fault)}))
        raise


@contextmanager
def watched(run: "Refresh", say: Progress) -> Iterator[None]:
    """Have what is in flight told while the block runs, each time it has changed; nobody is told who does not hear it."""
    if not say.moves:
        yield
        return
    hear, ended = say.moves, threading.Event()

    def watch() -> None:
        before: list[dict[str, Any]] = []
        # Whoever closed the pipe is told by the run itself.
        with suppress(OSError, ValueError):
            while not ended.wait(MOVES_SECONDS):
                now = run.flights.told()
                if now != before:
                    hear(now)
                before = now

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def console(*, err: bool = False) -> "Console":
    """Where reports go: as wide as the terminal, or as wide as a report in a pipe."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def refusal(fault: Exception) -> str:
    """What DuckDB, the disk or a closed pipe says for itself; nothing for what nobody expected."""
    import duckdb

    if isinstance(fault, duckdb.IOException | duckdb.InvalidInputException) and ".parquet" in str(fault):
        # No source has what people wrote.
        mend = (
            "`workbench refresh` fetches lost files anew"
            if "/lake/main/" in str(fault)
            else "`workbench verify` tells what is wrong with it"
        )
        return f"a file of the lake cannot be read ({str(fault).splitlines()[0]}); nothing was changed. {mend}"
    if isinstance(fault, duckdb.Error):
        return " ".join(str(fault).split())
    if isinstance(fault, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError) and fault.filename:
        return f"{fault.filename} cannot be used ({fault.strerror}); nothing was changed"
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return f"the disk takes no more{f' at {fault.filename}' * bool(fault.filename)} ({fault.strerror}). Make room, and run the command again; what is committed is kept"
    return ""


def note(notes: Sequence[str], *, quiet: bool = False) -> None:
    """Say what is to be known before a run; on standard error where standard output is for a machine."""
    for line in notes:
        click.echo(line, err=quiet)


def conclude(summary: "Summary") -> None:
    """Show what a refresh did, and what is wrong."""
    console().print(summary)
    if workers := summary.facts.get("workers"):
        click.echo(f"landed by {workers}")
    if upkeep := summary.facts.get("maintenance"):
        click.echo(upkeep)
    if found := summary.facts.get("tickers"):
        console().print(found)
        note(found.facts["notes"])
    for line in summary.told[:SHOWN_PROBLEMS]:
        click.echo(line)
    more = len(summary.told) - SHOWN_PROBLEMS
    if more > 0:
        tables = sorted({one.step.table for one in summary.done if one.outcome in ("quarantined", "failed", "missing") or one.refused})
        click.echo(f"and {more} more: workbench coverage {' or '.join(tables)}")


def show(report: "Report", *, json_: bool = False) -> None:
    """Show a report, to a person or to a program."""
    if json_:
        click.echo(report.to_json())
    else:
        console().print(report)
        if len(report) > report.most:
            click.echo("--json gives all rows", err=True)
