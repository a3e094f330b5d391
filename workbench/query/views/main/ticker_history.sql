-- Which symbol an asset had when, as `ticker_changes` tells it, with every end filled in: a row for each spell, first and last day included.
--
-- A spell whose beginning is not told begins the day after the asset's spell before it, or with time itself (0001-01-01); one that lasts ends on
-- 9999-12-31.
SELECT
    asset,
    ticker,
    coalesce(first_date, lag(last_date) OVER spells + 1, DATE '0001-01-01') AS first_date,
    coalesce(last_date, DATE '9999-12-31') AS last_date,
    name
FROM main.ticker_changes
WINDOW spells AS (PARTITION BY asset ORDER BY coalesce(last_date, DATE '9999-12-31'), first_date NULLS FIRST)
