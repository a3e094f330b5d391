"""What the REST API can be asked, and how it is cut into questions that cost few calls. Nothing is asked here."""

import re
from collections.abc import Sequence
from datetime import date

from workbench.errors import UsageError
from workbench.sources import Question
from workbench.tables import TABLES
from workbench.tables.answers import ASSETS

# Base aggregates that one call may use, and records of one page.
LIMIT = 50_000
# Days that a question of minutes spans: 31 days of 1,440 minutes fit into a call.
MONTH_DAYS = 31
# Tickers that share a question: what they bring is committed together.
TOGETHER = 50

# Day bars of a whole market: its locale, then its name.
MARKETS = {"stock_day": "us/market/stocks", "crypto_day": "global/market/crypto", "forex_day": "global/market/fx"}
GROUPED = frozenset(MARKETS)
SERVED = GROUPED | {
    "option_day",
    "index_day",
    *(f"{asset}_minute" for asset in ("stock", "option", "index", "forex", "crypto")),
    *("stock_trades", "stock_quotes", "option_trades", "option_quotes", "crypto_trades", "forex_quotes"),
}
# Quote currencies of four letters; all others have three.
LONG_QUOTES = ("USDT", "USDC")
# They would change the path of the call, or the list that names the answer.
MISLEADING = re.compile(r"[/?#%\\,&]")


def refuses(table: str, *, whole: bool) -> str:
    """Why the API cannot serve a table (for the whole market, or ticker by ticker); empty if it can."""
    if table not in SERVED:
        return f"polygon_api has no rows of {table}; it has {', '.join(sorted(SERVED))}"
    if whole and table not in GROUPED:
        return f"polygon_api has {table} symbol by symbol only; name them with --symbols or --universe"
    return ""


def malformed(ticker: str) -> str:
    """Why a text is no symbol; empty if it may be one."""
    if ticker != ticker.strip() or any(c.isspace() for c in ticker) or not ticker.isprintable():
        return f"{ticker!r} is no symbol: it holds a space or a control character; it was not asked for; write it like AAPL or BRK.B"
    if misleading := MISLEADING.search(ticker):
        hint = "give several symbols one by one" if misleading[0] == "," else "write it like AAPL or BRK.B"
        return f"{ticker!r} is no symbol: it holds {misleading[0]!r}; it was not asked for; {hint}"
    if not any(c.isalnum() for c in ticker):
        return f"{ticker!r} is no symbol: it has no letter; it was not asked for; write it like AAPL or BRK.B"
    return ""


def trouble_with(ticker: str, table: str) -> str:
    """Why a symbol cannot be asked for; empty if it can."""
    return malformed(ticker) or ("" if belongs(ticker, table) else f"{ticker} is none of {table}'s symbols; it was not asked for")


def belongs(ticker: str, table: str) -> bool:
    """Whether a symbol is of the table's asset class, by its prefix."""
    return ASSETS.get(ticker[:2], "stock") == table.partition("_")[0]


def questions(table: str, sessions: Sequence[date], tickers: Sequence[str]) -> Sequence[Question]:
    """What to ask for these sessions and tickers, oldest first. Tickers of another asset class are left out.

    Raises `UsageError` for a table that the API does not have, or a ticker that is no symbol.
    """
    if why := refuses(table, whole=not tickers):
        raise UsageError(f"{why}; nothing was asked.")
    named = list(dict.fromkeys(ticker for ticker in tickers if belongs(ticker, table)))
    if trouble := next(filter(None, map(malformed, tickers)), ""):
        raise UsageError(trouble)
    days = sorted(set(sessions))
    if tickers and not named:
        return []
    if not named or cheaper_whole(table, len(days), len(named)):
        return [Question(table, (day,), tuple(named)) for day in days]
    groups = [tuple(named[n : n + TOGETHER]) for n in range(0, len(named), TOGETHER)]
    return [Question(table, span, group) for span in spans(table, days) for group in groups]


def spans(table: str, days: Sequence[date]) -> list[tuple[date, ...]]:
    """Sessions that share a call."""
    if TABLES[table].kind == "ticks":
        return [(day,) for day in days]
    most = MONTH_DAYS if table.endswith("_minute") else LIMIT
    found: list[list[date]] = []
    for day in days:
        if found and (day - found[-1][0]).days < most:
            found[-1].append(day)
        else:
            found.append([day])
    return [tuple(one) for one in found]


def cheaper_whole(table: str, sessions: int, tickers: int) -> bool:
    """Whether the whole market's sessions cost fewer calls than the tickers do: then rows of other tickers are passed over."""
    return table in GROUPED and 0 < sessions < tickers


def flat_name(ticker: str) -> str:
    """A symbol as flat files write it: the API's bars say X:BTCUSD for X:BTC-USD."""
    kind, pair = ticker[:2], ticker[2:]
    if kind not in ("X:", "C:") or "-" in pair or len(pair) < 6:
        return ticker
    size = next((len(quote) for quote in LONG_QUOTES if pair.endswith(quote) and kind == "X:" and len(pair) > len(quote) + 1), 3)
    return f"{kind}{pair[:-size]}-{pair[-size:]}"


def bar_name(ticker: str) -> str:
    """A symbol as the API's bars write it."""
    return ticker.replace("-", "") if ticker[:2] in ("X:", "C:") else ticker
