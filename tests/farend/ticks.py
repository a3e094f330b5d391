"""The vendor's trades and quotes: by ticker, newest first unless asked otherwise, page by page."""

import re
from collections.abc import Iterator
from datetime import date, tzinfo

from farend.bars import entitled, parsed_day
from farend.faults import NOT_IN_PLAN
from farend.paging import Call
from farend.shapes import Refused, Reply, Row
from farend.times import at_ns, day_of, end_ns, zone_of

EVER = (0, 2**63 - 1)


def ticks(call: Call, kind: str, ticker: str) -> Reply:
    """Trades or quotes in a span of SIP times; `timestamp` and its operators take a day or ns."""
    if not getattr(call.far_end.plan, kind):
        raise Refused(403, NOT_IN_PLAN)
    limit, backwards = call.limit(1000, 50_000), call.asked("order", "desc") == "desc"
    zone = zone_of(ticker)
    start, end = span(call, zone)
    if start <= end:
        start, end = entitled(call, day_of(max(start, 0), zone), day_of(min(end, at_ns(date(2200, 1, 1))), zone), start, end)
    rows: list[Row] = []
    at: tuple[str, int] | None = None
    for day, nth, row in walk(call, kind, ticker, start, end, backwards):
        if len(rows) == limit:
            at = (day.isoformat(), nth)
            break
        rows.append(row)
    body: Row = {"results": rows, "status": "OK"}
    if at or (call.far_end.last_page_empty and rows):
        body["next_url"] = call.next_url(at or ("0001-01-01" if backwards else "9999-12-31", 0))
    return Reply(body)


def walk(call: Call, kind: str, ticker: str, start: int, end: int, backwards: bool) -> Iterator[tuple[date, int, Row]]:
    """Rows in order, with the session and the place in it that a cursor names."""
    market = call.far_end.market
    zone = zone_of(ticker)
    sessions = [day for day in market.sessions(kind) if end_ns(day, zone) > start and at_ns(day, zone=zone) <= end]
    begin, begin_nth = (date.fromisoformat(call.place[0]), int(call.place[1])) if call.place else (None, 0)
    for day in reversed(sessions) if backwards else sessions:
        if begin and (day > begin if backwards else day < begin):
            continue
        found = market.ticks(kind, ticker, day)
        places = range(len(found.rows))
        if day == begin:
            places = range(begin_nth + 1) if backwards else range(begin_nth, len(found.rows))
        for nth in reversed(places) if backwards else places:
            if start <= found.stamp(nth) <= end:
                yield day, nth, found.row(nth)


def span(call: Call, zone: tzinfo) -> tuple[int, int]:
    """The span asked for, in ns, both ends included.

    A day stands for all of it: from its midnight in New York for `timestamp` and `.gte`, to its last instant for `.lte` and past it for `.gt`.
    """
    start, end = EVER
    for name, text in call.params.items():
        field, _, operator = name.partition(".")
        if field != "timestamp":
            continue
        first, last = bounds(text, zone)
        start = max(start, {"": first, "gte": first, "gt": last + 1}.get(operator, start))
        end = min(end, {"": last, "lte": last, "lt": first - 1}.get(operator, end))
    return start, end


def bounds(text: str, zone: tzinfo) -> tuple[int, int]:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        day = parsed_day(text, "timestamp")
        return at_ns(day, zone=zone), end_ns(day, zone) - 1
    if not text.isdigit():
        raise Refused(400, f"Could not parse the timestamp {text!r}. Use YYYY-MM-DD or a nanosecond timestamp")
    return int(text), int(text)
