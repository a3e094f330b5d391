"""A refresh as its log tells it: how far it is, how fast, what is in flight, what failed, and how it ended. No widgets here."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from workbench.panels.refresh_fields import TONES
from workbench.progress import SHOWN_PROBLEMS
from workbench.query.report import Report, sized
from workbench.runs.minding import complaint
from workbench.runs.record import LOG, Run, Runs

LOG_LINES, FAILURE_LINES = 200, 5_000
# What failed alike is one line.
SHOWN_FAILURES = 100
# The rate is that of the newest so many seconds.
WINDOW_SECONDS = 15.0
PAINT_SECONDS = 0.25
TROUBLE = ("quarantined", "failed", "missing", "stands in")
TRANSFERRED = ("land", "replace", "mend")
SOURCE_FAULTS = ("SourceError", "BadKeys", "NotEntitled", "NotPublished", "RateLimited", "Unreachable", "BrokenAnswer", "BrokenDownload")


@dataclass
class Told:
    """What a run's log has told so far. `weight` of a session without a size is that of a file as large as the others are."""

    title: str = ""
    files: int = 0
    bytes: int = 0
    asked: int = 0
    gathered: int = 0
    rows: int = 0
    done_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    flights: list[dict[str, Any]] = field(default_factory=list)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    failures: deque[str] = field(default_factory=lambda: deque(maxlen=FAILURE_LINES))
    failed: int = 0
    last: dict[str, Any] = field(default_factory=dict)
    _since: dict[str, tuple[float, int]] = field(default_factory=dict)
    _pace: deque[tuple[float, float]] = field(default_factory=deque)

    def take(self, event: dict[str, Any], now: float) -> None:
        """Take in a line of the log; `now` is a clock's time in seconds."""
        kind = event.get("event")
        if kind == "plan":
            self.title, self.files, self.bytes = event["title"], event["files"], event["bytes"]
            self.asked, self.gathered, self.notes = event.get("asked", 0), event.get("gathered", 0), event["notes"]
            self.log.extend(event["notes"])
        elif kind == "moves":
            self.flights = event["files"]
            keys = {flight["key"] for flight in self.flights}
            self._since = {key: since for key, since in self._since.items() if key in keys}
            for flight in self.flights:
                self._since.setdefault(flight["key"], (now, flight["fetched"]))
        elif kind == "waits":
            self._see(event)
        elif kind == "step":
            self._step(event)
        elif kind == "tells":
            self.log.append(event["text"])
        if kind not in ("moves", "waits", "tells"):
            self.last = event

    def _step(self, event: dict[str, Any]) -> None:
        action = event.get("action", "land")
        if action in TRANSFERRED:
            self._see(event)
        elif action in ("ask", "gather"):
            self.answered.add(f"{event['table']} {event['session']}")
        self.flights = [one for one in self.flights if one["key"] != event["key"]]
        self.rows += event["rows"]
        told = f"{event['rows']:,} rows, {event['seconds']:.2f} s" if event["rows"] else event["reason"]
        by = f" from {event['source']}" if event.get("source") and action in ("ask", "gather") else ""
        instead = f", in the place of {event['instead_of']}" if event.get("instead_of") else ""
        line = f"{event['table']} {event['session']} {event['outcome']}{by}{instead}: {told}"
        self.log.append(line)
        if event["outcome"] in TROUBLE or event.get("fell_back"):
            self.failed += 1
            self.failures.append(line)

    def _see(self, event: dict[str, Any]) -> None:
        """Count a file the first time it is told of; one that waits for its chunk is told of twice."""
        self.done_bytes += 0 if event["key"] in self.seen else event["size"]
        self.seen.add(event["key"])

    # ------------------------------------------------------------------ how far

    @property
    def came(self) -> int:
        """The bytes that are here: of files that are done, and of those in flight."""
        return self.done_bytes + sum(int(one["fetched"]) for one in self.flights if one["key"] not in self.seen)

    @property
    def share(self) -> float:
        """The share of the work that is done, by bytes."""
        each = self.bytes / self.files if self.files and self.bytes else 1.0
        whole = (self.bytes or self.files) + (self.asked + self.gathered) * each
        done = (min(self.came, self.bytes) if self.bytes else len(self.seen)) + len(self.answered) * each
        return min(done / whole, 1.0) if whole else 0.0

    def pace(self, now: float, elapsed: float) -> float:
        """The share of the work that is done in a second, of late; 0 if that cannot be told yet."""
        self._pace.append((now, self.share))
        while now - self._pace[0][0] > WINDOW_SECONDS:
            self._pace.popleft()
        (then, before), (_, share) = self._pace[0], self._pace[-1]
        # What the log of a run that had begun before tells at once was not done at once.
        return (share - before) / (now - then) if now - then > 1 else share / elapsed if elapsed > 0 else 0.0

    def progress(self, elapsed: float, now: float) -> str:
        """How far the run is, in words: files, rows, bytes, rate, time since it began and time left."""
        if not self.title:
            return f"listing what the source has … {clock(elapsed)}"
        pace = self.pace(now, elapsed)
        parts = [f"{len(self.seen):,} of {self.files:,} files"] if self.files else []
        if self.asked:
            parts.append(f"{len(self.answered):,} of {self.asked + self.gathered:,} questions answered")
        elif self.gathered:
            parts.append(f"{len(self.answered):,} of {self.gathered:,} reference tables")
        parts.append(f"{self.rows:,} rows")
        if self.bytes:
            parts += [f"{sized(self.came)} of {sized(self.bytes)}", f"{sized(pace * self.bytes)}/s"]
        parts.append(clock(elapsed))
        if self.share >= 1:
            parts.append("all files are here; landing and tidying up")
        elif pace > 0:
            parts.append(f"about {clock((1 - self.share) / pace, whole=True)} left")
        return " · ".join(parts)

    def in_flight(self, now: float) -> str:
        """A line for each file in flight, as HTML: how much of it is here, how fast it comes and how long it still takes."""
        return "".join(self._flight(one, now) for one in self.flights)

    def _flight(self, one: dict[str, Any], now: float) -> str:
        size, fetched = one["size"], one["fetched"]
        since, before = self._since.get(one["key"], (now, fetched))
        rate = (fetched - before) / (now - since) if now - since > 0.5 else 0.0
        told = one["doing"]
        if one["doing"] == "fetching" and size:
            told = f"{sized(fetched)} of {sized(size)}"
            told += f" · {sized(rate)}/s · {clock((size - fetched) / rate, whole=True)} left" if rate else ""
        elif size:
            told = f"{sized(size)} · {told}"
        share = 100 * fetched / size if size else 0
        track = (
            '<span style="display:inline-block;vertical-align:middle;width:140px;height:8px;margin-right:8px;border-radius:4px;'
            'background:var(--jp-layout-color3, #ccc)"><span style="display:block;height:8px;border-radius:4px;'
            f'background:var(--jp-brand-color1, #1976d2);width:{share:.0f}%"></span></span>'
        )
        return (
            f'<div style="font-size:12px;line-height:1.5;white-space:nowrap">{track}{escape(one["table"])} {one["session"]} · {told}</div>'
        )

    # ------------------------------------------------------------------ how it ended

    @property
    def result(self) -> str:
        """The summary as HTML; nothing without one."""
        return Report(self.last["title"], self.last["rows"])._repr_html_() if self.last.get("event") == "summary" else ""

    def end(self, run: Run, place: Path) -> tuple[str, bool]:
        """How the run ended, in words, and whether that is bad."""
        kind = self.last.get("event")
        said = (run.reason or complaint(place)).removeprefix("workbench: ")
        if kind == "stopped":
            kept = f"{self.last['kept']} of {self.last['of']} files"
            return f"stopped: {kept} are in the lake and stay there; Refresh lands the rest", False
        if kind == "summary":
            problems = self.last.get("problems", [])
            more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] * (len(problems) > SHOWN_PROBLEMS)
            notes = [*self.last["notes"], *filter(None, [self.last.get("maintenance")])]
            return "\n".join([*notes, *problems[:SHOWN_PROBLEMS], *more]), bool(problems)
        if kind == "error":
            return str(self.last["text"]), True
        if run.state == "stopped":
            return "stopped; what is landed stays", False
        if run.state == "broken off":
            why = f" ({said})" if said else ""
            return (
                f"the refresh was broken off: its process is no more and left no word{why}. What it landed stays; Refresh lands the rest.",
                True,
            )
        return said or f"the run ended with status {run.status} and said nothing", True


def clock(seconds: float, *, whole: bool = False) -> str:
    """A length of time as a person reads it; with tenths of seconds while it is short, unless `whole` seconds are enough."""
    if seconds < 60:
        return f"{seconds:.0f} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes:.0f}:{rest:02.0f} min" if whole else f"{minutes:.0f}:{rest:04.1f} min"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f} h"


def alike(lines: "deque[str]") -> list[str]:
    """The newest lines first; what is the same of many sessions of a table is said once, with the first and the last of them."""
    told: dict[tuple[str, str], list[str]] = {}
    for line in reversed(lines):
        table, session, rest = line.split(" ", 2)
        told.setdefault((table, rest), []).append(session)
    return [
        f"{table} {days[0] if len(days) == 1 else f'{min(days)} … {max(days)}, {len(days):,} sessions'} {rest}"
        for (table, rest), days in told.items()
    ]


def failures(lines: "deque[str]", count: int) -> str:
    """What failed or fell back, as HTML; nothing if all is well."""
    if not lines:
        return ""
    more = f"the newest {len(lines)} of " if count > len(lines) else ""
    told = "".join(f"<div>{escape(line)}</div>" for line in alike(lines)[:SHOWN_FAILURES])
    return (
        f'<div style="font-size:12px;line-height:1.4;max-height:7em;overflow:auto;color:{TONES["bad"]}">'
        f"<b>{more}{count:,} failed, refused or from a fallback, the newest first</b>{told}</div>"
    )


class Following:
    """A thread that reads a run's log while it goes on, and has it painted four times a second, whether or not there is news."""

    def __init__(
        self,
        runs: Runs,
        run: Run,
        paint: Callable[["Told", Run], None],
        end: Callable[["Told", Run], None],
        fail: Callable[[Exception], None],
    ):
        """`end` is called when the run has ended, or `fail` when it cannot be followed any more; from the thread."""
        self.runs, self.run, self.told = runs, run, Told()
        self._paint, self._end, self._fail = paint, end, fail
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"follows {run.id}", daemon=True)
        self._thread.start()

    @property
    def going(self) -> bool:
        """Whether it still follows."""
        return self._thread.is_alive()

    def leave(self) -> None:
        """Follow no more; the run goes on."""
        self._left.set()
        if self._thread is not threading.current_thread():
            self._thread.join(5)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until the run has ended and is shown; False if it has not."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _follow(self) -> None:
        try:
            self._read()
        except Exception as fault:
            # Nobody sees what a thread raises.
            self._fail(fault)

    def _read(self) -> None:
        lines, rest = None, b""
        try:
            while not self._left.is_set():
                # Read before the log: what it said last stands in the log then.
                self.run = self.runs.get(self.run.id)
                if lines is None and (self.runs.place(self.run.id) / LOG).exists():
                    lines = (self.runs.place(self.run.id) / LOG).open("rb")
                if lines:
                    *whole, rest = (rest + lines.read()).split(b"\n")
                    take(self.told, whole)
                if self.run.state != "running":
                    self._end(self.told, self.run)
                    return
                self._paint(self.told, self.run)
                self._left.wait(PAINT_SECONDS)
        finally:
            if lines:
                lines.close()


def take(told: Told, lines: list[bytes]) -> None:
    """Take in lines of a log; what is no line of JSON is passed over."""
    now = time.monotonic()
    for text in lines:
        try:
            event = json.loads(text)
        except ValueError:
            continue
        if isinstance(event, dict):
            told.take(event, now)


def read(place: Path) -> Told:
    """All that the log of a run tells that has ended."""
    told = Told()
    if (place / LOG).exists():
        take(told, (place / LOG).read_bytes().split(b"\n"))
    return told


def elapsed(run: Run) -> float:
    """How long a run goes on, or went on, in seconds."""
    since = datetime.now(UTC) - datetime.fromisoformat(run.started)
    return max(run.seconds if run.seconds is not None else since.total_seconds(), 0.0)
