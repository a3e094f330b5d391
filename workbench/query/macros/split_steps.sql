-- What splits up to a day (default: today) do to a ticker's bars: for sessions from `since` on and before `until`, prices are multiplied by `price_factor` and
-- volumes by `volume_factor`.
--
-- Sessions that no later split concerns have no row.
--
-- Example: SELECT * FROM split_steps('AAPL', as_of_date := '2014-12-31')
CREATE OR REPLACE MACRO main.split_steps(symbol, as_of_date := NULL) AS TABLE
SELECT
    ticker,
    greatest(since, lag(date, 1, DATE '0001-01-01') OVER (ORDER BY date)) AS since,
    date AS until,
    product(price_factor) OVER later AS price_factor,
    product(volume_factor) OVER later AS volume_factor
FROM workbench.kept_splits
WHERE ticker = symbol AND applies AND date <= coalesce(as_of_date::DATE, (SELECT day FROM workbench.known_day))
WINDOW later AS (PARTITION BY since ORDER BY date DESC)
