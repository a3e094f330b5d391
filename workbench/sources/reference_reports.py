"""Reports of companies as rows of `fundamentals`: the vendor's new statements and ratios, and its old financials in one.

Statements of one period come from three endpoints and make one row. What has no column of its own stands in `items`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from workbench.sources.reference import Refused, Row
from workbench.sources.reference_replies import Unmade, as_json, made, picked

PERIODS = {
    "quarterly": "quarterly",
    "annual": "annual",
    "ttm": "ttm",
    "trailing_twelve_months": "ttm",
    "Q": "quarterly",
    "A": "annual",
}
# Our columns, by what the new endpoints call them; of several, the first that is told.
INCOME = {
    "revenue": ("revenue",),
    "gross_profit": ("gross_profit",),
    "operating_income": ("operating_income",),
    "net_income": ("consolidated_net_income_loss", "net_income_loss_attributable_common_shareholders"),
    "eps": ("diluted_earnings_per_share", "basic_earnings_per_share"),
    "shares_outstanding": ("diluted_shares_outstanding", "basic_shares_outstanding"),
}
BALANCE = {
    "total_assets": ("total_assets",),
    "total_liabilities": ("total_liabilities",),
    "equity": ("total_equity",),
    "cash": ("cash_and_equivalents",),
    "long_term_debt": ("long_term_debt_and_capital_lease_obligations",),
}
CASH_FLOW = {
    "operating_cash_flow": ("net_cash_from_operating_activities",),
    "capital_expenditure": ("purchase_of_property_plant_and_equipment",),
}
RATIOS = {
    "market_cap": ("market_cap",),
    "pe_ratio": ("price_to_earnings",),
    "eps": ("earnings_per_share",),
    "dividend_yield": ("dividend_yield",),
}
OLD = {
    "revenue": ("revenues",),
    "gross_profit": ("gross_profit",),
    "operating_income": ("operating_income_loss",),
    "net_income": ("net_income_loss",),
    "eps": ("diluted_earnings_per_share", "basic_earnings_per_share"),
    "shares_outstanding": ("diluted_average_shares", "basic_average_shares"),
    "total_assets": ("assets",),
    "total_liabilities": ("liabilities",),
    "equity": ("equity",),
    "cash": ("cash",),
    "long_term_debt": ("long_term_debt",),
    "operating_cash_flow": ("net_cash_flow_from_operating_activities",),
}
ABOUT = {"tickers", "ticker", "cik", "period_end", "date", "filing_date", "fiscal_year", "fiscal_quarter", "timeframe"}


def taken(record: Mapping[str, Any], columns: Mapping[str, tuple[str, ...]], besides: Iterable[str]) -> Row:
    """The columns that a record tells, and under `items` everything else."""
    row: Row = {}
    used = set(besides)
    for ours, theirs in columns.items():
        told = next((name for name in theirs if record.get(name) is not None), None)
        if told:
            row[ours] = record[told]
            used.add(told)
    others = {name: value for name, value in record.items() if name not in used and value is not None}
    return row | ({"items": others} if others else {})


def statement(columns: Mapping[str, tuple[str, ...]]) -> Callable[[Mapping[str, Any]], Iterator[Row]]:
    """What makes rows of one endpoint's statements: one for each ticker of the company."""

    def make(record: Mapping[str, Any]) -> Iterator[Row]:
        period = PERIODS.get(str(record.get("timeframe")))
        if period is None:
            raise Unmade(f"timeframe is {record.get('timeframe')!r}: its period is not known")
        quarter = record.get("fiscal_quarter")
        row = picked(record, "cik", "fiscal_year", as_of="period_end", filed_at="filing_date") | {"period": period}
        row["fiscal_period"] = "FY" if period == "annual" else "TTM" if period == "ttm" else f"Q{quarter}" if quarter else None
        for symbol in symbols_of(record):
            yield row | taken(record, columns, ABOUT) | {"ticker": symbol}

    return make


def symbols_of(record: Mapping[str, Any]) -> list[str]:
    """The symbols that a report is of. Raises `Unmade` if it tells none."""
    told = record.get("tickers") or ([record["ticker"]] if record.get("ticker") else [])
    if not isinstance(told, list) or not told:
        raise Unmade("it tells no ticker")
    return told


def ratios(record: Mapping[str, Any]) -> Iterator[Row]:
    """A snapshot: the vendor's ratios of a day."""
    row = picked(record, "ticker", "cik", as_of="date") | {"period": "snapshot"}
    yield row | taken(record, RATIOS, ABOUT)


def financials(record: Mapping[str, Any]) -> Iterator[Row]:
    """The old endpoint's report: all statements of a period in one."""
    told = record.get("financials")
    if not isinstance(told, Mapping):
        raise Unmade("financials is missing, or not an object with fields")
    figures: dict[str, Any] = {}
    units = set()
    for part in told.values():
        if not isinstance(part, Mapping):
            raise Unmade("a statement of it is not an object with fields")
        for name, item in part.items():
            if isinstance(item, Mapping) and item.get("value") is not None:
                figures[name] = item["value"]
                units.add(str(item.get("unit", "")).partition(" ")[0].upper())
    frame = str(record.get("timeframe") or "")
    quarter = str(record.get("fiscal_period") or "")
    period = PERIODS.get(frame) or {"FY": "annual", "TTM": "ttm"}.get(quarter, "quarterly" if quarter.startswith("Q") else None)
    if period is None:
        raise Unmade(f"fiscal_period is {quarter!r}: its period is not known")
    row = picked(record, "start_date", "cik", "company_name", as_of="end_date", filed_at="filing_date", source_url="source_filing_url")
    row |= {"period": period, "fiscal_period": quarter or None, "fiscal_year": whole(record.get("fiscal_year"))}
    currencies = {unit for unit in units if len(unit) == 3 and unit.isalpha()}
    if len(currencies) == 1:
        row["currency"] = currencies.pop()
    for symbol in symbols_of(record):
        yield row | taken(figures, OLD, ()) | {"ticker": symbol}


def whole(told: Any) -> Any:
    """A year that the old endpoint writes as text."""
    return int(told) if isinstance(told, str) and told.isdigit() else told


def joined(parts: Iterable[tuple[Iterable[Any], Callable[[Mapping[str, Any]], Iterator[Row]]]]) -> tuple[list[Row], list[Refused]]:
    """Records of several endpoints as rows, one for each ticker, date and period."""
    rows: dict[tuple[Any, ...], Row] = {}
    refused: list[Refused] = []
    for records, maker in parts:
        some, odd = made(records, maker)
        refused += odd
        for row in some:
            key = tuple(str(row.get(name)) for name in ("ticker", "as_of", "period"))
            held = rows.setdefault(key, {})
            items = {**held.get("items", {}), **row.get("items", {})}
            # A company files a period again: the later filing is the newer version.
            older = str(row.get("filed_at") or "") < str(held.get("filed_at") or "")
            told = {name: value for name, value in row.items() if value is not None}
            rows[key] = ({**told, **held} if older else {**held, **told}) | ({"items": items} if items else {})
    for row in rows.values():
        row["items"] = as_json(row.get("items"))
    return list(rows.values()), refused
