-- Bars of stocks, as Tetra's hypertable has them: of each session the finest that landed, so that sums and counts never double.
--
-- A session is shown in minutes (`timeframe` '1m') where stock_minute holds it, else in day bars ('1d'); a ticker without a minute in a session of
-- which minutes landed is shown by its day bar. Prices are raw, as traded, and `volume` is fractional since 2026. The vendor's bars have no `vwap`. A
-- day bar's `timestamp` is midnight in New York; `id` derives from symbol and timestamp, `created_at` and `updated_at` are when the session first and
-- last landed. Rows that people appended show where the lake has no bar of their symbol in their
-- session, the finest timeframe of them.
--
-- Example: SELECT * FROM market_data.ohlcv WHERE symbol = 'AAPL' ORDER BY timestamp DESC LIMIT 1
-- Example: SELECT symbol, sum(volume) AS volume FROM market_data.ohlcv WHERE timestamp >= now() - INTERVAL 30 DAY GROUP BY symbol
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
    '1m' AS timeframe,
    source,
    (SELECT created FROM workbench.landed_times WHERE base_table = 'stock_minute')[date - DATE '1989-12-31'] AS created_at,
    (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_minute')[date - DATE '1989-12-31'] AS updated_at
FROM main.stock_minute
UNION ALL
SELECT
    md5(concat(ticker, ' ', epoch_us(timestamp)))::UUID,
    ticker,
    timestamp,
    open,
    high,
    low,
    close,
    volume,
    NULL::DOUBLE,
    transactions,
    '1d',
    source,
    (SELECT created FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31'],
    (SELECT updated FROM workbench.landed_times WHERE base_table = 'stock_day')[date - DATE '1989-12-31']
FROM workbench.days_without_minutes
UNION ALL
SELECT
    i.id,
    i.symbol,
    i.timestamp,
    i.open,
    i.high,
    i.low,
    i.close,
    i.volume,
    i.vwap,
    i.trades_count,
    i.timeframe,
    i.source,
    i.created_at,
    i.updated_at
FROM (
    SELECT
        id,
        symbol::VARCHAR AS symbol,
        timestamp::TIMESTAMPTZ AS timestamp,
        open,
        high,
        low,
        close,
        volume,
        vwap,
        trades_count,
        timeframe::VARCHAR AS timeframe,
        source,
        created_at,
        updated_at,
        (timestamp AT TIME ZONE 'America/New_York')::DATE AS date
    FROM imported.market_data_ohlcv
) AS i
ANTI JOIN workbench.imported_twice AS t ON t.symbol = i.symbol AND t.date = i.date AND t.timeframe = i.timeframe
