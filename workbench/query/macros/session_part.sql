-- Which part of a stock's session an instant lies in: pre (04:00 up to the opening), regular, or post (from the close up to 20:00, after an early close up to 17:00).
--
-- NULL outside of all three. `session_date` is the session, the column `date` of a bar or a trade; a date that is no session by the calendar has the hours of a
-- usual one. Times are New York's, whatever zone the session of DuckDB tells.
--
-- Example: SELECT session_part(TIMESTAMPTZ '2024-07-03 13:30:00 America/New_York', DATE '2024-07-03') AS part
-- Example: SELECT session_part(timestamp, date) AS part, sum(volume) AS volume FROM stock_minute WHERE ticker = 'AAPL' GROUP BY part ORDER BY part
CREATE OR REPLACE MACRO main.session_part(ts, session_date) AS (
    -- A list of one, so that the session is looked up once.
    list_transform([main.session_edges(session_date)], lambda __edges: CASE
        WHEN ts < __edges.pre_open THEN NULL
        WHEN ts < __edges.open THEN 'pre'
        WHEN ts < __edges.close THEN 'regular'
        WHEN ts < __edges.post_close THEN 'post'
    END)[1]
)
