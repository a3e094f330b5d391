"""The vendor's reference endpoints. Their rows stand in `far_end.rows`, by these names, for tests to change:

tickers splits dividends changes conditions exchanges types holidays news financials income-statements balance-sheets cash-flow-statements
ratios ipos short-interest short-volume float treasury_yields inflation inflation_expectations labor_market

Fields that begin with an underscore are the far end's own and are never sent.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Any

from farend.company import yahoo_info, yahoo_statements
from farend.faults import NOT_IN_PLAN
from farend.lists import rows
from farend.paging import Call, listing
from farend.shapes import Refused, Reply, Row
from farend.times import NEW_YORK

__all__ = ["ROUTES", "rows", "yahoo_info", "yahoo_statements"]

TICKER_FIELDS = ("ticker", "type", "market", "exchange", "cusip", "cik", "composite_figi", "share_class_figi")
# Details have more than the list.
DETAILS_ONLY = ("list_date", "round_lot", "sic_code", "address")


def tickers(call: Call) -> Reply:
    """Tickers: the active ones unless `active=false`; with `date`, those of that day, named as they were."""
    active, day = call.asked("active", "true") != "false", call.asked("date")
    found = []
    for row in call.far_end.rows["tickers"]:
        row = {name: value for name, value in row.items() if name not in DETAILS_ONLY} | {"exchange": row.get("primary_exchange")}
        if (listed(row, call.far_end.rows["tickers"], day) if day else row["active"]) != active:
            continue
        if (text := call.asked("search").lower()) and text not in row["ticker"].lower() and text not in row["name"].lower():
            continue
        found.append(row)
    reply = listing(call, found, TICKER_FIELDS, limits=(100, 1000), counted=True)
    for row in reply.body["results"]:
        del row["exchange"]
    return reply


def listed(row: Row, every: list[Row], day: str) -> bool:
    """Was a ticker listed on a day? From its listing, as far as it is known, to the day it was delisted."""
    listing_day = next(
        (one["list_date"] for one in every if one.get("composite_figi") == row.get("composite_figi") and "list_date" in one), ""
    )
    gone = row.get("delisted_utc", "9999")[:10]
    return bool((listing_day or "1900") <= day <= gone)


def details(call: Call, ticker: str) -> Reply:
    """One ticker's details; of a name that was reused, the company of the day that is asked for, or the one that has it now."""
    day = call.asked("date") or call.far_end.today.isoformat()
    found = [row for row in call.far_end.rows["tickers"] if row["ticker"] == ticker]
    at = [row for row in found if listed(row, found, day)]
    if not (at or (found and not call.asked("date"))):
        raise Refused(404, "Ticker not found.")
    row = {name: value for name, value in (at or found)[-1].items() if not name.startswith("_")}
    return Reply({"results": row | {"ticker_root": ticker.partition(".")[0]}, "status": "OK"})


def types(call: Call) -> Reply:
    found = call.far_end.rows["types"]
    return Reply({"results": found, "status": "OK", "count": len(found)})


def ticker_events(call: Call, ticker: str) -> Reply:
    """A company's names, newest first, asked for by any name that it has now, or by its FIGI."""
    holders = [row for row in call.far_end.rows["tickers"] if ticker in (row["ticker"], row.get("composite_figi"), row.get("cik"))]
    holder = next((row for row in holders if row["active"]), holders[-1] if holders else None)
    if holder is None:
        raise Refused(404, "Ticker not found.")
    mine = [row for row in call.far_end.rows["changes"] if row["_figi"] == holder["composite_figi"]]
    events = [
        {"ticker_change": {"ticker": row["ticker"]}, "type": "ticker_change", "date": row["date"]}
        for row in sorted(mine, key=lambda row: row["date"], reverse=True)
    ]
    told = {"name": holder["name"], "composite_figi": holder["composite_figi"], "cik": holder["cik"], "events": events}
    return Reply({"results": told, "status": "OK"})


def splits(call: Call) -> Reply:
    """The old endpoint: newest first."""
    fields = ("ticker", "execution_date", "reverse_split")
    found = [row | {"reverse_split": row["split_from"] > row["split_to"]} for row in call.far_end.rows["splits"]]
    reply = listing(call, found, fields, sort="execution_date", order="desc")
    for row in reply.body["results"]:
        del row["reverse_split"]
    return reply


def stocks_splits(call: Call) -> Reply:
    """The new endpoint: with the kind of adjustment, and what prices before the split are multiplied with by now."""
    found = []
    for row in call.far_end.rows["splits"]:
        kind = "reverse_split" if row["split_from"] > row["split_to"] else "forward_split"
        before = date.fromisoformat(row["execution_date"]) - timedelta(days=1)
        factor = round(call.far_end.factor(row["ticker"], before), 10)
        found.append({"adjustment_type": kind, "historical_adjustment_factor": factor} | row)
    return listing(call, found, ("ticker", "execution_date", "adjustment_type"), limits=(100, 5000), sort="execution_date.desc")


DIVIDEND_FIELDS = ("ticker", "ex_dividend_date", "record_date", "declaration_date", "pay_date", "frequency", "cash_amount", "dividend_type")


def dividends(call: Call) -> Reply:
    """The old endpoint: newest first."""
    return listing(call, call.far_end.rows["dividends"], DIVIDEND_FIELDS, sort="ex_dividend_date", order="desc")


def stocks_dividends(call: Call) -> Reply:
    """The new endpoint: `distribution_type` in the place of `dividend_type`, and the amount on today's shares."""
    kinds = {"CD": "recurring", "SC": "special", "LT": "supplemental", "ST": "irregular"}
    found = []
    for row in call.far_end.rows["dividends"]:
        ex = date.fromisoformat(row["ex_dividend_date"])
        amount = round(row["cash_amount"] * call.far_end.factor(row["ticker"], ex), 8)
        kept = {name: value for name, value in row.items() if name != "dividend_type"}
        found.append({"distribution_type": kinds[row["dividend_type"]], "split_adjusted_cash_amount": amount} | kept)
    fields = ("ticker", "ex_dividend_date", "frequency", "distribution_type")
    return listing(call, found, fields, limits=(100, 5000), sort="ex_dividend_date.desc")


def conditions(call: Call) -> Reply:
    params = call.params
    found = [row for row in call.far_end.rows["conditions"] if params.get("data_type", "") in ("", *row["data_types"])]
    return listing(call, found, ("asset_class", "id"), sort="asset_class", counted=True)


def exchanges(call: Call) -> Reply:
    """Exchanges, all at once; ids are not unique."""
    wanted = {name: call.asked(name) for name in ("asset_class", "locale") if call.asked(name)}
    found = [row for row in call.far_end.rows["exchanges"] if all(row[name] == value for name, value in wanted.items())]
    return Reply({"results": found, "status": "OK", "count": len(found)})


def status_now(call: Call) -> Reply:
    """What is open, by the clock alone: the far end's calendar is its holidays."""
    now = call.far_end.now().astimezone(NEW_YORK)
    minute = now.hour * 60 + now.minute
    off = {row["date"] for row in call.far_end.rows["holidays"] if row["status"] == "closed"}
    session = now.weekday() < 5 and now.date().isoformat() not in off
    early, late = session and 240 <= minute < 570, session and 960 <= minute < 1200
    state = "open" if session and 570 <= minute < 960 else "extended-hours" if early or late else "closed"
    body: Row = {"market": state, "earlyHours": early, "afterHours": late, "serverTime": now.replace(microsecond=0).isoformat()}
    body |= {"exchanges": dict.fromkeys(("nyse", "nasdaq", "otc"), state), "currencies": {"fx": "open", "crypto": "open"}}
    return Reply(body)


def upcoming(call: Call) -> Reply:
    """Holidays from today on: a bare list."""
    today = call.far_end.today.isoformat()
    return Reply([row for row in call.far_end.rows["holidays"] if row["date"] >= today])


def news(call: Call) -> Reply:
    """News, newest first. `ticker` is one of an article's; the count does not always agree with the rows."""
    wanted = call.asked("ticker")
    found = [row for row in call.far_end.rows["news"] if not wanted or wanted in row["tickers"]]
    reply = listing(call, found, ("published_utc",), sort="published_utc", order="desc")
    return Reply(reply.body | {"count": 10})


def financials(call: Call) -> Reply:
    wanted = call.asked("ticker")
    found = [row for row in call.far_end.rows["financials"] if not wanted or wanted in row["tickers"]]
    fields = ("cik", "company_name", "filing_date", "period_of_report_date", "timeframe")
    return listing(call, planned(call, found), fields, limits=(10, 100), sort="filing_date", order="desc")


def planned(call: Call, found: list[Row]) -> list[Row]:
    if not call.far_end.plan.financials:
        raise Refused(403, NOT_IN_PLAN)
    return found


def plain(call: Call, name: str, fields: tuple[str, ...], sort: str, limits: tuple[int, int]) -> Reply:
    return listing(call, call.far_end.rows[name], fields, sort=sort, limits=limits)


def statement(call: Call, name: str) -> Reply:
    fields = ("cik", "tickers", "ticker", "period_end", "filing_date", "fiscal_year", "fiscal_quarter", "timeframe", "date")
    return listing(call, planned(call, call.far_end.rows[name]), fields, limits=(100, 50_000), sort="period_end")


def series(name: str, fields: tuple[str, ...], sort: str, limits: tuple[int, int] = (100, 50_000)) -> Callable[..., Any]:
    return partial(plain, name=name, fields=fields, sort=sort, limits=limits)


ROUTES: list[tuple[str, Callable[..., Any]]] = [
    (r"/v3/reference/tickers", tickers),
    (r"/v3/reference/tickers/types", types),
    (r"/v3/reference/tickers/(?P<ticker>[^/]+)", details),
    (r"/vX/reference/tickers/(?P<ticker>[^/]+)/events", ticker_events),
    (r"/v3/reference/splits", splits),
    (r"/stocks/v1/splits", stocks_splits),
    (r"/v3/reference/dividends", dividends),
    (r"/stocks/v1/dividends", stocks_dividends),
    (r"/v3/reference/conditions", conditions),
    (r"/v3/reference/exchanges", exchanges),
    (r"/v1/marketstatus/now", status_now),
    (r"/v1/marketstatus/upcoming", upcoming),
    (r"/v2/reference/news", news),
    (r"/vX/reference/financials", financials),
    (r"/stocks/financials/v1/(?P<name>income-statements|balance-sheets|cash-flow-statements|ratios)", statement),
    (r"/vX/reference/ipos", series("ipos", ("ticker", "listing_date", "ipo_status", "isin", "us_code"), "listing_date.desc", (10, 1000))),
    (r"/stocks/v1/short-interest", series("short-interest", ("ticker", "settlement_date"), "ticker.asc", (10, 50_000))),
    (r"/stocks/v1/short-volume", series("short-volume", ("ticker", "date"), "ticker.asc", (10, 50_000))),
    (r"/stocks/vX/float", series("float", ("ticker", "free_float_percent"), "ticker.asc", (100, 5000))),
    (r"/fed/v1/treasury-yields", series("treasury_yields", ("date",), "date.asc")),
    (r"/fed/v1/inflation", series("inflation", ("date",), "date.asc")),
    (r"/fed/v1/inflation-expectations", series("inflation_expectations", ("date",), "date.asc")),
    (r"/fed/v1/labor-market", series("labor_market", ("date",), "date.asc")),
]
