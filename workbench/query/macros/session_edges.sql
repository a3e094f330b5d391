-- When a stock's session begins and ends, and its regular part in it: a struct of pre_open, open, close and post_close.
--
-- A date that is no session by the calendar has the hours of a usual one: 04:00, 09:30, 16:00 and 20:00 in New York.
--
-- Example: SELECT session_edges(DATE '2024-07-03') AS edges
CREATE OR REPLACE MACRO main.session_edges(session_date) AS (
    -- By names that no argument can have: what is given stands in their midst.
    SELECT {
        'pre_open': coalesce(max(__pre), (session_date + TIME '04:00') AT TIME ZONE 'America/New_York'),
        'open': coalesce(max(__open), (session_date + TIME '09:30') AT TIME ZONE 'America/New_York'),
        'close': coalesce(max(__close), (session_date + TIME '16:00') AT TIME ZONE 'America/New_York'),
        'post_close': coalesce(max(__post), (session_date + TIME '20:00') AT TIME ZONE 'America/New_York')
    }
    FROM (
        SELECT __s.date AS __session, __s.pre_open AS __pre, __s.open AS __open, __s.close AS __close, __s.post_close AS __post
        FROM main.market_sessions AS __s
        WHERE __s.calendar = 'XNYS'
    )
    WHERE __session = session_date
)
