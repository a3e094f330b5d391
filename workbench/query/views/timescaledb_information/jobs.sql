-- What is done to tables by itself, as a scheduler's jobs: chunks are compressed, sessions summed up, and old ones leave, at the end of a refresh; no clock runs them.
--
-- `schedule_interval` and `next_start` are therefore NULL. `scheduled` says whether `[maintain]` of workbench.toml has refreshes end with it.
--
-- Example: SELECT application_name, hypertable_name, scheduled, config FROM timescaledb_information.jobs WHERE hypertable_name = 'stock_minute'
SELECT
    job_id,
    CASE policy
        WHEN 'policy_retention' THEN 'Retention'
        WHEN 'policy_refresh_continuous_aggregate' THEN 'Refresh Continuous Aggregate'
        ELSE 'Compression'
    END || ' Policy [' || job_id || ']' AS application_name,
    NULL::INTERVAL AS schedule_interval,
    NULL::INTERVAL AS max_runtime,
    NULL::INTEGER AS max_retries,
    NULL::INTERVAL AS retry_period,
    'workbench' AS proc_schema,
    policy AS proc_name,
    'workbench' AS owner,
    scheduled,
    false AS fixed_schedule,
    config::JSON AS config,
    NULL::TIMESTAMPTZ AS next_start,
    NULL::TIMESTAMPTZ AS initial_start,
    'main' AS hypertable_schema,
    table_name AS hypertable_name,
    NULL::VARCHAR AS check_schema,
    NULL::VARCHAR AS check_name
FROM workbench.lake_policies
