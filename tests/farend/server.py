"""The HTTP of the far end: who asks, what is answered, and what goes wrong with it."""

import csv
import gzip
import io
import json
import re
import socket
import struct
import time
import traceback
from dataclasses import dataclass, replace
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from farend import bars, fred, reference, ticks, yahoo
from farend.faults import NO_KEY, TOO_MANY, UNKNOWN_KEY, Fault, refusal, too_many
from farend.paging import Call
from farend.shapes import Refused, Reply

if TYPE_CHECKING:
    from farend import FarEnd

TICKER, DAY = r"(?P<ticker>[^/]+)", r"(?P<day>[^/]+)"
API: list[tuple[str, Any]] = [
    (rf"/v2/aggs/grouped/locale/(?P<market>(?:us|global)/market/\w+)/{DAY}", bars.grouped),
    (rf"/v2/aggs/ticker/{TICKER}/range/(?P<multiplier>\d+)/(?P<span>\w+)/(?P<first>[^/]+)/(?P<last>[^/]+)", bars.ranged),
    (rf"/v2/aggs/ticker/{TICKER}/prev", bars.previous),
    (rf"/v1/open-close/{TICKER}/{DAY}", bars.open_close),
    (rf"/v3/(?P<kind>trades|quotes)/{TICKER}", ticks.ticks),
    *reference.ROUTES,
]
YAHOO: list[tuple[str, Any]] = [
    (r"/", yahoo.cookie),
    (r"/v1/test/getcrumb", yahoo.crumb),
    (r"/(?:consent|copyConsent|v2/collectConsent)", yahoo.consent),
    (r"/v8/finance/chart/(?P<symbol>[^/]+)", yahoo.chart),
    (r"/v10/finance/quoteSummary/(?P<symbol>[^/]+)", yahoo.summary),
    (r"/v7/finance/quote", yahoo.quote),
    (r"/ws/fundamentals-timeseries/v1/finance/timeseries/(?P<symbol>[^/]+)", yahoo.statements),
    (r"/xhr/ncp", yahoo.news),
]
SMALL = 1000


@dataclass(frozen=True)
class Asked:
    """One request: `service` is "api", "yahoo" or "fred", `host` the one that was meant, `at` a monotonic time, `status` what it got."""

    service: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float
    host: str = ""
    url: str = ""
    status: int = 0


class Handler(BaseHTTPRequestHandler):
    """Answers for one connection, which stays open as the vendor's do."""

    far_end: "FarEnd"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "nginx", ""
    disable_nagle_algorithm = True
    timeout = 60

    def setup(self) -> None:
        super().setup()
        with self.far_end.lock:
            self.far_end.connections += 1

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def handle_one_request(self) -> None:
        # A client that goes away is none of the test's business.
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        # Some GETs have a body; what is left of it would be read as the next request.
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        path, every = unquote(url.path), parse_qs(url.query, keep_blank_values=True)
        call = Call(self.far_end, path, {name: values[-1] for name, values in every.items()}, dict(self.headers), every)
        service, begun = service_of(path), time.monotonic()
        told = unquote(self.path)
        host = self.headers.get("X-Forwarded-Host", self.headers.get("Host", ""))
        asked = Asked(service, self.command, path, dict(call.query), dict(self.headers), begun, host, told)
        with self.far_end.lock:
            place = len(self.far_end.requests)
            self.far_end.requests.append(asked)
        fault = self.far_end.fault(told)
        if fault and (fault.reset or (fault.silent_s and self.far_end.stopping.wait(fault.silent_s))):
            self.break_line()
            return
        reply = Reply(fault.body, fault.status, fault.headers) if fault and fault.status else self.reply(call, service, fault, place)
        with self.far_end.lock:
            self.far_end.requests[place] = replace(asked, status=reply.status)
        self.send(reply, fault)

    def do_POST(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def reply(self, call: Call, service: str, fault: Fault | None, place: int) -> Reply:
        """The right answer, but for what the fault changes in it."""
        request_id = md5(f"{place}{call.path}".encode()).hexdigest()
        try:
            if service == "api" and (no := self.turned_away(call, request_id)):
                return no
            reply = fred.answer(call) if service == "fred" else routed(call, API if service == "api" else YAHOO)
        except Refused as refused:
            return Reply(refusal(refused.status, refused.text, request_id), refused.status)
        except Exception:
            # The far end itself is wrong: no fault that a test asked for.
            self.far_end.broken.append(f"{self.path}\n{traceback.format_exc()}")
            return Reply(self.far_end.broken[-1], 500, kind="text/plain")
        if service == "api" and isinstance(reply.body, dict):
            reply.body.setdefault("status", "OK")
            reply.body["request_id"] = request_id
            if self.far_end.delayed and reply.body["status"] == "OK":
                reply.body["status"] = "DELAYED"
        skew_ms = round(((fault.skew_s if fault else 0) + self.far_end.skew_s) * 1000)
        if skew_ms and isinstance(reply.body, dict):
            for row in reply.body.get("results", ()):
                if isinstance(row, dict) and "t" in row:
                    row["t"] += skew_ms
        if fault and fault.change:
            reply.body = fault.change(json.loads(json.dumps(reply.body)))
        if service == "api" and "text/csv" in self.headers.get("Accept", "") and isinstance(reply.body, dict):
            reply = as_csv(reply)
        return reply

    def turned_away(self, call: Call, request_id: str) -> Reply | None:
        """The refusal of a call whose key is wrong, or that comes too soon."""
        far_end = self.far_end
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        key = bearer or call.query.get("apiKey", "")
        if key != far_end.key:
            raise Refused(401, UNKNOWN_KEY if key else NO_KEY)
        with far_end.lock:
            now = time.monotonic()
            while far_end.called and far_end.called[0] <= now - far_end.window_s:
                far_end.called.popleft()
            if far_end.rate is None or len(far_end.called) < far_end.rate:
                far_end.called.append(now)
                return None
        if far_end.too_many == "json":
            headers = {"Retry-After": far_end.retry_after} if far_end.retry_after else {}
            return Reply(refusal(429, TOO_MANY, request_id), 429, headers)
        fault = too_many(retry_after=far_end.retry_after, body=far_end.too_many)
        return Reply(fault.body, 429, fault.headers, "text/html")

    def send(self, reply: Reply, fault: Fault | None) -> None:
        body, kind = written(reply)
        lines = {"Date": formatdate(time.time() + self.far_end.skew_s + (fault.skew_s if fault else 0), usegmt=True), "Content-Type": kind}
        if self.far_end.compress and len(body) > SMALL and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1, mtime=0)
            lines["Content-Encoding"] = "gzip"
        lines |= {"Content-Length": str(len(body))} | reply.headers
        cut = fault is not None and fault.sent >= 0
        self.send_response_only(reply.status)
        self.send_header("Server", self.server_version)
        for name, value in lines.items():
            self.send_header(name, value)
        if self.command != "HEAD" and reply.status != 204:
            # One write: a header that goes out alone waits for the client's delayed acknowledgement.
            self._headers_buffer: list[bytes]
            self._headers_buffer.append(b"\r\n" + (body[: fault.sent] if fault and cut else body))
            self.wfile.write(b"".join(self._headers_buffer))
            self._headers_buffer = []
        else:
            self.end_headers()
        if fault and cut:
            self.far_end.stopping.wait(fault.after_s)
            self.close_connection = True

    def break_line(self) -> None:
        """Close with a reset, as a load balancer does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The file on top holds the socket open: a socket that is shut down first ends politely.
        self.rfile.close()
        self.connection.close()
        self.close_connection = True


def service_of(path: str) -> str:
    if path.startswith("/fred/"):
        return "fred"
    return "yahoo" if any(re.fullmatch(form, path) for form, _ in YAHOO) else "api"


def routed(call: Call, routes: list[tuple[str, Any]]) -> Reply:
    for form, answer in routes:
        if match := re.fullmatch(form, call.path):
            reply: Reply = answer(call, **match.groupdict())
            return reply
    return Reply("404 page not found\n", 404, kind="text/plain")


def written(reply: Reply) -> tuple[bytes, str]:
    """The body as bytes, and its type."""
    if isinstance(reply.body, bytes):
        return reply.body, reply.kind
    if isinstance(reply.body, str):
        return reply.body.encode(), "text/html" if reply.body.startswith("<html") else reply.kind
    return json.dumps(reply.body).encode(), reply.kind


def as_csv(reply: Reply) -> Reply:
    """The rows alone, under the names of all their fields; what is nested stays JSON."""
    found = reply.body.get("results", [])
    rows = found if isinstance(found, list) else [found]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({n: json.dumps(v) if isinstance(v, list | dict | bool) else v for n, v in row.items()} for row in rows)
    return Reply(text.getvalue().encode(), reply.status, reply.headers, "text/csv")
