-- What is odd in day bars, a row for each finding; nothing is changed. NULL leaves a range open; `bars` names another table of day bars.
--
-- `check_name`: order (a price above the high or below the low, or no number), price (not above zero), volume (none), transactions (a volume and
-- none: a source that does not count them says nothing wrong), move (between a close and the next session's open or close, and no split explains it), pre_split (an execution date's bar with a price of
-- before the split), stale (the same four prices for sessions on end, told at the last of them), listing (outside of the symbol's listings),
-- split (the closes contradict it); and, of stocks, the checks that market_data.ohlcv is documented with, by their names (chk_high_low and so on), as
-- notes beside what order, price and volume tell. `severity`: wrong (it cannot be), odd (it may be) or note. `row_count` are the bars that it is about,
-- `weight` orders the findings of a kind, and `told` says it with its numbers. The limits are in `quality_limits`. Of other asset classes than
-- stocks, what needs splits or listings is left out; of options, moves too: a premium may be many times the last one.
--
-- Example: SELECT check_name, severity, count(*) AS findings FROM quality_of_days('2024-01-01') GROUP BY ALL ORDER BY ALL
-- Example: SELECT date, told FROM quality_of_days('2014-06-01', '2014-06-30', symbol := 'AAPL') ORDER BY date
CREATE OR REPLACE MACRO main.quality_of_days(first_session, last_session := NULL, symbol := NULL, bars := 'stock_day') AS TABLE
WITH limits AS (
    SELECT
        max(value) FILTER (name = 'move') AS most_move,
        max(value) FILTER (name = 'move_days') AS most_move_days,
        max(value) FILTER (name = 'move_step') AS most_move_step,
        max(value) FILTER (name = 'split_plain') AS most_split_plain,
        max(value) FILTER (name = 'split_tolerance') AS most_split_tolerance,
        max(value) FILTER (name = 'stale_sessions') AS most_stale_sessions
    FROM main.quality_limits
),
known AS (
    SELECT b.ticker, b.date, b.timestamp, b.open, b.high, b.low, b.close, b.volume, b.transactions
    FROM (
        SELECT * FROM query_table(bars)
        UNION ALL BY NAME
        -- Indices have no volume.
        SELECT NULL::DOUBLE AS volume, NULL::BIGINT AS transactions WHERE false
    ) AS b
    -- Closes before the range, to move from.
    WHERE b.date >= coalesce(first_session::DATE, DATE '0001-01-01') - 15
        AND b.date <= coalesce(last_session::DATE, DATE '9999-12-31')
        AND (symbol IS NULL OR b.ticker = symbol)
),
followed AS (
    SELECT
        *,
        lag(date) OVER by_time AS before,
        lag(close) OVER by_time AS prior,
        (open, high, low, close) IS NOT DISTINCT FROM
            (lag(open) OVER by_time, lag(high) OVER by_time, lag(low) OVER by_time, lag(close) OVER by_time) AND volume > 0 AS same
    FROM known
    WINDOW by_time AS (PARTITION BY ticker ORDER BY date, timestamp)
),
days AS MATERIALIZED (
    SELECT *, date >= coalesce(first_session::DATE, DATE '0001-01-01') AS asked
    FROM followed
),
counted AS (
    SELECT ticker, execution_date, split_from, split_to
    FROM main.splits
    WHERE duplicate_of IS NULL AND split_from > 0 AND split_to > 0 AND bars = 'stock_day' AND (symbol IS NULL OR ticker = symbol)
),
-- Bars that stand after a split of which the bar before them is before.
split_since AS (
    SELECT
        d.ticker,
        d.date,
        product(s.split_to / s.split_from) AS ratio,
        max(s.execution_date) AS execution_date,
        string_agg(format('{:g} for {:g}', s.split_to, s.split_from), ' and ' ORDER BY s.execution_date) AS split
    FROM days AS d
    JOIN counted AS s ON s.ticker = d.ticker AND s.execution_date > d.before AND s.execution_date <= d.date
    WHERE d.asked
    GROUP BY d.ticker, d.date
),
moved AS (
    SELECT
        d.*,
        s.ratio,
        s.split,
        s.execution_date,
        main.times_apart(d.open, d.prior) AS opened,
        main.times_apart(d.close, d.prior) AS closed,
        -- In the shares of the day; the same where there is no split.
        main.times_apart(d.open, d.prior / coalesce(s.ratio, 1)) AS opened_since,
        main.times_apart(d.close, d.prior / coalesce(s.ratio, 1)) AS closed_since
    FROM days AS d
    LEFT JOIN split_since AS s ON s.ticker = d.ticker AND s.date = d.date
    CROSS JOIN limits
    WHERE d.asked AND d.before >= d.date - most_move_days::INTEGER
),
at_old_price AS (
    SELECT
        *,
        CASE
            WHEN main.times_apart(open / close, ratio) <= most_split_tolerance THEN 'opens'
            WHEN main.times_apart(high / close, ratio) <= most_split_tolerance THEN 'has its high'
            ELSE 'has its low'
        END AS how,
        CASE how WHEN 'opens' THEN open WHEN 'has its high' THEN high ELSE low END AS price
    FROM moved
    CROSS JOIN limits
    WHERE date = execution_date
        AND main.times_apart(ratio, 1) >= most_split_plain
        AND (
            main.times_apart(open / close, ratio) <= most_split_tolerance
            OR main.times_apart(high / close, ratio) <= most_split_tolerance
            OR main.times_apart(low / close, ratio) <= most_split_tolerance
        )
),
jumps AS (
    SELECT
        *,
        greatest(opened, opened_since) >= most_move
            AND NOT (ratio IS NOT NULL AND opened_since <= most_split_tolerance)
            AND (bars <> 'stock_day' OR abs(open - prior / coalesce(ratio, 1)) >= most_move_step) AS at_open,
        greatest(closed, closed_since) >= most_move
            AND NOT (ratio IS NOT NULL AND closed_since <= most_split_tolerance)
            AND (bars <> 'stock_day' OR abs(close - prior / coalesce(ratio, 1)) >= most_move_step) AS at_close,
        CASE WHEN at_open AND NOT coalesce(at_close AND closed >= opened, false) THEN 'opens' ELSE 'closes' END AS how,
        CASE how WHEN 'opens' THEN open ELSE close END AS price
    FROM moved
    CROSS JOIN limits
    WHERE bars <> 'option_day' AND (coalesce(at_open, false) OR coalesce(at_close, false))
),
runs AS (
    SELECT
        ticker,
        max(date) AS last_day,
        min(date) AS first_day,
        any_value(close) AS price,
        count(*) AS bar_count,
        count_if(asked)::BIGINT AS row_count
    FROM (SELECT *, sum((NOT coalesce(same, false))::INTEGER) OVER (PARTITION BY ticker ORDER BY date, timestamp) AS run FROM days)
    GROUP BY ticker, run
)
SELECT
    'order' AS check_name, 'wrong' AS severity, ticker, date, timestamp, 1::BIGINT AS row_count,
    coalesce(main.times_apart(high, greatest(open, close, low)), 0) + coalesce(main.times_apart(low, least(open, close)), 0) AS weight,
    format('open {:g}, high {:g}, low {:g} and close {:g} are out of order', open, high, low, close) AS told
FROM days
WHERE asked AND NOT main.prices_in_order(open, high, low, close)
UNION ALL
SELECT
    'price', 'wrong', ticker, date, timestamp, 1, -low,
    format('its low is {:g}: not above zero', low)
FROM days
-- Values of indices, and prices of futures, may be negative.
WHERE asked AND NOT low > 0 AND bars NOT LIKE 'index%' AND bars NOT LIKE 'futures%'
UNION ALL
SELECT
    'volume', 'odd', ticker, date, timestamp, 1, 1, format('a bar with a volume of {:g}', volume)
FROM days
WHERE asked AND (NOT volume > 0 OR NOT isfinite(volume))
UNION ALL
SELECT
    'transactions', 'note', ticker, date, timestamp, 1, volume, format('a volume of {:,.0f} and no transactions', volume)
FROM days
WHERE asked AND volume > 0 AND isfinite(volume) AND transactions <= 0
UNION ALL
SELECT
    'pre_split', 'wrong', ticker, date, timestamp, 1, main.times_apart(price, close),
    format(
        '{} at {:g}, {:.1f} times its close {:g}; the split of {} executes on this day', how, price, price / close, close, split
    )
FROM at_old_price
UNION ALL
SELECT
    'move', 'odd', ticker, date, timestamp, 1, main.times_apart(price, prior),
    format('{} at {:g}, {:.3g} times the close {:g} of {}', how, price, price / prior, prior, before)
        || coalesce(format('; the split of {} on {} tells {:.3g} times', split, execution_date, 1 / ratio), '; no split explains it')
FROM jumps
WHERE (ticker, date) NOT IN (SELECT (ticker, date) FROM at_old_price)
UNION ALL
SELECT
    'stale', 'odd', ticker, last_day, NULL, row_count, bar_count,
    format('the same four prices in {} sessions on end since {}, close {:g}', bar_count, first_day, price)
FROM runs
CROSS JOIN limits
WHERE bar_count >= most_stale_sessions AND row_count > 0
UNION ALL
SELECT
    'listing', 'odd', d.ticker, d.date, d.timestamp, 1, least(abs(d.date - l.first_day), abs(d.date - l.last_day)),
    CASE WHEN d.date < l.first_day THEN format('a bar before its first listing, on {}', l.first_day)
        ELSE format('a bar outside of its listings; the last ended on {}', l.last_day) END
FROM days AS d
JOIN (SELECT ticker, min(listed) AS first_day, max(delisted) AS last_day FROM main.ticker_listings GROUP BY ticker) AS l USING (ticker)
ANTI JOIN main.ticker_listings AS t
    ON t.ticker = d.ticker AND coalesce(t.listed, DATE '0001-01-01') <= d.date AND coalesce(t.delisted, DATE '9999-12-31') >= d.date
WHERE d.asked AND bars = 'stock_day'
UNION ALL
SELECT
    'split', 'odd', ticker, execution_date, NULL, 0, 1, format('the split of {:g} for {:g} {}', split_to, split_from, verdict)
FROM main.splits
WHERE bars = 'stock_day' AND duplicate_of IS NULL AND verdict LIKE 'disagrees%'
    AND execution_date >= coalesce(first_session::DATE, DATE '0001-01-01')
    AND execution_date <= coalesce(last_session::DATE, DATE '9999-12-31')
    AND (symbol IS NULL OR ticker = symbol)
UNION ALL
SELECT check_name, 'note', ticker, date, timestamp, 1, 1, told
FROM (
    SELECT
        ticker,
        date,
        timestamp,
        unnest(main.checks_broken(open, high, low, close, volume)) AS check_name,
        format('breaks a check of market_data.ohlcv: open {:g}, high {:g}, low {:g}, close {:g}, volume {:g}', open, high, low, close, volume) AS told
    FROM days
    WHERE asked AND bars = 'stock_day'
)
