-- Bars of a stock between two sessions, both included, of any size: 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo, told by session.
--
-- `part` is all, pre, regular or post: with one of the latter, bars of days and longer are made of minutes, and their close is that of the last minute, not the
-- auction's. `timestamp` is where a bar begins (`bar_start`); `date` is its session, of a week or a month the first by the calendar, and `last_date` that of the
-- last row in it. `adjust` is splits, all or none, as `adjusted_bars` has it; a week or a month with a split in it is told in the shares of its last row also
-- with none, since it would mix two kinds of share.
--
-- Example: SELECT timestamp, open, high, low, close, volume FROM resampled_bars('AAPL', '1h', '2014-06-09', '2014-06-09', part := 'regular') ORDER BY timestamp
-- Example: SELECT date, close, volume FROM resampled_bars('AAPL', '1mo', adjust := 'none') ORDER BY date
CREATE OR REPLACE MACRO main.resampled_bars(
    symbol, bar_size, first_session := NULL, last_session := NULL, part := 'all', adjust := 'splits', as_of_date := NULL
) AS TABLE
WITH
placed AS (
    SELECT b.*, main.bar_start(b.timestamp, b.date, bar_size) AS begins
    FROM main.adjusted_bars(
        symbol, first_session, last_session,
        bar_size := CASE WHEN part = 'all' AND bar_size IN ('1d', '1w', '1mo') THEN '1d' ELSE '1m' END, adjust := adjust, as_of_date := as_of_date
    ) AS b
    WHERE part = 'all' OR main.session_part(b.timestamp, b.date) = part
),
-- Of each session, since a split may lie between two.
sessions AS (
    SELECT
        ticker,
        date,
        begins,
        arg_min(open, timestamp) AS open,
        max(high) AS high,
        min(low) AS low,
        arg_max(close, timestamp) AS close,
        sum(volume) AS volume,
        sum(transactions) AS transactions
    FROM placed
    GROUP BY ticker, date, begins
),
shares AS (
    SELECT
        s.*,
        coalesce(f.price_factor, 1) / last_value(coalesce(f.price_factor, 1)) OVER whole AS price_factor,
        coalesce(f.volume_factor, 1) / last_value(coalesce(f.volume_factor, 1)) OVER whole AS volume_factor
    FROM sessions AS s
    LEFT JOIN (FROM main.split_steps(symbol, as_of_date := as_of_date) WHERE adjust = 'none' AND bar_size IN ('1w', '1mo')) AS f
        ON s.date >= f.since AND s.date < f.until
    WINDOW whole AS (PARTITION BY s.begins ORDER BY s.date ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
SELECT
    ticker,
    CASE WHEN bar_size IN ('1w', '1mo') THEN (begins AT TIME ZONE 'America/New_York')::DATE ELSE min(date) END AS date,
    begins AS timestamp,
    arg_min(open * price_factor, date) AS open,
    max(high * price_factor) AS high,
    min(low * price_factor) AS low,
    arg_max(close * price_factor, date) AS close,
    sum(volume * volume_factor) AS volume,
    sum(transactions)::BIGINT AS transactions,
    max(date) AS last_date
FROM shares
GROUP BY ticker, begins
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    error('resampled_bars: bar_size is 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo, and part is all, pre, regular or post; nothing was read')
WHERE coalesce(bar_size, '') NOT IN ('1m', '5m', '15m', '30m', '1h', '1d', '1w', '1mo') OR coalesce(part, '') NOT IN ('all', 'pre', 'regular', 'post')
ORDER BY timestamp
