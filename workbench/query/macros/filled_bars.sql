-- Bars of a stock of any size, as `resampled_bars` has them, and up to `row_limit` bars in a row where the calendar has some and nothing traded.
--
-- What is filled (`filled`) has the close before it as its prices and no volume, in the shares of its own session. It stands in sessions that the lake holds
-- (`held_sessions`), never before the first bar, within the day never in another session than the bar before it, and is the same whether bars come later or not.
--
-- Example: SELECT timestamp, close, volume, filled FROM filled_bars('AAPL', '5m', 12, '2014-06-09', '2014-06-09', part := 'regular') ORDER BY timestamp
-- Example: SELECT date, close, filled FROM filled_bars('AAPL', '1d', 5) ORDER BY date
CREATE OR REPLACE MACRO main.filled_bars(
    symbol, bar_size, row_limit, first_session := NULL, last_session := NULL, part := 'all', adjust := 'splits', as_of_date := NULL
) AS TABLE
WITH
bars AS (
    SELECT b.*, bar_size NOT IN ('1d', '1w', '1mo') AS within_day
    FROM main.resampled_bars(symbol, bar_size, first_session, last_session, part := part, adjust := adjust, as_of_date := as_of_date) AS b
),
held AS (
    SELECT m.date, main.session_edges(m.date) AS edges
    FROM main.market_sessions AS m
    WHERE m.calendar = 'XNYS'
        AND m.date >= coalesce(first_session::DATE, DATE '0001-01-01')
        AND m.date <= least(coalesce(last_session::DATE, DATE '9999-12-31'), coalesce(as_of_date::DATE, (SELECT day FROM workbench.known_day)))
        AND m.date IN (
            SELECT h.date
            FROM workbench.held_sessions AS h
            WHERE coalesce(h.ticker, symbol) = symbol
                AND h.base_table = CASE WHEN part = 'all' AND bar_size IN ('1d', '1w', '1mo') THEN 'stock_day' ELSE 'stock_minute' END
            UNION ALL
            SELECT last_date FROM bars
        )
),
-- The parts that are asked for, one after the other: a bar begins anew with each.
spans AS (
    SELECT date, edges.pre_open AS since, edges.open AS until FROM held WHERE part IN ('all', 'pre')
    UNION ALL
    SELECT date, edges.open, edges.close FROM held WHERE part IN ('all', 'regular')
    UNION ALL
    SELECT date, edges.close, edges.post_close FROM held WHERE part IN ('all', 'post')
),
slots AS (
    SELECT
        date,
        unnest(generate_series(since, until - to_microseconds(1), to_minutes(
            CASE bar_size WHEN '1m' THEN 1 WHEN '5m' THEN 5 WHEN '15m' THEN 15 WHEN '30m' THEN 30 ELSE 60 END
        ))) AS begins,
        date AS last_date
    FROM spans
    WHERE bar_size NOT IN ('1d', '1w', '1mo')
    UNION ALL
    SELECT (begins AT TIME ZONE 'America/New_York')::DATE, begins, max(date)
    FROM (SELECT date, main.bar_start(NULL::TIMESTAMPTZ, date, bar_size) AS begins FROM held WHERE bar_size IN ('1d', '1w', '1mo'))
    GROUP BY begins
),
-- Each slot with the bar before it, unless it is that bar's own.
after AS (
    SELECT s.*, b.begins AS origin, row_number() OVER (PARTITION BY b.begins ORDER BY s.begins) AS nth
    FROM slots AS s
    ASOF INNER JOIN (SELECT timestamp AS begins, date, within_day FROM bars) AS b ON s.begins >= b.begins
    WHERE s.begins > b.begins AND (s.date = b.date OR NOT b.within_day)
),
steps AS (
    FROM main.split_steps(symbol, as_of_date := as_of_date) WHERE adjust = 'none' AND bar_size IN ('1d', '1w', '1mo')
)
SELECT ticker, date, timestamp, open, high, low, close, volume, transactions, last_date, false AS filled
FROM bars
UNION ALL
SELECT a.ticker, a.date, a.begins, made, made, made, made, 0, 0, a.last_date, true
FROM (
    SELECT a.*, b.ticker, b.close * coalesce(f.price_factor, 1) / coalesce(g.price_factor, 1) AS made
    FROM after AS a
    INNER JOIN bars AS b ON b.timestamp = a.origin
    LEFT JOIN steps AS f ON b.last_date >= f.since AND b.last_date < f.until
    LEFT JOIN steps AS g ON a.last_date >= g.since AND a.last_date < g.until
    WHERE a.nth <= row_limit
) AS a
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, error('filled_bars: row_limit is a number of bars from 1 on; nothing was filled')
WHERE coalesce(row_limit, 0) < 1
ORDER BY timestamp
