"""Reference data of the imagined market: who is listed, what companies did to their shares, and what the codes of its trades mean.

It tells what the flat files of `sample` show, so that whoever learns on made-up prices sees right ones. The same day and seed give the same rows.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from math import exp
from typing import Any
from zoneinfo import ZoneInfo

from workbench.sources import Verdict
from workbench.sources import market_actions as acts
from workbench.sources.market import Hours, Market, names
from workbench.sources.market_actions import BEGAN, DIVIDENDS, NEW_SYMBOL, RENAMED, SPLITS, session_of, symbol
from workbench.sources.reference import Gathered, Row
from workbench.tables import REFERENCE, find, test_tickers
from workbench.tables.spec import NEW_YORK

# How long before its day a split, or a dividend, is declared; and when a dividend is paid.
SPLIT_NOTICE, DIVIDEND_NOTICE, PAID_AFTER = timedelta(days=30), timedelta(days=21), timedelta(days=14)
NAMES = {"SPY": "Sample 500 Fund", "QQQ": "Sample 100 Fund", RENAMED: "Nova Sample Holdings"}
KINDS = {"p": "PFD", "r": "RIGHT", "w": "WARRANT", ".WS": "WARRANT", ".U": "UNIT"}
# id, name, then whether a trade with it counts in the consolidated high and low, open and close, volume; None: it has no rule.
TRADES = (
    (9, "Cross Trade", True, True, True),
    (10, "Derivatively Priced", True, False, True),
    (12, "Form T/Extended Hours", False, False, True),
    (14, "Intermarket Sweep", True, True, True),
    (37, "Odd Lot Trade", False, False, True),
    (41, "Trade Thru Exempt", None, None, None),
)
QUOTES = ((1, "Regular, Two-Sided Open"), (81, "Corrected Price Indication"))
# id, type, MIC and letter on the tape of those that the sample's trades and quotes name.
EXCHANGES = (
    (1, "exchange", "XASE", "A", "NYSE American"),
    (2, "exchange", "XBOS", "B", "Nasdaq OMX BX"),
    (4, "TRF", "FINY", None, "FINRA NYSE TRF"),
    (4, "TRF", "FINN", None, "FINRA Nasdaq TRF Carteret"),
    (4, "TRF", "FINC", None, "FINRA Nasdaq TRF Chicago"),
    (7, "exchange", "EDGA", "J", "Cboe EDGA"),
    (8, "exchange", "EDGX", "K", "Cboe EDGX"),
    (10, "exchange", "XNYS", "N", "New York Stock Exchange"),
    (11, "exchange", "ARCX", "P", "NYSE Arca"),
    (12, "exchange", "XNAS", "T", "Nasdaq"),
    (15, "exchange", "IEXG", "V", "Investors Exchange"),
    (19, "exchange", "BATS", "Z", "Cboe BZX"),
    (21, "exchange", "MEMX", "U", "Members Exchange"),
)


class SampleReference:
    """What is told of the companies whose flat files `Sample` writes with the same `tickers`, `seed` and `now`."""

    def __init__(self, tickers: int | Sequence[str] = 40, seed: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.tickers, self.seed, self.now = tickers, seed, now
        self.name = "sample"

    @property
    def today(self) -> date:
        """The day of which all is told, in New York."""
        return self.now().astimezone(ZoneInfo(NEW_YORK)).date()

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        known = [table.name for table in REFERENCE]
        return "" if dataset in known else f"sample has no reference data called {dataset}: it has {', '.join(known)}"

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:  # noqa: ARG002
        """All there is of a dataset, whatever `since` and `symbols` say; nothing but a note of what an imagined market has none of."""
        rows = self.rows(dataset)
        notes = () if rows else (f"the sample's imagined market has no {dataset}",)
        yield Gathered(dataset, f"sample:{dataset}", rows, whole=bool(rows), notes=notes)

    def identity(self, dataset: str) -> str:
        """A hash of all there is of a dataset: as long as it stays, gathering it again changes nothing."""
        return hashlib.sha256(json.dumps(self.rows(dataset), default=str).encode()).hexdigest()

    def rows(self, dataset: str) -> list[Row]:
        """The rows of a dataset, as of today."""
        made = {
            "tickers": self._tickers,
            "ticker_changes": self._changes,
            "splits": self._splits,
            "dividends": self._dividends,
            "conditions": conditions,
            "exchanges": exchanges,
        }
        return list(made[dataset]()) if dataset in made else []

    def stop(self) -> None:
        """Nothing here waits."""

    def check(self) -> Verdict:
        """It always works."""
        return Verdict(self.name, "works", "made-up companies")

    def close(self) -> None:
        """There is nothing to give back."""

    # ------------------------------------------------------------------ who

    def _listed(self) -> list[str]:
        """The symbols of today; nobody lists the exchanges' test tickers."""
        table = find("stock_day")
        found = names(table, table.feeds[0], self.tickers, self.today) if isinstance(self.tickers, int) else self.tickers
        tests = {one.ticker for one in test_tickers.TEST_TICKERS if one.on(self.today)}
        return sorted(set(found) - tests)

    def _tickers(self) -> Iterator[Row]:
        for ticker in self._listed():
            yield {
                "ticker": ticker,
                "market": "stocks",
                "locale": "us",
                "primary_exchange": "ARCX" if kind(ticker) == "ETF" else "XNYS" if len(ticker) < 4 else "XNAS",
                "type": kind(ticker),
                "active": True,
                "currency": "usd",
                "listed": BEGAN,
                **about(acts.company(ticker)),
            }

    def _changes(self) -> Iterator[Row]:
        now = symbol(RENAMED, self.today)
        if now not in self._listed():
            return
        days = [BEGAN, *(session_of(day) for day in NEW_SYMBOL.between(BEGAN + timedelta(days=1), self.today))]
        starts = [day for day in days if day <= self.today]
        for first, after in zip(starts, [*starts[1:], None], strict=True):
            ended = {"last_date": after - timedelta(days=1)} if after else {}
            yield {"asset": now, "ticker": symbol(RENAMED, first), "first_date": first, **ended, **about(RENAMED)}

    # ------------------------------------------------------------------ what

    def _splits(self) -> Iterator[Row]:
        for ticker in self._listed():
            if not (split := SPLITS.get(ticker)):
                continue
            for day in map(session_of, split.rhythm.between(BEGAN, self.today + SPLIT_NOTICE)):
                yield {
                    "ticker": ticker,
                    "execution_date": day,
                    "split_from": split.split_from,
                    "split_to": split.split_to,
                    "id": f"sample-split-{ticker}-{day}",
                    "adjustment_type": "forward_split" if split.split_to > split.split_from else "reverse_split",
                }

    def _dividends(self) -> Iterator[Row]:
        for ticker in self._listed():
            if not (paid := DIVIDENDS.get(ticker)):
                continue
            for day in paid.rhythm.between(BEGAN + timedelta(days=1), self.today + DIVIDEND_NOTICE):
                ex = session_of(day)
                yield {
                    "ticker": ticker,
                    "ex_dividend_date": ex,
                    "cash_amount": self._amount(ticker, ex, paid.part),
                    "currency": "USD",
                    "dividend_type": "CD",
                    "distribution_type": "recurring",
                    "frequency": 4,
                    "declaration_date": day - DIVIDEND_NOTICE,
                    "record_date": ex,
                    "pay_date": session_of(ex + PAID_AFTER),
                    "id": f"sample-dividend-{ticker}-{ex}",
                }

    def _amount(self, ticker: str, day: date, part: float) -> float:
        """What a share of that time pays, to the cent: what its price loses on the day."""
        # The close before, with the dividend already paid: no hours are needed for it.
        [before] = Market((ticker,), day, Hours(0, 0, 0, 0), self.seed).before
        return max(0.01, round(float(before) * (exp(part) - 1), 2))


def kind(ticker: str) -> str:
    """What is listed under a symbol, by the way it is written."""
    if ticker in ("SPY", "QQQ"):
        return "ETF"
    return next((found for mark, found in KINDS.items() if mark in ticker), "CS")


def about(company: str) -> Row:
    """The name of a company, and an id that stays when its symbol changes."""
    digest = blake2b(company.encode(), digest_size=8).hexdigest()[:8].upper()
    return {"name": NAMES.get(company, f"{company} Sample Company"), "composite_figi": f"BBG0{digest}"}


def conditions() -> Iterator[Row]:
    """What the condition ids of the sample's trades and quotes mean."""
    for id, name, high_low, open_close, volume in TRADES:
        rules: dict[str, Any] = {"updates_high_low": high_low, "updates_open_close": open_close, "updates_volume": volume}
        told = {rule: value for rule, value in rules.items() if value is not None}
        yield {"asset_class": "stocks", "data_type": "trade", "id": id, "type": "sale_condition", "name": name, "legacy": False, **told}
    for id, name in QUOTES:
        yield {"asset_class": "stocks", "data_type": "quote", "id": id, "type": "quote_condition", "name": name, "legacy": False}


def exchanges() -> Iterator[Row]:
    """The exchanges and reporting facilities that the sample's trades and quotes name."""
    for id, type, mic, letter, name in EXCHANGES:
        row = {"asset_class": "stocks", "id": id, "type": type, "name": name, "mic": mic, "operating_mic": mic, "locale": "us"}
        yield row | ({"participant_id": letter} if letter else {})
