"""What Yahoo tells of companies: ratios and profile as of today, statements by the end of their period.

A value that Yahoo does not tell stays absent. What it tells and no column holds goes into `items`, but for prices, which change with every ask.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from workbench.errors import BrokenAnswer, NotEntitled, RateLimited, UsageError
from workbench.sources import Verdict
from workbench.sources.reference import Gathered, Refused, Row
from workbench.sources.yahoo_web import Web
from workbench.tables.spec import NEW_YORK

DATASET = "fundamentals"
TICKERS_A_TIME = 25
# Column: Yahoo's items, the first that is told.
PROFILE = {
    "currency": ("currency",),
    "market_cap": ("marketCap",),
    "pe_ratio": ("trailingPE",),
    "eps": ("trailingEps", "epsTrailingTwelveMonths"),
    "beta": ("beta",),
    "shares_outstanding": ("sharesOutstanding",),
    "sector": ("sector",),
    "industry": ("industry",),
    "company_name": ("longName", "shortName"),
}
STATEMENTS = {
    "eps": ("DilutedEPS", "BasicEPS"),
    "shares_outstanding": ("OrdinarySharesNumber", "BasicAverageShares", "DilutedAverageShares"),
    "revenue": ("TotalRevenue",),
    "gross_profit": ("GrossProfit",),
    "operating_income": ("OperatingIncome",),
    "net_income": ("NetIncome",),
    "total_assets": ("TotalAssets",),
    "total_liabilities": ("TotalLiabilitiesNetMinorityInterest",),
    "equity": ("StockholdersEquity",),
    "cash": ("CashAndCashEquivalents",),
    "long_term_debt": ("LongTermDebt",),
    "operating_cash_flow": ("OperatingCashFlow",),
    "capital_expenditure": ("CapitalExpenditure",),
}
TEXTS = ("currency", "sector", "industry", "company_name")
PERIODS = {"yearly": "annual", "quarterly": "quarterly"}
# Items that are prices or describe the ask, not the company.
PASSING = (
    "regularMarket",
    "preMarket",
    "postMarket",
    "fiftyTwoWeek",
    "fiftyDay",
    "twoHundredDay",
    "averageVolume",
    "averageDaily",
    "bid",
    "ask",
)
PASSING_ITEMS = {
    *("open", "dayHigh", "dayLow", "previousClose", "currentPrice", "volume", "52WeekChange", "SandP52WeekChange", "maxAge", "symbol", "underlyingSymbol"),
    *("marketState", "sourceInterval", "exchangeDataDelayedBy", "messageBoardId", "uuid", "gmtOffSetMilliseconds", "hasPrePostMarketData"),
    *("longBusinessSummary", "allTimeHigh", "allTimeLow", "language", "region", "triggerable", "customPriceAlertConfidence", "cryptoTradeable"),
}  # fmt: skip


@dataclass(eq=False)
class YahooFundamentals:
    """Yahoo as a source of reference data: `fundamentals`, ticker by ticker. Its settings are those of `Yahoo`."""

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

    def refuses(self, dataset: str) -> str:
        """Why it cannot serve a dataset; empty if it can."""
        return "" if dataset == DATASET else f"Yahoo has {DATASET} only, and no {dataset}"

    def gather(self, dataset: str, *, since: date | None = None, symbols: Sequence[str] = ()) -> Iterator[Gathered]:  # noqa: ARG002
        """Companies by their tickers, some at a time; `since` changes nothing, for Yahoo tells four years and five quarters at any time.

        A ticker whose answer cannot be understood is told in `refused`, one that Yahoo does not know or that could not be asked for in `notes`.
        Raises `UsageError` without symbols, and `SourceError` when Yahoo refuses more calls or is not there: what was given before stays valid.
        """
        if refusal := self.refuses(dataset):
            raise NotEntitled(f"{refusal}; nothing was asked")
        every = list(dict.fromkeys(symbols))
        if not every:
            raise UsageError("Yahoo serves fundamentals ticker by ticker; nothing was asked; name symbols, or a universe")
        for start in range(0, len(every), TICKERS_A_TIME):
            batch, before = every[start : start + TICKERS_A_TIME], self.web.transferred
            told = self.web.each(batch, self._company, self.threads)
            rows = [row for ticker in batch for row in told.heard.get(ticker, ())]
            broken = {ticker for ticker, error in told.failed.items() if isinstance(error, BrokenAnswer)}
            refused = tuple(Refused({"ticker": ticker}, reason) for ticker, reason in told.reasons.items() if ticker in broken)
            notes = (
                *(f"{ticker}: Yahoo does not know it" for ticker in batch if not told.heard.get(ticker, "?")),
                *(reason for ticker, reason in told.reasons.items() if ticker not in broken),
            )
            key = f"yahoo:v10/finance/quoteSummary/{batch[0]}{f'+{len(batch) - 1}' if batch[1:] else ''}"
            yield Gathered(dataset, key, rows, self.web.transferred - before, notes=notes, refused=refused)
            if told.halted:
                raise told.halted

    def _company(self, ticker: str, symbol: str) -> list[Row]:
        """A company's rows; none if Yahoo does not know it. Raises `SourceError`."""
        info = self.web.ask(ticker, lambda data, _: self._info(data, symbol))
        if not info:
            return []
        found = [snapshot(ticker, info, self.clock().astimezone(ZoneInfo(NEW_YORK)).date())]
        currency = text(info.get("financialCurrency"))
        for frequency, period in PERIODS.items():
            statements: dict[date, dict[str, float]] = {}
            for name in ("income", "balance_sheet", "cash_flow"):
                for end, items in self.web.ask(ticker, lambda data, _, n=name, f=frequency: self._statement(data, symbol, n, f)).items():  # type: ignore[misc]
                    statements.setdefault(end, {}).update(items)
            found += [statement(ticker, period, end, items, currency) for end, items in sorted(statements.items())]
        return found

    def _info(self, data: Any, symbol: str) -> Mapping[str, Any]:
        """What Yahoo says of a company as it is today; nothing if it does not know the symbol."""
        from yfinance.scrapers.quote import Quote

        try:
            info: dict[str, Any] = Quote(data, symbol).info
        except Exception:
            # yfinance (1.7) stumbles over an unknown symbol in as many ways as its replies have; the reply itself tells.
            if self.web.last.status == 404 and not self.web.last.page:
                return {}
            raise
        return info

    def _statement(self, data: Any, symbol: str, name: str, frequency: str) -> Mapping[date, Mapping[str, float]]:
        """The items of a statement by the end of their period; none for what publishes no statements, as funds."""
        from yfinance.scrapers.fundamentals import Fundamentals

        try:
            frame = getattr(Fundamentals(data, symbol).financials, f"get_{name}_time_series")(freq=frequency)
        except Exception:
            # As above: of what has no statements the reply holds no items, whatever yfinance makes of that.
            if self._without_items():
                return {}
            raise
        return {
            stamp.date(): items
            for stamp in frame.columns
            if (items := {str(item): float(value) for item, value in frame[stamp].items() if number(value) is not None})
        }

    def _without_items(self) -> bool:
        """Whether the last reply is a whole one that holds no item, which yfinance cannot read."""
        try:
            result = json.loads(self.web.last.text)["timeseries"]["result"]
            return self.web.last.status == 200 and not any(set(one) - {"meta", "timestamp"} for one in result or ())
        except (ValueError, KeyError, TypeError):
            return False

    def stop(self) -> None:
        """Have calls that wait give up soon, from any thread."""
        self.web.stopped.set()

    def check(self) -> Verdict:
        """Ask for one company's profile; never raises."""
        told = self.web.each(["MSFT"], lambda ticker, symbol: self.web.ask(ticker, lambda data, _: self._info(data, symbol)), 1)
        if error := told.failed.get("MSFT"):
            return Verdict(self.name, "rate limited" if isinstance(error, RateLimited) else "unreachable", str(error))
        return Verdict(self.name, "works", f"{self.web.where}: profile of MSFT {'read' if told.heard['MSFT'] else 'not known there'}")

    def close(self) -> None:
        """Give back connections; the next call connects anew."""
        self.web.close()


def snapshot(ticker: str, info: Mapping[str, Any], today: date) -> Row:
    """Ratios and profile as of a day."""
    row: Row = {"ticker": ticker, "as_of": today, "period": "snapshot"}
    for column, names in PROFILE.items():
        read = text if column in TEXTS else number
        row[column] = next((value for name in names if (value := read(info.get(name))) is not None), None)
    row["dividend_yield"] = dividend_yield(info)
    taken = {name for names in PROFILE.values() for name in names}
    rest = {
        name: value
        for name, value in info.items()
        if name not in taken | PASSING_ITEMS and not name.startswith(PASSING) and (text(value) is not None or number(value) is not None)
    }
    row["items"] = json.dumps(rest, sort_keys=True) if rest else None
    return told(row)


def statement(ticker: str, period: str, end: date, items: Mapping[str, float], currency: str | None) -> Row:
    """The figures of one period."""
    row: Row = {"ticker": ticker, "as_of": end, "period": period, "currency": currency}
    row["fiscal_period"] = "FY" if period == "annual" else None
    used = set()
    for column, names in STATEMENTS.items():
        name = next((name for name in names if name in items), "")
        row[column] = items.get(name)
        used.add(name)
    rest = {name: value for name, value in items.items() if name not in used}
    row["items"] = json.dumps(rest, sort_keys=True) if rest else None
    return told(row)


def dividend_yield(info: Mapping[str, Any]) -> float | None:
    """A year's dividends over the price, as a fraction: Yahoo's own `dividendYield` is one here and a percentage there."""
    rate = number(info.get("dividendRate"))
    price = next((value for name in ("currentPrice", "regularMarketPrice", "previousClose") if (value := number(info.get(name)))), None)
    if rate is not None and price:
        return round(rate / price, 6)
    return number(info.get("trailingAnnualDividendYield"))


def told(row: Row) -> Row:
    """A row without what is not known."""
    return {column: value for column, value in row.items() if value is not None}


def number(value: Any) -> float | int | None:
    """A number, or None for what is none: Yahoo writes "Infinity" for a ratio without earnings."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def text(value: Any) -> str | None:
    """A text that says something."""
    return value.strip() if isinstance(value, str) and value.strip() else None
