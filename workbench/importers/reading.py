"""A thread that reads an old database, a little ahead of whoever takes its rows in.

All that is asked of an origin is asked in this thread: drivers want to stay where they were opened. Whoever waits for it does so in short steps, so
that Ctrl-C is heard, and a server that does not answer holds up nobody who leaves.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from workbench.errors import UsageError

T = TypeVar("T")

# So many batches wait at most, besides the one that is being read and the one that is being taken in.
AHEAD = 1
HEARTBEAT_S = 0.1
# So long whoever leaves waits for a read that is under way.
PATIENCE_S = 1.0
OVER = "this import is over, and its database was let go of; nothing was read. Ask for another with import_from."


class Ended:
    """What comes after the last item: the error that ended them, if one did."""

    def __init__(self, fault: BaseException | None = None):
        self.fault = fault


class Reading:
    """The thread. Safe to close from any; it ends with the process if its last read never does."""

    def __init__(self) -> None:
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="import", daemon=True)
        self._thread.start()
        self.closed = False
        # Whether a read is under way that did not end in time.
        self._stuck = False

    def _run(self) -> None:
        while (work := self._todo.get()) is not None:
            work()

    def _begin(self, work: Callable[[], T]) -> "Future[T]":
        if self.closed:
            # Nobody would do it, and whoever waits for it would do so for ever.
            raise UsageError(OVER)
        return self._put(work)

    def _put(self, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as fault:
                # It is whoever waits that it ends.
                future.set_exception(fault)

        self._todo.put(run)
        return future

    def call(self, work: Callable[[], T], stopped: Callable[[], bool] = bool) -> T | None:
        """What some work gives, done in the thread; None if whoever waits is told to stop before."""
        future = self._begin(work)
        while not stopped():
            try:
                return future.result(HEARTBEAT_S)
            except TimeoutError:
                if future.done():
                    # The work's own.
                    raise
        future.cancel()
        return None

    def stream(self, begin: Callable[[], Iterator[T]], stopped: Callable[[], bool] = bool) -> Generator[T, None, None]:
        """The items of an iterator that runs in the thread, which waits where too many were not taken yet. Ends early if told to stop."""
        came: queue.Queue[Any] = queue.Queue(AHEAD)
        left = threading.Event()

        def put(one: object) -> bool:
            while not left.is_set():
                try:
                    came.put(one, timeout=HEARTBEAT_S)
                except queue.Full:
                    continue
                return True
            return False

        def read() -> None:
            items = begin()
            try:
                for one in items:
                    if not put(one):
                        return
            except BaseException as fault:
                # It is raised where the items are taken.
                put(Ended(fault))
            else:
                put(Ended())
            finally:
                # What an origin holds open for a table ends with it.
                if close := getattr(items, "close", None):
                    close()

        future = self._begin(read)
        try:
            while not stopped():
                try:
                    one = came.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    if future.done() and came.empty():
                        # It failed before its first item.
                        future.result()
                        return
                    continue
                if isinstance(one, Ended):
                    if one.fault:
                        raise one.fault
                    return
                yield one
                del one
        finally:
            left.set()
            self._stuck = not ended(future)

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """End the thread, after some last work. Waits for a read that is under way, but not for long."""
        if self.closed:
            return
        self.closed = True
        future = self._put(last)
        self._todo.put(None)
        if not self._stuck and ended(future):
            self._thread.join(PATIENCE_S)


def ended(future: "Future[Any]") -> bool:
    """Whether some work ends within our patience, however it does."""
    try:
        future.exception(PATIENCE_S)
    except TimeoutError:
        return False
    return True
