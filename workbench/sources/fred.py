"""Economic series from FRED, with every version that was published: what a number was on the day, not only what it became.

`fredapi` knows FRED's paths and words. It asks without a timeout, puts the key into addresses that end up in errors, and takes 80 µs for a row
that is read here in one; so its calls go over a connection of ours, and observations are read as they come.
"""

import http.client
import math
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from workbench.errors import (
    BadKeys,
    BadSetting,
    BrokenAnswer,
    NotEntitled,
    NotPublished,
    RateLimited,
    SourceError,
    Unreachable,
    WorkbenchError,
)
from workbench.sources import Verdict
from workbench.sources.reference import Gathered, Refused, Row

DATASET = "economic_series"
# Output, prices, work, spending, money, rates, exchange and oil; their titles, units and frequencies come with them.
SERIES = (
    *("GDP", "GDPC1", "INDPRO", "HOUST"),
    *("CPIAUCSL", "CPILFESL", "PPIFIS", "PCEPI", "PCEPILFE"),
    *("UNRATE", "PAYEMS", "ICSA"),
    *("RSAFS", "PI", "PCE"),
    *("M2SL", "WALCL"),
    *("FEDFUNDS", "DFF", "SOFR", "DGS3MO", "DGS2", "DGS10", "DGS30", "T10Y2Y", "T10YIE", "MORTGAGE30US"),
    *("DTWEXBGS", "DCOILWTICO"),
)
# What a market or a bank sets is final when it is published; so is every daily series.
FINAL = frozenset({"FEDFUNDS", "DFF", "SOFR", "MORTGAGE30US"})
EVER = (date(1776, 7, 4), date(9999, 12, 31))
# FRED refuses a period with more versions than this, and gives no more rows than that at a time.
VERSIONS_A_CALL = 2000
ROWS_A_CALL = 100_000
MISSING = "."
PAGED = {"observations", "vintage_dates", "release_dates"}
LONGEST_RETRY_AFTER_S = 60.0
STATES: dict[type[WorkbenchError], str] = {BadKeys: "wrong key", RateLimited: "rate limited"}

Version = tuple[date, date, float | None]


@dataclass(frozen=True)
class ReleaseDate:
    """A day on which a release of economic data is published, past or to come."""

    release_id: int
    name: str
    date: date


@dataclass(eq=False)
class Fred:
    """FRED as a source of reference data: `economic_series`, and the dates of releases.

    `timeout_s` is how long the far end may stay silent, `tries` how many times it is asked again for what may pass, `patience_s` how long
    a refusal for too many calls is waited out.
    """

    key: str = field(repr=False)
    url: str = "https://api.stlouisfed.org/fred"
    timeout_s: float = 30.0
    tries: int = 3
    backoff_s: float = 0.5
    patience_s: float = 120.0
    rows_a_call: int = ROWS_A_CALL
    name: str = field(default="fred", init=False)
    transferred: int = field(default=0, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _known: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        asked = urllib.parse.urlsplit(self.url)
        if asked.scheme not in ("http", "https") or not asked.hostname or asked.query:
            raise BadSetting(
                f"{self.url!r} cannot be used as FRED's address; nothing was asked; write FRED_API_URL like https://api.stlouisfed.org/fred"
            )

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        return "" if dataset == DATASET else f"FRED has {DATASET} only, and no {dataset}"

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:
        """Series by series, every version of every observation; with `since`, the versions published on that day or after it.

        `symbols` are ids of series; without any, the usual ones (`SERIES`). A series that FRED does not have is told in `notes`, one whose
        answer cannot be understood in `refused`. Raises `SourceError` for what concerns all of them: what was given before stays valid.
        """
        if refusal := self.refuses(dataset):
            raise NotEntitled(f"{refusal}; nothing was asked")
        for series in dict.fromkeys(symbols or SERIES):
            asked, before = f"fred:series/observations?series_id={series}", self.transferred
            try:
                rows, notes = self._series(series, since)
            except NotPublished as error:
                yield Gathered(DATASET, asked, [], self.transferred - before, notes=(f"NotPublished: {error}",))
            except BrokenAnswer as error:
                refused = Refused({"series": series}, f"BrokenAnswer: {error}")
                yield Gathered(DATASET, asked, [], self.transferred - before, refused=(refused,))
            else:
                yield Gathered(DATASET, asked, rows, self.transferred - before, notes=notes)

    def _series(self, series: str, since: date | None) -> tuple[list[Row], tuple[str, ...]]:
        """The rows of one series, and what is to be said of them."""
        if not re.fullmatch(r"[A-Za-z0-9_.]{1,64}", series):
            raise NotPublished(f"{series!r} is no id of a series at FRED, which is like CPIAUCSL; it was not asked for")
        with understood(series):
            info = dict(self._client.get_series_info(series))
            published = sorted({stamp.date() for stamp in self._client.get_series_vintage_dates(series)})
            about = {"unit": info["units"], "title": info["title"], "frequency": info["frequency"]}
            final = series in FINAL or info["frequency"].startswith("Daily")
            versions = self._versions(series, published, since)
        return rows_of(series, versions, about, final=final, origin=published[0] if published else None, since=since)

    def _versions(self, series: str, published: Sequence[date], since: date | None) -> list[Version]:
        """Each observation's values by the day of their publication; those of the day before `since` stand first where there are any."""
        first = since - timedelta(days=1) if since else EVER[0]
        new = [day for day in published if day > first]
        found: list[Version] = []
        for start in range(0, len(new), VERSIONS_A_CALL):
            window = new[start : start + VERSIONS_A_CALL]
            # A period tells what was known when it begins, too: windows that touch lose nothing.
            begins = first if start == 0 else window[0]
            ends = EVER[1] if start + VERSIONS_A_CALL >= len(new) else window[-1]
            path = f"series/observations?series_id={series}&realtime_start={begins}&realtime_end={ends}"
            found += [version(child) for child in self.fetched(f"{self.url}/{path}", series)]
        return found

    def release_dates(self, start: date, end: date) -> list[ReleaseDate]:
        """When which releases are published from `start` to `end`, both included, oldest first; those to come too. Raises `SourceError`."""
        what = f"releases/dates?realtime_start={start}&realtime_end={end}&include_release_dates_with_no_data=true&sort_order=asc&limit=1000"
        with understood("release dates"):
            told = self.fetched(f"{self.url}/{what}", "release dates")
            dates = [ReleaseDate(int(one.attrib["release_id"]), one.attrib["release_name"], iso(one.text or "")) for one in told]
        return sorted((one for one in dates if start <= one.date <= end), key=lambda one: (one.date, one.release_id))

    # ------------------------------------------------------------------ asking

    @property
    def _client(self) -> Any:
        if self._known is None:
            import fredapi

            fetched = self.fetched

            class Client(fredapi.Fred):  # type: ignore[misc]
                """FRED as fredapi knows it, over our connection."""

                def __init__(self, url: str):
                    # Not its own: that looks for keys elsewhere, and installs proxies for the whole process.
                    self.root_url = url

                def _Fred__fetch_data(self, url: str) -> ET.Element:  # noqa: N802
                    return fetched(url)

            self._known = Client(self.url)
        return self._known

    def fetched(self, url: str, subject: str = "") -> ET.Element:
        """What FRED answers, all pages in one; the key goes with it, and is in no error. Raises `SourceError`."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        subject = subject or asked.get("series_id", "FRED")
        if url.partition("?")[0].endswith("/series/observations"):
            url += f"&limit={self.rows_a_call}"
        whole = self._answered(url, subject)
        if whole.tag in PAGED:
            with understood(subject):
                count, page = int(whole.attrib["count"]), len(whole)
                while page and len(whole) < count:
                    more = self._answered(f"{url}&offset={len(whole)}", subject)
                    page = len(more)
                    whole.extend(more)
                if len(whole) < count:
                    raise BrokenAnswer(
                        f"{subject} was not fetched: FRED promises {count:,} rows and gives {len(whole):,}; nothing of it was taken"
                    )
        return whole

    def _answered(self, url: str, subject: str) -> ET.Element:
        """One call, made again where that can help."""
        if not self.key:
            raise BadKeys(f"FRED was not asked for {subject}: there is no key for it; set FRED_API_KEY (a key is free)")
        failures, deadline = 0, time.monotonic() + self.patience_s
        while True:
            if self._stopped.is_set():
                raise Unreachable(
                    f"{subject} was not asked for: the refresh was stopped; nothing of it was taken; the next refresh asks again"
                )
            try:
                return self._once(url, subject)
            except RateLimited as refusal:
                pause_s = max(getattr(refusal, "pause_s", 0.0), self.backoff_s * 2**failures)
                if time.monotonic() + pause_s > deadline:
                    raise
            except Unreachable:
                pause_s = self.backoff_s * 2**failures
                if failures + 1 >= self.tries:
                    raise
            failures += 1
            self._stopped.wait(pause_s)

    def _once(self, url: str, subject: str) -> ET.Element:
        request = urllib.request.Request(f"{url}&api_key={urllib.parse.quote(self.key)}", headers={"User-Agent": "workbench"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as reply:  # noqa: S310
                body, status = reply.read(), reply.status
        except urllib.error.HTTPError as refused:
            with refused:
                error = self._refusal(refused, subject)
            raise error from None
        except (OSError, http.client.HTTPException) as exc:
            reason = getattr(exc, "reason", exc)
            trouble = (
                f"was silent for {self.timeout_s:g} s" if isinstance(reason, TimeoutError) else f"does not answer ({self._masked(reason)})"
            )
            # Its own words are told; the exception itself carries the address, and with it the key.
            raise Unreachable(
                f"{subject} was not fetched: FRED (at {self.url}) {trouble}; nothing of it was taken; refresh again later, or check the network"
            ) from None
        self.transferred += len(body)
        root = parsed(body)
        if root is None or root.tag == "html":
            what = (
                "with a page of HTML" if b"<html" in body[:1000].lower() else "with nothing" if not body.strip() else "with what is no XML"
            )
            kind = Unreachable if "HTML" in what else BrokenAnswer
            raise kind(
                f"{subject} was not fetched: FRED (at {self.url}) answers {what} (HTTP {status}); nothing of it was taken; refresh again later"
            )
        return root

    def _refusal(self, refused: urllib.error.HTTPError, subject: str) -> SourceError:
        """What a refusal means."""
        try:
            body = refused.read()
        except (OSError, http.client.HTTPException):
            body = b""
        root, status = parsed(body), refused.code
        said = (root.get("message") or root.findtext("message") or "") if root is not None else ""
        reason = self._masked(" ".join(said.split())) or f"HTTP {status}"
        undone = f"{subject} was not fetched: FRED (at {self.url})"
        if status in (423, 429):
            error = RateLimited(f"{undone} refuses more calls for now (HTTP {status}); nothing of it was taken; refresh again later")
            error.pause_s = seconds(refused.headers.get("Retry-After"))  # type: ignore[attr-defined]
            return error
        if "api_key" in said:
            return BadKeys(f"{undone} does not take the key ({reason}); nothing was fetched; check FRED_API_KEY")
        if "does not exist" in said:
            also = f"; did you mean {subject.upper()}?" if subject != subject.upper() else ""
            return NotPublished(f"{undone} does not have it ({reason}); ids are on fred.stlouisfed.org{also}")
        if status == 400:
            return BrokenAnswer(f"{undone} does not take the question ({reason}); nothing of it was taken")
        if status in (401, 403, 404):
            return Unreachable(
                f"{undone} does not let us in ({reason}); nothing of it was taken; check FRED_API_URL, or refresh again later"
            )
        return Unreachable(f"{undone} answers with an error ({reason}); nothing of it was taken; refresh again later")

    def _masked(self, text: object) -> str:
        return str(text).replace(self.key, "********") if self.key else str(text)

    # ------------------------------------------------------------------ the rest

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread."""
        self._stopped.set()

    def check(self) -> Verdict:
        """Ask what one series is; never raises."""
        try:
            with understood("GDP"):
                title = dict(self._client.get_series_info("GDP"))["title"]
        except WorkbenchError as error:
            return Verdict(self.name, STATES.get(type(error), "unreachable"), str(error))
        return Verdict(self.name, "works", f"{self.url}: {title}")

    def close(self) -> None:
        """Nothing is held between calls; the next one may be made."""
        self._stopped.clear()


# ---------------------------------------------------------------------- reading


def rows_of(
    series: str, versions: Sequence[Version], about: Mapping[str, str], *, final: bool, origin: date | None, since: date | None
) -> tuple[list[Row], tuple[str, ...]]:
    """Rows of a series from its versions, in any order and told twice where windows touch, and what is to be said of them.

    The first version of an observation is preliminary, if the series is one that is corrected. What was observed before FRED began to keep the
    series (`origin`) has lost its first version: the oldest that is kept does not count as one.
    """
    by_date: dict[date, dict[date, float | None]] = {}
    for day, published, value in versions:
        by_date.setdefault(day, {})[published] = value
    newest_then = max((day for day, known in by_date.items() if origin in known), default=None)
    rows: list[Row] = []
    blank = 0
    for day, known in sorted(by_date.items()):
        held: float | None = None
        first = True
        for published in sorted(known):
            value = known[published]
            if value is None:
                blank += since is None or published >= since
            elif first or value != held:
                original = first and (published != origin or day == newest_then)
                if since is None or published >= since:
                    told = {"is_preliminary": original and not final, "revision_date": published}
                    rows.append({"series": series, "date": day, "value": value, **told, **about})
                first = False
            held = value
    notes = (f"{series}: {blank:,} observations without a value",) if blank else ()
    return rows, notes


def version(child: ET.Element) -> Version:
    """One value of one observation, and since when it was known."""
    said = child.attrib["value"]
    value = None if said == MISSING else float(said)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"a value of {said}")
    return iso(child.attrib["date"]), iso(child.attrib["realtime_start"]), value


def iso(text: str) -> date:
    """A date as FRED writes it."""
    return date.fromisoformat(text.strip())


def parsed(body: bytes) -> ET.Element | None:
    """The root of an answer, or None for what is no XML."""
    try:
        return ET.fromstring(body)  # noqa: S314 - expat refuses entities that grow
    except ET.ParseError:
        return None


def seconds(retry_after: str | None) -> float:
    """How long a refusal asks us to wait; 0 if it does not say, or names a date."""
    try:
        return min(float(retry_after or 0), LONGEST_RETRY_AFTER_S)
    except ValueError:
        return 0.0


@contextmanager
def understood(subject: str) -> Iterator[None]:
    """Turn what goes wrong in reading an answer into `BrokenAnswer`."""
    try:
        yield
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as exc:
        lacks = f"lacks {exc}" if isinstance(exc, KeyError) else f"cannot be understood ({exc})"
        raise BrokenAnswer(f"{subject} was not fetched: FRED's answer {lacks}; nothing of it was taken; refresh again later") from exc
