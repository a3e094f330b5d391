"""Small flat files in the vendor's format, for tests to write and to spoil."""

import gzip
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from workbench.tables import Table, find

STOCK_DAY = find("stock_day")
STOCK_MINUTE = find("stock_minute")
STOCK_TRADES = find("stock_trades")
THU, FRI, MON = date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11)
BAR = "ticker,volume,open,close,high,low,window_start,transactions"
MINUTE_NS = 60_000_000_000
MORNING_NS = 4 * 60 * MINUTE_NS


def bar(ticker: str, day: date = THU, *, volume: object = 100, close: object = 10.5, at_ns: int | None = None, trades: object = 5) -> str:
    """A line of a day file; `at_ns` after midnight makes it one of a minute file."""
    stamp = STOCK_DAY.session_ns(day)[0] + (at_ns or 0)
    return f"{ticker},{volume},10,{close},11,9.5,{stamp},{trades}"


def minutes(ticker: str, day: date, count: int, *, first: int = 0) -> list[str]:
    """Lines of a minute file: `count` bars from 04:00 on."""
    return [bar(ticker, day, at_ns=MORNING_NS + (first + n) * MINUTE_NS, close=10 + n % 2 / 2) for n in range(count)]


def trade(ticker: str, day: date, nth: int, *, sequence: int | None = None, price: object = 10.5) -> str:
    """A line of a trades file, `nth` seconds after 04:00."""
    stamp = STOCK_TRADES.session_ns(day)[0] + MORNING_NS + nth * 1_000_000_000
    return f'{ticker},"12,37",0,4,7167522,{stamp - 1000},{price},{nth if sequence is None else sequence},{stamp},10,1,202,{stamp}'


TRADE = ",".join(STOCK_TRADES.headers[0])


def text(lines: Iterable[str], header: str = BAR) -> bytes:
    """Lines under a header, as the vendor writes them."""
    return "\n".join([header, *lines, ""]).encode()


def put(folder: Path, table: Table, day: date, content: bytes, *, feed: int = 0, raw: bool = False) -> Path:
    """Write a flat file where a source looks for it; `raw` content is not compressed."""
    path = folder / table.key_of(table.feeds[feed], day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if raw else gzip.compress(content, mtime=0))
    return path
