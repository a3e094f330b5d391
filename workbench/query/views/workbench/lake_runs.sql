-- The runs on record, of panels, prompt and schedules: what was run, how it ended, how long it took.
--
-- `state` is running, done, failed, findings, stopped or broken off; `status` the exit status, NULL while it goes on.
--
-- Example: SELECT kind, state, started, seconds, reason FROM workbench.lake_runs ORDER BY started DESC LIMIT 10
SELECT id, kind, command, started_by, state, started, ended, seconds, status, reason, output
FROM workbench_log.lake_runs
