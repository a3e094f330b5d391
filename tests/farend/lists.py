"""What the vendor's lists say: of the made-up market, and of the real files beside the project."""

import copy
from datetime import date
from functools import lru_cache
from hashlib import sha256

from farend import made, market
from farend.shapes import Row

ETFS = {"SPY", "QQQ", "QQQQ", "IWM", "EEM", "BNO", "USO"}
UPDATED = "2026-11-20T07:07:05.914Z"


def figi(kind: str, seed: str) -> str:
    """An identifier that is the same for the same company, whatever it is called."""
    return f"BBG00{kind}{abs(sum(ord(c) * 31**n for n, c in enumerate(seed))) % 10**6:06d}"


def ticker(symbol: str, name: str, *, kind: str = "CS", exchange: str = "XNYS", seed: str = "", delisted: str = "", **more: object) -> Row:
    row: Row = {"ticker": symbol, "name": name, "market": "stocks", "locale": "us", "primary_exchange": exchange, "type": kind}
    row |= {"active": not delisted, "currency_name": "usd", "cik": f"{sum(map(ord, seed or name)) * 7919:010d}"}
    row |= {"composite_figi": figi("C", seed or name), "share_class_figi": figi("S", seed or name), "last_updated_utc": UPDATED}
    return row | ({"delisted_utc": f"{delisted}T05:00:00Z"} if delisted else {}) | more


MADE_TICKERS = [
    ticker("ACME", "Acme Corporation", exchange="XNAS", list_date="1985-09-18", round_lot=100),
    ticker("BACPB", "Bacp Biotech Inc.", exchange="XNAS"),
    ticker("BACpB", "Bank of Somewhere Preferred Series B", kind="PFD"),
    ticker("BRK.B", "Berkshire Hathaway Inc. Class B", list_date="1996-05-09"),
    ticker("DIVI", "Dividend Payers Inc.", list_date="1999-01-04"),
    ticker("E", "ENI S.p.A. American Depositary Shares", kind="ADRC"),
    ticker("GAPS", "Seldom Traded Corp."),
    ticker("GONE", "Gone Industries Inc.", delisted="2024-03-15"),
    ticker("NA", "Nano Labs", exchange="XNAS"),
    ticker("NAN", "Not A Null Municipal Fund", kind="FUND"),
    ticker("NEWCO", "New Company Inc.", seed="newco", list_date="2010-03-01"),
    ticker("OLDCO", "Old Company Inc.", seed="newco", delisted="2024-04-01"),
    ticker("NULL", "Null Semiconductor"),
    ticker("ON", "ON Semiconductor", exchange="XNAS"),
    ticker("OTCX", "Over The Counter Corp.", exchange="", market="otc", type="OS"),
    ticker("REUSE", "First Holder of the Name", seed="first holder", delisted="2024-01-31", list_date="2001-02-05"),
    ticker("REUSE", "Second Holder of the Name", seed="second holder", list_date="2024-05-01"),
    ticker("RVRS", "Reverse Split Pharma"),
    ticker("SPAC.U", "Spac Acquisition Unit", kind="UNIT"),
    ticker("SPAC.WS", "Spac Acquisition Warrants", kind="WARRANT"),
    ticker("SPLT", "Splitting Corp.", list_date="2005-05-05"),
    ticker("TRUE", "TrueCar, Inc.", exchange="XNAS"),
    ticker("TWIN", "Twin Splits Inc."),
    ticker("ZVZZT", "NASDAQ TEST STOCK", exchange="XNAS"),
]
MADE_SPLITS: list[Row] = [
    {"ticker": "SPLT", "execution_date": str(made.SPLIT_ON), "split_from": 1, "split_to": 4},
    {"ticker": "SPLT", "execution_date": "2014-06-02", "split_from": 2, "split_to": 3},
    {"ticker": "RVRS", "execution_date": str(made.REVERSE_ON), "split_from": 10, "split_to": 1},
    {"ticker": "TWIN", "execution_date": str(made.TWIN_ON), "split_from": 1, "split_to": 10},
    # The vendor has such pairs: the same split under the date of its announcement too.
    {"ticker": "TWIN", "execution_date": "2024-04-08", "split_from": 1, "split_to": 10, "_false": True},
    {"ticker": "ACME", "execution_date": "2027-01-04", "split_from": 1, "split_to": 2},
]


def dividend(symbol: str, ex: str, cash: float, *, kind: str = "CD", frequency: int = 4, **more: object) -> Row:
    row: Row = {"ticker": symbol, "ex_dividend_date": ex, "cash_amount": cash, "currency": "USD", "dividend_type": kind}
    return row | {"declaration_date": ex, "record_date": ex, "pay_date": ex, "frequency": frequency} | more


MADE_DIVIDENDS = [
    dividend("DIVI", "2024-02-14", 0.5, declaration_date="2024-01-30", pay_date="2024-03-01"),
    dividend("DIVI", "2024-03-20", 2.25, kind="SC", frequency=0, declaration_date="2024-03-01", pay_date="2024-04-05"),
    dividend("DIVI", "2024-05-15", 0.5, declaration_date="2024-04-30", pay_date="2024-06-03"),
    dividend("SPLT", "2024-02-08", 0.8, declaration_date="2024-01-25", pay_date="2024-02-29"),
    dividend("SPLT", "2024-05-09", 0.2, declaration_date="2024-04-25", pay_date="2024-05-31"),
    dividend("BACpB", "2024-03-27", 0.59375, currency="CAD", pay_date="2024-04-15"),
    # Declared years ahead, as some are.
    dividend("BACpB", "2027-06-12", 0.59375, declaration_date="2020-09-09"),
]
MADE_CHANGES: list[Row] = [{"_figi": figi("C", "newco"), "date": "2024-04-01", "ticker": "NEWCO"}]
MADE_CHANGES += [{"_figi": figi("C", "newco"), "date": "2010-03-01", "ticker": "OLDCO"}]

EXCHANGES = [
    (1, "XASE", "A", "NYSE American, LLC"),
    (2, "XBOS", "B", "Nasdaq OMX BX, Inc."),
    (3, "XCIS", "C", "NYSE National, Inc."),
    (4, "FINY", "D", "FINRA NYSE TRF"),
    (4, "FINN", "D", "FINRA Nasdaq TRF Carteret"),
    (4, "FINC", "D", "FINRA Nasdaq TRF Chicago"),
    (4, "XADF", "D", "FINRA Alternative Display Facility"),
    (5, "", "E", "Unlisted Trading Privileges"),
    (6, "XISE", "I", "International Securities Exchange, LLC - Stocks"),
    (7, "EDGA", "J", "Cboe EDGA"),
    (8, "EDGX", "K", "Cboe EDGX"),
    (9, "XCHI", "M", "NYSE Chicago, Inc."),
    (10, "XNYS", "N", "New York Stock Exchange"),
    (11, "ARCX", "P", "NYSE Arca, Inc."),
    (12, "XNAS", "T", "Nasdaq"),
    (13, "", "S", "Consolidated Tape Association"),
    (14, "LTSE", "L", "Long-Term Stock Exchange"),
    (15, "IEXG", "V", "Investors Exchange"),
    (16, "CBSX", "W", "Cboe Stock Exchange"),
    (17, "XPHL", "X", "Nasdaq Philadelphia Exchange LLC"),
    (18, "BATY", "Y", "Cboe BYX"),
    (19, "BATS", "Z", "Cboe BZX"),
    (20, "EPRL", "H", "MIAX Pearl"),
    (21, "MEMX", "U", "Members Exchange"),
]
# Trades' conditions by what they update: high and low, open and close, volume.
TRADE_RULES = {
    (True, True, True): {
        1: "Acquisition",
        3: "Automatic Execution",
        8: "Closing Prints",
        14: "Intermarket Sweep",
        18: "Reopening Prints",
        25: "Opening Prints",
        30: "Sold Last",
        34: "Split Trade",
    },
    (True, False, True): {10: "Derivatively Priced", 22: "Prior Reference Price", 32: "Sold (Out of Sequence)"},
    (False, False, True): {
        2: "Average Price Trade",
        7: "Cash Sale",
        12: "Form T/Extended Hours",
        37: "Odd Lot Trade",
        52: "Contingent Trade",
    },
    (False, False, False): {15: "Market Center Official Close", 16: "Market Center Official Open"},
    (True, True, False): {38: "Corrected Consolidated Close (per listing market)"},
}
QUOTE_CONDITIONS = {1: "Regular, Two-Sided Open", 2: "Regular, One-Sided Open", 81: "Corrected Price Indication", 94: "CQS Generated"}
TYPES = [
    "CS",
    "ADRC",
    "ADRP",
    "ADRR",
    "UNIT",
    "RIGHT",
    "PFD",
    "FUND",
    "SP",
    "WARRANT",
    "INDEX",
    "ETF",
    "ETN",
    "OS",
    "GDR",
    "OTHER",
    "NYRS",
    "AGEN",
    "EQLK",
    "BOND",
    "ADRW",
    "BASKET",
    "LT",
]


def conditions() -> list[Row]:
    """Conditions of trades, of which one rule is told as absent, and of quotes, whose ids are the same numbers."""
    rows: list[Row] = []
    for (high_low, open_close, volume), names in TRADE_RULES.items():
        rule = {"updates_high_low": high_low, "updates_open_close": open_close, "updates_volume": volume}
        for number, name in names.items():
            rows.append({"id": number, "type": "sale_condition", "name": name, "asset_class": "stocks", "data_types": ["trade"]})
            rows[-1] |= {"sip_mapping": {"CTA": "@", "UTP": "@"}, "update_rules": {"consolidated": rule, "market_center": rule}}
    rows.append({"id": 41, "type": "trade_thru_exempt", "name": "Trade Thru Exempt", "asset_class": "stocks", "data_types": ["trade"]})
    rows.append(
        {"id": 6, "type": "sale_condition", "name": "CAP Election Trade", "asset_class": "stocks", "data_types": ["trade"], "legacy": True}
    )
    for number, name in QUOTE_CONDITIONS.items():
        rows.append({"id": number, "type": "quote_condition", "name": name, "asset_class": "stocks", "data_types": ["bbo", "nbbo"]})
    return rows


def exchanges() -> list[Row]:
    rows = []
    for number, mic, letter, name in EXCHANGES:
        kind = "TRF" if number == 4 else "SIP" if number in (5, 13) else "exchange"
        row: Row = {"id": number, "type": kind, "asset_class": "stocks", "locale": "us", "name": name, "participant_id": letter}
        rows.append(row | ({"mic": mic, "operating_mic": mic, "url": f"https://www.example.com/{mic.lower()}"} if mic else {}))
    return rows


def types() -> list[Row]:
    return [{"code": code, "description": code, "asset_class": "stocks", "locale": "us"} for code in TYPES]


HOLIDAYS: list[Row] = [
    {"exchange": exchange, **row}
    for row in (
        {"name": "Thanksgiving", "date": "2026-11-26", "status": "closed"},
        {
            "name": "Thanksgiving",
            "date": "2026-11-27",
            "status": "early-close",
            "open": "2026-11-27T14:30:00.000Z",
            "close": "2026-11-27T18:00:00.000Z",
        },
        {"name": "Christmas", "date": "2026-12-25", "status": "closed"},
        {"name": "New Years Day", "date": "2027-01-01", "status": "closed"},
    )
    for exchange in ("NYSE", "NASDAQ")
]


@lru_cache(maxsize=2)
def real_tickers() -> list[Row]:
    """The symbols of the real files; the far end knows no more of them than that they were traded."""
    last = max(market.files("day_aggs_v1"), default=date.min)
    now = set(market.real_bars("day_aggs_v1", last))
    rows = []
    for symbol in market.real_tickers():
        gone = "" if symbol in now else "2014-12-31"
        row = ticker(symbol, f"{symbol} Inc.", kind="ETF" if symbol in ETFS else "CS", seed=symbol, delisted=gone)
        rows.append(row)
    return rows


def real_changes() -> list[Row]:
    """Renames as events: a name's first day is the one after the last of the name before."""
    rows: list[Row] = []
    since: dict[str, str] = {}
    for change in market.real_reference("ticker_changes"):
        company, last = change["asset"], change["last_date"]
        begun = since.get(company, "19980101")
        rows.append({"_figi": figi("C", company), "date": f"{begun[:4]}-{begun[4:6]}-{begun[6:]}", "ticker": change["ticker"]})
        since[company] = last
    return rows


def identified(rows: list[Row]) -> list[Row]:
    """Rows with the id that the vendor gives each, the same for the same content."""
    return [{"id": "E" + sha256(repr(row).encode()).hexdigest(), **row} for row in rows]


def rows(*, real: bool, made: bool) -> dict[str, list[Row]]:
    """All lists, as a test may change them."""
    from farend import company

    told: dict[str, list[Row]] = {
        "tickers": MADE_TICKERS * made + (real_tickers() if real else []),
        "splits": identified(MADE_SPLITS * made + list(market.real_reference("splits")) * real),
        "dividends": identified(MADE_DIVIDENDS * made + list(market.real_reference("dividends")) * real),
        "changes": MADE_CHANGES * made + (real_changes() if real else []),
        "conditions": conditions(),
        "exchanges": exchanges(),
        "types": types(),
        "holidays": HOLIDAYS,
    }
    return copy.deepcopy(told | company.rows(made=made))
