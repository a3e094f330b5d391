"""What all requests share: the bench, a guarded session for each set of schemas, the threads that work, and how many may at a time."""

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.api.faults import RETRY, Outward, Refused
from workbench.api.measuring import Measures
from workbench.api.settings import Serving
from workbench.api.tokens import Action, Grant, Tokens
from workbench.errors import NotAllowed, WorkbenchError
from workbench.query.guarded import Guarded

if TYPE_CHECKING:
    from workbench.bench import Workbench

LOG = logging.getLogger("workbench.api")
T = TypeVar("T")

# Whoever asks on this machine without a token.
LOCAL = Grant("local", "reader")
# Work that is no query: what it asks is small.
SMALL_THREADS = 4
# Sessions for limited tokens; the one that was asked the longest ago gives way, when nobody asks it any more.
SESSIONS = 8
# What is asked again and again, and costs some, is told anew only so often.
FRESH_SECONDS = 2.0
FOLLOWERS = 100
BUSY = "the server has its hands full, and as many wait already as may; nothing was done. Try again in a moment."


class Service:
    """The server's state. Made once, closed at its end."""

    def __init__(self, bench: "Workbench", serving: Serving):
        self.bench, self.serving = bench, serving
        self.tokens = Tokens(bench.lake.root)
        self.measures = Measures()
        self.outward = Outward(bench.settings)
        self.stopping = False
        self.followers = 0
        self._sessions: OrderedDict[tuple[str, ...] | None, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._queries = ThreadPoolExecutor(serving.queries, "query")
        self._small = ThreadPoolExecutor(SMALL_THREADS, "small")
        self._slots = asyncio.Semaphore(serving.queries)
        self._waiting = 0
        self._tasks = set[asyncio.Task[None]]()
        self._told: dict[str, tuple[float, Any]] = {}
        self._telling: dict[str, asyncio.Lock] = {}

    # ------------------------------------------------------------------ work

    async def run(self, work: Callable[[], T]) -> T:
        """Do something small in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._small, work)

    async def query(self, work: Callable[[], T]) -> T:
        """Do a piece of a query in a thread, within a `slot`."""
        return await asyncio.get_running_loop().run_in_executor(self._queries, work)

    def later(self, working: "asyncio.Future[Any]", held: AsyncExitStack) -> None:
        """Let go of what some work holds when it ends, which nobody waits for any more."""

        async def ends() -> None:
            async with held:
                await asyncio.wait((working,))
                working.exception()

        task = asyncio.ensure_future(ends())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """The right to query, until the block ends. Raises `Refused` where too many wait, or none came in time."""
        if self._waiting >= self.serving.queue and self._slots.locked():
            raise Refused(503, "Busy", BUSY, RETRY)
        self._waiting += 1
        self.measures.waiting.inc()
        try:
            await asyncio.wait_for(self._slots.acquire(), self.serving.timeout)
        except TimeoutError as fault:
            raise Refused(503, "Busy", BUSY, RETRY) from fault
        finally:
            self._waiting -= 1
            self.measures.waiting.dec()
        self.measures.running.inc()
        try:
            yield
        finally:
            self.measures.running.dec()
            self._slots.release()

    async def lately(self, what: str, tell: Callable[[], T]) -> T:
        """What was told less than two seconds ago, or is told now, once for all who ask meanwhile."""
        async with self._telling.setdefault(what, asyncio.Lock()):
            at, told = self._told.get(what, (0.0, None))
            if not at or time.monotonic() - at > FRESH_SECONDS:
                told = await self.run(tell)
                self._told[what] = time.monotonic(), told
            return told  # type: ignore[no-any-return]

    # ------------------------------------------------------------------ sessions

    def session(self, grant: Grant) -> "Session":
        """The guarded session for what a token may read, to be used `with`."""
        key = None if grant.schemas is None else tuple(sorted(grant.schemas))
        with self._lock:
            found = self._sessions.get(key)
            if found is None:
                found = self._sessions[key] = Session(self, key)
            self._sessions.move_to_end(key)
            found.users += 1
            idle = [one for one, session in self._sessions.items() if not session.users][: max(0, len(self._sessions) - SESSIONS)]
            leaving = [self._sessions.pop(one) for one in idle]
        for one in leaving:
            one.close()
        return found

    def left(self, session: "Session") -> None:
        """Somebody asks a session no more."""
        with self._lock:
            session.users -= 1

    def warm(self) -> None:
        """Load in a thread what the first who asks would wait seconds for: libraries, the session, the calendar."""

        def load() -> None:
            with self.session(LOCAL) as session, suppress(WorkbenchError):
                session.guarded.stream("SELECT 1").close()
                self.bench.bars("AAPL", "2020-01-02", "2020-01-02")
                self.bench.health()

        self._small.submit(load)

    def close(self) -> None:
        """Wait for no query, and close all."""
        self.stopping = True
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._small.shutdown(wait=False, cancel_futures=True)
        for one in self._sessions.values():
            one.close()
        self._sessions.clear()


class Session:
    """A guarded session, opened when it is first asked, and how many ask it now."""

    def __init__(self, service: Service, schemas: tuple[str, ...] | None):
        self._service, self._schemas = service, schemas
        self._lock = threading.Lock()
        self._guarded: Guarded | None = None
        self.users = 0

    @property
    def guarded(self) -> Guarded:
        """The session; to be asked for in a thread, as opening it takes a moment."""
        with self._lock:
            if self._guarded is None:
                self._guarded = Guarded(self._service.bench, self._schemas, memory_limit=self._service.serving.memory)
            return self._guarded

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self._service.left(self)

    def close(self) -> None:
        """Close it."""
        with self._lock:
            if self._guarded:
                self._guarded.close()
                self._guarded = None


# What roles may do, in words.
DOES: dict[Action, str] = {
    "read": "read",
    "write": "write rows",
    "refresh": "refresh the lake or stop what goes on",
    "delete": "take rows away",
}


def expect(grant: Grant, action: Action, schema: str | None = None) -> None:
    """Raises `NotAllowed` where a role does not go so far, or a token does not reach a schema."""
    if not grant.may(action):
        raise NotAllowed(f"the role {grant.role} may not {DOES[action]}; nothing was done. Ask the lake's owner for a token that may.")
    if schema is not None and not grant.reaches(schema):
        raise NotAllowed(f"this token does not reach the schema {schema}; nothing was done. Ask the lake's owner for one that does.")
