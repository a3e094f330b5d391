"""Refreshing, in a notebook: choose, look at the plan, run it, watch it, stop it.

The work is the command line's, in a process of its own: the kernel stays free, and what the panel ran can be run at the prompt.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, Any

from workbench.errors import NoSource
from workbench.panels.parts import escape, guarded, line, page, row, rows, widgets
from workbench.progress import SHOWN_PROBLEMS, STOPPED
from workbench.query.report import Report, sized
from workbench.tables import FED, REFERENCE

if TYPE_CHECKING:
    from workbench.bench import Workbench
    from workbench.config import Settings

LOG_LINES = 200
PAINT_SECONDS = 0.1


class RefreshPanel:
    """What to refresh, three buttons, and what the run says. Fields left empty mean what they mean at the prompt."""

    def __init__(self, bench: "Workbench"):
        self.bench = bench
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._log: list[str] = []
        self._stopping = False

        wide = widgets.Layout(width="auto")
        self.configured = configured(bench.settings)
        self.source = widgets.Combobox(
            description="source",
            value=self.configured,
            options=["polygon_s3", "polygon_api", "yahoo", "sample", "folder:"],
            placeholder="folder:PATH",
            layout=wide,
        )
        self.datasets = widgets.SelectMultiple(description="datasets", options=[table.name for table in (*FED, *REFERENCE)], rows=5)
        self.symbols = widgets.Text(description="symbols", placeholder="all")
        self.days = widgets.Text(description="days", placeholder="newest sessions")
        self.start = widgets.DatePicker(description="start")
        self.end = widgets.DatePicker(description="end")

        self.plan_button = widgets.Button(description="Plan", icon="list", tooltip="Show what a refresh would do")
        self.refresh_button = widgets.Button(description="Refresh", icon="download", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", icon="stop", disabled=True, tooltip="Stop, and keep what is landed")

        self.bar = widgets.IntProgress(min=0, max=1, layout=widgets.Layout(width="280px", visibility="hidden"))
        self.progress = widgets.HTML()
        self.command_line = widgets.HTML()
        self.message = widgets.HTML()
        self.log = widgets.HTML()
        self.result = rows()
        self.view = widgets.VBox(
            [
                widgets.HBox(
                    [
                        widgets.VBox([self.source, self.datasets]),
                        widgets.VBox([self.symbols, self.days, self.start, self.end]),
                    ]
                ),
                row(self.plan_button, self.refresh_button, self.stop_button, self.bar, self.progress),
                self.command_line,
                self.message,
                self.log,
                self.result,
            ]
        )
        for button, action in ((self.plan_button, self.plan), (self.refresh_button, self.refresh), (self.stop_button, self.stop)):
            button.on_click(guarded(self.tell, action))

    # ------------------------------------------------------------------ act

    def plan(self) -> None:
        """Show what a refresh would do."""
        self._begin([*self.command("plan"), "--json"])

    def refresh(self) -> None:
        """Start a refresh; it goes on beside the kernel."""
        self._begin([*self.command("refresh"), "--jsonl"])

    def stop(self) -> None:
        """Ask the run to stop: files in flight are finished, and what is landed stays. A second time, to leave at once."""
        if self._process and self._process.poll() is None:
            self._stopping = True
            self._process.send_signal(signal.SIGINT)
            self.tell("stopping: files in flight are finished and kept …")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the run to end; False if it has not."""
        if self._reader:
            self._reader.join(timeout_s)
        return not (self._reader and self._reader.is_alive())

    def command(self, verb: str) -> list[str]:
        """The arguments that the fields stand for."""
        words = [verb, *self.datasets.value]
        source = self.source.value.strip()
        # What the lake was opened with is no setting that a prompt would find.
        if source and (source != self.configured or self.bench.settings.origins.get("source") == "argument"):
            words += ["--source", source]
        fields = (("--symbols", self.symbols), ("--days", self.days), ("--start", self.start), ("--end", self.end))
        for option, field in fields:
            if value := str(field.value or "").strip():
                words += [option, value]
        return [*words, "--data", str(self.bench.settings.root)]

    def tell(self, text: str, tone: str = "") -> None:
        """Show a sentence."""
        self.message.value = line(text, tone)

    # ------------------------------------------------------------------ run

    def _begin(self, words: list[str]) -> None:
        if self._process and self._process.poll() is None:
            self.tell("a run is going on: stop it first", "bad")
            return
        self._log, self._stopping = [], False
        self.log.value = self.result.value = self.progress.value = ""
        self.command_line.value = f"<code>{escape(shlex.join(['workbench', *words]))}</code>"
        self.tell("starting …")
        complaints = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        try:
            # In a group of its own, a run is not stopped with the cell that is interrupted.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "workbench", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                encoding="utf-8",
                env=environment(self.bench.settings),
                start_new_session=True,
            )
        except BaseException:
            complaints.close()
            raise
        self._running(True)
        read = guarded(self.tell, lambda: self._read(words[0], complaints))
        self._reader = threading.Thread(target=read, name="refresh panel", daemon=True)
        self._reader.start()

    def _running(self, running: bool) -> None:
        self.plan_button.disabled = self.refresh_button.disabled = running
        self.stop_button.disabled = not running

    def _read(self, verb: str, complaints: IO[str]) -> None:
        """Show what the run prints, until it ends."""
        process = self._process
        assert process and process.stdout
        last: dict[str, Any] = {}
        try:
            with process.stdout as lines, complaints:
                if verb == "plan":
                    last = json.loads(lines.read() or "{}")
                else:
                    for text in lines:
                        last = json.loads(text)
                        self._take(last)
                status = process.wait()
                complaints.seek(0)
                self._finish(status, last, complaints.read().strip())
        finally:
            self._running(False)

    def _take(self, event: dict[str, Any]) -> None:
        """Take in a line of the run."""
        if event["event"] == "plan":
            self._of, self._bytes, self._rows, self._painted = event["files"], 0, 0, 0.0
            self._seen = set[str]()
            self.bar.max, self.bar.value, self.bar.bar_style = max(event["bytes"], 1), 0, ""
            self.bar.layout.visibility = "visible"
            self._log += event["notes"]
            self.tell(event["title"])
        elif event["event"] == "waits":
            self._see(event)
        elif event["event"] == "step":
            self._see(event)
            self._rows += event["rows"]
            told = f"{event['rows']:,} rows, {event['seconds']:.2f} s" if event["rows"] else event["reason"]
            self._log.append(f"{event['table']} {event['session']} {event['outcome']}: {told}")
        if event["event"] not in ("step", "waits") or time.monotonic() - self._painted > PAINT_SECONDS:
            self._paint()

    def _see(self, event: dict[str, Any]) -> None:
        """Count a file the first time it is told of; one that waits for its chunk is told of twice."""
        if event.get("outcome") != "missing":
            self._bytes += 0 if event["key"] in self._seen else event["size"]
            self._seen.add(event["key"])

    def _paint(self) -> None:
        """Show progress and log; not for every step, of which there may be hundreds in a second."""
        self._painted = time.monotonic()
        self.bar.value = min(self._bytes, self.bar.max)
        self.progress.value = line(f"{len(self._seen)} of {self._of} files · {self._rows:,} rows · {sized(self._bytes)}")
        self.log.value = page(self._log[-LOG_LINES:])

    def _finish(self, status: int, last: dict[str, Any], complaint: str) -> None:
        """Show how the run ended."""
        said = complaint.removeprefix("workbench: ")
        if last.get("event") == "stopped":
            self.tell(f"stopped: {last['kept']} of {last['of']} files are in the lake and stay there; Refresh lands the rest")
        elif self._stopping and status in (STOPPED, -signal.SIGINT):
            self.tell("stopped; what is landed stays")
        elif last.get("event", "summary") != "summary" or not last:
            self.tell(said or f"the run ended with status {status} and said nothing", "bad")
        else:
            problems = last.get("problems", [])
            more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] * (len(problems) > SHOWN_PROBLEMS)
            self.tell("\n".join([*last["notes"], *problems[:SHOWN_PROBLEMS], *more]), "bad" if problems else "")
            self.result.value = Report(last["title"], last["rows"])._repr_html_()
        self.bar.bar_style = "success" if status == 0 else "warning" if status in (STOPPED, 3) else "danger"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.view._repr_mimebundle_(**options)


def configured(settings: "Settings") -> str:
    """The source that is used if none is named; nothing if there is none."""
    try:
        return settings.chosen_source
    except NoSource:
        return ""


def environment(settings: "Settings") -> dict[str, str]:
    """The environment in which the command line has the same settings; secrets travel here, never among the arguments."""
    values = {declared.metadata["variables"][0]: getattr(settings, name) for name, declared in settings.declared().items()}
    if settings.source.startswith("folder:"):
        values["WORKBENCH_SOURCE"] = f"folder:{settings.folder}"
    return {**os.environ, **{variable: str(value) for variable, value in values.items() if value != ""}}
