"""Folds beside a writer: a thread of its process that folds what it writes, by count and by age."""

import logging
import os
import threading
import time
from collections import Counter
from pathlib import Path

from workbench.lake.fold import DUE_ROWS, DUE_S, fold, fold_due
from workbench.lake.operations import Operations
from workbench.lake.records import record_named
from workbench.lake.remote.where import remote_of

LOG = logging.getLogger("workbench.lake")
# A lake in a bucket shows other machines what was folded only: within a second, the commit included.
FAR_S = 0.4
# The end of a process waits so long for another's fold.
LAST_S = 10.0
# After a fold that failed the next is tried so much later, so that a disk that is full is not written to all the time.
REST_S = 10.0
# The newest errors that are remembered.
REMEMBERED = 20


class Folder:
    """Folds tables of a lake while their rows are written; the first row starts its thread. `close` ends it, and so does its process.

    It disturbs no writer: what it meets is remembered in `errors`, and tried again later.
    """

    def __init__(self, root: Path, *, rows: int = DUE_ROWS, seconds: float | None = None):
        self.root = root
        self.far = remote_of(root) is not None
        self.rows, self.seconds = rows, seconds if seconds is not None else FAR_S if self.far else DUE_S
        self.errors: list[BaseException] = []
        self._journal = Operations(root)
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        # When the first of what is not folded yet was written, by table.
        self._since: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._ended = False
        self._pid = os.getpid()

    def wrote(self, name: str, count: int = 1) -> None:
        """Note that rows were written to a table. Costs about a microsecond, but for the first row of a table since its last fold."""
        if self._pid != os.getpid():
            # A child has no thread of its parent's, and perhaps a lock that nobody lets go of.
            self._begin()
        held = self._counts[name] + count
        self._counts[name] = held
        if self._thread is None or name not in self._since or held >= self.rows > held - count:
            self._wake(name)

    def close(self) -> None:
        """End the thread, once it has finished what it is at. What was not folded stays in the journal; of a lake in a bucket it is folded first."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            thread = self._thread
        if thread and self._pid == os.getpid() and thread is not threading.current_thread():
            thread.join()
        if self.far and self._since and self._pid == os.getpid():
            self._last()
        self._journal.close()

    def take_up(self) -> None:
        """Have what processes that are no more left in the journal be folded soon, where other machines wait for it."""
        if self.far:
            for name in self._journal.held():
                self._wake(name)

    def _last(self) -> None:
        """Fold what was written since the last fold."""
        for name in list(self._since):
            try:
                if record := record_named(self.root, name):
                    until = time.monotonic() + LAST_S
                    # Another process that is at it may have begun before these came, and tells nobody when it ends.
                    while fold(self.root, record, self._journal) is None and name in self._journal.held() and time.monotonic() < until:
                        time.sleep(0.05)
            except BaseException as fault:
                LOG.warning(
                    "%s: rows stand in this machine's journal that no other sees until they are folded, by the next process here: %s",
                    name,
                    fault,
                )
                self._remember(fault)
        self._since.clear()

    def _wake(self, name: str) -> None:
        with self._changed:
            self._since.setdefault(name, time.monotonic())
            if self._thread is None and not self._ended:
                thread = threading.Thread(target=self._run, name="workbench-fold", daemon=True)
                try:
                    thread.start()
                    self._thread = thread
                except RuntimeError as fault:
                    # There are too many, or Python is ending. The rows are written, and nobody must be told otherwise: others fold them.
                    self._remember(fault)
            self._changed.notify_all()

    def _due(self) -> tuple[str | None, float | None]:
        """A table that is to be folded now, or in how many seconds the next is."""
        now, wait = time.monotonic(), None
        for name, since in self._since.items():
            left = 0.0 if self._counts[name] >= self.rows else since + self.seconds - now
            if left <= 0:
                return name, 0.0
            wait = left if wait is None else min(wait, left)
        return None, wait

    def _run(self) -> None:
        try:
            # What processes that are no more left in the journal.
            fold_due(self.root, self._journal)
        except BaseException as fault:
            self._remember(fault)
        while True:
            with self._changed:
                name, wait = self._due()
                if self._ended:
                    return
                if name is None:
                    self._changed.wait(wait)
                    continue
                # Rows that come while it is folded count for the next time.
                del self._since[name]
                self._counts[name] = 0
            try:
                if record := record_named(self.root, name):
                    fold(self.root, record, self._journal)
                if name in self._journal.held():
                    # Another process was at it, and may have begun before these came.
                    with self._changed:
                        self._since.setdefault(name, time.monotonic())
            except BaseException as fault:
                self._remember(fault)
                with self._changed:
                    self._since.setdefault(name, time.monotonic() + REST_S - self.seconds)
                    if not self._ended:
                        self._changed.wait(REST_S if self._counts[name] >= self.rows else 0)

    def _remember(self, fault: BaseException) -> None:
        self.errors = [*self.errors, fault][-REMEMBERED:]
        if not isinstance(fault, Exception):
            # Delta's library panics in a child whose parent has used it, and would with each fold: others fold what this process writes.
            self._ended = True
