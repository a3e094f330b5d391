"""Time that passes only while everybody waits: what threads do with it does not depend on how busy the machine is, and takes no time itself."""

import heapq
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count


class Waiter:
    """Somebody who waits."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.over = False


class Clock:
    """Stands in for `time`. Threads take part within `taking_part`; when all of them wait, it is the time at which the first of them is due."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._guard = threading.Lock()
        self._running = 0
        self._due: list[tuple[float, int, Waiter | Callable[[], None]]] = []
        self._number = count()

    def monotonic(self) -> float:
        """Never the same twice."""
        with self._guard:
            self._now += 1e-6
            return self._now

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.block(Waiter(), seconds)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something then, as a timer does."""
        with self._guard:
            heapq.heappush(self._due, (self._now + seconds, next(self._number), what))

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        with self._guard:
            self._running += 1
        try:
            yield
        finally:
            self._less()

    def side_by_side(self, threads: int, what: Callable[[], None]) -> None:
        """Have as many threads do something, while this one, which takes part, waits for them. Raises what one of them does."""
        ready = threading.Barrier(threads + 1)

        def work() -> None:
            with self.taking_part():
                ready.wait(60)
                what()

        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(work) for _ in range(threads)]
            # Time does not pass before all of them are there.
            ready.wait(60)
            self._less()
            try:
                for future in futures:
                    future.result(60)
            finally:
                with self._guard:
                    self._running += 1

    def block(self, waiter: Waiter, seconds: float) -> None:
        """Wait until then, or until `wake`."""
        with self._guard:
            heapq.heappush(self._due, (self._now + seconds, next(self._number), waiter))
        self._less()
        assert waiter.woken.wait(60), "everybody waits, and nobody is due"

    def wake(self, waiter: Waiter) -> None:
        with self._guard:
            if not waiter.over:
                waiter.over = True
                self._running += 1
                waiter.woken.set()

    def _less(self) -> None:
        """One fewer runs; who is due next does if nobody else."""
        with self._guard:
            self._running -= 1
        while True:
            with self._guard:
                if self._running or not self._due:
                    return
                at, _, who = heapq.heappop(self._due)
                if isinstance(who, Waiter):
                    if not who.over:
                        self._now = max(self._now, at)
                        who.over = True
                        self._running += 1
                        who.woken.set()
                    continue
                self._now = max(self._now, at)
                self._running += 1
            who()
            with self._guard:
                self._running -= 1


class Condition:
    """A condition whose waits last as long as the clock says."""

    def __init__(self, clock: Clock):
        self._clock, self._lock = clock, threading.Lock()
        self._waiters: list[Waiter] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, seconds: float) -> None:
        waiter = Waiter()
        self._waiters.append(waiter)
        self._lock.release()
        try:
            self._clock.block(waiter, seconds)
        finally:
            self._lock.acquire()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def notify_all(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._clock.wake(waiter)
