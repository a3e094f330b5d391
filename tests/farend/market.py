"""The market that the far end knows: what a test put there, over real flat files if they are beside the project, over a made-up one."""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from farend import made, others
from farend.shapes import Bar, Row
from farend.times import at_ns, day_of, zone_of

FLATFILES = Path(__file__).resolve().parents[3] / "shared" / "flatfiles"
STOCKS = FLATFILES / "us_stocks_sip"
LISTS = ("conditions", "indicators")
DECIMALS = ("price", "size", "ask_price", "ask_size", "bid_price", "bid_size")
# The file says 0 or nothing where the reply has no field.
OPTIONAL = ("conditions", "indicators", "correction", "trf_id", "trf_timestamp", "id")
FRACTIONS_FROM = date(2026, 2, 23)


@lru_cache(maxsize=8)
def files(dataset: str) -> dict[date, Path]:
    """The real flat files of a dataset by session; none if they are not there."""
    return {date.fromisoformat(path.name[:10]): path for path in sorted((STOCKS / dataset).rglob("*.csv.gz"))}


def lines(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.reader(file)


@lru_cache(maxsize=1024)
def real_bars(dataset: str, day: date) -> dict[str, list[Bar]]:
    """A session's bars by ticker, from its flat file."""
    path = files(dataset).get(day)
    found: dict[str, list[Bar]] = {}
    if path:
        for row in list(lines(path))[1:]:
            ticker, volume, opened, close, high, low, start, trades = row
            bar = Bar(float(opened), float(high), float(low), float(close), float(volume), int(trades) or None, start_ns=int(start))
            found.setdefault(ticker, []).append(bar)
    return found


@lru_cache(maxsize=8)
def real_ticks(kind: str, day: date) -> dict[str, list[tuple[str, ...]]]:
    """A session's trades or quotes by ticker, as the fields of their lines; the header stands under no ticker."""
    path = files(f"{kind}_v1").get(day)
    found: dict[str, list[tuple[str, ...]]] = {}
    for nth, row in enumerate(lines(path) if path else ()):
        found.setdefault(row[0] if nth else "", []).append(tuple(row))
    return found


def told(header: tuple[str, ...], fields: tuple[str, ...]) -> Row:
    """A line of a trades or quotes file as the reply has it."""
    row: Row = {}
    for name, text in zip(header[1:], fields[1:], strict=True):
        if name in OPTIONAL and text in ("", "0") and name != "id":
            continue
        if name in LISTS:
            row[name] = [int(one) for one in text.split(",")]
        elif name == "id":
            row[name] = text
        elif name in DECIMALS:
            row[name] = number(text)
        elif text:
            row[name] = int(text)
    return row


def number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


@lru_cache(maxsize=8)
def real_reference(name: str) -> tuple[Row, ...]:
    path = FLATFILES / "reference" / f"{name}.json"
    return tuple(json.loads(path.read_text())["results"]) if path.exists() else ()


@lru_cache(maxsize=1)
def real_tickers() -> tuple[str, ...]:
    sessions = list(files("day_aggs_v1"))
    return tuple(sorted({ticker for day in sessions[::20] + sessions[-1:] for ticker in real_bars("day_aggs_v1", day)}))


Key = tuple[str, date]


@dataclass
class Market:
    """Bars, trades and quotes by ticker and session. What a test puts into the dictionaries stands before everything else; None takes away.

    `real` and `made` say whether the real flat files and the made-up market are there underneath.
    """

    bars: dict[Key, Bar | None]
    minutes: dict[Key, list[Bar] | None]
    trades: dict[Key, list[Row] | None]
    quotes: dict[Key, list[Row] | None]
    real: bool = True
    made: bool = True

    def day(self, day: date) -> dict[str, Bar]:
        """The whole market's bars of a session, unadjusted."""
        found: dict[str, Bar] = {}
        if self.made:
            found |= made.day(day) | others.day(day)
        if self.real:
            found |= {ticker: bars[0] for ticker, bars in real_bars("day_aggs_v1", day).items()}
        for (ticker, session), bar in self.bars.items():
            if session == day:
                found.pop(ticker, None)
                if bar:
                    found[ticker] = bar
        return {ticker: bar.at(at_ns(day, zone=zone_of(ticker))) for ticker, bar in found.items()}

    def sessions(self, dataset: str = "bars") -> list[date]:
        """The sessions of which there are "bars", "minutes", "trades" or "quotes", oldest first."""
        names = {"bars": "day_aggs_v1", "minutes": "minute_aggs_v1", "trades": "trades_v1", "quotes": "quotes_v1"}
        found = {day for _, day in getattr(self, dataset)}
        if self.real:
            found |= set(files(names[dataset]))
        if self.made:
            found |= {*made.SESSIONS, *others.DAYS}
        return sorted(found)

    def days(self, ticker: str, start: date, end: date) -> Iterator[tuple[date, Bar]]:
        """A ticker's daily bars, oldest first."""
        for day in self.sessions():
            if start <= day <= end and (bar := self.day(day).get(ticker)):
                yield day, bar

    def minutes_of(self, ticker: str, day: date) -> list[Bar]:
        """A ticker's minute bars of a session, oldest first."""
        if (ticker, day) in self.minutes:
            return self.minutes[ticker, day] or []
        if self.real and (bars := real_bars("minute_aggs_v1", day).get(ticker)):
            return bars
        return (made.minutes(ticker, day) or others.minutes(ticker, day)) if self.made else []

    def ticks(self, kind: str, ticker: str, day: date) -> "Ticks":
        """A ticker's trades or quotes of a session, by SIP time and sequence number."""
        put: dict[Key, list[Row] | None] = self.trades if kind == "trades" else self.quotes
        if (ticker, day) in put:
            return Ticks(put[ticker, day] or [])
        if self.real and (rows := real_ticks(kind, day).get(ticker)):
            return Ticks(rows, real_ticks(kind, day)[""][0])
        return Ticks((made.ticks(kind, ticker, day) or others.ticks(kind, ticker, day)) if self.made else [])


@dataclass
class Ticks:
    """Trades or quotes, turned into the reply's shape only when they are sent."""

    rows: list[Any]
    header: tuple[str, ...] = ()

    def stamp(self, nth: int) -> int:
        row = self.rows[nth]
        return int(row[self.header.index("sip_timestamp")]) if self.header else stamp(row)

    def row(self, nth: int) -> Row:
        row = self.rows[nth]
        shaped = told(self.header, row) if self.header else dict(row)
        return fractional(shaped)


def stamp(row: Row) -> int:
    """The time that a row is found by: the SIP's, or the exchange's where there is no SIP."""
    return int(row["sip_timestamp"] if "sip_timestamp" in row else row["participant_timestamp"])


def fractional(row: Row) -> Row:
    """Since fractions are reported, `size` is whole and `decimal_size` is exact."""
    if "sip_timestamp" in row and "size" in row and "decimal_size" not in row and day_of(row["sip_timestamp"]) >= FRACTIONS_FROM:
        row["decimal_size"] = f"{row['size']:.6f}"
        row["size"] = int(row["size"])
    return row
