"""FRED's API as `fredapi` calls it, in XML, or JSON where `file_type=json` asks for it.

An observation has a value for each vintage in which it changed; a request sees those of its real-time period, today's unless it says
otherwise, cut to that period. A value of None is told as ".".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from farend.paging import Call
from farend.shapes import Reply, Row

EVER = ("1776-07-04", "9999-12-31")
MOST_VINTAGES = 2000
KEYS = "Read https://fred.stlouisfed.org/docs/api/api_key.html for more information."
FREQUENCIES = {"D": "Daily", "W": "Weekly, Ending Friday", "M": "Monthly", "Q": "Quarterly", "A": "Annual"}


@dataclass
class FredSeries:
    """A series: `values` has for each date of observation its vintages, as the day from which each was known, and its value."""

    title: str
    values: dict[str, dict[str, float | None]]
    units: str = "Index"
    frequency: str = "M"
    adjustment: str = "SA"
    release: int = 10
    notes: str = ""


@dataclass
class FredRelease:
    """A release and its dates; those after today have no data yet."""

    name: str
    dates: list[str] = field(default_factory=list)


class BadRequest(Exception):
    """A refusal in FRED's words."""

    def __init__(self, text: str, status: int = 400):
        super().__init__(text, status)
        self.text, self.status = f"{ {400: 'Bad Request', 404: 'Not Found', 429: 'Too Many Requests'}[status] }.  {text}", status


def answer(call: Call) -> Reply:
    """The reply, in the form that was asked for."""
    as_json = call.query.get("file_type") == "json"
    try:
        authorised(call)
        top, row, attributes, rows = ROUTES.get(call.path, nowhere)(call)
    except BadRequest as refused:
        if as_json:
            return Reply({"error_code": refused.status, "error_message": refused.text}, refused.status)
        head = '<?xml version="1.0" encoding="utf-8" ?>\n'
        return Reply(f'{head}<error code="{refused.status}" message={quoteattr(refused.text)}/>\n', refused.status, kind="text/xml")
    if as_json:
        return Reply(attributes | {top: [one["text"] if list(one) == ["text"] else renamed(one) for one in rows]})
    return Reply(xml(top, row, attributes, rows), kind="text/xml; charset=UTF-8")


def renamed(row: Row) -> Row:
    """The text of an element is its `date` in JSON."""
    return {"date" if name == "text" else name: value for name, value in row.items()}


def xml(top: str, row: str, attributes: Row, rows: list[Row]) -> str:
    def tag(name: str, values: Row) -> str:
        return " ".join([name, *(f"{key}={quoteattr(str(value))}" for key, value in values.items() if key != "text")])

    lines = [f"  <{tag(row, one)}>{escape(one['text'])}</{row}>" if "text" in one else f"  <{tag(row, one)}/>" for one in rows]
    return "\n".join(['<?xml version="1.0" encoding="utf-8" ?>', f"<{tag(top, attributes)}>", *lines, f"</{top}>", ""])


def authorised(call: Call) -> None:
    key = call.query.get("api_key", "")
    if not key:
        raise BadRequest(f"Variable api_key is not set.  {KEYS}")
    if not re.fullmatch(r"[a-z0-9]{32}", key):
        raise BadRequest(f"The value for variable api_key is not a 32 character alpha-numeric lower-case string.  {KEYS}")
    if key != call.far_end.fred_key:
        raise BadRequest(f"The value for variable api_key is not registered.  {KEYS}")


Told = tuple[str, str, Row, list[Row]]


def period(call: Call, default: tuple[str, str] | None = None) -> tuple[str, str]:
    """The real-time period that is asked for; today."""
    today = call.far_end.today.isoformat()
    start, end = default or (today, today)
    start, end = day(call, "realtime_start", start), day(call, "realtime_end", end)
    if start > end:
        raise BadRequest("The value for variable realtime_end is before realtime_start.")
    return start, end


def day(call: Call, name: str, default: str) -> str:
    text = call.query.get(name, default)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise BadRequest(f"The value for variable {name} is not a valid date in YYYY-MM-DD format.")
    return text


def page(call: Call, rows: list[Row], largest: int) -> tuple[Row, list[Row]]:
    texts = call.query.get("limit", str(largest)), call.query.get("offset", "0")
    if not all(text.isdigit() for text in texts) or not 1 <= int(texts[0]) <= largest:
        raise BadRequest(f"Variable limit is not between 1 and {largest}.")
    limit, offset = map(int, texts)
    return {"count": len(rows), "offset": offset, "limit": limit}, rows[offset : offset + limit]


def found(call: Call) -> tuple[str, FredSeries]:
    name = call.query.get("series_id", "")
    if not name:
        raise BadRequest("Variable series_id is not set.")
    if name not in call.far_end.fred:
        raise BadRequest("The series does not exist.")
    return name, call.far_end.fred[name]


def told(call: Call, name: str, series: FredSeries) -> Row:
    start, end = period(call)
    vintages = [since for vintage in series.values.values() for since in vintage]
    return {
        "id": name,
        "realtime_start": start,
        "realtime_end": end,
        "title": series.title,
        "observation_start": min(series.values, default=""),
        "observation_end": max(series.values, default=""),
        "frequency": FREQUENCIES[series.frequency],
        "frequency_short": series.frequency,
        "units": series.units,
        "units_short": series.units,
        "seasonal_adjustment": "Seasonally Adjusted" if series.adjustment == "SA" else "Not Seasonally Adjusted",
        "seasonal_adjustment_short": series.adjustment,
        "last_updated": f"{max(vintages, default='2024-01-01')} 07:44:02-05",
        "popularity": 50,
        "notes": series.notes or f"{series.title}, made up for tests.",
    }


def nowhere(call: Call) -> Told:
    raise BadRequest("The requested URL was not found.", 404)


def one_series(call: Call) -> Told:
    start, end = period(call)
    return "seriess", "series", {"realtime_start": start, "realtime_end": end}, [told(call, *found(call))]


def observations(call: Call) -> Told:
    """Observations by date, each with the vintages that the real-time period touches."""
    _, series = found(call)
    start, end = period(call)
    first, last = day(call, "observation_start", EVER[0]), day(call, "observation_end", EVER[1])
    touched = {since for vintages in series.values.values() for since in vintages if start <= since <= end}
    if len(touched) > MOST_VINTAGES:
        raise BadRequest(
            f"There are {len(touched)} vintage dates in the specified real-time period: {start} to {end}."
            f"  This exceeds the maximum number of vintage dates allowed ({MOST_VINTAGES})."
        )
    rows = []
    for at, vintages in sorted(series.values.items()):
        if not first <= at <= last:
            continue
        known = sorted(vintages)
        for since, follower in zip(known, [*known[1:], ""], strict=True):
            until = (date.fromisoformat(follower) - timedelta(days=1)).isoformat() if follower else EVER[1]
            if since <= end and until >= start:
                value = vintages[since]
                text = "." if value is None else f"{value:.12g}"
                rows.append({"realtime_start": max(since, start), "realtime_end": min(until, end), "date": at, "value": text})
    if call.query.get("sort_order") == "desc":
        rows.reverse()
    counts, rows = page(call, rows, 100_000)
    attributes: Row = {"realtime_start": start, "realtime_end": end, "observation_start": first, "observation_end": last, "units": "lin"}
    attributes |= {"output_type": 1, "file_type": call.query.get("file_type", "xml"), "order_by": "observation_date"}
    return "observations", "observation", attributes | {"sort_order": call.query.get("sort_order", "asc")} | counts, rows


def vintage_dates(call: Call) -> Told:
    _, series = found(call)
    start, end = period(call, EVER)
    every = sorted({since for vintages in series.values.values() for since in vintages if start <= since <= end})
    counts, rows = page(call, [{"text": since} for since in every], 10_000)
    return "vintage_dates", "vintage_date", {"realtime_start": start, "realtime_end": end} | counts, rows


def series_release(call: Call) -> Told:
    _, series = found(call)
    start, end = period(call)
    return "releases", "release", {"realtime_start": start, "realtime_end": end}, [release(call, series.release)]


def release(call: Call, number: int) -> Row:
    start, end = period(call)
    name = call.far_end.fred_releases[number].name
    return {"id": number, "realtime_start": start, "realtime_end": end, "name": name, "press_release": "true"}


def releases(call: Call) -> Told:
    start, end = period(call)
    counts, rows = page(call, [release(call, number) for number in sorted(call.far_end.fred_releases)], 1000)
    return "releases", "release", {"realtime_start": start, "realtime_end": end} | counts, rows


def release_dates(call: Call) -> Told:
    """Dates of all releases, newest first, from this year on; those to come only with `include_release_dates_with_no_data`."""
    today = call.far_end.today.isoformat()
    start, end = period(call, (f"{today[:4]}-01-01", EVER[1]))
    number = call.query.get("release_id")
    if number is not None and (not number.isdigit() or int(number) not in call.far_end.fred_releases):
        raise BadRequest("The release does not exist.")
    if number is not None and "realtime_start" not in call.query:
        start = EVER[0]
    last = end if call.query.get("include_release_dates_with_no_data") == "true" else min(end, today)
    rows: list[Row] = []
    for each, known in call.far_end.fred_releases.items():
        if number is None or int(number) == each:
            named = {"release_id": each} | ({"release_name": known.name} if number is None else {})
            rows += [named | {"text": at} for at in known.dates if start <= at <= last]
    way = call.query.get("sort_order", "asc" if number is not None else "desc")
    rows.sort(key=lambda row: (row["text"], row["release_id"]), reverse=way == "desc")
    counts, rows = page(call, rows, 1000 if number is None else 10_000)
    attributes = {"realtime_start": start, "realtime_end": end, "order_by": "release_date", "sort_order": way}
    return "release_dates", "release_date", attributes | counts, rows


def search(call: Call) -> Told:
    """Series of a release, or whose id or title has the text."""
    start, end = period(call)
    text, number = call.query.get("search_text", "").strip().lower(), call.query.get("release_id", "")
    every = call.far_end.fred.items()
    rows = [
        told(call, name, series)
        for name, series in every
        if (series.release == int(number) if number else text in f"{name} {series.title}".lower())
    ]
    counts, rows = page(call, rows, 1000)
    return "seriess", "series", {"realtime_start": start, "realtime_end": end, "order_by": "series_id"} | counts, rows


ROUTES: dict[str, Callable[[Call], Any]] = {
    "/fred/series": one_series,
    "/fred/series/observations": observations,
    "/fred/series/vintagedates": vintage_dates,
    "/fred/series/release": series_release,
    "/fred/series/search": search,
    "/fred/release/series": search,
    "/fred/releases": releases,
    "/fred/releases/dates": release_dates,
    "/fred/release/dates": release_dates,
}
