-- Bars of stocks' sessions and of their parts, from minutes: pre (04:00 to the opening), regular, post (to 20:00, 17:00 after an early close), and all.
--
-- `all` takes in every minute of the session, also one outside of the three parts; a part without a minute has no row. `vwap` is the closes of minutes
-- weighted by their volume, since the vendor's bars have none; `bars` counts minutes. Sessions that are summed up already (stock_sessions) are read
-- as they are, the rest is computed when it is asked for. Sessions of which no minutes landed are not here: they are in `market_data.ohlcv_daily`.
--
-- Example: SELECT day, session, open, close, volume, vwap FROM market_data.ohlcv_sessions WHERE symbol = 'AAPL' AND session = 'regular' ORDER BY day DESC LIMIT 10
-- Example: SELECT session, sum(volume) AS volume FROM market_data.ohlcv_sessions WHERE symbol = 'AAPL' GROUP BY session ORDER BY session
SELECT
    ticker AS symbol,
    timestamp AS day,
    'all' AS session,
    open,
    high,
    low,
    close,
    volume,
    vwap,
    transactions,
    bars
FROM workbench.rolled_up
UNION ALL
SELECT
    ticker,
    timestamp,
    'pre',
    pre_open,
    pre_high,
    pre_low,
    pre_close,
    pre_volume,
    pre_vwap,
    pre_transactions,
    pre_bars
FROM workbench.rolled_up
WHERE pre_bars > 0
UNION ALL
SELECT
    ticker,
    timestamp,
    'regular',
    regular_open,
    regular_high,
    regular_low,
    regular_close,
    regular_volume,
    regular_vwap,
    regular_transactions,
    regular_bars
FROM workbench.rolled_up
WHERE regular_bars > 0
UNION ALL
SELECT
    ticker,
    timestamp,
    'post',
    post_open,
    post_high,
    post_low,
    post_close,
    post_volume,
    post_vwap,
    post_transactions,
    post_bars
FROM workbench.rolled_up
WHERE post_bars > 0
UNION ALL
SELECT
    ticker,
    date::TIMESTAMP AT TIME ZONE 'America/New_York',
    session,
    open,
    high,
    low,
    close,
    volume,
    vwap,
    transactions,
    bars
FROM workbench.sessions_left
