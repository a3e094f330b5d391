"""Refreshing, in a notebook: choose, look at the plan, run it, watch it, stop it.

The work is the command line's, in a process of its own that is on record under the root: the kernel stays free, the notebook may be closed, and
a panel that is opened later finds the run again. What the panel runs can be run at the prompt.
"""

import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from workbench.errors import LakeError, WorkbenchError
from workbench.panels.parts import Panel, escape, guarded, line, page, row, rows, widgets
from workbench.panels.refresh_fields import RefreshFields
from workbench.panels.refresh_run import SOURCE_FAULTS, Following, Told, elapsed, failures, read
from workbench.query.report import Report
from workbench.runs.minding import environment, start_or_follow, stop
from workbench.runs.record import Run, Runs

if TYPE_CHECKING:
    from workbench.bench import Workbench

KIND = "refresh"
STYLES = {"done": "success", "findings": "warning", "stopped": "warning"}


class RefreshPanel(Panel):
    """What to refresh, four buttons, and what the run says. Fields left empty mean what they mean at the prompt."""

    def __init__(self, bench: "Workbench"):
        self.bench = bench
        self.runs = Runs(bench.settings.root)
        self.fields = RefreshFields(bench)
        self._following: Following | None = None
        self._planning: subprocess.Popen[str] | None = None
        self._planner: threading.Thread | None = None
        self._run: Run | None = None
        self._stops = 0
        self._starting = False

        auto = widgets.Layout(width="auto")
        self.plan_button = widgets.Button(description="Plan", icon="list", tooltip="Show the steps and their sizes first; changes nothing")
        self.refresh_button = widgets.Button(description="Refresh", icon="download", button_style="primary")
        self.stop_button = widgets.Button(
            description="Stop", icon="stop", disabled=True, tooltip="Finish what is in flight and keep it; a second time: leave at once"
        )
        self.status_button = widgets.Button(description="Get Database Status", icon="database", layout=auto)
        self.show_button = widgets.Button(description="Show", icon="history", tooltip="Show the summary of that run", layout=auto)
        self.last_run = widgets.HTML()
        self.bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="240px", visibility="hidden"))
        self.progress = widgets.HTML()
        self.flights = widgets.HTML()
        self.command_line = widgets.HTML()
        self.message = widgets.HTML()
        self.failures = widgets.HTML()
        self.log = widgets.HTML()
        self.result = rows()
        self._past = row(self.last_run, self.show_button)
        self.view = widgets.VBox(
            [
                self.fields.view,
                row(self.plan_button, self.refresh_button, self.stop_button, self.status_button),
                self._past,
                row(self.bar, self.progress),
                self.flights,
                self.command_line,
                self.message,
                self.failures,
                self.log,
                self.result,
            ],
            layout=widgets.Layout(width="100%"),
        )
        buttons = (
            (self.plan_button, self.plan),
            (self.refresh_button, self.refresh),
            (self.stop_button, self.stop),
            (self.status_button, self.status),
            (self.show_button, self.show_last),
        )
        for button, action in buttons:
            button.on_click(guarded(self.tell, action))
        guarded(self.tell, self.look)()

    # ------------------------------------------------------------------ act

    def plan(self) -> None:
        """Show what a refresh would do; nothing is fetched or changed."""
        if self._busy():
            return
        if not self.fields.check(resetting=False):
            self.tell("nothing was planned: see what is said under the fields", "bad")
            return
        self._clear()
        words = [*self.fields.command("plan"), "--json"]
        self._show_command(words)
        self.tell("planning …")
        try:
            # A plan is on no record: it changes nothing, and ends with its panel.
            self._planning = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "workbench", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=self.bench.settings.project,
                env=environment(self.bench.settings),
                start_new_session=True,
            )
        except OSError as fault:
            raise LakeError(f"no process could be started ({fault}); nothing was planned. End other processes, and try again.") from fault
        self._running(True)
        self._planner = threading.Thread(target=guarded(self.tell, self._planned), name="plan", daemon=True)
        self._planner.start()

    def refresh(self) -> None:
        """Start a refresh beside the kernel, or follow the one that goes on already."""
        if self._busy():
            return
        if not self.fields.check():
            self.tell("nothing was started: see what is said under the fields", "bad")
            return
        words = [*self.fields.command("refresh"), "--jsonl"]
        self._clear()
        self._show_command(words)
        self.tell("starting …")
        run, begun = start_or_follow(self.bench.settings, tuple(words), kind=KIND, by="panel")
        self._starting = begun
        self._follow(run)
        if begun:
            self.fields.done()
        else:
            self.tell(
                f"nothing was started: a refresh goes on already, {whose(run)}; this panel follows it. Press Refresh again when it has ended."
            )

    def stop(self) -> None:
        """Ask the run to stop: files in flight are finished, and what is landed stays. A second time, to leave at once."""
        if self._planning and self._planning.poll() is None:
            self._planning.terminate()
        elif self._run and self._following and self._following.going:
            stop(self.bench.settings.root, self._run.id)
            self._stops, self._starting = self._stops + 1, False
            self.tell(
                "stopping: files in flight are finished and kept; press Stop again to leave at once …"
                if self._stops == 1
                else "leaving at once: what is committed is kept …"
            )

    def status(self) -> None:
        """Show what the lake holds now."""
        self.result.value = self.bench.status()._repr_html_()

    def show_last(self) -> None:
        """Show the summary, the log and the failures of the newest run that has ended."""
        run = next((run for run in self.runs if run.kind == KIND and run.state != "running"), None)
        if run and not (self._following and self._following.going):
            self._show_command(list(run.command))
            self._ended(read(self.runs.place(run.id)), run)

    def look(self) -> None:
        """Follow the refresh of this root that goes on, whoever started it; else tell of the one that ended last."""
        if self._following and self._following.going:
            return
        if run := self.runs.going_on(KIND):
            self._clear()
            self._show_command(list(run.command))
            self._follow(run)
            self.tell(f"a refresh goes on, {whose(run)}; this panel follows it")
        else:
            self._tell_last()

    def fill(
        self,
        datasets: Sequence[str] | None = None,
        symbols: str | Sequence[str] | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        source: str | None = None,
        again: bool = False,
    ) -> None:
        """Fill the fields in for a refresh, and empty the others; nothing is started. What cannot be refreshed is said under its field."""
        self.fields.fill(datasets, symbols, start, end, source, again)
        follows = "; the refresh that this panel follows goes on as it was begun" * bool(self._following and self._following.going)
        self.tell(f"the fields are filled in: look at the plan, or press Refresh{follows}")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the run, or the plan, to end and be shown; False if it has not."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        if self._planner:
            self._planner.join(timeout_s)
            if self._planner.is_alive():
                return False
        return not self._following or self._following.wait(None if until is None else max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Take the panel off the screen and follow no more; a refresh goes on, a plan does not."""
        if self._following:
            self._following.leave()
        if self._planning and self._planning.poll() is None:
            self._planning.terminate()
        if self._planner:
            self._planner.join(5)
        super().close()

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence."""
        self.message.value = line(text, tone)

    # ------------------------------------------------------------------ run

    def _busy(self) -> bool:
        going = bool((self._following and self._following.going) or (self._planning and self._planning.poll() is None))
        if going:
            self.tell("a run is going on: stop it first", "bad")
        return going

    def _clear(self) -> None:
        self._stops = 0
        self.log.value = self.result.value = self.progress.value = self.flights.value = self.failures.value = ""
        self.bar.layout.visibility = "hidden"

    def _show_command(self, words: list[str]) -> None:
        told = escape(shlex.join(["workbench", *words]))
        self.command_line.value = f'<code style="overflow-wrap:anywhere;white-space:normal">{told}</code>'

    def _running(self, running: bool) -> None:
        self.plan_button.disabled = self.refresh_button.disabled = running
        self.stop_button.disabled = not running
        self._past.layout.display = "none" if running or not self.last_run.value else ""

    def _planned(self) -> None:
        """Show the plan when it is made."""
        process = self._planning
        assert process
        try:
            out, err = process.communicate()
        finally:
            self._running(False)
        said = err.strip().removeprefix("workbench: ")
        if process.returncode == 0:
            plan = json.loads(out)
            self.tell("\n".join(plan["notes"]))
            self.result.value = Report(plan["title"], plan["rows"])._repr_html_()
        elif process.returncode < 0 or process.returncode == 130:
            self.tell("the plan was stopped; nothing was changed")
        elif process.returncode == 1 and self.bench.settings.where not in said:
            # A plan reads the lake and asks the sources, and what it says of the lake names it.
            self.fields.tell("source", said)
            self.tell("nothing was planned: see what is said under the source", "bad")
        else:
            self.tell(said or f"the plan ended with status {process.returncode} and said nothing", "bad")

    def _follow(self, run: Run) -> None:
        self._run = run
        self.bar.value, self.bar.bar_style, self.bar.layout.visibility = 0, "", "visible"
        self._running(True)
        self._following = Following(self.runs, run, self._paint, self._shown, self._lost)

    def _paint(self, told: Told, run: Run) -> None:
        """Show how far the run is; it is called four times a second."""
        now = time.monotonic()
        self.bar.value = max(self.bar.value, told.share)
        self.progress.value = line(told.progress(elapsed(run), now))
        self.flights.value = told.in_flight(now)
        self.failures.value = failures(told.failures, told.failed)
        self.log.value = page(list(told.log))
        if self._starting and told.title:
            self._starting = False
            self.tell(told.title)

    def _shown(self, told: Told, run: Run) -> None:
        """Show how the run that was followed ended; from its thread."""
        try:
            guarded(self.tell, lambda: self._ended(told, run))()
        finally:
            self._running(False)

    def _lost(self, fault: Exception) -> None:
        """Say why a run cannot be followed any more; from the thread that did."""
        self.tell(
            f"the run cannot be followed any more ({type(fault).__name__}: {fault}); it goes on if it did. `workbench runs` tells.", "bad"
        )
        self._running(False)

    def _ended(self, told: Told, run: Run) -> None:
        now = time.monotonic()
        self._paint(told, run)
        self.flights.value = ""
        self.progress.value = line(ending(told, run, told.progress(elapsed(run), now)))
        text, bad = told.end(run, self.runs.place(run.id))
        kind = told.last.get("kind")
        if kind in SOURCE_FAULTS:
            self.fields.tell("source", text)
            text = "the refresh failed: see what is said under the source. What was landed before stays."
        self.tell(text, "bad" if bad else "")
        if unheard := (told.last.get("tickers") or {}).get("notes"):
            self.fields.tell("symbols", " ".join(unheard), "warn")
        self.result.value = told.result
        self.bar.layout.visibility = "visible"
        self.bar.bar_style = STYLES.get(run.state, "danger")
        self.bar.value = told.share if run.state != "done" else 1
        self._tell_last()

    def _tell_last(self) -> None:
        """Tell of the newest run that has ended, in a line."""
        run = next((run for run in self.runs if run.kind == KIND and run.state != "running"), None)
        self._past.layout.display = "" if run else "none"
        if run:
            at = datetime.fromisoformat(run.started).astimezone()
            title = run.facts.get("title") or read(self.runs.place(run.id)).last.get("title") or (run.reason.splitlines() or [""])[0]
            self.last_run.value = line(f"last refresh {at:%Y-%m-%d %H:%M:%S} ({run.by}), {run.state}{f': {title}' if title else ''} ")

    # ------------------------------------------------------------------ show

    def static(self) -> str:
        """What the panel shows now, as HTML: the command, how far it is or how it ended, failures, log and summary."""
        parts = (self.last_run, self.command_line, self.progress, self.message, self.failures, self.log, self.result)
        told = "".join(part.value for part in parts)
        return f"<p><b>Refresh</b> of {escape(self.bench.settings.where)}</p>{told}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        with suppress(WorkbenchError):
            # Shown again, it may have missed a run that began meanwhile.
            self.look()
        return super()._repr_mimebundle_(**options)


def ending(told: Told, run: Run, progress: str) -> str:
    """How far a run came that has ended: without a rate to come and a time left."""
    if not told.title:
        return f"{run.state} after {elapsed(run):.1f} s"
    return " · ".join([*(part for part in progress.split(" · ") if not part.startswith(("about", "all files"))), run.state])


def whose(run: Run) -> str:
    """Who started a run, and when, in words."""
    at = datetime.fromisoformat(run.started).astimezone()
    return f"started by {run.by} at {at:%H:%M:%S}"
