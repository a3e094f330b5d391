"""What is in flight while a refresh runs: the files that are fetched or landed just now, with the bytes that are here, and the questions that are asked."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from workbench.refresh.plan import Step
from workbench.sources import FlatFile

FETCHING, WAITING, LANDING, GATHERING = "fetching", "waits to land", "landing", "gathering"
# Fetched and landed by a worker of another machine, who tells when it is done.
AWAY = "with a worker"


@runtime_checkable
class Downloading(Protocol):
    """A source whose files come over the network bit by bit."""

    def held(self, file: FlatFile, folder: Path) -> int:
        """How many bytes of a file are under `folder` now."""
        ...


@dataclass
class Flight:
    """A step that is being done: `doing` says what is done with it now."""

    step: Step
    doing: str
    began: float = field(default_factory=time.monotonic)


class Flights:
    """The steps that are being done, told to whoever asks from another thread. `files` is where their bytes come from, `folder` where they go."""

    def __init__(self, files: object = None, folder: Path | None = None):
        self._files = files if isinstance(files, Downloading) else None
        self._folder = folder
        self._now: dict[int, Flight] = {}

    @contextmanager
    def of(self, step: Step, doing: str) -> Iterator[Flight]:
        """A step is being done until the block ends."""
        flight = Flight(step, doing)
        self._now[id(flight)] = flight
        try:
            yield flight
        finally:
            del self._now[id(flight)]

    def told(self) -> list[dict[str, Any]]:
        """Each step in flight, the oldest first: its place, its size, the bytes of it that are here, and what is done with it."""
        return [
            {
                "table": flight.step.table,
                "session": flight.step.session,
                "key": flight.step.key,
                "size": flight.step.size,
                "fetched": self._held(flight),
                "doing": flight.doing,
            }
            for flight in sorted(self._now.copy().values(), key=lambda flight: flight.began)
        ]

    def _held(self, flight: Flight) -> int:
        file = flight.step.file
        if flight.doing == AWAY:
            return 0
        if not file or flight.doing != FETCHING:
            return flight.step.size
        return min(self._files.held(file, self._folder), file.size) if self._files and self._folder else 0
