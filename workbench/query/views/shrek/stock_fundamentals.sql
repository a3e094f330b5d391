-- What companies reported, a row per symbol, date and period; from the base table fundamentals.
--
-- Where several sources tell of the same period, the row is of the best of them: the vendor's API, then a folder, then Yahoo; `source` says which.
-- `as_of` is the date that the figures are for, `filed_at` the day on which they became known: whoever tests a strategy must not read a row before
-- it. A NULL means that the source does not tell the figure, never that it is zero. `period` is annual, quarterly, ttm or snapshot.
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
