"""Who may come in: every request passes here before anything of it is read, and every reply on its way out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.responses import JSONResponse

from workbench.api.faults import Refused, unexpected
from workbench.api.measuring import Measures
from workbench.api.service import LOCAL
from workbench.api.settings import WRONG_TOKENS, Address, Network, Serving, address, networks, within
from workbench.api.tokens import Grant, Tokens
from workbench.errors import WorkbenchError

LOG = logging.getLogger("workbench.api")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = networks(["127.0.0.0/8", "::1/128"])
# What asks and changes nothing.
READS = ("GET", "HEAD", "OPTIONS")
READING_POSTS = ("/sql",)
# So long a piece of a request's body may be on its way.
BODY_SECONDS = 20.0
LONGEST_TOKEN = 512
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class Gate:
    """Looks at address, host, rate, token and size of a request, measures it, and logs a line without anything secret."""

    def __init__(self, app: App, serving: Serving, tokens: Tokens, measures: Measures):
        self.app, self.serving, self.tokens, self.measures = app, serving, tokens, measures
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._rates: list[RateLimitItem] = parse_many(serving.rate)
        self._wrong: list[RateLimitItem] = parse_many(WRONG_TOKENS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        visit = Visit(scope, receive, send)
        try:
            visit.enter(self)
            await self.app(scope, visit.receive, visit.send)
        except Refused as fault:
            await visit.refuse(fault)
        except WorkbenchError as fault:
            # The file of tokens cannot be read: nobody comes in.
            LOG.exception("the tokens cannot be read")
            await visit.refuse(
                Refused(503, type(fault).__name__, "the tokens cannot be read; nothing was done. The server's log says why.")
            )
        except Exception as fault:
            await visit.refuse(unexpected(fault))
        finally:
            visit.leave(self.measures)

    # ------------------------------------------------------------------ who

    def client(self, scope: Scope, headers: dict[bytes, bytes]) -> Address | None:
        """Whose request it is: the peer, or whom a proxy that is believed names."""
        peer = address((scope.get("client") or ("",))[0])
        if not self.serving.behind_proxy:
            return peer
        trusted: tuple[Network, ...] = self.serving.proxies or LOOPBACK
        # Each proxy adds whom it heard; the last that is none of ours is whoever asked.
        for text in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
            if not within(peer, trusted) or not text.strip():
                break
            peer = address(text)
        return peer

    def expect_host(self, headers: dict[bytes, bytes]) -> None:
        """Raises `Refused` for a name that is not this machine's, or a page of somebody else's: a browser that was led here by its name service or a script."""
        if self.serving.exposed:
            return
        if not ours(headers.get(b"host", b"").decode("latin-1"), self.serving.host):
            raise Refused(421, "WrongHost", "the Host header does not name this machine; nothing was done. Ask for 127.0.0.1 or localhost.")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and not ours(origin.partition("://")[2], self.serving.host):
            raise Refused(403, "NotAllowed", "a page of another origin asks, which may not; nothing was done.")

    def grant(self, scope: Scope, headers: dict[bytes, bytes], who: str) -> Grant:
        """What the request's token gives. Raises `Refused` for one that is none, and where one is needed."""
        told = headers.get(b"authorization", b"").decode("latin-1")
        scheme, _, secret = told.partition(" ")
        if told:
            if all(self._limiter.test(one, "wrong", who) for one in self._wrong):
                found = self.tokens.check(secret.strip()) if scheme.lower() == "bearer" and len(secret) <= LONGEST_TOKEN else None
                if found:
                    return found
                for one in self._wrong:
                    self._limiter.hit(one, "wrong", who)
                raise Refused(401, "NoToken", "this token is not known, was revoked, or its time is over; nothing was done.", BEARER)
            raise Refused(
                429, "TooMany", "too many wrong tokens came from this address; nothing was done. Wait a minute.", {"Retry-After": "60"}
            )
        if self.serving.exposed or not reads(scope["method"], scope["path"]):
            why = "whoever is not at this machine" if self.serving.exposed else "whatever writes"
            raise Refused(401, "NoToken", f"{why} needs a token; nothing was done. Send it as Authorization: Bearer TOKEN.", BEARER)
        return LOCAL

    def expect_room(self, whose: str) -> None:
        """Raises `Refused` for who asks too often."""
        for one in self._rates:
            if not self._limiter.hit(one, whose):
                wait = max(1, round(self._limiter.get_window_stats(one, whose).reset_time - time.time()))
                raise Refused(429, "TooMany", f"more than {self.serving.rate} requests came; nothing was done.", {"Retry-After": str(wait)})


BEARER = {"WWW-Authenticate": "Bearer"}


def reads(method: str, path: str) -> bool:
    """Whether a request asks and changes nothing."""
    return method in READS or (method == "POST" and path in READING_POSTS)


def ours(host: str, own: str) -> bool:
    """Whether a host, with or without a port, names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        # Half an address, as [::1
        return False
    found = address(name or "")
    return name in ("localhost", own.lower()) or (found is not None and found.is_loopback)


class Visit:
    """One request, from its coming to its reply's end."""

    def __init__(self, scope: Scope, receive: Receive, send: Send):
        self.scope, self._receive, self._send = scope, receive, send
        self.since = time.perf_counter()
        self.status = 0
        self.who, self.name = "", ""
        self.read, self.most = 0, 0
        self.over = False

    def enter(self, gate: Gate) -> None:
        """Look at it. Raises `Refused`."""
        headers = dict(self.scope["headers"])
        client = gate.client(self.scope, headers)
        self.who, self.most = str(client or "unknown"), gate.serving.body_bytes
        if gate.serving.allow and not within(client, gate.serving.allow):
            raise Refused(403, "NotAllowed", "this address is not among those that may ask; nothing was done.")
        gate.expect_host(headers)
        grant = gate.grant(self.scope, headers, self.who)
        self.name = grant.name
        gate.expect_room(f"token {grant.name}" if grant is not LOCAL else self.who)
        self.scope.setdefault("state", {})["grant"] = grant
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.most:
            raise self.large()

    def large(self) -> Refused:
        """The refusal of a body that is too large."""
        return Refused(
            413, "TooLarge", f"the body is larger than {self.most:,} bytes; nothing was done. Send it in parts.", {"Connection": "close"}
        )

    async def receive(self) -> Message:
        """A piece of the request. Raises `Refused` for one that is too late, or too much."""
        if self.over:
            # What comes after the body is the end of the connection, which takes as long as it takes.
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), BODY_SECONDS)
        except TimeoutError as fault:
            raise Refused(408, "TooSlow", "the request's body does not come; nothing was done.", {"Connection": "close"}) from fault
        self.read += len(message.get("body", b""))
        self.over = not message.get("more_body", False)
        if self.read > self.most:
            raise self.large()
        return message

    async def send(self, message: Message) -> None:
        """A piece of the reply."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await self._send(message)

    async def refuse(self, fault: Refused) -> None:
        """Reply with a refusal; a reply that has begun is broken off, which whoever reads it notices."""
        if not self.status:
            await JSONResponse(fault.body, fault.status, fault.headers)(self.scope, self._receive, self.send)

    def leave(self, measures: Measures) -> None:
        """Measure it, and say so."""
        seconds = time.perf_counter() - self.since
        route = getattr(self.scope.get("route"), "path", "")
        measures.served(self.scope["method"], route, self.status, seconds)
        LOG.info(
            "%s %s %s %.1f ms",
            self.scope["method"],
            route or "(no such route)",
            self.status or "broken off",
            1000 * seconds,
            extra={"client": self.who, "token": self.name, "status": self.status, "ms": round(1000 * seconds, 1)},
        )
