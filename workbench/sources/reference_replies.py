"""Records of the vendor's REST replies as rows of the tables of reference data; folders hold the same shapes.

A record of which no row can be made raises `Unmade`. Values pass as they are told: whether they are what a table promises is the lake's to check.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from workbench.sources.reference import Refused, Row
from workbench.tables.spec import NEW_YORK

# What old lists write for "still valid".
FOREVER = ("20501231", "2050-12-31")
QUOTES = ("bbo", "nbbo", "quote")


class Unmade(Exception):
    """No row can be made of a record; the text says why."""


Maker = Callable[[Mapping[str, Any]], Iterable[Row]]


def made(records: Iterable[Any], maker: Maker) -> tuple[list[Row], list[Refused]]:
    """The rows of records, and the records without one."""
    rows: list[Row] = []
    refused: list[Refused] = []
    for record in records:
        try:
            rows += maker(mapping(record))
        except Unmade as fault:
            refused.append(Refused(record, str(fault)))
        except (TypeError, ValueError, AttributeError, KeyError) as fault:
            refused.append(Refused(record, f"it has another shape than the vendor's ({fault})"))
    return rows, refused


def mapping(record: Any) -> Mapping[str, Any]:
    """A record as an object with fields. Raises `Unmade` for anything else."""
    if not isinstance(record, Mapping):
        raise Unmade("it is not an object with fields")
    return record


def picked(record: Mapping[str, Any], *names: str, **renamed: str) -> Row:
    """Some fields of a record, under their own names or, `ours=theirs`, under ours; absent ones stay absent."""
    both = {**dict(zip(names, names, strict=True)), **renamed}
    return {ours: record[theirs] for ours, theirs in both.items() if record.get(theirs) is not None}


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within a record; an empty one where there is none. Raises `Unmade` for something else."""
    held = record.get(name)
    if held is None:
        return {}
    if not isinstance(held, Mapping):
        raise Unmade(f"{name} is not an object with fields")
    return held


def as_json(value: Any) -> str | None:
    """A value as JSON text, the same for the same; None for none."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if value else None


def day_of(told: Any) -> Any:
    """The date that an instant means. Midnight UTC is a date that was written as an instant; any other is told in New York."""
    if not isinstance(told, str) or len(told) <= 10:
        return told
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return told
    if at.tzinfo is None or at.astimezone(UTC).time() == time():
        return at.date()
    return at.astimezone(ZoneInfo(NEW_YORK)).date()


# ---------------------------------------------------------------------- listings


def ticker(record: Mapping[str, Any]) -> Iterator[Row]:
    """A row of `tickers`."""
    ids = ("name", "market", "locale", "primary_exchange", "type", "cik", "composite_figi", "share_class_figi")
    row = picked(record, "ticker", "active", *ids, currency="currency_name", updated_at="last_updated_utc")
    for ours, theirs in (("listed", "list_date"), ("delisted", "delisted_utc")):
        if record.get(theirs) is not None:
            row[ours] = day_of(record[theirs])
    row.setdefault("active", row.get("delisted") is None)
    if row["active"] is True and row.get("delisted") is not None:
        raise Unmade("it is active and has a delisted_utc: one of the two is wrong")
    yield row


def events(record: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of `ticker_changes` from a company's events: each name until the day before the next."""
    told = record.get("events") or ()
    changes: list[tuple[date, Any]] = []
    for one in told:
        if one.get("type", "ticker_change") != "ticker_change":
            continue
        try:
            changes.append((date.fromisoformat(one["date"]), one["ticker_change"]["ticker"]))
        except (KeyError, TypeError, ValueError):
            raise Unmade(f"an event has no date or no ticker: {one}") from None
    changes.sort(key=lambda one: one[0])
    if not changes:
        return
    ends = [(since - timedelta(days=1)).isoformat() for since, _ in changes[1:]]
    for (since, symbol), end in zip(changes, [*ends, None], strict=True):
        row = picked(record, "name", "composite_figi", "cik") | {"asset": changes[-1][1], "ticker": symbol, "first_date": since.isoformat()}
        yield row | ({"last_date": end} if end else {})


def spells(records: Sequence[Any]) -> tuple[list[Row], list[Refused]]:
    """Rows of `ticker_changes` from a list of assets, symbols and the last day of each; a spell begins the day after the one before it."""
    refused: list[Refused] = []
    known: dict[str, list[tuple[date, Mapping[str, Any]]]] = {}
    for record in records:
        try:
            told = mapping(record)
            known.setdefault(named(told), []).append((last_day(told.get("last_date")), told))
        except Unmade as fault:
            refused.append(Refused(record, str(fault)))
    rows: list[Row] = []
    for asset, held in known.items():
        since: date | None = None
        for last, record in sorted(held, key=lambda one: one[0]):
            row: Row = {"asset": asset, "ticker": record["ticker"]} | picked(record, "name", "composite_figi", "cik")
            if since:
                row["first_date"] = since
            if last != date.max:
                row["last_date"], since = last, last + timedelta(days=1)
            rows.append(row)
    return rows, refused


def named(record: Mapping[str, Any]) -> str:
    """The asset of a spell. Raises `Unmade` if it, or its symbol, is not told."""
    if not all(isinstance(record.get(name), str) and record[name] for name in ("asset", "ticker")):
        raise Unmade("asset or ticker is missing, or not a text")
    return str(record["asset"])


def last_day(told: Any) -> date:
    """The last day of a spell, `20140402` or `2014-04-02`; the last of all days while it lasts. Raises `Unmade`."""
    if told in (None, "", *FOREVER):
        return date.max
    try:
        return date.fromisoformat(told)
    except (TypeError, ValueError):
        raise Unmade(f"last_date is {told!r}, not a date as 20140402") from None


# ---------------------------------------------------------------------- actions


def split(record: Mapping[str, Any]) -> Iterator[Row]:
    """A row of `splits`."""
    names = ("ticker", "execution_date", "split_from", "split_to", "id", "adjustment_type", "historical_adjustment_factor")
    yield picked(record, *names)


def dividend(record: Mapping[str, Any]) -> Iterator[Row]:
    """A row of `dividends`, from either endpoint."""
    names = ("ticker", "ex_dividend_date", "cash_amount", "currency", "dividend_type", "distribution_type", "frequency", "declaration_date")
    yield picked(record, *names, "record_date", "pay_date", "split_adjusted_cash_amount", "historical_adjustment_factor", "id")


# ---------------------------------------------------------------------- codes


def condition(record: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of `conditions`, one for each kind of data that the id is read in."""
    kinds = record.get("data_types")
    if not isinstance(kinds, Sequence) or isinstance(kinds, str) or not kinds:
        raise Unmade("data_types is missing: its id may be a trade's or a quote's")
    row = picked(record, "asset_class", "id", "type", "name", "abbreviation", "description", "exchange", "legacy")
    sips, rules = part(record, "sip_mapping"), part(record, "update_rules")
    row |= picked(sips, sip_cta="CTA", sip_utp="UTP", sip_opra="OPRA")
    for where, prefix in (("consolidated", ""), ("market_center", "market_center_")):
        rule = part(rules, where)
        for name in ("updates_high_low", "updates_open_close", "updates_volume"):
            row |= picked(rule, **{f"{prefix}{name}": name})
    for kind in dict.fromkeys("quote" if kind in QUOTES else kind for kind in kinds):
        yield row | {"data_type": kind}


def without_legacy(rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Conditions without those out of use of which the id is in use; and how many those are."""
    name = ("asset_class", "data_type", "type", "id")
    used = {tuple(row.get(one) for one in name) for row in rows if not row.get("legacy")}
    kept = [row for row in rows if not row.get("legacy") or tuple(row.get(one) for one in name) not in used]
    return kept, len(rows) - len(kept)


def exchange(record: Mapping[str, Any]) -> Iterator[Row]:
    """A row of `exchanges`."""
    yield picked(record, "asset_class", "id", "type", "name", "acronym", "mic", "operating_mic", "participant_id", "locale", "url")


# ---------------------------------------------------------------------- news and series


def article(record: Mapping[str, Any]) -> Iterator[Row]:
    """A row of `news_items`; `insights` and `keywords` are absent in old articles."""
    row = picked(record, "id", "title", "author", "article_url", "tickers", "keywords", "description", "amp_url", "image_url")
    row |= picked(record, published_at="published_utc")
    house = part(record, "publisher")
    names = {"publisher": "name", "publisher_url": "homepage_url", "publisher_logo_url": "logo_url", "publisher_favicon_url": "favicon_url"}
    row |= picked(house, **names)
    if told := as_json(record.get("insights")):
        row["insights"] = told
    yield row


PERCENT, INDEX = "per cent", "index"
UNITS = {
    "cpi": "index, 1982-1984 = 100",
    "cpi_core": "index, 1982-1984 = 100",
    "cpi_year_over_year": PERCENT,
    "pce": INDEX,
    "pce_core": INDEX,
    "pce_spending": "billion USD",
    "avg_hourly_earnings": "USD an hour",
    "job_openings": "thousand",
    "unemployment_rate": PERCENT,
    "labor_force_participation_rate": PERCENT,
}


def observation(record: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of `economic_series`, one for each number beside the date; the vendor does not tell revisions."""
    if "date" not in record:
        raise Unmade("date is missing")
    daily = any(name.startswith("yield_") for name in record)
    for name, value in record.items():
        if name != "date" and value is not None:
            unit = UNITS.get(name, PERCENT if name.startswith(("yield_", "market_", "model_", "forward_")) else "")
            row = {"series": name, "date": record["date"], "value": value, "frequency": "Daily" if daily else "Monthly"}
            yield row | ({"unit": unit} if unit else {})


# ---------------------------------------------------------------------- events


def ipo(record: Mapping[str, Any]) -> Iterator[Row]:
    """A row of `calendar_events`; none for a listing without a date, which is a plan and no event."""
    if not record.get("listing_date"):
        return
    symbol, day = record.get("ticker"), record["listing_date"]
    who = record.get("issuer_name") or symbol
    if not symbol or not who:
        raise Unmade("neither ticker nor issuer_name says whose listing it is")
    price = record.get("final_issue_price")
    status = record.get("ipo_status") or "status not told"
    yield {
        "id": f"ipo:{symbol}:{day}",
        "event_type": "ipo",
        "date": day,
        "event_at": midnight(day),
        "name": f"{who} is listed",
        "description": f"{status}{', at the final issue price' if price is not None else ''}",
        "impact": 2,
        "ticker": symbol,
        **({"actual": price} if price is not None else {}),
        **picked(record, currency="currency_code"),
    }


def holidays(records: Sequence[Any]) -> tuple[list[Row], list[Refused]]:
    """Rows of `calendar_events` from the list of holidays to come, which has one for each exchange."""
    refused: list[Refused] = []
    rows: dict[str, Row] = {}
    where: dict[str, list[str]] = {}
    for record in records:
        kind = {"closed": "holiday", "early-close": "early_close"}.get(str(record.get("status"))) if isinstance(record, Mapping) else None
        if kind is None or not isinstance(record.get("date"), str) or not record.get("name"):
            refused.append(Refused(record, "it has no date, no name, or a status that is neither closed nor early-close"))
            continue
        row = holiday(kind, record["date"], str(record["name"]), record.get("close"))
        rows.setdefault(row["id"], row)
        where.setdefault(row["id"], []).append(str(record.get("exchange", "")))
    for name, row in rows.items():
        row["description"] = ", ".join(sorted(set(filter(None, where[name])))) or None
    return list(rows.values()), refused


def holiday(kind: str, day: Any, name: str, close: Any = None) -> Row:
    """A row of `calendar_events` for a day on which the market is closed, or closes early, at `close`."""
    return {
        "id": f"{kind}:{day}",
        "event_type": kind,
        "date": day,
        "event_at": close or midnight(day),
        "name": f"{name}: market closed" if kind == "holiday" else f"{name}: market closes early",
        "impact": 4 if kind == "holiday" else 3,
        "country": "US",
    }


def midnight(day: Any) -> Any:
    """Midnight in New York of a day; what is no day passes, for the lake to refuse."""
    try:
        told = day if isinstance(day, date) else date.fromisoformat(day)
    except (TypeError, ValueError):
        return day
    return datetime.combine(told, time(), ZoneInfo(NEW_YORK))
