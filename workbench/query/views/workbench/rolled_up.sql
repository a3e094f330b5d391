-- Sessions of stocks that are summed up from minutes and stand as they should, a row for each ticker: the rows of stock_sessions that say what is so.
--
-- Rows of sessions that landed anew since are left out until they are summed up again.
--
-- Example: SELECT date, count(*) AS tickers FROM workbench.rolled_up GROUP BY date ORDER BY date DESC LIMIT 10
SELECT *
FROM main.stock_sessions
