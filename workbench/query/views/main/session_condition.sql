-- What each session of each table is like: good, late, degraded or missing, and why; from the first session that the lake has of a table to the newest due.
--
-- missing: it was due, and is not here. degraded: a weaker source's rows, only some tickers, rows refused, or a file that is known to be faulty. late: it
-- landed over a day after it was due, or was published again since; what was due before the lake held anything of the table is not late. Of the rows
-- themselves nothing is read: `workbench quality` tells what is odd in them.
--
-- Example: SELECT table_name, condition, count(*) AS sessions FROM session_condition GROUP BY ALL ORDER BY ALL
-- Example: SELECT session, condition, why FROM session_condition WHERE table_name = 'stock_minute' AND condition <> 'good' ORDER BY session
SELECT table_name, session, condition, why, rows, source, landed_at
FROM workbench_log.session_conditions
