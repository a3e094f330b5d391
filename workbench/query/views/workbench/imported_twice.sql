-- Symbols, sessions and timeframes of bars that people appended to `market_data.ohlcv` and that are not shown there: the lake has bars of the same
-- symbol and session itself, or finer ones were appended.
--
-- This is what it means. It is kept in memory, and made anew when the lake's bars or the appended ones change.
--
-- Example: SELECT symbol, count(*) AS sessions FROM workbench.imported_twice GROUP BY symbol ORDER BY symbol
SELECT symbol, date, timeframe
FROM (
    SELECT DISTINCT symbol, (timestamp AT TIME ZONE 'America/New_York')::DATE AS date, timeframe
    FROM imported.market_data_ohlcv
) AS i
QUALIFY rank() OVER (PARTITION BY symbol, date ORDER BY main.bar_seconds(timeframe) NULLS LAST, timeframe) > 1
    OR (symbol, date) IN (SELECT (ticker, date) FROM main.stock_day UNION ALL SELECT (ticker, date) FROM main.stock_minute)
