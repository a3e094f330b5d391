-- The tables that lie in chunks by time: the lake's own, under `main`, and the documented ones that they feed.
--
-- Example: SELECT hypertable_schema, hypertable_name, num_chunks FROM timescaledb_information.hypertables WHERE hypertable_name = 'ohlcv'
SELECT
    r.schema_name AS hypertable_schema,
    r.table_name AS hypertable_name,
    'workbench' AS owner,
    1::SMALLINT AS num_dimensions,
    count(c.chunk) AS num_chunks,
    true AS compression_enabled,
    NULL::VARCHAR[] AS tablespaces,
    r.time_column AS primary_dimension,
    r.time_type AS primary_dimension_type
FROM workbench.lake_relations AS r
LEFT JOIN workbench.lake_chunks AS c ON c.schema_name = r.schema_name AND c.table_name = r.table_name
WHERE r.time_column IS NOT NULL
GROUP BY ALL
