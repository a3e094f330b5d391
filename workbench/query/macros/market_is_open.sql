-- Whether an instant lies in a regular session of a calendar (default: that of stocks), from its opening up to, not including, its close.
--
-- Example: SELECT market_is_open('2024-07-03 12:59:59-04'), market_is_open('2024-07-03 13:00:00-04')
CREATE OR REPLACE MACRO main.market_is_open(instant, of_calendar := 'XNYS') AS EXISTS (
    SELECT 1
    FROM main.market_sessions AS s
    WHERE s.calendar = of_calendar AND s.open <= instant::TIMESTAMPTZ AND instant::TIMESTAMPTZ < s.close
)
