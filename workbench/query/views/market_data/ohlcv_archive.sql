-- Bars of stocks that retention took out of `market_data.ohlcv` and keeps, minutes and days, each as it stood there.
--
-- The lake's whole archive, with options, crypto and all columns, is ohlcv_archive.
--
-- Example: SELECT timeframe, min(timestamp), max(timestamp), count(*) FROM market_data.ohlcv_archive GROUP BY timeframe
SELECT
    md5(concat(ticker, ' ', epoch_us(timestamp)))::UUID AS id,
    ticker AS symbol,
    timestamp,
    open,
    high,
    low,
    close,
    volume,
    NULL::DOUBLE AS vwap,
    transactions AS trades_count,
    timeframe,
    source,
    CASE timeframe
        WHEN '1m' THEN (SELECT created FROM workbench.landed_times WHERE base_table = 'stock_minute')[date - DATE '1989-12-31']
        ELSE (SELECT created FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31']
    END AS created_at,
    CASE timeframe
        WHEN '1m' THEN (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_minute')[date - DATE '1989-12-31']
        ELSE (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31']
    END AS updated_at
FROM main.ohlcv_archive
WHERE base_table IN ('stock_minute', 'stock_day')
