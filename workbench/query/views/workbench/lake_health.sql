-- How the lake stands, a row for each thing that is looked at when this is read: tables, logs, freshness, quarantine, disk, writing, journal, the last refresh and run, versions, clock, backups.
--
-- `state` is good, look or bad, `value` the number that was looked at in `unit`, `told` the sentence that says so. NULL where there is no number.
--
-- Example: SELECT name, state, value, unit, told FROM workbench.lake_health WHERE state <> 'good'
SELECT name, state, value, unit, told
FROM workbench_log.lake_health
