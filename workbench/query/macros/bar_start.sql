-- When the bar of a size (1m, 5m, 15m, 30m, 1h, 1d, 1w, 1mo) begins that an instant of a stock's session lies in: what to group by.
--
-- Bars within a day are counted from the beginning of the part that they lie in, 04:00, the opening or the close, so that none holds two: those of an hour begin at
-- 09:30, 10:30 and so on. What lies before 04:00 is counted backwards from it. A day begins at midnight in New York, a week (ISO) or a month with its
-- first session by the calendar. `session_date` is the session, the column `date` of a bar or a trade.
--
-- Example: SELECT bar_start(TIMESTAMPTZ '2024-07-02 10:05:00 America/New_York', DATE '2024-07-02', '1h') AS timestamp
-- Example: SELECT bar_start(timestamp, date, '30m') AS start, sum(volume) AS volume FROM stock_minute WHERE ticker = 'AAPL' GROUP BY ALL ORDER BY ALL
CREATE OR REPLACE MACRO main.bar_start(ts, session_date, bar_size) AS (
    CASE
        WHEN bar_size IN ('1d', '1w', '1mo') THEN coalesce(
            (
                SELECT min(__session)
                FROM (SELECT __s.date AS __session FROM main.market_sessions AS __s WHERE __s.calendar = 'XNYS' AND bar_size IN ('1w', '1mo'))
                WHERE date_trunc(if(bar_size = '1w', 'week', 'month'), __session) = date_trunc(if(bar_size = '1w', 'week', 'month'), session_date)
            ),
            date_trunc(if(bar_size = '1w', 'week', if(bar_size = '1mo', 'month', 'day')), session_date)
        )::TIMESTAMP AT TIME ZONE 'America/New_York'
        WHEN bar_size IN ('1m', '5m', '15m', '30m', '1h') THEN list_transform(
            [main.session_edges(session_date)],
            lambda __edges: time_bucket(
                to_minutes(CASE bar_size WHEN '1m' THEN 1 WHEN '5m' THEN 5 WHEN '15m' THEN 15 WHEN '30m' THEN 30 ELSE 60 END),
                ts,
                CASE WHEN ts < __edges.open THEN __edges.pre_open WHEN ts < __edges.close THEN __edges.open ELSE __edges.close END
            )
        )[1]
        ELSE error('bar_start: bar_size is 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo, not ' || coalesce(bar_size, 'NULL'))
    END
)
