"""Keys and ranks of answers: what a source that serves rows said of one session, named as an object of the vendor's bucket is by its key.

A key is `api:<path>?<query>` of the REST API, or `yahoo:<path>?<query>`; it is the request for that session, with all its tickers in the
place of one. It tells table and session, as a flat file's key does. `kept:<source>:<flat file's key>` are rows of earlier answers that a
better source lacks.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import date

from workbench.errors import UsageError

API, YAHOO = "api", "yahoo"
# What rows of an answer carry in `source`, by the first part of its key.
SOURCES = {API: "polygon_api", YAHOO: "yahoo"}
# At most one row a key is live: the flat file's, else the API's, else Yahoo's.
RANK = {"polygon_s3": 3, "folder": 3, "sample": 3, "polygon_api": 2, "yahoo": 1}
KEPT = "kept:"
# More tickers than fit are told by the first, their count and a hash of all.
LONGEST = 64

ASSETS = {"X:": "crypto", "C:": "forex", "I:": "index", "O:": "option"}
MARKETS = {"stock": "us/market/stocks", "crypto": "global/market/crypto", "forex": "global/market/fx"}

_DAY = r"(?P<day>\d{4}-\d\d-\d\d)"
_FORMS = (
    (re.compile(rf"api:v2/aggs/grouped/locale/(?P<market>[a-z/]+)/{_DAY}\?.*"), "day"),
    (re.compile(rf"api:v2/aggs/ticker/(?P<tickers>[^/]+)/range/1/(?P<what>minute|day)/{_DAY}/(?P=day)\?.*"), ""),
    (re.compile(rf"api:v3/(?P<what>trades|quotes)/(?P<tickers>[^/]+)\?timestamp={_DAY}"), ""),
    (re.compile(rf"yahoo:v8/finance/chart/(?P<tickers>[^/]+)\?interval=1d&date={_DAY}"), "day"),
    (re.compile(rf"yahoo:v8/finance/chart/(?P<tickers>[^/]+)\?interval=1m&date={_DAY}"), "minute"),
)


def key_of(origin: str, table: str, day: date, tickers: Sequence[str] = ()) -> str:
    """The key of what an origin ("api" or "yahoo") says of a table's session; without tickers, of the whole market. Raises `UsageError`."""
    asset, _, what = table.partition("_")
    some = named(tickers)
    if origin == YAHOO and asset == "stock" and what in ("day", "minute") and tickers:
        return f"yahoo:v8/finance/chart/{some}?interval={'1d' if what == 'day' else '1m'}&date={day}"
    if origin == API and not tickers and what == "day" and asset in MARKETS:
        return f"api:v2/aggs/grouped/locale/{MARKETS[asset]}/{day}?adjusted=false"
    if origin == API and tickers and what in ("day", "minute"):
        return f"api:v2/aggs/ticker/{some}/range/1/{what}/{day}/{day}?adjusted=false"
    if origin == API and tickers and what in ("trades", "quotes"):
        return f"api:v3/{what}/{some}?timestamp={day}"
    how = "for tickers" if tickers else "for the whole market"
    raise UsageError(f"{SOURCES[origin]} has no rows of {table} {how}; nothing was asked.")


def named(tickers: Sequence[str]) -> str:
    """Tickers as a key names them; the same set gives the same name."""
    every = sorted(set(tickers))
    text = ",".join(every)
    if len(text) <= LONGEST:
        return text
    return f"{every[0]}+{len(every) - 1}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def place_of(key: str) -> tuple[str, date] | None:
    """The table's name and the session that an answer's key tells, or None for any other key."""
    for form, what in _FORMS:
        if match := form.fullmatch(key):
            told = match.groupdict()
            if "market" in told:
                asset = next((asset for asset, market in MARKETS.items() if market == told["market"]), None)
            else:
                asset = ASSETS.get(told["tickers"][:2], "stock")
            try:
                return (f"{asset}_{what or told['what']}", date.fromisoformat(told["day"])) if asset else None
            except ValueError:
                return None
    return None
