-- The column by which each hypertable lies in time, and how much of it a chunk takes in when its rows land.
--
-- Example: SELECT hypertable_name, column_name, time_interval FROM timescaledb_information.dimensions WHERE hypertable_schema = 'main' ORDER BY hypertable_name
SELECT
    schema_name AS hypertable_schema,
    table_name AS hypertable_name,
    1::BIGINT AS dimension_number,
    time_column AS column_name,
    CASE time_type WHEN 'DATE' THEN 'date' ELSE 'timestamp with time zone' END AS column_type,
    'Time' AS dimension_type,
    CASE period WHEN 'day' THEN INTERVAL 1 DAY WHEN 'month' THEN INTERVAL 1 MONTH WHEN 'quarter' THEN INTERVAL 3 MONTHS ELSE INTERVAL 1 YEAR END AS time_interval,
    NULL::BIGINT AS integer_interval,
    NULL::VARCHAR AS integer_now_func,
    NULL::SMALLINT AS num_partitions
FROM workbench.lake_relations
WHERE time_column IS NOT NULL
