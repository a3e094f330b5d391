-- The bytes of the files behind each table, by every name that means it: with its schema, and alone where it can mean no other. `lake_relation_size` looks here.
--
-- Example: SELECT bytes FROM workbench.lake_sizes WHERE name = 'market_data.ohlcv'
SELECT name, bytes
FROM workbench_log.lake_sizes
