-- The views that sum up another table: of sessions that stand in stock_sessions they read the sums, all else they compute, so that none is ever behind.
--
-- Example: SELECT view_schema, view_name, hypertable_name, materialized_only, materialization_hypertable_name FROM timescaledb_information.continuous_aggregates
SELECT
    'market_data' AS hypertable_schema,
    'ohlcv' AS hypertable_name,
    'market_data' AS view_schema,
    view_name,
    'workbench' AS view_owner,
    false AS materialized_only,
    false AS compression_enabled,
    'main' AS materialization_hypertable_schema,
    'stock_sessions' AS materialization_hypertable_name,
    NULL::VARCHAR AS view_definition,
    true AS finalized
FROM (VALUES ('ohlcv_daily'), ('ohlcv_monthly'), ('ohlcv_sessions'), ('ohlcv_weekly')) AS known(view_name)
