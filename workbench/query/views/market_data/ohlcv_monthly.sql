-- Months of stocks, summed up from the sessions of `market_data.ohlcv_daily`; always fresh, the present month as far as it has come.
--
-- Months are the calendar's; `month` is midnight in New York of the first session by the calendar. `vwap` is the closes of minutes weighted by their volume, since the
-- vendor's bars have none; NULL where no minutes were. `sessions` counts the sessions that have a bar.
--
-- Example: SELECT month, open, high, low, close, volume, vwap FROM market_data.ohlcv_monthly WHERE symbol = 'AAPL' ORDER BY month DESC LIMIT 10
SELECT
    b.symbol,
    coalesce(s.first, b.period)::TIMESTAMP AT TIME ZONE 'America/New_York' AS month,
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume,
    b.vwap,
    b.sessions
FROM (
    SELECT
        symbol,
        date_trunc('month', (day AT TIME ZONE 'America/New_York')::DATE)::DATE AS period,
        arg_min(open, day) AS open,
        max(high) AS high,
        min(low) AS low,
        arg_max(close, day) AS close,
        sum(volume) AS volume,
        sum(price * volume) / nullif(sum(volume) FILTER (price IS NOT NULL), 0) AS vwap,
        count(*) AS sessions
    FROM workbench.bars_of_days
    GROUP BY symbol, date_trunc('month', (day AT TIME ZONE 'America/New_York')::DATE)::DATE
) AS b
LEFT JOIN (
    SELECT date_trunc('month', date)::DATE AS period, min(date) AS first
    FROM main.market_sessions
    WHERE calendar = 'XNYS'
    GROUP BY date_trunc('month', date)::DATE
) AS s ON s.period = b.period
