-- What is done to tables by itself at the end of a refresh, as `[maintain]` and `[retention.<table>]` of workbench.toml say.
--
-- Example: SELECT table_name, policy, config FROM workbench.lake_policies WHERE table_name LIKE 'stock%' ORDER BY job_id
SELECT job_id, policy, table_name, scheduled, config
FROM workbench_log.lake_policies
