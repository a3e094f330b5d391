"""The server: the app on an address, until it is stopped; requests that go on then are let end for a while."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from workbench.api.app import application
from workbench.api.service import Service
from workbench.api.settings import Serving
from workbench.errors import LakeError

if TYPE_CHECKING:
    from workbench.bench import Workbench

LOG = logging.getLogger("workbench.api")

# A head of this size holds any token and filter; what is larger is nobody's browser.
HEAD_BYTES = 65_536
# So long a connection may take to say what it wants, and may stay without wanting anything.
HEAD_SECONDS, IDLE_SECONDS = 10.0, 30
CONNECTIONS, BACKLOG = 1000, 512
# Requests that go on when the server is stopped have this long to end; queries are stopped then.
STOP_SECONDS = 10


class Patience(H11Protocol):
    """A connection that is closed when the head of a request does not come, or comes letter by letter."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # From the head's end on the app minds the time; between requests uvicorn does.
        if self.conn.their_state is not h11.IDLE or not self.conn.trailing_data[0]:
            self._come()
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._come()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _come(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """Tells where it serves when it does, and ends its long answers when it is asked to stop."""

    def __init__(self, config: uvicorn.Config, began: Callable[[], None], ending: Callable[[], None]):
        super().__init__(config)
        self._began, self._ending = began, ending
        self.stopped = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._began()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.stopped = sig
        self._ending()
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn raises them once more when it has ended: who asked a server to stop gets that, and no interrupt.
        held = {}
        with suppress(ValueError):
            for one in (signal.SIGINT, signal.SIGTERM):
                held[one] = signal.signal(one, self.handle_exit)
        try:
            yield
        finally:
            for one, handler in held.items():
                signal.signal(one, handler)


def serve(bench: "Workbench", serving: Serving, say: Callable[[str], None] = print) -> None:
    """Serve a lake until SIGINT or SIGTERM; `say` is told where, and when it is over.

    Raises `UsageError` for an address that others reach without tokens or TLS, and `LakeError` for one that cannot be had.
    """
    server, listening = prepared(bench, serving, lambda where: say(f"serving {bench.lake.where} at {where}; Ctrl-C stops it"))
    with listening:
        server.run(sockets=[listening])
    say("stopped; runs that were begun go on by themselves")


@contextmanager
def beside(bench: "Workbench", serving: Serving) -> Iterator[str]:
    """Serve a lake in a thread of this process until the block ends; gives the URL. Raises what `serve` does."""
    up, found = threading.Event(), list[str]()

    def began(where: str) -> None:
        found.append(where)
        up.set()

    server, listening = prepared(bench, serving, began)

    def run() -> None:
        try:
            server.run(sockets=[listening])
        finally:
            up.set()

    thread = threading.Thread(target=run, name="serves", daemon=True)
    with listening:
        thread.start()
        up.wait()
        try:
            if not found:
                raise LakeError(f"{serving.host} port {serving.port} is not served: the server ended while it began. Its log says why.")
            yield found[0]
        finally:
            server.handle_exit(signal.SIGTERM, None)
            thread.join()


def prepared(bench: "Workbench", serving: Serving, began: Callable[[str], None]) -> tuple[Server, socket.socket]:
    """A server, and the socket to run it on; `began` is told where it serves when it does."""
    if serving.memory:
        # What is no size is said now, and not to everybody who asks.
        replace(bench.settings, memory_limit=serving.memory)._checked()
    app = application(bench, serving)
    service: Service = app.state.service
    serving.expect_safe(tokens=bool(service.tokens))
    config = uvicorn.Config(
        app,
        http=Patience,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=serving.tls_cert,
        ssl_keyfile=str(serving.tls_key) if serving.tls_key else None,
        limit_concurrency=CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    try:
        config.load()
    except OSError as fault:
        # Of OpenSSL's, too.
        raise LakeError(
            f"{serving.tls_cert} and {serving.tls_key} cannot be used ({fault.strerror or fault}); nothing was served. Give a certificate and "
            "the key that belongs to it, both as PEM."
        ) from fault
    listening = listener(serving)
    where = address_of(listening, tls=bool(serving.tls_cert))

    def up() -> None:
        LOG.info("serving %s at %s", bench.lake.where, where)
        began(where)

    def ending() -> None:
        service.stopping = True

    # What uvicorn complains of goes where our own lines go, without secrets.
    theirs = logging.getLogger("uvicorn")
    theirs.handlers, theirs.propagate = list(logging.getLogger("workbench").handlers), False
    theirs.setLevel(logging.WARNING)
    return Server(config, up, ending), listening


def listener(serving: Serving) -> socket.socket:
    """The socket that is listened at. Raises `LakeError` for an address that is taken, or is none of this machine's."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(serving.host, serving.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        made = socket.socket(family, kind, protocol)
        with ExitStack() as open_yet:
            open_yet.enter_context(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(place)
            made.listen(BACKLOG)
            open_yet.pop_all()
    except OSError as fault:
        raise LakeError(
            f"{serving.host} port {serving.port} cannot be listened at ({fault.strerror or fault}); nothing was served. Take another --port, or --host."
        ) from fault
    return made


def address_of(listening: socket.socket, *, tls: bool) -> str:
    """Where a socket listens, as a URL."""
    host, port = listening.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
