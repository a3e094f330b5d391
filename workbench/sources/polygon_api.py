"""The vendor's REST API: whole sessions of day bars in a call, bars, trades and quotes of single symbols.

Its rows equal those of the flat files, if they are asked for unadjusted: the same bars, in milliseconds instead of nanoseconds, with another
stamp on bars of a day. What a plan allows in a minute is scarce, so questions are cut for as few calls as will do: a symbol's bars of
thousands of sessions come in one, and so does one session of all symbols.
"""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import BadKeys, NotEntitled, NotPublished, RateLimited, SourceError, Unreachable, UsageError, WorkbenchError
from workbench.sources import Answer, Question, Verdict
from workbench.sources.api_calls import Calls, exactly
from workbench.sources.api_checks import Walls, check_times, delayed, records
from workbench.sources.api_drafts import Brought, Draft
from workbench.sources.api_questions import LIMIT, MARKETS, bar_name, cheaper_whole, flat_name, questions, refuses, trouble_with
from workbench.sources.api_refusals import Page, sentence
from workbench.sources.api_rows import OTC, Sessions, Sheet, bars, sheet, storing, text_of, ticks
from workbench.sources.limiter import Limiter, Run, Stopped, rate_of
from workbench.tables import Table, find

# Tickers that are asked at a time, by all questions together. While it is read, a page of bars takes up to 30 MB, one of ticks 60.
LANES, TICK_LANES = 8, 3
# How many tickers in a row may find the far end dead before the others are not tried.
DEAD = 2
STATES: dict[type[WorkbenchError], str] = {BadKeys: "wrong key", NotEntitled: "not entitled", RateLimited: "rate limited"}


@dataclass(eq=False, repr=False)
class PolygonAPI:
    """The REST API at `url`, asked with the plan's `key`.

    `rate` is how many calls a minute the plan allows, as text; an empty one is learnt. `tries` is how many failures in a row a call bears,
    `timeout_s` how long the far end may stay silent, `window_s` how long the vendor's minute is. `tell` hears of long waits, from any thread.
    """

    key: str
    url: str = "https://api.massive.com"
    rate: str = ""
    tries: int = 6
    timeout_s: float = 30.0
    backoff_s: float = 0.5
    window_s: float = 60.0
    tell: Callable[[str], None] = field(default=lambda _: None)
    name: str = field(default="polygon_api", init=False)
    limiter: Limiter = field(init=False)
    calls: Calls = field(init=False)
    _runs: set[Run] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _lanes: dict[str, threading.Semaphore] = field(init=False)
    _walls: Walls = field(default_factory=Walls, init=False)

    def __post_init__(self) -> None:
        self.limiter = Limiter(rate_of(self.rate), self.window_s, tell=lambda text: self.tell(f"{self.name}: {text}"))
        self._lanes = {"bars": threading.Semaphore(LANES), "ticks": threading.Semaphore(TICK_LANES)}
        self.calls = Calls(self.key, self.url, self.limiter, self.tries, self.timeout_s, self.backoff_s)

    def __repr__(self) -> str:
        return f"PolygonAPI({self.calls.where!r}, rate={self.rate!r})"

    def refuses(self, table: str, *, whole: bool) -> str:
        """Why it cannot serve a table (for the whole market, or ticker by ticker); empty if it can."""
        return refuses(table, whole=whole)

    def questions(self, table: str, sessions: Sequence[date], tickers: Sequence[str]) -> Sequence[Question]:
        """What to ask for these sessions and tickers, in as few calls as will do. Raises `UsageError` for what cannot be asked."""
        return questions(table, sessions, tickers)

    # ------------------------------------------------------------------ answers

    def answer(self, question: Question, folder: Path) -> Iterator[Answer]:
        """Ask, and give each session's answer as it is complete, oldest first, its file under `folder`.

        Raises `BadKeys` or `BadSetting` where no call can succeed, and `LakeError` if `folder` cannot hold the rows; every other fault is
        told in the answers it concerns. A ticker's rows are in a file whole or not at all.
        """
        table, days = find(question.table), sorted(set(question.sessions))
        if why := refuses(question.table, whole=not question.tickers):
            yield from (Answer(question.table, day, question.tickers, fault=f"UsageError: {why}") for day in days)
            return
        # An answer for a key that cannot be used at all would look like one that only some tickers lack.
        self.calls.connect()
        with self._run() as run, storing(folder, f"what {self.name} says of {table.name}"):
            folder.mkdir(parents=True, exist_ok=True)
            if not question.tickers or cheaper_whole(question.table, len(days), len(question.tickers)):
                for day in days:
                    yield self._market(run, table, day, question.tickers, folder)
            elif table.kind == "ticks":
                for day in days:
                    yield self._ticks(run, table, day, question.tickers, folder)
            else:
                yield from self._bars(run, table, days, question.tickers, folder)

    def _market(self, run: Run, table: Table, day: date, tickers: tuple[str, ...], folder: Path) -> Answer:
        """One session of a whole market, or of those tickers of it that are wanted."""
        began, answer, sessions = time.monotonic(), Draft(table, day, tickers), Sessions(table, [day])
        what = f"{table.name} of {day}"
        locale, _, market = MARKETS[table.name].partition("/")
        try:
            self._walls.expect(table, day, what)
            # Symbols that are asked for by name may be traded over the counter; flat files hold none of these.
            page = self.calls.page(
                run,
                what,
                "get_grouped_daily_aggs",
                exactly,
                date=str(day),
                adjusted=False,
                locale=locale,
                market_type=market.removeprefix("market/"),
                include_otc=bool(tickers),
            )
            found = [row for _, row in bars(records(page, table, what, self.calls.where), sessions)]
            check_times(sessions, what, self.calls.where)
            self._walls.allowed(table, day)
        except NotPublished:
            page, found = Page({}), []
        except BadKeys:
            raise
        except SourceError as fault:
            self._walls.refused(table, day, fault)
            answer.fault = sentence(fault)
            return answer.done(None, time.monotonic() - began)
        answer.failed = {ticker: f"UsageError: {why}" for ticker in tickers if (why := trouble_with(ticker, table.name))}
        wanted = {flat_name(ticker): ticker for ticker in tickers if ticker not in answer.failed}
        rows = sorted(
            (row for row in found if not tickers or row[0] in wanted),
            key=lambda row: str(row[0] or "").encode(),
        )
        answer.transferred, answer.left = page.transferred, sessions.left
        answer.late(delayed=bool(rows) and delayed(page))
        if tickers:
            # Other symbols' records are none of this answer.
            answer.left.pop(OTC, None)
            answer.silent = [wanted[name] for name in sorted(wanted.keys() - {row[0] for row in rows})]
            for ticker in answer.silent:
                answer.miss(ticker)
        if not rows:
            return answer.done(None, time.monotonic() - began)
        made = sheet(folder, table, day)
        made.add(text_of(rows), len(rows))
        return answer.done(made, time.monotonic() - began)

    def _bars(self, run: Run, table: Table, days: list[date], tickers: tuple[str, ...], folder: Path) -> Iterator[Answer]:
        """Bars of single tickers over many sessions: a call or a few for each ticker, a file for each session."""
        began = time.monotonic()
        drafts = {day: Draft(table, day, tickers) for day in days}
        sheets: dict[date, Sheet] = {}
        try:
            for one in self._gathered(run, table, tickers, days[-1], lambda ticker: self._bars_of(run, table, days, ticker)):
                for day, (text, count) in one.lines.items():
                    if day not in sheets:
                        sheets[day] = sheet(folder, table, day)
                    sheets[day].add(text, count)
                drafts[days[0]].take(one)
                for day, draft in drafts.items():
                    draft.heard(one, rows=day in one.lines)
            self._look_behind(run, table, drafts, sheets)
            seconds = (time.monotonic() - began) / len(days)
            for day, draft in drafts.items():
                yield draft.done(sheets.pop(day, None), seconds)
        finally:
            for left in sheets.values():
                left.drop()

    def _bars_of(self, run: Run, table: Table, days: list[date], ticker: str) -> Brought:
        """A ticker's bars, all pages."""
        start, end = days[0], days[-1]
        what = f"{table.name} of {ticker}, {start}{f' to {end}' if end > start else ''}"
        span: tuple[object, object] = (start, end)
        timespan = table.name.partition("_")[2]
        if timespan == "minute" and table.zone == "UTC":
            # A date may be New York's to the API; milliseconds are nobody's.
            span = (table.session_ns(start)[0] // 1_000_000, table.session_ns(end)[1] // 1_000_000 - 1)
        self._walls.expect(table, end, what)
        sessions, one = Sessions(table, days), Brought(ticker)
        texts: dict[date, list[bytes]] = defaultdict(list)
        counts: Counter[date] = Counter()
        asked = {"multiplier": 1, "timespan": timespan, "from_": str(span[0]), "to": str(span[1])}
        pages = self.calls.pages(run, what, "list_aggs", exactly, ticker=bar_name(ticker), **asked, adjusted=False, sort="asc", limit=LIMIT)
        for page in pages:
            found: dict[date, list[list[Any]]] = defaultdict(list)
            for day, row in bars(records(page, table, what, self.calls.where, ticker), sessions, flat_name(ticker)):
                found[day].append(row)
            for day, rows in found.items():
                texts[day].append(text_of(rows))
                counts[day] += len(rows)
            one.transferred += page.transferred
            one.delayed |= delayed(page)
        check_times(sessions, what, self.calls.where)
        self._walls.allowed(table, end)
        one.lines = {day: (b"".join(parts), counts[day]) for day, parts in texts.items()}
        one.left = sessions.left
        return one

    def _look_behind(self, run: Run, table: Table, drafts: dict[date, Draft], sheets: dict[date, Sheet]) -> None:
        """Ask whether sessions before the first row are empty, or behind the wall of the plan's history: a partial result does not say."""
        seen = min(sheets, default=None)
        before = [day for day in drafts if seen and day < seen]
        if seen:
            self._walls.covers(table, seen)
        if not seen or not before or run.over or self._walls.covered(table, before[0]):
            return
        try:
            self._bars_of(run, table, before[:1], drafts[seen].spoken[0])
            self._walls.covers(table, before[0])
        except NotPublished:
            self._walls.covers(table, before[0])
        except NotEntitled as fault:
            told = f"NotEntitled: the plan's history does not reach back to it: nothing before {seen} came, and {fault}"
            for day in before:
                drafts[day].fault, drafts[day].silent = told, []
        except SourceError as fault:
            for day in before:
                drafts[day].notes.append(f"whether the plan covers it could not be asked: {fault}")

    def _ticks(self, run: Run, table: Table, day: date, tickers: tuple[str, ...], folder: Path) -> Answer:
        """Trades or quotes of a session, ticker after ticker."""
        began, answer, made = time.monotonic(), Draft(table, day, tickers), sheet(folder, table, day)
        try:
            for one in self._gathered(run, table, tickers, day, lambda ticker: self._ticks_of(run, table, day, ticker, folder)):
                answer.take(one)
                answer.heard(one, rows=bool(one.sheet and one.sheet.rows))
                if one.sheet:
                    made.join(one.sheet)
            return answer.done(made, time.monotonic() - began)
        except BaseException:
            made.drop()
            raise

    def _ticks_of(self, run: Run, table: Table, day: date, ticker: str, folder: Path) -> Brought:
        """A ticker's trades or quotes, page by page to the disk."""
        kind = table.name.partition("_")[2]
        what = f"{table.name} of {ticker}, {day}"
        start, end = table.session_ns(day)
        self._walls.expect(table, day, what)
        sessions, one = Sessions(table, [day]), Brought(ticker, sheet=sheet(folder, table, day, header=False))
        assert one.sheet
        asked = {"timestamp_gte": start, "timestamp_lt": end, "order": "asc", "sort": "timestamp", "limit": LIMIT}
        try:
            for page in self.calls.pages(run, what, f"list_{kind}", exactly, ticker=ticker, **asked):
                rows = list(ticks(records(page, table, what, self.calls.where), sessions, flat_name(ticker)))
                one.sheet.add(text_of(rows), len(rows))
                one.transferred += page.transferred
                one.delayed |= delayed(page)
            check_times(sessions, what, self.calls.where)
        except BaseException:
            one.drop()
            raise
        self._walls.allowed(table, day)
        one.left = sessions.left
        return one

    # ------------------------------------------------------------------ many tickers

    def _gathered(self, run: Run, table: Table, tickers: Sequence[str], last: date, ask: Callable[[str], Brought]) -> Iterator[Brought]:
        """What `ask` brings of each ticker, in byte order of their names, a few asked at a time. Raises `BadKeys`."""
        closed, lanes = False, LANES if table.kind == "bars" else TICK_LANES

        def asked(ticker: str) -> Brought:
            try:
                if why := trouble_with(ticker, table.name):
                    return Brought(ticker, fault=UsageError(why))
                with self._lanes[table.kind]:
                    one = ask(ticker)
            except NotPublished:
                return Brought(ticker)
            if closed:
                one.drop()
            return one

        rest = iter(sorted(dict.fromkeys(tickers), key=lambda ticker: flat_name(ticker).encode("utf-8", "surrogatepass")))
        waiting: deque[tuple[str, Future[Brought]]] = deque()
        pool = ThreadPoolExecutor(lanes, thread_name_prefix=self.name)
        dead = 0
        try:
            while True:
                while len(waiting) < lanes and (ticker := next(rest, None)) is not None:
                    waiting.append((ticker, pool.submit(asked, ticker)))
                if not waiting:
                    return
                ticker, future = waiting.popleft()
                try:
                    one = future.result()
                    dead = 0
                except BadKeys:
                    raise
                except SourceError as fault:
                    one = Brought(ticker, fault=fault)
                    self._walls.refused(table, last, fault)
                    dead = dead + 1 if isinstance(fault, Unreachable) else 0
                    if not run.over and (dead >= DEAD or isinstance(fault, RateLimited)):
                        self.limiter.end(run, type(fault)(f"{table.name} was not asked for any further: {fault}"))
                yield one
        finally:
            closed = True
            for _, future in waiting:
                if future.done() and not future.cancelled() and not future.exception():
                    future.result().drop()
            if waiting:
                self.limiter.end(run, Stopped("nobody waits for the answer any more"))
            pool.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------ everything else

    def listed(self, method: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The raw records of all pages of a method of the official client, as `list_splits` or `vx.list_stock_financials`.

        None where the vendor has none (404, no results). A reply that is one record itself is given as it is. Raises `SourceError`, and
        `UnknownName` for a method that the client lacks.
        """
        with self._run() as run:
            yield from self.calls.listed(run, method, **params)

    def check(self) -> Verdict:
        """Ask whether the market is open, which every plan may; never raises."""
        try:
            with self._run() as run:
                try:
                    found = self.calls.once().page(run, "the market's status", "get_market_status")
                except Unreachable:
                    found = self.calls.once().page(run, "the market's status", "get_market_status")
        except WorkbenchError as error:
            return Verdict(self.name, STATES.get(type(error), "unreachable"), str(error))
        market = str(found.body.get("market", "unknown"))[:40] if isinstance(found.body, dict) else "unknown"
        return Verdict(self.name, "works", f"{self.calls.where} knows the key; the market is {market}")

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread: answers under way end with what they have."""
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            self.limiter.end(run, Stopped(f"{self.name} was stopped before it had asked for all; refresh again for the rest"))

    def close(self) -> None:
        """Stop, and give back connections; the next call connects anew."""
        self.stop()
        self.calls.close()

    @contextmanager
    def _run(self) -> Iterator[Run]:
        run = Run()
        with self._lock:
            self._runs.add(run)
        try:
            yield run
        finally:
            with self._lock:
                self._runs.discard(run)
            self.limiter.end(run, Stopped("nobody waits for the answer any more"))
