"""Calls of the REST API: the official client, its turns with the limiter, what is tried again, and pages that follow one another.

The client drops the status and the headers of a refusal and the fields that its models do not know. So its connection pool is watched
from outside, and its answers are taken raw. Its own retries are off: a tenth of a second apart, they burn calls that a small plan has few of.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from workbench.errors import BadKeys, BadSetting, NotPublished, RateLimited, SourceError, UnknownName, Unreachable
from workbench.sources.api_refusals import (
    CHECK_URL,
    TOO_MANY,
    Page,
    Refused,
    Unreadable,
    broken,
    decoded,
    judged,
    meaning,
    passing,
    retry_after_s,
)
from workbench.sources.limiter import Limiter, Run

if TYPE_CHECKING:
    from massive import RESTClient

LONGEST_PAUSE_S = 30.0
CONNECT_S = 10.0
# A far end that asks for a longer wait than this many of the limiter's windows is not waited for, and then not asked for so long.
LONGEST_WINDOWS = 5.0

ENVELOPE = {"status", "request_id", "count", "queryCount", "resultsCount", "adjusted", "ticker", "next_url"}

# Prices and sizes stay the text that they came as, so that nothing rounds them on their way to a flat file.
exactly = partial(json.loads, parse_float=str, parse_constant=str)


class Watched:
    """Stands in the place of the client's pool, and keeps what the client drops: a refusal's status and headers."""

    def __init__(self, pool: Any):
        self.pool = pool

    def request(self, method: str, url: str, **asked: Any) -> Any:
        """Ask, and give a good answer back. Raises `Refused` with any other."""
        answer = self.pool.request(method, url, **asked)
        if answer.status != 200:
            raise Refused(answer.status, answer.headers, answer.data)
        return answer


@dataclass(eq=False, repr=False)
class Calls:
    """Calls of the API at `url` with a key. `tries` is how many failures in a row a call bears, `timeout_s` how long the far end may be silent."""

    key: str
    url: str
    limiter: Limiter
    tries: int = 6
    timeout_s: float = 30.0
    backoff_s: float = 0.5
    _client: "RESTClient | None" = field(default=None, init=False)
    _unknown: BadKeys | None = field(default=None, init=False)
    _spent: tuple[float, str] | None = field(default=None, init=False)

    @property
    def where(self) -> str:
        """The far end as errors name it: without what a URL may hold of secrets."""
        scheme, found, rest = self.url.partition("://")
        host = (rest if found else scheme).rpartition("@")[2].partition("/")[0]
        return f"{scheme}://{host}" if found else host

    @property
    def client(self) -> "RESTClient":
        """The official client. Raises `BadKeys` or `BadSetting` for a key or a URL that cannot be used."""
        if self._client is None:
            self._client = self._connected()
        return self._client

    def connect(self) -> None:
        """Make sure that there is a client. Raises `BadKeys` or `BadSetting`."""
        self._client = self.client

    def _connected(self) -> "RESTClient":
        if not self.key:
            raise BadKeys(f"{self.where} was not asked: there is no key for it; set POLYGON_API_KEY")
        if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
            # Sent, it would break the request's header, and the error would quote it.
            raise BadKeys(
                f"{self.where} was not asked: the key holds a space, a line break or another sign that no key has; write POLYGON_API_KEY anew"
            )
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
        except ValueError:
            usable = False
        if not usable:
            raise BadSetting(
                f"POLYGON_API_URL is {self.where!r}, which is no URL; nothing was asked; write it like https://api.massive.com"
            )
        from massive import RESTClient
        from urllib3.util.retry import Retry

        made = RESTClient(
            api_key=self.key,
            base=self.url.rstrip("/"),
            connect_timeout=min(self.timeout_s, CONNECT_S),
            read_timeout=self.timeout_s,
            retries=0,
            connection_pool_kw={"retries": Retry(total=False, redirect=False, raise_on_redirect=False)},
        )
        made.client = Watched(made.client)
        made.vx.client = Watched(made.vx.client)
        return made

    def once(self) -> "Calls":
        """The same calls, without patience."""
        twin = replace(self, tries=1)
        twin._client = self.client
        return twin

    def close(self) -> None:
        """Give back connections; the next call connects anew."""
        client, self._client, self._unknown, self._spent = self._client, None, None, None
        if client:
            client.client.pool.clear()
            client.vx.client.pool.clear()

    # ------------------------------------------------------------------ asking

    def page(self, run: Run, what: str, method: str, loads: Callable[[str], Any] = json.loads, **asked: Any) -> Page:
        """The first page of what a method of the client gives. `what` names it in errors. Raises `SourceError`."""
        call = self._method(method)
        return self._insist(run, what, lambda: call(raw=True, **asked), loads)

    def following(self, run: Run, what: str, page: Page, loads: Callable[[str], Any] = json.loads) -> Page:
        """The page after a page that has one."""
        client = self.client
        again = self._insist(run, what, lambda: client.client.request("GET", client.BASE + page.following, headers=client.headers), loads)
        if again.following == page.following:
            raise broken(what, self.where, "a next page that is the same one again")
        return again

    def pages(self, run: Run, what: str, method: str, loads: Callable[[str], Any] = json.loads, **asked: Any) -> Iterator[Page]:
        """Every page, one at a time, each asked for when the one before was used."""
        page = self.page(run, what, method, loads, **asked)
        yield page
        while page.following:
            page = self.following(run, what, page, loads)
            yield page

    def listed(self, run: Run, method: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The raw records of all pages; none where the vendor has none. Raises `SourceError`."""
        what = method.rpartition(".")[2].removeprefix("list_").removeprefix("get_").replace("_", " ")
        about = ", ".join(f"{name} {value}" for name, value in params.items() if name not in ("limit", "sort", "order", "params"))
        what = f"the listing of {what}{f' ({about})' if about else ''}"
        pages = self.pages(run, what, method, **params)
        while True:
            try:
                page = next(pages)
            except (StopIteration, NotPublished):
                return
            for record in self._records(page.body, what):
                if not isinstance(record, dict):
                    raise broken(what, self.where, f"{type(record).__name__} in the place of a record")
                yield record

    def _records(self, body: Any, what: str) -> list[Any]:
        if isinstance(body, list):
            return body
        if not isinstance(body, dict):
            raise broken(what, self.where, f"{type(body).__name__} in the place of an object")
        if "results" not in body:
            # An envelope without content; a few endpoints answer with the record itself.
            return [body] if body.keys() - ENVELOPE else []
        found = body["results"]
        return found if isinstance(found, list) else [] if found is None else [found]

    def _method(self, name: str) -> Callable[..., Any]:
        owner: Any = self.client
        path = name.split(".")
        for part in path:
            if part.startswith("_") or not hasattr(owner, part):
                known = [one for one in dir(owner) if one.startswith(("list_", "get_"))]
                raise UnknownName("method of the massive client", name, known)
            owner = getattr(owner, part)
        return owner  # type: ignore[no-any-return]

    def _insist(self, run: Run, what: str, call: Callable[[], Any], loads: Callable[[str], Any]) -> Page:
        """Ask in turn, and again where that may help. Raises `SourceError`."""
        failures = 0
        while True:
            self._expect_answer(what)
            began = self.limiter.take(run)
            try:
                answer = call()
            except Refused as refused:
                fault = meaning(refused, what, self.where)
                if refused.status == TOO_MANY:
                    after_s = retry_after_s(refused)
                    if self.limiter.refused(began, after_s) >= self.tries or after_s > LONGEST_WINDOWS * self.limiter.window_s:
                        # Whoever asks next would wait as long for the same answer.
                        self._spent = time.monotonic() + LONGEST_WINDOWS * self.limiter.window_s, str(fault)
                        raise fault from None
                    continue
                self.limiter.done()
                if isinstance(fault, BadKeys):
                    # No other call will go better.
                    self._unknown = fault
                if not passing(refused):
                    raise fault from None
            except Exception as exc:
                self.limiter.done()
                fault = self._translated(exc, what)
            except BaseException:
                self.limiter.done()
                raise
            else:
                self.limiter.done()
                try:
                    return self._read(answer, what, loads)
                except Unreadable as exc:
                    fault = broken(what, self.where, str(exc))
                    if exc.page:
                        fault = Unreachable(
                            f"{what} did not come: {self.where} answers with a web page; nothing was landed; try again later, or {CHECK_URL}"
                        )
            failures += 1
            if failures >= self.tries:
                raise fault
            self.limiter.pause(run, min(LONGEST_PAUSE_S, self.backoff_s * 2 ** (failures - 1)) * random.uniform(0.5, 1))  # noqa: S311

    def _expect_answer(self, what: str) -> None:
        """Raise where an earlier call has shown that this one would bring nothing."""
        if self._unknown:
            raise self._unknown
        if self._spent and time.monotonic() < self._spent[0]:
            raise RateLimited(f"{what} was not asked for: {self._spent[1]}")

    def _read(self, answer: Any, what: str, loads: Callable[[str], Any]) -> Page:
        body = decoded(answer.data, loads)
        judged(body, what, self.where)
        following = body.get("next_url") if isinstance(body, dict) else None
        path = ""
        if following and isinstance(following, str):
            # Only its path is followed: the key goes to nobody but the far end that it was given for.
            parts = urlsplit(following)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
        came = answer.headers.get("Content-Length", "")
        return Page(body, int(came) if came.isdecimal() else len(answer.data), path)

    def _translated(self, exc: Exception, what: str) -> SourceError:
        """Our error for what the network did. Raises what is none of its doing."""
        from urllib3.exceptions import HTTPError, LocationParseError, NewConnectionError, ProtocolError, ReadTimeoutError, SSLError
        from urllib3.exceptions import TimeoutError as TimedOut

        if isinstance(exc, LocationParseError):
            raise BadSetting(
                f"POLYGON_API_URL is {self.where}, which is no URL; nothing was asked; write it like https://api.massive.com"
            ) from None
        if not isinstance(exc, HTTPError | OSError):
            raise exc
        trouble = f"does not answer ({reason(exc)})"
        if isinstance(exc, ReadTimeoutError):
            trouble = f"was silent for {self.timeout_s:g} s"
        elif isinstance(exc, TimedOut) and not isinstance(exc, NewConnectionError):
            trouble = "cannot be connected to in time"
        elif isinstance(exc, ProtocolError) and "IncompleteRead" in str(exc):
            trouble = "closed the connection too early"
        elif isinstance(exc, SSLError):
            trouble = f"is not trusted ({reason(exc)})"
        fault = Unreachable(f"{what} did not come: {self.where} {trouble}; nothing was landed; try again later, or {CHECK_URL}")
        fault.__cause__ = exc
        return fault


def reason(exc: BaseException) -> str:
    """The innermost cause of a network's error, in a few words and without addresses of objects."""
    while inner := exc.__cause__ or exc.__context__:
        exc = inner
    told = getattr(exc, "strerror", None) or str(exc)
    return str(told).rpartition(">: ")[2][:120] or type(exc).__name__
