-- What splits, or with `adjust := 'all'` splits and dividends, up to a day (default: today) do to the bars of some tickers: for sessions from `since` on and
-- before `until`, prices are multiplied by `price_factor` and volumes by `volume_factor`. With `along`, the earlier symbols' actions count, too.
--
-- Sessions that no later action concerns have no row.
--
-- Example: SELECT * FROM steps_of(['AAPL', 'IBM'], adjust := 'all', as_of_date := '2014-12-31')
CREATE OR REPLACE MACRO main.steps_of(symbols, adjust := 'splits', as_of_date := NULL, along := false) AS TABLE
SELECT
    asked AS ticker,
    greatest(since, lag(date, 1, DATE '0001-01-01') OVER (PARTITION BY asked ORDER BY date)) AS since,
    date AS until,
    product(price_factor) OVER later AS price_factor,
    product(volume_factor) OVER later AS volume_factor
FROM (
    SELECT asked, since, date, product(price_factor) AS price_factor, product(volume_factor) AS volume_factor
    FROM main.actions_of(symbols, as_of_date := as_of_date, along := along)
    WHERE applies AND (kind = 'split' OR adjust = 'all')
    GROUP BY asked, since, date
)
WINDOW later AS (PARTITION BY asked, since ORDER BY date DESC)
