-- What is odd in minute bars, a row for each kind of finding, ticker and session; nothing is changed. NULL leaves a range open, but give one:
-- all of its minutes are read. `bars` names another table of minute bars.
--
-- `check_name`: order (a price above the high or below the low, or no number), price (not above zero), volume (none), transactions (a
-- volume and none: a source that does not count them says nothing wrong), move (far from the close before it, or within the minute), pre_split (on an execution date, a price of before the split), stale (every
-- bar of the session at one price), sum (volume, high and low of the minutes against the day's bar), ends (open and close against the
-- day's), hours (bars before 04:00, or from 20:00 on, 17:00 after an early close), listing (outside of the symbol's listings); and, of stocks, the checks that market_data.ohlcv is documented with, by their
-- names (chk_high_low and so on), as notes beside what order, price and volume tell. `severity`:
-- wrong (it cannot be), odd (it may be) or note. `timestamp` is that of the first, or the worst, of the `row_count` bars that it is about,
-- `weight` orders the findings of a kind, and `told` says it with its numbers. The limits are in `quality_limits`.
-- What is normal: the day's prices are of the regular session, so only regular minutes are held against them; its volume is of all hours, and
-- a little more than the minutes', since there is no bar where no trade may set a price; its open and close may be an auction's. Of other asset
-- classes than stocks, what needs splits, listings, the day's bar or the parts of a session is left out; of options, moves too.
--
-- Example: SELECT check_name, severity, count(*) AS findings FROM quality_of_minutes('2024-03-01', '2024-03-31') GROUP BY ALL ORDER BY ALL
-- Example: SELECT timestamp, told FROM quality_of_minutes('2014-06-09', '2014-06-09', symbol := 'AAPL')
CREATE OR REPLACE MACRO main.quality_of_minutes(first_session, last_session := NULL, symbol := NULL, bars := 'stock_minute') AS TABLE
WITH limits AS (
    SELECT
        max(value) FILTER (name = 'move') AS most_move,
        max(value) FILTER (name = 'looked_at') AS most_looked_at,
        max(value) FILTER (name = 'move_step') AS most_move_step,
        max(value) FILTER (name = 'split_plain') AS most_split_plain,
        max(value) FILTER (name = 'split_tolerance') AS most_split_tolerance,
        max(value) FILTER (name = 'stale_minutes') AS most_stale_minutes,
        max(value) FILTER (name = 'sum_above') AS most_sum_above,
        max(value) FILTER (name = 'sum_below') AS most_sum_below,
        max(value) FILTER (name = 'sum_least') AS most_sum_least,
        max(value) FILTER (name = 'day_range') AS most_day_range,
        max(value) FILTER (name = 'day_ends') AS most_day_ends
    FROM main.quality_limits
),
hours AS (
    SELECT date, pre_open, open AS opens, close AS closes, post_close
    FROM main.market_sessions
    WHERE calendar = 'XNYS' AND bars = 'stock_minute'
),
-- Read where it is needed, not kept: a month is 47 million rows.
known AS NOT MATERIALIZED (
    SELECT b.ticker, b.date, b.timestamp, b.open, b.high, b.low, b.close, b.volume, b.transactions
    FROM (
        SELECT * FROM query_table(bars)
        UNION ALL BY NAME
        -- Indices have no volume.
        SELECT NULL::DOUBLE AS volume, NULL::BIGINT AS transactions WHERE false
    ) AS b
    WHERE b.date >= coalesce(first_session::DATE, DATE '0001-01-01') AND b.date <= coalesce(last_session::DATE, DATE '9999-12-31')
        AND (symbol IS NULL OR b.ticker = symbol)
),
-- The only look at every row.
held AS MATERIALIZED (
    SELECT
        ticker,
        date,
        count(*) AS bar_count,
        sum(volume) AS volume,
        min(low) AS low,
        max(high) AS high,
        min(volume) AS least_volume,
        min(timestamp) AS first_bar,
        max(timestamp) AS last_bar,
        count_if(NOT main.prices_in_order(open, high, low, close)) AS disordered,
        count_if(NOT low > 0) AS unpriced,
        count_if(NOT volume > 0 OR NOT isfinite(volume)) AS untraded,
        count_if(volume > 0 AND transactions <= 0) AS uncounted,
        count_if(timestamp < pre_open OR timestamp >= post_close) AS outside,
        max(high) FILTER (timestamp >= opens AND timestamp < closes) AS regular_high,
        min(low) FILTER (timestamp >= opens AND timestamp < closes) AS regular_low,
        arg_min(open, timestamp) FILTER (timestamp >= opens AND timestamp < closes) AS regular_open,
        arg_max(close, timestamp) FILTER (timestamp >= opens AND timestamp < closes) AS regular_close
    FROM known
    LEFT JOIN hours USING (date)
    GROUP BY ticker, date
),
executed AS (
    SELECT
        ticker,
        execution_date,
        product(split_to / split_from) AS ratio,
        string_agg(format('{:g} for {:g}', split_to, split_from), ' and ') AS split
    FROM main.splits
    WHERE duplicate_of IS NULL AND split_from > 0 AND split_to > 0 AND bars = 'stock_minute'
    GROUP BY ALL
),
-- What only single bars can tell, and of the whole file if that is bad: so many are looked at.
candidates AS MATERIALIZED (
    SELECT
        h.ticker,
        h.date,
        h.first_bar,
        h.bar_count,
        h.low,
        h.high,
        h.disordered,
        h.unpriced,
        e.ratio,
        e.split,
        main.times_apart(h.high, h.low) AS apart,
        row_number() OVER (
            PARTITION BY h.date ORDER BY e.ratio IS NULL, h.disordered = 0 AND h.unpriced = 0 AND h.least_volume >= 0, apart DESC NULLS FIRST, h.ticker
        ) <= most_looked_at AS looked_at
    FROM held AS h
    LEFT JOIN executed AS e ON e.ticker = h.ticker AND e.execution_date = h.date
    CROSS JOIN limits
    WHERE (main.times_apart(h.high, h.low) >= most_move AND bars <> 'option_minute')
        OR main.times_apart(e.ratio, 1) >= most_split_plain
        OR h.disordered > 0
        OR h.unpriced > 0
        OR (h.least_volume < 0 AND bars = 'stock_minute')
),
followed AS MATERIALIZED (
    SELECT
        k.*,
        c.ratio,
        c.split,
        lag(k.close) OVER by_time AS prior,
        -- What the session's prices are like, whatever single bars say.
        median(k.close) OVER (PARTITION BY k.ticker, k.date) AS usual
    FROM known AS k
    JOIN (FROM candidates WHERE looked_at) AS c ON c.ticker = k.ticker AND c.date = k.date
    WINDOW by_time AS (PARTITION BY k.ticker, k.date ORDER BY k.timestamp)
),
jumps AS (
    SELECT
        *,
        -- The way back from a price of before the split is no move of its own.
        CASE WHEN main.times_apart(ratio, 1) >= most_split_plain AND main.times_apart(prior / usual, ratio) <= most_split_tolerance THEN 1
            ELSE coalesce(main.times_apart(open, prior), 1) END AS at_open,
        coalesce(main.times_apart(high, low), 1) AS within,
        main.times_apart(ratio, 1) >= most_split_plain AND (
            main.times_apart(open / usual, ratio) <= most_split_tolerance
            OR main.times_apart(high / usual, ratio) <= most_split_tolerance
            OR main.times_apart(low / usual, ratio) <= most_split_tolerance
            OR main.times_apart(close / usual, ratio) <= most_split_tolerance
        ) AS before_split,
        (at_open >= most_move AND (bars <> 'stock_minute' OR abs(open - prior) >= most_move_step))
            OR (within >= most_move AND (bars <> 'stock_minute' OR high - low >= most_move_step)) AS jumped,
        CASE
            WHEN main.times_apart(open / usual, ratio) <= most_split_tolerance THEN 'opens'
            WHEN main.times_apart(high / usual, ratio) <= most_split_tolerance THEN 'has its high'
            WHEN main.times_apart(low / usual, ratio) <= most_split_tolerance THEN 'has its low'
            ELSE 'closes'
        END AS how,
        CASE how WHEN 'opens' THEN open WHEN 'has its high' THEN high WHEN 'has its low' THEN low ELSE close END AS price,
        -- The bar's own close, if it is of after the split.
        main.times_apart(close / usual, ratio) <= most_split_tolerance AS all_before
    FROM followed
    CROSS JOIN limits
),
against AS (
    SELECT
        h.*,
        d.volume AS day_volume,
        d.open AS day_open,
        d.high AS day_high,
        d.low AS day_low,
        d.close AS day_close,
        h.volume / nullif(d.volume, 0) AS share
    FROM held AS h
    JOIN main.stock_day AS d ON d.ticker = h.ticker AND d.date = h.date
    WHERE bars = 'stock_minute'
        AND d.date >= coalesce(first_session::DATE, DATE '0001-01-01') AND d.date <= coalesce(last_session::DATE, DATE '9999-12-31')
        AND (symbol IS NULL OR d.ticker = symbol)
)
SELECT
    'order' AS check_name, 'wrong' AS severity, ticker, date, min(timestamp) AS timestamp, count(*) AS row_count, count(*)::DOUBLE AS weight,
    arg_min(format('open {:g}, high {:g}, low {:g} and close {:g} are out of order', open, high, low, close), timestamp)
        || CASE WHEN count(*) > 1 THEN format('; so are {:,} more bars', count(*) - 1) ELSE '' END AS told
FROM followed
WHERE NOT main.prices_in_order(open, high, low, close)
GROUP BY ticker, date
UNION ALL
SELECT
    'price', 'wrong', ticker, date, min(timestamp), count(*), count(*)::DOUBLE,
    arg_min(format('its low is {:g}: not above zero', low), timestamp)
        || CASE WHEN count(*) > 1 THEN format('; so is that of {:,} more bars', count(*) - 1) ELSE '' END
FROM followed
-- Values of indices, and prices of futures, may be negative.
WHERE NOT low > 0 AND bars NOT LIKE 'index%' AND bars NOT LIKE 'futures%'
GROUP BY ticker, date
UNION ALL
-- What was not looked at bar by bar.
SELECT
    'order', 'wrong', ticker, date, first_bar, disordered::BIGINT, disordered, format('{:,} bars are out of order', disordered::BIGINT)
FROM candidates
WHERE NOT looked_at AND disordered > 0
UNION ALL
SELECT
    'price', 'wrong', ticker, date, first_bar, unpriced::BIGINT, unpriced, format('{:,} bars have a low that is not above zero', unpriced::BIGINT)
FROM candidates
WHERE NOT looked_at AND unpriced > 0 AND bars NOT LIKE 'index%' AND bars NOT LIKE 'futures%'
UNION ALL
SELECT
    'move', 'odd', ticker, date, first_bar, 1, apart, format('goes from {:g} to {:g}, {:.3g} times, within the session', low, high, apart)
FROM candidates
CROSS JOIN limits
WHERE NOT looked_at AND apart >= most_move AND bars <> 'option_minute'
UNION ALL
SELECT
    'volume', 'odd', ticker, date, first_bar, untraded::BIGINT, untraded / bar_count,
    format('{:,} of {:,} bars have no volume', untraded::BIGINT, bar_count)
FROM held
WHERE untraded > 0
UNION ALL
SELECT
    'transactions', 'note', ticker, date, first_bar, uncounted::BIGINT, uncounted / bar_count,
    format('{:,} of {:,} bars have a volume and no transactions', uncounted::BIGINT, bar_count)
FROM held
WHERE uncounted > 0
UNION ALL
SELECT
    'pre_split', 'wrong', ticker, date, min(timestamp), count(*), max(main.times_apart(price, usual)),
    arg_min(
        format('{} at {:g}, {:.1f} times ', how, price, price / CASE WHEN all_before THEN usual ELSE close END)
            || CASE WHEN all_before THEN format('the session''s median {:g}', usual) ELSE format('its close {:g}', close) END
            || format('; the split of {} executes on this day', split),
        timestamp
    ) || CASE WHEN count(*) > 1 THEN format('; {:,} more bars are like it', count(*) - 1) ELSE '' END
FROM jumps
WHERE before_split
GROUP BY ticker, date
UNION ALL
SELECT
    'move', 'odd', ticker, date, arg_max(timestamp, greatest(at_open, within)), count(*), max(greatest(at_open, within)),
    arg_max(
        CASE WHEN at_open >= within THEN format('opens at {:g}, {:.3g} times the close {:g} before it', open, open / prior, prior)
            ELSE format('goes from {:g} to {:g}, {:.3g} times, within the minute', low, high, high / low) END,
        greatest(at_open, within)
    ) || CASE WHEN count(*) > 1 THEN format('; {:,} more bars move as far', count(*) - 1) ELSE '' END
FROM jumps
WHERE jumped AND NOT coalesce(before_split, false) AND bars <> 'option_minute'
GROUP BY ticker, date
UNION ALL
SELECT
    'stale', 'odd', ticker, date, first_bar, bar_count, bar_count,
    format('all {:,} bars stand at {:g}', bar_count, high)
FROM held
CROSS JOIN limits
WHERE bar_count >= most_stale_minutes AND high = low AND volume > 0
UNION ALL
SELECT
    'sum', 'odd', ticker, date, NULL, bar_count,
    greatest(
        CASE WHEN volume > day_volume * most_sum_above OR volume < day_volume * most_sum_below
            THEN greatest(share, 1 / nullif(share, 0)) ELSE 1 END,
        coalesce(main.times_apart(regular_high, day_high), 1), coalesce(main.times_apart(regular_low, day_low), 1)
    ),
    concat_ws(
        '; ',
        CASE WHEN volume > day_volume * most_sum_above OR (volume < day_volume * most_sum_below AND day_volume >= most_sum_least)
            THEN format('the minutes'' volume is {:,.0f}, {:.3g} times the day''s {:,.0f}', volume, share, day_volume) END,
        CASE WHEN regular_high > day_high * (1 + most_day_range)
            THEN format('regular minutes reach {:g}, above the day''s high {:g}', regular_high, day_high) END,
        CASE WHEN regular_low < day_low * (1 - most_day_range)
            THEN format('regular minutes fall to {:g}, below the day''s low {:g}', regular_low, day_low) END,
        CASE WHEN high < day_high * (1 - most_day_range)
            THEN format('no minute reaches the day''s high {:g}: the highest is {:g}', day_high, high) END,
        CASE WHEN low > day_low * (1 + most_day_range)
            THEN format('no minute falls to the day''s low {:g}: the lowest is {:g}', day_low, low) END
    )
FROM against
CROSS JOIN limits
WHERE volume > day_volume * most_sum_above
    OR (volume < day_volume * most_sum_below AND day_volume >= most_sum_least)
    OR regular_high > day_high * (1 + most_day_range)
    OR regular_low < day_low * (1 - most_day_range)
    OR high < day_high * (1 - most_day_range)
    OR low > day_low * (1 + most_day_range)
UNION ALL
SELECT
    'ends', 'note', ticker, date, NULL, bar_count,
    greatest(coalesce(main.times_apart(regular_open, day_open), 1), coalesce(main.times_apart(regular_close, day_close), 1)),
    format(
        'the regular minutes go from {:g} to {:g}, the day''s bar from {:g} to {:g}', regular_open, regular_close, day_open, day_close
    )
FROM against
CROSS JOIN limits
WHERE main.times_apart(regular_open, day_open) > 1 + most_day_ends OR main.times_apart(regular_close, day_close) > 1 + most_day_ends
UNION ALL
SELECT
    'hours', 'note', ticker, date, CASE WHEN first_bar < pre_open THEN first_bar ELSE last_bar END, outside::BIGINT, outside,
    format(
        '{:,} of {:,} bars lie outside of the session, from {} to {} New York', outside::BIGINT, bar_count,
        strftime(first_bar AT TIME ZONE 'America/New_York', '%H:%M'), strftime(last_bar AT TIME ZONE 'America/New_York', '%H:%M')
    )
FROM held
JOIN hours USING (date)
WHERE outside > 0
UNION ALL
SELECT
    'listing', 'odd', h.ticker, h.date, h.first_bar, h.bar_count, least(abs(h.date - l.first_day), abs(h.date - l.last_day)),
    CASE WHEN h.date < l.first_day THEN format('bars before its first listing, on {}', l.first_day)
        ELSE format('bars outside of its listings; the last ended on {}', l.last_day) END
FROM held AS h
JOIN (SELECT ticker, min(listed) AS first_day, max(delisted) AS last_day FROM main.ticker_listings GROUP BY ticker) AS l USING (ticker)
ANTI JOIN main.ticker_listings AS t
    ON t.ticker = h.ticker AND coalesce(t.listed, DATE '0001-01-01') <= h.date AND coalesce(t.delisted, DATE '9999-12-31') >= h.date
WHERE bars = 'stock_minute'
UNION ALL
SELECT
    check_name, 'note', ticker, date, min(timestamp), count(*), count(*)::DOUBLE,
    arg_min(
        format('breaks a check of market_data.ohlcv: open {:g}, high {:g}, low {:g}, close {:g}, volume {:g}', open, high, low, close, volume),
        timestamp
    ) || CASE WHEN count(*) > 1 THEN format('; so do {:,} more bars', count(*) - 1) ELSE '' END
FROM (SELECT *, unnest(main.checks_broken(open, high, low, close, volume)) AS check_name FROM followed WHERE bars = 'stock_minute')
GROUP BY check_name, ticker, date
