-- Minutes of stocks of sessions that are not summed up in stock_sessions, or changed since: what the views of sessions sum up when they are asked.
--
-- This is what it means. What the lake's log tells stands in its place: constant ranges of sessions, or no rows at all.
--
-- Example: SELECT date, count(*) AS bars FROM workbench.minutes_left GROUP BY date ORDER BY date DESC LIMIT 10
SELECT *
FROM main.stock_minute
WHERE date NOT IN (SELECT date FROM workbench.rolled_up)
