-- Sessions of stocks, from what is summed up already and from all that is not: what `market_data.ohlcv_daily` and the longer bars are made of.
--
-- `vwap` is the mean of the bars' own, as documents have it; `price` the closes of minutes, and the vwap of bars that people wrote, weighted by volume.
--
-- Example: SELECT day, open, close, volume, price FROM workbench.bars_of_days WHERE symbol = 'AAPL' ORDER BY day DESC LIMIT 10
SELECT
    ticker AS symbol,
    timestamp AS day,
    open,
    high,
    low,
    close,
    volume,
    NULL::DOUBLE AS vwap,
    vwap AS price
FROM workbench.rolled_up
UNION ALL
SELECT ticker, timestamp, open, high, low, close, volume, NULL::DOUBLE, NULL::DOUBLE
FROM workbench.days_left
UNION ALL
SELECT
    symbol,
    time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York') AS day,
    arg_min(open, timestamp) AS open,
    max(high) AS high,
    min(low) AS low,
    arg_max(close, timestamp) AS close,
    sum(volume) AS volume,
    avg(vwap) AS vwap,
    sum(price * volume) / nullif(sum(volume) FILTER (price IS NOT NULL), 0) AS price
FROM (
    SELECT ticker AS symbol, timestamp, open, high, low, close, volume, NULL::DOUBLE AS vwap, close AS price
    FROM workbench.minutes_left
    UNION ALL
    SELECT symbol::VARCHAR, timestamp::TIMESTAMPTZ, open, high, low, close, volume, vwap, vwap
    FROM workbench.imported_left
) AS bars
GROUP BY symbol, time_bucket(INTERVAL 1 DAY, timestamp, 'America/New_York')
