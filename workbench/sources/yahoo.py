"""Yahoo's bars of stocks, for sessions that nothing better has: through yfinance, symbol by symbol.

Yahoo's prices and volumes are adjusted for every split up to the day that they are asked for, and for no dividend. They are kept exactly as it
gives them; the answer's notes say so, and by which factor, as far as its reply tells the splits. It knows today's symbols only: what traded under
another symbol stands under the new one. Its terms allow personal use, so it is asked only if the user says so.
"""

import gzip
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from workbench.errors import BrokenAnswer, RateLimited
from workbench.sources import Answer, FlatFile, Question, Verdict
from workbench.sources.parts import storing
from workbench.sources.yahoo_web import Round, Web
from workbench.tables import Table, find
from workbench.tables.answers import YAHOO, key_of
from workbench.tables.spec import NEW_YORK, midnight_ns

INTERVALS = {"stock_day": "1d", "stock_minute": "1m"}
TICKERS_A_QUESTION = 50
# Today and the six days before it: Yahoo gives at most eight days of minutes in one reply.
MINUTE_DAYS = 7
# When the late session is over, and with it what may still change a bar.
OVER_HOUR = 20
SECOND_NS = 1_000_000_000
ABSENT = ("No data found", "Data doesn't exist")

Row = tuple[int, Mapping[str, float | None]]
EXACTLY = {"open": "Open", "close": "Close", "high": "High", "low": "Low", "volume": "Volume"}


@dataclass(frozen=True)
class History:
    """What Yahoo says of one symbol: bars by session, splits by date, and why there is nothing if so. `odd` counts what are no bars."""

    bars: Mapping[date, Sequence[Row]] = field(default_factory=dict)
    splits: Mapping[date, float] = field(default_factory=dict)
    absent: str = ""
    odd: int = 0


@dataclass(eq=False)
class Yahoo:
    """Yahoo as a source of rows: day bars of stocks, and the minutes of the last seven days.

    `url` names a mirror or proxy that answers in the place of Yahoo's hosts. `timeout_s` is how long the far end may stay silent, `tries` how
    many times a symbol is asked for. `clock` tells the time: what is not over yet is not asked for.
    """

    url: str = ""
    timeout_s: float = 10.0
    tries: int = 3
    backoff_s: float = 0.5
    threads: int = 4
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    name: str = field(default="yahoo", init=False)
    web: Web = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.web = Web(self.url, self.timeout_s, self.tries, self.backoff_s)

    def refuses(self, table: str, *, whole: bool) -> str:
        """Why it cannot serve a table (for the whole market, or ticker by ticker); empty if it can."""
        if table not in INTERVALS:
            return f"Yahoo has bars of stocks only ({' and '.join(INTERVALS)}), and none of {table}"
        if whole:
            return f"Yahoo serves {table} ticker by ticker, not for the whole market; name symbols, or a universe"
        return ""

    def questions(self, table: str, sessions: Sequence[date], tickers: Sequence[str]) -> Sequence[Question]:
        """All sessions in one question, for fifty tickers at a time: Yahoo is asked ticker by ticker, however many sessions there are."""
        if self.refuses(table, whole=not tickers) or not sessions:
            return []
        every, days = sorted(set(tickers)), tuple(sorted(set(sessions)))
        batches = (every[start : start + TICKERS_A_QUESTION] for start in range(0, len(every), TICKERS_A_QUESTION))
        return [Question(table, days, tuple(batch)) for batch in batches]

    def answer(self, question: Question, folder: Path) -> Iterator[Answer]:
        """Ask ticker by ticker, and give each session's answer, its file under `folder`.

        Raises `LakeError` if `folder` cannot hold it; every other fault is told in the answers.
        """
        asked, began, came = question.tickers, time.monotonic(), self.web.transferred
        faults = {day: fault for day in question.sessions if (fault := self._unasked(question, day))}
        days = [day for day in question.sessions if day not in faults]
        told: Round[History] = self._gathered(question.table, days, asked) if days else Round()
        took, came = time.monotonic() - began, self.web.transferred - came
        for day in question.sessions:
            if fault := faults.get(day) or self._lost(told, asked):
                yield Answer(
                    question.table, day, asked, failed=told.reasons if day in days else {}, fault=fault, transferred=came, seconds=took
                )
            else:
                yield self._answered(question, day, told, folder, came, took)
            took, came = 0.0, 0  # one ask for all sessions: the first answer tells its cost

    def _unasked(self, question: Question, day: date) -> str:
        """Why a session is not asked for at all."""
        if refusal := self.refuses(question.table, whole=not question.tickers):
            return f"NotEntitled: {refusal}; nothing was asked"
        now = self.clock().astimezone(ZoneInfo(NEW_YORK))
        if day > now.date() or (day == now.date() and now.hour < OVER_HOUR):
            return f"NotPublished: the session of {day} is not over, so Yahoo's bars of it still move; nothing was asked; refresh after 20:00 New York"
        if question.table == "stock_minute" and day <= now.date() - timedelta(days=MINUTE_DAYS):
            return f"NotEntitled: Yahoo is asked for minutes of the last {MINUTE_DAYS} days only; nothing was asked"
        return ""

    def _lost(self, told: Round[History], asked: Sequence[str]) -> str:
        """Why not one of the tickers could be asked for."""
        return next(iter(told.reasons.values())) if asked and len(told.failed) == len(asked) else ""

    def _answered(self, question: Question, day: date, told: Round[History], folder: Path, came: int, took: float) -> Answer:
        """What is known of one session."""
        table, asked = find(question.table), question.tickers
        rows = {ticker: told.heard[ticker].bars[day] for ticker in asked if ticker in told.heard and day in told.heard[ticker].bars}
        silent = tuple(ticker for ticker in asked if ticker in told.heard and ticker not in rows)
        notes = [f"{ticker}: {told.heard[ticker].absent}" for ticker in silent if told.heard[ticker].absent]
        file = path = None
        if rows:
            file, path = written(table, day, asked, rows, folder)
            now = self.clock().astimezone(ZoneInfo(NEW_YORK)).date()
            labels = [f"split-adjusted by Yahoo as of {now}, not adjusted for dividends"]
            labels += [f"{ticker}: {after}" for ticker in sorted(rows) if (after := adjusted(told.heard[ticker].splits, day))]
            if odd := sum(history.odd for history in told.heard.values()):
                labels.append(f"{odd} prices between minutes, which are no bars, were left out")
            notes = labels + notes
        count = sum(map(len, rows.values()))
        return Answer(question.table, day, asked, file, path, count, silent, told.reasons, "", came, took, tuple(notes))

    # ------------------------------------------------------------------ asking

    def _gathered(self, table: str, days: Sequence[date], tickers: Sequence[str]) -> Round[History]:
        interval = INTERVALS[table]
        # To the end of today, whichever sessions are asked for: the splits since then are in the same reply.
        end = self.clock().astimezone(ZoneInfo(NEW_YORK)).date() + timedelta(days=1)

        def ask(ticker: str, symbol: str) -> History:
            return self.web.ask(ticker, lambda data, session: self._history(data, session, ticker, symbol, interval, days, end))

        return self.web.each(tickers, ask, self.threads)

    def _history(self, data: Any, session: Any, ticker: str, symbol: str, interval: str, days: Sequence[date], end: date) -> History:
        from yfinance.exceptions import YFPricesMissingError
        from yfinance.scrapers.history import PriceHistory

        # Not `Ticker`, nor `download`: they ask once more per symbol for its time zone, and tell an outage from an unknown symbol by their log only.
        prices = PriceHistory(data, symbol, NEW_YORK, session)
        how = {"interval": interval, "prepost": interval == "1m", "auto_adjust": False, "actions": True, "timeout": self.timeout_s}
        try:
            frame = prices.history(start=days[0], end=end, **how)
        except YFPricesMissingError as missing:
            return self._nothing(ticker, missing)
        meta, result = reply(self.web.last.text)
        for name, wanted in (("symbol", symbol), ("exchangeTimezoneName", NEW_YORK), ("currency", "USD"), ("dataGranularity", interval)):
            if (given := meta.get(name, wanted)) != wanted:
                raise BrokenAnswer(
                    f"{ticker} was not fetched: Yahoo was asked for {name} {wanted} and answers with {given}; nothing of it was taken"
                )
        return history(frame, interval, set(days), unknown_volumes(result))

    def _nothing(self, ticker: str, missing: Any) -> History:
        """A symbol without bars, where Yahoo says so; a failure that yfinance takes for that is raised again."""
        said, reason = self.web.last, str(missing.yahoo_reason or "")
        if said.status == 200 and not reason and reply(said.text)[0]:
            return History(absent="Yahoo knows it and has no bar of these sessions")
        if said.status == 404 or reason.startswith(ABSENT):
            return History(absent=f"Yahoo does not know it ({reason or 'not found'})")
        if said.status < 500 and said.status not in (401, 403, 429):
            raise BrokenAnswer(f"{ticker} was not fetched: Yahoo says {reason or 'neither bars nor an error'}; nothing of it was taken")
        raise missing

    # ------------------------------------------------------------------ the rest

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread: answers under way end with what they have."""
        self.web.stopped.set()

    def check(self) -> Verdict:
        """Ask for the day bars of the last week of one ticker; never raises."""
        today = self.clock().astimezone(ZoneInfo(NEW_YORK)).date()
        told = self._gathered("stock_day", [today - timedelta(days=n) for n in range(MINUTE_DAYS, 0, -1)], ["SPY"])
        if error := told.failed.get("SPY"):
            return Verdict(self.name, "rate limited" if isinstance(error, RateLimited) else "unreachable", str(error))
        heard = told.heard["SPY"]
        newest = max(heard.bars, default=None)
        return Verdict(self.name, "works", f"{self.web.where}: {f'SPY up to {newest}' if newest else f'SPY has no bars ({heard.absent})'}")

    def close(self) -> None:
        """Give back connections; the next call connects anew."""
        self.web.close()


# ---------------------------------------------------------------------- reading


def reply(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The head of a chart's reply, and all of its result; empty if it has none."""
    import json

    result = ((json.loads(text).get("chart") or {}).get("result") or [{}])[0] or {}
    return result.get("meta") or {}, result


def unknown_volumes(result: Mapping[str, Any]) -> set[int]:
    """The seconds of the bars whose volume Yahoo does not give: yfinance makes 0 of it."""
    volumes = result["indicators"]["quote"][0]["volume"]
    return {at for at, volume in zip(result["timestamp"], volumes, strict=False) if volume is None}


def history(frame: Any, interval: str, days: set[date], unknown: set[int]) -> History:
    """A frame of yfinance's as bars of the sessions asked for, and all splits that it tells."""
    zone = ZoneInfo(NEW_YORK)
    daily = interval == "1d"
    unknown_days = {datetime.fromtimestamp(at, zone).date() for at in unknown}
    bars: dict[date, list[Row]] = {}
    odd = 0
    stamps = [(int(stamp.timestamp()), stamp.date()) for stamp in frame.index]
    columns = [[finite(value) for value in frame[theirs].tolist()] for theirs in EXACTLY.values()]
    for (at, day), *values in zip(stamps, *columns, strict=True):
        if day not in days:
            continue
        row = dict(zip(EXACTLY, values, strict=True))
        if (day in unknown_days) if daily else (at in unknown):
            row["volume"] = None
        # A dividend or split on a day without trading comes as a row without prices.
        if not any(value for value in row.values()):
            continue
        if not daily and at % 60:
            odd += 1
            continue
        bars.setdefault(day, []).append((midnight_ns(day, NEW_YORK) if daily else at * SECOND_NS, row))
    ratios = frame["Stock Splits"].tolist() if "Stock Splits" in frame else []
    splits = {day: float(ratio) for (_, day), ratio in zip(stamps, ratios, strict=False) if finite(ratio)}
    return History(bars, splits, odd=odd)


def finite(value: Any) -> float | None:
    """A number, or None for what is none."""
    return value if value is not None and math.isfinite(value) else None


def adjusted(splits: Mapping[date, float], day: date) -> str:
    """What Yahoo has done to a session's prices for the splits after it, as "divided by 7 for the split of 2014-06-09"."""
    after = sorted(when for when, ratio in splits.items() if when > day and ratio)
    factor = math.prod(splits[when] for when in after)
    if not after:
        return ""
    by = f"divided by {factor:.10g}" if factor >= 1 else f"multiplied by {1 / factor:.10g}"
    return f"{by} for the split{'s' * (len(after) > 1)} of {' and '.join(map(str, after))}"


# ---------------------------------------------------------------------- writing


def written(table: Table, day: date, asked: Sequence[str], rows: Mapping[str, Sequence[Row]], folder: Path) -> tuple[FlatFile, Path]:
    """A session's rows as a flat file: the same rows give the same bytes. Raises `LakeError`."""
    lines = [",".join(table.headers[0])]
    for ticker in sorted(rows, key=str.encode):
        for at, row in sorted(rows[ticker], key=lambda pair: pair[0]):
            values: dict[str, Any] = {"ticker": ticker, "window_start": at, **row}
            lines.append(",".join("" if (value := values.get(column.name)) is None else str(value) for column in table.vendor))
    body = gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)
    key = key_of(YAHOO, table.name, day, asked)
    file = FlatFile(key, hashlib.sha256(body).hexdigest(), len(body))
    path = folder / f"{hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()[:12]}-{day}.csv.gz"
    with storing(file, folder):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return file, path
