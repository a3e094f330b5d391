"""The vendor's aggregates: a whole market's day, a ticker's bars of any width, the bar before, and the open and close of a day."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import groupby
from random import Random

from farend.faults import TIMEFRAME, TODAY
from farend.paging import Call
from farend.shapes import Bar, Refused, Reply, Row
from farend.times import MINUTE_NS, NEW_YORK, at_ns, day_of, end_ns, ms, zone_of

BASE = {"second": "minute", "minute": "minute", "hour": "minute"} | dict.fromkeys(("day", "week", "month", "quarter", "year"), "day")
UNPARSED = "Could not parse the time parameter: '{}'. Use YYYY-MM-DD or Unix MS Timestamps"


MARKETS = {"us/market/stocks": "", "global/market/crypto": "X:", "global/market/fx": "C:"}


def grouped(call: Call, market: str, day: str) -> Reply:
    """All bars of a session, in no order; `t` is 16:00 in New York, and the day's last ms for currencies."""
    far_end, session = call.far_end, parsed_day(day, "date")
    entitled(call, session, session)
    prefix = MARKETS.get(market, "-")
    rows = []
    # A session that is still going on has no bar yet.
    bars = far_end.market.day(session) if session <= far_end.today else {}
    for ticker, bar in bars.items():
        if (ticker[:2] if ticker[1:2] == ":" else "") != prefix or (bar.otc and call.asked("include_otc") != "true"):
            continue
        stamp = ms(end_ns(session, UTC)) - 1 if prefix else ms(at_ns(session, 16))
        rows.append({"T": ticker, **shaped(rescaled(call, ticker, bar, session)), "t": stamp})
    Random(day).shuffle(rows)
    return Reply(counted({"queryCount": len(rows), "resultsCount": len(rows), "adjusted": adjusted(call)}, rows))


def ranged(call: Call, ticker: str, multiplier: str, span: str, first: str, last: str) -> Reply:
    """A ticker's bars of `multiplier` `span`s. `limit` counts the bars underneath: minutes below a day, days from there on."""
    far_end, times, zone = call.far_end, int(multiplier), zone_of(ticker)
    start, end = instant(first, "from", zone), instant(last, "to", zone, last=True)
    if span not in BASE or times < 1:
        raise Refused(400, f"Could not parse the aggregate window {multiplier} {span}")
    if start > end:
        raise Refused(400, "The parameter 'to' cannot be a time that occurs before 'from'")
    limit = call.limit(5000, 50_000)
    # Daily bars have no time of day: the days that are touched count.
    if BASE[span] == "day":
        start, end = at_ns(day_of(start, zone), zone=zone), end_ns(day_of(end, zone), zone) - 1
    start, end = entitled(call, day_of(start, zone), day_of(end, zone), start, end)
    backwards = call.asked("sort", "asc") == "desc"
    found = list(underneath(call, ticker, BASE[span], start, end)) if span != "second" else []
    if backwards:
        found.reverse()
    if call.place is not None:
        found = [bar for bar in found if (bar.start_ns < call.place if backwards else bar.start_ns >= call.place)]
    windows = [(at, list(bars)) for at, bars in groupby(found, lambda bar: window(bar.start_ns, times, span, start, zone))]
    page: list[tuple[int, list[Bar]]] = []
    used = 0
    while windows and (not page or used + len(windows[0][1]) <= limit):
        page.append(windows.pop(0))
        used += len(page[-1][1])
    rows = [shaped(merged(bars[::-1] if backwards else bars, at)) for at, bars in page]
    body: Row = {"ticker": ticker, "queryCount": used, "resultsCount": len(rows), "adjusted": adjusted(call)}
    body = counted(body, rows)
    if windows or (far_end.last_page_empty and rows):
        ahead = max(bar.start_ns for bar in page[-1][1]) + 1
        body["next_url"] = call.next_url(min(bar.start_ns for bar in page[-1][1]) if backwards else ahead)
    return Reply(body)


def previous(call: Call, ticker: str) -> Reply:
    """The last bar before today, stamped at 16:00."""
    sessions = [day for day in call.far_end.market.sessions() if day < call.far_end.today]
    for day in reversed(sessions):
        if bar := call.far_end.market.day(day).get(ticker):
            row = {"T": ticker, **shaped(rescaled(call, ticker, bar, day)), "t": ms(at_ns(day, 16))}
            return Reply(counted({"ticker": ticker, "queryCount": 1, "resultsCount": 1, "adjusted": adjusted(call)}, [row]))
    return Reply(counted({"ticker": ticker, "queryCount": 0, "resultsCount": 0, "adjusted": adjusted(call)}, []))


def open_close(call: Call, ticker: str, day: str) -> Reply:
    """A day's open and close, and the last prices before and after it."""
    session = parsed_day(day, "date")
    entitled(call, session, session)
    bar = call.far_end.market.day(session).get(ticker)
    if not bar:
        raise Refused(404, "Data not found.")
    bar = rescaled(call, ticker, bar, session)
    body: Row = {"status": "OK", "from": day, "symbol": ticker, "open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
    body["volume"] = bar.volume
    minutes = call.far_end.market.minutes_of(ticker, session)
    before = [one for one in minutes if one.start_ns < at_ns(session, 9, 30)]
    after = [one for one in minutes if one.start_ns >= at_ns(session, 16)]
    if before:
        body["preMarket"] = before[0].open
    if after:
        body["afterHours"] = after[-1].close
    return Reply(body)


def entitled(call: Call, first: date, last: date, start: int = 0, end: int = 0) -> tuple[int, int]:
    """What of a span the plan covers. A span that is wholly older is refused, one that is partly older is cut; today's likewise."""
    far_end = call.far_end
    wall = far_end.entitled_from
    if wall and last < wall:
        raise Refused(403, TIMEFRAME)
    if not far_end.plan.today and first >= far_end.today:
        raise Refused(403, TODAY)
    if wall:
        start = max(start, at_ns(wall))
    if not far_end.plan.today:
        end = min(end, at_ns(far_end.today) - 1)
    return start, end


def underneath(call: Call, ticker: str, base: str, start: int, end: int) -> Iterator[Bar]:
    market = call.far_end.market
    first, last = day_of(start, zone_of(ticker)), day_of(end, zone_of(ticker))
    if base == "day":
        for day, bar in market.days(ticker, first, last):
            yield rescaled(call, ticker, bar, day)
        return
    for day in market.sessions("minutes"):
        if first <= day <= last:
            yield from (rescaled(call, ticker, bar, day) for bar in market.minutes_of(ticker, day) if start <= bar.start_ns <= end)


def window(at: int, times: int, span: str, start: int, zone: tzinfo) -> int:
    """The start of the window that a bar lies in."""
    day = day_of(at, zone)
    midnight = at_ns(day, zone=zone)
    if BASE[span] == "minute":
        width = times * (60 if span == "hour" else 1) * MINUTE_NS
        return midnight + (at - midnight) // width * width
    if span == "day":
        begun = day_of(start, zone)
        return at_ns(begun + timedelta(days=(day - begun).days // times * times), zone=zone)
    if span == "week":
        return at_ns(day - timedelta(days=(day.weekday() + 1) % 7), zone=zone)
    months = {"month": 1, "quarter": 3, "year": 12}[span]
    return at_ns(date(day.year, (day.month - 1) // months * months + 1, 1), zone=zone)


def merged(bars: list[Bar], at: int) -> Bar:
    """One bar of several."""
    if len(bars) == 1:
        return replace(bars[0], start_ns=at)
    volume = sum(bar.volume for bar in bars)
    known = [bar for bar in bars if bar.vwap is not None]
    weight = sum(bar.volume for bar in known)
    return Bar(
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        round(volume, 6),
        sum(bar.trades or 0 for bar in bars) or None,
        round(sum((bar.vwap or 0) * bar.volume for bar in known) / weight, 4) if weight else None,
        bars[0].otc,
        at,
    )


def adjusted(call: Call) -> bool:
    return call.asked("adjusted", "true") != "false"


def rescaled(call: Call, ticker: str, bar: Bar, day: date) -> Bar:
    """A bar for the splits after it, unless the request declines."""
    factor = call.far_end.factor(ticker, day) if adjusted(call) else 1.0
    if factor == 1.0:
        return bar
    prices = {name: round(getattr(bar, name) * factor, 6) for name in ("open", "high", "low", "close")}
    vwap = round(bar.vwap * factor, 6) if bar.vwap is not None else None
    return replace(bar, volume=round(bar.volume / factor, 6), vwap=vwap, **prices)


def shaped(bar: Bar) -> Row:
    """A bar in the vendor's letters; what is not known is absent."""
    row: Row = {"v": bar.volume if not bar.volume.is_integer() else float(bar.volume)}
    if bar.vwap is not None:
        row["vw"] = bar.vwap
    row |= {"o": bar.open, "c": bar.close, "h": bar.high, "l": bar.low, "t": ms(bar.start_ns)}
    if bar.trades:
        row["n"] = bar.trades
    if bar.otc:
        row["otc"] = True
    return {name: value for name, value in row.items() if not (isinstance(value, float) and math.isnan(value))}


def counted(body: Row, rows: list[Row]) -> Row:
    """Rows and their count; without rows, neither."""
    return body | ({"results": rows} if rows else {}) | {"status": "OK"} | ({"count": len(rows)} if rows else {})


def parsed_day(text: str, name: str) -> date:
    try:
        return (
            date.fromisoformat(text)
            if re.fullmatch(r"\d{4}-\d\d-\d\d", text)
            else datetime.fromtimestamp(int(text) / 1000, NEW_YORK).date()
        )
    except (ValueError, OverflowError, OSError):
        raise Refused(400, UNPARSED.format(name)) from None


def instant(text: str, name: str, zone: tzinfo = NEW_YORK, *, last: bool = False) -> int:
    """A bound of a span in ns: a day's first or last instant, or ms."""
    if text.lstrip("-").isdigit():
        try:
            datetime.fromtimestamp(int(text) / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            raise Refused(400, UNPARSED.format(name)) from None
        return int(text) * 1_000_000
    day = parsed_day(text, name)
    return end_ns(day, zone) - 1 if last else at_ns(day, zone=zone)
