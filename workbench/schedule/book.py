"""The schedules of a lake: one small file, changed under a lock and written whole at once."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from workbench.errors import Busy, LakeError, UnknownName, UsageError
from workbench.lake.disk import disk
from workbench.runs import Run, Runs
from workbench.runs.locking import locked
from workbench.schedule.cron import Cron

FILE = "schedules.json"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")
LOCK_S = 10
# A run whose minder never put itself on record was never begun.
NEVER_CAME_S = 60


@dataclass(frozen=True)
class Schedule:
    """What is to be run, and when. `command` are the words after `workbench`, run in `folder`, ended after `timeout` seconds if that is not 0.

    `since` is from when on times count, and `claimed` the last due time that a run was put on record for (ISO, UTC; empty before the first);
    `run` is that run.
    """

    name: str
    when: str
    command: tuple[str, ...]
    folder: str
    since: str
    timeout: float = 0
    paused: bool = False
    claimed: str = ""
    run: str = ""

    @property
    def cron(self) -> Cron:
        """When it is due."""
        return Cron.parse(self.when, "UTC")

    def due(self, now: datetime) -> datetime | None:
        """The last time, until now, that it should have been run and was not."""
        return None if self.paused else self.cron.latest(now, self.counted)

    @property
    def counted(self) -> datetime:
        """The instant after which times count."""
        return datetime.fromisoformat(max(self.since, self.claimed))


@dataclass
class Book:
    """The schedules of a lake, in the order in which they were added."""

    root: Path
    schedules: list[Schedule] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path) -> "Book":
        """The schedules as they are. Raises `LakeError` for a file that cannot be read."""
        path = root / FILE
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            known = {one.name for one in fields(Schedule)}
            return cls(root, [sound({name: value for name, value in one.items() if name in known}) for one in told["schedules"]])
        except FileNotFoundError:
            return cls(root)
        except OSError as fault:
            raise LakeError(f"{path} cannot be read ({fault.strerror}); nothing was done.") from fault
        except (ValueError, TypeError, KeyError, AttributeError, UsageError) as fault:
            raise LakeError(
                f"{path} is not what the workbench writes ({fault}); nothing was done. Mend it, or remove it and add anew."
            ) from fault

    @classmethod
    @contextmanager
    def changing(cls, root: Path) -> Iterator["Book"]:
        """The schedules, held for a change, and written when the block ends without an error. Raises `Busy` and `LakeError`."""
        with ExitStack() as held:
            try:
                held.enter_context(locked(root, "schedules", "no schedule was changed", LOCK_S))
            except Timeout as fault:
                raise Busy(f"the schedules of {root} are held by another process; nothing was done. Try again.") from fault
            book = cls.read(root)
            before = list(book.schedules)
            yield book
            if book.schedules != before:
                with disk(root, "no schedule was changed"):
                    book._write()

    def _write(self) -> None:
        path = self.root / FILE
        draft = path.with_name(f".{FILE}.{os.getpid()}")
        draft.write_text(json.dumps({"schedules": [asdict(one) for one in self.schedules]}, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)

    def __iter__(self) -> Iterator[Schedule]:
        return iter(self.schedules)

    def __getitem__(self, name: str) -> Schedule:
        for one in self.schedules:
            if one.name == name:
                return one
        raise UnknownName("schedule", name, [one.name for one in self.schedules], "`workbench schedule list` lists them.")

    def change(self, name: str, **facts: Any) -> Schedule:
        """A schedule with some of its fields changed."""
        changed = replace(self[name], **facts)
        self.schedules = [changed if one.name == name else one for one in self.schedules]
        return changed

    def remove(self, name: str) -> Schedule:
        """Take a schedule out."""
        gone = self[name]
        self.schedules = [one for one in self.schedules if one.name != name]
        return gone

    def add(self, name: str, cron: Cron, command: Sequence[str], folder: Path, timeout: float = 0) -> Schedule:
        """Put in a schedule; its times count from now on. Without a name it gets one of its command. Raises `UsageError`."""
        held = {one.name for one in self.schedules}
        if name and not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a schedule; nothing was scheduled. Take letters a-z, digits, - and _.")
        if name in held:
            raise UsageError(
                f"there is a schedule {name} ({self[name].when}: {' '.join(self[name].command)}); nothing was scheduled. Take another name."
            )
        base = name or named(command)
        name = next(one for one in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if one not in held)
        made = Schedule(name, str(cron), tuple(command), str(folder), datetime.now(UTC).isoformat(), timeout)
        self.schedules.append(made)
        return made


def sound(told: dict[str, Any]) -> Schedule:
    """A schedule as it is written in the file. Raises `ValueError`, `TypeError`, `KeyError` and `UsageError` for what somebody else wrote there."""
    texts = {"name", "when", "folder", "since", "claimed", "run"} & set(told)
    if not all(isinstance(told[name], str) for name in texts):
        raise ValueError(f"one of {', '.join(sorted(texts))} is no text in {told}")
    words = told["command"]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f"the command {words!r} is no list of words")
    made = Schedule(
        **told | {"command": tuple(words), "timeout": float(told.get("timeout", 0)), "paused": told.get("paused", False) is True}
    )
    if made.counted.tzinfo is None:
        raise ValueError(f"the time {made.since} has no zone")
    _ = made.cron
    return made


def named(command: Sequence[str]) -> str:
    """A name for a schedule, of its command: refresh, or run-10_refresh."""
    words = [command[0], *(Path(word).stem for word in command[1:2] if command[0] == "run")]
    return re.sub(r"[^a-z0-9_-]+", "-", "-".join(words).lower()).strip("-")[:50] or "schedule"


def going(root: Path, schedule: Schedule, now: datetime) -> Run | None:
    """The run of a schedule that has not ended; None if there is none."""
    if not schedule.run:
        return None
    try:
        run = Runs(root).get(schedule.run)
    except UnknownName:
        return None
    young = (now - datetime.fromisoformat(run.started)).total_seconds() < NEVER_CAME_S
    return run if run.state == "running" and (run.pid or young) else None
