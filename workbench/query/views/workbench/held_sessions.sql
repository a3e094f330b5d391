-- Which sessions the lake holds of `stock_day` and `stock_minute`, by its own log; `ticker` is NULL where the whole market landed, else who was asked for.
--
-- A bar that a ticker lacks in a session that is here was not traded; in one that is not, nobody knows. `workbench gaps` says why one is not here.
--
-- Example: SELECT base_table, min(date), max(date), count(DISTINCT date) AS sessions FROM workbench.held_sessions GROUP BY base_table ORDER BY base_table
SELECT base_table, date, ticker
FROM workbench_log.held_sessions
