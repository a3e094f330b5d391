-- Bars that people appended to `market_data.ohlcv` and that the views of sessions sum up: where the lake has none of their symbol and session.
--
-- Example: SELECT symbol, count(*) AS bars FROM workbench.imported_left GROUP BY symbol ORDER BY symbol
SELECT i.*
FROM imported.market_data_ohlcv AS i
ANTI JOIN workbench.imported_twice AS t
    ON t.symbol = i.symbol AND t.date = (i.timestamp AT TIME ZONE 'America/New_York')::DATE AND t.timeframe = i.timeframe
ANTI JOIN workbench.rolled_up AS r ON r.ticker = i.symbol AND r.date = (i.timestamp AT TIME ZONE 'America/New_York')::DATE
