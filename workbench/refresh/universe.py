"""Symbols for sources that serve symbol by symbol: a list, a file, or the most traded ones of the lake."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.bench import Workbench

# Sessions over which turnover is summed for top:N.
TURNOVER_SESSIONS = 20
# The endings of lists; a symbol's own parts are other ones (BRK.B, ACR.PRC).
LISTS = (".csv", ".list", ".lst", ".tsv", ".txt")
# What the vendor's symbols are made of; "O:", "X:" and the like begin those of other assets than stocks.
SYMBOL = re.compile(r"(?:[OXCI]:)?[A-Za-z0-9][A-Za-z0-9./_-]*")

TOP = """
WITH newest AS (SELECT DISTINCT date FROM stock_day ORDER BY date DESC LIMIT $sessions)
SELECT ticker FROM stock_day
WHERE date IN (SELECT date FROM newest) AND NOT is_test
GROUP BY ticker ORDER BY sum(close * volume) DESC, ticker LIMIT $count"""


def checked(symbols: Iterable[str]) -> tuple[str, ...]:
    """Symbols without repetition, as they were given but for space around them. Raises `UsageError` for what cannot be one."""
    found = list(dict.fromkeys(symbol.strip() for symbol in symbols if symbol.strip()))
    for symbol in found:
        if not SYMBOL.fullmatch(symbol):
            joined = re.sub(r"\s+", ".", symbol)
            meant = (
                f"; did you mean {joined}, or {', '.join(symbol.split())}?" if re.search(r"\s", symbol) else "; write it as the vendor does"
            )
            raise UsageError(f"{symbol!r} is not a symbol; nothing was asked{meant}")
    return tuple(found)


def resolve(bench: "Workbench", text: str) -> tuple[str, ...]:
    """The symbols of a universe: "top:500" by turnover in the lake's newest sessions, a file with one a line, or a list.

    Raises `UsageError` for a file without symbols, a count that is none, or a lake without day bars.
    """
    text = text.strip()
    if text.lower().startswith("top:"):
        return top(bench, text)
    path = Path(text).expanduser()
    if len(text) < 1024 and (path.suffix or "/" in text or "\\" in text) and path.is_file():
        lines = (line.partition("#")[0] for line in path.read_text(encoding="utf-8-sig").splitlines())
        found = checked(word for line in lines for word in re.split(r"[,;\t]", line))
        if not found:
            raise UsageError(f"{path} holds no symbols; nothing was asked. Write one a line.")
        return found
    if ("/" in text or path.suffix.lower() in LISTS) and " " not in text:
        raise UsageError(f"the universe {text!r} is not a file that is there, and not a list of symbols; nothing was asked.")
    return checked(re.split(r"[\s,;]+", text))


def top(bench: "Workbench", text: str) -> tuple[str, ...]:
    """The most traded stocks of the lake's newest sessions."""
    count = text[4:].strip()
    if not count.isdigit() or not int(count):
        raise UsageError(f"the universe {text!r} has no count; nothing was asked. Write it as top:500.")
    rows = bench.sql(TOP, sessions=TURNOVER_SESSIONS, count=int(count)).fetchall() if bench.lake.exists else []
    if not rows:
        raise UsageError(
            f"the universe {text!r} needs day bars to tell the most traded stocks by, and {bench.lake.where} holds none; nothing was asked. "
            "Refresh stock_day first, or list the symbols."
        )
    return tuple(ticker for (ticker,) in rows)
