-- Daily prices of stocks, a row per ticker and date: the day bars of the base table stock_day, as traded, and those that people imported.
--
-- `id` derives from ticker and date, so that it stays the same; it has no order. `date` is a date: it compares with texts like '2024-01-02' and prints
-- as one. `volume` may be a fraction. Of imported rows those show whose ticker and date the lake has no bar of.
--
-- Example: SELECT date, open, high, low, close, volume FROM ampyfin.price_data WHERE ticker = 'AAPL' AND date >= '2014-06-01' ORDER BY date LIMIT 10
SELECT
    (md5_number_lower(b.ticker || ' ' || b.date::VARCHAR) >> 1)::BIGINT AS id,
    b.ticker,
    b.date,
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume
FROM main.stock_day AS b
UNION ALL
SELECT i.id, i.ticker, i.date, i.open, i.high, i.low, i.close, i.volume
FROM imported.ampyfin_price_data AS i
LEFT JOIN main.stock_day AS b ON b.ticker = i.ticker AND b.date = i.date
WHERE b.ticker IS NULL
