"""Yahoo's replies, by path alone: the hosts that they belong to do not matter."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from farend.bars import merged
from farend.paging import Call
from farend.shapes import Bar, Reply, Row
from farend.times import MINUTE_NS, NEW_YORK, SECOND_NS, at_ns, day_of, end_ns

CRUMB = "far.End/Crumb"
COOKIE = "A3=d=AQABBFarEnd&S=AQAAAfarEnd; Expires=Sat, 20 Nov 2027 00:00:00 GMT; Max-Age=31557600; Domain=.yahoo.com; Path=/; SameSite=None; Secure; HttpOnly"
RANGES = {"1d": 1, "5d": 5, "1mo": 31, "3mo": 92, "6mo": 183, "1y": 366, "2y": 731, "5y": 1827, "10y": 3653, "ytd": 366, "max": 40_000}
# How far back bars of a width go, in days.
REACH = {"1m": 30, "2m": 60, "5m": 60, "15m": 60, "30m": 60, "90m": 60, "1h": 730, "60m": 730}
WIDTHS = {"1m": 1, "2m": 2, "5m": 5, "15m": 15, "30m": 30, "60m": 60, "1h": 60, "90m": 90}


def cookie(call: Call) -> Reply:
    """fc.yahoo.com: a cookie with a 404."""
    return Reply("<!DOCTYPE html><html><body>Not Found</body></html>", 404, {"Set-Cookie": COOKIE}, "text/html")


def crumb(call: Call) -> Reply:
    return Reply(CRUMB, kind="text/plain")


def consent(call: Call) -> Reply:
    return Reply('<form><input name="csrfToken" value="t"/><input name="sessionId" value="s"/></form>', kind="text/html")


def unknown(symbol: str) -> Reply:
    error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
    return Reply({"chart": {"result": None, "error": error}}, 404)


def bad_request(text: str) -> Reply:
    return Reply({"chart": {"result": None, "error": {"code": "Bad Request", "description": text}}}, 422)


def polygon_ticker(call: Call, symbol: str) -> str | None:
    """The vendor's ticker of a Yahoo symbol: `BRK-B`, `BAC-PB`, `SPAC-UN`, `SPAC-WT`; None if nobody has it, or Yahoo dropped it."""
    if symbol in call.far_end.yahoo_missing:
        return None
    if symbol in call.far_end.yahoo_symbols:
        return call.far_end.yahoo_symbols[symbol]
    root, dash, suffix = symbol.partition("-")
    if not dash:
        return symbol
    if suffix == "UN":
        return f"{root}.U"
    if suffix == "WT":
        return f"{root}.WS"
    return f"{root}p{suffix[1:]}" if suffix.startswith("P") and len(suffix) < 3 else f"{root}.{suffix}"


def chart(call: Call, symbol: str) -> Reply:
    """Bars as Yahoo gives them: prices for all later splits, `adjclose` for dividends too, times of the session's opening."""
    far_end, ticker = call.far_end, polygon_ticker(call, symbol)
    width = call.asked("interval", "1d")
    now = int(far_end.now().timestamp())
    if call.asked("period1"):
        start, end = int(float(call.asked("period1"))), int(float(call.asked("period2", str(now))))
    else:
        start, end = now - RANGES.get(call.asked("range", "1d"), 31) * 86_400, now
    if width in REACH and not far_end.yahoo_intraday_forever:
        missing = f"{width} data not available for startTime={start} and endTime={end}. "
        if width == "1m" and end - start > 8 * 86_400:
            return bad_request(f"{missing}Only 8 days worth of 1m granularity data are allowed to be fetched per request.")
        if start < now - REACH[width] * 86_400:
            return bad_request(f"{missing}The requested range must be within the last {REACH[width]} days.")
    every = list(traded(call, ticker)) if ticker else []
    if not every or not ticker:
        return unknown(symbol)
    span = (start * SECOND_NS, end * SECOND_NS - 1)
    adjust = adjuster(call, ticker, every)
    rows = intraday(call, ticker, width, span) if width in WIDTHS else daily(every, width, span)
    if far_end.yahoo_live and rows:
        # The latest price comes last, whatever the span.
        rows.append((now, every[-1][0], replace(every[-1][1], volume=0)))
    bars = [(at, day, bar, far_end.factor(ticker, day)) for at, day, bar in rows]
    holes = [(symbol, day) in far_end.yahoo_holes for _, day, *_ in bars]
    quote: dict[str, list[float | int | None]] = {
        name: [None if hole else single(getattr(bar, name) * factor) for hole, (_, _, bar, factor) in zip(holes, bars, strict=True)]
        for name in ("open", "high", "low", "close")
    }
    quote["volume"] = [None if hole else round(bar.volume / factor) for hole, (_, _, bar, factor) in zip(holes, bars, strict=True)]
    result: Row = {"meta": meta(call, symbol, width, every), "indicators": {"quote": [quote] if bars else [{}]}}
    if width in WIDTHS:
        result["meta"]["tradingPeriods"] = trading_periods(call, sorted({day for _, day, *_ in bars}))
    else:
        closes = [None if close is None else single(close * adjust(day)) for close, (_, day, *_) in zip(quote["close"], bars, strict=True)]
        result["indicators"]["adjclose"] = [{"adjclose": closes}] if bars else [{}]
    if bars:
        result["timestamp"] = [at for at, *_ in bars]
    if found := events(call, ticker, *span):
        result["events"] = found
    return Reply({"chart": {"result": [result], "error": None}})


def traded(call: Call, ticker: str) -> Iterator[tuple[date, Bar]]:
    """All sessions of a company up to today, under this name and the one before: Yahoo keeps them together."""
    market, former = call.far_end.market, call.far_end.yahoo_former.get(ticker, "")
    for day in market.sessions():
        bars = market.day(day) if day <= call.far_end.today else {}
        if bar := bars.get(ticker) or bars.get(former):
            yield day, bar


STARTS: dict[str, Callable[[date], date]] = {
    "1wk": lambda day: day - timedelta(days=day.weekday()),
    "1mo": lambda day: day.replace(day=1),
    "3mo": lambda day: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
}


def daily(every: list[tuple[date, Bar]], width: str, span: tuple[int, int]) -> list[tuple[int, date, Bar]]:
    """Sessions whose opening lies in the span, stamped with it; wider bars with the midnight that they begin at."""
    opened = [(day, bar) for day, bar in every if span[0] <= at_ns(day, 9, 30) <= span[1]]
    if width not in STARTS:
        return [(at_ns(day, 9, 30) // SECOND_NS, day, bar) for day, bar in opened]
    whole = [(start, list(bars)) for start, bars in groupby(opened, lambda row: STARTS[width](row[0]))]
    return [(at_ns(start) // SECOND_NS, bars[0][0], merged([bar for _, bar in bars], 0)) for start, bars in whole]


def intraday(call: Call, ticker: str, width: str, span: tuple[int, int]) -> list[tuple[int, date, Bar]]:
    """Bars of the regular session, or of the whole day with `includePrePost`."""
    long_day = call.asked("includePrePost").lower() == "true"
    step, found = WIDTHS[width] * MINUTE_NS, []
    for day in call.far_end.market.sessions("minutes"):
        if end_ns(day) <= span[0] or at_ns(day) > span[1]:
            continue
        opens, closes = (at_ns(day), end_ns(day)) if long_day else (at_ns(day, 9, 30), at_ns(day, 16))
        first, last = max(opens, span[0]), min(closes - 1, span[1])
        minutes = [bar for bar in call.far_end.market.minutes_of(ticker, day) if first <= bar.start_ns <= last]
        if width == "1m":
            found += [(bar.start_ns // SECOND_NS, day, bar) for bar in minutes]
            continue
        parts = groupby(minutes, lambda bar: (bar.start_ns - at_ns(day, 9, 30)) // step * step + at_ns(day, 9, 30))  # noqa: B023
        found += [(at // SECOND_NS, day, merged(list(bars), at)) for at, bars in parts]
    return found


def adjuster(call: Call, ticker: str, every: list[tuple[date, Bar]]) -> Callable[[date], float]:
    """What dividends after a day take off its close: 1 - D / the close before, on the same basis, for each."""
    cuts = []
    for paid in call.far_end.rows["dividends"]:
        if paid["ticker"] != ticker:
            continue
        ex = date.fromisoformat(paid["ex_dividend_date"])
        before = [bar.close for day, bar in every if day < ex]
        if before:
            cuts.append((ex, 1 - paid["cash_amount"] / before[-1]))

    def share(day: date) -> float:
        product = 1.0
        for ex, cut in cuts:
            product *= cut if day < ex else 1.0
        return product

    return share


def events(call: Call, ticker: str, start: int, end: int) -> Row:
    """Dividends, on today's shares, and splits, in the span, keyed by their session's opening."""
    wanted, found = call.asked("events"), {}
    dividends: dict[str, Any] = {}
    for paid in call.far_end.rows["dividends"]:
        at = at_ns(date.fromisoformat(paid["ex_dividend_date"]), 9, 30)
        if paid["ticker"] == ticker and start <= at <= end:
            amount = paid["cash_amount"] * call.far_end.factor(ticker, day_of(at))
            dividends[str(at // SECOND_NS)] = {"amount": round(amount, 6), "date": at // SECOND_NS}
    splits: dict[str, Any] = {}
    for split in call.far_end.true_splits(ticker):
        at = at_ns(date.fromisoformat(split["execution_date"]), 9, 30)
        if start <= at <= end:
            new, old = float(split["split_to"]), float(split["split_from"])
            ratio = f"{new:g}:{old:g}"
            splits[str(at // SECOND_NS)] = {"date": at // SECOND_NS, "numerator": new, "denominator": old, "splitRatio": ratio}
    if dividends and "div" in wanted:
        found["dividends"] = dividends
    if splits and "split" in wanted:
        found["splits"] = splits
    return found


def part(day: date, start: tuple[int, int], end: tuple[int, int]) -> Row:
    """A part of a session, as Yahoo tells it."""
    noon = datetime.combine(day, time(12), NEW_YORK)
    offset = int((noon.utcoffset() or timedelta()).total_seconds())
    at = {"start": at_ns(day, *start) // SECOND_NS, "end": at_ns(day, *end) // SECOND_NS}
    return {"timezone": noon.tzname(), **at, "gmtoffset": offset}


PARTS = {"pre": ((4, 0), (9, 30)), "regular": ((9, 30), (16, 0)), "post": ((16, 0), (20, 0))}


def trading_periods(call: Call, days: list[date]) -> Any:
    """The sessions of an intraday chart: the regular ones alone, or with what is before and after them."""
    if call.asked("includePrePost").lower() == "true":
        return {name: [[part(day, *bounds)] for day in days] for name, bounds in PARTS.items()}
    return [[part(day, *PARTS["regular"])] for day in days]


def meta(call: Call, symbol: str, width: str, every: list[tuple[date, Bar]]) -> Row:
    first, (last, bar) = every[0][0], every[-1]
    now = part(last, *PARTS["regular"])
    return {
        "currency": "USD",
        "symbol": symbol,
        "exchangeName": "NYQ",
        "fullExchangeName": "NYSE",
        "instrumentType": "EQUITY",
        "firstTradeDate": at_ns(first, 9, 30) // SECOND_NS,
        "regularMarketTime": at_ns(last, 16) // SECOND_NS,
        "hasPrePostMarketData": True,
        "gmtoffset": now["gmtoffset"],
        "timezone": now["timezone"],
        "exchangeTimezoneName": "America/New_York",
        "regularMarketPrice": bar.close,
        "fiftyTwoWeekHigh": bar.high,
        "fiftyTwoWeekLow": bar.low,
        "chartPreviousClose": bar.open,
        "priceHint": 2,
        "currentTradingPeriod": {name: part(last, *bounds) for name, bounds in PARTS.items()},
        "dataGranularity": width,
        "range": call.asked("range"),
        "validRanges": list(RANGES),
    }


def summary(call: Call, symbol: str) -> Reply:
    """quoteSummary: the modules asked for, of what the far end knows."""
    if call.asked("crumb") != CRUMB:
        return no_crumb()
    known = call.far_end.yahoo_info.get(symbol)
    if known is None:
        text = f"Quote not found for symbol: {symbol}"
        return Reply({"quoteSummary": {"result": None, "error": {"code": "Not Found", "description": text}}}, 404)
    modules = {name: {"maxAge": 1, **known.get(name, {})} for name in call.asked("modules").split(",") if name}
    return Reply({"quoteSummary": {"result": [modules], "error": None}})


def no_crumb() -> Reply:
    return Reply({"finance": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}, 401)


def quote(call: Call) -> Reply:
    if call.asked("crumb") != CRUMB:
        return no_crumb()
    symbols = [symbol for symbol in call.asked("symbols").split(",") if symbol in call.far_end.yahoo_info]
    found = [{"symbol": symbol, **call.far_end.yahoo_info[symbol].get("quote", {})} for symbol in symbols]
    return Reply({"quoteResponse": {"result": found, "error": None}})


def statements(call: Call, symbol: str) -> Reply:
    """fundamentals-timeseries: each type asked for, with its period ends; one that is unknown has only its `meta`.

    Without types it is the count of shares.
    """
    known = call.far_end.yahoo_statements.get(symbol, {})
    types = [name for text in call.every.get("type", ()) for name in text.split(",") if name]
    start, end = int(float(call.asked("period1", "0"))), int(float(call.asked("period2", str(2**40))))
    if not types:
        shares = [(at, count) for at, count in call.far_end.yahoo_shares.get(symbol, ()) if start <= seconds(at) <= end]
        found: Row = {"meta": {"symbol": [symbol], "type": ["shares_out"]}}
        if shares:
            found |= {"timestamp": [seconds(at) for at, _ in shares], "shares_out": [count for _, count in shares]}
        return Reply({"timeseries": {"result": [found], "error": None}})
    results = []
    for name in types:
        row: Row = {"meta": {"symbol": [symbol], "type": [name]}}
        kind = "3M" if name.startswith("quarterly") else "TTM" if name.startswith("trailing") else "12M"
        if points := {at: value for at, value in known.get(name, {}).items() if start <= seconds(at) <= end}:
            row["timestamp"] = [seconds(at) for at in points]
            row[name] = [
                {"asOfDate": at, "periodType": kind, "currencyCode": "USD", "reportedValue": {"raw": value, "fmt": f"{value:,.0f}"}}
                for at, value in points.items()
            ]
        results.append(row)
    return Reply({"timeseries": {"result": results, "error": None}})


def news(call: Call) -> Reply:
    return Reply({"data": {"tickerStream": {"stream": []}}})


def single(price: float) -> float:
    """A price as Yahoo keeps it, in four bytes: 93.7 is 93.69999694824219."""
    return float(struct.unpack("f", struct.pack("f", price))[0])


def seconds(day: str) -> int:
    """A period's end, as Yahoo stamps it: midnight UTC."""
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp())
