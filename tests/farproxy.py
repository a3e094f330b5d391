"""A proxy on loopback between a client and an S3 server: it counts what passes, and fails, stalls, resets or cuts as it is told.

It signs nothing and changes nothing: a signature is of the host that the client names, which is passed on as it came.
"""

import http.client
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread, local
from urllib.parse import parse_qs, unquote, urlsplit

# Of the connection, not of what is asked.
HOPS = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


@dataclass(frozen=True)
class Passed:
    """A request that came: `get`, `head`, `put`, `post`, `delete` of a key, or `list` of a prefix; `sent` bytes of its body, `received` of the answer's."""

    kind: str
    key: str
    range: str
    status: int
    sent: int
    received: int


@dataclass
class Trouble:
    """What becomes of the requests of a kind ("" for any) whose key a pattern is found in, after `after` of them, `times` times (-1: always).

    `status` answers with that and `code`; `reset` closes the line before an answer, or, with `late`, when the request was done; `cut` sends so many bytes of
    the body and closes; `stall` is how many seconds nothing is sent for, before the answer's body.
    """

    kind: str = ""
    key: str = ""
    after: int = 0
    times: int = -1
    status: int = 0
    code: str = "InternalError"
    reset: bool = False
    late: bool = False
    cut: int = -1
    stall: float = 0.0
    met: int = 0

    def meets(self, kind: str, key: str) -> bool:
        """Whether a request is to fail; counts it."""
        if (self.kind and self.kind != kind) or not re.search(self.key, key):
            return False
        self.met += 1
        return self.met > self.after and (self.times < 0 or self.met <= self.after + self.times)


@dataclass
class FarProxy:
    """A running proxy: what has passed, and the troubles that it makes."""

    upstream: str
    passed: list[Passed] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    endpoint: str = ""

    def __post_init__(self) -> None:
        self.lock, self.stopping, self.lines = Lock(), Event(), local()

    def counts(self) -> dict[str, int]:
        """How many requests of each kind have passed."""
        with self.lock:
            return dict(Counter(one.kind for one in self.passed))

    def of(self, kind: str, key: str = "") -> list[Passed]:
        """The requests of a kind whose key a pattern is found in."""
        with self.lock:
            return [one for one in self.passed if one.kind == kind and re.search(key, one.key)]

    def data(self) -> list[Passed]:
        """The requests for data files."""
        return self.of("get", r"\.parquet$")

    def clear(self) -> None:
        """Forget what has passed, and make no more trouble."""
        with self.lock:
            self.passed.clear()
            self.troubles.clear()

    def trouble(self, kind: str, key: str) -> Trouble | None:
        with self.lock:
            return next((one for one in self.troubles if one.meets(kind, key)), None)

    def line(self) -> http.client.HTTPConnection:
        """This thread's connection to the server."""
        if not hasattr(self.lines, "held"):
            self.lines.held = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=120)
            self.lines.held.connect()
            self.lines.held.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        held: http.client.HTTPConnection = self.lines.held
        return held

    def drop(self) -> None:
        """Give this thread's connection up."""
        if hasattr(self.lines, "held"):
            self.lines.held.close()
            del self.lines.held


@contextmanager
def farproxy(upstream: str) -> Iterator[FarProxy]:
    """Run a proxy before a server until the block ends."""
    proxy = FarProxy(upstream)

    class Handler(Passing):
        far = proxy

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is none."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class Passing(BaseHTTPRequestHandler):
    """Passes each request on, and its answer back."""

    far: FarProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Head and body of an answer in one piece.
    wbufsize = 1 << 16

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.far.drop()

    def body(self) -> bytes:
        """The request's, if it says how long that is."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        some = self.rfile.read(size)
        self.rfile.readline()
        return some

    def pass_on(self) -> None:
        far, url = self.far, urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        _, _, key = unquote(url.path).lstrip("/").partition("/")
        listed = self.command == "GET" and not key
        kind = "list" if listed else self.command.lower()
        key = query.get("prefix", [""])[0] if listed else key
        sent = self.body()
        trouble = far.trouble(kind, key)
        if trouble and trouble.reset and not trouble.late:
            self._note(kind, key, 0, len(sent), 0)
            return self._reset()
        if trouble and trouble.status:
            return self._refuse(trouble, kind, key, len(sent))
        status, headers, body = self._asked(sent)
        if trouble and trouble.reset:
            self._note(kind, key, 0, len(sent), 0)
            return self._reset()
        self._note(kind, key, status, len(sent), len(body))
        self._answer(status, headers, body, trouble)
        return None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815

    def _asked(self, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOPS | {"expect", "content-length"}}
        if sent or self.command in ("PUT", "POST"):
            headers["Content-Length"] = str(len(sent))
        for last in (False, True):
            try:
                line = self.far.line()
                line.request(self.command, self.path, sent, headers)
                answer = line.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                # A line that was kept may have been closed at the other end.
                self.far.drop()
                if last:
                    raise
            else:
                return answer.status, answer.getheaders(), body
        raise AssertionError

    def _note(self, kind: str, key: str, status: int, sent: int, received: int) -> None:
        with self.far.lock:
            self.far.passed.append(Passed(kind, key, self.headers.get("Range", ""), status, sent, received))

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, trouble: Trouble | None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOPS:
                self.send_header(name, value)
        if status not in (204, 304) and not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if trouble and trouble.stall:
            self.wfile.flush()
            self.far.stopping.wait(trouble.stall)
        if trouble and trouble.cut >= 0:
            self.wfile.write(body[: trouble.cut])
            self.wfile.flush()
            self.close_connection = True
            return
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _refuse(self, trouble: Trouble, kind: str, key: str, sent: int) -> None:
        if trouble.stall:
            self.far.stopping.wait(trouble.stall)
        text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{trouble.code}</Code><Message>as told</Message></Error>".encode()
        self._note(kind, key, trouble.status, sent, len(text))
        self._answer(trouble.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))], text, None)

    def _reset(self) -> None:
        """Close the line so that the other end is told of a reset."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
