-- The last day on which a company had a ticker that has been free, or another's, since: what happens to the ticker later is not that company's.
--
-- Told by `ticker_changes`, where the spell after it is another asset's, or there is none; and by `tickers`, where the row after one that was delisted
-- is another company's, by composite_figi, else cik, else name. An asset that has the ticker again, with nobody between, hands nothing over.
SELECT ticker, last_date
FROM (
    SELECT
        ticker,
        last_date,
        lead(asset) OVER (PARTITION BY ticker ORDER BY last_date, first_date) IS DISTINCT FROM asset AS is_anothers
    FROM main.ticker_history
)
WHERE is_anothers AND last_date < DATE '9999-12-31'
UNION
SELECT ticker, delisted
FROM (
    SELECT
        ticker,
        delisted,
        CASE
            WHEN composite_figi IS NOT NULL AND lead(composite_figi) OVER rows IS NOT NULL THEN composite_figi <> lead(composite_figi) OVER rows
            WHEN cik IS NOT NULL AND lead(cik) OVER rows IS NOT NULL THEN cik <> lead(cik) OVER rows
            ELSE name <> lead(name) OVER rows
        END AS is_anothers
    FROM main.tickers
    WINDOW rows AS (PARTITION BY ticker ORDER BY delisted NULLS LAST, last_seen)
)
WHERE is_anothers AND delisted IS NOT NULL
