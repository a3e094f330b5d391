"""News, statements, listings and the economy, as the vendor's lists say them of the made-up market."""

from typing import Any

from farend.shapes import Row

PUBLISHER = {
    "name": "The Example Wire",
    "homepage_url": "https://news.example.com/",
    "logo_url": "https://news.example.com/logo.svg",
    "favicon_url": "https://news.example.com/favicon.ico",
}
ENDS = ("2022-12-31", "2023-12-31")
QUARTERS = ("2023-09-30", "2023-12-31", "2024-03-31")


def article(number: int, at: str, title: str, tickers: list[str], **more: Any) -> Row:
    row: Row = {"id": f"{number:064x}", "publisher": PUBLISHER, "title": title, "author": "A. Reporter", "published_utc": at}
    row |= {"article_url": f"https://news.example.com/{number}", "tickers": tickers, "image_url": "https://news.example.com/i.png"}
    return row | {"description": f"{title}. More within.", "amp_url": f"https://news.example.com/amp/{number}"} | more


def news() -> list[Row]:
    """Articles: old ones have neither keywords nor insights, and one is of many tickers."""
    rows = [article(n, f"2024-03-{1 + n // 2:02d}T{10 + n % 12}:48:00Z", f"Acme said {n} things", ["ACME"]) for n in range(40)]
    insights = [{"ticker": "ACME", "sentiment": "positive", "sentiment_reasoning": "They grew."}]
    rows.append(article(100, "2024-06-03T12:00:00Z", 'Acme & <Dividend>, "both"', ["ACME", "DIVI"], keywords=["growth"], insights=insights))
    return rows


def point(value: float, label: str, order: int) -> Row:
    return {"value": value, "unit": "USD", "label": label, "order": order}


def financials() -> list[Row]:
    """The old endpoint's statements, item by item, annual and by quarter."""
    rows = []
    for ticker, cik, size in (("ACME", "0000000042", 1e9), ("DIVI", "0000000043", 2e8)):
        for nth, end in enumerate((*ENDS, *QUARTERS)):
            quarter = nth >= len(ENDS)
            revenue = size * (1 + nth / 10) / (4 if quarter else 1)
            rows.append(
                {
                    "start_date": f"{int(end[:4])}-01-01" if not quarter else f"{end[:5]}{int(end[5:7]) - 2:02d}-01",
                    "end_date": end,
                    "filing_date": f"{int(end[:4]) + (end[5:7] == '12')}-{'02' if end[5:7] == '12' else '11' if end[5:7] == '09' else '05'}-01",
                    "cik": cik,
                    "company_name": ticker.title(),
                    "fiscal_period": f"Q{int(end[5:7]) // 3}" if quarter else "FY",
                    "fiscal_year": end[:4],
                    "timeframe": "quarterly" if quarter else "annual",
                    "tickers": [ticker],
                    "source_filing_url": f"https://api.massive.com/v1/reference/sec/filings/{cik}-{nth}",
                    "financials": {
                        "income_statement": {
                            "revenues": point(revenue, "Revenues", 100),
                            "net_income_loss": point(revenue / 10, "Net Income/Loss", 3200),
                        },
                        "balance_sheet": {"assets": point(size * 2, "Assets", 100), "liabilities": point(size, "Liabilities", 600)},
                        "cash_flow_statement": {"net_cash_flow": point(revenue / 20, "Net Cash Flow", 1100)},
                        "comprehensive_income": {"comprehensive_income_loss": point(revenue / 10, "Comprehensive Income/Loss", 100)},
                    },
                }
            )
    return rows


def statements(**items: float) -> list[Row]:
    """One of the new endpoints' statements: a row a period and timeframe, items as columns."""
    rows = []
    for ticker, cik, size in (("ACME", "0000000042", 1e9), ("DIVI", "0000000043", 2e8)):
        for timeframe, ends in (("annual", ENDS), ("quarterly", QUARTERS)):
            for nth, end in enumerate(ends):
                scale = size * (1 + nth / 10) / (4 if timeframe == "quarterly" else 1)
                row: Row = {"tickers": [ticker], "cik": cik, "period_end": end, "timeframe": timeframe}
                row |= {"fiscal_year": float(end[:4]), "fiscal_quarter": float(int(end[5:7]) // 3)}
                row |= {"filing_date": f"{int(end[:4]) + 1}-02-01" if end.endswith("12-31") else f"{end[:5]}{int(end[5:7]) + 2:02d}-01"}
                rows.append(row | {name: share * scale for name, share in items.items()})
    return rows


def ratios() -> list[Row]:
    return [
        {"ticker": "ACME", "cik": "0000000042", "date": "2024-06-28", "price": 101.0, "market_cap": 1e10, "price_to_earnings": 20.5},
        # A company that loses money has no price to earnings.
        {"ticker": "DIVI", "cik": "0000000043", "date": "2024-06-28", "price": 54.0, "market_cap": 2e9, "dividend_yield": 0.036},
    ]


def ipos() -> list[Row]:
    common: Row = {"currency_code": "USD", "security_type": "CS", "primary_exchange": "XNAS", "lot_size": 100, "last_updated": "2024-04-28"}
    return [
        {
            "ticker": "REUSE",
            "issuer_name": "Second Holder of the Name",
            "listing_date": "2024-05-01",
            "announced_date": "2024-03-20",
            "ipo_status": "history",
            "final_issue_price": 18.0,
            "lowest_offer_price": 16.0,
            "highest_offer_price": 19.0,
            "max_shares_offered": 5_000_000,
            "isin": "US0000000019",
            **common,
        },
        {"ticker": "SOON", "issuer_name": "Soon Listed Inc.", "announced_date": "2026-11-02", "ipo_status": "pending", **common},
        {"issuer_name": "No Ticker Yet Inc.", "announced_date": "2026-11-09", "ipo_status": "rumor", **common},
    ]


def economy() -> dict[str, list[Row]]:
    """The vendor's economic series; the young maturities and last months are absent, as they are."""
    months = [f"{year}-{month:02d}-01" for year in (2023, 2024) for month in range(1, 13)]
    yields: list[Row] = [{"date": "1962-01-02", "yield_1_year": 3.22, "yield_5_year": 3.88, "yield_10_year": 4.06}]
    for day in ("2024-03-07", "2024-03-08", "2024-03-11"):
        yields.append({"date": day, "yield_1_month": 5.54, "yield_3_month": 5.46, "yield_1_year": 4.94, "yield_2_year": 4.5})
        yields[-1] |= {"yield_5_year": 4.07, "yield_10_year": 4.09, "yield_30_year": 4.25}
    return {
        "treasury_yields": yields,
        "inflation": [
            {"date": at, "cpi": 300 + n / 2, "cpi_core": 304 + n / 2} | ({"pce": 120 + n / 5} if n < 23 else {})
            for n, at in enumerate(months)
        ],
        "inflation_expectations": [{"date": at, "market_5_year": 2.3, "market_10_year": 2.35, "model_1_year": 2.6} for at in months],
        "labor_market": [
            {"date": at, "unemployment_rate": 3.4 + n / 30} | ({"job_openings": 9000.0} if n < 22 else {}) for n, at in enumerate(months)
        ],
    }


def rows(*, made: bool) -> dict[str, list[Row]]:
    told = {
        "news": news(),
        "financials": financials(),
        "income-statements": statements(revenue=1.0, gross_profit=0.4, consolidated_net_income_loss=0.1, basic_earnings_per_share=1e-9),
        "balance-sheets": statements(total_assets=2.0, total_liabilities=1.0, total_equity=1.0),
        "cash-flow-statements": statements(net_cash_from_operating_activities=0.15, change_in_cash_and_equivalents=0.05),
        "ratios": ratios(),
        "ipos": ipos(),
        "short-interest": [
            {"ticker": "ACME", "settlement_date": day, "short_interest": 120_000, "avg_daily_volume": 2_000_000, "days_to_cover": 1.0}
            for day in ("2024-02-29", "2024-03-15")
        ],
        "short-volume": [
            {"ticker": "ACME", "date": day, "short_volume": 700_000, "total_volume": 1_500_000, "short_volume_ratio": 46.67}
            for day in ("2024-03-07", "2024-03-08")
        ],
        "float": [{"ticker": "ACME", "effective_date": "2024-03-01", "free_float": 90_000_000, "free_float_percent": 90.0}],
        **economy(),
    }
    return told if made else {name: [] for name in told}


def yahoo_info() -> dict[str, dict[str, Row]]:
    """What quoteSummary's modules and the quote say."""
    return {
        "ACME": {
            "assetProfile": {"sector": "Industrials", "industry": "Anvils", "fullTimeEmployees": 3, "longBusinessSummary": "Makes anvils."},
            "summaryDetail": {"marketCap": 10_000_000_000, "trailingPE": 20.5, "currency": "USD"},
            "defaultKeyStatistics": {"sharesOutstanding": 1_010_000, "beta": 1.1},
            "financialData": {"totalRevenue": 1_100_000_000, "profitMargins": 0.1},
            "quoteType": {"quoteType": "EQUITY", "longName": "Acme Corporation", "exchange": "NMS"},
            "quote": {"regularMarketPrice": 101.0, "longName": "Acme Corporation", "exchange": "NMS", "quoteType": "EQUITY"},
        }
    }


def yahoo_statements() -> dict[str, dict[str, dict[str, float]]]:
    """Statements' items by type, period end by period end."""
    found: dict[str, dict[str, float]] = {}
    for name, share in (("TotalRevenue", 1.0), ("NetIncome", 0.1), ("TotalAssets", 2.0), ("OperatingCashFlow", 0.15)):
        found[f"annual{name}"] = {end: share * 1e9 * (1 + nth / 10) for nth, end in enumerate(ENDS)}
        found[f"quarterly{name}"] = {end: share * 2.5e8 * (1 + nth / 10) for nth, end in enumerate(QUARTERS)}
    found["trailingTotalRevenue"] = {"2024-03-31": 1.2e9}
    return {"ACME": found}
