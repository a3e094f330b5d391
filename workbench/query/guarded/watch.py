"""One thread that stops what goes on too long, for all queries of a session: a thread for each would cost more than many of them."""

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

LONGEST_S = 3600.0


class Watch:
    """Calls what it was given when its time has come, unless it was called off before. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: set[int] = set()
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def after(self, seconds: float, call: Callable[[], None]) -> int:
        """Have something called after so many seconds; gives the number to call it off by."""
        with self._changed:
            number = next(self._numbers)
            self._waiting.add(number)
            heapq.heappush(self._due, (time.monotonic() + seconds, number, call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="workbench-watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        return number

    def off(self, number: int) -> None:
        """Call it off; one that was called already is left."""
        with self._changed:
            self._waiting.discard(number)
            # What was called off stays until its time, which may be long: not so many of them.
            if len(self._due) > 2 * len(self._waiting) + 64:
                self._due = [one for one in self._due if one[1] in self._waiting]
                heapq.heapify(self._due)

    def close(self) -> None:
        """Call off everything."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._waiting.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    # Longer than a platform's clock can tell, it would raise, and nothing be stopped any more.
                    self._changed.wait(min(LONGEST_S, max(0.0, self._due[0][0] - time.monotonic())) if self._due else None)
                if self._closed:
                    return
                _, number, call = heapq.heappop(self._due)
                wanted = number in self._waiting
                self._waiting.discard(number)
            if wanted:
                call()
