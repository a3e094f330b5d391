"""Answers on their way out: a small one at once, a large one piece by piece; and who has gone meanwhile, has the query stopped."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from workbench.api.faults import Refused
from workbench.api.forms import MEDIA, WRITERS, Form
from workbench.api.service import Service, Session
from workbench.errors import TookTooLong

if TYPE_CHECKING:
    import pyarrow as pa

LOG = logging.getLogger("workbench.api")
T = TypeVar("T")

# An answer up to this is sent whole, and says in its headers whether it was cut.
SMALL_BYTES = 1_000_000
PIECE_BYTES = 250_000
# So long may whoever reads an answer take for a piece of it, before the query ends and others come in.
STALL_SECONDS = 30.0
# What is stopped when its time is over has this long to stop.
GRACE_SECONDS = 5.0
GONE = Refused(499, "Gone", "whoever asked has gone; the query was stopped.")


class Rows(Protocol):
    """What an answer is made of: batches, and whether there were more."""

    schema: "pa.Schema"
    truncated: bool

    def __iter__(self) -> "Iterator[pa.RecordBatch]":
        """The rows."""

    def interrupt(self) -> None:
        """Stop it, from another thread."""

    def close(self) -> None:
        """Let go of it."""


class Pieces:
    """An answer as bytes, made in threads, a piece at a time."""

    def __init__(self, rows: Rows, form: Form):
        self._rows, self._batches = rows, iter(rows)
        self._writer = WRITERS[form](rows.schema)
        self._begun = False
        self.over = False

    def next(self, least: int) -> bytes:
        """The next bytes, about `least` of them; fewer at the end."""
        made = [] if self._begun else [self._writer.begin()]
        self._begun = True
        while not self.over and sum(map(len, made)) < least:
            batch = next(self._batches, None)
            if batch is None:
                self.over = True
                made.append(self._writer.end(truncated=bool(self._rows.truncated)))
            else:
                made.append(self._writer.batch(batch))
        return b"".join(made)

    @property
    def truncated(self) -> bool:
        """Whether there were more rows than asked for; known when it is over."""
        return bool(self._rows.truncated)


# Is handed what stops a question while there is no answer yet.
Stoppable = Callable[[Callable[[], None]], None]
Ask = Callable[[Stoppable], Rows]


async def reply(
    service: Service, request: Request, ask: Ask, form: Form, max_rows: int, seconds: float, session: Session | None = None
) -> Response:
    """Ask in a thread, and reply with what comes; `session` is held until it is out. Raises what `ask` raises, and `TookTooLong`."""
    async with AsyncExitStack() as held:
        if session is not None:
            held.enter_context(session)
        await held.enter_async_context(service.slot())
        asking = Asking(ask)
        held.push_async_callback(asking.close, service)

        def first() -> tuple[Pieces, bytes]:
            pieces = Pieces(asking.begin(), form)
            return pieces, pieces.next(SMALL_BYTES)

        working = asyncio.ensure_future(service.query(first))
        try:
            pieces, begun = await watched(request, working, asking.interrupt, seconds)
        except BaseException:
            if not working.done():
                # What cannot be stopped keeps its slot: more is not begun than there are threads.
                service.later(working, held.pop_all())
            raise
        headers = {"X-Max-Rows": str(max_rows)}
        if pieces.over:
            headers["X-Truncated"] = str(pieces.truncated).lower()
            return Response(begun, 200, headers, MEDIA[form])
        return Stream(service, pieces, begun, asking.interrupt, held.pop_all(), headers, MEDIA[form])


class Asking:
    """A question that another thread may have stopped, before or after there is an answer."""

    def __init__(self, ask: Ask):
        self._ask = ask
        self._rows: Rows | None = None
        self._stop: Callable[[], None] | None = None
        self._stopped = False

    def begin(self) -> Rows:
        """Ask."""
        if not self._stopped:
            self._rows = self._ask(self._stoppable)
        if self._stopped or self._rows is None:
            raise GONE
        return self._rows

    def _stoppable(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        if self._stopped:
            stop()

    def interrupt(self) -> None:
        """Stop it."""
        self._stopped = True
        if self._rows is not None:
            self._rows.interrupt()
        elif self._stop is not None:
            self._stop()

    async def close(self, service: Service) -> None:
        """Let go of the answer."""
        if self._rows is not None:
            await asyncio.shield(service.run(self._rows.close))


async def watched(request: Request, working: asyncio.Future[T], stop: Callable[[], None], seconds: float) -> T:
    """Wait for a thread's work, and have it stopped if whoever asked goes, or its time is over. Raises `Refused` and `TookTooLong`."""
    leaving = asyncio.ensure_future(gone(request))
    try:
        done, _ = await asyncio.wait((working, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            return working.result()
        stop()
        await asyncio.wait((working,), timeout=GRACE_SECONDS)
        if working.done():
            # What it says of having been stopped is not news.
            working.exception()
        if leaving in done:
            raise GONE
        raise TookTooLong(
            f"the answer took more than {seconds:g} s, and was stopped; ask for less, or for more time (at most the server's)."
        )
    finally:
        leaving.cancel()


async def gone(request: Request) -> None:
    """Wait until whoever asked is gone; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Stream(Response):
    """A large answer, sent as it is made; no more is made than is read. What fails on the way breaks it off, which whoever reads it notices."""

    def __init__(
        self,
        service: Service,
        pieces: Pieces,
        begun: bytes,
        stop: Callable[[], None],
        held: AsyncExitStack,
        headers: dict[str, str],
        media_type: str,
    ):
        super().__init__(None, 200, headers, media_type)
        del self.headers["content-length"]
        self._service, self._pieces, self._begun, self._stop, self._held = service, pieces, begun, stop, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        async with self._held:
            leaving = asyncio.ensure_future(gone(request))
            sending = asyncio.ensure_future(self._send(send))
            try:
                await asyncio.wait((leaving, sending), return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    self._stop()
                    await asyncio.wait((sending,), timeout=GRACE_SECONDS)
                    sending.cancel()
                    return
                if (fault := sending.exception()) is not None:
                    self._stop()
                    LOG.warning("an answer was broken off: %s", self._service.outward.text(str(fault)) or type(fault).__name__)
            finally:
                leaving.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        piece = self._begun
        while True:
            message: dict[str, Any] = {"type": "http.response.body", "body": piece, "more_body": not self._pieces.over}
            await asyncio.wait_for(send(message), STALL_SECONDS)
            if self._pieces.over:
                return
            piece = await self._service.query(lambda: self._pieces.next(PIECE_BYTES))
