-- What the lake was asked, by everybody, in the last week: each query of `bench.sql`, `workbench sql`, the models and the web service, without its literals.
--
-- `ms` is the time from the call until the rows were there; of a relation of `bench.sql`, planning and the last reading that DuckDB told of, and
-- until then planning alone (`planned_ms`): `rows` and `bytes` (read from files) are NULL so long, and where nobody told them. What was read is told when
-- the same thread asks its next query, or the bench is closed. `slow` is what took WORKBENCH_SLOW_MS or longer. `status` is ok or error, `error` its kind.
-- `session` names the process. A log of 8 MB gives way to the next, and one older is kept; it stands in `logs/` under the root, not in backups.
--
-- Example: SELECT asked_at, ms, rows, bytes, query FROM workbench.query_log WHERE slow ORDER BY ms DESC LIMIT 10
SELECT id, asked_at, user_name, session, platform, query, ms, planned_ms, rows, bytes, status, error, slow
FROM workbench_log.query_log
