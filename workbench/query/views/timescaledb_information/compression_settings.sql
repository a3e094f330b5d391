-- How the rows of a compressed chunk lie: in files of a ticker range each, in the order of ticker and time.
--
-- Example: SELECT attname, segmentby_column_index, orderby_column_index FROM timescaledb_information.compression_settings WHERE hypertable_name = 'ohlcv'
WITH lying(base, attname, segmentby, orderby) AS (
    VALUES (true, 'ticker', 1::SMALLINT, NULL::SMALLINT), (true, 'timestamp', NULL, 1), (false, 'symbol', 1, NULL), (false, NULL, NULL, 1)
)
SELECT
    r.schema_name AS hypertable_schema,
    r.table_name AS hypertable_name,
    coalesce(l.attname, r.time_column) AS attname,
    l.segmentby AS segmentby_column_index,
    l.orderby AS orderby_column_index,
    CASE WHEN l.orderby IS NOT NULL THEN true END AS orderby_asc,
    CASE WHEN l.orderby IS NOT NULL THEN false END AS orderby_nullsfirst
FROM workbench.lake_relations AS r
JOIN lying AS l ON l.base = NOT r.documented
WHERE r.time_column IS NOT NULL
