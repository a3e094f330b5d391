-- How the system itself does: computed from what refreshes did (`data_sync_log`) and what this session asked, joined with what people imported.
--
-- Each run of a refresh has these metrics for each source that it took something from, its `component`, at the time when the first of that was begun:
-- `duration` (ms), from then until the last of it was done; `objects`, files and answers that were taken or tried, and `failures`, those that brought
-- nothing for a fault of theirs or their source's; `rows`, and `quarantined` ones (all count); `bytes` (bytes) and `throughput` (bytes/s). What was landed
-- has been, even if its run was killed. The component `queries` is `bench.sql` of this session, at the time of its last question: `calls` (count),
-- `planning_mean` and `planning_max` (ms). Of each key the row that people wrote shows, not the computed one.
--
-- Example: SELECT component, avg(value) AS ms FROM analytics.system_performance WHERE metric = 'duration' GROUP BY component ORDER BY component
WITH
runs AS (
    SELECT
        min(started_at) AS time,
        source AS component,
        epoch_us(max(finished_at)) - epoch_us(min(started_at)) AS micros,
        count(*) AS objects,
        sum(rows) AS rows,
        sum(quarantined) AS quarantined,
        count(*) FILTER (status IN ('failed', 'quarantined')) AS failures,
        sum(bytes) AS bytes
    FROM main.data_sync_log
    -- Not that a run began and ended, nor that the log itself cannot be read.
    WHERE status != 'started' AND sync_type != 'journal' AND NOT (sync_type = 'refresh' AND session IS NULL)
    GROUP BY run_id, source
),
told AS (
    SELECT
        time,
        component,
        unnest([
            {'metric': 'duration', 'value': micros / 1000, 'unit': 'ms'},
            {'metric': 'objects', 'value': objects, 'unit': 'count'},
            {'metric': 'rows', 'value': rows, 'unit': 'count'},
            {'metric': 'quarantined', 'value': quarantined, 'unit': 'count'},
            {'metric': 'failures', 'value': failures, 'unit': 'count'},
            {'metric': 'bytes', 'value': bytes, 'unit': 'bytes'},
            {'metric': 'throughput', 'value': bytes * 1000000 / nullif(micros, 0), 'unit': 'bytes/s'}
        ]) AS of
    FROM runs
    UNION ALL
    SELECT
        max(last_asked),
        'queries',
        unnest([
            {'metric': 'calls', 'value': sum(calls), 'unit': 'count'},
            {'metric': 'planning_mean', 'value': sum(total_time) / sum(calls), 'unit': 'ms'},
            {'metric': 'planning_max', 'value': max(max_time), 'unit': 'ms'}
        ])
    FROM workbench.pg_stat_statements
),
computed AS (
    SELECT time, component, of.metric AS metric, of.value::DOUBLE AS value, of.unit AS unit
    FROM told
    WHERE of.value IS NOT NULL
    -- Of runs that began at one instant, which the log can hardly have, one is told.
    QUALIFY row_number() OVER (PARTITION BY time, component, of.metric ORDER BY of.value DESC) = 1
)
SELECT c.time, c.component, c.metric, c.value, c.unit
FROM computed AS c
ANTI JOIN imported.analytics_system_performance AS i ON i.time = c.time AND i.component = c.component AND i.metric = c.metric
UNION ALL
SELECT i.time, i.component, i.metric, i.value, i.unit
FROM imported.analytics_system_performance AS i
