"""How Yahoo is reached: yfinance's parser over a session that is ours.

yfinance is a library for notebooks: it keeps its session, crumb and settings in globals, logs what goes wrong instead of raising it, and says
"possibly delisted" of a symbol, of an outage and of a page of HTML alike. So its own classes are given a private session that remembers the
reply behind each answer, its exceptions are let through, and its log stays off the terminal. Its exceptions never leave the sources.
"""

import atexit
import json
import logging
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from workbench.errors import BadSetting, BrokenAnswer, NotPublished, RateLimited, SourceError, Unreachable, WorkbenchError
from workbench.sources.yahoo_symbols import to_yahoo, why_not

T = TypeVar("T")

DOMAIN = "yahoo.com"
# So many tickers, without one that was answered between them, are not the tickers' fault.
PATIENCE = 3
_quiet, _before = threading.Lock(), ExitStack()
_talkers = 0


@dataclass(frozen=True)
class Reply:
    """The last thing that Yahoo said to this thread."""

    status: int
    kind: str
    text: str

    @property
    def page(self) -> bool:
        """Whether it is a page for people, where an answer was asked for."""
        return "html" in self.kind or self.text.lstrip()[:1] == "<"


@dataclass(eq=False)
class Round(Generic[T]):
    """Several tickers asked for: what is heard, what failed, and why no more were asked for, if so."""

    heard: dict[str, T] = field(default_factory=dict)
    failed: dict[str, SourceError] = field(default_factory=dict)
    halted: SourceError | None = None
    unreached: int = 0

    @property
    def reasons(self) -> dict[str, str]:
        """What failed, each with its error's class and words."""
        return {ticker: f"{type(error).__name__}: {error}" for ticker, error in self.failed.items()}


@dataclass(eq=False)
class Web:
    """The way to Yahoo, or to what stands at `url` in its place.

    One object serves many threads. `timeout_s` is how long the far end may stay silent, `tries` how many times it is asked for one symbol.
    """

    url: str = ""
    timeout_s: float = 10.0
    tries: int = 3
    backoff_s: float = 0.5
    stopped: threading.Event = field(default_factory=threading.Event)
    transferred: int = 0
    _data: Any = None
    _session: Any = None
    _heard: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        base = urlsplit(self.url)
        if self.url and (base.scheme not in ("http", "https") or not base.hostname or base.query):
            raise BadSetting(
                f"{self.url!r} cannot stand in Yahoo's place; nothing was asked; write WORKBENCH_YAHOO_URL like https://mirror.example"
            )

    @property
    def where(self) -> str:
        """Who is asked, as errors say it."""
        return f"Yahoo (at {self.url})" if self.url else "Yahoo"

    @property
    def last(self) -> Reply:
        """The last reply that this thread got."""
        return getattr(self._heard, "reply", None) or Reply(0, "", "")

    def ask(self, subject: str, question: Callable[[Any, Any], T]) -> T:
        """What `question(data, session)` answers, asked again where that can help. Raises `SourceError` that names the subject."""
        for attempt in range(self.tries):
            self._still(subject)
            self._heard.reply = None
            try:
                with quiet():
                    data, session = self._connected()
                    # It would give an old reply again, a page of HTML too, for as long as the process lives.
                    data.cache_get.cache_clear()
                    return question(data, session)
            except WorkbenchError:
                raise
            except Exception as exc:
                error = self.told(exc, subject)
                # What yfinance remembers of a failure, such as a crumb that is an error's text, would spoil all that follows.
                self.forget()
                if not isinstance(error, Unreachable) or attempt + 1 >= self.tries:
                    raise error from exc
            self.stopped.wait(self.backoff_s * 2**attempt)
        raise AssertionError("the last try returns or raises")

    def each(self, tickers: Sequence[str], question: Callable[[str, str], T], threads: int) -> Round[T]:
        """What `question(ticker, symbol)` answers for each ticker, some at a time; a refusal or an outage ends the asking."""
        told: Round[T] = Round()

        def one(ticker: str) -> None:
            try:
                if why := why_not(ticker):
                    raise NotPublished(f"{ticker!r} was not asked for: Yahoo has no symbol for it; {why}")
                if told.halted:
                    why = "refuses more calls for now" if isinstance(told.halted, RateLimited) else "could not be reached"
                    raise type(told.halted)(f"{ticker} was not asked for: {self.where} {why}; nothing of it was taken; refresh again later")
                told.heard[ticker] = question(ticker, to_yahoo(ticker))
                told.unreached = 0
            except SourceError as error:
                told.failed[ticker] = error
                told.unreached += isinstance(error, Unreachable)
                if isinstance(error, RateLimited) or told.unreached >= PATIENCE:
                    told.halted = told.halted or error

        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="yahoo") as pool:
            for _ in pool.map(one, tickers):
                pass
        told.failed = {ticker: told.failed[ticker] for ticker in tickers if ticker in told.failed}
        return told

    def told(self, exc: BaseException, subject: str) -> SourceError:
        """What went wrong, as one of our errors."""
        reply, kind = self.last, type(exc).__name__
        undone = f"{subject} was not fetched"
        if kind == "YFRateLimitError" or reply.status == 429:
            return RateLimited(f"{undone}: {self.where} refuses more calls for now (HTTP 429); nothing was landed; refresh again later")
        if isinstance(exc, json.JSONDecodeError) or reply.status >= 400 or kind == "YFDataException":
            if reply.status in (401, 403):
                return Unreachable(
                    f"{undone}: {self.where} does not let this machine in (HTTP {reply.status}); nothing was landed; refresh again later,"
                    " or name a mirror in WORKBENCH_YAHOO_URL"
                )
            if reply.status >= 500 or reply.page or kind == "YFDataException":
                what = "a page of HTML" if reply.page else "an error"
                return Unreachable(
                    f"{undone}: {self.where} answers with {what} (HTTP {reply.status}); nothing was landed; refresh again later"
                )
        if not isinstance(exc, json.JSONDecodeError) and (cause := network(exc)):
            trouble = (
                f"was silent for {self.timeout_s:g} s" if "timeout" in type(cause).__name__.lower() else f"does not answer ({brief(cause)})"
            )
            return Unreachable(f"{undone}: {self.where} {trouble}; nothing was landed; refresh again later, or check the network")
        lacks = f"lacks {exc}" if isinstance(exc, KeyError) else f"cannot be understood ({kind}: {brief(exc)})"
        if reply.status and not reply.text.strip():
            lacks = "is empty"
        return BrokenAnswer(
            f"{undone}: what {self.where} says of it {lacks}; nothing of it was taken; refresh again, and if it stays so, update yfinance"
        )

    def forget(self) -> None:
        """Begin anew with the next question: another session, without what was remembered. Other threads may still be at the old one."""
        with self._lock:
            self._session, self._data = None, None

    def close(self) -> None:
        """Give back the connections; the next question connects anew."""
        self.stopped.clear()
        with self._lock:
            session, self._session, self._data = self._session, None, None
        if session is not None:
            session.close()

    def _connected(self) -> tuple[Any, Any]:
        with self._lock:
            if self._data is None:
                home()
                from yfinance.data import YfData

                self._session = self._attentive(mirrored(self.url) if self.url else browser())
                # Past its metaclass, which would share one object, session and crumb with the user's own notebooks.
                self._data = type.__call__(YfData, session=self._session)
            return self._data, self._session

    def _attentive(self, session: Any) -> Any:
        """A session that remembers its last reply, and has no more patience than we have."""
        get, post = session.get, session.post

        def heard(method: Callable[..., Any], *args: Any, **more: Any) -> Any:
            self._still("Yahoo's next reply")
            more["timeout"] = min(more.get("timeout") or self.timeout_s, self.timeout_s)
            self._heard.reply = None
            response = method(*args, **more)
            self._heard.reply = Reply(response.status_code, response.headers.get("content-type", ""), response.text)
            with self._lock:
                self.transferred += len(response.content)
            return response

        session.get = lambda *args, **more: heard(get, *args, **more)
        session.post = lambda *args, **more: heard(post, *args, **more)
        return session

    def _still(self, subject: str) -> None:
        if self.stopped.is_set():
            raise Unreachable(
                f"{subject} was not asked for: the refresh was stopped; nothing of it was landed; the next refresh asks again"
            )


def network(exc: BaseException) -> BaseException | None:
    """The trouble with the network behind an exception, if there is one: the first cause, which is told in the fewest words."""
    found: BaseException | None = None
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, OSError) and not isinstance(seen, ValueError):
            found = seen
        seen = seen.__cause__ or seen.__context__
    return found


def brief(exc: BaseException) -> str:
    """An exception's own words, without the objects that libraries print into them."""
    return " ".join(str(exc).split())[:160] or type(exc).__name__


def browser() -> Any:
    """The session that yfinance takes by default: Yahoo blocks clients that do not look like a browser."""
    from yfinance._http import new_session

    return new_session()


def mirrored(url: str) -> Any:
    """A session that asks `url` for everything of Yahoo's, and nobody for anything else."""
    import requests
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies

    base = url.rstrip("/")

    class Mirror(HTTPAdapter):
        def send(self, request: Any, *args: Any, **more: Any) -> Any:
            asked = urlsplit(request.url)
            if not f".{asked.hostname}".endswith(f".{DOMAIN}"):
                raise requests.exceptions.InvalidURL(f"{asked.hostname} is not Yahoo's")
            sent = request.copy()
            sent.url = f"{base}{asked.path or '/'}{f'?{asked.query}' if asked.query else ''}"
            sent.headers["X-Forwarded-Host"] = asked.hostname
            response = super().send(sent, *args, **(more | {"proxies": get_environ_proxies(sent.url, None)}))
            response.url = request.url  # cookies and consent pages go by the host that was asked
            return response

    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Mirror(pool_maxsize=16))
    session.mount("http://", Mirror(pool_maxsize=16))
    return session


@cache
def home() -> str:
    """Where yfinance keeps what it remembers on disk: a folder of this process, removed at its end, never the user's own."""
    folder = tempfile.mkdtemp(prefix="workbench-yahoo-")
    # Before yfinance registers what closes its files there: the last to be registered goes first.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    import yfinance

    yfinance.set_tz_cache_location(folder)
    return folder


@contextmanager
def quiet() -> Iterator[None]:
    """While anybody asks: yfinance raises what goes wrong, its log goes nowhere, and neither does what pandas says of its code."""
    global _talkers
    with _quiet:
        if not _talkers:
            _before.enter_context(silenced())
        _talkers += 1
    try:
        yield
    finally:
        with _quiet:
            _talkers -= 1
            if not _talkers:
                _before.close()


@contextmanager
def silenced() -> Iterator[None]:
    """Settings of the whole process, as they were before afterwards."""
    import yfinance

    log, debug = logging.getLogger("yfinance"), yfinance.config.debug
    hidden, disabled = debug.hide_exceptions, log.disabled
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="yfinance")
        debug.hide_exceptions, log.disabled = False, True
        try:
            yield
        finally:
            debug.hide_exceptions, log.disabled = hidden, disabled
