"""What the REST API means by its refusals: statuses and bodies in, our errors out.

The vendor's text stands in `message` or in `error`, or nowhere: the edge before the API answers with web pages of its own.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from workbench.errors import BadKeys, BrokenAnswer, NotEntitled, NotPublished, RateLimited, SourceError, Unreachable

LONGEST_TEXT = 160
TOO_MANY = 429
PASSING = {408, 500, 502, 503, 504, 520, 521, 522, 523, 524}
# Statuses of a reply that holds what was asked for; plans with delayed data say DELAYED.
GOOD = {"OK", "DELAYED"}
CHECK_KEY = "check POLYGON_API_KEY: it is the API key of the vendor's dashboard, not one of the flat files' keys"
CHECK_URL = "check POLYGON_API_URL"


class Refused(Exception):
    """An answer with another status than 200, as it came."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes):
        super().__init__(status)
        self.status, self.headers, self.data = status, headers, data


@dataclass(frozen=True)
class Page:
    """One good answer: its JSON, how many bytes came, and the path of the next page, if there is one."""

    body: Any
    transferred: int = 0
    following: str = ""


def words_of(data: bytes) -> str:
    """What a refusal says in words, short; a web page says nothing."""
    with suppress(ValueError, RecursionError):
        return said_in(json.loads(data))
    return ""


def said_in(body: Any) -> str:
    """What a body's `message` or `error` says, short."""
    if not isinstance(body, dict):
        return ""
    found = next((body[name] for name in ("message", "error") if isinstance(body.get(name), str)), "")
    return shortened(found)


def shortened(text: str) -> str:
    """One line of somebody else's text, without what advertises and without control characters."""
    text = re.sub(r"\s*(Please upgrade your plan at|please wait or upgrade your subscription to continue\.)?\s*https?://\S+", "", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(" .,")
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT].rstrip()}…"


def meaning(refused: Refused, what: str, where: str) -> SourceError:
    """The error that a refusal is; `what` was asked of `where`."""
    said = words_of(refused.data)
    quoted = f' ("{said}")' if said else ""
    if refused.status == 401:
        return BadKeys(f"{what} did not come: {where} does not know the key{quoted}; nothing was landed; {CHECK_KEY}")
    if refused.status == 403:
        if not said:
            return NotEntitled(
                f"{what} did not come: {where} refuses it without a word (HTTP 403); nothing was landed; ask within the plan, or {CHECK_KEY}"
            )
        return NotEntitled(
            f"{what} did not come: the plan of this key does not cover it{quoted}; nothing was landed;"
            " ask for tables and dates within the plan, or take another source"
        )
    if refused.status == 404 and said:
        return NotPublished(f"{what} did not come: {where} has none{quoted}; nothing was landed")
    if refused.status == 400:
        return BrokenAnswer(
            f"{what} did not come: {where} does not understand the question{quoted}; nothing was landed; check the symbol and the dates"
        )
    if refused.status == TOO_MANY:
        return RateLimited(
            f"{what} did not come: {where} keeps saying that the plan's calls are used up{quoted}; nothing was landed; refresh again later,"
            " or say with POLYGON_API_RATE how many calls a minute are left for this machine"
        )
    if passing(refused):
        return Unreachable(
            f"{what} did not come: {where} keeps answering HTTP {refused.status}{quoted}; nothing was landed; try again later"
        )
    return BrokenAnswer(f"{what} did not come: {where} answers HTTP {refused.status}{quoted}; nothing was landed; {CHECK_URL}")


def passing(refused: Refused) -> bool:
    """Whether what was refused may be given another time."""
    return refused.status in PASSING or refused.status >= 500


def retry_after_s(refused: Refused) -> float:
    """How long the far end asks to wait. A date is told by its own clock, which the same answer shows; ours may differ."""
    text = refused.headers.get("Retry-After", "")
    with suppress(ValueError):
        return max(0.0, float(text))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(refused.headers.get("Date", ""))).total_seconds())
    return 0.0


class Unreadable(Exception):
    """An answer with status 200 that cannot be understood; `page` says that it is a web page."""

    def __init__(self, trouble: str, page: bool = False):
        super().__init__(trouble)
        self.page = page


def decoded(data: bytes, loads: Callable[[str], Any]) -> Any:
    """The JSON of an answer. Raises `Unreadable`."""
    try:
        text = data.decode()
        return loads(text)
    except ValueError as fault:
        start = data[:200].lstrip().lower()
        if not start:
            raise Unreadable("an empty answer") from fault
        if start.startswith(b"<"):
            raise Unreadable("a web page", page=True) from fault
        raise Unreadable("something that is not JSON, or not all of it") from fault
    except RecursionError as fault:
        raise Unreadable("JSON too deep to read") from fault


def judged(body: Any, what: str, where: str) -> str:
    """The status that a body tells, if it is a good one; an empty text where it tells none. Raises `SourceError` for a refusal in a 200."""
    status = body.get("status") if isinstance(body, dict) else None
    if not isinstance(status, str) or status in GOOD:
        return status if isinstance(status, str) else ""
    said = said_in(body)
    quoted = f' ("{said}")' if said else ""
    if status == "NOT_AUTHORIZED":
        raise meaning(Refused(403, {}, json.dumps({"message": said}).encode()), what, where)
    if status == "NOT_FOUND":
        raise NotPublished(f"{what} did not come: {where} has none{quoted}; nothing was landed")
    if status == "ERROR":
        raise BrokenAnswer(f"{what} did not come: {where} answers with an error{quoted}; nothing was landed; try again later")
    return ""


def broken(what: str, where: str, trouble: str) -> BrokenAnswer:
    """The error for an answer that came whole and makes no sense."""
    return BrokenAnswer(f"{what} came from {where} with {trouble}; nothing of it was landed; try again later, or {CHECK_URL}")


def sentence(fault: Exception) -> str:
    """How an answer tells a fault: the error's name, then its sentence."""
    return f"{type(fault).__name__}: {fault}"
