-- Bars of stocks' sessions and of their parts, summed up from the minutes in `workbench.minutes_left`: a row for each ticker, session and part that has a bar.
--
-- Made of: workbench.minutes_left, main.market_sessions
--
-- Example: SELECT session, count(*) AS bars FROM workbench.sessions_left GROUP BY session ORDER BY session
SELECT ticker, date, 'all' AS session, open, high, low, close, volume, transactions, vwap, bars, source, is_test
FROM main.stock_sessions
LIMIT 0
