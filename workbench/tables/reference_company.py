"""What companies report and what is written about them: fundamentals and news."""

from workbench.tables.reference_columns import (
    CLIENT,
    OAS,
    SEEN_AT,
    SOURCE,
    TICKER,
    UPDATED_AT,
    number,
    optional,
    reference,
    text,
)
from workbench.tables.spec import Column

MONEY = "currency"

FUNDAMENTALS = reference(
    "fundamentals",
    "What companies reported, a row per ticker, period and source: statements by the end of their period, and ratios or profile of the day they were asked for.",
    (
        TICKER,
        Column("as_of", "DATE", "The date the figures are for: the end of the period, or the day of a snapshot."),
        text("period", "annual, quarterly, ttm (twelve months up to as_of), or snapshot (ratios and profile as of that day)."),
        Column("fiscal_year", "SMALLINT", "The company's own year.", "year", required=False, low=1900, high=2200),
        optional("fiscal_period", "Q1, Q2, Q3, Q4, FY or TTM."),
        optional("start_date", "First day of the period.", "DATE"),
        optional("filed_at", "When the report was filed: before this date nobody knew it.", "DATE"),
        optional("currency", "ISO code of the amounts."),
        number("market_cap", "Shares outstanding times price.", MONEY, low=0),
        number("pe_ratio", "Price over earnings per share.", "ratio"),
        number("eps", "Diluted earnings per share, or basic where only those are told.", "currency per share"),
        number("dividend_yield", "Dividends of a year over price: 0.01 is one per cent.", "fraction", low=0),
        number("beta", "Of the share against its market, as the source works it out.", "ratio"),
        number("shares_outstanding", "Shares outstanding, or the weighted average of the period where only that is told.", "shares", low=0),
        number("revenue", "Of the period.", MONEY),
        number("gross_profit", "Of the period.", MONEY),
        number("operating_income", "Of the period.", MONEY),
        number("net_income", "Of the period.", MONEY),
        number("total_assets", "At the end of the period.", MONEY),
        number("total_liabilities", "At the end of the period.", MONEY),
        number("equity", "At the end of the period.", MONEY),
        number("cash", "Cash and what is as good as cash, at the end of the period.", MONEY),
        number("long_term_debt", "At the end of the period.", MONEY),
        number("operating_cash_flow", "Of the period.", MONEY),
        number("capital_expenditure", "Of the period; mostly negative.", MONEY),
        optional("sector", "As the source names it."),
        optional("industry", "As the source names it."),
        optional("company_name", "As it was filed."),
        optional("cik", "The company's number at the SEC."),
        optional("source_url", "Where the report can be read."),
        optional("items", "Everything else that the source tells, as a JSON object: item to value."),
        SOURCE,
        UPDATED_AT,
    ),
    ("ticker", "as_of", "period", "source"),
    f"/stocks/financials/v1/* and /vX/reference/financials ({OAS}; {CLIENT}); Yahoo's statements and profile through yfinance",
)

NEWS_ITEMS = reference(
    "news_items",
    "Articles that the vendor passes on, a row each. A file holds a month of them.",
    (
        text("id", "The vendor's id of the article."),
        Column("published_at", "TIMESTAMPTZ", "When it was published."),
        text("title", "Its headline."),
        optional("author", "Who wrote it."),
        optional("publisher", "Who published it."),
        text("article_url", "Where it can be read."),
        optional("tickers", "Symbols that it is about.", "VARCHAR[]"),
        optional("keywords", "As the publisher gives them.", "VARCHAR[]"),
        optional("description", "Its first lines, or a summary."),
        optional(
            "insights",
            "What the vendor's model makes of it, as a JSON list: ticker, sentiment, sentiment_reasoning. Absent in old articles.",
        ),
        optional("amp_url", "Its page for telephones."),
        optional("image_url", "Its picture."),
        optional("publisher_url", "The publisher's home page."),
        optional("publisher_logo_url", "The publisher's logo."),
        optional("publisher_favicon_url", "The publisher's icon."),
        SOURCE,
        SEEN_AT,
    ),
    ("id",),
    f"/v2/reference/news ({OAS})",
)

TABLES = (FUNDAMENTALS, NEWS_ITEMS)
