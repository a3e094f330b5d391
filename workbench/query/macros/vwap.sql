-- The average price of trades or bars, weighted by their sizes; NULL where nothing was traded.
--
-- Example: SELECT date, vwap(close, volume) AS vwap FROM stock_minute WHERE ticker = 'AAPL' GROUP BY date ORDER BY date
CREATE OR REPLACE MACRO main.vwap(price, size) AS sum(price * size) / nullif(sum(size), 0)
