"""Cursors, filters and limits as the vendor's lists have them."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from farend.shapes import Refused, Reply, Row

if TYPE_CHECKING:
    from farend import FarEnd

# The vendor's own host: a client that follows it as it stands leaves the test.
HOST = "https://api.massive.com"
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: bool(a > b),
    "gte": lambda a, b: bool(a >= b),
    "lt": lambda a, b: bool(a < b),
    "lte": lambda a, b: bool(a <= b),
}


@dataclass(frozen=True)
class Call:
    """A request as the endpoints see it: the path's parts, and the query, which a cursor brings back whole."""

    far_end: "FarEnd"
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    every: Mapping[str, list[str]]

    @property
    def place(self) -> Any:
        """Where the page begins, as the cursor tells; None for the first page."""
        return self.cursor.get("at")

    @property
    def cursor(self) -> dict[str, Any]:
        text = self.query.get("cursor", "")
        if not text:
            return {}
        try:
            told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError:
            raise Refused(400, "Could not parse the cursor") from None
        return told if isinstance(told, dict) else {}

    def asked(self, name: str, default: str = "") -> str:
        """A parameter, from the query or from the page before."""
        return str(self.query.get(name, self.cursor.get("asked", {}).get(name, default)))

    @property
    def params(self) -> dict[str, str]:
        """All parameters but the key and the cursor."""
        return {**self.cursor.get("asked", {}), **{n: v for n, v in self.query.items() if n not in ("apiKey", "cursor")}}

    def limit(self, default: int, largest: int) -> int:
        text = self.asked("limit", str(default))
        if not text.isdigit() or not 1 <= int(text) <= largest:
            raise Refused(400, f"Could not parse the limit {text!r}: it must be a number from 1 to {largest}")
        return int(text)

    def next_url(self, at: object) -> str:
        """A full URL of the vendor's host with a cursor, and without the key."""
        text = json.dumps({"at": at, "asked": self.params}, separators=(",", ":"))
        return f"{HOST}{self.path}?" + urlencode({"cursor": base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")})


def kept(row: Row, params: Mapping[str, str], fields: Sequence[str]) -> bool:
    """Does a row pass the filters on its fields: equal, `.gt`, `.gte`, `.lt`, `.lte`, `.any_of`?"""
    for name, wanted in params.items():
        field, _, operator = name.partition(".")
        if field not in fields:
            continue
        value = row.get(field)
        if value is None:
            return False
        values = value if isinstance(value, list) else [value]
        if operator == "any_of":
            fits = any(like(one, text) == one for one in values for text in wanted.split(","))
        elif operator:
            fits = any(OPERATORS[operator](one, like(one, wanted)) for one in values)
        else:
            fits = any(like(one, wanted) == one for one in values)
        if not fits:
            return False
    return True


def like(value: Any, text: str) -> Any:
    """A parameter's text in the type of the value it is compared with."""
    if isinstance(value, bool):
        return text.lower() == "true"
    if isinstance(value, int | float):
        try:
            return float(text)
        except ValueError:
            raise Refused(400, f"Could not parse {text!r}: a number is wanted") from None
    return text


def ordered(rows: list[Row], sort: str, descending: bool) -> list[Row]:
    """Rows by `field` in the order asked, or by a list of `field.asc` and `field.desc`; rows without the field last."""
    for part in reversed(sort.split(",")):
        field, _, way = part.partition(".")
        backwards = way == "desc" if way else descending
        have = [row for row in rows if row.get(field) is not None]
        rows = sorted(have, key=lambda row: row[field], reverse=backwards) + [row for row in rows if row.get(field) is None]
    return rows


def listing(
    call: Call,
    rows: list[Row],
    fields: Sequence[str],
    *,
    limits: tuple[int, int] = (10, 1000),
    sort: str = "ticker",
    order: str = "asc",
    counted: bool = False,
) -> Reply:
    """A page of a list: filtered, ordered, with `next_url` if there is more; nothing found is an empty list."""
    limit = call.limit(*limits)
    found = [row for row in rows if kept(row, call.params, fields)]
    found = ordered(found, call.asked("sort", sort), call.asked("order", order) == "desc")
    start = int(call.place or 0)
    page, rest = found[start : start + limit], found[start + limit :]
    body: Row = {"results": [{name: value for name, value in row.items() if not name.startswith("_")} for row in page]}
    if counted:
        body["count"] = len(page)
    if rest or (call.far_end.last_page_empty and page):
        body["next_url"] = call.next_url(start + limit)
    return Reply(body | {"status": "OK"})
