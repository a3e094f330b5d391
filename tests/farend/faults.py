"""What an answer of the far end can do wrong, whatever was asked."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PRICING = "https://massive.com/pricing"
OLD_PRICING = "https://polygon.io/pricing"
NO_KEY = "API Key was not provided"
UNKNOWN_KEY = "Unknown API Key"
NOT_IN_PLAN = f"You are not entitled to this data. Please upgrade your plan at {PRICING}"
TIMEFRAME = f"Your plan doesn't include this data timeframe. Please upgrade your plan at {OLD_PRICING}"
TODAY = f"Attempted to request today's data before end of day. Please upgrade your plan at {OLD_PRICING}"
TOO_MANY = f"You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. {PRICING}"
BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
YAHOO_TOO_MANY = "Too Many Requests\r\n"
REQUEST_ID = "0f5a1c8e9d7b42c6a3e1f0b9d8c7a654"

Change = Callable[[Any], Any]


@dataclass
class Fault:
    """What one answer does wrong. `path` is a regex that is searched in the path with its query; an empty one fits every request.

    A fault with a `status` answers in the place of the far end; without one, what would have been answered goes out changed: `change`d as
    JSON, cut to `sent` bytes under its whole Content-Length, `silent_s` seconds late, `skew_s` seconds off in `Date` and times of bars.
    `after_s` holds the line silent between the bytes that are `sent` and the end; `reset` breaks the connection without any answer.
    """

    path: str = ""
    status: int = 0
    body: str | bytes | dict[str, Any] | list[Any] = ""
    headers: dict[str, str] = field(default_factory=dict)
    silent_s: float = 0.0
    after_s: float = 0.0
    sent: int = -1
    change: Change | None = None
    skew_s: float = 0.0
    reset: bool = False

    def fits(self, path: str) -> bool:
        return re.search(self.path, path) is not None


def refused(status: int, text: str, path: str = "", **more: Any) -> Fault:
    """A refusal in the vendor's JSON: 401 and 400 and 429 tell an `error`, 403 and 404 a `message`."""
    return Fault(path, status, refusal(status, text), **more)


def refusal(status: int, text: str, request_id: str = REQUEST_ID) -> dict[str, Any]:
    said = {403: "NOT_AUTHORIZED", 404: "NOT_FOUND"}.get(status, "ERROR")
    return {"status": said, "request_id": request_id, "message" if status in (403, 404) else "error": text}


def too_many(path: str = "", retry_after: str = "", body: str = "json") -> Fault:
    """429 with the vendor's JSON, an "empty" body, or the edge's "html"."""
    bodies: dict[str, Any] = {
        "json": refusal(429, TOO_MANY),
        "empty": "",
        "html": BAD_GATEWAY.replace("502 Bad Gateway", "429 Too Many Requests"),
    }
    return Fault(path, 429, bodies[body], {"Retry-After": retry_after} if retry_after else {})


def yahoo_too_many(path: str = "/v8/") -> Fault:
    """Yahoo's 429: text, and no word of when to come back."""
    return Fault(path, 429, YAHOO_TOO_MANY, {"Content-Type": "text/html"})


def html(status: int = 502, path: str = "") -> Fault:
    """What an edge says of a server that is gone."""
    return Fault(path, status, BAD_GATEWAY.replace("502", str(status)), {"Content-Type": "text/html"})


def stall(seconds: float, path: str = "") -> Fault:
    """Nothing for a while, then the right answer."""
    return Fault(path, silent_s=seconds)


def truncated(sent: int, path: str = "", after_s: float = 0.0) -> Fault:
    """The first bytes of the body, then a closed line."""
    return Fault(path, sent=sent, after_s=after_s)


def empty(path: str = "") -> Fault:
    """200 without a body."""
    return Fault(path, 200, "")


def broken_json(path: str = "") -> Fault:
    """A whole body that is no JSON: the proxy cut it and told the length it had left."""
    return Fault(path, 200, '{"status":"OK","results":[{"v":1.0,"o":', {"Content-Type": "application/json"})


def without(*fields: str, path: str = "", nth: int | None = None) -> Fault:
    """The right answer, but for fields that are missing at its top and in its rows; with `nth`, in that row only."""

    def change(reply: Any) -> Any:
        if isinstance(reply, dict):
            if nth is None:
                for name in fields:
                    reply.pop(name, None)
            rows = reply.get("results")
            for place, row in enumerate(rows if isinstance(rows, list) else ()):
                if isinstance(row, dict) and nth in (None, place):
                    for name in fields:
                        row.pop(name, None)
        return reply

    return Fault(path, change=change)


def with_values(path: str = "", nth: int = 0, **values: Any) -> Fault:
    """The right answer, but for values of one of its rows."""

    def change(reply: Any) -> Any:
        reply["results"][nth].update(values)
        return reply

    return Fault(path, change=change)


def skewed(seconds: float, path: str = "") -> Fault:
    """The vendor's clock is off: `Date`, and the times of bars."""
    return Fault(path, skew_s=seconds)


def reset(path: str = "") -> Fault:
    """The connection breaks before an answer."""
    return Fault(path, reset=True)
