-- What companies reported, a row per symbol, date and period; from the base table fundamentals, and what people imported.
--
-- Where several sources tell of the same period, the row is of the best of them: the vendor's API, then a folder, then Yahoo; `source` says which.
-- `as_of` is the date that the figures are for, `filed_at` the day on which they became known: whoever tests a strategy must not read a row before
-- it. A NULL means that the source does not tell the figure, never that it is zero. `period` is annual, quarterly, ttm or snapshot. Of imported rows
-- those show whose symbol, date and period are not here.
--
-- Example: SELECT as_of, period, revenue, net_income FROM shrek.stock_fundamentals WHERE symbol = 'AAPL' ORDER BY as_of
SELECT
    ticker AS symbol,
    as_of,
    period,
    fiscal_year,
    fiscal_period,
    market_cap,
    pe_ratio,
    eps,
    dividend_yield,
    beta,
    shares_outstanding,
    revenue,
    net_income,
    total_assets,
    total_liabilities,
    operating_cash_flow,
    sector,
    industry,
    currency,
    filed_at,
    source,
    updated_at
FROM main.fundamentals
QUALIFY row_number() OVER (
    PARTITION BY ticker, as_of, period
    ORDER BY list_position(['polygon_api', 'folder', 'yahoo'], source) NULLS LAST, updated_at DESC
) = 1
UNION ALL
SELECT
    i.symbol,
    i.as_of,
    i.period,
    i.fiscal_year,
    i.fiscal_period,
    i.market_cap,
    i.pe_ratio,
    i.eps,
    i.dividend_yield,
    i.beta,
    i.shares_outstanding,
    i.revenue,
    i.net_income,
    i.total_assets,
    i.total_liabilities,
    i.operating_cash_flow,
    i.sector,
    i.industry,
    i.currency,
    i.filed_at,
    i.source,
    i.updated_at
FROM imported.shrek_stock_fundamentals AS i
LEFT JOIN (SELECT DISTINCT ticker AS symbol, as_of, period FROM main.fundamentals) AS b ON b.symbol = i.symbol AND b.as_of = i.as_of AND b.period = i.period
WHERE b.symbol IS NULL
