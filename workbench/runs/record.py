"""The record of a run: a small file, written anew whole at each change, so that whoever looks finds what was before or what comes after."""

import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from workbench.errors import LakeError, UnknownName
from workbench.lake.disk import disk
from workbench.lake.processes import dead, started

RECORD, LOG, ERRORS = "run.json", "log.jsonl", "errors.txt"
State = Literal["running", "done", "failed", "findings", "stopped", "broken off"]
# What a command's exit status means; any other has failed.
STATES: dict[int, State] = {0: "done", 3: "findings", 130: "stopped"}
# So many runs are kept on record, and who is to mind one has so long to come.
KEPT = 500
COMES_WITHIN = timedelta(minutes=1)
ID = re.compile(r"(\d{8}T\d{6})\d{3}Z-[0-9a-f]{4}")
BLOCK = 65_536


@dataclass(frozen=True)
class Run:
    """A run. `command` are the words after `workbench`, which hold no secret; `by` is who started it: panel, prompt, or schedule:NAME.

    Times are UTC in ISO form, `ended` empty while it goes on; `status` is the exit status; `attempts` counts tries; `reason` says why the last one
    failed; `output` is what it left (a notebook's path); `before` and `after` are the versions of the lake's tables; `facts` is what its kind adds.
    `host`, `pid` and `begun` name the process that minds it, `child` and `child_begun` the one that does the work.
    """

    id: str
    kind: str
    command: tuple[str, ...]
    by: str
    started: str
    host: str = ""
    pid: int = 0
    begun: str = ""
    child: int = 0
    ended: str = ""
    status: int | None = None
    attempts: int = 0
    reason: str = ""
    output: str = ""
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    child_begun: str = ""

    @property
    def state(self) -> State:
        """How it stands. A run without an end on record goes on as long as who minds it or who does its work is alive; else it was broken off."""
        if self.status is not None:
            return STATES.get(self.status, "failed")
        if not self.pid:
            return "running" if datetime.now(UTC) - datetime.fromisoformat(self.started) < COMES_WITHIN else "broken off"
        return "running" if self.minded or self.worked else "broken off"

    @property
    def minded(self) -> bool:
        """Whether the process that minds it is alive, as far as this machine can tell."""
        return bool(self.pid) and alive(self.host, self.pid, self.begun)

    @property
    def worked(self) -> bool:
        """Whether the process that does its work is alive, as far as this machine can tell."""
        return bool(self.child) and alive(self.host, self.child, self.child_begun)

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it goes on."""
        if not self.ended:
            return None
        return (datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)).total_seconds()


class Runs:
    """The runs of a lake, each in a folder of its own under `<root>/runs`; the newest 500 are kept."""

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / "runs"

    def place(self, id: str) -> Path:
        """The folder of a run."""
        return self.folder / id

    def begin(self, kind: str, command: tuple[str, ...], by: str = "prompt", **facts: Any) -> Run:
        """Put a new run on record; nothing is started. Raises `LakeError` where the root cannot be written."""
        now = datetime.now(UTC)
        run = Run(
            f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{secrets.token_hex(2)}", kind, command, by, now.isoformat(), facts=facts
        )
        with self._written():
            self.place(run.id).mkdir(parents=True)
            self._write(run)
        self._prune()
        return run

    @contextmanager
    def alone(self, kind: str) -> Iterator[None]:
        """Hold back whoever else begins a run of a kind, for as long as it takes to look for one and to begin it.

        Raises `LakeError` where the root cannot be written.
        """
        from filelock import FileLock

        with self._written():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f".{kind}.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def minded(self, run: Run) -> Run:
        """The run, minded by this process from now on."""
        return self.change(run, host=platform.node(), pid=os.getpid(), begun=started(os.getpid()))

    def change(self, run: Run, **facts: Any) -> Run:
        """The run with some of its fields changed, on record. Raises `LakeError` where the root cannot be written."""
        changed = replace(run, **facts)
        with self._written():
            self._write(changed)
        return changed

    def end(self, run: Run, status: int, **facts: Any) -> Run:
        """The run with its end on record."""
        return self.change(run, status=status, ended=datetime.now(UTC).isoformat(), **facts)

    def get(self, id: str) -> Run:
        """A run by its id. Raises `UnknownName`."""
        if run := self._read(self.place(id)) if ID.fullmatch(id) else None:
            return run
        raise UnknownName("run", id, [one.id for one in self], "`workbench runs` lists them.")

    def __iter__(self) -> Iterator[Run]:
        """All runs, the newest first."""
        for place in self._places():
            if run := self._read(place):
                yield run

    def going_on(self, kind: str) -> Run | None:
        """The newest run of a kind that has not ended."""
        return next((run for run in self if run.kind == kind and run.state == "running"), None)

    def _places(self) -> list[Path]:
        try:
            found = [path for path in self.folder.iterdir() if ID.fullmatch(path.name)]
        except OSError:
            return []
        return sorted(found, key=lambda path: path.name, reverse=True)

    def _prune(self) -> None:
        """Remove the runs that are too old to be kept, but for those that go on."""
        for place in islice(self._places(), KEPT, None):
            run = self._read(place)
            if not run or run.state != "running":
                shutil.rmtree(place, ignore_errors=True)

    def _read(self, place: Path) -> Run | None:
        try:
            told = json.loads((place / RECORD).read_text(encoding="utf-8"))
            known: dict[str, Any] = {one.name: told[one.name] for one in fields(Run) if one.name in told}
            run = Run(**known | {"command": tuple(told["command"])})
            expect_sound(run)
        except (FileNotFoundError, NotADirectoryError):
            # Not written yet, or removed meanwhile.
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return told_by_log(place, torn(place))
        return run if run.status is not None or run.state == "running" else told_by_log(place, run)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            with disk(self.root, "the run was not put on record"):
                yield
        except (FileExistsError, NotADirectoryError) as fault:
            raise LakeError(
                f"{fault.filename} is in the way of the records of runs, which are kept in {self.folder}: the run was not put on record. Move it away."
            ) from fault
        except FileNotFoundError as fault:
            raise LakeError(
                f"{self.root} cannot be made ({fault}): the run was not put on record. Take another root with WORKBENCH_DATA."
            ) from fault

    def _write(self, run: Run) -> None:
        place = self.place(run.id)
        draft = place / f"{RECORD}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(run), indent=1), encoding="utf-8")
        draft.replace(place / RECORD)


def expect_sound(run: Run) -> None:
    """Raises `TypeError` or `ValueError` for a record that somebody else wrote."""
    of: dict[type, tuple[object, ...]] = {
        str: (run.id, run.kind, run.by, run.started, run.host, run.begun, run.ended, run.reason, run.output, run.child_begun, *run.command),
        int: (run.pid, run.child, run.attempts, 0 if run.status is None else run.status, *run.before.values(), *run.after.values()),
        dict: (run.before, run.after, run.facts),
    }
    for kind, values in of.items():
        if not all(isinstance(value, kind) for value in values):
            raise TypeError(f"the record of {run.id} has no {kind.__name__} where one must be")
    if any(datetime.fromisoformat(at).tzinfo is None for at in (run.started, run.ended) if at) or not run.started:
        raise ValueError(f"the record of {run.id} has a time without a zone")


def alive(host: str, pid: int, begun: str) -> bool:
    """Whether a process is there and still does something; of another machine's it is taken that it does."""
    return not dead(f"{host}-{pid}-00000000", begun)


def torn(place: Path) -> Run:
    """What is known of a run whose record cannot be read: when it began."""
    match = ID.fullmatch(place.name)
    assert match, f"{place} is no run's folder"
    at = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    why = f"its record cannot be read ({place / RECORD})"
    return Run(place.name, "unknown", (), "unknown", at.isoformat(), reason=why)


def told_by_log(place: Path, run: Run) -> Run:
    """A run that was broken off, with the end that its log tells: who minds a run may be killed, and the work goes on to its end."""
    status = last_event(place).get("exit_status")
    if not isinstance(status, int):
        return run
    with suppress(OSError):
        at = datetime.fromtimestamp((place / LOG).stat().st_mtime, UTC).isoformat()
        why = "; ".join(filter(None, [run.reason, "who minded it was ended before it, and its log tells how it went"]))
        return replace(run, status=status, ended=at, reason=why)
    return run


def last_event(place: Path) -> dict[str, Any]:
    """The last line of a run's log, if it is whole and a line of JSON; else nothing."""
    try:
        with (place / LOG).open("rb") as log:
            at, tail = log.seek(0, os.SEEK_END), b""
            while at and b"\n" not in tail[:-1]:
                at = max(0, at - BLOCK)
                log.seek(at)
                tail = log.read()
        event = json.loads(tail[:-1].rpartition(b"\n")[2]) if tail.endswith(b"\n") else {}
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}
