"""A notebook run on record: in a process of its own that a time limit can end with its kernel, tried again if it fails, one run at a time."""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from workbench import __version__
from workbench.errors import Busy, UnknownName
from workbench.lake.disk import disk
from workbench.lake import locks
from workbench.lake.locks import Holder
from workbench.lake.processes import started
from workbench.notebooks import FOLDER
from workbench.notebooks.executing import Ended, loaded, missing
from workbench.notebooks.parameters import checked
from workbench.notebooks.stamping import stamp, versions
from workbench.runs import Run, Runs
from workbench.runs.locking import locked
from workbench.runs.masking import Secrets
from workbench.runs.minding import environment
from workbench.runs.record import ERRORS, LOG
from workbench.runs.supervised import Supervised

if TYPE_CHECKING:
    from workbench.config import Settings

# Names the run that whoever started this process has put on record for it.
ADOPTED = "WORKBENCH_RUN"
STOPPED, FAILED = 130, 1
# How often a waiting runner looks whether it was stopped.
LOOK_S = 0.1
NOTE_S = 0.5


@dataclass(frozen=True)
class Cell:
    """Where a run is: its cell, of how many, in which attempt; `seconds` since the run began."""

    cell: int
    of: int
    attempt: int
    seconds: float


@dataclass(frozen=True)
class Limits:
    """How long an attempt may take (seconds; None for as long as it likes), how often a failed one is tried again, and how long to wait before."""

    timeout: float | None = None
    retries: int = 0
    wait: float = 0.0


class Listener:
    """Hears how a run goes; does nothing with it."""

    def began(self, run: Run) -> None:
        """A run was put on record."""

    def cell(self, at: Cell) -> None:
        """A cell began."""

    def told(self, text: str) -> None:
        """Something else is to be known: a failed attempt, a wait."""


class Stop:
    """Asks a run to stop; the second time, at once."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1


def found(name: str | Path) -> Path:
    """The notebook of a name: a path, or one of the checkout's own. Raises `UnknownName`."""
    path = Path(os.path.expanduser(name))
    beside = [FOLDER / f"{path.name.removesuffix('.ipynb')}.ipynb"] if str(name) == path.name else []
    for place in (path, *beside):
        with suppress(OSError):
            if place.is_file():
                return place.resolve()
    folder = path.parent if path.parent.is_dir() else FOLDER
    near = [str(path.parent / one.name) if path.parent != Path() else one.name for one in folder.glob("*.ipynb")]
    raise UnknownName("notebook", str(name), near or [one.name for one in FOLDER.glob("*.ipynb")])


def run_notebook(
    settings: "Settings",
    notebook: str | Path,
    parameters: Mapping[str, Any] | Sequence[tuple[str, str]] = (),
    *,
    limits: Limits = Limits(),
    listener: Listener | None = None,
    stop: Stop | None = None,
    by: str = "prompt",
    words: Sequence[str] = (),
    copy: Path | None = None,
) -> Run:
    """Run a notebook to its end, and put on record what came of it; the record's `status` tells: 0, 1, 3 for findings, 130 if it was stopped.

    `parameters` are values by name, or pairs as they are typed at a prompt; `words` the command as it is put on record; `copy` where the output
    notebook goes besides. Raises `UsageError` for parameters that the notebook does not take or must not be given, `Busy` if it is being run
    on this lake, and `LakeError` if the root cannot be written; nothing was run then.
    """
    path, listener, stop = found(notebook), listener or Listener(), stop or Stop()
    if find_spec("papermill") is None:
        raise missing()
    secrets = Secrets.of(settings, os.environ)
    typed = not isinstance(parameters, Mapping)
    pairs = list(parameters.items()) if isinstance(parameters, Mapping) else list(parameters)
    values = checked(loaded(path), path, pairs, secrets, typed=typed)
    runs = Runs(settings.root)
    adopted = os.environ.get(ADOPTED, "")
    with ExitStack() as held:
        note = held.enter_context(alone(settings.root, path))
        if adopted:
            run = runs.get(adopted)
        else:
            run = runs.minded(runs.begin("notebook", tuple(words) or ("run", str(path)), by))
        locks.write(note, Holder.here(f"run {run.id}"))
        attempt = Attempts(settings, runs, path, values, secrets, limits, listener, stop, adopted=bool(adopted))
        try:
            return attempt.drive(run, copy)
        except BaseException as fault:
            if not adopted and runs.get(run.id).status is None:
                runs.end(runs.get(run.id), STOPPED if isinstance(fault, KeyboardInterrupt) else FAILED, reason=secrets.mask(str(fault)))
            raise


class Attempts:
    """The tries of one run."""

    def __init__(
        self,
        settings: "Settings",
        runs: Runs,
        path: Path,
        values: dict[str, Any],
        secrets: Secrets,
        limits: Limits,
        listener: Listener,
        stop: Stop,
        *,
        adopted: bool,
    ):
        self.settings, self.runs, self.path, self.values, self.secrets = settings, runs, path, values, secrets
        self.limits, self.listener, self.stop, self.adopted = limits, listener, stop, adopted
        self.began, self.at = time.monotonic(), 0

    def drive(self, run: Run, copy: Path | None) -> Run:
        """Try until it works, or no try is left."""
        place = self.runs.place(run.id)
        # A notebook may be called run.json, as the record is.
        output = place / f"{self.path.stem}.ipynb"
        before = versions(self.settings.root)
        run = self.runs.change(
            run, output=str(output), before=before, facts=run.facts | {"notebook": str(self.path), "parameters": self.values}
        )
        with suppress(OSError):
            self.listener.began(run)
        for attempt in range(1, self.limits.retries + 2):
            run = self.runs.change(run, attempts=attempt)
            ended = self._try(run, output, attempt)
            if ended.status not in (0, 3, STOPPED) and attempt <= self.limits.retries and not self.stop.asked:
                with suppress(OSError):
                    shutil.copyfile(output, output.with_suffix(f".attempt-{attempt}.ipynb"))
                self._tell(f"attempt {attempt} failed ({self._where(ended)}); again in {self.limits.wait:g} s")
                if self._waited():
                    continue
                ended = Ended(STOPPED, f"stopped while waiting to try again; the last attempt failed: {self._where(ended)}")
            break
        reason = self._where(ended) if ended.status else ""
        now, after = datetime.now(UTC).isoformat(), versions(self.settings.root)
        told = replace(run, status=ended.status, ended=now, reason=reason, after=after)
        stamp(
            output,
            {
                "run": run.id,
                "by": run.by,
                "state": told.state,
                "status": ended.status,
                "reason": reason,
                "started": run.started,
                "ended": now,
                "attempts": run.attempts,
                "root": self.settings.where,
                "version": __version__,
                "parameters": self.values,
                "before": before,
                "after": after,
            },
            self.secrets,
        )
        if copy and output.is_file():
            self._copied(output, copy)
        if self.adopted:
            # Whoever put it on record ends it, by this process's exit status.
            self.runs.change(run, after=after, reason=reason)
            return told
        return self.runs.end(run, ended.status, reason=reason, after=after)

    def _copied(self, output: Path, copy: Path) -> None:
        target = copy / output.name if copy.is_dir() else copy
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(output, target)
        except OSError as fault:
            self._tell(f"the output could not be copied to {target} ({fault.strerror}); it is in {output}")

    def _where(self, ended: Ended) -> str:
        return f"cell {ended.cell}: {ended.reason}" if ended.cell else ended.reason

    def _tell(self, text: str) -> None:
        with suppress(OSError):
            self.listener.told(self.secrets.mask(text))

    def _waited(self) -> bool:
        """Wait before the next try; False if the run was stopped meanwhile."""
        until = time.monotonic() + self.limits.wait
        while time.monotonic() < until and not self.stop.asked:
            # Asked by a signal's handler, which may not wake a waiting thread.
            time.sleep(min(LOOK_S, max(until - time.monotonic(), 0)))
        return not self.stop.asked

    def _try(self, run: Run, output: Path, attempt: int) -> Ended:
        """One try: a process that executes the notebook, minded until it ends, is stopped, or its time is over."""
        place = output.parent
        reading, writing = os.pipe()
        request = {
            "notebook": str(self.path),
            "output": str(output),
            "parameters": self.values,
            "metadata": {"run": run.id, "started": run.started, "root": self.settings.where, "before": run.before, "state": "running"},
            "secrets": self.secrets.texts,
            "folder": str(self.path.parent),
            "pipe": writing,
        }
        heard: list[Ended] = []
        self.at = 0
        with os.fdopen(reading) as events, disk(self.settings.root, f"{self.path.name} was not run"):
            try:
                child = Supervised(
                    [sys.executable, "-m", "workbench.notebooks"],
                    place / (ERRORS if self.adopted else LOG),
                    place / ERRORS,
                    self.secrets,
                    env=absolute(self.settings),
                    feed=json.dumps(request).encode() + b"\n",
                    pass_fds=(writing,),
                )
            finally:
                os.close(writing)
            self.runs.change(run, child=child.pid, child_begun=started(child.pid))
            listening = threading.Thread(target=self._listen, args=(events, child, heard, attempt), daemon=True)
            listening.start()
            try:
                status, ended = self._mind(child)
            finally:
                child.end(0) if child.process.poll() is None else None
                child.close()
            listening.join(5)
        if ended:
            return replace(ended, cell=self.at)
        if heard:
            return heard[0] if heard[0].cell or not heard[0].status else replace(heard[0], cell=self.at)
        return Ended(FAILED, cell=self.at, reason=f"the process that ran it ended with status {status} and told nothing{': killed' * (status == 137)}")

    def _listen(self, events: Any, child: Supervised, heard: list[Ended], attempt: int) -> None:
        for line in events:
            # A line that is not whole is the last of a process that was killed.
            event: dict[str, Any] = json.loads(line) if line.endswith("\n") else {"event": ""}
            match event.pop("event"):
                case "kernel":
                    child.groups.add(event["group"])
                case "cell":
                    self.at = event["cell"]
                    # Nobody may read what is shown any more; the run goes on, and so does its record.
                    with suppress(OSError):
                        self.listener.cell(Cell(event["cell"], event["of"], attempt, time.monotonic() - self.began))
                case "ended":
                    heard.append(Ended(**event))

    def _mind(self, child: Supervised) -> tuple[int, Ended | None]:
        """Wait for its end; what it was ended for, if it was."""
        began = time.monotonic()
        while (status := child.wait(LOOK_S)) is None:
            if self.stop.asked:
                return self._ended(child), Ended(STOPPED, "stopped")
            if self.limits.timeout and time.monotonic() - began > self.limits.timeout:
                return child.end(), Ended(FAILED, f"it took longer than {self.limits.timeout:g} s and was ended with its kernel")
        return status, None

    def _ended(self, child: Supervised) -> int:
        """Ask it to stop, and end it when asked twice or when it takes its time."""
        child.interrupt()
        until = time.monotonic() + 10
        while time.monotonic() < until and self.stop.asked < 2:
            if (status := child.wait(LOOK_S)) is not None:
                return status
        return child.end(0)


@contextmanager
def alone(root: Path, notebook: Path) -> Iterator[Path]:
    """Hold a notebook for a run on this lake; gives the note to write. Raises `Busy`, naming whoever runs it now."""
    mark = f"notebook-{notebook.stem[:60]}-{hashlib.sha256(str(notebook).encode()).hexdigest()[:8]}"
    note = root / "locks" / f"{mark}.json"
    with ExitStack() as held:
        try:
            held.enter_context(locked(root, mark, f"{notebook.name} was not run"))
        except Timeout as fault:
            raise Busy(
                f"{notebook.name} is being run by {whose(note)}; nothing was run. Wait until it has ended, or stop it there with Ctrl-C."
            ) from fault
        held.callback(note.unlink, missing_ok=True)
        yield note


def whose(note: Path) -> str:
    """Who runs a notebook now, by the note."""
    until = time.monotonic() + NOTE_S
    # It is written just after the lock is taken.
    while (holder := Holder.read(note)) is None and time.monotonic() < until:
        time.sleep(0.02)
    return str(holder) if holder else "another process"


def absolute(settings: "Settings") -> dict[str, str]:
    """The environment in which a kernel, whatever its folder, has these settings."""
    env = environment(replace(settings, data=settings.where, cache=str(settings.cache_folder if settings.url else settings.scratch)))
    # What a notebook starts is a run of its own.
    env.pop(ADOPTED, None)
    return env
